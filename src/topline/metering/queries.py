"""Reads of metering: the quantity of each period, and what is in hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from django.db.models import Count, Max

from topline.engine import metering as engine
from topline.kernel import bulk
from topline.metering.models import Meter, UsageEvent

MICRO = 1_000_000


PLACED: dict[str, pl.DataType | type[pl.DataType]] = {
    "span_id": pl.Int64, "meter_id": pl.Int64, "method": pl.String, "start": pl.Date, "end": pl.Date, "value_micro": pl.Int64, "at": pl.Datetime("us"), "event_id": pl.Int64, "key": pl.String,
    "properties": pl.String,
}  # fmt: skip


def usage(spans: pl.DataFrame, *, time_zone: str) -> pl.DataFrame:
    """What was used in periods.

    spans    one row per period: span_id i64, meter_id, customer_id, start, end (dates, local to the time zone)
    returns  one row per span with events that count: span_id, quantity decimal(38,15), events i64
    A level that is time-weighted begins a period with all changes before it. Work: two statements; reads the events up to the last end.
    """
    return measured(events(spans, time_zone=time_zone))


def events(spans: pl.DataFrame, *, time_zone: str) -> pl.DataFrame:
    """The events that count in periods, in order of time, and for a time-weighted level one row with what stood when the period began.

    spans    as for `usage`; returns PLACED, a row per span and event, at local to the time zone. Work: two statements.
    """
    if spans.is_empty():
        return pl.DataFrame(schema=PLACED)
    asked = list(Meter.objects.filter(pk__in=spans["meter_id"].unique().to_list()))
    last = spans["end"].max()
    until = datetime.combine(last if isinstance(last, date) else date.max, datetime.min.time(), UTC) + timedelta(days=1)
    rows = UsageEvent.objects.filter(meter__in=asked, customer_id__in=spans["customer_id"].unique().to_list(), at__lt=until)
    found = bulk.read(
        rows.order_by("at", "id").values("id", "meter_id", "customer_id", "at", "value_micro", "unique_key", "properties")
    )
    local = pl.col("at").dt.convert_time_zone(time_zone).dt.replace_time_zone(None)
    counted = _passing(found, asked).with_columns(at=local).with_columns(on=pl.col("at").dt.date())
    methods = pl.DataFrame([(m.pk, m.method) for m in asked], schema={"meter_id": pl.Int64, "method": pl.String}, orient="row")
    placed = counted.join(spans, on=["meter_id", "customer_id"], maintain_order="left").join(
        methods, on="meter_id", maintain_order="left"
    )
    inside = placed.filter((pl.col("on") >= pl.col("start")) & (pl.col("on") < pl.col("end")))
    level = placed.filter((pl.col("on") < pl.col("start")) & (pl.col("method") == "time_weighted")).group_by("span_id", "meter_id", "method", "start", "end").agg(
        pl.col("value_micro").sum(), at=pl.col("start").first().cast(pl.Datetime("us")), event_id=pl.lit(0, dtype=pl.Int64), key=pl.lit(""), properties=pl.lit("{}")
    )  # fmt: skip
    return pl.concat([level.select(*PLACED), inside.rename({"id": "event_id", "unique_key": "key"}).select(*PLACED)])


def measured(placed: pl.DataFrame, *, by: Sequence[str] = ()) -> pl.DataFrame:
    """What events of periods come to by their meters.

    placed   of `events`, with the columns of by
    returns  one row per span and value of by: span_id, the columns of by, quantity decimal(38,15), events i64
    """
    methods = placed.select("meter_id", "method").unique()
    found = engine.measure(
        placed.with_columns(
            value=pl.col("value_micro").cast(engine.EXACT) / MICRO, period_start=pl.col("start").cast(pl.Datetime("us")), period_end=pl.col("end").cast(pl.Datetime("us")),
        ), meters=methods, by=["span_id", *by],
    )  # fmt: skip
    return found.select("span_id", *by, "quantity", "events")


def meters() -> Sequence[Mapping[str, Any]]:
    """Every meter with its events and the newest; at most 200. One statement."""
    rows = Meter.objects.annotate(count=Count("events"), newest=Max("events__at")).order_by("code")
    return list(rows.values("id", "code", "name", "method", "unit", "filters", "count", "newest")[:200])


# --- parts ---
def _passing(events: pl.DataFrame, asked: list[Meter]) -> pl.DataFrame:
    """Events that pass the filters of their meter."""
    kept = pl.lit(True)
    for meter in asked:
        for name, values in meter.filters.items():
            told = pl.col("properties").str.json_path_match(f"$['{name}']")
            kept = kept & ((pl.col("meter_id") != meter.pk) | told.is_in([str(v) for v in values]).fill_null(False))
    return events.filter(kept)
