"""Strict JSON (RFC 8259 with the gaps closed): what two readers could understand in two ways is refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser

from topline.kernel.errors import DomainError, Invalid, ensure

MAX_DEPTH = 20
MAX_DIGITS = 20


class BodyUnreadable(DomainError):
    """The body is no JSON object."""

    code = "body_unreadable"
    status = 400


class BodyRefused(Invalid):
    """The body is JSON, but holds what could be understood in two ways or by nobody."""

    code = "body_refused"


class StrictParser(Parser):
    """No duplicate keys, no NaN or infinity, no fractions (amounts are integers), no integer beyond 64 bits, no NUL
    characters, no lone surrogates, at most 20 levels."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """The body as an object. Raises: BodyUnreadable, BodyRefused."""
        return read(request.body)


def read(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Work: O(bytes). Raises: BodyUnreadable, BodyRefused."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BodyUnreadable("The body is not UTF-8.", remedy="Send JSON encoded as UTF-8.") from error
    _ensure_shallow(text)
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_fraction, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise BodyUnreadable(
            f"The body is no JSON: {error.msg} at character {error.pos}.", remedy="Send a JSON object."
        ) from error
    ensure(isinstance(found, dict), BodyUnreadable("The body is no JSON object.", remedy="Send an object: { ... }."))
    _ensure_readable(found)
    return dict(found)


def _ensure_shallow(text: str) -> None:
    """Counted before parsing, so that a deep body cannot exhaust the parser."""
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            ensure(
                depth <= MAX_DEPTH,
                BodyRefused(f"The body is nested deeper than {MAX_DEPTH} levels.", remedy="Send a flatter body."),
            )
        elif character in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BodyRefused(f"The key {twice[:40]!r} stands twice in one object.", field=twice[:40], remedy="Send it once.")
    return found


def _constant(word: str) -> NoReturn:
    raise BodyRefused(f"{word} is no number in JSON.", remedy="Send an integer.")


def _fraction(text: str) -> NoReturn:
    raise BodyRefused(
        f"{text[:40]} is a fraction; amounts are integers in minor units.", remedy="Send 1999 for 19.99; rates are sent as text."
    )


def _integer(text: str) -> int:
    value = int(text) if len(text) <= MAX_DIGITS else 2**64
    ensure(-(2**63) <= value < 2**63, BodyRefused(f"{text[:20]} does not fit in 64 bits.", remedy="Send a smaller number."))
    return value


def _ensure_readable(value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _ensure_readable(name)
            _ensure_readable(inner)
    elif isinstance(value, list):
        for inner in value:
            _ensure_readable(inner)
    elif isinstance(value, str):
        ensure("\0" not in value, BodyRefused("A text holds a NUL character.", remedy="Leave it out."))
        ensure(
            not any("\ud800" <= c <= "\udfff" for c in value),
            BodyRefused("A text holds half of a surrogate pair.", remedy="Send whole characters."),
        )
