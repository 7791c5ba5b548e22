"""The market's landscape: a competitor with prices, assessments and card; what customers say; the reading path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode

from topline.books.company import company, day_asked
from topline.kernel import clock
from topline.kernel.errors import DomainError, Invalid, NotFound, ensure
from topline.kernel.money import exponent
from topline.market import battlecards, briefs, competitors, experience, prices, queries, segments
from topline.market.landscape_forms import (
    AssessmentForm,
    BattlecardForm,
    ChangeCompetitorForm,
    CompetitorForm,
    ExperienceForm,
    PriceForm,
    SegmentForm,
)
from topline.team.queries import actor_names
from topline.ui.access import Asked, page
from topline.ui.charts import bar_chart
from topline.ui.export import MAX_ROWS, export
from topline.ui.format import address_in
from topline.ui.tables import Column, listing

PRICES = [
    Column("product", "Product"), Column("compares_with", "Against"), Column("price", "Price", "amount"), Column("currency", ""), Column("unit", "per"),
    Column("change", "Change, %", "decimal"), Column("valid_from", "Since", "date"), Column("seen_on", "Seen", "date"), Column("source", "Source", "sentence", link="source_url"),
]  # fmt: skip
HISTORY = [Column("valid_from", "Since", "date"), *PRICES[:1], *PRICES[2:5], Column("seen_on", "Seen", "date"), Column("source", "Source", "sentence", link="source_url")]  # fmt: skip
SAID = [
    Column("name", "Who", link="url"), Column("nps", "Would recommend (NPS)"), Column("csat", "Content (CSAT)"), Column("tickets", "Tickets", "integer"),
    Column("per_customer", "Tickets a customer", "decimal"), Column("wait", "Half answered within", "decimal"),
]  # fmt: skip
RECORDS = [
    Column("on", "Day", "date", sort="on"), Column("customer__name", "Customer", sort="customer__name", link="url"), Column("competitor__name", "About", sort="competitor__name"),
    Column("segment", "Segment", sort="segment"), Column("kind", "Kind", sort="kind"), Column("score", "Score", "integer", sort="score"), Column("topic", "Topic", sort="topic"),
    Column("text", "Words", "sentence"), Column("hours", "Hours to answer", "decimal", sort="response_minutes"),
]  # fmt: skip
SHOWN = 20  # price changes on a competitor's page


@page("market.view")
def competitor(request: Asked, competitor_id: int) -> HttpResponse:
    """One competitor: what they sell for how much, where they are strong and weak, how to win, what customers say."""
    as_of = day_asked(request, company(request))
    found = competitors.competitor(competitor_id)
    fresh = battlecards.freshness(as_of=as_of, competitor_id=competitor_id)
    us, them = experience.against(competitor_id, as_of=as_of)
    card = battlecards.battlecard(competitor_id)
    themes = competitors.assessments(competitor_id)
    keys = [a.reviewed_by for t in themes for a in (*t.strengths, *t.weaknesses)] + ([card.reviewed_by] if card else [])
    changes = competitors.price_changes(competitor_id=competitor_id).filter(pl.col("valid_from") <= as_of)
    context = {
        "found": found, "as_of": as_of, "met": competitors.segments_of([competitor_id])[competitor_id], "card": card, "fresh": fresh[0] if fresh else None,
        "themes": themes, "weights": competitors.WEIGHTS, "who": actor_names(keys),
        "prices": [_price(r) for r in competitors.prices(as_of=as_of, competitor_id=competitor_id).to_dicts()], "price_columns": PRICES,
        "changes": [_price(r) for r in changes.head(SHOWN).to_dicts()], "change_columns": HISTORY, "changes_total": changes.height,
        "said": [_said(them), _said(us)], "said_columns": SAID,
    }  # fmt: skip
    return render(request, "market/competitor.html", context)


@page("market.add_competitor", methods=("GET", "POST"))
def new_competitor(request: Asked) -> HttpResponse:
    """Add a competitor."""
    form = CompetitorForm(request.POST or None)
    return _form(
        request, form, "New competitor", ("Market", reverse("web:market")),
        lambda data: reverse("landscape:competitor", args=[competitors.add_competitor(actor=request.actor, **data)]),
    )  # fmt: skip


@page("market.change_competitor", methods=("GET", "POST"))
def edit_competitor(request: Asked, competitor_id: int) -> HttpResponse:
    """Change a competitor's facts."""
    found = competitors.competitor(competitor_id)
    told = ", ".join(competitors.segments_of([competitor_id])[competitor_id])
    initial = {name: getattr(found, name) for name in ("name", "website", "notes", "owner_id", "is_active")} | {"segments": told}
    form = ChangeCompetitorForm(request.POST or None, initial=initial)
    return _of_competitor(request, competitor_id, form, "Change", lambda data: competitors.change_competitor(actor=request.actor, competitor_id=competitor_id, changes=data))  # fmt: skip


@page("market.add_competitor_prices", methods=("GET", "POST"))
def new_price(request: Asked, competitor_id: int) -> HttpResponse:
    """Write down a price as it was seen."""
    entity = company(request)
    today = clock.today(entity.time_zone)
    form = PriceForm(request.POST or None, initial={"currency": entity.currency, "seen_on": today, "valid_from": today})

    def add(data: dict[str, Any]) -> None:
        nano = int(data.pop("price").scaleb(exponent(data["currency"]) + 9))
        competitors.add_competitor_prices(actor=request.actor, competitor_id=competitor_id, prices=pl.DataFrame([{**data, "unit_price_nano": nano}]))  # fmt: skip

    return _of_competitor(request, competitor_id, form, "A price", add)


@page("market.add_assessment", methods=("GET", "POST"))
def new_assessment(request: Asked, competitor_id: int) -> HttpResponse:
    """Write down a strength or weakness."""
    today = clock.today(company(request).time_zone)
    form = AssessmentForm(request.POST or None, initial={"since": today, "weight": 2, "theme": request.GET.get("theme", "")})
    return _of_competitor(request, competitor_id, form, "Strength or weakness", lambda data: competitors.add_assessment(actor=request.actor, competitor_id=competitor_id, **data))  # fmt: skip


@page("market.review_assessment", methods=("POST",))
def review_assessment(request: Asked, assessment_id: int) -> HttpResponse:
    """It still holds."""
    competitors.review_assessment(actor=request.actor, assessment_id=assessment_id, on=clock.today(company(request).time_zone))
    messages.success(request, "Noted: it still holds.")
    return redirect(_back(request))


@page("market.retire_assessment", methods=("POST",))
def retire_assessment(request: Asked, assessment_id: int) -> HttpResponse:
    """It no longer holds."""
    on = clock.today(company(request).time_zone)
    competitors.retire_assessment(actor=request.actor, assessment_id=assessment_id, on=on, reason=request.POST.get("reason", ""))
    messages.success(request, "Retired; it is kept for the record.")
    return redirect(_back(request))


@page("market.write_battlecard", methods=("GET", "POST"))
def write_battlecard(request: Asked, competitor_id: int) -> HttpResponse:
    """Write a competitor's card, or write it anew."""
    card = battlecards.battlecard(competitor_id)
    initial: dict[str, Any] = {}
    if card:
        initial = {name: getattr(card, name) for name in ("how_to_win", "landmines", "proof", "review_every_days")}
        initial["objections"] = "\n".join(f"{o['objection']} | {o['answer']}" for o in card.objections)
    form = BattlecardForm(request.POST or None, initial=initial)
    on = clock.today(company(request).time_zone)
    return _of_competitor(request, competitor_id, form, "Battlecard", lambda data: battlecards.write_battlecard(actor=request.actor, competitor_id=competitor_id, on=on, **data))  # fmt: skip


@page("market.review_battlecard", methods=("POST",))
def review_battlecard(request: Asked, competitor_id: int) -> HttpResponse:
    """Read against what is known now, and it holds."""
    battlecards.review_battlecard(actor=request.actor, competitor_id=competitor_id, on=clock.today(company(request).time_zone))
    messages.success(request, "The card is fresh.")
    return redirect("landscape:competitor", competitor_id)


@page("market.describe_segment", methods=("GET", "POST"))
def describe_segment(request: Asked) -> HttpResponse:
    """Say what a segment is, and how large."""
    entity = company(request)
    name = request.GET.get("name", "")
    known = next((s for s in segments.overview(entity=entity, as_of=clock.today(entity.time_zone)) if s.name == name), None)
    form = SegmentForm(request.POST or None, initial={"name": name, "currency": entity.currency, "description": known.description if known else ""})  # fmt: skip

    def describe(data: dict[str, Any]) -> str:
        spend = data.pop("spend")
        minor = None if spend is None else int(spend.scaleb(exponent(data["currency"])))
        segments.describe_segment(actor=request.actor, spend_minor=minor, **data)
        return f"{reverse('web:segment')}?{urlencode({'name': data['name'].strip()})}"

    return _form(request, form, f"Describe {name}" if name else "Describe a segment", ("Market", reverse("web:market")), describe)


@page("market.view")
def experience_page(request: Asked) -> HttpResponse:
    """What customers say, of us by segment and of competitors, by quarter, and every record behind it."""
    as_of = day_asked(request, company(request))
    state = listing(
        request.path, request.GET.dict(), columns=RECORDS, default_sort="-on", filters=["q", "segment", "kind", "about", "as_of"]
    )
    about, segment, kind = (state.filters.get(name, "") for name in ("about", "segment", "kind"))
    ensure(kind in {"", "nps", "csat", "ticket"}, Invalid(f"{kind!r} is no kind of record.", field="kind"))
    found = experience.experience(as_of=as_of, segment=segment)
    rows = experience.records(
        since=found.since, until=as_of, segment=segment, kind=kind, about_us=True if about == "us" else None,
        competitor_id=int(about) if about.isdecimal() and len(about) < 10 else None,
    )  # fmt: skip
    if wanted := state.filters.get("q"):
        rows = rows.filter(customer__name__icontains=wanted)
    total = rows.count()
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    values = rows.order_by(*state.order).values(
        "id", "on", "customer_id", "customer__name", "competitor__name", "segment", "kind", "score", "topic", "text", "response_minutes"
    )[start:end]  # fmt: skip
    shown = [
        {
            **r, "competitor__name": r["competitor__name"] or "us", "url": reverse("web:customer", args=[r["customer_id"]]) if r["customer_id"] else "",
            "hours": None if r["response_minutes"] is None else r["response_minutes"] / 60,
        }
        for r in values
    ]  # fmt: skip
    if state.export:
        return export(shown, RECORDS, name="experience", form=state.export)
    known = [{"quarter": q.name, "nps": q.nps.value, "shown": experience.words(q.nps)} for q in found.quarters if q.nps.is_enough]
    drawn = bar_chart(
        known, x="quarter", y="nps", title="Net promoter score by quarter", y_title="NPS", shown="shown", height=150
    )
    context = {
        "list": state, "rows": shown, "total": total, "found": found, "as_of": as_of, "columns": SAID, "us": found.us, "words": experience.words,
        "segments": [_said(g) for g in found.segments], "rivals": [_said(g) for g in (found.us, *found.rivals)],
"chart": drawn if len(known) > 1 else None, "quarters": [_said(g) for g in found.quarters],
        "rival_names": competitors.names(), "segment_names": segments.choices(),
    }  # fmt: skip
    return render(request, "market/experience.html", context)


@page("market.record_experience", methods=("GET", "POST"))
def new_experience(request: Asked) -> HttpResponse:
    """Write down what one customer told."""
    form = ExperienceForm(request.POST or None, initial={"on": clock.today(company(request).time_zone)})

    def add(data: dict[str, Any]) -> str:
        text, hours = data.pop("customer").strip(), data.pop("response_hours")
        customer = queries.find(pl.Series([text]))["customer_id"][0] if text else None
        ensure(not text or customer is not None, NotFound(f"No customer is called {text!r}.", field="customer", remedy="Use the number or the full name."))  # fmt: skip
        row = {**data, "customer_id": customer, "response_minutes": None if hours is None else int(hours * 60)}
        experience.record_experience(actor=request.actor, records=pl.DataFrame([row]))
        return reverse("landscape:experience")

    return _form(request, form, "What a customer told", ("Experience", reverse("landscape:experience")), add)


@page("market.view")
def reading_path(request: Asked) -> HttpResponse:
    """The briefs that a newcomer reads, in order, with one's own marks."""
    steps = briefs.reading_path(request.actor.member_id)
    context = {
        "steps": steps,
        "read": sum(1 for s in steps if s.read_on),
        "readers": briefs.readers(),
        "brief_url": reverse("web:brief"),
    }
    return render(request, "market/reading.html", context)


@page("market.mark_read", methods=("POST",))
def mark_read(request: Asked) -> HttpResponse:
    """Mark a brief as read, or take the mark back; then the next one that is unread."""
    key = request.POST.get("brief", "")
    briefs.mark_read(actor=request.actor, brief=key, is_read="unread" not in request.POST)
    return redirect("landscape:reading")


@page("market.set_reading_path", methods=("GET", "POST"))
def set_reading_path(request: Asked) -> HttpResponse:
    """Which briefs stand on the path, in which order, and why."""
    known = briefs.titles()
    now = {s.key: s for s in briefs.reading_path(None)}
    typed, refused = {k: (str(s.position), s.why) for k, s in now.items()}, None
    if request.method == "POST":
        typed = {k: (request.POST.get(f"position-{k}", "").strip(), request.POST.get(f"why-{k}", "")) for k in known}
        try:
            chosen = [(_place(place, known[k]), k, why) for k, (place, why) in typed.items() if place]
            briefs.set_reading_path(actor=request.actor, steps=[(k, why) for _, k, why in sorted(chosen)])
        except DomainError as error:
            refused = error
        else:
            messages.success(request, "The path is set.")
            return redirect("landscape:reading")
    context = {"known": known, "typed": typed, "refused": refused}
    return render(request, "market/path.html", context, status=400 if refused else 200)


def _place(text: str, title: str) -> int:
    ensure(
        text.isdecimal() and len(text) < 5, Invalid(f"{title}: {text!r} is no place.", field="position", remedy="Count from 1.")
    )
    return int(text)


def _price(row: dict[str, Any]) -> dict[str, Any]:
    before = row.get("before_nano")
    change = 100 * (row["unit_price_nano"] / before - 1) if before else None
    return {
        **row,
        "price": prices.unit_price(row["unit_price_nano"], row["currency"]),
        "change": change,
        "source_url": address_in(row["source"]),
    }


def _said(group: experience.Group) -> dict[str, Any]:
    wait = group.tickets.median_minutes
    return {
        "name": group.name, "url": reverse("landscape:competitor", args=[group.competitor_id]) if group.competitor_id else "", "nps": experience.words(group.nps),
        "csat": experience.words(group.csat, percent=True), "tickets": group.tickets.count, "per_customer": group.tickets.per_customer,
        "wait": None if wait is None else wait / 60,
    }  # fmt: skip


def _back(request: Asked) -> str:
    competitor_id = request.POST.get("competitor", "")
    known = competitor_id.isdecimal() and len(competitor_id) < 19
    return reverse("landscape:competitor", args=[int(competitor_id)]) if known else reverse("web:market")


def _of_competitor(
    request: Asked, competitor_id: int, form: forms.Form, title: str, verb: Callable[[dict[str, Any]], Any]
) -> HttpResponse:
    name = competitors.competitor(competitor_id).name
    back = (name, reverse("landscape:competitor", args=[competitor_id]))

    def do(data: dict[str, Any]) -> str:
        verb(data)
        return back[1]

    return _form(request, form, f"{title}: {name}", back, do)


def _form(
    request: Asked, form: forms.Form, title: str, back: tuple[str, str], verb: Callable[[dict[str, Any]], str]
) -> HttpResponse:
    """A form on a page of its own; what the verb refuses stands at its field, else on to the address that it answers."""
    if form.is_valid():
        try:
            there = verb(dict(form.cleaned_data))
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            messages.success(request, "Saved.")
            return redirect(there)
    return render(request, "ui/form.html", {"form": form, "title": title, "back": back}, status=400 if form.errors else 200)
