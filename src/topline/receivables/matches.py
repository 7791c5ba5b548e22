"""The page of cash application: the queue of proposals, with a decision per row."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.kernel import clock
from topline.receivables import matching
from topline.ui.access import Asked, page

SHOWN = 50  # rows of the queue on one page; deciding them brings up the next


@page("receivables.view")
def queue(request: Asked) -> HttpResponse:
    """What waits for a person, surest first; `row` is the row whose Confirm has the focus."""
    entity = company(request)
    waiting = matching.queue(entity.pk)
    rows = matching.shown(waiting[:SHOWN], as_of=clock.today(entity.time_zone))
    asked = request.GET.get("row", "")
    focus = min(int(asked), len(rows) - 1) if asked.isdecimal() and len(asked) < 6 else 0
    weeks = [w for w in matching.quality(entity.pk).to_dicts() if w["precision"] is not None][-8:]
    context = {"rows": rows, "total": waiting.count(), "focus": focus, "weeks": weeks}
    return render(request, "receivables/matches.html", context)


@page("receivables.match_payments", methods=("POST",))
def run(request: Asked) -> HttpResponse:
    """Book bank credits, apply what is certain, queue the rest."""
    entity = company(request)
    matching.book_bank_lines(actor=request.actor, entity_id=entity.pk)
    made = matching.match_payments(actor=request.actor, entity_id=entity.pk, as_of=clock.today(entity.time_zone))
    posted = int((made["state"] == "posted").sum())
    messages.success(request, f"{posted} payments were applied; {made.height - posted} are new in the queue.")
    return redirect("receivables:matches")


@page("receivables.confirm_match", methods=("POST",))
def confirm(request: Asked, proposal_id: int) -> HttpResponse:
    """Apply what a row proposes; the next row has the focus."""
    matching.confirm_match(actor=request.actor, proposal_id=proposal_id, on=clock.today(company(request).time_zone))
    messages.success(request, "Applied, and the payer is known from now on.")
    return _next(request)


@page("receivables.reject_match", methods=("POST",))
def reject(request: Asked, proposal_id: int) -> HttpResponse:
    """The row is wrong; the next row has the focus."""
    matching.reject_match(actor=request.actor, proposal_id=proposal_id)
    messages.success(request, "Rejected; the payment stays unapplied.")
    return _next(request)


def _next(request: Asked) -> HttpResponse:
    row = request.POST.get("row", "")
    return redirect(reverse("receivables:matches") + (f"?row={row}" if row.isdecimal() and len(row) < 6 else ""))
