"""Proration: the part of a price that a part of a period costs, and what a change inside a period credits and charges.

Every period is half-open: [start, end). The part is taken of the whole period, never of a shortened first one, and each
amount is rounded once.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

import polars as pl

from topline.engine.documents import EXACT, PPM, round_half_away
from topline.kernel.errors import Conflict, Invalid

Mode = Literal["invoice_now", "with_next_invoice", "at_period_end", "restart"]
MODES: tuple[Mode, ...] = ("invoice_now", "with_next_invoice", "at_period_end", "restart")
_A_YEAR = {"day": 365, "week": 52, "month": 12, "quarter": 4, "year": 1}


class BilledTwice(Conflict):
    """Two charges that nothing took back cover the same days of one item."""

    code = "billed_twice"


def days_between(start: pl.Expr, end: pl.Expr, *, month_days: int | pl.Expr | None = None) -> pl.Expr:
    """Days of [start, end).

    month_days  a fixed month length instead of the calendar: every month, February too, counts as that many days
    """
    if month_days is None:
        return (end - start).dt.total_days()

    fixed = month_days if isinstance(month_days, pl.Expr) else pl.lit(month_days, dtype=pl.Int64)

    def day(of: pl.Expr) -> pl.Expr:
        return pl.min_horizontal(of.dt.day().cast(pl.Int64), fixed)

    months = (end.dt.year().cast(pl.Int64) - start.dt.year()) * 12 + end.dt.month().cast(pl.Int64) - start.dt.month()
    return months * fixed + day(end) - day(start)


def prorate(rows: pl.DataFrame, *, month_days: int | None = None) -> pl.DataFrame:
    """The price of the part of a period that is billed.

    rows     one row per part: price_minor i64 (of the whole period), start, end (billed part), full_start, full_end (the whole
             period), all dates (by day) or all instants (by second); optional free_days i64 (trial days inside the part)
    returns  rows with billed i64 and full i64 (days or seconds), exact decimal(38,15) and amount_minor i64
    A part never costs less than nothing, nor more than the whole price. Work: O(n).
    """
    by_day = rows.schema["start"] == pl.Date

    def size(start: str, end: str) -> pl.Expr:
        if by_day:
            return days_between(pl.col(start), pl.col(end), month_days=month_days)
        return (pl.col(end) - pl.col(start)).dt.total_seconds()

    free = pl.col("free_days").fill_null(0) * (1 if by_day else 86_400) if "free_days" in rows.columns else pl.lit(0)
    exact = pl.col("price_minor").cast(EXACT) * pl.col("billed").cast(EXACT) / pl.col("full").cast(EXACT)
    return (
        rows.with_columns(full=size("full_start", "full_end"))
        .with_columns(billed=pl.min_horizontal((size("start", "end") - free).clip(0), "full"))
        .with_columns(exact=exact)
        .with_columns(amount_minor=round_half_away(pl.col("exact")))
    )


def remaining(periods: pl.DataFrame, removed: pl.DataFrame) -> pl.DataFrame:
    """What is left of periods once others are taken out of them: pauses, replaced parts, or days already billed.

    periods  one row per period: item_id, start, end, and whatever else is kept
    removed  one row per stretch to take out: item_id, start, end; they may overlap
    returns  one row per part left, in order: the columns of its period with start and end of the part; period_start, period_end
    Work: O((periods + removed) log n), a join within each item.
    """
    numbered = periods.with_row_index("_period").with_columns(period_start=pl.col("start"), period_end=pl.col("end"))
    cuts = (
        numbered.select("_period", "item_id", "period_start", "period_end")
        .join(removed.select("item_id", _from="start", _to="end"), on="item_id")
        .filter((pl.col("_from") < pl.col("period_end")) & (pl.col("_to") > pl.col("period_start")))
        .sort("_period", "_from")
        .with_columns(_to=pl.col("_to").cum_max().over("_period"))
    )
    # a part begins where the cuts so far end, and reaches to the next cut or the end of the period
    opened = cuts.select("_period", start="_to", _next=pl.col("_from").shift(-1).over("_period"))
    first = cuts.group_by("_period", maintain_order=True).agg(_next=pl.col("_from").first())
    whole = numbered.select("_period", "period_start").join(first, on="_period", how="left", maintain_order="left")
    parts = pl.concat([whole.select("_period", start="period_start", _next="_next"), opened.select("_period", "start", "_next")])
    return (
        numbered.drop("start", "end")
        .join(parts, on="_period")
        .with_columns(end=pl.min_horizontal("_next", "period_end"))
        .filter(pl.col("start") < pl.col("end"))
        .sort("_period", "start")
        .select([*periods.columns, *(c for c in ("period_start", "period_end") if c not in periods.columns)])
    )


def ensure_billed_once(billed: pl.DataFrame) -> None:
    """Refuse charges of one item that cover the same days and were not taken back.

    billed  one row per standing charge: item_id, start, end
    Raises: BilledTwice, naming the items. Work: O(n log n).
    """
    before = pl.col("end").cum_max().shift(1).over("item_id")
    twice = billed.sort("item_id", "start").filter(pl.col("start") < before)["item_id"].unique().sort().to_list()
    if twice:
        raise BilledTwice("Days were billed twice.", field="item_id", remedy="Credit one of the charges.", items=twice[:100])


def direction(changes: pl.DataFrame) -> pl.DataFrame:
    """Whether a change is an upgrade or a downgrade: prices are compared a year, so that intervals may differ.

    changes  one row per change: old_price_minor, old_unit str, old_every i64, new_price_minor, new_unit, new_every
    returns  changes with direction str: upgrade, downgrade or same
    Work: O(n).
    """

    def yearly(side: str) -> pl.Expr:
        a_year = pl.col(f"{side}_unit").replace_strict(_A_YEAR, return_dtype=pl.Int64)
        return pl.col(f"{side}_price_minor").cast(EXACT) * a_year.cast(EXACT) / pl.col(f"{side}_every").cast(EXACT)

    old, new = yearly("old"), yearly("new")
    word = pl.when(new > old).then(pl.lit("upgrade")).when(new < old).then(pl.lit("downgrade")).otherwise(pl.lit("same"))
    return changes.with_columns(direction=word)


def change(changes: pl.DataFrame) -> pl.DataFrame:
    """What a change of price or plan credits, charges and moves, by the mode chosen for its direction.

    changes  one row per change of an item paid in advance: old_price_minor, new_price_minor, paid_minor (what was billed for the
             part from paid_from), paid_from, full_start, full_end, changed_on dates (a backdated change is the same call),
             mode str
    returns  changes with effective_on, credit_exact (unused part of what was paid), charge_exact (new price from effective_on),
             credit_minor and charge_minor rounded one by one, due_minor = charge - credit, bill_on (null: with the next
             invoice), new_start (first day of the new period, where one starts)

    invoice_now        credit and charge of the rest of the period, billed on the day; the change day is the new plan's
    with_next_invoice  the same amounts, on the next invoice
    at_period_end      the new price from the next period; nothing is credited
    restart            the unused part is credited and a whole new period starts on the day, at the full new price
    A change on the first day credits all that was paid; one outside the period is refused.
    Raises: Invalid. Work: O(n).
    """
    unknown = set(changes["mode"].unique()) - set(MODES)
    if unknown:
        raise Invalid(f"{sorted(unknown)} is not a mode of proration.", field="mode", remedy=f"Use one of {', '.join(MODES)}.")
    outside = changes.filter((pl.col("changed_on") < pl.col("paid_from")) | (pl.col("changed_on") > pl.col("full_end")))
    if outside.height:
        raise Invalid("A change lies outside of its period.", field="changed_on", remedy="Change the period it falls into.")
    later = pl.col("mode") == "at_period_end"
    day, end = pl.col("effective_on"), pl.col("full_end")

    def days(start: pl.Expr | str, until: pl.Expr) -> pl.Expr:
        return (until - (pl.col(start) if isinstance(start, str) else start)).dt.total_days().cast(EXACT)

    unused = pl.col("paid_minor").cast(EXACT) * days(day, end) / days("paid_from", end)
    new = pl.col("new_price_minor").cast(EXACT)
    part = new * days(day, end) / days("full_start", end)
    return (
        changes.with_columns(effective_on=pl.when(later).then("full_end").otherwise("changed_on"))
        .with_columns(credit_exact=unused, charge_exact=pl.when(pl.col("mode") == "restart").then(new).otherwise(part))
        .with_columns(
            credit_minor=round_half_away(pl.col("credit_exact")),
            charge_minor=round_half_away(pl.col("charge_exact")),
            bill_on=pl.when(pl.col("mode") != "with_next_invoice").then("effective_on"),
            new_start=pl.when(later | (pl.col("mode") == "restart")).then("effective_on"),
        )
        .with_columns(due_minor=pl.col("charge_minor") - pl.col("credit_minor"))
    )


def unused_credit(rows: pl.DataFrame) -> pl.DataFrame:
    """The credit for the part of a paid period that a cancellation leaves unused, with its tax.

    rows     one row per line: price_minor (billed), left_minor (what earlier credits left of it), tax_rate_ppm, start, end,
             ended_on (first day that is not used)
    returns  rows with unused_days, credit_exact, credit_minor (never more than is left), credit_tax_minor (on the unrounded
             credit), credit_total_minor, earned_minor
    Work: O(n).
    """
    days = (pl.col("end") - pl.max_horizontal("ended_on", "start")).dt.total_days().clip(0)
    whole = (pl.col("end") - pl.col("start")).dt.total_days().cast(EXACT)
    exact = pl.min_horizontal(
        pl.col("price_minor").cast(EXACT) * pl.col("unused_days").cast(EXACT) / whole, pl.col("left_minor").cast(EXACT)
    )
    return (
        rows.with_columns(unused_days=days)
        .with_columns(credit_exact=exact)
        .with_columns(
            credit_minor=round_half_away(pl.col("credit_exact")),
            credit_tax_minor=round_half_away(pl.col("credit_exact") * pl.col("tax_rate_ppm").cast(EXACT) / PPM),
        )
        .with_columns(
            credit_total_minor=pl.col("credit_minor") + pl.col("credit_tax_minor"),
            earned_minor=pl.col("price_minor") - pl.col("credit_minor"),
        )
    )


def ramp(items: pl.DataFrame, phases: pl.DataFrame) -> pl.DataFrame:
    """The price and quantity in force in each billed period of a ramp, split where a phase begins inside a period.

    items    one row per billed period: item_id, start, end, full_start, full_end
    phases   one row per phase: item_id, from_on date, price_minor i64 (a period, a unit), quantity i64; a phase lasts until the next
    returns  one row per period and phase that touches it, start and end cut to the phase, with price_minor and quantity; a
             period before the first phase has no row. Give it to `prorate` for the amounts
    Work: O(n log n).
    """
    until = pl.col("from_on").shift(-1).over("item_id").fill_null(date.max)
    spans = phases.sort("item_id", "from_on").with_columns(_until=until)
    return (
        items.join(spans, on="item_id", maintain_order="left")
        .with_columns(start=pl.max_horizontal("start", "from_on"), end=pl.min_horizontal("end", "_until"))
        .filter(pl.col("start") < pl.col("end"))
        .drop("_until", "from_on")
    )
