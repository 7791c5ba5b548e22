"""Append-only tables guarded in the database itself: no UPDATE, no DELETE, no TRUNCATE, whoever asks.

A model says `append_only = True`. SQLite drops triggers when a table is rebuilt, so they are put in place again at the
end of every migrate, and `missing_guards` lets verify and /readyz prove that they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.db import connection, models

from topline.kernel.database import is_postgresql


def append_only_models() -> list[type[models.Model]]:
    """The models that declare themselves append-only."""
    return [m for m in apps.get_models() if getattr(m, "append_only", False)]


def install_guards() -> None:
    """Put the triggers in place on every append-only table; harmless when they stand already."""
    with connection.cursor() as cursor:
        if is_postgresql():
            cursor.execute(
                "CREATE OR REPLACE FUNCTION topline_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE EXCEPTION 'table % is append-only: correct by a new row', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
            )
        for model in append_only_models():
            table = model._meta.db_table
            for name, when in _triggers(table):
                _install(table, name, when)


@contextmanager
def lifted(model: type[models.Model]) -> Iterator[None]:
    """Let rows of an append-only table be deleted inside the running transaction, by who has put them where they stay readable.

    The guard stands again when the block ends, or when the transaction is rolled back; whoever else writes to the table waits until then.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("A guard is lifted inside a transaction; open one first.")
    table = model._meta.db_table
    name, when = _triggers(table)[1]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER "{name}"' if is_postgresql() else f'DROP TRIGGER "{name}"')
        yield
        if is_postgresql():
            cursor.execute(f'ALTER TABLE "{table}" ENABLE TRIGGER "{name}"')
        else:
            _install(table, name, when)


def missing_guards() -> list[str]:
    """Names of triggers that should stand and do not; disabled ones count as missing."""
    sql = (
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'"
        if is_postgresql()
        else "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql)
        present = {row[0] for row in cursor.fetchall()}
    return [name for model in append_only_models() for name, _ in _triggers(model._meta.db_table) if name not in present]


def _install(table: str, name: str, when: str) -> None:
    with connection.cursor() as cursor:
        if is_postgresql():
            scope = "STATEMENT" if when == "TRUNCATE" else "ROW"
            cursor.execute(
                f'CREATE OR REPLACE TRIGGER "{name}" BEFORE {when} ON "{table}" FOR EACH {scope} EXECUTE FUNCTION topline_refuse()'
            )
        else:
            cursor.execute(
                f'CREATE TRIGGER IF NOT EXISTS "{name}" BEFORE {when} ON "{table}"'
                f" BEGIN SELECT RAISE(ABORT, 'table {table} is append-only: correct by a new row'); END"
            )


def _triggers(table: str) -> list[tuple[str, str]]:
    events = ["UPDATE", "DELETE", *(["TRUNCATE"] if is_postgresql() else [])]
    return [(f"guard_{table}_{event.lower()}", event) for event in events]
