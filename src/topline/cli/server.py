"""Serving: granian in front, the outbox worker beside it."""

from __future__ import annotations

import threading
import time

from granian import Granian
from granian.constants import Interfaces

from topline.flows.handlers import HANDLERS
from topline.kernel import outbox

PAUSE = 1.0


def work(stop: threading.Event | None = None) -> None:
    """Drain the outbox again and again until told to stop."""
    from django.db import close_old_connections

    while stop is None or not stop.is_set():
        close_old_connections()
        if not outbox.drain(HANDLERS):
            time.sleep(PAUSE)


def run(*, host: str, port: int, workers: int) -> None:
    """Serve until interrupted; one outbox worker runs inside."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), name="outbox", daemon=True)
    thread.start()
    try:
        Granian(
            "topline.config.wsgi:application",
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            workers=workers,
            blocking_threads=8,
            log_access=False,
        ).serve()
    finally:
        stop.set()
