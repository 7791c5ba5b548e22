"""Documents that receivables hands out: the statement of account as PDF, in the customer's language."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import typst
import yaml
from babel.dates import format_date
from babel.numbers import format_decimal

from topline.billing.documents import country_name, language_of, logo_of
from topline.books.models import Entity
from topline.kernel.money import exponent, to_major
from topline.market import queries as market
from topline.market.models import Address, Customer
from topline.receivables import statements

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "templates" / "receivables" / "statement.typ"


def statement_pdf(*, entity: Entity, customer: Customer, rows: list[dict[str, Any]], since: date, until: date) -> bytes:
    """A statement of account as PDF: by currency the opening balance, every movement, and the closing balance.

    rows  of `statements.statement_of_account`
    """
    pdf: bytes = typst.compile(str(TEMPLATE), sys_inputs={"data": json.dumps(_printed(entity, customer, rows, since, until))})
    return pdf


def statement_of(*, entity: Entity, customer: Customer, since: date, until: date) -> bytes:
    """The statement of a customer over a span, with the documents of records that were merged into it."""
    ids = market.record_ids(customer.pk)
    rows = statements.statement_of_account(entity_id=entity.pk, customer_ids=ids, since=since, until=until)
    return statement_pdf(entity=entity, customer=customer, rows=rows.to_dicts(), since=since, until=until)


def statement_name(customer: Customer, until: date) -> str:
    """What the file of a statement is called."""
    return f"statement-{customer.number}-{until}.pdf"


def statements_zip(*, entity: Entity, customers: Iterable[Customer], since: date, until: date) -> bytes:
    """The statements of customers as one file, a PDF each. Work: three statements and one PDF each."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:  # a PDF is compressed already
        for customer in customers:
            content = statement_of(entity=entity, customer=customer, since=since, until=until)
            file.writestr(statement_name(customer, until), content)
    return buffer.getvalue()


# --- parts ---
def _printed(entity: Entity, customer: Customer, rows: list[dict[str, Any]], since: date, until: date) -> dict[str, Any]:
    language = language_of(customer.language)
    words = _labels()[language]
    address = Address.objects.filter(customer_id=customer.pk).order_by("id").first()
    country = country_name(address.country if address else customer.country, language)
    place = [address.line1, address.line2, f"{address.postal_code} {address.city}".strip(), country] if address else [country]
    told = pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame(schema={"currency": pl.String})

    def day(on: date) -> str:
        return str(format_date(on, "medium", locale=language))

    def money(minor: int, currency: str) -> str:
        digits = exponent(currency)
        return str(
            format_decimal(to_major(minor, currency), format=f"#,##0.{'0' * digits}" if digits else "#,##0", locale=language)
        )

    accounts = []
    for (currency,), part in told.group_by("currency", maintain_order=True):
        closing = part["balance_minor"][-1]
        lines = [
            [day(r["on"]), words[r["kind"]], r["number"] or "", "" if r["kind"] == "opening" else money(r["amount_minor"], r["currency"]), money(r["balance_minor"], r["currency"])]
            for r in part.to_dicts()
        ]  # fmt: skip
        side = words["owed"] if closing > 0 else words["credit"] if closing < 0 else ""
        accounts.append({"currency": str(currency), "rows": lines, "closing": money(closing, str(currency)), "side": side})
    return {
        "language": language, "words": words, "number": customer.number, "accent": entity.accent, "logo": logo_of(entity), "until": day(until), "accounts": sorted(accounts, key=lambda a: str(a["currency"])),
        "seller": [part for part in (entity.name, entity.line1, entity.line2, f"{entity.postal_code} {entity.city}".strip(), entity.country) if part],
        "buyer": [customer.legal_name or customer.name, *[part for part in place if part]],
        "facts": [[words["customer"], customer.number], [words["period"], f"{day(since)} – {day(until)}"]],
    }  # fmt: skip


@lru_cache(maxsize=1)
def _labels() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load((HERE / "labels.yaml").read_text(encoding="utf-8"))
    return found
