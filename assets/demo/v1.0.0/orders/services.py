"""Placing an order, as one transaction."""

import logging
from functools import partial

from django.db import transaction
from django.db.models import F
from kombu.exceptions import OperationalError

from catalog.models import Product
from orders.models import Order, OrderLine
from orders.tasks import confirm_order

log = logging.getLogger(__name__)


class SoldOut(Exception):
    """Somebody else was quicker."""


def place(product: Product, quantity: int, email: str) -> Order:
    """Takes the packs out of stock and writes the order; the confirmation follows once both are committed.

    Raises SoldOut when there are not enough packs any more.
    """
    with transaction.atomic():
        enough = Product.objects.filter(pk=product.pk, stock__gte=quantity)
        if not enough.update(stock=F("stock") - quantity):
            raise SoldOut
        order = Order.objects.create(email=email)
        OrderLine.objects.create(
            order=order, product=product, quantity=quantity, unit_price=product.price
        )
        transaction.on_commit(partial(_confirm, order))
    return order


def _confirm(order: Order) -> None:
    try:
        confirm_order.delay(str(order.id))
    except OperationalError as error:
        # The order stands; `confirm_pending` comes by.
        log.warning("order %s is not confirmed yet, the broker is away: %s", order.id, error)
