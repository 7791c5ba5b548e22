"""The lake: events of old months in files, with the same answers, whole or not at all, and each key once for ever."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from django.db import IntegrityError, transaction

from topline.flows import lake as flow
from topline.flows import proofs
from topline.kernel import clock, guards
from topline.metering import actions, lake, queries
from topline.metering.models import METHODS, LakePart, Meter, UsageEvent

MONTHS = [date(2025, 10, 1), date(2025, 11, 1), date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1)]
DEC = date(2025, 12, 1)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setattr(lake, "folder", lambda: tmp_path / "lake")
    monkeypatch.setattr(lake, "CHUNK", 70)
    with clock.at(date(2026, 3, 2)):
        yield


@pytest.fixture
def customers(make_customers):
    return make_customers("Globex", "Initech")


@pytest.fixture
def used(owner, customers):
    """A meter of each method, one with a filter, and events of both customers all along; returns the spans of every month."""
    for method in METHODS:
        actions.add_meter(actor=owner, code=method.upper(), name=method, method=method)
    actions.add_meter(actor=owner, code="EU", name="In Europe", method="sum", filters={"region": ["eu"]})
    codes = [*(m.upper() for m in METHODS), "EU"]
    rows = [
        {"key": f"k{n}", "meter": codes[n % 7], "customer": ["Globex", "Initech"][n % 2], "at": datetime(2025, 10, 1) + timedelta(hours=9 * n, microseconds=n), "value_micro": (n * 7919) % 10**9 - 10**8,
         "unique_key": f"u{n % 13}", "properties": json.dumps({"region": ["eu", "us"][n % 3 == 0]})}
        for n in range(400)
    ]  # fmt: skip
    actions.record_events(actor=owner, events=pl.DataFrame(rows))
    meters = Meter.objects.values_list("id", flat=True)
    spans = [(m, c, start, end) for m in meters for c in customers for start, end in [*pairwise(MONTHS), (MONTHS[0], MONTHS[-1])]]
    return (
        pl.DataFrame(spans, schema=["meter_id", "customer_id", "start", "end"], orient="row")
        .with_columns(full_start="start", full_end="end")
        .with_row_index("span_id")
        .cast({"span_id": pl.Int64})
    )


def answers(spans):
    """Everything that is asked of events."""
    placed = queries.events(spans, time_zone="Europe/Berlin")
    region = placed.with_columns(region=pl.col("properties").str.json_path_match("$.region"))
    return (
        queries.usage(spans, time_zone="Europe/Berlin").rows(),
        queries.measured(region, by=["region"]).rows(),
        placed.drop("properties").rows(),
        [(m["code"], m["count"], m["newest"]) for m in queries.meters()],
    )


def sync(owner, until=DEC):
    return sum(flow.sync(actor=owner, until=until))


def test_every_answer_is_the_same_before_and_after(owner, used):
    before = answers(used)
    assert sync(owner) == 163
    assert UsageEvent.objects.filter(at__lt=datetime(2025, 12, 1, tzinfo=UTC)).count() == 0 < UsageEvent.objects.count()
    assert {p.month for p in LakePart.objects.all()} == {date(2025, 10, 1), date(2025, 11, 1)} and LakePart.objects.count() > 2
    assert answers(used) == before and sync(owner) == 0
    assert (
        guards.missing_guards() == []
        and lake.broken().is_empty()
        and "events of the lake are whole" in {p.name for p in proofs.verify()}
    )
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        UsageEvent.objects.all().delete()


def test_a_key_stays_used_and_late_events_count(owner, used, customers):
    old = UsageEvent.objects.get(key="k7")
    sync(owner)
    event = {
        "key": "k7",
        "meter": "COUNT",
        "customer": "Initech",
        "at": old.at.replace(tzinfo=None),
        "value_micro": old.value_micro,
        "unique_key": old.unique_key,
        "properties": json.dumps(old.properties),
    }
    rows = [event, event | {"key": "late"}, event | {"key": "k14"}, event | {"properties": '{"region": "nowhere"}'}]
    told = actions.record_events(actor=owner, events=pl.DataFrame(rows), whole=False)
    assert told["outcome"].to_list() == ["known", "recorded", "refused", "refused"]
    with pytest.raises(actions.EventKeyReused):
        actions.record_events(actor=owner, events=pl.DataFrame(rows[2:]))
    span = used.filter(
        (pl.col("meter_id") == old.meter_id) & (pl.col("customer_id") == customers[1]) & (pl.col("start") == MONTHS[0])
    ).head(1)
    before = queries.usage(span, time_zone="Europe/Berlin")["quantity"][0]
    parts = LakePart.objects.count()
    assert sync(owner) == 1 and LakePart.objects.count() == parts + 1
    assert (
        queries.usage(span, time_zone="Europe/Berlin")["quantity"][0] == before == 7
    )  # n = 7, 21, 35, 49, 63, 77 and the late one
    assert sorted(e["key"] for e in lake.page(0, 1_000) if e["key"] in {"k7", "late"}) == ["k7", "late"]


def test_killed_between_file_and_commit_it_completes_when_begun_again(owner, used):
    before = answers(used)
    lake.write_chunk(until=DEC)  # and then the power went
    assert answers(used) == before and not LakePart.objects.exists()
    chunk = lake.write_chunk(until=DEC)
    late = {"key": "late", "meter": "COUNT", "customer": "Globex", "at": datetime(2025, 10, 3)}
    rows = UsageEvent.objects.filter(key="k399")
    actions.record_events(actor=owner, events=pl.DataFrame([late]))
    assert rows.exists() and actions.move_to_lake(actor=owner, until=DEC, ahead=chunk) == 70  # what came later has a later id
    with pytest.raises(actions.EventsCameMeanwhile), transaction.atomic():
        actions.move_to_lake(actor=owner, until=DEC, ahead=chunk)
    (lake.folder() / "month=2025-10" / "lost.parquet").write_bytes(b"half")
    assert sync(owner) == 94 and not list(lake.folder().glob("**/lost*")) and lake.broken().is_empty()
    assert guards.missing_guards() == []


def test_a_file_that_is_gone_changed_or_holds_a_key_twice_is_told(owner, used):
    sync(owner)
    first, second = LakePart.objects.order_by("id")[:2]
    path = lake.folder() / first.path
    content = path.read_bytes()
    path.unlink()
    (lake.folder() / second.path).write_bytes(content)
    assert [(r["path"], r["why"]) for r in lake.broken().to_dicts()] == [
        (first.path, "it is gone"),
        (second.path, "it was changed"),
    ]
    with pytest.raises(IntegrityError), transaction.atomic():
        LakePart.objects.create(month=DEC, path=first.path, rows=1, first_id=1, last_id=1, bytes=1, made_at=clock.now())


def test_only_what_every_company_has_billed_moves(owner, entity):
    assert flow.billed_until(keep_months=3, today=date(2026, 3, 2)) == DEC
    assert flow.billed_until(keep_months=14, today=date(2026, 1, 31)) == date(2024, 11, 1)
