"""Statements of account of all customers: they end where the ledger does, are written in the customer's language, and arrive."""

from __future__ import annotations

import io
import zipfile
from datetime import date, timedelta

import polars as pl
import pytest
from django.core import mail
from django.test import Client
from pypdf import PdfReader

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from topline.billing import actions as billing
from topline.billing.models import Invoice
from topline.books import queries as books
from topline.flows import reminders
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid
from topline.market import actions as market
from topline.market.models import Customer
from topline.receivables import documents, statement_delivery, statements
from topline.receivables.models import StatementDelivery
from topline.team.models import Member
from topline.timeline.models import Milestone

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)


@pytest.fixture
def company(owner, entity, make_customers, issue, pay, apply):
    """Globex: invoices before and in March, one credited, one paid short with a discount, one in dollars; Initech paid all before; Umbrella has moved never."""
    globex, initech, umbrella = make_customers("Globex", "Initech", "Umbrella")
    old, new, short = issue(globex, 100_00, on=date(2026, 2, 1)) + issue(globex, 50_00, 30_00, on=date(2026, 3, 5))
    issue(globex, 70_00, on=date(2026, 3, 6), currency="USD")
    (done,) = issue(initech, 40_00, on=date(2026, 1, 5))
    apply(pay(initech, 40_00, on=date(2026, 1, 20)), done, 40_00, on=date(2026, 1, 20))
    apply(pay(globex, 60_00, on=date(2026, 3, 10)), old, 60_00, on=date(2026, 3, 10))
    apply(pay(globex, 28_00, on=date(2026, 3, 11)), short, 28_00, on=date(2026, 3, 11), discount_minor=2_00)
    billing.credit_invoice(actor=owner, invoice_id=new, issue_on=date(2026, 3, 12), total_minor=20_00, reason="Returned")
    market.add_contact(actor=owner, customer_id=globex, name="Ann", email="ann@globex.example")
    Customer.objects.filter(pk=globex).update(language="de")
    return globex, initech, umbrella


def owed(entity, day):
    sums: dict[str, int] = {}
    for role in ("receivable", "unapplied_cash"):
        for currency, amount in books.role_balances(entity_id=entity.pk, role=role, as_of=day).items():
            sums[currency] = sums.get(currency, 0) + amount
    return {currency: amount for currency, amount in sums.items() if amount}


def test_an_account_opens_moves_and_closes_as_the_ledger_does(entity, company):
    found = statements.accounts(entity_id=entity.pk, since=FIRST, until=LAST)
    globex, *_ = company
    assert found.drop("moves").rows() == [
        (globex, "EUR", 100_00, 80_00, -20_00, -88_00, -2_00, 70_00),
        (globex, "USD", 0, 70_00, 0, 0, 0, 70_00),
    ], "who neither moved nor owes has no statement"
    for day in (date(2026, 1, 31), FIRST, date(2026, 3, 10), LAST):
        found = statements.accounts(entity_id=entity.pk, since=day - timedelta(days=5), until=day)
        assert dict(found.filter(pl.col("closing_minor") != 0).group_by("currency").agg(pl.col("closing_minor").sum()).iter_rows()) == owed(entity, day)  # fmt: skip
        moved = found.select(pl.sum_horizontal("opening_minor", "invoiced_minor", "credited_minor", "paid_minor", "other_minor"))
        assert moved.to_series().to_list() == found["closing_minor"].to_list()


def test_a_merged_record_counts_with_the_customer_that_took_it_over(owner, entity, company):
    globex, initech, _ = company
    market.merge_customers(actor=owner, keep_id=globex, merge_id=initech)
    found = statements.accounts(entity_id=entity.pk, since=date(2026, 1, 1), until=LAST)
    assert found.filter(pl.col("currency") == "EUR").select("customer_id", "invoiced_minor", "paid_minor", "closing_minor").rows() == [(globex, 220_00, -128_00, 70_00)]  # fmt: skip


@pytest.fixture
def browser(owner, company, make_member):  # noqa: F811
    found = Client()
    found.force_login(Member.objects.get(pk=make_member("Collections").pk), backend="allauth.account.auth_backends.AuthenticationBackend")  # fmt: skip
    with clock.at(date(2026, 4, 2)):
        yield found


def words(pdf):
    return " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def test_statements_are_read_and_downloaded_in_the_customers_language(browser, company, entity):
    page = browser.get("/statements/").content.decode()
    assert "Globex" in page and "Initech" not in page and "1 Mar 2026" in page, "the last whole month, unless told"
    assert f"/customers/{company[0]}/statement/?since=2026-03-01" in page
    file = browser.get("/statements/", {"since": FIRST, "until": LAST, "pdfs": 1})
    (name,) = (archive := zipfile.ZipFile(io.BytesIO(file.content))).namelist()
    told = words(archive.read(name))
    for word in (
        "Kontoauszug",
        "Anfangssaldo",
        "Rechnungskorrektur",
        "Skonto",
        "Zu unseren Gunsten",
        "70,00 EUR",
        "70,00 USD",
        "-20,00",
    ):
        assert word in told, (word, told)
    assert browser.get("/statements/", {"since": "2026-04-01", "until": "2026-03-01"}).status_code == 422
    assert b"closing" in browser.get("/statements/", {"export": "csv"}).content.lower()
    one = browser.get(f"/customers/{company[0]}/statement/", {"since": FIRST, "until": LAST}).content.decode()
    assert "Send this statement" in one and "/invoices/" in one


def test_a_statement_arrives_once_and_one_that_comes_back_is_told(browser, company, entity):
    globex, initech, _ = company
    said = {"since": FIRST, "until": LAST, "customer": [globex, initech]}
    answer = browser.post("/statements/send/", said, follow=True).content.decode()
    assert "on its way" in answer and "Nobody of the customer has an e-mail address" in answer
    browser.post("/statements/send/", said)
    while outbox.drain(HANDLERS):
        pass
    (letter,) = mail.outbox
    assert letter.to == ["ann@globex.example"] and "Kontoauszug" in words(letter.attachments[0][1])
    found = StatementDelivery.objects.get()
    assert found.state == "sent" and Milestone.objects.get(kind="statement_sent").visible_to_customer
    report = (
        "From: daemon@example.com\nTo: us@example.com\nSubject: failed\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n--b\nContent-Type: message/delivery-status\n\n'
        "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; ann@globex.example\nAction: failed\nStatus: 5.1.1\n\n--b\n"
        f"Content-Type: text/rfc822-headers\n\nMessage-ID: {found.message_id}\n\n--b--\n"
    )
    assert reminders.receive(report.encode()) == found.pk
    found.refresh_from_db()
    assert (found.state, found.note) == ("bounced", "5.1.1")
    assert Milestone.objects.filter(kind="statement_bounced").count() == 1


def test_programs_read_accounts_and_send_statements(api, company, owner, entity):  # noqa: F811
    globex, *_ = company
    rows = api.get("/statements-of-account", since="2026-03-01", until="2026-03-31").json()["items"]
    assert [(r["currency"], r["closing_minor"]) for r in rows] == [("EUR", 70_00), ("USD", 70_00)]
    assert api.get("/statements-of-account", since="2026-03-01", until="2026-03-31", after=globex).json()["items"] == []
    body = {"customer_ids": [globex], "since": "2026-03-01", "until": "2026-03-31", "recipient": "cfo@globex.example"}
    assert api.post("/statements-of-account/send", body).json()["items"][0]["problem"] is None
    assert api.get("/statement-deliveries").json()["items"][0]["recipient"] == "cfo@globex.example"
    with pytest.raises(Invalid, match="ends before it begins"):
        statement_delivery.send_statements(actor=owner, entity_id=entity.pk, customer_ids=[globex], since=LAST, until=FIRST)


def test_what_a_document_is_comes_before_what_became_of_it_and_countries_go_by_name(
    owner, entity, make_customers, issue, pay, apply
):
    (customer,) = make_customers("Globex")
    Customer.objects.filter(pk=customer).update(language="de", country="AT")
    (invoice,) = issue(customer, 100_00, on=date(2026, 3, 5))
    apply(pay(customer, 98_00, on=date(2026, 3, 5)), invoice, 98_00, on=date(2026, 3, 5), discount_minor=2_00)
    told = statements.statement_of_account(entity_id=entity.pk, customer_ids=[customer], since=FIRST, until=LAST)
    assert told.filter(pl.col("invoice_id") == invoice)["kind"].to_list() == ["invoice", "discount"]
    found = Customer.objects.get(pk=customer)
    assert "Österreich" in words(documents.statement_of(entity=entity, customer=found, since=FIRST, until=LAST))


def test_every_kind_of_movement_has_a_word_in_every_language_of_statements():
    movements = {kind for kinds in statements.SHARES.values() for kind in kinds} | set(Invoice.Kind.values) | {"opening"}
    for language, words in documents._labels().items():
        assert movements <= set(words), language
