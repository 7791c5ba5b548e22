"""Offers to take less for being paid by a day: made, taken by a payment that came in time, void after it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import F

from topline.billing import queries as billing
from topline.billing.models import Invoice
from topline.engine import early_payment
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market import queries as market
from topline.receivables import actions, queries
from topline.receivables.models import Allocation, DiscountOffer, Payment
from topline.timeline import actions as timeline

O = DiscountOffer.State  # noqa: E741  (as short as its neighbours in other modules)
TAKERS = 500  # newest offers and payments that are held against each other


class OfferStands(Conflict):
    """The invoice has an offer that still runs."""

    code = "offer_stands"


class OfferEnded(Conflict):
    """The offer is void: its day has passed, it was withdrawn, or the invoice was paid in part since."""

    code = "offer_ended"


class PaidTooLittle(Invalid):
    """The payment does not bring what the offer asks for."""

    code = "paid_too_little"


@action("receivables.make_offers")
def make_offers(*, actor: Actor, offers: pl.DataFrame, valid_until: date, on: date) -> pl.DataFrame:
    """Offer a discount on open invoices that are paid by a day; an offer that ran out is replaced.

    offers   one row per invoice: invoice_id, discount_minor; optional expected_on (when the money would come without it: the due day
             where left out, the day after the offer's end where that has passed)
    returns  one row per offer: offer_id, invoice_id, costs_ppm (a year, of the money received)
    Raises: Invalid (ends before it begins, discount of nothing or all), actions.DocumentNotOpen, OfferStands, NotFound.
    """
    ensure(
        valid_until >= on,
        Invalid(f"{valid_until} is past already.", field="valid_until", remedy="Choose a day that is still to come."),
    )
    ensure(
        offers.height > 0 and offers["invoice_id"].is_unique().all(),
        Invalid("Name each invoice once.", field="offers", remedy="Name at least one."),
    )
    documents = {row["id"]: row for row in billing.for_update(offers["invoice_id"].to_list()).to_dicts()}
    given = offers if "expected_on" in offers.columns else offers.with_columns(expected_on=pl.lit(None, dtype=pl.Date))
    rows = [_row(documents[r["invoice_id"]], r, valid_until) for r in given.to_dicts()]
    standing = DiscountOffer.objects.filter(invoice_id__in=list(documents), state=O.OPEN).select_related("invoice")
    for old in standing:
        ensure(
            old.valid_until < on,
            OfferStands(
                f"{old.invoice.number} has an offer until {old.valid_until}.",
                field="invoice_id",
                remedy="Withdraw that one first.",
            ),
        )
    standing.update(state=O.REPLACED)
    frame = pl.DataFrame(rows).with_columns(
        offered_on=pl.lit(on), valid_until=pl.lit(valid_until), actor_key=pl.lit(actor.key), recorded_at=pl.lit(clock.now())
    )
    written = frame.with_columns(id=bulk.insert(DiscountOffer, frame.drop("customer_id", "currency", "number"))["id"])
    timeline.record(
        "discount_offered",
        written.select(
            "invoice_id", "customer_id", "currency", amount_minor="discount_minor",
            note=pl.format("{} less if paid by {}", "number", "valid_until"),
        ),
        subject="invoice", actor=actor, on=on,
    )  # fmt: skip
    changed_many("discount_offer", written["id"], after={"valid_until": str(valid_until)})
    return written.select("invoice_id", "costs_ppm", offer_id="id")


@action("receivables.withdraw_offer")
def withdraw_offer(*, actor: Actor, offer_id: int) -> int:
    """Take an offer back before it is taken; returns its id. Raises: NotFound, OfferEnded."""
    found = _locked(offer_id)
    ensure(found.state == O.OPEN, OfferEnded(f"The offer was {found.state} before.", field="offer_id"))
    found.state = O.WITHDRAWN
    found.save(update_fields=["state"])
    changed("discount_offer", offer_id, before={"state": "open"}, after={"state": "withdrawn"})
    return offer_id


@action("receivables.take_offer")
def take_offer(*, actor: Actor, offer_id: int, payment_id: int, on: date) -> pl.DataFrame:
    """Settle an invoice in full by a payment that came by the offer's day: the rest is booked as discount allowed.

    returns  one row per allocation, as apply_cash
    Raises: NotFound, OfferEnded (the payment came later, or the offer is void: apply it, and what is short stays open), PaidTooLittle.
    """
    found = _locked(offer_id)
    payment = queries.payments_for_update([payment_id]).row(0, named=True)
    currency = found.invoice.currency
    asked = found.open_minor - found.discount_minor
    now = billing.for_update([found.invoice_id]).row(0, named=True)
    ensure(
        found.state == O.OPEN and now["total_minor"] - now["allocated_minor"] == found.open_minor,
        OfferEnded(
            f"The offer on {now['number']} is void.", field="offer_id", remedy="Apply the payment; what is short stays open."
        ),
    )
    ensure(
        payment["received_on"] <= found.valid_until,
        OfferEnded(
            f"The offer ended on {found.valid_until}, the payment came on {payment['received_on']}: {money.Money(found.discount_minor, currency)} stays open.",
            field="payment_id", remedy="Apply the payment without the discount.",
        ),
    )  # fmt: skip
    left = payment["amount_minor"] - payment["allocated_minor"]
    ensure(
        payment["currency"] == currency and left >= asked,
        PaidTooLittle(
            f"The offer asks for {money.Money(asked, currency)}.", field="payment_id", remedy="Apply the payment as a part."
        ),
    )
    link = {"payment_id": [payment_id], "invoice_id": [found.invoice_id], "amount_minor": [asked], "discount_minor": [found.discount_minor]}  # fmt: skip
    return actions.apply_cash(actor=actor, links=pl.DataFrame(link), on=max(on, payment["received_on"]))


def takers(entity_id: int, *, payment_id: int | None = None) -> list[dict[str, Any]]:
    """Open offers beside payments that could take them, newest payment first: same customer and currency, enough of it not applied.

    offer_id, invoice_id, number, currency, pays_minor, discount_minor, valid_until, payment_id, payment, received_on, left_minor, in_time
    payment_id  of this payment only
    Work: two statements.
    """
    rows = DiscountOffer.objects.filter(invoice__entity_id=entity_id, invoice__state=Invoice.State.OPEN, state=O.OPEN)
    whole = rows.filter(open_minor=F("invoice__total_minor") - F("invoice__allocated_minor")).order_by("-id")
    document = ["invoice__number", "invoice__currency", "invoice__customer_id"]
    open_offers = bulk.read(whole.values("id", "invoice_id", *document, "open_minor", "discount_minor", "valid_until")[:TAKERS])
    open_offers = market.resolve(open_offers.rename({c: c.removeprefix("invoice__") for c in document})).rename(
        {"id": "offer_id"}
    )
    came = Payment.objects.filter(entity_id=entity_id, state=Payment.State.RECEIVED, amount_minor__gt=F("allocated_minor"))
    came = came.filter(customer_id__isnull=False) if payment_id is None else came.filter(pk=payment_id)
    left = ["id", "number", "currency", "customer_id", "received_on", "amount_minor", "allocated_minor"]
    payments = market.resolve(bulk.read(came.order_by("-received_on", "-id").values(*left)[:TAKERS]))
    payments = payments.select(
        "currency", "customer_id", "received_on", payment_id="id", payment="number",
        left_minor=pl.col("amount_minor") - pl.col("allocated_minor"),
    )  # fmt: skip
    open_offers = open_offers.with_columns(pays_minor=pl.col("open_minor") - pl.col("discount_minor"))
    both = payments.join(open_offers, on=["customer_id", "currency"], maintain_order="left")
    enough = both.filter(pl.col("left_minor") >= pl.col("pays_minor"))
    return enough.with_columns(in_time=pl.col("received_on") <= pl.col("valid_until")).head(TAKERS).to_dicts()


def standing(entity_id: int) -> pl.DataFrame:
    """Offers that were not withdrawn or replaced, whatever the day: invoice_id, open_minor, discount_minor, valid_until."""
    rows = DiscountOffer.objects.filter(invoice__entity_id=entity_id, invoice__state=Invoice.State.OPEN, state=O.OPEN)
    return bulk.read(rows.order_by("id").values("invoice_id", "open_minor", "discount_minor", "valid_until"))


def offers(
    entity_id: int, *, as_of: date, invoice_id: int | None = None, customer_ids: Sequence[int] | None = None, limit: int = 200
) -> list[dict[str, Any]]:
    """Offers with what became of them, newest first: taken, void (the invoice was paid otherwise), expired, withdrawn, or running.

    invoice_id, customer_ids  of this invoice, of these customers only
    """
    found = DiscountOffer.objects.filter(invoice__entity_id=entity_id)
    if invoice_id is not None:
        found = found.filter(invoice_id=invoice_id)
    if customer_ids is not None:
        found = found.filter(invoice__customer_id__in=list(customer_ids))
    rows = list(found.select_related("invoice", "invoice__customer").order_by("-id")[:limit])
    ids = [row.invoice_id for row in rows]
    allowed = Allocation.objects.filter(invoice_id__in=ids, kind=Allocation.Kind.DISCOUNT, reverses__isnull=True, reversed_by__isnull=True)  # fmt: skip
    taken = {(i, m): day for i, m, day in allowed.values_list("invoice_id", "amount_minor", "effective_on")}
    return [
        {
            "id": row.pk, "invoice_id": row.invoice_id, "number": row.invoice.number, "customer_id": row.invoice.customer_id, "customer": row.invoice.customer.name,
            "currency": row.invoice.currency, "pays_minor": row.open_minor - row.discount_minor, "discount_minor": row.discount_minor, "offered_on": row.offered_on,
            "valid_until": row.valid_until, "yearly_percent": row.costs_ppm / 10_000, "state": _state(row, taken.get((row.invoice_id, row.discount_minor)), as_of),
        }
        for row in rows
    ]  # fmt: skip


def _state(row: DiscountOffer, taken_on: date | None, as_of: date) -> str:
    if row.state != O.OPEN:
        return row.state
    if taken_on is not None and taken_on >= row.offered_on:
        return "taken"
    if row.invoice.total_minor - row.invoice.allocated_minor != row.open_minor:
        return "void"
    return "expired" if row.valid_until < as_of else "running"


def _row(document: dict[str, Any], asked: dict[str, Any], valid_until: date) -> dict[str, Any]:
    rest = document["total_minor"] - document["allocated_minor"]
    ensure(
        document["state"] == Invoice.State.OPEN and document["kind"] == Invoice.Kind.INVOICE,
        actions.DocumentNotOpen(f"{document['number'] or 'The draft'} is not open.", field="invoice_id", remedy="Offer on what is owed."),
    )  # fmt: skip
    expected = max(asked["expected_on"] or document["due_on"], valid_until + timedelta(days=1))
    costs = early_payment.cost_of_discount(
        amount_minor=rest, discount_minor=asked["discount_minor"], days_early=(expected - valid_until).days
    )
    return {
        "invoice_id": document["id"], "customer_id": document["customer_id"], "currency": document["currency"], "number": document["number"], "open_minor": rest,
        "discount_minor": asked["discount_minor"], "expected_on": expected, "costs_ppm": round(costs * 10_000),
    }  # fmt: skip


def _locked(offer_id: int) -> DiscountOffer:
    found = DiscountOffer.objects.select_for_update(of=("self",)).select_related("invoice").filter(pk=offer_id).first()
    if found is None:
        raise NotFound(f"There is no offer {offer_id}.", field="offer_id")
    return found
