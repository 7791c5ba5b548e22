"""What a company does every day by itself: judge promises and plans, write reminders, learn when customers pay, freeze the forecast.

The worker asks for the day's work once a day and company; the outbox refuses a second message with the same key. Every part is
idempotent, so running it again by hand (`topline daily`) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from topline.books.models import Entity
from topline.collections import actions, reminders, timing
from topline.kernel import clock, outbox
from topline.kernel.actor import Actor
from topline.kernel.models import OutboxMessage
from topline.market import battlecards
from topline.team import actions as team
from topline.team.models import Area, Task
from topline.team.queries import system_actor
from topline.treasury import outlook

TOPIC = "daily"
BEGINS = time(5)  # in the company's time zone: the night's files are in, and nobody is at work yet
MONDAY = 0
REVIEW_DAYS = 7  # within which a stale battlecard is to be reviewed


@dataclass(frozen=True)
class Done:
    """What a day's work did. steps: reminders written, by step and state."""

    as_of: date
    promises: int
    plans: int
    steps: dict[tuple[str, str], int] = field(default_factory=dict)


def due(*, limit: int = 100) -> int:
    """Ask the outbox for the day's work of every company whose day has begun; returns how many were asked for.

    A day that lies before one that was asked for is left alone: the clock was moved back. Work: two statements a company.
    """
    asked = 0
    for entity in Entity.objects.order_by("id")[:limit]:
        local = clock.now().astimezone(ZoneInfo(entity.time_zone))
        key = _key(TOPIC, entity.pk, local.date())
        last = OutboxMessage.objects.filter(topic=TOPIC, key__startswith=_key(TOPIC, entity.pk)).order_by("-key").first()
        if local.time() >= BEGINS and (last is None or (last.key or "") < key):
            outbox.enqueue(TOPIC, {"entity_id": entity.pk, "day": local.date().isoformat()}, key=key)
            asked += 1
    return asked


def keep_cards_fresh(*, actor: Actor, as_of: date) -> int:
    """Ask the owner of each stale battlecard for a review, once for each time it goes stale; returns how many were asked.

    A card without an owner is for who owns sales. What was asked of a card that is fresh again is done. Work: four statements, and one a card.
    """
    cards = battlecards.freshness(as_of=as_of)
    fresh = [card.competitor_id for card in cards if not card.is_stale]
    for task_id in Task.objects.filter(about_kind="competitor", about_id__in=fresh, state=Task.State.OPEN).values_list(
        "id", flat=True
    ):
        team.finish_task(actor=actor, task_id=task_id)
    sales = Area.objects.filter(key="sales").values_list("owner_id", flat=True).first()
    asked = 0
    for card in cards:
        assignee = card.owner_id or sales
        known = Task.objects.filter(about_kind="competitor", about_id=card.competitor_id, created_at__gt=card.reviewed_at)
        if card.is_stale and assignee is not None and not known.exists():
            team.add_task(
                actor=actor, title=f"Review the battlecard of {card.competitor}", assignee_id=assignee, due_on=as_of + timedelta(days=REVIEW_DAYS), note=" ".join(card.reasons),
                about_kind="competitor", about_id=card.competitor_id,
            )  # fmt: skip
            asked += 1
    return asked


def judge_and_remind(*, actor: Actor, entity_id: int, as_of: date) -> Done:
    """Judge promises and plans by the money that came, then write the reminders that the policies say are due."""
    promises = actions.judge_promises(actor=actor, as_of=as_of)
    plans = actions.judge_plans(actor=actor, as_of=as_of)
    written = reminders.plan_reminders(actor=actor, entity_id=entity_id, as_of=as_of)
    counts = written.group_by("step", "state").len().sort("step", "state")
    return Done(as_of, promises.height, plans.height, {(step, state): count for step, state, count in counts.iter_rows()})


def learn(*, actor: Actor, entity_id: int, as_of: date) -> str | None:
    """Train the model of payment dates anew when it is stale, from what was known at the end of the day before.

    Returns its version, None when it need not be: the day's forecasts may use what it learned.
    """
    before = as_of - timedelta(days=1)
    if not timing.is_stale(entity_id=entity_id, as_of=before):
        return None
    return timing.train_timing(actor=actor, entity_id=entity_id, as_of=before)


def freeze(*, actor: Actor, entity_id: int, as_of: date) -> int | None:
    """Freeze the cash forecast on Mondays; returns its id, None on other days."""
    return outlook.freeze_forecast(actor=actor, entity_id=entity_id, as_of=as_of) if as_of.weekday() == MONDAY else None


def run(*, actor: Actor, entity_id: int, as_of: date) -> tuple[Done, str | None, int | None]:
    """All of a day's work at once: what was done, the new model's version, the frozen forecast's id."""
    keep_cards_fresh(actor=actor, as_of=as_of)
    done = judge_and_remind(actor=actor, entity_id=entity_id, as_of=as_of)
    return done, learn(actor=actor, entity_id=entity_id, as_of=as_of), freeze(actor=actor, entity_id=entity_id, as_of=as_of)


def handle(payload: dict[str, Any]) -> None:
    """The outbox's message: the quick part now; what computes for long follows in messages, and so in transactions, of its own."""
    day = date.fromisoformat(payload["day"])
    judge_and_remind(actor=system_actor("worker"), entity_id=payload["entity_id"], as_of=day)
    keep_cards_fresh(actor=system_actor("worker"), as_of=day)
    for topic in ("learn_timing", "freeze_forecast"):
        outbox.enqueue(topic, payload, key=_key(topic, payload["entity_id"], day))


def handled_by(verb: Callable[..., Any]) -> outbox.Handler:
    """A handler that does a part of the day's work."""

    def handler(payload: dict[str, Any]) -> None:
        verb(actor=system_actor("worker"), entity_id=payload["entity_id"], as_of=date.fromisoformat(payload["day"]))

    return handler


def _key(topic: str, entity_id: int, day: date | None = None) -> str:
    return f"{topic}:{entity_id}:{day.isoformat() if day else ''}"
