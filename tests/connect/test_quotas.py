"""Quotas from files: every bad row is told, the others come in."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from topline.catalog import actions as catalog
from topline.connect import actions
from topline.connect.models import ImportBatch
from topline.kernel.errors import Conflict
from topline.pipeline import people
from topline.pipeline.models import Quota

HEAD = "Sales person,From,Until,Quota,Currency,Product family,Measure\n"


@pytest.fixture
def load(owner, entity):
    def run(content, kind="quotas", name="quotas.csv", profile=""):
        raw = content if isinstance(content, bytes) else content.encode()
        batch = actions.check_file(
            actor=owner, entity_id=entity.pk, kind=kind, content=raw, file_name=name, profile=profile, options={}
        )
        while actions.run_import(actor=owner, batch_id=batch):
            pass
        return ImportBatch.objects.get(pk=batch)

    return run


@pytest.fixture
def team(owner):
    frame = pl.DataFrame({"name": ["Ann", "Bob"], "left_on": [None, date(2026, 3, 1)]}, schema_overrides={"left_on": pl.Date})
    people.add_reps(actor=owner, reps=frame)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (",2026-04-01,,5.00,EUR", "quota_without_owner"),
        ("Zoe,2026-04-01,,5.00,EUR", "unknown_owner"),
        ("Bob,2026-04-01,,5.00,EUR", "quota_owner_left"),
        ("Ann,2026-07-01,,-5.00,EUR", "negative_quota"),
        ("Ann,2026-07-01,2026-07-01,5.00,EUR", "empty_period"),
        ("Ann,2026-04-01,,6.00,EUR", "duplicate_quota"),
        ("Ann,2026-04-01,,6.00,EUR,Boats", "unknown_family"),
        ("Ann,2026-04-01,,6.00,EUR,,luck", "unknown_measure"),
        ("Ann,2026-04-01,,6.50,EUR,,deals", "parts_of_deals"),
    ],
)
def test_a_bad_row_is_told_and_the_others_are_kept(load, team, row, code):
    row += "," * (6 - row.count(","))
    batch = load(f"{HEAD}Ann,2026-04-01,,9.00,EUR,,\n{row}\n")
    assert list(batch.problems.values_list("code", flat=True)) == [code]
    made = Quota.objects.get()
    assert (made.amount_minor, made.starts_on, made.ends_on, made.source) == (900, date(2026, 4, 1), date(2026, 7, 1), "imported")


def test_quotas_of_a_product_family_and_of_deals_come_in_beside_that_of_all(load, team, owner):
    catalog.add_products(actor=owner, products=pl.DataFrame({"code": ["PUMP"], "name": ["Pump"], "family": ["Machines"]}))
    rows = ("Ann,2026-04-01,,9.00,EUR,,", "Ann,2026-04-01,,4.00,EUR,Machines,Bookings", "Ann,2026-04-01,,6,EUR,,Deals")
    batch = load(HEAD + "\n".join(rows) + "\n")
    assert (batch.rows_done, batch.rows_refused) == (3, 0)
    made = Quota.objects.order_by("id").values_list("family", "measure", "amount_minor", "currency")
    assert list(made) == [("", "bookings", 900, "EUR"), ("Machines", "bookings", 400, "EUR"), ("", "deals", 6, "")]


def test_a_quota_that_was_imported_is_replaced_not_forgotten(load, team, owner):
    batch = load(f"{HEAD}Ann,2026-04-01,,9.00,EUR,,\n")
    with pytest.raises(Conflict, match="not forgotten"):
        actions.undo_import(actor=owner, batch_id=batch.pk, on=date(2026, 4, 2))


def test_real_quotas_without_a_header_come_in_whole(load, shared):
    files = shared / "data" / "adventureworks" / "oltp"
    load((files / "SalesPerson.csv").read_bytes(), "reps", "SalesPerson.csv", "adventureworks-reps")
    batch = load(
        (files / "SalesPersonQuotaHistory.csv").read_bytes(), name="SalesPersonQuotaHistory.csv", profile="adventureworks-quotas"
    )
    assert (batch.rows_done, batch.rows_refused) == (163, 0)
    first = Quota.objects.filter(rep__code="274").order_by("starts_on").first()
    assert first is not None
    assert (first.amount_minor, first.starts_on, first.ends_on) == (2_800_000, date(2022, 5, 30), date(2022, 8, 30))
