"""Discounts on fees, and the tax and totals that follow.

Discounts work in order: each is shared over what earlier ones left of the fees it is for, in proportion. Tax is taken on what
is left, exact, and rounded once for the invoice.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from topline.engine.documents import EXACT, PPM, largest_remainder, round_half_away
from topline.engine.rating.tiers import ZERO


@dataclass(frozen=True, slots=True)
class Discounted:
    """Fees after discounts, and what became of each discount."""

    fees: pl.DataFrame
    discounts: pl.DataFrame


def apply_discounts(fees: pl.DataFrame, discounts: pl.DataFrame) -> Discounted:
    """Take discounts off fees.

    fees       one row per fee: invoice_id, fee_id, product str, amount_minor i64 >= 0
    discounts  one row per discount and invoice: invoice_id, discount_id, position i64 (order of application), percent_ppm i64
               or fixed_minor i64 (what is left of it), products list[str] (null: every product), frequency str (once, periods,
               forever), periods_left i64 (null but for periods)
    returns    fees with discount_exact decimal and discount_minor i64 (largest remainder: adds up to what the discounts took);
               discounts with taken_minor, remaining_minor (a fixed one used once keeps what it could not take; else null),
               periods_left and ended bool. A discount that finds nothing left to take is not used up.
    Work: O(fees) a position; positions are few.
    """
    rest = fees.with_columns(_rest=pl.col("amount_minor").cast(EXACT), _row=pl.int_range(pl.len()))
    taken = []
    for position in discounts["position"].unique().sort():
        one = discounts.filter(pl.col("position") == position)
        product = pl.col("products").is_null() | pl.col("product").is_in(pl.col("products"))
        off = (pl.col("amount_minor").cast(EXACT) - pl.col("_rest")).sum().over("invoice_id")
        aimed = rest.with_columns(_off=off).join(one, on="invoice_id").filter(product & (pl.col("_rest") > 0))
        base = pl.col("_rest").sum().over("invoice_id")
        whole = pl.min_horizontal(
            pl.coalesce(pl.col("fixed_minor").cast(EXACT), base * pl.col("percent_ppm").cast(EXACT) / PPM), base
        )
        aimed = aimed.with_columns(_whole=whole, _share=whole * pl.col("_rest") / base)
        # Cents come from the running total, so that roundings of several discounts never add up to more than was taken.
        cents = round_half_away(pl.col("_off") + pl.col("_whole")) - round_half_away(pl.col("_off"))
        taken.append(aimed.group_by("invoice_id", "discount_id").agg(taken_minor=cents.first()))
        rest = rest.join(aimed.select("_row", "_share"), on="_row", how="left", maintain_order="left").with_columns(
            _rest=pl.col("_rest") - pl.col("_share").fill_null(0)
        ).drop("_share")  # fmt: skip
    none = discounts.select("invoice_id", "discount_id", taken_minor=pl.lit(0, dtype=pl.Int64)).clear()
    found = pl.concat(taken) if taken else none
    used = pl.col("taken_minor") > 0
    once, spent = pl.col("frequency") == "once", pl.col("fixed_minor") - pl.col("taken_minor")
    after = (
        discounts.join(found, on=["invoice_id", "discount_id"], how="left", maintain_order="left")
        .with_columns(pl.col("taken_minor").fill_null(0))
        .with_columns(remaining_minor=pl.when(once).then(spent), periods_left=pl.col("periods_left") - used.cast(pl.Int64))
        .with_columns(
            ended=used
            & ((once & (pl.col("remaining_minor").fill_null(0) == 0)) | (pl.col("periods_left") <= 0).fill_null(value=False))
        )
    )
    exact = rest.with_columns(discount_exact=pl.col("amount_minor").cast(EXACT) - pl.col("_rest")).drop("_rest", "_row")
    total = round_half_away(pl.col("discount_exact").sum().over("invoice_id"))
    part = largest_remainder(pl.col("discount_exact"), total, over=["invoice_id"])
    return Discounted(fees=exact.with_columns(discount_minor=part), discounts=after)


@dataclass(frozen=True, slots=True)
class Taxed:
    """Fees with their tax, and one row of totals per invoice."""

    fees: pl.DataFrame
    invoices: pl.DataFrame


def taxed(fees: pl.DataFrame) -> Taxed:
    """Tax on discounted fees, and the invoice's totals.

    fees     one row per fee: invoice_id, amount_minor, discount_exact decimal, discount_minor, tax_rate_ppm i64
    returns  fees with tax_exact and tax_minor (rounded alone, to show beside the fee); invoices with fees_minor,
             discount_minor, net_minor, tax_minor (rounded once from the exact sum), gross_minor and blended_percent (tax over
             net, exact)
    Work: O(fees).
    """
    left = pl.col("amount_minor").cast(EXACT) - pl.col("discount_exact")
    rows = fees.with_columns(tax_exact=left * pl.col("tax_rate_ppm").cast(EXACT) / PPM).with_columns(
        tax_minor=round_half_away(pl.col("tax_exact"))
    )
    totals = (
        rows.group_by("invoice_id", maintain_order=True)
        .agg(
            fees_minor=pl.col("amount_minor").sum(), discount_minor=pl.col("discount_minor").sum(), _tax=pl.col("tax_exact").sum()
        )
        .with_columns(net_minor=pl.col("fees_minor") - pl.col("discount_minor"), tax_minor=round_half_away(pl.col("_tax")))
        .with_columns(gross_minor=pl.col("net_minor") + pl.col("tax_minor"))
    )
    percent = pl.when(pl.col("net_minor") != 0).then(pl.col("_tax") * 100 / pl.col("net_minor").cast(EXACT)).otherwise(ZERO)
    return Taxed(fees=rows, invoices=totals.with_columns(blended_percent=percent).drop("_tax"))
