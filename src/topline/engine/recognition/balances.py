"""Contract assets, contract liabilities and receivables: what was earned against what may be asked and what was paid."""

from __future__ import annotations

import polars as pl


def balances(contracts: pl.DataFrame) -> pl.DataFrame:
    """What a contract shows in the balance sheet.

    contracts  one row per contract, all figures to date: revenue_minor, due_minor (payments whose day has come), paid_minor,
               cancellable bool (the customer may still leave without paying)
    returns    contracts with receivable_minor (the right to payment needs only time), contract_asset_minor (earned, but the right hangs
               on something else) and contract_liability_minor (paid or due before it was earned)
    What is due under a contract that can be cancelled is no receivable before it was earned or paid.
    Always: asset - liability = revenue - (receivable + paid). Source: IFRS 15.105-108. Work: O(n).
    """
    sure = (
        pl.when("cancellable")
        .then(pl.min_horizontal("due_minor", pl.max_horizontal("revenue_minor", "paid_minor")))
        .otherwise("due_minor")
    )
    asked = pl.max_horizontal(sure, "paid_minor")
    gap = pl.col("revenue_minor") - asked
    return contracts.with_columns(
        receivable_minor=asked - pl.col("paid_minor"), contract_asset_minor=gap.clip(0), contract_liability_minor=(-gap).clip(0)
    )
