"""The figures of collecting week by week, for the company and for each person who owns customers: read once, counted for all days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

import polars as pl
from django.db.models import F, Q, Sum

from topline.billing import queries as billing
from topline.billing.models import Invoice
from topline.engine import receivables as engine
from topline.kernel import bulk
from topline.market import queries as market
from topline.receivables import figures, queries
from topline.receivables.models import Allocation, Payment

WEEKS = 13
SUMS = ["owed_minor", "current_minor", "sales_minor", "opening_minor"]


@dataclass(frozen=True, slots=True)
class Point:
    """How fast money came in at the end of a day, over the three calendar months that end with its month; None where undefined."""

    on: date
    dso: Fraction | None
    best_possible: Fraction | None
    days_delinquent: Fraction | None
    effectiveness: Fraction | None


def weekly(*, entity_id: int, as_of: date, currency: str, weeks: int = WEEKS) -> dict[int | None, list[Point]]:
    """DSO (simple), best possible DSO, average days delinquent and collection effectiveness at each week's end, oldest first.

    The last week ends on as_of. Each point is that of `figures.collection` on its day. By the member who owns the customers (those
    whose payer is unknown or who have no owner belong to nobody), and under None for the company.
    Work: nine statements whatever the weeks, O((documents + payments open in the span + their allocations) x weeks).
    """
    days = [as_of - timedelta(days=7 * back) for back in range(weeks)][::-1]
    spans = {day: figures.months_back(day, 3) for day in days}
    before = {day: span[-1][0] - timedelta(days=1) for day, span in spans.items()}
    asked = pl.DataFrame({"day": sorted({*days, *before.values()})}, schema={"day": pl.Date})
    standing = pl.concat([_documents(entity_id, currency, asked), _unapplied(entity_id, currency, asked)])
    owned = market.owners()
    standing = (
        standing.join(owned, on="customer_id", how="left")
        .group_by("owner_id", "day")
        .agg(pl.col("owed_minor", "current_minor").sum())
    )
    sold = _sales(entity_id, currency, first=min(before.values()), until=as_of).join(owned, on="customer_id", how="left")
    opening = standing.select("owner_id", before="day", opening_minor="owed_minor")
    frame = pl.DataFrame(
        {"day": days, "before": [before[d] for d in days], "length": [sum(n for _, n in spans[d]) for d in days]}
    )
    nobody = pl.DataFrame({"owner_id": [None]}, schema={"owner_id": pl.Int64})
    owners = pl.concat([nobody, standing.select("owner_id"), sold.select("owner_id")]).unique()
    sales = frame.join_where(sold, pl.col("issued_on") > pl.col("before"), pl.col("issued_on") <= pl.col("day"))
    told = (
        frame.join(owners, how="cross")
        .join(standing, on=["owner_id", "day"], how="left", nulls_equal=True)
        .join(opening, on=["owner_id", "before"], how="left", nulls_equal=True)
        .join(
            sales.group_by("owner_id", "day").agg(pl.col("sales_minor").sum()),
            on=["owner_id", "day"],
            how="left",
            nulls_equal=True,
        )
        .with_columns(pl.col(SUMS).fill_null(0))
    )
    whole = told.group_by("day").agg(pl.col(SUMS).sum(), pl.col("length").first(), owner_id=pl.lit(None, dtype=pl.Int64))
    mine = told.drop_nulls("owner_id").select(whole.columns)
    points: dict[int | None, list[Point]] = {None: []}
    for row in pl.concat([whole, mine]).sort("day").iter_rows(named=True):
        points.setdefault(row["owner_id"], []).append(_point(row))
    return points


def _point(row: dict[str, int]) -> Point:
    sales, length = row["sales_minor"], row["length"]
    simple = engine.dso_simple(receivables_minor=row["owed_minor"], sales_minor=sales, days=length)
    best = engine.best_possible_dso(current_minor=row["current_minor"], sales_minor=sales, days=length)
    effective = engine.cei(
        opening_minor=row["opening_minor"], sales_minor=sales, closing_minor=row["owed_minor"], closing_current_minor=row["current_minor"]
    )  # fmt: skip
    late = engine.average_days_delinquent(dso=simple, best_possible=best)
    return Point(row["day"], simple, best, late, effective)  # type: ignore[arg-type]


def _documents(entity_id: int, currency: str, asked: pl.DataFrame) -> pl.DataFrame:
    """What was open on each day of documents of each customer: customer_id, day, owed_minor, current_minor (invoices not yet due)."""
    first, last = asked["day"][0], asked["day"][-1]
    rows = Invoice.objects.filter(entity_id=entity_id, currency=currency, issued_on__lte=last)
    rows = rows.filter(Q(state=Invoice.State.OPEN) | Q(closed_on__gt=first))
    columns = ["id", "customer_id", "kind", "issued_on", "due_on", "total_minor", "allocated_minor", "state", "closed_on"]
    documents = bulk.read(rows.values(*columns))
    moved = Allocation.objects.filter(effective_on__gt=first)
    settled = bulk.read(moved.filter(invoice__entity_id=entity_id).values("invoice_id", "effective_on", "amount_minor"))
    used = bulk.read(moved.filter(credit_note__entity_id=entity_id).values("credit_note_id", "effective_on", "source_minor"))
    later = pl.concat(
        [settled.rename({"invoice_id": "id"}), used.rename({"credit_note_id": "id", "source_minor": "amount_minor"})]
    )
    is_void = pl.col("state") == Invoice.State.VOID.value
    there = documents.join(asked, how="cross").filter(
        (pl.col("issued_on") <= pl.col("day"))
        & ((pl.col("state") == Invoice.State.OPEN.value) | (pl.col("closed_on") > pl.col("day")))
    )
    rest = pl.col("total_minor") - pl.col("allocated_minor") + pl.col("later_minor")
    there = _with_later(there, later).with_columns(open_minor=pl.when(is_void).then("total_minor").otherwise(rest))
    there = there.filter(pl.col("open_minor") > 0)
    is_owed = pl.col("kind") != Invoice.Kind.CREDIT_NOTE.value
    current = pl.when(is_owed & (pl.col("due_on") >= pl.col("day"))).then("open_minor").otherwise(0)
    parts = billing.instalments_of(None, entity_id=entity_id).rename({"invoice_id": "id", "due_on": "part_due_on"})
    split = there.join(parts, on="id").sort("id", "day", "position")
    upto = pl.col("amount_minor").cum_sum().over("id", "day")
    part = pl.min_horizontal("amount_minor", (upto - (pl.col("total_minor") - pl.col("open_minor"))).clip(0))
    not_due = split.with_columns(part=part).filter(pl.col("part_due_on") >= pl.col("day"))
    in_parts = not_due.group_by("id", "day").agg(parts_minor=pl.col("part").sum())
    has_parts = pl.col("id").is_in(parts["id"].unique().to_list())
    return (
        there.join(in_parts, on=["id", "day"], how="left")
        .select(
            "customer_id", "day", owed_minor=pl.when(is_owed).then("open_minor").otherwise(-pl.col("open_minor")),
            current_minor=pl.when(has_parts).then(pl.col("parts_minor").fill_null(0)).otherwise(current),
        )
        .group_by("customer_id", "day").agg(pl.col("owed_minor", "current_minor").sum())
    )  # fmt: skip


def _unapplied(entity_id: int, currency: str, asked: pl.DataFrame) -> pl.DataFrame:
    """Money with us on each day that settled nothing, taken off what is owed: columns as `_documents`."""
    first, last = asked["day"][0], asked["day"][-1]
    back = queries.returned(entity_id=entity_id, after=first).rename({"payment_id": "id"})
    moved = Allocation.objects.filter(effective_on__gt=first, payment__entity_id=entity_id, payment__currency=currency)
    later = bulk.read(moved.values("payment_id", "effective_on", "source_minor")).rename(
        {"payment_id": "id", "source_minor": "amount_minor"}
    )
    rows = Payment.objects.filter(entity_id=entity_id, currency=currency, received_on__lte=last)
    rows = rows.filter(Q(allocated_minor__lt=F("amount_minor")) | Q(pk__in=moved.values("payment_id")))
    payments = bulk.read(rows.values("id", "customer_id", "received_on", "amount_minor", "allocated_minor", "state")).join(
        back, on="id", how="left"
    )
    stands = (pl.col("state") == Payment.State.RECEIVED.value) | (pl.col("returned_on") > pl.col("day"))
    there = (
        payments.rename({"amount_minor": "total_minor"})
        .join(asked, how="cross")
        .filter((pl.col("received_on") <= pl.col("day")) & stands)
    )
    left = _with_later(there, later).with_columns(
        left_minor=pl.col("total_minor") - pl.col("allocated_minor") + pl.col("later_minor")
    )
    return left.filter(pl.col("left_minor") > 0).select(
        "customer_id", "day", owed_minor=-pl.col("left_minor"), current_minor=pl.lit(0, dtype=pl.Int64)
    )


def _with_later(there: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Rows (id, day) with later_minor: what was settled after the day, 0 where nothing was."""
    daily = later.group_by("id", "effective_on").agg(pl.col("amount_minor").sum())
    days = there.select("day").unique()
    after = daily.join(days, how="cross").filter(pl.col("effective_on") > pl.col("day"))
    sums = after.group_by("id", "day").agg(later_minor=pl.col("amount_minor").sum())
    return there.join(sums, on=["id", "day"], how="left").with_columns(pl.col("later_minor").fill_null(0))


def _sales(entity_id: int, currency: str, *, first: date, until: date) -> pl.DataFrame:
    """Gross sales of each customer by day, credit notes taken off: customer_id, issued_on, sales_minor."""
    rows = Invoice.objects.filter(entity_id=entity_id, currency=currency, issued_on__gt=first, issued_on__lte=until)
    rows = rows.exclude(state__in=[Invoice.State.DRAFT, Invoice.State.VOID])
    sums = rows.order_by().values("customer_id", "issued_on", "kind").annotate(sum_minor=Sum("total_minor"))
    sign = pl.when(pl.col("kind") == Invoice.Kind.CREDIT_NOTE.value).then(-1).otherwise(1)
    return bulk.read(sums).select("customer_id", "issued_on", sales_minor=pl.col("sum_minor") * sign)
