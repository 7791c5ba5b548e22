"""Documents that billing hands out: an invoice or credit note as PDF."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import typst

from topline.billing.queries import InvoiceDetail
from topline.kernel.money import exponent, format_amount
from topline.market.models import Address

TEMPLATE = Path(__file__).resolve().parent / "templates" / "billing" / "invoice.typ"


def invoice_pdf(detail: InvoiceDetail) -> bytes:
    """A document with its lines, tax by category and what is open, as PDF."""
    invoice = detail.invoice
    currency = invoice.currency
    address = Address.objects.filter(customer_id=invoice.customer_id).order_by("id").first()
    place = [address.line1, address.line2, f"{address.postal_code} {address.city}".strip(), address.country] if address else []
    scale = -9 - exponent(currency)
    lines = [
        [
            str(line.position),
            line.description,
            f"{Decimal(line.quantity_micro).scaleb(-6).normalize():f}",
            f"{Decimal(line.unit_price_nano).scaleb(scale).normalize():,f}",
            f"{line.tax_rate_ppm / 10_000:g} %",
            format_amount(line.net_minor, currency),
        ]
        for line in detail.lines
    ]
    data = {
        "title": "Credit note" if invoice.kind == invoice.Kind.CREDIT_NOTE else "Invoice",
        "number": invoice.number or "draft",
        "seller": invoice.entity.name,
        "buyer": [invoice.customer.legal_name or invoice.customer.name, *[part for part in place if part]],
        "facts": [
            ["Issued", invoice.issued_on.isoformat() if invoice.issued_on else "–"],
            ["Due", invoice.due_on.isoformat() if invoice.due_on else "–"],
            ["Terms", invoice.terms or "–"],
            ["Purchase order", invoice.purchase_order or "–"],
        ],
        "lines": lines,
        "net": format_amount(invoice.net_minor, currency),
        "tax": format_amount(invoice.tax_minor, currency),
        "total": format_amount(invoice.total_minor, currency),
        "open": format_amount(detail.open_minor, currency),
        "currency": currency,
    }
    pdf: bytes = typst.compile(str(TEMPLATE), sys_inputs={"data": json.dumps(data)})
    return pdf
