import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0005_levels_by_days"),
    ]

    operations = [
        migrations.AlterField(
            model_name="usageevent",
            name="meter",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="metering.meter",
            ),
        ),
    ]
