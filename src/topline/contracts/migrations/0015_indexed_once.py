import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0004_indexed_once"),
        ("contracts", "0014_capacity"),
        ("market", "0005_indexed_once"),
    ]

    operations = [
        migrations.AlterField(
            model_name="billrun",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="billrunpart",
            name="run",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="parts", to="contracts.billrun"
            ),
        ),
        migrations.AlterField(
            model_name="contract",
            name="customer",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="market.customer"
            ),
        ),
        migrations.AlterField(
            model_name="contract",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="itemchange",
            name="amendment",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="items", to="contracts.amendment"
            ),
        ),
        migrations.AlterField(
            model_name="schedulepart",
            name="item",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="parts", to="contracts.item"
            ),
        ),
        migrations.AlterField(
            model_name="usagealert",
            name="item",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="contracts.item"
            ),
        ),
        migrations.AlterField(
            model_name="wallet",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
    ]
