"""Forecast categories: bands of a chance, and sums that say whether they are single or cumulative."""

from __future__ import annotations

import polars as pl

from topline.kernel.errors import Invalid, ensure

COMMIT, BEST_CASE = 0.8, 0.5  # least chance of each band
SINGLE = ("closed", "commit", "most_likely", "best_case", "pipeline")  # from certain to open; omitted deals are in none


def category(p_won: pl.Expr) -> pl.Expr:
    """The calibrated band of a chance to be won in the period: commit from .8, best case from .5, else pipeline."""
    return (
        pl.when(p_won >= COMMIT)
        .then(pl.lit("commit"))
        .when(p_won >= BEST_CASE)
        .then(pl.lit("best case"))
        .otherwise(pl.lit("pipeline"))
    )


def cumulative(single: pl.DataFrame) -> pl.DataFrame:
    """Each forecast with everything surer than it; open pipeline is all that is open, without what is closed.

    single   columns of SINGLE in minor units, those absent count as 0; one row per whoever is rolled up
    returns  the same rows with closed_only, commit_forecast, most_likely_forecast, best_case_forecast, open_pipeline
    Source: the cumulative roll-up that sales systems show by default.
    """
    filled = single.with_columns(pl.lit(0).alias(name) for name in SINGLE if name not in single.columns).with_columns(
        pl.col(SINGLE).fill_null(0)
    )
    surer = pl.col("closed") + pl.col("commit")
    return filled.with_columns(
        closed_only=pl.col("closed"),
        commit_forecast=surer,
        most_likely_forecast=surer + pl.col("most_likely"),
        best_case_forecast=surer + pl.col("most_likely") + pl.col("best_case"),
        open_pipeline=pl.sum_horizontal(SINGLE[1:]),
    )


def weighted(deals: pl.DataFrame) -> int:
    """Sum of amount times probability: amount_minor i64, probability f64 from 0 to 1. Raises: Invalid for a chance outside."""
    inside = deals["probability"].is_between(0, 1).all()
    ensure(bool(inside), Invalid("A probability lies between 0 and 1.", field="probability"))
    return round(float((deals["amount_minor"] * deals["probability"]).sum()))
