"""The ladder of reminders: which step is due for which open invoice on a day. Columns in, columns out.

Steps are data. The default ladder follows common practice in business-to-business collections: a courtesy before the due
day, friendly, then firm, then final; a call instead of a third e-mail; agency and legal only with a second person's approval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from topline.kernel.errors import Invalid, ensure

CHANNELS = ("email", "call", "letter", "handover")


@dataclass(frozen=True, slots=True)
class Step:
    """One rung. days: relative to the due day, negative before it; template: the letter that an e-mail uses."""

    key: str
    days: int
    channel: str
    template: str = ""
    needs_approval: bool = False


LADDER = (
    Step("courtesy", -7, "email", "courtesy"),
    Step("due", 0, "email", "due"),
    Step("friendly", 3, "email", "friendly"),
    Step("second", 8, "email", "second"),
    Step("call", 15, "call"),
    Step("firm", 20, "email", "firm"),
    Step("final", 30, "email", "final", needs_approval=True),
    Step("agency", 45, "handover", needs_approval=True),
    Step("legal", 90, "handover", needs_approval=True),
)


def parse_steps(rows: Sequence[dict[str, Any]]) -> tuple[Step, ...]:
    """A ladder from data, in the order of days.

    Raises: Invalid (no steps, two alike, unknown channel or field, an e-mail without a letter).
    """
    ensure(bool(rows), Invalid("A ladder needs at least one step.", field="steps"))
    try:
        steps = tuple(sorted((Step(**row) for row in rows), key=lambda s: s.days))
    except TypeError as error:
        raise Invalid(f"A step cannot be read: {error}.", field="steps", remedy="Give key, days, channel, template.") from error
    for step in steps:
        ensure(
            step.channel in CHANNELS,
            Invalid(f"{step.channel!r} is no channel.", field="channel", remedy=f"Use {', '.join(CHANNELS)}."),
        )
        ensure(
            isinstance(step.days, int) and -60 <= step.days <= 720,
            Invalid(f"Step {step.key} lies {step.days} days off.", field="days"),
        )
        ensure(step.channel != "email" or bool(step.template), Invalid(f"Step {step.key} names no letter.", field="template"))
    ensure(len({s.key for s in steps}) == len(steps), Invalid("Two steps have the same key.", field="key"))
    ensure(len({s.days for s in steps}) == len(steps), Invalid("Two steps fall on the same day.", field="days"))
    return steps


def due_steps(items: pl.DataFrame, sent: pl.DataFrame, *, steps: Sequence[Step], as_of: date) -> pl.DataFrame:
    """The step that each open invoice has reached and not had: only the latest, so that nobody gets three letters at once.

    items    one row per open invoice: invoice_id, due_on
    sent     one row per step that an invoice has had: invoice_id, step
    returns  the items with a step to take, in their order, with step, step_days, channel, template, needs_approval
    Work: one as-of join and one anti-join, O(items log steps).
    """
    ladder = pl.DataFrame(
        [(s.key, s.days, s.channel, s.template, s.needs_approval) for s in sorted(steps, key=lambda s: s.days)],
        schema={
            "step": pl.String,
            "step_days": pl.Int64,
            "channel": pl.String,
            "template": pl.String,
            "needs_approval": pl.Boolean,
        },
        orient="row",
    )
    aged = items.with_row_index("_row").with_columns(_age=(pl.lit(as_of) - pl.col("due_on")).dt.total_days()).sort("_age")
    reached = aged.join_asof(ladder, left_on="_age", right_on="step_days", strategy="backward").filter(
        pl.col("step").is_not_null()
    )
    had = sent.join(ladder.select("step", had_days="step_days"), on="step").group_by("invoice_id").agg(pl.col("had_days").max())
    fresh = reached.join(had, on="invoice_id", how="left").filter(pl.col("had_days").fill_null(-1_000) < pl.col("step_days"))
    return fresh.sort("_row").drop("_row", "_age", "had_days")
