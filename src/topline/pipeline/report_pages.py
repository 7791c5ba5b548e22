"""Pages that answer: how far deals get, what selling brought, what became of the pipeline, who sells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

import polars as pl
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.engine.sales import funnel as funnels
from topline.engine.sales import waterfall as bridges
from topline.engine.win_rates import FEWEST
from topline.kernel.errors import Invalid
from topline.kernel.money import format_amount, to_major
from topline.pipeline import figures, queries
from topline.pipeline import people as leading
from topline.pipeline.pages import NARROWED, carried, choices, day_of, narrowed
from topline.ui.access import Asked, page
from topline.ui.charts import waterfall_chart
from topline.ui.export import MAX_ROWS, export
from topline.ui.tables import Column, listing

YEAR = timedelta(days=365)
PICKED = {
    "team": "Team",
    "rep": "Owner",
    "product": "Product",
    "segment": "Segment",
    "source": "Source",
}  # what narrows the funnel
OUTCOMES = {"month", "quarter", "loss_reason"}  # groups that are no cause: when a deal closed, and why it was lost
SHOWN = 200  # deals behind a bar or a step
WORDS = {"start": "Start", "created": "Created", "pulled_in": "Pulled in", "value_up": "Value up", "reopened": "Reopened", "won": "Won", "lost": "Lost", "pushed_out": "Pushed out",
         "value_down": "Value down", "omitted": "Omitted", "end": "End"}  # fmt: skip
STATISTICS = [
    Column("rank", "No.", "integer"), Column("key", "Group", sort="key"), Column("won", "Won", "integer", sort="won", link="won_url"), Column("lost", "Lost", "integer", sort="lost", link="lost_url"),
    Column("bookings_minor", "Bookings", "money", sort="bookings_minor", link="won_url"), Column("before_bookings_minor", "Before", "money", sort="before_bookings_minor", link="before_won_url"), Column("currency", ""),
    Column("average_minor", "Average", "money", sort="average_minor", link="won_url"), Column("win_rate", "Win rate", "percent", sort="win_rate", link="closed_url"),
    Column("win_rate_value", "By value", "percent", sort="win_rate_value", link="closed_url"), Column("before_win_rate", "Before", "percent", sort="before_win_rate", link="before_closed_url"),
    Column("cycle_mean", "Mean days", "decimal", sort="cycle_mean", link="won_url"), Column("cycle_median", "Median", "decimal", sort="cycle_median", link="won_url"), Column("cycle_p90", "P90", "decimal", sort="cycle_p90", link="won_url"),
    Column("velocity_minor", "A day", "money", sort="velocity_minor", link="closed_url"),
]  # fmt: skip
WHAT = {"entered": "Reached it", "passed": "Went on", "lost": "Lost there", "waiting": "Open there"}
DEALS = [Column("number", "Number", "code", link="url"), Column("name", "Deal", link="url"), Column("customer", "Customer"), Column("rep", "Owner"), Column("amount_minor", "Amount", "money"), Column("currency", "")]  # fmt: skip


@page("pipeline.view")
def funnel(request: Asked) -> HttpResponse:
    """How many of those who began in a span got from stage to stage, how long each takes, and what a better step would bring."""
    entity = company(request)
    as_of = day_asked(request, entity)
    since, until = _span(request, as_of - YEAR, as_of + timedelta(days=1))
    picked = {name: request.GET[name] for name in PICKED if request.GET.get(name)}
    book = figures.book(entity_id=entity.pk, as_of=as_of)
    among = narrowed(book, {**picked, "state": "all"})["opportunity_id"] if picked else None
    told = figures.funnel(entity_id=entity.pk, as_of=as_of, since=since, until=until, among=among)
    step, what = request.GET.get("step", ""), request.GET.get("what", "entered")
    if what not in WHAT or (step and step not in told["key"].to_list()):
        raise Invalid("There is no such step.", field="step", remedy="Choose a figure of the funnel.")
    query = {**picked, "as_of": as_of.isoformat(), "since": since.isoformat(), "until": until.isoformat()}
    rows = [
        {**row, "urls": {w: "?" + urlencode({**query, "step": row["key"], "what": w}) for w in WHAT}} for row in told.to_dicts()
    ]
    behind, title = [], ""
    if step:
        ids = figures.funnel_deals(entity_id=entity.pk, as_of=as_of, since=since, until=until, step=step, what=what, among=among)
        behind = _deals(entity.pk, as_of, pl.DataFrame({"opportunity_id": ids}))
        title = f"{WHAT[what]}: {next(r['name'] for r in rows if r['key'] == step)}"
    newest = book.select(pl.max_horizontal("opened_on", "engaged_on").max()).item()
    context = {
        "older": _older(newest, since, lambda day: {"since": day - YEAR, "until": day + timedelta(days=1)}),
        "picked": picked, "choices": {name: (label, sorted(x for x in book[name].drop_nulls().unique().to_list() if x)) for name, label in PICKED.items()},
        "rows": rows, "as_of": as_of, "since": since, "until": until, "behind": behind[:SHOWN], "behind_count": len(behind), "behind_title": title, "columns": DEALS, "what_if": _what_if(request, entity.pk, told, since, until, as_of),
    }  # fmt: skip
    return render(request, "pipeline/funnel.html", context)


@page("pipeline.view")
def statistics(request: Asked) -> HttpResponse:
    """What selling brought in a span, by whatever groups it, beside the span before; every figure opens its deals."""
    entity = company(request)
    as_of = day_asked(request, entity)
    quarter = date(as_of.year, 3 * ((as_of.month - 1) // 3) + 1, 1)
    since, until = _span(request, quarter, as_of + timedelta(days=1))
    by = request.GET.get("by", "rep")
    beside = request.GET.get("beside", "before")
    whole = figures.statistics(entity_id=entity.pk, since=since, until=until, beside=beside)
    rows = figures.statistics(entity_id=entity.pk, since=since, until=until, by=by, beside=beside) if by else whole
    told = figures.claims(entity_id=entity.pk, since=since, until=until, by=by) if by and by not in OUTCOMES else None

    def behind(row: dict[str, Any], key: str, span: tuple[date, date], by: str) -> dict[str, str]:
        """Addresses of the deals of a row in a span: won, lost and all of them."""
        query = {"as_of": (span[1] - timedelta(days=1)).isoformat(), "since": span[0].isoformat(), "until": span[1].isoformat(), "currency": row["currency"]}  # fmt: skip
        query |= {by: row[key]} if by and row[key] else {}
        return {
            state: reverse("pipeline:deals") + "?" + urlencode({**query, "state": state}) for state in ("won", "lost", "closed")
        }

    def linked(row: dict[str, Any], by: str) -> dict[str, Any]:
        now = behind(row, "key", (since, until), by)
        before = behind(row, "before_key", figures.beside_of(since=since, until=until, by=by, beside=beside), by)
        return {
            **row,
            "urls": now,
            **{f"{s}_url": url for s, url in now.items()},
            **{f"before_{s}_url": url for s, url in before.items()},
        }

    columns = [c for c in STATISTICS if c.key != "currency" or whole.height > 1]
    columns[1] = Column("key", figures.GROUPS.get(by, "All"), sort="key")
    state = listing(request.path, request.GET.dict(), columns=columns, default_sort="key" if by in figures.PERIODS else "-bookings_minor", filters=["since", "until", "by", "beside", "as_of"])  # fmt: skip
    field = state.sort.lstrip("-")
    ordered = rows.sort("currency", field, "key", descending=[False, state.sort.startswith("-"), False], nulls_last=True)
    start, size = (0, MAX_ROWS) if state.export else (state.offset, state.size)
    shown = [{**linked(r, by), "rank": start + n} for n, r in enumerate(ordered.slice(start, size).to_dicts(), 1)]
    if state.export:
        return export(shown, columns, name=f"sales-by-{by or 'all'}", form=state.export)
    newest = None if whole.height else figures.reach(entity_id=entity.pk)[1]
    context = {
        "older": _older(newest, since, lambda day: {"since": day - YEAR, "until": day + timedelta(days=1), "by": by}),
        "whole": [linked(row, "") for row in whole.to_dicts()], "list": state, "rows": shown, "total": rows.height, "by": by, "groups": figures.GROUPS, "since": since,
        "until": until, "as_of": as_of, "last": until - timedelta(days=1), "beside": beside, "besides": figures.BESIDE, "fewest": FEWEST,
        "claims": told.rows.filter("shown").to_dicts() if told else [], "warning": told.warning if told else "", "may_claim": told is not None,
    }  # fmt: skip
    return render(request, "pipeline/statistics.html", context)


@page("pipeline.view")
def waterfall(request: Asked) -> HttpResponse:
    """What became of the pipeline between two days, and the deals behind each bar."""
    entity = company(request)
    as_of = day_asked(request, entity)
    start = day_of(request.GET.get("start") or (as_of - timedelta(days=28)).isoformat(), "start")
    since = day_of(request.GET["since"], "since") if request.GET.get("since") else None
    until = day_of(request.GET["until"], "until") if request.GET.get("until") else None
    picked = {name: request.GET[name] for name in NARROWED if request.GET.get(name)}
    book = figures.book(entity_id=entity.pk, as_of=as_of)
    among = narrowed(book, {**picked, "state": "all"})["opportunity_id"] if picked else None
    legs = figures.waterfall(entity_id=entity.pk, start=start, end=as_of, since=since, until=until, among=among)
    counted = figures.currencies(legs.filter(pl.col("step").is_in(["start", "created", "end"])))
    currency = request.GET.get("currency") or next(iter(counted), entity.currency)
    mine = legs.filter(pl.col("currency") == currency)
    step = request.GET.get("step", "")
    if step and step not in WORDS:
        raise Invalid(f"There is no step {step!r}.", field="step", remedy="Choose a bar of the waterfall.")
    query = {**picked, "as_of": as_of, "start": start, "currency": currency, "since": since or "", "until": until or ""}
    rows = [
        {**row, "label": WORDS[row["step"]], "url": "?" + urlencode({**query, "step": row["step"]})} for row in bridges.summary(mine).to_dicts()
    ]  # fmt: skip
    behind = (
        _deals(entity.pk, as_of, mine.filter(pl.col("step") == step).select("opportunity_id", "amount_minor")) if step else []
    )
    bars = [
        {
            "step": r["label"],
            "major": float(to_major(r["amount_minor"], currency)),
            "shown": format_amount(r["amount_minor"], currency),
        }
        for r in rows
    ]
    newest = None if {r["step"] for r in rows} - {"start", "end"} else figures.reach(entity_id=entity.pk)[1]
    context = {
        "older": _older(newest, start, lambda day: {**picked, "start": day - timedelta(days=28), "as_of": day}),
        "picked": picked, "choices": choices(book), "carried": carried(picked),
        "rows": rows, "chart": waterfall_chart(bars, x="step", y="major", title="Pipeline between two days", y_title=currency, shown="shown"), "start": start, "as_of": as_of,
        "since": since, "until": until, "currency": currency, "currencies": counted, "step": step, "step_label": WORDS.get(step, ""), "behind": behind[:SHOWN],
        "behind_count": len(behind), "columns": DEALS,
    }  # fmt: skip
    return render(request, "pipeline/waterfall.html", context)


@page("pipeline.view")
def people(request: Asked) -> HttpResponse:
    """Everybody who sells, under whom, with what is open and what the last twelve months brought."""
    entity = company(request)
    as_of = day_asked(request, entity)
    since = as_of - YEAR
    book = figures.book(entity_id=entity.pk, as_of=as_of)
    currency = next(iter(figures.currencies(book)), entity.currency)
    mine = book.filter(pl.col("currency") == currency)
    open_ones = (
        mine.filter(pl.col("state") == "open").group_by("rep_id").agg(open_deals=pl.len(), open_minor=pl.col("value_minor").sum())
    )
    ended = figures.closed(mine, since=since, until=as_of + timedelta(days=1))
    is_won = pl.col("state") == "won"
    done = ended.group_by("rep_id").agg(
        won=is_won.sum(), lost=(~is_won).sum(), bookings_minor=pl.col("amount_minor").filter(is_won).sum()
    )
    rows = (
        queries.reps(on=as_of)
        .join(open_ones, on="rep_id", how="left", maintain_order="left")
        .join(done, on="rep_id", how="left", maintain_order="left")
    )
    span = {"since": since.isoformat(), "until": (as_of + timedelta(days=1)).isoformat(), "as_of": as_of.isoformat()}
    shown = [
        {**r, "currency": currency, "url": reverse("pipeline:deals") + carried({"rep": r["name"], "as_of": as_of.isoformat()}), "win_rate": r["won"] / (r["won"] + r["lost"]) if r["won"] is not None and r["won"] + r["lost"] else None,
         "won_url": reverse("pipeline:deals") + carried({**span, "state": "won", "rep": r["name"]})}
        for r in rows.sort(pl.coalesce("manager", "name"), pl.col("manager").is_not_null(), "name").to_dicts()
    ]  # fmt: skip
    names = dict(rows.select("rep_id", "name").iter_rows())
    told = queries.lead_history()
    moved = told.filter(pl.col("rep_id").is_duplicated()).sort("from_on", "rep_id", descending=[True, False]).head(SHOWN)
    moves = [
        {"name": names[r["rep_id"]], "from_on": None if r["from_on"] == leading.ALWAYS else r["from_on"], "lead": names.get(r["manager_id"], "nobody")}
        for r in moved.to_dicts()
    ]  # fmt: skip
    return render(request, "pipeline/people.html", {"rows": shown, "moves": moves, "as_of": as_of, "currency": currency})


def _older(newest: date | None, since: date, span: Callable[[date], dict[str, Any]]) -> dict[str, Any] | None:
    """The way to the newest deals where they lie before what is shown."""
    if newest is None or newest >= since:
        return None
    return {"day": newest, "url": "?" + urlencode(span(newest))}


def _span(request: Asked, since: date, until: date) -> tuple[date, date]:
    """The half-open span of an address. Raises: Invalid."""
    first = day_of(request.GET["since"], "since") if request.GET.get("since") else since
    last = day_of(request.GET["until"], "until") if request.GET.get("until") else until
    if first >= last:
        raise Invalid("The span ends before it begins.", field="until", remedy="Correct one of the two days.")
    return first, last


def _what_if(request: Asked, entity_id: int, told: pl.DataFrame, since: date, until: date, as_of: date) -> dict[str, Any] | None:
    """What raising one step would bring; the first step that loses anybody unless the address names one."""
    steps = told.filter(pl.col("kind") == "open")
    lossy = steps.filter(pl.col("decided") < 1.0)["key"]
    step = request.GET.get("raise") or (lossy[0] if lossy.len() else "")
    points = request.GET.get("points") or "5"
    if not points.isdecimal() or not 1 <= int(points) <= 100:
        raise Invalid("A step is raised by 1 to 100 points.", field="points", remedy="Write 5 for five more of a hundred.")
    last = min(until, as_of + timedelta(days=1))
    won = figures.statistics(entity_id=entity_id, since=last - YEAR, until=last).head(1).to_dicts()
    if not step or step not in steps["key"].to_list() or not won or not won[0]["average_minor"]:
        return None
    weeks = max((last - since).days, 1) / 7
    found = funnels.raised(told, step=step, points=int(points), average_minor=won[0]["average_minor"], weeks_of_cohort=weeks)
    return {
        "step": step,
        "points": int(points),
        "found": found,
        "currency": won[0]["currency"],
        "average_minor": won[0]["average_minor"],
        "steps": steps.select("key", "name").to_dicts(),
    }


def _deals(entity_id: int, as_of: date, wanted: pl.DataFrame) -> list[dict[str, Any]]:
    """The deals behind a figure with their names, the largest first."""
    book = queries.deals(entity_id=entity_id, as_of=as_of)
    labels = figures.labels(book, on=as_of).select(
        "opportunity_id", "number", "name", "customer", "rep", "currency", "value_minor"
    )
    found = wanted.join(labels, on="opportunity_id", how="left", maintain_order="left")
    if "amount_minor" not in found.columns:
        found = found.with_columns(amount_minor="value_minor")
    rows = found.sort(pl.col("amount_minor").abs(), "opportunity_id", descending=[True, False], nulls_last=True)
    return [{**r, "url": reverse("pipeline:deal", args=[r["opportunity_id"]])} for r in rows.to_dicts()]
