"""What customers will still buy, on made-up customers whose habits are known."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from topline.engine import customer_value
from topline.engine.customer_value import Buying, Spending
from topline.kernel.errors import Invalid

TRUE, WORTH = Buying(0.6, 8.0, 1.2, 4.0), Spending(6.0, 4.0, 6_000.0)
START = date(2024, 1, 1)


def drawn(customers: int, *, weeks: int = 60, seed: int = 3) -> tuple[pl.DataFrame, np.ndarray]:
    """Purchases of customers who all begin on one day and live by the models: their table, and purchases of the 40 weeks after."""
    rng = np.random.default_rng(seed)
    rows, later = [], np.zeros(customers)
    for n in range(customers):
        rate, leaves = rng.gamma(TRUE.r) / TRUE.alpha, rng.beta(TRUE.a, TRUE.b)
        mean = WORTH.p / rng.gamma(WORTH.q) * WORTH.v
        rows.append((n, START, int(rng.gamma(WORTH.p) / WORTH.p * mean) + 1))
        t = 0.0
        while True:
            t += rng.exponential(1 / rate)
            if t > weeks + 40:
                break
            if t <= weeks:
                rows.append((n, START + timedelta(days=int(np.ceil(t * 7))), int(rng.gamma(WORTH.p) / WORTH.p * mean) + 1))
            else:
                later[n] += 1
            if rng.random() < leaves:
                break
    purchases = pl.DataFrame(rows, schema=["customer", "on", "amount_minor"], orient="row")
    return customer_value.summary(purchases, until=START + timedelta(days=weeks * 7)), later


def test_several_purchases_of_a_day_are_one_and_the_first_is_no_repeat():
    day = lambda n: START + timedelta(days=n)  # noqa: E731
    rows = [
        ("a", day(0), 100),
        ("a", day(0), 50),
        ("a", day(7), 30),
        ("a", day(7), 10),
        ("a", day(21), 60),
        ("a", day(99), 1),
        ("b", day(70), 5),
    ]
    found = customer_value.summary(pl.DataFrame(rows, schema=["customer", "on", "amount_minor"], orient="row"), until=day(70))
    assert found.rows() == [("a", 2, 3.0, 10.0, 50.0), ("b", 0, 0.0, 0.0, None)]


def test_known_habits_are_found_again_and_foresee_what_came():
    rows, later = drawn(4_000)
    x, t_x, age = (rows[c].to_numpy().astype(float) for c in ("x", "t_x", "age"))
    found = customer_value.fit_buying(rows)
    assert found.r / found.alpha == pytest.approx(TRUE.r / TRUE.alpha, rel=0.2)
    to_come = found.to_come(x, t_x, age, t=40.0)
    assert to_come.sum() == pytest.approx(later.sum(), rel=0.08)
    assert np.abs(to_come - later).mean() < np.abs(x * 40 / 60 - later).mean()
    back = rows.filter(pl.col("x") > 0)
    spending = customer_value.fit_spending(back["x"].to_numpy().astype(float), back["mean_minor"].to_numpy())
    assert spending.v * spending.p / (spending.q - 1) == pytest.approx(WORTH.v * WORTH.p / (WORTH.q - 1), rel=0.1)


def test_a_value_has_an_interval_grows_with_time_and_shrinks_with_discount():
    rows, later = drawn(1_000)
    told = lambda units, rate: customer_value.lifetime_value(rows, TRUE, WORTH, units=units, discount_per_unit=rate, seed=1)  # noqa: E731
    short, long, dear = told(10, 0.0), told(40, 0.0), told(40, 0.01)
    assert (short["value_minor"] <= long["value_minor"]).all()
    assert (dear["value_minor"] <= long["value_minor"]).all()
    assert (long["p10_minor"] <= long["p90_minor"]).all()
    assert long.equals(told(40, 0.0))
    back = rows["x"].to_numpy() > 1
    worth = WORTH.mean(rows["x"].to_numpy().astype(float), rows["mean_minor"].fill_null(0.0).to_numpy())
    inside = (later * worth <= long["p90_minor"].to_numpy() + 1) & (later * worth >= long["p10_minor"].to_numpy() - 1)
    assert inside[back].mean() > 0.75


def test_chances_of_counts_sum_to_one_and_agree_with_their_mean():
    chances = np.array([TRUE.chance_of(n, 30.0) for n in range(120)])
    assert chances.sum() == pytest.approx(1, abs=1e-6)
    assert chances @ np.arange(120) == pytest.approx(float(TRUE.expected(30.0)), abs=1e-3)


def test_too_few_customers_or_no_repeats_are_refused():
    rows, _ = drawn(60)
    with pytest.raises(Invalid):
        customer_value.fit_buying(rows.head(10))
    with pytest.raises(Invalid):
        customer_value.fit_buying(rows.with_columns(x=pl.lit(0)))
    with pytest.raises(Invalid):
        customer_value.fit_spending(np.ones(60), np.zeros(60))
