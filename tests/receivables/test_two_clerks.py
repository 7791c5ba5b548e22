"""Clerks at once: processes of their own, on real commits, let go together; no more is applied than what is open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
START = """
import os, sys, json
import topline.config.sqlite
import django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "topline.config.settings")
django.setup()
from datetime import date
import polars as pl
from django.core.management import call_command
from topline.billing import actions as billing
from topline.billing.models import Invoice
from topline.books import actions as books
from topline.flows import proofs
from topline.kernel.errors import DomainError
from topline.market import actions as market
from topline.receivables import actions
from topline.team.queries import system_actor
actor, day = system_actor("test"), date(2026, 3, 20)
"""
MIGRATE = """
call_command("migrate", verbosity=0)
print("{}")
"""
SET_UP = """
entity = books.open_entity(actor=actor, key=sys.argv[1], name="Acme", currency="EUR")
customer = market.add_customers(actor=actor, customers=pl.DataFrame({"name": ["Globex"], "currency": ["EUR"]}))["customer_id"][0]
item = {"number": ["R1"], "customer_id": [customer], "currency": ["EUR"], "issued_on": [date(2026, 3, 1)], "due_on": [date(2026, 3, 31)], "total_minor": [10_000]}
invoice = billing.import_open_items(actor=actor, entity_id=entity, items=pl.DataFrame(item))["invoice_id"][0]
paid = pl.DataFrame({"customer_id": [customer] * 4, "currency": "EUR", "amount_minor": [50_000] * 4, "received_on": day})
payments = actions.record_payments(actor=actor, entity_id=entity, payments=paid)["payment_id"].to_list()
print(json.dumps({"invoice": invoice, "payments": payments}))
"""
CLERK = """
payment, invoice, guarded = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "guarded"
if not guarded:
    actions._check_open = lambda rows, invoices: None
print("ready", flush=True)
sys.stdin.readline()
told = []
for _ in range(3):
    links = pl.DataFrame({"payment_id": [payment], "invoice_id": [invoice], "amount_minor": [3_000]})
    try:
        actions.apply_cash(actor=actor, links=links, on=day)
        told.append("applied")
    except DomainError as error:
        told.append(error.code)
    except Exception as error:
        told.append(type(error).__name__)
print(json.dumps(told))
"""
LOOK = """
print(json.dumps({"allocated": Invoice.objects.get(pk=int(sys.argv[1])).allocated_minor, "broken": [p.name for p in proofs.verify() if not p.holds]}))
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The environment of a database of its own without a company, of the kind that the tests run on."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TOPLINE_")}
    environment |= {
        "TOPLINE_HOME": str(tmp_path_factory.mktemp("clerks")),
        "PYTHONPATH": str(ROOT / "src"),
        "OMP_NUM_THREADS": "1",
    }
    url = os.environ.get("TOPLINE_DATABASE_URL", "")
    if not url.startswith("postgres"):
        answer(start(MIGRATE, environment=environment))
        yield environment
        return
    import psycopg

    name, parts = f"clerks_{uuid.uuid4().hex[:8]}", urlsplit(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        environment |= {"TOPLINE_DATABASE_URL": urlunsplit(parts._replace(path=f"/{name}"))}
        answer(start(MIGRATE, environment=environment))
        yield environment
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def start(script, *arguments, environment):
    return subprocess.Popen(
        [sys.executable, "-c", START + script, *map(str, arguments)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def answer(process, said=""):
    out, err = process.communicate(said, timeout=100)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def play(environment, mode):
    """Four clerks apply 30.00 three times each to an invoice of 100.00; returns what each attempt was told, and the end."""
    made = answer(start(SET_UP, mode, environment=environment))
    clerks = [start(CLERK, payment, made["invoice"], mode, environment=environment) for payment in made["payments"]]
    for clerk in clerks:  # the barrier: everybody stands ready before anybody is let go
        assert clerk.stdout.readline() == "ready\n", clerk.stderr.read()
    for clerk in clerks:
        clerk.stdin.write("go\n")
        clerk.stdin.flush()
    told = Counter(word for clerk in clerks for word in answer(clerk, None))
    return told, answer(start(LOOK, made["invoice"], environment=environment))


def test_four_clerks_never_apply_more_than_is_open_and_each_refusal_says_so(database):
    told, end = play(database, "guarded")
    assert told == {"applied": 3, "over_applied": 9}
    assert end == {"allocated": 9_000, "broken": []}


def test_without_the_guard_the_clerks_run_into_the_net_below_it(database):
    told, end = play(database, "unguarded")
    assert told["over_applied"] == 0
    assert told["IntegrityError"] == 9
    assert end == {"allocated": 9_000, "broken": []}
