"""Milestones are recorded by the actions of other rooms, in their transaction, with plain ids."""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.kernel import bulk, clock
from topline.kernel.actor import Actor
from topline.timeline.kinds import KINDS
from topline.timeline.models import Milestone


def record(kind: str, subjects: pl.DataFrame, *, subject: str, actor: Actor, on: date | pl.Expr | None = None) -> None:
    """Write a milestone for each row of a batch.

    kind      one of kinds.KINDS, which also says whether customers may see it
    subjects  one row per milestone: `<subject>_id` i64; optional customer_id i64, amount_minor i64, currency str, note str
    subject   what it is about: "invoice", "payment", "customer"
    on        the day it happened (or an expression over subjects); default the clock's day
    Work: one bulk insert. Raises: KeyError for a kind that is not in the table.
    """
    if subjects.is_empty():
        return
    known = KINDS[kind]
    day = on if isinstance(on, pl.Expr) else pl.lit(on or clock.today())
    have = set(subjects.columns)
    bulk.insert(
        Milestone,
        subjects.select(
            kind=pl.lit(kind),
            occurred_on=day,
            recorded_at=pl.lit(clock.now()),
            customer_id=pl.col("customer_id") if "customer_id" in have else pl.lit(None, dtype=pl.Int64),
            subject_kind=pl.lit(subject),
            subject_id=pl.col(f"{subject}_id"),
            actor_key=pl.lit(actor.key),
            amount_minor=pl.col("amount_minor") if "amount_minor" in have else pl.lit(None, dtype=pl.Int64),
            currency=pl.col("currency") if "currency" in have else pl.lit(""),
            note=pl.col("note").str.slice(0, 300) if "note" in have else pl.lit(""),
            visible_to_customer=pl.lit(known.visible_to_customer),
        ),
    )


def record_one(
    kind: str,
    *,
    subject: str,
    subject_id: int,
    actor: Actor,
    on: date | None = None,
    customer_id: int | None = None,
    amount_minor: int | None = None,
    currency: str = "",
    note: str = "",
) -> None:
    """Write a single milestone; see `record`."""
    row = {
        f"{subject}_id": subject_id,
        "customer_id": customer_id,
        "amount_minor": amount_minor,
        "currency": currency,
        "note": note,
    }
    types = {
        f"{subject}_id": pl.Int64,
        "customer_id": pl.Int64,
        "amount_minor": pl.Int64,
        "currency": pl.String,
        "note": pl.String,
    }
    record(kind, pl.DataFrame([row], schema=types), subject=subject, actor=actor, on=on)
