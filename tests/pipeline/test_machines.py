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
from topline.pipeline import actions, calls, chances, forecast, machine, people
from topline.pipeline.models import DealChance, FrozenSalesForecast, Opportunity
from topline.team.queries import actor_of

JAN = date(2026, 1, 5)
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


def keep(owner, entity, *rows, chances=()):
    whole = {"amount_minor": pl.Int64, "p10_minor": pl.Int64, "p90_minor": pl.Int64}
    schema = {"as_of": pl.Date, "starts_on": pl.Date, "ends_on": pl.Date, "name": pl.String, **whole, "currency": pl.String}
    frame = pl.DataFrame(list(rows), schema=schema)
    ahead = machine.Rehearsed(frame, pl.DataFrame(list(chances), schema=machine.CHANCES))
    return calls.keep_rehearsals(actor=owner, entity_id=entity.pk, as_of=DAY, ahead=ahead)


def told_of(deal_id, monday, quarter, bp, **facts):
    row = {"opportunity_id": deal_id, "as_of": monday, "ends_on": quarter["end"], "in_period_bp": bp, "ever_bp": bp, "by_week": "[]", "reasons": "[]"}  # fmt: skip
    return row | {"age_days": None, "stage_key": "", "stage_days": None} | facts


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


def test_a_frozen_monday_tells_the_chance_of_every_open_deal_and_the_quarter_as_twenty_futures(
    owner, entity, team, past, deal, client, make_member
):
    fresh = deal(opened_on=DAY - timedelta(days=5), amount_minor=100_00)
    told = machine.frozen_methods(entity_id=entity.pk, as_of=DAY)
    calls.freeze_sales_forecast(actor=owner, entity_id=entity.pk, as_of=DAY, told=told)
    row = DealChance.objects.get(opportunity_id=fresh)
    assert (row.as_of, row.ends_on, row.is_rehearsed, len(row.by_week), row.age_days) == (DAY, NOW["end"], False, 27, 6)
    assert sum(bp for _, _, bp in row.reasons) == pytest.approx(row.ever_bp, abs=20), "the steps lead to the chance"
    assert sum(row.by_week) == pytest.approx(row.ever_bp, abs=20), "and so do the weeks"
    assert 0 < row.in_period_bp <= row.ever_bp
    pool = FrozenSalesForecast.objects.get(as_of=DAY, name="pool", rep=None)
    assert len(pool.dots_minor) == 20 and pool.dots_minor == sorted(pool.dots_minor)
    assert pool.dots_minor[1] <= pool.p10_minor <= pool.dots_minor[2], "two dots of twenty lie below P10"
    client.force_login(make_member("Owner"))
    with clock.at(DAY + timedelta(days=1)):
        page = client.get(f"/pipeline/{fresh}/").content.decode()
        board = client.get("/pipeline/forecast/").content.decode()
        ann = client.get(f"/pipeline/forecast/?rep={team['Ann']}").content.decode()
    found = chances.chance(deal=Opportunity.objects.get(pk=fresh), as_of=DAY)
    assert f"{found.in_quarter} in 100 to be won by 30 Sep 2026" in page
    assert "A deal of yours on its first day" in page and "This one is 6 days on its way" in page
    assert "Not yet verified on your data" in page
    assert found.steps[0].points + sum(step.points for step in found.steps[1:]) == found.ever
    assert "Company: what the quarter may bring" in board and "Ann: what the quarter may bring" in ann
    assert chances.chance(deal=Opportunity.objects.get(pk=fresh), as_of=DAY - timedelta(days=1)) is None


def test_chances_are_judged_when_their_quarter_is_over(owner, entity, deal, client, make_member):
    monday = date(2026, 6, 22)
    won, lost, late = (deal(name=name, opened_on=date(2026, 6, 1), amount_minor=100_00) for name in ("Won", "Lost", "Late"))
    actions.win_opportunity(actor=owner, opportunity_id=won, on=date(2026, 6, 25))
    actions.lose_opportunity(actor=owner, opportunity_id=lost, on=date(2026, 6, 26), loss_reason="Price", competitor="nobody")
    actions.win_opportunity(actor=owner, opportunity_id=late, on=date(2026, 7, 2))
    still = deal(name="Still open", opened_on=date(2026, 6, 1))
    rows = [told_of(pk, monday, LAST, 3_500) for pk in (won, lost, late)] + [told_of(still, DAY, NOW, 3_999)]
    keep(owner, entity, rehearsed(monday, LAST, 100), chances=rows)
    (band,) = chances.kept(entity_id=entity.pk, as_of=DAY)
    assert (band.low, band.high, band.told, band.deals) == (30, 40, 3, 3)
    assert band.came == pytest.approx(100 / 3), "what is won after the quarter does not count"
    assert chances.kept(entity_id=entity.pk, as_of=date(2026, 6, 30)) == [], "the quarter was not over"
    assert keep(owner, entity, chances=rows) == 0 and DealChance.objects.count() == 4, "a day on record stays as it is"
    client.force_login(make_member("Owner"))
    with clock.at(DAY):
        assert "30 to 40" in client.get("/pipeline/accuracy/").content.decode()
        page = client.get(f"/pipeline/{still}/").content.decode()
    assert (
        "When 30 to 40 in 100 were told for quarters that are over, 33.3 in 100 were won: 3 times, 3 deals; that few say little"
        in page
    )


def test_no_chance_is_told_as_certain(owner, entity, deal):
    pk = deal(opened_on=JAN)
    keep(owner, entity, chances=[told_of(pk, date(2026, 6, 22), LAST, 10_000), told_of(pk, date(2026, 6, 29), LAST, 0)])
    found = chances.chance(deal=Opportunity.objects.select_related("stage").get(pk=pk), as_of=DAY)
    assert (found.in_quarter, found.before) == (1, 99)
    assert [band.low for band in chances.kept(entity_id=entity.pk, as_of=DAY)] == [90, 0]


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
    pool = rows.filter(name="pool", rep=None).latest("as_of")
    people_of_last = set(rows.filter(as_of=date(2026, 6, 29)).exclude(rep=None).values_list("rep__name", flat=True))
    assert people_of_last == {"Mia", "Ann", "Bob"}, "everybody's part is told for the last of them"
    assert pool.amount_minor == pytest.approx(39 * 100_00, rel=0.1), "twelve weeks of the quarter are won by then"
    assert len(pool.dots_minor) == 20
    judged = DealChance.objects.filter(is_rehearsed=True)
    assert set(judged.values_list("as_of", flat=True)) == {date(2026, 6, 22), date(2026, 6, 29)}
    assert {len(weeks) for weeks in judged.filter(as_of=date(2026, 6, 29)).values_list("by_week", flat=True)} == {27}
    assert {len(weeks) for weeks in judged.filter(as_of=date(2026, 6, 22)).values_list("by_week", flat=True)} == {0}
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
        told=machine.Frozen(pl.DataFrame([{"rep_id": None, "name": "pool", "amount_minor": won, "p10_minor": 0, "p90_minor": 2 * won, "dots_minor": None}], schema_overrides={"rep_id": pl.Int64, "dots_minor": pl.String}), pl.DataFrame(schema=machine.CHANCES)),
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
