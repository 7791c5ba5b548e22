"""What each way to deal with a large debt is worth: options side by side, at what cash costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from topline.kernel.errors import Invalid, ensure


@dataclass(frozen=True, slots=True)
class Option:
    """One way to deal with a large debt.

    arrives           (days from today, probability that the cash comes then); probabilities add up to at most 1
    share             of the debt that is received at best (a settlement gives up the rest)
    cost_percent      of what is received (agency, factor); fixed_minor: what it costs in any case
    churn             probability that the customer leaves because of it
    needs_approval    of a second person, before it is done
    """

    name: str
    arrives: tuple[tuple[int, float], ...]
    share: float = 1.0
    cost_percent: float = 0.0
    fixed_minor: int = 0
    churn: float = 0.0
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class Worth:
    """What an option is expected to bring, in minor units: cash by the day it is needed, cash in all, and its value today."""

    option: Option
    expected_minor: int
    by_need_minor: int
    value_minor: int


def evaluated(
    options: Sequence[Option], *, debt_minor: int, yearly_percent: float, need_in_days: int, future_margin_minor: int = 0
) -> list[Worth]:
    """Options side by side, best first: EV = sum P(cash at t) x amount x (1 - cost) x (1 + k)^(-t / 365) - fixed - P(churn) x margin.

    yearly_percent  the marginal cost of cash: the line's rate, or the dearer one when a payroll is at risk
    Raises: Invalid when an option's probabilities exceed 1 or are negative.
    """
    found = []
    for option in options:
        days = np.array([day for day, _ in option.arrives], dtype=float)
        chances = np.array([p for _, p in option.arrives], dtype=float)
        ensure(
            bool((chances >= 0).all()) and float(chances.sum()) <= 1 + 1e-9,
            Invalid(f"The probabilities of {option.name} must lie between 0 and 1 together.", field="arrives"),
        )
        net = debt_minor * option.share * (1 - option.cost_percent / 100) * chances
        value = (
            float((net * (1 + yearly_percent / 100) ** (-days / 365)).sum())
            - option.fixed_minor
            - option.churn * future_margin_minor
        )
        found.append(Worth(option, round(float(net.sum())), round(float(net[days <= need_in_days].sum())), round(value)))
    return sorted(found, key=lambda worth: (-worth.value_minor, worth.option.name))


def agency_percent(*, age_days: int, small_or_foreign: bool = False) -> int:
    """The contingency fee that agencies usually ask, by age of the debt; a default to edit."""
    if small_or_foreign:
        return 35
    return 20 if age_days <= 120 else 25 if age_days <= 180 else 30


def expected_net_minor(*, debt_minor: int, recovery_percent: float, fee_percent: float, fixed_minor: int = 0) -> int:
    """What a debt handed to an agency or a court is expected to bring, fees paid."""
    return round(debt_minor * recovery_percent / 100 * (1 - fee_percent / 100)) - fixed_minor
