"""Collections as data: which dunning step is due, what it charges, and what each way to a large debt is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np
import polars as pl

from topline.kernel import money
from topline.kernel.errors import Invalid, ensure

Channel = Literal["email", "phone", "letter", "hold", "agency", "legal"]


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder: from that many days after the due day on (negative: before it), by that channel."""

    after_days: int
    name: str
    channel: Channel
    fee_minor: int = 0
    fee_percent: Decimal = Decimal(0)


STANDARD = (
    Step(-7, "courtesy", "email"), Step(0, "due today", "email"), Step(1, "friendly reminder", "email"), Step(8, "second reminder", "email"),
    Step(15, "call", "phone"), Step(22, "firm reminder", "email"), Step(30, "final notice", "hold"), Step(45, "agency", "agency"),
    Step(90, "legal", "legal"),
)  # fmt: skip
STOPS = ("disputed", "on_hold", "promised", "on_plan", "has_unapplied_cash")


def level(days_overdue: int, level_days: Sequence[int]) -> int:
    """How many levels a debt has reached; each begins on its day. 0: none."""
    return sum(days_overdue >= days for days in level_days)


def steps_due(items: pl.DataFrame, ladder: Sequence[Step] = STANDARD) -> pl.DataFrame:
    """The one step that each open item is due for today.

    items    one row per open item: item_id, age_days i64 past the due day, open_minor i64, last_step i64 or null (position of the
             last step taken, from 0), and disputed, on_hold, promised, on_plan, has_unapplied_cash bool
    returns  the same rows with step i64 or null (nothing to do), name, channel, stopped_by str or null. A step is never repeated; an
             item that grew old unseen starts at the step of its age, without those it missed
    Raises: Invalid unless the steps' days rise.
    """
    days = [step.after_days for step in ladder]
    ensure(len(days) > 0 and days == sorted(set(days)), Invalid("The days of the steps must rise.", field="ladder"))
    reached: pl.Expr = pl.lit(None, dtype=pl.Int64)
    stopped: pl.Expr = pl.lit(None, dtype=pl.String)
    for position, step in enumerate(ladder):
        reached = pl.when(pl.col("age_days") >= step.after_days).then(position).otherwise(reached)
    for stop in reversed(STOPS):
        stopped = pl.when(pl.col(stop)).then(pl.lit(stop)).otherwise(stopped)
    rows = items.with_columns(_reached=reached, stopped_by=stopped)
    fresh = (pl.col("_reached") > pl.col("last_step").fill_null(-1)) & pl.col("stopped_by").is_null() & (pl.col("open_minor") > 0)
    rows = rows.with_columns(step=pl.when(fresh).then("_reached")).drop("_reached")
    words = pl.DataFrame(
        {"step": range(len(ladder)), "name": [s.name for s in ladder], "channel": [s.channel for s in ladder]},
        schema_overrides={"step": pl.Int64},
    )
    return rows.join(words, on="step", how="left", maintain_order="left")


def fee_minor(step: Step, *, overdue_minor: int) -> int:
    """What a step charges: a flat fee and a percentage of the overdue amount itself, never of earlier fees."""
    return step.fee_minor + money.round_minor(Decimal(overdue_minor) * step.fee_percent / 100)


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
