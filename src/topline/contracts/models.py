"""Tables of contracts: their items and amendments, every charge that was made of them, the runs that made them, and what is parked."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import and_

from django.db import models
from django.db.models import F, Q

from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.catalog.models import Product
from topline.contracts.pricing import BY_UNIT_PRICE, COMMITMENT, EACH, MODELS, OF_FEES
from topline.engine.rating.proration import MODES
from topline.market.models import Customer
from topline.metering.models import Meter
from topline.quotes.models import Quote
from topline.receivables.models import Allocation

NEXT_INVOICE, CREDIT_AND_RERATE = "next_invoice", "credit_and_rerate"


def _unset_or_zero_and_more(names: Iterable[str]) -> Q:
    return reduce(and_, (Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__gte": 0}) for name in names))


NOTICE = "tell_customer"  # messages of which an e-mail is made


class Contract(models.Model):
    """What a customer agreed to pay for and until when. What is billed follows from its items, never from a field here.

    ends_on  the first day that is not covered; null: until somebody ends it
    """

    number = models.CharField(max_length=40)
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+", db_index=False)
    bill_to = models.ForeignKey(
        Customer, on_delete=models.PROTECT, related_name="+", help_text="who is invoiced: the customer, or a parent that pays"
    )
    quote = models.OneToOneField(Quote, on_delete=models.PROTECT, null=True, related_name="contract")
    currency = models.CharField(max_length=3)
    terms = models.CharField(max_length=60)
    purchase_order = models.CharField(max_length=60, blank=True)
    starts_on = models.DateField()
    ends_on = models.DateField(null=True)
    renews_months = models.IntegerField(default=0, help_text="months by which it renews by itself; 0: it does not")
    notice_days = models.IntegerField(default=0, help_text="days before its end until which somebody may stop the renewal")
    on_upgrade = models.CharField(
        max_length=17,
        default="invoice_now",
        help_text="how a change is billed that makes it dearer: one of engine.rating.proration.MODES",
    )
    on_downgrade = models.CharField(max_length=17, default="invoice_now", help_text="and one that makes it cheaper")
    month_days = models.IntegerField(null=True, help_text="days of a month for parts of a period; null: those of the calendar")
    late_usage = models.CharField(
        max_length=17, blank=True, help_text="how use is billed that comes after its period was: next_invoice, credit_and_rerate; empty: as the company does"
    )  # fmt: skip
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["entity", "ends_on", "id"], name="contract_by_end"),
            models.Index(fields=["customer", "id"], name="contract_of_customer"),
            models.Index(fields=["entity", "bill_to", "id"], name="contract_by_payer"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["entity", "number"], name="contract_number_once_in_a_company"),
            models.CheckConstraint(condition=Q(ends_on__gte=F("starts_on")) | Q(ends_on__isnull=True), name="contract_ends_after_it_starts"),
            models.CheckConstraint(condition=Q(renews_months__gte=0, notice_days__gte=0), name="contract_renewal_sensible"),
            models.CheckConstraint(condition=Q(on_upgrade__in=MODES, on_downgrade__in=MODES), name="contract_modes_known"),
            models.CheckConstraint(condition=Q(month_days__isnull=True) | Q(month_days__gte=28, month_days__lte=31), name="contract_month_sensible"),
            models.CheckConstraint(condition=Q(late_usage__in=["", NEXT_INVOICE, CREDIT_AND_RERATE]), name="contract_late_usage_known"),
        ]  # fmt: skip


class Item(models.Model):
    """Something that a contract bills by periods: quantity x unit price of a period. A change ends an item and begins another; none is edited.

    anchor, unit, every, day  the grid of its periods (see engine.periods); something billed once is a single day
    ends_on                   the first day that is not billed; null: no end
    """

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="items")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, null=True, related_name="+")
    description = models.CharField(max_length=300)
    quantity_micro = models.BigIntegerField()
    unit_price_nano = models.BigIntegerField(null=True, help_text="of a unit and period; null: not agreed yet, and not billed")
    starts_on = models.DateField()
    ends_on = models.DateField(null=True)
    in_advance = models.BooleanField(default=True)
    anchor = models.DateField()
    unit = models.CharField(max_length=7)
    every = models.IntegerField(default=1)
    day = models.IntegerField(null=True)
    tax_class = models.CharField(max_length=20, default="standard")
    meter = models.ForeignKey(
        Meter,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="billed by what was used; then the quantity is that of the meter",
    )
    price_model = models.CharField(max_length=20, default="per_unit", help_text="one of contracts.pricing.MODELS")
    tiers = models.JSONField(
        default=list, blank=True, help_text="rows of a price: [{up_to or up_to_micro (none: no end), unit_price_nano or share_ppm, flat_fee_minor}]; by conditions [{when: [property=value or meter<=units], unit_price_nano}]"
    )  # fmt: skip
    included_micro = models.BigIntegerField(null=True, help_text="units of a period that cost nothing")
    package_micro = models.BigIntegerField(null=True, help_text="units of a package; one that is begun is charged whole")
    share_ppm = models.BigIntegerField(null=True, help_text="share of a transaction's value")
    fee_nano = models.BigIntegerField(null=True, help_text="fee of a transaction")
    free_count = models.IntegerField(null=True, help_text="transactions of a period that cost nothing")
    free_minor = models.BigIntegerField(
        null=True, help_text="value of a period that costs nothing; the first limit reached ends what is free"
    )
    each_least_minor = models.BigIntegerField(null=True, help_text="a transaction costs at least so much")
    each_most_minor = models.BigIntegerField(null=True, help_text="and at most so much")
    alerts_minor = models.JSONField(
        default=list, blank=True, help_text="net amounts of an open period at which customer and team are told"
    )
    bill_at_minor = models.JSONField(
        default=list, blank=True, help_text="net amounts of an open period at which what was used so far is billed"
    )
    bill_every_minor = models.BigIntegerField(null=True, help_text="and each further amount after the last of them")
    by_peak = models.BooleanField(
        default=False, help_text="a period that is begun costs the most that was agreed in it, whatever its days"
    )
    pool = models.CharField(
        max_length=40, blank=True, help_text="items of a pool count towards the commitments of that name, all towards one without"
    )
    minimum_minor = models.BigIntegerField(null=True, help_text="a whole period of use costs at least so much")
    maximum_minor = models.BigIntegerField(null=True, help_text="and at most so much; of a part of a period by its days")
    free_until = models.DateField(null=True, help_text="a trial: the first day that costs something")
    held_until = models.DateField(null=True, help_text="what a change charges and gives back is billed on this day, not before")
    replaces = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(meter__isnull=False) | Q(price_model=COMMITMENT) | Q(minimum_minor__isnull=True, maximum_minor__isnull=True), name="bounds_are_of_use"),
            models.CheckConstraint(
                condition=(Q(minimum_minor__gte=0) | Q(minimum_minor__isnull=True)) & (Q(maximum_minor__gte=0) | Q(maximum_minor__isnull=True)), name="bounds_not_negative"
            ),
            models.CheckConstraint(condition=Q(maximum_minor__gte=F("minimum_minor")) | Q(minimum_minor__isnull=True) | Q(maximum_minor__isnull=True), name="bounds_in_order"),
            models.CheckConstraint(condition=Q(quantity_micro__gte=0), name="item_quantity_not_negative"),
            models.CheckConstraint(condition=Q(price_model__in=MODELS), name="item_price_model_known"),
            models.CheckConstraint(condition=Q(meter__isnull=False, price_model__in=[m for m in MODELS if m != COMMITMENT]) | Q(meter__isnull=True, price_model__in=[*OF_FEES, COMMITMENT]), name="item_price_fits_its_quantity"),
            models.CheckConstraint(condition=Q(price_model="package", package_micro__isnull=False, package_micro__gt=0) | (~Q(price_model="package") & Q(package_micro__isnull=True)), name="package_has_a_size"),
            models.CheckConstraint(condition=Q(price_model="percentage", share_ppm__isnull=False, share_ppm__gte=0) | (~Q(price_model="percentage") & Q(share_ppm__isnull=True)), name="percentage_has_a_share"),
            models.CheckConstraint(condition=Q(included_micro__isnull=True) | Q(included_micro__gte=0, price_model__in=BY_UNIT_PRICE), name="included_units_sensible"),
            models.CheckConstraint(condition=_unset_or_zero_and_more(EACH), name="transaction_terms_not_negative"),
            models.CheckConstraint(condition=Q(price_model="percentage") | Q(**{f"{name}__isnull": True for name in EACH}), name="transaction_terms_of_percentages"),
            models.CheckConstraint(condition=Q(meter__isnull=True) | Q(in_advance=False), name="usage_is_billed_in_arrears"),
            models.CheckConstraint(condition=~Q(price_model=COMMITMENT) | Q(in_advance=False), name="commitment_is_billed_in_arrears"),
            models.CheckConstraint(condition=Q(by_peak=False) | Q(meter__isnull=True, price_model="per_unit", included_micro__isnull=True), name="peak_of_agreed_units"),
            models.CheckConstraint(condition=Q(bill_every_minor__isnull=True) | Q(bill_every_minor__gt=0, meter__isnull=False), name="billed_every_amount_of_use"),
            models.CheckConstraint(condition=Q(unit_price_nano__gte=0) | Q(unit_price_nano__isnull=True), name="item_price_not_negative"),
            models.CheckConstraint(condition=Q(ends_on__gte=F("starts_on")) | Q(ends_on__isnull=True), name="item_ends_after_it_starts"),
            models.CheckConstraint(condition=Q(unit__in=["day", "week", "month", "quarter", "year"], every__gte=1), name="item_grid_known"),
        ]  # fmt: skip


class SchedulePart(models.Model):
    """A part of what an item that is sold once comes to: billed on a day of its own, or when a milestone is accepted.

    due_on  null: billed when it is accepted. All parts of an item, dropped ones too, add up to what the item comes to
    """

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="parts", db_index=False)
    position = models.IntegerField()
    description = models.CharField(max_length=200)
    amount_minor = models.BigIntegerField()
    due_on = models.DateField(null=True)
    expected_on = models.DateField(
        null=True, help_text="of a milestone: the day on which it is likely to be accepted, for the cash forecast alone"
    )
    token = models.CharField(
        max_length=60, unique=True, null=True, help_text="of a milestone: the last part of its public address"
    )
    accepted_on = models.DateField(null=True)
    accepted_by = models.CharField(max_length=200, blank=True, help_text="who said so")
    asked_at = models.DateTimeField(null=True, help_text="when the customer was asked last")
    dropped_on = models.DateField(null=True, help_text="it will never be billed")

    class Meta:
        indexes = [models.Index(fields=["due_on", "id"], name="part_by_day", condition=Q(dropped_on__isnull=True))]
        constraints = [
            models.UniqueConstraint(fields=["item", "position"], name="part_position_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0, position__gte=1), name="part_is_positive"),
            models.CheckConstraint(condition=Q(due_on__isnull=True) | Q(token__isnull=True, accepted_on__isnull=True), name="part_dated_or_accepted"),
            models.CheckConstraint(condition=Q(due_on__isnull=True) | Q(expected_on__isnull=True), name="part_expected_is_a_milestone"),
            models.CheckConstraint(condition=Q(dropped_on__isnull=True) | Q(accepted_on__isnull=True), name="part_dropped_was_open"),
            models.CheckConstraint(condition=Q(accepted_on__isnull=True) | ~Q(accepted_by=""), name="part_accepted_by_somebody"),
        ]  # fmt: skip


class Discount(models.Model):
    """Something off what a contract bills, or one item or product of it, by periods of its own: a share, or an amount a period.

    unit  once: a share of the first bill, or an amount until it is used up; else the grid of its periods, counted from starts_on
    """

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="discounts")
    item = models.ForeignKey(Item, on_delete=models.PROTECT, null=True, related_name="+", help_text="null: every item")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, null=True, related_name="+", help_text="null: every product")
    name = models.CharField(max_length=60)
    share_ppm = models.BigIntegerField(null=True)
    amount_minor = models.BigIntegerField(null=True)
    starts_on = models.DateField(help_text="the first day whose charges it lowers")
    unit = models.CharField(max_length=7)
    every = models.IntegerField(default=1)
    periods = models.IntegerField(null=True, help_text="how many periods it lasts; null: forever")
    ended_on = models.DateField(null=True, help_text="the first day on which it no longer holds")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(share_ppm__isnull=False, share_ppm__gt=0, share_ppm__lte=1_000_000, amount_minor__isnull=True) | Q(amount_minor__isnull=False, amount_minor__gt=0, share_ppm__isnull=True),
                name="discount_gives_one_thing",
            ),
            models.CheckConstraint(condition=Q(unit__in=["once", "day", "week", "month", "quarter", "year"], every__gte=1), name="discount_grid_known"),
            models.CheckConstraint(condition=Q(periods__isnull=True) | Q(periods__gte=1), name="discount_lasts"),
        ]  # fmt: skip


class LateUsage(models.Model):
    """How a company bills use that comes, or is corrected, after its period was billed: the difference on the next invoice, or a credit note and the period anew."""

    entity = models.OneToOneField(Entity, on_delete=models.PROTECT, related_name="+")
    policy = models.CharField(max_length=17)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(policy__in=[NEXT_INVOICE, CREDIT_AND_RERATE]), name="late_usage_known")]


class UsageAlert(models.Model):
    """That an open period of use reached an amount at which somebody wants to know: told once a period. Append-only."""

    append_only = True

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="+", db_index=False)
    full_start = models.DateField()
    threshold_minor = models.BigIntegerField()
    net_minor = models.BigIntegerField(help_text="what the period cost when it was told")
    told_on = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "full_start", "threshold_minor"], name="usage_alert_once_a_period")
        ]


class Amendment(models.Model):
    """What was changed in a contract from a day on, by whom and why. Append-only."""

    append_only = True

    class Kind(models.TextChoices):
        ADD = "add", "Added"
        REMOVE = "remove", "Removed"
        QUANTITY = "quantity", "Quantity changed"
        PRICE = "price", "Price changed"
        RENEW = "renew", "Renewed"
        TERMINATE = "terminate", "Terminated"
        PAUSE = "pause", "Paused"
        TRANSFER = "transfer", "Transferred"
        PLAN = "plan", "Plan changed"
        CO_TERM = "co_term", "End moved"
        RESUME = "resume", "Resumed"

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="amendments", db_constraint=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    effective_on = models.DateField()
    mode = models.CharField(max_length=17, blank=True, help_text="of proration, where it changed a quantity, price or plan")
    told = models.CharField(max_length=300)
    facts = models.JSONField(default=dict, blank=True, help_text="what a later amendment must know of it")
    because = models.CharField(max_length=300, blank=True)
    is_itemised = models.BooleanField(
        default=False, help_text="what it did to items is kept, see ItemChange; not of amendments from before that was"
    )
    ended_before = models.DateField(null=True, help_text="the contract's end before it; null: none, or not kept")
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)


class ItemChange(models.Model):
    """What an amendment did to an item: began it, or moved its end. From these every earlier version of a contract can be read. Append-only."""

    append_only = True

    amendment = models.ForeignKey(Amendment, on_delete=models.PROTECT, related_name="items", db_index=False)
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="changes")
    is_new = models.BooleanField()
    until_before = models.DateField(null=True, help_text="its end before; null: none, or it was not there")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["amendment", "item"], name="item_changed_once_by_an_amendment")]


class BillRun(models.Model):
    """One pass over all contracts of a company up to a day: parts are billed one by one, by one worker or many."""

    class State(models.TextChoices):
        RUNNING = "running"
        DRAFTED = "drafted"
        FINAL = "final"
        VOID = "void"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    as_of = models.DateField()
    state = models.CharField(max_length=7, choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField()
    started_by = models.CharField(max_length=60)
    finished_at = models.DateTimeField(null=True)
    signed_by = models.CharField(max_length=60, blank=True)

    class Meta:
        indexes = [models.Index(fields=["entity", "-id"], name="run_newest")]
        constraints = [
            models.UniqueConstraint(fields=["entity"], condition=Q(state="running"), name="one_run_at_a_time"),
            models.CheckConstraint(condition=Q(state__in=["running", "drafted", "final", "void"]), name="run_state_known"),
        ]


class BillRunPart(models.Model):
    """A span of payers of a run; whoever takes it bills it whole or not at all.

    first_invoice_id, last_invoice_id  the span of ids in which its drafts lie (others may lie between them); null: it made none
    """

    run = models.ForeignKey(BillRun, on_delete=models.PROTECT, related_name="parts", db_index=False)
    first_payer_id = models.BigIntegerField()
    last_payer_id = models.BigIntegerField()
    is_done = models.BooleanField(default=False)
    is_issued = models.BooleanField(default=False)
    first_invoice_id = models.BigIntegerField(null=True)
    last_invoice_id = models.BigIntegerField(null=True)
    contracts = models.IntegerField(default=0)
    charges = models.IntegerField(default=0)
    documents = models.IntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "first_payer_id"], name="part_once_in_a_run")]


class Charge(models.Model):
    """A period of an item that was billed, or given back. The unique key makes a second billing of the same impossible.

    sequence  how many charges of the period came before: 0 is the first, others are differences after an amendment or a void document
    """

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="charges", db_index=False)
    full_start = models.DateField(help_text="first day of the period of the grid")
    full_end = models.DateField()
    sequence = models.IntegerField()
    start = models.DateField()
    end = models.DateField()
    days = models.IntegerField()
    full_days = models.IntegerField()
    net_minor = models.BigIntegerField()
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="+")
    position = models.IntegerField()
    quantity_micro = models.BigIntegerField(null=True, help_text="what was used in the period; null for fees")
    explained = models.JSONField(
        default=list,
        blank=True,
        help_text="how it was priced, step by step: [{units, unit_price_minor, flat_fee_minor, minor, ...}]",
    )
    run = models.ForeignKey(BillRun, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["item", "full_start", "sequence"], name="charge_once"),
            models.CheckConstraint(condition=~Q(net_minor=0) & Q(sequence__gte=0), name="charge_says_something"),
        ]


class Parked(models.Model):
    """A contract that a run left out, why, and what to do. It is tried again by every run; once billed it is cleared."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="+")
    code = models.CharField(max_length=40)
    message = models.CharField(max_length=300)
    remedy = models.CharField(max_length=300, blank=True)
    since = models.DateField()
    run = models.ForeignKey(BillRun, on_delete=models.PROTECT, related_name="+")
    is_released = models.BooleanField(default=False, help_text="somebody looked at it and says that it may be billed")
    cleared_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["contract"], condition=Q(cleared_at__isnull=True), name="parked_once_at_a_time")
        ]


class Wallet(models.Model):
    """Credits of a customer in a currency, and the amount below which customer and team are told. What is in it stands on its credits."""

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    low_minor = models.BigIntegerField(null=True, help_text="what can be used is below this: tell; null: never")
    told_on = models.DateField(null=True, help_text="since when it is known to be low; null: it is not")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entity", "customer", "currency"], name="wallet_once_a_customer_and_currency"),
            models.CheckConstraint(condition=Q(low_minor__isnull=True) | Q(low_minor__gt=0), name="wallet_low_is_an_amount"),
        ]


class Credit(models.Model):
    """Credits that were bought at once, or given: they pay bills until they are used up or expire. Bought ones are a contract liability (IFRS 15.106).

    amount_minor   what it was; left_minor: what is left of it, tax of what it pays included
    unit_name      what it is counted in for people, units_micro of them; empty: money
    pays_for       kinds of charges, one is enough: use, fees, meter:<id>, product:<id>; empty: all
    expires_on     the first day on which it pays nothing; rollover: the share of the rest that then begins a life as long again
    """

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="credits")
    contract = models.ForeignKey(
        Contract, on_delete=models.PROTECT, null=True, related_name="+", help_text="pays charges of this one alone"
    )
    name = models.CharField(max_length=80)
    is_paid = models.BooleanField()
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="+", help_text="by which it was sold")
    unit_name = models.CharField(max_length=20, blank=True)
    units_micro = models.BigIntegerField(null=True)
    amount_minor = models.BigIntegerField()
    left_minor = models.BigIntegerField()
    functional_minor = models.BigIntegerField(help_text="what was paid for it in the company's currency; 0 where it was given")
    priority = models.IntegerField(default=50, help_text="the lowest is used first")
    pays_for = models.JSONField(default=list, blank=True)
    starts_on = models.DateField()
    expires_on = models.DateField(null=True)
    rollover_ppm = models.IntegerField(default=0)
    rollover_cap_minor = models.BigIntegerField(null=True)
    follows = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="+", help_text="of which it is the rest"
    )
    closed_on = models.DateField(null=True, help_text="it expired, or was taken back")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["wallet", "id"], name="credit_usable", condition=Q(left_minor__gt=0)),
            models.Index(
                fields=["expires_on", "id"],
                name="credit_to_expire",
                condition=Q(closed_on__isnull=True, expires_on__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0, left_minor__gte=0, left_minor__lte=F("amount_minor")), name="credit_left_is_of_it"),
            models.CheckConstraint(condition=Q(closed_on__isnull=True) | Q(left_minor=0), name="credit_closed_is_empty"),
            models.CheckConstraint(condition=Q(is_paid=True, invoice__isnull=False) | Q(is_paid=True, follows__isnull=False) | Q(is_paid=False, invoice__isnull=True, functional_minor=0), name="credit_was_sold_or_given"),
            models.CheckConstraint(condition=Q(expires_on__isnull=True) | Q(expires_on__gt=F("starts_on")), name="credit_expires_after_it_starts"),
            models.CheckConstraint(condition=Q(rollover_ppm=0) | Q(rollover_ppm__gt=0, rollover_ppm__lte=1_000_000, expires_on__isnull=False), name="credit_rollover_is_a_share"),
            models.CheckConstraint(condition=Q(rollover_cap_minor__isnull=True) | Q(rollover_cap_minor__gte=0), name="credit_rollover_cap_sensible"),
            models.CheckConstraint(condition=Q(unit_name="", units_micro__isnull=True) | (~Q(unit_name="") & Q(units_micro__gt=0)), name="credit_units_have_a_name"),
        ]  # fmt: skip


class CreditMove(models.Model):
    """What went into credits and out of them: together what is left. Append-only.

    amount_minor  signed; invoice, position: the line that was paid; of what came back, the credit note
    """

    append_only = True

    class Kind(models.TextChoices):
        BOUGHT = "bought", "bought"
        GRANTED = "granted", "given"
        DRAWN = "drawn", "paid"
        RETURNED = "returned", "given back"
        ROLLED_OUT = "rolled_out", "carried over"
        ROLLED_IN = "rolled_in", "carried over from before"
        EXPIRED = "expired", "expired"
        TAKEN_BACK = "taken_back", "taken back"

    credit = models.ForeignKey(Credit, on_delete=models.PROTECT, related_name="moves")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount_minor = models.BigIntegerField()
    on = models.DateField()
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="+")
    position = models.IntegerField(null=True)
    allocation = models.ForeignKey(Allocation, on_delete=models.PROTECT, null=True, related_name="+")
    note = models.CharField(max_length=300, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["bought", "granted", "returned", "rolled_in"], amount_minor__gt=0) | Q(kind__in=["drawn", "rolled_out", "expired", "taken_back"], amount_minor__lt=0), name="credit_move_goes_its_way"),
            models.CheckConstraint(condition=~Q(kind__in=["drawn", "returned"]) | Q(invoice__isnull=False), name="credit_move_of_a_document"),
        ]  # fmt: skip
