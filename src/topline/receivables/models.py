"""Tables of the receivables room: payments, and allocations that link them to what they settle."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.bank.models import BankAccount
from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.market.models import Customer


class Payment(models.Model):
    """Money that came in. What is not allocated is a liability of ours: unapplied customer cash."""

    class State(models.TextChoices):
        RECEIVED = "received"
        RETURNED = "returned"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RECEIVED)
    number = models.CharField(max_length=40)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    functional_minor = models.BigIntegerField()
    allocated_minor = models.BigIntegerField(default=0)
    received_on = models.DateField()
    method = models.CharField(max_length=30, blank=True)
    reference = models.CharField(max_length=140, blank=True)
    payer_name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    import_batch_id = models.BigIntegerField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["customer", "received_on"], name="payment_customer"),
            models.Index(fields=["entity", "received_on", "id"], name="payment_by_day"),
            models.Index(fields=["import_batch_id"], name="payment_batch", condition=Q(import_batch_id__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["entity", "number"], name="payment_number_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0, functional_minor__gte=0), name="payment_is_positive"),
            models.CheckConstraint(
                condition=Q(allocated_minor__gte=0, allocated_minor__lte=F("amount_minor")), name="payment_not_over_allocated"
            ),
            models.CheckConstraint(condition=Q(state="received") | Q(allocated_minor=0), name="returned_payment_settles_nothing"),
        ]


class Allocation(models.Model):
    """A link between what settles (payment, credit note, discount, write-off) and what is settled. Append-only.

    An allocation is undone by its mirror row with negative amounts; what was open on a day is read from the rows until then.
    amount_minor is in the invoice's currency, source_minor in the payment's or credit note's.
    """

    append_only = True

    class Kind(models.TextChoices):
        PAYMENT = "payment"
        CREDIT_NOTE = "credit_note"
        DISCOUNT = "discount"
        BANK_FEE = "bank_fee"
        WRITE_OFF = "write_off"
        REFUND = "refund"
        CREDITS = "credits", "paid from credits"
        GRANTED = "granted", "paid from credits given"
        CREDITS_BACK = "credits_back", "given back as credits"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="+")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="+")
    credit_note = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="+")
    amount_minor = models.BigIntegerField()
    source_minor = models.BigIntegerField()
    functional_minor = models.BigIntegerField(help_text="part of the invoice's functional amount that this settles")
    effective_on = models.DateField()
    recorded_at = models.DateTimeField()
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="reversed_by")

    class Meta:
        indexes = [models.Index(fields=["effective_on", "invoice"], name="allocation_by_day")]
        constraints = [
            models.CheckConstraint(
                condition=Q(invoice__isnull=False) | Q(kind__in=["refund", "credits_back"]), name="allocation_settles_something"
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["payment", "refund"]) | Q(payment__isnull=False), name="allocation_from_payment"
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["credit_note", "credits_back"]) | Q(credit_note__isnull=False),
                name="allocation_from_credit_note",
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0, reverses__isnull=True) | Q(amount_minor__lt=0, reverses__isnull=False),
                name="allocation_sign",
            ),
        ]


class DiscountOffer(models.Model):
    """An offer to take less for an invoice that is paid by a day. After the day it is void: what was short stays open.

    open_minor   what was open when it was offered: an invoice that was paid in part since is no longer under the offer
    costs_ppm    what it costs us a year, in millionths of the money received, against waiting until expected_on
    """

    class State(models.TextChoices):
        OPEN = "open"
        WITHDRAWN = "withdrawn"
        REPLACED = "replaced"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    open_minor = models.BigIntegerField()
    discount_minor = models.BigIntegerField()
    offered_on = models.DateField()
    valid_until = models.DateField()
    expected_on = models.DateField(help_text="when the money is expected without the offer")
    costs_ppm = models.BigIntegerField()
    actor_key = models.CharField(max_length=60)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice"], condition=Q(state="open"), name="one_open_offer_per_invoice"),
            models.CheckConstraint(
                condition=Q(discount_minor__gt=0, discount_minor__lt=F("open_minor")), name="offer_leaves_money"
            ),
            models.CheckConstraint(condition=Q(valid_until__gte=F("offered_on")), name="offer_ends_after_it_begins"),
        ]


class WriteOffProposal(models.Model):
    """One person asks to give up what is open on an invoice; another decides. open_minor: what was open when it was proposed."""

    class State(models.TextChoices):
        WAITING = "waiting"
        APPROVED = "approved"
        REFUSED = "refused"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    open_minor = models.BigIntegerField()
    reason = models.CharField(max_length=300)
    refused_because = models.CharField(max_length=300, blank=True)
    proposed_on = models.DateField()
    proposed_by_key = models.CharField(max_length=60)
    decided_on = models.DateField(null=True)
    decided_by_key = models.CharField(max_length=60, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["state", "id"], name="write_off_state")]
        constraints = [
            models.UniqueConstraint(fields=["invoice"], condition=Q(state="waiting"), name="one_waiting_write_off_per_invoice"),
            models.CheckConstraint(condition=Q(open_minor__gt=0), name="write_off_is_positive"),
            models.CheckConstraint(
                condition=~Q(state="approved") | ~Q(proposed_by_key=F("decided_by_key")), name="write_off_takes_two_people"
            ),
        ]


class MatchProposal(models.Model):
    """What the matcher proposes for one payment: which documents it settles, how sure it is, and why in words.

    links  a list of {invoice_id, amount_minor, discount_minor, fee_minor}; confidence_ppm is calibrated on labelled books
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        POSTED = "posted"
        CONFIRMED = "confirmed"
        REJECTED = "rejected"
        SUPERSEDED = "superseded"

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    rule = models.CharField(max_length=40)
    links = models.JSONField(default=list)
    confidence_ppm = models.IntegerField()
    reason = models.CharField(max_length=500)
    proposed_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    decided_by_key = models.CharField(max_length=60, blank=True)

    class Meta:
        indexes = [models.Index(fields=["state", "id"], name="proposal_state")]
        constraints = [
            models.UniqueConstraint(fields=["payment"], condition=Q(state="waiting"), name="one_waiting_proposal_per_payment"),
            models.CheckConstraint(
                condition=Q(confidence_ppm__gte=0, confidence_ppm__lte=1_000_000), name="confidence_is_a_share"
            ),
        ]


class StatementDelivery(models.Model):
    """A statement of account on its way to a customer by e-mail. It is made when it is sent, of what the books say then."""

    class State(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"
        BOUNCED = "bounced"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    since = models.DateField()
    until = models.DateField()
    recipient = models.EmailField()
    state = models.CharField(max_length=7, choices=State.choices, default=State.QUEUED)
    message_id = models.CharField(max_length=200, blank=True)
    queued_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    note = models.CharField(max_length=300, blank=True, help_text="why it bounced")

    class Meta:
        indexes = [
            models.Index(fields=["customer", "-id"], name="statement_newest"),
            models.Index(fields=["message_id"], name="statement_message", condition=~Q(message_id="")),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["queued", "sent", "bounced"]), name="statement_state_known"),
            models.CheckConstraint(condition=Q(since__lte=F("until")), name="statement_ends_after_it_begins"),
        ]
