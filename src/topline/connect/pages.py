"""Import: choose a file, see what would happen, let it in, take it back."""

from __future__ import annotations

from typing import Any

import polars as pl
import polars.selectors as cs
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.billing.models import Invoice
from topline.books.company import company
from topline.connect import actions, queue
from topline.connect.forms import ImportForm
from topline.connect.models import ImportBatch
from topline.kernel import clock
from topline.kernel.errors import DomainError, NotFound
from topline.receivables import queries as cash
from topline.receivables.models import Payment
from topline.ui.access import Asked, page
from topline.ui.tables import Column, Kind

COLUMNS = [
    Column("id", "Batch", "integer", link="url"), Column("file_name", "File", link="url"), Column("kind", "Kind"), Column("state", "State", "badge"), Column("rows_done", "Rows in", "integer"),
    Column("rows_refused", "Refused", "integer"), Column("recorded_at", "When", "moment"),
]  # fmt: skip
PROBLEMS = [
    Column("row", "Row", "integer"),
    Column("column", "Column"),
    Column("message", "What is wrong"),
    Column("remedy", "What to do"),
]
DEPENDANTS = [
    Column("effective_on", "On", "date"),
    Column("kind", "What"),
    Column("document", "Document", link="document_url"),
    Column("payment", "Payment", link="payment_url"),
    Column("amount_minor", "Amount", "money"),
    Column("currency", ""),
]
IN_REQUEST = 20_000  # rows that are written while the browser waits; more go through the worker


@page("connect.view", methods=("GET", "HEAD"))
def imports(request: Asked) -> HttpResponse:
    """Files that came in, and a form for the next."""
    entity = company(request)
    rows = (
        ImportBatch.objects.filter(entity_id=entity.pk)
        .order_by("-id")
        .values("id", "file_name", "kind", "state", "rows_done", "rows_refused", "recorded_at")[:100]
    )
    shown = [{**r, "url": reverse("connect:batch", args=[r["id"]])} for r in rows]
    form = ImportForm(initial={"kind": request.GET.get("kind", "receivables"), "currency": entity.currency})
    return render(request, "connect/imports.html", {"rows": shown, "columns": COLUMNS, "form": form})


@page("connect.check_file", methods=("POST",))
def upload(request: Asked) -> HttpResponse:
    """Check a file: nothing is booked yet."""
    entity = company(request)
    form = ImportForm(request.POST, request.FILES)
    if form.is_valid():
        data = form.cleaned_data
        options = {k: str(data[k]) for k in ("currency", "bank_account", "date_order", "decimal_mark", "first_payday") if data[k]}
        try:
            batch = actions.check_file(
                actor=request.actor,
                entity_id=entity.pk,
                kind=data["kind"],
                content=data["file"].read(),
                file_name=data["file"].name,
                profile=data["profile"],
                options=options,
            )
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            return redirect("connect:batch", batch)
    rows = (
        ImportBatch.objects.filter(entity_id=entity.pk)
        .order_by("-id")
        .values("id", "file_name", "kind", "state", "rows_done", "rows_refused", "recorded_at")[:100]
    )
    shown = [{**r, "url": reverse("connect:batch", args=[r["id"]])} for r in rows]
    return render(request, "connect/imports.html", {"rows": shown, "columns": COLUMNS, "form": form}, status=400)


@page("connect.view")
def batch(request: Asked, batch_id: int) -> HttpResponse:
    """One file: what was detected, which rows are refused and why, how far it is."""
    found = ImportBatch.objects.filter(pk=batch_id).first()
    if found is None:
        raise NotFound(f"There is no import {batch_id}.", field="batch_id")
    problems = [
        {
            **p,
            "message": p["message"].removeprefix(f"Row {p['row']}, column {p['column']}: "),
        }  # which stand in columns of their own
        for p in found.problems.order_by("row").values("row", "column", "message", "remedy")[:200]
    ]
    shows = found.state == "checked" and found.kind != "bank"
    columns, preview = _preview(found) if shows else ([], [])
    return render(
        request,
        "connect/batch.html",
        {
            "batch": found, "problems": problems, "problem_columns": PROBLEMS, "preview": preview, "preview_columns": columns,
            "is_queued": queue.is_queued(found), "left": found.rows_total - found.rows_done, "refusal": None, "dependants": [], "dependant_columns": DEPENDANTS,
        },
    )  # fmt: skip


@page("connect.run_import", methods=("POST",))
def run(request: Asked, batch_id: int) -> HttpResponse:
    """Let a checked file in; a long one goes on in the background."""
    found = ImportBatch.objects.filter(pk=batch_id).first()
    if found is None:
        raise NotFound(f"There is no import {batch_id}.", field="batch_id")
    if found.rows_total > IN_REQUEST:
        if not queue.is_queued(found):  # a batch whose message failed may be sent again
            queue.ask_for_chunk(batch_id)
        messages.success(request, "The import runs in the background; this page tells how far it is.")
        return redirect("connect:batch", batch_id)
    while actions.run_import(actor=request.actor, batch_id=batch_id):
        pass
    messages.success(request, f"{found.file_name} is in.")
    return redirect("connect:batch", batch_id)


@page("connect.undo_import", methods=("POST",))
def undo(request: Asked, batch_id: int) -> HttpResponse:
    """Take a file back; where later work rests on it, that work is listed and nothing is changed."""
    found = ImportBatch.objects.filter(pk=batch_id).first()
    if found is None:
        raise NotFound(f"There is no import {batch_id}.", field="batch_id")
    today = clock.today(company(request).time_zone)
    try:
        actions.undo_import(actor=request.actor, batch_id=batch_id, on=today, reason=request.POST.get("reason", "")[:300])
    except actions.ImportHasDependants as error:
        context = {
            "batch": found, "problems": [], "problem_columns": PROBLEMS, "preview": [], "preview_columns": [], "is_queued": False,
            "left": found.rows_total - found.rows_done, "refusal": error, "dependants": _dependants(batch_id), "dependant_columns": DEPENDANTS,
        }  # fmt: skip
        return render(request, "connect/batch.html", context, status=error.status)
    messages.success(request, "The import was taken back; its entries are reversed.")
    return redirect("connect:batch", batch_id)


def _preview(batch: ImportBatch) -> tuple[list[Column], list[dict[str, Any]]]:
    """The first rows of a checked file as they were read: days and amounts as on every page."""
    rows = actions.kept_rows(batch, actions.kept_file(batch.file_sha256).read_bytes()).head(8)
    rows = rows.drop(cs.ends_with("_minor"))  # the same amounts once more, without their sign
    amounts = set(rows.select(cs.by_name("amount", "tax", require_all=False) & cs.integer()).columns)
    days = set(rows.select(cs.date()).columns)
    if amounts and "currency" not in rows.columns:
        rows = rows.with_columns(currency=pl.lit(actions.currency_of(batch)))

    def kind(name: str) -> Kind:
        return "money" if name in amounts else "date" if name in days else "text"

    columns = [Column(name, name.replace("_", " "), kind(name)) for name in rows.columns]
    return columns, rows.to_dicts()


def _dependants(batch_id: int) -> list[dict[str, Any]]:
    """Allocations and credit notes that rest on what a batch brought, and were not made by it: at most 100."""
    invoices = dict(Invoice.objects.filter(import_batch_id=batch_id).values_list("id", "number"))
    payments = dict(Payment.objects.filter(import_batch_id=batch_id).values_list("id", "number"))
    rows = cash.standing_allocations(payment_ids=list(payments), invoice_ids=list(invoices)).to_dicts()
    mine = [r for r in rows if r["payment_id"] not in payments or (r["invoice_id"] and r["invoice_id"] not in invoices)][:100]
    documents = {i.pk: i for i in Invoice.objects.filter(pk__in=[r["invoice_id"] for r in mine if r["invoice_id"]])}
    numbers = dict(Payment.objects.filter(pk__in=[r["payment_id"] for r in mine if r["payment_id"]]).values_list("id", "number"))
    found = [
        {
            "effective_on": r["effective_on"], "kind": r["kind"].replace("_", " "), "amount_minor": r["amount_minor"],
            "document": documents[r["invoice_id"]].number if r["invoice_id"] else "", "document_url": reverse("billing:invoice", args=[r["invoice_id"]]) if r["invoice_id"] else "",
            "currency": documents[r["invoice_id"]].currency if r["invoice_id"] else "EUR",
            "payment": numbers.get(r["payment_id"], ""), "payment_url": reverse("receivables:payment", args=[r["payment_id"]]) if r["payment_id"] else "",
        }
        for r in mine
    ]  # fmt: skip
    notes = Invoice.objects.filter(corrects_id__in=list(invoices)).exclude(state=Invoice.State.VOID).order_by("id")[:100]
    found += [
        {"effective_on": n.issued_on, "kind": "credit note", "amount_minor": n.total_minor, "currency": n.currency, "document": n.number,
         "document_url": reverse("billing:invoice", args=[n.pk]), "payment": "", "payment_url": ""}
        for n in notes
    ]  # fmt: skip
    return found
