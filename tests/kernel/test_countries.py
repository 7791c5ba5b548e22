"""Codes of countries."""

import pytest

from topline.kernel.countries import countries, ensure_countries
from topline.kernel.errors import Invalid


def test_codes_are_those_of_countries_and_of_nothing_else():
    assert {"DE", "US", "XK", "GB"} <= countries() and len(countries()) in range(240, 280)
    assert not {"XX", "ZZ", "EU", "de", "001"} & countries()


@pytest.mark.parametrize("code", ["XX", "D", "GER", "001", "EU"])
def test_what_is_no_country_is_refused_by_its_name(code):
    ensure_countries(["DE", "de", ""])
    with pytest.raises(Invalid, match=f"West: {code} is no country code") as told:
        ensure_countries(["DE", code], field="countries", of="West: ")
    assert told.value.field == "countries"
