"""Pages of the market: empty ones say what to do, full ones hold the figures, and what is written on them comes about."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import polars as pl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from topline.kernel import clock
from topline.market import actions, battlecards, competitors, experience, segments
from topline.market.models import Assessment, Battlecard, Competitor, CompetitorPrice, ExperienceRecord, ReadMark, Segment

pytestmark = pytest.mark.django_db
DAY = "?as_of=2026-03-31"


@pytest.fixture
def rival(owner, entity, issue):
    """A competitor with price, statement and card, a described segment with a customer, twenty answers."""
    frame = pl.DataFrame({"name": ["Globex"], "currency": "EUR", "segment": ["Enterprise"]})
    (customer,) = actions.add_customers(actor=owner, customers=frame)["customer_id"].to_list()
    issue(customer, 1_000_00, on=date(2026, 2, 1))
    with clock.at(datetime(2026, 3, 1, 9, tzinfo=UTC)):
        segments.describe_segment(
            actor=owner, name="Enterprise", accounts=50, spend_minor=10_000_00, on=date(2026, 1, 1), source="A study"
        )
        pk = competitors.add_competitor(actor=owner, name="Acid Rain", website="javascript:alert(1)", segments=["Enterprise"])
        row = {
            "product": "Seat",
            "currency": "USD",
            "unit_price_nano": 25_00 * 10**9,
            "unit": "user and month",
            "valid_from": date(2026, 2, 1),
            "seen_on": date(2026, 2, 2),
            "source": "page",
        }
        competitors.add_competitor_prices(actor=owner, competitor_id=pk, prices=pl.DataFrame([row]))
        fact = competitors.add_assessment(
            actor=owner,
            competitor_id=pk,
            theme="offering",
            kind="strength",
            statement="Whole",
            source="A test",
            since=date(2026, 2, 1),
        )
        answers = pl.DataFrame(
            {"customer_id": [customer] * 20, "kind": "nps", "score": [10] * 15 + [3] * 5, "on": date(2026, 2, 3)}
        )
        experience.record_experience(actor=owner, records=answers)
    with clock.at(datetime(2026, 3, 2, 9, tzinfo=UTC)):
        battlecards.write_battlecard(
            actor=owner,
            competitor_id=pk,
            how_to_win="Be kind",
            on=date(2026, 3, 2),
            objections=[{"objection": "Dear", "answer": "Count"}],
        )
    return SimpleNamespace(pk=pk, fact=fact, customer=customer, entity=entity)


def text(browser, address, status=200):
    answer = browser.get(address)
    assert answer.status_code == status, address
    return answer.content.decode()


def post(browser, address, expect=302, **data):
    answer = browser.post(address, data)
    assert answer.status_code == expect, (address, answer.content.decode()[-1500:])
    return answer


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/market/", "No competitor is known. Add the one that you meet most"), ("/market/", "No segment is known."), ("/market/prices/", "No price is known as of this day."),
        ("/market/experience/", "No record fits. Write one down, or import a file"), ("/market/briefs/", "Briefs come with segments and competitors"),
        ("/market/reading/", "There is no path yet. Set it"), ("/market/reading/set/", "add one first"),
    ],
)  # fmt: skip
def test_an_empty_page_says_what_to_do_next(browser, entity, address, sentence):
    assert sentence in text(browser, address)


def test_full_pages_hold_the_figures(browser, rival):
    overview = text(browser, "/market/" + DAY)
    for part in ("Acid Rain", "Enterprise", "2.00 %", "10.00 %", "1,000.00", "fresh", "50 (8 to 83, n = 20)"):
        assert part in overview, part
    segment = text(browser, f"/market/segment/{DAY}&name=Enterprise")
    for part in ("of 50 accounts", "10,000.00", "A study", "Globex"):
        assert part in segment, part
    page = text(browser, f"/market/competitors/{rival.pk}/{DAY}")
    for part in ("Be kind", "Whole", "25.00", "user and month", "not enough data (0 of 15 answers)"):
        assert part in page, part
    assert 'href="javascript' not in page
    side_by_side = text(browser, "/market/prices/" + DAY)
    assert "chart-svg" in side_by_side and "EUR per user and month" in side_by_side and "no list prices of ours" in side_by_side
    assert (
        "Acid Rain"
        not in text(browser, "/market/prices/?segment=Oddments&as_of=2026-03-31").partition("<main")[2].partition("</select>")[2]
    )


def test_a_day_before_anything_was_known_shows_nothing_of_it(browser, rival):
    assert "25.00" not in text(browser, "/market/prices/?as_of=2026-01-31")
    assert "n = 20" not in text(browser, "/market/experience/?as_of=2026-02-02")


def test_a_brief_is_a_page_and_a_pdf(browser, rival):
    key = f"competitor:{rival.pk}"
    assert "Be kind" in text(browser, f"/market/brief/{DAY}&key={key}")
    answer = browser.get(f"/market/brief/{DAY}&key={key}&form=pdf")
    assert answer.content.startswith(b"%PDF-") and answer["Content-Type"] == "application/pdf"
    assert 'filename="acid-rain-2026-03-31.pdf"' in answer["Content-Disposition"]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/market/segment/?name=Nowhere", "There is no segment"), ("/market/brief/?key=x", "There is no brief"), ("/market/brief/?key=segment:Enterprise&form=doc", "is no form"),
        ("/market/competitors/999999/", "There is no competitor"), ("/market/prices/?export=exe", "is no format"), ("/market/experience/?kind=mood", "is no kind"),
        ("/market/?as_of=soon", "is no day"),
    ],
)  # fmt: skip
def test_a_bad_address_gets_a_sentence(browser, rival, address, sentence):
    answer = browser.get(address)
    assert answer.status_code in {404, 422}
    assert sentence in answer.content.decode()


def test_a_list_of_records_answers_htmx_in_part_and_exports(browser, rival):
    part = browser.get(f"/market/experience/{DAY}&kind=nps", headers={"HX-Request": "true"}).content.decode().strip()
    assert part.startswith('<div id="results"') and "<nav" not in part and "1–20 of 20" in part
    assert browser.get(f"/market/experience/{DAY}&export=csv").content.decode("utf-8-sig").count("Globex") == 20
    assert "Acid Rain" in browser.get(f"/market/prices/{DAY}&export=csv").content.decode("utf-8-sig")


def test_a_competitor_is_added_and_changed_with_a_refusal_at_its_field(browser, rival):
    post(browser, "/market/competitors/new/", name="Brim", segments="Enterprise, Oddments", website="", notes="")
    made = Competitor.objects.get(name="Brim")
    assert competitors.segments_of([made.pk]) == {made.pk: ["Enterprise", "Oddments"]}
    assert b"There is a competitor Brim already" in post(browser, "/market/competitors/new/", expect=400, name="Brim").content
    post(browser, f"/market/competitors/{made.pk}/edit/", name="Brimm", segments="")
    made.refresh_from_db()
    assert (made.name, made.is_active) == ("Brimm", False)


def test_a_price_is_written_to_the_last_decimal(browser, rival):
    told = {
        "product": "Event",
        "price": "0.0004",
        "currency": "EUR",
        "unit": "event",
        "valid_from": "2026-03-01",
        "seen_on": "2026-03-02",
        "source": "page",
        "compares_with": "",
    }
    post(browser, f"/market/competitors/{rival.pk}/prices/new/", **told)
    assert CompetitorPrice.objects.get(product__name="Event").unit_price_nano == 40_000_000
    post(browser, f"/market/competitors/{rival.pk}/prices/new/", expect=400, **told | {"price": "-1"})
    assert CompetitorPrice.objects.filter(product__name="Event").count() == 1


def test_a_statement_is_added_looked_at_and_retired_with_a_reason(browser, rival):
    told = {
        "theme": "pricing",
        "kind": "weakness",
        "statement": "Dear",
        "source": "x",
        "since": "2026-03-01",
        "weight": "3",
        "evidence": "",
    }
    post(browser, f"/market/competitors/{rival.pk}/assessments/new/", **told)
    made = Assessment.objects.get(statement="Dear")
    answer = post(browser, f"/market/assessments/{made.pk}/review/", competitor=rival.pk)
    assert answer["Location"] == f"/market/competitors/{rival.pk}/"
    assert browser.post(f"/market/assessments/{made.pk}/retire/", {"reason": " "}).status_code == 422
    post(browser, f"/market/assessments/{made.pk}/retire/", reason="Sold", competitor=rival.pk)
    made.refresh_from_db()
    assert (made.weight, made.retired_because, made.reviewed_on > date(2026, 3, 1)) == (3, "Sold", True)


def test_a_card_is_written_anew_and_reviewed(browser, rival):
    address = f"/market/competitors/{rival.pk}/battlecard/"
    assert "Dear | Count" in text(browser, address)
    post(
        browser,
        address,
        how_to_win="Be brave",
        objections="Slow | Not us\n\nDear | Count",
        review_every_days="30",
        landmines="",
        proof="",
    )
    card = Battlecard.objects.get()
    assert (card.how_to_win, card.review_every_days, len(card.objections)) == ("Be brave", 30, 2)
    assert b"needs both" in post(browser, address, expect=400, how_to_win="x", objections="Slow", review_every_days="30").content
    post(browser, address + "review/")
    card.refresh_from_db()
    assert card.how_to_win == "Be brave" and card.reviewed_on > date(2026, 3, 2)


def test_a_segment_is_described_and_an_answer_written_down(browser, rival):
    post(
        browser,
        "/market/segment/describe/?name=Enterprise",
        name="Enterprise",
        description="Large",
        accounts="",
        spend="20000.50",
        currency="EUR",
        on="2026-02-01",
        source="Another",
    )
    assert Segment.objects.get().description == "Large"
    assert segments.sizes("Enterprise")[0].spend_minor == 20_000_50
    post(browser, "/market/segment/describe/", expect=400, name="Enterprise", accounts="7", currency="EUR")
    told = {
        "customer": "globex",
        "competitor_id": "",
        "kind": "ticket",
        "score": "",
        "on": "2026-03-01",
        "topic": "Help",
        "text": "",
        "response_hours": "1.25",
    }
    post(browser, "/market/experience/new/", **told)
    assert ExperienceRecord.objects.get(kind="ticket").response_minutes == 75
    assert (
        b"No customer is called" in post(browser, "/market/experience/new/", expect=400, **told | {"customer": "Nobody"}).content
    )
    assert b"does not" not in browser.get("/market/experience/").content
    assert ExperienceRecord.objects.filter(kind="ticket").count() == 1


def test_the_path_is_set_by_those_who_may_and_read_by_each(browser, sign_in, rival):
    key = f"competitor:{rival.pk}"
    post(browser, "/market/reading/set/", **{f"position-{key}": "1", f"why-{key}": "First", "position-segment:Enterprise": ""})
    assert b"is no place" in post(browser, "/market/reading/set/", expect=400, **{f"position-{key}": "first"}).content
    reader = sign_in("Billing")
    assert "Set the path" not in text(reader, "/market/reading/")
    assert reader.post("/market/reading/set/").status_code == 403
    post(reader, "/market/reading/mark/", brief=key)
    assert "1 of 1 read" in text(reader, "/market/reading/") and "0 of 1 read" in text(browser, "/market/reading/")
    post(reader, "/market/reading/mark/", brief=key, unread="1")
    assert not ReadMark.objects.exists()


def test_those_who_only_look_see_no_button(sign_in, rival):
    auditor = sign_in("Auditor")
    for address in (
        "/market/",
        f"/market/competitors/{rival.pk}/",
        "/market/segment/?name=Enterprise",
        "/market/experience/",
        f"/market/brief/?key=competitor:{rival.pk}",
    ):
        page = text(auditor, address).partition("<main")[2]
        assert 'method="post"' not in page and "/new/" not in page and "/edit/" not in page and "describe/" not in page, address


def test_the_overview_asks_as_often_for_many_as_for_few(browser, owner, rival):
    def asked(address):
        with CaptureQueriesContext(connection) as found:
            assert browser.get(address).status_code == 200
        return len(found)

    watched = ("/market/", "/market/prices/", "/market/briefs/", "/market/experience/")
    for address in watched:
        asked(address)
    few = [asked(address) for address in watched]
    for n in range(8):
        pk = competitors.add_competitor(actor=owner, name=f"Rival {n}", segments=[f"Part {n}"])
        segments.describe_segment(actor=owner, name=f"Part {n}", accounts=5, on=date(2026, 1, 1), source="x")
        row = {
            "product": "Seat",
            "currency": "EUR",
            "unit_price_nano": n,
            "unit": "user",
            "valid_from": date(2026, 2, 1),
            "seen_on": date(2026, 2, 2),
            "source": "page",
        }
        competitors.add_competitor_prices(actor=owner, competitor_id=pk, prices=pl.DataFrame([row]))
        battlecards.write_battlecard(actor=owner, competitor_id=pk, how_to_win="x", on=date(2026, 3, 2))
    assert [asked(address) for address in watched] == few
    assert max(few) <= 40
