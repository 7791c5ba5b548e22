"""Codes of countries."""

from topline.kernel.countries import countries


def test_codes_are_those_of_countries_and_of_nothing_else():
    assert {"DE", "US", "XK", "GB"} <= countries() and len(countries()) in range(240, 280)
    assert not {"XX", "ZZ", "EU", "de", "001"} & countries()
