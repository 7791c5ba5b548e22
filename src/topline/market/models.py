"""Tables of the market room: customers with their names, places and people."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.team.models import Member


class Customer(models.Model):
    """A company or person that buys. A merged customer stays as a pointer to the one that took it over."""

    number = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=200)
    legal_name = models.CharField(max_length=200, blank=True)
    tax_id = models.CharField(max_length=40, blank=True)
    country = models.CharField(max_length=2, blank=True)
    language = models.CharField(max_length=5, default="en")
    currency = models.CharField(max_length=3)
    terms = models.CharField(max_length=60, default="net 30")
    segment = models.CharField(max_length=40, blank=True)
    owner = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    credit_limit_minor = models.BigIntegerField(null=True)
    is_on_hold = models.BooleanField(default=False)
    merged_into = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    attributes = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    import_batch_id = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        indexes = [
            models.Index(fields=["name", "id"], name="customer_by_name"),
            models.Index(fields=["tax_id"], name="customer_tax_id", condition=~Q(tax_id="")),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(parent=F("id")), name="customer_is_not_its_own_parent"),
            models.CheckConstraint(condition=~Q(merged_into=F("id")), name="customer_is_not_merged_into_itself"),
            models.CheckConstraint(
                condition=Q(credit_limit_minor__gte=0) | Q(credit_limit_minor__isnull=True), name="credit_limit_is_not_negative"
            ),
        ]


class CustomerAlias(models.Model):
    """Another name or key by which files and banks know a customer; `folded` is what matching compares."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="aliases")
    kind = models.CharField(max_length=20, default="name", help_text="name, number, iban, tax_id")
    value = models.CharField(max_length=200)
    folded = models.CharField(max_length=200)
    source = models.CharField(max_length=60, blank=True)

    class Meta:
        indexes = [models.Index(fields=["kind", "folded"], name="alias_folded")]
        constraints = [models.UniqueConstraint(fields=["customer", "kind", "folded"], name="alias_once_per_customer")]


class Address(models.Model):
    """A postal address (EN 16931 BG-8)."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="addresses")
    kind = models.CharField(max_length=20, default="billing")
    line1 = models.CharField(max_length=200)
    line2 = models.CharField(max_length=200, blank=True)
    city = models.CharField(max_length=100, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    region = models.CharField(max_length=100, blank=True)
    country = models.CharField(max_length=2, blank=True)


class Contact(models.Model):
    """Someone at the customer: for invoices, for payments, for decisions."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="contacts")
    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=40, blank=True)
    role = models.CharField(max_length=60, blank=True)
    is_primary = models.BooleanField(default=False)
