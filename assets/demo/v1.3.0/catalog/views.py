"""The catalogue: the home page, the search, a shelf for each category, a page for each product."""

import random

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from catalog.models import Category, Product
from catalog.search import fold

NEWEST = 8
SPOTLIGHT = 4
PER_PAGE = 12
FOUND_AT_MOST = 24

_random = random.SystemRandom()


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The newest products, and a few of a category that changes with every visit."""
    categories = list(Category.objects.all())
    for_sale = Product.objects.filter(is_active=True)
    spotlight = _random.choice(categories) if categories else None
    context = {
        "categories": categories,
        "newest": for_sale.order_by("-created_at")[:NEWEST],
        "spotlight": spotlight,
        "picks": for_sale.filter(category=spotlight).order_by("name")[:SPOTLIGHT],
    }
    return render(request, "catalog/home.html", context)


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Products with every word of the question, whatever its case and accents."""
    question = request.GET.get("q", "").strip()[:100]
    words = Q()
    for word in question.split():
        # A row without a search text was written by an older release that runs beside this one.
        unknown = Q(search_text="") & (Q(name__icontains=word) | Q(description__icontains=word))
        words &= Q(search_text__contains=fold(word)) | unknown
    found = Product.objects.filter(words, is_active=True) if words else Product.objects.none()
    context = {
        "categories": Category.objects.all(),
        "question": question,
        "found": found.order_by("name")[:FOUND_AT_MOST],
    }
    return render(request, "catalog/search.html", context)


@require_safe
def category(request: HttpRequest, slug: str) -> HttpResponse:
    shelf = get_object_or_404(Category, slug=slug)
    products = Product.objects.filter(category=shelf, is_active=True).order_by("name")
    page = Paginator(products, PER_PAGE).get_page(request.GET.get("page"))
    context = {"categories": Category.objects.all(), "category": shelf, "page": page}
    return render(request, "catalog/category.html", context)


@require_safe
def product(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Product.objects.select_related("category"), slug=slug, is_active=True)
    context = {"categories": Category.objects.all(), "product": found}
    return render(request, "catalog/product.html", context)
