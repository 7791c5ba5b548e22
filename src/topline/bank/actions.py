"""Verbs of the bank room: open our accounts, take statements in, take a wrong file out again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import polars as pl

from topline.bank import queries
from topline.bank.formats.model import Statement, StatementRefused, check_balance
from topline.bank.models import BankAccount, BankStatement, StatementLine
from topline.books import actions as books
from topline.books.actions import leg
from topline.books.models import Account
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.timeline import actions as timeline

CHANGEABLE = {"name", "number", "bic", "pays_payroll", "minimum_minor", "credit_line_minor", "credit_line_bps", "is_closed"}
TEXT = [
    "counterparty_name",
    "counterparty_account",
    "remittance_information",
    "structured_reference",
    "end_to_end_id",
    "bank_reference",
    "transaction_code",
]

CONTENT = [
    "booked_on",
    "amount_minor",
    "currency",
    "status",
    "counterparty_name",
    "counterparty_account",
    "remittance_information",
    "bank_reference",
    "end_to_end_id",
]


class UnknownBankAccount(NotFound):
    """The statement belongs to an account that we do not have."""

    code = "unknown_bank_account"


class LineLinked(Conflict):
    """The line stands for a payment already."""

    code = "line_linked"


class LinesInUse(Conflict):
    """Payments were booked from lines of the statement."""

    code = "lines_in_use"


@action("bank.add_account")
def add_account(
    *,
    actor: Actor,
    entity_id: int,
    name: str,
    currency: str,
    number: str = "",
    bic: str = "",
    pays_payroll: bool = False,
    minimum_minor: int = 0,
    credit_line_minor: int = 0,
    credit_line_bps: int = 0,
) -> int:
    """Open one of our bank accounts, with a ledger account of its own; returns its id.

    credit_line_minor  up to which the bank lets it go below zero; credit_line_bps: yearly rate of what is drawn, in hundredths of a percent
    Raises: Invalid (name, currency, credit line), Conflict (name or number taken).
    """
    money.ensure_currency(currency)
    _ensure_line({"credit_line_minor": credit_line_minor, "credit_line_bps": credit_line_bps})
    number = "".join(number.split()).upper()
    ensure(bool(name.strip()), Invalid("A bank account needs a name.", field="name", remedy="Name it as your team does."))
    same = BankAccount.objects.filter(entity_id=entity_id)
    ensure(not same.filter(name=name).exists(), Conflict(f"There is a bank account {name!r} already.", field="name"))
    ensure(
        not number or not same.filter(number=number, currency=currency).exists(),
        Conflict(f"Account {number} in {currency} is here already.", field="number"),
    )
    account = BankAccount.objects.create(
        entity_id=entity_id,
        name=name,
        number=number,
        bic=bic,
        currency=currency,
        pays_payroll=pays_payroll,
        minimum_minor=minimum_minor,
        credit_line_minor=credit_line_minor,
        credit_line_bps=credit_line_bps,
    )
    taken = set(Account.objects.filter(entity_id=entity_id, code__startswith="10").values_list("code", flat=True))
    code = next(c for c in (f"10{n:03d}" for n in range(1, 1000)) if c not in taken)
    books.create_account(
        entity_id=entity_id, code=code, name=f"Bank: {name}", kind="asset", currency=currency, role=f"bank:{account.pk}"
    )
    changed("bank_account", account.pk, after={"name": name, "number": number, "currency": currency})
    return account.pk


@action("bank.change_account")
def change_account(*, actor: Actor, bank_account_id: int, changes: dict[str, Any]) -> int:
    """Change what is known of one of our accounts; its currency never changes. Returns its id.

    Raises: NotFound, Invalid (unknown field, no name, credit line), Conflict (name or number taken).
    """
    account = BankAccount.objects.select_for_update().filter(pk=bank_account_id).first()
    if account is None:
        raise UnknownBankAccount(f"There is no bank account {bank_account_id}.", field="bank_account_id")
    unknown = set(changes) - CHANGEABLE
    ensure(not unknown, Invalid(f"{', '.join(sorted(unknown))} cannot be changed.", field=next(iter(sorted(unknown)), "")))
    _ensure_line(changes)
    if "number" in changes:
        changes = {**changes, "number": "".join(str(changes["number"]).split()).upper()}
    _ensure_own_names(account, changes)
    before = {name: getattr(account, name) for name in changes}
    for name, value in changes.items():
        setattr(account, name, value)
    account.save(update_fields=list(changes))
    changed("bank_account", bank_account_id, before=before, after=changes)
    return bank_account_id


@action("bank.import_statements")
def import_statements(
    *,
    actor: Actor,
    entity_id: int,
    statements: Sequence[Statement],
    file_name: str,
    file_sha256: str,
    format: str,  # noqa: A002  (the field's word)
    default_account_id: int | None = None,
    import_batch_id: int | None = None,
) -> pl.DataFrame:
    """Take a file's statements in, whole or not at all; what is here already changes nothing.

    A final statement's booked lines move the bank's ledger account against payments in clearing; pending and intraday lines
    are kept to be seen and count for nothing. The first statement of an account also books its opening balance.
    default_account_id  the account of statements that do not name theirs
    returns  one row per statement: bank_account_id, statement_id (null when nothing was new), lines_new, lines_known
    Work: a fixed number of statements per bank statement.
    Raises: UnknownBankAccount, StatementRefused (does not add up, wrong currency, empty), books.PeriodLocked.
    """
    ensure(bool(statements), StatementRefused(f"{file_name} holds no statement.", remedy="Check that it is the right file."))
    results = []
    for statement in statements:
        check_balance(statement)
        account = _account_of(entity_id, statement, default_account_id)
        results.append(
            _take_in(
                actor,
                account,
                statement,
                {"file_name": file_name[:200], "file_sha256": file_sha256, "format": format, "import_batch_id": import_batch_id},
            )
        )
    return pl.DataFrame(
        results,
        schema={"bank_account_id": pl.Int64, "statement_id": pl.Int64, "lines_new": pl.Int64, "lines_known": pl.Int64},
        orient="row",
    )


@action("bank.undo_statements")
def undo_statements(*, actor: Actor, statement_ids: Sequence[int], on: date, reason: str = "") -> int:
    """Take statements out again: their entries are reversed and their lines removed; returns how many lines.

    Raises: NotFound, LinesInUse (payments were booked from them), books.PeriodLocked.
    """
    rows = BankStatement.objects.select_for_update().filter(pk__in=list(statement_ids), is_undone=False).order_by("pk")
    found = list(rows)
    ensure(
        len(found) == len(set(statement_ids)), NotFound("A statement is not there, or was undone before.", field="statement_ids")
    )
    lines = bulk.read(StatementLine.objects.filter(statement_id__in=list(statement_ids)).values("id", "payment_id", "account_id"))
    used = lines.drop_nulls("payment_id")
    ensure(
        used.is_empty(),
        LinesInUse(
            f"{used.height} payments were booked from these lines.",
            field="statement_ids",
            remedy="Return or unlink those payments first.",
        ),
    )
    entries = books.entry_ids([f"bankline:{i}" for i in lines["id"].to_list()])
    if entries:
        books.reverse(entry_ids=entries, effective_on=on, memo=reason or "Statement taken out")
    accounts = {statement.account_id: statement.account for statement in found}
    StatementLine.objects.filter(statement_id__in=list(statement_ids)).delete()
    rows.update(is_undone=True)
    for account in accounts.values():
        _book_opening(account, fallback_on=on)
    changed_many("bank_statement", list(statement_ids), after={"is_undone": True, "reason": reason})
    return lines.height


@action("bank.link_lines")
def link_lines(*, actor: Actor, links: pl.DataFrame) -> int:
    """Lines stand for payments from now on and are no longer open; returns how many.

    links  one row per line: line_id, payment_id
    Raises: NotFound, LineLinked (it stands for a payment already).
    """
    ids = links["line_id"].to_list()
    lines = bulk.read_locked(StatementLine, sorted(set(ids)), ["id", "payment_id"])
    ensure(lines.height == len(ids), NotFound("A statement line is not there, or was given twice.", field="line_id"))
    taken = lines.drop_nulls("payment_id")
    ensure(
        taken.is_empty(),
        LineLinked("A statement line stands for another payment already.", field="line_id", remedy="Link each line once."),
    )
    bulk.update(StatementLine, links.select("payment_id", id="line_id", state=pl.lit(StatementLine.State.MATCHED.value)))
    changed_many("statement_line", ids, after={"state": "matched"})
    return len(ids)


def _account_of(entity_id: int, statement: Statement, default_account_id: int | None) -> BankAccount:
    rows = BankAccount.objects.select_for_update().filter(entity_id=entity_id)
    account = rows.filter(number=statement.account, currency=statement.currency).first() if statement.account else None
    if (
        account is None
        and default_account_id is not None
        and not (statement.account and rows.filter(number=statement.account).exists())
    ):
        account = rows.filter(pk=default_account_id).first()
    if account is None:
        named = (
            f"account {statement.account} in {statement.currency}"
            if statement.account
            else f"its account (currency {statement.currency})"
        )
        raise UnknownBankAccount(
            f"We have no bank account for {named}.", field="account", remedy="Add it under Bank, or name one with --account."
        )
    if account.currency != statement.currency:
        raise StatementRefused(
            f"The statement is in {statement.currency}, account {account.name} in {account.currency}.",
            field="currency",
            remedy="Choose another account.",
        )
    odd = next((e for e in statement.entries if e.currency != account.currency and e.status == "booked"), None)
    if odd is not None:
        raise StatementRefused(
            f"The line of {odd.booked_on} is in {odd.currency}, account {account.name} in {account.currency}.",
            field="currency",
            remedy="Ask the bank for it.",
        )
    return account


def _take_in(actor: Actor, account: BankAccount, statement: Statement, facts: dict[str, Any]) -> tuple[int, int | None, int, int]:
    lines = _line_frame(statement, [])
    days = [d for d in (statement.opening_on, statement.closing_on, *lines["booked_on"].to_list()) if d is not None]
    ensure(bool(days), StatementRefused("The statement has neither lines nor days.", remedy="Check that it is the right file."))
    kept = BankStatement.objects.filter(account=account, is_undone=False, kind=statement.kind)
    same = kept.filter(
        first_on=min(days),
        last_on=max(days),
        opening_minor=statement.opening_minor,
        closing_minor=statement.closing_minor,
        lines=lines.height,
    )
    known = queries.known_fingerprints(account.pk, lines["fingerprint"]) if lines.height else set()
    if len(known) == lines.height and same.exists():
        return account.pk, None, 0, lines.height
    if known and statement.kind == "statement" and (earlier := queries.lines_before(account.pk, statement)):
        lines = _line_frame(statement, earlier)
        known = queries.known_fingerprints(account.pk, lines["fingerprint"])
    fresh = lines.filter(~pl.col("fingerprint").is_in(list(known)))
    row = BankStatement.objects.create(
        account=account, kind=statement.kind, statement_id=statement.statement_id[:80], sequence=statement.sequence, opening_minor=statement.opening_minor,
        closing_minor=statement.closing_minor, first_on=min(days), last_on=max(days), lines=lines.height, notes=list(statement.notes),
        recorded_at=clock.now(), **facts,
    )  # fmt: skip
    written = bulk.insert(StatementLine, fresh.with_columns(account_id=pl.lit(account.pk), statement_id=pl.lit(row.pk)))
    if statement.kind == "statement":
        _post_lines(account, written.filter(pl.col("status") == "booked"))
        _book_opening(account, fallback_on=max(days))
    changed("bank_statement", row.pk, after={"lines": fresh.height, "known": len(known), "file": facts["file_name"]})
    timeline.record_one(
        "statement_imported",
        subject="bank_statement",
        subject_id=row.pk,
        actor=actor,
        on=max(days),
        note=f"{account.name}: {fresh.height} lines",
    )
    return account.pk, row.pk, fresh.height, lines.height - fresh.height


def _line_frame(statement: Statement, earlier: Sequence[StatementLine]) -> pl.DataFrame:
    """The entries as rows of the line table; intraday and advice files never count as booked.

    earlier  lines of the statements of the same day that this one follows: an equal movement here is another one
    """
    columns = bulk.schema(
        StatementLine, ["position", "status", "amount_minor", "currency", "booked_on", "value_on", *TEXT, "is_reversal"]
    )
    rows = [{**asdict(e), "position": i} for i, e in enumerate(statement.entries, 1)]
    frame = pl.DataFrame(rows, schema=columns, strict=False) if rows else pl.DataFrame(schema=columns)
    frame = frame.with_columns(
        *[pl.col(c).str.slice(0, n) for c, n in zip(TEXT, (200, 60, 4000, 60, 60, 80, 60), strict=True)],
        status=pl.col("status") if statement.kind == "statement" else pl.lit("info"),
    )
    # The same movement in two overlapping files has the same content and the same place among its equals of that day.
    before = Counter(tuple(str(getattr(line, c)) for c in CONTENT) for line in earlier)
    taken = [before[tuple(map(str, row))] for row in frame.select(CONTENT).iter_rows()]
    frame = frame.with_columns(_nth=pl.int_range(pl.len()).over(CONTENT) + pl.Series(taken, dtype=pl.Int64))
    text = pl.concat_str([pl.col(c).cast(pl.String).fill_null("") for c in [*CONTENT, "_nth"]], separator="\x1f")
    frame = frame.with_columns(_text=text)
    digests = [hashlib.sha256(t.encode()).hexdigest() for t in frame["_text"]]
    return frame.drop("_nth", "_text").with_columns(fingerprint=pl.Series(digests, dtype=pl.String))


def _post_lines(account: BankAccount, lines: pl.DataFrame) -> None:
    rows = lines.with_columns(key=pl.format("bankline:{}", "id"), bank_account_id=pl.lit(account.pk))
    entries = rows.select(
        "key",
        effective_on="booked_on",
        source=pl.format("bank_statement:{}", "statement_id"),
        memo=pl.col("remittance_information"),
    )
    books.post(
        entity_id=account.entity_id,
        kind="bank_line",
        entries=entries,
        transfers=[leg(rows, debit=f"bank:{account.pk}", credit="clearing", amount="amount_minor")],
    )


def _book_opening(account: BankAccount, *, fallback_on: date) -> None:
    """Keep the opening entry equal to the opening balance of the earliest statement; an earlier file moves it back."""
    first = queries.first_balanced(account.pk)
    standing = queries.opening_entry(account.pk)
    wanted = (first.opening_minor or 0, first.first_on - timedelta(days=1)) if first else (0, fallback_on)
    if standing and (standing.amount_minor, standing.effective_on) == wanted:
        return
    if standing:
        books.reverse(entry_ids=[standing.entry_id], effective_on=standing.effective_on, memo="An earlier statement came in")
    if not first or not wanted[0]:
        return
    key = f"bank:{account.pk}:opening:{queries.openings_so_far(account.pk)}"
    row = pl.DataFrame({"key": [key], "currency": [account.currency], "amount": [wanted[0]], "bank_account_id": [account.pk]})
    entry = pl.DataFrame(
        {"key": [key], "effective_on": [wanted[1]], "source": [f"bank_account:{account.pk}"], "memo": ["Opening balance"]}
    )
    books.post(
        entity_id=account.entity_id,
        kind="bank_opening",
        entries=entry,
        transfers=[leg(row, debit=f"bank:{account.pk}", credit="opening_balance", amount="amount")],
    )


def _ensure_line(values: dict[str, Any]) -> None:
    """A credit line is an amount and a yearly rate of at most 1,000 %. Raises: Invalid."""
    line, rate = values.get("credit_line_minor", 0), values.get("credit_line_bps", 0)
    ensure(
        line >= 0, Invalid("A credit line cannot be negative.", field="credit_line_minor", remedy="Use 0 where there is none.")
    )
    ensure(
        0 <= rate <= 100_000,
        Invalid("A credit line costs between 0 and 1,000 % a year.", field="credit_line_bps", remedy="Use a rate such as 9.5."),
    )


def _ensure_own_names(account: BankAccount, changes: dict[str, Any]) -> None:
    """Name and number stay the account's alone. Raises: Invalid (no name), Conflict."""
    others = BankAccount.objects.filter(entity_id=account.entity_id).exclude(pk=account.pk)
    name, number = changes.get("name", account.name), changes.get("number", account.number)
    ensure(bool(str(name).strip()), Invalid("A bank account needs a name.", field="name", remedy="Name it as your team does."))
    ensure(not others.filter(name=name).exists(), Conflict(f"There is a bank account {name!r} already.", field="name"))
    ensure(
        not number or not others.filter(number=number, currency=account.currency).exists(),
        Conflict(f"Account {number} in {account.currency} is here already.", field="number"),
    )
