"""A small team that quotes pumps and fans; whose customer is Globex."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import polars as pl
import pytest

from tests.pipeline.conftest import products, team  # noqa: F401  (who sells, and what)
from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.pipeline import actions as pipeline
from topline.quotes import actions, links
from topline.quotes.models import Quote
from topline.team.queries import system_actor

TODAY = date(2026, 3, 2)


@pytest.fixture(autouse=True)
def _today():
    with clock.at(TODAY):
        yield


@pytest.fixture
def deal(owner, entity, team, products, make_customers):  # noqa: F811
    """An open deal of Ann's with Globex; returns its id."""
    (globex,) = make_customers("Globex")
    row = {"ref": "1", "name": "Pumps", "rep_id": team["Ann"], "stage": "proposal", "currency": "EUR", "customer_id": globex, "opened_on": date(2026, 1, 5), "segment": "Large"}  # fmt: skip
    return pipeline.add_opportunities(
        actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([row]), known_on=date(2026, 1, 5)
    )["opportunity_id"][0]


@pytest.fixture
def write(owner, deal, products):  # noqa: F811
    """Write a quote: ten pumps at 10.00 EUR unless told; returns its id."""

    def make(*lines, by=owner, of=None, on=TODAY, **facts):
        rows = [{"product_id": products["PUMP"], "quantity_micro": 10_000_000, **line} for line in (lines or ({},))]
        frame = pl.DataFrame(rows, infer_schema_length=None)
        return actions.write_quote(
            actor=by, opportunity_id=of or deal, lines=frame, on=on, starts_on=facts.pop("starts_on", TODAY), **facts
        )

    return make


@pytest.fixture
def send(owner, write):
    """Write and send a quote; returns it with the actor behind its link."""

    def make(*lines, on=TODAY, **facts):
        found = write(*lines, on=on, **facts)
        actions.send_quote(actor=owner, quote_id=found, on=on)
        quote = Quote.objects.get(pk=found)
        return SimpleNamespace(quote=quote, actor=links.customer_behind(quote), sha256=quote.document.sha256)

    return make


@pytest.fixture
def accept():
    def make(sent, **facts):
        said = {"name": "Ada Buyer", "title": "Head of purchasing", "sha256": sent.sha256} | facts
        return links.accept_quote(actor=sent.actor, quote_id=sent.quote.pk, **said)

    return make


@pytest.fixture
def manager():
    """Somebody who leads sales: may agree as a Sales manager, not as an Owner."""
    found = system_actor("mia")
    return Actor(key="system:mia", name="Mia", permissions=found.permissions, roles=frozenset({"Sales manager"}))
