"""The cash forecast: what stands in the bank, what will come in, what will go out, and whether each payroll is covered.

Receipts are rows with a day, an amount and a probability, so that a method that knows distributions can take the place of
the one here without a change to what follows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

PRIOR_PAYMENTS = 5  # a customer's own average counts in full only with many payments beside these
RECEIPTS = {
    "item_id": pl.Int64,
    "customer_id": pl.Int64,
    "currency": pl.String,
    "expected_on": pl.Date,
    "amount_minor": pl.Int64,
    "probability": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether one payroll is covered on the day its money is taken.

    before_minor  what stands there before it; short_minor is 0 when covered; deciding: items that it depends on, largest first
    """

    name: str
    payday: date
    debit_on: date
    amount_minor: int
    before_minor: int
    short_minor: int
    deciding: list[int]


def average_delays(history: pl.DataFrame) -> pl.DataFrame:
    """How many days after the due day each customer pays, shrunk to the company's mean where there are few payments.

    history  one row per paid invoice: customer_id, due_on, paid_on; or counted already: customer_id, late_days i64, payments i64
    returns  one row per customer: customer_id, payments i64, delay_days f64; a row with customer_id null is the company's mean
    """
    if "late_days" not in history.columns:
        late = (pl.col("paid_on") - pl.col("due_on")).dt.total_days()
        history = history.select("customer_id", late_days=late, payments=pl.lit(1, dtype=pl.Int64))
    total = pl.col("late_days") * pl.col("payments")
    own = history.group_by("customer_id").agg(pl.col("payments").sum(), total=total.sum())
    count = int(own["payments"].sum())
    mean = int(own["total"].sum()) / count if count else 0.0
    shrunk = own.select(
        "customer_id", "payments", delay_days=(pl.col("total") + PRIOR_PAYMENTS * mean) / (pl.col("payments") + PRIOR_PAYMENTS)
    )
    company = pl.DataFrame({"customer_id": [None], "payments": [count], "delay_days": [mean]}, schema=shrunk.schema)
    return pl.concat([shrunk, company])


def expected_receipts(items: pl.DataFrame, history: pl.DataFrame, *, as_of: date, closed: Collection[date] = ()) -> pl.DataFrame:
    """When each open item is expected: on the day for which it is promised, else its due day shifted by the customer's own history.

    items    one row per open document: item_id, customer_id, currency, due_on, amount_minor > 0; optional later_days, by how much it
             waits beyond that (a dispute that takes so long to resolve), and promised_on, for which day it is promised
    history  as in average_delays, all paid on or before as_of
    closed   bank holidays; weekends are closed anyway
    returns  one row per item (RECEIPTS), in the order of items; nothing is expected in the past. What was expected already and did not come is moved to the
             customer's usual delay from today, at least the next business day
    """
    delays = average_delays(history)
    mean = float(delays.filter(pl.col("customer_id").is_null())["delay_days"][0])
    usual = items.join(delays.drop_nulls("customer_id"), on="customer_id", how="left", maintain_order="left").with_columns(
        delay=pl.col("delay_days").fill_null(mean).round(0).cast(pl.Int64)
    )
    tomorrow = as_of + timedelta(days=1)
    later = pl.col("later_days") if "later_days" in items.columns else pl.lit(0, dtype=pl.Int64)
    expected = pl.col("due_on") + pl.duration(days=pl.col("delay") + later)
    # late beyond the usual: half of what was overdue already, at most four weeks on
    overdue = (pl.lit(as_of) - expected).dt.total_days()
    moved = pl.lit(as_of) + pl.duration(days=(overdue // 2).clip(1, 28))
    promised = pl.col("promised_on") if "promised_on" in items.columns else pl.lit(None, dtype=pl.Date)
    by_habit = pl.when(expected >= tomorrow).then(expected).otherwise(moved)
    return usual.with_columns(expected_on=pl.when(promised >= tomorrow).then(promised).otherwise(by_habit)).select(
        "item_id",
        "customer_id",
        "currency",
        pl.col("expected_on").dt.add_business_days(0, holidays=sorted(closed), roll="forward"),
        "amount_minor",
        probability=pl.lit(1.0),
    )


def project(*, opening_minor: int, receipts: pl.DataFrame, outflows: pl.DataFrame, start: date, days: int) -> pl.DataFrame:
    """The balance day by day: opening + in - out = closing, and each closing opens the next day.

    receipts  expected_on, amount_minor, probability; outflows  debit_on, amount_minor. One currency
    returns   one row per day of [start, start + days): day, opening_minor, in_minor, out_minor, closing_minor
    """
    calendar = pl.DataFrame({"day": pl.date_range(start, start + timedelta(days=days - 1), eager=True)})
    weighted = (pl.col("amount_minor") * pl.col("probability")).round(0).cast(pl.Int64)
    coming = receipts.group_by(day="expected_on").agg(in_minor=weighted.sum())
    going = outflows.group_by(day="debit_on").agg(out_minor=pl.col("amount_minor").sum())
    frame = (
        calendar.join(coming, on="day", how="left")
        .join(going, on="day", how="left")
        .sort("day")
        .with_columns(pl.col("in_minor", "out_minor").fill_null(0))
    )
    closing = opening_minor + (pl.col("in_minor") - pl.col("out_minor")).cum_sum()
    return frame.with_columns(closing_minor=closing).select(
        "day",
        pl.col("closing_minor").shift(1, fill_value=opening_minor).alias("opening_minor"),
        "in_minor",
        "out_minor",
        "closing_minor",
    )


def rolled_up(daily: pl.DataFrame, *, every: str) -> pl.DataFrame:
    """Days of `project` summed to weeks ("1w", from Monday) or months ("1mo"): sums add up, opening and closing carry over.

    returns  one row per period: period (its first calendar day), last_on (its last day within the forecast), opening_minor, in_minor,
             out_minor, closing_minor, lowest_minor
    """
    return (
        daily.sort("day")
        .group_by_dynamic("day", every=every)
        .agg(
            last_on=pl.col("day").last(),
            opening_minor=pl.col("opening_minor").first(),
            in_minor=pl.col("in_minor").sum(),
            out_minor=pl.col("out_minor").sum(),
            closing_minor=pl.col("closing_minor").last(),
            lowest_minor=pl.col("closing_minor").min(),
        )
        .rename({"day": "period"})
    )


def coverage(daily: pl.DataFrame, *, payrolls: pl.DataFrame, receipts: pl.DataFrame, minimum_minor: int = 0) -> list[Coverage]:
    """For each payroll, on its debit day: covered, or short by how much, and which expected receipts decide it.

    daily     rows of `project`, the payrolls among its outflows
    payrolls  one row per payroll: name, payday, debit_on, amount_minor
    receipts  expected_on, item_id, amount_minor
    Money that comes in on the debit day is too late, and whatever else leaves on that day is counted as leaving first. Deciding are the largest receipts expected before
    the debit day, as many as it takes that without them the payroll is short; none when it is covered without any, all when it
    is short even with them.
    """
    balance = {day: (opening, out) for day, opening, out in daily.select("day", "opening_minor", "out_minor").iter_rows()}
    found = []
    for name, payday, debit_on, amount in (
        payrolls.sort("debit_on", "name").select("name", "payday", "debit_on", "amount_minor").iter_rows()
    ):
        if debit_on not in balance:
            continue
        opening, out = balance[debit_on]
        before = opening - (out - amount)
        spare = before - minimum_minor - amount
        in_time = receipts.filter(pl.col("expected_on") < debit_on).group_by("item_id").agg(pl.col("amount_minor").sum())
        waiting = in_time.sort("amount_minor", "item_id", descending=[True, False])
        found.append(Coverage(name, payday, debit_on, amount, before, max(0, -spare), _deciding(waiting, spare)))
    return found


def _deciding(waiting: pl.DataFrame, spare: int) -> list[int]:
    """The smallest number of largest receipts without which the spare money is gone."""
    if spare < 0:
        return [int(i) for i in waiting["item_id"].head(20)]
    running = waiting.with_columns(_sum=pl.col("amount_minor").cum_sum())
    enough = running.filter(pl.col("_sum") > spare)
    if enough.is_empty():
        return []
    return [int(i) for i in running["item_id"].head(running.height - enough.height + 1).head(20)]
