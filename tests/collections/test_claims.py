"""Late interest claimed as a document: every day once, by known rates only, booked as interest, waived by a credit note."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client

from topline.billing import actions as billing
from topline.billing import documents, queries
from topline.billing.models import Delivery, Invoice
from topline.books.models import Entity, Transfer
from topline.collections import actions, claims, timing
from topline.collections.models import InterestClaim, ReferenceRate
from topline.flows import proofs
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid, NotFound
from topline.market import actions as market
from topline.receivables import actions as receivables
from topline.receivables import figures
from topline.receivables import queries as receivable_queries
from topline.team import actions as team
from topline.team.models import Member

DAY = date(2026, 4, 20)


@pytest.fixture
def late(owner, entity, make_customers, issue):
    """A French company, and a customer who owes 2,000.00 due on 31 March 2026."""
    Entity.objects.filter(pk=entity.pk).update(country="FR")
    entity.country = "FR"
    (customer,) = make_customers("Late & Sons")
    (invoice,) = issue(customer, 2_000_00, on=date(2026, 3, 1))
    with clock.at(DAY):
        yield customer, invoice


def claim(owner, entity, customer, *invoices, until=DAY, on=None, **more):
    return claims.claim_interest(
        actor=owner, entity_id=entity.pk, customer_id=customer, invoice_ids=list(invoices), until=until, issue_on=on or until, **more
    )  # fmt: skip


def moved(document):
    rows = Transfer.objects.filter(invoice_id=document).values_list("debit_account__role", "credit_account__role", "amount_minor")
    return sorted(rows)


def test_a_note_claims_interest_and_compensation_outside_of_vat_and_is_booked_as_interest(owner, entity, late):
    customer, invoice = late
    note = Invoice.objects.get(pk=claim(owner, entity, customer, invoice, note="As announced"))
    # 2,000.00 for 20 days after 31 March at 2.15 + 8 percent: 11.12, and 40.00
    assert (note.number, note.kind, note.total_minor, note.tax_minor, note.due_on) == (
        "INT-000001",
        "interest",
        51_12,
        0,
        date(2026, 5, 4),
    )
    lines = list(note.lines.order_by("position").values_list("description", "net_minor", "tax_category"))
    assert [(amount, category) for _, amount, category in lines] == [(11_12, "O"), (40_00, "O")]
    assert (
        lines[0][0]
        == f"Interest on {Invoice.objects.get(pk=invoice).number}, due Mar 31, 2026: 20 days to Apr 20, 2026 on 2,000.00 EUR at 10.15 % a year"
    )
    assert moved(note.pk) == [("receivable", "late_interest", 51_12)]
    assert figures.aged(entity_id=entity.pk, as_of=DAY).total_minor("EUR") == 2_051_12
    assert receivable_queries.owed_minor(entity_id=entity.pk, as_of=DAY, currency="EUR") == 2_051_12
    assert (
        proofs.receivables_equal_documents().is_empty()
        and proofs.numbers_have_no_gap().is_empty()
        and proofs.lines_add_up_to_invoices().is_empty()
    )


def test_days_are_never_claimed_twice_and_the_compensation_is_claimed_once(owner, entity, late):
    customer, invoice = late
    first = claim(owner, entity, customer, invoice, until=date(2026, 4, 10), on=date(2026, 4, 10))
    assert Invoice.objects.get(pk=first).total_minor == 5_56 + 40_00  # ten days
    with pytest.raises(claims.NothingToClaim):
        claim(owner, entity, customer, invoice, until=date(2026, 4, 10), on=DAY)
    second = claim(owner, entity, customer, invoice)
    assert Invoice.objects.get(pk=second).total_minor == 5_56  # the other ten, without the compensation
    spans = InterestClaim.objects.order_by("id").values_list("after_on", "until")
    assert list(spans) == [(date(2026, 3, 31), date(2026, 4, 10)), (date(2026, 4, 10), DAY)]
    with pytest.raises(IntegrityError), transaction.atomic():
        InterestClaim.objects.create(
            document_id=second, invoice_id=invoice, due_on=date(2026, 3, 31), after_on=date(2026, 4, 10), until=date(2026, 5, 1), principal_minor=1, interest_minor=1,
            compensation_minor=0,
        )  # fmt: skip


def test_a_credit_note_waives_a_claim_for_good_and_voiding_it_sets_its_days_free(owner, entity, late):
    customer, invoice = late
    waived = claim(owner, entity, customer, invoice, until=date(2026, 4, 10), on=date(2026, 4, 10))
    credit = billing.credit_invoice(actor=owner, invoice_id=waived, issue_on=DAY, reason="Waived: they paid")
    assert moved(credit) == [("late_interest", "receivable", 45_56)]
    receivables.apply_credit_note(
        actor=owner, credit_note_id=credit, links=pl.DataFrame({"invoice_id": [waived], "amount_minor": [45_56]}), on=DAY
    )
    assert claims.notes([customer])[0][1] == 45_56
    (part,) = claims.parts(entity=entity, customer_id=customer, until=DAY)
    assert (part.first_on, part.interest_minor, part.compensation_minor) == (date(2026, 4, 11), 5_56, 0)
    second = claim(owner, entity, customer, invoice)
    billing.void_invoices(actor=owner, invoice_ids=[second], void_on=DAY, reason="Too early")
    again = claim(owner, entity, customer, invoice)
    assert Invoice.objects.get(pk=again).total_minor == 5_56
    assert list(InterestClaim.objects.order_by("id").values_list("document_id", "is_standing")) == [
        (waived, True),
        (second, False),
        (again, True),
    ]


def test_an_invoice_that_was_paid_late_is_claimed_up_to_the_day_it_was_paid(owner, entity, late, pay, apply):
    customer, invoice = late
    apply(pay(customer, 2_000_00, on=date(2026, 4, 5)), invoice, 2_000_00, on=date(2026, 4, 5))
    (part,) = claims.parts(entity=entity, customer_id=customer, until=DAY)
    assert (part.is_paid, part.until, part.days, part.interest_minor) == (True, date(2026, 4, 5), 5, 2_78)
    claim(owner, entity, customer, invoice)
    assert claims.parts(entity=entity, customer_id=customer, until=DAY) == []


def test_what_a_credit_note_took_off_was_never_owed_and_bears_no_interest(owner, entity, late):
    customer, invoice = late
    credit = billing.credit_invoice(
        actor=owner, invoice_id=invoice, issue_on=date(2026, 4, 10), total_minor=1_000_00, reason="Half was missing"
    )
    links = pl.DataFrame({"invoice_id": [invoice], "amount_minor": [1_000_00]})
    receivables.apply_credit_note(actor=owner, credit_note_id=credit, links=links, on=date(2026, 4, 10))
    (part,) = claims.parts(entity=entity, customer_id=customer, until=DAY)
    assert (part.principal_minor, part.interest_minor) == (1_000_00, 5_56)


def test_of_instalments_only_the_late_one_bears_interest(owner, entity, make_customers, issue, late, pay, apply):
    (other,) = make_customers("In parts")
    (invoice,) = issue(other, 900_00, on=date(2026, 3, 1), terms="50% 10, 50% 40")
    apply(pay(other, 450_00, on=date(2026, 4, 1)), invoice, 450_00, on=date(2026, 4, 1))
    (part,) = claims.parts(entity=entity, customer_id=other, until=DAY)
    assert (part.due_on, part.principal_minor, part.days) == (date(2026, 4, 10), 450_00, 10)


def test_an_interest_note_bears_no_interest_and_teaches_the_forecast_nothing(owner, entity, late):
    customer, invoice = late
    note = claim(owner, entity, customer, invoice, until=date(2026, 4, 1), on=date(2026, 4, 1), days_to_pay=1)
    assert {p.invoice_id for p in claims.parts(entity=entity, customer_id=customer, until=DAY)} == {invoice}
    with pytest.raises(claims.NothingToClaim):
        claim(owner, entity, customer, note)
    assert timing.book(entity_id=entity.pk, as_of=DAY).invoices["invoice_id"].to_list() == [invoice]


def test_a_note_is_promised_paid_and_matched_like_an_invoice(owner, entity, late, pay, apply):
    customer, invoice = late
    note = claim(owner, entity, customer, invoice)
    items = pl.DataFrame({"invoice_id": [note], "amount_minor": [51_12]})
    actions.record_promise(
        actor=owner, entity_id=entity.pk, customer_id=customer, due_on=date(2026, 5, 1), items=items, made_on=DAY
    )
    apply(pay(customer, 51_12, on=DAY), note, 51_12, on=DAY)
    assert Invoice.objects.get(pk=note).state == "paid"


def test_a_claim_is_not_made_on_a_rate_that_nobody_has_told(owner, entity, make_customers, issue, late):
    Entity.objects.filter(pk=entity.pk).update(country="SE")
    entity.country = "SE"
    (swede,) = make_customers("Sen AB", currency="SEK")
    (invoice,) = issue(swede, 10_000_00, on=date(2026, 5, 1), currency="SEK")
    day = date(2026, 7, 10)
    (part,) = claims.parts(entity=entity, customer_id=swede, until=day)
    assert part.unknown.words == "No published rate is known for the Riksbank's reference rate from 1 Jul 2026."
    with pytest.raises(claims.RateUnknown, match="No published rate is known") as refused:
        claim(owner, entity, swede, invoice, until=day)
    assert "claim up to 30 Jun 2026" in refused.value.remedy
    assert not Invoice.objects.filter(kind="interest").exists()
    claims.add_reference_rate(
        actor=owner, jurisdiction="SE", valid_from=date(2026, 7, 1), percent=Decimal("1.5"), source="A test"
    )
    note = Invoice.objects.get(pk=claim(owner, entity, swede, invoice, until=day))
    # 30 days of June at 2 + 8, ten of July at 1.5 + 8, and 450 kronor
    interest = round(10_000_00 * (30 * 10 + 10 * Decimal("9.5")) / 36_500)
    assert list(note.lines.order_by("position").values_list("net_minor", flat=True)) == [interest, 450_00]


def test_what_a_company_wrote_down_goes_before_the_tables_and_the_newest_word_counts(owner, entity, late):
    customer, _ = late
    for percent in ("3", "4"):
        claims.add_reference_rate(
            actor=owner, jurisdiction="EU", valid_from=date(2026, 1, 1), percent=Decimal(percent), source="A test"
        )
    (part,) = claims.parts(entity=entity, customer_id=customer, until=DAY)
    assert part.percents == (Decimal(12),)
    known = {k.jurisdiction: k for k in claims.known_rates(on=DAY)}
    assert (known["EU"].percent, known["EU"].source, known["SE"].percent) == (Decimal(4), "A test", Decimal("2.00"))
    assert (known["DK"].is_current, known["DK"].since) == (False, date(2025, 7, 1))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"jurisdiction": "US"}, "jurisdiction"),
        ({"valid_from": date(2026, 3, 1)}, "valid_from"),
        ({"valid_from": date(1950, 1, 1)}, "valid_from"),
        ({"percent": Decimal(101)}, "percent"),
        ({"percent": Decimal("1.00001")}, "percent"),
        ({"source": "  "}, "source"),
    ],
)
def test_a_rate_without_a_half_year_or_a_source_is_refused(owner, given, field):
    usual = {"jurisdiction": "EU", "valid_from": date(2026, 7, 1), "percent": Decimal(2), "source": "A test"}
    with pytest.raises(Invalid) as refused:
        claims.add_reference_rate(actor=owner, **{**usual, **given})
    assert refused.value.field == field
    assert not ReferenceRate.objects.exists()


def test_a_claim_that_cannot_be_is_refused(owner, entity, late, make_customers, issue):
    customer, invoice = late
    (other,) = make_customers("Somebody else")
    (theirs,) = issue(other, 100_00, on=date(2026, 3, 1))
    (dollars,) = issue(customer, 100_00, on=date(2026, 3, 1), currency="USD")
    for wrong, error in (
        ({"invoice_ids": []}, Invalid),
        ({"invoice_ids": [invoice, theirs]}, NotFound),
        ({"invoice_ids": [invoice, dollars]}, Invalid),
        ({"invoice_ids": [987_654]}, NotFound),
        ({"until": date(2026, 4, 21)}, Invalid),
        ({"until": date(2026, 3, 31)}, claims.NothingToClaim),
        ({"days_to_pay": 400}, Invalid),
    ):
        told = {"customer_id": customer, "invoice_ids": [invoice], "until": DAY, "issue_on": DAY, **wrong}
        with pytest.raises(error):
            claims.claim_interest(actor=owner, entity_id=entity.pk, **told)
    assert not Invoice.objects.filter(kind="interest").exists()


def test_the_lines_speak_the_customers_language_and_the_document_says_what_it_is(owner, entity, late):
    customer, invoice = late
    market.change_customer(actor=owner, customer_id=customer, changes={"language": "de"})
    note = queries.invoice_detail(claim(owner, entity, customer, invoice))
    assert [line.description.split(" auf ")[0] for line in note.lines] == [
        "Verzugszinsen",
        f"Verzugspauschale, {Invoice.objects.get(pk=invoice).number}",
    ]
    said = documents.document(note).said
    assert (said.kind, said.tax_total, {tax.category for tax in said.taxes}) == ("383", Decimal("0.00"), {"O"})
    assert documents.invoice_pdf(note).startswith(b"%PDF")


@pytest.fixture
def browser(owner, late):
    customer, _ = late
    market.add_contact(actor=owner, customer_id=customer, name="Ada Pay", email="pay@late.example", role="Accounts payable")
    member = team.add_member(
        actor=owner, email="clara@acme.localhost", name="Clara", roles=["Collections"], password="a long enough phrase"
    )
    client = Client()
    client.force_login(Member.objects.get(pk=member))
    return client


def test_a_collector_claims_from_the_page_and_the_customer_reads_it_on_the_link(browser, entity, late):
    customer, invoice = late
    page = browser.get(f"/collections/{customer}/interest/").content.decode()
    assert "10.15 %" in page and "11.12" in page and "40.00" in page
    assert f"/collections/{customer}/interest/" in browser.get(f"/collections/{customer}/").content.decode()
    assert f"/collections/{customer}/interest/?invoice={invoice}" in browser.get(f"/invoices/{invoice}/").content.decode()
    answer = browser.post(
        f"/collections/{customer}/interest/",
        {"until": "2026-04-20", "invoice": [invoice], "days_to_pay": "14", "note": "", "send": "on"},
        follow=True,
    )
    assert "The interest note was issued. It is on its way to the customer." in answer.content.decode()
    outbox.drain(HANDLERS)
    sent = Delivery.objects.get()
    assert (sent.recipient, sent.state, mail.outbox[0].subject) == (
        "pay@late.example",
        "sent",
        "Interest note INT-000001 from Acme GmbH",
    )
    read = Client().get(f"/i/{sent.token}/").content.decode()
    assert "Interest note INT-000001" in read and "Interest on INV-000001" in read and "40.00" in read
    again = browser.get(f"/collections/{customer}/interest/").content.decode()
    assert "Nothing of Late &amp; Sons is late" in again and "INT-000001" in again


def test_the_page_says_what_is_wrong_and_where_a_missing_rate_is_entered(browser, owner, entity, late):
    customer, invoice = late
    usual = {"until": "2026-04-20", "invoice": [invoice], "days_to_pay": "14"}
    for wrong, said in (
        ({"invoice": []}, "Choose at least one invoice."),
        ({"until": "2026-04-25"}, "a day that is over"),
        ({"days_to_pay": "999"}, "less than or equal to 366"),
    ):
        answer = browser.post(f"/collections/{customer}/interest/", {**usual, **wrong})
        assert answer.status_code == 400 and said in answer.content.decode()
    assert not Invoice.objects.filter(kind="interest").exists()
    Entity.objects.filter(pk=entity.pk).update(country="DK")
    page = browser.get(f"/collections/{customer}/interest/").content.decode()
    assert "No published rate is known for Danmarks Nationalbank&#39;s lending rate from 1 Jan 2026." in page
    assert "/collections/reference-rates/?of=DK&amp;from=2026-01-01#write" in page
    form = browser.get("/collections/reference-rates/?of=DK&from=2026-01-01").content.decode()
    assert '<option value="DK" selected>' in form and '<option value="2026-01-01" selected>' in form
    answer = browser.post(
        "/collections/reference-rates/",
        {"jurisdiction": "DK", "valid_from": "2026-01-01", "percent": "1.60", "source": "nationalbanken.dk, 2 January 2026"},
        follow=True,
    )
    assert (
        "The rate is written down" in answer.content.decode() and "nationalbanken.dk, 2 January 2026" in answer.content.decode()
    )
    assert "No published rate" not in browser.get(f"/collections/{customer}/interest/").content.decode()
    refused = browser.post(
        "/collections/reference-rates/", {"jurisdiction": "DK", "valid_from": "2026-01-01", "percent": "x", "source": ""}
    )
    assert refused.status_code == 400 and ReferenceRate.objects.count() == 1
    assert mail.outbox == []
