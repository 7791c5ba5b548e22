"""A command starts with the module that it is written in, and with no other."""

from __future__ import annotations

from topline.cli import commands  # registers all of them
from topline.cli.main import HOMES


def test_the_table_names_the_home_of_every_command():
    written = {(c.name or c.callback.__name__).replace("_", "-"): c.callback.__module__ for c in commands.app.registered_commands}
    for group in commands.app.registered_groups:
        (written[group.name],) = {c.callback.__module__ for c in group.typer_instance.registered_commands}
    assert written == {name: f"topline.cli.{home}" for home, names in HOMES.items() for name in names}
