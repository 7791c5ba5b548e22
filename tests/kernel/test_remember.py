"""Answers that are kept must never be stale: not after a change, not in a transaction, not while another writes."""

from __future__ import annotations

import json
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


def test_while_an_older_change_is_under_way_the_state_has_no_name(postgresql):
    script = "younger.execute(record); younger.commit(); during = unchanging_state(); older.execute(record); older.commit()\n"
    told = postgresql.run(RIVALS + script + "print(json.dumps([before is None, during, unchanging_state() is None]))")
    assert told == [False, None, False]


def test_a_younger_change_that_commits_an_older_record_later_is_another_state(postgresql):
    script = "younger.execute(record); older.execute(record); older.commit(); during = unchanging_state(); younger.commit()\n"
    told = postgresql.run(RIVALS + script + "print(json.dumps([before, during, unchanging_state()]))")
    assert told[1][1] == told[2][1]  # the newest id does not tell them apart
    assert len({json.dumps(state) for state in told}) == 3
    assert None not in told
