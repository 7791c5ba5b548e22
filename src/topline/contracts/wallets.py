"""Verbs of credits: sold and given, used to pay, given back and taken back, carried over and expired; and the word when they run low."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
from django.db.models import Sum
from django.db.models.functions import Coalesce

from topline.billing import actions as billing
from topline.billing import queries as documents
from topline.billing.models import Invoice
from topline.books import actions as books
from topline.books.actions import leg
from topline.books.models import Entity
from topline.catalog.models import Product
from topline.contracts import drawing
from topline.contracts.credit import ensure_credit
from topline.contracts.models import NOTICE, Contract, Credit, CreditMove, Wallet
from topline.engine.documents import EXACT, round_half_away
from topline.engine.rating import prepaid
from topline.kernel import bulk, clock, money, outbox
from topline.kernel.actions import action, changed, changed_many, inside
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.kernel.money import format_amount
from topline.market.models import Customer
from topline.metering.models import Meter
from topline.receivables import actions as receivables
from topline.receivables import posting
from topline.team import actions as team
from topline.team.models import Area
from topline.timeline import actions as timeline

K = CreditMove.Kind
ACCOUNTS = frozenset({"prepaid_credits", "breakage", "credits_granted"})
MAX_MINOR = 10**14
MICRO, NANO, PPM = 10**6, 10**9, 10**6
KIND = re.compile(r"use|fees|(meter|product):([1-9][0-9]{0,17})")
MAX_KINDS = 20


class NoCredits(Conflict):
    """There are no credits that pay it."""

    code = "no_credits"


class CreditsUsed(Conflict):
    """The credits were used, or are over."""

    code = "credits_used"


@action("contracts.sell_credits")
def sell_credits(
    *,
    actor: Actor,
    entity_id: int,
    customer_id: int,
    currency: str,
    name: str,
    issue_on: date,
    terms: str = "net 30",
    **said: Any,
) -> int:
    """Sell credits: an invoice outside the scope of tax (a multi-purpose voucher: what they pay for is taxed), and a liability until they are used. Returns their id.

    amount_minor; or units_micro, unit_nano (what one is worth, billionths of a minor unit) and unit_name
    starts_on (default: the day of the invoice), expires_on (the first day on which they pay nothing), priority (the lowest pays first), contract_id (they pay its charges
    alone), pays_for (kinds, one is enough: use, fees, meter:<id>, product:<id>; none: all), rollover_ppm and rollover_cap_minor (what of the rest is carried over once)
    Sources: Directive 2006/112/EC art. 30a, 30b(2); IFRS 15.106, B44. Raises: NotFound, CustomerOnHold, Invalid, books.PeriodLocked.
    """
    customer, facts = _ready(entity_id, customer_id, currency, name, issue_on, said)
    ensure_credit(customer)
    amount = facts["amount_minor"]
    head = pl.DataFrame(
        {"ref": ["1"], "customer_id": [customer_id], "currency": [currency], "terms": [terms], "is_prepayment": [True]}
    )
    line = pl.DataFrame(
        {
            "ref": ["1"],
            "position": [1],
            "description": [_described(facts)],
            "quantity_micro": [MICRO],
            "unit_price_nano": [amount * NANO],
            "tax_category": ["O"],
        }
    )
    made = inside(billing.draft_invoices)(actor=actor, entity_id=entity_id, invoices=head, lines=line)
    invoice_id = int(made["invoice_id"][0])
    inside(billing.issue_invoices)(actor=actor, invoice_ids=[invoice_id], issue_on=issue_on)
    worth = Invoice.objects.values_list("functional_minor", flat=True).get(pk=invoice_id)
    return _put(
        actor,
        entity_id,
        customer,
        currency,
        facts | {"is_paid": True, "invoice_id": invoice_id, "functional_minor": worth},
        K.BOUGHT,
        issue_on,
        invoice_id,
    )


@action("contracts.grant_credits")
def grant_credits(
    *, actor: Actor, entity_id: int, customer_id: int, currency: str, name: str, on: date, because: str, **said: Any
) -> int:
    """Give credits away: they lower income as they are used, and nothing is owed until then. Returns their id.

    The rest as for `sell_credits`; tax stays due on the whole price of what they pay. Source: IFRS 15.70. Raises: NotFound, Invalid (no reason).
    """
    ensure(
        bool(because.strip()),
        Invalid("Say why they are given.", field="because", remedy="Such as: an outage, a trial, a promise."),
    )
    customer, facts = _ready(entity_id, customer_id, currency, name, on, said)
    return _put(
        actor,
        entity_id,
        customer,
        currency,
        facts | {"is_paid": False, "functional_minor": 0},
        K.GRANTED,
        on,
        None,
        because.strip(),
    )


@action("contracts.take_back_credits")
def take_back_credits(*, actor: Actor, credit_id: int, on: date, because: str, amount_minor: int | None = None) -> int:
    """Take back credits that were not used: of bought ones the invoice is credited with as much. Returns the credit note's id, 0 where they were given.

    amount_minor  None: all that is left
    Raises: NotFound, CreditsUsed, Invalid, books.PeriodLocked.
    """
    ensure(bool(because.strip()), Invalid("Say why they are taken back.", field="because"))
    credit = _locked_credit(credit_id)
    amount = credit.left_minor if amount_minor is None else amount_minor
    currency = credit.wallet.currency
    ensure(
        credit.left_minor > 0,
        CreditsUsed(f"Nothing is left of {credit.name}.", field="credit_id", remedy="Credit the invoice that they paid instead."),
    )
    ensure(
        0 < amount <= credit.left_minor,
        Invalid(
            f"{format_amount(credit.left_minor, currency)} {currency} is left.",
            field="amount_minor",
            remedy="Take back at most that.",
        ),
    )
    note_id = 0
    sold = _sold_by(credit)
    if credit.is_paid:
        invoice = documents.for_update([sold]).row(0, named=True)
        note_id = billing.credit(actor=actor, invoice=invoice, issue_on=on, total_minor=amount, reason=because.strip())
    credit.left_minor -= amount
    if not credit.left_minor:
        credit.closed_on = on
    credit.save(update_fields=["left_minor", "closed_on"])
    row = pl.DataFrame(
        {
            "credit_id": [credit.pk],
            "kind": [K.TAKEN_BACK.value],
            "amount_minor": [-amount],
            "invoice_id": [note_id or None],
            "note": [because.strip()[:300]],
        },
        schema_overrides={"invoice_id": pl.Int64},
    )
    drawing.write_moves(row, on=on)
    _tell("credits_taken_back", credit, actor, on, amount)
    return note_id


@action("contracts.pay_from_credits")
def pay_from_credits(*, actor: Actor, invoice_id: int, on: date) -> int:
    """Pay an open invoice from the customer's credits, as a bill run does by itself; returns how much was paid.

    Raises: NotFound, NoCredits, receivables.DocumentNotOpen, books.PeriodLocked.
    """
    invoice = documents.for_update([invoice_id]).row(0, named=True)
    if invoice["state"] != Invoice.State.OPEN or invoice["kind"] != Invoice.Kind.INVOICE:
        raise receivables.DocumentNotOpen(
            f"{invoice['number'] or 'The draft'} is {invoice['state']}: credits pay open invoices.",
            field="invoice_id",
            remedy="Choose an open invoice.",
        )
    _ensure_after(invoice["issued_on"], on)
    drawn = drawing.draw(actor=actor, entity_id=invoice["entity_id"], invoice_ids=[invoice_id], on=on)
    ensure(
        drawn.height > 0,
        NoCredits(
            f"No credits pay {invoice['number']}.",
            field="invoice_id",
            remedy="Sell or give some that are for what is on it, in its currency.",
        ),
    )
    return int(drawn["drawn_minor"].sum())


@action("contracts.put_credits_back")
def put_credits_back(*, actor: Actor, invoice_id: int, on: date, because: str) -> int:
    """Undo that credits paid an invoice: it is open again, the credits are there again. Returns how much.

    Raises: NotFound, receivables.NothingToApply, CreditsUsed (a credit note gave some back), books.PeriodLocked.
    """
    ensure(bool(because.strip()), Invalid("Say why they are put back.", field="because"))
    invoice = documents.for_update([invoice_id]).row(0, named=True)
    _ensure_after(invoice["issued_on"], on)
    drawn = drawing.still_drawn([invoice_id])
    amount = int(drawn["drawn_minor"].sum())
    ensure(
        amount == invoice["from_credits_minor"],
        CreditsUsed(f"A credit note gave credits of {invoice['number']} back.", field="invoice_id", remedy="Credit the rest of it too: that gives back what is left."),
    )  # fmt: skip
    receivables.put_credits_back(actor=actor, invoice_id=invoice_id, on=on, reason=because.strip())
    drawing.put_back(drawn=drawn, amount_minor=amount, on=on, note=because.strip())
    _returned(actor, invoice, amount, on)
    return amount


@action("contracts.return_credits")
def return_credits(*, actor: Actor, credit_note_id: int, on: date) -> int:
    """A credit note for what credits paid gives them back, as far as it goes and is not used; returns how much. A second time changes nothing.

    Of a credit note of a run, the credits that paid the same periods. Raises: NotFound, books.PeriodLocked.
    """
    note = documents.for_update([credit_note_id]).row(0, named=True)
    paid = drawing.paid_before([credit_note_id])["invoice_id"].to_list()
    drawn = drawing.still_drawn(paid)
    left = note["total_minor"] - note["allocated_minor"] if note["state"] == Invoice.State.OPEN else 0
    amount = min(int(drawn["drawn_minor"].sum()), left)
    if not amount:
        return 0
    bought, given = drawing.put_back(drawn=drawn, amount_minor=amount, on=on, note=f"Credit note {note['number']}")
    receivables.note_into_credits(actor=actor, credit_note_id=credit_note_id, bought_minor=bought, given_minor=given, on=on)
    _returned(actor, note, amount, on)
    return amount


@action("contracts.set_low_credits")
def set_low_credits(*, actor: Actor, wallet_id: int, low_minor: int | None) -> int:
    """Say below which amount that can be used customer and team are told, once until it is more again; None: never. Returns the wallet's id. Raises: NotFound, Invalid."""
    wallet = Wallet.objects.select_for_update().filter(pk=wallet_id).first()
    if wallet is None:
        raise NotFound(f"There is no wallet {wallet_id}.", field="wallet_id")
    ensure(
        low_minor is None or 0 < low_minor <= MAX_MINOR,
        Invalid("An amount to be told at is more than zero.", field="low_minor", remedy="Leave it empty for never."),
    )
    before, wallet.low_minor, wallet.told_on = wallet.low_minor, low_minor, None
    wallet.save(update_fields=["low_minor", "told_on"])
    changed("wallet", wallet.pk, before={"low_minor": before}, after={"low_minor": low_minor})
    return wallet.pk


@action("contracts.expire_credits")
def expire_credits(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Let credits go whose day has come: what was agreed is carried over once, for as long again; the rest is income (breakage). Returns how many. Twice changes nothing.

    Breakage is recognised when the customer's right ends, as what will not be used is not foreseen (IFRS 15.B46). Work: some ten statements. Raises: books.PeriodLocked.
    """
    due = Credit.objects.filter(wallet__entity_id=entity_id, closed_on__isnull=True, expires_on__lte=as_of).order_by("id")
    ids = list(due.values_list("id", flat=True))
    if not ids:
        return 0
    columns = [*drawing.LOCKED, "rollover_ppm", "rollover_cap_minor"]
    rows = (
        bulk.read_locked(Credit, ids, columns)
        .filter(pl.col("left_minor") > 0)
        .join(_holders(ids), on="id", maintain_order="left")
    )
    rows = prepaid.expire_credits(rows.with_columns(grant_id="id"))
    upto = pl.col("amount_minor") - pl.col("left_minor")
    worth, whole = pl.col("functional_minor"), pl.col("amount_minor")
    rows = rows.with_columns(
        key=pl.format("credit:{}:expired", "id"), broken_functional=posting.part_of(worth, upto + pl.col("breakage_minor"), pl.col("breakage_minor"), whole),
        rolled_functional=posting.part_of(worth, whole, pl.col("rolled_minor"), whole),
    )  # fmt: skip
    broken = rows.filter(pl.col("is_paid") & (pl.col("breakage_minor") > 0))
    books.post(
        entity_id=entity_id, kind="credits_expired", entries=broken.select("key", effective_on=pl.lit(as_of), source=pl.format("credit:{}", "id"), memo=pl.format("Breakage of {}", "name")),
        transfers=[leg(broken, debit="prepaid_credits", credit="breakage", amount="breakage_minor", functional="broken_functional")],
    )  # fmt: skip
    bulk.update(Credit, pl.DataFrame({"id": ids}).with_columns(left_minor=pl.lit(0, dtype=pl.Int64), closed_on=pl.lit(as_of)))
    rolled = rows.filter(pl.col("rolled_minor") > 0)
    again = bulk.insert(
        Credit,
        rolled.select(
            "wallet_id", "contract_id", "name", "is_paid", "priority", "pays_for", amount_minor="rolled_minor", left_minor="rolled_minor", functional_minor="rolled_functional", follows_id="id", starts_on="expires_on",
            expires_on=pl.col("expires_on") + (pl.col("expires_on") - pl.col("starts_on")), created_at=pl.lit(clock.now()),
        ),
    )  # fmt: skip
    out = [
        rows.filter(pl.col("breakage_minor") > 0).select(credit_id="id", kind=pl.lit(K.EXPIRED.value), amount_minor=-pl.col("breakage_minor")),
        rolled.select(credit_id="id", kind=pl.lit(K.ROLLED_OUT.value), amount_minor=-pl.col("rolled_minor")),
        again.select(credit_id="id", kind=pl.lit(K.ROLLED_IN.value), amount_minor="amount_minor"),
    ]  # fmt: skip
    drawing.write_moves(pl.concat(out), on=as_of)
    changed_many("credit", ids, after={"closed_on": str(as_of)})
    told = rows.select("customer_id", "currency", wallet_id="wallet_id", amount_minor="breakage_minor", note=pl.col("name"))
    timeline.record("credits_expired", told.filter(pl.col("amount_minor") > 0), subject="wallet", actor=actor, on=as_of)
    return len(ids)


@action("contracts.tell_low_credits")
def tell_low_credits(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Tell customer and team whose credits run low, once until there are more again; returns how many. Work: two statements, and a few for each that is told."""
    balance = Coalesce(Sum("credits__left_minor", filter=drawing.usable(as_of, "credits__")), 0)
    watched = Wallet.objects.filter(entity_id=entity_id, low_minor__isnull=False).annotate(left=balance).order_by("id")
    found = list(watched.values("id", "customer_id", "customer__name", "currency", "low_minor", "left", "told_on"))
    again = [w["id"] for w in found if w["told_on"] is not None and w["left"] >= w["low_minor"]]
    if again:
        Wallet.objects.filter(pk__in=again).update(told_on=None)
        changed_many("wallet", again, after={"told_on": None})
    low = [w for w in found if w["told_on"] is None and w["left"] < w["low_minor"]]
    owner = Area.objects.filter(key="billing").values_list("owner_id", flat=True).first() if low else None
    for w in low:
        Wallet.objects.filter(pk=w["id"]).update(told_on=as_of)
        changed("wallet", w["id"], after={"told_on": as_of, "left_minor": w["left"]})
        left, below = format_amount(w["left"], w["currency"]), format_amount(w["low_minor"] or 0, w["currency"])
        note = f"left, less than {below}"
        timeline.record_one("credits_low", subject="wallet", subject_id=w["id"], actor=actor, on=as_of, customer_id=w["customer_id"], amount_minor=w["left"], currency=w["currency"], note=note)  # fmt: skip
        key = f"credits-low:{w['id']}:{as_of}"
        said = {"about": "credits_low", "entity_id": entity_id, "customer_id": w["customer_id"], "currency": w["currency"], "left": w["left"], "below": w["low_minor"]}  # fmt: skip
        outbox.enqueue(NOTICE, {"key": key, **said}, key=key)
        if owner is not None:
            team.add_task(actor=actor, title=f"Credits of {w['customer__name']} run low: {left} {w['currency']} left", assignee_id=owner, due_on=as_of, about_kind="customer", about_id=w["customer_id"])  # fmt: skip
    return len(low)


def settle_run(*, actor: Actor, entity_id: int, invoice_ids: Sequence[int], on: date) -> int:
    """Pay what a bill run issued from credits, and have credit notes for what credits paid give them back; called inside the action that issues. Returns how many
    documents were paid at least in part. Work: one statement where nobody has a wallet."""
    if not invoice_ids or not Wallet.objects.filter(entity_id=entity_id).exists():
        return 0
    drawn = drawing.draw(actor=actor, entity_id=entity_id, invoice_ids=invoice_ids, on=on)
    notes = drawing.paid_before(invoice_ids)["credit_note_id"].unique().to_list()
    outbox.enqueue_many(
        billing.CREDITED, {f"{billing.CREDITED}:{pk}": {"credit_note_id": pk, "day": on.isoformat()} for pk in notes}
    )
    return int(drawn["invoice_id"].n_unique())


# --- parts ---
def _ready(
    entity_id: int, customer_id: int, currency: str, name: str, on: date, said: dict[str, Any]
) -> tuple[Customer, dict[str, Any]]:
    """The customer, locked, and what credits are, checked. Raises: NotFound, Invalid."""
    unknown = sorted(set(said) - FACTS)
    ensure(not unknown, Invalid(f"Credits have no {', '.join(unknown)}.", field=unknown[0] if unknown else ""))
    money.ensure_currency(currency)
    ensure(Entity.objects.filter(pk=entity_id).exists(), NotFound(f"There is no company {entity_id}.", field="entity_id"))
    customer = Customer.objects.select_for_update().filter(pk=customer_id, merged_into__isnull=True).first()
    if customer is None:
        raise NotFound(f"There is no customer {customer_id}.", field="customer_id")
    ensure(bool(name.strip()), Invalid("Say what the credits are called.", field="name", remedy="Such as: Starter pack 2026."))
    facts = {**DEFAULTS, **{k: v for k, v in said.items() if v is not None}, "name": name.strip()[:80]}
    facts |= _amount(facts)
    starts, expires = facts["starts_on"] or on, facts["expires_on"]
    ensure(expires is None or expires > max(starts, on), Invalid(f"They would expire on {expires}, before they can pay anything.", field="expires_on", remedy="Choose a later day, or none."))  # fmt: skip
    ensure(0 <= facts["priority"] <= 1_000, Invalid("A priority is 0 to 1,000; the lowest pays first.", field="priority"))
    ensure(0 <= facts["rollover_ppm"] <= PPM, Invalid("A share is at most 100 %.", field="rollover_ppm"))
    ensure(not facts["rollover_ppm"] or expires is not None, Invalid("What never expires is not carried over.", field="rollover_ppm", remedy="Say when they expire."))  # fmt: skip
    cap = facts["rollover_cap_minor"]
    ensure(cap is None or (cap >= 0 and bool(facts["rollover_ppm"])), Invalid("A most that is carried over is of what is carried over.", field="rollover_cap_minor", remedy="Say which share is."))  # fmt: skip
    _ensure_contract(facts["contract_id"], entity_id, customer, currency)
    _ensure_kinds(facts["pays_for"])
    return customer, facts | {"starts_on": starts}


DEFAULTS: dict[str, Any] = {
    "amount_minor": None, "units_micro": None, "unit_nano": None, "unit_name": "", "starts_on": None, "expires_on": None, "priority": 50, "contract_id": None, "pays_for": [], "rollover_ppm": 0, "rollover_cap_minor": None,
}  # fmt: skip
FACTS = frozenset(DEFAULTS)


def _amount(facts: dict[str, Any]) -> dict[str, Any]:
    """What credits come to in money, rounded once where they are counted in units."""
    units, worth, unit = facts["units_micro"], facts["unit_nano"], facts["unit_name"].strip()[:20]
    by_units = units is not None or worth is not None or bool(unit)
    ensure(by_units != (facts["amount_minor"] is not None), Invalid("Credits are an amount, or units and what one is worth.", field="amount_minor", remedy="Give one of the two."))  # fmt: skip
    if not by_units:
        amount = facts["amount_minor"]
    else:
        ensure(
            units is not None and units > 0, Invalid("How many units are sold?", field="units_micro", remedy="More than zero.")
        )
        ensure(worth is not None and worth > 0, Invalid("What is a unit worth?", field="unit_nano", remedy="More than zero."))
        ensure(bool(unit), Invalid("What are the units called?", field="unit_name", remedy="Such as: credits."))
        ensure(units * worth <= MAX_MINOR * MICRO * NANO, Invalid("That is more than can be kept.", field="units_micro"))
        exact = pl.select(pl.lit(units).cast(EXACT) / MICRO * (pl.lit(worth).cast(EXACT) / NANO))
        amount = int(exact.select(round_half_away(pl.first())).item())
    ensure(
        0 < amount <= MAX_MINOR,
        Invalid("Credits are more than zero.", field="amount_minor", remedy="What is taken back has a page of its own."),
    )
    return {"amount_minor": amount, "units_micro": units if by_units else None, "unit_name": unit}


def _ensure_contract(contract_id: int | None, entity_id: int, customer: Customer, currency: str) -> None:
    if contract_id is None:
        return
    contract = Contract.objects.select_related("bill_to").filter(pk=contract_id, entity_id=entity_id).first()
    if contract is None:
        raise NotFound(f"There is no contract {contract_id}.", field="contract_id")
    ensure(contract.currency == currency, Invalid(f"{contract.number} is in {contract.currency}: credits in {currency} pay nothing of it.", field="currency", remedy=f"Sell them in {contract.currency}."))  # fmt: skip
    payer = contract.bill_to.merged_into_id or contract.bill_to_id
    ensure(
        payer == customer.pk,
        Invalid(f"{contract.number} is paid by {contract.bill_to.name}.", field="contract_id", remedy="Sell them the credits."),
    )


def _ensure_kinds(kinds: Sequence[str]) -> None:
    ensure(len(kinds) <= MAX_KINDS, Invalid(f"At most {MAX_KINDS} kinds.", field="pays_for"))
    for kind in kinds:
        found = KIND.fullmatch(kind)
        ensure(
            found is not None,
            Invalid(
                f"{kind!r} is nothing that credits pay for.",
                field="pays_for",
                remedy="Use use, fees, meter:<id> or product:<id>.",
            ),
        )
        if found is not None and found[1]:
            known = Meter.objects if found[1] == "meter" else Product.objects
            ensure(known.filter(pk=int(found[2])).exists(), NotFound(f"There is no {found[1]} {found[2]}.", field="pays_for"))


def _put(
    actor: Actor,
    entity_id: int,
    customer: Customer,
    currency: str,
    facts: dict[str, Any],
    kind: CreditMove.Kind,
    on: date,
    invoice_id: int | None,
    note: str = "",
) -> int:
    """Credits in a customer's wallet, which is made where there is none."""
    books.ensure_accounts(entity_id, ACCOUNTS)
    wallet, _ = Wallet.objects.get_or_create(entity_id=entity_id, customer=customer, currency=currency)
    kept = {name: value for name, value in facts.items() if name != "unit_nano"}
    credit = Credit.objects.create(wallet=wallet, left_minor=facts["amount_minor"], created_at=clock.now(), **kept)
    row = pl.DataFrame(
        {
            "credit_id": [credit.pk],
            "kind": [kind.value],
            "amount_minor": [credit.amount_minor],
            "invoice_id": [invoice_id],
            "note": [note[:300]],
        },
        schema_overrides={"invoice_id": pl.Int64},
    )
    drawing.write_moves(row, on=on)
    changed(
        "credit",
        credit.pk,
        after={
            "name": credit.name,
            "amount_minor": credit.amount_minor,
            "currency": currency,
            "expires_on": credit.expires_on,
            "because": note,
        },
    )
    _tell("credits_bought" if credit.is_paid else "credits_granted", credit, actor, on, credit.amount_minor)
    return credit.pk


def _described(facts: dict[str, Any]) -> str:
    units = f"{facts['units_micro'] / MICRO:,g} {facts['unit_name']}: " if facts["unit_name"] else "Credits: "
    until = f", to be used before {facts['expires_on']}" if facts["expires_on"] else ""
    return f"{units}{facts['name']}{until}"


def _locked_credit(credit_id: int) -> Credit:
    found = Credit.objects.select_for_update(of=("self",)).select_related("wallet").filter(pk=credit_id).first()
    if found is None:
        raise NotFound(f"There are no credits {credit_id}.", field="credit_id")
    return found


def _sold_by(credit: Credit) -> int:
    """The invoice by which credits were sold, through those of which they are the rest."""
    one: Credit | None = credit
    while one is not None and one.invoice_id is None:
        one = one.follows
    return one.invoice_id or 0 if one is not None else 0


def _holders(credit_ids: list[int]) -> pl.DataFrame:
    names = {"wallet__customer_id": "customer_id", "wallet__currency": "currency"}
    return bulk.read(Credit.objects.filter(pk__in=credit_ids).values("id", *names)).rename(names)


def _ensure_after(issued_on: date | None, on: date) -> None:
    ensure(
        issued_on is None or on >= issued_on,
        Invalid(f"The document is of {issued_on}.", field="on", remedy="Choose that day or a later one."),
    )


def _returned(actor: Actor, document: dict[str, Any], amount: int, on: date) -> None:
    timeline.record_one("credits_returned", subject="invoice", subject_id=document["id"], actor=actor, on=on, customer_id=document["customer_id"], amount_minor=amount, currency=document["currency"], note=document["number"] or "")  # fmt: skip


def _tell(kind: str, credit: Credit, actor: Actor, on: date, amount: int) -> None:
    timeline.record_one(kind, subject="wallet", subject_id=credit.wallet_id, actor=actor, on=on, customer_id=credit.wallet.customer_id, amount_minor=amount, currency=credit.wallet.currency, note=credit.name)  # fmt: skip
