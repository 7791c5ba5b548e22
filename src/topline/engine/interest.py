"""What time costs: discounts for paying early, day counts, and interest on late payment by law or contract.

Rates are percent a year as exact decimals; amounts are minor units, rounded once unless a rule says otherwise.
Sources: Directive 2011/7/EU; Late Payment of Commercial Debts (Interest) Act 1998 and Rate of Interest Order 2002 (UK);
section 288 BGB (Germany); ISDA 2006 definitions 4.16 (day counts).
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from topline.kernel import money
from topline.kernel.errors import Invalid, ensure

D = Decimal
_WHOLE = D(100)


@dataclass(frozen=True, slots=True)
class DiscountCost:
    """What not taking (or giving) a discount costs: percent of the period, of a year simple, of a year compounded."""

    period_percent: Fraction
    simple_annual_percent: Fraction
    compound_annual_percent: float


def discount_cost(
    *, discount_percent: Decimal, discount_days: int, net_days: int, paid_on_day: int | None = None, year_days: int = 365
) -> DiscountCost:
    """The yearly price of an early-payment discount such as 2/10 net 30.

    paid_on_day  when the customer would pay otherwise, where that is known; else the net day
    Formula: d / (1 - d) x year / days gained. Zero for no discount.
    Raises: Invalid for a discount of the whole price or more, negative days, or no days gained.
    """
    ensure(0 <= discount_percent < 100, Invalid("A discount lies between 0 and under 100 percent.", field="discount_percent"))
    ensure(discount_days >= 0, Invalid("Discount days cannot be negative.", field="discount_days"))
    gained = (net_days if paid_on_day is None else paid_on_day) - discount_days
    ensure(gained > 0, Invalid("The discount ends no sooner than the payment is due.", field="discount_days"))
    share = Fraction(discount_percent) / 100
    period = share / (1 - share)
    return DiscountCost(period * 100, period * 100 * year_days / gained, ((1 + float(period)) ** (year_days / gained) - 1) * 100)


def offer_discount(*, amount_minor: int, days_sooner: int, annual_percent: Decimal, year_days: int = 365) -> int:
    """The discount in minor units that pays a customer that yearly rate for paying so many days sooner (simple, never negative)."""
    ensure(days_sooner >= 0, Invalid("An offer cannot ask for a later payment.", field="days_sooner"))
    growth = Fraction(annual_percent) / 100 * days_sooner / year_days
    return money.round_minor(_decimal(amount_minor * growth / (1 + growth)))


DayCount = Literal["act/act isda", "act/act afb", "30/360 bond", "act/360", "act/365"]


def year_fraction(start: date, end: date, *, basis: DayCount) -> Fraction:
    """The part of a year between two days."""
    days = (end - start).days
    if basis == "act/360":
        return Fraction(days, 360)
    if basis == "act/365":
        return Fraction(days, 365)
    if basis == "30/360 bond":
        first = min(start.day, 30)
        last = 30 if end.day == 31 and first == 30 else end.day
        return Fraction((end.year - start.year) * 360 + (end.month - start.month) * 30 + last - first, 360)
    if basis == "act/act isda":
        total = Fraction(0)
        for year in range(start.year, end.year + 1):
            low, high = max(start, date(year, 1, 1)), min(end, date(year + 1, 1, 1))
            total += Fraction((high - low).days, 366 if calendar.isleap(year) else 365)
        return total
    # AFB: whole years counted back from the end, the rest over 366 where it holds a 29 February
    years, left = 0, end
    while (earlier := _years_before(end, years + 1)) >= start:
        years, left = years + 1, earlier
    leap = any(calendar.isleap(y) and start <= date(y, 2, 29) < left for y in range(start.year, left.year + 1))
    return years + Fraction((left - start).days, 366 if leap else 365)


def _years_before(day: date, years: int) -> date:
    target = day.year - years
    return date(target, day.month, min(day.day, calendar.monthrange(target, day.month)[1]))


# Reference rates in force for each half-year, percent. A rate stands until the next; `known_until` is where the table ends.
# EU: ECB main refinancing operations on 1 January / 1 July. UK: Bank Rate on 31 December / 30 June before.
# DE: base rate of section 247 BGB, published by the Bundesbank.
_HALF_YEARS: dict[str, str] = {
    "EU": "2010-01 1.00, 2011-07 1.25, 2012-01 1.00, 2013-01 0.75, 2013-07 0.50, 2014-01 0.25, 2014-07 0.15, 2015-01 0.05, 2016-07 0.00, "
    "2023-01 2.50, 2023-07 4.00, 2024-01 4.50, 2024-07 4.25, 2025-01 3.15, 2025-07 2.15",
    "UK": "2010-01 0.50, 2017-01 0.25, 2018-01 0.50, 2019-01 0.75, 2020-07 0.10, 2022-01 0.25, 2022-07 1.25, 2023-01 3.50, 2023-07 5.00, "
    "2024-01 5.25, 2025-01 4.75, 2025-07 4.25, 2026-01 3.75",
    "DE": "2010-01 0.12, 2011-07 0.37, 2012-01 0.12, 2013-01 -0.13, 2013-07 -0.38, 2014-01 -0.63, 2014-07 -0.73, 2015-01 -0.83, "
    "2016-07 -0.88, 2023-01 1.62, 2023-07 3.12, 2024-01 3.62, 2024-07 3.37, 2025-01 2.27, 2025-07 1.27",
}
KNOWN_UNTIL = date(2026, 7, 1)
REFERENCE_RATES: dict[str, dict[date, Decimal]] = {
    base: {date.fromisoformat(f"{month}-01"): D(rate) for month, rate in (row.split() for row in text.split(", "))}
    for base, text in _HALF_YEARS.items()
}


@dataclass(frozen=True, slots=True)
class Regime:
    """A law of late payment: reference table, points above it, fixed sums by size of debt, and whether the rate moves with the half-year.

    compensation  (from this debt on, fixed sum), in minor units of `currency`
    """

    base: str
    margin_points: Decimal
    currency: str
    compensation: tuple[tuple[int, int], ...]
    moves: bool = True


REGIMES = {
    "EU": Regime("EU", D(8), "EUR", ((0, 40_00),)),
    "IE": Regime("EU", D(8), "EUR", ((0, 40_00), (1_000_00 + 1, 70_00), (10_000_00 + 1, 100_00))),
    "DE": Regime("DE", D(9), "EUR", ((0, 40_00),)),
    "UK": Regime("UK", D(8), "GBP", ((0, 40_00), (1_000_00, 70_00), (10_000_00, 100_00)), moves=False),
}


@dataclass(frozen=True, slots=True)
class StatutoryRate:
    """A yearly rate by law, and the half-year [applies_from, applies_to] in which it holds."""

    percent: Decimal
    applies_from: date
    applies_to: date


class ReferenceRateUnknown(Invalid):
    """No reference rate is on record for the half-year."""

    code = "reference_rate_unknown"


def half_year(day: date) -> tuple[date, date]:
    """First and last day of the half-year that a day lies in."""
    return (date(day.year, 1, 1), date(day.year, 6, 30)) if day.month <= 6 else (date(day.year, 7, 1), date(day.year, 12, 31))


def statutory_rate(law: str, *, day: date, published: Mapping[date, Decimal] | None = None) -> StatutoryRate:
    """The yearly rate for late payment on a day.

    published  reference rates that the company entered: first day of the half-year to percent; they go before our table
    Raises: ReferenceRateUnknown beyond the table.
    """
    regime = REGIMES[law]
    first, last = half_year(day)
    if published and first in published:
        return StatutoryRate(published[first] + regime.margin_points, first, last)
    table = REFERENCE_RATES[regime.base]
    ensure(
        min(table) <= first < KNOWN_UNTIL,
        ReferenceRateUnknown(
            f"No reference rate is on record for the half-year from {first}.", field="day", remedy="Enter the published rate."
        ),
    )
    return StatutoryRate(table[max(d for d in table if d <= first)] + regime.margin_points, first, last)


def compensation_minor(law: str, *, debt_minor: int) -> int:
    """The fixed sum for the cost of recovery that each late invoice gives a right to; bands include their lower end."""
    return max((sum_minor for floor, sum_minor in REGIMES[law].compensation if debt_minor >= floor), default=0)


def interest_from(*, agreed_due_on: date | None, invoice_received_on: date, goods_received_on: date | None = None) -> date:
    """The first day of interest: after the agreed day, or after 30 days from the later of invoice and goods."""
    due = agreed_due_on or max(invoice_received_on, goods_received_on or invoice_received_on) + timedelta(days=30)
    return due + timedelta(days=1)


def days_late(*, due_on: date, paid_on: date, grace_days: int = 0) -> int:
    """Days that bear interest: the due day does not, the day of payment does; none when paid within the days of grace."""
    late = (paid_on - due_on).days
    return late if late > grace_days else 0


def simple_interest_minor(
    *, principal_minor: int, annual_percent: Decimal, days: int, year_days: int = 365, daily_rounded: bool = False
) -> int:
    """Simple interest in minor units. daily_rounded: the day's figure is rounded first, as some courts' calculators do."""
    ensure(days >= 0, Invalid("Interest cannot run backwards.", field="days"))
    daily = Fraction(principal_minor) * Fraction(annual_percent) / 100 / year_days
    return money.round_minor(_decimal(daily)) * days if daily_rounded else money.round_minor(_decimal(daily * days))


def statutory_interest_minor(
    law: str, *, principal_minor: int, due_on: date, until: date, published: Mapping[date, Decimal] | None = None
) -> int:
    """Interest from the day after the due day up to and including `until`, rounded once.

    Where the law's rate moves, the time is split at each half-year; in the UK the rate of the first day of interest stays.
    """
    total, day = Fraction(0), due_on + timedelta(days=1)
    rate = statutory_rate(law, day=day, published=published)
    while day <= until:
        if REGIMES[law].moves:
            rate = statutory_rate(law, day=day, published=published)
        last = min(until, half_year(day)[1])
        total += Fraction(principal_minor) * Fraction(rate.percent) / 100 * ((last - day).days + 1) / 365
        day = last + timedelta(days=1)
    return money.round_minor(_decimal(total))


def factoring_annual_percent(
    *, fee_percent: Decimal, days: int, advance_percent: Decimal = _WHOLE, year_days: int = 365
) -> Fraction:
    """The yearly cost of selling an invoice: the fee on the money actually received, for the days until the customer pays."""
    ensure(
        days > 0 and 0 < advance_percent <= 100, Invalid("Give days above zero and an advance up to 100 percent.", field="days")
    )
    return Fraction(fee_percent) / Fraction(advance_percent) * 100 * year_days / days


def _decimal(value: Fraction) -> Decimal:
    return D(value.numerator) / D(value.denominator)
