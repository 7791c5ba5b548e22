"""When an option cannot apply to a debt: one plain function, a reason or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FACTOR_DAYS, AGENCY_DAYS, WRITE_OFF_DAYS = 90, 60, 180


@dataclass(frozen=True, slots=True)
class Debt:
    """What the documents tell of a debt, in the currency of the company: overdue_days of its oldest invoice, below zero: not due.

    tax_share  of the debt that is value added tax; late_charge_minor: interest and compensation up to today
    jurisdiction   by whose rule: the law of a country, or "contract"; empty where no rate is known
    """

    amount_minor: int
    disputed_minor: int
    overdue_days: int
    tax_share: float
    late_charge_minor: int
    jurisdiction: str
    is_planned: bool
    is_on_hold: bool
    customer_country: str


def why_not(key: str, debt: Debt, facts: Mapping[str, bool]) -> str:
    """Why an option cannot apply to a debt, as a sentence; empty when it can."""
    disputed, late = debt.disputed_minor > 0, debt.overdue_days
    reasons = {
        "split": (not disputed, "Nothing is disputed."),
        "plan": (debt.is_planned, "An invoice stands under a payment plan already."),
        "hold": (debt.is_on_hold or not facts["has_hold_clause"],
                 "The customer is on hold already." if debt.is_on_hold else "The contract has no clause that lets us suspend (say so under facts if it has)."),
        "interest": (late <= 0 or not debt.jurisdiction, "Nothing is past due." if late <= 0 else "No statutory rate is known for the company's country, and the customer's contract states none."),
        "assurance": (not facts["is_goods"], "It is for goods sold under United States law."),
        "factoring": (disputed or late > FACTOR_DAYS or facts["is_insolvent"],
                      "Factors do not buy what is disputed." if disputed else "Factors do not buy from a debtor who cannot pay." if facts["is_insolvent"]
                      else f"Factors do not buy what is more than {FACTOR_DAYS} days late."),
        "agency": (disputed or late < AGENCY_DAYS, "Resolve the dispute first." if disputed else f"Too early: agencies come after {AGENCY_DAYS} days late."),
        "legal": (disputed or late <= 0 or facts["is_insolvent"],
                  "A suit needs an undisputed debt." if disputed else "Nothing is past due." if late <= 0 else "There is nothing to win from a debtor who cannot pay."),
        "insurance": (not facts["is_insured"], "No insurance covers this customer (say so under facts if one does)."),
        "write_off": (late < WRITE_OFF_DAYS and not facts["is_insolvent"], f"Too early: it is less than {WRITE_OFF_DAYS} days late and the customer is not insolvent."),
        **dict.fromkeys(("diagnose", "resend", "channel", "promise", "executive", "settlement"),
                        (facts["is_insolvent"], "The customer cannot pay.")),
    }  # fmt: skip
    applies_not, reason = reasons.get(key, (False, ""))
    return reason if applies_not else ""
