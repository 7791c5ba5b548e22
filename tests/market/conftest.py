"""A small market: two segments, two competitors with prices, and customers of ours in it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import polars as pl
import pytest

from topline.kernel import clock
from topline.market import actions, battlecards, competitors, segments

TODAY = date(2026, 3, 31)


@pytest.fixture
def seen(owner):
    """Write down a price of a competitor, as on the day on which it was seen."""

    def make(competitor_id, product, amount, *, on, code="", currency="EUR", unit="user and month", valid_from=None):
        row = {
            "product": product, "compares_with": code, "currency": currency, "unit_price_nano": amount * 10**9, "unit": unit,
            "valid_from": valid_from or on, "seen_on": on, "source": "price page",
        }  # fmt: skip
        with clock.at(on):
            return competitors.add_competitor_prices(actor=owner, competitor_id=competitor_id, prices=pl.DataFrame([row]))

    return make


@pytest.fixture
def market(owner, entity, issue, seen):
    """Enterprise with size and two customers, a text that nobody described, two competitors, one with a card."""
    frame = pl.DataFrame(
        {"name": ["Globex", "Initech", "Hooli"], "currency": "EUR", "segment": ["Enterprise", "Enterprise", "Oddments"]}
    )
    globex, initech, hooli = actions.add_customers(actor=owner, customers=frame)["customer_id"].to_list()
    with clock.at(datetime(2026, 1, 5, 9, tzinfo=UTC)):
        acid = competitors.add_competitor(actor=owner, name="Acid Rain", website="https://acid.example", segments=["Enterprise"])
        brim = competitors.add_competitor(actor=owner, name="Brim")
        segments.describe_segment(actor=owner, name="Enterprise", description="Large ones", accounts=40, spend_minor=5_000_00, currency="EUR", on=date(2026, 1, 1), source="A study")  # fmt: skip
    seen(acid, "Seat", 20_00, on=date(2026, 1, 6), code="SEAT")
    seen(acid, "Seat", 25_00, on=date(2026, 2, 10), code="SEAT")
    seen(brim, "Place", 10_00, on=date(2026, 1, 7), code="SEAT")
    with clock.at(datetime(2026, 3, 1, 9, tzinfo=UTC)):
        battlecards.write_battlecard(actor=owner, competitor_id=acid, how_to_win="Be kind", on=date(2026, 3, 1), landmines="Who asks?", objections=[{"objection": "Too dear", "answer": "Count again"}])  # fmt: skip
    issue(globex, 1_000_00, on=date(2026, 2, 1))
    issue(initech, 250_00, on=date(2026, 3, 1))
    issue(hooli, 70_00, on=date(2026, 3, 2))
    with clock.at(datetime(2026, 3, 31, 9, tzinfo=UTC)):
        yield SimpleNamespace(entity=entity, globex=globex, initech=initech, hooli=hooli, acid=acid, brim=brim)
