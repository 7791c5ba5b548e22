"""Statements of account: what moved a customer's account over a span, and where it stood before and after, in each currency."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from django.db.models import F, Q

from topline.billing.models import Invoice
from topline.kernel import bulk
from topline.kernel.errors import Invalid, ensure
from topline.market import queries as market
from topline.receivables import queries
from topline.receivables.models import Allocation, Payment

SHARES = {
    "invoiced_minor": ("invoice", "interest", "void"), "credited_minor": ("credit_note",), "paid_minor": ("payment", "returned", "refund"), "other_minor": ("discount", "bank_fee", "write_off", "exchanged", "credits", "granted", "credits_back"),
}  # fmt: skip
FIRST = ("invoice", "interest", "credit_note", "payment")  # of a number: what it is, before what became of it
COLUMNS = ["on", "kind", "number", "currency", "amount_minor", "invoice_id", "payment_id"]
NONE = pl.lit(None, dtype=pl.Int64)


def statement_of_account(*, entity_id: int, customer_ids: list[int], since: date, until: date) -> pl.DataFrame:
    """A customer's account over a span as they would keep it: documents raise it, payments and credits lower it.

    returns  one row per movement, after an opening row: on, kind, number, currency, amount_minor (signed), balance_minor
             (running, per currency), invoice_id, payment_id
    """
    frame = (
        _movements(entity_id, customer_ids, until).select(COLUMNS).sort("on", "currency", "number", ~pl.col("kind").is_in(FIRST))
    )
    opening = frame.filter(pl.col("on") < since).group_by("currency").agg(pl.col("amount_minor").sum())
    first = opening.select(
        on=pl.lit(since), kind=pl.lit("opening"), number=pl.lit(""), currency="currency", amount_minor="amount_minor", invoice_id=NONE, payment_id=NONE
    )  # fmt: skip
    told = pl.concat([first, frame.filter(pl.col("on") >= since)])
    return told.with_columns(balance_minor=pl.col("amount_minor").cum_sum().over("currency"))


def accounts(*, entity_id: int, since: date, until: date, customer_ids: list[int] | None = None) -> pl.DataFrame:
    """The accounts that moved in a span, or stand open after it: one row per customer and currency, records merged into one counting together.

    returns  customer_id, currency, opening_minor, invoiced_minor (less what was voided), credited_minor, paid_minor (less what went back), other_minor (discounts,
             fees, write-offs, moves between currencies), closing_minor, moves u32; opening + the four = closing
    Work: five statements, O(documents of the company up to the day).
    """
    rows = market.resolve(_movements(entity_id, customer_ids, until))
    within = pl.col("on") >= since
    amount = pl.col("amount_minor")
    sums = rows.group_by("customer_id", "currency").agg(
        opening_minor=amount.filter(~within).sum(),
        **{name: amount.filter(within & pl.col("kind").is_in(kinds)).sum() for name, kinds in SHARES.items()},
        closing_minor=amount.sum(),
        moves=within.sum(),
    )
    return sums.filter((pl.col("moves") > 0) | (pl.col("closing_minor") != 0)).sort("customer_id", "currency")


def ensure_span(since: date, until: date) -> None:
    """Raises: Invalid where a statement would end before it begins."""
    ensure(since <= until, Invalid("The statement ends before it begins.", field="since", remedy="Exchange the two days."))


def month_of(day: date) -> tuple[date, date]:
    """The last whole month before a day: what a statement is about unless told."""
    last = day.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


def _movements(entity_id: int, customer_ids: list[int] | None, until: date) -> pl.DataFrame:
    """Everything that moved accounts up to a day, signed as the customer sees it; all customers' where none are named: COLUMNS and customer_id."""
    whose = {} if customer_ids is None else {"customer_id__in": customer_ids}
    issued = Invoice.objects.filter(entity_id=entity_id, issued_on__lte=until, **whose).exclude(state=Invoice.State.DRAFT)
    documents = bulk.read(
        issued.values("id", "customer_id", "kind", "number", "currency", "issued_on", "total_minor", "state", "closed_on")
    )
    sign = pl.when(pl.col("kind") == Invoice.Kind.CREDIT_NOTE).then(-1).otherwise(1)
    told = {"number": "number", "currency": "currency", "invoice_id": "id", "customer_id": "customer_id"}
    rows = documents.select(on="issued_on", kind="kind", amount_minor=pl.col("total_minor") * sign, payment_id=NONE, **told)
    voided = documents.filter((pl.col("state") == Invoice.State.VOID) & (pl.col("closed_on") <= until)).select(
        on="closed_on", kind=pl.lit("void"), amount_minor=-pl.col("total_minor") * sign, payment_id=NONE, **told
    )
    parts = [rows, voided, *_money(entity_id, whose, until), *_settled_without_money(entity_id, customer_ids, until)]
    return pl.concat([part.select(*COLUMNS, "customer_id") for part in parts])


def _money(entity_id: int, whose: dict[str, list[int]], until: date) -> list[pl.DataFrame]:
    """Payments in (lower the account) and their returns (raise it again)."""
    known = Payment.objects.filter(entity_id=entity_id, received_on__lte=until, customer_id__isnull=False, **whose)
    paid = bulk.read(known.values("id", "customer_id", "number", "currency", "received_on", "amount_minor"))
    back = paid.join(queries.returned(entity_id=entity_id), left_on="id", right_on="payment_id").filter(
        pl.col("returned_on") <= until
    )
    told = {"number": "number", "currency": "currency", "payment_id": "id", "customer_id": "customer_id"}
    came = paid.select(on="received_on", kind=pl.lit("payment"), amount_minor=-pl.col("amount_minor"), invoice_id=NONE, **told)
    went = back.select(on="returned_on", kind=pl.lit("returned"), amount_minor="amount_minor", invoice_id=NONE, **told)
    return [came, went]


def _settled_without_money(entity_id: int, customer_ids: list[int] | None, until: date) -> list[pl.DataFrame]:
    """Discounts, fees, write-offs and credits lower the account, refunds raise it, and credit notes that became credits again; links of payments and credit notes move nothing here,
    unless they cross currencies: then they move the balance from the payment's currency to the document's."""
    base = Allocation.objects.filter(effective_on__lte=until)
    across = Q(kind="payment") & ~Q(invoice__currency=F("payment__currency"))
    by_document = {} if customer_ids is None else {"invoice__customer_id__in": customer_ids}
    by_payment = {"payment__customer_id__isnull": False} if customer_ids is None else {"payment__customer_id__in": customer_ids}
    lowered = base.filter(
        Q(kind__in=["discount", "bank_fee", "write_off", "credits", "granted"]) | across,
        invoice__entity_id=entity_id,
        **by_document,
    )
    raised = base.filter(Q(kind="refund") | across, payment__entity_id=entity_id, **by_payment)
    down = bulk.read(lowered.values("effective_on", "kind", "amount_minor", "invoice_id", "invoice__number", "invoice__currency", "invoice__customer_id"))  # fmt: skip
    up = bulk.read(raised.values("effective_on", "kind", "source_minor", "payment_id", "payment__number", "payment__currency", "payment__customer_id"))  # fmt: skip
    by_note = {} if customer_ids is None else {"credit_note__customer_id__in": customer_ids}
    again = bulk.read(base.filter(kind="credits_back", credit_note__entity_id=entity_id, **by_note).values("effective_on", "kind", "source_minor", "credit_note_id", "credit_note__number", "credit_note__currency", "credit_note__customer_id"))  # fmt: skip
    kind = pl.when(pl.col("kind") == "payment").then(pl.lit("exchanged")).otherwise("kind")
    return [
        down.select(on="effective_on", kind=kind, number="invoice__number", currency="invoice__currency", amount_minor=-pl.col("amount_minor"), invoice_id="invoice_id", payment_id=NONE, customer_id="invoice__customer_id"),
        up.select(on="effective_on", kind=kind, number="payment__number", currency="payment__currency", amount_minor="source_minor", invoice_id=NONE, payment_id="payment_id", customer_id="payment__customer_id"),
        again.select(on="effective_on", kind="kind", number="credit_note__number", currency="credit_note__currency", amount_minor="source_minor", invoice_id="credit_note_id", payment_id=NONE, customer_id="credit_note__customer_id"),
    ]  # fmt: skip
