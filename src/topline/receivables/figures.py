"""The figures about receivables: who owes what since when, how fast money comes in, what will be lost.

Each is read as of any day and says from which rows it was made.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Literal

import polars as pl
from django.db.models import F

from topline.billing import queries as billing
from topline.billing.models import Invoice
from topline.engine import aging, cash
from topline.engine import receivables as engine
from topline.kernel import bulk
from topline.kernel.database import is_postgresql
from topline.market import queries as market
from topline.receivables import queries

# Loss rates per bucket until a company has derived its own from roll rates, in millionths; IFRS 9 B5.5.35 asks for one's own.
LOSS_RATES_PPM = (5_000, 15_000, 34_000, 71_000, 108_000)


@dataclass(frozen=True)
class Aging:
    """Open receivables of one company by age.

    items    one row per open document or instalment, with bucket and age_days
    buckets  one row per currency and bucket: currency, bucket, items, open_minor
    customers  the table: customer_id, currency, a column per bucket, credits_minor, unapplied_minor, total_minor
    """

    as_of: date
    by: str
    edges: tuple[int, ...]
    items: pl.DataFrame
    unapplied: pl.DataFrame
    buckets: pl.DataFrame
    customers: pl.DataFrame

    def total_minor(self, currency: str) -> int:
        """What is owed in all, less credits and unapplied cash."""
        return int(self.customers.filter(pl.col("currency") == currency)["total_minor"].sum())


def aged(
    *,
    entity_id: int,
    as_of: date,
    by: Literal["due", "issued"] = "due",
    edges: Sequence[int] = aging.EDGES,
    customer_ids: list[int] | None = None,
) -> Aging:
    """Receivables by age as of any day; records merged into one customer count together.

    Raises: Invalid for bucket edges that do not rise.
    """
    items = aging.age(
        market.resolve(queries.open_items(entity_id=entity_id, as_of=as_of, customer_ids=customer_ids)),
        as_of=as_of,
        by=by,
        edges=edges,
    )
    unapplied = market.resolve(queries.unapplied(entity_id=entity_id, as_of=as_of, customer_ids=customer_ids))
    return Aging(as_of, by, tuple(edges), items, unapplied, aging.summary(items), aging.table(items, unapplied, edges=edges))


@dataclass(frozen=True)
class Collection:
    """How fast money comes in, in one currency over the last three months; None where a figure is undefined."""

    currency: str
    as_of: date
    receivables_minor: int
    current_minor: int
    sales_minor: int
    days: int
    dso_countback: Fraction | None
    dso_simple: Fraction | None
    best_possible: Fraction | None
    average_days_delinquent: Fraction | None
    cei: Fraction | None
    at_risk_by_count: float | None
    at_risk_by_value: float | None
    expected_loss_minor: int


def collection(
    *, entity_id: int, as_of: date, currency: str, now: Aging | None = None, customer_ids: list[int] | None = None
) -> Collection:
    """Days sales outstanding in three ways, days lost to lateness, collection effectiveness and expected loss.

    The span is the three calendar months that end with as_of's month; gross figures on both sides; unapplied cash and credits
    reduce the receivables. Sources: see engine.receivables and engine.aging.

    now  the ageing of that day, where the caller has it already; customer_ids: of these alone
    """
    now = now or aged(entity_id=entity_id, as_of=as_of, customer_ids=customer_ids)
    months = months_back(as_of, 24)
    monthly = billing.monthly_sales(entity_id=entity_id, until=as_of, customer_ids=customer_ids)
    sold = {m: s for m, c, s in monthly.iter_rows() if c == currency}
    owed = now.total_minor(currency)
    mine = now.items.filter(pl.col("currency") == currency)
    current = int(mine.filter((pl.col("age_days") <= 0) & (pl.col("open_minor") > 0))["open_minor"].sum())
    span = months[:3]
    days = sum(d for _, d in span)
    sales = sum(sold.get(m, 0) for m, _ in span)
    before = span[-1][0] - timedelta(days=1)
    if customer_ids is None:
        opening = queries.owed_minor(entity_id=entity_id, as_of=before, currency=currency)
    else:
        opening = aged(entity_id=entity_id, as_of=before, customer_ids=customer_ids).total_minor(currency)
    simple = engine.dso_simple(receivables_minor=owed, sales_minor=sales, days=days)
    best = engine.best_possible_dso(current_minor=current, sales_minor=sales, days=days)
    by_count, by_value = aging.at_risk(mine)
    balances = pl.DataFrame({"bucket": aging.labels(), "loss_rate_ppm": LOSS_RATES_PPM}).join(
        mine.filter(pl.col("open_minor") > 0).group_by(pl.col("bucket").cast(pl.String)).agg(pl.col("open_minor").sum()),
        on="bucket",
    )
    return Collection(
        currency=currency,
        as_of=as_of,
        receivables_minor=owed,
        current_minor=current,
        sales_minor=sales,
        days=days,
        dso_countback=engine.dso_countback(receivables_minor=owed, sales=[(d, sold.get(m, 0)) for m, d in months]),
        dso_simple=simple,
        best_possible=best,
        average_days_delinquent=engine.average_days_delinquent(dso=simple, best_possible=best),
        cei=engine.cei(opening_minor=opening, sales_minor=sales, closing_minor=owed, closing_current_minor=current),
        at_risk_by_count=by_count,
        at_risk_by_value=by_value,
        expected_loss_minor=aging.expected_loss(balances.select("open_minor", "loss_rate_ppm")).allowance_minor,
    )


def span_start(as_of: date) -> date:
    """The first day of the three months over which collection is measured."""
    return months_back(as_of, 3)[-1][0]


def payment_history(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """Invoices settled in full on or before a day, not by credits alone: customer_id, due_on, paid_on (the day of the last allocation)."""
    paid = Invoice.objects.filter(
        entity_id=entity_id,
        kind=Invoice.Kind.INVOICE,
        state=Invoice.State.PAID,
        closed_on__lte=as_of,
        from_credits_minor__lt=F("total_minor"),
    )
    return market.resolve(bulk.read(paid.values("customer_id", "due_on", "closed_on"))).rename({"closed_on": "paid_on"})


def lateness(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """The same history counted by the database, without what credits paid whole: customer_id, late_days i64, payments i64 (invoices paid so late or early)."""
    days = "closed_on - due_on" if is_postgresql() else "CAST(julianday(closed_on) - julianday(due_on) AS integer)"
    counted = bulk.query(
        f"SELECT customer_id, {days}, count(*) FROM billing_invoice WHERE entity_id = %s AND kind = %s AND state = %s AND closed_on <= %s"
        " AND from_credits_minor < total_minor GROUP BY 1, 2",
        [entity_id, Invoice.Kind.INVOICE.value, Invoice.State.PAID.value, as_of.isoformat()],
        {"customer_id": pl.Int64(), "late_days": pl.Int64(), "payments": pl.Int64()},
    )
    return market.resolve(counted)


def delays(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """How late each customer pays on average, shrunk to the company's mean: customer_id, payments, delay_days."""
    return cash.average_delays(lateness(entity_id=entity_id, as_of=as_of))


def roll_rates(*, entity_id: int, as_of: date, currency: str) -> pl.DataFrame:
    """What share of each bucket a month ago has moved to the next one: bucket, balance_minor, rolled_minor, rate."""
    before = aged(entity_id=entity_id, as_of=as_of - timedelta(days=30)).items
    now = aged(entity_id=entity_id, as_of=as_of).items
    keep = (pl.col("currency") == currency) & (pl.col("open_minor") > 0)
    return aging.roll_rates(before.filter(keep), now.filter(keep))


def months_back(day: date, count: int) -> list[tuple[date, int]]:
    """The months that end with the day's own, newest first: (first day, days of it that have passed)."""
    found = [(day.replace(day=1), day.day)]
    while len(found) < count:
        last = found[-1][0] - timedelta(days=1)
        found.append((last.replace(day=1), calendar.monthrange(last.year, last.month)[1]))
    return found
