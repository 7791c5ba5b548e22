"""A worker with much to do lets people write: SQLite has one lock, and who waits for it looks only every tenth of a second."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUP = """
import os, time
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "topline.config.settings")
import topline.config.sqlite
import django; django.setup()
from topline.kernel import outbox
from topline.kernel.models import OutboxMessage
"""
FILL = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
outbox.enqueue_many("nap", {f"nap:{n}": {} for n in range(25)})
"""
WORK = """
from topline.cli import server
server.HANDLERS.clear()
server.HANDLERS["nap"] = lambda payload: time.sleep(0.3)
server.daily.due = lambda: 0
server.work()
"""
WRITE = """
waiting = OutboxMessage.objects.filter(topic="nap", state="waiting")
while waiting.count() == 25:
    time.sleep(0.05)
outbox.enqueue("other", {}, key="other")
print(waiting.count())
"""


@pytest.mark.skipif("TOPLINE_DATABASE_URL" in os.environ, reason="PostgreSQL locks rows, not the database")
def test_who_writes_while_the_worker_is_busy_gets_a_turn_before_it_is_done(tmp_path):
    env = {**os.environ, "TOPLINE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}

    def python(code, **options):
        return [sys.executable, "-c", SETUP + code], {"env": env, "cwd": tmp_path, **options}

    command, options = python(FILL)
    subprocess.run(command, check=True, timeout=120, **options)
    command, options = python(WORK)
    with subprocess.Popen(command, **options) as worker:
        try:
            command, options = python(WRITE, capture_output=True, text=True, timeout=120)
            told = subprocess.run(command, check=True, **options)
        finally:
            worker.kill()
    assert int(told.stdout) > 5, "who wrote had to wait until nearly all of the work was done"
