"""The stages that a company begins with; it edits them as it likes."""

from typing import Any

from django.db import migrations

STAGES = [
    ("prospecting", "Prospecting", "open", "pipeline", False),
    ("qualified", "Qualified", "open", "pipeline", True),
    ("proposal", "Proposal", "open", "best_case", True),
    ("negotiation", "Negotiation", "open", "commit", True),
    ("won", "Won", "won", "closed", True),
    ("lost", "Lost", "lost", "omitted", False),
]


def add_stages(apps: Any, schema_editor: Any) -> None:
    stage = apps.get_model("pipeline", "Stage")
    stage.objects.bulk_create(
        stage(key=key, name=name, position=position, kind=kind, category=category, is_qualified=is_qualified)
        for position, (key, name, kind, category, is_qualified) in enumerate(STAGES)
    )


class Migration(migrations.Migration):
    dependencies = [("pipeline", "0001_initial")]
    operations = [migrations.RunPython(add_stages, migrations.RunPython.noop)]
