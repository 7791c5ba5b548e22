"""Whether a payroll is covered, on the day the bank takes it; and that weeks and months are sums of days."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.books import actions as books
from topline.books.models import Entity
from topline.treasury import actions, queries

AS_OF = date(2026, 12, 1)


@pytest.fixture
def german(owner, entity):
    """The company in a country whose banks are closed on 25, 26 December and 1 January."""
    other = books.open_entity(actor=owner, key="de", name="Acme DE", currency="EUR", country="DE")
    return Entity.objects.get(pk=other)


@pytest.fixture
def money(owner):
    """Put an amount on a bank account as of the last day of November."""

    def make(entity, amount, minimum=0):
        bank.add_account(actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", number="DE1", minimum_minor=minimum)
        line = StatementEntry(amount_minor=amount, currency="EUR", booked_on=date(2026, 11, 30), remittance_information="x")
        made = Statement(
            account="DE1", currency="EUR", entries=(line,), opening_minor=0, closing_minor=amount, closing_on=date(2026, 11, 30)
        )
        bank.import_statements(
            actor=owner, entity_id=entity.pk, statements=[made], file_name="s", file_sha256="0", format="test"
        )  # fmt: skip

    return make


@pytest.fixture
def salaries(owner):
    def make(entity, amount, payday, lead=2, frequency="once"):
        people = pl.DataFrame({"person": ["Ann"], "group": [""], "amount_minor": [amount]})
        actions.set_pay_plan(
            actor=owner, entity_id=entity.pk, name="Salaries", currency="EUR", frequency=frequency, first_payday=payday, debit_lead_days=lead, lines=people,
        )  # fmt: skip

    return make


def forecast(entity, weeks=8):
    return queries.forecast(entity=entity, as_of=AS_OF, weeks=weeks)


@pytest.mark.parametrize(
    ("payday", "lead", "debit"),
    [
        (date(2026, 12, 18), 2, date(2026, 12, 16)),  # a Friday
        (date(2026, 12, 14), 2, date(2026, 12, 10)),  # a weekend between
        (date(2026, 12, 29), 2, date(2026, 12, 24)),  # Monday 28, then both holidays and the weekend, Thursday 24
        (date(2027, 1, 4), 1, date(2026, 12, 31)),  # New Year's Day is closed
        (date(2026, 12, 26), 0, date(2026, 12, 24)),  # payday itself is closed
    ],
)
def test_the_debit_day_counts_business_days_back_over_holidays(german, money, salaries, payday, lead, debit):
    money(german, 100_000)
    salaries(german, 60_000, payday, lead)
    (found,) = forecast(german).payrolls
    assert (found.payday, found.debit_on) == (payday, debit)
    row = forecast(german).daily.filter(pl.col("day") == debit).row(0, named=True)
    assert (row["out_minor"], row["closing_minor"]) == (60_000, 40_000)


@pytest.mark.parametrize(
    ("in_bank", "minimum", "short"),
    [(60_000, 0, 0), (59_999, 0, 1), (0, 0, 60_000), (60_000, 500, 500), (60_500, 500, 0), (-1_000, 0, 61_000)],
)
def test_a_payroll_is_covered_to_the_cent_or_short_by_the_rest(german, money, salaries, in_bank, minimum, short):
    money(german, in_bank or 1, minimum)
    salaries(german, 60_000 if in_bank else 60_001, date(2026, 12, 18))
    (found,) = forecast(german).payrolls
    assert found.short_minor == short


def test_the_invoices_that_decide_are_the_largest_without_which_it_is_short(entity, money, salaries, make_customers, issue):
    """10.00 in the bank, 70.00, 20.00 and 5.00 expected before the debit, 99.00 after it, payroll of 60.00: 45.00 to spare.

    Without the 70.00 it is short; without the 20.00 and the 5.00 it is not.
    """
    (customer,) = make_customers("Globex")
    money(entity, 1_000)
    due = date(2026, 12, 7)
    large, *_ = issue(customer, 7_000, 2_000, 500, on=date(2026, 11, 1), due_on=due)
    issue(customer, 9_900, on=date(2026, 11, 1), due_on=date(2026, 12, 30))
    salaries(entity, 6_000, date(2026, 12, 18))
    (found,) = forecast(entity).payrolls
    assert (found.before_minor, found.short_minor, found.deciding) == (10_500, 0, [large])


def test_money_on_the_debit_day_is_too_late_and_what_else_leaves_goes_first(
    owner, entity, money, salaries, make_customers, issue
):
    (customer,) = make_customers("Globex")
    money(entity, 6_000)
    issue(customer, 9_000, on=date(2026, 11, 1), due_on=date(2026, 12, 16))
    salaries(entity, 6_000, date(2026, 12, 18))
    actions.plan_outflow(
        actor=owner, entity_id=entity.pk, name="Tax", currency="EUR", amount_minor=100, first_on=date(2026, 12, 16), frequency="once", kind="tax",
    )  # fmt: skip
    (found,) = forecast(entity).payrolls
    assert (found.debit_on, found.before_minor, found.short_minor) == (date(2026, 12, 16), 5_900, 100)


def test_weeks_and_months_are_sums_of_the_days_and_carry_the_balance_over(owner, german, money, salaries, make_customers, issue):
    money(german, 50_000)
    salaries(german, 7_000, date(2026, 12, 11), frequency="biweekly")
    for name, day in (("Rent", date(2026, 12, 2)), ("Hosting", date(2026, 12, 31))):
        actions.plan_outflow(actor=owner, entity_id=german.pk, name=name, currency="EUR", amount_minor=3_000, first_on=day)
    found = forecast(german, weeks=13)
    assert found.daily.height == 91
    for rolled in (found.weekly, found.monthly):
        for column in ("in_minor", "out_minor"):
            assert rolled[column].sum() == found.daily[column].sum()
        assert rolled["opening_minor"].to_list() == [found.opening_minor, *rolled["closing_minor"].to_list()[:-1]]
        moved = rolled["opening_minor"] + rolled["in_minor"] - rolled["out_minor"]
        assert moved.to_list() == rolled["closing_minor"].to_list()
        assert rolled["lowest_minor"].min() == found.lowest[1]
    assert found.weekly["period"].to_list()[0] == date(2026, 11, 30)
    assert found.monthly["period"].to_list() == [date(2026, 12, 1), date(2027, 1, 1), date(2027, 2, 1), date(2027, 3, 1)]


def test_a_dropped_outflow_leaves_the_forecast_and_a_plan_of_the_same_name_is_replaced(owner, german, money, salaries):
    money(german, 50_000)
    rent = actions.plan_outflow(
        actor=owner, entity_id=german.pk, name="Rent", currency="EUR", amount_minor=3_000, first_on=date(2026, 12, 2)
    )
    salaries(german, 7_000, date(2026, 12, 18))
    salaries(german, 8_000, date(2026, 12, 18))
    assert forecast(german).outflows.filter(pl.col("kind") == "payroll")["amount_minor"].to_list() == [8_000]
    actions.drop_outflow(actor=owner, outflow_id=rent)
    assert set(forecast(german).outflows["kind"]) == {"payroll"}
