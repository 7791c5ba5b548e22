from typing import Any

from django.db import migrations, models
from django.db.models import Max, Min, OuterRef, Subquery


def spans(apps: Any, schema_editor: Any) -> None:
    """Runs from before: parts of final ones are issued, the others look for their drafts among all of their run."""
    part, charge = apps.get_model("contracts", "BillRunPart"), apps.get_model("contracts", "Charge")
    part.objects.filter(run__state="final").update(is_issued=True)
    of_the_run = charge.objects.filter(run=OuterRef("run")).order_by().values("run")
    ends = {
        "first_invoice_id": Subquery(of_the_run.annotate(end=Min("invoice_id")).values("end")),
        "last_invoice_id": Subquery(of_the_run.annotate(end=Max("invoice_id")).values("end")),
    }
    part.objects.filter(is_done=True).exclude(run__state="final").update(**ends)


class Migration(migrations.Migration):
    dependencies = [
        ("contracts", "0008_discounts_and_modes"),
    ]

    operations = [
        migrations.AddField(
            model_name="billrunpart",
            name="first_invoice_id",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="billrunpart",
            name="is_issued",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="billrunpart",
            name="last_invoice_id",
            field=models.BigIntegerField(null=True),
        ),
        migrations.RunPython(spans, migrations.RunPython.noop, elidable=True),
    ]
