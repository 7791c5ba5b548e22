"""When a declined charge is tried again: soft declines after some days, hard ones never. The rules are data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

# Codes after which the same card or account will not pay, whatever the day: it is gone, barred or withdrawn.
HARD = frozenset(
    {
        "account_closed", "authentication_required", "bank_account_closed", "card_not_supported", "debit_not_authorized", "expired_card", "fraudulent", "incorrect_number",
        "invalid_account", "invalid_number", "lost_card", "mandate_invalid", "no_account", "pickup_card", "restricted_card", "revocation_of_authorization", "stolen_card",
        "stop_payment_order",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Policy:
    """Days from one try to the next; as many tries more as there are days."""

    days: tuple[int, ...] = (1, 3, 5, 7)


def is_hard(code: str) -> bool:
    """Whether a decline will not go away by itself."""
    return code in HARD


def next_try(code: str, *, tries: int, on: date, policy: Policy | None = None) -> date | None:
    """The day of the next try after a decline; None where it is hard, or where all tries are used.

    tries  how many there have been, this one among them
    """
    days = (policy or Policy()).days
    if is_hard(code) or tries > len(days):
        return None
    return on + timedelta(days=days[tries - 1])
