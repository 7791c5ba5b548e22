"""What `topline verify` proves: that books, documents and guards agree. Every proof is a plain function in one list.

A proof returns the rows that offend; an empty frame is a green light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from topline.books import queries as books
from topline.books import sealing
from topline.books.models import PeriodBalance, Seal, Transfer
from topline.contracts import queries as contracts
from topline.kernel import bulk, guards
from topline.metering import lake
from topline.pipeline import queries as pipeline
from topline.recognition import queries as recognition

INT, TEXT = pl.Int64(), pl.String()


@dataclass(frozen=True)
class Proof:
    """One proof and what it found: `offending` is empty when all is well."""

    name: str
    meaning: str
    offending: pl.DataFrame

    @property
    def holds(self) -> bool:
        return self.offending.is_empty()


def guards_stand() -> pl.DataFrame:
    """The database refuses to change or delete what is append-only."""
    return pl.DataFrame({"missing_guard": guards.missing_guards()}, schema={"missing_guard": pl.String})


def seals_hold() -> pl.DataFrame:
    """No sealed row of the ledger was changed, removed or slipped in."""
    return sealing.broken_seals()


def period_balances_agree() -> pl.DataFrame:
    """Balances kept per month equal the sealed rows themselves."""
    seal = Seal.objects.order_by("-id").first()
    if seal is None:
        return pl.DataFrame(schema={"account_id": INT})
    rows = sealing.moved(Transfer.objects.filter(entry_id__lte=seal.last_entry_id))
    kept = bulk.read(PeriodBalance.objects.values("account_id", "currency", "month", *books.SUMS))
    key = ["account_id", "currency", "month"]
    both = rows.join(kept, on=key, how="full", coalesce=True, suffix="_kept").with_columns(pl.exclude(key).fill_null(0))
    return both.filter(pl.any_horizontal(pl.col(c) != pl.col(f"{c}_kept") for c in books.SUMS))


def transfers_have_their_entry_and_accounts() -> pl.DataFrame:
    """Every transfer has an entry and two accounts, all of one company."""
    return bulk.query(
        "SELECT t.id FROM books_transfer t LEFT JOIN books_entry e ON e.id = t.entry_id LEFT JOIN books_account d ON d.id = t.debit_account_id"
        " LEFT JOIN books_account c ON c.id = t.credit_account_id"
        " WHERE e.id IS NULL OR d.id IS NULL OR c.id IS NULL OR d.entity_id <> e.entity_id OR c.entity_id <> e.entity_id LIMIT 100",
        (),
        {"transfer_id": INT},
    )


def amounts_at_home_are_what_they_are() -> pl.DataFrame:
    """What is booked in the company's own currency is worth as much, so it has no exchange difference."""
    return bulk.query(
        "SELECT t.id, t.entry_id, t.amount_minor, t.functional_minor FROM books_transfer t JOIN books_entry e ON e.id = t.entry_id JOIN books_entity c ON c.id = e.entity_id"
        " WHERE t.currency = c.currency AND t.amount_minor <> t.functional_minor LIMIT 100",
        (),
        {"transfer_id": INT, "entry_id": INT, "amount_minor": INT, "functional_minor": INT},
    )


def entries_have_transfers() -> pl.DataFrame:
    """No entry is empty."""
    return bulk.query(
        "SELECT e.id, e.key FROM books_entry e WHERE NOT EXISTS (SELECT 1 FROM books_transfer t WHERE t.entry_id = e.id) LIMIT 100",
        (),
        {"entry_id": INT, "key": TEXT},
    )


def document_keys_exist() -> pl.DataFrame:
    """Documents that the ledger names are there."""
    parts = []
    for column, table in (
        ("invoice_id", "billing_invoice"), ("payment_id", "receivables_payment"), ("customer_id", "market_customer"), ("bank_account_id", "bank_bankaccount"),
    ):  # fmt: skip
        parts.append(
            bulk.query(
                f"SELECT DISTINCT t.{column}, '{column}' FROM books_transfer t LEFT JOIN {table} d ON d.id = t.{column}"
                f" WHERE t.{column} IS NOT NULL AND d.id IS NULL LIMIT 100",
                (),
                {"missing_id": INT, "named_by": TEXT},
            )
        )
    return pl.concat(parts)


def receivables_equal_documents() -> pl.DataFrame:
    """The receivable account equals open invoices less open credit notes, per company and currency."""
    documents = bulk.query(
        "SELECT entity_id, currency, CAST(sum(CASE WHEN kind = 'credit_note' THEN allocated_minor - total_minor ELSE total_minor - allocated_minor END) AS bigint)"
        " FROM billing_invoice WHERE state IN ('open', 'paid', 'written_off') GROUP BY 1, 2",
        (),
        {"entity_id": INT, "currency": TEXT, "documents_minor": INT},
    )
    return _against_ledger(documents, "receivable", sign=1)


def unapplied_cash_equals_payments() -> pl.DataFrame:
    """The unapplied-cash account equals what is left of payments, per company and currency."""
    payments = bulk.query(
        "SELECT entity_id, currency, CAST(sum(amount_minor - allocated_minor) AS bigint) FROM receivables_payment WHERE state = 'received' GROUP BY 1, 2",
        (),
        {"entity_id": INT, "currency": TEXT, "documents_minor": INT},
    )
    return _against_ledger(payments, "unapplied_cash", sign=-1)


def prepaid_credits_equal_wallets() -> pl.DataFrame:
    """The account of prepaid credits equals what is left of credits that were bought, per company and currency."""
    held = bulk.query(
        "SELECT w.entity_id, w.currency, CAST(sum(c.left_minor) AS bigint) FROM contracts_credit c JOIN contracts_wallet w ON w.id = c.wallet_id"
        " WHERE c.is_paid AND c.left_minor > 0 GROUP BY 1, 2",
        (),
        {"entity_id": INT, "currency": TEXT, "documents_minor": INT},
    )
    return _against_ledger(held, "prepaid_credits", sign=-1)


def credits_equal_their_moves() -> pl.DataFrame:
    """What is left of credits is what went in and did not go out; and what they paid of documents is what stands there."""
    left = bulk.query(
        "SELECT c.id, 'credit' FROM contracts_credit c LEFT JOIN (SELECT credit_id, sum(amount_minor) AS m FROM contracts_creditmove GROUP BY 1) x"
        " ON x.credit_id = c.id WHERE c.left_minor <> COALESCE(x.m, 0) LIMIT 100",
        (),
        {"id": INT, "kind": TEXT},
    )
    paid = bulk.query(
        "SELECT i.id, 'invoice' FROM billing_invoice i LEFT JOIN (SELECT invoice_id, sum(amount_minor) AS m FROM receivables_allocation"
        " WHERE kind IN ('credits', 'granted') GROUP BY 1) a ON a.invoice_id = i.id"
        " LEFT JOIN (SELECT invoice_id, -sum(amount_minor) AS m FROM contracts_creditmove WHERE kind = 'drawn' GROUP BY 1) d ON d.invoice_id = i.id"
        " WHERE i.from_credits_minor <> COALESCE(a.m, 0) OR COALESCE(d.m, 0) < COALESCE(a.m, 0) LIMIT 100",
        (),
        {"id": INT, "kind": TEXT},
    )
    return pl.concat([left, paid])


def allocations_add_up_to_documents() -> pl.DataFrame:
    """What is written on a document as settled equals its allocation rows; likewise for payments."""
    invoices = bulk.query(
        "SELECT i.id, 'invoice' FROM billing_invoice i LEFT JOIN (SELECT d, sum(m) AS m FROM ("
        "SELECT invoice_id AS d, amount_minor AS m FROM receivables_allocation WHERE invoice_id IS NOT NULL UNION ALL"
        " SELECT credit_note_id, source_minor FROM receivables_allocation WHERE credit_note_id IS NOT NULL) x GROUP BY d) a ON a.d = i.id"
        " WHERE i.allocated_minor <> COALESCE(a.m, 0) LIMIT 100",
        (),
        {"id": INT, "kind": TEXT},
    )
    payments = bulk.query(
        "SELECT p.id, 'payment' FROM receivables_payment p LEFT JOIN (SELECT payment_id, sum(source_minor) AS m FROM receivables_allocation GROUP BY 1) a"
        " ON a.payment_id = p.id WHERE p.allocated_minor <> COALESCE(a.m, 0) LIMIT 100",
        (),
        {"id": INT, "kind": TEXT},
    )
    return pl.concat([invoices, payments])


def lines_add_up_to_invoices() -> pl.DataFrame:
    """Net and tax of the lines are those of the document."""
    return bulk.query(
        "SELECT i.id, i.number FROM billing_invoice i LEFT JOIN (SELECT invoice_id, sum(net_minor) AS n, sum(tax_minor) AS t FROM billing_invoiceline GROUP BY 1) l"
        " ON l.invoice_id = i.id WHERE COALESCE(l.n, 0) <> i.net_minor OR COALESCE(l.t, 0) <> i.tax_minor LIMIT 100",
        (),
        {"invoice_id": INT, "number": TEXT},
    )


def numbers_have_no_gap() -> pl.DataFrame:
    """Every series of legal numbers was used without a gap: as many documents as numbers taken."""
    return bulk.query(
        "SELECT s.entity_id, s.code, s.next_number - 1, count(i.id) FROM kernel_documentseries s LEFT JOIN billing_invoice i"
        " ON i.entity_id = s.entity_id AND i.number LIKE s.prefix || '%%' AND i.import_batch_id IS NULL AND i.kind = s.code"
        " WHERE s.code IN ('invoice', 'credit_note') GROUP BY 1, 2, 3 HAVING count(i.id) <> s.next_number - 1",
        (),
        {"entity_id": INT, "series": TEXT, "taken": INT, "documents": INT},
    )


def bank_accounts_equal_statements() -> pl.DataFrame:
    """Each bank's ledger account equals its opening balance and booked lines."""
    lines = bulk.query(
        "SELECT b.entity_id, b.id, b.currency, CAST(COALESCE(sum(l.amount_minor), 0) AS bigint) FROM bank_bankaccount b"
        " LEFT JOIN bank_statementline l ON l.account_id = b.id AND l.status = 'booked' GROUP BY 1, 2, 3",
        (),
        {"entity_id": INT, "bank_account_id": INT, "currency": TEXT, "lines_minor": INT},
    )
    opened = bulk.query(
        "SELECT t.bank_account_id, CAST(sum(CASE WHEN d.role LIKE 'bank:%%' THEN t.amount_minor ELSE -t.amount_minor END) AS bigint) FROM books_transfer t"
        " JOIN books_entry e ON e.id = t.entry_id JOIN books_account d ON d.id = t.debit_account_id"
        " LEFT JOIN books_entry o ON o.id = e.reverses_id WHERE e.kind = 'bank_opening' OR o.kind = 'bank_opening' GROUP BY 1",
        (),
        {"bank_account_id": INT, "opening_minor": INT},
    )
    ledger = (
        _ledger()
        .filter(pl.col("role").str.starts_with("bank:"))
        .with_columns(bank_account_id=pl.col("role").str.strip_prefix("bank:").cast(pl.Int64))
    )
    joined = lines.join(opened, on="bank_account_id", how="left").join(
        ledger.select("bank_account_id", "balance_minor"), on="bank_account_id", how="left"
    )
    joined = joined.with_columns(pl.col("opening_minor", "balance_minor").fill_null(0))
    return joined.filter(pl.col("balance_minor") != pl.col("lines_minor") + pl.col("opening_minor"))


def deals_stand_where_their_history_leads() -> pl.DataFrame:
    """Stage, category, amount, day, owner and next step of every deal are those that its changes lead to."""
    return pipeline.off_their_history()


def people_stand_in_the_teams_of_their_history() -> pl.DataFrame:
    """Everybody who sells is led by whom the last row of their history names."""
    return pipeline.off_their_teams()


def contracts_bill_what_was_agreed() -> pl.DataFrame:
    """The periods of a contract that was made of a quote, and never amended, add up to the quote."""
    return contracts.out_of_balance()


def charges_stand_on_their_lines() -> pl.DataFrame:
    """Every period that was charged stands on a line of its document, with the same amount."""
    return contracts.charges_off_their_lines()


def revenue_stands_where_it_was_earned() -> pl.DataFrame:
    """Contract liabilities and assets in the ledger are, by customer, those that the last closed month left."""
    return recognition.off_the_books()


def events_of_the_lake_are_whole() -> pl.DataFrame:
    """Every file of the lake holds what was written, and no key twice."""
    return lake.broken()


PROOFS: list[Callable[[], pl.DataFrame]] = [
    guards_stand, seals_hold, period_balances_agree, transfers_have_their_entry_and_accounts, amounts_at_home_are_what_they_are, entries_have_transfers, document_keys_exist,
    receivables_equal_documents, prepaid_credits_equal_wallets, credits_equal_their_moves, unapplied_cash_equals_payments, allocations_add_up_to_documents, lines_add_up_to_invoices, numbers_have_no_gap,
    bank_accounts_equal_statements, deals_stand_where_their_history_leads, people_stand_in_the_teams_of_their_history,
    contracts_bill_what_was_agreed,
    charges_stand_on_their_lines,
    revenue_stands_where_it_was_earned,
    events_of_the_lake_are_whole,
]  # fmt: skip


def verify() -> list[Proof]:
    """Run every proof. Work: O(books); seals are recomputed from the first."""
    return [Proof(f.__name__.replace("_", " "), (f.__doc__ or "").partition("\n")[0], f()) for f in PROOFS]


def _ledger() -> pl.DataFrame:
    parts = [books.trial_balance(entity_id=e.pk).with_columns(entity_id=pl.lit(e.pk, dtype=pl.Int64)) for e in books.entities()]
    columns = ["entity_id", "role", "currency", "balance_minor"]
    if not parts:
        return pl.DataFrame(schema={"entity_id": INT, "role": TEXT, "currency": TEXT, "balance_minor": INT})
    return pl.concat([p.select(columns) for p in parts]).filter(pl.col("role").is_not_null())


def _against_ledger(documents: pl.DataFrame, role: str, *, sign: int) -> pl.DataFrame:
    ledger = _ledger().filter(pl.col("role") == role).select("entity_id", "currency", ledger_minor=pl.col("balance_minor") * sign)
    both = documents.join(ledger, on=["entity_id", "currency"], how="full", coalesce=True).with_columns(
        pl.col("documents_minor", "ledger_minor").fill_null(0)
    )
    return both.filter(pl.col("documents_minor") != pl.col("ledger_minor"))
