"""How wrong each method was, judged as if on the day: what each would have said before a Monday, and what then came.

Every snapshot cuts the book to its day, learns anew and forecasts; the pool learns from snapshots whose period was over by then.
Settings were frozen on the first 60 % of the snapshots; the last 40 % are told apart as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from topline.engine.cash_paths import hit_rate
from topline.engine.deals import accuracy, methods, tilt
from topline.engine.deals.book import NEVER, Book, Matrix, Quarters, as_of, checked, date_of, day_number, history
from topline.engine.deals.clock import Settings
from topline.engine.deals.methods import DEALS, LAST, POOL, RATE, RECORDED, SNAPSHOT, STAGES, THIRTY
from topline.engine.deals.model import Forecast, Model, predict, train
from topline.engine.payment_timing.scores import auc
from topline.kernel.errors import Invalid, ensure

FROZEN_ON = 0.6  # share of the snapshots on which settings were chosen
HORIZON = 30
MONTH = 4  # Mondays


Period = Callable[[date], tuple[date, date]]


def next_days(number: int = HORIZON) -> Period:
    """The period of so many days from each day on."""
    return lambda day: (day, day + timedelta(days=number))


def quarter_of(first_month: int = 1) -> Period:
    """The quarter that each day lies in: first day, and first day after it."""

    def period(day: date) -> tuple[date, date]:
        number = day_number(day)
        quarters = Quarters.of(number, number, first_month=first_month)
        return date_of(int(quarters.start[0])), date_of(int(quarters.end[0]))

    return period


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was said on one day about [start, end): the per-deal forecast, every method's company total, and the pool of them."""

    forecast: Forecast
    model: Model
    said: dict[str, float]
    pool: methods.Pool | None
    widen: float
    p10_minor: float
    p90_minor: float


def methods_of(book: Book, forecast: Forecast) -> dict[str, pl.DataFrame]:
    """Every method's table for the period of a per-deal forecast, by name; those that have too little past are absent."""
    on, start, end = forecast.on, forecast.start, forecast.end
    found: dict[str, pl.DataFrame | None] = {
        DEALS: methods.of_deals(forecast),
        SNAPSHOT: methods.snapshot_rate(book, on=on, start=start, end=end),
        STAGES: methods.stage_weighted(book, on=on, start=start, end=end),
        RATE: methods.run_rate(book, on=on, start=start, end=end),
        THIRTY: methods.run_rate(book, on=on, start=start, end=end, days=30),
        LAST: methods.last_period(book, on=on, start=start, end=end),
    }
    return {name: table for name, table in found.items() if table is not None}


def snapshot(
    book: Book,
    *,
    on: date,
    end: date,
    record: pl.DataFrame,
    start: date | None = None,
    model: Model | None = None,
    company: str = "",
    settings: Settings | None = None,
) -> Snapshot:
    """One Monday's forecast by every method, and their pool by their past record.

    record  past snapshots of periods as long as this one (`rehearse`, or what was frozen), columns RECORDED
    model   one that was trained on or before the day; else it is trained now
    """  # fmt: skip
    model = model or train(book, on=on, settings=settings)
    forecast = predict(model, book, on=on, start=start, end=end, company=company)
    said = {name: methods.total(table) for name, table in methods_of(book, forecast).items()}
    pooled = methods.pool(said, record, on=on, won_minor=float(forecast.won.sum()))
    widen = methods.spread(record, on=on, horizon_days=(end - on).days)
    told = forecast.scaled(pooled.total_minor) if pooled else forecast
    low, high = told.roll_up(widen=widen).select("p10_minor", "p90_minor").row(0) if told.owners.height else (0, 0)
    if pooled:
        said[POOL] = pooled.total_minor
    return Snapshot(told, model, said, pooled, widen, float(low), float(high))


def rows_of(shot: Snapshot, *, actual_minor: float | None) -> pl.DataFrame:
    """A snapshot as rows of a record, one per method; the range of the pool is the one drawn, before it is widened."""
    drawn = shot.forecast.roll_up().select("p10_minor", "p90_minor").row(0) if shot.forecast.owners.height else (None, None)
    f = shot.forecast
    won = float(f.won.sum())
    rows = [
        (f.on, f.start, f.end, name, won, value, actual_minor, *(drawn if name == POOL else (None, None)))
        for name, value in shot.said.items()
    ]
    return pl.DataFrame(rows, schema=RECORDED, orient="row")


def rehearse(
    book: Book,
    *,
    days: list[date],
    period: Callable[[date], tuple[date, date]],
    record: pl.DataFrame | None = None,
    settings: Settings | None = None,
    every: int = 1,
) -> Iterator[tuple[Snapshot, pl.DataFrame]]:
    """The snapshots of some days in turn, each with the record as it stands after it.

    period   start and end of what is forecast on a day
    record   an earlier record to go on from
    every    learn anew on every so many days of these, and use what was learned last on the others
    Truth is filled in from the book, but `methods` only look at periods that were over by the day of the snapshot.
    """  # fmt: skip
    whole = checked(book)
    record = pl.DataFrame(schema=RECORDED) if record is None else record
    model: Model | None = None
    for number, on in enumerate(days):
        start, end = period(on)
        cut = as_of(whole, on)
        if cut.deals.filter(pl.col("closed_on").is_not_null()).is_empty():
            continue
        kept = model if number % every else None
        shot = snapshot(whole, on=on, start=start, end=end, record=record, settings=settings, model=kept)
        model = shot.model
        record = pl.concat([record, rows_of(shot, actual_minor=methods.actual(whole, start, end))])
        yield shot, record


def mondays_before(day: date, number: int) -> list[date]:
    """The last Mondays before a day, in order."""
    last = day - timedelta(days=day.weekday() or 7)
    return [last - timedelta(days=7 * back) for back in reversed(range(number))]


def record_for(book: Book, *, on: date, period: Period, mondays: int = 2 * methods.RECORD) -> pl.DataFrame:
    """What every method would have said on past Mondays whose period was over before a day: a record for a company that has frozen none yet.

    period   as long, or as placed, as the one to be forecast: `next_days` or `quarter_of`
    returns  columns RECORDED; empty where nothing was closed early enough. Work: one training in four Mondays.
    """
    cut = as_of(checked(book), on)
    closed = cut.deals["closed_on"].drop_nulls()
    if not len(closed):
        return pl.DataFrame(schema=RECORDED)
    first = date_of(int(closed.to_physical().min()))  # type: ignore[arg-type]
    number = (on - first).days // 7
    over = [day for day in mondays_before(on, number) if period(day)[1] <= on]
    shots = list(rehearse(cut, days=over[-mondays:], period=period, every=MONTH))
    return shots[-1][1] if shots else pl.DataFrame(schema=RECORDED)


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was measured.

    deals     one row per span (all, last 40 %): span, auc f64, brier f64, base_brier f64 (of the share won in the span, told to all),
              snapshots u32, deals u32
    bookings  one row per span and method: as `accuracy.scores`
    quarters  the same by quarter of the snapshot: quarter date (its first day) in place of span
    weeks     one row per snapshot and method: the record (RECORDED, the range of the pool widened), and dots_minor: the pool as
              futures of equal chance (`Forecast.dots_of`), null for others
    bands     whether commit, best case and pipeline kept their word: `accuracy.calibration`
    chances   one row per snapshot and open deal: on, start, end date, deal_id, p_won, p_ever f64
    last      the last snapshot
    """

    deals: pl.DataFrame
    bookings: pl.DataFrame
    quarters: pl.DataFrame
    weeks: pl.DataFrame
    bands: pl.DataFrame
    chances: pl.DataFrame
    last: Snapshot | None


def backtest(
    book: Book,
    *,
    first: date,
    mondays: int = 22,
    rehearsals: int = 12,
    period: Period | None = None,
    settings: Settings | None = None,
) -> Backtest:
    """Forecast every Monday what is won in the next days, deal by deal and in all, and score it.

    first       the first Monday
    rehearsals  Mondays before it, forecast the same way, from which the pool has a record when the first one comes
    period      what is forecast on a day, the next 30 days unless told; `quarter_of` for the quarter, with what is already won
    Work: one training and a few forecasts a Monday.
    """
    whole, period = checked(book), period or next_days()
    days = [first + timedelta(days=7 * n) for n in range(-rehearsals, mondays)]
    past = history(whole)
    ends = past.rows.select("deal_id", closed=pl.Series(past.closed), won=pl.Series(past.won))
    told: list[tuple[Matrix, Matrix]] = []
    ranges: list[tuple[date, float, float, list[int]]] = []
    chances: list[pl.DataFrame] = []
    last: Snapshot | None = None
    record = pl.DataFrame(schema=RECORDED)
    for shot, after in rehearse(whole, days=days, period=period, settings=settings):
        record, forecast = after, shot.forecast
        if forecast.on < first:
            continue
        last = shot
        dots = forecast.dots_of(list(range(forecast.owners.height)), widen=shot.widen)
        ranges.append((forecast.on, shot.p10_minor, shot.p90_minor, dots))
        told_on = {"on": forecast.on, "start": forecast.start, "end": forecast.end}
        chances.append(
            forecast.deals.select(*(pl.lit(day).alias(name) for name, day in told_on.items()), "deal_id", "p_won", "p_ever")
        )
        joined = forecast.deals.select("deal_id", "p_won").join(ends, on="deal_id", maintain_order="left")
        came = joined.select(pl.col("won") & (pl.col("closed") < day_number(forecast.end))).to_series().cast(pl.Float64)
        told.append((joined["p_won"].to_numpy(), came.to_numpy()))
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "on": pl.Date,
        "p10_minor": pl.Float64,
        "p90_minor": pl.Float64,
        "dots_minor": pl.List(pl.Int64),
    }
    held = pl.DataFrame(ranges, schema=schema, orient="row")
    weeks = record.filter(pl.col("on") >= first).drop("p10_minor", "p90_minor")
    weeks = weeks.join(held.with_columns(method=pl.lit(POOL)), on=["on", "method"], how="left", maintain_order="left")
    part = int(np.floor(FROZEN_ON * mondays))
    spans = {"all": 0, "last 40 %": part}
    deals = pl.DataFrame([{"span": name, **_deal_scores(told[at:])} for name, at in spans.items() if told[at:]])
    of_span = [
        weeks.filter(pl.col("on") >= first + timedelta(days=7 * at)).with_columns(span=pl.lit(name)) for name, at in spans.items()
    ]
    quarter = {on: quarter_of(whole.first_month)(on)[0] for on in weeks["on"].unique().to_list()}
    by_quarter = weeks.with_columns(
        quarter=pl.col("on").replace_strict(quarter, return_dtype=pl.Date) if quarter else pl.col("on")
    )
    said, truth = (np.concatenate([pair[n] for pair in told]) if told else np.zeros(0) for n in (0, 1))
    return Backtest(
        deals,
        accuracy.scores(pl.concat(of_span), "span", naive=THIRTY),
        accuracy.scores(by_quarter, "quarter", naive=THIRTY),
        weeks,
        accuracy.calibration(said, truth),
        pl.concat(chances) if chances else pl.DataFrame(),
        last,
    )


def _deal_scores(told: list[tuple[Matrix, Matrix]]) -> dict[str, float | int]:
    p, came = (np.concatenate([pair[n] for pair in told]) for n in (0, 1))
    base = float(came.mean())
    return {
        "auc": auc(p, came > 0), "brier": float(((p - came) ** 2).mean()), "base_brier": base * (1 - base), "snapshots": len(told),
        "deals": len(p),
    }  # fmt: skip


def hit_rate_of(weeks: pl.DataFrame) -> float | None:
    """How often the 80 % range of the pool held what came; None with nothing to count."""
    ranged = weeks.filter(pl.col("p10_minor").is_not_null() & pl.col("actual_minor").is_not_null())
    return hit_rate(ranged["actual_minor"].to_list(), ranged["p10_minor"].to_list(), ranged["p90_minor"].to_list())


def static_wins(book: Book, *, split: date) -> tilt.StaticWins:
    """Whether the fields of a deal say if it will be won: learned from closings before a day, judged on those after it.

    Never worse than telling every deal the share won: the fields are used only where they helped on the last quarter of the past.
    Raises: Invalid where nothing closed since.
    """
    whole = checked(book)
    cut = as_of(whole, split)
    past = history(cut)
    ended = np.flatnonzero(past.closed < NEVER)
    base, found = tilt.static_model(past, cut.extras, ended)
    later = history(whole)
    after = np.flatnonzero((later.closed < NEVER) & (later.closed >= day_number(split)))
    p = tilt.moved(np.full(len(after), base), found.of(later.rows[after], later.amount[after])[1])
    won = later.won[after]
    ensure(len(after) > 0, Invalid(f"No deal closed on {split} or later.", field="split"))
    sentence = tilt.TOLD if found.tells_apart else tilt.NOT_TOLD
    return tilt.StaticWins(
        found.tells_apart, auc(p, won), float(((p - won) ** 2).mean()), float(((base - won) ** 2).mean()), len(after), sentence
    )
