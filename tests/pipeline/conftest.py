"""A small team that sells two products."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from tests.api.conftest import api, call_as, make_member  # noqa: F401  (callers of the API)
from topline.catalog import actions as catalog
from topline.market import actions as market
from topline.market.models import Contact, Customer
from topline.pipeline import actions, people

JAN = date(2026, 1, 5)


@pytest.fixture
def team(owner):
    """Mia leads Ann and Bob; returns their ids by name."""
    frame = pl.DataFrame({"name": ["Mia", "Ann", "Bob"], "manager": ["", "Mia", "Mia"], "region": ["", "North", "South"]})
    return dict(zip(frame["name"], people.add_reps(actor=owner, reps=frame)["rep_id"], strict=True))


@pytest.fixture
def products(owner):
    """Pump at 10.00 and Fan at 5.00 EUR; returns their ids by code."""
    frame = pl.DataFrame({"code": ["PUMP", "FAN"], "name": ["Pump", "Fan"]})
    made = catalog.add_products(actor=owner, products=frame)
    prices = made.select(
        "product_id", currency=pl.lit("EUR"), unit_price_nano=pl.Series([1_000 * 10**9, 500 * 10**9]), valid_from=pl.lit(date(2025, 1, 1))
    )  # fmt: skip
    catalog.add_prices(actor=owner, prices=prices)
    return dict(made.select("code", "product_id").iter_rows())


def buyer(owner):
    """Globex with somebody there who may say yes; returns its id."""
    known = Customer.objects.filter(name="Globex").order_by("id").first()
    if known is None:
        frame = pl.DataFrame({"name": ["Globex"], "currency": ["EUR"]})
        made = market.add_customers(actor=owner, customers=frame)["customer_id"][0]
    else:
        made = known.pk
    if not Contact.objects.filter(customer_id=made).exists():
        market.add_contact(actor=owner, customer_id=made, name="Ada Buyer")
    return made


@pytest.fixture
def deal(owner, entity, team, products):
    """Add one open deal of Ann's, a pump at list price, unless told; returns its id."""

    def make(name="Pump for Globex", product="PUMP", **facts):
        row = {
            "ref": "1",
            "name": name,
            "rep_id": team["Ann"],
            "stage": "prospecting",
            "currency": "EUR",
            "opened_on": JAN,
            "customer_id": facts.pop("customer_id", None) or buyer(owner),
        } | facts
        lines = pl.DataFrame({"ref": ["1"], "product_id": [products[product]]}) if product else None
        made = actions.add_opportunities(
            actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([row]), lines=lines, known_on=JAN
        )
        return made["opportunity_id"][0]

    return make


@pytest.fixture
def change(owner):
    def make(deal_id, on, **changes):
        return actions.change_opportunity(actor=owner, opportunity_id=deal_id, changes=changes, on=on)

    return make
