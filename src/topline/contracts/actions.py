"""Verbs of contracts: make one of an accepted quote or by hand, and change what is no amendment."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from topline.books.models import Entity
from topline.catalog.models import Product, Promotion
from topline.contracts import bills, rerating
from topline.contracts import items as lines
from topline.contracts.credit import ensure_credit
from topline.contracts.dates import add_months
from topline.contracts.models import Contract, Discount
from topline.engine.rating.proration import MODES
from topline.engine.terms import parse_terms
from topline.kernel import clock, money, series
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market.models import Customer
from topline.quotes.models import Quote, QuotePriceStep
from topline.timeline import actions as timeline

PPM = 1_000_000
MAX_ITEMS = 500
YEARS = range(1970, 2200)
FACTS = {
    "purchase_order",
    "terms",
    "bill_to_id",
    "renews_months",
    "notice_days",
    "on_upgrade",
    "on_downgrade",
    "month_days",
    "late_usage",
}


class QuoteNotAccepted(Conflict):
    """Only an accepted quote becomes a contract."""

    code = "quote_not_accepted"


@action("contracts.make_contract")
def make_contract(*, actor: Actor, quote_id: int, renews_months: int = 0, notice_days: int = 0, purchase_order: str = "") -> int:
    """Make the contract of an accepted quote; returns its id. Asked again, it answers with the one that is there.

    Each line becomes an item whose periods, less its discount, add up to the line's net to the cent: a percentage off the first periods stays one of the
    contract. Raises: NotFound, QuoteNotAccepted, CustomerOnHold, Invalid.
    """
    quote = Quote.objects.select_for_update().filter(pk=quote_id).first()
    if quote is None:
        raise NotFound(f"There is no quote {quote_id}.", field="quote_id")
    known = Contract.objects.filter(quote_id=quote_id).first()
    if known is not None:
        return known.pk
    ensure(quote.state == Quote.State.ACCEPTED, QuoteNotAccepted(f"Quote {quote.number}/{quote.version} is {quote.state}.", field="quote_id", remedy="Wait until the customer has accepted it."))  # fmt: skip
    once = quote.bill_every == "once"
    free, lower = _free_periods(quote), _first_periods(quote)
    rows: list[dict[str, Any]] = []
    for line in quote.lines.select_related("product").order_by("position"):
        starts = add_months(quote.starts_on, line.begins_after_months)
        unit = "day" if once else quote.bill_every
        count = 1 if once else line.periods
        gift = min(free.get(line.position, 0), count - 1)  # the free periods come first, and cost nothing by being a trial
        count -= gift
        per_period, off = _nano(line.net_minor, line.quantity_micro, count), None
        if line.position in lower and not once:
            code, ppm, times = lower[line.position]
            whole = _undiscounted(line.net_minor, line.quantity_micro, count, ppm, times) if times < count else None
            per_period, off = (whole, (code, ppm, times)) if whole is not None else (per_period, None)
        costs = add_months(starts, _MONTHS[unit] * gift) if gift else starts
        ends = _days_on(starts, 1) if once else add_months(starts, _MONTHS[unit] * (count + gift))
        trial: dict[str, Any] = {"free_until": costs, "anchor": costs, "day": starts.day} if gift else {}
        trial |= (
            {"off": {"name": off[0], "share_ppm": off[1], "periods": off[2], "starts_on": costs, "unit": unit}} if off else {}
        )
        rows.append(trial | {"product_id": line.product_id, "description": line.description or line.product.name, "quantity_micro": line.quantity_micro, "unit_price_nano": per_period, "starts_on": starts, "ends_on": ends, "unit": unit})  # fmt: skip
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
    purchase_order: str = "", bill_to_id: int | None = None, renews_months: int = 0, notice_days: int = 0, on_upgrade: str = "invoice_now", on_downgrade: str = "invoice_now",
    month_days: int | None = None, late_usage: str = "",
) -> int:  # fmt: skip
    """Write down a contract that was agreed elsewhere; returns its id.

    items  description or product_id, quantity_micro, unit_price_nano (of a period; null: not agreed yet), unit (of UNITS); optional every, in_advance, day,
           starts_on, ends_on (those of the contract), tax_class, meter_id, alerts_minor, free_until (a trial: the first day that costs), aligned (its periods begin with
           those of the contract), anchor, and of `pricing.PRICE` what the price model reads
    on_upgrade, on_downgrade  how a change is billed that says nothing itself: one of `proration.MODES`
    month_days  days of a month for parts of a period, such as 30; None: those of the calendar
    late_usage  how use is billed that comes after its period was: one of `rerating.POLICIES`; empty: as the company does
    Raises: NotFound, CustomerOnHold, Invalid (nothing to bill, unknown unit, days, price or quantity below zero, currency).
    """
    money.ensure_currency(currency)
    ensure(Entity.objects.filter(pk=entity_id).exists(), NotFound(f"There is no company {entity_id}.", field="entity_id"))
    ensure(
        0 < len(items) <= MAX_ITEMS, Invalid("A contract bills something.", field="items", remedy=f"Add 1 to {MAX_ITEMS} items.")
    )
    rows = [{"starts_on": starts_on, "ends_on": ends_on} | {k: v for k, v in item.items() if v is not None or k == "unit_price_nano"} for item in items]  # fmt: skip
    head = {"customer_id": customer_id, "currency": currency, "terms": terms, "starts_on": starts_on, "ends_on": ends_on, "bill_to_id": bill_to_id,
            "renews_months": renews_months, "notice_days": notice_days, "purchase_order": purchase_order, "on_upgrade": on_upgrade, "on_downgrade": on_downgrade, "month_days": month_days, "late_usage": late_usage}  # fmt: skip
    return _make(actor, entity_id, head, rows)


def preview_contract(**asked: Any) -> bills.Bill:
    """What a contract would be billed in its first year: it is made, billed and taken back again. asked: as for `add_contract`."""
    ensure_first_day(asked["starts_on"])
    return bills.tried(lambda: add_contract(**asked), as_of=add_months(asked["starts_on"], 12) - timedelta(days=1))


@action("contracts.change_contract")
def change_contract(*, actor: Actor, contract_id: int, changes: dict[str, Any]) -> int:
    """Change what is no amendment: purchase order, terms, who pays, how it renews, how changes are prorated; returns the contract's id. Raises: NotFound, Invalid."""
    contract = _locked(contract_id)
    unknown = sorted(set(changes) - FACTS)
    ensure(not unknown, Invalid(f"{', '.join(unknown)} cannot be changed.", field=unknown[0] if unknown else "", remedy="What was agreed changes by an amendment; for another currency terminate it and write down a new contract."))  # fmt: skip
    before = {name: getattr(contract, name) for name in changes}
    for name, value in changes.items():
        setattr(contract, name, value)
    _check_head(contract)
    contract.save()
    changed("contract", contract.pk, before=before, after=changes)
    return contract.pk


@action("contracts.add_discount")
def add_discount(
    *, actor: Actor, contract_id: int, name: str, starts_on: date, unit: str, every: int = 1, periods: int | None = None, share_ppm: int | None = None, amount_minor: int | None = None,
    item_id: int | None = None, product_id: int | None = None,
) -> int:  # fmt: skip
    """Take something off what a contract bills from a day on; returns the discount's id.

    share_ppm, amount_minor  one of them; an amount is one a period, and never more than what is billed in it
    unit, every, periods     the grid from starts_on and how many of its periods (None: forever); once: a share of the first bill, or an amount until it is used up
    item_id, product_id      what it is for; None: all of the contract
    Days that were billed already are billed anew. Raises: NotFound, Invalid.
    """
    contract = _locked(contract_id)
    ensure(bool(name.strip()), Invalid("Say what the discount is called.", field="name", remedy="Such as the promotion's code."))
    ensure((share_ppm is None) != (amount_minor is None), Invalid("A discount is a share or an amount.", field="share_ppm", remedy="Give one of them."))  # fmt: skip
    ensure(share_ppm is None or 0 < share_ppm <= PPM, Invalid("A share is more than 0 and at most 100 %.", field="share_ppm"))
    ensure(amount_minor is None or amount_minor > 0, Invalid("An amount is more than zero.", field="amount_minor"))
    ensure(unit in ("once", *lines.UNITS), Invalid(f"{unit!r} is no period.", field="unit", remedy=f"Use once, {', '.join(lines.UNITS)}."))  # fmt: skip
    ensure(every >= 1 and (periods is None or periods >= 1), Invalid("A discount lasts one period or more.", field="periods"))
    ensure(item_id is None or contract.items.filter(pk=item_id).exists(), NotFound(f"{contract.number} has no item {item_id}.", field="item_id"))  # fmt: skip
    ensure(product_id is None or Product.objects.filter(pk=product_id).exists(), NotFound("There is no such product.", field="product_id"))  # fmt: skip
    taken = contract.discounts.filter(name=name.strip()[:60]).exists()
    ensure(
        not taken, Invalid(f"{contract.number} has a discount {name.strip()} already.", field="name", remedy="Use another name.")
    )
    made = Discount.objects.create(
        contract=contract, item_id=item_id, product_id=product_id, name=name.strip()[:60], share_ppm=share_ppm, amount_minor=amount_minor, starts_on=starts_on, unit=unit, every=every,
        periods=1 if unit == "once" else periods, created_at=clock.now(),
    )  # fmt: skip
    _tell("contract_amended", contract, actor, starts_on, f"discount {made.name}")
    changed(
        "contract",
        contract.pk,
        after={"discount": made.name, "share_ppm": share_ppm, "amount_minor": amount_minor, "starts_on": starts_on},
    )
    return made.pk


@action("contracts.end_discount")
def end_discount(*, actor: Actor, discount_id: int, on: date) -> int:
    """Let a discount end: it lowers no charge of a period that begins on the day or later. Returns its id. Raises: NotFound, Invalid."""
    found = Discount.objects.select_for_update().filter(pk=discount_id).first()
    if found is None:
        raise NotFound(f"There is no discount {discount_id}.", field="discount_id")
    ensure(
        on >= found.starts_on, Invalid(f"It begins on {found.starts_on}.", field="on", remedy="Choose that day or a later one.")
    )
    before, found.ended_on = found.ended_on, on
    found.save(update_fields=["ended_on"])
    changed("contract", found.contract_id, before={"ended_on": before}, after={"discount": found.name, "ended_on": on})
    return found.pk


# --- parts ---
_TRIES = 100  # each moves the whole by what it is off, which is cents
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def _make(actor: Actor, entity_id: int, head: dict[str, Any], rows: list[dict[str, Any]]) -> int:
    number = series.take(entity_id=entity_id, code="contract", count=1, prefix="CT-")[0]
    buyer = Customer.objects.filter(pk=head["customer_id"], merged_into__isnull=True).first()
    if buyer is None:
        raise NotFound(f"There is no customer {head['customer_id']}.", field="customer_id")
    ensure_credit(buyer)
    contract = Contract(entity_id=entity_id, number=f"{number}", created_at=clock.now(), **{**head, "bill_to_id": head.get("bill_to_id") or buyer.pk})  # fmt: skip
    _check_head(contract)
    ensure(contract.ends_on != contract.starts_on, Invalid("It ends on the day on which it begins: nothing would be billed.", field="ends_on", remedy="Say the first day that is not covered."))  # fmt: skip
    contract.save()
    names: dict[str, int] = {}
    for row in rows:
        item = lines.make(contract, row)
        if off := row.get("off"):
            names[off["name"]] = names.get(off["name"], 0) + 1
            name = off["name"] + (f", {names[off['name']]}" if names[off["name"]] > 1 else "")
            Discount.objects.create(contract=contract, item=item, created_at=clock.now(), **{**off, "name": name[:60]})
    _tell("contract_signed", contract, actor, contract.starts_on, f"{contract.number}")
    changed("contract", contract.pk, after={"number": contract.number, "customer_id": contract.customer_id, "items": len(rows)})
    return contract.pk


def _free_periods(quote: Quote) -> dict[int, int]:
    """How many periods of each line the quote's promotions give away, by the line's position."""
    gifts = {p.promotion.code: p.promotion.free_periods or 0 for p in quote.promotions.select_related("promotion") if p.promotion.kind == Promotion.Kind.FREE_PERIODS}  # fmt: skip
    steps = (
        QuotePriceStep.objects.filter(line__quote=quote, step="promotion")
        .exclude(amount_minor=0)
        .values_list("line__position", "note")
    )
    return {position: sum(gifts.get(code, 0) for code in note.split(" + ")) for position, note in steps}


def _first_periods(quote: Quote) -> dict[int, tuple[str, int, int]]:
    """What lines have off their first periods by a promotion that stands alone on them: code, share and periods, by the line's position."""
    known = {p.promotion.code: p.promotion for p in quote.promotions.select_related("promotion") if p.promotion.periods}
    steps = QuotePriceStep.objects.filter(line__quote=quote, step="promotion", note__in=list(known)).exclude(amount_minor=0)
    return {
        position: (code, known[code].percent_ppm or 0, known[code].periods or 0)
        for position, code in steps.values_list("line__position", "note")
    }


def _nano(minor: int, quantity_micro: int, count: int) -> int:
    """The price of a unit and period, in billionths of a minor unit, of so many periods that come to an amount."""
    return (minor * 10**9 * PPM + quantity_micro * count // 2) // (quantity_micro * count)


def _undiscounted(net: int, quantity_micro: int, count: int, ppm: int, times: int) -> int | None:
    """The price of a unit and period before a share off its first periods, so that what is billed adds up to the net; None where no price does to the cent."""
    whole = net * count * PPM // (count * PPM - ppm * times)
    for _ in range(_TRIES):
        price = _nano(whole, quantity_micro, count)
        upto = [(price * quantity_micro * n + 10**15 // 2) // 10**15 for n in range(count + 1)]
        amounts = [after - before for before, after in pairwise(upto)]
        comes_to = upto[-1] - sum((amount * ppm + PPM // 2) // PPM for amount in amounts[:times])
        if comes_to == net:
            return price
        whole += net - comes_to
    return None


def ensure_first_day(starts_on: date) -> None:
    """Refuse a first day that is a slip of the pen, such as one of the year 26. Raises: Invalid."""
    ensure(starts_on.year in YEARS, Invalid(f"A contract begins in a year from {YEARS[0]} to {YEARS[-1]}, not {starts_on.year}.", field="starts_on"))  # fmt: skip


def _check_head(contract: Contract) -> None:
    ensure_first_day(contract.starts_on)
    if contract.terms:
        parse_terms(contract.terms)
    ensure(
        contract.ends_on is None or contract.ends_on >= contract.starts_on, Invalid("It ends before it begins.", field="ends_on")
    )
    ensure(
        contract.renews_months >= 0 and contract.notice_days >= 0,
        Invalid("Months and days are zero or more.", field="renews_months"),
    )
    for name in ("on_upgrade", "on_downgrade"):
        ensure(getattr(contract, name) in MODES, Invalid(f"{getattr(contract, name)!r} is no mode of proration.", field=name, remedy=f"Use one of {', '.join(MODES)}."))  # fmt: skip
    if contract.late_usage:
        rerating.ensure_policy(contract.late_usage)
    ensure(contract.month_days is None or 28 <= contract.month_days <= 31, Invalid("A month has 28 to 31 days; empty: those of the calendar.", field="month_days"))  # fmt: skip
    ensure(Customer.objects.filter(pk=contract.bill_to_id, merged_into__isnull=True).exists(), NotFound(f"There is no customer {contract.bill_to_id}.", field="bill_to_id"))  # fmt: skip


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
