"""What contracts will be billed for: the bills to come, for the cash forecast."""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.billing import taxes
from topline.books.models import Entity
from topline.contracts import bills, drawing, schedules
from topline.contracts.models import Contract, Parked
from topline.engine import charges as engine
from topline.engine import terms
from topline.engine.documents import with_tax

COMING = {"customer_id": pl.Int64, "currency": pl.String, "bill_on": pl.Date, "due_on": pl.Date, "amount_minor": pl.Int64}


def coming(*, entity: Entity, as_of: date, until: date) -> pl.DataFrame:
    """What contracts will be billed for by a day beyond what was billed by `as_of`, tax included, by payer and the days on which it is billed and due.

    Fees are foreseen as they are agreed, parts of a schedule on their days, open milestones on the day on which they are expected; what will be used, milestones without such a day or past it, and contracts that may renew, are not. What is overdue for a bill is billed tomorrow; what is parked
    is left out, and so is what prepaid credits will pay. returns  one row per payer, currency, day billed and day due (COMING). Work: six statements, five more where somebody has credits, and one pass over the periods.
    """
    stuck = Parked.objects.filter(cleared_at__isnull=True).values("contract_id")
    contracts = Contract.objects.filter(entity=entity).exclude(pk__in=stuck)
    known, _ = bills.priced(bills.items_of(contracts).filter(pl.col("meter_id").is_null()))
    if known.is_empty():
        return pl.DataFrame(schema=COMING)
    scheduled = schedules.parts_of(contracts)
    likely = pl.when(pl.col("expected_on") > as_of).then("expected_on")
    scheduled = scheduled.with_columns(bill_on=pl.coalesce("bill_on", likely))
    agreed, _ = bills.soundly(known, lambda items: bills.fees_of(items, scheduled, as_of=until))
    wanted = bills.less_discounts(agreed, known, contracts)
    standing = bills.standing_of(contracts, on=as_of, since=as_of).filter(pl.col("item_id").is_in(known["item_id"].implode()))
    lines = engine.missing(wanted, standing).join(
        known.drop("start", "end", "tiers"), on="item_id", how="left", maintain_order="left"
    )
    taxed = taxes.taxed(lines, seller=entity.country, on=as_of)
    document = ("customer_id", "currency", "terms", "bill_on")
    bill_on = pl.max_horizontal(engine.DUE, "held_until", pl.lit(as_of) + pl.duration(days=1))
    rows = with_tax(taxed.with_columns(bill_on=bill_on), tax_rounding=entity.tax_rounding, document=document)
    rows = rows.filter(pl.col("bill_on") <= until).sort("bill_on").with_columns(on="bill_on")
    paid = drawing.coming(rows, entity=entity, as_of=as_of, document=document)
    billed = (
        rows.group_by(document)
        .agg(amount_minor=pl.col("net_minor").sum() + pl.col("tax_minor").sum())
        .join(paid, on=document, how="left")
        .with_columns(amount_minor=pl.col("amount_minor") - pl.col("drawn_minor").fill_null(0))
        .drop("drawn_minor")
        .filter(pl.col("amount_minor") > 0)
    )
    parts = [pl.DataFrame(schema=COMING)]
    for (said,), some in billed.group_by("terms", maintain_order=True):
        numbered = some.with_row_index("id").with_columns(pl.col("id").cast(pl.Int64))
        asked = numbered.select("id", total_minor="amount_minor", issued_on="bill_on")
        owed = terms.schedule(asked, terms.parse_terms(str(said or "net 30"))).select("id", "due_on", "amount_minor")
        parts.append(owed.join(numbered.drop("amount_minor"), on="id", how="left").select(*COMING))
    return pl.concat(parts).sort("bill_on", "customer_id", "currency", "due_on")
