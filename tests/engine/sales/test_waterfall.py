"""The bridge between two days: every step is told once, and the steps always sum exactly."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.engine.sales.waterfall import OUT, STEPS, summary, waterfall

Q = (date(2026, 4, 1), date(2026, 7, 1))
MAY, AUG = date(2026, 5, 10), date(2026, 8, 10)
SCHEMA = {
    "opportunity_id": pl.Int64,
    "currency": pl.String,
    "state": pl.String,
    "category": pl.String,
    "close_on": pl.Date,
    "value_minor": pl.Int64,
}


def day(*deals):
    return pl.DataFrame(deals, schema=SCHEMA, orient="row")


def deal(number=1, state="open", category="pipeline", close_on=MAY, value=100, currency="EUR"):
    return (number, currency, state, category, close_on, value)


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        (None, deal(), [("created", 100), ("end", 100)]),
        (None, deal(state="won", category="closed"), [("created", 100), ("won", -100)]),
        (None, deal(state="lost", category="omitted"), [("created", 100), ("lost", -100)]),
        (deal(), deal(value=130), [("start", 100), ("value_up", 30), ("end", 130)]),
        (deal(), deal(value=70), [("start", 100), ("value_down", -30), ("end", 70)]),
        (deal(), deal(state="won", category="closed", value=130), [("start", 100), ("value_up", 30), ("won", -130)]),
        (deal(), deal(state="lost", category="omitted", value=130), [("start", 100), ("lost", -100)]),
        (deal(), deal(close_on=AUG, value=130), [("start", 100), ("pushed_out", -100)]),
        (deal(close_on=AUG), deal(value=130), [("pulled_in", 100), ("value_up", 30), ("end", 130)]),
        (deal(close_on=AUG), deal(state="won", category="closed"), [("pulled_in", 100), ("won", -100)]),
        (deal(close_on=AUG), deal(state="lost", category="omitted"), []),
        (deal(), deal(category="omitted"), [("start", 100), ("omitted", -100)]),
        (deal(category="omitted"), deal(value=120), [("reopened", 120), ("end", 120)]),
        (deal(state="lost", category="omitted"), deal(), [("reopened", 100), ("end", 100)]),
        (deal(state="lost"), deal(state="won", category="closed"), [("reopened", 100), ("won", -100)]),
        (deal(state="won"), deal(state="won"), []),
        (deal(close_on=AUG), deal(close_on=AUG), []),
        (deal(close_on=None), deal(close_on=None), []),
        (deal(value=None), deal(value=50), [("start", 0), ("value_up", 50), ("end", 50)]),
    ],
)  # fmt: skip
def test_each_way_of_a_deal_is_told_as_people_would(before, after, steps):
    found = waterfall(day(*([before] if before else [])), day(after), since=Q[0], until=Q[1])
    assert list(found.select("step", "amount_minor").iter_rows()) == steps


def test_without_a_period_all_open_deals_are_the_pipeline():
    found = waterfall(day(deal(close_on=None)), day(deal(close_on=AUG, value=90)))
    assert list(found.select("step", "amount_minor").iter_rows()) == [("start", 100), ("value_down", -10), ("end", 90)]


states = st.sampled_from(["open", "won", "lost"])
one = st.tuples(
    states,
    st.sampled_from(["pipeline", "commit", "omitted", "closed"]),
    st.sampled_from([None, MAY, AUG]),
    st.none() | st.integers(0, 10**9),
)


@given(st.lists(st.tuples(st.none() | one, st.none() | one, st.sampled_from(["EUR", "USD"])), max_size=12), st.booleans())
def test_the_steps_always_sum_exactly(deals, in_period):
    first = [(i, c, *a) for i, (a, _, c) in enumerate(deals) if a]
    last = [(i, c, *b) for i, (_, b, c) in enumerate(deals) if b]
    since, until = Q if in_period else (None, None)
    legs = waterfall(day(*first), day(*last), since=since, until=until)
    found = summary(legs)
    for (currency,), part in found.group_by("currency"):
        amounts = dict(part.select("step", "amount_minor").iter_rows())
        assert amounts["start"] + sum(amounts[step] for step in STEPS) == amounts["end"], currency
        assert all(amounts[step] <= 0 for step in OUT)
        assert all(amounts[step] >= 0 for step in set(STEPS) - OUT)

    def inside(row):
        _, _, state, category, close_on, _ = row
        return (
            state == "open" and category != "omitted" and (since is None or (close_on is not None and since <= close_on < until))
        )

    assert legs.filter(pl.col("step") == "end")["amount_minor"].sum() == sum(row[5] or 0 for row in last if inside(row))
    assert legs.filter(pl.col("step") == "start")["amount_minor"].sum() == sum(row[5] or 0 for row in first if inside(row))
    won_before = {row[0] for row in first if row[2] == "won"}
    newly_won = sum(row[5] or 0 for row in last if row[2] == "won" and row[0] not in won_before)
    assert -legs.filter(pl.col("step") == "won")["amount_minor"].sum() == newly_won  # nothing won is missing
    assert legs.select("opportunity_id", "step").is_duplicated().sum() == 0
