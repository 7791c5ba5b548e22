"""What a company does every day by itself: apply the money that came in, judge promises and plans, write reminders, write the open deals
down, learn when customers pay, weigh what calls do for payroll, freeze the forecasts of cash and of sales.

The worker asks for the day's work once a day and company; the outbox refuses a second message with the same key. Every part is
idempotent, so running it again by hand (`topline daily`) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from topline.books.models import Entity
from topline.collections import actions, reminders, timing
from topline.contracts import amendments, open_periods, wallets
from topline.engine.payment_timing.model import Model
from topline.kernel import clock, outbox
from topline.kernel.actor import Actor
from topline.kernel.models import OutboxMessage
from topline.leads import actions as leads
from topline.market import battlecards
from topline.metering import actions as metering
from topline.pipeline import actions as pipeline
from topline.pipeline import calls, machine
from topline.processor import actions as online
from topline.processor import public as simulated
from topline.processor import service as processor
from topline.processor.simulator import Simulator
from topline.quotes import actions as quotes
from topline.quotes import pricing
from topline.receivables import figures, matching
from topline.team import actions as team
from topline.team.models import Area, Task
from topline.team.queries import system_actor
from topline.treasury import levers, outlook
from topline.treasury.outlook import Outlook
from topline.treasury.queries import Forecast

TOPIC = "daily"
BEGINS = time(5)  # in the company's time zone: the night's files are in, and nobody is at work yet
MONDAY = 0
REVIEW_DAYS = 7  # within which a stale battlecard is to be reviewed


@dataclass(frozen=True)
class Done:
    """What a day's work did. applied: payments that were certain; steps: reminders written, by step and state."""

    as_of: date
    applied: int
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


def place_events(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Take in usage that was kept aside and has a place by now; returns how many events."""
    return metering.place_strays(actor=actor)


def take_in(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Book the bank's credits and apply what is certain; what is doubtful waits on the Match page. Returns how many payments were applied."""
    online.match_payouts(actor=actor, entity_id=entity_id)
    matching.book_bank_lines(actor=actor, entity_id=entity_id)
    made = matching.match_payments(actor=actor, entity_id=entity_id, as_of=as_of)
    return made.filter(pl.col("state") == "posted")["payment_id"].n_unique()


def charge_saved(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Want what is due charged to saved cards and accounts, where a processor is set up; the simulator's day passes. Returns how many."""
    if not processor.is_on():
        return 0
    with_whom = processor.current()
    if isinstance(with_whom, Simulator):
        simulated.deliver(with_whom, with_whom.pass_time(as_of))
    return len(online.plan_charges(actor=actor, entity_id=entity_id, as_of=as_of, processor=with_whom.name))


def judge_and_remind(*, actor: Actor, entity_id: int, as_of: date, applied: int = 0) -> Done:
    """Judge promises and plans by the money that came, then write the reminders that the policies say are due."""
    promises = actions.judge_promises(actor=actor, as_of=as_of)
    plans = actions.judge_plans(actor=actor, as_of=as_of)
    written = reminders.plan_reminders(actor=actor, entity_id=entity_id, as_of=as_of)
    counts = written.group_by("step", "state").len().sort("step", "state")
    return Done(
        as_of, applied, promises.height, plans.height, {(step, state): count for step, state, count in counts.iter_rows()}
    )


def price_lateness(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Hand quotes what it costs that each customer pays late on average (days late at the yearly cost of money); returns how many customers."""
    late = (
        figures.delays(entity_id=entity_id, as_of=as_of)
        .drop_nulls("customer_id")
        .select("customer_id", late_ppm=(pl.col("delay_days").clip(0, 365) / 365 * pricing.YEARLY_PPM).round().cast(pl.Int64))
    )
    return quotes.set_late_costs(actor=actor, costs=late, as_of=as_of)


def write_down(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Write down the open deals as they stood at the end of the day before, by value; returns how many."""
    return pipeline.snapshot_pipeline(actor=actor, entity_id=entity_id, as_of=as_of - timedelta(days=1))


def lesson(*, entity_id: int, as_of: date) -> Model | None:
    """The model of payment dates learned anew from what was known at the end of the day before; None where it is not stale."""
    before = as_of - timedelta(days=1)
    return timing.learned(entity_id=entity_id, as_of=before) if timing.is_stale(entity_id=entity_id, as_of=before) else None


def learn(*, actor: Actor, entity_id: int, as_of: date, ahead: Model | None = None) -> str | None:
    """Learn anew where the model is stale, so that the day's forecasts may use it; returns its version, None where it is not.

    ahead  the lesson, where it was learned already
    """
    found, before = ahead or lesson(entity_id=entity_id, as_of=as_of), as_of - timedelta(days=1)
    return timing.train_timing(actor=actor, entity_id=entity_id, as_of=before, ahead=found) if found else None


def to_freeze(*, entity_id: int, as_of: date) -> tuple[Forecast, Outlook] | None:
    """The cash forecast on Mondays, where it is not frozen yet."""
    return outlook.to_freeze(entity_id=entity_id, as_of=as_of) if as_of.weekday() == MONDAY else None


@dataclass(frozen=True)
class Monday:
    """A day on which the sales forecast is frozen; said: None where the machines know too little."""

    said: machine.Frozen | None


def sales_to_freeze(*, entity_id: int, as_of: date) -> Monday | None:
    """What the machines say about the quarter on Mondays; None on other days."""
    return Monday(machine.frozen_methods(entity_id=entity_id, as_of=as_of)) if as_of.weekday() == MONDAY else None


def freeze_sales(*, actor: Actor, entity_id: int, as_of: date, ahead: Monday | None = None) -> int | None:
    """Write the sales forecast down on Mondays: calls, categories, and what the machines say; returns how many figures.

    ahead  the machines' figures, where they were computed already
    """
    today = ahead or sales_to_freeze(entity_id=entity_id, as_of=as_of)
    return None if today is None else calls.freeze_sales_forecast(actor=actor, entity_id=entity_id, as_of=as_of, told=today.said)


def run(*, actor: Actor, entity_id: int, as_of: date) -> tuple[Done, str | None, int | None]:
    """All of a day's work at once, but for charges of saved cards, which the worker makes: what was done, the new model's version, the frozen forecast's id."""
    keep_cards_fresh(actor=actor, as_of=as_of)
    place_events(actor=actor, entity_id=entity_id, as_of=as_of)
    applied = take_in(actor=actor, entity_id=entity_id, as_of=as_of)
    done = judge_and_remind(actor=actor, entity_id=entity_id, as_of=as_of, applied=applied)
    write_down(actor=actor, entity_id=entity_id, as_of=as_of)
    price_lateness(actor=actor, entity_id=entity_id, as_of=as_of)
    leads.score_leads(actor=actor, entity_id=entity_id, as_of=as_of)
    amendments.renew_due(actor=actor, entity_id=entity_id, as_of=as_of)
    open_periods.tell_alerts(actor=actor, entity_id=entity_id, as_of=as_of)
    wallets.expire_credits(actor=actor, entity_id=entity_id, as_of=as_of)
    wallets.tell_low_credits(actor=actor, entity_id=entity_id, as_of=as_of)
    version = learn(actor=actor, entity_id=entity_id, as_of=as_of)
    levers.weigh_calls(actor=actor, entity_id=entity_id, as_of=as_of)
    freeze_sales(actor=actor, entity_id=entity_id, as_of=as_of)
    if as_of.weekday() != MONDAY:
        return done, version, None
    return done, version, outlook.freeze_forecast(actor=actor, entity_id=entity_id, as_of=as_of)


def handle(payload: dict[str, Any]) -> None:
    """The outbox's message: each part follows in a message, and so in a transaction, of its own; one that fails stops no other."""
    day = date.fromisoformat(payload["day"])
    keep_cards_fresh(actor=system_actor("worker"), as_of=day)
    for topic in (
        "charge_saved",
        "take_in",
        "judge_and_remind",
        "price_lateness",
        "write_deals_down",
        "score_leads",
        "renew_contracts",
        "place_events",
        "tell_alerts",
        "expire_credits",
        "tell_low_credits",
        "learn_timing",
        "weigh_calls",
        "freeze_forecast",
        "freeze_sales",
        "rehearse_sales_once",
    ):
        outbox.enqueue(topic, payload, key=_key(topic, payload["entity_id"], day))


def handled_by(verb: Callable[..., Any]) -> outbox.Handler:
    """A handler that does a part of the day's work."""

    def handler(payload: dict[str, Any]) -> None:
        verb(actor=system_actor("worker"), entity_id=payload["entity_id"], as_of=date.fromisoformat(payload["day"]))

    return handler


def handled_in_parts(compute: Callable[..., Any], verb: Callable[..., Any]) -> outbox.Long:
    """A handler of a part that takes long: computed while no transaction is open, kept by a verb that gets it as `ahead`."""

    def asked(payload: dict[str, Any]) -> dict[str, Any]:
        return {"entity_id": payload["entity_id"], "as_of": date.fromisoformat(payload["day"])}

    def write(payload: dict[str, Any], found: Any) -> None:
        if found is not None:
            verb(actor=system_actor("worker"), **asked(payload), ahead=found)

    return outbox.Long(lambda payload: compute(**asked(payload)), write)


def _key(topic: str, entity_id: int, day: date | None = None) -> str:
    return f"{topic}:{entity_id}:{day.isoformat() if day else ''}"
