"""Verbs of metering: add a meter, take events in."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

import msgspec
import polars as pl
from django.db import IntegrityError, connection, transaction

from topline.kernel import bulk, clock, guards
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.database import one_of
from topline.kernel.errors import Conflict, Invalid, ensure
from topline.market import queries as market
from topline.metering import lake, queries
from topline.metering.models import LEVELS, METHODS, ROUNDINGS, Backfill, LakePart, Meter, StrayEvent, UsageEvent

CODE = re.compile(r"[A-Za-z0-9_.-]{1,40}")  # as rows of prices by the limits of meters write it
AHEAD = timedelta(days=1)  # clocks of senders may be wrong by that much
SAME = ["meter_id", "customer_id", "at", "value_micro", "unique_key"]
KNOWN = ["key", *SAME, "properties"]
TEXT = ("meter", "customer", "unique_key", "properties")
MAX_FILTERS, MAX_VALUES, MAX_TEXT = 20, 100, 100  # properties of a meter, values of a property, characters of a value
CURED = ("unknown_meter", "unknown_customer", "in_the_future")  # why an event was kept aside that may have a place by now
AT = "%Y-%m-%d %H:%M:%S%.f"  # as a moment is kept aside
PROPERTY = "Use up to 40 letters, digits, points, hyphens and underscores."
TRIES = 5  # rivals that may bring the same keys at the same moment


class MeterCodeTaken(Conflict):
    """Another meter has the code."""

    code = "meter_code_taken"


class EventKeyReused(Conflict):
    """An event of that key was taken in with other content."""

    code = "event_key_reused"


class InTheLake(Conflict):
    """An event of that key was taken in long ago."""

    code = "event_in_the_lake"


class EventsCameMeanwhile(Conflict):
    """Events came in while others were written to the lake."""

    code = "events_came_meanwhile"


@action("metering.add_meter")
def add_meter(
    *,
    actor: Actor,
    code: str,
    name: str,
    method: str,
    unit: str = "",
    filters: dict[str, list[str]] | None = None,
    group_by: str = "",
    rounding: str = "",
    round_decimals: int = 0,
) -> int:
    """Say what is counted of events; returns the meter's id.

    filters                   property to the values that count; an event counts where all of them hold
    group_by                  property by whose values events are measured apart, such as the most of each server; their sum is the quantity
    rounding, round_decimals  how the quantity of a period is rounded before it is priced: round, ceil or floor, to so many decimals; below zero to tens, hundreds and so on
    Raises: Invalid (no code, unknown method or rounding, a filter that no event can pass), MeterCodeTaken.
    """
    ensure(
        bool(code.strip()) and bool(name.strip()),
        Invalid("A meter needs a code and a name.", field="code", remedy="Fill in both."),
    )
    ensure(bool(CODE.fullmatch(code.strip())), Invalid(f"{code.strip()!r} is no code: events and prices name the meter by it.", field="code", remedy="Use up to 40 letters, digits, points, hyphens and underscores."))  # fmt: skip
    ensure(
        method in METHODS,
        Invalid(f"{method!r} is no way to measure.", field="method", remedy=f"Use one of {', '.join(METHODS)}."),
    )
    ensure(
        rounding in ("", *ROUNDINGS),
        Invalid(f"{rounding!r} is no way to round.", field="rounding", remedy=f"Use one of {', '.join(ROUNDINGS)}, or nothing."),
    )
    ensure(-9 <= round_decimals <= 6, Invalid("Quantities are rounded to -9 to 6 decimals.", field="round_decimals"))
    only = {name.strip(): [v.strip() for v in values if v.strip()] for name, values in (filters or {}).items()}
    _ensure_filters(only)
    ensure(not group_by or bool(CODE.fullmatch(group_by)), Invalid(f"{group_by!r} is no property.", field="group_by", remedy=PROPERTY))  # fmt: skip
    ensure(not group_by or method not in LEVELS, Invalid("A level over time is of a customer as a whole.", field="group_by", remedy="Use a meter that sums or counts."))  # fmt: skip
    ensure(
        not Meter.objects.filter(code=code.strip()).exists(),
        MeterCodeTaken(f"There is a meter {code.strip()} already.", field="code", remedy="Use another code."),
    )
    made = Meter.objects.create(
        code=code.strip()[:40],
        name=name.strip()[:100],
        method=method,
        unit=unit.strip()[:40],
        filters=only,
        group_by=group_by,
        rounding=rounding,
        round_decimals=round_decimals if rounding else 0,
        created_at=clock.now(),
    )
    changed("meter", made.pk, after={"code": made.code, "method": method, "filters": only, "group_by": group_by})
    return made.pk


@action("metering.record_events")
def record_events(*, actor: Actor, events: pl.DataFrame, whole: bool = True) -> pl.DataFrame:
    """Take events in, each once: the same key again changes nothing.

    events   one row per event: key str, meter (code), customer (number or name), at datetime (UTC); optional value_micro i64 (default one), unique_key,
             properties (the text of a JSON object)
    whole    a key that is known with other content refuses all of them; otherwise that event alone is refused
    returns  one row per event in the same order: key, outcome str (recorded, known, kept_aside, refused) and why (null where it counts)
    An event of an unknown meter or customer, without a key, or of more than a day ahead is kept aside with the reason; the others are recorded, and what was
    kept aside under their keys before is not any more. Work: a fixed number of statements, one more where a key is known or something is kept aside.
    Raises: EventKeyReused (the same key with other content; nothing of the batch is written).
    """
    if events.is_empty():
        return pl.DataFrame(schema={"key": pl.String, "outcome": pl.String, "why": pl.String})
    told = _placed(events)
    first = told.filter(pl.col("why").is_null()).unique("key", keep="first", maintain_order=True)
    fresh, known = _write(first, whole=whole)
    _placed_at_last(first["key"])
    if fresh.len() == told.height:
        return told.select("key", outcome=pl.lit("recorded"), why="why")
    told = _compared(told, pl.concat([known, first.join(known, on="key", how="anti").select(KNOWN)]), whole=whole)
    _keep_aside(told.filter(pl.col("why").is_in(list(WHY))))
    outcome = (
        pl.when(pl.col("why") == REUSED)
        .then(pl.lit("refused"))
        .when(pl.col("why").is_not_null())
        .then(pl.lit("kept_aside"))
        .when(pl.col("_n").is_in(fresh.implode()))
        .then(pl.lit("recorded"))
        .otherwise(pl.lit("known"))
    )
    return told.select("key", outcome=outcome, why="why")


@action("metering.place_strays")
def place_strays(*, actor: Actor) -> int:
    """Take in events that were kept aside and have a place by now: their meter or customer is there, or their day has come. Returns how many.

    The others stay as they are. Twice changes nothing. Work: as `record_events`, of at most 10,000 events.
    """
    kept = bulk.read(StrayEvent.objects.filter(code__in=CURED).order_by("id").values("key", "said")[:MOST_STRAYS])
    if kept.is_empty():
        return 0
    said = kept.select("key", pl.col("said").str.json_decode(SAID)).unnest("said")
    events = said.with_columns(pl.col("at").str.to_datetime(AT, time_unit="us", strict=False))
    ready = _placed(events).filter(pl.col("why").is_null())["_n"]
    told = record_events(actor=actor, events=events[ready.to_list()], whole=False)
    return told.filter(pl.col("outcome") == "recorded").height


@action("metering.backfill")
def backfill(
    *, actor: Actor, meter: str, start_at: datetime, end_at: datetime, events: pl.DataFrame, because: str, customer: str = ""
) -> int:
    """Send a span of a meter again: what counted in it no longer does, the events given here do; returns the backfill's id.

    start_at, end_at  moments (UTC), half-open
    customer          number or name: only theirs; empty: everybody's
    events            as for `record_events`, all of the meter, the customer and the span; empty: nothing was used
    What was billed of the span is billed anew by the next run, as differences. Nothing is deleted: replaced events stay where they are. Later events of the
    span count again. Work: a fixed number of statements. Raises: Invalid (no reason, no such meter or customer, an event that cannot be placed in the span),
    EventKeyReused (an event of the span needs a new key).
    """
    ensure(bool(because.strip()), Invalid("Say why it is sent again.", field="because"))
    ensure(start_at < end_at, Invalid("The span ends before it starts.", field="end_at", remedy="Give two moments in order."))
    counted = Meter.objects.filter(code=meter).first()
    if counted is None:
        raise Invalid(f"There is no meter {meter}.", field="meter", remedy="Use the code of one.")
    whose = market.find(pl.Series([customer]))["customer_id"][0] if customer else None
    ensure(not customer or whose is not None, Invalid(f"There is no customer {customer!r}, or more than one.", field="customer"))
    replaced = queries.counting(meter_id=counted.pk, customer_id=whose, start_at=start_at, end_at=end_at)
    upto_id = bulk.reserve_ids(UsageEvent, 1)[0]
    placed = _placed(events) if events.height else None
    if placed is not None:
        inside = (pl.col("meter_id") == counted.pk) & (pl.col("at") >= start_at) & (pl.col("at") < end_at)
        ours = inside if whose is None else inside & (pl.col("customer_id") == whose)
        odd = placed.filter(pl.col("why").is_not_null() | ~ours)
        if odd.height:
            said = WHY.get(odd["why"][0], "It is of another meter, customer or time.")
            raise Invalid(
                f"The event {odd['key'][0]!r} does not belong into the span. {said}",
                field="events",
                remedy="Send only what the span holds.",
            )
        told = record_events(actor=actor, events=events)
        known = told.filter(pl.col("outcome") != "recorded")["key"]
        ensure(known.is_empty(), EventKeyReused(f"The event {known[0] if known.len() else ''} was taken in before, so it would not count in the span.", field="events", remedy="Give every event of the span a new key."))  # fmt: skip
    made = Backfill.objects.create(
        meter=counted, customer_id=whose, start_at=start_at, end_at=end_at, upto_id=upto_id, replaced=replaced, recorded=events.height, because=because.strip()[:300],
        actor_name=actor.name, recorded_at=clock.now(),
    )  # fmt: skip
    changed("backfill", made.pk, after={"meter": meter, "customer_id": whose, "replaced": replaced, "recorded": events.height})
    return made.pk


@action("metering.move_to_lake", replayable=False, ahead=lake.write_chunk)
def move_to_lake(*, actor: Actor, until: date, ahead: lake.Chunk | None = None) -> int:
    """Take the oldest events before a day (UTC) out of the table that were written to the lake; returns how many, 0 where none are left.

    ahead  the files, written before the transaction opens. They count from its commit on, in which the events leave the table.
    Work: a pass over at most 500,000 events; on PostgreSQL intake waits for the deletion. Raises: EventsCameMeanwhile (begin again).
    """
    if ahead is None:
        return 0
    with guards.lifted(UsageEvent):
        count, _ = UsageEvent.objects.filter(at__lt=ahead.until, pk__lte=ahead.last_id).delete()
    ensure(count == ahead.rows, EventsCameMeanwhile("Late events came in while the files were written.", remedy="Sync again."))
    LakePart.objects.bulk_create([LakePart(**part, made_at=clock.now()) for part in ahead.parts], batch_size=100)
    made = LakePart.objects.filter(path__in=[part["path"] for part in ahead.parts])
    changed_many("lake_part", list(made.values_list("id", flat=True)))
    return count


_decoded = msgspec.json.Decoder().decode
_sorted = msgspec.json.Encoder(order="sorted")
REUSED = "event_key_reused"
WHY = {
    "no_key": "It has no key, so it could be counted twice.", "long_key": "Its key is longer than 100 characters.", "unknown_meter": "There is no such meter.",
    "unknown_customer": "There is no such customer, or more than one.", "no_moment": "It does not say when.", "in_the_future": "It lies more than a day ahead.",
    "long_unique_key": "What tells it apart is longer than 100 characters.",
}  # fmt: skip


MOST_STRAYS = 10_000
SAID = pl.Struct({"meter": pl.String, "customer": pl.String, "unique_key": pl.String, "properties": pl.String, "value_micro": pl.Int64, "at": pl.String})  # fmt: skip


# --- parts ---
def _ensure_filters(filters: dict[str, list[str]]) -> None:
    """Properties and values that events can carry, and that a meter's page can show."""
    ensure(len(filters) <= MAX_FILTERS, Invalid(f"At most {MAX_FILTERS} properties.", field="filters"))
    for name, values in filters.items():
        ensure(bool(CODE.fullmatch(name)), Invalid(f"{name!r} is no property.", field="filters", remedy=PROPERTY))  # fmt: skip
        ensure(bool(values), Invalid(f"No value of {name} counts, so no event ever would.", field="filters", remedy="Name the values that count."))  # fmt: skip
        ensure(len(values) <= MAX_VALUES and all(len(v) <= MAX_TEXT for v in values), Invalid(f"{name} has too many values, or one that is too long.", field="filters", remedy=f"At most {MAX_VALUES} of {MAX_TEXT} characters."))  # fmt: skip


def _placed(events: pl.DataFrame) -> pl.DataFrame:
    """Events with the ids of meter and customer, and why one cannot be placed; in their order, numbered by _n."""
    have = events.columns
    meters = dict(Meter.objects.values_list("code", "id"))
    customer = (pl.col("customer") if "customer" in have else pl.lit("")).cast(pl.String).fill_null("")
    buyers = market.find(events.select(customer)["customer"]).rename({"value": "customer"})
    late = clock.now() + AHEAD
    why = (
        pl.when(pl.col("key") == "").then(pl.lit("no_key")).when(pl.col("key").str.len_chars() > 100).then(pl.lit("long_key")).when(pl.col("meter_id").is_null()).then(pl.lit("unknown_meter"))
        .when(pl.col("customer_id").is_null()).then(pl.lit("unknown_customer")).when(pl.col("at").is_null()).then(pl.lit("no_moment")).when(pl.col("at") > late).then(pl.lit("in_the_future"))
        .when(pl.col("unique_key").str.len_chars() > 100).then(pl.lit("long_unique_key"))
    )  # fmt: skip
    return (
        events.lazy()
        .select(
            pl.col("key").cast(pl.String).fill_null("").str.strip_chars(),
            *((pl.col(c) if c in have else pl.lit("").alias(c)).cast(pl.String).fill_null("") for c in TEXT),
            pl.col("at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            (pl.col("value_micro") if "value_micro" in have else pl.lit(1_000_000).alias("value_micro"))
            .cast(pl.Int64)
            .fill_null(1_000_000),
        )
        .with_row_index("_n")
        .join(buyers.lazy(), on="customer", how="left", maintain_order="left")
        .with_columns(meter_id=pl.col("meter").replace_strict(meters, default=None, return_dtype=pl.Int64))
        .with_columns(why=why)
        .collect(engine="in-memory")
    )


def _keep_aside(events: pl.DataFrame) -> None:
    """Write down what could not be placed, as it came."""
    said = pl.struct(
        "meter",
        "customer",
        "unique_key",
        "properties",
        "value_micro",
        at=pl.col("at").dt.strftime(AT).fill_null(""),
    )
    events = events.filter((pl.col("key") == "") | pl.col("key").is_last_distinct())
    _placed_at_last(events["key"].filter(events["key"] != "").str.slice(0, 100))  # what comes again under its key is told once
    message = pl.col("why").replace_strict(WHY, return_dtype=pl.String)
    rows = events.select(pl.col("key").str.slice(0, 100), said=said.struct.json_encode(), code="why", message=message)
    bulk.insert(StrayEvent, rows.with_columns(received_at=pl.lit(clock.now())))


def _placed_at_last(keys: pl.Series) -> None:
    """Events that were kept aside and came again are not told twice."""
    if not StrayEvent.objects.exists():
        return
    is_asked, given = one_of("key", keys.to_list())
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {StrayEvent._meta.db_table} WHERE {is_asked}", given)


def _write(events: pl.DataFrame, *, whole: bool) -> tuple[pl.Series, pl.DataFrame]:
    """Write what is new; returns the numbers (_n) of the events written, and what is known under the keys of the others.

    Most batches hold nothing that is known: they are written without asking. The unique key refuses the batch where that was wrong; then what
    is known is read and the rest written. Rows are written in the order of their keys, so that two who bring the same ones do not wait for each other.
    """
    text = pl.when(pl.col("properties") == "").then(pl.lit("{}")).otherwise("properties")
    rows = events.select("_n", "key", *SAME, properties=text, recorded_at=pl.lit(clock.now()))
    fresh, known = rows, pl.DataFrame(schema=bulk.schema(UsageEvent, KNOWN))
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic():
                numbered = fresh.with_columns(bulk.reserve_ids(UsageEvent, fresh.height))
                bulk.insert(UsageEvent, numbered.drop("_n").sort("key"))
                if lake.known(fresh["key"]).height:  # asked after the rows are in: they may have left the table just before
                    raise InTheLake("A key is known.")
        except (IntegrityError, InTheLake):
            if not left:
                raise
            known = _known(rows["key"])
            _compared(events, known, whole=whole)
            fresh = rows.join(known, on="key", how="anti", maintain_order="left")
        else:
            break
    changed_many("usage_event", numbered["id"])
    return fresh["_n"], known


def _known(keys: pl.Series) -> pl.DataFrame:
    """The events of keys that were taken in before, from table and lake."""
    is_asked, given = one_of("key", keys.to_list())
    found = bulk.query(
        f"SELECT {', '.join(KNOWN)} FROM {UsageEvent._meta.db_table} WHERE {is_asked}", given, bulk.schema(UsageEvent, KNOWN)
    )
    return pl.concat([found, lake.known(keys).select(KNOWN)])


def _in_order(properties: pl.Series) -> pl.Series:
    """Properties written one way, whatever the order and the blanks in which they came."""
    texts = properties.fill_null("").replace("", "{}")
    return pl.Series(_sorted.encode_lines(_decoded(f"[{','.join(texts)}]")).decode().split("\n")[: len(texts)])


def _compared(events: pl.DataFrame, known: pl.DataFrame, *, whole: bool) -> pl.DataFrame:
    """Events whose key stands for other content are told so. Raises: EventKeyReused, where they are taken whole or not at all."""
    others = known.select("key", *(pl.col(c).alias(f"_{c}") for c in [*SAME, "properties"]), _is_known=pl.lit(value=True))
    both = events.join(others, on="key", how="left", maintain_order="left")
    is_same = pl.all_horizontal(pl.col(c).eq_missing(pl.col(f"_{c}")) for c in SAME) & (
        pl.col("properties").map_batches(_in_order, pl.String) == pl.col("_properties").map_batches(_in_order, pl.String)
    )
    is_other = pl.col("why").is_null() & pl.col("_is_known") & ~is_same
    odd = both.filter(is_other)
    if whole and odd.height:
        raise EventKeyReused(
            f"The event {odd['key'][0]} is known with other content.", field="key", remedy="Give every event a key of its own."
        )
    return both.with_columns(why=pl.when(is_other).then(pl.lit(REUSED)).otherwise("why")).select(events.columns)
