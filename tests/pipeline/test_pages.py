"""The pipeline's pages: filters are addresses, every figure opens its deals, verbs leave history."""

from __future__ import annotations

import re
from datetime import date

import pytest
from django.test import Client
from django.urls import reverse

from topline.kernel import clock
from topline.pipeline import actions, people
from topline.pipeline.models import Opportunity, Rep
from topline.team import actions as members
from topline.team.models import Member

JAN, FEB, MAR = date(2026, 1, 5), date(2026, 2, 5), date(2026, 3, 5)


@pytest.fixture
def client(owner):
    made = members.add_member(actor=owner, email="o@example.com", name="Olivia", roles=["Owner"], password="long enough words 42")
    client = Client()
    client.force_login(Member.objects.get(pk=made))
    with clock.at(MAR):
        yield client


@pytest.fixture
def book(owner, entity, team, deal, change, make_customers):
    """Three deals open (one of Bob's), one won, one lost; returns their ids by name."""
    (initech,) = make_customers("Initech")
    made = {
        "Pumps": deal("Pumps", customer_id=initech, amount_minor=900, close_on=FEB, next_step="Call"),
        "Fans": deal("Fans", "FAN"),
        "Bobs": deal("Bobs", rep_id=team["Bob"], amount_minor=4_000, close_on=date(2026, 6, 1)),
        "Won": deal("Won", amount_minor=700),
        "Lost": deal("Lost", amount_minor=300),
    }
    change(made["Pumps"], FEB, stage="proposal")
    actions.win_opportunity(actor=owner, opportunity_id=made["Won"], on=FEB)
    actions.lose_opportunity(actor=owner, opportunity_id=made["Lost"], on=FEB, loss_reason="Price", competitor="Initech")
    return made


def named(response):
    """The deals that a page's list shows."""
    assert response.status_code == 200, response.content
    table = response.content.decode().partition("<tbody>")[2].partition("</tbody>")[0]
    return {name for name in ("Pumps", "Fans", "Bobs", "Won", "Lost") if f">{name}</a>" in table}


@pytest.mark.parametrize(
    ("query", "deals"),
    [
        ("", {"Pumps", "Fans", "Bobs"}),
        ("state=won", {"Won"}),
        ("state=closed", {"Won", "Lost"}),
        ("state=all&rep=Bob", {"Bobs"}),
        ("team=Mia&stage=proposal", {"Pumps"}),
        ("product=Fan", {"Fans"}),
        ("category=best_case", {"Pumps"}),
        ("flag=past", {"Pumps"}),
        ("flag=no_close", {"Fans"}),
        ("flag=list_amount", {"Fans"}),
        ("close_month=2026-06", {"Bobs"}),
        ("q=init", {"Pumps"}),
        ("as_of=2026-01-10", {"Pumps", "Fans", "Bobs", "Won", "Lost"}),
        ("as_of=2026-01-10&stage=proposal", set()),
        ("state=closed&since=2026-02-05&until=2026-02-06", {"Won", "Lost"}),
        ("state=closed&since=2026-02-06", set()),
        ("currency=USD", set()),
    ],
)
def test_a_filter_is_an_address(client, book, query, deals):
    assert named(client.get(f"/pipeline/?{query}")) == deals


@pytest.mark.parametrize("query", ["state=odd", "flag=odd", "since=odd", "by=odd", "sort=odd", "as_of=odd"])
def test_an_address_that_lies_is_refused(client, book, query):
    assert client.get(f"/pipeline/?{query}").status_code == 422


def test_tiles_are_filters_and_tell_single_and_cumulative_sums(client, book):
    text = client.get("/pipeline/").content.decode()
    assert re.search(r'href="[^"]*flag=past[^"]*"', text)
    assert re.search(r'href="[^"]*category=best_case[^"]*"', text)
    best = text.partition("Best Case alone, EUR")[2][:300]
    assert "9.00" in best
    assert "54.00" not in best
    assert "with all surer ones 54.00" in text.partition("Pipeline alone, EUR")[2][:400]


def test_the_list_asks_the_same_number_of_questions_whatever_it_holds(client, book, deal, django_assert_max_num_queries):
    client.get("/pipeline/")
    with django_assert_max_num_queries(30) as first:
        client.get("/pipeline/")
    for n in range(5):
        deal(f"More {n}")
    with django_assert_max_num_queries(len(first)):
        client.get("/pipeline/")


def test_the_list_tells_what_changed_in_a_week(client, book, change, team):
    change(book["Bobs"], date(2026, 3, 2), amount_minor=4_500, close_on=date(2026, 7, 1), stage="qualified")
    shown = client.get("/pipeline/").content.decode()
    assert "in prospecting before" in shown
    assert "▲ from 40.00" in shown and "later than 1 Jun 2026" in shown
    assert "▲" not in client.get("/pipeline/?as_of=2026-03-20").content.decode()


def test_a_deal_tells_its_history_and_offers_its_verbs(client, book):
    text = client.get(f"/pipeline/{book['Pumps']}/").content.decode()
    assert "prospecting" in text
    assert "proposal" in text
    for name, key in (("change", "c"), ("win", "w"), ("lose", "l")):
        assert f'data-dialog="do-{name}" data-press="{key}"' in text
    closed = client.get(f"/pipeline/{book['Won']}/").content.decode()
    assert "Open again" in closed
    assert 'data-dialog="do-win"' not in closed
    assert client.get("/pipeline/987654/").status_code == 404


def test_verbs_of_a_deal_are_carried_out_and_refused_beside_their_field(client, book, team):
    pumps = book["Pumps"]
    said = {
        "stage": "negotiation",
        "category": "best_case",
        "amount": "12.50",
        "close_on": "2026-04-01",
        "rep_id": team["Bob"],
        "next_step": "Visit",
    }
    assert client.post(f"/pipeline/{pumps}/change/", said).status_code == 302
    found = Opportunity.objects.get(pk=pumps)
    assert (found.stage.key, found.amount_minor, found.rep_id, found.next_step) == ("negotiation", 1_250, team["Bob"], "Visit")
    assert found.category == "commit"  # nobody chose another than the stage's
    wrong = client.post(f"/pipeline/{pumps}/change/", {**said, "amount": "twelve"})
    assert wrong.status_code == 400
    no_reason = client.post(f"/pipeline/{pumps}/lose/", {"on": "2026-03-05", "loss_reason": "", "competitor": "Initech"})
    assert no_reason.status_code == 400
    assert Opportunity.objects.get(pk=pumps).state == "open"
    for wrong, sentence in (
        ({"close_on": "2020-01-01"}, "The day it is expected to close lies before the day it was opened."), ({"amount": "-5"}, "An amount is zero or more."),
    ):  # fmt: skip
        refused = client.post(
            "/pipeline/new/", {"name": "New", "rep_id": Rep.objects.first().pk, "stage": "prospecting", "currency": "EUR"} | wrong
        )
        told = refused.content.decode()
        assert refused.status_code == 400 and sentence in told and 'aria-invalid="true"' in told and "D-0" not in told
    nobody = client.post(f"/pipeline/{pumps}/win/", {"on": "2026-03-05", "amount": "12.00"})
    assert nobody.status_code == 400 and "Who said yes?" in nobody.content.decode()
    won = {"on": "2026-03-05", "amount": "12.00", "said_by": "Ada"}
    assert client.post(f"/pipeline/{pumps}/win/", won).status_code == 302
    assert Opportunity.objects.get(pk=pumps).amount_minor == 1_200
    assert client.post(f"/pipeline/{book['Lost']}/change/", {**said, "amount": "3.00", "stage": "qualified"}).status_code == 302
    assert Opportunity.objects.get(pk=book["Lost"]).state == "open"


def test_a_deal_is_added_by_hand_and_what_is_not_here_is_told(client, book, team):
    said = {
        "name": "New",
        "customer": "Globex",
        "rep_id": team["Ann"],
        "product": "PUMP",
        "amount": "",
        "currency": "EUR",
        "stage": "prospecting",
    }
    wrong = client.post("/pipeline/new/", {**said, "customer": "Nobody", "product": "NONE"})
    assert wrong.status_code == 400
    assert b"There is no such customer" in wrong.content
    made = client.post("/pipeline/new/", said)
    assert made.status_code == 302
    found = Opportunity.objects.get(name="New")
    assert (found.customer.name, found.opened_on, found.lines.count()) == ("Globex", MAR, 1)


def test_a_card_of_the_board_is_moved_by_its_form(client, book):
    board = client.get("/pipeline/board/?team=Mia")
    assert board.status_code == 200
    text = board.content.decode()
    assert f'data-card="{book["Fans"]}"' in text
    moved = client.post(f"/pipeline/{book['Fans']}/move/?team=Mia", {"stage": "qualified"})
    assert moved["Location"] == "/pipeline/board/?team=Mia"
    assert Opportunity.objects.get(pk=book["Fans"]).stage.key == "qualified"
    assert "data-card" not in client.get("/pipeline/board/?as_of=2026-01-10").content.decode()  # the past is looked at


def test_the_board_narrows_as_the_list_does_and_offers_to_move_ones_own(client, owner, team, book):
    text = client.get("/pipeline/board/?team=Mia&rep=Ann&flag=no_close").content.decode()
    assert 'name="flag" value="no_close"' in text and ">Bob</option>" in text
    assert f'data-card="{book["Fans"]}"' in text and str(book["Bobs"]) not in re.findall(r'data-card="(\d+)"', text)
    made = members.add_member(actor=owner, email="b@example.com", name="Bob", roles=["Sales"], password="long enough words 42")
    people.change_rep(actor=owner, rep_id=team["Bob"], changes={"member_id": made})
    seller = Client()
    seller.force_login(Member.objects.get(pk=made))
    assert re.findall(r'data-card="(\d+)"', seller.get("/pipeline/board/").content.decode()) == [str(book["Bobs"])]
    lose = client.get(f"/pipeline/{book['Fans']}/lose/").content.decode()
    assert '<option value="Price"></option>' in lose and '<option value="nobody"></option>' in lose


def test_every_figure_of_the_funnel_opens_its_deals(client, book):
    page = client.get("/pipeline/funnel/?since=2026-01-01&until=2026-03-01").content.decode()
    rows = re.findall(r'<a href="(\?[^"]*step=[^"]*)">(\d+)</a>', page)
    assert len(rows) > 3
    for query, count in rows:
        behind = client.get("/pipeline/funnel/" + query.replace("&amp;", "&")).content.decode()
        assert f"{count} deal" in behind.partition('id="behind"')[2][:300], query
    assert client.get("/pipeline/funnel/?step=odd").status_code == 422
    bobs = client.get("/pipeline/funnel/?since=2026-01-01&until=2026-03-01&rep=Bob").content.decode()
    assert re.findall(r'<a href="\?[^"]*rep=Bob[^"]*step=prospecting[^"]*">(\d+)</a>', bobs)[0] == "1"


def test_every_figure_of_the_statistics_opens_its_deals(client, book):
    page = client.get("/pipeline/statistics/?since=2026-02-01&until=2026-03-01&by=rep").content.decode()
    links = {m.replace("&amp;", "&") for m in re.findall(r'href="(/pipeline/\?[^"]*state=[^"]*)"', page)}
    ann = [link for link in links if "rep=Ann" in link]
    opened = {re.search(r"state=(\w+)", link)[1]: named(client.get(link)) for link in ann if "since=2026-02-01" in link}
    assert opened == {"won": {"Won"}, "lost": {"Lost"}, "closed": {"Won", "Lost"}}
    for by in ("team", "product", "segment", "region", "source", "month", "quarter"):
        assert client.get(f"/pipeline/statistics/?since=2026-02-01&until=2026-03-01&by={by}").status_code == 200
    assert client.get("/pipeline/statistics/?since=2026-03-01&until=2026-02-01").status_code == 422
    assert client.get("/pipeline/statistics/?sort=luck").status_code == 422
    part = client.get("/pipeline/statistics/?since=2026-02-01&until=2026-03-01&sort=-win_rate", headers={"HX-Request": "true"}).content.decode()  # fmt: skip
    assert 'aria-sort="descending"' in part and "<nav" not in part, "a sort brings the table alone"
    sheet = client.get("/pipeline/statistics/?since=2026-02-01&until=2026-03-01&by=rep&export=csv").content.decode("utf-8-sig")
    assert sheet.startswith("No.,Sales person,Won,Lost,Bookings") and "\n1,Ann,1,1," in sheet


def test_every_bar_of_the_waterfall_opens_its_deals(client, book):
    query = "start=2026-01-10&as_of=2026-03-05"
    page = client.get(f"/pipeline/waterfall/?{query}").content.decode()
    assert "<svg" in page
    won = client.get(f"/pipeline/waterfall/?{query}&step=won").content.decode().partition('id="behind"')[2]
    assert (">Won</a>" in won, ">Lost</a>" in won) == (True, False)
    assert client.get("/pipeline/waterfall/?start=2026-03-05&as_of=2026-01-10").status_code == 422
    assert client.get(f"/pipeline/waterfall/?{query}&step=odd").status_code == 422


def test_the_waterfall_of_one_owner_or_team_is_of_their_deals_and_still_adds_up(client, book, api):
    query = "start=2026-01-10&as_of=2026-03-05"
    bob = client.get(f"/pipeline/waterfall/?{query}&rep=Bob").content.decode()
    steps = re.findall(r">(\w[\w ]*)</a></td><td class=\"integer\">(\d+)</td>", bob)
    assert dict(steps) | {"Start": "1", "End": "1"} == dict(steps), steps
    assert sum(int(count) for _, count in steps) == 2, "nothing of the others"
    assert "rep=Bob" in re.search(r'href="(/pipeline/\?[^"]*)"[^>]*>List', bob)[1], "the other views keep the filter"
    assert client.get(f"/pipeline/waterfall/?{query}&team=Mia").content.decode().count("rep=") == 0
    whole, of_ann, of_bob = (
        {s["step"]: s["amount_minor"] for s in api.get("/pipeline-waterfall", start="2026-01-10", end="2026-03-05", **picked).json()["items"]}
        for picked in ({}, {"rep": "Ann"}, {"rep": "Bob"})
    )  # fmt: skip
    assert of_ann["end"] == sum(minor for step, minor in of_ann.items() if step != "end")
    assert all(whole[step] == of_ann.get(step, 0) + of_bob.get(step, 0) for step in whole)
    assert api.get("/pipeline-waterfall", start="2026-01-10", end="2026-03-05", team="Nobody").json()["items"] == []


def test_pages_of_an_empty_company_say_what_to_do(client, entity):
    for name in ("deals", "board", "funnel", "statistics", "waterfall", "people"):
        assert client.get(reverse(f"pipeline:{name}")).status_code == 200, name
    assert b"Import your CRM" in client.get("/pipeline/").content
    assert b"Nothing is for sale yet" in client.get("/catalog/").content


def test_a_product_shows_every_price_and_takes_a_new_one(client, entity, products):
    pump = products["PUMP"]
    assert b"10.00" in client.get("/catalog/").content
    said = {"price": "12.00", "currency": "EUR", "valid_from": "2026-04-01"}
    assert client.post(f"/catalog/{pump}/prices/new/", said).status_code == 302
    page = client.get(f"/catalog/{pump}/").content
    assert b"10.00" in page
    assert b"12.00" in page
    overlap = client.post(f"/catalog/{pump}/prices/new/", said)
    assert overlap.status_code == 400
    assert client.post(f"/catalog/{pump}/prices/new/", {**said, "price": "dear"}).status_code == 400
    assert client.post("/catalog/new/", {"code": "PUMP", "name": "Other", "unit": "unit"}).status_code == 400
    assert client.post("/catalog/new/", {"code": "SEAL", "name": "Seal", "unit": "unit"}).status_code == 302
    assert client.get("/catalog/987654/").status_code == 404
