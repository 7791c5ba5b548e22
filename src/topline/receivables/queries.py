"""Reads of the receivables room: payments and allocations, what was open on a day, and the figures about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl
from django.db.models import Case, F, Q, QuerySet, Sum, When

from topline.billing import queries as billing
from topline.billing.models import OWED, Invoice
from topline.books import queries as books
from topline.kernel import bulk
from topline.kernel.errors import NotFound
from topline.receivables.models import Allocation, Payment

LOCKED = [
    "id",
    "entity_id",
    "customer_id",
    "bank_account_id",
    "state",
    "number",
    "currency",
    "amount_minor",
    "functional_minor",
    "allocated_minor",
    "received_on",
]
ALLOCATION = [
    "id",
    "kind",
    "invoice_id",
    "payment_id",
    "credit_note_id",
    "amount_minor",
    "source_minor",
    "functional_minor",
    "effective_on",
]


def payments_for_update(payment_ids: Sequence[int]) -> pl.DataFrame:
    """Payments locked in the order of their ids until the transaction ends.

    Raises: NotFound when one does not exist.
    """
    ids = sorted(set(payment_ids))
    frame = bulk.read_locked(Payment, ids, LOCKED)
    if frame.height != len(ids):
        missing = sorted(set(ids) - set(frame["id"].to_list()))
        raise NotFound(f"There is no payment {missing[0]}.", field="payment_id")
    return frame


def allocations(allocation_ids: Sequence[int]) -> pl.DataFrame:
    """Allocations by id. Raises: NotFound when one does not exist."""
    ids = sorted(set(allocation_ids))
    frame = bulk.read(Allocation.objects.filter(pk__in=ids).order_by("pk").values(*ALLOCATION))
    if frame.height != len(ids):
        missing = sorted(set(ids) - set(frame["id"].to_list()))
        raise NotFound(f"There is no allocation {missing[0]}.", field="allocation_ids")
    return frame


def payment(payment_id: int) -> Payment:
    """One payment. Raises: NotFound."""
    found = Payment.objects.filter(pk=payment_id).first()
    if found is None:
        raise NotFound(f"There is no payment {payment_id}.", field="payment_id")
    return found


def numbers(rows: pl.DataFrame) -> pl.DataFrame:
    """Allocations with the number of the document that they settle, or else of their payment."""
    documents = dict(Invoice.objects.filter(pk__in=rows["invoice_id"].drop_nulls().to_list()).values_list("id", "number"))
    payments = dict(Payment.objects.filter(pk__in=rows["payment_id"].drop_nulls().to_list()).values_list("id", "number"))
    told = [documents.get(i) or payments.get(p, "") for i, p in rows.select("invoice_id", "payment_id").iter_rows()]
    return rows.with_columns(number=pl.Series(told, dtype=pl.String))


def allocations_of(entity_id: int) -> QuerySet[Allocation]:
    """All allocations of a company; order and slice before use."""
    return Allocation.objects.filter(Q(invoice__entity_id=entity_id) | Q(payment__entity_id=entity_id))


def standing_allocations(*, payment_ids: Sequence[int] = (), invoice_ids: Sequence[int] = ()) -> pl.DataFrame:
    """Allocations of payments or documents that were not undone, oldest first."""
    rows = Allocation.objects.filter(
        Q(payment_id__in=list(payment_ids)) | Q(invoice_id__in=list(invoice_ids)) | Q(credit_note_id__in=list(invoice_ids))
    )
    return bulk.read(rows.filter(reverses__isnull=True, reversed_by__isnull=True).order_by("pk").values(*ALLOCATION))


def undone_allocations(payment_id: int) -> pl.DataFrame:
    """What a payment settled and does not any more, because somebody undid it or the bank took it back: allocations and undone_on, oldest first."""
    gone = Allocation.objects.filter(payment_id=payment_id, reverses__isnull=True, reversed_by__isnull=False)
    return bulk.read(gone.order_by("pk").values(*ALLOCATION, undone_on=F("reversed_by__effective_on")))


def open_items(*, entity_id: int, as_of: date, customer_ids: list[int] | None = None) -> pl.DataFrame:
    """Documents with something open at the end of a day, whatever happened later; instalments are rows of their own.

    returns  one row per open document or instalment: invoice_id, customer_id, kind, number, currency, issued_on, due_on,
             total_minor, open_minor (negative for credit notes)
    Work: reads what is open now or was closed after the day, and the allocations after it.
    """
    items = billing.open_items(entity_id=entity_id, as_of=as_of, customer_ids=customer_ids)
    later = _allocated_after(as_of, items["id"], entity_id=entity_id)
    frame = (
        items.join(later, left_on="id", right_on="document_id", how="left")
        .with_columns(
            open_minor=pl.when(pl.col("state") == Invoice.State.VOID)
            .then(pl.col("total_minor"))
            .otherwise(pl.col("total_minor") - pl.col("allocated_minor") + pl.col("later_minor").fill_null(0))
        )
        .filter(pl.col("open_minor") > 0)
        .rename({"id": "invoice_id"})
    )
    frame = _by_instalment(frame, entity_id=entity_id)
    sign = pl.when(pl.col("kind") == Invoice.Kind.CREDIT_NOTE).then(-1).otherwise(1)
    return frame.select(
        "invoice_id",
        "customer_id",
        "kind",
        "number",
        "currency",
        "issued_on",
        "due_on",
        "total_minor",
        open_minor=pl.col("open_minor") * sign,
    ).sort("due_on", "invoice_id")


def owed_minor(*, entity_id: int, as_of: date, currency: str) -> int:
    """What was owed in all at the end of a day in one currency, less credit notes and unapplied cash; summed by the database.

    Work: three aggregates and the payments with money left.
    """
    documents = Invoice.objects.filter(entity_id=entity_id, currency=currency, issued_on__lte=as_of).filter(
        Q(state=Invoice.State.OPEN) | Q(closed_on__gt=as_of)
    )
    rest = Case(When(state=Invoice.State.VOID, then=F("total_minor")), default=F("total_minor") - F("allocated_minor"))
    standing = documents.exclude(state=Invoice.State.VOID).values("pk")
    later = Allocation.objects.filter(effective_on__gt=as_of)
    owed = 0
    for kinds, sign, settled, amount in (
        (OWED, 1, "invoice", "amount_minor"),
        ((Invoice.Kind.CREDIT_NOTE,), -1, "credit_note", "source_minor"),
    ):
        mine = documents.filter(kind__in=kinds).aggregate(total=Sum(rest))["total"] or 0
        since = later.filter(**{f"{settled}__in": standing.filter(kind__in=kinds)}).aggregate(total=Sum(amount))["total"] or 0
        owed += sign * (mine + since)
    left = unapplied(entity_id=entity_id, as_of=as_of).filter(pl.col("currency") == currency)["left_minor"].sum()
    return owed - int(left)


def unapplied(*, entity_id: int, as_of: date, customer_ids: list[int] | None = None) -> pl.DataFrame:
    """Payments with money left at the end of a day: payment_id, customer_id, number, currency, received_on, left_minor.

    A payment that the bank took back later was still there on the day.
    """
    gone = returned(entity_id=entity_id, after=as_of)["payment_id"].to_list()
    kept = Q(state=Payment.State.RECEIVED) | (Q(pk__in=gone) if len(gone) <= bulk.FEW else Q(state=Payment.State.RETURNED))
    rows = Payment.objects.filter(kept, entity_id=entity_id, received_on__lte=as_of)
    if customer_ids is not None:
        rows = rows.filter(customer_id__in=customer_ids)
    later = Allocation.objects.filter(effective_on__gt=as_of, payment__entity_id=entity_id, payment__received_on__lte=as_of)
    if customer_ids is not None:
        later = later.filter(payment__customer_id__in=customer_ids)
    after = bulk.read(later.values("payment_id", "source_minor"))
    after = after.group_by("payment_id").agg(later=pl.col("source_minor").sum())
    rows = rows.filter(Q(allocated_minor__lt=F("amount_minor")) | Q(pk__in=later.values("payment_id")))
    columns = ["id", "customer_id", "number", "currency", "received_on", "amount_minor", "allocated_minor", "state"]
    frame = bulk.read(rows.values(*columns)).filter((pl.col("state") == Payment.State.RECEIVED) | pl.col("id").is_in(gone))
    left = pl.col("amount_minor") - pl.col("allocated_minor") + pl.col("later").fill_null(0)
    return (
        frame.rename({"id": "payment_id"})
        .join(after, on="payment_id", how="left")
        .with_columns(left_minor=left)
        .filter(pl.col("left_minor") > 0)
        .select("payment_id", "customer_id", "number", "currency", "received_on", "left_minor")
    )


def returned(*, entity_id: int, after: date | None = None) -> pl.DataFrame:
    """Payments that the bank took back (later than a day, when given): payment_id i64, returned_on date."""
    found = books.reversals(entity_id=entity_id, kind="payment_received", after=after)
    return found.select(payment_id=pl.col("source").str.strip_prefix("payment:").cast(pl.Int64), returned_on="reversed_on")


def _allocated_after(as_of: date, document_ids: pl.Series, *, entity_id: int) -> pl.DataFrame:
    """What later allocations settled of documents that were there on the day: document_id, later_minor.

    document_ids  whose; many of them are read as all of the company
    """
    rows = Allocation.objects.filter(effective_on__gt=as_of)
    if document_ids.len() <= bulk.FEW:
        ids = document_ids.to_list()
        invoices, notes = rows.filter(invoice_id__in=ids), rows.filter(credit_note_id__in=ids)
    else:
        invoices = rows.filter(invoice__entity_id=entity_id, invoice__issued_on__lte=as_of)
        notes = rows.filter(credit_note__entity_id=entity_id, credit_note__issued_on__lte=as_of)
    settled = bulk.read(invoices.values("invoice_id", "amount_minor")).rename({"invoice_id": "document_id", "amount_minor": "m"})
    used = bulk.read(notes.values("credit_note_id", "source_minor")).rename(
        {"credit_note_id": "document_id", "source_minor": "m"}
    )
    return pl.concat([settled, used]).group_by("document_id").agg(later_minor=pl.col("m").sum())


def _by_instalment(frame: pl.DataFrame, *, entity_id: int) -> pl.DataFrame:
    """Spread the open rest of documents over their instalments: what was settled covered the earliest first."""
    parts = billing.instalments_of(frame["invoice_id"].to_list(), entity_id=entity_id)
    if parts.is_empty():
        return frame
    rows = parts.join(frame.drop("due_on"), on="invoice_id").sort("invoice_id", "position")
    settled = pl.col("total_minor") - pl.col("open_minor")
    upto = pl.col("amount_minor").cum_sum().over("invoice_id")
    rows = rows.with_columns(open_minor=pl.min_horizontal("amount_minor", (upto - settled).clip(0))).filter(
        pl.col("open_minor") > 0
    )
    return pl.concat([frame.join(parts, on="invoice_id", how="anti"), rows.select(frame.columns)])
