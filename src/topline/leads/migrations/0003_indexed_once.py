import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0004_indexed_once"),
        ("leads", "0002_import_batch"),
    ]

    operations = [
        migrations.AlterField(
            model_name="lead",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
    ]
