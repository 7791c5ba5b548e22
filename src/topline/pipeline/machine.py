"""What the machines say about the quarter: the deals of a company as the engine's book, its forecast by every method, and how wrong they were."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from topline.engine import quotas as engine
from topline.engine.deals import backtest
from topline.engine.deals.book import Book
from topline.engine.deals.model import Forecast, Model
from topline.engine.deals.reasons import reasons
from topline.kernel import bulk
from topline.kernel.errors import Invalid, ensure
from topline.pipeline import figures, forecast, queries
from topline.pipeline.models import FrozenSalesForecast, Opportunity

FEWEST = 100  # closed deals before anything is learned from them
METHODS = {
    backtest.DEALS: "each deal's chance and week", backtest.SNAPSHOT: "of what is open now, and of what is still to come",
    backtest.STAGES: "open deals by the share won of their stage", backtest.RATE: "the bookings of the last 91 days go on",
    backtest.THIRTY: "the bookings of the last 30 days go on", backtest.LAST: "as many days before, again",
}  # fmt: skip
RECORD_MONDAYS, REHEARSED_MONDAYS = 13, 26
UNASKED = 20_000  # deals up to which the past is rehearsed without anybody asking
REHEARSED = "rehearsed"
KINDS = ["machine", REHEARSED]
JUDGED_DEALS = 2_000  # of a rehearsed Monday, evenly from all: enough to judge chances by
BP = 10_000
CHANCES = {
    "opportunity_id": pl.Int64, "as_of": pl.Date, "ends_on": pl.Date, "in_period_bp": pl.Int64, "ever_bp": pl.Int64, "by_week": pl.String, "reasons": pl.String,
    "age_days": pl.Int64, "stage_key": pl.String, "stage_days": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """What was said at the end of a day about [start, end).

    methods  one row per method that had enough past: name, amount_minor, p10_minor, p90_minor (of the pool alone: the range is drawn for it), weight (in the pool)
    p10, p50, p90, won: of the pool, minor units. owners: one row per person: owner, p10_minor, p50_minor, p90_minor, p_attain (null without
    quota). people: one row per person with all whom they lead: rep_id, amount_minor (P50), p10_minor, p90_minor, dots_minor (futures of
    equal chance, in order). dots: those of the company. snapshots: past Mondays that the pool learned from. chances: one row per open deal,
    CHANCES (lists as JSON)
    """

    as_of: date
    start: date
    end: date
    currency: str
    methods: pl.DataFrame
    p10_minor: int
    p50_minor: int
    p90_minor: int
    won_minor: int
    owners: pl.DataFrame
    people: pl.DataFrame
    dots: list[int]
    snapshots: int
    chances: pl.DataFrame


@dataclass(frozen=True)
class Frozen:
    """What the machines say on a Monday, for the record: methods (rep_id, null for the company; name, amount_minor, p10_minor, p90_minor,
    dots_minor as JSON) and chances of deals (CHANCES)."""

    methods: pl.DataFrame
    chances: pl.DataFrame


@dataclass(frozen=True)
class Rehearsed:
    """What every method would have said on past Mondays: methods, one row per Monday and method, and on the last one per person with all whom they
    lead, by the pool (as_of, starts_on, ends_on, name, rep_id, amount_minor, p10_minor, p90_minor, currency, dots_minor as JSON); and chances of
    deals (CHANCES)."""

    methods: pl.DataFrame
    chances: pl.DataFrame


@dataclass(frozen=True)
class Said:
    """What the machines said about a period on the last Monday that is on record.

    methods       name, amount_minor, p10_minor, p90_minor, currency, dots_minor (of the pool: futures of equal chance); people: the pool's figure (minor units: P50, P10, P90) of each person
                  with all whom they lead, by rep_id
    is_rehearsed  reckoned later, from what was known before that Monday
    held, judged  how many of the pool's ranges of quarters that are over held what came, of how many
    """

    as_of: date
    is_rehearsed: bool
    methods: list[dict[str, Any]]
    people: dict[int, dict[str, Any]]
    held: int
    judged: int

    @property
    def pool(self) -> dict[str, Any] | None:
        """The pooled figure, where it has a range."""
        return next((m for m in self.methods if m["name"] == backtest.POOL and m["p10_minor"] is not None), None)


def book(*, entity_id: int, as_of: date, currency: str) -> Book:
    """The deals of one currency as they were known at the end of a day, with the stages that they went through.

    A closed deal bears the last stage in which it was open, for the one that it is in now tells how it ended.
    Raises: Invalid when too few are closed to learn from.
    """
    deals = figures.book(entity_id=entity_id, as_of=as_of).filter(pl.col("currency") == currency)
    closed = deals.filter(pl.col("state") != "open").height
    ensure(
        closed >= FEWEST,
        Invalid(f"{closed} deals in {currency} are closed; a forecast needs {FEWEST}.", field="as_of", remedy="Import the deals of the years before."),
    )  # fmt: skip
    kinds = queries.stages().select(after="key", kind="kind")
    told = queries.changes(entity_id=entity_id, until=as_of).join(deals.select("opportunity_id"), on="opportunity_id", how="semi")
    moves = told.filter(pl.col("field") == "stage").join(kinds, on="after", how="left", maintain_order="left")
    moves = moves.filter(pl.col("kind") == "open")
    last = moves.group_by("opportunity_id").agg(stage=pl.col("after").last())
    is_open = pl.col("state") == "open"
    rows = deals.drop("stage").join(last, on="opportunity_id", how="left", maintain_order="left")
    facts = rows.select(
        "team", "segment", "product", "closed_on", "currency", "stage", deal_id="opportunity_id", owner="rep",
        opened_on=pl.coalesce("engaged_on", "opened_on"), outcome=pl.when(~is_open).then("state"),
        value_minor=pl.when(pl.col("state") == "won").then("amount_minor"), list_minor=pl.coalesce("list_minor", pl.when(is_open).then("amount_minor")),
        expected_on=pl.when(is_open).then("close_on"),
    )  # fmt: skip
    if facts["expected_on"].null_count() == facts.height:
        facts = facts.drop("expected_on")
    changes = moves.select("field", "before", "after", "effective_on", deal_id="opportunity_id", recorded_on="effective_on")
    return Book(facts, changes=changes)


def currency_of(*, entity_id: int, as_of: date) -> str:
    """The currency of most deals."""
    return next(iter(figures.currencies(figures.book(entity_id=entity_id, as_of=as_of))), "EUR")


def machine(*, entity_id: int, as_of: date, start: date, end: date, currency: str = "") -> Machine:
    """The forecast of a period by every method and their pool, as known at the end of a day.

    Raises: Invalid (the period is over, too few deals). Work: a training, and one in four of the past Mondays that the pool learns from.
    """
    on = as_of + timedelta(days=1)
    ensure(on < end, Invalid(f"The period was over on {end}.", field="as_of", remedy="Ask for the next one."))
    currency = currency or currency_of(entity_id=entity_id, as_of=as_of)
    known = book(entity_id=entity_id, as_of=as_of, currency=currency)
    record = backtest.record_for(known, on=on, period=backtest.quarter_of(), mondays=RECORD_MONDAYS)
    shot = backtest.snapshot(known, on=on, start=start, end=end, record=record)
    total = shot.pool.total_minor if shot.pool else shot.said[backtest.DEALS]
    future = shot.forecast.scaled(total)
    whole = future.roll_up(widen=shot.widen).row(0, named=True)
    weights = shot.pool.weights if shot.pool else {}
    rows = [
        {"name": name, "amount_minor": round(minor), "p10_minor": None, "p90_minor": None, "weight": weights.get(name)}
        for name, minor in shot.said.items() if name != backtest.POOL
    ]  # fmt: skip
    rows.append(
        {
            "name": backtest.POOL,
            "amount_minor": round(total),
            "p10_minor": whole["p10_minor"],
            "p90_minor": whole["p90_minor"],
            "weight": None,
        }
    )
    schema = {"name": pl.String, "amount_minor": pl.Int64, "p10_minor": pl.Int64, "p90_minor": pl.Int64, "weight": pl.Float64}
    by_owner = future.roll_up("owner", widen=shot.widen).select("owner", "p10_minor", "p50_minor", "p90_minor")
    quotas = forecast.quotas_in_force(entity_id=entity_id, start=start, end=end, as_of=as_of).filter(
        pl.col("currency") == currency
    )
    owned = quotas.join(queries.reps().select("rep_id", owner="name"), on="rep_id").filter(pl.col("scope") == "person")
    names = future.owners.select("owner").join(
        owned.select("owner", "amount_minor"), on="owner", how="left", maintain_order="left"
    )
    chance = engine.projected(future.futures, names["amount_minor"].fill_null(0).to_list())["p_attain"]
    told = names.select("owner", p_attain=pl.when(pl.col("amount_minor").is_not_null()).then(chance))
    return Machine(
        as_of, start, end, currency, pl.DataFrame(rows, schema=schema), whole["p10_minor"], whole["p50_minor"], whole["p90_minor"],
        whole["won_minor"], by_owner.join(told, on="owner", how="left", maintain_order="left"), _people(future, widen=shot.widen, on=as_of),
        future.dots_of(list(range(future.owners.height)), widen=shot.widen), shot.pool.snapshots if shot.pool else 0, _chances(shot.forecast, shot.model, known, as_of=as_of),
    )  # fmt: skip


def frozen_methods(*, entity_id: int, as_of: date) -> Frozen | None:
    """The machines' figures of the running quarter for a Monday's record; None where there is too little to learn from.

    returns  one row per method, and one of the pool for everybody with all whom they lead; and the chances of every open deal
    """
    start, end = forecast.quarter(as_of)
    try:
        found = machine(entity_id=entity_id, as_of=as_of, start=start, end=end)
    except Invalid:
        return None
    columns = ["rep_id", "name", "amount_minor", "p10_minor", "p90_minor", "dots_minor"]
    dots = pl.when(pl.col("name") == backtest.POOL).then(pl.lit(json.dumps(found.dots)))
    whole = found.methods.with_columns(rep_id=pl.lit(None, dtype=pl.Int64), dots_minor=dots).select(columns)
    return Frozen(pl.concat([whole, found.people.with_columns(name=pl.lit(backtest.POOL)).select(columns)]), found.chances)


def said(*, entity_id: int, start: date, end: date, as_of: date) -> Said | None:
    """What the machines said last about [start, end) by a day, and how often such ranges held; None where nothing is on record.

    Work: three statements beside the book of the day.
    """
    of_machines = FrozenSalesForecast.objects.filter(entity_id=entity_id, kind__in=KINDS, as_of__lte=as_of)
    mine = of_machines.filter(starts_on=start, ends_on=end).order_by("-as_of", "kind")  # frozen before rehearsed
    last = mine.values("as_of", "kind").first()
    if last is None:
        return None
    fields = ["name", "rep_id", "amount_minor", "p10_minor", "p90_minor", "currency", "dots_minor"]
    rows = list(mine.filter(**last).order_by("id").values(*fields)[:10_000])
    held, judged = held_so_far(entity_id=entity_id, as_of=as_of)
    people = {r["rep_id"]: r for r in rows if r["rep_id"] is not None}
    return Said(last["as_of"], last["kind"] == REHEARSED, [r for r in rows if r["rep_id"] is None], people, held, judged)


def held_so_far(*, entity_id: int, as_of: date) -> tuple[int, int]:
    """How many of the pool's ranges of quarters that are over held what came, and of how many. One statement beside the book of the day."""
    of_machines = FrozenSalesForecast.objects.filter(entity_id=entity_id, kind__in=KINDS, as_of__lte=as_of)
    over = bulk.read(
        of_machines.filter(name=backtest.POOL, rep__isnull=True, p10_minor__isnull=False, ends_on__lte=as_of).values(
            "starts_on", "ends_on", "p10_minor", "p90_minor", "currency"
        )
    )
    won = figures.book(entity_id=entity_id, as_of=as_of).filter(pl.col("state") == "won")
    spans = over.select("starts_on", "ends_on", "currency").unique()
    came = spans.join(won.select("closed_on", "currency", "value_minor"), on="currency", how="left").filter(
        (pl.col("closed_on") >= pl.col("starts_on")) & (pl.col("closed_on") < pl.col("ends_on"))
    )
    truth = came.group_by("starts_on", "ends_on", "currency").agg(pl.col("value_minor").sum())
    told = over.join(truth, on=["starts_on", "ends_on", "currency"], how="left").with_columns(pl.col("value_minor").fill_null(0))
    held = told.filter(pl.col("value_minor").is_between("p10_minor", "p90_minor")).height
    return held, told.height


def rehearsals(*, entity_id: int, as_of: date) -> Rehearsed | None:
    """What every method would have said about its quarter on each of the last Mondays whose quarter is over, for the record; None where too
    little is known.

    Work: a training a Monday.
    """
    try:
        found = record(entity_id=entity_id, as_of=as_of, mondays=REHEARSED_MONDAYS)
    except Invalid:
        return None
    whole = [pl.col(c).round().cast(pl.Int64) for c in ("p10_minor", "p90_minor")]
    currency = currency_of(entity_id=entity_id, as_of=as_of)
    methods = found.weeks.select(
        as_of="on", starts_on="start", ends_on="end", name="method", amount_minor=pl.col("forecast_minor").round().cast(pl.Int64), currency=pl.lit(currency),
        dots_minor=pl.col("dots_minor").map_elements(lambda dots: json.dumps(dots.to_list()), return_dtype=pl.String),
    ).hstack(found.weeks.select(*whole))  # fmt: skip
    last = found.last
    if last is None:
        return Rehearsed(methods, pl.DataFrame(schema=CHANCES))
    before = found.chances.filter(pl.col("on") < last.forecast.on)
    every = pl.col("_nth") % pl.max_horizontal(pl.col("_all") // JUDGED_DEALS, 1) == 0
    sampled = before.with_columns(_nth=pl.int_range(pl.len()).over("on"), _all=pl.len().over("on")).filter(every)
    judged = sampled.select(
        opportunity_id="deal_id", as_of="on", ends_on="end", in_period_bp=_bp("p_won"), ever_bp=_bp("p_ever"), by_week=pl.lit("[]"), reasons=pl.lit("[]"),
        age_days=pl.lit(None, dtype=pl.Int64), stage_key=pl.lit(""), stage_days=pl.lit(None, dtype=pl.Int64),
    )  # fmt: skip
    day, span = last.forecast.on, {"starts_on": last.forecast.start, "ends_on": last.forecast.end}
    people = _people(last.forecast, widen=last.widen, on=day).with_columns(
        as_of=pl.lit(day),
        name=pl.lit(backtest.POOL),
        currency=pl.lit(currency),
        **{name: pl.lit(on) for name, on in span.items()},
    )
    methods = pl.concat([methods.with_columns(rep_id=pl.lit(None, dtype=pl.Int64)), people], how="diagonal_relaxed")
    known = book(entity_id=entity_id, as_of=as_of, currency=currency)
    return Rehearsed(methods, pl.concat([judged, _chances(last.forecast, last.model, known, as_of=day)]))


def to_rehearse(*, entity_id: int, as_of: date) -> Rehearsed | None:
    """As `rehearsals`, where none is on record yet and it takes minutes: for a company whose deals came in with their past. With more than
    UNASKED deals somebody asks for it, so that the worker is not kept from the rest of the day's work."""
    known = FrozenSalesForecast.objects.filter(entity_id=entity_id, kind=REHEARSED)
    if known.exists() or Opportunity.objects.filter(entity_id=entity_id).count() > UNASKED:
        return None
    return rehearsals(entity_id=entity_id, as_of=as_of)


def record(*, entity_id: int, as_of: date, mondays: int) -> backtest.Backtest:
    """How wrong each method was about quarters on past Mondays, each seeing only what was known by then.

    Only Mondays whose quarter is over by the day count, and none after the quarter in which a deal was last decided: a book that
    ends there says nothing of later ones. Raises: Invalid (too few deals, too short a past).
    """
    currency = currency_of(entity_id=entity_id, as_of=as_of)
    known = book(entity_id=entity_id, as_of=as_of, currency=currency)
    period = backtest.quarter_of()
    decided = known.deals["closed_on"].max()
    if isinstance(decided, date):
        as_of = min(as_of, period(decided)[1] - timedelta(days=1))
    over = [
        day
        for day in backtest.mondays_before(as_of + timedelta(days=1), mondays + 13)
        if period(day)[1] <= as_of + timedelta(days=1)
    ]
    first = known.deals.filter(pl.col("closed_on").is_not_null()).sort("closed_on")["closed_on"].to_list()[0]
    seen = [day for day in over if (day - first).days > 91][-mondays:]
    ensure(bool(seen), Invalid("No quarter is over that could be judged.", field="as_of", remedy="Import the deals of the years before."))  # fmt: skip
    return backtest.backtest(
        known, first=seen[0], mondays=len(seen), rehearsals=min(12, (seen[0] - first).days // 7 - 5), period=period
    )


def _people(future: Forecast, *, widen: float, on: date) -> pl.DataFrame:
    """The pool's figure of everybody with all whom they lead on a day: rep_id, amount_minor (P50), p10_minor, p90_minor; two of one name are left out."""
    reps = queries.reps(on=on)
    above = dict(reps.select("rep_id", "manager_id").iter_rows())
    at = {name: number for number, name in enumerate(future.owners["owner"])}
    columns: dict[int, list[int]] = {}
    for rep_id, name in reps.filter(pl.col("name").is_unique()).select("rep_id", "name").iter_rows():
        node = rep_id if name in at else None
        while node is not None:
            columns.setdefault(node, []).append(at[name])
            node = above[node]
    rows = [
        (rep_id, *(round(v) for v in future.range_of(mine, widen=widen)), json.dumps(future.dots_of(mine, widen=widen)))
        for rep_id, mine in columns.items()
    ]
    schema = {"rep_id": pl.Int64, "p10_minor": pl.Int64, "amount_minor": pl.Int64, "p90_minor": pl.Int64, "dots_minor": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _bp(name: str) -> pl.Expr:
    return (pl.col(name).clip(0.0, 1.0) * BP).round().cast(pl.Int64)


def _chances(future: Forecast, model: Model, known: Book, *, as_of: date) -> pl.DataFrame:
    """The chances of the deals of a forecast, with weeks and reasons, as rows of the record: CHANCES."""
    if future.deals.is_empty():
        return pl.DataFrame(schema=CHANCES)
    why = reasons(model, known, on=future.on).with_columns(bp=(pl.col("moves") * BP).round().cast(pl.Int64))
    steps: dict[int, list[list[Any]]] = {}
    for deal_id, factor, value, bp in why.select("deal_id", "factor", "value", "bp").iter_rows():
        steps.setdefault(deal_id, []).append([factor, value, bp])
    moment = why.unique("deal_id", keep="first", maintain_order=True).select("deal_id", "age_days", "stage_days", stage_key=pl.col("stage").fill_null(""))  # fmt: skip
    weeks = [json.dumps([round(BP * p) for p in row]) for row in future.by_week.tolist()]
    rows = future.deals.select(
        "deal_id", opportunity_id="deal_id", as_of=pl.lit(as_of), ends_on=pl.lit(future.end), in_period_bp=_bp("p_won"), ever_bp=_bp("p_ever"),
        by_week=pl.Series(weeks, dtype=pl.String), reasons=pl.Series([json.dumps(steps[pk]) for pk in future.deals["deal_id"]], dtype=pl.String),
    )  # fmt: skip
    return rows.join(moment, on="deal_id", how="left", maintain_order="left").select(list(CHANCES))
