"""What each way to a large debt is worth."""

from __future__ import annotations

import pytest

from topline.engine import options
from topline.engine.options import Option
from topline.kernel.errors import Invalid


def test_options_are_ordered_by_their_value_today():
    wait = Option("wait", ((100, 0.6),))
    call = Option("call", ((10, 0.5), (100, 0.2)), fixed_minor=20_00)
    agency = Option("agency", ((60, 0.7),), cost_percent=20, churn=0.5, needs_approval=True)
    found = options.evaluated(
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
        options.evaluated([Option("x", arrives)], debt_minor=1, yearly_percent=5, need_in_days=1)


@pytest.mark.parametrize(("age", "small", "percent"), [(120, False, 20), (121, False, 25), (181, False, 30), (10, True, 35)])
def test_the_fee_of_an_agency_grows_with_age(age, small, percent):
    assert options.agency_percent(age_days=age, small_or_foreign=small) == percent


def test_what_an_agency_brings_is_net_of_its_fee():
    assert options.expected_net_minor(debt_minor=100_00, recovery_percent=70, fee_percent=20) == 56_00
