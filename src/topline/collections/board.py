"""How collecting goes: promises kept, disputes by age, what came in after each contact, and the figures of receivables beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import polars as pl

from topline.books import rates
from topline.books.models import Entity
from topline.collections.models import Contact, Dispute, Promise
from topline.collections.trials import Trial, trials
from topline.kernel import bulk
from topline.market import queries as market
from topline.receivables import figures, trend
from topline.receivables.models import Payment
from topline.team.models import Member

SPAN_DAYS = 90  # promises and contacts of so many days are counted
FOLLOWED_DAYS = 7  # money that comes within so many days of a contact is put down to it
WEEKS = 8


@dataclass(frozen=True)
class Board:
    """The collector's figures at the end of a day; shares and means are None where there is nothing to divide by.

    disputes  open ones by reason: reason, disputes, amount_minor, mean_days, late (past their deadline)
    channels  contacts by channel: channel, contacts, followed (by money), recovered_minor
    weeks     newest first: week (its Monday), contacts, recovered_minor, judged, kept, kept_share
    trials    steps that name two near-equal ways, with what came of each
    trend     DSO, best possible DSO, days lost and effectiveness at each week's end, of the company or of one owner's customers
    owners    the same at the end of the day and 13 weeks before for each owner: owner_id, owner, now, then
    """

    collection: figures.Collection
    rolls: list[dict[str, Any]]
    judged: int
    kept: int
    contacts: int
    recovered_minor: int
    disputes: list[dict[str, Any]]
    channels: list[dict[str, Any]]
    weeks: list[dict[str, Any]]
    trials: list[Trial]
    trend: list[trend.Point]
    owners: list[dict[str, Any]]

    @property
    def kept_percent(self) -> Fraction | None:
        """Promises kept in full, of 100 that were judged."""
        return Fraction(100 * self.kept, self.judged) if self.judged else None

    @property
    def recovered_each(self) -> Fraction | None:
        """Minor units that came in after a contact, per contact."""
        return Fraction(self.recovered_minor, self.contacts) if self.contacts else None

    @property
    def dispute_days(self) -> Fraction | None:
        """How long open disputes have been open on average."""
        count = sum(d["disputes"] for d in self.disputes)
        return Fraction(sum(d["days"] for d in self.disputes), count) if count else None


def board(*, entity: Entity, as_of: date, owner_id: int | None = None) -> Board:
    """All figures of the board; the trend is that of the customers whom a member owns, where one is named.

    Work: a fixed number of statements, O(open items + contacts and payments of the span + documents open in it x weeks).
    """
    weekly = trend.weekly(entity_id=entity.pk, as_of=as_of, currency=entity.currency)
    mine = [key for key in weekly if key is not None]
    names = dict(Member.objects.filter(pk__in=mine).values_list("id", "name"))
    judged = promises(entity_id=entity.pk, as_of=as_of)
    spoken, money = recovered(entity=entity, as_of=as_of)
    arguments = disputes(entity=entity, as_of=as_of)
    by_reason = arguments.group_by("reason").agg(
        pl.col("amount_minor").sum(),
        disputes=pl.len(),
        days=pl.col("days").sum(),
        oldest=pl.col("days").max(),
        late=pl.col("is_late").sum(),
    )
    by_channel = (
        spoken.join(money.group_by("contact_id").agg(pl.col("amount_minor").sum()), on="contact_id", how="left")
        .group_by("channel")
        .agg(
            contacts=pl.len(),
            followed=pl.col("amount_minor").is_not_null().sum(),
            recovered_minor=pl.col("amount_minor").fill_null(0).sum(),
        )
    )
    return Board(
        collection=figures.collection(entity_id=entity.pk, as_of=as_of, currency=entity.currency),
        rolls=figures.roll_rates(entity_id=entity.pk, as_of=as_of, currency=entity.currency).to_dicts(),
        judged=judged.height, kept=int(judged["is_kept"].sum()), contacts=spoken.height, recovered_minor=int(money["amount_minor"].sum()),
        disputes=by_reason.sort("amount_minor", descending=True).to_dicts(), channels=by_channel.sort("contacts", descending=True).to_dicts(),
        weeks=_weeks(judged, spoken, money, as_of), trials=trials(entity_id=entity.pk, as_of=as_of),
        trend=weekly.get(owner_id, []), owners=sorted(
            ({"owner_id": key, "owner": names[key], "now": weekly[key][-1], "then": weekly[key][0]} for key in mine), key=lambda row: row["owner"]
        ),
    )  # fmt: skip


def promises(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """Promises that were judged in the span: promise_id, customer_id, currency, amount_minor, paid_minor, due_on, judged_on, state, is_kept."""
    rows = Promise.objects.filter(
        entity_id=entity_id, judged_on__gt=as_of - timedelta(days=SPAN_DAYS), judged_on__lte=as_of,
        state__in=[Promise.State.KEPT, Promise.State.PARTLY, Promise.State.BROKEN],
    )  # fmt: skip
    frame = bulk.read(
        rows.order_by("-judged_on", "-id").values(
            "id", "customer_id", "currency", "amount_minor", "paid_minor", "due_on", "judged_on", "state"
        )
    )
    return market.resolve(frame).rename({"id": "promise_id"}).with_columns(is_kept=pl.col("state") == Promise.State.KEPT)


def disputes(*, entity: Entity, as_of: date) -> pl.DataFrame:
    """Disputes that are open at the end of a day, oldest first: dispute_id, invoice_id, number, reason, raised_on, deadline_on,
    amount_minor (the company's currency), days, is_late.
    """
    rows = Dispute.objects.filter(invoice__entity=entity, raised_on__lte=as_of).exclude(resolved_on__lte=as_of)
    frame = bulk.read(
        rows.order_by("raised_on", "id").values(
            "id", "invoice_id", "invoice__number", "invoice__currency", "reason", "raised_on", "deadline_on", "amount_minor"
        )
    ).rename({"id": "dispute_id", "invoice__number": "number", "invoice__currency": "currency"})
    home = rates.convert(frame.select("currency", "amount_minor", on=pl.lit(as_of)), to=entity.currency)["converted_minor"]
    return frame.with_columns(
        amount_minor=home, days=(pl.lit(as_of) - pl.col("raised_on")).dt.total_days(), is_late=pl.col("deadline_on") < as_of
    ).drop("currency")


def recovered(*, entity: Entity, as_of: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Contacts of the span, and the payments that came within a week of one, each put down to the last contact before it.

    returns  contacts: contact_id, customer_id, channel, outcome, occurred_on
             payments: payment_id, number, customer_id, received_on, amount_minor (the company's currency), contact_id, occurred_on
    """
    first = as_of - timedelta(days=SPAN_DAYS - 1)
    said = Contact.objects.filter(entity=entity, occurred_on__gte=first, occurred_on__lte=as_of)
    said = said.exclude(channel=Contact.Channel.NOTE).exclude(outcome__in=[Contact.Outcome.BOUNCED, Contact.Outcome.REPLIED])
    contacts = market.resolve(
        bulk.read(said.order_by("occurred_on", "id").values("id", "customer_id", "channel", "outcome", "occurred_on"))
    )
    contacts = contacts.rename({"id": "contact_id"})
    came = Payment.objects.filter(
        entity=entity, state=Payment.State.RECEIVED, received_on__gte=first, received_on__lte=as_of, customer_id__isnull=False
    )
    money = market.resolve(
        bulk.read(
            came.order_by("received_on", "id").values("id", "number", "customer_id", "received_on", "currency", "amount_minor")
        )
    ).rename({"id": "payment_id"})
    home = rates.convert(money.select("currency", "amount_minor", on=pl.lit(as_of)), to=entity.currency)["converted_minor"]
    last = contacts.select("customer_id", "contact_id", "occurred_on")
    joined = money.with_columns(amount_minor=home).join_asof(
        last,
        left_on="received_on",
        right_on="occurred_on",
        by="customer_id",
        tolerance=f"{FOLLOWED_DAYS}d",
        check_sortedness=False,
        coalesce=False,
    )
    return contacts, joined.drop("currency").drop_nulls("contact_id")


def _weeks(judged: pl.DataFrame, spoken: pl.DataFrame, money: pl.DataFrame, as_of: date) -> list[dict[str, Any]]:
    monday = as_of - timedelta(days=as_of.weekday())
    weeks = pl.DataFrame({"week": [monday - timedelta(days=7 * back) for back in range(WEEKS)]}, schema={"week": pl.Date})
    parts = [
        spoken.group_by(week=pl.col("occurred_on").dt.truncate("1w")).agg(contacts=pl.len()),
        money.group_by(week=pl.col("received_on").dt.truncate("1w")).agg(recovered_minor=pl.col("amount_minor").sum()),
        judged.group_by(week=pl.col("judged_on").dt.truncate("1w")).agg(judged=pl.len(), kept=pl.col("is_kept").sum()),
    ]
    for part in parts:
        weeks = weeks.join(part, on="week", how="left", maintain_order="left")
    share = pl.when(pl.col("judged") > 0).then(pl.col("kept") / pl.col("judged"))
    return weeks.with_columns(pl.exclude("week").fill_null(0)).with_columns(kept_share=share).to_dicts()
