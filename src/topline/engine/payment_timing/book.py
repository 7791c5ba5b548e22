"""The facts that a payment forecast may know: invoices, cash, disputes, promises, reminders, each with the day it was learned.

Every fact has two days: when it happened and when it was learned. `as_of` is the only cut in time, and everything else looks a
fact up by the day it was learned, so a forecast for a day cannot see that day's future.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from topline.kernel.errors import Invalid, ensure

Days = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]

EPOCH = date(1970, 1, 1)
NEVER = 1 << 30  # a day number beyond every calendar: not paid, not learned
WHOLE = 1_000  # a whole invoice in thousandths; integers make running sums exact in any order
INVOICE_COLUMNS = ("invoice_id", "customer_id", "amount_minor", "issued_on", "due_on")
LEAKING_WORDS = (
    "dispute", "settle", "paid", "payment_date", "days_late", "dayslate", "late_days", "delay", "status", "state", "closed", "cleared",
    "modified", "updated", "tag", "balance", "open_minor", "last_activity", "reminder", "dunning", "write_off",
)  # fmt: skip
LEAKING_CORRELATION = 0.97


class LeakingColumn(Invalid):
    """A column that is only known, or only takes its value, after the invoice was paid."""

    code = "leaking_column"


@dataclass(frozen=True, slots=True)
class Book:
    """What a company knows about its invoices, in one currency or all amounts converted to one.

    invoices    one row per invoice: invoice_id i64, customer_id i64 or str, amount_minor i64 > 0, issued_on, due_on date; learned_on
                date where it was entered later than issued; any further numeric column is an input known at issue
    payments    one row per cash event: invoice_id, paid_on, learned_on; amount_minor where a payment can be a part,
                reversed_on where the bank can take it back
    disputes    optional: invoice_id, kind str, learned_on, resolved_on date or null, in_litigation bool; amount_minor where a part of an
                invoice can be disputed
    promises    optional: invoice_id, promised_on, learned_on; amount_minor where a part of an invoice can be promised, settled_on (date
                or null) where a promise can be over before its day
    reminders   optional: invoice_id, learned_on
    write_offs  optional: invoice_id, learned_on; what is given up is no longer at risk of being paid
    """

    invoices: pl.DataFrame
    payments: pl.DataFrame
    disputes: pl.DataFrame | None = None
    promises: pl.DataFrame | None = None
    reminders: pl.DataFrame | None = None
    write_offs: pl.DataFrame | None = None

    @property
    def extras(self) -> list[str]:
        """Names of the inputs beyond the required columns, in order."""
        return [c for c in self.invoices.columns if c not in (*INVOICE_COLUMNS, "terms_days", "learned_on")]

    def fingerprint(self) -> str:
        """A SHA-256 over all facts, whatever the order of rows. Work: one sort a table."""
        digest = hashlib.sha256()
        for field in fields(self):
            frame: pl.DataFrame | None = getattr(self, field.name)
            digest.update(field.name.encode())
            if frame is not None:
                columns = sorted(frame.columns)
                digest.update(frame.select(columns).sort(columns).write_csv().encode())
        return digest.hexdigest()


def as_of(book: Book, day: date) -> Book:
    """The book as it was known before `day`: what was learned on that day or later is gone.

    A dispute that was resolved, a promise that was over, or a payment that was returned, on that day or later is not yet so.
    """
    before = pl.col("learned_on") < day
    known = pl.col("learned_on") if "learned_on" in book.invoices.columns else pl.col("issued_on")
    cut = {
        name: frame.filter(before)
        for name in ("payments", "disputes", "promises", "reminders", "write_offs")
        if (frame := getattr(book, name)) is not None
    }
    if "reversed_on" in book.payments.columns:
        returned = pl.col("reversed_on")
        cut["payments"] = cut["payments"].with_columns(reversed_on=pl.when(returned < day).then(returned))
    if "promises" in cut and "settled_on" in cut["promises"].columns:
        settled = pl.col("settled_on")
        cut["promises"] = cut["promises"].with_columns(settled_on=pl.when(settled < day).then(settled))
    if "disputes" in cut:
        resolved = pl.col("resolved_on")
        cut["disputes"] = cut["disputes"].with_columns(resolved_on=pl.when(resolved < day).then(resolved))
    return replace(book, invoices=book.invoices.filter(known < day), **cut)


def refuse_leaks(book: Book) -> None:
    """Refuse inputs that know the outcome: by name, and by test against the days that invoices took to be paid.

    A column fails the test if it follows the delay or the day of payment almost in a straight line (correlation of values or of
    ranks at least 0.97 over 20 paid invoices or more), or is filled exactly for the invoices that are paid.
    Raises: LeakingColumn. Work: O(invoices x columns).
    """
    for name in book.extras:
        plain = name.lower().replace(" ", "_")
        ensure(
            not any(word in plain for word in LEAKING_WORDS),
            LeakingColumn(
                f"Column {name} changes after an invoice is issued, so it may not predict.", field=name, remedy="Leave it out."
            ),
        )
    if not book.extras:
        return
    paid = book.payments.group_by("invoice_id").agg(pl.col("paid_on").max())
    rows = book.invoices.join(paid, on="invoice_id", how="left")
    filled = rows["paid_on"].is_not_null()
    settled = rows.filter(filled).with_columns(
        _delay=(pl.col("paid_on") - pl.col("due_on")).dt.total_days(),
        _days=(pl.col("paid_on") - pl.col("issued_on")).dt.total_days(),
        _paid=pl.col("paid_on").to_physical(),
        _late=(pl.col("paid_on") > pl.col("due_on")).cast(pl.Int32),
    )
    for name in book.extras:
        column = rows[name]
        betrays = bool(filled.any()) and not bool(filled.all()) and bool((column.is_not_null() == filled).all())
        if settled.height >= 20 and not betrays:
            value = pl.col(name).to_physical().cast(pl.Float64, strict=False)
            betrays = any(
                abs(found) >= LEAKING_CORRELATION
                for outcome in ("_delay", "_days", "_paid", "_late")
                for method in ("pearson", "spearman")
                if (found := _correlation(settled, value, outcome, method)) is not None
                and not (outcome == "_paid" and _follows_issue(settled, value))
            )
        ensure(
            not betrays,
            LeakingColumn(f"Column {name} equals the outcome that it should predict.", field=name, remedy="Leave it out."),
        )


def _correlation(rows: pl.DataFrame, value: pl.Expr, outcome: str, method: str) -> float | None:
    both = rows.select(x=value, y=pl.col(outcome).cast(pl.Float64)).drop_nulls()
    if both.height < 20 or both["x"].n_unique() < 2 or both["y"].n_unique() < 2:
        return None
    ranked = both.select(pl.all().rank()) if method == "spearman" else both
    return float(np.corrcoef(ranked["x"].to_numpy(), ranked["y"].to_numpy())[0, 1])


def _follows_issue(rows: pl.DataFrame, value: pl.Expr) -> bool:
    """Whether a column that rises with the day of payment only rises with the day of issue, as a serial number does."""
    frame = rows.with_columns(_issued=pl.col("issued_on").to_physical())
    issue = max(abs(_correlation(frame, value, "_issued", method) or 0.0) for method in ("pearson", "spearman"))
    paid = max(abs(_correlation(frame, value, "_paid", method) or 0.0) for method in ("pearson", "spearman"))
    return issue >= paid


@dataclass(frozen=True, slots=True)
class History:
    """The book as arrays, one element per piece of cash: a payment, or what is still open of an invoice.

    Days are day numbers. learned is the day on which it was known how the piece ended (NEVER while open); paid is NEVER for a
    piece that is open or was written off. share is in thousandths of the invoice.
    """

    invoice: Days  # row in Book.invoices
    customer: Days  # dense number
    issued: Days
    due: Days
    known: Days
    amount: Days
    share: Days
    paid: Days
    learned: Days
    ended: Days  # day of payment or write-off
    customers: pl.DataFrame  # customer_id, customer

    @property
    def terms(self) -> Days:
        return np.asarray(np.maximum(self.due - self.issued, 0))


def day_number(day: date) -> int:
    """Days since 1970, the number that all arrays here count in."""
    return (day - EPOCH).days


def history(book: Book) -> History:
    """The pieces of cash of a book. An overpaid invoice is paid once; a payment of an unknown invoice is not counted.

    Raises: Invalid where an invoice lacks a day, an id repeats or an amount is not above zero. Work: O(n log n).
    """
    missing = [c for c in INVOICE_COLUMNS if c not in book.invoices.columns]
    ensure(not missing, Invalid(f"Invoices lack {', '.join(missing)}.", field="invoices"))
    ensure(book.invoices["invoice_id"].n_unique() == book.invoices.height, Invalid("An invoice id repeats.", field="invoice_id"))
    ensure(
        sum(book.invoices.select(INVOICE_COLUMNS).null_count().row(0)) == 0,
        Invalid("An invoice lacks a day, an amount or its customer.", field="invoices"),
    )
    ensure(
        bool((book.invoices["amount_minor"] > 0).all()), Invalid("Only invoices above zero are foreseen.", field="amount_minor")
    )
    ensure(bool((book.invoices["issued_on"] >= EPOCH).all()), Invalid("An invoice was issued before 1970.", field="issued_on"))
    known = pl.col("learned_on") if "learned_on" in book.invoices.columns else pl.col("issued_on")
    rows = book.invoices.with_row_index("row").select(
        "row", "invoice_id", "customer_id", "amount_minor", issued="issued_on", due="due_on", known=known
    )
    customers = rows.select(pl.col("customer_id").unique().sort()).with_row_index("customer")
    rows = rows.join(customers, on="customer_id", maintain_order="left").with_columns(
        pl.col("issued", "due", "known").to_physical().cast(pl.Int64)
    )
    by_part = "amount_minor" in book.payments.columns
    payments = book.payments
    if "reversed_on" in payments.columns:
        payments = payments.filter(pl.col("reversed_on").is_null())
    ensure(
        not by_part or bool((payments["amount_minor"] > 0).all()),
        Invalid("A payment is above zero.", field="amount_minor", remedy="Give a returned payment its reversed_on."),
    )
    so_far = pl.col("paid_minor").cum_sum().over("row")
    enough = (so_far >= pl.col("amount_minor")) if by_part else pl.lit(True)
    done = pl.when(enough).then(WHOLE).otherwise(so_far * WHOLE // pl.col("amount_minor"))
    cash = (
        payments.select(
            "invoice_id",
            pl.col("paid_on").to_physical().cast(pl.Int64).alias("paid"),
            pl.col("learned_on").to_physical().cast(pl.Int64).alias("learned"),
            paid_minor=pl.col("amount_minor") if by_part else pl.lit(0, dtype=pl.Int64),
        )
        .join(rows, on="invoice_id")
        .sort("row", "learned", "paid")
        .with_columns(done=done.cast(pl.Int64))
        .with_columns(share=pl.col("done") - pl.col("done").shift(1, fill_value=0).over("row"), ended=pl.col("paid"))
        .filter(pl.col("share") > 0)
    )
    left = cash.group_by("row").agg(taken=pl.col("share").sum())
    never = pl.lit(NEVER, dtype=pl.Int64)
    rest = (
        rows.join(left, on="row", how="left")
        .with_columns(share=WHOLE - pl.col("taken").fill_null(0), paid=never, learned=never, ended=never)
        .filter(pl.col("share") > 0)
    )
    if book.write_offs is not None:
        given_up = book.write_offs.group_by("invoice_id").agg(given=pl.col("learned_on").min().to_physical().cast(pl.Int64))
        rest = (
            rest.join(given_up, on="invoice_id", how="left")
            .with_columns(learned=pl.col("given").fill_null(NEVER), ended=pl.col("given").fill_null(NEVER))
            .drop("given")
        )
    columns = ["row", "customer", "issued", "due", "known", "amount_minor", "share", "paid", "learned", "ended"]
    pieces = pl.concat([frame.select(pl.col(columns).cast(pl.Int64)) for frame in (cash, rest)]).sort("row", "learned", "paid")
    column = {name: pieces[name].to_numpy() for name in columns}
    return History(
        invoice=column["row"],
        customer=column["customer"],
        issued=column["issued"],
        due=column["due"],
        known=column["known"],
        amount=column["amount_minor"],
        share=column["share"],
        paid=column["paid"],
        learned=column["learned"],
        ended=column["ended"],
        customers=customers,
    )
