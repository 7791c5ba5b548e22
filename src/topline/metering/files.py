"""Usage events from a file: JSON lines, or CSV whose further columns are properties. Read in batches; a bad line is told and the others are kept."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from topline.engine.documents import EXACT
from topline.kernel.errors import Invalid

BATCH = 10_000  # lines
MAX_LINE = 1_000_000  # bytes of an event
TEXT = ("key", "meter", "customer", "at", "value", "unique_key", "properties")
MICRO = 1_000_000
LARGEST = 9_000_000_000_000  # units of one event, so that its millionths fit


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of some lines, as `record_events` takes them, and what is wrong with the others: (line, why)."""

    events: pl.DataFrame
    problems: list[tuple[int, str]]


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
        while lines := list(itertools.islice(file, size)):
            yield _batch(lines, first, head)
            first += len(lines)


def _batch(lines: list[bytes], first: int, head: bytes) -> Batch:
    numbered = [(first + n, line) for n, line in enumerate(lines) if line.strip()]
    problems = [(n, "It is longer than a megabyte.") for n, line in numbered if len(line) > MAX_LINE]
    numbered = [(n, line) for n, line in numbered if len(line) <= MAX_LINE]
    try:
        rows = _rows([line for _, line in numbered], head)
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        bad = [(n, line) for n, line in numbered if not _reads(line, head)]
        problems += [(n, "It cannot be read.") for n, _ in bad]
        gone = {n for n, _ in bad}
        numbered = [(n, line) for n, line in numbered if n not in gone]
        rows = _rows([line for _, line in numbered], head)
    told = rows.with_columns(
        line=pl.Series([n for n, _ in numbered], dtype=pl.Int64),
        moment=pl.col("at").str.to_datetime(time_zone="UTC", time_unit="us", strict=False).dt.replace_time_zone(None),
        amount=pl.col("value").fill_null("1").str.strip_chars().cast(EXACT, strict=False),
    )
    micro = pl.col("amount") * MICRO
    why = (
        pl.when(pl.col("at").fill_null("").str.strip_chars().ne("") & pl.col("moment").is_null())
        .then(pl.format("{} is no moment.", "at"))
        .when(pl.col("amount").is_null())
        .then(pl.format("{} is no quantity.", "value"))
        .when(pl.col("amount").abs() > LARGEST)
        .then(pl.format("{} is more than can be counted.", "value"))
        .when(micro != micro.round(0))
        .then(pl.format("{} has more than six decimals.", "value"))
    )
    told = told.with_columns(why=why)
    problems += told.filter(pl.col("why").is_not_null()).select("line", "why").rows()
    good = told.filter(pl.col("why").is_null())
    events = good.select("key", "meter", "customer", "unique_key", "properties", at="moment", value_micro=micro.cast(pl.Int64))
    return Batch(events, sorted(problems))


def _rows(lines: list[bytes], head: bytes) -> pl.DataFrame:
    if not lines:
        return pl.DataFrame(schema=dict.fromkeys(TEXT, pl.String))
    if not head:
        return pl.read_ndjson(
            io.BytesIO(b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines)),
            schema=dict.fromkeys(TEXT, pl.String),
        )
    rows = pl.read_csv(io.BytesIO(head + b"".join(lines)), infer_schema=False)
    more = [name for name in rows.columns if name not in TEXT]
    absent = [name for name in TEXT if name not in rows.columns]
    rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in absent)
    return rows.with_columns(properties=pl.struct(more).struct.json_encode() if more else pl.col("properties")).select(TEXT)


def _reads(line: bytes, head: bytes) -> bool:
    try:
        found = _rows([line], head)
        return found.height == 1 and (bool(head) or isinstance(json.loads(line), dict))
    except (pl.exceptions.PolarsError, ValueError):
        return False
