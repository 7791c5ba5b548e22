"""What should be charged, by hand: whole periods, stubs, prices with parts of a cent, and what is missing after a change."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.engine import charges
from topline.engine.rating import AmountTooLarge

NOTHING = pl.DataFrame(schema={"item_id": pl.Int64, "full_start": pl.Date, "full_end": pl.Date, "start": pl.Date, "end": pl.Date, "net_minor": pl.Int64, "charges": pl.UInt32})  # fmt: skip


def items(*rows: dict) -> pl.DataFrame:
    usual = {"item_id": 1, "start": date(2026, 1, 1), "end": None, "in_advance": True, "anchor": date(2026, 1, 1), "unit": "month", "every": 1, "day": None, "quantity_micro": 10**6, "unit_price_nano": 100_00 * 10**9}  # fmt: skip
    return pl.DataFrame([usual | row for row in rows], schema_overrides={"end": pl.Date, "day": pl.Int64, "every": pl.Int64})


def standing(found: pl.DataFrame) -> pl.DataFrame:
    return found.select("item_id", "full_start", "full_end", "start", "end", "net_minor", charges=pl.lit(1, dtype=pl.UInt32))


def test_in_advance_the_period_that_begins_is_due_and_in_arrears_the_one_that_ended():
    told = charges.desired(items({}, {"item_id": 2, "in_advance": False}), as_of=date(2026, 2, 1))
    assert told.select("item_id", "full_start", "net_minor").rows() == [(1, date(2026, 1, 1), 100_00), (1, date(2026, 2, 1), 100_00), (2, date(2026, 1, 1), 100_00)]  # fmt: skip


def test_a_part_of_a_period_costs_its_days():
    told = charges.desired(items({"start": date(2026, 1, 17), "end": date(2026, 2, 15)}), as_of=date(2026, 3, 1))
    assert told.select("net_minor", "days", "full_days").rows() == [(48_39, 15, 31), (50_00, 14, 28)]


def test_parts_of_a_cent_add_up_to_what_was_agreed():
    third = 100_00 * 10**9 // 3 + 1
    told = charges.desired(items({"unit_price_nano": third, "end": date(2026, 4, 1)}), as_of=date(2026, 12, 1))
    assert told["net_minor"].to_list() == [33_33, 33_34, 33_33]


@given(total=st.integers(1, 10**9), count=st.integers(1, 120))
def test_a_total_shared_over_periods_is_billed_to_the_cent(total, count):
    end = date(2026 + count // 12, 1 + count % 12, 1)
    price = round(total * 10**9 / count) if total < 10**6 else (total * 10**9 + count // 2) // count
    told = charges.desired(items({"unit_price_nano": price, "end": end}), as_of=date(2040, 1, 1))
    assert (told.height, told["net_minor"].sum()) == (count, total)
    assert told["net_minor"].max() - told["net_minor"].min() <= 1


def test_what_stands_is_not_missing_and_a_cut_is_given_back():
    first = charges.missing(charges.desired(items({}), as_of=date(2026, 2, 1)), NOTHING)
    assert first.select("net_minor", "sequence").rows() == [(100_00, 0), (100_00, 0)]
    stands = standing(first)
    assert charges.missing(charges.desired(items({}), as_of=date(2026, 2, 1)), stands).is_empty()
    cut = charges.desired(items({"end": date(2026, 1, 17)}), as_of=date(2026, 2, 1))
    told = charges.missing(cut, stands)
    assert told.select("full_start", "net_minor", "sequence").rows() == [(date(2026, 1, 1), 51_61 - 100_00, 1), (date(2026, 2, 1), -100_00, 1)]  # fmt: skip


def test_what_was_taken_back_is_charged_again_under_the_next_number():
    void = standing(charges.desired(items({}), as_of=date(2026, 1, 1))).with_columns(net_minor=pl.lit(0, dtype=pl.Int64))
    told = charges.missing(charges.desired(items({}), as_of=date(2026, 1, 1)), void)
    assert told.select("net_minor", "sequence").rows() == [(100_00, 1)]


def test_an_item_that_has_not_begun_or_ends_as_it_begins_costs_nothing():
    rows = items({"start": date(2026, 5, 1)}, {"item_id": 2, "end": date(2026, 1, 1)})
    assert charges.desired(rows, as_of=date(2026, 2, 1)).is_empty()


def test_an_amount_beyond_what_can_be_booked_is_refused():
    with pytest.raises(AmountTooLarge):
        charges.desired(items({"quantity_micro": 10**18, "unit_price_nano": 10**18}), as_of=date(2026, 2, 1))
