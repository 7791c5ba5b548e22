"""The door: permission, transaction, idempotency, audit."""

from __future__ import annotations

import polars as pl
import pytest
from django.db import connection

from topline.kernel import actions
from topline.kernel.actor import Actor
from topline.kernel.errors import DomainError
from topline.kernel.models import AuditRecord, AuditSubject, OutboxMessage

ACTOR = Actor("member:1", "Ann", frozenset({"test.act", "test.long"}))
OTHER = Actor("member:2", "Bob", frozenset({"test.act"}))


@pytest.fixture
def door():
    calls = []

    @actions.action("test.act")
    def act(*, actor: Actor, amount: int = 0, password: str = "", fail: bool = False):
        calls.append(amount)
        actions.changed("thing", amount, after={"amount": amount})
        OutboxMessage.objects.create(topic="x", available_at="2026-01-01T00:00Z", recorded_at="2026-01-01T00:00Z")
        if fail:
            raise DomainError("No.")
        return amount * 2

    yield act, calls
    actions.registry.pop("test.act")


def test_without_the_permission_nothing_happens(db, door):
    act, calls = door
    with pytest.raises(actions.PermissionMissing, match=r"test\.act"):
        act(actor=Actor("member:3", "Eve"), amount=1)
    assert not calls
    assert not AuditRecord.objects.exists()


def test_a_failed_action_leaves_neither_effect_nor_record(db, door):
    act, _ = door
    with pytest.raises(DomainError):
        act(actor=ACTOR, amount=1, fail=True)
    assert not OutboxMessage.objects.exists()
    assert not AuditRecord.objects.exists()


def test_the_record_says_who_what_and_why_and_hides_secrets(db, door):
    act, _ = door
    act(actor=ACTOR, amount=5, password="hunter2", reason="because")
    record = AuditRecord.objects.get()
    assert (record.actor_key, record.actor_name, record.action, record.reason) == ("member:1", "Ann", "test.act", "because")
    assert record.inputs == {"amount": 5, "password": "(hidden)"}
    assert actions.history("thing", 5)[0].after == {"amount": 5}


def test_the_same_key_answers_again_without_acting_again(db, door):
    act, calls = door
    assert act(actor=ACTOR, amount=5, idempotency_key="k") == 10
    assert act(actor=ACTOR, amount=5, idempotency_key="k") == 10
    assert calls == [5]


def test_the_same_key_with_other_inputs_is_refused(db, door):
    act, calls = door
    act(actor=ACTOR, amount=5, idempotency_key="k")
    with pytest.raises(actions.KeyReused):
        act(actor=ACTOR, amount=6, idempotency_key="k")
    assert act(actor=OTHER, amount=6, idempotency_key="k") == 12
    assert calls == [5, 6]


def test_a_key_of_a_failed_request_can_be_used_again(db, door):
    act, _ = door
    with pytest.raises(DomainError):
        act(actor=ACTOR, amount=5, fail=True, idempotency_key="k")
    assert act(actor=ACTOR, amount=5, idempotency_key="k") == 10


def test_a_frame_that_an_action_returned_is_replayed_as_it_was(db):
    @actions.action("test.act")
    def act(*, actor: Actor, rows: pl.DataFrame) -> pl.DataFrame:
        actions.changed_many("thing", rows["id"])
        return rows.with_columns(on=pl.date(2026, 1, 31))

    try:
        rows = pl.DataFrame({"id": [3, 1, 2, 9]})
        first = act(actor=ACTOR, rows=rows, idempotency_key="k")
        assert act(actor=ACTOR, rows=rows, idempotency_key="k").equals(first)
    finally:
        actions.registry.pop("test.act")
    assert list(AuditSubject.objects.order_by("first_id").values_list("first_id", "last_id")) == [(1, 3), (9, 9)]
    assert [s.first_id for s in actions.history("thing", 2)] == [1]


def test_what_is_computed_ahead_is_done_before_the_transaction_and_only_for_who_may(db):
    depths = []

    def look(*, amount: int):
        depths.append(len(connection.savepoint_ids))
        return amount * 3

    @actions.action("test.long", ahead=look)
    def long(*, actor: Actor, amount: int, ahead: int | None = None):
        depths.append(len(connection.savepoint_ids))
        return ahead

    try:
        assert long(actor=ACTOR, amount=5) == 15
        assert long(actor=ACTOR, amount=5, ahead=7) == 7
        assert depths == [0, 1, 1]
        assert AuditRecord.objects.first().inputs == {"amount": 5}
        with pytest.raises(actions.PermissionMissing):
            long(actor=Actor("member:3", "Eve"), amount=1)
        assert depths == [0, 1, 1]
    finally:
        actions.registry.pop("test.long")


def test_a_change_outside_an_action_is_a_programming_error(db):
    with pytest.raises(RuntimeError, match="outside an action"):
        actions.changed("thing", 1)


def test_two_actions_cannot_share_a_code():
    import topline.books.actions

    assert topline.books.actions.seal
    with pytest.raises(RuntimeError, match="Two actions"):
        actions.action("books.seal")(lambda *, actor: None)
