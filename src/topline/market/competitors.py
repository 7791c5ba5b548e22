"""Competitors: who they are, what they sell for how much since when, where they are strong and where weak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
from django.db.models import QuerySet

from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market.models import Assessment, Competitor, CompetitorPrice, CompetitorProduct, CompetitorSegment
from topline.team.models import Member

CHANGEABLE = {"name", "website", "notes", "owner_id", "is_active", "segments"}
THEMES = {"offering": "Offering", "pricing": "Pricing and promotions", "experience": "Customer experience"}
WEIGHTS = {1: "minor", 2: "matters", 3: "decides deals"}
MAX_COMPETITORS = 200
MAX_PRICE_NANO = 10**18
PRICE = {"product": pl.String, "compares_with": pl.String, "currency": pl.String, "unit_price_nano": pl.Int64, "unit": pl.String, "valid_from": pl.Date,
         "seen_on": pl.Date, "source": pl.String}  # fmt: skip


class CompetitorKnown(Conflict):
    """Another competitor has the name."""

    code = "competitor_known"


class AssessmentRetired(Conflict):
    """The statement no longer holds; it is kept for the record."""

    code = "assessment_retired"


@dataclass(frozen=True)
class ThemeView:
    """What stands of a competitor on one theme, the weightiest first."""

    key: str
    title: str
    strengths: list[Assessment]
    weaknesses: list[Assessment]


@action("market.add_competitor")
def add_competitor(
    *, actor: Actor, name: str, website: str = "", notes: str = "", owner_id: int | None = None, segments: Sequence[str] = ()
) -> int:
    """Somebody who sells to the same buyers; returns the competitor's id.

    owner_id  the member who keeps it fresh; segments: where we meet them, by the text that stands on customers
    Raises: Invalid (name missing, no such member), CompetitorKnown.
    """
    ensure(bool(name.strip()), Invalid("A competitor needs a name.", field="name", remedy="Fill in the name."))
    _ensure_free(name.strip())
    _ensure_member(owner_id)
    made = Competitor.objects.create(
        name=name.strip(), website=website.strip(), notes=notes, owner_id=owner_id, created_at=clock.now()
    )
    _meet(made.pk, segments)
    changed("competitor", made.pk, after={"name": made.name, "owner_id": owner_id, "segments": sorted(set(segments))})
    return made.pk


@action("market.change_competitor")
def change_competitor(*, actor: Actor, competitor_id: int, changes: dict[str, Any]) -> int:
    """Change facts of a competitor: name, website, notes, owner_id, segments, or whether it is still about; returns its id.

    Raises: NotFound, Invalid (unknown field, name missing, no such member), CompetitorKnown.
    """
    found = competitor(competitor_id, lock=True)
    unknown = sorted(set(changes) - CHANGEABLE)
    ensure(not unknown, Invalid(f"{', '.join(unknown)} cannot be changed.", field=unknown[0] if unknown else ""))
    if "name" in changes:
        name = str(changes["name"]).strip()
        ensure(bool(name), Invalid("A competitor needs a name.", field="name", remedy="Fill in the name."))
        if name != found.name:
            _ensure_free(name)
        changes = {**changes, "name": name}
    _ensure_member(changes.get("owner_id"))
    before: dict[str, Any] = {name: getattr(found, name) for name in changes if name != "segments"}
    if "segments" in changes:
        before["segments"] = segments_of([competitor_id])[competitor_id]
        _meet(competitor_id, changes["segments"])
    for name in before.keys() - {"segments"}:
        setattr(found, name, changes[name])
    found.save()
    changed("competitor", competitor_id, before=before, after=changes)
    return competitor_id


@action("market.add_competitor_prices")
def add_competitor_prices(*, actor: Actor, competitor_id: int, prices: pl.DataFrame) -> int:
    """What a competitor asks, as seen; returns how many prices were written. A product that is new is added with its price.

    prices  one row per price: product str (its name), currency, unit_price_nano i64 (billionths of a minor unit), unit str,
            valid_from date, seen_on date, source str; optional compares_with str (code of our product; kept when empty)
    Nothing is replaced: the newest row that is valid on a day is the price of that day.
    Raises: NotFound, Invalid (a cell is missing, negative, too large; seen before it was valid is fine, in the future is not).
    """
    competitor(competitor_id, lock=True)
    if prices.is_empty():
        return 0
    frame = prices.with_columns(pl.lit("").alias(name) for name in ("compares_with",) if name not in prices.columns).select(
        [pl.col(name).cast(kind) for name, kind in PRICE.items()]
    )
    frame = frame.with_columns(pl.col("product", "unit", "source", "compares_with").fill_null("").str.strip_chars())
    for column, what in (("product", "a product"), ("unit", "a unit"), ("source", "a source"), ("valid_from", "a first day"), ("seen_on", "the day on which it was seen")):  # fmt: skip
        empty = frame[column].is_null() | (frame[column].cast(pl.String) == "")
        ensure(not empty.any(), Invalid(f"A price needs {what}.", field=column, remedy="Fill it in."))
    for code in frame["currency"].unique().to_list():
        money.ensure_currency(code or "")
    amount = frame["unit_price_nano"]
    ensure(
        amount.null_count() == 0 and bool(amount.is_between(0, MAX_PRICE_NANO).all()),
        Invalid("A price is zero or more, and below a billion.", field="unit_price_nano", remedy="Correct the price."),
    )
    seen = frame["seen_on"].max()
    ensure(
        isinstance(seen, date) and seen <= clock.today() + timedelta(days=1),
        Invalid("A price cannot be seen in the future.", field="seen_on", remedy="Say when it was seen."),
    )
    ids = _products(competitor_id, frame)
    rows = frame.with_columns(product_id=pl.col("product").replace_strict(ids, return_dtype=pl.Int64))
    bulk.insert(
        CompetitorPrice,
        rows.drop("product", "compares_with").with_columns(recorded_at=pl.lit(clock.now()), actor_key=pl.lit(actor.key)),
    )
    changed("competitor", competitor_id, after={"prices": frame.height, "products": sorted(ids)[:20]})
    return frame.height


@action("market.add_assessment")
def add_assessment(
    *, actor: Actor, competitor_id: int, theme: str, kind: str, statement: str, source: str, since: date, evidence: str = "", weight: int = 2
) -> int:  # fmt: skip
    """A strength or weakness of a competitor on a theme, with its source; returns the assessment's id.

    theme   offering, pricing, experience; kind: strength, weakness; since: the day from which it holds and was looked at
    weight  1 minor, 2 matters, 3 decides deals
    Raises: NotFound, Invalid (theme, kind, weight, statement or source missing).
    """
    competitor(competitor_id, lock=True)
    ensure(theme in THEMES, Invalid(f"{theme!r} is no theme.", field="theme", remedy=f"Use one of {', '.join(THEMES)}."))
    ensure(kind in Assessment.Kind.values, Invalid(f"{kind!r} is neither strength nor weakness.", field="kind"))
    ensure(weight in WEIGHTS, Invalid("A weight is 1, 2 or 3.", field="weight", remedy="3 decides deals, 1 is minor."))
    ensure(bool(statement.strip()), Invalid("Say what is strong or weak.", field="statement"))
    ensure(bool(source.strip()), Invalid("Say where it is known from.", field="source", remedy="An address, a person, a deal."))
    made = Assessment.objects.create(
        competitor_id=competitor_id, theme=theme, kind=kind, statement=statement.strip(), evidence=evidence, source=source.strip(), since=since, weight=weight,
        recorded_at=clock.now(), reviewed_on=since, reviewed_by=actor.key,
    )  # fmt: skip
    changed("competitor", competitor_id, after={"assessment": made.pk, "theme": theme, "kind": kind, "statement": made.statement})
    return made.pk


@action("market.review_assessment")
def review_assessment(*, actor: Actor, assessment_id: int, on: date) -> int:
    """Somebody looked: the statement still holds; returns the assessment's id. Raises: NotFound, AssessmentRetired."""
    found = _standing_assessment(assessment_id)
    before = {"reviewed_on": found.reviewed_on}
    found.reviewed_on, found.reviewed_by = on, actor.key
    found.save(update_fields=["reviewed_on", "reviewed_by"])
    changed("competitor", found.competitor_id, before=before, after={"assessment": assessment_id, "reviewed_on": on})
    return assessment_id


@action("market.retire_assessment")
def retire_assessment(*, actor: Actor, assessment_id: int, on: date, reason: str) -> int:
    """The statement no longer holds; it is kept with the reason. Returns its id.

    Raises: NotFound, Invalid (no reason), AssessmentRetired.
    """
    found = _standing_assessment(assessment_id)
    ensure(bool(reason.strip()), Invalid("Why does it no longer hold?", field="reason", remedy="Say what changed."))
    found.retired_on, found.retired_at, found.retired_because = on, clock.now(), reason.strip()[:300]
    found.save(update_fields=["retired_on", "retired_at", "retired_because"])
    changed("competitor", found.competitor_id, after={"assessment": assessment_id, "retired_on": on, "reason": reason})
    return assessment_id


def competitor(competitor_id: int, *, lock: bool = False) -> Competitor:
    """One competitor with its owner. Raises: NotFound."""
    rows = Competitor.objects.select_for_update() if lock else Competitor.objects.select_related("owner")
    found = rows.filter(pk=competitor_id).first()
    if found is None:
        raise NotFound(f"There is no competitor {competitor_id}.", field="competitor_id", remedy="See the list under Market.")
    return found


def competitors(*, is_active: bool | None = True) -> QuerySet[Competitor]:
    """Competitors, those still about unless told; order and slice before use."""
    rows = Competitor.objects.select_related("owner")
    return rows if is_active is None else rows.filter(is_active=is_active)


def names(ids: Sequence[int] | None = None) -> dict[int, str]:
    """Names of competitors by id, all or some (at most 200)."""
    rows = Competitor.objects.all() if ids is None else Competitor.objects.filter(pk__in=list(ids))
    return dict(rows.order_by("name").values_list("id", "name")[:MAX_COMPETITORS])


def segments_of(ids: Sequence[int]) -> dict[int, list[str]]:
    """The segments in which each of some competitors is met."""
    found: dict[int, list[str]] = {pk: [] for pk in ids}
    rows = CompetitorSegment.objects.filter(competitor_id__in=list(ids)).order_by("segment")
    for pk, segment in rows.values_list("competitor_id", "segment"):
        found[pk].append(segment)
    return found


def met_in(segment: str) -> list[Competitor]:
    """Competitors that are met in a segment, by name (at most 200)."""
    return list(competitors().filter(segments__segment=segment).order_by("name")[:MAX_COMPETITORS])


def prices(*, as_of: date, known_on: date | None = None, competitor_id: int | None = None, segment: str = "") -> pl.DataFrame:
    """The price of each product as of a day: of the rows valid by then the one with the latest first day, last seen, last written.

    known_on  only what had been seen and written down by the end of that day; None for all that is known now
    segment   only of competitors that are met in it
    returns   one row per product, by competitor and product: competitor_id, competitor, product_id, product, compares_with, currency,
              unit_price_nano, unit, valid_from, seen_on, source, before_nano (the price before it, in the same currency and unit, else null)
    Work: one statement.
    """
    found = price_rows(competitor_id=competitor_id, segment=segment).filter(pl.col("valid_from") <= as_of)
    if known_on is not None:
        found = found.filter((pl.col("seen_on") <= known_on) & (pl.col("recorded_at") <= end_of(known_on)))
    alike = (pl.col("currency").shift(1) == pl.col("currency")) & (pl.col("unit").shift(1) == pl.col("unit"))
    before = pl.when(alike).then(pl.col("unit_price_nano").shift(1)).over("product_id", order_by=["valid_from", "seen_on", "id"])
    return (
        found.sort("product_id", "valid_from", "seen_on", "id")
        .with_columns(before_nano=before)
        .unique("product_id", keep="last", maintain_order=True)
        .sort("competitor", "product")
    )


def price_rows(*, competitor_id: int | None = None, segment: str = "") -> pl.DataFrame:
    """Every price that was written down: id, product_id, product, compares_with, competitor_id, competitor, the price and when it was known."""
    rows = CompetitorPrice.objects.filter(product__competitor__is_active=True)
    if competitor_id is not None:
        rows = CompetitorPrice.objects.filter(product__competitor_id=competitor_id)
    if segment:
        met = CompetitorSegment.objects.filter(segment=segment).values("competitor_id")
        rows = rows.filter(product__competitor_id__in=met)
    frame = bulk.read(
        rows.order_by("product_id", "valid_from", "seen_on", "id").values(
            "id", "product_id", "product__name", "product__compares_with", "product__competitor_id", "product__competitor__name",
            "currency", "unit_price_nano", "unit", "valid_from", "seen_on", "source", "recorded_at",
        )
    )  # fmt: skip
    return frame.rename(
        {"product__name": "product", "product__compares_with": "compares_with", "product__competitor_id": "competitor_id", "product__competitor__name": "competitor"}
    )  # fmt: skip


def price_changes(*, competitor_id: int | None = None) -> pl.DataFrame:
    """The prices that brought something new: a product's first, or another amount, currency or unit than the one before; newest first."""
    found = price_rows(competitor_id=competitor_id)
    same = pl.all_horizontal(pl.col(c) == pl.col(c).shift(1).over("product_id") for c in ("currency", "unit_price_nano", "unit"))
    return found.filter(~same.fill_null(False)).sort("valid_from", "id", descending=True)


def assessments(competitor_id: int, *, as_of: date | None = None) -> list[ThemeView]:
    """Strengths and weaknesses by theme, the weightiest first; as of a day: those that held then."""
    rows = Assessment.objects.filter(competitor_id=competitor_id)
    if as_of is None:
        rows = rows.filter(retired_on__isnull=True)
    else:
        rows = rows.filter(since__lte=as_of).exclude(retired_on__lte=as_of)
    held = list(rows.order_by("-weight", "-reviewed_on", "id")[:200])
    return [
        ThemeView(
            key, title,
            [a for a in held if a.theme == key and a.kind == Assessment.Kind.STRENGTH],
            [a for a in held if a.theme == key and a.kind == Assessment.Kind.WEAKNESS],
        )
        for key, title in THEMES.items()
    ]  # fmt: skip


def end_of(day: date) -> datetime:
    """The last moment of a day in UTC, up to which something was known on it."""
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=UTC)


def _products(competitor_id: int, frame: pl.DataFrame) -> dict[str, int]:
    """Ids of the products that a frame of prices names; new ones are added, codes that it tells are kept."""
    code = pl.col("compares_with").filter(pl.col("compares_with") != "").last()
    told: dict[str, str | None] = dict(frame.group_by("product", maintain_order=True).agg(code).iter_rows())
    known = {p.name: p for p in CompetitorProduct.objects.filter(competitor_id=competitor_id, name__in=list(told))}
    fresh = [CompetitorProduct(competitor_id=competitor_id, name=name, compares_with=code or "") for name, code in told.items() if name not in known]  # fmt: skip
    CompetitorProduct.objects.bulk_create(fresh)
    moved = [product for name, product in known.items() if told[name] and told[name] != product.compares_with]
    for product in moved:
        product.compares_with = told[product.name] or ""
    CompetitorProduct.objects.bulk_update(moved, ["compares_with"])
    return {p.name: p.pk for p in [*known.values(), *fresh]}


def _meet(competitor_id: int, segments: Sequence[str]) -> None:
    wanted = {s.strip() for s in segments if s.strip()}
    CompetitorSegment.objects.filter(competitor_id=competitor_id).exclude(segment__in=wanted).delete()
    CompetitorSegment.objects.bulk_create(
        [CompetitorSegment(competitor_id=competitor_id, segment=s) for s in sorted(wanted)], ignore_conflicts=True
    )


def _ensure_free(name: str) -> None:
    ensure(
        not Competitor.objects.filter(name__iexact=name).exists(),
        CompetitorKnown(f"There is a competitor {name} already.", field="name", remedy="Open it under Market."),
    )


def _ensure_member(owner_id: int | None) -> None:
    ensure(
        owner_id is None or Member.objects.filter(pk=owner_id, is_active=True, customer_id__isnull=True).exists(),
        Invalid("There is no such member.", field="owner_id", remedy="Choose somebody of the team."),
    )


def _standing_assessment(assessment_id: int) -> Assessment:
    found = Assessment.objects.select_for_update().filter(pk=assessment_id).first()
    if found is None:
        raise NotFound(f"There is no assessment {assessment_id}.", field="assessment_id")
    ensure(
        found.retired_on is None,
        AssessmentRetired(f"It was retired on {found.retired_on}.", field="assessment_id", remedy="Add a new one."),
    )
    return found
