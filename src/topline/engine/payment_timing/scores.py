"""How good forecasts of days were: distance of the middle, distance of the whole curve, honesty of the intervals, ranking."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from topline.engine.payment_timing.book import Days, Matrix

Flags = npt.NDArray[np.bool_]


def quantile(pmf: Matrix, level: float | Matrix) -> Days:
    """First day by which at least `level` of the mass is reached; the number of days where it lies in the tail."""
    reached = np.cumsum(pmf, axis=1) >= np.reshape(np.asarray(level, dtype=float), (-1, 1)) - 1e-12
    return np.asarray(np.where(reached.any(axis=1), reached.argmax(axis=1), pmf.shape[1]), dtype=np.int64)


def absolute_error(pmf: Matrix, actual: Days) -> Matrix:
    """Distance in days of the median from the day of payment, per invoice."""
    return np.asarray(np.abs(quantile(pmf, 0.5) - actual), dtype=float)


def crps(pmf: Matrix, actual: Days, *, seen: Days | None = None) -> Matrix:
    """Sum over days of (F(x) - 1{paid by x})^2, per invoice, in days: for a forecast of one day it is the distance.

    pmf     one row per invoice, one column per day from its first possible one; what is missing to 1 is later than all
    actual  column of the day of payment (the number of columns or more where it lies beyond)
    seen    where an invoice is still unpaid: number of columns that have passed, beyond which nothing is known nor scored
    """
    days = np.arange(pmf.shape[1])[None, :]
    reached = np.cumsum(pmf, axis=1)
    error = (reached - (actual[:, None] <= days)) ** 2
    if seen is not None:
        error = np.where(days < seen[:, None], error, 0.0)
    return np.asarray(error.sum(axis=1))


def mid_pit(pmf: Matrix, actual: Days) -> Matrix:
    """Where the day of payment fell in its forecast: mass before it and half of its own; uniform where forecasts are honest."""
    reached = np.cumsum(pmf, axis=1)
    at = np.minimum(actual, pmf.shape[1] - 1)
    rows = np.arange(len(pmf))
    inside = reached[rows, at] - 0.5 * pmf[rows, at]
    return np.where(actual < pmf.shape[1], inside, 1.0 - 0.5 * (1.0 - reached[:, -1]))


def coverage(pit: Matrix, level: float) -> float:
    """Share of payments inside the central interval of `level`."""
    return float(np.mean(np.abs(2.0 * pit - 1.0) <= level)) if len(pit) else float("nan")


def auc(score: Matrix, positive: Flags) -> float:
    """Chance that a late invoice was ranked above one in time, ties counting half; not a number where all are alike."""
    wanted = int(positive.sum())
    if wanted in (0, len(positive)):
        return float("nan")
    _, back, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2.0)[back]
    return float((rank[positive].sum() - wanted * (wanted + 1) / 2.0) / (wanted * (len(positive) - wanted)))


def wape(forecast: Matrix, actual: Matrix) -> float:
    """Sum of absolute errors as a share of what came."""
    total = float(np.abs(actual).sum())
    return float(np.abs(forecast - actual).sum()) / total if total else float("nan")
