"""Documents: PDF/A-3 with Factur-X a second, beside the same page without it, and the two XMLs by themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl

from bench.company import sized

MADE = 200


def run() -> list[tuple[str, str]]:
    import typst

    from topline.bank import actions as bank
    from topline.billing import actions as billing
    from topline.billing import documents, queries
    from topline.billing.einvoice import files
    from topline.books import actions as books
    from topline.books.models import Entity
    from topline.market import actions as market
    from topline.team.queries import system_actor

    actor, entity = system_actor("bench"), Entity.objects.get()
    facts = {
        "country": "DE",
        "tax_id": "DE136695976",
        "line1": "Street 1",
        "postal_code": "10115",
        "city": "Berlin",
        "email": "a@b.example",
    }
    books.describe_entity(actor=actor, entity_id=entity.pk, changes=facts)
    bank.add_account(
        actor=actor, entity_id=entity.pk, name="Giro", currency="EUR", number="DE02120300000000202051", bic="BYLADEM1001"
    )
    buyer = market.add_customers(actor=actor, customers=pl.DataFrame({"name": ["Buyer"], "currency": ["EUR"], "country": ["DE"]}))
    head = pl.DataFrame({"ref": ["1"], "customer_id": buyer["customer_id"], "currency": ["EUR"], "terms": ["net 30"]})
    lines = pl.DataFrame(
        {
            "ref": ["1"] * 10,
            "position": range(1, 11),
            "description": "A service",
            "quantity_micro": 2_500_000,
            "unit_price_nano": 1_999 * 10**9,
            "tax_rate_ppm": 190_000,
        }
    )
    made = billing.draft_invoices(actor=actor, entity_id=entity.pk, invoices=head, lines=lines)["invoice_id"].to_list()
    billing.issue_invoices(actor=actor, invoice_ids=made, issue_on=date(2026, 1, 2))
    detail = queries.invoice_detail(made[0])
    found = documents.document(detail)
    page = json.dumps({**documents._printed(found), "inside": ""})
    count = max(10, sized(MADE))

    def rate(work: Callable[[], Any]) -> float:
        work()
        start = time.perf_counter()
        for _ in range(count):
            work()
        return count / (time.perf_counter() - start)

    whole = rate(lambda: documents.invoice_pdf(detail))
    bare = rate(lambda: typst.compile(str(documents.TEMPLATE), sys_inputs={"data": page}, pdf_standards=["a-3b"]))
    return [
        ("PDF/A-3 with Factur-X inside, ten lines, one thread", f"{whole:,.0f} a second"),
        ("the same page by Typst alone", f"{bare:,.0f} a second; the whole document {whole / bare:.0%} of that"),
        ("CII", f"{rate(lambda: files.as_cii(found.said)):,.0f} a second"),
        ("UBL", f"{rate(lambda: files.as_ubl(found.said)):,.0f} a second"),
        ("written as CII and read back", f"{rate(lambda: files.read(files.as_cii(found.said))):,.0f} a second"),
    ]
