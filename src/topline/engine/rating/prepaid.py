"""Prepaid credits: grants drawn by priority, then expiry, then age; what expires is rolled over or broken."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from topline.engine.documents import EXACT, round_half_away


@dataclass(frozen=True, slots=True)
class Drawn:
    """draws: one row per grant and fee; grants and fees: what is left of each."""

    draws: pl.DataFrame
    grants: pl.DataFrame
    fees: pl.DataFrame


def draw_credits(grants: pl.DataFrame, fees: pl.DataFrame) -> Drawn:
    """Pay fees from prepaid credits.

    grants   one row per grant: customer_id, grant_id, priority i64 (lowest first), expires_on date or null, granted_on date,
             kinds list[str] (the kinds of fee it is for, one is enough; null: all), balance_minor i64
    fees     one row per fee, in invoice order: customer_id, fee_id, is_a list[str] (its kinds), on date (the day it is for), gross_minor i64
    returns  draws (grant_id, fee_id, drawn_minor > 0); grants with left_minor; fees with left_minor
    A grant pays nothing on or after the day it expires, nor before it was granted; nothing goes below zero.
    Work: O(fees) a rank of grant; a customer holds few.
    """
    order = ["priority", "expires_on", "granted_on", "grant_id"]
    ranked = grants.sort(order, nulls_last=True).with_columns(_rank=pl.int_range(pl.len()).over("customer_id"))
    open_fees = fees.with_columns(left_minor=pl.col("gross_minor"), _row=pl.int_range(pl.len()))
    draws = [
        pl.DataFrame(schema={"grant_id": grants.schema["grant_id"], "fee_id": fees.schema["fee_id"], "drawn_minor": pl.Int64})
    ]
    for rank in ranked["_rank"].unique().sort():
        one = ranked.filter(pl.col("_rank") == rank)
        usable = (
            (pl.col("kinds").is_null() | (pl.col("kinds").list.set_intersection("is_a").list.len() > 0))
            & (pl.col("expires_on") > pl.col("on")).fill_null(value=True)
            & (pl.col("granted_on") <= pl.col("on"))
        )
        aimed = open_fees.join(one, on="customer_id", maintain_order="left").filter(usable)
        before = pl.col("left_minor").cum_sum().over("grant_id") - pl.col("left_minor")
        drawn = aimed.with_columns(drawn_minor=(pl.col("balance_minor") - before).clip(0, pl.col("left_minor")))
        drawn = drawn.filter(pl.col("drawn_minor") > 0)
        draws.append(drawn.select("grant_id", "fee_id", "drawn_minor"))
        open_fees = (
            open_fees.join(drawn.select("_row", "drawn_minor"), on="_row", how="left", maintain_order="left")
            .with_columns(left_minor=pl.col("left_minor") - pl.col("drawn_minor").fill_null(0))
            .drop("drawn_minor")
        )
    taken = pl.concat(draws)
    used = taken.group_by("grant_id").agg(_used=pl.col("drawn_minor").sum())
    after = grants.join(used, on="grant_id", how="left", maintain_order="left")
    left = pl.col("balance_minor") - pl.col("_used").fill_null(0)
    return Drawn(draws=taken, grants=after.with_columns(left_minor=left).drop("_used"), fees=open_fees.drop("_row"))


def give_back(draws: pl.DataFrame, *, amount_minor: int) -> pl.DataFrame:
    """Put an amount back to the grants that it was drawn from, the last drawn first.

    draws    one row per draw in the order in which they were made: drawn_minor i64 (less what was given back of it)
    returns  the draws of which something goes back, the last first, with back_minor i64; together the amount, or all that was drawn where that is less
    Work: O(draws).
    """
    rows = draws.reverse()
    before = pl.col("drawn_minor").cum_sum() - pl.col("drawn_minor")
    return rows.with_columns(back_minor=pl.min_horizontal("drawn_minor", (amount_minor - before).clip(0))).filter(
        pl.col("back_minor") > 0
    )


def expire_credits(grants: pl.DataFrame) -> pl.DataFrame:
    """What becomes of grants on the day they expire: some of the rest rolls over, the other part is breakage.

    grants   one row per expired grant: grant_id, left_minor i64, rollover_ppm i64 (share that rolls over), rollover_cap_minor
             i64 or null (never more than this)
    returns  grants with rolled_minor (the balance of the next grant) and breakage_minor (revenue); together they are left_minor
    Work: O(n).
    """
    share = round_half_away(pl.col("left_minor").cast(EXACT) * pl.col("rollover_ppm").cast(EXACT) / 10**6)
    return grants.with_columns(rolled_minor=pl.min_horizontal(share, "rollover_cap_minor", "left_minor")).with_columns(
        breakage_minor=pl.col("left_minor") - pl.col("rolled_minor")
    )
