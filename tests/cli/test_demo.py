"""`topline demo`: never taken for whole when it is not. That it is built once and shown at once ever after: tests/demo."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from topline.cli import commands
from topline.demo import company
from topline.kernel.errors import Conflict


def run():
    done = CliRunner().invoke(commands.app, ["demo"], env={"COLUMNS": "200"})
    if done.exception is not None:
        raise done.exception


def test_a_half_built_company_is_told_and_not_shown_as_whole(db, monkeypatch):
    days = []

    def stopped(_, day, **__):
        days.append(day)
        raise KeyboardInterrupt

    monkeypatch.setattr(company._Play, "day", stopped)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run()
    with pytest.raises(Conflict, match="half built"):
        run()
    assert len(days) == 1
