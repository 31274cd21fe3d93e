"""The Celery application: `celery -A shop worker`, `celery -A shop beat`."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_ready

from shop import startlog

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings.production")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def worker_started(**_: Any) -> None:
    startlog.record("worker")


@beat_init.connect
def beat_started(**_: Any) -> None:
    startlog.record("beat")
