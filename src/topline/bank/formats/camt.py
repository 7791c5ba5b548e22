"""ISO 20022 cash management: camt.053 (statement), camt.052 (report), camt.054 (notification), versions 001.02 to 001.13."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from lxml import etree

from topline.bank.formats import xml
from topline.bank.formats.model import NotThisFormat, Statement, StatementEntry, StatementRefused
from topline.kernel import money
from topline.kernel.errors import Invalid

Kind = Literal["statement", "report", "notification"]
_KINDS: dict[str, Kind] = {"Stmt": "statement", "Rpt": "report", "Ntfctn": "notification"}
_STATUS: dict[str, Literal["pending", "info"]] = {"PDNG": "pending", "FUTR": "pending", "INFO": "info"}
_OPENING, _CLOSING = ("OPBD", "PRCD"), ("CLBD",)


def read(content: bytes) -> list[Statement]:
    """Every statement, report and notification in a document, in its order.

    A batch booking counts once, by its entry; the transactions inside are its details. Pending entries are kept and never count.
    Raises: NotThisFormat, StatementRefused naming the element and its line.
    """
    root = xml.parse(content)
    found = [
        (node, _KINDS[_name(node)])
        for node in root.iter(etree.Element)
        if _name(node) in _KINDS and _name(node.getparent()).startswith("BkToCstmr")
    ]
    if not found:
        raise NotThisFormat(f"The XML holds {_name(root)}, not a camt statement.")
    return [_statement(node, kind) for node, kind in found]


def _statement(node: etree._Element, kind: Kind) -> Statement:
    account = (
        _text(node, "Acct/Id/IBAN")
        or _text(node, "Acct/Id/Othr/Id")
        or _text(node, "Acct/Id/PrtryAcct/Id")
        or _text(node, "Acct/Id/BBAN")
    )
    balances = {code: balance for balance in _all(node, "Bal") if (code := _text(balance, "Tp/CdOrPrtry/Cd"))}
    notes: list[str] = []
    # an advice may leave the days of its entries out: then it is about the day when it was written
    written_on = _day(node, "CreDtTm", bare=True) if kind != "statement" else None
    entries = tuple(_entry(entry, written_on) for entry in _all(node, "Ntry"))
    if written_on is not None and any(_undated(entry) for entry in _all(node, "Ntry")):
        notes.append("The bank gave no day for an entry; it counts on the day when the file was written.")
    currency = (
        _text(node, "Acct/Ccy")
        or next((_attribute(b, "Amt") for b in balances.values()), "")
        or next((e.currency for e in entries), "")
    )
    if not currency:
        raise StatementRefused(
            f"Statement {_text(node, 'Id') or '?'} names no currency (line {node.sourceline}).",
            remedy="Fetch it from the bank again.",
        )
    for entry in entries:
        if entry.currency != currency and entry.status == "booked":
            raise StatementRefused(
                f"Statement {_text(node, 'Id')} is in {currency} but its entry of {entry.booked_on} is in {entry.currency}.",
                remedy="Fetch it from the bank again.",
            )
    opening = next((balances[code] for code in _OPENING if code in balances), None)
    closing = next((balances[code] for code in _CLOSING if code in balances), None)
    if kind == "statement" and (opening is None or closing is None):
        notes.append("The bank gave no opening or no closing balance, so the sum could not be checked.")
    number = _text(node, "ElctrncSeqNb") or _text(node, "LglSeqNb")
    return Statement(
        account="".join(account.split()),
        currency=currency,
        entries=entries,
        kind=kind,
        statement_id=_text(node, "Id"),
        sequence=int(number) if number.isdigit() else None,
        opening_minor=_balance(opening) if opening is not None else None,
        closing_minor=_balance(closing) if closing is not None else None,
        opening_on=_day(opening, "Dt") if opening is not None else _day(node, "FrToDt/FrDtTm", bare=True),
        closing_on=_day(closing, "Dt") if closing is not None else _day(node, "FrToDt/ToDtTm", bare=True),
        account_name=_text(node, "Acct/Nm") or _text(node, "Acct/Ownr/Nm"),
        bank=_text(node, "Acct/Svcr/FinInstnId/BIC")
        or _text(node, "Acct/Svcr/FinInstnId/BICFI")
        or _text(node, "Acct/Svcr/FinInstnId/Nm"),
        notes=tuple(notes),
    )


def _undated(node: etree._Element) -> bool:
    return node.find("{*}BookgDt") is None and node.find("{*}ValDt") is None


def _entry(node: etree._Element, written_on: date | None) -> StatementEntry:
    amount, currency = _amount(node)
    status = _text(node, "Sts/Cd") or _text(node, "Sts/Prtry") or _text(node, "Sts")
    booked_on = _day(node, "BookgDt") or _day(node, "ValDt") or written_on
    if booked_on is None:
        raise StatementRefused(
            f"The entry in line {node.sourceline} has neither booking nor value date.", remedy="Fetch it from the bank again."
        )
    transactions = _all(node, "NtryDtls/TxDtls")
    details = tuple(_detail(t, node, booked_on, currency) for t in transactions) if len(transactions) > 1 else ()
    inner = transactions[0] if len(transactions) == 1 else None
    facts = _facts(inner, node) if inner is not None else {}
    if not facts.get("remittance_information"):
        facts["remittance_information"] = " ".join(filter(None, [_text(node, "AddtlNtryInf")]))
    return StatementEntry(
        amount_minor=amount,
        currency=currency,
        booked_on=booked_on,
        value_on=_day(node, "ValDt"),
        status=_STATUS.get(status, "booked"),
        bank_reference=_text(node, "AcctSvcrRef") or _text(node, "NtryRef"),
        transaction_code=_code(node),
        is_reversal=_text(node, "RvslInd") in {"true", "1"},
        details=details,
        **facts,
    )


def _detail(node: etree._Element, entry: etree._Element, booked_on: date, currency: str) -> StatementEntry:
    given = node.find("{*}Amt") if node.find("{*}Amt") is not None else node.find("{*}AmtDtls/{*}TxAmt/{*}Amt")
    amount, own = _money(given) if given is not None else (0, currency)
    direction = _text(node, "CdtDbtInd") or _text(entry, "CdtDbtInd")
    return StatementEntry(
        amount_minor=-amount if direction == "DBIT" else amount,
        currency=own,
        booked_on=booked_on,
        bank_reference=_text(node, "Refs/AcctSvcrRef"),
        **_facts(node, entry),
    )


def _facts(node: etree._Element, entry: etree._Element) -> dict[str, Any]:
    """Who paid whom and what for; money in names the debtor, money out the creditor."""
    side = "Cdtr" if (_text(node, "CdtDbtInd") or _text(entry, "CdtDbtInd")) == "DBIT" else "Dbtr"
    party = f"RltdPties/{side}"
    name = (
        _text(node, f"RltdPties/Ultmt{side}/Nm")
        or _text(node, f"RltdPties/Ultmt{side}/Pty/Nm")
        or _text(node, f"{party}/Nm")
        or _text(node, f"{party}/Pty/Nm")
    )
    number = _text(node, f"RltdPties/{side}Acct/Id/IBAN") or _text(node, f"RltdPties/{side}Acct/Id/Othr/Id")
    text = " ".join(t.strip() for n in _all(node, "RmtInf/Ustrd") if (t := n.text or ""))
    return {
        "counterparty_name": name,
        "counterparty_account": "".join(number.split()),
        "remittance_information": text or _text(node, "AddtlTxInf"),
        "structured_reference": _text(node, "RmtInf/Strd/CdtrRefInf/Ref"),
        "end_to_end_id": {"NOTPROVIDED": ""}.get(_text(node, "Refs/EndToEndId"), _text(node, "Refs/EndToEndId")),
    }


def _code(node: etree._Element) -> str:
    parts = [_text(node, f"BkTxCd/{p}") for p in ("Domn/Cd", "Domn/Fmly/Cd", "Domn/Fmly/SubFmlyCd")]
    return "-".join(filter(None, parts)) or _text(node, "BkTxCd/Prtry/Cd")


def _balance(node: etree._Element) -> int:
    return _amount(node)[0]


def _amount(node: etree._Element) -> tuple[int, str]:
    """Signed minor units and currency of an element with Amt and CdtDbtInd."""
    given = node.find("{*}Amt")
    if given is None:
        raise StatementRefused(
            f"{_name(node)} in line {node.sourceline} has no amount.", remedy="Fetch the file from the bank again."
        )
    minor, currency = _money(given)
    direction = _text(node, "CdtDbtInd")
    if direction not in {"CRDT", "DBIT"} and minor:
        raise StatementRefused(
            f"{_name(node)} in line {node.sourceline} is neither credit nor debit.", remedy="Fetch the file from the bank again."
        )
    return (-minor if direction == "DBIT" else minor), currency


def _money(node: etree._Element) -> tuple[int, str]:
    text, currency = (node.text or "").strip(), node.get("Ccy", "")
    try:
        value = Decimal(text)
        if value < 0:
            raise StatementRefused(
                f"The amount {text} in line {node.sourceline} is negative; its sign belongs in CdtDbtInd.",
                remedy="Fetch it again.",
            )
        return money.to_minor(value, currency), currency
    except InvalidOperation as error:
        raise StatementRefused(
            f"{text!r} in line {node.sourceline} is not an amount.", remedy="Fetch the file from the bank again."
        ) from error
    except StatementRefused:
        raise
    except Invalid as error:
        raise StatementRefused(
            f"Line {node.sourceline}: {error.message}", remedy="Fetch the file from the bank again."
        ) from error


def _day(node: etree._Element, path: str, *, bare: bool = False) -> date | None:
    text = _text(node, path) if bare else _text(node, f"{path}/Dt") or _text(node, f"{path}/DtTm")
    if not text:
        return None
    try:
        return date.fromisoformat(text[:10])
    except ValueError as error:
        raise StatementRefused(
            f"{text!r} below line {node.sourceline} is no day.", remedy="Fetch the file from the bank again."
        ) from error


def _text(node: etree._Element, path: str) -> str:
    found = node.find("/".join(f"{{*}}{part}" for part in path.split("/")))
    return (found.text or "").strip() if found is not None and not len(found) else ""


def _attribute(node: etree._Element, path: str) -> str:
    found = node.find(f"{{*}}{path}")
    return found.get("Ccy", "") if found is not None else ""


def _all(node: etree._Element, path: str) -> list[etree._Element]:
    return list(node.iterfind("/".join(f"{{*}}{part}" for part in path.split("/"))))


def _name(node: etree._Element | None) -> str:
    return etree.QName(node).localname if node is not None and isinstance(node.tag, str) else ""
