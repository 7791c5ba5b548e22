"""Every proof of `topline verify` is green on sound books and red on broken ones."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import connection

from topline.books import actions as books
from topline.flows import proofs


@pytest.fixture
def sound(owner, entity, make_customers, issue, pay, apply):
    (customer,) = make_customers("Globex")
    a, b = issue(customer, 10_000, 5_000, tax_ppm=190_000)
    apply(pay(customer, 12_000), a, 11_900)
    books.seal(actor=owner)
    issue(customer, 700)
    return {"invoice": a, "open": b}


def broken():
    return {p.name for p in proofs.verify() if not p.holds}


def test_sound_books_pass_every_proof(sound):
    assert broken() == set()


def run(sql):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what was done before is sound
            cursor.execute("SET LOCAL session_replication_role = replica")  # references look away
        for table in ("books_transfer", "books_entry", "receivables_allocation"):
            if connection.vendor == "postgresql":
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            else:
                cursor.execute(f"DROP TRIGGER IF EXISTS guard_{table}_update")
                cursor.execute(f"DROP TRIGGER IF EXISTS guard_{table}_delete")
        cursor.execute(sql)


@pytest.mark.parametrize(
    ("damage", "proof"),
    [
        (
            "UPDATE books_transfer SET amount_minor = amount_minor + 1 WHERE id = (SELECT min(id) FROM books_transfer)",
            "seals hold",
        ),
        (
            "UPDATE books_transfer SET amount_minor = amount_minor + 1 WHERE id = (SELECT max(id) FROM books_transfer)",
            "receivables equal documents",
        ),
        (
            "UPDATE books_transfer SET functional_minor = functional_minor + 1 WHERE id = (SELECT max(id) FROM books_transfer)",
            "amounts at home are what they are",
        ),
        ("UPDATE books_entry SET memo = 'x' WHERE id = (SELECT min(id) FROM books_entry)", "seals hold"),
        ("UPDATE books_periodbalance SET debit_minor = debit_minor + 1", "period balances agree"),
        (
            "UPDATE books_transfer SET entry_id = 999999 WHERE id = (SELECT max(id) FROM books_transfer)",
            "transfers have their entry and accounts",
        ),
        ("UPDATE books_transfer SET entry_id = 999999 WHERE id = (SELECT max(id) FROM books_transfer)", "entries have transfers"),
        ("UPDATE books_transfer SET customer_id = 999999 WHERE id = (SELECT max(id) FROM books_transfer)", "document keys exist"),
        ("UPDATE billing_invoice SET allocated_minor = 1 WHERE state = 'open'", "allocations add up to documents"),
        ("UPDATE billing_invoice SET allocated_minor = 1 WHERE state = 'open'", "receivables equal documents"),
        ("UPDATE receivables_payment SET allocated_minor = 0", "unapplied cash equals payments"),
        ("UPDATE billing_invoiceline SET net_minor = net_minor + 1", "lines add up to invoices"),
        ("UPDATE kernel_documentseries SET next_number = next_number + 1", "numbers have no gap"),
        ("SELECT 1", "guards stand"),
    ],
)
def test_each_damage_is_found(sound, damage, proof):
    run(damage)
    assert proof in broken()


def test_a_bank_line_changed_behind_our_back_is_found(owner, entity):
    from topline.bank import actions as bank
    from topline.bank.formats.model import Statement, StatementEntry

    bank.add_account(actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", number="DE1")
    line = StatementEntry(amount_minor=4_000, currency="EUR", booked_on=date(2026, 2, 27))
    statement = Statement(account="DE1", currency="EUR", entries=(line,), opening_minor=6_000, closing_minor=10_000)
    bank.import_statements(
        actor=owner, entity_id=entity.pk, statements=[statement], file_name="s", file_sha256="0", format="test"
    )
    assert broken() == set()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE bank_statementline SET amount_minor = 1")
    assert broken() == {"bank accounts equal statements"}
