"""The page of early-payment offers: which ones cover the next payroll at least cost, and what became of those that were made."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

import polars as pl
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing import queries as billing
from topline.books.company import company
from topline.collections import reminders
from topline.collections.forms import next_workday
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid
from topline.receivables import offers as receivables
from topline.receivables.actions import DocumentNotOpen
from topline.treasury import offers
from topline.treasury.forms import OfferForm
from topline.ui.access import Asked, page

SHOWN = 60  # suggested offers on the page
FIELDS = {"valid_until", "discount_minor"}  # of an offer that its form asks for


@page("treasury.view")
def offers_page(request: Asked) -> HttpResponse:
    """What the next payroll lacks, the cheapest offers that bring it, and the offers that stand."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    yearly, taken = _number(request, "yearly", offers.YEARLY_PERCENT), _number(request, "taken", Decimal(offers.TAKEN_PERCENT))
    least = _number(request, "least", offers.LEAST_PERCENT)
    found = offers.suggest(entity=entity, as_of=today, yearly_percent=yearly, taken_percent=int(taken), least_percent=least)
    rows = [{**row, "url": reverse("billing:invoice", args=[row["invoice_id"]])} for row in found.chosen.head(SHOWN).to_dicts()]
    made, fits = receivables.offers(entity.pk, as_of=today, limit=100), [t for t in receivables.takers(entity.pk) if t["in_time"]]
    takers = {offer["id"]: [t for t in fits if t["offer_id"] == offer["id"]] for offer in made}
    context = {"found": found, "rows": rows, "home": entity.currency, "made": made, "takers": takers, "today": today}
    return render(request, "treasury/offers.html", context)


@page("receivables.make_offers", methods=("GET", "POST"))
def offer(request: Asked, invoice_id: int) -> HttpResponse:
    """Offer less on one invoice: a scale of days with what each is worth at the yearly cost of money, or a day and a sum of one's own."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    found = billing.invoice_detail(invoice_id)
    invoice = found.invoice
    if invoice.kind != invoice.Kind.INVOICE or invoice.state != invoice.State.OPEN:
        raise DocumentNotOpen(
            f"{invoice.number or 'The draft'} is not open.", field="invoice_id", remedy="Offer on what is owed."
        )
    yearly = _number(request, "yearly", offers.YEARLY_PERCENT)
    expected = offers.expected_on(entity=entity, invoice_id=invoice_id, as_of=today) or invoice.due_on or today
    form = OfferForm(
        request.POST or None, currency=invoice.currency, initial={"valid_until": next_workday(today + timedelta(days=7))}
    )
    if form.is_valid():
        frame = pl.DataFrame(
            {"invoice_id": [invoice_id], "discount_minor": [form.cleaned_data["discount_minor"]], "expected_on": [expected]}
        )
        try:
            made = receivables.make_offers(
                actor=request.actor, offers=frame, valid_until=form.cleaned_data["valid_until"], on=today
            )
        except DomainError as error:
            form.add_error(
                {"discount_minor": "less"}.get(error.field, error.field) if error.field in FIELDS else None, str(error)
            )
        else:
            if form.cleaned_data["write"] and request.actor.may("collections.send_offer"):
                reminders.send_offer(actor=request.actor, offer_id=made["offer_id"][0], on=today)
            messages.success(request, f"The offer on {invoice.number} stands.")
            return redirect("billing:invoice", invoice_id)
    context = {
        "invoice": invoice, "open_minor": found.open_minor, "expected": expected, "yearly": yearly, "form": form,
        "steps": offers.sliding_scale(amount_minor=found.open_minor, expected=expected, as_of=today, yearly_percent=yearly),
        "standing": [o for o in receivables.offers(entity.pk, as_of=today, invoice_id=invoice_id) if o["state"] == "running"],
    }  # fmt: skip
    return render(request, "treasury/offer.html", context, status=400 if form.errors else 200)


@page("receivables.make_offers", methods=("POST",))
def make(request: Asked) -> HttpResponse:
    """Make the ticked offers, and write them to the customers when asked."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    rows = []
    for text in request.POST.getlist("offer"):
        parts = text.split(":")
        if len(parts) != 3 or not (parts[0].isdigit() and parts[1].isdigit()):
            raise Invalid("That is no offer.", field="offer", remedy="Open the page again.")
        rows.append((int(parts[0]), int(parts[1]), _day(parts[2])))
    if not rows:
        raise Invalid("No offer is ticked.", field="offer", remedy="Tick at least one.")
    frame = pl.DataFrame(rows, schema={"invoice_id": pl.Int64, "discount_minor": pl.Int64, "expected_on": pl.Date}, orient="row")
    made = receivables.make_offers(
        actor=request.actor, offers=frame, valid_until=_day(request.POST.get("valid_until", "")), on=today
    )
    if "write" in request.POST and request.actor.may("collections.send_offer"):
        for offer_id in made["offer_id"].to_list():
            reminders.send_offer(actor=request.actor, offer_id=offer_id, on=today)
    messages.success(request, "The offer stands." if made.height == 1 else f"{made.height} offers stand.")
    return redirect("treasury:offers")


@page("receivables.withdraw_offer", methods=("POST",))
def withdraw(request: Asked, offer_id: int) -> HttpResponse:
    """Take an offer back."""
    receivables.withdraw_offer(actor=request.actor, offer_id=offer_id)
    messages.success(request, "The offer is withdrawn.")
    return redirect("treasury:offers")


@page("collections.send_offer", methods=("POST",))
def write(request: Asked, offer_id: int) -> HttpResponse:
    """Write an offer to its customer by e-mail."""
    try:
        reminders.send_offer(actor=request.actor, offer_id=offer_id, on=clock.today(company(request).time_zone))
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "It is written, and leaves at the next allowed hour.")
    return redirect("treasury:offers")


def _number(request: Asked, name: str, usual: Decimal) -> Decimal:
    text = request.GET.get(name, "")
    try:
        value = Decimal(text) if text else usual
    except InvalidOperation as error:
        raise Invalid(f"{text!r} is no number.", field=name, remedy="Write digits.") from error
    if not value.is_finite():
        raise Invalid(f"{text!r} is no number.", field=name, remedy="Write digits.")
    return value


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no day.", field="valid_until", remedy="Write it as 2026-01-31.") from error
