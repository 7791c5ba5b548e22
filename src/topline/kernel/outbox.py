"""The one queue. An action writes a message in its transaction; the worker handles it after the commit.

Handlers stand in one table in flows and are idempotent: a message may be handled twice when a worker dies between its
effect and its mark. A message that keeps failing stays visible as failed, with its error, and can be retried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction

from topline.kernel import clock
from topline.kernel.errors import DomainError
from topline.kernel.models import OutboxMessage


@dataclass(frozen=True)
class Long:
    """A handler in two parts: `compute` reads and reckons while no transaction is open, `write` keeps what it found."""

    compute: Callable[[dict[str, Any]], Any]
    write: Callable[[dict[str, Any], Any], None]


Handler = Callable[[dict[str, Any]], None] | Long
MAX_ATTEMPTS = 8
log = structlog.get_logger("topline.outbox")


def enqueue(topic: str, payload: dict[str, Any], *, key: str | None = None, at: datetime | None = None) -> None:
    """Have `topic` handled once this transaction commits, not before `at`; a second message with the same key is dropped."""
    now = clock.now()
    OutboxMessage.objects.bulk_create(
        [OutboxMessage(topic=topic, key=key, payload=payload, available_at=at or now, recorded_at=now)],
        ignore_conflicts=key is not None,
    )


def enqueue_many(topic: str, messages: Mapping[str, dict[str, Any]]) -> None:
    """Have `topic` handled once for each message, by its key, once this transaction commits; known keys are dropped. One statement per 500."""
    now = clock.now()
    rows = [
        OutboxMessage(topic=topic, key=key, payload=payload, available_at=now, recorded_at=now)
        for key, payload in messages.items()
    ]
    OutboxMessage.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)


def drain(handlers: Mapping[str, Handler], *, limit: int = 100) -> int:
    """Handle up to `limit` waiting messages, oldest first; returns how many were tried.

    Each message is claimed, handled and marked in a transaction of its own, so that one failure costs only itself:
    it waits 2, 4, 8 ... minutes and is shown as failed after eight tries. What takes long is computed before the message is claimed
    (`Long`), so that on SQLite nobody waits for the lock meanwhile; two workers may then compute the same, and one of them writes.
    """
    tried = 0
    while tried < limit and _handle_next(handlers):
        tried += 1
    return tried


def _handle_next(handlers: Mapping[str, Handler]) -> bool:
    waiting = OutboxMessage.objects.filter(state=OutboxMessage.State.WAITING, available_at__lte=clock.now())
    waiting = waiting.order_by("available_at", "id")
    head = waiting.first()
    long = handlers.get(head.topic) if head is not None else None
    computed = None
    if head is not None and isinstance(long, Long):
        computed = _computed(long, head)
        waiting = waiting.filter(pk=head.pk)
    with transaction.atomic():
        message = waiting.select_for_update(skip_locked=True).first()
        if message is None:
            return computed is not None  # another worker was quicker with it
        message.attempts += 1
        try:
            with transaction.atomic():
                _handle(_handler(handlers, message.topic), message.payload, computed)
        except Exception as error:  # noqa: BLE001  (whatever a handler raises is stored and shown, never lost)
            _failed(message, error)
        else:
            message.state = OutboxMessage.State.DONE
            message.finished_at = clock.now()
            message.last_error = ""
        message.save()
    return True


@dataclass(frozen=True)
class _Computed:
    found: Any = None
    error: Exception | None = None


def _computed(long: Long, message: OutboxMessage) -> _Computed:
    try:
        return _Computed(long.compute(message.payload))
    except Exception as error:  # noqa: BLE001  (raised again where the message is claimed, and told there)
        return _Computed(error=error)


def _handle(handler: Handler, payload: dict[str, Any], computed: _Computed | None) -> None:
    if not isinstance(handler, Long):
        handler(payload)
        return
    if computed is None:  # it came to the head just now
        computed = _Computed(handler.compute(payload))
    if computed.error is not None:
        raise computed.error
    handler.write(payload, computed.found)


def _handler(handlers: Mapping[str, Handler], topic: str) -> Handler:
    if topic not in handlers:
        raise DomainError(f"Nobody handles {topic!r}.", remedy="Add it to the table in flows/handlers.py.")
    return handlers[topic]


def _failed(message: OutboxMessage, error: Exception) -> None:
    message.last_error = f"{type(error).__name__}: {error}"[:2000]
    message.available_at = clock.now() + timedelta(minutes=2**message.attempts)
    if message.attempts >= MAX_ATTEMPTS:
        message.state = OutboxMessage.State.FAILED
    log.warning(
        "outbox_message_failed", topic=message.topic, message_id=message.pk, attempts=message.attempts, error=message.last_error
    )
