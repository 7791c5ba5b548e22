"""What people said about an invoice changes when it is paid: promises, disputes, the law.

Rules of credit management: a promised invoice is expected on the promised day; a disputed one at due + the usual time to resolve
such a dispute + the customer's usual delay; one in litigation is left out of the forecast.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from topline.engine.payment_timing.book import NEVER, Book, Days, Matrix, history
from topline.engine.payment_timing.kaplan_meier import cell, survival

KEPT_PRIOR, KEPT_WEIGHT = 0.7, 10.0  # promises kept before a company has its own record, and how many of its own that counts for
GRACE = 5  # days after the promised day within which it counts as kept
RESOLUTION_PRIOR, RESOLUTION_WEIGHT = 30.0, 5.0
AROUND_PROMISE = np.array([0.08, 0.50, 0.20, 0.10, 0.06, 0.04, 0.02])  # one day early to five days late


def standing(book: Book, invoice_ids: Sequence[int | str], *, day: int) -> pl.DataFrame:
    """What is open about each invoice before a day: the last promise that is not past, an unresolved dispute, litigation.

    book     as known before the day (`as_of`)
    returns  one row per invoice, in order: invoice_id, promised i64 (day number or null), kind str or null, contested_minor i64 (null: all
             of it), in_litigation bool
    """
    rows = pl.DataFrame({"invoice_id": invoice_ids})
    promised = pl.DataFrame(schema={"invoice_id": rows["invoice_id"].dtype, "promised": pl.Int64})
    if book.promises is not None:
        last = book.promises.sort("learned_on", "promised_on").group_by("invoice_id", maintain_order=True).last()
        promised = last.select("invoice_id", promised=pl.col("promised_on").to_physical().cast(pl.Int64)).filter(
            pl.col("promised") >= day
        )
    disputes = pl.DataFrame(
        schema={
            "invoice_id": rows["invoice_id"].dtype,
            "kind": pl.String,
            "contested_minor": pl.Int64,
            "in_litigation": pl.Boolean,
        }
    )
    if book.disputes is not None:
        still = book.disputes.filter(pl.col("resolved_on").is_null()).sort("learned_on")
        disputes = still.group_by("invoice_id", maintain_order=True).agg(
            pl.col("kind").last(),
            contested_minor=pl.col("amount_minor").sum()
            if "amount_minor" in still.columns
            else pl.lit(None, dtype=pl.Int64).first(),
            in_litigation=pl.col("in_litigation").fill_null(False).any(),
        )
    return (
        rows.join(promised, on="invoice_id", how="left", maintain_order="left")
        .join(disputes, on="invoice_id", how="left", maintain_order="left")
        .with_columns(pl.col("in_litigation").fill_null(False))
    )


def kept_rate(book: Book, *, day: int) -> float:
    """Share of promises that were kept, whose grace had run out before the day, leaning on the prior."""
    kept = total = 0
    if book.promises is not None and book.promises.height:
        pieces = history(book)
        rows = book.invoices.select("invoice_id").with_row_index("row")
        last = pl.DataFrame({"row": pieces.invoice, "paid": pieces.paid}).group_by("row").agg(pl.col("paid").max())
        due = (
            book.promises.join(rows, on="invoice_id")
            .join(last.with_columns(pl.col("row").cast(pl.UInt32)), on="row")
            .with_columns(limit=pl.col("promised_on").to_physical().cast(pl.Int64) + GRACE)
            .filter(pl.col("limit") < day)
        )
        total, kept = due.height, due.filter((pl.col("paid") <= pl.col("limit")) & (pl.col("paid") < NEVER)).height
    return (kept + KEPT_WEIGHT * KEPT_PRIOR) / (total + KEPT_WEIGHT)


def resolution_days(disputes: pl.DataFrame | None) -> dict[str | None, float]:
    """Usual days from raising to resolving a dispute, per kind and (under None) for all, leaning on the level above.

    disputes  those of a book, as known before the day
    """
    if disputes is None:
        return {None: RESOLUTION_PRIOR}
    resolved = disputes.drop_nulls("resolved_on").select(
        "kind", days=(pl.col("resolved_on") - pl.col("learned_on")).dt.total_days().clip(0)
    )
    total, count = float(resolved["days"].sum()), resolved.height
    usual = (total + RESOLUTION_WEIGHT * RESOLUTION_PRIOR) / (count + RESOLUTION_WEIGHT)
    by_kind = resolved.group_by("kind").agg(total=pl.col("days").sum(), count=pl.len())
    found: dict[str | None, float] = {None: usual}
    for kind, days, number in by_kind.iter_rows():
        found[kind] = (days + RESOLUTION_WEIGHT * usual) / (number + RESOLUTION_WEIGHT)
    return found


def with_promise(pmf: Matrix, ahead: Days, kept: float) -> Matrix:
    """Mass around the promised day with the chance that it is kept; what is left follows the forecast without a promise.

    pmf    one row per invoice and column per day from today
    ahead  days from today to the promised day, 0 or more; a promise beyond the last column leaves its mass to the tail
    """
    spread = np.zeros_like(pmf)
    rows = np.arange(len(pmf))
    for offset, mass in enumerate(AROUND_PROMISE, start=-1):
        at = np.maximum(ahead + offset, 0)
        inside = at < pmf.shape[1]
        np.add.at(spread, (rows[inside], at[inside]), mass)
    return kept * spread + (1.0 - kept) * pmf


def after_dispute(curve: Matrix, *, due: Days, day: int, resolution: Matrix, horizon: int) -> Matrix:
    """Forecast of disputed invoices: the customer's own curve, begun again at due + time to resolve, given unpaid until today.

    curve    the customer's hazard by days after due
    returns  one row per invoice, one column per day from today
    """
    moved = due + np.round(resolution).astype(np.int64)
    delay = (day + np.arange(horizon))[None, :] - moved[:, None]
    hazard = np.take_along_axis(curve, cell(delay), axis=1)
    return np.asarray(survival(hazard) * hazard)
