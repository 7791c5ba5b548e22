"""Payment terms as data: which part is due when.

A plan is an ordered list of parts; each takes a percentage of the total, a fixed amount or what remains, and says when it is
due counted from the day of issue. Month arithmetic clamps to the end of short months.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

import polars as pl

from topline.kernel import money
from topline.kernel.errors import Invalid


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a plan. Exactly one of percent, fixed_minor; neither means the remainder.

    Due: issue day + months, then day of month set (`day`, 31 means the last), then + days. With `days_first`, days come first.
    """

    percent: Decimal | None = None
    percent_of: Literal["total", "rest"] = "rest"
    fixed_minor: int | None = None
    months: int = 0
    days: int = 0
    day: int | None = None
    days_first: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """A plan, and the discount for paying early that may come with it (2/10 net 30)."""

    parts: tuple[Part, ...]
    discount_percent: Decimal = Decimal(0)
    discount_days: int = 0


class UnknownTerms(Invalid):
    """The text is no payment term that we can read."""

    code = "unknown_terms"


_NET = re.compile(
    r"(?:(?P<percent>\d+(?:\.\d+)?)\s*/\s*(?P<within>\d+)\s*,?\s*)?(?:net|n/?)\s*(?P<days>\d+)(?P<eom>\s*(?:eom|days?\s+end\s+of\s+month|end\s+of\s+month))?"
)
_PARTS = re.compile(r"(?P<percent>\d+(?:\.\d+)?)\s*%\s*(?:in|after|net)?\s*(?P<days>\d+)")


def parse_terms(text: str) -> Terms:
    """Terms as people write them: `net 30`, `2/10 net 30`, `net 30 eom`, `due on receipt`, `50% 0, 50% 30`.

    Raises: UnknownTerms.
    """
    plain = " ".join(text.lower().split())
    if plain in {"due on receipt", "on receipt", "immediate", "cash"}:
        return Terms((Part(),))
    if match := _NET.fullmatch(plain):
        end = 31 if match["eom"] else None
        part = Part(days=int(match["days"]), day=end, days_first=bool(end))
        return Terms((part,), Decimal(match["percent"] or 0), int(match["within"] or 0))
    found = [_PARTS.fullmatch(piece.strip()) for piece in plain.split(",")]
    if len(found) > 1 and all(found):
        shares = [(Decimal(m["percent"]), int(m["days"])) for m in found if m]
        whole = sum(p for p, _ in shares)
        if whole != 100:
            raise UnknownTerms(
                f"The parts of {text!r} come to {whole} %.", field="terms", remedy="Change them until they come to 100 %."
            )
        parts = [Part(percent=p, percent_of="total", days=d) for p, d in shares[:-1]]
        return Terms((*parts, Part(days=shares[-1][1])))
    raise UnknownTerms(
        f"{text!r} are no payment terms that Topline can read.",
        field="terms",
        remedy="Write net 30, 2/10 net 30, net 30 eom or 50% 0, 50% 30.",
    )


def due_day(issued_on: date, part: Part) -> date:
    """The day on which a part is due."""
    day = issued_on + timedelta(days=part.days) if part.days_first else issued_on
    year, month = divmod(day.year * 12 + day.month - 1 + part.months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    day = date(year, month + 1, min(part.day or day.day, last))
    return day if part.days_first else day + timedelta(days=part.days)


def instalments(*, total_minor: int, issued_on: date, parts: Sequence[Part]) -> list[tuple[date, int]]:
    """When a total is due and how much: (day, minor units), adding up to the total; the remainder takes the cents.

    A credit note follows the same plan: a fixed part takes the sign of the total.
    """
    rest, found = total_minor, []
    for part in parts:
        if part.fixed_minor is not None:
            amount = part.fixed_minor if total_minor >= 0 else -part.fixed_minor
        elif part.percent is not None:
            amount = money.round_minor(Decimal(total_minor if part.percent_of == "total" else rest) * part.percent / 100)
        else:
            amount = rest
        found.append((due_day(issued_on, part), amount))
        rest -= amount
    if rest:
        raise Invalid(
            f"The plan leaves {rest} minor units without a due day.",
            field="parts",
            remedy="End it with a part for the remainder.",
        )
    return found


def schedule(invoices: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """Instalments of a batch of invoices that share their terms.

    invoices  one row per invoice: id, total_minor i64, issued_on date
    returns   one row per part: id, position i64 from 1, due_on date, amount_minor i64; parts of an invoice add up to its total
    Work: O(invoices x parts); days are worked out once per issue day.
    """
    days = invoices.select("issued_on").unique()
    left, rows = pl.col("total_minor"), []
    for position, part in enumerate(terms.parts, 1):
        due = days.with_columns(due_on=pl.Series([due_day(d, part) for d in days["issued_on"]], dtype=pl.Date))
        rows.append((position, part, due))
    frame, parts = invoices.with_columns(_rest=left), []
    for position, part, due in rows:
        if part.fixed_minor is not None:
            amount = pl.when(pl.col("total_minor") >= 0).then(part.fixed_minor).otherwise(-part.fixed_minor).cast(pl.Int64)
        elif part.percent is not None:
            of = pl.col("total_minor") if part.percent_of == "total" else pl.col("_rest")
            exact = (
                of.cast(pl.Decimal(38, 6)) * pl.lit(part.percent).cast(pl.Decimal(38, 6)) / pl.lit(100).cast(pl.Decimal(38, 6))
            )
            amount = exact.round(0, mode="half_away_from_zero").cast(pl.Int64)
        else:
            amount = pl.col("_rest")
        frame = frame.with_columns(_amount=amount)
        parts.append(
            frame.join(due, on="issued_on", maintain_order="left").select(
                "id", "due_on", amount_minor="_amount", position=pl.lit(position, dtype=pl.Int64)
            )
        )
        frame = frame.with_columns(_rest=pl.col("_rest") - pl.col("_amount"))
    if not bool((frame["_rest"] == 0).all()):
        raise Invalid("The plan does not cover the total.", field="parts", remedy="End it with a part for the remainder.")
    return pl.concat(parts)


def reschedule_by_amount(*, total_minor: int, each_minor: int, every_months: int, first_on: date) -> list[tuple[date, int]]:
    """A debt in equal amounts every n months; the last is the smaller remainder. Raises: Invalid for amounts of zero or less."""
    if each_minor <= 0 or total_minor <= 0:
        raise Invalid("Instalments must be more than zero.", field="each_minor")
    count = -(-total_minor // each_minor)
    amounts = [each_minor] * (count - 1) + [total_minor - each_minor * (count - 1)]
    return [(due_day(first_on, Part(months=n * every_months)), amount) for n, amount in enumerate(amounts)]


def reschedule_by_count(*, total_minor: int, count: int, every_months: int, first_on: date) -> list[tuple[date, int]]:
    """A debt in n equal terms; the last takes the odd cents."""
    amounts = money.split_evenly(total_minor, count, odd_cent="last")
    return [(due_day(first_on, Part(months=n * every_months)), amount) for n, amount in enumerate(amounts)]
