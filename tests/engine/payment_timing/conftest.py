"""Books to forecast from: a made-up company with habits, and the real file of a distributor's receivables."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from topline.engine.payment_timing.book import Book

START = date(2024, 1, 1)


def made_up(*, invoices: int, customers: int = 8, seed: int = 7, days: int = 500) -> Book:
    """Customers with habits: each pays around its own delay, never on a weekend; the last invoices are still open."""
    rng = np.random.default_rng(seed)
    habit = rng.integers(-6, 25, customers)
    issued = np.sort(rng.integers(0, days, invoices))
    who = rng.integers(0, customers, invoices)
    terms = np.where(who % 2 == 0, 30, 14)
    delay = habit[who] + np.round(rng.normal(0, 4, invoices)).astype(int)
    paid = [START + timedelta(days=int(d)) for d in np.maximum(issued + terms + delay, issued + 1)]
    paid = [day + timedelta(days=max(0, 7 - day.isoweekday() if day.isoweekday() == 7 else 0)) for day in paid]
    paid = [
        day + timedelta(days=2) if day.weekday() == 5 else day + timedelta(days=1) if day.weekday() == 6 else day for day in paid
    ]
    frame = pl.DataFrame(
        {
            "invoice_id": np.arange(1, invoices + 1),
            "customer_id": who + 100,
            "amount_minor": np.round(np.exp(rng.normal(10, 0.6, invoices))).astype(np.int64),
            "issued_on": [START + timedelta(days=int(d)) for d in issued],
            "due_on": [START + timedelta(days=int(d)) for d in issued + terms],
        }
    )
    cash = pl.DataFrame(
        {"invoice_id": frame["invoice_id"], "paid_on": paid, "learned_on": [day + timedelta(days=1) for day in paid]}
    )
    return Book(frame, cash)


@pytest.fixture(scope="session")
def company() -> Book:
    """300 invoices of eight customers over 500 days."""
    return made_up(invoices=300)


@pytest.fixture(scope="session")
def distributor(shared) -> Book:
    """2,466 invoices of 100 customers over 2012 and 2013, all paid; the payment is learned on its day."""
    day = {name: pl.col(name).str.to_date("%m/%d/%Y") for name in ("InvoiceDate", "DueDate", "SettledDate")}
    rows = pl.read_csv(shared / "data/ar_ibm/WA_Fn-UseC_-Accounts-Receivable.csv", schema_overrides={"invoiceNumber": pl.String})
    invoices = rows.select(
        invoice_id="invoiceNumber",
        customer_id="customerID",
        amount_minor=(pl.col("InvoiceAmount") * 100).round(0).cast(pl.Int64),
        issued_on=day["InvoiceDate"],
        due_on=day["DueDate"],
    )
    payments = rows.select(invoice_id="invoiceNumber", paid_on=day["SettledDate"], learned_on=day["SettledDate"])
    return Book(invoices, payments)
