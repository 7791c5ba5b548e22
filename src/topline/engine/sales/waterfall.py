"""What became of the pipeline between two days: every step told by the deals behind it, and the steps always sum exactly."""

from __future__ import annotations

from datetime import date

import polars as pl

STEPS = ["created", "pulled_in", "value_up", "reopened", "won", "lost", "pushed_out", "value_down", "omitted"]
OUT = {"won", "lost", "pushed_out", "value_down", "omitted"}
_FACTS = ["state", "category", "close_on", "value_minor"]


def waterfall(before: pl.DataFrame, after: pl.DataFrame, *, since: date | None = None, until: date | None = None) -> pl.DataFrame:
    """The bridge from the open pipeline of one day to that of a later one.

    before, after  one row per deal known on the day: opportunity_id i64, currency str, state str (open, won, lost), category str, close_on
                   date, value_minor i64 (null counts as nothing)
    since, until   the deals that are expected to close in [since, until) are the pipeline; without them all open ones are. A deal
                   that is omitted is no part of it
    returns        one row per deal and step: opportunity_id, currency, step (start, one of STEPS, or end), amount_minor i64; steps out of the
                   pipeline are negative. Per currency start + all steps = end, to the cent
    A deal may take several steps: one that was pulled in and became larger takes two. What was won or lost without having been in the
    pipeline of the first day came in first (created, pulled in, reopened), so that `won` holds all that was won.
    Source: FIELD 2.2. Work: one join of the two days.
    """
    one = before.select("opportunity_id", "currency", *(pl.col(c).alias(f"{c}_a") for c in _FACTS))
    two = after.select("opportunity_id", pl.col("currency").alias("_currency"), *(pl.col(c).alias(f"{c}_b") for c in _FACTS))
    both = one.join(two, on="opportunity_id", how="full", coalesce=True).with_columns(
        currency=pl.coalesce("currency", "_currency"),
        a=pl.col("value_minor_a").fill_null(0),
        b=pl.col("value_minor_b").fill_null(0),
        in_a=_inside("a", since, until),
        in_b=_inside("b", since, until),
        won=(pl.col("state_b").fill_null("") == "won") & (pl.col("state_a").fill_null("") != "won"),
        lost=(pl.col("state_b").fill_null("") == "lost") & (pl.col("state_a").fill_null("") != "lost"),
    )
    is_new, was_closed = pl.col("state_a").is_null(), pl.col("state_a").is_in(["won", "lost"])
    was_omitted = pl.col("category_a") == "omitted"
    in_a, in_b, won, lost = (pl.col(c) for c in ("in_a", "in_b", "won", "lost"))
    lost_from = lost & (in_a | is_new)  # what was lost without ever having been in the pipeline is no part of the bridge
    comes = ~in_a & (in_b | won | (lost & is_new))
    # how it came in, at what it was worth then: a new deal and one that comes back at what they are worth now
    entry = (
        pl.when(is_new)
        .then(pl.lit("created"))
        .when(was_closed | was_omitted)
        .then(pl.lit("reopened"))
        .otherwise(pl.lit("pulled_in"))
    )
    entry_value = pl.when(is_new | was_closed | was_omitted).then("b").otherwise("a")
    stays_worth = pl.when(comes).then(entry_value).otherwise("a")
    leaves_at_old = ~won & (lost | ~in_b)  # lost, pushed and omitted deals leave at what they were worth when last seen inside
    moved = pl.when((in_a | comes) & ~(leaves_at_old & ~comes)).then(pl.col("b") - stays_worth).otherwise(0)
    gone = in_a & ~in_b & ~won & ~lost
    parts = [
        both.filter(in_a).select("opportunity_id", "currency", step=pl.lit("start"), amount_minor="a"),
        both.filter(comes).select("opportunity_id", "currency", step=entry, amount_minor=entry_value),
        _leg(both.with_columns(_m=moved).filter(pl.col("_m") > 0), "value_up", pl.col("_m")),
        _leg(both.with_columns(_m=moved).filter(pl.col("_m") < 0), "value_down", pl.col("_m")),
        _leg(both.filter(won), "won", -pl.col("b")),
        _leg(both.filter(lost_from), "lost", -pl.when(in_a).then("a").otherwise("b")),
        both.filter(gone).select(
            "opportunity_id",
            "currency",
            step=pl.when(pl.col("category_b") == "omitted").then(pl.lit("omitted")).otherwise(pl.lit("pushed_out")),
            amount_minor=-pl.col("a"),
        ),
        both.filter(in_b).select("opportunity_id", "currency", step=pl.lit("end"), amount_minor="b"),
    ]
    order = pl.Enum(["start", *STEPS, "end"])
    return pl.concat(parts).with_columns(pl.col("step").cast(order)).sort("currency", "step", "opportunity_id").with_columns(
        pl.col("step").cast(pl.String)
    )  # fmt: skip


def summary(legs: pl.DataFrame) -> pl.DataFrame:
    """One row per currency and step that any deal took, in order: currency, step, deals i64, amount_minor i64; every step stands there."""
    steps = pl.DataFrame({"step": ["start", *STEPS, "end"]}).with_row_index("_order")
    every = legs.select("currency").unique(maintain_order=True).join(steps, how="cross")
    found = legs.group_by("currency", "step").agg(deals=pl.len().cast(pl.Int64), amount_minor=pl.col("amount_minor").sum())
    return (
        every.join(found, on=["currency", "step"], how="left")
        .with_columns(pl.col("deals", "amount_minor").fill_null(0))
        .sort("currency", "_order")
        .drop("_order")
    )


def _inside(day: str, since: date | None, until: date | None) -> pl.Expr:
    inside = (pl.col(f"state_{day}") == "open") & (pl.col(f"category_{day}") != "omitted")
    if since is not None:
        inside &= (pl.col(f"close_on_{day}") >= since).fill_null(False)
    if until is not None:
        inside &= (pl.col(f"close_on_{day}") < until).fill_null(False)
    return inside.fill_null(False)


def _leg(rows: pl.DataFrame, step: str, amount: pl.Expr) -> pl.DataFrame:
    return rows.select("opportunity_id", "currency", step=pl.lit(step), amount_minor=amount)
