"""The quote of a renewal: what a contract bills to its end, offered again from that day on at the prices of the list or raised by an index."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from topline.catalog import queries as catalog
from topline.contracts import pricing
from topline.contracts.models import Contract, Item
from topline.engine import periods
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.leads.queries import first_stage
from topline.pipeline import actions as pipeline
from topline.pipeline.models import Opportunity, Rep, Stage
from topline.quotes import actions as quotes
from topline.quotes.models import Quote

PPM = 1_000_000
SOURCE = "Renewal"  # by which reports tell renewals from new business


class NotQuotable(Conflict):
    """Something that the contract bills cannot be offered by a quote."""

    code = "not_quotable"


@action("contracts.quote_renewal")
def quote_renewal(*, actor: Actor, contract_id: int, on: date, uplift_ppm: int | None = None) -> int:
    """Write the quote that offers a contract again from its end on; returns the draft's id, ready to be looked at and sent.

    uplift_ppm  what the prices of today's items rise by, in millionths; None: the list prices of the day on which the contract ends
    on          the day on which it is written
    A deal of the source Renewal is opened for it, or the open one gone on with: an earlier draft is written anew, of a quote that was sent the next version begun.
    A price raised by a share is offered as list price less a discount, to a millionth of the list. Its discounts are not offered again.
    Raises: NotFound, NotQuotable (no end, no product, by use or tiers, different periods, a price above the list), and what deals and quotes refuse.
    """
    contract = Contract.objects.select_related("customer").filter(pk=contract_id).first()
    if contract is None:
        raise NotFound(f"There is no contract {contract_id}.", field="contract_id")
    if contract.ends_on is None or contract.ends_on <= on:
        raise NotQuotable(f"{contract.number} does not end after {on}.", field="contract_id", remedy="Amend it instead.")
    ensure(uplift_ppm is None or uplift_ppm > -PPM, Invalid("A price does not fall by all of it.", field="uplift_ppm"))
    months = contract.renews_months or 12
    every, rows = _lines(contract, contract.ends_on, months, uplift_ppm)
    deal = _deal(actor, contract, on)
    before = Quote.objects.filter(opportunity_id=deal, state__in=[Quote.State.DRAFT, Quote.State.SENT]).order_by("-id").first()
    made = quotes.write_quote(
        actor=actor, opportunity_id=deal, lines=pl.DataFrame(rows), on=contract.ends_on, starts_on=contract.ends_on, valid_until=contract.ends_on, months=months, terms=contract.terms, bill_every=every,
        note=f"Renewal of {contract.number}", quote_id=before.pk if before else None,
    )  # fmt: skip
    changed("contract", contract.pk, after={"quoted_as": made, "uplift_ppm": uplift_ppm})
    return made


# --- parts ---
def _lines(contract: Contract, ends_on: date, months: int, uplift_ppm: int | None) -> tuple[str, list[dict[str, Any]]]:
    """How often the quote bills, and its lines. Raises: NotQuotable."""
    ours = [
        i
        for i in contract.items.select_related("product").order_by("id")
        if i.ends_on in (None, ends_on) and i.starts_on < ends_on
    ]
    ours = [i for i in ours if i.unit != "day"]  # what is sold once is not sold again
    ensure(bool(ours), NotQuotable(f"{contract.number} bills nothing by periods to its end.", field="contract_id"))
    every = ours[0].unit
    for item in ours:
        plain = (
            item.meter_id is None and item.price_model == "per_unit" and item.included_micro is None and pricing.is_priced(item)
        )
        ensure(item.product_id is not None and plain, NotQuotable(f"{item.description} cannot be quoted: a quote offers products of the catalog at a price a unit.", field="contract_id", remedy="Renew by an amendment."))  # fmt: skip
        fits = item.unit == every and item.every == 1 and every in periods.MONTHS and months % periods.MONTHS[every] == 0
        ensure(fits, NotQuotable("A quote bills all its lines by the same month, quarter or year.", field="contract_id", remedy="Renew by an amendment."))  # fmt: skip
    asked = pl.DataFrame({"product_id": [i.product_id for i in ours], "currency": contract.currency, "on": ends_on})
    listed = catalog.prices(asked)["unit_price_nano"].to_list()
    return every, [_line(i, price, months // periods.MONTHS[every], uplift_ppm) for i, price in zip(ours, listed, strict=True)]


def _line(item: Item, listed: int | None, count: int, uplift_ppm: int | None) -> dict[str, Any]:
    if not listed:
        raise NotQuotable(
            f"{item.description} has no list price on the day on which the contract ends.",
            field="contract_id",
            remedy="Add the price to the catalog.",
        )
    off = 0
    if uplift_ppm is not None:
        wanted = pricing.raised(vars(item), uplift_ppm)["unit_price_nano"]
        ensure(wanted <= listed, NotQuotable(f"{item.description} would cost more than the list price.", field="uplift_ppm", remedy="Quote the list prices, or renew by an amendment."))  # fmt: skip
        off = ((listed - wanted) * PPM + listed // 2) // listed
    return {
        "product_id": item.product_id,
        "description": item.description,
        "quantity_micro": item.quantity_micro,
        "periods": count,
        "manual_ppm": off,
    }


def _deal(actor: Actor, contract: Contract, on: date) -> int:
    """The open deal of the contract's renewal, or a new one of whoever owns the customer, else of its territory."""
    name = f"Renewal of {contract.number}"
    known = (
        Opportunity.objects.filter(customer_id=contract.customer_id, name=name, state=Stage.Kind.OPEN, is_withdrawn=False)
        .order_by("id")
        .first()
    )
    if known is not None:
        return known.pk
    rep = (
        Rep.objects.filter(member_id=contract.customer.owner_id, left_on__isnull=True).values_list("id", flat=True).first()
        if contract.customer.owner_id
        else None
    )
    row = {"ref": "1", "name": name, "customer_id": contract.customer_id, "rep_id": rep, "stage": first_stage(), "currency": contract.currency, "opened_on": on, "close_on": contract.ends_on, "source": SOURCE}  # fmt: skip
    frame = pl.DataFrame([row], schema_overrides={"rep_id": pl.Int64})
    found = pipeline.add_opportunities(actor=actor, entity_id=contract.entity_id, opportunities=frame, known_on=on)
    return int(found["opportunity_id"][0])
