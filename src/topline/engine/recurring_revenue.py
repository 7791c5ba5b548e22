"""Monthly recurring revenue (MRR) and what moved it from one month's end to the next, by customer: the parts always add up.

Definitions are those of subscription practice (ChartMogul, the SaaS Metrics Standards Board): what is paid for by periods, brought to a month; use and what
is sold once stay out. A second subscription of a customer is expansion, ending one of several is contraction; churn is the end of the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from topline.engine.documents import EXACT, round_half_away
from topline.engine.rating.tiers import bounded

A_MONTH = {"day": (365, 12), "week": (52, 12), "month": (1, 1), "quarter": (1, 3), "year": (1, 12)}
KINDS = ("new", "reactivation", "expansion", "contraction", "churn")
BY = ["customer_id", "currency"]
YEAR = 12  # month ends between the two days that retention compares


def monthly(of: str = "exact", *, unit: str = "unit", every: str = "every") -> pl.Expr:
    """What minor units a period (the column `of`) come to in a month, exact: brought from every `every` `unit`s to one month."""
    up, down = ({name: pair[i] for name, pair in A_MONTH.items()} for i in (0, 1))
    times = pl.col(unit).replace_strict(up, return_dtype=pl.Int64).cast(EXACT)
    return pl.col(of).cast(EXACT) * times / (pl.col(unit).replace_strict(down, return_dtype=pl.Int64) * pl.col(every)).cast(EXACT)


def month_ends(through: date, *, back: int, ahead: int = 0) -> list[date]:
    """The last days of months: `back` before the one of a day, its own, and `ahead` after it. In the day's month the day itself stands."""
    first = through.replace(day=1)
    ends = pl.date_range(
        pl.lit(first).dt.offset_by(f"-{back}mo"), pl.lit(first).dt.offset_by(f"{ahead}mo"), interval="1mo", eager=True
    )
    return [through if end.replace(day=1) == first else end for end in ends.dt.month_end()]


def standing(items: pl.DataFrame, days: Sequence[date], *, discounts: pl.DataFrame | None = None) -> pl.DataFrame:
    """MRR of every customer on days on which they have any.

    items      one row per item: customer_id, currency, start, end (first day without it, null: none), unit, every, exact (minor units of a period);
               with discounts also item_id, contract_id and product_id
    discounts  that last (`charges.DISCOUNTS`, in order): each off what the ones before it left, from its day on; an amount at most as often as what it lowers
    returns    one row per customer, currency and day: mrr_minor i64, rounded once. Work: O(items x days).
    """
    on = pl.DataFrame({"day": list(days)}, schema={"day": pl.Date})
    running = (pl.col("start") <= pl.col("day")) & (pl.col("end").is_null() | (pl.col("end") > pl.col("day")))
    rows = items.with_columns(_exact=monthly()).join(on, how="cross").filter(running)
    if discounts is not None and discounts.height:
        rows = _less(rows, discounts)
    sums = rows.group_by(*BY, "day").agg(pl.col("_exact").sum())
    return sums.select(*BY, "day", mrr_minor=round_half_away(pl.col("_exact")).cast(pl.Int64)).filter(pl.col("mrr_minor") > 0)


def movements(stood: pl.DataFrame, items: pl.DataFrame, days: Sequence[date]) -> pl.DataFrame:
    """How each customer's MRR came from one day to the next.

    stood    of `standing`, on these days; items: as there, for the day on which a customer first had any
    returns  one row per customer, currency and day but the first: before_minor, mrr_minor, change_minor, kind (KINDS; null: nothing moved)
    """
    ends = pl.DataFrame({"day": sorted(days)}, schema={"day": pl.Date})
    began = items.filter(pl.col("exact") > 0).group_by(BY).agg(_first=pl.col("start").min())
    grid = (
        stood.select(BY).unique().join(ends, how="cross").join(stood, on=[*BY, "day"], how="left").join(began, on=BY, how="left")
    )
    told = grid.with_columns(pl.col("mrr_minor").fill_null(0)).sort(*BY, "day").with_columns(
        before_minor=pl.col("mrr_minor").shift(1).over(BY), _since=pl.col("day").shift(1).over(BY)
    )  # fmt: skip
    before, now = pl.col("before_minor"), pl.col("mrr_minor")
    kind = (
        pl.when(now == before).then(None)
        .when((before == 0) & (pl.col("_first") > pl.col("_since"))).then(pl.lit("new"))
        .when(before == 0).then(pl.lit("reactivation"))
        .when(now == 0).then(pl.lit("churn"))
        .when(now > before).then(pl.lit("expansion"))
        .otherwise(pl.lit("contraction"))
    )  # fmt: skip
    return told.drop_nulls("before_minor").select(*BY, "day", "before_minor", "mrr_minor", change_minor=now - before, kind=kind)


def bridge(moves: pl.DataFrame) -> pl.DataFrame:
    """MRR from month to month: start + new + reactivation + expansion + contraction + churn = end.

    returns  one row per currency and day on which, or before which, something recurred: start_minor, a sum for each of KINDS, end_minor,
             customers (who pay at its end), customers_before (who paid at its start) and lost (of those, who do not any more)
    """
    sums = [pl.col("change_minor").filter(pl.col("kind") == kind).sum().alias(f"{kind}_minor") for kind in KINDS]
    return moves.group_by("currency", "day").agg(
        pl.col("before_minor").sum().alias("start_minor"), *sums, pl.col("mrr_minor").sum().alias("end_minor"), customers=(pl.col("mrr_minor") > 0).sum(),
        customers_before=(pl.col("before_minor") > 0).sum(), lost=(pl.col("kind") == "churn").sum(),
    ).filter((pl.col("start_minor") > 0) | (pl.col("end_minor") > 0)).sort("currency", "day")  # fmt: skip


def retention(stood: pl.DataFrame, days: Sequence[date], *, apart: int = YEAR) -> pl.DataFrame:
    """What is left, at each day, of the MRR of the customers of `apart` month ends before.

    returns  one row per currency and day that has such a day before it: gross f64 (each customer at most what they had: never above 1) and net f64
             (with expansion; customers who came since are left out; who left and came back counts)
    Sources: SaaS Metrics Standards Board, gross and net revenue retention. Missing where nobody paid then.
    """
    ordered = sorted(days)
    pairs = pl.DataFrame({"then": ordered[:-apart], "day": ordered[apart:]}, schema={"then": pl.Date, "day": pl.Date})
    base = pairs.join(stood.rename({"day": "then", "mrr_minor": "had"}), on="then")
    both = base.join(stood, on=[*BY, "day"], how="left").with_columns(pl.col("mrr_minor").fill_null(0))
    kept = pl.min_horizontal("had", "mrr_minor")
    return both.group_by("currency", "day").agg(
        gross=kept.sum() / pl.col("had").sum(), net=pl.col("mrr_minor").sum() / pl.col("had").sum()
    ).sort("currency", "day")  # fmt: skip


# --- parts ---
@bounded
def _less(rows: pl.DataFrame, discounts: pl.DataFrame) -> pl.DataFrame:
    """Items on days with _exact less what discounts take of it. Raises: AmountTooLarge."""
    left = rows.with_row_index("_row")
    terms = {"unit": "_unit", "every": "_every"}
    placed = discounts.with_columns(_place=pl.int_range(pl.len()).over("contract_id")).rename(terms)
    for at in placed["_place"].unique().sort():
        one = placed.filter(pl.col("_place") == at)
        fits = (
            (pl.col("only_item_ids").is_null() | pl.col("item_id").is_in(pl.col("only_item_ids")).fill_null(value=False))
            & (pl.col("only_product_id").is_null() | (pl.col("only_product_id") == pl.col("product_id")).fill_null(value=False))
            & (pl.col("day") >= pl.col("anchor")) & (pl.col("ended_on").is_null() | (pl.col("day") < pl.col("ended_on"))) & (pl.col("_exact") > 0)
        )  # fmt: skip
        bill = ["discount_id", "day"]
        cut = left.join(one, on="contract_id").filter(fits)
        amount = pl.min_horizontal(
            monthly("amount_minor", unit="_unit", every="_every"), monthly("amount_minor").max().over(bill), pl.col("_exact").sum().over(bill)
        )  # fmt: skip
        part = amount * pl.col("_exact") / pl.col("_exact").sum().over(bill)
        share = pl.col("_exact") * pl.col("share_ppm").cast(EXACT) / 10**6
        taken = cut.select("_row", _taken=pl.when(pl.col("share_ppm").is_null()).then(part).otherwise(share))
        left = left.join(taken, on="_row", how="left", maintain_order="left")
        left = left.with_columns(_exact=pl.col("_exact") - pl.col("_taken").fill_null(0)).drop("_taken")
    return left.drop("_row")
