"""Leads and campaigns over HTTP."""

from __future__ import annotations

import json
from typing import Annotated, Any

import polars as pl
from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.kernel.errors import NotFound
from topline.leads import actions, queries
from topline.leads.models import Campaign, Lead
from topline.ui.wire import (
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Code,
    Currency,
    Day,
    Flag,
    Id,
    Name,
    OfCompany,
    Page,
    Ref,
    Room,
    Rows,
    Whole,
    done,
    given,
    once,
    page,
    rows,
)

room = Room(tags=["Leads"])
LEAD = ["id", "number", "name", "company", "email", "phone", "country", "segment", "source", "campaign_id", "interest", "rep_id", "state", "created_on", "qualified_on", "closed_on", "because", "customer_id",
        "opportunity_id", "score_ppm", "scored_on"]  # fmt: skip
CAMPAIGN = ["id", "code", "name", "channel", "starts_on", "ends_on", "cost_minor", "currency"]
Sixty = Annotated[str, Field(max_length=60)]
Fact = Annotated[str, Field(max_length=200)] | int | float | bool
Facts = Annotated[dict[Annotated[str, Field(max_length=60)], Fact], Field(max_length=actions.MAX_FACTS)]


class LeadsAsked(Asked):
    state: Code = ""


class NewLead(Body):
    name: Name = ""
    company: Name = ""
    email: Annotated[str, Field(max_length=254)] = ""
    phone: Sixty = ""
    country: Annotated[str, Field(max_length=2)] = ""
    segment: Code = ""
    source: Sixty = ""
    campaign: Code = ""
    interest: Annotated[str, Field(max_length=300)] = ""
    rep_id: Ref | None = None
    created_on: Day | None = None
    facts: Facts = {}


class NewLeads(Body):
    leads: Annotated[list[NewLead], Field(min_length=1, max_length=MAX_ROWS)]
    on: Day


class LeadChanges(Body):
    name: Name = ""
    company: Name = ""
    email: Annotated[str, Field(max_length=254)] = ""
    phone: Sixty = ""
    country: Annotated[str, Field(max_length=2)] = ""
    segment: Code = ""
    source: Sixty = ""
    interest: Annotated[str, Field(max_length=300)] = ""
    rep_id: Ref | None = None
    campaign_id: Ref | None = None
    facts: Facts = {}


class LeadDay(Body):
    on: Day


class Disqualified(Body):
    on: Day
    because: Name


class Conversion(Body):
    on: Day
    rep_id: Ref | None = None
    customer_id: Ref | None = None
    is_new: Flag = False
    deal: Name = ""
    amount_minor: Whole | None = None
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""


class LinkedDeal(Body):
    on: Day
    opportunity_id: Ref


class LeadsOfFile(Body):
    import_batch_id: Ref
    on: Day


class NewCampaign(Body):
    code: Annotated[str, Field(min_length=1, max_length=40)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    starts_on: Day
    currency: Currency
    channel: Code = ""
    ends_on: Day | None = None
    cost_minor: Whole = 0


class CampaignChanges(Body):
    name: Annotated[str, Field(max_length=100)] = ""
    channel: Code = ""
    ends_on: Day | None = None
    cost_minor: Whole = 0


class ScoreDay(Body):
    as_of: Day


@room.reads("/leads", "leads.view", Page)
def list_leads(request: Caller, asked: Query[LeadsAsked]) -> Any:
    """Leads, narrowed by state."""
    return page(Lead.objects.filter(state=asked.state) if asked.state else Lead.objects.all(), LEAD, asked)


@room.reads("/leads/{int:lead_id}", "leads.view")
def get_lead(request: Caller, lead_id: Id) -> Any:
    """One lead with its further facts, what speaks for and against it, and customers that it may belong to."""
    found = Lead.objects.filter(pk=lead_id).first()
    if found is None:
        raise NotFound(f"There is no lead {lead_id}.", field="lead_id")
    return {
        **{name: getattr(found, name) for name in LEAD},
        "facts": found.facts,
        "reasons": found.reasons,
        "matches": queries.matches(found),
    }


@room.reads("/campaigns", "leads.view", Page)
def list_campaigns(request: Caller, asked: Query[Asked]) -> Any:
    """Campaigns and what they cost."""
    return page(Campaign.objects.all(), CAMPAIGN, asked)


@room.reads("/campaign-results", "leads.view", Rows)
def campaign_results(request: Caller, asked: Query[OfCompany]) -> Any:
    """What each campaign cost and brought."""
    return {"items": queries.campaigns(entity=books.entity(asked.company or None))}


class FunnelOfLeads(OfCompany):
    since: Day
    until: Day
    as_of: Day


@room.reads("/lead-funnel", "leads.view", Rows)
def lead_funnel(request: Caller, asked: Query[FunnelOfLeads]) -> Any:
    """One way from lead to won: how many of the leads of a span reached each step by a day."""
    return {
        "items": queries.path(
            entity_id=books.entity(asked.company or None).pk, since=asked.since, until=asked.until, as_of=asked.as_of
        )
    }


@room.does("/leads", "leads.add_leads", Rows)
def add_leads(request: Caller, body: NewLeads, target: Query[OfCompany]) -> Any:
    """Take in leads; answers with id and number of each, in order."""
    said = [lead.model_dump() | {"facts": json.dumps(lead.facts)} for lead in body.leads]
    schema = {"rep_id": pl.Int64, "created_on": pl.Date}
    frame = pl.DataFrame({name: [s[name] for s in said] for name in said[0]}, schema_overrides=schema)
    return rows(actions.add_leads(entity_id=books.entity(target.company or None).pk, leads=frame, on=body.on, **once(request)))


@room.does("/leads/{int:lead_id}/change", "leads.change_lead")
def change_lead(request: Caller, lead_id: Id, body: LeadChanges) -> Any:
    """Change the facts that are sent; answers with the lead's id."""
    return done(actions.change_lead(lead_id=lead_id, changes=dict(given(body)), **once(request)))


@room.does("/leads/{int:lead_id}/qualify", "leads.qualify_lead")
def qualify_lead(request: Caller, lead_id: Id, body: LeadDay) -> Any:
    """Say that it is worth a deal; answers with its id."""
    return done(actions.qualify_lead(lead_id=lead_id, on=body.on, **once(request)))


@room.does("/leads/{int:lead_id}/disqualify", "leads.disqualify_lead")
def disqualify_lead(request: Caller, lead_id: Id, body: Disqualified) -> Any:
    """Say that it will be no customer, and why; answers with its id."""
    return done(actions.disqualify_lead(lead_id=lead_id, on=body.on, because=body.because, **once(request)))


@room.does("/leads/{int:lead_id}/convert", "leads.convert_lead")
def convert_lead(request: Caller, lead_id: Id, body: Conversion) -> Any:
    """Make customer, contact and deal of it; answers with the deal's id."""
    return done(actions.convert_lead(lead_id=lead_id, **body.model_dump(), **once(request)))


@room.does("/leads/{int:lead_id}/link", "leads.link_lead")
def link_lead(request: Caller, lead_id: Id, body: LinkedDeal) -> Any:
    """Say which deal, that is here already, it led to; answers with the deal's id."""
    return done(actions.link_lead(lead_id=lead_id, opportunity_id=body.opportunity_id, on=body.on, **once(request)))


@room.does("/leads/withdraw", "leads.withdraw_leads")
def withdraw_leads(request: Caller, body: LeadsOfFile) -> Any:
    """Disqualify the leads that a file brought; answers with how many."""
    return done(actions.withdraw_leads(**body.model_dump(), **once(request)))


@room.does("/leads/score", "leads.score_leads")
def score_leads(request: Caller, body: ScoreDay, target: Query[OfCompany]) -> Any:
    """Score the open leads; answers with how many (0: too few to learn from)."""
    return done(actions.score_leads(entity_id=books.entity(target.company or None).pk, as_of=body.as_of, **once(request)))


@room.does("/campaigns", "leads.add_campaign")
def add_campaign(request: Caller, body: NewCampaign) -> Any:
    """Write a campaign down; answers with its id."""
    return done(actions.add_campaign(**body.model_dump(), **once(request)))


@room.does("/campaigns/{int:campaign_id}/change", "leads.change_campaign")
def change_campaign(request: Caller, campaign_id: Id, body: CampaignChanges) -> Any:
    """Change the facts that are sent; answers with the campaign's id."""
    return done(actions.change_campaign(campaign_id=campaign_id, changes=dict(given(body)), **once(request)))
