"""Open deals that nobody has looked after: stale, pushed, past their day, without a next step, valued by the list alone."""

from __future__ import annotations

from datetime import date

import polars as pl

STALE_DAYS = 30  # without any change
PUSHES = 3  # closing day moved later so many times
FLAGS = {
    "stale": f"Nothing has changed for {STALE_DAYS} days",
    "pushed": f"The closing day was pushed {PUSHES} times or more",
    "past": "The closing day lies in the past",
    "no_close": "No closing day",
    "no_next_step": "No next step",
    "list_amount": "The amount is that of the price list",
}


def flags(deals: pl.DataFrame, changes: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """What is wrong with the record of each open deal at the end of a day.

    deals    one row per open deal: opportunity_id, close_on, next_step, amount_minor, list_minor
    changes  their history until then: opportunity_id, field, before, after (texts), effective_on
    returns  deals in their order with pushes i64 (times the closing day moved later), idle_days i64, and a bool column per flag of FLAGS
    Work: two group-bys over the changes.
    """
    known = changes.filter(pl.col("effective_on") <= as_of)
    moved = (
        (pl.col("field") == "close_on") & (pl.col("before") != "") & (pl.col("after") > pl.col("before"))
    )  # ISO days sort as texts
    told = known.group_by("opportunity_id").agg(pushes=moved.sum().cast(pl.Int64), _last=pl.col("effective_on").max())
    full = deals.join(told, on="opportunity_id", how="left", maintain_order="left").with_columns(
        pl.col("pushes").fill_null(0), idle_days=(pl.lit(as_of) - pl.col("_last")).dt.total_days()
    )
    listed = pl.col("amount_minor").is_null() | (pl.col("amount_minor") == pl.col("list_minor")).fill_null(False)
    return full.with_columns(
        stale=(pl.col("idle_days") >= STALE_DAYS).fill_null(False),
        pushed=pl.col("pushes") >= PUSHES,
        past=(pl.col("close_on") < as_of).fill_null(False),
        no_close=pl.col("close_on").is_null(),
        no_next_step=pl.col("next_step").fill_null("") == "",
        list_amount=listed,
    ).drop("_last")
