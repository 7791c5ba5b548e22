"""What if, and what became of it: cases differ by their change alone, and a difference falls apart into causes to the cent."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.kernel.errors import Invalid, NotFound
from topline.treasury import actions, outlook, queries, variance
from topline.treasury.scenarios import Assumptions, compare

TODAY = date(2026, 4, 1)
IBAN = "DE02120300000000202051"


def told_by_bank(owner, entity, opening, *lines):
    entries = tuple(
        StatementEntry(amount_minor=amount, currency="EUR", booked_on=on, counterparty_name=who) for on, amount, who in lines
    )
    closing = opening + sum(amount for _, amount, _ in lines)
    statement = Statement(account=IBAN, currency="EUR", entries=entries, opening_minor=opening, closing_minor=closing)
    bank.import_statements(
        actor=owner, entity_id=entity.pk, statements=[statement], file_name="s", file_sha256=str(closing), format="camt"
    )


@pytest.fixture
def company(owner, entity, make_customers, issue, pay, apply):
    """1,000.00 in the bank; Globex owes 800.00, Initech 50.00, both pay about a week late; a salary, a rent and a vendor."""
    account = bank.add_account(actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", number=IBAN, pays_payroll=True)
    told_by_bank(owner, entity, 0, (date(2026, 3, 31), 100_000, "start"))
    customers = make_customers("Globex", "Initech")
    for customer in customers:
        for week in range(12):
            day = date(2025, 11, 3) + timedelta(days=7 * week)
            (invoice,) = issue(customer, 10_000, on=day)
            paid = day + timedelta(days=37)
            apply(pay(customer, 10_000, on=paid), invoice, 10_000, on=paid)
    large, small = issue(customers[0], 80_000, on=date(2026, 3, 9))[0], issue(customers[1], 5_000, on=date(2026, 3, 9))[0]
    person = pl.DataFrame({"person": ["Ada"], "group": [""], "amount_minor": [90_000]})
    actions.set_pay_plan(
        actor=owner, entity_id=entity.pk, name="Payroll", currency="EUR", frequency="monthly", first_payday=date(2026, 4, 30), lines=person
    )  # fmt: skip
    plan = {"actor": owner, "entity_id": entity.pk, "currency": "EUR"}
    actions.plan_outflow(**plan, name="Rent", kind="rent", amount_minor=20_000, first_on=date(2026, 4, 3))
    actions.plan_outflow(**plan, name="Cloud", kind="vendor", amount_minor=30_000, first_on=date(2026, 4, 6), is_critical=True)
    return {"account": account, "large": large, "small": small, "customers": customers}


def test_each_case_differs_from_the_plain_one_as_its_change_says(entity, company):
    found = compare(entity=entity, as_of=TODAY, assumed=Assumptions())
    plain, slip, late, lost, hired, vendors = found.scenarios
    assert plain.percents == tuple(o.percent for o in outlook.outlook(entity=entity, as_of=TODAY).payrolls)
    assert late.name == "Globex pays 14 days later"
    assert found.assumed.hire_minor == 90_000
    for case in (slip, late, lost, hired):
        assert case.balances[-1].p50 <= plain.balances[-1].p50
        assert all(a <= b for a, b in zip(case.percents, plain.percents, strict=True))
    assert plain.balances[-1].p50 - lost.balances[-1].p50 == pytest.approx(80_000, abs=5_000)
    assert plain.balances[-1].p50 - hired.balances[-1].p50 == 2 * 90_000  # May and June: 91 days from April end with June
    assert vendors.lowest.p10 >= plain.lowest.p10


def test_nothing_assumed_changes_nothing(entity, company):
    still = Assumptions(slip_percent=0, late_days=0, hires=0, vendor_days=0)
    plain, slip, late, _, hired, vendors = compare(entity=entity, as_of=TODAY, assumed=still).scenarios
    for case in (slip, late, hired, vendors):
        assert (case.balances, case.percents, case.lowest) == (plain.balances, plain.percents, plain.lowest)


@pytest.mark.parametrize(
    ("field", "value"), [("slip_percent", 101), ("late_days", -1), ("vendor_days", 181), ("hires", 1_001), ("hire_minor", -1)]
)
def test_assumptions_out_of_bounds_are_refused_by_name(field, value):
    with pytest.raises(Invalid) as error:
        Assumptions(**{field: value})
    assert error.value.field == field


def test_a_vendor_that_cannot_wait_has_odds_and_one_that_can_has_none(entity, company):
    assert [c.name for c in queries.forecast(entity=entity, as_of=TODAY).duties] == ["Cloud"] * 3
    assert len(outlook.outlook(entity=entity, as_of=TODAY).duties) == 3


def test_accounts_split_the_forecast_and_add_up_to_it(owner, entity, company, pay):
    savings = bank.add_account(actor=owner, entity_id=entity.pk, name="Savings", currency="EUR", number="DE77", minimum_minor=500)
    plan = {"actor": owner, "entity_id": entity.pk, "currency": "EUR", "bank_account_id": savings}
    actions.plan_outflow(**plan, name="Loan", kind="loan", amount_minor=1_000, first_on=date(2026, 4, 9), frequency="once")
    found = queries.forecast(entity=entity, as_of=TODAY)
    split = queries.by_account(entity=entity, found=found).sort("name")
    assert split["name"].to_list() == ["Giro", "Savings"]
    assert split["closing_minor"].to_list()[1] == -1_000
    assert split["lowest_on"].to_list()[1] == date(2026, 4, 9)
    assert split["minimum_minor"].to_list() == [0, found.minimum_minor] == [0, 500]
    whole = found.daily
    assert split["in_minor"].sum() == whole["in_minor"].sum()
    assert split["out_minor"].sum() == whole["out_minor"].sum()
    assert split["closing_minor"].sum() == whole["closing_minor"][-1]


def test_a_difference_falls_apart_into_its_causes_to_the_cent(owner, entity, company, issue, pay, apply):
    outlook.freeze_forecast(actor=owner, entity_id=entity.pk, as_of=TODAY)
    on = date(2026, 4, 16)
    (new,) = issue(company["customers"][1], 7_000, on=date(2026, 4, 2))
    apply(pay(company["customers"][1], 7_000, on=date(2026, 4, 10)), new, 7_000, on=date(2026, 4, 10))
    apply(pay(company["customers"][1], 4_000, on=date(2026, 4, 14)), company["small"], 4_000, on=date(2026, 4, 14))
    told_by_bank(
        owner, entity, 100_000, (date(2026, 4, 3), -20_000, "Landlord"), (date(2026, 4, 10), 7_000, "Initech"), (date(2026, 4, 14), 4_000, "Initech"),
        (date(2026, 4, 15), -1_234, "Tax office"),
    )  # fmt: skip
    found = variance.explain(entity=entity, as_of=on)
    causes = {c.said: c.amount_minor for c in found.causes}
    assert causes == {
        "Expected, and has not come": -80_000,
        "Came with another amount": -1_000,
        "Invoices issued since": 7_000,
        "Planned, and has not left": 30_000,
        "Left without a plan": -1_234,
    }
    assert found.told_minor == 100_000 + 85_000 - 50_000
    assert found.actual_minor == 89_766
    assert sum(causes.values()) == found.actual_minor - found.told_minor
    for cause in found.causes:
        assert cause.rows["amount_minor"].sum() == cause.amount_minor


def test_without_a_frozen_forecast_it_says_when_there_will_be_one(entity, company):
    with pytest.raises(NotFound, match="No forecast was frozen"):
        variance.explain(entity=entity, as_of=TODAY)


def test_what_left_in_parts_near_its_day_was_as_planned(owner, entity, company):
    outlook.freeze_forecast(actor=owner, entity_id=entity.pk, as_of=TODAY)
    told_by_bank(
        owner, entity, 100_000, (date(2026, 4, 3), -12_000, "Landlord"), (date(2026, 4, 3), -8_000, "Landlord"), (date(2026, 4, 7), -19_999, "Cloud"),
        (date(2026, 4, 8), -10_001, "Cloud, rest"), (date(2026, 4, 8), -777, "Fine"),
    )  # fmt: skip
    causes = {c.said: c.amount_minor for c in variance.explain(entity=entity, as_of=date(2026, 4, 8)).causes}
    assert causes == {"Left without a plan": -777}
