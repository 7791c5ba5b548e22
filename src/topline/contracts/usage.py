"""What items of contracts cost by their price models: the quantity of every period of use that is over, and the price of a whole period of fees."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from django.db.models import Q

from topline.books.models import Entity
from topline.contracts.models import Item
from topline.contracts.pricing import BY_TIERS, COMMITMENT, ROWS, TERMS
from topline.engine import charges as engine
from topline.engine import periods
from topline.engine.documents import EXACT, round_half_away
from topline.engine.metering import of_property, round_units
from topline.engine.rating.tiers import rate_capacity
from topline.kernel import bulk
from topline.kernel.errors import Invalid, ensure
from topline.kernel.money import currencies, exponent
from topline.market import queries as market
from topline.metering import queries as metering
from topline.metering.models import Meter

COLUMNS = [
    "quantity_micro",
    "unit_price_nano",
    "price_model",
    "tiers",
    *TERMS,
    "minimum_minor",
    "maximum_minor",
]  # of an item, besides its grid
TERM = dict.fromkeys(("unit_price_nano", *TERMS), pl.Int64)
MOST_PARTS = 20  # of a quantity that an explanation names
STEP = (
    "units",
    "most_held",
    "unit_price",
    "flat_fee",
    "exact",
    "label",
    "transactions",
    "given",
    "value",
    "free",
    "share_ppm",
    "model",
)
TRANSACTIONS: dict[str, pl.DataType | type[pl.DataType]] = {"charge_id": pl.Int64, "value": EXACT}
CELLS: dict[str, pl.DataType | type[pl.DataType]] = {
    "charge_id": pl.Int64,
    "label": pl.String,
    "quantity": EXACT,
    "unit_price": EXACT,
}
CAPACITIES: dict[str, pl.DataType | type[pl.DataType]] = {"charge_id": pl.Int64, "label": pl.String, "exact": EXACT}


def used(items: pl.DataFrame, *, entity: Entity, as_of: date) -> pl.DataFrame:
    """What was used in every period that is over, with its price: the columns of `engine.desired`, used_micro i64 and explained (JSON).

    items  one row per metered item: the columns of `engine.desired`, COLUMNS, meter_id, user_id, currency, description
    Nothing used is zero, which a fee of the first tier is due for all the same. Raises: AmountTooLarge, Invalid (no price).
    """
    started = items.filter((pl.col("start") <= as_of) & (pl.col("end").is_null() | (pl.col("end") > pl.col("start"))))
    spans = periods.due_periods(started, as_of=as_of).with_row_index("span_id").with_columns(pl.col("span_id").cast(pl.Int64))
    asked = spans.select("span_id", "meter_id", "start", "end", "full_start", "full_end", customer_id="user_id")
    events = metering.events(asked, time_zone=entity.time_zone, family=_family(asked["customer_id"].unique()))
    used = spans.join(metering.measured(events), on="span_id", how="left", maintain_order="left").with_columns(
        quantity=_rounded(spans), minor=_minor()
    )
    said = _of(events, used, "dynamic").group_by("span_id").agg(event_minor=(_amount() * pl.col("minor")).sum())
    used = used.join(said, on="span_id", how="left", maintain_order="left")
    transactions = _of(events, used, "percentage").select(
        charge_id="span_id", value=pl.col("value_micro").cast(EXACT) / engine.MICRO * pl.col("minor")
    )
    moves = metering.movements(events).rename({"span_id": "charge_id"})
    told, rows = engine.priced(
        _spans(used), tiers=_tiers(used), transactions=transactions, cells=_cells(events, used), capacities=_capacities(spans, entity), moves=moves
    )  # fmt: skip
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
    both = pl.concat_str("explained", "_split", separator=",", ignore_nulls=True)
    how = (
        _how(rows.join(_odd(used, "span_id"), on="charge_id", how="left", maintain_order="left"))
        .join(_split(events), on="span_id", how="full", coalesce=True)
        .select("span_id", explained=both)
    )
    priced = _bounded(priced.join(how, on="span_id", how="left", maintain_order="left"))
    days = (pl.col("end") - pl.col("start")).dt.total_days()
    return priced.select(
        *engine.KEY, "full_end", "start", "end", "net_minor", days=days, full_days=days, used_micro=(pl.col("quantity") * engine.MICRO).round().cast(pl.Int64),
        explained=pl.format("[{}]", pl.col("explained").fill_null("")),
    )  # fmt: skip


def so_far(items: pl.DataFrame, *, entity: Entity, as_of: date) -> pl.DataFrame:
    """What was used in the periods that are open on a day, up to its end, with what that costs so far (no least amount): as `used`."""
    after = as_of + timedelta(days=1)
    running = items.filter((pl.col("start") <= as_of) & (pl.col("end").is_null() | (pl.col("end") > as_of)))
    cut = running.with_columns(end=pl.lit(after), minimum_minor=pl.lit(None, dtype=pl.Int64))
    told = used(cut, entity=entity, as_of=after)
    return told.filter((pl.col("end") == after) & (pl.col("net_minor") != 0))


def fees(items: pl.DataFrame) -> pl.DataFrame:
    """Fee items with exact (minor units of a whole period, where it is not quantity x price) and explained (JSON; null: quantity x price).

    items  one row per item: item_id, currency and COLUMNS. Raises: AmountTooLarge.
    """
    modelled = items.filter(~pl.col("price_model").is_in(["per_unit", COMMITMENT]) | pl.col("included_micro").is_not_null()).with_columns(
        span_id="item_id", quantity=pl.col("quantity_micro").cast(EXACT) / engine.MICRO, event_minor=pl.lit(None, dtype=EXACT), minor=_minor()
    )  # fmt: skip
    none = {"transactions": TRANSACTIONS, "cells": CELLS, "capacities": CAPACITIES, "moves": engine.MOVES}
    told, rows = engine.priced(
        _spans(modelled), tiers=_tiers(modelled), **{name: pl.DataFrame(schema=schema) for name, schema in none.items()}
    )
    how = _how(rows.join(_odd(modelled, "item_id"), on="charge_id", how="left", maintain_order="left")).select(
        item_id="span_id", explained=pl.format("[{}]", "explained")
    )
    exact = told.select("exact", item_id="charge_id")
    return items.join(exact, on="item_id", how="left", maintain_order="left").join(how, on="item_id", how="left", maintain_order="left")  # fmt: skip


def with_step(step: pl.Expr) -> pl.Expr:
    """How charges were made (`explained`), with one step more, or several with commas between them, as JSON."""
    told = pl.col("explained").fill_null("[]").str.strip_suffix("]")
    return told + pl.when(told == "[").then(pl.lit("")).otherwise(pl.lit(",")) + step + "]"


# --- parts ---
def _family(customers: pl.Series) -> metering.Family | None:
    """The records of customers that were merged, and the meters by which each is billed; None where nobody was. One statement, one more where somebody was."""
    merged = market.canonical()
    if merged.is_empty():
        return None
    heads = merged.select(record_id="customer_id", customer_id="customer_id").unique()
    records = pl.concat([merged, heads])
    ours = records.filter(pl.col("record_id").is_in(customers.implode()))["customer_id"].unique()
    if ours.is_empty():
        return None
    records = records.filter(pl.col("customer_id").is_in(ours.implode()))
    names = {"contract__customer_id": "record_id", "starts_on": "start", "ends_on": "end"}
    metered = Item.objects.filter(
        Q(contract__customer_id__in=ours.to_list()) | Q(contract__customer__merged_into_id__in=ours.to_list()),
        meter__isnull=False,
    )
    return metering.Family(records, bulk.read(metered.order_by("id").values("meter_id", *names)).rename(names))


def _minor() -> pl.Expr:
    """Minor units of a major one of each row's currency."""
    return pl.col("currency").replace_strict({code: 10 ** exponent(code) for code in currencies()}, return_dtype=pl.Int64)


def _rounded(spans: pl.DataFrame) -> pl.Expr:
    """The quantity of a period, never below zero, rounded as its meter says."""
    quantity = pl.col("quantity").fill_null(0).clip(0)
    for mode, decimals in spans.select("rounding", "round_decimals").unique().filter(pl.col("rounding") != "").iter_rows():
        is_so = (pl.col("rounding") == mode) & (pl.col("round_decimals") == decimals)
        quantity = (
            pl.when(is_so)
            .then(round_units(pl.col("quantity").fill_null(0).clip(0), mode=mode, decimals=decimals))
            .otherwise(quantity)
        )
    return quantity


def _amount() -> pl.Expr:
    """What an event says itself that it costs, in major units: its property `amount`."""
    return pl.col("properties").str.json_path_match("$.amount").cast(EXACT, strict=False).fill_null(0)


def _spans(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("item_id", "minor", "quantity", *(pl.col(c).cast(t) for c, t in TERM.items()), charge_id="span_id", model="price_model", event_minor="event_minor")  # fmt: skip


def _of(events: pl.DataFrame, spans: pl.DataFrame, model: str) -> pl.DataFrame:
    """The events of spans that are priced by a model."""
    return events.join(spans.filter(pl.col("price_model") == model).select("span_id", "item_id", "minor"), on="span_id", maintain_order="left")  # fmt: skip


def _odd(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """The models whose steps are no units at a price a unit: charge_id, model."""
    is_odd = pl.col("price_model").is_in(["package", "graduated_percentage"])
    return rows.filter(is_odd).select(charge_id=key, model="price_model")


def _how(rows: pl.DataFrame) -> pl.DataFrame:
    """How each amount was made, as the items of a JSON list: span_id, explained."""
    names = {
        "unit_price": "unit_price_minor",
        "flat_fee": "flat_fee_minor",
        "exact": "minor",
        "value": "value_minor",
        "free": "free_minor",
    }
    numbers = (pl.Decimal, pl.Null)
    fields = [
        pl.col(c).cast(pl.Float64 if isinstance(rows.schema[c], numbers) else rows.schema[c]).alias(names.get(c, c))
        for c in STEP
        if c in rows.columns
    ]
    told = rows.with_columns(step=pl.struct(fields).struct.json_encode().str.replace_all(r'"\w+":null,?', "").str.replace(r",\}$", "}"))  # fmt: skip
    return told.group_by(span_id="charge_id", maintain_order=True).agg(explained=pl.col("step").str.join(","))


def _split(events: pl.DataFrame) -> pl.DataFrame:
    """What the quantity of a period is made of where its meter measures apart, as an item of a JSON list: span_id, _split."""
    each = metering.parts(events).with_columns(units=pl.col("quantity").cast(pl.Float64))
    told = each.group_by("span_id", maintain_order=True).agg(split=pl.struct("part", "units").head(MOST_PARTS), others=(pl.len().cast(pl.Int64) - MOST_PARTS).clip(0))  # fmt: skip
    return told.select("span_id", _split=pl.struct("split", "others").struct.json_encode())


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


def _rows(items: pl.DataFrame, models: list[str]) -> pl.DataFrame:
    """The rows of the prices of items of some models, in order: item_id, minor, price_model, _n and the fields of a row."""
    ours = items.unique("item_id", maintain_order=True).filter(pl.col("price_model").is_in(models))
    rows = ours.select("item_id", "minor", "price_model", row=pl.col("tiers").str.json_decode(ROWS)).explode("row").unnest("row")
    return rows.with_columns(_n=pl.int_range(pl.len()).over("item_id"))


def _tiers(items: pl.DataFrame) -> pl.DataFrame:
    """The tiers of items that have some: item_id, lower, upper, unit_price, flat_fee in minor units."""
    share = pl.col("share_ppm").cast(EXACT) / 10**6 * pl.col("minor")
    price = pl.when(pl.col("price_model") == "graduated_percentage").then(share).otherwise(pl.col("unit_price_nano").cast(EXACT) / engine.NANO)  # fmt: skip
    edge = pl.coalesce(pl.col("up_to").cast(EXACT), pl.col("up_to_micro").cast(EXACT) / engine.MICRO)
    return _rows(items, list(BY_TIERS)).select(
        "item_id", lower=edge.shift(1).over("item_id").fill_null(0), upper=edge, unit_price=price,
        flat_fee=pl.col("flat_fee_minor").fill_null(0).cast(EXACT), block_size=pl.col("block_micro").cast(EXACT) / engine.MICRO,
    )  # fmt: skip


def _cells(events: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """What was used in each cell of matrices: the first row of the matrix whose conditions all hold for an event takes it (CELLS)."""
    ours = _of(events, spans, "matrix").with_row_index("_event")
    if ours.is_empty():
        return pl.DataFrame(schema=CELLS)
    rows = _rows(spans, ["matrix"]).with_columns(pl.col("when").fill_null([])).select("item_id", "_n", "when", "unit_price_nano")
    said = rows.select("item_id", "_n", pl.col("when").alias("_when")).explode("_when").drop_nulls().with_columns(
        _name=pl.col("_when").str.splitn("=", 2).struct.field("field_0"), _value=pl.col("_when").str.splitn("=", 2).struct.field("field_1")
    )  # fmt: skip
    fits = ours.select("_event", "item_id", "properties").join(rows.select("item_id", "_n"), on="item_id")
    for name in said["_name"].unique().sort():
        wanted = said.filter(pl.col("_name") == name).select("item_id", "_n", "_value")
        fits = fits.join(wanted, on=["item_id", "_n"], how="left").filter(pl.col("_value").is_null() | (of_property(name) == pl.col("_value"))).drop("_value")  # fmt: skip
    first = fits.group_by("_event").agg(_n=pl.col("_n").min())
    placed = ours.join(first, on="_event", how="left", maintain_order="left")
    found = metering.measured(placed, by=["item_id", "_n"]).join(rows, on=["item_id", "_n"], how="left", maintain_order="left")
    label = pl.when(pl.col("when").list.len() > 0).then(pl.col("when").list.join(", ")).otherwise(pl.lit("all else"))
    return found.select(charge_id="span_id", label=label, quantity="quantity", unit_price=pl.col("unit_price_nano").cast(EXACT) / engine.NANO)  # fmt: skip


def _capacities(spans: pl.DataFrame, entity: Entity) -> pl.DataFrame:
    """What periods cost by the limits of several meters: the first row whose every limit holds (CAPACITIES; exact null: none does). Work: none where there are none; else four statements."""
    ours = spans.filter(pl.col("price_model") == "capacity").with_columns(minor=_minor())
    if ours.is_empty():
        return pl.DataFrame(schema=CAPACITIES)
    rows = _rows(ours, ["capacity"]).rename({"item_id": "price_id", "_n": "step"})
    said = rows.select("price_id", "step", limit=pl.col("when").fill_null([])).explode("limit").drop_nulls()
    limits = said.with_columns(pl.col("limit").str.splitn("<=", 2).struct.rename_fields(["unit", "limit"])).unnest("limit").with_columns(pl.col("limit").cast(EXACT))  # fmt: skip
    meters = dict(Meter.objects.filter(code__in=limits["unit"].unique().to_list()).values_list("code", "id"))
    named = limits.select("price_id", "unit", meter_id=pl.col("unit").replace_strict(meters, return_dtype=pl.Int64)).unique(maintain_order=True)  # fmt: skip
    facts = ours.select("item_id", "start", "end", "full_start", "full_end", charge_id="span_id", customer_id="user_id")
    each = (
        facts.join(named, left_on="item_id", right_on="price_id")
        .with_row_index("span_id")
        .with_columns(pl.col("span_id").cast(pl.Int64))
    )
    family = _family(each["customer_id"].unique())
    counted = metering.measured(metering.events(each, time_zone=entity.time_zone, family=family))
    peaks = each.join(counted, on="span_id", how="left", maintain_order="left").select(
        "charge_id", "unit", price_id="item_id", peak=pl.col("quantity").fill_null(0)
    )
    bare = ours.join(peaks, left_on="span_id", right_on="charge_id", how="anti")  # no limit at all: its one row holds
    none = bare.select(charge_id="span_id", unit=pl.lit(""), price_id="item_id", peak=pl.lit(0, dtype=EXACT))
    prices = rows.select("price_id", "step", amount_minor="unit_price_nano")
    found = rate_capacity(pl.concat([peaks, none.select(peaks.columns)]), limits=limits, prices=prices)
    told = peaks.group_by("charge_id").agg(
        label=pl.format("{} {}", "unit", pl.col("peak").cast(pl.Float64).round(3).cast(pl.String).str.strip_suffix(".0")).str.join(", ")
    )  # fmt: skip
    exact = pl.col("amount_minor").cast(EXACT) / engine.NANO
    return found.join(told, on="charge_id", how="left", maintain_order="left").select("charge_id", pl.col("label").fill_null("any use"), exact=exact)  # fmt: skip
