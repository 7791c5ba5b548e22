"""What stands around a deal: what it is about, the people of the customer with the role they play, and the competitors who want it too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from topline.catalog.models import Product
from topline.kernel import clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid, NotFound, ensure
from topline.market.models import Competitor, Contact
from topline.pipeline.actions import ensure_mine, open_deal
from topline.pipeline.models import DealCompetitor, DealContact, Opportunity, OpportunityChange, OpportunityLine

MAX_PEOPLE, MAX_RIVALS, MAX_LINES = 50, 20, 60


@action("pipeline.set_deal_contact")
def set_deal_contact(*, actor: Actor, opportunity_id: int, contact_id: int, role: str) -> int:
    """Say which role a person of the customer plays in a deal; another role replaces the one before. Returns the deal's id.

    role  one of DealContact.Role; empty: the person has nothing to do with it any more
    Raises: NotFound, NotYourDeal, Invalid (unknown role, a person of another customer, more than fifty).
    """
    deal = _deal(actor, opportunity_id)
    ensure(role in {"", *DealContact.Role.values}, Invalid(f"There is no role {role!r}.", field="role", remedy=f"Use one of {', '.join(DealContact.Role.values)}."))  # fmt: skip
    known = Contact.objects.filter(pk=contact_id, customer_id=deal.customer_id).first() if deal.customer_id else None
    ensure(known is not None, Invalid("This person is not with the customer of the deal.", field="contact_id", remedy="Add the person on the customer's page."))  # fmt: skip
    standing = DealContact.objects.filter(opportunity=deal)
    before = standing.filter(contact_id=contact_id).values_list("role", flat=True).first()
    if role == "":
        standing.filter(contact_id=contact_id).delete()
    else:
        ensure(before is not None or standing.count() < MAX_PEOPLE, Invalid(f"A deal has at most {MAX_PEOPLE} people.", field="contact_id"))  # fmt: skip
        DealContact.objects.update_or_create(opportunity=deal, contact_id=contact_id, defaults={"role": role})
    changed("opportunity", deal.pk, before={"contact": contact_id, "role": before}, after={"contact": contact_id, "role": role})
    return deal.pk


@action("pipeline.set_deal_competitors")
def set_deal_competitors(*, actor: Actor, opportunity_id: int, competitor_ids: Sequence[int]) -> int:
    """Say who else wants a deal, all of them; returns the deal's id. Raises: NotFound, NotYourDeal, Invalid (unknown, more than twenty)."""
    deal = _deal(actor, opportunity_id)
    wanted = sorted(set(competitor_ids))
    ensure(len(wanted) <= MAX_RIVALS, Invalid(f"A deal has at most {MAX_RIVALS} competitors.", field="competitor_ids"))
    known = set(Competitor.objects.filter(pk__in=wanted).values_list("id", flat=True))
    ensure(known == set(wanted), Invalid("There is no such competitor.", field="competitor_ids", remedy="Add it under Market."))
    before = sorted(DealCompetitor.objects.filter(opportunity=deal).values_list("competitor_id", flat=True))
    DealCompetitor.objects.filter(opportunity=deal).exclude(competitor_id__in=wanted).delete()
    DealCompetitor.objects.bulk_create([DealCompetitor(opportunity=deal, competitor_id=pk) for pk in wanted if pk not in before])
    changed("opportunity", deal.pk, before={"competitors": before}, after={"competitors": wanted})
    return deal.pk


@action("pipeline.set_deal_lines")
def set_deal_lines(*, actor: Actor, opportunity_id: int, lines: Sequence[tuple[int, int]], on: date) -> int:
    """Say what an open deal is about, all of it; a day before still knows what it was about then. Returns the deal's id.

    lines  product's id and quantity in millionths
    Raises: NotFound, NotYourDeal, OpportunityClosed, ChangeOutOfOrder, Invalid (unknown product, quantity of zero or less, more than sixty).
    """
    deal = open_deal(actor, opportunity_id, on)
    ensure(len(lines) <= MAX_LINES, Invalid(f"A deal has at most {MAX_LINES} lines.", field="lines", remedy="Put some together."))
    ensure(all(quantity > 0 for _, quantity in lines), Invalid("A quantity is above zero.", field="lines", remedy="Correct it, or leave the line out."))  # fmt: skip
    names = dict(Product.objects.filter(pk__in={product for product, _ in lines}).values_list("id", "name"))
    ensure(all(product in names for product, _ in lines), Invalid("There is no such product.", field="lines", remedy="Add it to the catalog."))  # fmt: skip
    standing = list(deal.lines.filter(removed_on__isnull=True).select_related("product").order_by("id"))
    before = [(line.product.name, line.quantity_micro) for line in standing]
    new = list(lines)
    for line in standing:
        if (line.product_id, line.quantity_micro) in new:
            new.remove((line.product_id, line.quantity_micro))
        elif line.added_on == on:
            line.delete()
        else:
            line.removed_on = on
            line.save(update_fields=["removed_on"])
    OpportunityLine.objects.bulk_create(OpportunityLine(opportunity=deal, product_id=product, quantity_micro=quantity, added_on=on) for product, quantity in new)  # fmt: skip
    was, now = (", ".join(f"{Decimal(quantity).scaleb(-6).normalize():f} {name}" for name, quantity in told)[:300] for told in (before, [(names[p], q) for p, q in lines]))  # fmt: skip
    if was != now:
        OpportunityChange.objects.create(opportunity=deal, field="lines", before=was, after=now, effective_on=on, recorded_at=clock.now(), actor_key=actor.key)  # fmt: skip
        changed("opportunity", deal.pk, before={"lines": was}, after={"lines": now})
    return deal.pk


def contact_roles(opportunity_id: int) -> list[DealContact]:
    """The people of a deal with their roles."""
    return list(
        DealContact.objects.filter(opportunity_id=opportunity_id).select_related("contact").order_by("role", "id")[:MAX_PEOPLE]
    )


def rivals(opportunity_id: int) -> list[DealCompetitor]:
    """The competitors of a deal."""
    return list(DealCompetitor.objects.filter(opportunity_id=opportunity_id).select_related("competitor").order_by("competitor__name")[:MAX_RIVALS])  # fmt: skip


def _deal(actor: Actor, opportunity_id: int) -> Opportunity:
    deal = Opportunity.objects.select_for_update().filter(pk=opportunity_id, is_withdrawn=False).first()
    if deal is None:
        raise NotFound(f"There is no deal {opportunity_id}.", field="opportunity_id")
    ensure_mine(actor, deal)
    return deal
