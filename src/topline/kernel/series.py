"""Gapless document numbers, per entity and series, taken last so that the counter's row is locked for moments only."""

from __future__ import annotations

import polars as pl
from django.db import connection

from topline.kernel.models import DocumentSeries


def take(*, entity_id: int, code: str, count: int, prefix: str = "", width: int = 6) -> pl.Series:
    """The next `count` numbers of a series as text, such as INV-000001, without a gap.

    The counter is raised in the caller's transaction: if that rolls back, the numbers are free again.
    `prefix` and `width` are used when the series begins. Work: two statements.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("Numbers are taken inside the transaction that uses them.")
    if count == 0:
        return pl.Series("number", [], dtype=pl.String)
    DocumentSeries.objects.bulk_create(
        [DocumentSeries(entity_id=entity_id, code=code, prefix=prefix, width=width)], ignore_conflicts=True
    )
    row = DocumentSeries.objects.select_for_update().get(entity_id=entity_id, code=code)
    first = row.next_number
    row.next_number = first + count
    row.save(update_fields=["next_number"])
    numbers = pl.int_range(first, first + count, eager=True).cast(pl.String).str.zfill(row.width)
    return (row.prefix + numbers).alias("number")
