"""Reads of the bank room: accounts with what the bank says stands on them, statements and their gaps, lines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

import polars as pl
from django.db.models import QuerySet, Sum

from topline.bank.formats.model import Statement
from topline.bank.models import BankAccount, BankStatement, StatementLine
from topline.books.models import Entry, Transfer
from topline.kernel import bulk
from topline.kernel.errors import NotFound


@dataclass(frozen=True)
class Opening:
    """The ledger entry that holds a bank account's opening balance."""

    entry_id: int
    effective_on: date
    amount_minor: int


@dataclass(frozen=True)
class BankBalance:
    """What the bank says stands on an account at the end of a day. `as_of` is the last day the bank told us about."""

    account: BankAccount
    balance_minor: int
    as_of: date | None
    source: str  # "statement", or "lines" where no statement gives a balance, or "nothing"


def accounts(entity_id: int) -> list[BankAccount]:
    """Our accounts of an entity, open ones first (at most 200)."""
    return list(BankAccount.objects.filter(entity_id=entity_id).order_by("is_closed", "name")[:200])


def paid_into(*, entity_id: int, currency: str) -> tuple[str, str]:
    """IBAN and BIC of the account that documents in a currency name for payment: the oldest open one with an IBAN; empty where there is none."""
    known = (
        BankAccount.objects.filter(entity_id=entity_id, currency=currency, is_closed=False)
        .order_by("id")
        .values_list("number", "bic")[:100]
    )
    return next(((number, bic) for number, bic in known if number[:2].isalpha()), ("", ""))


def account(account_id: int) -> BankAccount:
    """One of our accounts. Raises: NotFound."""
    found = BankAccount.objects.filter(pk=account_id).first()
    if found is None:
        raise NotFound(f"There is no bank account {account_id}.", field="account_id")
    return found


def bank_balances(*, entity_id: int, as_of: date) -> list[BankBalance]:
    """Per open account: the last closing balance on or before the day plus booked lines after it until the day.

    Work: three statements per account.
    """
    found = []
    for account in accounts(entity_id):
        if account.is_closed:
            continue
        found.append(_balance(account, as_of))
    return found


def _balance(account: BankAccount, as_of: date) -> BankBalance:
    final = BankStatement.objects.filter(account=account, kind="statement", is_undone=False)
    closing = _last_closing(final.filter(closing_minor__isnull=False, last_on__lte=as_of))
    booked = StatementLine.objects.filter(account=account, status="booked", booked_on__lte=as_of)
    if closing is None:
        opening = final.filter(opening_minor__isnull=False).order_by("first_on", "sequence", "id").first()
        start = opening.opening_minor or 0 if opening and opening.first_on <= as_of else 0
        last = booked.order_by("-booked_on").values_list("booked_on", flat=True).first()
        total = booked.aggregate(s=Sum("amount_minor"))["s"] or 0
        return BankBalance(account, start + total, last, "lines" if last else "nothing")
    after = booked.filter(booked_on__gt=closing.last_on)
    last = after.order_by("-booked_on").values_list("booked_on", flat=True).first() or closing.last_on
    return BankBalance(
        account, (closing.closing_minor or 0) + (after.aggregate(s=Sum("amount_minor"))["s"] or 0), last, "statement"
    )


def _last_closing(rows: QuerySet[BankStatement]) -> BankStatement | None:
    """The statement that ends last; of several that end on that day the one that the others lead to."""
    last_on = rows.order_by("-last_on").values_list("last_on", flat=True).first()
    if last_on is None:
        return None
    same = {row.pk: row for row in rows.filter(last_on=last_on).order_by("first_on", "id")[:200]}
    ordered = _chained([(row.pk, last_on, last_on, row.opening_minor, row.closing_minor) for row in same.values()])
    return same[ordered[-1][0]]


def statements(*, bank_account_id: int, limit: int = 200) -> list[BankStatement]:
    """Statements of an account that stand, newest first."""
    return list(BankStatement.objects.filter(account_id=bank_account_id, is_undone=False).order_by("-last_on", "-id")[:limit])


def gaps(*, bank_account_id: int) -> pl.DataFrame:
    """Where the chain of final statements breaks: the next one does not open where the last one closed.

    returns  one row per gap: after_id, before_id, closed_on, opens_on, closing_minor, opening_minor, missing_minor
    """
    rows = BankStatement.objects.filter(
        account_id=bank_account_id, kind="statement", is_undone=False, opening_minor__isnull=False, closing_minor__isnull=False
    )
    found = rows.order_by("first_on", "last_on", "id").values_list("id", "first_on", "last_on", "opening_minor", "closing_minor")
    columns = bulk.schema(BankStatement, ["id", "first_on", "last_on", "opening_minor", "closing_minor"])
    frame = pl.DataFrame(_chained(list(found)), schema=columns, orient="row")
    chained = frame.with_columns(
        after_id=pl.col("id").shift(1), closed_on=pl.col("last_on").shift(1), closed_minor=pl.col("closing_minor").shift(1)
    )
    return chained.filter(pl.col("closed_minor") != pl.col("opening_minor")).select(
        "after_id", "closed_on", "opening_minor", before_id="id", opens_on="first_on", closing_minor="closed_minor",
        missing_minor=pl.col("opening_minor") - pl.col("closed_minor"),
    )  # fmt: skip


def lines(*, entity_id: int, filters: dict[str, Any] | None = None) -> QuerySet[StatementLine]:
    """Statement lines of an entity's accounts; order and slice before use."""
    return StatementLine.objects.filter(account__entity_id=entity_id, **(filters or {}))


def known_fingerprints(bank_account_id: int, fingerprints: pl.Series) -> set[str]:
    """Which of these movements are on the account already."""
    found: set[str] = set()
    for start in range(0, fingerprints.len(), 900):
        chunk = fingerprints.slice(start, 900).to_list()
        found |= set(
            StatementLine.objects.filter(account_id=bank_account_id, fingerprint__in=chunk).values_list("fingerprint", flat=True)
        )
    return found


def lines_before(bank_account_id: int, statement: Statement) -> list[StatementLine]:
    """Booked lines of the first day of a statement that came in with the statements of that day which it follows.

    It follows those that close where it opens, and where they open in turn. Work: a statement per statement of that day.
    """
    days = [entry.booked_on for entry in statement.entries if entry.status == "booked"]
    if not days or statement.opening_minor is None:
        return []
    day, opening, before = min(days), statement.opening_minor, list[int]()
    while True:
        row = (
            BankStatement.objects.filter(
                account_id=bank_account_id, kind="statement", is_undone=False, last_on=day, closing_minor=opening
            )
            .exclude(pk__in=before)
            .order_by("-sequence", "-id")
            .first()
        )
        if row is None or row.opening_minor in (None, opening):  # a statement without change proves no order
            break
        before.append(row.pk)
        opening = row.opening_minor
    return list(StatementLine.objects.filter(statement_id__in=before, booked_on=day, status="booked"))


def first_balanced(bank_account_id: int) -> BankStatement | None:
    """The earliest final statement that says what stood on the account before it."""
    rows = BankStatement.objects.filter(
        account_id=bank_account_id, kind="statement", is_undone=False, opening_minor__isnull=False
    ).order_by("first_on", "last_on", "id")
    first = rows.first()
    if first is None:
        return None
    same_days = {row.pk: row for row in rows.filter(first_on=first.first_on, last_on=first.last_on)[:200]}
    ordered = _chained([(row.pk, row.first_on, row.last_on, row.opening_minor, row.closing_minor) for row in same_days.values()])
    return same_days[ordered[0][0]]


def _chained(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Statements (id, first day, last day, opening, closing) sorted by days, those of the same days by their balances.

    Within the same days the next is the one that opens where the last closed, else one that no other leads to.
    """
    ordered: list[tuple[Any, ...]] = []
    for _, group in groupby(rows, key=lambda row: (row[1], row[2])):
        left = list(group)
        while left:
            following = [row for row in left if ordered and row[3] == ordered[-1][4]]
            leading = [row for row in left if not any(row[3] == other[4] for other in left if other is not row)]
            ordered.append((following or leading or left)[0])
            left.remove(ordered[-1])
    return ordered


def opening_entry(bank_account_id: int) -> Opening | None:
    """The opening entry in force, with the signed amount it put on the account."""
    entry = (
        Entry.objects.filter(key__startswith=f"bank:{bank_account_id}:opening:", kind="bank_opening", reversed_by__isnull=True)
        .order_by("-id")
        .first()
    )
    if entry is None:
        return None
    transfer = Transfer.objects.select_related("debit_account").get(entry=entry)
    sign = 1 if transfer.debit_account.role == f"bank:{bank_account_id}" else -1
    return Opening(entry.pk, entry.effective_on, sign * transfer.amount_minor)


def openings_so_far(bank_account_id: int) -> int:
    """How many opening entries were ever written for the account, for the next one's key."""
    return Entry.objects.filter(key__startswith=f"bank:{bank_account_id}:opening:", kind="bank_opening").count()


def last_statement_day(bank_account_id: int) -> date | None:
    """The last day that a final statement covers."""
    return (
        BankStatement.objects.filter(account_id=bank_account_id, kind="statement", is_undone=False)
        .order_by("-last_on")
        .values_list("last_on", flat=True)
        .first()
    )
