"""Promises met by money: several promises on one invoice, each judged by itself, and no payment counted for two of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import polars as pl

MET = {"part_id": pl.Int64, "met_minor": pl.Int64}


def met(parts: pl.DataFrame, cash: pl.DataFrame) -> pl.DataFrame:
    """How much of each promised part came in its time: money serves the earliest part that stood promised then, and then the next.

    parts    one row per promise and invoice: part_id i64, invoice_id, amount_minor i64 > 0, due_on, from_on (the first day whose money counts),
             until (the last one) date
    cash     one row per movement on an invoice: invoice_id, on date, amount_minor i64; below zero takes back what came last
    returns  one row per part: part_id, met_minor i64, 0 to amount_minor
    Work: O(n log n), plus for each movement the parts of its invoice.
    """
    by_invoice: dict[Any, list[dict[str, Any]]] = {}
    for row in parts.sort("due_on", "part_id").select("part_id", "invoice_id", "amount_minor", "from_on", "until").iter_rows(named=True):  # fmt: skip
        by_invoice.setdefault(row["invoice_id"], []).append({**row, "met": 0})
    moves = cash.sort("on", pl.col("amount_minor") < 0, maintain_order=True).select("invoice_id", "on", "amount_minor")
    for invoice_id, on, amount in moves.iter_rows():
        _serve(by_invoice.get(invoice_id, ()), on, amount)
    found = [(part["part_id"], part["met"]) for own in by_invoice.values() for part in own]
    return pl.DataFrame(found, schema=MET, orient="row").sort("part_id")


def _serve(parts: Iterable[dict[str, Any]], on: date, amount: int) -> None:
    """Spread a movement over the parts of one invoice, in order of their days; what is taken back leaves the latest first."""
    stood = [part for part in parts if part["from_on"] <= on <= part["until"]]
    for part in stood if amount >= 0 else reversed(stood):
        moved = min(amount, part["amount_minor"] - part["met"]) if amount >= 0 else max(amount, -part["met"])
        part["met"] += moved
        amount -= moved
