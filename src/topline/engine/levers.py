"""What an action does to the cash of a day, without simulating anew, and how calls and other levers are put in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ALMOST_SURE = 0.02  # nearer than this to 0 or 1 the probability no longer tells actions apart
CALL_RATIO = 1.2  # assumed: a call multiplies the daily chance of payment by this, until own experiments say otherwise
MISSED_SHARE = (
    0.25  # assumed: missing a payroll costs a quarter of it (emergency money at 36 % a year, penalties, people who leave)
)
ORDERS = ("cost", "effect", "days")


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


def weighed(levers: pl.DataFrame, *, futures: Floats, need_minor: int) -> pl.DataFrame:
    """What each lever does to the probability that a need is covered, what cash it brings by the day, and its place in each order.

    levers   one row per lever: key str, amount_minor i64 > 0 that comes if it works, discount_minor i64 >= 0 that is then given up,
             before f64 and after f64 (probability to have come by the day without and with it; 0 and 1 for what is sure), cost_minor i64,
             days i64 until the cash is there, priority i64 (0 first: what strains least)
    futures  what stands there on the day, one value per path, in the currency of the levers
    returns  levers with change f64 (of the probability), percent_after i64 (1 to 99), cash_minor i64 (expected by the day) and rank_by f64
             (change; when covered, or short, in more than 98 of 100 futures the change of z = (mean - need) / sd)

    change = p' P(S >= X - a (1 - p) + d) - p P(S >= X - a (1 - p)) - (p' - p) P(S >= X + a p); with d = 0 that is `effect_of_actions`,
    and for what is sure P(S >= X - a) - P(S >= X).
    Work: one sort of the paths, four binary searches a lever.
    """
    ordered = np.sort(np.asarray(futures, dtype=float))
    count = len(ordered)

    def covered(need: Floats) -> Floats:
        return np.asarray(1 - np.searchsorted(ordered, need, side="left") / count)

    amount, less = (levers[name].to_numpy().astype(float) for name in ("amount_minor", "discount_minor"))
    before, after = (np.clip(levers[name].to_numpy(), 0, 1) for name in ("before", "after"))
    low, high = need_minor - amount * (1 - before), need_minor + amount * before
    change = after * covered(low + less) - before * covered(low) - (after - before) * covered(high)
    brings = after * (amount - less) - before * amount
    probability = float(covered(np.array([float(need_minor)]))[0])
    rank_by = change
    if not ALMOST_SURE <= probability <= 1 - ALMOST_SURE:
        mean, variance = float(ordered.mean()), float(ordered.var())
        moved = variance + (amount - less) ** 2 * after * (1 - after) - amount**2 * before * (1 - before)
        rank_by = (mean + brings - need_minor) / np.sqrt(np.maximum(moved, 1.0)) - (mean - need_minor) / np.sqrt(
            max(variance, 1.0)
        )
    percent = np.clip(np.rint(100 * (probability + change)), 1, 99).astype(np.int64)
    return levers.with_columns(
        change=pl.Series(change, dtype=pl.Float64), percent_after=pl.Series(percent, dtype=pl.Int64),
        cash_minor=pl.Series(np.rint(brings), dtype=pl.Float64).cast(pl.Int64), rank_by=pl.Series(rank_by, dtype=pl.Float64),
    )  # fmt: skip


def ranked(levers: pl.DataFrame) -> pl.DataFrame:
    """The place of each lever in each order: by cost for each point gained (the cheapest way to safe), by effect, by days to cash.

    levers   one row per lever: key str (unique), rank_by f64, cost_minor i64, days i64, priority i64
    returns  levers with by_cost, by_effect and by_days i64, 0 first. What gains nothing comes last by cost. Ties by priority, then by
             effect, cost, days and key, so that each order is total whatever the order of the rows
    """
    a_point = pl.when(pl.col("rank_by") > 0).then(pl.col("cost_minor") / pl.col("rank_by")).otherwise(float("inf"))
    ties = [pl.col("priority"), -pl.col("rank_by"), pl.col("cost_minor"), pl.col("days"), pl.col("key")]
    firsts = {"cost": a_point, "effect": -pl.col("rank_by"), "days": pl.col("days")}
    rated = levers
    for name in ORDERS:
        rated = rated.with_row_index("_row").sort(firsts[name], *ties).with_row_index(f"by_{name}").sort("_row").drop("_row")
    return rated.with_columns(pl.col(f"by_{name}").cast(pl.Int64) for name in ORDERS).select(
        *levers.columns, *(f"by_{name}" for name in ORDERS)
    )
