"""The facts that a deal forecast may know: deals, and changes to them, each with the day it was recorded.

`as_of` is the only cut in time. Everything else works on a book that was cut, so a forecast for a day cannot see that day's future.
A day stands for its morning: what was recorded before it is known. The close of a day is the morning of the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from topline.kernel.errors import Invalid, ensure

Days = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

EPOCH = date(1970, 1, 1)
NEVER = 1 << 30  # a day number beyond every calendar: not closed
WON, LOST = "won", "lost"
COLUMNS = {
    "deal_id": None, "owner": pl.String, "team": pl.String, "product": pl.String, "segment": pl.String, "opened_on": pl.Date,
    "closed_on": pl.Date, "outcome": pl.String, "value_minor": pl.Int64, "list_minor": pl.Int64,
}  # fmt: skip
OPTIONAL = ("currency", "stage", "expected_on", "recorded_on", "close_recorded_on")
LEAKING_WORDS = (
    "outcome", "won", "lost", "loss", "closed", "close_date", "close_value", "reason", "result", "final", "status", "modified", "updated",
    "invoice", "paid", "contract_signed", "cycle_days", "last_activity",
)  # fmt: skip
LEAKING_CORRELATION = 0.97
ENOUGH = 20  # closed deals before a column can be judged by what it does


class LeakingColumn(Invalid):
    """A column that is only known, or only takes its value, once a deal is closed."""

    code = "leaking_column"


class TwoCurrencies(Invalid):
    """Amounts of different currencies in one forecast."""

    code = "two_currencies"


@dataclass(frozen=True, slots=True)
class Book:
    """What a company knows about its deals, all amounts in one currency.

    deals        one row per deal: deal_id; owner, team, product, segment str or null; opened_on date (null: not begun, left out);
                 closed_on date or null; outcome won, lost or null; value_minor i64, what a won deal brought; list_minor i64 or null,
                 what it is worth by the price list of the day. Optional: currency; stage (never one that tells the outcome);
                 expected_on, the owner's date; recorded_on and close_recorded_on where entered later than they happened. Any further
                 column is an input known while the deal is open, competitor for one
    changes      optional, one row per change of a deal's field: deal_id, field, before and after str or null, effective_on, recorded_on;
                 a deal's row says what holds after the last of them
    first_month  month in which the company's year begins: quarters follow it
    """

    deals: pl.DataFrame
    changes: pl.DataFrame | None = None
    first_month: int = 1

    @property
    def extras(self) -> list[str]:
        """Names of the inputs beyond the known columns, in order."""
        return [c for c in self.deals.columns if c not in COLUMNS and c not in OPTIONAL]


def day_number(day: date) -> int:
    """Days since 1970, the number that all arrays here count in."""
    return (day - EPOCH).days


def date_of(number: int) -> date:
    """The date of a day number."""
    return EPOCH + timedelta(days=int(number))


def checked(book: Book) -> Book:
    """The book with its columns in the right types.

    Raises: Invalid where a column is missing, an id repeats, a deal closes before it opens, or has an outcome without its day;
    TwoCurrencies. Work: O(n).
    """
    missing = [c for c in COLUMNS if c not in book.deals.columns]
    ensure(not missing, Invalid(f"Deals lack {', '.join(missing)}.", field="deals"))
    deals = book.deals.with_columns(pl.col(name).cast(kind) for name, kind in COLUMNS.items() if kind is not None)
    ensure(deals["deal_id"].n_unique() == deals.height, Invalid("A deal id repeats.", field="deal_id"))
    odd = deals.filter(pl.col("closed_on") < pl.col("opened_on"))
    ensure(odd.is_empty(), Invalid(f"{odd.height} deals close before they open.", field="closed_on"))
    known = pl.col("outcome").is_in([WON, LOST])
    odd = deals.filter((known.fill_null(False) != pl.col("closed_on").is_not_null()) | ~known.fill_null(True))
    ensure(odd.is_empty(), Invalid(f"{odd.height} deals have an outcome without a day, or a day without one.", field="outcome"))
    ensure(
        not bool((deals.select(pl.min_horizontal("value_minor", "list_minor").fill_null(0) < 0)).to_series().any()),
        Invalid("A deal is worth less than nothing.", field="value_minor"),
    )
    if "currency" in deals.columns and deals["currency"].drop_nulls().n_unique() > 1:
        raise TwoCurrencies("Deals in two currencies do not add up.", field="currency", remedy="Convert them to one first.")
    return replace(book, deals=deals)


def as_of(book: Book, day: date) -> Book:
    """The book as it was known before a day: later deals are gone, later closings are open again, later changes are undone.

    Work: one pass over deals and changes.
    """
    deals, changes = book.deals, book.changes
    entered = pl.col("recorded_on" if "recorded_on" in deals.columns else "opened_on").fill_null(pl.col("opened_on"))
    deals = deals.filter(pl.max_horizontal(entered, "opened_on") < day)
    told = pl.col("close_recorded_on") if "close_recorded_on" in deals.columns else pl.col("closed_on")
    open_again = pl.max_horizontal(told, "closed_on") >= day
    outcome = [c for c in ("closed_on", "outcome", "value_minor", "close_recorded_on") if c in deals.columns]
    still = open_again | pl.col("closed_on").is_null()
    deals = deals.with_columns(pl.when(~still).then(pl.col(name)).alias(name) for name in outcome)
    if changes is not None:
        later = changes.filter(pl.col("recorded_on") >= day).sort("recorded_on", "effective_on", maintain_order=True)
        for name in later["field"].unique().sort().to_list():
            if name not in deals.columns or name in outcome:
                continue
            first = later.filter(pl.col("field") == name).group_by("deal_id").agg(pl.col("before").first(), undone=pl.lit(True))
            deals = (
                deals.join(first, on="deal_id", how="left", maintain_order="left")
                .with_columns(
                    pl.when(pl.col("undone")).then(pl.col("before").cast(deals.schema[name])).otherwise(pl.col(name)).alias(name)
                )
                .drop("before", "undone")
            )
        changes = changes.filter(pl.col("recorded_on") < day).join(deals.select("deal_id"), on="deal_id", how="semi")
    return replace(book, deals=deals.sort("deal_id"), changes=changes)


def refuse_leaks(book: Book) -> None:
    """Refuse inputs that know the outcome: by name, and by what they do to the closed deals of this book.

    A column fails the test if its values, its groups or its being filled follow the outcome almost in a straight line (a
    correlation of at least 0.97 over 20 closed deals or more), or its values follow the days that deals took.
    Raises: LeakingColumn. Work: O(deals x columns).
    """
    for name in book.extras:
        plain = name.lower().replace(" ", "_")
        ensure(
            not any(word in plain.split("_") or (len(word) > 5 and word in plain) for word in LEAKING_WORDS),
            LeakingColumn(
                f"Column {name} is only known once a deal is closed, so it may not predict.", field=name, remedy="Leave it out."
            ),
        )
    closed = book.deals.filter(pl.col("outcome").is_not_null())
    if closed.height < ENOUGH:
        return
    won = (closed["outcome"] == WON).cast(pl.Float64)
    took = (closed["closed_on"] - closed["opened_on"]).dt.total_days().cast(pl.Float64)
    for name in [*book.extras, *(["stage"] if "stage" in closed.columns else [])]:
        column = closed[name]
        signals = [column.is_not_null().cast(pl.Float64), _group_means(column, won)]
        followed = [won]
        if column.dtype.is_numeric() or column.dtype.is_temporal() or column.dtype == pl.Boolean:
            signals.append(column.to_physical().cast(pl.Float64))
            followed.append(took)
        betrays = any(abs(_correlation(signal, outcome)) >= LEAKING_CORRELATION for signal in signals for outcome in followed)
        ensure(
            not betrays,
            LeakingColumn(f"Column {name} equals the outcome that it should predict.", field=name, remedy="Leave it out."),
        )


def _group_means(column: pl.Series, won: pl.Series) -> pl.Series:
    """Share won in each deal's group; nothing for groups too small to tell."""
    frame = pl.DataFrame({"group": column.cast(pl.String), "won": won})
    return frame.select(pl.when(pl.len().over("group") >= 5).then(pl.col("won").mean().over("group")))["won"]


def _correlation(x: pl.Series, y: pl.Series) -> float:
    both = pl.DataFrame({"x": x, "y": y}).drop_nulls().filter(pl.col("x").is_finite())
    if both.height < ENOUGH or both["x"].n_unique() < 2 or both["y"].n_unique() < 2:
        return 0.0
    return float(np.corrcoef(both["x"].to_numpy(), both["y"].to_numpy())[0, 1])


@dataclass(frozen=True, slots=True)
class Quarters:
    """Where days lie in the company's quarters: start and end (the first day after it) of the quarter of each day number."""

    first: int
    start: Days
    end: Days

    @staticmethod
    def of(first: int, last: int, *, first_month: int) -> Quarters:
        """A table of the days [first, last]. Raises: Invalid for a month outside 1 to 12."""
        ensure(1 <= first_month <= 12, Invalid("A year begins in a month from 1 to 12.", field="first_month"))
        months = np.arange(first, last + 1).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        begun = months - (months - (first_month - 1)) % 3
        start, end = (m.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for m in (begun, begun + 3))
        return Quarters(first, start, end)

    def place(self, day: Days) -> tuple[Days, Days]:
        """Days since the quarter began, and days to its end."""
        at = day - self.first
        return day - self.start[at], self.end[at] - day


@dataclass(frozen=True, slots=True)
class History:
    """Deals as arrays, one element per deal that was begun. Days are day numbers, closed NEVER while open.

    amount is what a deal is worth while it is open: its list price; where it has none, the usual one.
    begin is the first day on which a closing was recorded: before it nobody watched, so nothing is learned from those days.
    """

    rows: pl.DataFrame
    opened: Days
    closed: Days
    won: Flags
    value: Matrix
    amount: Matrix
    begin: int

    def __len__(self) -> int:
        return len(self.opened)


def history(book: Book) -> History:
    """The begun deals of a book that was cut to a day. Work: O(n)."""
    rows = book.deals.filter(pl.col("opened_on").is_not_null())
    opened = rows["opened_on"].to_physical().cast(pl.Int64).to_numpy()
    closed = rows["closed_on"].to_physical().cast(pl.Int64).fill_null(NEVER).to_numpy()
    won = (rows["outcome"] == WON).fill_null(False).to_numpy()
    value = np.where(won, rows["value_minor"].fill_null(0).cast(pl.Float64).to_numpy(), 0.0)
    usual = rows.select(
        pl.col("list_minor").mean().fill_null(pl.col("value_minor").filter(pl.col("outcome") == WON).mean()).fill_null(0.0)
    )
    amount = rows["list_minor"].cast(pl.Float64).fill_null(usual.item()).to_numpy()
    ended = closed[closed < NEVER]
    return History(rows, opened, closed, won, value, amount, int(ended.min()) if len(ended) else NEVER)
