"""What waits for somebody's yes: cases whose strategy gives up money or rights, and write-offs that were proposed."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from topline.cases import assumptions
from topline.cases.models import Case
from topline.kernel.actor import Actor
from topline.kernel.money import Money
from topline.receivables.models import WriteOffProposal

SHOWN = 6


def approvals(actor: Actor, *, entity_id: int) -> list[dict[str, Any]]:
    """What others chose or proposed and this actor may approve, oldest first, at most SHOWN of a kind: on, title, url.

    Work: one statement for each kind that the actor may approve.
    """
    found: list[dict[str, Any]] = []
    if actor.may("cases.approve_strategy"):
        cases = Case.objects.filter(entity_id=entity_id, state=Case.State.WAITING).exclude(chosen_by_key=actor.key)
        for case in cases.select_related("customer").order_by("chosen_on", "id")[:SHOWN]:
            debt = Money(case.debt_minor, case.currency)
            title = f"{assumptions.catalogue()[case.strategy].name} for {case.customer.name}, {debt}"
            found.append({"on": case.chosen_on, "title": title, "url": reverse("cases:case", args=[case.pk]) + "#approval"})
    if actor.may("receivables.approve_write_off"):
        proposals = WriteOffProposal.objects.filter(invoice__entity_id=entity_id, state=WriteOffProposal.State.WAITING)
        for proposal in (
            proposals.exclude(proposed_by_key=actor.key).select_related("invoice").order_by("proposed_on", "id")[:SHOWN]
        ):
            title = f"Write-off of {proposal.invoice.number}, {Money(proposal.open_minor, proposal.invoice.currency)}"
            found.append({"on": proposal.proposed_on, "title": title, "url": reverse("receivables:write_offs")})
    return sorted(found, key=lambda row: row["on"])
