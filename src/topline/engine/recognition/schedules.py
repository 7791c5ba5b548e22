"""Step five: when revenue is earned. Schedules are computed from the obligation, never stored a row a month."""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.engine.documents import EXACT, largest_remainder, round_half_away


def schedule(obligations: pl.DataFrame) -> pl.DataFrame:
    """What is earned in each month.

    obligations  one row per obligation: obligation_id, amount_minor i64, start date, end date (first day after the service), method
                 str: day (by days served), month (equal parts, the first month whole, a part-month at the end gets none) or point
                 (all on the start day)
    returns      one row per obligation and month, in order: obligation_id, month date (its first day), amount_minor i64; the months of
                 an obligation add up to its amount, by largest remainder. A negative amount (a credit note) runs the same way
    Source: IFRS 15.35-45, 15.B18. Work: O(obligations x months).
    """
    start, end = pl.col("start"), pl.col("end")
    point, by_month = pl.col("method") == "point", pl.col("method") == "month"
    last = pl.when(point).then(start).otherwise(pl.max_horizontal(end - pl.duration(days=1), "start"))
    first_index, last_index = _index(start), _index(last)
    whole_months = pl.max_horizontal(_index(end), first_index + 1) - 1
    until = pl.when(by_month).then(whole_months).otherwise(last_index)
    rows = obligations.with_columns(_month=pl.int_ranges(first_index, until + 1)).explode("_month")
    rows = rows.with_columns(month=pl.date(pl.col("_month") // 12, pl.col("_month") % 12 + 1, 1))
    days = (pl.min_horizontal(end, pl.col("month").dt.offset_by("1mo")) - pl.max_horizontal(start, "month")).dt.total_days()
    weight = pl.when(by_month | point).then(1).otherwise(days)
    rows = rows.with_columns(_weight=weight.cast(EXACT))
    exact = pl.col("amount_minor").cast(EXACT) * pl.col("_weight") / pl.col("_weight").sum().over("obligation_id")
    rows = rows.with_columns(_exact=exact)
    part = largest_remainder(pl.col("_exact"), pl.col("amount_minor"), over=["obligation_id"])
    return rows.select("obligation_id", "month", amount_minor=part)


def deferred(scheduled: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """What is earned up to the end of a month, and what is still to come.

    scheduled  rows of schedule
    as_of      any day of the last month that counts
    returns    one row per obligation: obligation_id, earned_minor, remaining_minor
    """
    earned = pl.when(pl.col("month") <= as_of).then("amount_minor").otherwise(0)
    return scheduled.group_by("obligation_id", maintain_order=True).agg(
        earned_minor=earned.sum(), remaining_minor=pl.col("amount_minor").sum() - earned.sum()
    )


def waterfall(scheduled: pl.DataFrame, booked: pl.DataFrame) -> pl.DataFrame:
    """Revenue by the month it was booked in and the month it is recognised in.

    scheduled  rows of schedule
    booked     one row per obligation: obligation_id, booked_on date
    returns    one row per booked month and recognised month: booked date, month date, amount_minor
    """
    return (
        scheduled.join(booked, on="obligation_id")
        .group_by(pl.col("booked_on").dt.truncate("1mo").alias("booked"), "month")
        .agg(pl.col("amount_minor").sum())
        .sort("booked", "month")
    )


def cost_to_cost(contracts: pl.DataFrame) -> pl.DataFrame:
    """Progress by cost; materials delivered but not installed earn their cost and no margin.

    contracts  one row per obligation: price_minor, expected_cost_minor, uninstalled_minor (their cost, inside the expected cost),
               cost_to_date_minor (without them), delivered bool (the materials are the customer's)
    returns    contracts with progress decimal, revenue_minor, cost_of_sales_minor and profit_minor
    Source: IFRS 15.B19. Work: O(n).
    """
    whole = (pl.col("expected_cost_minor") - pl.col("uninstalled_minor")).cast(EXACT)
    materials = pl.when("delivered").then("uninstalled_minor").otherwise(0)
    rest = (pl.col("price_minor") - pl.col("uninstalled_minor")).cast(EXACT)
    earned = rest * pl.col("cost_to_date_minor").cast(EXACT) / whole
    return contracts.with_columns(
        progress=pl.col("cost_to_date_minor").cast(EXACT) / whole,
        revenue_minor=round_half_away(earned) + materials,
        cost_of_sales_minor=pl.col("cost_to_date_minor") + materials,
    ).with_columns(profit_minor=pl.col("revenue_minor") - pl.col("cost_of_sales_minor"))


def _index(day: pl.Expr) -> pl.Expr:
    """Months since year 0."""
    return day.dt.year().cast(pl.Int64) * 12 + day.dt.month().cast(pl.Int64) - 1
