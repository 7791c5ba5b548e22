import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("market", "0004_late_interest"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="assessment",
            name="competitor",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="assessments", to="market.competitor"
            ),
        ),
        migrations.AlterField(
            model_name="competitorprice",
            name="product",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="prices",
                to="market.competitorproduct",
            ),
        ),
        migrations.AlterField(
            model_name="competitorproduct",
            name="competitor",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="products", to="market.competitor"
            ),
        ),
        migrations.AlterField(
            model_name="competitorsegment",
            name="competitor",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="segments", to="market.competitor"
            ),
        ),
        migrations.AlterField(
            model_name="customeralias",
            name="customer",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="aliases", to="market.customer"
            ),
        ),
        migrations.AlterField(
            model_name="experiencerecord",
            name="customer",
            field=models.ForeignKey(
                db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="market.customer"
            ),
        ),
        migrations.AlterField(
            model_name="readmark",
            name="member",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AlterField(
            model_name="segmentsize",
            name="segment",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="sizes",
                to="market.segment",
            ),
        ),
    ]
