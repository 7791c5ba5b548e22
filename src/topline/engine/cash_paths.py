"""Receipts as distributions become cash as a distribution: thousands of futures of the same book.

Payers share a common factor and the invoices of one payer share another: an invoice is paid by day t when
sqrt(rg) G + sqrt(rc) C + sqrt(1 - rg - rc) e <= Phi^-1(F(t)) (Vasicek). Small books are simulated invoice by invoice; large ones
in aggregate: the largest invoices one by one, the largest payers by a factor of their own, all others by their mean given the
common factor and the covariance that is left. Amounts are floats here: they are statements about the future, never bookings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from topline.engine.normal import cdf, quantile
from topline.kernel.errors import Invalid, ensure

Floats = NDArray[np.float64]
EXACT_BELOW = 5_000  # invoices
LEVELS, NODES, OWN_CUSTOMERS, OWN_INVOICES = 256, 33, 60, 200
EDGE_DAYS = (*range(1, 29), 35, 42, 49, 56, 63, 77, 91, 120, 150, 180)  # 38 buckets: four weeks by day, then coarser
SHORTEST_RECORD = 12  # past snapshots before the spread factor is learned
LEAST_SPREAD = 1.0  # a range is never told narrower than it was drawn: a calm past narrows it, and the next months then miss it


@dataclass(frozen=True, slots=True)
class Book:
    """Open items of one currency: one entry per item.

    amounts    minor units > 0; customers: ids
    paid_by    items x days: probability that the item is paid by the end of each day of `days`; rises along the row
    days       days from today, rising; the day 0 is today's close
    """

    amounts: NDArray[np.int64]
    customers: NDArray[np.int64]
    paid_by: NDArray[np.float32]
    days: tuple[int, ...] = EDGE_DAYS

    def __post_init__(self) -> None:
        shape = (len(self.amounts), len(self.days))
        ensure(
            self.paid_by.shape == shape and len(self.customers) == shape[0],
            Invalid("Book columns differ in length.", field="paid_by"),
        )


@dataclass(frozen=True, slots=True)
class Paths:
    """received: futures x days, minor units received by the end of each day, cumulative."""

    days: tuple[int, ...]
    received: Floats


def seed_of(company: str, day: date) -> int:
    """The seed of a company's day: the same day shows the same figures however often it is opened."""
    return int.from_bytes(hashlib.sha256(f"{company}|{day.isoformat()}".encode()).digest()[:8], "big")


def simulate(book: Book, *, paths: int = 10_000, common: float = 0.05, shared: float = 0.10, seed: int) -> Paths:
    """Futures of the receipts of a book.

    common, shared  rg and rc: share of the randomness that all payers, and the invoices of one payer, have together; rg + rc < 1
    Work: below 5,000 items O(items x paths); above, O(items x days) once and O(paths x days x 60).
    Raises: Invalid for shares outside [0, 1).
    """
    ensure(
        common >= 0 and shared >= 0 and common + shared < 1, Invalid("Shares of dependence must stay below one.", field="common")
    )
    rng = np.random.default_rng(seed)
    if len(book.amounts) < EXACT_BELOW:
        return Paths(book.days, one_by_one(book, paths=paths, common=common, shared=shared, rng=rng))
    return Paths(book.days, _in_aggregate(book, paths, common, shared, rng))


def _drawn(quantiles: Floats, amounts: NDArray, drift: NDArray, own: float, received: Floats, rng: np.random.Generator) -> None:
    """Adds one item's receipts, bucket by bucket, to all paths."""
    paths, days = received.shape
    flat, start = received.ravel(), np.arange(paths) * days
    latent = drift + own * rng.standard_normal(paths, dtype=np.float32)
    bucket = np.searchsorted(quantiles, latent)
    paid = bucket < days
    flat[start[paid] + bucket[paid]] += amounts


def one_by_one(book: Book, *, paths: int, common: float, shared: float, rng: np.random.Generator) -> Floats:
    """The receipts of every path, each invoice drawn by itself: what the aggregate is held against. Work: O(items x paths)."""
    received = np.zeros((paths, len(book.days)))
    everyone = np.sqrt(common) * rng.standard_normal(paths)
    quantiles = quantile(book.paid_by)
    own = np.sqrt(1 - common - shared)
    order = np.argsort(book.customers, kind="stable")
    before, drift = None, everyone
    for item in order:
        if book.customers[item] != before:
            before = book.customers[item]
            drift = (everyone + np.sqrt(shared) * rng.standard_normal(paths)).astype(np.float32)
        _drawn(quantiles[item], book.amounts[item], drift, own, received, rng)
    return np.asarray(np.cumsum(received, axis=1))


def _in_aggregate(book: Book, paths: int, common: float, shared: float, rng: np.random.Generator) -> Floats:
    order = np.argsort(book.customers, kind="stable")
    amounts, customers, paid_by = book.amounts[order].astype(float), book.customers[order], book.paid_by[order]
    levels = np.rint(np.clip(paid_by, 0, 1) * (LEVELS - 1)).astype(np.uint8)
    thresholds = np.array([NormalDist().inv_cdf(min(max(k / (LEVELS - 1), 1e-12), 1 - 1e-12)) for k in range(LEVELS)])
    starts = np.flatnonzero(np.r_[True, customers[1:] != customers[:-1]])
    ends = np.r_[starts[1:], len(customers)]
    large = np.argsort(-amounts)[:OWN_INVOICES]
    rest = amounts.copy()
    rest[large] = 0
    payers = np.argsort(-np.add.reduceat(rest, starts))[:OWN_CUSTOMERS]
    everyone = rng.standard_normal(paths)
    drift_of: dict[int, Floats] = {}

    def drift(customer: int) -> Floats:
        if customer not in drift_of:
            drift_of[customer] = np.sqrt(common) * everyone + np.sqrt(shared) * rng.standard_normal(paths)
        return drift_of[customer]

    received = np.zeros((paths, len(book.days)))
    own = float(np.sqrt(1 - common - shared))
    for item in large:
        _drawn(quantile(paid_by[item]), amounts[item], drift(int(customers[item])), own, received, rng)
    received = np.cumsum(received, axis=1)
    bulk = rest.copy()
    for payer in payers:
        part = slice(starts[payer], ends[payer])
        bulk[part] = 0
        histogram = _histogram(levels[part], rest[part])
        received += _conditional(histogram, thresholds, drift(int(customers[starts[payer]])), own, np.sqrt(common + shared))
    received += _conditional(
        _histogram(levels, bulk), thresholds, np.sqrt(common) * everyone, np.sqrt(1 - common), np.sqrt(common)
    )
    covariance = _left_over(levels, rest, bulk, starts, thresholds, common, shared)
    values, vectors = np.linalg.eigh(covariance)
    noise = rng.standard_normal((paths, len(values)), dtype=np.float32) @ (vectors * np.sqrt(np.maximum(values, 0))).T.astype(
        np.float32
    )
    return np.asarray(received + noise)


def _histogram(levels: NDArray[np.uint8], amounts: Floats) -> Floats:
    """Amounts by probability level, one row per day."""
    return np.stack([np.bincount(levels[:, day], weights=amounts, minlength=LEVELS) for day in range(levels.shape[1])])


def _conditional(histogram: Floats, thresholds: Floats, drift: Floats, own: float, spread: float) -> NDArray[np.float32]:
    """Expected receipts by day given the factor of each path, read from a table over factor values."""
    reach = 5 * max(float(spread), 1e-9)
    nodes = np.linspace(-reach, reach, NODES)
    table = (histogram @ cdf((thresholds[:, None] - nodes[None, :]) / own)).T.astype(np.float32)
    place = np.clip((drift + reach) / (2 * reach) * (NODES - 1), 0, NODES - 1.001)
    below = place.astype(np.int64)
    weight = (place - below).astype(np.float32)[:, None]
    return np.asarray(table[below] * (1 - weight) + table[below + 1] * weight)


def _left_over(
    levels: NDArray[np.uint8], rest: Floats, bulk: Floats, starts: NDArray, thresholds: Floats, common: float, shared: float
) -> Floats:
    """Covariance between days that factors drawn per path do not explain: each item's own chance, and small payers' factors."""
    days = levels.shape[1]
    own = np.sqrt(1 - common - shared)
    unit = float(np.sqrt((rest**2).sum())) or 1.0
    weight, whole = (rest / unit).astype(np.float32)[:, None], (bulk / unit).astype(np.float32)[:, None]
    nodes, shares = np.polynomial.hermite_e.hermegauss(7)
    shares = shares / shares.sum()
    total = np.zeros((days, days))
    first = np.minimum(*np.indices((days, days)))
    factors = (-1.0, 1.0) if common > 0 else (0.0,)
    for everyone in factors:
        mean = np.zeros((len(starts), days))
        between = np.zeros((days, days))
        for node, share in zip(nodes, shares, strict=True):
            chances = cdf((thresholds - np.sqrt(common) * everyone - np.sqrt(shared) * node) / own).astype(np.float32)
            scaled = chances[levels] * weight
            second = (scaled.T @ weight).ravel()
            total += share / len(factors) * (second[first] - scaled.T @ scaled)
            if bulk.any():
                by_payer = np.add.reduceat(chances[levels] * whole, starts, axis=0)
                mean += share * by_payer
                between += share * (by_payer.T @ by_payer)
        total += (between - mean.T @ mean) / len(factors)
    return np.asarray(total * unit**2)


def spread_factor(actual: Sequence[float], median: Sequence[float], half_width: Sequence[float], *, horizon_days: int) -> float:
    """How much wider the range must be than the simulation says, learned from forecasts whose truth is known.

    One entry per past snapshot at this horizon. The ceil(.8 (n + 1))-th smallest miss in half-widths, at least 1 (split conformal);
    with fewer than 12 snapshots 3 up to two weeks and 2 beyond.
    """
    if len(actual) < SHORTEST_RECORD:
        return 3.0 if horizon_days <= 14 else 2.0
    misses = np.sort(np.abs(np.subtract(actual, median)) / np.maximum(half_width, 1e-9))
    place = min(int(np.ceil(0.8 * (len(misses) + 1))), len(misses))
    return float(max(misses[place - 1], LEAST_SPREAD))


def widened(paths: Paths, factors: Sequence[float], *, within: tuple[float, float] = (-np.inf, np.inf)) -> Paths:
    """The same futures spread around their median by one factor per day, kept within what can be (nothing, and all that is open)."""
    median = np.median(paths.received, axis=0)
    return replace(paths, received=np.clip(median + (paths.received - median) * np.asarray(factors), *within))


def balances(paths: Paths, *, opening_minor: int, outflows: Sequence[tuple[int, int]] = ()) -> Floats:
    """Futures x days: what stands in the bank at the end of each day. outflows: (day from today, minor units), certain."""
    out = np.zeros(len(paths.days))
    for day, amount in outflows:
        out[np.searchsorted(paths.days, day) :] += amount
    return opening_minor + paths.received - out


@dataclass(frozen=True, slots=True)
class Range:
    """What may stand there at the end of a day, in minor units: 80 of 100 futures lie between p10 and p90."""

    day: int
    p10: int
    p50: int
    p90: int


def ranges(futures: Floats, days: Sequence[int]) -> list[Range]:
    """P10, P50 and P90 of each day, week or month end that the columns of `futures` stand for."""
    found = np.rint(np.quantile(futures, (0.1, 0.5, 0.9), axis=0)).astype(np.int64)
    return [Range(day, *(int(v) for v in found[:, n])) for n, day in enumerate(days)]


def lowest(futures: Floats) -> Range:
    """The lowest balance on the way; `day` is the column in which the tenth of the futures that fall lowest most often reach it."""
    bottom = futures.min(axis=1)
    low = np.rint(np.quantile(bottom, (0.1, 0.5, 0.9)))
    worst = futures[bottom <= np.quantile(bottom, 0.1)]
    where = int(np.bincount(worst.argmin(axis=1), minlength=futures.shape[1]).argmax())
    return Range(where, *(int(v) for v in low))


def shortfall_probability(futures: Floats, column: int, *, need_minor: int = 0) -> float:
    """The share of futures in which less than what is needed stands there."""
    return float((futures[:, column] < need_minor).mean())


def hit_rate(actual: Sequence[float], low: Sequence[float], high: Sequence[float]) -> float | None:
    """How often past ranges held the truth; None with nothing to count: then the screen says it is not verified."""
    if not len(actual):
        return None
    truth = np.asarray(actual)
    return float(((truth >= np.asarray(low)) & (truth <= np.asarray(high))).mean())


def collections_slip(book: Book, *, percent: float) -> Book:
    """The book if that share of what would come by any day does not."""
    ensure(0 <= percent <= 100, Invalid("A slip lies between 0 and 100 percent.", field="percent"))
    return replace(book, paid_by=(book.paid_by * (1 - percent / 100)).astype(np.float32))


def payer_late(book: Book, *, customer: int, days: int) -> Book:
    """The book if one customer pays everything that many days later."""
    ensure(days >= 0, Invalid("Late is zero days or more.", field="days"))
    theirs = np.flatnonzero(book.customers == customer)
    moved = book.paid_by.copy()
    at = np.asarray(book.days, dtype=float)
    for item in theirs:
        moved[item] = np.interp(at - days, np.r_[0.0, at], np.r_[0.0, book.paid_by[item]], left=0.0)
    return replace(book, paid_by=moved)


def customer_lost(book: Book, *, customer: int) -> Book:
    """The book without what that customer owes."""
    kept = book.customers != customer
    return replace(book, amounts=book.amounts[kept], customers=book.customers[kept], paid_by=book.paid_by[kept])
