"""Which step is due, and what each way to a large debt is worth."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from topline.engine import collections
from topline.engine.collections import STANDARD, STOPS, Option, Step
from topline.kernel.errors import Invalid

D = Decimal


def due(**item):
    row = {"item_id": 1, "age_days": 10, "open_minor": 100, "last_step": None, **dict.fromkeys(STOPS, False), **item}
    return collections.steps_due(pl.DataFrame([row], schema_overrides={"last_step": pl.Int64})).row(0, named=True)


@pytest.mark.parametrize(
    ("age", "name"),
    [(-8, None), (-7, "courtesy"), (0, "due today"), (7, "friendly reminder"), (8, "second reminder"), (15, "call"), (44, "final notice"), (400, "legal")],
)  # fmt: skip
def test_the_step_is_that_of_the_age(age, name):
    assert due(age_days=age)["name"] == name


def test_a_step_is_never_taken_twice_and_the_next_one_comes():
    position = [s.name for s in STANDARD].index("second reminder")
    assert due(last_step=position)["step"] is None
    assert due(last_step=position - 1)["step"] == position


@pytest.mark.parametrize("stop", STOPS)
def test_what_stops_dunning_stops_it_and_is_named(stop):
    found = due(**{stop: True})
    assert (found["step"], found["stopped_by"]) == (None, stop)


def test_a_paid_item_or_a_credit_is_never_dunned():
    assert due(open_minor=0)["step"] is None and due(open_minor=-5)["step"] is None


def test_a_ladder_whose_days_do_not_rise_is_refused():
    with pytest.raises(Invalid):
        collections.steps_due(pl.DataFrame(), [Step(5, "a", "email"), Step(5, "b", "email")])


def test_a_step_charges_its_fee_on_the_overdue_amount():
    assert collections.fee_minor(Step(5, "a", "letter", fee_minor=2_00, fee_percent=D("1.5")), overdue_minor=100_00) == 3_50


def test_options_are_ordered_by_their_value_today():
    wait = Option("wait", ((100, 0.6),))
    call = Option("call", ((10, 0.5), (100, 0.2)), fixed_minor=20_00)
    agency = Option("agency", ((60, 0.7),), cost_percent=20, churn=0.5, needs_approval=True)
    found = collections.evaluated(
        [wait, call, agency], debt_minor=10_000_00, yearly_percent=36.5, need_in_days=30, future_margin_minor=1_000_00
    )
    assert [w.option.name for w in found] == ["call", "wait", "agency"]
    first = found[0]
    assert (first.expected_minor, first.by_need_minor) == (7_000_00, 5_000_00)
    assert first.value_minor == round(5_000_00 * 1.365 ** (-10 / 365) + 2_000_00 * 1.365 ** (-100 / 365)) - 20_00
    assert found[2].value_minor == round(5_600_00 * 1.365 ** (-60 / 365)) - 500_00


@pytest.mark.parametrize("arrives", [((1, 0.6), (2, 0.5)), ((1, -0.1),)])
def test_probabilities_that_cannot_be_are_refused(arrives):
    with pytest.raises(Invalid):
        collections.evaluated([Option("x", arrives)], debt_minor=1, yearly_percent=5, need_in_days=1)


@pytest.mark.parametrize(("age", "small", "percent"), [(120, False, 20), (121, False, 25), (181, False, 30), (10, True, 35)])
def test_the_fee_of_an_agency_grows_with_age(age, small, percent):
    assert collections.agency_percent(age_days=age, small_or_foreign=small) == percent


def test_what_an_agency_brings_is_net_of_its_fee():
    assert collections.expected_net_minor(debt_minor=100_00, recovery_percent=70, fee_percent=20) == 56_00
