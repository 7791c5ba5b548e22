"""A learned hazard: how likely an open invoice is paid on a given day, from what is known about it and about that day.

Payers pay on certain weekdays, so a model of the delay alone cannot see the calendar; a model of each candidate day can.
Invoices that are still open are part of the lesson up to the day before: leaving them out would teach that payers are fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from topline.engine.payment_timing.book import NEVER, WHOLE, Days, Matrix
from topline.engine.payment_timing.features import (
    STATIC,
    Past,
    Questions,
    curves,
    daily_features,
    questions_of,
    static_features,
)
from topline.engine.payment_timing.kaplan_meier import EARLIEST, LATEST, cell

if TYPE_CHECKING:  # slow to load: only where something is learned
    from sklearn.ensemble import HistGradientBoostingClassifier

HORIZON = 180  # days ahead; what is later is the tail
ROWS_A_CHUNK = 400_000
ROWS_A_LEAF = 500  # a leaf holds at least one in so many invoice-days, so small books may have small leaves
SUPPORT = 0.995  # beyond this quantile of delays the counted curve speaks alone


@dataclass(frozen=True, slots=True)
class Settings:
    """How the hazard is learned; frozen before any test span was looked at."""

    invoices: int = 6_000  # drawn at random from a larger book
    questions: int = 12_000  # most (invoice, day seen from) pairs of one lesson: bounds memory and time
    snapshots: int = 5  # days from which each invoice is seen: its issue, and others while it is open
    rounds: int = 250
    learning_rate: float = 0.05
    leaves: int = 8
    leaf_rows: int = 150
    penalty: float = 5.0
    columns: float = 0.4  # share of inputs that each split may choose from
    members: int = 3  # boosters of different seeds whose hazards are averaged
    seed: int = 20_130_701


@dataclass(frozen=True, slots=True)
class Lesson:
    """Days on which invoices could have been paid: inputs, and whether they were."""

    inputs: Matrix
    paid: Matrix


@dataclass(frozen=True, slots=True)
class Hazard:
    """A fitted hazard: boosters, the inputs they use, and the last delay that they have seen enough of."""

    boosters: tuple[HistGradientBoostingClassifier, ...]
    used: Days
    longest: int

    def of(
        self, past: Past, ask: Questions, curve: Matrix, *, horizon: int = HORIZON, as_if: Mapping[str, float] | None = None
    ) -> Matrix:
        """Chance of each day from the day asked to be the day of payment, given not before.

        as_if    inputs of STATIC to be taken at another value, to see what they do
        returns  one row per question, one column per day. Work: O(questions x days x trees)
        """
        ahead = np.arange(horizon)
        result = np.empty((len(ask), horizon))
        step = max(1, ROWS_A_CHUNK // horizon)
        for start in range(0, len(ask), step):
            part, own = ask.take(slice(start, start + step)), curve[start : start + step]
            days = part.day[:, None] + ahead[None, :]
            delay = days - part.due[:, None]
            hazard = np.take_along_axis(own, cell(delay), axis=1)
            question, column = np.nonzero(delay <= self.longest)
            if len(question):
                static = static_features(past, part)
                for name, value in (as_if or {}).items():
                    static[:, STATIC.index(name)] = value
                inputs = daily_features(past, part, static, own, day=days[question, column], question=question)[:, self.used]
                hazard[question, column] = np.mean([b.predict_proba(inputs)[:, 1] for b in self.boosters], axis=0)
            result[start : start + step] = hazard
        return np.clip(result, 0.0, 0.999)


def lesson(past: Past, row: Days, *, until: int, snapshots: int, seed: int) -> Lesson:
    """Invoice-days of some invoices as known before `until`, each invoice seen from its issue and from random later days.

    row  rows of invoices issued before until
    """
    pieces = past.pieces
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(np.isin(pieces.invoice, row))
    # a part of an invoice is taken with the chance of its share, so cash counts by its size (weights would cost ten times the fit)
    chosen = chosen[rng.random(len(chosen)) * WHOLE < pieces.share[chosen]]
    known = pieces.learned[chosen] < until
    last = np.where(known, pieces.ended[chosen], until - 1)
    event = known & (pieces.paid[chosen] < NEVER)
    last = np.minimum(np.maximum(last, pieces.issued[chosen]), pieces.due[chosen] + LATEST)
    event &= pieces.paid[chosen] <= last
    piece, seen = [chosen], [pieces.issued[chosen]]
    for _ in range(snapshots - 1):
        piece.append(chosen)
        seen.append(
            pieces.issued[chosen] + 1 + np.floor(rng.random(len(chosen)) * (last - pieces.issued[chosen])).astype(np.int64)
        )
    which, day = np.concatenate(piece), np.concatenate(seen)
    end, paid = np.tile(last, snapshots), np.tile(event, snapshots)
    alive = (day <= end) & (day < until)
    which, day, end, paid = which[alive], day[alive], end[alive], paid[alive]
    ask = questions_of(past, pieces.invoice[which], day)
    length = end - day + 1
    question = np.repeat(np.arange(len(ask)), length)
    candidate = day[question] + np.arange(len(question)) - np.repeat(np.cumsum(length) - length, length)
    inputs = daily_features(past, ask, static_features(past, ask), curves(past, ask), day=candidate, question=question)
    hit = (candidate == end[question]) & paid[question]
    return Lesson(inputs, hit.astype(float))


def fit(
    past: Past, row: Days, *, until: int, settings: Settings, check: Lesson | None = None, rounds: int | None = None
) -> tuple[Hazard, int]:
    """Learn the hazard from invoices as known before a day; stop early on later invoices where they are given.

    check    invoice-days of later invoices, on which learning stops once it no longer helps
    returns  the hazard and the number of rounds used
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(settings.seed)
    if len(row) > settings.invoices:
        row = np.sort(rng.choice(row, settings.invoices, replace=False))
    snapshots = int(np.clip(settings.questions // max(len(row), 1), 1, settings.snapshots))
    pieces = past.pieces
    ended = (pieces.learned < until) & (pieces.paid < NEVER) & np.isin(pieces.invoice, row)
    delays = np.sort(pieces.paid[ended] - pieces.due[ended])
    longest = int(np.clip(delays[int(SUPPORT * (len(delays) - 1))], EARLIEST, LATEST))
    boosters, used, most = [], np.arange(0), 0
    for member in range(settings.members):
        taught = lesson(past, row, until=until, snapshots=snapshots, seed=settings.seed + member)
        if member == 0:
            used = np.flatnonzero([len(np.unique(c[~np.isnan(c)])) > 1 for c in taught.inputs.T])
        booster = HistGradientBoostingClassifier(
            max_iter=rounds or settings.rounds,
            learning_rate=settings.learning_rate,
            max_leaf_nodes=settings.leaves,
            min_samples_leaf=int(np.clip(len(taught.paid) // ROWS_A_LEAF, 20, settings.leaf_rows)),
            l2_regularization=settings.penalty,
            max_features=settings.columns,
            early_stopping=check is not None,
            n_iter_no_change=15,
            scoring="loss",
            random_state=settings.seed + member,
        )
        later = {} if check is None else {"X_val": check.inputs[:, used], "y_val": check.paid}
        booster.fit(taught.inputs[:, used], taught.paid, **later)
        most = max(most, int(booster.n_iter_))
        boosters.append(booster)
    return Hazard(tuple(boosters), used, longest), most
