"""The pages of the lifecycle: where customers stand, what cohorts keep, what customers are still worth, who earns us money."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.engine.lifecycle import PARTS, STAGES
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid
from topline.kernel.money import parse_amount
from topline.lifecycle import actions, margin, queries, value
from topline.market import queries as market
from topline.pipeline.pages import day_of
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.charts import bar_chart
from topline.ui.export import MAX_ROWS, export
from topline.ui.format import day as format_day
from topline.ui.format import money, percent
from topline.ui.tables import Column, listing

DAY = forms.DateInput(attrs={"type": "date"})
YEAR = timedelta(days=365)
COHORTS = 12  # shown; older ones are in the download
SHOWN = 200
LIST = [
    Column("number", "Number", "code", sort="number", link="url"), Column("name", "Customer", sort="name", link="url"), Column("segment", "Segment", sort="segment"), Column("owner", "Owner", sort="owner"),
    Column("stage_words", "Stage", "badge", sort="stage"), Column("health", "Health", "decimal", sort="health"), Column("because", "Because", "sentence"), Column("last_on", "Bought last", "date", sort="last_on"),
    Column("year_minor", "Sales of a year", "money", sort="year_minor"), Column("currency", ""),
]  # fmt: skip
VALUES = [
    Column("name", "Customer", link="url"), Column("segment", "Segment"), Column("alive", "Still there"), Column("purchases", "Purchases to come", "decimal"), Column("value_minor", "Worth", "money"),
    Column("p10_minor", "P10", "money"), Column("p90_minor", "P90", "money"), Column("currency", ""),
]  # fmt: skip
MARGINS = [
    Column("name", "Group", link="url"), Column("deals", "Deals", "integer"), Column("realised_minor", "Price realised", "money"), Column("off_minor", "Terms, fees, lateness", "money"), Column("known_minor", "Cost known of", "money"), Column("cost_minor", "Cost", "money"),
    Column("serve_minor", "To serve", "money"), Column("margin_minor", "Margin", "money"), Column("share", "Of price"), Column("currency", ""),
]  # fmt: skip


class StageForm(forms.Form):
    """Where somebody says that a customer stands."""

    stage = forms.ChoiceField(choices=[("", "as computed"), *((s, queries.WORDS[s]) for s in STAGES)], required=False)
    because = forms.CharField(max_length=300)
    until = forms.DateField(required=False, widget=DAY, help_text="the last day on which it counts; empty: until it is changed")


class ServeCostForm(forms.Form):
    """What serving costs."""

    contact = forms.CharField(max_length=30, label="A contact", help_text="a call, a visit, a reminder")
    ticket = forms.CharField(max_length=30, label="A ticket")
    valid_from = forms.DateField(label="From", widget=DAY)


@page("lifecycle.view")
def customers(request: Asked) -> HttpResponse:
    """Where every customer stands, those in trouble first."""
    entity = company(request)
    as_of = day_asked(request, entity)
    state = listing(
        request.path, request.GET.dict(), columns=LIST, default_sort="health", filters=["q", "stage", "segment", "as_of"]
    )
    found = queries.standings(entity_id=entity.pk, as_of=as_of)
    stage, segment, text = (state.filters.get(name, "") for name in ("stage", "segment", "q"))
    if stage and stage not in STAGES:
        raise Invalid(f"There is no stage {stage!r}.", field="stage", remedy=f"Use one of {', '.join(STAGES)}.")
    if segment:
        found = found.filter(pl.col("segment") == segment)
    if text:
        found = found.filter(
            pl.col("name").str.to_lowercase().str.contains(text.lower(), literal=True) | (pl.col("number") == text)
        )
    counts = dict(found.group_by("stage").len().iter_rows())
    shown = found.filter(pl.col("stage") == stage) if stage else found
    shown = shown.sort(state.sort.lstrip("-"), "customer_id", descending=[state.sort.startswith("-"), False], nulls_last=True)
    start, size = (0, MAX_ROWS) if state.export else (state.offset, state.size)
    rows = [
        {**r, "url": reverse("web:customer", args=[r["customer_id"]]), "stage_words": queries.WORDS[r["stage"]] + (" (by hand)" if r["is_override"] else ""), "currency": entity.currency}
        for r in shown.slice(start, size).to_dicts()
    ]  # fmt: skip
    if state.export:
        return export(rows, LIST, name="lifecycle", form=state.export)
    tiles = [
        {"label": queries.WORDS[s], "count": counts.get(s, 0), "url": state.url(stage="" if s == stage else s, page=""), "on": s == stage, "tone": {"at_risk": "warn", "churned": "bad"}.get(s, "")}
        for s in STAGES
    ]  # fmt: skip
    context = {
        "list": state,
        "rows": rows,
        "total": shown.height,
        "tiles": tiles,
        "stage": stage,
        "segments": queries.segments(),
        "as_of": as_of,
    }
    return render(request, "lifecycle/customers.html", context)


@page("lifecycle.set_stage", methods=("GET", "POST"))
def set_stage(request: Asked, customer_id: int) -> HttpResponse:
    """Say where a customer stands."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    found = market.customer_detail(customer_id).customer
    now = queries.standing(entity_id=entity.pk, customer_id=found.pk, as_of=today)
    form = StageForm(request.POST or None, initial={"stage": now.stage if now.is_override else ""})
    if form.is_valid():
        try:
            actions.set_stage(actor=request.actor, customer_id=found.pk, on=today, **form.cleaned_data)
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, f"Where {found.name} stands is said.")
            return redirect("web:customer", found.pk)
    computed = queries.WORDS[now.computed].lower()
    context = {
        "form": form,
        "title": f"Stage of {found.name}",
        "back": (found.name, reverse("web:customer", args=[found.pk])),
        "what": f"Computed: {computed}",
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("lifecycle.view")
def cohorts(request: Asked) -> HttpResponse:
    """What each cohort of customers keeps, in customers and in sales."""
    entity = company(request)
    as_of = day_asked(request, entity)
    every, segment, what = (
        request.GET.get(name, default) for name, default in (("every", "quarter"), ("segment", ""), ("show", "customers"))
    )
    if what not in ("customers", "sales"):
        raise Invalid(f"Cohorts have no {what!r}.", field="show", remedy="Use customers or sales.")
    told = queries.retention(entity_id=entity.pk, as_of=as_of, every=every, segment=segment)  # type: ignore[arg-type]  # refused by name
    field, base = ("share", "customers") if what == "customers" else ("kept", "sales_minor")
    if request.GET.get("export"):
        columns = [Column("cohort", "Cohort", "date"), Column("age", "Age", "integer"), Column("customers", "Customers", "integer"), Column("active", "Active", "integer"), Column("share", "Share"), Column("sales_minor", "Sales", "money"), Column("kept", "Kept"), Column("currency", "Currency")]  # fmt: skip
        return export(
            [{**r, "currency": entity.currency} for r in told.to_dicts()], columns, name="cohorts", form=request.GET["export"]
        )
    last = told["cohort"].unique().sort().tail(COHORTS)
    shown = told.filter(pl.col("cohort").is_in(last.implode()))
    ages = list(range(int(shown["age"].max()) + 1)) if shown.height else []  # type: ignore[arg-type]
    rows = []
    for (cohort,), cells in shown.group_by("cohort", maintain_order=True):
        by_age = dict(cells.select("age", field).iter_rows())
        first = cells.row(0, named=True)
        size = first["customers"] if what == "customers" else money(first["sales_minor"], entity.currency)
        rows.append({"cohort": _period(cohort, every), "size": size, **{f"a{age}": percent(by_age[age], 0) if by_age.get(age) is not None else ("" if age not in by_age else "–") for age in ages}})  # fmt: skip
    columns = [Column("cohort", "Cohort"), Column("size", "Customers" if what == "customers" else f"Sales, {entity.currency}", "integer" if what == "customers" else "text"), *(Column(f"a{age}", str(age), "text") for age in ages)]  # fmt: skip
    whole = shown.group_by("age").agg(kept=pl.col("active" if what == "customers" else "sales_minor").sum()).sort("age")
    at_start = {
        age: int(
            shown.filter(pl.col("cohort").is_in(shown.filter(pl.col("age") == age)["cohort"].implode()) & (pl.col("age") == 0))[
                base
            ].sum()
        )
        for age in ages
    }
    line = [{"age": str(age), "share": kept / at_start[age]} for age, kept in whole.iter_rows() if at_start[age] > 0]
    context = {
        "rows": rows, "columns": columns, "every": every, "segment": segment, "show": what, "segments": queries.segments(), "as_of": as_of, "line": line,
        "chart": retention_chart(line, every),
    }  # fmt: skip
    return render(request, "lifecycle/cohorts.html", context)


@page("lifecycle.view")
def worth(request: Asked) -> HttpResponse:
    """What each customer is still worth over a year."""
    entity = company(request)
    as_of = day_asked(request, entity)
    found = value.value(entity=entity, as_of=as_of)
    rows = [
        {**r, "url": reverse("web:customer", args=[r["customer_id"]]), "alive": f"{min(99, max(1, round(100 * r['p_alive'])))} in 100", "currency": entity.currency}
        for r in found.rows.head(MAX_ROWS if request.GET.get("export") else SHOWN).to_dicts()
    ]  # fmt: skip
    if request.GET.get("export"):
        return export(rows, VALUES, name="customer-value", form=request.GET["export"])
    total = int(found.rows["value_minor"].sum()) if found.rows.height else 0
    context = {"found": found, "rows": rows, "columns": VALUES, "total": total, "currency": entity.currency, "as_of": as_of}
    return render(request, "lifecycle/value.html", context)


@page("lifecycle.view")
def margins(request: Asked) -> HttpResponse:
    """Who earns us money: margin of what was sold, or billed, in a span."""
    entity = company(request)
    until = _day(request, "until", clock.today(entity.time_zone))
    since = _day(request, "since", until - YEAR + timedelta(days=1))
    if since > until:
        raise Invalid("The span ends before it begins.", field="since", remedy="Correct one of the two days.")
    by = request.GET.get("by", "customer")
    of = request.GET.get("of", "sold")
    told = margin.margins(entity=entity, since=since, until=until, by=by, of=of)
    unnamed = [{**r, "share": percent(r["unnamed_minor"] / r["whole_minor"])} for r in margin.unnamed(entity=entity, since=since, until=until, of=of).to_dicts() if r["whole_minor"] > 0]  # fmt: skip
    links = {"customer": "web:customer", "deal": "pipeline:deal", "product": "catalog:product"}
    rows = [
        {**r, "share": percent(r["margin"]) if r["margin"] is not None else "cost not known",
         "url": reverse(links[by], args=[int(r["key"])]) if by in links and r["key"].isdecimal() else ""}
        for r in told.head(MAX_ROWS if request.GET.get("export") else SHOWN).to_dicts()
    ]  # fmt: skip
    columns = [Column("name", margin.BY[by], link="url"), Column("deals", "Deals" if of == "sold" else "Documents", "integer"), *[c for c in MARGINS[2:] if of == "billed" or c.key != "known_minor"]]  # fmt: skip
    if request.GET.get("export"):
        return export(rows, columns, name=f"margin-{of}-by-{by}", form=request.GET["export"])
    known = told.filter((pl.col("currency") == entity.currency) & pl.col("margin_minor").is_not_null()).with_columns(
        realised_minor="known_minor"
    )
    all_minor = int(told.filter(pl.col("currency") == entity.currency)["realised_minor"].sum())
    sums = {name: int(known[name].sum()) for name in ("realised_minor", "off_minor", "cost_minor", "serve_minor", "margin_minor")} if known.height else {}  # fmt: skip
    context = {
        "of": of, "ofs": margin.OF, "unnamed": unnamed,
        "rows": rows, "columns": columns, "by": by, "bys": margin.BY, "since": since, "until": until, "sums": sums, "currency": entity.currency, "total": told.height, "shown": SHOWN,
        "rests": percent(sums["realised_minor"] / all_minor) if sums and all_minor else "", "cost": margin.serve_cost(entity.pk, until),
    }  # fmt: skip
    return render(request, "lifecycle/margins.html", context)


@page("lifecycle.set_serve_costs", methods=("GET", "POST"))
def serve_costs(request: Asked) -> HttpResponse:
    """Say what serving costs."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    now = margin.serve_cost(entity.pk, today)
    known = (
        {"contact": money(now.contact_minor, entity.currency), "ticket": money(now.ticket_minor, entity.currency)} if now else {}
    )
    form = ServeCostForm(request.POST or None, initial={"valid_from": today if now else today.replace(month=1, day=1), **known})
    if form.is_valid():
        said = form.cleaned_data
        try:
            actions.set_serve_costs(
                actor=request.actor, entity_id=entity.pk, valid_from=said["valid_from"], contact_minor=parse_amount(said["contact"], entity.currency, field="contact"),
                ticket_minor=parse_amount(said["ticket"], entity.currency, field="ticket"),
            )  # fmt: skip
        except DomainError as error:
            blame(form, error)
        else:
            messages.success(request, "What serving costs is known from that day on.")
            return redirect("lifecycle:margins")
    context = {
        "form": form, "title": f"What serving costs, {entity.currency}", "back": ("Margin", reverse("lifecycle:margins")),
        "what": f"In force since {format_day(now.valid_from)}; what is said here holds from its day on" if now else "Nobody said it yet",
    }  # fmt: skip
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


# --- parts ---
def panel(request: Asked, customer_id: int, as_of: date) -> dict[str, Any] | None:
    """Where a customer stands, for its page; None where the reader may not see it."""
    if not request.actor.may("lifecycle.view"):
        return None
    now = queries.standing(entity_id=company(request).pk, customer_id=customer_id, as_of=as_of)
    parts = [{"label": queries.PART_WORDS[p], "weight": PARTS[p], "points": now.parts[p]} for p in PARTS]
    return {"stage": queries.WORDS[now.stage], "because": now.because, "health": now.health, "parts": parts, "is_override": now.is_override, "computed": queries.WORDS[now.computed]}  # fmt: skip


def retention_chart(line: list[dict[str, Any]], every: str) -> Any:
    """Share kept by age, of all cohorts that are old enough."""
    rows = [{**r, "percent": 100 * r["share"], "shown": percent(r["share"])} for r in line]
    return bar_chart(
        rows, x="age", y="percent", title=f"Kept, by {every}s since the first purchase", y_title="percent", shown="shown"
    )


def _period(day: date, every: str) -> str:
    return {"month": f"{day:%Y-%m}", "quarter": f"{day.year} Q{(day.month + 2) // 3}", "year": str(day.year)}[every]


def _day(request: Asked, name: str, default: date) -> date:
    text = request.GET.get(name, "")
    return day_of(text, name) if text else default
