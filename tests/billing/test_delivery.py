"""Documents on their way: queued once, sent with the PDF and a link, read, bounced; each seen by customer and team."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.core import mail
from django.test import Client

from topline.billing import actions as billing
from topline.billing import delivery
from topline.billing.models import Delivery
from topline.flows import deliveries, reminders
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid, NotFound
from topline.market import actions as market
from topline.market.models import Customer
from topline.timeline.models import Milestone

DAY = date(2026, 3, 2)


@pytest.fixture(autouse=True)
def _today():
    with clock.at(DAY):
        yield


@pytest.fixture
def customer(owner, make_customers):
    """Globex with a buyer and somebody who pays."""
    (made,) = make_customers("Globex")
    market.add_contact(actor=owner, customer_id=made, name="Ada Buyer", email="ada@globex.example", is_primary=True)
    market.add_contact(actor=owner, customer_id=made, name="Accounts", email="ap@globex.example", role="Accounts payable")
    return made


@pytest.fixture
def send(owner):
    def make(*invoices, **facts):
        return delivery.send_invoices(actor=owner, invoice_ids=list(invoices), **facts)

    return make


def kinds():
    return list(Milestone.objects.filter(kind__startswith="invoice_").order_by("id").values_list("kind", flat=True))


def test_it_goes_to_who_pays_with_document_and_link_and_is_told(send, customer, issue):
    (invoice,) = issue(customer, 100_00)
    made = send(invoice)
    assert made["problem"].to_list() == [None]
    assert outbox.drain(HANDLERS) >= 1
    (letter,) = mail.outbox
    assert (letter.to, letter.subject.split(" from ")[0]) == (["ap@globex.example"], "Invoice INV-000001")
    name, content, kind = letter.attachments[0]
    assert (name, kind) == ("INV-000001.pdf", "application/pdf") and content.startswith(b"%PDF")
    found = Delivery.objects.get()
    assert f"/i/{found.token}/" in letter.body and "It is due on 31 March 2026" in letter.body
    assert (found.state, kinds()) == ("sent", ["invoice_issued", "invoice_sent"])
    deliveries.send({"delivery_id": found.pk})
    assert len(mail.outbox) == 1, "a message that is handled twice sends one letter"


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("de", "Rechnung INV-000001 von", ["über 1.100,00 EUR", "Fällig am 31. März 2026."]),
        ("fr", "Facture INV-000001 de", ["31 mars 2026"]),
        ("nl", "Factuur INV-000001 van", ["31 maart 2026"]),
    ],
)
def test_the_letter_is_in_the_customers_language(send, customer, issue, language, subject, words):
    Customer.objects.filter(pk=customer).update(language=language)
    (invoice,) = issue(customer, 1_100_00)
    send(invoice)
    outbox.drain(HANDLERS)
    (letter,) = mail.outbox
    assert letter.subject.startswith(subject)
    assert all(word in letter.body for word in words), letter.body


def test_opening_the_link_says_once_that_it_was_received(send, customer, issue):
    (invoice,) = issue(customer, 100_00, tax_ppm=190_000)
    send(invoice)
    found = Delivery.objects.get()
    stranger = Client()
    for _ in range(2):
        answer = stranger.get(f"/i/{found.token}/")
    text = answer.content.decode()
    assert "119.00" in text and "Invoice received" in text and answer["Cache-Control"] == "no-store"
    assert kinds() == ["invoice_issued", "invoice_viewed"] and Delivery.objects.get().state == "viewed"
    assert stranger.get(f"/i/{found.token}/pdf/").content.startswith(b"%PDF")
    assert stranger.get("/i/nothing/").status_code == 404
    assert stranger.post(f"/i/{found.token}/").status_code == 405


def test_a_link_opens_its_own_document_alone(send, customer, issue):
    first, second = issue(customer, 100_00, 50_00)
    send(first, second)
    one, two = Delivery.objects.select_related("invoice").order_by("id")
    with pytest.raises(NotFound):
        delivery.view_document(actor=delivery.customer_behind(one), delivery_id=two.pk)


def test_a_bounce_is_told_and_it_may_be_sent_again(send, owner, customer, issue):
    (invoice,) = issue(customer, 100_00)
    send(invoice)
    outbox.drain(HANDLERS)
    message_id = Delivery.objects.get().message_id
    report = (
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n'
        f"Reporting-MTA: dns; mail\r\n\r\nAction: failed\r\nDiagnostic-Code: 550 no such user\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {message_id}\r\n\r\n--b--\r\n"
    )
    assert reminders.receive(report.encode()) == Delivery.objects.get().pk
    assert (Delivery.objects.get().state, kinds()[-1]) == ("bounced", "invoice_bounced")
    assert send(invoice, recipient="other@globex.example")["problem"].to_list() == [None]
    assert send(invoice)["problem"].to_list() == [None], "what bounced may go to the same address again"


def test_the_same_document_does_not_go_to_the_same_address_twice_at_once(send, customer, issue):
    (invoice,) = issue(customer, 100_00)
    send(invoice)
    assert send(invoice)["problem"].to_list() == ["It was sent there a moment ago."]
    with clock.at(clock.now() + timedelta(minutes=11)):
        assert send(invoice)["problem"].to_list() == [None]


def test_who_has_no_address_is_told_and_the_others_are_sent(send, customer, issue, make_customers):
    (mute,) = make_customers("Mute")
    told = send(*issue(customer, 100_00), *issue(mute, 50_00))
    assert [p is None for p in told["problem"]] == [True, False] and Delivery.objects.count() == 1


def test_what_is_no_document_or_no_address_is_refused(send, owner, entity, customer, issue):
    (invoice,) = issue(customer, 100_00)
    with pytest.raises(Invalid, match="no e-mail address"):
        send(invoice, recipient="nobody")
    with pytest.raises(NotFound):
        send(999)
    billing.void_invoices(actor=owner, invoice_ids=[invoice], void_on=DAY)
    with pytest.raises(delivery.InvoiceNotIssued):
        send(invoice)
    assert not Delivery.objects.exists()


def test_a_document_that_was_taken_back_meanwhile_is_not_sent(send, owner, customer, issue):
    (invoice,) = issue(customer, 100_00)
    send(invoice)
    billing.void_invoices(actor=owner, invoice_ids=[invoice], void_on=DAY)
    outbox.drain(HANDLERS)
    assert mail.outbox == [] and Delivery.objects.get().state == "queued"
