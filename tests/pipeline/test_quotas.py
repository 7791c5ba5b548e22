"""Quotas and calls: what people are to sell, what they say they will, and how it adds up."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from topline.books.rates import RateMissing
from topline.catalog.models import Product
from topline.engine import quotas as engine
from topline.flows import proofs
from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid
from topline.pipeline import actions, around, calls, figures, forecast, machine, people, queries, quotas
from topline.pipeline.models import ForecastCall, FrozenSalesForecast, Quota, Rep, RepLead
from topline.team.queries import actor_of

START, END = date(2026, 4, 1), date(2026, 7, 1)
DAY = date(2026, 4, 15)
PERIOD = {"start": START, "end": END}


@pytest.fixture
def set_quota(owner, entity, team):
    def make(name, amount, on=START, starts=START, ends=END, currency="EUR", scope=None):
        frame = pl.DataFrame(
            {
                "scope": [scope or ("team" if name == "Mia" else "person" if name else "company")],
                "rep_id": [team[name] if name else None],
                "starts_on": [starts],
                "ends_on": [ends],
                "amount_minor": [amount],
                "currency": [currency],
            }
        )
        return quotas.set_quotas(actor=owner, entity_id=entity.pk, quotas=frame, on=on)

    return make


@pytest.fixture
def call(owner, entity, team):
    def make(name, amount, on=DAY, category="commit", actor=None, **more):
        return calls.submit_call(
            actor=actor or owner, entity_id=entity.pk, rep_id=team[name], **PERIOD, category=category, amount_minor=amount,
            currency="EUR", on=on, **more,
        )  # fmt: skip

    return make


@pytest.fixture
def override(owner, entity, team):
    def make(name, amount, on=DAY, reason="One deal is not signed", actor=None):
        return calls.override_call(
            actor=actor or owner, entity_id=entity.pk, rep_id=team[name], **PERIOD, category="commit", amount_minor=amount,
            currency="EUR", on=on, reason=reason,
        )  # fmt: skip

    return make


@pytest.fixture
def board(entity):
    def read(as_of=DAY, currency="EUR"):
        return forecast.board(entity_id=entity.pk, **PERIOD, as_of=as_of, currency=currency)

    return read


def node(found, name):
    return found.rows.filter(pl.col("name") == name).row(0, named=True)


def preview(entity, method="evenly", target=1_000_001, on=DAY, **more):
    return quotas.split_preview(
        entity_id=entity.pk, start=START, end=END, target_minor=target, currency="EUR", on=on, method=method, **more
    )


@pytest.mark.parametrize("method", list(quotas.METHODS))
def test_a_split_adds_up_at_every_level(entity, team, deal, owner, method):
    won = deal(amount_minor=50_000)
    actions.win_opportunity(actor=owner, opportunity_id=won, on=date(2026, 3, 1))
    told = preview(entity, method)
    by = dict(told.group_by("scope").agg(pl.col("amount_minor").sum()).iter_rows())
    assert by == {"company": 1_000_001, "team": 1_000_001, "person": 1_000_001}
    assert told["amount_minor"].min() >= 0


def test_what_is_written_is_what_the_preview_said_and_the_buffer_stays_off_the_companys_target(owner, entity, team, board):
    told = preview(entity, target=100_000, buffer_percent=10)
    quotas.split_quota(
        actor=owner,
        entity_id=entity.pk,
        **PERIOD,
        target_minor=100_000,
        currency="EUR",
        on=START,
        method="evenly",
        buffer_percent=10,
    )
    written = dict(Quota.objects.filter(scope="person").values_list("rep_id", "amount_minor"))
    assert written == dict(told.filter(pl.col("scope") == "person").select("rep_id", "amount_minor").iter_rows())
    found = board()
    assert (found.company["quota_minor"], node(found, "Mia")["quota_minor"]) == (100_000, 110_000)
    assert found.street == pytest.approx(1.1)


def test_a_leavers_rest_goes_to_the_others_and_the_note_says_so(owner, entity, team):
    people.change_rep(actor=owner, rep_id=team["Ann"], changes={"left_on": date(2026, 5, 1)})
    told = preview(entity, target=121_000).filter(pl.col("scope") == "person")
    ann = told.filter(pl.col("name") == "Ann").row(0, named=True)
    assert (ann["amount_minor"], told["amount_minor"].sum()) == (30_000, 121_000)
    assert "30 of 91 days, the rest goes to the others" in ann["note"]


def test_somebody_new_carries_less(owner, entity, team):
    people.change_rep(actor=owner, rep_id=team["Bob"], changes={"joined_on": date(2026, 4, 1)})
    told = preview(entity, target=100_000).filter(pl.col("name") == "Bob").row(0, named=True)
    assert told["amount_minor"] < 30_000
    assert "of full capacity" in told["note"]


@pytest.mark.parametrize(
    "facts", [{"method": "dice"}, {"target": 0}, {"target": -5}, {"buffer_percent": 101}]
)  # fmt: skip
def test_a_split_that_makes_no_sense_is_refused(entity, team, facts):
    with pytest.raises(Invalid):
        preview(entity, **facts)


def test_a_split_without_anybody_to_carry_it_is_refused(entity):
    with pytest.raises(Invalid, match="Nobody sells"):
        preview(entity)


def test_a_quota_without_owner_is_refused(owner, entity, team):
    rows = pl.DataFrame({"scope": ["person"], "rep_id": [None], "starts_on": [START], "ends_on": [END], "amount_minor": [5], "currency": ["EUR"]})  # fmt: skip
    with pytest.raises(quotas.QuotaWithoutOwner):
        quotas.set_quotas(actor=owner, entity_id=entity.pk, quotas=rows, on=START)
    assert not Quota.objects.exists()


def test_a_quota_for_a_person_who_left_is_refused(owner, team, set_quota):
    people.change_rep(actor=owner, rep_id=team["Ann"], changes={"left_on": date(2026, 3, 1)})
    with pytest.raises(quotas.OwnerLeft, match="Ann left on 2026-03-01"):
        set_quota("Ann", 5)


@pytest.mark.parametrize("facts", [{"amount": -1}, {"amount": 1, "currency": "XXQ"}, {"amount": 1, "ends": START}])
def test_a_quota_below_zero_of_no_currency_or_of_no_days_is_refused(set_quota, facts):
    with pytest.raises(Invalid):
        set_quota("Ann", **facts)


def test_a_team_that_would_lead_itself_is_refused(owner, team):
    with pytest.raises(people.TeamIsCircular):
        people.change_rep(actor=owner, rep_id=team["Mia"], changes={"manager_id": team["Ann"]})


def test_a_past_period_is_rolled_up_by_the_teams_of_its_days(owner, entity, team, deal, board):
    """Ann is led by Mia in the first quarter and by Bob from 1 April on."""
    won = deal(amount_minor=50_000)
    actions.win_opportunity(actor=owner, opportunity_id=won, on=date(2026, 3, 1))
    still = deal("Still", amount_minor=9_000, close_on=date(2026, 5, 1))
    with clock.at(DAY):
        people.change_rep(actor=owner, rep_id=team["Ann"], changes={"manager_id": team["Bob"]}, led_from=date(2026, 4, 1))
    assert Rep.objects.get(pk=team["Ann"]).manager_id == team["Bob"]
    before = forecast.board(entity_id=entity.pk, start=date(2026, 1, 1), end=date(2026, 4, 1), as_of=DAY)
    assert (node(before, "Ann")["lead_id"], node(before, "Bob")["won_minor"]) == (team["Mia"], 0)
    assert node(before, "Mia")["won_minor"] == 50_000
    now = board()
    assert (node(now, "Ann")["lead_id"], node(now, "Bob")["open_pipeline"]) == (team["Bob"], 9_000)
    told = figures.book(entity_id=entity.pk, as_of=DAY).select("opportunity_id", "team")
    assert dict(told.iter_rows()) == {won: "Mia", still: "Bob"}, "a closed deal stays with the team in which it was closed"
    won_by_team = figures.statistics(entity_id=entity.pk, since=date(2026, 1, 1), until=date(2026, 4, 16), by="team")
    assert won_by_team.filter(pl.col("won") > 0)["key"].to_list() == ["Mia"]
    assert dict(queries.reps(on=date(2026, 3, 31)).select("name", "manager").iter_rows())["Ann"] == "Mia"


def test_a_team_of_the_past_is_corrected_without_changing_the_one_of_now(owner, team):
    with clock.at(DAY):
        people.change_rep(actor=owner, rep_id=team["Ann"], changes={"manager_id": None}, led_from=date(2026, 4, 1))
        people.change_rep(actor=owner, rep_id=team["Ann"], changes={"manager_id": team["Bob"]}, led_from=date(2026, 2, 1))
        assert Rep.objects.get(pk=team["Ann"]).manager_id is None
        lead_on = {
            day: dict(queries.reps(on=day).select("name", "manager").iter_rows())["Ann"]
            for day in (date(2026, 1, 31), date(2026, 2, 1), DAY)
        }
        assert list(lead_on.values()) == ["Mia", "Bob", None]
        with pytest.raises(people.TeamIsCircular):
            people.change_rep(actor=owner, rep_id=team["Bob"], changes={"manager_id": team["Ann"]}, led_from=date(2026, 3, 1))
        with pytest.raises(Invalid, match="has not come yet"):
            people.change_rep(actor=owner, rep_id=team["Bob"], changes={"manager_id": None}, led_from=DAY + timedelta(days=1))
    assert RepLead.objects.count() == 5, "what was refused left nothing"


def test_a_lead_that_is_not_that_of_the_history_is_found(owner, team):
    name = "people stand in the teams of their history"
    assert next(p for p in proofs.verify() if p.name == name).holds
    Rep.objects.filter(pk=team["Ann"]).update(manager=None)
    assert next(p for p in proofs.verify() if p.name == name).offending["name"].to_list() == ["Ann"]


def test_a_later_quota_replaces_the_earlier_from_its_day_on(set_quota, board):
    set_quota("Ann", 100, on=START)
    set_quota("Ann", 70, on=date(2026, 4, 10))
    assert node(board(date(2026, 4, 9)), "Ann")["quota_minor"] == 100
    assert node(board(), "Ann")["quota_minor"] == 70
    assert Quota.objects.count() == 2


def test_a_quarter_is_the_sum_of_its_months_until_it_has_a_quota_of_its_own(set_quota, board):
    for month in (4, 5, 6):
        set_quota("Ann", 100, starts=date(2026, month, 1), ends=date(2026, month + 1, 1))
    assert node(board(), "Ann")["quota_minor"] == 300
    set_quota("Ann", 250)
    assert node(board(), "Ann")["quota_minor"] == 250


def test_won_open_and_attainment_roll_up_the_tree(owner, set_quota, deal, team, board):
    set_quota("Ann", 100_000)
    set_quota("Bob", 50_000)
    won = deal(amount_minor=40_000)
    deal(name="Open", amount_minor=10_000, rep_id=team["Bob"], category="commit", close_on=date(2026, 6, 1))
    deal(name="Later", amount_minor=90_000, rep_id=team["Bob"], category="commit", close_on=date(2026, 8, 1))
    actions.win_opportunity(actor=owner, opportunity_id=won, on=date(2026, 4, 2))
    found = board()
    mia = node(found, "Mia")
    assert (mia["quota_minor"], mia["won_minor"], mia["commit"], mia["commit_forecast"]) == (150_000, 40_000, 10_000, 50_000)
    assert node(found, "Ann")["attainment"] == pytest.approx(0.4)
    assert found.company["remaining_minor"] == 110_000
    before = board(date(2026, 4, 1))
    assert node(before, "Ann")["won_minor"] == 0


def test_a_managers_number_is_their_own_call_else_the_sum_and_an_override_counts_instead(call, override, board):
    call("Ann", 500)
    call("Bob", 300)
    assert (node(board(), "Mia")["commit_call"], node(board(), "Mia")["commit_by"]) == (800, "sum")
    override("Ann", 450)
    assert (node(board(), "Ann")["commit_call"], node(board(), "Mia")["commit_call"]) == (450, 750)
    call("Ann", 600)
    assert node(board(), "Ann")["commit_call"] == 450, "a new own call does not undo the manager"
    override("Ann", None, reason="Signed")
    assert node(board(), "Mia")["commit_call"] == 900
    call("Mia", 850)
    assert (node(board(), "Mia")["commit_call"], board().company["commit_call"]) == (850, 850)
    assert ForecastCall.objects.count() == 6


def test_a_call_grows_stale(call, board):
    call("Ann", 500, on=date(2026, 4, 3))
    assert node(board(), "Ann")["stale_days"] == 12 > forecast.STALE_DAYS


def test_a_call_made_later_is_not_known_before(call, board):
    call("Ann", 500, on=DAY)
    assert node(board(DAY - timedelta(days=1)), "Ann")["commit_call"] is None


def test_sales_people_call_for_themselves_and_managers_override_whom_they_lead(owner, team, make_member, call, override):
    ann, mia = (make_member(role) for role in ("Sales", "Sales manager"))
    for name, member in (("Ann", ann), ("Mia", mia)):
        people.change_rep(actor=owner, rep_id=team[name], changes={"member_id": member.pk})
    ann, mia = actor_of(ann), actor_of(mia)
    call("Ann", 500, actor=ann)
    override("Ann", 400, actor=mia)
    with pytest.raises(calls.NotYourCall):
        call("Bob", 500, actor=ann)
    with pytest.raises(calls.NotYourCall):
        override("Mia", 400, actor=mia)


@pytest.mark.parametrize("facts", [{"category": "sure"}, {"amount": -1}, {"on": END}])
def test_a_call_that_makes_no_sense_is_refused(call, facts):
    with pytest.raises(Invalid):
        call("Ann", **{"amount": 5} | facts)


def test_an_override_without_reason_is_refused(override):
    with pytest.raises(Invalid, match="reason"):
        override("Ann", 5, reason=" ")


def test_two_currencies_without_a_rate_are_not_added(set_quota, board):
    set_quota("Ann", 100)
    set_quota("Bob", 100, currency="KWD")
    with pytest.raises(RateMissing, match="no exchange rate for KWD"):
        board()


def test_another_currency_is_turned_at_the_rate_of_the_day(set_quota, board):
    set_quota("Ann", 10_000)
    set_quota("Bob", 10_000, currency="USD")
    assert 10_000 < node(board(), "Mia")["quota_minor"] != 20_000


def test_a_frozen_monday_is_not_written_twice_and_is_judged_when_the_quarter_is_over(owner, entity, deal, call):
    call("Ann", 30_000)
    won = deal(amount_minor=40_000)
    monday = date(2026, 4, 20)
    assert calls.freeze_sales_forecast(actor=owner, entity_id=entity.pk, as_of=monday) > 0
    assert calls.freeze_sales_forecast(actor=owner, entity_id=entity.pk, as_of=monday) == 0
    assert forecast.accuracy(entity_id=entity.pk, as_of=monday).is_empty()
    actions.win_opportunity(actor=owner, opportunity_id=won, on=date(2026, 5, 4))
    found = forecast.accuracy(entity_id=entity.pk, as_of=date(2026, 7, 2)).filter(pl.col("method") == "call: commit")
    assert found["wape"][0] == pytest.approx(0.25)
    assert found["bias"][0] == pytest.approx(-0.25)
    assert found["value_added"][0] == pytest.approx(0.75), "nothing was won in the quarter before"
    by_person = forecast.accuracy(entity_id=entity.pk, as_of=date(2026, 7, 2), by="person")
    assert {"Ann", "Mia", "Company"} <= set(by_person["person"])
    assert FrozenSalesForecast.objects.filter(kind="call", name="commit", rep__name="Ann").get().amount_minor == 30_000


def test_nobody_without_the_right_sets_a_quota(entity, team):
    nobody = Actor(key="member:99", permissions=frozenset({"pipeline.view"}))
    with pytest.raises(Exception, match="may not"):
        quotas.split_quota(actor=nobody, entity_id=entity.pk, **PERIOD, target_minor=5, currency="EUR", on=DAY)
    assert not Quota.objects.exists()


@pytest.fixture
def browser(make_member, client):
    client.force_login(make_member("Owner"))
    with clock.at(DAY):
        yield client


def test_a_target_is_previewed_then_written_by_the_same_figures(browser, entity, team):
    asked = {"target": "1,000.01", "currency": "EUR", "method": "evenly", "buffer": "0", "quarter": START.isoformat()}
    shown = browser.get("/pipeline/quotas/", asked).content.decode()
    assert "500.01" in shown and "500.00" in shown
    assert not Quota.objects.exists(), "a preview writes nothing"
    assert browser.post("/pipeline/quotas/split/", asked).status_code == 302
    assert sorted(Quota.objects.filter(scope="person").values_list("amount_minor", flat=True)) == [50_000, 50_001]
    assert "1,000.01" in browser.get("/pipeline/quotas/").content.decode()


def test_what_was_agreed_before_it_came_here_is_known_from_its_day(browser, entity, team):
    """A quarter that is over: its target is shared out today, and stands on the board of its first day."""
    past = {"quarter": "2026-01-01", "target": "900", "currency": "EUR", "method": "evenly", "agreed_on": "2026-01-02"}
    assert "900.00" in browser.get("/pipeline/quotas/", past).content.decode()
    assert browser.post("/pipeline/quotas/split/", past).status_code == 302
    assert {*Quota.objects.values_list("set_on", flat=True)} == {date(2026, 1, 2)}
    shown = browser.get("/pipeline/forecast/?quarter=2026-01-01&as_of=2026-02-01").content.decode()
    assert "450" in shown, "what each person was to sell is known on a day of the quarter"
    assert "not come yet" in browser.get("/pipeline/quotas/", past | {"agreed_on": "2026-04-16"}).content.decode()
    one = {"owner": "company", "measure": "bookings", "starts_on": START, "ends_on": END, "amount": "5", "currency": "EUR"}
    assert browser.post("/pipeline/quotas/set/", one | {"agreed_on": "2026-04-02"}).status_code == 302
    assert Quota.objects.latest("id").set_on == date(2026, 4, 2)
    late = browser.post("/pipeline/quotas/set/", one | {"agreed_on": "2026-04-16"})
    assert late.status_code == 400 and "not come yet" in late.content.decode()


def test_quotas_of_a_product_line_and_in_deals_are_set_by_hand_and_measured(browser, owner, entity, team, deal, products):
    both = deal("Both", opened_on=START, amount_minor=3_000)
    around.set_deal_lines(
        actor=owner, opportunity_id=both, lines=[(products["PUMP"], 1_000_000), (products["FAN"], 4_000_000)], on=START
    )
    Product.objects.filter(code="PUMP").update(family="Pumps")
    actions.win_opportunity(actor=owner, opportunity_id=both, on=DAY)
    asked = {
        "owner": f"team:{team['Mia']}",
        "family": "Pumps",
        "measure": "bookings",
        "starts_on": START,
        "ends_on": END,
        "amount": "40.00",
        "currency": "EUR",
    }
    assert browser.post("/pipeline/quotas/set/", asked).status_code == 302
    assert (
        browser.post(
            "/pipeline/quotas/set/", {**asked, "owner": f"person:{team['Ann']}", "family": "", "measure": "deals", "amount": "4"}
        ).status_code
        == 302
    )
    told = forecast.quotas_by_line(entity_id=entity.pk, **PERIOD, as_of=DAY, currency="EUR")
    assert [(r["name"], r["family"], r["measure"], r["quota_minor"], r["won_minor"], r["remaining_minor"]) for r in told] == [
        ("Ann", "", "deals", 4, 1, 3),
        ("Mia", "Pumps", "bookings", 40_00, 10_00, 30_00),  # a third of 30.00: one pump at 10.00 beside four fans at 5.00
    ]
    shown = browser.get("/pipeline/quotas/").content.decode()
    assert "Team of Mia" in shown and "25.0 %" in shown
    for odd, said in (
        ({"amount": "1.5", "measure": "deals"}, "whole number"),
        ({"amount": "much"}, "much"),
        ({"ends_on": START}, "ends after it starts"),
    ):
        answer = browser.post("/pipeline/quotas/set/", {**asked, **odd})
        assert answer.status_code == 400 and said in answer.content.decode()


@pytest.mark.parametrize(("quota", "reached"), [(100, 0.5), (60, 0.9), (150, 0.1), (10, 0.99), (1_000, 0.01)])
def test_a_quota_is_as_likely_as_the_range_says(quota, reached):
    assert engine.chance(quota, p10_minor=60, p50_minor=100, p90_minor=150) == pytest.approx(reached, abs=0.005)


def test_a_target_that_cannot_be_read_is_told_beside_it(browser, entity, team):
    answer = browser.get("/pipeline/quotas/", {"target": "much", "currency": "EUR", "method": "evenly"})
    assert answer.status_code == 400
    assert "much" in answer.content.decode()


def test_a_call_made_on_its_page_stands_on_the_board_and_in_its_log(browser, entity, team, deal):
    deal(amount_minor=70_000, category="commit")
    asked = {"category": "commit", "amount": "600.00", "note": "Two are signed", "override": "on"}
    answer = browser.post(f"/pipeline/forecast/{team['Ann']}/call/?quarter={START}", asked, follow=True)
    told = answer.content.decode()
    assert "600.00" in told and "Two are signed" in told and "override" in told
    for what in ("deals", "changes"):
        assert browser.get("/pipeline/forecast/", {"rep": team["Mia"], "what": what}).status_code == 200
    assert browser.get("/pipeline/forecast/", {"rep": 999}).status_code == 404


def test_an_override_page_without_reason_says_so(browser, team, entity):
    answer = browser.post(f"/pipeline/forecast/{team['Ann']}/call/", {"category": "commit", "amount": "5.00", "override": "on"})
    assert answer.status_code == 400
    assert "needs a reason" in answer.content.decode()
    assert not ForecastCall.objects.exists()


def test_accuracy_is_told_by_method_person_and_week(browser, owner, entity, deal, call):
    call("Ann", 30_000)
    calls.freeze_sales_forecast(actor=owner, entity_id=entity.pk, as_of=date(2026, 4, 20))
    with clock.at(date(2026, 5, 4)):
        actions.win_opportunity(actor=owner, opportunity_id=deal(amount_minor=40_000), on=date(2026, 5, 4))
    for by in ("method", "person", "week"):
        told = browser.get("/pipeline/accuracy/", {"by": by, "as_of": "2026-07-02"}).content.decode()
        assert "Call: commit" in told
    assert browser.get("/pipeline/accuracy/", {"by": "luck"}).status_code == 422


def test_quotas_and_calls_go_over_http(api, entity, team):
    row = {
        "scope": "person",
        "rep_id": team["Ann"],
        "starts_on": "2026-04-01",
        "ends_on": "2026-07-01",
        "amount_minor": 900,
        "currency": "EUR",
    }
    assert api.post("/quotas", {"quotas": [row], "on": "2026-04-01"}).status_code == 200
    said = {
        "rep_id": team["Ann"],
        "start": "2026-04-01",
        "end": "2026-07-01",
        "category": "commit",
        "amount_minor": 800,
        "currency": "EUR",
        "on": "2026-04-02",
    }
    assert api.post("/forecast-calls", said).status_code == 200
    assert api.post("/forecast-calls/override", {**said, "amount_minor": 700, "reason": "One is late"}).status_code == 200
    found = api.get("/sales-forecast?as_of=2026-04-15").json()["rows"]
    ann = next(r for r in found if r["name"] == "Ann")
    assert (ann["quota_minor"], ann["commit_call"], ann["commit_by"]) == (900, 700, "override")
    shown = api.get("/quotas/preview?as_of=2026-04-15&target_minor=101&currency=EUR&method=evenly").json()
    assert "items" in shown, shown
    assert shown["items"][0]["amount_minor"] == 101


def test_the_machines_say_nothing_with_too_little_to_learn_from(entity, deal):
    deal()
    with pytest.raises(Invalid, match="0 deals in EUR are closed; a forecast needs 100"):
        machine.machine(entity_id=entity.pk, as_of=DAY, **PERIOD)
    assert machine.frozen_methods(entity_id=entity.pk, as_of=DAY) is None
