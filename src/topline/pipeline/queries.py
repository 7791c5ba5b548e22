"""Reads of the pipeline: sales people, stages, and deals as of any day."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
from django.db.models import Count, Q, QuerySet

from topline.catalog import queries as catalog
from topline.engine.sales import history
from topline.kernel import bulk
from topline.market.models import Competitor
from topline.market.names import folded
from topline.pipeline.models import Opportunity, OpportunityChange, OpportunityLine, OpportunitySnapshot, Rep, RepLead, Stage

FIXED = ["number", "name", "customer_id", "currency", "opened_on", "engaged_on", "closed_on", "source", "segment", "loss_reason", "competitor"]  # fmt: skip
EXACT = pl.Decimal(38, 15)


def stages() -> pl.DataFrame:
    """The stages in order: key, name, position, kind (open, won, lost), category (its usual one), is_qualified. One statement."""
    return bulk.read(
        Stage.objects.order_by("position", "id").values("key", "name", "position", "kind", "category", "is_qualified")
    )


def lead_history() -> pl.DataFrame:
    """Who led whom from which day on: rep_id, from_on, manager_id, one row per person and day on which it changed, in their order. One statement."""
    rows = bulk.read(RepLead.objects.order_by("from_on", "id").values("rep_id", "from_on", "manager_id"))
    return rows.unique(["rep_id", "from_on"], keep="last", maintain_order=True)


def reps(*, on: date | None = None) -> pl.DataFrame:
    """Everybody who sells or sold: rep_id, code, name, manager_id, manager (name), region, joined_on, left_on, member_id.

    on  the day whose teams are asked for; those of now without it. One statement, two for the teams of a day
    """
    found = bulk.read(
        Rep.objects.order_by("name", "id").values(
            "id", "code", "name", "manager_id", "region", "joined_on", "left_on", "member_id"
        )
    ).rename({"id": "rep_id"})
    if on is not None:
        told = lead_history()
        then = told.filter(pl.col("from_on") <= on).unique("rep_id", keep="last").select("rep_id", _then="manager_id")
        moved = pl.col("rep_id").is_in(told["rep_id"].unique().to_list())
        found = found.join(then, on="rep_id", how="left", maintain_order="left")
        found = found.with_columns(manager_id=pl.when(moved).then("_then").otherwise("manager_id")).drop("_then")
    names = found.select(manager_id="rep_id", manager="name")
    return found.join(names, on="manager_id", how="left", maintain_order="left")


def opportunities(
    *, entity_id: int | None = None, state: str = "", stage: str = "", rep_id: int = 0, search: str = ""
) -> QuerySet[Opportunity]:
    """Deals as they stand, narrowed by company, state, stage (key), owner, and part of a name or start of a number. For lists that page."""
    wanted = {"entity_id": entity_id, "state": state, "stage__key": stage, "rep_id": rep_id}
    rows = Opportunity.objects.filter(is_withdrawn=False, **{k: v for k, v in wanted.items() if v})
    return rows.filter(Q(name__icontains=search) | Q(number__istartswith=search)) if search else rows


def find_reps(values: pl.Series) -> pl.DataFrame:
    """Which sales person each text names, by code first, then by name; a name that two bear finds nobody.

    returns  one row per distinct text: value str, rep_id i64 or null
    """
    known = bulk.read(Rep.objects.order_by("id").values("id", "code", "name"))
    wanted = pl.DataFrame({"value": values.drop_nulls().unique()}, schema={"value": pl.String})
    by_code = wanted.join(known.select(value="code", _code="id"), on="value", how="left", maintain_order="left")
    names = known.select(_folded=folded(pl.col("name")), _name="id").filter(~pl.col("_folded").is_duplicated())
    found = by_code.with_columns(_folded=folded(pl.col("value"))).join(names, on="_folded", how="left", maintain_order="left")
    return found.select("value", rep_id=pl.coalesce("_code", "_name"))


def changes(*, entity_id: int, until: date | None = None) -> pl.DataFrame:
    """Every change of every deal up to a day, in the order in which they were recorded.

    returns  one row per change: id, opportunity_id, field, before, after (texts, empty for none), effective_on
    Work: one statement.
    """
    rows = OpportunityChange.objects.filter(opportunity__entity_id=entity_id, opportunity__is_withdrawn=False)
    if until is not None:
        rows = rows.filter(effective_on__lte=until)
    return bulk.read(rows.order_by("id").values("id", "opportunity_id", "field", "before", "after", "effective_on"))


def deals(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """Every deal that was known on a day, as it was then: nothing that happened later is told.

    returns  one row per deal: opportunity_id, number, name, customer_id, currency, opened_on, engaged_on, closed_on (null unless closed by
             then), source, segment, loss_reason, competitor, stage, state (open, won, lost), category, amount_minor (null: unknown),
             list_minor (its lines at the list prices of the day), value_minor (amount, else list), close_on, rep_id, next_step
    Work: five statements; reads the changes up to the day.
    """
    fixed = bulk.read(
        Opportunity.objects.filter(entity_id=entity_id, is_withdrawn=False).order_by("id").values("id", *FIXED)
    ).rename({"id": "opportunity_id"})
    then = history.state_at(changes(entity_id=entity_id, until=as_of), as_of)
    kinds = stages().select(stage="key", state="kind")
    is_closed = pl.col("state") != "open"
    found = (
        fixed.join(then, on="opportunity_id", maintain_order="left")
        .join(kinds, on="stage", how="left", maintain_order="left")
        .rename({"amount": "amount_minor", "rep": "rep_id"})
        .with_columns(pl.when(is_closed).then("closed_on").alias("closed_on"))
        .with_columns(pl.when(is_closed).then(pl.col(c)).otherwise(pl.lit("")).alias(c) for c in ("loss_reason", "competitor"))
    )
    listed = list_values(entity_id=entity_id, on=as_of)
    return found.join(listed, on="opportunity_id", how="left", maintain_order="left").with_columns(
        value_minor=pl.coalesce("amount_minor", "list_minor"), next_step=pl.col("next_step").fill_null("")
    )


def list_values(*, entity_id: int, on: date) -> pl.DataFrame:
    """What the lines of each deal are worth at the list prices of a day.

    returns  one row per deal with lines: opportunity_id, list_minor i64, null where a product has no list price on the day
    Work: two statements.
    """
    rows = lines(entity_id=entity_id, on=on)
    return list_worth(catalog.prices(rows.with_columns(on=pl.lit(on))))


def list_worth(priced: pl.DataFrame) -> pl.DataFrame:
    """Lines with the list price of their day summed by deal: opportunity_id, list_minor, null where a product has no list price."""
    exact = pl.col("quantity_micro").cast(EXACT) / 10**6 * pl.col("unit_price_nano").cast(EXACT) / 10**9
    worth = priced.with_columns(_minor=exact.round(0, mode="half_away_from_zero").cast(pl.Int64))
    whole = pl.col("_minor").is_not_null().all()
    return worth.group_by("opportunity_id", maintain_order=True).agg(list_minor=pl.when(whole).then(pl.col("_minor").sum()))


def lines(*, entity_id: int, on: date | None = None) -> pl.DataFrame:
    """What is being sold on a day (default: by now): one row per line with opportunity_id, product_id, currency, quantity_micro,
    amount_minor. One statement."""
    rows = OpportunityLine.objects.filter(opportunity__entity_id=entity_id, opportunity__is_withdrawn=False).order_by("id")
    rows = (
        rows.filter(removed_on__isnull=True)
        if on is None
        else rows.filter(Q(added_on__isnull=True) | Q(added_on__lte=on), Q(removed_on__isnull=True) | Q(removed_on__gt=on))
    )
    named: dict[str, Any] = {"opportunity__currency": "currency"}
    return bulk.read(
        rows.values("opportunity_id", "product_id", "opportunity__currency", "quantity_micro", "amount_minor")
    ).rename(named)


def snapshot(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """The open deals as they were written down at the end of a day; empty where none were. One statement.

    returns  one row per open deal: opportunity_id, rep_id, stage, category, amount_minor, currency, close_on
    """
    rows = OpportunitySnapshot.objects.filter(entity_id=entity_id, as_of=as_of).order_by("opportunity_id")
    return bulk.read(
        rows.values("opportunity_id", "rep_id", "stage_key", "category", "amount_minor", "currency", "close_on")
    ).rename({"stage_key": "stage"})


def off_their_history() -> pl.DataFrame:
    """Deals whose columns are not what their changes lead to, or whose state is not that of their stage: none, unless somebody went
    around the door. One row per deal: opportunity_id, number. Two statements; reads all changes.
    """
    facts = {
        "category": "category",
        "amount_minor": "amount",
        "close_on": "close_on",
        "rep_id": "rep",
        "next_step": "next_step",
        "stage__key": "stage",
    }
    stands = bulk.read(
        Opportunity.objects.filter(is_withdrawn=False).order_by("id").values("id", "number", "state", "stage__kind", *facts)
    ).rename({"id": "opportunity_id"})
    every = bulk.read(OpportunityChange.objects.order_by("id").values("id", "opportunity_id", "field", "after", "effective_on"))
    told = history.state_at(every, date.max).rename({name: f"_{name}" for name in facts.values()})
    both = stands.join(told, on="opportunity_id", how="left", maintain_order="left")
    same = [
        pl.col(c).eq_missing(pl.col(f"_{f}").fill_null("") if f == "next_step" else pl.col(f"_{f}")) for c, f in facts.items()
    ]
    odd = both.filter(~pl.all_horizontal(same) | (pl.col("state") != pl.col("stage__kind")))
    return odd.select("opportunity_id", "number").head(100)


def off_their_teams() -> pl.DataFrame:
    """People whose lead is not the one that their history leads to: none, unless somebody went around the door. rep_id, name. Two statements."""
    last = lead_history().unique("rep_id", keep="last").select("rep_id", _last="manager_id", _told=pl.lit(value=True))
    both = reps().join(last, on="rep_id", how="left", maintain_order="left")
    return (
        both.filter(pl.col("_told").is_null() | ~pl.col("manager_id").eq_missing(pl.col("_last")))
        .select("rep_id", "name")
        .head(100)
    )


def loss_words() -> tuple[list[str], list[str]]:
    """The reasons for which deals were lost, the most frequent first, and the competitors that are still about; at most fifty each. Two statements."""
    reasons = (
        Opportunity.objects.exclude(loss_reason="")
        .values_list("loss_reason")
        .annotate(n=Count("id"))
        .order_by("-n", "loss_reason")[:50]
    )
    rivals = Competitor.objects.filter(is_active=True).order_by("name").values_list("name", flat=True)[:50]
    return [reason for reason, _ in reasons], list(rivals)
