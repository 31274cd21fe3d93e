"""What the shop does while nobody waits. Every task may run twice: a worker that dies leaves its task to another."""

import logging
from datetime import timedelta

from celery import Task, shared_task
from django.db.models import F
from django.utils import timezone

from orders.models import Confirmation, Heartbeat, Order

log = logging.getLogger(__name__)

# An order this old has been left behind: its own task was lost, or could not be sent.
LEFT_BEHIND = timedelta(minutes=2)
AT_ONCE = 500


@shared_task
def confirm_order(order_id: str) -> bool:
    """Confirms an order; false when it was confirmed already."""
    _, created = Confirmation.objects.get_or_create(order_id=order_id)
    if created:
        log.info("order %s is confirmed", order_id)
    return created


@shared_task
def confirm_pending() -> int:
    """Confirms orders that were left behind, oldest first."""
    before = timezone.now() - LEFT_BEHIND
    left = Order.objects.filter(confirmation=None, created_at__lt=before).order_by("created_at")
    return sum(
        confirm_order(str(order_id)) for order_id in left.values_list("id", flat=True)[:AT_ONCE]
    )


@shared_task(bind=True, expires=10)
def heartbeat(self: Task) -> None:
    worker = self.request.hostname or "eager"
    Heartbeat.objects.get_or_create(worker=worker)
    Heartbeat.objects.filter(worker=worker).update(beaten_at=timezone.now(), beats=F("beats") + 1)
