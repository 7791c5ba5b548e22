"""File E's recurring revenue and retention; cost of winning, lifetime value and sales velocity wait for their rooms."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from tests.oracles.published import agree, cases
from topline.engine import charges
from topline.engine import recurring_revenue as mrr
from topline.engine.documents import EXACT

Inputs = dict[str, Any]
D = Decimal
JAN, FEB = date(2026, 1, 31), date(2026, 2, 28)
EVERY = {"daily": ("day", 1), "weekly": ("week", 1), "monthly": ("month", 1), "quarterly": ("quarter", 1), "semiannual": ("month", 6), "yearly": ("year", 1)}  # fmt: skip
SCHEMA: dict[str, Any] = {
    "item_id": pl.Int64, "contract_id": pl.Int64, "product_id": pl.Int64, "customer_id": pl.Int64, "currency": pl.String, "start": pl.Date, "end": pl.Date, "unit": pl.String, "every": pl.Int64,
    "exact": EXACT,
}  # fmt: skip
BEFORE, LATER = date(2025, 1, 1), date(2026, 2, 10)
REASONS = {
    "E-ST-03": "believed wrong: twelve months of 30 days leave five days of a year out; ours counts 365 days",
    "E-LG-06": "not expressed: a replacement of equal value is no movement here, so there is nothing to classify",
    "E-CB-03": "not expressed: churn has no reason here that tells wish from failed payment",
}


def item(price: Any, start: date = BEFORE, end: date | None = None, every: str = "monthly", customer: int = 1) -> dict[str, Any]:
    unit, count = EVERY[every]
    return {"item_id": 1, "contract_id": 1, "customer_id": customer, "currency": "EUR", "start": start, "end": end, "unit": unit, "every": count, "exact": D(price) * 100}  # fmt: skip


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    numbered = [{"product_id": None, **row, "item_id": n} for n, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=SCHEMA)


def bridge(*rows: dict[str, Any], days: tuple[date, ...] = (JAN, FEB)) -> dict[date, Inputs]:
    """Movements in major units, by the day on which their month ends; signs as the bridge has them."""
    items = frame(*rows)
    found = mrr.bridge(mrr.movements(mrr.standing(items, days), items, days)).to_dicts()
    return {row["day"]: {k.removesuffix("_minor"): D(v) / 100 for k, v in row.items() if k.endswith("_minor")} for row in found}


def standing(*rows: dict[str, Any], discounts: pl.DataFrame | None = None) -> Decimal:
    return D(mrr.standing(frame(*rows), [FEB], discounts=discounts)["mrr_minor"].sum()) / 100


def normalise(i: Inputs) -> Inputs:
    return {"mrr": standing(item(i["plan_amount"], every=i["interval"]))}


def new(i: Inputs) -> Inputs:
    units, every, each = re.fullmatch(r"(\d+) units, (\w+), (\d+) each", i["subscription"]).groups()
    priced = pl.DataFrame({"quantity_micro": [int(units) * 10**6], "unit_price_nano": [int(each) * 100 * 10**9]})
    billed = D(priced.select(charges.by_quantity()).item()) / 100
    return {"billed": billed, "new_business_mrr": bridge(item(billed, LATER, every=every))[FEB]["new"]}


def expansion(i: Inputs) -> Inputs:
    units, every, each = re.fullmatch(r"(\d+) units, (\w+), (\d+) each", i["added"]).groups()
    return {"expansion_mrr": bridge(item(i["existing_mrr"]), item(int(units) * int(each), LATER, every=every))[FEB]["expansion"]}


def contraction(i: Inputs) -> Inputs:
    found = bridge(item(i["cancelled_mrr"], end=LATER), item(i["other_active_mrr"]))[FEB]
    return {"contraction_mrr": -found["contraction"], "churn_mrr": -found["churn"]}


def churn(i: Inputs) -> Inputs:
    """Asked for on 20 January, of what is paid for until 10 February: an item ends where its paid period does."""
    found = bridge(item(i["cancelled_mrr"], end=LATER), days=(date(2025, 12, 31), JAN, FEB))
    assert found[JAN]["churn"] == 0
    return {"churn_mrr": -found[FEB]["churn"], "churn_dated": "end of paid period"}


def movements(i: Inputs) -> Inputs:
    if "events" in i:
        days = (FEB, date(2026, 3, 31), date(2026, 4, 30))
        found = bridge(item(100, end=date(2026, 3, 15)), item(200, date(2026, 3, 15), date(2026, 4, 10)), days=days)
        told = {day: {"starting": row["start"], "ending": row["end"], "change": row["end"] - row["start"], **row} for day, row in found.items()}  # fmt: skip
        return {"march": told[days[1]], "april": told[days[2]]}
    if "change" in i:
        return bridge(item(100, end=LATER), item(1200, LATER, every="yearly"))[FEB]
    ended = [item(price, end=LATER) for price in i["terminated"]]
    return bridge(*ended, *[item(price) for price in i["active_subscriptions"][len(ended) :]])[FEB]


def expansion_rate(i: Inputs) -> Inputs:
    found = bridge(item(i["opening_mrr"]), item(D(i["closing_mrr"]) - D(i["opening_mrr"]), LATER))[FEB]
    return {"expansion_rate_percent": 100 * found["expansion"] / found["start"]}


def discount(i: Inputs) -> Inputs:
    off = {"discount_id": 1, "contract_id": 1, "name": "OFF", "amount_minor": int(i["recurring_discount"]) * 100, "anchor": BEFORE, "unit": "month", "every": 1}  # fmt: skip
    return {"mrr": standing(item(i["plan"]), item(i["recurring_addon"]), discounts=pl.DataFrame([off], schema=charges.DISCOUNTS))}


def retention(i: Inputs) -> Inputs:
    """A customer each for what grew, shrank, left and stayed, and one who came: in neither."""
    opening, grew, shrank, left = (D(i[k]) for k in ("opening_mrr", "expansion", "contraction", "churn"))
    rows = frame(
        item(100, customer=1), item(grew, LATER, customer=1), item(shrank + 1, end=LATER, customer=2), item(1, LATER, customer=2), item(left, end=LATER, customer=3),
        item(opening - 100 - shrank - 1 - left, customer=4), item(5_000, LATER, customer=5),
    )  # fmt: skip
    (found,) = mrr.retention(mrr.standing(rows, [JAN, FEB]), [JAN, FEB], apart=1).to_dicts()
    net, gross = 100 * found["net"], 100 * found["gross"]
    return {"nrr_percent": net, "grr_percent": gross, "spread_points": net - gross}


def rate(i: Inputs) -> Inputs:
    rows = [item(10, end=LATER if n < int(i["lost"]) else None, customer=n) for n in range(int(i["opening_customers"]))]
    found = mrr.movements(mrr.standing(frame(*rows), [JAN, FEB]), frame(*rows), [JAN, FEB])
    (row,) = mrr.bridge(found).to_dicts()
    return {"churn_percent": Fraction(100 * row["lost"], row["customers_before"])}


def yearly(i: Inputs) -> Inputs:
    """A month is a twelfth of a year; the growth is that of the bridge."""
    before = D(i.get("previous_mrr", i["mrr"]))
    found = bridge(item(before), item(D(i["mrr"]) - before, LATER))[FEB]
    told = {"arr": found["end"] * mrr.YEAR, "mrr_growth_percent": 100 * (found["end"] / found["start"] - 1)}
    return told | ({"customers": found["end"] / D(i["arpu"])} if "arpu" in i else {})


AREAS: dict[str, Callable[[Inputs], Inputs]] = {
    "mrr.normalise": normalise, "mrr.new": new, "mrr.expansion": expansion, "mrr.contraction": contraction, "mrr.churn": churn, "mrr.movements": movements,
    "mrr.expansion-rate": expansion_rate, "mrr.discount": discount, "retention": retention, "churn.rate": rate, "arr": yearly,
}  # fmt: skip
READY = [c for c in cases("E") if c["area"] in AREAS and c["id"] not in REASONS]


@pytest.mark.parametrize("case", READY, ids=[c["id"] for c in READY])
def test_a_published_figure_of_recurring_revenue_comes_out_as_published(shared, case):
    found = AREAS[case["area"]](case["inputs"])
    for name, value in case["expected"].items():
        assert agree(found[name], value, Fraction(case.get("tolerance", 0))), (name, found[name], value, case["note"])


def test_cases_that_are_left_out_are_told_with_the_reason(shared, capsys):
    assert {c["id"] for c in cases("E")} >= set(REASONS)
    with capsys.disabled():
        print(f"\noracles E, recurring revenue: {len(READY)} ran", end="")
        for case, reason in REASONS.items():
            print(f"\n  {case}: {reason}", end="")
