"""Arithmetic of electronic documents: the totals of EN 16931 invoices and of ISO 20022 messages, made and checked.

Amounts here are in major units, as the documents carry them (decimal(38,15)). Written documents take their totals from
`document_totals`; received ones are checked by the same rules before anyone believes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from topline.engine.documents import EXACT
from topline.engine.rating.prices import complete

CENT = 2
_GIVEN = ["line_total", "allowance_total", "charge_total", "net_total", "vat_total", "gross", "prepaid", "rounding", "due"]
_SUMS = ["lines_sum", "allowances_sum", "charges_sum", "vat_sum", "vat_totals"]


@dataclass(frozen=True, slots=True)
class Totals:
    """documents: one row per document; categories: one row per document, VAT category and rate."""

    documents: pl.DataFrame
    categories: pl.DataFrame


def rounded(amount: pl.Expr, decimals: int = CENT) -> pl.Expr:
    """Half away from zero, on the absolute value, as EN 16931 compares."""
    return amount.cast(EXACT).round(decimals, mode="half_away_from_zero")


def document_totals(documents: pl.DataFrame, *, lines: pl.DataFrame, items: pl.DataFrame) -> Totals:
    """The totals of invoices from their lines and document-level allowances and charges.

    documents  one row per document: document_id, prepaid and rounding decimal
    lines      one row per line: document_id, category str, rate decimal (percent) or null, net decimal
    items      one row per allowance or charge: document_id, kind str (allowance, charge), category, rate, amount decimal
    returns    documents with line_total, allowance_total, charge_total, net_total, vat_total, gross, due; categories with document_id,
               category, rate, base, vat, rounded once a category, never a line
    Source: EN 16931 BR-CO-10 to 17, BR-S-08. Work: O(lines + items).
    """
    found = category_bases(lines, items).with_columns(vat=rounded(pl.col("base") * pl.col("rate").fill_null(0) / 100))

    def total(frame: pl.DataFrame, name: str, amount: pl.Expr) -> pl.DataFrame:
        return frame.group_by("document_id").agg(amount.cast(EXACT).sum().alias(name))

    of_kind = {kind: items.filter(pl.col("kind") == kind) for kind in ("allowance", "charge")}
    rows = complete(documents, ["prepaid", "rounding"])
    for part in (
        total(lines, "line_total", pl.col("net")), total(of_kind["allowance"], "allowance_total", pl.col("amount")),
        total(of_kind["charge"], "charge_total", pl.col("amount")), total(found, "vat_total", pl.col("vat")),
    ):  # fmt: skip
        rows = rows.join(part, on="document_id", how="left", maintain_order="left")
    rows = rows.with_columns(
        pl.col("line_total", "allowance_total", "charge_total", "vat_total", "prepaid", "rounding").fill_null(0)
    )
    net = pl.col("line_total") - pl.col("allowance_total") + pl.col("charge_total")
    rows = rows.with_columns(net_total=net).with_columns(gross=pl.col("net_total") + pl.col("vat_total"))
    return Totals(documents=rows.with_columns(due=pl.col("gross") - pl.col("prepaid") + pl.col("rounding")), categories=found)


def category_bases(lines: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The taxable amount of each VAT category and rate: its lines, less its allowances, plus its charges (BR-S-08).

    returns  one row per document, category and rate, in that order: document_id, category, rate, base
    """
    signed = pl.when(pl.col("kind") == "allowance").then(-pl.col("amount").cast(EXACT)).otherwise(pl.col("amount").cast(EXACT))
    key = [pl.col("document_id"), pl.col("category"), pl.col("rate").cast(EXACT)]
    parts = pl.concat([lines.select(*key, base=pl.col("net").cast(EXACT)), items.select(*key, base=signed)])
    return parts.group_by("document_id", "category", "rate").agg(pl.col("base").sum()).sort("document_id", "category", "rate")


def broken_totals(documents: pl.DataFrame) -> pl.DataFrame:
    """Rules on the totals of a document that do not hold.

    documents  one row per document: document_id and, in decimal, what it states (line_total, allowance_total, charge_total, net_total,
               vat_total in the document's currency, gross, prepaid, rounding, due) and what its parts come to (lines_sum,
               allowances_sum, charges_sum, vat_sum; vat_totals: how many VAT totals it states in its own currency)
    returns    one row per broken rule: document_id, rule str. A rule whose stated total is absent says nothing; an absent allowance,
               charge, payment or rounding counts as nothing
    Source: EN 16931 BR-CO-10 to BR-CO-16. Work: O(n).
    """

    def figure(name: str) -> pl.Expr:
        return pl.col(name).fill_null(0)

    net = pl.col("line_total") - figure("allowance_total") + figure("charge_total")
    rules = {
        "BR-CO-10": pl.col("lines_sum") != pl.col("line_total"),
        "BR-CO-11": pl.col("allowances_sum") != pl.col("allowance_total"),
        "BR-CO-12": pl.col("charges_sum") != pl.col("charge_total"),
        "BR-CO-13": net != pl.col("net_total"),
        "BR-CO-14": pl.col("vat_sum") != pl.col("vat_total"),
        "BR-CO-15": (pl.col("net_total") + figure("vat_total") != pl.col("gross")) | (pl.col("vat_totals") != 1),
        "BR-CO-16": pl.col("gross") - figure("prepaid") + figure("rounding") != pl.col("due"),
    }
    rows = complete(documents, [*_GIVEN, *_SUMS])
    broken = pl.concat_list(pl.when(check).then(pl.lit(rule)) for rule, check in rules.items()).list.drop_nulls()
    return rows.select("document_id", rule=broken).filter(pl.col("rule").list.len() > 0).explode("rule")


def broken_categories(categories: pl.DataFrame, *, lines: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Rules on the VAT breakdown of a document that do not hold.

    categories  one row per document, category and rate: document_id, category, rate or null, base, and vat where it is stated
    lines, items  as for document_totals
    returns     one row per broken rule: document_id, category, rate, rule str, exact_vat
    A difference below 1.00 is borne, as the official validator does; without a rate, or at one that rounds to 0, VAT is 0.
    Source: EN 16931 BR-CO-17, BR-S-08. Work: O(n).
    """
    rows = complete(categories, ["rate", "base", "vat"]).with_columns(exact_vat=vat_of(pl.col("base"), pl.col("rate")))
    expected = category_bases(lines, items).rename({"base": "_base"})
    rows = rows.join(expected, on=["document_id", "category", "rate"], how="left", maintain_order="left")
    untaxed = pl.col("rate").fill_null(0).round(0, mode="half_away_from_zero") == 0
    off = (
        pl.when(untaxed)
        .then(rounded(pl.col("vat"), 0) != 0)
        .otherwise((rounded(pl.col("vat").abs()) - pl.col("exact_vat").abs()).abs() >= 1)
    )
    rules = {
        "BR-CO-17": off,
        "BR-S-08": (pl.col("category") == "S") & ((pl.col("base") - pl.col("_base").fill_null(0)).abs() >= 1),
    }
    broken = pl.concat_list(pl.when(check).then(pl.lit(rule)) for rule, check in rules.items()).list.drop_nulls()
    found = rows.with_columns(rule=broken).filter(pl.col("rule").list.len() > 0).explode("rule")
    return found.select("document_id", "category", "rate", "rule", "exact_vat")


def vat_of(base: pl.Expr, rate: pl.Expr) -> pl.Expr:
    """The VAT of a category: base x rate, rounded to the cent, half away from zero."""
    return rounded(base.cast(EXACT) * rate.cast(EXACT).fill_null(0) / 100)


def has_two_decimals(amount: pl.Expr) -> pl.Expr:
    """Whether a document-level amount has at most two decimals; unit prices may have more (BR-DEC)."""
    return amount.cast(EXACT) == rounded(amount)


def control_sum(instructed: pl.DataFrame) -> pl.DataFrame:
    """What a payment file states of itself: amounts as bare numbers, whatever their currency (pain.001 CtrlSum).

    instructed  one row per transaction: message_id, amount decimal
    returns     one row per message: message_id, transactions i64, control_sum
    """
    return instructed.group_by("message_id", maintain_order=True).agg(
        transactions=pl.len().cast(pl.Int64), control_sum=pl.col("amount").cast(EXACT).sum()
    )


def statement_totals(entries: pl.DataFrame) -> pl.DataFrame:
    """What a statement states of its entries (camt.053 TxsSummry).

    entries  one row per entry, or per group of like entries: statement_id, amount decimal (never negative), is_credit bool, entries i64
             (in the group), transactions i64 (a batch is one entry of several)
    returns  one row per statement: entries, transactions, gross_sum, credit_sum, debit_sum, net (its size) and net_is_credit; a
             reversal keeps the sign that it carries
    """
    amount = pl.col("amount").cast(EXACT)
    nothing = pl.lit(0, dtype=EXACT)
    credit, debit = pl.when("is_credit").then(amount).otherwise(nothing), pl.when("is_credit").then(nothing).otherwise(amount)
    return (
        entries.group_by("statement_id", maintain_order=True)
        .agg(pl.col("entries", "transactions").sum(), gross_sum=amount.sum(), credit_sum=credit.sum(), debit_sum=debit.sum())
        .with_columns(_net=pl.col("credit_sum") - pl.col("debit_sum"))
        .with_columns(net=pl.col("_net").abs(), net_is_credit=pl.col("_net") >= 0)
        .drop("_net")
    )
