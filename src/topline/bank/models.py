"""Tables of the bank room: our accounts, the statements that banks sent, and their lines."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.books.models import Entity


class BankAccount(models.Model):
    """An account of ours at a bank; its ledger account has the role `bank:<id>`."""

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    name = models.CharField(max_length=100)
    number = models.CharField(max_length=40, blank=True, help_text="IBAN or the bank's own number, without blanks")
    bic = models.CharField(max_length=11, blank=True)
    currency = models.CharField(max_length=3)
    pays_payroll = models.BooleanField(default=False)
    minimum_minor = models.BigIntegerField(default=0)
    credit_line_minor = models.BigIntegerField(default=0, help_text="up to which the bank lets the account go below zero")
    credit_line_bps = models.IntegerField(default=0, help_text="what a drawn amount costs a year, in hundredths of a percent")
    is_closed = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entity", "number", "currency"], condition=~Q(number=""), name="bank_account_once"),
            models.UniqueConstraint(fields=["entity", "name"], name="bank_account_name_once"),
            models.CheckConstraint(
                condition=Q(credit_line_minor__gte=0, credit_line_bps__gte=0), name="credit_line_is_not_negative"
            ),
        ]


class BankStatement(models.Model):
    """A statement as the bank sent it: opening + booked lines = closing, or it is not here."""

    account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, related_name="statements", db_index=False)
    kind = models.CharField(max_length=12)
    statement_id = models.CharField(max_length=80, blank=True)
    sequence = models.BigIntegerField(null=True)
    opening_minor = models.BigIntegerField(null=True)
    closing_minor = models.BigIntegerField(null=True)
    first_on = models.DateField()
    last_on = models.DateField()
    lines = models.BigIntegerField()
    file_name = models.CharField(max_length=200)
    file_sha256 = models.CharField(max_length=64)
    format = models.CharField(max_length=20)
    notes = models.JSONField(default=list)
    recorded_at = models.DateTimeField()
    import_batch_id = models.BigIntegerField(null=True, db_index=True)
    is_undone = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["account", "last_on", "id"], name="statement_by_day")]
        constraints = [models.CheckConstraint(condition=Q(first_on__lte=F("last_on")), name="statement_days_in_order")]


class StatementLine(models.Model):
    """One movement on a bank account. `fingerprint` keeps a movement that two files report from counting twice."""

    class State(models.TextChoices):
        OPEN = "open"
        MATCHED = "matched"
        IGNORED = "ignored"

    account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, related_name="+", db_index=False)
    statement = models.ForeignKey(BankStatement, on_delete=models.PROTECT, related_name="+")
    position = models.IntegerField()
    status = models.CharField(max_length=10)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    booked_on = models.DateField()
    value_on = models.DateField(null=True)
    counterparty_name = models.CharField(max_length=200, blank=True)
    counterparty_account = models.CharField(max_length=60, blank=True)
    remittance_information = models.TextField(blank=True)
    structured_reference = models.CharField(max_length=60, blank=True)
    end_to_end_id = models.CharField(max_length=60, blank=True)
    bank_reference = models.CharField(max_length=80, blank=True)
    transaction_code = models.CharField(max_length=60, blank=True)
    is_reversal = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    payment_id = models.BigIntegerField(null=True, db_index=True)
    fingerprint = models.CharField(max_length=64)

    class Meta:
        indexes = [models.Index(fields=["account", "booked_on", "id"], name="statement_line_by_day")]
        constraints = [models.UniqueConstraint(fields=["account", "fingerprint"], name="statement_line_once")]
