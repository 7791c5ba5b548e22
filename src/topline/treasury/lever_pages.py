"""What the card of levers needs of the one who asks: the order that the address names, who does what treasury does, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from topline.books.models import Entity
from topline.engine.levers import ORDERS
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.team import queries as team
from topline.ui.access import Asked


@dataclass(frozen=True, slots=True)
class Shown:
    """order: cost, effect or days; owner_id: to whom a task of treasury goes; today: buttons act on today's figures alone."""

    order: str
    orders: tuple[tuple[str, str], ...]
    owner_id: int | None
    today: date


def shown(request: Asked, entity: Entity) -> Shown:
    """How levers are shown to the one who asks. Raises: Invalid (unknown order)."""
    order = request.GET.get("levers", "cost")
    if order not in ORDERS:
        raise Invalid(f"{order!r} is no order of levers.", field="levers", remedy=f"Use one of {', '.join(ORDERS)}.")
    area = next((a for a in team.areas() if a.key == "treasury"), None)
    words = {"cost": "cheapest way to safe", "effect": "most effect", "days": "soonest"}
    owner = area.owner_id if area and area.owner_id else request.actor.member_id
    return Shown(order, tuple(words.items()), owner, clock.today(entity.time_zone))
