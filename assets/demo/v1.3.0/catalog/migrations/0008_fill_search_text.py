import unicodedata

from django.db import migrations

BATCH = 250


def fold(text):
    """As `catalog.search.fold` was when this migration was written."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(part for part in parts if not unicodedata.combining(part)).split())


def fill(apps, schema_editor):
    """Writes the search text of every product that has none, a short transaction a batch.

    Stopped half-way it goes on where it was: what is done is no longer empty.
    """
    Product = apps.get_model("catalog", "Product")
    empty = Product.objects.using(schema_editor.connection.alias).filter(search_text="")
    fields = ("id", "name", "sku", "description")
    while batch := list(empty.order_by("id").only(*fields)[:BATCH]):
        for product in batch:
            product.search_text = fold(f"{product.name} {product.sku} {product.description}")
        Product.objects.using(schema_editor.connection.alias).bulk_update(batch, ["search_text"])


class Migration(migrations.Migration):
    # One transaction would hold every row's lock until the last one is done.
    atomic = False

    dependencies = [
        ("catalog", "0007_product_search_text"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
