"""What was ordered, and what has been done about it."""

import uuid
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Sum
from django.urls import reverse
from django.utils import timezone

from catalog.models import Product


class Order(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField()
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="orders",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["-created_at"], name="orders_order_newest")]

    def __str__(self) -> str:
        return f"order {self.id}"

    def get_absolute_url(self) -> str:
        return reverse("orders:detail", args=[self.id])

    @property
    def total(self) -> Decimal:
        return (
            self.lines.aggregate(total=Sum(F("quantity") * F("unit_price")))["total"] or Decimal()
        )


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="order_lines")
    quantity = models.PositiveIntegerField("packs")
    unit_price = models.DecimalField(
        "price of a pack", max_digits=8, decimal_places=2, help_text="On the day of the order."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="orders_line_once"),
            models.CheckConstraint(
                condition=models.Q(quantity__gt=0), name="orders_line_quantity_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product}"


class Confirmation(models.Model):
    """That a customer was told; one an order, however often the task runs."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE, related_name="confirmation")
    sent_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"confirmation of {self.order_id}"


class Heartbeat(models.Model):
    """Written by beat through a worker: a recent one proves that both live."""

    worker = models.CharField(max_length=120, unique=True)
    beaten_at = models.DateTimeField(default=timezone.now)
    beats = models.PositiveBigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"{self.worker} at {self.beaten_at}"
