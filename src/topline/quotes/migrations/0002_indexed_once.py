import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0004_indexed_once"),
        ("pipeline", "0016_indexed_once"),
        ("quotes", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="quote",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="quote",
            name="opportunity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="quotes", to="pipeline.opportunity"
            ),
        ),
        migrations.AlterField(
            model_name="quoteline",
            name="quote",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="quotes.quote"
            ),
        ),
        migrations.AlterField(
            model_name="quotepricestep",
            name="line",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="quotes.quoteline"
            ),
        ),
        migrations.AlterField(
            model_name="quotepromotion",
            name="quote",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="promotions", to="quotes.quote"
            ),
        ),
    ]
