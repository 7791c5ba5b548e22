"""Commands of billing: e-invoices, usage, bill runs, contracts."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import polars as pl
import typer
from django.db.models import Q

from topline.billing import documents as billing_documents
from topline.billing import queries as billing_reads
from topline.billing.einvoice import check as einvoice_check_rules
from topline.billing.einvoice import files as einvoice_files
from topline.books.actions import PeriodLocked
from topline.cli import render
from topline.cli.main import app
from topline.cli.options import SHOWN, AsJson, AsOf, Company, console, day_of, entity_of, print_json
from topline.contracts import bills, renewing, schedules, wallet_queries
from topline.contracts import queries as contract_reads
from topline.contracts import runs as bill_runs
from topline.contracts.models import Contract, Parked
from topline.contracts.recurring import recurring
from topline.engine.renewals import survival
from topline.kernel import clock
from topline.kernel.errors import Invalid, ensure
from topline.metering import actions as metering
from topline.metering import files as usage_files
from topline.team.queries import system_actor

einvoice = typer.Typer(help="E-invoices of EN 16931: check one of somebody, write one of ours.", no_args_is_help=True)
app.add_typer(einvoice, name="einvoice")


@einvoice.command("check")
def einvoice_check(
    file: Annotated[Path, typer.Argument(help="XML in CII or UBL, or a PDF that carries one.", exists=True, dir_okay=False)],
    attachments: Annotated[
        Path | None, typer.Option("--attachments", help="Write the files that it carries into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What an e-invoice says and whether it holds; exits with 1 where it does not. Nothing is kept."""
    found = einvoice_files.read(file.read_bytes())
    broken = einvoice_check_rules.problems(found)
    if attachments is not None:
        attachments.mkdir(parents=True, exist_ok=True)
        for number, each in enumerate(found.attachments, start=1):
            if each.content is not None:  # the number keeps names apart, and the last part keeps them in the folder
                (attachments / f"{number}-{Path(each.file_name.replace(chr(92), '/')).name or 'file'}").write_bytes(each.content)
    if as_json:
        found = replace(found, attachments=tuple(replace(each, content=None) for each in found.attachments))
        print_json({"document": asdict(found), "problems": [asdict(problem) for problem in broken]})
    else:
        render.einvoice(console, found, broken)
    if broken:
        raise typer.Exit(1)


@einvoice.command("write")
def einvoice_write(
    number: Annotated[str, typer.Argument(help="Number of an invoice or credit note.")],
    form: Annotated[str, typer.Option("--form", help="pdf (with the e-invoice inside), ubl or cii")] = "pdf",
    to: Annotated[Path | None, typer.Option("--to", help="Where to write it; default NUMBER.pdf or NUMBER-ubl.xml here.")] = None,
    company: Company = "",
) -> None:
    """Write a document of ours as a file."""
    detail = billing_reads.by_number(number, entity_id=entity_of(company).pk)
    content = billing_documents.invoice_pdf(detail) if form == "pdf" else billing_documents.invoice_xml(detail, form)
    target = to or Path(f"{number}.pdf" if form == "pdf" else f"{number}-{form}.xml")
    target.write_bytes(content)
    console.print(f"{target}: {len(content):,} bytes")


@app.command("usage")
def take_usage(
    file: Annotated[
        Path,
        typer.Argument(
            help="Events as JSON lines (.jsonl) or CSV: key, meter, customer, at, value.", exists=True, dir_okay=False
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Take usage events in from a file, each once by its key; the same file again changes nothing. Exits with 1 where a line was refused."""
    counts: dict[str, int] = {"recorded": 0, "known": 0, "kept_aside": 0, "refused": 0}
    problems: list[tuple[int, str]] = []
    for batch in usage_files.batches(file):
        told = metering.record_events(actor=system_actor("cli"), events=batch.events.drop("line"), whole=False)
        for outcome, count in told.group_by("outcome").len().iter_rows():
            counts[outcome] += count
        counts["refused"] += len(batch.problems)
        used = (
            batch.events.filter(told["outcome"] == "refused")
            .select("line", pl.format("The key {} is known with other content.", "key"))
            .rows()
        )
        problems += sorted([*batch.problems, *used])[: SHOWN - len(problems)]
    if as_json:
        print_json({**counts, "problems": [{"line": line, "why": why} for line, why in problems]})
    else:
        console.print(f"{counts['recorded']:,} recorded, {counts['known']:,} known already, {counts['kept_aside']:,} kept aside, {counts['refused']:,} lines refused.")  # fmt: skip
        for line, why in problems:
            console.print(f"  Line {line}: {why}", highlight=False)
    if counts["refused"]:
        raise typer.Exit(1)


@app.command("backfill")
def backfill_usage(
    file: Annotated[Path, typer.Argument(help="The events of the span, as JSON lines or CSV.", exists=True, dir_okay=False)],
    meter: Annotated[str, typer.Option(help="Code of the meter.")],
    start: Annotated[str, typer.Option(help="First moment of the span where the company is, such as 2026-01-01T00:00.")],
    end: Annotated[str, typer.Option(help="First moment after it.")],
    because: Annotated[str, typer.Option(help="Why it is sent again.")],
    customer: Annotated[str, typer.Option(help="Only this customer's, by number or name.")] = "",
    company: Company = "",
    as_json: AsJson = False,
) -> None:
    """Send a span of a meter again: the events of the file replace those that counted in it; the next bill run bills the difference."""
    found = list(usage_files.batches(file))
    if bad := [problem for batch in found for problem in batch.problems]:
        raise Invalid(f"Line {bad[0][0]}: {bad[0][1]}", field="file", remedy="Mend the file; nothing was replaced.")
    try:
        span = [datetime.fromisoformat(text) for text in (start, end)]
    except ValueError as error:
        raise Invalid(f"{error}.", field="start", remedy="Write a moment as 2026-01-01T00:00.") from error
    home = ZoneInfo(entity_of(company).time_zone)
    first, last = (at.replace(tzinfo=at.tzinfo or home).astimezone(UTC) for at in span)
    events = pl.concat([batch.events.drop("line") for batch in found]) if found else pl.DataFrame()
    made = metering.backfill(
        actor=system_actor("command line"),
        meter=meter,
        customer=customer,
        start_at=first,
        end_at=last,
        events=events,
        because=because,
    )
    if as_json:
        print_json({"backfill_id": made, "recorded": events.height})
    else:
        console.print(f"{events.height:,} events stand for the span now (backfill {made}).", highlight=False)


bill = typer.Typer(help="Bill what is due of contracts: preview says what, run does it.", no_args_is_help=True)
app.add_typer(bill, name="bill")


@bill.command("preview")
def bill_preview(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """What a run up to a day would write, and what it would leave out; nothing is written."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
    found = bills.preview(entity=entity, as_of=day)
    names = dict(Contract.objects.filter(pk__in=found.parked["contract_id"].to_list()[:SHOWN]).values_list("id", "number"))
    if as_json:
        sums = found.lines.group_by("currency").agg(pl.col("net_minor").sum()).sort("currency")
        print_json(
            {
                "as_of": day,
                "documents": found.heads.height,
                "charges": found.lines.height,
                "totals": sums.to_dicts(),
                "parked": found.parked.to_dicts(),
            }
        )
        return
    render.bill(console, found, names)


@bill.command("schedules")
def bill_schedules(company: Company = "", as_json: AsJson = False) -> None:
    """Parts of schedules that are not billed yet, and what does not add up to what was agreed; exits with 1 where something does not."""
    entity = entity_of(company)
    today = clock.today(entity.time_zone)
    waiting = schedules.open_parts(entity_id=entity.pk).filter(Q(due_on__gt=today) | Q(due_on__isnull=True))[:SHOWN]
    rows = [
        {"contract": p.item.contract.number, "customer": p.item.contract.customer.name, "part": f"{p.item.description}: {p.description}", "due_on": p.due_on, "amount_minor": p.amount_minor, "currency": p.item.contract.currency}
        for p in waiting
    ]  # fmt: skip
    off = contract_reads.out_of_balance(entity_id=entity.pk)
    if as_json:
        print_json({"open": rows, "out_of_balance": off.to_dicts()})
    else:
        render.schedules(console, rows, off)
    if off.height:
        raise typer.Exit(1)


@bill.command("run")
def bill_run(
    company: Company = "",
    as_of: AsOf = "",
    drafts: Annotated[bool, typer.Option("--drafts", help="Only write drafts; somebody signs them later.")] = False,
    issue_on: Annotated[
        str,
        typer.Option("--issue-on", help="The day that the documents bear; default the day of --as-of, and today at the latest."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Bill every period that is due and was not billed, issue and post the documents. A second run of the day does nothing."""
    entity = entity_of(company)
    until, today = day_of(as_of, entity), clock.today(entity.time_zone)
    bears = day_of(issue_on, entity) if issue_on else min(until, today)
    ensure(
        bears <= today, Invalid(f"{bears} has not come.", field="issue_on", remedy="Issue documents today, or on a day before.")
    )
    waited = [] if drafts else bill_runs.waiting(entity.pk, as_of=until)
    try:
        with console.status("Billing") as status:
            made = bill_runs.run(
                actor=system_actor("command line"), entity_id=entity.pk, as_of=until, sign=not drafts, issue_on=bears, tell=status.update
            )  # fmt: skip
    except PeriodLocked as error:
        remedy = f"The drafts are written. Issue them on a day that is open: topline bill run --as-of {until} --issue-on {today}."
        raise PeriodLocked(error.message, field="issue_on", remedy=remedy) from error
    seen = contract_reads.progress([made.pk])[made.pk]
    parked = (
        Parked.objects.filter(contract__entity=entity, cleared_at__isnull=True).select_related("contract").order_by("id")[:SHOWN]
    )
    left_out = [{"contract": p.contract.number, "code": p.code, "message": p.message, "remedy": p.remedy} for p in parked]
    if as_json:
        print_json(
            {
                "run": made.pk,
                "as_of": made.as_of,
                "state": made.state,
                "documents": seen["documents"],
                "charges": seen["charges"],
                "also_issued": waited,
                "parked": left_out,
            }
        )
        return
    console.print(
        f"Up to {made.as_of}: {seen['documents']:,} documents for {seen['charges']:,} periods; the run is {made.state}.",
        highlight=False,
    )
    if waited:
        console.print("The drafts that waited for it are issued too.")
    for row in left_out:
        console.print(f"Left out {row['contract']}: {row['message']} {row['remedy']}", highlight=False)


@app.command("contracts")
def contract_list(
    company: Company = "",
    as_of: AsOf = "",
    index: Annotated[float, typer.Option(help="What an index of prices rose by, in percent.", min=-50, max=500)] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Contracts that end within 120 days, the next first: what they bring in a year, how likely they renew, what they would bring at list prices."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
    found, past = renewing.board(entity_id=entity.pk, as_of=day, index_ppm=round(index * 10_000))
    if as_json:
        print_json({"as_of": day, "items": found.to_dicts(), "survival": survival(past).to_dicts()})
        return
    render.renewals(console, found)


@app.command("credits")
def credit_list(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Who has credits: what can be used of them, what of it was bought, and what expires within 30 days."""
    entity = entity_of(company)
    found = wallet_queries.wallets(entity_id=entity.pk, on=day_of(as_of, entity)).order_by("customer__name", "id")[:SHOWN]
    rows = [
        {"wallet_id": w.pk, "customer": w.customer.name, "currency": w.currency, "usable_minor": w.usable, "bought_minor": w.bought, "soon_minor": w.soon, "next_on": w.next_on, "is_low": w.low_minor is not None and w.usable < w.low_minor}
        for w in found
    ]  # fmt: skip
    if as_json:
        print_json({"items": rows})
        return
    render.wallets(console, rows)


@app.command("recurring")
def recurring_revenue(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Monthly recurring revenue of a year: what moved it, what is kept, and what is agreed for the year ahead."""
    entity = entity_of(company)
    found = recurring(entity_id=entity.pk, as_of=day_of(as_of, entity))
    if as_json:
        print_json({"months": found.bridge, "ahead": found.ahead})
        return
    render.recurring(console, found.bridge)
