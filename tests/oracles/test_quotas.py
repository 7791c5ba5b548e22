"""File I's quotas, splits and roll-ups; its commission cases wait for their room."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.oracles.published import agree, cases
from topline.engine import quotas
from topline.engine.deals import categories
from topline.kernel import money
from topline.kernel.errors import Invalid

Inputs = dict[str, Any]


def cents(text: str) -> int:
    return int(Decimal(text) * 100)


def attained(rows: list[tuple[int, int]]) -> list[float]:
    """Attainment in percent of (quota, credited) pairs."""
    frame = pl.DataFrame(rows, schema=["quota_minor", "won_minor"], orient="row")
    found = quotas.attainment(frame, start=date(2025, 1, 1), end=date(2025, 2, 1), today=date(2025, 2, 1))
    return [100 * value for value in found["attainment"]]


def interval(i: Inputs) -> Inputs:
    months = money.split_evenly(cents(i["annual_target"]), int(i["months"]))
    credited = [sum(cents(v) for v in month) for month in i["months_credits"]]
    return {"month_target": Decimal(months[0]) / 100, "attainment_percent": attained(list(zip(months, credited, strict=False)))}


def proration(i: Inputs) -> Inputs:
    year, month = (int(part) for part in str(i["month"]).split("-"))
    period = {"start": date(year, month, 1), "end": date(year + month // 12, month % 12 + 1, 1)}
    joined = date.fromisoformat(i["assigned_from"])
    part = quotas.prorated(cents(i["quota"]), **period, joined=joined)
    return {
        "active_days": quotas.active_days(**period, joined=joined)[0],
        "quota_prorated": Decimal(part) / 100,
        "attainment_percent": attained([(part, cents(i["revenue"]))])[0],
    }


def split(i: Inputs) -> Inputs:
    revenue, overlay = ({who: Decimal(p) for who, p in i[f"{kind}_splits"].items()} for kind in ("revenue", "overlay"))
    credited = quotas.checked_split(revenue, overlay=overlay)
    return {
        "revenue_split_total": sum(revenue.values()), "credited_percent": credited, "total_credited_percent": sum(credited.values()),
        "valid": True,
    }  # fmt: skip


def rollup(i: Inputs) -> Inputs:
    ours = {"Closed": "closed", "Commit": "commit", "MostLikely": "most_likely", "BestCase": "best_case", "Pipeline": "pipeline"}
    return categories.cumulative(pl.DataFrame({ours[k]: [int(v)] for k, v in i["single_category"].items()})).row(0, named=True)


def weighted(i: Inputs) -> Inputs:
    deals = i.get("deals", [i])
    rows = [(cents(d["amount"]), int(d["probability_percent"]) / 100) for d in deals for _ in range(int(d.get("count", 1)))]
    return {
        "weighted": Decimal(categories.weighted(pl.DataFrame(rows, schema=["amount_minor", "probability"], orient="row"))) / 100
    }


AREAS = {
    "quota.interval": interval,
    "quota.proration": proration,
    "split": split,
    "forecast.rollup": rollup,
    "forecast.weighted": weighted,
}
READY = [c for c in cases("I") if c["area"] in AREAS]


@pytest.mark.parametrize("case", READY, ids=[c["id"] for c in READY])
def test_a_published_quota_or_roll_up_comes_out_as_published(shared, case):
    found = AREAS[case["area"]](case["inputs"])
    for name, value in case["expected"].items():
        assert agree(found[name], value), (name, found[name], value, case["note"])


def test_a_split_that_is_not_whole_is_refused():
    with pytest.raises(Invalid, match="99"):
        quotas.checked_split({"a": Decimal(50), "b": Decimal(49)})
    with pytest.raises(Invalid, match="zero or more"):
        quotas.checked_split({"a": Decimal(150), "b": Decimal(-50)})
