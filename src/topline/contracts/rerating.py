"""Use that comes late or is corrected after its period was billed: a difference on the next bill, or the old line credited and the period rated anew.

A credit takes back a whole line of the document that billed it; the period is billed again in the same run. Both are charges with a sequence of their own,
so what stands is what was used, and the unique key of a charge refuses whatever would be billed twice.
"""

from __future__ import annotations

import polars as pl

from topline.billing import queries as billing
from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.contracts import usage
from topline.contracts.models import CREDIT_AND_RERATE, NEXT_INVOICE, LateUsage
from topline.engine import charges as engine
from topline.kernel import bulk
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.database import one_of
from topline.kernel.errors import Invalid, NotFound, ensure

POLICIES = (NEXT_INVOICE, CREDIT_AND_RERATE)
ISSUED = (Invoice.State.OPEN, Invoice.State.PAID, Invoice.State.WRITTEN_OFF)
CREDITED = {"corrects_id": pl.Int64, "credit_position": pl.Int64, "credit_text": pl.String, "credit_quantity": pl.Int64, "credit_price": pl.Int64}  # fmt: skip
CHARGES = {
    "item_id": pl.Int64(), "full_start": pl.Date(), "start": pl.Date(), "end": pl.Date(), "invoice_id": pl.Int64(), "position": pl.Int64(), "billed_minor": pl.Int64(), "state": pl.String(), "kind": pl.String(),
    "corrected_id": pl.Int64(), "number": pl.String(), "payer_id": pl.Int64(), "paid_in": pl.String(), "their_terms": pl.String(), "their_order": pl.String(), "billed_up_to": pl.Date(),
}  # fmt: skip


@action("contracts.set_late_usage")
def set_late_usage(*, actor: Actor, entity_id: int, policy: str) -> int:
    """Say how a company bills use that comes late, where a contract says nothing itself; returns the company's id. Raises: NotFound, Invalid."""
    ensure_policy(policy)
    ensure(Entity.objects.filter(pk=entity_id).exists(), NotFound(f"There is no company {entity_id}.", field="entity_id"))
    before = company_policy(entity_id)
    LateUsage.objects.update_or_create(entity_id=entity_id, defaults={"policy": policy})
    changed("entity", entity_id, before={"late_usage": before}, after={"late_usage": policy})
    return entity_id


def ensure_policy(policy: str) -> None:
    """Raises: Invalid, for a policy that there is not."""
    ensure(policy in POLICIES, Invalid(f"{policy[:20]!r} is no way to bill late use.", field="late_usage", remedy=f"Use {' or '.join(POLICIES)}."))  # fmt: skip


def company_policy(entity_id: int) -> str:
    """How a company bills use that comes late. One statement."""
    return LateUsage.objects.filter(entity_id=entity_id).values_list("policy", flat=True).first() or NEXT_INVOICE


def split(lines: pl.DataFrame, *, entity: Entity) -> pl.DataFrame:
    """Differences of use that was billed before, as a credit of what was billed and the whole period anew, where the contract or its company wants that.

    lines    of a bill, taxed; with late_usage of the contract (empty: as the company)
    returns  the same with CREDITED: of a line that takes back, the document that it corrects and what stood there (null of all others)
    What was billed before its period was over is gone on with. A period stays a difference where what stands of it cannot be credited line by line: it is a draft,
    partly credited by hand, or was given back in part.
    Work: none where nothing is late; else four statements.
    """
    plain = lines.with_columns(pl.lit(None, dtype=t).alias(c) for c, t in CREDITED.items())
    late = lines.filter(pl.col("used_micro").is_not_null() & (pl.col("sequence") > 0))
    if late.is_empty():
        return plain
    policy = pl.when(pl.col("late_usage") == "").then(pl.lit(company_policy(entity.pk))).otherwise("late_usage")
    late = late.filter(policy == CREDIT_AND_RERATE)
    if late.is_empty():
        return plain
    stands = _standing(late)
    count = stands.group_by(engine.KEY).agg(_back=pl.len().cast(pl.Int64), _was=pl.col("billed_minor").sum())
    anew = plain.join(count, on=engine.KEY, how="left", maintain_order="left")
    is_anew = pl.col("_back").is_not_null()
    told = usage.with_step(pl.lit('{"anew":true}'))
    anew = anew.with_columns(
        net_minor=pl.col("net_minor") + pl.col("_was").fill_null(0), sequence=pl.col("sequence") + pl.col("_back").fill_null(0),
        explained=pl.when(is_anew).then(told).otherwise("explained"),
    ).filter(pl.col("net_minor") != 0)  # fmt: skip
    return pl.concat([_credits(plain, stands), anew.select(plain.columns)])


def named(lines: pl.DataFrame) -> pl.DataFrame:
    """What a document only gives back, as credit notes of the invoices that billed it: each names the invoice and stands at the place of its line.

    lines  of `split`. A document that charges something too stays one, and so does one of which a line was billed in parts, by a draft, or to somebody else.
    Work: none where no document only gives back; else one statement.
    """
    document = ["customer_id", "currency", "terms", "purchase_order"]
    own = lines.filter(pl.col("corrects_id").is_null())
    back = own.filter((pl.col("net_minor") < 0).all().over(document))
    if back.is_empty():
        return lines
    is_asked, given = one_of("c.item_id", back["item_id"].unique().to_list())
    issued = ", ".join(f"'{state.value}'" for state in ISSUED)
    billed = bulk.query(
        "SELECT c.item_id, c.full_start, c.invoice_id, c.position, i.customer_id, i.currency FROM contracts_charge c JOIN billing_invoice i ON i.id = c.invoice_id"
        f" WHERE i.state IN ({issued}) AND i.kind = 'invoice' AND c.net_minor > 0 AND {is_asked}",
        given,
        {"item_id": pl.Int64(), "full_start": pl.Date(), "invoice_id": pl.Int64(), "position": pl.Int64(), "customer_id": pl.Int64(), "currency": pl.String()},
    )  # fmt: skip
    once = billed.filter(pl.len().over(engine.KEY) == 1)
    found = back.select(*engine.KEY, *document, "sequence").join(once, on=[*engine.KEY, "customer_id", "currency"], how="left")
    whole = (pl.col("invoice_id").is_not_null() & (pl.col("sequence") == 1)).all().over(document)
    theirs = found.filter(whole).select(*engine.KEY, "sequence", _corrects="invoice_id", _place="position")
    rows = lines.join(theirs, on=[*engine.KEY, "sequence"], how="left", maintain_order="left")
    return rows.with_columns(
        corrects_id=pl.coalesce("corrects_id", "_corrects"), credit_position=pl.coalesce("credit_position", "_place")
    ).drop("_corrects", "_place")


# --- parts ---
def _standing(late: pl.DataFrame) -> pl.DataFrame:
    """The charges that stand of periods, of those periods alone whose charges can all be credited: the charge's KEY, billed_minor, invoice and line."""
    is_asked, given = one_of("c.item_id", late["item_id"].unique().to_list())
    rows = bulk.query(
        'SELECT c.item_id, c.full_start, c.start, c."end", c.invoice_id, c.position, c.net_minor, i.state, i.kind, i.corrects_id, i.number, i.customer_id, i.currency, i.terms, i.purchase_order, r.as_of'
        f" FROM contracts_charge c JOIN billing_invoice i ON i.id = c.invoice_id JOIN contracts_billrun r ON r.id = c.run_id WHERE i.state <> 'void' AND {is_asked} ORDER BY c.item_id, c.full_start, c.sequence",
        given,
        CHARGES,
    ).join(late.select(*engine.KEY, _over="end"), on=engine.KEY, maintain_order="left")
    was_over = pl.col("billed_up_to").max().over(engine.KEY) >= pl.col("_over")
    rows = rows.filter(was_over)  # what is billed inside its period goes on, and is not late
    gone = rows.filter(pl.col("corrected_id").is_not_null()).select(invoice_id="corrected_id", position="position")
    open_ = rows.filter(pl.col("corrected_id").is_null()).join(
        gone, on=["invoice_id", "position"], how="anti", maintain_order="left"
    )
    documents = open_["invoice_id"].unique().to_list()
    both = open_.join(billing.lines_of(documents), on=["invoice_id", "position"], how="left", maintain_order="left")
    both = both.join(billing.touched_lines(documents).with_columns(_credited=pl.lit(value=True)), on=["invoice_id", "position"], how="left", maintain_order="left")  # fmt: skip
    fits = (
        (pl.col("kind") == Invoice.Kind.INVOICE)
        & pl.col("state").is_in(list(ISSUED))
        & (pl.col("billed_minor") > 0)
        & pl.col("_credited").is_null()
    )
    return both.filter(fits.all().over(engine.KEY))


def _credits(plain: pl.DataFrame, stands: pl.DataFrame) -> pl.DataFrame:
    """The lines that take charges back: each whole, with the tax of its day, on the document's own customer and terms."""
    taken = {"start", "end", "net_minor", "sequence", "customer_id", "currency", "terms", "purchase_order", "tax_category", "tax_rate_ppm", "used_micro", "explained", "days", "full_days", *CREDITED}  # fmt: skip
    rows = plain.drop(*taken).join(stands, on=engine.KEY, maintain_order="right")
    first = plain.select(*engine.KEY, _sequence="sequence")
    number = pl.int_range(pl.len()).over(engine.KEY)
    none = pl.lit(None, dtype=pl.Int64)
    return (
        rows.join(first, on=engine.KEY, maintain_order="left")
        .with_columns(
            net_minor=-pl.col("billed_minor"), sequence=pl.col("_sequence") + number, customer_id="payer_id", currency="paid_in", terms="their_terms", purchase_order="their_order",
            tax_category="line_category", tax_rate_ppm=pl.col("line_rate").cast(plain.schema["tax_rate_ppm"]), used_micro=none, days=pl.lit(0, dtype=plain.schema["days"]), full_days=pl.lit(0, dtype=plain.schema["full_days"]),
            explained=pl.concat_str(pl.lit("["), pl.struct(back="number", line="position").struct.json_encode(), pl.lit("]")), corrects_id="invoice_id", credit_position="position", credit_text="line_text", credit_quantity="line_quantity", credit_price="line_price",
        )
        .select(plain.columns)
    )  # fmt: skip
