"""Import: choose a file, see what would happen, let it in, take it back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company
from topline.connect import actions
from topline.connect.forms import ImportForm
from topline.connect.models import ImportBatch
from topline.kernel import clock, outbox
from topline.kernel.errors import DomainError, NotFound
from topline.ui.access import Asked, page
from topline.ui.tables import Column

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
    problems = list(found.problems.order_by("row").values("row", "column", "message", "remedy")[:200])
    preview = []
    if found.state == "checked" and found.kind != "bank":
        frame = actions.kept_rows(found, actions.kept_file(found.file_sha256).read_bytes()).head(8)
        preview = [{k: str(v) if v is not None else "" for k, v in row.items()} for row in frame.to_dicts()]
    columns = [Column(name, name.replace("_", " ")) for name in (preview[0] if preview else [])]
    return render(
        request,
        "connect/batch.html",
        {"batch": found, "problems": problems, "problem_columns": PROBLEMS, "preview": preview, "preview_columns": columns},
    )


@page("connect.run_import", methods=("POST",))
def run(request: Asked, batch_id: int) -> HttpResponse:
    """Let a checked file in; a long one goes on in the background."""
    found = ImportBatch.objects.filter(pk=batch_id).first()
    if found is None:
        raise NotFound(f"There is no import {batch_id}.", field="batch_id")
    if found.rows_total > IN_REQUEST:
        outbox.enqueue("run_import", {"batch_id": batch_id}, key=f"import:{batch_id}")
        messages.success(request, "The import runs in the background; this page tells how far it is.")
        return redirect("connect:batch", batch_id)
    while actions.run_import(actor=request.actor, batch_id=batch_id):
        pass
    messages.success(request, f"{found.file_name} is in.")
    return redirect("connect:batch", batch_id)


@page("connect.undo_import", methods=("POST",))
def undo(request: Asked, batch_id: int) -> HttpResponse:
    """Take a file back."""
    actions.undo_import(
        actor=request.actor,
        batch_id=batch_id,
        on=clock.today(company(request).time_zone),
        reason=request.POST.get("reason", "")[:300],
    )
    messages.success(request, "The import was taken back; its entries are reversed.")
    return redirect("connect:batch", batch_id)
