"""Money that the bank took back: debits of a statement beside the payments that they may undo. Only a person says which it was."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Q

from topline.bank import queries as bank
from topline.engine.matching.propose import RETURNED
from topline.kernel import bulk
from topline.market.names import folded
from topline.receivables.models import Payment

LOOKED_BACK = timedelta(days=400)  # direct debits can be returned for thirteen months
SHOWN, CHOICES = 20, 5


def taken_back(*, entity_id: int, as_of: date) -> list[dict[str, Any]]:
    """Open debits that say that money goes back, newest first (at most SHOWN), each with the payments that it may have been.

    A payment may have been it when account, currency and amount agree and it came before; those of the same payer come first.
    returns  line_id, booked_on, who, text, amount_minor, currency, choices: payment_id, number, payer, received_on
    Work: two statements.
    """
    recent = {
        "state": "open",
        "status": "booked",
        "payment_id": None,
        "amount_minor__lt": 0,
        "booked_on__gt": as_of - LOOKED_BACK,
    }
    rows = bank.lines(entity_id=entity_id, filters={**recent, "booked_on__lte": as_of}).order_by("-booked_on", "-id")
    frame = bulk.read(
        rows.values(
            "id",
            "account_id",
            "booked_on",
            "counterparty_name",
            "remittance_information",
            "amount_minor",
            "currency",
            "is_reversal",
        )
    ).rename({"id": "line_id"})
    says = pl.concat_str("counterparty_name", "remittance_information", separator=" ").str.contains(RETURNED)
    lines = frame.filter(pl.col("is_reversal") | says).head(SHOWN).with_row_index("place")
    if lines.is_empty():
        return []
    there = Payment.objects.filter(
        Q(bank_account_id__in=lines["account_id"].unique().to_list()) | Q(bank_account_id=None), entity_id=entity_id, state=Payment.State.RECEIVED,
        amount_minor__in=(-lines["amount_minor"]).unique().to_list(), received_on__lte=as_of,
    )  # fmt: skip
    payments = bulk.read(
        there.order_by("id").values(
            "id", "number", "payer_name", "customer__name", "bank_account_id", "currency", "amount_minor", "received_on"
        )
    )
    payer = pl.coalesce(pl.col("payer_name").replace("", None), "customer__name").fill_null("payer unknown")
    payments = payments.with_columns(payer=payer, amount_minor=-pl.col("amount_minor")).rename({"id": "payment_id"})
    pairs = lines.join(payments, on=["currency", "amount_minor"]).filter(
        (pl.col("received_on") <= pl.col("booked_on"))
        & (pl.col("bank_account_id").is_null() | (pl.col("bank_account_id") == pl.col("account_id")))
    )
    written = folded(pl.concat_str("counterparty_name", "remittance_information", separator=" "))
    pairs = pairs.with_columns(named=written.str.contains(folded(pl.col("payer")), literal=True))
    pairs = pairs.sort("place", "named", "received_on", "payment_id", descending=[False, True, True, True])
    choices: dict[int, list[dict[str, Any]]] = {}
    for row in pairs.select("line_id", "payment_id", "number", "payer", "received_on").to_dicts():
        choices.setdefault(row.pop("line_id"), []).append(row)
    return [
        {
            "line_id": r["line_id"], "booked_on": r["booked_on"], "who": r["counterparty_name"], "text": r["remittance_information"][:240],
            "amount_minor": r["amount_minor"], "currency": r["currency"], "choices": choices.get(r["line_id"], [])[:CHOICES],
        }
        for r in lines.to_dicts()
    ]  # fmt: skip
