"""What helps a payroll that is not safe: every kind of lever, with what it gains, costs and takes; nothing where all is safe."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.cases import assumptions, rules
from topline.collections import actions as collections
from topline.collections.models import PayrollStake
from topline.market import actions as market
from topline.receivables import offers as receivables
from topline.treasury import actions, levers, outlook

TODAY, PAYDAY = date(2026, 4, 1), date(2026, 4, 17)  # the bank takes the money on the 15th, so it must be there on the 14th
DEBIT = date(2026, 4, 15)


@pytest.fixture
def account(owner, entity):
    """Open one of our accounts with money on it."""

    def make(name, balance, **more):
        number = f"DE{len(name):02}{balance:018}"
        made = bank.add_account(actor=owner, entity_id=entity.pk, name=name, currency="EUR", number=number, **more)
        line = StatementEntry(amount_minor=balance, currency="EUR", booked_on=date(2026, 3, 31))
        statement = Statement(account=number, currency="EUR", entries=(line,), opening_minor=0, closing_minor=balance)
        bank.import_statements(actor=owner, entity_id=entity.pk, statements=[statement], file_name=name, file_sha256=name, format="camt")  # fmt: skip
        return made

    return make


@pytest.fixture
def company(owner, entity, account, make_customers, issue, pay, apply):
    """150,000.00 EUR in the bank, customers who pay some days late, and open invoices, some due before the payroll, some after."""
    giro = account("Giro", 15_000_000, pays_payroll=True)
    customers = make_customers("Globex", "Initech", "Hooli")
    for n, customer in enumerate(customers):
        for week in range(10):
            day = date(2025, 11, 3) + timedelta(days=7 * week)
            (invoice,) = issue(customer, 1_000_000, on=day)
            paid = day + timedelta(days=31 + 4 * n + 3 * (week % 4))
            apply(pay(customer, 1_000_000, on=paid), invoice, 1_000_000, on=paid)
    soon = [
        issue(c, 700_000 + 61_300 * n + 17_100 * k, on=date(2026, 3, 2) + timedelta(days=2 * n))[0]
        for k, c in enumerate(customers)
        for n in range(8)
    ]
    later = [issue(c, 9_000_000, on=date(2026, 3, 28))[0] for c in customers[:2]]
    return {"giro": giro, "customers": customers, "soon": soon, "later": later}


@pytest.fixture
def payroll(owner, entity):
    def plan(amount, **more):
        lines = pl.DataFrame({"person": ["Ada"], "group": [""], "amount_minor": [amount]})
        actions.set_pay_plan(
            actor=owner, entity_id=entity.pk, name="Payroll", currency="EUR", frequency="monthly", first_payday=PAYDAY, lines=lines, until=PAYDAY, **more
        )  # fmt: skip

    return plan


@pytest.fixture
def outflow(owner, entity):
    def plan(name, amount, on, **more):
        told = {"name": name, "currency": "EUR", "amount_minor": amount, "first_on": on, "frequency": "once", "kind": "vendor"}
        return actions.plan_outflow(actor=owner, entity_id=entity.pk, **{**told, **more})

    return plan


@pytest.fixture
def helps(entity):
    def read(order="cost"):
        found = levers.plan(entity=entity, as_of=TODAY).payrolls
        return found[0].in_order(order) if found else []

    return read


def of_kind(found, kind):
    return [lever for lever in found if lever.kind == kind]


def test_a_safe_payroll_needs_no_lever(company, payroll, helps):
    payroll(10_000_000)
    assert helps() == []


def test_what_can_wait_is_put_off_beyond_the_day_and_what_cannot_is_not_named(owner, entity, company, payroll, outflow, helps):
    payroll(19_000_000)
    vendor = outflow("Paper", 3_000_000, date(2026, 4, 10))
    outflow("Tax", 3_000_000, date(2026, 4, 10), kind="tax")
    outflow("Power", 3_000_000, date(2026, 4, 10), is_critical=True)
    outflow("Later", 3_000_000, date(2026, 4, 20))
    before = outlook.outlook(entity=entity, as_of=TODAY).payrolls[0].percent
    (lever,) = of_kind(helps(), "defer")
    assert lever.about == {"outflow_id": vendor, "occurs_on": date(2026, 4, 10), "moved_to": date(2026, 4, 16)}
    assert lever.is_exact and lever.cash_minor == 3_000_000 and lever.days == 9 and lever.cost_minor > 0
    actions.defer_outflow(actor=owner, outflow_id=vendor, occurs_on=date(2026, 4, 10), moved_to=lever.about["moved_to"])
    after = outlook.outlook(entity=entity, as_of=TODAY).payrolls[0].percent
    assert after == lever.percent_after > before  # what was foretold is what becomes of it
    assert of_kind(helps(), "defer") == []


def test_a_credit_line_is_drawn_as_far_as_it_is_needed_at_its_rate(owner, entity, company, payroll, helps):
    payroll(20_000_000)
    assert of_kind(helps(), "draw") == []
    bank.change_account(
        actor=owner, bank_account_id=company["giro"], changes={"credit_line_minor": 100_000_000, "credit_line_bps": 1_200}
    )
    (lever,) = of_kind(helps(), "draw")
    lacks = levers.plan(entity=entity, as_of=TODAY).payrolls[0].lacks_minor
    assert lever.cash_minor == lacks
    assert lever.cost_minor == round(lacks * 0.12 * levers.LINE_DAYS / 365)
    assert (lever.yearly_percent, lever.days, lever.is_exact) == (12.0, 1, True)
    assert lever.percent_after >= 90  # it covers what 9 times in 10 asks for
    bank.change_account(actor=owner, bank_account_id=company["giro"], changes={"credit_line_minor": 700_000})
    assert of_kind(helps(), "draw")[0].cash_minor == 700_000


def test_money_on_another_account_is_moved_where_the_one_that_pays_would_lack_it(entity, company, account, payroll, helps):
    payroll(20_000_000)
    alone = outlook.outlook(entity=entity, as_of=TODAY).payrolls[0].percent
    account("Reserve", 50_000_000, minimum_minor=10_000_000)
    (found,) = levers.plan(entity=entity, as_of=TODAY).payrolls
    assert found.percent == 99 and found.unmoved <= alone + 1 < 90
    (lever,) = found.levers  # nothing else is needed
    assert lever.kind == "transfer" and lever.about["account_id"] != company["giro"]
    assert lever.percent_after >= 90 and lever.cost_minor == 0 and lever.is_exact


@pytest.mark.parametrize("spare", [20_000, 50_000, 100_000])
def test_money_elsewhere_that_changes_none_of_a_hundred_is_not_told_of_the_odds(entity, company, account, payroll, spare):
    payroll(20_000_000)
    account("Small change", spare)
    (found,) = levers.plan(entity=entity, as_of=TODAY).payrolls
    assert found.unmoved != found.percent


def test_a_call_and_an_offer_are_assumed_and_only_about_what_may_be_chased(owner, company, payroll, helps):
    payroll(20_000_000)
    found = helps()
    calls, offers = of_kind(found, "chase"), of_kind(found, "offer")
    assert calls and offers and not any(lever.is_exact for lever in (*calls, *offers))
    assert len({lever.about["customer_id"] for lever in calls}) == len(calls)  # one call covers a customer
    assert {lever.about["invoice_id"] for lever in offers} <= {*company["soon"], *company["later"]}
    assert all(lever.cost_minor > 0 and lever.yearly_percent > 0 for lever in offers)
    first = calls[0].about["invoice_id"]
    collections.raise_dispute(actor=owner, invoice_id=first, reason="price", raised_on=TODAY, deadline_on=PAYDAY)
    made = pl.DataFrame({k: [offers[0].about[k]] for k in ("invoice_id", "discount_minor", "expected_on")})
    if made["invoice_id"][0] != first:
        receivables.make_offers(actor=owner, offers=made, valid_until=date(2026, 4, 14), on=TODAY)
    still = helps()
    assert first not in {lever.about["invoice_id"] for lever in still if "invoice_id" in lever.about}
    assert made["invoice_id"][0] not in {lever.about["invoice_id"] for lever in of_kind(still, "offer")}


def test_whoever_was_spoken_with_lately_or_is_put_off_is_not_called(owner, entity, company, payroll, helps):
    payroll(20_000_000)
    spoken, snoozed, left = company["customers"]
    assert {spoken, snoozed} & {lever.about["customer_id"] for lever in of_kind(helps(), "chase")}
    collections.log_contact(
        actor=owner, entity_id=entity.pk, customer_id=spoken, channel="call", outcome="reached", occurred_on=TODAY
    )
    collections.set_desk(actor=owner, entity_id=entity.pk, customer_id=snoozed, snoozed_until=PAYDAY)
    assert {lever.about["customer_id"] for lever in of_kind(helps(), "chase")} <= {left}


def test_healthy_debts_can_be_sold_and_those_of_a_customer_on_hold_cannot(owner, company, payroll, helps):
    payroll(20_000_000)
    sold = of_kind(helps(), "factor")
    assert set(company["later"]) <= {lever.about["invoice_id"] for lever in sold}
    assert all(lever.days == 10 and lever.yearly_percent > 36 and not lever.is_exact for lever in sold)
    customer = sold[0].about["customer_id"]
    market.change_customer(actor=owner, customer_id=customer, changes={"is_on_hold": True}, reason="Late")
    assert customer not in {lever.about["customer_id"] for lever in of_kind(helps(), "factor")}


def test_a_factor_is_assumed_to_be_what_a_case_assumes():
    told = assumptions.catalogue()["factoring"].values
    assert told["chance_percent"] / 100 == levers.FACTOR_CHANCE and told["days"] == levers.FACTOR_DAYS
    assert told["first_percent"] / 100 == levers.FACTOR_ADVANCE and told["cost_percent"] / 100 == levers.FACTOR_FEE
    assert told["fixed"] == levers.FACTOR_FIXED and told["every_days"] == levers.FACTOR_REST_DAYS
    assert levers.FACTOR_OLDEST == rules.FACTOR_DAYS


def test_each_order_puts_its_own_first(owner, company, payroll, outflow, helps):
    payroll(20_000_000)
    outflow("Paper", 500_000, date(2026, 4, 10))
    bank.change_account(
        actor=owner, bank_account_id=company["giro"], changes={"credit_line_minor": 100_000_000, "credit_line_bps": 1_200}
    )
    found = helps()
    assert len(found) > 3
    gains = [lever.points for lever in helps("effect")]
    assert gains == sorted(gains, reverse=True)
    days = [lever.days for lever in helps("days")]
    assert days == sorted(days)
    assert {lever.title for lever in helps("days")} == {lever.title for lever in found}


def test_taxes_and_vendors_that_cannot_wait_have_the_same_levers(entity, company, outflow):
    outflow("Value added tax", 17_000_000, date(2026, 4, 15), kind="tax")
    paper = outflow("Paper", 3_000_000, date(2026, 4, 10))
    (found,) = levers.plan(entity=entity, as_of=TODAY).duties
    assert (found.coverage.name, found.pay_by) == ("Value added tax", date(2026, 4, 14))
    assert {"defer", "chase"} <= {lever.kind for lever in found.levers}
    assert next(lever for lever in found.levers if lever.kind == "defer").about["outflow_id"] == paper


def test_a_company_without_anything_is_told_nothing(entity):
    found = levers.plan(entity=entity, as_of=TODAY)
    assert (found.payrolls, found.duties) == ((), ())
    assert found.outlook is not None


def test_a_debit_on_the_next_day_leaves_only_what_is_still_in_time(owner, entity, company, payroll, outflow):
    payroll(40_000_000)
    outflow("Paper", 3_000_000, DEBIT)
    bank.change_account(actor=owner, bank_account_id=company["giro"], changes={"credit_line_minor": 100_000_000})
    (found,) = levers.plan(entity=entity, as_of=DEBIT - timedelta(days=1)).payrolls
    assert {lever.kind for lever in found.levers} <= {"defer"}


def test_calls_are_weighed_once_a_day_from_what_was_known_the_evening_before(owner, entity, company, payroll, pay, apply, helps):
    payroll(20_000_000)
    day = TODAY + timedelta(days=1)
    told = {lever.about["invoice_id"]: lever.points for lever in of_kind(helps(), "chase")}
    apply(
        pay(company["customers"][0], 700_000, on=day), company["soon"][0], 700_000, on=day
    )  # that is of today, and not yet known
    kept = levers.weigh_calls(actor=owner, entity_id=entity.pk, as_of=day)
    assert levers.weigh_calls(actor=owner, entity_id=entity.pk, as_of=day) == kept
    stake = PayrollStake.objects.get()
    assert (stake.payroll, stake.payday, stake.debit_on, stake.amount_minor) == ("Payroll", PAYDAY, DEBIT, 20_000_000)
    assert told and {pk: round(stake.changes[str(pk)] / 10_000, 1) for pk in told} == told


def test_where_every_payroll_is_safe_that_is_what_is_kept(owner, entity, company, payroll):
    payroll(10_000_000)
    levers.weigh_calls(actor=owner, entity_id=entity.pk, as_of=TODAY)
    stake = PayrollStake.objects.get()
    assert (stake.payroll, stake.debit_on, stake.changes) == ("", None, {})
