from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("collections", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="reminder",
            name="variant",
            field=models.CharField(
                blank=True, help_text="the way of a randomised step that the customer was dealt", max_length=80
            ),
        ),
    ]
