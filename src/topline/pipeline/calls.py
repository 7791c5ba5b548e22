"""Verbs of the sales forecast: say what you will sell, say it instead of somebody you lead, write a Monday down."""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.kernel import bulk, clock, money, outbox
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Forbidden, Invalid, NotFound, ensure
from topline.pipeline import forecast, machine
from topline.pipeline.models import DealChance, ForecastCall, FrozenSalesForecast, Opportunity, Rep

ANY_CALL = "pipeline.call_for_any"  # the right to call, and to override, for people who are not led by the caller
NUMBERS = ["commit", "best_case", "pipeline", "commit_forecast", "best_case_forecast", "open_pipeline"]


class NotYourCall(Forbidden):
    """Sales people make their own call, managers override those whom they lead."""

    code = "not_your_call"


@action("pipeline.submit_call")
def submit_call(
    *,
    actor: Actor,
    entity_id: int,
    rep_id: int,
    start: date,
    end: date,
    category: str,
    amount_minor: int,
    currency: str,
    on: date,
    note: str = "",
) -> int:
    """Say what a person, with all whom they lead, will have sold in [start, end); returns the call's id. The earlier call stays on record.

    category  commit, most_likely or best_case; the amount is cumulative: it includes what is won and all that is surer
    Raises: NotFound, Invalid (category, amount, currency, period over, person left), NotYourCall.
    """  # fmt: skip
    rep = _rep(rep_id, start)
    ensure(
        actor.may(ANY_CALL) or (actor.member_id is not None and rep.member_id == actor.member_id),
        NotYourCall(f"{rep.name} makes that call.", remedy="Make your own, or override theirs if you lead them."),
    )
    return _write(actor, entity_id, rep, start, end, category, amount_minor, currency, on, note, is_override=False)


@action("pipeline.override_call")
def override_call(
    *,
    actor: Actor,
    entity_id: int,
    rep_id: int,
    start: date,
    end: date,
    category: str,
    amount_minor: int | None,
    currency: str,
    on: date,
    reason: str,
) -> int:
    """Say a number instead of somebody you lead, with the reason; returns the call's id. Their own call stays beside it.

    amount_minor  None takes the override back: their own call counts again
    Raises: NotFound, Invalid (reason missing, and as `submit_call`), NotYourCall.
    """
    rep = _rep(rep_id, start)
    ensure(bool(reason.strip()), Invalid("An override needs a reason.", field="reason", remedy="Say why."))
    ensure(
        actor.may(ANY_CALL) or _leads(actor, rep),
        NotYourCall(f"You do not lead {rep.name}.", remedy="Ask who leads them, or RevOps."),
    )
    return _write(actor, entity_id, rep, start, end, category, amount_minor, currency, on, reason.strip(), is_override=True)


@action("pipeline.freeze_sales_forecast")
def freeze_sales_forecast(*, actor: Actor, entity_id: int, as_of: date, told: machine.Frozen | None = None) -> int:
    """Write the forecast of the running quarter down as it stands, so that it can be judged later; returns how many figures.

    A day that is written down already stays as it is.
    told  figures of methods and people, and chances of deals (`machine.frozen_methods`), in the currency of most deals
    """  # fmt: skip
    start, end = forecast.quarter(as_of)
    if FrozenSalesForecast.objects.filter(entity_id=entity_id, as_of=as_of).exclude(kind=machine.REHEARSED).exists():
        return 0
    board = forecast.board(entity_id=entity_id, start=start, end=end, as_of=as_of)
    rows = board.rows
    parts = [rows.select("rep_id", kind=pl.lit("won"), name=pl.lit(""), amount_minor="won_minor")]
    parts += [rows.select("rep_id", kind=pl.lit("quota"), name=pl.lit(""), amount_minor="quota_minor")]
    parts += [rows.select("rep_id", kind=pl.lit("category"), name=pl.lit(c), amount_minor=c) for c in NUMBERS]
    parts += [rows.select("rep_id", kind=pl.lit("call"), name=pl.lit(c), amount_minor=f"{c}_call") for c in forecast.CALLS]
    figures = pl.concat(parts).drop_nulls("amount_minor")
    ranged = {"p10_minor": pl.Int64, "p90_minor": pl.Int64, "dots_minor": pl.String}
    figures = figures.with_columns(pl.lit(None, dtype=kind).alias(c) for c, kind in ranged.items())
    if told is not None:
        by_method = told.methods.select("rep_id", pl.lit("machine").alias("kind"), "name", "amount_minor", *ranged)
        figures = pl.concat([figures, by_method])
        _keep_chances(entity_id, told.chances, is_rehearsed=False)
    written = bulk.insert(
        FrozenSalesForecast,
        figures.with_columns(
            entity_id=pl.lit(entity_id), as_of=pl.lit(as_of), starts_on=pl.lit(start), ends_on=pl.lit(end), currency=pl.lit(board.currency)
        ),
    )  # fmt: skip
    changed_many("frozen_sales_forecast", written["id"])
    return written.height


@action("pipeline.ask_rehearsal")
def ask_rehearsal(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Have the methods rehearse on the past in the background, as known on a day; returns 1. The answer stands on the Accuracy page.

    Raises: Invalid where fewer deals are closed than a forecast needs.
    """
    machine.book(entity_id=entity_id, as_of=as_of, currency=machine.currency_of(entity_id=entity_id, as_of=as_of))
    outbox.enqueue("rehearse_sales", {"entity_id": entity_id, "day": as_of.isoformat()}, key=f"rehearse_sales:{entity_id}:{clock.now().isoformat()}")  # fmt: skip
    changed("sales_rehearsal", entity_id, after={"as_of": as_of.isoformat()})
    return 1


@action("pipeline.keep_rehearsals")
def keep_rehearsals(*, actor: Actor, entity_id: int, as_of: date, ahead: machine.Rehearsed) -> int:
    """Put on record what the methods would have said on past Mondays; returns how many figures. A Monday that is there stays as it is.

    ahead  `machine.rehearsals` of that day
    """
    known = bulk.read(FrozenSalesForecast.objects.filter(entity_id=entity_id, kind=machine.REHEARSED).values("as_of", "starts_on").distinct())  # fmt: skip
    fresh = ahead.methods.join(known, on=["as_of", "starts_on"], how="anti")
    _keep_chances(entity_id, ahead.chances, is_rehearsed=True)
    if fresh.is_empty():
        return 0
    written = bulk.insert(FrozenSalesForecast, fresh.with_columns(entity_id=pl.lit(entity_id), kind=pl.lit(machine.REHEARSED)))
    changed_many("frozen_sales_forecast", written["id"])
    return written.height


def _keep_chances(entity_id: int, chances: pl.DataFrame, *, is_rehearsed: bool) -> None:
    """Put the chances of deals on record; a day that has some stays as it is, and so does a deal that went away meanwhile."""
    days = DealChance.objects.filter(entity_id=entity_id).values_list("as_of", flat=True).distinct()
    there = bulk.read(Opportunity.objects.filter(entity_id=entity_id).values("id")).rename({"id": "opportunity_id"})
    fresh = chances.filter(~pl.col("as_of").is_in(list(days))).join(there, on="opportunity_id", how="semi", maintain_order="left")
    bulk.insert(DealChance, fresh.with_columns(entity_id=pl.lit(entity_id), is_rehearsed=pl.lit(is_rehearsed)))


def callable_by(*, actor: Actor, start: date) -> set[int]:
    """The people for whom somebody may call or override in a period that begins on a day: themselves, and whom they lead. One statement."""
    rows = list(Rep.objects.values_list("id", "manager_id", "member_id", "left_on"))
    here = {pk for pk, _, _, left in rows if left is None or left > start}
    if actor.may(ANY_CALL):
        return here
    mine = {pk for pk, _, member, _ in rows if member is not None and member == actor.member_id}
    above = {pk: lead for pk, lead, _, _ in rows}
    led = set()
    for pk in above if actor.may("pipeline.override_call") else ():
        node = above[pk]
        while node is not None and node not in mine:  # the tree has no cycle: people.py refuses one
            node = above[node]
        led |= {pk} if node is not None else set()
    return here & (mine | led)


def _rep(rep_id: int, start: date) -> Rep:
    rep = Rep.objects.filter(pk=rep_id).first()
    if rep is None:
        raise NotFound(f"There is no sales person {rep_id}.", field="rep_id")
    ensure(
        rep.left_on is None or rep.left_on > start,
        Invalid(f"{rep.name} left on {rep.left_on}.", field="rep_id", remedy="Choose somebody who is here."),
    )
    return rep


def _leads(actor: Actor, rep: Rep) -> bool:
    """Whether the actor stands above the person, at any distance."""
    if actor.member_id is None:
        return False
    above = dict(Rep.objects.values_list("id", "manager_id"))
    members = dict(Rep.objects.values_list("id", "member_id"))
    node = above.get(rep.pk)
    while node is not None:  # the tree has no cycle: people.py refuses one
        if members[node] == actor.member_id:
            return True
        node = above[node]
    return False


def _write(
    actor: Actor, entity_id: int, rep: Rep, start: date, end: date, category: str, amount: int | None, currency: str, on: date, note: str, *, is_override: bool
) -> int:  # fmt: skip
    ensure(category in forecast.CALLS, Invalid(f"{category!r} is no category of a call.", field="category", remedy=f"Use one of {', '.join(forecast.CALLS)}."))  # fmt: skip
    ensure(start < end, Invalid("A period ends after it starts.", field="end", remedy="Correct one of the two days."))
    ensure(on < end, Invalid("The period is over.", field="on", remedy="Call the next one."))
    ensure(amount is None or amount >= 0, Invalid("A call is zero or more.", field="amount_minor", remedy="Correct the amount."))
    money.ensure_currency(currency)
    made = ForecastCall.objects.create(
        entity_id=entity_id, rep=rep, starts_on=start, ends_on=end, category=category, amount_minor=amount, currency=currency,
        is_override=is_override, made_on=on, note=note[:300], recorded_at=clock.now(), actor_key=actor.key,
    )  # fmt: skip
    changed(
        "forecast_call", made.pk, after={"rep": rep.name, "category": category, "amount_minor": amount, "override": is_override}
    )
    return made.pk
