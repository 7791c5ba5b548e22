"""Tables of the catalog: products, price books, and prices that hold from a day to a day."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class Product(models.Model):
    """Something that we sell. What one unit of it costs us is kept for margins; null where nobody knows."""

    UNIT = "unit"  # where nobody told another

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=200)
    family = models.CharField(max_length=60, blank=True)
    description = models.CharField(max_length=1_000, blank=True, help_text="what it is, for who sells it")
    unit = models.CharField(max_length=20, default=UNIT)
    is_active = models.BooleanField(default=True)
    unit_cost_nano = models.BigIntegerField(null=True)
    cost_currency = models.CharField(max_length=3, blank=True)
    created_at = models.DateTimeField()
    import_batch_id = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        indexes = [models.Index(fields=["name", "id"], name="product_by_name")]
        constraints = [
            models.CheckConstraint(condition=Q(unit_cost_nano__gte=0) | Q(unit_cost_nano__isnull=True), name="cost_not_negative"),
            models.CheckConstraint(condition=Q(unit_cost_nano__isnull=True) | ~Q(cost_currency=""), name="cost_has_a_currency"),
        ]


class PriceBook(models.Model):
    """Prices for some buyers; a price that stands in no book is the list price."""

    key = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)


class Price(models.Model):
    """What one unit costs in a currency from `valid_from` until the day before `valid_to`. A new price ends the old one; none is edited."""

    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="prices", db_index=False)
    price_book = models.ForeignKey(PriceBook, on_delete=models.PROTECT, null=True, related_name="prices")
    currency = models.CharField(max_length=3)
    unit_price_nano = models.BigIntegerField()
    valid_from = models.DateField()
    valid_to = models.DateField(null=True)
    recorded_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["product", "currency", "valid_from"], name="price_by_day")]
        constraints = [
            models.CheckConstraint(condition=Q(unit_price_nano__gte=0), name="price_not_negative"),
            models.CheckConstraint(condition=Q(valid_to__gt=F("valid_from")) | Q(valid_to__isnull=True), name="price_ends_later"),
            # what two rows can prove without looking at spans: one price without end, and one that begins on a day
            models.UniqueConstraint(
                fields=["product", "currency"],
                condition=Q(price_book__isnull=True, valid_to__isnull=True),
                name="one_list_price_without_end",
            ),
            models.UniqueConstraint(
                fields=["product", "price_book", "currency"],
                condition=Q(price_book__isnull=False, valid_to__isnull=True),
                name="one_book_price_without_end",
            ),
            models.UniqueConstraint(
                fields=["product", "currency", "valid_from"], condition=Q(price_book__isnull=True), name="list_price_begins_once"
            ),
            models.UniqueConstraint(
                fields=["product", "price_book", "currency", "valid_from"],
                condition=Q(price_book__isnull=False),
                name="book_price_begins_once",
            ),
        ]


class BundlePart(models.Model):
    """A product that is sold as a part of another. A bundle without a price of its own costs what its parts cost."""

    bundle = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="parts", db_index=False)
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    quantity_micro = models.BigIntegerField(default=1_000_000)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bundle", "product"], name="part_once_in_a_bundle"),
            models.CheckConstraint(condition=~Q(bundle=F("product")), name="bundle_is_no_part_of_itself"),
            models.CheckConstraint(condition=Q(quantity_micro__gt=0), name="part_quantity_positive"),
        ]


class VolumeStep(models.Model):
    """What comes off the price of a product from a quantity on; the highest step that is reached counts for all units."""

    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="volume_steps", db_index=False)
    from_micro = models.BigIntegerField()
    discount_ppm = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["product", "from_micro"], name="volume_step_once"),
            models.CheckConstraint(condition=Q(from_micro__gt=0), name="volume_step_from_something"),
            models.CheckConstraint(
                condition=Q(discount_ppm__gte=0, discount_ppm__lte=1_000_000), name="volume_discount_is_a_share"
            ),
        ]


class Promotion(models.Model):
    """A reduction for those who name its code, within days, conditions and a budget. Its terms are never edited; it can be stopped.

    percent       `percent_ppm` of what the step before it left, of all of a line's periods or of its first `periods`
    fixed         `fixed_minor` of `currency` off a line
    free_periods  that many of a line's periods cost nothing
    """

    class Kind(models.TextChoices):
        PERCENT = "percent"
        FIXED = "fixed"
        FREE_PERIODS = "free_periods"

    code = models.CharField(max_length=30, unique=True)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    percent_ppm = models.IntegerField(null=True)
    fixed_minor = models.BigIntegerField(null=True)
    free_periods = models.IntegerField(null=True)
    periods = models.IntegerField(
        null=True, help_text="of a percentage: how many of a line's first periods it holds for; null: all"
    )
    currency = models.CharField(max_length=3, blank=True, help_text="of the fixed amount, the least amount and the budget")
    starts_on = models.DateField()
    ends_on = models.DateField(null=True, help_text="the first day on which it no longer holds")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, null=True, related_name="+", help_text="null: every product")
    segment = models.CharField(max_length=40, blank=True, help_text="of the deal; empty for all")
    minimum_minor = models.BigIntegerField(null=True, help_text="a line is worth at least so much before it")
    budget_minor = models.BigIntegerField(null=True, help_text="what it may cost in all; null: no limit")
    position = models.IntegerField(help_text="its place where several apply; one place, one promotion")
    stacks = models.BooleanField(default=False)
    stopped_on = models.DateField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["position"], name="promotion_place_once"),
            models.CheckConstraint(
                condition=Q(kind="percent", percent_ppm__gt=0, percent_ppm__lte=1_000_000, fixed_minor__isnull=True, free_periods__isnull=True)
                | Q(kind="fixed", fixed_minor__gt=0, percent_ppm__isnull=True, free_periods__isnull=True)
                | Q(kind="free_periods", free_periods__gt=0, percent_ppm__isnull=True, fixed_minor__isnull=True),
                name="promotion_gives_one_thing",
            ),
            models.CheckConstraint(condition=Q(periods__isnull=True) | Q(kind="percent", periods__gte=1), name="promotion_periods_of_a_percentage"),
            models.CheckConstraint(condition=Q(ends_on__gt=F("starts_on")) | Q(ends_on__isnull=True), name="promotion_ends_after_it_starts"),
            models.CheckConstraint(
                condition=~Q(currency="") | Q(fixed_minor__isnull=True, minimum_minor__isnull=True, budget_minor__isnull=True), name="promotion_money_has_a_currency"
            ),
        ]  # fmt: skip


class DiscountBand(models.Model):
    """How far off list somebody may go by hand, for a family of products (empty: where the family has no bands of its own).

    approver  the role that must agree; empty where nobody must. What lies deeper than the last band is below the floor.
    """

    family = models.CharField(max_length=60, blank=True)
    up_to_ppm = models.IntegerField()
    approver = models.CharField(max_length=40, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["family", "up_to_ppm"], name="band_once"),
            models.CheckConstraint(condition=Q(up_to_ppm__gte=0, up_to_ppm__lte=1_000_000), name="band_is_a_share"),
        ]
