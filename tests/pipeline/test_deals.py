"""Deals through the door: every change leaves its history, and what cannot be is refused by sentence and by the database."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.db import DatabaseError, IntegrityError, transaction

from topline.flows import proofs
from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid
from topline.pipeline import actions, people, queries, stages
from topline.pipeline.models import Opportunity, OpportunityChange, OpportunitySnapshot
from topline.team.roles import permissions_of
from topline.timeline.models import Milestone

JAN, FEB, MAR, APR = date(2026, 1, 5), date(2026, 2, 5), date(2026, 3, 5), date(2026, 4, 5)


def told(deal_id, field):
    rows = OpportunityChange.objects.filter(opportunity_id=deal_id, field=field).order_by("effective_on", "id")
    return list(rows.values_list("before", "after", "effective_on"))


def as_of(entity, day, deal_id):
    found = queries.deals(entity_id=entity.pk, as_of=day).filter(pl.col("opportunity_id") == deal_id)
    return found.row(0, named=True) if found.height else None


def test_a_deal_without_amount_is_valued_at_the_list_price_of_the_day(entity, deal):
    found = as_of(entity, JAN, deal())
    assert (found["amount_minor"], found["list_minor"], found["value_minor"]) == (None, 1_000, 1_000)
    assert (found["stage"], found["state"], found["category"]) == ("prospecting", "open", "pipeline")


def test_every_change_is_history_and_any_past_day_can_be_asked(entity, team, deal, change):
    made = deal()
    change(made, FEB, stage="proposal", amount_minor=900, close_on=APR)
    change(made, MAR, close_on=date(2026, 5, 5), rep_id=team["Bob"], next_step="Call Kim")
    assert told(made, "stage") == [("", "prospecting", JAN), ("prospecting", "proposal", FEB)]
    assert told(made, "amount") == [("", "900", FEB)]
    assert told(made, "close_on") == [("", "2026-04-05", FEB), ("2026-04-05", "2026-05-05", MAR)]
    assert as_of(entity, date(2026, 1, 4), made) is None
    assert as_of(entity, JAN, made)["stage"] == "prospecting"
    february, march = as_of(entity, FEB, made), as_of(entity, MAR, made)
    assert (february["rep_id"], february["close_on"], february["value_minor"]) == (team["Ann"], APR, 900)
    assert (march["rep_id"], march["close_on"], march["next_step"]) == (team["Bob"], date(2026, 5, 5), "Call Kim")


def test_the_category_follows_the_stage_unless_somebody_chose_another(deal, change):
    made = deal()
    change(made, FEB, stage="proposal")
    assert Opportunity.objects.get(pk=made).category == "best_case"
    change(made, FEB, category="commit")
    change(made, MAR, stage="qualified")
    assert Opportunity.objects.get(pk=made).category == "commit"


def test_a_deal_is_won_with_an_amount_and_a_day(owner, entity, deal):
    made = deal()
    with pytest.raises(Invalid) as refused:
        actions.win_opportunity(actor=owner, opportunity_id=made, on=MAR)
    assert refused.value.field == "amount_minor"
    with clock.at(FEB), pytest.raises(Invalid, match="has not come yet"):
        actions.win_opportunity(actor=owner, opportunity_id=made, on=MAR, amount_minor=950)
    actions.win_opportunity(actor=owner, opportunity_id=made, on=MAR, amount_minor=950)
    found = as_of(entity, MAR, made)
    assert (found["state"], found["category"], found["closed_on"], found["amount_minor"]) == ("won", "closed", MAR, 950)
    assert as_of(entity, FEB, made)["closed_on"] is None
    assert Milestone.objects.filter(kind="opportunity_won", subject_id=made, occurred_on=MAR, amount_minor=950).exists()
    with pytest.raises(actions.OpportunityClosed):
        actions.win_opportunity(actor=owner, opportunity_id=made, on=MAR)


def test_nothing_is_told_of_a_day_that_has_not_come_yet(owner, entity, team, deal, change):
    made = deal(amount_minor=950)
    row = {"name": "Fans", "rep_id": team["Ann"], "currency": "EUR", "opened_on": JAN}
    won, lost = row | {"stage": "won", "amount_minor": 5}, row | {"stage": "lost", "loss_reason": "Price", "competitor": "nobody"}
    with clock.at(FEB):
        for add in (
            won | {"closed_on": MAR},
            lost | {"closed_on": MAR},
            row | {"stage": "prospecting", "opened_on": MAR},
            row | {"stage": "prospecting", "engaged_on": MAR},
        ):
            with pytest.raises(Invalid, match="has not come yet") as refused:
                actions.add_opportunities(actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([add]), known_on=FEB)
            assert refused.value.field in {"closed_on", "opened_on", "engaged_on"} and str(FEB) in refused.value.remedy
        with pytest.raises(Invalid, match="has not come yet"):
            actions.add_opportunities(actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([row | {"stage": "prospecting"}]), known_on=MAR)  # fmt: skip
        with pytest.raises(Invalid, match="has not come yet"):
            actions.lose_opportunity(actor=owner, opportunity_id=made, on=MAR, loss_reason="Price", competitor="nobody")
        with pytest.raises(Invalid, match="has not come yet"):
            change(made, MAR, stage="proposal")
    assert Opportunity.objects.count() == 1 and Opportunity.objects.get().state == "open"


@pytest.mark.parametrize(("reason", "competitor", "field"), [("", "Initech", "loss_reason"), ("Price", " ", "competitor")])
def test_a_deal_is_lost_for_a_reason_and_to_somebody(owner, deal, reason, competitor, field):
    made = deal()
    with pytest.raises(Invalid) as refused:
        actions.lose_opportunity(actor=owner, opportunity_id=made, on=MAR, loss_reason=reason, competitor=competitor)
    assert refused.value.field == field
    assert Opportunity.objects.get(pk=made).state == "open"


def test_a_lost_deal_is_opened_again_by_an_open_stage(owner, entity, deal, change):
    made = deal()
    actions.lose_opportunity(actor=owner, opportunity_id=made, on=FEB, loss_reason="Price", competitor="Initech")
    with pytest.raises(actions.OpportunityClosed):
        change(made, MAR, next_step="Try again")
    change(made, MAR, stage="qualified")
    found = as_of(entity, MAR, made)
    assert (found["state"], found["category"], found["closed_on"], found["competitor"]) == ("open", "pipeline", None, "")
    assert as_of(entity, FEB, made)["state"] == "lost"
    assert Milestone.objects.filter(kind="opportunity_reopened", subject_id=made).exists()


def test_a_change_never_slips_in_before_a_later_one(deal, change):
    made = deal()
    change(made, MAR, stage="proposal")
    with pytest.raises(actions.ChangeOutOfOrder):
        change(made, FEB, stage="qualified")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"stage": "won"}, "stage"),
        ({"stage": "nowhere"}, "stage"),
        ({"category": "closed"}, "category"),
        ({"amount_minor": -1}, "amount_minor"),
        ({"close_on": date(2025, 12, 31)}, "close_on"),
        ({"rep_id": 987_654}, "rep_id"),
        ({"state": "won"}, "state"),
    ],
)
def test_a_change_that_cannot_be_is_told_beside_its_field(deal, change, changes, field):
    made = deal()
    before = OpportunityChange.objects.count()
    with pytest.raises(Invalid) as refused:
        change(made, FEB, **changes)
    assert refused.value.field == field
    assert OpportunityChange.objects.count() == before


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"name": " "}, "name"),
        ({"rep_id": None}, "rep_id"),
        ({"rep_id": 987_654}, "rep_id"),
        ({"customer_id": 987_654}, "customer_id"),
        ({"stage": "nowhere"}, "stage"),
        ({"currency": "XQQ"}, "currency"),
        ({"amount_minor": -1}, "amount_minor"),
        ({"stage": "won", "closed_on": MAR}, "amount_minor"),
        ({"stage": "won", "amount_minor": 5}, "closed_on"),
        ({"stage": "lost", "closed_on": date(2025, 12, 31)}, "closed_on"),
        ({"closed_on": MAR}, "closed_on"),
        ({"close_on": date(2025, 12, 31)}, "close_on"),
    ],
)
def test_a_deal_that_cannot_be_is_told_beside_its_field(deal, facts, field):
    with pytest.raises(Invalid) as refused:
        deal(**facts)
    assert refused.value.field == field
    assert not Opportunity.objects.exists()


@pytest.mark.parametrize(
    "facts",
    [
        {"state": "won", "closed_on": MAR},
        {"state": "won", "amount_minor": 5},
        {"state": "lost"},
        {"closed_on": MAR},
        {"state": "lost", "closed_on": date(2025, 12, 31)},
        {"amount_minor": -1},
        {"category": "perhaps"},
        {"close_on": date(2025, 12, 31)},
    ],
)
def test_the_database_itself_refuses_a_deal_that_cannot_be(deal, facts):
    made = deal()
    with pytest.raises(IntegrityError), transaction.atomic():
        Opportunity.objects.filter(pk=made).update(**facts)


@pytest.mark.parametrize("model", [OpportunityChange, OpportunitySnapshot])
def test_history_and_snapshots_are_never_edited_nor_deleted(owner, entity, deal, model):
    deal()
    actions.snapshot_pipeline(actor=owner, entity_id=entity.pk, as_of=JAN)
    for change_it in (lambda rows: rows.update(opportunity_id=1), lambda rows: rows._raw_delete("default")):
        with pytest.raises(DatabaseError), transaction.atomic():
            change_it(model.objects.all())
    assert model.objects.exists()


def test_sales_people_change_their_own_deals_and_managers_those_of_all(owner, team, deal, change):
    made = deal()
    rights = permissions_of(frozenset({"Sales"}))
    from topline.team import actions as members

    member = members.add_member(
        actor=owner, email="ann@example.com", name="Ann", roles=["Sales"], password="long enough words 42"
    )
    ann = Actor(key=f"member:{member}", permissions=rights)
    with pytest.raises(actions.NotYourDeal):
        actions.change_opportunity(actor=ann, opportunity_id=made, changes={"next_step": "Call"}, on=FEB)
    assert Opportunity.objects.get(pk=made).next_step == ""
    people.change_rep(actor=owner, rep_id=team["Ann"], changes={"member_id": member})
    actions.change_opportunity(actor=ann, opportunity_id=made, changes={"next_step": "Call"}, on=FEB)
    lead = Actor(key="member:987654", permissions=permissions_of(frozenset({"Sales manager"})))
    actions.change_opportunity(actor=lead, opportunity_id=made, changes={"next_step": "Visit"}, on=FEB)
    assert Opportunity.objects.get(pk=made).next_step == "Visit"


def test_a_team_is_a_tree(owner, team):
    with pytest.raises(people.TeamIsCircular):
        people.change_rep(actor=owner, rep_id=team["Mia"], changes={"manager_id": team["Ann"]})
    with pytest.raises(people.TeamIsCircular):
        people.change_rep(actor=owner, rep_id=team["Mia"], changes={"manager_id": team["Mia"]})
    with pytest.raises(people.TeamIsCircular):
        people.add_reps(actor=owner, reps=pl.DataFrame({"name": ["X", "Y"], "manager": ["Y", "X"]}))
    assert set(queries.reps()["name"]) == {"Mia", "Ann", "Bob"}


def test_somebody_who_left_keeps_their_deals_and_gets_no_new_ones(owner, entity, team, deal, change):
    made = deal()
    people.change_rep(actor=owner, rep_id=team["Ann"], changes={"left_on": FEB})
    people.change_rep(actor=owner, rep_id=team["Bob"], changes={"left_on": FEB})
    assert as_of(entity, MAR, made)["rep_id"] == team["Ann"]
    with pytest.raises(Invalid, match="Bob left"):
        change(made, MAR, rep_id=team["Bob"])


def test_the_snapshot_of_a_night_is_what_history_tells_of_that_day(owner, entity, deal, change):
    first, second = deal(), deal("Fan for Initech", "FAN", amount_minor=400)
    change(first, FEB, stage="proposal", close_on=APR)
    actions.win_opportunity(actor=owner, opportunity_id=second, on=FEB)
    third = deal("Late", opened_on=FEB)
    assert actions.snapshot_pipeline(actor=owner, entity_id=entity.pk, as_of=FEB) == 2
    assert actions.snapshot_pipeline(actor=owner, entity_id=entity.pk, as_of=FEB) == 0  # written once
    change(third, MAR, stage="qualified")
    written = queries.snapshot(entity_id=entity.pk, as_of=FEB)
    then = queries.deals(entity_id=entity.pk, as_of=FEB).filter(pl.col("state") == "open")
    assert written.equals(then.select(written.columns).sort("opportunity_id"))
    day_after = date(2026, 2, 6)  # written late, when a deal has moved on already
    assert actions.snapshot_pipeline(actor=owner, entity_id=entity.pk, as_of=day_after) == 2
    assert queries.snapshot(entity_id=entity.pk, as_of=day_after).equals(written)


@pytest.mark.parametrize(
    "damage",
    [{"category": "commit"}, {"amount_minor": 5}, {"close_on": APR}, {"next_step": "x"}, {"state": "lost", "closed_on": FEB}],
)
def test_a_deal_changed_behind_its_history_is_found(deal, change, damage):
    made = deal()
    change(made, FEB, stage="proposal", amount_minor=900)
    name = "deals stand where their history leads"
    assert next(p for p in proofs.verify() if p.name == name).holds
    Opportunity.objects.filter(pk=made).update(**damage)
    found = next(p for p in proofs.verify() if p.name == name)
    assert found.offending["opportunity_id"].to_list() == [made]


def steps(*rows):
    return pl.DataFrame(
        [{"key": key, "name": key.title(), "kind": kind, "category": category, "is_qualified": False} for key, kind, category in rows]
    )  # fmt: skip


def test_stages_are_edited_while_nobody_stands_in_those_that_go(owner, deal):
    ends = (("won", "won", "closed"), ("lost", "lost", "omitted"))
    assert (
        stages.set_stages(actor=owner, stages=steps(("prospecting", "open", "pipeline"), ("trial", "open", "commit"), *ends)) == 4
    )
    assert queries.stages()["key"].to_list() == ["prospecting", "trial", "won", "lost"]
    deal()
    with pytest.raises(stages.StageInUse):
        stages.set_stages(actor=owner, stages=steps(("trial", "open", "commit"), *ends))
    assert queries.stages()["key"].to_list() == ["prospecting", "trial", "won", "lost"]


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "open", "pipeline"), ("won", "won", "closed")],
        [("won", "won", "closed"), ("lost", "lost", "omitted")],
        [("won", "won", "closed"), ("a", "open", "pipeline"), ("lost", "lost", "omitted")],
        [("a", "open", "perhaps"), ("won", "won", "closed"), ("lost", "lost", "omitted")],
        [("a", "open", "pipeline"), ("a", "open", "pipeline"), ("won", "won", "closed"), ("lost", "lost", "omitted")],
    ],
)
def test_stages_are_open_ones_then_won_and_lost(owner, rows):
    before = queries.stages()
    with pytest.raises(Invalid):
        stages.set_stages(actor=owner, stages=steps(*rows))
    assert queries.stages().equals(before)
