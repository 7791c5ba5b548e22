"""Charges by quantity: graduated, volume and everything that reduces to them; capacity; movements inside a period."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

import polars as pl

from topline.engine.documents import EXACT, round_half_away
from topline.engine.rating.prices import complete, price_rows
from topline.kernel.errors import Invalid

P = ParamSpec("P")
R = TypeVar("R")
ZERO = pl.lit(0, dtype=EXACT)


class AmountTooLarge(Invalid):
    """Quantity times price is beyond what can be booked; it is refused, never wrapped around."""

    code = "amount_too_large"


@dataclass(frozen=True, slots=True)
class Rated:
    """Amounts and what made them: `rows` of a charge add up to its `exact` in `lines`.

    lines  one row per charge, in the order given: charge_id, exact decimal(38,15), amount_minor i64 (rounded once, half away
           from zero), rounding decimal (what the rounding added), unit_exact decimal (the price a unit to show; 0 without units)
    rows   one row per charge and step: charge_id, kind (tier, dynamic, minimum, cap), lower, upper, units, unit_price,
           flat_fee, exact
    """

    lines: pl.DataFrame
    rows: pl.DataFrame


def bounded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn an overflow of exact decimals, or of 64-bit money, into a refusal that a person understands."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError) as fault:
            if "overflow" not in str(fault) and "conversion from `decimal" not in str(fault):
                raise
            raise AmountTooLarge(
                "An amount is too large to book.", field="quantity", remedy="Check quantity and price."
            ) from fault

    return checked


@bounded
def rate(
    charges: pl.DataFrame,
    *,
    prices: pl.DataFrame,
    tiers: pl.DataFrame | None = None,
    explain: bool = True,
    fee_at_zero: bool = True,
) -> Rated:
    """Price each charge by its price's model, and say how.

    charges      one row per charge: charge_id i64, price_id i64, quantity decimal >= 0 (picks the tier); optional billed
                 decimal (prorated units that money is taken on; default quantity), event_amount decimal (minor units, for
                 dynamic prices)
    prices       one row per price: price_id, model, and see price_rows; optional minimum and cap, decimal minor units a charge
    tiers        the tiers of the tiered prices, without gaps or overlaps (see tier_problems)
    explain      False leaves `rows` empty where only the amounts are wanted
    fee_at_zero  the fee of the first tier is due without any usage
    returns      Rated; exact and amount_minor are null where the price is unknown or has no tier, so that the run parks the
                 charge and nobody is billed 0 by accident

    Graduated: every unit at the price of its own tier, the fee of each tier once it is entered. Volume: all units at the price
    of the tier that holds the quantity. A started block is charged whole.
    Raises: AmountTooLarge. Work: two hash joins and a group-by, O(charges x tiers per price).
    """
    steps = _steps(charges, prices, tiers, fee_at_zero=fee_at_zero)
    bounds = complete(prices, ["minimum", "cap", "included_units"]).lazy().select("price_id", "minimum", "cap", "included_units")
    summed = (
        steps.group_by("charge_id")
        .agg(rated=pl.col("exact").sum(), _unpriced=pl.col("exact").null_count())
        .with_columns(rated=pl.when(pl.col("_unpriced") == 0).then("rated"))  # a sum would take a missing price for 0
    )
    lines = (
        complete(charges, ["quantity"]).lazy()
        .join(summed, on="charge_id", how="left", maintain_order="left")
        .join(bounds, on="price_id", how="left", maintain_order="left")
        .with_columns(exact=pl.col("rated").clip(pl.col("minimum"), pl.col("cap")))
        .with_columns(amount_minor=round_half_away(pl.col("exact")))
    )  # fmt: skip
    paid = pl.col("quantity") - pl.col("included_units").fill_null(0)
    table = lines.with_columns(
        rounding=pl.col("amount_minor").cast(EXACT) - pl.col("exact"),
        unit_exact=pl.when(paid > 0).then(pl.col("exact") / paid).otherwise(ZERO),
    ).collect(engine="in-memory")  # the streaming engine costs a small batch three times as much, and gains a large one nothing
    keep = ["charge_id", "exact", "amount_minor", "rounding", "unit_exact"]
    if not explain:
        return Rated(lines=table.select(keep), rows=pl.DataFrame(schema=dict.fromkeys(_ROW, EXACT)))
    limits = table.filter(pl.col("exact") != pl.col("rated")).select(
        "charge_id",
        kind=pl.when(pl.col("exact") > pl.col("rated")).then(pl.lit("minimum")).otherwise(pl.lit("cap")),
        exact=pl.col("exact") - pl.col("rated"),
    )
    rows = pl.concat([steps.select(_ROW).collect(engine="in-memory"), limits], how="diagonal").sort(
        "charge_id", "kind", "lower", descending=[False, True, False]
    )
    return Rated(lines=table.select(keep), rows=rows)


_ROW = ["charge_id", "kind", "lower", "upper", "units", "unit_price", "flat_fee", "exact"]


def _steps(charges: pl.DataFrame, prices: pl.DataFrame, tiers: pl.DataFrame | None, *, fee_at_zero: bool) -> pl.LazyFrame:
    """One row per charge and tier that it touches, and one per dynamic charge."""
    given = complete(charges, ["quantity", *(c for c in ("billed", "event_amount") if c in charges.columns)])
    quantity = pl.col("quantity")
    lower, upper = pl.col("lower"), pl.col("upper")
    volume = pl.col("model") == "volume"
    holds = (quantity > lower) | ((lower == 0) & (quantity == 0))
    chosen = holds & (quantity <= upper).fill_null(value=True)
    units = pl.when(volume).then(pl.when(chosen).then(quantity)).otherwise(pl.min_horizontal(quantity, upper) - lower)
    joined = (
        given.lazy()
        .join(price_rows(prices, tiers).lazy(), on="price_id")
        .join(prices.lazy().select("price_id", "model"), on="price_id")
        .filter(holds & (chosen | ~volume))
        .with_columns(units=units)
    )
    if "billed" in charges.columns:
        prorated = pl.col("units") * pl.col("billed") / quantity
        joined = joined.with_columns(
            units=pl.when((pl.col("billed") == quantity) | (quantity == 0)).then("units").otherwise(prorated)
        )
    sold = pl.when(pl.col("block_size").is_null()).then("units").otherwise((pl.col("units") / pl.col("block_size")).ceil())
    fee = (
        pl.col("flat_fee")
        if fee_at_zero
        else pl.when((quantity > 0) | (pl.col("model") == "flat")).then("flat_fee").otherwise(ZERO)
    )
    by_tier = joined.with_columns(kind=pl.lit("tier"), flat_fee=fee).with_columns(
        exact=sold * pl.col("unit_price") + pl.col("flat_fee")
    )
    if "event_amount" not in charges.columns:
        return by_tier.select(_ROW)
    dynamic = (
        given.lazy()
        .join(prices.lazy().filter(pl.col("model") == "dynamic").select("price_id"), on="price_id")
        .select(
            "charge_id",
            kind=pl.lit("dynamic"),
            units=quantity,
            exact=pl.when(quantity == 0).then(ZERO).otherwise("event_amount"),
        )
    )
    return pl.concat([by_tier.select(_ROW), dynamic], how="diagonal")


@bounded
def rate_movements(movements: pl.DataFrame, *, tiers: pl.DataFrame, charges: pl.DataFrame | None = None) -> Rated:
    """Price units that come and go inside a period, each for the time it was there, by graduated tiers.

    movements  one row per change, in order of time within a charge: charge_id, price_id, units decimal (negative: removed),
               prorated decimal (the units weighted by the time left, same sign)
    tiers      as for rate
    charges    the order of the lines; default the charges of the movements
    returns    Rated; a row per movement and tier touched, then the fees of the tiers that the peak reached
    Full units decide the tier, prorated units the money; what is removed is credited at the tiers that it leaves.
    Raises: AmountTooLarge. Work: one join, O(movements x tiers per price).
    """
    after = pl.col("units").cum_sum().over("charge_id")
    moves = complete(movements, ["units", "prorated"]).with_columns(_after=after, _before=after - pl.col("units"))
    high, low = pl.max_horizontal("_before", "_after"), pl.min_horizontal("_before", "_after")
    upper = pl.min_horizontal(high, pl.col("upper"))
    in_tier = upper - pl.max_horizontal(low, pl.col("lower"))
    rows = complete(tiers, ["lower", "upper", "unit_price", "flat_fee"])
    touched = (
        moves.join(rows, on="price_id", maintain_order="left")
        .with_columns(_in=in_tier)
        .filter(pl.col("_in") > 0)
        .with_columns(units=pl.col("_in") * pl.col("prorated") / pl.col("units").abs())
        .with_columns(kind=pl.lit("tier"), flat_fee=ZERO, exact=pl.col("units") * pl.col("unit_price"))
        .select(_ROW)
    )
    peak = moves.group_by("charge_id", "price_id", maintain_order=True).agg(_peak=pl.col("_after").max())
    fees = (
        peak.join(rows, on="price_id", maintain_order="left")
        .filter((pl.col("_peak") > pl.col("lower")) & (pl.col("flat_fee") != 0))
        .select("charge_id", "lower", "upper", "flat_fee", kind=pl.lit("fee"), exact=pl.col("flat_fee"))
    )
    steps = pl.concat([touched, fees], how="diagonal")
    order = (charges if charges is not None else moves).select(pl.col("charge_id").unique(maintain_order=True))
    lines = (
        order.join(
            steps.group_by("charge_id").agg(exact=pl.col("exact").sum()), on="charge_id", how="left", maintain_order="left"
        )
        .with_columns(amount_minor=round_half_away(pl.col("exact")))
        .with_columns(rounding=pl.col("amount_minor").cast(EXACT) - pl.col("exact"))
    )
    return Rated(lines=lines, rows=steps)


def rate_capacity(peaks: pl.DataFrame, *, limits: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """The price of the lowest capacity step whose every limit holds: one kind of unit above its limit lifts the whole price.

    peaks    one row per charge and kind of unit: charge_id, price_id, unit str, peak decimal
    limits   one row per price, step and kind of unit: price_id, step i64, unit str, limit decimal; a step without rows has none
    prices   one row per price and step: price_id, step, amount_minor i64
    returns  one row per charge: charge_id, step, amount_minor; null where no step is large enough
    Work: two hash joins.
    """
    charges = peaks.select("charge_id", "price_id").unique(maintain_order=True)
    over = (
        peaks.join(limits, on=["price_id", "unit"])
        .filter(pl.col("peak").cast(EXACT) > pl.col("limit").cast(EXACT))
        .select("charge_id", "step")
        .unique()
    )
    fits = charges.join(prices, on="price_id").join(over, on=["charge_id", "step"], how="anti")
    lowest = fits.sort("step").group_by("charge_id", maintain_order=True).first().select("charge_id", "step", "amount_minor")
    return charges.select("charge_id").join(lowest, on="charge_id", how="left", maintain_order="left")


def rate_above_peak(quantities: pl.DataFrame) -> pl.DataFrame:
    """Seats paid in advance: only what rises above the highest quantity already paid for in the period is charged.

    quantities  one row per change, in order of time within an item: item_id, quantity i64, unit_price decimal (minor units)
    returns     the same rows with billed i64 units and amount_minor i64; a decrease gives nothing back
    Work: O(n).
    """
    paid = pl.col("quantity").cum_max().shift(1, fill_value=0).over("item_id")
    return quantities.with_columns(billed=(pl.col("quantity") - paid).clip(0)).with_columns(
        amount_minor=round_half_away(pl.col("billed").cast(EXACT) * pl.col("unit_price").cast(EXACT))
    )


def progressive_invoices(usage: pl.DataFrame, *, thresholds: pl.DataFrame) -> pl.DataFrame:
    """Invoices inside a period once running usage crosses a threshold: all of it since the last one, not just up to the mark.

    usage       one row per addition, in order of time within a charge: charge_id, amount_minor i64
    thresholds  one row per threshold: charge_id, threshold_minor i64, recurring bool (one per charge at most: every so many
                minor units above the highest fixed threshold)
    returns     usage with running_minor and invoice_minor (null: no threshold was crossed)
    Work: O(additions x thresholds).
    """
    fixed, recurring = thresholds.filter(~pl.col("recurring")), thresholds.filter(pl.col("recurring"))
    marks = fixed.group_by("charge_id").agg(_marks="threshold_minor", _last=pl.col("threshold_minor").max())
    running = usage.with_columns(running_minor=pl.col("amount_minor").cum_sum().over("charge_id"), _row=pl.int_range(pl.len()))
    leveled = running.join(marks, on="charge_id", how="left", maintain_order="left").join(
        recurring.select("charge_id", _every="threshold_minor"), on="charge_id", how="left", maintain_order="left"
    )
    passed = (
        leveled.select("_row", "running_minor", "_marks").explode("_marks")
        .group_by("_row").agg(_fixed=(pl.col("_marks") <= pl.col("running_minor")).sum())
    )  # fmt: skip
    beyond = ((pl.col("running_minor") - pl.col("_last").fill_null(0)) // pl.col("_every")).clip(0).fill_null(0)
    crossed = pl.col("_level") > pl.col("_level").shift(1, fill_value=0).over("charge_id")
    billed = pl.when(crossed).then("running_minor")
    before = billed.forward_fill().shift(1).over("charge_id").fill_null(0)
    return (
        leveled.join(passed, on="_row", maintain_order="left")
        .with_columns(_level=pl.col("_fixed").cast(pl.Int64) + beyond)
        .with_columns(invoice_minor=billed - before)
        .drop("_row", "_marks", "_last", "_every", "_fixed", "_level")
    )
