"""Near-equal ways of a step that the user lets chance choose between: how many customers paid after each, and whether that differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from topline.collections import queries
from topline.collections.models import Dispute, Promise, PromiseItem, Reminder, ReminderItem
from topline.engine import dunning, proportions
from topline.kernel import bulk
from topline.market import queries as market

PAID_WITHIN_DAYS = 14  # what the step named counts as paid when money settles it within so many days
SPAN_DAYS = 365  # steps of so many days are counted
NOT_TOLD = "no difference can be told yet"


@dataclass(frozen=True)
class Way:
    """One way of a step: customers whose days are over, how many of them paid, and how many are still within the days."""

    words: str
    customers: int
    paid: int
    pending: int

    @property
    def share(self) -> float | None:
        """Of the customers counted, the share that paid."""
        return self.paid / self.customers if self.customers else None


@dataclass(frozen=True)
class Trial:
    """A randomised step with its two ways; the difference is the second way's share less the first's."""

    step: str
    is_randomised: bool
    first: Way
    second: Way

    @property
    def difference(self) -> proportions.Difference | None:
        """How far the shares are apart, with the 95 % interval; None while a way has no customer."""
        return proportions.difference(self.first.paid, self.first.customers, self.second.paid, self.second.customers)

    @property
    def verdict(self) -> str:
        """What may be said of the two ways."""
        found = self.difference
        if found is None or not found.is_told:
            return NOT_TOLD
        better, worse = (self.second, self.first) if found.value > 0 else (self.first, self.second)
        return f"more customers pay after {better.words} than after {worse.words}"


def trials(*, entity_id: int, as_of: date) -> list[Trial]:
    """The steps that name two ways, with what came of each by the end of a day, in the order of the ladders.

    A customer counts once a step and pair of ways, at the first day on which chance dealt it, and is followed from that day even
    where the second way leaves later or never leaves because the money came: what is compared is the decision. They paid when money
    settled all that was named within PAID_WITHIN_DAYS. Not counted is who had an invoice named that was disputed or promised before
    the step; what the customer says after it is an outcome and is judged by the money.
    Work: five statements, O(reminders of the span that were dealt).
    """
    named = [s for p in queries.policies(entity_id=entity_id) for s in dunning.parse_steps(p.steps) if s.alternative]
    if not named:
        return []
    dealt = _dealt(entity_id, as_of)
    running = {(s.key, s.ways) for s in named if s.is_randomised}
    return [
        Trial(key, (key, ways) in running, *_ways(dealt.filter(pl.col("step") == key), [dunning.in_words(w) for w in ways]))
        for key, ways in dict.fromkeys((s.key, s.ways) for s in named)
    ]


def _ways(dealt: pl.DataFrame, words: list[str]) -> Iterator[Way]:
    mine = dealt.filter(pl.col("variant").is_in(words)).sort("planned_on", "reminder_id")
    first = pl.col("planned_on") == pl.col("planned_on").first().over("customer_id")
    mine = mine.filter(first & (pl.col("variant") == pl.col("variant").first().over("customer_id")))
    customers = mine.group_by("customer_id").agg(
        pl.col("variant").first(), pl.col("is_over").first(), pl.col("is_paid").all(), pl.col("is_left_out").any()
    )
    counted = customers.filter(~pl.col("is_left_out"))
    for way in words:
        own = counted.filter(pl.col("variant") == way)
        over = own.filter("is_over")
        yield Way(way, over.height, int(over["is_paid"].sum()), own.height - over.height)


def _dealt(entity_id: int, as_of: date) -> pl.DataFrame:
    """Reminders that chance dealt: reminder_id, customer_id, step, variant, planned_on, is_over, is_paid, is_left_out."""
    rows = Reminder.objects.filter(entity_id=entity_id, planned_on__gt=as_of - timedelta(days=SPAN_DAYS), planned_on__lte=as_of)
    rows = rows.exclude(variant="")
    reminders = market.resolve(bulk.read(rows.order_by("id").values("id", "customer_id", "step", "variant", "planned_on")))
    reminders = reminders.rename({"id": "reminder_id"}).with_columns(
        until=pl.col("planned_on") + pl.duration(days=PAID_WITHIN_DAYS)
    )
    items = bulk.read(ReminderItem.objects.filter(reminder__in=rows).values("reminder_id", "invoice_id", "open_minor"))
    items = items.join(reminders.select("reminder_id", "planned_on", "until"), on="reminder_id")
    ids = items["invoice_id"].unique().to_list()
    settled = items.join(queries.settled(ids), on="invoice_id").filter(
        (pl.col("effective_on") >= pl.col("planned_on")) & (pl.col("effective_on") <= pl.min_horizontal("until", pl.lit(as_of)))
    )
    came = settled.group_by("reminder_id", "invoice_id").agg(came_minor=pl.col("amount_minor").sum())
    held = items.join(_said_before(ids), on="invoice_id").filter(
        (pl.col("said_on") < pl.col("planned_on")) & (pl.col("ended_on").is_null() | (pl.col("ended_on") >= pl.col("planned_on")))
    )
    paid = (
        items.join(came, on=["reminder_id", "invoice_id"], how="left")
        .group_by("reminder_id")
        .agg(is_paid=(pl.col("came_minor").fill_null(0) >= pl.col("open_minor")).all())
    )
    return reminders.join(paid, on="reminder_id").with_columns(
        is_over=pl.col("until") <= pl.lit(as_of), is_left_out=pl.col("reminder_id").is_in(held["reminder_id"].implode())
    )


def _said_before(invoice_ids: list[int]) -> pl.DataFrame:
    """From when until when invoices stood disputed or promised: invoice_id, said_on, ended_on (null: still)."""
    disputes = bulk.read(Dispute.objects.filter(invoice_id__in=invoice_ids).values("invoice_id", "raised_on", "resolved_on"))
    promised = PromiseItem.objects.filter(invoice_id__in=invoice_ids).exclude(promise__state=Promise.State.WITHDRAWN)
    promises = bulk.read(promised.values("invoice_id", "promise__made_on", "promise__judged_on"))
    return pl.concat(
        [
            disputes.select("invoice_id", said_on="raised_on", ended_on="resolved_on"),
            promises.select("invoice_id", said_on="promise__made_on", ended_on="promise__judged_on"),
        ]
    )
