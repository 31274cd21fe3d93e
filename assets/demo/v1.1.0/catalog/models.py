"""What is sold."""

from django.db import models
from django.urls import reverse
from django.utils import timezone

# Fewer packs than this are worth a word to the customer.
SCARCE = 5


class Category(models.Model):
    name = models.CharField(max_length=60, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    position = models.PositiveSmallIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ["position", "name"]
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("catalog:category", args=[self.slug])


class Product(models.Model):
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    sku = models.CharField("article number", max_length=20, unique=True)
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=140, unique=True)
    description = models.TextField(blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, help_text="Of one pack.")
    pack_units = models.PositiveIntegerField(
        "pieces in a pack",
        default=1,
        db_default=1,
        help_text="0 for goods taken over from the old shop, which did not record it.",
    )
    stock = models.PositiveIntegerField("packs in stock", default=0, db_default=0)
    is_active = models.BooleanField("for sale", default=True, db_default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(price__gt=0), name="catalog_product_price_positive"
            ),
        ]
        indexes = [
            models.Index(fields=["category", "name"], name="catalog_product_shelf"),
            models.Index(fields=["-created_at"], name="catalog_product_newest"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("catalog:product", args=[self.slug])

    @property
    def is_scarce(self) -> bool:
        return 0 < self.stock < SCARCE
