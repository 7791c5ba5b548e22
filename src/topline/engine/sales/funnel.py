"""How many get from step to step, how long each takes, and what more of them would bring.

Deals are followed from the span in which they began. A step that was skipped counts as passed, a step back does not undo what was
passed, and an open deal is counted where it stands: its time in the step is known to be at least so long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import prod

import polars as pl


def funnel(
    moves: pl.DataFrame, stages: pl.DataFrame, *, as_of: date, since: date | None = None, until: date | None = None
) -> pl.DataFrame:
    """The steps of a cohort.

    moves         one row per move: opportunity_id i64, stage str (the key entered), entered_on date, in the order of recording
    stages        the steps in order: key, name, position, kind (open, won, lost)
    as_of         moves after the day are not known
    since, until  the cohort: deals whose first move lies in [since, until)
    returns       one row per open stage and one for won, in order: key, name, entered (reached it, or a later one), passed (reached the next),
                  lost (ended after it), waiting (are open with it as the furthest), conversion (passed / entered), decided (passed / (passed +
                  lost): of those whose fate is known), median_days, p90_days (in the stage, by Kaplan-Meier; null where so many have not left)
    Work: one sort of the moves.
    """
    fate = fates(moves, stages, as_of=as_of, since=since, until=until)
    steps = _steps(stages)
    at_step, is_lost = pl.col("_furthest") == pl.col("_step"), pl.col("_now") == "lost"
    met = (
        steps.join(fate, how="cross")
        .group_by("_step", maintain_order=True)
        .agg(
            entered=(pl.col("_furthest") >= pl.col("_step")).sum(),
            passed=(pl.col("_furthest") > pl.col("_step")).sum(),
            lost=(at_step & is_lost).sum(),
            waiting=(at_step & (pl.col("_now") == "open")).sum(),
        )
    )
    told = steps.join(met, on="_step", how="left", maintain_order="left").with_columns(
        pl.col("entered", "passed", "lost", "waiting").cast(pl.Int64).fill_null(0)
    )
    is_open = pl.col("kind") == "open"
    return (
        told.with_columns(
            conversion=pl.when(is_open & (pl.col("entered") > 0)).then(pl.col("passed") / pl.col("entered")),
            decided=pl.when(is_open & (pl.col("passed") + pl.col("lost") > 0)).then(pl.col("passed") / (pl.col("passed") + pl.col("lost"))),
        )
        .join(times_in_stage(_cohort(moves, as_of=as_of, since=since, until=until), as_of=as_of), left_on="key", right_on="stage", how="left", maintain_order="left")
        .with_columns(pl.when(is_open).then(c).alias(c) for c in ("median_days", "p90_days"))
        .select("key", "name", "kind", "entered", "passed", "lost", "waiting", "conversion", "decided", "median_days", "p90_days")
    )  # fmt: skip


def fates(
    moves: pl.DataFrame, stages: pl.DataFrame, *, as_of: date, since: date | None = None, until: date | None = None
) -> pl.DataFrame:
    """How far each deal of a cohort got, and what it is now; inputs as for `funnel`.

    returns  one row per deal: opportunity_id, _furthest i64 (place among the open stages and won; 0 where only the loss is known), _now
             (open, won, lost)
    """
    cohort = _cohort(moves, as_of=as_of, since=since, until=until)
    placed = cohort.join(stages.select(stage="key", _kind="kind"), on="stage", how="left", maintain_order="left").join(
        _steps(stages).select("_step", stage="key"), on="stage", how="left", maintain_order="left"
    )
    return placed.group_by("opportunity_id", maintain_order=True).agg(
        _furthest=pl.col("_step").max().fill_null(0), _now=pl.col("_kind").last()
    )


def behind(fate: pl.DataFrame, stages: pl.DataFrame, *, step: str, what: str) -> list[int]:
    """The deals behind a figure of the funnel. what: entered, passed, lost or waiting. Raises: KeyError for another step or word."""
    place = dict(_steps(stages).select("key", "_step").iter_rows())[step]
    at, now = pl.col("_furthest"), pl.col("_now")
    rules = {
        "entered": at >= place,
        "passed": at > place,
        "lost": (at == place) & (now == "lost"),
        "waiting": (at == place) & (now == "open"),
    }
    return fate.filter(rules[what])["opportunity_id"].to_list()


def _steps(stages: pl.DataFrame) -> pl.DataFrame:
    kept = stages.filter(pl.col("kind") != "lost").sort("position")
    return kept.with_row_index("_step").with_columns(pl.col("_step").cast(pl.Int64))


def _cohort(moves: pl.DataFrame, *, as_of: date, since: date | None, until: date | None) -> pl.DataFrame:
    """The moves known on the day of the deals that began in the span, each deal's in order."""
    known = moves.filter(pl.col("entered_on") <= as_of).with_row_index("_order").sort("opportunity_id", "entered_on", "_order")
    first = known.group_by("opportunity_id").agg(_began=pl.col("entered_on").min())
    inside = pl.lit(True)
    if since is not None:
        inside &= pl.col("_began") >= since
    if until is not None:
        inside &= pl.col("_began") < until
    return known.join(first.filter(inside).select("opportunity_id"), on="opportunity_id", how="semi", maintain_order="left")


def times_in_stage(moves: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """How long deals stay in each stage, those still there counted as staying at least so long (Kaplan-Meier).

    moves    as for `funnel`, each deal's in order
    returns  one row per stage: stage, spells, left (how many of them ended), median_days, p90_days: by when half, and nine of ten, have left;
             null where so many have not
    Source: Kaplan & Meier, JASA 53 (1958) 457-481. Work: one sort.
    """
    ended = pl.col("entered_on").shift(-1).over("opportunity_id")
    spells = moves.select(
        "stage", days=(ended.fill_null(pl.lit(as_of)) - pl.col("entered_on")).dt.total_days(), left=ended.is_not_null()
    )
    total = spells.group_by("stage", maintain_order=True).agg(
        spells=pl.len().cast(pl.Int64), left=pl.col("left").sum().cast(pl.Int64)
    )
    daily = spells.group_by("stage", "days").agg(_left=pl.col("left").sum(), _ended=pl.len()).sort("stage", "days")
    at_risk = pl.col("_ended").sum().over("stage") - pl.col("_ended").cum_sum().over("stage") + pl.col("_ended")
    curve = daily.with_columns(_stay=(1 - pl.col("_left") / at_risk)).with_columns(_stay=pl.col("_stay").cum_prod().over("stage"))
    slack = 1e-12  # a product of fractions that should be one half may be a hair above
    ends = curve.group_by("stage").agg(
        median_days=pl.col("days").filter(pl.col("_stay") <= 0.5 + slack).min(),
        p90_days=pl.col("days").filter(pl.col("_stay") <= 0.1 + slack).min(),
    )
    return total.join(ends, on="stage", how="left", maintain_order="left")


@dataclass(frozen=True, slots=True)
class Raised:
    """What a better step would bring to a cohort.

    won       deals won as things are, expected of all that entered; won_then: with the step raised
    more_minor  what the additional deals are worth; weeks: in how many weeks the cohort sells so much today
    """

    won: float
    won_then: float
    more_minor: float
    weeks: float | None


def raised(told: pl.DataFrame, *, step: str, points: float, average_minor: float, weeks_of_cohort: float) -> Raised:
    """What if `points` more of 100 deals passed a step, all other steps alike.

    told     the funnel of the cohort; the conversions are of those whose fate is known, so that open deals are expected to follow them
    average_minor    what a won deal brings; weeks_of_cohort: over how many weeks it began
    Raises: KeyError for a step that is not in the funnel.
    """
    steps = told.filter(pl.col("kind") == "open")
    rates = {key: (rate or 0.0) for key, rate in steps.select("key", "decided").iter_rows()}
    if step not in rates:
        raise KeyError(step)
    entered = float(steps["entered"][0]) if steps.height else 0.0
    now = entered * prod(rates.values())
    then = entered * prod({**rates, step: min(1.0, rates[step] + points / 100)}.values())
    more = (then - now) * average_minor
    weekly = now * average_minor / weeks_of_cohort if weeks_of_cohort else 0.0
    return Raised(now, then, more, more / weekly if weekly else None)
