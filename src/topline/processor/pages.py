"""Online payments: what was asked for and what became of it, saved cards and accounts, payouts, and events that wait."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.kernel import clock
from topline.kernel.errors import DomainError
from topline.kernel.money import format_amount, parse_amount
from topline.processor import actions, queries, service
from topline.processor.models import Intent, Refund
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

LIST = [
    Column("created_at", "When", "moment", sort="created_at"), Column("number", "Invoice", "code", link="url"), Column("name", "Customer", link="customer_url"), Column("state", "State", "badge", sort="state"),
    Column("amount_minor", "Amount", "money", sort="amount_minor"), Column("fee_minor", "Fee", "money"), Column("currency", ""), Column("way", "By"), Column("decline", "Declined"),
    Column("next_try_on", "Next try", "date", sort="next_try_on"), Column("action", "Next", link="action_url"),
]  # fmt: skip
REFUNDS = [
    Column("created_at", "When", "moment"), Column("number", "Invoice", "code", link="url"), Column("name", "Customer"), Column("state", "State", "badge"), Column("amount_minor", "Amount", "money"), Column("currency", ""),
    Column("reason", "Why", "sentence"), Column("note", "Credit note", "code", link="note_url"), Column("action", "Next", link="action_url"),
]  # fmt: skip


class RefundForm(forms.Form):
    """Money that goes back."""

    amount = forms.CharField(max_length=20, widget=forms.TextInput(attrs={"inputmode": "decimal"}))
    reason = forms.CharField(max_length=300, label="Why", help_text="such as: cancelled, paid twice")
    credits_invoice = forms.BooleanField(
        required=False, initial=True, label="Credit the invoice with as much", help_text="otherwise it is owed again"
    )


class BookForm(forms.Form):
    """A refund that was made at the processor."""

    credits_invoice = forms.BooleanField(
        required=False, initial=True, label="Credit the invoice with as much", help_text="otherwise it is owed again"
    )


@page("processor.view")
def intents(request: Asked) -> HttpResponse:
    """Payments asked for online, newest first."""
    entity = company(request)
    state = listing(
        request.path, request.GET.dict(), columns=LIST, default_sort="-created_at", filters=["state", "invoice", "payment"]
    )
    invoice, payment = (int(v) if (v := state.filters.get(name, "")).isdigit() else None for name in ("invoice", "payment"))
    found = queries.intents(entity_id=entity.pk, state=state.filters.get("state", ""), invoice_id=invoice, payment_id=payment)
    may = request.actor.may("processor.ask_refund")
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    values = found.order_by(*state.order).values(
        "id", "created_at", "state", "amount_minor", "fee_minor", "currency", "invoice_id", "customer_id", "next_try_on", "tries", "decline_code", "processor", number=F("invoice__number"),
        name=F("customer__name"), saved=F("method__label"),
    )[start:end]  # fmt: skip
    rows = [
        {
            **row, "url": reverse("billing:invoice", args=[row["invoice_id"]]), "customer_url": reverse("web:customer", args=[row["customer_id"]]), "way": row["saved"] or f"{row['processor']}'s page",
            "decline": f"{row['decline_code'].replace('_', ' ')}{', try ' + str(row['tries']) if row['saved'] else ''}" if row["decline_code"] else "",
"action": "Refund" if may and row["state"] == "paid" else "", "action_url": reverse("processor:refund", args=[row["id"]]) if may and row["state"] == "paid" else "",
        }
        for row in values
    ]  # fmt: skip
    if state.export:
        return export(rows, LIST, name="online-payments", form=state.export)
    context = {
        "list": state, "rows": rows, "total": found.count(), "states": Intent.State.values, "payouts": queries.payouts(entity_id=entity.pk, limit=20), "methods": queries.methods(limit=50),
        "waiting": queries.unhandled(limit=20), "is_on": service.is_on(), "refunds": [_refund(r, request) for r in queries.refunds(entity_id=entity.pk, limit=20)], "refund_columns": REFUNDS,
    }  # fmt: skip
    return render(request, "processor/intents.html", context)


@page("processor.plan_charges", methods=("POST",))
def charge(request: Asked) -> HttpResponse:
    """Charge what is due of customers with a saved card or account; the worker calls the processor."""
    entity = company(request)
    made = actions.plan_charges(
        actor=request.actor, entity_id=entity.pk, as_of=clock.today(entity.time_zone), processor=service.current().name
    )
    messages.success(request, f"{len(made)} charges are on their way." if made else "Nothing is due that may be charged today.")
    return redirect("processor:intents")


@page("processor.ask_refund", methods=("GET", "POST"))
def refund(request: Asked, intent_id: int) -> HttpResponse:
    """Give money of an online payment back to the card or account."""
    intent = queries.intent(intent_id)
    left = intent.amount_minor - sum(r.amount_minor for r in intent.refunds.exclude(state=Refund.State.FAILED))
    form = RefundForm(request.POST or None, initial={"amount": format_amount(left, intent.currency)})
    if form.is_valid():
        said = form.cleaned_data
        try:
            amount = parse_amount(said["amount"], intent.currency, field="amount")
            actions.ask_refund(actor=request.actor, intent_id=intent.pk, amount_minor=amount, reason=said["reason"], credits_invoice=said["credits_invoice"])  # fmt: skip
        except DomainError as error:
            blame(form, error, {"amount_minor": "amount"})
        else:
            messages.success(
                request, f"{intent.processor.capitalize()} is asked to give it back; it is booked as soon as that is done."
            )
            return redirect("processor:intents")
    what = f"{format_amount(left, intent.currency)} {intent.currency} of the payment of {intent.invoice.number} can go back to the card or account that it came from."
    return _form(request, form, f"Refund {intent.invoice.number}", what, "Give back")


@page("processor.book_refund", methods=("GET", "POST"))
def book_refund(request: Asked, refund_id: int) -> HttpResponse:
    """Book a refund that was made at the processor."""
    found = queries.refund(refund_id)
    number = found.intent.invoice.number
    form = BookForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            actions.book_refund(actor=request.actor, refund_id=found.pk, credits_invoice=form.cleaned_data["credits_invoice"])
        except DomainError as error:
            blame(form, error, {"total_minor": "credits_invoice"})
        else:
            messages.success(request, "The refund is booked.")
            return redirect("billing:invoice", found.intent.invoice_id)
    what = f"{found.intent.processor.capitalize()} gave {format_amount(found.amount_minor, found.intent.currency)} {found.intent.currency} of {number} back. Is the rest of it still owed, or is it off?"
    return _form(request, form, f"Book the refund of {number}", what, "Book")


@page("processor.drop_method", methods=("POST",))
def drop_method(request: Asked, method_id: int) -> HttpResponse:
    """Charge a saved card or account no more."""
    actions.drop_method(actor=request.actor, method_id=method_id)
    messages.success(request, "It is charged no more.")
    return redirect("processor:intents")


# --- parts ---
def _refund(row: Refund, request: Asked) -> dict[str, Any]:
    intent = row.intent
    is_ours = row.state == Refund.State.TOLD and request.actor.may("processor.book_refund")
    return {
        "created_at": row.created_at, "number": intent.invoice.number, "url": reverse("billing:invoice", args=[intent.invoice_id]), "name": intent.customer.name, "state": "to be booked" if row.state == Refund.State.TOLD else row.state,
        "amount_minor": row.amount_minor, "currency": intent.currency, "reason": row.why.replace("_", " ") or row.reason or f"made at {intent.processor}", "note": "credited" if row.credit_note_id else "",
        "note_url": reverse("billing:invoice", args=[row.credit_note_id]) if row.credit_note_id else "", "action": "Book" if is_ours else "", "action_url": reverse("processor:book_refund", args=[row.pk]) if is_ours else "",
    }  # fmt: skip


def _form(request: Asked, form: forms.Form, title: str, what: str, button: str) -> HttpResponse:
    context = {
        "form": form,
        "title": title,
        "what": what,
        "back": ("Online payments", reverse("processor:intents")),
        "button": button,
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)
