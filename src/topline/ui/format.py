"""How figures look on a page: Jinja filters."""

from __future__ import annotations

from datetime import date, datetime
from fractions import Fraction
from typing import Any

from topline.kernel.money import format_amount, to_major


def money(amount_minor: int | None, currency: str) -> str:
    """`1,234.50` in the decimals of the currency; a dash for nothing known."""
    return "–" if amount_minor is None else format_amount(int(amount_minor), currency).replace("-", "\u2212")


def whole(amount_minor: int | None, currency: str) -> str:
    """`1,235`: an amount without its cents, where many stand side by side."""
    return "–" if amount_minor is None else f"{to_major(amount_minor, currency):,.0f}".replace("-", "\u2212")


def day(value: date | datetime | None) -> str:
    """`31 Jan 2026`."""
    return f"{value.day} {value:%b %Y}" if value else "–"


def moment(value: datetime | None) -> str:
    """`31 Jan 2026, 14:05 UTC`."""
    return f"{value.day} {value:%b %Y, %H:%M} UTC" if value else "–"


def number(value: int | None) -> str:
    """`12,345`."""
    return "–" if value is None else f"{value:,}"


def decimal(value: Fraction | float | None, places: int = 1) -> str:
    """`26.3`; a dash where the figure is undefined."""
    return "–" if value is None else f"{float(value):,.{places}f}"


def percent(value: float | Fraction | None, places: int = 1) -> str:
    """A share as `12.3 %`."""
    return "–" if value is None else f"{100 * float(value):.{places}f} %"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 invoice`, `3 invoices`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def address_in(text: str) -> str:
    """The text where it is a web address that can be opened; empty where it is not."""
    return text if text.startswith(("https://", "http://")) and " " not in text else ""


def exact(value: int | float | Fraction | None) -> str:
    """A figure for programs: integers as they are, others with nine decimals, empty where it is undefined."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{float(value):.9f}"


FILTERS: dict[str, Any] = {
    "money": money,
    "whole": whole,
    "day": day,
    "moment": moment,
    "number": number,
    "decimal": decimal,
    "percent": percent,
    "plural": plural,
    "exact": exact,
}
