"""What a payment may be for when it names nothing and no known payer's items fit: for a person to confirm, never posted.

A customer named in the text or in a holding's name, an instalment that does not say of what, an amount that only one open item has.
A confirmed guess teaches the payer's name and account, so that the next payment is no guess.
"""

from __future__ import annotations

import polars as pl

from topline.engine.text import words

SHORTEST_NAME = 6  # letters of a customer's folded name below which a text may hold it by chance
ROUND = 100_00  # multiples of this say nothing about whose they are
AGAINST = {
    "mention": "The payer is not known to pay for this customer.",
    "oldest": "The text does not say of which item.",
    "only": "The payer is not known.",
}


def guesses(payments: pl.DataFrame, items: pl.DataFrame, recognised: pl.DataFrame, *, instalment: str) -> pl.DataFrame:
    """At most one guess for each payment: payment_id, item_id, by (mention, oldest, only), rivals, chance.

    recognised  payment_id, customer_id of payers that are known; instalment: what a text of a part payment matches
    Work: one pass over the texts for all names at once, hash joins.
    """
    theirs = recognised.filter(pl.len().over("payment_id") == 1).select("payment_id", "customer_id")
    named = _named(payments, items)
    parts = payments.filter(pl.col("remittance").fill_null("").str.contains(instalment)).join(theirs, on="payment_id")
    oldest = (
        parts.join(items, on=["customer_id", "currency"])
        .filter(pl.col("open_minor") > pl.col("amount_minor"))
        .sort("payment_id", "due_on", "item_id")
        .unique("payment_id", keep="first", maintain_order=True)
    )
    strangers = payments.join(recognised, on="payment_id", how="anti").filter(pl.col("amount_minor") % ROUND != 0)
    only = _same_amount(strangers, items)
    found = pl.concat(
        [
            rows.select("payment_id", "item_id", by=pl.lit(by), rivals=pl.lit(0, pl.Int64), chance=pl.lit(0.0))
            for by, rows in (("mention", named), ("oldest", oldest), ("only", only))
        ]
    )
    return found.unique("payment_id", keep="first", maintain_order=True)


def _named(payments: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The one item of the amount that a customer has whose name stands in the text or in the payer's name; the longest name wins."""
    names = items.filter(pl.col("customer_key").str.len_chars() >= SHORTEST_NAME)["customer_key"].unique().sort()
    if names.is_empty() or payments.is_empty():
        return _same_amount(payments.clear(), items)
    text = pl.concat_str(
        [pl.col("payer_key").fill_null(""), words(pl.col("remittance").fill_null("")).str.replace_all(" ", "")], separator=" "
    )
    said = (
        payments.with_columns(customer_key=text.str.extract_many(names.implode(), overlapping=True))
        .explode("customer_key")
        .drop_nulls("customer_key")
        .unique(["payment_id", "customer_key"], maintain_order=True)
    )
    length = pl.col("customer_key").str.len_chars()
    return _same_amount(said.filter(length == length.max().over("payment_id")), items, "customer_key")


def _same_amount(payments: pl.DataFrame, items: pl.DataFrame, *on: str) -> pl.DataFrame:
    """Payments with the one item that has their amount; none where two have it."""
    fitting = payments.join(items, left_on=["currency", "amount_minor", *on], right_on=["currency", "open_minor", *on])
    return fitting.filter(pl.len().over("payment_id") == 1)
