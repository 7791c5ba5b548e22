"""Verbs of the cases room: open a case, weigh it, choose a strategy, have it approved, work it, close it with its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from topline.cases import assumptions, queries
from topline.cases.models import Case, CaseInvoice, CaseStep
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Forbidden, Invalid, NotFound, ensure
from topline.market import actions as market
from topline.market.models import Customer
from topline.receivables import actions as receivables
from topline.receivables import offers
from topline.team import actions as team
from topline.team.models import Area, Member
from topline.timeline import actions as timeline

S = Case.State


class NothingOwed(Conflict):
    """The customer owes nothing that a case could be about."""

    code = "nothing_owed"


class CustomerMerged(Conflict):
    """The customer's record was merged into another, which now stands for it."""

    code = "customer_merged"


class NotAtThatPoint(Conflict):
    """The case is at another point: what was asked comes before or after."""

    code = "case_not_at_that_point"


class OptionNotApplicable(Conflict):
    """The option cannot apply to this debt."""

    code = "option_not_applicable"


class SamePerson(Forbidden):
    """Who chose a strategy cannot be the one who approves it."""

    code = "approved_by_the_same_person"


@action("cases.open_case")
def open_case(*, actor: Actor, entity_id: int, customer_id: int, on: date, invoice_ids: Sequence[int] | None = None) -> int:
    """Take a customer's debt as one case: all that is open, or chosen invoices; returns its id.

    Raises: NotFound, CustomerMerged, NothingOwed (nothing open, or in a case already), Invalid (several currencies).
    """
    customer = Customer.objects.select_related("merged_into").filter(pk=customer_id).first()
    if customer is None:
        raise NotFound(f"There is no customer {customer_id}.", field="customer_id")
    if customer.merged_into is not None:
        raise CustomerMerged(
            f"{customer.name} was merged into {customer.merged_into.name}.", field="customer_id", remedy="Open the case there."
        )
    owed = queries.debtors_invoices(entity_id=entity_id, customer_id=customer_id, as_of=on)
    if invoice_ids is not None:
        missing = set(invoice_ids) - set(owed["invoice_id"])
        ensure(
            not missing,
            NothingOwed(
                f"Invoice {min(missing, default=0)} is not open at {customer.name}, or is in another case.", field="invoice_ids"
            ),
        )
        owed = owed.filter(pl.col("invoice_id").is_in(list(invoice_ids)))
    ensure(
        owed.height > 0,
        NothingOwed(
            f"{customer.name} owes nothing that is not in a case.", field="customer_id", remedy="There is nothing to do."
        ),
    )
    ensure(
        owed["currency"].n_unique() == 1,
        Invalid("The invoices are in several currencies.", field="invoice_ids", remedy="Open one case for each currency."),
    )
    case = Case.objects.create(
        entity_id=entity_id, customer_id=customer_id, currency=owed["currency"][0], debt_minor=int(owed["open_minor"].sum()), opened_on=on,
        opened_by_key=actor.key, recorded_at=clock.now(),
    )  # fmt: skip
    bulk.insert(CaseInvoice, owed.select("invoice_id", "open_minor", case_id=pl.lit(case.pk)))
    _tell("case_opened", case, actor, on, note=f"{owed.height} invoices" if owed.height > 1 else owed["number"][0])
    changed("case", case.pk, after={"customer_id": customer_id, "debt_minor": case.debt_minor, "invoices": owed.height})
    return case.pk


@action("cases.set_assumptions")
def set_assumptions(*, actor: Actor, case_id: int, told: Mapping[str, Any]) -> int:
    """Say what is assumed of the options of a case instead of the packaged values; what is left out is as packaged. Returns its id.

    told  {settings: {name: number}, facts: {name: bool}, options: {key: {name: number}}}
    Raises: NotFound, NotAtThatPoint (closed), assumptions.ImpossibleAssumption.
    """
    case = _locked(case_id)
    _ensure_state(case, {S.OPEN, S.WAITING, S.WORKING})
    before, case.assumptions = case.assumptions, assumptions.read_changes(told)
    case.save(update_fields=["assumptions"])
    changed("case", case_id, before={"assumptions": before}, after={"assumptions": case.assumptions})
    return case_id


@action("cases.choose_strategy")
def choose_strategy(*, actor: Actor, case_id: int, option: str, on: date) -> int:
    """Choose how a debt is dealt with. What needs approval waits for a second person, anything else begins at once. Returns the case's id.

    Beginning gives the team a task for each step. A strategy that is being worked can be replaced by another; its open steps are dropped.
    Raises: NotFound, Invalid (no such option), NotAtThatPoint (waits or closed), OptionNotApplicable, NothingOwed (paid meanwhile).
    """
    case = _locked(case_id)
    _ensure_state(case, {S.OPEN, S.WORKING})
    known = assumptions.catalogue()
    ensure(option in known, Invalid(f"{option!r} is no option.", field="option", remedy=f"Use one of {', '.join(known)}."))
    weighed = queries.evaluate(case, as_of=on)
    ensure(weighed.debt.amount_minor > 0, NothingOwed("Its invoices are paid.", field="case_id", remedy="Close the case."))
    row = next(r for r in weighed.rows if r.spec.key == option)
    ensure(
        not row.why_not,
        OptionNotApplicable(f"{row.spec.name} cannot apply: {row.why_not}", field="option", remedy="Choose another option."),
    )
    _drop_steps(case, actor)
    case.strategy, case.chosen_on, case.chosen_by_key = option, on, actor.key
    case.expected_minor, case.expected_on, case.promised_ppm = row.expected_minor, row.arrives_on, round(row.promised * 1_000_000)
    case.approved_on, case.approved_by_key, case.refused_because = None, "", ""
    case.state = S.WAITING if row.spec.needs_approval else S.WORKING
    case.save()
    if case.state == S.WORKING:
        _begin(case, actor, on)
    _tell("case_strategy_chosen", case, actor, on, note=row.label)
    changed("case", case_id, after={"strategy": option, "state": case.state, "expected_minor": case.expected_minor})
    return case_id


@action("cases.approve_strategy")
def approve_strategy(*, actor: Actor, case_id: int, on: date) -> int:
    """Agree to a strategy that somebody else chose; its steps begin, and what can be done without the customer is done with it.

    A write-off is booked, a settlement's offers are made, a credit hold is set: all of it with the approval, or none. What takes the
    customer, a counsel or a factor stays a step with owner and day. Returns the case's id.
    Raises: NotFound, NotAtThatPoint, SamePerson, PermissionMissing (what is carried out needs its own right too), offers.OfferStands.
    """
    case = _locked(case_id)
    _ensure_state(case, {S.WAITING})
    ensure(
        actor.key != case.chosen_by_key,
        SamePerson("Who chose a strategy cannot approve it.", field="case_id", remedy="Ask another person who may approve."),
    )
    case.state, case.approved_on, case.approved_by_key = S.WORKING, on, actor.key
    case.save(update_fields=["state", "approved_on", "approved_by_key"])
    if carried_out := CARRIED_OUT.get(case.strategy):
        carried_out(case, actor, on)
    _begin(case, actor, on)
    _tell("case_approved", case, actor, on, note=assumptions.catalogue()[case.strategy].name)
    changed("case", case_id, before={"state": "waiting"}, after={"state": "working", "strategy": case.strategy})
    return case_id


@action("cases.refuse_strategy")
def refuse_strategy(*, actor: Actor, case_id: int, on: date, reason: str) -> int:
    """Not agree to a strategy; the case is open again. Returns its id. Raises: NotFound, NotAtThatPoint, Invalid (no reason)."""
    ensure(bool(reason.strip()), Invalid("Say why not.", field="reason", remedy="The one who chose it wants to know."))
    case = _locked(case_id)
    _ensure_state(case, {S.WAITING})
    refused, case.strategy, case.state, case.refused_because = case.strategy, "", S.OPEN, reason.strip()[:300]
    case.save(update_fields=["strategy", "state", "refused_because"])
    _tell("case_refused", case, actor, on, note=f"{assumptions.catalogue()[refused].name}: {reason.strip()}")
    changed("case", case_id, before={"strategy": refused}, after={"state": "open", "refused_because": case.refused_because})
    return case_id


@action("cases.close_case")
def close_case(*, actor: Actor, case_id: int, on: date, note: str = "") -> int:
    """End a case and keep what came of it: the money that settled its invoices since the strategy was chosen, and when.

    The strategy has worked when at least 90 % of what it promised came; later cases learn from that. Without a strategy nothing is
    learned. A credit hold that the case had set is released when its invoices are paid. Returns the case's id.
    Raises: NotFound, NotAtThatPoint (waits for approval, or closed before), PermissionMissing (a release needs its own right too).
    """
    case = _locked(case_id)
    _ensure_state(case, {S.OPEN, S.WORKING})
    case.received_minor, case.received_on = queries.received(case_id, since=case.chosen_on or case.opened_on)
    if case.strategy and case.strategy != assumptions.WRITE_OFF:
        case.has_worked = case.received_minor >= queries.WORKS_FROM * case.debt_minor * (case.promised_ppm or 0) / 1_000_000
    _drop_steps(case, actor)
    case.state, case.closed_on, case.note = S.CLOSED, on, note.strip()[:300]
    case.save()
    CaseInvoice.objects.filter(case=case).update(is_active=False)
    _release(case, actor, on)
    _tell("case_closed", case, actor, on, amount_minor=case.received_minor, note=note.strip())
    changed("case", case_id, after={"state": "closed", "received_minor": case.received_minor, "has_worked": case.has_worked})
    return case_id


def _write_off(case: Case, actor: Actor, on: date) -> None:
    still = queries.invoices_of(case.pk).filter(pl.col("left_minor") > 0)
    receivables.write_off(
        actor=actor, invoice_ids=still["invoice_id"].to_list(), on=on, reason=queries.reason_of(case.pk), proposed_by=case.chosen_by_key
    )  # fmt: skip


def _hold(case: Case, actor: Actor, on: date) -> None:
    """No more credit for the customer; one who is on hold already stays so for the reason that stands."""
    stands = queries.debtor(case).pk
    market.set_credit_hold(actor=actor, customer_id=stands, is_on_hold=True, on=on, reason=queries.reason_of(case.pk))


def _release(case: Case, actor: Actor, on: date) -> None:
    """Credit again, where this case had stopped it and its invoices are paid; what was given up is not paid."""
    if queries.is_paid(case.pk) and queries.holds(case):
        stands, reason = queries.debtor(case).pk, f"{queries.reason_of(case.pk)} is paid"
        market.set_credit_hold(actor=actor, customer_id=stands, is_on_hold=False, on=on, reason=reason)


def _offer(case: Case, actor: Actor, on: date) -> None:
    """The settlement as offers on its invoices: what is paid by their last day settles them, what comes later does not."""
    values = assumptions.values_of(case.strategy, case.assumptions, {})
    still = queries.invoices_of(case.pk).with_columns(
        discount_minor=(pl.col("left_minor") * (100 - values["share_percent"]) / 100).round(0).cast(pl.Int64)
    )
    still = still.filter((pl.col("discount_minor") > 0) & (pl.col("discount_minor") < pl.col("left_minor")))
    if still.height:
        expected = queries.evaluate(case, as_of=on).waiting.arrives_on
        offers.make_offers(
            actor=actor, offers=still.select("invoice_id", "discount_minor", expected_on=pl.lit(expected, dtype=pl.Date)),
            valid_until=on + timedelta(days=values["offer_days"]), on=on,
        )  # fmt: skip


CARRIED_OUT = {
    assumptions.WRITE_OFF: _write_off,
    assumptions.SETTLEMENT: _offer,
    assumptions.HOLD: _hold,
}  # on approval, in its transaction


def _begin(case: Case, actor: Actor, on: date) -> None:
    """Give the team a task for each step of the strategy: to the owner of the area that does it, else of collections, else the chooser."""
    owners: dict[str, int] = dict(Area.objects.filter(owner__isnull=False).values_list("key", "owner_id"))
    first = Member.objects.filter(is_active=True).order_by("id").values_list("id", flat=True).first()
    anybody = owners.get("collections") or actor.member_id or first
    if anybody is None:
        raise NotFound("There is nobody who could do the steps.", field="case_id", remedy="Add a member first.")
    place = 1 + (case.steps.order_by("-position").values_list("position", flat=True).first() or 0)
    for number, step in enumerate(assumptions.catalogue()[case.strategy].steps):
        task = team.add_task(
            actor=actor, title=step["title"], assignee_id=owners.get(step["area"], anybody), due_on=on + timedelta(days=step["days"]),
            note=f"Case {case.pk}: {case.customer.name}", about_kind="case", about_id=case.pk,
        )  # fmt: skip
        CaseStep.objects.create(case=case, position=place + number, task_id=task)


def _drop_steps(case: Case, actor: Actor) -> None:
    """Steps that are still to be done are not needed any more."""
    for step in queries.steps_of(case.pk):
        if step.task.state == "open":
            team.finish_task(actor=actor, task_id=step.task_id, dropped=True)


def _locked(case_id: int) -> Case:
    found = Case.objects.select_for_update(of=("self",)).select_related("customer", "entity").filter(pk=case_id).first()
    if found is None:
        raise NotFound(f"There is no case {case_id}.", field="case_id")
    return found


def _ensure_state(case: Case, states: set[S]) -> None:
    said = {
        S.OPEN: "is open: choose a strategy first",
        S.WAITING: "waits for a second person",
        S.WORKING: "is being worked",
        S.CLOSED: "is closed",
    }
    ensure(
        case.state in states,
        NotAtThatPoint(f"The case {said[S(case.state)]}.", field="case_id", remedy="Look at the case again."),
    )


def _tell(kind: str, case: Case, actor: Actor, on: date, *, amount_minor: int | None = None, note: str = "") -> None:
    timeline.record_one(
        kind, subject="case", subject_id=case.pk, actor=actor, on=on, customer_id=case.customer_id,
        amount_minor=case.debt_minor if amount_minor is None else amount_minor, currency=case.currency, note=note,
    )  # fmt: skip
