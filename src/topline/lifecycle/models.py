"""Tables of the lifecycle: stages set by hand, and what serving customers costs. Everything else is computed."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from topline.books.models import Entity
from topline.market.models import Customer


class StageOverride(models.Model):
    """Where somebody says that a customer stands, and why. The newest one counts; an empty stage gives it back to the computation. Append-only."""

    append_only = True

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    stage = models.CharField(max_length=20, blank=True)
    because = models.CharField(max_length=300)
    on = models.DateField()
    until = models.DateField(null=True, help_text="the last day on which it counts; null: until it is changed")
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        indexes = [models.Index(fields=["customer", "on", "id"], name="stage_override_by_day")]
        constraints = [
            models.CheckConstraint(condition=~Q(because=""), name="stage_override_has_a_reason"),
            models.CheckConstraint(condition=Q(until__gte=models.F("on")) | Q(until__isnull=True), name="stage_override_lasts"),
        ]


class ServeCost(models.Model):
    """What one contact with a customer and one ticket cost the company from a day on. Append-only: the newest that holds counts."""

    append_only = True

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    valid_from = models.DateField()
    contact_minor = models.BigIntegerField()
    ticket_minor = models.BigIntegerField()
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(contact_minor__gte=0, ticket_minor__gte=0), name="serve_cost_not_negative")
        ]
