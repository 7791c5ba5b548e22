"""Where our prices stand among those of competitors: side by side as of a day, and as one index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import exp, log

import polars as pl

from topline.books import rates
from topline.engine.currency import RateMissing
from topline.kernel.money import exponent, format_amount
from topline.market import competitors

US = "Us"
OURS = {"code": pl.String, "name": pl.String, "currency": pl.String, "unit_price_nano": pl.Int64, "unit": pl.String}
_our_list: list[Callable[[date], pl.DataFrame]] = []
SCALE = 10**9  # an amount large enough that a rate worked out from it is exact for every use here


@dataclass(frozen=True)
class PriceIndex:
    """Our prices against the market's, 100 being alike; None with the reason where nothing can be compared.

    products     codes of ours that have a price to compare with; prices: competitor prices compared
    """

    value: float | None
    products: int
    prices: int
    why_not: str = ""


@dataclass(frozen=True)
class Position:
    """Prices side by side in one currency.

    rows     one row per price, by unit, code and price: seller, product, code, currency, unit_price_nano, unit, valid_from, seen_on, source,
             price f64 in `currency` (null without a rate), rate_on date, is_ours
    missing  currencies that have no rate by the day
    """

    rows: pl.DataFrame
    currency: str
    index: PriceIndex
    missing: list[str]


def read_ours_from(read: Callable[[date], pl.DataFrame]) -> None:
    """Name who knows our list prices of a day (columns as `ours` of `position`): a room further down, when the app starts."""
    _our_list[:] = [read]


def position(*, as_of: date, currency: str, ours: pl.DataFrame | None = None, segment: str = "") -> Position:
    """Our price points and those of competitors (met in a segment) as of a day, each converted at the last rate by then.

    ours   one row per price point (else the list prices of the day): code, name, currency, unit_price_nano; optional unit (null: the unit of what compares with it)
    Nothing is added up; a price without a rate stands in the table and is left out of chart and index. Work: three statements.
    """
    if ours is None and _our_list:
        ours = _our_list[0](as_of)
    theirs = competitors.prices(as_of=as_of, segment=segment).select(
        "product", "currency", "unit_price_nano", "unit", "valid_from", "seen_on", "source", seller="competitor", code="compares_with",
        competitor_id="competitor_id", is_ours=pl.lit(False),
    )  # fmt: skip
    mine = _ours(ours, theirs)
    rows, missing = _converted(pl.concat([mine, theirs], how="diagonal"), currency=currency, as_of=as_of)
    return Position(
        rows.sort("unit", "code", "is_ours", "price", descending=[False, False, True, False], nulls_last=True), currency, index(rows), missing
    )  # fmt: skip


def index(rows: pl.DataFrame) -> PriceIndex:
    """Our prices against those they compare with: per code the geometric mean of the ratios, then over codes, times 100.

    rows  as of `Position`: code, unit, price (in one currency), is_ours; free products have no ratio and are left out
    Source: Jevons index (ILO/IMF Consumer Price Index Manual, elementary aggregates); it has no base that favours either side.
    """
    priced = rows.filter((pl.col("code") != "") & (pl.col("price") > 0))
    mine = priced.filter("is_ours").select("code", "unit", own="price")
    if mine.is_empty():
        return PriceIndex(None, 0, 0, "no list prices of ours are known here")
    pairs = priced.filter(~pl.col("is_ours")).join(mine, on=["code", "unit"])
    if pairs.is_empty():
        return PriceIndex(None, 0, 0, "no competitor's product compares with one of ours in the same unit")
    per_code = [
        sum(log(own / price) for own, price in group.select("own", "price").iter_rows()) / group.height
        for group in pairs.sort("code", "unit", "price").partition_by("code", maintain_order=True)
    ]
    return PriceIndex(100 * exp(sum(per_code) / len(per_code)), len(per_code), pairs.height)


def unit_price(unit_price_nano: int, currency: str) -> str:
    """A price of a unit as people write it: in the currency's decimals, or in more where it has them."""
    exact = Decimal(unit_price_nano).scaleb(-9)
    if exact == exact.to_integral_value():
        return format_amount(int(exact), currency)
    return f"{exact.scaleb(-exponent(currency)).normalize():,f}"


def _ours(ours: pl.DataFrame | None, theirs: pl.DataFrame) -> pl.DataFrame:
    """Our price points as rows; where no unit is told, they stand beside every unit that compares with them."""
    if ours is None or ours.is_empty():
        return pl.DataFrame(schema={**theirs.schema})
    told = ours if "unit" in ours.columns else ours.with_columns(unit=pl.lit(None, dtype=pl.String))
    units = theirs.filter(pl.col("code") != "").select("code", _unit="unit").unique(maintain_order=True)
    beside = told.filter(pl.col("unit").is_null()).join(units, on="code", how="left", maintain_order="left")
    beside = beside.with_columns(unit=pl.col("_unit").fill_null("unit")).drop("_unit")
    points = pl.concat([told.filter(pl.col("unit").is_not_null()), beside]).select(
        [pl.col(name).cast(kind) for name, kind in OURS.items()]
    )
    return points.select(
        "code", "currency", "unit_price_nano", "unit", product="name", seller=pl.lit(US), source=pl.lit("our list"), is_ours=pl.lit(True)
    )  # fmt: skip


def _converted(rows: pl.DataFrame, *, currency: str, as_of: date) -> tuple[pl.DataFrame, list[str]]:
    """Rows with `price` in major units of one currency and the day of the rate; and the currencies that have none."""
    found: list[tuple[str, float, date | None]] = []
    missing = []
    for code in rows["currency"].unique(maintain_order=True).to_list():
        try:
            one = pl.DataFrame({"currency": [code], "amount_minor": [SCALE], "on": [as_of]})
            worth = rates.convert(one, to=currency)
            day = worth["rate_on"][0] if code != currency else None
            found.append((code, worth["converted_minor"][0] / SCALE / 10 ** exponent(currency), day))
        except RateMissing:
            missing.append(code)
    factors = pl.DataFrame(found, schema={"currency": pl.String, "factor": pl.Float64, "rate_on": pl.Date}, orient="row")
    return (
        rows.join(factors, on="currency", how="left", maintain_order="left")
        .with_columns(price=pl.col("unit_price_nano") / SCALE * pl.col("factor"))
        .drop("factor"),
        sorted(missing),
    )
