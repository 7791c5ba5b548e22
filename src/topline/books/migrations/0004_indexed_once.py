import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0003_tax_rounding"),
    ]

    operations = [
        migrations.AlterField(
            model_name="account",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="accounts", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="entry",
            name="entity",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="books.entity",
            ),
        ),
        migrations.AlterField(
            model_name="periodbalance",
            name="account",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.account"
            ),
        ),
    ]
