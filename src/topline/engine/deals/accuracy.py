"""How right calls were, by whom, by which method and when: distance, direction, and whether a call beat doing nothing."""

from __future__ import annotations

import numpy as np
import polars as pl

from topline.engine.deals.book import Matrix
from topline.engine.deals.categories import category

BIAS_CALLS = 4.0  # calls without any bias that a person's or a method's own record leans on


def shrunk_bias(actual: Matrix, called: Matrix) -> float:
    """n / (n + k) x mean log(actual / call): positive where more came than was called. 0 without calls."""
    if not len(actual):
        return 0.0
    return len(actual) / (len(actual) + BIAS_CALLS) * float(np.mean(np.log(actual / called)))


def biases(calls: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Each person's habit of calling high or low, leaning on none.

    calls    one row per call whose period is over: the columns `by` and forecast_minor, actual_minor; a call or truth of 0 tells
             nothing about a ratio and is left out, but counted
    returns  one row per group, in order: by, bias f64 (log), haircut f64 (what the next call is multiplied by), calls u32, left_out u32
    """
    usable = (pl.col("forecast_minor") > 0) & (pl.col("actual_minor") > 0)
    error = (pl.col("actual_minor").filter(usable) / pl.col("forecast_minor").filter(usable)).log()
    n = usable.sum()
    return (
        calls.group_by(by)
        .agg(bias=(error.sum() / (n + BIAS_CALLS)), calls=n.cast(pl.UInt32), left_out=(pl.len() - n).cast(pl.UInt32))
        .with_columns(haircut=pl.col("bias").exp())
        .sort(by)
        .select(*by, "bias", "haircut", "calls", "left_out")
    )


def scores(record: pl.DataFrame, *by: str, naive: str) -> pl.DataFrame:
    """Error, direction and value added of forecasts whose period is over.

    record   one row per forecast: method, on, forecast_minor, actual_minor, and p10_minor, p90_minor where it has a range; columns `by`
    naive    the method that value is measured against, on the same days
    returns  one row per group of `by` and method: wape f64 (sum |F - A| / sum A), bias f64 (sum (F - A) / sum A), held_80 f64 (share of
             ranges that held the truth, null without), value_added f64 (WAPE of the naive less this one, on days when both spoke),
             snapshots u32. All null where nothing came.
    """
    known = record.filter(pl.col("actual_minor").is_not_null())
    base = (
        known.filter(pl.col("method") == naive).select(*by, "on", naive_minor="forecast_minor").unique([*by, "on"], keep="last")
    )
    joined = known.join(base, on=[*by, "on"], how="left")
    f, a = pl.col("forecast_minor"), pl.col("actual_minor")
    came = pl.when(a.sum() > 0).then(a.sum())
    both = pl.col("naive_minor").is_not_null()
    shared = pl.when(a.filter(both).sum() > 0).then(a.filter(both).sum())
    ranged = pl.col("p10_minor").is_not_null()
    held = ((a >= pl.col("p10_minor")) & (a <= pl.col("p90_minor"))).filter(ranged)
    return (
        joined.group_by(*by, "method")
        .agg(
            wape=(f - a).abs().sum() / came,
            bias=(f - a).sum() / came,
            held_80=held.mean(),
            value_added=((pl.col("naive_minor") - a).abs().filter(both).sum() - (f - a).abs().filter(both).sum()) / shared,
            snapshots=pl.len(),
        )
        .sort(*by, "wape", "method")
    )


def calibration(p: Matrix, came: Matrix) -> pl.DataFrame:
    """Whether bands keep their word: one row per category with deals: category, deals u32, said f64 (mean chance), came f64."""
    frame = pl.DataFrame({"p": p, "came": came}).with_columns(category=category(pl.col("p")))
    return (
        frame.group_by("category")
        .agg(deals=pl.len(), said=pl.col("p").mean(), came=pl.col("came").mean())
        .sort("said", descending=True)
    )
