"""Every address of the shop."""

from django.urls import include, path

from shop import health

urlpatterns = [
    path("", include("catalog.urls")),
    path("orders/", include("orders.urls")),
    path("health", health.health, name="health"),
    path("version", health.version, name="version"),
]
