"""File B through periods, proration and rating: alignment, stubs, repairs, account credit, tiers by block, capacity."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from tests.oracles.published import publish
from topline.engine import periods, rating
from topline.engine.periods import Grid
from topline.engine.rating import proration

D = Decimal
Inputs = dict[str, Any]
UNITS = {"1": "month", "12": "year"}
CARD = {"one": 1, "two": 2}


def day(text: str) -> date:
    return date.fromisoformat(text)


def cents(text: str) -> int:
    return int(D(text) * 100)


def euros(minor: int) -> Decimal:
    return D(minor) / 100


def interval(text: str) -> tuple[str, int]:
    count, _, unit = text.rpartition(" ")
    return unit.rstrip("s"), CARD.get(count) or int(count or 1)


def due(
    start: date, as_of: date, *, unit: str = "month", every: int = 1, billing_day: str | None = None, end: date | None = None, in_advance: bool = True
) -> pl.DataFrame:  # fmt: skip
    anchor = periods.billing_day_anchor(start, int(billing_day)) if billing_day else start
    grid = Grid(anchor, unit, every, int(billing_day) if billing_day else None)  # type: ignore[arg-type]
    item = pl.DataFrame({"item_id": [1], "start": [start], "end": pl.Series([end], dtype=pl.Date), "in_advance": [in_advance]})
    return periods.due_periods(periods.add_items(item, grid=grid), as_of=as_of)


def spans(rows: pl.DataFrame) -> list[list[str]]:
    return [[str(s), str(e)] for s, e in rows.select("start", "end").iter_rows()]


def amounts(rows: pl.DataFrame, price: str) -> list[Decimal]:
    priced = proration.prorate(rows.with_columns(price_minor=pl.lit(cents(price), dtype=pl.Int64)))
    return [euros(a) for a in priced["amount_minor"]]


def cycles(i: Inputs) -> Inputs:
    rows = due(
        day(i["start"]), day(i["target"]), unit=UNITS[i.get("interval_months", "1")], billing_day=i["billing_day"],
        end=day(i["end_exclusive"]) if i["end_exclusive"] else None,
    )  # fmt: skip
    return {"cycles": share(rows).round(int(i["fraction_decimals"])).sum()}  # the source rounds each part


def share(rows: pl.DataFrame, month_days: int | None = None) -> pl.Series:
    """Parts of a period as exact numbers: the price of a period that costs one."""
    return proration.prorate(rows.with_columns(price_minor=pl.lit(1, dtype=pl.Int64)), month_days=month_days)["exact"]


def fixed_month(i: Inputs) -> Inputs:
    days = proration.days_between(pl.lit(day(i["start"])), pl.lit(day(i["end_exclusive"])), month_days=int(i["month_length"]))
    return {"days": pl.select(days).item()}


def leading(i: Inputs) -> Inputs:
    start, until = day(i["start"]), day(i["next_cycle_day"])
    rows = due(start, start, billing_day=str(until.day))
    assert rows["end"][0] == until
    return {"fraction_fixed_30": share(rows, 30)[0], "fraction_calendar": share(rows)[0]}


def fixed_amount(i: Inputs) -> Inputs:
    start, end = day(i["start"]), day(i["end_exclusive"])
    rows = due(start, start, billing_day=str(end.day)).with_columns(price_minor=pl.lit(cents(i["price"]), dtype=pl.Int64))
    return {"amount": euros(proration.prorate(rows, month_days=int(i["month_length"]))["amount_minor"][0])}


def next_date(i: Inputs) -> Inputs:
    unit, every = interval(i["interval"])
    if unit != "month":
        on = pl.DataFrame({"on": [day(i["from_date"])]})
        found = periods.periods_holding(periods.add_items(on, grid=Grid(day(i["series_start"]), unit, every)), on="on")  # type: ignore[arg-type]
        return {"next_billing_date": str(found["full_end"][0])}
    return {"next_billing_date": str(periods.billing_day_anchor(day(i["from_date"]), int(i["billing_day"])))}


def local_day(i: Inputs) -> Inputs:
    at = pl.DataFrame({"at": [datetime.fromisoformat(i["started_utc"])], "zone": [i["account_timezone"]]})
    return {"billing_day": periods.local_days(at, at="at", timezone="zone")[0].day}


def arrears(i: Inputs) -> Inputs:
    return {"periods": spans(due(day(i["start"]), day(i["target"]), billing_day=i["billing_day"], in_advance=False))}


# Repairs


def lines(rows: list[Inputs]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": 1, "start": [day(r["start"]) for r in rows], "end": [day(r["end"]) for r in rows], "price": [cents(r["amount"]) for r in rows],
        }
    )  # fmt: skip


def stretches(rows: list[list[str]]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": 1, "start": [day(a) for a, _ in rows], "end": [day(b) for _, b in rows]})


def parts(items: pl.DataFrame, removed: pl.DataFrame) -> list[Decimal]:
    left = proration.remaining(items, removed)
    rows = left.rename({"period_start": "full_start", "period_end": "full_end", "price": "price_minor"})
    return [euros(a) for a in proration.prorate(rows)["amount_minor"]]


def repair(i: Inputs) -> Inputs:
    if "billed" in i and "proposed" not in i:
        proration.ensure_billed_once(lines(i["billed"]))
        return {}
    if "proposed" in i:
        return {"charges": parts(lines(i["proposed"]), lines([i["billed"]]))}
    items = lines(i.get("items") or [i["item"]])
    if "removed" in i:
        removed = stretches([i["removed"]]).with_columns(price=items["price"], full_start=items["start"], full_end=items["end"])
        return {"repair": -euros(proration.prorate(removed.rename({"price": "price_minor"}))["amount_minor"][0])}
    on = i.get("replaced_from") or i.get("changed_on")
    cut = i.get("pauses") or ([i["pause"]] if "pause" in i else [[on, str(items["end"].max())]])
    kept = parts(items, stretches(cut))
    return {
        "kept": kept if isinstance(i.get("pauses") or i.get("pause"), list) else kept[0],
        "new_item": D(i.get("new_item_amount", 0)),
    }


def repair_credit(i: Inputs) -> Inputs:
    item = i["item"]
    price, start, end = cents(item["amount"]), day(item["start"]), day(item["end"])
    on = day(i.get("changed_on") or i["cancelled_on"])
    row = {"price_minor": price, "tax_rate_ppm": 0, "start": start, "end": end, "ended_on": on}
    left = price - cents(i.get("goodwill_adjustment", "0"))
    whole, capped = (
        proration.unused_credit(pl.DataFrame([row | {"left_minor": limit}])).row(0, named=True) for limit in (price, left)
    )
    change = {
        "paid_minor": price,
        "paid_from": start,
        "full_start": start,
        "full_end": end,
        "changed_on": on,
        "mode": "invoice_now",
    }
    new = cents(i.get("new_monthly_price", "0"))
    charge = proration.change(pl.DataFrame([change | {"old_price_minor": price, "new_price_minor": new}]))["charge_minor"][0]
    return {
        "uncapped_repair": euros(whole["credit_minor"]), "repair": euros(capped["credit_minor"]), "earned": euros(capped["earned_minor"]),
        "new_charge": euros(charge), "account_credit": euros(capped["credit_minor"] - charge),
    }  # fmt: skip


# Whole invoices


def generation(i: Inputs) -> Inputs:
    unit, every = interval(i.get("interval", "month"))
    start, target = day(i["start"]), day(i["target"])
    if "prices" not in i:
        rows = due(start, target, unit=unit, every=every, billing_day=i.get("billing_day"))
        found = amounts(rows, i["price"])
    else:
        on = day(i["changed_on"])
        old, rows = due(start, target, billing_day=i["billing_day"], end=on), due(on, target, billing_day=i["new_billing_day"])
        found = amounts(old, i["prices"][0]) + amounts(rows, i["prices"][1])
    return {"lines": len(found), "total": sum(found), "periods": spans(rows)}


def timeline(i: Inputs) -> Inputs:
    """Each phase is billed ahead in whole periods; where it ends inside one, the unused part comes back on that day."""
    by_day: dict[date, Decimal] = defaultdict(Decimal)
    for subscription in i["subscriptions"]:
        phases = subscription["phases"]
        ends = [day(p["start"]) for p in phases[1:]] + [day(subscription["cancelled"]) if "cancelled" in subscription else None]
        for phase, end in zip(phases, ends, strict=True):
            unit, price = ("year", phase["annual"]) if "annual" in phase else ("month", phase["monthly"])
            last = end - timedelta(days=1) if end else date(2011, 10, 10)
            rows = due(day(phase["start"]), last, unit=unit, billing_day=phase.get("billing_day") or subscription["billing_day"])
            for on, amount in zip(rows["start"], amounts(rows, price), strict=True):
                by_day[on] += amount
            if end and rows["end"][-1] > end:
                unused = rows.tail(1).with_columns(start=pl.lit(end))
                by_day[end] -= amounts(unused, price)[0]
    return {"invoices": [[str(on), amount] for on, amount in sorted(by_day.items())]}


# Usage by blocks and capacity


def block_tiers(rows: list[Inputs], price_id: int = 1) -> pl.DataFrame:
    lower, table = D(0), []
    for row in rows:
        size = D(row["block_size"])
        upper = lower + size * D(row["max_blocks"]) if row["max_blocks"] else None
        table.append(
            {
                "price_id": price_id, "lower": lower, "upper": upper, "unit_price": D(row["price_per_block"]), "flat_fee": D(0),
                "block_size": size,
            }
        )  # fmt: skip
        lower = upper or lower
    return pl.DataFrame(table, schema_overrides={"upper": pl.Decimal(38, 15)})


def by_blocks(i: Inputs) -> Inputs:
    kinds = (
        i["units"] if isinstance(i.get("units"), dict) else {"units": i.get("units") or sum(D(r["units"]) for r in i["records"])}
    )
    tables = i["tiers"] if isinstance(i["tiers"], dict) else {"units": i["tiers"]}
    model = {"all tiers": "graduated", "top tier": "volume"}[i["policy"]]
    charges = pl.DataFrame(
        {"charge_id": range(len(kinds)), "price_id": range(len(kinds)), "quantity": [D(v) for v in kinds.values()]}
    )
    found = rating.rate(
        charges,
        prices=pl.DataFrame({"price_id": range(len(kinds)), "model": model}),
        tiers=pl.concat([block_tiers(tables[k], n) for n, k in enumerate(kinds)]),
    )
    total = sum(found.lines["exact"])
    return {
        "per_tier": found.rows["exact"].to_list(),
        "total": total,
        "rated": total,
        "invoice": total - D(i.get("already_invoiced", 0)),
    }


def capacity(i: Inputs) -> Inputs:
    limits = [
        {"price_id": 1, "step": n, "unit": unit, "limit": D(limit)}
        for n, tier in enumerate(i["tiers"])
        for unit, limit in (tier["limits"] or {}).items()
    ]
    peaks = [{"charge_id": 1, "price_id": 1, "unit": unit, "peak": D(peak)} for unit, peak in i["peak_units"].items()]
    prices = pl.DataFrame(
        {"price_id": 1, "step": range(len(i["tiers"])), "amount_minor": [cents(t["price"]) for t in i["tiers"]]}
    )
    found = rating.rate_capacity(pl.DataFrame(peaks), limits=pl.DataFrame(limits), prices=prices)
    return {"total": euros(found["amount_minor"][0])}


def validation(i: Inputs) -> Inputs:
    assert re.fullmatch(r"\d+", i["billing_day"])
    due(day(i["start"]), day(i["target"]), billing_day=i["billing_day"], end=day(i["end_exclusive"]))
    return {}


AREAS = {
    "alignment.cycles": cycles, "alignment.validation": validation, "daycount.fixed_month": fixed_month, "proration.leading": leading,
    "proration.fixed_month": fixed_amount, "alignment.next_date": next_date, "alignment.timezone": local_day, "alignment.arrears": arrears,
    "repair": repair, "repair.credit": repair_credit, "generation": generation, "generation.timeline": timeline, "usage.all_tiers": by_blocks,
    "usage.top_tier": by_blocks, "usage.catch_up": by_blocks, "usage.capacity": capacity,
}  # fmt: skip

test_a_published_case_comes_out_as_published, test_the_count_is_told = publish("B", AREAS)
