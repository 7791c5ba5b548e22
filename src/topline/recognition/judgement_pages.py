"""Pages of what somebody has to judge (IFRS 15.123): what products cost alone, what is variable, how an amendment is accounted for; and what if."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode

from topline.books.company import company
from topline.catalog.models import Product
from topline.contracts import queries as contracts
from topline.contracts.models import Amendment
from topline.engine.recognition.modifications import POLICY
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.kernel.money import exponent, parse_amount
from topline.recognition import actions, queries
from topline.recognition.facts import Assumed
from topline.recognition.forms import EstimateForm, PriceForm, TreatmentForm, VariableForm
from topline.recognition.models import StandalonePrice, VariableElement
from topline.recognition.pages import asked_month, shown_form
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.charts import bar_chart
from topline.ui.tables import Column

SHOWN = 200
AHEAD = 24  # months that a what-if compares
PRICES = [
    Column("product", "Product"), Column("currency", ""), Column("valid_from", "From", "date"), Column("range", "A unit costs alone"), Column("known", "Known by"), Column("because", "Because"), Column("since", "Said", "moment"),
]  # fmt: skip
SEEN = [
    Column("product", "Product"), Column("currency", ""), Column("count", "Sales", "integer"), Column("range", "Sold for"), Column("median", "Median", "text"), Column("typical", "Within 15 % of it"), Column("proposed", "Proposed"),
    Column("take", "", link="take_url"),
]  # fmt: skip
BESIDE = [
    Column("description", "Item"), Column("sold_minor", "Sold for", "money"), Column("ssp_minor", "Costs alone", "money"), Column("amount_minor", "Share of the price", "money"), Column("new_ssp_minor", "Alone, supposed", "money"),
    Column("new_amount_minor", "Share, supposed", "money"), Column("moved_minor", "Difference", "money"),
]  # fmt: skip
MONTHS = [Column("month", "Month"), Column("amount_minor", "As kept", "money"), Column("new_minor", "Supposed", "money"), Column("moved_minor", "Difference", "money")]  # fmt: skip


@page("recognition.view")
def prices(request: Asked) -> HttpResponse:
    """What products cost alone, and what sales of the last year propose."""
    entity = company(request)
    kept = StandalonePrice.objects.select_related("product").order_by("product__name", "currency", "-valid_from", "-id")[:SHOWN]
    rows = [
        {"product": p.product.name, "currency": p.currency, "valid_from": p.valid_from, "range": _range(p.low_nano, p.high_nano, p.currency), "known": p.get_basis_display(), "because": p.because, "since": p.recorded_at}
        for p in kept
    ]  # fmt: skip
    today = clock.today(entity.time_zone)
    codes = dict(Product.objects.values_list("id", "code")[:100_000])
    may = request.actor.may("recognition.set_standalone_price")
    seen = [
        _proposal(s, codes.get(s["product_id"], ""), today, may=may)
        for s in queries.observed(entity, until=today).head(SHOWN).to_dicts()
    ]
    return render(
        request, "recognition/prices.html", {"rows": rows, "columns": PRICES, "seen": seen, "seen_columns": SEEN, "may_set": may}
    )


@page("recognition.set_standalone_price", methods=("GET", "POST"))
def set_price(request: Asked) -> HttpResponse:
    """Say what a product costs alone from a day on."""
    entity = company(request)
    start = {"currency": entity.currency, "valid_from": clock.today(entity.time_zone).replace(day=1)} | request.GET.dict()
    form = PriceForm(request.POST or None, initial=start)
    if form.is_valid():
        said = form.cleaned_data
        try:
            product = Product.objects.filter(code__iexact=said["product"]).first()
            if product is None:
                raise Invalid(f"There is no product {said['product']!r}.", field="product", remedy="Give a code of the catalog.")
            scale = exponent(said["currency"].upper()) + 9
            actions.set_standalone_price(
                actor=request.actor, product_id=product.pk, currency=said["currency"].upper(), valid_from=said["valid_from"], low_nano=int(said["low"].scaleb(scale)), high_nano=int(said["high"].scaleb(scale)),
                basis=said["basis"], because=said["because"],
            )  # fmt: skip
        except DomainError as error:
            blame(form, error, {"low_nano": "low", "high_nano": "high", "product_id": "product"})
        else:
            messages.success(request, "Said; contracts that begin from that day on are shared by it.")
            return redirect("recognition:prices")
    context = {"form": form, "title": "What a product costs alone", "back": ("Prices alone", reverse("recognition:prices"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("recognition.add_variable_amount", methods=("GET", "POST"))
def add_variable(request: Asked, contract_id: int) -> HttpResponse:
    """Put a variable amount into a contract's price."""
    found = contracts.contract(contract_id)
    items = list(found.items.order_by("id").values_list("id", "description")[:SHOWN])
    form = VariableForm(request.POST or None, items=items, initial={"on": found.starts_on})
    if form.is_valid():
        said = form.cleaned_data
        try:
            actions.add_variable_amount(
                actor=request.actor, contract_id=found.pk, what=said["what"], item_id=said["item_id"], is_paid_back=said["is_paid_back"], **form.facts(found.currency)
            )  # fmt: skip
        except DomainError as error:
            blame(form, error, {"amount": "outcomes", "ceiling_minor": "ceiling"})
        else:
            messages.success(request, "It is a part of the price now; the next close earns its share.")
            return redirect("recognition:contract", found.pk)
    return shown_form(request, form, f"A variable amount of {found.number}", found)


@page("recognition.estimate_variable_amount", methods=("GET", "POST"))
def estimate(request: Asked, element_id: int) -> HttpResponse:
    """Put a variable amount at something else."""
    element = VariableElement.objects.select_related("contract__entity").filter(pk=element_id).first()
    if element is None:
        raise NotFound(f"There is no variable amount {element_id}.", field="element_id")
    found = element.contract
    form = EstimateForm(request.POST or None, initial={"on": clock.today(found.entity.time_zone)})
    if form.is_valid():
        try:
            actions.estimate_variable_amount(actor=request.actor, element_id=element.pk, **form.facts(found.currency))
        except DomainError as error:
            blame(form, error, {"amount": "outcomes", "ceiling_minor": "ceiling"})
        else:
            messages.success(request, "Estimated; the next close catches up what was delivered.")
            return redirect("recognition:contract", found.pk)
    return shown_form(request, form, f"What {element.what} comes to", found)


@page("recognition.treat_amendment", methods=("GET", "POST"))
def treat(request: Asked, amendment_id: int) -> HttpResponse:
    """Account for an amendment otherwise than the policy would."""
    amendment = Amendment.objects.select_related("contract").filter(pk=amendment_id).first()
    if amendment is None:
        raise NotFound(f"There is no amendment {amendment_id}.", field="amendment_id")
    form = TreatmentForm(request.POST or None)
    if form.is_valid():
        try:
            actions.treat_amendment(actor=request.actor, amendment_id=amendment.pk, **form.cleaned_data)
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, "Decided; the next close catches up what follows from it.")
            return redirect("recognition:contract", amendment.contract_id)
    return shown_form(request, form, f"How the amendment of {amendment.effective_on} is accounted for", amendment.contract)


@page("recognition.view")
def what_if(request: Asked, contract_id: int) -> HttpResponse:
    """A contract under other prices, estimates or treatments than those that were kept. The address is the whole state; nothing is written or posted."""
    found = contracts.contract(contract_id)
    through = asked_month(request, found.entity)
    kept = queries.detail(found.entity, found.pk, through=through)
    elements = list({e["element_id"]: e for e in kept["elements"]}.values())
    supposed, problem = _supposed(request, found.currency)
    other = queries.detail(found.entity, found.pk, through=through, assume=supposed)
    new = {o["item_id"]: o for o in other["obligations"]}
    rows = [
        {**o, "new_ssp_minor": new[o["item_id"]]["ssp_minor"], "new_amount_minor": new[o["item_id"]]["amount_minor"], "moved_minor": new[o["item_id"]]["amount_minor"] - o["amount_minor"], "currency": found.currency}
        for o in kept["obligations"]
    ]  # fmt: skip
    fields = [
        *({"name": f"alone_{o['item_id']}", "label": f"A unit of {o['description']} costs alone", "value": request.GET.get(f"alone_{o['item_id']}", "")} for o in kept["obligations"] if not o["meter_id"]),
        *({"name": f"amount_{e['element_id']}", "label": f"{e['what']} comes to", "value": request.GET.get(f"amount_{e['element_id']}", "")} for e in elements),
    ]  # fmt: skip
    choices = [
        {"name": f"treat_{a['amendment_id']}", "label": f"{a['on']}: {a['told']}", "value": request.GET.get(f"treat_{a['amendment_id']}", "")} for a in kept["amendments"]
    ]  # fmt: skip
    context = {
        "contract": found, "through": through, "rows": rows, "columns": BESIDE, "months": _beside(kept["months"], other["months"], found.currency), "month_columns": MONTHS, "fields": fields, "choices": choices,
        "treatments": [word for word, _, _ in POLICY], "problem": problem, "earned": (kept["balance"] or {}).get("earned_minor", 0), "new_earned": (other["balance"] or {}).get("earned_minor", 0),
    }  # fmt: skip
    return render(request, "recognition/what_if.html", context, status=400 if problem else 200)


@page("recognition.view")
def product_what_if(request: Asked) -> HttpResponse:
    """All contracts, if a product cost something else alone: what is earned by month. Nothing is written or posted."""
    entity = company(request)
    through = asked_month(request, entity)
    code, low, high = (request.GET.get(name, "").strip() for name in ("product", "low", "high"))
    problem, rows, drawn = "", [], None
    if code:
        try:
            product = Product.objects.filter(code__iexact=code).first()
            if product is None:
                raise Invalid(f"There is no product {code!r}.", field="product", remedy="Give a code of the catalog.")
            ends = (_nano(low, entity.currency), _nano(high or low, entity.currency))
            if ends[0] > ends[1]:
                raise Invalid("The range begins above its end.", field="low")
            told = queries.what_if(entity, through=through, assume=Assumed(product_ssp={product.pk: ends}))
        except DomainError as error:
            problem = f"{error} {error.remedy}".strip()
        else:
            rows = [{**r, "month": f"{r['month']:%b %Y}", "currency": entity.currency} for r in told.to_dicts()]
            scale = 10 ** exponent(entity.currency)
            bars = [{"month": r["month"], "amount": r["moved_minor"] / scale} for r in rows]
            drawn = bar_chart(bars, x="month", y="amount", title="More or less earned by month", y_title=entity.currency)
    context = {
        "entity": entity,
        "through": through,
        "product": code,
        "low": low,
        "high": high,
        "problem": problem,
        "rows": rows,
        "columns": MONTHS,
        "chart": drawn,
    }
    return render(request, "recognition/product_what_if.html", context, status=400 if problem else 200)


# --- parts ---
def _supposed(request: Asked, currency: str) -> tuple[Assumed, str]:
    """What the address supposes, and what is wrong with it."""
    alone: dict[int, int] = {}
    amounts: dict[int, int] = {}
    treatments: dict[int, str] = {}
    try:
        for name in list(request.GET)[:SHOWN]:
            text = str(request.GET.get(name, ""))
            word, _, key = name.partition("_")
            if not text.strip() or not key.isdigit():
                continue
            if word == "alone":
                alone[int(key)] = _nano(text, currency)
            elif word == "amount":
                amounts[int(key)] = parse_amount(text, currency)
            elif word == "treat" and text in [w for w, _, _ in POLICY]:
                treatments[int(key)] = text
    except Invalid as error:
        return Assumed(), f"{error} {error.remedy}".strip()
    return Assumed(item_ssp=alone, estimates=amounts, treatments=treatments), ""


def _nano(text: str, currency: str) -> int:
    """A price of a unit in billionths of a minor unit. Raises: Invalid."""
    try:
        value = Decimal(text.replace(",", "").strip())
    except InvalidOperation as error:
        raise Invalid(f"{text!r} is no price.", field="low", remedy="Write it as 12.50.") from error
    if not value.is_finite() or value < 0 or value > 10**9:
        raise Invalid(f"{text!r} is no price.", field="low", remedy="Write one of zero or more, as 12.50.")
    return int(value.scaleb(exponent(currency) + 9))


def _beside(kept: list[dict[str, Any]], other: list[dict[str, Any]], currency: str) -> list[dict[str, Any]]:
    """Months as kept and as supposed, the newest two years of them."""
    before, after = ({r["month"]: r["amount_minor"] for r in rows} for rows in (kept, other))
    months = sorted(before.keys() | after.keys())[-AHEAD:]
    return [
        {"month": f"{m:%b %Y}", "amount_minor": before.get(m, 0), "new_minor": after.get(m, 0), "moved_minor": after.get(m, 0) - before.get(m, 0), "currency": currency}
        for m in months
    ]  # fmt: skip


def _proposal(seen: dict[str, Any], code: str, today: date, *, may: bool) -> dict[str, Any]:
    """A row of what sales show, with the address of the form that takes it."""
    currency, low, high = seen["currency"], seen["low_nano"], seen["high_nano"]
    scale = exponent(currency) + 9
    query = {} if low is None else {
        "product": code, "currency": currency, "valid_from": today.replace(day=1).isoformat(), "low": f"{Decimal(low).scaleb(-scale):f}", "high": f"{Decimal(high).scaleb(-scale):f}",
        "basis": "residual" if seen["is_residual"] else "observed", "because": f"{seen['count']} sales in a year",
    }  # fmt: skip
    return {
        "product": seen["product"], "currency": currency, "count": seen["count"], "range": _range(seen["least_nano"], seen["most_nano"], currency), "median": _range(seen["median_nano"], seen["median_nano"], currency),
        "typical": f"{100 * seen['typical']:.0f} %", "proposed": "too few sales" if low is None else _range(low, high, currency) + (" (highly variable: a residual is believed within)" if seen["is_residual"] else ""),
        "take": "Take it" if may and query else "", "take_url": f"{reverse('recognition:set_price')}?{urlencode(query)}",
    }  # fmt: skip


def _range(low: int, high: int, currency: str) -> str:
    """A price, or from one to another."""
    places = exponent(currency)
    first, last = (f"{(Decimal(nano) / 10**9).scaleb(-places):,.{places}f}" for nano in (low, high))
    return first if first == last else f"{first} to {last}"
