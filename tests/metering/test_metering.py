"""Usage: each event once, what cannot be placed kept aside, quantities by method and period, and bills that follow late events."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal

import polars as pl
import pytest
from django.core import mail
from django.test import Client
from typer.testing import CliRunner

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from topline.billing import taxes
from topline.billing.models import Invoice, InvoiceLine
from topline.books.models import Entity
from topline.cli.commands import app
from topline.contracts import actions as contracts
from topline.contracts import amendments, open_periods, pages, runs
from topline.contracts.models import Charge, Contract, Item, Parked, UsageAlert
from topline.engine import metering as engine
from topline.flows import lake as flow
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid
from topline.kernel.models import AuditRecord
from topline.market import actions as market
from topline.metering import actions, lake, queries
from topline.metering.intake import Desk, _Waiting
from topline.metering.lines import Line
from topline.metering.models import Backfill, Meter, StrayEvent, UsageEvent
from topline.team import actions as members
from topline.team.models import Member, Task
from topline.timeline.models import Milestone

JAN, FEB, MAR = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)


@pytest.fixture(autouse=True)
def _home(owner, entity):
    Entity.objects.filter(pk=entity.pk).update(country="DE", time_zone="Europe/Berlin")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 3, 2)):
        yield


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def meter(owner):
    def make(method="sum", code="CALLS", **facts):
        return actions.add_meter(actor=owner, code=code, name="Calls", method=method, unit="calls", **facts)

    return make


@pytest.fixture
def send(owner):
    def make(*events):
        usual = {"meter": "CALLS", "customer": "Globex", "at": datetime(2026, 1, 10, 12)}
        rows = [usual | {"key": f"{e.get('at', '')}{n}"} | e for n, e in enumerate(events)]
        return actions.record_events(
            actor=owner,
            events=pl.DataFrame(
                rows, schema_overrides={"at": pl.Datetime("us"), "value_micro": pl.Int64}, infer_schema_length=None
            ),
        )

    return make


@pytest.fixture
def sign(owner, entity, customer):
    def make(counted, **item):
        row = {
            "description": "Calls",
            "quantity_micro": 0,
            "unit_price_nano": 10 * 10**9,
            "unit": "month",
            "meter_id": counted,
        } | item
        return contracts.add_contract(
            actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=JAN, items=[row]
        )

    return make


def used(entity, meter_id, customer, start=JAN, end=FEB):
    spans = pl.DataFrame(
        {
            "span_id": [1],
            "meter_id": [meter_id],
            "customer_id": [customer],
            "start": [start],
            "end": [end],
            "full_start": [start],
            "full_end": [end],
        }
    )
    told = queries.usage(spans, time_zone="Europe/Berlin")
    return told["quantity"][0] if told.height else None


def test_an_event_counts_once_however_often_it_is_sent(send, meter, customer):
    meter()
    assert send({"key": "a", "value_micro": 5_000_000}, {"key": "a", "value_micro": 5_000_000}, {"key": "b"})[
        "outcome"
    ].to_list() == ["recorded", "known", "recorded"]
    assert send({"key": "a", "value_micro": 5_000_000}, {"key": "c"})["outcome"].to_list() == ["known", "recorded"]
    assert UsageEvent.objects.count() == 3


def test_the_same_key_with_other_content_is_refused_and_nothing_of_the_batch_is_written(send, meter, customer):
    meter()
    send({"key": "a", "value_micro": 5_000_000})
    with pytest.raises(actions.EventKeyReused):
        send({"key": "new"}, {"key": "a", "value_micro": 6_000_000})
    with pytest.raises(actions.EventKeyReused):
        send({"key": "x", "value_micro": 1}, {"key": "x", "value_micro": 2})
    assert UsageEvent.objects.count() == 1


def test_what_cannot_be_placed_is_kept_aside_with_the_reason(send, meter, customer):
    meter()
    told = send(
        {"key": "1", "meter": "NONE"},
        {"key": "2", "customer": "Nobody"},
        {"key": ""},
        {"key": "4", "at": datetime(2026, 3, 5)},
        {"key": "5", "at": None},
        {"key": "6"},
    )
    assert told["why"].to_list() == ["unknown_meter", "unknown_customer", "no_key", "in_the_future", "no_moment", None]
    assert StrayEvent.objects.count() == 5 and UsageEvent.objects.get().key == "6"


def test_what_was_kept_aside_and_came_again_has_its_place(send, meter, customer):
    send({"key": "1", "meter": "CALLS"}, {"key": "2", "customer": "Nobody"})
    meter()
    assert send({"key": "1"})["outcome"].to_list() == ["recorded"]
    assert [s.key for s in StrayEvent.objects.all()] == ["2"], "what is mended is not shown as lost any more"


@pytest.mark.parametrize(
    ("method", "quantity"), [("count", 3), ("sum", 9), ("max", 5), ("latest", 1), ("unique", 2)],
)  # fmt: skip
def test_each_method_measures_its_way(entity, meter, send, customer, method, quantity):
    made = meter(method)
    send(
        {"value_micro": 3_000_000, "unique_key": "ann"},
        {"value_micro": 5_000_000, "at": datetime(2026, 1, 11), "unique_key": "bob"},
        {"value_micro": 1_000_000, "at": datetime(2026, 1, 12), "unique_key": "ann"},
    )
    assert used(entity, made, customer) == quantity
    assert used(entity, made, customer, FEB, MAR) is None


def test_a_level_counts_for_as_long_as_it_stood(entity, meter, send, customer):
    made = meter("time_weighted")
    send(
        {"value_micro": 4_000_000, "at": datetime(2025, 12, 15)},
        {"value_micro": 31_000_000, "at": datetime(2026, 1, 30, 23)},
        {"value_micro": -4_000_000, "at": datetime(2026, 1, 30, 23)},
    )
    assert used(entity, made, customer) == (Decimal(4) + Decimal(27) / 31).quantize(Decimal(10) ** -15), (
        "31 more less 4 for the last of 31 days, on top of the 4 before"
    )


def test_a_day_is_the_companys_day(entity, meter, send, customer):
    made = meter("count")
    send({"at": datetime(2026, 1, 31, 22, 59)}, {"at": datetime(2026, 1, 31, 23, 1)})
    assert (used(entity, made, customer), used(entity, made, customer, FEB, MAR)) == (1, 1)


def test_what_is_sent_under_either_name_of_a_merged_customer_is_billed_once(
    owner, entity, meter, send, sign, customer, make_customers
):
    """The contract stands on the record that was merged away; new events land on the one that took it over."""
    counted = meter()
    sign(counted)
    send({"value_micro": 100_000_000})
    (keep,) = make_customers("Globex Group")
    market.merge_customers(actor=owner, keep_id=keep, merge_id=customer)
    send({"key": "new", "value_micro": 20_000_000}, {"key": "name", "customer": "Globex Group", "value_micro": 3_000_000})
    assert set(UsageEvent.objects.values_list("customer_id", flat=True)) == {customer, keep}
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert list(Charge.objects.values_list("quantity_micro", flat=True)) == [123_000_000]
    item = {"description": "Theirs", "quantity_micro": 0, "unit_price_nano": 10**9, "unit": "month", "meter_id": counted}
    contracts.add_contract(
        actor=owner, entity_id=entity.pk, customer_id=keep, currency="EUR", starts_on=date(2026, 2, 15), items=[item]
    )
    send(*({"at": datetime(2026, 2, day), "value_micro": 10**6, "key": f"f{day}"} for day in (1, 14, 15, 28)))
    runs.run(actor=owner, entity_id=entity.pk, as_of=MAR)
    told = dict(Charge.objects.filter(start__gte=FEB).values_list("item__description", "quantity_micro"))
    assert told == {"Calls": 2_000_000}, "what their own contract counts is not counted twice"
    runs.run(actor=owner, entity_id=entity.pk, as_of=date(2026, 4, 1))
    assert dict(Charge.objects.filter(start__gte=FEB).values_list("item__description", "quantity_micro")) == told | {"Theirs": 2_000_000}  # fmt: skip


def test_two_merged_records_with_a_contract_each_do_not_count_an_event_twice(owner, entity, meter, send, sign, customer, make_customers):  # fmt: skip
    counted = meter("time_weighted")
    sign(counted)
    other, keep = make_customers("Globex Two", "Globex Group")
    row = {"description": "Two", "quantity_micro": 0, "unit_price_nano": 10**9, "unit": "month", "meter_id": counted}
    contracts.add_contract(actor=owner, entity_id=entity.pk, customer_id=other, currency="EUR", starts_on=JAN, items=[row])
    send({"customer": "Globex Two", "at": datetime(2025, 12, 1), "value_micro": 7_000_000})
    for record in (customer, other):
        market.merge_customers(actor=owner, keep_id=keep, merge_id=record)
    send({"customer": "Globex Group", "at": datetime(2025, 12, 2), "value_micro": 5_000_000, "key": "g"})
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert dict(Charge.objects.values_list("item__description", "quantity_micro")) == {"Calls": 5_000_000, "Two": 7_000_000}


def test_a_meters_code_can_be_written_into_a_price(owner):
    with pytest.raises(Invalid, match="is no code") as refused:
        actions.add_meter(actor=owner, code="A B<=1", name="Odd", method="sum")
    assert refused.value.field == "code" and not Meter.objects.exists()


def test_filters_leave_out_what_does_not_count(entity, meter, send, customer):
    made = meter("count", filters={"region": ["eu", "us"]})
    send(*({"properties": json.dumps(p)} for p in ({"region": "eu"}, {"region": "cn"}, {}, {"region": "us", "x": "1"})))
    assert used(entity, made, customer) == 2


def test_usage_is_billed_after_its_period_and_late_events_on_the_next_bill(owner, entity, meter, send, sign, customer):
    sign(meter())
    send({"value_micro": 1_200_000_000})
    runs.run(actor=owner, entity_id=entity.pk, as_of=date(2026, 1, 31))
    assert not Charge.objects.exists()
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    line = InvoiceLine.objects.get()
    assert (line.net_minor, line.quantity_micro, line.description) == (
        120_00,
        1_200_000_000,
        "Calls, 2026-01-01 to 2026-01-31: 1200 calls",
    )
    send(
        {"value_micro": 50_000_000, "at": datetime(2026, 1, 31, 12)},
        {"value_micro": -200_000_000, "at": datetime(2026, 2, 3)},
        {"value_micro": 210_000_000, "at": datetime(2026, 2, 4)},
    )
    runs.run(actor=owner, entity_id=entity.pk, as_of=MAR)
    assert list(Charge.objects.order_by("full_start", "sequence").values_list("net_minor", "sequence", "quantity_micro")) == [
        (120_00, 0, 1_200_000_000),
        (5_00, 1, 1_250_000_000),
        (1_00, 0, 10_000_000),
    ]
    assert Invoice.objects.order_by("-id").first().net_minor == 6_00


def test_nothing_used_costs_its_fee_alone_and_parks_nobody(owner, entity, meter, sign, customer):
    counted = meter()
    tiers = [{"up_to": None, "unit_price_nano": 10**9, "flat_fee_minor": 5_00}]
    sign(counted), sign(counted, price_model="graduated", tiers=tiers, unit_price_nano=None)
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert list(Charge.objects.values_list("net_minor", "quantity_micro")) == [(5_00, 0)] and not Parked.objects.exists()


def test_usage_too_large_to_book_parks_its_contract_alone(owner, entity, meter, send, sign, customer):
    counted = meter()
    sign(counted), sign(counted, unit_price_nano=9 * 10**18)
    send(*({"value_micro": 9 * 10**17} for _ in range(9)))
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert Parked.objects.get().code == "amount_too_large" and Charge.objects.count() == 1


def test_graduated_usage_says_how_it_was_priced(owner, entity, meter, send, sign, customer):
    tiers = [
        {"up_to": 100, "unit_price_nano": 0, "flat_fee_minor": 5_00},
        {"up_to": 1_000, "unit_price_nano": 10 * 10**9, "flat_fee_minor": 0},
        {"up_to": None, "unit_price_nano": 5 * 10**9, "flat_fee_minor": 0},
    ]
    sign(meter(), price_model="graduated", tiers=tiers, unit_price_nano=None)
    send({"value_micro": 1_200_000_000})
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    charge = Charge.objects.get()
    assert charge.net_minor == 5_00 + 900 * 10 + 200 * 5
    assert [(s["units"], s["minor"]) for s in charge.explained if s["units"] is not None][-2:] == [
        (900.0, 9000.0),
        (200.0, 1000.0),
    ]


def test_the_page_of_a_contract_shows_the_tiers_that_usage_went_through(owner, entity, meter, send, sign, customer):
    tiers = [
        {"up_to": 1_000, "unit_price_nano": 10 * 10**9, "flat_fee_minor": 5_00},
        {"up_to": None, "unit_price_nano": 5 * 10**9, "flat_fee_minor": 0},
    ]
    made = sign(meter(), price_model="graduated", tiers=tiers, unit_price_nano=None)
    send({"value_micro": 1_200_000_000})
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    pk = members.add_member(
        actor=owner, email="bela@acme.localhost", name="Bela", roles=["Billing"], password="a long enough phrase"
    )
    browser = Client()
    browser.force_login(Member.objects.get(pk=pk))
    text = browser.get(f"/contracts/{made}/").content.decode()
    assert "1,000 at 0.1, fee 5.00" in text and "200 at 0.05" in text and "by tiers" in text and "(by the meter Calls)" in text
    assert "Every event has its place" in browser.get("/usage/").content.decode()
    form = {
        "on": "2026-02-01",
        "description": "More calls",
        "quantity": "0",
        "price": "",
        "unit": "month",
        "when": "advance",
        "tax_class": "standard",
        "meter": str(Meter.objects.get().pk),
        "price_model": "volume",
        "tiers": "100 0.10 5.00\n* 0.05",
    }
    assert (
        "Line 2 of the tiers"
        in browser.post(f"/contracts/{made}/amend/add/", form | {"tiers": "100 0.10\n* much"}).content.decode()
    )
    assert browser.post(f"/contracts/{made}/amend/add/", form).status_code == 302
    added = Item.objects.get(description="More calls")
    assert (added.in_advance, added.tiers[0], added.tiers[1]["up_to"]) == (
        False,
        {"up_to": 100, "unit_price_nano": 10 * 10**9, "flat_fee_minor": 5_00},
        None,
    )
    assert browser.post("/usage/meters/new/", {"code": "CALLS", "name": "Again", "method": "sum"}).status_code == 400


@pytest.mark.parametrize(
    ("item", "said"),
    [({"price_model": "graduated"}, "have tiers"), ({"tiers": [{"up_to": None, "unit_price_nano": 1, "flat_fee_minor": 0}]}, "have tiers"), ({"price_model": "cubic"}, "no price model"),
     ({"price_model": "volume", "tiers": [{"up_to": 10, "unit_price_nano": 1, "flat_fee_minor": 0}]}, "last has no end"), ({"price_model": "volume", "tiers": [{"up_to": 10, "unit_price_nano": 1, "flat_fee_minor": 0}, {"up_to": 5, "unit_price_nano": 1, "flat_fee_minor": 0}, {"up_to": None, "unit_price_nano": 1, "flat_fee_minor": 0}]}, "Each tier ends above"),
     ({"price_model": "volume", "tiers": [{"up_to": None, "unit_price_nano": -1, "flat_fee_minor": 0}]}, "zero or more"), ({"meter_id": None, "price_model": "matrix", "tiers": [{"when": [], "unit_price_nano": 1}]}, "for what is metered")],
)  # fmt: skip
def test_tiers_that_cannot_be_are_refused(meter, sign, item, said):
    with pytest.raises(Invalid, match=said):
        sign(meter(), **item)


def test_meters_and_events_come_over_http(api, customer):  # noqa: F811
    assert api.post("/meters", {"code": "CALLS", "name": "Calls", "method": "sum"}).status_code == 200
    assert api.post("/meters", {"code": "CALLS", "name": "Calls", "method": "sum"}).status_code == 409
    event = {"key": "a", "meter": "CALLS", "customer": "Globex", "at": "2026-01-10T12:00:00+01:00", "value_micro": 2_000_000}
    told = api.post("/usage-events", {"events": [event, event | {"key": "b", "meter": "NONE"}]}).json()["items"]
    assert [t["outcome"] for t in told] == ["recorded", "kept_aside"]
    assert api.post("/usage-events", {"events": [event | {"value_micro": 3}]}).status_code == 409
    assert api.post("/usage-events", {"events": [event | {"key": "c", "at": "2026-01-10"}]}).status_code == 422
    assert UsageEvent.objects.get().at.hour == 11 and StrayEvent.objects.count() == 1


def test_events_are_put_as_lines_and_told_one_by_one(api, customer, meter):  # noqa: F811
    meter()
    event = {
        "key": "a",
        "meter": "CALLS",
        "customer": "Globex",
        "at": "2026-01-10T12:00:00+01:00",
        "value": 2.5,
        "properties": {"region": "eu"},
    }

    def put(*events, raw=None):
        body = raw if raw is not None else b"\n".join(json.dumps(e).encode() for e in events)
        return api.client.put("/api/v1/usage-events", body, content_type="application/x-ndjson", headers=api.headers)

    told = put(
        event,
        event | {"key": "b", "meter": "NONE"},
        event,
        event | {"value": 3},
        event | {"key": "c", "value": 1e-7},
        event | {"key": "d", "more": 1},
    ).json()
    assert {n: told[n] for n in ("recorded", "known", "kept_aside", "refused")} == {
        "recorded": 1,
        "known": 1,
        "kept_aside": 1,
        "refused": 3,
    }
    assert [(e["line"], e["why"]) for e in told["events"]] == [
        (2, "unknown_meter"),
        (3, None),
        (4, "event_key_reused"),
        (5, "invalid"),
        (6, "invalid"),
    ]
    assert put(event).json()["known"] == 1
    again = put(event | {"customer": "Globex", "at": "2026-01-10T12:00:01+01:00"})
    assert (again.status_code, again.json()["code"], again.json()["details"]["events"][0]["key"]) == (
        409,
        "event_key_reused",
        "a",
    )
    assert [put(raw=raw).status_code for raw in (b"", b"{", b"\xff", b"[]", b"{}\n" * 10_001, b"{" * 100_000)] == [422] * 6
    assert put(event | {"key": "\ud800"}).status_code == put(event | {"properties": {"a": "\0"}}).status_code == 422
    assert put(raw=b" " * (10 * 1024 * 1024 + 1)).status_code == 413
    assert put(event | {"key": "u", "unique_key": "x" * 101}).json()["kept_aside"] == 1
    assert UsageEvent.objects.get().value_micro == 2_500_000 and StrayEvent.objects.count() == 2


def test_those_who_wait_at_the_same_time_share_a_transaction_and_each_is_told_its_own(owner, customer, meter):
    meter()
    usual = {"meter": "CALLS", "customer": "Globex", "at": "2026-01-10T00:00:00Z"}
    desk, sent = Desk(), [[Line(key=f"{n}", **usual), Line(key="shared", **usual)] for n in range(3)]
    waiting = [_Waiting(owner, events) for events in sent[1:]]
    desk._queue += waiting
    assert desk.take(actor=owner, events=sent[0])["outcome"].to_list() == ["recorded", "recorded"]
    assert [w.told["outcome"].to_list() for w in waiting] == [["recorded", "known"]] * 2 and not desk._queue
    assert AuditRecord.objects.filter(action="metering.record_events").count() == 1
    bad = _Waiting(owner, [Line(key="x", **usual | {"at": "never"}), object()])
    desk._queue.append(bad)
    assert desk.take(actor=owner, events=sent[1])["outcome"].to_list() == ["known", "known"]
    assert bad.error is not None and bad.told is None


@pytest.mark.parametrize(
    ("calls", "billed", "said"), [(100, 50_00, "at least 50.00"), (700, 70_00, "700 at 0.1"), (5_000, 200_00, "at most 200.00"), (0, 50_00, "at least 50.00")]
)  # fmt: skip
def test_a_period_of_use_costs_no_less_than_the_least_and_no_more_than_the_most(
    owner, entity, sign, send, meter, customer, calls, billed, said
):
    contract = sign(meter(), minimum_minor=50_00, maximum_minor=200_00)
    if calls:
        send({"value_micro": calls * 10**6})
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    charge = Charge.objects.get(full_start=JAN)
    assert charge.net_minor == billed
    assert said in pages.made({**{n: getattr(charge, n) for n in ("explained", "days", "full_days")}, "is_again": False}, "EUR")
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert Charge.objects.count() == 1 and Item.objects.get(contract_id=contract).maximum_minor == 200_00


def test_a_part_of_a_period_has_its_part_of_the_least(owner, entity, sign, meter, customer):
    contract = sign(meter(), minimum_minor=62_00)
    amendments.amend(actor=owner, contract_id=contract, kind="terminate", on=date(2026, 1, 16), because="moves away")
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert Charge.objects.get().net_minor == 30_00  # 15 of 31 days


@pytest.mark.parametrize(
    ("facts", "field"), [({"minimum_minor": -1}, "minimum_minor"), ({"minimum_minor": 10, "maximum_minor": 5}, "maximum_minor"), ({"meter_id": None, "minimum_minor": 10}, "minimum_minor")]
)  # fmt: skip
def test_bounds_that_cannot_be_are_refused(sign, meter, customer, facts, field):
    with pytest.raises(Invalid) as refused:
        sign(meter(), **facts)
    assert refused.value.field == field


def test_the_open_period_says_what_was_used_and_what_it_costs_so_far(owner, entity, sign, send, meter, customer):
    contract = sign(meter(), minimum_minor=31_00)
    send(
        {"value_micro": 100_000_000, "at": datetime(2026, 3, 1, 10)},
        {"value_micro": 900_000_000, "at": datetime(2026, 3, 20, 10), "key": "later"},
    )
    with clock.at(date(2026, 3, 10)):
        found = open_periods.running(Contract.objects.filter(pk=contract), entity=entity, on=date(2026, 3, 10)).row(0, named=True)
        assert (found["start"], found["used_micro"], found["net_minor"]) == (
            MAR,
            100_000_000,
            10_00,
        )  # ten of 31 days of the least, 10.00
        browser = Client()
        browser.force_login(
            Member.objects.get(
                pk=members.add_member(
                    actor=owner, email="b@acme.localhost", name="Bo", roles=["Billing"], password="a long enough phrase"
                )
            )
        )
        for address in ("/contracts/use/", f"/contracts/{contract}/"):
            page = browser.get(address).content.decode()
            assert "100 calls" in page and "10.00" in page, address


def test_the_open_period_is_less_what_discounts_leave_of_it_after_the_fees(owner, entity, sign, send, meter, customer):
    counted = meter()
    fee = {"description": "Base", "quantity_micro": 10**6, "unit_price_nano": 10_00 * 10**9, "unit": "month"}
    use = {"description": "Calls", "quantity_micro": 0, "unit_price_nano": 10 * 10**9, "unit": "month", "meter_id": counted}
    made = contracts.add_contract(actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=MAR, items=[fee, use])  # fmt: skip
    other = sign(counted)
    contracts.add_discount(actor=owner, contract_id=made, name="TEN", starts_on=MAR, unit="month", share_ppm=100_000)
    contracts.add_discount(actor=owner, contract_id=made, name="GIFT", starts_on=MAR, unit="month", amount_minor=15_00)
    send({"value_micro": 100_000_000, "at": datetime(2026, 3, 1, 10)})
    rows = open_periods.running(Contract.objects.all(), entity=entity, on=date(2026, 3, 10))
    assert dict(rows.select("contract_id", "net_minor").iter_rows()) == {made: 3_00, other: 10_00}, "9.00 less 6.00 that the fee of 9.00 left"  # fmt: skip
    (told,) = pages._running(rows.filter(pl.col("contract_id") == made))
    assert told["made"].endswith("less TEN, 1.00; less GIFT, 6.00")


def test_an_amount_that_is_reached_is_told_once_a_period(owner, entity, sign, send, meter, customer):
    contract = sign(meter(), alerts_minor=[50_00, 10_00])
    billing = members.add_member(
        actor=owner, email="b@acme.localhost", name="Bo", roles=["Billing"], password="a long enough phrase"
    )
    members.set_area(actor=owner, key="billing", owner_id=billing, deputy_id=None)
    with clock.at(date(2026, 3, 6)):
        send({"value_micro": 200_000_000, "at": datetime(2026, 3, 5, 10)})

    def told(day):
        with clock.at(day):
            return open_periods.tell_alerts(actor=owner, entity_id=entity.pk, as_of=day)

    assert told(date(2026, 3, 4)) == 0
    assert [told(date(2026, 3, 10)), told(date(2026, 3, 10)), told(date(2026, 3, 11))] == [1, 0, 0]
    with clock.at(date(2026, 3, 12)):
        send({"value_micro": 400_000_000, "at": datetime(2026, 3, 12, 10), "key": "more"})
    assert told(date(2026, 3, 12)) == 1
    assert list(UsageAlert.objects.values_list("threshold_minor", "net_minor")) == [(10_00, 20_00), (50_00, 60_00)]
    assert (
        Milestone.objects.filter(kind="usage_reached", customer_id=customer).count()
        == Task.objects.filter(title__contains="reached").count()
        == 2
    )
    with clock.at(date(2026, 4, 5)):
        send({"value_micro": 150_000_000, "at": datetime(2026, 4, 2, 10), "key": "april"})
    assert told(date(2026, 4, 5)) == 1  # a new period tells anew
    with clock.at(date(2026, 4, 30)):
        send({"value_micro": 400_000_000, "at": datetime(2026, 4, 30, 20), "key": "last evening"})
    assert told(date(2026, 5, 1)) == 1, "it was reached on the last evening of its period"
    assert told(date(2026, 5, 2)) == 0
    market.add_contact(actor=owner, customer_id=customer, name="Ann", email="ap@globex.example", is_primary=True)
    with clock.at(date(2026, 5, 3)):
        outbox.drain(HANDLERS)
    assert [letter.subject for letter in mail.outbox] == ["Calls reached 10.00 EUR", "Calls reached 50.00 EUR", "Calls reached 10.00 EUR", "Calls reached 50.00 EUR"]  # fmt: skip
    assert "What you used of Calls (CT-000001) since 1 March 2026 comes to 20.00 EUR net so far." in mail.outbox[0].body
    with pytest.raises(Invalid):
        sign(None, alerts_minor=[10_00])
    assert Item.objects.get(contract_id=contract).alerts_minor == [10_00, 50_00]


def test_a_fee_alone_reaches_no_amount(owner, entity, sign, send, meter, customer):
    tiers = [{"up_to": None, "unit_price_nano": 10**9, "flat_fee_minor": 25_00}]
    sign(meter(), price_model="graduated", tiers=tiers, unit_price_nano=None, alerts_minor=[20_00])
    told = [open_periods.tell_alerts(actor=owner, entity_id=entity.pk, as_of=date(2026, 3, day)) for day in (1, 2)]
    send({"at": datetime(2026, 3, 2, 10)})
    assert [*told, open_periods.tell_alerts(actor=owner, entity_id=entity.pk, as_of=date(2026, 3, 3))] == [0, 0, 1]


def test_a_span_that_is_sent_again_is_billed_anew_and_says_why(
    owner,
    entity,
    meter,
    send,
    sign,
    customer,
    make_customers,
    api,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    make_customers("Initech")
    sign(meter())
    send(
        {"value_micro": 1_200_000_000},
        {"value_micro": 300_000_000, "at": datetime(2026, 1, 20)},
        {"customer": "Initech", "key": "theirs"},
    )
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    monkeypatch.setattr(lake, "folder", lambda: tmp_path)
    assert sum(flow.sync(actor=owner, until=date(2026, 1, 15))) == 2, "what is in the lake is replaced as well"
    span = {
        "meter": "CALLS",
        "customer": "Globex",
        "start_at": "2026-01-01T00:00:00Z",
        "end_at": "2026-01-16T00:00:00Z",
        "because": "A gateway counted twice",
    }
    event = {"key": "anew", "meter": "CALLS", "customer": "Globex", "at": "2026-01-10T12:00:00Z", "value_micro": 700_000_000}
    for wrong in ({"at": "2026-01-16T00:00:00Z"}, {"customer": "Initech"}, {"meter": "NONE"}):
        assert api.post("/usage-backfills", span | {"events": [event | wrong]}).status_code == 422
    assert (
        api.post("/usage-backfills", span | {"end_at": span["start_at"]}).status_code
        == api.post("/usage-backfills", span | {"customer": "Nobody"}).status_code
        == 422
    )
    assert (
        not UsageEvent.objects.filter(key="anew").exists()
        and api.post("/usage-backfills", span | {"events": [event]}, key="b").status_code == 200
    )
    assert api.post("/usage-backfills", span | {"events": [event]}, key="b").status_code == 200, "asked again it changes nothing"
    again = api.post("/usage-backfills", span | {"events": [event]}, key="c")
    assert again.status_code == 409 and "new key" in again.json()["remedy"], "it would replace itself and count no more"
    (made,) = api.get("/usage-backfills").json()["items"]
    assert (made["replaced"], made["recorded"], made["because"]) == (1, 1, span["because"])
    assert used(entity, Meter.objects.get().pk, customer) == 1_000
    runs.run(actor=owner, entity_id=entity.pk, as_of=MAR)
    assert list(Charge.objects.order_by("sequence").values_list("net_minor", "quantity_micro")) == [
        (150_00, 1_500_000_000),
        (-50_00, 1_000_000_000),
    ]
    send({"key": "late", "value_micro": 5_000_000})
    assert used(entity, Meter.objects.get().pk, customer) == 1_005, "later events of the span count again"
    everybody = {name: value for name, value in span.items() if name != "customer"} | {"end_at": "2026-02-01T00:00:00Z"}
    assert api.post("/usage-backfills", everybody).status_code == 200 and used(entity, Meter.objects.get().pk, customer) is None
    browser = Client()
    browser.force_login(Member.objects.get(pk=members.add_member(actor=owner, email="b@acme.localhost", name="Bo", roles=["Billing"], password="a long enough phrase")))  # fmt: skip
    page = browser.get("/usage/").content.decode()
    assert "A gateway counted twice" in page and "2 events in the lake" in page


def seats_by_days(owner):
    return actions.add_meter(actor=owner, code="SEATS", name="Seats", method="day_weighted")


def test_seats_count_for_their_days_and_are_priced_at_the_tiers_that_they_enter_and_leave(owner, entity, customer, send, sign):
    tiers = [{"up_to": 5, "unit_price_nano": 31_00 * 10**9, "flat_fee_minor": 0}, {"up_to": None, "unit_price_nano": 62_00 * 10**9, "flat_fee_minor": 7_00}]  # fmt: skip
    sign(seats_by_days(owner), unit_price_nano=None, price_model="graduated", tiers=tiers)
    moves = [(datetime(2025, 12, 1), 5), (datetime(2026, 1, 22, 15), 2), (datetime(2026, 1, 29, 8), -1)]
    send(*({"meter": "SEATS", "at": at, "value_micro": n * 10**6} for at, n in moves))
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    charge = Charge.objects.get()
    # five all January; two of the second tier for ten days, of which one is given back for the two days after it went; the fee of the tier
    assert charge.net_minor == 5 * 31_00 + 2 * 20_00 - 4_00 + 7_00
    assert [step["most_held"] for step in charge.explained] == [7, 7]
    assert charge.quantity_micro == round((5 + 18 / 31) * 10**6)


@pytest.mark.parametrize("method", ["time_weighted", "day_weighted"])
def test_a_level_counts_for_the_part_of_its_month_that_a_contract_covers(owner, entity, customer, send, method):
    """Ten units for the last 15.5 days of January are five units of a month, not ten."""
    meter = actions.add_meter(actor=owner, code="LEVEL", name="Level", method=method)
    row = {
        "description": "Level",
        "quantity_micro": 0,
        "unit_price_nano": 31_00 * 10**9,
        "unit": "month",
        "meter_id": meter,
        "anchor": JAN,
    }
    contracts.add_contract(actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=date(2026, 1, 17), items=[row])  # fmt: skip
    send({"meter": "LEVEL", "at": datetime(2025, 12, 1), "value_micro": 10 * 10**6})
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert Charge.objects.get().net_minor == 10 * 15_00


def test_the_same_key_with_other_properties_is_refused_however_they_are_written(api, customer, meter):  # noqa: F811
    meter()

    def put(properties):
        event = (
            f'{{"key": "a", "meter": "CALLS", "customer": "Globex", "at": "2026-01-10T12:00:00Z", "properties": {properties}}}'
        )
        return api.client.put("/api/v1/usage-events", event, content_type="application/x-ndjson", headers=api.headers).status_code

    assert put('{"region": "eu", "size": 1}') == 200
    assert put('{"size":1,"region":"eu"}') == 200, "the same, in another order and with other blanks"
    assert put('{"region": "us", "size": 1}') == 409
    assert put("{}") == 409
    assert UsageEvent.objects.count() == 1


def test_what_is_kept_aside_is_told_once_a_key_and_placed_when_its_reason_is_gone(owner, send, meter, customer):
    lone = {"key": "1", "meter": "CALLS", "value_micro": 2_500_000, "properties": '{"region": "eu"}', "at": datetime(2026, 1, 10, 12, 0, 0, 120_000)}  # fmt: skip
    send(lone, {"key": "2", "at": datetime(2026, 3, 9), "meter": "CALLS"})
    send(lone | {"value_micro": 3_000_000}, {"key": ""}, {"key": ""})
    assert list(StrayEvent.objects.order_by("id").values_list("key", flat=True)) == ["2", "1", "", ""]
    assert actions.place_strays(actor=owner) == 0, "there is no such meter yet"
    meter()
    assert actions.place_strays(actor=owner) == 1, "the other one lies ahead"
    event = UsageEvent.objects.get()
    assert (event.key, event.value_micro, event.properties) == ("1", 3_000_000, {"region": "eu"})
    assert event.at.isoformat() == "2026-01-10T12:00:00.120000+00:00"
    with clock.at(date(2026, 3, 9)):
        assert actions.place_strays(actor=owner) == 1 and actions.place_strays(actor=owner) == 0
    assert list(StrayEvent.objects.values_list("code", flat=True)) == ["no_key", "no_key"]


def test_the_page_says_which_events_a_meter_counts_and_places_what_was_kept_aside(owner, send, customer):
    client = Client()
    client.force_login(Member.objects.get(pk=members.add_member(actor=owner, email="b@acme.localhost", name="Bo", roles=["Billing"], password="a long enough phrase")))  # fmt: skip
    send({"key": "1", "meter": "EU"})
    bad = client.post("/usage/meters/new/", {"code": "EU", "name": "In Europe", "method": "sum", "filters": "region"})
    assert bad.status_code == 400 and "cannot be read" in bad.content.decode()
    client.post("/usage/meters/new/", {"code": "EU", "name": "In Europe", "method": "sum", "filters": "region=eu, uk\nsize=large", "rounding": "ceil"})  # fmt: skip
    assert Meter.objects.get().filters == {"region": ["eu", "uk"], "size": ["large"]}
    page = client.post("/usage/strays/place/", follow=True).content.decode()
    assert "region is eu or uk; size is large" in page and "1 event has its place now." in page
    assert not StrayEvent.objects.exists()


@pytest.mark.parametrize(
    "filters", [{"it's": ["eu"]}, {"a b": ["eu"]}, {"region": []}, {"region": [" "]}, {"region": ["x" * 101]}]
)
def test_a_filter_that_no_event_can_pass_is_refused(owner, filters):
    with pytest.raises(Invalid) as refused:
        actions.add_meter(actor=owner, code="EU", name="Europe", method="sum", filters=filters)
    assert refused.value.field == "filters"


def test_a_property_of_any_name_is_read_as_it_is_written():
    for name in ("region", "it's", 'a"b', "a.b", "a b", "a]b", "$", "*"):
        events = pl.DataFrame({"properties": [json.dumps({name: "x", "other": "y"}, ensure_ascii=False)]})
        assert events.select(engine.of_property(name)).item() == "x", name


@pytest.mark.parametrize(
    ("method", "quantity", "parts"),
    [
        ("max", 9, [("server=a", 5), ("server=b", 3), ("server=", 1)]),
        ("count", 4, [("server=a", 2), ("server=", 1), ("server=b", 1)]),
        ("unique", 4, [("server=a", 2), ("server=", 1), ("server=b", 1)]),
        ("latest", 6, [("server=b", 3), ("server=a", 2), ("server=", 1)]),
    ],
)
def test_a_meter_measures_each_value_of_a_property_by_itself(owner, entity, meter, send, sign, customer, method, quantity, parts):  # fmt: skip
    def event(value, server, day, **more):
        return {"value_micro": value * 10**6, "properties": server and json.dumps({"server": server}), "at": datetime(2026, 1, day, 12), "unique_key": "x"} | more  # fmt: skip

    made = meter(method, group_by="server")
    send(event(5, "a", 10), event(2, "a", 11, unique_key="y"), event(3, "b", 12), event(1, "", 13))
    assert used(entity, made, customer) == quantity
    sign(made)
    run = runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    charge = Charge.objects.get(run=run)
    assert (charge.net_minor, charge.quantity_micro) == (quantity * 10, quantity * 10**6)
    *_, told = charge.explained
    assert [(p["part"], p["units"]) for p in told["split"]] == parts and told["others"] == 0
    assert pages.made({"explained": charge.explained, "days": 31, "full_days": 31, "is_again": False}, "EUR").endswith(f"; {parts[0][1]} of {parts[0][0]}, {parts[1][1]} of {parts[1][0]}, {parts[2][1]} of {parts[2][0]}")  # fmt: skip


@pytest.mark.parametrize("facts", [{"group_by": "it's"}, {"group_by": "server", "method": "peak"}])
def test_a_property_that_nothing_can_be_measured_by_is_refused(meter, facts):
    with pytest.raises(Invalid) as refused:
        meter(**facts)
    assert refused.value.field == "group_by"


def test_a_span_given_on_the_command_line_is_one_where_the_company_is(entity, meter, customer, tmp_path):
    counted = meter()
    file = tmp_path / "january.jsonl"
    file.write_text('{"key": "first", "meter": "CALLS", "customer": "Globex", "at": "2025-12-31T23:30:00Z", "value": 3}\n')
    span = ["--start", "2026-01-01T00:00", "--end", "2026-02-01T00:00", "--because", "A gateway was down"]
    done = CliRunner().invoke(app, ["backfill", str(file), "--meter", "CALLS", "--customer", "Globex", *span])
    assert done.exit_code == 0, done.output
    assert [moment.isoformat() for moment in (Backfill.objects.get().start_at, Backfill.objects.get().end_at)] == ["2025-12-31T23:00:00+00:00", "2026-01-31T23:00:00+00:00"]  # fmt: skip
    assert used(entity, counted, customer) == 3
