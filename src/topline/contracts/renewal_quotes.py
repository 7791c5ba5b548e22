"""The quote of a renewal: what a contract bills to its end, offered again from that day on at the prices of the list or raised by an index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import polars as pl
from django.db.models import Prefetch

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
    items = _to_its_end(contract, contract.items.select_related("product").order_by("id"))
    every, rows = _lines(contract, items, months, uplift_ppm, _listed(contract.currency, items, contract.ends_on))
    deal = _deal(actor, contract, on)
    before = Quote.objects.filter(opportunity_id=deal, state__in=[Quote.State.DRAFT, Quote.State.SENT]).order_by("-id").first()
    made = quotes.write_quote(
        actor=actor, opportunity_id=deal, lines=pl.DataFrame(rows), on=contract.ends_on, starts_on=contract.ends_on, valid_until=contract.ends_on, months=months, terms=contract.terms, bill_every=every,
        note=f"Renewal of {contract.number}", quote_id=before.pk if before else None,
    )  # fmt: skip
    changed("contract", contract.pk, after={"quoted_as": made, "uplift_ppm": uplift_ppm})
    return made


def refusals(contract_ids: list[int], *, uplifts: Sequence[int | None]) -> dict[tuple[int, int | None], str]:
    """Why the renewal of contracts cannot be quoted at prices, by contract and rise (None: the list prices); those that can are left out. Two statements, and one for each day on
    which some end."""
    found: dict[tuple[int, int | None], str] = {}
    contracts = Contract.objects.filter(pk__in=contract_ids, ends_on__isnull=False).prefetch_related(Prefetch("items", Item.objects.order_by("id")))  # fmt: skip
    ours = {c: _to_its_end(c, c.items.all()) for c in contracts}
    days = {(c.currency, c.ends_on) for c in ours if c.ends_on is not None}
    listed: dict[int, int | None] = {}
    for currency, day in sorted(days):
        listed |= _listed(currency, [i for c, items in ours.items() if (c.currency, c.ends_on) == (currency, day) for i in items], day)  # fmt: skip
    for contract, items in ours.items():
        for uplift_ppm in uplifts:
            try:
                _lines(contract, items, contract.renews_months or 12, uplift_ppm, listed)
            except NotQuotable as error:
                found[contract.pk, uplift_ppm] = error.message
    return found


# --- parts ---
def _to_its_end(contract: Contract, items: Iterable[Item]) -> list[Item]:
    """The items that a contract bills by periods to its end; what is sold once is not sold again."""
    ends_on = contract.ends_on
    return [i for i in items if ends_on is not None and i.ends_on in (None, ends_on) and i.starts_on < ends_on and i.unit != "day"]  # fmt: skip


def _listed(currency: str, items: Sequence[Item], on: date) -> dict[int, int | None]:
    """The list price of each item's product on a day, by item. One statement."""
    asked = pl.DataFrame({"product_id": [i.product_id for i in items]}, schema={"product_id": pl.Int64}).with_columns(currency=pl.lit(currency), on=pl.lit(on))  # fmt: skip
    return dict(zip([i.pk for i in items], catalog.prices(asked)["unit_price_nano"].to_list(), strict=True))


def _lines(
    contract: Contract, ours: Sequence[Item], months: int, uplift_ppm: int | None, listed: dict[int, int | None]
) -> tuple[str, list[dict[str, Any]]]:  # fmt: skip
    """How often the quote bills, and its lines. Raises: NotQuotable."""
    ensure(bool(ours), NotQuotable(f"{contract.number} bills nothing by periods to its end.", field="contract_id"))
    every = ours[0].unit
    for item in ours:
        plain = (
            item.meter_id is None and item.price_model == "per_unit" and item.included_micro is None and pricing.is_priced(item)
        )
        ensure(item.product_id is not None and plain, NotQuotable(f"{item.description} cannot be quoted: a quote offers products of the catalog at a price a unit.", field="contract_id", remedy="Renew by an amendment."))  # fmt: skip
        fits = item.unit == every and item.every == 1 and every in periods.MONTHS and months % periods.MONTHS[every] == 0
        ensure(fits, NotQuotable("A quote bills all its lines by the same month, quarter or year.", field="contract_id", remedy="Renew by an amendment."))  # fmt: skip
    return every, [_line(i, listed[i.pk], months // periods.MONTHS[every], uplift_ppm) for i in ours]


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
