"""Quotes of the demo company on its last day: in every state, with promotions, and discounts that somebody agreed to or not yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import polars as pl

from topline.catalog import actions as catalog
from topline.catalog import promotions
from topline.catalog.models import Product
from topline.kernel.actor import Actor
from topline.pipeline.models import Opportunity
from topline.quotes import actions, links
from topline.quotes.models import Quote

PROMOTED_DAYS = 40
QUOTED = 28  # open deals, those farthest along first
OFF = [0, 50_000, 100_000, 0, 80_000, 150_000, 0, 180_000]  # by hand, in turn
WORDS = ["Is data migration in it?", "Too dear for this year", "Opens the whole group", "Second order within a year"]
BUYER = {"name": "Jana Einkauf", "title": "Head of purchasing"}


def play(*, actor: Actor, entity_id: int, manager_id: int, end: date) -> None:
    """Begin promotions, set bands, and quote the deals that are farthest along. The same deals get the same quotes."""
    promotions.set_bands(actor=actor, bands=[(100_000, ""), (200_000, "Sales manager"), (350_000, "Owner")])
    promotions.set_bands(actor=actor, family="Services", bands=[(50_000, ""), (150_000, "Sales manager"), (250_000, "Owner")])
    ids = dict(Product.objects.values_list("code", "id"))
    promotions.set_volume_steps(actor=actor, product_id=ids["TRAI"], steps=[(5_000_000, 50_000), (10_000_000, 100_000)])
    start = catalog.add_products(
        actor=actor, products=pl.DataFrame({"code": ["START"], "name": ["Starter package"], "family": ["Software"]})
    )
    promotions.set_parts(
        actor=actor, product_id=start["product_id"][0], parts=[(ids["PLAT"], 1_000_000), (ids["TRAI"], 2_000_000)]
    )
    starts_on = end - timedelta(days=PROMOTED_DAYS)
    promotions.add_promotion(
        actor=actor, code="AUTUMN", name="Autumn offer", kind="percent", percent_ppm=80_000, starts_on=starts_on, currency="EUR", budget_minor=20_000_00, stacks=True
    )  # fmt: skip
    promotions.add_promotion(
        actor=actor, code="WELCOME", name="Welcome amount", kind="fixed", fixed_minor=500_00, minimum_minor=3_000_00, starts_on=starts_on, currency="EUR", stacks=True
    )  # fmt: skip
    manager = replace(actor, key=f"member:{manager_id}", name="Mona Manager", roles=frozenset({"Sales manager"}))
    deals = Opportunity.objects.filter(
        entity_id=entity_id, state="open", stage__key__in=["negotiation", "proposal"], customer__isnull=False
    )
    for n, deal in enumerate(deals.order_by("-stage__position", "id").prefetch_related("lines")[:QUOTED]):
        off = OFF[n % len(OFF)]
        lines = [
            {"product_id": line.product_id, "quantity_micro": line.quantity_micro, "manual_ppm": off} for line in deal.lines.all()
        ]
        quote_id = actions.write_quote(
            actor=actor, opportunity_id=deal.pk, lines=pl.DataFrame(lines), on=end, starts_on=end + timedelta(days=30), months=12, bill_every="year",
            terms="net 30" if n % 3 else "net 60", promotions=["AUTUMN"] if n % 4 == 1 else [], note="Prices hold for the first twelve months.",
        )  # fmt: skip
        _go_on(actor, manager, Quote.objects.get(pk=quote_id), n, end)


def _go_on(actor: Actor, manager: Actor, quote: Quote, n: int, end: date) -> None:
    """What becomes of the n-th quote: a draft, one that waits, or sent and then viewed, asked about, accepted or declined."""
    need = actions.needed(quote)
    if need is not None:
        asked = actions.ask_approval(actor=actor, quote_id=quote.pk, on=end, reason=WORDS[2 + n % 2])
        if n % 8 == 7 or need.approver != "Sales manager":
            return
        actions.decide_approval(actor=manager, approval_id=asked, on=end, agree=True, said="Agreed for the first year")
    if n % 8 == 6:
        return
    actions.send_quote(actor=actor, quote_id=quote.pk, on=end)
    customer = links.customer_behind(quote)
    if n % 3:
        links.view_quote(actor=customer, quote_id=quote.pk)
    if n % 9 == 1:
        links.ask_question(actor=customer, quote_id=quote.pk, question=WORDS[0])
    if n % 9 in (2, 4, 8):
        quote.refresh_from_db()
        links.accept_quote(actor=customer, quote_id=quote.pk, sha256=quote.document.sha256, ip="203.0.113.24", **BUYER)
    if n % 9 == 5:
        links.decline_quote(actor=customer, quote_id=quote.pk, because=WORDS[1])
