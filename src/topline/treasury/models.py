"""Tables of the treasury room: what will go out, and when."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from topline.bank.models import BankAccount
from topline.books.models import Entity


class Frequency(models.TextChoices):
    ONCE = "once"
    WEEKLY = "weekly"
    BIWEEKLY = "biweekly"
    SEMIMONTHLY = "semimonthly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"


class PayPlan(models.Model):
    """Who is paid how often: the payroll calendar of a group of people."""

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=100)
    currency = models.CharField(max_length=3)
    frequency = models.CharField(max_length=12, choices=Frequency.choices, default=Frequency.BIWEEKLY)
    first_payday = models.DateField()
    until = models.DateField(null=True)
    debit_lead_days = models.PositiveSmallIntegerField(
        default=2, help_text="business days before payday on which the money is taken"
    )
    employer_cost_ppm = models.IntegerField(default=0, help_text="employer taxes and fees on top of pay, in millionths")
    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, null=True, related_name="+")
    import_batch_id = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entity", "name"], name="pay_plan_name_once")]


class PayLine(models.Model):
    """What one person is paid each period. Seen by few: Owner, Treasury, Approver, Auditor."""

    plan = models.ForeignKey(PayPlan, on_delete=models.CASCADE, related_name="lines")
    person = models.CharField(max_length=100)
    group = models.CharField(max_length=100, blank=True)
    amount_minor = models.BigIntegerField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount_minor__gte=0), name="pay_is_not_negative")]


class PlannedOutflow(models.Model):
    """Rent, taxes, a vendor, a loan: an amount that leaves once or again and again."""

    class Kind(models.TextChoices):
        TAX = "tax"
        RENT = "rent"
        VENDOR = "vendor"
        LOAN = "loan"
        OTHER = "other"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.OTHER)
    name = models.CharField(max_length=100)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    first_on = models.DateField()
    frequency = models.CharField(max_length=12, choices=Frequency.choices, default=Frequency.MONTHLY)
    until = models.DateField(null=True)
    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, null=True, related_name="+")
    is_critical = models.BooleanField(default=False, help_text="cannot wait: work stops or a penalty falls due without it")
    is_dropped = models.BooleanField(default=False)
    import_batch_id = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount_minor__gt=0), name="outflow_is_positive")]


class OutflowDeferral(models.Model):
    """One occurrence of a planned outflow moved to a later day, and why; the others stay where they are. Undone, never deleted."""

    outflow = models.ForeignKey(PlannedOutflow, on_delete=models.PROTECT, related_name="deferrals")
    occurs_on = models.DateField(help_text="the day on which it was planned")
    moved_to = models.DateField()
    reason = models.CharField(max_length=300, blank=True)
    deferred_by_key = models.CharField(max_length=100)
    is_undone = models.BooleanField(default=False)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["outflow", "occurs_on"], condition=Q(is_undone=False), name="occurrence_deferred_once"
            ),
            models.CheckConstraint(condition=Q(moved_to__gt=models.F("occurs_on")), name="deferred_to_a_later_day"),
        ]


class FrozenForecast(models.Model):
    """A cash forecast as it was told on a day, kept by value so that it can be scored when truth arrives. Append-only.

    days       a list of {day, p10_minor, p50_minor, p90_minor, in_minor, out_minor}
    payrolls   a list of {name, debit_on, amount_minor, percent}
    """

    append_only = True

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    as_of = models.DateField()
    currency = models.CharField(max_length=3)
    opening_minor = models.BigIntegerField()
    days = models.JSONField(default=list)
    payrolls = models.JSONField(default=list)
    record = models.JSONField(default=list, help_text="how past forecasts did: horizon_days, factor, hit_rate, snapshots")
    model_version = models.CharField(max_length=64, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entity", "as_of"], name="one_frozen_forecast_per_day")]
