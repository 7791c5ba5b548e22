"""Segments with size and share, prices beside ours, briefs and the path on which they are read."""

from __future__ import annotations

import json
from datetime import date
from math import sqrt

import polars as pl
import pytest
import typst
from django.db import DatabaseError, transaction

from topline.books import actions as books
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid, NotFound
from topline.market import actions, briefs, competitors, documents, prices, segments
from topline.market.models import ReadMark, SegmentSize
from topline.team import actions as team
from topline.team.roles import SYSTEM

TODAY = date(2026, 3, 31)


def view(market, name, **told):
    return segments.segment(name, entity=market.entity, as_of=TODAY, **told)


def test_the_share_of_a_segment_is_ours_over_its_size(market):
    found = view(market, "Enterprise")
    assert (found.customers, found.billed_minor, found.is_described) == (2, 1_250_00, True)
    assert (found.share_of_accounts, found.share_of_spend) == (2 / 40, 0.25)
    assert [name for _, name in found.competitors] == ["Acid Rain"]


def test_a_text_that_nobody_described_is_shown_as_such_and_has_no_share(market):
    found = view(market, "Oddments")
    assert (found.is_described, found.customers, found.billed_minor) == (False, 1, 70_00)
    assert (found.share_of_accounts, found.share_of_spend, found.why_not) == (None, None, "its size is not known")
    assert [s.name for s in segments.overview(entity=market.entity, as_of=TODAY)] == ["Enterprise", "Oddments"]
    with pytest.raises(NotFound):
        view(market, "Nowhere")


def test_billed_is_net_of_tax_credits_and_what_lies_more_than_a_year_back(market, owner, issue):
    from topline.billing import actions as billing

    issue(market.globex, 999_00, on=date(2025, 3, 31))  # 365 days before the day: just outside
    (taxed,) = issue(market.globex, 100_00, on=date(2025, 4, 1), tax_ppm=190_000)
    assert view(market, "Enterprise").billed_minor == 1_350_00
    billing.credit_invoice(actor=owner, invoice_id=taxed, issue_on=date(2026, 3, 5), total_minor=59_50, reason="Half of it")
    assert view(market, "Enterprise").billed_minor == 1_300_00


def test_a_merged_record_counts_with_the_customer_that_took_it_over(market, owner):
    actions.merge_customers(actor=owner, keep_id=market.globex, merge_id=market.hooli)
    found = view(market, "Enterprise")
    assert (found.customers, found.billed_minor) == (2, 1_320_00)


def test_the_size_of_a_day_is_the_newest_by_it_and_none_is_overwritten(market, owner):
    segments.describe_segment(actor=owner, name="Enterprise", accounts=50, on=date(2026, 3, 1), source="Another study")
    assert view(market, "Enterprise").size.accounts == 50
    assert view(market, "Enterprise").why_not == "its spend is not known"
    assert segments.segment("Enterprise", entity=market.entity, as_of=date(2026, 2, 28)).size.accounts == 40
    assert view(market, "Enterprise").description == "Large ones"
    with pytest.raises(DatabaseError), transaction.atomic():
        SegmentSize.objects.update(accounts=1)


def test_spend_in_another_currency_is_converted_at_the_rate_of_its_day_or_not_at_all(market, owner):
    rate = pl.DataFrame({"currency": ["USD"], "on": [date(2026, 1, 1)], "per_euro": ["1.25"]}).with_columns(
        pl.col("per_euro").cast(pl.Decimal(38, 9))
    )
    books.add_rates(actor=owner, table=rate, source="test")
    segments.describe_segment(
        actor=owner, name="Enterprise", spend_minor=5_000_00, currency="USD", on=date(2026, 1, 1), source="A study"
    )
    assert (view(market, "Enterprise").spend_minor, view(market, "Enterprise").rate_on) == (4_000_00, date(2026, 1, 1))
    segments.describe_segment(
        actor=owner, name="Enterprise", spend_minor=5_000, currency="VND", on=date(2026, 2, 1), source="A study"
    )
    found = view(market, "Enterprise")
    assert (found.spend_minor, found.share_of_spend) == (None, None)
    assert "no rate for VND" in found.why_not


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"on": None}, {"source": " "}, {"accounts": 0}, {"spend_minor": -1}, {"currency": "XX"}]
)
def test_a_size_without_day_source_or_amount_is_refused(market, owner, change):
    facts = {"name": "Enterprise", "accounts": 5, "on": TODAY, "source": "x"} | change
    with pytest.raises(Invalid) as refused:
        segments.describe_segment(actor=owner, **facts)
    assert refused.value.field in change
    assert SegmentSize.objects.count() == 1


OURS = pl.DataFrame(
    {
        "code": ["SEAT", "BOX"],
        "name": ["Our seat", "Our box"],
        "currency": "EUR",
        "unit_price_nano": [30_00 * 10**9, 5_00 * 10**9],
    }
)


def test_the_price_index_is_the_mean_ratio_of_our_prices_to_those_that_compare(market):
    found = prices.position(as_of=TODAY, currency="EUR", ours=OURS)
    assert found.index.value == pytest.approx(100 * sqrt(30 / 25 * 30 / 10))  # against 25.00 and 10.00
    assert (found.index.products, found.index.prices) == (1, 2)
    assert view(market, "Enterprise", ours=OURS).index.value == pytest.approx(120), "only Acid Rain is met there"
    assert [r["is_ours"] for r in found.rows.filter(pl.col("code") == "SEAT").to_dicts()] == [True, False, False]


def test_without_our_prices_or_a_comparable_one_there_is_no_index_and_the_reason_is_told(market):
    assert "no list prices of ours" in prices.position(as_of=TODAY, currency="EUR").index.why_not
    other = OURS.filter(pl.col("code") == "BOX")
    assert "no competitor's product compares" in prices.position(as_of=TODAY, currency="EUR", ours=other).index.why_not


def test_another_unit_does_not_compare(market):
    assert prices.position(as_of=TODAY, currency="EUR", ours=OURS.with_columns(unit=pl.lit("year"))).index.value is None


def test_a_price_without_a_rate_stands_in_the_table_and_counts_nowhere(market, seen):
    seen(market.brim, "Far", 500_000, on=date(2026, 3, 1), code="SEAT", currency="VND")
    found = prices.position(as_of=TODAY, currency="EUR", ours=OURS)
    assert found.missing == ["VND"]
    assert found.rows.filter(pl.col("product") == "Far")["price"].to_list() == [None]
    assert found.index.prices == 2


@pytest.mark.parametrize(
    ("nano", "currency", "shown"), [(12_34 * 10**9, "EUR", "12.34"), (40_000_000, "EUR", "0.0004"), (1_500 * 10**9, "JPY", "1,500"), (0, "EUR", "0.00")]
)  # fmt: skip
def test_a_unit_price_shows_the_decimals_that_it_has(nano, currency, shown):
    assert prices.unit_price(nano, currency) == shown


def texts(brief):
    return "\n".join(
        [
            *(f"{a}: {b}" for a, b in brief.facts),
            *(s for x in brief.sections for s in [x.title, *x.sentences, *(c for row in x.rows for c in row)]),
        ]
    )


def test_a_segments_brief_holds_its_live_figures(market):
    found = briefs.brief("segment:Enterprise", entity=market.entity, as_of=TODAY, ours=OURS)
    told = texts(found)
    for part in (
        "40 (1 Jan 2026, A study)",
        "5,000.00 EUR",
        "2, 5.0 % of the accounts",
        "1,250.00 EUR, 25.0 % of the spend",
        "120 (dearer",
        "Acid Rain",
        "Globex",
        "Large ones",
        "not enough data (0 of 15 answers)",
    ):
        assert part in told, part


def test_a_competitors_brief_holds_prices_themes_and_card(market, owner):
    competitors.add_assessment(
        actor=owner,
        competitor_id=market.acid,
        theme="pricing",
        kind="weakness",
        statement="Dear seats",
        source="x",
        since=date(2026, 2, 1),
    )
    told = texts(briefs.brief(f"competitor:{market.acid}", entity=market.entity, as_of=TODAY))
    for part in (
        "25.00 EUR",
        "− Dear seats",
        "Be kind",
        "Ask: Who asks?",
        "Count again",
        "reviewed 1 Mar 2026, stale",
        "https://acid.example",
        "Enterprise",
    ):
        assert part in told, part
    bare = texts(briefs.brief(f"competitor:{market.brim}", entity=market.entity, as_of=TODAY))
    assert "No battlecard is written yet." in bare and "Nothing is written down yet." in bare


@pytest.mark.parametrize(
    "key", ["", "segment:", "segment:Nowhere", "competitor:x", "competitor:999999", f"competitor:{'9' * 30}", "product:1"]
)
def test_a_brief_that_cannot_be_made_is_not_found(market, key):
    with pytest.raises(NotFound):
        briefs.brief(key, entity=market.entity, as_of=TODAY)


def test_a_brief_is_one_page_of_pdf_even_when_all_is_full(market, owner, seen):
    for n in range(20):
        seen(market.acid, f"Thing {n}", 100 + n, on=date(2026, 3, 2))
        for theme in competitors.THEMES:
            competitors.add_assessment(
                actor=owner,
                competitor_id=market.acid,
                theme=theme,
                kind="strength",
                statement=f"Statement {n} " + "long " * 50,
                source="x",
                since=TODAY,
            )
    competitors.change_competitor(actor=owner, competitor_id=market.acid, changes={"notes": "word " * 900})
    for key in (f"competitor:{market.acid}", "segment:Enterprise"):
        found = briefs.brief(key, entity=market.entity, as_of=TODAY, ours=OURS)
        drawn = typst.compile(str(documents.TEMPLATE), format="svg", sys_inputs=documents.inputs(found, company="Acme GmbH"))
        assert isinstance(drawn, bytes), f"{key} takes {len(drawn)} pages"


def test_the_pdf_is_a_pdf_and_lays_out_the_figures_of_the_page(market):
    for key in (f"competitor:{market.acid}", "segment:Enterprise"):
        found = briefs.brief(key, entity=market.entity, as_of=TODAY)
        made = documents.brief_pdf(found, company="Acme GmbH")
        assert made.startswith(b"%PDF-") and made.rstrip().endswith(b"%%EOF")
        cells = json.loads(typst.query(str(documents.TEMPLATE), "table", sys_inputs=documents.inputs(found, company="Acme GmbH")))
        laid = json.dumps(cells, ensure_ascii=False)
        figures = [value for _, value in found.facts] + [
            cell for section in found.sections for row in section.rows for cell in row
        ]
        assert len(figures) > 4
        for figure in figures:
            assert figure in laid, figure


@pytest.fixture
def readers(owner):
    """Two members as actors."""
    ids = [
        team.add_member(actor=owner, email=f"{n}@acme.localhost", name=n, roles=["Sales"], password="a long enough phrase")
        for n in ("ann", "bob")
    ]
    return [Actor(key=f"member:{pk}", name="x", permissions=SYSTEM) for pk in ids]


def test_the_path_keeps_its_order_and_each_member_marks_for_oneself(market, owner, readers):
    ann, bob = readers
    keys = [f"competitor:{market.acid}", "segment:Enterprise"]
    briefs.set_reading_path(actor=owner, steps=[(k, "because") for k in keys])
    for _ in range(2):
        briefs.mark_read(actor=ann, brief=keys[1])
    assert [(s.position, s.key, s.read_on) for s in briefs.reading_path(ann.member_id)] == [
        (1, keys[0], None),
        (2, keys[1], TODAY),
    ]
    assert all(s.read_on is None for s in briefs.reading_path(bob.member_id))
    assert briefs.readers() == [("ann", 1)]
    with pytest.raises(Invalid):
        briefs.mark_read(actor=bob, brief=keys[1], is_read=False, member_id=ann.member_id)
    assert ReadMark.objects.count() == 1
    briefs.set_reading_path(actor=owner, steps=[(k, "") for k in reversed(keys)])
    assert [s.key for s in briefs.reading_path(ann.member_id) if s.read_on] == [keys[1]]
    briefs.mark_read(actor=ann, brief=keys[1], is_read=False)
    assert not ReadMark.objects.exists()


def test_a_path_holds_each_brief_once_and_only_those_that_there_are(market, owner):
    with pytest.raises(Invalid):
        briefs.set_reading_path(actor=owner, steps=[("segment:Enterprise", ""), ("segment:Enterprise", "")])
    for key in ("segment:Nowhere", "competitor:999999"):
        with pytest.raises(NotFound):
            briefs.set_reading_path(actor=owner, steps=[(key, "")])
    with pytest.raises(NotFound):
        briefs.mark_read(actor=owner, brief="segment:Enterprise")  # nobody's mark: the system has no member
    assert briefs.reading_path(None) == []
