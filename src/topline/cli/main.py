"""The entry point `topline`. Exit codes: 0 done, 1 failed, 2 refused (a sentence says why and what to do)."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import topline.config.sqlite  # isort: skip  # noqa: F401  (before anything imports sqlite3)

import django
import typer
from django.core.exceptions import ImproperlyConfigured
from rich.console import Console

app = typer.Typer(
    name="topline",
    help="Revenue operations: from the first lead to the money in the bank and on to the people it pays.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


NO_COMPANY, OLD, NO_ROOM = (
    "Is there a company yet? Make one: topline init NAME. After an update: topline migrate.",
    "The database is of another version of Topline. Bring it to this one: topline migrate.",
    "Free some disk space and try again; nothing is half written.",
)
HOMES = {  # of commands: where each is written, so that it starts without the libraries of all others
    "bringing_in": ("init", "import"),
    "collecting": (
        "today",
        "aging",
        "match",
        "cash",
        "train",
        "backtest",
        "remind",
        "interest",
        "daily",
        "mail-in",
        "statements",
    ),
    "selling": ("pipeline", "forecast", "market", "customers", "leads", "quotes"),
    "billing": ("usage", "backfill", "contracts", "credits", "recurring", "einvoice", "bill"),
    "recognising": ("revenue",),
    "running": ("verify", "seal", "backup", "restore", "migrate", "serve", "worker", "demo", "lake"),
}
CURES = {  # the first that fits
    "no such column": OLD,
    "column ": OLD,  # SQLite: table ... has no column named; PostgreSQL: column ... does not exist
    "no such table": NO_COMPANY,
    "does not exist": NO_COMPANY,
    "is full": NO_ROOM,
    "No space left": NO_ROOM,
}


def main() -> None:
    """Set Django up, run the command, and turn what happened into an exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "topline.config.settings")
    console = Console(stderr=True)
    try:
        django.setup()
    except ImproperlyConfigured as error:
        console.print(f"[red]{error}[/red]")
        sys.exit(2)
    from django.db.utils import OperationalError, ProgrammingError

    from topline.kernel.errors import DomainError

    asked = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    home = next((module for module, names in HOMES.items() if asked in names), "commands")  # help, and what there is not: all
    import_module(f"topline.cli.{home}")  # registers its commands
    try:
        app()
    except DomainError as error:
        console.print(f"[red]{error.message}[/red]" + (f"\n{error.remedy}" if error.remedy else ""), highlight=False)
        sys.exit(2)
    except (OperationalError, ProgrammingError) as error:
        text = str(error)
        hint = next((cure for sign, cure in CURES.items() if sign in text), "")
        console.print(f"[red]The database refused: {text.strip()}[/red]\n{hint}".strip(), highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    # `python -m` runs this file under another name: the commands register with the module, not with the copy
    from topline.cli.main import main as run

    run()
