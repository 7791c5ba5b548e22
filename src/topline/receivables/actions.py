"""Verbs of the receivables room: money comes in, settles documents, is given back, or is given up.

Every verb locks the payments and documents it touches in the order of their ids, so that two clerks can never apply more
than what is open; CHECK constraints on both sides are the net below.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl
from django.db.models import Exists, OuterRef, Q, Sum

from topline.bank import actions as bank_actions
from topline.bank import queries as bank
from topline.billing import queries as billing
from topline.billing.models import Invoice
from topline.books import actions as books
from topline.books import rates
from topline.books.actions import leg
from topline.books.models import Entity
from topline.kernel import bulk, clock, money, series
from topline.kernel.actions import action, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market import queries as market
from topline.market.models import Customer
from topline.receivables import payers, posting, queries
from topline.receivables.models import Allocation, Payment, WriteOffProposal
from topline.timeline import actions as timeline

ALONE_UP_TO = 1_000  # units of the company's currency: to write off more takes a second person
COUNTED = timedelta(days=365)  # what was written off alone for the same customer so near in time counts towards it

K, S = Allocation.Kind, Invoice.State
FROM_CREDITS = (K.CREDITS.value, K.GRANTED.value)
_ALLOCATION = {
    "kind": pl.String, "invoice_id": pl.Int64, "payment_id": pl.Int64, "credit_note_id": pl.Int64, "amount_minor": pl.Int64, "source_minor": pl.Int64,
}  # fmt: skip


class OverApplied(Conflict):
    """More would be applied than is open on the document or left of the payment."""

    code = "over_applied"


class NothingToApply(Invalid):
    """Amounts of zero or less settle nothing."""

    code = "nothing_to_apply"


class DocumentNotOpen(Conflict):
    """Only an issued document with an open rest can be settled."""

    code = "document_not_open"


class PaymentNotUsable(Conflict):
    """The payment was returned by the bank, or does not exist for this purpose."""

    code = "payment_not_usable"


class PaymentNumberTaken(Conflict):
    """The entity has a payment with this number: the same money is not booked twice."""

    code = "payment_number_taken"


class AppliedBeforeReceived(Invalid):
    """Money or a document is used, given back or taken off on a day before it was there."""

    code = "applied_before_received"


class NeedsSecondPerson(Conflict):
    """More would be given up than one person may give up alone."""

    code = "needs_second_person"


class PaidFromCredits(Conflict):
    """Credits settled it, and only where credits are kept can it be taken back."""

    code = "paid_from_credits"


class AllocationUndone(Conflict):
    """The allocation was undone before."""

    code = "allocation_undone"


@action("receivables.record_payments")
def record_payments(*, actor: Actor, entity_id: int, payments: pl.DataFrame, import_batch_id: int | None = None) -> pl.DataFrame:
    """Book money that came in; until it is applied it is a liability of ours to the payer.

    payments  one row per payment: customer_id (null: payer unknown), currency, amount_minor > 0, received_on; optional
              number (else from the series), bank_account_id, method, reference, payer_name
    returns   one row per payment in the same order: payment_id i64, number str
    Work: a fixed number of statements. Posts payments in clearing against unapplied customer cash.
    Raises: NothingToApply, Invalid (currency), PaymentNumberTaken, books.PeriodLocked, rates.RateMissing.
    """
    for code in payments["currency"].unique().to_list():
        money.ensure_currency(code)
    market.ensure_known(payments["customer_id"])
    if "bank_account_id" in payments.columns:
        _ensure_bank_accounts(entity_id, payments["bank_account_id"])
    odd = payments.filter(pl.col("amount_minor") <= 0)
    ensure(
        odd.is_empty(),
        NothingToApply(
            "A payment must be more than zero.", field="amount", remedy="Book money that leaves as a refund or a vendor payment."
        ),
    )
    home = Entity.objects.get(pk=entity_id).currency
    worth = rates.convert(payments.select("currency", "amount_minor", on="received_on"), to=home)
    frame = payments.with_columns(
        worth["converted_minor"].alias("functional_minor"), bulk.reserve_ids(Payment, payments.height).alias("id")
    )
    if "number" not in frame.columns:
        frame = frame.with_columns(
            series.take(entity_id=entity_id, code="payment", count=frame.height, prefix="PAY-").alias("number")
        )
    _ensure_numbers_free(entity_id, frame["number"])
    frame = frame.with_columns(key=pl.format("payment:{}:received", "id"))
    booked = frame.select(
        "key", "currency", "amount_minor", "functional_minor", "customer_id", payment_id="id",
        bank_account_id=pl.col("bank_account_id") if "bank_account_id" in frame.columns else pl.lit(None, dtype=pl.Int64),
    )  # fmt: skip
    books.post(
        entity_id=entity_id,
        kind="payment_received",
        entries=frame.select("key", effective_on="received_on", source=pl.format("payment:{}", "id")),
        transfers=[leg(booked, debit="clearing", credit="unapplied_cash", amount="amount_minor", functional="functional_minor")],
    )
    optional = [c for c in ("bank_account_id", "method", "reference", "payer_name") if c in frame.columns]
    bulk.insert(
        Payment,
        frame.select(
            "id", "number", "customer_id", "currency", "amount_minor", "functional_minor", "received_on", *optional,
            entity_id=pl.lit(entity_id, dtype=pl.Int64), created_at=pl.lit(clock.now()), import_batch_id=pl.lit(import_batch_id, dtype=pl.Int64),
        ),
    )  # fmt: skip
    timeline.record(
        "payment_received", frame.select("customer_id", "currency", "amount_minor", payment_id="id", note="number", day="received_on"), subject="payment",
        actor=actor, on=pl.col("day"),
    )  # fmt: skip
    changed_many("payment", frame["id"])
    return frame.select("number", payment_id="id")


@action("receivables.apply_cash")
def apply_cash(*, actor: Actor, links: pl.DataFrame, on: date | None = None, teaches: str = "") -> pl.DataFrame:
    """Apply payments to documents: partial, in full, many to many, across currencies.

    links    one row per link: payment_id, invoice_id, amount_minor in the document's currency; optional source_minor (what it
             takes of the payment, when that is in another currency; else converted at the day's rate), discount_minor and
             fee_minor (cash discount allowed and bank charges borne: they settle the document without money), effective_on
    on       the day from which it counts, where the links have none
    teaches  how a person said so ("confirmed match"): each payer's name and account stand for the customer from now on
    returns  one row per allocation: allocation_id, kind, payment_id, invoice_id, amount_minor
    Work: a fixed number of statements, and a few per payment that teaches. A foreign settlement books its realised exchange difference.
    Raises: OverApplied, DocumentNotOpen, PaymentNotUsable, NothingToApply, AppliedBeforeReceived, NotFound, books.PeriodLocked.
    """
    links = links if "effective_on" in links.columns else links.with_columns(effective_on=pl.lit(on))
    payments, invoices = _locked(links)
    links = links.join(
        payments.select(payment_id="id", payment_currency="currency"),
        on="payment_id",
        how="left",
        maintain_order="left",
    )
    links = links.join(
        invoices.select(invoice_id="id", currency="currency"),
        on="invoice_id",
        how="left",
        maintain_order="left",
    )
    _ensure_in_order(links, invoices=invoices, payments=payments)
    links = _with_source(links)
    rows = pl.concat(
        [
            links.select(
                "effective_on", "invoice_id", "payment_id", "amount_minor", "source_minor", kind=pl.lit(K.PAYMENT.value)
            ),
            *(
                links.filter(pl.col(column) > 0).select(
                    "effective_on",
                    "invoice_id",
                    "payment_id",
                    amount_minor=pl.col(column),
                    source_minor=pl.lit(0, dtype=pl.Int64),
                    kind=pl.lit(kind.value),
                )
                for column, kind in (("discount_minor", K.DISCOUNT), ("fee_minor", K.BANK_FEE))
                if column in links.columns
            ),
        ]
    ).with_columns(credit_note_id=pl.lit(None, dtype=pl.Int64))
    done = _settle(actor=actor, rows=rows, invoices=invoices, payments=payments)
    if teaches:
        payers.learn(actor=actor, links=_whose(links), source=teaches)
    return done


@action("receivables.apply_credit_note")
def apply_credit_note(*, actor: Actor, credit_note_id: int, links: pl.DataFrame, on: date) -> pl.DataFrame:
    """Use a credit note against documents of its currency: a link, no money moves.

    links    one row per document: invoice_id, amount_minor
    returns  one row per allocation, as apply_cash
    Raises: OverApplied, DocumentNotOpen, Invalid (currencies differ), NotFound.
    """
    rows = links.select(
        "invoice_id", "amount_minor", source_minor="amount_minor", kind=pl.lit(K.CREDIT_NOTE.value), credit_note_id=pl.lit(credit_note_id, dtype=pl.Int64),
        payment_id=pl.lit(None, dtype=pl.Int64), effective_on=pl.lit(on),
    )  # fmt: skip
    invoices = billing.for_update([*links["invoice_id"].to_list(), credit_note_id])
    kinds = dict(invoices.select("id", "kind").iter_rows())
    ensure(kinds[credit_note_id] == Invoice.Kind.CREDIT_NOTE, Invalid("That is no credit note.", field="credit_note_id"))
    ensure(
        invoices["currency"].n_unique() == 1, Invalid("A credit note settles documents of its own currency.", field="invoice_id")
    )
    return _settle(actor=actor, rows=rows, invoices=invoices, payments=_no_payments())


@action("receivables.write_off")
def write_off(*, actor: Actor, invoice_ids: Sequence[int], on: date, reason: str, proposed_by: str = "") -> pl.DataFrame:
    """Give up what is open on documents and book it as bad debt; a later payment can reopen them by `unapply`.

    proposed_by  key of somebody else who asked for it (write_offs, a case); without, at most ALONE_UP_TO is given up, at once and for
                 one customer within a year, whoever gave it up: neither small parts nor two people in turn go round the second person
    returns      one row per allocation, as apply_cash
    Raises: DocumentNotOpen, NeedsSecondPerson, Invalid (no reason), NotFound, books.PeriodLocked.
    """
    ensure(
        bool(reason.strip()), Invalid("A write-off needs a reason.", field="reason", remedy="Say why the money will not come.")
    )
    invoices = billing.for_update(invoice_ids)
    rows = invoices.select(
        invoice_id="id", amount_minor=pl.col("total_minor") - pl.col("allocated_minor"), source_minor=pl.lit(0, dtype=pl.Int64), kind=pl.lit(K.WRITE_OFF.value),
        payment_id=pl.lit(None, dtype=pl.Int64), credit_note_id=pl.lit(None, dtype=pl.Int64), effective_on=pl.lit(on),
    )  # fmt: skip
    if proposed_by in ("", actor.key):
        _ensure_alone(rows, invoices, on)
    else:
        _keep_approval(rows, actor=actor, proposed_by=proposed_by, on=on, reason=reason)
    return _settle(actor=actor, rows=rows, invoices=invoices, payments=_no_payments())


@action("receivables.refund")
def refund(*, actor: Actor, payment_id: int, amount_minor: int, on: date, reason: str = "") -> pl.DataFrame:
    """Give unapplied money back to the payer; returns the allocation, as apply_cash.

    Raises: OverApplied, PaymentNotUsable, NothingToApply, NotFound, books.PeriodLocked.
    """
    payments = queries.payments_for_update([payment_id])
    return _settle(actor=actor, rows=_of_payment(K.REFUND, payment_id, amount_minor, on), invoices=_no_invoices(), payments=payments)  # fmt: skip


def give_back(*, actor: Actor, payment_id: int, amount_minor: int, on: date, reason: str) -> int:
    """Money of a payment goes back to who paid it, with what it settled where less is left of it: the newest opens again, for as much. Called inside an action.

    Returns how much of documents opened. Raises: as `refund`, and AppliedBeforeReceived.
    """
    payment = queries.payments_for_update([payment_id]).row(0, named=True)
    taken: int = amount_minor - (payment["amount_minor"] - payment["allocated_minor"])
    if taken > 0:
        standing = queries.standing_allocations(payment_ids=[payment_id]).filter(pl.col("kind") == K.PAYMENT.value).reverse()
        upto = pl.col("source_minor").cum_sum()
        rows = standing.filter(upto - pl.col("source_minor") < taken)
        _unapply(actor=actor, rows=rows, on=on, reason=reason)
        last, rest = rows.row(-1, named=True), int(rows["source_minor"].sum()) - taken
        if rest > 0 and last["amount_minor"] == last["source_minor"]:  # in one currency, else it stays money not applied
            again = _of_payment(K.PAYMENT, payment_id, rest, on, invoice_id=last["invoice_id"])
            _settle(actor=actor, rows=again, invoices=billing.for_update([last["invoice_id"]]), payments=queries.payments_for_update([payment_id]))  # fmt: skip
    rows = _of_payment(K.REFUND, payment_id, amount_minor, on)
    _settle(actor=actor, rows=rows, invoices=_no_invoices(), payments=queries.payments_for_update([payment_id]))
    return max(taken, 0)


@action("receivables.unapply")
def unapply(*, actor: Actor, allocation_ids: Sequence[int], on: date, reason: str = "") -> pl.DataFrame:
    """Undo allocations: mirror rows and mirror entries in an open period; documents that are no longer settled open again.

    What was learned of the payer from them is forgotten.
    returns  one row per mirror allocation, as apply_cash
    Raises: NotFound, AllocationUndone, AppliedBeforeReceived, PaidFromCredits, books.PeriodLocked.
    """
    rows = queries.allocations(allocation_ids)
    ours = rows.filter(pl.col("kind").is_in([*FROM_CREDITS, K.CREDITS_BACK.value]))
    ensure(
        ours.is_empty(),
        PaidFromCredits(
            "That was paid from credits.", field="allocation_ids", remedy="Put the credits back, on the invoice's page."
        ),
    )
    numbered = queries.numbers(rows).with_columns(since="effective_on", effective_on=pl.lit(on))
    _ensure_since(numbered, "was settled")
    done = _unapply(actor=actor, rows=rows, on=on, reason=reason)
    payers.forget(actor=actor, links=_whose(rows.filter(pl.col("kind") == K.PAYMENT.value)))
    return done


@action("receivables.return_payment")
def return_payments(*, actor: Actor, payment_ids: Sequence[int], on: date, reason: str = "", line_id: int | None = None) -> int:
    """The bank took payments back, or they should never have been booked: all they settled opens again, their booking is reversed.

    line_id  the debit by which the bank did it; it then stands for the (one) payment and is no longer open
    on       the day of the bank; what was settled on a later one opens again on that
    Returns how many. Work: a fixed number of statements per batch of one company and day.
    Raises: NotFound, PaymentNotUsable (returned before), AppliedBeforeReceived, books.PeriodLocked.
    """
    payments = queries.payments_for_update(payment_ids)
    gone = payments.filter(pl.col("state") != Payment.State.RECEIVED)
    if gone.height:
        raise PaymentNotUsable(f"Payment {gone['number'][0]} was returned before.", field="payment_ids", remedy="Nothing to do.")
    standing = queries.standing_allocations(payment_ids=payments["id"].to_list())
    _ensure_since(payments.select("number", since="received_on", effective_on=pl.lit(on)), "came in")
    for (day,), rows in standing.group_by(pl.max_horizontal("effective_on", pl.lit(on)), maintain_order=True):
        _unapply(actor=actor, rows=rows, on=day, reason=reason)  # matched on a later day than the bank's
    entries = books.entry_ids([f"payment:{i}:received" for i in payments["id"].to_list()])
    books.reverse(entry_ids=entries, effective_on=on, memo=f"Returned: {reason}" if reason else "Returned by the bank")
    bulk.update(
        Payment, payments.select("id", state=pl.lit(Payment.State.RETURNED.value), allocated_minor=pl.lit(0, dtype=pl.Int64))
    )
    changed_many("payment", payments["id"], after={"state": "returned", "reason": reason})
    told = payments.select("customer_id", "currency", "amount_minor", payment_id="id", note=pl.lit(reason))
    timeline.record("payment_returned", told, subject="payment", actor=actor, on=on)
    if line_id is not None:
        ensure(
            payments.height == 1,
            Invalid("One debit takes one payment back.", field="payment_ids", remedy="Return them one by one."),
        )
        bank_actions.link_lines(actor=actor, links=pl.DataFrame({"line_id": [line_id], "payment_id": payments["id"]}))
    return payments.height


def _whose(links: pl.DataFrame) -> pl.DataFrame:
    """payment_id, customer_id (resolved) of the documents that money went to."""
    rows = Invoice.objects.filter(pk__in=links["invoice_id"].unique().to_list())
    customers = market.resolve(bulk.read(rows.values("id", "customer_id")))
    return (
        links.select("payment_id", "invoice_id").join(customers.rename({"id": "invoice_id"}), on="invoice_id").drop("invoice_id")
    )


def settle_from_credits(*, actor: Actor, rows: pl.DataFrame, on: date) -> pl.DataFrame:
    """Credits of customers settle documents; called where credits are kept, inside its action.

    rows     one row per document and kind: kind (credits: bought, granted: given), invoice_id, amount_minor in the document's currency, credit_functional i64 (what
             the credits are worth in the company's books; null for given ones)
    returns  one row per allocation, as apply_cash
    Raises: OverApplied, DocumentNotOpen, NotFound, books.PeriodLocked.
    """
    none = pl.lit(None, dtype=pl.Int64)
    told = rows.with_columns(source_minor="amount_minor", payment_id=none, credit_note_id=none, effective_on=pl.lit(on))
    invoices = billing.for_update(rows["invoice_id"].unique().to_list())
    return _settle(actor=actor, rows=told, invoices=invoices, payments=_no_payments())


def settle_corrections(*, actor: Actor, credit_note_ids: Sequence[int], on: date) -> pl.DataFrame:
    """Use credit notes against what is open of the invoices that they correct, the oldest first; called inside the action that issues them.

    What is left of one stays its customer's. Returns one row per allocation, as apply_cash. Work: some ten statements, whatever their number.
    """
    notes = billing.for_update(credit_note_ids).select(
        "id", "corrects_id", left=pl.col("total_minor") - pl.col("allocated_minor")
    )
    corrected = billing.for_update(notes["corrects_id"].unique().to_list())
    open_ = corrected.filter(pl.col("state") == Invoice.State.OPEN).select(
        corrects_id="id", open_minor=pl.col("total_minor") - pl.col("allocated_minor")
    )
    before = pl.col("left").cum_sum().over("corrects_id") - pl.col("left")
    rows = (
        notes.sort("id").join(open_, on="corrects_id", maintain_order="left")
        .with_columns(amount_minor=(pl.col("open_minor") - before).clip(0, pl.col("left")))
        .filter(pl.col("amount_minor") > 0)
        .select(
            "amount_minor", invoice_id="corrects_id", credit_note_id="id", source_minor="amount_minor", kind=pl.lit(K.CREDIT_NOTE.value), payment_id=pl.lit(None, dtype=pl.Int64), effective_on=pl.lit(on),
        )
    )  # fmt: skip
    if rows.is_empty():
        return _no_payments()
    invoices = billing.for_update([*rows["invoice_id"].to_list(), *rows["credit_note_id"].to_list()])
    return _settle(actor=actor, rows=rows, invoices=invoices, payments=_no_payments())


def put_credits_back(*, actor: Actor, invoice_id: int, on: date, reason: str) -> pl.DataFrame:
    """Undo what credits settled of a document; called where credits are kept, inside its action. Returns one row per mirror allocation, as apply_cash."""
    standing = queries.standing_allocations(invoice_ids=[invoice_id])
    ours = standing.filter(pl.col("kind").is_in(FROM_CREDITS))
    ensure(
        ours.height > 0,
        NothingToApply("Credits paid nothing of it.", field="invoice_id", remedy="Choose an invoice that was paid from credits."),
    )
    return _unapply(actor=actor, rows=ours, on=on, reason=reason)


def note_into_credits(*, actor: Actor, credit_note_id: int, bought_minor: int, given_minor: int, on: date) -> int:
    """A credit note becomes credits again instead of lowering what is owed; called where credits are kept, inside its action. Returns the allocation's id.

    bought_minor, given_minor  of it, what goes back to credits that were bought and to such that were given
    Raises: OverApplied, DocumentNotOpen, NotFound, Invalid (no credit note), books.PeriodLocked.
    """
    notes = billing.for_update([credit_note_id])
    note, amount = notes.row(0, named=True), bought_minor + given_minor
    ensure(note["kind"] == Invoice.Kind.CREDIT_NOTE, Invalid("That is no credit note.", field="credit_note_id"))
    ensure(amount > 0, NothingToApply("An amount to give back must be more than zero.", field="amount_minor"))
    row = pl.DataFrame({"kind": [K.CREDITS_BACK.value], "credit_note_id": [credit_note_id], "amount_minor": [amount], "source_minor": [amount], "effective_on": [on]}).with_columns(
        invoice_id=pl.lit(None, dtype=pl.Int64), id=bulk.reserve_ids(Allocation, 1)
    )  # fmt: skip
    _check_open(row, notes)
    worth, upto = posting.part_of, pl.col("allocated_minor")
    total, whole = pl.col("functional_minor"), pl.col("total_minor")
    given, bought = pl.lit(given_minor), pl.lit(bought_minor)
    booked = notes.select(
        "currency", "customer_id", key=pl.format("allocation:{}", row["id"]), invoice_id="id", bought=bought, given=given,
        bought_functional=worth(total, upto + bought, bought, whole), given_functional=worth(total, upto + bought + given, given, whole),
    )  # fmt: skip
    books.post(
        entity_id=note["entity_id"], kind="allocation", entries=booked.select("key", effective_on=pl.lit(on), source="key"),
        transfers=[
            leg(booked, debit="receivable", credit="prepaid_credits", amount="bought", functional="bought_functional"),
            leg(booked, debit="receivable", credit="credits_granted", amount="given", functional="given_functional"),
        ],
    )  # fmt: skip
    functional = booked.select(pl.col("bought_functional") + pl.col("given_functional")).item()
    bulk.insert(Allocation, row.with_columns(functional_minor=pl.lit(functional), recorded_at=pl.lit(clock.now())))
    _update_documents(row, notes, actor=actor)
    changed_many("allocation", row["id"])
    return int(row["id"][0])


def _of_payment(kind: Allocation.Kind, payment_id: int, amount_minor: int, on: date, invoice_id: int | None = None) -> pl.DataFrame:  # fmt: skip
    """One allocation of a payment, in its own currency."""
    row = {"kind": kind.value, "invoice_id": invoice_id, "payment_id": payment_id, "credit_note_id": None, "amount_minor": amount_minor, "source_minor": amount_minor}  # fmt: skip
    return pl.DataFrame([row], schema=_ALLOCATION).with_columns(effective_on=pl.lit(on))


def _settle(*, actor: Actor, rows: pl.DataFrame, invoices: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """The one way by which anything is settled: check against what is open, link, post, and set states; all rows or none."""
    ensure(
        bool((rows["amount_minor"] > 0).all()), NothingToApply("An amount to apply must be more than zero.", field="amount_minor")
    )
    _check_open(rows, invoices)
    _check_left(rows, payments)
    _ensure_in_order(rows, invoices=invoices, payments=payments)
    rows = posting.with_functional(rows, invoices=invoices, payments=payments).with_columns(
        id=bulk.reserve_ids(Allocation, rows.height)
    )
    posting.post_allocations(rows, invoices=invoices, payments=payments)
    written = bulk.insert(
        Allocation,
        rows.select(
            "id", "kind", "invoice_id", "payment_id", "credit_note_id", "amount_minor", "source_minor", "functional_minor", "effective_on",
            recorded_at=pl.lit(clock.now()),
        ),
    )  # fmt: skip
    _update_documents(rows, invoices, actor=actor)
    _update_payments(rows, payments)
    changed_many("allocation", written["id"])
    _record_applied(rows, invoices, payments, actor=actor)
    return rows.select("kind", "payment_id", "invoice_id", "amount_minor", allocation_id="id")


def _ensure_alone(rows: pl.DataFrame, invoices: pl.DataFrame, on: date) -> None:
    """One person gives up no more than ALONE_UP_TO at once, nor for one customer together with what was given up alone within COUNTED.

    Measured at the amount that becomes bad debt, in each company's currency. Days on both sides count, so that an earlier date on
    the write-off hides nothing; the customers are locked, so that two at the same time count each other. Work: four statements.
    """
    lost = posting.with_functional(rows, invoices=invoices, payments=_no_payments()).join(
        invoices.select("entity_id", "customer_id", invoice_id="id"), on="invoice_id"
    )
    lost = market.resolve(lost)
    customers = lost["customer_id"].unique().to_list()
    list(Customer.objects.select_for_update().filter(pk__in=customers).order_by("id").values_list("id"))
    before = _given_up_alone(customers, lost["entity_id"].unique().to_list(), on)
    now = lost.group_by("entity_id", "customer_id").agg(pl.col("functional_minor").sum())
    together = now.join(before, on=["entity_id", "customer_id"], how="left").with_columns(pl.col("before_minor").fill_null(0))
    at_once = now.group_by("entity_id").agg(pl.col("functional_minor").sum()).with_columns(before_minor=pl.lit(0, dtype=pl.Int64))
    homes = {e.pk: e.currency for e in Entity.objects.filter(pk__in=lost["entity_id"].unique().to_list())}
    for entity_id, amount, earlier in pl.concat([at_once, together.select(at_once.columns)]).iter_rows():
        home = homes[entity_id]
        why = f": {money.Money(earlier, home)} was given up alone for this customer within a year" if earlier else ""
        ensure(
            amount + earlier <= ALONE_UP_TO * 10 ** money.exponent(home),
            NeedsSecondPerson(
                f"{money.Money(amount, home)} is more than one person may write off{why}.",
                field="invoice_ids",
                remedy="Propose it; a second person approves it.",
            ),
        )


def _given_up_alone(customers: list[int], entities: list[int], on: date) -> pl.DataFrame:
    """What was written off without a second person near a day and still stands: entity_id, customer_id (that stands for it), before_minor."""
    rows = Allocation.objects.filter(
        Q(invoice__customer_id__in=customers) | Q(invoice__customer__merged_into_id__in=customers), kind=K.WRITE_OFF, invoice__entity_id__in=entities,
    )  # fmt: skip
    approved = WriteOffProposal.objects.filter(
        invoice_id=OuterRef("invoice_id"), state=WriteOffProposal.State.APPROVED, decided_on=OuterRef("effective_on")
    )
    standing = rows.filter(
        effective_on__gt=on - COUNTED, effective_on__lt=on + COUNTED, reverses__isnull=True, reversed_by__isnull=True
    )
    rows = standing.exclude(Exists(approved))
    sums = rows.values("invoice__entity_id", "invoice__customer_id").annotate(before_minor=Sum("functional_minor"))
    found = bulk.read(sums.order_by().values("invoice__entity_id", "invoice__customer_id", "before_minor"))
    found = found.rename({"invoice__entity_id": "entity_id", "invoice__customer_id": "customer_id"})
    return market.resolve(found).group_by("entity_id", "customer_id").agg(pl.col("before_minor").sum())


def _keep_approval(rows: pl.DataFrame, *, actor: Actor, proposed_by: str, on: date, reason: str) -> None:
    """What two people gave up stands among the proposals with both of them, also where it was not proposed there (a case)."""
    proposals = WriteOffProposal.objects.filter(
        invoice_id__in=rows["invoice_id"].to_list(), state=WriteOffProposal.State.APPROVED
    )
    known = set(proposals.filter(decided_on=on).values_list("invoice_id", flat=True))
    both = {"proposed_by_key": proposed_by, "decided_by_key": actor.key, "proposed_on": on, "decided_on": on}
    WriteOffProposal.objects.bulk_create(
        WriteOffProposal(
            invoice_id=row["invoice_id"], open_minor=row["amount_minor"], state=WriteOffProposal.State.APPROVED, reason=reason.strip()[:300],
            recorded_at=clock.now(), **both,
        )
        for row in rows.filter(pl.col("amount_minor") > 0).iter_rows(named=True)
        if row["invoice_id"] not in known
    )  # fmt: skip


def _unapply(*, actor: Actor, rows: pl.DataFrame, on: date, reason: str) -> pl.DataFrame:
    undone = Allocation.objects.filter(reverses_id__in=rows["id"].to_list()).values_list("reverses_id", flat=True)[:1]
    ensure(not undone, AllocationUndone(f"Allocation {undone[0] if undone else ''} was undone before.", field="allocation_ids"))
    documents = list({*rows["invoice_id"].drop_nulls().to_list(), *rows["credit_note_id"].drop_nulls().to_list()})
    payments = queries.payments_for_update(rows["payment_id"].drop_nulls().unique().to_list())
    invoices = billing.for_update(documents)
    entries = books.entry_ids([f"allocation:{i}" for i in rows["id"].to_list()])
    if entries:
        books.reverse(entry_ids=entries, effective_on=on, memo=reason or "Unapplied")
    mirror = rows.with_columns(
        pl.col("amount_minor", "source_minor", "functional_minor").neg(),
        effective_on=pl.lit(on),
        reverses_id="id",
        id=bulk.reserve_ids(Allocation, rows.height),
    )
    bulk.insert(
        Allocation,
        mirror.select(
            "id", "kind", "invoice_id", "payment_id", "credit_note_id", "amount_minor", "source_minor", "functional_minor", "effective_on", "reverses_id",
            recorded_at=pl.lit(clock.now()),
        ),
    )  # fmt: skip
    _update_documents(mirror, invoices, actor=actor)
    _update_payments(mirror, payments)
    changed_many("allocation", mirror["id"], after={"reason": reason})
    customers = payments.select(payment_id="id", customer_id="customer_id", currency="currency")
    told = mirror.filter(pl.col("payment_id").is_not_null()).join(customers, on="payment_id")
    timeline.record(
        "payment_unapplied", told.select("payment_id", "customer_id", "currency", amount_minor=-pl.col("amount_minor"), note=pl.lit(reason)),
        subject="payment", actor=actor, on=on,
    )  # fmt: skip
    return mirror.select("kind", "payment_id", "invoice_id", "amount_minor", allocation_id="id")


def _locked(links: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Payments first, then documents, each in the order of ids: every verb takes them in this order, so nobody deadlocks."""
    payments = queries.payments_for_update(links["payment_id"].unique().to_list())
    return payments, billing.for_update(links["invoice_id"].unique().to_list())


def _with_source(links: pl.DataFrame) -> pl.DataFrame:
    """What each link takes of its payment: the same amount, or its worth in the payment's currency at the day's rate."""
    given = pl.col("source_minor") if "source_minor" in links.columns else pl.lit(None, dtype=pl.Int64)
    links = links.with_columns(
        source_minor=pl.coalesce(given, pl.when(pl.col("currency") == pl.col("payment_currency")).then("amount_minor"))
    )
    missing = links["source_minor"].is_null()
    if not missing.any():
        return links
    parts = [links.filter(~missing)]
    for key, group in links.filter(missing).partition_by("payment_currency", as_dict=True).items():
        worth = rates.convert(group.select("currency", "amount_minor", on="effective_on"), to=str(key[0]))
        parts.append(group.with_columns(source_minor=worth["converted_minor"]))
    return pl.concat(parts)


def _ensure_in_order(rows: pl.DataFrame, *, invoices: pl.DataFrame, payments: pl.DataFrame) -> None:
    """Raises: AppliedBeforeReceived where a payment, document or credit note would count before it was there."""
    for column, frame, since, came in (
        ("payment_id", payments, "received_on", "came in"), ("invoice_id", invoices, "issued_on", "was issued"), ("credit_note_id", invoices, "issued_on", "was issued"),
    ):  # fmt: skip
        if column in rows.columns:
            there = frame.select("number", pl.col("id").alias(column), since=pl.col(since))
            _ensure_since(rows.drop_nulls(column).join(there, on=column, maintain_order="left"), came)


def _ensure_since(rows: pl.DataFrame, came: str) -> None:
    """Raises: AppliedBeforeReceived for the first row whose effective_on lies before its `since`; number says of what."""
    for number, since, on in (
        rows.filter(pl.col("effective_on") < pl.col("since")).select("number", "since", "effective_on").iter_rows()
    ):
        raise AppliedBeforeReceived(
            f"{number} {came} on {since:%-d %b %Y}, after {on:%-d %b %Y}.", field="effective_on", remedy=f"Use {since:%-d %b %Y} or a later day."
        )  # fmt: skip


def _check_open(rows: pl.DataFrame, invoices: pl.DataFrame) -> None:
    wanted = pl.concat(
        [
            rows.drop_nulls("invoice_id").select(id="invoice_id", wanted="amount_minor"),
            rows.drop_nulls("credit_note_id").select(id="credit_note_id", wanted="source_minor"),
        ]
    )
    sums = wanted.group_by("id").agg(pl.col("wanted").sum()).join(invoices, on="id", how="left").sort("id")
    closed = sums.filter(pl.col("state") != S.OPEN)
    if closed.height:
        row = closed.row(0, named=True)
        raise DocumentNotOpen(
            f"{row['number'] or 'Draft ' + str(row['id'])} is {row['state']}: nothing is open on it.",
            field="invoice_id",
            remedy="Choose an open document.",
        )
    over = sums.filter(pl.col("wanted") > pl.col("total_minor") - pl.col("allocated_minor"))
    if over.height:
        row = over.row(0, named=True)
        rest = money.Money(row["total_minor"] - row["allocated_minor"], row["currency"])
        raise OverApplied(
            f"{money.Money(row['wanted'], row['currency'])} is more than the {rest} open on {row['number']}.",
            field="amount_minor",
            remedy="Apply at most what is open; the rest stays unapplied.",
            open_minor=rest.amount_minor,
        )


def _check_left(rows: pl.DataFrame, payments: pl.DataFrame) -> None:
    sums = rows.drop_nulls("payment_id").group_by("payment_id").agg(wanted=pl.col("source_minor").sum())
    frame = sums.join(payments, left_on="payment_id", right_on="id", how="left").sort("payment_id")
    returned = frame.filter(pl.col("state") != Payment.State.RECEIVED)
    ensure(
        returned.is_empty(),
        PaymentNotUsable("The payment was returned by the bank.", field="payment_id", remedy="Choose another payment."),
    )
    over = frame.filter(pl.col("wanted") > pl.col("amount_minor") - pl.col("allocated_minor"))
    if over.height:
        row = over.row(0, named=True)
        rest = money.Money(row["amount_minor"] - row["allocated_minor"], row["currency"])
        raise OverApplied(
            f"{money.Money(row['wanted'], row['currency'])} is more than the {rest} left of payment {row['number']}.",
            field="amount_minor",
            remedy="Apply at most what is left of the payment.",
            open_minor=rest.amount_minor,
        )


def _update_documents(rows: pl.DataFrame, invoices: pl.DataFrame, *, actor: Actor) -> None:
    """New allocated amounts and states of documents and credit notes, with their paid, written-off and reopened milestones."""
    moves = pl.concat(
        [
            rows.drop_nulls("invoice_id").select("effective_on", "kind", id="invoice_id", moved="amount_minor"),
            rows.drop_nulls("credit_note_id").select(
                "effective_on", kind=pl.lit("used"), id="credit_note_id", moved="source_minor"
            ),
        ]
    )
    if moves.is_empty():
        return
    sums = moves.group_by("id").agg(
        pl.col("moved").sum(),
        day=pl.col("effective_on").max(),
        lost=(pl.col("kind") == K.WRITE_OFF).any(),
        credits=pl.col("moved").filter(pl.col("kind").is_in(FROM_CREDITS)).sum(),
    )
    after = sums.join(invoices, on="id").with_columns(
        allocated_minor=pl.col("allocated_minor") + pl.col("moved"), from_credits_minor=pl.col("from_credits_minor") + pl.col("credits")
    )  # fmt: skip
    full = pl.col("allocated_minor") == pl.col("total_minor")
    after = after.with_columns(
        was="state",
        state=pl.when(full & pl.col("lost"))
        .then(pl.lit(S.WRITTEN_OFF.value))
        .when(full)
        .then(pl.lit(S.PAID.value))
        .otherwise(pl.lit(S.OPEN.value)),
        closed_on=pl.when(full).then(pl.max_horizontal("day", "issued_on")),
    )
    bulk.update(Invoice, after.select("id", "allocated_minor", "from_credits_minor", "state", "closed_on"))
    changed_many("invoice", after["id"], after={"allocated": "changed"})
    for kind, state in (("invoice_paid", S.PAID), ("invoice_written_off", S.WRITTEN_OFF), ("invoice_reopened", S.OPEN)):
        now = after.filter((pl.col("state") == state) & (pl.col("was") != state) & (pl.col("kind") != Invoice.Kind.CREDIT_NOTE))
        timeline.record(
            kind,
            now.select("customer_id", "currency", "day", invoice_id="id", amount_minor="total_minor", note="number"),
            subject="invoice",
            actor=actor,
            on=pl.col("day"),
        )


def _update_payments(rows: pl.DataFrame, payments: pl.DataFrame) -> None:
    sums = rows.drop_nulls("payment_id").group_by("payment_id").agg(moved=pl.col("source_minor").sum())
    after = sums.join(payments, left_on="payment_id", right_on="id")
    bulk.update(Payment, after.select(id="payment_id", allocated_minor=pl.col("allocated_minor") + pl.col("moved")))


def _record_applied(rows: pl.DataFrame, invoices: pl.DataFrame, payments: pl.DataFrame, *, actor: Actor) -> None:
    paid = rows.filter(pl.col("kind") == K.PAYMENT).join(
        invoices.select(invoice_id="id", customer_id="customer_id", currency="currency", note="number"), on="invoice_id"
    )
    timeline.record(
        "payment_applied",
        paid.select("payment_id", "customer_id", "currency", "amount_minor", "note", "effective_on"),
        subject="payment",
        actor=actor,
        on=pl.col("effective_on"),
    )
    noted = rows.filter(pl.col("kind") == K.CREDIT_NOTE).join(
        invoices.select(invoice_id="id", customer_id="customer_id", currency="currency", note="number"), on="invoice_id"
    )
    timeline.record(
        "credit_note_applied", noted.select("customer_id", "currency", "amount_minor", "note", "effective_on", credit_note_id="credit_note_id"),
        subject="credit_note", actor=actor, on=pl.col("effective_on"),
    )  # fmt: skip
    back = rows.filter(pl.col("kind") == K.REFUND).join(
        payments.select(payment_id="id", customer_id="customer_id", currency="currency", note="number"), on="payment_id"
    )
    timeline.record(
        "payment_refunded",
        back.select("payment_id", "customer_id", "currency", "amount_minor", "note", "effective_on"),
        subject="payment",
        actor=actor,
        on=pl.col("effective_on"),
    )


def _no_payments() -> pl.DataFrame:
    return pl.DataFrame(schema=bulk.schema(Payment, queries.LOCKED))


def _no_invoices() -> pl.DataFrame:
    return pl.DataFrame(schema=bulk.schema(Invoice, billing.LOCKED))


def _ensure_bank_accounts(entity_id: int, ids: pl.Series) -> None:
    known = {account.pk for account in bank.accounts(entity_id)}
    missing = sorted(set(ids.drop_nulls().to_list()) - known)
    if missing:
        raise NotFound(f"There is no bank account {missing[0]}.", field="bank_account_id")


def _ensure_numbers_free(entity_id: int, numbers: pl.Series) -> None:
    taken = numbers.filter(numbers.is_duplicated()).to_list()[:1]
    for start in range(0, 0 if taken else numbers.len(), 900):
        taken = list(
            Payment.objects.filter(entity_id=entity_id, number__in=numbers.slice(start, 900).to_list()).values_list(
                "number", flat=True
            )[:1]
        )
        if taken:
            break
    ensure(
        not taken,
        PaymentNumberTaken(
            f"Payment {taken[0] if taken else ''} is booked already.", field="number", remedy="Number every payment once."
        ),
    )
