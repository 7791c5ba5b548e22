"""Verbs of the team room: members and their roles, areas, tasks, API tokens."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from topline.kernel import clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Forbidden, Invalid, NotFound, ensure
from topline.team.models import ApiToken, Area, Member, RoleGrant, Task
from topline.team.roles import ROLES

AREAS = {"sales": "Sales", "billing": "Billing", "collections": "Collections", "treasury": "Treasury", "books": "Books"}


class LastOwner(Conflict):
    """Somebody must be able to change everything."""

    code = "last_owner"


@action("team.add_member", replayable=False)
def add_member(
    *, actor: Actor, email: str, name: str, roles: Sequence[str], password: str, customer_id: int | None = None
) -> int:
    """Let somebody sign in with some roles; returns the member's id.

    customer_id  of people of a customer, who see only their own: their one role is Customer
    Raises: Invalid (address, unknown role, weak password), Conflict (address taken).
    """
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid(f"{email!r} is no e-mail address.", field="email", remedy="Write it as name@company.com.") from error
    ensure(not Member.objects.filter(email__iexact=email).exists(), Conflict(f"{email} is a member already.", field="email"))
    _ensure_roles(roles, customer_id)
    member = Member(email=email.lower(), name=name.strip() or email, customer_id=customer_id, joined_at=clock.now())
    try:
        validate_password(password, member)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field="password", remedy="Choose a longer one.") from error
    member.set_password(password)
    member.save()
    RoleGrant.objects.bulk_create([RoleGrant(member=member, role=role) for role in sorted(set(roles))])
    changed("member", member.pk, after={"email": member.email, "roles": sorted(set(roles))})
    return member.pk


@action("team.change_member")
def change_member(*, actor: Actor, member_id: int, changes: dict[str, Any]) -> int:
    """Change a member's name, or let them no longer sign in (is_active False); returns the id.

    Raises: NotFound, Invalid (unknown field), LastOwner.
    """
    member = _member(member_id)
    unknown = set(changes) - {"name", "is_active", "time_zone"}
    ensure(not unknown, Invalid(f"{', '.join(sorted(unknown))} cannot be changed.", field=next(iter(sorted(unknown)), "")))
    if changes.get("is_active") is False:
        _ensure_another_owner(member_id)
    before = {name: getattr(member, name) for name in changes}
    for name, value in changes.items():
        setattr(member, name, value)
    member.save(update_fields=list(changes))
    changed("member", member_id, before=before, after=changes)
    return member_id


@action("team.grant_roles")
def grant_roles(*, actor: Actor, member_id: int, roles: Sequence[str]) -> int:
    """Set the roles that a member wears; returns the id.

    Raises: NotFound, Invalid (unknown role), LastOwner.
    """
    _ensure_roles(roles, _member(member_id).customer_id)
    before = sorted(RoleGrant.objects.filter(member_id=member_id).values_list("role", flat=True))
    if "Owner" in before and "Owner" not in roles:
        _ensure_another_owner(member_id)
    RoleGrant.objects.filter(member_id=member_id).delete()
    RoleGrant.objects.bulk_create([RoleGrant(member_id=member_id, role=role) for role in sorted(set(roles))])
    changed("member", member_id, before={"roles": before}, after={"roles": sorted(set(roles))})
    return member_id


@action("team.set_area")
def set_area(*, actor: Actor, key: str, owner_id: int | None, deputy_id: int | None) -> int:
    """Say who owns an area of the work and who stands in; returns the area's id.

    Raises: NotFound (area, member), Invalid (deputy is the owner).
    """
    ensure(key in AREAS, NotFound(f"There is no area {key!r}.", field="key", remedy=f"Use one of {', '.join(AREAS)}."))
    ensure(owner_id is None or owner_id != deputy_id, Invalid("The deputy must be somebody else.", field="deputy_id"))
    for member_id in (owner_id, deputy_id):
        if member_id is not None:
            _member(member_id)
    area, _ = Area.objects.update_or_create(key=key, defaults={"title": AREAS[key], "owner_id": owner_id, "deputy_id": deputy_id})
    changed("area", area.pk, after={"owner_id": owner_id, "deputy_id": deputy_id})
    return area.pk


@action("team.add_task")
def add_task(
    *,
    actor: Actor,
    title: str,
    assignee_id: int,
    due_on: date | None = None,
    note: str = "",
    about_kind: str = "",
    about_id: int | None = None,
) -> int:
    """Give somebody something to do, about a document if one is named; returns the task's id.

    Raises: Invalid (no title), NotFound (assignee).
    """
    ensure(bool(title.strip()), Invalid("A task needs a title.", field="title", remedy="Say what is to be done."))
    _member(assignee_id)
    task = Task.objects.create(
        title=title.strip()[:200], note=note, assignee_id=assignee_id, created_by_key=actor.key, due_on=due_on, about_kind=about_kind, about_id=about_id,
        created_at=clock.now(),
    )  # fmt: skip
    changed("task", task.pk, after={"title": task.title, "assignee_id": assignee_id, "due_on": due_on})
    return task.pk


@action("team.finish_task")
def finish_task(*, actor: Actor, task_id: int, dropped: bool = False) -> int:
    """Mark a task as done, or as no longer needed; returns its id. Finishing twice changes nothing. Raises: NotFound."""
    task = Task.objects.select_for_update().filter(pk=task_id).first()
    if task is None:
        raise NotFound(f"There is no task {task_id}.", field="task_id")
    if task.state == Task.State.OPEN:
        task.state = Task.State.DROPPED if dropped else Task.State.DONE
        task.finished_at = clock.now()
        task.save(update_fields=["state", "finished_at"])
        changed("task", task_id, before={"state": "open"}, after={"state": task.state})
    return task_id


@action("team.create_token", replayable=False)
def create_token(*, actor: Actor, name: str, scopes: Sequence[str], expires_at: datetime | None = None) -> str:
    """Make an API token for oneself; the secret is returned once and only its hash is kept.

    scopes  permissions, or `<room>.*`; a request needs both scope and role
    Raises: Forbidden (not a member), Invalid (no name, no scope).
    """
    member_id = actor.member_id
    if member_id is None:
        raise Forbidden("Only members have tokens.", remedy="Sign in first.")
    ensure(bool(name.strip()), Invalid("A token needs a name.", field="name", remedy="Say what it is for."))
    ensure(bool(scopes), Invalid("A token without scopes can do nothing.", field="scopes"))
    secret = "tl_" + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        member_id=member_id, name=name.strip()[:100], prefix=secret[:10], sha256=hashlib.sha256(secret.encode()).hexdigest(), scopes=sorted(set(scopes)),
        created_at=clock.now(), expires_at=expires_at,
    )  # fmt: skip
    changed("api_token", token.pk, after={"name": token.name, "scopes": token.scopes})
    return secret


@action("team.revoke_token")
def revoke_token(*, actor: Actor, token_id: int) -> int:
    """End one of one's own tokens at once (an Owner may end anybody's); returns its id. Raises: NotFound."""
    tokens = (
        ApiToken.objects.filter(pk=token_id)
        if "Owner" in actor.roles
        else ApiToken.objects.filter(pk=token_id, member_id=actor.member_id or 0)
    )
    ensure(tokens.update(revoked_at=clock.now()) == 1, NotFound(f"There is no token {token_id} of yours.", field="token_id"))
    changed("api_token", token_id, after={"revoked": True})
    return token_id


def _member(member_id: int) -> Member:
    member = Member.objects.filter(pk=member_id).first()
    if member is None:
        raise NotFound(f"There is no member {member_id}.", field="member_id")
    return member


def _ensure_roles(roles: Sequence[str], customer_id: int | None) -> None:
    unknown = sorted(set(roles) - set(ROLES))
    ensure(
        not unknown, Invalid(f"{unknown[0] if unknown else ''!r} is no role.", field="roles", remedy=f"Use {', '.join(ROLES)}.")
    )
    ensure(bool(roles), Invalid("A member needs at least one role.", field="roles"))
    if customer_id is None:
        ensure("Customer" not in roles, Invalid("Somebody of the team is no customer.", field="roles", remedy="Let people of a customer sign in on the customer's page."))  # fmt: skip
    else:
        ensure(set(roles) == {"Customer"}, Invalid("People of a customer see only their own.", field="roles", remedy="Add them to the team under another address."))  # fmt: skip


def _ensure_another_owner(member_id: int) -> None:
    others = RoleGrant.objects.filter(role="Owner", member__is_active=True).exclude(member_id=member_id)
    ensure(others.exists(), LastOwner("This is the last Owner.", field="roles", remedy="Make somebody else an Owner first."))
