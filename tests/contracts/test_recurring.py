"""Recurring revenue: parts that add up, a customer's own movements, retention that one customer's rise cannot mend, and the page that opens them."""

from __future__ import annotations

import itertools
from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from tests.api.conftest import make_member  # noqa: F401
from topline.contracts import actions, queries
from topline.contracts.models import Item
from topline.contracts.recurring import recurring
from topline.engine import recurring_revenue as mrr
from topline.engine.documents import EXACT
from topline.kernel import clock
from topline.team.models import Member

TODAY = date(2026, 3, 15)
SCHEMA = {
    "customer_id": pl.Int64,
    "currency": pl.String,
    "start": pl.Date,
    "end": pl.Date,
    "unit": pl.String,
    "every": pl.Int64,
    "exact": EXACT,
}


def items(*rows):
    return pl.DataFrame([dict(zip(SCHEMA, row, strict=True)) for row in rows], schema=SCHEMA)


def item(customer, minor, start, end=None, unit="month", every=1):
    return (customer, "EUR", start, end, unit, every, Decimal(minor))


@pytest.mark.parametrize(
    ("minor", "unit", "every", "month"),
    [(30_00, "week", 1, 130_00), (300_00, "quarter", 1, 100_00), (600_00, "month", 6, 100_00), (2000_00, "year", 1, 166_67), (24_00, "day", 1, 730_00)],
)  # fmt: skip
def test_every_rhythm_is_brought_to_a_month(minor, unit, every, month):
    stood = mrr.standing(items(item(1, minor, date(2026, 1, 1), None, unit, every)), [TODAY])
    assert stood["mrr_minor"].to_list() == [month]


def told(*rows, back=3):
    asked, days = items(*rows), mrr.month_ends(TODAY, back=back)
    moves = mrr.movements(mrr.standing(asked, days), asked, days).filter(pl.col("kind").is_not_null())
    return [(m["day"].month, m["kind"], m["change_minor"]) for m in moves.sort("day", "customer_id").to_dicts()]


def test_movements_are_a_customers_own():
    jan, feb, mar = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)
    assert told(item(1, 100, jan), item(1, 50, feb, mar)) == [(1, "new", 100), (2, "expansion", 50), (3, "contraction", -50)]
    assert told(item(1, 100, jan, feb), item(1, 1200, feb, None, "year")) == [(1, "new", 100)]  # the same by another rhythm
    assert told(item(1, 100, date(2025, 1, 1), jan), item(1, 80, mar)) == [(1, "churn", -100), (3, "reactivation", 80)]
    assert told(item(1, 100, date(2025, 1, 1)), item(2, 7, feb, date(2026, 2, 20))) == []  # came and went within a month


def test_no_customers_rise_makes_up_for_anothers_loss_in_gross_retention():
    days, long = mrr.month_ends(TODAY, back=12), date(2025, 1, 1)
    half = date(2025, 9, 1)
    rows = items(item(1, 100, long), item(1, 100, half), item(2, 100, long, half), item(2, 60, half), item(3, 999, half))
    (kept,) = mrr.retention(mrr.standing(rows, days), days).to_dicts()
    assert (kept["gross"], kept["net"]) == (pytest.approx(160 / 200), pytest.approx(260 / 200))


months = st.dates(date(2024, 1, 1), date(2026, 6, 1))


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 10**6), months, st.none() | months, st.sampled_from(list(mrr.A_MONTH)), st.integers(1, 3)), max_size=12))  # fmt: skip
def test_the_parts_always_add_up_and_each_month_begins_where_the_last_ended(rows):
    asked = items(*[item(*row) for row in rows])
    days = mrr.month_ends(TODAY, back=24)
    stood = mrr.standing(asked, days)
    bridge = mrr.bridge(mrr.movements(stood, asked, days)).to_dicts()
    for before, after in itertools.pairwise(bridge):
        assert after["start_minor"] == before["end_minor"]
    for row in bridge:
        assert row["start_minor"] + sum(row[f"{kind}_minor"] for kind in mrr.KINDS) == row["end_minor"]
    for row in mrr.retention(stood, days).to_dicts():
        assert row["gross"] <= min(1, row["net"]) + 1e-12


@pytest.fixture
def signed(owner, entity, make_customers):
    """A contract of 100 a month that renews by itself in May, and a yearly one of 1,200 that ends then."""
    with clock.at(TODAY):
        for customer, (name, unit, price, renews) in zip(
            make_customers("Globex", "Initech"), [("Seats", "month", 100, 12), ("Support", "year", 1_200, 0)], strict=True
        ):
            row = {"description": name, "quantity_micro": 10**6, "unit_price_nano": price * 100 * 10**9, "unit": unit}
            once = {"description": "Set-up", "quantity_micro": 10**6, "unit_price_nano": 10**13, "unit": "day"}
            actions.add_contract(
                actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=date(2026, 2, 1), ends_on=date(2026, 5, 1), renews_months=renews, items=[row, once]
            )  # fmt: skip
        yield


def test_contracts_bring_their_month_and_end_where_they_were_agreed_to(signed, entity, django_assert_num_queries):
    with django_assert_num_queries(2):
        found = recurring(entity_id=entity.pk, as_of=TODAY)
    last = found.bridge.to_dicts()[-1]
    assert (last["day"], last["end_minor"], last["customers"], last["net"]) == (TODAY, 200_00, 2, None)
    ahead = found.ahead.filter(pl.col("day") == date(2026, 5, 31)).to_dicts()
    assert [(a["agreed_minor"], a["renewing_minor"]) for a in ahead] == [(0, 100_00)]


@pytest.fixture
def agree(owner, entity, make_customers):
    """A contract of some items; returns its id."""
    (customer,) = make_customers("Hooli")

    def make(*rows: dict, starts_on=date(2026, 1, 1)):
        items = [{"description": f"Item {n}", "quantity_micro": 10**6, "unit": "month", **row, "unit_price_nano": row["unit_price_nano"] * 10**9} for n, row in enumerate(rows)]  # fmt: skip
        return actions.add_contract(actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=starts_on, items=items)  # fmt: skip

    with clock.at(TODAY):
        yield make


def ends(entity) -> dict[date, int]:
    return {row["day"]: row["end_minor"] for row in recurring(entity_id=entity.pk, as_of=TODAY).bridge.to_dicts()}


def test_a_trial_brings_nothing_before_its_first_day_that_costs_something(agree, entity):
    agree({"unit_price_nano": 100_00, "free_until": date(2026, 3, 1)})
    found = recurring(entity_id=entity.pk, as_of=TODAY)
    assert [(m["day"].month, m["kind"], m["change_minor"]) for m in found.moves.to_dicts()] == [(3, "new", 100_00)]


def test_a_discount_that_lasts_is_a_lower_price_and_one_for_some_periods_is_not(agree, entity, owner):
    made = agree({"unit_price_nano": 100_00}, {"unit_price_nano": 600_00, "unit": "year"})
    first = Item.objects.filter(contract_id=made).order_by("id")[0].pk
    more = {"actor": owner, "contract_id": made, "unit": "month"}
    actions.add_discount(**more, name="TENTH", share_ppm=100_000, starts_on=date(2026, 2, 1))
    gone = actions.add_discount(**more, name="LESS", amount_minor=20_00, item_id=first, starts_on=date(2026, 2, 1))
    actions.add_discount(**more, name="WELCOME", share_ppm=500_000, periods=6, starts_on=date(2026, 1, 1))
    actions.end_discount(actor=owner, discount_id=gone, on=date(2026, 3, 1))
    assert list(ends(entity).values()) == [150_00, 115_00, 135_00]
    assert queries.yearly([made], on=TODAY) == {made: 12 * 135_00}


def test_an_amount_is_taken_as_often_as_what_it_lowers_and_no_deeper(agree, entity, owner):
    made = agree({"unit_price_nano": 1_200_00, "unit": "year"})
    actions.add_discount(actor=owner, contract_id=made, name="TEN", amount_minor=10_00, unit="month", starts_on=date(2026, 2, 1))
    assert ends(entity)[TODAY] == 100_00 - 83  # ten of each yearly bill, not of each month
    actions.add_discount(
        actor=owner, contract_id=made, name="ALL", amount_minor=9_999_00, unit="month", starts_on=date(2026, 3, 1)
    )
    assert ends(entity)[TODAY] == 0


def test_the_page_opens_who_moved_it_and_refuses_what_is_none(signed, make_member):  # noqa: F811
    client = Client()
    client.force_login(
        Member.objects.get(pk=make_member("RevOps").pk), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    shown = client.get("/contracts/recurring/", {"as_of": "2026-03-15"}).content.decode()
    assert "200.00" in shown and "2,400.00" in shown and "kind=new" in shown
    opened = client.get("/contracts/recurring/", {"as_of": "2026-03-15", "day": "2026-02-28", "kind": "new"}).content.decode()
    assert "Globex" in opened and "Initech" in opened
    for asked in ({"currency": "USD"}, {"day": "x"}, {"kind": "odd"}):
        assert client.get("/contracts/recurring/", asked).status_code == 422
