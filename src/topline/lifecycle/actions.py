"""Verbs of the lifecycle: say where a customer stands, and what serving costs."""

from __future__ import annotations

from datetime import date

from topline.engine.lifecycle import STAGES
from topline.kernel import clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid, NotFound, ensure
from topline.lifecycle.models import ServeCost, StageOverride
from topline.market.models import Customer
from topline.timeline import actions as timeline


@action("lifecycle.set_stage")
def set_stage(*, actor: Actor, customer_id: int, stage: str, because: str, on: date, until: date | None = None) -> int:
    """Say where a customer stands, against what is computed; an empty stage gives it back to the computation. Returns the customer's id.

    until  the last day on which it counts (null: until it is changed)
    Raises: NotFound (no such customer, or one that was merged), Invalid (unknown stage, no reason, days).
    """
    customer = Customer.objects.filter(pk=customer_id, merged_into__isnull=True).first()
    if customer is None:
        raise NotFound(f"There is no customer {customer_id}.", field="customer_id")
    ensure(stage in {"", *STAGES}, Invalid(f"There is no stage {stage!r}.", field="stage", remedy=f"Use one of {', '.join(STAGES)}, or none."))  # fmt: skip
    ensure(bool(because.strip()), Invalid("Say why.", field="because", remedy="Such as: their new owner told us that they stay."))
    ensure(until is None or until >= on, Invalid("It would end before it begins.", field="until", remedy="Correct the day."))
    made = StageOverride.objects.create(
        customer_id=customer_id, stage=stage, because=because.strip()[:300], on=on, until=until, recorded_at=clock.now(), actor_key=actor.key
    )  # fmt: skip
    words = (stage or "as computed").replace("_", " ")
    timeline.record_one(
        "stage_set",
        subject="customer",
        subject_id=customer_id,
        actor=actor,
        on=on,
        customer_id=customer_id,
        note=f"{words}: {because.strip()}",
    )
    changed("stage_override", made.pk, after={"customer_id": customer_id, "stage": stage, "until": until})
    return customer_id


@action("lifecycle.set_serve_costs")
def set_serve_costs(*, actor: Actor, entity_id: int, valid_from: date, contact_minor: int, ticket_minor: int) -> int:
    """Say what a contact with a customer and a ticket cost from a day on, in the company's currency; returns the row's id. Raises: Invalid."""
    ensure(contact_minor >= 0 and ticket_minor >= 0, Invalid("A cost is zero or more.", field="contact_minor"))
    made = ServeCost.objects.create(
        entity_id=entity_id,
        valid_from=valid_from,
        contact_minor=contact_minor,
        ticket_minor=ticket_minor,
        recorded_at=clock.now(),
    )
    changed("serve_cost", made.pk, after={"valid_from": valid_from, "contact_minor": contact_minor, "ticket_minor": ticket_minor})
    return made.pk
