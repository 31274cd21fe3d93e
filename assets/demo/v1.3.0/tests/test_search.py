import importlib
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection

from catalog.models import Product
from catalog.search import fold


def found(client, question):
    return [product.sku for product in client.get("/search/", {"q": question}).context["found"]]


def test_every_word_has_to_be_there(client, assam):
    assert found(client, "assam") == [assam.sku]
    assert found(client, "ASSAM malty") == [assam.sku]
    assert found(client, "assam smoky") == []


def test_what_is_not_for_sale_is_not_found(client, assam):
    Product.objects.update(is_active=False)
    assert found(client, "assam") == []


@pytest.mark.django_db
@pytest.mark.parametrize("question", ["", "   ", "%", "x" * 500])
def test_odd_questions_have_an_answer(client, question):
    assert client.get("/search/", {"q": question}).status_code == 200
    assert found(client, question) == []


def test_the_question_is_shown_as_text(client, assam):
    page = client.get("/search/", {"q": "<b>tea</b>"}).content.decode()
    assert "<b>tea" not in page
    assert "Nothing on the shelves" in page


@pytest.mark.parametrize(("stock", "said"), [(0, False), (1, True), (4, True), (5, False)])
def test_scarce_goods_are_marked(client, assam, stock, said):
    Product.objects.update(stock=stock)
    page = client.get("/shelves/tea/").content.decode()
    assert (f"only {stock} left" in page) is said


def test_accents_and_case_make_no_difference(client, assam):
    assam.name = "Früher Assam aus Malmö"
    assam.save(update_fields=["name"])
    assert found(client, "FRUHER malmo") == [assam.sku]
    assert found(client, "früher Malmö") == [assam.sku]
    assert fold("Café  ÖLAND") == "cafe oland"


def test_what_an_older_release_wrote_is_found_too(client, assam):
    Product.objects.update(search_text="")
    assert found(client, "assam malty") == [assam.sku]


def test_products_from_before_get_their_search_text(client, assam):
    Product.objects.update(search_text="")
    migration = importlib.import_module("catalog.migrations.0008_fill_search_text")
    migration.fill(apps, SimpleNamespace(connection=connection))
    assam.refresh_from_db()
    assert assam.search_text == assam.searchable() == migration.fold(assam.search_text)
