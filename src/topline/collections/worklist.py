"""The day's list: one row a customer, in the order of what acting today is expected to gain, and why the others wait.

The gain of a call is the cash that it is expected to bring within two weeks and that would else come later, and what it takes off the
risk of missing the next payroll, less what the call and the relation cost. What a call does to a payroll is weighed by treasury each
morning and read from what was kept. Forecasts are those of the morning: made from what was known at the end of the day before, and kept until an older
fact changes. The list itself is made anew after every change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from django.db.models import Subquery

from topline.billing.models import Invoice
from topline.books import rates
from topline.books.models import Entity
from topline.collections import actions, queries, timing
from topline.collections.models import (
    Contact,
    Dispute,
    DunningPolicy,
    PayrollStake,
    PromiseItem,
    Reminder,
    ReminderItem,
    TimingModel,
)
from topline.engine import dunning, levers
from topline.engine.payment_timing.book import Book
from topline.engine.payment_timing.book import as_of as known_before
from topline.engine.payment_timing.explain import explain
from topline.engine.payment_timing.features import Past, prepare
from topline.engine.payment_timing.model import Forecast, Model, counted_only, predict
from topline.kernel import bulk
from topline.kernel.models import AuditRecord
from topline.kernel.money import Money
from topline.kernel.remember import Remembered
from topline.market import queries as market
from topline.market.models import Customer
from topline.receivables import queries as receivables
from topline.receivables.models import Allocation

WEIGHED_DAYS = 3  # a payroll's stake that is older than so many days no longer counts
WITHIN_DAYS = 14  # a call is judged by the cash that it brings within these days
HORIZON = 120  # days ahead that the list foresees; what is expected later is shown as later
CALL_COST = Money(10_00, "EUR")  # assumed: a quarter of an hour of a collector
REST_DAYS, RETRY_DAYS = 3, 1  # a customer who was reached is left in peace this long; one who was not is tried the next day
DECISION_WORTH = 10  # debts of this many calls' cost are decided on (agency, court, write-off) when a call no longer pays
RELATION_DAYS = 30  # each contact of so many days makes the next call dearer by its cost
RUNGS = {"email": "Send the {} reminder", "call": "Call", "letter": "Send a letter: {}", "handover": "Decide on: {}"}
_one_at_a_time = Lock()


@dataclass(frozen=True, slots=True)
class Morning:
    """What was foreseen before the business of a day, and what it was foreseen from.

    told  one row per open invoice: invoice_id, expected_on (null: later than the horizon), lift (by how much a call raises the chance
          of payment within two weeks)
    past  the book made ready for questions
    """

    model: Model
    book: Book
    past: Past
    forecast: Forecast
    told: pl.DataFrame
    explained: dict[int, str] = field(default_factory=dict)

    def reasons(self, invoice_ids: Sequence[int]) -> dict[int, str]:
        """Why invoices are expected on their days, a sentence each. Work: three forecasts of those that nobody asked about before."""
        if fresh := [i for i in invoice_ids if i not in self.explained]:
            found = explain(self.model, self.book, self.forecast, invoice_ids=fresh, past=self.past)
            told = {row["invoice_id"]: "; ".join(row["reasons"]) for row in found.iter_rows(named=True)}
            self.explained.update(dict.fromkeys(fresh, "") | told)
        return {i: self.explained[i] for i in invoice_ids}


def morning(*, entity_id: int, as_of: date) -> Morning:
    """The forecast of a day from what was known at the end of the day before.

    Kept in memory until a document is added, or a fact of earlier days. Work: O(open invoices x days x trees).
    """
    newest = _NEWEST.get((entity_id, as_of), lambda: _newest(entity_id, as_of))
    with _one_at_a_time:
        return _morning(entity_id, as_of, newest)


def worklist(*, entity: Entity, as_of: date) -> pl.DataFrame:
    """Every customer with something open, those to act on today first and by gain; amounts in the company's currency.

    returns  customer_id, customer, owner_id, owner, is_on_hold, open_minor, overdue_minor, oldest_days, expected_on (by then half of what
             is open is expected; null: later than the horizon), promised_on, disputed_minor, contacted_on, channel, outcome, chase_minor
             (overdue and neither disputed, promised, planned nor covered by unapplied cash), sooner_minor (what a call brings within
             two weeks), payroll_points (by how many in a hundred it raises the next payroll at risk), payroll_minor (what that takes off the
             cost of missing it), payroll_on (the day on which it is taken), gain_minor (sooner_minor + payroll_minor - the cost of the call), is_broken (a promise was, and nobody spoke since), step, waits ("" : today)
    Work: a fixed number of statements, O(open items); kept in memory until anything changes.
    """
    return _LISTS.get((entity.pk, as_of), lambda: _worklist(entity, as_of))


def todays(*, entity: Entity, as_of: date, owner: str = "", listed: pl.DataFrame | None = None) -> list[int]:
    """Customers to act on today, in their order; owner: a member's id, "none", or "" for all.

    listed  the day's list, where the caller has it already
    """
    rows = worklist(entity=entity, as_of=as_of) if listed is None else listed
    return owned(rows, owner).filter(pl.col("waits") == "")["customer_id"].to_list()


def at_rest(*, entity_id: int, as_of: date) -> list[int]:
    """Customers who are not called now: put off by a collector, or contacted in the last days. Work: two statements."""
    marks = queries.contact_marks(entity_id=entity_id, as_of=as_of, days=RELATION_DAYS)
    snoozed = queries.snoozed(queries.desks(entity_id=entity_id), as_of=as_of)
    return [*snoozed, *marks.filter(_spoken(as_of))["customer_id"].to_list()]


def owned(rows: pl.DataFrame, owner: str) -> pl.DataFrame:
    """Rows of one owner: a member's id, "none" for customers that nobody owns, "" for all."""
    if not owner:
        return rows
    return rows.filter(pl.col("owner_id").is_null() if owner == "none" else pl.col("owner_id") == int(owner))


def why(row: dict[str, Any], currency: str) -> str:
    """Why a customer stands where they stand, as one sentence."""
    if waits := str(row["waits"]):
        return f"{waits[0].upper()}{waits[1:]}."
    told = f"{row['oldest_days']} days late"
    if row["sooner_minor"] > 0:
        told += f"; a call should bring {Money(row['sooner_minor'], currency)} in {WITHIN_DAYS} days"
    if row["payroll_points"] > 0 and 2 * row["payroll_minor"] >= row["sooner_minor"]:  # else it is no reason
        told += f" and raises payroll of {row['payroll_on']:%-d %b} by {row['payroll_points']:g} {'point' if row['payroll_points'] == 1 else 'points'}"
    return ("A promise was broken. " if row["is_broken"] else "") + told + "."


_LISTS: Remembered[pl.DataFrame] = Remembered(size=3)
_NEWEST: Remembered[tuple[datetime | int | None, ...]] = Remembered(size=8)


def _newest(entity_id: int, as_of: date) -> tuple[datetime | int | None, ...]:
    """When the database was begun, and the newest of each fact that the forecast of a day rests on. Work: one statement."""
    facts = (
        Invoice.objects.filter(entity_id=entity_id),
        Allocation.objects.filter(effective_on__lt=as_of),
        PromiseItem.objects.filter(promise__made_on__lt=as_of),
        Dispute.objects.filter(raised_on__lt=as_of),
        ReminderItem.objects.filter(reminder__planned_on__lt=as_of),
        TimingModel.objects.filter(entity_id=entity_id, trained_on__lt=as_of),
    )
    began = Subquery(AuditRecord.objects.order_by("id").values("recorded_at")[:1])
    newest = (Subquery(rows.order_by("-id").values("id")[:1]) for rows in facts)
    found: tuple[datetime | int | None, ...] = Entity.objects.filter(pk=entity_id).values_list(began, *newest).get()
    return found


@lru_cache(maxsize=3)
def _morning(entity_id: int, as_of: date, newest: tuple[datetime | int | None, ...]) -> Morning:
    before = as_of - timedelta(days=1)
    facts = timing.book(entity_id=entity_id, as_of=before)
    model = timing.model_in_use(entity_id=entity_id, as_of=before) or counted_only(facts, on=as_of)
    found = predict(model, facts, on=as_of, horizon=HORIZON)
    soon = np.minimum(found.pmf[:, :WITHIN_DAYS].sum(axis=1), 1.0)
    lift = levers.cash_sooner(np.ones(len(soon)), soon)
    told = found.invoices.select("invoice_id", expected_on="p50_on", lift=pl.Series(lift, dtype=pl.Float64))
    kept = Forecast(found.on, found.invoices, found.pmf[:0], found.excluded)  # the days themselves are too many to keep
    return Morning(model, facts, prepare(known_before(facts, as_of)), kept, told)


def _worklist(entity: Entity, as_of: date) -> pl.DataFrame:
    stake = _stake(entity, as_of)
    debts = _customers(_invoices(entity, as_of, stake))
    call_cost = _at_home(
        entity, as_of, pl.DataFrame({"currency": [CALL_COST.currency], "amount_minor": [CALL_COST.amount_minor]})
    )[0]
    chased = pl.when(pl.col("free_minor") > 0).then(pl.col("chase_minor") / pl.col("free_minor")).otherwise(0.0)
    rows = _with_facts(debts, entity, as_of).with_columns(
        sooner_minor=(pl.col("lifted") * chased).round().cast(pl.Int64),
        payroll_points=(100 * pl.col("payroll_change") * chased).round(1),
        payroll_minor=(pl.col("payroll_change") * chased * (stake.amount_minor if stake else 0) * levers.MISSED_SHARE)
        .round()
        .cast(pl.Int64),
        payroll_on=pl.lit(stake.debit_on if stake else None, dtype=pl.Date),
        is_broken=pl.col("broken_on").is_not_null()
        & (pl.col("contacted_on").is_null() | (pl.col("contacted_on") < pl.col("broken_on")))
        & (pl.col("chase_minor") > 0),
    )
    rows = rows.with_columns(gain_minor=pl.col("sooner_minor") + pl.col("payroll_minor") - call_cost * (1 + pl.col("contacts")))
    too_dear = (pl.col("gain_minor") <= 0) & ~pl.col("is_broken")
    to_decide = (pl.col("rung_channel") == "handover") & (pl.col("chase_minor") >= DECISION_WORTH * call_cost)
    rows = _with_rung(rows, entity.pk).with_columns(too_dear=too_dear & ~to_decide.fill_null(value=False))
    rows = rows.with_columns(waits=_waits(as_of)).with_columns(step=_step())
    broken_first = pl.col("is_broken") & (pl.col("waits") == "")
    return rows.sort(pl.col("waits") != "", ~broken_first, -pl.col("gain_minor"), "customer_id").select(
        "customer_id", "customer", "owner_id", "owner", "is_on_hold", "open_minor", "overdue_minor", "oldest_days", "expected_on", "promised_on",
        "disputed_minor", "contacted_on", "channel", "outcome", "chase_minor", "sooner_minor", "payroll_points", "payroll_minor", "payroll_on", "gain_minor", "is_broken", "step", "waits",
    )  # fmt: skip


def _stake(entity: Entity, as_of: date) -> PayrollStake | None:
    """What calls do to the next payroll at risk, as weighed last; None where there is none, it is past, or it was weighed long ago."""
    since = as_of - timedelta(days=WEIGHED_DAYS)
    newest = PayrollStake.objects.filter(entity=entity, as_of__lte=as_of, as_of__gte=since).order_by("-as_of").first()
    return newest if newest and newest.debit_on and newest.debit_on > as_of else None


def _invoices(entity: Entity, as_of: date, stake: PayrollStake | None) -> pl.DataFrame:
    """Open invoices at the company's currency, with what was said about each, by how much a call would help, and what it does to payroll."""
    changes = {int(pk): ppm / 1_000_000 for pk, ppm in stake.changes.items()} if stake else {}
    items = market.resolve(receivables.open_items(entity_id=entity.pk, as_of=as_of)).filter(pl.col("open_minor") > 0)
    worth = _at_home(entity, as_of, items.select("currency", amount_minor="open_minor"))
    late = pl.when(pl.col("due_on") < as_of)
    whole = (
        items.with_columns(home_minor=worth)
        .group_by("invoice_id", maintain_order=True)
        .agg(
            pl.col("customer_id").first(),
            open_minor=pl.col("home_minor").sum(),
            own_minor=pl.col("open_minor").sum(),
            overdue_minor=late.then("home_minor").otherwise(0).sum(),
            late_days=late.then((pl.lit(as_of) - pl.col("due_on")).dt.total_days()).max(),
        )
    )
    contested = queries.disputed(entity_id=entity.pk, as_of=as_of).group_by("invoice_id").agg(
        contested_minor=pl.col("amount_minor").sum(), deadline_on=pl.col("deadline_on").min(), in_court=pl.col("in_court").any()
    )  # fmt: skip
    said = queries.promised(entity_id=entity.pk, as_of=as_of)
    said = queries.by_invoice(said.filter(pl.col("due_on") + pl.duration(days=actions.GRACE_DAYS) >= pl.lit(as_of)))
    said = said.rename({"amount_minor": "said_minor"})
    planned = pl.Series(sorted(queries.planned_invoices(entity_id=entity.pk)), dtype=pl.Int64)
    share = pl.when("in_court").then(1.0).otherwise((pl.col("contested_minor").fill_null(0) / pl.col("own_minor")).clip(0, 1))
    said_share = (pl.col("said_minor").fill_null(0) / pl.col("own_minor")).clip(0, 1)
    return (
        whole.join(contested, on="invoice_id", how="left", maintain_order="left")
        .join(said.select("invoice_id", "said_minor", promised_on="due_on"), on="invoice_id", how="left", maintain_order="left")
        .join(morning(entity_id=entity.pk, as_of=as_of).told, on="invoice_id", how="left", maintain_order="left")
        .with_columns(
            disputed_minor=(pl.col("open_minor") * share).round().cast(pl.Int64),
            said_minor=(pl.col("open_minor") * said_share).round().cast(pl.Int64),
            is_planned=pl.col("invoice_id").is_in(planned.implode()),
            payroll_change=pl.col("invoice_id").replace_strict(changes, default=0.0, return_dtype=pl.Float64),
        )
        .with_columns(
            free_minor=pl.when("is_planned")
            .then(0)
            .otherwise((pl.col("overdue_minor") - pl.col("disputed_minor") - pl.col("said_minor")).clip(0))
        )
    )


def _customers(invoices: pl.DataFrame) -> pl.DataFrame:
    """What each customer owes, and by when half of it is expected."""
    money = invoices.group_by("customer_id", maintain_order=True).agg(
        pl.col("open_minor", "overdue_minor", "disputed_minor", "free_minor").sum(),
        pl.col("promised_on", "deadline_on").min(),
        oldest_days=pl.col("late_days").max(),
        is_planned=(pl.col("is_planned") & (pl.col("overdue_minor") > 0)).any(),
        is_promised=(pl.col("promised_on").is_not_null() & (pl.col("overdue_minor") > 0)).any(),
        lifted=(pl.col("free_minor") * pl.col("lift").fill_null(0.0)).sum(),
        payroll_change=pl.col("payroll_change").filter(pl.col("free_minor") > 0).sum(),
    )
    reached = pl.col("open_minor").cum_sum().over("customer_id") * 2 >= pl.col("open_minor").sum().over("customer_id")
    half = invoices.sort("customer_id", "expected_on", nulls_last=True).filter(reached).unique("customer_id", keep="first")
    return money.join(half.select("customer_id", "expected_on"), on="customer_id", how="left", maintain_order="left")


def _with_facts(debts: pl.DataFrame, entity: Entity, as_of: date) -> pl.DataFrame:
    """Adds who the customer is, unapplied cash, contacts, the desk, broken promises and held reminders."""
    known = bulk.read(
        Customer.objects.filter(merged_into__isnull=True).values("id", "name", "segment", "owner_id", "owner__name", "is_on_hold")
    )
    known = known.rename({"id": "customer_id", "name": "customer", "owner__name": "owner"})
    left = market.resolve(receivables.unapplied(entity_id=entity.pk, as_of=as_of).drop_nulls("customer_id"))
    cash = (
        left.with_columns(home_minor=_at_home(entity, as_of, left.select("currency", amount_minor="left_minor")))
        .group_by("customer_id")
        .agg(cash_minor=pl.col("home_minor").sum())
    )
    waiting = Reminder.objects.filter(entity=entity, channel="email", state__in=[Reminder.State.HELD, Reminder.State.QUEUED])
    letters = market.resolve(bulk.read(waiting.values("customer_id", "state")))
    parts = [
        known,
        cash,
        queries.contact_marks(entity_id=entity.pk, as_of=as_of, days=RELATION_DAYS),
        queries.desks(entity_id=entity.pk).select("customer_id", "snoozed_until", desk_note="note"),
        queries.broken_promises(entity_id=entity.pk, as_of=as_of),
        letters.group_by("customer_id").agg(
            held=(pl.col("state") == Reminder.State.HELD).sum(), queued=(pl.col("state") == Reminder.State.QUEUED).sum()
        ),
    ]
    for part in parts:
        debts = debts.join(part.unique("customer_id", keep="last"), on="customer_id", how="left", maintain_order="left")
    return debts.with_columns(
        pl.col("cash_minor", "contacts", "held", "queued").fill_null(0), pl.col("oldest_days").fill_null(0)
    ).with_columns(chase_minor=(pl.col("free_minor") - pl.col("cash_minor")).clip(0))


def _spoken(as_of: date) -> pl.Expr:
    """Whether a customer was contacted so lately that another contact waits; whoever answered since waits for us instead."""
    peace = pl.when(pl.col("outcome") == Contact.Outcome.NOT_REACHED).then(RETRY_DAYS).otherwise(REST_DAYS)
    lately = pl.col("contacted_on") + pl.duration(days=peace) > pl.lit(as_of)
    return lately & (pl.col("outcome") != Contact.Outcome.REPLIED)


def _waits(as_of: date) -> pl.Expr:
    """Why a customer is not on today's list; empty for those who are."""
    spoken = _spoken(as_of) & ~pl.col("is_broken")
    word, until = pl.col("contacted_on").dt.strftime("%-d %b"), pl.col("snoozed_until")
    back = pl.when(until.dt.year() == as_of.year).then(until.dt.strftime("%-d %b")).otherwise(until.dt.strftime("%-d %b %Y"))
    nothing = pl.col("chase_minor") <= 0
    return (
        pl.when(pl.col("snoozed_until") > as_of)
        .then(pl.format("snoozed until {}{}", back, pl.when(pl.col("desk_note") != "").then(pl.format(": {}", "desk_note")).otherwise(pl.lit(""))))
        .when(pl.col("overdue_minor") <= 0)
        .then(pl.lit("nothing is overdue"))
        .when(nothing & (pl.col("deadline_on") < as_of))
        .then(pl.lit(""))
        .when(nothing & pl.col("is_promised"))
        .then(pl.format("promised by {}", pl.col("promised_on").dt.strftime("%-d %b")))
        .when(nothing & pl.col("is_planned"))
        .then(pl.lit("under a payment plan"))
        .when(nothing & (pl.col("free_minor") > 0))
        .then(pl.lit("unapplied cash could cover it"))
        .when(nothing)
        .then(pl.lit("all that is overdue is disputed"))
        .when(spoken & (pl.col("outcome") == Contact.Outcome.SENT))
        .then(pl.format("written to on {}", word))
        .when(spoken)
        .then(pl.format("contacted on {}", word))
        .when(pl.col("queued") > 0)
        .then(pl.lit("a reminder is on its way"))
        .when("too_dear")
        .then(pl.lit("a call would cost more than it brings"))
        .otherwise(pl.lit(""))
    )  # fmt: skip


def _with_rung(rows: pl.DataFrame, entity_id: int) -> pl.DataFrame:
    """Adds the rung of the ladder that the oldest debt has reached: rung, rung_channel; null before the first."""
    ladders = {
        policy.segment: dunning.parse_steps(policy.steps)
        for policy in DunningPolicy.objects.filter(entity_id=entity_id).order_by("segment")[:100]
    }
    rungs = pl.DataFrame(
        [
            (segment, s.days, s.channel, RUNGS[s.channel].format(s.key))
            for segment, steps in {"": dunning.LADDER, **ladders}.items()
            for s in steps
            if s.days > 0
        ],
        schema={"rung_of": pl.String, "days": pl.Int64, "rung_channel": pl.String, "rung": pl.String},
        orient="row",
    ).sort("days")
    own = pl.when(pl.col("segment").is_in(list(ladders))).then("segment").otherwise(pl.lit(""))
    aged = rows.with_row_index("_row").with_columns(rung_of=own).sort("oldest_days")
    joined = aged.join_asof(rungs, left_on="oldest_days", right_on="days", by="rung_of", check_sortedness=False)
    return joined.sort("_row").drop("_row", "days", "rung_of")


def _step() -> pl.Expr:
    """What to do next: what the broken promise, the late dispute, the answer or the held reminder asks for, else the rung of the ladder."""
    return (
        pl.when(pl.col("waits") != "")
        .then(pl.lit(""))
        .when(pl.col("is_broken"))
        .then(pl.lit("Call about the broken promise"))
        .when(pl.col("chase_minor") <= 0)
        .then(pl.lit("Resolve the dispute: its deadline is over"))
        .when(pl.col("outcome") == Contact.Outcome.REPLIED)
        .then(pl.lit("Answer their message"))
        .when(pl.col("held") > 0)
        .then(pl.lit("Decide on the held reminder"))
        .when(pl.col("outcome") == Contact.Outcome.NOT_REACHED)
        .then(pl.lit("Call again"))
        .otherwise(pl.col("rung").fill_null("Call"))
    )


def _at_home(entity: Entity, as_of: date, amounts: pl.DataFrame) -> pl.Series:
    """Amounts (currency, amount_minor) in the company's currency at the day's rate."""
    return rates.convert(amounts.with_columns(on=pl.lit(as_of)), to=entity.currency)["converted_minor"]
