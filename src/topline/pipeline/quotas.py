"""Verbs for quotas: set them, share a target out over teams and people."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from topline.engine import quotas as engine
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid, ensure
from topline.pipeline import forecast, queries
from topline.pipeline.models import Quota, Rep

METHODS: dict[str, str] = {
    "history": "By what each brought before",
    "capacity": "By what the open pipeline holds",
    "evenly": "Evenly",
}
RAMP = (0.0, 0.25, 0.5, 0.75)  # of a quota in each thirty days of somebody new; whole after them
PERIODS_BACK = 4
WHOLE: dict[str, Any] = {"family": "", "measure": "bookings", "currency": "", "source": "by hand", "note": ""}


class QuotaWithoutOwner(Invalid):
    """A quota names nobody."""

    code = "quota_without_owner"


class OwnerLeft(Invalid):
    """The person no longer sells in the period."""

    code = "quota_owner_left"


@action("pipeline.set_quotas")
def set_quotas(*, actor: Actor, entity_id: int, quotas: pl.DataFrame, on: date) -> int:
    """Say what the company, teams and people are to sell; returns how many were set. A row replaces what stood for its owner and period.

    quotas  one row per quota: scope (company, team, person), rep_id (none for the company), starts_on, ends_on (the day after),
            amount_minor, currency; optional family, measure (bookings, deals), source, note, import_batch_id
    on      the day from which they are known
    Work: a fixed number of statements.
    Raises: QuotaWithoutOwner, OwnerLeft, Invalid (unknown scope, measure, currency or person, amount below 0, period).
    """
    missing = [pl.lit(v).alias(k) for k, v in WHOLE.items() if k not in quotas.columns]
    rows = quotas.with_columns(missing).with_columns(pl.col("rep_id").cast(pl.Int64))
    _check(rows)
    written = bulk.insert(
        Quota,
        rows.with_columns(
            entity_id=pl.lit(entity_id), set_on=pl.lit(on), recorded_at=pl.lit(clock.now()), actor_key=pl.lit(actor.key)
        ),
    )
    changed_many("quota", written["id"])
    return written.height


def split_preview(
    *,
    entity_id: int,
    start: date,
    end: date,
    target_minor: int,
    currency: str,
    on: date,
    method: str = "history",
    buffer_percent: int = 0,
) -> pl.DataFrame:
    """A target shared out from the company to teams to people, as `split_quota` would write it. Changes nothing.

    People carry a part for the days that they are here: who joins or leaves in the period by days, who is new by the ramp of RAMP.
    The rest of a leaver goes to the others of the company and is told in the note.
    method   history: what each brought in the four periods before, as far as that tells about the person and not luck, the rest by what
             their open pipeline is worth; capacity: by the open pipeline alone; evenly: by days alone
    returns  one row per quota, company first, teams, then people: scope, rep_id, name, team, share f64 (of all people), amount_minor,
             note. Every team is the sum of its people, and the company that of the teams
    Raises: Invalid (method, target, period, nobody sells). Work: O(people log people) beside the reads.
    """  # fmt: skip
    ensure(method in METHODS, Invalid(f"{method!r} splits nothing.", field="method", remedy=f"Use one of {', '.join(METHODS)}."))
    ensure(start < end, Invalid("A period ends after it starts.", field="until", remedy="Correct one of the two days."))
    ensure(target_minor > 0, Invalid("A target is above zero.", field="amount", remedy="Say what is to be sold."))
    ensure(0 <= buffer_percent <= 100, Invalid("A buffer is 0 to 100 %.", field="buffer", remedy="Write 10 for 10 %."))
    money.ensure_currency(currency)
    people = _people(start, end, on)
    ensure(people.height > 0, Invalid("Nobody sells in this period.", field="since", remedy="Add sales people first."))
    if method == "evenly":
        people = people.with_columns(potential=pl.lit(1.0))
    else:
        worth = forecast.open_worth(entity_id=entity_id, as_of=on, currency=currency)
        people = people.join(worth, on="rep_id", how="left", maintain_order="left").with_columns(
            potential=pl.col("open_minor").fill_null(0).cast(pl.Float64)
        )
    own = pl.DataFrame(schema={"rep_id": pl.Int64, "history": pl.Float64, "weight": pl.Float64})
    if method == "history":
        past = forecast.past_bookings(entity_id=entity_id, before=start, as_of=on, days=(end - start).days, periods=PERIODS_BACK, currency=currency)  # fmt: skip
        past = past.filter(pl.col("owner").is_in(people["rep_id"].implode()))
        if past.height:
            own = engine.history_weights(past).select("history", "weight", rep_id="owner")
    ready = people.join(own, on="rep_id", how="left", maintain_order="left")
    told = engine.quotas(target_minor, ready, buffer_ppm=buffer_percent * 10_000)
    persons = told.select(
        "rep_id", "name", "team", "share", "note", scope=pl.lit("person"), amount_minor="quota_minor", lead_id="lead_id"
    )
    teams = persons.group_by("lead_id", maintain_order=True).agg(
        name=pl.col("team").first(), team=pl.col("team").first(), share=pl.col("share").sum(), amount_minor=pl.col("amount_minor").sum()
    )  # fmt: skip
    teams = teams.rename({"lead_id": "rep_id"}).with_columns(scope=pl.lit("team"), note=pl.lit(""))
    buffered = (
        f"the target of {money.format_amount(target_minor, currency)} and {buffer_percent} % more" if buffer_percent else ""
    )
    company = pl.DataFrame(
        {"scope": ["company"], "rep_id": [None], "name": ["Company"], "team": [""], "share": [1.0],
         "amount_minor": [persons["amount_minor"].sum()], "note": [buffered]},
        schema_overrides={"rep_id": pl.Int64},
    )  # fmt: skip
    columns = ["scope", "rep_id", "name", "team", "share", "amount_minor", "note"]
    return pl.concat([part.select(columns) for part in (company, teams, persons)])


@action("pipeline.split_quota")
def split_quota(
    *,
    actor: Actor,
    entity_id: int,
    start: date,
    end: date,
    target_minor: int,
    currency: str,
    on: date,
    method: str = "history",
    buffer_percent: int = 0,
) -> int:
    """Share a target out over teams and people and set what comes out; returns how many.

    The company's own quota is the target; with a buffer those of the teams come to more (over-assignment).
    Raises: as `split_preview`.
    """
    told = split_preview(
        entity_id=entity_id, start=start, end=end, target_minor=target_minor, currency=currency, on=on, method=method,
        buffer_percent=buffer_percent,
    )  # fmt: skip
    rows = told.select(
        "scope", "rep_id", "note", starts_on=pl.lit(start), ends_on=pl.lit(end), currency=pl.lit(currency), source=pl.lit("split"),
        amount_minor=pl.when(pl.col("scope") == "company").then(target_minor).otherwise("amount_minor"),
    )  # fmt: skip
    return set_quotas(actor=actor, entity_id=entity_id, quotas=rows, on=on)


def _people(start: date, end: date, on: date) -> pl.DataFrame:
    """Who carries a part of a period, with the share of it: rep_id, name, lead_id, team, capacity, ramp, note. Who only leads carries none."""
    reps = queries.reps(on=forecast.team_day(end=end, as_of=on))
    leads = reps["manager_id"].drop_nulls().unique()
    carrying = reps.filter(~pl.col("rep_id").is_in(leads.implode()))
    rows = []
    for r in carrying.to_dicts():
        active, whole = engine.active_days(start=start, end=end, joined=r["joined_on"], left=r["left_on"])
        begins = max(r["joined_on"] or start, start)
        ramp = engine.ramp(RAMP, joined=r["joined_on"], start=begins, end=end) if r["joined_on"] and begins < end else 1.0
        told = []
        if active < whole and r["left_on"]:
            told.append(f"leaves on {r['left_on']}: {active} of {whole} days, the rest goes to the others")
        elif active < whole:
            told.append(f"joins on {r['joined_on']}: {active} of {whole} days")
        if ramp < 1:
            told.append(f"new: {round(100 * ramp)} % of full capacity")
        if active:
            lead = r["manager_id"] or r["rep_id"]
            rows.append((r["rep_id"], r["name"], lead, r["manager"] or r["name"], active / whole, ramp, "; ".join(told)))
    schema = {"rep_id": pl.Int64, "name": pl.String, "lead_id": pl.Int64, "team": pl.String, "capacity": pl.Float64, "ramp": pl.Float64, "note": pl.String}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _check(rows: pl.DataFrame) -> None:
    ensure(rows.height > 0, Invalid("There is no quota.", field="quotas", remedy="Give one at least."))
    alone = rows.filter((pl.col("scope") != "company") & pl.col("rep_id").is_null())
    ensure(alone.is_empty(), QuotaWithoutOwner("A quota needs an owner.", field="rep_id", remedy="Say whose it is."))
    odd = rows.filter((pl.col("scope") == "company") & pl.col("rep_id").is_not_null())
    ensure(odd.is_empty(), Invalid("The company's quota has no person.", field="rep_id", remedy="Leave the person out."))
    for column, known in (("scope", Quota.Scope.values), ("measure", Quota.Measure.values)):
        strange = rows.filter(~pl.col(column).is_in(known))[column]
        ensure(strange.is_empty(), Invalid(f"{strange[0] if strange.len() else ''!r} is no {column}.", field=column, remedy=f"Use one of {', '.join(known)}."))  # fmt: skip
    ensure(rows.filter(pl.col("amount_minor") < 0).is_empty(), Invalid("A quota is zero or more.", field="amount_minor"))
    ensure(
        rows.filter(pl.col("ends_on") <= pl.col("starts_on")).is_empty(),
        Invalid("A period ends after it starts.", field="ends_on"),
    )
    for code in rows.filter(pl.col("measure") == "bookings")["currency"].unique():
        money.ensure_currency(code or "")
    ensure(rows.filter((pl.col("measure") == "deals") & (pl.col("currency") != "")).is_empty(), Invalid("A number of deals has no currency.", field="currency"))  # fmt: skip
    people = bulk.read(Rep.objects.values("id", "name", "left_on")).rename({"id": "rep_id"})
    named = rows.filter(pl.col("rep_id").is_not_null()).join(people, on="rep_id", how="left", maintain_order="left")
    ensure(named["name"].null_count() == 0, Invalid("There is no such sales person.", field="rep_id", remedy="Choose one of the team."))  # fmt: skip
    for name, left in named.filter(pl.col("left_on") <= pl.col("starts_on")).select("name", "left_on").iter_rows():
        raise OwnerLeft(f"{name} left on {left}, before the period.", field="rep_id", remedy="Give it to somebody who is here.")
