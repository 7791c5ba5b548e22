"""Documents on their way to customers: queued, sent, viewed or bounced, each of which customer and team see as a milestone."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
from django.db.models import F, Q

from topline.billing.models import Delivery, Invoice
from topline.kernel import bulk, clock, outbox
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market import queries as market
from topline.market.models import Contact
from topline.timeline import actions as timeline

S = Delivery.State
TOPIC = "send_invoice"
AGAIN = timedelta(minutes=10)  # within which the same document is not sent to the same address twice
VERBS = frozenset({"billing.view_document"})  # what a link may do, to its own document alone


class InvoiceNotIssued(Conflict):
    """A draft or void document is not sent."""

    code = "invoice_not_issued"


@action("billing.send_invoices")
def send_invoices(*, actor: Actor, invoice_ids: Sequence[int], recipient: str = "") -> pl.DataFrame:
    """Queue documents to be sent; the worker sends them. What went to the same address within ten minutes is not queued again.

    recipient  the address of all of them (default: each customer's contact for invoices)
    returns    one row per document: invoice_id, delivery_id (null: not queued), problem str (why; null where queued)
    Work: a fixed number of statements. Raises: InvoiceNotIssued, NotFound, Invalid (an address that is none).
    """
    ensure_address(recipient)
    asked = bulk.read(
        Invoice.objects.filter(pk__in=list(invoice_ids)).order_by("id").values("id", "number", "state", "customer_id")
    )
    lost = sorted(set(invoice_ids) - set(asked["id"].to_list()))
    ensure(not lost, NotFound(f"There is no document {lost[0] if lost else ''}.", field="invoice_ids"))
    odd = asked.filter(pl.col("state").is_in(["draft", "void"]))
    ensure(odd.is_empty(), InvoiceNotIssued(f"Document {odd['id'][0] if odd.height else ''} is {odd['state'][0] if odd.height else ''}.", field="invoice_ids", remedy="Issue it first."))  # fmt: skip
    sent = Delivery.objects.filter(invoice_id__in=list(invoice_ids), queued_at__gt=clock.now() - AGAIN).exclude(state=S.BOUNCED)
    fresh = bulk.read(sent.values("recipient", "invoice_id")).rename({"invoice_id": "id"})
    found = addressed(asked, fresh, by="id", recipient=recipient)
    going = found.filter(pl.col("problem").is_null())
    made = bulk.insert(
        Delivery,
        going.select(invoice_id="id", recipient="recipient", token=pl.Series([secrets.token_urlsafe(24) for _ in range(going.height)], dtype=pl.String), queued_at=pl.lit(clock.now())),
    )  # fmt: skip
    outbox.enqueue_many(TOPIC, {f"{TOPIC}:{delivery_id}": {"delivery_id": delivery_id} for delivery_id in made["id"]})
    changed_many("delivery", made["id"])
    queued = going.select("id").with_columns(delivery_id=made["id"])
    return found.join(queued, on="id", how="left", maintain_order="left").select("delivery_id", "problem", invoice_id="id")


def redeliver(*, actor: Actor, invoice_ids: Sequence[int]) -> pl.DataFrame:
    """Documents whose newest delivery came back are sent again, where the customer has another address by now and the actor may send.

    returns  one row per document that has not arrived: invoice_id, recipient str (where it did not), on_its_way bool (in the queue, since before or since now)
    Work: two statements, and those of sending.
    """
    rows = bulk.read(
        Delivery.objects.filter(invoice_id__in=list(invoice_ids))
        .order_by("id")
        .values("invoice_id", "recipient", "state", customer_id=F("invoice__customer_id"))
    )
    newest = rows.unique("invoice_id", keep="last", maintain_order=True).filter(pl.col("state").is_in([S.BOUNCED, S.QUEUED]))
    if newest.is_empty():
        return pl.DataFrame(schema={"invoice_id": pl.Int64, "recipient": pl.String, "on_its_way": pl.Boolean})
    known = newest.join(addresses(newest["customer_id"]), on="customer_id", how="left", maintain_order="left")
    again = known.filter(
        (pl.col("state") == S.BOUNCED) & (pl.col("email") != pl.col("recipient")) & pl.lit(actor.may("billing.send_invoices"))
    )["invoice_id"]
    if again.len():
        send_invoices(actor=actor, invoice_ids=again.to_list())
    going = (pl.col("state") == S.QUEUED) | pl.col("invoice_id").is_in(again.implode())
    return newest.select("invoice_id", "recipient", on_its_way=going)


@action("billing.mark_delivery")
def mark_delivery(*, actor: Actor, delivery_id: int, state: str, message_id: str = "", note: str = "") -> int:
    """Say what became of a delivery: sent, or bounced with why; returns its id. A delivery that was viewed is not sent again. Raises: NotFound, Invalid."""
    found = _locked(delivery_id)
    ensure(
        state in (S.SENT, S.BOUNCED),
        Invalid(f"A delivery is not marked {state!r}.", field="state", remedy="Use sent or bounced."),
    )
    if found.state == state or (state == S.SENT and found.state != S.QUEUED):
        return found.pk
    found.state, found.message_id, found.note = state, message_id or found.message_id, note[:300]
    found.sent_at = clock.now() if state == S.SENT else found.sent_at
    found.save()
    _tell(
        "invoice_sent" if state == S.SENT else "invoice_bounced",
        found,
        actor,
        note=f"{found.recipient}{': ' + note if note else ''}",
    )
    changed("delivery", found.pk, after={"state": state, "note": note})
    return found.pk


@action("billing.view_document")
def view_document(*, actor: Actor, delivery_id: int) -> int:
    """The customer opened the link: the document was received. The first time is a milestone. Returns the delivery's id. Raises: NotFound."""
    found = _locked(delivery_id)
    ensure(actor.key == f"delivery:{delivery_id}", NotFound("There is no document at this address."))
    if found.viewed_at is None:
        found.viewed_at, found.state = clock.now(), S.VIEWED
        found.save()
        _tell("invoice_viewed", found, actor, note=found.recipient)
        changed("delivery", found.pk, after={"state": S.VIEWED})
    return found.pk


@action("billing.open_document")
def open_document(*, actor: Actor, invoice_id: int, reader: str) -> int:
    """A customer who signed in opens a document of theirs, whoever sent it, if anybody did; returns the delivery's id, the newest where there is one.

    reader  their e-mail address. What was never sent is received by being read. Raises: NotFound (no document of theirs, or a draft).
    """
    theirs = market.customer_detail(actor.customer_id).ids if actor.customer_id is not None else []
    invoice = Invoice.objects.filter(pk=invoice_id, customer_id__in=theirs).exclude(state=Invoice.State.DRAFT).exclude(number=None).first()  # fmt: skip
    if invoice is None:
        raise NotFound("There is no such document of yours.", field="invoice_id", remedy="Open one from your account.")
    known = Delivery.objects.filter(invoice=invoice).order_by("-id").first()
    if known is not None:
        return known.pk
    now = clock.now()
    made = Delivery.objects.create(invoice=invoice, recipient=reader, state=S.VIEWED, token=secrets.token_urlsafe(24), queued_at=now, viewed_at=now, note="read in the portal")  # fmt: skip
    _tell("invoice_viewed", made, actor, note=reader)
    changed("delivery", made.pk, after={"state": S.VIEWED})
    return made.pk


def record_bounce(*, actor: Actor, message_id: str, text: str) -> int | None:
    """A mail system gave a message back; returns the delivery's id, None where the message is none of ours."""
    found = Delivery.objects.filter(message_id=message_id).first() if message_id else None
    return mark_delivery(actor=actor, delivery_id=found.pk, state=S.BOUNCED, note=text) if found is not None else None


def ensure_address(recipient: str) -> None:
    """Empty, or what can be an e-mail address. Raises: Invalid."""
    ensure(not recipient or ("@" in recipient and " " not in recipient), Invalid(f"{recipient!r} is no e-mail address.", field="recipient"))  # fmt: skip


def addressed(asked: pl.DataFrame, fresh: pl.DataFrame, *, by: str, recipient: str) -> pl.DataFrame:
    """Where things go to customers, and what keeps one from going.

    asked     one row per thing: `by`, customer_id; fresh: `by` and recipient of what was sent a moment ago; recipient: the address of all, else each
              customer's contact for invoices
    returns   asked with recipient and problem str (null: it may go). One statement.
    """
    found = asked.join(addresses(asked["customer_id"]), on="customer_id", how="left", maintain_order="left").with_columns(recipient=pl.lit(recipient) if recipient else pl.col("email"))  # fmt: skip
    known = found.join(fresh.with_columns(_fresh=True).unique(), on=[by, "recipient"], how="left", maintain_order="left")
    problem = (
        pl.when(pl.col("recipient").is_null())
        .then(pl.lit("Nobody of the customer has an e-mail address."))
        .when(pl.col("_fresh"))
        .then(pl.lit("It was sent there a moment ago."))
    )
    return known.with_columns(problem=problem)


def addresses(customer_ids: pl.Series) -> pl.DataFrame:
    """Whom to send invoices to: customer_id, contact_id, email. The contact whose role speaks of invoices, payables or accounts, else the primary, else the first."""
    ids = customer_ids.unique().to_list()
    rows = bulk.read(
        Contact.objects.filter(~Q(email=""), customer_id__in=ids)
        .order_by("id")
        .values("id", "customer_id", "email", "role", "is_primary")
    )
    pays = pl.col("role").str.to_lowercase().str.contains("invoice|payable|account|billing")
    ranked = rows.with_columns(_rank=pl.when(pays).then(0).when(pl.col("is_primary")).then(1).otherwise(2)).sort("_rank", "id")
    return ranked.unique("customer_id", keep="first", maintain_order=True).select("customer_id", "email", contact_id="id")


def contact_for_invoices(customer_id: int) -> Contact | None:
    """Whom invoices of a customer go to; None where nobody has an e-mail address."""
    found = addresses(pl.Series([customer_id]))
    return Contact.objects.filter(pk=found["contact_id"][0]).first() if found.height else None


def by_token(token: str) -> Delivery:
    """The delivery of a link. Raises: NotFound, which does not say whether there ever was one."""
    found = Delivery.objects.select_related("invoice__entity", "invoice__customer").filter(token=token).first() if token else None
    if found is None:
        raise NotFound("There is no document at this address.", remedy="Ask the people who sent it for a new link.")
    return found


def customer_in_portal(actor: Actor) -> Actor:
    """Somebody of a customer who signed in: they open documents of theirs, and nothing else."""
    return replace(actor, permissions=frozenset({"billing.open_document"}))


def customer_behind(delivery: Delivery) -> Actor:
    """Whoever holds the link of a document."""
    return Actor(key=f"delivery:{delivery.pk}", name=f"link of {delivery.invoice.number}", permissions=VERBS)


# --- parts ---
def _locked(delivery_id: int) -> Delivery:
    found = Delivery.objects.select_for_update(of=("self",)).select_related("invoice").filter(pk=delivery_id).first()
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id}.", field="delivery_id")
    return found


def _tell(kind: str, delivery: Delivery, actor: Actor, **told: Any) -> None:
    invoice = delivery.invoice
    timeline.record_one(
        kind, subject="invoice", subject_id=invoice.pk, actor=actor, on=clock.today(invoice.entity.time_zone), customer_id=invoice.customer_id, amount_minor=invoice.total_minor, currency=invoice.currency, **told
    )  # fmt: skip
