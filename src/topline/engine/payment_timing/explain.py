"""Why an invoice is expected on its day, in words: the payer's habit, and whatever moves this invoice away from it.

A reason is only given if the model itself moves by it: the forecast is made again as if the reason were absent, and the difference
in expected days is what is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from topline.engine.payment_timing.book import WHOLE, Book, Matrix, as_of, day_number
from topline.engine.payment_timing.features import STATIC, Past, curves, prepare, questions_of, static_features
from topline.engine.payment_timing.model import Forecast, Model

TELLING_DAYS = 1.0  # a reason that moves the forecast by less is not told
PROMISED = {"promise": "payment is promised", "part promised": "a part of it is promised"}
LARGE = 0.5  # log of the ratio to the customer's usual amount: some 1.6 times
FEW = 3


def explain(
    model: Model,
    book: Book,
    forecast: Forecast,
    *,
    invoice_ids: Sequence[int | str] | None = None,
    past: Past | None = None,
) -> pl.DataFrame:
    """Reasons for the forecasts of some invoices, the habit first.

    forecast     of `predict` with the same model and book
    invoice_ids  a page of invoices; all of the forecast where not given
    past         the book as known before the forecast's day made ready, where the caller has it already
    returns      one row per invoice, in the order of the forecast: invoice_id, expected_on date or null, reasons list[str]
    Work: three forecasts of these invoices.
    """
    shown = forecast.invoices
    if invoice_ids is not None:
        shown = shown.filter(pl.col("invoice_id").is_in(list(invoice_ids)))
    schema: dict[str, Any] = {
        "invoice_id": forecast.invoices["invoice_id"].dtype,
        "expected_on": pl.Date,
        "reasons": pl.List(pl.String),
    }
    if shown.is_empty():
        return pl.DataFrame(schema=schema)
    past = prepare(as_of(book, forecast.on)) if past is None else past
    rows = shown.join(past.rows, on="invoice_id", maintain_order="left")
    ask = questions_of(past, rows["row"].to_numpy(), np.full(len(rows), day_number(forecast.on), dtype=np.int64))
    static = static_features(past, ask)
    own = past.paid.before(ask.customer, ask.day)
    payments, delay = own[:, 0] / WHOLE, own[:, 1] / np.maximum(own[:, 0], 1)
    known = dict(zip(STATIC, static.T, strict=False))
    curve = curves(past, ask)
    expected = _days(model.distribution(past, ask, curve=curve))
    by_amount = expected - _days(model.distribution(past, ask, as_if={"amount_ratio": 0.0}, curve=curve))
    not_reminded = {"reminders": 0.0, "since_reminder": float("nan")}
    by_reminder = expected - _days(model.distribution(past, ask, as_if=not_reminded, curve=curve))

    told = []
    for i, (method, middle) in enumerate(shown.select("method", "p50_on").iter_rows()):
        reasons = [_habit(payments[i], delay[i], known["company_delay"][i])]
        if method in PROMISED:
            reasons.append(PROMISED[method])
        if method == "dispute":
            reasons.append("it is disputed: the usual time to resolve is added")
        if abs(by_amount[i]) >= TELLING_DAYS and abs(known["amount_ratio"][i]) >= LARGE:
            size = "large" if known["amount_ratio"][i] > 0 else "small"
            reasons.append(f"this one is {size} ({_signed(by_amount[i])})")
        if abs(by_reminder[i]) >= TELLING_DAYS and known["reminders"][i] > 0:
            reasons.append(f"reminded {_times(int(known['reminders'][i]))} ({_signed(by_reminder[i])})")
        overdue = int(ask.day[i] - ask.due[i])
        if overdue > max(0.0, known["mean_delay"][i]) and method not in (*PROMISED, "dispute"):
            reasons.append(f"already {_plural(overdue)} late, later than usual")
        if middle is not None and _at_month_end(middle):
            reasons.append("month-end")
        told.append((shown["invoice_id"][i], middle, reasons))
    return pl.DataFrame(told, schema=schema, orient="row")


def _days(pmf: Matrix) -> Matrix:
    """Expected days from today, what is later counting as the day after the last."""
    later = np.clip(1.0 - pmf.sum(axis=1), 0.0, 1.0)
    return np.asarray(pmf @ np.arange(pmf.shape[1]) + later * pmf.shape[1])


def _habit(payments: float, delay: float, company: float) -> str:
    if payments < 1:
        return f"no payment from this customer yet; others pay {_late(company)}"
    if payments < FEW:
        return f"paid {_late(delay)} so far, {_times(round(payments))} only"
    return f"usually pays {_late(delay)}"


def _late(days: float) -> str:
    whole = round(days)
    return "on the due day" if whole == 0 else f"{_plural(abs(whole))} {'late' if whole > 0 else 'early'}"


def _signed(days: float) -> str:
    return f"{days:+.0f} {'day' if abs(round(days)) == 1 else 'days'}"


def _plural(days: int) -> str:
    return f"{days} day" if days == 1 else f"{days} days"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _at_month_end(day: date) -> bool:
    """One of the last three days of a month."""
    return pl.Series([day]).dt.month_end()[0].day - day.day < 3  # type: ignore[no-any-return]
