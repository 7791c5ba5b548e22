"""The pipeline of two past days and the bridge between them, from the history of a million deals: seconds, as a ratio to a plain scan of the same rows."""

from __future__ import annotations

import resource
import time
from datetime import date, timedelta

import numpy as np
import polars as pl

from topline.engine.sales.history import state_at
from topline.engine.sales.waterfall import summary, waterfall

DEALS, CHANGES = 1_000_000, 10
FIRST, START, END = date(2025, 1, 1), date(2026, 1, 5), date(2026, 4, 6)
STAGES = ["talk", "offer", "terms", "won", "lost"]
STATE = {"talk": "open", "offer": "open", "terms": "open", "won": "won", "lost": "lost"}


def book(deals: int, *, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Deals with their team and currency, and ten changes of each: two of stage, category, amount and closing day, and two of the next step."""
    rng = np.random.default_rng(seed)
    begun = rng.integers(0, 440, deals)
    facts = pl.DataFrame(
        {"opportunity_id": np.arange(deals), "currency": "EUR", "team": (rng.integers(0, 40, deals)).astype(str)}
    )

    def told(field: str, value: pl.Expr, *, late: int) -> pl.DataFrame:
        days = pl.Series(begun + (rng.integers(1, late, deals) if late else 0))
        return pl.DataFrame({"opportunity_id": np.arange(deals), "r": rng.integers(0, 2**31, deals)}).select(
            "opportunity_id", field=pl.lit(field), after=value, effective_on=pl.lit(FIRST) + pl.duration(days=days)
        )

    r = pl.col("r")
    amount = (r % 900_000 + 100_000).cast(pl.String)
    closing = (pl.lit(FIRST) + pl.duration(days=pl.Series(begun) + (r % 200).cast(pl.Int64))).dt.to_string("%Y-%m-%d")
    category = (r % 4).replace_strict(dict(enumerate(["pipeline", "best_case", "commit", "omitted"])), return_dtype=pl.String)
    later = (r % 5).replace_strict(dict(enumerate(STAGES)), return_dtype=pl.String)
    parts = [
        told("stage", pl.lit("talk"), late=0), told("category", pl.lit("pipeline"), late=0), told("amount", amount, late=0), told("close_on", closing, late=0), told("next_step", pl.lit("Call"), late=0),
        told("stage", later, late=90), told("category", category, late=60), told("amount", amount, late=60), told("close_on", closing, late=60), told("next_step", pl.lit("Write"), late=60),
    ]  # fmt: skip
    changes = (
        pl.concat(parts).sort("effective_on", maintain_order=True).with_row_index("id").with_columns(pl.col("id").cast(pl.Int64))
    )
    return facts, changes


def on(facts: pl.DataFrame, changes: pl.DataFrame, day: date) -> pl.DataFrame:
    """The pipeline of a day."""
    then = state_at(changes, day).with_columns(state=pl.col("stage").replace_strict(STATE), value_minor="amount")
    return facts.join(then, on="opportunity_id")


def run() -> list[tuple[str, str]]:
    facts, changes = book(DEALS, seed=7)
    started = time.perf_counter()
    changes.select(
        pl.col("id", "opportunity_id").sum(), pl.col("field", "after").str.len_bytes().sum(), pl.col("effective_on").max()
    )
    scan = time.perf_counter() - started
    started = time.perf_counter()
    end = on(facts, changes, END)
    rolled = end.filter(pl.col("state") == "open").group_by("team", "category").agg(pl.len(), pl.col("value_minor").sum())
    roll_up = time.perf_counter() - started
    started = time.perf_counter()
    legs = waterfall(on(facts, changes, START), end, since=END - timedelta(days=7), until=END + timedelta(days=84))
    steps = summary(legs)
    bridge = time.perf_counter() - started
    sums = dict(steps.select("step", "amount_minor").iter_rows())
    if sums["start"] + sum(v for k, v in sums.items() if k not in ("start", "end")) != sums["end"]:
        raise RuntimeError("The bridge does not add up.")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return [
        (f"plain scan of {changes.height:,} changes of {DEALS:,} deals", f"{scan:.2f} s"),
        (
            f"roll-up of a past day by team and category ({rolled.height} groups)",
            f"{roll_up:.1f} s, {roll_up / scan:.0f} x the scan",
        ),
        ("waterfall between two days, sums to the cent", f"{bridge:.1f} s, {bridge / scan:.0f} x the scan"),
        ("peak memory of this process", f"{peak:.1f} GiB"),
    ]
