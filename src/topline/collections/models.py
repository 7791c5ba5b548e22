"""Tables of the collections room: who was spoken to, what was promised, disputed and agreed, and what happens next."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.market.models import Customer
from topline.team.models import Member


class Contact(models.Model):
    """One contact about money with a customer, in either direction. Append-only: what was said was said."""

    append_only = True

    class Channel(models.TextChoices):
        CALL = "call"
        EMAIL = "email"
        LETTER = "letter"
        MESSAGE = "message"
        MEETING = "meeting"
        NOTE = "note"

    class Outcome(models.TextChoices):
        REACHED = "reached"
        NOT_REACHED = "not_reached"
        PROMISED = "promised"
        DISPUTED = "disputed"
        REPLIED = "replied"
        BOUNCED = "bounced"
        SENT = "sent"
        OTHER = "other"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    person = models.CharField(max_length=200, blank=True)
    note = models.TextField(blank=True)
    occurred_on = models.DateField()
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)
    reminder_id = models.BigIntegerField(null=True)

    class Meta:
        indexes = [models.Index(fields=["customer", "-occurred_on", "-id"], name="contact_customer")]


class Desk(models.Model):
    """How a customer lies on the collector's desk: put off until a day, and why; one row a customer and company."""

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    snoozed_until = models.DateField(null=True)
    no_reminders = models.BooleanField(default=False, help_text="people write to this customer, the ladder does not")
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entity", "customer"], name="desk_once_per_customer")]


class Promise(models.Model):
    """A customer said: this much, by that day. Judged once the day and a grace have passed, by money received since."""

    class State(models.TextChoices):
        OPEN = "open"
        KEPT = "kept"
        PARTLY = "partly"
        BROKEN = "broken"
        WITHDRAWN = "withdrawn"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    made_on = models.DateField()
    due_on = models.DateField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    paid_minor = models.BigIntegerField(default=0)
    judged_on = models.DateField(null=True)
    note = models.CharField(max_length=300, blank=True)
    actor_key = models.CharField(max_length=60)
    recorded_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["customer", "state", "due_on"], name="promise_customer"),
            models.Index(fields=["entity", "state", "due_on"], name="promise_due"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="promise_is_positive"),
            models.CheckConstraint(condition=Q(due_on__gte=F("made_on")), name="promise_is_not_in_the_past"),
            models.CheckConstraint(condition=Q(paid_minor__gte=0), name="promise_paid_not_negative"),
        ]


class PromiseItem(models.Model):
    """An invoice that a promise covers, and how much of it."""

    promise = models.ForeignKey(Promise, on_delete=models.CASCADE, related_name="items", db_index=False)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    amount_minor = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["promise", "invoice"], name="promise_names_invoice_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="promise_item_is_positive"),
        ]


class Dispute(models.Model):
    """A part of an invoice that the customer contests. What is not disputed is still due."""

    class State(models.TextChoices):
        OPEN = "open"
        CREDITED = "credited"
        REJECTED = "rejected"
        PAID = "paid"

    class Reason(models.TextChoices):
        PRICE = "price"
        QUANTITY = "quantity"
        QUALITY = "quality"
        NOT_DELIVERED = "not_delivered"
        NOT_ORDERED = "not_ordered"
        MISSING_PURCHASE_ORDER = "missing_purchase_order"
        WRONG_ADDRESS = "wrong_address"
        DUPLICATE = "duplicate"
        TAX = "tax"
        LITIGATION = "litigation"
        OTHER = "other"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    reason = models.CharField(max_length=24, choices=Reason.choices)
    amount_minor = models.BigIntegerField()
    note = models.TextField(blank=True)
    owner = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    raised_on = models.DateField()
    deadline_on = models.DateField()
    resolved_on = models.DateField(null=True)
    credit_note = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="+")
    resolution = models.CharField(max_length=300, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["state", "deadline_on"], name="dispute_deadline"),
            models.Index(fields=["invoice", "state"], name="dispute_invoice"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["invoice"], condition=Q(state="open"), name="one_open_dispute_per_invoice"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="dispute_is_positive"),
            models.CheckConstraint(condition=Q(deadline_on__gte=F("raised_on")), name="dispute_deadline_after_raised"),
        ]


class DunningPolicy(models.Model):
    """The ladder of reminders for a segment ("" is the default): steps are data, in the shape of engine.collections.

    steps  a list of {key, days (relative to the due day, negative: before), channel, template, needs_approval,
           alternative (None, or {channel, template, wait_days}), is_randomised}
    """

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    segment = models.CharField(max_length=40, blank=True)
    steps = models.JSONField(default=list)
    minimum_minor = models.BigIntegerField(default=0, help_text="nobody is reminded of less than this")
    quiet_from_hour = models.PositiveSmallIntegerField(default=18)
    quiet_until_hour = models.PositiveSmallIntegerField(default=8)
    is_on = models.BooleanField(default=False, help_text="off: the ladder is shown, nothing is sent")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entity", "segment"], name="policy_once_per_segment")]


class Reminder(models.Model):
    """One message of the ladder to one customer, about one or many invoices, with what became of it."""

    class State(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"
        FAILED = "failed"
        BOUNCED = "bounced"
        HELD = "held"
        DROPPED = "dropped"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    step = models.CharField(max_length=40)
    channel = models.CharField(max_length=10)
    variant = models.CharField(max_length=80, blank=True, help_text="the way of a randomised step that the customer was dealt")
    language = models.CharField(max_length=5)
    recipient = models.CharField(max_length=254, blank=True)
    subject = models.CharField(max_length=300, blank=True)
    body = models.TextField(blank=True)
    message_id = models.CharField(max_length=200, null=True, unique=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    why = models.CharField(max_length=300, blank=True, help_text="why it is held or failed")
    planned_on = models.DateField()
    sent_at = models.DateTimeField(null=True)
    replied_at = models.DateTimeField(null=True)
    recorded_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["customer", "-planned_on"], name="reminder_customer"),
            models.Index(fields=["entity", "state", "planned_on"], name="reminder_state"),
        ]


class ReminderItem(models.Model):
    """An invoice that a reminder names. Its uniqueness is why no step is ever sent twice."""

    reminder = models.ForeignKey(Reminder, on_delete=models.CASCADE, related_name="items")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+", db_index=False)
    step = models.CharField(max_length=40)
    open_minor = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "step"], name="step_once_per_invoice")]


class PaymentPlan(models.Model):
    """An agreement to pay old invoices in dated parts; a missed part makes the whole rest due."""

    class State(models.TextChoices):
        ACTIVE = "active"
        COMPLETED = "completed"
        BROKEN = "broken"
        CANCELLED = "cancelled"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    total_minor = models.BigIntegerField()
    agreed_on = models.DateField()
    grace_days = models.PositiveSmallIntegerField(default=3)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    ended_on = models.DateField(null=True)
    note = models.CharField(max_length=300, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(total_minor__gt=0), name="plan_is_positive")]


class PlanInvoice(models.Model):
    """An invoice under a payment plan; an invoice is under one active plan at most."""

    plan = models.ForeignKey(PaymentPlan, on_delete=models.CASCADE, related_name="invoices")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    open_minor = models.BigIntegerField()
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice"], condition=Q(is_active=True), name="one_active_plan_per_invoice"),
        ]


class PlanInstalment(models.Model):
    """A dated part of a payment plan."""

    plan = models.ForeignKey(PaymentPlan, on_delete=models.CASCADE, related_name="instalments", db_index=False)
    position = models.IntegerField()
    due_on = models.DateField()
    amount_minor = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "position"], name="plan_instalment_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="plan_instalment_is_positive"),
        ]


class TimingModel(models.Model):
    """A version of the model of when customers pay: from what it was made, and how wrong it was on what came after. Append-only."""

    append_only = True

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    version = models.CharField(max_length=64)
    trained_on = models.DateField(help_text="the day up to which it knows")
    method = models.CharField(max_length=40)
    invoices = models.IntegerField()
    scores = models.JSONField(default=dict)
    recorded_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["entity", "-id"], name="timing_model_newest")]


class PayrollStake(models.Model):
    """By how much a call about each invoice raises the next payroll that is not safe, as weighed on a morning. Append-only.

    Treasury weighs it and hands it down, since collections stands above treasury. Without such a payroll `debit_on` is null.
    changes  {invoice id: change of the probability in millionths}
    """

    append_only = True

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    as_of = models.DateField(help_text="the day whose list it is for")
    payroll = models.CharField(max_length=100, blank=True)
    payday = models.DateField(null=True)
    debit_on = models.DateField(null=True)
    amount_minor = models.BigIntegerField(default=0, help_text="what is paid, in the company's currency")
    changes = models.JSONField(default=dict)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entity", "as_of"], name="one_payroll_stake_per_day")]


class ReferenceRate(models.Model):
    """A reference rate of statutory late interest that the company wrote down, with where it was published; it goes before the tables.

    Append-only: of one jurisdiction and half-year the newest row counts.
    jurisdiction  a key of engine.reference_rates.TABLES
    """

    append_only = True

    jurisdiction = models.CharField(max_length=2)
    valid_from = models.DateField(help_text="1 January or 1 July: the half-year that it rules")
    rate_ppm = models.IntegerField(help_text="millionths a year: 2.15 % is 21500; may be negative")
    source = models.CharField(max_length=300)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(source=""), name="reference_rate_has_a_source"),
            models.CheckConstraint(
                condition=Q(rate_ppm__gte=-1_000_000, rate_ppm__lte=1_000_000), name="reference_rate_is_a_share"
            ),
        ]


class InterestClaim(models.Model):
    """Days of lateness of an invoice, or of an instalment of it, that an interest note claims.

    due_on     the day that the part was due
    after_on   the last day that bears no interest here: the due day, or the last day that was claimed before
    is_standing  false once the note was voided, so that the days may be claimed anew; a credit note waives them for good
    """

    document = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+", db_index=False)
    due_on = models.DateField()
    after_on = models.DateField()
    until = models.DateField()
    principal_minor = models.BigIntegerField(help_text="what was owed when the days began")
    interest_minor = models.BigIntegerField()
    compensation_minor = models.BigIntegerField()
    is_standing = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["invoice", "due_on", "after_on"], condition=Q(is_standing=True), name="late_days_claimed_once"
            ),
            models.CheckConstraint(
                condition=Q(after_on__gte=F("due_on"), until__gt=F("after_on")), name="late_days_follow_the_due_day"
            ),
            models.CheckConstraint(
                condition=Q(interest_minor__gte=0, compensation_minor__gte=0), name="interest_claim_is_not_negative"
            ),
        ]
