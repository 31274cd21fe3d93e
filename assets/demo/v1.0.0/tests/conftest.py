"""What every test can ask for."""

from decimal import Decimal

import pytest

from catalog.models import Category, Product


@pytest.fixture
def tea(db):
    return Category.objects.create(name="Tea", slug="tea", position=1)


@pytest.fixture
def assam(tea):
    return Product.objects.create(
        category=tea,
        sku="SP-000001",
        name="Whole Assam from Kerala",
        slug="whole-assam",
        description="Malty.",
        price=Decimal("12.00"),
        pack_units=20,
        stock=5,
    )
