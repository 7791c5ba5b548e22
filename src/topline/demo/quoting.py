"""Quotes of the demo company: those that ended the deals of the last months, and on its last day some in every state, with promotions,
and discounts that somebody agreed to or not yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import polars as pl

from topline.catalog import actions as catalog
from topline.catalog import promotions
from topline.catalog.models import Product
from topline.demo.selling import Ending
from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.pipeline import actions as pipeline
from topline.pipeline.models import Opportunity
from topline.quotes import actions, links
from topline.quotes.models import Quote

PROMOTED_DAYS, SUMMER_DAYS = 40, 160
CEILING = 140_000  # off list in all that a quote of the past reached: what a sales manager may agree to
QUOTED = 28  # open deals, those farthest along first
OFF = [0, 50_000, 100_000, 0, 80_000, 150_000, 0, 180_000]  # by hand, in turn
WORDS = ["Is data migration in it?", "Too dear for this year", "Opens the whole group", "Second order within a year"]
BUYER = {"name": "Jana Einkauf", "title": "Head of purchasing"}


def play(*, actor: Actor, entity_id: int, manager_id: int, end: date, ended: Sequence[tuple[int, Ending]]) -> None:
    """Begin promotions, set bands, quote what `ended`, and then the deals that are farthest along. The same deals get the same quotes."""
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
    promotions.add_promotion(
        actor=actor, code="SUMMER", name="Summer offer", kind="percent", percent_ppm=60_000, starts_on=end - timedelta(days=SUMMER_DAYS), ends_on=starts_on, currency="EUR", stacks=True
    )  # fmt: skip
    manager = replace(actor, key=f"member:{manager_id}", name="Mona Manager", roles=frozenset({"Sales manager"}))
    for n, (deal_id, ending) in enumerate(ended):
        _replay(actor, manager, deal_id, ending, n, summer=(end - timedelta(days=SUMMER_DAYS), starts_on))
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


def _replay(actor: Actor, manager: Actor, deal_id: int, ending: Ending, n: int, *, summer: tuple[date, date]) -> None:
    """The quote of a deal that ended: sent on the day of its last change, at about what the deal was to bring, and then said yes or no to.

    The summer offer went with more of the deals that were won than of the others, which is all that can be said of it.
    """
    deal = Opportunity.objects.prefetch_related("lines").get(pk=deal_id)
    on = deal.changes.order_by("-effective_on")[0].effective_on
    won = ending.stage == "won"
    is_offered = summer[0] <= on < summer[1] and (n % 3 > 0 if won else n % 3 == 0)
    off = 1_000_000 - 1_000_000 * (deal.amount_minor or 0) // ending.list_minor // 10_000 * 10_000
    off = max(0, min(off, CEILING) - (60_000 if is_offered else 0))
    lines = [
        {"product_id": line.product_id, "quantity_micro": line.quantity_micro, "manual_ppm": off} for line in deal.lines.all()
    ]
    with clock.at(on):
        quote_id = actions.write_quote(
            actor=actor, opportunity_id=deal_id, lines=pl.DataFrame(lines), on=on, starts_on=on + timedelta(days=30), valid_until=ending.on + timedelta(days=30),
            bill_every="year", terms="net 30" if n % 3 else "net 60", promotions=["SUMMER"] if is_offered else [],
        )  # fmt: skip
        quote = Quote.objects.get(pk=quote_id)
        if actions.needed(quote) is not None:
            asked = actions.ask_approval(actor=actor, quote_id=quote.pk, on=on, reason=WORDS[2 + n % 2])
            actions.decide_approval(actor=manager, approval_id=asked, on=on, agree=True, said="Agreed")
        actions.send_quote(actor=actor, quote_id=quote.pk, on=on)
    customer = links.customer_behind(quote)
    with clock.at(ending.on):
        links.view_quote(actor=customer, quote_id=quote.pk)
        if won:
            quote.refresh_from_db()
            links.accept_quote(actor=customer, quote_id=quote.pk, sha256=quote.document.sha256, ip="203.0.113.24", **BUYER)
            return
        if n % 2:
            links.decline_quote(actor=customer, quote_id=quote.pk, because=ending.loss_reason)
        pipeline.lose_opportunity(
            actor=actor, opportunity_id=deal_id, on=ending.on, loss_reason=ending.loss_reason, competitor=ending.competitor
        )


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
