"""How contracts end and go on: every time one had to be renewed or not, how many were, and what survives of each year's contracts."""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.engine.proportions import wilson

FEWEST = 10  # decisions below which no share is told
LAST = 3  # the third renewal and the later ones count together
DECISION = {"contract_id": pl.Int64, "cohort": pl.Int64, "number": pl.Int64, "renewed": pl.Boolean}


def decisions(contracts: pl.DataFrame, renewals: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """Every time a contract was renewed, or ended instead.

    contracts  one row per contract: contract_id, starts_on, ends_on (null: none), is_moved bool (another contract took it over: its end is none)
    renewals   one row per renewal that was agreed by the day: contract_id
    returns    one row per decision: contract_id, cohort i64 (the year in which the contract began), number i64 (1: its first), renewed bool
    Whoever ended before a term was over did not renew. Work: O(n).
    """
    known = contracts.select("contract_id", "ends_on", "is_moved", cohort=pl.col("starts_on").dt.year().cast(pl.Int64))
    went_on = renewals.select("contract_id", number=pl.int_range(1, pl.len() + 1).over("contract_id").cast(pl.Int64)).join(
        known, on="contract_id"
    )
    so_far = went_on.group_by("contract_id").agg(times=pl.col("number").max())
    over = known.filter(~pl.col("is_moved") & (pl.col("ends_on") <= as_of)).join(so_far, on="contract_id", how="left")
    ended = over.with_columns(number=pl.col("times").fill_null(0) + 1)
    parts = [went_on.with_columns(renewed=pl.lit(value=True)), ended.with_columns(renewed=pl.lit(value=False))]
    return pl.concat([part.select(pl.col(c).cast(kind) for c, kind in DECISION.items()) for part in parts]).sort(
        "contract_id", "number"
    )


def by_number(decided: pl.DataFrame) -> pl.DataFrame:
    """How likely contracts are to renew, by which renewal it is: number i64 (1, 2, 3 and later), decided u32, renewed u32, share, low and high f64 (95 %
    score interval; all three null below FEWEST decisions)."""
    return _told(decided.with_columns(number=pl.col("number").clip(1, LAST)).group_by("number").agg(decided=pl.len(), renewed=pl.col("renewed").sum())).sort("number")  # fmt: skip


def survival(decided: pl.DataFrame) -> pl.DataFrame:
    """What is left of each year's contracts after each renewal: the product of the shares that renewed (Kaplan and Meier, JASA 53 (1958) 457-481).

    returns  one row per cohort and renewal: cohort, number, decided u32 (contracts that stood before it), renewed u32, share, low, high f64 (as by_number),
             survival f64 (of the contracts that began; null from the first renewal on that too few stood before)
    """
    counts = decided.group_by("cohort", "number").agg(decided=pl.len(), renewed=pl.col("renewed").sum()).sort("cohort", "number")
    told = _told(counts).sort("cohort", "number")
    is_known = pl.col("share").is_not_null().cast(pl.Int8).cum_min().over("cohort") == 1
    return told.with_columns(survival=pl.when(is_known).then(pl.col("share").fill_null(0).cum_prod().over("cohort")))


def _told(counts: pl.DataFrame) -> pl.DataFrame:
    rows = [
        {"share": renewed / of, **dict(zip(("low", "high"), wilson(renewed, of), strict=True))}
        if of >= FEWEST
        else {"share": None, "low": None, "high": None}
        for of, renewed in counts.select("decided", "renewed").iter_rows()
    ]
    return pl.concat([counts, pl.DataFrame(rows, schema=dict.fromkeys(("share", "low", "high"), pl.Float64))], how="horizontal")
