"""The few things in which the two databases differ, said once."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import Model


def is_postgresql() -> bool:
    """Whether the present connection speaks to PostgreSQL; otherwise it is SQLite, which has one writer."""
    return connection.vendor == "postgresql"


def lock(name: str, *, shared: bool = False) -> None:
    """Hold a named lock until the transaction ends: many may share it, one may have it alone.

    SQLite's immediate transactions already exclude each other, so there it costs nothing.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("A named lock lives in a transaction; open one first.")
    if is_postgresql():
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(%s)", [zlib.crc32(name.encode())])


def one_of(column: str, values: Sequence[str] | Sequence[int]) -> tuple[str, list[Any]]:
    """A condition of raw SQL that a column holds one of many values, as one parameter however many there are."""
    if is_postgresql():
        return f"{column} = ANY(%s)", [list(values)]
    return f"{column} IN (SELECT value FROM json_each(%s))", [json.dumps(list(values))]


def analyze(*models: type[Model]) -> None:
    """Tell PostgreSQL's planner what a bulk load brought: until its own round comes by it plans as if the tables held what they held before.

    To read the deals of a whole CRM took minutes that way, seconds with it. SQLite plans by its indexes and needs none of it.
    """
    if is_postgresql() and models:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE " + ", ".join(connection.ops.quote_name(model._meta.db_table) for model in models))
