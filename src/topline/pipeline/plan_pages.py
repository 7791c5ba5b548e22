"""Pages of the plan: quotas and how they are shared out, the forecast board with its calls, and how right both were."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

import polars as pl
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from topline.books.company import company, day_asked
from topline.books.models import Entity
from topline.engine import quotas as engine
from topline.kernel import clock
from topline.kernel.errors import DomainError, NotFound
from topline.kernel.models import OutboxMessage
from topline.kernel.money import to_major
from topline.pipeline import calls, chances, figures, forecast, quotas
from topline.pipeline import machine as machines
from topline.pipeline.forms import CallForm, QuotaForm, SplitForm
from topline.pipeline.models import ForecastCall, Rep
from topline.pipeline.pages import carried, day_of
from topline.team import queries as team
from topline.ui.access import Asked, page
from topline.ui.charts import Chart, bar_chart, dots_chart, quantile_dots
from topline.ui.format import day as format_day
from topline.ui.format import money
from topline.ui.tables import Column

WEEK = timedelta(days=7)
QUARTERS = 60  # offered to choose from
SHOWN = 100  # deals and calls of the side panel
DEALS = [Column("number", "Number", "code", link="url"), Column("name", "Deal", link="url"), Column("category", "Category", "badge"), Column("value_minor", "Value", "money"), Column("currency", ""),
         Column("close_on", "Closes", "date")]  # fmt: skip
WHAT = {"deals": "Deals", "changes": "Changes of the week", "log": "Calls"}
CATEGORIES = {"commit": "Commit", "most_likely": "Most likely", "best_case": "Best case"}
BY = {"method": "Method", "person": "Person", "week": "Week of the quarter"}
BY_WORDS = {"override": "by override", "own call": "own call", "sum": "sum of the calls below", "": "nobody has called yet"}
KIND_WORDS = {"call": "Call", "category": "Deals", "machine": "Machine", "rehearsed": "Rehearsed"}


@page("pipeline.view")
def plan(request: Asked) -> HttpResponse:
    """Quotas of a quarter in the tree of the team, how far along each is, and the form that shares a target out: preview, then write."""
    entity, as_of, start, end = _asked(request)
    board = forecast.board(entity_id=entity.pk, start=start, end=end, as_of=as_of)
    form = SplitForm(
        request.GET if "target" in request.GET else None,
        initial={"currency": board.currency, "method": "history", "buffer": 0, "agreed_on": as_of},
    )
    told: list[dict[str, Any]] = []
    if form.is_bound and form.is_valid():
        try:
            on = form.on(clock.today(entity.time_zone), unless_said=as_of)
            told = quotas.split_preview(entity_id=entity.pk, start=start, end=end, on=on, **form.wanted()).to_dicts()
        except DomainError as error:
            form.add_error(None, str(error))
    machine = machines.said(entity_id=entity.pk, start=start, end=end, as_of=as_of)
    rows = [
        {**r, "likely": _likely(machine, r, board.currency)} for r in board.rows.to_dicts() if r["quota_minor"] is not None or r["level"] == 0
    ]  # fmt: skip
    bars = [
        {"who": r["name"], "percent": round(100 * (r["attainment"] or 0)), "shown": f"{100 * (r['attainment'] or 0):.0f} %"}
        for r in rows if r["level"] == (1 if sum(x["level"] == 1 for x in rows) > 1 else 2)
    ]  # fmt: skip
    quotas_by_line = forecast.quotas_by_line(entity_id=entity.pk, start=start, end=end, as_of=as_of, currency=board.currency)
    context = {
        **_shared(request, board), "rows": rows, "form": form, "machine": machine, "lines": quotas_by_line, "may_set": request.actor.may("pipeline.set_quotas"), "preview": told, "preview_currency": form.cleaned_data.get("currency", "") if told else "",
        "may": request.actor.may("pipeline.split_quota"), "chart": bar_chart(bars, x="who", y="percent", title="Attainment, per cent", y_title="%", shown="shown") if bars else None,
    }  # fmt: skip
    return render(request, "pipeline/quotas.html", context, status=400 if form.errors else 200)


@page("pipeline.set_quotas", methods=("GET", "POST"))
def set_quota(request: Asked) -> HttpResponse:
    """Set one quota by hand: of the company, a team or a person, of all that is sold or one product line, in money or in deals."""
    entity = company(request)
    start, end = forecast.quarter(day_of(request.GET.get("quarter") or clock.today(entity.time_zone).isoformat(), "quarter"))
    today = clock.today(entity.time_zone)
    form = QuotaForm(request.POST or None, initial={"starts_on": start, "ends_on": end, "currency": _currency(entity), "agreed_on": today})  # fmt: skip
    row = form.row() if form.is_valid() else None
    back = f"{reverse('pipeline:quotas')}?{urlencode({'quarter': start})}"
    if row is not None:
        try:
            told = pl.DataFrame([row], schema_overrides={"rep_id": pl.Int64})
            quotas.set_quotas(actor=request.actor, entity_id=entity.pk, quotas=told, on=form.on(today))
        except DomainError as error:
            field = {"rep_id": "owner", "amount_minor": "amount"}.get(error.field, error.field)
            form.add_error(field if field in form.fields else None, str(error))
        else:
            messages.success(request, "The quota is set; what stood there before is kept for the days before.")
            return redirect(back)
    context = {"form": form, "title": "Set a quota", "back": ("Quotas", back)}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("pipeline.split_quota", methods=("POST",))
def split(request: Asked) -> HttpResponse:
    """Write the split that was previewed."""
    entity = company(request)
    start, end = forecast.quarter(day_of(request.POST.get("quarter", ""), "quarter"))
    form = SplitForm(request.POST)
    back = f"{reverse('pipeline:quotas')}?{urlencode({'quarter': start})}"
    if not form.is_valid():
        messages.error(request, "The target could not be read.")
        return redirect(back)
    on = form.on(clock.today(entity.time_zone))
    made = quotas.split_quota(actor=request.actor, entity_id=entity.pk, start=start, end=end, on=on, **form.wanted())
    messages.success(request, f"{made} quotas are set.")
    return redirect(back)


@page("pipeline.view")
def sales_forecast(request: Asked) -> HttpResponse:
    """Everybody of the tree with calls, metrics and targets of a quarter, what moved since last week, and one of them in the side panel."""
    entity, as_of, start, end = _asked(request)
    board = forecast.board(entity_id=entity.pk, start=start, end=end, as_of=as_of)
    before = forecast.board(entity_id=entity.pk, start=start, end=end, as_of=as_of - WEEK, currency=board.currency)
    machine = machines.said(entity_id=entity.pk, start=start, end=end, as_of=as_of)
    is_over = end <= clock.today(entity.time_zone)
    may_call = (
        calls.callable_by(actor=request.actor, start=start)
        if request.actor.may("pipeline.submit_call") and not is_over
        else set()
    )
    moved = ["commit_call", "best_case_call", "won_minor", "commit_forecast", "best_case_forecast"]
    then = {r["rep_id"]: r for r in before.rows.to_dicts()}
    shared = _shared(request, board)
    rows = []
    for r in board.rows.to_dicts():
        old = then.get(r["rep_id"], {})
        deltas = {c: r[c] - old[c] if r[c] is not None and old.get(c) is not None else None for c in moved}
        url = "?" + urlencode({**shared["query"], "rep": r["rep_id"] or 0})
        call_url = (
            f"{reverse('pipeline:call', args=[r['rep_id']])}?{urlencode({'quarter': start})}" if r["rep_id"] in may_call else ""
        )
        rows.append(
            {**r, "delta": deltas, "url": url, "call_url": call_url, "is_stale": (r["stale_days"] or 0) > forecast.STALE_DAYS,
             "machine": (machine.people.get(r["rep_id"]) if r["rep_id"] else machine.pool) if machine else None,
             "is_below": r["commit_call"] is not None and r["commit_call"] < r["won_minor"]}
        )  # fmt: skip
    picked = next((r for r in rows if str(r["rep_id"] or 0) == request.GET.get("rep")), None)
    what = request.GET.get("what", "deals")
    if what not in WHAT or ("rep" in request.GET and picked is None):
        raise NotFound("There is no such part of the board.", field="rep", remedy="Choose a name on the board.")
    context = {
        **shared, "rows": rows, "picked": picked, "what": what, "whats": WHAT, "columns": DEALS, "stale_days": forecast.STALE_DAYS, "segments": board.segments.to_dicts(),
        "machine": machine, "methods": machines.METHODS, "futures": _futures(machine, picked, board), "has_likely": board.rows["most_likely_call"].null_count() < board.rows.height, "by_words": BY_WORDS,
        **(_panel(entity, board, picked, what) if picked else {}),
    }  # fmt: skip
    return render(request, "pipeline/forecast.html", context)


@page("pipeline.submit_call", methods=("GET", "POST"))
def call(request: Asked, rep_id: int) -> HttpResponse:
    """Make a call for a person; for somebody else it is an override, with its reason."""
    entity = company(request)
    rep = Rep.objects.filter(pk=rep_id).first()
    if rep is None:
        raise NotFound(f"There is no sales person {rep_id}.", field="rep_id")
    today = clock.today(entity.time_zone)
    start, end = forecast.quarter(day_of(request.GET.get("quarter") or today.isoformat(), "quarter"))
    own = request.actor.member_id is not None and rep.member_id == request.actor.member_id
    currency = _currency(entity)
    form = CallForm(request.POST or None, currency=currency, may_override=not own and request.actor.may("pipeline.override_call"))
    if form.is_valid():
        facts = {"entity_id": entity.pk, "rep_id": rep.pk, "start": start, "end": end, "category": form.cleaned_data["category"], "currency": currency, "on": today}  # fmt: skip
        try:
            if form.cleaned_data.get("override"):
                calls.override_call(
                    actor=request.actor, amount_minor=form.amount_minor, reason=form.cleaned_data["note"], **facts
                )
            elif form.amount_minor is None:
                form.add_error("amount", "Say an amount.")
            else:
                calls.submit_call(actor=request.actor, amount_minor=form.amount_minor, note=form.cleaned_data["note"], **facts)
        except DomainError as error:
            form.add_error({"amount_minor": "amount", "reason": "note"}.get(error.field, error.field if error.field in form.fields else None), str(error))  # fmt: skip
    if form.is_bound and form.is_valid():
        messages.success(request, f"The call of {rep.name} is on the board.")
        return redirect(f"{reverse('pipeline:forecast')}?{urlencode({'quarter': start, 'rep': rep.pk, 'what': 'log'})}")
    back = ("Forecast", f"{reverse('pipeline:forecast')}?{urlencode({'quarter': start})}")
    title = f"{rep.name}: {format_day(start)} to {format_day(end - timedelta(days=1))}"
    context = {"form": form, "title": title, "back": back, "what": _told(entity, rep.pk, start, end, today, currency)}
    return render(request, "ui/form.html", context, status=400 if form.errors else 200)


@page("pipeline.view")
def accuracy(request: Asked) -> HttpResponse:
    """How right frozen calls, categories and machines were about quarters that are over."""
    entity = company(request)
    as_of = day_asked(request, entity)
    by = request.GET.get("by", "method")
    rows = [
        {**r, "method": _method_words(r["method"])} for r in forecast.accuracy(entity_id=entity.pk, as_of=as_of, by=by).to_dicts()
    ]
    bars = [{"method": r["method"], "percent": round(100 * r["wape"], 1), "shown": f"{100 * r['wape']:.1f} %"} for r in rows if r["wape"] is not None] if by == "method" else []  # fmt: skip
    chart = (
        dots_chart(bars, y="method", x="percent", title="Error (WAPE) by method, per cent", x_title="%", shown="shown")
        if bars
        else None
    )
    waits = OutboxMessage.objects.filter(topic="rehearse_sales", key__startswith=f"rehearse_sales:{entity.pk}:", state=OutboxMessage.State.WAITING).exists()  # fmt: skip
    context = {"chances": chances.kept(entity_id=entity.pk, as_of=as_of), "fewest": chances.FEWEST, "rows": rows, "by": by, "bys": BY, "as_of": as_of, "chart": chart, "waits": waits, "may_rehearse": request.actor.may("pipeline.ask_rehearsal")}  # fmt: skip
    return render(request, "pipeline/accuracy.html", context)


@page("pipeline.ask_rehearsal", methods=("POST",))
def rehearse(request: Asked) -> HttpResponse:
    """Have the methods rehearse on the past."""
    entity = company(request)
    calls.ask_rehearsal(actor=request.actor, entity_id=entity.pk, as_of=clock.today(entity.time_zone))
    messages.success(request, "The methods rehearse on past Mondays; this page shows how wrong they were in some minutes.")
    return redirect("pipeline:accuracy")


def _method_words(text: str) -> str:
    """`Deals: best case and surer` of what the record calls `category: best case forecast`."""
    kind, _, name = text.partition(": ")
    if not name:
        return text.capitalize()
    return f"{KIND_WORDS.get(kind, kind)}: {name.removesuffix(' forecast') + ' and surer' if kind == 'category' else name}"


def _told(entity: Entity, rep_id: int, start: date, end: date, today: date, currency: str) -> str:
    """What stands on the board of a person, for who is about to call."""
    rows = forecast.board(entity_id=entity.pk, start=start, end=end, as_of=today, currency=currency).rows
    row = next((r for r in rows.to_dicts() if r["rep_id"] == rep_id), None)
    if row is None:
        return ""
    said = f"; called {money(row['commit_call'], currency)} ({BY_WORDS[row['commit_by']]})" if row["commit_by"] else ""
    deals = (
        f"with commit deals {money(row['commit_forecast'], currency)}",
        f"with best case {money(row['best_case_forecast'], currency)}",
    )
    return f"Won {money(row['won_minor'], currency)} {currency}, {', '.join(deals)}{said}"


def _currency(entity: Entity) -> str:
    """That of most deals, for they may be in another than the books."""
    today = clock.today(entity.time_zone)
    return next(iter(figures.currencies(figures.book(entity_id=entity.pk, as_of=today))), entity.currency)


def _asked(request: Asked) -> tuple[Entity, date, date, date]:
    """Company, day and quarter of an address: that of the day unless it says another."""
    entity = company(request)
    as_of = day_asked(request, entity)
    start, end = forecast.quarter(day_of(request.GET.get("quarter") or as_of.isoformat(), "quarter"))
    return entity, as_of, start, end


def _futures(machine: machines.Said | None, picked: dict[str, Any] | None, board: forecast.Board) -> dict[str, Any] | None:
    """What the quarter may bring the company, or who was picked, as futures of equal chance beside the quota; None where none were drawn."""
    who = picked or {"rep_id": None, "name": "Company", "quota_minor": board.company["quota_minor"]}
    told = None if machine is None else machine.people.get(who["rep_id"]) if who["rep_id"] else machine.pool
    if told is None or not told["dots_minor"] or told["currency"] != board.currency:
        return None
    dots, quota, currency = told["dots_minor"], who["quota_minor"], board.currency
    rows = [
        {"major": float(to_major(minor, currency)), "shown": money(minor, currency), "least": f"{100 - 100 * (place + 0.5) / len(dots):.1f} %"}
        for place, minor in enumerate(dots)
    ]  # fmt: skip
    marks = [("Quota", float(to_major(quota, currency)))] if quota else []
    chart: Chart | None = quantile_dots(rows, x="major", title=f"{who['name']}: what the quarter may bring", x_title=currency, shown="shown", chance="least", marks=marks)  # fmt: skip
    reaching = sum(minor >= quota for minor in dots) if quota else None
    return {"chart": chart, "name": who["name"], "dots": len(dots), "reaching": reaching, "quota_minor": quota}


def _likely(machine: machines.Said | None, row: dict[str, Any], currency: str) -> dict[str, Any] | None:
    """Where the machines see somebody at the end of the period, and how likely their quota is reached."""
    told = None if machine is None else machine.people.get(row["rep_id"]) if row["rep_id"] else machine.pool
    if told is None or told["p10_minor"] is None or told["currency"] != currency:
        return None
    quota, p50 = row["quota_minor"], told["amount_minor"]
    reached = engine.chance(quota, p10_minor=told["p10_minor"], p50_minor=p50, p90_minor=told["p90_minor"]) if quota else None
    return {**told, "in_100": None if reached is None else round(100 * reached)}


def _shared(request: Asked, board: forecast.Board) -> dict[str, Any]:
    """What the pages of a quarter have in common."""
    query = {"as_of": board.as_of.isoformat(), "quarter": board.start.isoformat()}
    begun, newest = figures.reach(entity_id=company(request).pk)
    day, last = (
        forecast.quarter(min(begun or board.start, board.start - timedelta(days=1)))[0],
        max(board.end, forecast.quarter(board.as_of)[1]),
    )
    days = [day]
    while days[-1] < last:
        days.append(forecast.quarter(days[-1])[1])
    quarters = [{"start": day, "label": f"{day.year} Q{(day.month + 2) // 3}"} for day in days[-QUARTERS:]]
    older = newest if newest and newest < board.start and not board.company["won_minor"] else None
    return {"board": board, "company": board.company, "as_of": board.as_of, "start": board.start, "end": board.end, "last": board.end - timedelta(days=1), "currency": board.currency, "query": query,
            "quarters": quarters, "gone": board.gone, "older": older, "older_start": forecast.quarter(older)[0] if older else None}  # fmt: skip


def _panel(entity: Entity, board: forecast.Board, picked: dict[str, Any], what: str) -> dict[str, Any]:
    """The deals behind a name of the board, the week's changes of them, or its calls."""
    below = _below(board.rows, picked["rep_id"])
    if what == "log":
        found = ForecastCall.objects.filter(entity_id=entity.pk, starts_on=board.start, ends_on=board.end, rep_id__in=below, made_on__lte=board.as_of)  # fmt: skip
        made = list(found.select_related("rep").order_by("-made_on", "-id")[:SHOWN])
        who = team.actor_names(list({c.actor_key for c in made}))
        return {"calls": [{"call": c, "who": who[c.actor_key], "category": CATEGORIES[c.category]} for c in made]}
    book = figures.book(entity_id=entity.pk, as_of=board.as_of).filter(pl.col("rep_id").is_in(below))
    if what == "changes":
        legs = figures.waterfall(entity_id=entity.pk, start=board.as_of - WEEK, end=board.as_of)
        mine = legs.join(book.select("opportunity_id", "number", "name"), on="opportunity_id")
        mine = mine.filter(~pl.col("step").is_in(["start", "end"]))
        rows = mine.sort(pl.col("amount_minor").abs(), "opportunity_id", descending=[True, False]).head(SHOWN).to_dicts()
        return {
            "changes": [
                {**r, "url": reverse("pipeline:deal", args=[r["opportunity_id"]]), "step": r["step"].replace("_", " ")}
                for r in rows
            ]
        }
    open_ones = book.filter((pl.col("state") == "open") & (pl.col("close_on").is_null() | (pl.col("close_on") < board.end)))
    rows = open_ones.sort("value_minor", descending=True, nulls_last=True).head(SHOWN).to_dicts()
    name = picked["name"] if picked["rep_id"] and picked["level"] > 1 else ""
    more = reverse("pipeline:deals") + carried({"rep": name, "as_of": board.as_of.isoformat()})
    return {
        "deals": [{**r, "url": reverse("pipeline:deal", args=[r["opportunity_id"]])} for r in rows],
        "deals_count": open_ones.height,
        "more": more,
    }


def _below(rows: pl.DataFrame, rep_id: int | None) -> list[int]:
    """A person and everybody below them; all for the company."""
    if rep_id is None:
        return [int(r) for r in rows["rep_id"].drop_nulls()]
    found = {rep_id}
    for one, lead in rows.select("rep_id", "lead_id").iter_rows():  # leads stand above those they lead
        if lead in found:
            found.add(one)
    return sorted(found)
