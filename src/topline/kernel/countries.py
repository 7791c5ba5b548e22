"""Countries by their codes of two letters (ISO 3166-1), as Unicode's CLDR lists them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from babel import Locale

from topline.kernel.errors import Invalid

_NO_COUNTRIES = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})  # regions and placeholders among CLDR's territories


@cache
def countries() -> frozenset[str]:
    """Every code; Kosovo's XK among them, which trade uses."""
    codes = {str(code) for code in Locale.parse("en").territories}
    codes = {code for code in codes if len(code) == 2 and code.isalpha()}
    return frozenset(codes - _NO_COUNTRIES)


def ensure_countries(codes: Iterable[str], *, field: str = "country", of: str = "") -> None:
    """Refuse what is no country's code; capitals do not matter, and an empty one says nothing. of: what names it, before the sentence. Raises: Invalid."""
    for code in codes:
        if code and code.upper() not in countries():
            raise Invalid(f"{of}{code} is no country code.", field=field, remedy="Use two letters, such as DE.")
