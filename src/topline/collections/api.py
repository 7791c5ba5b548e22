"""Contacts, promises, disputes, payment plans and reminders over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Any, Literal

import polars as pl
from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.collections import actions, claims, reminders, timing, trials, worklist
from topline.collections.models import Contact, Dispute, PaymentPlan, Promise, ReferenceRate, Reminder
from topline.kernel import clock
from topline.ui.wire import (
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Code,
    Day,
    Flag,
    Id,
    Ids,
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
    once,
    page,
    rows,
)

room = Room(tags=["Collections"])
PROMISE = [
    "id",
    "entity_id",
    "customer_id",
    "currency",
    "amount_minor",
    "made_on",
    "due_on",
    "state",
    "paid_minor",
    "judged_on",
    "note",
]
DISPUTE = [
    "id",
    "invoice_id",
    "state",
    "reason",
    "amount_minor",
    "note",
    "owner_id",
    "raised_on",
    "deadline_on",
    "resolved_on",
    "credit_note_id",
    "resolution",
]
PLAN = ["id", "entity_id", "customer_id", "currency", "total_minor", "agreed_on", "grace_days", "state", "ended_on", "note"]
REMINDER = [
    "id",
    "entity_id",
    "customer_id",
    "step",
    "channel",
    "variant",
    "recipient",
    "subject",
    "state",
    "why",
    "planned_on",
    "sent_at",
    "replied_at",
]
CLAIM = [
    "id",
    "document_id",
    "invoice_id",
    "due_on",
    "after_on",
    "until",
    "principal_minor",
    "interest_minor",
    "compensation_minor",
    "is_standing",
]
RATE = ["id", "jurisdiction", "valid_from", "rate_ppm", "source", "recorded_at", "actor_key"]
CONTACT = ["id", "entity_id", "customer_id", "channel", "outcome", "person", "note", "occurred_on", "recorded_at", "actor_key"]
Text = Annotated[str, Field(max_length=4_000)]
Note = Annotated[str, Field(max_length=300)]


class TrialsAsked(OfCompany):
    as_of: Day | None = None


class WorklistAsked(OfCompany):
    as_of: Day | None = None
    show: Literal["today", "waiting", "all"] = "today"
    limit: Annotated[int, Field(ge=1, le=1_000)] = 200


class LoggedContact(Body):
    customer_id: Ref
    channel: Literal["call", "email", "letter", "message", "meeting", "note"]
    outcome: Literal["reached", "not_reached", "promised", "disputed", "replied", "bounced", "sent", "other"]
    occurred_on: Day
    person: Name = ""
    note: Text = ""


class DeskSet(Body):
    customer_id: Ref
    snoozed_until: Day | None = None
    no_reminders: Flag = False
    note: Note = ""


SpokenBy = Literal["", "call", "email", "letter", "message", "meeting"]


class Promised(Body):
    invoice_id: Ref
    amount_minor: Positive


class NewPromise(Body):
    customer_id: Ref
    made_on: Day
    due_on: Day
    items: Annotated[list[Promised], Field(min_length=1, max_length=MAX_ROWS)]
    replaces: Annotated[list[Ref], Field(max_length=100)] | None = None
    note: Note = ""
    channel: SpokenBy = ""
    person: Name = ""


class NewDispute(Body):
    invoice_id: Ref
    reason: Literal[
        "price",
        "quantity",
        "quality",
        "not_delivered",
        "not_ordered",
        "missing_purchase_order",
        "wrong_address",
        "duplicate",
        "tax",
        "litigation",
        "other",
    ]
    raised_on: Day
    deadline_on: Day
    amount_minor: Positive | None = None
    note: Text = ""
    owner_id: Ref | None = None
    channel: SpokenBy = ""
    person: Name = ""


class Resolution(Body):
    state: Literal["credited", "rejected", "paid"]
    resolved_on: Day
    resolution: Annotated[str, Field(min_length=1, max_length=300)]
    credit_note_id: Ref | None = None


class Part(Body):
    due_on: Day
    amount_minor: Positive


class NewPlan(Body):
    customer_id: Ref
    invoice_ids: Ids
    instalments: Annotated[list[Part], Field(min_length=1, max_length=120)]
    agreed_on: Day
    grace_days: Annotated[int, Field(strict=True, ge=0, le=60)] = 3
    note: Note = ""
    channel: SpokenBy = ""
    person: Name = ""


class ClaimableAsked(OfCompany):
    customer_id: Id
    until: Day | None = None


class NewInterestClaim(Body):
    customer_id: Ref
    invoice_ids: Ids
    until: Day
    issue_on: Day
    days_to_pay: Annotated[int, Field(strict=True, ge=0, le=366)] = claims.DAYS_TO_PAY
    note: Annotated[str, Field(max_length=200)] = ""


class NewReferenceRate(Body):
    jurisdiction: Annotated[str, Field(min_length=1, max_length=2)]
    valid_from: Day
    percent: Annotated[Decimal, Field(ge=-100, le=100, max_digits=7, decimal_places=4)]
    source: Annotated[str, Field(min_length=1, max_length=300)]


class Ended(Body):
    on: Day
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class AsOf(Body):
    as_of: Day


class OtherWay(Body):
    channel: Literal["", "email", "call", "letter"] = ""
    template: Code = ""
    wait_days: Annotated[int, Field(strict=True, ge=0, le=7)] = 0


class LadderStep(Body):
    key: Annotated[str, Field(min_length=1, max_length=40)]
    days: Annotated[int, Field(strict=True, ge=-60, le=720)]
    channel: Literal["email", "call", "letter", "handover"]
    template: Code = ""
    needs_approval: Flag = False
    alternative: OtherWay | None = None
    is_randomised: Flag = False


class PolicySet(Body):
    segment: Code = ""
    steps: Annotated[list[LadderStep], Field(min_length=1, max_length=40)] | None = None
    minimum_minor: Whole = 0
    quiet_from_hour: Annotated[int, Field(strict=True, ge=1, le=24)] = 18
    quiet_until_hour: Annotated[int, Field(strict=True, ge=0, le=23)] = 8
    is_on: Flag = True


class NewReminder(Body):
    customer_id: Ref
    step: Code
    as_of: Day
    recipient: Annotated[str, Field(max_length=254)] = ""


class Release(Body):
    recipient: Annotated[str, Field(max_length=254)] = ""


class Drop(Body):
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class Outcome(Body):
    state: Literal["sent", "failed", "held", "bounced"]
    why: Note = ""
    on: Day | None = None


class Answer(Body):
    message_id: Annotated[str, Field(min_length=1, max_length=200)]
    text: Text
    is_bounce: Flag = False


@room.reads("/worklist", "collections.view")
def read_worklist(request: Caller, asked: Query[WorklistAsked]) -> Any:
    """Whom to act on, best first, with what a call is expected to gain; or who waits, and why. Amounts in the company's currency."""
    entity = books.entity(asked.company or None)
    as_of = asked.as_of or clock.today(entity.time_zone)
    found = worklist.worklist(entity=entity, as_of=as_of)
    wanted = {"today": pl.col("waits") == "", "waiting": pl.col("waits") != "", "all": pl.lit(value=True)}[asked.show]
    chosen = found.filter(wanted)
    return {"as_of": as_of, "currency": entity.currency, "total": chosen.height, "items": chosen.head(asked.limit).to_dicts()}


@room.reads("/near-equal-steps", "collections.view")
def read_trials(request: Caller, asked: Query[TrialsAsked]) -> Any:
    """Steps with two near-equal ways: customers of each, the share that paid, and the difference with its 95 % interval."""
    entity = books.entity(asked.company or None)
    as_of = asked.as_of or clock.today(entity.time_zone)
    found = trials.trials(entity_id=entity.pk, as_of=as_of)
    items = [
        {**asdict(t), "difference": asdict(t.difference) if t.difference else None, "verdict": t.verdict, "is_told": t.verdict != trials.NOT_TOLD}
        for t in found
    ]  # fmt: skip
    return {"as_of": as_of, "paid_within_days": trials.PAID_WITHIN_DAYS, "items": items}


@room.reads("/contacts", "collections.view", Page)
def list_contacts(request: Caller, asked: Query[Asked]) -> Any:
    """Contacts about money."""
    return page(Contact.objects.filter(entity_id=books.entity(asked.company or None).pk), CONTACT, asked)


@room.reads("/promises", "collections.view", Page)
def list_promises(request: Caller, asked: Query[Asked]) -> Any:
    """What customers promised, and whether they kept it."""
    return page(Promise.objects.filter(entity_id=books.entity(asked.company or None).pk), PROMISE, asked)


@room.reads("/disputes", "collections.view", Page)
def list_disputes(request: Caller, asked: Query[Asked]) -> Any:
    """What customers contest."""
    return page(Dispute.objects.filter(invoice__entity_id=books.entity(asked.company or None).pk), DISPUTE, asked)


@room.reads("/payment-plans", "collections.view", Page)
def list_plans(request: Caller, asked: Query[Asked]) -> Any:
    """Agreements to pay in parts."""
    return page(PaymentPlan.objects.filter(entity_id=books.entity(asked.company or None).pk), PLAN, asked)


class OfferDay(Body):
    on: Day


@room.reads("/reminders", "collections.view", Page)
def list_reminders(request: Caller, asked: Query[Asked]) -> Any:
    """Reminders with what became of each."""
    return page(Reminder.objects.filter(entity_id=books.entity(asked.company or None).pk), REMINDER, asked)


@room.reads("/interest/claimable", "collections.view")
def read_claimable(request: Caller, asked: Query[ClaimableAsked]) -> Any:
    """What a customer may be charged for paying late and has not been, one row per invoice or instalment; `unknown` where a rate is missing."""
    entity = books.entity(asked.company or None)
    until = asked.until or clock.today(entity.time_zone)
    found = claims.parts(entity=entity, customer_id=asked.customer_id, until=until)
    items = [
        {**{k: v for k, v in asdict(p).items() if k not in ("unknown", "percents")}, "percents": [str(r) for r in p.percents], "unknown": p.unknown.words if p.unknown else None}
        for p in found
    ]  # fmt: skip
    return {"until": until, "items": items}


@room.reads("/interest/claims", "collections.view", Page)
def list_claims(request: Caller, asked: Query[Asked]) -> Any:
    """Days of lateness that interest notes claim, and what for."""
    return page(claims.claims(books.entity(asked.company or None).pk), CLAIM, asked)


@room.reads("/reference-rates", "collections.view", Page)
def list_rates(request: Caller, asked: Query[Asked]) -> Any:
    """Reference rates that were written down here; the newest of a half-year counts, and goes before the shipped tables."""
    return page(ReferenceRate.objects.all(), RATE, asked)


@room.does("/interest/claims", "collections.claim_interest")
def claim_interest(request: Caller, target: Query[OfCompany], body: NewInterestClaim) -> Any:
    """Claim interest and compensation as an interest note; answers with the note's id. Send it as any invoice."""
    return done(claims.claim_interest(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/reference-rates", "collections.add_reference_rate")
def add_reference_rate(request: Caller, body: NewReferenceRate) -> Any:
    """Write down the reference rate of a half-year with its source; answers with its id."""
    return done(claims.add_reference_rate(**body.model_dump(), **once(request)))


@room.does("/contacts", "collections.log_contact")
def log_contact(request: Caller, target: Query[OfCompany], body: LoggedContact) -> Any:
    """Write down a contact; answers with its id."""
    return done(actions.log_contact(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/desk", "collections.set_desk")
def set_desk(request: Caller, target: Query[OfCompany], body: DeskSet) -> Any:
    """Snooze a customer, or keep the ladder from them."""
    return done(actions.set_desk(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/promises", "collections.record_promise")
def record_promise(request: Caller, target: Query[OfCompany], body: NewPromise) -> Any:
    """Write down a promise; answers with its id."""
    inputs = body.model_dump(exclude={"items"})
    return done(
        actions.record_promise(
            entity_id=books.entity(target.company or None).pk, items=frame(body.items), **inputs, **once(request)
        )
    )


@room.does("/promises/judge", "collections.judge_promises", Rows)
def judge_promises(request: Caller, body: AsOf) -> Any:
    """Say which promises were kept by a day."""
    return rows(actions.judge_promises(as_of=body.as_of, **once(request)))


@room.does("/promises/{int:promise_id}/withdraw", "collections.withdraw_promise")
def withdraw_promise(request: Caller, promise_id: Id, body: Ended) -> Any:
    """Take an open promise back."""
    return done(actions.withdraw_promise(promise_id=promise_id, **body.model_dump(), **once(request)))


@room.does("/disputes", "collections.raise_dispute")
def raise_dispute(request: Caller, body: NewDispute) -> Any:
    """Contest an invoice or a part of it; answers with the dispute's id."""
    return done(actions.raise_dispute(**body.model_dump(), **once(request)))


@room.does("/disputes/{int:dispute_id}/resolve", "collections.resolve_dispute")
def resolve_dispute(request: Caller, dispute_id: Id, body: Resolution) -> Any:
    """Close a dispute."""
    return done(actions.resolve_dispute(dispute_id=dispute_id, **body.model_dump(), **once(request)))


@room.does("/payment-plans", "collections.agree_plan")
def agree_plan(request: Caller, target: Query[OfCompany], body: NewPlan) -> Any:
    """Agree on dated parts that come to what is open; answers with the plan's id."""
    inputs = body.model_dump(exclude={"instalments"})
    return done(
        actions.agree_plan(
            entity_id=books.entity(target.company or None).pk, instalments=frame(body.instalments), **inputs, **once(request)
        )
    )


@room.does("/payment-plans/judge", "collections.judge_plans", Rows)
def judge_plans(request: Caller, body: AsOf) -> Any:
    """Complete plans that are paid and break those that missed a part."""
    return rows(actions.judge_plans(as_of=body.as_of, **once(request)))


@room.does("/payment-plans/{int:plan_id}/cancel", "collections.cancel_plan")
def cancel_plan(request: Caller, plan_id: Id, body: Ended) -> Any:
    """End a plan by agreement."""
    return done(actions.cancel_plan(plan_id=plan_id, **body.model_dump(), **once(request)))


@room.does("/dunning-policies", "collections.set_policy")
def set_policy(request: Caller, target: Query[OfCompany], body: PolicySet) -> Any:
    """Set the ladder of a segment, the standard one without steps; answers with the policy's id."""
    return done(reminders.set_policy(entity_id=books.entity(target.company or None).pk, **body.model_dump(), **once(request)))


@room.does("/reminders/plan", "collections.plan_reminders", Rows)
def plan_reminders(request: Caller, target: Query[OfCompany], body: AsOf) -> Any:
    """Write the day's reminders and queue those that may leave."""
    return rows(reminders.plan_reminders(entity_id=books.entity(target.company or None).pk, as_of=body.as_of, **once(request)))


@room.does("/reminders", "collections.remind_customer", Rows)
def remind_customer(request: Caller, target: Query[OfCompany], body: NewReminder) -> Any:
    """Write to one customer now."""
    entity_id = books.entity(target.company or None).pk
    return rows(reminders.remind_customer(entity_id=entity_id, **body.model_dump(), **once(request)))


@room.does("/reminders/answers", "collections.record_answer")
def record_answer(request: Caller, body: Answer) -> Any:
    """A message came back about a reminder; answers with the reminder, or 0 for mail of others."""
    return done(reminders.record_answer(**body.model_dump(), **once(request)) or 0)


@room.does("/offers/{int:offer_id}/send", "collections.send_offer")
def send_offer(request: Caller, offer_id: Id, body: OfferDay) -> Any:
    """Write an offer to its customer; answers with the reminder's id."""
    return done(reminders.send_offer(offer_id=offer_id, on=body.on, **once(request)))


@room.does("/reminders/{int:reminder_id}/release", "collections.release_reminder")
def release_reminder(request: Caller, reminder_id: Id, body: Release) -> Any:
    """Let a held reminder go."""
    return done(reminders.release_reminder(reminder_id=reminder_id, **body.model_dump(), **once(request)))


@room.does("/reminders/{int:reminder_id}/drop", "collections.drop_reminder")
def drop_reminder(request: Caller, reminder_id: Id, body: Drop) -> Any:
    """Not send a reminder after all."""
    return done(reminders.drop_reminder(reminder_id=reminder_id, **body.model_dump(), **once(request)))


@room.does("/reminders/{int:reminder_id}/mark", "collections.mark_reminder")
def mark_reminder(request: Caller, reminder_id: Id, body: Outcome) -> Any:
    """Write down what became of a reminder."""
    return done(reminders.mark_reminder(reminder_id=reminder_id, **body.model_dump(), **once(request)))


@room.does("/payment-timing/train", "collections.train_timing")
def train_timing(request: Caller, target: Query[OfCompany], body: AsOf) -> Any:
    """Learn anew when customers pay; answers with the model's version."""
    return done(timing.train_timing(entity_id=books.entity(target.company or None).pk, as_of=body.as_of, **once(request)))
