"""What products were sold for alone: the range that sales show, as a proposal for a stand-alone selling price."""

from __future__ import annotations

import polars as pl

AROUND = 0.15  # a price is typical within so much of the median
TYPICAL = 0.8  # where so many are, the product has a price; else it is highly variable
ENOUGH = 5  # sales below which nothing is proposed


def observe(sales: pl.DataFrame) -> pl.DataFrame:
    """The range of prices of a unit that sales show.

    sales    one row per sale: product_id, currency, price_nano i64 (of a unit, for a month, or for all of it)
    returns  one row per product and currency: product_id, currency, count, least_nano, median_nano, most_nano, typical f64 (share of sales within 15 % of the median),
             low_nano, high_nano (the range that is proposed; null where fewer than five sales are known) and is_residual (highly variable: fewer than 80 % are typical; then the
             whole range, in which a residual is believed)
    Source: IFRS 15.77-79 (observable prices come first; a residual needs prices that are highly variable); the band of 15 % around the median that holds 80 % is audit
    practice from the days of vendor-specific evidence. Work: O(sales).
    """
    price, kin = pl.col("price_nano"), ["product_id", "currency"]
    rows = sales.with_columns(_median=price.median().over(kin))
    near = (price >= pl.col("_median") * (1 - AROUND)) & (price <= pl.col("_median") * (1 + AROUND))
    found = rows.group_by(kin).agg(
        count=pl.len().cast(pl.Int64), least_nano=price.min(), median_nano=pl.col("_median").first().round().cast(pl.Int64), most_nano=price.max(),
        typical=near.mean(), _low=price.filter(near).min(), _high=price.filter(near).max(),
    )  # fmt: skip
    enough, narrow = pl.col("count") >= ENOUGH, pl.col("typical") >= TYPICAL
    return found.with_columns(
        low_nano=pl.when(enough & narrow).then("_low").when(enough).then("least_nano"),
        high_nano=pl.when(enough & narrow).then("_high").when(enough).then("most_nano"),
        is_residual=enough & ~narrow,
    ).drop("_low", "_high").sort(kin)  # fmt: skip
