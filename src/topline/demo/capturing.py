"""A year and a half of leads of the demo company: where they came from, what that cost, and what became of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.leads import actions
from topline.pipeline.models import Opportunity, Rep

CAMPAIGNS = [  # code, name, channel, days before the end on which it began and ended, cost in cents
    ("FAIR-SPRING", "Spring fair", "Trade fair", 250, 245, 14_500_00), ("SEARCH", "Search advertising", "Online", 400, 0, 18_200_00),
    ("WEBINAR", "Webinar on cash forecasts", "Online", 120, 119, 1_900_00), ("PARTNER-DAY", "Partner day", "Partner", 60, 60, 3_400_00),
]  # fmt: skip
SOURCES = {
    "Referral": (0.55, ""),
    "Website": (0.22, "SEARCH"),
    "Trade fair": (0.15, "FAIR-SPRING"),
    "Partner": (0.4, "PARTNER-DAY"),
    "Outbound": (0.08, ""),
    "Webinar": (0.3, "WEBINAR"),
}  # chance, campaign
NO = ["No budget", "A student", "Too small for us", "Chose another", "Never answered"]
ASKED = ["Platform licence", "Analytics module", "Support plan", "Implementation"]
PEOPLE = ["Anna", "Jonas", "Mia", "Felix", "Lea", "Paul", "Emma", "Ben"]
FIRST, LAST = (
    ["Linden", "Berg", "See", "Feld", "Stern", "Wald", "Bach", "Heide"],
    ["werk", "bau", "logistik", "technik", "handel", "medien"],
)
LEADS, CONVERTED = 260, 6  # in all; those of the last days that became deals through the play's own hands


def play(*, actor: Actor, entity_id: int, seed: int, end: date) -> None:
    """Take leads in over five hundred days; most were decided long ago, the newest are open. The same seed gives the same leads."""
    dice = random.Random(seed)  # noqa: S311  (a play, not a secret)
    for code, name, channel, begun, ended, cost in CAMPAIGNS:
        actions.add_campaign(
            actor=actor, code=code, name=name, channel=channel, starts_on=end - timedelta(days=begun), ends_on=end - timedelta(days=ended), cost_minor=cost, currency="EUR"
        )  # fmt: skip
    sellers = list(Rep.objects.filter(left_on__isnull=True, manager__isnull=False).order_by("id").values_list("id", flat=True))
    rows = sorted((_lead(dice, sellers, end) for _ in range(LEADS)), key=lambda r: r["created_on"])
    made: list[int] = actions.add_leads(
        actor=actor, entity_id=entity_id, leads=pl.DataFrame(rows, infer_schema_length=None), on=end
    )["lead_id"].to_list()
    _decide(actor, dice, list(zip(made, rows, strict=True)), end)
    actions.score_leads(actor=actor, entity_id=entity_id, as_of=end)


def _lead(dice: random.Random, sellers: Sequence[int], end: date) -> dict[str, Any]:
    source = dice.choices(list(SOURCES), [5, 9, 4, 2, 6, 3])[0]
    company = f"{dice.choice(FIRST)}{dice.choice(LAST)} {dice.randrange(10, 99)} GmbH"
    person = dice.choice(PEOPLE)
    host = company.split(maxsplit=1)[0].lower()
    return {
        "company": company, "name": f"{person} {company[:4]}er", "email": f"{person.lower()}@{host}{company.split()[1]}.example" if dice.random() < 0.8 else f"{person.lower()}.{host}@gmail.com",
        "phone": "+49 30 555 01" if dice.random() < 0.5 else "", "country": dice.choice(["DE", "DE", "DE", "AT"]), "segment": dice.choice(["Enterprise", "Mid-market", "Small business"]), "source": source,
        "campaign": SOURCES[source][1], "interest": dice.choice(ASKED), "rep_id": dice.choice(sellers), "created_on": end - timedelta(days=dice.randrange(0, 500)),
    }  # fmt: skip


def _decide(actor: Actor, dice: random.Random, leads: Sequence[tuple[int, dict[str, Any]]], end: date) -> None:
    """What became of each: those older than two months are decided; deals are those that the play has of the source and that no lead led to yet."""
    free = {
        source: list(Opportunity.objects.filter(source=source, customer__isnull=False).order_by("opened_on", "id")[:200])
        for source in SOURCES
    }
    fresh = 0
    for lead_id, row in leads:
        came, source = row["created_on"], str(row["source"])
        on = min(end, came + timedelta(days=dice.randrange(2, 40)))
        converts = dice.random() < SOURCES[source][0]
        if (end - came).days > 60 and converts:
            deal = next((d for d in free[source] if d.opened_on and d.opened_on >= came), None)
            if deal is not None:
                free[source].remove(deal)
                with clock.at(on):
                    actions.link_lead(actor=actor, lead_id=lead_id, opportunity_id=deal.pk, on=deal.opened_on or on)
        elif (end - came).days > 60:
            with clock.at(on):
                actions.disqualify_lead(actor=actor, lead_id=lead_id, on=on, because=dice.choice(NO))
        elif converts and fresh < CONVERTED:
            fresh += 1
            actions.convert_lead(actor=actor, lead_id=lead_id, on=end, is_new=True)
        elif dice.random() < 0.4:
            actions.qualify_lead(actor=actor, lead_id=lead_id, on=on)
