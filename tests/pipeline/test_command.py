"""`topline pipeline`, and the pipeline's nouns over HTTP."""

from __future__ import annotations

import json
from datetime import date

import pytest
from typer.testing import CliRunner

from topline.cli import commands
from topline.kernel.errors import Invalid
from topline.pipeline import actions

JAN, FEB = date(2026, 1, 5), date(2026, 2, 5)


@pytest.fixture
def run(db):
    return lambda *words: CliRunner().invoke(commands.app, ["pipeline", *words])


def test_the_open_deals_are_printed_by_stage_and_by_category(run, deal, change):
    made = deal(amount_minor=90_000)
    change(made, FEB, stage="proposal")
    told = json.loads(run("--as-of", "2026-02-05", "--json").stdout)
    assert [(g["label"], g["deals"], g["value_minor"]) for g in told["groups"]] == [("Proposal", 1, 90_000)]
    earlier = json.loads(run("--as-of", "2026-01-31", "--json").stdout)
    assert [g["label"] for g in earlier["groups"]] == ["Prospecting"]
    shown = run("--as-of", "2026-02-05", "--by", "category").stdout
    assert "with all surer ones" in shown
    assert "900.00" in shown
    assert "No deal is open" in run("--as-of", "2026-01-01").stdout
    assert isinstance(run("--by", "odd").exception, Invalid)


def test_the_api_tells_the_same_figures(api, owner, team, deal):
    deal(amount_minor=90_000)
    won = deal("Won", amount_minor=70_000)
    future = api.post(f"/opportunities/{won}/win", {"on": "2126-01-01", "amount_minor": 5, "said_by": "Kim"})
    assert (future.status_code, future.json()["detail"]) == (422, "2126-01-01 has not come yet.")
    actions.win_opportunity(actor=owner, opportunity_id=won, on=FEB)
    groups = api.get("/pipeline", as_of="2026-02-05", by="stage").json()["groups"]
    assert [(g["key"], g["value_minor"]) for g in groups] == [("prospecting", 90_000)]
    steps = {
        s["step"]: s["amount_minor"] for s in api.get("/pipeline-waterfall", start="2026-01-04", end="2026-02-05").json()["items"]
    }
    assert (steps["created"], steps["won"], steps["end"]) == (160_000, -70_000, 90_000)
    told = api.get("/sales-statistics", since="2026-02-01", until="2026-03-01", by="rep").json()["items"]
    assert [(t["key"], t["won"], t["bookings_minor"]) for t in told] == [("Ann", 1, 70_000)]
    reached = api.get("/funnel", since="2026-01-01", until="2026-02-01", as_of="2026-02-28").json()["items"]
    assert [s["entered"] for s in reached] == [2, 1, 1, 1, 1]
    found = api.get(f"/opportunities/{won}").json()
    assert (found["stage"], found["changes"][-1]["effective_on"]) == ("won", "2026-02-05")
    assert [d["number"] for d in api.get("/opportunities", state="won").json()["items"]] == [found["number"]]


def test_deals_people_stages_and_prices_are_made_and_changed_over_http(api, entity):
    rep = api.post("/sales-people", {"reps": [{"name": "Ann"}, {"name": "Mia"}]}).json()["items"]
    assert api.post(f"/sales-people/{rep[0]['rep_id']}/change", {"manager_id": rep[1]["rep_id"]}).status_code == 200
    circle = api.post(f"/sales-people/{rep[1]['rep_id']}/change", {"manager_id": rep[0]["rep_id"]})
    assert (circle.status_code, circle.json()["code"]) == (422, "team_is_circular")
    product = api.post("/products", {"products": [{"code": "PUMP", "name": "Pump"}]}).json()["items"][0]["product_id"]
    price = {"product_id": product, "currency": "EUR", "unit_price_nano": 10**12, "valid_from": "2026-01-01"}
    assert api.post("/prices", {"prices": [price]}).status_code == 200
    again = api.post("/prices", {"prices": [price]})
    assert (again.status_code, again.json()["code"]) == (409, "prices_overlap")
    assert api.get(f"/products/{product}").json()["prices"][0]["unit_price_nano"] == 10**12
    row = {"name": "Pumps", "rep_id": rep[0]["rep_id"], "stage": "proposal", "currency": "EUR", "opened_on": "2026-01-05"}
    made = api.post("/opportunities", {"opportunities": [row], "known_on": "2026-01-05"}).json()["items"][0]["opportunity_id"]
    assert (
        api.post(f"/opportunities/{made}/change", {"on": "2026-02-01", "amount_minor": 500, "close_on": "2026-03-01"}).status_code
        == 200
    )
    no = api.post(f"/opportunities/{made}/lose", {"on": "2026-02-01", "loss_reason": "Price", "competitor": ""})
    assert (no.status_code, no.json()["field"]) == (422, "competitor")
    assert api.post("/pipeline/snapshot", {"as_of": "2026-02-01"}).json()["result"] == 1
    nobody = api.post(f"/opportunities/{made}/win", {"on": "2026-02-02"})
    assert (nobody.status_code, nobody.json()["field"]) == (422, "customer")
    globex = api.post("/customers", {"customers": [{"name": "Globex", "currency": "EUR"}]}).json()["items"][0]["customer_id"]
    assert api.post(f"/opportunities/{made}/change", {"on": "2026-02-02", "customer_id": globex}).status_code == 200
    nobody = api.post(f"/opportunities/{made}/win", {"on": "2026-02-02"})
    assert (nobody.status_code, nobody.json()["field"]) == (422, "said_by")
    assert api.post(f"/opportunities/{made}/win", {"on": "2026-02-02", "said_by": "Ada Buyer"}).status_code == 200
    steps = api.get("/stages").json()["items"]
    body = {
        "stages": [
            {k: s[k] for k in ("key", "name", "kind", "category", "is_qualified")} for s in steps if s["key"] != "negotiation"
        ]
    }
    assert api.post("/stages", body).json()["result"] == 5
