"""Totals that the database sums are those that the rows add up to, as of any day."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from topline.billing import actions as billing
from topline.engine import cash
from topline.market import actions as market
from topline.receivables import actions, figures, queries, trend
from topline.team import actions as team


@pytest.fixture
def busy(owner, make_customers, issue, pay, apply):
    """Invoices open, paid in parts and undone, void, credited with the note used, and money left over."""
    first, second = make_customers("Globex AG", "Initech")
    a, b, c, d = issue(first, 10_000, 20_000, 30_000, 40_000)
    (e,) = issue(second, 5_000, on=date(2026, 3, 15))
    payment = pay(first, 25_000)
    apply(payment, a, 10_000)
    done = apply(payment, b, 5_000, on=date(2026, 3, 25))
    actions.unapply(actor=owner, allocation_ids=done["allocation_id"].to_list(), on=date(2026, 4, 5), reason="Wrong invoice")
    billing.void_invoices(actor=owner, invoice_ids=[c], void_on=date(2026, 4, 1), reason="Never ordered")
    note = billing.credit_invoice(actor=owner, invoice_id=d, issue_on=date(2026, 3, 18), total_minor=4_000, reason="Damaged")
    use = pl.DataFrame({"invoice_id": [d], "amount_minor": [1_500]})
    actions.apply_credit_note(actor=owner, credit_note_id=note, links=use, on=date(2026, 3, 28))
    apply(pay(second, 5_000, on=date(2026, 4, 20)), e, 5_000, on=date(2026, 4, 20))


def test_what_was_owed_on_a_day_is_what_the_ageing_of_that_day_adds_up_to(entity, busy):
    days = [date(2026, 2, 27) + timedelta(days=n) for n in range(60)]
    summed = [queries.owed_minor(entity_id=entity.pk, as_of=day, currency="EUR") for day in days]
    assert summed == [figures.aged(entity_id=entity.pk, as_of=day).total_minor("EUR") for day in days]
    assert len(set(summed)) > 5
    assert queries.owed_minor(entity_id=entity.pk, as_of=days[-1], currency="USD") == 0


def as_point(found):
    return (found.as_of, found.dso_simple, found.best_possible, found.average_days_delinquent, found.cei)


def points(found):
    return [(p.on, p.dso, p.best_possible, p.days_delinquent, p.effectiveness) for p in found]


@pytest.fixture
def owned(owner, entity, busy, make_customers, issue, pay, apply):
    """More of the same: parts of an invoice, money taken back by the bank, an unknown payer, and a collector who owns one customer of two records."""
    clara = team.add_member(
        actor=owner, email="c@acme.localhost", name="Clara", roles=["Collections"], password="a long enough phrase"
    )
    kept, merged = make_customers("Umbrella", "Umbrella Ltd")
    (parts,) = issue(merged, 9_000, on=date(2026, 2, 20), terms="50% 0, 50% 30")
    issue(kept, 7_000, on=date(2026, 3, 2))
    returned = pay(merged, 6_000, on=date(2026, 3, 3))
    apply(returned, parts, 6_000, on=date(2026, 3, 3))
    pay(None, 1_100, on=date(2026, 3, 12))
    actions.return_payments(actor=owner, payment_ids=[returned], on=date(2026, 4, 9))
    market.change_customer(actor=owner, customer_id=kept, changes={"owner_id": clara})
    market.merge_customers(actor=owner, keep_id=kept, merge_id=merged)
    return clara, [kept, merged]


@pytest.mark.parametrize("as_of", [date(2026, 4, 26), date(2026, 5, 3), date(2026, 6, 30)])
def test_the_weekly_trend_is_on_each_day_what_the_figures_of_that_day_are(entity, owned, as_of):
    told = trend.weekly(entity_id=entity.pk, as_of=as_of, currency="EUR")
    days = [as_of - timedelta(days=7 * back) for back in range(13)][::-1]
    for key, ids in ((None, None), (owned[0], owned[1])):
        asked = [figures.collection(entity_id=entity.pk, as_of=d, currency="EUR", customer_ids=ids) for d in days]
        assert points(told[key]) == [as_point(found) for found in asked]
    assert set(told) == {None, owned[0]}
    assert len({p.dso for p in told[None]}) > 3 and len({p.effectiveness for p in told[owned[0]]}) > 2


def test_the_trend_takes_as_many_statements_for_a_year_as_for_a_week(entity, owned, django_assert_num_queries):
    for weeks in (1, 52):
        with django_assert_num_queries(9):
            trend.weekly(entity_id=entity.pk, as_of=date(2026, 4, 26), currency="EUR", weeks=weeks)


def test_the_trend_of_a_company_without_documents_is_empty_and_never_zero(entity):
    (point, *_), *_ = trend.weekly(entity_id=entity.pk, as_of=date(2026, 4, 26), currency="EUR").values()
    assert (point.dso, point.best_possible, point.days_delinquent, point.effectiveness) == (None, None, None, None)


def test_lateness_counted_by_the_database_gives_the_delays_of_the_rows(entity, busy):
    for day in (date(2026, 3, 1), date(2026, 3, 30), date(2026, 4, 30)):
        rows = cash.average_delays(figures.payment_history(entity_id=entity.pk, as_of=day)).sort("customer_id")
        assert figures.delays(entity_id=entity.pk, as_of=day).sort("customer_id").equals(rows)
