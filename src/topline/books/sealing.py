"""Seals: a SHA-256 chain over ranges of entries, and the period balances that grow with it."""

from __future__ import annotations

import hashlib

import polars as pl
from django.db.models import QuerySet, Sum

from topline.books.models import Entry, PeriodBalance, Seal, Transfer
from topline.kernel import bulk

_ENTRY = ["id", "entity_id", "key", "kind", "effective_on", "recorded_at", "source", "memo", "reverses_id"]
_TRANSFER = [
    "id", "entry_id", "debit_account_id", "credit_account_id", "currency", "amount_minor", "functional_minor",
    "customer_id", "invoice_id", "payment_id", "bank_account_id",
]  # fmt: skip


def entries_after(entry_id: int, *, limit: int) -> pl.DataFrame:
    """Ids of the next entries that no seal covers yet, ascending."""
    return bulk.read(Entry.objects.filter(pk__gt=entry_id).order_by("pk").values("id")[:limit])


def digest(first: int, last: int, previous: str) -> tuple[str, int]:
    """The seal of a range of entries: SHA-256 over the seal before it and every column of every row in canonical CSV.

    Returns the hex digest and the number of transfers covered.
    """
    entries = bulk.read(Entry.objects.filter(pk__range=(first, last)).order_by("pk").values(*_ENTRY))
    transfers = bulk.read(_transfers(first, last).order_by("pk").values(*_TRANSFER))
    sha = hashlib.sha256(previous.encode())
    for frame in (entries, transfers):
        sha.update(frame.write_csv(quote_style="non_numeric").encode())
    return sha.hexdigest(), transfers.height


def add_to_period_balances(first: int, last: int) -> None:
    """Add a freshly sealed range to the balances per account, currency and month. Work: one aggregate and one upsert."""
    sums = moved(_transfers(first, last))
    PeriodBalance.objects.bulk_create(
        [
            PeriodBalance(account_id=a, currency=c, month=m)
            for a, c, m in sums.select("account_id", "currency", "month").iter_rows()
        ],
        ignore_conflicts=True,
        batch_size=500,
    )
    standing = bulk.read(
        PeriodBalance.objects.filter(account_id__in=sums["account_id"].unique().to_list()).values(
            "id", "account_id", "currency", "month", *_SUMS
        )
    )
    after = standing.join(sums, on=["account_id", "currency", "month"], suffix="_new").select(
        "id", *[pl.col(c) + pl.col(f"{c}_new") for c in _SUMS]
    )
    bulk.update(PeriodBalance, after)


_SUMS = ["debit_minor", "credit_minor", "debit_functional_minor", "credit_functional_minor"]


def moved(transfers: QuerySet[Transfer]) -> pl.DataFrame:
    """What transfers moved, one row per account, currency and month: debit and credit sums in both currencies.

    Work: one pass in the database, which hands out a row per pair of accounts, currency and day.
    """
    pairs = transfers.order_by().values("debit_account_id", "credit_account_id", "currency", "entry__effective_on")
    daily = bulk.read(pairs.annotate(amount=Sum("amount_minor"), functional=Sum("functional_minor")))
    nothing = pl.lit(0, dtype=pl.Int64)
    key = {"currency": pl.col("currency"), "month": pl.col("entry__effective_on").dt.truncate("1mo")}
    sides = [
        daily.select(account_id="debit_account_id", **key, **_sums("amount", nothing, "functional", nothing)),
        daily.select(account_id="credit_account_id", **key, **_sums(nothing, "amount", nothing, "functional")),
    ]
    order = ["account_id", "currency", "month"]
    return pl.concat(sides).group_by(order).agg(pl.col(_SUMS).sum()).sort(order)


def _sums(*columns: str | pl.Expr) -> dict[str, pl.Expr]:
    return {name: pl.col(c) if isinstance(c, str) else c for name, c in zip(_SUMS, columns, strict=True)}


def broken_seals() -> pl.DataFrame:
    """Seals whose rows no longer give their digest, one row each: seal_id, first_entry_id, last_entry_id. Work: O(ledger)."""
    previous, broken = "", []
    for seal in Seal.objects.order_by("id").iterator(chunk_size=500):
        found, transfers = digest(seal.first_entry_id, seal.last_entry_id, previous)
        if found != seal.sha256 or transfers != seal.transfers:
            broken.append((seal.pk, seal.first_entry_id, seal.last_entry_id))
        previous = seal.sha256
    return pl.DataFrame(broken, schema={"seal_id": pl.Int64, "first_entry_id": pl.Int64, "last_entry_id": pl.Int64}, orient="row")


def _transfers(first: int, last: int) -> QuerySet[Transfer]:
    return Transfer.objects.filter(entry_id__gte=first, entry_id__lte=last)
