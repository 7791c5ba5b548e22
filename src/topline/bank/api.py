"""Our bank accounts, their statements and lines, over HTTP; statements come in through /imports."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from topline.bank import actions, queries
from topline.bank.models import BankAccount, BankStatement
from topline.books import queries as books
from topline.kernel import clock
from topline.ui.wire import (
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Code,
    Currency,
    Day,
    Flag,
    Id,
    Ids,
    Minor,
    Name,
    OfCompany,
    Page,
    Ref,
    Room,
    Whole,
    done,
    frame,
    given,
    once,
    page,
)

room = Room(tags=["Bank"])
ACCOUNT = [
    "id",
    "entity_id",
    "name",
    "number",
    "bic",
    "currency",
    "pays_payroll",
    "minimum_minor",
    "credit_line_minor",
    "credit_line_bps",
    "is_closed",
]
STATEMENT = ["id", "account_id", "kind", "statement_id", "sequence", "opening_minor", "closing_minor", "first_on", "last_on", "lines", "file_name", "format",
             "import_batch_id", "is_undone"]  # fmt: skip
LINE = ["id", "account_id", "statement_id", "status", "amount_minor", "currency", "booked_on", "value_on", "counterparty_name", "counterparty_account",
        "remittance_information", "structured_reference", "end_to_end_id", "bank_reference", "is_reversal", "state", "payment_id"]  # fmt: skip
Title = Annotated[str, Field(min_length=1, max_length=100)]
Bic = Annotated[str, Field(max_length=11)]


class LinesAsked(Asked):
    account_id: Id | None = None
    state: Literal["", "open", "matched", "ignored"] = ""


class StatementsAsked(Asked):
    account_id: Id | None = None


class BalancesAsked(OfCompany):
    as_of: Day | None = None


class NewBankAccount(Body):
    name: Title
    currency: Currency
    number: Code = ""
    bic: Bic = ""
    pays_payroll: Flag = False
    minimum_minor: Minor = 0
    credit_line_minor: Whole = 0
    credit_line_bps: Annotated[int, Field(strict=True, ge=0, le=100_000)] = 0


class BankAccountChanges(Body):
    name: Title = "-"
    number: Code = ""
    bic: Bic = ""
    pays_payroll: Flag = False
    minimum_minor: Minor = 0
    credit_line_minor: Whole = 0
    credit_line_bps: Annotated[int, Field(strict=True, ge=0, le=100_000)] = 0
    is_closed: Flag = False


class UndoStatements(Body):
    statement_ids: Ids
    on: Day
    reason: Name = ""


class LineLink(Body):
    line_id: Ref
    payment_id: Ref


class LineLinks(Body):
    links: Annotated[list[LineLink], Field(min_length=1, max_length=MAX_ROWS)]


@room.reads("/bank-accounts", "bank.view", Page)
def list_bank_accounts(request: Caller, asked: Query[Asked]) -> Any:
    """Our accounts."""
    return page(BankAccount.objects.filter(entity_id=books.entity(asked.company or None).pk), ACCOUNT, asked)


@room.reads("/bank-accounts/balances", "bank.view")
def balances(request: Caller, asked: Query[BalancesAsked]) -> Any:
    """What stands on each open account at the end of a day, and where that is known from."""
    entity = books.entity(asked.company or None)
    as_of = asked.as_of or clock.today(entity.time_zone)
    found = queries.bank_balances(entity_id=entity.pk, as_of=as_of)
    items = [
        {"account_id": b.account.pk, "name": b.account.name, "currency": b.account.currency, "balance_minor": b.balance_minor} for b in found
    ]  # fmt: skip
    return {"as_of": as_of, "items": items}


@room.reads("/bank-accounts/{int:account_id}", "bank.view")
def get_bank_account(request: Caller, account_id: Id) -> Any:
    """One account."""
    found = queries.account(account_id)
    return {name: getattr(found, name) for name in ACCOUNT}


@room.reads("/statements", "bank.view", Page)
def list_statements(request: Caller, asked: Query[StatementsAsked]) -> Any:
    """Statements as the banks sent them."""
    wanted = {"account_id": asked.account_id} if asked.account_id else {}
    of_entity = BankStatement.objects.filter(account__entity_id=books.entity(asked.company or None).pk, **wanted)
    return page(of_entity, STATEMENT, asked)


@room.reads("/statement-lines", "bank.view", Page)
def list_statement_lines(request: Caller, asked: Query[LinesAsked]) -> Any:
    """Movements on our accounts, of one account or state."""
    wanted = {n: v for n in ("account_id", "state") if (v := getattr(asked, n))}
    return page(queries.lines(entity_id=books.entity(asked.company or None).pk, filters=wanted), LINE, asked)


@room.does("/bank-accounts", "bank.add_account")
def add_bank_account(request: Caller, target: Query[OfCompany], body: NewBankAccount) -> Any:
    """Open an account with a ledger account of its own; answers with its id."""
    entity_id = books.entity(target.company or None).pk
    return done(actions.add_account(entity_id=entity_id, **body.model_dump(), **once(request)))


@room.does("/bank-accounts/{int:account_id}/change", "bank.change_account")
def change_bank_account(request: Caller, account_id: Id, body: BankAccountChanges) -> Any:
    """Change what is sent; answers with the account's id."""
    return done(actions.change_account(bank_account_id=account_id, changes=dict(given(body)), **once(request)))


@room.does("/statements/undo", "bank.undo_statements")
def undo_statements(request: Caller, body: UndoStatements) -> Any:
    """Take statements out again, with reversing entries; answers with how many lines."""
    return done(actions.undo_statements(statement_ids=body.statement_ids, on=body.on, reason=body.reason, **once(request)))


@room.does("/statement-lines/link", "bank.link_lines")
def link_lines(request: Caller, body: LineLinks) -> Any:
    """Lines stand for payments from now on; answers with how many."""
    return done(actions.link_lines(links=frame(body.links), **once(request)))
