"""The desk where events of many requests come in: those that wait at the same time are written in one transaction by whoever came first.

A commit costs about the same for one event and for ten thousand, so a thousand senders of one event each share a few commits. Nobody is answered
before the events are committed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import polars as pl

from topline.kernel.actor import Actor
from topline.metering import actions, lines

MOST = 20_000  # events of one transaction


@dataclass(eq=False)
class _Waiting:
    """A request's events; what became of them, or why nothing did."""

    actor: Actor
    events: list[lines.Line]
    told: pl.DataFrame | None = None
    error: Exception | None = None


class Desk:
    """Takes events in for all threads of a process."""

    def __init__(self) -> None:
        self._queue: list[_Waiting] = []
        self._queued = threading.Lock()
        self._writing = threading.Lock()

    def take(self, *, actor: Actor, events: list[lines.Line]) -> pl.DataFrame:
        """What became of each event, in their order, once it is committed.

        returns  key, outcome, why as of `record_events`, and message; what cannot be read, or has a used key, is refused alone
        """
        mine = _Waiting(actor, events)
        with self._queued:
            self._queue.append(mine)
        with self._writing:
            if mine in self._queue:  # else somebody wrote it while we waited
                _write(self._next(mine))
        if mine.error is not None:
            raise mine.error
        if mine.told is None:
            raise RuntimeError("Events were taken from the queue and not written.")
        return mine.told

    def _next(self, mine: _Waiting) -> list[_Waiting]:
        """Mine, and what waits with it from the same sender, as far as one transaction should hold."""
        with self._queued:
            together, size = [mine], len(mine.events)
            for other in self._queue:
                if other is not mine and other.actor == mine.actor and size + len(other.events) <= MOST:
                    together.append(other)
                    size += len(other.events)
            self._queue = [w for w in self._queue if w not in together]
        return together


def _write(together: list[_Waiting]) -> None:
    try:
        told = _record(together[0].actor, [event for one in together for event in one.events])
    except Exception as error:  # noqa: BLE001  (whoever waits for it raises it)
        if len(together) == 1:
            together[0].error = error
            return
        for one in together:  # what is wrong with one is not the others' business
            _write([one])
        return
    start = 0
    for one in together:
        one.told = told.slice(start, len(one.events))
        start += len(one.events)


def _record(actor: Actor, events: list[lines.Line]) -> pl.DataFrame:
    rows = lines.checked(lines.frame(events))
    bad = rows["wrong"].is_not_null()
    told = actions.record_events(actor=actor, events=rows.filter(~bad) if bad.any() else rows, whole=False)
    told = told.with_columns(message=pl.col("why").replace_strict(MESSAGES, default=None, return_dtype=pl.String))
    if not bad.any():
        return told
    wrong = rows.filter(bad).select("key", outcome=pl.lit("refused"), why=pl.lit("invalid"), message="wrong")
    order = pl.concat([rows.with_row_index("_n").filter(only)["_n"] for only in (~bad, bad)])
    return pl.concat([told, wrong]).with_columns(order).sort("_n").drop("_n")


MESSAGES = {**actions.WHY, actions.REUSED: "It is known with other content."}
desk = Desk()
