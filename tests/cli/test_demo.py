"""`topline demo`: built once, shown at once ever after, and never taken for whole when it is not."""

from __future__ import annotations

from datetime import date

import pytest
from typer.testing import CliRunner

from topline.cli import commands
from topline.demo import company
from topline.kernel.errors import Conflict

END, DAYS = date(2026, 6, 30), 120


@pytest.fixture
def demo(db, monkeypatch):
    """Run the command on a shorter span; counts how often the company was built."""
    built = []
    real = company.build

    def short(*, seed, tick):
        built.append(seed)
        return real(seed=seed, end=END, days=DAYS, tick=tick)

    monkeypatch.setattr(company, "build", short)
    run = CliRunner()

    def once():
        done = run.invoke(commands.app, ["demo"], env={"COLUMNS": "200"})
        if done.exception is not None:
            raise done.exception
        return done.output

    once.built = built
    return once


def test_the_second_run_shows_the_same_and_builds_nothing(demo):
    built, again = demo(), demo()
    assert f"Sign in as {company.EMAIL} with password {company.PASSWORD}" in again
    assert built.endswith(again)
    assert demo.built == [7]
    assert company.last_day() == END


def test_a_half_built_company_is_told_and_not_shown_as_whole(demo, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(company._Play, "finish", stopped)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        demo()
    with pytest.raises(Conflict, match="half built"):
        demo()
    assert demo.built == [7]
