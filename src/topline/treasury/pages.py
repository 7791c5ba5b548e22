"""Cash: the forecast by day, week and month, payrolls, and what is planned to leave."""

from __future__ import annotations

import polars as pl
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.kernel.errors import DomainError, Invalid
from topline.kernel.money import format_amount
from topline.market import queries as market
from topline.treasury import actions, queries
from topline.treasury.forms import OutflowForm
from topline.ui.access import Asked, page
from topline.ui.charts import balance_chart
from topline.ui.export import export
from topline.ui.tables import Column

PERIODS = {"day": "daily", "week": "weekly", "month": "monthly"}


@page("treasury.view")
def cash(request: Asked) -> HttpResponse:
    """Opening balance, what comes in, what goes out, closing balance; each payroll with what it depends on."""
    entity = company(request)
    as_of = day_asked(request, entity)
    every = request.GET.get("every", "week")
    if every not in PERIODS:
        raise Invalid(f"{every!r} is no period.", field="every", remedy="Use day, week or month.")
    found = queries.forecast(entity=entity, as_of=as_of)
    home = entity.currency
    rows = [
        {**r, "currency": home}
        for r in getattr(found, PERIODS[every]).rename({"day": "period"} if every == "day" else {}).to_dicts()
    ]
    columns = [Column("period", every.capitalize(), "date"), Column("opening_minor", "Opening", "money"), Column("in_minor", "In", "money"), Column("out_minor", "Out", "money"),
               Column("closing_minor", "Closing", "money"), *([] if every == "day" else [Column("lowest_minor", "Lowest", "money")])]  # fmt: skip
    if (form := request.GET.get("export", "")) in ("csv", "xlsx"):
        return export(rows, columns, name=f"cash-{as_of}", form=form)
    names = market.names(found.receipts["customer_id"].unique().to_list())
    receipts = [
        {
            **r,
            "customer": names.get(r["customer_id"], ""),
            "url": reverse("billing:invoice", args=[r["item_id"]]),
            "currency": home,
        }
        for r in found.receipts.sort("expected_on", "amount_minor", descending=[False, True]).head(200).to_dicts()
    ]
    daily = [
        {"day": r["day"], "major": r["closing_minor"] / 100, "shown": format_amount(r["closing_minor"], home)}
        for r in found.daily.to_dicts()
    ]
    context = {
        "found": found, "home": home, "every": every, "rows": rows, "columns": columns, "receipts": receipts,
        "receipt_columns": [Column("expected_on", "Expected", "date"), Column("number", "Invoice", link="url"), Column("customer", "Customer"), Column("amount_minor", "Amount", "money")],
        "outflows": [{**r, "currency": home} for r in found.outflows.to_dicts()],
        "outflow_columns": [Column("debit_on", "Taken on", "date"), Column("name", "What"), Column("kind", "Kind"), Column("amount_minor", "Amount", "money")],
        "chart": balance_chart(daily, x="day", y="major", title="Balance by day", y_title=home, marks=[{"day": c.debit_on} for c in found.payrolls], shown="shown"),
        "plans": queries.pay_plans(entity.pk), "planned": queries.planned_outflows(entity.pk), "form": OutflowForm(initial={"currency": home, "first_on": as_of}),
        "query": request.GET.urlencode(), "in_total": int(found.receipts["amount_minor"].sum()), "late": found.receipts.filter(pl.col("expected_on") > found.as_of).height,
    }  # fmt: skip
    return render(request, "treasury/cash.html", context)


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
