import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0004_indexed_once"),
        ("catalog", "0005_indexed_once"),
        ("recognition", "0002_estimates_and_prices"),
    ]

    operations = [
        migrations.AlterField(
            model_name="close",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="contractbalance",
            name="close",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="balances",
                to="recognition.close",
            ),
        ),
        migrations.AlterField(
            model_name="standaloneprice",
            name="product",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="catalog.product"
            ),
        ),
    ]
