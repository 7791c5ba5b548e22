"""Open Financial Exchange 1 (SGML) and 2 (XML), as banks really write them: unclosed tags, missing header, stray ampersands."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from topline.bank.formats.model import NotThisFormat, Statement, StatementEntry, StatementRefused
from topline.kernel import money
from topline.kernel.errors import Invalid

_TAG = re.compile(r"<(/?)([A-Z0-9_.]+)>([^<]*)", re.IGNORECASE)
_LISTS = {"STMTTRNRS", "CCSTMTTRNRS", "STMTRS", "CCSTMTRS", "BANKTRANLIST", "STMTTRN"}


def read(content: bytes) -> list[Statement]:
    """One statement per account in the file. OFX gives a closing balance only, so there is nothing to check a sum against.

    Raises: NotThisFormat, StatementRefused naming the transaction.
    """
    text = _text(content)
    blocks = [
        m
        for name in ("STMTRS", "CCSTMTRS")
        for m in re.finditer(rf"<{name}>(.*?)(?=</{name}>|<{name}>|\Z)", text, re.IGNORECASE | re.DOTALL)
    ]
    if not re.search(r"<OFX>", text, re.IGNORECASE):
        raise NotThisFormat("The file holds no <OFX> element.", remedy="Export it again.")
    if "</OFX>" not in text:
        raise StatementRefused("The file has no end (</OFX>): it is cut off.", remedy="Export it again.")
    if not blocks:
        raise StatementRefused(
            "The OFX file holds no bank or card statement.",
            remedy="Export the account's transactions, not its list or investments.",
        )
    return [_statement(block[1]) for block in blocks]


def _statement(block: str) -> Statement:
    head, _, rest = block.partition("<BANKTRANLIST>") if "<BANKTRANLIST>" in block else (block, "", "")
    values = _values(head)
    currency = values.get("CURDEF", "").upper()
    try:
        money.ensure_currency(currency)
    except Invalid as error:
        raise StatementRefused(
            f"The statement's currency {currency!r} (CURDEF) is not known.", remedy="Export it again."
        ) from error
    transactions = [
        m[1] for m in re.finditer(r"<STMTTRN>(.*?)(?=</STMTTRN>|<STMTTRN>|</BANKTRANLIST>|\Z)", rest, re.IGNORECASE | re.DOTALL)
    ]
    entries = tuple(_entry(_values(t), currency, n) for n, t in enumerate(transactions, 1))
    listed = _values(rest.partition("<STMTTRN>")[0])
    ledger = re.search(r"<LEDGERBAL>(.*?)(?=</LEDGERBAL>|<AVAILBAL>|\Z)", block, re.IGNORECASE | re.DOTALL)
    balance = _values(ledger[1]) if ledger else {}
    closing = _amount(balance["BALAMT"], currency, "the ledger balance") if balance.get("BALAMT") else None
    return Statement(
        account="".join(values.get("ACCTID", "").split()),
        currency=currency,
        entries=entries,
        closing_minor=closing,
        closing_on=_day(balance.get("DTASOF", "") or listed.get("DTEND", ""), "the balance"),
        opening_on=_day(listed.get("DTSTART", ""), "the list"),
        bank=values.get("BANKID", ""),
        notes=("OFX gives no opening balance, so the sum could not be checked.",),
    )


def _entry(values: dict[str, str], currency: str, number: int) -> StatementEntry:
    what = f"transaction {number} ({values.get('FITID') or values.get('NAME') or 'without id'})"
    if not values.get("TRNAMT"):
        raise StatementRefused(f"{what} has no amount (TRNAMT).", remedy="Export the file again.", transaction=number)
    booked_on = _day(values.get("DTPOSTED", ""), what)
    if booked_on is None:
        raise StatementRefused(f"{what} has no day (DTPOSTED).", remedy="Export the file again.", transaction=number)
    name = values.get("NAME", "") or values.get("PAYEE", "")
    return StatementEntry(
        amount_minor=_amount(values["TRNAMT"], currency, what),
        currency=currency,
        booked_on=booked_on,
        value_on=_day(values.get("DTAVAIL", ""), what),
        counterparty_name=name,
        remittance_information=values.get("MEMO", ""),
        bank_reference=values.get("FITID", ""),
        end_to_end_id=values.get("CHECKNUM", "") or values.get("REFNUM", ""),
        transaction_code=values.get("TRNTYPE", ""),
    )


def _values(block: str) -> dict[str, str]:
    """Leaf elements of a block: the first of each name wins."""
    found: dict[str, str] = {}
    for closing, tag, value in _TAG.findall(block):
        if not closing and value.strip() and tag.upper() not in _LISTS:
            found.setdefault(tag.upper(), _plain(value))
    return found


def _plain(value: str) -> str:
    text = value.strip()
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&nbsp;", " "), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


def _amount(text: str, currency: str, what: str) -> int:
    plain = text.replace(" ", "")
    if re.fullmatch(r"[+-]?[\d.]*,\d{1,2}", plain):
        plain = plain.replace(".", "").replace(",", ".")
    plain = plain.replace(",", "")
    try:
        return money.to_minor(Decimal(plain).normalize(), currency)
    except (ArithmeticError, Invalid) as error:
        raise StatementRefused(f"{text!r} of {what} is not an amount in {currency}.", remedy="Export the file again.") from error


def _day(text: str, what: str) -> date | None:
    if not text.strip():
        return None
    match = re.match(r"(\d{4})-?(\d{2})-?(\d{2})", text.strip())
    try:
        if match is None:
            raise ValueError(text)
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError as error:
        raise StatementRefused(
            f"{text.strip()!r} of {what} is no day (written year, month, day).", remedy="Export the file again."
        ) from error


def _text(content: bytes) -> str:
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise StatementRefused("The file carries a document type or entities, which OFX never does.", remedy="Export it again.")
    if b"<!--" in content:
        raise StatementRefused(
            "The file carries a comment, which OFX never does: something was taken out of it.", remedy="Export it again."
        )
    text = _decoded(content)
    return re.sub(r"<(/?)([A-Za-z0-9_.]+)>", lambda tag: f"<{tag[1]}{tag[2].upper()}>", text)


def _decoded(content: bytes) -> str:
    declared = re.search(rb"CHARSET:\s*(\d+)|encoding=\"([\w-]+)\"", content[:600])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        code = (declared[1] or b"1252").decode() if declared else "1252"
        return content.decode(f"cp{code}" if code in {"1250", "1251", "1252"} else "cp1252", errors="replace")
