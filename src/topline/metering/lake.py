"""The lake: events of months that are over, in Parquet files below the home folder instead of in the table, with the same answers.

A file counts once its row in `LakePart` is there, which comes in the transaction that takes its events out of the table: so every event is in one
place at any moment, and a file without a row, left by a process that was killed, is nobody's and goes with the next sync. Files are sorted by
customer, meter and moment, so that reading some customers skips the rest. Keys stay unique: a sorted array of their hashes tells in no time
that a key is not in the lake, and where it may be the file is asked.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from django.conf import settings

from topline.kernel import bulk
from topline.metering.models import LakePart, UsageEvent

CHUNK = 500_000  # events that leave the table in one transaction
COLUMNS = ["id", "key", "meter_id", "customer_id", "at", "value_micro", "unique_key", "properties", "recorded_at"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events written to files and still in the table: those before `until` with ids up to `last_id`."""

    until: datetime
    last_id: int
    rows: int
    parts: list[dict[str, Any]]


def folder() -> Path:
    """Where the files are."""
    return Path(settings.ENVIRONMENT.home) / "lake" / "usage_events"


def write_chunk(*, until: date) -> Chunk | None:
    """Write the oldest events before a day (UTC) to files, a file for each month; None where there are none. The table is only read.

    Work: one statement for at most CHUNK events, a pass over them.
    """
    before = datetime(until.year, until.month, until.day, tzinfo=UTC)
    rows = UsageEvent.objects.filter(at__lt=before).order_by("id").values(*COLUMNS)[:CHUNK]
    found = bulk.read(rows).with_columns(month=pl.col("at").dt.month_start().dt.date())
    if found.is_empty():
        return None
    parts = [_write(month, events.drop("month")) for (month,), events in found.partition_by("month", as_dict=True).items()]
    return Chunk(before, int(found["id"][-1]), found.height, parts)


def scan(*, until: datetime | None = None, after_id: int = 0) -> pl.LazyFrame:
    """The events of the lake, all columns; those of months that begin before a moment, of files with ids beyond one. Work: one statement."""
    parts = LakePart.objects.filter(last_id__gt=after_id)
    if until is not None:
        parts = parts.filter(month__lt=until)
    paths = [folder() / path for path in parts.order_by("id").values_list("path", flat=True)]
    return pl.scan_parquet(paths, hive_partitioning=False) if paths else pl.LazyFrame(schema=bulk.schema(UsageEvent, COLUMNS))


def page(after_id: int, limit: int) -> list[dict[str, Any]]:
    """Events of the lake after an id, in the order of their ids."""
    found = scan(after_id=after_id).filter(pl.col("id") > after_id).sort("id").head(limit).collect()
    return found.to_dicts()


def known(keys: pl.Series) -> pl.DataFrame:
    """The events of the lake that have these keys, all columns. Work: one statement; a file is read only where a key is there."""
    newest = LakePart.objects.order_by("-id").values_list("id", flat=True).first()
    if newest is None or keys.is_empty():
        return pl.DataFrame(schema=bulk.schema(UsageEvent, COLUMNS))
    hashes, asked = _hashes(newest), keys.hash().to_numpy()
    there = hashes[np.searchsorted(hashes, asked).clip(max=len(hashes) - 1)] == asked
    if not there.any():
        return pl.DataFrame(schema=bulk.schema(UsageEvent, COLUMNS))
    return scan().filter(pl.col("key").is_in(keys.filter(pl.Series(there)).implode())).collect()


def by_meter() -> dict[int, tuple[int, datetime]]:
    """Events in the lake and the newest moment, by meter. Work: one statement, O(files)."""
    found: dict[int, tuple[int, datetime]] = {}
    for counts in LakePart.objects.values_list("counts", flat=True):
        for meter, (count, newest) in counts.items():
            had, last = found.get(int(meter), (0, datetime.min.replace(tzinfo=UTC)))
            found[int(meter)] = (had + count, max(last, datetime.fromisoformat(newest)))
    return found


def broken() -> pl.DataFrame:
    """Files that are not what was written: gone, changed, with other rows, or with a key that another event has. path, why"""
    rows: list[tuple[str, str]] = []
    for part in LakePart.objects.order_by("id").iterator():
        path = folder() / part.path
        if not path.is_file():
            rows.append((part.path, "it is gone"))
        elif _digest(path) != part.sha256:
            rows.append((part.path, "it was changed"))
        elif (held := pl.scan_parquet(path).select(pl.len()).collect().item()) != part.rows:
            rows.append((part.path, f"it holds {held} events instead of {part.rows}"))
    newest = LakePart.objects.order_by("-id").first()
    if newest is not None and not rows:
        hashes = _hashes(newest.pk)
        if len(hashes) > 1 and bool((hashes[1:] == hashes[:-1]).any()):
            rows.append((newest.path, "two events have the same key"))
    return pl.DataFrame(rows, schema={"path": pl.String, "why": pl.String}, orient="row")


def sweep() -> int:
    """Remove files that no row names: what a killed sync left behind, and hashes of keys of an earlier state. Returns how many."""
    named = {folder() / path for path in LakePart.objects.values_list("path", flat=True)}
    newest = LakePart.objects.order_by("-id").values_list("id", flat=True).first()
    named.add(_hash_file(newest or 0))
    lost = [path for path in folder().glob("**/*") if path.is_file() and path not in named]
    for path in lost:
        path.unlink()
    return len(lost)


# --- parts ---
def _write(month: date, events: pl.DataFrame) -> dict[str, Any]:
    """One file, whole under its name or not at all, and on the disk before its row is."""
    first, last = int(events["id"].min()), int(events["id"].max())  # type: ignore[arg-type]
    path = folder() / f"month={month:%Y-%m}" / f"{first}-{last}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    events.sort("customer_id", "meter_id", "at", "id").write_parquet(part, compression="zstd", row_group_size=100_000)
    _settle(part)
    part.replace(path)
    _settle(path.parent)
    counts = events.group_by("meter_id").agg(pl.len(), newest=pl.col("at").max())
    return {
        "month": month, "path": str(path.relative_to(folder())), "rows": events.height, "first_id": first, "last_id": last, "bytes": path.stat().st_size, "sha256": _digest(path),
        "counts": {str(meter): [count, newest.isoformat()] for meter, count, newest in counts.iter_rows()},
    }  # fmt: skip


def _settle(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_file(newest: int) -> Path:
    """Named by the state of the lake, and by what this machine's library makes of a text: hashes of another one are not ours."""
    return folder() / f"keys-{newest}-{pl.Series(['key']).hash()[0]:x}.npy"


def _hashes(newest: int) -> Any:
    """Sorted hashes of all keys of the lake, from a file beside it that is made where it is missing."""
    path = _hash_file(newest)
    if not path.is_file():
        hashes = np.sort(scan().select("key").collect()["key"].hash().to_numpy())
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, hashes)
        part.replace(path)
    return np.load(path, mmap_mode="r")
