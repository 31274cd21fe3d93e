from django.urls import path

from orders import views

app_name = "orders"

urlpatterns = [
    path("", views.recent, name="recent"),
    path("place/", views.place, name="place"),
    path("<uuid:order_id>/", views.detail, name="detail"),
]
