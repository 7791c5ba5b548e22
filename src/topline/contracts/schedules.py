"""Billing schedules: what is sold once and billed in parts, on days that were agreed or as milestones are accepted.

The parts of an item add up to it. A part is billed once: its place in the schedule is the period of its charge (see `engine.charges.scheduled`).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import F, Q, QuerySet, Sum

from topline.contracts.models import Charge, Contract, Item, SchedulePart
from topline.engine import charges as engine
from topline.engine.documents import round_half_away
from topline.kernel import bulk, clock, outbox
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.kernel.money import format_amount
from topline.timeline import actions as timeline

TOPIC = "ask_acceptance"
MOST = 120
VERBS = frozenset({"contracts.accept_milestone"})  # what a link may do, to its own milestone alone


class ScheduleOutOfBalance(Invalid):
    """The parts do not add up to what they are parts of."""

    code = "schedule_out_of_balance"


class MilestoneNotOpen(Conflict):
    """The milestone was accepted, or will never be billed."""

    code = "milestone_not_open"


@action("contracts.set_schedule")
def set_schedule(*, actor: Actor, item_id: int, parts: Sequence[dict[str, Any]]) -> int:
    """Say in which parts an item is billed; returns how many there are. Parts that were accepted, billed or dropped stay; the others are replaced.

    item_id  something that is sold once at a price, and was not billed as a whole
    parts    in their order: description, amount_minor > 0, due_on (the day it is billed; null: when the milestone is accepted), expected_on (of a
             milestone: the day on which that is likely, for the cash forecast alone)
    Raises: NotFound, Conflict (billed as a whole), Invalid (by periods, metered, without a price, a part that says nothing, an expected day of a dated
    one), ScheduleOutOfBalance.
    """
    item = Item.objects.select_for_update(of=("self",)).select_related("contract__entity").filter(pk=item_id).first()
    if item is None:
        raise NotFound(f"There is no item {item_id}.", field="item_id")
    _ensure_sold_once(item)
    billed = _charged(item)
    fixed = [
        part
        for part in item.parts.order_by("position")
        if part.accepted_on or part.dropped_on or _key(item, part.position) in billed
    ]
    stands = Charge.objects.filter(item=item).exclude(invoice__state="void").exists()
    ensure(bool(item.parts.exists()) or not stands, Conflict(f"{item.description} was billed as a whole.", field="item_id", remedy="Credit that first, or void it."))  # fmt: skip
    ensure(len(parts) + len(fixed) <= MOST, Invalid(f"A schedule has at most {MOST} parts.", field="parts"))
    for number, part in enumerate(parts, start=1):
        ensure(bool(str(part.get("description") or "").strip()), Invalid(f"Part {number} says nothing.", field="parts", remedy="Say what it is for."))  # fmt: skip
        ensure(not (part.get("due_on") and part.get("expected_on")), Invalid(f"Part {number} is billed on its day, whatever is expected.", field="parts", remedy="Leave one of the days out."))  # fmt: skip
        ensure(part["amount_minor"] > 0, Invalid(f"Part {number} is not more than zero.", field="parts"))
    whole, currency = value_of(item), item.contract.currency
    told = sum(part["amount_minor"] for part in parts) + sum(part.amount_minor for part in fixed)
    off = f"{format_amount(abs(whole - told), currency)} {currency} {'are missing' if told < whole else 'are too much'}"
    ensure(
        told == whole,
        ScheduleOutOfBalance(
            f"The parts come to {format_amount(told, currency)}, {item.description} to {format_amount(whole, currency)}: {off}.", field="parts", remedy="Mend the amounts."
        ),
    )  # fmt: skip
    before = list(item.parts.order_by("position").values("position", "description", "amount_minor", "due_on", "expected_on"))
    item.parts.exclude(pk__in=[part.pk for part in fixed]).delete()
    last = max([part.position for part in fixed], default=0)
    SchedulePart.objects.bulk_create(
        SchedulePart(
            item=item, position=last + number, description=str(part["description"]).strip()[:200], amount_minor=part["amount_minor"], due_on=part.get("due_on"), expected_on=part.get("expected_on"),
            token=None if part.get("due_on") else secrets.token_urlsafe(24),
        )
        for number, part in enumerate(parts, start=1)
    )  # fmt: skip
    changed(
        "contract", item.contract_id, before={"schedule": before}, after={"item_id": item.pk, "parts": len(parts) + len(fixed)}
    )
    return len(parts) + len(fixed)


@action("contracts.accept_milestone")
def accept_milestone(*, actor: Actor, part_id: int, on: date, accepted_by: str) -> int:
    """The customer accepts a milestone: its part is due from that day on, and the next bill run bills it. Returns the part's id.

    accepted_by  who said so, in words. Raises: NotFound, Invalid (nobody, a day to come), MilestoneNotOpen (accepted before, dropped).
    """
    part = _locked(part_id)
    own = not actor.key.startswith("milestone:") or actor.key == f"milestone:{part_id}"
    ensure(own and part.due_on is None, NotFound(f"There is no milestone {part_id}.", field="part_id"))
    ensure(part.accepted_on is None, MilestoneNotOpen(f"{part.description} was accepted on {part.accepted_on} by {part.accepted_by}.", field="part_id"))  # fmt: skip
    ensure(part.dropped_on is None, MilestoneNotOpen(f"{part.description} was dropped on {part.dropped_on}.", field="part_id"))
    ensure(
        bool(accepted_by.strip()), Invalid("Say who accepts it.", field="accepted_by", remedy="A name stands for the signature.")
    )
    ensure(on <= clock.today(part.item.contract.entity.time_zone), Invalid(f"{on} is still to come.", field="on", remedy="Accept it on its day."))  # fmt: skip
    part.accepted_on, part.accepted_by = on, accepted_by.strip()[:200]
    part.save()
    _tell("milestone_accepted", part, actor, on, f"{part.description}, by {part.accepted_by}")
    changed("contract", part.item.contract_id, after={"part_id": part.pk, "accepted_on": on, "accepted_by": part.accepted_by})
    return part.pk


@action("contracts.withdraw_acceptance")
def withdraw_acceptance(*, actor: Actor, part_id: int, because: str) -> int:
    """An acceptance was a mistake: the milestone is open again, and what was billed for it is given back by the next run. Returns the part's id.

    Raises: NotFound, Invalid (no reason), MilestoneNotOpen (not accepted).
    """
    part = _locked(part_id)
    ensure(bool(because.strip()), Invalid("Say why.", field="because"))
    ensure(part.accepted_on is not None, MilestoneNotOpen(f"{part.description} is not accepted.", field="part_id"))
    on = clock.today(part.item.contract.entity.time_zone)
    changed("contract", part.item.contract_id, before={"part_id": part.pk, "accepted_on": part.accepted_on}, after={"accepted_on": None, "because": because.strip()})  # fmt: skip
    part.accepted_on, part.accepted_by = None, ""
    part.save()
    _tell("milestone_reopened", part, actor, on, f"{part.description}: {because.strip()}")
    return part.pk


@action("contracts.drop_part")
def drop_part(*, actor: Actor, part_id: int, because: str) -> int:
    """A part will never be billed; returns its id. One that was accepted or billed is credited instead. Raises: NotFound, Invalid (no reason), Conflict."""
    part = _locked(part_id)
    ensure(bool(because.strip()), Invalid("Say why.", field="because"))
    is_open = part.accepted_on is None and _key(part.item, part.position) not in _charged(part.item)
    ensure(is_open, Conflict(f"{part.description} was accepted or billed.", field="part_id", remedy="Credit the invoice."))
    if part.dropped_on is None:
        part.dropped_on = clock.today(part.item.contract.entity.time_zone)
        part.save()
        _tell("contract_amended", part, actor, part.dropped_on, f"{part.description} will not be billed: {because.strip()}")
        changed(
            "contract",
            part.item.contract_id,
            after={"part_id": part.pk, "dropped_on": part.dropped_on, "because": because.strip()},
        )
    return part.pk


@action("contracts.ask_acceptance")
def ask_acceptance(*, actor: Actor, part_id: int, recipient: str) -> int:
    """Ask the customer by e-mail to accept a milestone on its link; returns the part's id. Raises: NotFound, Invalid (no address), MilestoneNotOpen."""
    part = _locked(part_id)
    ensure(part.due_on is None, NotFound(f"There is no milestone {part_id}.", field="part_id"))
    ensure(
        part.accepted_on is None and part.dropped_on is None,
        MilestoneNotOpen(f"{part.description} is not open.", field="part_id"),
    )
    address = recipient.strip()
    ensure("@" in address and " " not in address, Invalid(f"{address!r} is no e-mail address.", field="recipient"))
    part.asked_at = clock.now()
    part.save()
    outbox.enqueue(TOPIC, {"part_id": part.pk, "recipient": address}, key=f"{TOPIC}:{part.pk}:{part.asked_at:%Y%m%d%H%M%S}")
    _tell("acceptance_asked", part, actor, clock.today(part.item.contract.entity.time_zone), f"{part.description}, {address}")
    changed("contract", part.item.contract_id, after={"part_id": part.pk, "asked": address})
    return part.pk


def drop_open(contract: Contract, on: date) -> int:
    """A contract ends: what was not accepted, and what falls due from that day on, is not billed any more. Returns how many parts."""
    open_parts = Q(item__contract=contract, accepted_on__isnull=True, dropped_on__isnull=True)
    return SchedulePart.objects.filter(open_parts & (Q(due_on__gte=on) | Q(due_on__isnull=True))).update(dropped_on=on)


def by_token(token: str) -> SchedulePart:
    """The milestone of a link. Raises: NotFound, which does not say whether there ever was one."""
    found = SchedulePart.objects.select_related("item__contract__entity", "item__contract__customer").filter(token=token).first() if token else None  # fmt: skip
    if found is None:
        raise NotFound("There is nothing to accept at this address.", remedy="Ask the people who sent it for a new link.")
    return found


def customer_behind(part: SchedulePart) -> Actor:
    """Whoever holds the link of a milestone."""
    return Actor(key=f"milestone:{part.pk}", name=f"link of {part.description}", permissions=VERBS)


def value_of(item: Item) -> int:
    """What an item that is sold once comes to, in minor units."""
    exact = item.quantity_micro * (item.unit_price_nano or 0)
    return (exact + 10**15 // 2) // 10**15


def parts_of(contracts: Any) -> pl.DataFrame:
    """The parts of the schedules of contracts: item_id, anchor, position, amount_minor, bill_on (null: a milestone that is open), part str; dropped ones, and those of
    items that were removed, have no bill_on either; expected_on (of an open milestone); is_dropped. One statement."""
    facts = {"item__anchor": "anchor", "item__starts_on": "_start", "item__ends_on": "_end"}
    rows = bulk.read(
        SchedulePart.objects.filter(item__contract__in=contracts)
        .order_by("item_id", "position")
        .values(
            "item_id", "position", "amount_minor", "due_on", "expected_on", "accepted_on", "dropped_on", "description", *facts
        )
    ).rename({**facts, "description": "part"})
    lasting = pl.col("_end").is_null() | (pl.col("_end") > pl.col("_start"))
    stands = lasting & pl.col("dropped_on").is_null()
    bills = pl.when(stands).then(pl.coalesce("due_on", "accepted_on"))
    return rows.select(
        "item_id",
        "anchor",
        "amount_minor",
        "part",
        position=pl.col("position").cast(pl.Int64),
        bill_on=bills,
        expected_on=pl.when(stands & bills.is_null()).then("expected_on"),
        is_dropped=pl.col("dropped_on").is_not_null(),
    )


def named(parts: pl.DataFrame) -> pl.DataFrame:
    """What the charges of parts are called: item_id, full_start, part."""
    return parts.select("item_id", "part", full_start=pl.col("anchor") + pl.duration(days=pl.col("position") - 1))


def of_contract(contract_id: int) -> list[dict[str, Any]]:
    """The parts of a contract's schedules in their order, with the invoice that billed each. Two statements."""
    parts = SchedulePart.objects.filter(item__contract_id=contract_id).order_by("item_id", "position").values(
        "id", "item_id", "item__description", "item__anchor", "position", "description", "amount_minor", "due_on", "expected_on", "token", "accepted_on", "accepted_by", "asked_at", "dropped_on"
    )[:500]  # fmt: skip
    billed = {
        (c["item_id"], c["full_start"]): c
        for c in Charge.objects.filter(item__contract_id=contract_id, item__parts__isnull=False, net_minor__gt=0)
        .exclude(invoice__state="void")
        .order_by("id")
        .distinct()
        .values("item_id", "full_start", "invoice_id", "invoice__number")[:1_000]
    }
    found = []
    for part in parts:
        charge = billed.get((part["item_id"], part["item__anchor"] + timedelta(days=part["position"] - 1)))
        state = "dropped" if part["dropped_on"] else "billed" if charge else "accepted" if part["accepted_on"] else "open"
        found.append({**part, "state": state, "invoice_id": charge["invoice_id"] if charge else None, "invoice": (charge["invoice__number"] or "draft") if charge else None})  # fmt: skip
    return found


def open_parts(*, entity_id: int, customer_ids: list[int] | None = None) -> QuerySet[SchedulePart]:
    """Parts that are not billed yet: dated ones of which no charge was made, and milestones that nobody accepted; the next day first."""
    whose = {} if customer_ids is None else {"item__contract__customer_id__in": customer_ids}
    rows = SchedulePart.objects.filter(
        item__contract__entity_id=entity_id, dropped_on__isnull=True, accepted_on__isnull=True, **whose
    )
    return rows.select_related("item__contract__customer").order_by("due_on", F("expected_on").asc(nulls_last=True), "id")


def off_their_items(*, entity_id: int | None = None) -> pl.DataFrame:
    """Items whose parts do not add up to what they come to: contract_id, contract, what, currency, agreed_minor, schedule_minor; items that were removed are left
    out. One statement."""
    whose = {} if entity_id is None else {"item__contract__entity_id": entity_id}
    lasting = Q(item__ends_on__isnull=True) | Q(item__ends_on__gt=F("item__starts_on"))
    facts = {
        "item__contract_id": "contract_id",
        "item__contract__number": "contract",
        "item__contract__currency": "currency",
        "item__description": "what",
    }
    sums = (
        SchedulePart.objects.filter(lasting, **whose)
        .order_by()
        .values("item_id", "item__quantity_micro", "item__unit_price_nano", *facts)
    )
    rows = bulk.read(sums.annotate(schedule_minor=Sum("amount_minor"))).rename(facts)
    told = rows.with_columns(
        agreed_minor=round_half_away(engine.by_quantity("item__")), schedule_minor=pl.col("schedule_minor").cast(pl.Int64)
    )
    return told.filter(pl.col("agreed_minor") != pl.col("schedule_minor")).sort("contract_id", "item_id")


# --- parts ---
def _ensure_sold_once(item: Item) -> None:
    is_once = item.ends_on is not None and item.ends_on == item.starts_on + timedelta(days=1) and item.unit == "day"
    ensure(
        is_once and item.meter_id is None and item.price_model == "per_unit" and not item.included_micro,
        Invalid(f"{item.description} is billed by periods or by use.", field="item_id", remedy="A schedule is for what is sold once: one price a unit, one day."),
    )  # fmt: skip
    ensure(item.unit_price_nano is not None, Invalid(f"{item.description} has no price.", field="item_id", remedy="Amend the contract with a price."))  # fmt: skip


def _key(item: Item, position: int) -> date:
    return item.anchor + timedelta(days=position - 1)


def _charged(item: Item) -> set[date]:
    """The places in the schedule that were ever billed, those of void documents too."""
    return set(Charge.objects.filter(item=item).values_list("full_start", flat=True))


def _locked(part_id: int) -> SchedulePart:
    found = (
        SchedulePart.objects.select_for_update(of=("self",)).select_related("item__contract__entity").filter(pk=part_id).first()
    )
    if found is None:
        raise NotFound(f"There is no part {part_id}.", field="part_id")
    return found


def _tell(kind: str, part: SchedulePart, actor: Actor, on: date, note: str) -> None:
    contract = part.item.contract
    timeline.record_one(
        kind, subject="contract", subject_id=contract.pk, actor=actor, on=on, customer_id=contract.customer_id, amount_minor=part.amount_minor, currency=contract.currency, note=note[:300]
    )  # fmt: skip
