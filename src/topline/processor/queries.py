"""Reads of online payments."""

from __future__ import annotations

from django.db.models import Case, QuerySet, When

from topline.kernel.errors import NotFound
from topline.processor.models import Event, Intent, Method, Payout, Refund


def intent(intent_id: int) -> Intent:
    """One intent with invoice and saved method. Raises: NotFound."""
    found = Intent.objects.select_related("invoice", "method", "entity").filter(pk=intent_id).first()
    if found is None:
        raise NotFound(f"There is no payment intent {intent_id}.", field="intent_id")
    return found


def intents(*, entity_id: int, state: str = "", invoice_id: int | None = None, payment_id: int | None = None) -> QuerySet[Intent]:
    """Intents of a company, for lists."""
    rows = Intent.objects.filter(entity_id=entity_id)
    rows = rows.filter(state=state) if state else rows
    rows = rows.filter(payment_id=payment_id) if payment_id else rows
    return rows.filter(invoice_id=invoice_id) if invoice_id else rows


def refund(refund_id: int) -> Refund:
    """One refund with its payment and invoice. Raises: NotFound."""
    found = Refund.objects.select_related("intent__invoice").filter(pk=refund_id).first()
    if found is None:
        raise NotFound(f"There is no refund {refund_id}.", field="refund_id")
    return found


def refunds(*, entity_id: int, limit: int = 100) -> list[Refund]:
    """Refunds through the processor: those to be booked first, then the newest."""
    rows = Refund.objects.filter(intent__entity=entity_id).select_related("intent__invoice", "intent__customer")
    return list(rows.order_by(Case(When(state=Refund.State.TOLD, then=0), default=1), "-id")[:limit])


def last_of(invoice_id: int) -> Intent | None:
    """The newest intent of an invoice."""
    return Intent.objects.filter(invoice_id=invoice_id).order_by("-id").first()


def payouts(*, entity_id: int, limit: int = 100) -> list[Payout]:
    """Payouts, newest first."""
    return list(Payout.objects.filter(entity_id=entity_id).order_by("-arrives_on", "-id")[:limit])


def methods(*, limit: int = 200) -> list[Method]:
    """Saved cards and accounts that are charged."""
    return list(Method.objects.filter(is_active=True).select_related("customer").order_by("customer__name")[:limit])


def unhandled(*, limit: int = 50) -> list[Event]:
    """Events that wait, oldest first."""
    return list(Event.objects.filter(handled_at=None).order_by("id")[:limit])
