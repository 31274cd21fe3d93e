import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0002_confirmation"),
    ]

    operations = [
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("worker", models.CharField(max_length=120, unique=True)),
                ("beaten_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("beats", models.PositiveBigIntegerField(db_default=0, default=0)),
            ],
        ),
    ]
