"""BAI2 cash management balance reporting: files of groups of accounts with control totals at each level.

Source: BAI, Cash Management Balance Reporting Specifications, version 2: records 01, 02, 03, 16, 88, 49, 98, 99.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

from topline.bank.formats.model import NotThisFormat, Statement, StatementEntry, StatementRefused
from topline.kernel import money

_REMEDY = "Fetch the file from the bank again."
# Summary codes for balances: ledger opening and closing.
_OPENING, _CLOSING = "010", "015"
_TRAILERS = {"49": "03", "98": "02", "99": "01"}


@dataclass
class _Account:
    number: str
    currency: str
    balances: dict[str, int]
    control: int
    entries: list[StatementEntry] = field(default_factory=list)


def read(content: bytes) -> list[Statement]:
    """One statement per account of each group. Control totals and record counts must agree.

    Raises: NotThisFormat, StatementRefused naming the record.
    """
    records = _records(content)
    if not records or records[0][1][0] != "01":
        raise NotThisFormat("The file does not begin with a BAI2 file header (01).")
    statements: list[Statement] = []
    account: _Account | None = None
    as_of, currency, group_sum, file_sum = date.min, "USD", 0, 0
    in_group = False
    counts = {"03": 0, "02": 0, "01": 0}  # records of the account, the group and the file so far
    begun = {"03": 0, "02": 0, "01": 0}  # the same without continuations
    for line, cells, lines in records:
        code = cells[0]
        for level in ("01", "02", "03"):
            counts[level], begun[level] = (lines, 1) if code == level else (counts[level] + lines, begun[level] + 1)
        if code == "02":
            in_group, group_sum = True, 0
            as_of, currency = _day(_cell(cells, 4), line), _cell(cells, 6) or "USD"
        elif code == "03":
            if not in_group:
                raise StatementRefused(f"Record {line}: an account (03) stands outside a group (02).", remedy=_REMEDY)
            account = _account(cells, currency, line)
        elif code == "16":
            if account is None:
                raise StatementRefused(f"Record {line}: a transaction (16) stands outside an account (03).", remedy=_REMEDY)
            entry, amount = _transaction(cells, account, as_of, line)
            account.entries.append(entry)
            account.control += amount
        elif code == "49":
            if account is None:
                raise StatementRefused(f"Record {line}: an account trailer (49) without an account (03).", remedy=_REMEDY)
            given = _cell(cells, 1)
            _check(given, account.control, f"account {account.number}", line)
            group_sum += int(given or account.control)
            statements.append(_statement(account, as_of))
            account = None
        elif code == "98":
            _check(_cell(cells, 1), group_sum, "the group", line)
            file_sum += int(_cell(cells, 1) or group_sum)
            in_group = False
        elif code == "99":
            _check(_cell(cells, 1), file_sum, "the file", line)
        elif code not in {"01"}:
            raise StatementRefused(f"Record {line}: {code!r} is no BAI2 record.", remedy=_REMEDY)
        if code in _TRAILERS:
            _check_count(cells, {counts[_TRAILERS[code]], begun[_TRAILERS[code]]}, line)
    if account is not None or records[-1][1][0] != "99":
        raise StatementRefused("The file has no trailer (99): it is cut off.", remedy=_REMEDY)
    return statements


def _check_count(cells: list[str], found: set[int], line: int) -> None:
    """The last cell of a trailer counts the records since its header; some banks leave the continuations out."""
    given = _integer(_cell(cells, len(cells) - 1), line)
    if given and given not in found:
        raise StatementRefused(f"Record {line}: the trailer counts {given} records, there are {max(found)}.", remedy=_REMEDY)


def _records(content: bytes) -> list[tuple[int, list[str], int]]:
    """Logical records, the line where each begins and how many lines it has; continuations (88) are joined to the record above."""
    text = content.decode("utf-8-sig", errors="replace")
    joined: list[tuple[int, str, int]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line:
            continue
        if line.startswith("88,") and joined:
            start, before, lines = joined[-1]
            free_text = before.startswith("16,") and not before.endswith("/")
            joined[-1] = (start, before.removesuffix("/") + ("\n" if free_text else ",") + line[3:], lines + 1)
        else:
            joined.append((number, line, 1))
    return [(number, _split(line), lines) for number, line, lines in joined]


def _split(line: str) -> list[str]:
    return line.removesuffix("/").split(",")


def _account(cells: list[str], group_currency: str, line: int) -> _Account:
    currency = _cell(cells, 2) or group_currency
    money.ensure_currency(currency)
    balances: dict[str, int] = {}
    control, rest = 0, [c.strip() for c in cells[3:]]
    while rest:
        if not rest[0]:  # banks that leave the first balance empty, or end a record with one comma too many
            rest = rest[1:]
            continue
        code, amount = rest[0], rest[1] if len(rest) > 1 else ""
        funds = rest[3] if len(rest) > 3 else ""
        skip = (
            4
            + {"S": 3, "V": 2}.get(funds, 0)
            + (1 + 2 * int(rest[4]) if funds == "D" and len(rest) > 4 and rest[4].isdigit() else 0)
        )
        if amount:
            value = _integer(amount, line)
            balances.setdefault(code, value)
            control += value
        rest = rest[skip:]
    return _Account("".join(_cell(cells, 1).split()), currency, balances, control)


def _transaction(cells: list[str], account: _Account, as_of: date, line: int) -> tuple[StatementEntry, int]:
    code, amount, funds = _cell(cells, 1), _integer(_cell(cells, 2), line), _cell(cells, 3)
    if not re.fullmatch(r"\d{3}", code):
        raise StatementRefused(f"Record {line}: {code!r} is no transaction code.", remedy=_REMEDY)
    skip = 4 + {"S": 3, "V": 2}.get(funds, 0)
    if funds == "D":
        skip += 1 + 2 * int(_cell(cells, 4) or 0)
    number = int(code)
    # 100 to 399 are credits, 400 to 699 debits; 890 and the like carry no money
    sign = 1 if 100 <= number <= 399 else -1 if 400 <= number <= 699 else 0
    text = ",".join(cells[skip + 2 :]).replace("\n", " ").strip()
    entry = StatementEntry(
        amount_minor=sign * amount, currency=account.currency, booked_on=as_of, status="booked" if sign else "info", bank_reference=_cell(cells, skip),
        end_to_end_id=_cell(cells, skip + 1), remittance_information=text, transaction_code=code,
    )  # fmt: skip
    return entry, amount


def _statement(account: _Account, as_of: date) -> Statement:
    return Statement(
        account=account.number, currency=account.currency, entries=tuple(account.entries), opening_minor=account.balances.get(_OPENING),
        closing_minor=account.balances.get(_CLOSING), opening_on=as_of, closing_on=as_of,
    )  # fmt: skip


def _check(given: str, found: int, what: str, line: int) -> None:
    if given and _integer(given, line) != found:
        raise StatementRefused(
            f"Record {line}: the control total of {what} is {given}, its records add up to {found}.", remedy=_REMEDY
        )


def _integer(text: str, line: int) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?\d{1,17}", text):
        raise StatementRefused(f"Record {line}: {text!r} is not an amount in minor units.", remedy=_REMEDY)
    return int(text)


def _day(text: str, line: int) -> date:
    try:
        return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:6]))
    except ValueError as error:
        raise StatementRefused(f"Record {line}: {text!r} is no day (written year, month, day).", remedy=_REMEDY) from error


def _cell(cells: list[str], place: int) -> str:
    return cells[place].strip() if place < len(cells) else ""
