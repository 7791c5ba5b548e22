"""Customers over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Query
from pydantic import Field

from topline.market import actions, queries
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
    Name,
    Page,
    Ref,
    Room,
    Rows,
    Whole,
    done,
    frame,
    given,
    once,
    page,
    rows,
)

room = Room(tags=["Customers"])
COLUMNS = ["id", "number", "name", "legal_name", "tax_id", "country", "language", "currency", "terms", "segment", "owner_id", "parent_id",
           "credit_limit_minor", "late_interest_bps", "is_on_hold", "e_address", "e_format", "created_at"]  # fmt: skip
Country = Annotated[str, Field(pattern=r"^([A-Z]{2})?$")]
Language = Annotated[str, Field(min_length=2, max_length=5)]
Terms = Annotated[str, Field(min_length=1, max_length=60)]


class CustomersAsked(Asked):
    search: Name = ""
    segment: Code = ""


class NewCustomer(Body):
    name: Name
    currency: Currency
    number: Annotated[str, Field(max_length=40)] = ""
    legal_name: Name = ""
    tax_id: Code = ""
    country: Country = ""
    language: Language = "en"
    terms: Terms = "net 30"
    segment: Code = ""
    credit_limit_minor: Whole | None = None


class NewCustomers(Body):
    customers: Annotated[list[NewCustomer], Field(min_length=1, max_length=MAX_ROWS)]


class CustomerChanges(Body):
    name: Name = ""
    legal_name: Name = ""
    tax_id: Code = ""
    country: Country = ""
    language: Language = "en"
    currency: Currency = "EUR"
    terms: Terms = "net 30"
    segment: Code = ""
    owner_id: Ref | None = None
    parent_id: Ref | None = None
    credit_limit_minor: Whole | None = None
    late_interest_bps: Annotated[
        int | None, Field(strict=True, ge=0, le=10_000, description="yearly interest on late payment by contract; null: by law")
    ] = None
    is_on_hold: Flag = False
    e_address: Annotated[
        str, Field(max_length=100, description="where e-invoices go: scheme:address, such as 9930:DE123456788")
    ] = ""
    e_format: Code = "pdf"
    reason: Annotated[str, Field(max_length=300, description="why a credit hold is set (needed) or released")] = ""


class CreditHold(Body):
    is_on_hold: Flag
    on: Day
    reason: Annotated[str, Field(max_length=300, description="why; needed for a hold")] = ""


class NewContact(Body):
    name: Name
    email: Annotated[str, Field(max_length=254)] = ""
    phone: Code = ""
    role: Annotated[str, Field(max_length=60)] = ""
    is_primary: Flag = False


class NewAddress(Body):
    line1: Name
    line2: Name = ""
    city: Annotated[str, Field(max_length=100)] = ""
    postal_code: Annotated[str, Field(max_length=20)] = ""
    region: Annotated[str, Field(max_length=100)] = ""
    country: Country = ""
    kind: Annotated[str, Field(min_length=1, max_length=20)] = "billing"


class NewAlias(Body):
    value: Name
    kind: Annotated[str, Field(max_length=20)] = "name"


class Merge(Body):
    keep_id: Ref
    merge_id: Ref


@room.reads("/customers", "market.view", Page)
def list_customers(request: Caller, asked: Query[CustomersAsked]) -> Any:
    """Live customers, by part of a name, start of a number, any alias, or segment."""
    return page(queries.customers(search=asked.search, segment=asked.segment), COLUMNS, asked)


@room.reads("/customers/{int:customer_id}", "market.view")
def get_customer(request: Caller, customer_id: Id) -> Any:
    """One customer with aliases, addresses and contacts; a merged one answers with the one that took it over."""
    found = queries.customer_detail(customer_id)
    return {
        **{name: getattr(found.customer, name) for name in COLUMNS},
        "record_ids": found.ids,
        "aliases": [{"kind": a.kind, "value": a.value} for a in found.aliases],
        "addresses": [{n: getattr(a, n) for n in ("id", *NewAddress.model_fields)} for a in found.addresses],
        "contacts": [{n: getattr(c, n) for n in ("id", *NewContact.model_fields)} for c in found.contacts],
    }


@room.reads("/duplicates", "market.view", Rows)
def list_duplicates(request: Caller) -> Any:
    """Up to 100 pairs of customers that may be one, the likeliest first."""
    return rows(queries.duplicates())


@room.does("/customers", "market.add_customers", Rows)
def add_customers(request: Caller, body: NewCustomers) -> Any:
    """Add customers; answers with id and number of each, in order."""
    return rows(actions.add_customers(customers=frame(body.customers), **once(request)))


@room.does("/customers/merge", "market.merge_customers")
def merge_customers(request: Caller, body: Merge) -> Any:
    """The second record becomes a pointer to the first; answers with the first's id."""
    return done(actions.merge_customers(keep_id=body.keep_id, merge_id=body.merge_id, **once(request)))


@room.does("/customers/{int:customer_id}/change", "market.change_customer")
def change_customer(request: Caller, customer_id: Id, body: CustomerChanges) -> Any:
    """Change the facts that are sent; answers with the customer's id."""
    changes = dict(given(body))
    reason = changes.pop("reason", "")
    return done(actions.change_customer(customer_id=customer_id, changes=changes, reason=reason, **once(request)))


@room.does("/customers/{int:customer_id}/hold", "market.set_credit_hold")
def set_credit_hold(request: Caller, customer_id: Id, body: CreditHold) -> Any:
    """Put a customer on credit hold, or release it; answers with the customer's id."""
    return done(actions.set_credit_hold(customer_id=customer_id, **body.model_dump(), **once(request)))


@room.does("/customers/{int:customer_id}/contacts", "market.add_contact")
def add_contact(request: Caller, customer_id: Id, body: NewContact) -> Any:
    """Someone to talk to; answers with the contact's id."""
    return done(actions.add_contact(customer_id=customer_id, **body.model_dump(), **once(request)))


@room.does("/customers/{int:customer_id}/addresses", "market.add_address")
def add_address(request: Caller, customer_id: Id, body: NewAddress) -> Any:
    """A postal address; answers with its id."""
    return done(actions.add_address(customer_id=customer_id, **body.model_dump(), **once(request)))


@room.does("/customers/{int:customer_id}/aliases", "market.add_alias")
def add_alias(request: Caller, customer_id: Id, body: NewAlias) -> Any:
    """Another name, number, IBAN or tax id (`kind`); answers with the customer's id."""
    return done(actions.add_alias(customer_id=customer_id, source="api", **body.model_dump(), **once(request)))


@room.does("/customers/{int:customer_id}/aliases/drop", "market.drop_aliases")
def drop_alias(request: Caller, customer_id: Id, body: NewAlias) -> Any:
    """A name or account by which the customer is no longer known; answers with how many are gone."""
    return done(actions.drop_aliases(customer_id=customer_id, marks=[(body.kind, body.value)], **once(request)))
