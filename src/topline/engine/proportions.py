"""Two shares, or two averages, side by side: how far apart they are, and between which bounds the true difference lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import scipy  # its parts load where they are first used

NORMAL_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True, slots=True)
class Difference:
    """Second share or average less the first, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_told(self) -> bool:
        """Whether the interval leaves out 0, so that one share can be called the larger."""
        return self.low > 0 or self.high < 0


def chance_words(percent: int) -> str:
    """Fixed words for a probability, so that they mean the same everywhere."""
    return "very likely" if percent >= 90 else "likely" if percent >= 66 else "about even" if percent >= 33 else "unlikely"


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % score interval of one share. Source: Wilson, JASA 22 (1927) 209-212."""
    share, z2 = hits / of, NORMAL_95**2
    middle, half = 2 * hits + z2, NORMAL_95 * sqrt(z2 + 4 * hits * (1 - share))
    return max(0.0, (middle - half) / (2 * (of + z2))), min(1.0, (middle + half) / (2 * (of + z2)))


def difference(first: int, first_of: int, second: int, second_of: int) -> Difference | None:
    """How much larger the second share is than the first, with Newcombe's hybrid score interval; None where a group is empty.

    The interval joins the two Wilson intervals and stays honest for small groups and for shares of 0 and 1.
    Source: Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10.
    """
    if not first_of or not second_of:
        return None
    a, b = first / first_of, second / second_of
    (a_low, a_high), (b_low, b_high) = wilson(first, first_of), wilson(second, second_of)
    value = b - a
    return Difference(
        value, value - sqrt((b - b_low) ** 2 + (a_high - a) ** 2), value + sqrt((b_high - b) ** 2 + (a - a_low) ** 2)
    )


def mean_difference(first: Sequence[float], second: Sequence[float]) -> Difference | None:
    """How much larger the second average is than the first, with Welch's interval; None below two values on a side.

    Source: Welch, Biometrika 34 (1947) 28-35; the groups may vary differently.
    """
    if min(len(first), len(second)) < 2:
        return None
    means = [sum(group) / len(group) for group in (first, second)]
    errors = [
        sum((x - m) ** 2 for x in group) / (len(group) - 1) / len(group) for group, m in zip((first, second), means, strict=True)
    ]
    value, spread = means[1] - means[0], sum(errors)
    if not spread:
        return Difference(value, value, value)
    freedom = spread**2 / sum(e**2 / (len(group) - 1) for e, group in zip(errors, (first, second), strict=True))
    half = float(scipy.special.stdtrit(freedom, 0.975)) * sqrt(spread)
    return Difference(value, value - half, value + half)
