"""Invoices and credit notes: drafts, legal documents, totals that add up, corrections by documents."""

from __future__ import annotations

import re
from datetime import date

import polars as pl
import pytest

from topline.billing import actions
from topline.billing.models import Instalment, Invoice, InvoiceLine
from topline.books import queries as books
from topline.books.actions import PeriodLocked, describe_entity, lock_period
from topline.engine.terms import UnknownTerms
from topline.kernel import bulk
from topline.kernel.errors import Conflict, Invalid
from topline.timeline.models import Milestone


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex AG")[0]


def ledger(entity, role):
    return books.role_balances(entity_id=entity.pk, role=role).get("EUR", 0)


def draft(owner, entity, customer, *lines, **head):
    invoices = pl.DataFrame({"ref": ["a"], "customer_id": [customer], "currency": ["EUR"], **{k: [v] for k, v in head.items()}})
    rows = pl.DataFrame([{"ref": "a", "position": i, "description": "x", **line} for i, line in enumerate(lines, 1)])
    return actions.draft_invoices(actor=owner, entity_id=entity.pk, invoices=invoices, lines=rows)


def test_a_draft_books_nothing_and_issuing_books_receivable_income_and_tax(owner, entity, customer):
    made = draft(
        owner, entity, customer, {"quantity_micro": 3 * 10**6, "unit_price_nano": 33_33 * 10**9, "tax_rate_ppm": 190_000}
    )
    assert made.select("net_minor", "tax_minor", "total_minor").row(0) == (9999, 1900, 11899)
    assert ledger(entity, "receivable") == 0
    issued = actions.issue_invoices(actor=owner, invoice_ids=made["invoice_id"].to_list(), issue_on=date(2026, 3, 1))
    assert issued.row(0) == (made["invoice_id"][0], "INV-000001", 11899, "invoice", None)
    assert [ledger(entity, r) for r in ("receivable", "revenue", "tax_payable")] == [11899, -9999, -1900]
    invoice = Invoice.objects.get()
    assert (invoice.state, invoice.due_on, invoice.functional_minor) == ("open", date(2026, 3, 31), 11899)
    assert Milestone.objects.filter(kind="invoice_issued", subject_id=invoice.pk, visible_to_customer=True).count() == 1


def test_issuing_again_changes_nothing(owner, entity, issue, customer):
    ids = issue(customer, 1000, 2000)
    again = actions.issue_invoices(actor=owner, invoice_ids=ids, issue_on=date(2026, 5, 5))
    assert again["number"].to_list() == ["INV-000001", "INV-000002"]
    assert ledger(entity, "receivable") == 3000
    assert set(Invoice.objects.values_list("issued_on", flat=True)) == {date(2026, 3, 1)}


def test_a_batch_is_issued_with_a_fixed_number_of_statements(owner, entity, customer, django_assert_max_num_queries):
    head = pl.DataFrame({"ref": [str(i) for i in range(1000)], "customer_id": customer, "currency": "EUR"})
    lines = head.select(
        "ref", position=pl.lit(1), description=pl.lit("x"), quantity_micro=pl.lit(10**6), unit_price_nano=pl.lit(10**12)
    )
    with django_assert_max_num_queries(15):
        made = actions.draft_invoices(actor=owner, entity_id=entity.pk, invoices=head, lines=lines)
    with django_assert_max_num_queries(45):
        actions.issue_invoices(actor=owner, invoice_ids=made["invoice_id"].to_list(), issue_on=date(2026, 3, 1))
    assert ledger(entity, "receivable") == 1_000_000
    numbers = list(Invoice.objects.order_by("number").values_list("number", flat=True))
    assert numbers == [f"INV-{n:06d}" for n in range(1, 1001)]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"unit_price_nano": 0, "quantity_micro": 10**6}, "invoice_not_positive"),
        ({"unit_price_nano": 10**12, "quantity_micro": -(10**6)}, "invoice_not_positive"),
    ],
)
def test_a_document_of_zero_or_less_is_refused_with_what_to_do(owner, entity, customer, line, error):
    with pytest.raises(actions.InvoiceNotPositive, match="use a credit note") as refusal:
        draft(owner, entity, customer, line)
    assert refusal.value.code == error
    assert re.search(r"Document \S+ comes to -?[\d,]+\.\d\d EUR\.", str(refusal.value))
    assert not Invoice.objects.exists()


def test_a_document_without_lines_is_refused(owner, entity, customer):
    head = pl.DataFrame({"ref": ["a", "b"], "customer_id": [customer] * 2, "currency": ["EUR"] * 2})
    lines = pl.DataFrame(
        {"ref": ["a"], "position": [1], "description": ["x"], "quantity_micro": [10**6], "unit_price_nano": [10**9]}
    )
    with pytest.raises(actions.InvoiceHasNoLines, match="Document b"):
        actions.draft_invoices(actor=owner, entity_id=entity.pk, invoices=head, lines=lines)


def test_terms_that_cannot_be_read_are_refused_before_there_is_a_draft(owner, entity, customer):
    line = {"quantity_micro": 10**6, "unit_price_nano": 10**11}
    with pytest.raises(UnknownTerms, match="whenever"):
        draft(owner, entity, customer, line, terms="whenever")
    assert not Invoice.objects.exists()
    draft(owner, entity, customer, line, terms="as agreed", due_on=date(2026, 3, 1))  # its day stands on it


def test_terms_with_two_parts_make_instalments_that_add_up(owner, entity, issue, customer):
    (invoice,) = issue(customer, 10_001, terms="50% 0, 50% 30")
    parts = list(Instalment.objects.filter(invoice_id=invoice).order_by("position").values_list("due_on", "amount_minor"))
    assert parts == [(date(2026, 3, 1), 5001), (date(2026, 3, 31), 5000)]
    assert Invoice.objects.get().due_on == date(2026, 3, 31)


def test_voiding_reverses_the_books_and_keeps_the_number(owner, entity, issue, customer):
    (invoice,) = issue(customer, 5000)
    assert actions.void_invoices(actor=owner, invoice_ids=[invoice], void_on=date(2026, 4, 1), reason="Wrong customer") == 1
    assert actions.void_invoices(actor=owner, invoice_ids=[invoice], void_on=date(2026, 4, 1)) == 0
    row = Invoice.objects.get()
    assert (row.state, row.number, row.closed_on) == ("void", "INV-000001", date(2026, 4, 1))
    assert ledger(entity, "receivable") == ledger(entity, "revenue") == 0


def test_a_paid_invoice_cannot_be_voided(owner, issue, customer, pay, apply):
    (invoice,) = issue(customer, 5000)
    apply(pay(customer, 5000), invoice, 5000)
    with pytest.raises(actions.InvoiceHasAllocations, match="INV-000001"):
        actions.void_invoices(actor=owner, invoice_ids=[invoice], void_on=date(2026, 4, 1))


def test_credit_notes_in_three_parts_take_back_exactly_the_invoice(owner, entity, customer):
    made = draft(
        owner, entity, customer,
        *[{"quantity_micro": 10**6, "unit_price_nano": p * 10**9, "tax_rate_ppm": t} for p, t in ((3333, 190_000), (3333, 70_000), (1, 0), (999, 190_000))],
    )  # fmt: skip
    invoice = made["invoice_id"][0]
    actions.issue_invoices(actor=owner, invoice_ids=[invoice], issue_on=date(2026, 3, 1))
    total = made["total_minor"][0]
    for part in (total // 3, total // 3, None):
        actions.credit_invoice(actor=owner, invoice_id=invoice, issue_on=date(2026, 3, 10), total_minor=part, reason="Returned")
    assert [ledger(entity, r) for r in ("receivable", "revenue", "tax_payable")] == [0, 0, 0]
    notes = bulk.read(
        Invoice.objects.filter(kind="credit_note").values("total_minor", "net_minor", "tax_minor", "number").order_by("number")
    )
    assert notes.select(pl.col("total_minor", "net_minor", "tax_minor").sum()).row(0) == (
        total,
        made["net_minor"][0],
        made["tax_minor"][0],
    )
    assert notes["number"].to_list() == ["CN-000001", "CN-000002", "CN-000003"]
    with pytest.raises(Conflict, match=r"0\.00 EUR of INV-000001 is left"):
        actions.credit_invoice(actor=owner, invoice_id=invoice, issue_on=date(2026, 3, 10), total_minor=1)


def test_open_items_come_in_under_their_own_numbers_against_opening_balances(owner, entity, customer):
    items = pl.DataFrame(
        {
            "number": ["R1", "R2"],
            "customer_id": customer,
            "currency": "EUR",
            "issued_on": date(2025, 12, 1),
            "due_on": date(2025, 12, 31),
            "total_minor": [100, 250],
        }
    )
    actions.import_open_items(actor=owner, entity_id=entity.pk, items=items)
    assert [ledger(entity, r) for r in ("receivable", "opening_balance")] == [350, -350]
    with pytest.raises(actions.InvoiceNumberTaken, match="R2"):
        actions.import_open_items(actor=owner, entity_id=entity.pk, items=items.tail(1))
    with pytest.raises(actions.DueBeforeIssue):
        actions.import_open_items(
            actor=owner, entity_id=entity.pk, items=items.head(1).with_columns(number=pl.lit("R3"), due_on=date(2025, 11, 30))
        )
    assert ledger(entity, "receivable") == 350


def test_nothing_of_a_batch_stays_when_one_day_is_locked(owner, entity, customer):
    lock_period(actor=owner, entity_id=entity.pk, through=date(2026, 3, 31))
    made = draft(owner, entity, customer, {"quantity_micro": 10**6, "unit_price_nano": 10**12})
    with pytest.raises(PeriodLocked):
        actions.issue_invoices(actor=owner, invoice_ids=made["invoice_id"].to_list(), issue_on=date(2026, 3, 15))
    assert Invoice.objects.get().state == "draft"
    actions.issue_invoices(actor=owner, invoice_ids=made["invoice_id"].to_list(), issue_on=date(2026, 4, 1))
    assert Invoice.objects.get().number == "INV-000001"


def test_tax_is_rounded_once_a_document_where_the_company_says_so(owner, entity, make_customers):
    head = pl.DataFrame({"ref": ["a"], "customer_id": make_customers("Globex"), "currency": ["EUR"]})
    cents = [{"ref": "a", "position": n, "description": "Call", "quantity_micro": 10**6, "unit_price_nano": 10**9, "tax_rate_ppm": 400_000} for n in range(1, 9)]  # fmt: skip
    drafted = {"actor": owner, "entity_id": entity.pk, "invoices": head, "lines": pl.DataFrame(cents)}
    by_line = actions.draft_invoices(**drafted)
    describe_entity(actor=owner, entity_id=entity.pk, changes={"tax_rounding": "document"})
    once = actions.draft_invoices(**drafted)
    assert (by_line["tax_minor"][0], once["tax_minor"][0]) == (0, 3), "8 x 0.4 cents"
    lines = InvoiceLine.objects.filter(invoice_id=once["invoice_id"][0])
    assert sorted(lines.values_list("tax_minor", flat=True)) == [0, 0, 0, 0, 0, 1, 1, 1]
    with pytest.raises(Invalid, match="no way to round tax"):
        describe_entity(actor=owner, entity_id=entity.pk, changes={"tax_rounding": "sheet"})
