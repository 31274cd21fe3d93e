from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0002_product_stock_and_is_active"),
    ]

    operations = [
        migrations.AddField(
            model_name="category",
            name="position",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AlterModelOptions(
            name="category",
            options={
                "ordering": ["position", "name"],
                "verbose_name_plural": "categories",
            },
        ),
    ]
