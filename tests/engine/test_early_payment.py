"""To whom a discount is offered: the cheapest set on small cases, and never far from it on large ones."""

from __future__ import annotations

import itertools
from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from topline.engine import early_payment
from topline.kernel.errors import Invalid

BY = date(2026, 12, 1)
offers = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 400)), min_size=1, max_size=9)  # gain, cost


def rows(pairs):
    """Candidates whose gain and cost are these: certain to take the offer, never paid in time without it."""
    return pl.DataFrame(
        {
            "invoice_id": list(range(len(pairs))),
            "amount_minor": [gain + cost for gain, cost in pairs],
            "discount_minor": [cost for _, cost in pairs],
            "lift": 1.0,
            "baseline": 0.0,
        }
    )


def brute(pairs, needed):
    """The least that any set costs which gains enough, set by set."""
    sets = itertools.chain.from_iterable(itertools.combinations(pairs, n) for n in range(len(pairs) + 1))
    return min((sum(c for _, c in chosen) for chosen in sets if sum(g for g, _ in chosen) >= needed), default=None)


@given(offers, st.integers(1, 2000))
def test_of_few_candidates_the_cheapest_set_of_all_is_chosen(pairs, needed):
    chosen = early_payment.cheapest_offers(rows(pairs), needed_minor=needed, by=BY)
    best = brute(pairs, needed)
    if best is None:
        assert chosen.height == len(pairs)  # even all of them do not suffice
    else:
        assert (int(chosen["cost_minor"].sum()), int(chosen["gain_minor"].sum()) >= needed) == (best, True)


@given(offers, st.integers(1, 2000))
def test_of_many_candidates_the_set_costs_at_most_one_offer_more_than_the_cheapest(pairs, needed):
    ranked = sorted(pairs, key=lambda p: p[1] / p[0])
    gains, costs = (np.array([p[n] for p in ranked]) for n in (0, 1))
    if gains.sum() < needed:
        return
    taken = early_payment._greedy(gains, costs, needed)
    assert gains[taken].sum() >= needed
    assert brute(pairs, needed) <= costs[taken].sum() <= brute(pairs, needed) + costs.max()


@given(offers, st.integers(1, 2000))
def test_if_the_last_offer_could_be_taken_in_part_the_order_is_the_optimum_of_a_linear_programme(pairs, needed):
    ranked = sorted(pairs, key=lambda p: p[1] / p[0])
    left, cost = float(needed), 0.0
    for gain, price in ranked:
        part = min(1.0, left / gain)
        cost, left = cost + part * price, left - part * gain
    if left > 1e-9:
        return
    best = linprog([p[1] for p in pairs], A_ub=[[-p[0] for p in pairs]], b_ub=[-needed], bounds=(0, 1))
    assert cost == pytest.approx(best.fun, abs=1e-6)


def test_who_would_have_paid_anyway_costs_the_discount_and_gains_nothing():
    frame = pl.DataFrame(
        {"invoice_id": [1, 2], "amount_minor": [100_00, 100_00], "discount_minor": [2_00, 2_00], "lift": [0.05, 0.4], "baseline": [0.9, 0.1]}
    )  # fmt: skip
    (row,) = early_payment.cheapest_offers(frame, needed_minor=30_00, by=BY).to_dicts()
    assert (row["invoice_id"], row["gain_minor"], row["cost_minor"]) == (2, 98_00 * 4 // 10 - 20, 1_00)


def test_nothing_is_offered_where_nothing_is_needed():
    assert early_payment.cheapest_offers(rows([(10, 1)]), needed_minor=0, by=BY).is_empty()


def test_the_yearly_cost_of_a_discount_in_money():
    told = early_payment.cost_of_discount(amount_minor=100_00, discount_minor=2_00, days_early=20)
    assert told.quantize(Decimal("0.1")) == Decimal("37.2")  # 2/10 net 30
    worth = early_payment.discount_worth(amount_minor=100_000_00, days_early=20, yearly_percent=told)
    assert worth == 2_000_00
    for wrong in ({"discount_minor": 100_00}, {"discount_minor": 0}, {"days_early": 0}):
        with pytest.raises(Invalid):
            early_payment.cost_of_discount(**{"amount_minor": 100_00, "discount_minor": 2_00, "days_early": 20, **wrong})
