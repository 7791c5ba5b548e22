"""Customers: the list, adding and changing one, and records that may be the same."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.kernel.errors import DomainError, Invalid
from topline.kernel.money import format_amount
from topline.market import actions, queries
from topline.market.forms import AddressForm, AliasForm, ChangeForm, ContactForm, CustomerForm
from topline.market.models import Customer
from topline.ui.access import Asked, page
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

COLUMNS = [
    Column("number", "Number", sort="number", link="url"), Column("name", "Name", sort="name", link="url"), Column("segment", "Segment", sort="segment"),
    Column("country", "Country", sort="country"), Column("terms", "Terms"), Column("currency", "Currency"), Column("owner__name", "Owner", sort="owner__name"),
    Column("state", "", "badge"),
]  # fmt: skip


@page("market.view")
def customers(request: Asked) -> HttpResponse:
    """Everybody who buys, with search and filters; the address holds them all."""
    state = listing(request.path, request.GET.dict(), columns=COLUMNS, default_sort="name", filters=["q", "segment", "hold"])
    rows = queries.customers(
        search=state.filters.get("q", ""),
        segment=state.filters.get("segment", ""),
        on_hold=True if state.filters.get("hold") else None,
    )
    total = rows.count()
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    shown = [
        {**row, "url": reverse("web:customer", args=[row["id"]]), "state": "on hold" if row["is_on_hold"] else ""}
        for row in rows.order_by(*state.order).values(
            "id", "number", "name", "segment", "country", "terms", "currency", "owner__name", "is_on_hold"
        )[start:end]
    ]
    if state.export:
        return export(shown, COLUMNS, name="customers", form=state.export)
    return render(request, "market/customers.html", {"list": state, "rows": shown, "total": total})


@page("market.add_customers", methods=("GET", "POST"))
def new_customer(request: Asked) -> HttpResponse:
    """Add a customer by hand."""
    form = CustomerForm(request.POST or None)
    if form.is_valid():
        try:
            made = actions.add_customers(actor=request.actor, customers=pl.DataFrame([form.cleaned_data]))
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, f"{form.cleaned_data['name']} was added.")
            return redirect("web:customer", made["customer_id"][0])
    return render(
        request,
        "ui/form.html",
        {"form": form, "title": "New customer", "back": ("Customers", reverse("market:customers"))},
        status=400 if form.errors else 200,
    )


@page("market.change_customer", methods=("GET", "POST"))
def edit(request: Asked, customer_id: int) -> HttpResponse:
    """Change a customer's facts."""
    customer = queries.customer_detail(customer_id).customer
    written = {"reason", "credit_limit", "late_interest"}  # as text; what they stand for is kept under other names
    kept = {name: getattr(customer, name) for name in ChangeForm.base_fields if name not in written}
    kept |= {name: getattr(customer, name) for name in ("credit_limit_minor", "late_interest_bps")}
    form = ChangeForm(request.POST or None, initial=kept | _as_text(customer))
    if form.is_valid():
        changes = {name: form.cleaned_data[name] for name, value in kept.items() if form.cleaned_data[name] != value}
        try:
            if changes:
                actions.change_customer(
                    actor=request.actor, customer_id=customer.pk, changes=changes, reason=form.cleaned_data["reason"]
                )
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, f"{customer.name} was changed." if changes else "Nothing was changed.")
            return redirect("web:customer", customer.pk)
    context = {
        "form": form,
        "title": f"Change {customer.name}",
        "back": (customer.name, reverse("web:customer", args=[customer.pk])),
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def _as_text(customer: Customer) -> dict[str, str]:
    limit, bps = customer.credit_limit_minor, customer.late_interest_bps
    return {
        "credit_limit": "" if limit is None else format_amount(limit, customer.currency),
        "late_interest": "" if bps is None else f"{Decimal(bps).scaleb(-2):f}",
    }


@page("market.add_contact", methods=("GET", "POST"))
def new_contact(request: Asked, customer_id: int) -> HttpResponse:
    """Add somebody to talk to."""
    return _add(request, customer_id, ContactForm, actions.add_contact, "New contact")


@page("market.add_address", methods=("GET", "POST"))
def new_address(request: Asked, customer_id: int) -> HttpResponse:
    """Add a postal address."""
    return _add(request, customer_id, AddressForm, actions.add_address, "New address")


@page("market.add_alias", methods=("GET", "POST"))
def new_alias(request: Asked, customer_id: int) -> HttpResponse:
    """Add a name or number by which files and banks know the customer."""
    return _add(request, customer_id, AliasForm, actions.add_alias, "Also known as")


@page("market.drop_aliases", methods=("POST",))
def drop_alias(request: Asked, customer_id: int) -> HttpResponse:
    """A name or account by which the customer is no longer known."""
    mark = (request.POST.get("kind", ""), request.POST.get("value", ""))
    gone = actions.drop_aliases(actor=request.actor, customer_id=customer_id, marks=[mark])
    if gone:
        messages.success(request, f"{mark[1]} no longer stands for this customer.")
    return redirect("web:customer", customer_id)


def _add(request: Asked, customer_id: int, kind: type[forms.Form], verb: Callable[..., int], title: str) -> HttpResponse:
    customer = queries.customer_detail(customer_id).customer
    form = kind(request.POST or None)
    if form.is_valid():
        try:
            verb(actor=request.actor, customer_id=customer.pk, **form.cleaned_data)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, "Added.")
            return redirect("web:customer", customer.pk)
    back = (customer.name, reverse("web:customer", args=[customer.pk]))
    context = {"form": form, "title": f"{title}: {customer.name}", "back": back}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("market.view")
def duplicates(request: Asked) -> HttpResponse:
    """Pairs of records that may be one customer."""
    return render(request, "market/duplicates.html", {"pairs": queries.duplicates().to_dicts()})


@page("market.merge_customers", methods=("POST",))
def merge(request: Asked) -> HttpResponse:
    """Make two records one."""
    try:
        keep_id, merge_id = int(request.POST["keep"]), int(request.POST["merge"])
    except (KeyError, ValueError) as error:
        raise Invalid("Choose two customers.", field="keep") from error
    actions.merge_customers(actor=request.actor, keep_id=keep_id, merge_id=merge_id)
    messages.success(request, "The two records are one customer now; nothing was lost.")
    return redirect("market:duplicates")
