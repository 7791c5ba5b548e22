"""Tests make their tables from the models; installations make them by migrations. Both are the same."""

from __future__ import annotations

from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader
from django.test import override_settings


@override_settings(MIGRATION_MODULES={})
def test_the_migrations_make_what_the_models_say(db, capsys):
    assert MigrationLoader(None).disk_migrations, "migrations are read, although the tests run without them"
    call_command("makemigrations", check_changes=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out
