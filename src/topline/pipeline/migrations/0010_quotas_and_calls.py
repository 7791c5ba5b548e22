import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0001_initial"),
        ("pipeline", "0002_first_stages"),
    ]

    operations = [
        migrations.CreateModel(
            name="ForecastCall",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("starts_on", models.DateField()),
                ("ends_on", models.DateField()),
                (
                    "category",
                    models.CharField(
                        choices=[("commit", "Commit"), ("most_likely", "Most Likely"), ("best_case", "Best Case")], max_length=11
                    ),
                ),
                ("amount_minor", models.BigIntegerField(null=True)),
                ("currency", models.CharField(max_length=3)),
                ("is_override", models.BooleanField(default=False)),
                ("made_on", models.DateField()),
                ("note", models.CharField(blank=True, help_text="the reason, for an override", max_length=300)),
                ("recorded_at", models.DateTimeField()),
                ("actor_key", models.CharField(max_length=60)),
                ("entity", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity")),
                ("rep", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="pipeline.rep")),
            ],
            options={
                "indexes": [models.Index(fields=["entity", "starts_on", "ends_on", "id"], name="call_of_period")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("category__in", ["commit", "most_likely", "best_case"])), name="call_category_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount_minor__gte", 0),
                            models.Q(("amount_minor__isnull", True), ("is_override", True)),
                            _connector="OR",
                        ),
                        name="call_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("is_override", False), models.Q(("note", ""), _negated=True), _connector="OR"),
                        name="override_has_a_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("ends_on__gt", models.F("starts_on"))), name="call_period_not_empty"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="FrozenSalesForecast",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("as_of", models.DateField()),
                ("starts_on", models.DateField()),
                ("ends_on", models.DateField()),
                ("kind", models.CharField(max_length=8)),
                ("name", models.CharField(blank=True, max_length=40)),
                ("amount_minor", models.BigIntegerField()),
                ("p10_minor", models.BigIntegerField(null=True)),
                ("p90_minor", models.BigIntegerField(null=True)),
                ("currency", models.CharField(max_length=3)),
                ("entity", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity")),
                (
                    "rep",
                    models.ForeignKey(
                        help_text="empty for the company",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="pipeline.rep",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["entity", "as_of", "starts_on"], name="frozen_sales_by_day")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("rep__isnull", False)),
                        fields=("entity", "as_of", "starts_on", "kind", "name", "rep"),
                        name="frozen_sales_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("rep__isnull", True)),
                        fields=("entity", "as_of", "starts_on", "kind", "name"),
                        name="frozen_company_sales_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["call", "category", "won", "quota", "machine"])),
                        name="frozen_sales_kind_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Quota",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "scope",
                    models.CharField(choices=[("company", "Company"), ("team", "Team"), ("person", "Person")], max_length=7),
                ),
                ("family", models.CharField(blank=True, help_text="a product family; empty for all that is sold", max_length=60)),
                (
                    "measure",
                    models.CharField(choices=[("bookings", "Bookings"), ("deals", "Deals")], default="bookings", max_length=8),
                ),
                ("starts_on", models.DateField()),
                ("ends_on", models.DateField()),
                (
                    "amount_minor",
                    models.BigIntegerField(help_text="minor units of the currency; deals where the measure counts them"),
                ),
                ("currency", models.CharField(blank=True, max_length=3)),
                ("source", models.CharField(default="by hand", help_text="by hand, split or imported", max_length=10)),
                ("note", models.CharField(blank=True, max_length=200)),
                ("set_on", models.DateField(help_text="the day from which it was known")),
                ("recorded_at", models.DateTimeField()),
                ("actor_key", models.CharField(max_length=60)),
                ("import_batch_id", models.BigIntegerField(db_index=True, null=True)),
                ("entity", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="books.entity")),
                (
                    "rep",
                    models.ForeignKey(
                        help_text="the person, or who leads the team",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="pipeline.rep",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["entity", "starts_on", "ends_on", "id"], name="quota_of_period")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("rep__isnull", True), ("scope", "company")),
                            models.Q(("rep__isnull", False), ("scope__in", ["team", "person"])),
                            _connector="OR",
                        ),
                        name="quota_has_an_owner",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("ends_on__gt", models.F("starts_on"))), name="quota_period_not_empty"
                    ),
                    models.CheckConstraint(condition=models.Q(("amount_minor__gte", 0)), name="quota_not_negative"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("measure", "bookings"), models.Q(("currency", ""), _negated=True)),
                            models.Q(("currency", ""), ("measure", "deals")),
                            _connector="OR",
                        ),
                        name="quota_of_money_has_a_currency",
                    ),
                ],
            },
        ),
    ]
