"""Verbs of online payments. The order is always the same: our intent is committed, then the processor is called, then its answer is written down."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db import IntegrityError, transaction
from django.db.models import F, Q, Sum

from topline.bank import queries as bank
from topline.bank.models import StatementLine
from topline.billing import actions as invoicing
from topline.billing import queries as billing
from topline.billing.models import OWED, Invoice
from topline.books import actions as books
from topline.books.actions import leg
from topline.engine import charge_retries
from topline.kernel import clock, money, outbox
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.processor.models import Event, Intent, Method, Payout, Refund
from topline.processor.port import Answer, Page, Told
from topline.receivables import actions as receivables
from topline.team import actions as team
from topline.team.models import Area, Task
from topline.timeline import actions as timeline

S, R = Intent.State, Refund.State
HANDLE, CHARGE, REFUND = "processor_event", "charge_intent", "refund_charge"
CHARGED = 500  # most intents that one run plans
LOOKED_FOR = timedelta(days=7)  # within which a payout's line is expected on the statement


class NothingToPay(Conflict):
    """The document is settled, void or no invoice."""

    code = "nothing_to_pay"


class AlreadyOnItsWay(Conflict):
    """A payment of the invoice is under way."""

    code = "payment_under_way"


class NotRefundable(Conflict):
    """The payment is not there, or less of it is left."""

    code = "not_refundable"


class NotYet(Conflict):
    """An event about something that is not there yet: it is tried again."""

    code = "event_too_early"


# --- what we want ---
@action("processor.begin_payment")
def begin_payment(*, actor: Actor, invoice_id: int, processor: str, saves_method: bool = False) -> int:
    """Write down that an invoice is to be paid on the processor's page; returns the intent's id, that of the one which waits already where there is one.

    Raises: NotFound, NothingToPay, AlreadyOnItsWay (the money is on its way).
    """
    invoice = _payable(invoice_id)
    amount = _owed(invoice)
    ensure(amount > 0, NothingToPay("A credit note takes back what is open.", field="invoice_id", remedy="Apply it."))
    live = Intent.objects.select_for_update().filter(invoice=invoice, state__in=Intent.LIVE).first()
    if live is not None:
        is_going = live.state == S.PROCESSING or live.method_id is not None
        ensure(not is_going, AlreadyOnItsWay("A payment of this invoice is on its way.", remedy="It takes some days."))
        if (live.amount_minor, live.processor, live.saves_method, live.method_id) == (amount, processor, saves_method, None):
            return live.pk
        live.state = S.CANCELED
        live.save(update_fields=["state"])
        changed("intent", live.pk, after={"state": S.CANCELED})
    return _wanted(invoice, amount, processor, saves_method=saves_method).pk


@action("processor.note_page")
def note_page(*, actor: Actor, intent_id: int, page: Page) -> int:
    """The processor made its page; returns the intent's id."""
    intent = _locked(Q(pk=intent_id))
    if intent.state == S.NEW:
        intent.state, intent.ref, intent.url = S.OPEN, page.ref, page.url
        intent.save(update_fields=["state", "ref", "url"])
        changed("intent", intent.pk, after={"state": S.OPEN, "ref": page.ref})
    return intent.pk


@action("processor.plan_charges")
def plan_charges(*, actor: Actor, entity_id: int, as_of: date, processor: str) -> list[int]:
    """Want every invoice that is due, of customers with a saved card or account, charged today: those never tried, and those whose next try has come.

    A decline that is hard, or the last of the tries, ends it until the customer gives another method. Returns the intents' ids; each is
    called once this is committed. What a credit note takes back of an invoice is not charged. Work: four statements, and two an intent.
    """
    methods = dict(Method.objects.filter(is_active=True, processor=processor).values_list("customer_id", "id")[:100_000])
    due = Invoice.objects.filter(
        entity_id=entity_id, kind=Invoice.Kind.INVOICE, state=Invoice.State.OPEN, due_on__lte=as_of, customer_id__in=list(methods), total_minor__gt=F("allocated_minor")
    ).order_by("due_on", "id")[:CHARGED]  # fmt: skip
    taken_back = billing.taken_back([invoice.pk for invoice in due])
    before: dict[int, Intent] = {}
    for intent in Intent.objects.filter(invoice_id__in=[invoice.pk for invoice in due]).order_by("id"):
        before[intent.invoice_id] = intent
    made = []
    for invoice in due:
        last = before.get(invoice.pk)
        method_id = methods[invoice.customer_id]
        tried = last is not None and last.method_id == method_id and last.state in (S.FAILED, S.DISPUTED)
        if (
            last is not None and last.state == S.NEW and last.method_id is not None
        ):  # nobody ever answered: the same call once more
            outbox.enqueue(CHARGE, {"intent_id": last.pk}, key=f"{CHARGE}:{last.pk}:{as_of}")
        if last is not None and (last.state in Intent.LIVE or (tried and (last.next_try_on is None or last.next_try_on > as_of))):
            continue
        tries = last.tries + 1 if last is not None and tried else 1
        amount = invoice.total_minor - invoice.allocated_minor - taken_back.get(invoice.pk, 0)
        if amount <= 0:  # a credit note that nobody applied yet takes back the rest
            continue
        intent = _wanted(invoice, amount, processor, method_id=method_id, tries=tries)
        outbox.enqueue(CHARGE, {"intent_id": intent.pk}, key=f"{CHARGE}:{intent.pk}")
        made.append(intent.pk)
    return made


@action("processor.drop_method")
def drop_method(*, actor: Actor, method_id: int) -> int:
    """Charge a saved card or account no more; returns its id. Raises: NotFound."""
    method = Method.objects.select_for_update().filter(pk=method_id).first()
    if method is None:
        raise NotFound(f"There is no saved method {method_id}.", field="method_id")
    method.is_active = False
    method.save(update_fields=["is_active"])
    changed("payment_method", method_id, after={"is_active": False})
    return method_id


@action("processor.ask_refund")
def ask_refund(*, actor: Actor, intent_id: int, amount_minor: int, reason: str, credits_invoice: bool = True) -> int:
    """Have the processor give money of a payment back to the card or account that it came from; returns the refund's id. It is booked once the processor did it.

    credits_invoice  the invoice is credited with as much, else it is open again
    Raises: NotFound, NotRefundable (not paid, or less is left), Invalid (no reason).
    """
    intent = _locked(Q(pk=intent_id))
    ensure(bool(reason.strip()), Invalid("Say why it goes back.", field="reason", remedy="Such as: cancelled, paid twice."))
    ensure(intent.state == S.PAID, NotRefundable(f"It is {intent.state}: nothing can go back.", field="intent_id", remedy="Wait until it is paid."))  # fmt: skip
    left = intent.amount_minor - _refunded_of(intent)
    ensure(0 < amount_minor <= left, NotRefundable(f"{money.Money(left, intent.currency)} can go back.", field="amount_minor", remedy="Give back at most that."))  # fmt: skip
    if credits_invoice:
        uncredited = intent.invoice.total_minor - billing.credited(intent.invoice_id)
        ensure(amount_minor <= uncredited, NotRefundable(f"{money.Money(uncredited, intent.currency)} of {intent.invoice.number} is not credited yet.", field="amount_minor", remedy="Give it back without a credit note."))  # fmt: skip
    made = Refund.objects.create(
        intent=intent, key=f"back_{uuid.uuid4().hex}", state=R.NEW, amount_minor=amount_minor, credits_invoice=credits_invoice, reason=reason.strip()[:300], created_at=clock.now()
    )  # fmt: skip
    outbox.enqueue(REFUND, {"refund_id": made.pk}, key=f"{REFUND}:{made.pk}")
    changed("refund", made.pk, after={"intent_id": intent.pk, "amount_minor": amount_minor, "reason": made.reason})
    return made.pk


@action("processor.book_refund")
def book_refund(*, actor: Actor, refund_id: int, credits_invoice: bool = True) -> int:
    """Book a refund that was made at the processor; returns its id. A second time changes nothing. Raises: NotFound, NotRefundable, billing refusals, books.PeriodLocked."""
    refund = _locked_refund(refund_id)
    if refund.state == R.BOOKED:
        return refund.pk
    ensure(refund.state == R.TOLD, NotRefundable("The processor did not make it.", field="refund_id", remedy="Nothing is to be booked."))  # fmt: skip
    refund.credits_invoice = credits_invoice
    _book(actor, refund)
    _done(actor, refund.intent, _refund_task(refund))
    return refund.pk


# --- what the processor says ---
@action("processor.note_refund")
def note_refund(*, actor: Actor, refund_id: int, answer: Answer) -> int:
    """What became of a refund that we asked for; returns its id. Twice changes nothing."""
    refund = _locked_refund(refund_id)
    if refund.state != R.NEW:
        return refund.pk
    refund.ref = answer.charge_ref
    if answer.state == "failed":
        refund.state, refund.why = R.FAILED, (answer.decline_code or "refused")[:60]
        refund.save()
        changed("refund", refund.pk, after={"state": R.FAILED, "why": refund.why})
        _ask(actor, refund.intent, f"{refund.intent.processor} did not refund {money.Money(refund.amount_minor, refund.intent.currency)} of {refund.intent.invoice.number}: give it back otherwise", clock.today(refund.intent.entity.time_zone))  # fmt: skip
    else:
        _book(actor, refund)
    return refund.pk


@action("processor.note_answer")
def note_answer(*, actor: Actor, intent_id: int, answer: Answer) -> int:
    """What became of a charge that we asked for; returns the intent's id. The event that tells the same later changes nothing."""
    intent = _locked(Q(pk=intent_id))
    told = Told(ref="", kind=answer.state, charge_ref=answer.charge_ref, fee_minor=answer.fee_minor, decline_code=answer.decline_code, amount_minor=intent.amount_minor, currency=intent.currency)  # fmt: skip
    _HANDLERS[answer.state](actor, intent, told)
    return intent.pk


def receive_event(*, processor: str, payload: dict[str, Any]) -> bool:
    """Keep a verified event and have it handled; False where it is here already. Nothing else happens before the processor has its answer."""
    try:
        with transaction.atomic():
            event = Event.objects.create(
                processor=processor,
                ref=str(payload["id"])[:120],
                kind=str(payload["type"])[:80],
                payload=payload,
                received_at=clock.now(),
            )
            outbox.enqueue(HANDLE, {"event_id": event.pk}, key=f"{HANDLE}:{event.pk}")
    except IntegrityError:
        return False
    return True


@action("processor.handle_event")
def handle_event(*, actor: Actor, event_id: int, told: Told) -> str:
    """Do what an event asks for, once; returns what was done. Events may come in any order and again: what is over stays over.

    Raises: NotYet (it is about a payment that we have not heard of; the queue tries it again).
    """
    event = Event.objects.select_for_update().get(pk=event_id)
    if event.handled_at is not None:
        return event.said
    if told.kind == "payout":
        said = _payout(event.processor, told)
    elif told.kind in _HANDLERS:
        key = (
            Q(key=told.key)
            if told.key
            else Q(charge_ref=told.charge_ref, processor=event.processor)
            if told.charge_ref
            else Q(pk=None)
        )
        intent = Intent.objects.select_for_update().filter(key).first()
        if intent is None:
            ensure(
                not told.charge_ref or told.kind not in ("disputed", "dispute_won", "dispute_lost", "refunded"),
                NotYet(f"No payment {told.charge_ref} is known yet."),
            )
            said = "It is about nothing of ours."
        else:
            said = _HANDLERS[told.kind](actor, intent, told)
    else:
        said = "Nothing is to be done."
    event.handled_at, event.said = clock.now(), said
    event.save(update_fields=["handled_at", "said"])
    changed("processor_event", event.pk, after={"said": said})
    return said


@action("processor.match_payouts")
def match_payouts(*, actor: Actor, entity_id: int) -> int:
    """Find the bank lines of payouts: same account's currency and amount, within a week of the day told, from the processor by name or alone of its amount.

    Such a line is no payment: its money was booked when customers paid. Returns how many were found. Work: two statements, and two a payout.
    """
    waiting = list(Payout.objects.filter(entity_id=entity_id, line_id=None).order_by("arrives_on", "id")[:500])
    found = 0
    for payout in waiting:
        days = {"booked_on__gte": payout.arrives_on - timedelta(days=2), "booked_on__lte": payout.arrives_on + LOOKED_FOR}
        lines = bank.lines(
            entity_id=entity_id,
            filters={
                "state": "open",
                "payment_id": None,
                "amount_minor": payout.amount_minor,
                "currency": payout.currency,
                **days,
            },
        )
        known = list(lines.order_by("booked_on", "id")[:20])
        named = [line for line in known if payout.processor in f"{line.counterparty_name} {line.remittance_information}".lower()]
        line = named[0] if named else known[0] if len(known) == 1 else None
        if line is None:
            continue
        StatementLine.objects.filter(pk=line.pk).update(state=StatementLine.State.MATCHED)
        payout.line_id = line.pk
        payout.save(update_fields=["line_id"])
        changed("statement_line", line.pk, after={"state": "matched", "payout": payout.ref})
        found += 1
    return found


# --- what events do ---
def _paid(actor: Actor, intent: Intent, told: Told) -> str:
    """The money is the processor's: a payment of the customer, applied to the invoice as far as it is open, and the fee."""
    if intent.state in (S.PAID, S.DISPUTED):
        return "It was paid already."
    day = clock.today(intent.entity.time_zone)
    amount = told.amount_minor or intent.amount_minor
    row = {
        "customer_id": [intent.customer_id],
        "currency": [intent.currency],
        "amount_minor": [amount],
        "received_on": [day],
        "method": [f"{intent.processor} online"],
        "reference": [told.charge_ref[:140]],
    }
    made = receivables.record_payments(actor=actor, entity_id=intent.entity_id, payments=pl.DataFrame(row))
    intent.payment_id = int(made["payment_id"][0])
    invoice = Invoice.objects.select_for_update().get(pk=intent.invoice_id)
    owed = invoice.total_minor - invoice.allocated_minor if invoice.state == Invoice.State.OPEN else 0
    applied = min(owed, amount)
    if applied > 0:
        receivables.apply_cash(
            actor=actor,
            links=pl.DataFrame({"payment_id": [intent.payment_id], "invoice_id": [invoice.pk], "amount_minor": [applied]}),
            on=day,
        )
    _fee(intent, told.fee_minor, day, "fee")
    _keep_method(intent, told)
    intent.state, intent.charge_ref, intent.fee_minor, intent.decline_code, intent.next_try_on = (
        S.PAID,
        told.charge_ref,
        intent.fee_minor + told.fee_minor,
        "",
        None,
    )
    intent.save()
    changed("intent", intent.pk, after={"state": S.PAID, "payment_id": intent.payment_id})
    return f"Payment {made['number'][0]}" + (
        "" if applied == amount else f"; {amount - applied} of it is not applied, for less is open"
    )


def _processing(actor: Actor, intent: Intent, told: Told) -> str:
    if intent.state not in (S.NEW, S.OPEN):
        return "It is further than that already."
    intent.state, intent.charge_ref = S.PROCESSING, told.charge_ref
    _keep_method(intent, told)
    intent.save()
    changed("intent", intent.pk, after={"state": S.PROCESSING})
    return "The money is on its way."


def _failed(actor: Actor, intent: Intent, told: Told) -> str:
    """Declined. On a page the customer may try another card; a saved method is tried again by the policy, unless the decline is hard."""
    if intent.state in (S.PAID, S.DISPUTED, S.CANCELED):
        return "It is over already."
    code = (told.decline_code or "declined")[:60]
    intent.decline_code = code
    if told.charge_ref:
        intent.charge_ref = told.charge_ref
    if intent.method_id is None and intent.state == S.OPEN:
        intent.save()
        changed("intent", intent.pk, after={"decline_code": code})
        return f"Declined ({code}); the page still waits."
    today = clock.today(intent.entity.time_zone)
    again = charge_retries.next_try(code, tries=intent.tries, on=today) if intent.method_id else None
    intent.state, intent.next_try_on = S.FAILED, again
    intent.save()
    if intent.method_id and charge_retries.is_hard(code):
        Method.objects.filter(pk=intent.method_id).update(is_active=False)
    timeline.record_one(
        "charge_failed", subject="invoice", subject_id=intent.invoice_id, actor=actor, on=today, customer_id=intent.customer_id, amount_minor=intent.amount_minor, currency=intent.currency,
        note=code.replace("_", " "),
    )  # fmt: skip
    changed("intent", intent.pk, after={"state": S.FAILED, "decline_code": code, "next_try_on": again})
    return f"Declined ({code}); " + (f"tried again on {again}." if again else "not tried again.")


def _expired(actor: Actor, intent: Intent, told: Told) -> str:
    if intent.state not in (S.NEW, S.OPEN):
        return "It is over already."
    intent.state = S.CANCELED
    intent.save(update_fields=["state"])
    changed("intent", intent.pk, after={"state": S.CANCELED})
    return "The page has expired."


def _disputed(actor: Actor, intent: Intent, told: Told) -> str:
    """The customer's bank took the money back: the payment is returned, what it settled opens again, and somebody is told."""
    if intent.state == S.DISPUTED:
        return "It is disputed already."
    if intent.state != S.PAID or intent.payment_id is None:
        raise NotYet(f"Payment {told.charge_ref} has not come yet.")
    today = clock.today(intent.entity.time_zone)
    receivables.return_payments(
        actor=actor, payment_ids=[intent.payment_id], on=today, reason="disputed with the customer's bank"
    )
    _fee(intent, told.fee_minor, today, "dispute_fee")
    intent.state, intent.fee_minor = S.DISPUTED, intent.fee_minor + max(told.fee_minor, 0)
    intent.save(update_fields=["state", "fee_minor"])
    _ask(actor, intent, _dispute_task(intent), today)
    changed("intent", intent.pk, after={"state": S.DISPUTED})
    return "The payment is returned; somebody is asked to answer the dispute."


def _dispute_won(actor: Actor, intent: Intent, told: Told) -> str:
    if intent.state != S.DISPUTED:
        raise NotYet(f"Payment {told.charge_ref} is not disputed.")
    intent.state = S.PROCESSING
    _done(actor, intent, _dispute_task(intent))
    return f"Won. {_paid(actor, intent, Told(told.ref, 'paid', charge_ref=intent.charge_ref, amount_minor=intent.amount_minor, currency=intent.currency))}"


def _dispute_lost(actor: Actor, intent: Intent, told: Told) -> str:
    """The money stays with the customer's bank: the invoice is open, and what becomes of it is for a person to say."""
    if intent.state != S.DISPUTED:
        raise NotYet(f"Payment {told.charge_ref} is not disputed.")
    _done(actor, intent, _dispute_task(intent))
    title = f"The dispute about {intent.invoice.number} is lost: collect it otherwise, credit it or write it off"
    _ask(actor, intent, title, clock.today(intent.entity.time_zone))
    return "Lost; somebody is asked what becomes of the invoice."


def _refunded(actor: Actor, intent: Intent, told: Told) -> str:
    """A refund that was made at the processor is for a person to book: whether the invoice is still owed nobody says. What was asked for here is known."""
    if intent.payment_id is None:
        raise NotYet(f"Payment {told.charge_ref} has not come yet.")
    fresh = told.amount_minor - _refunded_of(intent)
    if fresh <= 0:
        return "It is known already."
    made = Refund.objects.create(intent=intent, key=f"told_{uuid.uuid4().hex}", state=R.TOLD, amount_minor=fresh, created_at=clock.now())  # fmt: skip
    changed("refund", made.pk, after={"intent_id": intent.pk, "amount_minor": fresh})
    _ask(actor, intent, _refund_task(made), clock.today(intent.entity.time_zone))
    return "Somebody is asked to book the refund."


_HANDLERS = {
    "paid": _paid, "processing": _processing, "failed": _failed, "expired": _expired, "disputed": _disputed, "dispute_won": _dispute_won, "dispute_lost": _dispute_lost, "refunded": _refunded,
}  # fmt: skip


# --- parts ---
def _payable(invoice_id: int) -> Invoice:
    invoice = Invoice.objects.select_for_update(of=("self",)).select_related("customer").filter(pk=invoice_id).first()
    if invoice is None:
        raise NotFound(f"There is no document {invoice_id}.", field="invoice_id")
    owed = invoice.kind in OWED and invoice.state == Invoice.State.OPEN
    ensure(owed, NothingToPay("Nothing is owed for this document.", field="invoice_id", remedy="Nothing to do."))
    return invoice


def _wanted(
    invoice: Invoice, amount: int, processor: str, *, saves_method: bool = False, method_id: int | None = None, tries: int = 1
) -> Intent:
    intent = Intent.objects.create(
        entity_id=invoice.entity_id, customer_id=invoice.customer_id, invoice=invoice, method_id=method_id, processor=processor, key=f"top_{uuid.uuid4().hex}",
        currency=invoice.currency, amount_minor=amount, saves_method=saves_method, tries=tries, created_at=clock.now(),
    )  # fmt: skip
    changed("intent", intent.pk, after={"invoice_id": invoice.pk, "amount_minor": amount, "tries": tries})
    return intent


def _locked(which: Q) -> Intent:
    found = Intent.objects.select_for_update(of=("self",)).select_related("entity", "invoice").filter(which).first()
    if found is None:
        raise NotFound("There is no such payment intent.", field="intent_id")
    return found


def _owed(invoice: Invoice) -> int:
    """What is open of an invoice, less what credit notes take back of it that nobody applied yet."""
    return invoice.total_minor - invoice.allocated_minor - billing.taken_back([invoice.pk]).get(invoice.pk, 0)


def _refunded_of(intent: Intent) -> int:
    """What went back of a payment, or is on its way."""
    known = Refund.objects.filter(intent=intent).exclude(state=R.FAILED).aggregate(total=Sum("amount_minor"))
    return int(known["total"] or 0)


def _locked_refund(refund_id: int) -> Refund:
    found = Refund.objects.select_for_update(of=("self",)).select_related("intent__entity", "intent__invoice").filter(pk=refund_id).first()  # fmt: skip
    if found is None:
        raise NotFound(f"There is no refund {refund_id}.", field="refund_id")
    return found


def _book(actor: Actor, refund: Refund) -> None:
    """The payment is less by a refund; what it settled is open again, or credited."""
    intent = refund.intent
    today = clock.today(intent.entity.time_zone)
    if intent.payment_id is None:
        raise NotRefundable("There is no payment.", field="refund_id")
    receivables.give_back(actor=actor, payment_id=intent.payment_id, amount_minor=refund.amount_minor, on=today, reason=refund.reason or f"Refunded at {intent.processor}")  # fmt: skip
    if refund.credits_invoice:
        invoice = billing.for_update([intent.invoice_id]).row(0, named=True)
        refund.credit_note_id = invoicing.credit(actor=actor, invoice=invoice, issue_on=today, total_minor=refund.amount_minor, reason=refund.reason or "Refunded")  # fmt: skip
        receivables.settle_corrections(actor=actor, credit_note_ids=[refund.credit_note_id], on=today)
    refund.state, refund.booked_on = R.BOOKED, today
    refund.save()
    changed("refund", refund.pk, after={"state": R.BOOKED, "credit_note_id": refund.credit_note_id})


def _dispute_task(intent: Intent) -> str:
    return f"Answer the dispute about {intent.invoice.number} at {intent.processor}"


def _refund_task(refund: Refund) -> str:
    intent = refund.intent
    return f"{intent.processor} refunded {money.Money(refund.amount_minor, intent.currency)} of {intent.invoice.number}: book it under Online payments"


def _done(actor: Actor, intent: Intent, title: str) -> None:
    """What a task asked for is over."""
    open_ = Task.objects.filter(about_kind="invoice", about_id=intent.invoice_id, title=title[:200], state=Task.State.OPEN)
    for task_id in open_.values_list("id", flat=True)[:10]:
        team.finish_task(actor=actor, task_id=task_id)


def _fee(intent: Intent, fee_minor: int, day: date, what: str) -> None:
    """What the processor keeps: bank fees, out of the money in clearing that its payout will bring less."""
    if fee_minor <= 0:
        return
    key = f"intent:{intent.pk}:{what}"
    entry = pl.DataFrame(
        {
            "key": [key],
            "effective_on": [day],
            "source": [f"intent:{intent.pk}"],
            "memo": [f"{intent.processor}, {what.replace('_', ' ')}"],
        }
    )
    row = entry.select(
        "key", currency=pl.lit(intent.currency), amount_minor=pl.lit(fee_minor), customer_id=pl.lit(intent.customer_id), invoice_id=pl.lit(intent.invoice_id),
        payment_id=pl.lit(intent.payment_id),
    )  # fmt: skip
    books.post(
        entity_id=intent.entity_id,
        kind="processor_fee",
        entries=entry,
        transfers=[leg(row, debit="bank_fees", credit="clearing", amount="amount_minor")],
    )


def _keep_method(intent: Intent, told: Told) -> None:
    """The customer let us keep the card or account: it takes the place of the one before it."""
    if not intent.saves_method or not told.method_ref:
        return
    Method.objects.filter(customer_id=intent.customer_id, is_active=True).exclude(ref=told.method_ref).update(is_active=False)
    Method.objects.update_or_create(
        processor=intent.processor, ref=told.method_ref,
        defaults={"customer_id": intent.customer_id, "customer_ref": told.customer_ref, "label": told.method_label[:60] or "Saved method", "is_active": True, "created_at": clock.now()},
    )  # fmt: skip


def _ask(actor: Actor, intent: Intent, title: str, today: date) -> None:
    """A task for whoever owns collections, where somebody does."""
    owner = Area.objects.filter(key="collections").values_list("owner_id", flat=True).first()
    if owner is not None:
        team.add_task(
            actor=actor,
            title=title[:200],
            assignee_id=owner,
            due_on=today + timedelta(days=3),
            about_kind="invoice",
            about_id=intent.invoice_id,
        )


def _payout(processor: str, told: Told) -> str:
    entity_id = (
        Intent.objects.filter(processor=processor, currency=told.currency)
        .order_by("-id")
        .values_list("entity_id", flat=True)
        .first()
    )
    if entity_id is None or told.arrives_on is None or told.amount_minor <= 0:
        return "It pays out nothing of ours."
    made, fresh = Payout.objects.get_or_create(
        processor=processor, ref=told.payout_ref,
        defaults={"entity_id": entity_id, "currency": told.currency, "amount_minor": told.amount_minor, "arrives_on": told.arrives_on, "created_at": clock.now()},
    )  # fmt: skip
    if fresh:
        changed_many("payout", [made.pk])
    return "The payout is expected on the statement." if fresh else "It was known already."
