"""Charges by quantity against a slow reading of the same rules, one charge at a time."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.engine import rating
from topline.engine.rating import prices as price_tables

D = Decimal
quantities = st.decimals(min_value=0, max_value=10_000, places=6)
money = st.decimals(min_value=0, max_value=5_000, places=4)


@st.composite
def tier_tables(draw, *, fees: bool = True):
    edges = sorted(draw(st.sets(st.integers(1, 5_000), max_size=4)))
    bounds = list(zip([0, *edges], [*edges, None], strict=True))
    return [
        {
            "price_id": 1, "lower": D(low), "upper": None if high is None else D(high), "unit_price": draw(money),
            "flat_fee": draw(money) if fees else D(0), "block_size": D(draw(st.integers(1, 50))) if draw(st.booleans()) and fees else None,
        }
        for low, high in bounds
    ]  # fmt: skip


def frame(rows: list[dict]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema_overrides={"upper": pl.Decimal(38, 15), "block_size": pl.Decimal(38, 15)})


def sold(units: Decimal, block: Decimal | None) -> Decimal:
    return units if block is None else (units / block).to_integral_value(ROUND_CEILING)


def slowly(model: str, tiers: list[dict], quantity: Decimal) -> Decimal:
    total = D(0)
    for tier in tiers:
        low, high = tier["lower"], tier["upper"]
        entered = quantity > low or (low == 0 == quantity)
        if model == "graduated" and entered:
            units = min(quantity, high if high is not None else quantity) - low
            total += sold(units, tier["block_size"]) * tier["unit_price"] + tier["flat_fee"]
        if model == "volume" and entered and (high is None or quantity <= high):
            total += sold(quantity, tier["block_size"]) * tier["unit_price"] + tier["flat_fee"]
    return total


def rated(model: str, tiers: list[dict], amounts: list[Decimal], **more) -> rating.Rated:
    charges = pl.DataFrame({"charge_id": range(len(amounts)), "price_id": 1, "quantity": amounts})
    return rating.rate(charges, prices=pl.DataFrame({"price_id": [1], "model": [model], **more}), tiers=frame(tiers))


@settings(max_examples=60, deadline=None)
@given(tier_tables(), st.lists(quantities, min_size=1, max_size=6), st.sampled_from(["graduated", "volume"]))
def test_a_frame_of_charges_is_priced_as_each_alone_by_hand(tiers, amounts, model):
    found = rated(model, tiers, amounts)
    expected = [slowly(model, tiers, q) for q in amounts]
    assert found.lines["exact"].to_list() == expected
    assert found.lines["amount_minor"].to_list() == [int(e.quantize(D(1), ROUND_HALF_UP)) for e in expected]


@settings(max_examples=40, deadline=None)
@given(tier_tables(), st.lists(quantities, min_size=1, max_size=6), st.sampled_from(["graduated", "volume"]))
def test_the_rows_of_a_charge_and_its_rounding_add_up_to_what_is_billed(tiers, amounts, model):
    found = rated(model, tiers, amounts, minimum=[D(700)], cap=[D(90_000)])
    by_charge = dict(found.rows.group_by("charge_id").agg(pl.col("exact").sum()).iter_rows())
    for line in found.lines.iter_rows(named=True):
        assert by_charge[line["charge_id"]] == line["exact"]
        assert line["exact"] + line["rounding"] == line["amount_minor"]
        assert 700 <= line["exact"] <= 90_000


@settings(max_examples=40, deadline=None)
@given(tier_tables(fees=False))
def test_graduated_prices_without_fees_do_not_jump_at_an_edge(tiers):
    step = D("0.000001")
    for edge in (t["upper"] for t in tiers if t["upper"] is not None):
        at, above = rated("graduated", tiers, [edge, edge + step]).lines["exact"].to_list()
        assert 0 <= above - at <= step * max(t["unit_price"] for t in tiers)


@settings(max_examples=40, deadline=None)
@given(tier_tables(fees=False), quantities)
def test_volume_never_costs_more_than_graduated_when_prices_fall(tiers, quantity):
    falling = sorted((t["unit_price"] for t in tiers), reverse=True)
    tiers = [t | {"unit_price": p} for t, p in zip(tiers, falling, strict=True)]
    volume, graduated = (rated(m, tiers, [quantity]).lines["exact"][0] for m in ("volume", "graduated"))
    assert volume <= graduated


def test_a_charge_without_price_or_tier_is_left_open_and_never_billed_at_zero():
    charges = pl.DataFrame({"charge_id": [1, 2, 3], "price_id": [7, 8, 9], "quantity": [D(3)] * 3})
    prices = pl.DataFrame(
        {"price_id": [7, 8], "model": ["graduated", "per_unit"], "unit_price": pl.Series([None, None], dtype=pl.Decimal(38, 15))}
    )
    assert rating.rate(charges, prices=prices).lines["amount_minor"].to_list() == [None, None, None]


@pytest.mark.parametrize("quantity", [10**11, 10**15])
def test_an_amount_too_large_to_book_is_refused_and_never_wraps_around(quantity):
    charges = pl.DataFrame({"charge_id": [1], "price_id": [1], "quantity": [quantity]})
    prices = pl.DataFrame({"price_id": [1], "model": ["per_unit"], "unit_price": [D(10**9)]})
    with pytest.raises(rating.AmountTooLarge):
        rating.rate(charges, prices=prices)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({1: {"lower": D(11)}}, "gap"), ({1: {"lower": D(9)}}, "overlap"), ({0: {"lower": D(1)}}, "first_not_zero"), ({1: {"upper": D(30)}}, "end_missing"),
        ({1: {"unit_price": D(-1)}}, "negative_price"), ({0: {"upper": D(0)}}, "empty"),
    ],
)  # fmt: skip
def test_tiers_that_cannot_be_read_are_named(change, problem):
    tiers = [
        {"price_id": 1, "lower": D(0), "upper": D(10), "unit_price": D(2), "flat_fee": D(0), "block_size": None},
        {"price_id": 1, "lower": D(10), "upper": None, "unit_price": D(1), "flat_fee": D(0), "block_size": None},
    ]
    assert rating.tier_problems(frame(tiers)).is_empty()
    broken = [t | change.get(n, {}) for n, t in enumerate(tiers)]
    assert problem in rating.tier_problems(frame(broken))["problem"].to_list()


def test_a_matrix_answers_by_properties_then_by_default_then_not_at_all():
    charges = pl.DataFrame(
        {"charge_id": [1, 2, 3], "region": ["eu", "us", "us"], "default_price_id": pl.Series([9, 9, None], dtype=pl.Int64)}
    )
    matrix = pl.DataFrame({"region": ["eu"], "price_id": pl.Series([4], dtype=pl.Int64)})
    assert price_tables.match_prices(charges, matrix, by=["region"])["price_id"].to_list() == [4, 9, None]


def test_units_that_only_come_are_rated_like_one_charge_of_their_sum():
    tiers = [
        {"price_id": 1, "lower": D(0), "upper": D(5), "unit_price": D(10), "flat_fee": D(100), "block_size": None},
        {"price_id": 1, "lower": D(5), "upper": None, "unit_price": D(5), "flat_fee": D(50), "block_size": None},
    ]
    moves = pl.DataFrame({"charge_id": 0, "price_id": 1, "units": [D(3), D(4)], "prorated": [D(3), D(4)]})
    assert (
        rating.rate_movements(moves, tiers=frame(tiers)).lines["exact"][0] == rated("graduated", tiers, [D(7)]).lines["exact"][0]
    )
