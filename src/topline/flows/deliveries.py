"""Invoices on their way out: e-mail with the document and the link on which it can be read."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from topline.billing import delivery, documents, queries
from topline.billing.models import Delivery
from topline.kernel.money import format_amount
from topline.team.queries import system_actor


def send(payload: dict[str, Any]) -> None:
    """Send one queued delivery; one that was sent already, or whose document was taken back, is left alone.

    The message keeps its Message-ID over every try, so that a mail system that has it already does not show it twice.
    """
    found = (
        Delivery.objects.select_for_update(of=("self",))
        .select_related("invoice__entity", "invoice__customer")
        .filter(pk=payload["delivery_id"])
        .first()
    )
    if found is None or found.state != Delivery.State.QUEUED or found.invoice.state == "void":
        return
    detail = queries.invoice_detail(found.invoice_id)
    invoice = detail.invoice
    kind = "Credit note" if invoice.kind == invoice.Kind.CREDIT_NOTE else "Invoice"
    link = settings.ENVIRONMENT.url.rstrip("/") + reverse("invoice_link:document", args=[found.token])
    amount = f"{format_amount(invoice.total_minor, invoice.currency)} {invoice.currency}"
    due = f"It is due on {invoice.due_on:%d %B %Y}.\n" if kind == "Invoice" and invoice.due_on else ""
    body = f"{kind} {invoice.number} over {amount} is attached.\n{due}\nRead it, and see what happened since, here:\n{link}\n\n{invoice.entity.name}\n"
    message_id = f"<delivery-{found.pk}@{invoice.entity.key.replace('_', '-')}.topline>"
    mail = EmailMessage(
        f"{kind} {invoice.number} from {invoice.entity.name}", body, to=[found.recipient], headers={"Message-ID": message_id}
    )
    document = documents.document(detail)
    mail.attach(f"{invoice.number}.pdf", documents.as_pdf(document), "application/pdf")
    if (syntax := invoice.customer.e_format) in documents.SYNTAXES and not document.problems:
        mail.attach(f"{invoice.number}-{syntax}.xml", documents.as_xml(document, syntax), "application/xml")
    mail.send()
    delivery.mark_delivery(actor=system_actor("worker"), delivery_id=found.pk, state=Delivery.State.SENT, message_id=message_id)
