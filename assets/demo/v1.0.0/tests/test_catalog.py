from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from catalog.models import Product
from catalog.views import PER_PAGE


def test_the_home_page_shows_the_newest_products_and_a_spotlight(client, assam):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.context["spotlight"] == assam.category
    assert answer.content.decode().count(assam.name) == 2


@pytest.mark.django_db
def test_an_empty_shop_has_a_home_page(client):
    assert "The shelves are empty." in client.get("/").content.decode()


def test_a_shelf_shows_what_is_for_sale(client, assam):
    Product.objects.create(
        category=assam.category, sku="GONE", name="Gone", slug="gone", price=1, is_active=False
    )
    page = client.get("/shelves/tea/").content.decode()
    assert assam.name in page
    assert "Gone" not in page


@pytest.mark.django_db
def test_a_shelf_that_is_not_there_is_not_found(client):
    assert client.get("/shelves/shoes/").status_code == 404


def test_a_shelf_has_pages(client, tea):
    Product.objects.bulk_create(
        Product(category=tea, sku=f"P{n}", name=f"Tea {n:02}", slug=f"tea-{n}", price=1)
        for n in range(PER_PAGE + 6)
    )
    first, second = client.get("/shelves/tea/"), client.get("/shelves/tea/?page=2")
    assert len(first.context["page"]) == PER_PAGE
    assert len(second.context["page"]) == 6
    assert "page 2 of 2" in second.content.decode()


def test_a_product_has_a_page_with_its_price_and_stock(client, assam):
    page = client.get(assam.get_absolute_url()).content.decode()
    assert "£12.00" in page
    assert "5 in stock" in page
    assert "<button>Order" in page


def test_what_is_sold_out_cannot_be_ordered(client, assam):
    Product.objects.update(stock=0)
    page = client.get(assam.get_absolute_url()).content.decode()
    assert "sold out" in page
    assert "<button>Order" not in page


def test_a_price_is_more_than_nothing(assam):
    with pytest.raises(IntegrityError), transaction.atomic():
        Product.objects.filter(pk=assam.pk).update(price=Decimal(0))


def test_every_answer_says_its_version(client, assam):
    import shop

    assert client.get("/")["X-Shop-Version"] == shop.__version__
    assert client.get("/version").json() == {"version": shop.__version__}
