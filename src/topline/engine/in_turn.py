"""Amounts that meet other amounts, each taken in the order of their rows: money and the debts it covers, parts and what they pay."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def in_turn(left: pl.DataFrame, right: pl.DataFrame, *, by: Sequence[str]) -> pl.DataFrame:
    """How much of each left amount meets each right one: within a group the first meets the first until one of them is used up.

    left, right  the columns of `by`, amount_minor i64 >= 0, and columns of their own; in the order in which they are used
    returns      one row per pair that meets: all columns of both, amount_minor i64 > 0 (what meets); by group, then in the order of left
                 and of right. The amounts of a group add up to the smaller of its two sums
    Work: one join within groups.
    """
    end = pl.col("amount_minor").cum_sum().over(by)
    a = left.with_columns(_a=end - pl.col("amount_minor"), _b=end).drop("amount_minor")
    b = right.with_columns(_c=end - pl.col("amount_minor"), _d=end).drop("amount_minor")
    meets = pl.min_horizontal("_b", "_d") - pl.max_horizontal("_a", "_c")
    return (
        a.join(b, on=list(by), how="inner")
        .with_columns(amount_minor=meets)
        .filter(pl.col("amount_minor") > 0)
        .sort(*by, "_a", "_c")
        .drop("_a", "_b", "_c", "_d")
    )
