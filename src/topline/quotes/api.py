"""Quotes over HTTP: what the team does. What a customer does stands behind the link of a quote."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from topline.kernel.errors import NotFound
from topline.quotes import actions, pricing, queries
from topline.quotes.models import Quote, QuoteApproval
from topline.ui.wire import Asked, Body, Caller, Code, Day, Flag, Id, Page, Ref, Room, Share, done, frame, once, page

room = Room(tags=["Quotes"])
QUOTE = ["id", "number", "version", "opportunity_id", "customer_id", "state", "is_forecast", "currency", "price_book_id", "segment", "terms", "bill_every", "starts_on", "months", "valid_until",
         "priced_on", "list_minor", "net_minor", "pocket_minor", "sent_on", "first_viewed_at", "closed_on", "closed_because"]  # fmt: skip
QUOTED = ["id", "position", "product_id", "description", "quantity_micro", "periods", "begins_after_months", "unit_price_nano", "list_minor", "net_minor", "pocket_minor", "cost_minor", "manual_ppm",
         "discount_ppm"]  # fmt: skip
APPROVAL = [
    "id",
    "quote_id",
    "approver",
    "discount_ppm",
    "net_minor",
    "why",
    "reason",
    "state",
    "asked_on",
    "asked_by",
    "decided_on",
    "decided_by",
    "said",
]
Said = Annotated[str, Field(max_length=500)]


class QuotesAsked(Asked):
    opportunity_id: Annotated[int, Field(ge=0)] = 0
    state: Code = ""


class QuotedLine(Body):
    product_id: Ref
    description: Annotated[str, Field(max_length=300)] = ""
    quantity_micro: Annotated[int, Field(strict=True, ge=1, le=10**14, description="millionths of a unit")] = 1_000_000
    periods: Annotated[int, Field(strict=True, ge=1, le=1_200)] = 1
    begins_after_months: Annotated[int, Field(strict=True, ge=0, le=1_200)] = 0
    manual_ppm: Share = 0


class NewQuote(Body):
    opportunity_id: Ref
    lines: Annotated[list[QuotedLine], Field(min_length=1, max_length=pricing.MAX_LINES)]
    on: Day
    starts_on: Day
    months: Annotated[int, Field(strict=True, ge=1, le=1_200)] = 12
    terms: Annotated[str, Field(max_length=60)] = "net 30"
    bill_every: Literal["once", "month", "quarter", "year"] = "once"
    valid_until: Day | None = None
    price_book_id: Ref | None = None
    promotions: Annotated[list[Annotated[str, Field(max_length=30)]], Field(max_length=20)] = []
    note: Annotated[str, Field(max_length=2_000)] = ""
    quote_id: Ref | None = None


class ApprovalAsked(Body):
    on: Day
    reason: Said


class ApprovalDecision(Body):
    on: Day
    agree: Flag
    said: Said = ""


class QuoteDay(Body):
    on: Day


class QuoteTakenBack(Body):
    on: Day
    reason: Said


@room.reads("/quotes", "quotes.view", Page)
def list_quotes(request: Caller, asked: Query[QuotesAsked]) -> Any:
    """Quotes, narrowed by deal and state."""
    wanted = {name: value for name, value in (("opportunity_id", asked.opportunity_id), ("state", asked.state)) if value}
    return page(Quote.objects.filter(**wanted), QUOTE, asked)


@room.reads("/quotes/{int:quote_id}", "quotes.view")
def get_quote(request: Caller, quote_id: Id) -> Any:
    """One quote: its lines, each with every step from list to pocket, its promotions and the fingerprint of its document."""
    found = Quote.objects.filter(pk=quote_id).first()
    if found is None:
        raise NotFound(f"There is no quote {quote_id}.", field="quote_id")
    steps = queries.steps(quote_id)
    lines = [{**line, "steps": steps.get(line["id"], [])} for line in found.lines.order_by("position").values(*QUOTED)]
    document = getattr(found, "document", None)
    codes = list(found.promotions.order_by("promotion__position").values_list("promotion__code", flat=True))
    return {
        **{name: getattr(found, name) for name in QUOTE},
        "lines": lines,
        "promotions": codes,
        "sha256": document.sha256 if document else None,
    }


@room.reads("/quote-approvals", "quotes.view", Page)
def list_approvals(request: Caller, asked: Query[Asked]) -> Any:
    """Discounts that somebody was asked to agree to."""
    return page(QuoteApproval.objects.all(), APPROVAL, asked)


@room.does("/quotes", "quotes.write_quote")
def write_quote(request: Caller, body: NewQuote) -> Any:
    """Write a quote of a deal, or write a draft anew, or begin the next version of a sent one; answers with the draft's id."""
    said = body.model_dump(exclude={"lines"})
    return done(actions.write_quote(lines=frame(body.lines), **said, **once(request)))


@room.does("/quotes/{int:quote_id}/ask", "quotes.ask_approval")
def ask_approval(request: Caller, quote_id: Id, body: ApprovalAsked) -> Any:
    """Ask the role that must agree; answers with the approval's id."""
    return done(actions.ask_approval(quote_id=quote_id, on=body.on, reason=body.reason, **once(request)))


@room.does("/quote-approvals/{int:approval_id}/decide", "quotes.decide_approval")
def decide_approval(request: Caller, approval_id: Id, body: ApprovalDecision) -> Any:
    """Agree to a discount, or not; answers with the approval's id."""
    return done(actions.decide_approval(approval_id=approval_id, on=body.on, agree=body.agree, said=body.said, **once(request)))


@room.does("/quotes/{int:quote_id}/send", "quotes.send_quote")
def send_quote(request: Caller, quote_id: Id, body: QuoteDay) -> Any:
    """Fix a draft; answers with the last part of its public address, /q/<it>/."""
    return done(actions.send_quote(quote_id=quote_id, on=body.on, **once(request)))


@room.does("/quotes/{int:quote_id}/mark-forecast", "quotes.mark_forecast")
def mark_forecast(request: Caller, quote_id: Id, body: QuoteDay) -> Any:
    """Let the quote stand for its deal in the forecast; answers with its id."""
    return done(actions.mark_forecast(quote_id=quote_id, on=body.on, **once(request)))


@room.does("/quotes/{int:quote_id}/withdraw", "quotes.withdraw_quote")
def withdraw_quote(request: Caller, quote_id: Id, body: QuoteTakenBack) -> Any:
    """Take a quote back; answers with its id."""
    return done(actions.withdraw_quote(quote_id=quote_id, on=body.on, reason=body.reason, **once(request)))
