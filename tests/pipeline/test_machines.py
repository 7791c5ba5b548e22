"""What the machines say of a quarter: frozen on a Monday for everybody, rehearsed on the past, and how often their ranges held."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from typer.testing import CliRunner

from topline.cli import commands
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid
from topline.pipeline import actions, calls, forecast, machine, people
from topline.pipeline.models import FrozenSalesForecast
from topline.team.queries import actor_of

DAY = date(2026, 7, 6)  # the Monday after a quarter
LAST = {"start": date(2026, 4, 1), "end": date(2026, 7, 1)}
NOW = {"start": date(2026, 7, 1), "end": date(2026, 10, 1)}


@pytest.fixture
def past(owner, entity, team):
    """Nine months of Ann's and Bob's deals, four a week, of which three are won for 100.00."""
    rows = []
    for week in range(39):
        closed = date(2025, 10, 6) + timedelta(weeks=week)
        for n, who in enumerate(("Ann", "Bob", "Ann", "Bob")):
            won = n < 3
            rows.append({"name": f"Pump {week}-{n}", "rep_id": team[who], "stage": "won" if won else "lost", "currency": "EUR", "amount_minor": 100_00 if won else None,
                         "opened_on": closed - timedelta(days=20 + 5 * n), "closed_on": closed, "loss_reason": "" if won else "Price", "competitor": "" if won else "nobody"})  # fmt: skip
    actions.add_opportunities(actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame(rows), known_on=DAY)


def rehearsed(monday, quarter, total, low=None, high=None, name="pool"):
    return {"as_of": monday, "starts_on": quarter["start"], "ends_on": quarter["end"], "name": name, "amount_minor": total, "p10_minor": low, "p90_minor": high, "currency": "EUR"}  # fmt: skip


def keep(owner, entity, *rows):
    frame = pl.DataFrame(list(rows), schema_overrides={"p10_minor": pl.Int64, "p90_minor": pl.Int64})
    return calls.keep_rehearsals(actor=owner, entity_id=entity.pk, as_of=DAY, ahead=frame)


def test_a_frozen_monday_tells_everybody_with_all_whom_they_lead(owner, entity, team, past):
    told = machine.frozen_methods(entity_id=entity.pk, as_of=DAY)
    calls.freeze_sales_forecast(actor=owner, entity_id=entity.pk, as_of=DAY, told=told)
    found = machine.said(entity_id=entity.pk, **NOW, as_of=DAY + timedelta(days=2))
    assert (found.as_of, found.is_rehearsed, found.judged) == (DAY, False, 0)
    assert set(found.people) == {team["Mia"], team["Ann"], team["Bob"]}
    assert found.pool["p10_minor"] <= found.pool["amount_minor"] <= found.pool["p90_minor"]
    mia, ann, bob = (found.people[team[name]] for name in ("Mia", "Ann", "Bob"))
    assert max(ann["amount_minor"], bob["amount_minor"]) < mia["amount_minor"]
    assert mia["amount_minor"] == pytest.approx(ann["amount_minor"] + bob["amount_minor"], rel=0.1)
    assert machine.said(entity_id=entity.pk, **NOW, as_of=DAY - timedelta(days=1)) is None, "not known the day before"


def test_the_methods_rehearse_once_in_the_background_and_are_judged_at_once(
    owner, entity, past, client, make_member, monkeypatch
):
    monkeypatch.setattr(machine, "REHEARSED_MONDAYS", 2)
    client.force_login(make_member("Owner"))
    with clock.at(DAY):
        assert "No quarter that was frozen is over" in client.get("/pipeline/accuracy/").content.decode()
        told = client.post("/pipeline/accuracy/rehearse/", follow=True).content.decode()
        assert "rehearse on past Mondays. Look again" in told
        outbox.drain({"rehearse_sales": HANDLERS["rehearse_sales"]}, limit=1)
        told = client.get("/pipeline/accuracy/").content.decode()
    assert "Rehearsed: pool" in told and "Look again" not in told
    rows = FrozenSalesForecast.objects.filter(kind=machine.REHEARSED)
    assert set(rows.values_list("as_of", flat=True)) == {date(2026, 6, 22), date(2026, 6, 29)}
    assert set(rows.values_list("starts_on", flat=True)) == {LAST["start"]}
    pool = rows.filter(name="pool").latest("as_of")
    assert pool.amount_minor == pytest.approx(39 * 100_00, rel=0.1), "twelve weeks of the quarter are won by then"
    assert machine.to_rehearse(entity_id=entity.pk, as_of=DAY) is None, "what is on record is not reckoned again"


def test_a_long_rehearsal_waits_until_somebody_asks(entity, past, monkeypatch):
    monkeypatch.setattr(machine, "rehearsals", lambda **asked: "reckoned")
    assert machine.to_rehearse(entity_id=entity.pk, as_of=DAY) == "reckoned"
    monkeypatch.setattr(machine, "UNASKED", 155)
    assert machine.to_rehearse(entity_id=entity.pk, as_of=DAY) is None


def test_a_rehearsed_monday_stays_as_it_is(owner, entity):
    first = rehearsed(date(2026, 6, 22), LAST, 100)
    assert keep(owner, entity, first) == 1
    assert keep(owner, entity, {**first, "amount_minor": 900}, rehearsed(date(2026, 6, 29), LAST, 200)) == 1
    assert sorted(FrozenSalesForecast.objects.values_list("amount_minor", flat=True)) == [100, 200]


def test_ranges_are_counted_as_held_or_not_and_what_was_frozen_goes_before_what_was_rehearsed(owner, entity, past):
    won = 39 * 100_00
    keep(
        owner,
        entity,
        rehearsed(date(2026, 6, 22), LAST, won, won - 1, won + 1),
        rehearsed(date(2026, 6, 29), LAST, won, won + 1, won + 2),
    )
    found = machine.said(entity_id=entity.pk, **LAST, as_of=DAY)
    assert (found.is_rehearsed, found.held, found.judged) == (True, 1, 2)
    printed = CliRunner().invoke(commands.app, ["forecast", "--as-of", DAY.isoformat()]).stdout
    assert "8 times in 10. Plan on" in printed and "Of 2 such ranges of quarters that are over, 1 held." in printed
    assert machine.said(entity_id=entity.pk, **LAST, as_of=date(2026, 6, 30)).judged == 0, "the quarter was not over"
    calls.freeze_sales_forecast(
        actor=owner, entity_id=entity.pk, as_of=date(2026, 6, 29),
        told=pl.DataFrame([{"rep_id": None, "name": "pool", "amount_minor": won, "p10_minor": 0, "p90_minor": 2 * won}], schema_overrides={"rep_id": pl.Int64}),
    )  # fmt: skip
    assert not machine.said(entity_id=entity.pk, **LAST, as_of=DAY).is_rehearsed


def test_a_rehearsal_with_too_little_to_learn_from_is_refused_before_it_starts(owner, entity, deal):
    deal()
    with pytest.raises(Invalid, match="0 deals in EUR are closed"):
        calls.ask_rehearsal(actor=owner, entity_id=entity.pk, as_of=DAY)


def test_the_board_offers_a_call_only_to_who_may_make_it(owner, entity, team, deal, make_member, client):
    member = make_member("Sales")
    deal()
    people.change_rep(actor=owner, rep_id=team["Ann"], changes={"member_id": member.pk})
    people.change_rep(actor=owner, rep_id=team["Bob"], changes={"left_on": date(2026, 3, 1)})
    client.force_login(member)
    with clock.at(date(2026, 4, 15)):
        told = client.get("/pipeline/forecast/").content.decode()
        assert f"/pipeline/forecast/{team['Ann']}/call/" in told
        assert f"/pipeline/forecast/{team['Mia']}/call/" not in told
        client.force_login(make_member("Owner"))
        told = client.get("/pipeline/forecast/").content.decode()
        assert f"/pipeline/forecast/{team['Mia']}/call/" in told
        assert f"/pipeline/forecast/{team['Bob']}/call/" not in told, "who left calls nothing"
    manager = make_member("Sales manager")
    people.change_rep(actor=owner, rep_id=team["Mia"], changes={"member_id": manager.pk})
    assert calls.callable_by(actor=actor_of(manager), start=LAST["start"]) == {team["Mia"], team["Ann"]}


def test_a_call_below_what_is_won_is_marked_and_its_page_says_what_stands(owner, entity, team, deal, make_member, client):
    actions.win_opportunity(actor=owner, opportunity_id=deal(amount_minor=400_00), on=date(2026, 4, 10))
    calls.submit_call(
        actor=owner, entity_id=entity.pk, rep_id=team["Ann"], **LAST, category="commit", amount_minor=300_00, currency="EUR", on=date(2026, 4, 11)
    )  # fmt: skip
    client.force_login(make_member("Owner"))
    with clock.at(date(2026, 4, 15)):
        assert "below won" in client.get("/pipeline/forecast/").content.decode()
        told = client.get(f"/pipeline/forecast/{team['Ann']}/call/").content.decode()
    assert "Ann: 1 Apr 2026 to 30 Jun 2026" in told
    assert "Won 400.00 EUR" in told and "called 300.00 (own call)" in told
    assert forecast.board(entity_id=entity.pk, **LAST, as_of=date(2026, 4, 15)).company["commit_call"] == 300_00
