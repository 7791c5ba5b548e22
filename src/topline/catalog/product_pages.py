"""What is set of a product beside its list price: its facts and cost, what it is a bundle of, what volume takes off; and price books."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.catalog import actions, promotions, queries
from topline.catalog.models import PriceBook, Product
from topline.kernel.errors import DomainError, Invalid
from topline.kernel.money import currencies, exponent, parse_amount
from topline.ui.access import Asked, page
from topline.ui.blame import blame

NANO = 10**9
LINES = forms.Textarea(attrs={"rows": 6})


class ProductChangeForm(forms.Form):
    """Facts of a product; deals and quotes keep what they have."""

    name = forms.CharField(max_length=200)
    family = forms.CharField(max_length=60, required=False)
    description = forms.CharField(
        max_length=1_000, required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="what it is, for who sells it"
    )
    unit = forms.CharField(max_length=20)
    cost = forms.CharField(
        max_length=30, required=False, label="A unit costs us", help_text="for margins; empty where nobody knows"
    )
    cost_currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    is_active = forms.BooleanField(label="On sale", required=False)


class PartsForm(forms.Form):
    """What a bundle holds."""

    parts = forms.CharField(
        widget=LINES,
        required=False,
        label="Parts",
        help_text="one a line: a product's code and how many, such as PLAT 1; none: no bundle",
    )


class VolumeForm(forms.Form):
    """What comes off from a quantity on."""

    steps = forms.CharField(
        widget=LINES,
        required=False,
        label="Steps",
        help_text="one a line: from how many units, and how many per cent off, such as 10 5",
    )


class BookForm(forms.Form):
    """A price book."""

    name = forms.CharField(max_length=100, help_text="such as Partners")
    key = forms.SlugField(max_length=40, help_text="by which imports and programs name it, such as partners")


@page("catalog.change_product", methods=("GET", "POST"))
def change(request: Asked, product_id: int) -> HttpResponse:
    """Change what is said of a product, or take it off sale."""
    found = queries.product(product_id)
    home = found.cost_currency or company(request).currency
    initial = {name: getattr(found, name) for name in ("name", "family", "description", "unit", "is_active")} | {
        "cost_currency": home,
        "cost": _amount(found.unit_cost_nano, home),
    }
    form = ProductChangeForm(request.POST or None, initial=initial)

    def save(said: dict[str, Any]) -> str:
        changes = {name: said[name] for name in ("name", "family", "description", "unit", "is_active")}
        changes |= {"unit_cost_nano": None, "cost_currency": ""}
        if said["cost"]:
            minor = parse_amount(said["cost"], said["cost_currency"], field="cost")
            changes |= {"unit_cost_nano": minor * NANO, "cost_currency": said["cost_currency"]}
        actions.change_product(actor=request.actor, product_id=product_id, changes=changes)
        return "The product is changed."

    return _asked(request, form, save, f"Change {found.name}", found, {"unit_cost_nano": "cost"})


@page("catalog.set_parts", methods=("GET", "POST"))
def parts(request: Asked, product_id: int) -> HttpResponse:
    """Say what a product is a bundle of."""
    found = queries.product(product_id)
    held = "\n".join(f"{part['code']} {_plain(part['quantity_micro'])}" for part in queries.parts_of(product_id))
    form = PartsForm(request.POST or None, initial={"parts": held})

    def save(said: dict[str, Any]) -> str:
        rows = [
            (code, _micro(quantity, line, "parts"))
            for line, code, quantity in _pairs(said["parts"], "parts", "a code and a number")
        ]
        known = dict(Product.objects.filter(code__in=[code for code, _ in rows]).values_list("code", "id"))
        lost = next((code for code, _ in rows if code not in known), None)
        if lost is not None:
            raise Invalid(f"There is no product {lost}.", field="parts", remedy="Use a code of the catalog.")
        count = promotions.set_parts(
            actor=request.actor, product_id=product_id, parts=[(known[code], micro) for code, micro in rows]
        )
        return f"It is a bundle of {count} parts." if count else "It is no bundle."

    return _asked(request, form, save, f"Parts of {found.name}", found)


@page("catalog.set_volume_steps", methods=("GET", "POST"))
def volumes(request: Asked, product_id: int) -> HttpResponse:
    """Say what comes off the price from which quantity on."""
    found = queries.product(product_id)
    held = "\n".join(
        f"{_plain(row['from_micro'])} {_plain(row['discount_ppm'] * 100)}"
        for row in promotions.volumes([product_id]).iter_rows(named=True)
    )
    form = VolumeForm(request.POST or None, initial={"steps": held})

    def save(said: dict[str, Any]) -> str:
        rows = [
            (_micro(quantity, line, "steps"), promotions.share(percent, field="steps"))
            for line, quantity, percent in _pairs(said["steps"], "steps", "a quantity and per cent")
        ]
        count = promotions.set_volume_steps(actor=request.actor, product_id=product_id, steps=rows)
        return f"{count} steps are set." if count else "Nothing comes off by volume."

    return _asked(request, form, save, f"{found.name} by volume", found)


@page("catalog.view")
def books(request: Asked) -> HttpResponse:
    """Price books, and how many prices stand in each."""
    return render(request, "catalog/books.html", {"books": queries.price_books()})


@page("catalog.add_price_book", methods=("GET", "POST"))
def new_book(request: Asked) -> HttpResponse:
    """Open a price book."""
    form = BookForm(request.POST or None)
    if form.is_valid():
        try:
            actions.add_price_book(actor=request.actor, **form.cleaned_data)
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, "The price book is open; give products a price in it.")
            return redirect("catalog:books")
    context = {"form": form, "title": "New price book", "back": ("Price books", reverse("catalog:books"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def book_choices() -> list[tuple[str, str]]:
    """What a new price may stand in."""
    return [("", "the list"), *((str(book.pk), book.name) for book in PriceBook.objects.order_by("name")[:200])]


# --- parts ---
def _asked(
    request: Asked,
    form: forms.Form,
    save: Callable[[dict[str, Any]], str],
    title: str,
    product: Product,
    names: dict[str, str] | None = None,
) -> HttpResponse:
    """A form about a product: saved and back to its page, or shown with what is wrong."""
    if form.is_valid():
        try:
            told = save(form.cleaned_data)
        except DomainError as error:
            blame(form, error, names)
        else:
            messages.success(request, told)
            return redirect("catalog:product", product.pk)
    context = {"form": form, "title": title, "back": (product.name, reverse("catalog:product", args=[product.pk]))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def _pairs(text: str, field: str, wanted: str) -> list[tuple[int, str, str]]:
    """Lines of two words, with their numbers. Raises: Invalid, which names the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise Invalid(f"Line {number}, {line.strip()[:40]!r}, is not {wanted}.", field=field)
        found.append((number, words[0], words[1].rstrip("%")))
    return found


def _micro(text: str, line: int, field: str) -> int:
    try:
        value = Decimal(text.replace(",", "."))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value) > 10**9:
        raise Invalid(f"Line {line}: {text!r} is no quantity.", field=field)
    return int(value * 10**6)


def _plain(micro: int) -> str:
    return f"{Decimal(micro).scaleb(-6).normalize():f}"


def _amount(nano: int | None, currency: str) -> str:
    return "" if nano is None else f"{Decimal(nano).scaleb(-9 - exponent(currency)):.{exponent(currency)}f}"
