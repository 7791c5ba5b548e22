"""Ladders of reminders: what is sent to whom and when, by segment, and the page that sets them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.collections import queries, reminders
from topline.collections.forms import LadderForm, Steps
from topline.collections.letters import letter, letters
from topline.engine import dunning
from topline.kernel.errors import DomainError, NotFound
from topline.kernel.money import format_amount, parse_amount
from topline.market import queries as market
from topline.ui.access import Asked, page
from topline.ui.blame import blame

EVERYBODY = "everybody else"


@page("collections.view")
def ladders(request: Asked) -> HttpResponse:
    """Every ladder with its steps in words, and the letters that they send."""
    entity = company(request)
    found = queries.policies(entity_id=entity.pk)
    shown = [
        {
            "policy": policy,
            "name": policy.segment or EVERYBODY,
            "steps": [{"step": step, "when": when(step.days), "ways": [dunning.in_words(way) for way in step.ways]} for step in dunning.parse_steps(policy.steps)],
        }
        for policy in found
    ]  # fmt: skip
    facts = {
        "person": "Ada Pay",
        "numbers": "INV-000001",
        "count": "1",
        "total": "1,000.00 EUR",
        "seller": entity.name,
        "less": "20.00 EUR",
        "until": "12 March 2026",
    }
    texts = [{"key": key, "subject": letter(key, "en", **facts)[0], "body": letter(key, "en", **facts)[1]} for key in letters()]
    taken = {policy.segment for policy in found}
    free = [segment for segment in market.segment_names() if segment not in taken]
    context = {"ladders": shown, "letters": texts, "free": free, "has_default": "" in taken, "home": entity.currency}
    return render(request, "collections/ladders.html", context)


@page("collections.set_policy", methods=("GET", "POST"))
def ladder(request: Asked) -> HttpResponse:
    """Set the ladder of a segment, or of everybody else; a new one begins with the usual steps."""
    entity = company(request)
    segment = request.GET.get("segment", "")
    known = next((policy for policy in queries.policies(entity_id=entity.pk) if policy.segment == segment), None)
    if known is None and segment and segment not in market.segment_names():
        raise NotFound(f"No customer is in a segment {segment!r}.", field="segment", remedy="Choose one on the page of ladders.")
    before = dunning.parse_steps(known.steps) if known else dunning.LADDER
    form = LadderForm(request.POST or None, initial=_settings(known, entity.currency))
    steps = Steps(
        request.POST or None, initial=[asdict(step) for step in before], prefix="step", form_kwargs={"letters": letters()}
    )
    if form.is_valid() and steps.is_valid():
        kept = {step.key: step for step in before}
        rows = [_row(said, kept) for said in steps.cleaned_data if said.get("key") and not said.get("DELETE")]
        try:
            minimum = parse_amount(form.cleaned_data["minimum"] or "0", entity.currency)
            hours = {name: form.cleaned_data[name] for name in ("quiet_from_hour", "quiet_until_hour", "is_on")}
            reminders.set_policy(
                actor=request.actor, entity_id=entity.pk, segment=segment, steps=rows, minimum_minor=minimum, **hours
            )
        except DomainError as error:
            blame(form, error, {"minimum_minor": "minimum", "amount": "minimum"})
        else:
            messages.success(request, f"The ladder for {segment or EVERYBODY} is set.")
            return redirect("collections:ladders")
    context = {
        "form": form,
        "steps": steps,
        "name": segment or EVERYBODY,
        "is_new": known is None,
        "home": entity.currency,
        "back": reverse("collections:ladders"),
    }
    return render(request, "collections/ladder.html", context, status=400 if form.errors or steps.total_error_count() else 200)


def when(days: int) -> str:
    """A day of the ladder in words."""
    if days == 0:
        return "on the due day"
    return f"{abs(days)} day{'s' if abs(days) > 1 else ''} {'after' if days > 0 else 'before'} it is due"


def _settings(known: Any, currency: str) -> dict[str, Any]:
    if known is None:
        return {"minimum": format_amount(0, currency), "quiet_until_hour": 8, "quiet_from_hour": 18, "is_on": True}
    return {
        "minimum": format_amount(known.minimum_minor, currency), "quiet_until_hour": known.quiet_until_hour, "quiet_from_hour": known.quiet_from_hour, "is_on": known.is_on,
    }  # fmt: skip


def _row(said: dict[str, Any], kept: dict[str, dunning.Step]) -> dict[str, Any]:
    """A step as data; its second way stays, for that has a page of its own."""
    row: dict[str, Any] = {name: said[name] for name in ("key", "days", "channel", "template", "needs_approval")}
    if (before := kept.get(said["key"])) is not None and before.alternative is not None:
        row |= {"alternative": asdict(before.alternative), "is_randomised": before.is_randomised}
    return row
