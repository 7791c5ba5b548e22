"""What the lines of a quote cost and why: catalog, promotions and discounts by hand put through the price waterfall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import polars as pl
from django.db.models import Sum

from topline.catalog import promotions as rules
from topline.catalog import queries as catalog
from topline.catalog.models import Product, Promotion
from topline.engine import price_waterfall
from topline.engine.terms import Terms, instalments
from topline.kernel import bulk
from topline.kernel.errors import Conflict, Invalid, ensure
from topline.kernel.money import Money
from topline.quotes.models import Quote, QuotePromotion

PPM = 1_000_000
MAX_LINES = 200
YEARLY_PPM = 100_000  # assumed: what money costs a year, for terms that let the customer pay later
LINE = {
    "product_id": pl.Int64, "description": pl.String, "quantity_micro": pl.Int64, "periods": pl.Int64, "begins_after_months": pl.Int64, "manual_ppm": pl.Int64,
}  # fmt: skip
USUAL = {"description": "", "quantity_micro": PPM, "periods": 1, "begins_after_months": 0, "manual_ppm": 0}


class BudgetSpent(Conflict):
    """A promotion would cost more than it may."""

    code = "promotion_budget_spent"


class BelowFloor(Conflict):
    """A discount is deeper than anybody may allow."""

    code = "discount_below_floor"


@dataclass(frozen=True)
class Need:
    """A role that must agree: the deepest discount it is asked for, and why, a sentence a line."""

    approver: str
    discount_ppm: int
    why: str

    @property
    def who(self) -> str:
        """The role with its article."""
        return a(self.approver)


@dataclass(frozen=True)
class Priced:
    """lines: as `LINE` with position, unit_price_nano, list_minor, net_minor, pocket_minor, cost_minor, discount_ppm; steps: engine STEP,
    line_id the line's position; promotions: each with what it costs here; need: None inside the agreed band.
    """

    lines: pl.DataFrame
    steps: pl.DataFrame
    promotions: list[tuple[Promotion, int]]
    need: Need | None


def price(
    lines: pl.DataFrame,
    *,
    currency: str,
    on: date,
    price_book_id: int | None,
    codes: Sequence[str],
    segment: str,
    terms: Terms,
    late_ppm: int,
    number: str = "",
) -> Priced:
    """Price lines as of a day.

    lines   LINE, all but product_id optional; number: of the quote, whose own earlier versions do not use up a promotion's budget
    Work: seven statements. Raises: Invalid (no line, unknown product, no list price, a promotion that does not hold), BelowFloor, BudgetSpent.
    """
    rows = _whole(lines)
    products = _products(rows)
    listed = _list_prices(rows, currency, on)
    booked = _booked(rows, currency, on, price_book_id)
    rows = rows.with_columns(
        line_id=pl.col("position"), list_nano=listed, book_nano=booked, terms_ppm=pl.lit(_terms_ppm(terms, on)), fees_ppm=pl.lit(0), late_ppm=pl.lit(late_ppm)
    ).join(products, on="product_id", how="left", maintain_order="left")  # fmt: skip
    own = pl.col("cost_currency") == currency
    times = rows.with_columns(
        quantity_micro=pl.col("quantity_micro") * pl.col("periods"), cost_nano=pl.when(own).then("unit_cost_nano")
    )
    holding = rules.holding(codes, on=on, lock=True)
    applied = _conditions(times, holding, currency, segment)
    made = price_waterfall.waterfall(times, volumes=rules.volumes(rows["product_id"].unique().to_list()), promotions=applied)
    whole = rows.select("position", *LINE, unit_price_nano=listed, family="family", name="name").join(
        made.lines.drop("manual_ppm").rename({"line_id": "position"}), on="position", how="left", maintain_order="left"
    )
    costs = _costs(made.steps, holding)
    _ensure_in_budget(costs, on, currency, number)
    return Priced(whole, made.steps, costs, _need(whole))


def _whole(lines: pl.DataFrame) -> pl.DataFrame:
    ensure(
        0 < lines.height <= MAX_LINES,
        Invalid(f"A quote has 1 to {MAX_LINES} lines.", field="lines", remedy="Add what is offered."),
    )
    given = [pl.col(name) if name in lines.columns else pl.lit(USUAL.get(name)).alias(name) for name in LINE]
    rows = lines.select(column.cast(kind) for column, kind in zip(given, LINE.values(), strict=True))
    rows = rows.with_columns(pl.col(name).fill_null(usual) for name, usual in USUAL.items()).with_row_index("position", offset=1)  # fmt: skip
    for odd, field, sentence in (
        (pl.col("quantity_micro") <= 0, "quantity_micro", "a quantity is more than zero."),
        (~pl.col("periods").is_between(1, 1_200), "periods", "a line has 1 to 1,200 periods."),
        (~pl.col("begins_after_months").is_between(0, 1_200), "begins_after_months", "a line begins within a hundred years."),
        (~pl.col("manual_ppm").is_between(0, PPM), "manual_ppm", "a discount lies between 0 and 100 %."),
        (pl.col("quantity_micro") > 10**14, "quantity_micro", "a quantity is at most a hundred million."),
    ):
        bad = rows.filter(odd)["position"]
        ensure(bad.is_empty(), Invalid(f"Line {bad[0] if bad.len() else ''}: {sentence}", field=field, remedy="Correct it."))
    return rows.with_columns(pl.col("position").cast(pl.Int64))


def _products(rows: pl.DataFrame) -> pl.DataFrame:
    found = bulk.read(
        Product.objects.filter(pk__in=rows["product_id"].drop_nulls().unique().to_list()).values("id", "name", "family", "is_active", "unit_cost_nano", "cost_currency")
    ).rename({"id": "product_id"})  # fmt: skip
    missing = rows.join(found, on="product_id", how="anti")
    ensure(
        missing.is_empty(),
        Invalid(
            f"Line {missing['position'][0] if missing.height else ''} names no product of ours.",
            field="product_id",
            remedy="Choose one of the catalog.",
        ),
    )
    gone = found.filter(~pl.col("is_active"))["name"]
    ensure(
        gone.is_empty(),
        Invalid(f"{gone[0] if gone.len() else ''} is off sale.", field="product_id", remedy="Offer another product."),
    )
    return found


def _list_prices(rows: pl.DataFrame, currency: str, on: date) -> pl.Series:
    """The list price of each line's product; of a bundle without one, what its parts cost."""
    asked = rows.select("product_id", currency=pl.lit(currency), on=pl.lit(on))
    found = catalog.prices(asked)["unit_price_nano"]
    if found.null_count():
        parts = rules.parts(asked["product_id"].filter(found.is_null()).unique().to_list())
        each = (
            catalog.prices(parts.select("product_id", currency=pl.lit(currency), on=pl.lit(on)))["unit_price_nano"]
            if parts.height
            else parts["product_id"]
        )
        sums = parts.with_columns(each=each).group_by("bundle_id").agg(
            _sum=pl.when(pl.col("each").is_not_null().all()).then((pl.col("each").cast(pl.Int128) * pl.col("quantity_micro") // PPM).sum()).cast(pl.Int64)
        )  # fmt: skip
        found = asked.with_columns(found=found).join(sums, left_on="product_id", right_on="bundle_id", how="left", maintain_order="left").select(pl.coalesce("found", "_sum")).to_series()  # fmt: skip
    none = rows.filter(found.is_null())["position"]
    ensure(
        none.is_empty(),
        Invalid(
            f"Line {none[0] if none.len() else ''} has no list price in {currency} on {on}.",
            field="product_id",
            remedy="Set its price in the catalog first.",
        ),
    )
    return found


def _booked(rows: pl.DataFrame, currency: str, on: date, price_book_id: int | None) -> pl.Series:
    """The price of the book where it differs from the list, else null: the step then moves nothing."""
    if price_book_id is None:
        return pl.Series([None] * rows.height, dtype=pl.Int64)
    asked = rows.select(
        "product_id", currency=pl.lit(currency), on=pl.lit(on), price_book_id=pl.lit(price_book_id, dtype=pl.Int64)
    )
    return catalog.prices(asked)["unit_price_nano"]


def _terms_ppm(terms: Terms, on: date) -> int:
    """What waiting for the money costs, as a share of it: days of each part at the yearly cost of money."""
    days = sum((day - on).days * amount for day, amount in instalments(total_minor=PPM, issued_on=on, parts=terms.parts))
    return round(Decimal(days) / 365 * YEARLY_PPM / PPM) if days > 0 else 0


def _conditions(rows: pl.DataFrame, holding: Sequence[Promotion], currency: str, segment: str) -> pl.DataFrame:
    """One row per line and promotion whose conditions hold. Raises: Invalid where one holds for no line."""
    found = []
    for promotion in holding:
        ensure(
            promotion.currency in ("", currency),
            Invalid(f"{promotion.code} holds in {promotion.currency}.", field="promotions", remedy="Take it off the quote."),
        )
        ensure(
            promotion.segment in ("", segment),
            Invalid(f"{promotion.code} holds for {promotion.segment}.", field="promotions", remedy="Take it off the quote."),
        )
        worth = (pl.col("list_nano").cast(pl.Int128) * pl.col("quantity_micro") // (PPM * 10**9)).cast(pl.Int64)
        fits = rows.filter(
            (pl.lit(promotion.product_id is None) | (pl.col("product_id") == (promotion.product_id or 0)))
            & (worth >= (promotion.minimum_minor or 0))
        )
        ensure(
            fits.height > 0,
            Invalid(
                f"{promotion.code} holds for no line of this quote.",
                field="promotions",
                remedy="See its conditions in the catalog.",
            ),
        )
        free = (
            (pl.min_horizontal(pl.lit(promotion.free_periods or 0), "periods") * PPM // pl.col("periods"))
            if promotion.free_periods
            else _of_the_first(promotion)
        )
        found.append(
            fits.select(
                "line_id", code=pl.lit(promotion.code), position=pl.lit(promotion.position, dtype=pl.Int64), percent_ppm=free.cast(pl.Int64),
                fixed_minor=pl.lit(promotion.fixed_minor, dtype=pl.Int64), stacks=pl.lit(promotion.stacks),
            )
        )  # fmt: skip
    return pl.concat(found) if found else pl.DataFrame()


def _of_the_first(promotion: Promotion) -> pl.Expr:
    """The share of a whole line that a percentage takes off, where it holds for the line's first periods alone."""
    if promotion.periods is None or promotion.percent_ppm is None:
        return pl.lit(promotion.percent_ppm)
    return pl.min_horizontal(pl.lit(promotion.periods), "periods") * promotion.percent_ppm // pl.col("periods")


def _costs(steps: pl.DataFrame, holding: Sequence[Promotion]) -> list[tuple[Promotion, int]]:
    """What each promotion takes off; where several stack on a line, equal parts of it, the first one with the odd cents."""
    taken = steps.filter(pl.col("step") == "promotion").select(code=pl.col("note").str.split(" + "), off=-pl.col("amount_minor"))
    each = (
        taken.with_columns(n=pl.col("code").list.len().cast(pl.Int64))
        .with_columns(place=pl.int_ranges(0, "n"))
        .explode("code", "place")
    )
    share = pl.col("off") // pl.col("n") + (pl.col("place") < pl.col("off") % pl.col("n")).cast(pl.Int64)
    sums = dict(each.with_columns(share=share).group_by("code").agg(pl.col("share").sum()).iter_rows())
    return [(promotion, int(sums.get(promotion.code, 0))) for promotion in holding]


def _ensure_in_budget(costs: Sequence[tuple[Promotion, int]], on: date, currency: str, number: str) -> None:
    """What is accepted counts, and what is sent and may still be accepted; one statement a promotion with a budget."""
    for promotion, cost in costs:
        if promotion.budget_minor is not None:
            used = spent(promotion.pk, on=on, but=number)
            ensure(
                used + cost <= promotion.budget_minor,
                BudgetSpent(
                    f"{promotion.code} may cost {Money(promotion.budget_minor, currency)}; {Money(used, currency)} is taken, this quote needs {Money(cost, currency)}.",
                    field="promotions", remedy="Take it off the quote, or begin another promotion.",
                ),
            )  # fmt: skip


def ensure_promotions(quote: Quote, *, on: date) -> None:
    """The promotions of a written quote still hold on a day and are within their budgets; they are locked until the end of the transaction.

    Raises: Invalid, BudgetSpent.
    """
    uses = list(QuotePromotion.objects.filter(quote=quote).select_related("promotion").order_by("promotion__position"))
    rules.holding([use.promotion.code for use in uses], on=on, lock=True)
    _ensure_in_budget([(use.promotion, use.cost_minor) for use in uses], on, quote.currency, quote.number)


def need_of(quote: Quote) -> Need | None:
    """Who must agree to a written quote under the bands of now. Two statements. Raises: BelowFloor."""
    columns = ["position", "manual_ppm", "discount_ppm", "net_minor", "cost_minor", "product__name", "product__family"]
    return _need(
        bulk.read(quote.lines.order_by("position").values(*columns)).rename(
            {"product__name": "name", "product__family": "family"}
        )
    )


def a(role: str) -> str:
    """A role with its article: An Owner, A Sales manager."""
    return f"{'An' if role[:1] in 'AEIOU' else 'A'} {role}"


def covers(role: str, needed: str) -> bool:
    """Whether what one role agreed to needs no other's word."""
    return rules.APPROVERS.index(role) >= rules.APPROVERS.index(needed)


def spent(promotion_id: int, *, on: date, but: str = "") -> int:
    """What a promotion costs in quotes that are accepted, or sent and still valid on a day; those of one number left out. One statement."""
    uses = QuotePromotion.objects.filter(promotion_id=promotion_id).exclude(quote__number=but)
    live = uses.filter(quote__state=Quote.State.SENT, quote__valid_until__gte=on) | uses.filter(quote__state=Quote.State.ACCEPTED)
    return int(live.aggregate(s=Sum("cost_minor"))["s"] or 0)


def _need(lines: pl.DataFrame) -> Need | None:
    """The highest role that some line needs. Below cost an Owner agrees, however small the discount. Raises: BelowFloor."""
    known = rules.bands()
    if not known:
        return None
    usual = known.get("", pl.DataFrame(schema=rules.BAND))
    found = pl.concat(
        [
            price_waterfall.approvals(part, known.get(str(family), usual)).join(part.select(line_id="position", discount_ppm="discount_ppm", name="name", manual_ppm="manual_ppm"), on="line_id")
            for (family,), part in lines.with_columns(line_id="position").partition_by("family", as_dict=True).items()
        ]
    ).sort("line_id")  # fmt: skip
    deep = found.filter(pl.col("approver").is_null())
    if deep.height:
        row = deep.row(0, named=True)
        raise BelowFloor(
            f"Line {row['line_id']} ({row['name']}) is {_percent(row['discount_ppm'])} off list, below the floor that anybody may allow.",
            field="manual_ppm",
            remedy="Give less off by hand.",
        )
    by_cost = pl.col("below_cost") & (pl.col("manual_ppm") > 0)
    asked = found.with_columns(
        approver=pl.when(by_cost).then(pl.lit(rules.APPROVERS[-1])).otherwise("approver"), by_cost=by_cost
    ).filter(pl.col("approver") != "")
    if asked.is_empty():
        return None
    rank = {role: n for n, role in enumerate(rules.APPROVERS)}
    highest = max(asked["approver"].to_list(), key=lambda role: rank[role])
    why = " ".join(
        f"Line {r['line_id']} ({r['name']}): {_percent(r['discount_ppm'])} off list{', below its cost' if r['by_cost'] else ''}."
        for r in asked.head(8).to_dicts()
    )
    return Need(highest, int(asked["discount_ppm"].max() or 0), why[:1000])  # type: ignore[arg-type]


def _percent(ppm: int) -> str:
    return f"{Decimal(ppm) / 10_000:.1f} %"
