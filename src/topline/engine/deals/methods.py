"""The other forecasts of a period, the plain baselines, and the pool that leans on whichever was right before.

Every method says what the company, and each owner, will have won in [start, end) as seen before a day. None sees a record of that
day or later. A method that has too little past to speak says nothing, rather than 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from topline.engine import cash_paths
from topline.engine.deals import accuracy
from topline.engine.deals.book import NEVER, WON, Book, Quarters, as_of, checked, date_of, day_number, history
from topline.engine.deals.clock import stages_of
from topline.engine.deals.model import Forecast

DEALS, RATE = "deals one by one", "91-day rate"
SNAPSHOT, STAGES = "snapshot rate", "stage-weighted"
LAST, THIRTY = "last period", "previous 30 days"
POOL = "pool"
POOLED = (DEALS, RATE)  # bottom up and run rate; the others and the plain baselines stand beside the pool
OWN_DEALS = 10.0  # deals of usual worth that the company's rate counts for beside an owner's own
LEVEL_SHARE = 0.2  # part of new business that is spread evenly over owners
QUARTERS_BACK = 4
ALIVE = 0.95  # a deal older than this share of closed ones ever were is no longer counted as open: it would only water the rate
RECORD = 13  # past snapshots that the pool looks at: a quarter of Mondays, so that each week of the quarter is among them
PRIOR_ERROR, PRIOR_SNAPSHOTS = 0.25, 2.0
SAID = {"owner": pl.String, "existing_minor": pl.Float64, "new_minor": pl.Float64, "won_minor": pl.Float64}
RECORDED = {
    "on": pl.Date, "start": pl.Date, "end": pl.Date, "method": pl.String, "won_minor": pl.Float64,
    "forecast_minor": pl.Float64, "actual_minor": pl.Float64, "p10_minor": pl.Float64, "p90_minor": pl.Float64,
}  # fmt: skip


def total(said: pl.DataFrame) -> float:
    """What the whole company wins by one method's table."""
    return float(said.select(pl.sum_horizontal(pl.col("existing_minor", "new_minor", "won_minor").sum())).item())


def won_between(book: Book, start: date, end: date) -> pl.DataFrame:
    """What was won in [start, end), as far as the book knows: one row per owner: owner, won_minor f64."""
    inside = (pl.col("outcome") == WON) & (pl.col("closed_on") >= start) & (pl.col("closed_on") < end)
    found = (
        book.deals.filter(inside)
        .group_by(pl.col("owner").fill_null(""))
        .agg(won_minor=pl.col("value_minor").sum().cast(pl.Float64))
    )
    return found.sort("owner")


def actual(book: Book, start: date, end: date) -> float:
    """What the company won in [start, end)."""
    return float(won_between(book, start, end)["won_minor"].sum())


def stage_weighted(book: Book, *, on: date, start: date, end: date) -> pl.DataFrame | None:
    """Open deals by the share won of their stage, those whose expected day lies in the period where such days are kept.

    returns  one row per owner: owner, existing_minor, new_minor (0: this method does not see it), won_minor f64; nothing without stages
    """
    cut = as_of(checked(book), on)
    past = history(cut)
    stages = stages_of(past, cut.changes)
    if not stages.kept:
        return None
    opened = np.flatnonzero(past.closed >= NEVER)
    code, _ = stages.at(opened, np.full(len(opened), day_number(on)))
    chance = np.where(code >= 0, stages.share_won[np.maximum(code, 0)], float(stages.share_won.mean()))
    rows = past.rows[opened].with_columns(worth=pl.Series(past.amount[opened] * chance))
    if "expected_on" in rows.columns and rows["expected_on"].is_not_null().any():
        rows = rows.filter(pl.col("expected_on").is_between(start, end, closed="left"))
    existing = rows.group_by(pl.col("owner").fill_null("")).agg(existing_minor=pl.col("worth").sum())
    return _beside(existing, None, won_between(cut, start, min(on, end)))


def snapshot_rate(book: Book, *, on: date, start: date, end: date) -> pl.DataFrame | None:
    """Two rates of past quarters from the same day of the quarter: of what was open then, what was won in the period; and what was
    won in it from deals that came later. Averaged over up to four quarters, per owner leaning on the company.

    returns  one row per owner: owner, existing_minor, new_minor, won_minor f64; nothing where no past quarter was recorded whole
    """
    cut = as_of(checked(book), on)
    past = history(cut)
    if past.begin >= NEVER:
        return None
    quarters = Quarters.of(day_number(on) - 500, day_number(end) + 1, first_month=cut.first_month)
    owners = past.rows["owner"].fill_null("").to_numpy()
    names, who = np.unique(owners, return_inverse=True)
    converted, open_then, came = (np.zeros(len(names)) for _ in range(3))
    seen = 0
    from_on = min(on, end)
    took = (past.closed - past.opened)[past.closed < NEVER]
    longest = float(np.quantile(took, ALIVE))
    for back in range(1, QUARTERS_BACK + 1):
        then, low, high = (_same_day(quarters, day_number(d), back) for d in (on, max(start, from_on), end))
        if then < past.begin or high > day_number(on):
            continue
        at_hand = (past.opened < then) & (past.closed >= then) & (then - past.opened <= longest)
        ended = past.won & (past.closed >= low) & (past.closed < high)
        open_then += np.bincount(who, weights=past.amount * at_hand, minlength=len(names))
        converted += np.bincount(who, weights=past.value * (ended & at_hand), minlength=len(names))
        came += np.bincount(who, weights=past.value * (ended & (past.opened >= then)), minlength=len(names))
        seen += 1
    if not seen or open_then.sum() <= 0:
        return None
    overall = converted.sum() / open_then.sum()
    leaning = OWN_DEALS * past.amount.mean()
    rate = (converted + leaning * overall) / (open_then + leaning)
    now = np.bincount(
        who, weights=past.amount * ((past.closed >= NEVER) & (day_number(on) - past.opened <= longest)), minlength=len(names)
    )
    existing = rate * now
    if existing.sum() > 0:
        existing *= overall * now.sum() / existing.sum()
    active = np.bincount(who, weights=past.opened >= day_number(on) - 91, minlength=len(names)) > 0
    level = active / max(active.sum(), 1)
    new = ((1 - LEVEL_SHARE) * came + LEVEL_SHARE * came.sum() * level) / seen if active.any() else came / seen
    return _beside(
        pl.DataFrame({"owner": names.astype(str), "existing_minor": existing}),
        pl.DataFrame({"owner": names.astype(str), "new_minor": new}),
        won_between(cut, start, from_on),
    )


def _same_day(quarters: Quarters, day: int, back: int) -> int:
    """The day as far into its quarter, some quarters earlier; the quarter's end where that is shorter."""
    since = int(quarters.place(np.array([day]))[0][0])
    begun = day - since
    for _ in range(back):
        begun -= int(quarters.place(np.array([begun - 1]))[0][0]) + 1
    return min(begun + since, int(quarters.end[begun - quarters.first]))


def run_rate(book: Book, *, on: date, start: date, end: date, days: int = 91) -> pl.DataFrame | None:
    """The daily bookings of the last days, gone on to the end of the period; of as many days as were recorded, 28 at least.

    returns  one row per owner: owner, existing_minor (0), new_minor, won_minor f64; nothing with less on record
    """
    cut = as_of(checked(book), on)
    first = cut.deals["closed_on"].drop_nulls()
    if not len(first) or (on - date_of(int(first.to_physical().min()))).days < min(days, 28):  # type: ignore[arg-type]
        return None
    begun = max(on - timedelta(days=days), date_of(int(first.to_physical().min())))  # type: ignore[arg-type]
    ahead = (end - max(start, on)).days / (on - begun).days
    rate = won_between(cut, begun, on).select("owner", new_minor=pl.col("won_minor") * ahead)
    return _beside(None, rate, won_between(cut, start, min(on, end)))


def last_period(book: Book, *, on: date, start: date, end: date) -> pl.DataFrame | None:
    """What the days of equal number before the period brought; nothing where they were not recorded whole, or are not over."""
    cut = as_of(checked(book), on)
    begun, over = start - (end - start), start
    if over > on:
        begun, over = on - (end - start), on
    first = cut.deals["closed_on"].drop_nulls().to_physical()
    if not len(first) or day_number(begun) < int(first.min()):  # type: ignore[arg-type]
        return None
    return _beside(None, won_between(cut, begun, over).rename({"won_minor": "new_minor"}), None)


def _beside(existing: pl.DataFrame | None, new: pl.DataFrame | None, won: pl.DataFrame | None) -> pl.DataFrame:
    found = pl.DataFrame(schema={"owner": pl.String})
    for part in (existing, new, won):
        if part is not None:
            found = found.join(part, on="owner", how="full", coalesce=True)
    missing = [pl.lit(0.0).alias(name) for name in list(SAID)[1:] if name not in found.columns]
    return (
        found.with_columns(missing).select(pl.col("owner"), pl.col(list(SAID)[1:]).cast(pl.Float64).fill_null(0.0)).sort("owner")
    )


def of_deals(forecast: Forecast) -> pl.DataFrame:
    """The means of the per-deal forecast as a table like the others."""
    return pl.DataFrame(
        {
            "owner": forecast.owners["owner"], "existing_minor": forecast.existing.mean(axis=0), "new_minor": forecast.new.mean(axis=0),
            "won_minor": forecast.won,
        }
    ).sort("owner")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pool:
    """What the methods come to together.

    weights    by method, which sum to 1
    ratios     by method, what its forecast was multiplied by because of its own bias in the past
    errors     by method, its past WAPE after that, from which the weights follow
    snapshots  how many past ones these were learned from
    """

    total_minor: float
    weights: dict[str, float]
    ratios: dict[str, float]
    errors: dict[str, float]
    snapshots: int


def pool(said: dict[str, float], record: pl.DataFrame, *, on: date, won_minor: float = 0.0) -> Pool | None:
    """Methods weighed by the inverse of their past error, each first freed of the bias of its own past forecasts.

    Both are learned only from snapshots whose period was over before the day; with none all count alike. What was already won is
    neither weighed nor corrected.

    said       company total by method; only those of POOLED count
    record     past snapshots with their truth, columns RECORDED
    won_minor  already won in the period
    returns    nothing where none of POOLED has spoken. Work: O(snapshots^2).
    """
    known = record.filter(pl.col("actual_minor").is_not_null()).with_columns(
        pl.col("forecast_minor", "actual_minor") - pl.col("won_minor")
    )
    spoken = [m for m in POOLED if m in said]
    if not spoken:
        return None
    ratios: dict[str, float] = {}
    errors: dict[str, float] = {}
    seen = 0
    usual = float(known.filter(pl.col("end") <= on)["actual_minor"].mean() or 1.0)  # type: ignore[arg-type]
    for method in spoken:
        own = known.filter(pl.col("method") == method).unique("on", keep="last").sort("on")
        ratios[method] = _own_ratio(own, on)
        past = own.filter(pl.col("end") <= on).tail(RECORD)
        seen = max(seen, past.height)
        freed = np.array([f * _own_ratio(own, day) for day, f in past.select("on", "forecast_minor").iter_rows()])
        came = past["actual_minor"].to_numpy()
        missed = float(np.abs(freed - came).sum())
        errors[method] = (missed + PRIOR_SNAPSHOTS * PRIOR_ERROR * usual) / (float(came.sum()) + PRIOR_SNAPSHOTS * usual)
    inverse = {m: 1.0 / max(errors[m], 0.01) for m in spoken}
    weights = {m: value / sum(inverse.values()) for m, value in inverse.items()}
    to_come = sum(weights[m] * ratios[m] * (said[m] - won_minor) for m in spoken)
    return Pool(won_minor + to_come, weights, ratios, errors, seen)


def _own_ratio(record: pl.DataFrame, on: date) -> float:
    """By how much a method's forecast of a day must be multiplied, by its last snapshots that were over by then. The run rate has no bias
    of its own making: it follows."""
    past = record.filter((pl.col("end") <= on) & (pl.col("forecast_minor") > 0) & (pl.col("actual_minor") > 0)).tail(RECORD)
    if not past.height or past["method"][0] == RATE:
        return 1.0
    return float(np.exp(accuracy.shrunk_bias(past["actual_minor"].to_numpy(), past["forecast_minor"].to_numpy())))


def spread(record: pl.DataFrame, *, on: date, horizon_days: int) -> float:
    """How much wider the range must be told than it was drawn, from past snapshots of the pool (`cash_paths.spread_factor`)."""
    past = record.filter((pl.col("end") <= on) & pl.col("actual_minor").is_not_null() & pl.col("p90_minor").is_not_null())
    half = (past["p90_minor"] - past["p10_minor"]) / 2
    return cash_paths.spread_factor(
        past["actual_minor"].to_list(), past["forecast_minor"].to_list(), half.to_list(), horizon_days=horizon_days
    )
