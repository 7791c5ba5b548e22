"""Ageing of receivables, roll rates between buckets, and the expected loss that follows from them.

Buckets count days past DUE (or since issue): not due, 1-30, 31-60, 61-90, over 90. Sources: FIELD practice of credit
management; IFRS 9 B5.5.35 (provision matrix).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Literal

import polars as pl

from topline.kernel import money
from topline.kernel.errors import Invalid, ensure

EDGES = (30, 60, 90)
NOT_DUE = "not due"


def edges_of(text: str) -> tuple[int, ...]:
    """Bounds written as `30,60,90`; EDGES where nothing is written. Raises: Invalid."""
    if not text:
        return EDGES
    parts = text.split(",")
    if not all(p.strip().isdecimal() and len(p) < 8 for p in parts) or len(parts) > 8:
        raise Invalid(f"{text!r} are no buckets.", field="buckets", remedy="Write rising days such as 30,60,90.")
    edges = tuple(int(p) for p in parts)
    labels(edges)
    return edges


def labels(edges: Sequence[int] = EDGES) -> list[str]:
    """Names of the buckets, in order: `not due`, `1-30`, ..., `over 90`. Raises: Invalid unless edges rise from above zero."""
    ensure(
        len(edges) > 0 and edges[0] > 0 and all(a < b for a, b in pairwise(edges)),
        Invalid("Bucket edges must rise, such as 30, 60, 90.", field="edges"),
    )
    return [NOT_DUE, *(f"{low + 1}-{high}" for low, high in zip((0, *edges), edges, strict=False)), f"over {edges[-1]}"]


def age(items: pl.DataFrame, *, as_of: date, by: Literal["due", "issued"] = "due", edges: Sequence[int] = EDGES) -> pl.DataFrame:
    """Days past due and bucket of each open item.

    items    one row per open document: due_on, issued_on date, and whatever else is kept
    by       what the days count from; by issue day nothing is "not due" beyond its first day
    returns  the same rows with age_days i64 (zero or less: not due) and bucket (an ordered Enum)
    """
    names = labels(edges)
    days = (pl.lit(as_of) - pl.col("due_on" if by == "due" else "issued_on")).dt.total_days()
    bucket = pl.lit(names[-1])
    for edge, name in zip(reversed((0, *edges)), reversed(names[:-1]), strict=True):
        bucket = pl.when(pl.col("age_days") <= edge).then(pl.lit(name)).otherwise(bucket)
    return items.with_columns(age_days=days).with_columns(bucket=bucket.cast(pl.Enum(names)))


def summary(aged: pl.DataFrame, *, by: Sequence[str] = ("currency",)) -> pl.DataFrame:
    """Count and sum per bucket; credit notes are left out of the buckets and shown as a column of their own.

    aged     rows of `age` with kind str and open_minor i64 (credit notes negative)
    returns  one row per group and bucket that has something: by..., bucket, items u32, open_minor i64, sorted
    """
    kept = aged.filter(pl.col("open_minor") > 0)
    return kept.group_by(*by, "bucket").agg(items=pl.len(), open_minor=pl.col("open_minor").sum()).sort(*by, "bucket")


def table(aged: pl.DataFrame, unapplied: pl.DataFrame, *, by: str = "customer_id", edges: Sequence[int] = EDGES) -> pl.DataFrame:
    """The ageing table: one row per group and currency, a column per bucket, credits and unapplied cash apart.

    aged       rows of `age`: by, currency, bucket, open_minor
    unapplied  payments with money left: by, currency, left_minor
    returns    by, currency, one i64 column per bucket, credits_minor (negative), unapplied_minor (negative), total_minor
    """
    names = labels(edges)
    buckets = [
        pl.col("open_minor").filter((pl.col("bucket") == name) & (pl.col("open_minor") > 0)).sum().alias(name) for name in names
    ]
    grouped = aged.group_by(by, "currency").agg(
        *buckets, credits_minor=pl.col("open_minor").filter(pl.col("open_minor") < 0).sum()
    )
    cash = unapplied.group_by(by, "currency").agg(unapplied_minor=-pl.col("left_minor").sum())
    joined = grouped.join(cash, on=[by, "currency"], how="full", coalesce=True, nulls_equal=True).with_columns(
        pl.col([*names, "credits_minor", "unapplied_minor"]).fill_null(0)
    )
    return joined.with_columns(total_minor=pl.sum_horizontal(*names, "credits_minor", "unapplied_minor")).sort(
        "currency", "total_minor", descending=[False, True]
    )


def roll_rates(before: pl.DataFrame, after: pl.DataFrame, *, edges: Sequence[int] = EDGES) -> pl.DataFrame:
    """How much of each bucket's balance was in the next bucket a month later.

    before, after  invoice_id, due_on, bucket and open_minor of the same book, one month apart
    returns        one row per bucket but the last: bucket, balance_minor, rolled_minor, rate f64 (null where there was nothing)
    Items are followed (see `rolled`), so the rate passes 1 only where more is open on them than a month before.
    """
    names = labels(edges)
    after = rolled(before, after, edges=edges)
    held = {str(b): v for b, v in before.group_by("bucket").agg(pl.col("open_minor").sum()).iter_rows()}
    later = {str(b): v for b, v in after.group_by("bucket").agg(pl.col("open_minor").sum()).iter_rows()}
    rows = [(name, held.get(name, 0), later.get(following, 0)) for name, following in pairwise(names)]
    frame = pl.DataFrame(rows, schema={"bucket": pl.String, "balance_minor": pl.Int64, "rolled_minor": pl.Int64}, orient="row")
    return frame.with_columns(rate=pl.when(pl.col("balance_minor") > 0).then(pl.col("rolled_minor") / pl.col("balance_minor")))


def rolled(before: pl.DataFrame, after: pl.DataFrame, *, edges: Sequence[int] = EDGES) -> pl.DataFrame:
    """Rows of `after` that were open a month before and could still move on: what is new since, and what was past the last edge then,
    has not rolled.
    """
    moving = before.filter(pl.col("bucket") != labels(edges)[-1]).select("invoice_id", "due_on").unique()
    return after.join(moving, on=["invoice_id", "due_on"], how="semi", maintain_order="left")


def at_risk(aged: pl.DataFrame, *, days: int = 90) -> tuple[float | None, float | None]:
    """Share of open invoices that are at least `days` late, by count and by value; None where nothing is open."""
    rows = aged.filter(pl.col("open_minor") > 0)
    late = rows.filter(pl.col("age_days") >= days)
    whole = int(rows["open_minor"].sum())
    return (late.height / rows.height, int(late["open_minor"].sum()) / whole) if whole else (None, None)


@dataclass(frozen=True, slots=True)
class Allowance:
    """The allowance wanted at the end and the expense that gets it there, in minor units."""

    allowance_minor: int
    expense_minor: int


def expected_loss(balances: pl.DataFrame, *, opening_minor: int = 0, write_offs_minor: int = 0) -> Allowance:
    """Expected credit loss by provision matrix: each bucket's balance times its loss rate; the allowance is a target.

    balances  one row per bucket: open_minor i64, loss_rate_ppm i64 (millionths)
    Expense = target - (opening - write-offs). Source: IFRS 9 5.5.15, B5.5.35.
    """
    target = sum(Decimal(b) * r / 1_000_000 for b, r in balances.select("open_minor", "loss_rate_ppm").iter_rows())
    wanted = money.round_minor(Decimal(target))
    return Allowance(wanted, wanted - (opening_minor - write_offs_minor))


def loss_by_sales(*, sales_minor: int, rate_ppm: int, opening_minor: int = 0, write_offs_minor: int = 0) -> Allowance:
    """Percent-of-sales method: the expense is the target and the allowance follows."""
    expense = money.round_minor(Decimal(sales_minor) * rate_ppm / 1_000_000)
    return Allowance(opening_minor - write_offs_minor + expense, expense)
