"""Step three: the transaction price of what is sold by periods is what they are billed: less what is free, and less what discounts take off.

Both come from the code that bills (`charges.desired`, `charges.discounted`). A discount is allocated to what it concerns (IFRS 15.81-82): one of the whole
contract that holds from its beginning to all of it, by what each item costs alone; one of an item or product, and one that begins later, to the items
whose charges it lowers, from the first period that it lowers to the end of what was agreed. A trial or free period of a contract with an end is a
discount of its item like others, so that its price is earned over the free days too; without an end nothing is earned before it costs something.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.engine import charges
from topline.engine.documents import EXACT

TAKEN: dict[str, pl.DataType | type[pl.DataType]] = {
    "item_id": pl.Int64, "full_start": pl.Date, "discount_id": pl.Int64, "is_shared": pl.Boolean, "taken_minor": pl.Int64,
}  # fmt: skip
USED: dict[str, pl.DataType | type[pl.DataType]] = {
    "item_id": pl.Int64, "full_start": pl.Date, "contract_id": pl.Int64, "product_id": pl.Int64, "start": pl.Date, "due": pl.Date, "net_minor": pl.Int64,
}  # fmt: skip
PARTS: dict[str, pl.DataType | type[pl.DataType]] = {"item_id": pl.Int64, "anchor": pl.Date, "position": pl.Int64, "amount_minor": pl.Int64, "bill_on": pl.Date, "is_dropped": pl.Boolean}  # fmt: skip


def paid(items: pl.DataFrame) -> pl.DataFrame:
    """Items from the first day on that costs something (free_until, where there is that column)."""
    return items.with_columns(start=pl.max_horizontal("start", "free_until")) if "free_until" in items.columns else items


def taken(
    fees: pl.DataFrame, items: pl.DataFrame, discounts: pl.DataFrame, *, used: pl.DataFrame, parts: pl.DataFrame
) -> pl.DataFrame:
    """What discounts take off charges: one row per charge and discount (TAKEN; is_shared: it concerns the whole contract from its beginning).

    fees       of `charges.desired`, of all fees of these contracts
    items      contract_id, item_id, product_id, in_advance, term_start
    discounts  in the order in which they are taken, see `charges.DISCOUNTS`
    used       charges of what was used, see USED
    parts      of billing schedules that take the place of the charge of an item: see PARTS; what is taken off them is told of the item's only period
    Work: see `charges.discounted`.
    """  # fmt: skip
    if discounts.is_empty():
        return pl.DataFrame(schema=TAKEN)
    split = parts.join(items, on="item_id", how="semi")
    due = charges.scheduled(split.filter(~pl.col("is_dropped")), as_of=date.max)
    every = pl.concat([fees.join(split, on="item_id", how="anti"), due.select(fees.columns)])
    ours = every.join(items.select("item_id", "contract_id", "product_id", "in_advance"), on="item_id", maintain_order="left")
    wanted = pl.concat([ours.with_columns(due=charges.DUE), used], how="diagonal_relaxed").select(*USED)
    found = charges.discounted(wanted, discounts)[1]
    begun = items.select("contract_id", "term_start").unique("contract_id")
    whole = pl.col("only_item_ids").is_null() & pl.col("only_product_id").is_null() & (pl.col("anchor") <= pl.col("term_start"))
    kinds = discounts.join(begun, on="contract_id", how="left").select("discount_id", is_shared=whole.fill_null(value=False))
    first = split.select("item_id", _only="anchor").unique("item_id")
    told = found.join(kinds, on="discount_id", how="left").join(first, on="item_id", how="left")
    return told.with_columns(full_start=pl.coalesce("_only", "full_start")).select(*TAKEN)


def dropped(parts: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """What will never be billed of items because parts of their schedules were dropped, as if a discount had taken it (TAKEN)."""
    gone = parts.filter("is_dropped").join(items, on="item_id", how="semi")
    return gone.select(
        "item_id",
        full_start="anchor",
        discount_id=pl.lit(-1, dtype=pl.Int64),
        is_shared=pl.lit(value=False),
        taken_minor="amount_minor",
    )


def free(made: pl.DataFrame, paid_for: pl.DataFrame) -> pl.DataFrame:
    """What items would have been charged for days that are free, as if a discount had taken it (TAKEN); made, paid_for: their charges with and without those days."""
    rows = made.join(paid_for.select(*charges.KEY, _paid="net_minor"), on=charges.KEY, how="left").with_columns(
        taken_minor=pl.col("net_minor") - pl.col("_paid").fill_null(0)
    )
    return rows.filter(pl.col("taken_minor") != 0).select(
        *charges.KEY, pl.lit(0, dtype=pl.Int64).alias("discount_id"), pl.lit(value=False).alias("is_shared"), "taken_minor"
    )


def less(rows: pl.DataFrame, reductions: pl.DataFrame) -> pl.DataFrame:
    """Periods of items at what they are sold for: sold_minor less what was taken off each; ssp, by which the price is shared, less what concerns the item alone.

    rows        one row per item and period: contract_id, item_id, full_start, ssp, sold_minor (before)
    reductions  see TAKEN
    Work: a join of periods and the few discounts of their item.
    """
    if reductions.is_empty():
        return rows
    sums = reductions.group_by(charges.KEY).agg(_off=pl.col("taken_minor").sum())
    all_sold, all_alone = (pl.col(c).sum().over("contract_id").cast(EXACT) for c in ("sold_minor", "ssp"))
    own = reductions.filter(~pl.col("is_shared")).group_by("item_id", "discount_id").agg(pl.col("taken_minor").sum(), since=pl.col("full_start").min())  # fmt: skip
    pieces = rows.with_columns(
        _scale=pl.when(all_sold > 0).then(all_alone).otherwise(1) / pl.when(all_sold > 0).then(all_sold).otherwise(1)
    )
    spread = (
        pieces.select("item_id", "full_start", "ssp", "_scale")
        .join(own, on="item_id")
        .filter(pl.col("full_start") >= pl.col("since"))
    )
    base = pl.col("ssp").sum().over("item_id", "discount_id")
    share = pl.col("ssp") / pl.when(base > 0).then(base).otherwise(1)
    lower = spread.with_columns(_lower=share * pl.col("taken_minor").cast(EXACT) * pl.col("_scale"))
    found = lower.group_by(charges.KEY).agg(pl.col("_lower").sum())
    both = rows.join(sums, on=charges.KEY, how="left", maintain_order="left").join(
        found, on=charges.KEY, how="left", maintain_order="left"
    )
    return both.with_columns(
        sold_minor=pl.col("sold_minor") - pl.col("_off").fill_null(0),
        ssp=(pl.col("ssp") - pl.col("_lower").fill_null(0)).clip(0),
    ).drop("_off", "_lower")
