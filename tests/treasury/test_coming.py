"""What contracts will be billed for stands in the cash forecast: once, with tax and terms, as it was known on the day."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from topline.bank import actions as bank
from topline.billing import taxes
from topline.books.models import Entity
from topline.contracts import actions as contracts
from topline.contracts import foresight, runs, wallets
from topline.contracts.models import BillRun, Parked
from topline.kernel import clock
from topline.treasury import actions, outlook, queries, scenarios, variance

JAN, MAR = date(2026, 1, 1), date(2026, 3, 1)
TODAY = date(2026, 3, 2)
UNTIL = TODAY + timedelta(days=92)


@pytest.fixture(autouse=True)
def _home(owner, entity):
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    entity.refresh_from_db()
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(TODAY):
        yield


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def sign(owner, entity, customer):
    """A contract of one seat at 100.00 a month in advance, from January on, unless told; returns its id."""

    def make(*items, **facts):
        usual = {"description": "Seat", "quantity_micro": 10**6, "unit_price_nano": 100_00 * 10**9, "unit": "month"}
        told = {"customer_id": customer, "currency": "EUR", "starts_on": JAN, "terms": "net 30"} | facts
        return contracts.add_contract(actor=owner, entity_id=entity.pk, items=[usual | item for item in (items or ({},))], **told)

    return make


@pytest.fixture
def coming(entity):
    def ask(as_of=TODAY, until=UNTIL):
        return foresight.coming(entity=entity, as_of=as_of, until=until).select("bill_on", "due_on", "amount_minor").rows()

    return ask


def test_what_is_not_billed_yet_is_foreseen_with_tax_and_terms_and_what_was_billed_is_not(owner, entity, sign, coming):
    sign()
    assert coming()[0] == (date(2026, 3, 3), date(2026, 4, 2), 3 * 119_00)  # January to March: the next run bills them
    runs.run(actor=owner, entity_id=entity.pk, as_of=MAR)
    assert coming() == [(day, day + timedelta(days=30), 119_00) for day in (date(2026, 4, 1), date(2026, 5, 1), date(2026, 6, 1))]


def test_what_a_run_billed_ahead_of_the_day_is_not_foreseen_again(owner, entity, sign, coming):
    sign()
    runs.run(actor=owner, entity_id=entity.pk, as_of=date(2026, 4, 1))  # on the 2nd of March
    assert [day for day, *_ in coming()] == [date(2026, 5, 1), date(2026, 6, 1)]
    assert coming(as_of=date(2026, 3, 1))[0] == (date(2026, 3, 2), date(2026, 4, 1), 3 * 119_00), (
        "the day before nobody had billed it"
    )


def test_what_credits_will_pay_of_coming_bills_is_no_cash_to_come(owner, entity, sign, customer, coming):
    sign(starts_on=date(2026, 4, 1))
    told = {"actor": owner, "entity_id": entity.pk, "customer_id": customer, "currency": "EUR"}
    wallets.grant_credits(
        **told, name="Welcome", amount_minor=150_00, on=TODAY, expires_on=date(2026, 5, 20), because="A late start"
    )
    day = date(2026, 5, 1)
    assert coming() == [(day, day + timedelta(days=30), 2 * 119_00 - 150_00), (date(2026, 6, 1), date(2026, 7, 1), 119_00)]
    assert [amount for *_, amount in coming(as_of=TODAY - timedelta(days=1))] == [119_00] * 3, "the day before there were none"


def test_a_day_in_the_past_foresees_what_was_not_billed_then(owner, entity, sign, coming):
    sign()
    runs.run(actor=owner, entity_id=entity.pk, as_of=JAN)
    runs.run(actor=owner, entity_id=entity.pk, as_of=MAR)
    then = coming(as_of=date(2026, 1, 15), until=date(2026, 3, 15))
    assert [(bill_on, amount) for bill_on, _, amount in then] == [(date(2026, 2, 1), 119_00), (MAR, 119_00)]


def test_arrears_ends_instalments_and_usage(owner, entity, sign, coming):
    sign({"in_advance": False, "unit": "quarter"}, starts_on=MAR, terms="50% 0, 50% 30")
    assert coming() == [(date(2026, 6, 1), date(2026, 6, 1), 59_50), (date(2026, 6, 1), date(2026, 7, 1), 59_50)]


def test_a_contract_that_ends_or_is_parked_brings_nothing(owner, entity, sign, coming):
    ended = sign(ends_on=MAR)
    runs.run(actor=owner, entity_id=entity.pk, as_of=MAR)
    assert coming() == []
    other = sign(starts_on=date(2026, 4, 1))
    assert len(coming()) == 3
    Parked.objects.create(contract_id=other, code="no_tax_rate", message="x", since=TODAY, run=BillRun.objects.get())
    assert coming() == [] and ended != other


def test_the_forecast_holds_it_once_and_its_accounts_add_up(owner, entity, sign):
    sign()
    account = bank.add_account(actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", pays_payroll=True)
    found = queries.forecast(entity=entity, as_of=TODAY)
    expected = int(found.coming["amount_minor"].sum())
    assert expected == 5 * 119_00 and found.receipts.is_empty()  # the bill of June is due after the forecast
    assert int(found.daily["in_minor"].sum()) == expected
    split = queries.by_account(entity=entity, found=found)
    assert (split.height, int(split["in_minor"].sum()), account > 0) == (1, expected, True)


def test_a_payroll_that_only_coming_bills_pay_is_likely_and_not_lost(owner, entity, sign, customer, issue, pay, apply):
    for n in range(24):  # a customer who pays on the due day, give or take some days
        day = date(2025, 6, 1) + timedelta(days=5 * n)
        (paid,) = issue(customer, 10_00, on=day)
        payment = pay(customer, 10_00, on=day + timedelta(days=30 + n % 5 - 2))
        apply(payment, paid, 10_00, on=day + timedelta(days=30 + n % 5 - 2))
    bank.add_account(actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", pays_payroll=True)
    lines = pl.DataFrame({"person": ["Ada"], "group": ["Team"], "amount_minor": [200_00]})
    payday = date(2026, 4, 17)
    actions.set_pay_plan(
        actor=owner,
        entity_id=entity.pk,
        name="Payroll",
        currency="EUR",
        frequency="monthly",
        first_payday=payday,
        lines=lines,
        until=payday,
    )
    (lost,) = outlook.outlook(entity=entity, as_of=TODAY).payrolls
    sign()  # three months are billed tomorrow and due on 2 April
    (likely,) = outlook.outlook(entity=entity, as_of=TODAY).payrolls
    assert lost.percent == 1 and likely.percent > 60
    issue(customer, 1_00, on=date(2026, 2, 20))  # the largest payer, who is lost in one case: so is what is to be billed
    plain, slip, late, gone, *_ = scenarios.compare(entity=entity, as_of=TODAY, assumed=scenarios.Assumptions()).scenarios
    assert gone.percents == (1,) and gone.balances[-1].p50 == -200_00
    assert late.percents < plain.percents and slip.balances[-1].p50 < plain.balances[-1].p50


def test_a_variance_still_adds_up_to_the_cent(owner, entity, sign):
    sign()
    bank.add_account(actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", pays_payroll=True)
    monday = date(2026, 3, 2)
    outlook.freeze_forecast(actor=owner, entity_id=entity.pk, as_of=monday)
    told = variance.explain(entity=entity, as_of=monday + timedelta(days=28), frozen_on=monday)
    assert sum(cause.amount_minor for cause in told.causes) == told.actual_minor - told.told_minor
