"""Meters and usage events over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import polars as pl
from ninja import Query
from pydantic import BeforeValidator, Field

from topline.metering import actions
from topline.metering.models import Meter, StrayEvent, UsageEvent
from topline.ui.wire import MAX_ROWS, Asked, Body, Caller, Code, Name, Page, Room, Rows, done, once, page, rows

room = Room(tags=["Metering"])
METER = ["id", "code", "name", "method", "unit", "filters"]
EVENT = ["id", "key", "meter_id", "customer_id", "at", "value_micro", "unique_key", "properties", "recorded_at"]
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
    method: Literal["count", "sum", "max", "unique", "latest", "time_weighted"]
    unit: Code = ""
    filters: Annotated[dict[Short, Annotated[list[Short], Field(max_length=100)]], Field(max_length=20)] = {}


class OneEvent(Body):
    key: Short
    meter: Code
    customer: Name
    at: Moment
    value_micro: Annotated[int, Field(strict=True, ge=-(10**17), le=10**17)] = 1_000_000
    unique_key: Short = ""
    properties: Annotated[dict[Short, Short], Field(max_length=20)] = {}


class NewEvents(Body):
    events: Annotated[list[OneEvent], Field(min_length=1, max_length=MAX_ROWS)]


@room.reads("/meters", "metering.view", Page)
def list_meters(request: Caller, asked: Query[Asked]) -> Any:
    """What is counted."""
    return page(Meter.objects.all(), METER, asked)


@room.reads("/usage-events", "metering.view", Page)
def list_events(request: Caller, asked: Query[Asked]) -> Any:
    """What customers used, event by event."""
    return page(UsageEvent.objects.all(), EVENT, asked)


@room.reads("/stray-events", "metering.view", Page)
def list_strays(request: Caller, asked: Query[Asked]) -> Any:
    """Events that could not be placed, and why."""
    return page(StrayEvent.objects.all(), STRAY, asked)


@room.does("/meters", "metering.add_meter")
def add_meter(request: Caller, body: NewMeter) -> Any:
    """Say what is counted; answers with the meter's id."""
    return done(actions.add_meter(**body.model_dump(), **once(request)))


@room.does("/usage-events", "metering.record_events", Rows)
def record_events(request: Caller, body: NewEvents) -> Any:
    """Take in up to a thousand events, each once by its key; answers with what became of each, in order."""
    said = [e.model_dump() | {"properties": json.dumps(e.properties)} for e in body.events]
    frame = pl.DataFrame(
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
    return rows(actions.record_events(events=frame, **once(request)))
