"""Statements of account: of one customer, and of all of them with what moved, to read, to download and to send."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

import polars as pl
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.books.models import Entity
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.market import queries as market
from topline.market.models import Customer
from topline.receivables import documents, statement_delivery, statements
from topline.receivables.models import StatementDelivery
from topline.ui.access import Asked, page
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

STATEMENT = [
    Column("on", "Day", "date"), Column("kind", "What"), Column("number", "Document", link="url"), Column("amount_minor", "Amount", "money"), Column("balance_minor", "Balance", "money"), Column("currency", ""),
]  # fmt: skip
SUMS = ("opening_minor", "invoiced_minor", "credited_minor", "paid_minor", "other_minor", "closing_minor")
ACCOUNTS = [
    Column("customer", "Customer", sort="customer", link="url"), *[Column(name, name.removesuffix("_minor").capitalize(), "money", sort=name) for name in SUMS], Column("currency", ""), Column("sent", "Last sent", "date"),
]  # fmt: skip
AT_ONCE = 200  # statements of a page, and of a download


@page("receivables.view")
def statement(request: Asked, customer_id: int) -> HttpResponse:
    """A customer's statement of account: page, CSV or PDF."""
    entity = company(request)
    until = _day(request.GET.get("until"), clock.today(entity.time_zone))
    since = _day(request.GET.get("since"), until - timedelta(days=90))
    statements.ensure_span(since, until)
    detail = market.customer_detail(customer_id)
    rows = statements.statement_of_account(entity_id=entity.pk, customer_ids=detail.ids, since=since, until=until).to_dicts()
    form = request.GET.get("export", "")
    if form in ("csv", "xlsx"):
        return export(rows[:MAX_ROWS], STATEMENT, name=f"statement-{detail.customer.number}-{until}", form=form)
    if form == "pdf":
        content = documents.statement_pdf(entity=entity, customer=detail.customer, rows=rows, since=since, until=until)
        return _file(content, documents.statement_name(detail.customer, until), "application/pdf", "inline")
    shown = [{**r, "kind": r["kind"].replace("_", " "), "url": _url(r)} for r in rows[-1000:]]
    closing = {r["currency"]: r["balance_minor"] for r in rows}
    sent = StatementDelivery.objects.filter(customer=detail.customer, entity=entity).order_by("-id")[:5]
    return render(
        request,
        "receivables/statement.html",
        {
            "customer": detail.customer,
            "rows": shown,
            "columns": STATEMENT,
            "since": since,
            "until": until,
            "closing": closing,
            "sent": sent,
        },
    )


@page("receivables.view")
def accounts(request: Asked) -> HttpResponse:
    """Every account that moved in a span or stands open after it, by currency; the PDFs of those shown as one download."""
    entity = company(request)
    since, until = _span(request.GET, entity)
    state = listing(request.path, request.GET.dict(), columns=ACCOUNTS, default_sort="customer", filters=["q", "since", "until"])
    found = statements.accounts(entity_id=entity.pk, since=since, until=until)
    names = pl.DataFrame({"customer_id": list(known := market.names(found["customer_id"].unique().to_list())), "customer": list(known.values())}, schema={"customer_id": pl.Int64, "customer": pl.String})  # fmt: skip
    rows = found.join(names, on="customer_id", how="left", maintain_order="left")
    if wanted := state.filters.get("q", ""):
        rows = rows.filter(pl.col("customer").str.to_lowercase().str.contains(wanted.lower(), literal=True))
    rows = rows.sort(state.sort.lstrip("-"), "customer_id", "currency", descending=[state.sort.startswith("-"), False, False])
    start, end = (0, MAX_ROWS) if state.export else (state.offset, state.offset + state.size)
    page_rows = rows.slice(start, end - start)
    ids = page_rows["customer_id"].unique(maintain_order=True).to_list()
    if "pdfs" in request.GET:
        customers = Customer.objects.filter(pk__in=ids[:AT_ONCE]).order_by("number")
        content = documents.statements_zip(entity=entity, customers=customers, since=since, until=until)
        return _file(content, f"statements-{since}-{until}.zip", "application/zip", "attachment")
    sent = dict(StatementDelivery.objects.filter(entity=entity, customer_id__in=ids[:AT_ONCE], since=since, until=until, state="sent").order_by("id").values_list("customer_id", "sent_at"))  # fmt: skip
    asked = urlencode({"since": since, "until": until})
    shown = [{**r, "url": f"{reverse('receivables:statement', args=[r['customer_id']])}?{asked}", "sent": at.date() if (at := sent.get(r["customer_id"])) else None} for r in page_rows.to_dicts()]  # fmt: skip
    if state.export:
        return export(shown, ACCOUNTS, name=f"statements-{since}-{until}", form=state.export)
    totals = rows.group_by("currency").agg(pl.col(SUMS).sum()).sort("currency").head(20).to_dicts()
    context = {"list": state, "rows": shown, "total": rows.height, "totals": totals, "since": since, "until": until, "ids": ids}
    return render(request, "receivables/statements.html", context)


@page("receivables.send_statements", methods=("POST",))
def send(request: Asked) -> HttpResponse:
    """Send the statements of one customer, or of those that a page showed."""
    entity = company(request)
    since, until = _span(request.POST, entity)
    ids = [int(text) for text in request.POST.getlist("customer")[:AT_ONCE] if text.isdecimal() and len(text) < 19]
    made = statement_delivery.send_statements(
        actor=request.actor,
        entity_id=entity.pk,
        customer_ids=ids,
        since=since,
        until=until,
        recipient=request.POST.get("recipient", "").strip(),
    )
    unsent = made.filter(pl.col("problem").is_not_null())
    if going := made.height - unsent.height:
        messages.success(request, f"{going} statements are on their way." if going > 1 else "The statement is on its way.")
    if unsent.height:
        names = market.names(unsent["customer_id"].head(3).to_list())
        told = "; ".join(f"{names.get(r['customer_id'], '')}: {r['problem']}" for r in unsent.head(3).to_dicts())
        messages.error(request, f"{unsent.height} were not sent. {told}")
    asked = urlencode({"since": since, "until": until})
    if request.POST.get("one") and ids:
        return redirect(f"{reverse('receivables:statement', args=[ids[0]])}?{asked}")
    return redirect(f"{reverse('receivables:statements')}?{asked}")


# --- parts ---
def _span(given: Any, entity: Entity) -> tuple[date, date]:
    first, last = statements.month_of(clock.today(entity.time_zone))
    since, until = _day(given.get("since"), first), _day(given.get("until"), last)
    statements.ensure_span(since, until)
    return since, until


def _day(text: str | None, otherwise: date) -> date:
    if not text:
        return otherwise
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no day.", field="since", remedy="Write it as 2026-01-31.") from error


def _url(row: dict[str, Any]) -> str:
    if row["invoice_id"]:
        return reverse("billing:invoice", args=[row["invoice_id"]])
    return reverse("receivables:payment", args=[row["payment_id"]]) if row["payment_id"] else ""


def _file(content: bytes, name: str, kind: str, how: str) -> HttpResponse:
    answer = HttpResponse(content, content_type=kind)
    answer["Content-Disposition"] = f'{how}; filename="{name}"'
    return answer
