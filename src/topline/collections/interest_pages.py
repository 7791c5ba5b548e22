"""Late interest as a document: choose invoices and a day, see what it would say, claim it; and the reference rates behind it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing import delivery
from topline.books.company import company
from topline.collections import claims, interest
from topline.collections.claims import Part
from topline.engine import reference_rates
from topline.engine.late_payment import jurisdiction
from topline.kernel import clock
from topline.kernel.errors import DomainError
from topline.market import queries as market
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.tables import Column

KNOWN = [
    Column("name", "Rate"), Column("percent", "Percent a year", "amount"), Column("since", "From", "date"), Column("state", "State", "badge"), Column("source", "Told by", "sentence"), Column("enter", "", link="enter_url"),
]  # fmt: skip
WRITTEN = [
    Column("jurisdiction", "Rate"), Column("percent", "Percent a year", "amount"), Column("valid_from", "From", "date"), Column("source", "Where it was published", "sentence"),
    Column("recorded_at", "Written down", "moment"),
]  # fmt: skip
SHIPPED = "shipped with Topline"


class ClaimForm(forms.Form):
    """Up to which day, when the note is due, and whether it goes out at once."""

    until = forms.DateField(widget=forms.HiddenInput)
    days_to_pay = forms.IntegerField(label="To be paid within, days", min_value=0, max_value=366)
    note = forms.CharField(max_length=200, required=False, help_text="it stands on the note")
    send = forms.BooleanField(required=False, label="Send it to the contact for invoices at once")


class RateForm(forms.Form):
    """A reference rate of a half-year, and where it was published."""

    jurisdiction = forms.ChoiceField(label="Whose rate")
    valid_from = forms.TypedChoiceField(label="From", coerce=date.fromisoformat)
    percent = forms.DecimalField(label="Percent a year", min_value=-100, max_value=100, max_digits=7, decimal_places=4)
    source = forms.CharField(
        max_length=300, label="Where it was published", help_text="such as the central bank's page, and its day"
    )

    def __init__(self, data: Any = None, *, on: date, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        names = {law.table: law.name for law in reversed(reference_rates.LAWS.values())}
        self.fields["jurisdiction"].choices = [(k, f"{k}: {names[k]}") for k in reference_rates.TABLES]  # type: ignore[attr-defined]
        halves = [(year, half) for year in range(on.year + 1, on.year - 13, -1) for half in (2, 1)]
        days = [reference_rates.first_day(half) for half in halves]
        self.fields["valid_from"].choices = [(d.isoformat(), f"{d.day} {d:%b %Y}") for d in days]  # type: ignore[attr-defined]


@page("collections.claim_interest", methods=("GET", "POST"))
def claim(request: Asked, customer_id: int) -> HttpResponse:
    """What a customer may be charged for paying late, invoice by invoice; what is chosen becomes an interest note."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    detail = market.customer_detail(customer_id)
    posted = request.method == "POST"
    asked = request.POST if posted else request.GET
    until = _day(asked.get("until", ""), today)
    form = ClaimForm(request.POST if posted else None, initial={"until": until, "days_to_pay": claims.DAYS_TO_PAY, "send": True})
    found = claims.parts(entity=entity, customer_id=customer_id, until=until)
    only = {int(i) for i in asked.getlist("invoice") if i.isdecimal() and len(i) < 18}
    first = next((p.currency for p in found), "")
    usual = {p.invoice_id for p in found if p.currency == first and not (p.is_disputed or p.is_paid or p.unknown)}
    chosen = only if posted or only else usual
    if posted and form.is_valid():
        said = dict(form.cleaned_data)
        send = said.pop("send")
        try:
            made = claims.claim_interest(
                actor=request.actor, entity_id=entity.pk, customer_id=detail.customer.pk, invoice_ids=sorted(chosen), issue_on=today, **said
            )  # fmt: skip
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, "The interest note was issued." + _sent(request, made, send=send))
            return redirect("billing:invoice", made)
    by_currency: dict[str, list[Part]] = {}
    for part in found:
        by_currency.setdefault(part.currency, []).append(part)
    unknown = next((p.unknown for p in found if p.unknown), None)
    rate = detail.customer.late_interest_bps
    law = jurisdiction(entity.country)
    context = {
        "customer": detail.customer, "form": form, "groups": by_currency, "chosen": chosen, "until": until, "unknown": unknown, "today": today,
        "by": f"{rate / 100:g} % a year by contract" if rate is not None else f"by law: {reference_rates.law_of(law).name} and the points of the law" if law else "",
        "rates_url": _rates_url(unknown), "notes": claims.notes(detail.ids), "back": reverse("collections:workspace", args=[detail.customer.pk]),
        "sends": request.actor.may("billing.send_invoices"),
    }  # fmt: skip
    return render(request, "collections/interest.html", context, status=400 if posted else 200)


@page("collections.view", methods=("GET", "POST"))
def rates(request: Asked) -> HttpResponse:
    """Reference rates as they are known today, and those that the company wrote down; a missing one is written down here."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    may = request.actor.may("collections.add_reference_rate")
    first_on = reference_rates.first_day(reference_rates.half_of(today))
    first = first_on.isoformat()
    place = request.GET.get("of", "")
    initial = {
        "jurisdiction": place if place in reference_rates.TABLES else "EU",
        "valid_from": request.GET.get("from", "") or first,
    }
    form = RateForm(request.POST if request.method == "POST" else None, on=today, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            claims.add_reference_rate(actor=request.actor, **form.cleaned_data)
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, "The rate is written down; interest is counted by it from now on.")
            return redirect("collections:rates")
    known = claims.known_rates(on=today)
    shown = [
        {"name": k.name[0].upper() + k.name[1:], "percent": "–" if k.percent is None else _percent(k.percent), "since": k.since, "state": "current" if k.is_current else "missing",
         "source": k.source or ("" if k.percent is None else SHIPPED), "enter": "" if k.is_current else f"No published rate is known from {first_on.day} {first_on:%b %Y}" + ("; enter it" if may else ""),
         "enter_url": "" if k.is_current or not may else _rates_url_of(k.jurisdiction, first)}
        for k in known
    ]  # fmt: skip
    written = [
        {"jurisdiction": r.jurisdiction, "percent": _percent(Decimal(r.rate_ppm).scaleb(-4)), "valid_from": r.valid_from, "source": r.source, "recorded_at": r.recorded_at}
        for r in claims.written_rates()
    ]  # fmt: skip
    law = jurisdiction(entity.country)
    own = next((k for k in known if law and k.jurisdiction == reference_rates.law_of(law).table and not k.is_current), None)
    missing = (
        (interest.Unknown(own.name, own.jurisdiction, first_on).words, _rates_url_of(own.jurisdiction, first)) if own else None
    )
    context = {
        "form": form, "known": shown, "columns": KNOWN, "written": written, "written_columns": WRITTEN, "missing": missing, "may": may,
    }  # fmt: skip
    return render(request, "collections/rates.html", context, status=400 if form.errors else 200)


def _sent(request: Asked, document_id: int, *, send: bool) -> str:
    """What became of the wish to send a note at once, as a further sentence."""
    if not send or not request.actor.may("billing.send_invoices"):
        return " Send it from here."
    problem = delivery.send_invoices(actor=request.actor, invoice_ids=[document_id])["problem"][0]
    return f" It was not sent. {problem}" if problem else " It is on its way to the customer."


def _percent(rate: Decimal) -> str:
    """With two decimals, or as many as it has."""
    return f"{rate.quantize(Decimal('0.01')) if rate == round(rate, 2) else rate.normalize():f}"


def _day(text: str, today: date) -> date:
    """The day asked for, today where it is none or still to come."""
    try:
        return min(today, max(date(2013, 1, 1), date.fromisoformat(text)))
    except ValueError:
        return today


def _rates_url(unknown: Any) -> str:
    return _rates_url_of(unknown.jurisdiction, unknown.first_on.isoformat()) if unknown else reverse("collections:rates")


def _rates_url_of(place: str, since: str) -> str:
    return reverse("collections:rates") + "?" + urlencode({"of": place, "from": since}) + "#write"
