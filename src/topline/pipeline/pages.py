"""The pipeline's pages: the list that filters, one deal with its verbs, the board."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.catalog import queries as catalog
from topline.engine.proportions import chance_words
from topline.engine.sales.hygiene import FLAGS
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.kernel.money import format_amount
from topline.market import competitors
from topline.market import queries as market
from topline.market.models import Contact
from topline.pipeline import actions, around, chances, figures, machine, queries
from topline.pipeline.forms import ChangeForm, DealForm, LoseForm, WinForm
from topline.pipeline.models import Category, DealContact, Opportunity, OpportunityChange, Rep
from topline.team import queries as team
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.charts import Chart, bar_chart
from topline.ui.export import MAX_ROWS, export
from topline.ui.format import day as day_in_words
from topline.ui.tables import Column, listing

STATES = {"": "open", "won": "won", "lost": "lost", "closed": "won or lost", "all": "all"}
EQUAL = [
    "stage",
    "category",
    "rep",
    "team",
    "product",
    "segment",
    "region",
    "source",
    "close_month",
    "month",
    "quarter",
    "competitor",
    "loss_reason",
    "business",
]
FILTERS = ["q", "state", "currency", "flag", "since", "until", "as_of", "by", *EQUAL]
LIST = [
    Column("number", "Number", "code", sort="number", link="url"), Column("name", "Deal", sort="name", link="url"), Column("customer", "Customer", sort="customer", link="customer_url"),
    Column("rep", "Owner", sort="rep"), Column("stage_name", "Stage", sort="position"), Column("category", "Category", "badge", sort="category"),
    Column("value_minor", "Value", "money", sort="value_minor"), Column("currency", ""), Column("close_on", "Closes", "date", sort="close_on"),
    Column("closed_on", "Closed", "date", sort="closed_on"), Column("next_step", "Next step"), Column("flags", "To mend, moved", "sentence"),
]  # fmt: skip
NARROWED = {"team": "Team", "rep": "Owner", "product": "Product", "segment": "Segment", "region": "Region", "source": "Source"}
WEEK = timedelta(days=7)
MOVES = ("stage", "amount", "close_on", "category")  # what an inspection asks about
BOARD_CARDS = 40  # of a stage; the list has the others
SHORT = {
    "stale": "stale",
    "pushed": "pushed",
    "past": "past its day",
    "no_close": "no day",
    "no_next_step": "no next step",
    "list_amount": "list price",
}


@page("pipeline.view")
def deals(request: Asked) -> HttpResponse:
    """Deals as of a day; tiles and filters narrow the list, and the address is the whole state."""
    entity = company(request)
    as_of = day_asked(request, entity)
    state = listing(request.path, request.GET.dict(), columns=LIST, default_sort="-value_minor", filters=FILTERS)
    book = figures.book(entity_id=entity.pk, as_of=as_of)
    found = narrowed(book, state.filters)
    rows = found.sort(state.sort.lstrip("-"), "opportunity_id", descending=[state.sort.startswith("-"), False], nulls_last=True)
    start, size = (0, MAX_ROWS) if state.export else (state.offset, state.size)
    shown = [_shown(row) for row in rows.slice(start, size).to_dicts()]
    if not state.export:
        _with_moves(shown, as_of)
    if state.export:
        return export(shown, LIST, name=f"pipeline-{as_of}", form=state.export)
    one_currency = {"currency"} if len(figures.currencies(book)) == 1 else set()
    hidden = one_currency | {"closed_on"} if not state.filters.get("state") else one_currency | {"close_on", "next_step", "flags"}
    everything = narrowed(
        book, {k: v for k, v in state.filters.items() if k in ("currency", "rep", "team", "product", "segment", "region")}
    )
    currencies = figures.currencies(book)
    currency = state.filters.get("currency") or next(iter(currencies), entity.currency)
    by = state.filters.get("by", "stage")
    open_ones = everything.filter(pl.col("state") == "open")
    context = {
        "list": listing(request.path, request.GET.dict(), columns=[c for c in LIST if c.key not in hidden], default_sort="-value_minor", filters=FILTERS),
        "rows": shown, "total": found.height, "as_of": as_of, "entity": entity, "currency": currency, "currencies": currencies, "states": STATES, "by": by,
        "summaries": figures.SUMMARIES, "summary": figures.summary(everything, by=by, currency=currency), "categories": figures.summary(everything, by="category", currency=currency),
        "flags": [(key, SHORT[key], words, int(open_ones[key].sum())) for key, words in FLAGS.items()],
        "sums": found.group_by("currency").agg(pl.col("value_minor").sum(), pl.col("value_minor").null_count().alias("unknown")).sort("currency").to_dicts(),
        "choices": choices(book),
        "stages": queries.stages().to_dicts(), "carried": carried(state.filters),
        "labels": {c.value: c.label.lower() for c in Category},
    }  # fmt: skip
    return render(request, "pipeline/deals.html", context)


@page("pipeline.view")
def board(request: Asked) -> HttpResponse:
    """One column per open stage, the largest deals first, under the same filters as the list; a card is dragged, or moved by its keys."""
    entity = company(request)
    as_of = day_asked(request, entity)
    filters = {k: v for k, v in request.GET.dict().items() if k in FILTERS and v}
    book = figures.book(entity_id=entity.pk, as_of=as_of)
    found = narrowed(book, {**filters, "state": ""})
    columns: list[dict[str, Any]] = []
    for step in queries.stages().filter(pl.col("kind") == "open").to_dicts():
        mine = found.filter(pl.col("stage") == step["key"]).sort(
            "value_minor", "opportunity_id", descending=[True, False], nulls_last=True
        )
        sums = mine.group_by("currency").agg(pl.col("value_minor").sum()).sort("currency").to_dicts()
        columns.append(
            {**step, "count": mine.height, "sums": sums, "cards": [_shown(row) for row in mine.head(BOARD_CARDS).to_dicts()]}
        )
    may = as_of == clock.today(entity.time_zone) and request.actor.may("pipeline.change_opportunity")
    own = (
        Rep.objects.filter(member_id=request.actor.member_id).values_list("id", flat=True).first()
        if may and request.actor.member_id
        else None
    )
    for card in (card for column in columns for card in column["cards"]):
        card["may"] = may and (request.actor.may(actions.ANY_DEAL) or card["rep_id"] == own)
    context = {
        "columns": columns, "as_of": as_of, "carried": carried(filters), "filters": filters, "limit": BOARD_CARDS, "list": listing(request.path, request.GET.dict(), columns=LIST, default_sort="-value_minor", filters=FILTERS),
        "choices": choices(book), "beside": [f"{k.replace('_', ' ')} {v}" for k, v in filters.items() if k not in {*NARROWED, "q", "state", "by"}], "all_of": {c["key"]: reverse("pipeline:deals") + carried({**filters, "stage": c["key"]}) for c in columns},
    }  # fmt: skip
    return render(request, "pipeline/board.html", context)


@page("pipeline.change_opportunity", methods=("POST",))
def move(request: Asked, opportunity_id: int) -> HttpResponse:
    """A card of the board goes to another stage."""
    deal = _deal(opportunity_id)
    on = clock.today(deal.entity.time_zone)
    actions.change_opportunity(
        actor=request.actor, opportunity_id=deal.pk, changes={"stage": request.POST.get("stage", "")}, on=on
    )
    messages.success(request, f"{deal.number} moved.")
    query = urlencode({k: v for k, v in request.GET.items() if k in FILTERS})
    return redirect(reverse("pipeline:board") + (f"?{query}" if query else ""))


@page("pipeline.view")
def deal(request: Asked, opportunity_id: int) -> HttpResponse:
    """One deal: what it is worth and why, its lines, every change, and what to do about it."""
    found = _deal(opportunity_id)
    today = clock.today(found.entity.time_zone)
    listed = queries.list_values(entity_id=found.entity_id, on=today).filter(pl.col("opportunity_id") == found.pk)
    names = dict(Rep.objects.values_list("id", "name"))
    who = team.actor_names(list({c.actor_key for c in found.changes.all()[:500]}))
    history = [
        {"field": FIELDS.get(c.field, c.field.replace("_", " ")), "before": _told(c.field, c.before, names, found.currency), "after": _told(c.field, c.after, names, found.currency), "on": c.effective_on,
         "who": who[c.actor_key]}
        for c in found.changes.order_by("-effective_on", "-id")[:200]
    ]  # fmt: skip
    lines = [
        {"product": line.product.name, "url": reverse("catalog:product", args=[line.product_id]), "quantity": f"{Decimal(line.quantity_micro).scaleb(-6).normalize():f}", "amount_minor": line.amount_minor, "currency": found.currency}
        for line in found.lines.filter(removed_on__isnull=True).select_related("product").order_by("id")[:100]
    ]  # fmt: skip
    verbs = _verbs(request, found, today)
    chance = chances.chance(deal=found, as_of=today)
    context = {
        "chance": chance, "weeks": _weeks(chance), "words": chance_words, "fewest": chances.FEWEST, "least": machine.FEWEST,
        "deal": found, "lines": lines, "history": history, "today": today, "list_minor": listed["list_minor"][0] if listed.height else None, "verbs": verbs,
        "columns": [Column("product", "Product", link="url"), Column("quantity", "Quantity"), *([Column("amount_minor", "Amount", "money")] if any(line["amount_minor"] is not None for line in lines) else [])],
        "category": Category(found.category).label.lower(), "people": around.contact_roles(found.pk), "rivals": (met := around.rivals(found.pk)), "rival_ids": {r.competitor_id for r in met},
        "contacts": list(Contact.objects.filter(customer_id=found.customer_id).order_by("name")[:50]) if found.customer_id else [], "roles": DealContact.Role.choices,
        "competitors": list(competitors.competitors().order_by("name")[:around.MAX_RIVALS]), "may_lines": bool(verbs) and found.state == "open" and request.actor.may("pipeline.set_deal_lines"),
    }  # fmt: skip
    return render(request, "pipeline/deal.html", context)


def _weeks(chance: chances.Chance | None) -> Chart | None:
    """The chance to be won in each week ahead; nothing where all of them together come to less than one of a hundred."""
    if chance is None or sum(bp for _, bp in chance.weeks) < machine.BP // 100:
        return None
    rows = [
        {"week": day_in_words(day)[:-5], "percent": bp * 100 / machine.BP, "shown": f"{bp * 100 / machine.BP:.1f} %"}
        for day, bp in chance.weeks
    ]
    return bar_chart(
        rows, x="week", y="percent", title="Chance to be won in the week from", y_title="%", shown="shown", height=120
    )


@page("pipeline.add_opportunities", methods=("GET", "POST"))
def new(request: Asked) -> HttpResponse:
    """Add a deal by hand."""
    entity = company(request)
    mine = Rep.objects.filter(member_id=request.actor.member_id).first() if request.actor.member_id else None
    form = DealForm(request.POST or None, initial={"currency": entity.currency, "rep_id": mine.pk if mine else None})
    if form.is_valid():
        try:
            made = _add(request, form)
        except DomainError as error:
            blame(form, error, AMOUNT)
        else:
            if made is not None:
                messages.success(request, "The deal is in the pipeline.")
                return redirect("pipeline:deal", made)
    context = {"form": form, "title": "New deal", "back": ("Pipeline", reverse("pipeline:deals"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("pipeline.change_opportunity", methods=("GET", "POST"))
def change(request: Asked, opportunity_id: int) -> HttpResponse:
    """Move a deal, or change its category, amount, day, owner or next step."""
    return _act(request, opportunity_id, "change")


@page("pipeline.win_opportunity", methods=("GET", "POST"))
def win(request: Asked, opportunity_id: int) -> HttpResponse:
    """The customer said yes."""
    return _act(request, opportunity_id, "win")


@page("pipeline.lose_opportunity", methods=("GET", "POST"))
def lose(request: Asked, opportunity_id: int) -> HttpResponse:
    """The customer said no."""
    return _act(request, opportunity_id, "lose")


def narrowed(book: pl.DataFrame, filters: Mapping[str, str]) -> pl.DataFrame:
    """The deals of a book that fit the filters of an address; open ones unless it says otherwise. Raises: Invalid."""
    state = filters.get("state", "")
    if state not in STATES:
        raise Invalid(f"There is no state {state!r}.", field="state", remedy=f"Use one of {', '.join(filter(None, STATES))}.")
    found = book
    if state != "all":
        found = found.filter(pl.col("state").is_in(["won", "lost"] if state == "closed" else [state or "open"]))
    for name in EQUAL:
        if wanted := filters.get(name):
            found = found.filter(pl.col(name).fill_null("") == ("" if wanted == "none" else wanted))
    if wanted := filters.get("currency"):
        found = found.filter(pl.col("currency") == wanted)
    if wanted := filters.get("flag"):
        if wanted not in FLAGS:
            raise Invalid(f"There is no flag {wanted!r}.", field="flag", remedy=f"Use one of {', '.join(FLAGS)}.")
        found = found.filter(pl.col(wanted))
    for name, keeps in (("since", pl.col("closed_on").__ge__), ("until", pl.col("closed_on").__lt__)):
        if wanted := filters.get(name):
            found = found.filter(keeps(day_of(wanted, name)))
    if wanted := filters.get("q"):
        text = wanted.lower()
        fits = [pl.col(c).str.to_lowercase().str.contains(text, literal=True) for c in ("name", "customer", "number")]
        found = found.filter(pl.any_horizontal(fits))
    return found


def day_of(text: str, field: str) -> date:
    """A day in an address. Raises: Invalid."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no day.", field=field, remedy="Write it as 2026-01-31.") from error


def _with_moves(rows: list[dict[str, Any]], as_of: date) -> None:
    """What changed about the rows of a page in the week up to a day, as what it was. One statement."""
    wanted = {row["opportunity_id"]: row for row in rows}
    past = OpportunityChange.objects.filter(
        opportunity_id__in=list(wanted), field__in=list(MOVES), effective_on__gt=as_of - WEEK, effective_on__lte=as_of
    )
    was: dict[int, dict[str, str]] = {}
    for pk, field, before in past.order_by("effective_on", "id").values_list("opportunity_id", "field", "before"):
        was.setdefault(pk, {}).setdefault(field, before)
    for pk, row in wanted.items():
        moved = "; ".join(told for field, before in was.get(pk, {}).items() if (told := _moved(field, before, row)))
        row["flags"] = ". ".join(filter(None, (row["flags"], moved)))


def _moved(field: str, before: str, row: Mapping[str, Any]) -> str:
    """One fact of a deal as it was a week before, with an arrow where it has a direction; empty where it is what it was."""
    if field == "stage":
        return f"in {before.replace('-', ' ')} before" if before and before != row["stage"] else "" if before else "new"
    if field == "category":
        return f"{before.replace('_', ' ')} before" if before and before != row["category"] else ""
    if field == "amount":
        now = row["amount_minor"]
        if not before or now is None or int(before) == now:
            return ""
        return f"{'▲' if now > int(before) else '▼'} from {format_amount(int(before), row['currency'])}"
    if not before or row["close_on"] is None or before == row["close_on"].isoformat():
        return ""
    return f"{'later' if before < row['close_on'].isoformat() else 'earlier'} than {day_in_words(date.fromisoformat(before))}"


def choices(book: pl.DataFrame) -> dict[str, tuple[str, list[str]]]:
    """What list and board may be narrowed by: name to label and values."""
    return {name: (label, sorted(x for x in book[name].drop_nulls().unique().to_list() if x)) for name, label in NARROWED.items()}


def carried(filters: Mapping[str, str]) -> str:
    """The filters as the query of another view of the same deals."""
    query = urlencode({k: v for k, v in filters.items() if v and k != "by"})
    return f"?{query}" if query else ""


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    flags = [SHORT[key] for key in FLAGS if row[key] and row["state"] == "open"]
    return {
        **row, "url": reverse("pipeline:deal", args=[row["opportunity_id"]]), "flags": ", ".join(flags),
        "customer_url": reverse("web:customer", args=[row["customer_id"]]) if row["customer_id"] else "",
    }  # fmt: skip


def _deal(opportunity_id: int) -> Opportunity:
    found = (
        Opportunity.objects.select_related("customer", "rep", "stage", "entity")
        .filter(pk=opportunity_id, is_withdrawn=False)
        .first()
    )
    if found is None:
        raise NotFound(f"There is no deal {opportunity_id}.", field="opportunity_id", remedy="Look for it in the pipeline.")
    return found


def _told(field: str, text: str, names: Mapping[int, str], currency: str) -> str:
    """A value of the history as people read it."""
    if not text:
        return "none"
    if field == "amount":
        return f"{format_amount(int(text), currency)} {currency}"
    if field == "close_on":
        return day_in_words(date.fromisoformat(text))
    return names.get(int(text), text) if field == "rep" else text.replace("_", " ") if field == "category" else text


FIELDS = {"rep": "owner", "close_on": "expected to close"}
AMOUNT = {"amount_minor": "amount"}  # what the verbs call a field of the forms
LABELS = {"change": ("c", "Change", "Save"), "win": ("w", "Won", "Won"), "lose": ("l", "Lost", "Lost")}


def _form(name: str, deal: Opportunity, today: date, data: Any = None) -> forms.Form:
    if name == "change":
        return ChangeForm(data, deal=deal, auto_id="change_%s")
    amount = "" if deal.amount_minor is None else format_amount(deal.amount_minor, deal.currency)
    kind = WinForm if name == "win" else LoseForm
    named = [r.competitor.name for r in around.rivals(deal.pk)] if name == "lose" else []
    return kind(
        data, initial={"on": today, "amount": amount, "competitor": named[0] if len(named) == 1 else ""}, auto_id=f"{name}_%s"
    )


def _verbs(request: Asked, deal: Opportunity, today: date) -> list[dict[str, Any]]:
    """What the actor may do about the deal, each with its form; a closed one is only opened again."""
    may_change = request.actor.may(actions.ANY_DEAL) or (
        request.actor.member_id is not None and deal.rep.member_id == request.actor.member_id
    )
    names = [*LABELS] if deal.state == "open" else ["change"]
    found = []
    for name in names if may_change and request.actor.may("pipeline.change_opportunity") else []:
        key, label, button = LABELS[name]
        if deal.state != "open":
            label, button = "Open again", "Open again"
        found.append({"name": name, "key": key, "label": label, "button": button, "form": _form(name, deal, today)})
    return found


def _act(request: Asked, opportunity_id: int, name: str) -> HttpResponse:
    found = _deal(opportunity_id)
    today = clock.today(found.entity.time_zone)
    form = _form(name, found, today, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and form.cleaned_data.get("on", today) > today:
        form.add_error("on", "That day has not come yet. Say the day on which the customer decided.")
    if form.is_bound and form.is_valid():
        try:
            said = _do(request, found, form, today)
        except DomainError as error:
            blame(form, error, AMOUNT)
        else:
            if said:
                messages.success(request, f"{found.number}: {said}")
                return redirect("pipeline:deal", found.pk)
    back = (found.name, reverse("pipeline:deal", args=[found.pk]))
    context = {"form": form, "title": f"{LABELS[name][1]}: {found.name}", "back": back}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


def _do(request: Asked, deal: Opportunity, form: forms.Form, today: date) -> str:
    """Carry out the form's verb; returns what was done in a word, empty where the form is not right yet."""
    told: dict[str, Any] = {"actor": request.actor, "opportunity_id": deal.pk}
    if isinstance(form, ChangeForm):
        changes = form.changes()
        if form.errors:
            return ""
        if deal.state != "open":
            changes.setdefault("stage", form.cleaned_data["stage"])
            changes.pop("category", None)
        if changes:
            actions.change_opportunity(**told, changes=changes, on=today)
        return "changed." if changes else "nothing was changed."
    if isinstance(form, WinForm):
        amount = form.money(deal.currency)
        if form.errors:
            return ""
        actions.win_opportunity(**told, on=form.cleaned_data["on"], amount_minor=amount, said_by=form.cleaned_data["said_by"])
        return "won."
    actions.lose_opportunity(**told, **form.cleaned_data)
    return "lost."


def _add(request: Asked, form: DealForm) -> int | None:
    """Add the deal of a form; None where a field does not fit."""
    entity, said = company(request), form.cleaned_data
    amount = form.money(said["currency"])
    customer = market.find(pl.Series([said["customer"]]))["customer_id"][0] if said["customer"] else None
    product = catalog.find(pl.Series([said["product"]]))["product_id"][0] if said["product"] else None
    if said["customer"] and customer is None:
        form.add_error("customer", "There is no such customer, or more than one. Add the customer first.")
    if said["product"] and product is None:
        form.add_error("product", "There is no such product. Add it to the catalog first.")
    if form.errors:
        return None
    today = clock.today(entity.time_zone)
    row = {
        "ref": "1", "name": said["name"], "rep_id": said["rep_id"], "stage": said["stage"], "currency": said["currency"], "customer_id": customer, "amount_minor": amount,
        "opened_on": today, "close_on": said["close_on"], "next_step": said["next_step"], "source": said["source"],
    }  # fmt: skip
    schema = {"customer_id": pl.Int64, "amount_minor": pl.Int64, "opened_on": pl.Date, "close_on": pl.Date}
    lines = pl.DataFrame({"ref": ["1"], "product_id": [product]}) if product is not None else None
    made = actions.add_opportunities(
        actor=request.actor,
        entity_id=entity.pk,
        opportunities=pl.DataFrame([row], schema_overrides=schema),
        lines=lines,
        known_on=today,
    )
    return int(made["opportunity_id"][0])
