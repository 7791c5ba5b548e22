"""Verbs of the market room: add, change and merge customers; their people, places and other names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
from stdnum import get_cc_module
from stdnum.exceptions import ValidationError as TaxIdError

from topline.kernel import bulk, clock, money, series
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.countries import ensure_countries
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market import queries
from topline.market.models import Address, Contact, Customer, CustomerAlias
from topline.market.names import folded
from topline.team.models import Member
from topline.timeline import actions as timeline

OPTIONAL = [
    "legal_name",
    "tax_id",
    "country",
    "language",
    "terms",
    "segment",
    "credit_limit_minor",
    "attributes",
    "import_batch_id",
]
E_ADDRESS = re.compile(r"([0-9]{4}|EM|A[A-Z]):\S+")  # scheme of CEF's EAS list and the address
CHANGEABLE = {
    "name", "legal_name", "tax_id", "country", "language", "currency", "terms", "segment", "owner_id", "parent_id", "credit_limit_minor", "is_on_hold",
    "late_interest_bps", "e_address", "e_format",
}  # fmt: skip


class CustomerNumberTaken(Conflict):
    """Another customer has the number."""

    code = "customer_number_taken"


class TaxIdInvalid(Invalid):
    """The tax id's form or check digit is wrong for its country."""

    code = "tax_id_invalid"


class CannotMerge(Conflict):
    """These two customers cannot become one."""

    code = "cannot_merge"


@action("market.add_customers")
def add_customers(*, actor: Actor, customers: pl.DataFrame) -> pl.DataFrame:
    """Add a batch of customers; their names and numbers are kept as aliases, so that files and bank lines find them.

    customers  one row per customer: name, currency; optional number (else taken from the series), legal_name, tax_id,
               country, language, terms, segment, credit_limit_minor, attributes (JSON text), import_batch_id
    returns    one row per customer in the same order: customer_id i64, number str
    Work: a fixed number of statements.
    Raises: Invalid (name missing, currency, country), TaxIdInvalid, CustomerNumberTaken.
    """
    if customers.is_empty():
        return pl.DataFrame(schema={"customer_id": pl.Int64, "number": pl.String})
    blank = customers.filter(pl.col("name").fill_null("").str.strip_chars() == "")
    ensure(blank.is_empty(), Invalid("A customer needs a name.", field="name", remedy="Fill in the name."))
    for code in customers["currency"].unique().to_list():
        money.ensure_currency(code)
    if "country" in customers.columns:
        ensure_countries(customers["country"].fill_null("").unique(maintain_order=True))
        customers = customers.with_columns(pl.col("country").str.to_uppercase())
    if "tax_id" in customers.columns:
        pairs = customers.select(
            "tax_id", pl.col("country") if "country" in customers.columns else pl.lit("").alias("country")
        ).unique()
        for tax_id, country in pairs.iter_rows():
            check_tax_id(tax_id or "", country or "")
    frame = _numbered(customers)
    taken = (
        Customer.objects.filter(number__in=frame["number"].to_list()).values_list("number", flat=True)[:1]
        if frame.height <= 900
        else []
    )
    doubled = frame.filter(pl.col("number").is_duplicated())["number"].to_list()
    if found := [*taken, *doubled][:1]:
        raise CustomerNumberTaken(
            f"There is a customer {found[0]} already.", field="number", remedy="Use the existing customer or another number."
        )
    present = [name for name in OPTIONAL if name in frame.columns]
    written = bulk.insert(Customer, frame.select("number", "name", "currency", *present, created_at=pl.lit(clock.now())))
    _add_aliases(written.select(customer_id="id", kind=pl.lit("name"), value="name"), source="customer")
    _add_aliases(written.select(customer_id="id", kind=pl.lit("number"), value="number"), source="customer")
    changed_many("customer", written["id"])
    rows = written.select(customer_id="id")
    timeline.record("customer_added", rows, subject="customer", actor=actor)
    return written.select(customer_id="id", number="number")


@action("market.change_customer")
def change_customer(*, actor: Actor, customer_id: int, changes: dict[str, Any], reason: str = "") -> int:
    """Change facts of one customer, such as terms, owner, credit limit or hold; returns its id.

    reason  why the customer is put on credit hold, or released; the timeline keeps it
    Raises: NotFound, Invalid (unknown field, currency, country, tax id, electronic address, parent circle, a hold without reason), Conflict for a merged customer.
    """
    customer = _customer(customer_id)
    unknown = set(changes) - CHANGEABLE
    ensure(not unknown, Invalid(f"{', '.join(sorted(unknown))} cannot be changed.", field=next(iter(sorted(unknown)), "")))
    if "currency" in changes:
        money.ensure_currency(changes["currency"])
    if "name" in changes:
        ensure(bool(str(changes["name"]).strip()), Invalid("A customer needs a name.", field="name", remedy="Fill in the name."))
    if "country" in changes:
        ensure_countries([changes["country"]])
        changes = changes | {"country": changes["country"].upper()}
    if "tax_id" in changes or "country" in changes:
        check_tax_id(changes.get("tax_id", customer.tax_id), changes.get("country", customer.country))
    _check_e_invoicing(changes)
    ensure(
        0 <= (changes.get("late_interest_bps") or 0) <= 10_000,
        Invalid(
            "Interest lies between 0 and 100 % a year.",
            field="late_interest_bps",
            remedy="Use basis points such as 950 for 9.5 %.",
        ),
    )
    ensure(
        (changes.get("credit_limit_minor") or 0) >= 0,
        Invalid("A credit limit cannot be negative.", field="credit_limit_minor", remedy="Leave it empty for none."),
    )
    if changes.get("parent_id"):
        _check_parent(customer_id, int(changes["parent_id"]))
    if changes.get("owner_id"):
        ensure(
            Member.objects.filter(pk=changes["owner_id"], is_active=True).exists(),
            Invalid("There is no such member.", field="owner_id"),
        )
    ensure(
        not changes.get("is_on_hold") or customer.is_on_hold or bool(reason.strip()),
        _hold_needs_reason(),
    )
    before = {name: getattr(customer, name) for name in changes}
    for name, value in changes.items():
        setattr(customer, name, value)
    customer.save(update_fields=list(changes))
    if "name" in changes:
        alias = pl.DataFrame({"customer_id": [customer_id], "kind": ["name"], "value": [customer.name]})
        _add_aliases(alias, source="customer")
    changed("customer", customer_id, before=before, after=changes)
    if "is_on_hold" in changes and changes["is_on_hold"] != before["is_on_hold"]:
        _tell_hold(customer, actor, None, reason)
    return customer_id


@action("market.set_credit_hold")
def set_credit_hold(*, actor: Actor, customer_id: int, is_on_hold: bool, on: date, reason: str) -> int:
    """Give a customer no more credit, or give it again; one that stands so already is left as it is. Returns its id.

    Raises: NotFound, Invalid (a hold without reason), CannotMerge for a merged customer.
    """
    customer = _customer(customer_id)
    ensure(not is_on_hold or bool(reason.strip()), _hold_needs_reason())
    if customer.is_on_hold != is_on_hold:
        customer.is_on_hold = is_on_hold
        customer.save(update_fields=["is_on_hold"])
        changed("customer", customer_id, before={"is_on_hold": not is_on_hold}, after={"is_on_hold": is_on_hold})
        _tell_hold(customer, actor, on, reason)
    return customer_id


@action("market.add_contact")
def add_contact(
    *, actor: Actor, customer_id: int, name: str, email: str = "", phone: str = "", role: str = "", is_primary: bool = False
) -> int:
    """Someone to talk to at a customer; returns the contact's id.

    Raises: NotFound, Invalid (name missing).
    """
    _customer(customer_id)
    ensure(bool(name.strip()), Invalid("A contact needs a name.", field="name", remedy="Fill in the name."))
    contact = Contact.objects.create(
        customer_id=customer_id, name=name, email=email, phone=phone, role=role, is_primary=is_primary
    )
    changed("customer", customer_id, after={"contact": name, "email": email})
    return contact.pk


@action("market.add_address")
def add_address(
    *, actor: Actor, customer_id: int, line1: str, city: str = "", postal_code: str = "", country: str = "", line2: str = "", region: str = "",
    kind: str = "billing",
) -> int:  # fmt: skip
    """A postal address of a customer; returns its id. Raises: NotFound, Invalid (first line missing, country)."""
    _customer(customer_id)
    ensure_countries([country])
    ensure(bool(line1.strip()), Invalid("An address needs its first line.", field="line1"))
    address = Address.objects.create(
        customer_id=customer_id,
        kind=kind,
        line1=line1,
        line2=line2,
        city=city,
        postal_code=postal_code,
        region=region,
        country=country.upper(),
    )
    changed("customer", customer_id, after={"address": line1, "city": city})
    return address.pk


@action("market.add_alias")
def add_alias(*, actor: Actor, customer_id: int, value: str, kind: str = "name", source: str = "") -> int:
    """Another name, number, IBAN or tax id under which a customer appears; returns the customer's id.

    Raises: NotFound, Invalid (empty, unknown kind).
    """
    _customer(customer_id)
    ensure(
        kind in {"name", "payer", "number", "iban", "tax_id"},
        Invalid(f"{kind!r} is no kind of alias.", field="kind", remedy="Use name, payer, number, iban or tax_id."),
    )
    ensure(bool(value.strip()), Invalid("An alias needs a value.", field="value"))
    _add_aliases(pl.DataFrame({"customer_id": [customer_id], "kind": [kind], "value": [value.strip()]}), source=source)
    changed("customer", customer_id, after={"alias": value, "kind": kind})
    return customer_id


@action("market.drop_aliases")
def drop_aliases(*, actor: Actor, customer_id: int, marks: Sequence[tuple[str, str]], sources: Sequence[str] = ()) -> int:
    """Names and accounts that a customer is no longer known by; its own name and number stay. Returns how many are gone.

    marks    (kind, value) of each
    sources  only those that were learned in one of these ways; empty: in any
    Raises: NotFound (no such customer), Invalid (the customer's own name or number).
    """
    customer = _customer(customer_id)
    rows = CustomerAlias.objects.none()
    for kind, value in marks:
        key = pl.select(folded(pl.lit(value))).item()
        rows |= CustomerAlias.objects.filter(customer_id__in=queries.record_ids(customer_id), kind=kind, folded=key)
    gone = [row for row in rows if not sources or row.source in sources]
    own = next((row for row in gone if row.source == "customer"), None)
    ensure(
        own is None,
        Invalid(f"{own.value if own else ''} is the customer's own.", field="alias", remedy="Change the customer instead."),
    )
    CustomerAlias.objects.filter(pk__in=[row.pk for row in gone]).delete()
    if gone:
        changed("customer", customer.pk, before={"aliases": [f"{row.kind} {row.value}" for row in gone]}, after={"aliases": []})
    return len(gone)


@action("market.merge_customers")
def merge_customers(*, actor: Actor, keep_id: int, merge_id: int) -> int:
    """Two records turn out to be one customer: the second becomes a pointer to the first; returns the first's id.

    Nothing moves and nothing is lost: invoices, payments and ledger rows keep the id under which they were written, and
    every read of the customer takes the ids of all records merged into it. Its names still find the customer, and a credit hold on
    either of the two holds for both.
    Raises: NotFound, CannotMerge (same record, one of them merged already, parent and child).
    """
    keep, merge = _customer(keep_id), _customer(merge_id)
    ensure(
        keep_id != merge_id,
        CannotMerge("A customer cannot be merged into itself.", field="merge_id", remedy="Choose two customers."),
    )
    ensure(
        keep.parent_id != merge_id,
        CannotMerge(f"{merge.name} is the parent of {keep.name}.", field="merge_id", remedy="Keep the parent instead."),
    )
    before = {"merged_into_id": None, "parent_id": merge.parent_id}
    Customer.objects.filter(merged_into_id=merge_id).update(merged_into_id=keep_id)
    Customer.objects.filter(parent_id=merge_id).update(parent_id=keep_id)
    merge.merged_into_id = keep_id
    merge.parent_id = None
    merge.save(update_fields=["merged_into_id", "parent_id"])
    changed("customer", merge_id, before=before, after={"merged_into_id": keep_id})
    if merge.is_on_hold and not keep.is_on_hold:
        keep.is_on_hold = True
        keep.save(update_fields=["is_on_hold"])
    changed("customer", keep_id, after={"took_over": merge_id, "is_on_hold": keep.is_on_hold})
    timeline.record_one(
        "customer_merged",
        subject="customer",
        subject_id=keep_id,
        customer_id=keep_id,
        actor=actor,
        note=f"{merge.name} ({merge.number})",
    )
    return keep_id


def check_tax_id(tax_id: str, country: str) -> None:
    """Refuse a VAT number whose form or check digits are wrong for its country; unknown countries pass.

    Raises: TaxIdInvalid.
    """
    if not tax_id:
        return
    prefix = tax_id[:2].upper() if tax_id[:2].isalpha() else country.upper()
    module = get_cc_module({"EL": "gr"}.get(prefix, prefix.lower()), "vat") if prefix else None
    if module is None:
        return
    try:
        module.validate(tax_id)
    except TaxIdError as error:
        raise TaxIdInvalid(
            f"{tax_id} is no valid tax id of {prefix}: {str(error).rstrip('.')}.",
            field="tax_id",
            remedy="Ask the customer for the number again.",
        ) from error


def _hold_needs_reason() -> Invalid:
    return Invalid("A credit hold needs a reason.", field="reason", remedy="Say why we stop giving credit.")


def _tell_hold(customer: Customer, actor: Actor, on: date | None, reason: str) -> None:
    kind = "credit_hold_set" if customer.is_on_hold else "credit_hold_released"
    timeline.record_one(
        kind, subject="customer", subject_id=customer.pk, customer_id=customer.pk, actor=actor, on=on, note=reason[:300]
    )


def _customer(customer_id: int) -> Customer:
    customer = Customer.objects.select_for_update().filter(pk=customer_id).first()
    if customer is None:
        raise NotFound(f"There is no customer {customer_id}.", field="customer_id")
    if customer.merged_into_id is not None:
        raise CannotMerge(
            f"{customer.name} was merged into customer {customer.merged_into_id}.",
            field="customer_id",
            remedy="Use the customer that took it over.",
        )
    return customer


def _check_e_invoicing(changes: dict[str, Any]) -> None:
    ensure(
        not changes.get("e_address") or E_ADDRESS.fullmatch(changes["e_address"]) is not None,
        Invalid(
            f"{changes.get('e_address')!r} is no electronic address.",
            field="e_address",
            remedy="Write the scheme and the address, such as 9930:DE123456788 or EM:invoices@example.com.",
        ),
    )
    ensure(
        changes.get("e_format", Customer.EFormat.PDF) in Customer.EFormat.values,
        Invalid(f"{changes.get('e_format')!r} is no form of an invoice.", field="e_format", remedy="Use pdf, ubl or cii."),
    )


def _check_parent(customer_id: int, parent_id: int) -> None:
    """A parent must exist and not stand below the customer itself (at most 20 levels are followed)."""
    above: int | None = parent_id
    for _ in range(20):
        if above is None:
            return
        ensure(
            above != customer_id,
            Invalid("A customer cannot stand below itself.", field="parent_id", remedy="Choose another parent."),
        )
        row = Customer.objects.filter(pk=above).values_list("parent_id", flat=True)
        ensure(len(row) == 1, Invalid(f"There is no customer {above}.", field="parent_id"))
        above = row[0]
    raise Invalid("The chain of parents is too long.", field="parent_id", remedy="At most 20 levels are allowed.")


def _numbered(customers: pl.DataFrame) -> pl.DataFrame:
    if "number" not in customers.columns:
        customers = customers.with_columns(number=pl.lit(None, dtype=pl.String))
    missing = customers["number"].is_null() | (customers["number"] == "")
    count = int(missing.sum())
    if not count:
        return customers
    fresh = series.take(entity_id=0, code="customer", count=count, prefix="C-", width=5)
    return customers.with_columns(
        number=pl.when(missing)
        .then(pl.lit(fresh).gather(missing.cum_sum().cast(pl.Int64).clip(1) - 1))
        .otherwise(pl.col("number"))
    )


def _add_aliases(rows: pl.DataFrame, *, source: str) -> None:
    """Names and numbers to find customers by; those already known are left as they are."""
    frame = (
        rows.with_columns(folded=folded(pl.col("value")))
        .filter(pl.col("folded") != "")
        .unique(["customer_id", "kind", "folded"], maintain_order=True)
    )
    known = (
        bulk.read(
            CustomerAlias.objects.filter(customer_id__in=frame["customer_id"].to_list()).values("customer_id", "kind", "folded")
        )
        if (frame.height <= 900)
        else pl.DataFrame(schema={"customer_id": pl.Int64, "kind": pl.String, "folded": pl.String})
    )
    fresh = frame.join(known, on=["customer_id", "kind", "folded"], how="anti")
    bulk.insert(CustomerAlias, fresh.select("customer_id", "kind", "value", "folded", source=pl.lit(source)))
