"""Tables of metering: meters, the events that they count, and events that could not be placed."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from topline.market.models import Customer

METHODS = ("count", "sum", "max", "unique", "latest", "time_weighted", "day_weighted", "peak")
LEVELS = ("time_weighted", "day_weighted", "peak")  # their events are changes of a level, which begins a period as it stood
ROUNDINGS = ("round", "ceil", "floor")


class Meter(models.Model):
    """What is counted of events.

    filters   property to the values that count; empty: all events
    group_by  property by whose values events are measured apart; the quantity is what they come to together. Empty: all at once
    """

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    method = models.CharField(max_length=13, help_text="one of METHODS")
    unit = models.CharField(max_length=40, blank=True, help_text="such as call, GB, seat")
    filters = models.JSONField(default=dict, blank=True)
    group_by = models.CharField(max_length=40, blank=True)
    rounding = models.CharField(
        max_length=5, blank=True, help_text="of the quantity of a period, before it is priced: round, ceil, floor; empty: none"
    )
    round_decimals = models.IntegerField(default=0, help_text="below zero: to tens, hundreds and so on")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(method__in=METHODS), name="meter_method_known"),
            models.CheckConstraint(
                condition=Q(rounding__in=["", *ROUNDINGS], round_decimals__gte=-9, round_decimals__lte=6),
                name="meter_rounding_known",
            ),
            models.CheckConstraint(condition=~Q(method__in=LEVELS) | Q(group_by=""), name="meter_levels_are_not_grouped"),
        ]


class UsageEvent(models.Model):
    """Something that a customer used. Append-only: what was wrong is corrected by an event of its own, such as a negative value.

    key        the sender's name for it: the same key a second time is the same event
    value      millionths; for LEVELS a change of the level
    unique_key what `unique` tells apart
    """

    append_only = True

    key = models.CharField(max_length=100, unique=True)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="events", db_constraint=False, db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    at = models.DateTimeField()
    value_micro = models.BigIntegerField(default=1_000_000)
    unique_key = models.CharField(max_length=100, blank=True)
    properties = models.JSONField(default=dict, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["customer", "meter", "at"], name="usage_of_customer")]


class StrayEvent(models.Model):
    """An event that could not be placed, as it came, and why. It is sent again once the reason is mended."""

    key = models.CharField(max_length=100)
    said = models.JSONField()
    code = models.CharField(max_length=40)
    message = models.CharField(max_length=300)
    received_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["-id"], name="stray_newest")]


class Backfill(models.Model):
    """A span of a meter that was sent again: events up to an id no longer count in it, those that came with it and later ones do. Append-only.

    customer  whose events; null: everybody's
    upto_id   the newest event id when it came
    """

    append_only = True

    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", null=True)
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    upto_id = models.BigIntegerField()
    replaced = models.BigIntegerField(help_text="events that counted before")
    recorded = models.BigIntegerField(help_text="events that came instead")
    because = models.CharField(max_length=300)
    actor_name = models.CharField(max_length=200)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(start_at__lt=models.F("end_at")), name="backfill_ends_after_it_starts")]


class LakePart(models.Model):
    """A file of the lake: events of one month that left the table for it, in the same transaction as this row came. Append-only.

    path    below the lake's folder
    counts  events and the newest moment by meter: {"7": [1200, "2026-01-31T23:59:00+00:00"]}
    """

    append_only = True

    month = models.DateField(help_text="first day of the month, in UTC, in which the events lie")
    path = models.CharField(max_length=200, unique=True)
    rows = models.BigIntegerField()
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    counts = models.JSONField(default=dict)
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(rows__gt=0) & Q(first_id__lte=models.F("last_id")), name="lake_part_holds_rows")
        ]
