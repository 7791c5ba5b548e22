"""Reads of metering: the quantity of each period, and what is in hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import polars as pl
from django.db.models import Count, Max

from topline.engine import metering as engine
from topline.kernel import bulk
from topline.metering import lake
from topline.metering.models import LEVELS, Backfill, Meter, UsageEvent

MICRO = 1_000_000
Rows = TypeVar("Rows", pl.DataFrame, pl.LazyFrame)


PLACED: dict[str, pl.DataType | type[pl.DataType]] = {
    "span_id": pl.Int64, "meter_id": pl.Int64, "method": pl.String, "start": pl.Date, "end": pl.Date, "full_start": pl.Date, "full_end": pl.Date, "value_micro": pl.Int64, "at": pl.Datetime("us"), "event_id": pl.Int64, "key": pl.String,
    "properties": pl.String, "part": pl.String,
}  # fmt: skip


def usage(spans: pl.DataFrame, *, time_zone: str) -> pl.DataFrame:
    """What was used in periods.

    spans    one row per period: span_id i64, meter_id, customer_id, start, end, full_start, full_end (dates, local to the time zone)
    returns  one row per span with events that count: span_id, quantity decimal(38,15), events i64
    A level begins a period with all changes before it, and counts for its share of the whole period. Work: three statements; reads the events up to the last end,
    those in the lake as a stream of which only what is needed comes into memory.
    """
    asked = list(Meter.objects.filter(pk__in=spans["meter_id"].unique().to_list()).values_list("id", "method", "group_by"))
    methods = pl.DataFrame([row[:2] for row in asked], schema=METHOD, orient="row")
    return _measured(_placed(spans, time_zone=time_zone), methods, ["span_id"], apart=any(row[2] for row in asked))


@dataclass(frozen=True)
class Family:
    """Records of customers that turned out to be one, and who of them is billed by a meter: an event counts once among them, for its own record if that is.

    records  record_id, customer_id (whom it is one with; its own id where it took others over)
    billed   record_id, meter_id, start, end dates (null: no end), local to the time zone
    """

    records: pl.DataFrame
    billed: pl.DataFrame


def events(spans: pl.DataFrame, *, time_zone: str, family: Family | None = None) -> pl.DataFrame:
    """The events that count in periods, in order of time, and for a time-weighted level one row with what stood when the period began.

    spans    as for `usage`; returns PLACED, a row per span and event, at local to the time zone. Work: three statements.
    """
    return _placed(spans, time_zone=time_zone, family=family).sort("at", "event_id", "span_id").collect()


def measured(placed: pl.DataFrame, *, by: Sequence[str] = ()) -> pl.DataFrame:
    """What events of periods come to by their meters.

    placed   of `events`, with the columns of by
    returns  one row per span and value of by, in their order: span_id, the columns of by, quantity decimal(38,15), events i64
    """
    methods = placed.select("meter_id", "method").unique()
    return _measured(placed.lazy(), methods, ["span_id", *by], apart=placed["part"].is_not_null().any())


def parts(placed: pl.DataFrame) -> pl.DataFrame:
    """What events of periods come to by the property that their meter keeps apart, the largest first: span_id, part (such as server=a), quantity. Other meters have no row.

    placed  of `events`
    """
    apart = placed.filter(pl.col("part").is_not_null())
    methods = apart.select("meter_id", "method").unique()
    told = engine.measure(_timed(apart), meters=methods, by=["span_id", "part"])
    return told.select("span_id", "part", "quantity").sort("span_id", "quantity", "part", descending=[False, True, False])


def movements(placed: pl.DataFrame) -> pl.DataFrame:
    """Changes of levels that count by days, in order of time: span_id, units decimal (below zero: gone), prorated (for the share of the period that they last).

    placed  of `events`. A period without such changes has no row. Work: O(events).
    """
    rows = _timed(placed.filter(pl.col("method") == "day_weighted").sort("span_id", "at", "event_id"))
    return rows.select("span_id", units="value", prorated=engine.unit_days() / engine.whole_days())


def counting(*, meter_id: int, customer_id: int | None, start_at: datetime, end_at: datetime) -> int:
    """How many events of a meter count between two moments, of one customer or of all. Work: three statements."""
    rows = UsageEvent.objects.filter(meter_id=meter_id, at__gte=start_at, at__lt=end_at)
    away = lake.scan(until=end_at).filter((pl.col("meter_id") == meter_id) & (pl.col("at") >= start_at) & (pl.col("at") < end_at))
    columns = ["id", "meter_id", "customer_id", "at"]
    found = standing(pl.concat([bulk.read(rows.values(*columns)).lazy(), away.select(columns)]), [meter_id])
    if customer_id is not None:
        found = found.filter(pl.col("customer_id") == customer_id)
    return int(found.select(pl.len()).collect().item())


def backfills() -> list[Mapping[str, Any]]:
    """Spans that were sent again, newest first; at most 100. One statement."""
    columns = (
        "id",
        "meter__code",
        "customer__name",
        "start_at",
        "end_at",
        "replaced",
        "recorded",
        "because",
        "actor_name",
        "recorded_at",
    )
    return list(Backfill.objects.order_by("-id").values(*columns)[:100])


def meters() -> Sequence[Mapping[str, Any]]:
    """Every meter with its events, those in the lake among them, and the newest; at most 200. Three statements, of which one passes over the table of events."""
    columns = ("id", "code", "name", "method", "unit", "filters", "group_by", "rounding", "round_decimals")
    here = {
        meter: seen for meter, *seen in UsageEvent.objects.order_by().values_list("meter_id").annotate(Count("id"), Max("at"))
    }
    away = lake.by_meter()
    found = list(Meter.objects.order_by("code").values(*columns)[:200])
    for row in found:
        seen = [both[row["id"]] for both in (here, away) if row["id"] in both]
        row["count"] = sum(count for count, _ in seen)
        row["newest"] = max((at for _, at in seen), default=None)
    return found


# --- parts ---
METHOD = {"meter_id": pl.Int64, "method": pl.String}


def _measured(placed: pl.LazyFrame, methods: pl.DataFrame, by: list[str], *, apart: bool) -> pl.DataFrame:
    if not apart:
        return engine.measure(_timed(placed), meters=methods, by=by).select(*by, "quantity", "events")
    told = engine.measure(_timed(placed), meters=methods, by=[*by, "part"])
    return told.group_by(by).agg(pl.col("quantity", "events").sum()).sort(by)


def _timed(placed: Rows) -> Rows:
    """Events of periods as the engine measures them."""
    moments = {"period_start": "start", "period_end": "end", "whole_start": "full_start", "whole_end": "full_end"}
    return placed.with_columns(
        value=pl.col("value_micro").cast(engine.EXACT) / MICRO,
        **{name: pl.col(day).cast(pl.Datetime("us")) for name, day in moments.items()},
    )


def _placed(spans: pl.DataFrame, *, time_zone: str, family: Family | None = None) -> pl.LazyFrame:
    """Events beside the periods in which they count: see `events`.

    A period is met by the months that it touches, so that an event is not held against all periods of its customer.
    """
    if spans.is_empty():
        return pl.LazyFrame(schema=PLACED)
    asked = list(Meter.objects.filter(pk__in=spans["meter_id"].unique().to_list()))
    methods = pl.LazyFrame([(m.pk, m.method) for m in asked], schema=METHOD, orient="row")
    begin, end = (_moment(name, time_zone) for name in ("start", "end"))
    month = pl.col("_begin").dt.month_start().dt.date()
    timed = spans.lazy().with_columns(_begin=begin, _end=end).join(methods, on="meter_id").with_columns(
        _month=pl.date_ranges(month, (pl.col("_end") - pl.duration(microseconds=1)).dt.date(), "1mo")
    )  # fmt: skip
    until = timed.select(pl.col("_end").max()).collect().item()
    whose = spans["customer_id"].unique()
    if family is None:
        found = _passing(_read(asked, whose, until), asked)
    else:
        ours = pl.col("customer_id").is_in(
            family.records.filter(pl.col("record_id").is_in(whose.implode()))["customer_id"].implode()
        )
        records = pl.concat([whose, family.records.filter(ours)["record_id"]]).unique()
        found = _passing(_read(asked, records, until), asked)
        found = _for_one_of_them(found, family, methods, time_zone)
    key = ["meter_id", "customer_id"]
    inside = (
        found.with_columns(_month=pl.col("at").dt.month_start().dt.date())
        .join(timed.explode("_month"), on=[*key, "_month"])
        .filter((pl.col("at") >= pl.col("_begin")) & (pl.col("at") < pl.col("_end")))
        .with_columns(at=pl.col("at").dt.convert_time_zone(time_zone).dt.replace_time_zone(None))
        .rename({"id": "event_id", "unique_key": "key"})
        .with_columns(part=_part(asked))
    )
    parts = [inside.select(*PLACED)]
    if any(m.method in LEVELS for m in asked):
        before = found.join(timed.filter(pl.col("method").is_in(LEVELS)), on=key).filter(pl.col("at") < pl.col("_begin"))
        level = before.group_by("span_id", "meter_id", "method", "start", "end", "full_start", "full_end").agg(
            pl.col("value_micro").sum(), at=pl.col("start").first().cast(pl.Datetime("us")), event_id=pl.lit(0, dtype=pl.Int64), key=pl.lit(""), properties=pl.lit("{}"), part=pl.lit(None, dtype=pl.String)
        )  # fmt: skip
        parts = [level.select(*PLACED), *parts]
    return pl.concat(parts)


def _part(asked: list[Meter]) -> pl.Expr:
    """The part of its meter's quantity to which an event counts, such as server=a; null where all is measured at once."""
    told = pl.lit(None, dtype=pl.String)
    for meter in asked:
        if meter.group_by:
            part = pl.lit(f"{meter.group_by}=") + engine.of_property(meter.group_by).fill_null("")
            told = pl.when(pl.col("meter_id") == meter.pk).then(part).otherwise(told)
    return told


def _moment(day: str, time_zone: str) -> pl.Expr:
    """The moment at which a local day begins; where clocks leap over midnight, an hour later."""
    local = pl.col(day).cast(pl.Datetime("us"))
    at = [
        (local + pl.duration(hours=late)).dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
        for late in (0, 1)
    ]
    return pl.coalesce(at).dt.convert_time_zone("UTC")


def _read(asked: list[Meter], customers: pl.Series, until: datetime) -> pl.LazyFrame:
    """Events of meters and customers before a moment, from table and lake."""
    columns = ["id", "meter_id", "customer_id", "at", "value_micro", "unique_key", "properties"]
    ids = [m.pk for m in asked]
    rows = UsageEvent.objects.filter(meter__in=asked, customer_id__in=customers.to_list(), at__lt=until)
    away = lake.scan(until=until).filter(
        pl.col("customer_id").is_in(customers.implode()) & pl.col("meter_id").is_in(ids) & (pl.col("at") < until)
    )
    return standing(pl.concat([bulk.read(rows.values(*columns)).lazy(), away.select(columns)]), ids)


def _for_one_of_them(found: pl.LazyFrame, family: Family, methods: pl.LazyFrame, time_zone: str) -> pl.LazyFrame:
    """Events under the record whose contract they count for: their own where it is billed by the meter on their day, else the first of the family that is.

    A level is not cut by days: it counts for its own record where that is ever billed by it.
    """
    records = family.records.lazy()
    billed = family.billed.lazy().with_columns(_from=_moment("start", time_zone), _to=_moment("end", time_zone))
    billed = billed.join(records, on="record_id").select("meter_id", "customer_id", "_from", "_to", _taker="record_id")
    theirs = found.rename({"customer_id": "record_id"}).join(records, on="record_id").join(methods, on="meter_id")
    on_day = (pl.col("at") >= pl.col("_from")) & (pl.col("_to").is_null() | (pl.col("at") < pl.col("_to")))
    takers = (
        theirs.join(billed, on=["meter_id", "customer_id"])
        .filter(on_day | pl.col("method").is_in(LEVELS))
        .sort(pl.col("_taker") != pl.col("record_id"), "_taker")
        .group_by("id", maintain_order=True)
        .agg(pl.col("_taker").first())
    )
    placed = found.join(takers, on="id", how="left", maintain_order="left")
    return placed.with_columns(customer_id=pl.coalesce("_taker", "customer_id")).drop("_taker")


def standing(events: pl.LazyFrame, meters: list[int]) -> pl.LazyFrame:
    """Events that no backfill replaced. Work: one statement, one comparison an event and backfill of the meters."""
    gone = pl.lit(value=False)
    spans = Backfill.objects.filter(meter__in=meters).order_by("id")
    for meter, customer, start, end, upto in spans.values_list("meter_id", "customer_id", "start_at", "end_at", "upto_id"):
        whose = pl.lit(value=True) if customer is None else pl.col("customer_id") == customer
        gone = gone | (
            (pl.col("meter_id") == meter) & whose & (pl.col("at") >= start) & (pl.col("at") < end) & (pl.col("id") <= upto)
        )
    return events.filter(~gone)


def _passing(events: pl.LazyFrame, asked: list[Meter]) -> pl.LazyFrame:
    """Events that pass the filters of their meter."""
    kept = pl.lit(True)
    for meter in asked:
        for name, values in meter.filters.items():
            told = engine.of_property(name).is_in([str(v) for v in values]).fill_null(False)
            kept = kept & ((pl.col("meter_id") != meter.pk) | told)
    return events.filter(kept)
