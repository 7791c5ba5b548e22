"""Step four: the transaction price is shared over the obligations by what each would cost alone."""

from __future__ import annotations

import polars as pl

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
