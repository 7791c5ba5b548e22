"""Reads of the team room: who acts, who is there, what is to be done."""

from __future__ import annotations

from topline.kernel.actor import Actor
from topline.team.models import Member
from topline.team.roles import SYSTEM, permissions_of


def actor_of(member: Member) -> Actor:
    """The actor that a signed-in member is: their roles and all that these permit; one statement."""
    roles = frozenset(member.role_grants.values_list("role", flat=True))
    return Actor(
        key=f"member:{member.pk}", name=member.name or member.email, permissions=permissions_of(roles), roles=roles, customer_id=member.customer_id
    )


def system_actor(name: str = "Topline") -> Actor:
    """The actor of jobs and of the command line on the machine itself: may do everything, and the audit record says so."""
    return Actor(key=f"system:{name.lower()}", name=name, permissions=SYSTEM, roles=frozenset({"Owner"}))
