"""Amounts of credit notes: they never differ from the invoice by a cent."""

from __future__ import annotations

import polars as pl

from topline.engine.documents import EXACT, round_half_away


def credited_tax(notes: pl.DataFrame) -> pl.DataFrame:
    """The tax of credit notes over an invoice, such that a wholly credited invoice gets exactly its tax back.

    notes    one row per credit note, in order of issue within an invoice: invoice_id, net_minor (credited), invoice_net_minor,
             invoice_tax_minor, tax_rate_ppm
    returns  notes with tax_minor and total_minor: each rounded alone, the note that credits the rest takes the tax that is left;
             none takes more than is left
    Work: O(n).
    """
    alone = round_half_away(pl.col("net_minor").cast(EXACT) * pl.col("tax_rate_ppm").cast(EXACT) / 10**6)
    so_far = pl.col("net_minor").cum_sum().over("invoice_id")
    gone = pl.min_horizontal(pl.col("_alone").cum_sum().over("invoice_id"), "invoice_tax_minor")
    gone = pl.when(so_far >= pl.col("invoice_net_minor")).then("invoice_tax_minor").otherwise(gone)
    return (
        notes.with_columns(_alone=alone)
        .with_columns(_gone=gone)
        .with_columns(tax_minor=pl.col("_gone") - pl.col("_gone").shift(1, fill_value=0).over("invoice_id"))
        .with_columns(total_minor=pl.col("net_minor") + pl.col("tax_minor"))
        .drop("_alone", "_gone")
    )


def credited_discount(parts: pl.DataFrame) -> pl.DataFrame:
    """A partly credited fee gives back its discount in proportion.

    parts    one row per credited fee: amount_minor (the fee), discount_minor (on it), credited_minor (of the fee, before
             discount), tax_rate_ppm
    returns  parts with back_minor (discount taken off the credit), net_minor, tax_minor, total_minor
    Work: O(n).
    """
    back = pl.col("credited_minor").cast(EXACT) * pl.col("discount_minor").cast(EXACT) / pl.col("amount_minor").cast(EXACT)
    return (
        parts.with_columns(back_minor=round_half_away(back))
        .with_columns(net_minor=pl.col("credited_minor") - pl.col("back_minor"))
        .with_columns(tax_minor=round_half_away(pl.col("net_minor").cast(EXACT) * pl.col("tax_rate_ppm").cast(EXACT) / 10**6))
        .with_columns(total_minor=pl.col("net_minor") + pl.col("tax_minor"))
    )


def offset_progressive(charges: pl.DataFrame) -> pl.DataFrame:
    """What was billed inside the period is taken off the charge it was for; what was overpaid becomes a credit note.

    charges  one row per charge: amount_minor (of the whole period), progressive_minor (the latest invoice inside the period: it
             is cumulative)
    returns  charges with credit_minor, due_minor and overpaid_minor
    Work: O(n).
    """
    credit = pl.min_horizontal("amount_minor", "progressive_minor")
    return charges.with_columns(credit_minor=credit).with_columns(
        due_minor=pl.col("amount_minor") - pl.col("credit_minor"),
        overpaid_minor=pl.col("progressive_minor") - pl.col("credit_minor"),
    )
