"""Reads of the team room: who acts, who is there, what is to be done, what was done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.kernel.errors import NotFound
from topline.kernel.models import AuditRecord
from topline.team.models import ApiToken, Area, Member, Task
from topline.team.roles import SYSTEM, permissions_of

BY_LINK = {"quote", "delivery"}  # kinds of actor that are whoever holds the link of a document

TASK_URLS = {
    "customer": "/customers/{}/",
    "invoice": "/invoices/{}/",
    "payment": "/payments/{}/",
    "case": "/cases/{}/",
    "competitor": "/market/competitors/{}/",
}


def members_of(customer_ids: Sequence[int]) -> list[Member]:
    """Who of customers may sign in, or might once. One statement."""
    return list(Member.objects.filter(customer_id__in=list(customer_ids)).order_by("name", "id")[:100])


def actor_of(member: Member) -> Actor:
    """The actor that a signed-in member is: their roles and all that these permit; one statement."""
    roles = frozenset(member.role_grants.values_list("role", flat=True))
    return Actor(
        key=f"member:{member.pk}",
        name=member.name or member.email,
        permissions=permissions_of(roles),
        roles=roles,
        customer_id=member.customer_id,
    )


def system_actor(name: str = "Topline") -> Actor:
    """The actor of jobs and of the command line on the machine itself: may do everything, and the audit record says so."""
    return Actor(key=f"system:{name.lower()}", name=name, permissions=SYSTEM, roles=frozenset({"Owner"}))


def actor_of_token(secret: str) -> Actor | None:
    """The actor behind a bearer token: what both its scopes and its member's roles allow; None for a token that does not hold.

    Scopes are permissions or `<room>.*`. Work: two statements, three once a minute.
    """
    token = ApiToken.objects.select_related("member").filter(sha256=hashlib.sha256(secret.encode()).hexdigest()).first()
    now = clock.now()
    if (
        token is None
        or token.revoked_at is not None
        or (token.expires_at is not None and token.expires_at <= now)
        or not token.member.is_active
    ):
        return None
    if token.last_used_at is None or token.last_used_at < now - timedelta(minutes=1):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    actor = actor_of(token.member)
    allowed = frozenset(p for p in actor.permissions if p in token.scopes or f"{p.partition('.')[0]}.*" in token.scopes)
    return Actor(
        key=actor.key, name=f"{actor.name} ({token.name})", permissions=allowed, roles=actor.roles, customer_id=actor.customer_id
    )


def members() -> list[dict[str, Any]]:
    """Everybody who may sign in, with their roles (at most 500)."""
    rows = Member.objects.prefetch_related("role_grants").order_by("name")[:500]
    return [
        {
            "id": m.pk,
            "name": m.name,
            "email": m.email,
            "state": "active" if m.is_active else "left",
            "roles": ", ".join(sorted(g.role for g in m.role_grants.all())),
        }
        for m in rows
    ]


def areas() -> list[Area]:
    """Areas of the work with owner and deputy."""
    return list(Area.objects.select_related("owner", "deputy").order_by("title")[:50])


def tasks(
    *, assignee_id: int | None = None, about: tuple[str, int] | None = None, state: str = "open", limit: int = 100
) -> list[dict[str, Any]]:
    """Tasks of somebody, or about a document, by due day: id, title, assignee, due_on, state, url."""
    rows = Task.objects.select_related("assignee")
    if assignee_id is not None:
        rows = rows.filter(assignee_id=assignee_id)
    if about is not None:
        rows = rows.filter(about_kind=about[0], about_id=about[1])
    if state:
        rows = rows.filter(state=state)
    return [
        {
            "id": t.pk,
            "title": t.title,
            "assignee": t.assignee.name,
            "due_on": t.due_on,
            "state": t.state,
            "url": TASK_URLS.get(t.about_kind, "").format(t.about_id),
        }
        for t in rows.order_by("due_on", "id")[:limit]
    ]


def task(task_id: int) -> Task:
    """One task. Raises: NotFound."""
    found = Task.objects.filter(pk=task_id).first()
    if found is None:
        raise NotFound(f"There is no task {task_id}.", field="task_id")
    return found


def tokens(member_id: int) -> list[ApiToken]:
    """A member's API tokens, newest first."""
    return list(ApiToken.objects.filter(member_id=member_id).order_by("-id")[:50])


def actor_names(keys: Iterable[str]) -> dict[str, str]:
    """Who acted, by key: a member's name, a token or job of Topline itself, or somebody of the customer who held a link."""
    known = set(keys)
    named = {key: _spoken(key) for key in known}
    members = {int(name) for key in known if key.startswith("member:") and (name := key.partition(":")[2]).isdecimal()}
    found = Member.objects.filter(pk__in=members).values_list("pk", "name", "email")
    return named | {f"member:{pk}": name or email for pk, name, email in found}


def _spoken(key: str) -> str:
    kind, _, name = key.partition(":")
    return "the customer, by link" if kind in BY_LINK else f"token {name}" if kind == "token" else name


def audit(*, actor_key: str = "", action: str = "") -> QuerySet[AuditRecord]:
    """Who did what; order and slice before use."""
    rows = AuditRecord.objects.all()
    if actor_key:
        rows = rows.filter(actor_key=actor_key)
    if action:
        rows = rows.filter(action__startswith=action)
    return rows
