"""Sales statistics, hygiene and what deals were on a day, each against a slow count."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.engine.sales.history import changes_told, state_at
from topline.engine.sales.hygiene import flags
from topline.engine.sales.statistics import statistics

DAY = date(2026, 3, 31)
CLOSED = {
    "rep": pl.String,
    "state": pl.String,
    "currency": pl.String,
    "amount_minor": pl.Int64,
    "value_minor": pl.Int64,
    "cycle_days": pl.Int64,
}


def closed(*rows):
    return pl.DataFrame(rows, schema=CLOSED, orient="row")


def test_an_average_is_of_won_deals_and_a_win_rate_by_value_counts_what_was_lost():
    found = statistics(
        closed(
            ("Ann", "won", "EUR", 300, 300, 10),
            ("Ann", "won", "EUR", 100, 100, 30),
            ("Ann", "lost", "EUR", None, 600, 90),
            ("Ann", "lost", "EUR", None, None, 5),
        ),
        ["rep"],
    ).row(0, named=True)
    assert (found["won"], found["lost"], found["bookings_minor"], found["average_minor"]) == (2, 2, 400, 200.0)
    assert (found["win_rate"], found["win_rate_value"]) == (0.5, 0.4)
    assert (found["cycle_mean"], found["cycle_median"], found["cycle_p90"]) == (20.0, 20.0, 30.0)
    assert found["velocity_minor"] == pytest.approx(4 * 200 * 0.5 / 20)


def test_two_currencies_are_never_added():
    found = statistics(closed(("Ann", "won", "EUR", 300, 300, 10), ("Ann", "won", "USD", 500, 500, 10)), ["rep"])
    assert dict(found.select("currency", "bookings_minor").iter_rows()) == {"EUR": 300, "USD": 500}


def test_where_nothing_divides_there_is_no_figure():
    found = statistics(closed(("Ann", "lost", "EUR", None, None, None)), ["rep"]).row(0, named=True)
    assert (found["win_rate"], found["average_minor"], found["win_rate_value"], found["velocity_minor"]) == (
        0.0,
        None,
        None,
        None,
    )


CHANGES = {
    "id": pl.Int64,
    "opportunity_id": pl.Int64,
    "field": pl.String,
    "before": pl.String,
    "after": pl.String,
    "effective_on": pl.Date,
}
steps = st.lists(
    st.tuples(
        st.integers(1, 3), st.sampled_from(["stage", "amount", "next_step"]), st.sampled_from(["", "1", "22"]), st.integers(0, 9)
    ),
    max_size=25,
)


@given(steps, st.integers(0, 9))
def test_a_deal_on_a_day_is_what_its_last_changes_say(told, asked):
    start = date(2026, 1, 1)
    rows = [(i, deal, field, "", after, start + timedelta(days=day)) for i, (deal, field, after, day) in enumerate(told)]
    found = state_at(pl.DataFrame(rows, schema=CHANGES, orient="row"), start + timedelta(days=asked))
    expected = {}
    for _, deal, field, _, after, day in sorted(rows, key=lambda r: (r[5], r[0])):
        if day <= start + timedelta(days=asked):
            expected.setdefault(deal, {})[field] = after or None
    wanted = {deal: facts for deal, facts in expected.items() if facts.get("stage")}
    assert set(found["opportunity_id"]) == set(wanted)
    for row in found.to_dicts():
        facts = wanted[row["opportunity_id"]]
        assert (row["stage"], row["next_step"]) == (facts["stage"], facts.get("next_step"))
        assert row["amount"] == (int(facts["amount"]) if facts.get("amount") else None)


DEAL = {"ref": pl.String, "stage": pl.String, "is_closed": pl.Boolean, "category": pl.String, "amount_minor": pl.Int64, "rep_id": pl.Int64, "opened_on": pl.Date, "engaged_on": pl.Date,
        "close_on": pl.Date, "closed_on": pl.Date, "next_step": pl.String, "loss_reason": pl.String, "competitor": pl.String}  # fmt: skip
USUAL = {"new": "pipeline", "talk": "best_case", "won": "closed", "lost": "omitted"}


def past(**facts):
    row = dict.fromkeys(DEAL) | {"ref": "1", "rep_id": 7, "next_step": "", "loss_reason": "", "competitor": ""} | facts
    told = changes_told(pl.DataFrame([row], schema=DEAL), categories=USUAL, entry_stage="new", engaged_stage="talk", known_on=DAY)
    return {(r["field"], r["effective_on"]): r["after"] for r in told.to_dicts()}


def test_what_a_closed_deal_was_worth_is_known_from_its_closing_on():
    opened, engaged, ended = date(2026, 1, 1), date(2026, 1, 9), date(2026, 2, 1)
    told = past(
        stage="won", is_closed=True, category="closed", amount_minor=500, opened_on=opened, engaged_on=engaged, closed_on=ended
    )
    assert told == {
        ("rep", opened): "7", ("stage", opened): "new", ("category", opened): "pipeline", ("stage", engaged): "talk", ("category", engaged): "best_case",
        ("stage", ended): "won", ("category", ended): "closed", ("amount", ended): "500",
    }  # fmt: skip


def test_a_deal_without_any_day_begins_on_the_day_of_the_list():
    told = past(stage="new", is_closed=False, category="pipeline", amount_minor=500)
    assert {day for _, day in told} == {DAY}


def test_the_stage_of_an_open_deal_is_known_on_the_day_of_the_list_where_no_day_tells_it():
    opened = date(2026, 1, 1)
    told = past(stage="talk", is_closed=False, category="commit", opened_on=opened, close_on=date(2026, 6, 1))
    assert (told[("stage", opened)], told[("stage", DAY)]) == ("new", "talk")
    assert (told[("category", opened)], told[("category", DAY)]) == ("pipeline", "commit")
    assert told[("close_on", opened)] == "2026-06-01"


def test_flags_tell_what_nobody_has_looked_after():
    deals = pl.DataFrame(
        {"opportunity_id": [1, 2], "close_on": [date(2026, 3, 1), date(2026, 6, 1)], "next_step": ["", "Call"], "amount_minor": [500, 700], "list_minor": [500, 500]}
    )  # fmt: skip
    rows = [(1, 1, "close_on", "", "2026-01-10", date(2026, 1, 1))]
    rows += [
        (2 + i, 1, "close_on", a, b, date(2026, 1, 2 + i))
        for i, (a, b) in enumerate(
            [
                ("2026-01-10", "2026-01-20"),
                ("2026-01-20", "2026-02-20"),
                ("2026-02-20", "2026-02-10"),
                ("2026-02-10", "2026-03-01"),
            ]
        )
    ]
    rows += [(9, 2, "close_on", "2026-05-01", "2026-06-01", date(2026, 3, 30))]
    found = flags(deals, pl.DataFrame(rows, schema=CHANGES, orient="row"), as_of=DAY).to_dicts()
    assert [found[0][flag] for flag in ("stale", "pushed", "past", "no_next_step", "list_amount", "no_close")] == [True] * 5 + [
        False
    ]
    assert found[0]["pushes"] == 3
    assert not any(found[1][flag] for flag in ("stale", "pushed", "past", "no_next_step", "list_amount", "no_close"))
