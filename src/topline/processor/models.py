"""Tables of online payments: what we want paid, by which saved card or account, what the processor told us, and what it paid out."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.market.models import Customer


class Method(models.Model):
    """A card or account that a customer lets us charge. The processor holds it; we know its name there and its last digits."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    processor = models.CharField(max_length=12)
    ref = models.CharField(max_length=120)
    customer_ref = models.CharField(max_length=120, blank=True)
    label = models.CharField(max_length=60)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["processor", "ref"], name="method_once"),
            models.UniqueConstraint(fields=["customer"], condition=Q(is_active=True), name="one_active_method"),
        ]


class Intent(models.Model):
    """That an invoice is to be paid online, written down before anybody is called. `key` makes the call count once, however often it is made.

    new         nobody was called yet, or no answer came
    open        the processor's page waits for the customer
    processing  the money is on its way (direct debit)
    paid, failed, canceled, disputed
    """

    class State(models.TextChoices):
        NEW = "new"
        OPEN = "open"
        PROCESSING = "processing"
        PAID = "paid"
        FAILED = "failed"
        CANCELED = "canceled"
        DISPUTED = "disputed"

    LIVE = ("new", "open", "processing")

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    method = models.ForeignKey(Method, on_delete=models.PROTECT, null=True, related_name="+")
    processor = models.CharField(max_length=12)
    key = models.CharField(max_length=60, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.NEW)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    saves_method = models.BooleanField(default=False)
    ref = models.CharField(max_length=120, blank=True, help_text="the processor's name of its page")
    url = models.URLField(max_length=2000, blank=True)
    charge_ref = models.CharField(max_length=120, blank=True)
    payment_id = models.BigIntegerField(null=True)
    fee_minor = models.BigIntegerField(default=0)
    decline_code = models.CharField(max_length=60, blank=True)
    tries = models.IntegerField(default=1)
    next_try_on = models.DateField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["entity", "id"], name="intent_by_entity"),
            models.Index(fields=["charge_ref"], name="intent_charge", condition=~Q(charge_ref="")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"], condition=Q(state__in=["new", "open", "processing"]), name="one_live_intent_an_invoice"
            ),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="intent_is_positive"),
            models.CheckConstraint(
                condition=~Q(state__in=["paid", "disputed"]) | Q(payment_id__isnull=False), name="paid_intent_has_a_payment"
            ),
        ]


class Refund(models.Model):
    """Money of a payment that goes back through the processor. `key` makes the call count once, however often it is made.

    new     asked for here; no answer came yet
    told    made at the processor, which told us: for a person to book
    booked  the payment is less by it, and what it settled is open again, or credited
    failed  the processor refused
    """

    class State(models.TextChoices):
        NEW = "new"
        TOLD = "told"
        BOOKED = "booked"
        FAILED = "failed"

    intent = models.ForeignKey(Intent, on_delete=models.PROTECT, related_name="refunds")
    key = models.CharField(max_length=60, unique=True)
    state = models.CharField(max_length=6, choices=State.choices)
    amount_minor = models.BigIntegerField()
    credits_invoice = models.BooleanField(
        default=False, help_text="the invoice is credited with as much, so that nothing is owed again"
    )
    reason = models.CharField(max_length=300, blank=True)
    ref = models.CharField(max_length=120, blank=True, help_text="the processor's name of it")
    why = models.CharField(max_length=60, blank=True, help_text="the processor's code, where it refused")
    credit_note_id = models.BigIntegerField(null=True)
    booked_on = models.DateField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="refund_is_positive"),
            models.CheckConstraint(condition=~Q(state="booked") | Q(booked_on__isnull=False), name="booked_refund_has_a_day"),
        ]


class Event(models.Model):
    """What the processor told us, as it came; each once. `said` is what was done about it."""

    processor = models.CharField(max_length=12)
    ref = models.CharField(max_length=120)
    kind = models.CharField(max_length=80)
    payload = models.JSONField()
    received_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True)
    said = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["processor", "ref"], name="event_once")]


class Payout(models.Model):
    """What the processor sends to our bank: many payments less fees, one line on the statement (`line_id`, once it is there)."""

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+")
    processor = models.CharField(max_length=12)
    ref = models.CharField(max_length=120)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    arrives_on = models.DateField()
    line_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["processor", "ref"], name="payout_once")]


class Simulated(models.Model):
    """What the built-in simulator knows of a charge: it plays a processor outside, so nothing else reads this table."""

    ref = models.CharField(max_length=120, unique=True)
    key = models.CharField(max_length=60, unique=True)
    facts = models.JSONField()
    state = models.CharField(max_length=12, default="open")
    settles_on = models.DateField(null=True)
    created_at = models.DateTimeField()
