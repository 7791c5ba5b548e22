"""Metering: events become quantities. A meter says what is counted; what it costs is a price's business.

A meter has a method, filters on properties of its events, and properties by which its quantity is split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

import polars as pl

from topline.engine.documents import EXACT
from topline.kernel.errors import Invalid

Method = Literal["count", "sum", "max", "unique", "latest", "time_weighted", "day_weighted", "peak"]
UnitRounding = Literal["round", "ceil", "floor"]

_VALUE = pl.col("value").cast(EXACT)


def _time_weighted() -> pl.Expr:
    """A change counts for the share of the period that it lasts, so levels need not be rebuilt."""
    began = pl.max_horizontal("at", "period_start")
    left = (pl.col("period_end") - began).dt.total_microseconds()
    whole = (pl.col("whole_end") - pl.col("whole_start")).dt.total_microseconds()
    # the division comes last: a share of a month rounded first would be multiplied by every unit
    return (_VALUE * left.cast(EXACT)).sum() / whole.first().cast(EXACT)


def unit_days() -> pl.Expr:
    """Units of a change of a level times the days of its period that it lasts; the day on which units come or go still counts."""
    day = pl.col("at").dt.date() + pl.when(pl.col("value") < 0).then(pl.duration(days=1)).otherwise(pl.duration(days=0))
    return _VALUE * (pl.col("period_end").dt.date() - day).dt.total_days().clip(0).cast(EXACT)


def whole_days() -> pl.Expr:
    """Days of the whole period."""
    return (pl.col("whole_end") - pl.col("whole_start")).dt.total_days().cast(EXACT)


METHODS: dict[Method, Callable[[], pl.Expr]] = {
    "count": lambda: pl.len().cast(EXACT),
    "sum": lambda: _VALUE.sum(),
    "max": lambda: _VALUE.max(),
    "unique": lambda: pl.col("key").n_unique().cast(EXACT),
    "latest": lambda: _VALUE.sort_by("at", "event_id").last(),
    "time_weighted": _time_weighted,
    "day_weighted": lambda: unit_days().sum() / whole_days().first(),
    "peak": lambda: _VALUE.sort_by("at", "event_id").cum_sum().max(),  # of the level, whose changes the events are
}


def measure(events: pl.DataFrame | pl.LazyFrame, *, meters: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Quantities of a period from its events.

    events   one row per event: event_id, meter_id i64, at (instant), value decimal; for unique key str; for levels (time_weighted,
             day_weighted) period_start and period_end (instants), a first event with the level at the period's start, and where
             only a part of a period counts whole_start and whole_end of all of it
    meters   one row per meter: meter_id, method
    by       what a quantity is kept apart by: subscription, period, and the properties that split it
    returns  one row per meter and value of `by`, in their order: meter_id, the columns of `by`, quantity decimal(38,15), events i64
    The latest of two events at one instant is the one with the higher id. Raises: Invalid for an unknown method.
    Work: one hash group-by a method in use.
    """
    rows = events.lazy()
    schema = rows.collect_schema()
    if "period_start" in schema and "whole_start" not in schema:
        rows = rows.with_columns(whole_start="period_start", whole_end="period_end")
    parts = [pl.LazyFrame(schema={**{c: schema[c] for c in ("meter_id", *by)}, "quantity": EXACT, "events": pl.Int64})]
    for method in meters["method"].unique().sort():
        if method not in METHODS:
            raise Invalid(f"{method!r} is not a way to measure.", field="method", remedy=f"Use one of {', '.join(METHODS)}.")
        ours = meters.filter(pl.col("method") == method)["meter_id"]
        grouped = rows.filter(pl.col("meter_id").is_in(ours.implode())).group_by("meter_id", *by)
        parts.append(grouped.agg(quantity=METHODS[method]().cast(EXACT), events=pl.len().cast(pl.Int64)))
    return pl.concat(parts).sort("meter_id", *by).collect(engine="streaming")


def filtered(events: pl.DataFrame, filters: pl.DataFrame) -> pl.DataFrame:
    """The events that pass every filter of their meter.

    events   event frame with the properties as text columns
    filters  one row per meter and property: meter_id, property str, values list[str]; a meter without filters takes all
    Raises: Invalid for a property that the events do not carry. Work: one hash join a property.
    """
    kept = events
    for name in filters["property"].unique().sort():
        if name not in events.columns:
            raise Invalid(f"No event carries the property {name!r}.", field="property", remedy="Check the filters of the meter.")
        wanted = filters.filter(pl.col("property") == name).select("meter_id", _values="values")
        passes = pl.col("_values").is_null() | pl.col(name).is_in(pl.col("_values")).fill_null(value=False)
        kept = kept.join(wanted, on="meter_id", how="left", maintain_order="left").filter(passes).drop("_values")
    return kept


def of_property(name: str) -> pl.Expr:
    """What events say under a property, as text; null where they say nothing. events: properties, the text of a JSON object."""
    written = name.replace("\\", "\\\\").replace("'", "\\'")  # a name ends its own path nowhere else
    return pl.col("properties").str.json_path_match(f"$['{written}']")


def round_units(quantity: pl.Expr, *, mode: UnitRounding, decimals: int = 0) -> pl.Expr:
    """Units rounded to decimals; negative decimals round to tens, hundreds and so on."""
    step = pl.lit(Decimal(1).scaleb(-decimals), dtype=EXACT)
    scaled = quantity.cast(EXACT) / step
    match mode:
        case "round":
            whole = scaled.round(0, mode="half_away_from_zero")
        case "ceil":
            whole = scaled.ceil()
        case "floor":
            whole = scaled.floor()
    return whole * step
