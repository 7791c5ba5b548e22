"""Tables of leads: campaigns with what they cost, and who came by them or by themselves."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.books.models import Entity
from topline.market.models import Customer
from topline.pipeline.models import Opportunity, Rep


class Campaign(models.Model):
    """Something done to be found by buyers, with the days on which it ran and what it cost."""

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    channel = models.CharField(max_length=40, blank=True)
    starts_on = models.DateField()
    ends_on = models.DateField(null=True)
    cost_minor = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(cost_minor__gte=0), name="campaign_cost_not_negative"),
            models.CheckConstraint(
                condition=Q(ends_on__gte=F("starts_on")) | Q(ends_on__isnull=True), name="campaign_ends_after_it_starts"
            ),
        ]


class Lead(models.Model):
    """Somebody who may become a customer, until they are one or are known not to.

    facts      further things that were known when the lead came in, as name to text or number; the score may weigh them
    score_ppm  how likely it is that the lead converts, as learned on `scored_on`; null while there is too little to learn from
    reasons    what speaks for and against it: fact, value, weight (log-odds against the average lead)
    """

    class State(models.TextChoices):
        NEW = "new"
        WORKING = "working"
        QUALIFIED = "qualified"
        CONVERTED = "converted"
        DISQUALIFIED = "disqualified"

    number = models.CharField(max_length=40, unique=True)
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=200, blank=True, help_text="the person")
    company = models.CharField(max_length=200, blank=True)
    email = models.CharField(max_length=254, blank=True)
    phone = models.CharField(max_length=60, blank=True)
    country = models.CharField(max_length=2, blank=True)
    segment = models.CharField(max_length=40, blank=True)
    source = models.CharField(max_length=60, blank=True)
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, null=True, related_name="leads")
    interest = models.CharField(max_length=300, blank=True, help_text="what they asked for")
    facts = models.JSONField(default=dict, blank=True)
    rep = models.ForeignKey(Rep, on_delete=models.PROTECT, null=True, related_name="+")
    state = models.CharField(max_length=12, choices=State.choices, default=State.NEW)
    created_on = models.DateField()
    qualified_on = models.DateField(null=True)
    closed_on = models.DateField(null=True, help_text="the day it was converted or disqualified")
    because = models.CharField(max_length=200, blank=True, help_text="why it was disqualified")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+")
    opportunity = models.OneToOneField(Opportunity, on_delete=models.PROTECT, null=True, related_name="lead")
    score_ppm = models.IntegerField(null=True)
    reasons = models.JSONField(default=list, blank=True)
    scored_on = models.DateField(null=True)
    recorded_at = models.DateTimeField()
    import_batch_id = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        indexes = [
            models.Index(fields=["entity", "state", "-score_ppm"], name="lead_by_state"),
            models.Index(fields=["entity", "created_on"], name="lead_by_day"),
            models.Index(fields=["email"], name="lead_by_email"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(name="", company=""), name="lead_is_somebody"),
            models.CheckConstraint(condition=Q(state__in=["new", "working", "qualified", "converted", "disqualified"]), name="lead_state_known"),
            models.CheckConstraint(condition=~Q(state="converted") | Q(customer__isnull=False, opportunity__isnull=False, closed_on__isnull=False), name="converted_lead_is_a_deal"),
            models.CheckConstraint(condition=~Q(state="disqualified") | (~Q(because="") & Q(closed_on__isnull=False)), name="disqualified_for_a_reason"),
            models.CheckConstraint(condition=Q(closed_on__gte=F("created_on")) | Q(closed_on__isnull=True), name="lead_closed_after_it_came"),
        ]  # fmt: skip
