"""What the machines say about the quarter: the deals of a company as the engine's book, its forecast by every method, and how wrong they were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from topline.engine import quotas as engine
from topline.engine.deals import backtest
from topline.engine.deals.book import Book
from topline.kernel.errors import Invalid, ensure
from topline.pipeline import figures, forecast, queries

FEWEST = 100  # closed deals before anything is learned from them
METHODS = {
    backtest.DEALS: "each deal's chance and week", backtest.SNAPSHOT: "of what is open now, and of what is still to come",
    backtest.STAGES: "open deals by the share won of their stage", backtest.RATE: "the bookings of the last 91 days go on",
    backtest.THIRTY: "the bookings of the last 30 days go on", backtest.LAST: "as many days before, again",
}  # fmt: skip
RECORD_MONDAYS = 13


@dataclass(frozen=True)
class Machine:
    """What was said at the end of a day about [start, end).

    methods  one row per method that had enough past: name, amount_minor, p10_minor, p90_minor (of the pool alone: the range is drawn for it), weight (in the pool)
    p10, p50, p90, won: of the pool, minor units. owners: one row per person: owner, p10_minor, p50_minor, p90_minor, p_attain (null without
    quota). snapshots: past Mondays that the pool learned from
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
    snapshots: int


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
        whole["won_minor"], by_owner.join(told, on="owner", how="left", maintain_order="left"), shot.pool.snapshots if shot.pool else 0,
    )  # fmt: skip


def frozen_methods(*, entity_id: int, as_of: date) -> pl.DataFrame | None:
    """The machines' figures of the running quarter for a Monday's record; None where there is too little to learn from."""
    start, end = forecast.quarter(as_of)
    try:
        return machine(entity_id=entity_id, as_of=as_of, start=start, end=end).methods.drop("weight")
    except Invalid:
        return None


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
