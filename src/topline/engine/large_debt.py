"""One large debt: what each way to deal with it brings by when, what that does to a payroll, and what own outcomes teach.

An assumption says how probable it is that a way brings the money, and after how many days. What it does not bring may still come
as if one had waited, unless the debt was given away or given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topline.engine.options import Option

Chances = tuple[tuple[int, float], ...]
SPREAD = (
    (0.5, 0.25),
    (1.0, 0.5),
    (2.0, 0.25),
)  # a quarter comes in half the time, half on the day, a quarter takes twice as long
WEIGHT = 12  # own outcomes that weigh as much as what was assumed


@dataclass(frozen=True, slots=True)
class Assumption:
    """What is assumed of one way to deal with a debt.

    chance        probability that it brings money in the end, 0 to 1
    days          after which half of that has come
    share         of the debt that then comes (a settlement gives up the rest)
    parts         payments in which it comes, every_days apart; first: share of the first one, None for equal parts
    cost_percent  of what is received; fixed_minor: in any case; churn: probability that the customer leaves because of it
    waits         whether what it does not bring may still come as if one had waited
    adds          whether it comes on top of waiting: the money comes by whichever of the two is sooner
    """

    key: str
    chance: float
    days: int
    share: float = 1.0
    parts: int = 1
    every_days: int = 30
    first: float | None = None
    cost_percent: float = 0.0
    fixed_minor: int = 0
    churn: float = 0.0
    waits: bool = True
    adds: bool = False
    needs_approval: bool = False

    @property
    def net_share(self) -> float:
        """Of the debt, what reaches the bank when it works."""
        return self.share * (1 - self.cost_percent / 100)

    def pieces(self) -> list[tuple[int, float]]:
        """(days after the first part, share of what is received) of each part."""
        head = 1 / self.parts if self.first is None or self.parts == 1 else self.first
        rest = (1 - head) / (self.parts - 1) if self.parts > 1 else 0.0
        return [(n * self.every_days, head if n == 0 else rest) for n in range(self.parts)]


def as_option(assumed: Assumption, *, waiting: Chances = ()) -> Option:
    """The assumption as an option that `options.evaluated` can weigh: probability by day, in parts by their share.

    What adds to waiting comes by the sooner of the two: P(by t) = 1 - (1 - option by t) (1 - waiting by t).
    """
    arrives = tuple(
        (round(assumed.days * stretch) + later, assumed.chance * part * share)
        for later, share in assumed.pieces()
        for stretch, part in SPREAD
    )
    if assumed.adds:
        arrives = _sooner(arrives, waiting)
    return Option(
        assumed.key,
        arrives,
        share=assumed.share,
        cost_percent=assumed.cost_percent,
        fixed_minor=assumed.fixed_minor,
        churn=assumed.churn,
        otherwise=waiting if assumed.waits and not assumed.adds else (),
        needs_approval=assumed.needs_approval,
    )


def _sooner(one: Chances, other: Chances) -> Chances:
    """The day of the sooner of two independent arrivals."""
    found, before = [], 0.0
    for day in sorted({d for d, _ in (*one, *other)}):
        reached = 1 - (1 - sum(p for d, p in one if d <= day)) * (1 - sum(p for d, p in other if d <= day))
        found.append((day, reached - before))
        before = reached
    return tuple(found)


def expected_by(option: Option, *, debt_minor: int, days: Sequence[int]) -> list[int]:
    """Expected cash, in minor units, by the end of each day ahead."""
    whole = debt_minor * option.share * (1 - option.cost_percent / 100)
    left = debt_minor * (1 - sum(p for _, p in option.arrives))
    return [
        round(whole * sum(p for d, p in option.arrives if d <= day) + left * sum(p for d, p in option.otherwise if d <= day))
        for day in days
    ]


def outcomes(assumed: Assumption, *, debt_minor: int, by_day: int, waiting: Chances = ()) -> list[tuple[float, int]]:
    """What may have come by the end of a day: (probability, minor units); the probabilities add up to 1."""
    whole = debt_minor * assumed.net_share
    if assumed.adds:
        p = sum(p for day, p in as_option(assumed, waiting=waiting).arrives if day <= by_day)
        return [(1 - p, 0), (p, round(whole))]
    found: dict[int, float] = {}
    for stretch, part in SPREAD:
        share = sum(s for later, s in assumed.pieces() if round(assumed.days * stretch) + later <= by_day)
        found[round(whole * share)] = found.get(round(whole * share), 0.0) + assumed.chance * part
    by_waiting = sum(p for d, p in waiting if d <= by_day) if assumed.waits else 0.0
    found[debt_minor] = found.get(debt_minor, 0.0) + (1 - assumed.chance) * by_waiting
    found[0] = found.get(0, 0.0) + (1 - assumed.chance) * (1 - by_waiting)
    return [(p, amount) for amount, p in sorted(found.items())]


def covered(without: NDArray[np.float64], *, need_minor: int, outcomes: Sequence[tuple[float, int]]) -> float:
    """The probability that a need is covered: futures of all other cash, and what the debt may bring, taken as independent.

    without  what stands there on the day in each future, the debt left out, in rising order. Work: one binary search an outcome.
    """
    count = len(without)
    return float(sum(p * (count - np.searchsorted(without, need_minor - amount, side="left")) / count for p, amount in outcomes))


def learned(assumed: float, *, won: int, tried: int, weight: int = WEIGHT) -> float:
    """An assumed probability drawn towards own outcomes: the mean of a beta distribution that weighs as much as `weight` outcomes."""
    return (assumed * weight + won) / (weight + tried)
