"""Invoices and credit notes over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import polars as pl
from ninja import Query
from pydantic import Field

from topline.billing import actions, delivery, documents, queries
from topline.billing.models import Delivery
from topline.books import queries as books
from topline.engine.rating.credit_notes import Chosen
from topline.ui.wire import (
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Code,
    Currency,
    Day,
    Id,
    Ids,
    Minor,
    Name,
    OfCompany,
    Page,
    Positive,
    Ref,
    Room,
    Rows,
    Share,
    Whole,
    done,
    frame,
    once,
    page,
    rows,
)

room = Room(tags=["Invoices"])
COLUMNS = ["id", "entity_id", "customer_id", "kind", "state", "number", "currency", "issued_on", "due_on", "terms", "purchase_order", "memo", "net_minor",
           "tax_minor", "total_minor", "allocated_minor", "closed_on", "corrects_id", "import_batch_id"]  # fmt: skip
DELIVERY = ["id", "invoice_id", "recipient", "state", "queued_at", "sent_at", "viewed_at", "note"]
LINE = [
    "position",
    "description",
    "quantity_micro",
    "unit_price_nano",
    "discount_ppm",
    "net_minor",
    "tax_category",
    "tax_rate_ppm",
    "tax_minor",
    "product_id",
]
Kind = Literal["invoice", "credit_note"]
Memo = Annotated[str, Field(max_length=300)]
Short = Annotated[str, Field(max_length=60)]


class InvoicesAsked(Asked):
    state: Literal["", "draft", "open", "paid", "void", "written_off"] = ""
    kind: Literal["", "invoice", "credit_note", "interest"] = ""
    customer_id: Id | None = None
    number: Code = ""


class EInvoiceAsked(OfCompany):
    syntax: Literal["ubl", "cii"] = "ubl"


class NewLine(Body):
    description: Annotated[str, Field(min_length=1, max_length=300)]
    unit_price_nano: Annotated[int, Field(strict=True, ge=-(10**18), le=10**18, description="billionths of a minor unit")]
    quantity_micro: Annotated[int, Field(strict=True, ge=-(10**12), le=10**12, description="millionths of a unit")] = 1_000_000
    discount_ppm: Share = 0
    tax_category: Annotated[str, Field(min_length=1, max_length=3, description="UNCL5305: S, Z, E, AE, G, O")] = "S"
    tax_rate_ppm: Share = 0
    product_id: Ref | None = None


class Head(Body):
    customer_id: Ref
    currency: Currency
    kind: Kind = "invoice"
    terms: Short = ""
    purchase_order: Short = ""
    memo: Memo = ""
    due_on: Day | None = None
    corrects_id: Ref | None = None


class NewInvoice(Head):
    lines: Annotated[list[NewLine], Field(min_length=1, max_length=MAX_ROWS)]


class NewInvoices(Body):
    invoices: Annotated[list[NewInvoice], Field(min_length=1, max_length=MAX_ROWS)]


class Issue(Body):
    invoice_ids: Ids
    issue_on: Day


class SentInvoices(Body):
    invoice_ids: Ids
    recipient: Annotated[str, Field(max_length=254)] = ""


class Void(Body):
    invoice_ids: Ids
    void_on: Day
    reason: Name = ""


class CreditedLine(Body):
    position: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    quantity_micro: (
        Annotated[
            int, Field(strict=True, ge=1, le=10**15, description="millionths of a unit; all that is left where neither is sent")
        ]
        | None
    ) = None
    net_minor: Minor | None = None


class Credit(Body):
    issue_on: Day
    total_minor: Positive | None = None
    lines: Annotated[
        list[CreditedLine],
        Field(max_length=MAX_ROWS, description="lines of the invoice; empty: all that is left, or total_minor of it"),
    ] = []
    reason: Name = ""


class OpenItem(Body):
    number: Annotated[str, Field(min_length=1, max_length=40)]
    customer_id: Ref
    currency: Currency
    issued_on: Day
    due_on: Day
    total_minor: Positive
    kind: Kind = "invoice"
    tax_minor: Whole = 0
    memo: Memo = ""
    purchase_order: Short = ""
    terms: Short = ""
    product_id: Ref | None = None
    quantity_micro: Annotated[int, Field(strict=True, gt=0, le=10**12, description="millionths of a unit of the product")] = (
        1_000_000
    )


class OpenItems(Body):
    items: Annotated[list[OpenItem], Field(min_length=1, max_length=MAX_ROWS)]
    against: Literal["opening_balance", "revenue"] = "opening_balance"


@room.reads("/invoices", "billing.view", Page)
def list_invoices(request: Caller, asked: Query[InvoicesAsked]) -> Any:
    """Invoices and credit notes; what is open of one is total_minor less allocated_minor while its state is open."""
    wanted = {n: v for n in ("state", "kind", "customer_id", "number") if (v := getattr(asked, n))}
    return page(queries.invoices(entity_id=books.entity(asked.company or None).pk, filters=wanted), COLUMNS, asked)


@room.reads("/invoices/{int:invoice_id}", "billing.view")
def get_invoice(request: Caller, invoice_id: Id) -> Any:
    """One document with its lines, instalments and the documents that correct it."""
    found = queries.invoice_detail(invoice_id)
    return {
        **{name: getattr(found.invoice, name) for name in COLUMNS},
        "open_minor": found.open_minor,
        "lines": [{name: getattr(line, name) for name in LINE} for line in found.lines],
        "instalments": [{"due_on": part.due_on, "amount_minor": part.amount_minor} for part in found.instalments],
        "correction_ids": [document.pk for document in found.corrections],
    }


@room.reads("/invoices/{int:invoice_id}/creditable", "billing.view", Rows)
def list_creditable(request: Caller, invoice_id: Id) -> Any:
    """What credit notes left of each line of an invoice: units, net and tax."""
    queries.head(invoice_id)
    return rows(queries.creditable(invoice_id))


@room.reads("/invoices/{int:invoice_id}/e-invoice", "billing.view")
def get_e_invoice(request: Caller, invoice_id: Id, asked: Query[EInvoiceAsked]) -> Any:
    """One document as XML of EN 16931; 409 says what keeps it from being an e-invoice."""
    detail = queries.invoice_detail(invoice_id)
    return {"number": detail.invoice.number, "syntax": asked.syntax, "xml": documents.invoice_xml(detail, asked.syntax).decode()}


@room.does("/invoices", "billing.draft_invoices", Rows)
def draft_invoices(request: Caller, target: Query[OfCompany], body: NewInvoices) -> Any:
    """Write drafts; answers with invoice_id and totals of each, in order (`ref` counts from 0). Nothing is booked yet."""
    refs = pl.Series("ref", [str(i) for i in range(len(body.invoices))])
    heads = frame([Head(**i.model_dump(exclude={"lines"})) for i in body.invoices]).with_columns(refs)
    lines = pl.concat(
        frame(invoice.lines, ref=str(i)).with_columns(position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
        for i, invoice in enumerate(body.invoices)
    )
    entity_id = books.entity(target.company or None).pk
    return rows(actions.draft_invoices(entity_id=entity_id, invoices=heads, lines=lines, **once(request)))


@room.reads("/deliveries", "billing.view", Page)
def list_deliveries(request: Caller, asked: Query[Asked]) -> Any:
    """Documents on their way to customers, and what became of them."""
    return page(Delivery.objects.all(), DELIVERY, asked)


@room.does("/invoices/send", "billing.send_invoices", Rows)
def send_invoices(request: Caller, body: SentInvoices) -> Any:
    """Queue documents to be sent; answers with the delivery of each, or why it was not queued."""
    return rows(delivery.send_invoices(invoice_ids=body.invoice_ids, recipient=body.recipient, **once(request)))


@room.does("/invoices/issue", "billing.issue_invoices", Rows)
def issue_invoices(request: Caller, body: Issue) -> Any:
    """Number drafts and book them; answers with number and total of each."""
    return rows(actions.issue_invoices(invoice_ids=body.invoice_ids, issue_on=body.issue_on, **once(request)))


@room.does("/invoices/void", "billing.void_invoices")
def void_invoices(request: Caller, body: Void) -> Any:
    """Take documents back that should never have been; answers with how many."""
    return done(actions.void_invoices(invoice_ids=body.invoice_ids, void_on=body.void_on, reason=body.reason, **once(request)))


@room.does("/invoices/{int:invoice_id}/credit", "billing.credit_invoice")
def credit_invoice(request: Caller, invoice_id: Id, body: Credit) -> Any:
    """Issue a credit note for an invoice: all that is left, a gross part, or lines by units or net amount; answers with the credit note's id."""
    lines = [Chosen(**line.model_dump()) for line in body.lines]
    return done(
        actions.credit_invoice(
            invoice_id=invoice_id,
            issue_on=body.issue_on,
            total_minor=body.total_minor,
            lines=lines,
            reason=body.reason,
            **once(request),
        )
    )


@room.does("/open-items", "billing.import_open_items", Rows)
def import_open_items(request: Caller, target: Query[OfCompany], body: OpenItems) -> Any:
    """Take over documents that another system issued, under their own numbers; answers with the id of each."""
    entity_id = books.entity(target.company or None).pk
    return rows(actions.import_open_items(entity_id=entity_id, items=frame(body.items), against=body.against, **once(request)))
