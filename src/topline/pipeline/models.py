"""Tables of the pipeline: who sells, by which stages, what is being sold, and every change that a deal went through."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.books.models import Entity
from topline.catalog.models import Product
from topline.market.models import Competitor, Contact, Customer
from topline.team.models import Member


class Category(models.TextChoices):
    """How sure the seller is of a deal, kept apart from its stage."""

    OMITTED = "omitted"
    PIPELINE = "pipeline"
    BEST_CASE = "best_case"
    COMMIT = "commit"
    CLOSED = "closed"


class Rep(models.Model):
    """Someone who sells, or leads those who sell. Members of the team sign in; people of an imported file need not."""

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=200)
    manager = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="reports")
    region = models.CharField(max_length=60, blank=True)
    member = models.OneToOneField(Member, on_delete=models.PROTECT, null=True, related_name="+")
    joined_on = models.DateField(null=True)
    left_on = models.DateField(null=True, help_text="the first day on which the person no longer sells for us")
    import_batch_id = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        indexes = [models.Index(fields=["name", "id"], name="rep_by_name")]
        constraints = [
            models.CheckConstraint(condition=~Q(manager=F("id")), name="rep_is_not_their_own_manager"),
            models.CheckConstraint(
                condition=Q(left_on__gte=F("joined_on")) | Q(left_on__isnull=True) | Q(joined_on__isnull=True),
                name="rep_leaves_after_joining",
            ),
        ]


class RepLead(models.Model):
    """Who leads somebody from a day on. Append-only: the last row of the latest day counts, and `Rep.manager` says who leads them now."""

    append_only = True

    rep = models.ForeignKey(Rep, on_delete=models.PROTECT, related_name="leads", db_index=False)
    manager = models.ForeignKey(Rep, on_delete=models.PROTECT, null=True, related_name="+")
    from_on = models.DateField(help_text="1 January 1900: it was always so")
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        indexes = [models.Index(fields=["rep", "from_on", "id"], name="lead_of_rep")]
        constraints = [models.CheckConstraint(condition=~Q(manager=F("rep")), name="nobody_leads_themselves")]


class Territory(models.Model):
    """A rule that says whose a customer or lead is, in the order of `position`; an empty list fits everything, several owners take turns."""

    position = models.IntegerField(unique=True)
    name = models.CharField(max_length=100, unique=True)
    countries = models.JSONField(default=list)
    segments = models.JSONField(default=list)
    sources = models.JSONField(default=list)
    rep_ids = models.JSONField(help_text="sales people, in the order of their turns")


class Stage(models.Model):
    """A step of the way to a deal, in the order of `position`; the company edits them."""

    class Kind(models.TextChoices):
        OPEN = "open"
        WON = "won"
        LOST = "lost"

    key = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=60)
    position = models.IntegerField()
    kind = models.CharField(max_length=4, choices=Kind.choices)
    category = models.CharField(max_length=10, choices=Category.choices)
    is_qualified = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["position"], name="stage_in_order")]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["open", "won", "lost"]), name="stage_kind_known"),
            models.CheckConstraint(condition=Q(category__in=Category.values), name="stage_category_known"),
            models.UniqueConstraint(fields=["kind"], condition=Q(kind="won"), name="one_stage_is_won"),
            models.UniqueConstraint(fields=["kind"], condition=Q(kind="lost"), name="one_stage_is_lost"),
        ]


class Opportunity(models.Model):
    """A chance to sell something to somebody, as it stands now; what it was on any day is told by its changes.

    The amount may be unknown while it is open: queries then value it at the list price of its lines on the day. `state` repeats
    the kind of its stage, so that the database itself can refuse a won deal without amount.
    """

    number = models.CharField(max_length=40)
    name = models.CharField(max_length=200)
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+")
    rep = models.ForeignKey(Rep, on_delete=models.PROTECT, related_name="opportunities", db_index=False)
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="opportunities")
    state = models.CharField(max_length=4, choices=Stage.Kind.choices, default=Stage.Kind.OPEN)
    category = models.CharField(max_length=10, choices=Category.choices)
    amount_minor = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3)
    opened_on = models.DateField(null=True, help_text="the day it was added; null where the file does not say")
    engaged_on = models.DateField(null=True, help_text="the day the first talk took place")
    close_on = models.DateField(null=True, help_text="the day on which it is expected to close")
    closed_on = models.DateField(null=True)
    source = models.CharField(max_length=60, blank=True)
    segment = models.CharField(max_length=40, blank=True)
    next_step = models.CharField(max_length=300, blank=True)
    loss_reason = models.CharField(max_length=100, blank=True)
    competitor = models.CharField(max_length=100, blank=True)
    is_withdrawn = models.BooleanField(default=False, help_text="its import was undone")
    created_at = models.DateTimeField()
    import_batch_id = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        indexes = [
            models.Index(fields=["entity", "state", "close_on", "id"], name="opportunity_closing"),
            models.Index(fields=["entity", "closed_on", "id"], name="opportunity_closed"),
            models.Index(fields=["rep", "state"], name="opportunity_of_rep"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["number"], condition=Q(is_withdrawn=False), name="opportunity_number_once"),
            models.CheckConstraint(condition=Q(state__in=["open", "won", "lost"]), name="opportunity_state_known"),
            models.CheckConstraint(condition=Q(category__in=Category.values), name="opportunity_category_known"),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=0) | Q(amount_minor__isnull=True), name="opportunity_amount_not_negative"
            ),
            models.CheckConstraint(
                condition=~Q(state="won") | Q(amount_minor__isnull=False, closed_on__isnull=False),
                name="won_has_amount_and_day",
            ),
            models.CheckConstraint(condition=~Q(state="lost") | Q(closed_on__isnull=False), name="lost_has_a_day"),
            models.CheckConstraint(condition=~Q(state="open") | Q(closed_on__isnull=True), name="open_has_no_closing_day"),
            models.CheckConstraint(
                condition=Q(closed_on__gte=F("opened_on")) | Q(closed_on__isnull=True) | Q(opened_on__isnull=True),
                name="closed_after_opened",
            ),
            models.CheckConstraint(
                condition=Q(closed_on__gte=F("engaged_on")) | Q(closed_on__isnull=True) | Q(engaged_on__isnull=True),
                name="closed_after_engaged",
            ),
            models.CheckConstraint(
                condition=Q(close_on__gte=F("opened_on")) | Q(close_on__isnull=True) | Q(opened_on__isnull=True),
                name="expected_after_opened",
            ),
        ]


class OpportunityLine(models.Model):
    """A product of a deal; without a price of its own it is valued at the list price of the day."""

    opportunity = models.ForeignKey(Opportunity, on_delete=models.PROTECT, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    quantity_micro = models.BigIntegerField(default=1_000_000)
    unit_price_nano = models.BigIntegerField(null=True)
    amount_minor = models.BigIntegerField(null=True)
    added_on = models.DateField(null=True, help_text="null: from the deal's first day")
    removed_on = models.DateField(null=True, help_text="the first day on which it is no longer sold")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(quantity_micro__gt=0), name="line_quantity_positive"),
            models.CheckConstraint(
                condition=Q(unit_price_nano__isnull=True, amount_minor__isnull=True)
                | Q(unit_price_nano__gte=0, amount_minor__gte=0),
                name="line_priced_whole_or_not",
            ),
        ]


class DealContact(models.Model):
    """A person of the customer and the role they play in a deal."""

    class Role(models.TextChoices):
        DECIDES = "decides", "Decides"
        PAYS = "pays", "Holds the budget"
        CHAMPION = "champion", "Speaks for us"
        USES = "uses", "Will use it"
        ADVISES = "advises", "Advises"
        BUYS = "buys", "Buys (procurement)"
        BLOCKS = "blocks", "Speaks against us"

    opportunity = models.ForeignKey(Opportunity, on_delete=models.PROTECT, related_name="people", db_index=False)
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=10, choices=Role.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["opportunity", "contact"], name="deal_contact_once")]


class DealCompetitor(models.Model):
    """A competitor who wants a deal too."""

    opportunity = models.ForeignKey(Opportunity, on_delete=models.PROTECT, related_name="rivals", db_index=False)
    competitor = models.ForeignKey(Competitor, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["opportunity", "competitor"], name="deal_competitor_once")]


class OpportunityChange(models.Model):
    """One fact of a deal became another on a day. Append-only: what a deal was on any day is read from here.

    field   stage (key), category, amount (minor units), close_on (day), rep (id), next_step, lines, loss_reason, competitor, withdrawn
    before  the value as text, empty for none; a deal begins with the changes from nothing on its first day
    """

    append_only = True

    opportunity = models.ForeignKey(Opportunity, on_delete=models.PROTECT, related_name="changes", db_index=False)
    field = models.CharField(max_length=20)
    before = models.CharField(max_length=300, blank=True)
    after = models.CharField(max_length=300, blank=True)
    effective_on = models.DateField()
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        indexes = [
            models.Index(fields=["opportunity", "effective_on", "id"], name="change_of_opportunity"),
            models.Index(fields=["effective_on", "field"], name="change_by_day"),
        ]


class OpportunitySnapshot(models.Model):
    """An open deal by value at the end of a day, one row per deal and day: no later change can reach it. Append-only."""

    append_only = True

    as_of = models.DateField()
    opportunity = models.ForeignKey(Opportunity, on_delete=models.PROTECT, related_name="+")
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    rep = models.ForeignKey(Rep, on_delete=models.PROTECT, related_name="+")
    stage_key = models.CharField(max_length=40)
    category = models.CharField(max_length=10)
    amount_minor = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3)
    close_on = models.DateField(null=True)

    class Meta:
        indexes = [models.Index(fields=["entity", "as_of"], name="snapshot_by_day")]
        constraints = [models.UniqueConstraint(fields=["as_of", "opportunity"], name="snapshot_once_a_day")]


class Quota(models.Model):
    """What somebody is to sell in [starts_on, ends_on). Append-only: a later row for the same owner, family, measure and period replaces it."""

    append_only = True

    class Scope(models.TextChoices):
        COMPANY = "company"
        TEAM = "team"
        PERSON = "person"

    class Measure(models.TextChoices):
        BOOKINGS = "bookings"
        DEALS = "deals"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    scope = models.CharField(max_length=7, choices=Scope.choices)
    rep = models.ForeignKey(
        Rep, on_delete=models.PROTECT, null=True, related_name="+", help_text="the person, or who leads the team"
    )
    family = models.CharField(max_length=60, blank=True, help_text="a product family; empty for all that is sold")
    measure = models.CharField(max_length=8, choices=Measure.choices, default=Measure.BOOKINGS)
    starts_on = models.DateField()
    ends_on = models.DateField()
    amount_minor = models.BigIntegerField(help_text="minor units of the currency; deals where the measure counts them")
    currency = models.CharField(max_length=3, blank=True)
    source = models.CharField(max_length=10, default="by hand", help_text="by hand, split or imported")
    note = models.CharField(max_length=200, blank=True)
    set_on = models.DateField(help_text="the day from which it was known")
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)
    import_batch_id = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        indexes = [models.Index(fields=["entity", "starts_on", "ends_on", "id"], name="quota_of_period")]
        constraints = [
            models.CheckConstraint(condition=Q(scope="company", rep__isnull=True) | Q(scope__in=["team", "person"], rep__isnull=False), name="quota_has_an_owner"),
            models.CheckConstraint(condition=Q(ends_on__gt=F("starts_on")), name="quota_period_not_empty"),
            models.CheckConstraint(condition=Q(amount_minor__gte=0), name="quota_not_negative"),
            models.CheckConstraint(condition=(Q(measure="bookings") & ~Q(currency="")) | Q(measure="deals", currency=""), name="quota_of_money_has_a_currency"),
        ]  # fmt: skip


class ForecastCall(models.Model):
    """What somebody said that they, and all whom they lead, will have sold in a period. Append-only: a new call is a new row.

    An override is what a manager says instead of somebody they lead; it holds until the manager gives another, or takes it back
    with one that has no amount. Amounts are cumulative: a best case includes the commit, and all include what is won.
    """

    append_only = True

    class Category(models.TextChoices):
        COMMIT = "commit"
        MOST_LIKELY = "most_likely"
        BEST_CASE = "best_case"

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    rep = models.ForeignKey(Rep, on_delete=models.PROTECT, related_name="+")
    starts_on = models.DateField()
    ends_on = models.DateField()
    category = models.CharField(max_length=11, choices=Category.choices)
    amount_minor = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3)
    is_override = models.BooleanField(default=False)
    made_on = models.DateField()
    note = models.CharField(max_length=300, blank=True, help_text="the reason, for an override")
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        indexes = [models.Index(fields=["entity", "starts_on", "ends_on", "id"], name="call_of_period")]
        constraints = [
            models.CheckConstraint(condition=Q(category__in=["commit", "most_likely", "best_case"]), name="call_category_known"),
            models.CheckConstraint(condition=Q(amount_minor__gte=0) | Q(amount_minor__isnull=True, is_override=True), name="call_not_negative"),
            models.CheckConstraint(condition=Q(is_override=False) | ~Q(note=""), name="override_has_a_reason"),
            models.CheckConstraint(condition=Q(ends_on__gt=F("starts_on")), name="call_period_not_empty"),
        ]  # fmt: skip


class FrozenSalesForecast(models.Model):
    """One figure of the sales forecast as it stood on a Monday. Append-only, so that it can be judged when the period is over.

    kind  call, category (the open deals of one, alone), won, quota, machine (a method's total, with its range where it has one; of the pool
          also that of each person), or rehearsed (what a method would have said, reckoned later from what was known before that Monday)
    """

    append_only = True

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    as_of = models.DateField()
    starts_on = models.DateField()
    ends_on = models.DateField()
    kind = models.CharField(max_length=12)
    name = models.CharField(max_length=40, blank=True)
    rep = models.ForeignKey(Rep, on_delete=models.PROTECT, null=True, related_name="+", help_text="empty for the company")
    amount_minor = models.BigIntegerField()
    p10_minor = models.BigIntegerField(null=True)
    p90_minor = models.BigIntegerField(null=True)
    dots_minor = models.JSONField(null=True, help_text="of the pool: futures of equal chance, in order")
    currency = models.CharField(max_length=3)

    class Meta:
        indexes = [models.Index(fields=["entity", "as_of", "starts_on"], name="frozen_sales_by_day")]
        constraints = [
            models.UniqueConstraint(fields=["entity", "as_of", "starts_on", "kind", "name", "rep"], condition=Q(rep__isnull=False), name="frozen_sales_once"),
            models.UniqueConstraint(fields=["entity", "as_of", "starts_on", "kind", "name"], condition=Q(rep__isnull=True), name="frozen_company_sales_once"),
            models.CheckConstraint(condition=Q(kind__in=["call", "category", "won", "quota", "machine", "rehearsed"]), name="frozen_sales_kind_known"),
        ]  # fmt: skip


class DealChance(models.Model):
    """How likely an open deal was to be won, as told on a Monday. Append-only, so that it can be judged when its quarter is over.

    Chances are ten-thousandths: in_period_bp before the end of the quarter, ever_bp within 27 weeks, by_week in each of these. Of a Monday
    that was rehearsed (reckoned later, from what was known before it) only the last one has weeks and reasons, and a part of the deals.

    reasons  steps from the chance of a deal on its first day to this one, [factor, group, ten-thousandths], which add up to ever_bp
    """

    append_only = True

    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+", db_index=False)
    opportunity = models.ForeignKey(Opportunity, on_delete=models.PROTECT, related_name="+", db_index=False)
    as_of = models.DateField()
    ends_on = models.DateField(help_text="the first day after the quarter")
    is_rehearsed = models.BooleanField(default=False)
    in_period_bp = models.IntegerField()
    ever_bp = models.IntegerField()
    by_week = models.JSONField(default=list)
    reasons = models.JSONField(default=list)
    age_days = models.IntegerField(null=True)
    stage_key = models.CharField(max_length=40, blank=True, help_text="empty where stages told nothing")
    stage_days = models.IntegerField(null=True)

    class Meta:
        indexes = [models.Index(fields=["entity", "ends_on", "in_period_bp"], name="chance_to_judge")]
        constraints = [
            models.UniqueConstraint(fields=["opportunity", "as_of"], name="chance_once_a_day"),
            models.CheckConstraint(condition=Q(in_period_bp__gte=0, in_period_bp__lte=10_000, ever_bp__gte=0, ever_bp__lte=10_000), name="chance_is_a_share"),
        ]  # fmt: skip
