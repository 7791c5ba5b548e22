"""Open periods of use: what was used so far and what it costs, and whom to tell when it reaches an amount."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, cast

import polars as pl

from topline.books.models import Entity
from topline.contracts import bills, schedules, usage
from topline.contracts.models import NOTICE, Contract, Item, UsageAlert
from topline.engine import charges as engine
from topline.kernel import outbox
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.money import format_amount
from topline.team import actions as team
from topline.team.models import Area
from topline.timeline import actions as timeline


def running(contracts: Any, *, entity: Entity, on: date) -> pl.DataFrame:
    """What was used in the periods that run on a day, up to its end, and what that costs so far, less discounts: a bill for the whole period may be another.

    returns  one row per metered item: contract_id, contract, user_id, description, currency, start, full_start, full_end, used_micro, meter_unit, net_minor, explained
    Work: four statements, one for each meter, and one more where there are discounts.
    """
    priced, _ = bills.priced(bills.items_of(contracts))
    known = priced.filter(pl.col("meter_id").is_not_null() & (pl.col("start") <= on))
    after = on + timedelta(days=1)
    cut = known.with_columns(end=pl.min_horizontal("end", pl.lit(after)).fill_null(after))
    told, _ = bills.soundly(cut, lambda items: usage.used(items, entity=entity, as_of=after))
    told = _less_discounts(told, priced, contracts)
    here = told.filter((pl.col("end") == after) & (pl.col("full_end") >= after)).select(
        "item_id", "start", "full_start", "full_end", "used_micro", "net_minor", "explained"
    )
    columns = ["item_id", "contract_id", "contract", "user_id", "customer_id", "description", "currency", "meter_unit"]
    return here.join(known.select(columns), on="item_id", how="left", maintain_order="left").sort("contract_id", "item_id")


def _less_discounts(used: pl.DataFrame, items: pl.DataFrame, contracts: Any) -> pl.DataFrame:
    """Charges of use less the discounts of their contracts, beside the fees that share them."""
    discounts = bills.discounts_of(contracts)
    if discounts.is_empty() or used.is_empty():
        return used
    theirs = pl.col("contract_id").is_in(discounts["contract_id"].unique().implode())
    fees, parts = items.filter(theirs & pl.col("meter_id").is_null()), schedules.parts_of(contracts)
    until = cast(date, used["full_end"].max())
    agreed, _ = bills.soundly(fees, lambda rows: bills.fees_of(rows, parts, as_of=until))
    wanted = pl.concat([agreed, used.select(agreed.columns)])
    return bills.less_discounts(wanted, items, contracts).join(
        used.select(engine.KEY), on=engine.KEY, how="semi", maintain_order="left"
    )


@action("contracts.tell_alerts")
def tell_alerts(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Tell customer and team where use reached an amount that was asked for, once a period; returns how many. A period whose last day was the one before is asked too.

    Where nothing was used, a fee alone reaches nothing. Work: ten statements, one for each meter, and a few for each that is told.
    """
    entity = Entity.objects.get(pk=entity_id)
    asked = dict(
        Item.objects.filter(contract__entity=entity).exclude(alerts_minor=[]).values_list("id", "alerts_minor")[:100_000]
    )
    if not asked:
        return 0
    watched = Contract.objects.filter(pk__in=Item.objects.filter(pk__in=list(asked)).values("contract_id"))
    over = running(watched, entity=entity, on=as_of - timedelta(days=1)).filter(pl.col("full_end") == as_of)
    found = pl.concat([over, running(watched, entity=entity, on=as_of)]).filter(
        pl.col("item_id").is_in(list(asked)) & (pl.col("used_micro") > 0)
    )
    known = UsageAlert.objects.filter(item_id__in=found["item_id"].to_list()).values_list(
        "item_id", "full_start", "threshold_minor"
    )
    told, count = set(known), 0
    for row in found.iter_rows(named=True):
        reached = [
            t for t in asked[row["item_id"]] if t <= row["net_minor"] and (row["item_id"], row["full_start"], t) not in told
        ]
        for threshold in reached:
            facts = {"item_id": row["item_id"], "full_start": row["full_start"], "threshold_minor": threshold}
            made = UsageAlert.objects.create(**facts, net_minor=row["net_minor"], told_on=as_of)
            changed("usage_alert", made.pk, after={"item_id": row["item_id"], "threshold_minor": threshold})
        if reached:
            _tell_reached(actor, entity, row, max(reached), as_of)
        count += len(reached)
    return count


def _tell_reached(actor: Actor, entity: Entity, row: dict[str, Any], threshold: int, as_of: date) -> None:
    note = f"{row['description']}: {format_amount(threshold, row['currency'])} reached"
    timeline.record_one(
        "usage_reached", subject="contract", subject_id=row["contract_id"], actor=actor, on=as_of, customer_id=row["user_id"], amount_minor=row["net_minor"], currency=row["currency"], note=note
    )  # fmt: skip
    key = f"usage-reached:{row['item_id']}:{row['full_start']}:{threshold}"
    said = {
        "about": "usage_reached", "entity_id": entity.pk, "customer_id": row["user_id"], "currency": row["currency"], "what": row["description"], "contract": row["contract"], "threshold": threshold, "amount": row["net_minor"],
        "since": row["full_start"].isoformat(),
    }  # fmt: skip
    outbox.enqueue(NOTICE, {"key": key, **said}, key=key)
    owner = Area.objects.filter(key="billing").values_list("owner_id", flat=True).first()
    if owner is not None:
        team.add_task(
            actor=actor,
            title=f"{row['contract']}, {note}",
            assignee_id=owner,
            due_on=as_of,
            about_kind="customer",
            about_id=row["user_id"],
        )
