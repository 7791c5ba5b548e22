"""Reads of leads: lists, customers that a lead may be, what the score is learned from, and what each source brought."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
from django.db.models import Q, QuerySet
from rapidfuzz import fuzz, process

from topline.books.models import Entity
from topline.engine import lead_scoring
from topline.kernel import bulk
from topline.leads.models import Campaign, Lead
from topline.market.models import Contact, Customer
from topline.market.names import folded
from topline.pipeline import figures
from topline.pipeline import queries as pipeline
from topline.pipeline.models import Stage

CLOSED = (Lead.State.CONVERTED, Lead.State.DISQUALIFIED)
FREE_MAIL = {
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "hotmail.com",
    "yahoo.com",
    "icloud.com",
    "gmx.de",
    "gmx.net",
    "web.de",
    "t-online.de",
    "proton.me",
    "aol.com",
}
SIMILAR, OFFERED = 80.0, 5
BY = {"source": "Source", "campaign": "Campaign", "segment": "Segment", "country": "Country", "rep": "Sales person"}
FIELDS = ("id", "source", "country", "segment", "campaign__code", "email", "phone", "company", "state", "closed_on", "created_on")


def leads(
    *, entity_id: int, state: str = "open", text: str = "", source: str = "", campaign_id: int | None = None
) -> QuerySet[Lead]:
    """Leads narrowed by state (open: not yet closed), source, campaign, and a part of name, company or address. For lists that page."""
    found = Lead.objects.filter(entity_id=entity_id)
    if state == "open":
        found = found.exclude(state__in=CLOSED)
    elif state:
        found = found.filter(state=state)
    if source:
        found = found.filter(source="" if source == "none" else source)
    if campaign_id is not None:
        found = found.filter(campaign_id=campaign_id)
    return (
        found.filter(
            Q(name__icontains=text) | Q(company__icontains=text) | Q(email__icontains=text) | Q(number__istartswith=text)
        )
        if text
        else found
    )


def matches(lead: Lead) -> list[dict[str, Any]]:
    """Customers that a lead may belong to, the likeliest first (at most five): id, name, score (0 to 100), why.

    The same address or mail domain of a contact, or a name that is nearly the same. Work: two statements; names are compared in one pass.
    """
    found: dict[int, dict[str, Any]] = {}
    domain = lead.email.rpartition("@")[2]
    if lead.email:
        near = Q(email__iexact=lead.email) | (
            Q(email__iendswith=f"@{domain}") if domain and domain not in FREE_MAIL else Q(pk__in=[])
        )
        for contact in Contact.objects.filter(near, customer__merged_into__isnull=True).select_related("customer")[:50]:
            exact = contact.email.lower() == lead.email
            told = {
                "id": contact.customer_id,
                "name": contact.customer.name,
                "score": 100.0 if exact else 95.0,
                "why": f"{contact.name} has the address {contact.email}" if exact else f"{contact.name} writes from {domain}",
            }
            if told["score"] > found.get(contact.customer_id, {"score": 0})["score"]:
                found[contact.customer_id] = told
    if lead.company:
        known = bulk.read(Customer.objects.filter(merged_into__isnull=True).order_by("id").values("id", "name")).with_columns(
            folded=folded(pl.col("name"))
        )
        wanted = pl.DataFrame({"name": [lead.company]}).select(folded(pl.col("name"))).to_series()[0]
        for _, score, place in process.extract(
            wanted, known["folded"].to_list(), scorer=fuzz.token_sort_ratio, score_cutoff=SIMILAR, limit=OFFERED
        ):
            pk, name = known["id"][place], known["name"][place]
            if score > found.get(pk, {"score": 0})["score"]:
                found[pk] = {
                    "id": pk,
                    "name": name,
                    "score": score,
                    "why": "the same name" if score == 100 else "nearly the same name",
                }
    return sorted(found.values(), key=lambda m: (-m["score"], m["name"]))[:OFFERED]


def scores(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """How likely each open lead is to convert, learned from those closed by the day: lead_id, score_ppm, reasons; empty where too few are closed.

    Work: two statements and a regression.
    """
    known = Lead.objects.filter(entity_id=entity_id, created_on__lte=as_of)
    rows = bulk.read(known.order_by("id").values(*FIELDS))
    if rows.is_empty():
        return pl.DataFrame()
    facts, over = (
        _facts(rows, dict(known.exclude(facts={}).values_list("id", "facts"))),
        pl.col("state").is_in(list(CLOSED)) & (pl.col("closed_on") <= as_of),
    )
    past = rows.select(over).to_series()
    model = lead_scoring.fit(facts.filter(past), rows.filter(past)["state"] == Lead.State.CONVERTED)
    present = rows.select(~pl.col("state").is_in(list(CLOSED))).to_series()
    if model is None or not present.any():
        return pl.DataFrame()
    mine = facts.filter(present)
    ppm = (lead_scoring.score(model, mine)["probability"] * 1_000_000).round().cast(pl.Int64)
    return pl.DataFrame(
        {
            "lead_id": rows.filter(present)["id"],
            "score_ppm": ppm,
            "reasons": pl.Series(lead_scoring.reasons(model, mine), dtype=pl.Object),
        }
    )


def first_stage() -> str:
    """The stage in which a converted lead begins: the first open one that counts as qualified, else the first. One statement."""
    steps = list(Stage.objects.filter(kind=Stage.Kind.OPEN).order_by("position").values_list("key", "is_qualified"))
    return next((key for key, qualified in steps if qualified), steps[0][0])


def brought(*, entity_id: int, since: date, until: date, by: str) -> pl.DataFrame:
    """What became of the leads that came in [since, until), by a group of BY.

    returns  key, leads, qualified, converted, disqualified, won, lost (deals), currency and won_minor (of deals won); the most leads first
    Work: one statement.
    """
    names = {"source": "source", "campaign": "campaign__code", "segment": "segment", "country": "country", "rep": "rep__name"}
    deal = {"deal": "opportunity__state", "won_minor": "opportunity__amount_minor", "currency": "opportunity__currency"}
    rows = bulk.read(
        Lead.objects.filter(entity_id=entity_id, created_on__gte=since, created_on__lt=until).values(
            names[by], "state", "qualified_on", *deal.values()
        )
    ).rename({v: k for k, v in deal.items()})
    won = pl.col("deal") == "won"
    grouped = rows.group_by(key=pl.when(pl.col(names[by]).fill_null("") == "").then(pl.lit("none")).otherwise(pl.col(names[by]))).agg(
        leads=pl.len(), qualified=pl.col("qualified_on").is_not_null().sum(), converted=(pl.col("state") == "converted").sum(), disqualified=(pl.col("state") == "disqualified").sum(),
        won=won.sum(), lost=(pl.col("deal") == "lost").sum(), won_minor=pl.col("won_minor").filter(won).sum(), currency=pl.col("currency").drop_nulls().first(),
        currencies=pl.col("currency").filter(won).n_unique(),
    )  # fmt: skip
    return (
        grouped.with_columns(won_minor=pl.when(pl.col("currencies") <= 1).then("won_minor"))
        .drop("currencies")
        .sort("leads", "key", descending=[True, False])
    )


def path(*, entity_id: int, since: date, until: date, as_of: date) -> list[dict[str, Any]]:
    """One way from lead to won: the leads that came in [since, until), the steps they reached by a day, through the stages of their deals.

    returns  in order: step (in words), leads (that reached it), of_leads, of_before f64 (shares; null where nothing divides), median_days f64 (since the
             lead came; null where nobody reached it). A skipped stage counts as passed, a step back undoes nothing
    Work: four statements.
    """
    rows = bulk.read(
        Lead.objects.filter(entity_id=entity_id, created_on__gte=since, created_on__lt=until).values("id", "created_on", "qualified_on", "closed_on", "state", "opportunity_id")
    )  # fmt: skip
    steps = pipeline.stages().filter(pl.col("kind") != "lost").select(stage="key", name="name", position="position")
    moves = figures.moves(entity_id=entity_id, until=as_of).join(steps, on="stage")
    mine = rows.select("opportunity_id", "created_on").drop_nulls("opportunity_id").join(moves, on="opportunity_id")
    told: list[tuple[str, pl.DataFrame]] = [
        ("Lead", rows.select(days=pl.col("id") * 0)),
        ("Qualified lead", _after(rows, "qualified_on", as_of)),
        ("Deal", _after(rows.filter(pl.col("state") == "converted"), "closed_on", as_of)),
    ]
    for name, position in steps.select("name", "position").iter_rows():
        reached = (
            mine.filter(pl.col("position") >= position)
            .group_by("opportunity_id")
            .agg(pl.col("created_on").first(), reached=pl.col("entered_on").min())
        )
        told.append((name, _after(reached, "reached", as_of)))
    found: list[dict[str, Any]] = []
    for name, frame in told:
        before = found[-1]["leads"] if found else 0
        found.append({
            "step": name, "leads": frame.height, "of_leads": frame.height / rows.height if rows.height else None, "of_before": frame.height / before if before else None,
            "median_days": frame["days"].median() if found else None,
        })  # fmt: skip
    return found


def _after(rows: pl.DataFrame, column: str, as_of: date) -> pl.DataFrame:
    """Days since the lead came for those who reached a step by a day; a deal that was there before its lead counts as the same day."""
    reached = rows.filter(pl.col(column).is_not_null() & (pl.col(column) <= as_of))
    return reached.select(days=(pl.col(column) - pl.col("created_on")).dt.total_days().clip(0))


def campaigns(*, entity: Entity) -> list[dict[str, Any]]:
    """Every campaign with what it cost and brought, the newest first (at most 200): the fields of Campaign, the counts of `brought`, cost_each
    (a lead), cost_won (a won deal), both in its currency, and returned (won for each unit of cost, where both are in one currency).
    """
    found = list(
        Campaign.objects.order_by("-starts_on", "-id").values(
            "id", "code", "name", "channel", "starts_on", "ends_on", "cost_minor", "currency"
        )[:200]
    )
    told = {r["key"]: r for r in brought(entity_id=entity.pk, since=date.min, until=date.max, by="campaign").to_dicts()}
    rows = []
    for c in found:
        got = told.get(
            c["code"],
            dict.fromkeys(("leads", "qualified", "converted", "disqualified", "won", "lost"), 0)
            | {"won_minor": 0, "currency": None},
        )
        same = got["won_minor"] is not None and got["currency"] in (None, c["currency"])
        rows.append(
            {**c, **{k: got[k] for k in ("leads", "qualified", "converted", "disqualified", "won", "lost")}, "won_minor": got["won_minor"] if same else None,
             "cost_each": c["cost_minor"] // got["leads"] if got["leads"] else None, "cost_won": c["cost_minor"] // got["won"] if got["won"] else None,
             "returned": got["won_minor"] / c["cost_minor"] if same and c["cost_minor"] else None}
        )  # fmt: skip
    return rows


def _facts(rows: pl.DataFrame, told: dict[int, dict[str, Any]]) -> pl.DataFrame:
    """What was known when each lead came in: the columns that may teach, and further facts by name."""
    domain = pl.col("email").str.split("@").list.last()
    mail = (
        pl.when(pl.col("email") == "")
        .then(pl.lit("none"))
        .when(domain.is_in(list(FREE_MAIL)))
        .then(pl.lit("free mail"))
        .otherwise(pl.lit("own domain"))
    )
    usual = rows.select(
        "source", "country", "segment", campaign=pl.col("campaign__code").fill_null(""), mail=mail, phone=pl.when(pl.col("phone") != "").then(pl.lit("given")).otherwise(pl.lit("")),
        company=pl.when(pl.col("company") != "").then(pl.lit("named")).otherwise(pl.lit("")),
    )  # fmt: skip
    said = [told.get(pk, {}) for pk in rows["id"].to_list()]
    names = sorted({name for facts in said for name in facts} - set(usual.columns))[:30]
    extra = {name: [str(facts[name]) if name in facts else "" for facts in said] for name in names}
    return usual.with_columns(pl.Series(name, values, dtype=pl.String) for name, values in extra.items())
