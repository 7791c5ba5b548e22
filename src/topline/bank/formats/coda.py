"""CODA, the coded statement of Belgian banks, version 2: fixed lines of 128 characters.

Source: Febelfin, CODA standard 2.6: records 0 (header), 1 (old balance), 21/22/23 (movement), 31-33 (information), 8, 9.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from topline.bank.formats.model import NotThisFormat, Statement, StatementEntry, StatementRefused

_REMEDY = "Fetch the file from the bank again."


def read(content: bytes) -> list[Statement]:
    """Every statement in the file; a globalised movement counts once, its parts are its details.

    Raises: NotThisFormat, StatementRefused naming the line.
    """
    lines = [
        (n, line.ljust(128)) for n, line in enumerate(content.decode("cp1252", errors="replace").splitlines(), 1) if line.strip()
    ]
    if not lines or lines[0][1][0] != "0" or lines[0][1][5:11].strip().isdigit() is False:
        raise NotThisFormat("The file does not begin with a CODA header.")
    if lines[0][1].rstrip()[-1:] != "2":
        raise StatementRefused(
            f"Line {lines[0][0]}: version {lines[0][1].rstrip()[-1:]} of CODA is not read; only 2 is.",
            remedy="Ask the bank for version 2.",
        )
    statements: list[Statement] = []
    begun: list[tuple[int, str]] = []
    for number, line in lines:
        begun.append((number, line))
        if line[0] == "9":
            statements.append(_statement(begun))
            begun = []
    if begun:
        raise StatementRefused("The file has no trailer (record 9): it is cut off.", remedy=_REMEDY)
    return statements


def _statement(lines: list[tuple[int, str]]) -> Statement:
    header = lines[0][1]
    if header[0] != "0" or header[127] != "2":
        raise StatementRefused(
            f"Line {lines[0][0]}: version {header[127]!r} of CODA is not read; only 2 is.", remedy="Ask the bank for version 2."
        )
    old = next((line for _, line in lines if line[0] == "1"), None)
    new = next((line for _, line in lines if line[0] == "8"), None)
    if old is None or new is None:
        raise StatementRefused("The statement has no old or no new balance (records 1 and 8).", remedy=_REMEDY)
    _check_totals(lines)
    number, currency = _account(old)
    entries: list[StatementEntry] = []
    levels: list[int] = []
    last = ""
    for at, line in lines:
        if line[:2] == "21":
            # code of globalisation: 0 none, else the level; the sum comes first with it, its parts after it with detail numbers
            entry = _movement(line, currency, at)
            detail = line[6:10] != "0000" and entries and last == line[2:6]
            if detail:
                entries[-1] = replace(entries[-1], details=(*entries[-1].details, entry))
            else:
                entries.append(entry)
                levels.append(_integer(line[124], at))
            last = line[2:6]
        elif line[:2] in {"22", "23"} and entries:
            entries[-1] = _more(entries[-1], line)
    return Statement(
        account=number,
        currency=currency,
        entries=tuple(entries),
        statement_id=old[125:128].strip(),
        sequence=_integer(old[2:5], 0),
        opening_minor=_signed(old[42], old[43:58]),
        closing_minor=_signed(new[41], new[42:57]),
        opening_on=_day(old[58:64], lines[0][0]),
        closing_on=_day(new[57:63], lines[0][0]),
        account_name=old[64:90].strip(),
        bank=header[60:71].strip(),
    )


def _check_totals(lines: list[tuple[int, str]]) -> None:
    """The trailer adds up debits and credits of all movements, parts of a globalised movement left out."""
    at, trailer = lines[-1]
    moved = [line for _, line in lines if line[:2] == "21" and line[6:10] == "0000"]
    found = tuple(sum(_integer(line[32:47], at) for line in moved if line[31] == sign) for sign in "10")
    given = (_integer(trailer[22:37], at), _integer(trailer[37:52], at))
    if given != found:
        raise StatementRefused(
            f"Line {at}: the trailer gives debits and credits as {given}, the file holds {found} (thousandths).", remedy=_REMEDY
        )


def _account(line: str) -> tuple[str, str]:
    """Number and currency by the structure of the account (position 2: 0 Belgian, 1 foreign, 2 and 3 IBAN)."""
    structure = line[1]
    if structure == "0":
        return line[5:17].strip(), line[18:21].strip() or "EUR"
    if structure == "1":
        return line[5:39].strip(), line[39:42].strip()
    if structure == "2":
        return line[5:36].strip(), line[39:42].strip()
    return line[5:39].strip(), line[39:42].strip()


def _movement(line: str, currency: str, at: int) -> StatementEntry:
    structured = line[61] == "1"
    text = line[62:115]
    reference = text[3:15] if structured and text[:3] in {"101", "102"} else ""
    return StatementEntry(
        amount_minor=_signed(line[31], line[32:47]),
        currency=currency,
        booked_on=_day(line[115:121], at),
        value_on=_day(line[47:53], at) if line[47:53].strip("0 ") else None,
        remittance_information="" if reference else text.strip(),
        structured_reference=reference,
        bank_reference=line[10:31].strip(),
        transaction_code=line[53:61],
    )


def _more(entry: StatementEntry, line: str) -> StatementEntry:
    target = entry.details[-1] if entry.details else entry
    if line[:2] == "22":
        target = replace(
            target,
            remittance_information=(target.remittance_information + " " + line[10:63].strip()).strip(),
            end_to_end_id=line[63:98].strip(),
        )
    else:
        target = replace(
            target,
            counterparty_account=line[10:47].strip().partition(" ")[0],
            counterparty_name=line[47:82].strip(),
            remittance_information=(target.remittance_information + " " + line[82:125].strip()).strip(),
        )
    return replace(entry, details=(*entry.details[:-1], target)) if entry.details else target


def _signed(sign: str, digits: str) -> int:
    """Amounts have three decimals; the third is always zero in euros."""
    if not digits.strip().isdigit() or sign not in "01":
        raise StatementRefused(f"{sign + digits!r} is not an amount.", remedy=_REMEDY)
    whole, rest = divmod(int(digits), 10)
    if rest:
        raise StatementRefused(f"{digits} has a third decimal.", remedy=_REMEDY)
    return -whole if sign == "1" else whole


def _integer(text: str, at: int) -> int:
    if not text.strip().isdigit():
        raise StatementRefused(f"Line {at}: {text!r} is not a number.", remedy=_REMEDY)
    return int(text)


def _day(text: str, at: int) -> date:
    try:
        year = int(text[4:6])
        return date(2000 + year if year < 80 else 1900 + year, int(text[2:4]), int(text[:2]))
    except ValueError as error:
        raise StatementRefused(f"Line {at}: {text!r} is no day (written day, month, year).", remedy=_REMEDY) from error
