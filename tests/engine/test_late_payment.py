"""Interest and compensation for late payment: split at rate changes and at parts paid, against plain sums."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.engine import late_payment as late
from topline.kernel.errors import NotFound

D = Decimal


def test_the_rate_changes_in_the_middle_of_a_debt():
    charge = late.late_charge(jurisdiction="EU", principal_minor=10_000_000, due_on=date(2024, 6, 10), until=date(2024, 7, 20))
    assert charge.spans == ((date(2024, 6, 11), date(2024, 6, 30), D("12.50")), (date(2024, 7, 1), date(2024, 7, 20), D("12.25")))
    assert (charge.days, charge.interest_minor, charge.compensation_minor) == (
        40,
        round(10_000_000 * (20 * 12.5 + 20 * 12.25) / 36_500),
        4_000,
    )


def test_parts_that_were_paid_bear_no_more_interest():
    charge = late.late_charge(
        jurisdiction="UK",
        principal_minor=1_000_000,
        due_on=date(2024, 2, 1),
        until=date(2024, 3, 2),
        paid=[(date(2024, 2, 11), 600_000)],
    )
    assert charge.interest_minor == round((1_000_000 * 10 + 400_000 * 20) * 13.25 / 36_500)
    assert charge.compensation_minor == 10_000


def test_a_rate_of_the_contract_takes_the_place_of_law_and_nothing_is_due_in_time():
    agreed = late.late_charge(
        jurisdiction="US", principal_minor=36_500, due_on=date(2026, 1, 1), until=date(2026, 1, 11), contract_percent=D(10)
    )
    assert (agreed.interest_minor, agreed.compensation_minor) == (100, 0)
    in_time = late.late_charge(jurisdiction="EU", principal_minor=36_500, due_on=date(2026, 1, 1), until=date(2026, 1, 1))
    assert (in_time.days, in_time.total_minor) == (0, 0)


def test_states_without_the_euro_do_not_take_the_rate_of_the_european_central_bank():
    places = {
        country: late.jurisdiction(country) for country in ("FR", "DE", "GB", "HR", "SE", "PL", "CZ", "DK", "HU", "RO", "US", "")
    }
    own = {place: place for place in ("SE", "PL", "CZ", "DK", "HU", "RO")}
    assert places == {"FR": "EU", "DE": "DE", "GB": "UK", "HR": "EU", "US": "", "": ""} | own


@pytest.mark.parametrize(
    ("place", "day", "percent"),
    [
        ("PL", date(2017, 8, 1), "9.50"),  # Monitor Polski 2017, item 686
        ("PL", date(2021, 3, 1), "10.10"),  # Monitor Polski 2020, item 1212
        ("DK", date(2022, 9, 1), "7.55"),  # forbrug.dk
        ("DK", date(2024, 2, 1), "11.75"),  # selandiaadvokater.dk
        ("SE", date(2018, 2, 1), "7.50"),  # bjornlunden.se
        ("SE", date(2023, 8, 1), "11.50"),  # the Riksbank's notice of 3 July 2023, plus 8
        ("CZ", date(2022, 2, 1), "11.75"),  # behounek.eu
        ("HU", date(2022, 8, 1), "15.75"),  # the base rate of 1 July 2022 was 7.75
        ("RO", date(2024, 7, 20), "15.00"),  # 7.00 on 1 July 2024
    ],
)
def test_the_rates_of_states_without_the_euro_are_those_that_were_published(place, day, percent):
    found = late.rate_on(place, day)
    assert (found.percent, found.is_latest) == (D(percent), False)


def test_in_czechia_the_rate_of_the_day_the_delay_began_holds_for_all_of_it():
    charge = late.late_charge(jurisdiction="CZ", principal_minor=1_000_000, due_on=date(2022, 2, 1), until=date(2023, 2, 1))
    assert charge.spans == ((date(2022, 2, 2), date(2023, 2, 1), D("11.75")),)
    assert (charge.interest_minor, charge.compensation_minor) == (117_500, 120_000)


@pytest.mark.parametrize(
    ("place", "debt", "fixed"),
    [("PL", 5_000_00, 40_00), ("PL", 5_000_01, 70_00), ("PL", 50_000_00, 100_00), ("SE", 1, 450_00), ("DK", 1, 310_00), ("RO", 1, 40_00), ("UK", 999_99, 40_00)],
)  # fmt: skip
def test_the_fixed_sum_is_that_of_the_law(place, debt, fixed):
    assert late.compensation(jurisdiction=place, debt_minor=debt) == fixed


def test_days_before_anything_known_are_refused_unless_the_company_knows_the_rate():
    with pytest.raises(NotFound, match="no reference rate"):
        late.rate_on("RO", date(2020, 1, 1))
    assert late.rate_on("RO", date(2020, 1, 1), own={(2020, 1): D("2.5")}).percent == D("10.5")


def test_days_that_were_claimed_are_left_out_and_unknown_ones_are_named():
    told = {"jurisdiction": "UK", "principal_minor": 1_000_000, "due_on": date(2026, 5, 1)}
    whole = late.late_charge(**told, until=date(2026, 7, 10))
    assert (whole.unknown_from, whole.compensation_minor) == (date(2026, 7, 1), 10_000)
    rest = late.late_charge(**told, until=date(2026, 7, 10), claimed_until=date(2026, 6, 30))
    assert (rest.days, rest.compensation_minor, rest.spans[0][0]) == (10, 0, date(2026, 7, 1))
    assert late.late_charge(**told, until=date(2026, 6, 1), claimed_until=date(2026, 6, 30)).days == 0
    known = late.late_charge(**told, until=date(2026, 7, 10), own={(2026, 2): D("3.5")})
    assert (known.unknown_from, known.spans[-1][2]) == (None, D("11.5"))


def test_days_after_the_tables_end_take_the_last_rate_and_say_so():
    assert late.rate_on("EU", date(2030, 1, 1)).is_latest
    assert not late.rate_on("EU", date(2026, 7, 1)).is_latest
    for place in ("US", ""):
        with pytest.raises(NotFound, match="rate of the contract"):
            late.rate_on(place, date(2026, 1, 1))
    with pytest.raises(NotFound, match="no reference rate"):
        late.rate_on("EU", date(2012, 1, 1))


@given(
    st.dates(date(2013, 1, 2), date(2027, 1, 1)),
    st.integers(0, 1500),
    st.integers(1, 10**9),
    st.sampled_from(["EU", "UK", "DE", "IE", "SE", "DK"]),
)
def test_interest_is_the_sum_of_its_days(due, days, principal, place):
    charge = late.late_charge(jurisdiction=place, principal_minor=principal, due_on=due, until=due + timedelta(days=days))
    daily = sum((D(principal) * late.rate_on(place, due + timedelta(days=n)).percent / 36_500 for n in range(1, days + 1)), D(0))
    assert abs(charge.interest_minor - daily) <= D("0.51")
    assert charge.days == days
