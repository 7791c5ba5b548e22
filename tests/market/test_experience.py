"""What customers say: figures against examples worked by hand, said plainly when too few answered; files with bad rows."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from topline.connect import actions as connect
from topline.connect.models import ImportBatch
from topline.engine import experience as engine
from topline.kernel.errors import Invalid, NotFound
from topline.market import experience
from topline.market.models import ExperienceRecord
from topline.timeline.models import Milestone

TODAY = date(2026, 3, 31)


def test_the_net_promoter_score_of_twenty_answers_is_as_worked_by_hand():
    # 12 promoters and 5 detractors of 20: 60 % - 25 % = 35; adjusted 13/22 and 6/22: middle 7/22 = 31.8,
    # variance (19/22 - 49/484) / 22 = .034654, half width 1.96 x .186156 = 36.5
    told = engine.net_promoter(12, 5, 20)
    assert (told.value, told.n, told.is_enough) == (35.0, 20, True)
    assert told.low == pytest.approx(-4.67, abs=0.01) and told.high == pytest.approx(68.30, abs=0.01)


def test_the_share_of_the_content_is_as_worked_by_hand():
    told = engine.content_share(16, 20)  # Wilson for 16 of 20: .5840 to .9193
    assert told.value == 0.8
    assert told.low == pytest.approx(0.5840, abs=1e-4) and told.high == pytest.approx(0.9193, abs=1e-4)


@pytest.mark.parametrize(("n", "told"), [(14, False), (15, True)])
def test_below_fifteen_answers_nothing_is_told(n, told):
    for found in (engine.net_promoter(n, 0, n), engine.content_share(n, n)):
        assert (found.value is not None, found.is_enough, found.n) == (told, told, n)
    assert experience.words(engine.net_promoter(14, 0, 14)) == "not enough data (14 of 15 answers)"


@given(st.integers(15, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))).flatmap(lambda p: st.tuples(st.just(p[0]), st.just(p[1]), st.integers(0, p[0] - p[1]))))  # fmt: skip
def test_an_interval_has_a_width_and_stays_within_what_is_possible(drawn):
    n, up, down = drawn
    told, mirrored = engine.net_promoter(up, down, n), engine.net_promoter(down, up, n)
    assert -100 <= told.low < told.high <= 100 and told.low <= told.value <= told.high
    assert mirrored.low == pytest.approx(-told.high) and mirrored.value == -told.value


def test_scores_fall_where_their_bounds_say():
    frame = pl.DataFrame({"kind": ["nps"] * 22 + ["csat"] * 20, "score": [9, 10, 7, 8, 6, 0, *[9] * 16, *[4] * 10, *[3] * 10]})
    nps, csat = engine.scores(frame)
    assert (nps.hits, nps.misses, nps.n) == (18, 2, 22)
    assert (csat.hits, csat.misses, csat.value) == (10, 10, 0.5)


def test_the_median_response_needs_fifteen_known_ones():
    frame = pl.DataFrame(
        {"kind": "ticket", "response_minutes": [*range(1, 16), None]}, schema_overrides={"response_minutes": pl.Int64}
    )
    assert engine.tickets(frame, customers=8) == engine.Tickets(16, 8, 15, 8.0)
    assert engine.tickets(frame.head(14), customers=0).median_minutes is None
    assert engine.tickets(frame, customers=0).per_customer is None


def told(owner, market, *rows):
    base = {
        "customer_id": market.globex,
        "competitor_id": None,
        "kind": "nps",
        "score": 9,
        "on": date(2026, 3, 1),
        "segment": "",
        "response_minutes": None,
    }
    types = {"customer_id": pl.Int64, "competitor_id": pl.Int64, "score": pl.Int64, "response_minutes": pl.Int64, "on": pl.Date}
    frame = pl.DataFrame([base | row for row in rows], schema_overrides=types)
    return experience.record_experience(actor=owner, records=frame)["record_id"].to_list()


def test_figures_are_by_segment_and_against_competitors_and_by_quarter(market, owner):
    told(
        owner,
        market,
        *[{"score": s} for s in [10] * 10 + [5] * 5 + [7] * 5],
        *[{"competitor_id": market.acid, "score": 2}] * 16,
        *[{"competitor_id": market.brim}] * 3,
    )
    told(
        owner,
        market,
        {"customer_id": market.hooli, "on": date(2025, 12, 30)},
        {"kind": "ticket", "score": None, "response_minutes": 30},
    )
    told(owner, market, {"on": date(2025, 3, 31)})  # a day more than a year ago
    found = experience.experience(as_of=TODAY)
    assert (found.us.nps.n, found.us.nps.hits, found.us.nps.misses) == (21, 11, 5)
    assert [(g.name, g.nps.n, g.nps.value) for g in found.segments] == [("Enterprise", 20, 25.0), ("Oddments", 1, None)]
    assert [(g.name, g.nps.n, g.nps.value) for g in found.rivals] == [("Acid Rain", 16, -100.0), ("Brim", 3, None)]
    assert [(q.name, q.nps.n) for q in found.quarters] == [("2025 Q4", 1), ("2026 Q1", 20)]
    assert (found.us.tickets.count, found.us.tickets.customers, found.segments[0].tickets.per_customer) == (1, 3, 0.5)
    assert experience.experience(as_of=TODAY, segment="Oddments").us.nps.n == 1
    us, them = experience.against(market.acid, as_of=TODAY)
    assert (us.nps.n, them.nps.value) == (21, -100.0)


def test_what_is_told_of_us_stands_on_the_customers_timeline_and_what_is_told_of_others_does_not(market, owner):
    told(owner, market, {"score": 9}, {"competitor_id": market.acid})
    (milestone,) = Milestone.objects.filter(kind="experience_told")
    assert (milestone.customer_id, milestone.note, milestone.visible_to_customer) == (market.globex, "NPS 9", False)


def test_a_record_keeps_the_segment_that_the_customer_had(market, owner):
    from topline.market import actions

    told(owner, market, {})
    actions.change_customer(actor=owner, customer_id=market.globex, changes={"segment": "Oddments"})
    told(owner, market, {})
    assert list(ExperienceRecord.objects.order_by("id").values_list("segment", flat=True)) == ["Enterprise", "Oddments"]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"score": 11}, "score"), ({"score": None}, "score"), ({"kind": "csat", "score": 0}, "score"), ({"kind": "mood"}, "kind"), ({"kind": "ticket"}, "score"),
        ({"response_minutes": 5}, "response_minutes"), ({"on": date(2026, 5, 1)}, "on"), ({"customer_id": None}, "customer_id"),
        ({"kind": "ticket", "score": None, "response_minutes": -1}, "response_minutes"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_is_refused_and_the_others_of_its_batch_with_it(market, owner, row, field):
    with pytest.raises(Invalid) as refused:
        told(owner, market, {}, row)
    assert refused.value.field == field
    assert "Record 2" in str(refused.value)
    assert not ExperienceRecord.objects.exists()


def test_nobody_unknown_tells_anything(market, owner):
    for row in ({"customer_id": 999_999}, {"competitor_id": 999_999}):
        with pytest.raises(NotFound):
            told(owner, market, row)
    with pytest.raises(IntegrityError), transaction.atomic():
        ExperienceRecord.objects.create(
            customer_id=market.globex, kind="nps", score=11, on=TODAY, recorded_at="2026-03-31T00:00Z"
        )


FILE = """customer,subject,kind,score,date,topic,text,response hours
Globex,,NPS,9,2026-03-01,Price,Fine,
Initech,us,csat,4,2026-03-02,,,
Globex,,ticket,,2026-03-03,Invoices,Where is it?,1.5
Globex,acid rain,nps,3,2026-03-04,,,
,Brim,nps,8,2026-03-04,,,
Nobody,,nps,9,2026-03-05,,,
Globex,Stranger,nps,9,2026-03-05,,,
Globex,,nps,12,2026-03-05,,,
Globex,,mood,1,2026-03-05,,,
Globex,,ticket,,2026-03-05,,,soon
Globex,,nps,7,2026-05-05,,,
,,nps,7,2026-03-05,,,
Globex,,csat,4,2026-02-30,,,
"""


def test_of_a_file_the_bad_rows_are_told_and_the_others_come_in(market, owner):
    batch = connect.check_file(
        actor=owner, entity_id=market.entity.pk, kind="experience", content=FILE.encode(), file_name="e.csv"
    )
    found = ImportBatch.objects.get(pk=batch)
    assert (found.rows_total, found.rows_refused) == (5, 8)
    assert dict(found.problems.values_list("row", "code")) == {
        7: "unknown_customer", 8: "unknown_competitor", 9: "score_out_of_bounds", 10: "unknown_kind", 11: "not_hours", 12: "in_the_future", 13: "missing", 14: "no_such_day",
    }  # fmt: skip
    assert all(found.problems.values_list("remedy", flat=True))
    connect.run_import(actor=owner, batch_id=batch)
    rows = list(
        ExperienceRecord.objects.order_by("id").values_list("customer_id", "competitor_id", "kind", "score", "response_minutes")
    )
    assert rows == [
        (market.globex, None, "nps", 9, None), (market.initech, None, "csat", 4, None), (market.globex, None, "ticket", None, 90),
        (market.globex, market.acid, "nps", 3, None), (None, market.brim, "nps", 8, None),
    ]  # fmt: skip
    with pytest.raises(connect.FileImported):
        connect.check_file(actor=owner, entity_id=market.entity.pk, kind="experience", content=FILE.encode(), file_name="e.csv")
    connect.undo_import(actor=owner, batch_id=batch, on=TODAY, reason="wrong file")
    assert not ExperienceRecord.objects.exists()
