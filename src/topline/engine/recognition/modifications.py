"""Changes of a contract that is under way: a contract of its own, prospective, or caught up."""

from __future__ import annotations

from typing import Literal

import polars as pl

from topline.engine.documents import EXACT, largest_remainder, round_half_away

Treatment = Literal["separate_contract", "prospective", "catch_up"]


def treatments(modifications: pl.DataFrame) -> pl.DataFrame:
    """How a change is accounted for, by the facts of IFRS 15.20-21; a policy table may answer otherwise before this is asked.

    modifications  one row per change: adds_distinct bool (goods that are distinct are added), at_standalone_price bool (at what they
                   cost alone), rest_distinct bool (what is still to be delivered is distinct from what was)
    returns        modifications with treatment str: separate_contract, prospective or catch_up
    """
    separate = pl.col("adds_distinct") & pl.col("at_standalone_price")
    word = (
        pl.when(separate).then(pl.lit("separate_contract"))
        .when(pl.col("rest_distinct")).then(pl.lit("prospective"))
        .otherwise(pl.lit("catch_up"))
    )  # fmt: skip
    return modifications.with_columns(treatment=word)


def prospective(obligations: pl.DataFrame) -> pl.DataFrame:
    """A change that works forward: what is not earned yet, and the new price, are shared over all that is still to be delivered.

    obligations  one row per obligation, old and added: contract_id, obligation_id, allocated_minor (0 for added ones), recognised_minor,
                 added_price_minor i64 (of the added one, else 0; negative for a reduction), remaining_ssp decimal (of what is still to
                 be delivered; 0 where all was)
    returns      obligations with pool_minor (of the contract) and new_remaining_minor (largest remainder)
    Source: IFRS 15.21(a). Work: O(n).
    """
    open_part = (
        pl.when(pl.col("remaining_ssp").cast(EXACT) > 0).then(pl.col("allocated_minor") - pl.col("recognised_minor")).otherwise(0)
    )
    pool = (open_part + pl.col("added_price_minor")).sum().over("contract_id")
    weight = pl.col("remaining_ssp").cast(EXACT)
    rows = obligations.with_columns(pool_minor=pool)
    rows = rows.with_columns(_exact=pl.col("pool_minor").cast(EXACT) * weight / weight.sum().over("contract_id"))
    part = largest_remainder(pl.col("_exact"), pl.col("pool_minor"), over=["contract_id"])
    return rows.with_columns(new_remaining_minor=part).drop("_exact")


def late_estimate(obligations: pl.DataFrame) -> pl.DataFrame:
    """A variable amount promised before a change is estimated anew after it.

    obligations  one row per obligation: contract_id, obligation_id, change_minor i64 (of the estimate, the same on each row),
                 original_ssp decimal (0 for what the modification added), done decimal (share delivered), remaining_ssp decimal
    returns      obligations with revenue_minor (the share of what was delivered, at once) and raise_minor (of what is still to be
                 delivered: the rest, over old and added goods alike)
    The change belongs to the original goods first. Source: IFRS 15.90. Work: O(n).
    """
    weight = pl.col("original_ssp").cast(EXACT)
    share = pl.col("change_minor").cast(EXACT) * weight / weight.sum().over("contract_id")
    rows = obligations.with_columns(revenue_minor=round_half_away(share * pl.col("done").cast(EXACT)))
    rest = pl.col("change_minor") - pl.col("revenue_minor").sum().over("contract_id")
    open_weight = pl.col("remaining_ssp").cast(EXACT)
    rows = rows.with_columns(_rest=rest)
    rows = rows.with_columns(_exact=pl.col("_rest").cast(EXACT) * open_weight / open_weight.sum().over("contract_id"))
    part = largest_remainder(pl.col("_exact"), pl.col("_rest"), over=["contract_id"])
    return rows.with_columns(raise_minor=part).drop("_rest", "_exact")
