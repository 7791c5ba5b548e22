"""Invoices and statements on their way out: e-mail with the document, and of an invoice the link on which it can be read."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from topline.billing import delivery, documents, queries
from topline.billing.models import Delivery
from topline.contracts.models import SchedulePart
from topline.flows.letters import refused
from topline.kernel.money import format_amount
from topline.receivables import documents as receivables
from topline.receivables import statement_delivery
from topline.receivables.models import StatementDelivery
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
    link = settings.ENVIRONMENT.url.rstrip("/") + reverse("invoice_link:document", args=[found.token])
    subject, body = documents.covering_mail(invoice, link=link)
    message_id = f"<delivery-{found.pk}@{invoice.entity.key.replace('_', '-')}.topline>"
    mail = EmailMessage(subject, body, to=[found.recipient], headers={"Message-ID": message_id})
    document = documents.document(detail)
    mail.attach(f"{invoice.number}.pdf", documents.as_pdf(document), "application/pdf")
    if (syntax := invoice.customer.e_format) in documents.SYNTAXES and not document.problems:
        mail.attach(f"{invoice.number}-{syntax}.xml", documents.as_xml(document, syntax), "application/xml")
    no = refused(mail)
    state = Delivery.State.BOUNCED if no else Delivery.State.SENT
    delivery.mark_delivery(actor=system_actor("worker"), delivery_id=found.pk, state=state, message_id=message_id, note=no)


def send_statement(payload: dict[str, Any]) -> None:
    """Send one queued statement of account, made of what the books say now; one that was sent already is left alone."""
    found = (
        StatementDelivery.objects.select_for_update(of=("self",))
        .select_related("entity", "customer")
        .filter(pk=payload["delivery_id"])
        .first()
    )
    if found is None or found.state != StatementDelivery.State.QUEUED:
        return
    content = receivables.statement_of(entity=found.entity, customer=found.customer, since=found.since, until=found.until)
    span = f"{found.since:%d %B %Y} to {found.until:%d %B %Y}"
    body = f"Your statement of account from {span} is attached.\nPlease tell us where it differs from your books.\n\n{found.entity.name}\n"
    message_id = f"<statement-{found.pk}@{found.entity.key.replace('_', '-')}.topline>"
    mail = EmailMessage(
        f"Statement of account from {found.entity.name}", body, to=[found.recipient], headers={"Message-ID": message_id}
    )
    mail.attach(receivables.statement_name(found.customer, found.until), content, "application/pdf")
    no = refused(mail)
    state = StatementDelivery.State.BOUNCED if no else StatementDelivery.State.SENT
    statement_delivery.mark_statement(
        actor=system_actor("worker"), delivery_id=found.pk, state=state, message_id=message_id, note=no
    )


def ask_acceptance(payload: dict[str, Any]) -> None:
    """Ask a customer to accept a milestone on its link; one that is not open any more is left alone."""
    part = SchedulePart.objects.select_related("item__contract__entity").filter(pk=payload["part_id"]).first()
    if part is None or part.accepted_on is not None or part.dropped_on is not None or part.token is None:
        return
    contract = part.item.contract
    link = settings.ENVIRONMENT.url.rstrip("/") + reverse("milestone_link:milestone", args=[part.token])
    amount = f"{format_amount(part.amount_minor, contract.currency)} {contract.currency}"
    body = f"{part.item.description}: {part.description} ({amount} net) is done.\nPlease look at it, and accept it here:\n{link}\n\n{contract.entity.name}\n"
    EmailMessage(f"{part.description}: please accept", body, to=[payload["recipient"]]).send()
