"""Cash forecast, payroll and planned outflows over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.kernel import clock
from topline.treasury import actions, levers, offers, outlook, queries, scenarios, variance
from topline.treasury.models import OutflowDeferral, PayPlan, PlannedOutflow
from topline.ui.wire import (
    MAX_MINOR,
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Currency,
    Day,
    Id,
    OfCompany,
    Page,
    Positive,
    Ref,
    Room,
    Share,
    Whole,
    done,
    frame,
    once,
    page,
)

room = Room(tags=["Cash"])
PLAN = [
    "id",
    "entity_id",
    "name",
    "currency",
    "frequency",
    "first_payday",
    "until",
    "debit_lead_days",
    "employer_cost_ppm",
    "bank_account_id",
]
OUTFLOW = [
    "id",
    "entity_id",
    "kind",
    "name",
    "currency",
    "amount_minor",
    "first_on",
    "frequency",
    "until",
    "is_critical",
    "bank_account_id",
]
DEFERRAL = ["id", "outflow_id", "occurs_on", "moved_to", "reason"]
Frequency = Literal["once", "weekly", "biweekly", "semimonthly", "monthly", "quarterly", "yearly"]
Title = Annotated[str, Field(min_length=1, max_length=100)]


class ForecastAsked(OfCompany):
    as_of: Day | None = None
    every: Literal["day", "week", "month"] = "week"


class OutlookAsked(OfCompany):
    as_of: Day | None = None


class LeversAsked(OutlookAsked):
    order: Literal["cost", "effect", "days"] = "cost"


class ScenariosAsked(OutlookAsked):
    slip_percent: Annotated[int, Field(ge=0, le=100)] = 20
    late_days: Annotated[int, Field(ge=0, le=180)] = 14
    late_customer_id: Id | None = None
    lost_customer_id: Id | None = None
    hires: Annotated[int, Field(ge=0, le=1_000)] = 1
    hire_minor: Annotated[int, Field(ge=0, le=MAX_MINOR)] | None = None
    vendor_days: Annotated[int, Field(ge=0, le=180)] = 14


class VarianceAsked(OutlookAsked):
    frozen_on: Day | None = None


class OffersWanted(OutlookAsked):
    yearly_percent: Annotated[int, Field(ge=1, le=1000)] = int(offers.YEARLY_PERCENT)
    taken_percent: Annotated[int, Field(ge=1, le=100)] = offers.TAKEN_PERCENT
    least_percent: Annotated[int, Field(ge=0, le=99)] = int(offers.LEAST_PERCENT)


class Freeze(Body):
    as_of: Day


class PayLine(Body):
    person: Title
    group: Annotated[str, Field(max_length=100)] = ""
    amount_minor: Whole


class NewPayPlan(Body):
    name: Title
    currency: Currency
    frequency: Frequency
    first_payday: Day
    lines: Annotated[list[PayLine], Field(min_length=1, max_length=MAX_ROWS)]
    until: Day | None = None
    debit_lead_days: Annotated[int, Field(strict=True, ge=0, le=10)] = 2
    employer_cost_ppm: Share = 0
    bank_account_id: Ref | None = None


class NewOutflow(Body):
    name: Title
    currency: Currency
    amount_minor: Positive
    first_on: Day
    frequency: Frequency = "monthly"
    kind: Literal["tax", "rent", "vendor", "loan", "other"] = "other"
    until: Day | None = None
    is_critical: bool = False
    bank_account_id: Ref | None = None


class Deferral(Body):
    occurs_on: Day
    moved_to: Day
    reason: Annotated[str, Field(max_length=300)] = ""


@room.reads("/cash-forecast", "treasury.view")
def cash_forecast(request: Caller, asked: Query[ForecastAsked]) -> Any:
    """Opening balance, what comes in and goes out per day, week or month over 13 weeks, and whether each payroll is covered."""
    entity = books.entity(asked.company or None)
    found = queries.forecast(entity=entity, as_of=asked.as_of or clock.today(entity.time_zone))
    table = {"day": found.daily, "week": found.weekly, "month": found.monthly}[asked.every]
    return {
        "as_of": found.as_of,
        "currency": found.currency,
        "opening_minor": found.opening_minor,
        "minimum_minor": found.minimum_minor,
        "unrecognised": {
            "receipts": found.stray.moves,
            "total_minor": found.stray.total_minor,
            "set_minor": found.stray.set_minor,
        },
        "periods": table.to_dicts(),
        "payrolls": [asdict(coverage) for coverage in found.payrolls],
        "duties": [asdict(coverage) for coverage in found.duties],
    }


@room.reads("/cash-outlook", "treasury.view")
def cash_outlook(request: Caller, asked: Query[OutlookAsked]) -> Any:
    """Cash by day as a range that holds 8 times in 10, the odds of each payroll, and how past ranges held."""
    entity = books.entity(asked.company or None)
    found = outlook.outlook(entity=entity, as_of=asked.as_of or clock.today(entity.time_zone))
    return {**asdict(found), "trust": found.trust}


@room.reads("/cash-levers", "treasury.view")
def cash_levers(request: Caller, asked: Query[LeversAsked]) -> Any:
    """What can be done about payrolls, taxes and vendors that are not safe: each lever with its gain, cost and days."""
    entity = books.entity(asked.company or None)
    found = levers.plan(entity=entity, as_of=asked.as_of or clock.today(entity.time_zone))
    payrolls, duties = (
        [{**asdict(h), "levers": [asdict(lever) for lever in h.in_order(asked.order)]} for h in needs]
        for needs in (found.payrolls, found.duties)
    )
    return {
        "as_of": found.as_of,
        "currency": found.currency,
        "is_told": found.outlook is not None,
        "payrolls": payrolls,
        "duties": duties,
    }


@room.reads("/cash-scenarios", "treasury.view")
def cash_scenarios(request: Caller, asked: Query[ScenariosAsked]) -> Any:
    """What if: balances and the odds of each payroll under one change each."""
    entity = books.entity(asked.company or None)
    assumed = scenarios.Assumptions(**asked.model_dump(exclude={"company", "as_of"}))
    return asdict(scenarios.compare(entity=entity, as_of=asked.as_of or clock.today(entity.time_zone), assumed=assumed))


@room.reads("/cash-variance", "treasury.view")
def cash_variance(request: Caller, asked: Query[VarianceAsked]) -> Any:
    """What became of a frozen forecast: the difference to the bank, by cause."""
    entity = books.entity(asked.company or None)
    found = variance.explain(entity=entity, as_of=asked.as_of or clock.today(entity.time_zone), frozen_on=asked.frozen_on)
    causes = [{**asdict(c), "rows": c.rows.head(100).to_dicts()} for c in found.causes]
    return {**asdict(found), "held": found.held, "causes": causes}


@room.reads("/cash-offers", "treasury.view")
def cash_offers(request: Caller, asked: Query[OffersWanted]) -> Any:
    """The cheapest early-payment offers that cover the next payroll at risk, each with its yearly cost."""
    entity = books.entity(asked.company or None)
    day = asked.as_of or clock.today(entity.time_zone)
    found = offers.suggest(
        entity=entity,
        as_of=day,
        yearly_percent=Decimal(asked.yearly_percent),
        taken_percent=asked.taken_percent,
        least_percent=Decimal(asked.least_percent),
    )
    return {
        "payroll": asdict(found.payroll) if found.payroll else None, "percent": found.percent, "needed_minor": found.needed_minor, "pay_by": found.pay_by,
        "gain_minor": found.gain_minor, "cost_minor": found.cost_minor, "offers": found.chosen.to_dicts(),
    }  # fmt: skip


@room.does("/forecasts/freeze", "treasury.freeze_forecast")
def freeze_forecast(request: Caller, target: Query[OfCompany], body: Freeze) -> Any:
    """Keep the forecast of a day as it is told; answers with its id."""
    return done(outlook.freeze_forecast(entity_id=books.entity(target.company or None).pk, as_of=body.as_of, **once(request)))


@room.does("/payrolls/weigh-calls", "treasury.weigh_calls")
def weigh_calls(request: Caller, target: Query[OfCompany], body: Freeze) -> Any:
    """Weigh for the list of a day what a call does to the next payroll at risk; answers with the id of what is kept."""
    return done(levers.weigh_calls(entity_id=books.entity(target.company or None).pk, as_of=body.as_of, **once(request)))


@room.reads("/payrolls", "treasury.view", Page)
def list_payrolls(request: Caller, asked: Query[Asked]) -> Any:
    """Who is paid how often; pay per person is told by one payroll, to few."""
    return page(PayPlan.objects.filter(entity_id=books.entity(asked.company or None).pk), PLAN, asked)


@room.reads("/payrolls/{int:plan_id}", "treasury.view_pay")
def get_payroll(request: Caller, plan_id: Id) -> Any:
    """One payroll with what each person gets per period."""
    plan, lines = queries.pay_plan(plan_id)
    return {**{name: getattr(plan, name) for name in PLAN}, "lines": lines.to_dicts()}


@room.reads("/outflows", "treasury.view", Page)
def list_outflows(request: Caller, asked: Query[Asked]) -> Any:
    """Planned outflows that stand."""
    return page(PlannedOutflow.objects.filter(entity_id=books.entity(asked.company or None).pk, is_dropped=False), OUTFLOW, asked)


@room.does("/payrolls", "treasury.set_pay_plan")
def set_pay_plan(request: Caller, target: Query[OfCompany], body: NewPayPlan) -> Any:
    """Set the payroll of a group; one of the same name is replaced as a whole. Answers with its id."""
    inputs = body.model_dump(exclude={"lines"})
    entity_id = books.entity(target.company or None).pk
    return done(actions.set_pay_plan(entity_id=entity_id, lines=frame(body.lines), **inputs, **once(request)))


@room.does("/outflows", "treasury.plan_outflow")
def plan_outflow(request: Caller, target: Query[OfCompany], body: NewOutflow) -> Any:
    """Plan money that leaves once or again and again; answers with its id."""
    entity_id = books.entity(target.company or None).pk
    return done(actions.plan_outflow(entity_id=entity_id, **body.model_dump(), **once(request)))


@room.does("/outflows/{int:outflow_id}/drop", "treasury.drop_outflow")
def drop_outflow(request: Caller, outflow_id: Id) -> Any:
    """Take a planned outflow out of the forecast; answers with its id."""
    return done(actions.drop_outflow(outflow_id=outflow_id, **once(request)))


@room.reads("/deferrals", "treasury.view", Page)
def list_deferrals(request: Caller, asked: Query[Asked]) -> Any:
    """Occurrences of planned outflows that were moved to a later day."""
    mine = OutflowDeferral.objects.filter(outflow__entity_id=books.entity(asked.company or None).pk, is_undone=False)
    return page(mine, DEFERRAL, asked)


@room.does("/outflows/{int:outflow_id}/defer", "treasury.defer_outflow")
def defer_outflow(request: Caller, outflow_id: Id, body: Deferral) -> Any:
    """Move one occurrence of a planned outflow to a later day; answers with the deferral's id."""
    return done(actions.defer_outflow(outflow_id=outflow_id, **body.model_dump(), **once(request)))


@room.does("/deferrals/{int:deferral_id}/undo", "treasury.undo_deferral")
def undo_deferral(request: Caller, deferral_id: Id) -> Any:
    """Put a deferred occurrence back on its day; answers with the deferral's id."""
    return done(actions.undo_deferral(deferral_id=deferral_id, **once(request)))
