"""Commands of selling: pipeline, forecast, market, customers, leads, quotes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from topline.cli import render
from topline.cli.main import app
from topline.cli.options import SHOWN, AsJson, AsOf, Company, console, day_of, entity_of, print_json
from topline.kernel.errors import Invalid, ensure
from topline.leads import queries as lead_reads
from topline.lifecycle import margin, value
from topline.lifecycle import queries as lifecycle
from topline.market import battlecards, competitors, experience, segments
from topline.pipeline import figures as selling
from topline.pipeline import forecast as sales
from topline.pipeline import machine as machines
from topline.quotes import queries as quote_reads
from topline.quotes.models import Quote


@app.command("pipeline")
def open_pipeline(
    company: Company = "",
    as_of: AsOf = "",
    by: Annotated[str, typer.Option(help="stage, category, rep, team or close_month")] = "stage",
    as_json: AsJson = False,
) -> None:
    """The open deals of a day by stage, forecast category, owner, team or month of closing."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
    book = selling.book(entity_id=entity.pk, as_of=day)
    currency = next(iter(selling.currencies(book)), entity.currency)
    groups = selling.summary(book, by=by, currency=currency)
    if as_json:
        print_json({"as_of": day, "currency": currency, "by": by, "groups": groups})
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
    entity = entity_of(company)
    day = day_of(as_of, entity)
    start, end = sales.quarter(day_of(quarter, entity) if quarter else day + timedelta(days=1))
    board = sales.board(entity_id=entity.pk, start=start, end=end, as_of=day)
    with console.status("Forecasting the quarter"):
        try:
            said, why = machines.machine(entity_id=entity.pk, as_of=day, start=start, end=end, currency=board.currency), ""
        except Invalid as error:
            said, why = None, str(error)
    if as_json:
        print_json({"as_of": day, "start": start, "end": end, "currency": board.currency, "rows": board.rows, "segments": board.segments, "street": board.street,
                     "machine": said, "machine_says_nothing_because": why, "ranges_held": machines.held_so_far(entity_id=entity.pk, as_of=day)})  # fmt: skip
        return
    render.sales_forecast(console, board, said, why, held=machines.held_so_far(entity_id=entity.pk, as_of=day))


@app.command()
def market(company: Company = "", as_of: AsOf = "", as_json: AsJson = False) -> None:
    """Segments with our share, competitors with their prices and cards, what customers say."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
    views = segments.overview(entity=entity, as_of=day)
    found: dict[str, Any] = {
        "as_of": day, "currency": entity.currency, "segments": views, "battlecards": battlecards.freshness(as_of=day),
        "prices": competitors.prices(as_of=day), "experience": experience.experience(as_of=day),
    }  # fmt: skip
    if as_json:
        print_json({**found, "segments": [view.as_row() for view in views]})
        return
    render.market(console, found)


@app.command()
def customers(
    what: Annotated[str, typer.Argument(help="health, cohorts, value or margin")] = "health",
    by: Annotated[
        str, typer.Option(help="For margin: customer, segment, product or deal. For cohorts: month, quarter or year.")
    ] = "",
    of: Annotated[str, typer.Option(help="For margin: sold (deals won) or billed (documents issued).")] = "sold",
    company: Company = "",
    as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """Where customers stand and how well, what cohorts keep, what customers are still worth, who earns us money (a year up to the day)."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
    if what == "value":
        worth = value.value(entity=entity, as_of=day)
        if as_json:
            print_json(
                {"as_of": day, "why": worth.why, "margin": worth.margin, "check": worth.check, "items": worth.rows.to_dicts()}
            )
        else:
            render.customer_value(console, worth, entity.currency)
        return
    reads = {
        "health": lambda: lifecycle.standings(entity_id=entity.pk, as_of=day).sort("health", "customer_id", nulls_last=True),
        "cohorts": lambda: lifecycle.retention(entity_id=entity.pk, as_of=day, every=by or "quarter"),  # type: ignore[arg-type]  # refused by name
        "margin": lambda: margin.margins(entity=entity, since=day - timedelta(days=364), until=day, by=by or "customer", of=of),
    }
    if what not in reads:
        raise Invalid(
            f"There is no {what!r} of customers.", field="what", remedy="Use: topline customers health, cohorts, value or margin."
        )
    found = reads[what]()
    if as_json:
        print_json({"as_of": day, "currency": entity.currency, "items": found.to_dicts()})
        return
    {"health": render.health, "cohorts": render.cohorts, "margin": render.margins}[what](console, found, entity.currency)
    if what == "margin":
        render.unnamed(console, margin.unnamed(entity=entity, since=day - timedelta(days=364), until=day, of=of), margin.OF[of])


@app.command("leads")
def open_leads(company: Company = "", as_of: AsOf = "", by: Annotated[str, typer.Option(help="source, campaign, segment, country or rep")] = "source", as_json: AsJson = False) -> None:  # fmt: skip
    """What became of a year's leads by group, and the likeliest that are open."""
    entity = entity_of(company)
    day = day_of(as_of, entity)
    ensure(by in lead_reads.BY, Invalid(f"{by!r} groups nothing.", field="by", remedy=f"Use one of {', '.join(lead_reads.BY)}."))
    groups = lead_reads.brought(entity_id=entity.pk, since=day - timedelta(days=365), until=day + timedelta(days=1), by=by)
    open_ones = lead_reads.leads(entity_id=entity.pk, state="open").order_by("-score_ppm", "id")[:SHOWN]
    if as_json:
        names = ("number", "company", "name", "source", "state", "score_ppm", "created_on")
        print_json({"as_of": day, "by": by, "groups": groups.to_dicts(), "open": list(open_ones.values(*names))})
        return
    render.leads(console, groups, list(open_ones[:20]), by=lead_reads.BY[by])


@app.command("quotes")
def open_quotes(
    company: Company = "",
    state: Annotated[str, typer.Option(help="draft, sent, accepted, declined, superseded or withdrawn")] = "sent",
    as_json: AsJson = False,
) -> None:
    """Quotes of a state, the newest first."""
    entity = entity_of(company)
    ensure(state in Quote.State.values, Invalid(f"There is no state {state!r}.", field="state", remedy=f"Use one of {', '.join(Quote.State.values)}."))  # fmt: skip
    found = quote_reads.quotes(entity_id=entity.pk, state=state).select_related("customer").order_by("-id")[:SHOWN]
    rows = [
        {"number": f"{q.number}/{q.version}", "customer": q.customer.name, "net_minor": q.net_minor, "currency": q.currency, "sent_on": q.sent_on, "valid_until": q.valid_until, "seen": q.first_viewed_at is not None}
        for q in found
    ]  # fmt: skip
    if as_json:
        print_json({"state": state, "items": rows})
        return
    render.quotes(console, rows, state)
