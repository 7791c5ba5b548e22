"""Who led whom is kept by day; those of now are told to have been led by the same from the beginning."""

from datetime import date
from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone


def tell_the_past(apps: Any, schema_editor: Any) -> None:
    """One row for everybody who sells, from the beginning."""
    rep, lead, now = apps.get_model("pipeline", "Rep"), apps.get_model("pipeline", "RepLead"), timezone.now()
    people = rep.objects.order_by("id").values_list("id", "manager_id")
    rows = (
        lead(rep_id=pk, manager_id=manager, from_on=date(1900, 1, 1), recorded_at=now, actor_key="system:migration")
        for pk, manager in people
    )
    lead.objects.bulk_create(rows, batch_size=1_000)


class Migration(migrations.Migration):
    dependencies = [
        ("pipeline", "0014_chances_of_deals"),
    ]

    operations = [
        migrations.CreateModel(
            name="RepLead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("from_on", models.DateField(help_text="1 January 1900: it was always so")),
                ("recorded_at", models.DateTimeField()),
                ("actor_key", models.CharField(max_length=60)),
                (
                    "manager",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="pipeline.rep"
                    ),
                ),
                ("rep", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="leads", to="pipeline.rep")),
            ],
            options={
                "indexes": [models.Index(fields=["rep", "from_on", "id"], name="lead_of_rep")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("manager", models.F("rep")), _negated=True), name="nobody_leads_themselves"
                    )
                ],
            },
        ),
        migrations.RunPython(tell_the_past, migrations.RunPython.noop),
    ]
