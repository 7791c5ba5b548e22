import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("bank", "0002_credit_lines"),
        ("books", "0004_indexed_once"),
    ]

    operations = [
        migrations.AlterField(
            model_name="bankaccount",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="bankstatement",
            name="account",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="statements", to="bank.bankaccount"
            ),
        ),
    ]
