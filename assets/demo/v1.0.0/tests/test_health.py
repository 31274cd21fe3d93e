import pytest
import redis
from django.db.migrations.recorder import MigrationRecorder

import shop
from shop import health

BROKER = health.broker


class Broker:
    def __init__(self, error=None):
        self.error = error

    def ping(self):
        if self.error:
            raise self.error
        return True


@pytest.fixture(autouse=True)
def broker(monkeypatch):
    monkeypatch.setattr(health, "broker", Broker)


@pytest.mark.django_db
def test_all_is_well(client):
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["version"]) == ("ok", shop.__version__)
    assert all(check["ok"] for check in body["checks"].values())
    assert "no-cache" in answer["Cache-Control"]


@pytest.mark.django_db
def test_a_broker_that_is_away_is_said(client, monkeypatch):
    monkeypatch.setattr(health, "broker", lambda: Broker(redis.ConnectionError("refused")))
    answer = client.get("/health")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert checks["broker"]["detail"] == "ConnectionError: refused"
    assert checks["database"]["ok"]


@pytest.mark.django_db
def test_a_migration_that_is_not_applied_is_named(client):
    MigrationRecorder.Migration.objects.filter(app="orders", name="0003_heartbeat").delete()
    answer = client.get("/health")
    assert answer.status_code == 503
    assert "orders.0003_heartbeat" in answer.json()["checks"]["migrations"]["detail"]


@pytest.mark.django_db
def test_a_database_that_is_ahead_is_fine(client):
    MigrationRecorder.Migration.objects.create(app="orders", name="9999_later")
    answer = client.get("/health")
    assert answer.status_code == 200
    assert "1 ahead" in answer.json()["checks"]["migrations"]["detail"]


def test_the_broker_is_the_one_of_the_settings(settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:6390/1"
    options = BROKER.__wrapped__().connection_pool.connection_kwargs
    assert (options["port"], options["db"]) == (6390, 1)
    assert options["socket_connect_timeout"] == 1, "a probe does not wait for long"
