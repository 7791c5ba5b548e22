"""Who pays for whom: what people said by applying money, and what they took back by undoing it."""

from __future__ import annotations

import polars as pl

from topline.bank import queries as bank
from topline.kernel.actor import Actor
from topline.market import actions as market
from topline.receivables.models import Payment

CONFIRMED, BY_HAND = (
    "confirmed match",
    "applied by hand",
)  # how an alias was learned; what customers call themselves is never forgotten


def learn(*, actor: Actor, links: pl.DataFrame, source: str) -> None:
    """The name and account of each payer stand for the customer whose documents a person applied the money to; not where it was several.

    links  payment_id, customer_id (resolved)
    """
    for payment, customer_id in _by_payment(links):
        for kind, value in _marks(payment):
            market.add_alias(actor=actor, customer_id=customer_id, value=value, kind=kind, source=source)


def forget(*, actor: Actor, links: pl.DataFrame) -> None:
    """What was learned of payers whose money was taken off again counts no longer: the next of it waits for a person.

    links  payment_id, customer_id (resolved)
    """
    for payment, customer_id in _by_payment(links):
        market.drop_aliases(actor=actor, customer_id=customer_id, marks=_marks(payment), sources=(CONFIRMED, BY_HAND))


def _by_payment(links: pl.DataFrame) -> list[tuple[Payment, int]]:
    """Payments whose money went to one customer, with that customer."""
    of_one = links.unique(["payment_id", "customer_id"]).filter(pl.len().over("payment_id") == 1)
    found = dict(of_one.select("payment_id", "customer_id").iter_rows())
    return [(payment, found[payment.pk]) for payment in Payment.objects.filter(pk__in=list(found)).order_by("pk")]


def _marks(payment: Payment) -> list[tuple[str, str]]:
    """By what its payer is known: (kind, value) of an alias."""
    lines = bank.lines(entity_id=payment.entity_id, filters={"payment_id": payment.pk})
    accounts = lines.values_list("counterparty_account", flat=True)[:1]
    return [(kind, value) for kind, value in (("payer", payment.payer_name), *(("iban", a) for a in accounts)) if value.strip()]
