"""Serving: granian in front, the outbox worker beside it, each a process of its own.

Neither is forked from here: a fork would inherit the locks of SQLite and of Polars' threads as they stood and wait on them for ever.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from topline.flows import daily
from topline.flows.handlers import HANDLERS
from topline.kernel import outbox
from topline.kernel.database import is_postgresql

PAUSE = 1.0
REST = 0.12  # seconds: SQLite looks at a taken lock every tenth of one
ASK_EVERY = 60.0  # seconds between two looks at whether a day has begun
WORKER = "from topline.cli.main import main; main()"


def work() -> None:
    """Drain the outbox again and again until interrupted; once a day ask it for the day's work of each company.

    On SQLite the worker rests after each message as long as that took, at most REST, so that people who write meanwhile get their turn.
    """
    from django.db import close_old_connections

    asked_at = -ASK_EVERY
    while True:
        close_old_connections()
        if time.monotonic() - asked_at >= ASK_EVERY:
            daily.due()
            asked_at = time.monotonic()
        begun = time.monotonic()
        if not outbox.drain(HANDLERS, limit=1):
            time.sleep(PAUSE)
        elif not is_postgresql():
            time.sleep(min(time.monotonic() - begun, REST))


def run(*, host: str, port: int, workers: int) -> None:
    """Serve until interrupted or terminated; one outbox worker runs beside the server and ends with it."""
    serve = [
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--host",
        host,
        "--port",
        str(port),
        "--workers",
        str(workers),
        "--no-ws",
        "--log-level",
        "error",  # what happens is told by our own log
        "--blocking-threads",
        "8",
    ]
    signal.signal(signal.SIGTERM, _stop)
    told = {
        "TOPLINE_URL": f"http://localhost:{port}"
    } | os.environ  # links lead to where it is served, unless another address is said
    children = [
        subprocess.Popen([sys.executable, *serve, "topline.config.wsgi:application"], env=told),
        subprocess.Popen([sys.executable, "-c", WORKER, "worker"], env=told),
    ]
    try:
        children[0].wait()
    except KeyboardInterrupt:
        pass  # Ctrl-C is how one stops it
    finally:
        for child in children:
            child.terminate()
        for child in children:
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                child.kill()


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
