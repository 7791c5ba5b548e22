"""Rules that move a price: promotions, steps by volume, bundles, and how far somebody may go by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

import polars as pl
from django.db.models import Max, Q

from topline.catalog.models import BundlePart, DiscountBand, Product, Promotion, VolumeStep
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure

PPM = 1_000_000
APPROVERS = ("", "Sales manager", "Owner")  # roles that may agree to a discount, the least first
MAX_STEPS = 50
BAND = {"up_to_ppm": pl.Int64, "approver": pl.String}
VOLUME = {"product_id": pl.Int64, "from_micro": pl.Int64, "discount_ppm": pl.Int64}
PART = {"bundle_id": pl.Int64, "product_id": pl.Int64, "quantity_micro": pl.Int64}


class PromotionCodeTaken(Conflict):
    """Another promotion has the code."""

    code = "promotion_code_taken"


@action("catalog.add_promotion")
def add_promotion(
    *,
    actor: Actor,
    code: str,
    name: str,
    kind: str,
    starts_on: date,
    ends_on: date | None = None,
    percent_ppm: int | None = None,
    fixed_minor: int | None = None,
    free_periods: int | None = None,
    periods: int | None = None,
    currency: str = "",
    product_id: int | None = None,
    segment: str = "",
    minimum_minor: int | None = None,
    budget_minor: int | None = None,
    stacks: bool = False,
) -> int:
    """Begin a promotion; it applies after those that were begun before it. Returns its id.

    periods  of a percentage: of how many of a line's first periods; None: of all

    Raises: Invalid (code or name missing, nothing or several things given, days, money without currency), PromotionCodeTaken, NotFound.
    """
    code = code.strip().upper()
    ensure(
        bool(code), Invalid("A promotion needs a code.", field="code", remedy="Customers and sales people name it by its code.")
    )
    ensure(bool(name.strip()), Invalid("A promotion needs a name.", field="name", remedy="Fill it in."))
    given = {"percent": percent_ppm, "fixed": fixed_minor, "free_periods": free_periods}
    ensure(kind in given, Invalid(f"{kind!r} is no kind of promotion.", field="kind", remedy=f"Use one of {', '.join(given)}."))
    field = {"percent": "percent_ppm", "fixed": "fixed_minor", "free_periods": "free_periods"}[kind]
    most = PPM if kind == "percent" else 10**14
    ensure(
        0 < (given[kind] or 0) <= most,
        Invalid("What does it give?", field=field, remedy="A share up to 100 %, an amount, or a number of periods."),
    )
    others = [name for name, value in given.items() if name != kind and value is not None]
    ensure(not others, Invalid("A promotion gives one thing.", field=others[0] if others else "", remedy="Begin two promotions."))
    ensure(periods is None or (kind == "percent" and 1 <= periods <= 1_200), Invalid("Only a percentage holds for so many periods, 1 to 1,200.", field="periods", remedy="Leave them out."))  # fmt: skip
    ensure(
        ends_on is None or ends_on > starts_on,
        Invalid("It ends before it begins.", field="ends_on", remedy="Correct one of the two days."),
    )
    for field, amount in (("minimum_minor", minimum_minor), ("budget_minor", budget_minor)):
        ensure(amount is None or amount > 0, Invalid("This amount is more than zero, or left out.", field=field))
    if any(amount is not None for amount in (fixed_minor, minimum_minor, budget_minor)):
        money.ensure_currency(currency)
    ensure(
        not Promotion.objects.filter(code=code).exists(),
        PromotionCodeTaken(f"There is a promotion {code} already.", field="code", remedy="Use another code."),
    )
    if product_id is not None and not Product.objects.filter(pk=product_id).exists():
        raise NotFound(f"There is no product {product_id}.", field="product_id")
    last = Promotion.objects.aggregate(last=Max("position"))["last"] or 0
    made = Promotion.objects.create(
        code=code, name=name.strip(), kind=kind, percent_ppm=percent_ppm, fixed_minor=fixed_minor, free_periods=free_periods, periods=periods, currency=currency, starts_on=starts_on,
        ends_on=ends_on, product_id=product_id, segment=segment.strip(), minimum_minor=minimum_minor, budget_minor=budget_minor, position=last + 1, stacks=stacks,
        created_at=clock.now(),
    )  # fmt: skip
    changed("promotion", made.pk, after={"code": code, kind: given[kind], "starts_on": starts_on, "ends_on": ends_on})
    return made.pk


@action("catalog.stop_promotion")
def stop_promotion(*, actor: Actor, promotion_id: int, on: date) -> int:
    """End a promotion from a day on; what was quoted with it before stays. Stopping it again changes nothing. Returns its id. Raises: NotFound."""
    found = Promotion.objects.select_for_update().filter(pk=promotion_id).first()
    if found is None:
        raise NotFound(f"There is no promotion {promotion_id}.", field="promotion_id")
    if found.stopped_on is None:
        found.stopped_on = on
        found.save(update_fields=["stopped_on"])
        changed("promotion", found.pk, after={"stopped_on": on})
    return found.pk


@action("catalog.set_bands")
def set_bands(*, actor: Actor, bands: Sequence[tuple[int, str]], family: str = "") -> int:
    """Say how far off list discounts by hand may go, and who must agree; returns how many bands there are now.

    bands   largest discount (millionths of list) and the role that must agree ("" : nobody); deeper than the last is below the floor.
            None takes the bands of the family away, so that the general ones hold.
    Raises: Invalid (not a share, twice, an unknown role, a deeper band that a lesser role may allow).
    """
    ordered = sorted(bands)
    depths = [depth for depth, _ in ordered]
    ensure(
        all(0 <= d <= PPM for d in depths),
        Invalid("A discount lies between 0 and 100 %.", field="bands", remedy="Use a share such as 10 %."),
    )
    ensure(
        len(depths) == len(set(depths)), Invalid("Two bands end at the same discount.", field="bands", remedy="Keep one of them.")
    )
    ensure(len(depths) <= MAX_STEPS, Invalid(f"There are at most {MAX_STEPS} bands.", field="bands"))
    unknown = [role for _, role in ordered if role not in APPROVERS]
    ensure(
        not unknown,
        Invalid(
            f"{', '.join(unknown)} cannot agree to discounts.",
            field="bands",
            remedy=f"Use {' or '.join(filter(None, APPROVERS))}.",
        ),
    )
    ranks = [APPROVERS.index(role) for _, role in ordered]
    ensure(
        ranks == sorted(ranks),
        Invalid("A deeper discount needs at least the same role.", field="bands", remedy="Order the roles by depth."),
    )
    before = list(DiscountBand.objects.filter(family=family).order_by("up_to_ppm").values_list("up_to_ppm", "approver"))
    DiscountBand.objects.filter(family=family).delete()
    DiscountBand.objects.bulk_create([DiscountBand(family=family, up_to_ppm=depth, approver=role) for depth, role in ordered])
    changed("discount_bands", 1, before={family or "all": before}, after={family or "all": ordered})
    return len(ordered)


@action("catalog.set_volume_steps")
def set_volume_steps(*, actor: Actor, product_id: int, steps: Sequence[tuple[int, int]]) -> int:
    """Say what comes off a product's price from which quantity on; replaces the steps there were. Returns how many there are.

    steps   quantity in millionths of a unit, discount in millionths. Raises: NotFound, Invalid (not positive, not a share, twice).
    """
    _product(product_id)
    ensure(len(steps) <= MAX_STEPS, Invalid(f"There are at most {MAX_STEPS} steps.", field="steps"))
    ensure(
        all(q > 0 and 0 <= d <= PPM for q, d in steps),
        Invalid("A step begins above zero and takes up to 100 %.", field="steps", remedy="Correct it."),
    )
    ensure(
        len({q for q, _ in steps}) == len(steps),
        Invalid("Two steps begin at the same quantity.", field="steps", remedy="Keep one of them."),
    )
    VolumeStep.objects.filter(product_id=product_id).delete()
    VolumeStep.objects.bulk_create([VolumeStep(product_id=product_id, from_micro=q, discount_ppm=d) for q, d in sorted(steps)])
    changed("product", product_id, after={"volume_steps": sorted(steps)})
    return len(steps)


@action("catalog.set_parts")
def set_parts(*, actor: Actor, product_id: int, parts: Sequence[tuple[int, int]]) -> int:
    """Make a product a bundle of others, or with no parts a product of its own again; returns how many parts it has.

    parts   product id and quantity in millionths of a unit. Raises: NotFound, Invalid (of itself, twice, of a bundle, not positive).
    """
    _product(product_id)
    ids = [pk for pk, _ in parts]
    ensure(product_id not in ids, Invalid("A bundle is no part of itself.", field="parts", remedy="Take it out."))
    ensure(
        len(ids) == len(set(ids)) <= MAX_STEPS,
        Invalid("A product is a part once.", field="parts", remedy="Give it the quantity instead."),
    )
    ensure(all(q > 0 for _, q in parts), Invalid("A part has a quantity above zero.", field="parts"))
    missing = set(ids) - set(Product.objects.filter(pk__in=ids).values_list("id", flat=True))
    ensure(not missing, NotFound(f"There is no product {min(missing, default=0)}.", field="parts"))
    nested = BundlePart.objects.filter(Q(bundle_id__in=ids) | Q(product_id=product_id)).exists() and bool(ids)
    ensure(not nested, Invalid("A bundle is made of products, not of bundles.", field="parts", remedy="Name the products in it."))
    BundlePart.objects.filter(bundle_id=product_id).delete()
    BundlePart.objects.bulk_create([BundlePart(bundle_id=product_id, product_id=pk, quantity_micro=q) for pk, q in parts])
    changed("product", product_id, after={"parts": list(parts)})
    return len(parts)


# --- reads ---
def share(text: str, *, field: str) -> int:
    """Per cent as people write it, in millionths: `12.5` is 125,000. Raises: Invalid."""
    try:
        percent = Decimal(text.replace("%", "").replace(",", ".").strip())
    except InvalidOperation:
        percent = Decimal(-1)
    ensure(
        percent.is_finite() and 0 <= percent <= 100,
        Invalid(f"{text!r} is no share between 0 and 100 %.", field=field, remedy="Write per cent, such as 12.5."),
    )
    return int((percent * 10_000).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def holding(codes: Sequence[str], *, on: date, lock: bool = False) -> list[Promotion]:
    """The promotions of some codes, in the order in which they apply. One statement.

    Raises: Invalid where one is unknown, has not begun, is over or was stopped on the day.
    """
    wanted = [code.strip().upper() for code in codes if code.strip()]
    rows = Promotion.objects.select_for_update() if lock else Promotion.objects.all()
    found = list(rows.filter(code__in=wanted).order_by("position"))
    unknown = sorted(set(wanted) - {p.code for p in found})
    ensure(
        not unknown,
        Invalid(f"There is no promotion {', '.join(unknown)}.", field="promotions", remedy="See the promotions in the catalog."),
    )
    for promotion in found:
        over = min((day for day in (promotion.ends_on, promotion.stopped_on) if day), default=None)
        ensure(
            promotion.starts_on <= on,
            Invalid(
                f"{promotion.code} begins on {promotion.starts_on}.", field="promotions", remedy="Quote it from that day on."
            ),
        )
        ensure(
            over is None or on < over,
            Invalid(f"{promotion.code} ended on {over}.", field="promotions", remedy="Take it off the quote."),
        )
    return found


def running(on: date) -> list[Promotion]:
    """Promotions that may be named on a day, in the order in which they apply. One statement."""
    found = Promotion.objects.filter(
        Q(ends_on__isnull=True) | Q(ends_on__gt=on), Q(stopped_on__isnull=True) | Q(stopped_on__gt=on), starts_on__lte=on
    )
    return list(found.order_by("position")[:MAX_STEPS])


def bands() -> dict[str, pl.DataFrame]:
    """The bands by family ("" : all others): up_to_ppm, approver. One statement."""
    rows = bulk.read(DiscountBand.objects.order_by("family", "up_to_ppm").values("family", *BAND))
    return {str(family): frame.select(*BAND) for (family,), frame in rows.partition_by("family", as_dict=True).items()}


def volumes(product_ids: Sequence[int]) -> pl.DataFrame:
    """Steps by volume of some products: product_id, from_micro, discount_ppm. One statement."""
    return bulk.read(VolumeStep.objects.filter(product_id__in=product_ids).order_by("product_id", "from_micro").values(*VOLUME))


def parts(product_ids: Sequence[int]) -> pl.DataFrame:
    """What some products are bundles of: bundle_id, product_id, quantity_micro. One statement."""
    return bulk.read(BundlePart.objects.filter(bundle_id__in=product_ids).order_by("id").values(*PART))


def _product(product_id: int) -> Product:
    found = Product.objects.select_for_update().filter(pk=product_id).first()
    if found is None:
        raise NotFound(f"There is no product {product_id}.", field="product_id")
    return found
