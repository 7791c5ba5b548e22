"""How fast money comes in: days sales outstanding in three ways, the days lost to lateness, collection effectiveness.

Use gross figures (with tax) on both sides or net on both. A figure that is undefined is None, never 0 or infinity.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def dso_simple(*, receivables_minor: int, sales_minor: int, days: int) -> Fraction | None:
    """Days sales outstanding: receivables / credit sales x days of the sales' span."""
    return Fraction(receivables_minor * days, sales_minor) if sales_minor > 0 else None


def dso_countback(*, receivables_minor: int, sales: Sequence[tuple[int, int]]) -> Fraction | None:
    """Days sales outstanding by exhaustion: seasonal-proof, the default.

    sales  (days, credit sales in minor units) per month, newest first
    While what is left covers a month's sales, all its days count; the last month counts pro rata. A month without sales ends
    the walk. None when even all months do not use the balance up, or there were no sales: the figure would be invented.
    """
    left, days = receivables_minor, Fraction(0)
    if left <= 0:
        return Fraction(0)
    for month_days, sold in sales:
        if sold <= 0:
            return None
        if left <= sold:
            return days + Fraction(left * month_days, sold)
        left -= sold
        days += month_days
    return None


def best_possible_dso(*, current_minor: int, sales_minor: int, days: int) -> Fraction | None:
    """DSO if everybody paid on the due day: receivables not yet due / credit sales x days."""
    return dso_simple(receivables_minor=current_minor, sales_minor=sales_minor, days=days)


def average_days_delinquent(*, dso: Fraction | None, best_possible: Fraction | None) -> Fraction | None:
    """Days lost to lateness: DSO less best possible DSO, both by the same method and span."""
    return None if dso is None or best_possible is None else dso - best_possible


def cei(*, opening_minor: int, sales_minor: int, closing_minor: int, closing_current_minor: int) -> Fraction | None:
    """Collection effectiveness index in percent: collected / collectable over the whole span; 100 leaves nothing overdue."""
    collectable = opening_minor + sales_minor - closing_current_minor
    return Fraction(100 * (opening_minor + sales_minor - closing_minor), collectable) if collectable > 0 else None
