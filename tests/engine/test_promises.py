"""Promises and the money that meets them, against money spread cent by cent."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from topline.engine.promises import met

START = date(2026, 1, 1)
day = st.integers(0, 30).map(lambda n: START + timedelta(days=n))
part = st.tuples(st.integers(1, 2), st.integers(1, 9), day, day, st.integers(0, 20))
move = st.tuples(st.integers(1, 2), day, st.integers(1, 12))


def by_cents(parts, moves):
    """Each cent goes to the first part, by day, that stood then and is not full."""
    got = dict.fromkeys((p["part_id"] for p in parts), 0)
    for invoice, on, amount in sorted(moves, key=lambda m: m[1]):
        for _ in range(amount):
            for p in sorted(parts, key=lambda p: (p["due_on"], p["part_id"])):
                if p["invoice_id"] == invoice and p["from_on"] <= on <= p["until"] and got[p["part_id"]] < p["amount_minor"]:
                    got[p["part_id"]] += 1
                    break
    return got


@given(st.lists(part, min_size=1, max_size=6), st.lists(move, max_size=6))
def test_money_serves_the_earliest_part_that_stood_and_is_never_counted_twice(given_parts, moves):
    parts = [
        {"part_id": n, "invoice_id": i, "amount_minor": a, "due_on": due, "from_on": since, "until": since + timedelta(days=span)}
        for n, (i, a, due, since, span) in enumerate(given_parts)
    ]
    cash = pl.DataFrame(moves, schema={"invoice_id": pl.Int64, "on": pl.Date, "amount_minor": pl.Int64}, orient="row")
    found = dict(met(pl.DataFrame(parts), cash).iter_rows())
    assert found == by_cents(parts, moves)
    assert sum(found.values()) <= sum(m[2] for m in moves)


def test_what_is_taken_back_leaves_the_latest_part_first():
    parts = pl.DataFrame(
        {"part_id": [1, 2], "invoice_id": 7, "amount_minor": [40, 60], "due_on": [date(2026, 1, 10), date(2026, 1, 20)], "from_on": START, "until": date(2026, 2, 1)}
    )  # fmt: skip
    cash = pl.DataFrame({"invoice_id": 7, "on": [date(2026, 1, 5), date(2026, 1, 6)], "amount_minor": [70, -40]})
    assert met(parts, cash).rows() == [(1, 30), (2, 0)]
