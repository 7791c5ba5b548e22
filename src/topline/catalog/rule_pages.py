"""Pages of the rules that move a price: promotions, and how far somebody may go by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.catalog import promotions
from topline.catalog.models import Product, Promotion
from topline.kernel import clock
from topline.kernel.errors import DomainError
from topline.kernel.money import currencies, format_amount, parse_amount
from topline.ui.access import Asked, page
from topline.ui.format import percent
from topline.ui.tables import Column

DAY = forms.DateInput(attrs={"type": "date"})
ROWS = 6  # bands that the form has room for
LIST = [
    Column("code", "Code", "code"), Column("name", "Promotion"), Column("gives", "Gives"), Column("holds", "Holds for", "sentence"), Column("starts_on", "From", "date"),
    Column("ends_on", "Until before", "date"), Column("budget", "Budget"), Column("stacks", "With others"), Column("state", "", "badge"),
]  # fmt: skip


class PromotionForm(forms.Form):
    """A promotion to begin; an amount is in the currency beside it."""

    code = forms.CharField(max_length=30)
    name = forms.CharField(max_length=100)
    kind = forms.ChoiceField(choices=[(k.value, k.label.lower()) for k in Promotion.Kind], label="Gives")
    value = forms.CharField(
        max_length=30, label="How much", help_text="per cent, an amount off each line, or a number of free periods"
    )
    periods = forms.IntegerField(
        min_value=1,
        max_value=1_200,
        required=False,
        label="Of the first periods",
        help_text="of a percentage; empty: of all periods of a line",
    )
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])
    starts_on = forms.DateField(label="From", widget=DAY)
    ends_on = forms.DateField(label="Until before", required=False, widget=DAY)
    product_id = forms.TypedChoiceField(coerce=int, required=False, empty_value=None, label="Product")
    segment = forms.CharField(max_length=40, required=False, help_text="of the deal; empty for all")
    minimum = forms.CharField(max_length=30, required=False, label="A line is worth at least")
    budget = forms.CharField(max_length=30, required=False, help_text="what it may cost in all; empty: no limit")
    stacks = forms.BooleanField(required=False, label="May stand together with others")

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        choices = [
            ("", "every product"),
            *Product.objects.filter(is_active=True).order_by("name").values_list("id", "name")[:500],
        ]
        cast(forms.ChoiceField, self.fields["product_id"]).choices = choices

    def terms(self) -> dict[str, Any]:
        """What the action takes. Raises: Invalid where an amount cannot be read."""
        said = dict(self.cleaned_data)
        value, currency = said.pop("value"), said["currency"]
        amounts = {
            f"{name}_minor": parse_amount(text, currency, field=name) if (text := said.pop(name)) else None
            for name in ("minimum", "budget")
        }
        gives: dict[str, Any] = {}
        if said["kind"] == Promotion.Kind.FIXED:
            gives["fixed_minor"] = parse_amount(value, currency, field="value")
        elif said["kind"] == Promotion.Kind.PERCENT:
            gives["percent_ppm"] = promotions.share(value, field="value")
        else:
            gives["free_periods"] = int(value) if value.isdecimal() and len(value) < 6 else 0
        needs_currency = any(v is not None for v in amounts.values()) or "fixed_minor" in gives
        return {**said, **amounts, **gives, "currency": currency if needs_currency else ""}


class BandForm(forms.Form):
    """One band; a row without a share is left out."""

    up_to = forms.CharField(max_length=12, required=False)
    approver = forms.ChoiceField(choices=[(role, role or "nobody") for role in promotions.APPROVERS], required=False)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        number = int(str(self.prefix).rpartition("-")[2]) + 1
        self.fields["up_to"].widget.attrs |= {
            "aria-label": f"Up to per cent off list, band {number}",
            "inputmode": "decimal",
            "size": 8,
        }
        self.fields["approver"].widget.attrs["aria-label"] = f"Who must agree, band {number}"


BandSet = forms.formset_factory(BandForm, extra=0, max_num=promotions.MAX_STEPS, absolute_max=promotions.MAX_STEPS)


@page("catalog.view")
def promotion_list(request: Asked) -> HttpResponse:
    """Every promotion, the newest first, with its terms."""
    today = clock.today(company(request).time_zone)
    found = list(Promotion.objects.select_related("product").order_by("-id")[:200])
    rows = [
        {"code": p.code, "name": p.name, "gives": _gives(p), "holds": _holds(p), "starts_on": p.starts_on, "ends_on": p.ends_on, "budget": f"{format_amount(p.budget_minor, p.currency)} {p.currency}" if p.budget_minor else "no limit",
         "stacks": "yes" if p.stacks else "alone", "state": _state(p, today)}
        for p in found
    ]  # fmt: skip
    running = [p for p in found if _state(p, today) in ("active", "begins later")]
    return render(request, "catalog/promotions.html", {"rows": rows, "columns": LIST, "running": running})


@page("catalog.add_promotion", methods=("GET", "POST"))
def new_promotion(request: Asked) -> HttpResponse:
    """Begin a promotion."""
    entity = company(request)
    form = PromotionForm(request.POST or None, initial={"currency": entity.currency, "starts_on": clock.today(entity.time_zone)})
    if form.is_valid():
        try:
            promotions.add_promotion(actor=request.actor, **form.terms())
        except DomainError as error:
            field = {
                "percent_ppm": "value",
                "fixed_minor": "value",
                "free_periods": "value",
                "minimum_minor": "minimum",
                "budget_minor": "budget",
            }.get(error.field, error.field)
            form.add_error(field if field in form.fields else None, f"{error.message} {error.remedy}".strip())
        else:
            messages.success(request, "The promotion is there; quotes name it by its code.")
            return redirect("catalog:promotions")
    context = {"form": form, "title": "New promotion", "back": ("Promotions", reverse("catalog:promotions"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("catalog.stop_promotion", methods=("POST",))
def stop_promotion(request: Asked, promotion_id: int) -> HttpResponse:
    """End a promotion today."""
    promotions.stop_promotion(actor=request.actor, promotion_id=promotion_id, on=clock.today(company(request).time_zone))
    messages.success(request, "It is stopped; quotes that were sent with it stand.")
    return redirect("catalog:promotions")


@page("catalog.view")
def bands(request: Asked) -> HttpResponse:
    """How far off list a discount by hand may go, by family, and who must agree."""
    known = promotions.bands()
    families = sorted(set(Product.objects.exclude(family="").values_list("family", flat=True).distinct()[:200]) | set(known))
    shown = [
        {"family": family, "bands": [(Decimal(depth) / 10_000, role or "nobody") for depth, role in frame.iter_rows()]}
        for family, frame in sorted(known.items())
    ]
    return render(request, "catalog/bands.html", {"known": shown, "families": [f for f in families if f]})


@page("catalog.set_bands", methods=("GET", "POST"))
def set_bands(request: Asked) -> HttpResponse:
    """Set the bands of a family (`family` in the address; none: those of all others)."""
    family = request.GET.get("family", "")[:60]
    told = ""
    if request.method == "POST":
        rows = BandSet(request.POST)
        if rows.is_valid():
            try:
                said = [
                    (promotions.share(r["up_to"], field="bands"), r["approver"])
                    for r in rows.cleaned_data
                    if r.get("up_to", "").strip()
                ]
                promotions.set_bands(actor=request.actor, bands=said, family=family)
            except DomainError as error:
                told = f"{error.message} {error.remedy}".strip()
            else:
                messages.success(request, "The bands are set; they hold for drafts from now on.")
                return redirect("catalog:bands")
    else:
        now = promotions.bands().get(family)
        known = (
            [{"up_to": f"{Decimal(depth) / 10_000:f}", "approver": role} for depth, role in now.iter_rows()]
            if now is not None
            else []
        )
        rows = BandSet(initial=[*known, *({} for _ in range(ROWS - len(known)))])
    return render(
        request,
        "catalog/set_bands.html",
        {"rows": rows, "family": family, "told": told},
        status=400 if request.method == "POST" else 200,
    )


def _gives(promotion: Promotion) -> str:
    if promotion.percent_ppm:
        return f"{percent(promotion.percent_ppm / 10**6)} off" + (
            f" the first {promotion.periods} periods" if promotion.periods else ""
        )
    if promotion.fixed_minor:
        return f"{format_amount(promotion.fixed_minor, promotion.currency)} {promotion.currency} off a line"
    return f"{promotion.free_periods} periods free"


def _holds(promotion: Promotion) -> str:
    told = [
        promotion.product.name if promotion.product else "every product",
        promotion.segment and f"segment {promotion.segment}",
    ]
    if promotion.minimum_minor:
        told.append(f"lines of {format_amount(promotion.minimum_minor, promotion.currency)} {promotion.currency} and more")
    return ", ".join(filter(None, told))


def _state(promotion: Promotion, today: Any) -> str:
    if promotion.stopped_on and promotion.stopped_on <= today:
        return "stopped"
    if promotion.ends_on and promotion.ends_on <= today:
        return "over"
    return "active" if promotion.starts_on <= today else "begins later"
