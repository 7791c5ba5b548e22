"""Write-offs that are too large for one person: proposed by one, approved or refused by another."""

from __future__ import annotations

from datetime import date
from typing import Any

from topline.billing import queries as billing
from topline.billing.models import OWED, Invoice
from topline.kernel import clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.kernel.money import Money
from topline.receivables import actions
from topline.receivables.models import WriteOffProposal
from topline.team import queries as team
from topline.timeline import actions as timeline

S = WriteOffProposal.State


class AlreadyProposed(Conflict):
    """A write-off of the invoice waits for a second person already."""

    code = "already_proposed"


class ProposalDecided(Conflict):
    """The proposal was approved or refused before."""

    code = "proposal_decided"


class SamePerson(Conflict):
    """Who proposes a write-off cannot approve it."""

    code = "same_person"


@action("receivables.propose_write_off")
def propose_write_off(*, actor: Actor, invoice_id: int, on: date, reason: str) -> int:
    """Ask a second person to give up what is open on an invoice; nothing is booked until then. Returns the proposal's id.

    Raises: actions.DocumentNotOpen, AlreadyProposed, Invalid (no reason), NotFound.
    """
    ensure(
        bool(reason.strip()), Invalid("A write-off needs a reason.", field="reason", remedy="Say why the money will not come.")
    )
    invoice = billing.for_update([invoice_id]).row(0, named=True)
    rest = invoice["total_minor"] - invoice["allocated_minor"]
    ensure(
        invoice["state"] == Invoice.State.OPEN and invoice["kind"] in OWED and rest > 0,
        actions.DocumentNotOpen(f"Nothing is open on {invoice['number'] or 'the draft'}.", field="invoice_id"),
    )
    ensure(
        not WriteOffProposal.objects.filter(invoice_id=invoice_id, state=S.WAITING).exists(),
        AlreadyProposed(
            f"A write-off of {invoice['number']} waits already.", field="invoice_id", remedy="Have it approved or refused first."
        ),
    )
    made = WriteOffProposal.objects.create(
        invoice_id=invoice_id, open_minor=rest, reason=reason.strip()[:300], proposed_on=on, proposed_by_key=actor.key, recorded_at=clock.now()
    )  # fmt: skip
    _tell("write_off_proposed", made, actor, on, note=made.reason)
    changed("invoice", invoice_id, after={"write_off_proposal": made.pk, "amount_minor": rest, "reason": made.reason})
    return made.pk


@action("receivables.approve_write_off")
def approve_write_off(*, actor: Actor, proposal_id: int, on: date) -> int:
    """Agree to a write-off that somebody else proposed: what is still open is booked as bad debt. Returns the proposal's id.

    What was paid since is not given up; where more is open than was proposed, it is proposed anew.
    Raises: NotFound, ProposalDecided, SamePerson, actions.DocumentNotOpen, Conflict (more is open), PermissionMissing (it books, so
    the right to write off is needed too), books.PeriodLocked.
    """
    found = _waiting(proposal_id)
    ensure(
        actor.key != found.proposed_by_key,
        SamePerson(
            "Who proposed a write-off cannot approve it.", field="proposal_id", remedy="Ask another person who may approve."
        ),
    )
    invoice = billing.for_update([found.invoice_id]).row(0, named=True)
    rest = invoice["total_minor"] - invoice["allocated_minor"]
    ensure(
        rest <= found.open_minor,
        Conflict(
            f"{Money(rest, invoice['currency'])} is open by now, {Money(found.open_minor, invoice['currency'])} was proposed.",
            field="proposal_id",
            remedy="Refuse it and propose it anew.",
        ),
    )
    _decide(found, S.APPROVED, actor, on)
    actions.write_off(actor=actor, invoice_ids=[found.invoice_id], on=on, reason=found.reason, proposed_by=found.proposed_by_key)
    changed("invoice", found.invoice_id, before={"write_off_proposal": S.WAITING}, after={"write_off_proposal": S.APPROVED})
    return proposal_id


@action("receivables.refuse_write_off")
def refuse_write_off(*, actor: Actor, proposal_id: int, on: date, reason: str) -> int:
    """Not agree to a write-off; the invoice stays open. Returns the proposal's id. Raises: NotFound, ProposalDecided, Invalid (no reason)."""
    ensure(bool(reason.strip()), Invalid("Say why not.", field="reason", remedy="The one who proposed it wants to know."))
    found = _waiting(proposal_id)
    found.refused_because = reason.strip()[:300]
    _decide(found, S.REFUSED, actor, on)
    _tell("write_off_refused", found, actor, on, note=found.refused_because)
    changed(
        "invoice", found.invoice_id, before={"write_off_proposal": S.WAITING},
        after={"write_off_proposal": S.REFUSED, "reason": found.refused_because},
    )  # fmt: skip
    return proposal_id


def proposals(*, entity_id: int, limit: int = 200) -> list[dict[str, Any]]:
    """Proposed write-offs, those that wait first, then the newest: id, invoice_id, number, customer_id, customer, currency, open_minor
    (as proposed), state, reason, refused_because, proposed_on, proposed_by_key, proposed_by, decided_on, decided_by.
    """
    rows = WriteOffProposal.objects.filter(invoice__entity_id=entity_id)
    waiting = rows.filter(state=S.WAITING).order_by("-id")
    decided = rows.exclude(state=S.WAITING).order_by("-id")
    columns = ["id", "invoice_id", "invoice__number", "invoice__customer_id", "invoice__customer__name", "invoice__currency", "open_minor", "state", "reason",
               "refused_because", "proposed_on", "proposed_by_key", "decided_on", "decided_by_key"]  # fmt: skip
    found = [*waiting.values(*columns)[:limit]]
    found += [*decided.values(*columns)[: limit - len(found)]]
    names = team.actor_names({r[k] for r in found for k in ("proposed_by_key", "decided_by_key") if r[k]})
    short = {
        "invoice__number": "number",
        "invoice__customer_id": "customer_id",
        "invoice__customer__name": "customer",
        "invoice__currency": "currency",
    }
    return [
        {
            **{short.get(k, k): v for k, v in r.items() if k != "decided_by_key"},
            "proposed_by": names[r["proposed_by_key"]],
            "decided_by": names.get(r["decided_by_key"], ""),
        }
        for r in found
    ]


def _waiting(proposal_id: int) -> WriteOffProposal:
    rows = WriteOffProposal.objects.select_for_update(of=("self",)).select_related("invoice")
    found = rows.filter(pk=proposal_id).first()
    if found is None:
        raise NotFound(f"There is no proposal {proposal_id}.", field="proposal_id")
    ensure(found.state == S.WAITING, ProposalDecided(f"The proposal was {found.state} before.", field="proposal_id"))
    return found


def _decide(found: WriteOffProposal, state: str, actor: Actor, on: date) -> None:
    found.state, found.decided_on, found.decided_by_key = state, on, actor.key
    found.save(update_fields=["state", "decided_on", "decided_by_key", "refused_because"])


def _tell(kind: str, found: WriteOffProposal, actor: Actor, on: date, *, note: str) -> None:
    timeline.record_one(
        kind, subject="invoice", subject_id=found.invoice_id, actor=actor, on=on, customer_id=found.invoice.customer_id, amount_minor=found.open_minor,
        currency=found.invoice.currency, note=note,
    )  # fmt: skip
