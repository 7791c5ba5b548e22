"""Reads of the lifecycle: purchases by customer and day, where customers stand and how well, and what cohorts keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Count, Q, Sum

from topline.billing.models import Invoice
from topline.books import rates
from topline.books.models import Entity
from topline.contracts.models import Contract
from topline.engine import lifecycle as engine
from topline.engine.lifecycle import Every
from topline.kernel import bulk
from topline.kernel.errors import NotFound
from topline.kernel.remember import Remembered
from topline.lifecycle.models import StageOverride
from topline.market import queries as market
from topline.market.models import Customer, ExperienceRecord
from topline.pipeline.models import Opportunity
from topline.receivables import figures
from topline.receivables import queries as receivables
from topline.timeline.models import Milestone

YEAR, HALF_YEAR = timedelta(days=365), timedelta(days=182)
WORDS = {"lead": "Lead", "prospect": "Prospect", "new": "New", "onboarding": "Onboarding", "active": "Active", "expanding": "Expanding", "at_risk": "At risk", "churned": "Churned", "won_back": "Won back"}  # fmt: skip
PART_WORDS = {"pays": "Pays on time", "owes": "Owes nothing overdue", "buys": "Buys as usual", "says": "Says it is content", "troubles": "No disputes and tickets"}  # fmt: skip
_standings: Remembered[pl.DataFrame] = Remembered(size=8)
_purchases: Remembered[pl.DataFrame] = Remembered(size=4)


@dataclass(frozen=True)
class Standing:
    """Where one customer stands: the stage that counts, why, the computed one, and points of health by part (null: not known)."""

    stage: str
    because: str
    computed: str
    is_override: bool
    health: float | None
    parts: dict[str, float | None]


def purchases(*, entity_id: int, until: date) -> pl.DataFrame:
    """What each customer was billed on each day, net, in the company's currency; credit notes stand negative, void documents are left out.

    Who was never billed by then bought the deals that were won of them: a company that bills elsewhere has customers all the same.
    returns  customer_id i64 (merged records under the one that took them over), on date, amount_minor i64
    Work: three statements, one while nothing has changed. The net of a document in another currency is its share of the amount in the
    books; a deal counts at the rate of the day it was won. Raises: RateMissing for a deal in a currency without one.
    """
    return _purchases.get((entity_id, until), lambda: _bought(entity_id, until))


def _bought(entity_id: int, until: date) -> pl.DataFrame:
    billed = _billed(entity_id, until)
    won = Opportunity.objects.filter(
        entity_id=entity_id,
        state="won",
        is_withdrawn=False,
        closed_on__lte=until,
        customer__isnull=False,
        amount_minor__isnull=False,
    )
    deals = market.resolve(bulk.read(won.values("customer_id", "currency", "amount_minor", "closed_on"))).rename(
        {"closed_on": "on"}
    )
    deals = deals.join(billed, on="customer_id", how="anti")
    home = rates.convert(deals, to=Entity.objects.get(pk=entity_id).currency)
    sold = home.group_by("customer_id", "on").agg(amount_minor=pl.col("converted_minor").sum())
    return pl.concat([billed, sold]).sort("customer_id", "on")


def under_contract(*, entity_id: int, on: date) -> pl.Series:
    """Customers with a contract in force on a day, for whom their contract says what they buy: ids. One statement."""
    rows = Contract.objects.filter(Q(ends_on__gt=on) | Q(ends_on__isnull=True), entity_id=entity_id, starts_on__lte=on)
    return market.resolve(bulk.read(rows.order_by().values("customer_id").distinct()))["customer_id"].unique()


def _billed(entity_id: int, until: date) -> pl.DataFrame:
    rows = Invoice.objects.filter(entity_id=entity_id, issued_on__lte=until).exclude(
        state__in=[Invoice.State.DRAFT, Invoice.State.VOID]
    )
    sums = {"net": Sum("net_minor"), "total": Sum("total_minor"), "booked": Sum("functional_minor")}
    frame = market.resolve(bulk.read(rows.order_by().values("customer_id", "issued_on", "kind", "currency").annotate(**sums)))
    share = (pl.col("booked") * (pl.col("net") / pl.col("total"))).round().cast(pl.Int64)
    net = pl.when(pl.col("booked") == pl.col("total")).then("net").when(pl.col("total") == 0).then(0).otherwise(share)
    sign = pl.when(pl.col("kind") == Invoice.Kind.CREDIT_NOTE).then(-1).otherwise(1)
    return frame.group_by("customer_id", on="issued_on").agg(amount_minor=(net * sign).sum()).sort("customer_id", "on")


def standings(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """Every customer with stage, health and what they rest on.

    returns  one row per customer: customer_id, number, name, segment, owner, stage (that counts), because, computed (stage), is_override bool,
             health f64 (of customers that are there: neither a lead nor churned) and a column of each part (null: not known), first_on, last_on, purchases, year_minor, quiet_days
    Work: twelve statements, one while nothing has changed.
    """
    return _standings.get((entity_id, as_of), lambda: _standing(entity_id, as_of))


def standing(*, entity_id: int, customer_id: int, as_of: date) -> Standing:
    """One of them. Raises: NotFound."""
    found = standings(entity_id=entity_id, as_of=as_of).filter(pl.col("customer_id") == customer_id).to_dicts()
    if not found:
        raise NotFound(f"There is no customer {customer_id}.", field="customer_id")
    row = found[0]
    return Standing(row["stage"], row["because"], row["computed"], row["is_override"], row["health"], {p: row[p] for p in engine.PARTS})  # fmt: skip


def retention(*, entity_id: int, as_of: date, every: Every = "quarter", segment: str = "") -> pl.DataFrame:
    """What each cohort keeps (see `engine.lifecycle.retention`), of one segment or of all."""
    bought = purchases(entity_id=entity_id, until=as_of)
    if segment:
        within = Customer.objects.filter(segment=segment, merged_into__isnull=True).values_list("id", flat=True)
        bought = bought.filter(pl.col("customer_id").is_in(list(within)))
    return engine.retention(bought, as_of=as_of, every=every)


def segments() -> list[str]:
    """The segments that stand on customers; at most a hundred."""
    return list(Customer.objects.filter(merged_into__isnull=True).exclude(segment="").order_by("segment").values_list("segment", flat=True).distinct()[:100])  # fmt: skip


def overrides(customer_id: int) -> Sequence[Mapping[str, Any]]:
    """What was said by hand of a customer, the newest first; at most twenty."""
    return list(StageOverride.objects.filter(customer_id=customer_id).order_by("-on", "-id").values("stage", "because", "on", "until", "actor_key")[:20])  # fmt: skip


# --- parts ---
def _standing(entity_id: int, as_of: date) -> pl.DataFrame:
    people = bulk.read(
        Customer.objects.filter(merged_into__isnull=True).values("id", "number", "name", "segment", "owner__name")
    ).rename({"id": "customer_id", "owner__name": "owner"})  # fmt: skip
    habit = engine.habits(purchases(entity_id=entity_id, until=as_of), as_of=as_of)
    whole = people.join(habit, on="customer_id", how="left")
    for facts in (
        _owed(entity_id, as_of), figures.delays(entity_id=entity_id, as_of=as_of).select("customer_id", pl.col("delay_days").cast(pl.Float64)), _says(as_of), _troubles(as_of), _deals(entity_id, as_of),
    ):  # fmt: skip
        whole = whole.join(facts, on="customer_id", how="left")
    bought = pl.col("first_on").is_not_null()
    asked = whole.select(
        "customer_id",
        delay_days=pl.when(bought).then("delay_days"),
        overdue_share=pl.when(bought & (pl.col("year_minor") > 0)).then(pl.col("overdue_minor").fill_null(0) / pl.col("year_minor")),
        quiet_ratio=pl.when(pl.col("gap_days") > 0).then(pl.col("quiet_days") / pl.max_horizontal(pl.col("gap_days"), pl.lit(30.0))),
        says="says",
        troubles=pl.when(bought).then(pl.col("troubles").fill_null(0)),
    )  # fmt: skip
    well = engine.health(asked)
    whole = whole.drop("says", "troubles").join(well, on="customer_id").with_columns(pl.col("has_deal").fill_null(False))
    placed = whole.join(engine.stages(whole, as_of=as_of), on="customer_id").join(_said(as_of), on="customer_id", how="left")
    is_said = pl.col("_stage").fill_null("") != ""
    there = ~pl.col("stage").is_in(["lead", "churned"])
    return placed.with_columns(
        health=pl.when(there).then("health"), computed="stage", is_override=is_said, stage=pl.when(is_said).then("_stage").otherwise("stage"), because=pl.when(is_said).then("_because").otherwise("because")
    ).select(
        "customer_id", "number", "name", "segment", "owner", "stage", "because", "computed", "is_override", "health", *engine.PARTS, "first_on", "last_on", "purchases", "year_minor", "quiet_days"
    ).sort("customer_id")  # fmt: skip


def _owed(entity_id: int, as_of: date) -> pl.DataFrame:
    """What is overdue, in the company's currency at the day's rate: customer_id, overdue_minor."""
    late = receivables.open_items(entity_id=entity_id, as_of=as_of).filter(pl.col("due_on") < as_of)
    sums = market.resolve(late).group_by("customer_id", "currency").agg(amount_minor=pl.col("open_minor").sum())
    home = rates.convert(sums.with_columns(on=pl.lit(as_of)), to=Entity.objects.get(pk=entity_id).currency)
    return home.group_by("customer_id").agg(overdue_minor=pl.col("converted_minor").sum())


def _says(as_of: date) -> pl.DataFrame:
    """How content each customer said to be within a year, from 0 to 1: customer_id, says."""
    rows = ExperienceRecord.objects.filter(on__gt=as_of - YEAR, on__lte=as_of, competitor__isnull=True, score__isnull=False)
    told = market.resolve(bulk.read(rows.values("customer_id", "kind", "score")))
    scaled = pl.when(pl.col("kind") == "nps").then(pl.col("score") / 10).otherwise((pl.col("score") - 1) / 4)
    return told.group_by("customer_id").agg(says=scaled.mean())


def _troubles(as_of: date) -> pl.DataFrame:
    """Disputes and tickets of half a year: customer_id, troubles."""
    since = as_of - HALF_YEAR
    disputes = Milestone.objects.filter(
        kind="invoice_disputed", occurred_on__gt=since, occurred_on__lte=as_of, customer_id__isnull=False
    )
    tickets = ExperienceRecord.objects.filter(kind="ticket", on__gt=since, on__lte=as_of, competitor__isnull=True)
    both = [bulk.read(rows.order_by().values("customer_id").annotate(n=Count("id"))) for rows in (disputes, tickets)]
    return market.resolve(pl.concat(both)).group_by("customer_id").agg(troubles=pl.col("n").sum().cast(pl.Int64))


def _deals(entity_id: int, as_of: date) -> pl.DataFrame:
    """Who has or had a deal: customer_id, has_deal."""
    rows = Opportunity.objects.filter(
        Q(opened_on__lte=as_of) | Q(opened_on__isnull=True), entity_id=entity_id, customer__isnull=False, is_withdrawn=False
    )
    return (
        market.resolve(bulk.read(rows.order_by().values("customer_id").distinct())).unique().with_columns(has_deal=pl.lit(True))
    )


def _said(as_of: date) -> pl.DataFrame:
    """What was said by hand and holds on a day: customer_id, _stage, _because."""
    rows = bulk.read(
        StageOverride.objects.filter(on__lte=as_of).order_by("on", "id").values("customer_id", "stage", "because", "until")
    )
    newest = market.resolve(rows).unique("customer_id", keep="last", maintain_order=True)
    return newest.filter(pl.col("until").is_null() | (pl.col("until") >= as_of)).select(
        "customer_id", _stage="stage", _because="because"
    )
