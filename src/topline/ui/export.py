"""Lists as files: CSV and XLSX, with text that looks like a formula made harmless."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponse
from openpyxl import Workbook

from topline.kernel.money import to_major
from topline.ui.tables import Column

MAX_ROWS = 100_000
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four: full-width = + - @


def harmless(text: str) -> str:
    """Text that a spreadsheet will show and not run: a quote in front of what begins like a formula, blanks aside."""
    return "'" + text if text.startswith(_DANGEROUS) or text.lstrip().startswith(_DANGEROUS) else text


def export(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, name: str, form: str) -> HttpResponse:
    """A list as a download; amounts are plain decimals in their currency, days ISO.

    rows  at most MAX_ROWS dictionaries with the columns' keys
    """
    head = [harmless(c.label) for c in columns]
    body = [[_cell(row, c) for c in columns] for row in rows[:MAX_ROWS]]
    if form == "xlsx":
        book = Workbook(write_only=True)
        sheet = book.create_sheet(name[:31])
        for line in (head, *body):
            sheet.append(line)
        buffer = io.BytesIO()
        book.save(buffer)
        content, kind = buffer.getvalue(), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    else:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([head, *body])  # headings may be empty or alike
        content, kind = text.getvalue().encode("utf-8-sig"), "text/csv; charset=utf-8"
    response = HttpResponse(content, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return response


def _cell(row: Mapping[str, Any], column: Column) -> Any:
    value = row.get(column.key)
    match column.kind:
        case "money":
            return None if value is None else to_major(int(value), row.get(column.currency) or "EUR")
        case "date" | "moment":
            return None if value is None else value.isoformat()
        case "integer":
            return value
        case "decimal" | "percent":
            return None if value is None else float(value)  # a spreadsheet knows no fractions
        case _:
            return None if value is None else harmless(str(value))
