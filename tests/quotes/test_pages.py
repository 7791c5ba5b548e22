"""Quotes in the browser: the team's pages, and the link that the customer opens without signing in."""

from __future__ import annotations

import re
from datetime import date, timedelta
from html import unescape

import polars as pl
import pytest
from django.test import Client

from topline.catalog import promotions
from topline.catalog.models import DiscountBand, Promotion
from topline.kernel import clock
from topline.pipeline.models import Opportunity
from topline.quotes import queries
from topline.quotes.models import Quote, QuoteApproval, QuoteSignature
from topline.team import actions as members
from topline.team.models import Member

TODAY = date(2026, 3, 2)


def browser_of(owner, name, role):
    pk = members.add_member(actor=owner, email=f"{name}@acme.localhost", name=name, roles=[role], password="a long enough phrase")
    client = Client()
    client.force_login(Member.objects.get(pk=pk))
    return client


@pytest.fixture
def browser(owner):
    return browser_of(owner, "Olivia", "Owner")


def written(deal, products, **said):
    head = {
        "starts_on": "2026-04-01",
        "months": "12",
        "bill_every": "year",
        "terms": "net 30",
        "valid_until": "2026-04-01",
        "price_book": "",
        "promotions": "",
        "note": "",
    }
    rows = {
        "form-TOTAL_FORMS": "2",
        "form-INITIAL_FORMS": "0",
        "form-0-product": str(products["PUMP"]),
        "form-0-quantity": "10",
        "form-0-percent": "5",
        "form-1-product": "",
    }
    return {**head, **rows, **said}


def test_a_quote_is_written_agreed_sent_and_shown_with_its_steps(owner, deal, products, browser):
    promotions.set_bands(actor=owner, bands=[(40_000, ""), (300_000, "Sales manager")])
    assert "New quote" in browser.get(f"/pipeline/{deal}/").content.decode()
    answer = browser.post(f"/quotes/new/?deal={deal}", written(deal, products))
    quote = Quote.objects.get()
    assert answer.url == f"/quotes/{quote.pk}/"
    page = browser.get(answer.url).content.decode()
    assert "A Sales manager must agree" in page and "5.0 % off list" in page and "95.00" in page and "disabled" in page
    assert browser.post(f"/quotes/{quote.pk}/send/").status_code == 409
    browser.post(f"/quotes/{quote.pk}/ask/", {"reason": "First order"})
    assert browser.post(f"/quotes/approvals/{QuoteApproval.objects.get().pk}/", {"agree": "yes"}).status_code == 409, "one's own"
    manager = browser_of(owner, "Mona", "Sales manager")
    assert "First order" in manager.get("/quotes/").content.decode()
    manager.post(f"/quotes/approvals/{QuoteApproval.objects.get().pk}/", {"agree": "yes"})
    assert browser.post(f"/quotes/{quote.pk}/send/").url == f"/quotes/{quote.pk}/"
    quote.refresh_from_db()
    assert f"/q/{quote.token}/" in browser.get(f"/quotes/{quote.pk}/").content.decode()
    assert browser.get(f"/quotes/{quote.pk}/pdf/").content == bytes(quote.document.pdf)


def test_what_cannot_be_is_told_beside_the_form_and_rows_are_added_without_losing_what_was_typed(deal, products, browser):
    address = f"/quotes/new/?deal={deal}"
    bad = browser.post(address, written(deal, products, terms="whenever"))
    assert bad.status_code == 400 and "no payment terms" in bad.content.decode() and 'value="10"' in bad.content.decode()
    parts = browser.post(address, written(deal, products, terms="50% 0, 40% 30"))
    assert parts.status_code == 400 and "come to 90 %. Change them until they come to 100 %." in parts.content.decode()
    assert browser.post(address, written(deal, products, **{"form-0-percent": "120"})).status_code == 400
    assert browser.post(address, written(deal, products, **{"form-0-product": ""})).status_code == 400
    assert browser.post(address, written(deal, products, promotions="NONE")).status_code == 400
    more = browser.post(address, written(deal, products, more="1", note="Kept")).content.decode()
    assert "form-7-product" in more and 'value="10"' in more and "Kept" in more
    assert not Quote.objects.exists()
    assert browser.get("/quotes/new/?deal=x").status_code == 404
    assert browser.get("/quotes/?state=x").status_code == 422


# --- the link ---
def test_the_customer_reads_accepts_and_signs_without_signing_in_and_a_second_click_changes_nothing(deal, send):
    sent = send()
    customer, address = Client(), f"/q/{sent.quote.token}/"
    page = customer.get(address)
    text = page.content.decode()
    assert page.status_code == 200 and "100.00" in text and page["Cache-Control"] == "no-store"
    assert "Pocket" not in text and "Margin" not in text
    assert customer.get(address + "pdf/").content == bytes(sent.quote.document.pdf)
    said = {
        "name": "Ada Buyer",
        "title": "Head of purchasing",
        "sha256": re.search(r'name="sha256" value="(\w+)"', text)[1],
        "agree": "yes",
    }
    assert customer.post(address + "accept/", {**said, "agree": ""}).status_code == 422
    assert customer.post(address + "accept/", {**said, "name": " "}).status_code == 422
    assert Opportunity.objects.get(pk=deal).state == "open"
    for _ in range(2):
        assert customer.post(address + "accept/", said, REMOTE_ADDR="203.0.113.7").url == address
    assert QuoteSignature.objects.get().ip == "203.0.113.7"
    assert Opportunity.objects.get(pk=deal).state == "won"
    assert "Accepted by Ada Buyer" in customer.get(address).content.decode()


def test_an_expired_link_says_so_and_takes_no_acceptance(deal, send):
    sent = send(valid_until=TODAY)
    address = f"/q/{sent.quote.token}/"
    with clock.at(TODAY + timedelta(days=1)):
        page = Client().get(address).content.decode()
        assert "valid until 02 Mar 2026" in page and "accept/" not in page
        said = {"name": "A", "title": "B", "sha256": sent.sha256, "agree": "yes"}
        assert Client().post(address + "accept/", said).status_code == 409
    assert Opportunity.objects.get(pk=deal).state == "open"


def test_a_link_that_nobody_sent_tells_nothing(db, write):
    write()
    for token in ("nothing", "None"):
        answer = Client().get(f"/q/{token}/")
        assert answer.status_code == 404 and "no quote at this address" in answer.content.decode()


def test_a_question_and_a_refusal_reach_the_team(send, browser):
    sent = send()
    address = f"/q/{sent.quote.token}/"
    assert Client().post(address + "ask/", {"question": "Is freight in it?"}).status_code == 302
    assert Client().post(address + "ask/", {"question": " "}).status_code == 422
    assert "Is freight in it?" in browser.get(f"/quotes/{sent.quote.pk}/").content.decode()
    assert Client().post(address + "decline/", {"because": "Too dear"}).status_code == 302
    assert "Too dear" in browser.get(f"/quotes/{sent.quote.pk}/").content.decode()


# --- rules ---
def test_promotions_and_bands_are_set_on_their_pages(entity, browser, products):
    form = {
        "code": "spring",
        "name": "Spring",
        "kind": "percent",
        "value": "12,5",
        "currency": "EUR",
        "starts_on": "2026-03-01",
        "product_id": str(products["PUMP"]),
        "budget": "1,000.00",
        "stacks": "on",
    }
    assert browser.post("/catalog/promotions/new/", form).status_code == 302
    made = Promotion.objects.get()
    assert (made.code, made.percent_ppm, made.budget_minor, made.product_id, made.stacks) == (
        "SPRING",
        125_000,
        1_000_00,
        products["PUMP"],
        True,
    )
    for odd in (
        {"value": "much"},
        {"value": "101"},
        {"code": "spring"},
        {"code": "X", "kind": "free_periods", "value": "half"},
        {"code": "X", "ends_on": "2026-02-01"},
    ):
        assert browser.post("/catalog/promotions/new/", {**form, **odd}).status_code == 400, odd
    assert "12.5 % off" in browser.get("/catalog/promotions/").content.decode()
    browser.post(f"/catalog/promotions/{made.pk}/stop/")
    made.refresh_from_db()
    assert made.stopped_on == TODAY
    rows = {
        "form-TOTAL_FORMS": "2",
        "form-INITIAL_FORMS": "0",
        "form-0-up_to": "10",
        "form-0-approver": "",
        "form-1-up_to": "25",
        "form-1-approver": "Owner",
    }
    assert browser.post("/catalog/bands/set/", rows).status_code == 302
    assert list(DiscountBand.objects.order_by("up_to_ppm").values_list("up_to_ppm", "approver")) == [
        (100_000, ""),
        (250_000, "Owner"),
    ]
    wrong = {**rows, "form-0-approver": "Owner", "form-1-approver": ""}
    assert "needs at least the same role" in browser.post("/catalog/bands/set/", wrong).content.decode()


# --- what was reached ---
def test_prices_reached_add_up_by_group_and_promotions_say_when_there_is_too_little(owner, entity, deal, send, accept, browser):
    promotions.add_promotion(actor=owner, code="TEN", name="Ten", kind="percent", percent_ppm=100_000, starts_on=TODAY)
    accept(send({"manual_ppm": 50_000}, promotions=["TEN"], terms="net 73"))
    found = queries.realisation(entity_id=entity.pk, since=date(2026, 1, 1), until=date(2026, 4, 1), by="rep")
    (row,) = found.to_dicts()
    assert (row["key"], row["list_minor"], row["net_minor"], row["promotion"], row["manual"], row["terms"]) == (
        "Ann",
        100_00,
        85_50,
        -10_00,
        -4_50,
        -1_71,
    )
    assert row["net_share"] == pytest.approx(0.855) and row["pocket_minor"] == 83_79
    assert row["list_minor"] + sum(row[step] for step in queries.STEPS) == row["pocket_minor"]
    (effect,) = queries.promotion_effects(entity_id=entity.pk, as_of=TODAY)
    assert (effect["used"], effect["cost_minor"], effect["with_won"], effect["with_ended"], effect["win"]) == (
        1,
        10_00,
        1,
        1,
        None,
    )
    page = browser.get("/quotes/prices/").content.decode()
    assert "Not enough data" in page and "85.5 %" in page
    assert page.index(">Net</th>") < page.index(">Payment terms</th>") < page.index(">Pocket</th>")
    (behind,) = {unescape(link) for link in re.findall(r'href="(/quotes/\?by=rep[^"]+)', page)}
    assert browser.get(behind).content.decode().count("Q-000001/1") == 1
    assert "Q-000001/1" not in browser.get(behind.replace("key=Ann", "key=Bob")).content.decode()
    assert browser.get(behind.replace("by=rep", "by=colour")).status_code == 422
    assert browser.get("/quotes/prices/?by=nothing").status_code == 422


def test_an_effect_is_told_with_its_interval_when_there_are_enough_deals():
    deals = pl.DataFrame({"ended": [20], "won": [15]}).to_dicts()[0]
    told = queries._effect({**deals, "size": 1}, {"ended": 20, "won": 5, "size": 1})
    assert told.value == pytest.approx(-0.5 + 1.0) and told.low > 0
