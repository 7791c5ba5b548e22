"""Tables of quotes: versions, priced lines with every step of their price, approvals, the document sent, the signature."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.books.models import Entity
from topline.catalog.models import PriceBook, Product, Promotion
from topline.market.models import Customer
from topline.pipeline.models import Opportunity


class Quote(models.Model):
    """One version of an offer for a deal. A draft may change; what was sent never does: a change makes the next version."""

    class State(models.TextChoices):
        DRAFT = "draft"
        SENT = "sent"
        ACCEPTED = "accepted"
        DECLINED = "declined"
        SUPERSEDED = "superseded"  # a later version was sent
        WITHDRAWN = "withdrawn"

    number = models.CharField(max_length=40)
    version = models.IntegerField(default=1)
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    opportunity = models.ForeignKey(Opportunity, on_delete=models.PROTECT, related_name="quotes", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    is_forecast = models.BooleanField(default=False, help_text="its amount is the deal's")
    currency = models.CharField(max_length=3)
    price_book = models.ForeignKey(PriceBook, on_delete=models.PROTECT, null=True, related_name="+")
    segment = models.CharField(max_length=40, blank=True, help_text="of the deal, else of the customer, when it was priced")
    terms = models.CharField(max_length=60, help_text="such as net 30")
    bill_every = models.CharField(max_length=10, default="once", help_text="once, month, quarter or year")
    starts_on = models.DateField()
    months = models.IntegerField(default=12)
    valid_until = models.DateField(help_text="the last day on which it can be accepted")
    note = models.CharField(max_length=2000, blank=True)
    priced_on = models.DateField()
    list_minor = models.BigIntegerField()
    net_minor = models.BigIntegerField()
    pocket_minor = models.BigIntegerField()
    token = models.CharField(
        max_length=60, unique=True, null=True, help_text="the last part of its public address, from when it is sent"
    )
    sent_on = models.DateField(null=True)
    first_viewed_at = models.DateTimeField(null=True)
    closed_on = models.DateField(null=True, help_text="the day it was accepted, declined, superseded or withdrawn")
    closed_because = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=60)

    class Meta:
        indexes = [
            models.Index(fields=["entity", "state", "id"], name="quote_by_state"),
            models.Index(fields=["opportunity", "id"], name="quote_of_deal"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["number", "version"], name="quote_version_once"),
            models.UniqueConstraint(fields=["opportunity"], condition=Q(is_forecast=True), name="one_quote_is_the_forecast"),
            models.UniqueConstraint(fields=["opportunity"], condition=Q(state="accepted"), name="one_quote_is_accepted"),
            models.CheckConstraint(condition=Q(state__in=["draft", "sent", "accepted", "declined", "superseded", "withdrawn"]), name="quote_state_known"),
            models.CheckConstraint(condition=Q(state__in=["draft", "withdrawn"]) | Q(token__isnull=False, sent_on__isnull=False), name="sent_quote_has_a_link"),
            models.CheckConstraint(condition=Q(valid_until__gte=F("priced_on")), name="quote_valid_for_a_while"),
            models.CheckConstraint(condition=Q(months__gt=0), name="quote_lasts"),
            models.CheckConstraint(condition=Q(net_minor__gte=0, list_minor__gte=0), name="quote_not_negative"),
            models.CheckConstraint(condition=Q(bill_every__in=["once", "month", "quarter", "year"]), name="quote_cadence_known"),
        ]  # fmt: skip


class QuoteLine(models.Model):
    """Something offered: quantity x unit price x periods. A ramp is several lines of a product that begin after each other."""

    quote = models.ForeignKey(Quote, on_delete=models.PROTECT, related_name="lines", db_index=False)
    position = models.IntegerField()
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    description = models.CharField(max_length=300, blank=True)
    quantity_micro = models.BigIntegerField()
    periods = models.IntegerField(default=1, help_text="how many times the price of a unit is due")
    begins_after_months = models.IntegerField(default=0)
    unit_price_nano = models.BigIntegerField(help_text="the list price of a unit")
    list_minor = models.BigIntegerField()
    net_minor = models.BigIntegerField()
    pocket_minor = models.BigIntegerField()
    cost_minor = models.BigIntegerField(null=True)
    manual_ppm = models.IntegerField(default=0)
    discount_ppm = models.IntegerField(help_text="net off list, all steps together")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["quote", "position"], name="quote_line_once"),
            models.CheckConstraint(
                condition=Q(quantity_micro__gt=0, periods__gt=0, begins_after_months__gte=0), name="quote_line_sensible"
            ),
        ]


class QuotePriceStep(models.Model):
    """One step of the way from list to pocket; the steps of a line always add up."""

    line = models.ForeignKey(QuoteLine, on_delete=models.CASCADE, related_name="steps", db_index=False)
    position = models.IntegerField()
    step = models.CharField(max_length=20)
    note = models.CharField(max_length=100, blank=True)
    base_minor = models.BigIntegerField()
    amount_minor = models.BigIntegerField()
    running_minor = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["line", "position"], name="price_step_once")]


class QuotePromotion(models.Model):
    """A promotion that a quote names, and what it costs there."""

    quote = models.ForeignKey(Quote, on_delete=models.CASCADE, related_name="promotions", db_index=False)
    promotion = models.ForeignKey(Promotion, on_delete=models.PROTECT, related_name="uses")
    cost_minor = models.BigIntegerField(help_text="taken off; shared out where several stack")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["quote", "promotion"], name="promotion_once_in_a_quote")]


class QuoteApproval(models.Model):
    """A role was asked to agree to discounts outside the agreed band, and what a second person said."""

    class State(models.TextChoices):
        WAITING = "waiting"
        APPROVED = "approved"
        REFUSED = "refused"
        DROPPED = "dropped"  # the quote was changed meanwhile

    quote = models.ForeignKey(Quote, on_delete=models.PROTECT, related_name="approvals")
    approver = models.CharField(max_length=40, help_text="the role")
    discount_ppm = models.IntegerField(help_text="the deepest discount asked for")
    net_minor = models.BigIntegerField()
    why = models.CharField(max_length=1000)
    reason = models.CharField(max_length=500, help_text="what who asked says for it")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    asked_on = models.DateField()
    asked_by = models.CharField(max_length=60)
    decided_on = models.DateField(null=True)
    decided_by = models.CharField(max_length=60, blank=True)
    said = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [models.Index(fields=["state", "id"], name="approval_by_state")]
        constraints = [
            models.UniqueConstraint(fields=["quote"], condition=Q(state="waiting"), name="one_approval_waits"),
            models.CheckConstraint(condition=~Q(decided_by=F("asked_by")) | Q(decided_by=""), name="approval_by_a_second_person"),
            models.CheckConstraint(condition=Q(state__in=["waiting", "dropped"]) | ~Q(decided_by=""), name="decided_by_somebody"),
        ]


class QuoteDocument(models.Model):
    """The PDF that was sent, byte for byte, and its SHA-256. Append-only."""

    append_only = True

    quote = models.OneToOneField(Quote, on_delete=models.PROTECT, related_name="document")
    pdf = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    made_at = models.DateTimeField()


class QuoteSignature(models.Model):
    """Who accepted a quote, when, from where, and which document. Append-only; one per quote."""

    append_only = True

    quote = models.OneToOneField(Quote, on_delete=models.PROTECT, related_name="signature")
    name = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    sha256 = models.CharField(max_length=64)
    signed_at = models.DateTimeField()


class LatePayment(models.Model):
    """What it costs on average that a customer pays late, as a share of what is billed; handed in by the day's work."""

    customer = models.OneToOneField(Customer, on_delete=models.PROTECT, related_name="+")
    late_ppm = models.IntegerField()
    as_of = models.DateField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(late_ppm__gte=0, late_ppm__lte=1_000_000), name="late_cost_is_a_share")]
