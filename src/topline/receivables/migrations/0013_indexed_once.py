import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("market", "0005_indexed_once"),
        ("receivables", "0012_paid_from_credits"),
    ]

    operations = [
        migrations.AlterField(
            model_name="statementdelivery",
            name="customer",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="market.customer"
            ),
        ),
    ]
