"""Everything about one customer's debt on one page, and what may be claimed on top of what is late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from topline.billing.models import OWED
from topline.books.models import Entity
from topline.collections import interest, queries, worklist
from topline.collections.models import Contact, Dispute, PaymentPlan, Promise, Reminder
from topline.market import queries as market
from topline.receivables import figures, offers
from topline.timeline import queries as timeline

SHOWN = 100  # open documents on the page; the statement of account holds all
MOST = 30_000  # open documents of a customer whose disputes are looked up


@dataclass(frozen=True)
class Debt:
    """One customer's debt on a day.

    row      the customer's row of the day's list, None when nothing is open
    items    open documents, oldest first, at most SHOWN: those of open_items with late_days, expected_on, reason, disputed_minor,
             promised_on (the earliest day), promised_days, promised_minor (what is still promised of it), is_planned, interest_minor and compensation_minor (None where no table or contract says)
    owed     one row per currency: figures of receivables.figures.aged, with interest_minor and compensation_minor
    case_id  the case that was opened last and is not closed, as the timeline tells (cases stand above this room)
    hold     the milestone by which the customer was put on credit hold, None when they are on none
    unknown  the half-year without a published reference rate, so that interest is counted by the last known one; None where all are known
    plannable  what a payment plan may take, one row per currency, most first: currency, invoice_ids, open_minor; whole invoices that
             are overdue and neither disputed nor under a plan
    """

    customer: market.CustomerDetail
    as_of: date
    row: dict[str, Any] | None
    items: list[dict[str, Any]]
    count: int
    owed: list[dict[str, Any]]
    plannable: list[dict[str, Any]]
    unknown: interest.Unknown | None
    unapplied: list[dict[str, Any]]
    promises: list[Promise]
    disputes: list[Dispute]
    plans: list[PaymentPlan]
    reminders: list[Reminder]
    offers: list[dict[str, Any]]
    contacts: list[Contact]
    desk: queries.OnDesk | None
    hold: dict[str, Any] | None
    case_id: int | None
    spine: pl.DataFrame

    @property
    def chaseable(self) -> list[dict[str, Any]]:
        """Overdue documents of which something is neither contested nor promised, oldest first; that part of each as ask_minor."""
        return [i for i in self.promisable if i["late_days"] > 0]

    @property
    def promisable(self) -> list[dict[str, Any]]:
        """Invoices under no plan, overdue ones first, then by due day; ask_minor: what of each is neither contested nor promised."""
        free = [
            {**i, "ask_minor": rest}
            for i in self.items
            if i["kind"] in OWED
            and not i["is_planned"]
            and (rest := i["open_minor"] - i["disputed_minor"] - i["promised_minor"]) > 0
        ]
        return sorted(free, key=lambda i: (i["late_days"] <= 0, i["due_on"], i["invoice_id"]))

    @property
    def standing_promises(self) -> list[Promise]:
        """Promises that are still open, the earliest day first."""
        return sorted((p for p in self.promises if p.state == Promise.State.OPEN), key=lambda p: (p.due_on, p.pk))


def debt(*, entity: Entity, customer_id: int, as_of: date, listed: pl.DataFrame | None = None) -> Debt:
    """All that is known about a customer's debt at the end of a day. Raises: NotFound. Work: a fixed number of statements.

    listed  the day's list, where the caller has it already
    """
    detail = market.customer_detail(customer_id)
    everybody = worklist.worklist(entity=entity, as_of=as_of) if listed is None else listed
    rows = everybody.filter(pl.col("customer_id") == detail.customer.pk)
    aged = figures.aged(entity_id=entity.pk, as_of=as_of, customer_ids=detail.ids)
    late = (pl.lit(as_of) - pl.col("due_on")).dt.total_days()
    frame = aged.items.filter(pl.col("open_minor") > 0).with_columns(late_days=late).sort("due_on", "invoice_id")
    ids = frame["invoice_id"].unique().head(MOST).to_list()
    contested = queries.disputed(entity_id=entity.pk, as_of=as_of, invoice_ids=ids).select(
        "invoice_id", "in_court", disputed_minor="amount_minor"
    )
    planned = queries.planned_invoices(entity_id=entity.pk)
    items = _said(frame.head(SHOWN), contested, planned, entity, as_of)
    charges = interest.charges(items, entity=entity, as_of=as_of, contract_bps=detail.customer.late_interest_bps)
    for item, charge in zip(items, charges, strict=True):
        item["interest_minor"] = charge.interest_minor if charge else None
        item["compensation_minor"] = charge.compensation_minor if charge else None
    owed = [
        {**r, **{k: _sum(i[k] for i in items if i["currency"] == r["currency"]) for k in ("interest_minor", "compensation_minor")},
         "overdue_minor": sum(i["open_minor"] for i in frame.to_dicts() if i["currency"] == r["currency"] and i["late_days"] > 0)}
        for r in aged.customers.to_dicts()
    ]  # fmt: skip
    asked: dict[str, Any] = {"customer_ids": detail.ids}
    return Debt(
        customer=detail, as_of=as_of, row=rows.row(0, named=True) if rows.height else None, items=items, count=frame.height, owed=owed,
        plannable=_plannable(frame, {*contested["invoice_id"], *planned}),
        unknown=next((u for c in charges if (u := interest.unknown(entity, c))), None),
        unapplied=aged.unapplied.sort("received_on").to_dicts(), promises=queries.promises(**asked, limit=20), disputes=queries.disputes(**asked, limit=20),
        plans=queries.plans(**asked, limit=10), reminders=queries.reminders(**asked, limit=20), contacts=queries.contacts(**asked, limit=20),
        offers=[o for o in offers.offers(entity.pk, as_of=as_of, **asked, limit=20) if o["state"] == "running"],
        hold=_hold(detail), case_id=_case(detail), desk=queries.desk(entity_id=entity.pk, customer_id=detail.customer.pk), spine=timeline.milestones(**asked, limit=25),
    )  # fmt: skip


def _hold(detail: market.CustomerDetail) -> dict[str, Any] | None:
    if not detail.customer.is_on_hold:
        return None
    found = timeline.milestones(customer_ids=detail.ids, kinds=["credit_hold_set"], limit=1)
    return found.row(0, named=True) if found.height else None


def _case(detail: market.CustomerDetail) -> int | None:
    told = timeline.milestones(customer_ids=detail.ids, kinds=["case_opened", "case_closed"], limit=50)
    closed = set(told.filter(pl.col("kind") == "case_closed")["subject_id"].to_list())
    running: list[int] = [c for c in told.filter(pl.col("kind") == "case_opened")["subject_id"].to_list() if c not in closed]
    return max(running, default=None)


def _plannable(frame: pl.DataFrame, taken: set[int]) -> list[dict[str, Any]]:
    late = frame.filter((pl.col("late_days") > 0) & pl.col("kind").is_in(list(OWED)))["invoice_id"].unique()
    free = frame.filter(pl.col("invoice_id").is_in(late.implode()) & ~pl.col("invoice_id").is_in(list(taken)))
    sums = free.group_by("currency").agg(invoice_ids=pl.col("invoice_id").unique().sort(), open_minor=pl.col("open_minor").sum())
    return sums.sort("open_minor", "currency", descending=[True, False]).to_dicts()


def _said(frame: pl.DataFrame, contested: pl.DataFrame, planned: set[int], entity: Entity, as_of: date) -> list[dict[str, Any]]:
    """Open documents with what was said about each, and when and why it is expected."""
    morning = worklist.morning(entity_id=entity.pk, as_of=as_of)
    ids = frame["invoice_id"].unique(maintain_order=True).to_list()
    parts = queries.promised(entity_id=entity.pk, as_of=as_of, invoice_ids=ids)
    said = queries.by_invoice(parts).select("invoice_id", promised_on="due_on", promised_minor="amount_minor")
    days: dict[int, list[date]] = {}
    for invoice_id, due_on in parts.select("invoice_id", "due_on").iter_rows():
        days.setdefault(invoice_id, []).append(due_on)
    told = morning.told.select("invoice_id", "expected_on", is_foreseen=pl.lit(value=True))
    for part in (contested, said, told):
        frame = frame.join(part, on="invoice_id", how="left", maintain_order="left")
    reasons = morning.reasons(ids)
    left: dict[tuple[str, int], int] = {}  # of what is disputed or promised of an invoice, for its later instalments

    def taken(row: dict[str, Any], what: str, most: int) -> int:
        rest = left.setdefault((what, row["invoice_id"]), row[what] or 0)
        left[what, row["invoice_id"]] = rest - min(rest, most)
        return min(rest, most)

    items = []
    for r in frame.to_dicts():
        disputed = r["open_minor"] if r["in_court"] else taken(r, "disputed_minor", r["open_minor"])
        promised = taken(r, "promised_minor", r["open_minor"] - disputed)
        items.append(
            {**r, "disputed_minor": disputed, "promised_minor": promised, "is_planned": r["invoice_id"] in planned, "promised_days": days.get(r["invoice_id"], []),
             "reason": reasons.get(r["invoice_id"], ""), "is_foreseen": bool(r["is_foreseen"])}
        )  # fmt: skip
    return items


def _sum(values: Any) -> int | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None
