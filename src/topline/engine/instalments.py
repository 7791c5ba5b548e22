"""Payment plans: level payments with their interest, annuities, and the yearly rate that a plan amounts to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from topline.engine.terms import Part, due_day
from topline.kernel import money
from topline.kernel.errors import Invalid, ensure

Rounding = Literal["half up", "half even", "down"]
Final = Literal["not above level", "not below level", "closest to level"]
_MODES = {"half up": ROUND_HALF_UP, "half even": ROUND_HALF_EVEN, "down": ROUND_FLOOR}


@dataclass(frozen=True, slots=True)
class Row:
    """One payment of a plan; interest + principal = payment, left is the principal still owed after it."""

    due_on: date
    payment_minor: int
    interest_minor: int
    principal_minor: int
    left_minor: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that pays a debt off exactly: all payments are level but the last."""

    level_minor: int
    rows: tuple[Row, ...]

    @property
    def final_minor(self) -> int:
        return self.rows[-1].payment_minor

    @property
    def interest_minor(self) -> int:
        return sum(row.interest_minor for row in self.rows)

    @property
    def total_minor(self) -> int:
        return sum(row.payment_minor for row in self.rows)


def level_plan(
    *, principal_minor: int, start: date, due_on: Sequence[date], daily_percent: Fraction, interest_cap_minor: int | None = None,
    rounding: Rounding = "half up", final: Final = "not above level",
) -> Plan:  # fmt: skip
    """Equal payments on given days, with simple interest on the principal still owed; the last payment clears the debt.

    daily_percent  of the principal for each actual day; interest is rounded at each payment and paid before principal
    final          which level is chosen: the smallest whose last payment is not above it, the largest whose is not below it, or the
                   one whose last payment is closest to it
    Work: O(payments x log principal). Raises: Invalid for no debt, no days, or days that do not rise from the start.
    """
    ensure(principal_minor > 0, Invalid("There is no debt to pay off.", field="principal_minor"))
    days = [start, *due_on]
    ensure(
        len(due_on) > 0 and all(a < b for a, b in pairwise(days)),
        Invalid("Payment days must rise.", field="due_on"),
    )

    def rows(level: int) -> tuple[Row, ...]:
        return _pay_off(principal_minor, days, daily_percent, interest_cap_minor, rounding, level)

    low, high = 0, rows(0)[-1].payment_minor + 1
    while low < high:  # the smallest level whose last payment is not above it
        middle = (low + high) // 2
        if rows(middle)[-1].payment_minor <= middle:
            high = middle
        else:
            low = middle + 1
    below = low if rows(low)[-1].payment_minor == low else low - 1
    if final == "not above level":
        chosen = low
    elif final == "not below level":
        chosen = below
    else:
        chosen = min((low, below), key=lambda level: abs(rows(level)[-1].payment_minor - level))
    return Plan(chosen, rows(chosen))


def _pay_off(
    principal: int, days: Sequence[date], daily_percent: Fraction, cap: int | None, rounding: Rounding, level: int
) -> tuple[Row, ...]:
    owed, unpaid, charged, found = principal, 0, 0, []
    for number, (before, day) in enumerate(pairwise(days), 1):
        interest = _rounded(owed * daily_percent / 100 * (day - before).days, rounding)
        if cap is not None:
            interest = min(interest, cap - charged)
        charged, unpaid = charged + interest, unpaid + interest
        payment = owed + unpaid if number == len(days) - 1 else min(level, owed + unpaid)
        to_interest = min(payment, unpaid)
        unpaid -= to_interest
        owed -= payment - to_interest
        found.append(Row(day, payment, to_interest, payment - to_interest, owed))
    return tuple(found)


def _rounded(value: Fraction, rounding: Rounding) -> int:
    return int((Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal(1), rounding=_MODES[rounding]))


def fixed_plan(*, principal_minor: int, due_on: Sequence[date]) -> list[tuple[date, int]]:
    """A debt in equal parts without interest: (day, minor units); the last takes the odd cents, parts add up to the debt."""
    ensure(principal_minor > 0 and len(due_on) > 0, Invalid("Give a debt and at least one day.", field="due_on"))
    return list(zip(due_on, money.split_evenly(principal_minor, len(due_on), odd_cent="last"), strict=True))


def ensure_adds_up(plan: Sequence[tuple[date, int]], *, principal_minor: int) -> None:
    """Raises Invalid unless a plan agreed by hand pays exactly the debt, in rising days, each part above zero."""
    days = [day for day, _ in plan]
    total = sum(amount for _, amount in plan)
    ensure(all(amount > 0 for _, amount in plan), Invalid("Each instalment must be above zero.", field="plan"))
    ensure(days == sorted(set(days)), Invalid("Instalments must follow each other, one a day.", field="plan"))
    ensure(
        total == principal_minor,
        Invalid(
            f"The instalments make {total} minor units, the debt is {principal_minor}.",
            field="plan",
            remedy="Change the last one.",
        ),
    )


def annuity_payment(*, principal: Fraction, periodic_percent: Fraction, periods: int) -> Fraction:
    """The level payment in arrears, unrounded, that pays a debt off in so many periods."""
    return principal / _annuity_factor(periodic_percent, periods)


def present_value(*, payment: Fraction, periodic_percent: Fraction, periods: int) -> Fraction:
    """What a level payment in arrears is worth today."""
    return payment * _annuity_factor(periodic_percent, periods)


def _annuity_factor(periodic_percent: Fraction, periods: int) -> Fraction:
    rate = periodic_percent / 100
    return Fraction(periods) if rate == 0 else (1 - (1 + rate) ** -periods) / rate


def effective_apr(*, advance_minor: int, payments: Sequence[tuple[int, int]]) -> float:
    """The yearly effective rate in percent: payments are (days after the advance, minor units), a year has 365 days."""

    def worth(rate: float) -> float:
        return float(sum(amount / (1 + rate) ** (days / 365) for days, amount in payments)) - advance_minor

    return 100 * _root(worth)


UnitPeriod = Literal["month", "half-month", "two weeks", "week"]
_UNITS: dict[str, tuple[int, int]] = {"month": (12, 30), "half-month": (24, 15), "two weeks": (26, 14), "week": (52, 7)}


def actuarial_apr(
    *, advance_minor: int, advance_on: date, first_on: date, unit: UnitPeriod, payments_minor: Sequence[int]
) -> float:
    """The nominal yearly rate in percent by unit periods, with a first period that may be longer or shorter.

    Source: Regulation Z, Appendix J (b)(5)-(8): whole periods are counted back from the first payment, the rest is a fraction.
    """
    a_year, length = _UNITS[unit]
    whole, odd = _before_first(advance_on, first_on, unit, length)

    def worth(rate: float) -> float:
        later: float = sum(amount / (1 + rate) ** (whole + n) for n, amount in enumerate(payments_minor))
        return later / (1 + odd / length * rate) - advance_minor

    return 100 * a_year * _root(worth)


def single_payment_apr(*, advance_minor: int, payment_minor: int, days: int) -> Fraction:
    """The nominal yearly rate in percent of one payment within a year: the term is the unit period."""
    return Fraction(payment_minor - advance_minor, advance_minor) * 100 * 365 / days


def _before_first(advance_on: date, first_on: date, unit: UnitPeriod, length: int) -> tuple[int, int]:
    if unit != "month":
        return divmod((first_on - advance_on).days, length)
    whole = 0
    while due_day(first_on, Part(months=-(whole + 1))) >= advance_on:
        whole += 1
    return whole, (due_day(first_on, Part(months=-whole)) - advance_on).days


def _root(worth: Callable[[float], float]) -> float:
    """Where a falling function crosses zero, by halving."""
    low, high = -0.999, 1.0
    while worth(high) > 0:
        high *= 2
        ensure(high < 1e12, Invalid("No yearly rate makes these payments worth the advance.", field="payments"))
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if worth(middle) > 0 else (low, middle)
    return (low + high) / 2


def every(first_on: date, *, days: int, count: int) -> list[date]:
    """Payment days at a fixed distance."""
    return [first_on + timedelta(days=days * n) for n in range(count)]
