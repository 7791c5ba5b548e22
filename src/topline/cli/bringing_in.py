"""Commands that make a company and bring files in."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Any

import typer
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from topline.books import actions as books
from topline.books.models import Entity
from topline.cli import render
from topline.cli.main import app
from topline.cli.options import AsJson, Company, console, entity_of, print_json
from topline.connect import actions as connect
from topline.connect import readers
from topline.connect.models import ImportBatch
from topline.kernel.errors import DomainError, Invalid, NotFound, ensure
from topline.team import actions as team
from topline.team.models import Member
from topline.team.queries import system_actor


class ImportStopped(DomainError):
    """The database gave up in the middle of an import; whole chunks are in, the rest is not."""

    code = "import_stopped"


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of your company, such as 'Acme GmbH'.")],
    currency: Annotated[str, typer.Option(help="The currency in which it keeps its books.")] = "EUR",
    time_zone: Annotated[str, typer.Option(help="Its time zone, such as Europe/Berlin.")] = "UTC",
    country: Annotated[str, typer.Option(help="Its country (two letters), for bank holidays.")] = "",
    email: Annotated[str, typer.Option(help="E-mail address of the first Owner.")] = "owner@localhost.localdomain",
) -> None:
    """Make the database, a company and its first Owner; print the sign-in."""
    call_command("migrate", verbosity=0)
    key = "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())[:40] or "company"
    actor = system_actor("command line")
    books.open_entity(actor=actor, key=key, name=name, currency=currency, time_zone=time_zone, country=country)
    console.print(
        f"[bold]{name}[/bold] keeps its books in {currency} ({settings.DATABASES['default']['NAME']}).", highlight=False
    )
    if not Member.objects.filter(email__iexact=email).exists():
        password = secrets.token_urlsafe(12)
        team.add_member(actor=actor, email=email, name="Owner", roles=["Owner"], password=password)
        console.print(
            f"Sign in as [bold]{email}[/bold] with password [bold]{password}[/bold] (change it under Account).", highlight=False
        )
    console.print(
        "Next: topline import receivables FILE, topline import bank FILE, topline import payroll FILE, then topline today.",
        highlight=False,
    )


@app.command("import")
def import_file(
    kind: Annotated[
        str,
        typer.Argument(
            help="receivables, payments, customers, payroll, bank, rates, products, reps, opportunities, quotas, experience, leads; crm for a folder of a CRM's files"
        ),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The file: CSV, XLSX, or a bank statement in any common format; for crm a folder.", exists=True, readable=True
        ),
    ] = None,
    profile: Annotated[str, typer.Option(help="How to read it: a profile's name, or your own YAML file.")] = "",
    company: Company = "",
    currency: Annotated[str, typer.Option(help="Currency of amounts where the file names none.")] = "",
    account: Annotated[str, typer.Option(help="Bank account the file belongs to, where it names none.")] = "",
    date_order: Annotated[str, typer.Option(help="dmy, mdy or ymd, where the file cannot tell.")] = "",
    decimal_mark: Annotated[str, typer.Option(help="'.' or ',', where the file cannot tell.")] = "",
    first_payday: Annotated[str, typer.Option(help="For payroll: the first payday, such as 2026-01-09.")] = "",
    frequency: Annotated[str, typer.Option(help="For payroll: weekly, biweekly, semimonthly or monthly.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    resume: Annotated[int, typer.Option("--resume", help="Go on with this batch, which was interrupted.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Import a file: checked first, then written in chunks that are each whole. The same file twice changes nothing."""
    options = {
        "currency": currency, "bank_account": account, "date_order": date_order, "decimal_mark": decimal_mark, "first_payday": first_payday, "frequency": frequency,
    }  # fmt: skip
    if kind == "crm" and not resume:
        _import_folder(file, entity=entity_of(company), profile=profile, options=options, dry_run=dry_run, as_json=as_json)
        return
    ensure(file is None or file.is_file(), Invalid(f"{file} is a folder.", field="file", remedy="Name a file in it."))
    if resume:
        ensure(file is None, Invalid("A batch that goes on has its file already.", field="file", remedy="Leave the file out."))
        batch_id = resume
    elif file is None:
        raise Invalid("Which file is to be imported?", field="file", remedy="Say it: topline import receivables FILE.")
    else:
        batch_id = _check(file, entity=entity_of(company), kind=kind, profile=profile, options=options)
    batch = ImportBatch.objects.filter(pk=batch_id).first()
    if batch is None:
        raise NotFound(f"There is no import {batch_id}.", field="resume", remedy="Its number stands on the Import page.")
    if not dry_run:
        _write(batch, quiet=as_json)
        batch.refresh_from_db()
    if as_json:
        print_json(_batch_data(batch))
        return
    render.batch(console, batch)


def _import_folder(
    folder: Path | None, *, entity: Entity, profile: str, options: dict[str, str], dry_run: bool, as_json: bool
) -> None:
    """The files of a CRM one after the other, each a batch of its own; one that is in already is passed over.

    A dry run stops at the first file that is not in yet: the later ones name what it would bring.
    """
    ensure(
        folder is not None and folder.is_dir(), Invalid("Which folder holds the CRM's files?", field="file", remedy="Name it.")
    )
    done: list[dict[str, Any]] = []
    for using in readers.folder_profiles(profile):
        path = Path(str(folder)) / using.file
        if not path.is_file():
            raise NotFound(f"{folder} has no {using.file}.", field="file", remedy=f"{profile} reads it: export it too.")
        try:
            batch_id = _check(path, entity=entity, kind=using.kind, profile=using.id, options=options)
        except connect.FileImported as told:
            done.append({"file": path.name, "told": told.message})
            if not as_json:
                console.print(told.message, highlight=False)
            continue
        batch = ImportBatch.objects.get(pk=batch_id)
        if not dry_run:
            _write(batch, quiet=as_json)
            batch.refresh_from_db()
        done.append({"file": path.name, **_batch_data(batch)})
        if not as_json:
            render.batch(console, batch)
        if dry_run:
            break
    if as_json:
        print_json(done)


def _batch_data(batch: ImportBatch) -> dict[str, Any]:
    return {"batch_id": batch.pk, "state": batch.state, "rows_done": batch.rows_done, "rows_refused": batch.rows_refused, "detected": batch.detected,
            "problems": list(batch.problems.values("row", "column", "code", "message", "remedy")[:1000])}  # fmt: skip


def _check(file: Path, *, entity: Entity, kind: str, profile: str, options: dict[str, str]) -> int:
    """Check a file that is not too large; returns its batch's id."""
    connect.ensure_readable(file.stat().st_size, name=file.name)
    own = Path(profile) if profile.endswith((".yaml", ".yml")) else None
    if own is not None and not own.is_file():
        raise NotFound(
            f"There is no file {profile}.", field="profile", remedy="Name your profile's file, or one of Topline's profiles."
        )
    return connect.check_file(
        actor=system_actor("command line"),
        entity_id=entity.pk,
        kind=kind,
        content=file.read_bytes(),
        file_name=file.name,
        profile=own.name if own else profile,
        own_profile=own.read_text(encoding="utf-8", errors="replace") if own else "",
        options=options,
    )


def _write(batch: ImportBatch, *, quiet: bool) -> None:
    """Write what is left of a batch; when the database gives up, say how to go on."""
    actor = system_actor("command line")
    with Progress(
        TextColumn(batch.file_name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console, disable=quiet
    ) as progress:
        task = progress.add_task("import", total=batch.rows_total)
        more = True
        while more:
            try:
                more = connect.run_import(actor=actor, batch_id=batch.pk)
            except OperationalError as error:
                raise ImportStopped(
                    f"{batch.rows_done:,} of {batch.rows_total:,} rows are in, then the database refused: {str(error).strip()}.",
                    remedy=f"See to that, then go on where it stopped: topline import --resume {batch.pk}.",
                ) from error
            batch.refresh_from_db()
            progress.update(task, completed=batch.rows_done)
