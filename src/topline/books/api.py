"""The ledger over HTTP."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import polars as pl
from ninja import Query
from pydantic import Field

from topline.books import actions, queries
from topline.books.models import Account, Entry
from topline.ui.wire import (
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Code,
    Currency,
    Day,
    Id,
    OfCompany,
    Page,
    Positive,
    Room,
    Rows,
    done,
    once,
    page,
    rows,
)

room = Room(tags=["Books"])
ENTRY = ["id", "entity_id", "key", "kind", "effective_on", "recorded_at", "source", "memo", "reverses_id"]
ACCOUNT = ["id", "entity_id", "code", "name", "kind", "currency", "role"]
AccountCode = Annotated[str, Field(min_length=1, max_length=20)]
Reason = Annotated[str, Field(min_length=1, max_length=300)]


class EntriesAsked(Asked):
    kind: Code = ""


class BalanceAsked(OfCompany):
    as_of: Day | None = None


class NewLedgerAccount(Body):
    code: AccountCode
    name: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Code
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""


class CompanyFacts(Body):
    name: Annotated[str, Field(min_length=1, max_length=200)] = ""
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    tax_id: Annotated[str, Field(max_length=40, description="VAT or tax number, with the country's letters")] = ""
    registration: Annotated[str, Field(max_length=40, description="number in the register of companies")] = ""
    line1: Annotated[str, Field(max_length=200)] = ""
    line2: Annotated[str, Field(max_length=200)] = ""
    postal_code: Annotated[str, Field(max_length=20)] = ""
    city: Annotated[str, Field(max_length=100)] = ""
    email: Annotated[str, Field(pattern=r"^([^@\s]+@[^@\s]+)?$", max_length=254)] = ""
    phone: Annotated[str, Field(max_length=40)] = ""
    accent: Annotated[str, Field(pattern=r"^(#[0-9a-fA-F]{6})?$", description="colour of headings on documents")] = ""
    tax_rounding: Annotated[
        Literal["line", "document"], Field(description="where tax is rounded: on each line, or once a document and rate")
    ] = "line"


class NewEntry(Body):
    key: Annotated[str, Field(min_length=1, max_length=80, description="your own name for the entry; it can be posted once")]
    effective_on: Day
    memo: Annotated[str, Field(max_length=300)] = ""
    debit: AccountCode
    credit: AccountCode
    amount_minor: Positive
    currency: Currency


class Reversal(Body):
    effective_on: Day
    reason: Reason


class Lock(Body):
    through: Day | None
    reason: Annotated[str, Field(max_length=500)] = ""


class Rate(Body):
    currency: Currency
    on: Day
    per_euro: Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$", description="units for one euro, as text: 1.0825")]


class Rates(Body):
    rates: Annotated[list[Rate], Field(min_length=1, max_length=MAX_ROWS)]
    source: Annotated[str, Field(min_length=1, max_length=60)]


@room.reads("/companies", "books.view", Rows)
def list_companies(request: Caller) -> Any:
    """The companies that keep books here; `company` takes their key."""
    return {
        "items": [
            {
                n: getattr(e, n)
                for n in (
                    "id",
                    "key",
                    "name",
                    "currency",
                    "time_zone",
                    "country",
                    "tax_id",
                    "registration",
                    "line1",
                    "line2",
                    "postal_code",
                    "city",
                    "email",
                    "phone",
                )
            }
            for e in queries.entities()
        ]
    }


@room.reads("/accounts", "books.view", Page)
def list_accounts(request: Caller, asked: Query[Asked]) -> Any:
    """The chart of accounts."""
    return page(Account.objects.filter(entity_id=queries.entity(asked.company or None).pk), ACCOUNT, asked)


@room.reads("/entries", "books.view", Page)
def list_entries(request: Caller, asked: Query[EntriesAsked]) -> Any:
    """Entries in the order in which they were written."""
    wanted = {"kind": asked.kind} if asked.kind else {}
    return page(Entry.objects.filter(entity_id=queries.entity(asked.company or None).pk, **wanted), ENTRY, asked)


@room.reads("/entries/{int:entry_id}", "books.view")
def get_entry(request: Caller, entry_id: Id) -> Any:
    """One entry with its transfers."""
    found = queries.entry_detail(entry_id)
    names = (
        "entry_id",
        "entity_id",
        "key",
        "kind",
        "effective_on",
        "recorded_at",
        "source",
        "memo",
        "reverses_id",
        "reversed_by_id",
    )
    return {**{name: getattr(found, name) for name in names}, "transfers": found.transfers.to_dicts()}


@room.reads("/trial-balance", "books.view", Rows)
def trial_balance(request: Caller, asked: Query[BalanceAsked]) -> Any:
    """Every account with its movements and balance at the end of a day."""
    return rows(queries.trial_balance(entity_id=queries.entity(asked.company or None).pk, as_of=asked.as_of))


@room.does("/companies/describe", "books.describe_entity")
def describe_company(request: Caller, target: Query[OfCompany], body: CompanyFacts) -> Any:
    """Say what documents print of a company; fields left out stay as they are. Answers with the company's id."""
    entity_id = queries.entity(target.company or None).pk
    return done(actions.describe_entity(entity_id=entity_id, changes=body.model_dump(exclude_unset=True), **once(request)))


@room.does("/accounts", "books.add_account")
def add_account(request: Caller, target: Query[OfCompany], body: NewLedgerAccount) -> Any:
    """Add a ledger account; answers with its id."""
    entity_id = queries.entity(target.company or None).pk
    return done(actions.add_account(entity_id=entity_id, **body.model_dump(), **once(request)))


@room.does("/entries", "books.post_entry")
def post_entry(request: Caller, target: Query[OfCompany], body: NewEntry) -> Any:
    """A manual entry between two accounts, by their codes; answers with its id."""
    entity_id = queries.entity(target.company or None).pk
    return done(actions.post_entry(entity_id=entity_id, **body.model_dump(), **once(request)))


@room.does("/entries/{int:entry_id}/reverse", "books.reverse_entry")
def reverse_entry(request: Caller, entry_id: Id, body: Reversal) -> Any:
    """Undo a manual entry by its mirror image; answers with the new entry's id."""
    return done(actions.reverse_entry(entry_id=entry_id, **body.model_dump(), **once(request)))


@room.does("/period-lock", "books.lock_period")
def lock_period(request: Caller, target: Query[OfCompany], body: Lock) -> Any:
    """Close every day up to `through` (null opens all again); answers with the id of the lock."""
    entity_id = queries.entity(target.company or None).pk
    return done(actions.lock_period(entity_id=entity_id, **body.model_dump(), **once(request)))


@room.does("/seal", "books.seal")
def seal(request: Caller) -> Any:
    """Seal what was posted since the last seal; answers with how many entries."""
    return done(actions.seal(**once(request)))


@room.does("/rates", "books.add_rates")
def add_rates(request: Caller, body: Rates) -> Any:
    """Add exchange rates; a later one for the same currency and day replaces the earlier. Answers with how many."""
    table = pl.DataFrame(
        {
            "currency": [rate.currency for rate in body.rates],
            "on": pl.Series([rate.on for rate in body.rates], dtype=pl.Date),
            "per_euro": pl.Series([Decimal(rate.per_euro) for rate in body.rates], dtype=pl.Decimal(20, 9)),
        }
    ).unique(["currency", "on"], keep="last", maintain_order=True)
    return done(actions.add_rates(table=table, source=body.source, **once(request)))
