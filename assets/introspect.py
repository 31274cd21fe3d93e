# What migrations a Django project carries, as JSON in the file $TOWPATH_ANSWER, without a database. Run
# by `manage.py shell -c`. Works on Django 3.2 to 6.x.
import hashlib
import importlib
import json
import os
import pkgutil
import traceback


def _towpath_sentence(error):
    return "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:500])


def _towpath_where(error, file):
    # The line of the migration itself that raised, if it is one.
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if file and frame.filename == file:
            return frame.lineno
    return None


def _towpath_migrations():
    from django.apps import apps
    from django.db.migrations.loader import MigrationLoader

    here = os.path.realpath(os.getcwd())
    files, broken, own = {}, [], set()
    for config in apps.get_app_configs():
        package_name, _ = MigrationLoader.migrations_module(config.label)
        if package_name is None:
            continue
        try:
            package = importlib.import_module(package_name)
        except ModuleNotFoundError as error:
            # An app without migrations; but one whose package exists and imports something missing is broken.
            if error.name and (package_name == error.name or package_name.startswith(error.name + ".")):
                continue
            broken.append({"migration": config.label, "error": _towpath_sentence(error), "line": None})
            continue
        except Exception as error:
            broken.append({"migration": config.label, "error": _towpath_sentence(error), "line": None})
            continue
        for _, name, is_package in pkgutil.iter_modules(getattr(package, "__path__", [])):
            if is_package or name[0] in "_~":
                continue
            label = "%s.%s" % (config.label, name)
            full = "%s.%s" % (package_name, name)
            spec = importlib.util.find_spec(full)
            file = spec.origin if spec else None
            try:
                importlib.import_module(full)
            except Exception as error:
                line = getattr(error, "lineno", None) or _towpath_where(error, file)
                broken.append({"migration": label, "error": _towpath_sentence(error), "line": line})
                continue
            if file and os.path.exists(file):
                with open(file, "rb") as handle:
                    files[label] = hashlib.sha256(handle.read()).hexdigest()
                if os.path.realpath(file).startswith(here + os.sep):
                    own.add(label)
    answer = {"broken": broken, "migrations": [], "conflicts": {}, "graph": None}
    if broken:
        return answer
    try:
        loader = MigrationLoader(None)
        leaves = {"%s.%s" % key for key in loader.graph.leaf_nodes()}
        answer["conflicts"] = loader.detect_conflicts()
        for app_label, name in loader.disk_migrations:
            label = "%s.%s" % (app_label, name)
            answer["migrations"].append(
                {"name": label, "hash": files.get(label, ""), "leaf": label in leaves, "own": label in own}
            )
    except Exception as error:
        # A dependency that isn't there, a circle, a file without a Migration class: Django's words name it.
        answer["graph"] = _towpath_sentence(error)
    return answer


import importlib.util  # noqa: E402  (find_spec; `import importlib` alone does not promise it)

with open(os.environ["TOWPATH_ANSWER"], "w") as _towpath_answer:
    json.dump(_towpath_migrations(), _towpath_answer)
