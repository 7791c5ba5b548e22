"""Django's migrate, quicker where it begins with nothing, and with guards at its end."""

from typing import Any, cast

from django.apps import apps
from django.core.management.commands.migrate import Command as Migrate
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import RunPython
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

from topline.kernel.guards import install_guards


class Command(Migrate):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if not options["app_label"] and not connection.introspection.table_names():
            make_tables(connection)
        super().handle(*args, **options)
        install_guards()  # a migration that rebuilds a table on SQLite would else leave it unguarded


def make_tables(connection: BaseDatabaseWrapper) -> None:
    """The tables of an empty database from the models at once, every migration noted as done: all of it or nothing (decision 24).

    Rows that migrations of Topline write are written by their own functions. Work: a statement or two for each table and index.
    """
    executor, recorder = MigrationExecutor(connection), MigrationRecorder(connection)
    plan = [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    models: list[type[Model]] = [recorder.Migration]
    for config in apps.get_app_configs():
        models += router.get_migratable_models(config, connection.alias)
    with connection.schema_editor() as editor:
        for model in models:
            if model._meta.can_migrate(connection):
                editor.create_model(model)
        for migration in plan:
            for operation in migration.operations:
                if isinstance(operation, RunPython) and type(migration).__module__.startswith("topline."):
                    cast(Any, operation.code)(apps, editor)  # the models as they are are the models of now
        recorder.migration_qs.bulk_create(recorder.Migration(app=m.app_label, name=m.name) for m in plan)
