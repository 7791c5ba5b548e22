"""Around a deal: people with roles, competitors and what they win, territories that say whose a customer is."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.test import Client

from tests.pipeline.conftest import buyer
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.leads import actions as leads
from topline.leads.models import Lead
from topline.market import actions as market
from topline.market import competitors
from topline.market.models import Competitor, Contact
from topline.pipeline import actions, around, people, queries, rivalry, territories
from topline.pipeline.actions import NotYourDeal
from topline.pipeline.models import Opportunity, Rep, Stage, Territory
from topline.team import actions as members
from topline.team.models import Member

DAY = date(2026, 3, 2)


@pytest.fixture(autouse=True)
def _today():
    with clock.at(DAY):
        yield


@pytest.fixture
def rival(owner):
    return competitors.add_competitor(actor=owner, name="Initech")


@pytest.fixture
def client(owner):
    made = members.add_member(actor=owner, email="o@example.com", name="Olivia", roles=["Owner"], password="long enough words 42")
    client = Client()
    client.force_login(Member.objects.get(pk=made))
    return client


def test_a_person_plays_one_role_and_only_those_of_the_customer_do(owner, deal, make_customers):
    made = deal()
    ada = Contact.objects.get(name="Ada Buyer").pk
    (other,) = make_customers("Umbrella")
    stranger = market.add_contact(actor=owner, customer_id=other, name="Stranger")
    around.set_deal_contact(actor=owner, opportunity_id=made, contact_id=ada, role="champion")
    around.set_deal_contact(actor=owner, opportunity_id=made, contact_id=ada, role="decides")
    assert [(p.contact.name, p.role) for p in around.contact_roles(made)] == [("Ada Buyer", "decides")]
    with pytest.raises(Invalid, match="not with the customer"):
        around.set_deal_contact(actor=owner, opportunity_id=made, contact_id=stranger, role="decides")
    with pytest.raises(Invalid, match="no role 'boss'"):
        around.set_deal_contact(actor=owner, opportunity_id=made, contact_id=ada, role="boss")
    around.set_deal_contact(actor=owner, opportunity_id=made, contact_id=ada, role="")
    assert around.contact_roles(made) == []


def test_who_sells_another_deal_may_not_say_who_stands_around_it(owner, deal, rival):
    made = deal()
    stranger = owner.__class__(key="member:9", name="Bob", permissions=frozenset({"pipeline.set_deal_competitors"}), roles=frozenset({"Sales"}))  # fmt: skip
    with pytest.raises(NotYourDeal):
        around.set_deal_competitors(actor=stranger, opportunity_id=made, competitor_ids=[rival])
    with pytest.raises(Invalid, match="no such competitor"):
        around.set_deal_competitors(actor=owner, opportunity_id=made, competitor_ids=[999])


def test_what_a_deal_is_about_changes_and_a_day_before_still_knows_what_it_was(owner, entity, deal, products, client):
    made, later = deal(), date(2026, 3, 3)

    def worth(on):
        return queries.list_values(entity_id=entity.pk, on=on).filter(pl.col("opportunity_id") == made)["list_minor"].to_list()

    around.set_deal_lines(
        actor=owner, opportunity_id=made, lines=[(products["PUMP"], 2_000_000), (products["FAN"], 1_000_000)], on=DAY
    )
    around.set_deal_lines(actor=owner, opportunity_id=made, lines=[(products["PUMP"], 2_000_000)], on=DAY)
    assert (worth(date(2026, 3, 1)), worth(DAY)) == ([10_00], [20_00])
    last = Opportunity.objects.get(pk=made).changes.latest("id")
    assert (last.field, last.before, last.after) == ("lines", "2 Pump, 1 Fan", "2 Pump")
    with clock.at(later):
        page = client.get(f"/pipeline/{made}/lines/").content.decode()
        assert 'value="2"' in page
        sent = {
            "form-TOTAL_FORMS": "2",
            "form-INITIAL_FORMS": "0",
            "form-0-product": products["FAN"],
            "form-0-quantity": "3.5",
            "form-1-product": "",
            "form-1-quantity": "",
        }
        assert client.post(f"/pipeline/{made}/lines/", sent).status_code == 302
        assert "3.5" in client.get(f"/pipeline/{made}/").content.decode()
        assert client.post(f"/pipeline/{made}/lines/", {**sent, "form-0-quantity": "-1"}).status_code == 400
    assert (worth(DAY), worth(later)) == ([20_00], [17_50])
    with clock.at(later), pytest.raises(Invalid, match="no such product"):
        around.set_deal_lines(actor=owner, opportunity_id=made, lines=[(10**9, 1)], on=later)


def test_a_won_deal_has_a_customer_and_somebody_who_said_yes(owner, entity, team, make_customers):
    row = {"ref": "1", "name": "Pumps", "rep_id": team["Ann"], "stage": "proposal", "currency": "EUR", "amount_minor": 5_00, "opened_on": date(2026, 1, 5)}  # fmt: skip
    made = actions.add_opportunities(actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([row]), known_on=date(2026, 1, 5))["opportunity_id"][0]  # fmt: skip
    with pytest.raises(Invalid, match="has a customer"):
        actions.win_opportunity(actor=owner, opportunity_id=made, on=DAY)
    globex, umbrella = make_customers("Globex", "Umbrella")
    actions.change_opportunity(actor=owner, opportunity_id=made, changes={"customer_id": globex}, on=DAY)
    with pytest.raises(Invalid, match="keeps its customer"):
        actions.change_opportunity(actor=owner, opportunity_id=made, changes={"customer_id": umbrella}, on=DAY)
    with pytest.raises(Invalid, match="Who said yes"):
        actions.win_opportunity(actor=owner, opportunity_id=made, on=DAY)
    assert Opportunity.objects.get(pk=made).state == "open"
    actions.win_opportunity(actor=owner, opportunity_id=made, on=DAY, said_by="Ada")
    assert Contact.objects.get(customer_id=globex).name == "Ada"


def test_deals_against_a_competitor_are_those_that_name_it_or_went_to_it(owner, entity, deal, rival):
    mine = {"amount_minor": 100_00, "segment": "Large"}
    still, won, lost, other = (deal(name, **mine) for name in ("Still", "Won", "Lost", "Other"))
    for made in (still, won):
        around.set_deal_competitors(actor=owner, opportunity_id=made, competitor_ids=[rival])
    actions.win_opportunity(actor=owner, opportunity_id=won, on=DAY)
    actions.lose_opportunity(actor=owner, opportunity_id=lost, on=DAY, loss_reason="Price", competitor="INITECH")
    actions.lose_opportunity(actor=owner, opportunity_id=other, on=DAY, loss_reason="Price", competitor="nobody")
    found = rivalry.against(rival, entity_id=entity.pk, as_of=DAY, since=date(2025, 3, 3))
    assert (found.open_deals["name"].to_list(), found.won, found.lost) == (["Still"], 1, 1)
    assert found.by_segment.rows.select("group", "deals", "won", "shown").rows() == [("Large", 2, 1, False)]


@pytest.mark.parametrize(
    ("amount", "group"),
    [(8_99, "more than 10 % cheaper"), (9_50, "up to 10 % cheaper"), (10_00, "the same to 10 % dearer"), (11_00, "the same to 10 % dearer"), (11_01, "more than 10 % dearer")],
)  # fmt: skip
def test_a_deal_stands_by_the_price_that_held_on_its_last_day(owner, entity, deal, rival, amount, group):
    rows = [{"product": "Rival pump", "compares_with": "PUMP", "currency": "EUR", "unit_price_nano": price * 10**9, "unit": "each", "valid_from": day, "seen_on": day, "source": "list"}
            for price, day in ((10_00, date(2026, 1, 1)), (99_00, date(2026, 3, 3)))]  # fmt: skip
    competitors.add_competitor_prices(actor=owner, competitor_id=rival, prices=pl.DataFrame(rows[:1]))
    with clock.at(date(2026, 3, 3)):
        competitors.add_competitor_prices(actor=owner, competitor_id=rival, prices=pl.DataFrame(rows[1:]))
    actions.win_opportunity(actor=owner, opportunity_id=deal(amount_minor=amount), on=DAY)
    actions.win_opportunity(actor=owner, opportunity_id=deal("Fan", "FAN", amount_minor=amount), on=DAY)
    told = rivalry.by_price_gap(entity_id=entity.pk, since=date(2026, 3, 1), until=date(2026, 3, 3))
    assert told.rows.select("group", "deals", "won").rows() == [(group, 1, 1)], "a product without a price of theirs has no gap"


def test_the_first_territory_that_fits_decides_and_its_owners_take_turns(owner, team):
    ann, bob, mia = (team[n] for n in ("Ann", "Bob", "Mia"))
    rules = [{"name": "Large in Germany", "countries": ["de"], "segments": ["Large"], "rep_ids": [mia]}, {"name": "Germany", "countries": ["DE"], "rep_ids": [ann, bob]}]  # fmt: skip
    assert territories.set_territories(actor=owner, territories=rules) == 2
    asked = pl.DataFrame({"country": ["DE", "DE", "DE", "AT"], "segment": ["Large", "Small", "Small", "Large"]})
    assert territories.place(asked).rows() == [("Large in Germany", mia), ("Germany", bob), ("Germany", ann), (None, None)]
    assert territories.place(asked, turn=1)["rep_id"].to_list() == [mia, ann, bob, None]


@pytest.mark.parametrize(
    ("rule", "said"),
    [({"name": " "}, "needs a name"), ({"rep_ids": []}, "who owns it"), ({"rep_ids": [999]}, "no sales person 999"), ({"countries": ["GER"]}, "GER is no country code"), ({"name": "West"}, "Two territories")],
)  # fmt: skip
def test_territories_that_cannot_be_are_refused_and_the_old_ones_stay(owner, team, rule, said):
    good = {"name": "West", "countries": ["DE"], "rep_ids": [team["Ann"]]}
    territories.set_territories(actor=owner, territories=[good])
    with pytest.raises(Invalid, match=said):
        territories.set_territories(actor=owner, territories=[good, {"name": "East", "rep_ids": [team["Bob"]]} | rule])
    assert list(Territory.objects.values_list("name", flat=True)) == ["West"]
    people.change_rep(actor=owner, rep_id=team["Bob"], changes={"left_on": date(2026, 2, 1)})
    with pytest.raises(Invalid, match="or they have left"):
        territories.set_territories(actor=owner, territories=[{"name": "East", "rep_ids": [team["Bob"]]}])


def test_leads_and_deals_without_an_owner_go_to_their_territory(owner, entity, team, make_customers):
    territories.set_territories(actor=owner, territories=[{"name": "All", "rep_ids": [team["Bob"]]}])
    lead = leads.add_leads(actor=owner, entity_id=entity.pk, leads=pl.DataFrame([{"company": "Globex", "country": "de"}]), on=DAY)["lead_id"][0]  # fmt: skip
    assert Lead.objects.get(pk=lead).rep_id == team["Bob"]
    row = {"ref": "1", "name": "Pumps", "stage": "proposal", "currency": "EUR", "opened_on": DAY, "customer_id": buyer(owner)}
    made = actions.add_opportunities(actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([row]), known_on=DAY)["opportunity_id"][0]  # fmt: skip
    assert Opportunity.objects.get(pk=made).rep_id == team["Bob"]


def test_the_pages_show_and_change_them(client, owner, deal, rival, team):
    made = deal(segment="Retail")
    ada = Contact.objects.get(name="Ada Buyer").pk
    client.post(f"/pipeline/{made}/contact/", {"contact": ada, "role": "decides"})
    client.post(f"/pipeline/{made}/competitors/", {"competitor": [rival]})
    text = client.get(f"/pipeline/{made}/").content.decode()
    assert "decides</span>" in text and f"/pipeline/against/{rival}/" in text
    assert "Pump for Globex" in client.get(f"/pipeline/against/{rival}/").content.decode()
    lost = client.get(f"/pipeline/{made}/lose/").content.decode()
    rival_name = Competitor.objects.get(pk=rival).name
    assert f'value="{rival_name}" maxlength' in lost, "the only one who wants it too stands there already"
    assert '<option value="nobody">' in lost and f'<option value="{rival_name}">' in lost
    client.post(f"/pipeline/{made}/lose/", {"on": "2026-02-05", "loss_reason": "Price & terms", "competitor": rival_name})
    assert '<option value="Price &amp; terms">' in client.get(f"/pipeline/{deal()}/lose/").content.decode()
    with clock.at(date(2026, 3, 5)):
        told = client.get(f"/pipeline/against/{rival}/").content.decode()
    assert told.count("not enough data") == 2 and "0 %" not in told, "one deal is no rate: in the tile, and by segment"
    codes = dict(Opportunity.objects.values_list("rep__name", "rep__code"))
    form = {"form-TOTAL_FORMS": "2", "form-INITIAL_FORMS": "0", "form-0-name": "West", "form-0-countries": "DE, AT", "form-0-owners": codes["Ann"], "form-1-name": ""}  # fmt: skip
    assert client.post("/pipeline/territories/set/", form | {"form-0-owners": "nobody"}).status_code == 400
    assert client.post("/pipeline/territories/set/", form).status_code == 302
    assert Territory.objects.get().countries == ["AT", "DE"]
    assert "West" in client.get("/pipeline/territories/").content.decode()


def test_the_stages_are_edited_on_a_page_and_one_in_use_is_kept(client, deal):
    deal()
    assert "Prospecting" in client.get("/pipeline/stages/").content.decode()
    rows = queries.stages().to_dicts()
    said = {"form-TOTAL_FORMS": str(len(rows)), "form-INITIAL_FORMS": "0"}
    for n, row in enumerate(rows):
        said |= {f"form-{n}-{k}": str(row[k]) for k in ("key", "name", "kind", "category")}
    renamed = said | {"form-0-name": "First contact"}
    assert client.post("/pipeline/stages/", renamed).status_code == 302
    assert Stage.objects.get(key="prospecting").name == "First contact"
    without = renamed | {"form-0-name": ""}
    refused = client.post("/pipeline/stages/", without)
    assert refused.status_code == 400 and "Deals stand or stood in prospecting" in refused.content.decode()
    assert Stage.objects.filter(key="prospecting").exists()


def test_who_sells_is_a_member_that_exists_and_is_nobody_else(owner, team):
    member = members.add_member(
        actor=owner, email="ann@example.com", name="Ann", roles=["Sales"], password="long enough words 42"
    )
    with pytest.raises(Invalid, match="no member 999"):
        people.add_reps(actor=owner, reps=pl.DataFrame({"name": ["Zoe"], "member_id": [999]}))
    with pytest.raises(Invalid, match="Somebody else"):
        people.add_reps(actor=owner, reps=pl.DataFrame({"name": ["Zoe", "Yan"], "member_id": [member, member]}))
    people.add_reps(actor=owner, reps=pl.DataFrame({"name": ["Zoe", "Yan"], "member_id": [member, None]}))
    with pytest.raises(Invalid, match="Somebody else"):
        people.add_reps(actor=owner, reps=pl.DataFrame({"name": ["Xan"], "member_id": [member]}))


def test_somebody_joins_is_led_by_another_and_leaves_on_pages(client, entity, team):
    assert (
        client.post("/pipeline/people/new/", {"name": "Zoe", "manager_id": team["Mia"], "joined_on": "2026-02-01"}).status_code
        == 302
    )
    zoe = Rep.objects.get(name="Zoe")
    assert (zoe.manager_id, zoe.joined_on) == (team["Mia"], date(2026, 2, 1))
    assert f"/pipeline/people/{zoe.pk}/" in client.get("/pipeline/people/").content.decode()
    page, said = f"/pipeline/people/{zoe.pk}/", {"name": "Zoe", "manager_id": team["Ann"], "joined_on": "2026-02-01"}
    assert client.post(page, said | {"left_on": "2026-01-01"}).status_code == 400, "nobody leaves before joining"
    circle = client.post(f"/pipeline/people/{team['Mia']}/", {"name": "Mia", "manager_id": zoe.pk})
    assert circle.status_code == 400 and "would report to themselves" in circle.content.decode()
    assert client.post(page, said | {"left_on": "2026-06-30"}).status_code == 302
    zoe.refresh_from_db()
    assert (zoe.manager_id, zoe.left_on) == (team["Ann"], date(2026, 6, 30))
    assert "selected>Ann" in client.get(page).content.decode()
    assert client.get("/pipeline/people/999/").status_code == 404


def test_a_deal_is_not_decided_on_a_day_that_has_not_come(client, deal):
    made = deal()
    said = {"on": "2026-02-06", "loss_reason": "Price", "competitor": "nobody"}
    with clock.at(date(2026, 2, 5)):
        refused = client.post(f"/pipeline/{made}/lose/", said)
        assert refused.status_code == 400 and "has not come yet" in refused.content.decode()
        assert Opportunity.objects.get(pk=made).state == "open"
    with clock.at(date(2026, 2, 6)):
        assert client.post(f"/pipeline/{made}/lose/", said).status_code == 302
