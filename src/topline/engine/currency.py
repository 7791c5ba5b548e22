"""Currencies: amounts at a rate, exchange results on settlement, and the rate that a two-currency entry implies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from topline.kernel import money
from topline.kernel.errors import Invalid


class RateMissing(Invalid):
    """There is no rate for the currency on or before the day; a missing rate is never 1."""

    code = "rate_missing"


def convert_minor(
    amount_minor: int, *, from_currency: str, to_currency: str, from_rate: Decimal | None, to_rate: Decimal | None
) -> int:
    """An amount in another currency, rounded once to its minor unit (half away from zero).

    from_rate, to_rate  units of each currency for one unit of the base
    Raises: RateMissing when either rate is None.
    """
    if from_rate is None or to_rate is None:
        missing = from_currency if from_rate is None else to_currency
        raise RateMissing(f"There is no exchange rate for {missing}.", field="currency", remedy="Add a rate for the day.")
    exact = (
        Fraction(amount_minor)
        * Fraction(to_rate)
        / Fraction(from_rate)
        * Fraction(10) ** (money.exponent(to_currency) - money.exponent(from_currency))
    )
    whole, rest = divmod(abs(exact.numerator), exact.denominator)
    rounded = whole + (2 * rest >= exact.denominator)
    return -rounded if exact < 0 else rounded


@dataclass(frozen=True, slots=True)
class Settlement:
    """What settling a foreign item does in the home currency: the rest written off, and the exchange result (gain positive)."""

    write_off_minor: int
    exchange_gain_minor: int


def settle_payable(
    *, booked_home_minor: int, booked_foreign_minor: int, paid_home_minor: int, paid_foreign_minor: int, rate: Decimal
) -> Settlement:
    """Close a foreign payable that was paid short: the foreign rest is written off at the day's rate, what is left is exchange result.

    rate  foreign units for one home unit on the day of settlement. Source: IAS 21.28.
    """
    rest = Fraction(booked_foreign_minor - paid_foreign_minor) / Fraction(rate)
    write_off = money.round_minor(Decimal(rest.numerator) / Decimal(rest.denominator))
    return Settlement(write_off, booked_home_minor - paid_home_minor - write_off)


def inferred_rate(postings: Sequence[tuple[str, Decimal]]) -> Fraction:
    """The rate that makes an entry of exactly two currencies balance: units of the second for one of the first.

    Raises: Invalid for any other number of currencies, or amounts of the same sign.
    """
    totals: dict[str, Fraction] = {}
    for currency, amount in postings:
        totals[currency] = totals.get(currency, Fraction(0)) + Fraction(amount)
    if len(totals) != 2:
        raise Invalid(
            f"{len(totals)} currencies cannot balance each other.",
            field="currency",
            remedy="Give each amount its worth in the home currency.",
        )
    first, second = totals.values()
    if first * second >= 0:
        raise Invalid("Both currencies move the same way; the entry does not balance.", field="amount")
    return abs(second / first)


def value_changes(quantities: Sequence[Decimal], prices: Sequence[Decimal]) -> tuple[list[Decimal], list[Decimal]]:
    """Value at each period's end, and what changed since the one before: price moves and quantity added together."""
    values = [quantity * price for quantity, price in zip(quantities, prices, strict=True)]
    return values, [after - before for before, after in pairwise(values)]
