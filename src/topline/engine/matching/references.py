"""References that banks carry: with check digits where a standard has them, and document numbers found in free text.

Sources: ISO 11649 (RF, mod 97), Swiss QR reference (27 digits, recursive mod 10), Norwegian KID (mod 10 or mod 11),
Finnish viitenumero (weights 7-3-1).
"""

from __future__ import annotations

import polars as pl
from stdnum import iso11649, luhn
from stdnum.ch import esr

LONGEST_TEXT = 12_000  # characters of a remittance that are searched
WINDOW = 5  # groups of letters or digits that one number may consist of
SHORTEST = 4  # characters without which a number in free text says nothing


def structured_body(text: str) -> str | None:
    """What a creditor reference says without its check digits, or null when no check digit holds.

    Leading zeros are dropped, so that a padded number equals the one on the invoice.
    """
    plain = "".join(c for c in text.upper() if c.isalnum() and c.isascii())
    if plain.startswith("RF"):
        return plain[4:].lstrip("0") if iso11649.is_valid(plain) else None
    if not plain.isdigit() or not 4 <= len(plain) <= 27:
        return None
    if len(plain) == 27:
        return plain[:-1].lstrip("0") if esr.is_valid(plain) else None
    if luhn.is_valid(plain) or _kid_11(plain) or _viite(plain):
        return plain[:-1].lstrip("0") or None
    return None


def _kid_11(digits: str) -> bool:
    total = sum(int(d) * (2 + n % 6) for n, d in enumerate(reversed(digits[:-1])))
    return (11 - total % 11) % 11 == int(digits[-1])


def _viite(digits: str) -> bool:
    total = sum(int(d) * (7, 3, 1)[n % 3] for n, d in enumerate(reversed(digits[:-1])))
    return -total % 10 == int(digits[-1])


def _groups(column: pl.Expr) -> pl.Expr:
    """Runs of letters and runs of digits, upper case; digits without leading zeros."""
    return column.str.to_uppercase().str.extract_all(r"[A-Z]+|[0-9]+").list.eval(pl.element().str.replace(r"^0+([0-9])", "$1"))


def number_keys(items: pl.DataFrame, *, column: str) -> pl.DataFrame:
    """The ways in which a document number may be written.

    returns  one row per item and way: item_id, key str, kind `number` (all of it) or `digits` (only its digits)
    """
    rows = items.select("item_id", _text=pl.col(column)).drop_nulls()
    whole = rows.select("item_id", key=_groups(pl.col("_text")).list.join("|"), kind=pl.lit("number"))
    compact = rows.select(
        "item_id",
        key=_groups(pl.col("_text").str.replace_all(r"[^A-Za-z0-9]", "")).list.join("|"),
        kind=pl.lit("number"),
    )
    digits = rows.select(
        "item_id",
        key=pl.col("_text").str.replace_all(r"[^0-9]", "").str.replace(r"^0+", ""),
        kind=pl.lit("digits"),
    )
    keys = pl.concat([whole, compact, digits]).filter(
        pl.col("key").str.replace_all("|", "", literal=True).str.len_chars() >= SHORTEST
    )
    return keys.unique(["item_id", "key"], keep="first", maintain_order=True)


def windows(payments: pl.DataFrame) -> pl.DataFrame:
    """Everything in a payment's text that could be a document number.

    payments  one row per payment: payment_id, text str
    returns   payment_id, key: each run of up to five neighbouring groups, so that 123 is never found inside 91234
    """
    groups = (
        payments.select("payment_id", group=_groups(pl.col("text").str.slice(0, LONGEST_TEXT)))
        .explode("group", empty_as_null=False)
        .drop_nulls()
    )
    frames, key = [], pl.col("group")
    for length in range(1, WINDOW + 1):
        frames.append(groups.select("payment_id", key=key))
        key = key + "|" + pl.col("group").shift(-length).over("payment_id")
    return pl.concat(frames).drop_nulls().unique()
