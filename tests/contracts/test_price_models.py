"""Every price model of the engine stands on a contract's item, is billed by the run to the cent, and tells how the amount was made."""

from __future__ import annotations

import json
from datetime import date, datetime

import polars as pl
import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from topline.billing import taxes
from topline.books.models import Entity
from topline.contracts import actions, amendments, bills, pages, queries, runs
from topline.contracts.models import Charge, Contract, Item, Parked
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.metering import actions as metering
from topline.team import actions as members
from topline.team.models import Member

JAN, FEB = date(2026, 1, 1), date(2026, 2, 1)
MICRO, NANO = 10**6, 10**9


@pytest.fixture(autouse=True)
def _home(owner, entity):
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 2, 2)):
        yield


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def meter(owner):
    return metering.add_meter(actor=owner, code="CALLS", name="Calls", method="sum", unit="calls")


@pytest.fixture
def send(owner, customer, meter):
    def make(*events):
        rows = [{"key": str(n), "meter": "CALLS", "customer": "Globex", "at": datetime(2026, 1, 5, n), "value_micro": int(value * MICRO), "properties": json.dumps(said)} for n, (value, said) in enumerate(events)]  # fmt: skip
        metering.record_events(actor=owner, events=pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us")}))

    return make


@pytest.fixture
def sign(owner, entity, customer):
    def make(*items):
        usual = {"description": "Item", "quantity_micro": MICRO, "unit": "month"}
        return actions.add_contract(actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=JAN, items=[usual | i for i in items])  # fmt: skip

    return make


def tier(up_to, price, fee=0):
    return {"up_to": up_to, "unit_price_nano": price * NANO, "flat_fee_minor": fee}


def test_one_run_bills_every_model_and_tells_how(owner, entity, sign, send, meter):
    send((50, {"region": "eu"}), (100, {"region": "eu", "amount": "1.234"}), (250, {"region": "us"}), (400, {"amount": "2"}))
    used = {"meter_id": meter}
    percentage = {"price_model": "percentage", "share_ppm": 13_000, "fee_nano": 200 * NANO, "free_count": 3, "free_minor": 250_00}
    wanted = {
        "included": (used | {"unit_price_nano": 10 * NANO, "included_micro": 700 * MICRO}, 10_00),
        "package": (used | {"price_model": "package", "unit_price_nano": 5_00 * NANO, "package_micro": 300 * MICRO, "included_micro": 100 * MICRO}, 15_00),
        "graduated": (used | {"price_model": "graduated", "tiers": [tier(500, 10, 1_00), tier(None, 5)]}, 500 * 10 + 1_00 + 300 * 5),
        "volume": (used | {"price_model": "volume", "tiers": [tier(500, 10), tier(None, 5)]}, 800 * 5),
        "percentage": (used | percentage, round((800 - 250) * 1.3) + 2 * 2_00),
        "bounded": (used | {"price_model": "percentage", "share_ppm": 100_000, "each_least_minor": 12_00, "each_most_minor": 30_00}, 12_00 + 12_00 + 25_00 + 30_00),
        "shares": (used | {"price_model": "graduated_percentage", "tiers": [{"up_to": 500, "share_ppm": 20_000, "flat_fee_minor": 1_00}, {"up_to": None, "share_ppm": 10_000}]}, 10_00 + 1_00 + 3_00),
        "dynamic": (used | {"price_model": "dynamic"}, 3_23),
        "matrix": (used | {"price_model": "matrix", "tiers": [{"when": ["region=eu"], "unit_price_nano": 10 * NANO}, {"when": [], "unit_price_nano": NANO}]}, 150 * 10 + 650),
        "seats": ({"quantity_micro": 12 * MICRO, "price_model": "volume", "tiers": [tier(10, 20_00), tier(None, 15_00)]}, 180_00),
        "boxes": ({"quantity_micro": 12 * MICRO, "price_model": "package", "unit_price_nano": 40_00 * NANO, "package_micro": 5 * MICRO}, 120_00),
    }  # fmt: skip
    made = sign(*({"description": name, "in_advance": False} | item for name, (item, _) in wanted.items()))
    bill = bills.preview(entity=Entity.objects.get(pk=entity.pk), as_of=FEB)
    assert bill.parked.is_empty(), bill.parked["message"].to_list()
    shown = bill.lines
    assert dict(shown.select("description", "net_minor").iter_rows()) == {name: cents for name, (_, cents) in wanted.items()}
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert dict(Charge.objects.values_list("item__description", "net_minor")) == {
        name: cents for name, (_, cents) in wanted.items()
    }
    how = dict(Charge.objects.values_list("item__description", "explained"))
    assert [(s["label"], s["units"], s["minor"]) for s in how["matrix"]] == [("region=eu", 150, 1500), ("all else", 650, 650)]
    assert how["percentage"] == [
        {"transactions": 4, "value_minor": 800_00.0, "given": 2, "free_minor": 250_00.0, "share_ppm": 13_000, "minor": 11_15.0}
    ]
    assert [s["units"] for s in how["seats"]] == [12]
    assert queries.yearly([made], on=JAN) == {made: 12 * (180_00 + 120_00)}
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert Charge.objects.count() == len(wanted), "a second run bills nothing"


def test_use_that_no_row_of_the_matrix_fits_is_parked_until_it_has_a_price(owner, entity, sign, send, meter):
    send((5, {"region": "us"}))
    made = sign({"meter_id": meter, "price_model": "matrix", "tiers": [{"when": ["region=eu"], "unit_price_nano": 10 * NANO}]})
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert "no price for what was used" in Parked.objects.get().message
    rows = [{"when": ["region=eu"], "unit_price_nano": 10 * NANO}, {"when": ["region=us"], "unit_price_nano": 7 * NANO}]
    amendments.amend(actor=owner, contract_id=made, kind="price", on=JAN, item_id=Item.objects.get().pk, price_model="matrix", tiers=rows)  # fmt: skip
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert Charge.objects.get().net_minor == 35


def test_a_period_costs_what_the_first_row_says_whose_every_limit_holds(owner, entity, sign, send, meter):
    metering.add_meter(actor=owner, code="SEATS", name="Seats", method="max")
    rows = [
        {"when": [f"CALLS<={calls}", f"SEATS<={n}"], "unit_price_nano": price * NANO}
        for calls, n, price in ((100, 5, 10_00), (1000, 5, 20_00))
    ]
    made = sign({"meter_id": meter, "price_model": "capacity", "tiers": rows})
    send((100, {}))
    event = {"key": "s1", "meter": "SEATS", "customer": "Globex", "at": datetime(2026, 1, 9), "value_micro": 5 * MICRO}
    metering.record_events(actor=owner, events=pl.DataFrame([event], schema_overrides={"at": pl.Datetime("us")}))
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    (charge,) = Charge.objects.all()
    assert (charge.net_minor, charge.explained[0]["label"]) == (10_00, "CALLS 100, SEATS 5")
    more = event | {"key": "s2", "value_micro": 5 * MICRO + 1}
    metering.record_events(actor=owner, events=pl.DataFrame([more], schema_overrides={"at": pl.Datetime("us")}))
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert Parked.objects.get().message == "Item has no price for what was used.", "six seats fit no row"
    amendments.amend(actor=owner, contract_id=made, kind="price", on=JAN, item_id=Item.objects.get().pk, price_model="capacity", tiers=[*rows, {"when": [], "unit_price_nano": 40_00 * NANO}])  # fmt: skip
    runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert sum(Charge.objects.values_list("net_minor", flat=True)) == 40_00, "the new item is billed, and the old one given back"


def test_a_renewal_raises_every_amount_of_a_price_and_no_share(owner, entity, customer, meter):
    item = {"description": "Item", "quantity_micro": 0, "unit": "month", "meter_id": meter, "price_model": "percentage", "share_ppm": 20_000, "fee_nano": 100 * NANO}  # fmt: skip
    tiers = {"description": "Seats", "quantity_micro": MICRO, "unit": "month", "price_model": "graduated", "tiers": [tier(5, 10, 2_00), tier(None, 5)]}  # fmt: skip
    made = actions.add_contract(actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=JAN, ends_on=FEB, items=[item, tiers])  # fmt: skip
    amendments.amend(actor=owner, contract_id=made, kind="renew", on=JAN, months=1, uplift_ppm=100_000)
    new = Item.objects.filter(starts_on=FEB).order_by("id")
    assert (new[0].share_ppm, new[0].fee_nano) == (20_000, 110 * NANO)
    assert new[1].tiers == [{**tier(5, 11, 2_20)}, {"up_to": None, "unit_price_nano": 5_500_000_000, "flat_fee_minor": 0}]


@pytest.mark.parametrize(
    ("price", "field", "said"),
    [({"price_model": "free"}, "price_model", "no price model"), ({"price_model": "dynamic"}, "meter_id", "metered"), ({"price_model": "package"}, "package_micro", "more than nothing"),
     ({"price_model": "volume"}, "tiers", "have tiers"), ({"tiers": [tier(None, 1)]}, "tiers", "have tiers"), ({"price_model": "volume", "tiers": [tier(10, 1), tier(5, 1), tier(None, 1)]}, "tiers", "above the one before"),
     ({"price_model": "graduated", "tiers": [tier(10, 1)]}, "tiers", "no end"), ({"price_model": "volume", "tiers": [tier(None, -1)]}, "tiers", "Row 1: prices"), ({"price_model": "volume", "tiers": [tier(None, 1, -1)]}, "tiers", "Row 1: prices"),
     ({"included_micro": -1}, "included_micro", "zero or more"), ({"share_ppm": 5}, "share_ppm", "does not have the share"), ({"meter": True, "price_model": "percentage"}, "share_ppm", "needs the share"),
     ({"meter": True, "price_model": "percentage", "share_ppm": 1, "each_least_minor": 2, "each_most_minor": 1}, "each_most_minor", "less than its least"), ({"meter": True, "price_model": "percentage", "share_ppm": -1}, "share_ppm", "zero or more"),
     ({"meter": True, "price_model": "matrix", "tiers": [{"when": ["region"], "unit_price_nano": 1}]}, "tiers", "no condition"), ({"meter": True, "price_model": "matrix", "tiers": [{"when": [], "unit_price_nano": 1}, {"when": ["a=b"], "unit_price_nano": 1}]}, "tiers", "comes last"),
     ({"meter": True, "price_model": "matrix", "tiers": [{"when": ["a=b"], "unit_price_nano": 1}, {"when": ["a=b"], "unit_price_nano": 2}]}, "tiers", "same conditions"),
     ({"meter": True, "price_model": "capacity", "tiers": [{"when": ["CALLS<5"], "unit_price_nano": 1}]}, "tiers", "no condition"), ({"meter": True, "price_model": "capacity", "tiers": [{"when": ["LOST<=5"], "unit_price_nano": 1}]}, "tiers", "no meter LOST"),
     ({"price_model": "volume", "tiers": [{"up_to": None, "unit_price_nano": 2**63}]}, "tiers", "Row 1: the price is too large"), ({"price_model": "volume", "tiers": [tier(10**15, 1), tier(None, 1)]}, "tiers", "Row 1: a tier ends below"),
     ({"included_micro": 2**63}, "included_micro", "not that much")],
)  # fmt: skip
def test_a_price_that_cannot_be_billed_by_is_refused_at_its_field(sign, meter, price, field, said):
    with pytest.raises(Invalid, match=said) as refused:
        sign({"unit_price_nano": NANO} | ({"meter_id": meter} if price.pop("meter", False) else {}) | price)
    assert refused.value.field == field and not Item.objects.exists()


def test_the_database_refuses_a_price_that_its_model_does_not_read(sign):
    sign({"unit_price_nano": NANO})
    for wrong in ({"price_model": "package"}, {"price_model": "dynamic"}, {"share_ppm": 1}, {"included_micro": -1}, {"free_count": 1}, {"price_model": "percentage"}):  # fmt: skip
        with pytest.raises(IntegrityError), transaction.atomic():
            Item.objects.update(**wrong)


def test_the_steps_of_packages_and_graduated_shares_come_to_the_amount(owner, entity, sign, send, meter):
    sign(
        {
            "quantity_micro": 13 * 10**6,
            "price_model": "package",
            "package_micro": 5 * 10**6,
            "included_micro": 2 * 10**6,
            "unit_price_nano": 20_00 * NANO,
        }
    )
    sign(
        {
            "meter_id": meter,
            "price_model": "graduated_percentage",
            "tiers": [{"up_to": 100, "share_ppm": 100_000}, {"up_to": None, "share_ppm": 50_000}],
        }
    )
    send((240, {}))
    lines = bills.preview(entity=Entity.objects.get(pk=entity.pk), as_of=FEB).lines.to_dicts()
    assert [(row["net_minor"], pages.made(row, "EUR")) for row in lines if row["start"] == JAN] == [
        (60_00, "2 at 0; 11 in 3 x 20"),
        (17_00, "100 at 10 %; 140 at 5 %"),
    ]


def test_prices_come_by_form_and_over_http_and_are_told_on_the_page(owner, customer, meter, api):  # noqa: F811
    pk = members.add_member(
        actor=owner, email="bela@acme.localhost", name="Bela", roles=["Billing"], password="a long enough phrase"
    )
    browser = Client()
    browser.force_login(Member.objects.get(pk=pk))
    form = {"customer": "Globex", "currency": "EUR", "starts_on": "2026-01-01", "terms": "net 30", "renews_months": "0", "notice_days": "0", "description": "Calls", "quantity": "0", "unit": "month", "when": "arrears", "tax_class": "standard"}  # fmt: skip
    matrix = form | {"meter": str(meter), "price_model": "matrix", "tiers": "region=eu 0.10\n* 0.2"}
    assert browser.post("/contracts/new/", matrix).status_code == 302
    limits = form | {"meter": str(meter), "price_model": "capacity", "tiers": "CALLS<=1000 50.00\n* 90"}
    assert browser.post("/contracts/new/", limits).status_code == 302
    assert Item.objects.order_by("-id")[0].tiers[0] == {"when": ["CALLS<=1000"], "unit_price_nano": 50_00 * NANO}
    assert Item.objects.order_by("id")[0].tiers == [{"when": ["region=eu"], "unit_price_nano": 10 * NANO}, {"when": [], "unit_price_nano": 20 * NANO}]  # fmt: skip
    pages_of = [
        browser.get(f"/contracts/{pk}/").content.decode() for pk in Contract.objects.order_by("id").values_list("id", flat=True)
    ]
    assert (
        "0.10 for region=eu; 0.20 for all else" in pages_of[0] and "50.00 for CALLS&lt;=1000; 90.00 for all else" in pages_of[1]
    )
    refused = browser.post(
        "/contracts/new/", form | {"meter": str(meter), "price_model": "package", "price": "5"}
    ).content.decode()
    assert "A package holds more than nothing" in refused and Contract.objects.count() == 2
    line = {"description": "Fees", "unit": "month", "meter_id": meter, "price_model": "percentage", "share_ppm": 25_000, "fee_nano": 25 * NANO, "free_count": 2}  # fmt: skip
    made = api.post("/contracts", {"customer_id": customer, "currency": "EUR", "starts_on": "2026-01-01", "items": [line]}).json()["result"]  # fmt: skip
    assert "2.5 % of each transaction, and 0.25 each, the first 2 free" in browser.get(f"/contracts/{made}/").content.decode()
    told = api.get(f"/contracts/{made}").json()["items"][0]
    assert (told["price_model"], told["share_ppm"], told["free_count"]) == ("percentage", 25_000, 2)
    change = {"on": "2026-01-01", "item_id": told["id"], "price_model": "dynamic"}
    assert browser.post(f"/contracts/{made}/amend/price/", change).status_code == 302
    assert Item.objects.order_by("-id").values_list("price_model", "share_ppm", "fee_nano").first() == ("dynamic", None, None)
    overlap = {"kind": "price", "on": "2026-01-01", "item_id": Item.objects.order_by("-id").first().pk, "price_model": "volume", "tiers": [{"up_to": 9, "unit_price_nano": 1}, {"up_to": 5, "unit_price_nano": 1}]}  # fmt: skip
    wrong = api.post(f"/contracts/{made}/amend", overlap)
    assert wrong.status_code == 422 and "above the one before" in wrong.text
