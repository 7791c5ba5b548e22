"""Meters against a slow reading of the same events."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.engine import metering
from topline.kernel.errors import Invalid

D = Decimal
START = datetime(2026, 4, 1)
END = datetime(2026, 5, 1)
events = st.lists(st.tuples(st.integers(0, 29 * 24), st.integers(-50, 50), st.sampled_from("abc")), min_size=1, max_size=20)


def frame(rows: list[tuple[int, int, str]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "event_id": range(len(rows)), "meter_id": 1, "subscription": 5, "at": [START + timedelta(hours=h) for h, _, _ in rows],
            "value": [D(v) for _, v, _ in rows], "key": [k for _, _, k in rows], "period_start": START, "period_end": END,
        }
    )  # fmt: skip


def slowly(method: str, rows: list[tuple[int, int, str]]) -> Decimal:
    match method:
        case "count":
            return D(len(rows))
        case "sum":
            return D(sum(v for _, v, _ in rows))
        case "max":
            return D(max(v for _, v, _ in rows))
        case "unique":
            return D(len({k for _, _, k in rows}))
        case "latest":
            return D(max(enumerate(rows), key=lambda r: (r[1][0], r[0]))[1][1])
        case "peak":
            ordered = [v for _, _, v in sorted((h, n, v) for n, (h, v, _) in enumerate(rows))]
            return D(max(itertools.accumulate(ordered)))
        case "day_weighted":  # what comes counts from its day on, what goes until its day is over
            return D(sum(v for day in range(30) for h, v, _ in rows if h // 24 + (v < 0) <= day)) / 30
    hours, level, held = 30 * 24, 0, 0
    for hour in range(hours):
        level += sum(v for h, v, _ in rows if h == hour)
        held += level
    return D(held) / hours


@settings(max_examples=80, deadline=None)
@given(events, st.sampled_from(sorted(metering.METHODS)))
def test_a_meter_counts_as_a_slow_reading_of_its_events(rows, method):
    meters = pl.DataFrame({"meter_id": [1], "method": [method]})
    found = metering.measure(frame(rows), meters=meters, by=["subscription"])
    assert abs(found["quantity"][0] - slowly(method, rows)) <= D("1e-15")
    assert found["events"][0] == len(rows)


def test_quantities_are_kept_apart_by_property_and_filtered_by_meter():
    rows = frame([(0, 1, "a"), (1, 2, "b"), (2, 4, "a")])
    kept = metering.filtered(rows, pl.DataFrame({"meter_id": [1], "property": ["key"], "values": [["a"]]}))
    assert kept["value"].to_list() == [1, 4]
    other = metering.filtered(rows, pl.DataFrame({"meter_id": [2], "property": ["key"], "values": [["a"]]}))
    assert other.height == 3
    meters = pl.DataFrame({"meter_id": [1], "method": ["sum"]})
    assert metering.measure(rows, meters=meters, by=["key"]).select("key", "quantity").rows() == [("a", D(5)), ("b", D(2))]


def test_an_unknown_method_or_property_is_refused():
    with pytest.raises(Invalid):
        metering.measure(frame([(0, 1, "a")]), meters=pl.DataFrame({"meter_id": [1], "method": ["median"]}), by=["subscription"])
    with pytest.raises(Invalid):
        metering.filtered(frame([(0, 1, "a")]), pl.DataFrame({"meter_id": [1], "property": ["region"], "values": [["eu"]]}))
