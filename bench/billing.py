"""The bill run over many subscriptions: invoices a second, drafted, finalised and posted, beside a bare bulk insert of the same rows into the same tables.

`python -m bench billing:10000,100000,1000000` names the sizes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import polars as pl

from bench.company import bare_insert, peak_gib, sized, timed

AS_OF = date(2026, 1, 1)


def seed(first: int, last: int) -> None:
    """One customer and contract of two items each, 20 % tax, due today for the first time."""
    from topline.billing import taxes
    from topline.books.models import Entity
    from topline.contracts.models import Contract, Item
    from topline.kernel import bulk, clock
    from topline.market import actions as market
    from topline.team.queries import system_actor

    actor, entity = system_actor("bench"), Entity.objects.get()
    Entity.objects.update(country="DE")
    if not taxes.TaxRate.objects.exists():
        taxes.add_tax_rate(actor=actor, country="DE", rate_ppm=200_000, valid_from=date(2020, 1, 1))
    for start in range(first, last, 50_000):
        n = pl.DataFrame({"n": pl.int_range(start, min(start + 50_000, last), eager=True)})
        names = n.select(name=pl.format("Subscriber {}", pl.col("n")), currency=pl.lit("EUR"))
        buyers = market.add_customers(actor=actor, customers=names)["customer_id"]
        rows = n.with_columns(customer_id=buyers)
        made = bulk.insert(
            Contract,
            rows.select(number=pl.format("B-{}", pl.col("n")), entity_id=pl.lit(entity.pk), customer_id="customer_id", bill_to_id="customer_id", currency=pl.lit("EUR"), terms=pl.lit("net 30"), starts_on=pl.lit(AS_OF), created_at=pl.lit(clock.now())),
        )  # fmt: skip
        base = rows.with_columns(contract_id=made["id"])
        for text, price in (("Seats", 1_900), ("Support", 4_500)):
            bulk.insert(
                Item,
                base.select("contract_id", description=pl.lit(text), quantity_micro=(pl.col("n") % 20 + 1) * 10**6, unit_price_nano=pl.lit(price * 10**9), starts_on=pl.lit(AS_OF), anchor=pl.lit(AS_OF), unit=pl.lit("month")),
            )  # fmt: skip


def run(sizes: Sequence[int] = ()) -> list[tuple[str, str]]:
    """Bills subscriptions up to each size in turn; the share of the bare insert is that of all of them."""
    from django.db import connection

    from topline.billing.models import Invoice, InvoiceLine
    from topline.books.models import Entity, Entry, Transfer
    from topline.contracts import runs
    from topline.contracts.models import Charge
    from topline.team.queries import system_actor
    from topline.timeline.models import Milestone

    actor, rows = system_actor("bench"), []
    done, spent, before = 0, 0.0, 0.0
    for size in sorted(sizes) or (sized(10_000), sized(100_000)):
        seed(done, size)
        entity, statements, billed = Entity.objects.get(), Statements(), size - done
        cpu = time.process_time()
        with statements.counted(connection):
            took, _ = timed(lambda: runs.run(actor=actor, entity_id=entity.pk, as_of=AS_OF))  # noqa: B023
        cpu = time.process_time() - cpu
        again, _ = timed(lambda: runs.run(actor=actor, entity_id=entity.pk, as_of=AS_OF))  # noqa: B023
        rows += [
            (f"{billed:,} subscriptions of two lines: drafted, issued, posted", f"{took:.1f} s, {billed / took:,.0f} invoices a second, {1e6 * cpu / billed:.0f} us of CPU an invoice"),
            ("statements", f"{statements.count:,}, {1_000 * statements.count / billed:.1f} per 1,000 invoices"),
            ("the same run again, which does nothing", f"{again:.1f} s"),
            ("peak memory of this process so far", f"{peak_gib():.2f} GiB"),
        ]  # fmt: skip
        if before:
            rows.append(("growth of the time an invoice", f"{(took / billed) / before:.2f} x"))
        before, done, spent = took / billed, size, spent + took
    if Invoice.objects.filter(state="open", tax_minor__gt=0).count() != done:
        raise RuntimeError("Not every subscription was billed.")
    written, bare = bare_insert(Invoice, InvoiceLine, Charge, Entry, Transfer, Milestone)
    rows.append((f"bare insert of the same {written:,} rows", f"{bare:.1f} s; the runs reach {bare / spent:.0%} of it"))
    return rows


class Statements:
    """How many statements were sent: those of Django's cursors, and the bulk ones beside them."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self, connection: Any) -> Iterator[None]:
        """Count while the block runs."""
        from topline.kernel import bulk

        def one(execute: Any, *args: Any) -> Any:
            self.count += 1
            return execute(*args)

        def beside(function: Any) -> Any:
            def call(*args: Any, **named: Any) -> Any:
                self.count += 1
                return function(*args, **named)

            return call

        names = ("_insert_chunk", "query") if connection.vendor == "postgresql" else ("_raw_sqlite",)  # what no wrapper sees
        kept = {name: getattr(bulk, name) for name in names}
        try:
            for name, function in kept.items():
                setattr(bulk, name, beside(function))
            with connection.execute_wrapper(one):
                yield
        finally:
            for name, function in kept.items():
                setattr(bulk, name, function)
