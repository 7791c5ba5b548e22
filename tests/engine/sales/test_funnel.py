"""The funnel: skipped steps count as passed, a step back undoes nothing, and open deals are counted as still on their way."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.engine.sales.funnel import funnel, raised, times_in_stage

STAGES = pl.DataFrame(
    {"key": ["a", "b", "c", "won", "lost"], "name": ["A", "B", "C", "Won", "Lost"], "position": [0, 1, 2, 3, 4], "kind": ["open", "open", "open", "won", "lost"]}
)  # fmt: skip
START = date(2026, 1, 1)
MOVE = {"opportunity_id": pl.Int64, "stage": pl.String, "entered_on": pl.Date}


def moves(*ways):
    """One deal per way: stages with the day (counted from the start) on which each is entered, such as "a0 b5 won9"."""
    rows = []
    for number, way in enumerate(ways, 1):
        for word in way.split():
            stage = word.rstrip("0123456789")
            rows.append((number, stage, START + timedelta(days=int(word[len(stage) :]))))
    return pl.DataFrame(rows, schema=MOVE, orient="row")


def told(found, column):
    return found[column].to_list()


def test_a_cohort_is_followed_from_step_to_step():
    found = funnel(moves("a0 b1 c2 won3", "a0 b1 lost4", "a0 lost2", "a0", "a0 b3"), STAGES, as_of=START + timedelta(days=30))
    assert told(found, "key") == ["a", "b", "c", "won"]
    assert told(found, "entered") == [5, 3, 1, 1]
    assert told(found, "passed") == [3, 1, 1, 0]
    assert told(found, "lost") == [1, 1, 0, 0]
    assert told(found, "waiting") == [1, 1, 0, 0]
    assert told(found, "conversion") == [3 / 5, 1 / 3, 1.0, None]
    assert told(found, "decided") == [3 / 4, 1 / 2, 1.0, None]


def test_a_skipped_step_counts_as_passed():
    found = funnel(moves("c0 won3", "a0 c2"), STAGES, as_of=START + timedelta(days=30))
    assert told(found, "entered") == [2, 2, 2, 1]


def test_a_step_back_does_not_undo_what_was_passed():
    found = funnel(moves("a0 b1 c2 a5", "a0 b1 a2 lost3"), STAGES, as_of=START + timedelta(days=30))
    assert told(found, "entered") == [2, 2, 1, 0]
    assert (told(found, "waiting"), told(found, "lost")) == ([0, 0, 1, 0], [0, 1, 0, 0])


def test_what_happened_later_is_not_known_and_other_cohorts_do_not_count():
    ways = moves("a0 b10 won20", "a40 b41")
    assert told(funnel(ways, STAGES, as_of=START + timedelta(days=15)), "entered") == [1, 1, 0, 0]
    late = funnel(ways, STAGES, as_of=START + timedelta(days=99), since=START + timedelta(days=30))
    assert told(late, "entered") == [1, 1, 0, 0]
    early = funnel(ways, STAGES, as_of=START + timedelta(days=99), until=START + timedelta(days=30))
    assert told(early, "entered") == [1, 1, 1, 1]


def test_an_open_deal_stays_at_least_so_long():
    """Four deals leave after 2, 4, 6 and 8 days and one is open since 5: the median is 6, where leaving it out would say 5."""
    found = times_in_stage(moves("a0 b2", "a0 b4", "a0 b6", "a0 b8", "a95"), as_of=START + timedelta(days=100))
    row = found.filter(pl.col("stage") == "a").row(0, named=True)
    assert (row["spells"], row["left"], row["median_days"], row["p90_days"]) == (5, 4, 6, 8)


def test_where_half_have_not_left_there_is_no_median():
    found = times_in_stage(moves("a0 b2", "a0", "a0"), as_of=START + timedelta(days=100))
    assert found.filter(pl.col("stage") == "a")["median_days"].to_list() == [None]


def slow_quantile(spells, share):
    """Kaplan-Meier by hand: the first day by whose end no more than `share` are expected to stay."""
    stay = 1.0
    for day in sorted({d for d, left in spells if left}):
        stay *= 1 - sum(1 for d, left in spells if left and d == day) / sum(1 for d, _ in spells if d >= day)
        if stay <= share + 1e-12:
            return day
    return None


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=25))
def test_times_in_stage_agree_with_a_slow_count(spells):
    ways = [f"a{50 - d} b50" if left else f"a{60 - d}" for d, left in spells]
    found = times_in_stage(moves(*ways), as_of=START + timedelta(days=60)).filter(pl.col("stage") == "a").row(0, named=True)
    assert found["median_days"] == slow_quantile(spells, 0.5)
    assert found["p90_days"] == slow_quantile(spells, 0.1)


def test_a_better_step_is_told_in_money_and_in_weeks():
    ways = ["a0 b1 c2 won3"] * 2 + ["a0 b1 lost2"] * 2 + ["a0 lost1"] * 4
    found = funnel(moves(*ways), STAGES, as_of=START + timedelta(days=30))
    better = raised(found, step="a", points=25, average_minor=1_000, weeks_of_cohort=10)
    assert (better.won, better.won_then) == (2.0, 3.0)
    assert (better.more_minor, better.weeks) == (1_000.0, 5.0)
    best = raised(found, step="c", points=25, average_minor=1_000, weeks_of_cohort=10)
    assert best.more_minor == 0.0  # all pass it already
    with pytest.raises(KeyError):
        raised(found, step="won", points=5, average_minor=1_000, weeks_of_cohort=10)
