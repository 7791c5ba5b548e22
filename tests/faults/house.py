"""What faults are played on: a Topline of its own with real commits, driven by processes that can be stopped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]

START = """
import json, os, sys
import topline.config.sqlite
import django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "topline.config.settings")
django.setup()
from datetime import date
import polars as pl
from django.db import connection, transaction
from topline.billing.models import Invoice
from topline.books import actions as books
from topline.books.models import Entity, Entry
from topline.connect import actions as connect
from topline.connect.models import ImportBatch
from topline.flows import proofs
from topline.kernel.errors import DomainError
from topline.receivables.models import Payment
from topline.team.queries import system_actor
actor = system_actor("test")
"""
COMMAND = "\nfrom topline.cli.main import main; main()"


@contextmanager
def place(like: dict[str, str] | None = None) -> Iterator[dict[str, str]]:
    """The environment of an empty home, on PostgreSQL (where TOPLINE_DATABASE_URL names one) with a database of its own.

    like  an environment of which this one is to be a copy; nobody may be at work there
    """
    url = os.environ.get("TOPLINE_DATABASE_URL", "")
    with tempfile.TemporaryDirectory(prefix="topline-house-") as home:
        environment = {name: value for name, value in os.environ.items() if name not in ("TOPLINE_HOME", "TOPLINE_DATABASE_URL")}
        paths = [str(ROOT), str(ROOT / "src"), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {
            "TOPLINE_HOME": home,
            "PYTHONPATH": os.pathsep.join(paths),
            "TOPLINE_LOG_FORMAT": "json",
            "COLUMNS": "400",
        }
        if like:
            shutil.copytree(like["TOPLINE_HOME"], home, dirs_exist_ok=True)
        if not url.startswith("postgres"):
            yield environment
            return
        import psycopg

        name = f"house_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(url, autocommit=True) as connection:
            model = urlsplit(like["TOPLINE_DATABASE_URL"]).path[1:] if like else "template1"
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {model}")
            try:
                yield environment | {"TOPLINE_DATABASE_URL": urlunsplit(urlsplit(url)._replace(path=f"/{name}"))}
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


class House:
    """A Topline of its own: `run` a script in it, `start` one beside others, or call the command line."""

    def __init__(self, environment):
        self.environment = environment
        self.home = environment["TOPLINE_HOME"]

    @property
    def is_sqlite(self):
        return "TOPLINE_DATABASE_URL" not in self.environment

    def start(self, script, *arguments, **options):
        return subprocess.Popen(
            [sys.executable, "-c", START + script, *map(str, arguments)],
            env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip

    def run(self, script, *arguments):
        """What a script prints last, as JSON; it must end well."""
        process = self.start(script, *arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return json.loads(out.splitlines()[-1]) if out else None

    def command(self, *arguments, script="", **options):
        """`topline ARGUMENTS`, after what a script arranged: exit code and everything it said, in one line."""
        process = self.start(script + COMMAND, *arguments, **options)
        said = " ".join("".join(process.communicate(timeout=120)).split())
        assert "Traceback" not in said, said
        return process.returncode, said


@pytest.fixture(scope="session")
def furnished():
    """A house with a company in it; tests work on copies."""
    with place() as environment:
        made = House(environment)
        code, said = made.command("init", "Acme", "--currency", "EUR")
        assert code == 0, said
        yield made


@pytest.fixture
def company(furnished):
    """A house of its own with a company in it."""
    with place(like=furnished.environment) as environment:
        yield House(environment)


@pytest.fixture(scope="session")
def open_items():
    """A file of open items, every third one paid."""

    def make(rows, *, first=1):
        head = "number,customer,issued on,due on,amount,paid on\n"
        paid = ["", "", "2026-02-10"]
        return head + "".join(
            f"R{n:06},Customer {n % 7},2026-01-05,2026-02-04,{n % 900 + 1}.50,{paid[n % 3]}\n" for n in range(first, first + rows)
        )

    return make
