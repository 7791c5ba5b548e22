"""Verbs of contracts: make one of an accepted quote or by hand, amend it from a day on, renew it, end it.

An amendment never edits an item: it ends items and begins others. What that gives back or charges is what the next bill run finds missing.
"""

from __future__ import annotations

import calendar
from datetime import date
from typing import Any

import polars as pl
from django.db import transaction

from topline.books.models import Entity
from topline.catalog.models import Product
from topline.contracts import bills, pricing, schedules
from topline.contracts.models import Amendment, Contract, Item, ItemChange
from topline.kernel import clock, money, series
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market.models import Customer
from topline.metering.models import Meter
from topline.quotes.models import Quote
from topline.timeline import actions as timeline

K = Amendment.Kind
UNITS = ("day", "week", "month", "quarter", "year")
PPM = 1_000_000
MAX_ITEMS = 500
MAX_ALERTS = 10


class QuoteNotAccepted(Conflict):
    """Only an accepted quote becomes a contract."""

    code = "quote_not_accepted"


class ContractEnded(Conflict):
    """The contract has ended by that day."""

    code = "contract_ended"


class CustomerOnHold(Conflict):
    """The customer gets no more credit for now."""

    code = "customer_on_hold"


@action("contracts.make_contract")
def make_contract(*, actor: Actor, quote_id: int, renews_months: int = 0, notice_days: int = 0, purchase_order: str = "") -> int:
    """Make the contract of an accepted quote; returns its id. Asked again, it answers with the one that is there.

    Each line becomes an item whose periods add up to the line's net to the cent. Raises: NotFound, QuoteNotAccepted, CustomerOnHold, Invalid.
    """
    quote = Quote.objects.select_for_update().filter(pk=quote_id).first()
    if quote is None:
        raise NotFound(f"There is no quote {quote_id}.", field="quote_id")
    known = Contract.objects.filter(quote_id=quote_id).first()
    if known is not None:
        return known.pk
    ensure(quote.state == Quote.State.ACCEPTED, QuoteNotAccepted(f"Quote {quote.number}/{quote.version} is {quote.state}.", field="quote_id", remedy="Wait until the customer has accepted it."))  # fmt: skip
    once = quote.bill_every == "once"
    rows: list[dict[str, Any]] = []
    for line in quote.lines.select_related("product").order_by("position"):
        starts = add_months(quote.starts_on, line.begins_after_months)
        unit = "day" if once else quote.bill_every
        count = 1 if once else line.periods
        per_period = (line.net_minor * 10**9 * PPM + line.quantity_micro * count // 2) // (line.quantity_micro * count)
        ends = _days_on(starts, 1) if once else add_months(starts, _MONTHS[unit] * count)
        rows.append({"product_id": line.product_id, "description": line.description or line.product.name, "quantity_micro": line.quantity_micro, "unit_price_nano": per_period, "starts_on": starts, "ends_on": ends, "unit": unit})  # fmt: skip
    head = {"customer_id": quote.customer_id, "currency": quote.currency, "terms": quote.terms, "starts_on": quote.starts_on, "quote_id": quote.pk,
            "ends_on": max([add_months(quote.starts_on, quote.months), *(r["ends_on"] for r in rows)])}  # fmt: skip
    return _make(
        actor,
        quote.entity_id,
        {**head, "renews_months": renews_months, "notice_days": notice_days, "purchase_order": purchase_order},
        rows,
    )


@action("contracts.add_contract")
def add_contract(
    *, actor: Actor, entity_id: int, customer_id: int, currency: str, starts_on: date, items: list[dict[str, Any]], ends_on: date | None = None, terms: str = "net 30",
    purchase_order: str = "", bill_to_id: int | None = None, renews_months: int = 0, notice_days: int = 0,
) -> int:  # fmt: skip
    """Write down a contract that was agreed elsewhere; returns its id.

    items  description or product_id, quantity_micro, unit_price_nano (of a period; null: not agreed yet), unit (of UNITS); optional every, in_advance, day,
           starts_on, ends_on (those of the contract), tax_class, meter_id, alerts_minor, and of `pricing.PRICE` what the price model reads
    Raises: NotFound, CustomerOnHold, Invalid (nothing to bill, unknown unit, days, price or quantity below zero, currency).
    """
    money.ensure_currency(currency)
    ensure(Entity.objects.filter(pk=entity_id).exists(), NotFound(f"There is no company {entity_id}.", field="entity_id"))
    ensure(
        0 < len(items) <= MAX_ITEMS, Invalid("A contract bills something.", field="items", remedy=f"Add 1 to {MAX_ITEMS} items.")
    )
    rows = [{"starts_on": starts_on, "ends_on": ends_on} | {k: v for k, v in item.items() if v is not None or k == "unit_price_nano"} for item in items]  # fmt: skip
    head = {"customer_id": customer_id, "currency": currency, "terms": terms, "starts_on": starts_on, "ends_on": ends_on, "bill_to_id": bill_to_id,
            "renews_months": renews_months, "notice_days": notice_days, "purchase_order": purchase_order}  # fmt: skip
    return _make(actor, entity_id, head, rows)


@action("contracts.amend")
def amend(*, actor: Actor, contract_id: int, kind: str, on: date, because: str = "", **said: Any) -> int:
    """Change a contract from a day on; returns the amendment's id. A day in the past is billed anew from that day: what was charged for it is given back.

    kind  add (item: as in add_contract), remove (item_id), quantity (item_id, quantity_micro), price (item_id, of `pricing.PRICE` what is another; with
          price_model the whole price), renew (months,
          uplift_ppm), terminate, pause (until), transfer (customer_id)
    Raises: NotFound, ContractEnded, CustomerOnHold (something is added), Invalid.
    """
    contract = _locked(contract_id)
    ensure(
        kind in K.values, Invalid(f"There is no amendment {kind!r}.", field="kind", remedy=f"Use one of {', '.join(K.values)}.")
    )
    ensure(on >= contract.starts_on, Invalid(f"The contract begins on {contract.starts_on}.", field="on", remedy="Choose that day or a later one."))  # fmt: skip
    over = contract.ends_on is not None and on >= contract.ends_on
    ensure(
        kind == K.RENEW or not over,
        ContractEnded(f"{contract.number} ends on {contract.ends_on}.", field="on", remedy="Renew it first."),
    )
    ended_before, ends = contract.ends_on, dict(contract.items.values_list("id", "ends_on"))
    told = _VERBS[kind](contract, on, said)
    if kind == K.TERMINATE and (dropped := schedules.drop_open(contract, on)):
        told += f", {dropped} parts of schedules are not billed any more"
    contract.save()
    made = Amendment.objects.create(contract=contract, kind=kind, effective_on=on, told=told[:300], because=because.strip()[:300], is_itemised=True, ended_before=ended_before, recorded_at=clock.now(), actor_key=actor.key)  # fmt: skip
    ItemChange.objects.bulk_create(
        ItemChange(amendment=made, item_id=pk, is_new=pk not in ends, until_before=ends.get(pk))
        for pk, end in contract.items.order_by("id").values_list("id", "ends_on")
        if pk not in ends or ends[pk] != end
    )
    _tell(
        "contract_ended" if kind == K.TERMINATE else "contract_renewed" if kind == K.RENEW else "contract_amended",
        contract,
        actor,
        on,
        told,
    )
    changed("contract", contract.pk, after={"kind": kind, "on": on, "told": told})
    return made.pk


@action("contracts.change_contract")
def change_contract(*, actor: Actor, contract_id: int, changes: dict[str, Any]) -> int:
    """Change what is no amendment: purchase order, terms, who pays, how it renews; returns the contract's id. Raises: NotFound, Invalid."""
    contract = _locked(contract_id)
    unknown = sorted(set(changes) - {"purchase_order", "terms", "bill_to_id", "renews_months", "notice_days"})
    ensure(not unknown, Invalid(f"{', '.join(unknown)} cannot be changed.", field=unknown[0] if unknown else ""))
    before = {name: getattr(contract, name) for name in changes}
    for name, value in changes.items():
        setattr(contract, name, value)
    _check_head(contract)
    contract.save()
    changed("contract", contract.pk, before=before, after=changes)
    return contract.pk


def preview_amendment(**asked: Any) -> pl.DataFrame:
    """What the next bill run would charge and give back after an amendment: the amendment is made, billed and taken back again.

    asked    as for `amend`, and as_of: the day up to which is billed
    returns  the lines of the run (see `bills.Bill`)
    """
    as_of = asked.pop("as_of")
    with transaction.atomic():
        before = transaction.savepoint()
        amend(**asked)
        contract = Contract.objects.select_related("entity").get(pk=asked["contract_id"])
        found = bills.compute(Contract.objects.filter(pk=contract.pk), entity=contract.entity, as_of=as_of, on=as_of).lines
        transaction.savepoint_rollback(before)
    return found


@action("contracts.renew_due")
def renew_due(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Renew the contracts that renew by themselves and whose time for notice has passed; returns how many. A second time changes nothing."""
    due = Contract.objects.filter(entity_id=entity_id, renews_months__gt=0, ends_on__isnull=False).order_by("id")
    ids = [
        c.pk
        for c in due.only("id", "ends_on", "notice_days")
        if c.ends_on is not None and _days_on(c.ends_on, -c.notice_days) <= as_of
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


def add_months(day: date, months: int) -> date:
    """The same day some months later; the last day of a shorter month."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


# --- parts ---
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def _make(actor: Actor, entity_id: int, head: dict[str, Any], rows: list[dict[str, Any]]) -> int:
    number = series.take(entity_id=entity_id, code="contract", count=1, prefix="CT-")[0]
    buyer = Customer.objects.filter(pk=head["customer_id"], merged_into__isnull=True).first()
    if buyer is None:
        raise NotFound(f"There is no customer {head['customer_id']}.", field="customer_id")
    _ensure_credit(buyer)
    contract = Contract(entity_id=entity_id, number=f"{number}", created_at=clock.now(), **{**head, "bill_to_id": head.get("bill_to_id") or buyer.pk})  # fmt: skip
    _check_head(contract)
    contract.save()
    for row in rows:
        _item(contract, row)
    _tell("contract_signed", contract, actor, contract.starts_on, f"{contract.number}")
    changed("contract", contract.pk, after={"number": contract.number, "customer_id": contract.customer_id, "items": len(rows)})
    return contract.pk


def _ensure_credit(customer: Customer) -> None:
    ensure(
        not customer.is_on_hold,
        CustomerOnHold(
            f"{customer.name} is on credit hold: nothing new is agreed on credit.", field="customer_id",
            remedy="Release the hold on the customer's page in Collections first; what runs is billed as before.",
        ),
    )  # fmt: skip


def _check_head(contract: Contract) -> None:
    ensure(
        contract.ends_on is None or contract.ends_on >= contract.starts_on, Invalid("It ends before it begins.", field="ends_on")
    )
    ensure(
        contract.renews_months >= 0 and contract.notice_days >= 0,
        Invalid("Months and days are zero or more.", field="renews_months"),
    )
    ensure(Customer.objects.filter(pk=contract.bill_to_id, merged_into__isnull=True).exists(), NotFound(f"There is no customer {contract.bill_to_id}.", field="bill_to_id"))  # fmt: skip


def _item(contract: Contract, row: dict[str, Any], *, replaces: Item | None = None) -> Item:
    product = Product.objects.filter(pk=row["product_id"]).first() if row.get("product_id") else None
    ensure(not row.get("product_id") or product is not None, NotFound("There is no such product.", field="product_id"))
    text = str(row.get("description") or (product.name if product else "")).strip()
    ensure(bool(text), Invalid("An item says what is billed.", field="description", remedy="Name a product or describe it."))
    ensure(
        row["unit"] in UNITS, Invalid(f"{row['unit']!r} is no period.", field="unit", remedy=f"Use one of {', '.join(UNITS)}.")
    )
    ensure(row["quantity_micro"] >= 0, Invalid("A quantity is zero or more.", field="quantity_micro"))
    meter_id = row.get("meter_id")
    meter = Meter.objects.filter(pk=meter_id).first() if meter_id else None
    ensure(not meter_id or meter is not None, NotFound("There is no such meter.", field="meter_id"))
    pricing.ensure_price(row, method=meter.method if meter else None)
    least, most = row.get("minimum_minor"), row.get("maximum_minor")
    ensure(meter_id is not None or (least is None and most is None), Invalid("A least and a most amount are for what is metered.", field="minimum_minor", remedy="Name the meter."))  # fmt: skip
    ensure(min(least or 0, most or 0) >= 0, Invalid("A least and a most amount are zero or more.", field="minimum_minor"))
    ensure(least is None or most is None or most >= least, Invalid("The most is less than the least.", field="maximum_minor"))
    alerts = sorted(set(row.get("alerts_minor") or []))
    ensure(
        not alerts or meter_id is not None,
        Invalid("Amounts to be told at are for what is metered.", field="alerts_minor", remedy="Name the meter."),
    )
    ensure(
        len(alerts) <= MAX_ALERTS and all(a > 0 for a in alerts),
        Invalid(f"At most {MAX_ALERTS} amounts above zero.", field="alerts_minor"),
    )
    ensure(
        row["ends_on"] is None or row["ends_on"] >= row["starts_on"], Invalid(f"{text} ends before it begins.", field="ends_on")
    )
    ensure(int(row.get("every", 1)) >= 1, Invalid("A period is one or more units.", field="every"))
    return Item.objects.create(
        contract=contract, product=product, description=text[:300], quantity_micro=row["quantity_micro"], starts_on=row["starts_on"], ends_on=row["ends_on"],
        in_advance=meter_id is None and row.get("in_advance", True), meter=meter, alerts_minor=alerts, anchor=row.get("anchor") or row["starts_on"], unit=row["unit"], every=row.get("every", 1), day=row.get("day"), tax_class=row.get("tax_class", "standard"), replaces=replaces,
        **pricing.price_of(row),
    )  # fmt: skip


def _again(item: Item, on: date, until: date | None, **changes: Any) -> Item:
    """The item once more from a day on, on the same grid, with what changed."""
    row = {name: getattr(item, name) for name in ("product_id", "description", "quantity_micro", "in_advance", "anchor", "unit", "every", "day", "tax_class", "meter_id", "alerts_minor", *pricing.PRICE)}  # fmt: skip
    return _item(item.contract, row | changes | {"starts_on": on, "ends_on": until}, replaces=item)


def _end(item: Item, on: date) -> None:
    item.ends_on = max(on, item.starts_on)
    item.save(update_fields=["ends_on"])


def _running(contract: Contract, on: date) -> list[Item]:
    """Items that bill something on or after a day."""
    return [i for i in contract.items.order_by("id") if i.ends_on is None or i.ends_on > max(on, i.starts_on)]


def _one(contract: Contract, said: dict[str, Any], on: date) -> Item:
    found = next((i for i in _running(contract, on) if i.pk == said.get("item_id")), None)
    if found is None:
        raise NotFound(f"{contract.number} has no item {said.get('item_id')} that runs on {on}.", field="item_id")
    return found


def _add(contract: Contract, on: date, said: dict[str, Any]) -> str:
    _ensure_credit(contract.customer)
    made = _item(contract, {"starts_on": on, "ends_on": contract.ends_on} | {k: v for k, v in dict(said.get("item") or {}).items() if v is not None})  # fmt: skip
    return f"added {made.description}"


def _remove(contract: Contract, on: date, said: dict[str, Any]) -> str:
    item = _one(contract, said, on)
    _end(item, on)
    return f"removed {item.description}"


def _replace(name: str, words: str) -> Any:
    def verb(contract: Contract, on: date, said: dict[str, Any]) -> str:
        item = _without_schedule(_one(contract, said, on))
        value = said.get(name)
        if value is None:
            raise Invalid(f"Say the new {words}.", field=name)
        until, start = item.ends_on, max(on, item.starts_on)
        _end(item, on)
        _again(item, start, until, **{name: value})
        return f"{item.description}: another {words}"

    return verb


def _without_schedule(item: Item) -> Item:
    """An item whose parts would no longer add up to it is not changed. Raises: Invalid."""
    ensure(not item.parts.exists(), Invalid(f"{item.description} is billed by a schedule that adds up to it.", field="item_id", remedy="Remove it and add another with a schedule of its own."))  # fmt: skip
    return item


def _price(contract: Contract, on: date, said: dict[str, Any]) -> str:
    changes = {name: said[name] for name in pricing.PRICE if said.get(name) is not None}
    ensure(bool(changes), Invalid("Say the new price.", field="unit_price_nano"))
    if "price_model" in changes:  # another model: nothing of the old price stays
        changes = dict.fromkeys(pricing.PRICE) | {"tiers": []} | changes
    item = _without_schedule(_one(contract, said, on))
    until, start = item.ends_on, max(on, item.starts_on)
    _end(item, on)
    _again(item, start, until, **changes)
    return f"{item.description}: another price"


def _renew(contract: Contract, on: date, said: dict[str, Any]) -> str:
    months, uplift = int(said.get("months") or 0), int(said.get("uplift_ppm") or 0)
    ensure(1 <= months <= 1_200, Invalid("A contract renews by 1 to 1,200 months.", field="months"))
    ensure(uplift > -PPM, Invalid("A price does not fall by all of it.", field="uplift_ppm"))
    if contract.ends_on is None:
        raise Invalid(f"{contract.number} has no end.", field="contract_id", remedy="It goes on by itself.")
    old = contract.ends_on
    contract.ends_on = add_months(old, months)
    for item in [i for i in contract.items.order_by("id") if i.ends_on == old and pricing.is_priced(i) and i.starts_on < old]:
        _again(item, old, contract.ends_on, **pricing.raised(vars(item), uplift))
    return f"renewed until {contract.ends_on}" + (f", prices by {uplift / 10_000:+.2f} %" if uplift else "")


def _terminate(contract: Contract, on: date, said: dict[str, Any]) -> str:
    for item in _running(contract, on):
        _end(item, on)
    contract.ends_on, contract.renews_months = on, 0
    return f"ends on {on}"


def _pause(contract: Contract, on: date, said: dict[str, Any]) -> str:
    until = said.get("until")
    if not isinstance(until, date) or until <= on:
        raise Invalid("A pause ends on a later day.", field="until", remedy="Say the first day that is billed again.")
    ensure(contract.ends_on is None or until < contract.ends_on, Invalid("The pause would last until the end; terminate it instead.", field="until"))  # fmt: skip
    for item in _running(contract, on):
        end = item.ends_on
        if end is None or end > until:
            _again(item, max(until, item.starts_on), end)
        _end(item, on)
    return f"paused until {until}"


def _transfer(contract: Contract, on: date, said: dict[str, Any]) -> str:
    buyer = Customer.objects.filter(pk=int(said.get("customer_id") or 0), merged_into__isnull=True).first()
    if buyer is None:
        raise NotFound(f"There is no customer {said.get('customer_id')}.", field="customer_id")
    ensure(buyer.pk != contract.customer_id, Invalid("It is theirs already.", field="customer_id"))
    head = {
        name: getattr(contract, name) for name in ("entity_id", "currency", "terms", "ends_on", "renews_months", "notice_days")
    }
    number = series.take(entity_id=contract.entity_id, code="contract", count=1, prefix="CT-")[0]
    made = Contract.objects.create(number=number, customer=buyer, bill_to=buyer, starts_on=on, created_at=clock.now(), **head)
    for item in _running(contract, on):
        until, start = item.ends_on, max(on, item.starts_on)
        _end(item, on)
        copy = _again(item, start, until)
        copy.contract = made
        copy.save(update_fields=["contract"])
    contract.ends_on, contract.renews_months = on, 0
    return f"went to {buyer.name} as {made.number}"


_VERBS: dict[str, Any] = {
    K.ADD: _add, K.REMOVE: _remove, K.QUANTITY: _replace("quantity_micro", "quantity"), K.PRICE: _price, K.RENEW: _renew, K.TERMINATE: _terminate, K.PAUSE: _pause,
    K.TRANSFER: _transfer,
}  # fmt: skip


def _locked(contract_id: int) -> Contract:
    found = Contract.objects.select_for_update().filter(pk=contract_id).first()
    if found is None:
        raise NotFound(f"There is no contract {contract_id}.", field="contract_id")
    return found


def _days_on(day: date, count: int) -> date:
    return date.fromordinal(day.toordinal() + count)


def _tell(kind: str, contract: Contract, actor: Actor, on: date, note: str) -> None:
    timeline.record_one(
        kind, subject="contract", subject_id=contract.pk, actor=actor, on=on, customer_id=contract.customer_id, note=note
    )
