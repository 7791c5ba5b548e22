"""What a deal is about may change; a day before still knows what it was about then."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pipeline", "0012_rehearsed_forecasts"),
    ]

    operations = [
        migrations.AddField(
            model_name="opportunityline",
            name="added_on",
            field=models.DateField(help_text="null: from the deal's first day", null=True),
        ),
        migrations.AddField(
            model_name="opportunityline",
            name="removed_on",
            field=models.DateField(help_text="the first day on which it is no longer sold", null=True),
        ),
    ]
