"""The one queue. An action writes a message in its transaction; the worker handles it after the commit.

Handlers stand in one table in flows and are idempotent: a message may be handled twice when a worker dies between its
effect and its mark. A message that keeps failing stays visible as failed, with its error, and can be retried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction

from topline.kernel import clock
from topline.kernel.errors import DomainError
from topline.kernel.models import OutboxMessage

Handler = Callable[[dict[str, Any]], None]
MAX_ATTEMPTS = 8
log = structlog.get_logger("topline.outbox")


def enqueue(topic: str, payload: dict[str, Any], *, key: str | None = None, at: datetime | None = None) -> None:
    """Have `topic` handled once this transaction commits, not before `at`; a second message with the same key is dropped."""
    now = clock.now()
    OutboxMessage.objects.bulk_create(
        [OutboxMessage(topic=topic, key=key, payload=payload, available_at=at or now, recorded_at=now)],
        ignore_conflicts=key is not None,
    )


def drain(handlers: Mapping[str, Handler], *, limit: int = 100) -> int:
    """Handle up to `limit` waiting messages, oldest first; returns how many were tried.

    Each message is claimed, handled and marked in a transaction of its own, so that one failure costs only itself:
    it waits 2, 4, 8 ... minutes and is shown as failed after eight tries.
    """
    tried = 0
    while tried < limit and _handle_next(handlers):
        tried += 1
    return tried


def _handle_next(handlers: Mapping[str, Handler]) -> bool:
    with transaction.atomic():
        waiting = OutboxMessage.objects.select_for_update(skip_locked=True).filter(
            state=OutboxMessage.State.WAITING, available_at__lte=clock.now()
        )
        message = waiting.order_by("available_at", "id").first()
        if message is None:
            return False
        message.attempts += 1
        try:
            with transaction.atomic():
                _handler(handlers, message.topic)(message.payload)
        except Exception as error:  # noqa: BLE001  (whatever a handler raises is stored and shown, never lost)
            _failed(message, error)
        else:
            message.state = OutboxMessage.State.DONE
            message.finished_at = clock.now()
            message.last_error = ""
        message.save()
    return True


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
