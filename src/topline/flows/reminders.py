"""Reminders on their way out and answers on their way in: e-mail with the documents attached, bounces and replies."""

from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any

from django.core.mail import EmailMessage

from topline.billing import delivery
from topline.billing import documents as billing_documents
from topline.billing import queries as billing
from topline.billing.models import Invoice
from topline.collections import reminders
from topline.collections.models import Reminder
from topline.flows.letters import refused
from topline.kernel import clock, outbox
from topline.market import queries as market
from topline.receivables import documents as receivables_documents
from topline.receivables import statement_delivery
from topline.team.queries import system_actor

ATTACHED = 5  # invoices that travel with a reminder; the statement names all of them


def send(payload: dict[str, Any]) -> None:
    """Send one queued reminder, unless it should no longer leave: paid, disputed, promised, or the hour is late.

    The message keeps its Message-ID over every try, so that a mail system that has it already does not show it twice.
    """
    reminder = (
        Reminder.objects.select_for_update(of=("self",))
        .select_related("entity", "customer")
        .filter(pk=payload["reminder_id"])
        .first()
    )
    if reminder is None or reminder.state != Reminder.State.QUEUED:
        return
    actor = system_actor("worker")
    today = clock.today(reminder.entity.time_zone)
    policy = reminders.policy_of(reminder)
    if policy is not None and (
        opens := reminders.allowed_at(policy, reminder.entity.time_zone, clock.now())
    ) > clock.now() + timedelta(minutes=1):
        outbox.enqueue("send_reminder", payload, at=opens)
        return
    named = list(reminder.items.order_by("id").values_list("invoice_id", flat=True)[:500])
    customer = market.customer_detail(reminder.customer_id)  # who may have been merged since it was written
    still = set(
        reminders.chaseable(entity_id=reminder.entity_id, as_of=today, customer_ids=customer.ids)["invoice_id"],
    )
    if set(named) - still or Invoice.objects.filter(pk__in=named).exclude(state=Invoice.State.OPEN).exists():
        reminders.drop_reminder(
            actor=actor, reminder_id=reminder.pk, reason="Something it names was paid, disputed or promised meanwhile."
        )
        return
    domain = reminder.entity.key.replace("_", "-") + ".topline"
    message_id = reminder.message_id or f"<reminder-{reminder.pk}@{domain}>"
    mail = EmailMessage(reminder.subject, reminder.body, to=[reminder.recipient], headers={"Message-ID": message_id})
    for invoice_id in named[:ATTACHED]:
        detail = billing.invoice_detail(invoice_id)
        mail.attach(f"{detail.invoice.number}.pdf", billing_documents.invoice_pdf(detail), "application/pdf")
    statement = receivables_documents.statement_of(
        entity=reminder.entity, customer=customer.customer, since=today - timedelta(days=365), until=today
    )
    mail.attach("statement.pdf", statement, "application/pdf")
    no = refused(mail)
    state = Reminder.State.BOUNCED if no else Reminder.State.SENT
    reminders.mark_reminder(actor=actor, reminder_id=reminder.pk, state=state, message_id=message_id, why=no, on=today)


def receive(content: bytes) -> int | None:
    """Take in a message that a mail system hands over: a bounce of a document, statement or reminder, or an answer to a reminder; returns its id, or None.

    A bounce is a delivery status report (RFC 3464) with action `failed`; an answer names the reminder in In-Reply-To or References.
    """
    message = message_from_bytes(content, policy=default)
    actor = system_actor("mail")
    if message.get_content_type() == "multipart/report":
        status, original = _report(message)
        if not (original and status):
            return None
        known = reminders.record_answer(actor=actor, message_id=original, text=status, is_bounce=True)
        for record in (delivery.record_bounce, statement_delivery.record_bounce):
            known = known if known is not None else record(actor=actor, message_id=original, text=status)
        return known
    named = f"{message.get('In-Reply-To', '')} {message.get('References', '')}".split()
    body = message.get_body(preferencelist=("plain",))
    text = str(body.get_content()).strip()[:4000] if body is not None else str(message.get("Subject", ""))
    for message_id in named:
        found = reminders.record_answer(actor=actor, message_id=message_id, text=text)
        if found is not None:
            return found
    return None


def _report(message: Message) -> tuple[str, str]:
    """What a delivery report says (empty unless it failed), and the Message-ID of what it is about."""
    status, original = "", ""
    for part in message.walk():
        if part.get("Action", "").strip().lower() == "failed":
            status = part.get("Diagnostic-Code", "") or part.get("Status", "") or "failed"
        if part.get_content_type() in {"message/rfc822", "text/rfc822-headers"}:
            inner = part.get_payload()
            inner = inner[0] if isinstance(inner, list) else message_from_bytes(str(inner).encode(), policy=default)
            original = str(inner.get("Message-ID", "")) if isinstance(inner, Message) else ""
    return status, original
