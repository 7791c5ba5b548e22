"""Money is exact: whole minor units, one rounding with a name, parts that add up."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.kernel import money
from topline.kernel.errors import Invalid
from topline.kernel.money import Money


@pytest.mark.parametrize(("currency", "exponent"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("KRW", 0), ("TND", 3)])
def test_a_currency_has_the_decimals_of_iso_4217(currency, exponent):
    assert money.exponent(currency) == exponent


def test_an_unknown_currency_is_named_in_the_refusal():
    with pytest.raises(Invalid, match="'XXY' is not an ISO 4217"):
        Money(1, "XXY")


def test_two_currencies_are_never_added_or_compared():
    for combine in (lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a < b):
        with pytest.raises(Invalid, match="EUR and USD"):
            combine(Money(1, "EUR"), Money(1, "USD"))


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(0, 10**6), min_size=1, max_size=30).filter(any))
def test_parts_of_a_split_always_add_up_and_none_is_a_whole_unit_off(total, weights):
    parts = money.split(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(Decimal(part) - Decimal(total) * weight / whole) < 1
        assert weight or part == 0


@given(st.integers(-(10**12), 10**12), st.integers(1, 60), st.sampled_from(["first", "last"]))
def test_equal_parts_add_up_wherever_the_odd_cent_goes(total, parts, odd_cent):
    split = money.split_evenly(total, parts, odd_cent=odd_cent)
    assert (sum(split), len(split)) == (total, parts)


def test_the_last_of_equal_instalments_takes_the_odd_cent():
    assert money.split_evenly(10_000, 3, odd_cent="last") == [3333, 3333, 3334]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_rounding_half_away_from_zero_agrees_with_decimal(exact):
    assert money.round_minor(exact) == int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def test_a_figure_beyond_64_bits_is_refused_not_wrapped():
    with pytest.raises(Invalid, match="too large"):
        money.round_minor(Decimal(2**63))


@pytest.mark.parametrize(
    ("text", "mark", "minor"),
    [("1,234.50", ".", 123450), ("1.234,50", ",", 123450), ("40'761.98", ".", 4076198), ("1 234,5", ",", 123450), ("(12.00)", ".", -1200), ("12.00-", ".", -1200),
     ("-0.01", ".", -1), ("+7", ".", 700), (".5", ".", 50), ("\u22125,00", ",", -500)],
)  # fmt: skip
def test_amounts_are_read_as_people_write_them(text, mark, minor):
    assert money.parse_amount(text, "EUR", decimal_mark=mark) == minor


@pytest.mark.parametrize("text", ["1.234,56", "12,34.00", "1,23", "abc", "", "1e5", "--5", "5-5", "0x1F", "1.234.567"])
def test_an_amount_with_the_wrong_mark_is_refused_with_its_text(text):
    with pytest.raises(Invalid, match="decimal mark"):
        money.parse_amount(text, "EUR", decimal_mark=".")


@pytest.mark.parametrize(("text", "currency"), [("1.005", "EUR"), ("10.5", "JPY"), ("1.0005", "KWD")])
def test_more_decimals_than_the_currency_has_are_refused(text, currency):
    with pytest.raises(Invalid, match="more decimals"):
        money.parse_amount(text, currency)


@given(st.integers(-(10**15), 10**15), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_what_is_written_is_read_back(minor, currency):
    assert money.parse_amount(money.format_amount(minor, currency), currency) == minor
    assert money.to_minor(money.to_major(minor, currency), currency) == minor
