"""Figures of selling for pages, the API and the command line: the pipeline of a day, statistics of a span, funnel and bridge."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Max, Min

from topline.catalog import queries as catalog
from topline.catalog.models import Product
from topline.engine import win_rates
from topline.engine.sales import funnel as funnels
from topline.engine.sales import hygiene
from topline.engine.sales import statistics as statistical
from topline.engine.sales import waterfall as bridges
from topline.kernel import bulk
from topline.kernel.errors import Invalid, ensure
from topline.kernel.remember import Remembered
from topline.market.models import Customer
from topline.pipeline import queries
from topline.pipeline.models import Category, Opportunity

GROUPS = {"rep": "Sales person", "team": "Team", "product": "Product", "segment": "Segment", "region": "Region", "source": "Source", "month": "Month", "quarter": "Quarter", "competitor": "Competitor", "loss_reason": "Reason of loss", "business": "New or expansion"}  # fmt: skip
SUMMARIES = {"stage": "Stage", "category": "Category", "rep": "Sales person", "team": "Team", "close_month": "Close month"}
BESIDE = {"before": "as many days before", "year": "the same days a year earlier"}


def _month(day: pl.Expr) -> pl.Expr:
    return day.dt.strftime("%Y-%m")


def _quarter(day: pl.Expr) -> pl.Expr:
    return pl.format("{} Q{}", day.dt.year(), day.dt.quarter())


PERIODS = {"month": _month, "quarter": _quarter}  # groups that follow each other
_books: Remembered[pl.DataFrame] = Remembered(size=8)
CUMULATIVE = [Category.CLOSED, Category.COMMIT, Category.BEST_CASE, Category.PIPELINE]  # each includes those before it


def book(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """Every deal of a day (see queries.deals) with the words that group it: rep, team (who leads the seller), region, product, customer,
    segment (its own, else the customer's), close_month, month and quarter (of closing), cycle_days, and for open ones the flags of hygiene.

    Work: twelve statements, one of them while nothing has changed; reads the changes up to the day.
    """
    return _books.get((entity_id, as_of), lambda: _book(entity_id=entity_id, as_of=as_of))


def _book(*, entity_id: int, as_of: date) -> pl.DataFrame:
    full = labels(queries.deals(entity_id=entity_id, as_of=as_of), on=as_of)
    steps = queries.stages().select(stage="key", stage_name="name", position="position")
    for facts, key in ((products(entity_id=entity_id, on=as_of), "opportunity_id"), (steps, "stage")):
        full = full.join(facts, on=key, how="left", maintain_order="left")
    begun = pl.coalesce("engaged_on", "opened_on")
    named = full.with_columns(
        pl.col("customer", "product").fill_null(""),
        segment=pl.when(pl.col("segment") != "").then("segment").otherwise(pl.col("_segment").fill_null("")),
        close_month=pl.col("close_on").dt.strftime("%Y-%m").fill_null(""),
        month=_month(pl.col("closed_on")),
        quarter=_quarter(pl.col("closed_on")),
        cycle_days=(pl.col("closed_on") - begun).dt.total_days(),
    ).drop("_segment")
    named = named.with_columns(business=_business(named))
    return hygiene.flags(named, queries.changes(entity_id=entity_id, until=as_of), as_of=as_of)


def _business(named: pl.DataFrame) -> pl.Series:
    """What each deal is to its customer: renewal (its source says so), expansion (the customer had bought before it closed), else new."""
    bought = named.filter((pl.col("state") == "won") & pl.col("customer_id").is_not_null())
    first = bought.group_by("customer_id").agg(_first=pl.col("closed_on").min())
    placed = named.join(first, on="customer_id", how="left", maintain_order="left")
    later = pl.col("_first") < pl.col("closed_on").fill_null(date.max)
    is_renewal = pl.col("source").str.to_lowercase() == "renewal"
    kind = (
        pl.when(is_renewal)
        .then(pl.lit("renewal"))
        .when(later.fill_null(False))
        .then(pl.lit("expansion"))
        .otherwise(pl.lit("new"))
    )
    return placed.select(kind.alias("business"))["business"]


def labels(deals: pl.DataFrame, *, on: date) -> pl.DataFrame:
    """Deals as of a day with the names of their people: rep, team (who led the seller when the deal was closed; of open ones on the day), region,
    customer and its segment (_segment). Three statements."""
    people = queries.reps().select("rep_id", "region", "manager_id", rep="name")
    buyers = bulk.read(Customer.objects.values("id", "name", "segment")).rename(
        {"id": "customer_id", "name": "customer", "segment": "_segment"}
    )
    named = _in_teams(deals.join(people, on="rep_id", how="left", maintain_order="left"), people, on)
    return named.join(buyers, on="customer_id", how="left", maintain_order="left").with_columns(pl.col("customer").fill_null(""))


def _in_teams(deals: pl.DataFrame, people: pl.DataFrame, on: date) -> pl.DataFrame:
    """Deals with the team in which their seller was on the day that counts; manager_id goes."""
    told = queries.lead_history().select("rep_id", _day="from_on", _lead="manager_id", _told=pl.lit(value=True)).sort("_day")
    rows = deals.with_row_index("_row").with_columns(_day=pl.coalesce("closed_on", pl.lit(on))).sort("_day")
    then = rows.join_asof(told, on="_day", by="rep_id", check_sortedness=False).sort("_row")
    lead = pl.when(pl.col("_told").is_null()).then("manager_id").otherwise("_lead")
    names = people.select(_lead="rep_id", _team="rep")
    named = then.with_columns(_lead=lead).join(names, on="_lead", how="left", maintain_order="left")
    return named.with_columns(team=pl.coalesce("_team", "rep")).drop("_row", "_day", "_lead", "_told", "_team", "manager_id")


def products(*, entity_id: int, on: date | None = None) -> pl.DataFrame:
    """What each deal is about in a word on a day: opportunity_id, product (its name; "several" where it has more than one). Two statements."""
    names = bulk.read(Product.objects.values("id", "name")).rename({"id": "product_id", "name": "product"})
    of_deals = queries.lines(entity_id=entity_id, on=on).join(names, on="product_id", how="left", maintain_order="left")
    return of_deals.group_by("opportunity_id").agg(
        product=pl.when(pl.col("product").n_unique() > 1).then(pl.lit("several")).otherwise(pl.col("product").first())
    )


def reach(*, entity_id: int) -> tuple[date | None, date | None]:
    """The first day on which a deal began or ended, and the last on which one ended. One statement."""
    mine = Opportunity.objects.filter(entity_id=entity_id, is_withdrawn=False)
    told = mine.aggregate(opened=Min("opened_on"), engaged=Min("engaged_on"), closed=Min("closed_on"), newest=Max("closed_on"))
    return min((d for d in (told["opened"], told["engaged"], told["closed"]) if d), default=None), told["newest"]


def closed(found: pl.DataFrame, *, since: date, until: date) -> pl.DataFrame:
    """The deals of a book won or lost in [since, until)."""
    return found.filter(pl.col("state") != "open", pl.col("closed_on") >= since, pl.col("closed_on") < until)


def closed_deals(*, entity_id: int, since: date, until: date) -> pl.DataFrame:
    """The deals won or lost in [since, until), a lost one without amount valued at the list prices of the day on which it was lost."""
    ended = closed(book(entity_id=entity_id, as_of=until - timedelta(days=1)), since=since, until=until)
    worth = queries.lines(entity_id=entity_id).join(ended.select("opportunity_id", on="closed_on"), on="opportunity_id")
    listed = queries.list_worth(catalog.prices(worth))
    return ended.drop("list_minor").join(listed, on="opportunity_id", how="left", maintain_order="left").with_columns(
        value_minor=pl.coalesce("amount_minor", "list_minor")
    )  # fmt: skip


def statistics(*, entity_id: int, since: date, until: date, by: str = "", beside: str = "before") -> pl.DataFrame:
    """Sales figures of the deals closed in [since, until), by a group of GROUPS or all in one, beside an earlier span.

    beside   before (the span of equal length before it) or year (the same days a year earlier); a month or a quarter stands beside the one
             before it, or the same one a year earlier

    returns  one row per group and currency, the largest bookings first: key str, currency, the figures of engine.sales.statistics, and
             before_key, before_bookings_minor, before_won, before_win_rate
    Raises: Invalid (group, span).
    """
    ensure(by in {"", *GROUPS}, Invalid(f"{by!r} groups nothing.", field="by", remedy=f"Use one of {', '.join(GROUPS)}."))
    ensure(since < until, Invalid("The span ends before it begins.", field="until", remedy="Correct one of the two days."))
    ensure(beside in BESIDE, Invalid(f"{beside!r} is no span.", field="beside", remedy=f"Use one of {', '.join(BESIDE)}."))
    earlier, end = beside_of(since=since, until=until, by=by, beside=beside)
    ended = closed_deals(entity_id=entity_id, since=earlier, until=until)
    key = pl.col(by).fill_null("") if by else pl.lit("all")
    keyed = ended.with_columns(key=pl.when(key == "").then(pl.lit("none")).otherwise(key))
    now = statistical.statistics(keyed.filter(pl.col("closed_on") >= since), ["key"])
    past = keyed.filter(pl.col("closed_on") < end).with_columns(before_key="key")
    if by in PERIODS:  # a period stands beside the one that moves onto it
        past = past.with_columns(key=PERIODS[by](pl.col("closed_on").dt.offset_by(f"{_months_back(by, beside)}mo")))
    then = statistical.statistics(past, ["key", "before_key"]).select(
        "key", "before_key", "currency", before_bookings_minor="bookings_minor", before_won="won", before_win_rate="win_rate"
    )
    order = ["key"] if by in {"month", "quarter"} else ["bookings_minor", "key"]
    joined = now.join(then, on=["key", "currency"], how="left", maintain_order="left")
    return joined.sort("currency", *order, descending=[False, *([False] if len(order) == 1 else [True, False])])


def beside_of(*, since: date, until: date, by: str = "", beside: str = "before") -> tuple[date, date]:
    """The earlier span that statistics of [since, until) stand beside: its first day, and the first day after it."""
    if beside == "year":
        return year_before(since), year_before(until)
    if by in PERIODS:
        back = pl.Series([since, until]).dt.offset_by(f"-{_months_back(by, beside)}mo")
        return back[0], back[1]
    return since - (until - since), since


def _months_back(by: str, beside: str) -> int:
    return 12 if beside == "year" else 1 if by == "month" else 3


def year_before(day: date) -> date:
    """The same day a year earlier; the 28th for a 29th of February."""
    return day.replace(year=day.year - 1, day=28) if (day.month, day.day) == (2, 29) else day.replace(year=day.year - 1)


def claims(*, entity_id: int, since: date, until: date, by: str) -> win_rates.WinRates:
    """Which groups of the deals closed in [since, until) win more or lose more than the others, told only where the data carry it.

    See engine.win_rates.by_group. Raises: Invalid (group).
    """
    ensure(by in GROUPS, Invalid(f"{by!r} groups nothing.", field="by", remedy=f"Use one of {', '.join(GROUPS)}."))
    ended = closed(book(entity_id=entity_id, as_of=until - timedelta(days=1)), since=since, until=until)
    group = pl.when(pl.col(by).fill_null("") != "").then(pl.col(by))
    return win_rates.by_group(ended.select(group=group, won=pl.col("state") == "won"))


def moves(*, entity_id: int, until: date) -> pl.DataFrame:
    """Every move of every deal into a stage up to a day: opportunity_id, stage, entered_on, in the order of recording. One statement."""
    told = queries.changes(entity_id=entity_id, until=until).filter(pl.col("field") == "stage")
    return told.select("opportunity_id", stage="after", entered_on="effective_on")


def funnel(
    *, entity_id: int, as_of: date, since: date | None = None, until: date | None = None, among: pl.Series | None = None
) -> pl.DataFrame:
    """The funnel of the deals that began in [since, until), as it was known on a day; see engine.sales.funnel.

    among  ids of the deals that count (those of a team or a segment); all without it
    """
    told = _among(moves(entity_id=entity_id, until=as_of), among)
    return funnels.funnel(told, queries.stages(), as_of=as_of, since=since, until=until)


def funnel_deals(
    *,
    entity_id: int,
    as_of: date,
    since: date | None,
    until: date | None,
    step: str,
    what: str,
    among: pl.Series | None = None,
) -> list[int]:
    """The deals behind a figure of the funnel: those that `entered` a step, `passed` it, were `lost` or are `waiting` there."""
    told = _among(moves(entity_id=entity_id, until=as_of), among)
    found = funnels.fates(told, queries.stages(), as_of=as_of, since=since, until=until)
    return funnels.behind(found, queries.stages(), step=step, what=what)


def waterfall(
    *,
    entity_id: int,
    start: date,
    end: date,
    since: date | None = None,
    until: date | None = None,
    among: pl.Series | None = None,
) -> pl.DataFrame:
    """The bridge from the pipeline at the end of `start` to that at the end of `end`, each deal's steps; see engine.sales.waterfall.

    among  ids of the deals that count; all without it
    Raises: Invalid when the days stand the wrong way round.
    """
    ensure(start < end, Invalid("The first day comes before the last.", field="start", remedy="Correct one of the two days."))
    before, after = (_among(queries.deals(entity_id=entity_id, as_of=day), among) for day in (start, end))
    return bridges.waterfall(before, after, since=since, until=until)


def among(*, entity_id: int, as_of: date, **wanted: str) -> pl.Series | None:
    """The ids of a day's deals that bear all the words asked for (rep, team, product, ..); None where nothing is asked for."""
    told = {name: word for name, word in wanted.items() if word}
    if not told:
        return None
    return book(entity_id=entity_id, as_of=as_of).filter(*(pl.col(name) == word for name, word in told.items()))["opportunity_id"]


def summary(found: pl.DataFrame, *, by: str, currency: str) -> list[dict[str, Any]]:
    """The open pipeline of a book in one currency by a group of SUMMARIES.

    returns  one row per group: key, label, deals, value_minor (this group alone), cumulative_minor (by category: this one and all surer
             ones, closed not among them; else None)
    Raises: Invalid (group).
    """
    ensure(by in SUMMARIES, Invalid(f"{by!r} groups nothing.", field="by", remedy=f"Use one of {', '.join(SUMMARIES)}."))
    rows = found.filter(pl.col("state") == "open", pl.col("currency") == currency)
    grouped = rows.group_by(by).agg(
        deals=pl.len(),
        value_minor=pl.col("value_minor").sum(),
        label=pl.col("stage_name").first(),
        position=pl.col("position").first(),
    )
    if by == "category":
        told = {row["category"]: row for row in grouped.to_dicts()}
        running, listed = 0, []
        for category in [*CUMULATIVE[1:], Category.OMITTED]:
            row = told.get(category, {"deals": 0, "value_minor": 0})
            running += row["value_minor"] if category != Category.OMITTED else 0
            cumulative = running if category != Category.OMITTED else None
            listed.append({"key": str(category), "label": category.label, "deals": row["deals"], "value_minor": row["value_minor"], "cumulative_minor": cumulative})  # fmt: skip
        return listed
    order = (
        grouped.sort("position")
        if by == "stage"
        else grouped.sort("value_minor" if by != "close_month" else by, descending=by != "close_month")
    )
    return [
        {"key": row[by] or "none", "label": row["label"] if by == "stage" else row[by] or "none", "deals": row["deals"], "value_minor": row["value_minor"],
         "cumulative_minor": None}
        for row in order.to_dicts()
    ]  # fmt: skip


def currencies(found: pl.DataFrame) -> list[str]:
    """The currencies of a book, that of most deals first."""
    counted = found.group_by("currency").len().sort("len", "currency", descending=[True, False])
    return counted["currency"].to_list()


def _among(told: pl.DataFrame, among: pl.Series | None) -> pl.DataFrame:
    return told if among is None else told.filter(pl.col("opportunity_id").is_in(among.implode()))
