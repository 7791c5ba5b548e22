"""Why a deal's chance is what it is: from that of a deal on its first day, step by step to its own, so that the steps add up to it."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from topline.engine.deals.book import NEVER, Book, Matrix, as_of, checked, day_number, history
from topline.engine.deals.clock import Seen, stages_of
from topline.engine.deals.model import WEEKS, Model, ahead_of, seen_from
from topline.engine.deals.tilt import groups_of

BEGINNING, MOMENT = "first day", "moment"  # the first two steps; the others are the factors of `tilt`


def reasons(model: Model, book: Book, *, on: date) -> pl.DataFrame:
    """What moves the chance of each deal that is open before a day to be won within 27 weeks.

    returns  one row per deal and step, in the order in which they are taken: deal_id; factor: first day (the chance of a deal that begins
             on the day), moment (how old this one is, and how long it has stood in its stage), then whatever tells deals apart, such as owner
             or size; value str, the deal's group (of size: "2 of 5", the smallest first; none for the first two); moves f64, by how much the
             chance is moved: the steps of a deal add up to its p_ever. age_days i64, stage str and stage_days i64 of the deal as the clock
             sees it, the last two null where it looks at no stages
    Work: as `model.predict` without its futures, and O(deals x weeks) per factor.
    """
    cut = as_of(checked(book), on)
    past, today = history(cut), day_number(on)
    opened = np.flatnonzero(past.closed >= NEVER)
    stages = stages_of(past, cut.changes, names=model.clock.stages.names or None)
    edges = np.arange(7, WEEKS * 7 + 1, 7)
    here = np.array([today])
    seen = seen_from(past, stages, opened, today)
    ahead = ahead_of(model, seen, edges=edges)
    none = np.zeros(len(opened))
    begins = ahead_of(model, Seen(here, here, np.array([-1]), here), edges=edges).chances(np.ones(1), np.zeros(1)).sum()
    steps: list[tuple[str, pl.Series | None, Matrix]] = [
        (BEGINNING, None, np.full(len(opened), begins)),
        (MOMENT, None, ahead.chances(np.ones(len(opened)), none).sum(axis=1)),
    ]
    rows, amount = past.rows[opened], past.amount[opened]
    groups = groups_of(rows, amount, model.tilt.edges or {})
    for place, effect in enumerate(model.tilt.effects, start=1):
        if effect.factor in groups.columns:
            chance = ahead.chances(*model.tilt.of(rows, amount, first=place)).sum(axis=1)
            steps.append((effect.factor, _worded(groups[effect.factor], effect.factor, model.tilt.edges or {}), chance))
    kept = seen.code >= 0
    names = pl.Series(stages.names or ("",), dtype=pl.String)
    facts = rows.select("deal_id").with_columns(
        age_days=pl.Series(today - seen.opened, dtype=pl.Int64),
        stage=pl.when(pl.Series(kept)).then(names.gather(np.maximum(seen.code, 0))),
        stage_days=pl.when(pl.Series(kept)).then(pl.Series(today - seen.entered, dtype=pl.Int64)),
    )
    before, told = none, []
    for factor, value, chance in steps:
        words = value if value is not None else pl.lit(None, dtype=pl.String)
        told.append(facts.with_columns(factor=pl.lit(factor), value=words, moves=pl.Series(chance - before, dtype=pl.Float64)))
        before = chance
    order = pl.concat([part.with_columns(_step=pl.lit(step)) for step, part in enumerate(told)])
    return order.sort("deal_id", "_step").select("deal_id", "factor", "value", "moves", "age_days", "stage", "stage_days")


def _worded(group: pl.Series, factor: str, edges: dict[str, tuple[float, ...]]) -> pl.Series:
    """The groups of numbers by their place."""
    if factor not in edges:
        return group
    place = group.cast(pl.Int64) + 1
    return pl.select(pl.format("{} of {}", place, pl.lit(len(edges[factor]) + 1))).to_series()
