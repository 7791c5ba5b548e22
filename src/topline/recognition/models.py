"""Tables of recognition: how products are earned, what was accepted, what it cost to win a contract, and the months that were closed."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.books.models import Entity
from topline.catalog.models import Product
from topline.contracts.models import Contract, Item


class Rule(models.Model):
    """How a product, or one item of a contract, is earned, and what a unit of it costs alone. The newest rule counts. Append-only.

    ssp_low_nano, ssp_high_nano  the range of stand-alone selling prices of a unit for a month, or for all of it where it is sold once; null: not told
    """

    append_only = True

    class Method(models.TextChoices):
        DAY = "day", "by days served"
        POINT = "point", "on the first day"
        TERM = "term", "over the whole contract"
        MILESTONE = "milestone", "as parts are accepted"

    product = models.ForeignKey(Product, on_delete=models.PROTECT, null=True, related_name="+")
    item = models.ForeignKey(Item, on_delete=models.PROTECT, null=True, related_name="+")
    method = models.CharField(max_length=9, choices=Method.choices)
    ssp_low_nano = models.BigIntegerField(null=True)
    ssp_high_nano = models.BigIntegerField(null=True)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(product__isnull=True) ^ Q(item__isnull=True), name="rule_of_a_product_or_an_item"),
            models.CheckConstraint(condition=Q(method__in=["day", "point", "term", "milestone"]), name="rule_method_known"),
            models.CheckConstraint(
                condition=Q(ssp_low_nano__isnull=True, ssp_high_nano__isnull=True) | Q(ssp_low_nano__gte=0, ssp_high_nano__gte=F("ssp_low_nano")),
                name="rule_range_in_order",
            ),
        ]  # fmt: skip


class Acceptance(models.Model):
    """A part of an item that the customer accepted. Append-only; a negative share takes one back."""

    append_only = True

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="+")
    on = models.DateField()
    share_ppm = models.IntegerField()
    note = models.CharField(max_length=300, blank=True)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(share_ppm=0), name="acceptance_of_something")]


class ContractCost(models.Model):
    """What it cost to win a contract (ASC 340-40), written off by days from `start` until `end`. Append-only."""

    append_only = True

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="+")
    what = models.CharField(max_length=200)
    amount_minor = models.BigIntegerField(help_text="in the company's currency")
    start = models.DateField()
    end = models.DateField()
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="contract_cost_positive"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="contract_cost_ends_after_it_starts"),
        ]


class Close(models.Model):
    """A month that was closed: its adjustments were posted. Append-only; closing it again posts what changed since."""

    append_only = True

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+")
    through = models.DateField()
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        indexes = [models.Index(fields=["entity", "-through", "-id"], name="close_newest")]


class ContractBalance(models.Model):
    """What a contract had been billed and had earned when a month was closed, and what that leaves in the books. Append-only."""

    append_only = True

    close = models.ForeignKey(Close, on_delete=models.PROTECT, related_name="balances", db_constraint=False)
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    customer_id = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    billed_minor = models.BigIntegerField()
    earned_minor = models.BigIntegerField()
    liability_minor = models.BigIntegerField()
    liability_functional_minor = models.BigIntegerField()
    asset_minor = models.BigIntegerField()
    asset_functional_minor = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["close", "contract"], name="balance_once_in_a_close"),
            models.CheckConstraint(condition=Q(billed_minor=F("earned_minor") + F("liability_minor") - F("asset_minor")), name="balance_adds_up"),
        ]  # fmt: skip
