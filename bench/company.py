"""A fresh database with a company in it, gone afterwards; sizes by TOPLINE_BENCH_SCALE."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SCALE = float(os.environ.get("TOPLINE_BENCH_SCALE", "1"))


def sized(count: int) -> int:
    """A size at the chosen scale, at least 20."""
    return max(20, int(count * SCALE))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that work took, and what it gave."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


@contextmanager
def a_company() -> Iterator[str]:
    """Django set up on an empty database with one company; yields the name of the database's kind.

    SQLite: a file in a temporary folder. PostgreSQL: a schema emptied before and after (the cluster is a private one).
    """
    home = tempfile.mkdtemp(prefix="tl-bench-")
    os.environ["TOPLINE_HOME"] = home
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "topline.config.settings")
    import topline.config.sqlite  # noqa: F401  isort: skip
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    if connection.vendor == "sqlite":
        connection.close()
        settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = os.path.join(home, "topline.sqlite3")  # noqa: PTH118
    else:
        _empty(connection)
    try:
        call_command("migrate", verbosity=0)
        from topline.books import actions as books
        from topline.team.queries import system_actor

        books.open_entity(actor=system_actor("bench"), key="bench", name="Bench", currency="EUR")
        yield connection.vendor
    finally:
        if connection.vendor != "sqlite":
            _empty(connection)
        connection.close()
        shutil.rmtree(home, ignore_errors=True)


def _empty(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def bare_insert(*models: Any) -> tuple[int, float]:
    """Rows of tables written once more in bulk, into tables of the same shape with the same indexes, checks and foreign keys: how many, and seconds of the writing alone.

    Foreign keys are proved within those seconds, as a commit would. Read and written in chunks, so that memory stays flat; taken back afterwards.
    """
    from django.db import connection, transaction

    from topline.kernel import bulk

    count, took = 0, 0.0
    with transaction.atomic():
        for model in models:
            table = model._meta.db_table
            _like(table)
            columns = [f.attname for f in model._meta.concrete_fields]
            last = 0
            while (
                chunk := bulk.read(model._default_manager.filter(pk__gt=last).order_by("pk").values(*columns)[: bulk.CHUNK])
            ).height:
                model._meta.db_table = f"bench_{table}"
                try:
                    seconds, _ = timed(lambda: (bulk.insert(model, chunk), _prove_keys()))  # noqa: B023
                finally:
                    model._meta.db_table = table
                last, count, took = int(chunk["id"][-1]), count + chunk.height, took + seconds
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE bench_{table}")
        transaction.set_rollback(True)
    return count, took


def _prove_keys() -> None:
    """Check foreign keys of what was written: PostgreSQL waits with them for the end, SQLite does not."""
    from django.db import connection

    if connection.vendor != "sqlite":
        connection.check_constraints()


def _like(table: str) -> None:
    """An empty table bench_ of the same columns, indexes, checks and foreign keys."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor != "sqlite":
            cursor.execute(f"CREATE TABLE bench_{table} (LIKE {table} INCLUDING ALL)")
            cursor.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND conrelid = %s::regclass", [table]
            )
            for (key,) in cursor.fetchall():
                cursor.execute(f"ALTER TABLE bench_{table} ADD {key}")
            return
        cursor.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = %s AND type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC",
            [table],
        )
        for (sql,) in cursor.fetchall():
            kind, _, rest = sql.partition('"')
            cursor.execute(kind + '"bench_' + rest.replace(f'ON "{table}"', f'ON "bench_{table}"'))


def peak_gib() -> float:
    """The most memory that this process has held so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def seed_invoices(count: int, *, customers: int, open_share: float = 1.0) -> None:
    """Issued invoices with lines and ledger rows, written in bulk through the real action in chunks."""
    from datetime import date

    import polars as pl

    from topline.billing import actions as billing
    from topline.books.models import Entity
    from topline.market import actions as market
    from topline.receivables import actions as receivables
    from topline.team.queries import system_actor

    actor, entity = system_actor("bench"), Entity.objects.get()
    names = pl.DataFrame({"name": [f"Customer {n:06d}" for n in range(customers)], "currency": "EUR"})
    ids = market.add_customers(actor=actor, customers=names)["customer_id"]
    for start in range(0, count, 50_000):
        rows = pl.DataFrame({"n": pl.int_range(start, min(start + 50_000, count), eager=True)})
        items = rows.select(
            number=pl.format("B{}", pl.col("n")), customer_id=ids.gather(rows["n"] % customers), currency=pl.lit("EUR"),
            issued_on=pl.lit(date(2025, 1, 1)) + pl.duration(days=pl.col("n") % 365), due_on=pl.lit(date(2025, 1, 31)) + pl.duration(days=pl.col("n") % 365),
            total_minor=10_000 + pl.col("n") % 9_000,
        )  # fmt: skip
        made = billing.import_open_items(actor=actor, entity_id=entity.pk, items=items, against="revenue")
        paid = items.with_columns(made["invoice_id"]).filter((pl.col("total_minor") * 7919) % 1000 >= open_share * 1000)
        if paid.is_empty():
            continue
        payments = paid.select("customer_id", "currency", amount_minor="total_minor", received_on="due_on")
        taken = receivables.record_payments(actor=actor, entity_id=entity.pk, payments=payments)
        links = paid.select("invoice_id", amount_minor="total_minor", effective_on="due_on").with_columns(taken["payment_id"])
        receivables.apply_cash(actor=actor, links=links)


def seed_deals(count: int) -> None:
    """Deals of twenty sellers, two thirds of them open, each with its amount, written through the real action in chunks."""
    from datetime import date

    import polars as pl

    from topline.books.models import Entity
    from topline.market.models import Customer
    from topline.pipeline import actions as pipeline
    from topline.pipeline import people
    from topline.team.queries import system_actor

    actor, entity, day = system_actor("bench"), Entity.objects.get(), date(2025, 1, 6)
    sellers = people.add_reps(actor=actor, reps=pl.DataFrame({"name": [f"Seller {n:02d}" for n in range(20)]}))["rep_id"]
    buyers = pl.Series(list(Customer.objects.order_by("id").values_list("id", flat=True)))
    for start in range(0, count, 20_000):
        rows = pl.DataFrame({"n": pl.int_range(start, min(start + 20_000, count), eager=True)})
        n = pl.col("n")
        deals = rows.select(
            ref=n.cast(pl.String), name=pl.format("Deal {}", n), rep_id=sellers.gather(rows["n"] % 20), stage=(n % 3).replace_strict({0: "prospecting", 1: "proposal", 2: "qualified"}, return_dtype=pl.String),
            currency=pl.lit("EUR"), customer_id=buyers.gather(rows["n"] % buyers.len()), amount_minor=100_000 + (n * 7919) % 900_000, opened_on=pl.lit(day) + pl.duration(days=n % 300),
            close_on=pl.lit(date(2026, 1, 15)) + pl.duration(days=n % 200),
        )  # fmt: skip
        pipeline.add_opportunities(actor=actor, entity_id=entity.pk, opportunities=deals, known_on=date(2026, 1, 15))
