"""The ladder of reminders: which step is due for which open invoice on a day. Columns in, columns out.

Steps are data. The default ladder follows common practice in business-to-business collections: a courtesy before the due
day, friendly, then firm, then final; a call instead of a third e-mail; agency and legal only with a second person's approval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

import polars as pl

from topline.kernel.errors import Invalid, ensure

CHANNELS = ("email", "call", "letter", "handover")
LONGEST_WAIT = 7  # days by which a near-equal way may leave later
SEED = "near-equal steps, 1"  # another seed would deal the customers anew


@dataclass(frozen=True, slots=True)
class Alternative:
    """A near-equal way to take a step: another channel, letter or (for an e-mail) some days later; what is empty is as in the step."""

    channel: str = ""
    template: str = ""
    wait_days: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One rung. days: relative to the due day, negative before it; template: the letter that an e-mail uses.

    is_randomised: customers are dealt between the step as it stands and its alternative.
    """

    key: str
    days: int
    channel: str
    template: str = ""
    needs_approval: bool = False
    alternative: Alternative | None = None
    is_randomised: bool = False

    @property
    def ways(self) -> tuple[Alternative, ...]:
        """The step as it stands, and its alternative where it names one; with nothing left empty that an e-mail needs."""
        own = Alternative(self.channel, self.template if self.channel == "email" else "")
        if self.alternative is None:
            return (own,)
        channel = self.alternative.channel or self.channel
        letter = (self.alternative.template or self.template) if channel == "email" else ""
        return own, Alternative(channel, letter, self.alternative.wait_days)


def in_words(way: Alternative) -> str:
    """A way in words, by which it is known for good: "email firm, 3 days later"."""
    later = f", {way.wait_days} day{'s' if way.wait_days > 1 else ''} later" if way.wait_days else ""
    return f"{way.channel} {way.template}".strip() + later


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

    Raises: Invalid (no steps, two alike, unknown channel or field, an e-mail without a letter, ways that are not near equal).
    """
    ensure(bool(rows), Invalid("A ladder needs at least one step.", field="steps"))
    try:
        steps = tuple(sorted((_step(row) for row in rows), key=lambda s: s.days))
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
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        _ensure_near_equal(step, after)
    return steps


def vary(due: pl.DataFrame, *, steps: Sequence[Step]) -> pl.DataFrame:
    """Deal the customers of randomised steps between the two ways of the step.

    The deal is a seeded hash of customer and step: the same on every day and machine, independent between steps.
    due      one row per invoice with its step, as due_steps gives it: customer_id, step, channel, template
    returns  the rows in their order with channel and template of the way dealt, variant (its words; "" where nothing is dealt)
             and wait_days
    Work: one hash per customer and randomised step.
    """
    dealt = {s.key: s.ways for s in steps if s.is_randomised and s.alternative}
    pairs = due.select("customer_id", "step").unique(maintain_order=True).filter(pl.col("step").is_in(list(dealt)))
    rows = [
        (customer_id, key, way.channel, way.template, in_words(way), way.wait_days)
        for customer_id, key in pairs.iter_rows()
        for way in [dealt[key][second_way(customer_id, key)]]
    ]
    words = ["step", "_channel", "_template", "variant"]
    schema: dict[str, type[pl.DataType]] = {"customer_id": pl.Int64, **dict.fromkeys(words, pl.String), "wait_days": pl.Int64}
    ways = pl.DataFrame(rows, schema=schema, orient="row")
    return (
        due.join(ways, on=["customer_id", "step"], how="left", maintain_order="left")
        .with_columns(
            pl.col("variant").fill_null(""), pl.col("wait_days").fill_null(0),
            channel=pl.coalesce("_channel", "channel"), template=pl.coalesce("_template", "template"),
        )
        .drop("_channel", "_template")
    )  # fmt: skip


def second_way(customer_id: int, step: str) -> bool:
    """Whether a customer takes the alternative of a randomised step: one bit of a seeded hash."""
    return bool(sha256(f"{SEED}:{customer_id}:{step}".encode()).digest()[0] & 1)


def _step(row: dict[str, Any]) -> Step:
    other = row.get("alternative")
    return Step(**{**row, "alternative": Alternative(**other) if isinstance(other, dict) else other})


def _ensure_near_equal(step: Step, after: Step | None) -> None:
    """Two ways can be compared when both are reminders of one kind, differ, and the later one leaves before the next step."""
    other = step.alternative
    if other is None:
        ensure(
            not step.is_randomised,
            Invalid(f"Step {step.key} has no second way to randomise.", field="is_randomised", remedy="Name an alternative."),
        )
        return
    own, second = step.ways
    ensure(
        step.channel != "handover" and second.channel in CHANNELS and second.channel != "handover" and not step.needs_approval,
        Invalid(
            f"Step {step.key} cannot have a second way.",
            field="alternative",
            remedy="Only e-mails, calls and letters that need no approval can.",
        ),
    )
    ensure(own != second, Invalid(f"The two ways of step {step.key} are the same.", field="alternative"))
    ensure(second.channel != "email" or bool(second.template), Invalid(f"Step {step.key} names no letter.", field="template"))
    ensure(
        max(len(in_words(own)), len(in_words(second))) <= 80,
        Invalid(f"A letter of step {step.key} has too long a name.", field="template"),
    )
    longest = min(LONGEST_WAIT, after.days - step.days - 1) if after else LONGEST_WAIT
    ensure(
        isinstance(second.wait_days, int) and 0 <= second.wait_days <= (longest if second.channel == "email" else 0),
        Invalid(
            f"Step {step.key} cannot leave {second.wait_days} days later.",
            field="wait_days",
            remedy=f"An e-mail may wait up to {longest} days: within a week, and before the next step.",
        ),
    )


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
