"""Tables of the cases room: one large debt, the strategy that was chosen for it, its steps, and what came of it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.market.models import Customer
from topline.team.models import Task


class Case(models.Model):
    """A large debt that is worked as one: weighed, a strategy chosen (and approved), carried out, its outcome kept.

    assumptions   what this case changes of the packaged ones: {settings, facts, options}
    expected_minor, expected_on   what the strategy was expected to bring when it was chosen (company's currency), and by when half
    """

    class State(models.TextChoices):
        OPEN = "open"
        WAITING = "waiting"
        WORKING = "working"
        CLOSED = "closed"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    currency = models.CharField(max_length=3)
    debt_minor = models.BigIntegerField(help_text="open on its invoices when it was opened")
    opened_on = models.DateField()
    opened_by_key = models.CharField(max_length=60)
    assumptions = models.JSONField(default=dict)
    strategy = models.CharField(max_length=20, blank=True)
    chosen_on = models.DateField(null=True)
    chosen_by_key = models.CharField(max_length=60, blank=True)
    expected_minor = models.BigIntegerField(null=True)
    expected_on = models.DateField(null=True)
    promised_ppm = models.IntegerField(null=True, help_text="millionths of the debt that come if the strategy works")
    approved_on = models.DateField(null=True)
    approved_by_key = models.CharField(max_length=60, blank=True)
    refused_because = models.CharField(max_length=300, blank=True)
    closed_on = models.DateField(null=True)
    received_minor = models.BigIntegerField(null=True)
    received_on = models.DateField(null=True, help_text="the last day on which money for it came")
    has_worked = models.BooleanField(null=True)
    note = models.CharField(max_length=300, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["entity", "state", "-opened_on"], name="case_state"),
            models.Index(fields=["strategy", "state"], name="case_strategy"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(debt_minor__gt=0), name="case_debt_is_positive"),
            models.CheckConstraint(
                condition=Q(approved_by_key="") | ~Q(approved_by_key=F("chosen_by_key")), name="case_approved_by_another"
            ),
            models.CheckConstraint(
                condition=Q(state="open") | ~Q(strategy="") | Q(state="closed"), name="case_works_on_a_strategy"
            ),
            models.CheckConstraint(
                condition=~Q(state="closed") | Q(closed_on__isnull=False, received_minor__isnull=False),
                name="closed_case_has_outcome",
            ),
        ]


class CaseInvoice(models.Model):
    """An invoice of a case, with what was open on it; an invoice is in one open case at most."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="invoices")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    open_minor = models.BigIntegerField()
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice"], condition=Q(is_active=True), name="one_open_case_per_invoice"),
            models.CheckConstraint(condition=Q(open_minor__gt=0), name="case_invoice_is_open"),
        ]


class CaseStep(models.Model):
    """A step of the chosen strategy: a task of the team with owner and day."""

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="steps", db_index=False)
    position = models.IntegerField()
    task = models.OneToOneField(Task, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["case", "position"], name="case_step_once")]
