"""Verbs of leads: take them in, work them, score them, and turn one into customer, contact and deal."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import polars as pl
from django.db.models import Q

from topline.engine.lead_scoring import LEAKING
from topline.kernel import clock, money, series
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.countries import ensure_countries
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.leads import queries
from topline.leads.models import Campaign, Lead
from topline.market import actions as market
from topline.market.models import Contact, Customer
from topline.pipeline import actions as pipeline
from topline.pipeline import territories
from topline.pipeline.models import Opportunity, Rep
from topline.timeline import actions as timeline

S = Lead.State
OPEN = (S.NEW, S.WORKING, S.QUALIFIED)
TEXTS = ("name", "company", "email", "phone", "country", "segment", "source", "interest")
CHANGEABLE = {*TEXTS, "rep_id", "campaign_id", "facts"}
SAME = 100  # a name that is the same but for case, blanks and legal form
MAX_FACTS = 30


class LeadClosed(Conflict):
    """The lead is converted or disqualified."""

    code = "lead_closed"


class PossibleDuplicate(Conflict):
    """There is a customer of that name already."""

    code = "possible_duplicate"


class CampaignCodeTaken(Conflict):
    """Another campaign has the code."""

    code = "campaign_code_taken"


@action("leads.add_campaign")
def add_campaign(
    *,
    actor: Actor,
    code: str,
    name: str,
    starts_on: date,
    currency: str,
    channel: str = "",
    ends_on: date | None = None,
    cost_minor: int = 0,
) -> int:
    """Write down a campaign; returns its id. Raises: Invalid (code or name missing, days, cost), CampaignCodeTaken."""
    ensure(
        bool(code.strip()) and bool(name.strip()),
        Invalid("A campaign needs a code and a name.", field="code", remedy="Fill in both."),
    )
    ensure(
        ends_on is None or ends_on >= starts_on,
        Invalid("It ends before it begins.", field="ends_on", remedy="Correct one of the two days."),
    )
    ensure(cost_minor >= 0, Invalid("A cost is zero or more.", field="cost_minor"))
    money.ensure_currency(currency)
    taken = Campaign.objects.filter(code=code.strip()).exists()
    ensure(not taken, CampaignCodeTaken(f"There is a campaign {code.strip()} already.", field="code", remedy="Use another code."))
    made = Campaign.objects.create(
        code=code.strip()[:40], name=name.strip()[:100], channel=channel.strip()[:40], starts_on=starts_on, ends_on=ends_on, cost_minor=cost_minor, currency=currency, created_at=clock.now()
    )  # fmt: skip
    changed("campaign", made.pk, after={"code": made.code, "cost_minor": cost_minor})
    return made.pk


@action("leads.change_campaign")
def change_campaign(*, actor: Actor, campaign_id: int, changes: dict[str, Any]) -> int:
    """Change what a campaign cost, when it ended, its name or channel; returns its id. Raises: NotFound, Invalid."""
    found = Campaign.objects.select_for_update().filter(pk=campaign_id).first()
    if found is None:
        raise NotFound(f"There is no campaign {campaign_id}.", field="campaign_id")
    unknown = sorted(set(changes) - {"name", "channel", "ends_on", "cost_minor"})
    ensure(not unknown, Invalid(f"{', '.join(unknown)} cannot be changed.", field=unknown[0] if unknown else ""))
    ensure(changes.get("cost_minor", 0) >= 0, Invalid("A cost is zero or more.", field="cost_minor"))
    ends_on = changes.get("ends_on", found.ends_on)
    ensure(ends_on is None or ends_on >= found.starts_on, Invalid("It ends before it begins.", field="ends_on"))
    before = {name: getattr(found, name) for name in changes}
    for name, value in changes.items():
        setattr(found, name, value)
    found.save()
    changed("campaign", found.pk, before=before, after=changes)
    return found.pk


@action("leads.add_leads")
def add_leads(*, actor: Actor, entity_id: int, leads: pl.DataFrame, on: date, import_batch_id: int | None = None) -> pl.DataFrame:
    """Take in leads.

    leads    one row per lead: name (the person) or company; optional email, phone, country, segment, source, interest, campaign (code), rep_id,
             created_on (default `on`), facts (the text of a JSON object)
    returns  one row per lead in the same order: lead_id i64, number str
    Work: a fixed number of statements.
    Raises: Invalid (nobody, an unknown campaign or seller, a country that is no code of two letters, a day to come).
    """
    if leads.is_empty():
        return pl.DataFrame(schema={"lead_id": pl.Int64, "number": pl.String})
    rows = leads.select(
        *(
            (pl.col(c) if c in leads.columns else pl.lit("").alias(c)).cast(pl.String).fill_null("").str.strip_chars()
            for c in (*TEXTS, "campaign")
        ),
        (pl.col("rep_id") if "rep_id" in leads.columns else pl.lit(None).alias("rep_id")).cast(pl.Int64),
        (pl.col("created_on") if "created_on" in leads.columns else pl.lit(None).alias("created_on")).cast(pl.Date).fill_null(on),
    )
    _check(rows, on)
    codes = dict(Campaign.objects.filter(code__in=rows["campaign"].unique().to_list()).values_list("code", "id"))
    if rows["rep_id"].null_count():
        placed = territories.place(
            rows.select(pl.col("country").str.to_uppercase(), "segment", "source"), turn=Lead.objects.count()
        )
        rows = rows.with_columns(rep_id=pl.coalesce("rep_id", placed["rep_id"]))
    facts = [json.loads(said or "{}") for said in leads["facts"]] if "facts" in leads.columns else [{}] * leads.height
    for said in facts:
        _check_facts(said)
    frame = rows.with_columns(
        campaign_id=pl.col("campaign").replace_strict(codes, default=None, return_dtype=pl.Int64), email=pl.col("email").str.to_lowercase(), country=pl.col("country").str.to_uppercase(),
        number=series.take(entity_id=0, code="lead", count=rows.height, prefix="L-"), entity_id=pl.lit(entity_id), state=pl.lit(S.NEW.value), recorded_at=pl.lit(clock.now()), import_batch_id=pl.lit(import_batch_id, dtype=pl.Int64),
    ).drop("campaign")  # fmt: skip
    made = Lead.objects.bulk_create(
        [Lead(**row, facts=said) for row, said in zip(frame.iter_rows(named=True), facts, strict=True)], batch_size=500
    )
    changed_many("lead", [m.pk for m in made])
    told = pl.DataFrame(
        {
            "lead_id": [m.pk for m in made],
            "number": [m.number for m in made],
            "on": [m.created_on for m in made],
            "note": [(m.source or "no source")[:60] for m in made],
        }
    )
    timeline.record("lead_captured", told.drop("number"), subject="lead", actor=actor, on=pl.col("on"))
    return told.select("lead_id", "number")


@action("leads.change_lead")
def change_lead(*, actor: Actor, lead_id: int, changes: dict[str, Any]) -> int:
    """Correct what is known of an open lead, or give it to a seller; a new lead is worked from then on. Returns its id.

    Raises: NotFound, LeadClosed, Invalid (unknown field, nobody, unknown seller or campaign).
    """
    lead = _open(lead_id)
    unknown = sorted(set(changes) - CHANGEABLE)
    ensure(not unknown, Invalid(f"{', '.join(unknown)} cannot be changed.", field=unknown[0] if unknown else ""))
    before = {name: getattr(lead, name) for name in changes}
    for name, value in changes.items():
        setattr(lead, name, value.strip() if isinstance(value, str) else value)
    lead.email, lead.country = lead.email.lower(), lead.country.upper()
    _check(
        pl.DataFrame(
            {
                **{c: [getattr(lead, c)] for c in TEXTS},
                "campaign": [""],
                "rep_id": [lead.rep_id],
                "created_on": [lead.created_on],
            },
            schema_overrides={"rep_id": pl.Int64},
        ),
        lead.created_on,
    )
    ensure(
        lead.campaign_id is None or Campaign.objects.filter(pk=lead.campaign_id).exists(),
        Invalid("There is no such campaign.", field="campaign_id"),
    )
    _check_facts(lead.facts)
    lead.state = S.WORKING if lead.state == S.NEW else lead.state
    lead.save()
    changed("lead", lead.pk, before=before, after=changes)
    return lead.pk


@action("leads.qualify_lead")
def qualify_lead(*, actor: Actor, lead_id: int, on: date) -> int:
    """Say that a lead is worth a deal; returns its id. Saying it again changes nothing. Raises: NotFound, LeadClosed, Invalid (before it came)."""
    lead = _open(lead_id)
    ensure(on >= lead.created_on, Invalid(f"It came on {lead.created_on}.", field="on", remedy="Choose that day or a later one."))
    if lead.state != S.QUALIFIED:
        lead.state, lead.qualified_on = S.QUALIFIED, on
        lead.save()
        _tell("lead_qualified", lead, actor, on)
        changed("lead", lead.pk, after={"state": S.QUALIFIED})
    return lead.pk


@action("leads.disqualify_lead")
def disqualify_lead(*, actor: Actor, lead_id: int, on: date, because: str) -> int:
    """Say that a lead will be no customer, and why; returns its id. Raises: NotFound, LeadClosed, Invalid (no reason, before it came)."""
    lead = _open(lead_id)
    ensure(bool(because.strip()), Invalid("Say why not.", field="because", remedy="Such as: no budget, a student, a competitor."))
    ensure(on >= lead.created_on, Invalid(f"It came on {lead.created_on}.", field="on", remedy="Choose that day or a later one."))
    lead.state, lead.closed_on, lead.because = S.DISQUALIFIED, on, because.strip()[:200]
    lead.save()
    _tell("lead_disqualified", lead, actor, on, note=lead.because)
    changed("lead", lead.pk, after={"state": S.DISQUALIFIED, "because": lead.because})
    return lead.pk


@action("leads.withdraw_leads")
def withdraw_leads(*, actor: Actor, import_batch_id: int, on: date) -> int:
    """Disqualify the leads that a file brought; returns how many. Raises: Conflict where one of them is a deal by now."""
    mine = Lead.objects.select_for_update().filter(import_batch_id=import_batch_id)
    deal = mine.filter(state=S.CONVERTED).first()
    ensure(
        deal is None,
        Conflict(f"{deal.number if deal else ''} is a deal by now.", field="batch_id", remedy="Close that deal instead."),
    )
    ids = list(mine.exclude(state=S.DISQUALIFIED).order_by("id").values_list("id", flat=True))
    mine.filter(pk__in=ids).update(state=S.DISQUALIFIED, because=f"Import {import_batch_id} undone", closed_on=on)
    changed_many("lead", ids, after={"state": S.DISQUALIFIED})
    return len(ids)


@action("leads.convert_lead")
def convert_lead(
    *,
    actor: Actor,
    lead_id: int,
    on: date,
    rep_id: int | None = None,
    customer_id: int | None = None,
    is_new: bool = False,
    deal: str = "",
    amount_minor: int | None = None,
    currency: str = "",
) -> int:
    """Turn a lead into customer, contact and deal at once, each only where there is none yet; returns the deal's id.

    customer_id  the customer it belongs to; none makes a new one, unless one of the same name is here
    is_new       make a new one all the same
    rep_id       who sells it; default the lead's own
    The deal begins in the first stage that counts as qualified, else in the first; it keeps source and segment. A contact of the customer with
    the lead's address is used; somebody new is added.
    Raises: NotFound, LeadClosed, PossibleDuplicate, Invalid (nobody sells it, the company has no name).
    """
    lead = _open(lead_id)
    ensure(on >= lead.created_on, Invalid(f"It came on {lead.created_on}.", field="on", remedy="Choose that day or a later one."))
    seller = rep_id or lead.rep_id
    ensure(seller is not None, Invalid("Who sells it?", field="rep_id", remedy="Choose a sales person."))
    customer = customer_id or _new_customer(actor, lead, is_new, currency or lead.entity.currency)
    if customer_id is not None and not Customer.objects.filter(pk=customer_id, merged_into__isnull=True).exists():
        raise NotFound(f"There is no customer {customer_id}.", field="customer_id")
    known = (
        Contact.objects.filter(customer_id=customer)
        .filter(Q(email__iexact=lead.email) & ~Q(email="") | Q(name__iexact=lead.name))
        .exists()
    )
    if lead.name and not known:
        market.add_contact(actor=actor, customer_id=customer, name=lead.name, email=lead.email, phone=lead.phone)
    title = deal.strip() or f"{lead.interest or 'Lead'} for {lead.company or lead.name}"
    row = {"ref": "1", "name": title[:200], "customer_id": customer, "rep_id": seller, "stage": queries.first_stage(), "currency": currency or lead.entity.currency, "amount_minor": amount_minor,
           "opened_on": on, "source": lead.source, "segment": lead.segment}  # fmt: skip
    frame = pl.DataFrame([row], schema_overrides={"amount_minor": pl.Int64})
    made = int(
        pipeline.add_opportunities(actor=actor, entity_id=lead.entity_id, opportunities=frame, known_on=on)["opportunity_id"][0]
    )
    lead.state, lead.closed_on, lead.customer_id, lead.opportunity_id, lead.rep_id = S.CONVERTED, on, customer, made, seller
    lead.qualified_on = lead.qualified_on or on
    lead.save()
    _tell("lead_converted", lead, actor, on, note=title)
    changed("lead", lead.pk, after={"state": S.CONVERTED, "customer_id": customer, "opportunity_id": made})
    return made


@action("leads.link_lead")
def link_lead(*, actor: Actor, lead_id: int, opportunity_id: int, on: date) -> int:
    """Say which deal, that is here already, a lead led to; returns the deal's id.

    Raises: NotFound, LeadClosed, Invalid (the deal names no customer, or another lead led to it, or the day lies before the lead came).
    """
    lead = _open(lead_id)
    deal = Opportunity.objects.filter(pk=opportunity_id, is_withdrawn=False).first()
    if deal is None:
        raise NotFound(f"There is no deal {opportunity_id}.", field="opportunity_id")
    ensure(on >= lead.created_on, Invalid(f"It came on {lead.created_on}.", field="on", remedy="Choose that day or a later one."))
    ensure(
        deal.customer_id is not None,
        Invalid("The deal names no customer.", field="opportunity_id", remedy="Name the customer in the deal first."),
    )
    ensure(
        not Lead.objects.filter(opportunity_id=opportunity_id).exists(),
        Invalid("Another lead led to this deal.", field="opportunity_id", remedy="Choose another deal."),
    )
    lead.state, lead.closed_on, lead.customer_id, lead.opportunity_id, lead.rep_id = (
        S.CONVERTED,
        on,
        deal.customer_id,
        deal.pk,
        deal.rep_id,
    )
    lead.qualified_on = lead.qualified_on or on
    lead.save()
    _tell("lead_converted", lead, actor, on, note=deal.name)
    changed("lead", lead.pk, after={"state": S.CONVERTED, "opportunity_id": deal.pk})
    return deal.pk


@action("leads.score_leads", ahead=queries.scores)
def score_leads(*, actor: Actor, entity_id: int, as_of: date, ahead: pl.DataFrame | None = None) -> int:
    """Keep how likely each open lead is to convert, learned from those whose fate is known; returns how many were scored, 0 where too few are.

    Work: one statement beside the learning, which is done before the transaction.
    """
    if ahead is None or ahead.is_empty():
        return 0
    open_ones = {lead.pk: lead for lead in Lead.objects.filter(pk__in=ahead["lead_id"].to_list(), state__in=OPEN)}
    for row in ahead.iter_rows(named=True):
        if lead := open_ones.get(row["lead_id"]):
            lead.score_ppm, lead.reasons, lead.scored_on = row["score_ppm"], row["reasons"], as_of
    Lead.objects.bulk_update(open_ones.values(), ["score_ppm", "reasons", "scored_on"], batch_size=500)
    changed("lead_scores", entity_id, after={"as_of": as_of, "leads": len(open_ones)})
    return len(open_ones)


# --- parts ---
def _open(lead_id: int) -> Lead:
    found = Lead.objects.select_for_update(of=("self",)).select_related("entity").filter(pk=lead_id).first()
    if found is None:
        raise NotFound(f"There is no lead {lead_id}.", field="lead_id")
    ensure(
        found.state in OPEN,
        LeadClosed(f"{found.number} is {found.state} already.", field="lead_id", remedy="Take it in again if it comes back."),
    )
    return found


def _check(rows: pl.DataFrame, on: date) -> None:
    nobody = rows.filter((pl.col("name") == "") & (pl.col("company") == ""))
    ensure(
        nobody.is_empty(),
        Invalid("A lead is somebody: a person, a company or both.", field="name", remedy="Fill in one of them."),
    )
    ensure_countries(rows["country"].unique(maintain_order=True))
    late = rows.filter(pl.col("created_on") > on)["created_on"]
    ensure(
        late.is_empty(),
        Invalid(f"{late[0] if late.len() else ''} is still to come.", field="created_on", remedy="Correct the day."),
    )
    for name in TEXTS:
        most = Lead._meta.get_field(name).max_length  # type: ignore[union-attr]
        ensure(
            not (rows[name].str.len_chars() > most).any(),
            Invalid(f"A lead's {name} has at most {most} characters.", field=name, remedy="Shorten it."),
        )
    reps = rows["rep_id"].drop_nulls().unique().to_list()
    ensure(
        Rep.objects.filter(pk__in=reps).count() == len(reps),
        Invalid("There is no such sales person.", field="rep_id", remedy="Choose one of the team."),
    )
    wanted = {code for code in rows["campaign"].unique().to_list() if code}
    unknown = sorted(wanted - set(Campaign.objects.filter(code__in=wanted).values_list("code", flat=True)))
    ensure(
        not unknown,
        Invalid(f"There is no campaign {', '.join(unknown)}.", field="campaign", remedy="Write the campaign down first."),
    )


def _check_facts(facts: dict[str, Any]) -> None:
    ensure(len(facts) <= MAX_FACTS, Invalid(f"A lead has at most {MAX_FACTS} further facts.", field="facts"))
    leaking = sorted(name for name in facts if name.strip().lower().replace("_", " ") in LEAKING)
    ensure(
        not leaking,
        Invalid(
            f"{', '.join(leaking)} is told by what came of a lead, and would teach nothing.",
            field="facts",
            remedy="Leave it out.",
        ),
    )


def _new_customer(actor: Actor, lead: Lead, is_new: bool, currency: str) -> int:
    name = lead.company or lead.name
    same = [m for m in queries.matches(lead) if m["score"] >= SAME]
    ensure(
        is_new or not same,
        PossibleDuplicate(
            f"{same[0]['name'] if same else ''} is a customer already.",
            field="customer_id",
            remedy="Choose it, or say that this is another one.",
        ),
    )
    facts = pl.DataFrame({"name": [name], "currency": [currency], "country": [lead.country], "segment": [lead.segment]})
    return int(market.add_customers(actor=actor, customers=facts)["customer_id"][0])


def _tell(kind: str, lead: Lead, actor: Actor, on: date, note: str = "") -> None:
    timeline.record_one(
        kind,
        subject="lead",
        subject_id=lead.pk,
        actor=actor,
        on=on,
        customer_id=lead.customer_id,
        note=": ".join(filter(None, (lead.number, note)))[:300],
    )
