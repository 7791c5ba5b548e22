"""Offers that cover a payroll at least cost: to those who would be late, as dear as their days are worth."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.books import actions as books
from topline.collections import actions as collections
from topline.kernel.errors import Invalid
from topline.receivables import offers as receivables
from topline.treasury import actions, offers

TODAY, PAYDAY = date(2026, 4, 1), date(2026, 4, 17)


@pytest.fixture
def company(owner, entity, make_customers, issue, pay, apply):
    """Too little in the bank for the payroll, and invoices that are due after it, of customers who pay some days late."""
    bank.add_account(
        actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", number="DE02120300000000202051", pays_payroll=True
    )
    line = StatementEntry(amount_minor=100_000, currency="EUR", booked_on=date(2026, 3, 31))
    statement = Statement(account="DE02120300000000202051", currency="EUR", entries=(line,), opening_minor=0, closing_minor=100_000)  # fmt: skip
    bank.import_statements(actor=owner, entity_id=entity.pk, statements=[statement], file_name="s", file_sha256="s", format="camt")  # fmt: skip
    customers = make_customers("Globex", "Initech")
    for n, customer in enumerate(customers):
        for week in range(6):
            day = date(2025, 11, 3) + timedelta(days=7 * week)
            (invoice,) = issue(customer, 10_000, on=day)
            paid = day + timedelta(days=34 + 3 * n)
            apply(pay(customer, 10_000, on=paid), invoice, 10_000, on=paid)
    return [issue(customer, 90_000, on=date(2026, 3, 28))[0] for customer in customers]


def payroll(owner, entity, amount):
    lines = pl.DataFrame({"person": ["Ada"], "group": [""], "amount_minor": [amount]})
    actions.set_pay_plan(
        actor=owner, entity_id=entity.pk, name="Payroll", currency="EUR", frequency="monthly", first_payday=PAYDAY, lines=lines, until=PAYDAY
    )  # fmt: skip


def test_what_a_payroll_lacks_is_brought_by_the_cheapest_offers(owner, entity, company):
    payroll(owner, entity, 110_000)
    found = offers.suggest(entity=entity, as_of=TODAY, least_percent=Decimal(0))
    assert found.payroll.name == "Payroll" and found.percent < 90 and found.needed_minor > 0
    assert found.pay_by == found.payroll.debit_on - timedelta(days=1)
    assert found.gain_minor >= found.needed_minor
    (row,) = found.chosen.to_dicts()
    assert row["invoice_id"] in company
    assert row["expected_on"] > found.pay_by
    assert row["yearly_percent"] == pytest.approx(36, abs=0.2)
    assert row["pays_minor"] == row["amount_minor"] - row["discount_minor"]


def test_dearer_money_takes_off_more(owner, entity, company):
    payroll(owner, entity, 110_000)
    cheap = offers.suggest(entity=entity, as_of=TODAY, yearly_percent=Decimal(12)).chosen.row(0, named=True)
    dear = offers.suggest(entity=entity, as_of=TODAY, yearly_percent=Decimal(72)).chosen.row(0, named=True)
    assert dear["discount_minor"] > cheap["discount_minor"] > 0


def test_nobody_is_offered_less_than_what_moves_somebody(owner, entity, company):
    payroll(owner, entity, 110_000)
    row = offers.suggest(entity=entity, as_of=TODAY, yearly_percent=Decimal(1), least_percent=Decimal(2)).chosen.row(
        0, named=True
    )
    assert row["discount_minor"] == row["amount_minor"] * 2 // 100
    assert row["yearly_percent"] > 1


def test_a_safe_payroll_needs_no_offer(owner, entity, company):
    assert offers.suggest(entity=entity, as_of=TODAY).payroll is None
    payroll(owner, entity, 50_000)
    found = offers.suggest(entity=entity, as_of=TODAY)
    assert (found.payroll, found.chosen.height) == (None, 0)


def test_what_is_disputed_or_offered_already_is_left_out(owner, entity, company):
    payroll(owner, entity, 110_000)
    collections.raise_dispute(actor=owner, invoice_id=company[0], reason="price", raised_on=TODAY, deadline_on=PAYDAY)
    frame = pl.DataFrame({"invoice_id": [company[1]], "discount_minor": [1_000]})
    receivables.make_offers(actor=owner, offers=frame, valid_until=date(2026, 4, 10), on=TODAY)
    assert offers.suggest(entity=entity, as_of=TODAY).candidates == 0


def test_an_invoice_in_another_currency_is_weighed_at_the_rate_of_the_day_and_offered_in_its_own(
    owner, entity, company, make_customers, issue, pay, apply
):
    table = pl.DataFrame({"currency": ["JPY"], "on": [TODAY], "per_euro": [Decimal(160)]})
    books.add_rates(actor=owner, table=table, source="test")
    (kenji,) = make_customers("Kenji")
    (yen,) = issue(kenji, 320_000, on=date(2026, 3, 28), currency="JPY")
    payroll(owner, entity, 450_000)
    found = offers.suggest(entity=entity, as_of=TODAY, least_percent=Decimal(2))
    assert found.candidates == 3
    row = next(r for r in found.chosen.to_dicts() if r["invoice_id"] == yen)
    home = next(r for r in found.chosen.to_dicts() if r["invoice_id"] == company[0])
    assert (row["currency"], row["amount_minor"], row["pays_minor"]) == ("JPY", 320_000, 320_000 - row["discount_minor"])
    assert row["discount_minor"] >= 6_400
    assert row["cost_minor"] == round(round(row["discount_minor"] * 100 / 160) * (row["baseline"] + row["lift"]))
    assert row["gain_minor"] > home["gain_minor"]
    frame = pl.DataFrame({"invoice_id": [yen], "discount_minor": [row["discount_minor"]]})
    receivables.make_offers(actor=owner, offers=frame, valid_until=found.pay_by, on=TODAY)
    assert receivables.offers(entity.pk, as_of=TODAY)[0]["pays_minor"] == row["pays_minor"]


@pytest.mark.parametrize("wrong", [{"yearly_percent": Decimal(0)}, {"yearly_percent": Decimal(1001)}, {"taken_percent": 0}, {"taken_percent": 101}, {"least_percent": Decimal(100)}])  # fmt: skip
def test_rates_that_cannot_be_are_refused(owner, entity, wrong):
    with pytest.raises(Invalid):
        offers.suggest(entity=entity, as_of=TODAY, **wrong)
