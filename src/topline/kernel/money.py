"""Money: integer minor units with an ISO 4217 currency. Never a float.

Rounding happens once, at the edge where an exact figure becomes money, and its mode has a name. Splits use the
largest remainder, so that parts always add up to the whole.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, assert_never

from topline.kernel.errors import Invalid

Rounding = Literal["half_away", "half_even", "half_down", "away", "toward_zero", "up", "down"]

# ISO 4217 list one, active codes (2026); the default exponent is 2, the others are named below.
_CODES = frozenset(
    [
        "AED",
        "AFN",
        "ALL",
        "AMD",
        "AOA",
        "ARS",
        "AUD",
        "AWG",
        "AZN",
        "BAM",
        "BBD",
        "BDT",
        "BHD",
        "BIF",
        "BMD",
        "BND",
        "BOB",
        "BOV",
        "BRL",
        "BSD",
        "BTN",
        "BWP",
        "BYN",
        "BZD",
        "CAD",
        "CDF",
        "CHE",
        "CHF",
        "CHW",
        "CLF",
        "CLP",
        "CNY",
        "COP",
        "COU",
        "CRC",
        "CUP",
        "CVE",
        "CZK",
        "DJF",
        "DKK",
        "DOP",
        "DZD",
        "EGP",
        "ERN",
        "ETB",
        "EUR",
        "FJD",
        "FKP",
        "GBP",
        "GEL",
        "GHS",
        "GIP",
        "GMD",
        "GNF",
        "GTQ",
        "GYD",
        "HKD",
        "HNL",
        "HTG",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "IQD",
        "IRR",
        "ISK",
        "JMD",
        "JOD",
        "JPY",
        "KES",
        "KGS",
        "KHR",
        "KMF",
        "KPW",
        "KRW",
        "KWD",
        "KYD",
        "KZT",
        "LAK",
        "LBP",
        "LKR",
        "LRD",
        "LSL",
        "LYD",
        "MAD",
        "MDL",
        "MGA",
        "MKD",
        "MMK",
        "MNT",
        "MOP",
        "MRU",
        "MUR",
        "MVR",
        "MWK",
        "MXN",
        "MXV",
        "MYR",
        "MZN",
        "NAD",
        "NGN",
        "NIO",
        "NOK",
        "NPR",
        "NZD",
        "OMR",
        "PAB",
        "PEN",
        "PGK",
        "PHP",
        "PKR",
        "PLN",
        "PYG",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "RWF",
        "SAR",
        "SBD",
        "SCR",
        "SDG",
        "SEK",
        "SGD",
        "SHP",
        "SLE",
        "SOS",
        "SRD",
        "SSP",
        "STN",
        "SVC",
        "SYP",
        "SZL",
        "THB",
        "TJS",
        "TMT",
        "TND",
        "TOP",
        "TRY",
        "TTD",
        "TWD",
        "TZS",
        "UAH",
        "UGX",
        "USD",
        "USN",
        "UYI",
        "UYU",
        "UYW",
        "UZS",
        "VED",
        "VES",
        "VND",
        "VUV",
        "WST",
        "XAF",
        "XCD",
        "XCG",
        "XOF",
        "XPF",
        "YER",
        "ZAR",
        "ZMW",
        "ZWG",
    ]
)
# Withdrawn codes that real books still hold: read, never offered.
_HISTORIC = frozenset(
    [
        "ATS",
        "BEF",
        "BGN",
        "CYP",
        "DEM",
        "EEK",
        "ESP",
        "FIM",
        "FRF",
        "GRD",
        "HRK",
        "IEP",
        "ITL",
        "LTL",
        "LUF",
        "LVL",
        "MTL",
        "NLG",
        "PTE",
        "ROL",
        "SIT",
        "SKK",
        "TRL",
        "ANG",
        "SLL",
    ]
)
_EXPONENTS = (
    dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
            "ITL",
            "ESP",
            "BEF",
            "LUF",
            "PTE",
            "GRD",
            "ROL",
            "TRL",
        ],
        0,
    )
    | dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3)
    | dict.fromkeys(["CLF", "UYW"], 4)
)
_MODES: dict[Rounding, str] = {
    "half_away": decimal.ROUND_HALF_UP,
    "half_even": decimal.ROUND_HALF_EVEN,
    "half_down": decimal.ROUND_HALF_DOWN,
    "away": decimal.ROUND_UP,
    "toward_zero": decimal.ROUND_DOWN,
    "up": decimal.ROUND_CEILING,
    "down": decimal.ROUND_FLOOR,
}
MAX_MINOR = 2**63 - 1
EXACT = decimal.Context(prec=60)


def currencies() -> list[str]:
    """The active ISO 4217 codes, sorted."""
    return sorted(_CODES)


def ensure_currency(code: str, *, field: str = "currency") -> str:
    """The code itself if ISO 4217 knows it (withdrawn European codes included), else Invalid."""
    if code not in _CODES and code not in _HISTORIC:
        raise Invalid(f"{code!r} is not an ISO 4217 currency code.", field=field, remedy="Use three capital letters such as EUR.")
    return code


def exponent(currency: str) -> int:
    """Decimals of the minor unit: EUR 2, JPY 0, KWD 3."""
    return _EXPONENTS.get(ensure_currency(currency), 2)


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in minor units of one currency; adding two currencies is refused."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        ensure_currency(self.currency)

    def __add__(self, other: Money) -> Money:
        return Money(self.amount_minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.amount_minor - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount_minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.amount_minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.amount_minor <= self._same(other)

    def __bool__(self) -> bool:
        return self.amount_minor != 0

    def __str__(self) -> str:
        return f"{format_amount(self.amount_minor, self.currency)} {self.currency}"

    @property
    def major(self) -> Decimal:
        """The amount in major units, exact."""
        return to_major(self.amount_minor, self.currency)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise Invalid(
                f"{self.currency} and {other.currency} cannot be added or compared.",
                field="currency",
                remedy="Convert at a dated rate first.",
            )
        return other.amount_minor


def round_minor(exact_minor: Decimal, mode: Rounding = "half_away") -> int:
    """An exact number of minor units, rounded once to a whole one.

    Raises: Invalid beyond 64 bits.
    """
    whole = int(exact_minor.quantize(Decimal(1), rounding=_MODES[mode], context=EXACT))
    if abs(whole) > MAX_MINOR:
        raise Invalid(f"{exact_minor} minor units are too large to book.", field="amount", remedy="Check quantity and price.")
    return whole


def round_to_step(value: Decimal, step: Decimal, mode: Rounding = "half_even") -> Decimal:
    """The multiple of `step` nearest to `value`; a step need not be a power of ten (0.02, 0.05)."""
    if step <= 0:
        raise Invalid("A rounding step must be positive.", field="step")
    return EXACT.divide(value, step).quantize(Decimal(1), rounding=_MODES[mode], context=EXACT) * step


def to_minor(major: Decimal, currency: str, *, field: str = "amount") -> int:
    """Major units to minor units, exactly: more decimals than the currency has are refused, never rounded away.

    Raises: Invalid.
    """
    scaled = EXACT.multiply(major, Decimal(10) ** exponent(currency))
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise Invalid(
            f"{major} has more decimals than {currency} allows ({exponent(currency)}).",
            field=field,
            remedy="Round the amount at its source.",
        )
    if abs(scaled) > MAX_MINOR:
        raise Invalid(f"{major} {currency} is too large to book.", field=field, remedy="Check the decimal mark.")
    return int(scaled)


def to_major(amount_minor: int, currency: str) -> Decimal:
    """Minor units to major units, exact."""
    return Decimal(amount_minor).scaleb(-exponent(currency), context=EXACT)


def parse_amount(text: str, currency: str, *, decimal_mark: Literal[".", ","] = ".", field: str = "amount") -> int:
    """Minor units of an amount as a person or a file writes it; grouping must be in threes and never look like decimals.

    Accepts `1234.5`, `1,234.50`, `1'234.50`, `1 234,50` (decimal_mark ','), `-12`, `(12.00)`, `12.00-`.
    Raises: Invalid, naming what is wrong.
    """
    raw = text.strip().replace("\u00a0", " ").replace("\u202f", " ").replace("’", "'").replace("\u2212", "-")
    body, negative = raw, False
    if body.startswith("(") and body.endswith(")"):
        body, negative = body[1:-1].strip(), True
    elif body.endswith("-"):
        body, negative = body[:-1].strip(), True
    elif body[:1] in ("+", "-"):
        body, negative = body[1:].strip(), body[0] == "-"
    other = "," if decimal_mark == "." else "."
    whole, mark, fraction = body.partition(decimal_mark)
    grouped = re.fullmatch(rf"\d{{1,3}}(?:[{re.escape(other)}' ]\d{{3}})+|\d+", whole, re.ASCII) or (not whole and fraction)
    if not grouped or (mark and not re.fullmatch(r"\d*", fraction, re.ASCII)):
        raise Invalid(
            f"{text.strip()!r} is not an amount with {decimal_mark!r} as decimal mark.",
            field=field,
            remedy=f"Write it as 1234{decimal_mark}56, without a currency.",
        )
    digits = re.sub(r"[^0-9]", "", whole) or "0"
    major = Decimal(f"{digits}.{fraction or '0'}")
    return to_minor(-major if negative else major, currency, field=field)


def format_amount(amount_minor: int, currency: str, *, group: str = ",", decimal_mark: str = ".") -> str:
    """`1,234.50`: digits grouped in threes, as many decimals as the currency has, minus sign in front."""
    places = exponent(currency)
    digits = str(abs(amount_minor)).rjust(places + 1, "0")
    whole, fraction = (digits[:-places], digits[-places:]) if places else (digits, "")
    grouped = f"{int(whole):,}".replace(",", group)
    return ("-" if amount_minor < 0 else "") + grouped + (decimal_mark + fraction if fraction else "")


def split(total_minor: int, weights: Sequence[int | Decimal]) -> list[int]:
    """Share a total by weights so that the parts add up exactly (largest remainder; ties go to the earlier part).

    A zero weight never receives a cent. Parts carry the sign of the total. Work: O(n log n).
    Raises: Invalid for negative weights or when all are zero while the total is not.
    """
    exact = [Decimal(w) for w in weights]
    whole = sum(exact, Decimal(0))
    if any(w < 0 for w in exact) or (whole == 0 and total_minor):
        raise Invalid("Weights must be zero or more and not all zero.", field="weights")
    if whole == 0:
        return [0] * len(exact)
    sign = -1 if total_minor < 0 else 1
    shares = [EXACT.divide(EXACT.multiply(Decimal(abs(total_minor)), w), whole) for w in exact]
    parts = [int(s) for s in shares]
    order = sorted((i for i, w in enumerate(exact) if w), key=lambda i: (parts[i] - shares[i], i))
    for i in order[: abs(total_minor) - sum(parts)]:
        parts[i] += 1
    return [sign * part for part in parts]


def split_evenly(total_minor: int, parts: int, *, odd_cent: Literal["first", "last"] = "first") -> list[int]:
    """Equal parts; the cents left over go one each to the first parts, or all to the last (instalment plans)."""
    if parts < 1:
        raise Invalid("At least one part is needed.", field="parts")
    match odd_cent:
        case "first":
            return split(total_minor, [1] * parts)
        case "last":
            each = int(Decimal(total_minor) / parts)
            return [each] * (parts - 1) + [total_minor - each * (parts - 1)]
        case _:
            assert_never(odd_cent)
