"""Whether a customer may agree to more."""

from __future__ import annotations

from topline.kernel.errors import Conflict, ensure
from topline.market.models import Customer


class CustomerOnHold(Conflict):
    """The customer gets no more credit for now."""

    code = "customer_on_hold"


def ensure_credit(customer: Customer) -> None:
    """Refuse what is new for a customer on hold; what runs is billed as before. Raises: CustomerOnHold."""
    ensure(
        not customer.is_on_hold,
        CustomerOnHold(
            f"{customer.name} is on credit hold: nothing new is agreed on credit.", field="customer_id",
            remedy="Release the hold on the customer's page in Collections first; what runs is billed as before.",
        ),
    )  # fmt: skip
