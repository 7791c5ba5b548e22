"""Credits pay documents: which of them, which lines, in which order, and the other way round.

All documents of a batch are paid at once: a fixed number of statements, whatever their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl
from django.db.models import Q, QuerySet, Sum

from topline.billing.models import Invoice, InvoiceLine
from topline.books.models import Entity
from topline.contracts.models import Charge, Credit, CreditMove
from topline.engine.documents import with_tax
from topline.engine.rating import prepaid
from topline.kernel import bulk, clock
from topline.kernel.actions import changed_many
from topline.kernel.actor import Actor
from topline.market import queries as market
from topline.receivables import actions as receivables
from topline.receivables import posting
from topline.timeline import actions as timeline

K = CreditMove.Kind
LOCKED = ["id", "wallet_id", "contract_id", "name", "is_paid", "amount_minor", "left_minor", "functional_minor", "priority", "pays_for", "starts_on", "expires_on"]  # fmt: skip
USE, FEES, OTHER = "use", "fees", "other"
DRAWN: dict[str, pl.DataType | type[pl.DataType]] = {
    "credit_id": pl.Int64,
    "invoice_id": pl.Int64,
    "position": pl.Int64,
    "drawn_minor": pl.Int64,
}


def usable(on: date, of: str = "") -> Q:
    """Credits that pay on a day. of: how they are reached from the rows that are asked for."""
    begun = Q(**{f"{of}left_minor__gt": 0, f"{of}closed_on__isnull": True, f"{of}starts_on__lte": on})
    return begun & (Q(**{f"{of}expires_on__isnull": True}) | Q(**{f"{of}expires_on__gt": on}))


def draw(*, actor: Actor, entity_id: int, invoice_ids: Sequence[int], on: date) -> pl.DataFrame:
    """Pay issued invoices from the credits of who is invoiced, by priority, then expiry, then age; called inside an action.

    returns  one row per line and credit that paid it: DRAWN. Credits that sold credits pay nothing: a document that sells some is left alone
    Work: one statement where nobody has credits, else some twenty, whatever the number of documents; O(lines) a credit of a customer.
    Raises: receivables.OverApplied, DocumentNotOpen, books.PeriodLocked.
    """
    known = Credit.objects.filter(usable(on), wallet__entity_id=entity_id)
    if not invoice_ids or not known.exists():
        return pl.DataFrame(schema=DRAWN)
    documents = _open(invoice_ids)
    held = _held(known, documents["customer_id"])
    documents = documents.join(held, on=["customer_id", "currency"], how="semi")
    if documents.is_empty():
        return pl.DataFrame(schema=DRAWN)
    locked = bulk.read_locked(Credit, held["credit_id"].to_list(), LOCKED).rename({"id": "credit_id"})
    grants = locked.join(held.select("credit_id", "customer_id", "currency"), on="credit_id").select(
        "priority", "expires_on", "is_paid", "amount_minor", "left_minor", "functional_minor", customer_id=_payer(), grant_id="credit_id", granted_on="starts_on", kinds=_kinds(), balance_minor="left_minor"
    )  # fmt: skip
    fees = _fees(documents).with_columns(on=pl.lit(on))
    drawn = prepaid.draw_credits(grants, fees).draws
    if drawn.is_empty():
        return pl.DataFrame(schema=DRAWN)
    rows = drawn.join(fees.select("fee_id", "invoice_id", "position", payer="of"), on="fee_id", maintain_order="left").join(
        grants.select("grant_id", "is_paid", "amount_minor", "left_minor", "functional_minor"), on="grant_id", maintain_order="left"
    )  # fmt: skip
    _settle(actor, rows, on)
    told = rows.group_by("invoice_id", maintain_order=True).agg(amount_minor=pl.col("drawn_minor").sum())
    timeline.record(
        "credits_used", told.join(documents.select("invoice_id", "currency", customer_id="of", note="number"), on="invoice_id"), subject="invoice", actor=actor, on=on
    )  # fmt: skip
    return rows.select("invoice_id", "position", "drawn_minor", credit_id="grant_id").select(*DRAWN)


def foreseen(lines: pl.DataFrame, *, entity: Entity, on: date) -> pl.DataFrame:
    """What credits would pay of a run's lines, were they issued on a day: currency, drawn_minor. Nothing is drawn. lines: of `bills.Bill`. Five statements."""
    known = Credit.objects.filter(usable(on), wallet__entity=entity)
    if lines.is_empty() or not known.exists():
        return pl.DataFrame(schema={"currency": pl.String, "drawn_minor": pl.Int64})
    rows = with_tax(lines, tax_rounding=entity.tax_rounding).with_columns(on=pl.lit(on))
    drawn = _would_pay(rows, known, document=("ref", "currency"))
    return drawn.group_by("currency").agg(pl.col("drawn_minor").sum()).sort("currency")


def coming(lines: pl.DataFrame, *, entity: Entity, as_of: date, document: Sequence[str]) -> pl.DataFrame:
    """What credits, as they stood on a day, would pay of bills to come: the columns of document, drawn_minor. Nothing is drawn.

    lines     taxed lines in the order in which they are billed: on (the day on which they are), and what `_is_a` reads
    document  the columns that make a document, among them customer_id and currency
    Work: one statement where nobody has credits, else five.
    """
    known = Credit.objects.filter(wallet__entity=entity).filter(Q(closed_on__isnull=True) | Q(closed_on__gt=as_of))
    if lines.is_empty() or not known.exists():
        return lines.select(document).clear().with_columns(drawn_minor=pl.lit(0, dtype=pl.Int64))
    moved = CreditMove.objects.filter(credit__in=known, on__lte=as_of).order_by().values("credit_id").annotate(balance_minor=Sum("amount_minor"))  # fmt: skip
    return _would_pay(lines, known, document=document, balances=bulk.read(moved))


def put_back(*, drawn: pl.DataFrame, amount_minor: int, on: date, note: str) -> tuple[int, int]:
    """Credits that paid invoices are there again, the last drawn first; called inside an action. Returns how much went to bought ones and to given ones.

    drawn  of `still_drawn`. What has expired since begins anew, for the days that it had left when it paid. Work: some ten statements.
    """
    back = prepaid.give_back(drawn, amount_minor=amount_minor)
    columns = [*LOCKED, "closed_on"]
    locked = bulk.read_locked(Credit, back["credit_id"].to_list(), columns).rename({"id": "credit_id"})
    rows = back.join(locked, on="credit_id", maintain_order="left").with_columns(pl.col("closed_on").cast(pl.Date))
    alive = rows.filter(pl.col("closed_on").is_null())
    again = alive.group_by(id="credit_id").agg(left_minor=pl.col("left_minor").first() + pl.col("back_minor").sum())
    bulk.update(Credit, again)
    anew = _anew(rows.filter(pl.col("closed_on").is_not_null()), on)
    moves = pl.concat([alive.select("credit_id", "invoice_id", "back_minor"), anew])
    write_moves(
        moves.select(
            "credit_id", "invoice_id", amount_minor="back_minor", kind=pl.lit(K.RETURNED.value), note=pl.lit(note[:300])
        ),
        on=on,
    )
    bought = int(rows.filter("is_paid")["back_minor"].sum())
    return bought, int(rows["back_minor"].sum()) - bought


def still_drawn(invoice_ids: Sequence[int]) -> pl.DataFrame:
    """What credits paid of invoices and did not come back since, in the order in which they paid: credit_id, invoice_id, drawn_on, drawn_minor. One statement."""
    ours = CreditMove.objects.filter(invoice__in=list(invoice_ids), kind__in=[K.DRAWN, K.RETURNED]).order_by("id")
    rows = bulk.read(ours.values("credit_id", "credit__follows_id", "kind", "invoice_id", "amount_minor", "on"))
    paid = rows.filter(pl.col("kind") == K.DRAWN)
    drawn = paid.group_by("credit_id", "invoice_id", maintain_order=True).agg(
        drawn_on=pl.col("on").max(), drawn=-pl.col("amount_minor").sum()
    )
    first = (
        pl.when(pl.col("credit_id").is_in(paid["credit_id"].implode()))
        .then("credit_id")
        .otherwise("credit__follows_id")
        .cast(pl.Int64)
    )
    back = (
        rows.filter(pl.col("kind") == K.RETURNED).group_by("invoice_id", credit_id=first).agg(back=pl.col("amount_minor").sum())
    )
    left = drawn.join(back, on=["credit_id", "invoice_id"], how="left", maintain_order="left")
    return left.select("credit_id", "invoice_id", "drawn_on", drawn_minor=pl.col("drawn") - pl.col("back").fill_null(0)).filter(
        pl.col("drawn_minor") > 0
    )


def paid_before(note_ids: Sequence[int]) -> pl.DataFrame:
    """The invoices that credits paid for which credit notes give something back: credit_note_id, invoice_id. Of a credit note of a run, those that billed the same periods. Two statements."""
    notes = Invoice.objects.filter(pk__in=list(note_ids), kind=Invoice.Kind.CREDIT_NOTE)
    named = bulk.read(notes.filter(corrects__from_credits_minor__gt=0).values("id", "corrects_id")).rename(
        {"id": "credit_note_id", "corrects_id": "invoice_id"}
    )
    key = ["item_id", "full_start"]
    given = bulk.read(Charge.objects.filter(invoice__in=notes.filter(corrects__isnull=True)).values(*key, "invoice_id")).rename(
        {"invoice_id": "credit_note_id"}
    )
    if given.is_empty():
        return named
    billed = Charge.objects.filter(item_id__in=given["item_id"].unique().to_list(), invoice__from_credits_minor__gt=0)
    found = (
        given.join(bulk.read(billed.values(*key, "invoice_id")), on=key)
        .select("credit_note_id", "invoice_id")
        .unique(maintain_order=True)
    )
    return pl.concat([named.select("credit_note_id", "invoice_id"), found])


def write_moves(moves: pl.DataFrame, *, on: date) -> None:
    """Write down what went into credits and out of them. moves: credit_id, kind, amount_minor, and what else a move says."""
    written = bulk.insert(CreditMove, moves.with_columns(on=pl.lit(on), recorded_at=pl.lit(clock.now())))
    if written.height:
        changed_many("credit", moves["credit_id"], after={"moved": "changed"})


# --- parts ---
def _open(invoice_ids: Sequence[int]) -> pl.DataFrame:
    """Invoices with something open that do not sell credits: invoice_id, of (its customer), customer_id (that stands for it), currency, number, open_minor."""
    rows = bulk.read(
        Invoice.objects.filter(pk__in=list(invoice_ids), kind=Invoice.Kind.INVOICE, state=Invoice.State.OPEN, is_prepayment=False).order_by("id").values("id", "customer_id", "currency", "number", "total_minor", "allocated_minor")
    )  # fmt: skip
    told = rows.select(
        "customer_id",
        "currency",
        "number",
        invoice_id="id",
        of="customer_id",
        open_minor=pl.col("total_minor") - pl.col("allocated_minor"),
    )
    return market.resolve(told)


def _held(known: QuerySet[Credit], customers: pl.Series) -> pl.DataFrame:
    """The usable credits of customers: credit_id, customer_id (that stands for its holder), currency."""
    whose = customers.unique().to_list()
    if len(whose) <= bulk.FEW:
        known = known.filter(Q(wallet__customer_id__in=whose) | Q(wallet__customer__merged_into_id__in=whose))
    names = {"id": "credit_id", "wallet__customer_id": "customer_id", "wallet__currency": "currency"}
    return market.resolve(bulk.read(known.order_by("id").values(*names)).rename(names))


def _would_pay(
    lines: pl.DataFrame, known: QuerySet[Credit], *, document: Sequence[str], balances: pl.DataFrame | None = None
) -> pl.DataFrame:
    """What credits would pay of documents: the columns of document, drawn_minor. lines: taxed, with on; balances: credit_id, balance_minor, where it is not what is left now."""
    held = _held(known, lines["customer_id"])
    facts = bulk.read(known.values(*LOCKED)).rename({"id": "credit_id"}).join(held, on="credit_id")
    left = facts.with_columns(balance_minor="left_minor") if balances is None else facts.join(balances, on="credit_id")
    grants = left.select(
        "priority", "expires_on", "balance_minor", customer_id=_payer(), grant_id="credit_id", granted_on="starts_on", kinds=_kinds()
    )  # fmt: skip
    resolved = market.resolve(lines.with_columns(_of="customer_id")).with_columns(gross=pl.col("net_minor") + pl.col("tax_minor"))
    rows = resolved.with_columns(open_minor=pl.col("gross").sum().over(document)).filter(pl.col("gross") > 0)
    before = pl.col("gross").cum_sum().over(document) - pl.col("gross")
    fees = rows.with_columns(
        _payer=_payer(), is_a=_is_a(), gross_minor=(pl.col("open_minor") - before).clip(0, pl.col("gross"))
    ).with_row_index("fee_id")
    asked = fees.select("fee_id", "is_a", "on", "gross_minor", customer_id="_payer")
    of = fees.with_columns(customer_id="_of").select("fee_id", *document)
    drawn = prepaid.draw_credits(grants, asked).draws.join(of, on="fee_id")
    return drawn.group_by(document).agg(pl.col("drawn_minor").sum())


def _payer() -> pl.Expr:
    """Credits pay in their own currency: a payer is a customer and a currency."""
    return pl.concat_str("customer_id", pl.lit(" "), "currency")


def _kinds() -> pl.Expr:
    """The kinds of charges that credits pay, of their contract alone where they have one (`use@7`); null for all."""
    said = pl.col("pays_for").str.json_decode(pl.List(pl.String))
    some = pl.when(said.list.len() > 0).then(said).otherwise(pl.concat_list(pl.lit("any")))
    is_all = pl.col("contract_id").is_null() & (said.list.len() == 0)
    return pl.when(is_all).then(None).when(pl.col("contract_id").is_null()).then(some).otherwise(_at(some))


def _at(kinds: pl.Expr) -> pl.Expr:
    """Kinds, of one contract's charges."""
    of = pl.format("@{}", pl.col("contract_id").fill_null(0))
    return (kinds.list.join("\n") + of).str.replace_all("\n", of + "\n", literal=True).str.split("\n")


def _fees(documents: pl.DataFrame) -> pl.DataFrame:
    """The lines of documents as fees, in their order: fee_id, customer_id (the payer), of, invoice_id, position, is_a, gross_minor (never more in all than is open)."""
    ids = documents["invoice_id"].to_list()
    lines = bulk.read(
        InvoiceLine.objects.filter(invoice__in=ids)
        .order_by("invoice_id", "position")
        .values("invoice_id", "position", "net_minor", "tax_minor")
    )
    names = {"item__meter_id": "meter_id", "item__product_id": "product_id", "item__contract_id": "contract_id"}
    charged = (
        bulk.read(Charge.objects.filter(invoice__in=ids).values("invoice_id", "position", *names))
        .rename(names)
        .unique(["invoice_id", "position"])
    )
    rows = lines.with_columns(pl.col("position").cast(pl.Int64)).join(
        charged.with_columns(pl.col("position").cast(pl.Int64)), on=["invoice_id", "position"], how="left", maintain_order="left"
    )
    rows = rows.join(
        documents.select("invoice_id", "of", "open_minor", payer=_payer()), on="invoice_id", maintain_order="left"
    ).filter(pl.col("net_minor") + pl.col("tax_minor") > 0)
    gross = pl.col("net_minor") + pl.col("tax_minor")
    before = gross.cum_sum().over("invoice_id") - gross
    return (
        rows.select(
            "invoice_id",
            "position",
            "of",
            customer_id="payer",
            gross_minor=(pl.col("open_minor") - before).clip(0, gross),
            is_a=_is_a(),
        )
        .filter(pl.col("gross_minor") > 0)
        .with_row_index("fee_id")
        .with_columns(pl.col("fee_id").cast(pl.Int64))
    )


def _is_a() -> pl.Expr:
    """What a line is, so that credits know whether they pay it: of what sort, meter and product; and the same of its contract."""
    no_contract, no_meter = pl.col("contract_id").is_null(), pl.col("meter_id").is_null()
    sort = pl.when(no_contract).then(pl.lit(OTHER)).when(no_meter).then(pl.lit(FEES)).otherwise(pl.lit(USE))
    parts = [pl.lit("any"), sort, pl.format("meter:{}", "meter_id"), pl.format("product:{}", "product_id")]
    plain = pl.concat_list(parts).list.drop_nulls()
    return pl.when(no_contract).then(plain).otherwise(pl.concat_list(plain, _at(plain)))


def _settle(actor: Actor, rows: pl.DataFrame, on: date) -> None:
    """Allocate, book and write down what was drawn. rows: in the order in which it was drawn, with what the books hold of each credit."""
    upto = pl.col("amount_minor") - pl.col("left_minor") + pl.col("drawn_minor").cum_sum().over("grant_id")
    worth = posting.part_of(pl.col("functional_minor"), upto, pl.col("drawn_minor"), pl.col("amount_minor"))
    kind = pl.when("is_paid").then(pl.lit("credits")).otherwise(pl.lit("granted"))
    rows = rows.with_columns(kind=kind, worth=worth)
    sums = rows.group_by("invoice_id", "kind", maintain_order=True).agg(
        amount_minor=pl.col("drawn_minor").sum(), credit_functional=pl.col("worth").sum()
    )
    sums = sums.with_columns(credit_functional=pl.when(pl.col("kind") == "credits").then("credit_functional")).sort(
        "invoice_id", "kind"
    )
    made = receivables.settle_from_credits(actor=actor, rows=sums, on=on)
    links = rows.join(made.select("invoice_id", "kind", "allocation_id"), on=["invoice_id", "kind"], maintain_order="left")
    used = rows.group_by(id="grant_id").agg(left_minor=pl.col("left_minor").first() - pl.col("drawn_minor").sum())
    bulk.update(Credit, used)
    write_moves(
        links.select(
            "invoice_id",
            "position",
            "allocation_id",
            credit_id="grant_id",
            kind=pl.lit(K.DRAWN.value),
            amount_minor=-pl.col("drawn_minor"),
        ),
        on=on,
    )


def _anew(over: pl.DataFrame, on: date) -> pl.DataFrame:
    """Credits that take the place of those that are over: credit_id, invoice_id, back_minor."""
    if over.is_empty():
        return pl.DataFrame(schema={"credit_id": pl.Int64, "invoice_id": pl.Int64, "back_minor": pl.Int64})
    ends = pl.lit(on) + pl.duration(days=(pl.col("expires_on") - pl.col("drawn_on")).dt.total_days().clip(1))
    worth = posting.part_of(pl.col("functional_minor"), pl.col("back_minor"), pl.col("back_minor"), pl.col("amount_minor"))
    rows = over.select(
        "invoice_id", "wallet_id", "contract_id", "name", "is_paid", "priority", "pays_for", amount_minor="back_minor", left_minor="back_minor", functional_minor=worth, follows_id="credit_id",
        starts_on=pl.lit(on), expires_on=ends, created_at=pl.lit(clock.now()),
    )  # fmt: skip
    made = bulk.insert(Credit, rows.drop("invoice_id"))
    return (
        rows.select("invoice_id", back_minor="left_minor")
        .with_columns(credit_id=made["id"])
        .select("credit_id", "invoice_id", "back_minor")
    )
