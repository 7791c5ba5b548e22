"""What deals were on a day, from their changes; and the changes that a bare list of deals still tells."""

from __future__ import annotations

from datetime import date

import polars as pl

CHANGE = {"opportunity_id": pl.Int64, "field": pl.String, "after": pl.String, "effective_on": pl.Date, "id": pl.Int64}
FACTS = {
    "stage": pl.String,
    "category": pl.String,
    "amount": pl.Int64,
    "close_on": pl.Date,
    "rep": pl.Int64,
    "next_step": pl.String,
}  # what of a deal changes over time, and its type


def state_at(changes: pl.DataFrame, day: date) -> pl.DataFrame:
    """What every deal was at the end of a day.

    changes  one row per change: opportunity_id i64, field str, after str (empty: none), effective_on date, id i64 ascending as recorded
    returns  one row per deal that had a stage by then: opportunity_id, stage str, category str, amount i64 minor units, close_on date,
             rep i64, next_step str; null where nothing was known
    Work: one pass and one group-by over the changes up to the day.
    """
    last = (
        changes.filter(pl.col("effective_on") <= day, pl.col("field").is_in(list(FACTS)))
        .sort("effective_on", "id")
        .group_by("opportunity_id", "field", maintain_order=True)
        .agg(pl.col("after").last().replace("", None))
    )
    wide = last.pivot(on="field", index="opportunity_id", values="after") if last.height else last.select("opportunity_id")
    absent = [pl.lit(None, dtype=pl.String).alias(name) for name in FACTS if name not in wide.columns]
    full = wide.with_columns(absent)
    return full.select("opportunity_id", *(_typed(name, kind) for name, kind in FACTS.items())).drop_nulls("stage")


def _typed(name: str, kind: type[pl.DataType]) -> pl.Expr:
    return pl.col(name).str.to_date("%Y-%m-%d") if kind is pl.Date else pl.col(name).cast(kind)


def changes_told(
    deals: pl.DataFrame, *, categories: dict[str, str], entry_stage: str, engaged_stage: str, known_on: date
) -> pl.DataFrame:
    """The history that a list of deals without one still tells, and nothing that could only be known later.

    A deal begins on the first day that is told of it, in `entry_stage` where it says when it was opened, in `engaged_stage` from the
    day of the first talk; with no day at all it begins on `known_on`, the day of the list. What a closed deal was worth, and when it
    would close, is known from its closing on; of an open deal, from its beginning, its stage from `known_on` where no day tells it.

    deals       one row per deal: ref str, stage str, is_closed bool, category str, amount_minor i64, rep_id i64, opened_on, engaged_on,
                close_on, closed_on dates, next_step, loss_reason, competitor str
    categories  the usual category of each stage
    returns     one row per change in order: ref, field, before, after (text, empty for none), effective_on
    Work: one sort of the changes.
    """
    begins = pl.coalesce(pl.min_horizontal("opened_on", "engaged_on"), "closed_on", pl.lit(known_on))
    rows = deals.with_columns(_begins=begins, _learned=pl.when("is_closed").then("closed_on").otherwise(begins))
    steps = [
        rows.filter(pl.col("opened_on").is_not_null()).select("ref", _on="opened_on", _order=0, after=pl.lit(entry_stage)),
        rows.filter(pl.col("engaged_on").is_not_null(), pl.lit(engaged_stage != "")).select(
            "ref", _on="engaged_on", _order=1, after=pl.lit(engaged_stage)
        ),
        rows.select(
            "ref",
            _on=pl.when("is_closed")
            .then("closed_on")
            .when(pl.col("opened_on").is_null() & pl.col("engaged_on").is_null())
            .then("_begins")
            .otherwise(pl.max_horizontal("_begins", pl.lit(known_on))),
            _order=2,
            after="stage",
        ),
    ]
    typed = [step.with_columns(pl.col("_order").cast(pl.Int32), pl.col("after").cast(pl.String)) for step in steps]
    stages = pl.concat(typed).with_columns(field=pl.lit("stage"))
    final = stages["_order"] == 2
    own = deals.select("ref", "category")
    sure = (
        stages.join(own, on="ref", how="left", maintain_order="left")
        .with_columns(
            after=pl.when(final).then("category").otherwise(pl.col("after").replace_strict(categories, default="pipeline")),
            field=pl.lit("category"),
        )
        .select(stages.columns)
    )
    facts = [
        rows.select("ref", _on=day, _order=pl.lit(3, dtype=pl.Int32), after=pl.col(column).cast(pl.String), field=pl.lit(field))
        for field, column, day in (
            ("rep", "rep_id", "_begins"),
            ("amount", "amount_minor", "_learned"),
            ("close_on", "close_on", "_learned"),
            ("next_step", "next_step", "_learned"),
            ("loss_reason", "loss_reason", "_learned"),
            ("competitor", "competitor", "_learned"),
        )
    ]
    parts = [stages, sure, *(fact.select(stages.columns) for fact in facts)]
    told = pl.concat(parts).with_columns(pl.col("after").fill_null("")).sort("ref", "_on", "_order", maintain_order=True)
    told = told.with_columns(before=pl.col("after").shift(1).over("ref", "field").fill_null(""))
    return told.filter(pl.col("before") != pl.col("after")).select("ref", "field", "before", "after", effective_on="_on")
