"""Gapless document numbers, per entity and series, taken last so that the counter's row is locked for moments only."""

from __future__ import annotations

import polars as pl
from django.db import connection


def take(*, entity_id: int, code: str, count: int, prefix: str = "", width: int = 6) -> pl.Series:
    """The next `count` numbers of a series as text, such as INV-000001, without a gap.

    The counter is raised in the caller's transaction: if that rolls back, the numbers are free again.
    `prefix` and `width` are used when the series begins. Work: one statement.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("Numbers are taken inside the transaction that uses them.")
    if count == 0:
        return pl.Series("number", [], dtype=pl.String)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO kernel_documentseries AS s (entity_id, code, prefix, width, next_number) VALUES (%s, %s, %s, %s, 1 + %s)"
            " ON CONFLICT (entity_id, code) DO UPDATE SET next_number = s.next_number + %s RETURNING next_number, prefix, width",
            [entity_id, code, prefix, width, count, count],
        )
        ((after, prefix, width),) = cursor.fetchall()
    first = after - count
    numbers = pl.int_range(first, first + count, eager=True).cast(pl.String).str.zfill(width)
    return (prefix + numbers).alias("number")
