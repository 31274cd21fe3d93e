from datetime import timedelta

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

from catalog.models import Product
from orders import services, tasks
from orders.models import Confirmation, Heartbeat, Order


def order(client, product, quantity=2):
    body = {"product": product.sku, "quantity": quantity, "email": "ada@example.com"}
    return client.post("/orders/place/", body)


def test_an_order_takes_from_stock_and_is_confirmed(
    client, assam, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        answer = order(client, assam)
    placed = Order.objects.get()
    assert answer.status_code == 302
    assert answer.url == placed.get_absolute_url()
    assam.refresh_from_db()
    assert assam.stock == 3
    page = client.get(answer.url).content.decode()
    assert "£24.00" in page
    assert "Confirmed." in page


def test_more_than_there_is_cannot_be_ordered(client, assam):
    answer = order(client, assam, quantity=6)
    assert answer.status_code == 422
    assert "only 5 packs left" in answer.content.decode()
    assert not Order.objects.exists()


def test_the_quicker_customer_wins(client, assam, monkeypatch):
    def sold(*args, **kwargs):
        raise services.SoldOut

    monkeypatch.setattr(services, "place", sold)
    answer = order(client, assam)
    assert answer.status_code == 422
    assert "quicker" in answer.content.decode()


def test_stock_is_taken_only_when_it_is_enough(assam):
    Product.objects.update(stock=1)
    with pytest.raises(services.SoldOut):
        services.place(assam, 2, "ada@example.com")
    assert not Order.objects.exists()


def test_an_order_stands_without_a_broker_and_is_confirmed_later(
    client, assam, monkeypatch, django_capture_on_commit_callbacks
):
    def away(*args):
        raise OperationalError("nobody there")

    monkeypatch.setattr(tasks.confirm_order, "delay", away)
    with django_capture_on_commit_callbacks(execute=True):
        answer = order(client, assam)
    assert "on the way" in client.get(answer.url).content.decode()
    assert tasks.confirm_pending() == 0, "it may still be under way"
    Order.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    assert tasks.confirm_pending() == 1
    assert tasks.confirm_pending() == 0


def test_confirming_twice_is_confirming_once(assam):
    placed = services.place(assam, 1, "ada@example.com")
    assert tasks.confirm_order(str(placed.id)) is True
    assert tasks.confirm_order(str(placed.id)) is False
    assert Confirmation.objects.count() == 1


def test_recent_orders_are_listed_without_addresses(client, assam):
    services.place(assam, 1, "ada@example.com")
    page = client.get("/orders/").content.decode()
    assert "£12.00" in page
    assert "ada@example.com" not in page


@pytest.mark.django_db
def test_the_heart_beats():
    tasks.heartbeat.delay()
    tasks.heartbeat.delay()
    assert Heartbeat.objects.get().beats == 2
