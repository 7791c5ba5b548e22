"""The lifecycle over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.kernel import clock
from topline.kernel.errors import Invalid, ensure
from topline.lifecycle import actions, margin, queries, value
from topline.ui.wire import MAX_ROWS, Body, Caller, Code, Day, Id, Name, OfCompany, Room, Rows, Whole, done, once, rows

room = Room(tags=["Lifecycle"])


class OnADay(OfCompany):
    as_of: Day | None = None


class StandingsAsked(OnADay):
    stage: Code = ""
    after_customer_id: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0


class CohortsAsked(OnADay):
    every: Literal["month", "quarter", "year"] = "quarter"
    segment: Code = ""


class MarginsAsked(OfCompany):
    by: Code = "customer"
    of: Annotated[Code, Field(description="sold (deals won in the span) or billed (documents issued in it)")] = "sold"
    since: Day
    until: Day


class SaidStage(Body):
    stage: Code = ""
    because: Name
    on: Day
    until: Day | None = None


class ServingCosts(Body):
    valid_from: Day
    contact_minor: Whole
    ticket_minor: Whole


@room.reads("/lifecycle", "lifecycle.view", Rows)
def list_standings(request: Caller, asked: Query[StandingsAsked]) -> Any:
    """Where customers stand and how well, by id; the next thousand begin after the last id."""
    entity = books.entity(asked.company or None)
    found = queries.standings(entity_id=entity.pk, as_of=asked.as_of or clock.today(entity.time_zone))
    found = found.filter(found["customer_id"] > asked.after_customer_id)
    return rows((found.filter(found["stage"] == asked.stage) if asked.stage else found).head(MAX_ROWS))


@room.reads("/lifecycle/cohorts", "lifecycle.view", Rows)
def list_cohorts(request: Caller, asked: Query[CohortsAsked]) -> Any:
    """What each cohort of customers keeps; the newest thousand cells."""
    entity = books.entity(asked.company or None)
    return rows(queries.retention(entity_id=entity.pk, as_of=asked.as_of or clock.today(entity.time_zone), every=asked.every, segment=asked.segment).tail(MAX_ROWS))  # fmt: skip


@room.reads("/lifecycle/value", "lifecycle.view")
def customer_value(request: Caller, asked: Query[OnADay]) -> Any:
    """What customers are still worth over a year, the worthiest thousand, and how well the method foresaw the last half year."""
    entity = books.entity(asked.company or None)
    found = value.value(entity=entity, as_of=asked.as_of or clock.today(entity.time_zone))
    return {"why": found.why, "margin": found.margin, "check": asdict(found.check) if found.check else None, "currency": entity.currency, "items": found.rows.head(MAX_ROWS).to_dicts()}  # fmt: skip


@room.reads("/lifecycle/margins", "lifecycle.view", Rows)
def list_margins(request: Caller, asked: Query[MarginsAsked]) -> Any:
    """Margin of what was sold or billed in a span, by customer, segment, product or deal; the largest thousand."""
    ensure(asked.since <= asked.until, Invalid("The span ends before it begins.", field="since"))
    return rows(margin.margins(entity=books.entity(asked.company or None), since=asked.since, until=asked.until, by=asked.by, of=asked.of).head(MAX_ROWS))  # fmt: skip


@room.reads("/lifecycle/{int:customer_id}", "lifecycle.view")
def get_standing(request: Caller, customer_id: Id, asked: Query[OnADay]) -> Any:
    """Where one customer stands, with the parts of its health and what was said by hand."""
    entity = books.entity(asked.company or None)
    now = queries.standing(entity_id=entity.pk, customer_id=customer_id, as_of=asked.as_of or clock.today(entity.time_zone))
    return {**asdict(now), "said": queries.overrides(customer_id)}


@room.does("/lifecycle/{int:customer_id}/stage", "lifecycle.set_stage")
def set_stage(request: Caller, customer_id: Id, body: SaidStage) -> Any:
    """Say where a customer stands; an empty stage gives it back to the computation. Answers with the customer's id."""
    return done(actions.set_stage(customer_id=customer_id, **body.model_dump(), **once(request)))


@room.does("/lifecycle/serve-costs", "lifecycle.set_serve_costs")
def set_serve_costs(request: Caller, body: ServingCosts, target: Query[OfCompany]) -> Any:
    """Say what a contact and a ticket cost from a day on; answers with the row's id."""
    return done(actions.set_serve_costs(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))
