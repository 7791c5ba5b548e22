"""The renewal board: how likely contracts go on by those that had to decide, what survives, and price rises that lead to their amendment."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.test import Client

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from topline.catalog import actions as catalog
from topline.contracts import actions, amendments, renewal_quotes, renewing
from topline.contracts.models import Contract, Item
from topline.engine import renewals as engine
from topline.engine.proportions import wilson
from topline.kernel import clock
from topline.market.models import Customer
from topline.pipeline import people as pipeline
from topline.pipeline.models import Opportunity, Rep
from topline.quotes import actions as quotes
from topline.quotes.models import Quote
from topline.team.models import Member

TODAY = date(2026, 3, 1)


@pytest.fixture(autouse=True)
def _today():
    with clock.at(TODAY):
        yield


def frames(rows, renewals):
    contracts = pl.DataFrame(
        [{"contract_id": n, "starts_on": start, "ends_on": end, "is_moved": moved} for n, (start, end, moved) in enumerate(rows)],
        schema={"contract_id": pl.Int64, "starts_on": pl.Date, "ends_on": pl.Date, "is_moved": pl.Boolean},
    )
    return contracts, pl.DataFrame({"contract_id": renewals}, schema={"contract_id": pl.Int64})


def test_every_decision_counts_once_and_what_is_still_running_or_went_elsewhere_does_not():
    rows = [
        (date(2024, 1, 1), date(2026, 1, 1), False),  # renewed once, then ended
        (date(2024, 1, 1), date(2027, 1, 1), False),  # renewed twice, still running
        (date(2025, 1, 1), date(2026, 5, 1), False),  # never had to decide
        (date(2025, 1, 1), date(2025, 6, 1), True),  # another contract took it over
        (date(2025, 1, 1), None, False),  # has no end
        (date(2025, 2, 1), TODAY, False),  # ends today: did not renew
    ]
    found = engine.decisions(*frames(rows, [0, 1, 1]), as_of=TODAY)
    assert found.rows() == [(0, 2024, 1, True), (0, 2024, 2, False), (1, 2024, 1, True), (1, 2024, 2, True), (5, 2025, 1, False)]


def test_a_share_has_its_interval_and_too_few_decisions_are_said_to_be_too_few():
    rows = [(date(2024, 1, 1), date(2027, 1, 1), False)] * 12 + [(date(2024, 1, 1), date(2025, 1, 1), False)] * 8
    found = engine.decisions(*frames(rows, [n for n in range(12) for _ in range(1 + (n < 3))]), as_of=TODAY)
    first, second = engine.by_number(found).to_dicts()
    assert (first["decided"], first["renewed"], first["share"], (first["low"], first["high"])) == (20, 12, 0.6, wilson(12, 20))
    assert (second["decided"], second["share"]) == (3, None)
    assert engine.survival(found).select("cohort", "number", "survival").rows() == [(2024, 1, 0.6), (2024, 2, None)]


def test_survival_is_the_product_of_what_went_on():
    decided = pl.DataFrame(
        [
            {"contract_id": n, "cohort": 2023, "number": k, "renewed": n < limit}
            for k, limit, of in ((1, 16, 20), (2, 12, 16))
            for n in range(of)
        ]
    )
    assert engine.survival(decided)["survival"].to_list() == [0.8, pytest.approx(0.6)]


@pytest.fixture
def products(owner):
    seat, service = catalog.add_products(
        actor=owner, products=pl.DataFrame({"code": ["SEAT", "SVC"], "name": ["Seat", "Service"]})
    )["product_id"].to_list()
    prices = pl.DataFrame({"product_id": [seat, service], "currency": "EUR", "unit_price_nano": [12_00 * 10**9, 90_00 * 10**9], "valid_from": date(2024, 1, 1)})  # fmt: skip
    catalog.add_prices(actor=owner, prices=prices)
    return seat, service


@pytest.fixture
def ending(owner, entity, make_customers, products):
    """A contract that ends in 61 days: ten seats a month at 10.00 (listed at 12.00), a service a quarter at 100.00 (listed at 90.00), and something without a list price."""
    (customer,) = make_customers("Globex")
    usual = {"quantity_micro": 10**6, "unit": "month"}
    items = [
        {**usual, "product_id": products[0], "quantity_micro": 10 * 10**6, "unit_price_nano": 10_00 * 10**9},
        {**usual, "product_id": products[1], "unit": "quarter", "unit_price_nano": 100_00 * 10**9},
        {**usual, "description": "Extra", "unit_price_nano": 5_00 * 10**9},
    ]
    made = actions.add_contract(actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=date(2025, 5, 1), ends_on=date(2026, 5, 1), renews_months=12, items=items)  # fmt: skip
    return Contract.objects.get(pk=made)


def test_a_price_rise_goes_to_the_list_of_the_day_or_by_an_index(entity, ending):
    (row,) = renewing.board(entity_id=entity.pk, as_of=TODAY, index_ppm=24_000)[0].to_dicts()
    now, listed = 12 * 100_00 + 4 * 100_00, 12 * 120_00 + 4 * 90_00
    assert (row["yearly_minor"], row["list_minor"]) == (now + 60_00, listed)
    assert row["list_ppm"] == (listed - now) * 10**6 // now == 125_000
    assert (row["list_yearly_minor"], row["index_yearly_minor"]) == (1_867_50, 1_699_84)
    assert (row["renewal"], row["decided"], row["share"]) == (1, 0, None)


def test_the_board_counts_what_was_decided_and_leads_to_the_amendment(owner, entity, ending, make_customers, make_member):  # noqa: F811
    (other,) = make_customers("Initech")
    usual = {"actor": owner, "entity_id": entity.pk, "customer_id": other, "currency": "EUR", "starts_on": date(2024, 1, 1)}
    item = {"description": "Seat", "quantity_micro": 10**6, "unit_price_nano": 10**9, "unit": "month"}
    for n in range(12):
        made = actions.add_contract(**usual, ends_on=date(2025, 1, 1), items=[item])
        if n < 9:
            amendments.amend(actor=owner, contract_id=made, kind="renew", on=date(2025, 1, 1), months=36)
    browser = Client()
    browser.force_login(
        Member.objects.get(pk=make_member("Billing").pk), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    page = browser.get("/contracts/renewals/", {"index": "2.4"}).content.decode()
    low, high = wilson(9, 12)
    assert f"75.0 % ({100 * low:.1f} % to {100 * high:.1f} %), of 12" in page
    assert "+12.50 %" in page and "1,867.50" in page and "1,699.84" in page
    at = f"/contracts/{ending.pk}/amend/renew/?months=12&amp;uplift=12.5000&amp;because=to+list+prices"
    assert at in page
    form = browser.get(at.replace("&amp;", "&")).content.decode()
    assert 'value="12.5000"' in form and 'value="2026-05-01"' in form
    browser.post(
        f"/contracts/{ending.pk}/amend/renew/",
        {"on": "2026-05-01", "months": "12", "uplift": "12.5", "because": "to list prices"},
    )
    ending.refresh_from_db()
    assert ending.ends_on == date(2027, 5, 1)
    assert Item.objects.filter(contract=ending, starts_on=date(2026, 5, 1), unit_price_nano=11_25 * 10**9).exists()
    assert browser.get("/contracts/renewals/", {"index": "x"}).status_code == 422


def test_a_price_rise_becomes_a_quote_that_can_be_sent(owner, entity, ending, make_member):  # noqa: F811
    """Once what cannot be quoted is gone; a second press writes the same draft anew, by another price."""
    pipeline.add_reps(actor=owner, reps=pl.DataFrame({"code": ["R1"], "name": ["Ann"]}))
    rep = Rep.objects.get()
    Customer.objects.filter(pk=ending.customer_id).update(owner=make_member("Sales").pk)
    Rep.objects.filter(pk=rep.pk).update(member_id=Customer.objects.get(pk=ending.customer_id).owner_id)
    asked = {"actor": owner, "contract_id": ending.pk, "on": TODAY}
    with pytest.raises(renewal_quotes.NotQuotable):
        renewal_quotes.quote_renewal(**asked)
    assert not Opportunity.objects.exists() and not Quote.objects.exists()
    browser = Client()
    browser.force_login(Member.objects.get(pk=make_member("Owner").pk), backend="allauth.account.auth_backends.AuthenticationBackend")  # fmt: skip
    address = f"/contracts/{ending.pk}/quote-renewal/"
    page = browser.get("/contracts/renewals/", {"index": "2.4", "as_of": str(TODAY)}).content.decode()
    assert address not in page and page.count("A quote bills all its lines by the same month, quarter or year.") == 2
    Item.objects.filter(contract=ending).exclude(unit_price_nano=10_00 * 10**9).update(ends_on=date(2026, 3, 1))
    page = browser.get("/contracts/renewals/", {"index": "2.4", "as_of": str(TODAY)}).content.decode()
    assert f"{address}?uplift=2.4000" in page and f'"{address}"' in page
    dear = browser.get("/contracts/renewals/", {"index": "50", "as_of": str(TODAY)}).content.decode()
    assert f"{address}?uplift" not in dear and "would cost more than the list price" in dear and f'"{address}"' in dear
    assert 'value="2.4000"' in browser.get(address, {"uplift": "2.4000"}).content.decode()
    assert browser.post(address, {"uplift": "50"}).status_code == 400, "above the list"
    assert browser.post(address, {"uplift": "x"}).status_code == 400 and not Quote.objects.exists()
    answer = browser.post(address, {"uplift": ""})
    quote, deal = Quote.objects.get(), Opportunity.objects.get()
    assert answer["Location"] == f"/quotes/{quote.pk}/" and (deal.source, deal.rep_id) == ("Renewal", rep.pk)
    assert (quote.net_minor, quote.starts_on, quote.bill_every, quote.state) == (12 * 120_00, date(2026, 5, 1), "month", "draft")
    again = renewal_quotes.quote_renewal(**asked, uplift_ppm=24_000)
    assert again == quote.pk and Opportunity.objects.count() == 1
    quote.refresh_from_db()
    assert abs(quote.net_minor - 12 * 102_40) <= 1
    quotes.send_quote(actor=owner, quote_id=quote.pk, on=TODAY)
    assert renewal_quotes.quote_renewal(**asked) != quote.pk, "the next version of one that was sent"


def test_programs_read_the_board_and_what_survives(api, ending):  # noqa: F811
    (row,) = api.get("/renewals", as_of="2026-03-01", index_ppm=24_000).json()["items"]
    assert (row["list_ppm"], row["index_yearly_minor"], row["share"]) == (125_000, 1_699_84, None)
    assert api.get("/contract-survival", as_of="2026-06-01").json()["items"][0]["decided"] == 1
