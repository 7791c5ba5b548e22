"""A home with a company, and processes of their own that are cut short, starved or run side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# the command line itself, with small chunks and, where told, a database that may not grow
RUNNER = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "topline.config.settings"
import topline.config.sqlite, django
django.setup()
from django.db.backends.signals import connection_created
from topline.connect import actions
actions.CHUNK = 100
if pages := os.environ.get("MAX_PAGES"):
    connection_created.connect(lambda connection, **_: connection.cursor().execute(f"PRAGMA max_page_count = {pages}"), weak=False)
from topline.cli.main import main
main()
"""


class Home:
    """A home folder with a company on a SQLite file of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def start(self, *arguments, preexec_fn=None, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TOPLINE_")}
        clean |= {"TOPLINE_HOME": str(self.folder), "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200", **environment}
        return subprocess.Popen(
            [sys.executable, "-c", RUNNER, *map(str, arguments)],
            env=clean, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=preexec_fn,  # noqa: PLW1509
        )  # fmt: skip

    def run(self, *arguments, code=0, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, out + err
        assert "Traceback" not in err
        return out + err

    def count(self, table, where="1 = 1"):
        import sqlite3

        with sqlite3.connect(self.folder / "topline.sqlite3") as database:
            return database.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]

    def verified(self):
        return all(proof["holds"] for proof in json.loads(self.run("verify", "--json")))

    def items(self, rows, name="items.csv"):
        head = "number,customer,issued on,due on,amount,paid on\n"
        body = "".join(f"R{n},Customer {n % 7},2026-01-05,2026-02-04,{n}.00,2026-01-20\n" for n in range(1, rows + 1))
        (self.folder / name).write_text(head + body)
        return name


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    made.run("init", "Acme GmbH")
    return made
