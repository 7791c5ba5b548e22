"""Billing periods: half-open [start, end), on a grid that never drifts.

A grid is an anchor and an interval. The n-th boundary is counted from the anchor, not from the last boundary, so a 31st stays
a 31st: 31 Jan, 28 Feb, 31 Mar. Calendar periods are the grid anchored on a first day. A subscription that starts or ends
inside a period of the grid has a stub, and the stub knows the whole period it is a part of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import polars as pl

from topline.kernel.errors import Invalid

Unit = Literal["day", "week", "month", "quarter", "year"]
MONTHS = {"month": 1, "quarter": 3, "year": 12}
DAYS = {"day": 1, "week": 7}
WEEKS_445 = (4, 4, 5, 4, 4, 5, 4, 4, 5, 4, 4, 5)


class PeriodInvalid(Invalid):
    """Dates from which no period can follow: an end before the start, or a day before it all began."""

    code = "period_invalid"


@dataclass(frozen=True, slots=True)
class Grid:
    """Where periods begin.

    anchor  a day on which a period begins
    unit    day, week, month, quarter or year; every: how many of them a period has
    day     day of the month, for grids in months whose anchor fell into a short month (default: the anchor's day)
    """

    anchor: date
    unit: Unit = "month"
    every: int = 1
    day: int | None = None


def add_items(frame: pl.DataFrame, *, grid: Grid) -> pl.DataFrame:
    """The frame with the columns of one grid for every row: anchor, unit, every, day."""
    return frame.with_columns(
        anchor=pl.lit(grid.anchor),
        unit=pl.lit(grid.unit),
        every=pl.lit(grid.every, dtype=pl.Int64),
        day=pl.lit(grid.day, dtype=pl.Int64),
    )


def calendar_anchor(day: date, unit: Unit) -> date:
    """The first day of the calendar week (Monday), month, quarter or year that holds a day."""
    match unit:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return date(day.year, day.month - (day.month - 1) % 3, 1)
        case "year":
            return date(day.year, 1, 1)


def billing_day_anchor(start: date, day: int) -> date:
    """The first day on or after a start that is the day of the month agreed for billing; a short month bills on its last day."""
    month = pl.DataFrame({"anchor": [start.replace(day=1)], "unit": ["month"], "every": [1], "day": [day]})
    both: list[date] = [month.select(boundary(pl.lit(n))).item() for n in (0, 1)]
    return next(found for found in both if found >= start)


def boundary(n: pl.Expr) -> pl.Expr:
    """The n-th boundary of each row's grid, from the columns anchor, unit, every and day; n may be negative."""
    anchor = pl.col("anchor")
    steps = n.cast(pl.Int64) * pl.col("every")
    in_months = steps * pl.col("unit").replace_strict(MONTHS, default=0, return_dtype=pl.Int64)
    in_days = steps * pl.col("unit").replace_strict(DAYS, default=0, return_dtype=pl.Int64)
    index = anchor.dt.year().cast(pl.Int64) * 12 + anchor.dt.month().cast(pl.Int64) - 1 + in_months
    first = pl.date(index // 12, index % 12 + 1, 1)
    wanted = pl.col("day").fill_null(anchor.dt.day().cast(pl.Int64))
    day = pl.min_horizontal(wanted, first.dt.month_end().dt.day().cast(pl.Int64))
    monthly = pl.col("unit").is_in(list(MONTHS))
    by_month = first + pl.duration(days=day - 1)
    return pl.when(monthly).then(by_month).otherwise(anchor + pl.duration(days=in_days))


def place(day: pl.Expr) -> pl.Expr:
    """The number n of the grid's period [boundary n, boundary n+1) that holds a day."""
    anchor = pl.col("anchor")
    months = (day.dt.year().cast(pl.Int64) - anchor.dt.year()) * 12 + day.dt.month().cast(pl.Int64) - anchor.dt.month()
    size = pl.col("unit").replace_strict({**MONTHS, **DAYS}, return_dtype=pl.Int64) * pl.col("every")
    days = (day - anchor).dt.total_days()
    guess = pl.when(pl.col("unit").is_in(list(MONTHS))).then(months).otherwise(days) // size
    # inside the month of a boundary the day decides: the guess is never too low, and one too high at most
    return pl.when(boundary(guess) > day).then(guess - 1).otherwise(guess)


def periods_holding(items: pl.DataFrame, *, on: str) -> pl.DataFrame:
    """The period of each row's grid that holds its day.

    items    anchor, unit, every, day and the date column `on`
    returns  items with full_start and full_end
    """
    numbered = items.with_columns(_n=place(pl.col(on)))
    return numbered.with_columns(full_start=boundary(pl.col("_n")), full_end=boundary(pl.col("_n") + 1)).drop("_n")


def period_problems(items: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """Items from which no period can follow: one row each, with the columns of items and problem str.

    items  start date, end date or null, every i64
    """
    problem = (
        pl.when(pl.col("end") <= pl.col("start")).then(pl.lit("ends_before_it_starts"))
        .when(pl.col("start") > as_of).then(pl.lit("not_started"))
        .when(pl.col("every") < 1).then(pl.lit("interval_not_positive"))
    )  # fmt: skip
    return items.with_columns(problem=problem).filter(pl.col("problem").is_not_null())


def due_periods(items: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """Every period that is due to be billed on or before a day, from the start of each item.

    items    one row per item: item_id, start date, end date or null (first day that is not billed), in_advance bool, and the grid
             (anchor, unit, every, day); fee and usage of one contract are two items, each with a cadence of its own
    returns  one row per item and period, in order: the columns of items with start and end of the billed part, full_start and
             full_end of the grid's period it belongs to, is_stub bool
    In advance a period is due on its first day, in arrears on the day after its last. Nothing is due after the end.
    Raises: PeriodInvalid, naming the items. Work: O(items + periods).
    """
    problems = period_problems(items, as_of=as_of)
    if problems.height:
        named = problems.select("item_id", "problem").head(100).to_dicts()
        raise PeriodInvalid("No period follows from these dates.", field="end", remedy="Mend the dates of the item.", items=named)
    first, last = place(pl.col("start")), place(pl.lit(as_of))
    rows = items.with_columns(_n=pl.int_ranges(first, last + 1)).explode("_n").with_columns(_n=pl.col("_n").cast(pl.Int64))
    rows = rows.with_columns(full_start=boundary(pl.col("_n")), full_end=boundary(pl.col("_n") + 1))
    begin, until = pl.max_horizontal("start", "full_start"), pl.min_horizontal("end", "full_end")
    rows = rows.with_columns(start=begin, end=until).filter(pl.col("start") < pl.col("end"))
    due = pl.when(pl.col("in_advance")).then("start").otherwise("end") <= as_of
    stub = (pl.col("start") != pl.col("full_start")) | (pl.col("end") != pl.col("full_end"))
    return rows.filter(due).with_columns(is_stub=stub).drop("_n")


def local_days(frame: pl.DataFrame, *, at: str, timezone: str) -> pl.Series:
    """The calendar day of an instant where the entity or customer is.

    at, timezone  names of a UTC instant column and of a column of IANA time zones
    returns       one date per row. Work: O(n) a time zone.
    """
    indexed = frame.select(at, timezone).with_row_index("_row")
    parts = [
        part.select("_row", day=pl.col(at).dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.date())
        for (zone,), part in indexed.partition_by(timezone, as_dict=True).items()
    ]
    return pl.concat(parts).sort("_row")["day"] if parts else pl.Series("day", [], dtype=pl.Date)


def utc_bounds(start: date, end: date, *, timezone: str) -> tuple[datetime, datetime]:
    """The instants, in UTC, at which a local period [start, end) begins and ends; events between them belong to it."""
    midnight = (
        pl.Series([start, end]).cast(pl.Datetime("us")).dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    )
    low, high = midnight.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_list()
    return low, high


def retail_periods(year_start: date, next_year_start: date, *, pattern: Sequence[int] = WEEKS_445) -> pl.DataFrame:
    """The twelve periods of a fiscal year in whole weeks: 4-4-5, or another pattern; a 53rd week goes to the last.

    returns  one row per period: number i64, start, end
    Raises: PeriodInvalid when the year is not as long as the pattern, give or take that one week.
    """
    extra = (next_year_start - year_start).days - 7 * sum(pattern)
    if extra not in (0, 7):
        raise PeriodInvalid(
            f"{year_start} to {next_year_start} is not {sum(pattern)} or {sum(pattern) + 1} weeks.", field="year_start"
        )
    lengths = [*pattern[:-1], pattern[-1] + extra // 7]
    ends = [year_start + timedelta(weeks=sum(lengths[: i + 1])) for i in range(len(lengths))]
    return pl.DataFrame({"number": range(1, len(lengths) + 1), "start": [year_start, *ends[:-1]], "end": ends})
