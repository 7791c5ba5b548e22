"""How likely each open deal is to be won is written down on Mondays, and the pool's range as futures of equal chance."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0002_company_on_documents"),
        ("pipeline", "0013_lines_change"),
    ]

    operations = [
        migrations.AddField(
            model_name="frozensalesforecast",
            name="dots_minor",
            field=models.JSONField(help_text="of the pool: futures of equal chance, in order", null=True),
        ),
        migrations.CreateModel(
            name="DealChance",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("as_of", models.DateField()),
                ("ends_on", models.DateField(help_text="the first day after the quarter")),
                ("is_rehearsed", models.BooleanField(default=False)),
                ("in_period_bp", models.IntegerField()),
                ("ever_bp", models.IntegerField()),
                ("by_week", models.JSONField(default=list)),
                ("reasons", models.JSONField(default=list)),
                ("age_days", models.IntegerField(null=True)),
                ("stage_key", models.CharField(blank=True, help_text="empty where stages told nothing", max_length=40)),
                ("stage_days", models.IntegerField(null=True)),
                ("entity", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity")),
                (
                    "opportunity",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="pipeline.opportunity"),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["entity", "ends_on", "in_period_bp"], name="chance_to_judge")],
                "constraints": [
                    models.UniqueConstraint(fields=("opportunity", "as_of"), name="chance_once_a_day"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ever_bp__gte", 0), ("ever_bp__lte", 10000), ("in_period_bp__gte", 0), ("in_period_bp__lte", 10000)
                        ),
                        name="chance_is_a_share",
                    ),
                ],
            },
        ),
    ]
