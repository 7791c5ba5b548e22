"""Milestones over HTTP."""

from __future__ import annotations

from typing import Any

from ninja import Query

from topline.timeline.models import Milestone
from topline.ui.wire import Asked, Caller, Code, Id, Page, Room, page

room = Room(tags=["Timeline"])
COLUMNS = [
    "id",
    "kind",
    "occurred_on",
    "recorded_at",
    "customer_id",
    "subject_kind",
    "subject_id",
    "actor_key",
    "amount_minor",
    "currency",
    "note",
]


class MilestonesAsked(Asked):
    customer_id: Id | None = None
    subject_kind: Code = ""
    subject_id: Id | None = None
    kind: Code = ""


@room.reads("/milestones", "timeline.view", Page)
def list_milestones(request: Caller, asked: Query[MilestonesAsked]) -> Any:
    """What happened, in the order in which it was recorded: of a customer, of one document, or of a kind."""
    wanted = {n: v for n in ("customer_id", "subject_kind", "subject_id", "kind") if (v := getattr(asked, n))}
    return page(Milestone.objects.filter(**wanted), COLUMNS, asked)
