import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0008_indexed_once"),
        ("books", "0004_indexed_once"),
        ("collections", "0013_interest_claims"),
    ]

    operations = [
        migrations.AlterField(
            model_name="dunningpolicy",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="planinstalment",
            name="plan",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="instalments",
                to="collections.paymentplan",
            ),
        ),
        migrations.AlterField(
            model_name="promise",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="promiseitem",
            name="promise",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="items", to="collections.promise"
            ),
        ),
        migrations.AlterField(
            model_name="reminder",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="reminderitem",
            name="invoice",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.invoice"
            ),
        ),
        migrations.AlterField(
            model_name="timingmodel",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
    ]
