"""Cash as a distribution: what is sure is nearly sure, what is short is nearly lost, and no day sees its future."""

from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from django.db import DatabaseError, transaction

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.collections import actions as collections
from topline.collections import timing
from topline.collections.models import TimingModel
from topline.engine.cash import Coverage
from topline.treasury import actions, frozen, levers, outlook, queries
from topline.treasury.models import FrozenForecast
from topline.web.today import PayrollAnswer, today, with_odds

TODAY = date(2026, 4, 1)
PAYDAY = date(2026, 4, 17)


@pytest.fixture
def company(owner, entity, make_customers, issue, pay, apply):
    """Money in the bank, a payroll, two customers who pay some days late, and open invoices."""
    account = bank.add_account(
        actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", number="DE02120300000000202051", pays_payroll=True
    )
    line = StatementEntry(amount_minor=100_000, currency="EUR", booked_on=date(2026, 3, 31))
    statement = Statement(
        account="DE02120300000000202051", currency="EUR", entries=(line,), opening_minor=0, closing_minor=100_000
    )
    bank.import_statements(
        actor=owner, entity_id=entity.pk, statements=[statement], file_name="s", file_sha256="s", format="camt"
    )
    customers = make_customers("Globex", "Initech")
    for n, customer in enumerate(customers):
        for week in range(12):
            day = date(2025, 11, 3) + timedelta(days=7 * week)
            (invoice,) = issue(customer, 10_000, on=day)
            paid = day + timedelta(days=30 + 4 + 3 * n)
            apply(pay(customer, 10_000, on=paid), invoice, 10_000, on=paid)
    large, small = issue(customers[0], 80_000, on=date(2026, 3, 9))[0], issue(customers[1], 5_000, on=date(2026, 3, 9))[0]
    return {"account": account, "large": large, "small": small, "customers": customers}


def payroll(owner, entity, company, amount):
    lines = pl.DataFrame({"person": ["Ada"], "group": [""], "amount_minor": [amount]})
    actions.set_pay_plan(
        actor=owner, entity_id=entity.pk, name="Payroll", currency="EUR", frequency="monthly", first_payday=PAYDAY, lines=lines, bank_account_id=company["account"],
        until=PAYDAY,
    )  # fmt: skip


@pytest.mark.parametrize(("amount", "percent"), [(90_000, 99), (100_000, 99), (500_000, 1)])
def test_a_payroll_that_the_bank_covers_is_nearly_sure_and_one_beyond_everything_nearly_lost(
    owner, entity, company, amount, percent
):
    payroll(owner, entity, company, amount)
    (odds,) = outlook.outlook(entity=entity, as_of=TODAY).payrolls
    assert odds.percent == percent
    assert (odds.short_p90_minor == 0) == (percent == 99)


def test_between_the_two_it_hangs_on_the_large_invoice_and_calling_about_that_one_helps_most(owner, entity, company):
    payroll(owner, entity, company, 150_000)
    found = outlook.outlook(entity=entity, as_of=TODAY)
    (odds,) = found.payrolls
    assert 1 < odds.percent < 99
    best = levers.plan(entity=entity, as_of=TODAY).payrolls[0].in_order("effect")[0]
    assert (best.kind, best.about["invoice_id"]) == ("chase", company["large"])
    assert best.points > 0
    assert found.trust == "not yet verified on your data"
    again = outlook._told(outlook.basis(entity, TODAY, found.record))
    assert (again.ranges, again.payrolls) == (found.ranges, found.payrolls)


def test_a_promise_before_the_debit_day_raises_the_odds(owner, entity, company):
    payroll(owner, entity, company, 150_000)
    before = outlook.outlook(entity=entity, as_of=TODAY).payrolls[0].percent
    items = pl.DataFrame({"invoice_id": [company["large"]], "amount_minor": [80_000]})
    collections.record_promise(
        actor=owner, entity_id=entity.pk, customer_id=company["customers"][0], due_on=date(2026, 4, 7), items=items, made_on=TODAY
    )
    assert outlook.outlook(entity=entity, as_of=TODAY).payrolls[0].percent > before


def test_what_happens_after_a_day_changes_nothing_of_what_was_seen_on_it(owner, entity, company, pay, apply, issue):
    payroll(owner, entity, company, 150_000)
    before = outlook.outlook(entity=entity, as_of=TODAY)
    apply(pay(company["customers"][0], 80_000, on=date(2026, 4, 9)), company["large"], 80_000, on=date(2026, 4, 9))
    issue(company["customers"][1], 70_000, on=date(2026, 4, 2))
    after = outlook.outlook(entity=entity, as_of=TODAY)
    assert (after.ranges, after.payrolls) == (before.ranges, before.payrolls)


def test_a_forecast_is_frozen_once_a_day_and_never_changed(owner, entity, company):
    payroll(owner, entity, company, 150_000)
    first = outlook.freeze_forecast(actor=owner, entity_id=entity.pk, as_of=TODAY)
    assert outlook.freeze_forecast(actor=owner, entity_id=entity.pk, as_of=TODAY) == first
    row = FrozenForecast.objects.get()
    assert row.payrolls[0]["debit_on"] == "2026-04-15"
    assert row.days[0]["day"] == "2026-04-02"
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        FrozenForecast.objects.update(opening_minor=1)


def test_how_ranges_held_is_told_with_the_number_of_mondays():
    record = [outlook.Score(7, 1.2, 0.875, 40), outlook.Score(14, 1.0, None, 9)]
    assert outlook.trust(record) == "7 days ahead held on 14 of 16 Mondays"
    assert outlook.trust(record[1:]) == "not yet verified on your data"


def test_past_forecasts_are_scored_on_the_mondays_after_those_that_taught_the_spread(entity, company):
    record = outlook.past_record(entity=entity, as_of=TODAY)
    assert [s.horizon_days for s in record] == [7, 14, 28]
    assert all(s.hit_rate is None and s.snapshots < 20 for s in record)  # three months of record are too few to say


def test_a_model_is_kept_by_its_version_and_used_from_its_day_on(owner, entity, company):
    version = timing.train_timing(actor=owner, entity_id=entity.pk, as_of=TODAY)
    assert timing.train_timing(actor=owner, entity_id=entity.pk, as_of=TODAY) == version
    assert TimingModel.objects.count() == 1
    used = timing.model_in_use(entity_id=entity.pk, as_of=TODAY)
    assert used is not None
    assert used.version == version
    assert timing.model_in_use(entity_id=entity.pk, as_of=TODAY - timedelta(days=1)) is None


def test_of_a_book_too_large_to_compute_the_newest_frozen_forecast_speaks_and_says_of_which_day(
    owner, entity, company, monkeypatch
):
    payroll(owner, entity, company, 150_000)
    outlook.freeze_forecast(actor=owner, entity_id=entity.pk, as_of=TODAY)
    plain = queries.forecast(entity=entity, as_of=TODAY)
    computed = outlook.outlook(entity=entity, as_of=TODAY)
    assert frozen.told(entity=entity, as_of=TODAY, plain=plain) == computed
    monkeypatch.setattr(outlook, "AT_ONCE", 1)
    same_day = frozen.told(entity=entity, as_of=TODAY, plain=plain)
    assert [o.percent for o in same_day.payrolls] == [o.percent for o in computed.payrolls]
    assert [o.short_p90_minor for o in same_day.payrolls] == [o.short_p90_minor for o in computed.payrolls]
    assert [(r.day, r.p10, r.p90) for r in same_day.ranges] == [(r.day, r.p10, r.p90) for r in computed.ranges]
    later = TODAY + timedelta(days=3)
    told = frozen.told(entity=entity, as_of=later, plain=queries.forecast(entity=entity, as_of=later))
    assert told.trust.startswith("as of 1 Apr 2026, since the book is too large to compute at once")
    assert (told.ranges[0].day, told.ranges[0].p10) == (1, next(r.p10 for r in computed.ranges if r.day == 4))
    assert told.payrolls[0].percent == computed.payrolls[0].percent and told.duties == ()
    assert today(entity=entity, as_of=later).payrolls[0].odds.percent == computed.payrolls[0].percent


def test_a_large_book_of_which_nothing_was_frozen_or_not_for_so_long_has_no_odds(owner, entity, company, monkeypatch):
    payroll(owner, entity, company, 150_000)
    plain = queries.forecast(entity=entity, as_of=TODAY)
    monkeypatch.setattr(outlook, "AT_ONCE", 1)
    assert frozen.told(entity=entity, as_of=TODAY, plain=plain) is None
    outlook.freeze_forecast(actor=owner, entity_id=entity.pk, as_of=TODAY - timedelta(days=200))
    assert frozen.told(entity=entity, as_of=TODAY, plain=plain) is None


def test_the_verdict_is_that_of_the_futures_where_many_small_chances_add_up_to_another():
    futures = np.linspace(90_000, 290_000, 10_001)
    plainly_short = Coverage("Payroll", PAYDAY, PAYDAY, 100_000, 95_000, 5_000, [1, 2])
    fine = outlook.Standing(plainly_short, 9, 100_000, futures).odds
    assert (fine.verdict, fine.short_minor, fine.percent) == ("depends", 0, 95)
    told = with_odds(
        PayrollAnswer(plainly_short, "short", "short by 50.00", []),
        SimpleNamespace(payrolls=(fine,), duties=(), currency="EUR"),
        None,
    )
    assert told.verdict == "depends" and "covered if as much comes in" in told.sentence and "95 of 100" in told.odds_sentence
    plainly_fine = Coverage("Payroll", PAYDAY, PAYDAY, 100_000, 250_000, 0, [1])
    short = outlook.Standing(plainly_fine, 9, 200_000, futures).odds
    assert (short.verdict, short.short_minor) == ("short", 10_000)
    told = with_odds(
        PayrollAnswer(plainly_fine, "depends", "covered if", []),
        SimpleNamespace(payrolls=(short,), duties=(), currency="EUR"),
        None,
    )
    assert told.verdict == "short" and "short by 100.00 EUR in the middle" in told.sentence
