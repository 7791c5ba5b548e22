import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0004_indexed_once"),
        ("pipeline", "0015_teams_over_time"),
    ]

    operations = [
        migrations.AlterField(
            model_name="dealchance",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="dealchance",
            name="opportunity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="pipeline.opportunity"
            ),
        ),
        migrations.AlterField(
            model_name="dealcompetitor",
            name="opportunity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="rivals", to="pipeline.opportunity"
            ),
        ),
        migrations.AlterField(
            model_name="dealcontact",
            name="opportunity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="people", to="pipeline.opportunity"
            ),
        ),
        migrations.AlterField(
            model_name="forecastcall",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="frozensalesforecast",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="opportunity",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="opportunity",
            name="rep",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="opportunities", to="pipeline.rep"
            ),
        ),
        migrations.AlterField(
            model_name="opportunitychange",
            name="opportunity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="changes", to="pipeline.opportunity"
            ),
        ),
        migrations.AlterField(
            model_name="opportunitysnapshot",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="quota",
            name="entity",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity"
            ),
        ),
        migrations.AlterField(
            model_name="replead",
            name="rep",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="leads", to="pipeline.rep"
            ),
        ),
    ]
