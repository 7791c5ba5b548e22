"""From list price to pocket price: every step in order, with its base, so that a price explains itself.

List, price book, volume, promotion, manual discount make the net price that the customer sees; terms, fees and the expected cost of
late payment come off behind the invoice and leave the pocket price. A percentage is of what the step before it left, so stacked
discounts multiply. Amounts come from the running total, which is rounded once a step: steps always add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from topline.engine.documents import EXACT, PPM, round_half_away
from topline.kernel.errors import Invalid, ensure

ON_INVOICE: Final = ("list", "price_book", "volume", "promotion", "manual")
OFF_INVOICE: Final = ("terms", "fees", "late_payment")
STEP: Final = {
    "line_id": pl.Int64, "position": pl.Int64, "step": pl.String, "note": pl.String, "base_minor": pl.Int64, "amount_minor": pl.Int64,
    "running_minor": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Waterfall:
    """What the steps made of each line.

    steps   STEP: one row per line and step that moved the price, and always the first; base_minor is what the step before left,
            amount_minor what this one changes (a reduction is negative), running_minor what it leaves
    lines   one row per line in their order: line_id, list_minor, net_minor, pocket_minor, cost_minor (null where unknown),
            discount_ppm i64 (net off list), manual_ppm i64, margin_minor (pocket - cost)
    """

    steps: pl.DataFrame
    lines: pl.DataFrame


def waterfall(lines: pl.DataFrame, *, volumes: pl.DataFrame | None = None, promotions: pl.DataFrame | None = None) -> Waterfall:
    """Price lines step by step.

    lines       one row per line: line_id i64, product_id i64, quantity_micro i64 >= 0, list_nano i64 >= 0; optional book_nano (the price
                of a price book in its stead), manual_ppm (discount by hand), cost_nano, and off the invoice, of net: terms_ppm,
                fees_ppm, late_ppm
    volumes     product_id, from_micro i64, discount_ppm i64: the highest step that the quantity reaches counts
    promotions  those whose conditions hold, one row per line and promotion: line_id, code str, position i64 (order of application),
                percent_ppm i64 or fixed_minor i64, stacks bool. Where one that does not stack meets others, whichever leaves the customer
                the lower price counts: it alone, or all that stack.
    A promotion never takes a price below zero. Raises: Invalid (a share outside 0 to 100 %, a negative quantity or price).
    Work: O(lines + steps), sorts only.
    """
    optional = ("book_nano", "manual_ppm", "cost_nano", "terms_ppm", "fees_ppm", "late_ppm")
    missing = [pl.lit(None, dtype=pl.Int64).alias(c) for c in optional if c not in lines.columns]
    rows = lines.with_columns(missing).with_columns(
        pl.col(c).fill_null(0) for c in ("manual_ppm", "terms_ppm", "fees_ppm", "late_ppm")
    )
    _ensure_sensible(rows)
    listed = _amount("list_nano")
    booked = pl.when(pl.col("book_nano").is_null()).then(listed).otherwise(_amount("book_nano"))
    rows = rows.with_columns(after_list=listed, after_price_book=booked)
    rows = _with_volume(rows, volumes).with_columns(after_volume=_less("after_price_book", "volume_ppm"))
    rows = _with_promotions(rows, promotions).with_columns(after_manual=_less("after_promotion", "manual_ppm"))
    net = round_half_away(pl.col("after_manual")).cast(EXACT)
    rows = rows.with_columns(after_terms=pl.col("after_manual") - net * _share("terms_ppm"))
    rows = rows.with_columns(after_fees=pl.col("after_terms") - net * _share("fees_ppm"))
    rows = rows.with_columns(after_late_payment=pl.col("after_fees") - net * _share("late_ppm"))
    whole = rows.with_columns(round_half_away(pl.col(f"after_{step}")) for step in (*ON_INVOICE, *OFF_INVOICE))
    return Waterfall(_steps(whole), _lines(whole))


def approvals(lines: pl.DataFrame, bands: pl.DataFrame) -> pl.DataFrame:
    """Who must agree to each line's discount by hand: the lowest band that reaches as far; inside the first one nobody.

    lines    line_id, discount_ppm (of list), manual_ppm, net_minor, cost_minor
    bands    up_to_ppm i64 (the largest discount off list that the approver may allow), approver str ("" for none needed)
    returns  line_id, approver str (null: deeper than any band, so nobody may), below_cost bool
    A line without a discount by hand was priced by rules that were agreed before, and needs nobody.
    """
    ordered = bands.sort("up_to_ppm")
    asked = lines.select("line_id", "discount_ppm", "manual_ppm", below_cost=(pl.col("net_minor") < pl.col("cost_minor")).fill_null(value=False))  # fmt: skip
    found = (
        asked.with_row_index("_row")
        .sort("discount_ppm")
        .join_asof(ordered, left_on="discount_ppm", right_on="up_to_ppm", strategy="forward")
        .sort("_row")
    )
    return found.select(
        "line_id", approver=pl.when(pl.col("manual_ppm") == 0).then(pl.lit("")).otherwise("approver"), below_cost="below_cost"
    )


def _ensure_sensible(rows: pl.DataFrame) -> None:
    for column in ("manual_ppm", "terms_ppm", "fees_ppm", "late_ppm"):
        ensure(
            rows[column].is_between(0, PPM).all(),
            Invalid("A discount or cost lies between 0 and 100 %.", field=column, remedy="Use a share such as 10 %."),
        )
    for column in ("quantity_micro", "list_nano", "book_nano"):
        ensure(
            rows.filter(pl.col(column) < 0).is_empty(),
            Invalid("A quantity and a price are not negative.", field=column, remedy="Take the line out instead."),
        )


def _amount(price: str) -> pl.Expr:
    """Quantity x unit price in minor units; the product of millionths and billionths has 15 decimals and is exact."""
    return (pl.col("quantity_micro").cast(EXACT) / 10**6) * (pl.col(price).cast(EXACT) / 10**9)


def _share(ppm: str) -> pl.Expr:
    return pl.col(ppm).cast(EXACT) / PPM


def _less(base: str, ppm: str) -> pl.Expr:
    return pl.col(base) - pl.col(base) * _share(ppm)


def _with_volume(rows: pl.DataFrame, volumes: pl.DataFrame | None) -> pl.DataFrame:
    if volumes is None or volumes.is_empty():
        return rows.with_columns(volume_ppm=pl.lit(0, dtype=pl.Int64))
    reached = (
        rows.select("line_id", "product_id", "quantity_micro")
        .join(volumes, on="product_id")
        .filter(pl.col("from_micro") <= pl.col("quantity_micro"))
        .sort("from_micro")
        .group_by("line_id")
        .agg(volume_ppm=pl.col("discount_ppm").last())
    )
    return rows.join(reached, on="line_id", how="left", maintain_order="left").with_columns(pl.col("volume_ppm").fill_null(0))


def _with_promotions(rows: pl.DataFrame, promotions: pl.DataFrame | None) -> pl.DataFrame:
    """Adds after_promotion and codes: the best of all that stack together and of each that stands alone."""
    before = pl.col("after_volume")
    if promotions is None or promotions.is_empty():
        return rows.with_columns(after_promotion=before, codes=pl.lit(""))
    alone = (
        promotions.filter(~pl.col("stacks"))
        .join(rows, on="line_id")
        .select("line_id", codes="code", after_promotion=_taken(before))
    )
    together = rows.select("line_id", codes=pl.lit(""), after_promotion=before)
    stacking = promotions.filter("stacks")
    for position in stacking["position"].unique().sort():
        one = stacking.filter(pl.col("position") == position).select("line_id", "code", "percent_ppm", "fixed_minor")
        ensure(
            one["line_id"].is_unique().all(),
            Invalid("Two promotions of a line have the same place in the order.", field="position", remedy="Give each its own."),
        )
        met, joint = pl.col("code").is_not_null(), pl.when(pl.col("codes") == "").then(pl.lit("")).otherwise(pl.lit(" + "))
        together = together.join(one, on="line_id", how="left", maintain_order="left").select(
            "line_id",
            codes=pl.when(met).then(pl.concat_str("codes", joint, "code")).otherwise("codes"),
            after_promotion=pl.when(met).then(_taken(pl.col("after_promotion"))).otherwise("after_promotion"),
        )
    best = pl.concat([together, alone]).sort("line_id", "after_promotion", "codes").unique("line_id", keep="first")
    return rows.join(best, on="line_id", how="left", maintain_order="left")


def _taken(base: pl.Expr) -> pl.Expr:
    """What one promotion leaves of a base, never less than nothing."""
    off = pl.coalesce(pl.col("fixed_minor").cast(EXACT), base * (pl.col("percent_ppm").cast(EXACT) / PPM))
    return base - pl.min_horizontal(off, base)


def _steps(whole: pl.DataFrame) -> pl.DataFrame:
    names = (*ON_INVOICE, *OFF_INVOICE)
    notes = {
        "promotion": pl.col("codes"), "volume": _percent("volume_ppm"), "manual": _percent("manual_ppm"), "terms": _percent("terms_ppm"),
        "fees": _percent("fees_ppm"), "late_payment": _percent("late_ppm"),
    }  # fmt: skip
    frames = []
    for position, name in enumerate(names):
        before = pl.lit(0, dtype=pl.Int64) if position == 0 else pl.col(f"after_{names[position - 1]}")
        after = pl.col(f"after_{name}")
        frames.append(
            whole.with_row_index("_row").select(
                "_row", "line_id", position=pl.lit(position, dtype=pl.Int64), step=pl.lit(name), note=notes.get(name, pl.lit("")),
                base_minor=before, amount_minor=after - before, running_minor=after,
            )
        )  # fmt: skip
    kept = pl.concat(frames).filter((pl.col("position") == 0) | (pl.col("amount_minor") != 0))
    return kept.sort("_row", "position").select(pl.col(name).cast(kind) for name, kind in STEP.items())


def _percent(ppm: str) -> pl.Expr:
    return pl.format("{} %", (pl.col(ppm).cast(EXACT) / 10_000).cast(pl.Float64))


def _lines(whole: pl.DataFrame) -> pl.DataFrame:
    listed, net = pl.col("after_list"), pl.col("after_manual")
    off = pl.when(listed > 0).then(round_half_away((listed - net).cast(EXACT) / listed.cast(EXACT) * PPM)).otherwise(0)
    cost = round_half_away(_amount("cost_nano"))
    return whole.select(
        "line_id", list_minor=listed, net_minor=net, pocket_minor="after_late_payment", cost_minor=cost,
        discount_ppm=off, manual_ppm="manual_ppm", margin_minor=pl.col("after_late_payment") - cost,
    )  # fmt: skip
