"""Sales statistics: beside which span, and who is said to win more or lose more."""

from __future__ import annotations

from datetime import date

import pytest

from topline.kernel.errors import Invalid
from topline.pipeline import actions, figures


@pytest.fixture
def ended(owner, deal):
    """Close deals on a day: how many were won and lost, from which source."""

    def make(on, won, lost, source="Website", competitor="nobody"):
        for n in range(won + lost):
            made = deal(source=source, amount_minor=100_00, opened_on=date(2024, 1, 5))
            if n < won:
                actions.win_opportunity(actor=owner, opportunity_id=made, on=on)
            else:
                actions.lose_opportunity(actor=owner, opportunity_id=made, on=on, loss_reason="Price", competitor=competitor)

    return make


SPAN = {"since": date(2026, 1, 1), "until": date(2026, 4, 1)}


def test_a_span_stands_beside_the_one_before_it_or_the_same_days_a_year_earlier(entity, ended):
    ended(date(2026, 2, 1), 3, 1)
    ended(date(2025, 11, 1), 2, 0)
    ended(date(2025, 2, 1), 1, 1)
    before = figures.statistics(entity_id=entity.pk, **SPAN).row(0, named=True)
    assert (before["won"], before["before_won"]) == (3, 2)
    year = figures.statistics(entity_id=entity.pk, **SPAN, beside="year").row(0, named=True)
    assert (year["won"], year["before_won"], year["before_win_rate"]) == (3, 1, 0.5)
    with pytest.raises(Invalid, match="is no span"):
        figures.statistics(entity_id=entity.pk, **SPAN, beside="decade")


def test_a_month_stands_beside_the_month_before_it_or_the_same_one_a_year_earlier(entity, ended):
    for on, won in ((date(2025, 2, 3), 5), (date(2025, 12, 31), 4), (date(2026, 1, 31), 2), (date(2026, 2, 1), 3)):
        ended(on, won, 0)
    told = figures.statistics(entity_id=entity.pk, **SPAN, by="month")
    assert told.select("key", "won", "before_key", "before_won").rows() == [
        ("2026-01", 2, "2025-12", 4),
        ("2026-02", 3, "2026-01", 2),
    ]
    told = figures.statistics(entity_id=entity.pk, **SPAN, by="month", beside="year")
    assert told.select("key", "before_key", "before_won").rows() == [("2026-01", None, None), ("2026-02", "2025-02", 5)]
    told = figures.statistics(entity_id=entity.pk, **SPAN, by="quarter")
    assert told.select("key", "won", "before_key", "before_won").rows() == [("2026 Q1", 5, "2025 Q4", 4)]
    assert figures.beside_of(**SPAN, by="quarter") == (date(2025, 10, 1), date(2026, 1, 1))


def test_the_same_day_a_year_earlier_clamps_to_the_end_of_february():
    assert figures.year_before(date(2028, 2, 29)) == date(2027, 2, 28)
    assert figures.year_before(date(2026, 3, 31)) == date(2025, 3, 31)


def test_a_group_is_said_to_lose_more_only_where_chance_cannot_be_the_reason(entity, ended):
    ended(date(2026, 2, 1), 18, 4, source="Referral")
    ended(date(2026, 2, 2), 3, 17, source="Outbound")
    ended(date(2026, 2, 3), 0, 3, source="Fair")
    told = {r["group"]: r for r in figures.claims(entity_id=entity.pk, **SPAN, by="source").rows.to_dicts()}
    assert told["Outbound"]["claim"] == "loses more" and told["Referral"]["claim"] == "wins more"
    assert told["Fair"]["claim"] is None, "three deals say nothing"


def test_a_competitor_who_is_named_on_lost_deals_alone_is_no_finding(entity, ended):
    ended(date(2026, 2, 1), 20, 20, competitor="Acid Rain")
    assert "nearly only given on lost deals" in figures.claims(entity_id=entity.pk, **SPAN, by="competitor").warning


def test_the_page_tells_the_claims_and_offers_both_spans(owner, entity, ended, client):
    from topline.team import actions as members
    from topline.team.models import Member

    ended(date(2026, 2, 1), 18, 4, source="Referral")
    ended(date(2026, 2, 2), 3, 17, source="Outbound")
    pk = members.add_member(
        actor=owner, email="rita@acme.localhost", name="Rita", roles=["RevOps"], password="a long enough phrase"
    )
    client.force_login(Member.objects.get(pk=pk))
    address = "/pipeline/statistics/?since=2026-01-01&until=2026-04-01"
    page = client.get(address + "&by=source&beside=year").content.decode()
    assert "Outbound</strong> loses more" in page and "the same days a year earlier" in page
    assert "No group differs by more than chance" in client.get(address + "&by=rep").content.decode()
    assert "nearly only given on lost deals" in client.get(address + "&by=competitor").content.decode()
    assert client.get(address + "&beside=decade").status_code == 422


def test_bookings_split_into_new_expansion_and_renewal(owner, entity, deal):
    for name, source, on in (
        ("First", "Fair", date(2026, 1, 10)),
        ("More", "Fair", date(2026, 2, 10)),
        ("Again", "Renewal", date(2026, 3, 10)),
    ):
        made = deal(name, source=source, amount_minor=100_00, opened_on=date(2026, 1, 5))
        actions.win_opportunity(actor=owner, opportunity_id=made, on=on)
    told = figures.statistics(entity_id=entity.pk, **SPAN, by="business")
    assert dict(told.select("key", "won").iter_rows()) == {"new": 1, "expansion": 1, "renewal": 1}
    before = figures.statistics(entity_id=entity.pk, since=SPAN["since"], until=date(2026, 2, 1), by="business")
    assert dict(before.select("key", "won").iter_rows()) == {"new": 1}, "what was sold later is not known"
