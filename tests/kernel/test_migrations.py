"""A new database is made from the models, an older one is migrated: both end at the same tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader
from django.db.models import ForeignKey, UniqueConstraint
from django.test import override_settings

MADE = """
import json, sys
import topline.config.sqlite
import django; django.setup()
from django.core.management import call_command
from django.core.management.commands.migrate import Command as ByHistory
from django.db import connection
call_command(ByHistory() if sys.argv[1] == "history" else "migrate", verbosity=0)
inside = connection.introspection
told = {}
with connection.cursor() as cursor:
    for table in inside.table_names(cursor):
        columns = sorted([c.name, str(c.type_code), c.null_ok] for c in inside.get_table_description(cursor, table))
        keys = inside.get_constraints(cursor, table).items()
        nameless = ("__unnamed", "fk_", "sqlite_autoindex")  # named by their place
        told[table] = [columns, sorted(str(["" if name.startswith(nameless) else name, *sorted(of.items())]) for name, of in keys)]
    for table in ("pipeline_stage", "django_migrations"):
        names = "key, name, position, kind, category, is_qualified" if table == "pipeline_stage" else "app, name"
        cursor.execute(f"SELECT {names} FROM {table} ORDER BY 1, 2")
        told[f"rows of {table}"] = cursor.fetchall()
print(json.dumps(told, sort_keys=True, default=str))
"""


@override_settings(MIGRATION_MODULES={})
def test_the_migrations_make_what_the_models_say(db, capsys):
    assert MigrationLoader(None).disk_migrations, "migrations are read, although the tests run without them"
    call_command("makemigrations", check_changes=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out


def test_no_foreign_key_is_indexed_beside_an_index_that_begins_with_it():
    ours = [model for model in apps.get_models() if model.__module__.startswith("topline.")]
    twice = []
    for model in ours:
        meta = model._meta
        whole = [*meta.indexes, *(c for c in meta.constraints if isinstance(c, UniqueConstraint))]
        led = {index.fields[0].lstrip("-") for index in whole if index.fields and index.condition is None}
        keys = [field for field in meta.concrete_fields if isinstance(field, ForeignKey) and field.db_index and not field.unique]
        twice += [f"{model.__name__}.{field.name}" for field in keys if field.name in led]
    assert len(ours) > 100
    assert not twice, "each of them costs a write a row and serves no query: say db_index=False"


def test_a_database_made_at_once_is_the_one_that_the_migrations_make(tmp_path):
    if os.environ.get("TOPLINE_DATABASE_URL"):
        pytest.skip("told once, on SQLite")

    def tables(way):
        home = tmp_path / way
        home.mkdir()
        env = {**os.environ, "TOPLINE_HOME": str(home), "DJANGO_SETTINGS_MODULE": "topline.config.settings"}
        done = subprocess.run(
            [sys.executable, "-c", MADE, way], env=env, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    at_once, by_history = tables("at once"), tables("history")
    assert at_once.keys() == by_history.keys()
    assert {name: told for name, told in at_once.items() if told != by_history[name]} == {}
    assert len(at_once) > 100 and at_once["rows of pipeline_stage"]
