"""Verbs of the billing room: draft, issue, void, credit, and take over open items from elsewhere.

Batch verbs: one invoice is a batch of one. A document that has a number is never edited; another document corrects it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

import polars as pl

from topline.billing import queries
from topline.billing.models import OWED, Instalment, Invoice, InvoiceLine
from topline.books import actions as books
from topline.books import rates
from topline.books.actions import leg
from topline.books.models import Entity
from topline.catalog.models import Product
from topline.engine import documents, terms
from topline.engine.rating.credit_notes import Chosen, CreditTooLarge, credit_chosen
from topline.kernel import bulk, clock, money, outbox, series
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.market import queries as market
from topline.timeline import actions as timeline

HEAD = ["kind", "terms", "purchase_order", "memo", "due_on", "corrects_id", "is_prepayment"]
LINE = [
    "position",
    "description",
    "quantity_micro",
    "unit_price_nano",
    "discount_ppm",
    "tax_category",
    "tax_rate_ppm",
    "product_id",
]
K, S = Invoice.Kind, Invoice.State
ISSUED = {K.INVOICE: "invoice_issued", K.CREDIT_NOTE: "credit_note_issued", K.INTEREST: "invoice_issued"}  # milestones
CREDITED = "invoice_credited"  # the topic that tells that an invoice which credits paid was credited


class InvoiceNotDraft(Conflict):
    """Only a draft can be issued."""

    code = "invoice_not_draft"


class InvoiceHasNoLines(Invalid):
    """A document without lines says nothing."""

    code = "invoice_has_no_lines"


class InvoiceNotPositive(Invalid):
    """A document of zero or less: a negative invoice is a credit note."""

    code = "invoice_not_positive"


class InvoiceNumberTaken(Conflict):
    """The entity has a document with this number."""

    code = "invoice_number_taken"


class InvoiceHasAllocations(Conflict):
    """Payments or credit notes rest on the document."""

    code = "invoice_has_allocations"


class SoldCredits(Conflict):
    """The document sold credits: what becomes of them is said where they are."""

    code = "sold_credits"


class DueBeforeIssue(Invalid):
    """A document cannot be due before it exists."""

    code = "due_before_issue"


@action("billing.draft_invoices")
def draft_invoices(
    *, actor: Actor, entity_id: int, invoices: pl.DataFrame, lines: pl.DataFrame, tax_rounding: str = ""
) -> pl.DataFrame:
    """Write drafts of invoices or credit notes with their lines; nothing is booked yet.

    invoices  one row per document: ref str (the caller's name for it), customer_id, currency; optional kind, terms,
              purchase_order, memo, due_on, corrects_id, is_prepayment (it sells credits)
    lines     one row per line: ref, position, description, quantity_micro, unit_price_nano (billionths of a minor unit);
              optional discount_ppm, tax_category, tax_rate_ppm, product_id, credits_micro (units of the corrected document's line of the same position).
    tax_rounding  where tax is rounded (`documents.with_tax`); empty: as the company says
    returns   one row per document: ref, invoice_id, net_minor, tax_minor, total_minor
    Raises: InvoiceHasNoLines, InvoiceNotPositive, Invalid (currency, rounding), NotFound (customer, product, corrected document).
    """
    return _draft(entity_id, invoices, lines, tax_rounding)


def issue_like(*, actor: Actor, invoice_id: int, issue_on: date, terms: str = "", purchase_order: str = "") -> int:
    """Issue a document that says the same as another, to the cent; for the actions of other rooms, inside their transaction. Returns its id.

    terms, purchase_order  empty: those of the other. Raises: NotFound, Invalid (terms), books.PeriodLocked.
    """
    other = Invoice.objects.filter(pk=invoice_id).values("entity_id", "customer_id", "currency", "terms", "purchase_order", "net_minor", "tax_minor", "total_minor", "number").get()  # fmt: skip
    head = {name: value for name, value in other.items() if name != "number"} | {
        "kind": K.INVOICE.value,
        "memo": f"Replaces {other['number']}",
    }
    head |= {name: value for name, value in (("terms", terms[:60]), ("purchase_order", purchase_order[:60])) if value}
    made = int(bulk.insert(Invoice, pl.DataFrame([head]).with_columns(created_at=pl.lit(clock.now())))["id"][0])
    lines = bulk.read(InvoiceLine.objects.filter(invoice=invoice_id).order_by("position").values(*LINE, "net_minor", "tax_minor"))
    bulk.insert(InvoiceLine, lines.with_columns(invoice_id=pl.lit(made)))
    _issue(actor=actor, drafts=queries.for_update([made]), issue_on=issue_on)
    return made


@action("billing.issue_interest_note")
def issue_interest_note(
    *,
    actor: Actor,
    entity_id: int,
    customer_id: int,
    currency: str,
    lines: pl.DataFrame,
    issue_on: date,
    due_on: date,
    memo: str = "",
    terms: str = "",
) -> int:
    """Issue a document that claims interest and compensation for late payment; returns its id.

    It pays for no supply and is outside the scope of VAT (CJEU 222/81); what it comes to is income from interest, not revenue. Which days
    are claimed is told by the collections room, whose verb this serves.
    lines   one row per line: description, amount_minor > 0
    Raises: InvoiceHasNoLines, InvoiceNotPositive, DueBeforeIssue, Invalid (currency), NotFound (customer), books.PeriodLocked, rates.RateMissing.
    """
    head = pl.DataFrame({"ref": ["1"], "customer_id": [customer_id], "currency": [currency], "kind": [K.INTEREST.value], "memo": [memo[:300]],
                         "terms": [terms[:60]], "due_on": [due_on]})  # fmt: skip
    rows = lines.with_row_index("position", offset=1).select(
        "position", "description", ref=pl.lit("1"), quantity_micro=pl.lit(10**6), unit_price_nano=pl.col("amount_minor") * 10**9, tax_category=pl.lit("O")
    )  # fmt: skip
    made = _draft(entity_id, head, rows)
    note_id = int(made["invoice_id"][0])
    _issue(actor=actor, drafts=queries.for_update([note_id]), issue_on=issue_on)
    return note_id


def _draft(entity_id: int, invoices: pl.DataFrame, lines: pl.DataFrame, tax_rounding: str = "") -> pl.DataFrame:
    for code in invoices["currency"].unique().to_list():
        money.ensure_currency(code)
    market.ensure_known(invoices["customer_id"])
    _ensure_terms(invoices)
    if "corrects_id" in invoices.columns:
        queries.for_update(invoices["corrects_id"].drop_nulls().to_list())
    bare = invoices.join(lines, on="ref", how="anti")
    ensure(
        bare.is_empty(),
        InvoiceHasNoLines(f"Document {_first(bare, 'ref')} has no lines.", field="lines", remedy="Add at least one line."),
    )
    whole = _with_product(_with_defaults(lines, {"discount_ppm": 0, "tax_category": "S", "tax_rate_ppm": 0}))
    rounding = tax_rounding or Entity.objects.values_list("tax_rounding", flat=True).get(pk=entity_id)
    priced = documents.price_lines(whole, tax_rounding=rounding)
    totals = (
        priced.group_by("ref")
        .agg(pl.col("net_minor").sum(), pl.col("tax_minor").sum())
        .with_columns(total_minor=pl.col("net_minor") + pl.col("tax_minor"))
    )
    _ensure_positive(totals.join(invoices.select("ref", "currency"), on="ref"), label="ref")
    head = invoices.join(totals, on="ref", how="left", maintain_order="left")
    written = bulk.insert(
        Invoice,
        head.select(
            *[c for c in HEAD if c in head.columns],
            "customer_id", "currency", "net_minor", "tax_minor", "total_minor",
            entity_id=pl.lit(entity_id, dtype=pl.Int64),
            created_at=pl.lit(clock.now()),
        ),
    )  # fmt: skip
    refs = invoices.select("ref").with_columns(invoice_id=written["id"])
    units = ["credits_micro"] if "credits_micro" in lines.columns else []
    bulk.insert(InvoiceLine, priced.join(refs, on="ref").select("invoice_id", *LINE, *units, "net_minor", "tax_minor"))
    changed_many("invoice", refs["invoice_id"])
    return refs.join(totals, on="ref", maintain_order="left")


@action("billing.issue_invoices")
def issue_invoices(*, actor: Actor, invoice_ids: Sequence[int], issue_on: date) -> pl.DataFrame:
    """Turn drafts into numbered legal documents and open receivables.

    Numbers, due days, instalments, ledger entries and milestones of the batch commit together or not at all. A document
    that has a number already is left as it is, so that a retried request is harmless.

    invoice_ids  documents of one entity
    returns      one row per document asked for: invoice_id i64, number str, total_minor i64, kind str, corrects_id i64 or null
    Sources: EN 16931 BT-1, BT-2, BT-9. Work: O(lines), a fixed number of statements.
    Raises: InvoiceNotDraft (void or written off), NotFound, DueBeforeIssue, books.PeriodLocked, rates.RateMissing.
    """
    asked = queries.for_update(invoice_ids)
    drafts = asked.filter(pl.col("state") == S.DRAFT)
    odd = asked.filter(pl.col("state").is_in([S.VOID, S.WRITTEN_OFF]))
    ensure(
        odd.is_empty(),
        InvoiceNotDraft(
            f"Document {_first(odd, 'id')} is {_first(odd, 'state')}.", field="invoice_ids", remedy="Make a new draft."
        ),
    )
    told = asked.select("id", "number", "total_minor", "kind", "corrects_id")
    if drafts.height:
        told = told.update(_issue(actor=actor, drafts=drafts, issue_on=issue_on), on="id")
    return told.sort("id").rename({"id": "invoice_id"})


@action("billing.void_invoices")
def void_invoices(*, actor: Actor, invoice_ids: Sequence[int], void_on: date, reason: str = "") -> int:
    """Take documents back that should never have been: drafts vanish from the work, issued ones are reversed in the books.

    Returns how many were voided; those void already are left alone.
    Raises: InvoiceHasAllocations, SoldCredits, NotFound, books.PeriodLocked.
    """
    rows = queries.for_update(invoice_ids).filter(pl.col("state") != S.VOID)
    _ensure_no_credits(rows)
    used = rows.filter(pl.col("allocated_minor") > 0)
    ensure(
        used.is_empty(),
        InvoiceHasAllocations(
            f"Payments rest on {_first(used, 'number')}.",
            field="invoice_ids",
            remedy="Unapply them first, or issue a credit note.",
        ),
    )
    issued = rows.filter(pl.col("state") != S.DRAFT)
    if issued.height:
        entries = queries.issue_entries(issued["id"].to_list())
        books.reverse(entry_ids=entries["entry_id"].to_list(), effective_on=void_on, memo=f"Void: {reason}" if reason else "Void")
        timeline.record("invoice_voided", _subjects(issued), subject="invoice", actor=actor, on=void_on)
    bulk.update(Invoice, rows.select("id", state=pl.lit(S.VOID.value), closed_on=pl.lit(void_on)))
    changed_many("invoice", rows["id"], after={"state": "void", "reason": reason})
    return rows.height


@action("billing.credit_invoice")
def credit_invoice(
    *,
    actor: Actor,
    invoice_id: int,
    issue_on: date,
    total_minor: int | None = None,
    lines: Sequence[Chosen] = (),
    reason: str = "",
) -> int:
    """Issue a credit note for an invoice: of all that is left, of a gross part of it, or of chosen lines; returns the credit note's id.

    A gross part is shared over the invoice's lines by largest remainder; of a line, units or a net amount are credited. Either way all credit
    notes of an invoice together can never differ from it by a cent. Applying it to the invoice is the receivables room's verb; where credits paid it,
    the outbox has them given back.
    Raises: NotFound, Conflict (not issued), SoldCredits, CreditTooLarge, Invalid (a part and lines, what `credit_chosen` refuses), InvoiceNotPositive, books.PeriodLocked.
    """
    locked = queries.for_update([invoice_id])
    _ensure_no_credits(locked)
    note_id = credit(actor=actor, invoice=locked.row(0, named=True), issue_on=issue_on, total_minor=total_minor, lines=lines, reason=reason)  # fmt: skip
    if locked["from_credits_minor"][0]:
        outbox.enqueue(CREDITED, {"credit_note_id": note_id, "day": issue_on.isoformat()}, key=f"{CREDITED}:{note_id}")
    return note_id


def credit(
    *, actor: Actor, invoice: dict[str, Any], issue_on: date, total_minor: int | None = None, lines: Sequence[Chosen] = (), reason: str = ""
) -> int:  # fmt: skip
    """`credit_invoice` of a document that is locked, for the actions of other rooms, inside their transaction."""
    invoice_id = int(invoice["id"])
    invoice, parts = _credit(invoice, total_minor, lines)
    net, tax = int(parts["net_minor"].sum()), int(parts["tax_minor"].sum())
    head = pl.DataFrame({"customer_id": [invoice["customer_id"]], "currency": [invoice["currency"]]})
    note = bulk.insert(
        Invoice,
        head.select(
            "customer_id", "currency",
            entity_id=pl.lit(invoice["entity_id"]), kind=pl.lit(K.CREDIT_NOTE.value), corrects_id=pl.lit(invoice_id), is_prepayment=pl.lit(invoice["is_prepayment"]), memo=pl.lit(reason[:300]),
            net_minor=pl.lit(net), tax_minor=pl.lit(tax), total_minor=pl.lit(net + tax),
            terms=pl.lit("net 0"), created_at=pl.lit(clock.now()),
        ),
    )  # fmt: skip
    note_id = int(note["id"][0])
    bulk.insert(InvoiceLine, parts.select(*LINE, "net_minor", "tax_minor", "credits_micro", invoice_id=pl.lit(note_id)))
    _issue(actor=actor, drafts=queries.for_update([note_id]), issue_on=issue_on)
    changed("invoice", invoice_id, after={"credit_note": note_id, "total_minor": net + tax, "reason": reason})
    return note_id


def preview_credit(*, invoice_id: int, total_minor: int | None = None, lines: Sequence[Chosen] = ()) -> pl.DataFrame:
    """The lines that `credit_invoice` would write: position, description, quantity_micro, unit_price_nano, net_minor, tax_minor, credits_micro. Raises: as that."""
    return _credit(queries.head(invoice_id), total_minor, lines)[1]


def _credit(invoice: dict[str, Any], total_minor: int | None, chosen: Sequence[Chosen]) -> tuple[dict[str, Any], pl.DataFrame]:
    """An invoice that may be credited, and the lines of its credit note."""
    ensure(
        invoice["kind"] in OWED and invoice["state"] in {S.OPEN, S.PAID, S.WRITTEN_OFF},
        Conflict("Only an issued invoice can be credited.", field="invoice_id", remedy="Void or change the draft instead."),
    )
    ensure(total_minor is None or not chosen, Invalid("Credit an amount over all lines, or lines.", field="total_minor", remedy="Leave one of them out."))  # fmt: skip
    lines = bulk.read(
        InvoiceLine.objects.filter(invoice_id=invoice["id"]).order_by("position").values(*LINE, "net_minor", "tax_minor")
    )
    credited = queries.credited_lines(invoice["id"])
    if chosen:
        parts = credit_chosen(lines, credited, chosen)
        comes_to = int(parts["net_minor"].sum()) + int(parts["tax_minor"].sum())
        _ensure_positive(
            pl.DataFrame({"total_minor": [comes_to], "currency": [invoice["currency"]], "label": ["of these lines"]}),
            label="label",
        )
        return invoice, parts
    left = invoice["total_minor"] - int(credited["net_minor"].sum()) - int(credited["tax_minor"].sum())
    amount = left if total_minor is None else total_minor
    ensure(
        0 < amount <= left,
        CreditTooLarge(
            f"{money.Money(amount, invoice['currency'])} cannot be credited: {money.Money(left, invoice['currency'])} of {invoice['number']} is left.",
            field="total_minor",
            remedy="Credit at most what is left.",
        ),
    )
    if total_minor is None:
        open_lines = queries.creditable(invoice["id"]).filter((pl.col("left_minor") != 0) | (pl.col("left_tax_minor") != 0))
        return invoice, credit_chosen(lines, credited, [Chosen(position) for position in open_lines["position"]])
    return invoice, documents.credit_lines(lines, credited, total_minor=amount).with_columns(
        credits_micro=pl.lit(None, dtype=pl.Int64)
    )


@action("billing.import_open_items")
def import_open_items(
    *,
    actor: Actor,
    entity_id: int,
    items: pl.DataFrame,
    against: Literal["opening_balance", "revenue"] = "opening_balance",
    import_batch_id: int | None = None,
) -> pl.DataFrame:
    """Take over invoices and credit notes that another system issued, under their own numbers.

    items    one row per document: number, customer_id, currency, issued_on, due_on, total_minor > 0; optional kind,
             tax_minor, memo, purchase_order, terms, product_id, quantity_micro (units of it that were sold; one where it is not said)
    against  what the receivable is booked against: opening balances, or revenue where the import is the sale itself
    returns  one row per document in the same order: number, invoice_id
    Work: a fixed number of statements per 50,000 rows.
    Raises: InvoiceNumberTaken, InvoiceNotPositive, DueBeforeIssue, Invalid (quantity), NotFound (product), books.PeriodLocked, rates.RateMissing.
    """
    usual: dict[str, int | str] = {
        "kind": K.INVOICE.value,
        "tax_minor": 0,
        "memo": "",
        "purchase_order": "",
        "terms": "",
        "quantity_micro": 10**6,
    }
    frame = _with_product(_with_defaults(items, usual))
    ensure(bool((frame["quantity_micro"] > 0).all()), Invalid("A quantity is more than zero.", field="quantity_micro", remedy="Correct it."))  # fmt: skip
    market.ensure_known(frame["customer_id"])
    for code in frame["currency"].unique().to_list():
        money.ensure_currency(code)
    _ensure_positive(frame, label="number")
    _ensure_due_after_issue(frame, issued="issued_on", label="number")
    _ensure_numbers_free(entity_id, frame["number"])
    entity = Entity.objects.get(pk=entity_id)
    frame = _with_functional(entity, frame.with_columns(net_minor=pl.col("total_minor") - pl.col("tax_minor")), on="issued_on")
    ids = bulk.reserve_ids(Invoice, frame.height)
    frame = frame.with_columns(id=ids, key=pl.format("invoice:{}:issued", ids))
    _post_issue(entity, frame, credit="revenue" if against == "revenue" else "opening_balance", kind="open_item")
    bulk.insert(
        Invoice,
        frame.select(
            "id", "number", "customer_id", "currency", "kind", "issued_on", "due_on", "net_minor", "tax_minor", "total_minor", "memo", "purchase_order", "terms",
            functional_minor=pl.col("functional_net") + pl.col("functional_tax"),
            entity_id=pl.lit(entity_id, dtype=pl.Int64),
            state=pl.lit(S.OPEN.value),
            created_at=pl.lit(clock.now()),
            import_batch_id=pl.lit(import_batch_id, dtype=pl.Int64),
        ),
    )  # fmt: skip
    bulk.insert(
        InvoiceLine,
        frame.select(
            invoice_id="id",
            position=pl.lit(1),
            description=pl.when(pl.col("memo") == "").then(pl.lit("Open item taken over")).otherwise(pl.col("memo")),
            quantity_micro="quantity_micro",
            unit_price_nano=_price_of_one(pl.col("net_minor"), pl.col("quantity_micro")),
            net_minor="net_minor",
            tax_minor="tax_minor",
            product_id="product_id",
            tax_category=pl.when(pl.col("tax_minor") == 0).then(pl.lit("O")).otherwise(pl.lit("S")),
        ),
    )
    timeline.record("invoice_imported", _subjects(frame), subject="invoice", actor=actor, on=pl.col("issued_on"))
    changed_many("invoice", ids, after={"import_batch_id": import_batch_id})
    return frame.select("number", invoice_id="id")


def _issue(*, actor: Actor, drafts: pl.DataFrame, issue_on: date) -> pl.DataFrame:
    """Issue drafts; returns their numbers: id, number."""
    entity_ids = drafts["entity_id"].unique().to_list()
    ensure(len(entity_ids) == 1, Invalid("Documents of one company are issued at a time.", field="invoice_ids"))
    entity_id = entity_ids[0]
    schedule = _instalments(drafts, issue_on)
    due = schedule.group_by("id").agg(due_on=pl.col("due_on").max())
    frame = (
        drafts.drop("due_on")
        .join(due, on="id", maintain_order="left")
        .with_columns(issued_on=pl.lit(issue_on), key=pl.format("invoice:{}:issued", "id"))
    )
    _ensure_due_after_issue(frame, issued="issued_on", label="id")
    entity = Entity.objects.get(pk=entity_id)
    frame = _with_functional(entity, frame, on="issued_on")
    of_interest = pl.col("id").is_in(queries.interest_notes(frame))
    income = pl.when(of_interest).then(pl.lit("late_interest")).otherwise(pl.lit("revenue"))
    sold = pl.when(pl.col("is_prepayment")).then(pl.lit("prepaid_credits")).otherwise(income)
    _post_issue(entity, frame, credit=sold, kind="invoice_issued")
    several = schedule.filter(pl.len().over("id") > 1)
    bulk.insert(Instalment, several.select("due_on", "amount_minor", "position", invoice_id="id"))
    numbered = []
    for kind, code, prefix in (
        (K.INVOICE, "invoice", "INV-"),
        (K.CREDIT_NOTE, "credit_note", "CN-"),
        (K.INTEREST, "interest", "INT-"),
    ):
        batch = frame.filter(pl.col("kind") == kind)
        if batch.is_empty():
            continue
        numbers = series.take(entity_id=entity_id, code=code, count=batch.height, prefix=prefix)
        batch = batch.with_columns(number=numbers)
        numbered.append(batch.select("id", "number"))
        bulk.update(
            Invoice,
            batch.select(
                "id",
                "number",
                "issued_on",
                "due_on",
                state=pl.lit(S.OPEN.value),
                functional_minor=pl.col("functional_net") + pl.col("functional_tax"),
            ),
        )
        timeline.record(
            ISSUED[kind],
            _subjects(batch),
            subject="invoice",
            actor=actor,
            on=issue_on,
        )
    changed_many("invoice", frame["id"], after={"state": "open", "issued_on": str(issue_on)})
    return pl.concat(numbered)


def _post_issue(entity: Entity, frame: pl.DataFrame, *, credit: str | pl.Expr, kind: str) -> None:
    """Receivable against income and tax; a credit note is the same with its sign turned."""
    sign = pl.when(pl.col("kind") == K.CREDIT_NOTE).then(-1).otherwise(1)
    money_columns = ["net_minor", "tax_minor", "functional_net", "functional_tax"]
    signed = frame.with_columns(pl.col(money_columns) * sign, invoice_id="id")
    books.post(
        entity_id=entity.pk,
        entity=entity,
        kind=kind,
        entries=frame.select("key", effective_on="issued_on", source=pl.format("invoice:{}", "id")),
        transfers=[
            leg(signed, debit="receivable", credit=credit, amount="net_minor", functional="functional_net"),
            leg(signed, debit="receivable", credit="tax_payable", amount="tax_minor", functional="functional_tax"),
        ],
    )


def _with_functional(entity: Entity, frame: pl.DataFrame, *, on: str) -> pl.DataFrame:
    """Net and tax in the entity's currency at the rate of the day, each rounded once, so that their sum is the receivable."""
    home = entity.currency
    for name in ("net", "tax"):
        worth = rates.convert(
            frame.select("currency", pl.col(f"{name}_minor").alias("amount_minor"), pl.col(on).alias("on")), to=home
        )
        frame = frame.with_columns(worth["converted_minor"].alias(f"functional_{name}"))
    return frame


def _instalments(drafts: pl.DataFrame, issue_on: date) -> pl.DataFrame:
    """When each document is due: its own due day if the draft names one, else by its terms. One row per part."""
    fixed = drafts.filter(pl.col("due_on").is_not_null()).select(
        "id", "due_on", amount_minor="total_minor", position=pl.lit(1, dtype=pl.Int64)
    )
    open_ended = drafts.filter(pl.col("due_on").is_null())
    parts = [fixed]
    for text, group in open_ended.partition_by("terms", as_dict=True).items():
        rows = group.select("id", total_minor="total_minor", issued_on=pl.lit(issue_on))
        parts.append(
            terms.schedule(rows, terms.parse_terms(str(text[0] or "net 30"))).select("id", "due_on", "amount_minor", "position")
        )
    return pl.concat(parts)


def _ensure_terms(invoices: pl.DataFrame) -> None:
    """Refuse terms that would say nothing when the document is issued. Raises: terms.UnknownTerms."""
    if "terms" in invoices.columns:
        asked = invoices.filter(pl.col("due_on").is_null()) if "due_on" in invoices.columns else invoices
        for text in asked["terms"].unique().to_list():
            terms.parse_terms(text or "net 30")


def _subjects(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "customer_id", "currency", "issued_on", invoice_id="id", amount_minor="total_minor", note=pl.col("number").fill_null("")
    )


def _with_defaults(frame: pl.DataFrame, defaults: dict[str, int | str]) -> pl.DataFrame:
    filled = [
        pl.col(name).fill_null(value) if name in frame.columns else pl.lit(value).alias(name) for name, value in defaults.items()
    ]
    return frame.with_columns(filled)


def _with_product(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with the product of each, none where none is named. Raises: NotFound. One statement, none where no product is named."""
    if "product_id" not in frame.columns:
        return frame.with_columns(product_id=pl.lit(None, dtype=pl.Int64))
    named = frame["product_id"].cast(pl.Int64)
    wanted = named.drop_nulls().unique()
    known = bulk.read(Product.objects.filter(pk__in=wanted.to_list()).values("id"))["id"] if wanted.len() else wanted
    lost = wanted.filter(~wanted.is_in(known.implode()))
    ensure(not lost.len(), NotFound(f"There is no product {_first(lost.to_frame(), 'product_id')}.", field="product_id", remedy="Add it to the catalog first."))  # fmt: skip
    return frame.with_columns(product_id=named)


def _price_of_one(net: pl.Expr, quantity_micro: pl.Expr) -> pl.Expr:
    """The unit price, in billionths of a minor unit, at which a quantity comes to a net amount."""
    return ((net.cast(pl.Int128) * 10**15 + quantity_micro // 2) // quantity_micro).cast(pl.Int64)


def _ensure_positive(frame: pl.DataFrame, *, label: str) -> None:
    odd = frame.filter(pl.col("total_minor") <= 0)
    for row in odd.head(1).iter_rows(named=True):
        raise InvoiceNotPositive(
            f"Document {row[label]} comes to {money.Money(row['total_minor'], row['currency'])}.",
            field="total",
            remedy="A document needs a positive total; use a credit note to give money back.",
        )


def _ensure_no_credits(rows: pl.DataFrame) -> None:
    sold = rows.filter(pl.col("is_prepayment") & (pl.col("state") != S.DRAFT))
    ensure(
        sold.is_empty(),
        SoldCredits(
            f"{_first(sold, 'number')} sold credits.", field="invoice_id", remedy="Take the credits back on their page: that credits what is left of them."
        ),
    )  # fmt: skip


def _ensure_due_after_issue(frame: pl.DataFrame, *, issued: str, label: str) -> None:
    odd = frame.filter(pl.col("due_on") < pl.col(issued))
    ensure(
        odd.is_empty(),
        DueBeforeIssue(
            f"Document {_first(odd, label)} would be due on {_first(odd, 'due_on')}, before it is issued.",
            field="due_on",
            remedy="Correct one of the two days.",
        ),
    )


def _ensure_numbers_free(entity_id: int, numbers: pl.Series) -> None:
    doubled = numbers.filter(numbers.is_duplicated()).to_list()[:1]
    for start in range(0, 0 if doubled else numbers.len(), 900):
        chunk = numbers.slice(start, 900).to_list()
        doubled = list(Invoice.objects.filter(entity_id=entity_id, number__in=chunk).values_list("number", flat=True)[:1])
        if doubled:
            break
    ensure(
        not doubled,
        InvoiceNumberTaken(
            f"There is a document {doubled[0] if doubled else ''} already.", field="number", remedy="Number every document once."
        ),
    )


def _first(frame: pl.DataFrame, column: str) -> object:
    return frame[column][0] if frame.height else ""
