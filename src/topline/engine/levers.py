"""What an action on one invoice does to the cash of a day, without simulating anew, and how calls are put in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ALMOST_SURE = 0.02  # nearer than this to 0 or 1 the probability no longer tells actions apart
CALL_RATIO = 1.2  # assumed: a call multiplies the daily chance of payment by this, until own experiments say otherwise


@dataclass(frozen=True, slots=True)
class Effects:
    """probability: of standing at or above the need, as things are; change: of it by each action; rank_by: what orders them."""

    probability: float
    change: Floats
    rank_by: Floats


def effect_of_actions(futures: Floats, *, need_minor: int, amounts: NDArray, before: Floats, after: Floats) -> Effects:
    """How much each action moves the probability that a need is covered.

    futures  what stands there on the day, one value per path, receipts included
    amounts  minor units of each invoice; before, after: probability that it is paid by the day without and with the action
    change   (p' - p) [P(S >= X - a (1 - p)) - P(S >= X + a p)]; when covered (or short) in more than 98 of 100 futures, actions are
             ranked by the change of z = (mean - X) / sd instead
    Work: one sort of the paths, two binary searches an action.
    """
    ordered = np.sort(np.asarray(futures, dtype=float))
    count = len(ordered)
    owed = np.asarray(amounts, dtype=float)
    low = np.searchsorted(ordered, need_minor - owed * (1 - before), side="left")
    high = np.searchsorted(ordered, need_minor + owed * before, side="left")
    change = (after - before) * (high - low) / count
    covered = 1 - np.searchsorted(ordered, need_minor, side="left") / count
    if ALMOST_SURE <= covered <= 1 - ALMOST_SURE:
        return Effects(float(covered), change, change)
    mean, variance = float(ordered.mean()), float(ordered.var())
    moved = variance + owed**2 * (after * (1 - after) - before * (1 - before))
    z = (mean - need_minor) / np.sqrt(max(variance, 1.0))
    dz = (mean + owed * (after - before) - need_minor) / np.sqrt(np.maximum(moved, 1.0)) - z
    return Effects(float(covered), change, np.asarray(dz))


def with_hazard_ratio(paid_by: Floats, ratio: float) -> Floats:
    """Payment probabilities if an action multiplies the daily chance of payment: 1 - (1 - F)^ratio."""
    return np.asarray(1 - (1 - np.clip(paid_by, 0, 1)) ** ratio)


def cash_sooner(amounts: NDArray, paid_by: Floats, *, ratio: float = CALL_RATIO) -> Floats:
    """Minor units that an action is expected to bring in by a day and that would else come later: amount x (p' - p).

    paid_by  probability of each amount to be paid by the day without the action
    """
    return np.asarray(np.asarray(amounts, dtype=float) * (with_hazard_ratio(paid_by, ratio) - np.clip(paid_by, 0, 1)))


def days_saved(before: Floats, after: Floats, days: NDArray) -> Floats:
    """Expected days by which money comes sooner: the area between the two curves of still being unpaid.

    before, after  items x days: probability paid by the end of each day of `days`
    """
    widths = np.diff(np.r_[0, days]).astype(float)
    return np.asarray((after - before) @ widths)


def call_score(
    *, amounts: NDArray, days_saved: Floats, yearly_rate: float, loss_avoided: Floats, change: Floats, payroll_missed_cost: float,
    call_cost: Floats, relation_cost: Floats,
) -> Floats:  # fmt: skip
    """Minor units that acting on each item today is expected to gain: interest saved + loss avoided + payroll risk taken away - costs."""
    interest = np.asarray(amounts, dtype=float) * days_saved * yearly_rate / 365
    return np.asarray(interest + loss_avoided + change * payroll_missed_cost - call_cost - relation_cost)
