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

    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="prices")
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
