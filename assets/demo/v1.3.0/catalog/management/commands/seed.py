"""Fills an empty shop: `manage.py seed --scale staging` or `--scale production`.

The goods are made up but always the same. Staging gets a few hundred, entered as people enter them today. Production
also gets what the old shop left behind: most of the goods of four categories, without a number of pieces in a pack.
"""

import random
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils.text import slugify

from accounts.models import User
from catalog.models import Category, Product
from orders.models import Confirmation, Order, OrderLine

OPENED = datetime(2026, 1, 1, 8, tzinfo=timezone.utc)
BATCH = 2000

# Category: its goods, and whether the old shop sold them already.
SHELVES: dict[str, tuple[tuple[str, ...], bool]] = {
    "Tea": (("Assam", "Ceylon", "Darjeeling", "Oolong", "Rooibos", "Sencha"), True),
    "Coffee": (("Espresso", "Filter Roast", "Mocha", "Peaberry"), False),
    "Spices": (("Cardamom", "Cinnamon", "Cumin", "Mace", "Paprika", "Turmeric"), True),
    "Grains": (("Barley", "Buckwheat", "Millet", "Oats", "Rye", "Spelt"), False),
    "Pulses": (("Beluga Lentils", "Black Beans", "Chickpeas", "Split Peas"), True),
    "Nuts": (("Almonds", "Cashews", "Hazelnuts", "Walnuts"), False),
    "Dried Fruit": (("Apricots", "Dates", "Figs", "Prunes", "Sultanas"), True),
    "Chocolate": (("Dark Bar", "Milk Bar", "Nibs", "Truffles"), False),
}
KINDS = (
    "Organic",
    "Smoked",
    "Whole",
    "Ground",
    "Early",
    "Late",
    "Wild",
    "Village",
    "Hill",
    "Coast",
)
PLACES = ("Alentejo", "Brittany", "Cádiz", "Galway", "Jæren", "Kerala", "Malmö", "Öland", "Zagora")


@dataclass(frozen=True)
class Scale:
    products: int
    legacy_share: float
    customers: int
    orders: int


SCALES = {
    "staging": Scale(products=400, legacy_share=0.0, customers=20, orders=60),
    "production": Scale(products=24_000, legacy_share=0.7, customers=1500, orders=4000),
}


class Command(BaseCommand):
    help = (
        "Fills an empty shop with goods, customers and orders. A shop that has goods is left alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--scale", choices=sorted(SCALES), required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        scale = SCALES.get(options["scale"])
        if scale is None:
            raise CommandError(f"There is no scale {options['scale']!r}.")
        if Product.objects.exists():
            self.stdout.write("The shop has goods already; nothing was changed.")
            return
        start = time.monotonic()
        # The same shop every time.
        chance = random.Random(20260101)  # nosec B311
        with transaction.atomic():
            products = make_products(scale, chance)
            users = make_customers(scale)
            make_orders(scale, chance, products, users)
        self.stdout.write(
            f"{len(products)} products, {len(users)} customers, {scale.orders} orders"
            f" in {time.monotonic() - start:.1f} s"
        )


def make_products(scale: Scale, chance: random.Random) -> list[Product]:
    categories = [
        Category(name=name, slug=slugify(name), position=position)
        for position, name in enumerate(SHELVES, start=1)
    ]
    Category.objects.bulk_create(categories)
    made = []
    for number in range(scale.products):
        category = categories[number % len(categories)]
        goods, in_old_shop = SHELVES[category.name]
        legacy = in_old_shop and chance.random() < scale.legacy_share
        kind, place = chance.choice(KINDS), chance.choice(PLACES)
        name = f"{kind} {chance.choice(goods)} from {place}"
        sku = f"{'OLD' if legacy else 'SP'}-{number:06}"
        made.append(
            Product(
                category=category,
                sku=sku,
                name=name,
                slug=slugify(f"{name} {sku}"),
                description=f"{name}, {kind.lower()} and dry. Keep it cool and in the dark.",
                price=Decimal(chance.randrange(150, 4000)) / 100,
                pack_units=0 if legacy else chance.choice((1, 6, 10, 12, 20, 50)),
                stock=chance.randrange(0, 200),
                # What came from the old shop came first, in one night.
                created_at=OPENED if legacy else OPENED + timedelta(days=1, minutes=number),
            )
        )
    for product in made:
        product.search_text = product.searchable()
    return Product.objects.bulk_create(made, batch_size=BATCH)


def make_customers(scale: Scale) -> list[User]:
    # "!" is a password that nothing matches: they sign in with a link.
    users = [
        User(
            username=f"customer{n:05}", email=f"customer{n:05}@example.com", password="!"
        )  # nosec B106
        for n in range(scale.customers)
    ]
    return User.objects.bulk_create(users, batch_size=BATCH)


def make_orders(
    scale: Scale, chance: random.Random, products: list[Product], users: list[User]
) -> None:
    orders, lines = [], []
    for number in range(scale.orders):
        user = chance.choice(users)
        at = OPENED + timedelta(days=2, minutes=7 * number)
        identity = uuid.UUID(int=chance.getrandbits(128), version=4)
        order = Order(id=identity, email=user.email, customer=user, created_at=at)
        orders.append(order)
        for product in chance.sample(products, chance.randrange(1, 5)):
            quantity = chance.randrange(1, 4)
            lines.append(
                OrderLine(order=order, product=product, quantity=quantity, unit_price=product.price)
            )
    Order.objects.bulk_create(orders, batch_size=BATCH)
    OrderLine.objects.bulk_create(lines, batch_size=BATCH)
    told = [Confirmation(order=order, sent_at=order.created_at) for order in orders]
    Confirmation.objects.bulk_create(told, batch_size=BATCH)
