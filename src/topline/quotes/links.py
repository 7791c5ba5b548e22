"""What the customer does on the link of a quote: view it, ask, accept and sign, decline. The link is the right: nobody signs in."""

from __future__ import annotations

from datetime import timedelta

from topline.books.models import Entity
from topline.kernel import clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.pipeline import actions as pipeline
from topline.pipeline.models import Stage
from topline.quotes import actions
from topline.quotes.models import Quote, QuoteSignature
from topline.team import actions as team
from topline.team.models import Area, Member
from topline.timeline import actions as timeline

S = Quote.State
ANSWER_DAYS = 2
VERBS = frozenset(
    {
        "quotes.view_quote",
        "quotes.ask_question",
        "quotes.accept_quote",
        "quotes.decline_quote",
        "pipeline.win_opportunity",
        pipeline.ANY_DEAL,
        "team.add_task",
    }
)  # what a link may do, to its own quote alone


class QuoteNotOpen(Conflict):
    """The quote can no longer be accepted."""

    code = "quote_not_open"


def customer_behind(quote: Quote) -> Actor:
    """Whoever holds the link of a quote."""
    return Actor(key=f"quote:{quote.pk}", name=f"link of {quote.number}", permissions=VERBS)


def by_token(token: str) -> Quote:
    """The quote of a link. Raises: NotFound, which does not say whether there ever was one."""
    found = (
        Quote.objects.filter(token=token)
        .exclude(token=None)
        .select_related("entity", "customer", "opportunity", "opportunity__rep")
        .first()
        if token
        else None
    )
    if found is None:
        raise NotFound("There is no quote at this address.", remedy="Ask the people who sent it for a new link.")
    return found


def why_closed(quote: Quote) -> str:
    """Why a quote cannot be accepted today, in words; empty while it can."""
    today = clock.today(quote.entity.time_zone)
    said = {
        S.ACCEPTED: "This quote is accepted already.", S.DECLINED: "This quote was declined.", S.SUPERSEDED: "A newer version of this quote was sent.",
        S.WITHDRAWN: "This quote was taken back.", S.DRAFT: "This quote is not sent yet.",
    }  # fmt: skip
    if quote.state != S.SENT:
        return said[S(quote.state)]
    if quote.valid_until < today:
        return f"This quote was valid until {quote.valid_until:%d %b %Y}."
    return "" if quote.opportunity.state == Stage.Kind.OPEN else "This quote is no longer open."


@action("quotes.view_quote")
def view_quote(*, actor: Actor, quote_id: int) -> int:
    """The customer opened the link; the first time is a milestone. Returns the quote's id. Raises: NotFound."""
    quote = _own(actor, quote_id)
    if quote.first_viewed_at is None and quote.state == S.SENT:
        quote.first_viewed_at = clock.now()
        quote.save(update_fields=["first_viewed_at"])
        _tell("quote_viewed", quote, actor)
        changed("quote", quote.pk, after={"first_viewed_at": quote.first_viewed_at})
    return quote.pk


@action("quotes.ask_question")
def ask_question(*, actor: Actor, quote_id: int, question: str) -> int:
    """The customer asks; whoever sells the deal gets a task. Returns the quote's id. Raises: NotFound, Invalid (no question)."""
    quote = _own(actor, quote_id)
    asked = question.strip()[:2_000]
    ensure(bool(asked), Invalid("Write your question.", field="question", remedy="We answer within two days."))
    _tell("quote_question", quote, actor, note=asked)
    _task(actor, quote, "Answer the question on", asked)
    changed("quote", quote.pk, after={"question": asked})
    return quote.pk


@action("quotes.accept_quote")
def accept_quote(
    *, actor: Actor, quote_id: int, name: str, title: str, sha256: str, ip: str | None = None, user_agent: str = ""
) -> int:
    """The customer accepts and signs what they saw: the deal is won at the quote's amount, in the same transaction. Returns the quote's id.

    sha256  of the document that was shown; another one was sent meanwhile if it differs
    A second click does nothing and is no error.
    Raises: NotFound, Invalid (no name or title, another document), QuoteNotOpen (expired, superseded, declined, taken back, deal closed).
    """
    quote = _own(actor, quote_id)
    if quote.state == S.ACCEPTED:
        return quote.pk
    closed = why_closed(quote)
    wanted = "the link of the newer one" if quote.state == S.SUPERSEDED else "a new one"
    ensure(not closed, QuoteNotOpen(closed, field="quote_id", remedy=f"Ask the people who sent it for {wanted}."))
    ensure(bool(name.strip()), Invalid("Write your name.", field="name", remedy="It stands for your signature."))
    ensure(
        bool(title.strip()), Invalid("Write what you are in your company.", field="title", remedy="Such as managing director.")
    )
    ensure(
        quote.document.sha256 == sha256,
        Invalid(
            "The document has changed since you opened this page.", field="sha256", remedy="Open the link again and read it."
        ),
    )
    today = clock.today(quote.entity.time_zone)
    QuoteSignature.objects.create(
        quote=quote,
        name=name.strip()[:200],
        title=title.strip()[:200],
        ip=ip,
        user_agent=user_agent[:300],
        sha256=sha256,
        signed_at=clock.now(),
    )
    for other in (
        Quote.objects.select_for_update()
        .filter(opportunity_id=quote.opportunity_id, state__in=[S.DRAFT, S.SENT])
        .exclude(pk=quote.pk)
    ):
        actions.close(other, S.WITHDRAWN, today, f"{quote.number}/{quote.version} was accepted")
    quote.state, quote.closed_on, quote.is_forecast = S.ACCEPTED, today, True
    Quote.objects.filter(opportunity_id=quote.opportunity_id, is_forecast=True).update(is_forecast=False)
    quote.save()
    pipeline.win_opportunity(
        actor=actor, opportunity_id=quote.opportunity_id, on=today, amount_minor=quote.net_minor, said_by=name
    )
    _tell("quote_accepted", quote, actor, note=f"{name.strip()}, {title.strip()}")
    changed(
        "quote",
        quote.pk,
        before={"state": S.SENT},
        after={"state": S.ACCEPTED, "name": name.strip(), "title": title.strip(), "sha256": sha256},
    )
    return quote.pk


@action("quotes.decline_quote")
def decline_quote(*, actor: Actor, quote_id: int, because: str) -> int:
    """The customer says no; the deal stays open for whoever sells it, who gets a task. Returns the quote's id.

    Raises: NotFound, Invalid (no word), QuoteNotOpen.
    """
    quote = _own(actor, quote_id)
    ensure(
        bool(because.strip()),
        Invalid("A word on why helps us.", field="because", remedy="Such as: too dear, too late, another offer."),
    )
    closed = why_closed(quote)
    ensure(not closed, QuoteNotOpen(closed, field="quote_id"))
    actions.close(quote, S.DECLINED, clock.today(quote.entity.time_zone), because)
    _tell("quote_declined", quote, actor, note=because)
    _task(actor, quote, "Decide about", f"Declined: {because.strip()}")
    return quote.pk


# --- parts ---
def _own(actor: Actor, quote_id: int) -> Quote:
    """The quote, locked; a link reaches its own alone."""
    found = (
        Quote.objects.select_for_update(of=("self",))
        .select_related("entity", "opportunity")
        .filter(pk=quote_id)
        .exclude(state=S.DRAFT)
        .first()
    )
    own = not actor.key.startswith("quote:") or actor.key == f"quote:{quote_id}"
    if found is None or not own:
        raise NotFound(f"There is no quote {quote_id}.", field="quote_id")
    return found


def _task(actor: Actor, quote: Quote, what: str, note: str) -> None:
    """For whoever sells the deal, else who owns sales; where nobody does, the milestone alone tells it."""
    seller = (
        Member.objects.filter(is_active=True, pk=quote.opportunity.rep.member_id).first()
        if quote.opportunity.rep.member_id
        else None
    )
    assignee = seller.pk if seller else Area.objects.filter(key="sales").values_list("owner_id", flat=True).first()
    if assignee is not None:
        team.add_task(
            actor=actor, title=f"{what} {quote.number}", assignee_id=assignee, due_on=clock.today(quote.entity.time_zone) + timedelta(days=ANSWER_DAYS), note=note,
            about_kind="quote", about_id=quote.pk,
        )  # fmt: skip


def _tell(kind: str, quote: Quote, actor: Actor, note: str = "") -> None:
    entity: Entity = quote.entity
    timeline.record_one(
        kind, subject="quote", subject_id=quote.pk, actor=actor, on=clock.today(entity.time_zone), customer_id=quote.customer_id, amount_minor=quote.net_minor,
        currency=quote.currency, note=": ".join(filter(None, (f"{quote.number}/{quote.version}", note)))[:300],
    )  # fmt: skip
