"""What each way to deal with a large debt is worth: options side by side, at what cash costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topline.kernel.errors import Invalid, ensure


@dataclass(frozen=True, slots=True)
class Option:
    """One way to deal with a large debt.

    arrives           (days from today, probability that the cash comes then); probabilities add up to at most 1
    share             of the debt that is received at best (a settlement gives up the rest)
    cost_percent      of what is received (agency, factor); fixed_minor: what it costs in any case
    churn             probability that the customer leaves because of it
    otherwise         the same as arrives for the whole debt where the option brings nothing: what waiting would have brought
    needs_approval    of a second person, before it is done
    """

    name: str
    arrives: tuple[tuple[int, float], ...]
    share: float = 1.0
    cost_percent: float = 0.0
    fixed_minor: int = 0
    churn: float = 0.0
    otherwise: tuple[tuple[int, float], ...] = ()
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

    What an option does not bring may still come by waiting: `otherwise`, with what is left of the probability.
    yearly_percent  the marginal cost of cash: the line's rate, or the dearer one when a payroll is at risk
    Raises: Invalid when an option's probabilities exceed 1 or are negative.
    """
    found = []
    for option in options:
        days, chances = _columns(option.name, option.arrives)
        later, rest = _columns(option.name, option.otherwise)
        net = np.r_[
            debt_minor * option.share * (1 - option.cost_percent / 100) * chances, debt_minor * (1 - float(chances.sum())) * rest
        ]
        days = np.r_[days, later]
        value = (
            float((net * (1 + yearly_percent / 100) ** (-days / 365)).sum())
            - option.fixed_minor
            - option.churn * future_margin_minor
        )
        found.append(Worth(option, round(float(net.sum())), round(float(net[days <= need_in_days].sum())), round(value)))
    return sorted(found, key=lambda worth: (-worth.value_minor, worth.option.name))


def _columns(name: str, chances: Sequence[tuple[int, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Days and probabilities. Raises: Invalid when they exceed 1 together or one is negative."""
    values = np.array([p for _, p in chances], dtype=float)
    ensure(
        bool((values >= 0).all()) and float(values.sum()) <= 1 + 1e-9,
        Invalid(f"The probabilities of {name} must lie between 0 and 1 together.", field="arrives"),
    )
    return np.array([day for day, _ in chances], dtype=float), values


def agency_percent(*, age_days: int, small_or_foreign: bool = False) -> int:
    """The contingency fee that agencies usually ask, by age of the debt; a default to edit."""
    if small_or_foreign:
        return 35
    return 20 if age_days <= 120 else 25 if age_days <= 180 else 30


def expected_net_minor(*, debt_minor: int, recovery_percent: float, fee_percent: float, fixed_minor: int = 0) -> int:
    """What a debt handed to an agency or a court is expected to bring, fees paid."""
    return round(debt_minor * recovery_percent / 100 * (1 - fee_percent / 100)) - fixed_minor
