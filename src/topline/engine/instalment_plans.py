"""Payment plans with interest: level parts on given days, annuities, present values, annual percentage rates, day counts.

Interest is simple on the outstanding principal over actual days and is rounded on each payment day; a payment covers
interest first. The level part is a whole cent; the last one clears the balance.
"""

from __future__ import annotations

import calendar
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from topline.kernel.errors import Invalid, ensure
from topline.kernel.money import EXACT, Rounding, round_minor

D = Decimal
LastPart = Literal["not_above", "not_below", "closest"]
DayCount = Literal["act/act-isda", "act/act-afb", "30/360", "act/360", "act/365"]
Unit = Literal["month", "half-month", "week", "two weeks", "term"]
PERIODS_A_YEAR: dict[Unit, int] = {"month": 12, "half-month": 24, "week": 52, "two weeks": 26}


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """payments  (day, amount in minor units) in order; interest_minor  all interest together"""

    payments: tuple[tuple[date, int], ...]
    interest_minor: int

    @property
    def level_minor(self) -> int:
        """The part paid each time but the last."""
        return self.payments[0][1]

    @property
    def total_minor(self) -> int:
        """What is paid in all."""
        return sum(amount for _, amount in self.payments)


def level_plan(
    *,
    principal_minor: int,
    start_on: date,
    payment_days: Sequence[date],
    daily_percent: Decimal,
    rounding: Rounding = "half_away",
    cap_minor: int | None = None,
    last: LastPart = "not_above",
) -> LevelPlan:
    """Equal parts on given days that clear a debt with its interest, the last one as near to the others as asked.

    daily_percent  interest a day on the outstanding principal
    cap_minor      interest never comes to more than this in all
    last           the last part is not above the level, not below it, or as close to it as a cent allows (then the lower level on a tie)
    Work: O(parts x log amount).
    Raises: Invalid (no days, days not rising or before the start, nothing owed).
    """
    ensure(principal_minor > 0, Invalid("Nothing is owed.", field="principal"))
    days = [start_on, *payment_days]
    ensure(
        len(days) > 1 and all(a < b for a, b in itertools.pairwise(days)),
        Invalid("Payment days must rise from the start.", field="payment_days"),
    )

    def run(level: int) -> tuple[int, int]:
        """The last part and all interest at a level."""
        balance, owed, taken = D(principal_minor), 0, 0
        for before, day in itertools.pairwise(days):
            accrued = round_minor(EXACT.divide(EXACT.multiply(balance, daily_percent) * (day - before).days, D(100)), rounding)
            accrued = accrued if cap_minor is None else min(accrued, cap_minor - taken)
            taken += accrued
            owed += accrued
            if day == days[-1]:
                break
            to_interest = min(owed, level)
            owed -= to_interest
            balance -= level - to_interest
        return int(balance) + owed, taken

    low, high = 1, 2 * run(0)[0] + 1  # the last part falls as the level rises
    while low < high:
        middle = (low + high) // 2
        if run(middle)[0] <= middle:
            high = middle
        else:
            low = middle + 1
    smallest = low  # the smallest level whose last part is not above it
    if last == "not_above" or len(payment_days) == 1:
        level = smallest
    elif last == "not_below":
        level = smallest if run(smallest)[0] == smallest else smallest - 1
    else:
        level = min((smallest - 1, smallest), key=lambda v: (abs(run(v)[0] - v), v))
    final, interest = run(level)
    parts = [level] * (len(payment_days) - 1) + [final]
    return LevelPlan(tuple(zip(payment_days, parts, strict=True)), interest)


def annuity_payment(*, principal: Decimal, period_percent: Decimal, periods: int) -> Decimal:
    """The exact level payment in arrears that clears a principal (IFRS 15, example 28)."""
    if period_percent == 0:
        return EXACT.divide(principal, D(periods))
    rate = EXACT.divide(period_percent, D(100))
    return EXACT.divide(EXACT.multiply(principal, rate), 1 - EXACT.power(1 + rate, D(-periods)))


def annuity_value(*, payment: Decimal, period_percent: Decimal, periods: int) -> Decimal:
    """The exact present value of a level payment in arrears."""
    if period_percent == 0:
        return payment * periods
    rate = EXACT.divide(period_percent, D(100))
    return EXACT.divide(EXACT.multiply(payment, 1 - EXACT.power(1 + rate, D(-periods))), rate)


def effective_apr(*, advance: Decimal, payments: Sequence[tuple[int, Decimal]]) -> float:
    """The annual percentage rate of EU and UK law: the yearly rate that makes payments worth the advance, days over 365.

    payments  (days after the advance, amount). Source: Directive 2008/48/EC, annex I. Raises: Invalid when nothing is paid back.
    """
    flows = [(day / 365, float(amount)) for day, amount in payments]
    return 100 * _solve(lambda i: sum(a / (1 + i) ** t for t, a in flows) - float(advance))


def actuarial_apr(
    *, advance: Decimal, advanced_on: date, first_payment_on: date, unit: Unit, payments: Sequence[Decimal]
) -> float:
    """The annual percentage rate of US law by the actuarial method with unit periods and an odd first period.

    unit      the period between payments; "term": a single payment at the end of the whole term
    payments  amounts, one each period from first_payment_on. Source: Regulation Z (12 CFR 1026), appendix J
    """
    if unit == "term":
        whole, fraction, a_year = 1, 0.0, 365 / (first_payment_on - advanced_on).days
    else:
        whole, fraction = _unit_periods(advanced_on, first_payment_on, unit)
        a_year = PERIODS_A_YEAR[unit]
    rate = _solve(
        lambda i: sum(float(p) / ((1 + fraction * i) * (1 + i) ** (whole + n)) for n, p in enumerate(payments)) - float(advance)
    )
    return 100 * rate * a_year


def year_fraction(start: date, end: date, basis: DayCount) -> Decimal:
    """The part of a year between two days by a named convention (ISDA 2006 section 4.16; AFB 1994)."""
    days = D((end - start).days)
    match basis:
        case "act/360":
            return EXACT.divide(days, D(360))
        case "act/365":
            return EXACT.divide(days, D(365))
        case "30/360":
            first = min(start.day, 30)
            last = 30 if end.day == 31 and first == 30 else end.day
            return EXACT.divide(D((end.year - start.year) * 360 + (end.month - start.month) * 30 + last - first), D(360))
        case "act/act-afb":
            return _afb(start, end)
        case _:
            return _isda(start, end)


def daily_percent(annual_percent: Decimal) -> Decimal:
    """A yearly rate as a daily one: over 365, in leap years too."""
    return EXACT.divide(annual_percent, D(365))


def _isda(start: date, end: date) -> Decimal:
    total, day = D(0), start
    while day < end:
        stop = min(end, date(day.year + 1, 1, 1))
        total += EXACT.divide(D((stop - day).days), D(366 if calendar.isleap(day.year) else 365))
        day = stop
    return total


def _afb(start: date, end: date) -> Decimal:
    """Whole years counted back from the end; the rest over 366 when it holds a 29 February."""
    years, stop = 0, end
    while _year_before(stop) >= start:
        years, stop = years + 1, _year_before(stop)
    leap = any(
        date(year, 2, 29) >= start and date(year, 2, 29) < stop
        for year in range(start.year, stop.year + 1)
        if calendar.isleap(year)
    )
    return years + EXACT.divide(D((stop - start).days), D(366 if leap else 365))


def _year_before(day: date) -> date:
    return day.replace(year=day.year - 1, day=28) if (day.month, day.day) == (2, 29) else day.replace(year=day.year - 1)


def _unit_periods(advanced_on: date, first_on: date, unit: Unit) -> tuple[int, float]:
    """Whole unit periods and the fraction before them, counted back from the first payment."""
    if unit in {"week", "two weeks"}:
        length = 7 if unit == "week" else 14
        whole, odd = divmod((first_on - advanced_on).days, length)
        return whole, odd / length
    whole, day = 0, first_on
    while (before := _month_before(day)) >= advanced_on:
        whole, day = whole + 1, before
    odd = (day - advanced_on).days
    if unit == "month":
        return whole, odd / 30
    halves, odd = divmod(odd, 15)
    return 2 * whole + halves, odd / 15


def _month_before(day: date) -> date:
    last = day.replace(day=1) - timedelta(days=1)
    return last.replace(day=min(day.day, last.day))


def _solve(value: Callable[[float], float]) -> float:
    """The rate at which a falling function is zero, by bisection to 1e-12. Raises: Invalid when there is none up to 1,000,000 %."""
    low, high = -0.99, 10_000.0
    ensure(value(low) >= 0 >= value(high), Invalid("No rate makes these payments worth the advance.", field="payments"))
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) > 0 else (low, middle)
    return (low + high) / 2
