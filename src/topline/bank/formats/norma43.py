"""Norma 43 (Cuaderno 43), the statement of Spanish banks: fixed lines of 80 characters.

Source: AEB, Cuaderno 43: records 11 (account), 22 (movement), 23 (concept), 24 (foreign), 33 (account end), 88 (file end).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from topline.bank.formats.model import NotThisFormat, Statement, StatementEntry, StatementRefused

_REMEDY = "Fetch the file from the bank again."
_CURRENCIES = {"978": "EUR", "840": "USD", "826": "GBP", "756": "CHF", "392": "JPY", "724": "ESP"}


def read(content: bytes) -> list[Statement]:
    """One statement per account; the bank's own totals of debits and credits must agree.

    Raises: NotThisFormat, StatementRefused naming the line.
    """
    lines = [(n, line.ljust(80)) for n, line in enumerate(content.decode("latin-1").splitlines(), 1) if line.strip(" \x1a")]
    if not lines or lines[0][1][:2] != "11":
        raise NotThisFormat("The file does not begin with a Norma 43 account record (11).")
    statements: list[Statement] = []
    current: Statement | None = None
    for number, line in lines:
        code = line[:2]
        if code == "11":
            current = _account(line, number)
        elif code == "88":
            if _integer(line[20:26], number) > number:  # some banks count fewer; more means that records are lost
                raise StatementRefused(
                    f"Line {number}: the bank wrote {line[20:26]} records, only {len(lines) - 1} are here.", remedy=_REMEDY
                )
        elif current is None:
            raise StatementRefused(f"Line {number}: a record {code} stands outside an account.", remedy=_REMEDY)
        elif code == "22":
            current = replace(current, entries=(*current.entries, _movement(line, current.currency, number)))
        elif code == "23":
            if not current.entries:
                raise StatementRefused(f"Line {number}: a text (23) stands before any movement.", remedy=_REMEDY)
            last = current.entries[-1]
            text = " ".join(filter(None, [last.remittance_information, line[4:42].strip(), line[42:80].strip()]))
            current = replace(current, entries=(*current.entries[:-1], replace(last, remittance_information=text)))
        elif code == "33":
            statements.append(_closed(current, line, number))
            current = None
        elif code != "24":
            raise StatementRefused(f"Line {number}: {code!r} is no Norma 43 record.", remedy=_REMEDY)
    if current is not None:
        raise StatementRefused("An account has no end record (33): the file is cut off.", remedy=_REMEDY)
    if lines[-1][1][:2] != "88":
        raise StatementRefused("The file has no end record (88): it is cut off.", remedy=_REMEDY)
    return statements


def _account(line: str, number: int) -> Statement:
    currency = _CURRENCIES.get(line[47:50])
    if currency is None:
        raise StatementRefused(f"Line {number}: currency {line[47:50]!r} is not known.", remedy=_REMEDY)
    return Statement(
        account=line[2:20].strip(), currency=currency, entries=(), opening_minor=_signed(line[32], line[33:47], number), opening_on=_day(line[20:26], number),
        closing_on=_day(line[26:32], number), account_name=line[51:77].strip(), bank=line[2:6],
    )  # fmt: skip


def _movement(line: str, currency: str, number: int) -> StatementEntry:
    return StatementEntry(
        amount_minor=_signed(line[27], line[28:42], number), currency=currency, booked_on=_day(line[10:16], number), value_on=_day(line[16:22], number),
        transaction_code=line[22:27], bank_reference=line[42:52].strip("0 "), end_to_end_id=line[52:64].strip(), remittance_information=line[64:80].strip(),
    )  # fmt: skip


def _closed(statement: Statement, line: str, number: int) -> Statement:
    # movements of zero stand on either side: only all movements together can be counted
    amounts = [e.amount_minor for e in statement.entries]
    given = (
        _integer(line[20:25], number) + _integer(line[39:44], number),
        _integer(line[25:39], number),
        _integer(line[44:58], number),
    )
    found = (len(amounts), -sum(a for a in amounts if a < 0), sum(a for a in amounts if a > 0))
    if given != found:
        raise StatementRefused(
            f"Line {number}: the bank gives movements, debits and credits as {given}, the file holds {found}.", remedy=_REMEDY
        )
    return replace(statement, closing_minor=_signed(line[58], line[59:73], number))


def _signed(sign: str, digits: str, number: int) -> int:
    """Two decimals; 1 is a debit (money out or a negative balance), 2 a credit; some banks write 0 for a credit balance."""
    if sign not in "012":
        raise StatementRefused(f"Line {number}: {sign!r} is neither debit (1) nor credit (2).", remedy=_REMEDY)
    return _integer(digits, number) * (-1 if sign == "1" else 1)


def _integer(text: str, number: int) -> int:
    if not text.strip().isdigit():
        raise StatementRefused(f"Line {number}: {text!r} is not a number.", remedy=_REMEDY)
    return int(text)


def _day(text: str, number: int) -> date:
    try:
        year = int(text[:2])
        return date(2000 + year if year < 80 else 1900 + year, int(text[2:4]), int(text[4:6]))
    except ValueError as error:
        raise StatementRefused(f"Line {number}: {text!r} is no day (written year, month, day).", remedy=_REMEDY) from error
