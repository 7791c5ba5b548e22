"""Prices by quantity: every model is a table of tiers, and two rules (graduated, volume) read it.

A flat fee is a tier with a fee and no unit price; per unit is one tier without end; a package is a tier sold in blocks;
included units are a first tier at no price. Graduated percentage is graduated pricing whose unit is a minor unit of money.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

from topline.engine.documents import EXACT

Model = Literal["flat", "per_unit", "package", "graduated", "volume", "graduated_percentage", "dynamic"]
TIERED: tuple[Model, ...] = ("graduated", "volume", "graduated_percentage")
ROW = pl.Schema(
    [("price_id", pl.Int64()), *((name, EXACT) for name in ("lower", "upper", "unit_price", "flat_fee", "block_size"))]
)


def price_rows(prices: pl.DataFrame, tiers: pl.DataFrame | None = None) -> pl.DataFrame:
    """The tier rows that a price charges by, whatever its model.

    prices   one row per price: price_id i64, model str; and where the model needs it unit_price decimal (minor units a unit,
             or a block), flat_fee decimal, package_size decimal, included_units decimal
    tiers    one row per price and tier of the tiered models: price_id, lower, upper (null: no end), unit_price, flat_fee,
             block_size (null: sold by any fraction)
    returns  one row per price and tier, all decimal(38,15), sorted by price and lower; included_units of a tiered price are
             not read: its first tier at price zero says the same
    Work: O(prices + tiers).
    """
    simple = complete(prices, ["unit_price", "flat_fee", "package_size", "included_units"]).filter(
        ~pl.col("model").is_in([*TIERED, "dynamic"])
    )
    free = pl.col("included_units").fill_null(0)
    flat = pl.col("model") == "flat"
    included = simple.filter((free > 0) & ~flat).select(
        "price_id", lower=pl.lit(0), upper=free, unit_price=pl.lit(0), flat_fee=pl.lit(0), block_size=pl.lit(None)
    )
    charged = simple.select(
        "price_id",
        lower=pl.when(flat).then(0).otherwise(free),
        upper=pl.lit(None),
        unit_price=pl.when(flat).then(0).otherwise(pl.col("unit_price")),
        flat_fee=pl.col("flat_fee").fill_null(0),
        block_size=pl.when(pl.col("model") == "package").then("package_size"),
    )
    given = complete(tiers, list(ROW)).select(list(ROW)) if tiers is not None else pl.DataFrame(schema=ROW)
    frames = [frame.cast(ROW) for frame in (included, charged, given)]
    return pl.concat(frames).with_columns(pl.col("flat_fee").fill_null(0)).sort("price_id", "lower")


def tier_problems(tiers: pl.DataFrame) -> pl.DataFrame:
    """What is wrong with a table of tiers, so that the price is refused before anyone is billed by it.

    tiers    price_id, lower, upper, unit_price, flat_fee
    returns  one row per problem: price_id, lower, problem str (first_not_zero, empty, gap, overlap, end_missing,
             negative_price); no row where all is well
    Work: O(n log n).
    """
    previous = pl.col("upper").shift(1).over("price_id")
    first = pl.int_range(pl.len()).over("price_id") == 0
    last = pl.int_range(pl.len()).reverse().over("price_id") == 0
    lower, upper = pl.col("lower"), pl.col("upper")
    checks = {
        "first_not_zero": first & (lower != 0),
        "empty": upper.is_not_null() & (upper <= lower),
        "gap": ~first & (lower > previous),
        "overlap": ~first & ((lower < previous) | previous.is_null()),
        "end_missing": last & upper.is_not_null(),
        "negative_price": (pl.col("unit_price") < 0) | (pl.col("flat_fee").fill_null(0) < 0),
    }
    found = tiers.sort("price_id", "lower").with_columns(
        problem=pl.concat_list(pl.when(check).then(pl.lit(name)) for name, check in checks.items()).list.drop_nulls()
    )
    return found.select("price_id", "lower", "problem").filter(pl.col("problem").list.len() > 0).explode("problem")


def match_prices(charges: pl.DataFrame, matrix: pl.DataFrame, *, by: Sequence[str]) -> pl.DataFrame:
    """The price of each charge from a matrix of properties (region, size, plan), or the default price of its meter.

    charges  one row per charge with the properties in `by` and default_price_id i64 (null: none)
    matrix   one row per combination: the properties and price_id i64
    returns  charges with price_id; null where neither the matrix nor a default answers, so that the run parks the charge
    Work: one hash join.
    """
    return charges.join(
        matrix.select(*by, "price_id"), on=list(by), how="left", nulls_equal=True, maintain_order="left"
    ).with_columns(pl.coalesce("price_id", "default_price_id").alias("price_id"))


def complete(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The frame with the named columns that it lacks as nulls, and every one of them but the key as an exact decimal."""
    missing = [pl.lit(None, dtype=EXACT).alias(c) for c in columns if c not in frame.columns]
    return frame.with_columns(missing).with_columns(pl.col(c).cast(EXACT) for c in columns if not c.endswith("_id"))
