"""The ledger: what is posted stays, counts once, and can be asked as of any day."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from django.db import DatabaseError, transaction

from topline.books import actions, queries
from topline.books.actions import leg
from topline.books.models import Entry, Transfer
from topline.kernel import clock
from topline.team.queries import system_actor


def post_sales(entity, amounts, on=date(2026, 3, 10), key="sale"):
    frame = pl.DataFrame(
        {"key": [f"{key}:{i}" for i in range(len(amounts))], "currency": "EUR", "amount": amounts, "effective_on": on}
    )
    return actions.post(
        entity_id=entity.pk,
        kind="test",
        entries=frame.select("key", "effective_on"),
        transfers=[leg(frame, debit="receivable", credit="revenue", amount="amount")],
    )


@pytest.fixture
def inside(owner):
    """Run inside a door, as rooms do."""
    from topline.kernel.actions import action, registry

    def run(work):
        registry.pop("test.work", None)
        return action("test.work")(lambda *, actor: work())(
            actor=type(owner)(owner.key, owner.name, owner.permissions | {"test.work"})
        )

    yield run
    registry.pop("test.work", None)


def balance(entity, role, **when):
    return queries.role_balances(entity_id=entity.pk, role=role, **when).get("EUR", 0)


def test_a_batch_moves_from_credit_to_debit_and_always_balances(entity, inside):
    inside(lambda: post_sales(entity, [1000, 250, -50]))
    assert balance(entity, "receivable") == 1200
    assert balance(entity, "revenue") == -1200
    table = queries.trial_balance(entity_id=entity.pk)
    assert table["functional_minor"].sum() == 0


def test_a_negative_amount_turns_the_transfer_round(entity, inside):
    inside(lambda: post_sales(entity, [-50]))
    transfer = Transfer.objects.get()
    assert (transfer.amount_minor, transfer.debit_account.role, transfer.credit_account.role) == (50, "revenue", "receivable")


def test_the_same_key_is_refused_and_leaves_nothing_behind(entity, inside):
    inside(lambda: post_sales(entity, [1000]))
    with pytest.raises(actions.AlreadyPosted):
        inside(lambda: post_sales(entity, [5, 1000]))
    with pytest.raises(actions.AlreadyPosted):
        inside(lambda: (post_sales(entity, [5], key="new"), post_sales(entity, [1000])))
    assert balance(entity, "receivable") == 1000


def test_balances_are_as_of_a_day_and_as_known_at_a_moment(entity, inside):
    with clock.at(datetime(2026, 4, 1, tzinfo=UTC)):
        inside(lambda: post_sales(entity, [1000], on=date(2026, 3, 31)))
    with clock.at(datetime(2026, 5, 1, tzinfo=UTC)):
        inside(lambda: post_sales(entity, [70], on=date(2026, 3, 15), key="late"))
    assert balance(entity, "receivable", as_of=date(2026, 3, 30)) == 70
    assert balance(entity, "receivable", as_of=date(2026, 3, 31)) == 1070
    known = queries.trial_balance(entity_id=entity.pk, as_of=date(2026, 3, 31), recorded_by=datetime(2026, 4, 15, tzinfo=UTC))
    assert known.filter(pl.col("role") == "receivable")["balance_minor"].to_list() == [1000]


def test_sealed_months_give_the_same_balances_as_the_rows_themselves(entity, owner, inside):
    for month in (1, 2, 3):
        inside(lambda month=month: post_sales(entity, [100 * month, 7], on=date(2026, month, 28), key=f"m{month}"))
    days = [date(2026, 1, 27), date(2026, 1, 28), date(2026, 2, 15), date(2026, 3, 31), None]
    before = [balance(entity, "receivable", as_of=day) for day in days]
    assert before == [0, 107, 107, 621, 621]
    assert actions.seal(actor=owner) == 6
    inside(lambda: post_sales(entity, [9], on=date(2026, 2, 1), key="after"))
    assert [balance(entity, "receivable", as_of=day) for day in days] == [0, 107, 116, 630, 630]
    assert actions.seal(actor=owner) == 1
    assert actions.seal(actor=owner) == 0
    assert [balance(entity, "receivable", as_of=day) for day in days] == [0, 107, 116, 630, 630]


def test_a_changed_row_breaks_its_seal(entity, owner, inside):
    from django.db import connection

    from topline.books import sealing

    inside(lambda: post_sales(entity, [1000, 20]))
    actions.seal(actor=owner)
    assert sealing.broken_seals().is_empty()
    table, last = "books_transfer", Transfer.objects.order_by("-id").first().pk
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        else:
            cursor.execute(f"DROP TRIGGER guard_{table}_update")
        cursor.execute(f"UPDATE {table} SET amount_minor = 21 WHERE id = %s", [last])
    assert sealing.broken_seals().height == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda: Entry.objects.update(memo="x"),
        lambda: Transfer.objects.all().delete(),
        lambda: Entry.objects.all()._raw_delete("default"),
    ],
)
def test_the_database_itself_refuses_to_change_or_delete_what_is_posted(entity, inside, change):
    inside(lambda: post_sales(entity, [1000]))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        change()
    assert balance(entity, "receivable") == 1000


def test_nothing_is_posted_into_a_locked_period_and_the_refusal_names_the_day(entity, owner, inside):
    actions.lock_period(actor=owner, entity_id=entity.pk, through=date(2026, 3, 31), reason="March is closed")
    with pytest.raises(actions.PeriodLocked, match="closed through 31 Mar 2026"):
        inside(lambda: post_sales(entity, [1000], on=date(2026, 3, 31)))
    inside(lambda: post_sales(entity, [1000], on=date(2026, 4, 1)))
    actions.lock_period(actor=owner, entity_id=entity.pk, through=None, reason="Reopened for the audit")
    inside(lambda: post_sales(entity, [5], on=date(2026, 3, 31), key="late"))
    assert balance(entity, "receivable") == 1005


def test_a_reversal_is_the_mirror_image_and_happens_once(entity, owner):
    entry = actions.post_entry(
        actor=owner,
        entity_id=entity.pk,
        key="1",
        effective_on=date(2026, 3, 1),
        memo="Rent",
        debit="6200",
        credit="1050",
        amount_minor=90_000,
        currency="EUR",
    )
    actions.reverse_entry(actor=owner, entry_id=entry, effective_on=date(2026, 4, 1), reason="Wrong month")
    assert balance(entity, "operating_expense", as_of=date(2026, 3, 31)) == 90_000
    assert balance(entity, "operating_expense") == 0
    with pytest.raises(actions.AlreadyReversed):
        actions.reverse_entry(actor=owner, entry_id=entry, effective_on=date(2026, 4, 1), reason="Again")


def test_an_account_of_another_currency_or_an_unknown_one_is_refused(entity, owner):
    actions.add_account(actor=owner, entity_id=entity.pk, code="1010", name="Dollar bank", kind="asset", currency="USD")
    with pytest.raises(actions.UnknownAccount, match="EUR"):
        actions.post_entry(
            actor=owner,
            entity_id=entity.pk,
            key="1",
            effective_on=date(2026, 3, 1),
            memo="x",
            debit="1010",
            credit="1050",
            amount_minor=1,
            currency="EUR",
        )
    with pytest.raises(actions.UnknownAccount, match="9999"):
        actions.post_entry(
            actor=owner,
            entity_id=entity.pk,
            key="1",
            effective_on=date(2026, 3, 1),
            memo="x",
            debit="9999",
            credit="1050",
            amount_minor=1,
            currency="EUR",
        )


def test_foreign_amounts_are_booked_at_the_last_rate_on_or_before_the_day(entity, owner):
    table = pl.DataFrame({"currency": ["USD"], "on": [date(2026, 6, 5)], "per_euro": ["1.25"]}).with_columns(
        pl.col("per_euro").cast(pl.Decimal(38, 9))
    )
    actions.add_rates(actor=owner, table=table, source="test")
    entry = actions.post_entry(
        actor=owner,
        entity_id=entity.pk,
        key="1",
        effective_on=date(2026, 6, 5),
        memo="x",
        debit="1100",
        credit="4000",
        amount_minor=10_000,
        currency="USD",
    )
    transfer = Transfer.objects.get(entry_id=entry)
    assert (transfer.amount_minor, transfer.functional_minor) == (10_000, 8_000)


def test_days_outside_the_books_are_refused(entity, inside):
    with pytest.raises(Exception, match="1900-01-01 to 2199-12-31"):
        inside(lambda: post_sales(entity, [1], on=date(1899, 12, 31)))


def test_an_action_needs_its_permission_and_leaves_an_audit_record(entity, owner):
    from topline.kernel.actions import PermissionMissing, history

    auditor = system_actor("auditor")
    auditor = type(auditor)("member:9", "Ann", frozenset({"books.view"}))
    with pytest.raises(PermissionMissing):
        actions.lock_period(actor=auditor, entity_id=entity.pk, through=date(2026, 1, 31))
    actions.lock_period(actor=owner, entity_id=entity.pk, through=date(2026, 1, 31), reason="Close")
    newest = history("entity", entity.pk)[0]
    assert (newest.record.action, newest.record.reason, newest.after) == (
        "books.lock_period",
        "Close",
        {"locked_through": "2026-01-31"},
    )
