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
             day; see `periods.Grid`), quantity_micro, unit_price_nano i64 (of a whole period)
    returns  one row per item and period: item_id, full_start, full_end, start, end (the billed part), net_minor, days, full_days i64
    A whole period's amount is the difference of two rounded sums from the start of the grid, so that a price with parts of a cent adds up to
    what was agreed; a part of a period is the part of the exact price, rounded once.
    Raises: AmountTooLarge, PeriodInvalid. Work: O(items + periods).
    """
    started = items.filter((pl.col("start") <= as_of) & (pl.col("end").is_null() | (pl.col("end") > pl.col("start"))))
    rows = periods.due_periods(started, as_of=as_of)
    exact = (pl.col("quantity_micro").cast(EXACT) / MICRO) * (pl.col("unit_price_nano").cast(EXACT) / NANO)
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
def used(periods_used: pl.DataFrame, tiers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What usage costs, period by period.

    periods_used  one row per item and period: charge_id, item_id, model str (per_unit, graduated, volume), unit_price_nano i64, quantity decimal
    tiers         of graduated and volume items: item_id, lower, upper (null: no end), unit_price, flat_fee decimal minor units
    returns       charge_id and net_minor i64 (null where no tier holds the quantity); and how, see `rating.Rated.rows`
    """
    prices = periods_used.unique("item_id", maintain_order=True).select(
        price_id="item_id", model="model", unit_price=pl.col("unit_price_nano").cast(EXACT) / NANO
    )
    charges = periods_used.select("charge_id", "quantity", price_id="item_id")
    found = rating.rate(charges, prices=prices, tiers=tiers.rename({"item_id": "price_id"}) if tiers.height else None)
    return found.lines.select("charge_id", net_minor="amount_minor"), found.rows
