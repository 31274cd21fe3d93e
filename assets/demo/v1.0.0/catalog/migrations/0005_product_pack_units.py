from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0004_number_categories"),
    ]

    operations = [
        migrations.AddField(
            model_name="product",
            name="pack_units",
            field=models.PositiveIntegerField(
                db_default=1,
                default=1,
                help_text="0 for goods taken over from the old shop, which did not record it.",
                verbose_name="pieces in a pack",
            ),
        ),
    ]
