"""Invoices and credit notes: the list, one document, and making one by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from django.contrib import messages
from django.db import transaction
from django.db.models import F, Q, Sum
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing import actions, delivery, documents, queries
from topline.billing.einvoice import check, files
from topline.billing.forms import CheckForm, InvoiceForm
from topline.billing.models import Invoice
from topline.books.company import company
from topline.engine import early_payment, terms
from topline.kernel import clock
from topline.kernel.actions import history
from topline.kernel.errors import DomainError, NotFound
from topline.kernel.money import exponent, format_amount
from topline.market.models import Customer
from topline.market.prices import unit_price
from topline.timeline import queries as timeline
from topline.ui.access import Asked, page
from topline.ui.blame import blame
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

COLUMNS = [
    Column("number", "Number", sort="number", link="url"), Column("customer__name", "Customer", sort="customer__name", link="customer_url"), Column("kind", "Kind"),
    Column("state", "State", "badge"), Column("issued_on", "Issued", "date", sort="issued_on"), Column("due_on", "Due", "date", sort="due_on"),
    Column("total_minor", "Total", "money", sort="total_minor"), Column("open_minor", "Open", "money", sort="open_minor"), Column("currency", ""),
]  # fmt: skip


@page("billing.view")
def invoices(request: Asked) -> HttpResponse:
    """Documents by state, customer, number or day; the footer adds up all that fit, not only this page."""
    entity = company(request)
    state = listing(
        request.path,
        request.GET.dict(),
        columns=COLUMNS,
        default_sort="-issued_on",
        filters=["q", "state", "customer", "kind", "batch"],
    )
    rows = queries.invoices(entity_id=entity.pk, filters=_filters(state.filters))
    if wanted := state.filters.get("q"):
        rows = rows.filter(Q(number__istartswith=wanted) | Q(customer__name__icontains=wanted))
    total = rows.count()
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    values = rows.order_by(*state.order).values(
        "id",
        "number",
        "customer_id",
        "customer__name",
        "kind",
        "state",
        "issued_on",
        "due_on",
        "total_minor",
        "open_minor",
        "currency",
    )[start:end]
    shown = [
        {**r, "number": r["number"] or "draft", "kind": r["kind"].replace("_", " "), "url": reverse("billing:invoice", args=[r["id"]]),
         "customer_url": reverse("web:customer", args=[r["customer_id"]]), "open_minor": r["open_minor"] if r["state"] == "open" else 0}
        for r in values
    ]  # fmt: skip
    if state.export:
        return export(shown, COLUMNS, name="invoices", form=state.export)
    sums = (
        rows.values("currency")
        .annotate(total=Sum("total_minor"), open=Sum(F("total_minor") - F("allocated_minor"), filter=Q(state="open")))
        .order_by("currency")[:20]
    )
    context = {"list": state, "rows": shown, "total": total, "sums": list(sums), "states": Invoice.State.values}
    return render(request, "billing/invoices.html", context)


@page("billing.view")
def invoice(request: Asked, invoice_id: int) -> HttpResponse:
    """One document: lines, what settled it, what happened, how it stands in the books."""
    detail = queries.invoice_detail(invoice_id)
    spine = timeline.milestones(subject=("invoice", invoice_id), limit=50)
    return render(
        request,
        "billing/invoice.html",
        {
            "detail": detail, "invoice": detail.invoice, "unapplied": detail.unapplied_minor if detail.open_minor else 0, "today": clock.today(detail.invoice.entity.time_zone),
            "spine": [{**m, "url": ""} for m in spine.to_dicts()], "history": list({found.record_id: found for found in history("invoice", invoice_id, limit=20)}.values()),
            "early": _early(detail.invoice),
            "settled_url": reverse("receivables:settlement", args=[invoice_id]),
            "e_invoice": documents.document(detail).problems if detail.invoice.number else (),
            "deliveries": detail.invoice.deliveries.order_by("-id")[:10],
            "lines": [as_line(line, detail.invoice.currency) for line in detail.lines],
        },
    )  # fmt: skip


@page("billing.draft_invoices", methods=("GET", "POST"))
def new_invoice(request: Asked) -> HttpResponse:
    """Make an invoice by hand: drafted and issued in one step."""
    entity = company(request)
    asked = request.POST.get("customer") or request.GET.get("customer") or ""
    customer = Customer.objects.filter(pk=int(asked)).first() if asked.isdigit() else None
    if customer is None:
        raise NotFound("Choose a customer first.", field="customer", remedy="Open the customer and press New invoice.")
    initial = {
        "customer": customer.pk,
        "issue_on": clock.today(entity.time_zone),
        "currency": customer.currency,
        "terms": customer.terms,
    }
    form = InvoiceForm(request.POST or None, initial=initial)
    if form.is_valid():
        try:
            invoice_id, number = _issue(request, entity.pk, form.cleaned_data)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, f"{number} was issued. Send it to the customer.")
            return redirect("billing:invoice", invoice_id)
    context = {
        "form": form,
        "title": f"New invoice for {customer.name}",
        "what": "On credit hold: bill what was delivered, and deliver nothing more on credit." if customer.is_on_hold else "",
        "back": (customer.name, reverse("web:customer", args=[customer.pk])),
    }
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("billing.view")
def pdf(request: Asked, invoice_id: int) -> HttpResponse:
    """A document as PDF; its e-invoice is inside where it holds as one."""
    detail = queries.invoice_detail(invoice_id)
    return handed_out(documents.invoice_pdf(detail), f"{detail.invoice.number or 'draft'}.pdf")


@page("billing.view")
def xml(request: Asked, invoice_id: int, syntax: str) -> HttpResponse:
    """A document as e-invoice."""
    detail = queries.invoice_detail(invoice_id)
    return handed_out(documents.invoice_xml(detail, syntax), f"{detail.invoice.number}-{syntax}.xml")


@page("billing.view", methods=("GET", "POST"))
def check_file(request: Asked) -> HttpResponse:
    """What an e-invoice of somebody says, and whether it holds. Nothing is kept."""
    form = CheckForm(request.POST or None, request.FILES or None)
    found, broken = None, list[check.Problem]()
    if form.is_valid():
        try:
            found = files.read(form.cleaned_data["file"].read(files.MAX_BYTES + 1))
            broken = check.problems(found)
        except DomainError as error:
            blame(form, error)
    context = {"form": form, "found": found, "broken": broken}
    return render(request, "billing/check.html", context, status=400 if form.errors else 200)


def handed_out(content: bytes, name: str) -> HttpResponse:
    """A file of a document: a PDF is shown, an XML is saved."""
    is_pdf = name.endswith(".pdf")
    answer = HttpResponse(content, content_type="application/pdf" if is_pdf else "application/xml")
    answer["Content-Disposition"] = f'{"inline" if is_pdf else "attachment"}; filename="{name}"'
    return answer


@page("billing.send_invoices", methods=("POST",))
def send(request: Asked, invoice_id: int) -> HttpResponse:
    """Send a document to the customer."""
    made = delivery.send_invoices(
        actor=request.actor, invoice_ids=[invoice_id], recipient=request.POST.get("recipient", "").strip()
    )
    problem = made["problem"][0]
    if problem:
        messages.error(request, f"It was not sent. {problem}")
    else:
        messages.success(request, "It is on its way; the timeline says when it was sent and read.")
    return redirect("billing:invoice", invoice_id)


@page("billing.void_invoices", methods=("POST",))
def void(request: Asked, invoice_id: int) -> HttpResponse:
    """Take a document back."""
    entity = company(request)
    actions.void_invoices(
        actor=request.actor,
        invoice_ids=[invoice_id],
        void_on=clock.today(entity.time_zone),
        reason=request.POST.get("reason", "")[:300],
    )
    messages.success(request, "The document is void; its entry was reversed.")
    return redirect("billing:invoice", invoice_id)


def _issue(request: Asked, entity_id: int, data: dict[str, Any]) -> tuple[int, str]:
    """The id and the number of the invoice; what cannot be issued leaves no draft behind."""
    scale = Decimal(10) ** exponent(data["currency"])
    head = pl.DataFrame(
        {
            "ref": ["1"],
            "customer_id": [data["customer"]],
            "currency": [data["currency"]],
            "terms": [data["terms"]],
            "purchase_order": [data["purchase_order"]],
        }
    )
    lines = pl.DataFrame(
        {"ref": ["1"], "position": [1], "description": [data["description"]], "quantity_micro": [int(data["quantity"] * 10**6)],
         "unit_price_nano": [int(data["unit_price"] * scale * 10**9)], "tax_rate_ppm": [int(data["tax_percent"] * 10_000)],
         "product_id": [data["product"].pk if data["product"] else None]},
        schema_overrides={"product_id": pl.Int64},
    )  # fmt: skip
    with transaction.atomic():
        made = actions.draft_invoices(actor=request.actor, entity_id=entity_id, invoices=head, lines=lines)
        ids = made["invoice_id"].to_list()
        issued = actions.issue_invoices(actor=request.actor, invoice_ids=ids, issue_on=data["issue_on"])
    return ids[0], str(issued["number"][0])


def _filters(given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, column in (("state", "state"), ("kind", "kind")):
        if name in given:
            found[column] = given[name]
    for name, column in (("customer", "customer_id"), ("batch", "import_batch_id")):
        if given.get(name, "").isdigit():
            found[column] = int(given[name])
    return found


def _early(invoice: Invoice) -> str:
    """The discount of the terms for paying early, and what it costs a year; empty where there is none."""
    try:
        found = terms.parse_terms(invoice.terms)
    except terms.UnknownTerms:
        return ""
    if not found.discount_percent or invoice.issued_on is None or invoice.due_on is None:
        return ""
    net = (invoice.due_on - invoice.issued_on).days
    if net <= found.discount_days:
        return ""
    offered = early_payment.DiscountTerms(found.discount_percent, found.discount_days, net)
    last = invoice.issued_on + timedelta(days=found.discount_days)
    return f"{found.discount_percent.normalize():f} % off until {last.day} {last:%b}, {early_payment.yearly_cost(offered).simple_percent:.1f} % a year"


def as_line(line: Any, currency: str) -> dict[str, Any]:
    return {"position": line.position, "description": line.description, "product_id": line.product_id, "quantity": as_quantity(line.quantity_micro), "price": unit_price(line.unit_price_nano, currency), "tax": f"{line.tax_rate_ppm / 10_000:g} % {line.tax_category}",
            "net": format_amount(line.net_minor, currency), "tax_amount": format_amount(line.tax_minor, currency)}  # fmt: skip


def as_quantity(micro: int) -> str:
    """Millionths as people write them."""
    return f"{Decimal(micro).scaleb(-6).normalize():,f}"
