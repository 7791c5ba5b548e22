"""What people said about an invoice changes when it is paid: promises, disputes, the law.

Rules of credit management: what is promised of an invoice is expected on the promised day; a disputed one at due + the usual time to resolve
such a dispute + the customer's usual delay; one in litigation is left out of the forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from topline.engine.payment_timing.book import NEVER, Book, Days, Matrix, history
from topline.engine.payment_timing.kaplan_meier import cell, survival
from topline.engine.promises import met

KEPT_PRIOR, KEPT_WEIGHT = 0.7, 10.0  # promises kept before a company has its own record, and how many of its own that counts for
GRACE = 5  # days after the promised day within which it counts as kept
RESOLUTION_PRIOR, RESOLUTION_WEIGHT = 30.0, 5.0
AROUND_PROMISE = np.array([0.08, 0.50, 0.20, 0.10, 0.06, 0.04, 0.02])  # one day early to five days late


def standing(book: Book, invoice_ids: Sequence[int | str]) -> pl.DataFrame:
    """What is argued about each invoice before a day: an unresolved dispute, litigation.

    book     as known before the day (`as_of`)
    returns  one row per invoice, in order: invoice_id, kind str or null, contested_minor i64 (null: all of it), in_litigation bool
    """
    rows = pl.DataFrame({"invoice_id": invoice_ids})
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
        rows.join(disputes, on="invoice_id", how="left", maintain_order="left")
        .with_columns(pl.col("in_litigation").fill_null(False))
    )  # fmt: skip


def promised(promises: pl.DataFrame | None, payments: pl.DataFrame, opened: pl.DataFrame, *, on: date) -> pl.DataFrame:
    """What of each open invoice is promised for which day from a day on.

    Where the book tells when a promise was over (settled_on), all that stand count, and what came in since each was given served the earliest;
    together they come to no more than is open, what was said last before what was said earlier. Else what was said last counts.
    promises, payments  as in Book, as known before the day
    opened   one row per open invoice: invoice_id, open_minor
    returns  one row per invoice and promised day, in order of the day: invoice_id, promised_on, amount_minor > 0, of an invoice together
             at most what is open
    """
    nothing = pl.DataFrame(schema={"invoice_id": opened["invoice_id"].dtype, "promised_on": pl.Date, "amount_minor": pl.Int64})
    if promises is None or promises.is_empty():
        return nothing
    if "settled_on" in promises.columns:
        said = promises.filter(pl.col("settled_on").is_null())
    else:
        said = promises.filter(pl.col("learned_on") == pl.col("learned_on").max().over("invoice_id"))
    has_amounts = "amount_minor" in said.columns
    of_all = pl.col("amount_minor") if has_amounts else pl.lit(None, dtype=pl.Int64)
    said = (
        said.with_columns(part=of_all)
        .join(opened, on="invoice_id")
        .sort("invoice_id", "promised_on", "learned_on")
        .with_row_index("part_id")
    )
    said = said.with_columns(pl.col("part_id").cast(pl.Int64), amount_minor=pl.col("part").fill_null(pl.col("open_minor")))
    if has_amounts and "amount_minor" in payments.columns:
        parts = said.filter(pl.col("part").is_not_null()).select(
            "part_id",
            "invoice_id",
            "amount_minor",
            due_on="promised_on",
            from_on=pl.col("learned_on") + pl.duration(days=1),
            until=pl.lit(on),
        )
        came = _stood(payments).select("invoice_id", "amount_minor", on="learned_on")
        said = said.join(met(parts, came.join(parts.select("invoice_id").unique(), on="invoice_id")), on="part_id", how="left")
        said = said.with_columns(amount_minor=pl.col("amount_minor") - pl.col("met_minor").fill_null(0))
    said = said.sort("invoice_id", "learned_on", "promised_on", descending=[False, True, True])
    before = pl.col("amount_minor").cum_sum().over("invoice_id") - pl.col("amount_minor")
    left = (pl.col("open_minor") - before).clip(0, pl.col("amount_minor"))
    found = said.with_columns(amount_minor=left).filter((pl.col("amount_minor") > 0) & (pl.col("promised_on") >= on))
    return (
        found.group_by("invoice_id", "promised_on")
        .agg(pl.col("amount_minor").sum())
        .sort("invoice_id", "promised_on")
        .select(nothing.columns)
    )


def _stood(payments: pl.DataFrame) -> pl.DataFrame:
    """Payments that the bank did not take back."""
    return payments.filter(pl.col("reversed_on").is_null()) if "reversed_on" in payments.columns else payments


def kept_rate(book: Book, *, day: int) -> float:
    """Share of promises that were kept, whose grace had run out before the day, leaning on the prior.

    A promise of a part is kept when that much came since it was given; one without an amount when the invoice was paid.
    """
    kept = total = 0
    if book.promises is not None and {"amount_minor"} <= {*book.promises.columns} & {*book.payments.columns}:
        parts = book.promises.with_row_index("part_id").select(
            pl.col("part_id").cast(pl.Int64), "invoice_id", "amount_minor", due_on="promised_on", from_on="learned_on",
            until=pl.col("promised_on") + pl.duration(days=GRACE),
        )  # fmt: skip
        cash = _stood(book.payments).select("invoice_id", "amount_minor", on="paid_on")
        came = parts.join(met(parts, cash.join(parts.select("invoice_id").unique(), on="invoice_id")), on="part_id")
        due = came.filter(pl.col("until").to_physical().cast(pl.Int64) < day)
        total, kept = due.height, due.filter(pl.col("met_minor") >= pl.col("amount_minor")).height
    elif book.promises is not None and book.promises.height:
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
