"""A book of receivables from CSV to posted ledger, beside the bare insert of the same rows into the same tables."""

from __future__ import annotations

import io
from datetime import date

import polars as pl

from bench.company import sized, timed

TABLES = (
    ("billing", "Invoice"), ("billing", "InvoiceLine"), ("receivables", "Payment"), ("receivables", "Allocation"), ("books", "Entry"), ("books", "Transfer"),
    ("timeline", "Milestone"),
)  # fmt: skip


def a_file(count: int) -> bytes:
    """Invoices, every one of them paid."""
    rows = pl.DataFrame({"n": pl.int_range(count, eager=True)}).select(
        number=pl.format("R{}", "n"), customer=pl.format("Customer {}", pl.col("n") % 2_000), issued=pl.lit(date(2025, 1, 1)) + pl.duration(days=pl.col("n") % 300),
        due=pl.lit(date(2025, 1, 31)) + pl.duration(days=pl.col("n") % 300), amount=pl.format("{}.{}", 10 + pl.col("n") % 900, (pl.col("n") % 90) + 10),
        paid=pl.lit(date(2025, 2, 5)) + pl.duration(days=pl.col("n") % 300),
    )  # fmt: skip
    buffer = io.BytesIO()
    rows.rename({"issued": "issued on", "due": "due on", "paid": "paid on"}).write_csv(buffer)
    return buffer.getvalue()


def run() -> list[tuple[str, str]]:
    from django.apps import apps
    from django.db import transaction

    from topline.books.models import Entity
    from topline.connect import actions
    from topline.kernel import bulk
    from topline.team.queries import system_actor

    count, actor = sized(100_000), system_actor("bench")
    content = a_file(count)

    def bring_in() -> None:
        batch = actions.check_file(
            actor=actor, entity_id=Entity.objects.get().pk, kind="receivables", content=content, file_name="bench.csv"
        )
        while actions.run_import(actor=actor, batch_id=batch):
            pass

    seconds, _ = timed(bring_in)
    frames = {}
    for label, name in TABLES:
        model = apps.get_model(label, name)
        frames[model] = bulk.read(model.objects.order_by("id").values(*[f.attname for f in model._meta.concrete_fields]))

    def insert_again() -> None:
        """The same rows under new ids and keys, then taken back."""
        with transaction.atomic():
            for model, frame in frames.items():
                shifted = [pl.col("id") + shift[model], *(pl.col(c) + shift[m] for c, m in owners.items() if c in frame.columns)]
                texts = [pl.format("x{}", name).alias(name) for name in ("key", "number") if name in frame.columns]
                bulk.insert(model, frame.with_columns(*shifted, *texts))
            transaction.set_rollback(True)

    shift = {model: int(frame["id"].max()) - int(frame["id"].min()) + 1 for model, frame in frames.items()}  # type: ignore[arg-type]
    owners = {
        f"{name.lower()}_id": apps.get_model(label, name) for label, name in TABLES if name in {"Invoice", "Payment", "Entry"}
    }
    bare, _ = timed(insert_again)
    rows = sum(frame.height for frame in frames.values())
    return [
        (f"{count:,} paid invoices from CSV to posted ledger", f"{seconds:.1f} s, {count / seconds:,.0f} invoices a second"),
        (f"bare bulk insert of the same {rows:,} rows", f"{bare:.1f} s"),
        ("share of the bare insert's speed", f"{100 * bare / seconds:.0f} %"),
    ]
