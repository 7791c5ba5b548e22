"""Payments and what they settle: partial, over, under, many to many, across currencies, and back again."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from topline.billing.models import Invoice
from topline.books import actions as book_actions
from topline.books import queries as books
from topline.receivables import actions, posting, queries
from topline.receivables.models import Allocation, Payment
from topline.timeline.models import Milestone


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex AG")[0]


def ledger(entity, role, currency="EUR"):
    return books.role_balances(entity_id=entity.pk, role=role).get(currency, 0)


def functional(entity, role):
    table = books.trial_balance(entity_id=entity.pk).filter(pl.col("role") == role)
    return int(table["functional_minor"].sum())


def state(invoice):
    row = Invoice.objects.get(pk=invoice)
    return row.state, row.total_minor - row.allocated_minor


def test_money_that_is_not_applied_is_a_liability(entity, customer, pay):
    pay(customer, 5000)
    assert (ledger(entity, "clearing"), ledger(entity, "unapplied_cash")) == (5000, -5000)


def test_a_part_a_rest_and_an_overpayment(entity, customer, issue, pay, apply):
    (invoice,) = issue(customer, 10_000)
    first, second = pay(customer, 4000), pay(customer, 7000)
    apply(first, invoice, 4000)
    assert state(invoice) == ("open", 6000)
    apply(second, invoice, 6000)
    assert state(invoice) == ("paid", 0)
    assert (ledger(entity, "receivable"), ledger(entity, "unapplied_cash")) == (0, -1000)
    assert Milestone.objects.filter(kind="invoice_paid", subject_id=invoice).count() == 1


def test_one_payment_for_many_invoices_and_many_payments_for_one(owner, entity, customer, issue, pay):
    a, b = issue(customer, 3000, 5000)
    p, q = pay(customer, 6000), pay(customer, 2000)
    links = pl.DataFrame({"payment_id": [p, p, q], "invoice_id": [a, b, b], "amount_minor": [3000, 3000, 2000]})
    actions.apply_cash(actor=owner, links=links, on=date(2026, 3, 20))
    assert state(a) == state(b) == ("paid", 0)
    assert ledger(entity, "unapplied_cash") == 0


@pytest.mark.parametrize("amount", [10_001, 10**12])
def test_more_than_is_open_is_refused_with_the_rest_that_is(customer, issue, pay, apply, amount):
    (invoice,) = issue(customer, 10_000)
    with pytest.raises(actions.OverApplied, match=r"10,000|100\.00 EUR open on INV-000001"):
        apply(pay(customer, 2 * 10**12), invoice, amount)
    assert not Allocation.objects.exists()


def test_more_than_the_payment_has_left_is_refused_also_over_two_links(owner, customer, issue, pay):
    a, b = issue(customer, 3000, 5000)
    links = pl.DataFrame({"payment_id": [pay(customer, 6000)] * 2, "invoice_id": [a, b], "amount_minor": [3000, 3001]})
    with pytest.raises(actions.OverApplied, match=r"60\.00 EUR left of payment"):
        actions.apply_cash(actor=owner, links=links, on=date(2026, 3, 20))
    assert state(a) == ("open", 3000)


@pytest.mark.parametrize("amount", [0, -5])
def test_amounts_of_zero_or_less_settle_nothing(customer, issue, pay, apply, amount):
    (invoice,) = issue(customer, 10_000)
    with pytest.raises(actions.NothingToApply):
        apply(pay(customer, 5000), invoice, amount)


def test_money_cannot_settle_before_it_came_in(customer, issue, pay, apply):
    (invoice,) = issue(customer, 10_000)
    with pytest.raises(actions.AppliedBeforeReceived, match="PAY-000001 came in on 20 Mar 2026, after 19 Mar 2026"):
        apply(pay(customer, 5000, on=date(2026, 3, 20)), invoice, 5000, on=date(2026, 3, 19))


def test_nothing_is_given_back_or_taken_off_before_it_was_there(owner, customer, issue, pay, apply):
    (invoice,) = issue(customer, 10_000)
    payment = pay(customer, 6000, on=date(2026, 3, 20))
    done = apply(payment, invoice, 5000, on=date(2026, 3, 25))
    before, early = Allocation.objects.count(), date(2026, 3, 19)
    refused = pytest.raises(actions.AppliedBeforeReceived, match="came in on 20 Mar 2026, after 19 Mar 2026")
    with refused:
        actions.refund(actor=owner, payment_id=payment, amount_minor=1000, on=early)
    with refused:
        actions.return_payments(actor=owner, payment_ids=[payment], on=early)
    with pytest.raises(actions.AppliedBeforeReceived, match="INV-000001 was issued on 1 Mar 2026"):
        actions.write_off(actor=owner, invoice_ids=[invoice], on=date(2026, 2, 28), reason="Gone")
    with pytest.raises(actions.AppliedBeforeReceived, match="INV-000001 was settled on 25 Mar 2026, after 24 Mar 2026"):
        actions.unapply(actor=owner, allocation_ids=done["allocation_id"].to_list(), on=date(2026, 3, 24))
    assert Allocation.objects.count() == before and state(invoice) == ("open", 5000)


def test_what_was_matched_after_the_day_of_the_return_opens_on_the_day_of_the_match(owner, entity, customer, issue, pay, apply):
    (invoice,) = issue(customer, 10_000)
    payment = pay(customer, 10_000, on=date(2026, 3, 20))
    apply(payment, invoice, 10_000, on=date(2026, 3, 25))
    actions.return_payments(actor=owner, payment_ids=[payment], on=date(2026, 3, 22))
    assert state(invoice) == ("open", 10_000)
    assert queries.open_items(entity_id=entity.pk, as_of=date(2026, 3, 23))["open_minor"].to_list() == [10_000]
    assert Allocation.objects.get(reverses__isnull=False).effective_on == date(2026, 3, 25)
    assert (ledger(entity, "receivable"), ledger(entity, "unapplied_cash")) == (10_000, 0)


def test_a_short_payment_with_discount_and_fee_closes_the_invoice(entity, customer, issue, pay, apply):
    (invoice,) = issue(customer, 10_000)
    apply(pay(customer, 9750), invoice, 9750, discount_minor=200, fee_minor=50)
    assert state(invoice) == ("paid", 0)
    assert [ledger(entity, r) for r in ("receivable", "discount_allowed", "bank_fees")] == [0, 200, 50]


def test_unapplying_opens_the_invoice_again_and_leaves_both_rows(owner, entity, customer, issue, pay, apply):
    (invoice,) = issue(customer, 10_000)
    done = apply(pay(customer, 10_000), invoice, 10_000)
    actions.unapply(actor=owner, allocation_ids=done["allocation_id"].to_list(), on=date(2026, 4, 2), reason="Wrong invoice")
    assert state(invoice) == ("open", 10_000)
    assert (ledger(entity, "receivable"), ledger(entity, "unapplied_cash")) == (10_000, -10_000)
    assert Allocation.objects.count() == 2
    with pytest.raises(actions.AllocationUndone):
        actions.unapply(actor=owner, allocation_ids=done["allocation_id"].to_list(), on=date(2026, 4, 2))
    # ... and as of a day in between it was paid
    assert queries.open_items(entity_id=entity.pk, as_of=date(2026, 3, 25)).is_empty()
    assert queries.open_items(entity_id=entity.pk, as_of=date(2026, 4, 2))["open_minor"].to_list() == [10_000]


def test_a_returned_payment_reopens_everything_it_settled(owner, entity, customer, issue, pay, apply):
    a, b = issue(customer, 3000, 5000)
    payment = pay(customer, 8000)
    apply(payment, a, 3000)
    apply(payment, b, 5000)
    actions.return_payments(actor=owner, payment_ids=[payment], on=date(2026, 4, 2), reason="No funds")
    assert (state(a), state(b)) == (("open", 3000), ("open", 5000))
    assert [ledger(entity, r) for r in ("receivable", "unapplied_cash", "clearing")] == [8000, 0, 0]
    with pytest.raises(actions.PaymentNotUsable):
        actions.return_payments(actor=owner, payment_ids=[payment], on=date(2026, 4, 2))
    with pytest.raises(actions.PaymentNotUsable):
        apply(payment, a, 100, on=date(2026, 4, 3))


def test_a_refund_gives_back_only_what_is_unapplied(owner, entity, customer, issue, pay, apply):
    (invoice,) = issue(customer, 3000)
    payment = pay(customer, 8000)
    apply(payment, invoice, 3000)
    with pytest.raises(actions.OverApplied):
        actions.refund(actor=owner, payment_id=payment, amount_minor=5001, on=date(2026, 4, 2))
    actions.refund(actor=owner, payment_id=payment, amount_minor=5000, on=date(2026, 4, 2))
    assert (ledger(entity, "unapplied_cash"), ledger(entity, "clearing")) == (0, 3000)


def test_a_write_off_is_bad_debt_and_can_be_reopened(owner, entity, customer, issue, pay, apply):
    (invoice,) = issue(customer, 10_000)
    apply(pay(customer, 4000), invoice, 4000)
    done = actions.write_off(actor=owner, invoice_ids=[invoice], on=date(2026, 9, 1), reason="Insolvent")
    assert state(invoice) == ("written_off", 0)
    assert (ledger(entity, "receivable"), ledger(entity, "bad_debt")) == (0, 6000)
    actions.unapply(actor=owner, allocation_ids=done["allocation_id"].to_list(), on=date(2026, 10, 1))
    assert state(invoice) == ("open", 6000)
    with pytest.raises(actions.Invalid, match="reason"):
        actions.write_off(actor=owner, invoice_ids=[invoice], on=date(2026, 9, 1), reason=" ")


def test_a_credit_note_settles_by_a_link_and_moves_no_money(owner, entity, customer, issue):
    from topline.billing import actions as billing

    (invoice,) = issue(customer, 10_000)
    note = billing.credit_invoice(actor=owner, invoice_id=invoice, issue_on=date(2026, 3, 5), total_minor=4000, reason="Damaged")
    assert ledger(entity, "receivable") == 6000
    actions.apply_credit_note(
        actor=owner,
        credit_note_id=note,
        links=pl.DataFrame({"invoice_id": [invoice], "amount_minor": [4000]}),
        on=date(2026, 3, 6),
    )
    assert (state(invoice), state(note)) == (("open", 6000), ("paid", 0))
    assert ledger(entity, "receivable") == 6000


def rates(owner, *rows):
    table = pl.DataFrame(rows, schema={"currency": pl.String, "on": pl.Date, "per_euro": pl.String}, orient="row").with_columns(
        pl.col("per_euro").cast(pl.Decimal(38, 9))
    )
    book_actions.add_rates(actor=owner, table=table, source="test")


def test_a_foreign_invoice_paid_at_another_rate_realises_the_difference_and_closes_to_zero(
    owner, entity, customer, issue, pay, apply
):
    rates(owner, ("USD", date(2026, 3, 1), "1.20"), ("USD", date(2026, 3, 20), "1.10"))
    (invoice,) = issue(customer, 40_000, currency="USD")
    assert functional(entity, "receivable") == 33_333
    payment = pay(customer, 40_000, currency="USD")
    for part in (13_333, 13_333, 13_334):
        apply(payment, invoice, part)
    assert (functional(entity, "receivable"), functional(entity, "unapplied_cash")) == (0, 0)
    assert -functional(entity, "exchange_gain") + -functional(entity, "exchange_loss") == 36_364 - 33_333
    assert state(invoice) == ("paid", 0)


def test_half_an_invoice_of_the_companys_currency_realises_no_difference(entity, customer, issue, pay, apply):
    (invoice,) = issue(customer, 454_818)
    apply(pay(customer, 227_409), invoice, 227_409)
    assert (functional(entity, "receivable"), functional(entity, "unapplied_cash")) == (227_409, 0)
    assert (functional(entity, "exchange_gain"), functional(entity, "exchange_loss")) == (0, 0)


def test_a_part_is_rounded_half_up_once_and_the_parts_add_up():
    rows = [(total, part, whole) for total in (1, 2, 3, 100, 33_333, 10**15) for whole in (1, 3, 7, 40_000, 10**15) for part in {0, 1, whole // 3, whole // 2, whole - 1, whole}]  # fmt: skip
    table = pl.DataFrame(rows, schema=["total", "part", "whole"], orient="row")
    shares = table.select(posting.part_of(pl.col("total"), pl.col("part"), pl.col("part"), pl.col("whole"))).to_series()
    rests = table.select(posting.part_of(pl.col("total"), pl.col("whole"), pl.col("whole") - pl.col("part"), pl.col("whole"))).to_series()  # fmt: skip
    assert shares.to_list() == [(2 * total * part + whole) // (2 * whole) for total, part, whole in rows]
    assert (shares + rests).to_list() == table["total"].to_list()


def test_a_payment_in_another_currency_goes_through_conversion_which_ends_at_zero(owner, entity, customer, issue, pay, apply):
    rates(owner, ("USD", date(2026, 3, 1), "1.25"), ("USD", date(2026, 3, 20), "1.00"))
    (invoice,) = issue(customer, 10_000, currency="USD")
    payment = pay(customer, 9_000, currency="EUR")
    apply(payment, invoice, 10_000, source_minor=9_000)
    assert state(invoice) == ("paid", 0)
    assert Payment.objects.get(pk=payment).allocated_minor == 9_000
    assert functional(entity, "conversion") == 0
    assert functional(entity, "receivable") == 0
    assert -functional(entity, "exchange_gain") == 1_000


def test_undoing_a_foreign_settlement_restores_every_balance(owner, entity, customer, issue, pay, apply):
    rates(owner, ("USD", date(2026, 3, 1), "1.20"), ("USD", date(2026, 3, 20), "1.10"))
    (invoice,) = issue(customer, 40_000, currency="USD")
    payment = pay(customer, 40_000, currency="USD")
    before = books.trial_balance(entity_id=entity.pk).select("role", "functional_minor")
    done = apply(payment, invoice, 12_345)
    actions.unapply(actor=owner, allocation_ids=done["allocation_id"].to_list(), on=date(2026, 4, 1))
    after = books.trial_balance(entity_id=entity.pk).select("role", "functional_minor").filter(pl.col("functional_minor") != 0)
    assert after.equals(before)
    apply(payment, invoice, 40_000)
    assert (functional(entity, "receivable"), functional(entity, "unapplied_cash")) == (0, 0)


def test_instalments_age_one_by_one_and_money_covers_the_earliest_first(entity, customer, issue, pay, apply):
    (invoice,) = issue(customer, 10_000, terms="50% 0, 50% 30")
    apply(pay(customer, 6000), invoice, 6000)
    items = queries.open_items(entity_id=entity.pk, as_of=date(2026, 3, 25))
    assert items.select("due_on", "open_minor").rows() == [(date(2026, 3, 31), 4000)]
    early = queries.open_items(entity_id=entity.pk, as_of=date(2026, 3, 10))
    assert early.select("due_on", "open_minor").rows() == [(date(2026, 3, 1), 5000), (date(2026, 3, 31), 5000)]


def test_what_is_unapplied_is_known_as_of_any_day(entity, customer, issue, pay, apply):
    (invoice,) = issue(customer, 3000)
    payment = pay(customer, 8000, on=date(2026, 3, 5))
    apply(payment, invoice, 3000, on=date(2026, 3, 20))
    left = [queries.unapplied(entity_id=entity.pk, as_of=date(2026, 3, d))["left_minor"].to_list() for d in (4, 5, 19, 20)]
    assert left == [[], [8000], [8000], [5000]]
