"""What each way to deal with a large debt brings by when, and what it does to a payroll."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.engine import large_debt, options
from topline.engine.large_debt import Assumption

WAITING = ((10, 0.2), (40, 0.3))


def test_a_way_brings_half_by_its_days_and_what_it_fails_to_bring_comes_as_by_waiting():
    option = large_debt.as_option(Assumption("call", 0.4, 20), waiting=WAITING)
    assert large_debt.expected_by(option, debt_minor=1000, days=[9, 10, 20, 40]) == [0, 100 + 120, 300 + 120, 400 + 300]
    (worth,) = options.evaluated([option], debt_minor=1000, yearly_percent=0, need_in_days=20)
    assert (worth.by_need_minor, worth.expected_minor, worth.value_minor) == (420, 700, 700)


def test_what_comes_on_top_of_waiting_is_never_later_than_waiting():
    option = large_debt.as_option(Assumption("call", 0.4, 20, adds=True), waiting=WAITING)
    by = large_debt.expected_by(option, debt_minor=1000, days=[9, 10, 20, 40])
    assert by == [0, 280, 440, 700]  # 1 - 0.9 x 0.8, 1 - 0.7 x 0.8, 1 - 0.6 x 0.5
    assert option.otherwise == ()


def test_what_is_given_away_does_not_come_by_waiting():
    option = large_debt.as_option(Assumption("agency", 0.6, 60, cost_percent=25, waits=False), waiting=WAITING)
    assert large_debt.expected_by(option, debt_minor=1000, days=[40, 1000]) == [112, 450]


def test_a_plan_comes_in_parts_and_an_advance_takes_the_larger_part_first():
    assert Assumption("plan", 1, 10, parts=4, every_days=30).pieces() == [(0, 0.25), (30, 0.25), (60, 0.25), (90, 0.25)]
    first, second = Assumption("factoring", 1, 10, parts=2, every_days=60, first=0.85).pieces()
    assert (first, second[0], round(second[1], 10)) == ((0, 0.85), 60, 0.15)


@given(
    chance=st.floats(0, 1), days=st.integers(0, 200), parts=st.integers(1, 6), share=st.floats(0, 1), by=st.integers(0, 400), waits=st.booleans(), adds=st.booleans()
)  # fmt: skip
def test_outcomes_are_a_distribution_whose_mean_is_what_is_expected(chance, days, parts, share, by, waits, adds):
    assumed = Assumption("x", chance, days, share=share, parts=1 if adds else parts, waits=waits, adds=adds)
    found = large_debt.outcomes(assumed, debt_minor=1_000_000, by_day=by, waiting=WAITING)
    assert sum(p for p, _ in found) == pytest.approx(1)
    assert all(p >= 0 for p, _ in found)
    (expected,) = large_debt.expected_by(large_debt.as_option(assumed, waiting=WAITING), debt_minor=1_000_000, days=[by])
    assert sum(p * a for p, a in found) == pytest.approx(expected, abs=6)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30), st.integers(0, 150), st.floats(0, 1), st.integers(0, 100))
def test_the_odds_of_a_payroll_are_those_counted_future_by_future(stands, need, p, brings):
    futures = np.sort(np.array(stands, dtype=float))
    slow = sum((1 - p) * (s >= need) + p * (s + brings >= need) for s in stands) / len(stands)
    told = large_debt.covered(futures, need_minor=need, outcomes=[(1 - p, 0), (p, brings)])
    assert told == pytest.approx(slow)


def test_own_outcomes_move_what_was_assumed():
    assert round(100 * large_debt.learned(0.40, won=3, tried=5)) == 46
    assert large_debt.learned(0.40, won=0, tried=0) == pytest.approx(0.40)
    assert large_debt.learned(0.40, won=900, tried=1000) == pytest.approx(0.9, abs=0.01)
