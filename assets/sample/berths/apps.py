from django.apps import AppConfig


class BerthsConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "berths"
