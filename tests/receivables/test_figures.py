"""The figures about receivables, each against an example worked out by hand."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import polars as pl
import pytest

from topline.billing import actions as billing
from topline.books import actions as book_actions
from topline.books import queries as books
from topline.engine import aging as engine
from topline.kernel.errors import Invalid
from topline.receivables import actions, figures, statements

DAY = date(2026, 4, 30)


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex AG")[0]


@pytest.fixture
def company(owner, entity, customer, issue, pay, apply):
    """Three months of sales and what is open of them at the end of April.

    Issued: January 20 for 1,000.00 (due Feb 19), February 10 for 2,000.00 (Mar 12), March 15 for 3,000.00 (Apr 14),
    April 10 for 4,000.00 (May 10). January's is paid on Mar 1, of February's 500.00 are paid on Apr 1; 200.00 came on Apr 20 and
    are not applied.
    """
    sold = {}
    for month, day, amount in ((1, 20, 100_000), (2, 10, 200_000), (3, 15, 300_000), (4, 10, 400_000)):
        (sold[month],) = issue(customer, amount, on=date(2026, month, day))
    apply(pay(customer, 100_000, on=date(2026, 3, 1)), sold[1], 100_000, on=date(2026, 3, 1))
    apply(pay(customer, 50_000, on=date(2026, 4, 1)), sold[2], 50_000, on=date(2026, 4, 1))
    pay(customer, 20_000, on=date(2026, 4, 20))
    return sold


def collection(entity, day=DAY):
    return figures.collection(entity_id=entity.pk, as_of=day, currency="EUR")


def test_days_sales_outstanding_in_three_ways_and_the_days_lost_to_lateness(entity, company):
    """Owed 1,500 + 3,000 + 4,000 - 200 = 8,300; February to April have 89 days and sales of 9,000.

    Countback: April's 4,000 use 30 days, March's 3,000 use 31, of February 1,300 of 2,000 are left: 28 x 0.65 = 18.2; 79.2 in all.
    Simple: 8,300 / 9,000 x 89 = 82.08. Best possible: 4,000 not due / 9,000 x 89 = 39.56. Lost: the difference, 42.52.
    """
    found = collection(entity)
    assert (found.receivables_minor, found.current_minor, found.sales_minor, found.days) == (830_000, 400_000, 900_000, 89)
    assert found.dso_countback == Fraction("79.2")
    assert found.dso_simple == Fraction(830 * 89, 900)
    assert found.best_possible == Fraction(400 * 89, 900)
    assert found.average_days_delinquent == Fraction(430 * 89, 900)


def test_collection_effectiveness_over_the_whole_span(entity, company):
    """Opening 1,000 (January's), sales 9,000, closing 8,300 of which 4,000 not due: 1,700 of 6,000 were collected."""
    assert collection(entity).cei == Fraction(100 * 1_700, 6_000)


def test_expected_loss_and_share_at_risk(entity, company):
    """4,000 not due x 0.5 % = 20; 3,000 at 16 days x 1.5 % = 45; 1,500 at 49 days x 3.4 % = 51: 116.00 in all."""
    found = collection(entity)
    assert found.expected_loss_minor == 11_600
    assert (found.at_risk_by_count, found.at_risk_by_value) == (0.0, 0.0)
    later = collection(entity, date(2026, 6, 10))  # February's is 90 days late, one of three
    assert (later.at_risk_by_count, later.at_risk_by_value) == (pytest.approx(1 / 3), pytest.approx(1_500 / 8_500))


def test_figures_without_sales_are_missing_never_zero(entity, make_customers):
    found = collection(entity)
    assert (found.dso_simple, found.best_possible, found.average_days_delinquent, found.cei) == (None, None, None, None)
    assert (found.at_risk_by_count, found.dso_countback) == (None, 0)


def test_roll_rates_compare_each_bucket_with_the_next_one_thirty_days_later(entity, company):
    """On Mar 31: February's 2,000 are 19 days late, March's 3,000 not due. On Apr 30: 1,500 at 49 days, 3,000 at 16."""
    rows = figures.roll_rates(entity_id=entity.pk, as_of=DAY, currency="EUR").rows()
    assert rows == [
        ("not due", 300_000, 300_000, 1.0), ("1-30", 200_000, 150_000, 0.75), ("31-60", 0, 0, None), ("61-90", 0, 0, None),
    ]  # fmt: skip


def test_what_is_new_or_was_past_the_last_bucket_a_month_ago_has_not_rolled(entity, company):
    """On Jun 30 the 1,500 are 110 days late and were 80 on May 31; a month later they roll no more."""
    day = {"entity_id": entity.pk, "currency": "EUR"}
    assert figures.roll_rates(as_of=date(2026, 6, 30), **day).row(3) == ("61-90", 150_000, 150_000, 1.0)
    later = figures.roll_rates(as_of=date(2026, 7, 30), **day).rows()
    assert later[3][2] == 300_000 and later[3][3] == 1.0  # March's 3,000 alone, not the 1,500 that were past it before


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 2, 19), {"not due": (2, 300_000)}),  # due today is not late
        (date(2026, 2, 20), {"not due": (1, 200_000), "1-30": (1, 100_000)}),
        (date(2026, 3, 1), {"not due": (1, 200_000)}),  # paid on the day itself
        (date(2026, 3, 31), {"not due": (1, 300_000), "1-30": (1, 200_000)}),  # what was paid later was open then
        (DAY, {"not due": (1, 400_000), "1-30": (1, 300_000), "31-60": (1, 150_000)}),
        (date(2027, 1, 1), {"over 90": (3, 850_000)}),
    ],
)
def test_ageing_by_due_day_is_true_on_any_day(entity, company, day, expected):
    found = figures.aged(entity_id=entity.pk, as_of=day)
    assert {b: (n, m) for _, b, n, m in found.buckets.iter_rows()} == expected


def test_ageing_can_count_from_the_day_of_issue_and_with_other_buckets(entity, company):
    by_issue = figures.aged(entity_id=entity.pk, as_of=DAY, by="issued")
    assert {b: m for _, b, _, m in by_issue.buckets.iter_rows()} == {"1-30": 400_000, "31-60": 300_000, "61-90": 150_000}
    weekly = figures.aged(entity_id=entity.pk, as_of=DAY, edges=(7, 14, 21))
    assert {b: m for _, b, _, m in weekly.buckets.iter_rows()} == {"not due": 400_000, "15-21": 300_000, "over 21": 150_000}
    with pytest.raises(Invalid, match="must rise"):
        figures.aged(entity_id=entity.pk, as_of=DAY, edges=(30, 30))


def test_unapplied_cash_and_credits_stand_in_columns_of_their_own(owner, entity, customer, company):
    billing.credit_invoice(actor=owner, invoice_id=company[4], issue_on=date(2026, 4, 25), total_minor=7_000, reason="Returned")
    row = figures.aged(entity_id=entity.pk, as_of=DAY).customers.row(0, named=True)
    assert [row[name] for name in engine.labels()] == [400_000, 300_000, 150_000, 0, 0]
    assert (row["credits_minor"], row["unapplied_minor"], row["total_minor"]) == (-7_000, -20_000, 823_000)
    assert books.role_balances(entity_id=entity.pk, role="receivable", as_of=DAY) == {"EUR": 850_000 - 7_000}


def owed_by_the_ledger(entity, day):
    """Receivables less unapplied cash, per currency."""
    sums: dict[str, int] = {}
    for role in ("receivable", "unapplied_cash"):
        for currency, amount in books.role_balances(entity_id=entity.pk, role=role, as_of=day).items():
            sums[currency] = sums.get(currency, 0) + amount
    return {currency: amount for currency, amount in sums.items() if amount}


def account(entity, customer, until, since=date(2026, 1, 1)):
    rows = statements.statement_of_account(entity_id=entity.pk, customer_ids=[customer], since=since, until=until)
    return {c: m for c, m in rows.group_by("currency").agg(pl.col("amount_minor").sum()).iter_rows() if m}


def test_a_statement_of_account_ends_where_the_ledger_does_whatever_happened(owner, entity, customer, company, pay, apply):
    returned = pay(customer, 90_000, on=date(2026, 4, 2))
    apply(returned, company[3], 60_000, on=date(2026, 4, 5))
    actions.return_payments(actor=owner, payment_ids=[returned], on=date(2026, 4, 9), reason="No funds")
    short = pay(customer, 140_000, on=date(2026, 4, 11))
    apply(short, company[2], 140_000, on=date(2026, 4, 12), discount_minor=8_000, fee_minor=2_000)
    actions.write_off(actor=owner, invoice_ids=[company[3]], on=date(2026, 4, 15), reason="Insolvent", proposed_by="member:1")
    actions.refund(actor=owner, payment_id=pay(customer, 3_000, on=date(2026, 4, 16)), amount_minor=1_000, on=date(2026, 4, 17))
    note = billing.credit_invoice(actor=owner, invoice_id=company[4], issue_on=date(2026, 4, 18), total_minor=5_000, reason="x")
    link = pl.DataFrame({"invoice_id": [company[4]], "amount_minor": [5_000]})
    actions.apply_credit_note(actor=owner, credit_note_id=note, links=link, on=date(2026, 4, 19))
    for day in range(1, 31):
        until = date(2026, 4, day)
        assert account(entity, customer, until) == owed_by_the_ledger(entity, until), until
        assert account(entity, customer, until, since=until) == owed_by_the_ledger(entity, until), until


def test_a_statement_of_account_across_currencies_ends_at_the_ledgers_balance_in_each(owner, entity, customer, issue, pay, apply):
    table = pl.DataFrame({"currency": ["USD"], "on": [date(2026, 3, 1)], "per_euro": ["1.25"]})
    book_actions.add_rates(actor=owner, table=table.with_columns(pl.col("per_euro").cast(pl.Decimal(38, 9))), source="test")
    (invoice,) = issue(customer, 10_000, currency="USD")
    apply(pay(customer, 9_000), invoice, 8_000, source_minor=6_500)
    assert account(entity, customer, DAY) == {"USD": 2_000, "EUR": -2_500} == owed_by_the_ledger(entity, DAY)


def test_a_payment_returned_later_was_there_on_the_days_before(owner, entity, customer, pay):
    payment = pay(customer, 5_000, on=date(2026, 3, 1))
    actions.return_payments(actor=owner, payment_ids=[payment], on=date(2026, 3, 10), reason="No funds")
    left = [figures.aged(entity_id=entity.pk, as_of=date(2026, 3, d)).total_minor("EUR") for d in (1, 9, 10)]
    assert left == [-5_000, -5_000, 0]
