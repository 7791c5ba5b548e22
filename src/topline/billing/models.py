"""Tables of the billing room: invoices and credit notes with lines and instalments."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.books.models import Entity
from topline.catalog.models import Product
from topline.market.models import Customer


class Invoice(models.Model):
    """An invoice, credit note or interest note (EN 16931). Open is total less allocated; a document is corrected by another, never edited.

    An interest note claims interest and compensation for late payment: outside the scope of VAT, since it pays for no supply (CJEU 222/81).

    allocated_minor     payments, credits, credit notes, discounts and write-offs applied to it (for a credit note: what it was used for)
    from_credits_minor  the part of it that was paid from credits
    is_prepayment       it sells credits: its net is a liability until they are used
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        CREDIT_NOTE = "credit_note"
        INTEREST = "interest"

    class State(models.TextChoices):
        DRAFT = "draft"
        OPEN = "open"
        PAID = "paid"
        VOID = "void"
        WRITTEN_OFF = "written_off"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.INVOICE)
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    number = models.CharField(max_length=40, null=True)
    currency = models.CharField(max_length=3)
    issued_on = models.DateField(null=True)
    due_on = models.DateField(null=True)
    terms = models.CharField(max_length=60, blank=True)
    purchase_order = models.CharField(max_length=60, blank=True)
    memo = models.CharField(max_length=300, blank=True)
    net_minor = models.BigIntegerField(default=0)
    tax_minor = models.BigIntegerField(default=0)
    total_minor = models.BigIntegerField(default=0)
    functional_minor = models.BigIntegerField(default=0, help_text="total in the entity's currency at the rate of issue")
    allocated_minor = models.BigIntegerField(default=0)
    from_credits_minor = models.BigIntegerField(default=0)
    is_prepayment = models.BooleanField(default=False)
    closed_on = models.DateField(null=True)
    corrects = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="corrections", db_index=False)
    created_at = models.DateTimeField()
    import_batch_id = models.BigIntegerField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["customer", "state", "due_on"], name="invoice_customer"),
            models.Index(fields=["entity", "state", "due_on", "id"], name="invoice_state_due"),
            models.Index(fields=["entity", "issued_on", "id"], name="invoice_by_day"),
            models.Index(fields=["import_batch_id"], name="invoice_batch", condition=Q(import_batch_id__isnull=False)),
            models.Index(fields=["corrects"], name="invoice_corrected", condition=Q(corrects__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["entity", "number"], name="invoice_number_once"),
            models.CheckConstraint(condition=Q(total_minor=F("net_minor") + F("tax_minor")), name="invoice_total_adds_up"),
            models.CheckConstraint(
                condition=Q(allocated_minor__gte=0, allocated_minor__lte=F("total_minor")), name="invoice_not_over_allocated"
            ),
            models.CheckConstraint(
                condition=Q(from_credits_minor__gte=0, from_credits_minor__lte=F("allocated_minor")),
                name="invoice_credits_are_of_what_settled_it",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "void"]) | Q(number__isnull=False, issued_on__isnull=False, due_on__isnull=False),
                name="invoice_issued_is_complete",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["paid", "written_off"]) | Q(allocated_minor=F("total_minor")), name="invoice_paid_in_full"
            ),
            models.CheckConstraint(
                condition=~Q(state="open") | Q(allocated_minor__lt=F("total_minor")), name="invoice_open_has_rest"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "open", "paid", "void", "written_off"]), name="invoice_state_known"
            ),
        ]


OWED = (Invoice.Kind.INVOICE, Invoice.Kind.INTEREST)  # kinds of documents that ask for money


class InvoiceLine(models.Model):
    """A line of an invoice (EN 16931 BG-25): quantity x unit price less discount, rounded once; exact from its integers."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines", db_index=False)
    position = models.IntegerField()
    description = models.CharField(max_length=300)
    quantity_micro = models.BigIntegerField(default=1_000_000)
    unit_price_nano = models.BigIntegerField(help_text="billionths of a minor unit")
    discount_ppm = models.IntegerField(default=0)
    net_minor = models.BigIntegerField()
    tax_category = models.CharField(max_length=3, default="S", help_text="UNCL5305: S, Z, E, AE, G, O")
    tax_rate_ppm = models.IntegerField(default=0, help_text="millionths: 20 % is 200000")
    tax_minor = models.BigIntegerField(default=0)
    product = models.ForeignKey(Product, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    credits_micro = models.BigIntegerField(
        null=True, help_text="of a credit note: units of the corrected line that it takes back; null: an amount"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="line_position_once"),
            models.CheckConstraint(
                condition=Q(credits_micro__gt=0) | Q(credits_micro__isnull=True), name="line_credits_something"
            ),
            models.CheckConstraint(
                condition=Q(tax_rate_ppm__gte=0, tax_rate_ppm__lte=1_000_000), name="line_tax_rate_is_a_share"
            ),
        ]


class Instalment(models.Model):
    """A part of an invoice with a due day of its own; invoices due at once have none."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="instalments", db_index=False)
    position = models.IntegerField()
    due_on = models.DateField()
    amount_minor = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="instalment_position_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="instalment_is_positive"),
        ]


class TaxRate(models.Model):
    """What is taxed how in a country from a day on. Append-only: a new rate is a new row, the newest that holds counts."""

    append_only = True

    country = models.CharField(max_length=2)
    tax_class = models.CharField(max_length=20, default="standard")
    rate_ppm = models.IntegerField(help_text="millionths: 20 % is 200000")
    valid_from = models.DateField()
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["country", "tax_class", "valid_from"], name="tax_rate_once_a_day"),
            models.CheckConstraint(condition=Q(rate_ppm__gte=0, rate_ppm__lte=1_000_000), name="tax_rate_is_a_share"),
        ]


class Delivery(models.Model):
    """An invoice or credit note on its way to the customer: by e-mail, with the document and a link on which it can be read."""

    class State(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"
        VIEWED = "viewed"
        BOUNCED = "bounced"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="deliveries")
    recipient = models.EmailField()
    state = models.CharField(max_length=7, choices=State.choices, default=State.QUEUED)
    token = models.CharField(max_length=60, unique=True, help_text="the last part of its public address")
    message_id = models.CharField(max_length=200, blank=True)
    queued_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    viewed_at = models.DateTimeField(null=True)
    note = models.CharField(max_length=300, blank=True, help_text="why it bounced")

    class Meta:
        indexes = [models.Index(fields=["message_id"], name="delivery_message", condition=~Q(message_id=""))]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["queued", "sent", "viewed", "bounced"]), name="delivery_state_known")
        ]
