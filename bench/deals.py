"""Foreseeing deals on a large book: seconds to learn and to predict, as a ratio to one pass over the same rows, and the memory it took."""

from __future__ import annotations

import resource
import time
from datetime import date, timedelta

import numpy as np
import polars as pl

from topline.engine.deals.book import Book, as_of, checked
from topline.engine.deals.model import predict, train

DAY = date(2026, 1, 5)
OPEN = 100_000


def book(deals: int, *, owners: int, staged: bool, seed: int) -> Book:
    """Two years of deals, a third of them still open; with stages, each has moved twice."""
    rng = np.random.default_rng(seed)
    opened = rng.integers(0, 730, deals)
    took = np.maximum(rng.gamma(2.0, 40.0, deals), 1).astype(np.int64)
    closed = (rng.random(deals) < 0.72) & (opened + took < 730)
    won = closed & (rng.random(deals) < 0.3)
    start = np.datetime64(DAY - timedelta(days=730))
    who = rng.integers(0, owners, deals)
    value = np.maximum(np.exp(rng.normal(13, 1, deals)), 100).astype(np.int64)
    frame = pl.DataFrame(
        {
            "deal_id": np.arange(deals), "owner": who.astype(str), "team": (who // 8).astype(str), "product": rng.integers(0, 20, deals).astype(str),
            "segment": rng.integers(0, 8, deals).astype(str), "opened_on": start + opened, "ended": start + opened + took, "closed": closed,
            "won": won, "list_minor": value,
        }
    )  # fmt: skip
    ended = pl.when("closed").then(pl.col("ended").cast(pl.Date))
    outcome = pl.when(pl.col("won")).then(pl.lit("won")).when(pl.col("closed")).then(pl.lit("lost"))
    frame = frame.with_columns(
        pl.col("opened_on").cast(pl.Date), closed_on=ended, outcome=outcome, value_minor=pl.when("won").then("list_minor")
    ).drop("ended", "closed", "won")
    if not staged:
        return Book(frame)
    moves = [
        frame.select(
            "deal_id", field=pl.lit("stage"), before=pl.lit(before), after=pl.lit(after),
            recorded_on=(pl.col("opened_on") + pl.duration(days=pl.Series(rng.integers(1, 40, deals) + late))),
        ).with_columns(effective_on="recorded_on")
        for before, after, late in (("talk", "offer", 0), ("offer", "terms", 40))
    ]  # fmt: skip
    return Book(frame.with_columns(stage=pl.lit("terms")), pl.concat(moves))


def run() -> list[tuple[str, str]]:
    """Some 100,000 open deals of 300 people, first by age alone, then with 600,000 changes of stage."""
    rows = []
    for title, staged in (("by age", False), ("with stages", True)):
        facts = book(3 * OPEN, owners=300, staged=staged, seed=7)
        started = time.perf_counter()
        as_of(checked(facts), DAY)
        passed = time.perf_counter()
        model = train(facts, on=DAY)
        fitted = time.perf_counter()
        told = predict(model, facts, on=DAY, end=DAY + timedelta(days=85))
        predicted = time.perf_counter()
        scan = passed - started
        rows += [
            (f"{title}: learn from {facts.deals.height:,} deals", f"{fitted - passed:.1f} s, {(fitted - passed) / scan:.0f} x cutting the book to the day"),
            (f"{title}: predict the {told.deals.height:,} that are open", f"{predicted - fitted:.1f} s, {(predicted - fitted) / scan:.0f} x cutting the book"),
        ]  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return [*rows, ("peak memory of this process", f"{peak:.1f} GiB")]
