"""Tables of the market room: customers with their names, places and people; segments, competitors, customer experience, reading."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from topline.team.models import Member


class Customer(models.Model):
    """A company or person that buys. A merged customer stays as a pointer to the one that took it over."""

    class EFormat(models.TextChoices):
        PDF = "pdf", "PDF with the e-invoice inside (Factur-X)"
        UBL = "ubl", "PDF and UBL (Peppol)"
        CII = "cii", "PDF and CII (XRechnung)"

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
    late_interest_bps = models.PositiveIntegerField(
        null=True, help_text="yearly interest on late payment that the contract states, instead of the law's"
    )
    is_on_hold = models.BooleanField(default=False)
    merged_into = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    e_address = models.CharField(
        max_length=100, blank=True, help_text="where e-invoices go: scheme:address, such as 9930:DE123456788"
    )
    e_format = models.CharField(max_length=5, choices=EFormat.choices, default=EFormat.PDF)
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
            models.CheckConstraint(
                condition=Q(late_interest_bps__lte=10_000) | Q(late_interest_bps__isnull=True), name="late_interest_within_all"
            ),
        ]


class CustomerAlias(models.Model):
    """Another name or key by which files and banks know a customer; `folded` is what matching compares."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="aliases", db_index=False)
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


class Segment(models.Model):
    """A part of the market, described. `name` is the text that stands on customers; a text without a row is not described yet."""

    name = models.CharField(max_length=40, unique=True)
    description = models.TextField(blank=True)
    changed_at = models.DateTimeField()


class SegmentSize(models.Model):
    """How large a segment is said to be: accounts and what they spend a year, by a source, from a day on. Append-only."""

    append_only = True

    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="sizes", db_constraint=False, db_index=False)
    accounts = models.BigIntegerField(null=True)
    spend_minor = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3)
    on = models.DateField()
    source = models.CharField(max_length=300)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        indexes = [models.Index(fields=["segment", "on", "id"], name="segment_size_by_day")]
        constraints = [
            models.CheckConstraint(condition=Q(accounts__gt=0) | Q(accounts__isnull=True), name="segment_has_accounts"),
            models.CheckConstraint(
                condition=Q(spend_minor__gt=0) | Q(spend_minor__isnull=True), name="segment_spend_is_positive"
            ),
            models.CheckConstraint(
                condition=Q(accounts__isnull=False) | Q(spend_minor__isnull=False), name="segment_size_says_something"
            ),
        ]


class Competitor(models.Model):
    """A company that sells to the same buyers. Its owner keeps what we know of it fresh."""

    name = models.CharField(max_length=100, unique=True)
    website = models.CharField(max_length=200, blank=True)
    notes = models.TextField(blank=True)
    owner = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()


class CompetitorSegment(models.Model):
    """A segment in which we meet a competitor, by the text that stands on customers."""

    competitor = models.ForeignKey(Competitor, on_delete=models.CASCADE, related_name="segments", db_index=False)
    segment = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["competitor", "segment"], name="competitor_segment_once")]


class CompetitorProduct(models.Model):
    """Something that a competitor sells; `compares_with` is the code of our product that it stands against, where there is one."""

    competitor = models.ForeignKey(Competitor, on_delete=models.PROTECT, related_name="products", db_index=False)
    name = models.CharField(max_length=100)
    compares_with = models.CharField(max_length=60, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["competitor", "name"], name="competitor_product_once")]


class CompetitorPrice(models.Model):
    """What a competitor asks for a unit of a product from a day on, seen on a day at a source. Append-only: a new price is a new row."""

    append_only = True

    product = models.ForeignKey(
        CompetitorProduct, on_delete=models.PROTECT, related_name="prices", db_constraint=False, db_index=False
    )
    currency = models.CharField(max_length=3)
    unit_price_nano = models.BigIntegerField(help_text="billionths of a minor unit")
    unit = models.CharField(max_length=40)
    valid_from = models.DateField()
    seen_on = models.DateField()
    source = models.CharField(max_length=300)
    recorded_at = models.DateTimeField()
    actor_key = models.CharField(max_length=60)

    class Meta:
        indexes = [models.Index(fields=["product", "valid_from", "id"], name="competitor_price_by_day")]
        constraints = [
            models.CheckConstraint(condition=Q(unit_price_nano__gte=0), name="competitor_price_is_not_negative"),
            models.CheckConstraint(condition=~Q(unit="") & ~Q(source=""), name="competitor_price_has_unit_and_source"),
        ]


class Assessment(models.Model):
    """A strength or weakness of a competitor: a statement with its evidence and source, reviewed on a day, retired when it no longer holds."""

    class Theme(models.TextChoices):
        OFFERING = "offering"
        PRICING = "pricing"
        EXPERIENCE = "experience"

    class Kind(models.TextChoices):
        STRENGTH = "strength"
        WEAKNESS = "weakness"

    competitor = models.ForeignKey(Competitor, on_delete=models.PROTECT, related_name="assessments", db_index=False)
    theme = models.CharField(max_length=10, choices=Theme.choices)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    statement = models.CharField(max_length=300)
    evidence = models.TextField(blank=True)
    source = models.CharField(max_length=300)
    since = models.DateField()
    weight = models.PositiveSmallIntegerField(default=2, help_text="1 minor, 2 matters, 3 decides deals")
    recorded_at = models.DateTimeField()
    reviewed_on = models.DateField()
    reviewed_by = models.CharField(max_length=60)
    retired_on = models.DateField(null=True)
    retired_at = models.DateTimeField(null=True)
    retired_because = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [models.Index(fields=["competitor", "theme"], name="assessment_by_theme")]
        constraints = [
            models.CheckConstraint(condition=Q(theme__in=["offering", "pricing", "experience"]), name="assessment_theme_known"),
            models.CheckConstraint(condition=Q(kind__in=["strength", "weakness"]), name="assessment_kind_known"),
            models.CheckConstraint(condition=Q(weight__gte=1, weight__lte=3), name="assessment_weight_1_to_3"),
            models.CheckConstraint(condition=~Q(statement="") & ~Q(source=""), name="assessment_has_statement_and_source"),
            models.CheckConstraint(
                condition=Q(retired_on__isnull=True, retired_at__isnull=True)
                | Q(retired_on__isnull=False, retired_at__isnull=False) & ~Q(retired_because=""),
                name="assessment_retired_with_reason",
            ),
        ]


class Battlecard(models.Model):
    """How to win against a competitor, on one card. It is stale some days after its review, or once a price or a strength changed since."""

    competitor = models.OneToOneField(Competitor, on_delete=models.PROTECT, related_name="battlecard")
    how_to_win = models.TextField()
    landmines = models.TextField(blank=True, help_text="questions to lay before them, one a line")
    objections = models.JSONField(default=list, help_text="[{objection, answer}]")
    proof = models.TextField(blank=True)
    review_every_days = models.PositiveSmallIntegerField(default=90)
    reviewed_on = models.DateField()
    reviewed_at = models.DateTimeField()
    reviewed_by = models.CharField(max_length=60)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(how_to_win=""), name="battlecard_says_how_to_win"),
            models.CheckConstraint(
                condition=Q(review_every_days__gte=1, review_every_days__lte=730), name="battlecard_review_within_two_years"
            ),
        ]


class ExperienceRecord(models.Model):
    """What one customer told or asked on a day: a score of recommending (NPS) or of being content (CSAT), or a ticket; of us or a competitor."""

    class Kind(models.TextChoices):
        NPS = "nps"
        CSAT = "csat"
        TICKET = "ticket"

    competitor = models.ForeignKey(Competitor, on_delete=models.PROTECT, null=True, related_name="+")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    segment = models.CharField(max_length=40, blank=True)
    kind = models.CharField(max_length=6, choices=Kind.choices)
    score = models.SmallIntegerField(null=True)
    on = models.DateField()
    topic = models.CharField(max_length=60, blank=True)
    text = models.TextField(blank=True)
    response_minutes = models.BigIntegerField(null=True)
    recorded_at = models.DateTimeField()
    import_batch_id = models.BigIntegerField(null=True, db_index=True)

    class Meta:
        indexes = [
            models.Index(fields=["on", "kind"], name="experience_by_day"),
            models.Index(fields=["customer", "on"], name="experience_of_customer"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="nps", score__gte=0, score__lte=10)
                | Q(kind="csat", score__gte=1, score__lte=5)
                | Q(kind="ticket", score__isnull=True),
                name="experience_score_fits_its_kind",
            ),
            models.CheckConstraint(
                condition=Q(response_minutes__isnull=True) | Q(kind="ticket", response_minutes__gte=0),
                name="experience_response_of_tickets",
            ),
            models.CheckConstraint(
                condition=Q(customer__isnull=False) | Q(competitor__isnull=False), name="experience_of_us_has_customer"
            ),
        ]


class ReadingStep(models.Model):
    """A brief on the reading path of a new member of the team, such as `segment:Enterprise` or `competitor:3`, and why it stands there."""

    position = models.PositiveSmallIntegerField(unique=True)
    brief = models.CharField(max_length=60, unique=True)
    why = models.CharField(max_length=200, blank=True)


class ReadMark(models.Model):
    """A member has read a brief."""

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="+", db_index=False)
    brief = models.CharField(max_length=60)
    read_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["member", "brief"], name="brief_read_once")]
