"""The way around: entries, their keys, and who sees them."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from topline.kernel.actor import Actor


@dataclass(frozen=True)
class Entry:
    """One place in the sidebar; `key` goes there after g."""

    label: str
    url: str
    key: str
    current: bool = False


PLACES = [
    ("Today", "web:today", "t", "web.today"), ("Customers", "market:customers", "c", "market.view"), ("Market", "web:market", "v", "market.view"), ("Pipeline", "pipeline:deals", "d", "pipeline.view"), ("Quotes", "quotes:quotes", "q", "quotes.view"), ("Catalog", "catalog:products", "r", "catalog.view"),
    ("Invoices", "billing:invoices", "i", "billing.view"),
    ("Payments", "receivables:payments", "p", "receivables.view"), ("Match", "receivables:matches", "h", "receivables.view"), ("Ageing", "receivables:aging", "a", "receivables.view"),
    ("Collections", "collections:worklist", "w", "collections.view"), ("Cases", "cases:cases", "k", "cases.view"), ("Bank", "bank:accounts", "b", "bank.view"),
    ("Cash", "treasury:cash", "m", "treasury.view"), ("Books", "books:trial_balance", "l", "books.view"), ("Import", "connect:imports", "n", "connect.view"),
    ("Tasks", "team:tasks", "s", "team.view"), ("Team", "team:members", "e", "team.view"), ("Portal", "web:portal", "o", "web.portal"),
]  # fmt: skip


def entries_for(actor: Actor, path: str) -> list[Entry]:
    """The places that an actor may see, the present one marked."""
    seen = [(label, reverse(name), key) for label, name, key, permission in PLACES if actor.may(permission)]
    here = max((url for _, url, _ in seen if path == url or (url != "/" and path.startswith(url))), key=len, default="")
    return [Entry(label, url, key, url == here) for label, url, key in seen]
