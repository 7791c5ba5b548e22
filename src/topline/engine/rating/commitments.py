"""Minimum commitments and the true-up that fills them."""

from __future__ import annotations

import polars as pl

from topline.engine.documents import EXACT, round_half_away


def true_up(commitments: pl.DataFrame) -> pl.DataFrame:
    """What a customer owes on top of what was used, so that the agreed minimum of a period is reached.

    commitments  one row per commitment and period: minimum_minor i64, used_minor i64 (fees that count, before discounts; base fee
                 included), covered_days i64, full_days i64
    returns      commitments with due_minor (the minimum for the days covered, never for more than the period), exact decimal and
                 true_up_minor >= 0; tax and discounts treat it as one more fee
    The minimum shrinks with the days covered, usage does not. Work: O(n).
    """
    days = pl.min_horizontal("covered_days", "full_days").cast(EXACT)
    due = pl.col("minimum_minor").cast(EXACT) * days / pl.col("full_days").cast(EXACT)
    exact = (due - pl.col("used_minor").cast(EXACT)).clip(0)
    return commitments.with_columns(due_minor=round_half_away(due), exact=exact, true_up_minor=round_half_away(exact))
