"""The start log: one line for each process that starts, for whoever wants to count restarts.

It is kept only where SHOP_START_LOG names a file. A line is `ROLE VERSION PID TIME`.
"""

import os
from datetime import datetime, timezone


def record(role: str) -> None:
    path = os.environ.get("SHOP_START_LOG")
    if not path:
        return
    from shop import __version__

    now = datetime.now(timezone.utc).isoformat()
    line = f"{role} {__version__} {os.getpid()} {now}\n"
    # One write to a file opened for appending: lines of several processes do not mix.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
