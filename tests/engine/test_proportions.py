"""Shares side by side, against the published worked examples of the method; the limits were also worked out anew from its formula."""

from __future__ import annotations

import pytest
from scipy import stats

from topline.engine.proportions import Difference, difference, mean_difference, wilson


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe 1998, Table II, method 10: the eight contrasts (a) to (h)
        ((48, 80), (56, 70), 0.0524, 0.3339),
        ((3, 10), (9, 10), 0.1705, 0.8090),
        ((2, 7), (6, 7), 0.0582, 0.8062),
        ((0, 29), (5, 56), -0.0381, 0.1926),
        ((0, 20), (0, 10), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((0, 20), (10, 10), 0.6791, 1.0000),
        ((0, 10), (10, 10), 0.6075, 1.0000),
    ],
)
def test_the_interval_of_a_difference_is_that_of_the_paper(first, second, low, high):
    found = difference(*first, *second)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    turned = difference(*second, *first)
    assert (turned.low, turned.high) == (pytest.approx(-found.high), pytest.approx(-found.low))
    assert found.is_told is (low > 0)


def test_the_interval_of_one_share_is_that_of_wilson():
    # by hand: (2 x 81 + z2 -+ z sqrt(z2 + 4 x 81 x 182 / 263)) / (2 (263 + z2)), z = 1.96
    assert wilson(81, 263) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1


def test_an_empty_group_has_no_difference():
    assert difference(0, 0, 1, 2) is None
    assert difference(1, 2, 0, 0) is None


def test_averages_stand_apart_by_welchs_interval():
    first, second = [10.0, 12.0, 9.0, 11.0, 13.0], [15.0, 19.0, 14.0, 16.0, 20.0, 12.0]
    told = mean_difference(first, second)
    peer = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert told is not None
    assert told.value == pytest.approx(5.0)
    assert (told.low, told.high) == pytest.approx((peer.low, peer.high))
    assert mean_difference([1.0], second) is None
    assert mean_difference([2.0, 2.0], [3.0, 3.0]) == Difference(1.0, 1.0, 1.0)
