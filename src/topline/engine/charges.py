"""What subscriptions should have been charged, and what is missing of it: desired against persisted.

A charge belongs to an item and a period of its grid. Whatever was agreed, amended or taken back, what should exist is computed anew from the
items as they stand; the difference to what exists is what is billed. Nothing missing means nothing to bill, so a second run does nothing.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.engine import periods, rating
from topline.engine.documents import EXACT, round_half_away
from topline.engine.rating.proration import days_between
from topline.engine.rating.tiers import bounded

MICRO, NANO = 10**6, 10**9
KEY = ["item_id", "full_start"]


@bounded
def desired(items: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """Every charge that should exist by a day.

    items    one row per item: item_id, start, end (null: none; the first day that is not billed), in_advance bool, the grid (anchor, unit, every,
             day; see `periods.Grid`), quantity_micro, unit_price_nano i64 (of a whole period); or exact decimal minor units of a whole period, where other
             than quantity x price
    returns  one row per item and period: item_id, full_start, full_end, start, end (the billed part), net_minor, days, full_days i64
    A whole period's amount is the difference of two rounded sums from the start of the grid, so that a price with parts of a cent adds up to
    what was agreed; a part of a period is the part of the exact price, rounded once.
    Raises: AmountTooLarge, PeriodInvalid. Work: O(items + periods).
    """
    started = items.filter((pl.col("start") <= as_of) & (pl.col("end").is_null() | (pl.col("end") > pl.col("start"))))
    rows = periods.due_periods(started, as_of=as_of)
    exact = (pl.col("quantity_micro").cast(EXACT) / MICRO) * (pl.col("unit_price_nano").cast(EXACT) / NANO)
    exact = pl.coalesce("exact", exact) if "exact" in items.columns else exact
    number = pl.col("_n").cast(EXACT)
    whole = round_half_away(pl.col("_exact") * (number + 1)) - round_half_away(pl.col("_exact") * number)
    days, full = days_between(pl.col("start"), pl.col("end")), days_between(pl.col("full_start"), pl.col("full_end"))
    part = round_half_away(pl.col("_exact") * pl.col("days").cast(EXACT) / pl.col("full_days").cast(EXACT))
    return (
        rows.with_columns(_exact=exact, _n=periods.place(pl.col("full_start")), days=days, full_days=full)
        .with_columns(net_minor=pl.when(pl.col("is_stub")).then(part).otherwise(whole))
        .select(*KEY, "full_end", "start", "end", "net_minor", "days", "full_days")
        .sort(*KEY)
    )


def scheduled(parts: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """Every charge of billing schedules that should exist by a day: dated parts whose day has come, and milestones that were accepted.

    parts    one row per part: item_id, anchor date (of the item), position i64 (from 1), amount_minor, bill_on date (null: a milestone that is open)
    returns  as `desired`; a part is a period of its own, a day each from the anchor on, whatever day it is billed: neither another day nor
             an acceptance taken back and given again can bill it twice
    Work: O(parts).
    """
    key = pl.col("anchor") + pl.duration(days=pl.col("position") - 1)
    one = pl.lit(1, dtype=pl.Int64)
    return (
        parts.filter(pl.col("bill_on") <= as_of)
        .select(
            "item_id", full_start=key, full_end=key + pl.duration(days=1), start="bill_on", end=pl.col("bill_on") + pl.duration(days=1),
            net_minor="amount_minor", days=one, full_days=one,
        )
        .sort(*KEY)
    )  # fmt: skip


def missing(wanted: pl.DataFrame, standing: pl.DataFrame) -> pl.DataFrame:
    """What has to be charged, or given back, so that what stands is what is wanted.

    wanted    of `desired`
    standing  one row per item and period that was ever charged: item_id, full_start, full_end, start, end, net_minor (of charges that stand; 0
              where all were taken back), charges u32 (ever, also those taken back)
    returns   one row per item and period with a difference: item_id, full_start, full_end, start, end, net_minor (the difference, never 0),
              sequence i64 (charges before it: 0 is the first), days, full_days (0 where nothing is wanted any more)
    Work: one join.
    """
    have = standing.rename({c: f"{c}_s" for c in ("full_end", "start", "end", "net_minor")})
    both = wanted.join(have, on=KEY, how="full", coalesce=True)
    difference = pl.col("net_minor").fill_null(0) - pl.col("net_minor_s").fill_null(0)
    return (
        both.with_columns(
            *(pl.coalesce(c, f"{c}_s").alias(c) for c in ("full_end", "start", "end")),
            net_minor=difference, sequence=pl.col("charges").fill_null(0).cast(pl.Int64), days=pl.col("days").fill_null(0), full_days=pl.col("full_days").fill_null(0),
        )
        .filter(pl.col("net_minor") != 0)
        .select(*KEY, "full_end", "start", "end", "net_minor", "sequence", "days", "full_days")
        .sort(*KEY)
    )  # fmt: skip


@bounded
def priced(
    spans: pl.DataFrame, *, tiers: pl.DataFrame, transactions: pl.DataFrame, cells: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What quantities cost by the price models of their items.

    spans         one row per quantity: charge_id, item_id, model str, minor i64 (minor units of a major one), quantity decimal, event_minor decimal (what events
                  said themselves), and of the price unit_price_nano, included_micro, package_micro, share_ppm, fee_nano, free_count, free_minor, each_least_minor,
                  each_most_minor i64
    tiers         of tiered items: item_id, lower, upper (null: no end), unit_price, flat_fee decimal minor units
    transactions  of percentages, in order of time: charge_id, value decimal minor units
    cells         of matrices: charge_id, label, quantity, unit_price decimal minor units (null: no row of the matrix fits)
    returns       charge_id, exact decimal and net_minor i64, one row per span in order (null where no price answers); and how: charge_id, units, unit_price,
                  flat_fee, exact, label, transactions, value, free, share_ppm
    Raises: AmountTooLarge. Work: a few hash joins.
    """  # fmt: skip
    plain = spans.filter(~pl.col("model").is_in(["percentage", "matrix"]))
    prices = plain.unique("item_id", maintain_order=True).select(
        price_id="item_id", model="model", unit_price=pl.col("unit_price_nano").cast(EXACT) / NANO, included_units=pl.col("included_micro").cast(EXACT) / MICRO,
        package_size=pl.col("package_micro").cast(EXACT) / MICRO,
    )  # fmt: skip
    charges = plain.select("charge_id", "quantity", event_amount="event_minor", price_id="item_id")
    by_quantity = rating.rate(charges, prices=prices, tiers=tiers.rename({"item_id": "price_id"}) if tiers.height else None)
    shares, steps = _percentages(spans.filter(pl.col("model") == "percentage"), transactions)
    matrix = cells.with_columns(exact=pl.col("quantity") * pl.col("unit_price"))
    sums = matrix.group_by("charge_id").agg(exact=pl.col("exact").sum(), _bare=pl.col("exact").is_null().any())
    none_used = spans.filter(pl.col("model") == "matrix").select("charge_id").join(sums, on="charge_id", how="left")
    of_cells = none_used.select(
        "charge_id", exact=pl.when(~pl.col("_bare").fill_null(value=False)).then(pl.col("exact").fill_null(0))
    )
    exact = pl.concat([by_quantity.lines.select("charge_id", "exact"), shares, of_cells])
    lines = spans.select("charge_id").join(exact, on="charge_id", how="left", maintain_order="left")
    how = [
        by_quantity.rows.select("charge_id", "units", "unit_price", "flat_fee", "exact", label=pl.when(pl.col("kind") == "dynamic").then(pl.lit("as the events say"))),
        steps, matrix.select("charge_id", "label", "unit_price", "exact", units="quantity"),
    ]  # fmt: skip
    return lines.with_columns(net_minor=round_half_away(pl.col("exact"))), pl.concat(how, how="diagonal_relaxed")


def _percentages(spans: pl.DataFrame, transactions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Exact amounts of spans that are priced by a share of their transactions, and one row that tells how."""
    prices = spans.unique("item_id", maintain_order=True).select(
        price_id="item_id", rate=pl.col("share_ppm").cast(EXACT) / 10**6, fixed_fee=pl.col("fee_nano").cast(EXACT) / NANO, free_count=pl.col("free_count").cast(EXACT),
        free_amount=pl.col("free_minor").cast(EXACT), minimum=pl.col("each_least_minor").cast(EXACT), maximum=pl.col("each_most_minor").cast(EXACT),
    )  # fmt: skip
    ours = transactions.join(spans.select("charge_id", "share_ppm", price_id="item_id"), on="charge_id", maintain_order="left")
    found = rating.rate_percentage(ours, prices=prices)
    lines = spans.select("charge_id").join(
        found.lines.select("charge_id", "exact"), on="charge_id", how="left", maintain_order="left"
    )
    steps = found.rows.group_by("charge_id", maintain_order=True).agg(
        pl.col("exact").sum(), pl.col("value").sum(), pl.col("free").sum(), pl.col("share_ppm").first(), transactions=pl.len().cast(pl.Int64)
    )  # fmt: skip
    return lines.with_columns(pl.col("exact").fill_null(0)), steps
