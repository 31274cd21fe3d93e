//! A small real Django project: one commit runs well or badly by its environment's variables alone, so that one
//! pipeline run serves many deployments.

use std::path::Path;

/// What the project needs; the roles travel with the commit, the environments are the operator's.
const ROLES: &str = r#"
[project]
name = "shop"

[role.web]
command = "sh web.sh"
stop_timeout = "10s"
[role.beat]
command = "exec python beat.py"
max = 1
stop_timeout = "10s"

[[stage]]
name = "lint"
enabled = false
[[stage]]
name = "security"
enabled = false
[[stage]]
name = "migrate-empty"
enabled = false
"#;

/// `STARTS` is a directory of the test's; each start leaves a line in the replica's own file there.
const WEB: &str = r#"
echo $$ >> "$STARTS/$TOWPATH_REPLICA"
case "$MODE" in
exits) sleep 3; echo "no more tea" >&2; exit 7 ;;
silent) echo "not listening"; exec sleep 600 ;;
esac
exec gunicorn site1.wsgi --bind 127.0.0.1:$PORT --workers 1 --threads 4 --log-level warning
"#;

/// Says when it begins and when it ends. Two at once would show as two beginnings in a row.
const BEAT: &str = r#"
import os, signal, sys

def say(word):
    with open(os.path.join(os.environ["STARTS"], "beat-" + os.environ["TOWPATH_ENVIRONMENT"]), "a") as file:
        file.write(f"{word} {os.getpid()}\n")

def end(*_):
    say("end")
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
say("begin")
while True:
    signal.pause()
"#;

const SETTINGS: &str = r#"
import os
from pathlib import Path
from urllib.parse import urlsplit

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("SECRET_KEY", "throw-away-" * 6)
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
INSTALLED_APPS = ["tea"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "site1.urls"
WSGI_APPLICATION = "site1.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", BASE_DIR / "db.sqlite3")}}
if "DATABASE_URL" in os.environ:
    url = urlsplit(os.environ["DATABASE_URL"])
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
        "HOST": url.hostname, "PORT": url.port,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
"#;

const VIEWS: &str = r#"
import os

from django.http import JsonResponse

from .models import Tea


def health(request):
    own = {name: os.environ.get(name, "") for name in ("TOWPATH_RELEASE", "TOWPATH_DEPLOYMENT", "WORD")}
    return JsonResponse({"teas": Tea.objects.count(), **own})
"#;

const FILES: [(&str, &str); 14] = [
    (".gitignore", "__pycache__/\n*.sqlite3\n"),
    ("requirements.txt", "Django==5.2.19\ngunicorn==23.0.0\npsycopg[binary]==3.3.9\n"),
    (
        "manage.py",
        "import os\nimport sys\n\nif __name__ == \"__main__\":\n    os.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \
         \"site1.settings\")\n    from django.core.management import execute_from_command_line\n\n    \
         execute_from_command_line(sys.argv)\n",
    ),
    ("web.sh", WEB),
    ("beat.py", BEAT),
    ("site1/__init__.py", ""),
    ("site1/settings.py", SETTINGS),
    (
        "site1/urls.py",
        "from django.urls import path\n\nfrom tea.views import health\n\nurlpatterns = [path(\"health\", health)]\n",
    ),
    (
        "site1/wsgi.py",
        "import os\n\nfrom django.core.wsgi import get_wsgi_application\n\nos.environ.setdefault(\
         \"DJANGO_SETTINGS_MODULE\", \"site1.settings\")\napplication = get_wsgi_application()\n",
    ),
    ("tea/__init__.py", ""),
    ("tea/migrations/__init__.py", ""),
    (
        "tea/migrations/0001_initial.py",
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n    initial = True\n    \
         operations = [migrations.CreateModel(name=\"Tea\", fields=[(\"id\", models.BigAutoField(auto_created=True, \
         primary_key=True, serialize=False, verbose_name=\"ID\")), (\"name\", models.CharField(max_length=40))])]\n",
    ),
    (
        "tea/models.py",
        "from django.db import models\n\n\nclass Tea(models.Model):\n    name = models.CharField(max_length=40)\n",
    ),
    ("tea/views.py", VIEWS),
];

/// What stands in `towpath.toml` before the environments, for a world in `_root`.
pub(crate) fn roles(_root: &Path) -> String {
    ROLES.to_owned()
}

/// Writes the project's files.
pub(crate) fn write(directory: &Path) {
    for (name, text) in FILES {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.trim_start()).unwrap();
    }
}
