"""Verbs of the ladder: set a policy, plan the day's reminders, let held ones go, and write down what became of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from topline.billing import delivery
from topline.billing.models import OWED, Invoice
from topline.books.models import Entity
from topline.collections import actions, queries
from topline.collections.letters import letter, letters
from topline.collections.models import Contact, DunningPolicy, Reminder, ReminderItem
from topline.engine import dunning
from topline.kernel import bulk, clock, money, outbox
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market import queries as market
from topline.receivables import queries as receivables
from topline.receivables.models import DiscountOffer
from topline.timeline import actions as timeline

S = Reminder.State


class ReminderGone(Conflict):
    """The reminder has left, or was dropped."""

    code = "reminder_gone"


class NothingToRemind(Conflict):
    """Nothing of the customer's is left that a step may name."""

    code = "nothing_to_remind"


@action("collections.set_policy")
def set_policy(
    *,
    actor: Actor,
    entity_id: int,
    segment: str = "",
    steps: Sequence[dict[str, Any]] | None = None,
    minimum_minor: int = 0,
    quiet_from_hour: int = 18,
    quiet_until_hour: int = 8,
    is_on: bool = True,
) -> int:
    """Set the ladder of a segment ("" for all others); without steps the default ladder. Returns the policy's id.

    A step may name a near-equal alternative and be randomised between the two; nothing is randomised unless its step says so.
    Raises: Invalid (steps, letters, hours, minimum).
    """
    ladder = dunning.parse_steps(steps if steps is not None else [asdict(s) for s in dunning.LADDER])
    unknown = sorted({w.template for s in ladder for w in s.ways if w.channel == "email"} - set(letters()))
    ensure(
        not unknown,
        Invalid(f"There is no letter {', '.join(unknown)}.", field="template", remedy=f"Use one of {', '.join(letters())}."),
    )
    ensure(
        0 <= quiet_until_hour < quiet_from_hour <= 24, Invalid("Messages need some hours of the day.", field="quiet_from_hour")
    )
    ensure(minimum_minor >= 0, Invalid("The minimum cannot be negative.", field="minimum_minor"))
    policy, _ = DunningPolicy.objects.update_or_create(
        entity_id=entity_id,
        segment=segment,
        defaults={
            "steps": [asdict(s) for s in ladder], "minimum_minor": minimum_minor, "quiet_from_hour": quiet_from_hour, "quiet_until_hour": quiet_until_hour,
            "is_on": is_on,
        },
    )  # fmt: skip
    randomised = [s.key for s in ladder if s.is_randomised]
    changed(
        "dunning_policy", policy.pk, after={"segment": segment, "steps": len(ladder), "randomised": randomised, "is_on": is_on}
    )
    return policy.pk


def set_ways(*, actor: Actor, entity_id: int, segment: str, step: str, alternative: dict[str, Any], is_randomised: bool) -> int:
    """Give one step of a ladder a second way, and randomise between the two or not; all else of the policy stays. Returns its id.

    alternative  {channel, template, wait_days}, as dunning.Alternative
    Raises: NotFound (policy, step), Invalid (ways that are not near equal).
    """
    policy = DunningPolicy.objects.filter(entity_id=entity_id, segment=segment).first()
    if policy is None or step not in {s["key"] for s in policy.steps}:
        raise NotFound(f"There is no step {step!r}.", field="step", remedy="Set the ladder first.")
    steps = [s | {"alternative": alternative, "is_randomised": is_randomised} if s["key"] == step else s for s in policy.steps]
    return set_policy(
        actor=actor, entity_id=entity_id, segment=segment, steps=steps, minimum_minor=policy.minimum_minor, quiet_from_hour=policy.quiet_from_hour,
        quiet_until_hour=policy.quiet_until_hour, is_on=policy.is_on,
    )  # fmt: skip


@action("collections.plan_reminders")
def plan_reminders(*, actor: Actor, entity_id: int, as_of: date) -> pl.DataFrame:
    """Write the day's reminders, one message a customer and currency, and queue those that may leave by themselves.

    An invoice that came back is sent again where the customer has another address by now; else its reminder waits for a person.
    Left alone are: what is disputed, promised, under a plan, or could be covered by unapplied cash; customers who are snoozed
    or kept from the ladder; and what a step has named before (the database refuses it). A second run of the day does nothing.
    returns  one row per reminder: reminder_id, customer_id, step, channel, state, items. Work: a fixed number of statements.
    """
    policies = list(DunningPolicy.objects.filter(entity_id=entity_id, is_on=True).order_by("segment")[:100])
    due = _due(entity_id, policies, as_of)
    if due.height:  # what never arrived is delivered first: a reminder of it comes once it has
        back = delivery.redeliver(actor=actor, invoice_ids=due["invoice_id"].unique().to_list())
        due = due.join(back.filter("on_its_way"), on="invoice_id", how="anti").join(
            back.select("invoice_id", came_back="recipient"), on="invoice_id", how="left", maintain_order="left"
        )
    if due.is_empty():
        return pl.DataFrame(
            schema={
                "reminder_id": pl.Int64,
                "customer_id": pl.Int64,
                "step": pl.String,
                "channel": pl.String,
                "state": pl.String,
                "items": pl.UInt32,
            }
        )
    hours = {p.segment: p for p in policies}
    return _write(entity_id, due, as_of, hours.get)


@action("collections.remind_customer")
def remind_customer(
    *, actor: Actor, entity_id: int, customer_id: int, step: str, as_of: date, recipient: str = ""
) -> pl.DataFrame:
    """Write to one customer now, by a person's decision, whatever the ladder says of today; it leaves at the next allowed hour.

    A letter of the ladder about the same invoices that has not left yet is dropped: nobody gets two at once.

    Left alone is what the ladder leaves alone too (disputed, promised, planned, covered by unapplied cash), what is not yet due, and
    what this step has named before.
    step       key of a step of the customer's ladder that is an e-mail
    recipient  e-mail address (default: the contact for money)
    returns    one row per currency, as plan_reminders
    Raises: NotFound (customer), Invalid (step, nobody to write to), NothingToRemind.
    """
    customer = market.customer_detail(customer_id).customer
    chosen = next((s for s in ladder_of(entity_id, customer.segment) if s.key == step and s.channel == "email"), None)
    if chosen is None:
        raise Invalid(f"{step!r} is no letter of the ladder.", field="step", remedy="Choose one of the ladder's e-mails.")
    items = chaseable(entity_id=entity_id, as_of=as_of, customer_ids=market.record_ids(customer.pk)).filter(
        pl.col("due_on") < as_of
    )
    had = bulk.read(ReminderItem.objects.filter(step=step, invoice_id__in=items["invoice_id"].to_list()).values("invoice_id"))
    items = items.join(had, on="invoice_id", how="anti")
    _take_place(customer.pk, items["invoice_id"].to_list())
    ensure(
        items.height > 0,
        NothingToRemind(
            f"Nothing is left to remind of: it was named by {step!r} before, or is disputed, promised, planned or covered.",
            field="step",
            remedy="Take the next step of the ladder, or call.",
        ),
    )
    facts = market.addressees([customer.pk])
    due = items.join(facts, on="customer_id").with_columns(
        email=pl.coalesce(pl.lit(recipient or None, dtype=pl.String), "email"), step=pl.lit(chosen.key), step_days=pl.lit(chosen.days),
        channel=pl.lit(chosen.channel), template=pl.lit(chosen.template), needs_approval=pl.lit(value=False),
        variant=pl.lit(""), wait_days=pl.lit(0),
    )  # fmt: skip
    ensure(
        "@" in (due["email"][0] or ""),
        Invalid("Nobody to write to.", field="recipient", remedy="Add a contact with an e-mail address."),
    )
    policy = _policy(entity_id, customer.segment)
    return _write(entity_id, due, as_of, lambda _: policy)


@action("collections.release_reminder")
def release_reminder(*, actor: Actor, reminder_id: int, recipient: str = "") -> int:
    """Let a held reminder go: it leaves at the next allowed hour. Returns its id.

    recipient  e-mail address (default: the one it has, else that of the contact for money who is known by now)

    Raises: NotFound, ReminderGone, Invalid (no address, not an e-mail).
    """
    reminder = _reminder(reminder_id)
    ensure(
        reminder.state in {S.HELD, S.FAILED, S.BOUNCED}, ReminderGone(f"The reminder is {reminder.state}.", field="reminder_id")
    )
    ensure(reminder.channel == "email", Invalid("Only e-mails are sent; log the call instead.", field="reminder_id"))
    reminder.recipient = recipient or reminder.recipient or _address_of(reminder)
    ensure(
        "@" in reminder.recipient,
        Invalid("Nobody to write to.", field="recipient", remedy="Add a contact with an e-mail address."),
    )
    reminder.state, reminder.why = S.QUEUED, ""
    reminder.save(update_fields=["state", "why", "recipient"])
    policy = policy_of(reminder)
    outbox.enqueue(
        "send_reminder",
        {"reminder_id": reminder_id},
        at=allowed_at(policy, reminder.entity.time_zone, clock.now()) if policy else None,
    )
    changed("reminder", reminder_id, after={"state": "queued", "recipient": reminder.recipient})
    return reminder_id


@action("collections.drop_reminder")
def drop_reminder(*, actor: Actor, reminder_id: int, reason: str) -> int:
    """Not send a reminder after all; its invoices go on to the next step in time. Returns its id. Raises: NotFound, ReminderGone."""
    reminder = _reminder(reminder_id)
    ensure(reminder.state != S.SENT, ReminderGone("The reminder has left.", field="reminder_id"))
    reminder.state, reminder.why = S.DROPPED, reason[:300]
    reminder.save(update_fields=["state", "why"])
    changed("reminder", reminder_id, after={"state": "dropped", "why": reason})
    return reminder_id


@action("collections.send_offer")
def send_offer(*, actor: Actor, offer_id: int, on: date) -> int:
    """Write to a customer that an invoice may be paid with less by a day; it leaves as reminders do. Returns the reminder's id.

    An offer is written once. Without an address it is held, as a reminder is.
    Raises: NotFound, Conflict (written before, or the offer no longer runs).
    """
    offer = DiscountOffer.objects.select_related("invoice", "invoice__entity").filter(pk=offer_id).first()
    if offer is None:
        raise NotFound(f"There is no offer {offer_id}.", field="offer_id")
    step, invoice = f"offer-{offer_id}", offer.invoice
    ensure(
        offer.state == DiscountOffer.State.OPEN and offer.valid_until >= on,
        Conflict("The offer no longer runs.", field="offer_id", remedy="Make a new one."),
    )
    ensure(
        not ReminderItem.objects.filter(invoice=invoice, step=step).exists(),
        Conflict("The offer was written to the customer before.", field="offer_id"),
    )
    (customer_id,) = market.resolve(pl.DataFrame({"customer_id": [invoice.customer_id]}))["customer_id"]
    (whom,) = market.addressees([customer_id]).to_dicts()
    subject, body = letter(
        "early_payment", whom["language"], person=whom["person"] or whom["name"], numbers=invoice.number or "", until=str(offer.valid_until),
        total=str(money.Money(offer.open_minor - offer.discount_minor, invoice.currency)), less=str(money.Money(offer.discount_minor, invoice.currency)),
        seller=invoice.entity.name,
    )  # fmt: skip
    state, why = (S.QUEUED, "") if whom["email"] else (S.HELD, "No e-mail address is known.")
    reminder = Reminder.objects.create(
        entity_id=invoice.entity_id, customer_id=customer_id, step=step, channel="email", language=whom["language"], recipient=whom["email"] or "",
        subject=subject[:300], body=body, state=state, why=why, planned_on=on, recorded_at=clock.now(),
    )  # fmt: skip
    ReminderItem.objects.create(reminder=reminder, invoice=invoice, step=step, open_minor=offer.open_minor)
    if state == S.QUEUED:
        policy = policy_of(reminder)
        opens = allowed_at(policy, invoice.entity.time_zone, clock.now()) if policy else None
        outbox.enqueue("send_reminder", {"reminder_id": reminder.pk}, at=opens)
    changed("reminder", reminder.pk, after={"offer": offer_id, "state": state})
    return reminder.pk


@action("collections.mark_reminder")
def mark_reminder(
    *, actor: Actor, reminder_id: int, state: str, message_id: str | None = None, why: str = "", on: date | None = None
) -> int:
    """Write down what became of a reminder: sent, failed, held or bounced; the contact and the milestone follow. Returns its id."""
    reminder = _reminder(reminder_id)
    ensure(state in S.values, Invalid(f"{state!r} is no state.", field="state"))
    reminder.state, reminder.why = state, why[:300]
    reminder.message_id = message_id or reminder.message_id
    if state == S.SENT:
        reminder.sent_at = clock.now()
    reminder.save(update_fields=["state", "why", "message_id", "sent_at"])
    day = on or clock.today(reminder.entity.time_zone)
    if state in {S.SENT, S.BOUNCED}:
        outcome = Contact.Outcome.SENT if state == S.SENT else Contact.Outcome.BOUNCED
        _log(actor, reminder, outcome=outcome, on=day, note=reminder.subject if state == S.SENT else why)
        timeline.record_one(
            f"reminder_{state}",
            subject="reminder",
            subject_id=reminder_id,
            actor=actor,
            on=day,
            customer_id=reminder.customer_id,
            note=reminder.subject,
        )
    changed("reminder", reminder_id, after={"state": state, "why": why})
    return reminder_id


@action("collections.record_answer")
def record_answer(*, actor: Actor, message_id: str, text: str, is_bounce: bool = False) -> int | None:
    """A message came back about a reminder: an answer, or the news that it did not arrive. Returns the reminder, or None for mail of others."""
    reminder = Reminder.objects.select_for_update().select_related("entity").filter(message_id=message_id).first()
    if reminder is None:
        return None
    if is_bounce:
        return mark_reminder(actor=actor, reminder_id=reminder.pk, state=S.BOUNCED, why=text)
    if reminder.replied_at is None:
        reminder.replied_at = clock.now()
        reminder.save(update_fields=["replied_at"])
    day = clock.today(reminder.entity.time_zone)
    _log(actor, reminder, outcome=Contact.Outcome.REPLIED, on=day, note=text[:4000])
    timeline.record_one(
        "reminder_answered",
        subject="reminder",
        subject_id=reminder.pk,
        actor=actor,
        on=day,
        customer_id=reminder.customer_id,
        note=text[:200],
    )
    changed("reminder", reminder.pk, after={"replied": True})
    return reminder.pk


def allowed_at(policy: DunningPolicy, zone: str, moment: datetime) -> datetime:
    """The first moment from now on at which the policy lets a message go: within its hours, on a weekday, in the company's time."""
    local = moment.astimezone(ZoneInfo(zone))
    opens, closes = time(policy.quiet_until_hour), policy.quiet_from_hour
    if local.time() < opens:
        local = datetime.combine(local.date(), opens, tzinfo=local.tzinfo)
    elif local.hour >= closes:
        local = datetime.combine(local.date() + timedelta(days=1), opens, tzinfo=local.tzinfo)
    while local.weekday() >= 5:
        local = datetime.combine(local.date() + timedelta(days=1), opens, tzinfo=local.tzinfo)
    return local.astimezone(UTC)


def policy_of(reminder: Reminder) -> DunningPolicy | None:
    """The policy under which a reminder goes: that of the segment of its customer, who may be merged since; else the default one."""
    return _policy(reminder.entity_id, market.customer_detail(reminder.customer_id).customer.segment)


def ladder_of(entity_id: int, segment: str) -> tuple[dunning.Step, ...]:
    """The steps for customers of a segment: those of its policy, else of the default policy, else the default ladder."""
    policy = _policy(entity_id, segment)
    return dunning.parse_steps(policy.steps) if policy else dunning.LADDER


def _address_of(reminder: Reminder) -> str:
    """The e-mail address to which a reminder would go today, also where its customer was merged since; empty where nobody is known."""
    (whom,) = market.addressees([market.customer_detail(reminder.customer_id).customer.pk]).to_dicts()
    return whom["email"] or ""


def _policy(entity_id: int, segment: str) -> DunningPolicy | None:
    return DunningPolicy.objects.filter(entity_id=entity_id, segment__in=[segment, ""]).order_by("-segment").first()


def chaseable(*, entity_id: int, as_of: date, customer_ids: list[int] | None = None) -> pl.DataFrame:
    """Open invoices that may be chased on a day, with the part that is neither disputed nor promised.

    returns  invoice_id, customer_id, number, currency, due_on (the earliest part's), open_minor (that part)
    """
    items = market.resolve(receivables.open_items(entity_id=entity_id, as_of=as_of, customer_ids=customer_ids)).filter(
        pl.col("open_minor") > 0
    )
    whole = items.group_by("invoice_id", maintain_order=True).agg(
        pl.col("customer_id", "number", "currency").first(), pl.col("due_on").min(), pl.col("open_minor").sum()
    )
    contested = queries.disputed(entity_id=entity_id, as_of=as_of).select(
        "invoice_id", "in_court", contested_minor="amount_minor"
    )
    said = queries.promised(entity_id=entity_id, as_of=as_of)
    said = queries.by_invoice(said.filter(pl.col("due_on") + pl.duration(days=actions.GRACE_DAYS) >= pl.lit(as_of)))
    cash = market.resolve(
        receivables.unapplied(entity_id=entity_id, as_of=as_of, customer_ids=customer_ids).drop_nulls("customer_id")
    )
    cash = cash.group_by("customer_id", "currency").agg(cash_minor=pl.col("left_minor").sum())
    return (
        whole.join(contested, on="invoice_id", how="left")
        .join(cash, on=["customer_id", "currency"], how="left")
        .join(said.select("invoice_id", said_minor="amount_minor"), on="invoice_id", how="left")
        .filter(~pl.col("invoice_id").is_in(list(queries.planned_invoices(entity_id=entity_id))))
        .filter(pl.col("open_minor") > pl.col("cash_minor").fill_null(0))
        .with_columns(
            open_minor=pl.col("open_minor") - pl.col("contested_minor").fill_null(0) - pl.col("said_minor").fill_null(0)
        )
        .filter((pl.col("open_minor") > 0) & ~pl.col("in_court").fill_null(value=False))
        .drop("contested_minor", "said_minor", "cash_minor", "in_court")
        .sort("due_on", "invoice_id")
    )


def still_open(*, entity_id: int) -> pl.DataFrame:
    """Invoices that are open whatever day a clock says, so that one that went back reminds nobody of what is paid: invoice_id."""
    rows = Invoice.objects.filter(entity_id=entity_id, state=Invoice.State.OPEN, kind__in=OWED)
    return bulk.read(rows.values("id")).rename({"id": "invoice_id"})


def _due(entity_id: int, policies: list[DunningPolicy], as_of: date) -> pl.DataFrame:
    """What is due for a step today: chaseable invoices with their customer's facts and the step of their policy."""
    items = chaseable(entity_id=entity_id, as_of=as_of)
    items = items.join(still_open(entity_id=entity_id), on="invoice_id", how="semi", maintain_order="left")
    desk = queries.desks(entity_id=entity_id)
    silent = set(queries.snoozed(desk, as_of=as_of)) | set(desk.filter("no_reminders")["customer_id"].to_list())
    items = items.filter(~pl.col("customer_id").is_in(list(silent)))
    facts = market.addressees(items["customer_id"].unique().to_list())
    items = items.join(facts, on="customer_id")
    sent = bulk.read(ReminderItem.objects.filter(reminder__entity_id=entity_id).values("invoice_id", "step"))
    named = {p.segment for p in policies}
    parts = []
    for policy in policies:
        mine = pl.col("segment") == policy.segment if policy.segment else ~pl.col("segment").is_in(list(named - {""}))
        ladder = dunning.parse_steps(policy.steps)
        steps = dunning.vary(dunning.due_steps(items.filter(mine), sent, steps=ladder, as_of=as_of), steps=ladder)
        enough = steps.filter(pl.col("open_minor").sum().over("customer_id", "currency") >= policy.minimum_minor)
        parts.append(enough.with_columns(segment=pl.lit(policy.segment)))
    return pl.concat(parts) if parts else pl.DataFrame()


def _write(entity_id: int, due: pl.DataFrame, as_of: date, policy_for: Callable[[str], DunningPolicy | None]) -> pl.DataFrame:
    """Write the messages about what is due, and queue those that may leave at the first hour that their policy allows."""
    entity = Entity.objects.get(pk=entity_id)
    heads = _messages(entity, due, as_of)
    written = bulk.insert(
        Reminder,
        heads.select(
            "customer_id", "step", "channel", "variant", "language", "recipient", "subject", "body", "state", "why",
            entity_id=pl.lit(entity_id, dtype=pl.Int64), planned_on=pl.lit(as_of), recorded_at=pl.lit(clock.now()),
        ),
    )  # fmt: skip
    heads = heads.with_columns(reminder_id=written["id"])
    bulk.insert(
        ReminderItem,
        due.join(heads.select("customer_id", "currency", "reminder_id"), on=["customer_id", "currency"]).select(
            "invoice_id", "step", "open_minor", "reminder_id"
        ),
    )
    queued = heads.filter(pl.col("state") == S.QUEUED).select("reminder_id", "segment", "wait_days")
    for reminder_id, segment, wait_days in queued.iter_rows():
        policy = policy_for(segment)
        opens = allowed_at(policy, entity.time_zone, clock.now() + timedelta(days=wait_days)) if policy else None
        outbox.enqueue("send_reminder", {"reminder_id": reminder_id}, at=opens)
    changed_many("reminder", heads["reminder_id"])
    return heads.select("reminder_id", "customer_id", "step", "channel", "state", "items")


def _messages(entity: Entity, due: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """One message per customer and currency, at the furthest step among its invoices."""
    came_back = pl.col("came_back").drop_nulls().first() if "came_back" in due.columns else pl.lit(None, dtype=pl.String)
    grouped = due.sort("step_days", descending=True).group_by("customer_id", "currency", maintain_order=True).agg(
        pl.col("step", "channel", "template", "needs_approval", "variant", "wait_days", "language", "email", "person", "name", "segment").first(),
        numbers=pl.col("number").sort(), items=pl.len(), total=pl.col("open_minor").sum(), came_back=came_back,
    )  # fmt: skip
    rows = []
    for row in grouped.iter_rows(named=True):
        numbers = row["numbers"]
        named = ", ".join(numbers[:4]) + (f" and {len(numbers) - 4} more" if len(numbers) > 4 else "")
        facts = {
            "person": row["person"] or row["name"], "numbers": named, "count": f"{len(numbers)} invoice{'s' if len(numbers) > 1 else ''}",
            "total": str(money.Money(row["total"], row["currency"])), "seller": entity.name,
        }  # fmt: skip
        subject, body = (
            letter(row["template"], row["language"], **facts) if row["channel"] == "email" else (f"{row['step']}: {named}", "")
        )
        state, why = _first_state(row)
        rows.append({**{k: row[k] for k in ("customer_id", "currency", "step", "channel", "variant", "wait_days", "language", "segment", "items")}, "recipient": row["email"] or "",
                     "subject": subject[:300], "body": body, "state": state, "why": why})  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def _first_state(row: dict[str, Any]) -> tuple[str, str]:
    if row["channel"] != "email":
        return S.HELD, "A person takes this step; log what came of it."
    if row["needs_approval"]:
        return S.HELD, "This step waits for a person's go."
    if row["came_back"]:
        return S.HELD, f"The invoice came back from {row['came_back']}: find an address, and send the invoice first."
    return (S.QUEUED, "") if row["email"] else (S.HELD, "No e-mail address is known.")


def _take_place(customer_id: int, invoice_ids: list[int]) -> None:
    """Drop letters that are on their way about the same invoices: the one that a person sends takes their place."""
    waiting = Reminder.objects.filter(
        customer_id__in=market.record_ids(customer_id), channel="email", state=S.QUEUED, items__invoice_id__in=invoice_ids
    )
    replaced = list(waiting.values_list("id", flat=True).distinct())
    Reminder.objects.filter(pk__in=replaced).update(state=S.DROPPED, why="A letter sent by hand took its place.")
    changed_many("reminder", replaced, after={"state": "dropped"})


def _reminder(reminder_id: int) -> Reminder:
    reminder = (
        Reminder.objects.select_for_update(of=("self",)).select_related("entity", "customer").filter(pk=reminder_id).first()
    )
    if reminder is None:
        raise NotFound(f"There is no reminder {reminder_id}.", field="reminder_id")
    return reminder


def _log(actor: Actor, reminder: Reminder, *, outcome: str, on: date, note: str) -> None:
    Contact.objects.create(
        entity_id=reminder.entity_id, customer_id=reminder.customer_id, channel=Contact.Channel.EMAIL, outcome=outcome, person=reminder.recipient, note=note,
        occurred_on=on, recorded_at=clock.now(), actor_key=actor.key, reminder_id=reminder.pk,
    )  # fmt: skip
