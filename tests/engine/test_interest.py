"""Late interest by dated tables, offers for paying early, day counts, and plans that add up."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.engine import instalments, interest
from topline.kernel.errors import Invalid

D, F = Decimal, Fraction


@pytest.mark.parametrize(
    ("law", "day", "percent"),
    [("EU", date(2010, 1, 1), D("9.00")), ("EU", date(2022, 12, 31), D("8.00")), ("EU", date(2024, 1, 1), D("12.50")), ("DE", date(2016, 8, 1), D("8.12")),
     ("UK", date(2023, 7, 1), D("13.00")), ("UK", date(2024, 12, 31), D("13.25"))],
)  # fmt: skip
def test_the_rate_is_that_of_the_half_year(law, day, percent):
    assert interest.statutory_rate(law, day=day).percent == percent


@pytest.mark.parametrize("day", [date(2009, 12, 31), interest.KNOWN_UNTIL])
def test_beyond_the_table_no_rate_is_guessed(day):
    with pytest.raises(interest.ReferenceRateUnknown):
        interest.statutory_rate("EU", day=day)


def test_a_rate_that_the_company_entered_goes_before_the_table():
    found = interest.statutory_rate("EU", day=date(2027, 3, 1), published={date(2027, 1, 1): D(3)})
    assert (found.percent, found.applies_to) == (D(11), date(2027, 6, 30))


def test_interest_is_split_where_the_rate_changes_but_not_in_the_united_kingdom():
    dates = {"due_on": date(2023, 6, 20), "until": date(2023, 7, 10)}
    assert interest.statutory_interest_minor("EU", principal_minor=1_000_000, **dates) == round(
        F(1_000_000 * (1050 * 10 + 1200 * 10), 365 * 10_000)
    )
    assert interest.statutory_interest_minor("UK", principal_minor=1_000_000, **dates) == round(
        F(1_000_000 * 1150 * 20, 365 * 10_000)
    )
    assert (
        interest.statutory_interest_minor("EU", principal_minor=1_000_000, due_on=date(2023, 7, 1), until=date(2023, 7, 1)) == 0
    )


def test_a_hundred_thousand_pounds_for_45_days():
    assert interest.simple_interest_minor(principal_minor=100_000_00, annual_percent=D("11.75"), days=45) == 1_448_63


@pytest.mark.parametrize(
    ("law", "debt", "fixed"),
    [("EU", 1, 40_00), ("UK", 999_99, 40_00), ("UK", 1_000_00, 70_00), ("UK", 9_999_99, 70_00), ("IE", 1_000_00, 40_00), ("IE", 1_000_01, 70_00)],
)  # fmt: skip
def test_fixed_sums_follow_the_bands(law, debt, fixed):
    assert interest.compensation_minor(law, debt_minor=debt) == fixed


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**9), st.integers(1, 90), st.integers(0, 60))
def test_an_offer_costs_the_rate_that_was_asked(amount, days, percent):
    offered = interest.offer_discount(amount_minor=amount, days_sooner=days, annual_percent=D(percent))
    exact = F(amount) * F(percent, 100) * days / 365 / (1 + F(percent, 100) * days / 365)
    assert abs(offered - exact) <= F(1, 2)


def test_an_offer_after_its_day_is_refused():
    with pytest.raises(Invalid):
        interest.offer_discount(amount_minor=100, days_sooner=-1, annual_percent=D(10))


@pytest.mark.parametrize(("days", "advance", "percent"), [(30, 100, "36.5"), (30, 85, "42.94"), (60, 85, "21.47")])
def test_factoring_costs_what_its_fee_is_on_the_money_received(days, advance, percent):
    found = interest.factoring_annual_percent(fee_percent=D(3), days=days, advance_percent=D(advance))
    assert float(found) == pytest.approx(float(percent), abs=0.005)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1_00, 500_000),
    st.lists(st.integers(1, 40), min_size=1, max_size=9),
    st.integers(0, 60),
    st.sampled_from(["not above level", "not below level", "closest to level"]),
)
def test_a_level_plan_pays_the_debt_off_and_its_last_payment_keeps_the_rule(principal, gaps, rate, final):
    start = date(2026, 1, 1)
    days = [start + timedelta(days=sum(gaps[: n + 1])) for n in range(len(gaps))]
    plan = instalments.level_plan(principal_minor=principal, start=start, due_on=days, daily_percent=F(rate, 1000), final=final)
    assert sum(row.principal_minor for row in plan.rows) == principal and plan.rows[-1].left_minor == 0
    assert all(row.payment_minor == row.interest_minor + row.principal_minor for row in plan.rows)
    if final == "not above level":
        assert plan.final_minor <= plan.level_minor
    if final == "not below level":
        assert plan.final_minor >= plan.level_minor


def test_a_plan_without_interest_adds_up_to_the_debt():
    days = instalments.every(date(2026, 1, 31), days=14, count=3)
    plan = instalments.fixed_plan(principal_minor=100_00, due_on=days)
    assert [amount for _, amount in plan] == [33_33, 33_33, 33_34]
    instalments.ensure_adds_up(plan, principal_minor=100_00)


@pytest.mark.parametrize("change", [lambda p: p[:-1], lambda p: p[::-1], lambda p: [(p[0][0], 0), *p[1:]], lambda p: [p[0], *p]])
def test_a_plan_agreed_by_hand_that_does_not_add_up_is_refused(change):
    plan = [(date(2026, 1, 1), 60), (date(2026, 2, 1), 40)]
    with pytest.raises(Invalid):
        instalments.ensure_adds_up(change(plan), principal_minor=100)


def test_a_payment_below_the_advance_has_a_negative_rate_and_none_without_payments():
    assert instalments.effective_apr(advance_minor=100, payments=[(365, 90)]) == pytest.approx(-10)
