"""The page of cash application: the queue of proposals, with a decision per row."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.receivables import actions, matching, returns
from topline.ui.access import Asked, page

LATELY = 15  # applied matches that are listed to be undone
SHOWN = 50  # rows of the queue on one page; deciding them brings up the next


@page("receivables.view")
def queue(request: Asked) -> HttpResponse:
    """What waits for a person, surest first (`row` is the row that has the focus), and what was applied lately, to be undone."""
    entity = company(request)
    waiting = matching.queue(entity.pk)
    rows = matching.shown(waiting[:SHOWN], as_of=clock.today(entity.time_zone))
    asked = request.GET.get("row", "")
    focus = min(int(asked), len(rows) - 1) if asked.isdecimal() and len(asked) < 6 else 0
    today = clock.today(entity.time_zone)
    lately = matching.shown(matching.decided(entity.pk)[:LATELY], as_of=today)
    weeks = [w for w in matching.quality(entity.pk).to_dicts() if w["precision"] is not None][-8:]
    context = {
        "rows": rows,
        "total": waiting.count(),
        "focus": focus,
        "weeks": weeks,
        "lately": lately,
        "taken_back": returns.taken_back(entity_id=entity.pk, as_of=today),
    }
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


@page("receivables.return_payment", methods=("POST",))
def take_back(request: Asked, line_id: int) -> HttpResponse:
    """The debit of a statement took a payment back: what it settled opens again, and the debit is no longer open."""
    entity = company(request)
    told = returns.taken_back(entity_id=entity.pk, as_of=clock.today(entity.time_zone))
    line = next((row for row in told if row["line_id"] == line_id), None)
    payment = next((c for c in line["choices"] if str(c["payment_id"]) == request.POST.get("payment")), None) if line else None
    if line is None or payment is None:
        raise Invalid("That debit did not take that payment back.", field="payment", remedy="Look at the Match page again.")
    actions.return_payments(
        actor=request.actor, payment_ids=[payment["payment_id"]], on=line["booked_on"], reason=f"{line['who']} {line['text']}".strip()[:300],
        line_id=line_id,
    )  # fmt: skip
    messages.success(request, f"{payment['number']} is marked as returned; what it settled is open again.")
    return redirect("receivables:payment", payment["payment_id"])


@page("receivables.unapply", methods=("POST",))
def undo(request: Asked, proposal_id: int) -> HttpResponse:
    """Take an applied match off again: its documents open, its money waits, and what it taught is forgotten."""
    payment_id, allocations = matching.standing(proposal_id)
    if not allocations:
        messages.warning(request, "Nothing of this match stands any more.")
        return redirect("receivables:matches")
    actions.unapply(
        actor=request.actor, allocation_ids=allocations, on=clock.today(company(request).time_zone), reason="The match was wrong"
    )
    messages.success(
        request, "Undone: the documents are open again, and the money waits. Apply it to what it is for; that teaches."
    )
    return redirect("receivables:payment", payment_id)


def _next(request: Asked) -> HttpResponse:
    row = request.POST.get("row", "")
    return redirect(reverse("receivables:matches") + (f"?row={row}" if row.isdecimal() and len(row) < 6 else ""))
