"""Pages around a deal: its people and competitors, the deals that a competitor wants too, and whose territory a customer is."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.catalog.models import Product
from topline.engine.win_rates import FEWEST, WinRates
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.market import competitors
from topline.pipeline import around, rivalry, territories
from topline.pipeline.models import Opportunity, Rep, Territory
from topline.ui.access import Asked, page
from topline.ui.format import percent
from topline.ui.tables import Column

YEAR = timedelta(days=365)
SPARE = 3  # empty rows to fill in
SHOWN = 200
DEALS = [Column("number", "Number", "code", link="url"), Column("name", "Deal", link="url"), Column("customer", "Customer"), Column("rep", "Owner"), Column("stage_name", "Stage"), Column("value_minor", "Value", "money"), Column("currency", ""), Column("close_on", "Closes", "date")]  # fmt: skip
RATES = [Column("group", "Group"), Column("deals", "Deals", "integer"), Column("won", "Won", "integer"), Column("rate", "Win rate"), Column("likely", "Likely"), Column("claim", "Beside the others", "sentence")]  # fmt: skip
PLACES = [Column("name", "Territory"), Column("fits", "Who", "sentence"), Column("owners", "Owners, in turns"), Column("customers", "Customers", "integer"), Column("deals", "Open deals", "integer"), Column("outside", "held by others", "integer")]  # fmt: skip


class TerritoryForm(forms.Form):
    """One territory; a row without a name is left out."""

    name = forms.CharField(max_length=100, required=False)
    countries = forms.CharField(max_length=500, required=False)
    segments = forms.CharField(max_length=500, required=False)
    sources = forms.CharField(max_length=500, required=False)
    owners = forms.CharField(max_length=500, required=False)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        number = int(str(self.prefix).rpartition("-")[2]) + 1
        for key, field in self.fields.items():
            field.widget.attrs |= {"aria-label": f"{key.capitalize()}, territory {number}", "size": 18}


class LineForm(forms.Form):
    """One line of a deal; a row without a product is left out."""

    product = forms.TypedChoiceField(coerce=int, required=False, empty_value=None)
    quantity = forms.DecimalField(
        min_value=Decimal("0.000001"), max_value=Decimal(10**9), max_digits=15, decimal_places=6, required=False
    )

    def __init__(self, *given: Any, products: list[tuple[Any, str]], **named: Any) -> None:
        super().__init__(*given, **named)
        cast(forms.ChoiceField, self.fields["product"]).choices = products
        number = int(str(self.prefix).rpartition("-")[2]) + 1
        for key, field in self.fields.items():
            field.widget.attrs |= {"aria-label": f"{key.capitalize()}, line {number}"}


LineSet = forms.formset_factory(LineForm, extra=0, max_num=around.MAX_LINES, absolute_max=around.MAX_LINES)
TerritorySet = forms.formset_factory(TerritoryForm, extra=0, max_num=territories.MAX_RULES, absolute_max=territories.MAX_RULES)


@page("pipeline.view")
def against(request: Asked, competitor_id: int) -> HttpResponse:
    """The deals that a competitor wants too, and how often they are won."""
    entity = company(request)
    as_of = day_asked(request, entity)
    found = rivalry.against(competitor_id, entity_id=entity.pk, as_of=as_of, since=as_of - YEAR)
    rows = [{**r, "url": reverse("pipeline:deal", args=[r["opportunity_id"]])} for r in found.open_deals.sort("value_minor", descending=True, nulls_last=True).head(SHOWN).to_dicts()]  # fmt: skip
    by_currency = found.open_deals.group_by("currency").agg(pl.col("value_minor").sum()).sort("currency").to_dicts()
    context = {
        "rival": competitors.competitor(competitor_id), "rows": rows, "columns": DEALS, "won": found.won, "lost": found.lost, "as_of": as_of, "open_count": found.open_deals.height, "by_currency": by_currency,
        "segments": _rates(found.by_segment), "gaps": _rates(found.by_gap, order=rivalry.GAPS), "rate_columns": RATES, "fewest": FEWEST, "warning": found.warning,
    }  # fmt: skip
    return render(request, "pipeline/against.html", context)


@page("pipeline.set_deal_contact", methods=("POST",))
def set_contact(request: Asked, opportunity_id: int) -> HttpResponse:
    """Say which role somebody plays in a deal."""
    around.set_deal_contact(
        actor=request.actor, opportunity_id=opportunity_id, contact_id=_id(request.POST.get("contact", ""), "contact_id"), role=request.POST.get("role", "")
    )  # fmt: skip
    messages.success(request, "The people of the deal are up to date.")
    return redirect("pipeline:deal", opportunity_id)


@page("pipeline.set_deal_lines", methods=("GET", "POST"))
def set_lines(request: Asked, opportunity_id: int) -> HttpResponse:
    """Say what an open deal is about."""
    deal = Opportunity.objects.select_related("entity").filter(pk=opportunity_id, is_withdrawn=False).first()
    if deal is None:
        raise NotFound(f"There is no deal {opportunity_id}.", field="opportunity_id", remedy="Look for it in the pipeline.")
    standing = list(deal.lines.filter(removed_on__isnull=True).select_related("product").order_by("id")[: around.MAX_LINES])
    on_sale = Product.objects.filter(is_active=True).order_by("name", "id").values_list("id", "name", "code")[:500]
    choices: list[tuple[Any, str]] = [("", ""), *((pk, f"{name} ({code})") for pk, name, code in on_sale)]
    gone = {line.product_id: line.product.name for line in standing} | dict(choices[1:])
    kwargs = {"products": [("", ""), *sorted(gone.items(), key=lambda item: item[1])]}
    told = ""
    if request.method == "POST":
        rows = LineSet(request.POST, form_kwargs=kwargs)
        if rows.is_valid():
            said = [(r["product"], int((r["quantity"] or 1) * 10**6)) for r in rows.cleaned_data if r.get("product")]
            try:
                around.set_deal_lines(
                    actor=request.actor, opportunity_id=deal.pk, lines=said, on=clock.today(deal.entity.time_zone)
                )
            except DomainError as error:
                told = f"{error.message} {error.remedy}".strip()
            else:
                messages.success(request, f"{deal.number}: what is sold is up to date.")
                return redirect("pipeline:deal", deal.pk)
    else:
        filled = [
            {"product": line.product_id, "quantity": f"{Decimal(line.quantity_micro).scaleb(-6).normalize():f}"}
            for line in standing
        ]
        rows = LineSet(initial=[*filled, *({} for _ in range(SPARE))], form_kwargs=kwargs)
    return render(
        request,
        "pipeline/set_lines.html",
        {"rows": rows, "deal": deal, "told": told},
        status=400 if request.method == "POST" else 200,
    )


@page("pipeline.set_deal_competitors", methods=("POST",))
def set_competitors(request: Asked, opportunity_id: int) -> HttpResponse:
    """Say who else wants a deal."""
    wanted = [_id(text, "competitor_ids") for text in request.POST.getlist("competitor")]
    around.set_deal_competitors(actor=request.actor, opportunity_id=opportunity_id, competitor_ids=wanted)
    messages.success(request, "Who else wants the deal is up to date.")
    return redirect("pipeline:deal", opportunity_id)


@page("pipeline.view")
def territory_list(request: Asked) -> HttpResponse:
    """Whose customers and leads are, by rules in order."""
    entity = company(request)
    rows = territories.overview(entity_id=entity.pk, as_of=day_asked(request, entity))
    return render(request, "pipeline/territories.html", {"rows": rows if len(rows) > 1 else [], "columns": PLACES})


@page("pipeline.set_territories", methods=("GET", "POST"))
def set_territories(request: Asked) -> HttpResponse:
    """Set all territories."""
    told = ""
    if request.method == "POST":
        rows = TerritorySet(request.POST)
        if rows.is_valid():
            try:
                codes = dict(Rep.objects.filter(left_on__isnull=True).values_list("code", "id"))
                said = [_territory(r, codes) for r in rows.cleaned_data if r.get("name", "").strip()]
                territories.set_territories(actor=request.actor, territories=said)
            except DomainError as error:
                told = f"{error.message} {error.remedy}".strip()
            else:
                messages.success(request, "The territories are set; new leads and deals without an owner follow them.")
                return redirect("pipeline:territories")
    else:
        codes_of = dict(Rep.objects.values_list("id", "code"))
        known = [
            {"name": t.name, **{k: ", ".join(getattr(t, k)) for k in territories.RULES}, "owners": ", ".join(codes_of[pk] for pk in t.rep_ids)}
            for t in Territory.objects.order_by("position")[: territories.MAX_RULES]
        ]  # fmt: skip
        rows = TerritorySet(initial=[*known, *({} for _ in range(SPARE))])
    sellers = list(Rep.objects.filter(left_on__isnull=True).order_by("name").values_list("code", "name")[:SHOWN])
    context = {"rows": rows, "told": told, "sellers": sellers}
    return render(request, "pipeline/set_territories.html", context, status=400 if request.method == "POST" else 200)


# --- parts ---
def _territory(row: dict[str, Any], codes: dict[str, int]) -> dict[str, Any]:
    owners = _texts(row["owners"])
    odd = next((code for code in owners if code not in codes), "")
    if odd:
        raise Invalid(f"{row['name']}: there is no sales person {odd}.", field="owners", remedy="Use the codes listed below.")
    return {"name": row["name"], **{k: _texts(row[k]) for k in territories.RULES}, "rep_ids": [codes[code] for code in owners]}


def _texts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _id(text: str, field: str) -> int:
    if not (text.isdecimal() and len(text) < 19):
        raise Invalid(f"{text!r} is no number of a record.", field=field)
    return int(text)


def _rates(found: WinRates, order: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Rows of a table: a rate is told from FEWEST deals on, and a claim where chance cannot be the reason."""
    rows = []
    for r in found.rows.to_dicts():
        told = {"rate": percent(r["rate"], 0), "likely": f"{percent(r['low'], 0)} to {percent(r['high'], 0)}", "claim": f"{r['claim']} than the others" if r["shown"] else "no more than chance"}  # fmt: skip
        rows.append({**r, **(told if r["deals"] >= FEWEST else {"rate": "–", "likely": "–", "claim": "not enough data"})})
    return sorted(rows, key=lambda r: order.index(r["group"])) if order else rows
