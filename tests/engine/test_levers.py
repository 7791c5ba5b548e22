"""Levers on a need: exact for what is sure, that of the call for what is not, never certain, and in an order without ties."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.engine import levers

NEED = 1_000
SCHEMA = {
    "key": pl.String, "amount_minor": pl.Int64, "discount_minor": pl.Int64, "before": pl.Float64, "after": pl.Float64, "cost_minor": pl.Int64,
    "days": pl.Int64, "priority": pl.Int64,
}  # fmt: skip


def table(*rows):
    """One row per lever; what is not named is that of a sure lever without a cost."""
    usual = {"discount_minor": 0, "before": 0.0, "after": 1.0, "cost_minor": 0, "days": 1, "priority": 0}
    return pl.DataFrame([{**usual, "key": str(n), **row} for n, row in enumerate(rows)], schema=SCHEMA)


def weighed(*rows, futures=None):
    paths = np.random.default_rng(3).normal(950, 120, 10_000) if futures is None else np.asarray(futures, dtype=float)
    return levers.ranked(levers.weighed(table(*rows), futures=paths, need_minor=NEED)), paths


def test_what_is_sure_gains_exactly_the_futures_that_it_lifts_over_the_need():
    found, paths = weighed({"amount_minor": 80})
    expected = ((paths + 80) >= NEED).mean() - (paths >= NEED).mean()
    assert found["change"][0] == pytest.approx(expected)
    assert found["cash_minor"][0] == 80
    assert found["percent_after"][0] == round(100 * ((paths + 80) >= NEED).mean())


def test_a_call_gains_what_the_effect_of_an_action_says():
    found, paths = weighed({"amount_minor": 300, "before": 0.4, "after": 0.55})
    same = levers.effect_of_actions(
        paths, need_minor=NEED, amounts=np.array([300]), before=np.array([0.4]), after=np.array([0.55])
    )
    assert found["change"][0] == pytest.approx(float(same.change[0]))
    assert found["cash_minor"][0] == 45


def test_an_offer_gives_the_discount_to_those_who_would_have_paid_anyway():
    rng = np.random.default_rng(8)
    other, draw = rng.normal(950, 120, 400_000), rng.random(400_000)
    paths = other + 80 * (draw < 0.5)
    truth = ((other + 70 * (draw < 0.8)) >= NEED).mean() - (paths >= NEED).mean()
    found, _ = weighed({"amount_minor": 80, "discount_minor": 10, "before": 0.5, "after": 0.8}, futures=paths)
    assert found["change"][0] == pytest.approx(truth, abs=0.01)
    assert found["cash_minor"][0] == round(0.8 * 70 - 0.5 * 80)
    free, _ = weighed({"amount_minor": 80, "before": 0.5, "after": 0.8}, futures=paths)
    assert free["change"][0] > found["change"][0]


def test_the_cheapest_way_for_a_point_comes_first_and_each_order_is_its_own():
    found, _ = weighed(
        {"amount_minor": 200, "cost_minor": 90, "days": 9},
        {"amount_minor": 40, "cost_minor": 4, "days": 5},
        {"amount_minor": 60, "cost_minor": 0, "days": 7, "priority": 2},
        {"amount_minor": 30, "cost_minor": 0, "days": 8, "priority": 1},
    )
    assert found.sort("by_cost")["key"].to_list() == [
        "3",
        "2",
        "1",
        "0",
    ]  # free ones first, what strains least before what gains more
    assert found.sort("by_effect")["key"].to_list() == ["0", "2", "1", "3"]
    assert found.sort("by_days")["key"].to_list() == ["1", "2", "3", "0"]


def test_when_all_is_lost_levers_are_told_apart_by_the_distance_to_the_need():
    found, _ = weighed({"amount_minor": 10}, {"amount_minor": 500}, futures=np.linspace(0, 100, 1_000))
    assert found["change"].to_list() == [0, 0]
    assert 0 < found["rank_by"][0] < found["rank_by"][1]
    assert found["percent_after"].to_list() == [1, 1]
    assert found.sort("by_effect")["key"].to_list() == ["1", "0"]


def test_no_lever_and_no_doubt_are_fine():
    found, _ = weighed()
    assert found.height == 0 and {"by_cost", "by_effect", "by_days"} <= set(found.columns)
    sure, _ = weighed({"amount_minor": 10}, futures=[5_000] * 100)
    assert sure["percent_after"].to_list() == [99]


ROW = st.fixed_dictionaries(
    {
        "amount_minor": st.integers(1, 3_000), "before": st.floats(0, 1), "after": st.floats(0, 1), "cost_minor": st.integers(0, 3),
        "days": st.integers(0, 3), "priority": st.integers(0, 1), "discount_minor": st.integers(0, 5),
    }
)  # fmt: skip
PATHS = st.lists(st.integers(0, 2_000), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(st.lists(ROW, max_size=6), PATHS)
def test_every_order_is_total_and_nothing_is_ever_certain(rows, paths):
    found, _ = weighed(*rows, futures=paths)
    for name in levers.ORDERS:
        assert sorted(found[f"by_{name}"].to_list()) == list(range(len(rows)))
    assert all(1 <= p <= 99 for p in found["percent_after"])
    backwards = levers.ranked(levers.weighed(table(*rows).reverse(), futures=np.array(paths, dtype=float), need_minor=NEED))
    for name in levers.ORDERS:
        assert backwards.sort(f"by_{name}")["key"].to_list() == found.sort(f"by_{name}")["key"].to_list()


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5_000), PATHS)
def test_a_sure_lever_never_lowers_the_odds_and_a_larger_one_never_gains_less(amount, paths):
    found, _ = weighed({"amount_minor": amount}, {"amount_minor": amount + 100}, futures=paths)
    assert 0 <= found["change"][0] <= found["change"][1]
    assert found["rank_by"][0] >= 0
