"""Deals that competitors want too: which are open, how often they are won, and by segment and by the gap between our price and theirs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from topline.catalog.models import Product
from topline.engine import win_rates
from topline.kernel import bulk
from topline.market import competitors
from topline.pipeline import figures, queries
from topline.pipeline.models import DealCompetitor

GAPS = ("more than 10 % cheaper", "up to 10 % cheaper", "the same to 10 % dearer", "more than 10 % dearer")
NANO, MICRO = 10**9, 10**6


@dataclass(frozen=True)
class Against:
    """What there is of one competitor: open deals (rows of the day's book), won and lost in the span, win rates by segment and price gap, and why
    they should not be believed (or empty)."""

    open_deals: pl.DataFrame
    won: int
    lost: int
    by_segment: win_rates.WinRates
    by_gap: win_rates.WinRates
    warning: str


def against(competitor_id: int, *, entity_id: int, as_of: date, since: date) -> Against:
    """Deals of one competitor: those that name it among who else wants them, and those that were lost to it.

    Raises: NotFound. Work: the book of the day and five statements.
    """
    name = competitors.competitor(competitor_id).name
    met = set(DealCompetitor.objects.filter(competitor_id=competitor_id).values_list("opportunity_id", flat=True))
    book = figures.book(entity_id=entity_id, as_of=as_of)
    mine = book.filter(pl.col("opportunity_id").is_in(list(met)) | (pl.col("competitor").str.to_lowercase() == name.lower()))
    ended = mine.filter((pl.col("state") != "open") & (pl.col("closed_on") >= since) & (pl.col("closed_on") <= as_of))
    won = ended.filter(pl.col("state") == "won").height
    segment = pl.when(pl.col("segment").fill_null("") != "").then("segment")
    by_segment = win_rates.by_group(ended.select(group=segment, won=pl.col("state") == "won"))
    gaps = price_gaps(ended, competitor_id=competitor_id, entity_id=entity_id)
    every = figures.closed(book, since=since, until=as_of + timedelta(days=1))
    met_at_all = DealCompetitor.objects.values_list("opportunity_id", flat=True)
    is_named = pl.col("opportunity_id").is_in(list(met_at_all)) | ~pl.col("competitor").str.to_lowercase().is_in(["", "nobody"])
    named = every.select(group=pl.when(is_named).then(pl.lit("named")), won=pl.col("state") == "won")
    open_deals = mine.filter(pl.col("state") == "open")
    return Against(open_deals, won, ended.height - won, by_segment, win_rates.by_group(gaps), win_rates.by_group(named).warning)


def by_price_gap(*, entity_id: int, since: date, until: date) -> win_rates.WinRates:
    """Win rate of all deals closed in [since, until) by the gap to the cheapest competitor's price of the day. An association, not a cause."""
    return win_rates.by_group(
        price_gaps(figures.closed_deals(entity_id=entity_id, since=since, until=until), entity_id=entity_id)
    )


def price_gaps(ended: pl.DataFrame, *, entity_id: int, competitor_id: int | None = None) -> pl.DataFrame:
    """Closed deals by how our price of a unit stood to a competitor's on the day of closing.

    ended          deals of a book with opportunity_id, state, closed_on, currency, value_minor
    competitor_id  whose price; None: the cheapest that is known
    returns        one row per deal: group (of GAPS; null where no price compares: several products, no quantity, another currency), won bool
    """
    lines = queries.lines(entity_id=entity_id).group_by("opportunity_id").agg(
        product_id=pl.when(pl.len() == 1).then(pl.col("product_id").first()), quantity_micro=pl.col("quantity_micro").first()
    )  # fmt: skip
    codes = bulk.read(Product.objects.values("id", "code")).rename({"id": "product_id", "code": "compares_with"})
    asked = ended.join(lines, on="opportunity_id", how="left").join(codes, on="product_id", how="left").select(
        "opportunity_id", "currency", "compares_with", "value_minor", "quantity_micro", on="closed_on", won=pl.col("state") == "won"
    ).sort("on")  # fmt: skip
    known = competitors.price_rows(competitor_id=competitor_id).filter(pl.col("compares_with") != "")
    nothing = pl.DataFrame(schema={"opportunity_id": pl.Int64, "theirs": pl.Int64})
    theirs = [
        asked.join_asof(
            rows.sort("valid_from").select("compares_with", "currency", "valid_from", theirs="unit_price_nano"), left_on="on", right_on="valid_from",
            by=["compares_with", "currency"], check_sortedness=False,
        ).select("opportunity_id", "theirs")
        for _, rows in known.group_by("product_id")
    ]  # fmt: skip
    cheapest = pl.concat([nothing, *theirs]).group_by("opportunity_id").agg(pl.col("theirs").min())
    priced = asked.join(cheapest, on="opportunity_id", how="left")
    wide = pl.Int128()  # exact: what we ask for it all, beside what they would
    ours, same = (
        pl.col("value_minor").cast(wide) * 10 * MICRO * NANO,
        pl.col("theirs").cast(wide) * pl.col("quantity_micro").cast(wide),
    )
    placed = pl.when(ours < same * 9).then(pl.lit(GAPS[0])).when(ours < same * 10).then(pl.lit(GAPS[1])).when(ours <= same * 11).then(pl.lit(GAPS[2])).when(ours > same * 11).then(pl.lit(GAPS[3]))  # fmt: skip
    return priced.select(group=placed, won="won")
