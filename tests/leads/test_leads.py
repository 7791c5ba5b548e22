"""Leads: taken in, scored by what is known, and turned into customer, contact and deal without a duplicate."""

from __future__ import annotations

import json
from datetime import date

import polars as pl
import pytest
from django.test import Client

from tests.pipeline.conftest import products, team  # noqa: F401  (who sells)
from topline.flows import daily
from topline.kernel import clock
from topline.kernel.errors import Invalid, NotFound
from topline.leads import actions, queries
from topline.leads.models import Lead
from topline.market import actions as market
from topline.market.models import Contact, Customer
from topline.pipeline import actions as pipeline
from topline.pipeline.models import Opportunity
from topline.team import actions as members
from topline.team.models import Member

TODAY = date(2026, 3, 2)


@pytest.fixture(autouse=True)
def _today():
    with clock.at(TODAY):
        yield


@pytest.fixture
def take(owner, entity):
    """Take in one lead; returns its id."""

    def make(**facts):
        row = {"company": "Globex AG", "name": "Ada Pay", "email": "ada@globex.example", "source": "Website"} | facts
        return actions.add_leads(actor=owner, entity_id=entity.pk, leads=pl.DataFrame([row]), on=TODAY)["lead_id"][0]

    return make


@pytest.fixture
def convert(owner, team):  # noqa: F811
    def make(lead_id, **said):
        return actions.convert_lead(actor=owner, lead_id=lead_id, on=TODAY, **{"rep_id": team["Ann"]} | said)

    return make


@pytest.fixture
def browser(owner):
    pk = members.add_member(
        actor=owner, email="rita@acme.localhost", name="Rita", roles=["RevOps"], password="a long enough phrase"
    )
    client = Client()
    client.force_login(Member.objects.get(pk=pk))
    return client


def test_a_lead_becomes_customer_contact_and_deal_at_once(take, convert):
    lead = take(interest="Pumps", segment="Large", country="de")
    made = Opportunity.objects.get(pk=convert(lead, amount_minor=9_00))
    assert (made.name, made.source, made.segment, made.amount_minor, made.stage.key, made.customer.name) == (
        "Pumps for Globex AG",
        "Website",
        "Large",
        9_00,
        "qualified",
        "Globex AG",
    )
    assert made.customer.country == "DE"
    assert list(made.customer.contacts.values_list("name", "email")) == [("Ada Pay", "ada@globex.example")]
    found = Lead.objects.get(pk=lead)
    assert (found.state, found.closed_on, found.qualified_on, found.opportunity_id) == ("converted", TODAY, TODAY, made.pk)
    with pytest.raises(actions.LeadClosed):
        convert(lead)
    assert Opportunity.objects.count() == 1


def test_the_customer_that_is_here_is_offered_and_not_made_again(owner, take, convert, make_customers):
    globex, other = make_customers("GLOBEX", "Initech")
    market.add_contact(actor=owner, customer_id=other, name="Bob", email="bob@globex.example")
    lead = take()
    offered = queries.matches(Lead.objects.get(pk=lead))
    assert [(m["id"], m["why"]) for m in offered] == [(globex, "the same name"), (other, "Bob writes from globex.example")]
    with pytest.raises(actions.PossibleDuplicate, match="GLOBEX is a customer already"):
        convert(lead)
    made = Opportunity.objects.get(pk=convert(lead, customer_id=globex))
    assert made.customer_id == globex and Customer.objects.count() == 2
    again = take(name="ADA PAY", email="ADA@globex.example")
    convert(again, customer_id=globex)
    assert Contact.objects.filter(customer_id=globex).count() == 1, "the contact with the address is used"


def test_another_company_of_the_same_name_is_made_when_somebody_says_so(take, convert, make_customers):
    make_customers("Globex AG")
    convert(take(), is_new=True)
    assert Customer.objects.filter(name="Globex AG").count() == 2


def test_free_mail_matches_nobody_by_its_domain(owner, take, make_customers):
    (globex,) = make_customers("Initech")
    market.add_contact(actor=owner, customer_id=globex, name="Bob", email="bob@gmail.com")
    assert queries.matches(Lead.objects.get(pk=take(company="", email="ada@gmail.com"))) == []
    assert queries.matches(Lead.objects.get(pk=take(company="", email="BOB@gmail.com")))[0]["id"] == globex


@pytest.mark.parametrize(
    ("facts", "said"),
    [({"company": "", "name": " "}, "A lead is somebody"), ({"country": "DEU"}, "no country code"), ({"campaign": "NONE"}, "no campaign NONE"), ({"rep_id": 999}, "no such sales person"),
     ({"created_on": date(2026, 3, 3)}, "still to come"), ({"company": "x" * 201}, "at most 200 characters"), ({"facts": json.dumps({"Lead Quality": "High"})}, "told by what came of a lead")],
)  # fmt: skip
def test_a_lead_that_cannot_be_is_refused_and_nothing_is_written(take, facts, said):
    with pytest.raises(Invalid, match=said):
        take(**facts)
    assert not Lead.objects.exists()


def test_a_lead_needs_a_seller_an_existing_customer_and_a_reason_when_it_is_given_up(owner, take, convert):
    lead = take()
    with pytest.raises(Invalid, match="Who sells it"):
        convert(lead, rep_id=None)
    with pytest.raises(NotFound):
        convert(lead, customer_id=999)
    with pytest.raises(Invalid, match="Say why not"):
        actions.disqualify_lead(actor=owner, lead_id=lead, on=TODAY, because=" ")
    with pytest.raises(Invalid, match="It came on"):
        actions.qualify_lead(actor=owner, lead_id=lead, on=date(2026, 3, 1))
    actions.disqualify_lead(actor=owner, lead_id=lead, on=TODAY, because="A student")
    with pytest.raises(actions.LeadClosed, match="disqualified already"):
        actions.change_lead(actor=owner, lead_id=lead, changes={"phone": "1"})


def test_a_change_begins_the_work_and_is_checked_like_a_new_lead(owner, take):
    lead = take()
    actions.change_lead(actor=owner, lead_id=lead, changes={"phone": " 030 1 ", "email": "ADA@Globex.example"})
    found = Lead.objects.get(pk=lead)
    assert (found.state, found.phone, found.email) == ("working", "030 1", "ada@globex.example")
    with pytest.raises(Invalid, match="A lead is somebody"):
        actions.change_lead(actor=owner, lead_id=lead, changes={"company": "", "name": ""})


@pytest.fixture
def past(owner, entity, team):  # noqa: F811
    """Forty leads by referral of which thirty became deals, sixty of a fair of which six did; one open lead of each."""
    rows = [
        {"company": f"{source} {n}", "source": source, "facts": json.dumps({"visits": n % 3})}
        for source, count in (("Referral", 41), ("Fair", 61))
        for n in range(count)
    ]
    made = actions.add_leads(actor=owner, entity_id=entity.pk, leads=pl.DataFrame(rows), on=TODAY)["lead_id"].to_list()
    for ids, converted in ((made[:40], 30), (made[41:101], 6)):
        for n, lead in enumerate(ids):
            if n < converted:
                actions.convert_lead(actor=owner, lead_id=lead, on=TODAY, rep_id=team["Ann"], is_new=True)
            else:
                actions.disqualify_lead(actor=owner, lead_id=lead, on=TODAY, because="No budget")
    return made[40], made[101]


def test_the_score_learns_from_leads_whose_fate_is_known_and_says_why(owner, entity, past):
    assert actions.score_leads(actor=owner, entity_id=entity.pk, as_of=TODAY) == 2
    referral, fair = (Lead.objects.get(pk=pk) for pk in past)
    assert referral.score_ppm > 600_000 and fair.score_ppm < 200_000
    assert (
        referral.reasons[0]["fact"] == "source"
        and referral.reasons[0]["value"] == "Referral"
        and referral.reasons[0]["weight"] > 0
    )
    assert fair.reasons[0]["weight"] < 0


def test_too_few_leads_are_not_scored_and_the_days_work_scores(owner, entity, take, past):
    assert queries.scores(entity_id=entity.pk, as_of=date(2026, 3, 1)).is_empty()
    daily.run(actor=owner, entity_id=entity.pk, as_of=TODAY)
    assert Lead.objects.filter(score_ppm__isnull=False).count() == 2


def test_a_lead_is_linked_to_a_deal_that_is_here_already(owner, entity, take, convert):
    deal = convert(take(company="Initech", email=""))
    lead = take(email="")
    with pytest.raises(Invalid, match="Another lead led to this deal"):
        actions.link_lead(actor=owner, lead_id=lead, opportunity_id=deal, on=TODAY)
    with pytest.raises(NotFound):
        actions.link_lead(actor=owner, lead_id=lead, opportunity_id=999, on=TODAY)
    rep = Opportunity.objects.get(pk=deal).rep_id
    row = {
        "name": "Old",
        "rep_id": rep,
        "stage": "proposal",
        "currency": "EUR",
        "opened_on": TODAY,
        "customer_id": Opportunity.objects.get(pk=deal).customer_id,
    }
    old = pipeline.add_opportunities(actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([row]), known_on=TODAY)[
        "opportunity_id"
    ][0]
    actions.link_lead(actor=owner, lead_id=lead, opportunity_id=old, on=TODAY)
    assert (Lead.objects.get(pk=lead).state, Lead.objects.get(pk=lead).rep_id) == ("converted", rep)


def test_campaigns_say_what_a_lead_and_a_won_deal_cost(owner, entity, take, convert):
    actions.add_campaign(
        actor=owner,
        code="FAIR",
        name="Fair",
        starts_on=date(2026, 2, 1),
        currency="EUR",
        cost_minor=1_000_00,
        channel="Trade fair",
    )
    for n in range(4):
        deal_of = take(company=f"Buyer {n}", email="", campaign="FAIR")
        if n < 2:
            made = convert(deal_of, amount_minor=3_000_00)
            if n == 0:
                pipeline.win_opportunity(actor=owner, opportunity_id=made, on=TODAY)
    (row,) = queries.campaigns(entity=entity)
    assert (row["leads"], row["converted"], row["won"], row["won_minor"], row["cost_each"], row["cost_won"], row["returned"]) == (
        4,
        2,
        1,
        3_000_00,
        250_00,
        1_000_00,
        3.0,
    )
    told = queries.brought(entity_id=entity.pk, since=TODAY, until=date(2026, 3, 3), by="source").row(0, named=True)
    assert (told["key"], told["leads"], told["qualified"], told["won"], told["won_minor"]) == ("Website", 4, 2, 1, 3_000_00)
    with pytest.raises(actions.CampaignCodeTaken):
        actions.add_campaign(actor=owner, code="FAIR", name="Again", starts_on=TODAY, currency="EUR")
    with pytest.raises(Invalid, match="ends before it begins"):
        actions.add_campaign(actor=owner, code="X", name="X", starts_on=TODAY, ends_on=date(2026, 1, 1), currency="EUR")


def test_a_lead_goes_from_the_form_to_a_deal_on_its_pages(owner, team, take, browser, make_customers):  # noqa: F811
    (globex,) = make_customers("Globex AG")
    answer = browser.post(
        "/leads/new/",
        {
            "company": "Globex",
            "name": "Ada",
            "email": "ada@globex.example",
            "source": "Website",
            "interest": "Pumps",
            "rep_id": team["Ann"],
        },
    )
    lead = Lead.objects.get()
    assert answer.url == f"/leads/{lead.pk}/"
    page = browser.get(answer.url).content.decode()
    assert "Globex AG: the same name" in page and "Not enough data" in page
    assert browser.post("/leads/new/", {"company": ""}).status_code == 400
    browser.post(f"/leads/{lead.pk}/qualify/")
    bad = browser.post(f"/leads/{lead.pk}/convert/", {"customer": str(globex), "deal": "", "rep_id": team["Ann"]})
    assert bad.status_code == 400
    made = browser.post(
        f"/leads/{lead.pk}/convert/", {"customer": str(globex), "deal": "Pumps", "amount": "90.00", "rep_id": team["Ann"]}
    )
    assert made.url == f"/pipeline/{Opportunity.objects.get().pk}/" and Opportunity.objects.get().amount_minor == 90_00
    assert (
        browser.post(f"/leads/{lead.pk}/convert/", {"customer": str(globex), "deal": "Pumps", "rep_id": team["Ann"]}).status_code
        == 409
    )
    assert "Became" in browser.get(f"/leads/{lead.pk}/").content.decode()
    assert ">Globex<" in browser.get("/leads/?state=converted&q=glob").content.decode()
    assert browser.get("/leads/?state=x").status_code == 422
    assert browser.get("/leads/campaigns/?by=x").status_code == 422
    assert (
        browser.post(
            "/leads/campaigns/new/",
            {"code": "FAIR", "name": "Fair", "starts_on": "2026-03-01", "cost": "1,000.00", "currency": "EUR"},
        ).status_code
        == 302
    )
    assert "1,000.00" in browser.get("/leads/campaigns/").content.decode()
    assert "Not enough data" in browser.post("/leads/score/", follow=True).content.decode()


def test_one_way_leads_from_lead_to_won(owner, entity, take, convert):
    took = [take(company=f"Company {n}", email="") for n in range(4)]
    actions.qualify_lead(actor=owner, lead_id=took[0], on=TODAY)
    made = convert(took[1], amount_minor=9_00)
    with clock.at(date(2026, 3, 12)):
        pipeline.win_opportunity(actor=owner, opportunity_id=made, on=date(2026, 3, 12))
    steps = {s["step"]: (s["leads"], s["of_leads"], s["median_days"]) for s in queries.path(entity_id=entity.pk, since=TODAY, until=date(2026, 3, 3), as_of=date(2026, 3, 12))}  # fmt: skip
    assert steps["Lead"] == (4, 1.0, None) and steps["Qualified lead"][0] == 2 and steps["Deal"] == (1, 0.25, 0.0)
    assert steps["Won"] == (1, 0.25, 10.0)
    before = queries.path(entity_id=entity.pk, since=TODAY, until=date(2026, 3, 3), as_of=TODAY)
    assert before[-1]["leads"] == 0, "what came later is not known"
    assert queries.path(entity_id=entity.pk, since=date(2025, 1, 1), until=date(2025, 2, 1), as_of=TODAY)[0]["leads"] == 0
