"""Answers kept for as long as nothing has changed: every change goes through the door, so the newest audit record tells.

The key of an answer names the state of the books that it was read from, so an answer is never stale; there is no time to
live and nothing to invalidate.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.db import connection

from topline.kernel.database import is_postgresql
from topline.kernel.models import AuditRecord

T = TypeVar("T")
State = tuple[Any, ...]
WINDOW = 1_000  # more ids than transactions can be under way at once


class Remembered(Generic[T]):
    """The last answers of a read that costs much and is asked often.

    size  answers kept; the one that was not asked for longest goes first
    """

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[State, T] = OrderedDict()
        self._lock = threading.Lock()
        self._at_work: dict[State, threading.Lock] = {}

    def get(self, key: State, read: Callable[[], T]) -> T:
        """The answer for `key` as of the present state, read anew only when something has changed since.

        Many who ask at once wait for the one who reads. Inside a transaction nothing is kept: it sees what nobody else does.
        Work: one statement when it is known.
        """
        state = unchanging_state()
        if state is None:
            return read()
        full = (*state, *key)
        with self._lock:
            if full in self._kept:
                self._kept.move_to_end(full)
                return self._kept[full]
            mine = self._at_work.setdefault(full, threading.Lock())
        with mine:
            with self._lock:
                if full in self._kept:
                    return self._kept[full]
            try:
                answer = read()
                if unchanging_state() == state:
                    with self._lock:
                        self._kept[full] = answer
                        while len(self._kept) > self._size:
                            self._kept.popitem(last=False)
            finally:
                with self._lock:
                    self._at_work.pop(full, None)
        return answer


def unchanging_state() -> State | None:
    """Names the committed state that a read sees now; None when it cannot be named: in a transaction, or while one writes.

    SQLite has one writer, so records are committed in the order of their ids. On PostgreSQL a writer may commit an older id
    later: while anybody writes to this database the state has no name, and how many of the last thousand ids are there tells
    apart what was committed while that was being asked. Work: one statement.
    """
    if connection.in_atomic_block:
        return None
    table = AuditRecord._meta.db_table
    columns = "r.id, r.recorded_at, 1, true"
    if is_postgresql():
        columns = (
            f"r.id, r.recorded_at, (SELECT count(*) FROM {table} n WHERE n.id > r.id - {WINDOW}),"
            " NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
            " AND pid <> pg_backend_pid())"
        )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {table} r ORDER BY r.id DESC LIMIT 1")
        row = cursor.fetchone()
    if row is None or not row[3]:
        return None
    return (str(connection.settings_dict["NAME"]), int(row[0]), str(row[1]), int(row[2]))
