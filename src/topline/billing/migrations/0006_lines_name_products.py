"""Lines of documents say which product of the catalog they are about."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0005_interest_note"),
        ("catalog", "0003_product_description"),
    ]

    operations = [
        migrations.AddField(
            model_name="invoiceline",
            name="product",
            field=models.ForeignKey(
                db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="catalog.product"
            ),
        ),
    ]
