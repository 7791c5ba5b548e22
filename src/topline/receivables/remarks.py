"""What rooms further down know about documents that cash application should heed: disputed, promised.

Receivables stands above the rooms in which such things are said, so they register a reader when they start, and every way to match
(page, API, command line) heeds them alike.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl

Reader = Callable[..., pl.DataFrame]
SCHEMA = {"invoice_id": pl.Int64, "remark": pl.String, "holds": pl.Boolean}
_readers: list[Reader] = []


def register(reader: Reader) -> None:
    """Let a room speak: `reader(entity_id=, as_of=)` returns invoice_id, remark (words), holds (only a person may settle it)."""
    if reader not in _readers:
        _readers.append(reader)


def remarks(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """All that is said about documents on a day: invoice_id, remark, holds; a document may have several rows."""
    said = [reader(entity_id=entity_id, as_of=as_of).select(*SCHEMA).cast(SCHEMA) for reader in _readers]  # type: ignore[arg-type]
    return pl.concat([pl.DataFrame(schema=SCHEMA), *said])
