"""What metered items of contracts cost: the quantity of every period that is over, by the price or the tiers of the item."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from topline.books.models import Entity
from topline.contracts.models import Item
from topline.engine import charges as engine
from topline.engine import periods
from topline.engine.documents import EXACT, round_half_away
from topline.kernel.errors import Invalid, ensure
from topline.metering import queries as metering


def used(items: pl.DataFrame, *, entity: Entity, as_of: date) -> pl.DataFrame:
    """What was used in every period that is over, with its price: the columns of `engine.desired`, used_micro i64 and explained (JSON).

    Nothing used is zero, which a fee of the first tier is due for all the same. Raises: AmountTooLarge, Invalid (no price).
    """
    started = items.filter((pl.col("start") <= as_of) & (pl.col("end").is_null() | (pl.col("end") > pl.col("start"))))
    spans = periods.due_periods(started, as_of=as_of).with_row_index("span_id").with_columns(pl.col("span_id").cast(pl.Int64))
    asked = spans.select("span_id", "meter_id", "start", "end", customer_id="user_id")
    measured = metering.usage(asked, time_zone=entity.time_zone)
    used = spans.join(measured, on="span_id", how="left", maintain_order="left").with_columns(
        pl.col("quantity").fill_null(0).clip(0)
    )
    told, rows = engine.used(
        used.select("item_id", "unit_price_nano", "quantity", charge_id="span_id", model="price_model"), _tiers(started)
    )
    priced = used.join(told, left_on="span_id", right_on="charge_id", maintain_order="left")
    bare = priced.filter(pl.col("net_minor").is_null())["description"]
    ensure(
        bare.is_empty(),
        Invalid(
            f"{bare[0] if bare.len() else ''} has no price for what was used.",
            field="tiers",
            remedy="Amend the contract with a price.",
        ),
    )
    how = rows.with_columns(
        step=pl.struct(units=pl.col("units").cast(pl.Float64), unit_price_minor=pl.col("unit_price").cast(pl.Float64), flat_fee_minor=pl.col("flat_fee").cast(pl.Float64), minor=pl.col("exact").cast(pl.Float64)).struct.json_encode()
    ).group_by(span_id="charge_id", maintain_order=True).agg(explained=pl.col("step").str.join(","))  # fmt: skip
    priced = _bounded(priced.join(how, on="span_id", how="left", maintain_order="left"))
    days = (pl.col("end") - pl.col("start")).dt.total_days()
    return priced.select(
        *engine.KEY, "full_end", "start", "end", "net_minor", days=days, full_days=days, used_micro=(pl.col("quantity") * engine.MICRO).round().cast(pl.Int64),
        explained=pl.format("[{}]", pl.col("explained").fill_null("")),
    )  # fmt: skip


def _bounded(priced: pl.DataFrame) -> pl.DataFrame:
    """No less than the least and no more than the most that were agreed for a period; of a part of one by its days. What it changed is explained."""
    part = (pl.col("end") - pl.col("start")).dt.total_days().cast(EXACT) / (
        pl.col("full_end") - pl.col("full_start")
    ).dt.total_days().cast(EXACT)
    low, high = (round_half_away(pl.col(name).cast(EXACT) * part).cast(pl.Int64) for name in ("minimum_minor", "maximum_minor"))
    rows = priced.with_columns(_low=low, _high=high, _used=pl.col("net_minor"))
    rows = rows.with_columns(net_minor=pl.max_horizontal(pl.min_horizontal("net_minor", "_high"), "_low"))
    bound = (
        pl.when(pl.col("net_minor") > pl.col("_used"))
        .then(pl.lit("least"))
        .when(pl.col("net_minor") < pl.col("_used"))
        .then(pl.lit("most"))
    )
    step = pl.struct(bound=bound, minor=pl.col("net_minor").cast(pl.Float64)).struct.json_encode()
    steps = pl.concat_str(pl.col("explained"), pl.when(bound.is_not_null()).then(step), separator=",", ignore_nulls=True)
    return rows.with_columns(explained=steps)


def _tiers(items: pl.DataFrame) -> pl.DataFrame:
    """The tiers of items that have some: item_id, lower, upper, unit_price, flat_fee in minor units."""
    ids = items.filter(pl.col("price_model") != "per_unit")["item_id"].to_list()
    rows: list[dict[str, Any]] = []
    for item in Item.objects.filter(pk__in=ids).only("id", "tiers"):
        lower = Decimal(0)
        for tier in item.tiers:
            upper = None if tier["up_to"] is None else Decimal(tier["up_to"])
            rows.append({"item_id": item.pk, "lower": lower, "upper": upper, "unit_price": Decimal(tier["unit_price_nano"]) / engine.NANO, "flat_fee": Decimal(tier["flat_fee_minor"])})  # fmt: skip
            lower = upper if upper is not None else lower
    return pl.DataFrame(rows, schema={"item_id": pl.Int64, **dict.fromkeys(("lower", "upper", "unit_price", "flat_fee"), EXACT)})
