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
    assert places == {"FR": "EU", "DE": "DE", "GB": "UK", "HR": "EU"} | dict.fromkeys(
        ("SE", "PL", "CZ", "DK", "HU", "RO", "US", ""), ""
    )


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
    st.sampled_from(["EU", "UK", "DE", "IE"]),
)
def test_interest_is_the_sum_of_its_days(due, days, principal, place):
    charge = late.late_charge(jurisdiction=place, principal_minor=principal, due_on=due, until=due + timedelta(days=days))
    daily = sum((D(principal) * late.rate_on(place, due + timedelta(days=n)).percent / 36_500 for n in range(1, days + 1)), D(0))
    assert abs(charge.interest_minor - daily) <= D("0.51")
    assert charge.days == days
