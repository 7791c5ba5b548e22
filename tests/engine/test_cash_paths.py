"""Cash as a distribution: the quick way agrees with the slow one, and every lever with simulating anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cash_paths import book
from topline.engine import cash_paths, levers, normal
from topline.engine.cash_paths import Book
from topline.kernel.errors import Invalid


def small(amounts=(100, 200), chances=(0.3, 0.9), customers=(1, 2)):
    paid_by = np.tile(np.asarray(chances, dtype=np.float32)[:, None], (1, 3))
    return Book(np.asarray(amounts), np.asarray(customers), paid_by, days=(1, 2, 3))


def test_the_aggregate_has_the_spread_and_mean_of_the_invoices_one_by_one():
    many = book(5_000, customers=400, seed=5)
    quick = cash_paths.simulate(many, paths=4_000, seed=1).received
    slow = cash_paths.one_by_one(many, paths=4_000, common=0.05, shared=0.10, rng=np.random.default_rng(2))
    assert np.abs(quick.std(axis=0) / slow.std(axis=0) - 1).max() < 0.04
    assert np.abs(quick.mean(axis=0) / slow.mean(axis=0) - 1).max() < 0.01
    assert np.abs(np.corrcoef(quick[:, 6], quick[:, 27])[0, 1] - np.corrcoef(slow[:, 6], slow[:, 27])[0, 1]) < 0.03


def test_the_mean_is_what_the_probabilities_say():
    many = book(6_000, customers=300, seed=8)
    mean = cash_paths.simulate(many, paths=4_000, seed=3).received.mean(axis=0)
    assert mean == pytest.approx(many.amounts @ many.paid_by, rel=0.01)


def test_a_few_invoices_come_as_often_as_they_should_and_all_or_nothing():
    received = cash_paths.simulate(small(), paths=20_000, common=0, shared=0, seed=1).received[:, -1]
    assert set(np.unique(received)) <= {0.0, 100.0, 200.0, 300.0}
    assert (received >= 300).mean() == pytest.approx(0.27, abs=0.015)


def test_invoices_of_one_payer_come_together_more_often():
    apart = cash_paths.simulate(small(chances=(0.5, 0.5)), paths=20_000, common=0, shared=0.5, seed=1).received[:, -1]
    same = cash_paths.simulate(small(chances=(0.5, 0.5), customers=(1, 1)), paths=20_000, common=0, shared=0.5, seed=1).received[
        :, -1
    ]
    assert (same == 300).mean() > (apart == 300).mean() + 0.05


def test_a_day_shows_the_same_figures_however_often_it_is_opened():
    seed = cash_paths.seed_of("acme", date(2026, 3, 1))
    assert seed == cash_paths.seed_of("acme", date(2026, 3, 1)) != cash_paths.seed_of("acme", date(2026, 3, 2))
    assert (cash_paths.simulate(small(), seed=seed).received == cash_paths.simulate(small(), seed=seed).received).all()


def test_a_book_with_nothing_in_it_has_no_receipts():
    nothing = Book(np.array([], dtype=np.int64), np.array([], dtype=np.int64), np.zeros((0, 3), dtype=np.float32), days=(1, 2, 3))
    assert not cash_paths.simulate(nothing, paths=10, seed=1).received.any()


def test_dependence_of_one_or_more_is_refused():
    with pytest.raises(Invalid):
        cash_paths.simulate(small(), common=0.6, shared=0.4, seed=1)


@pytest.mark.parametrize(("count", "horizon", "factor"), [(11, 14, 3.0), (11, 15, 2.0), (14, 7, 12.0)])
def test_the_spread_factor_is_learned_from_twelve_snapshots_on(count, horizon, factor):
    misses = list(range(1, count + 1))
    assert cash_paths.spread_factor(misses, [0] * count, [1] * count, horizon_days=horizon) == factor


def test_a_calm_past_never_narrows_the_range():
    assert cash_paths.spread_factor([0.0] * 20, [0.0] * 20, [1.0] * 20, horizon_days=7) == 1.0


def test_widening_keeps_the_median_and_scales_the_range():
    paths = cash_paths.simulate(book(300, customers=40, seed=1), seed=1)
    wide = cash_paths.widened(paths, [2.0] * len(paths.days))
    assert np.median(wide.received, axis=0) == pytest.approx(np.median(paths.received, axis=0))
    assert wide.received.std(axis=0) == pytest.approx(2 * paths.received.std(axis=0))


def test_balances_ranges_and_shortfall_are_read_from_the_futures():
    paths = cash_paths.Paths((1, 2, 3), np.tile([[0.0, 50.0, 100.0]], (10, 1)))
    futures = cash_paths.balances(paths, opening_minor=10, outflows=[(2, 40)])
    assert futures[0].tolist() == [10, 20, 70]
    assert cash_paths.ranges(futures, paths.days)[1] == cash_paths.Range(2, 20, 20, 20)
    assert cash_paths.lowest(futures) == cash_paths.Range(0, 10, 10, 10)
    assert cash_paths.shortfall_probability(futures, 1, need_minor=21) == 1.0
    assert cash_paths.shortfall_probability(futures, 1, need_minor=20) == 0.0


def test_the_lowest_day_is_that_of_the_futures_that_fall_lowest():
    futures = np.array(
        [[10.0, 50.0, 90.0]] * 95 + [[60.0, 40.0, -80.0]] * 15
    )  # most are lowest at once, the worst ones at the end
    assert cash_paths.lowest(futures) == cash_paths.Range(2, -80, 10, 10)


def test_without_a_record_there_is_no_hit_rate():
    assert cash_paths.hit_rate([], [], []) is None
    assert cash_paths.hit_rate([1, 5], [0, 0], [2, 2]) == 0.5


def test_scenarios_change_only_what_they_name():
    base = small()
    assert cash_paths.collections_slip(base, percent=20).paid_by == pytest.approx(base.paid_by * 0.8)
    late = cash_paths.payer_late(base, customer=2, days=2)
    assert late.paid_by[1].tolist() == pytest.approx([0, 0, 0.9], abs=1e-6) and (late.paid_by[0] == base.paid_by[0]).all()
    assert cash_paths.customer_lost(base, customer=2).amounts.tolist() == [100]
    assert base.paid_by[1].tolist() == pytest.approx([0.9] * 3)


def test_the_effect_of_an_action_is_that_of_simulating_anew():
    rng = np.random.default_rng(4)
    amounts = np.exp(rng.normal(9, 1, 300)).astype(np.int64)
    before = rng.uniform(0.05, 0.9, 300)
    after = levers.with_hazard_ratio(before, 1.6)
    draws = rng.random((60_000, 300))
    futures = (draws <= before) @ amounts
    need = int(np.quantile(futures, 0.35))
    truth = [
        ((futures + amounts[i] * ((draws[:, i] <= after[i]) & (draws[:, i] > before[i]))) >= need).mean() for i in range(300)
    ]
    found = levers.effect_of_actions(futures, need_minor=need, amounts=amounts, before=before, after=after)
    change = np.asarray(truth) - (futures >= need).mean()
    assert np.corrcoef(found.change, change)[0, 1] >= 0.98
    assert found.probability == pytest.approx((futures >= need).mean())


def test_when_nothing_is_in_doubt_actions_are_ranked_by_the_distance_to_it():
    futures = np.random.default_rng(1).normal(4_000, 200, 10_000)
    found = levers.effect_of_actions(
        futures, need_minor=5_000, amounts=np.array([10, 100]), before=np.array([0.5, 0.5]), after=np.array([0.6, 0.6])
    )
    assert found.probability < 0.02 and 0 < found.rank_by[0] < found.rank_by[1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.floats(1, 3))
def test_days_saved_is_the_difference_of_expected_days(chances, ratio):
    before = np.sort(np.array([chances]))
    after = levers.with_hazard_ratio(before, ratio)
    days = np.array([2, 5, 9])
    expected = sum(w * (a - b) for w, a, b in zip((2, 3, 4), after[0], before[0], strict=True))
    assert levers.days_saved(before, after, days)[0] == pytest.approx(expected, abs=1e-9)


def test_a_call_is_worth_its_interest_loss_and_payroll_less_its_costs():
    score = levers.call_score(
        amounts=np.array([36_500]), days_saved=np.array([10.0]), yearly_rate=0.1, loss_avoided=np.array([5.0]), change=np.array([0.01]),
        payroll_missed_cost=1_000.0, call_cost=np.array([20.0]), relation_cost=np.array([3.0]),
    )  # fmt: skip
    assert score[0] == pytest.approx(100 + 5 + 10 - 20 - 3)


def test_the_table_of_the_normal_distribution_is_exact_enough():
    from statistics import NormalDist

    exact = [NormalDist().cdf(z) for z in (-3.21, 0.0, 1.234567)]
    assert normal.cdf([-3.21, 0.0, 1.234567]) == pytest.approx(exact, abs=1e-6)
    assert normal.quantile([0, 0.975, 1])[1] == pytest.approx(1.959964, abs=1e-4)


def test_book_columns_of_different_length_are_refused():
    with pytest.raises(Invalid):
        replace(small(), amounts=np.array([1]))
