"""The door of the API's rooms: who may call, what a body may hold, how rows are paged and answers look.

Rooms declare their nouns with `Room.reads` and their verbs with `Room.does`; both name the permission that they need, and a
verb hands the caller's `Idempotency-Key` to its action. Assembly, sign-in by token and strict JSON stand in `topline.api`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Union, cast, get_args, get_origin

import polars as pl
from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Router, Schema
from ninja.security import HttpBearer
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from topline.kernel.actions import PermissionMissing
from topline.kernel.actor import Actor
from topline.kernel.errors import DomainError, Invalid

MAX_ID = 2**63 - 1
MAX_MINOR = 10**14  # far above any document, far enough below 64 bits that sums and exchange rates still fit
MAX_ROWS = 1_000  # items of one request
KEY_HEADER = "Idempotency-Key"
KEY_LENGTH = 150


class KeyMissing(DomainError):
    """A change without an idempotency key could be carried out twice."""

    code = "idempotency_key_missing"
    status = 400


class CursorInvalid(Invalid):
    """A cursor that no page gave out."""

    code = "cursor_invalid"


class Caller(HttpRequest):
    """A request that has passed the door of the API."""

    auth: Actor
    actor: Actor | None


class Bearer(HttpBearer):
    """A token whose scopes and whose member's roles both allow `permission`; verbs also need an idempotency key."""

    def __init__(self, permission: str, *, keyed: bool = False) -> None:
        super().__init__()
        self.permission = permission
        self.keyed = keyed

    def authenticate(self, request: HttpRequest, token: str) -> Actor | None:
        """The actor of the token, which the API's middleware has looked up. Raises: PermissionMissing, KeyMissing."""
        actor = cast(Caller, request).actor
        if actor is None:
            return None
        if not actor.may(self.permission):
            raise PermissionMissing(
                f"{actor.name or actor.key} may not do this ({self.permission}).",
                remedy="Ask an Owner for a role, and make a token with a scope, that allow it.",
                permission=self.permission,
            )
        if self.keyed:
            key = request.headers.get(KEY_HEADER, "")
            if not 0 < len(key) <= KEY_LENGTH:
                raise KeyMissing(
                    f"A change needs the header {KEY_HEADER} (1 to {KEY_LENGTH} characters).",
                    field=KEY_HEADER,
                    remedy="Send a fresh random key for each new change and the same one when you repeat it.",
                )
        return actor


def _day(value: object) -> date:
    """Only a written calendar day: no number, no moment, no year that is surely a slip."""
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("write a day as 2026-01-31")
    day = date.fromisoformat(value)
    if not 1900 <= day.year <= 2199:
        raise ValueError("a day lies between 1900-01-01 and 2199-12-31")
    return day


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Ref = Annotated[int, Field(strict=True, ge=1, le=MAX_ID)]
Minor = Annotated[int, Field(strict=True, ge=-MAX_MINOR, le=MAX_MINOR, description="integer minor units (cents)")]
Positive = Annotated[int, Field(strict=True, ge=1, le=MAX_MINOR, description="integer minor units (cents), more than zero")]
Whole = Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR)]
Share = Annotated[int, Field(strict=True, ge=0, le=1_000_000, description="millionths: 20 % is 200000")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
Flag = Annotated[bool, Field(strict=True)]
Code = Annotated[str, Field(max_length=40)]
Name = Annotated[str, Field(max_length=200)]
Ids = Annotated[list[Ref], Field(min_length=1, max_length=MAX_ROWS)]


class Body(Schema):
    """What a change may hold: the named fields and nothing else."""

    model_config = ConfigDict(extra="forbid")


class Asked(Schema):
    """What a list may be asked: `company` by its key (the first one where left out), a cursor, a bounded number of rows."""

    company: Annotated[str, Field(max_length=40)] = ""
    cursor: Annotated[str, Field(max_length=60)] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class OfCompany(Schema):
    """Which company a change or a report is about, by its key; the first one where left out."""

    company: Annotated[str, Field(max_length=40)] = ""


class Page(Schema):
    """A page of rows in the order of their ids; `next_cursor` is null on the last one."""

    items: list[dict[str, Any]]
    next_cursor: str | None


class Rows(Schema):
    """All rows of an answer."""

    items: list[dict[str, Any]]


class Done(Schema):
    """What a change answered: the id or the count that its description names."""

    result: int | bool | str


class Problem(Schema):
    """RFC 9457: what is wrong, where, and what to do next."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str
    remedy: str
    details: dict[str, Any]


class Room(Router):
    """A room's part of the API."""

    refusals: ClassVar[dict[int, Any]] = dict.fromkeys((400, 401, 403, 404, 409, 413, 422), Problem)
    key_parameter: ClassVar[dict[str, Any]] = {
        "name": KEY_HEADER,
        "in": "header",
        "required": True,
        "description": "A fresh key per change; the same key with the same body gets the same answer and changes nothing.",
        "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": r"^[A-Za-z0-9_.:-]+$"},
    }

    def reads(self, path: str, permission: str, answer: Any = Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A noun at GET `path`, for whoever has `permission`."""
        given = dict[str, Any] if answer is Any else answer
        return self.get(path, auth=Bearer(permission), response={200: given, **self.refusals})

    def does(self, path: str, permission: str, answer: Any = Done) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A verb at POST `path`: the action called `permission`, carried out once per idempotency key."""
        return self.post(
            path,
            auth=Bearer(permission, keyed=True),
            response={200: answer, **self.refusals},
            openapi_extra={"parameters": [self.key_parameter]},
        )


def once(request: HttpRequest) -> dict[str, Any]:
    """What every action gets from its caller: the actor and the idempotency key."""
    return {"actor": cast(Caller, request).auth, "idempotency_key": request.headers[KEY_HEADER]}


def page(
    rows: QuerySet[Any, Any],
    columns: Sequence[str],
    asked: Asked,
    *,
    beside: Callable[[int, int], list[dict[str, Any]]] | None = None,
) -> dict[str, Any]:
    """The rows after the cursor in the order of their ids, and the cursor after them. Work: one statement.

    beside  more rows of the kind from another place: at most so many after an id
    """
    last = _read_cursor(asked.cursor) if asked.cursor else 0
    found = list(rows.filter(pk__gt=last).order_by("pk").values(*columns)[: asked.limit + 1])
    if beside is not None:
        found = sorted([*found, *beside(last, asked.limit + 1)], key=lambda row: row["id"])
    more = len(found) > asked.limit
    shown = found[: asked.limit]
    return {"items": shown, "next_cursor": _cursor(shown[-1]["id"]) if more else None}


def rows(table: pl.DataFrame) -> dict[str, Any]:
    """A frame as an answer."""
    return {"items": table.to_dicts()}


def done(result: object) -> dict[str, Any]:
    """An action's id, count or word as an answer."""
    return {"result": result}


def frame(items: Sequence[Body], **constants: Any) -> pl.DataFrame:
    """The items of a body as the frame that an action takes: one row per item, one typed column per field."""
    model = type(items[0])
    schema = {name: _dtype(info.annotation) for name, info in model.model_fields.items()}
    table = pl.DataFrame([item.model_dump() for item in items], schema=schema, orient="row")
    return table.with_columns(**{name: pl.lit(value) for name, value in constants.items()}) if constants else table


def numbered(table: pl.DataFrame) -> pl.DataFrame:
    """Rows that bring numbers of their own, or none at all; then the series gives them. Raises: Invalid."""
    bare = table["number"].is_null()
    if bare.all():
        return table.drop("number")
    if bare.any():
        raise Invalid("Some rows have a number and some have none.", field="number", remedy="Number all of them, or none.")
    return table


def given(body: Body) -> Mapping[str, Any]:
    """The fields that the caller sent, for changes."""
    return body.model_dump(exclude_unset=True)


def _dtype(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return pl.String
    return {int: pl.Int64, str: pl.String, bool: pl.Boolean, date: pl.Date}[annotation]


def _cursor(last_id: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([last_id]).encode()).decode().rstrip("=")


def _read_cursor(text: str) -> int:
    try:
        (last_id,) = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, TypeError) as error:
        raise CursorInvalid("That is no cursor of ours.", field="cursor", remedy="Start without one.") from error
    if type(last_id) is not int or not 0 <= last_id <= MAX_ID:
        raise CursorInvalid("That is no cursor of ours.", field="cursor", remedy="Start without one.")
    return last_id
