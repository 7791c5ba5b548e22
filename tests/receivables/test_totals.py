"""Totals that the database sums are those that the rows add up to, as of any day."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from topline.billing import actions as billing
from topline.engine import cash
from topline.receivables import actions, figures, queries


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


def test_lateness_counted_by_the_database_gives_the_delays_of_the_rows(entity, busy):
    for day in (date(2026, 3, 1), date(2026, 3, 30), date(2026, 4, 30)):
        rows = cash.average_delays(figures.payment_history(entity_id=entity.pk, as_of=day)).sort("customer_id")
        assert figures.delays(entity_id=entity.pk, as_of=day).sort("customer_id").equals(rows)
