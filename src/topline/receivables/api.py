"""Payments, what they settle, and what is owed, over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import polars as pl
from ninja import Query
from pydantic import Field

from topline.books import queries as books
from topline.kernel import clock
from topline.market import queries as market
from topline.receivables import actions, figures, matching, offers, queries, statement_delivery, statements, write_offs
from topline.receivables.models import MatchProposal, Payment, StatementDelivery
from topline.ui.wire import (
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Currency,
    Day,
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
    numbered,
    once,
    page,
    rows,
)

room = Room(tags=["Payments and receivables"])
COLUMNS = ["id", "entity_id", "customer_id", "bank_account_id", "state", "number", "currency", "amount_minor", "allocated_minor", "received_on", "method",
           "reference", "payer_name", "import_batch_id"]  # fmt: skip
ALLOCATION = [*queries.ALLOCATION, "recorded_at", "reverses_id"]
DELIVERED = ["id", "customer_id", "since", "until", "recipient", "state", "queued_at", "sent_at", "note"]
Reason = Annotated[str, Field(max_length=200)]


PROPOSAL = ["id", "payment_id", "state", "rule", "links", "confidence_ppm", "reason", "proposed_at", "decided_at"]


class ProposalsAsked(Asked):
    state: Literal["", "waiting", "posted", "confirmed", "rejected", "superseded"] = ""


class MatchDay(Body):
    as_of: Day


class ConfirmDay(Body):
    on: Day


class PaymentsAsked(Asked):
    customer_id: Id | None = None
    state: Literal["", "received", "returned"] = ""


class AllocationsAsked(Asked):
    payment_id: Id | None = None
    invoice_id: Id | None = None


class AgingAsked(OfCompany):
    as_of: Day | None = None
    by: Literal["due", "issued"] = "due"


class StatementAsked(OfCompany):
    since: Day
    until: Day


class AccountsAsked(StatementAsked):
    after: Annotated[int, Field(ge=0, description="the last customer that was seen")] = 0


class SentStatements(Body):
    customer_ids: Ids
    since: Day
    until: Day
    recipient: Annotated[str, Field(max_length=254)] = ""


class NewPayment(Body):
    customer_id: Ref | None = None
    currency: Currency
    amount_minor: Positive
    received_on: Day
    number: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    bank_account_id: Ref | None = None
    method: Annotated[str, Field(max_length=30)] = ""
    reference: Annotated[str, Field(max_length=140)] = ""
    payer_name: Name = ""


class NewPayments(Body):
    payments: Annotated[list[NewPayment], Field(min_length=1, max_length=MAX_ROWS)]


class Link(Body):
    payment_id: Ref
    invoice_id: Ref
    amount_minor: Positive
    discount_minor: Whole = 0
    fee_minor: Whole = 0


class Links(Body):
    links: Annotated[list[Link], Field(min_length=1, max_length=MAX_ROWS)]
    on: Day


class CreditLink(Body):
    invoice_id: Ref
    amount_minor: Positive


class CreditLinks(Body):
    links: Annotated[list[CreditLink], Field(min_length=1, max_length=MAX_ROWS)]
    on: Day


class Unapply(Body):
    allocation_ids: Ids
    on: Day
    reason: Reason = ""


class Refund(Body):
    amount_minor: Positive
    on: Day
    reason: Reason = ""


class WriteOff(Body):
    invoice_ids: Ids
    on: Day
    reason: Reason


class WriteOffProposed(Body):
    invoice_id: Ref
    on: Day
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class DecisionDay(Body):
    on: Day


class WriteOffRefused(Body):
    on: Day
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class Return(Body):
    payment_ids: Ids
    on: Day
    reason: Reason = ""


class OffersAsked(OfCompany):
    as_of: Day | None = None


class NewOffer(Body):
    invoice_id: Ref
    discount_minor: Positive
    expected_on: Day | None = None


class NewOffers(Body):
    offers: Annotated[list[NewOffer], Field(min_length=1, max_length=MAX_ROWS)]
    valid_until: Day
    on: Day


class Taking(Body):
    payment_id: Ref
    on: Day


@room.reads("/payments", "receivables.view", Page)
def list_payments(request: Caller, asked: Query[PaymentsAsked]) -> Any:
    """Payments; what is left of one is amount_minor less allocated_minor."""
    wanted = {n: v for n in ("customer_id", "state") if (v := getattr(asked, n))}
    return page(Payment.objects.filter(entity_id=books.entity(asked.company or None).pk, **wanted), COLUMNS, asked)


@room.reads("/payments/{int:payment_id}", "receivables.view")
def get_payment(request: Caller, payment_id: Id) -> Any:
    """One payment with the allocations that stand."""
    found = queries.payment(payment_id)
    standing = queries.standing_allocations(payment_ids=[payment_id])
    return {**{name: getattr(found, name) for name in COLUMNS}, "allocations": standing.to_dicts()}


@room.reads("/allocations", "receivables.view", Page)
def list_allocations(request: Caller, asked: Query[AllocationsAsked]) -> Any:
    """What settled what; an allocation that was undone has a mirror row whose reverses_id names it."""
    wanted = {n: v for n in ("payment_id", "invoice_id") if (v := getattr(asked, n))}
    return page(queries.allocations_of(books.entity(asked.company or None).pk).filter(**wanted), ALLOCATION, asked)


@room.reads("/allocations/{int:allocation_id}", "receivables.view")
def get_allocation(request: Caller, allocation_id: Id) -> Any:
    """One allocation."""
    return queries.allocations([allocation_id]).row(0, named=True)


@room.reads("/aging", "receivables.view")
def aging(request: Caller, asked: Query[AgingAsked]) -> Any:
    """Receivables by days past due (or since issue) at the end of a day: per currency and bucket, and per customer."""
    entity = books.entity(asked.company or None)
    as_of = asked.as_of or clock.today(entity.time_zone)
    found = figures.aged(entity_id=entity.pk, as_of=as_of, by=asked.by)
    buckets = found.buckets.with_columns(pl.col("bucket").cast(pl.String))
    return {"as_of": as_of, "by": asked.by, "buckets": buckets.to_dicts(), "customers": found.customers.to_dicts()}


@room.reads("/customers/{int:customer_id}/statement", "receivables.view", Rows)
def statement_of_account(request: Caller, customer_id: Id, asked: Query[StatementAsked]) -> Any:
    """A customer's account over a span: an opening row, each movement, the balance after it."""
    statements.ensure_span(asked.since, asked.until)
    ids = market.customer_detail(customer_id).ids
    entity_id = books.entity(asked.company or None).pk
    return rows(statements.statement_of_account(entity_id=entity_id, customer_ids=ids, since=asked.since, until=asked.until))


@room.reads("/statements-of-account", "receivables.view", Rows)
def list_accounts(request: Caller, asked: Query[AccountsAsked]) -> Any:
    """Accounts that moved in a span or stand open after it, by customer and currency, in the order of customers after a customer."""
    statements.ensure_span(asked.since, asked.until)
    found = statements.accounts(entity_id=books.entity(asked.company or None).pk, since=asked.since, until=asked.until)
    return rows(found.filter(pl.col("customer_id") > asked.after).head(MAX_ROWS))


@room.reads("/statement-deliveries", "receivables.view", Page)
def list_statement_deliveries(request: Caller, asked: Query[Asked]) -> Any:
    """Statements of account that were sent, or came back."""
    return page(StatementDelivery.objects.all(), DELIVERED, asked)


@room.does("/statements-of-account/send", "receivables.send_statements", Rows)
def send_statements(request: Caller, target: Query[OfCompany], body: SentStatements) -> Any:
    """Queue statements of account to be sent; answers with the delivery of each, or why there is none."""
    entity_id = books.entity(target.company or None).pk
    return rows(statement_delivery.send_statements(entity_id=entity_id, **body.model_dump(), **once(request)))


@room.does("/payments", "receivables.record_payments", Rows)
def record_payments(request: Caller, target: Query[OfCompany], body: NewPayments) -> Any:
    """Book money that came in; answers with id and number of each, in order."""
    entity_id = books.entity(target.company or None).pk
    payments = numbered(frame(body.payments))
    return rows(actions.record_payments(entity_id=entity_id, payments=payments, **once(request)))


@room.does("/payments/apply", "receivables.apply_cash", Rows)
def apply_cash(request: Caller, body: Links) -> Any:
    """Apply payments to documents, many to many; answers with the allocations."""
    return rows(actions.apply_cash(links=frame(body.links), on=body.on, **once(request)))


@room.does("/payments/return", "receivables.return_payment")
def return_payments(request: Caller, body: Return) -> Any:
    """The bank took payments back; all that they settled opens again. Answers with how many."""
    return done(actions.return_payments(payment_ids=body.payment_ids, on=body.on, reason=body.reason, **once(request)))


@room.does("/payments/{int:payment_id}/refund", "receivables.refund", Rows)
def refund(request: Caller, payment_id: Id, body: Refund) -> Any:
    """Give unapplied money back; answers with the allocation."""
    return rows(actions.refund(payment_id=payment_id, **body.model_dump(), **once(request)))


@room.does("/allocations/unapply", "receivables.unapply", Rows)
def unapply(request: Caller, body: Unapply) -> Any:
    """Undo allocations; answers with their mirror rows."""
    return rows(actions.unapply(allocation_ids=body.allocation_ids, on=body.on, reason=body.reason, **once(request)))


@room.does("/invoices/write-off", "receivables.write_off", Rows)
def write_off(request: Caller, body: WriteOff) -> Any:
    """Give up what is open on documents, as far as one person may; answers with the allocations."""
    return rows(actions.write_off(invoice_ids=body.invoice_ids, on=body.on, reason=body.reason, **once(request)))


@room.reads("/write-offs", "receivables.view", Rows)
def list_write_offs(request: Caller, asked: Query[OfCompany]) -> Any:
    """Write-offs that were proposed (at most 200), those that wait for a second person first."""
    found = write_offs.proposals(entity_id=books.entity(asked.company or None).pk)
    return rows(pl.DataFrame(found, infer_schema_length=None))


@room.does("/write-offs", "receivables.propose_write_off")
def propose_write_off(request: Caller, body: WriteOffProposed) -> Any:
    """Ask a second person to give up what is open on an invoice; answers with the proposal's id."""
    return done(write_offs.propose_write_off(**body.model_dump(), **once(request)))


@room.does("/write-offs/{int:proposal_id}/approve", "receivables.approve_write_off")
def approve_write_off(request: Caller, proposal_id: Id, body: DecisionDay) -> Any:
    """Agree to a write-off that somebody else proposed; it is booked."""
    return done(write_offs.approve_write_off(proposal_id=proposal_id, on=body.on, **once(request)))


@room.does("/write-offs/{int:proposal_id}/refuse", "receivables.refuse_write_off")
def refuse_write_off(request: Caller, proposal_id: Id, body: WriteOffRefused) -> Any:
    """Not agree to a write-off; the invoice stays open."""
    return done(write_offs.refuse_write_off(proposal_id=proposal_id, **body.model_dump(), **once(request)))


@room.does("/credit-notes/{int:credit_note_id}/apply", "receivables.apply_credit_note", Rows)
def apply_credit_note(request: Caller, credit_note_id: Id, body: CreditLinks) -> Any:
    """Use a credit note against documents; answers with the allocations."""
    return rows(actions.apply_credit_note(credit_note_id=credit_note_id, links=frame(body.links), on=body.on, **once(request)))


@room.reads("/offers", "receivables.view", Rows)
def list_offers(request: Caller, asked: Query[OffersAsked]) -> Any:
    """Offers of a discount for paying by a day, newest first (at most 200), with what became of them and their yearly cost."""
    entity = books.entity(asked.company or None)
    return {"items": offers.offers(entity.pk, as_of=asked.as_of or clock.today(entity.time_zone))}


@room.does("/offers", "receivables.make_offers", Rows)
def make_offers(request: Caller, body: NewOffers) -> Any:
    """Offer a discount on invoices that are paid by a day; answers with each offer's id and yearly cost (millionths)."""
    return rows(offers.make_offers(offers=frame(body.offers), valid_until=body.valid_until, on=body.on, **once(request)))


@room.does("/offers/{int:offer_id}/withdraw", "receivables.withdraw_offer")
def withdraw_offer(request: Caller, offer_id: Id) -> Any:
    """Take an offer back; answers with its id."""
    return done(offers.withdraw_offer(offer_id=offer_id, **once(request)))


@room.does("/offers/{int:offer_id}/take", "receivables.take_offer", Rows)
def take_offer(request: Caller, offer_id: Id, body: Taking) -> Any:
    """Settle an invoice by a payment that came in time; answers with the allocations."""
    return rows(offers.take_offer(offer_id=offer_id, **body.model_dump(), **once(request)))


@room.reads("/match-proposals", "receivables.view", Page)
def list_match_proposals(request: Caller, asked: Query[ProposalsAsked]) -> Any:
    """What the matcher proposed per payment, with its confidence (of a million) and the reason in words."""
    wanted = {"state": asked.state} if asked.state else {}
    return page(
        MatchProposal.objects.filter(payment__entity_id=books.entity(asked.company or None).pk, **wanted), PROPOSAL, asked
    )


@room.does("/payments/match", "receivables.match_payments", Rows)
def match_payments(request: Caller, target: Query[OfCompany], body: MatchDay) -> Any:
    """Apply what is certain and queue what is doubtful; answers with the new proposals."""
    entity_id = books.entity(target.company or None).pk
    return rows(matching.match_payments(entity_id=entity_id, as_of=body.as_of, **once(request)))


@room.does("/payments/book-bank-lines", "receivables.book_bank_lines", Rows)
def book_bank_lines(request: Caller, target: Query[OfCompany]) -> Any:
    """Bank credits become payments, or are linked to the payments that stand for them already; answers with each line."""
    return rows(matching.book_bank_lines(entity_id=books.entity(target.company or None).pk, **once(request)))


@room.does("/match-proposals/{int:proposal_id}/confirm", "receivables.confirm_match", Rows)
def confirm_match(request: Caller, proposal_id: Id, body: ConfirmDay) -> Any:
    """Apply what is proposed and learn the payer; answers with the allocations."""
    return rows(matching.confirm_match(proposal_id=proposal_id, on=body.on, **once(request)))


@room.does("/match-proposals/{int:proposal_id}/reject", "receivables.reject_match")
def reject_match(request: Caller, proposal_id: Id) -> Any:
    """The proposal is wrong; answers with the payment's id."""
    return done(matching.reject_match(proposal_id=proposal_id, **once(request)))
