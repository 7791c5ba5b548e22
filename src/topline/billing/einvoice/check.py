"""Whether an e-invoice holds: what it must say, and that its figures agree, in words that name the rule of EN 16931."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from topline.billing.einvoice.model import EInvoice
from topline.engine import einvoice as arithmetic

EXEMPT = frozenset({"E", "AE", "G", "K", "O"})  # categories that owe a reason
_WORDS = {
    "BR-CO-10": "the lines do not come to the sum of lines that it states",
    "BR-CO-11": "the allowances do not come to the sum of allowances that it states",
    "BR-CO-12": "the charges do not come to the sum of charges that it states",
    "BR-CO-13": "lines less allowances plus charges is not the total without VAT",
    "BR-CO-14": "the VAT of the categories is not the total VAT",
    "BR-CO-15": "the total without VAT plus VAT is not the total with VAT",
    "BR-CO-16": "the total less what was paid is not the amount due",
    "BR-CO-17": "VAT is not the base times the rate",
    "BR-S-08": "the lines at this rate do not come to its base",
}
_TOTALS = ["line_total", "allowance_total", "charge_total", "net_total", "vat_total", "gross", "prepaid", "rounding", "due"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that a document breaks: its name in EN 16931, and what that means here."""

    rule: str
    text: str


def problems(document: EInvoice) -> list[Problem]:
    """What keeps a document from being a correct e-invoice; empty where nothing does. Sources: EN 16931 BR, BR-CO, BR-S/AE/G/O."""
    return [*_missing(document), *_tax_problems(document), *(_figures(document) if document.lines else [])]


def _missing(document: EInvoice) -> list[Problem]:
    wanted = [
        ("BR-02", document.number, "It has no number."),
        ("BR-03", document.issued_on, "It has no day of issue."),
        ("BR-05", document.currency, "It has no currency."),
        ("BR-06", document.seller.name, "The seller has no name."),
        ("BR-07", document.buyer.name, "The buyer has no name."),
        ("BR-09", document.seller.country, "The seller's country is not known."),
        ("BR-11", document.buyer.country, "The buyer's country is not known."),
        ("BR-16", document.lines, "It has no line."),
    ]
    found = [Problem(rule, text) for rule, value, text in wanted if not value]
    if any(not each.reference for each in document.attachments):
        found.append(Problem("BR-52", "A supporting document has no reference."))
    if document.tax_currency and document.tax_currency != document.currency and document.tax_accounted is None:
        found.append(
            Problem(
                "BR-53",
                f"VAT is accounted for in {document.tax_currency}, and its total in {document.tax_currency} is not stated.",
            )
        )
    found += [
        Problem("BR-27", f"Line {line.identifier}: a price must not be negative.") for line in document.lines if line.price < 0
    ]
    if document.due > 0 and not document.is_credit and document.due_on is None and not document.terms:
        found.append(Problem("BR-CO-25", "Money is owed, and neither a due day nor terms are stated."))
    return found


def _tax_problems(document: EInvoice) -> list[Problem]:
    categories = {tax.category for tax in document.taxes}
    seller, buyer = document.seller, document.buyer
    found = [
        Problem(f"BR-{tax.category}-10", f"VAT category {tax.category} needs the reason why no VAT is charged.")
        for tax in document.taxes
        if tax.category in EXEMPT and not (tax.reason or tax.reason_code)
    ]
    if categories & {"S", "Z", "E", "L", "M"} and not (seller.vat_id or seller.tax_number):
        found.append(Problem("BR-S-02", "The seller has no tax number."))
    if categories & {"AE", "K", "G"} and not seller.vat_id:
        found.append(Problem(f"BR-{min(categories & {'AE', 'K', 'G'})}-02", "The seller has no VAT number."))
    if categories & {"AE", "K"} and not (buyer.vat_id or buyer.register):
        found.append(Problem("BR-AE-02", "The buyer has no VAT number, and owes the VAT."))
    if "O" in categories and len(categories) > 1:
        found.append(Problem("BR-O-11", "What is outside the scope of VAT stands beside what is not: that needs two documents."))
    return found


def _figures(document: EInvoice) -> list[Problem]:
    one = pl.lit(1, pl.Int64)
    lines = pl.DataFrame(
        [{"category": line.category, "rate": line.rate, "net": line.net} for line in document.lines],
        schema={"category": pl.String, "rate": arithmetic.EXACT, "net": arithmetic.EXACT},
    ).with_columns(document_id=one)
    items = pl.DataFrame(
        [
            {
                "kind": "charge" if each.is_charge else "allowance",
                "category": each.category,
                "rate": each.rate,
                "amount": each.amount,
            }
            for each in document.adjustments
        ],
        schema={"kind": pl.String, "category": pl.String, "rate": arithmetic.EXACT, "amount": arithmetic.EXACT},
    ).with_columns(document_id=one)
    taxes = pl.DataFrame(
        [{"category": tax.category, "rate": tax.rate, "base": tax.base, "vat": tax.tax} for tax in document.taxes],
        schema={"category": pl.String, "rate": arithmetic.EXACT, "base": arithmetic.EXACT, "vat": arithmetic.EXACT},
    ).with_columns(document_id=one)
    stated = {name: getattr(document, {"vat_total": "tax_total"}.get(name, name)) for name in _TOTALS}
    sums = {
        "lines_sum": sum((line.net for line in document.lines), start=0),
        "allowances_sum": sum((each.amount for each in document.adjustments if not each.is_charge), start=0),
        "charges_sum": sum((each.amount for each in document.adjustments if each.is_charge), start=0),
        "vat_sum": sum((tax.tax for tax in document.taxes), start=0),
    }
    whole = pl.DataFrame([{**stated, **sums}], schema=dict.fromkeys([*_TOTALS, *sums], arithmetic.EXACT)).with_columns(
        document_id=one, vat_totals=pl.lit(document.tax_totals if document.tax_total is not None else 1)
    )
    broken = [Problem(rule, f"{_WORDS[rule][0].upper()}{_WORDS[rule][1:]}.") for rule in arithmetic.broken_totals(whole)["rule"]]
    for row in arithmetic.broken_categories(taxes, lines=lines, items=items).iter_rows(named=True):
        at = f"{row['category']} {row['rate'].normalize():f} %" if row["rate"] is not None else row["category"]
        broken.append(Problem(row["rule"], f"{at}: {_WORDS[row['rule']]}."))
    return broken
