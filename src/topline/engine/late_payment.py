"""What late payment costs the debtor by law or contract: interest, its start, and the fixed sum for recovery.

Rates are percent a year as exact decimals; interest is simple, on actual days. Reference rates change by half-years: their tables
and the rules that refer to them stand in `reference_rates`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType

from topline.engine import reference_rates as rates
from topline.kernel.errors import Invalid, ensure
from topline.kernel.money import EXACT, Rounding, round_minor

D = Decimal
NOTHING = Decimal(0)
EU_DAYS_TO_PAY = 30  # Directive 2011/7/EU, article 3(3)(b): where no day was agreed

NO_OWN: Mapping[rates.Half, Decimal] = MappingProxyType({})


def jurisdiction(country: str) -> str:
    """Under which table of late-payment rules a company's claims fall; empty where none is known."""
    return rates.jurisdiction_of(country)


@dataclass(frozen=True, slots=True)
class StatutoryRate:
    """percent a year, in force from the first to the last day of a half-year; `is_latest` when later tables were not known"""

    percent: Decimal
    first_on: date
    last_on: date
    is_latest: bool = False


@dataclass(frozen=True, slots=True)
class LateCharge:
    """What may be claimed on top of a late debt: interest, days and fixed compensation, in minor units.

    spans         first day, last day and yearly percent of each stretch
    principal_minor  what was owed when these days began
    unknown_from  the first day whose half-year has no published rate, so that the last known one was taken; None where all are known
    """

    days: int
    interest_minor: int
    compensation_minor: int
    spans: tuple[tuple[date, date, Decimal], ...]
    unknown_from: date | None = None
    principal_minor: int = 0

    @property
    def total_minor(self) -> int:
        """Interest and compensation together."""
        return self.interest_minor + self.compensation_minor


def half_year(day: date) -> tuple[date, date]:
    """First and last day of the half-year that a day lies in."""
    half = rates.half_of(day)
    return rates.first_day(half), rates.last_day(half)


def statutory_rate(
    *, jurisdiction: str, reference_rate: Decimal, reference_on: date, margin_points: Decimal | None = None
) -> StatutoryRate:
    """Reference rate plus margin, and the half-year it governs.

    reference_on  the day on which the reference rate was read: 1 January / 1 July in the EU, 31 December / 30 June in the UK
    Raises: NotFound for a jurisdiction without a table.
    """
    governed = reference_on + timedelta(days=1) if jurisdiction == "UK" else reference_on
    margin = margin_points if margin_points is not None else rates.margin(jurisdiction, rates.half_of(governed))
    return StatutoryRate(reference_rate + margin, *half_year(governed))


def rate_on(jurisdiction: str, day: date, *, own: Mapping[rates.Half, Decimal] = NO_OWN) -> StatutoryRate:
    """The statutory rate in force on a day; a day whose half-year is not known takes the last one that is and says so.

    own  reference rates that the company wrote down for this jurisdiction
    Raises: NotFound (jurisdiction without a table, days before anything known).
    """
    half = rates.half_of(day)
    percent, known = rates.published(jurisdiction, half, own=own)
    return StatutoryRate(percent + rates.margin(jurisdiction, half), *half_year(day), is_latest=known != half)


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
    """The fixed sum for the cost of recovery per late part, in minor units of the currency in which the rule states it."""
    return next(amount for below, amount in rates.law_of(jurisdiction).fixed if debt_minor < below)


def late_charge(
    *,
    jurisdiction: str,
    principal_minor: int,
    due_on: date,
    until: date,
    contract_percent: Decimal | None = None,
    paid: Sequence[tuple[date, int]] = (),
    claimed_until: date | None = None,
    own: Mapping[rates.Half, Decimal] = NO_OWN,
) -> LateCharge:
    """Interest on a late debt until a day, split where the rate changes or a part was paid, and the fixed compensation.

    principal_minor   what was owed when these days began
    contract_percent  the yearly rate of the contract, which then takes the place of the statutory one
    paid              parts paid after the days began, each counted from the day after it came
    claimed_until     the last day whose interest was claimed before; these days begin after it, and the compensation went with it
    own               reference rates that the company wrote down for this jurisdiction
    Raises: NotFound (jurisdiction, nothing known so early).
    """
    start = max(due_on, claimed_until) if claimed_until is not None else due_on
    until = max(start, until)
    holds = contract_percent is None and rates.law_of(jurisdiction).holds
    changes = [] if contract_percent is not None or holds else _half_year_ends(start, until)
    points = sorted({start, until, *(d for d, _ in paid if start < d < until), *changes})
    exact, spans, unknown = D(0), [], None
    for first, last in itertools.pairwise(points):
        rest = principal_minor - sum(a for d, a in paid if d <= first)
        if contract_percent is not None:
            percent = contract_percent
        else:
            ruling = (due_on if holds else first) + timedelta(days=1)
            rate = rate_on(jurisdiction, ruling, own=own)
            percent = rate.percent
            unknown = unknown or (first + timedelta(days=1) if rate.is_latest else None)
        exact += EXACT.divide(EXACT.multiply(D(max(0, rest)), percent) * (last - first).days, D(36_500))
        spans.append((first + timedelta(days=1), last, percent))
    days = days_late(due_on=start, paid_on=until)
    is_first = days and contract_percent is None and claimed_until is None
    fixed = compensation(jurisdiction=jurisdiction, debt_minor=principal_minor) if is_first else 0
    return LateCharge(days, round_minor(exact), fixed, tuple(spans), unknown, principal_minor)


def level_of(*, days_overdue: int, level_days: Sequence[int]) -> int:
    """The level of a ladder that a debt has reached: 0 before the first threshold, which itself counts."""
    return sum(days_overdue >= threshold for threshold in level_days)


def dunning_fee(*, overdue_minor: int, fixed_minor: int = 0, percent: Decimal = NOTHING) -> int:
    """The fee of a level: a fixed sum and a share of the original overdue amount, never of earlier fees."""
    return fixed_minor + round_minor(EXACT.divide(EXACT.multiply(D(overdue_minor), percent), D(100)))


def _half_year_ends(start: date, end: date) -> list[date]:
    days = [date(year, *last) for year in range(start.year, end.year + 1) for last in ((6, 30), (12, 31))]
    return [day for day in days if start < day < end]
