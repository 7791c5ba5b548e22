import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_paid_from_credits"),
        ("books", "0004_indexed_once"),
        ("market", "0005_indexed_once"),
    ]

    operations = [
        migrations.AlterField(
            model_name="instalment",
            name="invoice",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="instalments", to="billing.invoice"
            ),
        ),
        migrations.AlterField(
            model_name="invoice",
            name="corrects",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="corrections",
                to="billing.invoice",
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="invoice",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="lines", to="billing.invoice"
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(condition=models.Q(("corrects__isnull", False)), fields=["corrects"], name="invoice_corrected"),
        ),
    ]
