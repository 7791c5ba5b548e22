"""An invoice that names the wrong order or terms is billed again: a credit note takes all of it back, and a new document says the same with what was wrong mended."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from topline.billing import actions as billing
from topline.billing import queries as documents
from topline.billing.models import Invoice
from topline.contracts import usage
from topline.contracts.models import Charge
from topline.engine import charges as engine
from topline.kernel import bulk
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, ensure
from topline.receivables import actions as receivables


class NotBilledAgain(Conflict):
    """The document is not one that can be taken back as a whole."""

    code = "not_billed_again"


@action("contracts.bill_again")
def bill_again(*, actor: Actor, invoice_id: int, on: date, because: str, terms: str = "", purchase_order: str = "") -> int:
    """Take an open invoice back by a credit note and issue it anew, to the cent, with other terms or another order; returns the new invoice's id.

    The periods that it billed stand on the new document, so no run bills them once more. Name and address are the customer's of today.
    because  stands on the credit note
    Raises: NotFound, NotBilledAgain (not open, settled or credited in part, sells credits), Invalid (no reason, terms), books.PeriodLocked.
    """
    ensure(
        bool(because.strip()),
        Invalid("Say why it is billed again.", field="because", remedy="Such as: the order number was missing."),
    )
    invoice = documents.for_update([invoice_id]).row(0, named=True)
    is_whole = (
        invoice["state"] == Invoice.State.OPEN
        and not invoice["allocated_minor"]
        and documents.touched_lines([invoice_id]).is_empty()
    )
    fits = is_whole and invoice["kind"] == Invoice.Kind.INVOICE and not invoice["is_prepayment"]
    ensure(fits, NotBilledAgain(f"{invoice['number'] or 'A draft'} cannot be taken back as a whole.", field="invoice_id", remedy="Take off what was applied to it first; of what was credited before, credit the rest."))  # fmt: skip
    note_id = billing.credit(actor=actor, invoice=invoice, issue_on=on, reason=because.strip())
    receivables.settle_corrections(actor=actor, credit_note_ids=[note_id], on=on)
    made = billing.issue_like(
        actor=actor, invoice_id=invoice_id, issue_on=on, terms=terms.strip(), purchase_order=purchase_order.strip()
    )
    _move_charges(invoice, note_id, made)
    changed("invoice", invoice_id, after={"credit_note": note_id, "billed_again": made, "because": because.strip()})
    return made


def _move_charges(invoice: dict[str, Any], note_id: int, made: int) -> None:
    """What the invoice billed of contracts is taken back where its credit note does, and stands on the new document. Four statements."""
    columns = ["item_id", "full_start", "full_end", "sequence", "start", "end", "days", "full_days", "net_minor", "position", "quantity_micro", "explained", "run_id"]  # fmt: skip
    here = bulk.read(Charge.objects.filter(invoice_id=invoice["id"]).order_by("id").values(*columns))
    if here.is_empty():
        return
    known = bulk.read(Charge.objects.filter(item_id__in=here["item_id"].unique().to_list()).values("item_id", "full_start", "sequence"))  # fmt: skip
    last = known.group_by(engine.KEY).agg(_last=pl.col("sequence").max())
    rows = here.join(last, on=engine.KEY, maintain_order="left").with_columns(_n=pl.int_range(pl.len()).over(engine.KEY) + 1, _count=pl.len().cast(pl.Int64).over(engine.KEY))  # fmt: skip
    back = rows.with_columns(
        net_minor=-pl.col("net_minor"), sequence=pl.col("_last") + pl.col("_n"), invoice_id=pl.lit(note_id), quantity_micro=pl.lit(None, dtype=pl.Int64), days=pl.lit(0), full_days=pl.lit(0),
        explained=pl.concat_str(pl.lit("["), pl.struct(back=pl.lit(invoice["number"]), line="position").struct.json_encode(), pl.lit("]")),
    )  # fmt: skip
    again = rows.with_columns(
        sequence=pl.col("_last") + pl.col("_count") + pl.col("_n"), invoice_id=pl.lit(made), explained=usage.with_step(pl.lit('{"anew":true}'))
    )  # fmt: skip
    for part in (back, again):
        bulk.insert(Charge, part.drop("_last", "_n", "_count"))
