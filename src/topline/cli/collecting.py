"""Commands of the money that comes in: today, aging, matching, cash, reminders and the day's work."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from topline.billing import delivery
from topline.cli import render
from topline.cli.main import app
from topline.cli.options import SHOWN, AsJson, AsOf, Company, console, day_of, entity_of, print_json
from topline.collections import actions as collecting
from topline.collections import claims, reminders, timing
from topline.engine.payment_timing import backtest as backtesting
from topline.flows import daily
from topline.flows import reminders as mail
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.market import queries as market
from topline.market.models import Customer
from topline.pipeline import machine as machines
from topline.receivables import documents as receivable_documents
from topline.receivables import figures, matching, statement_delivery
from topline.receivables import statements as account_statements
from topline.team.queries import system_actor
from topline.treasury import frozen, outlook
from topline.treasury import queries as treasury
from topline.web import today as today_page


@app.command()
def today(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Who owes us, what is in the bank, is payroll covered."""
    entity = entity_of(company)
    found = today_page.today(entity=entity, as_of=day_of(as_of, entity))
    if as_json:
        print_json(render.today_as_data(found))
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
    entity = entity_of(company)
    if by not in {"due", "issued"}:
        raise Invalid(f"{by!r} is neither due nor issued.", field="by")
    found = figures.aged(entity_id=entity.pk, as_of=day_of(as_of, entity), by="due" if by == "due" else "issued")
    if as_json:
        print_json({"as_of": found.as_of, "buckets": found.buckets.to_dicts()})
        return
    render.aging(console, found)


@app.command()
def match(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Book bank credits as payments, apply what is certain, and show what waits for a person and why."""
    entity, actor = entity_of(company), system_actor("command line")
    day = day_of(as_of, entity)
    lines = matching.book_bank_lines(actor=actor, entity_id=entity.pk)
    made = matching.match_payments(actor=actor, entity_id=entity.pk, as_of=day)
    waiting = matching.queue(entity.pk)
    found = {
        "lines_booked": int(lines["booked"].sum()), "lines_linked": int((~lines["booked"]).sum()), "posted": int((made["state"] == "posted").sum()),
        "waiting": waiting.count(), "queue": matching.shown(waiting[:SHOWN], as_of=day), "weeks": matching.quality(entity.pk).to_dicts(),
    }  # fmt: skip
    if as_json:
        print_json(found)
        return
    render.match(console, found)


@app.command()
def cash(
    company: Company = "", as_of: AsOf = "", weeks: Annotated[int, typer.Option(min=1, max=52)] = 13,
    every: Annotated[str, typer.Option(help="day, week or month")] = "week", as_json: AsJson = False,
) -> None:  # fmt: skip
    """The cash forecast by day, week or month: as expected, as a range (thirteen weeks ahead), and by account."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
    found = treasury.forecast(entity=entity, as_of=day, weeks=weeks)
    periods = found.by(every)
    with console.status("Drawing futures"):
        told = frozen.told(entity=entity, as_of=day, plain=found)
    accounts = treasury.by_account(entity=entity, found=found)
    if as_json:
        print_json({"as_of": found.as_of, "currency": found.currency, "opening_minor": found.opening_minor, "minimum_minor": found.minimum_minor,
                    {"day": "daily", "week": "weekly", "month": "monthly"}[every]: periods, "accounts": accounts,
                    "ranges": [{"day": day + timedelta(days=r.day), "p10_minor": r.p10, "p50_minor": r.p50, "p90_minor": r.p90} for r in told.ranges] if told else None,
                    "trust": told.trust if told else None, "payrolls": [asdict(p) for p in found.payrolls]})  # fmt: skip
        return
    render.cash(console, found, told, accounts, every=every)


@app.command()
def train(company: Company = "", as_of: AsOf = "") -> None:
    """Learn anew when customers pay, and freeze the cash forecast of the day."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
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
    entity = entity_of(company)
    if what == "forecast":
        with console.status("Forecasting past quarters"):
            record = machines.record(entity_id=entity.pk, as_of=day_of(as_of, entity), mondays=mondays)
        if as_json:
            print_json(record)
        else:
            render.sales_record(console, record, machines.currency_of(entity_id=entity.pk, as_of=day_of(as_of, entity)))
        return
    if what == "cash":
        with console.status("Forecasting past Mondays"):
            scores = outlook.past_record(entity=entity, as_of=day_of(as_of, entity))
        if as_json:
            print_json({"scores": [asdict(score) for score in scores]})
        else:
            render.cash_record(console, scores)
        return
    book = timing.book(entity_id=entity.pk, as_of=day_of(as_of, entity))
    last = book.invoices["issued_on"].max()
    if not isinstance(last, date):
        raise Invalid("There are no invoices yet.", field="company", remedy="Import some: topline import receivables FILE.")
    first = day_of(split, entity) if split else last - timedelta(days=91)
    with console.status("Forecasting the past"):
        found = backtesting.backtest(book, split=first)
    if as_json:
        print_json({"split": first, "at_issue": found.at_issue.to_dicts(), "open_book": found.open_book.to_dicts()})
        return
    render.backtest(console, found, first)


@app.command()
def remind(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Judge promises and plans, and write the day's reminders; those that may leave are sent by the worker."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
    actor = system_actor("command line")
    collecting.judge_promises(actor=actor, as_of=day)
    collecting.judge_plans(actor=actor, as_of=day)
    planned = reminders.plan_reminders(actor=actor, entity_id=entity.pk, as_of=day)
    if as_json:
        print_json(planned.to_dicts())
        return
    counts = planned.group_by("step", "state").len().sort("step", "state")
    for step, state, count in counts.iter_rows():
        console.print(f"{count} x {step}: {state}", highlight=False)
    if planned.is_empty():
        console.print("Nobody is due for a reminder.")


@app.command()
def interest(
    customer: Annotated[str, typer.Argument(help="Its number")],
    company: Company = "",
    until: Annotated[str, typer.Option(help="Last day that is claimed; default: today.")] = "",
    claim: Annotated[bool, typer.Option("--claim", help="Issue an interest note for all of it, one for each currency.")] = False,
    send: Annotated[bool, typer.Option("--send", help="Send the notes to the contact for invoices.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a customer may be charged for paying late, invoice by invoice; with --claim as a document."""
    entity = entity_of(company)
    today, last = clock.today(entity.time_zone), day_of(until, entity)
    found = claims.parts(entity=entity, customer_id=market.by_number(customer).pk, until=last)
    made: list[int] = []
    if claim:
        actor = system_actor("command line")
        for currency in dict.fromkeys(p.currency for p in found):
            ids = sorted({p.invoice_id for p in found if p.currency == currency and not p.is_disputed})
            if ids:
                made.append(
                    claims.claim_interest(
                        actor=actor, entity_id=entity.pk, customer_id=market.by_number(customer).pk, invoice_ids=ids, until=last, issue_on=today
                    )
                )  # fmt: skip
        if send and made:
            delivery.send_invoices(actor=actor, invoice_ids=made)
    if as_json:
        items = [{**asdict(p), "unknown": p.unknown.words if p.unknown else None} for p in found]
        print_json({"until": last, "items": items, "notes": made})
        return
    render.interest(console, found, made)


@app.command("daily")
def daily_work(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """The day's work, as the worker does it each morning: apply cash, judge, remind, learn when it is time, freeze on Mondays."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
    with console.status("Working"):
        done, version, frozen = daily.run(actor=system_actor("command line"), entity_id=entity.pk, as_of=day)
    if as_json:
        steps = [{"step": step, "state": state, "count": count} for (step, state), count in done.steps.items()]
        print_json(
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
    """Take in one e-mail from standard input (from your mail system): a bounce of what we sent, or an answer to a reminder."""
    found = mail.receive(sys.stdin.buffer.read(10 * 1024 * 1024))
    console.print("Recorded with what it is about." if found else "It names nothing that we sent.")


@app.command("statements")
def statements_of_account(
    company: Company = "",
    since: Annotated[str, typer.Option(help="First day; default: the first of the last whole month.")] = "",
    until: Annotated[str, typer.Option(help="Last day; default: the last of that month.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Write a PDF of each account here.")] = None,
    send: Annotated[bool, typer.Option("--send", help="Send each to the customer's contact for invoices.")] = False,
    as_json: AsJson = False,
) -> None:
    """Accounts of customers over a span: opening, what moved, closing, by currency; as PDF, or by e-mail."""
    entity = entity_of(company)
    first, last = account_statements.month_of(clock.today(entity.time_zone))
    begins, ends = day_of(since, entity) if since else first, day_of(until, entity) if until else last
    account_statements.ensure_span(begins, ends)
    found = account_statements.accounts(entity_id=entity.pk, since=begins, until=ends)
    customers = Customer.objects.filter(pk__in=found["customer_id"].unique().to_list()).order_by("number")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for customer in customers.iterator(chunk_size=500):
            content = receivable_documents.statement_of(entity=entity, customer=customer, since=begins, until=ends)
            (folder / receivable_documents.statement_name(customer, ends)).write_bytes(content)
    sent = None
    if send and found.height:
        sent = statement_delivery.send_statements(
            actor=system_actor("command line"),
            entity_id=entity.pk,
            customer_ids=[c.pk for c in customers],
            since=begins,
            until=ends,
        )
    if as_json:
        print_json({"since": begins, "until": ends, "accounts": found.to_dicts(), "sent": sent})
        return
    render.accounts(console, found, {c.pk: c.name for c in customers[:SHOWN]}, begins, ends)
    if sent is not None:
        unsent = sent.filter(pl.col("problem").is_not_null()).height
        console.print(f"{sent.height - unsent} are on their way, {unsent} were not sent.", highlight=False)
