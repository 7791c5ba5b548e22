"""The way around: entries, their keys, and who sees them."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from topline.kernel.actor import Actor


@dataclass(frozen=True)
class Entry:
    """One place in the sidebar; `key` goes there after g, `part` is the heading under which it stands."""

    label: str
    url: str
    key: str
    current: bool = False
    part: str = ""


PLACES = {  # part of the flow: label, page, key, permission
    "": [("Today", "web:today", "t", "web.today"), ("Portal", "web:portal", "o", "web.portal")],
    "Sell": [
        ("Customers", "market:customers", "c", "market.view"), ("Lifecycle", "lifecycle:customers", "j", "lifecycle.view"), ("Market", "web:market", "v", "market.view"), ("Leads", "leads:leads", "y", "leads.view"),
        ("Pipeline", "pipeline:deals", "d", "pipeline.view"),
        ("Quotes", "quotes:quotes", "q", "quotes.view"), ("Catalog", "catalog:products", "r", "catalog.view"),
    ],
    "Get paid": [
        ("Contracts", "contracts:contracts", "u", "contracts.view"), ("Usage", "metering:usage", "x", "metering.view"), ("Bill runs", "contracts:runs", "z", "contracts.view"), ("Invoices", "billing:invoices", "i", "billing.view"), ("Payments", "receivables:payments", "p", "receivables.view"), ("Match", "receivables:matches", "h", "receivables.view"),
        ("Ageing", "receivables:aging", "a", "receivables.view"), ("Collections", "collections:worklist", "w", "collections.view"), ("Cases", "cases:cases", "k", "cases.view"),
    ],
    "Money": [("Bank", "bank:accounts", "b", "bank.view"), ("Revenue", "recognition:months", "f", "recognition.view"), ("Cash", "treasury:cash", "m", "treasury.view"), ("Books", "books:trial_balance", "l", "books.view")],
    "House": [("Import", "connect:imports", "n", "connect.view"), ("Tasks", "team:tasks", "s", "team.view"), ("Team", "team:members", "e", "team.view")],
}  # fmt: skip


def entries_for(actor: Actor, path: str) -> list[Entry]:
    """The places that an actor may see, the present one marked."""
    seen = [
        (label, reverse(name), key, part)
        for part, places in PLACES.items()
        for label, name, key, permission in places
        if actor.may(permission)
    ]
    here = max((url for _, url, _, _ in seen if path == url or (url != "/" and path.startswith(url))), key=len, default="")
    return [Entry(label, url, key, url == here, part) for label, url, key, part in seen]
