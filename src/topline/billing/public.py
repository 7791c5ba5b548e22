"""The page behind the link of a document, for whoever holds it: what is owed, for what, what happened, and the PDF. Nobody signs in."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from topline.billing import delivery, documents, queries
from topline.billing.models import OWED, Delivery
from topline.billing.pages import as_line, handed_out
from topline.kernel import clock
from topline.timeline import queries as timeline
from topline.ui.links import linked

document_link = linked(delivery.by_token, "billing/link_refusal.html", "GET", "HEAD")


@document_link
def document(request: HttpRequest, found: Delivery) -> HttpResponse:
    """The document; opening it says that it was received."""
    if request.method == "GET":
        delivery.view_document(actor=delivery.customer_behind(found), delivery_id=found.pk)
    detail = queries.invoice_detail(found.invoice_id)
    spine = timeline.milestones(subject=("invoice", found.invoice_id), only_visible_to_customer=True, limit=50)
    context = {
        "may_pay": bool(settings.ENVIRONMENT.processor) and detail.open_minor > 0 and detail.invoice.kind in OWED,
        "is_e_invoice": not documents.document(detail).problems,
        "detail": detail, "invoice": detail.invoice, "token": found.token, "today": clock.today(detail.invoice.entity.time_zone), "lines": [as_line(line, detail.invoice.currency) for line in detail.lines],
        "spine": [{**m, "url": "", "visible_to_customer": False} for m in spine.to_dicts()],
    }  # fmt: skip
    return render(request, "billing/link.html", context)


@document_link
def pdf(request: HttpRequest, found: Delivery) -> HttpResponse:
    """The document as PDF."""
    detail = queries.invoice_detail(found.invoice_id)
    return handed_out(documents.invoice_pdf(detail), f"{detail.invoice.number}.pdf")


@document_link
def xml(request: HttpRequest, found: Delivery, syntax: str) -> HttpResponse:
    """The document as e-invoice."""
    detail = queries.invoice_detail(found.invoice_id)
    return handed_out(documents.invoice_xml(detail, syntax), f"{detail.invoice.number}-{syntax}.xml")
