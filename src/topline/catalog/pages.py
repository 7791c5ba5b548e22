"""The catalog's pages: what we sell, and what each product cost on which days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.catalog import actions, promotions, queries
from topline.catalog.models import Price
from topline.catalog.product_pages import book_choices
from topline.kernel import clock
from topline.kernel.errors import DomainError
from topline.kernel.money import currencies, parse_amount
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.export import MAX_ROWS, export
from topline.ui.format import day, money
from topline.ui.tables import Column, listing

NANO = 10**9
LIST = [
    Column("code", "Code", "code", sort="code", link="url"), Column("name", "Product", sort="name", link="url"), Column("family", "Family", sort="family"), Column("unit", "Unit"),
    Column("price_minor", "List price", "money"), Column("currency", ""), Column("state", "", "badge"),
]  # fmt: skip
PRICES = [Column("valid_from", "From", "date"), Column("valid_to", "Until before", "date"), Column("book", "Price book"), Column("price_minor", "A unit", "money"), Column("currency", "")]  # fmt: skip
DAY = forms.DateInput(attrs={"type": "date"})


class ProductForm(forms.Form):
    """Something to sell."""

    code = forms.CharField(max_length=40)
    name = forms.CharField(max_length=200)
    family = forms.CharField(max_length=60, required=False)
    unit = forms.CharField(max_length=20, initial="unit")


class PriceForm(forms.Form):
    """A list price from a day on."""

    price = forms.CharField(max_length=30, label="A unit costs")
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    price_book_id = forms.TypedChoiceField(label="In", coerce=int, required=False, empty_value=None)
    valid_from = forms.DateField(label="From", widget=DAY, help_text="the price before it ends there")
    valid_to = forms.DateField(label="Until before", widget=DAY, required=False, help_text="empty: until another follows")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["price_book_id"]).choices = book_choices()


@page("catalog.view")
def products(request: Asked) -> HttpResponse:
    """What we sell, with the list price of the day in the company's currency."""
    entity = company(request)
    as_of = day_asked(request, entity)
    state = listing(request.path, request.GET.dict(), columns=LIST, default_sort="name", filters=["q", "as_of", "currency"])
    found = queries.search(state.filters.get("q", ""))
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    rows = list(found.order_by(*state.order).values("id", "code", "name", "family", "unit", "is_active")[start:end])
    used = list(Price.objects.order_by("currency").values_list("currency", flat=True).distinct()[:30])
    currency = state.filters.get("currency") or (entity.currency if entity.currency in used or not used else used[0])
    asked = pl.DataFrame({"product_id": [r["id"] for r in rows], "currency": currency, "on": as_of}, schema={"product_id": pl.Int64, "currency": pl.String, "on": pl.Date})  # fmt: skip
    priced = queries.prices(asked)["unit_price_nano"].to_list()
    shown = [{**r, **_row(r, currency), "price_minor": _minor(nano)} for r, nano in zip(rows, priced, strict=True)]
    if state.export:
        return export(shown, LIST, name="products", form=state.export)
    context = {"list": state, "rows": shown, "total": found.count(), "as_of": as_of, "currency": currency, "currencies": used}
    return render(request, "catalog/products.html", context)


@page("catalog.view")
def product(request: Asked, product_id: int) -> HttpResponse:
    """One product and every price it ever had."""
    found = queries.product(product_id)
    prices = Price.objects.filter(product_id=product_id).select_related("price_book").order_by("currency", "-valid_from", "-id")
    rows = [
        {"valid_from": p.valid_from, "valid_to": p.valid_to, "book": p.price_book.name if p.price_book else "list", "price_minor": _minor(p.unit_price_nano), "currency": p.currency}
        for p in prices[:200]
    ]  # fmt: skip
    entity = company(request)
    nano = queries.list_price(product_id=product_id, on=clock.today(entity.time_zone), currency=entity.currency)
    cost = found.unit_cost_nano
    steps = promotions.volumes([product_id]).iter_rows(named=True)
    context = {
        "product": found, "rows": rows, "columns": PRICES, "currency": entity.currency, "price_minor": _minor(nano),
        "cost": f"{money(_minor(cost), found.cost_currency)} {found.cost_currency}" if cost is not None else "–",
        "margin": (nano - cost) / nano if nano and cost is not None and found.cost_currency == entity.currency else None,
        "parts": [{**part, "quantity": f"{part['quantity_micro'] / 10**6:g}"} for part in queries.parts_of(product_id)],
        "steps": [{"quantity": f"{row['from_micro'] / 10**6:g}", "percent": f"{row['discount_ppm'] / 10**4:g}"} for row in steps],
    }  # fmt: skip
    return render(request, "catalog/product.html", context)


@page("catalog.add_products", methods=("GET", "POST"))
def new(request: Asked) -> HttpResponse:
    """Add a product by hand."""
    form = ProductForm(request.POST or None)
    if form.is_valid():
        try:
            made = actions.add_products(actor=request.actor, products=pl.DataFrame([form.cleaned_data]))
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, "The product is in the catalog; give it a price.")
            return redirect("catalog:product", made["product_id"][0])
    context = {"form": form, "title": "New product", "back": ("Catalog", reverse("catalog:products"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("catalog.add_prices", methods=("GET", "POST"))
def new_price(request: Asked, product_id: int) -> HttpResponse:
    """Set a list price from a day on."""
    found, entity = queries.product(product_id), company(request)
    initial = {"currency": entity.currency, "valid_from": clock.today(entity.time_zone)}
    form = PriceForm(request.POST or None, initial=initial)
    if form.is_valid():
        said = form.cleaned_data
        try:
            minor = parse_amount(said["price"], said["currency"], field="price")
            row = {
                "product_id": product_id,
                "currency": said["currency"],
                "unit_price_nano": minor * NANO,
                "price_book_id": said["price_book_id"],
                "valid_from": said["valid_from"],
                "valid_to": said["valid_to"],
            }
            actions.add_prices(actor=request.actor, prices=pl.DataFrame([row], schema=actions.PRICE))
        except DomainError as error:
            blame(form, error, {"unit_price_nano": "price"})
        else:
            after = queries.prices(pl.DataFrame([row | {"on": said["valid_to"]}]).drop_nulls("on"))["unit_price_nano"]
            hole = f" From {day(said['valid_to'])} on none is set: set the one that follows." if after.null_count() else ""
            messages.success(request, f"The price is set.{hole}")
            return redirect("catalog:product", product_id)
    context = {
        "form": form,
        "title": f"New price: {found.name}",
        "back": (found.name, reverse("catalog:product", args=[product_id])),
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def _row(row: Mapping[str, Any], currency: str) -> dict[str, Any]:
    return {
        "url": reverse("catalog:product", args=[row["id"]]),
        "currency": currency,
        "state": "" if row["is_active"] else "off sale",
    }


def _minor(nano: int | None) -> int | None:
    """A unit price as whole minor units, half away from zero; the API tells it whole."""
    return None if nano is None else (nano + NANO // 2) // NANO
