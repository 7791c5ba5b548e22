"""The market's landscape over HTTP: segments, competitors, prices, battlecards, experience, briefs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.books.models import Entity
from topline.kernel import clock
from topline.market import battlecards, briefs, competitors, experience, prices, segments
from topline.ui.wire import (
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Currency,
    Day,
    Flag,
    Id,
    Name,
    OfCompany,
    Page,
    Positive,
    Ref,
    Room,
    Rows,
    Whole,
    done,
    frame,
    given,
    once,
    page,
    rows,
)

room = Room(tags=["Market"])
COMPETITOR = ["id", "name", "website", "notes", "owner_id", "is_active", "created_at"]
RECORD = ["id", "customer_id", "competitor_id", "segment", "kind", "score", "on", "topic", "text", "response_minutes", "import_batch_id"]  # fmt: skip
Sentence = Annotated[str, Field(min_length=1, max_length=300)]
Text = Annotated[str, Field(max_length=5_000)]
Short = Annotated[str, Field(max_length=60)]
Segment = Annotated[str, Field(min_length=1, max_length=40)]
Nano = Annotated[int, Field(strict=True, ge=0, le=competitors.MAX_PRICE_NANO, description="billionths of a minor unit")]
Key = Annotated[str, Field(min_length=1, max_length=60, description="segment:Enterprise, competitor:3")]


class SeenOn(OfCompany):
    as_of: Day | None = None


class OfSegment(SeenOn):
    segment: Annotated[str, Field(max_length=40)] = ""


class OfBrief(SeenOn):
    key: Key


class NewCompetitor(Body):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    website: Name = ""
    notes: Text = ""
    owner_id: Ref | None = None
    segments: Annotated[list[Segment], Field(max_length=50)] = []


class CompetitorChanges(Body):
    name: Annotated[str, Field(min_length=1, max_length=100)] = ""
    website: Name = ""
    notes: Text = ""
    owner_id: Ref | None = None
    segments: Annotated[list[Segment], Field(max_length=50)] = []
    is_active: Flag = True


class Price(Body):
    product: Annotated[str, Field(min_length=1, max_length=100)]
    compares_with: Short = ""
    currency: Currency
    unit_price_nano: Nano
    unit: Annotated[str, Field(min_length=1, max_length=40)]
    valid_from: Day
    seen_on: Day
    source: Sentence


class Prices(Body):
    prices: Annotated[list[Price], Field(min_length=1, max_length=MAX_ROWS)]


class NewAssessment(Body):
    theme: Literal["offering", "pricing", "experience"]
    kind: Literal["strength", "weakness"]
    statement: Sentence
    source: Sentence
    since: Day
    evidence: Text = ""
    weight: Annotated[int, Field(strict=True, ge=1, le=3)] = 2


class OnDay(Body):
    on: Day


class Retirement(Body):
    on: Day
    reason: Sentence


class Objection(Body):
    objection: Sentence
    answer: Text


class Card(Body):
    how_to_win: Annotated[str, Field(min_length=1, max_length=5_000)]
    on: Day
    landmines: Text = ""
    objections: Annotated[list[Objection], Field(max_length=battlecards.MAX_OBJECTIONS)] = []
    proof: Text = ""
    review_every_days: Annotated[int, Field(strict=True, ge=1, le=730)] = battlecards.REVIEW_EVERY_DAYS


class Description(Body):
    name: Segment
    description: Text = ""
    accounts: Positive | None = None
    spend_minor: Positive | None = None
    currency: Currency = "EUR"
    on: Day | None = None
    source: Annotated[str, Field(max_length=300)] = ""


class Record(Body):
    kind: Literal["nps", "csat", "ticket"]
    on: Day
    customer_id: Ref | None = None
    competitor_id: Ref | None = None
    segment: Annotated[str, Field(max_length=40)] = ""
    score: Annotated[int, Field(strict=True, ge=0, le=10)] | None = None
    topic: Short = ""
    text: Text = ""
    response_minutes: Whole | None = None


class Records(Body):
    records: Annotated[list[Record], Field(min_length=1, max_length=MAX_ROWS)]


class PathStep(Body):
    brief: Key
    why: Annotated[str, Field(max_length=200)] = ""


class Path(Body):
    steps: Annotated[list[PathStep], Field(max_length=briefs.MAX_STEPS)]


class Mark(Body):
    brief: Key
    is_read: Flag = True


@room.reads("/segments", "market.view", Rows)
def list_segments(request: Caller, asked: Query[SeenOn]) -> Any:
    """Segments with our customers, what they were billed in a year, size, share and price index."""
    entity, day = _when(asked)
    return {"items": [v.as_row() for v in segments.overview(entity=entity, as_of=day)]}


@room.reads("/competitors", "market.view", Page)
def list_competitors(request: Caller, asked: Query[Asked]) -> Any:
    """Competitors, also those no longer about."""
    return page(competitors.competitors(is_active=None), COMPETITOR, asked)


@room.reads("/competitors/{int:competitor_id}", "market.view")
def get_competitor(request: Caller, competitor_id: Id, asked: Query[SeenOn]) -> Any:
    """One competitor with prices as of a day, what stands of it by theme, and its card with what speaks against trusting it."""
    _, day = _when(asked)
    found = competitors.competitor(competitor_id)
    card = battlecards.battlecard(competitor_id)
    fresh = battlecards.freshness(as_of=day, competitor_id=competitor_id)
    shown = ("id", "theme", "kind", "statement", "evidence", "source", "since", "weight", "reviewed_on")
    return {
        **{name: getattr(found, name) for name in COMPETITOR},
        "segments": competitors.segments_of([competitor_id])[competitor_id],
        "prices": competitors.prices(as_of=day, competitor_id=competitor_id).to_dicts(),
        "assessments": [{n: getattr(a, n) for n in shown} for t in competitors.assessments(competitor_id, as_of=day) for a in (*t.strengths, *t.weaknesses)],
        "battlecard": {n: getattr(card, n) for n in ("how_to_win", "landmines", "objections", "proof", "review_every_days", "reviewed_on")} | {"stale_because": fresh[0].reasons}
        if card else None,
    }  # fmt: skip


@room.reads("/competitor-prices", "market.view", Rows)
def list_prices(request: Caller, asked: Query[OfSegment]) -> Any:
    """The price of every product as of a day, also in the company's currency (null without a rate)."""
    entity, day = _when(asked)
    return rows(prices.position(as_of=day, currency=entity.currency, segment=asked.segment).rows)


@room.reads("/experience", "market.view")
def get_experience(request: Caller, asked: Query[OfSegment]) -> Any:
    """NPS, CSAT and tickets of the year up to a day: of us, by segment, of competitors, by quarter; null below 15 answers."""
    _, day = _when(asked)
    return asdict(experience.experience(as_of=day, segment=asked.segment))


@room.reads("/experience-records", "market.view", Page)
def list_records(request: Caller, asked: Query[Asked]) -> Any:
    """Every record of what customers told."""
    return page(experience.records(since=date.min, until=date.max), RECORD, asked)


@room.reads("/briefs", "market.view", Rows)
def list_briefs(request: Caller) -> Any:
    """Every brief that can be made, and its place on the reading path (null: not on it)."""
    places = {s.key: s.position for s in briefs.reading_path(None)}
    return {"items": [{"key": key, "title": title, "position": places.get(key)} for key, title in briefs.titles().items()]}


@room.reads("/brief", "market.view")
def get_brief(request: Caller, asked: Query[OfBrief]) -> Any:
    """One brief: facts and sections as text."""
    entity, day = _when(asked)
    return asdict(briefs.brief(asked.key, entity=entity, as_of=day))


@room.does("/segments", "market.describe_segment")
def describe_segment(request: Caller, body: Description) -> Any:
    """Say what a segment is, and how large; answers with its id."""
    return done(segments.describe_segment(**body.model_dump(), **once(request)))


@room.does("/competitors", "market.add_competitor")
def add_competitor(request: Caller, body: NewCompetitor) -> Any:
    """Add a competitor; answers with its id."""
    return done(competitors.add_competitor(**body.model_dump(), **once(request)))


@room.does("/competitors/{int:competitor_id}/change", "market.change_competitor")
def change_competitor(request: Caller, competitor_id: Id, body: CompetitorChanges) -> Any:
    """Change the facts that are sent; answers with the competitor's id."""
    return done(competitors.change_competitor(competitor_id=competitor_id, changes=dict(given(body)), **once(request)))


@room.does("/competitors/{int:competitor_id}/prices", "market.add_competitor_prices")
def add_prices(request: Caller, competitor_id: Id, body: Prices) -> Any:
    """Write prices down as they were seen; answers with how many."""
    return done(competitors.add_competitor_prices(competitor_id=competitor_id, prices=frame(body.prices), **once(request)))


@room.does("/competitors/{int:competitor_id}/assessments", "market.add_assessment")
def add_assessment(request: Caller, competitor_id: Id, body: NewAssessment) -> Any:
    """A strength or weakness; answers with its id."""
    return done(competitors.add_assessment(competitor_id=competitor_id, **body.model_dump(), **once(request)))


@room.does("/assessments/{int:assessment_id}/review", "market.review_assessment")
def review_assessment(request: Caller, assessment_id: Id, body: OnDay) -> Any:
    """It still holds; answers with its id."""
    return done(competitors.review_assessment(assessment_id=assessment_id, on=body.on, **once(request)))


@room.does("/assessments/{int:assessment_id}/retire", "market.retire_assessment")
def retire_assessment(request: Caller, assessment_id: Id, body: Retirement) -> Any:
    """It no longer holds; answers with its id."""
    return done(competitors.retire_assessment(assessment_id=assessment_id, **body.model_dump(), **once(request)))


@room.does("/competitors/{int:competitor_id}/battlecard", "market.write_battlecard")
def write_battlecard(request: Caller, competitor_id: Id, body: Card) -> Any:
    """Write the card, or write it anew; answers with its id."""
    return done(battlecards.write_battlecard(competitor_id=competitor_id, **body.model_dump(), **once(request)))


@room.does("/competitors/{int:competitor_id}/battlecard/review", "market.review_battlecard")
def review_battlecard(request: Caller, competitor_id: Id, body: OnDay) -> Any:
    """The card holds against what is known now; answers with its id."""
    return done(battlecards.review_battlecard(competitor_id=competitor_id, on=body.on, **once(request)))


@room.does("/experience-records", "market.record_experience", Rows)
def record_experience(request: Caller, body: Records) -> Any:
    """What customers told; answers with the id of each record, in order."""
    return rows(experience.record_experience(records=frame(body.records), **once(request)))


@room.does("/reading-path", "market.set_reading_path")
def set_reading_path(request: Caller, body: Path) -> Any:
    """Which briefs a newcomer reads, in order; answers with how many."""
    return done(briefs.set_reading_path(steps=[(s.brief, s.why) for s in body.steps], **once(request)))


@room.does("/reading-marks", "market.mark_read")
def mark_read(request: Caller, body: Mark) -> Any:
    """Mark a brief as read by the member of the token, or take the mark back; answers with its key."""
    return done(briefs.mark_read(brief=body.brief, is_read=body.is_read, **once(request)))


def _when(asked: SeenOn) -> tuple[Entity, date]:
    entity = books.entity(asked.company or None)
    return entity, asked.as_of or clock.today(entity.time_zone)
