"""SWIFT MT940 (customer statement) and MT942 (interim report), as banks really write them.

Source: SWIFT Standards MT category 9, fields 20, 25, 28C, 60, 61, 62, 64, 86; subfields of 86 by the German banks' GVC scheme.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal

from topline.bank.formats.model import NotThisFormat, Statement, StatementEntry, StatementRefused
from topline.kernel import money
from topline.kernel.errors import Invalid

_FIELD = re.compile(r"^:(\d{2}[A-Z]?):", re.MULTILINE)
_BALANCE = re.compile(r"(?P<sign>[CD])(?P<day>\d{6})(?P<currency>[A-Z]{3})(?P<amount>[\d,.]+)")
_MOVEMENT = re.compile(
    r"(?P<value>\d{6}) *(?P<entry>\d{4})? *(?P<mark>R?[CD]|E[CD])(?P<funds>[A-Z])?(?P<amount>\d[\d,.]*)(?P<code>[A-Z][A-Z0-9]{3})?(?P<reference>[^\n]*)(?:\n(?P<more>.*))?",
    re.DOTALL,
)
_PART = re.compile(r"\?(\d{2})")


def read(content: bytes) -> list[Statement]:
    """Every statement in the file; the pages of one statement (60M, 62M) are joined.

    Raises: NotThisFormat, StatementRefused naming the field.
    """
    text = _text(content)
    fields = _fields(text)
    if not any(tag.startswith(("20", "60", "61")) for tag, _ in fields):
        raise NotThisFormat("The file holds no MT940 statement (fields 20, 60, 61).", remedy="Export whole statements.")
    groups: list[list[tuple[str, str]]] = []
    for tag, value in fields:
        if tag == "20" or not groups:
            groups.append([])
        groups[-1].append((tag, value))
    return _joined([_statement(group) for group in groups if any(tag.startswith(("60", "61", "62")) for tag, _ in group)])


def _statement(fields: list[tuple[str, str]]) -> tuple[Statement, bool, bool]:
    """One page: the statement, whether it continues one before it (60M) and whether another follows (62M)."""
    found: dict[str, str] = {}
    movements: list[StatementEntry] = []
    tags = {tag for tag, _ in fields}
    interim = bool(tags & {"34F", "90C", "90D", "13D"}) and not tags & {"62F", "62M"}
    currency = _currency(fields)
    opening_on = next((_balance(v)[1] for t, v in fields if t in {"60F", "60M"}), None)
    for tag, value in fields:
        if tag == "61":
            if {"62F", "62M"} & set(found):
                raise StatementRefused(
                    f"{value.strip()[:40]!r} is a movement after the closing balance (field 61 after 62).",
                    remedy="Fetch the file from the bank again.",
                )
            movements.append(_movement(value, currency, opening_on))
        elif tag == "86" and movements and not ({"62F", "62M"} & set(found)):
            movements[-1] = _described(movements[-1], value)
        else:
            found.setdefault(tag, value)
    reference = found.get("20", "").strip()
    opening = next((_balance(found[t]) for t in ("60F", "60M") if t in found), None)
    closing = next((_balance(found[t]) for t in ("62F", "62M") if t in found), None)
    if not interim and closing is None:
        raise StatementRefused(
            f"Statement {reference or '?'} has no closing balance (:62F:): the file is cut off.",
            remedy="Fetch it from the bank again.",
        )
    if not interim and opening is None:
        raise StatementRefused(
            f"Statement {reference or '?'} has no opening balance (:60F:).", remedy="Fetch it from the bank again."
        )
    account, _, _ = found.get("25", found.get("25P", "")).strip().partition("\n")
    number = re.match(r"/?(\d+)", found.get("28C", found.get("28", "")).strip())
    statement = Statement(
        account=re.sub(
            r"[\s]", "", account.rpartition("/")[2] if re.match(r"[A-Z0-9]{8,11}/", account) else account
        ).removesuffix(currency if len(account) > 18 else "\0"),
        currency=currency,
        entries=tuple(movements),
        kind="report" if interim else "statement",
        statement_id=reference,
        sequence=int(number[1]) if number else None,
        opening_minor=opening[0] if opening else None,
        closing_minor=closing[0] if closing else None,
        opening_on=opening[1] if opening else None,
        closing_on=closing[1] if closing else None,
    )
    return statement, "60M" in found, "62M" in found


def _joined(pages: list[tuple[Statement, bool, bool]]) -> list[Statement]:
    """Pages of one statement put together: each page must open where the last one closed."""
    statements: list[Statement] = []
    open_page = False
    for page, continues, goes_on in pages:
        last = statements[-1] if statements else None
        if (
            continues
            and open_page
            and last is not None
            and last.account == page.account
            and last.closing_minor == page.opening_minor
        ):
            statements[-1] = replace(
                last, entries=last.entries + page.entries, closing_minor=page.closing_minor, closing_on=page.closing_on
            )
        else:
            statements.append(page)
        open_page = goes_on
    return statements


def _currency(fields: list[tuple[str, str]]) -> str:
    for tag, value in fields:
        if tag[:2] in {"60", "62", "64"} and (match := _BALANCE.match(value.strip())):
            return match["currency"]
        if tag == "34F" and re.match(r"[A-Z]{3}", value):
            return value[:3]
    raise StatementRefused(
        "The statement names no currency: it has neither opening nor closing balance.", remedy="Fetch it from the bank again."
    )


def _balance(value: str) -> tuple[int, date]:
    match = _BALANCE.match(value.strip())
    if match is None:
        raise StatementRefused(
            f"{value.strip()[:40]!r} is not a balance (field 60 or 62).", remedy="Fetch the file from the bank again."
        )
    minor = _money(match["amount"], match["currency"])
    return (-minor if match["sign"] == "D" else minor), _day(match["day"])


def _movement(value: str, currency: str, near: date | None) -> StatementEntry:
    match = _MOVEMENT.match(value.strip())
    if match is None:
        raise StatementRefused(
            f"{value.strip()[:40]!r} is not a movement (field 61).", remedy="Fetch the file from the bank again."
        )
    minor = _money(match["amount"], currency)
    mark = match["mark"]
    value_on = _day(match["value"])
    reference, _, servicer = (match["reference"] or "").partition("//")
    return StatementEntry(
        amount_minor=minor if mark in {"C", "RD", "EC"} else -minor,
        currency=currency,
        booked_on=_entry_day(match["entry"], value_on) if match["entry"] else value_on,
        value_on=value_on,
        status="pending" if mark.startswith("E") else "booked",
        remittance_information=(match["more"] or "").replace("\n", " ").strip(),
        end_to_end_id={"NONREF": ""}.get(reference.strip(), reference.strip()),
        bank_reference=servicer.strip(),
        transaction_code=match["code"] or "",
        is_reversal=mark.startswith("R"),
    )


def _described(entry: StatementEntry, value: str) -> StatementEntry:
    """Field 86: by subfields (?20 to ?29 and ?60 to ?63 text, ?31 account, ?32 and ?33 name) or as plain text."""
    flat = value.replace("\r", "").strip()
    joined = flat.replace("\n", "")
    if not _PART.search(joined):
        text = " ".join(flat.split())
        return replace(entry, remittance_information=" ".join(filter(None, [entry.remittance_information, text])))
    pieces = _PART.split(joined)
    parts: dict[str, str] = {}
    for tag, text in zip(pieces[1::2], pieces[2::2], strict=True):
        parts[tag] = parts.get(tag, "") + text
    text = "".join(parts.get(f"{n:02d}", "") for n in (*range(20, 30), *range(60, 64)))
    name = (parts.get("32", "") + parts.get("33", "")).strip()
    end_to_end = re.search(r"EREF\+(.*?)(?=[A-Z]{4}\+|$)", text)
    purpose = re.search(r"SVWZ\+(.*)$", text)
    return replace(
        entry,
        counterparty_name=name,
        counterparty_account="".join(parts.get("31", parts.get("38", "")).split()),
        remittance_information=(purpose[1] if purpose else text).strip() or parts.get("00", "").strip(),
        end_to_end_id=end_to_end[1].strip() if end_to_end and end_to_end[1].strip() != "NOTPROVIDED" else entry.end_to_end_id,
    )


def _fields(text: str) -> list[tuple[str, str]]:
    marks = list(_FIELD.finditer(text))
    return [
        (m[1], text[m.end() : (n.start() if n else len(text))].strip("\n").removesuffix("\n-").rstrip("\n"))
        for m, n in zip(marks, [*marks[1:], None], strict=True)
    ]


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"\{[1235]:[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", "\n", text).replace("{4:", "\n")
    text = re.sub(r"^-\}?\s*$", "", text, flags=re.MULTILINE)
    # a file without line ends still has its tags
    return text if "\n:" in text else re.sub(r"(?<!^)(:\d{2}[A-Z]?:)", r"\n\1", text)


def _money(text: str, currency: str) -> int:
    plain = text.replace(".", "").replace(",", ".") if "," in text else text
    try:
        return money.to_minor(Decimal(plain.rstrip(".") or "0"), currency)
    except (Invalid, ArithmeticError) as error:
        raise StatementRefused(
            f"{text!r} is not an amount in {currency}.", remedy="Fetch the file from the bank again."
        ) from error


def _day(text: str) -> date:
    year = int(text[:2])
    try:
        return date(2000 + year if year < 80 else 1900 + year, int(text[2:4]), int(text[4:6]))
    except ValueError as error:
        # banks that count 30 days a month write 30 February: it means the last day
        if text[2:] in {"0229", "0230"}:
            return date(2000 + year if year < 80 else 1900 + year, 2, 28)
        raise StatementRefused(
            f"{text!r} is no day (written year, month, day).", remedy="Fetch the file from the bank again."
        ) from error


def _entry_day(text: str, value_on: date) -> date:
    """The booking day has no year: it is the one nearest to the value date."""
    month, day = int(text[:2]), int(text[2:])
    for year in sorted(
        (value_on.year - 1, value_on.year, value_on.year + 1),
        key=lambda y: abs(12 * y + month - 12 * value_on.year - value_on.month),
    ):
        try:
            return date(year, month, day)
        except ValueError:
            continue
    raise StatementRefused(f"{text!r} is no day (written month, day).", remedy="Fetch the file from the bank again.")
