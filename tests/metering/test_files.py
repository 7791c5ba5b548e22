"""Usage events from files: exact quantities, moments of any zone, bad lines told by number, and the same file twice changes nothing."""

from __future__ import annotations

import json
from datetime import date

import pytest

from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.metering import actions, files, lines
from topline.metering.models import StrayEvent, UsageEvent


@pytest.fixture(autouse=True)
def _meter(owner, make_customers):
    make_customers("Globex")
    actions.add_meter(actor=owner, code="CALLS", name="Calls", method="sum", unit="calls")
    with clock.at(date(2026, 3, 2)):
        yield


def take(owner, path, size=3):
    told, problems = [], []
    for batch in files.batches(path, size=size):
        problems += batch.problems
        told += actions.record_events(actor=owner, events=batch.events)["outcome"].to_list()
    return told, problems


GOOD = {
    "key": "a",
    "meter": "CALLS",
    "customer": "Globex",
    "at": "2026-01-10T12:00:00+02:00",
    "value": 1.25,
    "properties": {"region": "eu"},
}


def test_json_lines_come_in_and_what_is_wrong_is_told_by_its_line(owner, tmp_path):
    lines = [
        json.dumps(GOOD), "", json.dumps(GOOD | {"key": "b", "value": "0.0000001"}), "{broken", json.dumps(GOOD | {"key": "c", "at": "yesterday"}), json.dumps(GOOD | {"key": "d", "value": "many"}),
        json.dumps(GOOD | {"key": "e", "value": 1e15}), json.dumps({k: v for k, v in GOOD.items() if k != "value"} | {"key": "f"}), json.dumps(GOOD | {"key": "g", "customer": "Nobody"}),
        json.dumps(GOOD | {"key": "h", "properties": {"text": "x" * 1_000_001}}),
    ]  # fmt: skip
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(lines))
    told, problems = take(owner, path)
    assert told == ["recorded", "recorded", "kept_aside"]
    assert [(line, why.split(" ", 1)[1]) for line, why in problems] == [
        (3, "has more than six decimals."), (4, "cannot be read."), (5, "is no moment."), (6, "is no quantity."), (7, "is more than can be counted."), (10, "is longer than a megabyte."),
    ]  # fmt: skip
    event = UsageEvent.objects.get(key="a")
    assert (event.value_micro, event.at.hour) == (1_250_000, 10)
    assert "eu" in str(event.properties) and UsageEvent.objects.get(key="f").value_micro == 1_000_000
    assert take(owner, path)[0] == ["known", "known", "kept_aside"]
    assert UsageEvent.objects.count() == 2 and StrayEvent.objects.exists()


def test_further_columns_of_a_csv_are_properties(owner, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        "key,meter,customer,at,value,region\nx,CALLS,Globex,2026-01-10T12:00:00Z,2,eu\ny,CALLS,Globex,2026-01-10T12:00:00Z,3,us\n"
    )
    assert take(owner, path) == (["recorded", "recorded"], [])
    assert "us" in str(UsageEvent.objects.get(key="y").properties)


@pytest.mark.parametrize(("name", "text"), [("events.txt", "x"), ("events.csv", "a,b\n1,2\n")])
def test_another_file_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(Invalid):
        list(files.batches(tmp_path / name))


def test_a_quantity_is_kept_as_it_was_written():
    said = {
        "8999999999999.123457": 8_999_999_999_999_123_457,
        "-1.5e-3": -1_500,
        '"1e3"': 10**9,
        "2.5000000000": 2_500_000,
        "null": 10**6,
    }
    body = "\n".join(f'{{"key":"{n}","value":{value}}}' for n, value in enumerate(said))
    assert dict(zip(said, checked(body)["value_micro"], strict=True)) == said
    odd = ["1.0000000000001", "1e-300", "1e300", "9000000000001", "true", "[1]", '"NaN"', '"1,5"']
    refused = checked("\n".join(f'{{"value":{value}}}' for value in odd))
    assert refused["wrong"].null_count() == 0 and refused["wrong"][0] == "1.0000000000001 has more than six decimals."


def checked(body):
    return lines.checked(lines.frame(lines.read(body.encode()).events))
