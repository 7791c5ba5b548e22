"""Competitors: prices as of any day, statements with their source, cards that go stale."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from django.db import DatabaseError, IntegrityError, transaction

from topline.kernel import clock
from topline.kernel.errors import Invalid, NotFound
from topline.market import battlecards, competitors
from topline.market.models import Assessment, CompetitorPrice, CompetitorProduct

TODAY = date(2026, 3, 31)


def asked(**told):
    return {(r["competitor"], r["product"]): r["unit_price_nano"] // 10**9 for r in competitors.prices(**told).to_dicts()}


def test_the_price_of_a_day_is_the_newest_that_is_valid_on_it(market):
    assert asked(as_of=date(2026, 1, 5)) == {}
    assert asked(as_of=date(2026, 1, 6)) == {("Acid Rain", "Seat"): 20_00}
    assert asked(as_of=date(2026, 2, 9)) == {("Acid Rain", "Seat"): 20_00, ("Brim", "Place"): 10_00}
    assert asked(as_of=date(2026, 2, 10)) == {("Acid Rain", "Seat"): 25_00, ("Brim", "Place"): 10_00}
    (seat,) = competitors.prices(as_of=TODAY, competitor_id=market.acid).to_dicts()
    assert (seat["before_nano"], seat["valid_from"]) == (20_00 * 10**9, date(2026, 2, 10))


def test_a_price_seen_late_counts_from_its_first_day_but_was_not_known_before_it_was_seen(market, seen):
    seen(market.brim, "Place", 8_00, on=date(2026, 3, 20), valid_from=date(2026, 2, 1))
    assert asked(as_of=date(2026, 2, 15), competitor_id=market.brim) == {("Brim", "Place"): 8_00}
    assert asked(as_of=date(2026, 2, 15), known_on=date(2026, 3, 19), competitor_id=market.brim) == {("Brim", "Place"): 10_00}
    assert asked(as_of=date(2026, 2, 15), known_on=date(2026, 3, 20), competitor_id=market.brim) == {("Brim", "Place"): 8_00}


def test_a_correction_of_the_same_day_is_a_new_row_that_wins(market, seen):
    seen(market.acid, "Seat", 24_00, on=date(2026, 2, 10))
    assert asked(as_of=TODAY, competitor_id=market.acid) == {("Acid Rain", "Seat"): 24_00}
    assert CompetitorPrice.objects.filter(product__name="Seat").count() == 3


def test_a_price_is_never_changed_or_removed(market):
    for change in (lambda: CompetitorPrice.objects.update(unit_price_nano=1), lambda: CompetitorPrice.objects.all().delete()):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    assert asked(as_of=TODAY)[("Acid Rain", "Seat")] == 25_00


def test_seeing_the_same_price_again_is_no_change_of_price(market, seen):
    before = competitors.price_changes(competitor_id=market.acid).height
    seen(market.acid, "Seat", 25_00, on=date(2026, 3, 10))
    assert competitors.price_changes(competitor_id=market.acid).height == before == 2


def test_a_product_is_known_by_its_name_and_keeps_the_code_it_stands_against(market, seen):
    seen(market.acid, "Seat", 26_00, on=date(2026, 3, 11))
    assert list(CompetitorProduct.objects.filter(competitor=market.acid).values_list("name", "compares_with")) == [
        ("Seat", "SEAT")
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"product": " "}, "product"), ({"unit": ""}, "unit"), ({"source": ""}, "source"), ({"unit_price_nano": -1}, "unit_price_nano"),
        ({"currency": "EURO"}, "currency"), ({"seen_on": date(2026, 4, 30)}, "seen_on"), ({"valid_from": None}, "valid_from"), ({"unit_price_nano": 2 * 10**18}, "unit_price_nano"),
    ],
)  # fmt: skip
def test_a_price_that_cannot_be_is_refused_at_its_field(market, owner, change, field):
    row = {
        "product": "Seat",
        "currency": "EUR",
        "unit_price_nano": 1,
        "unit": "user",
        "valid_from": TODAY,
        "seen_on": TODAY,
        "source": "x",
    } | change
    with pytest.raises(Invalid) as refused:
        competitors.add_competitor_prices(
            actor=owner, competitor_id=market.acid, prices=pl.DataFrame([row], schema_overrides={"valid_from": pl.Date})
        )
    assert refused.value.field == field
    assert asked(as_of=TODAY)[("Acid Rain", "Seat")] == 25_00


def test_a_competitor_has_one_name_and_an_owner_of_the_team(market, owner):
    with pytest.raises(competitors.CompetitorKnown):
        competitors.add_competitor(actor=owner, name="acid rain")
    with pytest.raises(Invalid):
        competitors.change_competitor(actor=owner, competitor_id=market.acid, changes={"owner_id": 999_999})
    with pytest.raises(Invalid):
        competitors.change_competitor(actor=owner, competitor_id=market.acid, changes={"created_at": TODAY})
    competitors.change_competitor(actor=owner, competitor_id=market.acid, changes={"name": "Acid", "segments": ["Oddments"]})
    assert competitors.segments_of([market.acid]) == {market.acid: ["Oddments"]}
    assert [c.name for c in competitors.met_in("Oddments")] == ["Acid"]


def test_one_that_is_gone_leaves_the_lists_and_keeps_its_page(market, owner):
    competitors.change_competitor(actor=owner, competitor_id=market.acid, changes={"is_active": False})
    assert ("Acid Rain", "Seat") not in asked(as_of=TODAY)
    assert asked(as_of=TODAY, competitor_id=market.acid) == {("Acid Rain", "Seat"): 25_00}
    assert battlecards.freshness(as_of=TODAY) == []


def assess(owner, market, **told):
    facts = {"theme": "offering", "kind": "strength", "statement": "Fast", "source": "A test", "since": date(2026, 2, 1)} | told
    return competitors.add_assessment(actor=owner, competitor_id=market.acid, **facts)


def test_statements_stand_by_theme_the_weightiest_first_and_as_of_a_day(market, owner):
    minor, major = assess(owner, market, weight=1), assess(owner, market, weight=3, statement="Whole")
    assess(owner, market, theme="experience", kind="weakness", statement="Rude")
    offering, _, experience = competitors.assessments(market.acid)
    assert [a.pk for a in offering.strengths] == [major, minor]
    assert [a.statement for a in experience.weaknesses] == ["Rude"]
    competitors.retire_assessment(actor=owner, assessment_id=major, on=TODAY, reason="They split it")
    assert [a.pk for a in competitors.assessments(market.acid)[0].strengths] == [minor]
    assert [a.pk for a in competitors.assessments(market.acid, as_of=date(2026, 3, 30))[0].strengths] == [major, minor]
    assert competitors.assessments(market.acid, as_of=date(2026, 1, 31))[0].strengths == []


def test_a_retired_statement_is_neither_reviewed_nor_retired_again(market, owner):
    pk = assess(owner, market)
    with pytest.raises(Invalid):
        competitors.retire_assessment(actor=owner, assessment_id=pk, on=TODAY, reason=" ")
    competitors.retire_assessment(actor=owner, assessment_id=pk, on=TODAY, reason="Old")
    for verb in (
        lambda: competitors.review_assessment(actor=owner, assessment_id=pk, on=TODAY),
        lambda: competitors.retire_assessment(actor=owner, assessment_id=pk, on=TODAY, reason="Old"),
    ):
        with pytest.raises(competitors.AssessmentRetired):
            verb()


@pytest.mark.parametrize("change", [{"theme": "colour"}, {"kind": "habit"}, {"weight": 4}, {"statement": ""}, {"source": " "}])
def test_a_statement_without_theme_kind_weight_or_source_is_refused(market, owner, change):
    with pytest.raises(Invalid) as refused:
        assess(owner, market, **change)
    assert refused.value.field in change
    assert not Assessment.objects.exists()


def test_the_tables_refuse_what_the_verbs_refuse(market):
    bad = {
        "theme": "offering",
        "kind": "strength",
        "statement": "x",
        "source": "x",
        "since": TODAY,
        "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "reviewed_on": TODAY,
    }
    for change in ({"weight": 0}, {"theme": "no"}, {"source": ""}, {"retired_on": TODAY}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Assessment.objects.create(competitor_id=market.acid, **bad | change)


def test_a_card_is_fresh_until_its_days_are_over(market):
    assert battlecards.stale(as_of=date(2026, 5, 30)) == []
    (told,) = battlecards.stale(as_of=date(2026, 5, 31))
    assert told.reasons == ["Reviewed 91 days ago; every 90 is asked for."]
    assert told.due_on == date(2026, 5, 30)


def test_a_card_goes_stale_when_a_price_or_a_statement_changes_after_its_review(market, owner, seen):
    assert battlecards.stale(as_of=TODAY) == []
    seen(market.brim, "Place", 9_00, on=date(2026, 3, 10))
    seen(market.acid, "Seat", 25_00, on=date(2026, 3, 10))
    assert battlecards.stale(as_of=TODAY) == [], "another's price, or the same price again, changes nothing"
    seen(market.acid, "Seat", 27_00, on=date(2026, 3, 11))
    assert battlecards.stale(as_of=date(2026, 3, 10)) == []
    assert battlecards.stale(as_of=TODAY)[0].reasons == ["1 price changed since."]
    assess(owner, market)
    assert battlecards.stale(as_of=TODAY)[0].reasons == ["1 price changed since.", "1 strength or weakness changed since."]
    with clock.at(datetime(2026, 3, 31, 10, tzinfo=UTC)):
        battlecards.review_battlecard(actor=owner, competitor_id=market.acid, on=TODAY)
    assert battlecards.stale(as_of=TODAY) == []


def test_a_statement_that_is_retired_makes_the_card_stale_too(market, owner):
    pk = assess(owner, market)
    with clock.at(datetime(2026, 3, 31, 10, tzinfo=UTC)):
        battlecards.review_battlecard(actor=owner, competitor_id=market.acid, on=TODAY)
    with clock.at(datetime(2026, 3, 31, 11, tzinfo=UTC)):
        competitors.retire_assessment(actor=owner, assessment_id=pk, on=TODAY, reason="Sold")
    assert battlecards.stale(as_of=TODAY)[0].reasons == ["1 strength or weakness changed since."]


@pytest.mark.parametrize(
    "change", [{"how_to_win": " "}, {"review_every_days": 0}, {"objections": [{"objection": "Dear", "answer": ""}]}]
)
def test_a_card_must_say_how_to_win_and_answer_what_it_raises(market, owner, change):
    with pytest.raises(Invalid) as refused:
        battlecards.write_battlecard(actor=owner, competitor_id=market.acid, **{"how_to_win": "x", "on": TODAY} | change)
    assert refused.value.field in change
    assert battlecards.battlecard(market.acid).how_to_win == "Be kind"


def test_what_is_not_there_is_said(market, owner):
    for verb in (
        lambda: competitors.competitor(999_999),
        lambda: battlecards.review_battlecard(actor=owner, competitor_id=market.brim, on=TODAY),
        lambda: competitors.review_assessment(actor=owner, assessment_id=999_999, on=TODAY),
    ):
        with pytest.raises(NotFound):
            verb()
