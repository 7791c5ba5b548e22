"""Documents that receivables hands out: the statement of account as PDF."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import typst

from topline.books.models import Entity
from topline.kernel.money import format_amount
from topline.market.models import Customer

TEMPLATE = Path(__file__).resolve().parent / "templates" / "receivables" / "statement.typ"


def statement_pdf(*, entity: Entity, customer: Customer, rows: list[dict[str, Any]], since: date, until: date) -> bytes:
    """A statement of account as PDF: opening balance, movements, closing balance per currency."""
    lines = [
        [
            row["on"].isoformat(),
            row["kind"].replace("_", " "),
            row["number"] or "",
            format_amount(row["amount_minor"], row["currency"]),
            format_amount(row["balance_minor"], row["currency"]),
            row["currency"],
        ]
        for row in rows
    ]
    closing = {row["currency"]: format_amount(row["balance_minor"], row["currency"]) for row in rows}
    data = {
        "seller": entity.name,
        "customer": customer.name,
        "number": customer.number,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "lines": lines,
        "closing": closing,
    }
    pdf: bytes = typst.compile(str(TEMPLATE), sys_inputs={"data": json.dumps(data)})
    return pdf
