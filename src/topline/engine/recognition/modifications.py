"""Changes of a contract that is under way: a contract of its own, prospective, or caught up."""

from __future__ import annotations

from typing import Literal

import polars as pl

from topline.engine.documents import EXACT, largest_remainder, round_half_away
from topline.engine.recognition.allocation import alone

Treatment = Literal["separate_contract", "prospective", "catch_up"]
POLICY: list[tuple[str, str, str]] = [
    ("separate_contract", "It adds something distinct at what that costs alone.", "IFRS 15.20, ASC 606-10-25-12"),
    ("prospective", "What is still to be delivered is distinct from what was: what is not earned yet is shared anew over it.", "IFRS 15.21(a), ASC 606-10-25-13a"),
    ("catch_up", "It changes one thing that is delivered in parts: what was earned so far is computed anew, and the difference booked on the day.", "IFRS 15.21(b), ASC 606-10-25-13b"),
]  # fmt: skip
"""The policy table: what is done, where its facts hold (asked in this order), and the source."""


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


def facts(amendments: pl.DataFrame, changes: pl.DataFrame, items: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """What is known of amendments that decides how they are accounted for.

    amendments  one row per amendment: amendment_id, on
    changes     what each did to items: amendment_id, item_id, is_new
    items       of `contracts.obligations`
    prices      stand-alone selling prices, see `contracts.PRICES`
    returns     amendments with the columns of `treatments`. What is added is distinct, being an item of its own or more units of one; at what it costs alone
                where its price lies within the range, or nobody set one. What is left is distinct from what was delivered, unless an item is earned as parts are accepted
    Work: a few joins.
    """
    days = amendments.select("amendment_id", "on")
    did = changes.join(days, on="amendment_id").join(items, on="item_id")
    begun = alone(did.filter("is_new"), prices, on=pl.col("on"))
    ended = did.filter(~pl.col("is_new")).select(
        "amendment_id", replaces_id="item_id", _had="quantity_micro", _cost="unit_price_nano", _way="method"
    )
    both = begun.join(ended, on=["amendment_id", "replaces_id"], how="left")
    more = both.with_columns(
        _adds=pl.col("_had").is_null() | ((pl.col("quantity_micro") > pl.col("_had")) & pl.col("unit_price_nano").eq_missing(pl.col("_cost"))),
        _changes=pl.col("_had").is_not_null() & ((pl.col("quantity_micro") < pl.col("_had")) | pl.col("unit_price_nano").ne_missing(pl.col("_cost"))),
        _fair=((pl.col("unit_price_nano") >= pl.col("low")) & (pl.col("unit_price_nano") <= pl.col("high"))).fill_null(value=True),
    )  # fmt: skip
    by_new = more.group_by("amendment_id").agg(
        _adds=pl.col("_adds").any(), _alters=pl.col("_changes").any(), _fair=pl.col("_fair").filter("_adds").all()
    )
    followed = both.select("amendment_id", "replaces_id").drop_nulls()
    by_old = (
        ended.join(followed.with_columns(_on=pl.lit(value=True)), on=["amendment_id", "replaces_id"], how="left")
        .group_by("amendment_id").agg(_takes=pl.col("_on").is_null().any(), _built=(pl.col("_way") == "milestone").any())
    )  # fmt: skip
    rows = amendments.join(by_new, on="amendment_id", how="left").join(
        by_old, on="amendment_id", how="left", maintain_order="left"
    )
    no = {c: pl.col(c).fill_null(value=False) for c in ("_adds", "_alters", "_takes", "_built")}
    return rows.select(
        *amendments.columns, adds_distinct=no["_adds"] & ~no["_alters"] & ~no["_takes"],
        at_standalone_price=pl.col("_fair").fill_null(value=True), rest_distinct=~no["_built"],
    )  # fmt: skip


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
