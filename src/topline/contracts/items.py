"""Items of contracts: made, made again from a day on, ended. None is ever edited beyond its end."""

from __future__ import annotations

import json
from datetime import date
from typing import Any, get_args

import polars as pl

from topline.catalog.models import Product
from topline.contracts import pricing, usage
from topline.contracts.models import Contract, Item
from topline.engine import charges as engine
from topline.engine import periods
from topline.engine.documents import round_half_away
from topline.engine.rating.tiers import AmountTooLarge
from topline.kernel.errors import Invalid, NotFound, ensure
from topline.metering.models import Meter

UNITS: tuple[periods.Unit, ...] = get_args(periods.Unit)
MAX_ALERTS = 10
PER_YEAR = {"day": 0, "week": 52, "month": 12, "quarter": 4, "year": 1}
KEPT = ("product_id", "description", "quantity_micro", "in_advance", "anchor", "unit", "every", "day", "tax_class", "meter_id", "alerts_minor", "bill_at_minor", "bill_every_minor", "by_peak", "pool", "free_until", *pricing.PRICE)  # fmt: skip


def make(contract: Contract, row: dict[str, Any], *, replaces: Item | None = None) -> Item:
    """Write down an item of a contract; row: as in `actions.add_contract`. Raises: NotFound, Invalid."""
    product = Product.objects.filter(pk=row["product_id"]).first() if row.get("product_id") else None
    ensure(not row.get("product_id") or product is not None, NotFound("There is no such product.", field="product_id"))
    text = str(row.get("description") or (product.name if product else "")).strip()
    ensure(bool(text), Invalid("An item says what is billed.", field="description", remedy="Name a product or describe it."))
    ensure(
        row["unit"] in UNITS, Invalid(f"{row['unit']!r} is no period.", field="unit", remedy=f"Use one of {', '.join(UNITS)}.")
    )
    ensure(row["quantity_micro"] >= 0, Invalid("A quantity is zero or more.", field="quantity_micro"))
    meter_id = row.get("meter_id")
    meter = Meter.objects.filter(pk=meter_id).first() if meter_id else None
    ensure(not meter_id or meter is not None, NotFound("There is no such meter.", field="meter_id"))
    pricing.ensure_price(row, method=meter.method if meter else None)
    whole = row["quantity_micro"] * (row.get("unit_price_nano") or 0)
    ensure(meter_id is not None or whole <= engine.MOST_MINOR * engine.MICRO * engine.NANO, AmountTooLarge("A period comes to more than can be booked.", field="quantity_micro", remedy="Check quantity and price."))  # fmt: skip
    if row.get("price_model") == "capacity":
        _ensure_meters(row["tiers"])
    least, most = row.get("minimum_minor"), row.get("maximum_minor")
    is_commitment = row.get("price_model") == pricing.COMMITMENT
    ensure(meter_id is not None or is_commitment or (least is None and most is None), Invalid("A least and a most amount are for what is metered.", field="minimum_minor", remedy="Name the meter."))  # fmt: skip
    ensure(min(least or 0, most or 0) >= 0, Invalid("A least and a most amount are zero or more.", field="minimum_minor"))
    ensure(least is None or most is None or most >= least, Invalid("The most is less than the least.", field="maximum_minor"))
    alerts = sorted(set(row.get("alerts_minor") or []))
    ensure(
        not alerts or meter_id is not None,
        Invalid("Amounts to be told at are for what is metered.", field="alerts_minor", remedy="Name the meter."),
    )
    ensure(
        len(alerts) <= MAX_ALERTS and all(a > 0 for a in alerts),
        Invalid(f"At most {MAX_ALERTS} amounts above zero.", field="alerts_minor"),
    )
    bill_at = _bill_at(row, meter_id)
    by_peak = bool(row.get("by_peak"))
    ensure(not by_peak or (meter_id is None and (row.get("price_model") or "per_unit") == "per_unit" and row.get("included_micro") is None), Invalid("By its peak is billed what is agreed at a price a unit.", field="by_peak", remedy="Leave it out, or use a meter that takes the largest."))  # fmt: skip
    ensure(
        row["ends_on"] is None or row["ends_on"] >= row["starts_on"], Invalid(f"{text} ends before it begins.", field="ends_on")
    )
    ensure(int(row.get("every", 1)) >= 1, Invalid("A period is one or more units.", field="every"))
    return Item.objects.create(
        contract=contract, product=product, description=text[:300], quantity_micro=row["quantity_micro"], starts_on=row["starts_on"], ends_on=row["ends_on"],
        in_advance=meter_id is None and not is_commitment and row.get("in_advance", True), bill_at_minor=bill_at, bill_every_minor=row.get("bill_every_minor"), by_peak=by_peak, pool=str(row.get("pool") or "").strip()[:40], meter=meter, alerts_minor=alerts, **_grid(contract, row), free_until=row.get("free_until"), held_until=row.get("held_until"), tax_class=row.get("tax_class", "standard"), replaces=replaces,
        **pricing.price_of(row),
    )  # fmt: skip


def again(item: Item, on: date, until: date | None, **changes: Any) -> Item:
    """The item once more from a day on, on the same grid, with what changed."""
    row = {name: getattr(item, name) for name in KEPT}
    return make(item.contract, row | changes | {"starts_on": on, "ends_on": until}, replaces=item)


def end(item: Item, on: date, *, held_until: date | None = None) -> None:
    """Bill an item no further than before a day; what that gives back waits until held_until."""
    item.ends_on = max(on, item.starts_on)
    item.held_until = held_until or item.held_until
    item.save(update_fields=["ends_on", "held_until"])


def running(contract: Contract, on: date) -> list[Item]:
    """Items that bill something on or after a day."""
    return [i for i in contract.items.order_by("id") if i.ends_on is None or i.ends_on > max(on, i.starts_on)]


def one(contract: Contract, item_id: int | None, on: date) -> Item:
    """An item of a contract that runs on a day or later. Raises: NotFound."""
    found = next((i for i in running(contract, on) if i.pk == item_id), None)
    if found is None:
        raise NotFound(f"{contract.number} has no item {item_id} that runs on {on}.", field="item_id")
    return found


def period(item: Item, on: date) -> tuple[date, date]:
    """The period of an item's grid that holds a day."""
    grid = periods.Grid(item.anchor, item.unit, item.every, item.day)  # type: ignore[arg-type]
    found = periods.periods_holding(periods.add_items(pl.DataFrame({"on": [on]}), grid=grid), on="on")
    (
        start,
        end,
    ) = found.select("full_start", "full_end").row(0)
    return start, end


def yearly_minor(row: dict[str, Any], currency: str) -> int | None:
    """What an item comes to in a year by its price, or None where that is not known before it is used. row: KEPT."""
    if (
        row["meter_id"]
        or row["price_model"] == pricing.COMMITMENT
        or (row["price_model"] in pricing.BY_UNIT_PRICE and row["unit_price_nano"] is None)
    ):
        return None
    told = {name: row[name] for name in usage.COLUMNS if name != "tiers"} | {
        "item_id": 0,
        "currency": currency,
        "tiers": json.dumps(row["tiers"] or []),
    }
    found = usage.fees(pl.DataFrame([told], schema_overrides=usage.TERM | {"quantity_micro": pl.Int64}))
    exact = found.select(round_half_away(engine.exact_price() * PER_YEAR[row["unit"]])).item()
    return int(exact) // int(row["every"])


# --- parts ---
def _bill_at(row: dict[str, Any], meter_id: int | None) -> list[int]:
    """The amounts of an open period at which what was used so far is billed, rising. Raises: Invalid."""
    found, every = sorted(set(row.get("bill_at_minor") or [])), row.get("bill_every_minor")
    ensure(meter_id is not None or (not found and every is None), Invalid("Amounts to be billed at are for what is metered.", field="bill_at_minor", remedy="Name the meter."))  # fmt: skip
    ensure(len(found) <= MAX_ALERTS and all(a > 0 for a in found), Invalid(f"At most {MAX_ALERTS} amounts above zero.", field="bill_at_minor"))  # fmt: skip
    ensure(every is None or every > 0, Invalid("An amount is more than zero.", field="bill_every_minor"))
    return found


def _ensure_meters(rows: list[dict[str, Any]]) -> None:
    """Raises: Invalid, for a limit of a meter that there is not."""
    codes = {code for _, code, _ in pricing.limits(rows)}
    lost = sorted(codes - set(Meter.objects.filter(code__in=codes).values_list("code", flat=True)))
    ensure(not lost, Invalid(f"There is no meter {lost[0] if lost else ''}.", field="tiers", remedy="Name meters by their codes."))  # fmt: skip


def _grid(contract: Contract, row: dict[str, Any]) -> dict[str, Any]:
    """Where the periods of an item begin: as said, on a billing day, with those of the contract (aligned), else on its own first day."""
    told = {"unit": row["unit"], "every": row.get("every") or 1, "day": row.get("day")}
    if row.get("anchor"):
        return told | {"anchor": row["anchor"]}
    if row.get("aligned"):
        first = next((i for i in running(contract, row["starts_on"]) if i.unit == row["unit"] and i.every == told["every"]), None)
        return told | ({"anchor": first.anchor, "day": first.day} if first else {"anchor": contract.starts_on})
    if told["day"] and row["unit"] in periods.MONTHS:
        return told | {"anchor": periods.billing_day_anchor(row["starts_on"], told["day"])}
    return told | {"anchor": row["starts_on"]}
