"""A product on its pages: facts and cost, prices in books, bundles and steps by volume; what cannot be is told beside its field."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.test import Client

from topline.catalog import actions, promotions
from topline.catalog.models import Price, PriceBook, Product
from topline.kernel import clock
from topline.team import actions as team
from topline.team.models import Member

DAY = date(2026, 3, 2)


@pytest.fixture
def client(owner, entity):
    made = team.add_member(actor=owner, email="o@acme.localhost", name="Olivia", roles=["Owner"], password="a long enough phrase")
    client = Client()
    client.force_login(Member.objects.get(pk=made))
    with clock.at(DAY):
        yield client


@pytest.fixture
def products(owner):
    made = actions.add_products(
        actor=owner, products=pl.DataFrame({"code": ["FAN", "PUMP", "SET"], "name": ["Fan", "Pump", "Set"]})
    )
    return dict(zip(("FAN", "PUMP", "SET"), made["product_id"].to_list(), strict=True))


def page(client, product):
    return client.get(f"/catalog/{product}/").content.decode()


def test_facts_and_cost_are_changed_and_the_margin_is_told(client, products, owner):
    price = {"product_id": [products["FAN"]], "currency": ["EUR"], "unit_price_nano": [100_00 * 10**9], "valid_from": [DAY]}
    actions.add_prices(actor=owner, prices=pl.DataFrame(price))
    said = {"name": "Big fan", "family": "Air", "unit": "piece", "cost": "40.00", "cost_currency": "EUR", "is_active": "on"}
    assert client.post(f"/catalog/{products['FAN']}/change/", said).status_code == 302
    shown = page(client, products["FAN"])
    assert "Big fan" in shown and "40.00 EUR" in shown and "60.0 %" in shown
    assert client.post(f"/catalog/{products['FAN']}/change/", said | {"cost": "", "is_active": ""}).status_code == 302
    found = Product.objects.get(pk=products["FAN"])
    assert (found.unit_cost_nano, found.is_active) == (None, False)
    refused = client.post(f"/catalog/{products['FAN']}/change/", said | {"cost": "-1"})
    assert refused.status_code == 400 and not Product.objects.get(pk=products["FAN"]).unit_cost_nano


def test_a_price_that_ends_says_what_follows_and_two_on_one_day_are_told_by_name(client, products):
    new, some = f"/catalog/{products['FAN']}/prices/new/", {"price": "10", "currency": "EUR", "valid_from": "2026-04-01"}
    told = client.post(new, some | {"valid_to": "2026-06-01"}, follow=True).content.decode()
    assert "From 1 Jun 2026 on none is set" in told
    refused = client.post(new, some | {"valid_from": "2026-05-01"})
    assert refused.status_code == 400 and Price.objects.count() == 1
    assert (
        "FAN would have two prices in EUR on 1 May 2026: one holds from 1 Apr 2026 until before 1 Jun 2026."
        in refused.content.decode()
    )
    assert "none is set" not in client.post(new, some | {"valid_from": "2026-06-01"}, follow=True).content.decode()


def test_a_price_stands_in_a_book_for_some_days(client, products):
    assert "everybody pays the list" in client.get("/catalog/price-books/").content.decode()
    assert client.post("/catalog/price-books/new/", {"name": "Partners", "key": "partners"}).status_code == 302
    again = client.post("/catalog/price-books/new/", {"name": "Partners", "key": "partners"})
    assert again.status_code == 400 and "already" in again.content.decode()
    book = PriceBook.objects.get()
    said = {"price": "80.00", "currency": "EUR", "price_book_id": book.pk, "valid_from": "2026-03-02", "valid_to": "2026-06-01"}
    assert client.post(f"/catalog/{products['FAN']}/prices/new/", said).status_code == 302
    made = Price.objects.get()
    assert (made.price_book_id, made.unit_price_nano, made.valid_to) == (book.pk, 80_00 * 10**9, date(2026, 6, 1))
    assert "Partners" in page(client, products["FAN"])
    overlapping = client.post(f"/catalog/{products['FAN']}/prices/new/", said | {"valid_from": "2026-05-01", "valid_to": ""})
    assert overlapping.status_code == 400
    backwards = client.post(f"/catalog/{products['FAN']}/prices/new/", said | {"valid_from": "2026-07-01"})
    assert backwards.status_code == 400 and "ends after it began" in backwards.content.decode()


def test_a_bundle_and_its_steps_are_set_and_shown_again(client, products):
    assert client.post(f"/catalog/{products['SET']}/parts/", {"parts": "FAN 2\nPUMP 0.5\n"}).status_code == 302
    assert client.post(f"/catalog/{products['SET']}/volumes/", {"steps": "10 5\n100 12.5%"}).status_code == 302
    shown = page(client, products["SET"])
    assert "Fan" in shown and ">2<" in shown and "0.5" in shown and "12.5 % off" in shown
    assert "FAN 2" in client.get(f"/catalog/{products['SET']}/parts/").content.decode()
    assert "100 12.5" in client.get(f"/catalog/{products['SET']}/volumes/").content.decode()
    assert client.post(f"/catalog/{products['SET']}/parts/", {"parts": ""}).status_code == 302
    assert "sold by itself" in page(client, products["SET"])


@pytest.mark.parametrize(
    ("where", "said", "told"),
    [
        ("parts", "FAN", "is not a code and a number"), ("parts", "NONE 1", "no product NONE"), ("parts", "SET 1", "no part of itself"), ("parts", "FAN many", "is no quantity"),
        ("parts", "FAN 0", "above zero"), ("parts", "FAN 1\nFAN 2", "a part once"), ("steps", "10", "is not a quantity"), ("steps", "10 120", "is no share"), ("steps", "0 5", "above zero"),
        ("steps", "10 5\n10 6", "10"),
    ],
)  # fmt: skip
def test_what_is_no_bundle_or_step_is_told(client, products, where, said, told):
    path = "parts" if where == "parts" else "volumes"
    answer = client.post(f"/catalog/{products['SET']}/{path}/", {where: said})
    assert answer.status_code == 400 and told in answer.content.decode()
    assert promotions.volumes([products["SET"]]).is_empty() and promotions.parts([products["SET"]]).is_empty()
