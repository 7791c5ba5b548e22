"""Verbs of the treasury room: say who is paid when, and what else will leave."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from topline.bank.models import BankAccount
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.treasury.calendar import occurrences
from topline.treasury.models import Frequency, OutflowDeferral, PayLine, PayPlan, PlannedOutflow

FURTHEST_DEFERRAL = 90  # days


class CannotWait(Conflict):
    """A tax, or something marked as critical, was to be put off."""

    code = "cannot_wait"


class AlreadyDeferred(Conflict):
    """The occurrence was moved to another day before."""

    code = "already_deferred"


@action("treasury.set_pay_plan")
def set_pay_plan(
    *,
    actor: Actor,
    entity_id: int,
    name: str,
    currency: str,
    frequency: str,
    first_payday: date,
    lines: pl.DataFrame,
    until: date | None = None,
    debit_lead_days: int = 2,
    employer_cost_ppm: int = 0,
    bank_account_id: int | None = None,
    import_batch_id: int | None = None,
) -> int:
    """Set the payroll of a group of people; a plan of the same name is replaced as a whole. Returns its id.

    lines  one row per person: person str, group str, amount_minor i64 >= 0 per pay period
    Raises: Invalid (currency, frequency, nobody to pay, negative pay, lead beyond 10 days), NotFound (bank account).
    """
    money.ensure_currency(currency)
    _ensure_frequency(frequency)
    ensure(lines.height > 0, Invalid("The payroll pays nobody.", field="lines", remedy="Add at least one person."))
    ensure(bool((lines["amount_minor"] >= 0).all()), Invalid("Pay cannot be negative.", field="amount_minor"))
    ensure(
        0 <= debit_lead_days <= 10,
        Invalid("The bank takes the money 0 to 10 business days before payday.", field="debit_lead_days"),
    )
    ensure(0 <= employer_cost_ppm <= 1_000_000, Invalid("Employer cost is a share between 0 and 100 %.", field="employer_cost"))
    ensure(until is None or until >= first_payday, Invalid("The plan ends before it begins.", field="until"))
    _ensure_account(entity_id, bank_account_id)
    plan, made = PayPlan.objects.update_or_create(
        entity_id=entity_id,
        name=name,
        defaults={
            "currency": currency, "frequency": frequency, "first_payday": first_payday, "until": until, "debit_lead_days": debit_lead_days,
            "employer_cost_ppm": employer_cost_ppm, "bank_account_id": bank_account_id, "import_batch_id": import_batch_id,
        },
    )  # fmt: skip
    PayLine.objects.filter(plan=plan).delete()
    bulk.insert(PayLine, lines.select("person", "group", "amount_minor", plan_id=pl.lit(plan.pk)))
    changed(
        "pay_plan",
        plan.pk,
        after={"name": name, "people": lines.height, "total_minor": int(lines["amount_minor"].sum()), "new": made},
    )
    return plan.pk


@action("treasury.plan_outflow")
def plan_outflow(
    *,
    actor: Actor,
    entity_id: int,
    name: str,
    currency: str,
    amount_minor: int,
    first_on: date,
    frequency: str = "monthly",
    kind: str = "other",
    until: date | None = None,
    is_critical: bool = False,
    bank_account_id: int | None = None,
) -> int:
    """Plan money that leaves once or again and again: rent, tax, a loan; returns its id.

    is_critical  it cannot wait: its odds are told beside those of payrolls, as those of taxes always are

    Raises: Invalid (currency, amount, frequency, kind, end before begin), NotFound (bank account).
    """
    money.ensure_currency(currency)
    _ensure_frequency(frequency)
    ensure(bool(name.strip()), Invalid("An outflow needs a name.", field="name"))
    ensure(
        kind in PlannedOutflow.Kind.values,
        Invalid(f"{kind!r} is no kind of outflow.", field="kind", remedy=f"Use one of {', '.join(PlannedOutflow.Kind.values)}."),
    )
    ensure(amount_minor > 0, Invalid("The amount must be more than zero.", field="amount"))
    ensure(until is None or until >= first_on, Invalid("It ends before it begins.", field="until"))
    _ensure_account(entity_id, bank_account_id)
    outflow = PlannedOutflow.objects.create(
        entity_id=entity_id, kind=kind, name=name, currency=currency, amount_minor=amount_minor, first_on=first_on, frequency=frequency, until=until,
        is_critical=is_critical, bank_account_id=bank_account_id,
    )  # fmt: skip
    changed(
        "planned_outflow",
        outflow.pk,
        after={"name": name, "amount_minor": amount_minor, "currency": currency, "frequency": frequency},
    )
    return outflow.pk


@action("treasury.drop_outflow")
def drop_outflow(*, actor: Actor, outflow_id: int) -> int:
    """Take a planned outflow out of the forecast; it stays in the history. Returns its id. Raises: NotFound."""
    updated = PlannedOutflow.objects.filter(pk=outflow_id, is_dropped=False).update(is_dropped=True)
    ensure(updated == 1, NotFound(f"There is no planned outflow {outflow_id}.", field="outflow_id"))
    changed("planned_outflow", outflow_id, before={"is_dropped": False}, after={"is_dropped": True})
    return outflow_id


@action("treasury.defer_outflow")
def defer_outflow(*, actor: Actor, outflow_id: int, occurs_on: date, moved_to: date, reason: str = "") -> int:
    """Move one occurrence of a planned outflow to a later day, the others stay; returns the deferral's id.

    Taxes and what is marked as critical never wait. Deferring the same occurrence to the same day again changes nothing.
    Raises: NotFound, Invalid (nothing falls on that day, not later, more than 90 days later), CannotWait, AlreadyDeferred.
    """
    outflow = PlannedOutflow.objects.select_for_update().filter(pk=outflow_id, is_dropped=False).first()
    if outflow is None:
        raise NotFound(f"There is no planned outflow {outflow_id}.", field="outflow_id")
    ensure(
        not outflow.is_critical and outflow.kind != PlannedOutflow.Kind.TAX,
        CannotWait(f"{outflow.name} cannot wait.", field="outflow_id", remedy="Defer one that can, or pay it on its day."),
    )
    falls = occurrences(
        first_on=outflow.first_on, frequency=outflow.frequency, start=occurs_on, end=occurs_on + timedelta(days=1), until=outflow.until
    )  # fmt: skip
    ensure(occurs_on in falls, Invalid(f"{outflow.name} does not fall on {occurs_on}.", field="occurs_on", remedy="Name one of its days."))  # fmt: skip
    ensure(
        occurs_on < moved_to <= occurs_on + timedelta(days=FURTHEST_DEFERRAL),
        Invalid(f"It can be moved by 1 to {FURTHEST_DEFERRAL} days.", field="moved_to", remedy="Choose a later day."),
    )
    standing = OutflowDeferral.objects.filter(outflow=outflow, occurs_on=occurs_on, is_undone=False).first()
    if standing is not None:
        ensure(
            standing.moved_to == moved_to,
            AlreadyDeferred(
                f"{outflow.name} of {occurs_on} is moved to {standing.moved_to} already.",
                field="occurs_on",
                remedy="Undo that first.",
            ),
        )
        return standing.pk
    made = OutflowDeferral.objects.create(
        outflow=outflow, occurs_on=occurs_on, moved_to=moved_to, reason=reason.strip()[:300], deferred_by_key=actor.key, recorded_at=clock.now()
    )  # fmt: skip
    changed("planned_outflow", outflow_id, before={"on": occurs_on}, after={"on": moved_to, "reason": made.reason})
    return made.pk


@action("treasury.undo_deferral")
def undo_deferral(*, actor: Actor, deferral_id: int) -> int:
    """Put a deferred occurrence back on its day; returns the deferral's id. Undoing twice changes nothing. Raises: NotFound."""
    found = OutflowDeferral.objects.select_for_update().filter(pk=deferral_id).first()
    if found is None:
        raise NotFound(f"There is no deferral {deferral_id}.", field="deferral_id")
    if not found.is_undone:
        found.is_undone = True
        found.save(update_fields=["is_undone"])
        changed("planned_outflow", found.outflow_id, before={"on": found.moved_to}, after={"on": found.occurs_on})
    return deferral_id


def _ensure_frequency(frequency: str) -> None:
    ensure(
        frequency in Frequency.values,
        Invalid(f"{frequency!r} is no frequency.", field="frequency", remedy=f"Use one of {', '.join(Frequency.values)}."),
    )


def _ensure_account(entity_id: int, bank_account_id: int | None) -> None:
    ensure(
        bank_account_id is None or BankAccount.objects.filter(pk=bank_account_id, entity_id=entity_id, is_closed=False).exists(),
        NotFound("There is no such bank account.", field="bank_account_id"),
    )
