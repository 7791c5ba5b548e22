"""Reads of the ledger: balances as of a day and as known at a moment, trial balance, account statement, entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl
from django.db.models import QuerySet

from topline.books import sealing
from topline.books.models import Account, Entity, Entry, PeriodBalance, PeriodLock, Seal, Transfer
from topline.kernel import bulk, clock
from topline.kernel.errors import NotFound

DEBIT_KINDS = {"asset", "expense"}


@dataclass(frozen=True)
class EntryDetail:
    """One entry with its transfers, as the entry page shows it."""

    entry_id: int
    entity_id: int
    key: str
    kind: str
    effective_on: date
    recorded_at: datetime
    source: str
    memo: str
    reverses_id: int | None
    reversed_by_id: int | None
    transfers: pl.DataFrame


def entities() -> list[Entity]:
    """Every entity that keeps books here, oldest first (at most 200)."""
    return list(Entity.objects.order_by("id")[:200])


def today(entity_id: int | None) -> date:
    """The calendar day where a company is; without one, or of one that is not there, the day of UTC."""
    zone = Entity.objects.filter(pk=entity_id or 0).values_list("time_zone", flat=True).first()
    return clock.today(zone or "UTC")


def entity(key: str | None = None) -> Entity:
    """The entity with this key, or the first one.

    Raises: NotFound with the command that makes one.
    """
    found = Entity.objects.filter(**({"key": key} if key else {})).order_by("id").first()
    if found is None:
        raise NotFound(
            f"There is no company {key!r}." if key else "There is no company yet.",
            field="entity",
            remedy="Make one: topline init NAME.",
        )
    return found


def locked_through(entity_id: int) -> date | None:
    """The last closed day, None when nothing is closed."""
    row = PeriodLock.objects.filter(entity_id=entity_id).order_by("-id").first()
    return row.locked_through if row else None


def account_roles(entity_id: int) -> pl.DataFrame:
    """How transfers may name accounts: by role and by id as text. One row per name: name, account_id, currency."""
    frame = bulk.read(Account.objects.filter(entity_id=entity_id).values("id", "role", "currency"))
    by_role = frame.drop_nulls("role").select(name="role", account_id="id", currency="currency")
    by_id = frame.select(name=pl.col("id").cast(pl.String), account_id="id", currency="currency")
    return pl.concat([by_role, by_id])


def account_code(entity_id: int, role: str) -> str:
    """The code of the account with a role. Raises: NotFound."""
    code = Account.objects.filter(entity_id=entity_id, role=role).values_list("code", flat=True).first()
    if code is None:
        raise NotFound(f"There is no account for {role!r}.", field="role", remedy="Add it to the chart of accounts.")
    return code


def transfers_of(entry_ids: Sequence[int]) -> pl.DataFrame:
    """All transfers of some entries, in the order of their ids."""
    columns = [f.attname for f in Transfer._meta.concrete_fields]
    return bulk.read(Transfer.objects.filter(entry_id__in=list(entry_ids)).order_by("id").values(*columns))


def balances(*, entity_id: int, as_of: date | None = None, recorded_by: datetime | None = None) -> pl.DataFrame:
    """What stood on each account at the end of a day, as known at a moment.

    as_of        last effective day that counts; None for all
    recorded_by  only entries written down until then; None for all (then sealed months are read from snapshots)
    returns      one row per account and currency: account_id, currency, debit_minor, credit_minor,
                 debit_functional_minor, credit_functional_minor
    Work: with recorded_by None, O(months x accounts + entries of the last month + unsealed entries).
    """
    transfers = Transfer.objects.filter(entry__entity_id=entity_id)
    if recorded_by is not None:
        known = transfers.filter(entry__recorded_at__lte=recorded_by)
        return _summed(sealing.moved(known.filter(entry__effective_on__lte=as_of) if as_of else known))
    seal = Seal.objects.order_by("-id").first()
    sealed_through = seal.last_entry_id if seal else 0
    snapshots = PeriodBalance.objects.filter(account__entity_id=entity_id)
    tail = transfers.filter(entry_id__gt=sealed_through)
    parts = []
    if as_of is not None:
        first = as_of.replace(day=1)
        snapshots = snapshots.filter(month__lt=first)
        tail = tail.filter(entry__effective_on__lte=as_of)
        month = transfers.filter(entry_id__lte=sealed_through, entry__effective_on__range=(first, as_of))
        parts.append(sealing.moved(month))
    parts += [sealing.moved(tail), bulk.read(snapshots.values("account_id", "currency", "month", *SUMS))]
    return _summed(pl.concat(parts))


SUMS = ["debit_minor", "credit_minor", "debit_functional_minor", "credit_functional_minor"]


def trial_balance(*, entity_id: int, as_of: date | None = None, recorded_by: datetime | None = None) -> pl.DataFrame:
    """Every account with its balance, by code: the debit and the credit column add up to the same in the entity's currency.

    returns  one row per account and currency: account_id, code, name, kind, currency, debit_minor, credit_minor (movements),
             balance_minor and functional_minor (debit less credit)
    """
    accounts = bulk.read(Account.objects.filter(entity_id=entity_id).values("id", "code", "name", "kind", "role"))
    sums = balances(entity_id=entity_id, as_of=as_of, recorded_by=recorded_by)
    return (
        accounts.rename({"id": "account_id"})
        .join(sums, on="account_id")
        .with_columns(
            balance_minor=pl.col("debit_minor") - pl.col("credit_minor"),
            functional_minor=pl.col("debit_functional_minor") - pl.col("credit_functional_minor"),
        )
        .sort("code", "currency")
    )


def role_balances(*, entity_id: int, role: str, as_of: date | None = None) -> dict[str, int]:
    """Debit less credit of the account with a role, by currency; the ledger's word on receivables, unapplied cash, ..."""
    table = trial_balance(entity_id=entity_id, as_of=as_of).filter(pl.col("role") == role)
    return dict(table.select("currency", "balance_minor").iter_rows())


def account_statement(
    *,
    account_id: int,
    since: date | None = None,
    until: date | None = None,
    dimensions: dict[str, int] | None = None,
    limit: int = 200,
    offset: int = 0,
) -> pl.DataFrame:
    """Movements on an account in the order in which they count, with the balance after each.

    since, until  first and last effective day; dimensions narrow it ({"customer_id": 7})
    returns       one row per transfer: transfer_id, entry_id, effective_on, kind, memo, source, currency, amount_minor and
                  functional_minor (signed: debit positive), counter_account_id, invoice_id, customer_id, payment_id
    """
    parts = []
    for side, sign in (("debit", 1), ("credit", -1)):
        other = "credit" if side == "debit" else "debit"
        rows = Transfer.objects.filter(**{f"{side}_account_id": account_id}, **(dimensions or {}))
        if since:
            rows = rows.filter(entry__effective_on__gte=since)
        if until:
            rows = rows.filter(entry__effective_on__lte=until)
        frame = _page(rows, limit + offset, f"{other}_account_id")
        parts.append(
            frame.with_columns(
                amount_minor=pl.col("amount_minor") * sign,
                functional_minor=pl.col("functional_minor") * sign,
                counter_account_id=pl.col(f"{other}_account_id"),
            ).drop(f"{other}_account_id")
        )
    return pl.concat(parts).sort("effective_on", "transfer_id").slice(offset, limit)


def reversals(*, entity_id: int, kind: str, after: date | None = None) -> pl.DataFrame:
    """Entries of a kind that were reversed, and from which day the reversal counts (only later than `after`, when given).

    returns  one row per reversed entry: source str (the document key it was posted for), reversed_on date
    """
    rows = Entry.objects.filter(entity_id=entity_id, reverses__kind=kind)
    if after is not None:
        rows = rows.filter(effective_on__gt=after)
    return bulk.read(rows.values("reverses__source", "effective_on")).select(
        source="reverses__source", reversed_on="effective_on"
    )


def _page(rows: QuerySet[Transfer], limit: int, other: str) -> pl.DataFrame:
    columns = [
        "id",
        "entry_id",
        "entry__effective_on",
        "entry__kind",
        "entry__memo",
        "entry__source",
        "currency",
        "amount_minor",
        "functional_minor",
    ]
    frame = bulk.read(
        rows.order_by("entry__effective_on", "id").values(*columns, other, "invoice_id", "customer_id", "payment_id")[:limit]
    )
    return frame.rename({"id": "transfer_id"} | {c: c.removeprefix("entry__") for c in columns if c.startswith("entry__")})


def entry_detail(entry_id: int) -> EntryDetail:
    """One entry with its transfers and account names.

    Raises: NotFound.
    """
    entry = Entry.objects.filter(pk=entry_id).first()
    if entry is None:
        raise NotFound(f"There is no entry {entry_id}.", field="entry_id")
    reversal = Entry.objects.filter(reverses_id=entry_id).values_list("id", flat=True).first()
    accounts = bulk.read(Account.objects.filter(entity_id=entry.entity_id).values("id", "code", "name"))
    named = transfers_of([entry_id])
    for side in ("debit", "credit"):
        named = named.join(
            accounts.select(pl.col("id").alias(f"{side}_account_id"), pl.format("{} {}", "code", "name").alias(side)),
            on=f"{side}_account_id",
            how="left",
        )
    return EntryDetail(
        entry.pk,
        entry.entity_id,
        entry.key,
        entry.kind,
        entry.effective_on,
        entry.recorded_at,
        entry.source,
        entry.memo,
        entry.reverses_id,
        reversal,
        named,
    )


def entry_page(
    *, entity_id: int, filters: dict[str, Any] | None = None, limit: int = 50, before_id: int | None = None
) -> pl.DataFrame:
    """The newest entries first: id, effective_on, recorded_at, kind, key, source, memo. Keyset by id."""
    rows = Entry.objects.filter(entity_id=entity_id, **(filters or {}))
    if before_id:
        rows = rows.filter(pk__lt=before_id)
    return bulk.read(rows.order_by("-pk").values("id", "effective_on", "recorded_at", "kind", "key", "source", "memo")[:limit])


def _summed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.group_by("account_id", "currency").agg(pl.col(SUMS).sum()).sort("account_id", "currency")
