"""The bill run over many subscriptions: invoices a second, drafted, finalised and posted, beside a bare bulk insert of the same rows into the same tables."""

from __future__ import annotations

import resource
import time
from datetime import date
from typing import Any

import polars as pl

from bench.company import bare_insert, rows_of, sized, timed

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


def rows_of_the_run() -> list[tuple[Any, pl.DataFrame]]:
    """What the run wrote, table by table, to be written once more without it."""
    from topline.billing.models import Invoice, InvoiceLine
    from topline.books.models import Entry, Transfer
    from topline.contracts.models import Charge
    from topline.timeline.models import Milestone

    return [rows_of(model) for model in (Invoice, InvoiceLine, Charge, Entry, Transfer, Milestone)]


def run() -> list[tuple[str, str]]:
    from topline.billing.models import Invoice
    from topline.books.models import Entity
    from topline.contracts import runs
    from topline.team.queries import system_actor

    rows, done, before = [], 0, 0.0
    for size in (sized(10_000), sized(100_000)):
        seed(done, size)
        entity = Entity.objects.get()
        cpu = time.process_time()
        took, _ = timed(lambda: runs.run(actor=system_actor("bench"), entity_id=entity.pk, as_of=AS_OF))  # noqa: B023
        cpu = time.process_time() - cpu
        billed = size - done
        again, _ = timed(lambda: runs.run(actor=system_actor("bench"), entity_id=entity.pk, as_of=AS_OF))  # noqa: B023
        rows.append(
            (
                f"{billed:,} subscriptions of two lines: drafted, issued, posted",
                f"{took:.1f} s, {billed / took:,.0f} invoices a second, {1e6 * cpu / billed:.0f} us of CPU an invoice",
            )
        )
        rows.append(("the same run again, which does nothing", f"{again:.1f} s"))
        if before:
            rows.append(("growth of the time an invoice", f"{(took / billed) / before:.2f} x"))
        before, done = took / billed, size
    if Invoice.objects.filter(state="open").count() != done:
        raise RuntimeError("Not every subscription was billed.")
    tables = rows_of_the_run()
    bare = bare_insert(tables)
    count = done
    share = bare / count / before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return [
        *rows,
        (
            f"bare insert of the same {sum(f.height for _, f in tables):,} rows",
            f"{bare:.1f} s; the run reaches {100 * share:.0f} % of it",
        ),
        ("peak memory of this process", f"{peak:.1f} GiB"),
    ]
