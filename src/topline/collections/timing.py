"""When customers will pay: the company's own record as a book for the engine, the model in use, and its forecast.

The newest model trained on or before the day asked speaks; a company that has trained none gets the counted curves alone,
which need no training.
"""

from __future__ import annotations

import contextlib
import os
from datetime import date, timedelta
from functools import lru_cache
from math import isfinite
from pathlib import Path

import polars as pl
from django.conf import settings
from django.db.models import Q

from topline.billing.models import Invoice
from topline.collections.models import (
    Dispute,
    PaymentPlan,
    PlanInstalment,
    PlanInvoice,
    Promise,
    PromiseItem,
    ReminderItem,
    TimingModel,
)
from topline.engine.in_turn import in_turn
from topline.engine.payment_timing import notes
from topline.engine.payment_timing.book import Book
from topline.engine.payment_timing.model import HORIZON, TIERS, Forecast, Model, counted_only, predict, train
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.market import queries as market
from topline.receivables.models import Allocation

STALE_DAYS = 7
LEAST_PAID = TIERS[1].least  # with fewer paid invoices the public curves speak, and there is nothing to learn
_CASH = (Allocation.Kind.PAYMENT, Allocation.Kind.BANK_FEE)
_LESS = (Allocation.Kind.CREDIT_NOTE, Allocation.Kind.DISCOUNT, Allocation.Kind.CREDITS, Allocation.Kind.GRANTED)


def book(*, entity_id: int, as_of: date) -> Book:
    """All that a company knows about its invoices at the end of a day, each fact with the day it was learned.

    What came in by a file counts as learned when it happened: the other system knew it then. Amounts are in each invoice's
    currency; an allocation that was undone by the day is left out. Work: six statements, O(invoices).
    """
    rows = Invoice.objects.filter(entity_id=entity_id, kind=Invoice.Kind.INVOICE, issued_on__lte=as_of)
    rows = rows.exclude(state__in=[Invoice.State.DRAFT, Invoice.State.VOID])
    invoices = bulk.read(rows.order_by("id").values("id", "customer_id", "total_minor", "issued_on", "due_on")).rename(
        {"id": "invoice_id"}
    )
    standing = _standing_allocations(entity_id, as_of)
    credited = (
        standing.filter(pl.col("kind").is_in([k.value for k in _LESS]))
        .group_by("invoice_id")
        .agg(less=pl.col("amount_minor").sum())
    )
    invoices = (
        market.resolve(invoices)
        .join(credited, on="invoice_id", how="left", maintain_order="left")
        .with_columns(amount_minor=pl.col("total_minor") - pl.col("less").fill_null(0))
        .filter(pl.col("amount_minor") > 0)
        .select("invoice_id", "customer_id", "amount_minor", "issued_on", "due_on")
    )
    cash = standing.filter(pl.col("kind").is_in([k.value for k in _CASH])).select(
        "invoice_id", "amount_minor", "learned_on", paid_on="effective_on"
    )
    lost = standing.filter(pl.col("kind") == Allocation.Kind.WRITE_OFF.value).select("invoice_id", "learned_on")
    return Book(
        invoices=invoices,
        payments=cash,
        disputes=_disputes(entity_id, as_of),
        promises=_promises(entity_id, as_of),
        reminders=_reminders(entity_id, as_of),
        write_offs=lost,
    )


def learned(*, entity_id: int, as_of: date) -> Model:
    """A model of when customers pay, from all that is known at the end of a day. Work: seconds, whatever the size of the book."""
    return train(book(entity_id=entity_id, as_of=as_of), on=as_of + timedelta(days=1))


@action("collections.train_timing", ahead=learned)
def train_timing(*, actor: Actor, entity_id: int, as_of: date, ahead: Model | None = None) -> str:
    """Learn anew when customers pay, from all that is known at the end of a day; returns the version.

    The model is kept in the home folder under its version, its scores in the database. The same data give the same version,
    which is then kept as it is. Work: that of `learned`, before the transaction.
    """
    model = ahead or learned(entity_id=entity_id, as_of=as_of)
    path = _path(entity_id, model.version)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        import joblib  # slow to load, with what it keeps

        joblib.dump(model, part)
        part.replace(path)
    if not TimingModel.objects.filter(entity_id=entity_id, version=model.version).exists():
        row = TimingModel.objects.create(
            entity_id=entity_id, version=model.version, trained_on=as_of, method=model.tier, invoices=model.paid,
            scores={k: round(float(v), 4) for k, v in model.scores.items() if isfinite(v)}, recorded_at=clock.now(),
        )  # fmt: skip
        changed("timing_model", row.pk, after={"version": model.version, "method": model.tier, "invoices": model.paid})
    return str(model.version)


def is_stale(*, entity_id: int, as_of: date) -> bool:
    """Whether the model should be trained anew: it is STALE_DAYS old, or none is, and enough invoices are paid to learn from."""
    newest = TimingModel.objects.filter(entity_id=entity_id, trained_on__lte=as_of).order_by("-trained_on", "-id").first()
    if newest is not None and (as_of - newest.trained_on).days < STALE_DAYS:
        return False
    paid = Invoice.objects.filter(entity_id=entity_id, kind=Invoice.Kind.INVOICE, state=Invoice.State.PAID, closed_on__lte=as_of)
    return paid[:LEAST_PAID].count() >= LEAST_PAID


def model_in_use(*, entity_id: int, as_of: date) -> Model | None:
    """The newest model that knew nothing after a day; None where none was trained, or its file is gone."""
    versions = TimingModel.objects.filter(entity_id=entity_id, trained_on__lte=as_of).order_by("-trained_on", "-id")
    for version in versions.values_list("version", flat=True)[:5]:
        with contextlib.suppress(OSError):
            return _load(str(_path(entity_id, version)))
    return None


def forecast(*, entity_id: int, as_of: date, horizon: int = HORIZON) -> Forecast:
    """For every invoice open at the end of a day, how likely each later day is to be the day of payment.

    Work: O(open invoices x days x trees).
    """
    model = model_in_use(entity_id=entity_id, as_of=as_of)
    facts = book(entity_id=entity_id, as_of=as_of)
    on = as_of + timedelta(days=1)
    return predict(model or counted_only(facts, on=on), facts, on=on, horizon=horizon)


def promised(*, entity_id: int, as_of: date, opened: pl.DataFrame) -> pl.DataFrame:
    """What of open invoices is promised for which later day, as `forecast` takes it: invoice_id, promised_on, amount_minor.

    opened  one row per open invoice: invoice_id, open_minor
    Work: promises and plans of the company, and what came in on the invoices that they name.
    """
    said = _promises(entity_id, as_of)
    named = said["invoice_id"].unique()
    if named.is_empty():
        return notes.promised(None, said, opened, on=as_of)
    few = Q(invoice_id__in=named.to_list()) if named.len() <= bulk.FEW else Q()
    cash = _standing_allocations(entity_id, as_of, few).filter(pl.col("kind").is_in([k.value for k in _CASH]))
    return notes.promised(said, cash, opened, on=as_of + timedelta(days=1))


def resolution_days(*, entity_id: int, as_of: date) -> dict[str | None, float]:
    """How long disputes of each reason usually take, as `forecast` assumes it; under None for a reason without a record."""
    known = _disputes(entity_id, as_of)
    resolved = pl.col("resolved_on")
    return notes.resolution_days(known.with_columns(resolved_on=pl.when(resolved <= as_of).then(resolved)))


@lru_cache(maxsize=8)
def _load(path: str) -> Model:
    import joblib

    model: Model = joblib.load(path)
    return model


def _path(entity_id: int, version: str) -> Path:
    return Path(settings.ENVIRONMENT.home) / "models" / f"timing-{entity_id}-{version}.joblib"


def _standing_allocations(entity_id: int, as_of: date, wanted: Q | None = None) -> pl.DataFrame:
    """Allocations that stand at the end of a day: kind, invoice_id, amount_minor, effective_on, learned_on."""
    rows = Allocation.objects.filter(wanted or Q(), invoice__entity_id=entity_id, effective_on__lte=as_of)
    frame = bulk.read(
        rows.order_by("id").values(
            "id", "kind", "invoice_id", "amount_minor", "effective_on", "recorded_at", "reverses_id", "payment__import_batch_id"
        )
    )
    undone = frame["reverses_id"].drop_nulls()
    learned = pl.when(pl.col("payment__import_batch_id").is_null()).then(
        pl.max_horizontal("effective_on", pl.col("recorded_at").dt.date())
    )
    return (
        frame.filter(pl.col("reverses_id").is_null() & ~pl.col("id").is_in(undone.implode()))
        .with_columns(learned_on=pl.min_horizontal(learned.otherwise(pl.col("effective_on")), pl.lit(as_of)))
        .select("kind", "invoice_id", "amount_minor", "effective_on", "learned_on")
    )


def _disputes(entity_id: int, as_of: date) -> pl.DataFrame:
    rows = Dispute.objects.filter(invoice__entity_id=entity_id, raised_on__lte=as_of)
    frame = bulk.read(rows.order_by("id").values("invoice_id", "reason", "raised_on", "resolved_on", "amount_minor"))
    return frame.rename({"reason": "kind", "raised_on": "learned_on"}).with_columns(
        in_litigation=pl.col("kind") == Dispute.Reason.LITIGATION.value
    )


def _promises(entity_id: int, as_of: date) -> pl.DataFrame:
    """What was promised, and the parts of payment plans: invoice_id, promised_on, learned_on, amount_minor, settled_on."""
    rows = PromiseItem.objects.filter(promise__entity_id=entity_id, promise__made_on__lte=as_of).exclude(
        promise__state=Promise.State.WITHDRAWN
    )
    frame = bulk.read(
        rows.order_by("promise_id").values(
            "invoice_id", "amount_minor", "promise__due_on", "promise__made_on", "promise__judged_on"
        )
    )
    names = {"promise__due_on": "promised_on", "promise__made_on": "learned_on", "promise__judged_on": "settled_on"}
    said = pl.concat([frame.rename(names), _instalments(entity_id, as_of)], how="diagonal_relaxed")
    return said.with_columns(settled_on=pl.when(pl.col("settled_on") <= as_of).then("settled_on"))


def _instalments(entity_id: int, as_of: date) -> pl.DataFrame:
    """The parts of payment plans as promises: the first part covers the earliest invoice first."""
    plans = PaymentPlan.objects.filter(entity_id=entity_id, agreed_on__lte=as_of).exclude(
        state=PaymentPlan.State.CANCELLED, ended_on__lte=as_of
    )
    invoices = bulk.read(
        PlanInvoice.objects.filter(plan__in=plans)
        .order_by("plan_id", "invoice__due_on", "invoice_id")
        .values("plan_id", "invoice_id", "open_minor", "plan__agreed_on", "plan__ended_on")
    ).rename({"open_minor": "amount_minor", "plan__agreed_on": "learned_on", "plan__ended_on": "settled_on"})
    parts = bulk.read(
        PlanInstalment.objects.filter(plan__in=plans).order_by("plan_id", "position").values("plan_id", "due_on", "amount_minor")
    ).rename({"due_on": "promised_on"})
    return in_turn(invoices, parts, by=["plan_id"]).drop("plan_id")


def _reminders(entity_id: int, as_of: date) -> pl.DataFrame:
    rows = ReminderItem.objects.filter(reminder__entity_id=entity_id, reminder__state="sent", reminder__planned_on__lte=as_of)
    return bulk.read(rows.order_by("id").values("invoice_id", "reminder__planned_on")).rename(
        {"reminder__planned_on": "learned_on"}
    )
