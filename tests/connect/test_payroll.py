"""The payroll of a city: salaries and hourly rates become what is paid every two weeks."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal

import pytest
from django.db.models import Count, Sum

from topline.connect import actions
from topline.connect.models import ImportBatch
from topline.treasury.models import PayLine, PayPlan

FILE = "data/payroll_chicago/chicago_payroll_no_names.csv"


def every_two_weeks(row: dict[str, str]) -> int:
    """Cents of one person and pay period, by the plain rule: salary / 26, or rate x weekly hours x 52 / 26."""
    if row["Annual Salary"]:
        exact = Decimal(row["Annual Salary"]) / 26
    else:
        exact = Decimal(row["Hourly Rate"]) * Decimal(row["Typical Hours"]) * 2
    return int((exact * 100).quantize(Decimal(1), ROUND_HALF_UP))


@pytest.fixture
def load(owner, entity):
    def run(content, **options):
        batch = actions.check_file(
            actor=owner,
            entity_id=entity.pk,
            kind="payroll",
            content=content,
            file_name="payroll.csv",
            profile=options.pop("profile", "chicago-payroll"),
            options=options,
        )
        while actions.run_import(actor=owner, batch_id=batch):
            pass
        return ImportBatch.objects.get(pk=batch)

    return run


def test_33702_people_of_36_departments_are_paid_by_salary_or_hour(shared, load):
    content = (shared / FILE).read_bytes()
    batch = load(content, first_payday="2026-01-09")
    assert (batch.rows_done, batch.rows_refused) == (33_702, 0)
    groups: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    for row in rows:
        groups[row["Department"]][0] += 1
        groups[row["Department"]][1] += every_two_weeks(row)
    found = PayLine.objects.values_list("group").annotate(Count("id"), Sum("amount_minor"))
    assert {group: [people, total] for group, people, total in found} == groups
    assert len(groups) == 36
    assert sum(total for _, total in groups.values()) == 10_836_841_298
    assert (groups["POLICE"], groups["FIRE"]) == ([13_848, 4_724_459_887], [4_627, 1_717_589_610])
    assert sum(row["Salary or Hourly"] == "Hourly" for row in rows) == 8_174
    plan = PayPlan.objects.get()
    assert (plan.currency, plan.frequency, plan.debit_lead_days) == ("USD", "biweekly", 2)


HEAD = "Job Titles,Department,Full or Part-Time,Salary or Hourly,Typical Hours,Annual Salary,Hourly Rate\n"


def test_cents_are_rounded_half_away_from_zero_once(load):
    load((HEAD + "CLERK,LAW,F,Salary,,26000.13,\nGUARD,LAW,P,Hourly,7,,13.37\n").encode(), first_payday="2026-01-09")
    assert sorted(PayLine.objects.values_list("amount_minor", flat=True)) == [18_718, 100_001]


def test_a_person_without_pay_is_told_by_row(load):
    batch = load(
        (HEAD + "CLERK,LAW,F,Salary,,26000,\nGUARD,LAW,P,Hourly,20,,\nAIDE,LAW,P,Hourly,,,13\n").encode(),
        first_payday="2026-01-09",
    )
    assert (batch.rows_done, batch.rows_refused) == (1, 2)
    assert list(batch.problems.order_by("row").values_list("row", "code")) == [(3, "no_pay"), (4, "no_pay")]


def test_without_a_first_payday_nothing_is_stored(load):
    with pytest.raises(actions.DomainError, match="When is the first payday"):
        load(b"person,group,amount\nAda,LAW,1000.00\n", profile="topline-payroll")
    assert not PayPlan.objects.exists()
