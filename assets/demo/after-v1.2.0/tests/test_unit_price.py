from decimal import Decimal

import pytest

from catalog.models import Product


@pytest.mark.parametrize(
    ("price", "pieces", "unit_price"),
    [("12.00", 20, "0.60"), ("10.00", 3, "3.33"), ("0.05", 10, "0.00"), ("7.50", 1, "7.50")],
)
def test_the_price_of_a_piece_is_to_the_penny(price, pieces, unit_price):
    product = Product(price=Decimal(price), pack_units=pieces)
    assert product.unit_price == Decimal(unit_price)


@pytest.mark.parametrize("path", ["/", "/shelves/tea/", "/search/?q=assam"])
def test_packs_show_the_price_of_a_piece(client, assam, path):
    assert "£0.60 a piece" in client.get(path).content.decode()


def test_the_page_of_a_pack_says_how_many_pieces(client, assam):
    assert "£12.00 for 20, £0.60 a piece" in client.get(assam.get_absolute_url()).content.decode()


def test_what_is_sold_by_the_piece_has_one_price(client, assam):
    Product.objects.update(pack_units=1)
    assert "a piece" not in client.get("/shelves/tea/").content.decode()


@pytest.mark.parametrize("path", ["/", "/shelves/tea/", "/products/whole-assam/"])
def test_goods_of_the_old_shop_have_only_a_price(client, assam, path):
    Product.objects.update(pack_units=0)
    page = client.get(path).content.decode()
    assert "£12.00" in page
    assert "a piece" not in page
    assert Product(price=Decimal(1), pack_units=0).unit_price is None
