from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("collections", "0010_randomised_steps")]

    operations = [
        migrations.AlterField(
            model_name="dispute",
            name="reason",
            field=models.CharField(
                choices=[
                    ("price", "Price"),
                    ("quantity", "Quantity"),
                    ("quality", "Quality"),
                    ("not_delivered", "Not Delivered"),
                    ("not_ordered", "Not Ordered"),
                    ("missing_purchase_order", "Missing Purchase Order"),
                    ("wrong_address", "Wrong Address"),
                    ("duplicate", "Duplicate"),
                    ("tax", "Tax"),
                    ("litigation", "Litigation"),
                    ("other", "Other"),
                ],
                max_length=24,
            ),
        ),
    ]
