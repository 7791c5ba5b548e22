"""How allocations reach the books: what each settles in the entity's currency, and the exchange difference that it realises."""

from __future__ import annotations

import polars as pl

from topline.books import actions as books
from topline.books.actions import leg
from topline.kernel import bulk
from topline.receivables.models import Allocation

WIDE = pl.Int128  # two amounts multiplied
# What settles a document without money, and the account that bears it.
BORNE_BY = {"discount": "discount_allowed", "bank_fee": "bank_fees", "write_off": "bad_debt", "granted": "credits_granted"}


def with_functional(rows: pl.DataFrame, *, invoices: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """Add `functional_minor` (part of the document's functional amount) and `source_functional` (part of the payment's).

    A part is the difference of two rounded running shares, so that the last one closes the document to the cent: what is
    settled after it is round(functional x allocated after / total), whatever came before (half away from zero).
    What credits pay says itself what they were worth: credit_functional. Rows must be in the order in which they are written. Work: one statement where a foreign currency is involved.
    """
    rows = rows.with_row_index("_row")
    rows = _share(
        rows,
        invoices,
        key="invoice_id",
        amount="amount_minor",
        whole="total_minor",
        settled=_settled(invoices, "invoice_id"),
        out="functional_minor",
    )
    rows = _share(
        rows,
        payments,
        key="payment_id",
        amount="source_minor",
        whole="amount_minor",
        settled=_settled_of_payments(payments),
        out="source_functional",
    )
    if "credit_functional" in rows.columns:
        rows = rows.with_columns(source_functional=pl.coalesce("source_functional", "credit_functional"))
    return rows.with_columns(functional_minor=pl.coalesce("functional_minor", "source_functional")).drop("_row")


def post_allocations(rows: pl.DataFrame, *, invoices: pl.DataFrame, payments: pl.DataFrame) -> None:
    """Write one entry per allocation that moves money between accounts; using a credit note moves none.

    Credits that were bought go from their liability to receivable, those that were given from income.
    Same currency: unapplied cash to receivable at the document's functional amount, and the difference to the payment's as a
    realised exchange gain or loss. Two currencies: through the conversion account, which stands at zero afterwards.
    Source: IAS 21.28 (exchange differences on settlement are recognised in profit or loss).
    """
    known = invoices.select(invoice_id="id", entity_id="entity_id", customer_id="customer_id", currency="currency")
    paid = payments.select(
        payment_id="id",
        payment_entity="entity_id",
        payer_id="customer_id",
        payment_currency="currency",
        bank_account_id="bank_account_id",
    )
    frame = (
        rows.filter(pl.col("kind") != Allocation.Kind.CREDIT_NOTE)
        .join(known, on="invoice_id", how="left", maintain_order="left")
        .join(paid, on="payment_id", how="left", maintain_order="left")
        .with_columns(
            key=pl.format("allocation:{}", "id"),
            entity_id=pl.coalesce("entity_id", "payment_entity"),
            customer_id=pl.coalesce("customer_id", "payer_id"),
            difference=pl.col("source_functional") - pl.col("functional_minor"),
        )
    )
    for group in frame.partition_by("entity_id"):
        entity_id = int(group["entity_id"][0])
        money = group.filter(pl.col("kind") == Allocation.Kind.PAYMENT)
        same = money.filter(pl.col("currency") == pl.col("payment_currency"))
        cross = money.filter(pl.col("currency") != pl.col("payment_currency"))
        bought = group.filter(pl.col("kind") == Allocation.Kind.CREDITS)
        back = group.filter(pl.col("kind") == Allocation.Kind.REFUND).with_columns(currency="payment_currency")
        legs = [
            leg(same, debit="unapplied_cash", credit="receivable", amount="amount_minor", functional="functional_minor"),
            *_difference(same, against="unapplied_cash", currency="currency"),
            leg(cross, debit="conversion", credit="receivable", amount="amount_minor", functional="functional_minor"),
            leg(
                cross.with_columns(currency="payment_currency"),
                debit="unapplied_cash",
                credit="conversion",
                amount="source_minor",
                functional="source_functional",
            ),
            *_difference(cross, against="conversion", currency="payment_currency"),
            leg(back, debit="unapplied_cash", credit="clearing", amount="source_minor", functional="source_functional"),
            leg(bought, debit="prepaid_credits", credit="receivable", amount="amount_minor", functional="functional_minor"),
            *_difference(bought, against="prepaid_credits", currency="currency"),
        ]
        for kind, account in BORNE_BY.items():
            legs.append(
                leg(
                    group.filter(pl.col("kind") == kind),
                    debit=account,
                    credit="receivable",
                    amount="amount_minor",
                    functional="functional_minor",
                )
            )
        entries = group.select("key", "effective_on", source=pl.format("allocation:{}", "id"))
        books.post(entity_id=entity_id, kind="allocation", entries=entries, transfers=legs)


def _difference(frame: pl.DataFrame, *, against: str, currency: str) -> list[pl.DataFrame]:
    """Realised gain where the payment was worth more than the document, loss where less; no amount, only functional."""
    if not bool((frame["difference"] != 0).any()):
        return []
    rows = frame.with_columns(nothing=pl.lit(0, dtype=pl.Int64), currency=pl.col(currency), lost=-pl.col("difference"))
    return [
        leg(
            rows.filter(pl.col("difference") > 0),
            debit=against,
            credit="exchange_gain",
            amount="nothing",
            functional="difference",
        ),
        leg(rows.filter(pl.col("difference") < 0), debit="exchange_loss", credit=against, amount="nothing", functional="lost"),
    ]


def _share(
    rows: pl.DataFrame, documents: pl.DataFrame, *, key: str, amount: str, whole: str, settled: pl.DataFrame, out: str
) -> pl.DataFrame:
    facts = documents.select(
        pl.col("id").alias(key),
        pl.col(whole).alias("_whole"),
        pl.col("functional_minor").alias("_functional"),
        pl.col("allocated_minor").alias("_before"),
    )
    frame = rows.join(facts, on=key, how="left").join(settled, on=key, how="left").sort("_row")
    reached = pl.col("_before") + pl.col(amount).cum_sum().over(key)
    frame = frame.with_columns(_upto=_rounded_share(pl.col("_functional"), reached, pl.col("_whole")))
    earlier = pl.col("_upto").shift(1).over(key).fill_null(pl.col("_settled").fill_null(0))
    return frame.with_columns((pl.col("_upto") - earlier).alias(out)).drop(
        "_whole", "_functional", "_before", "_settled", "_upto"
    )


def part_of(total: pl.Expr, upto: pl.Expr, amount: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """The part of a total that an amount takes which reaches `upto` of the whole: parts of all amounts add up to the total."""
    return _rounded_share(total, upto, whole) - _rounded_share(total, upto - amount, whole)


def _rounded_share(total: pl.Expr, part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """round(total x part / whole), half up on non-negative integers, exact: (2 x total x part + whole) // (2 x whole)."""
    share = (total.cast(WIDE) * part.cast(WIDE) * 2 + whole) // (whole.cast(WIDE) * 2)
    return pl.when(part == whole).then(total).otherwise(share).cast(pl.Int64)


def _settled(invoices: pl.DataFrame, key: str) -> pl.DataFrame:
    """Functional amount settled so far per document; where it was always the home currency it is the allocated amount."""
    foreign = invoices.filter((pl.col("functional_minor") != pl.col("total_minor")) & (pl.col("allocated_minor") > 0))
    home = invoices.join(foreign, on="id", how="anti").select(pl.col("id").alias(key), _settled="allocated_minor")
    if foreign.is_empty():
        return home
    rows = bulk.read(Allocation.objects.filter(invoice_id__in=foreign["id"].to_list()).values("invoice_id", "functional_minor"))
    summed = rows.group_by("invoice_id").agg(_settled=pl.col("functional_minor").sum()).rename({"invoice_id": key})
    return pl.concat([home, summed])


def _settled_of_payments(payments: pl.DataFrame) -> pl.DataFrame:
    """Functional amount taken from each payment so far, by the same running share as it was taken."""
    share = _rounded_share(pl.col("functional_minor"), pl.col("allocated_minor"), pl.col("amount_minor"))
    return payments.select(payment_id="id", _settled=share)
