"""Late interest claimed as a document: which days of which invoices, once each; and the reference rates that a company writes down itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any

import polars as pl
import yaml
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_decimal
from django.db.models import F, QuerySet

from topline.billing import actions as billing
from topline.billing import queries as documents
from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.collections import interest, queries
from topline.collections.models import InterestClaim, ReferenceRate
from topline.engine import reference_rates
from topline.engine.late_payment import LateCharge
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.kernel.money import Money
from topline.market import queries as market
from topline.receivables import queries as receivables
from topline.timeline import actions as timeline

WORDS = Path(__file__).resolve().parent / "interest_words.yaml"
DEFAULT_LANGUAGE = "en"
MOST_PARTS = 200  # of invoices on one note
PAID_LATE_DAYS = 365  # an invoice that was paid late may be claimed for so long after it was paid
DAYS_TO_PAY = 14


class NothingToClaim(Conflict):
    """No day of lateness of these invoices is left to claim, or no rule tells what it costs."""

    code = "nothing_to_claim"


class RateUnknown(Conflict):
    """The reference rate of a half-year is not known: a claim is not made on a guess."""

    code = "reference_rate_unknown"


@dataclass(frozen=True, slots=True)
class Part:
    """Days of lateness of one invoice, or instalment, that nobody has claimed yet, and what they come to.

    first_on, until  the days; principal_minor: what was owed when they began; percents: the yearly rates, oldest first
    is_paid      it was paid, late; is_disputed: some of it is contested, so that its claim can wait
    unknown      whose rate is missing, so that it cannot be claimed up to this day; None where all is known
    """

    invoice_id: int
    number: str
    currency: str
    due_on: date
    first_on: date
    until: date
    days: int
    principal_minor: int
    percents: tuple[Decimal, ...]
    interest_minor: int
    compensation_minor: int
    is_paid: bool
    is_disputed: bool
    unknown: interest.Unknown | None

    @property
    def total_minor(self) -> int:
        """Interest and compensation together."""
        return self.interest_minor + self.compensation_minor


def parts(
    *, entity: Entity, customer_id: int, until: date, invoice_ids: Sequence[int] | None = None, limit: int = MOST_PARTS
) -> list[Part]:
    """What a customer may be charged for paying late: invoices that are late on a day, and those that were paid late in the year before it.

    invoice_ids  of these alone; Work: eight statements. Raises: NotFound.
    """
    detail = market.customer_detail(customer_id)
    items = receivables.open_items(entity_id=entity.pk, as_of=until, customer_ids=detail.ids)
    late = (pl.col("kind") == Invoice.Kind.INVOICE) & (pl.col("due_on") < until)
    if invoice_ids is not None:
        late &= pl.col("invoice_id").is_in(list(invoice_ids))
    rows: list[dict[str, Any]] = [{**i, "until": until, "is_paid": False} for i in items.filter(late).head(limit).to_dicts()]
    paid = Invoice.objects.filter(
        customer_id__in=detail.ids, entity_id=entity.pk, kind=Invoice.Kind.INVOICE, state=Invoice.State.PAID, instalments__isnull=True,
        closed_on__gt=F("due_on"), closed_on__gte=until - timedelta(days=PAID_LATE_DAYS), closed_on__lte=until,
    )  # fmt: skip
    if invoice_ids is not None:
        paid = paid.filter(pk__in=list(invoice_ids))
    settled = paid.order_by("-closed_on", "-id").values("number", "currency", "due_on", invoice_id=F("id"), until=F("closed_on"))
    rows += [{**i, "open_minor": 0, "is_paid": True} for i in settled[: limit - len(rows)]]
    contested = set(queries.disputed(entity_id=entity.pk, as_of=until, invoice_ids=[r["invoice_id"] for r in rows])["invoice_id"])
    found = interest.charges(rows, entity=entity, as_of=until, contract_bps=detail.customer.late_interest_bps)
    return [
        _part(row, charge, interest.unknown(entity, charge), is_disputed=row["invoice_id"] in contested)
        for row, charge in zip(rows, found, strict=True)
        if charge is not None and charge.days and (charge.interest_minor or charge.compensation_minor)
    ]


@action("collections.claim_interest")
def claim_interest(
    *, actor: Actor, entity_id: int, customer_id: int, invoice_ids: Sequence[int], until: date, issue_on: date, days_to_pay: int = DAYS_TO_PAY,
    note: str = "",
) -> int:  # fmt: skip
    """Claim interest and compensation for late payment of invoices as an interest note; returns the note's id.

    It says of each invoice which days at which rate; days that a note has claimed before are left out, and the compensation is claimed once.
    A credit note for it waives what it claims for good; voiding it sets the days free again.
    until    the last day that is claimed, of an invoice that was paid the day it was paid; not after issue_on
    Raises: NothingToClaim, RateUnknown, Invalid (several currencies, days, no invoice), NotFound, books.PeriodLocked, rates.RateMissing.
    """
    ensure(until <= issue_on, Invalid("Interest is claimed up to a day that is over.", field="until", remedy="Use the day of the note, or an earlier one."))  # fmt: skip
    ensure(0 <= days_to_pay <= 366, Invalid("The note is due within a year.", field="days_to_pay"))
    ensure(bool(invoice_ids), Invalid("Choose at least one invoice.", field="invoice_ids"))
    ensure(len(set(invoice_ids)) <= MOST_PARTS, Invalid(f"A note claims for {MOST_PARTS} invoices at most.", field="invoice_ids", remedy="Make several."))  # fmt: skip
    locked = documents.for_update(invoice_ids)
    detail, entity = market.customer_detail(customer_id), Entity.objects.get(pk=entity_id)
    odd = locked.filter(~pl.col("customer_id").is_in(detail.ids) | (pl.col("entity_id") != entity_id))
    if odd.height:
        raise NotFound(f"{odd['number'][0] or 'The draft'} is another customer's.", field="invoice_ids")
    ensure(locked["currency"].n_unique() == 1, Invalid("The invoices are in several currencies.", field="invoice_ids", remedy="Make a note for each currency."))  # fmt: skip
    voided = InterestClaim.objects.filter(invoice_id__in=list(invoice_ids), is_standing=True, document__state=Invoice.State.VOID)
    voided.update(is_standing=False)
    found = parts(entity=entity, customer_id=customer_id, until=until, invoice_ids=invoice_ids, limit=1_000)
    if missing := next((part.unknown for part in found if part.unknown), None):
        raise RateUnknown(
            missing.words,
            field="until",
            remedy=f"Write it down under Reference rates, or claim up to {missing.first_on - timedelta(days=1):%-d %b %Y}.",
        )
    if not found:
        raise NothingToClaim(
            "No day of lateness of these invoices is left to claim.",
            field="invoice_ids",
            remedy="Choose invoices that are late, or were paid late, since the last claim.",
        )
    words, language = _words(detail.customer.language)
    by = words["contract" if detail.customer.late_interest_bps is not None else "law"]
    document_id = billing.issue_interest_note(
        actor=actor, entity_id=entity_id, customer_id=detail.customer.pk, currency=locked["currency"][0], lines=_lines(found, words, language), issue_on=issue_on,
        due_on=issue_on + timedelta(days=days_to_pay), memo=f"{by}. {note}".strip() if note else by, terms=f"net {days_to_pay}",
    )  # fmt: skip
    bulk.insert(
        InterestClaim,
        pl.DataFrame(
            [{"document_id": document_id, "invoice_id": p.invoice_id, "due_on": p.due_on, "after_on": p.first_on - timedelta(days=1), "until": p.until, "principal_minor": p.principal_minor,
              "interest_minor": p.interest_minor, "compensation_minor": p.compensation_minor} for p in found]
        ),
    )  # fmt: skip
    told = pl.DataFrame(
        [{"invoice_id": p.invoice_id, "customer_id": detail.customer.pk, "currency": p.currency, "amount_minor": p.total_minor} for p in found]
    ).group_by("invoice_id", "customer_id", "currency", maintain_order=True).agg(pl.col("amount_minor").sum())  # fmt: skip
    number = documents.head(document_id)["number"]
    timeline.record("interest_claimed", told.with_columns(note=pl.lit(number)), subject="invoice", actor=actor, on=issue_on)
    changed(
        "invoice", document_id, after={"claims": len(found), "until": until, "total_minor": sum(p.total_minor for p in found)}
    )
    return document_id


@action("collections.add_reference_rate")
def add_reference_rate(*, actor: Actor, jurisdiction: str, valid_from: date, percent: Decimal, source: str) -> int:
    """Write down the reference rate of a half-year, and where it was published; it goes before the tables. Returns its id.

    jurisdiction  whose rate: a key of engine.reference_rates.TABLES; percent: a year, may be negative
    Raises: Invalid (jurisdiction, a day that begins no half-year, rate, no source).
    """
    place = jurisdiction.strip().upper()
    ensure(place in reference_rates.TABLES, Invalid(f"There is no late-payment rule for {jurisdiction!r}.", field="jurisdiction", remedy=f"Use one of {', '.join(reference_rates.TABLES)}."))  # fmt: skip
    begins = reference_rates.first_day(reference_rates.half_of(valid_from))
    ensure(
        valid_from == begins,
        Invalid("A reference rate rules a half-year.", field="valid_from", remedy="Use 1 January or 1 July."),
    )
    ensure(valid_from.year >= 2000, Invalid("A half-year before 2000 is not kept.", field="valid_from"))
    ppm = percent * 10_000
    ensure(ppm == ppm.to_integral_value() and -100 <= percent <= 100, Invalid("A rate is -100 to 100 %, with four decimals.", field="percent"))  # fmt: skip
    ensure(
        bool(source.strip()),
        Invalid("Say where it was published.", field="source", remedy="Such as the central bank's page and its day."),
    )
    made = ReferenceRate.objects.create(
        jurisdiction=place, valid_from=valid_from, rate_ppm=int(ppm), source=source.strip()[:300], recorded_at=clock.now(), actor_key=actor.key
    )  # fmt: skip
    changed("reference_rate", made.pk, after={"jurisdiction": place, "valid_from": valid_from, "rate_ppm": int(ppm), "source": source.strip()[:300]})  # fmt: skip
    return made.pk


def notes(customer_ids: Sequence[int], *, limit: int = 20) -> list[tuple[Invoice, int]]:
    """Interest notes of a customer's records, newest first, each with what credit notes took back of it in minor units. Two statements."""
    rows = Invoice.objects.filter(customer_id__in=list(customer_ids), kind=Invoice.Kind.INTEREST).order_by("-issued_on", "-id")[
        :limit
    ]
    given = Invoice.objects.filter(corrects_id__in=[row.pk for row in rows]).exclude(state=Invoice.State.VOID)
    back: dict[int | None, int] = {}
    for document_id, amount in given.values_list("corrects_id", "total_minor"):
        back[document_id] = back.get(document_id, 0) + amount
    return [(row, back.get(row.pk, 0)) for row in rows]


def claims(entity_id: int) -> QuerySet[InterestClaim]:
    """All claims of a company, of voided notes too; order and slice before use."""
    return InterestClaim.objects.filter(document__entity_id=entity_id)


def claims_on(invoice_id: int) -> list[InterestClaim]:
    """Claims for an invoice's days, or, of an interest note, the claims that it makes; oldest first. One statement."""
    rows = InterestClaim.objects.filter(invoice_id=invoice_id) | InterestClaim.objects.filter(document_id=invoice_id)
    return list(rows.select_related("document", "invoice").order_by("id")[:MOST_PARTS])


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one reference rate on a day: the half-year that rules, or the last one known, and who told it.

    percent   None where nothing is known so early; is_current: it is that of the day's half-year; source: of an own rate
    """

    jurisdiction: str
    name: str
    half: reference_rates.Half | None
    percent: Decimal | None
    is_current: bool
    source: str

    @property
    def since(self) -> date | None:
        """The first day of the half-year."""
        return reference_rates.first_day(self.half) if self.half else None


def known_rates(*, on: date) -> list[Known]:
    """Every reference rate as it is known on a day. One statement."""
    own: dict[tuple[str, reference_rates.Half], ReferenceRate] = {}
    for row in ReferenceRate.objects.order_by("id")[:10_000]:
        own[row.jurisdiction, reference_rates.half_of(row.valid_from)] = row
    found: list[Known] = []
    for law in reference_rates.LAWS.values():
        if any(k.jurisdiction == law.table for k in found):
            continue
        mine = {half: Decimal(row.rate_ppm).scaleb(-4) for (place, half), row in own.items() if place == law.table}
        half = reference_rates.half_of(on)
        try:
            percent, known = reference_rates.published(law.table, half, own=mine)
        except NotFound:
            found.append(Known(law.table, law.name, None, None, is_current=False, source=""))
            continue
        told = own.get((law.table, known))
        found.append(Known(law.table, law.name, known, percent, known == half, told.source if told else ""))
    return found


def written_rates(*, limit: int = 100) -> list[ReferenceRate]:
    """Rates that the company wrote down, newest first."""
    return list(ReferenceRate.objects.order_by("-id")[:limit])


# --- parts ---
def _part(row: dict[str, Any], charge: LateCharge, unknown: interest.Unknown | None, *, is_disputed: bool) -> Part:
    return Part(
        invoice_id=row["invoice_id"], number=row["number"], currency=row["currency"], due_on=row["due_on"], first_on=charge.spans[0][0], until=charge.spans[-1][1], days=charge.days,
        principal_minor=charge.principal_minor, percents=tuple(dict.fromkeys(percent for *_, percent in charge.spans)), interest_minor=charge.interest_minor,
        compensation_minor=charge.compensation_minor, is_paid=row["is_paid"], is_disputed=is_disputed, unknown=unknown,
    )  # fmt: skip


def _lines(found: Sequence[Part], words: dict[str, str], language: str) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for part in found:
        facts = {
            "number": part.number,
            "due": format_date(part.due_on, "medium", locale=language),
            "until": format_date(part.until, "medium", locale=language),
            "days": str(part.days),
            "principal": str(Money(part.principal_minor, part.currency)),
            "rates": ", ".join(f"{format_decimal(p, format='0.00##', locale=language)} %" for p in part.percents),
        }
        for key, amount in (("interest", part.interest_minor), ("compensation", part.compensation_minor)):
            if amount:
                rows.append({"description": Template(words[key]).substitute(facts)[:300], "amount_minor": amount})
    return pl.DataFrame(rows, schema={"description": pl.String, "amount_minor": pl.Int64})


def _words(wanted: str) -> tuple[dict[str, str], str]:
    """The lines' words in the nearest language that notes are written in, and that language."""
    try:
        short = str(Locale.parse(wanted.replace("-", "_")).language)
    except (ValueError, UnknownLocaleError):
        short = DEFAULT_LANGUAGE
    known = _all_words()
    language = short if short in known else DEFAULT_LANGUAGE
    return known[language], language


@lru_cache(maxsize=1)
def _all_words() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    return found
