"""What is known about an invoice before a day, and about each day on which it may be paid.

All looks into the past go through `before`: sums over what was learned strictly before the day asked about. They are sums of
whole numbers, so they do not depend on what else is in the book.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from topline.engine.payment_timing.book import NEVER, WHOLE, Book, Days, History, Matrix, history
from topline.engine.payment_timing.kaplan_meier import CELLS, EARLIEST, SHIFT, cell, customer_hazard

OWN_WEIGHT = 4.0  # payments that the company's mean counts for beside a customer's own
WEEKDAY_WEIGHT = 8.0
RECENT = 10
AT_ONCE = 20_000  # curves made in one go: some 45 MB a matrix
STATIC = (
    "log_amount", "amount_ratio", "terms", "age", "payments", "mean_delay", "recent_delay", "spread", "share_late", "tenure",
    "open_items", "company_delay", "reminders", "since_reminder", "disputed",
)  # fmt: skip
DAILY = ("delay", "days_ahead", "weekday", "month_day", "to_month_end", "surprise", "weekday_share", "curve", "past_promise")


@dataclass(frozen=True, slots=True)
class Questions:
    """Which invoice, seen from which day: one element per question. day is a day number; row is the invoice's in the book."""

    row: Days
    customer: Days
    issued: Days
    due: Days
    amount: Days
    day: Days

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: Days | slice) -> Questions:
        """The same, for some of the questions."""
        return Questions(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @property
    def terms(self) -> Days:
        return np.asarray(np.maximum(self.due - self.issued, 0))


@dataclass(frozen=True, slots=True)
class Running:
    """Sums of columns in order of customer and day, so that any customer's total before any day is one difference."""

    key: Days
    totals: Days

    @staticmethod
    def of(customer: Days, day: Days, columns: list[Days]) -> Running:
        """Sort and sum once: O(n log n)."""
        key = customer * SHIFT + day
        order = np.argsort(key, kind="stable")
        totals = np.zeros((len(key) + 1, len(columns)), dtype=np.int64)
        np.cumsum(np.stack(columns, axis=1)[order], axis=0, out=totals[1:])
        return Running(key[order], totals)

    def before(self, customer: Days, day: Days, *, last: int | None = None) -> Days:
        """Totals of what each customer's rows say strictly before each day, or of the last few of them."""
        end = np.searchsorted(self.key, customer * SHIFT + day)
        start = np.searchsorted(self.key, customer * SHIFT)
        if last is not None:
            start = np.maximum(start, end - last)
        return self.totals[end] - self.totals[start]


@dataclass(frozen=True, slots=True)
class Past:
    """A book made ready for questions: pieces of cash, running sums and dated notes on invoices. rows: invoice_id, row in the book."""

    rows: pl.DataFrame
    pieces: History
    extras: Matrix
    paid: Running  # thousandths, x delay, x delay^2, late ones, and per weekday
    company: Running  # the same for all customers as one
    asked: Running  # thousandths, x log of amount
    first_known: Days  # per customer
    reminders: pl.DataFrame
    disputes: pl.DataFrame
    promises: pl.DataFrame


def prepare(book: Book) -> Past:
    """Sort and sum a book once. Work: O(n log n)."""
    pieces = history(book)
    over = np.flatnonzero(pieces.paid < NEVER)
    share, customer, learned = pieces.share[over], pieces.customer[over], pieces.learned[over]
    delay = cell(pieces.paid[over] - pieces.due[over]) + EARLIEST
    weekday = weekday_of(pieces.paid[over])
    sums = [share, share * delay, share * delay * delay, share * (delay > 0), *(share * (weekday == n) for n in range(7))]
    first = np.full(pieces.customers.height, NEVER, dtype=np.int64)
    np.minimum.at(first, pieces.customer, pieces.known)
    values = [book.invoices[name].to_physical().cast(pl.Float64).to_numpy() for name in book.extras]
    rows = book.invoices.select("invoice_id", row=pl.int_range(pl.len(), dtype=pl.Int64))
    return Past(
        rows,
        pieces,
        np.stack(values, axis=1) if values else np.zeros((book.invoices.height, 0)),
        Running.of(customer, learned, sums),
        Running.of(np.zeros_like(customer), learned, sums),
        Running.of(pieces.customer, pieces.known, [pieces.share, pieces.share * _log_amount(pieces.amount)]),
        first,
        _notes(book.reminders, rows, ["learned_on"]),
        _notes(book.disputes, rows, ["learned_on", "resolved_on"]),
        _notes(book.promises, rows, ["learned_on", "promised_on"]),
    )


def weekday_of(day: Days) -> Days:
    """Monday is 0."""
    return (day + 3) % 7


def _log_amount(amount: Days) -> Days:
    """Thousandths of the natural logarithm, whole, so that sums are exact."""
    return np.round(1_000 * np.log(amount)).astype(np.int64)


def _notes(notes: pl.DataFrame | None, rows: pl.DataFrame, days: list[str]) -> pl.DataFrame:
    """Dated notes with the invoice's row and day numbers; none where the book has no such table."""
    if notes is None:
        return pl.DataFrame(schema={"row": pl.Int64, **dict.fromkeys(days, pl.Int64)})
    found = notes.join(rows, on="invoice_id")
    return found.select("row", *(pl.col(day).cast(pl.Date).to_physical().cast(pl.Int64) for day in days))


def questions_of(past: Past, row: Days, day: Days) -> Questions:
    """Questions about invoices of the book by their row."""
    pieces = past.pieces
    at = np.searchsorted(pieces.invoice, row)
    return Questions(row, pieces.customer[at], pieces.issued[at], pieces.due[at], pieces.amount[at], day)


def curves(past: Past, ask: Questions) -> Matrix:
    """The customer's shrunk Kaplan-Meier hazard for each question; questions that are alike share the work."""
    keys = np.stack([ask.customer, ask.day, ask.terms], axis=1)
    alike, back = np.unique(keys, axis=0, return_inverse=True)
    found = np.empty((len(alike), CELLS))
    for start in range(0, len(alike), AT_ONCE):
        some = alike[start : start + AT_ONCE]
        found[start : start + AT_ONCE] = customer_hazard(past.pieces, customer=some[:, 0], day=some[:, 1], terms=some[:, 2])
    return found[back.reshape(-1)]


def static_features(past: Past, ask: Questions) -> Matrix:
    """What is known about each invoice and its customer before the day: one row per question, columns STATIC and the extras."""
    own, company = past.paid.before(ask.customer, ask.day), past.company.before(np.zeros_like(ask.customer), ask.day)
    recent = past.paid.before(ask.customer, ask.day, last=RECENT)
    issued = past.asked.before(ask.customer, ask.day)
    count, of_all = own[:, 0] / WHOLE, np.maximum(company[:, 0], 1)
    company_delay = company[:, 1] / of_all
    weight = count + OWN_WEIGHT
    mean = (own[:, 1] / WHOLE + OWN_WEIGHT * company_delay) / weight
    company_square = company[:, 2] / of_all
    square = (own[:, 2] / WHOLE + OWN_WEIGHT * company_square) / weight
    late = (own[:, 3] / WHOLE + OWN_WEIGHT * company[:, 3] / of_all) / weight
    recent_mean = (recent[:, 1] / WHOLE + OWN_WEIGHT * mean) / (recent[:, 0] / WHOLE + OWN_WEIGHT)
    logs = _log_amount(ask.amount) / 1_000
    usual = np.where(issued[:, 0] > 0, issued[:, 1] / 1_000 / np.maximum(issued[:, 0], 1), logs)
    reminded, last_reminded = _counted(past.reminders, ask)
    columns = [
        logs,
        logs - usual,
        ask.terms,
        ask.day - ask.issued,
        count,
        mean,
        recent_mean,
        np.sqrt(np.maximum(square - mean**2, 1.0)),
        late,
        np.maximum(ask.day - past.first_known[ask.customer], 0),
        (issued[:, 0] - own[:, 0]) / WHOLE,
        company_delay,
        reminded,
        ask.day - last_reminded,
        disputed(past, ask),
        *past.extras[ask.row].T,
    ]
    return np.stack([np.asarray(c, dtype=float) for c in columns], axis=1)


def daily_features(past: Past, ask: Questions, static: Matrix, curve: Matrix, *, day: Days, question: Days) -> Matrix:
    """What is known about candidate days of payment: one row per element of day, columns STATIC, extras and DAILY.

    question  which question each candidate day belongs to
    """
    shares = _weekday_shares(past, ask)
    known, delay, weekday = static[question], day - ask.due[question], weekday_of(day)
    dates = day.astype("datetime64[D]")
    month = dates.astype("datetime64[M]")
    month_day = (dates - month.astype("datetime64[D]")).astype(np.int64)
    next_month = (month + 1).astype("datetime64[D]")
    mean, spread = known[:, STATIC.index("recent_delay")], known[:, STATIC.index("spread")]
    hazard = curve[question, cell(delay)]
    columns = [
        delay,
        day - ask.day[question],
        weekday,
        month_day,
        (next_month - dates).astype(np.int64),
        (delay - mean) / spread,
        shares[question, weekday],
        np.log(np.maximum(hazard, 1e-5)),
        day - last_promise(past, ask)[question],
    ]
    return np.concatenate([known, np.stack([np.asarray(c, dtype=float) for c in columns], axis=1)], axis=1)


def _weekday_shares(past: Past, ask: Questions) -> Matrix:
    """How much of a customer's payments come on each weekday, leaning on the company's."""
    own = past.paid.before(ask.customer, ask.day)[:, 4:] / WHOLE
    company = past.company.before(np.zeros_like(ask.customer), ask.day)[:, 4:] / WHOLE
    above = (company + 1.0) / (company + 1.0).sum(axis=1, keepdims=True)
    leaning = own + WEEKDAY_WEIGHT * above
    return np.asarray(leaning / leaning.sum(axis=1, keepdims=True))


def _before(notes: pl.DataFrame, ask: Questions) -> pl.DataFrame:
    """Notes on the invoice of each question that were learned before its day."""
    frame = pl.DataFrame({"question": np.arange(len(ask)), "row": ask.row, "day": ask.day})
    return frame.join(notes, on="row").filter(pl.col("learned_on") < pl.col("day"))


def _counted(notes: pl.DataFrame, ask: Questions) -> tuple[Matrix, Matrix]:
    """Number of notes on each question's invoice, and day number of the last (not a number where there is none)."""
    number, last = np.zeros(len(ask)), np.full(len(ask), np.nan)
    if notes.height:
        found = _before(notes, ask).group_by("question").agg(pl.len(), pl.col("learned_on").max())
        number[found["question"].to_numpy()] = found["len"].to_numpy()
        last[found["question"].to_numpy()] = found["learned_on"].to_numpy()
    return number, last


def disputed(past: Past, ask: Questions) -> Matrix:
    """1 where a dispute about the invoice was known and not resolved before the day."""
    flags = np.zeros(len(ask))
    if past.disputes.height:
        resolved = pl.col("resolved_on")
        found = _before(past.disputes, ask).filter(resolved.is_null() | (resolved >= pl.col("day")))
        flags[found["question"].to_numpy()] = 1.0
    return flags


def last_promise(past: Past, ask: Questions) -> Matrix:
    """Day number of the promise that was learned last before the day; not a number where there is none."""
    promised = np.full(len(ask), np.nan)
    if past.promises.height:
        found = _before(past.promises, ask).sort("question", "learned_on", "promised_on").group_by("question").last()
        promised[found["question"].to_numpy()] = found["promised_on"].to_numpy()
    return promised
