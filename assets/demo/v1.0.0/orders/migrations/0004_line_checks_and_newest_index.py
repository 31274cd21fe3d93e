from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0003_heartbeat"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="order",
            index=models.Index(fields=["-created_at"], name="orders_order_newest"),
        ),
        migrations.AddConstraint(
            model_name="orderline",
            constraint=models.UniqueConstraint(
                fields=("order", "product"), name="orders_line_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="orderline",
            constraint=models.CheckConstraint(
                condition=models.Q(("quantity__gt", 0)), name="orders_line_quantity_positive"
            ),
        ),
    ]
