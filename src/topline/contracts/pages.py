"""The pages of contracts: the list, one with its periods and amendments, the renewals ahead."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import polars as pl
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing.pages import as_quantity
from topline.books.company import company
from topline.contracts import actions, amendments, open_periods, queries, rerating, schedules
from topline.contracts.forms import (
    AMENDMENTS,
    LATE_CHOICES,
    AddForm,
    AmendForm,
    ContractForm,
    DiscountForm,
    EndForm,
    FactsForm,
    PlanForm,
)
from topline.contracts.models import Contract, Parked
from topline.contracts.pricing import BY_UNIT_PRICE, COMMITMENT, NAMES
from topline.contracts.schedule_pages import shown_parts
from topline.contracts.wallet_queries import usable_by_customer
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.kernel.money import exponent, format_amount
from topline.market import queries as market
from topline.market.prices import unit_price
from topline.team.queries import actor_names
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.export import MAX_ROWS, export
from topline.ui.format import day
from topline.ui.tables import Column, listing

LIST = [
    Column("number", "Number", "code", sort="number", link="url"), Column("customer", "Customer", sort="customer__name", link="customer_url"), Column("purchase_order", "Purchase order"), Column("starts_on", "From", "date", sort="starts_on"),
    Column("ends_on", "Until before", "date", sort="ends_on"), Column("renews", "Renews"), Column("yearly", "A year", "money"), Column("currency", ""), Column("state", "", "badge"),
]  # fmt: skip
ITEMS = [
    Column("description", "What"), Column("quantity", "Quantity", "amount"), Column("price", "Price"), Column("cadence", "Billed"), Column("starts_on", "From", "date"), Column("ends_on", "Until before", "date"), Column("state", "", "badge"),
]  # fmt: skip
CHARGES = [
    Column("item", "What"), Column("full_start", "Period", "date"), Column("span", "Billed"), Column("net_minor", "Net", "money"), Column("currency", ""), Column("made", "How it is made", "sentence"), Column("invoice", "On", "code", link="url"),
]  # fmt: skip
FIELDS = {
    "customer_id": "customer", "unit_price_nano": "price", "quantity_micro": "quantity", "uplift_ppm": "uplift", "meter_id": "meter", "included_micro": "included", "package_micro": "package", "share_ppm": "share",
    "fee_nano": "fee", "free_minor": "free_amount", "each_least_minor": "each_least", "each_most_minor": "each_most", "minimum_minor": "minimum", "maximum_minor": "maximum", "alerts_minor": "alerts", "bill_at_minor": "bill_at", "bill_every_minor": "bill_every",
}  # fmt: skip
SEEN = "amendment_seen"  # in the session: which change was shown before it is made
MOST_ROWS = 6  # of a price that are told where the item stands
SAID = "as the events say"  # the label of a step whose price came with the events
CADENCE = {"month": "a month", "quarter": "a quarter", "year": "a year", "week": "a week", "day": "once"}

FIRST_YEAR = [c for c in CHARGES if c.key in ("item", "full_start", "net_minor", "currency")]
DISCOUNTS = [
    Column("name", "Discount", link="url"), Column("what", "What"), Column("of", "Off"), Column("starts_on", "From", "date"), Column("last_on", "Until before", "date"), Column("taken_minor", "Taken so far", "money"), Column("state", "", "badge"),
]  # fmt: skip
RUNNING = [
    Column("contract", "Contract", "code", link="url"), Column("customer", "Customer"), Column("description", "What"), Column("start", "Since", "date"), Column("until", "Until", "date"), Column("used", "Used so far"),
    Column("net_minor", "Costs so far", "money"), Column("currency", ""), Column("made", "How", "sentence"),
]  # fmt: skip


@page("contracts.view")
def contract_list(request: Asked) -> HttpResponse:
    """Contracts, with what they bring in a year."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    state = listing(request.path, request.GET.dict(), columns=LIST, default_sort="number", filters=["q", "state"])
    wanted = state.filters.get("state", "running")
    if wanted not in ("running", "ended", "all"):
        raise Invalid(f"There is no state {wanted!r}.", field="state", remedy="Use running, ended or all.")
    found = queries.contracts(
        entity_id=entity.pk, text=state.filters.get("q", ""), state="" if wanted == "all" else wanted, on=today
    )
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    shown = list(found.order_by(*state.order)[start:end])
    worth = queries.yearly([c.pk for c in shown], on=today)
    parked = set(
        Parked.objects.filter(contract_id__in=[c.pk for c in shown], cleared_at__isnull=True).values_list(
            "contract_id", flat=True
        )
    )
    rows = [
        {"number": c.number, "url": reverse("contracts:contract", args=[c.pk]), "customer": c.customer.name, "customer_url": reverse("web:customer", args=[c.customer_id]), "purchase_order": c.purchase_order or None, "starts_on": c.starts_on,
         "ends_on": c.ends_on, "renews": f"by {c.renews_months} months" if c.renews_months else None, "yearly": worth.get(c.pk, 0), "currency": c.currency, "state": "parked" if c.pk in parked else _state(c, today)}
        for c in shown
    ]  # fmt: skip
    if state.export:
        return export(rows, LIST, name="contracts", form=state.export)
    return render(request, "contracts/contracts.html", {"list": state, "rows": rows, "total": found.count(), "wanted": wanted})


@page("contracts.view")
def contract(request: Asked, contract_id: int) -> HttpResponse:
    """One contract: what is billed, which periods were, what was changed, and whether it adds up."""
    found = queries.contract(contract_id)
    today = clock.today(found.entity.time_zone)
    told = queries.detail(found.pk)
    whole, billed = queries.value(found.pk)
    parts = shown_parts(found.pk, found.currency)
    named = _part_names(found) if parts else {}
    who = actor_names(list({a["actor_key"] for a in told["amendments"]}))
    context = {
        "contract": found, "today": today, "state": _state(found, today), "items": [_item(i, found, today) for i in told["items"]], "item_columns": ITEMS, "charges": [_charge(c, found.currency, named) for c in told["charges"]], "charge_columns": CHARGES,
        "parts": parts, "scheduled": {p["item_id"] for p in parts}, "can_schedule": [(i["id"], i["description"]) for i in told["items"] if _is_once(i)], "amendments": [{**a, "who": who[a["actor_key"]]} for a in told["amendments"]], "whole": whole, "billed": billed, "yearly": queries.yearly([found.pk], on=today).get(found.pk, 0),
        "late": dict(LATE_CHOICES).get(found.late_usage), "in_use": _running(open_periods.running(Contract.objects.filter(pk=found.pk), entity=found.entity, on=today)), "use_columns": RUNNING[2:],
        "discounts": [_discount(d, found.currency, found.pk, may_end=request.actor.may("contracts.end_discount")) for d in queries.discounts(found.pk, on=today)], "discount_columns": DISCOUNTS,
        "parked": Parked.objects.filter(contract=found, cleared_at__isnull=True).first(), "verbs": _verbs(request, found, today),
    }  # fmt: skip
    return render(request, "contracts/contract.html", context)


@page("contracts.view")
def in_use(request: Asked) -> HttpResponse:
    """What was used in the periods that are open, of all contracts, the dearest first."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    found = open_periods.running(Contract.objects.filter(entity=entity), entity=entity, on=today)
    rows = _running(found.sort("net_minor", "item_id", descending=[True, False]).head(200))
    held = usable_by_customer(entity.pk, on=today)
    credits_page = reverse("contracts:wallets")
    for r in rows:
        r["credits"] = held.get((r["payer_id"], r["currency"]))
        r["credits_url"] = f"{credits_page}?q={quote(r['customer'])}" if r["credits"] else ""
    columns = [*RUNNING[:-1], Column("credits", "Credits left", "money", link="credits_url"), RUNNING[-1]] if held else RUNNING
    context = {
        "rows": rows,
        "columns": columns,
        "count": found.height,
        "today": today,
        "policies": LATE_CHOICES,
        "policy": rerating.company_policy(entity.pk),
    }
    return render(request, "contracts/use.html", context)


@page("contracts.set_late_usage", methods=("POST",))
def set_late_usage(request: Asked) -> HttpResponse:
    """Say how the company bills use that comes after its period was."""
    rerating.set_late_usage(actor=request.actor, entity_id=company(request).pk, policy=request.POST.get("policy", ""))
    messages.success(request, "The next bill run bills late use that way, except where a contract says otherwise.")
    return redirect("contracts:in_use")


def _running(found: pl.DataFrame) -> list[dict[str, Any]]:
    names = market.names(found["user_id"].unique().to_list())
    return [
        {**r, "payer_id": r["customer_id"], "customer": names.get(r["user_id"], ""), "url": reverse("contracts:contract", args=[r["contract_id"]]), "until": r["full_end"] - timedelta(days=1), "used": f"{r['used_micro'] / 10**6:,g} {r['meter_unit'] or ''}".strip(),
         "made": "; ".join(_step(step, r["currency"]) for step in json.loads(r["explained"]))}
        for r in found.to_dicts()
    ]  # fmt: skip


@page("contracts.add_contract", methods=("GET", "POST"))
def new(request: Asked) -> HttpResponse:
    """Write down a contract with its first item; others are added on its page."""
    entity = company(request)
    form = ContractForm(request.POST or None, initial={"currency": entity.currency, "starts_on": clock.today(entity.time_zone)})
    if request.htmx:
        return render(request, "contracts/_builder.html", _first_year(request, form, entity.pk))
    if form.is_valid():
        try:
            made = actions.add_contract(actor=request.actor, entity_id=entity.pk, **_new(form))
        except DomainError as error:
            blame(form, error, FIELDS)
        else:
            messages.success(request, "The contract is there; the next bill run bills what is due of it.")
            return redirect("contracts:contract", made)
    return render(request, "contracts/new.html", {"form": form}, status=400 if form.errors else 200)


@page("contracts.make_contract", methods=("POST",))
def from_quote(request: Asked, quote_id: int) -> HttpResponse:
    """Make the contract of an accepted quote."""
    made = actions.make_contract(actor=request.actor, quote_id=quote_id)
    messages.success(request, "The contract is there; the next bill run bills what is due of it.")
    return redirect("contracts:contract", made)


@page("contracts.change_contract", methods=("GET", "POST"))
def change(request: Asked, contract_id: int) -> HttpResponse:
    """Change what is no amendment."""
    found = queries.contract(contract_id)
    initial = {name: getattr(found, name) for name in FactsForm.base_fields}
    form = FactsForm(request.POST or None, initial=initial)
    if form.is_valid():
        changes = {name: value for name, value in form.cleaned_data.items() if value != initial[name]}
        try:
            if changes:
                actions.change_contract(actor=request.actor, contract_id=found.pk, changes=changes)
        except DomainError as error:
            blame(form, error, FIELDS)
        else:
            messages.success(request, "Changed." if changes else "Nothing was changed.")
            return redirect("contracts:contract", found.pk)
    context = {
        "form": form,
        "title": f"Change {found.number}",
        "what": "What is billed changes by an amendment. A contract keeps its currency: for another one terminate it and write down a new contract",
        "back": (found.number, reverse("contracts:contract", args=[found.pk])),
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("contracts.add_discount", methods=("GET", "POST"))
def new_discount(request: Asked, contract_id: int) -> HttpResponse:
    """Take something off what a contract bills."""
    found = queries.contract(contract_id)
    form = DiscountForm(request.POST or None, items=_choices(found), initial={"starts_on": clock.today(found.entity.time_zone)})
    if form.is_valid():
        try:
            actions.add_discount(actor=request.actor, contract_id=found.pk, **form.said(found.currency))
        except DomainError as error:
            blame(form, error, {"share_ppm": "share", "amount_minor": "amount"})
        else:
            messages.success(request, "The discount is there; the next bill run takes it off.")
            return redirect("contracts:contract", found.pk)
    context = {"form": form, "title": f"Discount on {found.number}", "back": (found.number, reverse("contracts:contract", args=[found.pk]))}  # fmt: skip
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("contracts.end_discount", methods=("GET", "POST"))
def end_discount(request: Asked, contract_id: int, discount_id: int) -> HttpResponse:
    """Let a discount end."""
    found = queries.contract(contract_id)
    form = EndForm(request.POST or None, initial={"on": clock.today(found.entity.time_zone)})
    if form.is_valid():
        try:
            actions.end_discount(actor=request.actor, discount_id=discount_id, on=form.cleaned_data["on"])
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, "Periods that begin on that day or later cost their whole price.")
            return redirect("contracts:contract", found.pk)
    context = {"form": form, "title": f"End a discount on {found.number}", "back": (found.number, reverse("contracts:contract", args=[found.pk]))}  # fmt: skip
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("contracts.amend", methods=("GET", "POST"))
def amend(request: Asked, contract_id: int, kind: str) -> HttpResponse:
    """Amend a contract; *Preview* says first what the next run would charge and give back."""
    found = queries.contract(contract_id)
    if kind not in AMENDMENTS:
        raise NotFound(f"There is no amendment {kind!r}.", field="kind")
    today = clock.today(found.entity.time_zone)
    label, made_of = AMENDMENTS[kind]
    first = found.ends_on if kind == "renew" and found.ends_on else today
    told = {name: request.GET[name][:300] for name in ("months", "uplift", "because") if name in request.GET}
    form = made_of(request.POST or None, initial={"on": first, "months": found.renews_months or 12, **told})
    form.offer(_choices(found))
    shown: list[dict[str, Any]] | None = None
    parked: list[dict[str, Any]] = []
    first_seen, total, until = False, 0, today
    if form.is_valid():
        try:
            asked = _asked(request, found, kind, form)
            change = f"{found.pk} {kind} {sorted((k, v) for k, v in request.POST.items() if k not in ('csrfmiddlewaretoken', 'preview', 'because'))}"
            first_seen = request.session.get(SEEN) != change and amendments.is_backdated(found.pk, form.cleaned_data["on"])
            if "preview" in request.POST or first_seen:
                until = amendments.shown_until(**asked)
                bill = amendments.preview_amendment(**asked, as_of=until)
                shown, parked = _shown(bill.lines), bill.parked.to_dicts()
                total = int(bill.lines["net_minor"].sum())
                request.session[SEEN] = change
            else:
                amendments.amend(**asked)
                messages.success(request, f"{label}: done; the next bill run charges or gives back what follows from it.")
                return redirect("contracts:contract", found.pk)
        except DomainError as error:
            blame(form, error, FIELDS)
    context = {
        "form": form,
        "label": label,
        "contract": found,
        "shown": shown,
        "parked": parked,
        "first_seen": first_seen and shown is not None,
        "total": total,
        "by": f"a run up to {day(until)}" if until > today else "the next run",
        "columns": [*([Column("contract", "Contract", "code")] if kind == "transfer" else []), *CHARGES[:-1]],
    }
    return render(request, "contracts/amend.html", context, status=400 if form.errors else 200)


# --- parts ---
def _verbs(request: Asked, found: Contract, today: date) -> list[tuple[str, str]]:
    """The amendments that a contract can take today."""
    if not request.actor.may("contracts.amend"):
        return []
    if found.ends_on is not None and found.ends_on <= today:
        return [("renew", "Renew")]
    fits = {"resume": amendments.is_paused(found.pk), "renew": found.ends_on is not None}
    return [(kind, label) for kind, (label, _) in AMENDMENTS.items() if fits.get(kind, True)]


def _new(form: ContractForm) -> dict[str, Any]:
    """What `actions.add_contract` needs. Raises: Invalid."""
    said = form.cleaned_data
    facts = ("currency", "starts_on", "ends_on", "terms", "purchase_order", "renews_months", "notice_days", "on_upgrade", "on_downgrade", "month_days", "late_usage")  # fmt: skip
    return {name: said[name] for name in facts} | {"customer_id": form.buyer(), "items": [form.item(said["currency"], said["starts_on"])]}  # fmt: skip


def _first_year(request: Asked, form: ContractForm, entity_id: int) -> dict[str, Any]:
    """What the contract that is being written down would be billed in its first year, or what is still missing."""
    if not form.is_valid():
        return {"missing": [f"{form.fields[name].label or name.replace('_', ' ').capitalize()}: {said[0]}" for name, said in form.errors.items() if name in form.fields][:5]}  # fmt: skip
    try:
        bill = actions.preview_contract(actor=request.actor, entity_id=entity_id, **_new(form))
    except DomainError as error:
        return {"missing": [f"{error.message} {error.remedy}".strip()]}
    lines, currency = bill.lines, form.cleaned_data["currency"]
    return {"shown": _shown(lines), "columns": FIRST_YEAR, "total": int(lines["net_minor"].sum()), "currency": currency, "count": lines.height, "parked": bill.parked.to_dicts(), "by_use": bool(form.cleaned_data["meter"])}  # fmt: skip


def _choices(found: Contract) -> list[tuple[int, str]]:
    """Items of a contract that bill something, for a form."""
    ours = found.items.order_by("id")
    return [(i.pk, f"{i.description}, from {i.starts_on}") for i in ours if i.ends_on is None or i.ends_on > i.starts_on]


def _discount(row: dict[str, Any], currency: str, contract_id: int, *, may_end: bool) -> dict[str, Any]:
    """A discount in words, with a link to the page that ends it."""
    size = (
        f"{row['share_ppm'] / 10_000:g} %" if row["share_ppm"] else f"{format_amount(row['amount_minor'], currency)} {currency}"
    )
    unit = row["unit"] if row["every"] == 1 else f"{row['every']} {row['unit']}s"
    times = "" if row["periods"] is None else f", {row['periods']} times"
    when = ("of the first bill" if row["share_ppm"] else "in all") if row["unit"] == "once" else f"each {unit}{times}"
    url = reverse("contracts:end_discount", args=[contract_id, row["id"]]) if may_end and row["ended_on"] is None else None
    return {**row, "currency": currency, "url": url, "what": f"{size} {when}", "of": row["item__description"] or row["product__name"] or "all of the contract", "state": "" if row["holds"] else "over" if row["last_on"] or row["left_minor"] == 0 else "to come"}  # fmt: skip


def _asked(request: Asked, found: Contract, kind: str, form: AmendForm) -> dict[str, Any]:
    said = form.cleaned_data
    if isinstance(form, PlanForm):
        plan = {
            name: value
            for name, value in form.item(found.currency, said["on"]).items()
            if name not in ("aligned", "free_until", "ends_on")
        }
        more: dict[str, Any] = {"item_id": said["item_id"], "mode": said["mode"], "item": plan}
    else:
        more = {"item": form.item(found.currency, said["on"])} if isinstance(form, AddForm) else form.said(found.currency)
    return {"actor": request.actor, "contract_id": found.pk, "kind": kind, "on": said["on"], "because": said["because"], **more}


def _item(row: dict[str, Any], found: Contract, today: date) -> dict[str, Any]:
    over = row["ends_on"] is not None and row["ends_on"] <= max(today, row["starts_on"])  # or removed before it began
    price = _price(row, found.currency)
    for word, amount in (("at least", row["minimum_minor"]), ("at most", row["maximum_minor"])):
        price += f", {word} {format_amount(amount, found.currency)}" if amount is not None else ""
    price += (
        f", told at {', '.join(format_amount(a, found.currency) for a in row['alerts_minor'])}" if row["alerts_minor"] else ""
    )
    if row["bill_at_minor"] or row["bill_every_minor"]:
        every = f", and every {format_amount(row['bill_every_minor'], found.currency)} more" if row["bill_every_minor"] else ""
        price += f", billed at {', '.join(format_amount(a, found.currency) for a in row['bill_at_minor']) or '0.00'}{every}"
    price += ", by the peak of a period" if row["by_peak"] else ""
    price += f", counts towards {row['pool']}" if row["pool"] and row["price_model"] != COMMITMENT else ""
    cadence = CADENCE[row["unit"]] if row["every"] == 1 else f"every {row['every']} {row['unit']}s"
    state = "" if not over and row["starts_on"] <= today else "over" if over else "to come"
    return {
        **row,
        "quantity": None if row["meter_id"] or row["price_model"] == COMMITMENT else as_quantity(row["quantity_micro"]),
        "description": row["description"] + (f" (by the meter {row['meter__name']})" if row["meter_id"] else ""),
        "price": price,
        "cadence": cadence + ("" if row["in_advance"] or row["unit"] == "day" else ", in arrears"),
        "state": state,
    }


def _is_once(row: dict[str, Any]) -> bool:
    """Sold once, at a price: it may be billed in parts."""
    return row["unit"] == "day" and row["meter_id"] is None and row["unit_price_nano"] is not None and row["ends_on"] == row["starts_on"] + timedelta(days=1)  # fmt: skip


def _part_names(found: Contract) -> dict[tuple[int, date], str]:
    """What the charges of a contract's schedules are called, by item and first day of their period."""
    parts = schedules.parts_of(Contract.objects.filter(pk=found.pk))
    return {(r["item_id"], r["full_start"]): r["part"] for r in schedules.named(parts).to_dicts()}


def _charge(row: dict[str, Any], currency: str, named: dict[tuple[int, date], str]) -> dict[str, Any]:
    part = named.get((row["item_id"], row["full_start"]))
    return {
        "item": row["item__description"] + (f": {part}" if part else ""), "full_start": row["start"] if row["full_days"] == 1 else row["full_start"], "span": _span(row), "net_minor": row["net_minor"], "currency": currency, "made": made(row, currency), "invoice": row["invoice__number"] or row["invoice__state"],
        "url": reverse("billing:invoice", args=[row["invoice_id"]]),
    }  # fmt: skip


def _shown(lines: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {"contract": r["contract"], "item": r["description"] + (f": {r['part']}" if r["part"] else ""), "full_start": r["start"] if r["full_days"] == 1 else r["full_start"], "span": _span(r), "net_minor": r["net_minor"], "currency": r["currency"], "made": made(r, r["currency"])} for r in lines.sort("contract_id", "full_start", "start", "end", maintain_order=True).head(200).to_dicts()
    ]  # fmt: skip


def _span(row: dict[str, Any]) -> str:
    last = row["end"] - timedelta(days=1)
    return f"{day(row['start'])} to {day(last)}" if last > row["start"] else day(row["start"])


def made(row: dict[str, Any], currency: str) -> str:
    """How an amount came about, in words: its days, or the tiers that usage went through."""
    said = row.get("explained") or []
    steps = json.loads(said) if isinstance(said, str) else said
    for step in steps:
        if step.get("back"):
            return f"takes back line {step['line']} of {step['back']}; the period is billed anew"
    is_anew = any(step.get("anew") for step in steps)
    steps = [step for step in steps if not step.get("anew")]
    part = "the whole period" if row["days"] == row["full_days"] else f"{row['days']} of {row['full_days']} days"
    priced = [s for s in steps if not s.get("off") and s.get("credited") is None]
    told = [_step(s, currency) for s in steps]
    if steps:
        part = "; ".join(told if priced else [part, *told])
    if not row["is_again"]:
        return part
    if is_anew:
        return f"rated anew: {part}"
    return f"difference to what was billed before; now due: {part if row['full_days'] else 'nothing'}"


def _price(row: dict[str, Any], currency: str) -> str:
    """What an item costs, in words."""
    model = row["price_model"]
    if model not in BY_UNIT_PRICE:
        words = {
            "commitment": f"of {row['pool'] or 'all items'} together",
            "percentage": f"{(row['share_ppm'] or 0) / 10_000:g} % of each transaction",
            "graduated": "by tiers, graduated",
            "volume": "by tiers, by volume",
        }
        agreed = [_row(r, currency) for r in row["tiers"][:MOST_ROWS]] + (["…"] if len(row["tiers"]) > MOST_ROWS else [])
        parts = [words.get(model, NAMES[model]) + (f": {'; '.join(agreed)}" if agreed else "")]
    elif row["unit_price_nano"] is None:
        parts = ["not agreed yet"]
    else:
        parts = [f"{unit_price(row['unit_price_nano'], currency)} {currency}"]
    if model == "package":
        parts[0] += f" for each begun {row['package_micro'] / 10**6:,g}"
    if row["fee_nano"] is not None:
        parts.append(f"and {unit_price(row['fee_nano'], currency)} each")
    if row["included_micro"]:
        parts.append(f"{row['included_micro'] / 10**6:,g} included")
    if row["free_count"] is not None:
        parts.append(f"the first {row['free_count']:,} free")
    for word, name in (("free up to", "free_minor"), ("each at least", "each_least_minor"), ("each at most", "each_most_minor")):
        if row[name] is not None:
            parts.append(f"{word} {format_amount(row[name], currency)}")
    return ", ".join(parts)


def _row(row: dict[str, Any], currency: str) -> str:
    """A row of a price in words: a tier, a share of one, or what holds by properties or limits."""
    edge = row["up_to"] if row.get("up_to") is not None else (row["up_to_micro"] / 10**6 if row.get("up_to_micro") else None)
    if row.get("when") is not None:
        where = f"for {' and '.join(row['when']) or 'all else'}"
    else:
        where = "beyond" if edge is None else f"up to {edge:,g}"
    price = (
        f"{row['share_ppm'] / 10_000:g} %" if row.get("share_ppm") is not None else unit_price(row["unit_price_nano"], currency)
    )
    fee = f" and {format_amount(row['flat_fee_minor'], currency)}" if row.get("flat_fee_minor") else ""
    return f"{price}{fee} {where}"


def _step(step: dict[str, Any], currency: str) -> str:
    """A step of an amount: units at a price, a tier and its fee, a cell of a matrix, transactions; or the least or most that was agreed."""
    if step.get("off"):
        return f"less {step['off']}, {format_amount(-round(step['minor']), currency)}"
    if step.get("credited") is not None:
        return f"no more is given back than credit notes of {format_amount(step['credited'], currency)} left"
    if step.get("pledged"):
        agreed, came = (format_amount(round(step[f"{name}_minor"]), currency) for name in ("bound", "used"))
        return f"at {step['pledged']} {agreed} was agreed of all that counts, {came} came together"
    if step.get("split"):
        parts = [f"{p['units']:,g} of {p['part']}" for p in step["split"]]
        return ", ".join(parts) + (f" and {step['others']:,} more" if step["others"] else "")
    if step.get("bound"):
        return f"at {step['bound']} {format_amount(round(step['minor']), currency)}"
    scale = 10 ** exponent(currency)
    most = f" ({step['most_held']:,g} held at most)" if step.get("most_held") is not None else ""
    if step.get("transactions"):
        free = f", {step['free_minor'] / scale:,g} of it free ({step['given']:,} wholly)" if step.get("free_minor") else ""
        return f"{step['transactions']:,} transactions of {step['value_minor'] / scale:,g} in all{free}, at {step['share_ppm'] / 10_000:g} %"
    parts = (
        [f"{step['units']:,g}{most} at {(step.get('unit_price_minor') or 0) / scale:g}"]
        if step.get("units") and step.get("label") != SAID
        else []
    )
    if parts and step.get("model") == "graduated_percentage":
        parts = [f"{step['units']:,g} at {step.get('unit_price_minor') or 0:g} %"]
    if parts and step.get("model") == "package" and step.get("unit_price_minor"):
        begun = round((step["minor"] - (step.get("flat_fee_minor") or 0)) / step["unit_price_minor"])
        parts = [f"{step['units']:,g} in {begun:,} x {step['unit_price_minor'] / scale:g}"]
    if step.get("label"):
        parts = [f"{step['label']}: {parts[0] if parts else format_amount(round(step.get('minor') or 0), currency)}"]
    if step.get("flat_fee_minor"):
        parts.append(f"fee {format_amount(round(step['flat_fee_minor']), currency)}")
    return ", ".join(parts) or format_amount(round(step.get("minor") or 0), currency)


def _state(found: Contract, today: date) -> str:
    return (
        "ended" if found.ends_on is not None and found.ends_on <= today else "to come" if found.starts_on > today else "running"
    )
