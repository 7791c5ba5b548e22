"""Money of unknown payers set against debts, against a plain rule played cent by cent."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from topline.engine.stray_money import met

START = date(2026, 1, 1)
day = st.integers(0, 40).map(lambda n: START + timedelta(days=n))
debt = st.tuples(st.sampled_from(["EUR", "USD"]), day, st.integers(0, 30), st.integers(1, 9))
payment = st.tuples(st.sampled_from(["EUR", "USD"]), day, st.integers(1, 12))


def played(debts, money):
    left = {n: amount for n, (_, _, _, amount) in enumerate(debts)}
    for currency, on, amount in sorted(money, key=lambda m: (m[1], m[2])):
        for _ in range(amount):
            there = [
                (abs((issued + timedelta(days=terms) - on).days), issued + timedelta(days=terms), n)
                for n, (own, issued, terms, _) in enumerate(debts)
                if own == currency and issued <= on and left[n] > 0
            ]
            if there:
                left[min(there)[2]] -= 1
    return {n: amount - left[n] for n, (_, _, _, amount) in enumerate(debts) if amount > left[n]}


@given(st.lists(debt, min_size=1, max_size=6), st.lists(payment, max_size=5))
def test_a_payment_meets_what_was_there_and_due_nearest_the_day_it_came(debts, money):
    frame = pl.DataFrame(
        [(n, c, issued, issued + timedelta(days=terms), a) for n, (c, issued, terms, a) in enumerate(debts)],
        schema={"row": pl.Int64, "currency": pl.String, "issued_on": pl.Date, "due_on": pl.Date, "amount_minor": pl.Int64}, orient="row",
    )  # fmt: skip
    cash = pl.DataFrame(money, schema={"currency": pl.String, "on": pl.Date, "amount_minor": pl.Int64}, orient="row")
    assert dict(met(frame, cash).iter_rows()) == played(debts, money)


def test_money_from_before_an_invoice_pays_none_of_it():
    debts = pl.DataFrame({"row": [0], "currency": ["EUR"], "issued_on": [START], "due_on": [START], "amount_minor": [100]})
    old = pl.DataFrame({"currency": ["EUR"], "on": [START - timedelta(days=1)], "amount_minor": [100]})
    assert met(debts, old).is_empty()
