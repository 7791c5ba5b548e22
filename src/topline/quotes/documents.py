"""The document of a quote: the PDF that the customer reads and signs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import typst

from topline.kernel.money import format_amount
from topline.market.prices import unit_price
from topline.quotes.models import Quote

TEMPLATE = Path(__file__).resolve().parent / "templates" / "quotes" / "quote.typ"
BILLED = {"once": "once", "month": "each month", "quarter": "each quarter", "year": "each year"}


def quote_pdf(quote: Quote) -> tuple[bytes, str]:
    """The PDF of a quote, and its SHA-256 as hex. The same quote makes the same bytes."""
    pdf: bytes = typst.compile(str(TEMPLATE), sys_inputs={"data": json.dumps(content(quote))})
    return pdf, hashlib.sha256(pdf).hexdigest()


def content(quote: Quote) -> dict[str, Any]:
    """What a quote says to the customer: everything on the invoice, nothing of what stands behind it."""
    currency = quote.currency
    lines = [
        {
            "product": line.product.name, "description": line.description, "quantity": plain(line.quantity_micro), "unit": line.product.unit, "periods": line.periods,
            "begins": line.begins_after_months, "price": unit_price(line.unit_price_nano, currency), "list": format_amount(line.list_minor, currency),
            "discount": f"{line.discount_ppm / 10_000:.1f} %" if line.discount_ppm else "", "net": format_amount(line.net_minor, currency),
        }
        for line in quote.lines.select_related("product").order_by("position")
    ]  # fmt: skip
    codes = [use.promotion.name for use in quote.promotions.select_related("promotion").order_by("promotion__position")]
    return {
        "company": quote.entity.name, "customer": quote.customer.name, "number": f"{quote.number}/{quote.version}", "date": quote.priced_on.isoformat(),
        "valid_until": quote.valid_until.isoformat(), "starts_on": quote.starts_on.isoformat(), "months": quote.months, "terms": quote.terms,
        "billed": BILLED[quote.bill_every], "note": quote.note, "currency": currency, "lines": lines, "promotions": codes,
        "list": format_amount(quote.list_minor, currency), "off": format_amount(quote.list_minor - quote.net_minor, currency), "net": format_amount(quote.net_minor, currency),
    }  # fmt: skip


def plain(quantity_micro: int) -> str:
    """A quantity without needless zeros."""
    return f"{quantity_micro / 10**6:,.6f}".rstrip("0").rstrip(".")
