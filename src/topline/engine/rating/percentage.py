"""Percentage prices: a share of each transaction, with a fixed fee, a free allowance and bounds a transaction."""

from __future__ import annotations

import polars as pl

from topline.engine.documents import EXACT, round_half_away
from topline.engine.rating.prices import complete
from topline.engine.rating.tiers import ZERO, Rated, bounded

_TERMS = ["rate", "fixed_fee", "free_amount", "minimum", "maximum", "free_count"]


@bounded
def rate_percentage(transactions: pl.DataFrame, *, prices: pl.DataFrame) -> Rated:
    """Price transactions by a share of their value.

    transactions  one row per transaction, in order of time within a charge: charge_id, price_id, value decimal minor units
    prices        one row per price: price_id, rate decimal (0.013 = 1.3 %), and where agreed fixed_fee, free_count, free_amount,
                  minimum and maximum a transaction (decimal minor units)
    returns       Rated; rows are transactions with free (value inside the allowance), wholly_free bool and exact
    The allowance ends when the first of its two limits is reached, amounts part-way through a transaction. A wholly free one
    owes neither the fixed fee nor the minimum; the fee is added before the bounds.
    Raises: AmountTooLarge. Work: one hash join and a running sum.
    """
    rows = complete(transactions, ["value"]).join(complete(prices, _TERMS), on="price_id", how="left", maintain_order="left")
    value = pl.col("value")
    before = value.cum_sum().over("charge_id") - value
    limited = pl.col("free_count").is_not_null() | pl.col("free_amount").is_not_null()
    place = pl.int_range(1, pl.len() + 1).over("charge_id").cast(EXACT)
    inside = limited & (place <= pl.col("free_count")).fill_null(value=True)
    room = pl.min_horizontal(value, (pl.col("free_amount") - before).clip(0))  # a null limit does not bound
    rows = rows.with_columns(free=pl.when(inside).then(room).otherwise(ZERO))
    rows = rows.with_columns(wholly_free=inside & (pl.col("free") == value))
    fee = (value - pl.col("free")) * pl.col("rate") + pl.col("fixed_fee").fill_null(0)
    rows = rows.with_columns(
        kind=pl.lit("transaction"),
        exact=pl.when("wholly_free").then(ZERO).otherwise(fee.clip(pl.col("minimum"), pl.col("maximum"))),
    )
    lines = (
        rows.group_by("charge_id", maintain_order=True)
        .agg(exact=pl.col("exact").sum(), _unpriced=pl.col("rate").is_null().any())
        .with_columns(exact=pl.when(~pl.col("_unpriced")).then("exact"))
        .with_columns(amount_minor=round_half_away(pl.col("exact")))
        .with_columns(rounding=pl.col("amount_minor").cast(EXACT) - pl.col("exact"))
        .drop("_unpriced")
    )
    return Rated(lines=lines, rows=rows)
