"""Money in the bank of which nobody knows whose it is, set against what it is likeliest to have paid."""

from __future__ import annotations

import numpy as np
import polars as pl

MET = {"row": pl.Int64, "amount_minor": pl.Int64}
MOST = 500  # payments that are set one by one, the newest; more than that is a task for a person, not for a rule


def met(debts: pl.DataFrame, money: pl.DataFrame) -> pl.DataFrame:
    """What of each debt is taken to be paid: a payment meets debts of its currency that were there when it came, those due nearest that day first.

    debts    one row per open debt: row i64, currency, issued_on, due_on date, amount_minor i64 > 0
    money    one row per payment: currency, on date, amount_minor i64 > 0
    returns  one row per debt that is met: row i64, amount_minor i64 > 0, at most what is owed; in order of row
    Work: O(payments x debts), payments at most MOST.
    """
    found: list[tuple[int, int]] = []
    newest = money.sort("on", "amount_minor", descending=True).head(MOST).sort("on", "amount_minor")
    for (currency,), payments in newest.partition_by("currency", as_dict=True, maintain_order=True).items():
        own = debts.filter(pl.col("currency") == currency).sort("due_on", "row")
        issued, due = (own[name].to_physical().to_numpy() for name in ("issued_on", "due_on"))
        left = own["amount_minor"].to_numpy().copy()
        for on, amount in payments.select(pl.col("on").to_physical(), "amount_minor").iter_rows():
            there = np.flatnonzero((issued <= on) & (left > 0))
            order = there[np.argsort(np.abs(due[there] - on), kind="stable")]
            before = np.cumsum(left[order]) - left[order]
            left[order] -= np.clip(amount - before, 0, left[order])
        paid = own["amount_minor"].to_numpy() - left
        found += [(int(row), int(amount)) for row, amount in zip(own["row"], paid, strict=True) if amount > 0]
    return pl.DataFrame(found, schema=MET, orient="row").sort("row")
