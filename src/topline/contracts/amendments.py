"""Amendments: what changes in a contract from a day on, previewed by the same code, and renewals.

An amendment never edits an item: it ends items and begins others. What that gives back or charges is what the next bill run finds missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from django.db import transaction
from django.db.models import Max

from topline.catalog.models import Product
from topline.contracts import bills, items, pricing, schedules
from topline.contracts.credit import ensure_credit
from topline.contracts.dates import add_months
from topline.contracts.models import Amendment, Charge, Contract, Item, ItemChange
from topline.engine import periods
from topline.engine.rating.proration import MODES
from topline.kernel import clock, series
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market.models import Customer
from topline.market.prices import unit_price
from topline.timeline import actions as timeline

K = Amendment.Kind
PPM = 1_000_000


class ContractEnded(Conflict):
    """The contract has ended by that day."""

    code = "contract_ended"


@action("contracts.amend")
def amend(*, actor: Actor, contract_id: int, kind: str, on: date, because: str = "", mode: str = "", **said: Any) -> int:
    """Change a contract from a day on; returns the amendment's id. A day in the past is billed anew from that day: what was charged for it is given back.

    kind  add (item: as in `actions.add_contract`), remove (item_id), quantity (item_id, quantity_micro), price (item_id, of `pricing.PRICE` what is another; with
          price_model the whole price), plan (item_id, item: what takes its place), renew (months, uplift_ppm), co_term (until), terminate, pause (until, or none:
          until it is resumed), resume, transfer (customer_id)
    mode  when a quantity, price or plan changes and how its period is billed: one of `proration.MODES`; empty: as the contract says for its direction
    Raises: NotFound, ContractEnded, CustomerOnHold (something is added), Invalid.
    """
    contract = _locked(contract_id)
    ensure(
        kind in K.values, Invalid(f"There is no amendment {kind!r}.", field="kind", remedy=f"Use one of {', '.join(K.values)}.")
    )
    ensure(not mode or mode in MODES, Invalid(f"{mode!r} is no mode of proration.", field="mode", remedy=f"Use one of {', '.join(MODES)}."))  # fmt: skip
    ensure(not mode or kind in MOVING, Invalid("Only a quantity, a price and a plan have a mode.", field="mode", remedy="Leave it empty."))  # fmt: skip
    ensure(on >= contract.starts_on, Invalid(f"The contract begins on {contract.starts_on}.", field="on", remedy="Choose that day or a later one."))  # fmt: skip
    over = contract.ends_on is not None and on >= contract.ends_on
    ensure(
        kind == K.RENEW or not over,
        ContractEnded(f"{contract.number} ends on {contract.ends_on}.", field="on", remedy="Renew it first."),
    )
    ended_before, ends = contract.ends_on, dict(contract.items.values_list("id", "ends_on"))
    done = _VERBS[kind](contract, on, said | {"mode": mode})
    if kind == K.TERMINATE and (dropped := schedules.drop_open(contract, on)):
        done = replace(done, told=f"{done.told}, {dropped} parts of schedules are not billed any more")
    contract.save()
    made = Amendment.objects.create(
        contract=contract, kind=kind, effective_on=done.on or on, mode=done.mode, told=done.told[:300], facts=done.facts, because=because.strip()[:300], is_itemised=True, ended_before=ended_before,
        recorded_at=clock.now(), actor_key=actor.key,
    )  # fmt: skip
    ItemChange.objects.bulk_create(
        ItemChange(amendment=made, item_id=pk, is_new=pk not in ends, until_before=ends.get(pk))
        for pk, end in contract.items.order_by("id").values_list("id", "ends_on")
        if pk not in ends or ends[pk] != end
    )
    milestone = {K.TERMINATE: "contract_ended", K.RENEW: "contract_renewed"}.get(K(kind), "contract_amended")
    timeline.record_one(
        milestone, subject="contract", subject_id=contract.pk, actor=actor, on=done.on or on, customer_id=contract.customer_id, note=done.told
    )  # fmt: skip
    changed("contract", contract.pk, after={"kind": kind, "on": done.on or on, "told": done.told})
    return made.pk


def preview_amendment(**asked: Any) -> bills.Bill:
    """What the next bill run would charge and give back after an amendment: the amendment is made, billed and taken back again.

    asked    as for `amend`, and as_of: the day up to which is billed
    returns  what the run would write, and why it would leave the contract out (see `bills.Bill`)
    """
    as_of = asked.pop("as_of")

    def change() -> int:
        amend(**asked)
        return int(asked["contract_id"])

    return bills.tried(change, as_of=as_of, of=int(asked["contract_id"]))


def is_paused(contract_id: int) -> bool:
    """Whether a pause stopped something that nobody resumed. One statement."""
    return bool(_stopped(Contract.objects.get(pk=contract_id)))


def is_backdated(contract_id: int, on: date) -> bool:
    """Whether documents that are final bill days from this one on: an amendment then gives back and bills anew. One statement."""
    final = Charge.objects.filter(item__contract_id=contract_id, end__gt=on).exclude(invoice__state__in=["draft", "void"])
    return final.exists()


def shown_until(**asked: Any) -> date:
    """The day up to which a preview shows what an amendment does: today, or later the day on which it holds, is billed or lets a pause end, or up to which the contract was billed.

    asked  as for `amend`. The amendment is made and taken back again. Raises: as `amend`
    """
    with transaction.atomic():
        before = transaction.savepoint()
        made = Amendment.objects.select_related("contract__entity").get(pk=amend(**asked))
        items = Item.objects.filter(contract_id=made.contract_id, changes__amendment=made)
        charges = Charge.objects.filter(item__contract_id=made.contract_id)
        days: list[date | None] = [
            clock.today(made.contract.entity.time_zone),
            asked["on"],
            made.effective_on,
            items.aggregate(day=Max("held_until"))["day"],
            charges.aggregate(day=Max("run__as_of"))["day"],
            asked.get("until") if made.kind == K.PAUSE else None,
        ]
        transaction.savepoint_rollback(before)
    return max(day for day in days if day is not None)


@action("contracts.renew_due")
def renew_due(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Renew the contracts that renew by themselves and whose time for notice has passed; returns how many. A second time changes nothing."""
    due = Contract.objects.filter(entity_id=entity_id, renews_months__gt=0, ends_on__isnull=False).order_by("id")
    ids = [
        c.pk
        for c in due.only("id", "ends_on", "notice_days")
        if c.ends_on is not None and c.ends_on - timedelta(days=c.notice_days) <= as_of
    ]
    for contract_id in ids:
        contract = Contract.objects.get(pk=contract_id)
        amend(
            actor=actor,
            contract_id=contract_id,
            kind=K.RENEW,
            on=contract.ends_on or as_of,
            months=contract.renews_months,
            because="renews by itself",
        )
    return len(ids)


# --- parts ---
MOVING = (K.QUANTITY, K.PRICE, K.PLAN)  # what has a direction: up or down


@dataclass(frozen=True)
class Done:
    """What an amendment came to: in words, on another day than was said where its mode moves it, and what a later one must know."""

    told: str
    on: date | None = None
    mode: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def _locked(contract_id: int) -> Contract:
    found = Contract.objects.select_for_update().filter(pk=contract_id).first()
    if found is None:
        raise NotFound(f"There is no contract {contract_id}.", field="contract_id")
    return found


def _add(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    ensure_credit(contract.customer)
    given = {k: v for k, v in dict(said.get("item") or {}).items() if v is not None}
    made = items.make(contract, {"starts_on": on, "ends_on": contract.ends_on} | given)
    return Done(f"added {made.description}")


def _remove(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    item = items.one(contract, said.get("item_id"), on)
    items.end(item, on)
    return Done(f"removed {item.description}")


def _quantity(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    item = items.one(contract, said.get("item_id"), on)
    value = said.get("quantity_micro")
    if value is None:
        raise Invalid("Say the new quantity.", field="quantity_micro")
    told = f"{item.description}: {_units(value)} instead of {_units(item.quantity_micro)}"
    renewed = _renewed(contract, item)
    done = _replaced(item, on, said["mode"], {"quantity_micro": value}, told)
    for later in renewed:
        until = later.ends_on
        items.end(later, later.starts_on)
        items.again(later, later.starts_on, until, quantity_micro=value)
    return done


def _price(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    item = items.one(contract, said.get("item_id"), on)
    changes = {name: said[name] for name in pricing.PRICE if said.get(name) is not None}
    ensure(bool(changes), Invalid("Say the new price.", field="unit_price_nano"))
    if "price_model" in changes:  # another model: nothing of the old price stays
        changes = dict.fromkeys(pricing.PRICE) | {"tiers": []} | changes
    told = f"{item.description}: another price"
    if set(changes) == {"unit_price_nano"} and item.unit_price_nano is not None:
        new, old = (unit_price(nano, contract.currency) for nano in (changes["unit_price_nano"], item.unit_price_nano))
        told = f"{item.description}: {new} instead of {old} {contract.currency}"
    return _replaced(item, on, said["mode"], changes, told)


def _plan(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    item = items.one(contract, said.get("item_id"), on)
    given = {name: value for name, value in dict(said.get("item") or {}).items() if value is not None and name in items.KEPT}
    ensure(bool(given), Invalid("Say what takes its place.", field="item"))
    price = dict.fromkeys(pricing.PRICE) | {"tiers": [], "price_model": "per_unit"}
    plan = (
        {
            "product_id": None,
            "description": "",
            "alerts_minor": [],
            "bill_at_minor": [],
            "bill_every_minor": None,
            "by_peak": False,
            "meter_id": None,
        }
        | price
        | given
    )
    name = plan["description"] or (Product.objects.filter(pk=plan["product_id"]).values_list("name", flat=True).first() or "another plan")  # fmt: skip
    return _replaced(item, on, said["mode"], plan, f"{item.description} became {name}")


def _units(micro: int) -> str:
    """Millionths of a unit as people write them."""
    return f"{Decimal(micro).scaleb(-6).normalize():,f}"


def _replaced(item: Item, on: date, mode: str, changes: dict[str, Any], told: str) -> Done:
    """The item ended and made again with what changed, when and as the mode of proration says (see `engine.rating.proration.change`)."""
    ensure(not item.parts.exists(), Invalid(f"{item.description} is billed by a schedule that adds up to it.", field="item_id", remedy="Remove it and add another with a schedule of its own."))  # fmt: skip
    old = {name: getattr(item, name) for name in items.KEPT}
    mode = mode or _mode_of(item.contract, old, old | changes)
    start, end = items.period(item, max(on, item.starts_on))
    moved = end if mode == "at_period_end" and on > start else on
    ensure(item.ends_on is None or moved < item.ends_on, Invalid(f"{item.description} ends on {item.ends_on}, before its next period.", field="on", remedy="Choose another mode."))  # fmt: skip
    held = end if mode == "with_next_invoice" and on > start else None
    if mode == "restart":
        changes = changes | {"anchor": moved, "day": None}
    until, first = item.ends_on, max(moved, item.starts_on)
    items.end(item, moved, held_until=held)
    items.again(item, first, until, **changes, held_until=held)
    return Done(told, on=moved, mode=mode)


def _mode_of(contract: Contract, old: dict[str, Any], new: dict[str, Any]) -> str:
    before, after = (items.yearly_minor(row, contract.currency) for row in (old, new))
    if before is None or after is None or before == after:
        return "invoice_now"
    return contract.on_upgrade if after > before else contract.on_downgrade


def _renew(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    months, uplift = int(said.get("months") or 0), int(said.get("uplift_ppm") or 0)
    ensure(1 <= months <= 1_200, Invalid("A contract renews by 1 to 1,200 months.", field="months"))
    ensure(uplift > -PPM, Invalid("A price does not fall by all of it.", field="uplift_ppm"))
    if contract.ends_on is None:
        raise Invalid(f"{contract.number} has no end.", field="contract_id", remedy="It goes on by itself.")
    old = contract.ends_on
    contract.ends_on = add_months(old, months)
    for item in [i for i in contract.items.order_by("id") if i.ends_on == old and pricing.is_priced(i) and i.starts_on < old]:
        items.again(item, old, contract.ends_on, **pricing.raised(vars(item), uplift))
    return Done(f"renewed until {contract.ends_on}" + (f", prices by {uplift / 10_000:+.2f} %" if uplift else ""))


def _co_term(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    until = said.get("until")
    if not isinstance(until, date) or until <= on:
        raise Invalid("Say the day on which it shall end, after the day of the change.", field="until")
    for item in items.running(contract, on):
        if item.ends_on is None or item.ends_on > until:
            items.end(item, until)
        elif item.ends_on == contract.ends_on and item.ends_on < until:
            items.again(item, item.ends_on, until)
    contract.ends_on = until
    return Done(f"ends with others on {until}")


def _terminate(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    for item in items.running(contract, on):
        items.end(item, on)
    contract.ends_on, contract.renews_months = on, 0
    return Done(f"ends on {on}")


def _pause(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    until = said.get("until")
    if until is not None and (not isinstance(until, date) or until <= on):
        raise Invalid("A pause ends on a later day.", field="until", remedy="Say the first day that is billed again, or nothing.")
    ensure(until is None or contract.ends_on is None or until < contract.ends_on, Invalid("The pause would last until the end; terminate it instead.", field="until"))  # fmt: skip
    stopped, running = [], items.running(contract, on)
    ensure(bool(running), Invalid(f"Nothing of {contract.number} is billed from {on} on: it is paused already, or all of it is over.", field="on", remedy="Resume it first, or choose an earlier day."))  # fmt: skip
    for item in running:
        end, new = item.ends_on, None
        if until is not None and (end is None or end > until):
            new = items.again(item, max(until, item.starts_on), end)
        items.end(item, on)
        stopped.append({"item_id": item.pk, "again_id": new.pk if new else None, "ends_on": None if end in (None, contract.ends_on) else str(end)})  # fmt: skip
    return Done(f"paused until {until}" if until else "paused until it is resumed", facts={"stopped": stopped})


def _resume(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    paused = _stopped(contract)
    if not paused:
        raise Invalid(f"{contract.number} is not paused.", field="kind", remedy="Add the items that shall be billed.")
    since = max(s["since"] for s in paused)
    ensure(on >= since, Invalid(f"It is paused from {since} on.", field="on", remedy="Choose a later day."))
    runs_again = dict(contract.items.filter(pk__in=[s["again_id"] for s in paused if s["again_id"]], starts_on__lte=on).values_list("id", "starts_on"))  # fmt: skip
    left = [s for s in paused if s["again_id"] not in runs_again]
    ensure(bool(left), Invalid(f"It is billed again since {max(runs_again.values(), default=on)}.", field="on"))
    for stopped in left:
        again = contract.items.filter(pk=stopped["again_id"]).first() if stopped["again_id"] else None
        if again is not None:
            items.end(again, again.starts_on)
        item = contract.items.get(pk=stopped["item_id"])
        until = date.fromisoformat(stopped["ends_on"]) if stopped["ends_on"] else contract.ends_on
        if until is None or until > on:
            items.again(item, max(on, item.starts_on), until)
    return Done(f"resumed on {on}")


def _stopped(contract: Contract) -> list[dict[str, Any]]:
    """What pauses stopped that nobody resumed: item_id, again_id (what is billed again after it by itself, else null), ends_on, since. What a later pause stopped counts once."""
    asked = contract.amendments.filter(kind__in=[K.PAUSE, K.RESUME]).order_by("id")
    found: list[dict[str, Any]] = []
    for amendment in asked:
        rows = [{**row, "since": amendment.effective_on} for row in amendment.facts.get("stopped", [])]
        found = [] if amendment.kind == K.RESUME else found + rows
    ids = {row["item_id"] for row in found}
    return [row for row in found if row["again_id"] not in ids]


def _transfer(contract: Contract, on: date, said: dict[str, Any]) -> Done:
    buyer = Customer.objects.filter(pk=int(said.get("customer_id") or 0), merged_into__isnull=True).first()
    if buyer is None:
        raise NotFound(f"There is no customer {said.get('customer_id')}.", field="customer_id")
    ensure(buyer.pk != contract.customer_id, Invalid("It is theirs already.", field="customer_id"))
    ensure(all(row["again_id"] for row in _stopped(contract)), Invalid(f"{contract.number} is paused: what is paused would not go with it.", field="kind", remedy="Resume it first."))  # fmt: skip
    kept = (
        "entity_id",
        "currency",
        "terms",
        "ends_on",
        "renews_months",
        "notice_days",
        "on_upgrade",
        "on_downgrade",
        "month_days",
        "late_usage",
    )
    head = {name: getattr(contract, name) for name in kept}
    number = series.take(entity_id=contract.entity_id, code="contract", count=1, prefix="CT-")[0]
    made = Contract.objects.create(number=number, customer=buyer, bill_to=buyer, starts_on=on, created_at=clock.now(), **head)
    taken: dict[int, Item] = {}
    for item in items.running(contract, on):
        until, start = item.ends_on, max(on, item.starts_on)
        items.end(item, on)
        copy = items.again(item, start, until)
        copy.contract = made
        copy.save(update_fields=["contract"])
        taken |= dict.fromkeys(_line_of(item), copy)
    _take_discounts(contract, made, on, taken)
    contract.ends_on, contract.renews_months = on, 0
    return Done(f"went to {buyer.name} as {made.number}")


def _renewed(contract: Contract, item: Item) -> list[Item]:
    """The same item in terms that are renewed already, in the same quantity."""
    if item.ends_on is None:
        return []
    first = _line_of(item)[-1]
    return [i for i in items.running(contract, item.ends_on) if i.starts_on >= item.ends_on and i.quantity_micro == item.quantity_micro and _line_of(i)[-1] == first]  # fmt: skip


def _line_of(item: Item | None) -> list[int]:
    """An item and those whose place it took, one after the other."""
    found = []
    while item is not None:
        found.append(item.pk)
        item = item.replaces
    return found


def _take_discounts(contract: Contract, made: Contract, on: date, taken: dict[int, Item]) -> None:
    """The discounts of a contract that still hold go with its items. A share goes on at once; an amount of a period from the next one that begins, since this one's was
    given already; what is taken once, and began before, stays behind."""
    for discount in contract.discounts.order_by("id"):
        if (discount.ended_on is not None and discount.ended_on <= on) or (discount.unit == "once" and discount.starts_on < on):
            continue
        if discount.item_id is not None and discount.item_id not in taken:
            continue
        starts_on, left = discount.starts_on, discount.periods
        if discount.amount_minor is not None and starts_on < on:
            grid = pl.DataFrame({"anchor": [starts_on], "unit": [discount.unit], "every": [discount.every], "on": [on]}).with_columns(day=pl.lit(None, dtype=pl.Int64))  # fmt: skip
            gone = int(grid.select(periods.place(pl.col("on") - pl.duration(days=1)) + 1).item())
            starts_on = grid.select(periods.boundary(pl.lit(gone))).item()
            left = None if left is None else left - gone
        if left is not None and left < 1:
            continue
        if discount.item_id is not None:
            discount.item = taken[discount.item_id]
        discount.pk, discount.contract, discount.starts_on, discount.periods, discount.created_at = (
            None,
            made,
            starts_on,
            left,
            clock.now(),
        )
        discount.save(force_insert=True)


_VERBS: dict[str, Callable[[Contract, date, dict[str, Any]], Done]] = {
    K.ADD: _add, K.REMOVE: _remove, K.QUANTITY: _quantity, K.PRICE: _price, K.PLAN: _plan, K.RENEW: _renew, K.CO_TERM: _co_term, K.TERMINATE: _terminate, K.PAUSE: _pause, K.RESUME: _resume,
    K.TRANSFER: _transfer,
}  # fmt: skip
