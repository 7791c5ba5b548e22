"""Win rates, prices and promotions on simulations whose answer is known, and the silence where nothing can be said."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import special

from topline.engine import win_rates
from topline.engine.win_rates import NOT_ENOUGH


def deals(rates: dict[str | None, tuple[int, float]], seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(group, bool(rng.random() < rate)) for group, (n, rate) in rates.items() for _ in range(n)]
    return pl.DataFrame(rows, schema={"group": pl.String, "won": pl.Boolean}, orient="row")


def test_a_strong_competitor_is_shown_and_a_small_one_is_not():
    frame = deals({"strong": (120, 0.15), "usual": (200, 0.45), "other": (200, 0.45), None: (3_000, 0.45)})
    few = pl.DataFrame({"group": ["tiny"] * 3, "won": [False] * 3})
    found = win_rates.by_group(pl.concat([frame, few])).rows.rows_by_key("group", named=True)
    assert found["strong"][0]["claim"] == "loses more"
    assert found["usual"][0]["claim"] is None
    assert (found["tiny"][0]["rate"], found["tiny"][0]["shown"]) == (0.0, False)
    assert found["tiny"][0]["shrunk"] > 0.15
    assert found["tiny"][0]["low"] < found["tiny"][0]["shrunk"] < found["tiny"][0]["high"]


def test_groups_that_differ_by_chance_are_seldom_shown():
    """Of forty alike groups in each of twenty companies, false claims stay rare: in about a tenth of the companies, not in all."""
    claims = [
        win_rates.by_group(deals({f"g{n}": (40, 0.4) for n in range(40)}, seed=seed)).rows["shown"].sum() for seed in range(20)
    ]
    assert sum(c > 0 for c in claims) <= 5


def test_claims_stand_by_the_rule_of_benjamini_and_hochberg():
    p = np.array([0.001, 0.04, 0.03, 0.5, 0.2])
    assert win_rates.not_by_chance(p, share=0.1).tolist() == [True, True, True, False, False]
    assert win_rates.not_by_chance(np.zeros(0)).tolist() == []


def test_names_that_are_only_given_on_losses_are_warned_of():
    frame = pl.DataFrame({"group": ["rival"] * 40 + [None] * 60, "won": [False] * 40 + [True] * 50 + [False] * 10})
    assert "lost deals" in win_rates.by_group(frame).warning
    assert win_rates.by_group(deals({"a": (40, 0.5), "b": (40, 0.5)})).warning == ""
    assert win_rates.by_group(frame.head(0)).rows.height == 0


def priced(*, habit: float, slope: float = -6.0, hard: float = 3.0, n: int = 6_000, seed: int = 4) -> pl.DataFrame:
    """Owners with habits of discounting; hard deals are won less often and get more off. The true slope on log price is known."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 40, n)
    hardness = rng.normal(0, 1, n)
    usual = rng.normal(0, 1, 40) * habit
    off = 0.15 + usual[who] + 0.08 * hardness + 0.02 * rng.normal(0, 1, n)
    price = np.exp(-np.clip(off, 0, 0.9))
    won = rng.random(n) < special.expit(-1.0 + slope * np.log(price) - hard * 0.5 * hardness)
    return pl.DataFrame(
        {"owner": [f"o{w}" for w in who], "won": won, "net_minor": np.rint(1e6 * price).astype(np.int64), "list_minor": 1_000_000}
    )


def test_the_habit_of_owners_uncovers_a_price_effect_that_hard_deals_hide():
    found = win_rates.price_effect(priced(habit=0.06))
    plain = win_rates.price_effect(priced(habit=0.0))
    truth = -6.0 * np.log(0.9)
    assert found is not None and plain is not None
    assert found.is_effect and not plain.is_effect
    assert found.low < truth < found.high or abs(found.per_ten - truth) < 0.25 * truth
    assert "Association" in plain.sentence
    assert plain.per_ten < 0 < found.per_ten  # the plain logit has the wrong sign


def test_too_few_deals_or_one_price_say_nothing_about_price():
    assert win_rates.price_effect(priced(habit=0.06).head(50)) is None
    assert win_rates.price_effect(priced(habit=0.06).with_columns(net_minor=pl.lit(500_000))) is None
    assert win_rates.price_effect(priced(habit=0.06).with_columns(won=pl.lit(True))) is None


def promoted(n: int, *, lift: float, seed: int = 2) -> pl.DataFrame:
    """Promotions are given more often where deals are won anyway: only the comparison within strata is fair."""
    rng = np.random.default_rng(seed)
    easy = rng.random(n) < 0.5
    given = rng.random(n) < np.where(easy, 0.7, 0.2)
    won = rng.random(n) < np.where(easy, 0.6, 0.2) + lift * given
    value = np.exp(rng.normal(10, 0.3, n) + 0.2 * given).astype(np.int64)
    frame = pl.DataFrame({"promoted": given, "won": won, "value_minor": value, "stratum": np.where(easy, "easy", "hard")})
    return frame.with_columns(value_minor=pl.when("won").then("value_minor"))


def test_a_promotion_is_measured_against_comparable_deals():
    rate, size = win_rates.promotion_against_comparable(promoted(4_000, lift=0.1))
    assert rate.low < 0.1 < rate.high and rate.is_told
    assert size.value == pytest.approx(np.expm1(0.2), abs=0.06) and size.is_told
    nothing, _ = win_rates.promotion_against_comparable(promoted(4_000, lift=0.0))
    assert nothing.low < 0 < nothing.high and not nothing.is_told
    assert win_rates.promotion_against_comparable(promoted(20, lift=0.1))[0] == NOT_ENOUGH


def test_what_was_pulled_forward_and_taken_from_other_products_is_not_a_gain():
    rng = np.random.default_rng(1)
    rows = []
    for is_promoted, phases in (
        (True, {"before": (12, 100), "during": (4, 180), "after": (4, 60)}),
        (False, {"before": (12, 300), "during": (4, 270)}),
    ):
        rows += [
            (phase, is_promoted, int(1000 * (mean + rng.normal(0, 3))))
            for phase, (weeks, mean) in phases.items()
            for _ in range(weeks)
        ]
    found = win_rates.promotion_margin(pl.DataFrame(rows, schema=["phase", "promoted", "margin_minor"], orient="row"))
    assert found["lift"].value == pytest.approx(320_000, rel=0.1)
    assert found["pulled_forward"].value == pytest.approx(-160_000, rel=0.1)
    assert found["cannibalised"].value == pytest.approx(-120_000, rel=0.15)
    assert found["net"].value == pytest.approx(40_000, abs=30_000)
    assert found["net"].high - found["net"].low > found["lift"].high - found["lift"].low
    short = pl.DataFrame(rows[:2], schema=["phase", "promoted", "margin_minor"], orient="row")
    assert win_rates.promotion_margin(short)["net"] == NOT_ENOUGH
