"""Battlecards: how to win against a competitor, and whether the card can still be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl
from django.db.models import F, Q

from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid, NotFound, ensure
from topline.market import competitors
from topline.market.models import Assessment, Battlecard

REVIEW_EVERY_DAYS = 90
MAX_OBJECTIONS = 20


@dataclass(frozen=True)
class Freshness:
    """Whether a card can be trusted on a day, and if not, why: sentences for a person."""

    card_id: int
    competitor_id: int
    competitor: str
    owner_id: int | None
    owner: str
    reviewed_on: date
    reviewed_at: datetime
    due_on: date
    reasons: list[str]

    @property
    def is_stale(self) -> bool:
        """Whether the card needs a review."""
        return bool(self.reasons)


@action("market.write_battlecard")
def write_battlecard(
    *, actor: Actor, competitor_id: int, how_to_win: str, on: date, landmines: str = "", objections: Sequence[dict[str, str]] = (), proof: str = "",
    review_every_days: int = REVIEW_EVERY_DAYS,
) -> int:  # fmt: skip
    """Write the card of a competitor, or write it anew; that is also its review. Returns the card's id.

    landmines   questions to lay before them, one a line; objections: what buyers say, each {objection, answer}
    on          the day of the review; review_every_days: after so many days it is stale
    Raises: NotFound, Invalid (how to win missing, an objection without answer, days out of bounds).
    """
    competitors.competitor(competitor_id, lock=True)
    ensure(bool(how_to_win.strip()), Invalid("A card must say how to win.", field="how_to_win"))
    ensure(
        1 <= review_every_days <= 730,
        Invalid("A card is reviewed every 1 to 730 days.", field="review_every_days", remedy="90 days are usual."),
    )
    told = [{"objection": str(o.get("objection", "")).strip(), "answer": str(o.get("answer", "")).strip()} for o in objections]
    ensure(
        len(told) <= MAX_OBJECTIONS and all(o["objection"] and o["answer"] for o in told),
        Invalid("Every objection needs an answer.", field="objections", remedy=f"At most {MAX_OBJECTIONS}, each with both."),
    )
    content = {"how_to_win": how_to_win.strip(), "landmines": landmines.strip(), "objections": told, "proof": proof.strip()}
    known = Battlecard.objects.filter(competitor_id=competitor_id).first()
    before = {name: getattr(known, name) for name in content} if known else None
    card, _ = Battlecard.objects.update_or_create(
        competitor_id=competitor_id, defaults={**content, "review_every_days": review_every_days, **_reviewed(actor, on)}
    )
    changed("battlecard", card.pk, before=before, after={**content, "reviewed_on": on})
    return card.pk


@action("market.review_battlecard")
def review_battlecard(*, actor: Actor, competitor_id: int, on: date) -> int:
    """Somebody read the card against what is known now and it holds; returns its id. Raises: NotFound."""
    card = Battlecard.objects.select_for_update().filter(competitor_id=competitor_id).first()
    if card is None:
        raise NotFound("This competitor has no battlecard.", field="competitor_id", remedy="Write one.")
    before = {"reviewed_on": card.reviewed_on}
    for name, value in _reviewed(actor, on).items():
        setattr(card, name, value)
    card.save(update_fields=["reviewed_on", "reviewed_at", "reviewed_by"])
    changed("battlecard", card.pk, before=before, after={"reviewed_on": on})
    return card.pk


def battlecard(competitor_id: int) -> Battlecard | None:
    """The card of a competitor, where there is one."""
    return Battlecard.objects.filter(competitor_id=competitor_id).first()


def freshness(*, as_of: date, competitor_id: int | None = None) -> list[Freshness]:
    """Every card of competitors still about, the longest unreviewed first, with what speaks against trusting it on a day.

    A card is stale when its days are over, or when after its review a price changed or a strength or weakness came or went.
    Work: three statements.
    """
    cards = Battlecard.objects.filter(competitor__is_active=True).select_related("competitor", "competitor__owner")
    if competitor_id is not None:
        cards = Battlecard.objects.filter(competitor_id=competitor_id).select_related("competitor", "competitor__owner")
    known = competitors.end_of(as_of)
    found = list(cards.order_by("reviewed_on", "competitor__name")[: competitors.MAX_COMPETITORS])
    prices = competitors.price_changes(competitor_id=competitor_id).filter(pl.col("recorded_at") <= known)
    since = F("competitor__battlecard__reviewed_at")
    moved = Assessment.objects.filter(
        Q(recorded_at__gt=since, recorded_at__lte=known) | Q(retired_at__gt=since, retired_at__lte=known)
    ).filter(competitor_id__in=[c.competitor_id for c in found])
    statements = bulk.read(moved.values("competitor_id", "id"))
    return [
        Freshness(
            card.pk, card.competitor_id, card.competitor.name, card.competitor.owner_id,
            card.competitor.owner.name if card.competitor.owner else "", card.reviewed_on, card.reviewed_at, card.reviewed_on + timedelta(days=card.review_every_days), _reasons(card, as_of, prices, statements),
        )
        for card in found
    ]  # fmt: skip


def stale(*, as_of: date) -> list[Freshness]:
    """The cards that need a review, the longest unreviewed first."""
    return [f for f in freshness(as_of=as_of) if f.is_stale]


def _reasons(card: Battlecard, as_of: date, prices: pl.DataFrame, statements: pl.DataFrame) -> list[str]:
    age = (as_of - card.reviewed_on).days
    mine = pl.col("competitor_id") == card.competitor_id
    new = prices.filter(mine & (pl.col("recorded_at") > card.reviewed_at)).height
    moved = statements.filter(mine).height
    told = (
        (age > card.review_every_days, f"Reviewed {age} days ago; every {card.review_every_days} is asked for."),
        (new > 0, f"{new} {'price' if new == 1 else 'prices'} changed since."),
        (moved > 0, f"{moved} {'strength or weakness' if moved == 1 else 'strengths or weaknesses'} changed since."),
    )
    return [sentence for holds, sentence in told if holds]


def _reviewed(actor: Actor, on: date) -> dict[str, object]:
    return {"reviewed_on": on, "reviewed_at": clock.now(), "reviewed_by": actor.key}
