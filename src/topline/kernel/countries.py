"""Countries by their codes of two letters (ISO 3166-1), as Unicode's CLDR lists them."""

from __future__ import annotations

from functools import cache

from babel import Locale

_NO_COUNTRIES = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})  # regions and placeholders among CLDR's territories


@cache
def countries() -> frozenset[str]:
    """Every code; Kosovo's XK among them, which trade uses."""
    codes = {str(code) for code in Locale.parse("en").territories}
    codes = {code for code in codes if len(code) == 2 and code.isalpha()}
    return frozenset(codes - _NO_COUNTRIES)
