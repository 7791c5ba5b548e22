"""Bank files of every common format, read strictly into `Statement`s; whatever is wrong is told in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from topline.bank.formats import bai2, camt, coda, mt940, norma43, ofx, tabular
from topline.bank.formats.detect import detect
from topline.bank.formats.model import NotThisFormat, Statement, StatementEntry, StatementRefused, check_balance
from topline.engine.sheets.profile import DateOrder, DecimalMark, Profile
from topline.engine.sheets.typed import EARLIEST, LATEST
from topline.kernel.errors import DomainError

__all__ = [
    "NotThisFormat",
    "Statement",
    "StatementEntry",
    "StatementRefused",
    "check_balance",
    "detect",
    "is_bank_file",
    "read_statements",
]

MAX_BYTES = 64 * 1024 * 1024
READERS: dict[str, Callable[[bytes], list[Statement]]] = {
    "camt": camt.read, "mt940": mt940.read, "ofx": ofx.read, "bai2": bai2.read, "coda": coda.read, "norma43": norma43.read,
}  # fmt: skip
TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])  # marks that set the direction of what follows
_NAMES = {
    "xml": "XML, but no camt statement",
    "pdf": "a PDF",
    "zip": "a ZIP archive: unpack it first",
    "qif": "QIF, which has neither account nor balance",
    "unknown": "no bank file that we know",
}


def read_statements(
    content: bytes,
    *,
    name: str = "",
    currency: str | None = None,
    profile: str | Profile = "",
    date_order: DateOrder | None = None,
    decimal_mark: DecimalMark | None = None,
) -> list[Statement]:
    """Read a bank file, whatever its format; what it is is told by its content, not by its name.

    currency, profile  for sheets: the currency where none is named, and the profile (else the best fitting one)
    date_order, decimal_mark  for sheets: what the caller says instead of the profile
    Raises: StatementRefused, or another DomainError, with one sentence and its cure; nothing else.
    """
    label = name or "The file"
    if not content.strip():
        raise StatementRefused(f"{label} is empty.", field="file", remedy="Fetch it from the bank again.")
    if len(content) > MAX_BYTES:
        raise StatementRefused(
            f"{label} has {len(content):,} bytes; at most {MAX_BYTES:,} are read.",
            field="file",
            remedy="Ask the bank for a shorter period.",
        )
    found = detect(content)
    if found not in {*READERS, "csv", "xlsx"}:
        raise NotThisFormat(
            f"{label} looks like {_NAMES.get(found, found)}.",
            field="file",
            remedy="Export a camt.053, MT940, OFX, BAI2, CODA, Norma 43, CSV or XLSX file.",
        )
    try:
        if found in READERS:
            read = READERS[found](content)
        else:
            read = tabular.read(
                content, name=label, profile=profile, currency=currency, date_order=date_order, decimal_mark=decimal_mark
            )
        statements = [_readable(check_balance(_within_time(statement))) for statement in read]
    except DomainError as error:
        if label not in error.message:
            error.message = f"{label}: {error.message}"
        error.remedy = error.remedy or "Fetch it from the bank again."
        raise
    except (ValueError, IndexError, KeyError, OverflowError, RecursionError) as error:
        raise StatementRefused(
            f"{label} breaks the rules of {found}: {error}.", field="file", remedy="Fetch it from the bank again."
        ) from error
    if not statements:
        raise StatementRefused(
            f"{label} looks like {found} but holds no statement.", field="file", remedy="Fetch it from the bank again."
        )
    return statements


def is_bank_file(content: bytes) -> bool:
    """Whether the content bears the marks of a bank's own format, which no sheet has."""
    return detect(content) in READERS


def _within_time(statement: Statement) -> Statement:
    days = [entry.booked_on for entry in statement.entries]
    odd = next(
        (day for day in (*days, statement.opening_on, statement.closing_on) if day and not EARLIEST <= day <= LATEST), None
    )
    if odd is not None:
        raise StatementRefused(
            f"Statement {statement.statement_id or '?'} of account {statement.account or '?'} has the day {odd}, outside 1900 to 2199.",
            field="file",
            remedy="Fetch it from the bank again.",
        )
    return statement


def _readable(statement: Statement) -> Statement:
    """The statement without marks that turn the writing round: a payer's text would else turn what stands beside it on a page."""
    if not any(map(_turned, statement.entries)):
        return statement
    return replace(statement, entries=tuple(_straight(entry) for entry in statement.entries))


def _turned(entry: StatementEntry) -> bool:
    texts = (entry.counterparty_name, entry.remittance_information)
    return any(text != text.translate(TURNING) for text in texts) or any(map(_turned, entry.details))


def _straight(entry: StatementEntry) -> StatementEntry:
    return replace(
        entry, counterparty_name=entry.counterparty_name.translate(TURNING), remittance_information=entry.remittance_information.translate(TURNING),
        details=tuple(_straight(detail) for detail in entry.details),
    )  # fmt: skip
