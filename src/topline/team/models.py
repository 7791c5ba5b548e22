"""Tables of the team: members with their roles, areas with owner and deputy, tasks, API tokens."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q


class MemberManager(BaseUserManager["Member"]):
    """Looks members up by e-mail address, as allauth asks."""

    def get_by_natural_key(self, username: str | None) -> Member:
        return self.get(email__iexact=username or "")


class Member(AbstractBaseUser):
    """Someone who signs in: of the team, or (with customer_id) of a customer in the portal."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    customer_id = models.BigIntegerField(null=True)
    time_zone = models.CharField(max_length=60, default="UTC")
    joined_at = models.DateTimeField()

    objects: ClassVar[MemberManager] = MemberManager()
    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]


class RoleGrant(models.Model):
    """A member wears a role; the roles themselves stand in `roles.py`."""

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="role_grants", db_index=False)
    role = models.CharField(max_length=30)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["member", "role"], name="role_once_per_member")]


class Area(models.Model):
    """A part of the work that somebody owns: collections, billing, treasury."""

    key = models.SlugField(max_length=40, unique=True)
    title = models.CharField(max_length=100)
    owner = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    deputy = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(owner=models.F("deputy")) | Q(owner__isnull=True), name="deputy_is_someone_else")
        ]


class Task(models.Model):
    """Something to do, by somebody, until a day, about something."""

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        DROPPED = "dropped"

    title = models.CharField(max_length=200)
    note = models.TextField(blank=True)
    assignee = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+", db_index=False)
    created_by_key = models.CharField(max_length=60)
    due_on = models.DateField(null=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    about_kind = models.CharField(max_length=40, blank=True)
    about_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["assignee", "state", "due_on"], name="task_assignee"),
            models.Index(fields=["about_kind", "about_id"], name="task_about"),
        ]
        constraints = [models.CheckConstraint(condition=Q(state__in=["open", "done", "dropped"]), name="task_state_known")]


class ApiToken(models.Model):
    """A bearer token for the API: only its hash is kept; it can do what its scopes and its member's roles both allow."""

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    sha256 = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
