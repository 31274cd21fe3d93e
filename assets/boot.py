# Starts a Django application the way a server does and asks it one request, in this process. Run by
# `manage.py shell -c`; answers as JSON in the file $TOWPATH_ANSWER.
import importlib
import json
import os


def _towpath_sentence(error):
    return "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:500])


def _towpath_boot():
    from django.conf import settings
    from django.core.signals import got_request_exception
    from django.test import Client
    from django.urls import get_resolver

    answer = {"started": [], "failed": None, "what": None, "status": None, "raised": None}
    for name in ("WSGI_APPLICATION", "ASGI_APPLICATION"):
        path = getattr(settings, name, None)
        if not path:
            continue
        try:
            module, _, attribute = path.rpartition(".")
            getattr(importlib.import_module(module), attribute)
            answer["started"].append(path)
        except Exception as error:
            answer["what"], answer["failed"] = path, _towpath_sentence(error)
            return answer
    if getattr(settings, "ROOT_URLCONF", None) is None:
        return answer
    try:
        get_resolver().url_patterns
    except Exception as error:
        answer["what"], answer["failed"] = settings.ROOT_URLCONF, _towpath_sentence(error)
        return answer
    raised = []

    def note(sender, request=None, **kwargs):
        import sys

        raised.append(_towpath_sentence(sys.exc_info()[1]))

    got_request_exception.connect(note, weak=False)
    hosts = [host.lstrip(".") for host in getattr(settings, "ALLOWED_HOSTS", []) if host and host != "*"]
    try:
        client = Client(raise_request_exception=False, SERVER_NAME=hosts[0] if hosts else "localhost")
        answer["status"] = client.get("/").status_code
    except Exception as error:
        # Not a view: middleware that can't be loaded raises out of the handler.
        answer["what"], answer["failed"] = "the request handler", _towpath_sentence(error)
        return answer
    answer["raised"] = raised[0] if raised else None
    return answer


with open(os.environ["TOWPATH_ANSWER"], "w") as _towpath_answer:
    json.dump(_towpath_boot(), _towpath_answer)
