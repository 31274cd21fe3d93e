"""`/health`: may this process get traffic? `/version`: which one is it?

Each check says what it found. A database that knows *more* migrations than the code is fine: that is how it looks to an
older release while, or after, a newer one ran. One that knows fewer is not.
"""

import time
from collections.abc import Callable
from functools import cache

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

import shop


class Unhealthy(Exception):
    """A check that failed, in words for the person who is called."""


@cache
def migrations_in_code() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations)


@cache
def broker() -> redis.Redis:
    return redis.Redis.from_url(
        settings.CELERY_BROKER_URL, socket_connect_timeout=1, socket_timeout=1
    )


def check_database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    return f"{connection.vendor} answers"


def check_migrations() -> str:
    code = migrations_in_code()
    applied = set(MigrationRecorder(connection).applied_migrations())
    missing = sorted(f"{app}.{name}" for app, name in code - applied)
    if missing:
        raise Unhealthy(f"{len(missing)} not applied: {', '.join(missing)}")
    # What older releases squashed or removed is in the table too; it matters to nobody.
    ahead = len({(app, name) for app, name in applied - code if app in {a for a, _ in code}})
    return f"{len(code)} applied" + (f", the database is {ahead} ahead" if ahead else "")


def check_broker() -> str:
    broker().ping()
    return "answers"


CHECKS: dict[str, Callable[[], str]] = {
    "database": check_database,
    "migrations": check_migrations,
    "broker": check_broker,
}


def run(check: Callable[[], str]) -> dict[str, object]:
    start = time.perf_counter()
    try:
        detail, ok = check(), True
    except Exception as error:  # Whatever it is, it is this check's answer.
        detail, ok = f"{type(error).__name__}: {error}".strip(), False
    return {"ok": ok, "detail": detail, "ms": round((time.perf_counter() - start) * 1000, 1)}


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    checks = {name: run(check) for name, check in CHECKS.items()}
    ok = all(check["ok"] for check in checks.values())
    body = {"status": "ok" if ok else "failing", "version": shop.__version__, "checks": checks}
    return JsonResponse(body, status=200 if ok else 503)


@never_cache
@require_safe
def version(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"version": shop.__version__})
