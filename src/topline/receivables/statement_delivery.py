"""Statements of account on their way to customers: queued, sent, or bounced; customer and team see it as a milestone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from topline.billing.delivery import AGAIN, addressed, ensure_address
from topline.books.models import Entity
from topline.kernel import bulk, clock, outbox
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid, NotFound, ensure
from topline.market import queries as market
from topline.receivables import statements
from topline.receivables.models import StatementDelivery
from topline.timeline import actions as timeline

S = StatementDelivery.State
TOPIC = "send_statement"
MOST = 10_000


@action("receivables.send_statements")
def send_statements(
    *, actor: Actor, entity_id: int, customer_ids: Sequence[int], since: date, until: date, recipient: str = ""
) -> pl.DataFrame:
    """Queue the statements of customers over a span; the worker makes and sends them. What went to the same address within ten minutes is not queued again.

    recipient  the address of all of them (default: each customer's contact for invoices)
    returns    one row per customer: customer_id, delivery_id (null: not queued), problem str (why; null where queued)
    Work: a fixed number of statements. Raises: NotFound, Invalid (a span that ends before it begins, an address that is none, too many).
    """
    statements.ensure_span(since, until)
    ensure(Entity.objects.filter(pk=entity_id).exists(), NotFound(f"There is no company {entity_id}.", field="entity_id"))
    ensure(0 < len(customer_ids) <= MOST, Invalid(f"Send 1 to {MOST} statements at once.", field="customer_ids"))
    ensure_address(recipient)
    asked = pl.DataFrame({"customer_id": sorted(set(customer_ids))}, schema={"customer_id": pl.Int64})
    market.ensure_known(asked["customer_id"])
    fresh = bulk.read(
        StatementDelivery.objects.filter(entity_id=entity_id, since=since, until=until, queued_at__gt=clock.now() - AGAIN)
        .exclude(state=S.BOUNCED)
        .values("customer_id", "recipient")
    )
    found = addressed(asked, fresh, by="customer_id", recipient=recipient)
    going = found.filter(pl.col("problem").is_null())
    facts = {"entity_id": pl.lit(entity_id), "since": pl.lit(since), "until": pl.lit(until), "queued_at": pl.lit(clock.now())}
    made = bulk.insert(StatementDelivery, going.select("customer_id", "recipient", **facts))
    outbox.enqueue_many(TOPIC, {f"{TOPIC}:{pk}": {"delivery_id": pk} for pk in made["id"]})
    changed_many("statement_delivery", made["id"])
    queued = going.select("customer_id").with_columns(delivery_id=made["id"])
    return found.join(queued, on="customer_id", how="left", maintain_order="left").select("customer_id", "delivery_id", "problem")


@action("receivables.mark_statement")
def mark_statement(*, actor: Actor, delivery_id: int, state: str, message_id: str = "", note: str = "") -> int:
    """Say what became of a statement: sent, or bounced with why; returns the delivery's id. Said again, it changes nothing. Raises: NotFound, Invalid."""
    found = StatementDelivery.objects.select_for_update(of=("self",)).select_related("entity").filter(pk=delivery_id).first()
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id}.", field="delivery_id")
    ensure(state in (S.SENT, S.BOUNCED), Invalid(f"A statement is not marked {state!r}.", field="state", remedy="Use sent or bounced."))  # fmt: skip
    if found.state == state or (state == S.SENT and found.state != S.QUEUED):
        return found.pk
    found.state, found.message_id, found.note = state, message_id or found.message_id, note[:300]
    found.sent_at = clock.now() if state == S.SENT else found.sent_at
    found.save()
    timeline.record_one(
        "statement_sent" if state == S.SENT else "statement_bounced", subject="customer", subject_id=found.customer_id, actor=actor, on=clock.today(found.entity.time_zone), customer_id=found.customer_id,
        note=f"{found.since} to {found.until}, {found.recipient}{': ' + note if note else ''}"[:300],
    )  # fmt: skip
    changed("statement_delivery", found.pk, after={"state": state, "note": note})
    return found.pk


def record_bounce(*, actor: Actor, message_id: str, text: str) -> int | None:
    """A mail system gave a message back; returns the delivery's id, None where the message is no statement of ours."""
    found = StatementDelivery.objects.filter(message_id=message_id).first() if message_id else None
    return mark_statement(actor=actor, delivery_id=found.pk, state=S.BOUNCED, note=text) if found is not None else None
