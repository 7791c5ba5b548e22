"""Discounts are allocated to what they concern: an item's to the item, a contract's to all by what each costs alone, a later one to what comes after."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from tests.engine.recognition.test_history import JAN, YEAR_ON, item, once, play
from topline.engine import charges

JUL = date(2026, 7, 1)
OFF = {"discount_id": 1, "contract_id": 1, "only_item_ids": None, "only_product_id": None, "name": "Off", "share_ppm": None, "amount_minor": None, "anchor": JAN, "unit": "once", "every": 1, "periods": 1, "ended_on": None}  # fmt: skip
DEAR = {
    "unit": "year",
    "unit_price_nano": 600_00 * 10**9,
    "low_nano": 75_00 * 10**9,
    "high_nano": 75_00 * 10**9,
    "method": "month",
}  # 900.00 alone


def shares(*items, **off):
    """What each item of a contract is allocated, by its id."""
    _, told = play(items, discounts=pl.DataFrame([OFF | off], schema=charges.DISCOUNTS))
    return dict(told.parts.group_by("item_id").agg(pl.col("amount_minor").sum()).sort("item_id").iter_rows()), told


@pytest.mark.parametrize(("only", "expected"), [(1, (600_00, 480_00)), (2, (720_00, 360_00)), (None, (648_00, 432_00))])
def test_a_discount_of_an_item_lowers_that_item_and_one_of_the_contract_all(only, expected):
    found, _ = shares(item(1, **DEAR), once(2, JAN, 600_00, alone=600_00), amount_minor=120_00, only_item_ids=only and [only])
    assert found == dict(zip((1, 2), expected, strict=True))  # 1,200.00 is 720.00 and 480.00 by what each costs alone


def test_a_discount_that_begins_later_lowers_what_comes_after_and_free_days_share_the_price():
    found, told = shares(
        item(1, unit_price_nano=120_00 * 10**9, free_until=date(2026, 3, 1)),
        amount_minor=60_00,
        anchor=JUL,
        unit="month",
        periods=5,
    )
    assert found == {1: 10 * 120_00 - 5 * 60_00}
    months = dict(told.parts.group_by("start").agg(pl.col("amount_minor").sum()).iter_rows())
    assert [months[date(2026, m, 1)] for m in (1, 6, 7, 12)] == [100_00, 100_00, 50_00, 50_00]


def test_a_trial_that_may_be_left_earns_nothing_and_its_discounts_lower_their_own_periods():
    found, told = shares(
        item(1, end=None, free_until=date(2026, 2, 15)), share_ppm=500_000, anchor=date(2026, 3, 1), unit="month"
    )
    assert told.parts["start"].min() == date(2026, 2, 15)
    assert found == {1: 50_00 + 50_00 + 9 * 100_00}  # half of February, March at half, nine whole months
    assert told.parts.filter(start=date(2026, 3, 1))["amount_minor"].item() == 50_00
    assert YEAR_ON not in told.parts["start"].to_list()
