"""Reads of the billing room: documents for lists and pages, and documents locked for change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
from django.db.models import F, Q, QuerySet, Sum

from topline.billing.models import Instalment, Invoice, InvoiceLine
from topline.books.models import Entry, Transfer
from topline.kernel import bulk
from topline.kernel.database import one_of
from topline.kernel.errors import NotFound

LOCKED = ["id", "entity_id", "customer_id", "kind", "state", "number", "currency", "issued_on", "due_on", "terms", "net_minor", "tax_minor",
          "total_minor", "functional_minor", "allocated_minor", "from_credits_minor", "is_prepayment", "closed_on", "corrects_id"]  # fmt: skip


@dataclass(frozen=True)
class InvoiceDetail:
    """One document with its lines, instalments, and the documents that correct it or that it corrects."""

    invoice: Invoice
    lines: list[InvoiceLine]
    instalments: list[Instalment]
    corrections: list[Invoice]
    entries: list[Entry]

    @property
    def open_minor(self) -> int:
        """What is still to be settled, 0 for drafts and void documents."""
        return self.invoice.total_minor - self.invoice.allocated_minor if self.invoice.state == Invoice.State.OPEN else 0

    @property
    def unapplied_minor(self) -> int:
        """What issued credit notes of it take back and was not used for anything yet."""
        return sum(c.total_minor - c.allocated_minor for c in self.corrections if c.state == Invoice.State.OPEN)


def taken_back(invoice_ids: Sequence[int]) -> dict[int, int]:
    """What issued credit notes take back of invoices and was not used for anything yet, by invoice. One statement."""
    notes = Invoice.objects.filter(corrects__in=list(invoice_ids), kind=Invoice.Kind.CREDIT_NOTE, state=Invoice.State.OPEN)
    return dict(notes.order_by().values_list("corrects_id").annotate(left=Sum(F("total_minor") - F("allocated_minor"))))


def credited(invoice_id: int) -> int:
    """What issued credit notes take back of an invoice, used or not. One statement."""
    notes = Invoice.objects.filter(
        corrects=invoice_id, kind=Invoice.Kind.CREDIT_NOTE, state__in=(Invoice.State.OPEN, Invoice.State.PAID)
    )
    return int(notes.aggregate(total=Sum("total_minor"))["total"] or 0)


def issued_to(customer_ids: Sequence[int], *, limit: int) -> list[Mapping[str, Any]]:
    """Documents that customers got a number for, the newest first: id, number, kind, state, issued_on, total_minor, currency. One statement."""
    rows = Invoice.objects.filter(customer_id__in=list(customer_ids), issued_on__isnull=False).exclude(number=None)
    return list(rows.order_by("-issued_on", "-id").values("id", "number", "kind", "state", "issued_on", "total_minor", "currency")[:limit])  # fmt: skip


def for_update(invoice_ids: Sequence[int]) -> pl.DataFrame:
    """Documents locked in the order of their ids until the transaction ends.

    Raises: NotFound when one does not exist.
    """
    ids = sorted(set(invoice_ids))
    frame = bulk.read_locked(Invoice, ids, LOCKED)
    if frame.height != len(ids):
        missing = sorted(set(ids) - set(frame["id"].to_list()))
        raise NotFound(f"There is no document {missing[0]}.", field="invoice_ids")
    return frame


def head(invoice_id: int) -> dict[str, Any]:
    """The facts of a document that verbs look at. Raises: NotFound."""
    found = Invoice.objects.filter(pk=invoice_id).values(*LOCKED).first()
    if found is None:
        raise NotFound(f"There is no document {invoice_id}.", field="invoice_id")
    return dict(found)


def interest_notes(drafts: pl.DataFrame) -> list[int]:
    """Those of some documents that claim interest, or take such a claim back: what they come to is no revenue. One statement where there are credit notes.

    drafts  id, kind
    """
    of_kind = {
        kind: drafts.filter(pl.col("kind") == kind)["id"].to_list() for kind in (Invoice.Kind.INTEREST, Invoice.Kind.CREDIT_NOTE)
    }
    found = of_kind[Invoice.Kind.INTEREST]
    for start in range(0, len(notes := of_kind[Invoice.Kind.CREDIT_NOTE]), bulk.FEW):
        chunk = notes[start : start + bulk.FEW]
        found += Invoice.objects.filter(pk__in=chunk, corrects__kind=Invoice.Kind.INTEREST).values_list("id", flat=True)
    return found


def issue_entries(invoice_ids: Sequence[int]) -> pl.DataFrame:
    """The ledger entries by which documents were booked: invoice_id, entry_id."""
    keys = [f"invoice:{i}:issued" for i in invoice_ids]
    frame = bulk.read(Entry.objects.filter(key__in=keys).values("id", "source"))
    return frame.select(invoice_id=pl.col("source").str.strip_prefix("invoice:").cast(pl.Int64), entry_id="id")


def booked_tax(invoice_id: int) -> int | None:
    """The tax of an issued document as it was booked, in minor units of the company's currency; None where none was booked. One statement."""
    moved = Transfer.objects.filter(entry__key=f"invoice:{invoice_id}:issued").filter(
        Q(credit_account__role="tax_payable") | Q(debit_account__role="tax_payable")
    )
    found = moved.aggregate(sum=Sum("functional_minor"))["sum"]
    return None if found is None else int(found)


def credited_lines(invoice_id: int) -> pl.DataFrame:
    """What credit notes have taken back so far, one row per line position: position, net_minor, tax_minor, credits_micro (units)."""
    rows = InvoiceLine.objects.filter(invoice__corrects_id=invoice_id).exclude(invoice__state=Invoice.State.VOID)
    return (
        bulk.read(rows.values("position", "net_minor", "tax_minor", "credits_micro"))
        .group_by("position")
        .agg(pl.col("net_minor", "tax_minor", "credits_micro").sum())
        .sort("position")
    )


def lines_of(invoice_ids: Sequence[int]) -> pl.DataFrame:
    """What stands on the lines of documents: invoice_id, position, line_text, line_quantity (millionths), line_price (billionths of a minor unit), line_category
    and line_rate (millionths) of tax. One statement."""
    is_asked, given = one_of("invoice_id", list(invoice_ids))
    columns = {
        "line_text": pl.String(),
        "line_quantity": pl.Int64(),
        "line_price": pl.Int64(),
        "line_category": pl.String(),
        "line_rate": pl.Int64(),
    }
    return bulk.query(
        f"SELECT invoice_id, position, description, quantity_micro, unit_price_nano, tax_category, tax_rate_ppm FROM billing_invoiceline WHERE {is_asked}",
        given,
        {"invoice_id": pl.Int64(), "position": pl.Int64(), **columns},
    )


def touched_lines(invoice_ids: Sequence[int]) -> pl.DataFrame:
    """The lines of invoices of which a credit note, a draft of one too, took something back: invoice_id, position. One statement."""
    is_asked, given = one_of("i.corrects_id", list(invoice_ids))
    return bulk.query(
        f"SELECT DISTINCT i.corrects_id, l.position FROM billing_invoiceline l JOIN billing_invoice i ON i.id = l.invoice_id WHERE i.state <> 'void' AND {is_asked}",
        given,
        {"invoice_id": pl.Int64(), "position": pl.Int64()},
    )


def creditable(invoice_id: int) -> pl.DataFrame:
    """What is left of each line of an invoice: position, description, quantity_micro, unit_price_nano, tax_rate_ppm, net_minor, tax_minor (billed), left_micro
    (units that no credit note took back), left_minor (net), left_tax_minor. Two statements."""
    lines = bulk.read(
        InvoiceLine.objects.filter(invoice_id=invoice_id)
        .order_by("position")
        .values("position", "description", "quantity_micro", "unit_price_nano", "tax_rate_ppm", "net_minor", "tax_minor")
    )
    both = lines.join(credited_lines(invoice_id), on="position", how="left", suffix="_gone", maintain_order="left")
    gone = {c: pl.col(c).fill_null(0) for c in ("net_minor_gone", "tax_minor_gone", "credits_micro")}
    return both.with_columns(
        left_micro=pl.col("quantity_micro").abs() - gone["credits_micro"],
        left_minor=pl.col("net_minor") - gone["net_minor_gone"],
        left_tax_minor=pl.col("tax_minor") - gone["tax_minor_gone"],
    ).drop("net_minor_gone", "tax_minor_gone", "credits_micro")


def open_items(*, entity_id: int, as_of: date | None = None, customer_ids: list[int] | None = None) -> pl.DataFrame:
    """Issued documents with what they were for and how far they were settled by now, unless closed on or before `as_of`.

    Receivables takes the later allocations back to say what was open on the day.
    returns  id, customer_id, kind, number, currency, issued_on, due_on, total_minor, functional_minor, allocated_minor, state
    """
    if customer_ids is None:
        rows = Invoice.objects.filter(entity_id=entity_id)
    else:  # "+ 0" keeps SQLite from walking the index of all that the company ever issued
        rows = Invoice.objects.filter(customer_id__in=customer_ids).alias(of=F("entity_id") + 0).filter(of=entity_id)
    if as_of is None:
        rows = rows.filter(state=Invoice.State.OPEN)
    else:
        rows = rows.filter(issued_on__lte=as_of).filter(Q(state=Invoice.State.OPEN) | Q(closed_on__gt=as_of))
    return bulk.read(
        rows.values(
            "id",
            "customer_id",
            "kind",
            "number",
            "currency",
            "issued_on",
            "due_on",
            "total_minor",
            "functional_minor",
            "allocated_minor",
            "state",
        )
    )


def instalments_of(invoice_ids: Sequence[int] | None, *, entity_id: int) -> pl.DataFrame:
    """Instalments of a company's documents, all or a few: invoice_id, position, due_on, amount_minor."""
    if invoice_ids is not None and len(invoice_ids) <= bulk.FEW:
        rows = Instalment.objects.filter(invoice_id__in=list(invoice_ids))
    else:
        rows = Instalment.objects.filter(invoice__entity_id=entity_id)
    return bulk.read(rows.order_by("invoice_id", "position").values("invoice_id", "position", "due_on", "amount_minor"))


def invoices(*, entity_id: int, filters: dict[str, Any] | None = None) -> QuerySet[Any]:
    """Documents of an entity that fit the filters, with open_minor; order and slice before use."""
    return Invoice.objects.filter(entity_id=entity_id, **(filters or {})).annotate(
        open_minor=F("total_minor") - F("allocated_minor")
    )


def monthly_sales(*, entity_id: int, until: date, months: int = 24, customer_ids: list[int] | None = None) -> pl.DataFrame:
    """Gross credit sales per month and currency (credit notes deducted, void left out): month, currency, sales_minor.

    customer_ids  of these alone
    """
    from_year, from_month = divmod(until.year * 12 + until.month - 1 - months, 12)
    rows = Invoice.objects.filter(
        entity_id=entity_id, issued_on__gte=date(from_year, from_month + 1, 1), issued_on__lte=until
    ).exclude(state__in=[Invoice.State.DRAFT, Invoice.State.VOID])
    if customer_ids is not None:
        rows = rows.filter(customer_id__in=customer_ids)
    daily = rows.order_by().values("issued_on", "currency", "kind").annotate(sum_minor=Sum("total_minor"))
    frame = bulk.read(daily).rename({"sum_minor": "total_minor"})
    sign = pl.when(pl.col("kind") == Invoice.Kind.CREDIT_NOTE).then(-1).otherwise(1)
    return (
        frame.group_by(month=pl.col("issued_on").dt.truncate("1mo"), currency="currency")
        .agg(sales_minor=(pl.col("total_minor") * sign).sum())
        .sort("currency", "month")
    )


def by_number(number: str, *, entity_id: int) -> InvoiceDetail:
    """One document by its number. Raises: NotFound."""
    found = Invoice.objects.filter(entity_id=entity_id, number=number).values_list("id", flat=True).first()
    if found is None:
        raise NotFound(f"There is no document {number}.", field="number", remedy="Look for it on the Invoices page.")
    return invoice_detail(found)


def invoice_detail(invoice_id: int) -> InvoiceDetail:
    """One document with everything on it.

    Raises: NotFound.
    """
    invoice = Invoice.objects.select_related("customer", "entity", "corrects").filter(pk=invoice_id).first()
    if invoice is None:
        raise NotFound(f"There is no invoice {invoice_id}.", field="invoice_id", remedy="Search by number with Ctrl-K.")
    return InvoiceDetail(
        invoice,
        list(invoice.lines.order_by("position")[:1000]),
        list(invoice.instalments.order_by("position")[:100]),
        list(invoice.corrections.exclude(state=Invoice.State.VOID).order_by("id")[:50]),
        list(Entry.objects.filter(source=f"invoice:{invoice_id}").order_by("id")[:50]),
    )
