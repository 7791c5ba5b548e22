"""Files over HTTP: upload, look at what was found, run, undo."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import File, Form, Query, UploadedFile
from pydantic import Field

from topline.books import queries as books
from topline.connect import actions
from topline.connect.models import ImportBatch, ImportProblem
from topline.kernel.errors import NotFound
from topline.ui.wire import Asked, Body, Caller, Day, Id, Name, OfCompany, Page, Room, done, once, page

room = Room(tags=["Imports"])
COLUMNS = ["id", "entity_id", "kind", "profile", "file_name", "file_sha256", "file_bytes", "state", "rows_total", "rows_done", "rows_refused", "detected",
           "error", "recorded_at", "finished_at"]  # fmt: skip
PROBLEM = ["id", "row", "column", "value", "code", "message", "remedy"]


class Upload(Body):
    kind: Literal[
        "receivables",
        "payments",
        "customers",
        "payroll",
        "bank",
        "products",
        "reps",
        "opportunities",
        "quotas",
        "experience",
        "leads",
    ]
    profile: Annotated[str, Field(max_length=60)] = ""
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""
    bank_account: Annotated[str, Field(max_length=100)] = ""
    date_order: Literal["", "dmy", "mdy", "ymd"] = ""
    decimal_mark: Literal["", ".", ","] = ""
    first_payday: Annotated[str, Field(pattern=r"^((19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2})?$")] = ""


class UndoImport(Body):
    on: Day
    reason: Name = ""


@room.reads("/imports", "connect.view", Page)
def list_imports(request: Caller, asked: Query[Asked]) -> Any:
    """Files that came in, and how far each got."""
    return page(ImportBatch.objects.filter(entity_id=books.entity(asked.company or None).pk), COLUMNS, asked)


@room.reads("/imports/{int:batch_id}", "connect.view")
def get_import(request: Caller, batch_id: Id) -> Any:
    """One file on its way in: what was detected, how many rows are good, done and refused."""
    found = _batch(batch_id)
    return {name: getattr(found, name) for name in COLUMNS}


@room.reads("/imports/{int:batch_id}/problems", "connect.view", Page)
def list_problems(request: Caller, batch_id: Id, asked: Query[Asked]) -> Any:
    """The rows that were refused: where, why, and what to do."""
    return page(ImportProblem.objects.filter(batch_id=_batch(batch_id).pk), PROBLEM, asked)


@room.does("/imports", "connect.check_file")
def check_file(request: Caller, target: Query[OfCompany], said: Form[Upload], file: File[UploadedFile]) -> Any:
    """Upload a file (multipart) and look at it; nothing is booked. Answers with the batch's id."""
    options = said.model_dump(exclude={"kind", "profile"})
    entity_id = books.entity(target.company or None).pk
    actions.ensure_readable(file.size or 0, name=file.name or "The file")
    return done(
        actions.check_file(
            entity_id=entity_id, kind=said.kind, profile=said.profile, content=file.read(), file_name=file.name or "upload", options=options, **once(request)
        )
    )  # fmt: skip


@room.does("/imports/{int:batch_id}/run", "connect.run_import")
def run_import(request: Caller, batch_id: Id) -> Any:
    """Write the next chunk, whole or not at all; answers with true while more is left: call again with a fresh key."""
    return done(actions.run_import(batch_id=batch_id, **once(request)))


@room.does("/imports/{int:batch_id}/undo", "connect.undo_import")
def undo_import(request: Caller, batch_id: Id, body: UndoImport) -> Any:
    """Take back all that the file brought; answers with the batch's id."""
    return done(actions.undo_import(batch_id=batch_id, on=body.on, reason=body.reason, **once(request)))


def _batch(batch_id: int) -> ImportBatch:
    found = ImportBatch.objects.filter(pk=batch_id).first()
    if found is None:
        raise NotFound(f"There is no import {batch_id}.", field="batch_id")
    return found
