"""Around the demo company's deals: who at the customer plays which part, who else wants them, and whose territory is what."""

from __future__ import annotations

import random

from topline.kernel.actor import Actor
from topline.market.models import Competitor, Contact
from topline.pipeline import around, territories
from topline.pipeline.models import DealContact, Opportunity, Rep

MET = 0.4  # share of deals that a competitor wants too


def play(*, actor: Actor, seed: int) -> None:
    """Open deals and those that were decided. The same seed gives the same answers."""
    dice = random.Random(seed)  # noqa: S311  (a play, not a secret)
    rivals = list(Competitor.objects.order_by("id").values_list("id", "name"))
    by_name = {name: pk for pk, name in rivals}
    people = dict(Contact.objects.order_by("-id").values_list("customer_id", "id"))
    for deal in Opportunity.objects.filter(customer__isnull=False).order_by("-id")[:500]:
        met = [by_name[deal.competitor]] if deal.competitor in by_name else []
        if dice.random() < MET:
            met.append(dice.choice(rivals)[0])
        if met:
            around.set_deal_competitors(actor=actor, opportunity_id=deal.pk, competitor_ids=met)
        if deal.state == "open" and deal.customer_id in people:
            role = dice.choice([DealContact.Role.BUYS, DealContact.Role.CHAMPION, DealContact.Role.DECIDES])
            around.set_deal_contact(actor=actor, opportunity_id=deal.pk, contact_id=people[deal.customer_id], role=role)
    sellers = list(Rep.objects.filter(left_on__isnull=True, manager__isnull=False).order_by("id").values_list("id", flat=True))
    territories.set_territories(
        actor=actor,
        territories=[
            {"name": "Enterprise", "segments": ["Enterprise"], "rep_ids": sellers[:1]},
            {"name": "Austria and the Netherlands", "countries": ["AT", "NL"], "rep_ids": sellers[1:2]},
            {"name": "Everybody else", "rep_ids": sellers[2:] or sellers[:1]},
        ],
    )
