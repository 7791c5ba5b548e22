"""Where a customer stands with us and how well: habits of buying, stage, health with its parts, and what cohorts keep.

A customer who is billed by the month is quiet after some missed months, one who buys every other year is not: the limit of silence is a
multiple of the customer's own usual gap. Rules are data, and every answer says which of them made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import polars as pl

from topline.kernel.errors import Invalid, ensure

Every = Literal["month", "quarter", "year"]
STAGES = ("lead", "prospect", "new", "onboarding", "active", "expanding", "at_risk", "churned", "won_back")
PARTS = {"pays": 30, "owes": 20, "buys": 25, "says": 15, "troubles": 10}  # weights; a part that is not known counts for nothing
FEWEST_PARTS = 2
WORST_DELAY = 60.0  # days late on average at which paying is worth no point
WORST_OVERDUE = 0.5  # share of a year's sales that is overdue at which owing is worth no point
TROUBLE_POINTS = 20.0  # taken off for each dispute or ticket


@dataclass(frozen=True)
class Rules:
    """When a customer stands where.

    new_days, onboarding_days  since the first purchase
    quiet_times                usual gaps without a purchase after which a customer has left, between fewest and most_quiet_days;
                               unknown_quiet_days where fewer than three purchases tell no gap
    won_back_days              since the purchase that ended the silence
    expanding_share            rise of half a year's sales over those of the half year before
    at_risk_below              points of health
    """

    new_days: int = 30
    onboarding_days: int = 90
    quiet_times: int = 3
    fewest_quiet_days: int = 90
    most_quiet_days: int = 730
    unknown_quiet_days: int = 365
    won_back_days: int = 180
    expanding_share: float = 0.2
    at_risk_below: float = 40.0


RULES = Rules()
HALF_YEAR = 182


def habits(purchases: pl.DataFrame, *, as_of: date, rules: Rules = RULES) -> pl.DataFrame:
    """How each customer buys, by the end of a day; purchases of one day count as one.

    purchases  customer_id i64, on date, amount_minor i64 (one currency; credits negative: they are money but no purchase)
    returns    one row per customer who had bought: customer_id, first_on, last_on date, purchases u32, gap_days f64 (median; null below three),
               limit_days i64 (of silence), quiet_days i64, returned_on date (purchase that ended the last silence beyond the limit; null: none),
               recent_minor, before_minor i64 (last half year, and the one before), year_minor i64
    Work: O(n log n).
    """
    known = purchases.filter(pl.col("on") <= as_of)
    days = known.filter(pl.col("amount_minor") > 0).select("customer_id", "on").unique().sort("customer_id", "on")
    gap = pl.col("on").diff().over("customer_id").dt.total_days()
    days = days.with_columns(gap=gap)
    usual = days.group_by("customer_id", maintain_order=True).agg(
        first_on=pl.col("on").min(), last_on=pl.col("on").max(), purchases=pl.len(), gap_days=pl.when(pl.len() >= 3).then(pl.col("gap").median())
    )  # fmt: skip
    limit = (pl.col("gap_days") * rules.quiet_times).clip(rules.fewest_quiet_days, rules.most_quiet_days).round().cast(pl.Int64)
    usual = usual.with_columns(limit_days=limit.fill_null(rules.unknown_quiet_days))
    returned = (
        days.join(usual.select("customer_id", "limit_days"), on="customer_id")
        .filter(pl.col("gap") > pl.col("limit_days"))
        .group_by("customer_id")
        .agg(returned_on=pl.col("on").max())
    )
    half, year = as_of - timedelta(days=HALF_YEAR), as_of - timedelta(days=2 * HALF_YEAR)
    sums = known.group_by("customer_id").agg(
        recent_minor=pl.col("amount_minor").filter(pl.col("on") > half).sum(),
        before_minor=pl.col("amount_minor").filter((pl.col("on") > year) & (pl.col("on") <= half)).sum(),
        year_minor=pl.col("amount_minor").filter(pl.col("on") > year).sum(),
    )
    return (
        usual.with_columns(quiet_days=(pl.lit(as_of) - pl.col("last_on")).dt.total_days())
        .join(returned, on="customer_id", how="left", maintain_order="left")
        .join(sums, on="customer_id", how="left", maintain_order="left")
    )


def health(facts: pl.DataFrame) -> pl.DataFrame:
    """Points from 0 to 100 of each part that is known, and of all by weight; null with fewer than two parts.

    facts    customer_id; null where not known: delay_days f64 (late on average), overdue_share f64 (of a year's sales), quiet_ratio f64
             (silence over the usual gap), says f64 (0 to 1: how content), troubles i64 (disputes and tickets of half a year)
    returns  customer_id, a column of PARTS each f64 (null: not known), health f64
    """
    points = facts.select(
        "customer_id",
        pays=100 * (1 - pl.col("delay_days").clip(0, WORST_DELAY) / WORST_DELAY),
        owes=100 * (1 - pl.col("overdue_share").clip(0, WORST_OVERDUE) / WORST_OVERDUE),
        buys=100 * (1 - (pl.col("quiet_ratio") - 1).clip(0, 2) / 2),
        says=100 * pl.col("says"),
        troubles=(100 - TROUBLE_POINTS * pl.col("troubles")).clip(0, 100),
    )
    weight = pl.sum_horizontal(pl.when(pl.col(part).is_not_null()).then(weight).otherwise(0) for part, weight in PARTS.items())
    total = pl.sum_horizontal((pl.col(part) * weight).fill_null(0) for part, weight in PARTS.items())
    enough = pl.sum_horizontal(pl.col(part).is_not_null() for part in PARTS) >= FEWEST_PARTS
    return points.with_columns(health=pl.when(enough).then(total / weight))


def stages(customers: pl.DataFrame, *, as_of: date, rules: Rules = RULES) -> pl.DataFrame:
    """Where each customer stands and which rule says so. The first rule that holds wins, in this order: nothing bought yet (prospect where
    there is a deal, else lead), churned, won back, new, onboarding, at risk, expanding, active.

    customers  customer_id, has_deal bool, the columns of `habits` (null: nothing bought) and health f64
    returns    customer_id, stage, because (in words)
    """
    age = (pl.lit(as_of) - pl.col("first_on")).dt.total_days()
    back = (pl.lit(as_of) - pl.col("returned_on")).dt.total_days()
    rise = pl.col("recent_minor") / pl.col("before_minor") - 1
    grown = (pl.col("before_minor") > 0) & (rise >= rules.expanding_share) & (age > 2 * HALF_YEAR)
    silent = (
        pl.when(pl.col("gap_days").is_null())
        .then(pl.format("{} days without a purchase; after {} a customer who buys rarely has left", "quiet_days", "limit_days"))
        .otherwise(pl.format("{} days without a purchase; usually one every {}, and {} is the limit", "quiet_days", pl.col("gap_days").round().cast(pl.Int64), "limit_days"))
    )  # fmt: skip
    table: list[tuple[pl.Expr, str, pl.Expr]] = [
        (pl.col("first_on").is_null() & pl.col("has_deal"), "prospect", pl.lit("nothing bought yet, but there is a deal")),
        (pl.col("first_on").is_null(), "lead", pl.lit("nothing bought yet, and no deal")),
        (pl.col("quiet_days") > pl.col("limit_days"), "churned", silent),
        (back <= rules.won_back_days, "won_back", pl.format("bought again on {} after a long silence", _spoken("returned_on"))),
        (age < rules.new_days, "new", pl.format("bought first on {}", _spoken("first_on"))),
        (age < rules.onboarding_days, "onboarding", pl.format("bought first on {}", _spoken("first_on"))),
        (pl.col("health") < rules.at_risk_below, "at_risk", pl.format("health {} of 100", pl.col("health").round().cast(pl.Int64))),
        (grown, "expanding", pl.format("{} % more than in the half year before", (rise * 100).round().cast(pl.Int64))),
    ]  # fmt: skip
    stage: pl.Expr = pl.lit("active")
    because: pl.Expr = pl.format("bought last on {}", _spoken("last_on"))
    for holds, name, words in reversed(table):
        stage = pl.when(holds.fill_null(False)).then(pl.lit(name)).otherwise(stage)
        because = pl.when(holds.fill_null(False)).then(words).otherwise(because)
    return customers.select("customer_id", stage=stage, because=because)


def _spoken(day: str) -> pl.Expr:
    """`5 Sep 2025`."""
    return pl.col(day).dt.strftime("%-d %b %Y")


def retention(purchases: pl.DataFrame, *, as_of: date, every: Every = "quarter") -> pl.DataFrame:
    """What each cohort keeps: customers by the period of their first purchase, and who of them bought in each later period.

    purchases  as for `habits`
    returns    one row per cohort and age, whole periods only: cohort date (its first day), age i64 (0: the period itself), customers u32 (of the
               cohort), active u32, share f64, sales_minor i64, kept f64 (sales over those of age 0; null where these are not above zero)
    Raises: Invalid for another period.
    """
    ensure(every in ("month", "quarter", "year"), Invalid(f"There are no cohorts by {every!r}.", field="every", remedy="Use month, quarter or year."))  # fmt: skip
    step = {"month": "1mo", "quarter": "1q", "year": "1y"}[every]
    months = {"month": 1, "quarter": 3, "year": 12}[every]
    ends = pl.Series([as_of + timedelta(days=1)]).dt.truncate(step)[0]  # the first day of the period that is not over
    known = purchases.filter(pl.col("on") < ends).with_columns(period=pl.col("on").dt.truncate(step))
    first = known.filter(pl.col("amount_minor") > 0).group_by("customer_id").agg(cohort=pl.col("period").min())
    placed = known.join(first, on="customer_id").filter(pl.col("period") >= pl.col("cohort"))
    number = (pl.col("period").dt.year() * 12 + pl.col("period").dt.month() - pl.col("cohort").dt.year() * 12 - pl.col("cohort").dt.month()) // months  # fmt: skip
    cells = placed.group_by("cohort", age=number.cast(pl.Int64)).agg(
        active=pl.col("customer_id").filter(pl.col("amount_minor") > 0).n_unique(), sales_minor=pl.col("amount_minor").sum()
    )
    sizes = first.group_by("cohort").agg(customers=pl.len())
    last = (ends.year * 12 + ends.month - pl.col("cohort").dt.year() * 12 - pl.col("cohort").dt.month()) // months
    grid = (
        sizes.with_columns(age=pl.int_ranges(0, last.cast(pl.Int64))).explode("age").join(cells, on=["cohort", "age"], how="left")
    )
    base = pl.col("sales_minor").filter(pl.col("age") == 0).first().over("cohort")
    filled = grid.with_columns(pl.col("active").fill_null(0), pl.col("sales_minor").fill_null(0))
    return filled.with_columns(
        share=pl.col("active") / pl.col("customers"), kept=pl.when(base > 0).then(pl.col("sales_minor") / base)
    ).sort("cohort", "age")
