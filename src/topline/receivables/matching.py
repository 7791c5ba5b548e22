"""Cash application: bank lines become payments, payments find what they settle, and what is doubtful waits for a person.

The engine proposes; this module gives it what the company knows, posts what is certain, and keeps each proposal with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import polars as pl
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from topline.bank import actions as bank_actions
from topline.bank import queries as bank
from topline.billing.models import OWED, Invoice
from topline.books.models import Entity
from topline.engine.matching import Policy, propose
from topline.engine.terms import UnknownTerms, parse_terms
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market import queries as market
from topline.market.names import bare_words, folded
from topline.receivables import actions, offers, payers, remarks
from topline.receivables.models import Allocation, MatchProposal, Payment

P = MatchProposal.State
_STANDING = Q(payment__isnull=False, invoice__isnull=False, reverses__isnull=True, reversed_by__isnull=True)
NEAR_DAYS = 3  # a bank line and a payment booked elsewhere are the same money only within these days
TEXT = 240  # characters of what a payer wrote that a row of the queue shows
NAMED = 6  # documents that a row of the queue names before it counts the rest
UNDONE = " It was applied before and undone."


class ProposalDecided(Conflict):
    """The proposal waits no longer: somebody decided it, or a later run replaced it."""

    code = "proposal_decided"


@action("receivables.book_bank_lines")
def book_bank_lines(*, actor: Actor, entity_id: int) -> pl.DataFrame:
    """Credits on our bank accounts become payments; money that was booked as a payment before is linked, not booked again.

    A payment stands for a line when account, currency, amount and payer agree and their days are at most three apart. A line
    for which several payments would do, or one of another or no payer, is left open for a person. Transfers between our own
    accounts are no payments.
    returns  one row per line that was dealt with: line_id, payment_id, booked (false: linked)
    Raises: books.PeriodLocked, rates.RateMissing.
    """
    lines = _open_credits(entity_id)
    linked, doubtful = _same_money(lines, _unlinked_payments(entity_id))
    rest = lines.join(linked, on="line_id", how="anti").join(doubtful, on="line_id", how="anti").sort("booked_on", "line_id")
    fresh = linked.clear()
    if rest.height:
        text = pl.when(pl.col("structured_reference") != "").then("structured_reference").otherwise("remittance_information")
        payments = rest.join(_payers_of(rest), on="line_id", how="left", maintain_order="left").select(
            "customer_id", "currency", "amount_minor", "bank_account_id", received_on="booked_on",
            payer_name="counterparty_name", reference=text.str.slice(0, 140), method=pl.lit("bank transfer"),
        )  # fmt: skip
        made = actions.record_payments(actor=actor, entity_id=entity_id, payments=payments)
        fresh = pl.DataFrame({"line_id": rest["line_id"], "payment_id": made["payment_id"]})
    done = pl.concat([linked.with_columns(booked=pl.lit(value=False)), fresh.with_columns(booked=pl.lit(value=True))])
    if done.height:
        bank_actions.link_lines(actor=actor, links=done.select("line_id", "payment_id"))
    return done


@action("receivables.match_payments")
def match_payments(*, actor: Actor, entity_id: int, as_of: date) -> pl.DataFrame:
    """Apply what is certain and queue what is doubtful; what a person rejected is not proposed again.

    returns  one row per new proposal: proposal_id, payment_id, state (posted or waiting); a second run returns none
    Work: reads what is open and unapplied, and the names and accounts of customers; a fixed number of statements per batch.
    Raises: books.PeriodLocked (the day is in a locked period).
    """
    payments, items = _payments(entity_id, as_of), _items(entity_id, as_of)
    own = bare_words(Entity.objects.filter(pk=entity_id).values_list("name", flat=True)[0])
    found = propose(payments, items, known=market.known_payers(), policy=Policy(own_name=own))
    proposals = _with_links(found.payments, found.links)
    earlier = MatchProposal.objects.filter(payment__entity_id=entity_id).exclude(state=P.SUPERSEDED).order_by("id")
    past = [
        (pk, payment, state, _documents(links))
        for pk, payment, state, links in earlier.values_list("id", "payment_id", "state", "links")
    ]
    waiting = {payment: (pk, documents) for pk, payment, state, documents in past if state == P.WAITING}
    decided = {(payment, documents): state for _, payment, state, documents in past if state != P.WAITING}
    fresh, kept = [], set()
    for row in proposals:
        key = (row["payment_id"], _documents(row["links"]))
        if decided.get(key) == P.REJECTED:
            continue
        if key in decided:  # it stood once and the money is free again: somebody undid it
            row |= {"state": P.WAITING.value, "reason": row["reason"][: 500 - len(UNDONE)] + UNDONE}
        if row["state"] == P.WAITING and waiting.get(row["payment_id"], (0, None))[1] == key[1]:
            kept.add(waiting[row["payment_id"]][0])
        else:
            fresh.append(row)
    gone = [pk for pk, _ in waiting.values() if pk not in kept]
    for start in range(0, len(gone), 900):
        MatchProposal.objects.filter(pk__in=gone[start : start + 900]).update(state=P.SUPERSEDED, decided_at=clock.now())
    posted = [{"payment_id": r["payment_id"], **link} for r in fresh if r["state"] == P.POSTED for link in r["links"]]
    if posted:
        actions.apply_cash(actor=actor, links=pl.DataFrame(posted), on=as_of)
    rows = [MatchProposal(**row, proposed_at=clock.now()) for row in fresh]
    made = MatchProposal.objects.bulk_create(rows, batch_size=100)
    changed_many("match_proposal", [m.pk for m in made])
    return pl.DataFrame(
        [(m.pk, m.payment_id, str(m.state)) for m in made],
        schema={"proposal_id": pl.Int64, "payment_id": pl.Int64, "state": pl.String},
        orient="row",
    )


@action("receivables.confirm_match")
def confirm_match(*, actor: Actor, proposal_id: int, on: date) -> pl.DataFrame:
    """Apply what is proposed, and learn: the payer's name and account stand for this customer from now on.

    returns  one row per allocation, as apply_cash
    Raises: NotFound, ProposalDecided, Invalid (it names nothing to apply), and what apply_cash raises.
    """
    found = _waiting(proposal_id)
    ensure(
        bool(found.links),
        Invalid(
            "The proposal names nothing that can be applied as it is.", field="proposal_id", remedy="Apply the payment by hand."
        ),
    )
    links = pl.DataFrame([{"payment_id": found.payment_id, **link} for link in found.links])
    done = actions.apply_cash(actor=actor, links=links, on=on, teaches=payers.CONFIRMED)
    _decide(found, P.CONFIRMED, actor)
    return done


@action("receivables.reject_match")
def reject_match(*, actor: Actor, proposal_id: int) -> int:
    """The proposal is wrong: the payment stays unapplied and the same documents are not proposed for it again.

    Returns the payment's id. Raises: NotFound, ProposalDecided.
    """
    found = _waiting(proposal_id)
    _decide(found, P.REJECTED, actor)
    return found.payment_id


def queue(entity_id: int) -> QuerySet[MatchProposal]:
    """Proposals that wait for a person, surest first; slice before use."""
    rows = MatchProposal.objects.filter(
        payment__entity_id=entity_id, payment__allocated_minor__lt=F("payment__amount_minor"), state=P.WAITING
    ).select_related("payment__customer")
    return rows.order_by("-confidence_ppm", "id")


def shown(proposals: QuerySet[MatchProposal], *, as_of: date) -> list[dict[str, Any]]:
    """A slice of the queue for people: payment, payer, amount, documents by number, confidence 0-1, the same in percent (sure, never quite), the reason, what the
    payer wrote, what would stay open on the documents (leaves_minor) and unapplied of the payment (keeps_minor), and what is said about the
    documents on a day (remarks). Work: a fixed number of statements.
    """
    rows = list(proposals)
    said: dict[int, list[str]] = {}
    for entity_id in {row.payment.entity_id for row in rows}:
        told = remarks.remarks(entity_id=entity_id, as_of=as_of).group_by("invoice_id", maintain_order=True).agg("remark")
        said |= dict(told.iter_rows())
    wanted = {link["invoice_id"] for row in rows for link in row.links}
    documents = Invoice.objects.filter(pk__in=wanted).annotate(open_minor=F("total_minor") - F("allocated_minor"))
    known = {
        pk: (number or "", left, currency, name)
        for pk, number, left, currency, name in documents.values_list("pk", "number", "open_minor", "currency", "customer__name")
    }
    wrote, twins = texts([row.payment for row in rows]), _told_twice([row.payment for row in rows])
    return [
        {
            "id": row.pk,
            "payment_id": row.payment_id,
            "payment": row.payment.number,
            "received_on": row.payment.received_on,
            "payer": row.payment.payer_name or (row.payment.customer.name if row.payment.customer else ""),
            "amount_minor": row.payment.amount_minor - row.payment.allocated_minor,
            "currency": row.payment.currency,
            "text": wrote[row.payment.pk],
            "documents": _named([known[link["invoice_id"]][0] for link in row.links]),
            "customers": _named(sorted({known[link["invoice_id"]][3] for link in row.links})),
            **_rests(row, known),
            "links": row.links,
            "applied_minor": sum(link["amount_minor"] for link in row.links),
            "state": str(row.state),
            "rule": row.rule,
            "confidence": row.confidence_ppm / 1_000_000,
            "sure": min(99, round(row.confidence_ppm / 10_000)),
            "reason": row.reason,
            "remarks": [
                *(
                    f"{known[link['invoice_id']][0]}: {remark}"
                    for link in row.links
                    for remark in said.get(link["invoice_id"], [])
                ),
                *([twins[row.payment.pk]] if row.state == P.WAITING and row.payment.pk in twins else []),
            ],
        }
        for row in rows
    ]


def _told_twice(payments: Sequence[Payment]) -> dict[int, str]:
    """Of payments that another account of ours tells of too (same payer, amount and currency, days at most NEAR_DAYS apart): which, in words."""
    amounts = {payment.amount_minor for payment in payments if payment.payer_name and payment.bank_account_id}
    others = Payment.objects.filter(
        entity_id__in={p.entity_id for p in payments}, amount_minor__in=amounts, state=Payment.State.RECEIVED, bank_account__isnull=False
    ).exclude(payer_name="")  # fmt: skip
    found: dict[tuple[int, str, int, str], list[Payment]] = {}
    for other in others.select_related("bank_account").order_by("id")[:1_000] if amounts else []:
        found.setdefault((other.entity_id, other.currency, other.amount_minor, other.payer_name.casefold()), []).append(other)
    told = {}
    for payment in payments:
        alike = found.get((payment.entity_id, payment.currency, payment.amount_minor, payment.payer_name.casefold()), [])
        for other in alike:
            near = abs((other.received_on - payment.received_on).days) <= NEAR_DAYS
            if near and other.bank_account_id != payment.bank_account_id and other.bank_account and payment.bank_account_id:
                told[payment.pk] = f"{other.bank_account.name} tells of the same as {other.number}: the same money?"
                break
    return told


def texts(payments: Sequence[Payment]) -> dict[int, str]:
    """What each payer wrote: the bank's text where a line stands behind the payment, else its reference."""
    told = {payment.pk: payment.reference for payment in payments}
    for entity_id in {payment.entity_id for payment in payments}:
        lines = bank.lines(entity_id=entity_id, filters={"payment_id__in": list(told), "amount_minor__gt": 0})
        for pk, text, reference in lines.values_list("payment_id", "remittance_information", "structured_reference"):
            if pk and (said := " ".join((text or reference).split())):
                told[pk] = said
    return {pk: text if len(text) <= TEXT else text[: TEXT - 1] + "…" for pk, text in told.items()}


def _rests(row: MatchProposal, known: dict[int, tuple[str, int, str, str]]) -> dict[str, int]:
    """What would be left on both sides; nothing is said of a payment in another currency than its documents."""
    if any(known[link["invoice_id"]][2] != row.payment.currency for link in row.links):
        return {"leaves_minor": 0, "keeps_minor": 0}
    cash = sum(link["amount_minor"] for link in row.links)
    less = sum(link["discount_minor"] + link["fee_minor"] for link in row.links)
    owed = sum(known[link["invoice_id"]][1] for link in row.links)
    left = row.payment.amount_minor - row.payment.allocated_minor
    return {"leaves_minor": max(0, owed - cash - less), "keeps_minor": max(0, left - cash) if row.links else 0}


def _named(numbers: list[str]) -> str:
    """Document numbers for people: the first few, and how many more."""
    rest = len(numbers) - NAMED
    return ", ".join(numbers[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def decided(entity_id: int) -> QuerySet[MatchProposal]:
    """Proposals that were applied, by themselves or by a person, and whose money still stands there, newest first; slice before use."""
    standing = Allocation.objects.filter(_STANDING, payment_id=OuterRef("payment_id"))
    rows = MatchProposal.objects.filter(Exists(standing), payment__entity_id=entity_id, state__in=[P.POSTED, P.CONFIRMED])
    return rows.select_related("payment__customer").order_by("-id")


def standing(proposal_id: int) -> tuple[int, list[int]]:
    """The payment of an applied proposal, and its allocations to the documents of the proposal that stand. Raises: NotFound."""
    found = MatchProposal.objects.filter(pk=proposal_id).first()
    if found is None:
        raise NotFound(f"There is no proposal {proposal_id}.", field="proposal_id")
    rows = Allocation.objects.filter(_STANDING, payment_id=found.payment_id, invoice_id__in=_documents(found.links))
    return found.payment_id, list(rows.order_by("id").values_list("id", flat=True))


def quality(entity_id: int) -> pl.DataFrame:
    """How right the matcher was, per week of proposal: week (its Monday), posted, undone, proposed, precision, recall.

    precision  posted and not undone / posted; recall  posted and not undone / all that was looked at, waiting ones and those that
    nothing fits included.
    A payment that the bank took back says nothing against its match. Null where nothing was posted.
    """
    rows = MatchProposal.objects.filter(payment__entity_id=entity_id).exclude(state=P.SUPERSEDED)
    found = list(rows.order_by("id").values("payment_id", "state", "links", "proposed_at"))
    mirrors = Allocation.objects.filter(
        reverses__isnull=False, payment__entity_id=entity_id, payment__state=Payment.State.RECEIVED
    )
    undone = {(p, i): at for p, i, at in mirrors.order_by("id").values_list("payment_id", "invoice_id", "recorded_at")}
    wrong = [
        any((at := undone.get((r["payment_id"], i))) is not None and at >= r["proposed_at"] for i in _documents(r["links"]))
        for r in found
    ]
    by_us = pl.col("state") == P.POSTED
    frame = pl.DataFrame(
        {"state": [str(r["state"]) for r in found], "week": [r["proposed_at"].date() for r in found], "wrong": wrong},
        schema={"state": pl.String, "week": pl.Date, "wrong": pl.Boolean},
    )
    weekly = (
        frame.with_columns(pl.col("week").dt.truncate("1w"))
        .group_by("week")
        .agg(posted=by_us.sum(), undone=(by_us & pl.col("wrong")).sum(), proposed=pl.len())
        .sort("week")
    )
    right = pl.col("posted").cast(pl.Int64) - pl.col("undone").cast(pl.Int64)
    some = pl.when(pl.col("posted") > 0)
    return weekly.with_columns(precision=some.then(right / pl.col("posted")), recall=some.then(right / pl.col("proposed")))


def _open_credits(entity_id: int) -> pl.DataFrame:
    open_lines = bank.lines(
        entity_id=entity_id,
        filters={"state": "open", "amount_minor__gt": 0, "status": "booked", "is_reversal": False, "payment_id": None},
    )
    frame = bulk.read(
        open_lines.order_by("id").values(
            "id", "account_id", "amount_minor", "currency", "booked_on", "counterparty_name", "counterparty_account",
            "remittance_information", "structured_reference",
        )
    ).rename({"id": "line_id", "account_id": "bank_account_id"})  # fmt: skip
    ours = [a.number for a in bank.accounts(entity_id) if a.number]
    return frame.filter(~pl.col("counterparty_account").str.replace_all(" ", "").is_in(ours)).with_columns(
        payer_key=folded(pl.col("counterparty_name"))
    )


def _unlinked_payments(entity_id: int) -> pl.DataFrame:
    """Payments that no bank line stands for yet, with the folded name of who paid."""
    rows = Payment.objects.filter(entity_id=entity_id, state=Payment.State.RECEIVED)
    frame = bulk.read(
        rows.order_by("id").values(
            "id", "customer_id", "bank_account_id", "currency", "amount_minor", "received_on", "payer_name"
        )
    ).rename({"id": "payment_id", "bank_account_id": "their_account"})
    linked = bulk.read(bank.lines(entity_id=entity_id, filters={"payment_id__isnull": False}).values("payment_id"))
    return _with_payer(frame.join(linked, on="payment_id", how="anti")).rename({"payer_key": "their_key"})


def _same_money(lines: pl.DataFrame, payments: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines that a payment stands for already (line_id, payment_id), and lines for which that is not clear (line_id)."""
    pairs = lines.join(payments, on=["currency", "amount_minor"]).with_columns(
        apart=(pl.col("booked_on") - pl.col("received_on")).dt.total_days().abs()
    )
    pairs = pairs.filter(
        (pl.col("apart") <= NEAR_DAYS)
        & (pl.col("their_account").is_null() | (pl.col("their_account") == pl.col("bank_account_id")))
    ).select("line_id", "payment_id", "apart", same=(pl.col("payer_key") == pl.col("their_key")) & (pl.col("payer_key") != ""))
    taken = pairs.select("line_id", "payment_id").clear()
    for most in (0, NEAR_DAYS):  # the same day speaks louder than a day nearby
        left = pairs.join(taken, on="line_id", how="anti").join(taken, on="payment_id", how="anti")
        left = left.filter(pl.col("same") & (pl.col("apart") <= most))
        alone = left.filter((pl.len().over("line_id") == 1) & (pl.len().over("payment_id") == 1))
        taken = pl.concat([taken, alone.select("line_id", "payment_id")])
    doubtful = pairs.join(taken, on="line_id", how="anti").join(taken, on="payment_id", how="anti")
    return taken, doubtful.select("line_id").unique()


def _payers_of(lines: pl.DataFrame) -> pl.DataFrame:
    """The customer of each line whose account or name is that of one customer alone: line_id, customer_id."""
    known = market.known_payers(parents=False)
    account = lines.select("line_id", payer_account=folded(pl.col("counterparty_account"))).filter(pl.col("payer_account") != "")
    by_account = account.join(known.drop_nulls("payer_account"), on="payer_account").select("line_id", "customer_id").unique()
    named = lines.select("line_id", "payer_key").filter(pl.col("payer_key") != "").join(by_account, on="line_id", how="anti")
    by_name = named.join(known.drop_nulls("payer_key"), on="payer_key").select("line_id", "customer_id").unique()
    return pl.concat([by_account, by_name]).filter(pl.len().over("line_id") == 1)


def _with_payer(payments: pl.DataFrame) -> pl.DataFrame:
    """Adds payer_key: the folded name of the customer where one is known, else of the payer as written."""
    return _with_names(payments).with_columns(payer_key=folded(pl.coalesce("customer", "payer_name")))


def _with_names(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds customer: the name of the row's customer_id, null where there is none."""
    names = market.names(frame["customer_id"].drop_nulls().unique().to_list())
    table = pl.DataFrame(
        {"customer_id": list(names), "customer": list(names.values())}, schema={"customer_id": pl.Int64, "customer": pl.String}
    )
    return frame.join(table, on="customer_id", how="left", maintain_order="left")


def _payments(entity_id: int, as_of: date) -> pl.DataFrame:
    """Payments with money left now that came in by the day, as the engine takes them."""
    rows = Payment.objects.filter(
        entity_id=entity_id, state=Payment.State.RECEIVED, received_on__lte=as_of, allocated_minor__lt=F("amount_minor")
    )
    frame = bulk.read(
        rows.order_by("id").values(
            "id", "customer_id", "currency", "amount_minor", "allocated_minor", "received_on", "payer_name", "reference"
        )
    ).rename({"id": "payment_id"})
    lines = bulk.read(
        bank.lines(entity_id=entity_id, filters={"payment_id__isnull": False})
        .order_by("id")
        .values("payment_id", "counterparty_account", "remittance_information", "structured_reference")
    ).unique("payment_id", keep="first", maintain_order=True)
    frame = _with_payer(market.resolve(frame)).join(lines, on="payment_id", how="left", maintain_order="left")
    account = folded(pl.col("counterparty_account"))
    return frame.select(
        "payment_id", "currency", "payer_key", amount_minor=pl.col("amount_minor") - pl.col("allocated_minor"), booked_on="received_on",
        payer_account=pl.when(account != "").then(account),
        remittance=pl.concat_str("reference", pl.col("remittance_information").fill_null(""), separator=" ; "),
        reference=pl.col("structured_reference").fill_null(""),
    )  # fmt: skip


def _items(entity_id: int, as_of: date) -> pl.DataFrame:
    """Invoices open now and issued by the day, as the engine takes them; instalments of one invoice are one item."""
    rows = Invoice.objects.filter(entity_id=entity_id, state=Invoice.State.OPEN, kind__in=OWED, issued_on__lte=as_of)
    frame = bulk.read(
        rows.order_by("id").values(
            "id",
            "customer_id",
            "number",
            "currency",
            "issued_on",
            "due_on",
            "terms",
            "purchase_order",
            "total_minor",
            "allocated_minor",
        )
    ).filter(pl.col("total_minor") > pl.col("allocated_minor"))
    frame = _with_names(market.resolve(frame))
    discounts = {text: _discount(text) for text in frame["terms"].unique().to_list()}
    promised = {invoice: (open_minor, less, last) for invoice, open_minor, less, last in offers.standing(entity_id).iter_rows()}
    until, taken = [], []
    for invoice, text, issued, total, allocated in frame.select(
        "id", "terms", "issued_on", "total_minor", "allocated_minor"
    ).iter_rows():
        offered = promised.get(invoice)
        if offered and offered[0] == total - allocated:
            until.append(offered[2])
            taken.append(offered[1])
            continue
        percent, days = discounts[text]
        whole = percent > 0 and not allocated
        until.append(issued + timedelta(days=days) if whole else None)
        taken.append(int((total * percent / 100).quantize(Decimal(1), ROUND_HALF_UP)) if whole else 0)
    held = remarks.remarks(entity_id=entity_id, as_of=as_of).filter("holds")["invoice_id"]
    return frame.select(
        "customer_id", "number", "currency", "due_on", item_id="id",
        customer_key=folded(pl.col("customer")),
        order_number=pl.when(pl.col("purchase_order") != "").then("purchase_order"), reference=pl.lit(None, dtype=pl.String),
        open_minor=pl.col("total_minor") - pl.col("allocated_minor"), discount_minor=pl.Series(taken, dtype=pl.Int64),
        discount_until=pl.Series(until, dtype=pl.Date), blocked=pl.col("id").is_in(held.implode()),
    )  # fmt: skip


def _discount(terms: str) -> tuple[Decimal, int]:
    """Percent and days of the discount for paying early; none where the terms are empty or written in a way of their own."""
    try:
        found = parse_terms(terms)
    except UnknownTerms:
        return Decimal(0), 0
    return found.discount_percent, found.discount_days


def _with_links(payments: pl.DataFrame, links: pl.DataFrame) -> list[dict[str, Any]]:
    """Proposals as rows of their table: what is certain is posted, the rest waits with its reason, also what nothing fits."""
    rest = pl.col("settled_minor") - pl.col("amount_minor")
    links = links.with_columns(
        discount_minor=pl.when(pl.col("difference") == "discount").then(rest).otherwise(0),
        fee_minor=pl.when(pl.col("difference") == "fee").then(rest).otherwise(0),
    ).sort("payment_id", "item_id")
    per: dict[int, list[dict[str, int]]] = {}
    for payment, *values in links.select("payment_id", "item_id", "amount_minor", "discount_minor", "fee_minor").iter_rows():
        per.setdefault(payment, []).append(
            dict(zip(("invoice_id", "amount_minor", "discount_minor", "fee_minor"), values, strict=True))
        )
    return [
        {
            "payment_id": row["payment_id"],
            "state": (P.POSTED if row["decision"] == "apply" else P.WAITING).value,
            "rule": row["rule"],
            "links": per.get(row["payment_id"], []),
            "confidence_ppm": round(row["confidence"] * 1_000_000),
            "reason": row["reason"][:500],
        }
        for row in payments.to_dicts()
    ]


def _documents(links: Any) -> tuple[int, ...]:
    """The documents that a proposal names; two proposals for the same ones are the same proposal."""
    return tuple(sorted(link["invoice_id"] for link in links))


def _waiting(proposal_id: int) -> MatchProposal:
    found = MatchProposal.objects.select_for_update().filter(pk=proposal_id).first()
    if found is None:
        raise NotFound(f"There is no proposal {proposal_id}.", field="proposal_id")
    ensure(
        found.state == P.WAITING,
        ProposalDecided(
            f"The proposal is {found.state}: it waits no longer.", field="proposal_id", remedy="Look at the queue again."
        ),
    )
    return found


def _decide(found: MatchProposal, state: MatchProposal.State, actor: Actor) -> None:
    found.state, found.decided_at, found.decided_by_key = state, clock.now(), actor.key[:60]
    found.save(update_fields=["state", "decided_at", "decided_by_key"])
    changed("match_proposal", found.pk, before={"state": P.WAITING.value}, after={"state": state.value})
