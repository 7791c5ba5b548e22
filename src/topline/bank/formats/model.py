"""What every bank file becomes, whatever its format; names follow ISO 20022 (camt.053)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Literal

from topline.kernel.errors import DomainError, Invalid
from topline.kernel.money import format_amount


class StatementRefused(Invalid):
    """The file, or one statement in it, cannot be taken in whole: nothing of it is stored."""

    code = "statement_refused"


class NotThisFormat(DomainError):
    """The content is not of the format that the reader reads; another reader may try."""

    code = "not_this_format"


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """One movement on the account (camt `Ntry`).

    amount_minor is signed: money in is positive. `status` "pending" and "info" never count towards the closing balance.
    """

    amount_minor: int
    currency: str
    booked_on: date
    value_on: date | None = None
    status: Literal["booked", "pending", "info"] = "booked"
    counterparty_name: str = ""
    counterparty_account: str = ""  # IBAN or the bank's own number, without blanks
    remittance_information: str = ""  # free text as the payer wrote it, lines joined by a blank
    structured_reference: str = ""  # ISO 11649 RF.., Swiss QR, KID, viite, Belgian OGM
    end_to_end_id: str = ""
    bank_reference: str = ""  # the servicer's own id of the movement, if it gives one
    transaction_code: str = ""  # bank transaction code as found (PMNT-RCDT-ESCT, MT940 NTRF, BAI2 195 ...)
    is_reversal: bool = False
    details: tuple[
        StatementEntry, ...
    ] = ()  # the transactions inside a batch booking; they sum to the entry when amounts are given


@dataclass(frozen=True, slots=True)
class Statement:
    """A bank's word on one account over one stretch of time (camt `Stmt`, `Rpt` or `Ntfctn`).

    kind  "statement" is final and chains by its balances; "report" (camt.052, MT942) is intraday;
          "notification" (camt.054) only gives detail of movements
    A statement whose opening + booked movements differ from its closing is refused whole by `check_balance`.
    """

    account: str  # IBAN or the bank's number, without blanks; "" where the file does not say and the profile must
    currency: str
    entries: tuple[StatementEntry, ...]
    kind: Literal["statement", "report", "notification"] = "statement"
    statement_id: str = ""
    sequence: int | None = None
    opening_minor: int | None = None
    closing_minor: int | None = None
    opening_on: date | None = None
    closing_on: date | None = None
    account_name: str = ""
    bank: str = ""  # BIC or name of the servicer
    notes: tuple[str, ...] = ()  # what a reader had to assume, in words for a person

    @property
    def movement_minor(self) -> int:
        """Sum of the booked movements."""
        return sum(e.amount_minor for e in self.entries if e.status == "booked")


def check_balance(statement: Statement) -> Statement:
    """The statement itself if opening + movements = closing (or a balance is not given), else it is refused.

    Raises: StatementRefused with the three figures.
    """
    if statement.opening_minor is None or statement.closing_minor is None or statement.kind != "statement":
        return statement
    expected = statement.opening_minor + statement.movement_minor
    told = partial(format_amount, currency=statement.currency)
    if expected != statement.closing_minor:
        raise StatementRefused(
            f"Statement {statement.statement_id or statement.sequence or '?'} of account {statement.account or '?'} does not add up: opening "
            f"{told(statement.opening_minor)} and movements of {told(statement.movement_minor)} lead to {told(expected)}, but it closes at "
            f"{told(statement.closing_minor)} {statement.currency}.",
            remedy="Fetch the statement from the bank again; nothing of it was stored.",
            opening_minor=statement.opening_minor,
            movement_minor=statement.movement_minor,
            closing_minor=statement.closing_minor,
        )
    return statement
