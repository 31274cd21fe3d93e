from django.db import migrations


def number(apps, schema_editor):
    """Keeps the order that the shelves had, by name, as the first order by position."""
    Category = apps.get_model("catalog", "Category")
    categories = list(Category.objects.order_by("name"))
    for position, category in enumerate(categories, start=1):
        category.position = position
    Category.objects.bulk_update(categories, ["position"])


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0003_category_position"),
    ]

    operations = [
        migrations.RunPython(number, migrations.RunPython.noop, elidable=True),
    ]
