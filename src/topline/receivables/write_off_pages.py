"""Pages of write-offs that wait for a second person."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from topline.books.company import company
from topline.kernel import clock
from topline.receivables import actions, write_offs
from topline.ui.access import Asked, page


@page("receivables.view")
def waiting(request: Asked) -> HttpResponse:
    """Write-offs that were proposed: those that wait, and what became of the others."""
    entity = company(request)
    rows = write_offs.proposals(entity_id=entity.pk)
    context = {"rows": rows, "limit": actions.ALONE_UP_TO, "home": entity.currency, "shown": len(rows)}
    return render(request, "receivables/write_offs.html", context)


@page("receivables.propose_write_off", methods=("POST",))
def propose(request: Asked, invoice_id: int) -> HttpResponse:
    """Ask a second person to give up what is open on a document."""
    write_offs.propose_write_off(
        actor=request.actor,
        invoice_id=invoice_id,
        on=clock.today(company(request).time_zone),
        reason=request.POST.get("reason", ""),
    )
    messages.success(request, "Proposed; a second person decides.")
    return redirect("billing:invoice", invoice_id)


@page("receivables.approve_write_off", methods=("POST",))
def approve(request: Asked, proposal_id: int) -> HttpResponse:
    """Agree to a write-off."""
    write_offs.approve_write_off(actor=request.actor, proposal_id=proposal_id, on=clock.today(company(request).time_zone))
    messages.success(request, "Written off as bad debt.")
    return redirect("receivables:write_offs")


@page("receivables.refuse_write_off", methods=("POST",))
def refuse(request: Asked, proposal_id: int) -> HttpResponse:
    """Not agree to a write-off."""
    write_offs.refuse_write_off(
        actor=request.actor,
        proposal_id=proposal_id,
        on=clock.today(company(request).time_zone),
        reason=request.POST.get("reason", ""),
    )
    messages.success(request, "Refused; the invoice stays open.")
    return redirect("receivables:write_offs")
