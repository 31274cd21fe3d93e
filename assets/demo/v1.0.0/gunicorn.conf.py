"""What every gunicorn of the shop has in common; address and size come from the command line."""

import os
from typing import Any

worker_class = "gthread"
# Longer than nginx keeps an idle connection to us (60 s), so that it is never we who close one under a request.
keepalive = 75
graceful_timeout = 30
# Its place is the same for every gunicorn of an account, and several releases run side by side.
control_socket_disable = True
# Workers prove that they live through a file: in memory, since a busy disk must not kill them.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # nosec B108


def on_starting(server: Any) -> None:
    from shop import startlog

    startlog.record("web")
