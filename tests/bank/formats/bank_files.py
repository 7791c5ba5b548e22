"""The real files of banks and what stands in them: one table a folder, one row a statement or a refusal.

file      path below the folder
mend      what the publisher scrambled and the reader needs, put right before reading: OLD=NEW for a currency code
outcome   statement, report, notification, or refused
then      currency, entries, sum, opening, closing in minor units ("" where the file gives none), or the refusal's reason
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from topline.bank.formats import Statement, read_statements

TABLES = Path(__file__).parent / "tables"
FOLDERS = sorted(path.stem for path in TABLES.glob("*.tsv"))
CURRENCY = {"bank_csv_swiss": "CHF"}  # of sheets that name none; all others are in euros
ANSWERS = {".yml", ".pydata", ".json"}  # what other programs read in the files beside them


@dataclass(frozen=True)
class Case:
    """One file, read once as it is or once mended."""

    folder: str
    file: str
    mend: str
    rows: tuple[tuple[str, ...], ...]

    @property
    def id(self) -> str:
        """The file's name, short enough to find."""
        return Path(self.file).name + (f" mended {self.mend}" if self.mend else "")


def cases(folder: str) -> list[Case]:
    """The cases of a folder, in the order of its table."""
    found: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for line in (TABLES / f"{folder}.tsv").read_text(encoding="utf-8").splitlines():
        file, mend, *row = line.split("\t")
        found.setdefault((file, mend), []).append(tuple(row))
    return [Case(folder, file, mend, tuple(rows)) for (file, mend), rows in found.items()]


def files_of(folder: Path) -> set[str]:
    """Every file of a folder that a person might send as a bank file."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and "testexpected" not in path.parts
        and path.suffix not in ANSWERS
        and path.name not in {"README_SOURCE.md", "requirements.txt"}
    }


def content_of(case: Case, data: Path) -> bytes:
    """The bytes of a case, mended where it says so."""
    content = (data / case.folder / case.file).read_bytes()
    if case.mend:
        old, new = (code.encode() for code in case.mend.split("="))
        content = re.sub(rb'(?<=[;,"])' + old + rb'(?=[;,"])', new, content)
    return content


def read_case(case: Case, data: Path) -> list[Statement]:
    """The statements of a case."""
    return read_statements(content_of(case, data), name=Path(case.file).name, currency=CURRENCY.get(case.folder, "EUR"))


def facts(statement: Statement) -> tuple[str, ...]:
    """A statement as a row of the tables."""
    figures = (len(statement.entries), statement.movement_minor, statement.opening_minor, statement.closing_minor)
    return (statement.kind, statement.currency, *("" if f is None else str(f) for f in figures))
