"""Stages, health and cohorts on small books whose answers were worked out by hand."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from topline.engine import lifecycle
from topline.kernel.errors import Invalid

D = date(2026, 7, 1)


def bought(*rows: tuple[int, date, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"customer_id": pl.Int64, "on": pl.Date, "amount_minor": pl.Int64}, orient="row")


def monthly(customer: int, first: date, count: int, amount: int = 100) -> list[tuple[int, date, int]]:
    return [(customer, first + timedelta(days=30 * n), amount) for n in range(count)]


def standing(
    purchases: pl.DataFrame, *, health: float | None = None, has_deal: bool = False, customers: tuple[int, ...] = (1,)
) -> dict[int, tuple[str, str]]:
    found = lifecycle.habits(purchases, as_of=D)
    asked = pl.DataFrame({"customer_id": list(customers)}).with_columns(
        has_deal=pl.lit(has_deal), health=pl.lit(health, dtype=pl.Float64)
    )
    told = lifecycle.stages(asked.join(found, on="customer_id", how="left"), as_of=D)
    return {c: (s, b) for c, s, b in told.iter_rows()}


def test_habits_tell_gap_limit_and_silence():
    rows = lifecycle.habits(bought(*monthly(1, date(2026, 1, 1), 5), (1, date(2026, 1, 1), 7), (2, date(2025, 1, 1), 5)), as_of=D)
    one, two = rows.to_dicts()
    assert (one["purchases"], one["gap_days"], one["limit_days"]) == (5, 30.0, 90)
    assert one["quiet_days"] == (D - date(2026, 5, 1)).days == 61
    assert (one["recent_minor"], one["before_minor"]) == (507, 0)  # half a year back from 1 July begins on 1 January
    assert (two["purchases"], two["gap_days"], two["limit_days"]) == (1, None, 365)


def test_a_credit_is_money_but_no_purchase():
    rows = lifecycle.habits(bought((1, date(2026, 3, 1), 500), (1, date(2026, 6, 1), -200), (2, date(2026, 6, 1), -5)), as_of=D)
    assert rows.select("customer_id", "last_on", "year_minor").rows() == [(1, date(2026, 3, 1), 300)]


@pytest.mark.parametrize(
    ("rows", "health", "stage"),
    [
        ([(1, date(2026, 6, 15), 100)], None, "new"),
        ([(1, date(2026, 5, 1), 100)], None, "onboarding"),
        (monthly(1, date(2025, 1, 1), 18), 80.0, "active"),
        (monthly(1, date(2025, 1, 1), 18), 39.9, "at_risk"),
        (monthly(1, date(2025, 1, 1), 13) + monthly(1, date(2026, 1, 26), 5, 200), 80.0, "expanding"),
        (monthly(1, date(2025, 1, 1), 12), 80.0, "churned"),
        ([*monthly(1, date(2025, 1, 1), 6), (1, date(2026, 5, 1), 100)], 80.0, "won_back"),
        ([(1, date(2025, 6, 30), 100)], None, "churned"),
        ([(1, date(2025, 7, 2), 100)], None, "active"),
    ],
)  # fmt: skip
def test_each_stage_by_its_rule(rows, health, stage):
    assert standing(bought(*rows), health=health)[1][0] == stage


def test_who_bought_nothing_is_a_lead_or_a_prospect():
    nothing = bought()
    assert standing(nothing)[1][0] == "lead"
    assert standing(nothing, has_deal=True)[1][0] == "prospect"
    assert standing(bought((1, date(2026, 8, 1), 100)))[1][0] == "lead"  # what comes later is not known


def test_health_weighs_only_what_is_known():
    rows = [
        {"customer_id": 1, "delay_days": 30.0, "overdue_share": 0.25, "quiet_ratio": 2.0, "says": 0.5, "troubles": 1},
        {"customer_id": 2, "delay_days": -3.0, "overdue_share": None, "quiet_ratio": 1.0, "says": None, "troubles": None},
        {"customer_id": 3, "delay_days": 90.0, "overdue_share": None, "quiet_ratio": None, "says": None, "troubles": None},
    ]
    kinds = {"customer_id": pl.Int64, "delay_days": pl.Float64, "overdue_share": pl.Float64, "quiet_ratio": pl.Float64, "says": pl.Float64, "troubles": pl.Int64}  # fmt: skip
    one, two, three = lifecycle.health(pl.DataFrame(rows, schema=kinds)).to_dicts()
    assert (one["pays"], one["owes"], one["buys"], one["says"], one["troubles"]) == (50, 50, 50, 50, 80)
    assert one["health"] == pytest.approx((30 * 50 + 20 * 50 + 25 * 50 + 15 * 50 + 10 * 80) / 100)
    assert two["health"] == 100 and two["owes"] is None
    assert three["pays"] == 0 and three["health"] is None


def test_cohorts_keep_what_they_keep():
    rows = bought(
        (1, date(2025, 7, 5), 100), (1, date(2025, 10, 5), 150), (1, date(2026, 4, 5), 50), (2, date(2025, 8, 5), 300), (2, date(2025, 10, 20), -100), (3, date(2026, 1, 5), 80),
        (4, date(2026, 7, 1), 1),
    )  # fmt: skip
    told = lifecycle.retention(rows, as_of=D)
    cells = {(r["cohort"], r["age"]): (r["customers"], r["active"], r["sales_minor"], r["kept"]) for r in told.to_dicts()}
    q3, q1 = date(2025, 7, 1), date(2026, 1, 1)
    assert cells == {
        (q3, 0): (2, 2, 400, 1.0), (q3, 1): (2, 1, 50, 0.125), (q3, 2): (2, 0, 0, 0.0), (q3, 3): (2, 1, 50, 0.125),
        (q1, 0): (1, 1, 80, 1.0), (q1, 1): (1, 0, 0, 0.0),
    }  # fmt: skip
    assert told["cohort"].max() == q1  # the quarter that is running is no cohort yet
    assert (
        lifecycle.retention(rows, as_of=date(2026, 6, 30)).filter(pl.col("cohort") == q3)["age"].max() == 3
    )  # and this one is over


def test_cohorts_by_something_else_are_refused():
    with pytest.raises(Invalid, match="no cohorts by"):
        lifecycle.retention(bought(), as_of=D, every="week")
