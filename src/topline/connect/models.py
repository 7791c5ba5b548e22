"""Tables of the import room: what came in by which file, how far it got, and what was refused."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from topline.books.models import Entity


class ImportBatch(models.Model):
    """One file on its way in: checked, then written in chunks that are each whole, resumable, and undoable."""

    class State(models.TextChoices):
        CHECKED = "checked"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        UNDONE = "undone"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=20)
    profile = models.CharField(max_length=60)
    file_name = models.CharField(max_length=200)
    file_sha256 = models.CharField(max_length=64)
    file_bytes = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.CHECKED)
    rows_total = models.BigIntegerField(default=0)
    rows_done = models.BigIntegerField(default=0)
    rows_refused = models.BigIntegerField(default=0)
    detected = models.JSONField(default=dict)
    settings = models.JSONField(default=dict)
    rest_of = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="the batch of the same file whose refused rows this one brings",
    )
    error = models.TextField(blank=True)
    actor_key = models.CharField(max_length=60)
    recorded_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["entity", "-id"], name="import_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["entity", "kind", "file_sha256"],
                condition=Q(state__in=["running", "done"], rest_of__isnull=True),
                name="import_file_once",
            ),
            models.UniqueConstraint(
                fields=["rest_of"], condition=Q(state__in=["running", "done"]), name="import_rest_of_a_file_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["checked", "running", "done", "failed", "undone"]), name="import_state_known"
            ),
        ]


class ImportProblem(models.Model):
    """A row that was refused: where, why, and what to do."""

    batch = models.ForeignKey(ImportBatch, on_delete=models.CASCADE, related_name="problems")
    row = models.BigIntegerField()
    column = models.CharField(max_length=100, blank=True)
    value = models.CharField(max_length=200, blank=True)
    code = models.CharField(max_length=40)
    message = models.CharField(max_length=500)
    remedy = models.CharField(max_length=500, blank=True)
