"""The schedules of file D: an asset written down by the month, and an invoice spread over days."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from tests.oracles.published import agree, cases
from topline.engine.recognition import schedules

STRAIGHT, DAILY = ([c for c in cases("D") if c["area"] == area] for area in ("schedule.straight_line", "schedule.daily"))


def spread(amount: str, start: date, end: date, method: str) -> pl.DataFrame:
    row = {"obligation_id": 1, "amount_minor": int(float(amount) * 100), "start": start, "end": end, "method": method}
    return schedules.schedule(pl.DataFrame([row]))


@pytest.mark.parametrize("case", STRAIGHT, ids=[c["id"] for c in STRAIGHT])
def test_a_value_is_written_down_to_its_residual_in_equal_months(shared, case):
    given, expected = case["inputs"], case["expected"]
    value, months = float(given["value"]), int(given["months"])
    start = date(2026, 1, 1)
    found = spread(str(value - float(given["residual"])), start, date(start.year + months // 12, 1, 1), "month")
    assert found.height == months
    assert agree(found["amount_minor"][0] / 100, expected["monthly"])
    assert agree(value - found["amount_minor"][:12].sum() / 100, expected["after_12"])
    assert agree(value - found["amount_minor"].sum() / 100, expected["end"])


@pytest.mark.parametrize("year", [2024, 2026])
@pytest.mark.parametrize("case", DAILY, ids=[c["id"] for c in DAILY])
def test_an_invoice_spread_over_days_leaves_the_days_to_come_deferred(shared, case, year):
    given, expected = case["inputs"], case["expected"]
    start = date(year, 1, 1)
    found = spread(given["amount"], start, start + timedelta(days=int(given["days"])), "day")
    left = schedules.deferred(found, as_of=date(year, 12, 31)).row(0, named=True)
    assert (
        float(expected["deferred_after_first_year_min"])
        <= left["remaining_minor"] / 100
        <= float(expected["deferred_after_first_year_max"])
    )
    # the source counts the entry that defers the whole as one more
    assert 1 + found.filter(pl.col("month") < date(year + 1, 1, 1)).height == int(expected["entries_year_1"])
    assert 1 + found.height == int(expected["entries_total"])
    assert agree(left["earned_minor"] + left["remaining_minor"] - found["amount_minor"].sum(), expected["end_balance"])
