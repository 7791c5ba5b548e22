"""Verbs of the ledger: open an entity, post, reverse, lock a period, seal.

`post` is called by the actions of other rooms, inside their transaction; it is the only code that writes transfers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from topline.books import chart, queries, rates, sealing
from topline.books.models import Account, Entity, Entry, ExchangeRate, PeriodLock, Seal, Transfer
from topline.engine.documents import ensure_tax_rounding
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.countries import ensure_countries
from topline.kernel.database import lock
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure

DIMENSIONS = ["customer_id", "invoice_id", "payment_id", "bank_account_id"]
EARLIEST, LATEST = date(1900, 1, 1), date(2199, 12, 31)
POST_LOCK = "books"
DESCRIBED = frozenset(
    {
        "name",
        "country",
        "tax_id",
        "registration",
        "line1",
        "line2",
        "postal_code",
        "city",
        "email",
        "phone",
        "accent",
        "logo",
        "tax_rounding",
    }
)
MAX_LOGO = 200_000
_NO_LEGS = pl.DataFrame(
    schema={
        "key": pl.String, "currency": pl.String, "debit_role": pl.String, "credit_role": pl.String, "amount_minor": pl.Int64, "functional_minor": pl.Int64,
        **dict.fromkeys(DIMENSIONS, pl.Int64),
    }
)  # fmt: skip


class AlreadyPosted(Conflict):
    """The same document event was posted before; posting twice would double the books."""

    code = "already_posted"


class PeriodLocked(Conflict):
    """The day lies in a closed period; corrections go forward."""

    code = "period_locked"


class UnknownAccount(Invalid):
    """A transfer names an account that the entity does not have, or in another currency."""

    code = "unknown_account"


class AlreadyReversed(Conflict):
    """An entry can be reversed once."""

    code = "already_reversed"


@action("books.open_entity")
def open_entity(*, actor: Actor, key: str, name: str, currency: str, time_zone: str = "UTC", country: str = "") -> int:
    """Begin the books of a legal entity with the default chart of accounts; returns its id.

    Raises: Invalid (currency), Conflict (key taken).
    """
    money.ensure_currency(currency)
    ensure(
        not Entity.objects.filter(key=key).exists(),
        Conflict(f"There is a company called {key!r} already.", field="key", remedy="Choose another name."),
    )
    entity = Entity.objects.create(key=key, name=name, currency=currency, time_zone=time_zone, country=country)
    Account.objects.bulk_create(
        [Account(entity=entity, code=code, name=title, kind=kind, role=role) for code, title, kind, role in chart.DEFAULT]
    )
    changed("entity", entity.pk, after={"key": key, "name": name, "currency": currency})
    return entity.pk


@action("books.describe_entity")
def describe_entity(*, actor: Actor, entity_id: int, changes: dict[str, Any]) -> int:
    """Say what documents print of a company: name, place, numbers, whom to ask, colour and logo; returns its id.

    changes  of name, country, tax_id, registration, line1, line2, postal_code, city, email, phone str, accent str (#rrggbb), logo bytes (PNG or
             SVG, at most 200 kB; None takes it away), tax_rounding str (line or document; of documents that are drafted from now on)
    Raises: NotFound, Invalid (unknown field, no name, country, colour, picture, rounding).
    """
    entity = Entity.objects.select_for_update().filter(pk=entity_id).first()
    if entity is None:
        raise NotFound(f"There is no company {entity_id}.", field="entity_id")
    unknown = sorted(set(changes) - DESCRIBED)
    ensure(not unknown, Invalid(f"{', '.join(unknown)} cannot be changed.", field=unknown[0] if unknown else ""))
    ensure(bool(str(changes.get("name", entity.name)).strip()), Invalid("A company needs a name.", field="name"))
    accent, logo = changes.get("accent", ""), changes.get("logo")
    if "country" in changes:
        ensure_countries([changes["country"]])
        changes = changes | {"country": changes["country"].upper()}
    ensure(re.fullmatch(r"(#[0-9a-fA-F]{6})?", accent) is not None, Invalid(f"{accent!r} is no colour.", field="accent", remedy="Use #rrggbb, such as #1d4ed8."))  # fmt: skip
    ensure_tax_rounding(changes.get("tax_rounding", entity.tax_rounding))
    if logo is not None:
        ensure(len(logo) <= MAX_LOGO, Invalid("The logo is larger than 200 kB.", field="logo", remedy="Make it smaller."))
        ensure(
            picture_kind(logo) != "",
            Invalid("The logo is neither PNG nor SVG.", field="logo", remedy="Save it as one of the two."),
        )
    before = {name: getattr(entity, name) for name in changes if name != "logo"}
    for name, value in changes.items():
        setattr(entity, name, value)
    entity.save(update_fields=list(changes))
    told = {name: value for name, value in changes.items() if name != "logo"}
    if "logo" in changes:
        told["logo"] = f"{len(logo)} bytes" if logo else ""
    changed("entity", entity.pk, before=before, after=told)
    return entity.pk


def picture_kind(content: bytes) -> str:
    """png or svg, by how the content begins; empty for anything else."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    return "svg" if b"<svg" in content[:1000] and b"<script" not in content else ""


@action("books.add_account")
def add_account(
    *, actor: Actor, entity_id: int, code: str, name: str, kind: str, currency: str = "", role: str | None = None
) -> int:
    """Add a ledger account; returns its id.

    Raises: Invalid (kind, currency), Conflict (code or role taken).
    """
    return create_account(entity_id=entity_id, code=code, name=name, kind=kind, currency=currency, role=role)


def create_account(*, entity_id: int, code: str, name: str, kind: str, currency: str = "", role: str | None = None) -> int:
    """The account that a document of another room brings with it, such as a bank account; called inside its action."""
    if currency:
        money.ensure_currency(currency)
    ensure(
        kind in Account.Kind.values,
        Invalid(f"{kind!r} is no kind of account.", field="kind", remedy=f"Use one of {', '.join(Account.Kind.values)}."),
    )
    taken = Account.objects.filter(entity_id=entity_id, code=code)
    ensure(not taken.exists(), Conflict(f"Account {code} exists already.", field="code", remedy="Choose a free code."))
    account = Account.objects.create(entity_id=entity_id, code=code, name=name, kind=kind, currency=currency, role=role)
    changed("account", account.pk, after={"code": code, "name": name, "kind": kind, "currency": currency})
    return account.pk


def ensure_accounts(entity_id: int, roles: frozenset[str]) -> None:
    """Open the accounts of the default chart that some roles need, in companies older than they are; called inside the action that posts to them."""
    codes = dict(Account.objects.filter(entity_id=entity_id).values_list("code", "role"))
    for code, name, kind, role in chart.DEFAULT:
        if role in roles - set(codes.values()):
            free = next(c for c in (code, *(f"{code}-{n}" for n in range(1, 100))) if c not in codes)
            create_account(entity_id=entity_id, code=free, name=name, kind=kind, role=role)


def leg(
    frame: pl.DataFrame,
    *,
    debit: str | pl.Expr,
    credit: str | pl.Expr,
    amount: str,
    functional: str | None = None,
    **dimensions: str | pl.Expr,
) -> pl.DataFrame:
    """One side of a posting: a transfer per row of `frame`, between two account roles.

    frame       columns key and currency, the amount column (minor units; zeros are dropped, negatives turn the direction)
    debit, credit  account roles, or expressions that yield them (a bank account's role differs by row)
    functional  column with the amount in the entity's currency, where it must not be taken from the day's rate
    dimensions  customer_id=..., invoice_id=...: columns to keep on the transfer; same-named columns are taken by themselves
    """
    if frame.is_empty():
        return _NO_LEGS
    role = {
        "debit": pl.lit(debit) if isinstance(debit, str) else debit,
        "credit": pl.lit(credit) if isinstance(credit, str) else credit,
    }
    value = pl.col(amount).cast(pl.Int64)
    worth = pl.col(functional).cast(pl.Int64) if functional else pl.lit(None, dtype=pl.Int64)
    turned = (value < 0) | ((value == 0) & (worth < 0))
    dims = {name: pl.col(name) for name in DIMENSIONS if name in frame.columns} | {
        name: pl.col(given) if isinstance(given, str) else given for name, given in dimensions.items()
    }
    return frame.select(
        "key",
        "currency",
        debit_role=pl.when(turned).then(role["credit"]).otherwise(role["debit"]),
        credit_role=pl.when(turned).then(role["debit"]).otherwise(role["credit"]),
        amount_minor=value.abs(),
        functional_minor=worth.abs(),
        **{name: dims.get(name, pl.lit(None)).cast(pl.Int64) for name in DIMENSIONS},
    ).filter((pl.col("amount_minor") != 0) | (pl.col("functional_minor").fill_null(0) != 0))


def post(
    *,
    entity_id: int,
    kind: str,
    entries: pl.DataFrame,
    transfers: Sequence[pl.DataFrame],
    reverses: bool = False,
    entity: Entity | None = None,
) -> pl.DataFrame:
    """Write a batch of entries and their transfers into the books, all or nothing.

    entries    one row per entry: key str (unique in the books for ever), effective_on date; optional source str, memo str,
               and reverses_id i64 when `reverses`
    transfers  frames made by `leg`, their key naming the entry; entries without a transfer are not written
    entity     the company, where the caller has it at hand
    returns    one row per written entry: key, entry_id

    The functional amount is taken from the last rate on or before effective_on unless the leg gives it.
    Work: a fixed number of statements; O(rows). Holds the books lock shared until the transaction ends.
    Raises: AlreadyPosted, PeriodLocked, UnknownAccount, Invalid (date outside 1900-2199), rates.RateMissing.
    """
    legs = pl.concat([part for part in transfers if part.height] or [_NO_LEGS])
    if legs.is_empty():
        return pl.DataFrame(schema={"key": pl.String, "entry_id": pl.Int64})
    lock(POST_LOCK, shared=True)
    entity = entity or Entity.objects.get(pk=entity_id)
    entries = entries.join(legs.select("key").unique(), on="key", how="semi", maintain_order="left")
    _check_days(entity, entries)
    _check_new(entries["key"])
    legs = _with_accounts(entity, legs)
    legs = rates.with_functional(
        legs.join(entries.select("key", "effective_on"), on="key", how="left", maintain_order="left"),
        entity_currency=entity.currency,
    )
    written = bulk.insert(
        Entry,
        entries.select(
            "key",
            "effective_on",
            pl.lit(entity_id, dtype=pl.Int64).alias("entity_id"),
            pl.lit(kind).alias("kind"),
            pl.lit(clock.now()).alias("recorded_at"),
            pl.col("source") if "source" in entries.columns else pl.lit("").alias("source"),
            pl.col("memo").fill_null("").str.slice(0, 300) if "memo" in entries.columns else pl.lit("").alias("memo"),
            (pl.col("reverses_id") if reverses else pl.lit(None, dtype=pl.Int64)).alias("reverses_id"),
        ),
    )
    ids = written.select("key", entry_id="id")
    bulk.insert(
        Transfer,
        legs.join(ids, on="key", how="left", maintain_order="left").select(
            "entry_id", "debit_account_id", "credit_account_id", "currency", "amount_minor", "functional_minor", *DIMENSIONS
        ),
    )
    changed_many("entry", ids["entry_id"])
    return ids


@action("books.post_entry")
def post_entry(
    *,
    actor: Actor,
    entity_id: int,
    key: str,
    effective_on: date,
    memo: str,
    debit: str,
    credit: str,
    amount_minor: int,
    currency: str,
) -> int:
    """A manual journal entry of one transfer between two accounts, by account code; returns the entry's id.

    Raises: Invalid (amount not positive, same account), UnknownAccount, PeriodLocked, AlreadyPosted.
    """
    money.ensure_currency(currency)
    ensure(
        amount_minor > 0,
        Invalid("The amount must be more than zero.", field="amount", remedy="Swap debit and credit instead of a minus sign."),
    )
    ensure(debit != credit, Invalid("Debit and credit are the same account.", field="credit", remedy="Choose two accounts."))
    roles = {code: _role_of(entity_id, code) for code in (debit, credit)}
    line = pl.DataFrame({"key": [f"manual:{key}"], "currency": [currency], "amount": [amount_minor]})
    entry = pl.DataFrame({"key": [f"manual:{key}"], "effective_on": [effective_on], "memo": [memo]})
    written = post(
        entity_id=entity_id,
        kind="manual",
        entries=entry,
        transfers=[leg(line, debit=roles[debit], credit=roles[credit], amount="amount")],
    )
    return int(written["entry_id"][0])


@action("books.reverse_entry")
def reverse_entry(*, actor: Actor, entry_id: int, effective_on: date, reason: str) -> int:
    """Undo an entry by its mirror image in an open period; both stay in the books. Returns the new entry's id.

    Raises: NotFound, AlreadyReversed, PeriodLocked, Invalid (document entries are reversed by their document).
    """
    entry = Entry.objects.filter(pk=entry_id).first()
    if entry is None:
        raise NotFound(f"There is no entry {entry_id}.", field="entry_id")
    ensure(
        entry.kind == "manual",
        Invalid(
            "This entry belongs to a document.",
            field="entry_id",
            remedy="Void, credit or unapply the document; its entry is reversed with it.",
        ),
    )
    return int(reverse(entry_ids=[entry_id], effective_on=effective_on, memo=reason)["entry_id"][0])


def entry_id(key: str) -> int:
    """The id of the entry with this key. Raises: NotFound."""
    found = entry_ids([key])
    if not found:
        raise NotFound(f"There is no entry {key}.", field="key")
    return found[0]


def entry_ids(keys: Sequence[str]) -> list[int]:
    """Ids of the entries that exist among these keys; keys without an entry (nothing was posted) are left out."""
    found: list[int] = []
    for start in range(0, len(keys), 900):
        found += Entry.objects.filter(key__in=list(keys[start : start + 900])).order_by("id").values_list("id", flat=True)
    return found


def reverse(*, entry_ids: Sequence[int], effective_on: date, memo: str = "") -> pl.DataFrame:
    """Mirror entries for a batch, in one entity: every transfer with debit and credit exchanged; returns key, entry_id.

    A correction counts from `effective_on` or, if that lies in a locked period, is refused.
    Raises: AlreadyReversed, PeriodLocked.
    """
    frame = queries.transfers_of(entry_ids)
    originals = bulk.read(Entry.objects.filter(pk__in=list(entry_ids)).values("id", "entity_id", "key", "source"))
    undone = Entry.objects.filter(reverses_id__in=list(entry_ids)).values_list("reverses_id", flat=True)[:1]
    if undone:
        raise AlreadyReversed(
            f"Entry {undone[0]} has been reversed already.", field="entry_id", remedy="Look at the entry's page for its reversal."
        )
    entity_ids = originals["entity_id"].unique().to_list()
    ensure(len(entity_ids) == 1, Invalid("Entries of one company are reversed at a time.", field="entry_ids"))
    mirrored = frame.join(originals.select(entry_id="id", key="key"), on="entry_id", how="left").select(
        (pl.col("key") + ":reversed").alias("key"),
        "currency",
        debit_role=pl.col("credit_account_id").cast(pl.String),
        credit_role=pl.col("debit_account_id").cast(pl.String),
        amount_minor="amount_minor",
        functional_minor="functional_minor",
        **{name: pl.col(name) for name in DIMENSIONS},
    )
    entries = originals.select(
        (pl.col("key") + ":reversed").alias("key"),
        pl.lit(effective_on).alias("effective_on"),
        "source",
        pl.lit(memo or "Reversal").alias("memo"),
        reverses_id="id",
    )
    return post(entity_id=entity_ids[0], kind="reversal", entries=entries, transfers=[mirrored], reverses=True)


@action("books.lock_period")
def lock_period(*, actor: Actor, entity_id: int, through: date | None, reason: str = "") -> int:
    """Close every day up to and including `through` (None opens all again); waits for postings under way.

    Returns the id of the new lock row; earlier rows stay as history.
    """
    lock(POST_LOCK)
    before = queries.locked_through(entity_id)
    row = PeriodLock.objects.create(
        entity_id=entity_id, locked_through=through, recorded_at=clock.now(), actor_key=actor.key, reason=reason
    )
    changed("entity", entity_id, before={"locked_through": before}, after={"locked_through": through})
    return row.pk


@action("books.seal")
def seal(*, actor: Actor, at_most: int = 200_000) -> int:
    """Seal what has been posted since the last seal and add it to the period balances; returns the number of entries sealed.

    Waits for postings under way, so that no late commit slips into a sealed range. Work: O(entries sealed).
    """
    lock(POST_LOCK)
    previous = Seal.objects.order_by("-id").first()
    rows = sealing.entries_after(previous.last_entry_id if previous else 0, limit=at_most)
    if rows.is_empty():
        return 0
    first, last = int(rows["id"].min()), int(rows["id"].max())  # type: ignore[arg-type]
    digest, transfers = sealing.digest(first, last, previous.sha256 if previous else "")
    made = Seal.objects.create(
        first_entry_id=first, last_entry_id=last, entries=rows.height, transfers=transfers, sha256=digest, recorded_at=clock.now()
    )
    sealing.add_to_period_balances(first, last)
    changed("seal", made.pk, after={"entries": rows.height, "sha256": digest})
    return rows.height


@action("books.add_rates")
def add_rates(*, actor: Actor, table: pl.DataFrame, source: str) -> int:
    """Add dated exchange rates (units for one euro); a later row for the same currency and day replaces the earlier.

    table  one row per currency and day: currency str, on date, per_euro decimal > 0
    Raises: Invalid (currency, rate not positive).
    """
    for code in table["currency"].unique().to_list():
        money.ensure_currency(code)
    ensure(bool((table["per_euro"] > 0).all()), Invalid("A rate must be more than zero.", field="per_euro"))
    rows = [
        ExchangeRate(currency=currency, on=on, per_euro_nano=int(rate * 10**9), source=source, recorded_at=clock.now())
        for currency, on, rate in table.select("currency", "on", "per_euro").iter_rows()
    ]
    ExchangeRate.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["currency", "on"],
        update_fields=["per_euro_nano", "source", "recorded_at"],
        batch_size=1000,
    )
    rates.forget()
    changed("exchange_rate", 0, after={"rows": len(rows), "source": source})
    return len(rows)


def _check_days(entity: Entity, entries: pl.DataFrame) -> None:
    earliest, latest = entries["effective_on"].min(), entries["effective_on"].max()
    ensure(
        isinstance(earliest, date) and isinstance(latest, date) and earliest >= EARLIEST and latest <= LATEST,
        Invalid(
            f"The books hold days from {EARLIEST} to {LATEST}; found {earliest!s} to {latest!s}.",
            field="effective_on",
            remedy="Correct the date.",
        ),
    )
    locked = queries.locked_through(entity.pk)
    if locked and isinstance(earliest, date) and earliest <= locked:
        raise PeriodLocked(
            f"{entity.name} is closed through {locked:%d %b %Y}; {earliest:%d %b %Y} lies in it.",
            field="effective_on",
            remedy=f"Date the correction after {locked:%d %b %Y}.",
            locked_through=str(locked),
        )


def _check_new(keys: pl.Series) -> None:
    twice = keys.filter(keys.is_duplicated())
    key = str(twice[0]) if twice.len() else bulk.any_known("key", Entry, keys.to_list())
    if key is not None:
        raise AlreadyPosted(f"{key} is in the books already.", remedy="Nothing to do: it counts once.", key=key)


def _with_accounts(entity: Entity, legs: pl.DataFrame) -> pl.DataFrame:
    """Roles (or account ids written as text) to accounts of the entity, refusing what it does not have."""
    accounts = queries.account_roles(entity.pk)
    for side in ("debit", "credit"):
        legs = legs.join(
            accounts.select(
                pl.col("name").alias(f"{side}_role"),
                pl.col("account_id").alias(f"{side}_account_id"),
                pl.col("currency").alias("_only"),
            ),
            on=f"{side}_role",
            how="left",
            maintain_order="left",
        )
        odd = legs.filter(
            pl.col(f"{side}_account_id").is_null() | ((pl.col("_only") != "") & (pl.col("_only") != pl.col("currency")))
        )
        if odd.height:
            row = odd.row(0, named=True)
            raise UnknownAccount(
                f"{entity.name} has no account {row[f'{side}_role']!r} for {row['currency']!s} (posting {row['key']!s}).",
                field="account",
                remedy="Add the account, or book in its currency.",
            )
        legs = legs.drop("_only")
    return legs


def _role_of(entity_id: int, code: str) -> str:
    account = Account.objects.filter(entity_id=entity_id, code=code).first()
    if account is None:
        raise UnknownAccount(f"There is no account {code}.", field="account", remedy="Look the code up in the trial balance.")
    return str(account.pk)
