"""Tables of recognition: how products are earned and what they cost alone, what was accepted, variable amounts and their estimates, how amendments are
accounted for, what it cost to win a contract, and the months that were closed."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.books.models import Entity
from topline.catalog.models import Product
from topline.contracts.models import Amendment, Contract, Item


class Rule(models.Model):
    """How a product, or one item of a contract, is earned, and what a unit of it costs alone. The newest rule counts. Append-only.

    ssp_low_nano, ssp_high_nano  the range of stand-alone selling prices of a unit for a month, or for all of it where it is sold once; null: what StandalonePrice says
    life_months                  over how many months a fee is earned that need not be paid again on renewal (IFRS 15.B49-B51); null: over the contract
    """

    append_only = True

    class Method(models.TextChoices):
        DAY = "day", "by days served"
        MONTH = "month", "in equal months"
        POINT = "point", "on the first day"
        TERM = "term", "over the whole contract"
        MILESTONE = "milestone", "as parts are accepted"

    product = models.ForeignKey(Product, on_delete=models.PROTECT, null=True, related_name="+")
    item = models.ForeignKey(Item, on_delete=models.PROTECT, null=True, related_name="+")
    method = models.CharField(max_length=9, choices=Method.choices)
    ssp_low_nano = models.BigIntegerField(null=True)
    ssp_high_nano = models.BigIntegerField(null=True)
    life_months = models.IntegerField(null=True)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(product__isnull=True) ^ Q(item__isnull=True), name="rule_of_a_product_or_an_item"),
            models.CheckConstraint(condition=Q(method__in=["day", "month", "point", "term", "milestone"]), name="rule_method_known"),
            models.CheckConstraint(condition=Q(life_months__isnull=True) | Q(life_months__gt=0, method="term"), name="rule_life_of_a_fee"),
            models.CheckConstraint(
                condition=Q(ssp_low_nano__isnull=True, ssp_high_nano__isnull=True) | Q(ssp_low_nano__gte=0, ssp_high_nano__gte=F("ssp_low_nano")),
                name="rule_range_in_order",
            ),
        ]  # fmt: skip


class StandalonePrice(models.Model):
    """What a unit of a product costs alone in a currency from a day on: a range, for a month, or for all of it where it is sold once. Append-only; of one day
    the newest counts."""

    append_only = True

    class Basis(models.TextChoices):
        OBSERVED = "observed", "observed in sales"
        MARKET = "market", "adjusted market assessment"
        COST = "cost", "expected cost plus a margin"
        RESIDUAL = "residual", "highly variable: what the others leave, within the range"

    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+", db_index=False)
    currency = models.CharField(max_length=3)
    valid_from = models.DateField()
    low_nano = models.BigIntegerField()
    high_nano = models.BigIntegerField()
    basis = models.CharField(max_length=8, choices=Basis.choices)
    because = models.CharField(max_length=300, blank=True)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        indexes = [models.Index(fields=["product", "currency", "valid_from", "id"], name="alone_by_product")]
        constraints = [
            models.CheckConstraint(condition=Q(low_nano__gte=0, high_nano__gte=F("low_nano")), name="alone_range_in_order"),
            models.CheckConstraint(condition=Q(basis__in=["observed", "market", "cost", "residual"]), name="alone_basis_known"),
        ]


class VariableElement(models.Model):
    """A part of a contract's price that depends on what happens: a bonus, a penalty, a rebate, a concession. What it is put at stands in its estimates.

    item          the one thing that it relates to wholly (IFRS 15.85); null: all of the contract
    is_paid_back  what it takes away was billed already and goes back to the customer: a refund liability until then (IFRS 15.55)
    """

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="+")
    item = models.ForeignKey(Item, on_delete=models.PROTECT, null=True, related_name="+")
    what = models.CharField(max_length=200)
    is_paid_back = models.BooleanField(default=False)
    created_at = models.DateTimeField()


class Estimate(models.Model):
    """What a variable element is put at from a day on. Append-only: another estimate is another row, and its difference is caught up.

    outcomes       [{amount_minor, probability_ppm}], together a million
    estimate_minor what the method makes of them
    ceiling_minor  the most of which a reversal is not highly probable (the constraint, IFRS 15.56-58); null: no need of one
    counted_minor  what goes into the price: the estimate, at most the ceiling
    """

    append_only = True

    class Method(models.TextChoices):
        EXPECTED = "expected_value", "expected value"
        LIKELY = "most_likely", "most likely amount"

    element = models.ForeignKey(VariableElement, on_delete=models.PROTECT, related_name="estimates")
    on = models.DateField()
    method = models.CharField(max_length=14, choices=Method.choices)
    outcomes = models.JSONField()
    estimate_minor = models.BigIntegerField()
    ceiling_minor = models.BigIntegerField(null=True)
    counted_minor = models.BigIntegerField()
    because = models.CharField(max_length=300)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(method__in=["expected_value", "most_likely"]), name="estimate_method_known"),
            models.CheckConstraint(condition=Q(ceiling_minor__isnull=True, counted_minor=F("estimate_minor")) | Q(counted_minor__lte=F("ceiling_minor")), name="estimate_within_its_ceiling"),
        ]  # fmt: skip


class Treatment(models.Model):
    """That somebody accounts for an amendment otherwise than the policy would, and why. The newest counts. Append-only."""

    append_only = True

    amendment = models.ForeignKey(Amendment, on_delete=models.PROTECT, related_name="+")
    treatment = models.CharField(max_length=17)
    because = models.CharField(max_length=300)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(treatment__in=["separate_contract", "prospective", "catch_up"]), name="treatment_known"),
            models.CheckConstraint(condition=~Q(because=""), name="treatment_has_a_reason"),
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

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    through = models.DateField()
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        indexes = [models.Index(fields=["entity", "-through", "-id"], name="close_newest")]


class ContractBalance(models.Model):
    """What a contract had been billed and had earned when a month was closed, and what that leaves in the books. Append-only.

    refund_minor  what is expected to go back to the customer of what was billed (IFRS 15.55); not in liability_minor
    """

    append_only = True

    close = models.ForeignKey(Close, on_delete=models.PROTECT, related_name="balances", db_constraint=False, db_index=False)
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    customer_id = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    billed_minor = models.BigIntegerField()
    earned_minor = models.BigIntegerField()
    liability_minor = models.BigIntegerField()
    liability_functional_minor = models.BigIntegerField()
    refund_minor = models.BigIntegerField(default=0)
    refund_functional_minor = models.BigIntegerField(default=0)
    asset_minor = models.BigIntegerField()
    asset_functional_minor = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["close", "contract"], name="balance_once_in_a_close"),
            models.CheckConstraint(condition=Q(billed_minor=F("earned_minor") + F("liability_minor") + F("refund_minor") - F("asset_minor")), name="balance_adds_up"),
        ]  # fmt: skip
