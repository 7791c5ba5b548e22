"""What may be claimed on top of what is late: interest by the customer's contract, else by the law of the company's country."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from topline.books.models import Entity
from topline.engine.late_payment import LateCharge, jurisdiction, late_charge
from topline.kernel.errors import NotFound
from topline.receivables import queries as receivables

COMPENSATED = {"EU": "EUR", "UK": "GBP"}  # the fixed sum is stated in this currency


def charges(items: Sequence[dict[str, Any]], *, entity: Entity, as_of: date, contract_bps: int | None) -> list[LateCharge | None]:
    """Interest until a day on what is late, parts that were paid late counted until they came; None where no table or contract says.

    items         one per open part of a document: invoice_id, currency, due_on, open_minor
    contract_bps  the yearly rate of the customer's contract; it takes the place of the law's rate and of its compensation
    Work: one statement.
    """
    law = jurisdiction(entity.country)
    if not law and contract_bps is None:
        return [None] * len(items)
    contract = None if contract_bps is None else Decimal(contract_bps).scaleb(-2)
    parts: dict[int, list[tuple[date, int]]] = {}
    for a in receivables.standing_allocations(invoice_ids=[i["invoice_id"] for i in items]).to_dicts():
        if a["effective_on"] <= as_of:
            parts.setdefault(a["invoice_id"], []).append((a["effective_on"], a["amount_minor"]))
    rows = [i["invoice_id"] for i in items]
    found: list[LateCharge | None] = []
    for i in items:
        alone = rows.count(i["invoice_id"]) == 1  # of an invoice in instalments only what is still open bears interest here
        paid = [(on, amount) for on, amount in parts.get(i["invoice_id"], []) if on > i["due_on"]] if alone else []
        is_late = i["due_on"] < as_of and i["open_minor"] > 0
        found.append(_charge(law, i, as_of, paid, contract) if is_late else None)
    return found


def _charge(
    law: str, item: dict[str, Any], as_of: date, paid: list[tuple[date, int]], contract: Decimal | None
) -> LateCharge | None:
    try:
        charge = late_charge(
            jurisdiction=law,
            principal_minor=item["open_minor"] + sum(a for _, a in paid),
            due_on=item["due_on"],
            until=as_of,
            contract_percent=contract,
            paid=paid,
        )
    except NotFound:  # older than the tables
        return None
    in_its_currency = item["currency"] == COMPENSATED["UK" if law == "UK" else "EU"]
    return charge if in_its_currency else LateCharge(charge.days, charge.interest_minor, 0, charge.spans)
