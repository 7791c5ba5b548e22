"""Tables of the ledger. A transfer moves an amount from the credit to the debit account, so no book can be out of balance."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.engine.documents import TAX_ROUNDINGS


class Entity(models.Model):
    """A legal entity that keeps books: its own currency, time zone and chart of accounts; and what its documents say of it.

    accent, logo  the colour (#rrggbb) and the picture (PNG or SVG) on its documents
    tax_rounding  where the tax of its documents is rounded: on each line, or once a document and rate
    """

    key = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=200)
    currency = models.CharField(max_length=3)
    time_zone = models.CharField(max_length=60, default="UTC")
    country = models.CharField(max_length=2, blank=True)
    tax_id = models.CharField(max_length=40, blank=True)
    registration = models.CharField(max_length=40, blank=True, help_text="number in the register of companies")
    line1 = models.CharField(max_length=200, blank=True)
    line2 = models.CharField(max_length=200, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=100, blank=True)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=40, blank=True)
    accent = models.CharField(max_length=7, blank=True)
    logo = models.BinaryField(null=True)
    tax_rounding = models.CharField(max_length=8, default="line")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(tax_rounding__in=TAX_ROUNDINGS), name="tax_rounding_known"),
        ]


class Account(models.Model):
    """A ledger account. `role` is how other rooms find it ("receivable", "bank:3"); `code` is how people do."""

    class Kind(models.TextChoices):
        ASSET = "asset"
        LIABILITY = "liability"
        EQUITY = "equity"
        INCOME = "income"
        EXPENSE = "expense"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="accounts", db_index=False)
    code = models.CharField(max_length=20)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    currency = models.CharField(max_length=3, blank=True, help_text="blank: any currency")
    role = models.CharField(max_length=60, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entity", "code"], name="account_code_once"),
            models.UniqueConstraint(fields=["entity", "role"], name="account_role_once"),
            models.CheckConstraint(
                condition=Q(kind__in=["asset", "liability", "equity", "income", "expense"]), name="account_kind_known"
            ),
        ]


class Entry(models.Model):
    """One event in the books: what it was, from which day it counts, when it was written down. Append-only."""

    append_only = True

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    key = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=40)
    effective_on = models.DateField()
    recorded_at = models.DateTimeField()
    source = models.CharField(max_length=60, blank=True)
    memo = models.CharField(max_length=300, blank=True)
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="reversed_by", db_constraint=False)

    class Meta:
        indexes = [models.Index(fields=["entity", "effective_on", "id"], name="entry_by_day")]


class Transfer(models.Model):
    """An amount moved from the credit account to the debit account, in its own and in the entity's currency. Append-only.

    Dimensions are plain document ids: books stands below all documents; `verify` proves the references. A pure exchange
    difference has amount 0 and a functional amount.
    """

    append_only = True

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="transfers", db_constraint=False)
    debit_account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    credit_account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    functional_minor = models.BigIntegerField()
    customer_id = models.BigIntegerField(null=True)
    invoice_id = models.BigIntegerField(null=True)
    payment_id = models.BigIntegerField(null=True)
    bank_account_id = models.BigIntegerField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["debit_account", "entry"], name="transfer_debit"),
            models.Index(fields=["credit_account", "entry"], name="transfer_credit"),
            models.Index(fields=["invoice_id"], name="transfer_invoice", condition=Q(invoice_id__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gte=0, functional_minor__gte=0), name="transfer_is_not_negative"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0) | Q(functional_minor__gt=0), name="transfer_moves_something"),
            models.CheckConstraint(condition=~Q(debit_account=F("credit_account")), name="transfer_between_two_accounts"),
        ]


class PeriodLock(models.Model):
    """From now on nothing may count on or before this day; the latest row of an entity is in force. Append-only."""

    append_only = True

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+")
    locked_through = models.DateField(null=True)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)
    reason = models.CharField(max_length=500, blank=True)


class Seal(models.Model):
    """A SHA-256 over a range of entries and the seal before it: a later change of any row in it shows. Append-only."""

    append_only = True

    first_entry_id = models.BigIntegerField()
    last_entry_id = models.BigIntegerField(unique=True)
    entries = models.BigIntegerField()
    transfers = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    recorded_at = models.DateTimeField()


class PeriodBalance(models.Model):
    """What the sealed entries of one calendar month moved on an account: reports read these and the unsealed tail."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    currency = models.CharField(max_length=3)
    month = models.DateField()
    debit_minor = models.BigIntegerField(default=0)
    credit_minor = models.BigIntegerField(default=0)
    debit_functional_minor = models.BigIntegerField(default=0)
    credit_functional_minor = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "currency", "month"], name="period_balance_once")]


class ExchangeRate(models.Model):
    """Units of a currency for one euro on a day, in billionths; newer or own rates beside the embedded ECB history."""

    currency = models.CharField(max_length=3)
    on = models.DateField()
    per_euro_nano = models.BigIntegerField()
    source = models.CharField(max_length=60)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["currency", "on"], name="rate_once_a_day"),
            models.CheckConstraint(condition=Q(per_euro_nano__gt=0), name="rate_is_positive"),
        ]
