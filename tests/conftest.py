"""Fixtures of all tests: a company, an Owner, the shared folder of real files where it is present."""

from __future__ import annotations

import gc
import importlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TOPLINE_HOME", tempfile.mkdtemp(prefix="topline-test-"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")  # frames are small here, and a worker of the suite has one core

import pytest
from hypothesis import settings

# The gate gives the same answer for the same tree; `make test-slow` hunts with new examples each time.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.register_profile("hunt", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("TOPLINE_HYPOTHESIS", "gate"))

SHARED = Path(os.environ.get("TOPLINE_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))


LONG = (
    "journeys",
    "demo",
    "cli",
    "faults",
    "bench",
    "receivables/test_two_clerks.py",
)  # begun first, so that no worker waits for them at the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first; the order is else that of the files. Goes with --no-loadscope-reorder."""
    here = Path(__file__).resolve().parent
    items.sort(key=lambda item: not item.path.relative_to(here).as_posix().startswith(LONG))


def pytest_collection_finish() -> None:
    """What was imported stays until the end: the collector looks at what tests make, and at that less often. A tenth of the time of tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> None:
    """Hundreds of tests make a member; argon2 would spend a tenth of a second and 100 MB on each. One test keeps the product's own hashes."""
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> None:
    """Tables are made from the models, which is faster; what a migration writes into them is written by its own function.

    That the migrations make the same tables is a test (tests/kernel/test_migrations.py), and every command and journey runs them.
    """
    first_stages = importlib.import_module("topline.pipeline.migrations.0002_first_stages")
    from django.apps import apps

    with django_db_blocker.unblock():
        first_stages.add_stages(apps, None)


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

    return Entity.objects.get(
        pk=actions.open_entity(actor=owner, key="acme", name="Acme GmbH", currency="EUR", time_zone="Europe/Berlin")
    )


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


@pytest.fixture
def issue(owner, entity):
    """Issue one-line invoices without tax unless told; returns their ids."""
    from datetime import date

    import polars as pl

    from topline.billing import actions

    def make(customer_id, *amounts, on=date(2026, 3, 1), currency="EUR", terms="net 30", tax_ppm=0, due_on=None):
        refs = [str(i) for i in range(len(amounts))]
        head = pl.DataFrame(
            {"ref": refs, "customer_id": customer_id, "currency": currency, "terms": terms, "due_on": due_on},
            schema_overrides={"due_on": pl.Date},
        )
        lines = pl.DataFrame(
            {
                "ref": refs,
                "position": 1,
                "description": "Work",
                "quantity_micro": 10**6,
                "unit_price_nano": [a * 10**9 for a in amounts],
                "tax_rate_ppm": tax_ppm,
            }
        )
        drafts = actions.draft_invoices(actor=owner, entity_id=entity.pk, invoices=head, lines=lines)
        return actions.issue_invoices(actor=owner, invoice_ids=drafts["invoice_id"].to_list(), issue_on=on)[
            "invoice_id"
        ].to_list()

    return make


@pytest.fixture
def pay(owner, entity):
    """Record one payment; returns its id."""
    from datetime import date

    import polars as pl

    from topline.receivables import actions

    def make(customer_id, amount, on=date(2026, 3, 20), currency="EUR"):
        frame = pl.DataFrame(
            {"customer_id": [customer_id], "currency": [currency], "amount_minor": [amount], "received_on": [on]}
        )
        return actions.record_payments(actor=owner, entity_id=entity.pk, payments=frame)["payment_id"][0]

    return make


@pytest.fixture
def apply(owner):
    """Apply one payment to one document."""
    from datetime import date

    import polars as pl

    from topline.receivables import actions

    def make(payment_id, invoice_id, amount, on=date(2026, 3, 20), **extra):
        links = pl.DataFrame(
            {
                "payment_id": [payment_id],
                "invoice_id": [invoice_id],
                "amount_minor": [amount],
                **{k: [v] for k, v in extra.items()},
            }
        )
        return actions.apply_cash(actor=owner, links=links, on=on)

    return make
