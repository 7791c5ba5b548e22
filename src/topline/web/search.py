"""Ctrl-K: customers, documents and pages by the first letters, within what the actor may see."""

from __future__ import annotations

from django.urls import reverse

from topline.billing.models import Invoice
from topline.catalog import queries as catalog
from topline.kernel.actor import Actor
from topline.market import queries as market
from topline.pipeline import queries as pipeline
from topline.receivables.models import Payment
from topline.web.navigation import entries_for

EACH = 6


def search(actor: Actor, text: str) -> list[dict[str, str]]:
    """At most 36 results beside places: label, hint, url. Work: at most seven statements."""
    wanted = text.strip()
    places = [
        {"label": e.label, "hint": f"g {e.key}", "url": e.url}
        for e in entries_for(actor, "")
        if wanted.lower() in e.label.lower()
    ]
    if not wanted:
        return places
    found: list[dict[str, str]] = []
    if actor.may("market.view"):
        rows = market.customers(search=wanted).order_by("name").values_list("id", "name", "number")[:EACH]
        found += [
            {"label": name, "hint": f"customer {number}", "url": reverse("web:customer", args=[pk])} for pk, name, number in rows
        ]
    if actor.may("billing.view"):
        documents = (
            Invoice.objects.filter(number__istartswith=wanted)
            .order_by("number")
            .values_list("id", "number", "state", "customer__name")[:EACH]
        )
        found += [
            {"label": str(number), "hint": f"{state} · {name}", "url": reverse("billing:invoice", args=[pk])}
            for pk, number, state, name in documents
        ]
    if actor.may("receivables.view"):
        paid = (
            Payment.objects.filter(number__istartswith=wanted).order_by("number").values_list("id", "number", "payer_name")[:EACH]
        )
        found += [
            {"label": number, "hint": f"payment · {payer}", "url": reverse("receivables:payment", args=[pk])}
            for pk, number, payer in paid
        ]
    if actor.may("pipeline.view"):
        deals = pipeline.opportunities(search=wanted).order_by("state", "number")[:EACH]
        found += [
            {"label": deal.name, "hint": f"deal {deal.number} · {deal.state}", "url": reverse("pipeline:deal", args=[deal.pk])}
            for deal in deals
        ]
    if actor.may("catalog.view"):
        products = catalog.search(wanted).values_list("id", "name", "code")[:EACH]
        found += [
            {"label": name, "hint": f"product {code}", "url": reverse("catalog:product", args=[pk])}
            for pk, name, code in products
        ]
    return [*found, *places]
