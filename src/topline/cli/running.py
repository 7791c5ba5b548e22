"""Commands that run and prove an installation: verify, seal, backup, restore, migrate, lake, serve, worker, demo."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer
from django.conf import settings
from django.core.management import call_command
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from topline.books import actions as books
from topline.books import queries as book_queries
from topline.cli import copies, render
from topline.cli.main import app
from topline.cli.options import AsJson, AsOf, console, day_of, entity_of, print_json
from topline.flows import daily, proofs
from topline.flows import lake as lakes
from topline.flows.handlers import HANDLERS
from topline.kernel import outbox
from topline.kernel.errors import Conflict
from topline.metering import lake as metering_lake
from topline.team.queries import system_actor
from topline.web import today as today_page


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Prove that books, documents, seals and guards agree; exit 1 with the offending rows where they do not."""
    found = proofs.verify()
    if as_json:
        print_json([{"proof": p.name, "holds": p.holds, "offending": p.offending.head(20).to_dicts()} for p in found])
    else:
        render.proofs(console, found)
    if not all(p.holds for p in found):
        raise typer.Exit(1)


@app.command()
def seal() -> None:
    """Seal what was posted since the last seal."""
    sealed = 0
    while count := books.seal(actor=system_actor("command line")):
        sealed += count
    console.print(f"Sealed {sealed} entries.")


@app.command()
def backup(target: Annotated[Path, typer.Argument(help="Where to write the copy; it must not exist yet.")]) -> None:
    """Copy the database and kept files to one archive, consistent while everything runs."""
    console.print(f"Wrote {copies.backup(target)}.", highlight=False)


@app.command()
def restore(source: Annotated[Path, typer.Argument(help="An archive made by backup.", exists=True, dir_okay=False)]) -> None:
    """Bring an archive back into an empty home or database, and verify it."""
    copies.restore(source)
    verify()


@app.command()
def migrate() -> None:
    """Bring the database to the tables of this version, after an update; harmless where it has them. Serve does it too."""
    call_command("migrate", verbosity=0)
    console.print("The database has the tables of this version.")


lake = typer.Typer(help="Usage events of months that are over, as Parquet files beside the database.", no_args_is_help=True)
app.add_typer(lake, name="lake")


@lake.command("sync")
def lake_sync(
    keep_months: Annotated[int, typer.Option(min=1, max=120, help="Whole months that stay in the database.")] = 3,
    as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """Move usage events of billed months to the lake; every answer stays the same. A second run does nothing."""
    entity = entity_of("")
    until = lakes.billed_until(keep_months=keep_months, today=day_of(as_of, entity))
    moved = 0
    if until is not None:
        with console.status("Moving events"):
            moved = sum(lakes.sync(actor=system_actor("command line"), until=until))
    found = metering_lake.by_meter()
    held = sum(count for count, _ in found.values())
    if as_json:
        print_json({"until": until, "moved": moved, "in_the_lake": held})
    elif until is None:
        console.print("Nothing moves before a bill run is signed: topline bill run.")
    else:
        console.print(f"{moved:,} events before {until} moved; the lake holds {held:,}.", highlight=False)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    host: str = "127.0.0.1",
    workers: Annotated[int, typer.Option(min=1, max=16)] = 1,
) -> None:
    """Serve the pages and the API, with a worker inside."""
    from topline.cli.server import run

    _ensure_port_free(host, port)
    call_command("migrate", verbosity=0)
    console.print(
        f"Topline is at [bold]http://{'localhost' if host == '127.0.0.1' else host}:{port}[/bold]  (stop with Ctrl-C)",
        highlight=False,
    )
    run(host=host, port=port, workers=workers)


@app.command()
def worker(once: Annotated[bool, typer.Option("--once", help="Stop when nothing waits.")] = False) -> None:
    """Handle what waits in the outbox."""
    from topline.cli.server import work

    if once:
        daily.due()
        while outbox.drain(HANDLERS):
            pass
        return
    work()


@app.command()
def demo(
    serve_it: Annotated[bool, typer.Option("--serve", help="Serve it afterwards.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    seed: int = 7,
) -> None:
    """Build the demo company (once), print Today and how to sign in."""
    from topline.demo import company

    if serve_it:
        _ensure_port_free("127.0.0.1", port)
    call_command("migrate", verbosity=0)
    if company.is_begun() and not company.is_built():
        raise Conflict(
            "The demo company was left half built.",
            remedy=f"Remove {settings.DATABASES['default']['NAME']} and run it again.",
        )
    if not company.is_begun():
        with Progress(
            TextColumn("Building the demo company"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        ) as progress:
            task = progress.add_task("demo", total=company.DAYS)
            company.build(seed=seed, tick=lambda: progress.advance(task))
    found = today_page.today(entity=book_queries.entity(company.KEY), as_of=company.last_day())
    render.today(console, found)
    console.print(f"Sign in as [bold]{company.EMAIL}[/bold] with password [bold]{company.PASSWORD}[/bold]", highlight=False)
    if serve_it:
        serve(port=port, host="127.0.0.1", workers=1)


def _ensure_port_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"Port {port} of {host} is taken.",
                field="port",
                remedy=f"Stop what uses it, or choose another: --port {port + 1}.",
            ) from error
