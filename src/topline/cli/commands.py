"""The commands. Each reads the day from the clock or --as-of, calls one action or query, and prints it."""

from __future__ import annotations

import json
import secrets
import socket
import sys
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from topline.billing import documents as billing_documents
from topline.billing import queries as billing_reads
from topline.billing.einvoice import check as einvoice_check_rules
from topline.billing.einvoice import files as einvoice_files
from topline.books import actions as books
from topline.books import queries as book_queries
from topline.books.models import Entity
from topline.cli import copies, render
from topline.cli.main import app
from topline.collections import actions as collecting
from topline.collections import reminders, timing
from topline.connect import actions as connect
from topline.connect import readers
from topline.connect.models import ImportBatch
from topline.contracts import bills
from topline.contracts import queries as contract_reads
from topline.contracts import runs as bill_runs
from topline.contracts.models import Parked
from topline.engine.payment_timing import backtest as backtesting
from topline.flows import daily, proofs
from topline.flows import reminders as mail
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Conflict, DomainError, Invalid, NotFound, ensure
from topline.leads import queries as lead_reads
from topline.lifecycle import margin, value
from topline.lifecycle import queries as lifecycle
from topline.market import battlecards, competitors, experience, landscape_api, segments
from topline.metering import actions as metering
from topline.metering import files as usage_files
from topline.pipeline import figures as selling
from topline.pipeline import forecast as sales
from topline.pipeline import machine as machines
from topline.quotes import queries as quote_reads
from topline.quotes.models import Quote
from topline.receivables import figures, matching
from topline.recognition import actions as recognition
from topline.recognition import queries as recognition_reads
from topline.team import actions as team
from topline.team.models import Member
from topline.team.queries import system_actor
from topline.treasury import outlook
from topline.treasury import queries as treasury
from topline.web import today as today_page

console = Console()
SHOWN = 200  # rows of a queue that a command prints
AsOf = Annotated[str, typer.Option("--as-of", help="The day to look at, such as 2026-01-31; default today.")]
Company = Annotated[str, typer.Option("--company", help="Key of the company; default the first one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


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
    if kind == "crm" and not resume:
        _import_folder(file, entity=_entity(company), profile=profile, dry_run=dry_run, as_json=as_json)
        return
    ensure(file is None or file.is_file(), Invalid(f"{file} is a folder.", field="file", remedy="Name a file in it."))
    if resume:
        ensure(file is None, Invalid("A batch that goes on has its file already.", field="file", remedy="Leave the file out."))
        batch_id = resume
    elif file is None:
        raise Invalid("Which file is to be imported?", field="file", remedy="Say it: topline import receivables FILE.")
    else:
        options = {
            "currency": currency, "bank_account": account, "date_order": date_order, "decimal_mark": decimal_mark, "first_payday": first_payday, "frequency": frequency,
        }  # fmt: skip
        batch_id = _check(file, entity=_entity(company), kind=kind, profile=profile, options=options)
    batch = ImportBatch.objects.filter(pk=batch_id).first()
    if batch is None:
        raise NotFound(f"There is no import {batch_id}.", field="resume", remedy="Its number stands on the Import page.")
    if not dry_run:
        _write(batch, quiet=as_json)
        batch.refresh_from_db()
    if as_json:
        _print_json(_batch_data(batch))
        return
    render.batch(console, batch)


@app.command()
def today(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Who owes us, what is in the bank, is payroll covered."""
    entity = _entity(company)
    found = today_page.today(entity=entity, as_of=_day(as_of, entity))
    if as_json:
        _print_json(render.today_as_data(found))
        return
    render.today(console, found)


@app.command()
def aging(
    company: Company = "",
    as_of: AsOf = "",
    by: Annotated[str, typer.Option(help="due or issued")] = "due",
    as_json: AsJson = False,
) -> None:
    """Open receivables by age."""
    entity = _entity(company)
    if by not in {"due", "issued"}:
        raise Invalid(f"{by!r} is neither due nor issued.", field="by")
    found = figures.aged(entity_id=entity.pk, as_of=_day(as_of, entity), by="due" if by == "due" else "issued")
    if as_json:
        _print_json({"as_of": found.as_of, "buckets": found.buckets.to_dicts()})
        return
    render.aging(console, found)


@app.command("pipeline")
def open_pipeline(
    company: Company = "",
    as_of: AsOf = "",
    by: Annotated[str, typer.Option(help="stage, category, rep, team or close_month")] = "stage",
    as_json: AsJson = False,
) -> None:
    """The open deals of a day by stage, forecast category, owner, team or month of closing."""
    entity = _entity(company)
    day = _day(as_of, entity)
    book = selling.book(entity_id=entity.pk, as_of=day)
    currency = next(iter(selling.currencies(book)), entity.currency)
    groups = selling.summary(book, by=by, currency=currency)
    if as_json:
        _print_json({"as_of": day, "currency": currency, "by": by, "groups": groups})
        return
    render.pipeline(console, groups, by=selling.SUMMARIES[by], currency=currency, as_of=day)


@app.command("forecast")
def sales_forecast(
    company: Company = "",
    as_of: AsOf = "",
    quarter: Annotated[str, typer.Option(help="A day of the quarter to forecast; default: the one of the day after.")] = "",
    as_json: AsJson = False,
) -> None:
    """The quarter's sales forecast: won, open by category, calls and quotas by team and person, and what the machines say."""
    entity = _entity(company)
    day = _day(as_of, entity)
    start, end = sales.quarter(_day(quarter, entity) if quarter else day + timedelta(days=1))
    board = sales.board(entity_id=entity.pk, start=start, end=end, as_of=day)
    with console.status("Forecasting the quarter"):
        try:
            said, why = machines.machine(entity_id=entity.pk, as_of=day, start=start, end=end, currency=board.currency), ""
        except Invalid as error:
            said, why = None, str(error)
    if as_json:
        _print_json({"as_of": day, "start": start, "end": end, "currency": board.currency, "rows": board.rows, "segments": board.segments, "street": board.street,
                     "machine": said, "machine_says_nothing_because": why})  # fmt: skip
        return
    render.sales_forecast(console, board, said, why)


@app.command()
def market(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Segments with our share, competitors with their prices and cards, what customers say."""
    entity = _entity(company)
    day = _day(as_of, entity)
    views = segments.overview(entity=entity, as_of=day)
    found: dict[str, Any] = {
        "as_of": day, "currency": entity.currency, "segments": views, "battlecards": battlecards.freshness(as_of=day),
        "prices": competitors.prices(as_of=day), "experience": experience.experience(as_of=day),
    }  # fmt: skip
    if as_json:
        _print_json({**found, "segments": [landscape_api.segment_row(view) for view in views]})
        return
    render.market(console, found)


@app.command()
def customers(
    what: Annotated[str, typer.Argument(help="health, cohorts, value or margin")] = "health",
    by: Annotated[
        str, typer.Option(help="For margin: customer, segment, product or deal. For cohorts: month, quarter or year.")
    ] = "",
    company: Company = "",
    as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """Where customers stand and how well, what cohorts keep, what customers are still worth, who earns us money (a year up to the day)."""
    entity = _entity(company)
    day = _day(as_of, entity)
    if what == "value":
        worth = value.value(entity=entity, as_of=day)
        if as_json:
            _print_json(
                {"as_of": day, "why": worth.why, "margin": worth.margin, "check": worth.check, "items": worth.rows.to_dicts()}
            )
        else:
            render.customer_value(console, worth, entity.currency)
        return
    reads = {
        "health": lambda: lifecycle.standings(entity_id=entity.pk, as_of=day).sort("health", "customer_id", nulls_last=True),
        "cohorts": lambda: lifecycle.retention(entity_id=entity.pk, as_of=day, every=by or "quarter"),  # type: ignore[arg-type]  # refused by name
        "margin": lambda: margin.margins(entity=entity, since=day - timedelta(days=364), until=day, by=by or "customer"),
    }
    if what not in reads:
        raise Invalid(
            f"There is no {what!r} of customers.", field="what", remedy="Use: topline customers health, cohorts, value or margin."
        )
    found = reads[what]()
    if as_json:
        _print_json({"as_of": day, "currency": entity.currency, "items": found.to_dicts()})
        return
    {"health": render.health, "cohorts": render.cohorts, "margin": render.margins}[what](console, found, entity.currency)


@app.command("leads")
def open_leads(company: Company = "", as_of: AsOf = "", by: Annotated[str, typer.Option(help="source, campaign, segment, country or rep")] = "source", as_json: AsJson = False) -> None:  # fmt: skip
    """What became of a year's leads by group, and the likeliest that are open."""
    entity = _entity(company)
    day = _day(as_of, entity)
    ensure(by in lead_reads.BY, Invalid(f"{by!r} groups nothing.", field="by", remedy=f"Use one of {', '.join(lead_reads.BY)}."))
    groups = lead_reads.brought(entity_id=entity.pk, since=day - timedelta(days=365), until=day + timedelta(days=1), by=by)
    open_ones = lead_reads.leads(entity_id=entity.pk, state="open").order_by("-score_ppm", "id")[:SHOWN]
    if as_json:
        names = ("number", "company", "name", "source", "state", "score_ppm", "created_on")
        _print_json({"as_of": day, "by": by, "groups": groups.to_dicts(), "open": list(open_ones.values(*names))})
        return
    render.leads(console, groups, list(open_ones[:20]), by=lead_reads.BY[by])


@app.command("quotes")
def open_quotes(
    company: Company = "",
    state: Annotated[str, typer.Option(help="draft, sent, accepted, declined, superseded or withdrawn")] = "sent",
    as_json: AsJson = False,
) -> None:
    """Quotes of a state, the newest first."""
    entity = _entity(company)
    ensure(state in Quote.State.values, Invalid(f"There is no state {state!r}.", field="state", remedy=f"Use one of {', '.join(Quote.State.values)}."))  # fmt: skip
    found = quote_reads.quotes(entity_id=entity.pk, state=state).select_related("customer").order_by("-id")[:SHOWN]
    rows = [
        {"number": f"{q.number}/{q.version}", "customer": q.customer.name, "net_minor": q.net_minor, "currency": q.currency, "sent_on": q.sent_on, "valid_until": q.valid_until, "seen": q.first_viewed_at is not None}
        for q in found
    ]  # fmt: skip
    if as_json:
        _print_json({"state": state, "items": rows})
        return
    render.quotes(console, rows, state)


einvoice = typer.Typer(help="E-invoices of EN 16931: check one of somebody, write one of ours.", no_args_is_help=True)
app.add_typer(einvoice, name="einvoice")


@einvoice.command("check")
def einvoice_check(
    file: Annotated[Path, typer.Argument(help="XML in CII or UBL, or a PDF that carries one.", exists=True, dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """What an e-invoice says and whether it holds; exits with 1 where it does not. Nothing is kept."""
    found = einvoice_files.read(file.read_bytes())
    broken = einvoice_check_rules.problems(found)
    if as_json:
        _print_json({"document": asdict(found), "problems": [asdict(problem) for problem in broken]})
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
    detail = billing_reads.by_number(number, entity_id=_entity(company).pk)
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
        told = metering.record_events(actor=system_actor("cli"), events=batch.events)
        for outcome, count in told.group_by("outcome").len().iter_rows():
            counts[outcome] += count
        counts["refused"] += len(batch.problems)
        problems += batch.problems[: SHOWN - len(problems)]
    if as_json:
        _print_json({**counts, "problems": [{"line": line, "why": why} for line, why in problems]})
    else:
        console.print(f"{counts['recorded']:,} recorded, {counts['known']:,} known already, {counts['kept_aside']:,} kept aside, {counts['refused']:,} lines refused.")  # fmt: skip
        for line, why in problems:
            console.print(f"  Line {line}: {why}", highlight=False)
    if counts["refused"]:
        raise typer.Exit(1)


bill = typer.Typer(help="Bill what is due of contracts: preview says what, run does it.", no_args_is_help=True)
app.add_typer(bill, name="bill")


@bill.command("preview")
def bill_preview(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """What a run up to a day would write, and what it would leave out; nothing is written."""
    entity = _entity(company)
    day = _day(as_of, entity)
    found = bills.preview(entity=entity, as_of=day)
    if as_json:
        sums = found.lines.group_by("currency").agg(pl.col("net_minor").sum()).sort("currency")
        _print_json(
            {
                "as_of": day,
                "documents": found.heads.height,
                "charges": found.lines.height,
                "totals": sums.to_dicts(),
                "parked": found.parked.to_dicts(),
            }
        )
        return
    render.bill(console, found)


@bill.command("run")
def bill_run(
    company: Company = "",
    as_of: AsOf = "",
    drafts: Annotated[bool, typer.Option("--drafts", help="Only write drafts; somebody signs them later.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bill every period that is due and was not billed, issue and post the documents. A second run of the day does nothing."""
    entity = _entity(company)
    with console.status("Billing"):
        made = bill_runs.run(actor=system_actor("command line"), entity_id=entity.pk, as_of=_day(as_of, entity), sign=not drafts)
    seen = contract_reads.progress([made.pk])[made.pk]
    parked = (
        Parked.objects.filter(contract__entity=entity, cleared_at__isnull=True).select_related("contract").order_by("id")[:SHOWN]
    )
    left_out = [{"contract": p.contract.number, "code": p.code, "message": p.message, "remedy": p.remedy} for p in parked]
    if as_json:
        _print_json(
            {
                "run": made.pk,
                "as_of": made.as_of,
                "state": made.state,
                "documents": seen["documents"],
                "charges": seen["charges"],
                "parked": left_out,
            }
        )
        return
    console.print(
        f"Up to {made.as_of}: {seen['documents']:,} documents for {seen['charges']:,} periods; the run is {made.state}.",
        highlight=False,
    )
    for row in left_out:
        console.print(f"Left out {row['contract']}: {row['message']} {row['remedy']}", highlight=False)


revenue = typer.Typer(help="What contracts earned: show says it of a month, close posts it.", no_args_is_help=True)
app.add_typer(revenue, name="revenue")
Through = Annotated[str, typer.Option(help="The last day of a month; default: the month before today's.")]


@revenue.command("show")
def revenue_show(company: Company = "", through: Through = "", as_json: AsJson = False) -> None:
    """What contracts were billed and have earned by the end of a month; nothing is posted."""
    entity = _entity(company)
    month = _month(through, entity)
    told = recognition_reads.balances(entity, through=month)
    sums = (
        told.group_by("currency")
        .agg(pl.col("billed_minor", "earned_minor", "liability_minor", "asset_minor").sum())
        .sort("currency")
    )
    if as_json:
        _print_json({"through": month, "contracts": told.height, "totals": sums.to_dicts()})
        return
    render.revenue(console, month, told.height, sums)


@revenue.command("close")
def revenue_close(company: Company = "", through: Through = "") -> None:
    """Close a month: post what makes revenue what was earned. Closing again posts only what came since."""
    entity = _entity(company)
    month = _month(through, entity)
    recognition.close_month(actor=system_actor("command line"), entity_id=entity.pk, through=month)
    console.print(f"The month to {month} is closed.", highlight=False)


def _month(through: str, entity: Entity) -> date:
    """The last day of the month asked for, else of the one before today's."""
    if through:
        return recognition_reads.ensure_month_end(_day(through, entity))
    return recognition_reads.month_before(clock.today(entity.time_zone))


@app.command("contracts")
def contract_list(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Contracts that end within 120 days, the next first, with what they bring in a year."""
    entity = _entity(company)
    day = _day(as_of, entity)
    found = contract_reads.renewals(entity_id=entity.pk, as_of=day)
    if as_json:
        _print_json({"as_of": day, "items": found.to_dicts()})
        return
    render.renewals(console, found)


@app.command()
def match(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Book bank credits as payments, apply what is certain, and show what waits for a person and why."""
    entity, actor = _entity(company), system_actor("command line")
    day = _day(as_of, entity)
    lines = matching.book_bank_lines(actor=actor, entity_id=entity.pk)
    made = matching.match_payments(actor=actor, entity_id=entity.pk, as_of=day)
    waiting = matching.queue(entity.pk)
    found = {
        "lines_booked": int(lines["booked"].sum()), "lines_linked": int((~lines["booked"]).sum()), "posted": int((made["state"] == "posted").sum()),
        "waiting": waiting.count(), "queue": matching.shown(waiting[:SHOWN], as_of=day), "weeks": matching.quality(entity.pk).to_dicts(),
    }  # fmt: skip
    if as_json:
        _print_json(found)
        return
    render.match(console, found)


@app.command()
def cash(
    company: Company = "", as_of: AsOf = "", weeks: Annotated[int, typer.Option(min=1, max=52)] = 13, as_json: AsJson = False
) -> None:
    """The cash forecast by week."""
    entity = _entity(company)
    found = treasury.forecast(entity=entity, as_of=_day(as_of, entity), weeks=weeks)
    if as_json:
        _print_json({"as_of": found.as_of, "currency": found.currency, "opening_minor": found.opening_minor, "weekly": found.weekly.to_dicts(),
                     "payrolls": [asdict(p) for p in found.payrolls]})  # fmt: skip
        return
    render.cash(console, found)


@app.command()
def train(company: Company = "", as_of: AsOf = "") -> None:
    """Learn anew when customers pay, and freeze the cash forecast of the day."""
    entity = _entity(company)
    day = _day(as_of, entity)
    with console.status("Learning when customers pay"):
        version = timing.train_timing(actor=system_actor("command line"), entity_id=entity.pk, as_of=day)
    with console.status("Freezing the forecast"):
        outlook.freeze_forecast(actor=system_actor("command line"), entity_id=entity.pk, as_of=day)
    console.print(f"Model {version} knows everything until {day}; the forecast of that day is frozen.", highlight=False)


@app.command()
def backtest(
    what: Annotated[str, typer.Argument(help="payments, cash or forecast")],
    split: Annotated[
        str, typer.Option(help="First day of the test span, such as 2013-07-01; default: the last quarter of the book.")
    ] = "",
    mondays: Annotated[int, typer.Option(min=1, max=260, help="Past Mondays on which sales are forecast.")] = 26,
    company: Company = "",
    as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """How wrong each way to foresee payments, or sales, was, without looking ahead."""
    if what not in {"payments", "cash", "forecast"}:
        raise Invalid(
            f"{what!r} cannot be tested back.", field="what", remedy="Use: topline backtest payments, cash or forecast."
        )
    entity = _entity(company)
    if what == "forecast":
        with console.status("Forecasting past quarters"):
            record = machines.record(entity_id=entity.pk, as_of=_day(as_of, entity), mondays=mondays)
        if as_json:
            _print_json(record)
        else:
            render.sales_record(console, record, machines.currency_of(entity_id=entity.pk, as_of=_day(as_of, entity)))
        return
    if what == "cash":
        with console.status("Forecasting past Mondays"):
            scores = outlook.past_record(entity=entity, as_of=_day(as_of, entity))
        if as_json:
            _print_json({"scores": [asdict(score) for score in scores]})
        else:
            render.cash_record(console, scores)
        return
    book = timing.book(entity_id=entity.pk, as_of=_day(as_of, entity))
    last = book.invoices["issued_on"].max()
    if not isinstance(last, date):
        raise Invalid("There are no invoices yet.", field="company", remedy="Import some: topline import receivables FILE.")
    first = date.fromisoformat(split) if split else last - timedelta(days=91)
    with console.status("Forecasting the past"):
        found = backtesting.backtest(book, split=first)
    if as_json:
        _print_json({"split": first, "at_issue": found.at_issue.to_dicts(), "open_book": found.open_book.to_dicts()})
        return
    render.backtest(console, found, first)


@app.command()
def remind(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Judge promises and plans, and write the day's reminders; those that may leave are sent by the worker."""
    entity = _entity(company)
    day = _day(as_of, entity)
    actor = system_actor("command line")
    collecting.judge_promises(actor=actor, as_of=day)
    collecting.judge_plans(actor=actor, as_of=day)
    planned = reminders.plan_reminders(actor=actor, entity_id=entity.pk, as_of=day)
    if as_json:
        _print_json(planned.to_dicts())
        return
    counts = planned.group_by("step", "state").len().sort("step", "state")
    for step, state, count in counts.iter_rows():
        console.print(f"{count} x {step}: {state}", highlight=False)
    if planned.is_empty():
        console.print("Nobody is due for a reminder.")


@app.command("daily")
def daily_work(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """The day's work, as the worker does it each morning: apply cash, judge, remind, learn when it is time, freeze on Mondays."""
    entity = _entity(company)
    day = _day(as_of, entity)
    with console.status("Working"):
        done, version, frozen = daily.run(actor=system_actor("command line"), entity_id=entity.pk, as_of=day)
    if as_json:
        steps = [{"step": step, "state": state, "count": count} for (step, state), count in done.steps.items()]
        _print_json(
            {
                "as_of": day,
                "applied": done.applied,
                "promises": done.promises,
                "plans": done.plans,
                "reminders": steps,
                "model": version,
                "frozen": frozen,
            }
        )
        return
    console.print(
        f"{day}: {done.applied} payments were applied; {done.promises} promises and {done.plans} plans were judged.",
        highlight=False,
    )
    for (step, state), count in done.steps.items():
        console.print(f"{count} x {step}: {state}", highlight=False)
    console.print(
        f"Model {version} was trained."
        if version
        else "The model of payment dates is fresh, or there is too little to learn from."
    )
    if frozen is not None:
        console.print("The forecast of this Monday is frozen.")


@app.command("mail-in")
def mail_in() -> None:
    """Take in one e-mail from standard input (from your mail system): a bounce of a reminder, or an answer to one."""
    found = mail.receive(sys.stdin.buffer.read(10 * 1024 * 1024))
    console.print(f"Recorded with reminder {found}." if found else "No reminder of ours is named in it.")


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Prove that books, documents, seals and guards agree; exit 1 with the offending rows where they do not."""
    found = proofs.verify()
    if as_json:
        _print_json([{"proof": p.name, "holds": p.holds, "offending": p.offending.head(20).to_dicts()} for p in found])
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


def _import_folder(folder: Path | None, *, entity: Entity, profile: str, dry_run: bool, as_json: bool) -> None:
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
            batch_id = _check(path, entity=entity, kind=using.kind, profile=using.id, options={})
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
        _print_json(done)


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


def _entity(key: str) -> Entity:
    return book_queries.entity(key or None)


def _day(text: str, entity: Entity) -> date:
    if not text:
        return clock.today(entity.time_zone)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no day.", field="as_of", remedy="Write it as 2026-01-31.") from error


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


def _print_json(value: Any) -> None:
    def plain(item: Any) -> Any:
        if isinstance(item, date | datetime):
            return item.isoformat()
        if isinstance(item, pl.DataFrame):
            return item.to_dicts()
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        return str(item)

    sys.stdout.write(json.dumps(value, default=plain, ensure_ascii=False, indent=2) + "\n")
