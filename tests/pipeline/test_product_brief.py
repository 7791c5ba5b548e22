"""The brief of a product: what it is, what it costs, who bought it, who competes; and our list prices beside those of competitors."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from django.test import Client

from topline.catalog import actions as catalog
from topline.catalog import promotions
from topline.kernel import clock
from topline.kernel.errors import NotFound
from topline.market import briefs, competitors, prices
from topline.pipeline import actions
from topline.team import actions as members
from topline.team.models import Member

TODAY = date(2026, 3, 31)


@pytest.fixture
def market(owner, products, deal):
    """A competitor asks 8.00 a pump; Ann won two pumps in one segment, lost one in another, and one is open."""
    with clock.at(datetime(2026, 2, 1, 9, tzinfo=UTC)):
        acid = competitors.add_competitor(actor=owner, name="Acid Rain")
        row = {"product": "Sprinkler", "compares_with": "PUMP", "currency": "EUR", "unit_price_nano": 800 * 10**9, "unit": "piece", "valid_from": date(2026, 1, 1),
               "seen_on": date(2026, 2, 1), "source": "price page"}  # fmt: skip
        competitors.add_competitor_prices(actor=owner, competitor_id=acid, prices=pl.DataFrame([row]))
    for amount in (9_00, 8_00):
        actions.win_opportunity(actor=owner, opportunity_id=deal(segment="Large", amount_minor=amount), on=date(2026, 3, 1))
    actions.lose_opportunity(actor=owner, opportunity_id=deal(segment="Small", amount_minor=9_00), on=date(2026, 3, 2), loss_reason="Price", competitor="Acid Rain")  # fmt: skip
    deal(segment="Large", amount_minor=50_00)
    deal(product="FAN", segment="Large", amount_minor=70_00)


def test_it_says_what_it_is_and_costs_what_was_sold_and_who_competes(owner, entity, products, market):
    found = briefs.brief("product:PUMP", entity=entity, as_of=TODAY)
    facts = dict(found.facts)
    assert facts["List price"] == "10.00 EUR per unit"
    assert facts["Won in a year"] == "2 of 3 deals that ended"
    assert facts["Win rate"].startswith("not enough data")
    sections = {s.title: s for s in found.sections}
    assert sections["Who buys"].rows == [["Large", "2", "17.00 EUR"]]
    assert sections["Who competes"].rows == [["Acid Rain", "Sprinkler", "8.00 EUR", "piece", "1 Jan 2026"]]
    assert briefs.titles()["product:PUMP"] == "Pump"
    assert sections["What it is"].sentences == ["Nobody said it yet: change the product in the catalog."]
    catalog.change_product(actor=owner, product_id=products["PUMP"], changes={"description": "Moves water uphill."})
    assert briefs.brief("product:PUMP", entity=entity, as_of=TODAY).sections[0].sentences == ["Moves water uphill."]


def test_nothing_that_came_later_is_told(entity, market):
    found = briefs.brief("product:PUMP", entity=entity, as_of=date(2026, 1, 31))
    assert dict(found.facts)["Won in a year"] == "0 of 0 deals that ended"
    assert next(s for s in found.sections if s.title == "Who buys").rows == []


def test_figures_stand_to_the_right_and_words_to_the_left(entity, market):
    sections = {s.title: s for s in briefs.brief("product:PUMP", entity=entity, as_of=TODAY).sections}
    assert sections["Who buys"].figures == [False, True, True]
    assert sections["Who competes"].figures == [False, False, True, False, False]
    assert sections["What it is"].figures == []


def test_a_bundle_without_a_price_of_its_own_is_told_with_its_parts_and_what_they_cost(owner, entity, products, market):
    made = catalog.add_products(actor=owner, products=pl.DataFrame({"code": ["SET"], "name": ["Set"]}))["product_id"][0]
    assert dict(briefs.brief("product:SET", entity=entity, as_of=TODAY).facts)["List price"] == "none today"
    promotions.set_parts(actor=owner, product_id=made, parts=[(products["PUMP"], 2_500_000)])
    facts = dict(briefs.brief("product:SET", entity=entity, as_of=TODAY).facts)
    assert (facts["Made of"], facts["List price"]) == ("2.5 × Pump", "25.00 EUR per unit, as its parts together")


def test_an_unknown_product_has_no_brief(entity, market):
    with pytest.raises(NotFound):
        briefs.brief("product:NONE", entity=entity, as_of=TODAY)


def test_our_list_stands_beside_the_competitors_and_makes_the_index(entity, market):
    found = prices.position(as_of=TODAY, currency="EUR")
    assert found.index.value == pytest.approx(125)
    assert [(r["seller"], r["unit"]) for r in found.rows.filter(pl.col("code") == "PUMP").to_dicts()] == [("Us", "piece"), ("Acid Rain", "piece")]  # fmt: skip


def test_the_page_and_its_pdf_open_and_it_may_stand_on_the_reading_path(owner, entity, market):
    pk = members.add_member(
        actor=owner, email="ann@acme.localhost", name="Ann", roles=["RevOps"], password="a long enough phrase"
    )
    browser = Client()
    browser.force_login(Member.objects.get(pk=pk))
    assert "Who competes" in browser.get("/market/brief/?key=product:PUMP").content.decode()
    assert browser.get("/market/brief/?key=product:PUMP&form=pdf").content.startswith(b"%PDF-")
    assert "product:PUMP" in browser.get("/market/briefs/").content.decode().replace("%3A", ":")
    assert briefs.set_reading_path(actor=owner, steps=[("product:PUMP", "What we sell")]) == 1
