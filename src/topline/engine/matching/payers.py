"""Who paid: known accounts and aliases first, then the name, exactly or nearly."""

from __future__ import annotations

import polars as pl
from rapidfuzz import fuzz, process

NEAR = 85.0  # below this likeness two names are two payers
LARGEST_BLOCK = 2_000  # names that begin alike beyond this say nothing


def payers(payments: pl.DataFrame, customers: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The customers that a payment may come from.

    payments   payment_id, payer_key (folded name), payer_account
    customers  customer_id, customer_key (folded name); one row per name, several per customer allowed
    known      customer_id, payer_key, payer_account: what people confirmed before (aliases, accounts, parents, factors)
    returns    payment_id, customer_id, likeness 0-100, by `account`, `alias` or `name`; the best row of a pair
    Work: hash joins; near names are compared only within blocks of four letters, one call for all pairs.
    """
    by_account = payments.join(known.drop_nulls("payer_account").select("customer_id", "payer_account"), on="payer_account")
    by_alias = payments.join(known.drop_nulls("payer_key").select("customer_id", "payer_key"), on="payer_key")
    parts = [
        rows.select("payment_id", "customer_id", likeness=pl.lit(100.0), by=pl.lit(by))
        for rows, by in ((by_account, "account"), (by_alias, "alias"))
    ]
    names = customers.filter(pl.col("customer_key").str.len_chars() > 0)
    written = payments.select("payer_key").unique().filter(pl.col("payer_key").str.len_chars() >= 3)
    exact = written.join(names, left_on="payer_key", right_on="customer_key").select(
        "payer_key", "customer_id", likeness=pl.lit(100.0)
    )
    near = _near(written.join(exact, on="payer_key", how="anti"), names)
    found = payments.join(pl.concat([exact, near]), on="payer_key")
    parts.append(found.select("payment_id", "customer_id", "likeness", by=pl.lit("name")))
    return pl.concat(parts).unique(["payment_id", "customer_id"], keep="first", maintain_order=True)


def _near(written: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    pairs = []
    for start in (0, 4):
        block = pl.col("customer_key").str.slice(start, 4)
        blocks = names.with_columns(_block=block).filter(
            (pl.col("_block").str.len_chars() == 4) & (pl.len().over("_block") <= LARGEST_BLOCK)
        )
        pairs.append(
            written.with_columns(_block=pl.col("payer_key").str.slice(start, 4)).join(blocks, on="_block").drop("_block")
        )
    both = pl.concat(pairs).unique()
    if both.is_empty():
        return pl.DataFrame(schema={"payer_key": pl.String, "customer_id": pl.Int64, "likeness": pl.Float64})
    payer, customer = both["payer_key"].to_list(), both["customer_key"].to_list()
    # banks cut long names, so the beginning of a customer's name counts nearly as much as the whole
    cut = [c[: len(p)] if len(p) >= 12 else c for p, c in zip(payer, customer, strict=True)]
    whole = pl.Series(process.cpdist(payer, customer, scorer=fuzz.ratio))
    start_only = pl.Series(process.cpdist(payer, cut, scorer=fuzz.ratio)) * 0.97
    return (
        both.with_columns(likeness=pl.max_horizontal(whole, start_only).cast(pl.Float64))
        .filter(pl.col("likeness") >= NEAR)
        .group_by("payer_key", "customer_id")
        .agg(pl.col("likeness").max())
    )
