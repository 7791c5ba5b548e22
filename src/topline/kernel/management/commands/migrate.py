"""Django's migrate, and then the guards: a migration that rebuilds a table on SQLite would else leave it unguarded."""

from typing import Any

from django.core.management.commands.migrate import Command as Migrate

from topline.kernel.guards import install_guards


class Command(Migrate):
    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        install_guards()
