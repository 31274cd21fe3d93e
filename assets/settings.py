# What a Django project's settings say, as JSON in the file $TOWPATH_ANSWER. Run by `manage.py shell -c`,
# so that whatever manage.py does before (a .env file, a default settings module) has been done. No secret is
# printed: of databases only engine, host, port, user and name.
import json
import os


def _towpath_settings():
    from django.apps import apps
    from django.conf import settings

    databases = {}
    for alias, database in (getattr(settings, "DATABASES", None) or {}).items():
        options = database.get("OPTIONS") or {}
        databases[alias] = {
            "engine": str(database.get("ENGINE") or ""),
            "name": str(database.get("NAME") or ""),
            "host": str(database.get("HOST") or ""),
            "port": str(database.get("PORT") or ""),
            "user": str(database.get("USER") or ""),
            "service": "service" in options,
        }
    module = getattr(settings, "SETTINGS_MODULE", None) or os.environ.get("DJANGO_SETTINGS_MODULE")
    imported = __import__(module, fromlist=["DATABASES"]) if module else None
    return {
        "module": module,
        # False where a library (django-configurations) makes the settings: then the module can't be extended.
        "plain": imported is not None and hasattr(imported, "INSTALLED_APPS"),
        "static_root": str(settings.STATIC_ROOT) if getattr(settings, "STATIC_ROOT", None) else None,
        "staticfiles": apps.is_installed("django.contrib.staticfiles"),
        "databases": databases,
    }


with open(os.environ["TOWPATH_ANSWER"], "w") as _towpath_answer:
    json.dump(_towpath_settings(), _towpath_answer)
