"""Moving usage events of months that are over and billed to the lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from django.db.models import Max

from topline.books.models import Entity
from topline.contracts.models import BillRun, Item
from topline.kernel.actor import Actor
from topline.metering import actions as metering
from topline.metering import lake


def billed_until(*, keep_months: int, today: date) -> date | None:
    """The day (the first of a month) before which events may move: so many whole months ago, and billed by a signed run of every company that bills use.

    None where one of them has signed no run. The lake gives the same answers, so an event that is late, or of a parked contract, is billed all the same.
    Work: two statements.
    """
    month = today.year * 12 + today.month - 1 - keep_months
    metered = Item.objects.filter(meter__isnull=False).values("contract__entity_id")
    signed = dict(BillRun.objects.filter(state=BillRun.State.FINAL).values_list("entity_id").annotate(Max("as_of")))
    for entity_id in Entity.objects.filter(pk__in=metered).values_list("id", flat=True):
        if entity_id not in signed:
            return None
        month = min(month, signed[entity_id].year * 12 + signed[entity_id].month - 1)
    return date(month // 12, month % 12 + 1, 1)


def sync(*, actor: Actor, until: date) -> Iterator[int]:
    """Move the events before a day, chunk by chunk, each in a transaction of its own; yields how many moved.

    Killed at any moment and begun again it completes with the same result. Raises: EventsCameMeanwhile, after three tries at a chunk.
    """
    lake.sweep()
    tries = 0
    while True:
        try:
            moved = metering.move_to_lake(actor=actor, until=until)
        except metering.EventsCameMeanwhile:
            tries += 1
            if tries == 3:
                raise
            continue
        tries = 0
        if not moved:
            break
        yield moved
    lake.sweep()
