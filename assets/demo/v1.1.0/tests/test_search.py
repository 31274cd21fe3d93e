import pytest

from catalog.models import Product


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
