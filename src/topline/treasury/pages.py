"""Cash: the forecast by day, week and month, payrolls, and what is planned to leave."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing.models import Invoice
from topline.books.company import company, day_asked
from topline.engine.cash import Coverage
from topline.engine.cash_paths import Range
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid
from topline.market import queries as market
from topline.treasury import actions, frozen, levers, queries
from topline.treasury import outlook as outlooks
from topline.treasury import scenarios as compared
from topline.treasury import variance as variances
from topline.treasury.charts import cash_chart
from topline.treasury.forms import AssumptionsForm, DeferralForm, OutflowForm
from topline.treasury.lever_pages import shown
from topline.ui.access import Asked, page
from topline.ui.export import export
from topline.ui.tables import Column

DECIDING = 3  # invoices that a payroll's row names
SHOWN = 15  # rows of a card that are listed; its figure lists the rest
ACCOUNT = [Column("name", "Account"), Column("opening_minor", "Opening", "money"), Column("in_minor", "In", "money"), Column("out_minor", "Out", "money"),
           Column("closing_minor", "Closing", "money"), Column("lowest_minor", "Lowest", "money"), Column("lowest_on", "On", "date"), Column("minimum_minor", "To be kept", "money")]  # fmt: skip


@page("treasury.view")
def cash(request: Asked) -> HttpResponse:
    """Opening balance, what comes in, what goes out, closing balance; each payroll with what it depends on."""
    entity = company(request)
    as_of = day_asked(request, entity)
    every = request.GET.get("every", "week")
    found = queries.forecast(entity=entity, as_of=as_of)
    periods = found.by(every).to_dicts()
    helps = levers.plan(entity=entity, as_of=as_of, plain=found)
    told = helps.outlook or frozen.told(entity=entity, as_of=as_of, plain=found)
    home = entity.currency
    at_end = {as_of + timedelta(days=r.day): r for r in told.ranges} if told else {}
    rows = [{**r, "currency": home, **_range(at_end.get(r.get("last_on", r["period"])))} for r in periods]
    columns = [Column("period", every.capitalize(), "date"), Column("opening_minor", "Opening", "money"), Column("in_minor", "In", "money"), Column("out_minor", "Out", "money"),
               Column("closing_minor", "Closing", "money"), *([] if every == "day" else [Column("lowest_minor", "Lowest", "money")]),
               *([Column("p10", "Low (P10)", "money"), Column("p50", "Middle (P50)", "money"), Column("p90", "High (P90)", "money")] if told else [])]  # fmt: skip
    if (form := request.GET.get("export", "")) in ("csv", "xlsx"):
        return export(rows, columns, name=f"cash-{as_of}", form=form)
    context = {
        "levers": shown(request, entity), "found": found, "told": told, "home": home, "every": every, "rows": rows, "columns": columns, "receipts": _largest(found, home),
        "receipt_columns": [Column("expected_on", "Expected", "date"), Column("number", "Invoice", link="url"), Column("customer", "Customer", link="customer_url"), Column("amount_minor", "Amount", "money")],
        "outflows": [{**r, "currency": home, "name": f"{r['name']} (planned on {r['payday']:%-d %b})" if r["outflow_id"] and r["payday"] != r["debit_on"] else r["name"]} for r in found.outflows.to_dicts()],
        "outflow_columns": [Column("debit_on", "Taken on", "date"), Column("name", "What"), Column("kind", "Kind"), Column("amount_minor", "Amount", "money")],
        "accounts": [{**r, "currency": home} for r in queries.by_account(entity=entity, found=found).to_dicts()], "account_columns": ACCOUNT,
        "lowest_on": as_of + timedelta(days=told.lowest.day) if told else None, "chart": cash_chart(found, told), "payrolls": _with_odds(found.payrolls, told.payrolls if told else (), helps, found), "duties": _with_odds(found.duties, told.duties if told else (), helps, found),
        "plans": queries.pay_plans(entity.pk), "planned": queries.planned_outflows(entity.pk), "deferrals": queries.deferrals(entity.pk), "form": OutflowForm(initial={"currency": home, "first_on": as_of}),
        "query": request.GET.urlencode(), "in_total": int(found.receipts["amount_minor"].sum()), "coming_total": int(found.coming["amount_minor"].sum()),
        "coming": _coming(found, home), "coming_columns": [Column("expected_on", "Expected", "date"), Column("bill_on", "Billed on", "date"), Column("customer", "Customer", link="url"), Column("amount_minor", "Amount", "money")],
    }  # fmt: skip
    return render(request, "treasury/cash.html", context)


@page("treasury.view")
def scenarios(request: Asked) -> HttpResponse:
    """What if: the futures under one change each, side by side."""
    entity = company(request)
    as_of = day_asked(request, entity)
    form = AssumptionsForm(request.GET if "slip_percent" in request.GET else None, currency=entity.currency)
    told, status = None, 200
    try:
        assumed = form.assumptions()
        told = compared.compare(entity=entity, as_of=as_of, assumed=assumed)
    except Invalid as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        status = 400
    if told and not form.is_bound:
        form = AssumptionsForm(None, currency=entity.currency, start=told.assumed)
    return render(request, "treasury/scenarios.html", {"told": told, "form": form, "as_of": as_of, "home": entity.currency, "ahead": compared.AHEAD}, status=status)  # fmt: skip


@page("treasury.view")
def variance(request: Asked) -> HttpResponse:
    """What became of a frozen forecast, by cause."""
    entity = company(request)
    as_of = day_asked(request, entity)
    days = variances.frozen_days(entity=entity, as_of=as_of)
    asked = request.GET.get("frozen_on", "")
    frozen_on = next((day for day in days if day.isoformat() == asked), variances.usual_day(days, as_of=as_of))
    found = variances.explain(entity=entity, as_of=as_of, frozen_on=frozen_on) if frozen_on else None
    names = _documents([i for c in found.causes for i in c.rows["item_id"].head(SHOWN).drop_nulls().to_list()] if found else [])
    causes = [
        {
            "said": cause.said,
            "amount_minor": cause.amount_minor,
            "count": cause.rows.height,
            "rows": [{**row, "currency": entity.currency, "name": row["what"] or names.get(row["item_id"], ("", ""))[0], "url": names.get(row["item_id"], ("", ""))[1]} for row in cause.rows.head(SHOWN).to_dicts()],
        }
        for cause in (found.causes if found else ())
    ]  # fmt: skip
    columns = [Column("name", "What", link="url"), Column("amount_minor", "Difference", "money")]
    return render(request, "treasury/variance.html", {"found": found, "days": days, "causes": causes, "columns": columns, "as_of": as_of, "home": entity.currency, "shown": SHOWN})  # fmt: skip


@page("treasury.plan_outflow", methods=("POST",))
def plan_outflow(request: Asked) -> HttpResponse:
    """Plan money that will leave."""
    entity = company(request)
    form = OutflowForm(request.POST)
    if form.is_valid():
        try:
            actions.plan_outflow(actor=request.actor, entity_id=entity.pk, **form.cleaned_data)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, f"{form.cleaned_data['name']} is planned.")
            return redirect("treasury:cash")
    context = {"form": form, "title": "Plan an outflow", "back": ("Cash", reverse("treasury:cash"))}
    return render(request, "ui/form.html", context, status=400)


@page("treasury.drop_outflow", methods=("POST",))
def drop_outflow(request: Asked, outflow_id: int) -> HttpResponse:
    """Take a planned outflow out of the forecast."""
    actions.drop_outflow(actor=request.actor, outflow_id=outflow_id)
    messages.success(request, "It is out of the forecast.")
    return redirect("treasury:cash")


@page("treasury.defer_outflow", methods=("GET", "POST"))
def defer_outflow(request: Asked, outflow_id: int) -> HttpResponse:
    """Move one occurrence of a planned outflow to a later day."""
    outflow = queries.planned_outflow(outflow_id)
    today = clock.today(company(request).time_zone)
    next_on = queries.next_occurrence(outflow, after=today)
    start = {"occurs_on": next_on, "moved_to": next_on + timedelta(days=14) if next_on else None}
    form = DeferralForm(request.POST or None, initial=start)
    if form.is_valid():
        try:
            actions.defer_outflow(actor=request.actor, outflow_id=outflow_id, **form.cleaned_data)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(
                request, f"{outflow.name} is put off to {form.cleaned_data['moved_to']:%d %b}. Undo it under What is planned."
            )
            return redirect(reverse("treasury:cash") + "#planned")
    context = {"form": form, "title": f"Put off {outflow.name}", "back": ("Cash", reverse("treasury:cash"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("treasury.undo_deferral", methods=("POST",))
def undo_deferral(request: Asked, deferral_id: int) -> HttpResponse:
    """Put a deferred occurrence back on its day."""
    actions.undo_deferral(actor=request.actor, deferral_id=deferral_id)
    messages.success(request, "It is back on its day.")
    return redirect(reverse("treasury:cash") + "#planned")


@page("treasury.view_pay")
def payroll(request: Asked, plan_id: int) -> HttpResponse:
    """Pay per person; for few."""
    plan, lines = queries.pay_plan(plan_id)
    rows = [{**r, "currency": plan.currency} for r in lines.to_dicts()]
    columns = [
        Column("person", "Person"),
        Column("group", "Group"),
        Column("amount_minor", "Per period", "money"),
        Column("currency", ""),
    ]
    return render(
        request,
        "treasury/payroll.html",
        {"plan": plan, "rows": rows[:1000], "total": len(rows), "columns": columns, "sum": sum(r["amount_minor"] for r in rows)},
    )


def _range(found: Range | None) -> dict[str, int | None]:
    return {"p10": found.p10 if found else None, "p50": found.p50 if found else None, "p90": found.p90 if found else None}


def _with_odds(
    coverages: list[Coverage], odds: Sequence[outlooks.Odds], helps: levers.Plan, found: queries.Forecast
) -> list[dict[str, Any]]:
    known = {(o.coverage.name, o.coverage.debit_on): o for o in odds}
    numbers = dict(found.receipts.select("item_id", "number").unique().iter_rows()) if coverages else {}
    return [
        {
            "coverage": c,
            "odds": known.get((c.name, c.debit_on)),
            "help": helps.of(c),
            "deciding": [(numbers[i], reverse("billing:invoice", args=[i])) for i in c.deciding[:DECIDING]],
        }
        for c in coverages
    ]


def _coming(found: queries.Forecast, home: str) -> list[dict[str, Any]]:
    """The largest of what contracts will be billed for, in order of the day on which it is expected."""
    top = found.coming.sort("amount_minor", "expected_on", descending=[True, False]).head(SHOWN)
    names = market.names(top["customer_id"].unique().to_list())
    rows = top.sort("expected_on", "customer_id").to_dicts()
    return [
        {
            **r,
            "customer": names.get(r["customer_id"], ""),
            "url": reverse("web:customer", args=[r["customer_id"]]),
            "currency": home,
        }
        for r in rows
    ]


def _largest(found: queries.Forecast, home: str) -> list[dict[str, Any]]:
    """The largest receipts expected, in order of their day."""
    top = found.receipts.sort("amount_minor", "item_id", descending=[True, False]).head(SHOWN)
    names = market.names(top["customer_id"].unique().to_list())
    return [
        {
            **r,
            "customer": names.get(r["customer_id"], ""),
            "url": reverse("billing:invoice", args=[r["item_id"]]),
            "customer_url": reverse("web:customer", args=[r["customer_id"]]),
            "currency": home,
        }
        for r in top.sort("expected_on", "amount_minor", descending=[False, True]).to_dicts()
    ]


def _documents(ids: list[int]) -> dict[int, tuple[str, str]]:
    """Numbers and addresses of documents by id."""
    rows = Invoice.objects.filter(pk__in=ids).values_list("id", "number", "customer__name")
    return {pk: (f"{number} {name}", reverse("billing:invoice", args=[pk])) for pk, number, name in rows}
