"""Bytes to text cells: encoding, delimiter, quotes and shape are detected and told, never assumed."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import fastexcel
import polars as pl

from topline.kernel.errors import Invalid

MAX_BYTES = 200 * 1024 * 1024
MAX_UNPACKED = 1024 * 1024 * 1024
MAX_COLUMNS = 300
DELIMITERS = ",;\t|"
_SIGNATURES = {b"PK\x03\x04": "an Excel workbook or ZIP archive", b"%PDF": "a PDF", b"\xd0\xcf\x11\xe0": "an old Excel or Word file", b"\x1f\x8b": "a gzip archive",
               b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"<?xml": "XML", b"SQLite format 3": "a database"}  # fmt: skip


class SheetRefused(Invalid):
    """The file is no sheet that can be read; the sentence says what it looks like and where it breaks."""

    code = "sheet_refused"


@dataclass(frozen=True)
class Sheet:
    """cells  one row per record: `row` i64 (as a spreadsheet numbers it) and text columns c0, c1, ...; null where the record was short
    detected  what was found out, for people: encoding, delimiter, rows
    """

    name: str
    cells: pl.DataFrame
    detected: dict[str, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.cells.width - 1


def read_sheet(
    source: bytes | Path, *, name: str = "", delimiter: str | None = None, max_bytes: int = MAX_BYTES, drop_nul: bool = False
) -> Sheet:
    """Read a CSV, TSV or XLSX file into text cells.

    A file above `max_bytes` is refused by its size on disk, before a byte is read.
    Raises: SheetRefused, naming what the file looks like, or the row where it breaks, and what to do.
    """
    name = name or (source.name if isinstance(source, Path) else "the file")
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if size > max_bytes:
        raise SheetRefused(
            f"{name} has {size:,} bytes; at most {max_bytes:,} are read.", field="file", remedy="Split it into smaller files."
        )
    if size == 0:
        raise SheetRefused(f"{name} is empty.", field="file", remedy="Export it again.")
    content = source.read_bytes() if isinstance(source, Path) else source
    if content.startswith(b"PK\x03\x04") and _is_workbook(content, name):
        return _workbook(content, name)
    for signature, what in _SIGNATURES.items():
        if content.lstrip()[: len(signature)] == signature:
            raise SheetRefused(f"{name} looks like {what}, not like a sheet.", field="file", remedy="Export it as CSV or XLSX.")
    text, encoding = decode(content, name, drop_nul=drop_nul)
    found = delimiter or _delimiter(text)
    rows = _records(text, found, name)
    return Sheet(name, _frame(rows), {"encoding": encoding, "delimiter": {"\t": "tab"}.get(found, found), "rows": str(len(rows))})


def decode(content: bytes, name: str, *, drop_nul: bool = False) -> tuple[str, str]:
    """Text of a file and the encoding it was in: a byte-order mark decides, then UTF-8, then Windows-1252.

    Raises: SheetRefused for NUL bytes (with their row) unless they are to be dropped.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return content.decode("utf-16"), "UTF-16"
        except UnicodeDecodeError as error:
            raise SheetRefused(
                f"{name} begins like UTF-16 but breaks at byte {error.start}.", field="file", remedy="Export it again as UTF-8."
            ) from error
    if (at := content.find(b"\0")) >= 0:
        if not drop_nul:
            row = content.count(b"\n", 0, at) + 1
            raise SheetRefused(f"{name} has a NUL byte in line {row}.", field="file", remedy="Export it again as text.", row=row)
        content = content.replace(b"\0", b"")
    try:
        return content.decode("utf-8-sig"), "UTF-8 with BOM" if content.startswith(b"\xef\xbb\xbf") else "UTF-8"
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), "Windows-1252"


def _delimiter(text: str) -> str:
    """The mark that splits most of the first lines into the same, largest number of cells.

    Marks within quotes do not count, nor commas between digits: those part thousands or cents wherever another mark parts cells.
    """
    sample = [re.sub(r'"[^"]*"', "", line) for line in text.splitlines()[:200] if line.strip()]
    best, score = ",", (0, 0)
    for mark in DELIMITERS:
        counts = Counter(1 + (re.sub(r"(?<=\d),(?=\d)", "", line) if mark == "," else line).count(mark) for line in sample)
        cells, lines = max(
            ((n, c) for n, c in counts.items() if n > 1), key=lambda x: (x[1] * min(x[0], 4), x[0]), default=(1, 0)
        )
        if (lines * min(cells, 4), cells) > score:
            best, score = mark, (lines * min(cells, 4), cells)
    return best


def _records(text: str, delimiter: str, name: str) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        begun = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return rows
        except csv.Error as error:
            what = (
                "opens a quote that is never closed"
                if "end of data" in str(error) or "field larger" in str(error)
                else f"cannot be read ({error})"
            )
            raise SheetRefused(
                f"Line {begun} of {name} {what}.",
                field="file",
                remedy="Close the quote, or double quotes inside text.",
                row=begun,
            ) from error
        if len(row) > MAX_COLUMNS:
            raise SheetRefused(
                f"Line {begun} of {name} has {len(row)} columns; at most {MAX_COLUMNS} are read.",
                field="file",
                remedy="Check the delimiter.",
                row=begun,
            )
        rows.append(row)


def _frame(rows: list[list[str]]) -> pl.DataFrame:
    width = max((len(r) for r in rows), default=0)
    padded = [r if len(r) == width else r + [None] * (width - len(r)) for r in rows]
    cells = pl.DataFrame(padded, schema={f"c{i}": pl.String for i in range(width)}, orient="row")
    return cells.with_row_index("row", offset=1).with_columns(pl.col("row").cast(pl.Int64))


def _is_workbook(content: bytes, name: str) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
            names = set(archive.namelist())
    except zipfile.BadZipFile as error:
        raise SheetRefused(f"{name} is a damaged workbook.", field="file", remedy="Export it again.") from error
    if unpacked > MAX_UNPACKED:
        raise SheetRefused(
            f"{name} unpacks to {unpacked:,} bytes; at most {MAX_UNPACKED:,} are read.",
            field="file",
            remedy="Split it into smaller files.",
        )
    return "xl/workbook.xml" in names


def _workbook(content: bytes, name: str) -> Sheet:
    try:
        book = fastexcel.read_excel(content)
        frame = book.load_sheet(0, header_row=None, dtypes="string").to_polars()
    except Exception as error:  # the library's errors are of many kinds; all mean the same to a person
        raise SheetRefused(
            f"{name} cannot be read as a workbook: {error}.", field="file", remedy="Save it again as XLSX or CSV."
        ) from error
    cells = frame.rename({old: f"c{i}" for i, old in enumerate(frame.columns)}).cast(pl.String)
    # a whole day arrives as a moment at midnight
    cells = cells.with_columns(pl.all().str.replace(r"^(\d{4}-\d{2}-\d{2})[ T]00:00:00(\.0+)?$", "${1}"))
    return Sheet(
        name,
        cells.with_row_index("row", offset=1).with_columns(pl.col("row").cast(pl.Int64)),
        {"format": "XLSX", "rows": str(cells.height)},
    )
