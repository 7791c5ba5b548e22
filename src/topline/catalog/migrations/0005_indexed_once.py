import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0004_percentage_of_first_periods"),
    ]

    operations = [
        migrations.AlterField(
            model_name="bundlepart",
            name="bundle",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="parts", to="catalog.product"
            ),
        ),
        migrations.AlterField(
            model_name="price",
            name="product",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="prices", to="catalog.product"
            ),
        ),
        migrations.AlterField(
            model_name="volumestep",
            name="product",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="volume_steps", to="catalog.product"
            ),
        ),
    ]
