"""Meters and usage events over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import polars as pl
from ninja import Query, Schema
from pydantic import BeforeValidator, Field

from topline.kernel.errors import Invalid
from topline.metering import actions, lake, lines
from topline.metering.intake import desk
from topline.metering.models import Backfill, Meter, StrayEvent, UsageEvent
from topline.ui.wire import MAX_ROWS, Asked, Bearer, Body, Caller, Code, Name, Page, Room, Rows, done, once, page, rows

room = Room(tags=["Metering"])
METER = ["id", "code", "name", "method", "unit", "filters", "group_by", "rounding", "round_decimals"]
EVENT = ["id", "key", "meter_id", "customer_id", "at", "value_micro", "unique_key", "properties", "recorded_at"]
BACKFILL = ["id", "meter_id", "customer_id", "start_at", "end_at", "replaced", "recorded", "because", "actor_name", "recorded_at"]
STRAY = ["id", "key", "said", "code", "message", "received_at"]
Short = Annotated[str, Field(max_length=100)]


def _moment(value: object) -> object:
    """A moment between 1970 and 2199, written with its offset, as UTC."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ValueError("Write a moment as 2026-01-31T23:59:00Z.") from error
    if found.tzinfo is None or not 1970 < found.year < 2199:
        raise ValueError("Write a moment with its offset, such as 2026-01-31T23:59:00Z.")
    return found.astimezone(UTC).replace(tzinfo=None)


Moment = Annotated[datetime, BeforeValidator(_moment)]


class NewMeter(Body):
    code: Annotated[str, Field(min_length=1, max_length=40)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    method: Literal["count", "sum", "max", "unique", "latest", "time_weighted", "day_weighted", "peak"]
    unit: Code = ""
    filters: Annotated[dict[Short, Annotated[list[Short], Field(max_length=100)]], Field(max_length=20)] = {}
    group_by: Annotated[
        str, Field(max_length=40, description="property by whose values events are measured apart; their sum is the quantity")
    ] = ""
    rounding: Annotated[
        Literal["", "round", "ceil", "floor"], Field(description="of the quantity of a period, before it is priced")
    ] = ""
    round_decimals: Annotated[int, Field(strict=True, ge=-9, le=6, description="below zero: to tens, hundreds and so on")] = 0


class OneEvent(Body):
    key: Short
    meter: Code
    customer: Name
    at: Moment
    value_micro: Annotated[int, Field(strict=True, ge=-(10**17), le=10**17)] = 1_000_000
    unique_key: Short = ""
    properties: Annotated[dict[Short, Short], Field(max_length=20)] = {}


class NewBackfill(Body):
    meter: Code
    customer: Name = ""
    start_at: Moment
    end_at: Moment
    because: Annotated[str, Field(min_length=1, max_length=300)]
    events: Annotated[list[OneEvent], Field(max_length=MAX_ROWS)] = []


class NewEvents(Body):
    events: Annotated[list[OneEvent], Field(min_length=1, max_length=MAX_ROWS)]


@room.reads("/meters", "metering.view", Page)
def list_meters(request: Caller, asked: Query[Asked]) -> Any:
    """What is counted."""
    return page(Meter.objects.all(), METER, asked)


@room.reads("/usage-events", "metering.view", Page)
def list_events(request: Caller, asked: Query[Asked]) -> Any:
    """What customers used, event by event, from table and lake."""
    return page(UsageEvent.objects.all(), EVENT, asked, beside=_of_the_lake)


def _of_the_lake(after_id: int, limit: int) -> list[dict[str, Any]]:
    return [row | {"properties": json.loads(row["properties"])} for row in lake.page(after_id, limit)]


@room.reads("/stray-events", "metering.view", Page)
def list_strays(request: Caller, asked: Query[Asked]) -> Any:
    """Events that could not be placed, and why."""
    return page(StrayEvent.objects.all(), STRAY, asked)


@room.does("/stray-events/place", "metering.place_strays")
def place_strays(request: Caller) -> Any:
    """Take in what was kept aside and has a place by now; answers with how many."""
    return done(actions.place_strays(**once(request)))


@room.does("/meters", "metering.add_meter")
def add_meter(request: Caller, body: NewMeter) -> Any:
    """Say what is counted; answers with the meter's id."""
    return done(actions.add_meter(**body.model_dump(), **once(request)))


@room.does("/usage-events", "metering.record_events", Rows)
def record_events(request: Caller, body: NewEvents) -> Any:
    """Take in up to a thousand events, each once by its key; answers with what became of each, in order."""
    return rows(actions.record_events(events=_frame(body.events), **once(request)))


@room.reads("/usage-backfills", "metering.view", Page)
def list_backfills(request: Caller, asked: Query[Asked]) -> Any:
    """Spans of meters that were sent again, with the reason."""
    return page(Backfill.objects.all(), BACKFILL, asked)


@room.does("/usage-backfills", "metering.backfill")
def backfill(request: Caller, body: NewBackfill) -> Any:
    """Send a span of a meter again: its events replace those that counted; answers with the backfill's id."""
    said = body.model_dump(exclude={"events"})
    span = {name: said.pop(name).replace(tzinfo=UTC) for name in ("start_at", "end_at")}
    return done(actions.backfill(events=_frame(body.events), **said, **span, **once(request)))


def _frame(events: list[OneEvent]) -> pl.DataFrame:
    said = [e.model_dump() | {"properties": json.dumps(e.properties)} for e in events]
    return pl.DataFrame(
        said,
        schema={
            "key": pl.String,
            "meter": pl.String,
            "customer": pl.String,
            "at": pl.Datetime("us"),
            "value_micro": pl.Int64,
            "unique_key": pl.String,
            "properties": pl.String,
        },
    )


MOST_LINES = 10_000
TEXT = {"type": ["string", "integer"], "maxLength": 100}
LINES = {  # each element stands on a line of its own
    "type": "array", "minItems": 1, "maxItems": MOST_LINES,
    "items": {
        "type": "object", "additionalProperties": False, "required": ["key", "meter", "customer", "at"],
        "properties": {
            "key": TEXT, "meter": TEXT, "customer": TEXT, "at": {"type": "string", "format": "date-time"}, "value": {"type": ["number", "string"]}, "unique_key": TEXT,
            "properties": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
        },
    },
}  # fmt: skip


class Taken(Schema):
    """How many events were recorded, known already, kept aside and refused, and what became of those that were not recorded."""

    recorded: int
    known: int
    kept_aside: int
    refused: int
    events: list[dict[str, Any]]


@room.put(
    "/usage-events",
    auth=Bearer("metering.record_events"),
    response={200: Taken, **room.refusals},
    openapi_extra={"requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": LINES}}}},
)
def put_events(request: Caller) -> Any:
    """Take in up to ten thousand events as JSON lines, the fast way; each is told by its line unless it was recorded.

    An event has a `key`, `meter`, `customer` and `at`; optional `value` (a number or text of up to six decimals, default 1), `unique_key` and
    `properties`. The same key again changes nothing, so the request may be repeated without an `Idempotency-Key`; a key that is known with other
    content is refused. Where every line is refused, so is the request: 409 where a key was used, else 422. The answer comes after the commit.
    """
    content = request.body
    count = content.count(b"\n") + (not content.endswith(b"\n"))
    if not content.strip() or count > MOST_LINES:
        raise Invalid(f"Events come as 1 to {MOST_LINES} lines of JSON.", field="body", remedy="Send one object a line, in several requests if need be.")  # fmt: skip
    found = lines.read(content)
    told = desk.take(actor=request.auth, events=found.events).with_columns(line=pl.Series(found.numbers, dtype=pl.Int64))
    counts = {"recorded": 0, "known": 0, "kept_aside": 0, "refused": len(found.problems)}
    for outcome, number in told["outcome"].value_counts().iter_rows():
        counts[outcome] += number
    other = told.filter(pl.col("outcome") != "recorded") if counts["recorded"] < told.height else told.clear()
    bad = [{"key": None, "outcome": "refused", "why": "invalid", "message": why, "line": line} for line, why in found.problems]
    events = sorted([*bad, *other.to_dicts()], key=lambda e: e["line"])
    if counts["refused"] == len(bad) + told.height:
        kind = actions.EventKeyReused if actions.REUSED in told["why"] else Invalid
        raise kind(events[0]["message"], field="body", remedy="Mend the lines and send them again.", events=events[:100])
    return {**counts, "events": events}
