"""What late payment costs the debtor by law or contract: interest, its start, and the fixed sum for recovery.

Rates are percent a year as exact decimals; interest is simple, on actual days. Reference rates change by half-years; the
tables below are facts of the European Central Bank (main refinancing rate) and the Bank of England (Bank Rate).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from topline.kernel.errors import Invalid, NotFound, ensure
from topline.kernel.money import EXACT, Rounding, round_minor

D = Decimal
NOTHING = Decimal(0)
EU_DAYS_TO_PAY = 30  # Directive 2011/7/EU, article 3(3)(b): where no day was agreed

# Main refinancing rate on the first day of each half-year (Directive 2011/7/EU, article 2(7) and 3(2)). Held against the Banque de
# France's table of policy rates (dates of effect to October 2024) and, for the halves of 2025/26 that follow it, the Bundesbank's
# announcement of the base rate for 1 January 2026 (2.15 in the last operation of December and of June 2025). The rate of July 2026 is known from a second-hand quotation alone.
ECB = {
    (2013, 1): "0.75", (2013, 2): "0.50", (2014, 1): "0.25", (2014, 2): "0.15", (2015, 1): "0.05", (2015, 2): "0.05", (2016, 1): "0.05", (2016, 2): "0.00",
    (2017, 1): "0.00", (2017, 2): "0.00", (2018, 1): "0.00", (2018, 2): "0.00", (2019, 1): "0.00", (2019, 2): "0.00", (2020, 1): "0.00", (2020, 2): "0.00",
    (2021, 1): "0.00", (2021, 2): "0.00", (2022, 1): "0.00", (2022, 2): "0.00", (2023, 1): "2.50", (2023, 2): "4.00", (2024, 1): "4.50", (2024, 2): "4.25",
    (2025, 1): "3.15", (2025, 2): "2.15", (2026, 1): "2.15", (2026, 2): "2.40",
}  # fmt: skip
# Bank Rate on 31 December and 30 June, for the half-year after it (Late Payment of Commercial Debts (Rate of Interest) Order 2002). Held
# against the table of the Pay on Time campaign up to 2024, and the Bank's decisions of June 2024 and 2025 and 18 December 2025 (3.75).
BANK_OF_ENGLAND = {
    (2013, 1): "0.50", (2013, 2): "0.50", (2014, 1): "0.50", (2014, 2): "0.50", (2015, 1): "0.50", (2015, 2): "0.50", (2016, 1): "0.50", (2016, 2): "0.50",
    (2017, 1): "0.25", (2017, 2): "0.25", (2018, 1): "0.50", (2018, 2): "0.50", (2019, 1): "0.75", (2019, 2): "0.75", (2020, 1): "0.75", (2020, 2): "0.10",
    (2021, 1): "0.10", (2021, 2): "0.10", (2022, 1): "0.25", (2022, 2): "1.25", (2023, 1): "3.50", (2023, 2): "5.00", (2024, 1): "5.25", (2024, 2): "5.25",
    (2025, 1): "4.75", (2025, 2): "4.25", (2026, 1): "3.75",
}  # fmt: skip
UK_COMPENSATION = ((100_000, 4_000), (1_000_000, 7_000))  # debt below, sum (pence); from 10,000 pounds on 100 pounds
# Points above the reference rate: the Directive's minimum of 8, more where a member state's own rule is known here.
# Germany: 9 above its base rate (BGB 288), which has stood 0.88 below the main refinancing rate in every half-year of the table.
MARGIN_POINTS = {"EU": D(8), "UK": D(8), "DE": D("8.12")}
EU_STATES = frozenset(
    [
        "EU",
        "AT",
        "BE",
        "BG",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GR",
        "HR",
        "HU",
        "IE",
        "IT",
        "LT",
        "LU",
        "LV",
        "MT",
        "NL",
        "PL",
        "PT",
        "RO",
        "SE",
        "SI",
        "SK",
    ]
)


# States of the Union without the euro refer to the rate of their own central bank (Directive 2011/7/EU, article 2(7)(b)); their
# rates have no table here, and that of the European Central Bank would be the wrong one.
OWN_REFERENCE = frozenset(["CZ", "DK", "HU", "PL", "RO", "SE"])


def jurisdiction(country: str) -> str:
    """Under which table of late-payment rules a company's claims fall; empty where none is known."""
    if country in OWN_REFERENCE:
        return ""
    if country in {"GB", "UK"}:
        return "UK"
    return "DE" if country == "DE" else "EU" if country in EU_STATES else ""


@dataclass(frozen=True, slots=True)
class StatutoryRate:
    """percent a year, in force from the first to the last day of a half-year; `is_latest` when later tables were not known"""

    percent: Decimal
    first_on: date
    last_on: date
    is_latest: bool = False


@dataclass(frozen=True, slots=True)
class LateCharge:
    """What may be claimed on top of a late debt: interest, days and fixed compensation, in minor units."""

    days: int
    interest_minor: int
    compensation_minor: int
    spans: tuple[tuple[date, date, Decimal], ...]

    @property
    def total_minor(self) -> int:
        """Interest and compensation together."""
        return self.interest_minor + self.compensation_minor


def half_year(day: date) -> tuple[date, date]:
    """First and last day of the half-year that a day lies in."""
    return (date(day.year, 1, 1), date(day.year, 6, 30)) if day.month <= 6 else (date(day.year, 7, 1), date(day.year, 12, 31))


def statutory_rate(
    *, jurisdiction: str, reference_rate: Decimal, reference_on: date, margin_points: Decimal | None = None
) -> StatutoryRate:
    """Reference rate plus margin, and the half-year it governs.

    reference_on  the day on which the reference rate was read: 1 January / 1 July in the EU, 31 December / 30 June in the UK
    Raises: NotFound for a jurisdiction without a table.
    """
    margin = margin_points if margin_points is not None else _margin(jurisdiction)
    governed = reference_on + timedelta(days=1) if jurisdiction == "UK" else reference_on
    return StatutoryRate(reference_rate + margin, *half_year(governed))


def rate_on(jurisdiction: str, day: date) -> StatutoryRate:
    """The statutory rate in force on a day; days after the tables' end take the last half-year and say so.

    Raises: NotFound (jurisdiction without a table, days before 2013).
    """
    table = BANK_OF_ENGLAND if jurisdiction == "UK" else ECB
    margin = _margin(jurisdiction)
    key = (day.year, 1 if day.month <= 6 else 2)
    ensure(
        key >= min(table), NotFound(f"There is no reference rate for {day}.", field="day", remedy="Use the rate of the contract.")
    )
    is_latest = key > max(table)
    return StatutoryRate(D(table[min(key, max(table))]) + margin, *half_year(day), is_latest=is_latest)


def interest_from(*, due_on: date | None, invoice_received_on: date | None = None, goods_received_on: date | None = None) -> date:
    """The first day that bears interest: the day after the agreed day, or after 30 days from invoice or goods, whichever came later.

    Source: Directive 2011/7/EU, article 3(3). Raises: Invalid when nothing is known.
    """
    if due_on is not None:
        return due_on + timedelta(days=1)
    known = [d for d in (invoice_received_on, goods_received_on) if d is not None]
    ensure(bool(known), Invalid("Neither a due day nor the receipt is known.", field="due_on"))
    return max(known) + timedelta(days=EU_DAYS_TO_PAY + 1)


def days_late(*, due_on: date, paid_on: date) -> int:
    """Days that bear interest: the due day is not counted, the day of payment is."""
    return max(0, (paid_on - due_on).days)


def simple_interest(
    *,
    principal_minor: int,
    rate_percent: Decimal,
    days: int,
    year_days: int = 365,
    daily_rounded_first: bool = False,
    rounding: Rounding = "half_away",
) -> int:
    """Simple interest in minor units: principal x rate x days / year.

    daily_rounded_first  round the interest of one day before multiplying, as British guides do; else once at the end
    """
    yearly = EXACT.multiply(D(principal_minor), rate_percent)
    if daily_rounded_first:
        return round_minor(EXACT.divide(yearly, D(100 * year_days)), rounding) * days
    return round_minor(EXACT.divide(yearly * days, D(100 * year_days)), rounding)


def compensation(*, jurisdiction: str, debt_minor: int) -> int:
    """The fixed sum for the cost of recovery, in cents or pence per invoice (for the EU: 40 euros, CJEU C-78/22: per late instalment)."""
    if jurisdiction == "UK":
        return next((amount for below, amount in UK_COMPENSATION if debt_minor < below), 10_000)
    _margin(jurisdiction)
    return 4_000


def late_charge(
    *,
    jurisdiction: str,
    principal_minor: int,
    due_on: date,
    until: date,
    contract_percent: Decimal | None = None,
    paid: Sequence[tuple[date, int]] = (),
) -> LateCharge:
    """Interest on a late debt until a day, split where the rate changes or a part was paid, and the fixed compensation.

    contract_percent  the yearly rate of the contract, which then takes the place of the statutory one
    paid              parts paid after the due day, each counted from the day after it came
    """
    points = sorted({due_on, until, *(d for d, _ in paid if due_on < d < until), *_half_year_ends(due_on, until)})
    exact, spans = D(0), []
    for first, last in itertools.pairwise(points):
        rest = principal_minor - sum(a for d, a in paid if d <= first)
        percent = contract_percent if contract_percent is not None else rate_on(jurisdiction, first + timedelta(days=1)).percent
        exact += EXACT.divide(EXACT.multiply(D(max(0, rest)), percent) * (last - first).days, D(36_500))
        spans.append((first + timedelta(days=1), last, percent))
    days = days_late(due_on=due_on, paid_on=until)
    fixed = compensation(jurisdiction=jurisdiction, debt_minor=principal_minor) if days and contract_percent is None else 0
    return LateCharge(days, round_minor(exact), fixed, tuple(spans))


def level_of(*, days_overdue: int, level_days: Sequence[int]) -> int:
    """The level of a ladder that a debt has reached: 0 before the first threshold, which itself counts."""
    return sum(days_overdue >= threshold for threshold in level_days)


def dunning_fee(*, overdue_minor: int, fixed_minor: int = 0, percent: Decimal = NOTHING) -> int:
    """The fee of a level: a fixed sum and a share of the original overdue amount, never of earlier fees."""
    return fixed_minor + round_minor(EXACT.divide(EXACT.multiply(D(overdue_minor), percent), D(100)))


def _half_year_ends(start: date, end: date) -> list[date]:
    days = [date(year, *last) for year in range(start.year, end.year + 1) for last in ((6, 30), (12, 31))]
    return [day for day in days if start < day < end]


def _margin(jurisdiction: str) -> Decimal:
    known = jurisdiction in MARGIN_POINTS or jurisdiction in EU_STATES
    ensure(
        known,
        NotFound(
            f"There is no late-payment table for {jurisdiction!r}.", field="jurisdiction", remedy="Use the rate of the contract."
        ),
    )
    return MARGIN_POINTS.get(jurisdiction, MARGIN_POINTS["EU"])
