"""Segments: how large they are said to be, and how much of each is ours. A segment is the text that stands on customers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Count, Sum

from topline.books import rates
from topline.books.models import Entity, Transfer
from topline.engine.currency import RateMissing
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid, NotFound, ensure
from topline.market import prices, queries
from topline.market.models import CompetitorSegment, Customer, Segment, SegmentSize

YEAR_DAYS = 365
MAX_SEGMENTS = 200


@dataclass(frozen=True)
class SegmentView:
    """One segment as of a day.

    customers      our customers of it, billed_minor what they were billed in the year before, net of tax, in `currency`
    size           the last statement of its size by the day; spend_minor its yearly spend in `currency` at the rate of rate_on
    share_*        ours over theirs, None with `why_not` where either is unknown
    """

    name: str
    description: str
    is_described: bool
    customers: int
    billed_minor: int
    currency: str
    size: SegmentSize | None
    spend_minor: int | None
    rate_on: date | None
    why_not: str
    competitors: list[tuple[int, str]] = field(default_factory=list)
    index: prices.PriceIndex = field(default_factory=lambda: prices.PriceIndex(None, 0, 0))

    @property
    def share_of_accounts(self) -> float | None:
        """Our customers over the accounts of the segment."""
        return self.customers / self.size.accounts if self.size and self.size.accounts else None

    @property
    def share_of_spend(self) -> float | None:
        """What our customers were billed in a year over what the segment spends in one."""
        return self.billed_minor / self.spend_minor if self.spend_minor else None

    def as_row(self) -> dict[str, Any]:
        """Plain values for programs."""
        size = self.size
        return {
            "name": self.name, "is_described": self.is_described, "description": self.description, "customers": self.customers, "billed_minor": self.billed_minor,
            "currency": self.currency, "accounts": size.accounts if size else None, "spend_minor": self.spend_minor, "size_on": size.on if size else None,
            "source": size.source if size else "", "share_of_accounts": self.share_of_accounts, "share_of_spend": self.share_of_spend, "price_index": self.index.value,
            "competitors": [name for _, name in self.competitors],
        }  # fmt: skip


@action("market.describe_segment")
def describe_segment(
    *, actor: Actor, name: str, description: str = "", accounts: int | None = None, spend_minor: int | None = None, currency: str = "EUR", on: date | None = None,
    source: str = "",
) -> int:  # fmt: skip
    """Say what a segment is, and how large: a new size is kept beside the older ones. Returns the segment's id.

    name      the text that stands on customers; description: kept as it is when empty
    accounts  companies in it; spend_minor: what they spend a year on what we sell, in `currency`; both from `on`, by `source`
    Raises: Invalid (name missing or too long, a size without day or source, not positive, currency).
    """
    key = name.strip()
    ensure(0 < len(key) <= 40, Invalid("A segment needs a name of up to 40 letters.", field="name"))
    found, is_new = Segment.objects.get_or_create(name=key, defaults={"description": description, "changed_at": clock.now()})
    before = None if is_new else {"description": found.description}
    if description and description != found.description:
        found.description, found.changed_at = description, clock.now()
        found.save(update_fields=["description", "changed_at"])
    if accounts is not None or spend_minor is not None:
        if on is None:
            raise Invalid("From which day is the size?", field="on", remedy="Give the day of the source.")
        ensure(bool(source.strip()), Invalid("Who says so?", field="source", remedy="Name a study, an address, a person."))
        ensure(accounts is None or accounts > 0, Invalid("A segment has at least one account.", field="accounts"))
        ensure(spend_minor is None or spend_minor > 0, Invalid("What a segment spends is more than zero.", field="spend_minor"))
        money.ensure_currency(currency)
        SegmentSize.objects.create(
            segment=found, accounts=accounts, spend_minor=spend_minor, currency=currency, on=on, source=source.strip()[:300], recorded_at=clock.now(),
            actor_key=actor.key,
        )  # fmt: skip
    changed("segment", found.pk, before=before, after={"name": key, "description": found.description, "accounts": accounts, "spend_minor": spend_minor})  # fmt: skip
    return found.pk


def overview(*, entity: Entity, as_of: date, ours: pl.DataFrame | None = None) -> list[SegmentView]:
    """Every segment that is described, stands on a customer or has a competitor in it: those that were billed most first (at most 200).

    ours  our price points, handed in, for the price index (see `prices.position`)
    Work: a fixed number of statements.
    """
    billed = billed_by_segment(entity=entity, as_of=as_of)
    counted = dict(
        Customer.objects.filter(merged_into__isnull=True).exclude(segment="").values_list("segment").annotate(n=Count("id"))
    )
    described = {s.name: s for s in Segment.objects.all()[:MAX_SEGMENTS]}
    met = _met()
    names = sorted({*counted, *described, *met}, key=lambda n: (-billed.get(n, 0), n))[:MAX_SEGMENTS]
    sizes = _sizes([s.pk for s in described.values()], as_of)
    side_by_side = prices.position(as_of=as_of, currency=entity.currency, ours=ours).rows
    found = []
    for name in names:
        rivals = pl.col("competitor_id").is_in([pk for pk, _ in met.get(name, [])])
        row = described.get(name)
        size = sizes.get(row.pk) if row else None
        spend, rate_on, why = _spend(size, entity.currency)
        found.append(
            SegmentView(
                name, row.description if row else "", row is not None, counted.get(name, 0), billed.get(name, 0), entity.currency, size, spend, rate_on, why,
                met.get(name, []), prices.index(side_by_side.filter(pl.col("is_ours") | rivals)),
            )
        )  # fmt: skip
    return found


def segment(name: str, *, entity: Entity, as_of: date, ours: pl.DataFrame | None = None) -> SegmentView:
    """One segment as of a day. Raises: NotFound when nobody and nothing knows the text."""
    found = next((s for s in overview(entity=entity, as_of=as_of, ours=ours) if s.name == name), None)
    if found is None:
        raise NotFound(f"There is no segment {name!r}.", field="segment", remedy="Describe it, or see the list under Market.")
    return found


def sizes(name: str) -> list[SegmentSize]:
    """What was said about a segment's size, newest day first (at most 50)."""
    return list(SegmentSize.objects.filter(segment__name=name).order_by("-on", "-id")[:50])


def customers_of(name: str, *, entity: Entity, as_of: date, limit: int = 10) -> list[dict[str, object]]:
    """Our largest customers of a segment by what they were billed in the year before: id, name, country, billed_minor."""
    billed = _billed_by_customer(entity=entity, as_of=as_of)
    rows = bulk.read(Customer.objects.filter(merged_into__isnull=True, segment=name).values("id", "name", "country"))
    joined = rows.join(billed, left_on="id", right_on="customer_id", how="left").with_columns(pl.col("billed_minor").fill_null(0))
    return joined.sort("billed_minor", "name", descending=[True, False]).head(limit).to_dicts()


def billed_by_segment(*, entity: Entity, as_of: date) -> dict[str, int]:
    """What customers of each segment were billed in the 365 days up to a day, net of tax, in the company's currency, by its ledger."""
    billed = _billed_by_customer(entity=entity, as_of=as_of)
    rows = bulk.read(Customer.objects.exclude(segment="").values("id", "segment"))
    summed = rows.join(billed, left_on="id", right_on="customer_id").group_by("segment").agg(pl.col("billed_minor").sum())
    return dict(summed.iter_rows())


def choices() -> list[str]:
    """Texts that segments go by: on customers, described, or with a competitor in it (at most 200)."""
    found = set(
        Customer.objects.exclude(segment="").order_by("segment").values_list("segment", flat=True).distinct()[:MAX_SEGMENTS]
    )
    found |= set(Segment.objects.values_list("name", flat=True)[:MAX_SEGMENTS])
    found |= set(CompetitorSegment.objects.values_list("segment", flat=True).distinct()[:MAX_SEGMENTS])
    return sorted(found)[:MAX_SEGMENTS]


def _billed_by_customer(*, entity: Entity, as_of: date) -> pl.DataFrame:
    """customer_id, billed_minor: credits less debits of the revenue account in 365 days, merged records counted with their customer."""
    span = {
        "entry__entity_id": entity.pk,
        "entry__effective_on__gt": as_of - timedelta(days=YEAR_DAYS),
        "entry__effective_on__lte": as_of,
    }
    parts = []
    for side, sign in (("credit", 1), ("debit", -1)):
        rows = Transfer.objects.filter(**span, **{f"{side}_account__role": "revenue"}, customer_id__isnull=False)
        summed = rows.order_by().values("customer_id").annotate(billed_minor=Sum("functional_minor"))
        parts.append(
            pl.DataFrame(list(summed), schema={"customer_id": pl.Int64, "billed_minor": pl.Int64}, orient="row").with_columns(
                pl.col("billed_minor") * sign
            )
        )
    return queries.resolve(pl.concat(parts)).group_by("customer_id").agg(pl.col("billed_minor").sum())


def _sizes(segment_ids: list[int], as_of: date) -> dict[int, SegmentSize]:
    """The last statement of each segment's size by a day."""
    rows = SegmentSize.objects.filter(segment_id__in=segment_ids, on__lte=as_of).order_by("on", "id")
    return {row.segment_id: row for row in rows}


def _met() -> dict[str, list[tuple[int, str]]]:
    """Competitors by the segment in which they are met."""
    found: dict[str, list[tuple[int, str]]] = {}
    rows = CompetitorSegment.objects.filter(competitor__is_active=True).order_by("competitor__name")
    for name, pk, who in rows.values_list("segment", "competitor_id", "competitor__name")[: MAX_SEGMENTS * MAX_SEGMENTS]:
        found.setdefault(name, []).append((pk, who))
    return found


def _spend(size: SegmentSize | None, currency: str) -> tuple[int | None, date | None, str]:
    """A segment's yearly spend in the company's currency, at the rate of the day that the size is from; else why not."""
    if size is None:
        return None, None, "its size is not known"
    if size.spend_minor is None:
        return None, None, "its spend is not known"
    if size.currency == currency:
        return size.spend_minor, None, ""
    try:
        one = pl.DataFrame({"currency": [size.currency], "amount_minor": [size.spend_minor], "on": [size.on]})
        worth = rates.convert(one, to=currency)
    except RateMissing:
        return None, None, f"there is no rate for {size.currency} by {size.on}"
    return worth["converted_minor"][0], worth["rate_on"][0], ""
