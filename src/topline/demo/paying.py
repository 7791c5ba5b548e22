"""Invoices of the demo company that customers pay online, in the simulator: by card, one of them kept, by direct debit, one declined and one given back in part."""

from __future__ import annotations

from datetime import date

from topline.billing.models import Invoice
from topline.kernel.actor import Actor
from topline.processor import actions, queries, service
from topline.processor.models import Event, Intent
from topline.processor.port import Wanted
from topline.processor.simulator import Simulator

PLAYED = (("4242", True), ("4242", False), ("3000", False), ("9995", False), ("4242", False))
SMALL = 5_000_00


def play(*, actor: Actor, entity_id: int, end: date) -> None:
    """Five small invoices that are not due yet are paid on the simulator's page; what came of them is paid out."""
    simulator = Simulator(address="", secret="played")  # noqa: S106  (it signs nothing here)
    due = Invoice.objects.filter(
        entity_id=entity_id,
        kind="invoice",
        state="open",
        currency="EUR",
        due_on__gt=end,
        total_minor__lte=SMALL,
        allocated_minor=0,
    )
    for invoice, (digits, saves) in zip(due.order_by("due_on", "id").distinct()[: len(PLAYED)], PLAYED, strict=False):
        intent_id = actions.begin_payment(actor=actor, invoice_id=invoice.pk, processor=simulator.name, saves_method=saves)
        intent = queries.intent(intent_id)
        wanted = Wanted(
            key=intent.key,
            amount_minor=intent.amount_minor,
            currency=intent.currency,
            about=f"Invoice {invoice.number}",
            saves_method=saves,
        )
        page = simulator.page(wanted)
        actions.note_page(actor=actor, intent_id=intent_id, page=page)
        for event in simulator.pay(page.ref, digits):
            _tell(actor, simulator, event)
    _give_back(actor, simulator)
    for event in simulator.pass_time(end):
        _tell(actor, simulator, event)


def _give_back(actor: Actor, simulator: Simulator) -> None:
    """A part of the last payment by card goes back, since less was used than was paid for."""
    paid = Intent.objects.filter(state=Intent.State.PAID).order_by("-id").first()
    if paid is None:
        return
    asked = actions.ask_refund(
        actor=actor, intent_id=paid.pk, amount_minor=paid.amount_minor // 10, reason="A seat less than was invoiced"
    )
    payload = {"refund_id": asked}
    service.given_back(payload, service.give_back(payload, simulator), actor=actor)


def _tell(actor: Actor, simulator: Simulator, event: dict[str, object]) -> None:
    actions.receive_event(processor=simulator.name, payload=event)
    kept = Event.objects.get(ref=event["id"])
    actions.handle_event(actor=actor, event_id=kept.pk, told=simulator.told(event))
