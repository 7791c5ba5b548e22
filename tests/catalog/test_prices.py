"""Products and their prices: none is edited, none overlaps, and every day has its own."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.db import IntegrityError, transaction

from topline.catalog import actions, queries
from topline.catalog.models import Price
from topline.kernel.errors import Invalid, NotFound

JAN, JUL, NEXT = date(2026, 1, 1), date(2026, 7, 1), date(2027, 1, 1)


@pytest.fixture
def product(owner):
    frame = pl.DataFrame({"code": ["P1"], "name": ["Pump"], "unit_cost_nano": [3 * 10**9], "cost_currency": ["EUR"]})
    return actions.add_products(actor=owner, products=frame)["product_id"][0]


@pytest.fixture
def price(owner, product):
    def make(minor, valid_from, valid_to=None, book=None, currency="EUR"):
        row = {"product_id": product, "currency": currency, "unit_price_nano": minor * 10**9, "valid_from": valid_from, "valid_to": valid_to, "price_book_id": book}  # fmt: skip
        frame = pl.DataFrame([row], schema_overrides={"valid_to": pl.Date, "price_book_id": pl.Int64})
        return actions.add_prices(actor=owner, prices=frame)["price_id"][0]

    return make


def listed(product, on, currency="EUR"):
    found = queries.list_price(product_id=product, on=on, currency=currency)
    return None if found is None else found // 10**9


def test_a_new_price_ends_the_old_one_and_the_past_keeps_its_price(product, price):
    first = price(1_000, JAN)
    price(1_200, JUL)
    assert Price.objects.get(pk=first).valid_to == JUL
    days = [date(2025, 12, 31), JAN, date(2026, 6, 30), JUL, NEXT]
    assert [listed(product, day) for day in days] == [None, 1_000, 1_000, 1_200, 1_200]
    assert listed(product, JUL, "USD") is None


def test_a_price_that_ends_leaves_the_days_after_it_without_one(product, price):
    price(1_000, JAN, JUL)
    assert listed(product, date(2026, 6, 30)) == 1_000
    assert listed(product, JUL) is None


@pytest.mark.parametrize(
    ("valid_from", "valid_to"),
    [(date(2026, 3, 1), None), (date(2025, 6, 1), date(2026, 1, 2)), (JAN, JUL), (date(2025, 6, 1), None)],
)
def test_two_prices_never_hold_on_one_day(product, price, valid_from, valid_to):
    price(1_000, JAN, JUL)
    with pytest.raises(actions.PricesOverlap):
        price(900, valid_from, valid_to)
    assert Price.objects.count() == 1
    assert listed(product, date(2026, 3, 1)) == 1_000


def test_the_database_itself_refuses_a_second_price_without_end(product, price):
    price(1_000, JAN)
    with pytest.raises(IntegrityError), transaction.atomic():
        Price.objects.create(
            product_id=product, currency="EUR", unit_price_nano=1, valid_from=JUL, recorded_at="2026-01-01T00:00Z"
        )


def test_a_price_book_goes_before_the_list_and_the_list_fills_its_gaps(owner, product, price):
    book = actions.add_price_book(actor=owner, key="partners", name="Partners")
    price(1_000, JAN)
    price(800, JUL, NEXT, book=book)
    asked = pl.DataFrame(
        {"product_id": product, "currency": "EUR", "on": [JAN, JUL, NEXT, JUL], "price_book_id": [book, book, book, None]}
    )
    found = queries.prices(asked)
    assert found.select("on", "price_book_id").equals(asked.select("on", "price_book_id"))
    assert [nano // 10**9 for nano in found["unit_price_nano"]] == [1_000, 800, 1_000, 1_000]


def test_prices_of_one_batch_may_follow_each_other(owner, product):
    frame = pl.DataFrame(
        {"product_id": product, "currency": "EUR", "unit_price_nano": [10**9, 2 * 10**9], "valid_from": [JAN, JUL]}
    )
    with pytest.raises(actions.PricesOverlap):
        actions.add_prices(actor=owner, prices=frame)
    ended = frame.with_columns(valid_to=pl.Series([JUL, None], dtype=pl.Date))
    actions.add_prices(actor=owner, prices=ended)
    assert [listed(product, day) for day in (JAN, JUL)] == [1, 2]


@pytest.mark.parametrize(
    ("column", "value", "refusal", "field"),
    [
        ("unit_price_nano", -1, Invalid, "unit_price_nano"),
        ("currency", "XQQ", Invalid, "currency"),
        ("valid_to", JAN, Invalid, "valid_to"),
        ("product_id", 987_654, NotFound, "product_id"),
        ("price_book_id", 987_654, NotFound, "price_book_id"),
    ],
)
def test_a_price_that_cannot_be_is_told_beside_its_field(owner, product, column, value, refusal, field):
    row = {
        "product_id": product,
        "currency": "EUR",
        "unit_price_nano": 1,
        "valid_from": JAN,
        "valid_to": None,
        "price_book_id": None,
    }
    frame = pl.DataFrame([row | {column: value}], schema_overrides={"valid_to": pl.Date, "price_book_id": pl.Int64})
    with pytest.raises(refusal) as refused:
        actions.add_prices(actor=owner, prices=frame)
    assert refused.value.field == field
    assert not Price.objects.exists()


def test_a_product_is_found_by_code_and_by_its_name_however_it_is_spaced(owner, product):
    actions.add_products(actor=owner, products=pl.DataFrame({"code": ["P2", "P3"], "name": ["GTX Pro", "Pump"]}))
    found = dict(queries.find(pl.Series(["P1", "gtxpro", "Pump", "Fan"])).iter_rows())
    assert found["P1"] == product
    assert found["gtxpro"] is not None
    assert (found["Pump"], found["Fan"]) == (None, None)  # two are called Pump


def test_a_code_stands_for_one_product(owner, product):
    with pytest.raises(actions.ProductCodeTaken):
        actions.add_products(actor=owner, products=pl.DataFrame({"code": ["P1"], "name": ["Other"]}))


def test_a_cost_needs_its_currency(owner, product):
    with pytest.raises(Invalid):
        actions.change_product(actor=owner, product_id=product, changes={"cost_currency": ""})
    actions.change_product(
        actor=owner, product_id=product, changes={"unit_cost_nano": None, "cost_currency": "", "is_active": False}
    )
