"""Usage events from a file: JSON lines, or CSV whose further columns are properties. Read in batches; a bad line is told and the others are kept."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from topline.kernel.errors import Invalid
from topline.metering import lines
from topline.metering.lines import TEXT, Batch

BATCH = 10_000  # lines


def batches(path: Path, *, size: int = BATCH) -> Iterator[Batch]:
    """The events of a file, in its order. Raises: Invalid (neither .jsonl, .ndjson nor .csv; a CSV without key, meter, customer and at)."""
    kind = path.suffix.lower()
    if kind not in {".jsonl", ".ndjson", ".csv"}:
        raise Invalid(f"{path.name} is neither JSON lines nor CSV.", field="file", remedy="Name it .jsonl or .csv.")
    with path.open("rb") as file:
        head = file.readline() if kind == ".csv" else b""
        if head and not {"key", "meter", "customer", "at"} <= set(head.decode("utf-8-sig").strip().split(",")):
            raise Invalid(
                "The first line does not name key, meter, customer and at.", field="file", remedy="Name the columns so."
            )
        first = 2 if head else 1
        while some := list(itertools.islice(file, size)):
            yield _table(some, first, head) if head else _lines(b"".join(some), first)
            first += len(some)


def _lines(content: bytes, first: int) -> Batch:
    found = lines.read(content, first=first)
    rows = lines.frame(found.events).with_columns(line=pl.Series(found.numbers, dtype=pl.Int64))
    return lines.batch(rows, found.problems)


def _table(some: list[bytes], first: int, head: bytes) -> Batch:
    numbered = [(first + n, line) for n, line in enumerate(some) if line.strip()]
    problems = [(n, "It is longer than a megabyte.") for n, line in numbered if len(line) > lines.MAX_LINE]
    numbered = [(n, line) for n, line in numbered if len(line) <= lines.MAX_LINE]
    try:
        rows = _rows([line for _, line in numbered], head)
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        bad = {n for n, line in numbered if not _reads(line, head)}
        problems += [(n, "It cannot be read.") for n in sorted(bad)]
        numbered = [(n, line) for n, line in numbered if n not in bad]
        rows = _rows([line for _, line in numbered], head)
    return lines.batch(rows.with_columns(line=pl.Series([n for n, _ in numbered], dtype=pl.Int64)), problems)


def _rows(some: list[bytes], head: bytes) -> pl.DataFrame:
    if not some:
        return pl.DataFrame(schema=dict.fromkeys(TEXT, pl.String))
    rows = pl.read_csv(io.BytesIO(head + b"".join(some)), infer_schema=False)
    more = [name for name in rows.columns if name not in TEXT]
    absent = [name for name in TEXT if name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in absent)
    return rows.with_columns(properties=pl.struct(more).struct.json_encode() if more else pl.col("properties")).select(TEXT)


def _reads(line: bytes, head: bytes) -> bool:
    try:
        return _rows([line], head).height == 1
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return False
