"""Long imports in the background: one message a chunk, so that what is in stays in and the page can tell how far it is."""

from __future__ import annotations

from django.db.models import QuerySet

from topline.connect.models import ImportBatch
from topline.kernel import outbox
from topline.kernel.models import OutboxMessage

TOPIC = "run_import"


def ask_for_chunk(batch_id: int) -> None:
    """Have the worker write the next chunk; asked twice before it began, it is written once."""
    sent = _messages(batch_id).count()
    outbox.enqueue(TOPIC, {"batch_id": batch_id}, key=f"{_prefix(batch_id)}{sent}")


def is_queued(batch: ImportBatch) -> bool:
    """Whether the worker has it, or will."""
    waiting = _messages(batch.pk).filter(state=OutboxMessage.State.WAITING)
    return batch.state in {ImportBatch.State.CHECKED, ImportBatch.State.RUNNING} and waiting.exists()


def _messages(batch_id: int) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(key__startswith=_prefix(batch_id))


def _prefix(batch_id: int) -> str:
    return f"import:{batch_id}:"
