"""Intervals that hold as often as they say: a repair learned from forecasts that have met the truth.

Split conformal on the probability transform: where past payments fell outside the central intervals more often than promised,
every level is moved to the one that held. The curve keeps its middle and stays a distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topline.engine.payment_timing.book import Matrix
from topline.engine.payment_timing.scores import coverage

HONEST = (0.74, 0.87)  # an 80 % interval that holds this often is left alone
LEAST = 60  # scored forecasts before anything is repaired
PRIOR = 20.0  # scored forecasts that "as stated" counts for


@dataclass(frozen=True, slots=True)
class Repair:
    """A map of central levels: the interval said to hold `stated` of the time held `held`. Empty: nothing to repair."""

    stated: tuple[float, ...] = ()
    held: tuple[float, ...] = ()

    def of(self, pmf: Matrix) -> Matrix:
        """The same forecast with honest intervals; the middle stays. Work: O(cells)."""
        if not self.stated:
            return pmf
        reached = np.clip(np.cumsum(pmf, axis=1), 0.0, 1.0)
        outward = 2.0 * reached - 1.0
        moved = 0.5 + 0.5 * np.sign(outward) * np.interp(np.abs(outward), self.stated, self.held)
        moved[reached <= 0.0] = 0.0
        return np.diff(moved, axis=1, prepend=0.0)


def learn(pit: Matrix) -> Repair:
    """Repair where the 80 % interval did not hold 74 to 87 times in 100; else none.

    pit  mid-PIT of forecasts whose invoices were paid later
    """
    if len(pit) < LEAST or HONEST[0] <= coverage(pit, 0.8) <= HONEST[1]:
        return Repair()
    held = np.linspace(0.0, 1.0, 21)
    outward = np.sort(np.abs(2.0 * pit - 1.0))
    rank = np.ceil(held * (len(pit) + 1)).astype(np.int64)  # split conformal: the ceil(level (n + 1))-th smallest
    found = outward[np.clip(rank - 1, 0, len(pit) - 1)]
    stated = (len(pit) * found + PRIOR * held) / (len(pit) + PRIOR)
    stated[0], stated[-1] = 0.0, 1.0
    return Repair(tuple(np.maximum.accumulate(stated).tolist()), tuple(held.tolist()))
