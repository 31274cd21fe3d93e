"""The tests: PostgreSQL where DATABASE_URL names one, no broker, no hashed static files."""

from django.core.management.utils import get_random_secret_key

from shop.settings.base import *  # noqa: F403

SECRET_KEY = get_random_secret_key()
ALLOWED_HOSTS = ["testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
CELERY_BROKER_URL = "memory://"
