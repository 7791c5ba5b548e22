"""The team's pages of quotes: the list, one quote with how its prices came about, writing one, what was given off."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.catalog import promotions as rules
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound
from topline.kernel.money import format_amount, to_major
from topline.pipeline.models import Opportunity
from topline.pipeline.pages import day_of
from topline.quotes import actions, documents, forms, links, pricing, queries
from topline.quotes.models import Quote
from topline.team import queries as team
from topline.timeline import queries as timeline
from topline.ui.access import Asked, page
from topline.ui.charts import waterfall_chart
from topline.ui.export import MAX_ROWS, export
from topline.ui.format import percent
from topline.ui.tables import Column, listing

S = Quote.State
LIST = [
    Column("number", "Quote", "code", sort="number", link="url"), Column("deal", "Deal", link="deal_url"), Column("customer", "Customer", link="customer_url"), Column("rep", "Owner"),
    Column("state", "State", "badge", sort="state"), Column("net_minor", "Net", "money", sort="net_minor"), Column("currency", ""), Column("off", "Off list"),
    Column("sent_on", "Sent", "date", sort="sent_on"), Column("valid_until", "Valid until", "date", sort="valid_until"), Column("forecast", "", "badge"),
]  # fmt: skip
STEP_WORDS = {
    "list": "List", "price_book": "Price book", "volume": "Volume", "promotion": "Promotion", "manual": "By hand", "terms": "Payment terms", "fees": "Fees", "late_payment": "Late payment",
}  # fmt: skip
YEAR = timedelta(days=365)
BEHIND = ["by", "key", "reached", "since", "until"]  # the figure of Prices reached that a list stands behind


@page("quotes.view")
def quote_list(request: Asked) -> HttpResponse:
    """Quotes, the newest first."""
    entity = company(request)
    state = listing(request.path, request.GET.dict(), columns=LIST, default_sort="-id", filters=["q", "state", "deal", *BEHIND])
    wanted = state.filters.get("state", "")
    if wanted not in {"", *S.values}:
        raise Invalid(f"There is no state {wanted!r}.", field="state", remedy=f"Use one of {', '.join(S.values)}.")
    deal = state.filters.get("deal", "")
    if deal and not (deal.isdecimal() and len(deal) < 19):
        raise Invalid(f"{deal!r} is no deal.", field="deal", remedy="Use the number in the address of a deal.")
    found = queries.quotes(
        entity_id=entity.pk, state=wanted, text=state.filters.get("q", ""), opportunity_id=int(deal) if deal else None
    )
    behind = {name: state.filters.get(name, "") for name in BEHIND}
    if behind["by"]:
        span = day_of(behind["since"], "since"), day_of(behind["until"], "until")
        found = found & queries.behind(
            entity_id=entity.pk, by=behind["by"], key=behind["key"], state=behind["reached"], span=span
        )
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    rows = [
        _row(q) for q in found.select_related("opportunity__rep", "customer").order_by(*dict.fromkeys(state.order))[start:end]
    ]
    if state.export:
        return export(rows, LIST, name="quotes", form=state.export)
    asked = Opportunity.objects.filter(pk=int(deal)).first() if deal else None
    context = {
        "list": state,
        "rows": rows,
        "total": found.count(),
        "states": S.choices,
        "deal": asked,
        "behind": behind if behind["by"] else None,
        "waiting": _waiting(request, entity.pk),
    }
    return render(request, "quotes/quotes.html", context)


@page("quotes.view")
def quote(request: Asked, quote_id: int) -> HttpResponse:
    """One quote: its lines with every step of their prices, who must agree, what the customer did."""
    found = _quote(quote_id)
    steps = queries.steps(quote_id)
    lines: list[dict[str, Any]] = [
        {"line": line, "quantity": documents.plain(line.quantity_micro), "steps": [{**s, "words": STEP_WORDS[s["step"]]} for s in steps.get(line.pk, [])],
         "margin_minor": None if line.cost_minor is None else line.pocket_minor - line.cost_minor}
        for line in found.lines.select_related("product").order_by("position")
    ]  # fmt: skip
    bridge = _bridge(found, [s for line in steps.values() for s in line])
    need, floor = _need(found)
    approvals = list(found.approvals.order_by("-id")[:50])
    names = team.actor_names(
        {a.asked_by for a in approvals} | {a.decided_by for a in approvals if a.decided_by} | {found.created_by}
    )
    context = {
        "bridge": waterfall_chart(bridge, x="step", y="major", title="From list to pocket", y_title=found.currency, shown="shown") if found.list_minor else None,
        "bands": _bands(lines) if found.state == S.DRAFT else [], "deepest": percent(max((row["line"].discount_ppm for row in lines), default=0) / 10**6),
        "quote": found, "lines": lines, "need": need, "floor": floor, "is_agreed": need is None or actions.is_agreed(found, need), "approvals": approvals, "names": names,
        "closed": links.why_closed(found) if found.state != S.DRAFT else "", "versions": list(Quote.objects.filter(number=found.number).exclude(pk=found.pk).order_by("version")[:50]),
        "link": request.build_absolute_uri(reverse("quote_link:quote", args=[found.token])) if found.token else "", "off": _off(found),
        "signature": getattr(found, "signature", None), "document": getattr(found, "document", None),
        "spine": [{**m, "url": ""} for m in timeline.milestones(subject=("quote", found.pk), limit=50).to_dicts()], "promotions": [u.promotion for u in found.promotions.select_related("promotion").order_by("promotion__position")],
    }  # fmt: skip
    return render(request, "quotes/quote.html", context)


@page("quotes.write_quote", methods=("GET", "POST"))
def new(request: Asked) -> HttpResponse:
    """Write the first quote of a deal (`deal` in the address)."""
    asked = request.GET.get("deal", "")
    deal = (
        Opportunity.objects.select_related("entity", "customer").filter(pk=int(asked), is_withdrawn=False).first()
        if asked.isdecimal() and len(asked) < 19
        else None
    )
    if deal is None:
        raise NotFound("For which deal?", field="deal", remedy="Open a deal and press New quote.")
    return _write(request, deal, None)


@page("quotes.write_quote", methods=("GET", "POST"))
def write(request: Asked, quote_id: int) -> HttpResponse:
    """Change a draft, or begin the next version of a quote that was sent."""
    found = _quote(quote_id)
    return _write(request, found.opportunity, found)


@page("quotes.ask_approval", methods=("POST",))
def ask(request: Asked, quote_id: int) -> HttpResponse:
    """Ask the role that must agree."""
    actions.ask_approval(actor=request.actor, quote_id=quote_id, on=_today(request), reason=request.POST.get("reason", ""))
    messages.success(request, "Asked; a second person decides.")
    return redirect("quotes:quote", quote_id)


@page("quotes.decide_approval", methods=("POST",))
def decide(request: Asked, approval_id: int) -> HttpResponse:
    """Agree to a discount, or not."""
    agree = request.POST.get("agree", "")
    if agree not in ("yes", "no"):
        raise Invalid("Do you agree?", field="agree", remedy="Press one of the two buttons.")
    actions.decide_approval(
        actor=request.actor, approval_id=approval_id, on=_today(request), agree=agree == "yes", said=request.POST.get("said", "")
    )
    messages.success(request, "Agreed." if agree == "yes" else "Refused; who asked reads why.")
    return redirect("quotes:quotes")


@page("quotes.send_quote", methods=("POST",))
def send(request: Asked, quote_id: int) -> HttpResponse:
    """Fix a draft and make its link."""
    actions.send_quote(actor=request.actor, quote_id=quote_id, on=_today(request))
    messages.success(request, "It is fixed. Send the link below to the customer.")
    return redirect("quotes:quote", quote_id)


@page("quotes.mark_forecast", methods=("POST",))
def mark(request: Asked, quote_id: int) -> HttpResponse:
    """Let this quote stand for its deal in the forecast."""
    actions.mark_forecast(actor=request.actor, quote_id=quote_id, on=_today(request))
    messages.success(request, "The deal's amount is this quote's.")
    return redirect("quotes:quote", quote_id)


@page("quotes.withdraw_quote", methods=("POST",))
def withdraw(request: Asked, quote_id: int) -> HttpResponse:
    """Take a quote back."""
    actions.withdraw_quote(actor=request.actor, quote_id=quote_id, on=_today(request), reason=request.POST.get("reason", ""))
    messages.success(request, "It is taken back; its link says so.")
    return redirect("quotes:quote", quote_id)


@page("quotes.view")
def pdf(request: Asked, quote_id: int) -> HttpResponse:
    """The document: as it was sent, or of a draft as it would be."""
    found = _quote(quote_id)
    sent = getattr(found, "document", None)
    return as_pdf(bytes(sent.pdf) if sent else documents.quote_pdf(found)[0], found)


@page("quotes.view")
def realisation(request: Asked) -> HttpResponse:
    """What of the list prices reaches the pocket, by whom and where, and what promotions cost and went with."""
    entity = company(request)
    until = day_asked(request, entity) + timedelta(days=1)
    by, state = request.GET.get("by", "rep"), request.GET.get("state", queries.SOLD)
    if by not in queries.BY or state not in (queries.SOLD, queries.OFFERED):
        raise Invalid("There is no such view.", field="by", remedy="Choose one of the lists above the table.")
    found = queries.realisation(entity_id=entity.pk, since=until - YEAR, until=until, by=by, state=state)
    back = {"by": by, "reached": state, "since": until - YEAR, "until": until}
    rows = [
        {**r, "net_share": percent(r["net_share"]), "pocket_share": percent(r["pocket_share"]), "url": f"{reverse('quotes:quotes')}?{urlencode({**back, 'key': r['key']})}"}
        for r in found.to_dicts()
    ]  # fmt: skip
    moved = [Column(s, STEP_WORDS[s], "money") for s in queries.STEPS if any(r[s] for r in rows)]
    currency = [Column("currency", "")] if len({r["currency"] for r in rows}) > 1 else []
    columns = [
        Column("key", queries.BY[by], link="url"), Column("quotes", "Quotes", "integer", link="url"), Column("list_minor", "List", "money"), *(c for c in moved if c.key not in queries.AFTER_NET),
        Column("net_minor", "Net", "money"), *(c for c in moved if c.key in queries.AFTER_NET), Column("pocket_minor", "Pocket", "money"), *currency, Column("net_share", "Net of list"),
        Column("pocket_share", "Pocket of list"),
    ]  # fmt: skip
    if form := request.GET.get("export", ""):
        if form not in ("csv", "xlsx"):
            raise Invalid(f"{form!r} is no format for export.", field="export", remedy="Use csv or xlsx.")
        return export(rows, columns, name=f"prices-by-{by}", form=form)
    context = {
        "rows": rows, "columns": columns, "by": by, "groups": queries.BY, "state": state, "as_of": until - timedelta(days=1), "fewest": queries.FEWEST, "currency": rows[0]["currency"] if rows and not currency else "",
        "effects": queries.promotion_effects(entity_id=entity.pk, as_of=until - timedelta(days=1)),
    }  # fmt: skip
    return render(request, "quotes/realisation.html", context)


def as_pdf(content: bytes, quote: Quote) -> HttpResponse:
    """A PDF as an answer, shown in the browser under the quote's number."""
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{quote.number}-{quote.version}.pdf"'
    return response


# --- parts ---
def _write(request: Asked, deal: Opportunity, before: Quote | None) -> HttpResponse:
    today = clock.today(deal.entity.time_zone)
    choices = forms.products()
    if request.method == "POST":
        form, lines = forms.QuoteForm(request.POST), forms.LineSet(request.POST, form_kwargs={"products": choices})
        if "more" in request.POST:
            shown = [f.data.get(f"{f.prefix}-{name}") for f in lines.forms for name in ("product",)]
            form, lines = forms.QuoteForm(initial=request.POST.dict()), _blank(choices, _raw(lines), len(shown) + forms.ROWS)
        elif form.is_valid() and lines.is_valid():
            try:
                made = _save(request, deal, before, form, lines, today)
            except DomainError as error:
                form.add_error(error.field if error.field in form.fields else None, f"{error.message} {error.remedy}".strip())
            else:
                messages.success(request, "The draft is priced.")
                return redirect("quotes:quote", made)
    else:
        form = forms.QuoteForm(initial=_initial(before, today))
        rows = (
            forms.filled_from(before)
            if before
            else [
                {"product": line.product_id, "quantity": Decimal(line.quantity_micro) / 10**6}
                for line in deal.lines.order_by("id")[: forms.MOST_ROWS]
            ]
        )
        lines = _blank(choices, rows, max(len(rows) + 2, forms.ROWS))
    form.fields["promotions"].help_text = _running(today)
    title = (
        f"Quote for {deal.name}"
        if before is None
        else f"{before.number}: {'change the draft' if before.state == S.DRAFT else 'next version'}"
    )
    back = (
        (deal.name, reverse("pipeline:deal", args=[deal.pk]))
        if before is None
        else (before.number, reverse("quotes:quote", args=[before.pk]))
    )
    bad = request.method == "POST" and "more" not in request.POST
    return render(
        request,
        "quotes/write.html",
        {"form": form, "lines": lines, "title": title, "back": back, "deal": deal},
        status=400 if bad else 200,
    )


def _save(request: Asked, deal: Opportunity, before: Quote | None, form: forms.QuoteForm, lines: Any, today: date) -> int:
    said = form.cleaned_data
    return actions.write_quote(
        actor=request.actor, opportunity_id=deal.pk, lines=forms.lines_of([f.cleaned_data for f in lines.forms]), on=today, starts_on=said["starts_on"], months=said["months"],
        terms=said["terms"], bill_every=said["bill_every"], valid_until=said["valid_until"], price_book_id=said["price_book"], promotions=form.codes(), note=said["note"],
        quote_id=before.pk if before else None,
    )  # fmt: skip


def _running(today: date) -> str:
    """How to name promotions, and which could be named today."""
    codes = [p.code for p in rules.running(today)]
    return "codes, with commas between them" + (f"; running: {', '.join(codes)}" if codes else "; none is running")


def _initial(before: Quote | None, today: date) -> dict[str, Any]:
    usual = {
        "starts_on": today + timedelta(days=30),
        "months": 12,
        "bill_every": "once",
        "terms": "net 30",
        "valid_until": today + timedelta(days=actions.VALID_DAYS),
    }
    if before is None:
        return usual
    codes = ", ".join(before.promotions.order_by("promotion__position").values_list("promotion__code", flat=True))
    kept = {name: getattr(before, name) for name in ("starts_on", "months", "bill_every", "terms", "note")}
    return {**usual, **kept, "price_book": before.price_book_id, "promotions": codes}


def _blank(choices: list[tuple[Any, str]], rows: list[dict[str, Any]], count: int) -> Any:
    """A form of lines with some rows filled and others to fill."""
    count = min(count, forms.MOST_ROWS)
    return forms.LineSet(initial=[*rows, *({} for _ in range(count - len(rows)))], form_kwargs={"products": choices})


def _raw(lines: Any) -> list[dict[str, Any]]:
    """What stands in the rows, unchecked."""
    return [{name: f.data.get(f"{f.prefix}-{name}", "") for name in f.fields} for f in lines.forms]


def _bridge(quote: Quote, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The way of the whole quote from list to pocket: its lines' steps added up, with net and pocket as they stand."""
    sums = {name: sum(s["amount_minor"] for s in steps if s["step"] == name) for name in queries.STEPS}
    told = [("List", quote.list_minor), *((STEP_WORDS[name], minor) for name, minor in sums.items() if minor), ("Pocket", quote.pocket_minor)]  # fmt: skip
    return [
        {
            "step": words,
            "major": float(to_major(minor, quote.currency)),
            "shown": format_amount(minor, quote.currency),
        }
        for words, minor in told
    ]


def _bands(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How far each family of the quote may go off list by hand, and who must agree."""
    known = rules.bands()
    families = sorted({row["line"].product.family for row in lines})
    return [
        {"family": family or "other products", "steps": [(percent(up_to / 10**6), role or "nobody") for up_to, role in frame.iter_rows()]}
        for family in families if (frame := known.get(family, known.get(""))) is not None
    ]  # fmt: skip


def _need(quote: Quote) -> tuple[pricing.Need | None, str]:
    """Who must agree to a draft, and why nobody may, where it is below the floor by now."""
    if quote.state != S.DRAFT:
        return None, ""
    try:
        return actions.needed(quote), ""
    except pricing.BelowFloor as error:
        return None, error.message


def _row(quote: Quote) -> dict[str, Any]:
    return {
        "number": f"{quote.number}/{quote.version}", "url": reverse("quotes:quote", args=[quote.pk]), "deal": quote.opportunity.name, "deal_url": reverse("pipeline:deal", args=[quote.opportunity_id]),
        "customer": quote.customer.name, "customer_url": reverse("web:customer", args=[quote.customer_id]), "rep": quote.opportunity.rep.name, "state": quote.state, "net_minor": quote.net_minor,
        "currency": quote.currency, "off": _off(quote), "sent_on": quote.sent_on, "valid_until": quote.valid_until, "forecast": "forecast" if quote.is_forecast else "",
    }  # fmt: skip


def _off(quote: Quote) -> str:
    return percent((quote.list_minor - quote.net_minor) / quote.list_minor).replace(" ", "\u00a0") if quote.list_minor else "–"


def _waiting(request: Asked, entity_id: int) -> list[dict[str, Any]]:
    """Approvals that wait, each with whether the actor may decide it, and who else would."""
    found = actions.waiting(entity_id=entity_id)
    names = team.actor_names({a.asked_by for a in found})
    actor = request.actor
    may = actor.may("quotes.decide_approval")
    return [
        {"approval": a, "quote": a.quote, "who": names[a.asked_by], "may": may and actor.key != a.asked_by and bool(actor.roles & {a.approver, "Owner"}), "whose": pricing.a(a.approver)[:1].lower() + pricing.a(a.approver)[1:]}
        for a in found
    ]  # fmt: skip


def _quote(quote_id: int) -> Quote:
    found = Quote.objects.select_related("opportunity__rep", "customer", "entity", "price_book").filter(pk=quote_id).first()
    if found is None:
        raise NotFound(f"There is no quote {quote_id}.", field="quote_id", remedy="Look for it under Quotes.")
    return found


def _today(request: Asked) -> date:
    return clock.today(company(request).time_zone)
