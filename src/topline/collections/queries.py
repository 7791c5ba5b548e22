"""Reads of the collections room: contacts, promises, disputes, plans, and what they mean for what is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import F, Q, QuerySet

from topline.collections.models import (
    Contact,
    Desk,
    Dispute,
    DunningPolicy,
    PaymentPlan,
    PlanInstalment,
    PlanInvoice,
    Promise,
    PromiseItem,
    Reminder,
)
from topline.engine.promises import met
from topline.kernel import bulk
from topline.market import queries as market
from topline.receivables.models import Allocation, Payment

FOREVER = 36_500  # days of grace: money that comes late still lessens what was promised
RETURNED_DAYS = 120  # banks take payments back for some weeks (SEPA: eight, thirteen months where none was allowed)


@dataclass(frozen=True)
class OnDesk:
    """How a customer lies on the desk: put off until a day, kept from the ladder, and why."""

    snoozed_until: date | None
    no_reminders: bool
    note: str


def promises_to_judge(*, as_of: date, grace_days: int) -> pl.DataFrame:
    """Open promises with what settled their invoices from the day they were made until their day and grace; and those judged kept, in
    full or in part, within RETURNED_DAYS on whose invoices a payment came back since. What came back settled nothing. Where several
    promises name an invoice, money serves the one with the earliest day first, and none of it two.

    returns  promise_id, customer_id, currency, amount_minor, due_on, state, known_minor (what was judged), paid_minor, is_past (day and
             grace are over)
    """
    state = Promise.State
    back = Allocation.objects.filter(payment__state=Payment.State.RETURNED).values("invoice_id")
    since = as_of - timedelta(days=RETURNED_DAYS)
    doubtful = PromiseItem.objects.filter(
        promise__state__in=[state.KEPT, state.PARTLY], promise__judged_on__gt=since, invoice_id__in=back
    ).values("promise_id")
    rows = Promise.objects.filter(Q(state=state.OPEN) | Q(pk__in=doubtful)).order_by("id")
    promises = bulk.read(
        rows.values("id", "customer_id", "currency", "amount_minor", "made_on", "due_on", "state", known_minor=F("paid_minor"))
    ).rename({"id": "promise_id"})
    named = PromiseItem.objects.filter(promise__in=rows.order_by()).values("invoice_id")
    parts = _met(named, as_of=as_of, grace_days=grace_days, returned=False)
    paid = parts.group_by("promise_id").agg(paid_minor=pl.col("met_minor").sum())
    past = (pl.col("due_on") + pl.duration(days=grace_days)) < pl.lit(as_of)
    return (
        promises.join(paid, on="promise_id", how="left", maintain_order="left")
        .with_columns(pl.col("paid_minor").fill_null(0), is_past=past)
        .drop("made_on")
    )


def _met(invoice_ids: QuerySet[Any] | Sequence[int], *, as_of: date, grace_days: int, returned: bool = True) -> pl.DataFrame:
    """Every promise on invoices that was not withdrawn, with what came of it by the end of a day: promise_id, invoice_id, due_on, made_on,
    judged_on, entity_id, amount_minor, met_minor. Two statements.

    returned  whether money that the bank took back counts, until the day on which it did
    """
    columns = {
        "promise__due_on": "due_on",
        "promise__made_on": "from_on",
        "promise__judged_on": "judged_on",
        "promise__entity_id": "entity_id",
    }
    items = PromiseItem.objects.exclude(promise__state=Promise.State.WITHDRAWN, promise__judged_on__lte=as_of)
    items = items.filter(promise__made_on__lte=as_of).filter(invoice_id__in=invoice_ids)
    frame = bulk.read(items.order_by("id").values("id", "promise_id", "invoice_id", "amount_minor", *columns))
    frame = frame.rename({"id": "part_id", **columns}).with_columns(
        until=pl.min_horizontal(pl.col("due_on") + pl.duration(days=grace_days), pl.lit(as_of))
    )
    money = settled(frame["invoice_id"].unique().to_list(), returned=returned).rename({"effective_on": "on"})
    return frame.join(met(frame, money), on="part_id", maintain_order="left").rename({"from_on": "made_on"})


def plans_to_judge(*, as_of: date) -> pl.DataFrame:
    """Active plans with what was paid on their invoices since they were agreed and what should have been by now.

    returns  plan_id, customer_id, currency, total_minor, paid_minor, expected_minor (parts due longer ago than the grace)
    """
    plans = bulk.read(
        PaymentPlan.objects.filter(state=PaymentPlan.State.ACTIVE).values(
            "id", "customer_id", "currency", "total_minor", "agreed_on", "grace_days"
        )
    )
    plans = plans.rename({"id": "plan_id"})
    ids = plans["plan_id"].to_list()
    under = bulk.read(PlanInvoice.objects.filter(plan_id__in=ids).values("plan_id", "invoice_id"))
    parts = bulk.read(PlanInstalment.objects.filter(plan_id__in=ids).values("plan_id", "due_on", "amount_minor"))
    paid = (
        under.join(plans.select("plan_id", "agreed_on"), on="plan_id")
        .join(settled(under["invoice_id"].to_list()), on="invoice_id")
        .filter((pl.col("effective_on") >= pl.col("agreed_on")) & (pl.col("effective_on") <= as_of))
        .group_by("plan_id")
        .agg(paid_minor=pl.col("amount_minor").sum())
    )
    late = parts.join(plans.select("plan_id", "grace_days"), on="plan_id").filter(
        pl.col("due_on") + pl.duration(days=pl.col("grace_days")) < pl.lit(as_of)
    )
    expected = late.group_by("plan_id").agg(expected_minor=pl.col("amount_minor").sum())
    joined = plans.join(paid, on="plan_id", how="left").join(expected, on="plan_id", how="left")
    return joined.with_columns(pl.col("paid_minor", "expected_minor").fill_null(0)).select(
        "plan_id", "customer_id", "currency", "total_minor", "paid_minor", "expected_minor"
    )


def promised(*, entity_id: int, as_of: date, invoice_ids: Sequence[int] | None = None) -> pl.DataFrame:
    """What stands promised, as known at the end of a day: promise_id, invoice_id, due_on, amount_minor (what has not come of it yet, above
    zero); a row per promise and invoice, in order of their days. Two statements.

    invoice_ids  of these only, a page of them
    """
    whose = PromiseItem.objects.filter(promise__entity_id=entity_id, promise__made_on__lte=as_of)
    whose = whose.exclude(promise__judged_on__lte=as_of)
    frame = _met(
        whose.values("invoice_id") if invoice_ids is None else list(invoice_ids), as_of=as_of, grace_days=FOREVER
    ).filter(pl.col("entity_id") == entity_id)
    still = pl.col("judged_on").is_null() | (pl.col("judged_on") > as_of)
    left = frame.filter(still).with_columns(amount_minor=pl.col("amount_minor") - pl.col("met_minor"))
    return (
        left.filter(pl.col("amount_minor") > 0)
        .select("promise_id", "invoice_id", "due_on", "amount_minor")
        .sort("due_on", "promise_id", "invoice_id")
    )


def by_invoice(promises: pl.DataFrame) -> pl.DataFrame:
    """Promises as `promised` tells them, one row per invoice: invoice_id, due_on (the earliest), amount_minor (together)."""
    return promises.group_by("invoice_id", maintain_order=True).agg(pl.col("due_on").min(), pl.col("amount_minor").sum())


def disputed(*, entity_id: int, as_of: date, invoice_ids: Sequence[int] | None = None) -> pl.DataFrame:
    """What is contested, as known at the end of a day: invoice_id, dispute_id, reason, amount_minor, raised_on, deadline_on, in_court
    (the whole invoice is in litigation, whatever is open on it by now).

    invoice_ids  of these of the company's only, a page of them
    """
    whose = Q(invoice__entity_id=entity_id) if invoice_ids is None else Q(invoice_id__in=list(invoice_ids))
    rows = Dispute.objects.filter(whose, raised_on__lte=as_of).exclude(resolved_on__lte=as_of)
    frame = bulk.read(rows.order_by("id").values("id", "invoice_id", "reason", "amount_minor", "raised_on", "deadline_on"))
    return frame.rename({"id": "dispute_id"}).with_columns(in_court=pl.col("reason") == Dispute.Reason.LITIGATION.value)


def remarks(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """What cash application should know: invoice_id, remark, holds (disputed: only a person may settle it)."""
    contested = disputed(entity_id=entity_id, as_of=as_of).select(
        "invoice_id", remark=pl.format("disputed: {}", pl.col("reason").str.replace_all("_", " ")), holds=pl.lit(value=True)
    )
    said = by_invoice(promised(entity_id=entity_id, as_of=as_of)).select(
        "invoice_id", remark=pl.format("promised by {}", pl.col("due_on").dt.strftime("%-d %b")), holds=pl.lit(value=False)
    )
    return pl.concat([contested, said])


def resolution_days(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """How long disputes of each reason took to resolve: reason, disputes, days f64."""
    rows = Dispute.objects.filter(invoice__entity_id=entity_id, resolved_on__lte=as_of)
    frame = bulk.read(rows.values("reason", "raised_on", "resolved_on"))
    days = (pl.col("resolved_on") - pl.col("raised_on")).dt.total_days()
    return frame.group_by("reason").agg(disputes=pl.len(), days=days.mean().cast(pl.Float64)).sort("reason")


def last_contacts(*, entity_id: int, customer_ids: Sequence[int] | None = None) -> pl.DataFrame:
    """The last contact with each customer: customer_id, occurred_on, channel, outcome, note."""
    rows = Contact.objects.filter(entity_id=entity_id)
    if customer_ids is not None:
        rows = rows.filter(customer_id__in=list(customer_ids))
    frame = bulk.read(rows.order_by("occurred_on", "id").values("customer_id", "occurred_on", "channel", "outcome", "note"))
    return market.resolve(frame).unique("customer_id", keep="last", maintain_order=True)


def contact_marks(*, entity_id: int, as_of: date, days: int) -> pl.DataFrame:
    """When each customer was last in contact, how that ended, and how often in the days before: customer_id, contacted_on, channel,
    outcome, contacts.
    """
    rows = Contact.objects.filter(entity_id=entity_id, occurred_on__lte=as_of)
    rows = rows.exclude(channel=Contact.Channel.NOTE).exclude(outcome=Contact.Outcome.BOUNCED)
    frame = market.resolve(
        bulk.read(rows.order_by("occurred_on", "id").values("customer_id", "occurred_on", "channel", "outcome"))
    )
    return frame.group_by("customer_id").agg(
        pl.col("channel", "outcome").last(),
        contacted_on=pl.col("occurred_on").last(),
        contacts=(pl.col("occurred_on") > as_of - timedelta(days=days)).sum().cast(pl.Int64),
    )


def broken_promises(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """When each customer's last promise was found broken, or kept in part only: customer_id, broken_on."""
    rows = Promise.objects.filter(
        entity_id=entity_id, state__in=[Promise.State.BROKEN, Promise.State.PARTLY], judged_on__lte=as_of
    )
    frame = market.resolve(bulk.read(rows.values("customer_id", "judged_on")))
    return frame.group_by("customer_id").agg(broken_on=pl.col("judged_on").max())


def contacts(*, customer_ids: Sequence[int], limit: int = 50) -> list[Contact]:
    """Contacts with a customer, newest first."""
    return list(Contact.objects.filter(customer_id__in=list(customer_ids)).order_by("-occurred_on", "-id")[:limit])


def promises(*, customer_ids: Sequence[int], limit: int = 50) -> list[Promise]:
    """Promises of a customer, newest first."""
    return list(Promise.objects.filter(customer_id__in=list(customer_ids)).order_by("-made_on", "-id")[:limit])


def disputes(
    *, customer_ids: Sequence[int] | None = None, entity_id: int | None = None, only_open: bool = False, limit: int = 100
) -> list[Dispute]:
    """Disputes of a customer or of a company, by deadline."""
    rows = Dispute.objects.select_related("invoice", "owner")
    if customer_ids is not None:
        rows = rows.filter(invoice__customer_id__in=list(customer_ids))
    if entity_id is not None:
        rows = rows.filter(invoice__entity_id=entity_id)
    if only_open:
        rows = rows.filter(state=Dispute.State.OPEN)
    return list(rows.order_by("deadline_on", "id")[:limit])


def promise_items(promise_id: int) -> dict[int, int]:
    """What an open promise names: amount in minor units by invoice; empty when it is no longer open."""
    rows = PromiseItem.objects.filter(promise_id=promise_id, promise__state=Promise.State.OPEN)
    return dict(rows.order_by("id").values_list("invoice_id", "amount_minor")[:500])


def plans(*, customer_ids: Sequence[int], limit: int = 20) -> list[PaymentPlan]:
    """Payment plans of a customer with their instalments, newest first."""
    return list(
        PaymentPlan.objects.filter(customer_id__in=list(customer_ids)).prefetch_related("instalments").order_by("-id")[:limit]
    )


def reminders(*, customer_ids: Sequence[int], limit: int = 50) -> list[Reminder]:
    """Reminders to a customer, newest first."""
    return list(Reminder.objects.filter(customer_id__in=list(customer_ids)).order_by("-planned_on", "-id")[:limit])


def policies(*, entity_id: int, limit: int = 100) -> list[DunningPolicy]:
    """The ladders of a company, the default one first."""
    return list(DunningPolicy.objects.filter(entity_id=entity_id).order_by("segment")[:limit])


def desk(*, entity_id: int, customer_id: int) -> OnDesk | None:
    """How a customer lies on the desk of a company, all of its records together; None when nobody said."""
    told = _one_a_customer(Desk.objects.filter(entity_id=entity_id, customer_id__in=market.record_ids(customer_id)))
    return OnDesk(*told.select("snoozed_until", "no_reminders", "note").row(0)) if told.height else None


def planned_invoices(*, entity_id: int) -> set[int]:
    """Invoices under an active payment plan: the ladder leaves them alone."""
    return set(PlanInvoice.objects.filter(plan__entity_id=entity_id, is_active=True).values_list("invoice_id", flat=True))


def desks(*, entity_id: int) -> pl.DataFrame:
    """How customers lie on the desk, one row a customer: customer_id, snoozed_until, no_reminders, note."""
    return _one_a_customer(Desk.objects.filter(entity_id=entity_id))


def _one_a_customer(rows: QuerySet[Desk]) -> pl.DataFrame:
    """What was said of the records of one customer holds for all of it: the later day, no letters where either gets none."""
    said = market.resolve(bulk.read(rows.order_by("id").values("customer_id", "snoozed_until", "no_reminders", "note")))
    note = pl.col("note").filter(pl.col("note") != "").unique(maintain_order=True).str.join("; ")
    return said.group_by("customer_id", maintain_order=True).agg(
        pl.col("snoozed_until").max(), pl.col("no_reminders").any(), note=note
    )


def promise_kept_rate(*, entity_id: int, since: date, until: date) -> tuple[int, int, int]:
    """Promises judged in a span: (kept in full, kept in part, all); FIELD's rate is the first over the third."""
    rows = Promise.objects.filter(entity_id=entity_id, judged_on__gte=since, judged_on__lte=until).exclude(
        state=Promise.State.WITHDRAWN
    )
    frame = bulk.read(rows.values("state"))
    count = dict(frame.group_by("state").len().iter_rows())
    return count.get("kept", 0), count.get("partly", 0), frame.height


def settled(invoice_ids: Sequence[int], *, returned: bool = True) -> pl.DataFrame:
    """Money that settled invoices, by day, what was undone taken back: invoice_id, effective_on, amount_minor.

    returned  whether payments that the bank took back count, until the day on which it did
    """
    rows = Allocation.objects.filter(
        invoice_id__in=list(invoice_ids), kind__in=[Allocation.Kind.PAYMENT, Allocation.Kind.DISCOUNT]
    )
    if not returned:
        rows = rows.exclude(payment__state=Payment.State.RETURNED)
    return bulk.read(rows.values("invoice_id", "effective_on", "amount_minor"))


def snoozed(desk: pl.DataFrame, *, as_of: date) -> list[int]:
    """Customers who are put off beyond a day."""
    return desk.filter(pl.col("snoozed_until") > as_of)["customer_id"].to_list()
