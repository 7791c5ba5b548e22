"""Which of a customer's open items add up to an amount, and how easily chance would do the same."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

MOST_ITEMS = 16  # of one customer; with more the search is not made, and the reason says so
LARGEST_SET = 6


@dataclass(frozen=True, slots=True)
class Found:
    """Positions of the one set that adds up, how many sets do, and how many would by chance alone."""

    positions: tuple[int, ...]
    solutions: int
    chance: float


_SIZES = np.array([n.bit_count() for n in range(1 << MOST_ITEMS)], dtype=np.int8)


def adding_up(amounts_minor: list[int], target_minor: int) -> Found:
    """Sets of up to six items whose sum is exactly the target; `positions` is empty unless exactly one is.

    amounts_minor  at most 16 positive amounts
    chance         sets tried x step / total, the step being the largest amount that divides all: round amounts coincide easily
    Work: O(2^n), one vector of sums.
    """
    sums = np.zeros(1, dtype=np.int64)
    for amount in amounts_minor:
        sums = np.concatenate([sums, sums + amount])
    small = _SIZES[: len(sums)] <= LARGEST_SET
    hits = np.flatnonzero((sums == target_minor) & small)
    hits = hits[hits > 0]
    total = max(sum(amounts_minor), 1)
    chance = float(small.sum()) * gcd(*amounts_minor, target_minor) / total
    if len(hits) != 1:
        return Found((), len(hits), chance)
    mask = int(hits[0])
    return Found(tuple(n for n in range(len(amounts_minor)) if mask >> n & 1), 1, chance)
