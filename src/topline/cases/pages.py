"""Cases: the list, a new one, and one with all its options side by side."""

from __future__ import annotations

from typing import Any

import polars as pl
from django.contrib import messages
from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.cases import actions, assumptions, queries
from topline.cases.forms import told_by
from topline.cases.models import Case
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.kernel.money import format_amount, to_major
from topline.market import queries as market
from topline.timeline import queries as timeline
from topline.ui.access import Asked, page
from topline.ui.charts import lines_chart
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

COLUMNS = [
    Column("customer__name", "Customer", sort="customer__name", link="url"), Column("state", "", "badge"), Column("debt_minor", "Debt", "money", sort="debt_minor"), Column("currency", ""),
    Column("strategy", "Strategy"), Column("opened_on", "Opened", "date", sort="opened_on"), Column("expected_on", "Expected", "date", sort="expected_on"),
    Column("received_minor", "Came", "money"), Column("closed_on", "Closed", "date", sort="closed_on"),
]  # fmt: skip
INVOICES = [Column("number", "Invoice", link="url"), Column("due_on", "Due", "date"), Column("open_minor", "When opened", "money"), Column("left_minor", "Open now", "money")]  # fmt: skip
SHOWN = 3  # options beside waiting that the chart draws


@page("cases.view")
def cases(request: Asked) -> HttpResponse:
    """All cases; what waits for approval and what is worked comes by its filter."""
    entity = company(request)
    state = listing(request.path, request.GET.dict(), columns=COLUMNS, default_sort="-opened_on", filters=["q", "state"])
    rows = queries.cases(entity.pk)
    if wanted := state.filters.get("q"):
        rows = rows.filter(customer__name__icontains=wanted)
    if state.filters.get("state"):
        rows = rows.filter(state=state.filters["state"])
    total = rows.count()
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    names = {key: spec.name for key, spec in assumptions.catalogue().items()}
    values = rows.order_by(*state.order).values(
        "id", "customer__name", "state", "debt_minor", "currency", "strategy", "opened_on", "expected_on", "received_minor", "closed_on"
    )[start:end]  # fmt: skip
    shown = [
        {**r, "url": reverse("cases:case", args=[r["id"]]), "strategy": names.get(r["strategy"], "not chosen yet")}
        for r in values
    ]
    if state.export:
        return export(shown, COLUMNS, name="cases", form=state.export)
    open_ones = rows.exclude(state=Case.State.CLOSED).values("currency").annotate(debt=Sum("debt_minor")).order_by("currency")
    context = {"list": state, "rows": shown, "total": total, "sums": list(open_ones[:20]), "states": Case.State.values}
    return render(request, "cases/cases.html", context)


@page("cases.open_case", methods=("GET", "POST"))
def new_case(request: Asked) -> HttpResponse:
    """Open a case for a customer: all that is open is ticked."""
    entity = company(request)
    asked = request.POST.get("customer") or request.GET.get("customer") or ""
    if not asked.isdigit():
        raise NotFound("Choose a customer first.", field="customer", remedy="Open the customer and press Open a case.")
    today = clock.today(entity.time_zone)
    if request.method == "POST":
        ticked = [int(n) for n in request.POST.getlist("invoice") if n.isdigit()]
        if not ticked:
            raise Invalid("No invoice is ticked.", field="invoice", remedy="Tick at least one.")
        made = actions.open_case(actor=request.actor, entity_id=entity.pk, customer_id=int(asked), on=today, invoice_ids=ticked)
        return redirect("cases:case", made)
    detail = market.customer_detail(int(asked))
    owed = queries.debtors_invoices(entity_id=entity.pk, customer_id=detail.customer.pk, as_of=today)
    context = {
        "customer": detail.customer,
        "rows": owed.head(200).to_dicts(),
        "sums": owed.group_by("currency").agg(pl.col("open_minor").sum()).sort("currency").to_dicts(),
    }
    return render(request, "cases/new.html", context)


@page("cases.view")
def case(request: Asked, case_id: int) -> HttpResponse:
    """One case: the recommendation with its reasons, every option side by side, the assumptions behind them, the steps."""
    return _case_page(request, queries.case(case_id))


@page("cases.set_assumptions", methods=("POST",))
def set_assumptions(request: Asked, case_id: int) -> HttpResponse:
    """Keep changed assumptions and weigh anew; one that cannot be is said above the form, which keeps what was typed."""
    found = queries.case(case_id)
    try:
        told: dict[str, Any] = {} if "reset" in request.POST else told_by(request.POST.dict(), _standing_values(found))
        actions.set_assumptions(actor=request.actor, case_id=case_id, told=told)
    except DomainError as error:
        return _case_page(request, found, refused=error, typed=request.POST.dict())
    messages.success(request, "Weighed anew.")
    return redirect(reverse("cases:case", args=[case_id]) + "#options")


@page("cases.choose_strategy", methods=("POST",))
def choose(request: Asked, case_id: int) -> HttpResponse:
    """Choose the strategy; what needs approval waits for a second person."""
    found = queries.case(case_id)
    today = clock.today(found.entity.time_zone)
    actions.choose_strategy(actor=request.actor, case_id=case_id, option=request.POST.get("option", ""), on=today)
    waits = queries.case(case_id).state == Case.State.WAITING
    messages.success(request, "It waits for a second person." if waits else "The steps are with their owners.")
    return redirect("cases:case", case_id)


@page("cases.approve_strategy", methods=("POST",))
def approve(request: Asked, case_id: int) -> HttpResponse:
    """A second person agrees."""
    today = clock.today(queries.case(case_id).entity.time_zone)
    actions.approve_strategy(actor=request.actor, case_id=case_id, on=today)
    messages.success(request, "Approved; the steps are with their owners.")
    return redirect("cases:case", case_id)


@page("cases.refuse_strategy", methods=("POST",))
def refuse(request: Asked, case_id: int) -> HttpResponse:
    """A second person does not agree, and says why."""
    today = clock.today(queries.case(case_id).entity.time_zone)
    actions.refuse_strategy(actor=request.actor, case_id=case_id, on=today, reason=request.POST.get("reason", ""))
    messages.success(request, "Refused; the case is open again.")
    return redirect("cases:case", case_id)


@page("cases.close_case", methods=("POST",))
def close(request: Asked, case_id: int) -> HttpResponse:
    """End the case; what came is read from the books."""
    today = clock.today(queries.case(case_id).entity.time_zone)
    actions.close_case(actor=request.actor, case_id=case_id, on=today, note=request.POST.get("note", ""))
    messages.success(request, "Closed; its outcome is kept.")
    return redirect("cases:case", case_id)


def _case_page(
    request: Asked, found: Case, *, refused: DomainError | None = None, typed: dict[str, str] | None = None
) -> HttpResponse:
    as_of = clock.today(found.entity.time_zone) if found.closed_on is None else found.closed_on
    mine = queries.invoices_of(found.pk)
    weighed = queries.evaluate(found, as_of=as_of) if found.state != Case.State.CLOSED else None
    came, last = queries.received(found.pk, since=found.chosen_on or found.opened_on)
    context = {
        "case": found, "as_of": as_of, "weighed": weighed, "refused": refused, "typed": typed or {}, "came": came, "came_on": last, "home": found.entity.currency,
        "invoices": [{**r, "currency": found.currency, "url": reverse("billing:invoice", args=[r["invoice_id"]])} for r in mine.head(200).to_dicts()],
        "invoice_columns": INVOICES, "left": int(mine["left_minor"].sum()), "steps": queries.steps_of(found.pk), "holds": queries.holds(found), "chart": _chart(weighed) if weighed else None,
        "editable": assumptions.EDITABLE, "settings": assumptions.SETTINGS, "settings_now": assumptions.settings_of(found.assumptions),
        "settings_source": assumptions.settings_source(), "facts": assumptions.FACTS, "facts_now": assumptions.facts_of(found.assumptions),
        "strategy": assumptions.catalogue()[found.strategy] if found.strategy else None, "names": {s.key: s.name for s in assumptions.catalogue().values()},
        "spine": [{**m, "url": ""} for m in timeline.milestones(subject=("case", found.pk), limit=50).to_dicts()],
    }  # fmt: skip
    return render(request, "cases/case.html", context, status=refused.status if refused and not request.htmx else 200)


def _standing_values(found: Case) -> dict[str, dict[str, Any]]:
    """What stood in the fields of the options before they were changed, own changes left out."""
    weighed = queries.evaluate(found, as_of=clock.today(found.entity.time_zone))
    changed = found.assumptions.get("options", {})
    return {
        row.spec.key: {name: value for name, value in row.values.items() if name not in changed.get(row.spec.key, {})}
        for row in weighed.rows
    }


def _chart(weighed: queries.Evaluation) -> Any:
    """Expected cash by day of waiting and the options worth most, in major units, the day it is needed dashed."""
    lines = {row.label: row for row in (weighed.waiting, *(r for r in weighed.best if r is not weighed.waiting))}
    chosen = list(lines.items())[: SHOWN + 1]
    rows = [
        {
            "day": day,
            **{label: float(to_major(row.curve[n], weighed.currency)) for label, row in chosen},
            **{f"{label} shown": format_amount(row.curve[n], weighed.currency) for label, row in chosen},
        }
        for n, day in enumerate(weighed.days)
    ]
    labels = [label for label, _ in chosen]
    return lines_chart(
        rows, x="day", series=labels, title="Expected cash by day", y_title=weighed.currency, marks=[{"day": weighed.need_on}],
        shown={label: f"{label} shown" for label in labels},
    )  # fmt: skip
