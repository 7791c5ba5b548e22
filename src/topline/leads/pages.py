"""The pages of leads: the list, one lead with what speaks for it and how it becomes a deal, campaigns and what they brought."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, cast

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.kernel.money import currencies, parse_amount
from topline.leads import actions, queries
from topline.leads.models import Campaign, Lead
from topline.pipeline.models import Rep
from topline.timeline import queries as timeline
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.export import MAX_ROWS, export
from topline.ui.format import day, percent
from topline.ui.tables import Column, listing

S = Lead.State
DAY = forms.DateInput(attrs={"type": "date"})
YEAR = timedelta(days=365)
LIST = [
    Column("number", "Number", "code", sort="number", link="url"), Column("company", "Company", sort="company", link="url"), Column("name", "Person", sort="name"), Column("interest", "Asked for"),
    Column("source", "Source", sort="source"), Column("campaign", "Campaign"), Column("rep", "Owner"), Column("state", "State", "badge", sort="state"), Column("score", "Likely", sort="score_ppm"),
    Column("created_on", "Came", "date", sort="created_on"),
]  # fmt: skip
CAMPAIGNS = [
    Column("name", "Campaign", link="url"), Column("channel", "Channel"), Column("ran", "Ran"), Column("cost_minor", "Cost", "money"),
    Column("leads", "Leads", "integer"), Column("qualified", "Qualified", "integer"), Column("converted", "Converted", "integer"), Column("won", "Won", "integer"), Column("won_minor", "Won for", "money"),
    Column("cost_each", "A lead", "money"), Column("cost_won", "A won deal", "money"), Column("back", "Back for each"), Column("currency", ""),
]  # fmt: skip
BROUGHT = [
    Column("key", "Group"), Column("leads", "Leads", "integer"), Column("qualified", "Qualified", "integer"), Column("share_qualified", "of leads"), Column("converted", "Converted", "integer"),
    Column("share_converted", "of leads"), Column("disqualified", "Disqualified", "integer"), Column("won", "Won", "integer"), Column("won_minor", "Won for", "money"), Column("currency", ""),
]  # fmt: skip


PATH = [Column("step", "Step"), Column("leads", "Reached it", "integer"), Column("of_before", "Of those before"), Column("of_leads", "Of all leads"), Column("median_days", "Days since the lead, median", "decimal")]  # fmt: skip

FIELDS = {"cost_minor": "cost", "amount_minor": "amount", "customer_id": "customer"}


class LeadForm(forms.Form):
    """What is known of a lead."""

    company = forms.CharField(max_length=200, required=False)
    name = forms.CharField(max_length=200, required=False, label="Person")
    email = forms.EmailField(required=False)
    phone = forms.CharField(max_length=60, required=False)
    country = forms.CharField(max_length=2, required=False, help_text="two letters, such as DE")
    segment = forms.CharField(max_length=40, required=False)
    source = forms.CharField(max_length=60, required=False)
    campaign = forms.ChoiceField(required=False)
    interest = forms.CharField(max_length=300, required=False, label="Asked for")
    rep_id = forms.TypedChoiceField(coerce=int, required=False, empty_value=None, label="Owner")

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        cast(forms.ChoiceField, self.fields["campaign"]).choices = [
            ("", "none"),
            *Campaign.objects.order_by("-starts_on").values_list("code", "name")[:200],
        ]
        cast(forms.ChoiceField, self.fields["rep_id"]).choices = [("", "nobody yet"), *_sellers()]


class ConvertForm(forms.Form):
    """How a lead becomes a deal."""

    customer = forms.ChoiceField(widget=forms.RadioSelect)
    deal = forms.CharField(max_length=200)
    amount = forms.CharField(max_length=30, required=False)
    rep_id = forms.TypedChoiceField(coerce=int, label="Owner")

    def __init__(self, data: Any = None, *, lead: Lead, found: list[dict[str, Any]]) -> None:
        first = str(found[0]["id"]) if found else "new"
        initial = {"customer": first, "deal": f"{lead.interest or 'Lead'} for {lead.company or lead.name}", "rep_id": lead.rep_id}
        super().__init__(data, initial=initial)
        offered = [(str(m["id"]), f"{m['name']}: {m['why']}") for m in found]
        cast(forms.ChoiceField, self.fields["customer"]).choices = [
            *offered,
            ("new", f"a new customer: {lead.company or lead.name}"),
        ]
        cast(forms.ChoiceField, self.fields["rep_id"]).choices = _sellers()


class CampaignForm(forms.Form):
    """A campaign."""

    code = forms.CharField(max_length=40)
    name = forms.CharField(max_length=100)
    channel = forms.CharField(max_length=40, required=False)
    starts_on = forms.DateField(label="From", widget=DAY)
    ends_on = forms.DateField(label="Until", required=False, widget=DAY)
    cost = forms.CharField(max_length=30, required=False)
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()])


@page("leads.view")
def lead_list(request: Asked) -> HttpResponse:
    """Leads, the likeliest first."""
    entity = company(request)
    state = listing(
        request.path, request.GET.dict(), columns=LIST, default_sort="-score_ppm", filters=["q", "state", "source", "campaign"]
    )
    wanted, campaign = state.filters.get("state", "open"), state.filters.get("campaign", "")
    if wanted not in {"open", "all", *S.values}:
        raise Invalid(f"There is no state {wanted!r}.", field="state", remedy=f"Use open, all, {', '.join(S.values)}.")
    if campaign and not (campaign.isdecimal() and len(campaign) < 19):
        raise Invalid(f"{campaign!r} is no campaign.", field="campaign")
    found = queries.leads(
        entity_id=entity.pk, state="" if wanted == "all" else wanted, text=state.filters.get("q", ""), source=state.filters.get("source", ""), campaign_id=int(campaign) if campaign else None
    )  # fmt: skip
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    rows = [_row(lead) for lead in found.select_related("campaign", "rep").order_by(*state.order)[start:end]]
    if state.export:
        return export(rows, LIST, name="leads", form=state.export)
    sources = list(
        Lead.objects.filter(entity_id=entity.pk)
        .exclude(source="")
        .order_by("source")
        .values_list("source", flat=True)
        .distinct()[:100]
    )
    return render(
        request,
        "leads/leads.html",
        {"list": state, "rows": rows, "total": found.count(), "states": S.values, "wanted": wanted, "sources": sources},
    )


@page("leads.view")
def lead(request: Asked, lead_id: int) -> HttpResponse:
    """One lead: what is known, how likely it is and why, and what to do with it."""
    found = _lead(lead_id)
    is_open = found.state in actions.OPEN
    offered = queries.matches(found) if is_open else []
    form = ConvertForm(lead=found, found=offered) if is_open and request.actor.may("leads.convert_lead") else None
    return _shown(request, found, offered, form)


@page("leads.add_leads", methods=("GET", "POST"))
def new(request: Asked) -> HttpResponse:
    """Take in a lead by hand."""
    entity = company(request)
    form = LeadForm(request.POST or None)
    if form.is_valid():
        try:
            made = actions.add_leads(
                actor=request.actor,
                entity_id=entity.pk,
                leads=pl.DataFrame([form.cleaned_data], schema_overrides={"rep_id": pl.Int64}),
                on=clock.today(entity.time_zone),
            )
        except DomainError as error:
            blame(form, error, FIELDS)
        else:
            messages.success(request, "The lead is in.")
            return redirect("leads:lead", made["lead_id"][0])
    context = {"form": form, "title": "New lead", "back": ("Leads", reverse("leads:leads"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("leads.change_lead", methods=("GET", "POST"))
def change(request: Asked, lead_id: int) -> HttpResponse:
    """Correct a lead, or give it to a seller."""
    found = _lead(lead_id)
    now = {name: getattr(found, name) for name in (*actions.TEXTS, "rep_id")} | {
        "campaign": found.campaign.code if found.campaign else ""
    }
    form = LeadForm(request.POST or None, initial=now)
    if form.is_valid():
        said = {**form.cleaned_data}
        code = said.pop("campaign")
        said["campaign_id"] = Campaign.objects.filter(code=code).values_list("id", flat=True).first() if code else None
        try:
            actions.change_lead(
                actor=request.actor, lead_id=lead_id, changes={k: v for k, v in said.items() if v != getattr(found, k)}
            )
        except DomainError as error:
            blame(form, error, FIELDS)
        else:
            messages.success(request, "The lead is changed.")
            return redirect("leads:lead", lead_id)
    context = {"form": form, "title": found.company or found.name, "back": (found.number, reverse("leads:lead", args=[lead_id]))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("leads.qualify_lead", methods=("POST",))
def qualify(request: Asked, lead_id: int) -> HttpResponse:
    """The lead is worth a deal."""
    actions.qualify_lead(actor=request.actor, lead_id=lead_id, on=_today(request))
    messages.success(request, "Qualified. Make it a deal when there is one.")
    return redirect("leads:lead", lead_id)


@page("leads.disqualify_lead", methods=("POST",))
def disqualify(request: Asked, lead_id: int) -> HttpResponse:
    """The lead will be no customer."""
    actions.disqualify_lead(actor=request.actor, lead_id=lead_id, on=_today(request), because=request.POST.get("because", ""))
    messages.success(request, "Disqualified.")
    return redirect("leads:leads")


@page("leads.convert_lead", methods=("POST",))
def convert(request: Asked, lead_id: int) -> HttpResponse:
    """Make customer, contact and deal of a lead."""
    found = _lead(lead_id)
    offered = queries.matches(found)
    form = ConvertForm(request.POST, lead=found, found=offered)
    if form.is_valid():
        said = form.cleaned_data
        try:
            amount = parse_amount(said["amount"], found.entity.currency) if said["amount"] else None
            made = actions.convert_lead(
                actor=request.actor, lead_id=lead_id, on=_today(request), rep_id=said["rep_id"], deal=said["deal"], amount_minor=amount,
                customer_id=None if said["customer"] == "new" else int(said["customer"]), is_new=said["customer"] == "new",
            )  # fmt: skip
        except actions.LeadClosed:
            raise
        except DomainError as error:
            blame(form, error, FIELDS)
        else:
            messages.success(request, "The lead is a deal.")
            return redirect("pipeline:deal", made)
    return _shown(request, found, offered, form, status=400)


@page("leads.score_leads", methods=("POST",))
def score(request: Asked) -> HttpResponse:
    """Score the open leads now."""
    entity = company(request)
    made = actions.score_leads(actor=request.actor, entity_id=entity.pk, as_of=_today(request))
    told = f"{made} leads are scored." if made else "Not enough data: it takes 30 leads that were converted and 30 that were not."
    messages.success(request, told)
    return redirect("leads:leads")


@page("leads.view")
def campaign_list(request: Asked) -> HttpResponse:
    """Campaigns with what they cost and brought, and what became of a year's leads by whatever groups them."""
    entity = company(request)
    as_of = day_asked(request, entity)
    by = request.GET.get("by", "source")
    if by not in queries.BY:
        raise Invalid(f"{by!r} groups nothing.", field="by", remedy=f"Use one of {', '.join(queries.BY)}.")
    rows = [
        {
            **c,
            "url": f"{reverse('leads:leads')}?campaign={c['id']}&state=all",
            "back": f"{c['returned']:.1f}" if c["returned"] is not None else None,
            "ran": _ran(c["starts_on"], c["ends_on"]),
        }
        for c in queries.campaigns(entity=entity)
    ]
    told = queries.brought(entity_id=entity.pk, since=as_of - YEAR, until=as_of + timedelta(days=1), by=by).to_dicts()
    groups = [
        {
            **r,
            "share_qualified": percent(r["qualified"] / r["leads"]),
            "share_converted": percent(r["converted"] / r["leads"]),
            "currency": r["currency"] or entity.currency,
        }
        for r in told
    ]
    context = {
        "rows": rows,
        "columns": [c for c in CAMPAIGNS if c.key != "currency" or len({r["currency"] for r in rows}) > 1],
        "groups": groups,
        "group_columns": [Column("key", queries.BY[by]), *BROUGHT[1:]],
        "path": [
            {**s, "of_leads": percent(s["of_leads"]), "of_before": percent(s["of_before"])}
            for s in queries.path(entity_id=entity.pk, since=as_of - YEAR, until=as_of + timedelta(days=1), as_of=as_of)
        ],
        "path_columns": PATH,
        "by": by,
        "bys": queries.BY,
        "as_of": as_of,
    }
    return render(request, "leads/campaigns.html", context)


@page("leads.add_campaign", methods=("GET", "POST"))
def new_campaign(request: Asked) -> HttpResponse:
    """Write a campaign down."""
    entity = company(request)
    form = CampaignForm(request.POST or None, initial={"currency": entity.currency, "starts_on": _today(request)})
    if form.is_valid():
        said = dict(form.cleaned_data)
        cost = said.pop("cost")
        try:
            actions.add_campaign(
                actor=request.actor, cost_minor=parse_amount(cost, said["currency"], field="cost") if cost else 0, **said
            )
        except DomainError as error:
            blame(form, error, FIELDS)
        else:
            messages.success(request, "The campaign is written down; leads name it by its code.")
            return redirect("leads:campaigns")
    context = {"form": form, "title": "New campaign", "back": ("Campaigns", reverse("leads:campaigns"))}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


# --- parts ---
def _shown(
    request: Asked, found: Lead, offered: list[dict[str, Any]], form: ConvertForm | None, status: int = 200
) -> HttpResponse:
    strongest = max((abs(r["weight"]) for r in found.reasons), default=1.0)
    context = {
        "lead": found, "is_open": found.state in actions.OPEN, "offered": offered, "form": form, "likely": _likely(found), "is_learned": found.scored_on is not None or Lead.objects.filter(scored_on__isnull=False).exists(),
        "reasons": [{**r, "words": r["fact"].replace("_", " "), "share": round(100 * abs(r["weight"]) / strongest)} for r in found.reasons],
        "spine": [{**m, "url": ""} for m in timeline.milestones(subject=("lead", found.pk), limit=50).to_dicts()],
    }  # fmt: skip
    return render(request, "leads/lead.html", context, status=status)


def _ran(starts_on: date, ends_on: date | None) -> str:
    """The days of a campaign in words, each day in one piece."""
    first, last = (day(d).replace(" ", "\u00a0") if d else "" for d in (starts_on, ends_on))
    if first == last:
        return first
    return f"{first} to {last}" if last else f"since {first}"


def _row(lead: Lead) -> dict[str, Any]:
    return {
        "number": lead.number, "url": reverse("leads:lead", args=[lead.pk]), "company": lead.company or lead.name, "name": lead.name, "interest": lead.interest, "source": lead.source or None,
        "campaign": lead.campaign.name if lead.campaign else None, "rep": lead.rep.name if lead.rep else None, "state": lead.state, "score": _likely(lead), "created_on": lead.created_on,
    }  # fmt: skip


def _likely(lead: Lead) -> str | None:
    """The score as people read it: never 0 or 100."""
    return None if lead.score_ppm is None else f"{min(99, max(1, round(lead.score_ppm / 10_000)))}\u00a0in\u00a0100"


def _sellers() -> list[tuple[Any, str]]:
    return list(Rep.objects.filter(left_on__isnull=True).order_by("name").values_list("id", "name")[:500])


def _lead(lead_id: int) -> Lead:
    found = Lead.objects.select_related("campaign", "rep", "customer", "opportunity", "entity").filter(pk=lead_id).first()
    if found is None:
        raise NotFound(f"There is no lead {lead_id}.", field="lead_id", remedy="Look for it under Leads.")
    return found


def _today(request: Asked) -> date:
    return clock.today(company(request).time_zone)
