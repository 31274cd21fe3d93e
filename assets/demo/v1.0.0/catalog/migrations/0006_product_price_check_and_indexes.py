from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0005_product_pack_units"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="product",
            constraint=models.CheckConstraint(
                condition=models.Q(("price__gt", 0)), name="catalog_product_price_positive"
            ),
        ),
        migrations.AddIndex(
            model_name="product",
            index=models.Index(fields=["category", "name"], name="catalog_product_shelf"),
        ),
        migrations.AddIndex(
            model_name="product",
            index=models.Index(fields=["-created_at"], name="catalog_product_newest"),
        ),
    ]
