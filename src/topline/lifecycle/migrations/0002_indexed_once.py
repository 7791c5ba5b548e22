import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("lifecycle", "0001_initial"),
        ("market", "0005_indexed_once"),
    ]

    operations = [
        migrations.AlterField(
            model_name="stageoverride",
            name="customer",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="market.customer",
            ),
        ),
    ]
