"""Online payments: what was asked for and what became of it, saved cards and accounts, payouts, and events that wait."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.kernel import clock
from topline.processor import actions, queries, service
from topline.processor.models import Intent
from topline.ui.access import Asked, page
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

LIST = [
    Column("created_at", "When", "moment", sort="created_at"), Column("number", "Invoice", "code", link="url"), Column("name", "Customer", link="customer_url"), Column("state", "State", "badge", sort="state"),
    Column("amount_minor", "Amount", "money", sort="amount_minor"), Column("fee_minor", "Fee", "money"), Column("currency", ""), Column("way", "By"), Column("decline", "Declined"),
    Column("next_try_on", "Next try", "date", sort="next_try_on"),
]  # fmt: skip


@page("processor.view")
def intents(request: Asked) -> HttpResponse:
    """Payments asked for online, newest first."""
    entity = company(request)
    state = listing(request.path, request.GET.dict(), columns=LIST, default_sort="-created_at", filters=["state", "invoice"])
    asked = state.filters.get("invoice", "")
    found = queries.intents(
        entity_id=entity.pk, state=state.filters.get("state", ""), invoice_id=int(asked) if asked.isdigit() else None
    )
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    values = found.order_by(*state.order).values(
        "id", "created_at", "state", "amount_minor", "fee_minor", "currency", "invoice_id", "customer_id", "next_try_on", "tries", "decline_code", "processor", number=F("invoice__number"),
        name=F("customer__name"), saved=F("method__label"),
    )[start:end]  # fmt: skip
    rows = [
        {
            **row, "url": reverse("billing:invoice", args=[row["invoice_id"]]), "customer_url": reverse("web:customer", args=[row["customer_id"]]), "way": row["saved"] or f"{row['processor']}'s page",
            "decline": f"{row['decline_code'].replace('_', ' ')}{', try ' + str(row['tries']) if row['saved'] else ''}" if row["decline_code"] else "",
        }
        for row in values
    ]  # fmt: skip
    if state.export:
        return export(rows, LIST, name="online-payments", form=state.export)
    context = {
        "list": state, "rows": rows, "total": found.count(), "states": Intent.State.values, "payouts": queries.payouts(entity_id=entity.pk, limit=20), "methods": queries.methods(limit=50),
        "waiting": queries.unhandled(limit=20), "is_on": service.is_on(),
    }  # fmt: skip
    return render(request, "processor/intents.html", context)


@page("processor.plan_charges", methods=("POST",))
def charge(request: Asked) -> HttpResponse:
    """Charge what is due of customers with a saved card or account; the worker calls the processor."""
    entity = company(request)
    made = actions.plan_charges(
        actor=request.actor, entity_id=entity.pk, as_of=clock.today(entity.time_zone), processor=service.current().name
    )
    messages.success(request, f"{len(made)} charges are on their way." if made else "Nothing is due that may be charged today.")
    return redirect("processor:intents")


@page("processor.drop_method", methods=("POST",))
def drop_method(request: Asked, method_id: int) -> HttpResponse:
    """Charge a saved card or account no more."""
    actions.drop_method(actor=request.actor, method_id=method_id)
    messages.success(request, "It is charged no more.")
    return redirect("processor:intents")
