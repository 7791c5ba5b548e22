"""A file of which rows were refused may bring them later, in a batch of its own."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0002_company_on_documents"),
        ("connect", "0001_initial"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="importbatch",
            name="import_file_once",
        ),
        migrations.AddField(
            model_name="importbatch",
            name="rest_of",
            field=models.ForeignKey(
                help_text="the batch of the same file whose refused rows this one brings",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="connect.importbatch",
            ),
        ),
        migrations.AddConstraint(
            model_name="importbatch",
            constraint=models.UniqueConstraint(
                condition=models.Q(("rest_of__isnull", True), ("state__in", ["running", "done"])),
                fields=("entity", "kind", "file_sha256"),
                name="import_file_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="importbatch",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["running", "done"])), fields=("rest_of",), name="import_rest_of_a_file_once"
            ),
        ),
    ]
