"""What selling brought: bookings, deals, win rates, cycle and velocity of the deals closed in a span, by whatever groups them."""

from __future__ import annotations

import polars as pl

FIGURES = ["won", "lost", "bookings_minor", "average_minor", "win_rate", "win_rate_value", "cycle_mean", "cycle_median", "cycle_p90", "velocity_minor"]  # fmt: skip


def statistics(closed: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Sales figures per group of closed deals.

    closed   one row per deal won or lost in the span: state str (won, lost), currency str, value_minor i64 (amount, else list; null
             where neither is known), amount_minor i64, cycle_days i64 (first talk or opening to closing; null where unknown), and `by`
    by       columns that group; the currency always does, so that no two are ever added
    returns  one row per group and currency: won, lost (deals), bookings_minor (won), average_minor (of won deals only), win_rate (by
             count), win_rate_value (by value: lost deals at what they were worth), cycle_mean, cycle_median, cycle_p90 (days, of won deals),
             velocity_minor (a day: deals x win rate x average won deal / mean cycle, all of the same deals); null where nothing divides
    Source: FIELD 2.2. Work: one group-by.
    """
    won, lost = pl.col("state") == "won", pl.col("state") == "lost"
    cycle = pl.col("cycle_days").filter(won)
    value = pl.col("value_minor")
    grouped = closed.group_by([*by, "currency"], maintain_order=True).agg(
        won=won.sum().cast(pl.Int64),
        lost=lost.sum().cast(pl.Int64),
        bookings_minor=pl.col("amount_minor").filter(won).sum(),
        _won_value=value.filter(won).sum(),
        _lost_value=value.filter(lost).sum(),
        cycle_mean=cycle.mean(),
        cycle_median=cycle.median(),
        cycle_p90=cycle.quantile(0.9, "nearest"),
    )
    rated = grouped.with_columns(
        average_minor=_share(pl.col("bookings_minor"), pl.col("won")),
        win_rate=_share(pl.col("won"), pl.col("won") + pl.col("lost")),
        win_rate_value=_share(pl.col("_won_value"), pl.col("_won_value") + pl.col("_lost_value")),
    )
    deals = pl.col("won") + pl.col("lost")
    speed = deals * pl.col("average_minor") * pl.col("win_rate")
    told = rated.with_columns(velocity_minor=_share(speed, pl.col("cycle_mean")))
    return told.select(*by, "currency", *FIGURES)


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)
