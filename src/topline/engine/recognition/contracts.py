"""What contracts earn: their items as obligations, each with an amount, a span and a way of earning; and what that leaves to show.

A contract whose price is known in full and that was never amended is shared over its items by what each costs alone (IFRS 15.73-86). Any other
earns period by period what each item is sold for; after an amendment the difference is caught up in the month of the change.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.engine import charges
from topline.engine.documents import EXACT, round_half_away
from topline.engine.recognition.allocation import allocate
from topline.engine.recognition.schedules import schedule

PARTS = {
    "contract_id": pl.Int64,
    "item_id": pl.Int64,
    "amount_minor": pl.Int64,
    "sold_minor": pl.Int64,
    "start": pl.Date,
    "end": pl.Date,
    "method": pl.String,
}


def obligations(items: pl.DataFrame, *, through: date) -> pl.DataFrame:
    """The parts in which items are earned, up to the end of what was agreed; of items without an end, what began by `through`.

    items    one row per item that is sold by periods: contract_id, item_id, the columns of `charges.desired`, method str (day: by days served; point: on the first day; term: over the whole contract; milestone: as parts are accepted), ssp_nano i64 (what a
             unit costs alone in a period; null: what it was sold for), term_start, term_end date (null: none), is_amended bool
    returns  contract_id, item_id, amount_minor (earned in all), sold_minor (billed in all), start, end, method; a contract's amounts add up to what it
             is sold for
    Work: O(items + periods).
    """
    sold = items.filter(pl.col("end").is_null() | (pl.col("end") > pl.col("start"))).with_columns(in_advance=pl.lit(value=True))
    ends = pl.col("end").is_not_null()
    whole = (ends & ~pl.col("is_amended")).all().over("contract_id")
    last = sold["end"].max()
    until = last if isinstance(last, date) else through
    parts = [
        _shared(sold.filter(whole), until),
        _by_period(sold.filter(~whole & ends), until),
        _by_period(sold.filter(~whole & ~ends), through),
    ]
    return pl.concat(parts).sort("contract_id", "item_id", "start")


def accepted(parts: pl.DataFrame, deliveries: pl.DataFrame) -> pl.DataFrame:
    """Parts earned by milestones become one part for each acceptance; what is not accepted yet stays as a part without a day.

    deliveries  one row per acceptance: item_id, on date, share_ppm i64 (of the item, in all at most a million)
    returns     parts with start null where nobody accepted yet
    """
    by_milestone = pl.col("method") == "milestone"
    items = (
        parts.filter(by_milestone)
        .group_by("contract_id", "item_id", maintain_order=True)
        .agg(pl.col("amount_minor").sum(), pl.col("sold_minor").sum())
    )
    rows = deliveries.sort("item_id", "on").join(items, on="item_id", maintain_order="left")
    until = pl.col("share_ppm").cum_sum().over("item_id")

    def share(column: str) -> pl.Expr:
        def upto(ppm: pl.Expr) -> pl.Expr:
            return round_half_away(pl.col(column).cast(EXACT) * ppm.cast(EXACT) / 1_000_000)

        return (upto(until) - upto(until - pl.col("share_ppm"))).alias(column)

    done = rows.select(
        "contract_id", "item_id", share("amount_minor"), share("sold_minor"), start="on", end=pl.col("on"), method=pl.lit("point")
    )
    sums = done.group_by("item_id").agg(_amount=pl.col("amount_minor").sum(), _sold=pl.col("sold_minor").sum())
    rest = items.join(sums, on="item_id", how="left").select(
        "contract_id", "item_id", pl.col("amount_minor") - pl.col("_amount").fill_null(0), pl.col("sold_minor") - pl.col("_sold").fill_null(0),
        start=pl.lit(None, dtype=pl.Date), end=pl.lit(None, dtype=pl.Date), method=pl.lit("milestone"),
    ).filter((pl.col("amount_minor") != 0) | (pl.col("sold_minor") != 0))  # fmt: skip
    return pl.concat([parts.filter(~by_milestone), done, rest]).select(*PARTS)


def months(parts: pl.DataFrame) -> pl.DataFrame:
    """What each part earns in each month: contract_id, item_id, month, amount_minor. Parts without a day are left out."""
    dated = (
        parts.filter(pl.col("start").is_not_null())
        .with_row_index("obligation_id")
        .with_columns(pl.col("obligation_id").cast(pl.Int64))
    )
    way = pl.when(pl.col("method") == "point").then(pl.lit("point")).otherwise(pl.lit("day"))
    earned = schedule(dated.select("obligation_id", "amount_minor", "start", "end", method=way))
    owner = dated.select("obligation_id", "contract_id", "item_id")
    return earned.join(owner, on="obligation_id", maintain_order="left").select("contract_id", "item_id", "month", "amount_minor")


def _shared(items: pl.DataFrame, until: date) -> pl.DataFrame:
    """Whole contracts: the price shared over the items by what each costs alone, and over the periods of an item in the same way."""
    alone = charges.desired(items.with_columns(unit_price_nano=pl.coalesce("ssp_nano", "unit_price_nano")), as_of=until)
    ssp = alone.select(*charges.KEY, ssp=pl.col("net_minor").cast(EXACT))
    rows = _sold(items, until).join(ssp, on=charges.KEY, maintain_order="left").with_row_index("obligation_id")
    rows = rows.with_columns(pl.col("obligation_id").cast(pl.Int64), price_minor=pl.col("sold_minor").sum().over("contract_id"))
    worth = rows.filter(pl.col("ssp").sum().over("contract_id") > 0)
    amounts = allocate(worth.select("contract_id", "obligation_id", "price_minor", "ssp")).select(
        "obligation_id", amount_minor="allocated_minor"
    )
    told = rows.join(amounts, on="obligation_id", how="left", maintain_order="left")
    return told.with_columns(pl.col("amount_minor").fill_null(pl.col("sold_minor"))).select(*PARTS)


def _by_period(items: pl.DataFrame, until: date) -> pl.DataFrame:
    """One part for each period of each item, at what it is sold for."""
    return _sold(items, until).with_columns(amount_minor="sold_minor").select(*PARTS)


def _sold(items: pl.DataFrame, until: date) -> pl.DataFrame:
    """Every period of items with what it is sold for, and the days over which it is earned: its own, or those of the contract."""
    made = charges.desired(items, as_of=until).rename({"net_minor": "sold_minor"})
    facts = items.select("contract_id", "item_id", "method", "term_start", "term_end")
    over = (pl.col("method") == "term") & pl.col("term_end").is_not_null()
    return made.join(facts, on="item_id", maintain_order="left").with_columns(
        start=pl.when(over).then("term_start").otherwise("start"), end=pl.when(over).then("term_end").otherwise("end")
    )
