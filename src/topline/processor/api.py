"""Online payments over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.processor import actions, queries, service
from topline.processor.models import Method, Payout, Refund
from topline.ui.wire import Asked, Body, Caller, Day, Id, OfCompany, Page, Room, done, once, page

room = Room(tags=["Online payments"])
INTENT = [
    "id",
    "invoice_id",
    "customer_id",
    "method_id",
    "processor",
    "state",
    "currency",
    "amount_minor",
    "fee_minor",
    "charge_ref",
    "payment_id",
    "decline_code",
    "tries",
    "next_try_on",
    "created_at",
]
REFUND = [
    "id",
    "intent_id",
    "state",
    "amount_minor",
    "credits_invoice",
    "reason",
    "why",
    "ref",
    "credit_note_id",
    "booked_on",
    "created_at",
]
PAYOUT = ["id", "processor", "ref", "currency", "amount_minor", "arrives_on", "line_id"]
METHOD = ["id", "customer_id", "processor", "label", "is_active", "created_at"]


class IntentsAsked(Asked):
    state: Literal["", "new", "open", "processing", "paid", "failed", "canceled", "disputed"] = ""
    invoice_id: Id | None = None


class ChargesAsked(Body):
    as_of: Day


class RefundBooked(Body):
    credits_invoice: Annotated[bool, Field(description="the invoice is credited with as much, else it is owed again")] = True


class RefundAsked(RefundBooked):
    amount_minor: Annotated[int, Field(strict=True, gt=0)]
    reason: Annotated[str, Field(min_length=1, max_length=300)]


@room.reads("/online-payments", "processor.view", Page)
def list_online_payments(request: Caller, asked: Query[IntentsAsked]) -> Any:
    """Payments asked for online, and what became of each."""
    entity_id = books.entity(asked.company or None).pk
    return page(queries.intents(entity_id=entity_id, state=asked.state, invoice_id=asked.invoice_id), INTENT, asked)


@room.reads("/online-refunds", "processor.view", Page)
def list_refunds(request: Caller, asked: Query[Asked]) -> Any:
    """Money that went back through the processor; `told` was made there and is to be booked."""
    return page(Refund.objects.filter(intent__entity=books.entity(asked.company or None).pk), REFUND, asked)


@room.does("/online-payments/{int:intent_id}/refund", "processor.ask_refund")
def ask_refund(request: Caller, intent_id: Id, body: RefundAsked) -> Any:
    """Give money back to the card or account; answers with the refund's id."""
    return done(actions.ask_refund(intent_id=intent_id, **body.model_dump(), **once(request)))


@room.does("/online-refunds/{int:refund_id}/book", "processor.book_refund")
def book_refund(request: Caller, refund_id: Id, body: RefundBooked) -> Any:
    """Book a refund that was made at the processor; answers with its id."""
    return done(actions.book_refund(refund_id=refund_id, **body.model_dump(), **once(request)))


@room.reads("/payouts", "processor.view", Page)
def list_payouts(request: Caller, asked: Query[Asked]) -> Any:
    """What the processor paid out; `line_id` is its line on the bank statement, once it is there."""
    return page(Payout.objects.filter(entity_id=books.entity(asked.company or None).pk), PAYOUT, asked)


@room.reads("/saved-methods", "processor.view", Page)
def list_saved_methods(request: Caller, asked: Query[Asked]) -> Any:
    """Cards and accounts that customers let us charge."""
    return page(Method.objects.all(), METHOD, asked)


@room.does("/online-payments/charge", "processor.plan_charges")
def plan_charges(request: Caller, target: Query[OfCompany], body: ChargesAsked) -> Any:
    """Charge what is due to saved cards and accounts; answers with the ids of what was asked for."""
    entity_id = books.entity(target.company or None).pk
    return done(actions.plan_charges(entity_id=entity_id, as_of=body.as_of, processor=service.current().name, **once(request)))


@room.does("/saved-methods/{int:method_id}/drop", "processor.drop_method")
def drop_method(request: Caller, method_id: Id) -> Any:
    """Charge a saved card or account no more; answers with its id."""
    return done(actions.drop_method(method_id=method_id, **once(request)))
