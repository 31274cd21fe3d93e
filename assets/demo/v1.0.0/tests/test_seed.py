import pytest
from django.core.management import call_command

from accounts.models import User
from catalog.management.commands import seed
from catalog.models import Category, Product
from orders.models import Order


@pytest.mark.django_db
def test_staging_is_small_and_clean(capsys):
    call_command("seed", scale="staging")
    assert Category.objects.count() == 8
    assert Product.objects.count() == 400
    assert not Product.objects.filter(pack_units=0).exists()
    assert Order.objects.filter(confirmation=None).count() == 0
    assert User.objects.count() == 20
    call_command("seed", scale="staging")
    assert "nothing was changed" in capsys.readouterr().out
    assert Product.objects.count() == 400


@pytest.mark.django_db
def test_production_has_goods_of_the_old_shop(monkeypatch):
    small = seed.Scale(products=80, legacy_share=0.7, customers=3, orders=5)
    monkeypatch.setitem(seed.SCALES, "production", small)
    call_command("seed", scale="production")
    legacy = Product.objects.filter(pack_units=0)
    assert 0 < legacy.count() < 40
    assert legacy.values("category").distinct().count() == 4
