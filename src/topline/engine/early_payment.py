"""What it is worth to be paid early: the yearly cost of a discount, and the discount that a day is worth.

A discount of d for being paid g days sooner costs d / (1 - d) on the money received, g days long; as a yearly rate that is
d / (1 - d) x 365 / g simple, or (1 + d / (1 - d)) ^ (365 / g) - 1 compounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topline.kernel.errors import Invalid, ensure
from topline.kernel.money import EXACT

D = Decimal
EXACT_UP_TO = 16  # candidates of which every set is looked at


@dataclass(frozen=True, slots=True)
class DiscountTerms:
    """Terms such as 2/10 net 30: percent off when paid within discount_days, all of it due in net_days."""

    percent: Decimal
    discount_days: int
    net_days: int

    def __post_init__(self) -> None:
        ensure(
            D(0) <= self.percent < D(100),
            Invalid(f"A discount of {self.percent} % makes no sense.", field="percent", remedy="Use 0 up to less than 100."),
        )
        ensure(
            0 <= self.discount_days < self.net_days,
            Invalid("The discount must end before the invoice is due, and not before it is issued.", field="discount_days"),
        )


@dataclass(frozen=True, slots=True)
class YearlyCost:
    """What a discount costs who gives it, in percent: of the money received per period, a year simple, a year compounded."""

    per_period_percent: Decimal
    simple_percent: Decimal
    compound_percent: Decimal


def yearly_cost(terms: DiscountTerms, *, paid_on_day: int | None = None, year_days: int = 365) -> YearlyCost:
    """The yearly cost of a discount against being paid when due, or on the day on which the customer pays otherwise.

    paid_on_day  days after issue on which the money would come without the discount; default net_days
    Raises: Invalid when that day is not after the discount's.
    """
    gained = (terms.net_days if paid_on_day is None else paid_on_day) - terms.discount_days
    ensure(gained > 0, Invalid("Nothing is gained: the money would come as early without a discount.", field="paid_on_day"))
    share = EXACT.divide(terms.percent, D(100) - terms.percent)
    periods = EXACT.divide(D(year_days), D(gained))
    compound = EXACT.power(1 + share, periods) - 1
    return YearlyCost(share * 100, EXACT.multiply(share, periods) * 100, compound * 100)


def discount_worth(*, amount_minor: int, days_early: int, yearly_percent: Decimal, year_days: int = 365) -> int:
    """The most that may be taken off for being paid some days early at a yearly cost of money, in whole minor units, rounded down.

    The inverse of the simple yearly cost: d = r g / (365 + r g) of the amount.
    """
    ensure(days_early >= 0 and yearly_percent >= 0, Invalid("Days and rate cannot be negative.", field="days_early"))
    earned = EXACT.multiply(yearly_percent / 100, D(days_early))
    return int(EXACT.divide(EXACT.multiply(D(amount_minor), earned), D(year_days) + earned))


def cost_of_discount(*, amount_minor: int, discount_minor: int, days_early: int, year_days: int = 365) -> Decimal:
    """What a discount on one amount costs a year, simple, in percent of the money received. Raises: Invalid (nothing gained)."""
    ensure(
        days_early > 0, Invalid("Nothing is gained: the money would come as early without a discount.", field="discount_minor")
    )
    ensure(
        0 < discount_minor < amount_minor,
        Invalid("A discount lies between nothing and all that is owed.", field="discount_minor", remedy="Take off less."),
    )
    share = EXACT.divide(D(discount_minor), D(amount_minor - discount_minor))
    return EXACT.divide(EXACT.multiply(share, D(100 * year_days)), D(days_early))


def cheapest_offers(candidates: pl.DataFrame, *, needed_minor: int, by: date) -> pl.DataFrame:
    """To whom a discount is offered so that the expected cash by a day grows by what is needed, at least cost.

    candidates  one row per invoice: invoice_id, amount_minor, discount_minor (what the offer takes off), lift (by how much the
                offer raises the probability of being paid by the day, 0 to 1), baseline (that probability without it)
    by          the day the cash is needed; carried into the result
    returns     chosen rows with gain_minor (expected extra cash), cost_minor (expected discount: everyone who takes it gets it, those
                who would have paid anyway as well), cost_per_gain, in that order; all that gain anything where they do not suffice

    Up to 16 candidates: the cheapest set of all. More: by rising cost per gain until the need is met, less what the rest makes
    superfluous. If the last one could be taken in part, that order would be the optimum (a fractional covering knapsack), so the set
    costs at most one offer more than the cheapest.
    """
    gain = (pl.col("amount_minor") - pl.col("discount_minor")) * pl.col("lift") - pl.col("discount_minor") * pl.col("baseline")
    cost = pl.col("discount_minor") * (pl.col("baseline") + pl.col("lift"))
    rated = candidates.with_columns(gain_minor=gain.round(0).cast(pl.Int64), cost_minor=cost.round(0).cast(pl.Int64)).filter(
        pl.col("gain_minor") > 0
    )
    ranked = rated.with_columns(cost_per_gain=pl.col("cost_minor") / pl.col("gain_minor"), by=pl.lit(by)).sort(
        "cost_per_gain", "invoice_id"
    )
    if needed_minor <= 0 or ranked.is_empty():
        return ranked.clear()
    gains, costs = ranked["gain_minor"].to_numpy(), ranked["cost_minor"].to_numpy()
    if int(gains.sum()) < needed_minor:
        return ranked
    taken = _cheapest_set(gains, costs, needed_minor) if len(gains) <= EXACT_UP_TO else _greedy(gains, costs, needed_minor)
    return ranked.filter(pl.Series(taken))


def _cheapest_set(gains: NDArray[np.int64], costs: NDArray[np.int64], needed: int) -> NDArray[np.bool_]:
    """The cheapest of all sets that gain enough; of equally cheap ones the one that gains most. Work: O(2^n)."""
    sets = np.arange(1 << len(gains))
    total_gain, total_cost = np.zeros(len(sets), dtype=np.int64), np.zeros(len(sets), dtype=np.int64)
    for n, (gain, cost) in enumerate(zip(gains.tolist(), costs.tolist(), strict=True)):
        inside = (sets >> n) & 1
        total_gain += inside * gain
        total_cost += inside * cost
    enough = np.flatnonzero(total_gain >= needed)
    best = enough[np.lexsort((-total_gain[enough], total_cost[enough]))[0]]
    return np.array([bool((best >> n) & 1) for n in range(len(gains))])


def _greedy(gains: NDArray[np.int64], costs: NDArray[np.int64], needed: int) -> NDArray[np.bool_]:
    """By rising cost per gain until there is enough, then without what is superfluous, dearest first. Work: O(n log n)."""
    taken = np.asarray(np.cumsum(gains) - gains < needed)
    spare = int(gains[taken].sum()) - needed
    for n in sorted(np.flatnonzero(taken).tolist(), key=lambda n: -int(costs[n])):
        if gains[n] <= spare:
            taken[n] = False
            spare -= int(gains[n])
    return taken
