"""The door: every change goes through an action.

`@action("room.verb_noun")` checks the permission, opens the transaction, honours an idempotency key and writes the audit
record. Pages, API, command line, importers and jobs call the same actions; `registry` lists them for tests and documents.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar, cast

import polars as pl
from django.db import transaction

from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Forbidden
from topline.kernel.models import AuditRecord, AuditSubject, IdempotencyKey

P = ParamSpec("P")
R = TypeVar("R")

_SECRET_INPUTS = {"password", "secret", "token"}
_SHOWN = 20  # items of a long input that the audit record keeps


class PermissionMissing(Forbidden):
    """The actor's roles do not allow the action."""

    code = "permission_missing"


class KeyReused(Conflict):
    """An idempotency key came back with another body."""

    code = "idempotency_key_reused"


@dataclass(frozen=True)
class ActionSpec:
    """What the registry knows of an action: its code is also the permission that it needs."""

    code: str
    function: Callable[..., Any]
    summary: str
    replayable: bool


@dataclass
class _Trail:
    """Subjects touched while an action runs, written once at its end."""

    reason: str = ""
    subjects: list[tuple[str, int, int, Any, Any]] = field(default_factory=list)


registry: dict[str, ActionSpec] = {}
_trail: ContextVar[_Trail | None] = ContextVar("topline_trail", default=None)


def action(
    code: str, *, replayable: bool = True, ahead: Callable[..., Any] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function the one way to a change; `code` is its name in the audit record and the permission it needs.

    The function takes keyword-only inputs, `actor` first. Callers may add `idempotency_key=` (the same key with the same
    inputs returns the first answer; other inputs raise KeyReused) and `reason=` (kept in the audit record).
    ahead  what takes long and only reads: called with the inputs before the transaction opens, so that nobody waits for the lock;
           the function gets its result as `ahead`, unless the caller has it already and hands it in
    Work: three statements beside those of the function itself.
    Raises: PermissionMissing, KeyReused.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        if code in registry:
            raise RuntimeError(f"Two actions are called {code}.")
        takes_reason = "reason" in inspect.signature(function).parameters

        @functools.wraps(function)
        def call(*args: P.args, **inputs: P.kwargs) -> R:
            if args:
                raise TypeError(f"{code} takes keyword arguments only")
            given = cast(dict[str, Any], inputs)
            actor = cast(Actor, given.get("actor"))
            key = given.pop("idempotency_key", None)
            reason = given.get("reason", "") if takes_reason else given.pop("reason", "")
            _ensure_may(actor, code)
            asked = {name: value for name, value in given.items() if name not in {"actor", "ahead"}}
            if ahead is not None and given.get("ahead") is None:
                given["ahead"] = ahead(**asked)
            shown = {name: _summary(name, value) for name, value in asked.items()}
            with transaction.atomic():
                claim = _claim(actor, key, code, asked) if key else None
                if claim is not None and claim.result is not None:
                    return cast(R, _decode(claim.result))
                with _recording(str(reason or "")) as trail:
                    result = function(**given)  # type: ignore[call-arg]
                _write(trail, actor=actor, code=code, inputs=shown)
                if claim is not None:
                    claim.result = _encode(result)
                    claim.save(update_fields=["result"])
                return result

        registry[code] = ActionSpec(code, call, (inspect.getdoc(function) or "").partition("\n")[0], replayable)
        return cast(Callable[P, R], call)

    return wrap


def inside(verb: Callable[P, R]) -> Callable[P, R]:
    """A verb as a part of the action that calls it: in its transaction without a savepoint, on its audit record; the permission is still asked for.

    A refusal undoes the whole action, so it is not to be caught there.
    """
    code = next(spec.code for spec in registry.values() if spec.function is verb)
    plain = cast(Callable[P, R], inspect.unwrap(verb))

    def call(*args: P.args, **inputs: P.kwargs) -> R:
        _current()
        _ensure_may(cast(Actor, inputs.get("actor")), code)
        return plain(*args, **inputs)

    return call


def changed(kind: str, subject_id: int, *, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None) -> None:
    """Note in the running action's audit record that one document changed; None before means it is new."""
    _current().subjects.append((kind, subject_id, subject_id, before, after))


def changed_many(kind: str, ids: Iterable[int] | pl.Series, *, after: dict[str, Any] | None = None) -> None:
    """Note that a batch of documents was made or changed alike; ids are kept as runs, so that a million is a few rows."""
    series = pl.Series("id", ids, dtype=pl.Int64).unique().sort()
    if series.is_empty():
        return
    runs = (
        series.to_frame()
        .group_by((pl.col("id") - pl.int_range(pl.len())).alias("run"))
        .agg(first=pl.col("id").min(), last=pl.col("id").max())
        .sort("first")
    )
    _current().subjects.extend((kind, first, last, None, after) for first, last in runs.select("first", "last").iter_rows())


def history(kind: str, subject_id: int, *, limit: int = 100) -> list[AuditSubject]:
    """What happened to one document, newest first: the audit subjects with their records."""
    rows = AuditSubject.objects.filter(kind=kind, first_id__lte=subject_id, last_id__gte=subject_id)
    return list(rows.select_related("record").order_by("-id")[:limit])


def _ensure_may(actor: Actor, code: str) -> None:
    if not actor.may(code):
        raise PermissionMissing(
            f"{actor.name or actor.key} may not do this ({code}).",
            remedy="Ask an Owner for the role that allows it.",
            permission=code,
        )


def _current() -> _Trail:
    trail = _trail.get()
    if trail is None:
        raise RuntimeError("A change was made outside an action: nobody would know who did it.")
    return trail


@contextmanager
def _recording(reason: str) -> Iterator[_Trail]:
    trail = _Trail(reason=reason)
    token = _trail.set(trail)
    try:
        yield trail
    finally:
        _trail.reset(token)


def _write(trail: _Trail, *, actor: Actor, code: str, inputs: dict[str, Any]) -> None:
    record = AuditRecord.objects.create(
        recorded_at=clock.now(), actor_key=actor.key, actor_name=actor.name, action=code, inputs=inputs, reason=trail.reason[:500]
    )
    AuditSubject.objects.bulk_create(
        [
            AuditSubject(record=record, kind=kind, first_id=first, last_id=last, before=_plain(before), after=_plain(after))
            for kind, first, last, before, after in trail.subjects
        ],
        batch_size=500,
    )


def _claim(actor: Actor, key: str, code: str, inputs: dict[str, Any]) -> IdempotencyKey:
    """Take the key for this transaction; a rival waits on the unique index until we commit, then reads our answer."""
    digest = hashlib.sha256(json.dumps(_digestible(inputs), sort_keys=True, default=str).encode()).hexdigest()
    IdempotencyKey.objects.bulk_create(
        [IdempotencyKey(actor_key=actor.key, key=key, action=code, digest=digest, recorded_at=clock.now())], ignore_conflicts=True
    )
    claim = IdempotencyKey.objects.select_for_update().get(actor_key=actor.key, key=key)
    if claim.digest != digest or claim.action != code:
        raise KeyReused(
            f"The idempotency key {key!r} was used before with other inputs.",
            field="idempotency_key",
            remedy="Send a new key for a new request, or repeat the first request unchanged.",
        )
    return claim


def _digestible(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: hashlib.sha256(value.write_json().encode()).hexdigest() if isinstance(value, pl.DataFrame) else value
        for name, value in inputs.items()
    }


def _summary(name: str, value: Any) -> Any:
    """An input as the audit record shows it: short, readable, without secrets."""
    if name in _SECRET_INPUTS:
        return "(hidden)"
    if isinstance(value, pl.DataFrame):
        return {"rows": value.height, "columns": value.columns}
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, list | tuple | set | frozenset | range):
        items = [_plain(v) for v in list(value)[:_SHOWN]]
        return items if len(value) <= _SHOWN else {"first": items, "count": len(value)}
    return _plain(value)


def _plain(value: Any) -> Any:
    """A value that JSON can hold; what it cannot is shown as text."""
    return json.loads(json.dumps(value, default=str)) if value is not None else None


def _encode(result: Any) -> dict[str, Any]:
    if isinstance(result, pl.DataFrame):
        return {"frame": result.serialize(format="json")}
    return {"value": _plain(result)}


def _decode(stored: dict[str, Any]) -> Any:
    if "frame" in stored:
        return pl.DataFrame.deserialize(stored["frame"].encode(), format="json")
    return stored["value"]
