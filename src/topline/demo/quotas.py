"""The demo company's plan: quotas of the last quarter and this one, calls every week with an override, and Mondays that were frozen."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

import polars as pl

from topline.kernel.actor import Actor
from topline.pipeline import calls, figures, forecast, machine, queries, quotas
from topline.pipeline.models import ForecastCall

CURRENCY = "EUR"
BUFFER = 10  # per cent that the quotas of people exceed the company's target
GROWTH = 115  # per cent of what the quarter before brought
WEEK = timedelta(days=7)


def play(*, actor: Actor, entity_id: int, end: date, seed: int) -> None:
    """Share the targets out, let everybody call week by week, and write the Mondays of the last quarter down."""
    dice = random.Random(seed + 4)  # noqa: S311 (a play, not a secret)
    this = forecast.quarter(end)
    last = forecast.quarter(this[0] - timedelta(days=1))
    for start, until in (last, this):
        target = _brought(entity_id, start) * GROWTH // 100
        quotas.split_quota(
            actor=actor, entity_id=entity_id, start=start, end=until, target_minor=max(target, 10_000_00), currency=CURRENCY, on=start, buffer_percent=BUFFER
        )  # fmt: skip
        _by_line(actor, entity_id, start, until, target)
        monday = start + timedelta(days=-start.weekday() % 7)
        while monday < min(until, end + timedelta(days=1)):
            _call(actor, entity_id, start, until, monday, dice)
            if start == last[0]:
                calls.freeze_sales_forecast(actor=actor, entity_id=entity_id, as_of=monday)
            monday += 2 * WEEK
    monday = end - timedelta(days=end.weekday())
    said = machine.frozen_methods(entity_id=entity_id, as_of=monday)
    calls.freeze_sales_forecast(actor=actor, entity_id=entity_id, as_of=monday, told=said)


def _by_line(actor: Actor, entity_id: int, start: date, until: date, target: int) -> None:
    """What the company is to sell of services, and how many deals each person is to win."""
    people = queries.reps().filter(pl.col("left_on").is_null() & pl.col("manager_id").is_not_null())
    of_services = {
        "scope": "company",
        "rep_id": None,
        "family": "Services",
        "measure": "bookings",
        "amount_minor": max(target // 3, 5_000_00),
        "currency": CURRENCY,
    }
    deals = [
        {"scope": "person", "rep_id": rep, "family": "", "measure": "deals", "amount_minor": 6, "currency": ""}
        for rep in people["rep_id"]
    ]
    rows = pl.DataFrame([of_services, *deals], schema_overrides={"rep_id": pl.Int64}).with_columns(
        starts_on=pl.lit(start), ends_on=pl.lit(until)
    )
    quotas.set_quotas(actor=actor, entity_id=entity_id, quotas=rows, on=start)


def _brought(entity_id: int, start: date) -> int:
    """What the quarter before a day brought, in cents."""
    before = forecast.quarter(start - timedelta(days=1))[0]
    book = figures.book(entity_id=entity_id, as_of=start - timedelta(days=1)).filter(pl.col("state") == "won")
    ended = figures.closed(book, since=before, until=start)
    return int(ended["value_minor"].sum())


def _call(actor: Actor, entity_id: int, start: date, end: date, on: date, dice: random.Random) -> None:
    """Everybody says what they will have sold, each with a habit of calling high or low; now and then the manager knows better."""
    rows = forecast.board(entity_id=entity_id, start=start, end=end, as_of=on, currency=CURRENCY).rows
    here = queries.reps().filter(pl.col("left_on").is_null() & pl.col("manager_id").is_not_null())
    told = rows.join(here.select("rep_id"), on="rep_id").sort("rep_id").to_dicts()
    facts: dict[str, Any] = {"actor": actor, "entity_id": entity_id, "start": start, "end": end, "currency": CURRENCY, "on": on}
    for n, row in enumerate(told):
        if dice.random() < 0.15:
            continue  # forgotten this time: the call grows stale
        habit = (0.8, 1.0, 1.15, 0.95)[n % 4]
        commit = round(habit * (row["commit_forecast"] + 0.3 * row["best_case"]) / 100_000) * 100_000
        best = commit + round(0.6 * row["best_case"] / 100_000) * 100_000
        calls.submit_call(**facts, rep_id=row["rep_id"], category=ForecastCall.Category.COMMIT, amount_minor=commit)
        calls.submit_call(**facts, rep_id=row["rep_id"], category=ForecastCall.Category.BEST_CASE, amount_minor=best)
        if n == 2 and commit:
            calls.override_call(
                **facts, rep_id=row["rep_id"], category=ForecastCall.Category.COMMIT, amount_minor=commit * 9 // 10,
                reason="One deal still lacks the signature of its board.",
            )  # fmt: skip
