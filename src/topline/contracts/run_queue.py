"""A bill run of many parts in the background: each message bills a part and asks for the next, a few of them side by side so that workers share a run; one after the other
issue what was signed."""

from __future__ import annotations

from datetime import date, timedelta

from django.db.models import QuerySet

from topline.contracts.models import BillRun, BillRunPart
from topline.kernel import clock, outbox
from topline.kernel.models import OutboxMessage

BILL, SIGN = "bill_part", "sign_run"
AT_ONCE = 4  # parts that workers bill side by side
WAIT = timedelta(seconds=2)  # for the parts that others are at
S = OutboxMessage.State


def ask_to_bill(run_id: int) -> None:
    """Have workers bill what is left of a run."""
    left, sent = BillRunPart.objects.filter(run_id=run_id, is_done=False).count(), _messages(run_id).count()
    outbox.enqueue_many(BILL, {f"{_prefix(run_id)}{sent + n}": {"run_id": run_id} for n in range(min(left, AT_ONCE))})


def ask_for_next(run_id: int, *, is_taken: bool) -> None:
    """Have a worker bill the next part; is_taken: others are at all that is left, and somebody has to see that they finished."""
    key = f"{_prefix(run_id)}{_messages(run_id).count()}"
    outbox.enqueue(BILL, {"run_id": run_id}, key=key, at=clock.now() + WAIT if is_taken else None)


def ask_to_sign(run_id: int, *, issue_on: date) -> None:
    """Have the worker issue the next batch of a run that somebody signed."""
    payload = {"run_id": run_id, "issue_on": issue_on.isoformat()}
    outbox.enqueue(SIGN, payload, key=f"{_prefix(run_id)}{_messages(run_id).count()}")


def is_queued(run: BillRun) -> bool:
    """Whether the worker goes on with it as far as anybody asked: to drafts, or once it is signed to issued documents."""
    return _asked(run).filter(state=S.WAITING).exists()


def problem(run: BillRun) -> str:
    """Why the worker could not go on with a run; empty where it could. It tries again by itself, and after eight times waits to be asked."""
    odd = _asked(run).exclude(state=S.DONE).exclude(last_error="").order_by("-id").first()
    return odd.last_error.partition(": ")[2] if odd is not None else ""


def _asked(run: BillRun) -> QuerySet[OutboxMessage]:
    topic = {BillRun.State.RUNNING: BILL, BillRun.State.DRAFTED: SIGN}.get(BillRun.State(run.state), "")
    return _messages(run.pk).filter(topic=topic)


def _messages(run_id: int) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(key__startswith=_prefix(run_id))


def _prefix(run_id: int) -> str:
    return f"bill_run:{run_id}:"
