"""The day's work: asked for once a day and company, done in parts, and harmless when it is done again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from topline.books import actions as books
from topline.collections import actions, reminders
from topline.collections.models import PayrollStake, Promise, Reminder, TimingModel
from topline.flows import daily
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.models import OutboxMessage
from topline.market import actions as market
from topline.market import battlecards, competitors
from topline.team import actions as team
from topline.team.models import Task
from topline.treasury.models import FrozenForecast

MONDAY = date(2026, 4, 20)


def at(day, hour=9):
    return clock.at(datetime(day.year, day.month, day.day, hour, tzinfo=UTC))


def drain():
    while outbox.drain(HANDLERS):
        pass


@pytest.fixture
def globex(owner, entity, make_customers):
    (made,) = make_customers("Globex")
    market.add_contact(actor=owner, customer_id=made, name="Ada", email="pay@globex.example", role="Accounts payable")
    return made


def test_the_work_is_asked_for_once_a_day_and_company_after_its_morning_has_begun(owner, entity):
    books.open_entity(actor=owner, key="west", name="West Inc", currency="USD", time_zone="America/Los_Angeles")
    with at(MONDAY, hour=2):  # four in the morning in Berlin, still Sunday in Los Angeles
        assert (daily.due(), daily.due()) == (1, 0)
    with at(MONDAY, hour=4):
        assert (daily.due(), daily.due()) == (1, 0)
    with at(MONDAY, hour=13):
        assert (daily.due(), daily.due()) == (1, 0)
    days = [(m.payload["entity_id"], m.payload["day"]) for m in OutboxMessage.objects.filter(topic="daily").order_by("id")]
    west = next(e for e, _ in days if e != entity.pk)
    assert days == [(west, "2026-04-19"), (entity.pk, "2026-04-20"), (west, "2026-04-20")]


def test_a_clock_that_was_moved_back_asks_for_nothing(entity):
    with at(MONDAY):
        assert daily.due() == 1
    with at(MONDAY - timedelta(days=3)):
        assert daily.due() == 0
    with at(MONDAY + timedelta(days=1)):
        assert daily.due() == 1


def test_a_day_judges_reminds_and_freezes_and_a_second_run_changes_nothing(owner, entity, globex, issue):
    (invoice,) = issue(globex, 1_000_00)
    (late,) = issue(globex, 500_00)
    reminders.set_policy(actor=owner, entity_id=entity.pk)
    items = pl.DataFrame({"invoice_id": [invoice], "amount_minor": [1_000_00]})
    actions.record_promise(
        actor=owner, entity_id=entity.pk, customer_id=globex, due_on=date(2026, 4, 10), items=items, made_on=date(2026, 4, 2)
    )
    with at(MONDAY):
        daily.due()
        drain()
        assert Promise.objects.get().state == "broken"
        assert list(Reminder.objects.values_list("step", "state")) == [("firm", "sent")]
        assert FrozenForecast.objects.get().as_of == MONDAY
        assert PayrollStake.objects.get().as_of == MONDAY
        done, version, frozen = daily.run(actor=owner, entity_id=entity.pk, as_of=MONDAY)
        assert (done.promises, done.plans, done.steps, version) == (0, 0, {}, None)
        assert frozen == FrozenForecast.objects.get().pk
    assert Reminder.objects.count() == 1 and late
    assert not OutboxMessage.objects.exclude(state="done").exists()


def test_the_forecast_is_frozen_on_mondays_only(entity):
    with at(MONDAY + timedelta(days=1)):
        daily.due()
        drain()
    assert not FrozenForecast.objects.exists()
    assert not OutboxMessage.objects.exclude(state="done").exists()


def test_the_model_is_trained_when_there_is_enough_to_learn_from_and_again_a_week_later(owner, entity, globex, issue, pay, apply):
    issued = date(2026, 1, 5)
    for invoice in issue(globex, *[100_00] * 19, on=issued):
        apply(pay(globex, 100_00, on=date(2026, 2, 10)), invoice, 100_00, on=date(2026, 2, 10))
    assert daily.learn(actor=owner, entity_id=entity.pk, as_of=MONDAY) is None
    (last,) = issue(globex, 100_00, on=issued)
    apply(pay(globex, 100_00, on=date(2026, 2, 12)), last, 100_00, on=date(2026, 2, 12))
    assert daily.learn(actor=owner, entity_id=entity.pk, as_of=MONDAY) is not None
    for days, trained in ((1, False), (6, False), (7, True)):
        found = daily.learn(actor=owner, entity_id=entity.pk, as_of=MONDAY + timedelta(days=days))
        assert (found is not None) is trained, days
    assert list(TimingModel.objects.order_by("id").values_list("trained_on", flat=True)) == [date(2026, 4, 19), date(2026, 4, 26)]


def test_the_owner_of_a_stale_battlecard_is_asked_once_each_time_it_goes_stale(owner, entity):
    ann = team.add_member(actor=owner, email="ann@acme.localhost", name="Ann", roles=["Sales"], password="a long enough phrase")
    with at(date(2026, 1, 5)):
        acid = competitors.add_competitor(actor=owner, name="Acid Rain", owner_id=ann)
        battlecards.write_battlecard(actor=owner, competitor_id=acid, how_to_win="Be kind", on=date(2026, 1, 5))
    for day, asked in ((date(2026, 4, 5), 0), (date(2026, 4, 6), 1), (date(2026, 4, 7), 0)):
        with at(day):
            assert daily.keep_cards_fresh(actor=owner, as_of=day) == asked
    (task,) = Task.objects.all()
    assert (task.assignee_id, task.about_kind, task.about_id, task.due_on) == (ann, "competitor", acid, date(2026, 4, 13))
    assert "Acid Rain" in task.title and "91 days ago" in task.note
    with at(date(2026, 4, 8)):
        team.finish_task(actor=owner, task_id=task.pk, dropped=True)
        assert daily.keep_cards_fresh(actor=owner, as_of=date(2026, 4, 8)) == 0, "who dropped it is not asked again"
        battlecards.review_battlecard(actor=owner, competitor_id=acid, on=date(2026, 4, 8))
    with at(date(2026, 7, 8)):
        assert daily.keep_cards_fresh(actor=owner, as_of=date(2026, 7, 8)) == 1
        battlecards.review_battlecard(actor=owner, competitor_id=acid, on=date(2026, 7, 8))
    with at(date(2026, 7, 9)):
        assert daily.keep_cards_fresh(actor=owner, as_of=date(2026, 7, 9)) == 0
    assert sorted(Task.objects.values_list("state", flat=True)) == ["done", "dropped"]


def test_a_stale_card_that_nobody_keeps_is_for_who_owns_sales_and_the_days_work_asks(owner, entity):
    with at(date(2026, 1, 5)):
        acid = competitors.add_competitor(actor=owner, name="Acid Rain")
        battlecards.write_battlecard(actor=owner, competitor_id=acid, how_to_win="Be kind", on=date(2026, 1, 5))
    with at(MONDAY):
        assert daily.keep_cards_fresh(actor=owner, as_of=MONDAY) == 0
        ann = team.add_member(
            actor=owner, email="ann@acme.localhost", name="Ann", roles=["Sales"], password="a long enough phrase"
        )
        team.set_area(actor=owner, key="sales", owner_id=ann, deputy_id=None)
        daily.due()
        drain()
    assert Task.objects.get().assignee_id == ann
