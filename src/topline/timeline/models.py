from __future__ import annotations

from django.db import models


class Milestone(models.Model):
    """Something that happened to a customer's business with us: an invoice was issued, a promise was broken. Append-only."""

    append_only = True

    kind = models.CharField(max_length=40)
    occurred_on = models.DateField()
    recorded_at = models.DateTimeField()
    customer_id = models.BigIntegerField(null=True)
    subject_kind = models.CharField(max_length=40)
    subject_id = models.BigIntegerField()
    actor_key = models.CharField(max_length=60)
    amount_minor = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    note = models.CharField(max_length=300, blank=True)
    visible_to_customer = models.BooleanField(default=False)

    class Meta:
        indexes = [
            models.Index(fields=["customer_id", "-occurred_on", "-id"], name="milestone_customer"),
            models.Index(fields=["subject_kind", "subject_id"], name="milestone_subject"),
        ]
