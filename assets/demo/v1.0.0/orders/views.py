"""Placing an order, looking at one, and the latest of them (without a word about who ordered)."""

from uuid import UUID

from django.db.models import F, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from catalog.models import Category
from orders import services
from orders.forms import OrderForm
from orders.models import Order

RECENT = 20


@require_POST
def place(request: HttpRequest) -> HttpResponse:
    form = OrderForm(request.POST)
    if form.is_valid():
        try:
            order = services.place(**form.cleaned_data)
        except services.SoldOut:
            form.add_error(
                "quantity", "Somebody else was quicker: there are not enough packs left."
            )
        else:
            return redirect(order)
    context = {"categories": Category.objects.all(), "form": form}
    return render(request, "orders/refused.html", context, status=422)


@require_safe
def detail(request: HttpRequest, order_id: UUID) -> HttpResponse:
    order = get_object_or_404(
        Order.objects.select_related("confirmation").prefetch_related("lines__product"), id=order_id
    )
    context = {
        "categories": Category.objects.all(),
        "order": order,
        "confirmed": hasattr(order, "confirmation"),
    }
    return render(request, "orders/detail.html", context)


@require_safe
def recent(request: HttpRequest) -> HttpResponse:
    orders = (
        Order.objects.select_related("confirmation")
        .annotate(sum=Sum(F("lines__quantity") * F("lines__unit_price")))
        .order_by("-created_at")[:RECENT]
    )
    context = {"categories": Category.objects.all(), "orders": orders}
    return render(request, "orders/recent.html", context)
