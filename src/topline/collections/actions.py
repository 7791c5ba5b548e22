"""Verbs of the collections room: what people say and agree about a debt, and what follows when they do not keep to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from topline.billing import queries as billing
from topline.billing.models import OWED, Invoice
from topline.books import queries as books
from topline.collections import queries
from topline.collections.models import (
    Contact,
    Desk,
    Dispute,
    PaymentPlan,
    PlanInstalment,
    PlanInvoice,
    Promise,
    PromiseItem,
    Reminder,
)
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market import queries as market
from topline.team.models import Member
from topline.timeline import actions as timeline

GRACE_DAYS = 2  # business is not done to the hour: money that arrives this soon after the promised day keeps the promise


class PromiseInThePast(Invalid):
    """A promise names a day that is still to come."""

    code = "promise_in_the_past"


class PromiseOver(Conflict):
    """The promise was judged or withdrawn, or its day and grace are over, so that money judges it."""

    code = "promise_over"


class NotOwed(Conflict):
    """More is promised, disputed or planned than is open on the documents, or they are another customer's."""

    code = "not_owed"


class AlreadyDisputed(Conflict):
    """The invoice has an open dispute."""

    code = "already_disputed"


class DisputeResolved(Conflict):
    """The dispute was resolved before."""

    code = "dispute_resolved"


class PlanDoesNotAddUp(Invalid):
    """The instalments of a payment plan must come to what is open on its invoices."""

    code = "plan_does_not_add_up"


class AlreadyPlanned(Conflict):
    """An invoice stands under another payment plan."""

    code = "already_planned"


@action("collections.log_contact")
def log_contact(
    *,
    actor: Actor,
    entity_id: int,
    customer_id: int,
    channel: str,
    outcome: str,
    occurred_on: date,
    person: str = "",
    note: str = "",
    reminder_id: int | None = None,
) -> int:
    """Write down a contact about money: a call, an answer, a bounced e-mail; returns its id.

    A call or a letter that a ladder waits for is done with it, unless nobody was reached.

    Raises: Invalid (channel, outcome, a day to come).
    """
    _ensure_choice(channel, Contact.Channel.values, "channel")
    _ensure_choice(outcome, Contact.Outcome.values, "outcome")
    ensure(
        occurred_on <= books.today(entity_id),
        Invalid("A contact cannot lie in the future.", field="occurred_on", remedy="Use the day on which it happened."),
    )
    market.ensure_known(pl.Series([customer_id]))
    contact = Contact.objects.create(
        entity_id=entity_id, customer_id=customer_id, channel=channel, outcome=outcome, occurred_on=occurred_on, person=person[:200], note=note,
        recorded_at=clock.now(), actor_key=actor.key, reminder_id=reminder_id,
    )  # fmt: skip
    if outcome != Contact.Outcome.NOT_REACHED:  # a call or letter that the ladder waited for is done with it
        steps = Reminder.objects.filter(
            entity_id=entity_id, customer_id__in=market.record_ids(customer_id), planned_on__lte=occurred_on
        )
        steps.filter(channel=channel, state=Reminder.State.HELD).exclude(channel="email").update(
            state=Reminder.State.SENT, sent_at=clock.now(), why="Done by a person."
        )
    timeline.record_one(
        "customer_contacted", subject="customer", subject_id=customer_id, actor=actor, on=occurred_on, customer_id=customer_id,
        note=f"{channel}, {outcome.replace('_', ' ')}{': ' + note if note else ''}",
    )  # fmt: skip
    changed("customer", customer_id, after={"contact": contact.pk, "channel": channel, "outcome": outcome})
    return contact.pk


@action("collections.set_desk")
def set_desk(
    *,
    actor: Actor,
    entity_id: int,
    customer_id: int,
    snoozed_until: date | None = None,
    no_reminders: bool = False,
    note: str = "",
) -> int:
    """Put a customer off until a day (None: back on the list), or keep the ladder of reminders from them; returns the desk's id.

    It holds for all records of the customer: what was said of one that was merged into it ends. Raises: NotFound.
    """
    market.ensure_known(pl.Series([customer_id]))
    customer_id, *merged = market.record_ids(customer_id)
    Desk.objects.filter(entity_id=entity_id, customer_id__in=merged).delete()
    desk, _ = Desk.objects.update_or_create(
        entity_id=entity_id,
        customer_id=customer_id,
        defaults={"snoozed_until": snoozed_until, "no_reminders": no_reminders, "note": note[:300]},
    )
    changed("customer", customer_id, after={"snoozed_until": snoozed_until, "no_reminders": no_reminders, "note": note})
    return desk.pk


@action("collections.record_promise")
def record_promise(
    *, actor: Actor, entity_id: int, customer_id: int, due_on: date, items: pl.DataFrame, made_on: date, note: str = "", channel: str = "",
    person: str = "", replaces: Sequence[int] | None = None,
) -> int:  # fmt: skip
    """Write down that a customer will pay invoices by a day, all of them or a part of each.

    Promises of parts for different days stand side by side, each judged by itself, as long as they come to no more than is open.
    items    one row per invoice: invoice_id, amount_minor at most what is open; all in one currency
    replaces   open promises that it takes the place of, which are withdrawn (default: those on its invoices that it does not fit beside)
    channel  by which it was said (call, email, ...), and to whom: the contact is then written down with the promise, both or neither
    returns  the promise's id
    Raises: PromiseInThePast, NotOwed, PromiseOver (one that it replaces), Invalid (no items, several currencies, zero, channel, a contact to
    come), NotFound.
    """
    ensure(
        due_on >= made_on,
        PromiseInThePast(f"{due_on:%-d %b %Y} is past already.", field="due_on", remedy="Ask for a day that is still to come."),
    )
    invoices = _owed(items, customer_id=customer_id)
    replaced = _replaced(items, invoices, made_on=made_on, replaces=replaces)
    promise = Promise.objects.create(
        entity_id=entity_id, customer_id=customer_id, currency=invoices["currency"][0], amount_minor=int(items["amount_minor"].sum()), made_on=made_on,
        due_on=due_on, note=note[:300], actor_key=actor.key, recorded_at=clock.now(),
    )  # fmt: skip
    bulk.insert(PromiseItem, items.select("invoice_id", "amount_minor", promise_id=pl.lit(promise.pk)))
    Promise.objects.filter(pk__in=replaced).update(state=Promise.State.WITHDRAWN, judged_on=made_on)
    timeline.record_one(
        "payment_promised", subject="promise", subject_id=promise.pk, actor=actor, on=made_on, customer_id=customer_id, amount_minor=promise.amount_minor,
        currency=promise.currency, note=f"by {due_on:%-d %b %Y}{': ' + note if note else ''}",
    )  # fmt: skip
    changed("promise", promise.pk, after={"amount_minor": promise.amount_minor, "due_on": due_on, "replaces": replaced})
    _log_spoken(actor, entity_id, customer_id, Contact.Outcome.PROMISED, on=made_on, channel=channel, person=person, note=note)
    return promise.pk


@action("collections.judge_promises")
def judge_promises(*, actor: Actor, as_of: date) -> pl.DataFrame:
    """Say of promises whose day and grace have passed whether they were kept, by money that settled their invoices since.

    A promise that is met in full before its day is kept at once. What arrives later than the grace does not mend it. One that was
    kept by a payment which the bank took back is judged again: it is broken, or open while its day is to come.
    returns  one row per promise judged: promise_id, state, paid_minor. Work: a fixed number of statements.
    """
    open_promises = queries.promises_to_judge(as_of=as_of, grace_days=GRACE_DAYS)
    met, was_open = pl.col("paid_minor") >= pl.col("amount_minor"), pl.col("state") == Promise.State.OPEN
    judged = open_promises.filter(
        pl.when(was_open).then(met | pl.col("is_past")).otherwise(pl.col("paid_minor") < pl.col("known_minor"))
    )
    judged = judged.with_columns(
        state=pl.when(met)
        .then(pl.lit(Promise.State.KEPT.value))
        .when(~pl.col("is_past"))
        .then(pl.lit(Promise.State.OPEN.value))
        .when(pl.col("paid_minor") > 0)
        .then(pl.lit(Promise.State.PARTLY.value))
        .otherwise(pl.lit(Promise.State.BROKEN.value))
    )
    over = pl.when(pl.col("state") != Promise.State.OPEN).then(pl.lit(as_of))
    bulk.update(Promise, judged.select("state", "paid_minor", id="promise_id", judged_on=over))
    changed_many("promise", judged["promise_id"], after={"judged_on": str(as_of)})
    for kind, states in (
        ("promise_kept", [Promise.State.KEPT]),
        ("promise_broken", [Promise.State.PARTLY, Promise.State.BROKEN]),
    ):
        told = judged.filter(pl.col("state").is_in([s.value for s in states]))
        timeline.record(
            kind,
            told.select(
                "promise_id", "customer_id", "currency", "amount_minor", note=pl.col("due_on").dt.strftime("by %-d %b %Y")
            ),
            subject="promise",
            actor=actor,
            on=as_of,
        )
    return judged.select("promise_id", "state", "paid_minor")


@action("collections.withdraw_promise")
def withdraw_promise(*, actor: Actor, promise_id: int, on: date, reason: str) -> int:
    """Take back an open promise that was written down wrongly or that the customer no longer stands by; returns its id.

    It counts neither as kept nor as broken, and its invoices may be chased again. Once its day and grace are over money judges it.
    Raises: NotFound, PromiseOver (judged, withdrawn, or its day and grace are over), Invalid (no reason).
    """
    ensure(bool(reason.strip()), Invalid("Say why it is taken back.", field="reason"))
    promise = Promise.objects.select_for_update().filter(pk=promise_id).first()
    if promise is None:
        raise NotFound(f"There is no promise {promise_id}.", field="promise_id")
    ensure(
        promise.state == Promise.State.OPEN,
        PromiseOver(f"The promise is {promise.state} already.", field="promise_id", remedy="Write down what is said now."),
    )
    ensure(
        on <= promise.due_on + timedelta(days=GRACE_DAYS),
        PromiseOver(
            f"Its day, {promise.due_on}, and {GRACE_DAYS} days of grace are over.",
            field="promise_id",
            remedy="What came by then judges it; write down what is said now.",
        ),
    )
    promise.state, promise.judged_on = Promise.State.WITHDRAWN, on
    promise.save(update_fields=["state", "judged_on"])
    timeline.record_one(
        "promise_withdrawn", subject="promise", subject_id=promise_id, actor=actor, on=on, customer_id=promise.customer_id,
        amount_minor=promise.amount_minor, currency=promise.currency, note=reason.strip()[:300],
    )  # fmt: skip
    changed("promise", promise_id, before={"state": "open"}, after={"state": "withdrawn", "reason": reason.strip()[:300]})
    return promise_id


@action("collections.raise_dispute")
def raise_dispute(
    *,
    actor: Actor,
    invoice_id: int,
    reason: str,
    raised_on: date,
    deadline_on: date,
    amount_minor: int | None = None,
    note: str = "",
    owner_id: int | None = None,
    channel: str = "",
    person: str = "",
) -> int:
    """The customer contests an invoice or a part of it; the rest is still due. Returns the dispute's id.

    An invoice in litigation is out of the forecast and of the reminders as a whole, until the dispute is resolved.
    amount_minor  what is contested (default: all that is open)
    channel  by which it was said, and by whom: the contact is then written down with the dispute, both or neither
    Raises: NotOwed, AlreadyDisputed, Invalid (reason, deadline, a part in litigation, channel, a contact to come), NotFound.
    """
    _ensure_choice(reason, Dispute.Reason.values, "reason")
    ensure(
        deadline_on >= raised_on,
        Invalid("The deadline lies before the dispute.", field="deadline_on", remedy="Give its owner some days."),
    )
    ensure(
        owner_id is None or Member.objects.filter(pk=owner_id).exists(),
        NotFound(f"There is no member {owner_id}.", field="owner_id"),
    )
    invoice = billing.for_update([invoice_id]).row(0, named=True)
    rest = invoice["total_minor"] - invoice["allocated_minor"]
    contested = rest if amount_minor is None else amount_minor
    _ensure_owed(invoice, contested)
    ensure(
        reason != Dispute.Reason.LITIGATION or contested == rest,
        Invalid("An invoice is in litigation as a whole.", field="amount_minor", remedy="Leave the amount empty."),
    )
    ensure(
        not Dispute.objects.filter(invoice_id=invoice_id, state=Dispute.State.OPEN).exists(),
        AlreadyDisputed(f"{invoice['number']} has an open dispute.", field="invoice_id", remedy="Resolve that one first."),
    )
    dispute = Dispute.objects.create(
        invoice_id=invoice_id, reason=reason, amount_minor=contested, note=note, owner_id=owner_id, raised_on=raised_on, deadline_on=deadline_on,
        recorded_at=clock.now(),
    )  # fmt: skip
    timeline.record_one(
        "invoice_disputed", subject="invoice", subject_id=invoice_id, actor=actor, on=raised_on, customer_id=invoice["customer_id"], amount_minor=contested,
        currency=invoice["currency"], note=f"{invoice['number']}: {reason.replace('_', ' ')}",
    )  # fmt: skip
    changed("invoice", invoice_id, after={"dispute": dispute.pk, "reason": reason, "amount_minor": contested})
    _log_spoken(
        actor, invoice["entity_id"], invoice["customer_id"], Contact.Outcome.DISPUTED, on=raised_on, channel=channel, person=person, note=note
    )  # fmt: skip
    return dispute.pk


@action("collections.resolve_dispute")
def resolve_dispute(
    *, actor: Actor, dispute_id: int, state: str, resolved_on: date, resolution: str, credit_note_id: int | None = None
) -> int:
    """Close a dispute: credited (with the credit note that does it), rejected, or paid after all; returns its id.

    Raises: NotFound, DisputeResolved, Invalid (state, credit note missing or of another invoice).
    """
    dispute = Dispute.objects.select_for_update().select_related("invoice").filter(pk=dispute_id).first()
    if dispute is None:
        raise NotFound(f"There is no dispute {dispute_id}.", field="dispute_id")
    ensure(dispute.state == Dispute.State.OPEN, DisputeResolved("The dispute was resolved before.", field="dispute_id"))
    _ensure_choice(state, [s for s in Dispute.State.values if s != Dispute.State.OPEN], "state")
    ensure(bool(resolution.strip()), Invalid("Say how it was resolved.", field="resolution"))
    credited = state == Dispute.State.CREDITED
    fits = credit_note_id is not None and Invoice.objects.filter(pk=credit_note_id, corrects_id=dispute.invoice_id).exists()
    ensure(
        credited == fits,
        Invalid(
            "A dispute is credited by a credit note for its invoice.",
            field="credit_note_id",
            remedy="Issue the credit note first.",
        ),
    )
    dispute.state, dispute.resolved_on, dispute.resolution, dispute.credit_note_id = (
        state,
        resolved_on,
        resolution[:300],
        credit_note_id,
    )
    dispute.save(update_fields=["state", "resolved_on", "resolution", "credit_note_id"])
    timeline.record_one(
        "dispute_resolved", subject="invoice", subject_id=dispute.invoice_id, actor=actor, on=resolved_on, customer_id=dispute.invoice.customer_id,
        amount_minor=dispute.amount_minor, currency=dispute.invoice.currency, note=f"{dispute.invoice.number}: {state}",
    )  # fmt: skip
    changed("invoice", dispute.invoice_id, before={"dispute": "open"}, after={"dispute": state, "resolution": resolution})
    return dispute_id


@action("collections.agree_plan")
def agree_plan(
    *,
    actor: Actor,
    entity_id: int,
    customer_id: int,
    invoice_ids: Sequence[int],
    instalments: pl.DataFrame,
    agreed_on: date,
    grace_days: int = 3,
    note: str = "",
    channel: str = "",
    person: str = "",
) -> int:
    """Agree to take old invoices in dated parts; a part missed by more than the grace makes all the rest due at once.

    It takes the place of open promises on its invoices, which are withdrawn.

    instalments  one row per part: due_on, amount_minor > 0; together what is open on the invoices
    channel      by which it was agreed, and with whom: the contact is then written down with the plan, both or neither
    returns      the plan's id
    Raises: PlanDoesNotAddUp, AlreadyPlanned, NotOwed, Invalid (a part in the past, several currencies), NotFound.
    """
    invoices = billing.for_update(invoice_ids)
    rest = invoices.with_columns(amount_minor=pl.col("total_minor") - pl.col("allocated_minor"), invoice_id="id")
    invoices = _owed(rest.select("invoice_id", "amount_minor"), customer_id=customer_id)
    total, planned = int(rest["amount_minor"].sum()), int(instalments["amount_minor"].sum())
    currency = invoices["currency"][0]
    ensure(
        bool((instalments["amount_minor"] > 0).all()),
        Invalid("Every part must be more than zero.", field="amount_minor", remedy="Correct it, or leave the part out."),
    )
    ensure(
        planned == total,
        PlanDoesNotAddUp(
            f"The parts come to {money.Money(planned, currency)}, open is {money.Money(total, currency)}.",
            field="instalments",
            remedy="Change the last part.",
        ),
    )
    for day in instalments.filter(pl.col("due_on") < agreed_on)["due_on"].sort().head(1):
        raise Invalid(
            f"The part of {day:%-d %b %Y} is due before the plan is agreed.", field="due_on", remedy="Give it a day that is still to come."
        )  # fmt: skip
    taken = PlanInvoice.objects.filter(invoice_id__in=list(invoice_ids), is_active=True).select_related("invoice").first()
    ensure(
        taken is None,
        AlreadyPlanned(
            f"{taken.invoice.number if taken else ''} stands under a plan already.",
            field="invoice_ids",
            remedy="Cancel that plan first.",
        ),
    )
    plan = PaymentPlan.objects.create(
        entity_id=entity_id, customer_id=customer_id, currency=currency, total_minor=total, agreed_on=agreed_on, grace_days=grace_days, note=note[:300],
        recorded_at=clock.now(),
    )  # fmt: skip
    bulk.insert(PlanInvoice, rest.select("invoice_id", open_minor="amount_minor", plan_id=pl.lit(plan.pk)))
    parts = instalments.sort("due_on").with_row_index("position", offset=1)
    bulk.insert(PlanInstalment, parts.select("position", "due_on", "amount_minor", plan_id=pl.lit(plan.pk)))
    timeline.record_one(
        "plan_agreed", subject="payment_plan", subject_id=plan.pk, actor=actor, on=agreed_on, customer_id=customer_id, amount_minor=total, currency=currency,
        note=f"{parts.height} parts until {parts['due_on'].to_list()[-1]:%-d %b %Y}",
    )  # fmt: skip
    replaced = _withdraw_older(list(invoice_ids), on=agreed_on)
    changed("payment_plan", plan.pk, after={"total_minor": total, "parts": parts.height, "replaces_promises": replaced})
    _log_spoken(actor, entity_id, customer_id, Contact.Outcome.PROMISED, on=agreed_on, channel=channel, person=person, note=note)
    return plan.pk


@action("collections.judge_plans")
def judge_plans(*, actor: Actor, as_of: date) -> pl.DataFrame:
    """Complete the plans that are paid, and break those that miss a part by more than their grace: the whole rest is due again.

    returns  one row per plan that ended: plan_id, state. Work: a fixed number of statements.
    """
    plans = queries.plans_to_judge(as_of=as_of)
    ended = plans.filter(
        (pl.col("paid_minor") >= pl.col("total_minor")) | (pl.col("paid_minor") < pl.col("expected_minor"))
    ).with_columns(
        state=pl.when(pl.col("paid_minor") >= pl.col("total_minor"))
        .then(pl.lit(PaymentPlan.State.COMPLETED.value))
        .otherwise(pl.lit(PaymentPlan.State.BROKEN.value))
    )
    bulk.update(PaymentPlan, ended.select("state", id="plan_id", ended_on=pl.lit(as_of)))
    PlanInvoice.objects.filter(plan_id__in=ended["plan_id"].to_list()).update(is_active=False)
    changed_many("payment_plan", ended["plan_id"], after={"ended_on": str(as_of)})
    for kind, state in (("plan_completed", PaymentPlan.State.COMPLETED), ("plan_broken", PaymentPlan.State.BROKEN)):
        told = ended.filter(pl.col("state") == state)
        timeline.record(
            kind, told.select("customer_id", "currency", amount_minor=pl.col("total_minor") - pl.col("paid_minor"), payment_plan_id="plan_id"),
            subject="payment_plan", actor=actor, on=as_of,
        )  # fmt: skip
    return ended.select("plan_id", "state")


@action("collections.cancel_plan")
def cancel_plan(*, actor: Actor, plan_id: int, on: date, reason: str) -> int:
    """End a payment plan by agreement; its invoices are due as they were. Returns its id. Raises: NotFound, Invalid (no reason)."""
    ensure(bool(reason.strip()), Invalid("Say why the plan ends.", field="reason"))
    plan = PaymentPlan.objects.select_for_update().filter(pk=plan_id, state=PaymentPlan.State.ACTIVE).first()
    if plan is None:
        raise NotFound(f"There is no active plan {plan_id}.", field="plan_id", remedy="Look at the customer again.")
    plan.state, plan.ended_on = PaymentPlan.State.CANCELLED, on
    plan.save(update_fields=["state", "ended_on"])
    PlanInvoice.objects.filter(plan_id=plan_id).update(is_active=False)
    timeline.record_one(
        "plan_cancelled", subject="payment_plan", subject_id=plan_id, actor=actor, on=on, customer_id=plan.customer_id,
        amount_minor=plan.total_minor, currency=plan.currency, note=reason.strip()[:300],
    )  # fmt: skip
    changed("payment_plan", plan_id, before={"state": "active"}, after={"state": "cancelled", "reason": reason})
    return plan_id


def _replaced(items: pl.DataFrame, invoices: pl.DataFrame, *, made_on: date, replaces: Sequence[int] | None) -> list[int]:
    """Open promises that a new one takes the place of: those named, else those on an invoice that has no room for both.

    Raises: PromiseOver (one of those named is not open), NotOwed (no room beside those that stay).
    """
    ids = items["invoice_id"].to_list()
    entity_id = int(invoices["entity_id"][0])
    standing = queries.promised(entity_id=entity_id, as_of=made_on, invoice_ids=ids)
    rest = invoices.select(
        invoice_id="id", number="number", currency="currency", rest_minor=pl.col("total_minor") - pl.col("allocated_minor")
    )
    named = list(replaces or [])
    lost = set(named) - set(Promise.objects.filter(pk__in=named, state=Promise.State.OPEN).values_list("id", flat=True))
    ensure(
        not lost,
        PromiseOver(f"Promise {min(lost, default=0)} is not open.", field="replaces", remedy="Look at the customer again."),
    )
    said = standing.filter(~pl.col("promise_id").is_in(named)).group_by("invoice_id").agg(said_minor=pl.col("amount_minor").sum())
    room = items.join(rest, on="invoice_id").join(said, on="invoice_id", how="left")
    full = room.filter(pl.col("amount_minor") + pl.col("said_minor").fill_null(0) > pl.col("rest_minor"))
    if replaces is not None:
        for row in full.head(1).iter_rows(named=True):
            raise NotOwed(
                f"{money.Money(row['said_minor'], row['currency'])} of {row['number']} is promised already, of {money.Money(row['rest_minor'], row['currency'])} that is open.",
                field="amount_minor", remedy="Say which promise it takes the place of, or write down less.",
            )  # fmt: skip
        return named
    crowded = standing.filter(pl.col("invoice_id").is_in(full["invoice_id"].implode()))
    return sorted(set(crowded["promise_id"].to_list()))


def _withdraw_older(invoice_ids: Sequence[int], *, on: date) -> list[int]:
    """Withdraw open promises on invoices about which something newer was agreed; returns their ids."""
    older = Promise.objects.filter(state=Promise.State.OPEN, items__invoice_id__in=list(invoice_ids))
    replaced = list(older.values_list("id", flat=True).distinct())
    Promise.objects.filter(pk__in=replaced).update(state=Promise.State.WITHDRAWN, judged_on=on)
    return replaced


def _log_spoken(
    actor: Actor, entity_id: int, customer_id: int, outcome: str, *, on: date, channel: str, person: str, note: str
) -> None:
    """The contact in which something was said, where its channel is told: the day's list then leaves the customer in peace."""
    if channel:
        log_contact(
            actor=actor, entity_id=entity_id, customer_id=customer_id, channel=channel, outcome=outcome, occurred_on=on, person=person, note=note
        )  # fmt: skip


def _owed(items: pl.DataFrame, *, customer_id: int) -> pl.DataFrame:
    """The documents that `items` names, locked, each with enough open on it; all of one customer and currency."""
    ensure(items.height > 0, Invalid("Name at least one invoice.", field="items"))
    invoices = billing.for_update(items["invoice_id"].to_list())
    wanted = dict(items.select("invoice_id", "amount_minor").iter_rows())
    own = set(market.customer_detail(customer_id).ids)  # also those of the record that took a merged one over
    for invoice in invoices.iter_rows(named=True):
        ensure(invoice["customer_id"] in own, NotOwed(f"{invoice['number']} is another customer's.", field="invoice_id"))
        _ensure_owed(invoice, wanted[invoice["id"]])
    ensure(
        invoices["currency"].n_unique() == 1,
        Invalid("The invoices are in several currencies.", field="items", remedy="Make one for each currency."),
    )
    return invoices


def _ensure_owed(invoice: dict[str, object], amount: int) -> None:
    rest = int(invoice["total_minor"]) - int(invoice["allocated_minor"])  # type: ignore[call-overload]
    currency = str(invoice["currency"])
    ensure(amount > 0, Invalid("The amount must be more than zero.", field="amount_minor"))
    ensure(
        invoice["state"] == Invoice.State.OPEN and invoice["kind"] in OWED and amount <= rest,
        NotOwed(
            f"{money.Money(amount, currency)} is not open on {invoice['number'] or 'the draft'}: {money.Money(rest, currency)} is.",
            field="amount_minor",
            remedy="Use at most what is open.",
        ),
    )


def _ensure_choice(value: str, choices: Sequence[str], field: str) -> None:
    ensure(value in choices, Invalid(f"{value!r} is no {field}.", field=field, remedy=f"Use one of {', '.join(choices)}."))
