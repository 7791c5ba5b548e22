"""Quotas: shares that lean on history as far as it means something, splits that add up, and what is said about being on the way."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.engine import quotas
from topline.kernel.errors import Invalid

Q1 = {"start": date(2026, 1, 1), "end": date(2026, 4, 1)}


def past(*, own: list[float], noise: float, periods: int = 12, seed: int = 1) -> pl.DataFrame:
    """Bookings of owners over periods: each has a level of its own, and luck."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"o{n}", t, int(1e6 * max(level + noise * rng.normal(), 0.01))) for n, level in enumerate(own) for t in range(periods)
    ]
    return pl.DataFrame(rows, schema=["owner", "period", "won_minor"], orient="row")


def owners(count: int, **columns) -> pl.DataFrame:
    filled = {"potential": 1.0, "ramp": 1.0, "capacity": 1.0, "history": None, "weight": None, **columns}
    return pl.DataFrame(
        {"owner": [f"o{n}" for n in range(count)], **filled}, schema_overrides={"history": pl.Float64, "weight": pl.Float64}
    )


def test_history_counts_where_owners_differ_and_not_where_luck_does():
    apart = quotas.history_weights(past(own=[1, 2, 4, 8], noise=0.2))
    alike = [quotas.history_weights(past(own=[3.0] * 12, noise=2.0, seed=seed))["weight"].mean() for seed in range(20)]
    assert apart["weight"].min() > 0.95
    assert np.mean(alike) < 0.3
    assert quotas.history_weights(past(own=[5.0], noise=0.1))["history"].to_list() == [1.0]


def test_more_periods_of_history_count_for_more():
    rows = past(own=[1, 2, 3, 4], noise=1.0, periods=12).filter((pl.col("owner") != "o3") | (pl.col("period") > 9))
    found = dict(quotas.history_weights(rows).select("owner", "weight").iter_rows())
    assert found["o3"] < found["o0"]


@given(
    target=st.integers(0, 10**13),
    buffer=st.integers(0, 300_000),
    rows=st.lists(
        st.tuples(st.floats(0.1, 1e6), st.floats(0, 1), st.floats(0.1, 1), st.floats(0, 1), st.floats(0, 1)),
        min_size=1,
        max_size=12,
    ),
)
def test_quotas_always_add_up_to_the_target_and_its_buffer(target, buffer, rows):
    columns = dict(zip(("potential", "ramp", "capacity", "history", "weight"), zip(*rows, strict=True), strict=True))
    frame = owners(len(rows), **columns).with_columns(pl.col("ramp") + 0.01)
    found = quotas.quotas(target, frame, buffer_ppm=buffer)
    assert abs(found["quota_minor"].sum() - target * (1_000_000 + buffer) / 1_000_000) <= 0.5
    assert (found["quota_minor"] >= 0).all()


def test_a_newcomer_is_judged_by_the_territory_and_ramp_and_half_a_post_carries_half():
    frame = owners(3, potential=[2.0, 1.0, 1.0], ramp=[1.0, 0.5, 1.0], capacity=[1.0, 1.0, 0.5])
    assert quotas.quotas(300, frame)["quota_minor"].to_list() == [200, 50, 50]


def test_nobody_to_carry_a_target_is_refused():
    for frame in (owners(0), owners(2, capacity=0.0), owners(2, potential=-1.0)):
        with pytest.raises(Invalid):
            quotas.quotas(100, frame)


@given(target=st.integers(0, 10**12), weights=st.lists(st.integers(1, 1_000), min_size=1, max_size=9))
def test_every_level_of_a_split_adds_up_to_the_level_above(target, weights):
    rows = [("north", "acme", 3), ("south", "acme", 2)]
    rows += [(f"p{n}", "north" if n % 2 else "south", w) for n, w in enumerate(weights)]
    found = quotas.split_down(
        pl.DataFrame(rows, schema=["member", "parent", "weight"], orient="row"), root="acme", target_minor=target
    )
    given_to = dict(found.select("member", "target_minor").iter_rows()) | {"acme": target}
    for parent, amount in found.group_by("parent").agg(pl.col("target_minor").sum()).iter_rows():
        assert amount == given_to[parent]


def test_a_tree_with_a_cycle_a_gap_or_two_parents_is_refused():
    for rows in ([("a", "b", 1), ("b", "a", 1)], [("a", "acme", 1), ("b", "elsewhere", 1)], [("a", "acme", 1), ("a", "b", 1)]):
        with pytest.raises(Invalid):
            quotas.split_down(
                pl.DataFrame(rows, schema=["member", "parent", "weight"], orient="row"), root="acme", target_minor=100
            )


def test_joiners_leavers_and_movers_carry_their_days():
    assert quotas.prorated(9_000, **Q1, joined=date(2026, 3, 1)) == 3_100
    assert quotas.prorated(9_000, **Q1, left=date(2026, 1, 31)) == 3_000
    whole = sum(quotas.prorated(9_000, **Q1, **part) for part in ({"left": date(2026, 2, 11)}, {"joined": date(2026, 2, 11)}))
    assert whole == 9_000
    assert quotas.prorated(9_000, **Q1, left=date(2025, 12, 1)) == 0


def test_a_ramp_rises_month_by_month_to_full():
    curve = [0.0, 0.5]
    assert quotas.ramp(curve, joined=date(2025, 6, 1), **Q1) == 1.0
    assert quotas.ramp(curve, joined=date(2026, 1, 1), **Q1) == pytest.approx((0 * 30 + 0.5 * 30 + 30) / 90)
    assert quotas.ramp(curve, joined=date(2026, 6, 1), **Q1) == 0.0


def test_attainment_pace_and_what_is_left():
    rows = pl.DataFrame({"quota_minor": [1_000, 1_000, 0], "won_minor": [500, 1_500, 10]})
    half = quotas.attainment(rows, **Q1, today=date(2026, 2, 15))
    assert half["attainment"].to_list() == [0.5, 1.5, None]
    assert half["pace"].to_list() == [1.0, 3.0, None]
    assert half["remaining_minor"].to_list() == [500, 0, 0]
    assert half["on_pace_minor"].to_list() == [1_000, 3_000, 20]
    first = quotas.attainment(rows, **Q1, today=date(2026, 1, 1))
    assert first["pace"].null_count() == first["on_pace_minor"].null_count() == 3


def test_a_quota_at_the_attainable_figure_is_reached_six_times_in_ten():
    futures = np.random.default_rng(3).gamma(4, 100, (5_000, 2))
    told = quotas.projected(futures, [300, 0])
    again = quotas.projected(futures, told["attainable_minor"].to_list())
    assert again["p_attain"].to_list() == pytest.approx([0.6, 0.6], abs=0.02)
    assert told["attainment"][1] is None
    assert quotas.projected(futures, [10**9, 1])["p_attain"].to_list() == [0.01, 0.99]


def test_coverage_asks_for_one_over_the_win_rate_of_what_remains():
    rows = pl.DataFrame(
        {"segment": ["large", "small", "new", "done"], "remaining_minor": [100, 100, 100, 0], "open_minor": [300, 300, 300, 50], "win_rate": [0.14, 0.38, None, 0.5]}
    )  # fmt: skip
    found = quotas.coverage(rows)
    assert found["needed"].round(2).to_list() == [7.14, 2.63, None, 2.0]
    assert found["coverage"].to_list() == [3.0, 3.0, 3.0, None]
    assert found["gap_minor"].to_list() == [414, 0, None, 0]


def test_quotas_that_follow_the_territory_are_called_unfair():
    potential = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert quotas.fairness(pl.DataFrame({"attainment": potential, "potential": potential})).fair is False
    assert quotas.fairness(pl.DataFrame({"attainment": [1.0, 0.9, 1.1, 1.1, 0.9, 1.0], "potential": potential})).fair is True
    assert quotas.fairness(pl.DataFrame({"attainment": [1.0, 2.0], "potential": [1.0, 2.0]})).fair is None
    assert quotas.over_assignment([60, 50], target_minor=100) == pytest.approx(1.1)
    assert quotas.over_assignment([60], target_minor=0) is None
