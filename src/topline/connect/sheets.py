"""What the readers of all kinds share: good rows beside told problems, and the means to tell them."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from topline.engine.sheets import Profile
from topline.kernel.money import format_amount
from topline.market import queries as market

AMOUNTS = {"amount", "open", "price", "tax"}  # columns in minor units, told as people write them
PROBLEM = {"row": pl.Int64, "column": pl.String, "value": pl.String, "code": pl.String, "message": pl.String, "remedy": pl.String}


@dataclass(frozen=True)
class Ready:
    """What an import would write: good rows in the order of the file, and the problems of the others."""

    rows: pl.DataFrame
    problems: pl.DataFrame
    detected: dict[str, str] = field(default_factory=dict)


def with_currency(rows: pl.DataFrame, using: Profile) -> pl.DataFrame:
    """Rows with the profile's currency where they name none."""
    given = pl.col("currency").replace("", None) if "currency" in rows.columns else pl.lit(None, dtype=pl.String)
    return rows.with_columns(currency=given.fill_null(using.currency))


def optional(rows: pl.DataFrame, texts: dict[str, str]) -> pl.DataFrame:
    """Rows with text columns that the file may lack, empty cells filled."""
    return rows.with_columns(
        [
            pl.col(name).replace("", None).fill_null(default) if name in rows.columns else pl.lit(default).alias(name)
            for name, default in texts.items()
        ]
    )


def refuse(
    rows: pl.DataFrame, problems: list[pl.DataFrame], odd: pl.Expr, column: str, code: str, what: str, remedy: str
) -> pl.DataFrame:
    """Move rows that fit `odd` to the problems, each with its sentence; returns the others."""
    bad = rows.filter(odd.fill_null(False))
    value = pl.col(column).cast(pl.String).fill_null("")
    if column in AMOUNTS and "currency" in bad.columns:
        bad = bad.with_columns(
            pl.Series(column, ["" if v is None else format_amount(v, c) for v, c in bad.select(column, "currency").iter_rows()], dtype=pl.String)
        )  # fmt: skip
    problems.append(
        bad.select(
            "row", column=pl.lit(column), value=value.str.slice(0, 60), code=pl.lit(code),
            message=pl.format("Row {}, column {}: '{}' {}.", "row", pl.lit(column), value, pl.lit(what)), remedy=pl.lit(remedy),
        )
    )  # fmt: skip
    return rows.filter(~odd.fill_null(False))


def refuse_shared(rows: pl.DataFrame, problems: list[pl.DataFrame]) -> pl.DataFrame:
    """The rows whose customer may be told; a name that several bear is not guessed at."""
    shared = market.shared_names(rows["customer"].filter(rows["customer"] != ""))
    odd = pl.col("customer").is_in(shared.implode())
    cure = "Write the customer's number, or merge the records on the Customers page."
    return refuse(rows, problems, odd, "customer", "several_customers", "is the name of several customers", cure)
