"""Recurring revenue of contracts: what they bring in a month, what moved it, what is kept of it, and what is agreed for the months ahead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl
from django.db.models import F

from topline.contracts import queries
from topline.contracts.models import Contract, Item, SchedulePart
from topline.engine import charges as engine
from topline.engine import recurring_revenue as mrr

BACK, AHEAD, SHOWN = 24, 12, 13
COLUMNS = ["item_id", "contract_id", "product_id", "customer_id", "currency", "start", "end", "contract_end", "renews_months", "unit", "every", "exact"]  # fmt: skip


@dataclass(frozen=True)
class Recurring:
    """Recurring revenue as of a day.

    bridge  one row per currency and month: see `engine.recurring_revenue.bridge`, with gross and net retention over twelve months (null: nobody paid then)
    moves   one row per customer who moved in a month
    ahead   one row per currency and coming month: agreed_minor (as signed), renewing_minor (if what renews by itself does)
    """

    bridge: pl.DataFrame
    moves: pl.DataFrame
    ahead: pl.DataFrame


def recurring(*, entity_id: int, as_of: date) -> Recurring:
    """MRR of the thirteen months up to a day and the twelve after it, per currency. Work: two statements, O(items x months)."""
    items, lasting = _items(entity_id), _lasting(entity_id)
    days = mrr.month_ends(as_of, back=BACK)
    stood = mrr.standing(items, days, discounts=lasting)
    moves = mrr.movements(stood, items, days)
    kept = mrr.retention(stood, days)
    shown = mrr.bridge(moves).filter(pl.col("day") >= days[-SHOWN]).join(kept, on=["currency", "day"], how="left")
    moved = moves.filter(pl.col("kind").is_not_null() & (pl.col("day") >= days[-SHOWN]))
    return Recurring(shown.sort("currency", "day"), moved, _ahead(items, lasting, as_of))


# --- parts ---
def _items(entity_id: int) -> pl.DataFrame:
    """Items that are paid for by periods, whether used or not, with what a whole period costs, from the first day on that costs something. One statement."""
    agreed = Item.objects.filter(contract__entity_id=entity_id, meter__isnull=True).exclude(unit="day")
    agreed = agreed.exclude(pk__in=SchedulePart.objects.values("item_id")).exclude(starts_on=F("ends_on"))
    rows = queries.priced_fees(agreed.order_by("id")).with_columns(exact=engine.exact_price())
    paid = pl.col("exact").is_not_null() & (pl.col("end").is_null() | (pl.col("end") > pl.col("start")))
    return rows.filter(paid).select(COLUMNS)


def _lasting(entity_id: int) -> pl.DataFrame:
    """Discounts that last as long as the contract, or until somebody ends them: what is taken off for so many periods is no lower price. One statement."""
    return queries.lasting(Contract.objects.filter(entity_id=entity_id))


def _ahead(items: pl.DataFrame, lasting: pl.DataFrame, as_of: date) -> pl.DataFrame:
    days = mrr.month_ends(as_of, back=0, ahead=AHEAD)
    goes_on = (pl.col("renews_months") > 0) & (pl.col("end") == pl.col("contract_end")) & (pl.col("end") > as_of)
    renewed = items.with_columns(end=pl.when(goes_on).then(None).otherwise("end"))
    sums = [
        mrr.standing(rows, days, discounts=lasting).group_by("currency", "day").agg(pl.col("mrr_minor").sum().alias(name))
        for rows, name in ((items, "agreed_minor"), (renewed, "renewing_minor"))
    ]
    return (
        sums[1]
        .join(sums[0], on=["currency", "day"], how="left")
        .with_columns(pl.col("agreed_minor").fill_null(0))
        .sort("currency", "day")
    )
