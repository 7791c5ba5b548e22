"""Fixtures of all tests: a company, an Owner, the shared folder of real files where it is present."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TOPLINE_HOME", tempfile.mkdtemp(prefix="topline-test-"))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

SHARED = Path(os.environ.get("TOPLINE_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files and oracle cases; skips, saying so, where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("TOPLINE_SHARED is absent: real files and oracle cases are not tested")
    return SHARED


@pytest.fixture
def owner(db):
    """The actor that may do everything."""
    from topline.team.queries import system_actor

    return system_actor("test")


@pytest.fixture
def entity(owner):
    """A company that keeps its books in euros."""
    from topline.books import actions
    from topline.books.models import Entity

    return Entity.objects.get(pk=actions.open_entity(actor=owner, key="acme", name="Acme GmbH", currency="EUR", time_zone="Europe/Berlin"))


@pytest.fixture
def make_customers(owner) -> Callable[..., list[int]]:
    """Customers by name; returns their ids."""
    import polars as pl

    from topline.market import actions

    def make(*names: str, currency: str = "EUR") -> list[int]:
        frame = pl.DataFrame({"name": list(names), "currency": [currency] * len(names)})
        return actions.add_customers(actor=owner, customers=frame)["customer_id"].to_list()

    return make


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """With TOPLINE_NO_SKIPS set, a test of real files or oracle cases that skips itself has failed."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("TOPLINE_NO_SKIPS") and "shared" in getattr(item, "fixturenames", ()):
        report.outcome = "failed"
        report.longrepr = f"skipped although TOPLINE_NO_SKIPS is set: {report.longrepr}"
