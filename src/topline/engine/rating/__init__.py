"""Rating: what usage, seats and time cost, exactly, with the rows that made each amount.

Amounts are exact decimals of a minor unit (scale 15) until the one rounding that makes them money. Every function takes
columns and gives columns: one line and a million lines are the same call.
"""

from __future__ import annotations

from topline.engine.rating.discounts import apply_discounts, taxed
from topline.engine.rating.percentage import rate_percentage
from topline.engine.rating.prices import price_rows, tier_problems
from topline.engine.rating.tiers import AmountTooLarge, Rated, rate, rate_capacity, rate_movements

__all__ = [
    "AmountTooLarge",
    "Rated",
    "apply_discounts",
    "price_rows",
    "rate",
    "rate_capacity",
    "rate_movements",
    "rate_percentage",
    "taxed",
    "tier_problems",
]
