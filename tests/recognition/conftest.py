"""A company in Germany, in April, with a customer; contracts are signed, billed and closed through the door."""

from __future__ import annotations

from datetime import date

import pytest

from topline.billing import taxes
from topline.books.models import Entity
from topline.contracts import actions as contracts
from topline.contracts import runs
from topline.kernel import clock
from topline.recognition import actions

JAN, YEAR_ON = date(2026, 1, 1), date(2027, 1, 1)


@pytest.fixture(autouse=True)
def _home(owner, entity):
    """A company in Germany, in April."""
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    entity.refresh_from_db()
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 4, 2)):
        yield


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def sign(owner, entity, customer):
    """Write down a contract of a year at 1,200.00, paid in advance, unless told; returns its id."""

    def make(*items, **facts):
        usual = {"description": "Platform", "quantity_micro": 10**6, "unit_price_nano": 1_200_00 * 10**9, "unit": "year"}
        told = {"customer_id": customer, "currency": "EUR", "starts_on": JAN, "ends_on": YEAR_ON} | facts
        return contracts.add_contract(actor=owner, entity_id=entity.pk, items=[usual | item for item in (items or ({},))], **told)

    return make


@pytest.fixture
def bill(owner, entity):
    return lambda as_of: runs.run(actor=owner, entity_id=entity.pk, as_of=as_of)


@pytest.fixture
def close(owner, entity):
    return lambda through: actions.close_month(actor=owner, entity_id=entity.pk, through=through)
