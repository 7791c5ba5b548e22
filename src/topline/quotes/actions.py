"""Verbs of quotes for the team: write, ask, agree, send, withdraw. What the customer does stands in `links`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Max

from topline.engine.terms import parse_terms
from topline.kernel import bulk, clock, series
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.kernel.money import ensure_currency
from topline.pipeline import actions as pipeline
from topline.pipeline.models import Opportunity, Stage
from topline.quotes import documents, pricing
from topline.quotes.models import LatePayment, Quote, QuoteApproval, QuoteDocument, QuoteLine, QuotePriceStep, QuotePromotion
from topline.timeline import actions as timeline

S = Quote.State
A = QuoteApproval.State
CADENCES = ("once", "month", "quarter", "year")
VALID_DAYS = 30


class QuoteNotDraft(Conflict):
    """The quote was sent or withdrawn: it does not change any more."""

    code = "quote_not_draft"


class ApprovalNeeded(Conflict):
    """A discount lies outside the agreed band, and nobody has agreed to it yet."""

    code = "approval_needed"


class ApprovalDecided(Conflict):
    """Nothing waits to be agreed to."""

    code = "approval_decided"


class SamePerson(Conflict):
    """Who asks cannot agree."""

    code = "same_person"


class WrongRole(Conflict):
    """Another role must agree to this discount."""

    code = "wrong_role"


@action("quotes.write_quote")
def write_quote(
    *,
    actor: Actor,
    opportunity_id: int,
    lines: pl.DataFrame,
    on: date,
    starts_on: date,
    months: int = 12,
    terms: str = "net 30",
    bill_every: str = "once",
    valid_until: date | None = None,
    currency: str = "",
    price_book_id: int | None = None,
    promotions: Sequence[str] = (),
    note: str = "",
    quote_id: int | None = None,
) -> int:
    """Write a quote for a deal, or write one anew; returns the id of the draft.

    lines     as pricing.LINE
    on        the day whose prices count
    quote_id  a draft is replaced as a whole; of a sent one (or a later end of it) the next version is begun
    valid_until  default thirty days from `on`
    Raises: NotFound, Invalid, pricing.BelowFloor, pricing.BudgetSpent, pipeline.OpportunityClosed, pipeline.NotYourDeal.
    """
    before = _quote(quote_id) if quote_id is not None else None
    ensure(before is None or before.opportunity_id == opportunity_id, Invalid("The quote is of another deal.", field="quote_id"))
    ensure(
        before is None or before.state != S.ACCEPTED,
        QuoteNotDraft("An accepted quote is not written anew.", field="quote_id", remedy="Change the contract instead."),
    )
    deal = _open_deal(actor, opportunity_id, on)
    currency = currency or (before.currency if before else deal.currency)
    ensure_currency(currency)
    ensure(
        currency == deal.currency,
        Invalid(f"The deal is in {deal.currency}.", field="currency", remedy="Quote in the currency of the deal."),
    )
    valid_until = valid_until or on + timedelta(days=VALID_DAYS)
    ensure(
        valid_until >= on, Invalid("It would be over before it is written.", field="valid_until", remedy="Choose a later day.")
    )
    ensure(1 <= months <= 1_200, Invalid("A quote lasts 1 to 1,200 months.", field="months"))
    ensure(
        bill_every in CADENCES,
        Invalid(f"{bill_every!r} is no cadence.", field="bill_every", remedy=f"Use one of {', '.join(CADENCES)}."),
    )
    if deal.customer_id is None:
        raise Invalid("The deal names no customer.", field="opportunity_id", remedy="Name the customer in the deal first.")
    segment = deal.segment or deal.customer.segment  # type: ignore[union-attr]
    number = before.number if before else _number(deal.entity_id)
    late = LatePayment.objects.filter(customer_id=deal.customer_id).values_list("late_ppm", flat=True).first()
    priced = pricing.price(
        lines, currency=currency, on=on, price_book_id=price_book_id, codes=promotions, segment=segment, terms=parse_terms(terms), late_ppm=late or 0, number=number,
    )  # fmt: skip
    facts: dict[str, Any] = {
        "currency": currency, "price_book_id": price_book_id, "segment": segment, "terms": terms.strip(), "bill_every": bill_every, "starts_on": starts_on,
        "months": months, "valid_until": valid_until, "note": note.strip()[:2_000], "priced_on": on,
        **{f"{kind}_minor": int(priced.lines[f"{kind}_minor"].sum()) for kind in ("list", "net", "pocket")},
    }  # fmt: skip
    if before is not None and before.state == S.DRAFT:
        quote = before
        _clear(quote)
        for name, value in facts.items():
            setattr(quote, name, value)
        quote.save()
    else:
        last = Quote.objects.filter(number=number).aggregate(v=Max("version"))["v"] or 0
        drafts = list(Quote.objects.filter(number=number, state=S.DRAFT).values_list("version", flat=True))
        ensure(
            not drafts,
            Conflict(
                f"Version {drafts[0] if drafts else ''} of {number} is being written.",
                field="quote_id",
                remedy="Change that one.",
            ),
        )
        quote = Quote.objects.create(
            number=number, version=last + 1, entity_id=deal.entity_id, opportunity=deal, customer_id=deal.customer_id, created_at=clock.now(), created_by=actor.key, **facts
        )  # fmt: skip
    _write_lines(quote, priced)
    changed(
        "quote", quote.pk, after={"number": number, "version": quote.version, "net_minor": quote.net_minor, "currency": currency}
    )
    return quote.pk


@action("quotes.ask_approval")
def ask_approval(*, actor: Actor, quote_id: int, on: date, reason: str) -> int:
    """Ask the role that must agree to a draft's discounts; returns the approval's id.

    Raises: NotFound, QuoteNotDraft, Invalid (no reason, nobody need agree), ApprovalDecided (it waits or is agreed already).
    """
    ensure(
        bool(reason.strip()), Invalid("Say why the discount is worth it.", field="reason", remedy="Whoever agrees wants to know.")
    )
    quote = _draft(quote_id)
    need = needed(quote)
    if need is None:
        raise Invalid("Nobody need agree to this quote.", field="quote_id", remedy="Send it.")
    ensure(not is_agreed(quote, need), ApprovalDecided("It is agreed already.", field="quote_id", remedy="Send it."))
    ensure(
        not quote.approvals.filter(state=A.WAITING).exists(),
        ApprovalDecided("It waits already.", field="quote_id", remedy="Wait for the answer."),
    )
    made = QuoteApproval.objects.create(
        quote=quote, approver=need.approver, discount_ppm=need.discount_ppm, net_minor=quote.net_minor, why=need.why, reason=reason.strip()[:500], asked_on=on, asked_by=actor.key
    )  # fmt: skip
    changed("quote", quote.pk, after={"approval": made.pk, "approver": need.approver, "why": need.why})
    return made.pk


@action("quotes.decide_approval")
def decide_approval(*, actor: Actor, approval_id: int, on: date, agree: bool, said: str = "") -> int:
    """Agree to a discount, or not; returns the approval's id.

    Raises: NotFound, ApprovalDecided, SamePerson, WrongRole, Invalid (a refusal without a word).
    """
    found = QuoteApproval.objects.select_for_update().filter(pk=approval_id).select_related("quote").first()
    if found is None:
        raise NotFound(f"There is no approval {approval_id}.", field="approval_id")
    ensure(found.state == A.WAITING, ApprovalDecided(f"It is {found.state} already.", field="approval_id"))
    ensure(
        actor.key != found.asked_by,
        SamePerson("Who asks for a discount cannot agree to it.", field="approval_id", remedy="Ask another person who may."),
    )
    ensure(
        bool(actor.roles & {found.approver, "Owner"}),
        WrongRole(f"{pricing.a(found.approver)} must agree to this.", field="approval_id", remedy="Ask one of them."),
    )
    ensure(agree or bool(said.strip()), Invalid("Say why not.", field="said", remedy="Who asked wants to know."))
    found.state, found.said, found.decided_on, found.decided_by = (
        A.APPROVED if agree else A.REFUSED,
        said.strip()[:500],
        on,
        actor.key,
    )
    found.save()
    changed("quote", found.quote_id, before={"approval": A.WAITING}, after={"approval": found.state, "said": found.said})
    return found.pk


@action("quotes.send_quote")
def send_quote(*, actor: Actor, quote_id: int, on: date) -> str:
    """Fix a draft: its PDF and its public address are made, earlier versions can no longer be accepted. Returns the last part of the address.

    The first quote of a deal that is sent becomes its forecast one.
    Raises: NotFound, QuoteNotDraft, ApprovalNeeded, Invalid (prices are older than the day or it is over), pricing.BudgetSpent, pipeline.*.
    """
    quote = _draft(quote_id)
    _open_deal(actor, quote.opportunity_id, on)
    need = needed(quote)
    ensure(
        need is None or is_agreed(quote, need),
        ApprovalNeeded(
            f"{need.who if need else ''} must agree first. {need.why if need else ''}",
            field="quote_id",
            remedy="Ask for it on the quote's page.",
        ),
    )
    ensure(
        quote.valid_until >= on,
        Invalid(f"It was valid until {quote.valid_until}.", field="valid_until", remedy="Write it anew with a later day."),
    )
    pricing.ensure_promotions(quote, on=on)
    for older in Quote.objects.select_for_update().filter(number=quote.number, state=S.SENT):
        close(older, S.SUPERSEDED, on, f"Version {quote.version} was sent")
    quote.state, quote.sent_on, quote.token = S.SENT, on, secrets.token_urlsafe(32)
    quote.save()
    pdf, sha256 = documents.quote_pdf(quote)
    QuoteDocument.objects.create(quote=quote, pdf=pdf, sha256=sha256, made_at=clock.now())
    if not Quote.objects.filter(opportunity_id=quote.opportunity_id, is_forecast=True).exclude(number=quote.number).exists():
        _mark(actor, quote, on)
    _tell("quote_sent", quote, actor, on)
    changed("quote", quote.pk, before={"state": S.DRAFT}, after={"state": S.SENT, "sha256": sha256})
    return quote.token


@action("quotes.mark_forecast")
def mark_forecast(*, actor: Actor, quote_id: int, on: date) -> int:
    """Let this quote stand for its deal in the forecast: the deal's amount becomes the quote's. Returns the quote's id.

    Raises: NotFound, Invalid (it cannot be accepted any more), pipeline.OpportunityClosed, pipeline.NotYourDeal.
    """
    quote = _quote(quote_id)
    ensure(
        quote.state in (S.DRAFT, S.SENT),
        Invalid(f"The quote is {quote.state}.", field="quote_id", remedy="Choose one that may still be accepted."),
    )
    _mark(actor, quote, on)
    return quote.pk


@action("quotes.withdraw_quote")
def withdraw_quote(*, actor: Actor, quote_id: int, on: date, reason: str) -> int:
    """Take a quote back that is not accepted; its link says so. Returns its id. Raises: NotFound, QuoteNotDraft, Invalid (no reason)."""
    quote = _quote(quote_id)
    ensure(bool(reason.strip()), Invalid("Say why it is taken back.", field="reason"))
    ensure(
        quote.state in (S.DRAFT, S.SENT),
        QuoteNotDraft(f"The quote is {quote.state}.", field="quote_id", remedy="Nothing is left to take back."),
    )
    quote.approvals.filter(state=A.WAITING).update(state=A.DROPPED)
    close(quote, S.WITHDRAWN, on, reason)
    _tell("quote_withdrawn", quote, actor, on, note=reason)
    return quote.pk


@action("quotes.set_late_costs")
def set_late_costs(*, actor: Actor, costs: pl.DataFrame, as_of: date) -> int:
    """Keep what it costs that customers pay late, for the pocket price of the next quotes; returns how many customers.

    costs   customer_id, late_ppm (share of what is billed). Work: three statements.
    """
    known = bulk.read(LatePayment.objects.values("id", "customer_id"))
    rows = costs.with_columns(as_of=pl.lit(as_of)).join(known, on="customer_id", how="left")
    bulk.update(LatePayment, rows.filter(pl.col("id").is_not_null()).select("id", "late_ppm", "as_of"))
    bulk.insert(LatePayment, rows.filter(pl.col("id").is_null()).drop("id"))
    changed("late_payment", 1, after={"as_of": as_of, "customers": costs.height})
    return costs.height


def needed(quote: Quote) -> pricing.Need | None:
    """Who must agree to a quote as it stands, under the bands of now."""
    return pricing.need_of(quote)


def is_agreed(quote: Quote, need: pricing.Need) -> bool:
    """Whether somebody of that role agreed to as deep a discount, on this version or an earlier one: what is no worse is not asked again."""
    agreed = QuoteApproval.objects.filter(quote__number=quote.number, state=A.APPROVED, discount_ppm__gte=need.discount_ppm)
    return any(pricing.covers(role, need.approver) for role in agreed.values_list("approver", flat=True))


def waiting(*, entity_id: int, limit: int = 50) -> list[QuoteApproval]:
    """Discounts that wait for somebody's word, the oldest first. One statement."""
    found = QuoteApproval.objects.filter(quote__entity_id=entity_id, state=A.WAITING).select_related(
        "quote__customer", "quote__opportunity"
    )
    return list(found.order_by("id")[:limit])


# --- parts ---
def _quote(quote_id: int) -> Quote:
    found = Quote.objects.select_for_update().filter(pk=quote_id).first()
    if found is None:
        raise NotFound(f"There is no quote {quote_id}.", field="quote_id")
    return found


def _draft(quote_id: int) -> Quote:
    found = _quote(quote_id)
    ensure(
        found.state == S.DRAFT, QuoteNotDraft(f"The quote is {found.state}.", field="quote_id", remedy="Write its next version.")
    )
    return found


def _open_deal(actor: Actor, opportunity_id: int, on: date) -> Opportunity:
    deal = (
        Opportunity.objects.select_for_update(of=("self",))
        .filter(pk=opportunity_id, is_withdrawn=False)
        .select_related("customer")
        .first()
    )
    if deal is None:
        raise NotFound(f"There is no deal {opportunity_id}.", field="opportunity_id")
    pipeline.ensure_mine(actor, deal)
    ensure(
        deal.state == Stage.Kind.OPEN,
        pipeline.OpportunityClosed(f"{deal.number} is {deal.state}.", field="opportunity_id", remedy="Open it again first."),
    )
    return deal


def _number(entity_id: int) -> str:
    return str(series.take(entity_id=entity_id, code="quote", count=1, prefix="Q-")[0])


def _clear(quote: Quote) -> None:
    quote.approvals.filter(state=A.WAITING).update(state=A.DROPPED)
    QuotePriceStep.objects.filter(line__quote=quote).delete()
    QuoteLine.objects.filter(quote=quote).delete()
    QuotePromotion.objects.filter(quote=quote).delete()


def _write_lines(quote: Quote, priced: pricing.Priced) -> None:
    columns = [
        "position",
        *pricing.LINE,
        "unit_price_nano",
        "list_minor",
        "net_minor",
        "pocket_minor",
        "cost_minor",
        "discount_ppm",
    ]
    written = bulk.insert(QuoteLine, priced.lines.select(*columns, quote_id=pl.lit(quote.pk)))
    ids = written.select(line_id="position", _pk="id")
    steps = priced.steps.join(ids, on="line_id", maintain_order="left").drop("line_id").rename({"_pk": "line_id"})
    bulk.insert(QuotePriceStep, steps)
    QuotePromotion.objects.bulk_create(
        [QuotePromotion(quote=quote, promotion=p, cost_minor=cost) for p, cost in priced.promotions]
    )


def close(quote: Quote, state: str, on: date, because: str) -> None:
    """End a quote that was not accepted. Raises: Invalid (a day before it was sent)."""
    ensure(
        quote.sent_on is None or on >= quote.sent_on,
        Invalid(f"{quote.number} was sent on {quote.sent_on}, after {on}.", field="on", remedy="Choose that day or a later one."),
    )
    before = quote.state
    quote.state, quote.closed_on, quote.closed_because, quote.is_forecast = state, on, because.strip()[:500], False
    quote.save()
    changed("quote", quote.pk, before={"state": before}, after={"state": state, "because": quote.closed_because})


def _mark(actor: Actor, quote: Quote, on: date) -> None:
    Quote.objects.filter(opportunity_id=quote.opportunity_id, is_forecast=True).update(is_forecast=False)
    quote.is_forecast = True
    quote.save(update_fields=["is_forecast"])
    pipeline.change_opportunity(
        actor=actor, opportunity_id=quote.opportunity_id, changes={"amount_minor": quote.net_minor}, on=on
    )
    changed("quote", quote.pk, after={"is_forecast": True})


def _tell(kind: str, quote: Quote, actor: Actor, on: date, note: str = "") -> None:
    timeline.record_one(
        kind, subject="quote", subject_id=quote.pk, actor=actor, on=on, customer_id=quote.customer_id, amount_minor=quote.net_minor, currency=quote.currency,
        note=": ".join(filter(None, (f"{quote.number}/{quote.version}", note)))[:300],
    )  # fmt: skip
