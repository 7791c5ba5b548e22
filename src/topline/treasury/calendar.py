"""When recurring payments fall: paydays, rent days, and the day on which the bank takes the money."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from topline.treasury.models import Frequency

if TYPE_CHECKING:
    from holidays import HolidayBase

_STEP_DAYS = {Frequency.WEEKLY: 7, Frequency.BIWEEKLY: 14}
_STEP_MONTHS = {Frequency.MONTHLY: 1, Frequency.QUARTERLY: 3, Frequency.YEARLY: 12}


def occurrences(*, first_on: date, frequency: str, start: date, end: date, until: date | None = None) -> list[date]:
    """The days in [start, end) on which something falls that first fell on `first_on`.

    Monthly days clamp to the end of short months and come back (31 Jan, 28 Feb, 31 Mar); semimonthly means the 15th and
    the last day. Work: O(days returned).
    """
    last = min(end, until + timedelta(days=1)) if until else end
    if frequency == Frequency.ONCE:
        return [first_on] if start <= first_on < last else []
    if step := _STEP_DAYS.get(Frequency(frequency)):
        skipped = max(0, -(-(start - first_on).days // step))
        return [
            day
            for day in (first_on + timedelta(days=step * n) for n in range(skipped, skipped + (end - start).days // step + 2))
            if day < last
        ]
    if frequency == Frequency.SEMIMONTHLY:
        months = [_month(start, n) for n in range((end.year - start.year) * 12 + end.month - start.month + 1)]
        days = [
            d
            for first in months
            for d in (first.replace(day=15), first.replace(day=calendar.monthrange(first.year, first.month)[1]))
        ]
        return [d for d in days if max(start, first_on) <= d < last]
    step = _STEP_MONTHS[Frequency(frequency)]
    passed = max(0, ((start.year - first_on.year) * 12 + start.month - first_on.month) // step)
    days = []
    for n in range(passed, passed + (end - start).days // 28 // step + 3):
        first = _month(first_on, n * step)
        day = first.replace(day=min(first_on.day, calendar.monthrange(first.year, first.month)[1]))
        if start <= day < last:
            days.append(day)
    return days


def debit_day(payday: date, *, lead_days: int, country: str) -> date:
    """The business day on which the money must be there: `lead_days` business days before payday, holidays observed.

    A payday on a weekend or holiday is paid on the business day before it. Source: payroll processors' funding rules
    (funds by the debit date, 1 to 4 business days before payday).
    """
    closed = closed_days(country)
    day = payday
    while not _open(day, closed):
        day -= timedelta(days=1)
    for _ in range(lead_days):
        day -= timedelta(days=1)
        while not _open(day, closed):
            day -= timedelta(days=1)
    return day


@lru_cache(maxsize=64)
def closed_days(country: str) -> HolidayBase:
    """Bank holidays of a country; none where the country is unknown. Years are filled in as they are asked for."""
    import holidays  # here alone: its tables take a tenth of a second to load, and most commands need none

    supported = holidays.list_supported_countries(include_aliases=False)
    return holidays.country_holidays(country) if country in supported else holidays.HolidayBase()


def _open(day: date, closed: HolidayBase) -> bool:
    return day.weekday() < 5 and day not in closed


def _month(day: date, later: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + later, 12)
    return date(year, month + 1, 1)
