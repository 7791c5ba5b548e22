"""Verbs of metering: add a meter, take events in."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, ensure
from topline.market import queries as market
from topline.metering.models import METHODS, Meter, StrayEvent, UsageEvent

AHEAD = timedelta(days=1)  # clocks of senders may be wrong by that much
SAME = ["meter_id", "customer_id", "at", "value_micro", "unique_key"]
TEXT = ("meter", "customer", "unique_key", "properties")


class MeterCodeTaken(Conflict):
    """Another meter has the code."""

    code = "meter_code_taken"


class EventKeyReused(Conflict):
    """An event of that key was taken in with other content."""

    code = "event_key_reused"


@action("metering.add_meter")
def add_meter(
    *, actor: Actor, code: str, name: str, method: str, unit: str = "", filters: dict[str, list[str]] | None = None
) -> int:
    """Say what is counted of events; returns the meter's id. Raises: Invalid (no code, unknown method), MeterCodeTaken."""
    ensure(
        bool(code.strip()) and bool(name.strip()),
        Invalid("A meter needs a code and a name.", field="code", remedy="Fill in both."),
    )
    ensure(
        method in METHODS,
        Invalid(f"{method!r} is no way to measure.", field="method", remedy=f"Use one of {', '.join(METHODS)}."),
    )
    ensure(
        not Meter.objects.filter(code=code.strip()).exists(),
        MeterCodeTaken(f"There is a meter {code.strip()} already.", field="code", remedy="Use another code."),
    )
    made = Meter.objects.create(
        code=code.strip()[:40],
        name=name.strip()[:100],
        method=method,
        unit=unit.strip()[:40],
        filters=filters or {},
        created_at=clock.now(),
    )
    changed("meter", made.pk, after={"code": made.code, "method": method})
    return made.pk


@action("metering.record_events")
def record_events(*, actor: Actor, events: pl.DataFrame) -> pl.DataFrame:
    """Take events in, each once: the same key again changes nothing.

    events   one row per event: key str, meter (code), customer (number or name), at datetime (UTC); optional value_micro i64 (default one), unique_key,
             properties (the text of a JSON object)
    returns  one row per event in the same order: key, outcome str (recorded, known, or kept_aside) and why (null unless kept aside)
    An event of an unknown meter or customer, without a key, or of more than a day ahead is kept aside with the reason; the others are recorded.
    Work: a fixed number of statements. Raises: EventKeyReused (the same key with other content; nothing of the batch is written).
    """
    if events.is_empty():
        return pl.DataFrame(schema={"key": pl.String, "outcome": pl.String, "why": pl.String})
    have = events.columns
    rows = events.select(
        pl.col("key").cast(pl.String).fill_null("").str.strip_chars(),
        *((pl.col(c) if c in have else pl.lit("").alias(c)).cast(pl.String).fill_null("") for c in TEXT),
        pl.col("at").cast(pl.Datetime("us")),
        (pl.col("value_micro") if "value_micro" in have else pl.lit(1_000_000).alias("value_micro"))
        .cast(pl.Int64)
        .fill_null(1_000_000),
    ).with_row_index("_n")
    meters = bulk.read(Meter.objects.values("id", "code")).rename({"id": "meter_id", "code": "meter"})
    named = rows["customer"].filter(rows["customer"] != "").unique()
    buyers = (
        market.find(named).rename({"value": "customer"})
        if named.len()
        else pl.DataFrame(schema={"customer": pl.String, "customer_id": pl.Int64})
    )
    placed = rows.join(meters, on="meter", how="left", maintain_order="left").join(
        buyers, on="customer", how="left", maintain_order="left"
    )
    late = clock.now().replace(tzinfo=None) + AHEAD
    why = (
        pl.when(pl.col("key") == "").then(pl.lit("no_key")).when(pl.col("key").str.len_chars() > 100).then(pl.lit("long_key")).when(pl.col("meter_id").is_null()).then(pl.lit("unknown_meter"))
        .when(pl.col("customer_id").is_null()).then(pl.lit("unknown_customer")).when(pl.col("at").is_null()).then(pl.lit("no_moment")).when(pl.col("at") > late).then(pl.lit("in_the_future"))
    )  # fmt: skip
    told = placed.with_columns(why=why)
    good = told.filter(pl.col("why").is_null())
    _ensure_same(good, good.unique("key", keep="first"))
    known = _known(good["key"].to_list())
    _ensure_same(good, known)
    fresh = good.join(known.select("key"), on="key", how="anti", maintain_order="left").unique(
        "key", keep="first", maintain_order=True
    )
    if fresh.height:
        written = bulk.insert(UsageEvent, fresh.select("key", *SAME, properties=pl.when(pl.col("properties") == "").then(pl.lit("{}")).otherwise("properties"), recorded_at=pl.lit(clock.now())).with_columns(pl.col("at").dt.replace_time_zone("UTC")))  # fmt: skip
        changed_many("usage_event", written["id"])
    aside = told.filter(pl.col("why").is_not_null())
    StrayEvent.objects.bulk_create(
        [StrayEvent(key=r["key"][:100], said={**{c: r[c] for c in TEXT}, "at": str(r["at"] or ""), "value_micro": r["value_micro"]}, code=r["why"], message=WHY[r["why"]], received_at=clock.now()) for r in aside.to_dicts()],
        batch_size=500,
    )  # fmt: skip
    first = pl.col("_n").is_in(fresh["_n"].implode())
    outcome = (
        pl.when(pl.col("why").is_not_null())
        .then(pl.lit("kept_aside"))
        .when(first)
        .then(pl.lit("recorded"))
        .otherwise(pl.lit("known"))
    )
    return told.with_columns(outcome=outcome).sort("_n").select("key", "outcome", "why")


WHY = {
    "no_key": "It has no key, so it could be counted twice.", "long_key": "Its key is longer than 100 characters.", "unknown_meter": "There is no such meter.",
    "unknown_customer": "There is no such customer, or more than one.", "no_moment": "It does not say when.", "in_the_future": "It lies more than a day ahead.",
}  # fmt: skip


# --- parts ---
def _known(keys: list[str]) -> pl.DataFrame:
    parts = [UsageEvent.objects.filter(key__in=keys[at : at + 900]).values("key", *SAME) for at in range(0, len(keys), 900)]
    frames = [bulk.read(p) for p in parts]
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "key": pl.String,
        "meter_id": pl.Int64,
        "customer_id": pl.Int64,
        "at": pl.Datetime("us"),
        "value_micro": pl.Int64,
        "unique_key": pl.String,
    }
    return (
        pl.concat([f.with_columns(pl.col("at").dt.replace_time_zone(None)) for f in frames])
        if frames
        else pl.DataFrame(schema=schema)
    )


def _ensure_same(events: pl.DataFrame, others: pl.DataFrame) -> None:
    both = events.join(others.select("key", *(pl.col(c).alias(f"_{c}") for c in SAME)), on="key")
    odd = both.filter(~pl.all_horizontal(pl.col(c).eq_missing(pl.col(f"_{c}")) for c in SAME))
    if odd.height:
        raise EventKeyReused(
            f"The event {odd['key'][0]} is known with other content.", field="key", remedy="Give every event a key of its own."
        )
