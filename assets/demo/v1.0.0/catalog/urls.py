from django.urls import path

from catalog import views

app_name = "catalog"

urlpatterns = [
    path("", views.home, name="home"),
    path("shelves/<slug:slug>/", views.category, name="category"),
    path("products/<slug:slug>/", views.product, name="product"),
]
