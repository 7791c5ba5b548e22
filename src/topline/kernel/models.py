"""Tables of the kernel: what happened (audit), what must still leave (outbox), what was promised once (idempotency), numbers."""

from __future__ import annotations

from django.db import models


class AuditRecord(models.Model):
    """One call of an action: who did what, when, with which inputs and why. Append-only."""

    append_only = True

    recorded_at = models.DateTimeField(db_index=True)
    actor_key = models.CharField(max_length=60)
    actor_name = models.CharField(max_length=200)
    action = models.CharField(max_length=80)
    inputs = models.JSONField(default=dict)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["actor_key", "-id"], name="audit_actor"),
            models.Index(fields=["action", "-id"], name="audit_action"),
        ]


class AuditSubject(models.Model):
    """What an action touched: one document with its before and after, or a run of ids that it made in bulk. Append-only."""

    append_only = True

    record = models.ForeignKey(AuditRecord, on_delete=models.PROTECT, related_name="subjects")
    kind = models.CharField(max_length=40)
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        indexes = [models.Index(fields=["kind", "last_id", "first_id"], name="audit_subject_ids")]
        constraints = [
            models.CheckConstraint(condition=models.Q(first_id__lte=models.F("last_id")), name="audit_subject_run_is_ordered")
        ]


class IdempotencyKey(models.Model):
    """A request that was carried out once: the same key with the same inputs gets the same answer, with others a refusal."""

    actor_key = models.CharField(max_length=60)
    key = models.CharField(max_length=200)
    action = models.CharField(max_length=80)
    digest = models.CharField(max_length=64)
    result = models.JSONField(null=True)
    recorded_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["actor_key", "key"], name="idempotency_key_once")]


class DocumentSeries(models.Model):
    """The next number of a gapless series, one row per entity and series; locked only while numbers are taken."""

    entity_id = models.BigIntegerField()
    code = models.CharField(max_length=40)
    prefix = models.CharField(max_length=20, blank=True)
    width = models.PositiveSmallIntegerField(default=6)
    next_number = models.BigIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entity_id", "code"], name="series_once_per_entity"),
            models.CheckConstraint(condition=models.Q(next_number__gte=1), name="series_counts_from_one"),
        ]


class OutboxMessage(models.Model):
    """Something that must leave the transaction: written with the change, handled after it commits, visible when it fails."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    topic = models.CharField(max_length=80)
    key = models.CharField(max_length=200, null=True, unique=True)
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["available_at", "id"], condition=models.Q(state="waiting"), name="outbox_waiting")]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=["waiting", "done", "failed"]), name="outbox_state_known")
        ]
