"""Step four: the transaction price is shared over the obligations by what each would cost alone."""

from __future__ import annotations

import polars as pl

from topline.engine import periods
from topline.engine.documents import EXACT, largest_remainder
from topline.engine.rating.prices import complete


def allocate(obligations: pl.DataFrame) -> pl.DataFrame:
    """Share each contract's price over its obligations.

    obligations  one row per obligation: contract_id, obligation_id, price_minor i64 (of the contract, the same on each row), ssp
                 decimal minor units (stand-alone selling price; null on the residual one); where it applies
                 bundle str and bundle_price decimal (goods regularly sold together at this price: they bear its discount),
                 residual bool (price highly variable: it takes what the others leave), ssp_low and ssp_high decimal (the range
                 in which a residual is believed)
    returns      obligations with weight decimal (the price it is shared by), exact decimal, allocated_minor i64 (largest remainder:
                 a contract's parts add up to its price) and residual_acceptable bool or null; allocated_minor and exact of a
                 contract whose residual is not acceptable are null, so that the price is estimated in another way
    Source: IFRS 15.73-86, ASC 606-10-32-28 to 41. Work: O(n).
    """
    optional = [c for c in ("bundle", "residual") if c not in obligations.columns]
    kinds = {"bundle": pl.lit(None, dtype=pl.String), "residual": pl.lit(value=False)}
    rows = complete(obligations, ["ssp", "bundle_price", "ssp_low", "ssp_high"]).with_columns(kinds[c].alias(c) for c in optional)
    in_bundle = pl.col("ssp") * pl.col("bundle_price") / pl.col("ssp").sum().over("contract_id", "bundle")
    alone = (
        pl.when(pl.col("residual")).then(pl.lit(0, dtype=EXACT)).when(pl.col("bundle").is_null()).then("ssp").otherwise(in_bundle)
    )
    price = pl.col("price_minor").cast(EXACT)
    rest = price - pl.col("_alone").sum().over("contract_id")
    rows = rows.with_columns(_alone=alone).with_columns(weight=pl.when(pl.col("residual")).then(rest).otherwise("_alone"))
    believed = (rest >= pl.col("ssp_low").fill_null(0)) & (rest <= pl.col("ssp_high")).fill_null(value=True)
    rows = rows.with_columns(residual_acceptable=pl.when(pl.col("residual")).then(believed))
    exact = price * pl.col("weight") / pl.col("weight").sum().over("contract_id")
    part = largest_remainder(pl.col("exact"), pl.col("price_minor"), over=["contract_id"])
    sound = pl.col("residual_acceptable").fill_null(value=True).all().over("contract_id")
    return (
        rows.with_columns(exact=exact)
        .with_columns(allocated_minor=part)
        .with_columns(pl.when(sound).then(pl.col(c)).alias(c) for c in ("exact", "allocated_minor"))
        .drop("_alone")
    )


def allocate_variable(obligations: pl.DataFrame) -> pl.DataFrame:
    """Share a variable amount: wholly to the obligations it relates to, where that matches their price, else to all of them.

    obligations  as for allocate, price_minor being the variable amount, with related bool (both conditions of IFRS 15.85 hold)
    returns      obligations with allocated_minor
    Work: O(n).
    """
    some = pl.col("related").any().over("contract_id")
    weight = pl.when(some & ~pl.col("related")).then(pl.lit(0, dtype=EXACT)).otherwise(pl.col("ssp").cast(EXACT))
    exact = pl.col("price_minor").cast(EXACT) * weight / weight.sum().over("contract_id")
    rows = obligations.with_columns(_exact=exact)
    part = largest_remainder(pl.col("_exact"), pl.col("price_minor"), over=["contract_id"])
    return rows.with_columns(allocated_minor=part).drop("_exact")


def carve(obligations: pl.DataFrame) -> pl.DataFrame:
    """How allocation moves revenue between obligations, against the prices they were sold at.

    obligations  allocated rows with sold_minor i64; the contract's price is the sum of what was sold
    returns      obligations with carve_minor = allocated - sold; a contract's carve-ins and carve-outs net to zero
    """
    return obligations.with_columns(carve_minor=pl.col("allocated_minor") - pl.col("sold_minor"))


def alone(items: pl.DataFrame, prices: pl.DataFrame, *, on: pl.Expr) -> pl.DataFrame:
    """What a unit of each item costs alone in its period, as of a day.

    items    of `obligations`; on: the day, by row
    returns  items with low, high (of a period, billionths; null: nobody said), ssp_nano (the price agreed where it lies within the range, else the
             middle of it; null: as it is sold), is_residual
    Source: IFRS 15.77-79; a range is a policy that has to be kept. Work: one sorted join.
    """
    asked = items.with_row_index("_row").with_columns(_on=on)
    dated = prices.sort("valid_from").rename({"low_nano": "_low", "high_nano": "_high", "is_residual": "is_residual"})
    found = (
        asked.filter(pl.col("product_id").is_not_null() & pl.col("_on").is_not_null())
        .sort("_on")
        .join_asof(dated, left_on="_on", right_on="valid_from", by=["product_id", "currency"], check_sortedness=False)
        .select("_row", "_low", "_high", "is_residual")
    )
    once = (pl.col("unit") == "day") & (pl.col("every") == 1) & ((pl.col("end") - pl.col("start")).dt.total_days() <= 1)
    in_months = pl.col("unit").replace_strict(periods.MONTHS, default=0, return_dtype=pl.Int64) * pl.col("every")
    times = pl.when(once.fill_null(value=False)).then(1).otherwise(in_months)
    price = pl.col("unit_price_nano")
    rows = asked.join(found, on="_row", how="left", maintain_order="left").with_columns(
        low=pl.coalesce("low_nano", "_low") * pl.when(times > 0).then(times),
        high=pl.coalesce("high_nano", "_high") * pl.when(times > 0).then(times),
        is_residual=pl.col("is_residual").fill_null(value=False) & pl.col("low_nano").is_null(),
    )
    within = (price >= pl.col("low")) & (price <= pl.col("high")) & ~pl.col("is_residual")
    return rows.with_columns(
        ssp_nano=pl.when(pl.col("low").is_null())
        .then(None)
        .when(within)
        .then(price)
        .otherwise((pl.col("low") + pl.col("high")) // 2)
    ).drop("_row", "_on", "_low", "_high")


def together(rows: pl.DataFrame, bundles: pl.DataFrame) -> pl.DataFrame:
    """Goods that are regularly sold together for less, and are so here, bear that discount among themselves (IFRS 15.82)."""
    if bundles.is_empty():
        return rows
    sizes = bundles.group_by("bundle_id", "currency").agg(_size=pl.len())
    cheap = rows.group_by("contract_id", "product_id", "currency").agg(pl.col("sold_minor", "ssp").sum())
    inside = cheap.join(bundles, on=["product_id", "currency"])
    full = (
        inside.group_by("contract_id", "bundle_id", "currency").agg(_count=pl.len(), _less=pl.col("sold_minor").sum() < pl.col("ssp").sum())
        .join(sizes, on=["bundle_id", "currency"]).filter(pl.col("_less") & (pl.col("_count") == pl.col("_size")))
        .sort("contract_id", "bundle_id").unique("contract_id", keep="first", maintain_order=True)
    )  # fmt: skip
    bound = inside.join(full, on=["contract_id", "bundle_id"], how="semi").select("contract_id", "product_id", "together")
    rows = rows.join(bound, on=["contract_id", "product_id"], how="left", maintain_order="left")
    return rows.with_columns(ssp=pl.col("ssp") * pl.col("together").fill_null(1).cast(EXACT)).drop("together")


def believed(rows: pl.DataFrame) -> pl.DataFrame:
    """A price that is highly variable is what the others leave of the contract's, where that lies within its range; else the middle of the range (IFRS 15.79c)."""
    if not rows["is_residual"].any():
        return rows
    ours, kin = pl.col("is_residual"), "contract_id"
    left = pl.col("sold_minor").sum().over(kin).cast(EXACT) - pl.col("ssp").filter(~ours).sum().over(kin).fill_null(0)
    middle, low, high = (
        e.filter(ours).sum().over(kin) for e in (pl.col("ssp"), pl.col("ssp") * pl.col("_low"), pl.col("ssp") * pl.col("_high"))
    )
    fits = ours & (left >= low) & (left <= high) & (middle > 0)
    return rows.with_columns(_left=left, _middle=middle, _fits=fits).with_columns(
        ssp=pl.when("_fits")
        .then(pl.col("_left") * pl.col("ssp") / pl.when("_fits").then("_middle").otherwise(1))
        .otherwise("ssp")
    )
