"""Foreseeing payments on a large book: seconds to learn and to predict, as a share of counting alone, and the memory it took."""

from __future__ import annotations

import resource
import time
from datetime import date, timedelta

import numpy as np
import polars as pl

from topline.engine.payment_timing.book import Book
from topline.engine.payment_timing.model import counted_only, predict, train

DAY = date(2026, 1, 1)


def book(invoices: int, *, customers: int, seed: int) -> Book:
    """Two years of invoices on 30 days, each customer with a habit of its own; what would be paid after DAY is open."""
    rng = np.random.default_rng(seed)
    customer = (customers * rng.random(invoices) ** 2).astype(np.int64)
    habit = rng.gamma(2.0, 8.0, customers) - 6
    issued = rng.integers(0, 730, invoices)
    late = np.rint(habit[customer] + rng.normal(0, 6, invoices)).astype(np.int64)
    start = np.datetime64(DAY - timedelta(days=730))
    frame = pl.DataFrame(
        {
            "invoice_id": np.arange(invoices), "customer_id": customer, "amount_minor": np.maximum(np.exp(rng.normal(10, 1, invoices)), 100).astype(np.int64),
            "issued_on": start + issued, "due_on": start + issued + 30, "paid_on": start + np.maximum(issued + 30 + late, issued + 1),
        }
    )  # fmt: skip
    dates = pl.col("issued_on", "due_on", "paid_on").cast(pl.Date)
    frame = frame.with_columns(dates)
    payments = frame.filter(pl.col("paid_on") < DAY).select("invoice_id", "paid_on", learned_on="paid_on")
    return Book(invoices=frame.drop("paid_on"), payments=payments)


def run() -> list[tuple[str, str]]:
    """A million invoices of 50,000 customers."""
    facts = book(1_000_000, customers=50_000, seed=7)
    started = time.perf_counter()
    model = train(facts, on=DAY)
    fitted = time.perf_counter()
    told = predict(model, facts, on=DAY)
    predicted = time.perf_counter()
    predict(counted_only(facts, on=DAY), facts, on=DAY)
    counted = time.perf_counter() - predicted
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return [
        ("learn from 1,000,000 invoices", f"{fitted - started:.1f} s"),
        (f"predict the {told.invoices.height:,} that are open", f"{predicted - fitted:.1f} s, {(predicted - fitted) / counted:.1f} x counting alone"),
        ("peak memory of this process", f"{peak:.1f} GiB"),
    ]  # fmt: skip
