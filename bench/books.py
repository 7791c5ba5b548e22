"""Trial balance and ageing over a large book, beside a bare sum over the same rows."""

from __future__ import annotations

from datetime import date

from bench.company import seed_invoices, sized, timed


def run() -> list[tuple[str, str]]:
    from django.db import connection

    from topline.books import actions as books
    from topline.books import queries
    from topline.books.models import Entity
    from topline.receivables import figures
    from topline.team.queries import system_actor

    count = sized(1_000_000)
    seeding, _ = timed(lambda: seed_invoices(count, customers=sized(20_000), open_share=0.1))
    sealing, _ = timed(lambda: all(iter(lambda: books.seal(actor=system_actor("bench")), 0)))
    entity = Entity.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

        def bare(sql: str) -> float:
            return min(timed(lambda: (cursor.execute(sql), cursor.fetchall()))[0] for _ in range(3))

        ledger = bare("SELECT debit_account_id, sum(amount_minor) FROM books_transfer GROUP BY 1")
        invoices = bare("SELECT state, sum(total_minor - allocated_minor) FROM billing_invoice GROUP BY 1")
    table = min(timed(lambda: queries.trial_balance(entity_id=entity.pk, as_of=date(2025, 12, 31)))[0] for _ in range(3))
    aged = min(timed(lambda: figures.aged(entity_id=entity.pk, as_of=date(2026, 2, 1)))[0] for _ in range(3))
    return [
        (f"{count:,} invoices seeded through the actions, then sealed", f"{seeding:.0f} s and {sealing:.0f} s"),
        ("trial balance", f"{table:.3f} s, {table / ledger:.2f} x a bare sum over the transfers ({ledger:.3f} s)"),
        (
            "ageing, a tenth of them open",
            f"{aged:.3f} s, {aged / invoices:.2f} x a bare sum over the invoices ({invoices:.3f} s)",
        ),
    ]
