"""What may be claimed on top of what is late: interest by the customer's contract, else by the law of the company's country.

Days that an interest note has claimed are not counted again, and the compensation went with the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from topline.billing import queries as documents
from topline.billing.models import Invoice
from topline.books import rates
from topline.books.models import Entity
from topline.collections.models import InterestClaim, ReferenceRate
from topline.engine import reference_rates
from topline.engine.late_payment import LateCharge, jurisdiction, late_charge
from topline.kernel import bulk
from topline.kernel.errors import NotFound
from topline.receivables import queries as receivables
from topline.receivables.models import Allocation

UNOWED = (Allocation.Kind.CREDIT_NOTE, Allocation.Kind.DISCOUNT)  # what these took off was not owed in the first place


@dataclass(frozen=True, slots=True)
class Unknown:
    """A half-year whose reference rate nobody has told: whose rate it is, and its first day."""

    name: str
    jurisdiction: str
    first_on: date

    @property
    def words(self) -> str:
        """As a sentence."""
        return f"No published rate is known for {self.name} from {self.first_on:%-d %b %Y}."


def own_rates(law: str) -> dict[reference_rates.Half, Decimal]:
    """Reference rates that the company wrote down for a jurisdiction, percent by half-year; the newest word counts. One statement."""
    table = reference_rates.law_of(law).table
    rows = ReferenceRate.objects.filter(jurisdiction=table).order_by("id").values_list("valid_from", "rate_ppm")[:1_000]
    return {reference_rates.half_of(since): Decimal(ppm).scaleb(-4) for since, ppm in rows}


def claimed(invoice_ids: Sequence[int]) -> dict[tuple[int, date], date]:
    """The last day whose interest was claimed, by invoice and due day of the part; voided notes claim nothing. One statement for each 900."""
    last: dict[tuple[int, date], date] = {}
    ids = sorted(set(invoice_ids))
    for start in range(0, len(ids), bulk.FEW):
        rows = InterestClaim.objects.filter(invoice_id__in=ids[start : start + bulk.FEW], is_standing=True)
        standing = rows.exclude(document__state=Invoice.State.VOID)
        for invoice_id, due_on, until in standing.values_list("invoice_id", "due_on", "until"):
            last[invoice_id, due_on] = max(until, last.get((invoice_id, due_on), until))
    return last


def unknown(entity: Entity, charge: LateCharge | None) -> Unknown | None:
    """Whose rate is missing for the days of a charge; None where all are known."""
    if charge is None or charge.unknown_from is None:
        return None
    law = reference_rates.law_of(jurisdiction(entity.country))
    return Unknown(law.name, law.table, reference_rates.first_day(reference_rates.half_of(charge.unknown_from)))


def charges(items: Sequence[dict[str, Any]], *, entity: Entity, as_of: date, contract_bps: int | None) -> list[LateCharge | None]:
    """Interest until a day on what is late, parts that were paid late counted until they came; None where no table or contract says.

    items         one per open part of a document: invoice_id, currency, due_on, open_minor; optional kind (interest bears no interest),
                  until (the day to which it is counted, where not as_of)
    contract_bps  the yearly rate of the customer's contract; it takes the place of the law's rate and of its compensation
    Work: four statements.
    """
    law = jurisdiction(entity.country)
    if not law and contract_bps is None:
        return [None] * len(items)
    contract = None if contract_bps is None else Decimal(contract_bps).scaleb(-2)
    own = own_rates(law) if law and contract is None else {}
    rows = [i["invoice_id"] for i in items]
    last = claimed(rows)
    in_parts = set(documents.instalments_of(rows, entity_id=entity.pk)["invoice_id"])
    parts: dict[int, list[tuple[date, int]]] = {}
    for a in receivables.standing_allocations(invoice_ids=rows).to_dicts():
        if a["effective_on"] <= as_of and a["kind"] not in UNOWED:
            parts.setdefault(a["invoice_id"], []).append((a["effective_on"], a["amount_minor"]))
    found: list[LateCharge | None] = []
    for i in items:
        until, before = i.get("until", as_of), last.get((i["invoice_id"], i["due_on"]))
        start = max(i["due_on"], before) if before else i["due_on"]
        alone = i["invoice_id"] not in in_parts  # of an instalment only what is still open bears interest here
        paid = [(on, amount) for on, amount in parts.get(i["invoice_id"], []) if on > start] if alone else []
        principal = i["open_minor"] + sum(amount for _, amount in paid)
        if i.get("kind") == Invoice.Kind.INTEREST or until <= i["due_on"] or i["open_minor"] < 0 or principal <= 0:
            found.append(None)
            continue
        try:
            charge = late_charge(
                jurisdiction=law, principal_minor=principal, due_on=i["due_on"], until=until, contract_percent=contract, paid=paid, claimed_until=before, own=own
            )  # fmt: skip
        except NotFound:  # older than anything known
            found.append(None)
            continue
        fixed = _in_its_currency(charge.compensation_minor, law, i) if charge.compensation_minor else 0
        found.append(replace(charge, compensation_minor=fixed))
    return found


def _in_its_currency(fixed_minor: int, law: str, item: dict[str, Any]) -> int:
    """The fixed sum in the currency of a document: as the rule states it, its worth on the due day in the country's own, else nothing."""
    rule = reference_rates.law_of(law)
    if item["currency"] == rule.fixed_in:
        return fixed_minor
    if item["currency"] != rule.currency:
        return 0
    stated = pl.DataFrame({"currency": [rule.fixed_in], "amount_minor": [fixed_minor], "on": [item["due_on"]]})
    return int(rates.convert(stated, to=rule.currency)["converted_minor"][0])
