import importlib

import pytest
from django.apps import apps

from catalog.models import Category


@pytest.mark.django_db
def test_categories_get_the_order_they_had():
    Category.objects.bulk_create(Category(name=n, slug=n.lower()) for n in ("Tea", "Nuts"))
    importlib.import_module("catalog.migrations.0004_number_categories").number(apps, None)
    assert list(Category.objects.values_list("name", "position")) == [("Nuts", 1), ("Tea", 2)]
