"""The pages of recognition: months closed and the one to close, the waterfall, what is still to be earned, one contract, and the rules."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.books.models import Entity
from topline.catalog.models import Product
from topline.contracts import queries as contracts
from topline.contracts.models import Contract, Item
from topline.engine.recognition.modifications import POLICY
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.kernel.money import exponent, parse_amount
from topline.pipeline.pages import day_of
from topline.recognition import actions, queries
from topline.recognition.forms import AcceptForm, CostForm, MethodForm, RuleForm
from topline.recognition.models import Estimate, Rule
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.charts import Chart, bar_chart
from topline.ui.export import MAX_ROWS, export
from topline.ui.format import money
from topline.ui.tables import Column

SHOWN = 200
AHEAD = 12  # months of the waterfall and of a contract's chart
ROLLED = [
    Column("through", "Month to", "date"), Column("opening_minor", "Opening", "money"), Column("billed_minor", "Billed", "money"), Column("earned_minor", "Earned", "money"), Column("closing_minor", "Closing", "money"),
    Column("liability_minor", "Paid or billed ahead", "money"), Column("refund_minor", "To be paid back", "money"), Column("asset_minor", "Earned, not billed", "money"), Column("currency", ""),
]  # fmt: skip
NOW = [
    Column("number", "Contract", "code", link="url"), Column("customer", "Customer"), Column("billed_minor", "Billed", "money"), Column("earned_minor", "Earned", "money"), Column("liability_minor", "Ahead", "money"), Column("refund_minor", "To be paid back", "money"),
    Column("asset_minor", "Not billed", "money"), Column("liability_later_minor", "Ahead, later", "money"), Column("asset_later_minor", "Not billed, later", "money"), Column("currency", ""),
]  # fmt: skip
LEFT = [
    Column("number", "Contract", "code", link="url"), Column("customer", "Customer"), Column("ends_on", "Ends", "date"), Column("within_minor", "In twelve months", "money"), Column("later_minor", "Later", "money"),
    Column("undated_minor", "When accepted", "money"), Column("left_minor", "In all", "money"), Column("currency", ""),
]  # fmt: skip
OBLIGATIONS = [
    Column("description", "Item"), Column("way", "Earned"), Column("start", "From", "date"), Column("end", "Until before", "date"), Column("sold_minor", "Sold for", "money"), Column("ssp_minor", "Costs alone", "money"), Column("amount_minor", "Share of the price", "money"),
    Column("earned_minor", "Earned", "money"), Column("left_minor", "To come", "money"), Column("rule", "", link="rule_url"), Column("accept", "", link="accept_url"),
]  # fmt: skip
COSTS = [
    Column("what", "Paid for"), Column("amount_minor", "Amount", "money"), Column("gone_minor", "Written off", "money"), Column("left_minor", "Left", "money"), Column("currency", ""), Column("start", "From", "date"),
    Column("end", "Written off until before", "date"),
]  # fmt: skip
ALL_COSTS = [Column("number", "Contract", "code", link="url"), *COSTS]
CHANGES = [
    Column("on", "From", "date"), Column("told", "What changed", "sentence"), Column("as_", "Accounted for as"), Column("why", "Because", "sentence"), Column("source", "By"), Column("decide", "", link="decide_url"),
]  # fmt: skip
VARIABLE = [
    Column("what", "What"), Column("item", "Relates to"), Column("on", "As of", "date"), Column("way", "Put at"), Column("estimate_minor", "Estimate", "money"), Column("counted_minor", "Counted", "money"), Column("because", "Because", "sentence"),
    Column("again", "", link="again_url"),
]  # fmt: skip
RULES = [
    Column("product", "Product"),
    Column("way", "Earned"),
    Column("range", "Costs alone"),
    Column("recorded_at", "Since", "moment"),
]
POLICIES = [Column("treatment", "Accounted for as"), Column("why", "Where", "sentence"), Column("source", "By")]
WAYS = dict(Rule.Method.choices)


@page("recognition.view")
def months(request: Asked) -> HttpResponse:
    """Closed months, and what closing the asked one would leave; nothing is posted by looking."""
    entity = company(request)
    last, today = queries.last_close(entity.pk), clock.today(entity.time_zone)
    through = asked_month(request, entity)
    told = queries.balances(entity, through=through)
    rows = _named(
        told.sort(pl.max_horizontal("liability_minor", "refund_minor", "asset_minor"), "contract_id", descending=[True, False]),
        request,
    )
    if request.GET.get("export"):
        return export(rows, NOW, name=f"revenue-{through}", form=request.GET["export"])
    home = told.filter(pl.col("currency") == entity.currency)
    before = queries.rolled(entity)
    earned = int(home["earned_minor"].sum()) - _earned_before(entity, through)
    sums = {c: int(home[c].sum()) for c in ("liability_minor", "refund_minor", "asset_minor", *queries.LATER)}
    may_close = request.actor.may("recognition.close_month") and through < today and (last is None or last.through <= through)
    context = {
        "entity": entity, "through": through, "rows": rows[:SHOWN], "columns": [c for c in NOW if c.key not in queries.LATER or (told[c.key] != 0).any()], "total": told.height, "shown": SHOWN, "rolled": before.to_dicts(), "rolled_columns": ROLLED, "sums": sums, "earned": earned, "last": last,
        "may_close": may_close, "is_closed": last is not None and last.through >= through, "is_over": through < today, "drafts": queries.waiting_drafts(entity, through=through),
    }  # fmt: skip
    return render(request, "recognition/months.html", context)


@page("recognition.close_month", methods=("POST",))
def close(request: Asked) -> HttpResponse:
    """Close a month."""
    entity = company(request)
    through = day_of(request.POST.get("through", ""), "through")
    actions.close_month(actor=request.actor, entity_id=entity.pk, through=through)
    messages.success(request, f"The month to {through} is closed; the ledger shows what was earned.")
    return redirect(f"{reverse('recognition:months')}?through={through}")


@page("recognition.view")
def waterfall(request: Asked) -> HttpResponse:
    """What was booked, or billed, in each month, by the months in which it is earned."""
    entity = company(request)
    through = asked_month(request, entity)
    by = "billed" if request.GET.get("by") == "billed" else "booked"
    told = queries.waterfall(entity, through=through, by=by).filter(pl.col("currency") == entity.currency)
    first = (through.replace(day=1) - timedelta(days=365)).replace(day=1)
    shown = told.filter(pl.col("booked") >= first)
    if request.GET.get("export"):
        columns = [
            Column("booked", f"{by.capitalize()} in", "date"),
            Column("month", "Earned in", "date"),
            Column("amount_minor", "Amount", "money"),
            Column("currency", "Currency"),
        ]
        return export(told.to_dicts(), columns, name="waterfall", form=request.GET["export"])
    across = sorted(m for m in shown["month"].unique().to_list() if m >= first)[: 2 * AHEAD]
    rows = []
    for (booked,), cells in shown.group_by("booked", maintain_order=True):
        by_month = dict(cells.select("month", "amount_minor").iter_rows())
        earlier = sum(v for m, v in by_month.items() if m not in across)
        assert isinstance(booked, date)  # noqa: S101  (a group of dates)
        in_months = {f"m{m}": by_month.get(m) for m in across}
        rows.append(
            {
                "booked": f"{booked:%b %Y}",
                "total": sum(by_month.values()),
                **in_months,
                "rest": earlier or None,
                "currency": entity.currency,
            }
        )
    columns = [
        Column("booked", f"{by.capitalize()} in"),
        Column("total", by.capitalize(), "money"),
        *(Column(f"m{m}", f"{m:%b %y}", "money") for m in across),
        Column("rest", "Other months", "money"),
    ]
    sums = (
        shown.filter(pl.col("month").is_in(across)).group_by("month").agg(pl.col("amount_minor").sum()).sort("month").to_dicts()
    )
    chart = _by_month(sums, entity.currency)
    return render(
        request,
        "recognition/waterfall.html",
        {"through": through, "rows": rows, "columns": columns, "chart": chart, "entity": entity, "by": by},
    )


@page("recognition.view")
def remaining(request: Asked) -> HttpResponse:
    """What contracts with an end still have to earn."""
    entity = company(request)
    through = asked_month(request, entity)
    told = queries.remaining(entity, through=through)
    rows = _named(told, request)
    if request.GET.get("export"):
        return export(rows, LEFT, name=f"remaining-{through}", form=request.GET["export"])
    home = told.filter(pl.col("currency") == entity.currency)
    sums = {c: int(home[c].sum()) for c in ("within_minor", "later_minor", "undated_minor", "left_minor")}
    return render(
        request,
        "recognition/remaining.html",
        {
            "through": through,
            "rows": rows[:SHOWN],
            "columns": LEFT,
            "total": told.height,
            "shown": SHOWN,
            "sums": sums,
            "entity": entity,
        },
    )


@page("recognition.view")
def contract(request: Asked, contract_id: int) -> HttpResponse:
    """One contract: its obligations, what they share of the price, and when they are earned."""
    found = contracts.contract(contract_id)
    through = asked_month(request, found.entity)
    told = queries.detail(found.entity, found.pk, through=through)
    may_rule, may_accept = request.actor.may("recognition.set_rule"), request.actor.may("recognition.accept_part")
    rows = [
        {**o, "way": "as it is used" if o["meter_id"] else WAYS[o["method"]] + (f", {o['life_months']} months" if o["life_months"] else ""), "left_minor": o["amount_minor"] - o["earned_minor"], "currency": found.currency,
         "rule": "Rule" if may_rule and not o["meter_id"] else "", "rule_url": reverse("recognition:item_rule", args=[o["item_id"]]), "accept": "Accept" if may_accept and o["method"] == "milestone" else "", "accept_url": reverse("recognition:accept", args=[o["item_id"]])}
        for o in told["obligations"]
    ]  # fmt: skip
    chart = _by_month(told["months"][-3 * AHEAD :], found.currency)
    context = {
        "contract": found, "through": through, "rows": rows, "columns": OBLIGATIONS, "chart": chart, "balance": told["balance"], "costs": [{**c, "currency": found.entity.currency} for c in told["costs"]], "cost_columns": COSTS,
        "changes": [_change(a, request) for a in told["amendments"]], "change_columns": CHANGES, "elements": _variable(told["elements"], found.currency, request), "element_columns": VARIABLE, "financing": told["financing"],
    }  # fmt: skip
    return render(request, "recognition/contract.html", context)


@page("recognition.keep_cost", methods=("GET", "POST"))
def cost(request: Asked, contract_id: int) -> HttpResponse:
    """Keep what it cost to win a contract."""
    found = contracts.contract(contract_id)
    form = CostForm(request.POST or None, initial={"start": found.starts_on, "end": found.ends_on})
    if form.is_valid():
        said = form.cleaned_data
        try:
            amount = parse_amount(said["amount"], found.entity.currency)
            actions.keep_cost(
                actor=request.actor,
                contract_id=found.pk,
                what=said["what"],
                amount_minor=amount,
                start=said["start"],
                end=said["end"],
            )
        except DomainError as error:
            blame(form, error, {"amount_minor": "amount"})
        else:
            messages.success(request, "It is kept, and written off month by month.")
            return redirect("recognition:contract", found.pk)
    return shown_form(request, form, f"Cost of winning {found.number}", found)


@page("recognition.set_rule", methods=("GET", "POST"))
def item_rule(request: Asked, item_id: int) -> HttpResponse:
    """Say how an item of a contract is earned."""
    found = _item(item_id)
    form = MethodForm(request.POST or None)
    if form.is_valid():
        try:
            actions.set_rule(actor=request.actor, item_id=found.pk, **form.facts(exponent(found.contract.currency)))
        except DomainError as error:
            blame(form, error, {"ssp_low_nano": "ssp_low", "ssp_high_nano": "ssp_high"})
        else:
            messages.success(request, "Said; the next close catches up what follows from it.")
            return redirect("recognition:contract", found.contract_id)
    return shown_form(request, form, f"How {found.description} is earned", found.contract)


@page("recognition.accept_part", methods=("GET", "POST"))
def accept(request: Asked, item_id: int) -> HttpResponse:
    """Note what the customer accepted."""
    found = _item(item_id)
    form = AcceptForm(request.POST or None, initial={"on": clock.today(found.contract.entity.time_zone)})
    if form.is_valid():
        said = form.cleaned_data
        try:
            actions.accept_part(
                actor=request.actor,
                item_id=found.pk,
                on=said["on"],
                share_ppm=int(said["percent"] * Decimal(10_000)),
                note=said["note"],
            )
        except DomainError as error:
            blame(form, error, {"share_ppm": "percent"})
        else:
            messages.success(request, "Accepted; the next close earns it.")
            return redirect("recognition:contract", found.contract_id)
    return shown_form(request, form, f"What was accepted of {found.description}", found.contract)


@page("recognition.view")
def rules(request: Asked) -> HttpResponse:
    """How products are earned."""
    entity = company(request)
    newest: dict[int, Rule] = {}
    for rule in Rule.objects.filter(product__isnull=False).select_related("product").order_by("-id")[:1_000]:
        newest.setdefault(rule.product_id or 0, rule)
    rows = [
        {
            "product": r.product.name if r.product else "",
            "way": WAYS[r.method] + (f", {r.life_months} months" if r.life_months else ""),
            "range": _range(r, entity.currency),
            "recorded_at": r.recorded_at,
        }
        for r in newest.values()
    ]
    policy = [{"treatment": word.replace("_", " "), "why": why, "source": source} for word, why, source in POLICY]
    return render(
        request, "recognition/rules.html", {"rows": rows, "columns": RULES, "policy": policy, "policy_columns": POLICIES}
    )


@page("recognition.set_rule", methods=("GET", "POST"))
def product_rule(request: Asked) -> HttpResponse:
    """Say how a product is earned."""
    entity = company(request)
    form = RuleForm(request.POST or None)
    if form.is_valid():
        try:
            product = Product.objects.filter(code__iexact=form.cleaned_data["product"]).first()
            if product is None:
                raise Invalid(
                    f"There is no product {form.cleaned_data['product']!r}.",
                    field="product",
                    remedy="Give a code of the catalog.",
                )
            actions.set_rule(actor=request.actor, product_id=product.pk, **form.facts(exponent(entity.currency)))
        except DomainError as error:
            blame(form, error, {"ssp_low_nano": "ssp_low", "ssp_high_nano": "ssp_high"})
        else:
            messages.success(request, "Said; the next close catches up what follows from it.")
            return redirect("recognition:rules")
    context = {"form": form, "title": "How a product is earned", "back": ("Rules", reverse("recognition:rules"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("recognition.view")
def costs(request: Asked) -> HttpResponse:
    """What it cost to win contracts, and what is left of it."""
    entity = company(request)
    through = asked_month(request, entity)
    told = queries.cost_rows(entity, through=through).sort("left_minor", "cost_id", descending=[True, False])
    rows = [
        {**r, "currency": entity.currency, "url": reverse("recognition:contract", args=[r["contract_id"]])}
        for r in told.head(MAX_ROWS).to_dicts()
    ]
    if request.GET.get("export"):
        return export(rows, ALL_COSTS, name=f"contract-costs-{through}", form=request.GET["export"])
    sums = {c: int(told[c].sum()) for c in ("amount_minor", "gone_minor", "left_minor")}
    context = {
        "through": through,
        "rows": rows[:SHOWN],
        "columns": ALL_COSTS,
        "total": told.height,
        "shown": SHOWN,
        "sums": sums,
        "entity": entity,
    }
    return render(request, "recognition/costs.html", context)


# --- parts ---
def _change(a: dict[str, Any], request: Asked) -> dict[str, Any]:
    """A row of what changed and how it is accounted for, with the reason."""
    reasons = {word: (why, source) for word, why, source in POLICY}
    why, source = reasons[a["treatment"]]
    if a["because"]:
        why, source = a["because"], f"decided; the policy says {a['policy'].replace('_', ' ')}"
    may = request.actor.may("recognition.treat_amendment")
    return {
        **a, "as_": a["treatment"].replace("_", " "), "why": why, "source": source, "decide": "Decide" if may else "", "decide_url": reverse("recognition:treat", args=[a["amendment_id"]]),
    }  # fmt: skip


def _variable(elements: list[dict[str, Any]], currency: str, request: Asked) -> list[dict[str, Any]]:
    """Rows of estimates; the newest of an amount leads to the next."""
    newest = {e["element_id"]: n for n, e in enumerate(elements)}
    may, words = request.actor.may("recognition.estimate_variable_amount"), dict(Estimate.Method.choices)
    return [
        {**e, "item": e["item"] or "all of it", "way": words[e["method"]], "currency": currency, "again": "Estimate" if may and newest[e["element_id"]] == n else "", "again_url": reverse("recognition:estimate", args=[e["element_id"]])}
        for n, e in enumerate(elements)
    ]  # fmt: skip


def asked_month(request: Asked, entity: Entity) -> date:
    """The month asked for, else the first one that is not closed yet, at most the running one."""
    if asked := request.GET.get("through", ""):
        return queries.month_end(day_of(asked, "through"))
    last, now = queries.last_close(entity.pk), queries.month_end(clock.today(entity.time_zone))
    before = queries.month_before(now)
    return max(before, min(now, queries.month_end(last.through + timedelta(days=1)))) if last else before


def _by_month(rows: list[dict[str, Any]], currency: str) -> Chart | None:
    """What is earned in each month as bars; rows: month, amount_minor."""
    scale = 10 ** exponent(currency)
    bars = [{"month": f"{r['month']:%b %y}", "amount": r["amount_minor"] / scale} for r in rows]
    return bar_chart(bars, x="month", y="amount", title="Earned by month", y_title=currency)


def _earned_before(entity: Entity, through: date) -> int:
    """What was earned by the month before, in the company's currency."""
    before = queries.balances(entity, through=queries.month_before(through))
    return int(before.filter(pl.col("currency") == entity.currency)["earned_minor"].sum())


def _named(told: pl.DataFrame, request: Asked) -> list[dict[str, Any]]:
    """Rows with number, customer and end of their contract; as many as are shown or downloaded."""
    rows = told.head(MAX_ROWS if request.GET.get("export") else SHOWN)
    ids = rows["contract_id"].to_list()
    known = {
        c.pk: c
        for start in range(0, len(ids), 900)
        for c in Contract.objects.filter(pk__in=ids[start : start + 900]).select_related("customer")
    }
    return [
        {
            **r,
            "number": c.number,
            "customer": c.customer.name,
            "ends_on": c.ends_on,
            "url": reverse("recognition:contract", args=[c.pk]),
        }
        for r in rows.to_dicts()
        for c in (known[r["contract_id"]],)
    ]


def _item(item_id: int) -> Item:
    found = Item.objects.select_related("contract__entity").filter(pk=item_id).first()
    if found is None:
        raise NotFound(f"There is no item {item_id}.", field="item_id")
    return found


def shown_form(request: Asked, form: Any, title: str, contract: Contract) -> HttpResponse:
    back = (contract.number, reverse("recognition:contract", args=[contract.pk]))
    return render(request, "ui/form.html", {"form": form, "title": title, "back": back}, status=400 if form.errors else 200)


def _range(rule: Rule, currency: str) -> str:
    if rule.ssp_low_nano is None or rule.ssp_high_nano is None:
        return "as it is sold"
    low, high = (money(round(nano / 10**9), currency) for nano in (rule.ssp_low_nano, rule.ssp_high_nano))
    return f"{low} {currency}" if low == high else f"{low} to {high} {currency}"
