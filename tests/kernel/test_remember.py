"""Answers that are kept must never be stale: not after a change, not in a transaction, not while another writes."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.faults.house"]

SCRIPT = """
from topline.kernel.remember import Remembered, unchanging_state
reads, kept = [], Remembered(size=2)
def ask(key=1):
    return kept.get((key,), lambda: reads.append(key) or Entity.objects.exclude(key="acme").count())
books.open_entity(actor=actor, key="a", name="A", currency="EUR")
told = {"first": [ask(), ask(), len(reads)]}
books.open_entity(actor=actor, key="b", name="B", currency="EUR")
told["changed"] = [ask(), ask(), len(reads)]
with transaction.atomic():
    books.open_entity(actor=actor, key="c", name="C", currency="EUR")
    told["inside"] = [ask(), ask(), len(reads)]
    transaction.set_rollback(True)
told["rolled back"] = [ask(), len(reads)]
ask(2), ask(3)
told["forgotten"] = [ask(1), len(reads), len(kept._kept)]
"""


def test_an_answer_is_read_again_only_after_a_change_and_never_kept_from_inside_a_transaction(company):
    told = company.run(SCRIPT + "print(json.dumps(told))")
    assert told == {
        "first": [1, 1, 1],
        "changed": [2, 2, 2],
        "inside": [3, 3, 4],  # what a transaction sees, nobody else may
        "rolled back": [2, 4],
        "forgotten": [2, 7, 2],
    }


RIVALS = """
import psycopg
from topline.kernel.remember import unchanging_state
books.open_entity(actor=actor, key="a", name="A", currency="EUR")
url = os.environ["TOPLINE_DATABASE_URL"]
record = "INSERT INTO kernel_auditrecord (recorded_at, actor_key, actor_name, action, inputs, reason) VALUES (now(), '', '', '', '{}', '')"
begin = "SELECT pg_current_xact_id()"
before = unchanging_state()
older, younger = psycopg.connect(url), psycopg.connect(url)
older.execute(begin)
younger.execute(begin)
"""


@pytest.fixture
def postgresql(request):
    if not os.environ.get("TOPLINE_DATABASE_URL", "").startswith("postgres"):
        pytest.skip("SQLite has one writer, so its records commit in the order of their ids")
    return request.getfixturevalue("company")


@pytest.mark.parametrize(
    "script",
    [
        "younger.execute(record); younger.commit(); during = unchanging_state(); older.execute(record); older.commit()\n",
        "younger.execute(record); older.execute(record); older.commit(); during = unchanging_state(); younger.commit()\n",
    ],
)
def test_while_a_change_is_under_way_the_state_has_no_name_and_afterwards_another(postgresql, script):
    before, during, after = postgresql.run(RIVALS + script + "print(json.dumps([before, during, unchanging_state()]))")
    assert during is None
    assert None not in (before, after)
    assert before != after


def test_a_change_in_another_database_of_the_server_hides_nothing(postgresql):
    script = "older.rollback(); younger.rollback(); other = psycopg.connect(url, dbname='postgres'); other.execute(begin); during = unchanging_state(); other.rollback()\n"
    assert postgresql.run(RIVALS + script + "print(json.dumps(before == during))")
