"""Which customers, products and deals make the company more profitable: price realised, what is given up on the way to the money, cost, margin.

Figures are of what was sold, deals won in a span, or of what was billed, lines of documents issued in it. A deal with an accepted quote has price,
terms, fees, expected lateness and cost by line; another has its amount, the lateness of its customer, and the cost of its lines where every product has
one in the deal's currency. A billed line has its net amount, the lateness of its payer, and the cost of the units of its product: of a contract the units of
its item for the part of the period that was billed, else the quantity of the line; what is credited by the unit comes back, what is credited as an amount
leaves the cost as it is.
Source: price waterfall to pocket margin, Marn and Rosiello, Harvard Business Review 70 (1992) no. 5.
"""

from __future__ import annotations

from datetime import date

import polars as pl
from django.db.models import Count, QuerySet

from topline.billing.models import Invoice, InvoiceLine
from topline.books.models import Entity
from topline.contracts.models import Charge
from topline.kernel import bulk
from topline.kernel.errors import Invalid, ensure
from topline.lifecycle.models import ServeCost
from topline.market import queries as market
from topline.market.models import ExperienceRecord
from topline.pipeline.models import Opportunity, OpportunityLine
from topline.quotes.models import LatePayment, Quote, QuoteLine
from topline.timeline.models import Milestone

OF = {"sold": "what was sold", "billed": "what was billed"}
BY = {"customer": "Customer", "segment": "Segment", "product": "Product", "deal": "Deal"}
COLUMNS = {
    "customer": ("customer_id", "customer"),
    "segment": ("segment", "segment"),
    "product": ("product_id", "product"),
    "deal": ("deal_id", "deal"),
}
PPM, MICRO_NANO = 1_000_000, 10**15
LINES = [
    "deal_id", "deal", "customer_id", "customer", "segment", "product_id", "product", "currency", "realised_minor", "off_minor", "cost_minor"
]  # fmt: skip
CONTACTS = ("customer_contacted", "reminder_sent")
NONE, SEVERAL = "none", "several products"


def margins(*, entity: Entity, since: date, until: date, by: str = "customer", of: str = "sold") -> pl.DataFrame:
    """What was sold or billed in a span and what it leaves, the largest margin first; rows whose cost nobody knows come last.

    of       of OF. What was billed without a contract that came from a deal is under the deal "none"
    returns  one row per group and currency: key (customer, product or deal id as text; the segment's name), name, currency, deals u32 (documents,
             of what was billed), realised_minor (net of discounts), off_minor (terms, fees, lateness), cost_minor (null: not known), serve_minor (contacts
             and tickets; null where nobody said what they cost, and by product and deal), known_minor (the part of realised whose cost is known: of what
             was sold all of it or nothing, of what was billed line by line), margin_minor (of that part, with its part of off and serve; null without
             cost), margin f64 (of known)
    Work: nine statements. Raises: Invalid for another group or basis.
    """
    ensure(by in BY, Invalid(f"{by!r} groups nothing.", field="by", remedy=f"Use one of {', '.join(BY)}."))
    lines = _of(entity, since, until, of)
    key, label = (pl.col(c).cast(pl.String) for c in COLUMNS[by])
    named = lines.with_columns(label=label.fill_null(NONE), key=key.fill_null(label).fill_null(NONE))
    has_cost = pl.col("cost_minor").is_not_null()
    is_known = has_cost.any() if of == "billed" else has_cost.all()
    known = has_cost & is_known
    grouped = named.group_by("key", "currency").agg(
        name=pl.col("label").first(), deals=pl.col("document_id").n_unique(), realised_minor=pl.col("realised_minor").sum(), off_minor=pl.col("off_minor").sum(),
        cost_minor=pl.when(is_known).then(pl.col("cost_minor").sum()), known_minor=pl.col("realised_minor").filter(known).sum(),
        _off=pl.col("off_minor").filter(known).sum(),
    )  # fmt: skip
    served = _served(entity, since, until, named, by)
    whole = grouped.join(served, on=["key", "currency"], how="left")
    part = pl.when(pl.col("realised_minor") > 0).then(pl.col("known_minor") / pl.col("realised_minor")).otherwise(1.0)
    served_minor = (pl.col("serve_minor").fill_null(0) * part).round().cast(pl.Int64)
    left = pl.col("known_minor") - pl.col("_off") - pl.col("cost_minor") - served_minor
    return whole.with_columns(margin_minor=left).with_columns(
        margin=pl.when(pl.col("known_minor") > 0).then(pl.col("margin_minor") / pl.col("known_minor"))
    ).select(
        "key", "name", "currency", "deals", "realised_minor", "off_minor", "cost_minor", "serve_minor", "known_minor", "margin_minor", "margin"
    ).sort("currency", "margin_minor", "key", descending=[False, True, False], nulls_last=True)  # fmt: skip


def unnamed(*, entity: Entity, since: date, until: date, of: str = "sold") -> pl.DataFrame:
    """How much of what was sold or billed in a span names no product: currency, whole_minor, unnamed_minor; the largest currency first.

    A deal of several products names them all, though not which part of its amount is for which.
    """
    lines = _of(entity, since, until, of)
    told = lines.group_by("currency").agg(
        whole_minor=pl.col("realised_minor").sum(),
        unnamed_minor=pl.col("realised_minor").filter(pl.col("product").is_null()).sum(),
    )
    return told.sort("whole_minor", "currency", descending=[True, False])


def serve_cost(entity_id: int, on: date) -> ServeCost | None:
    """What a contact and a ticket cost on a day; None where nobody said."""
    return ServeCost.objects.filter(entity_id=entity_id, valid_from__lte=on).order_by("-valid_from", "-id").first()


def overall(*, entity: Entity, since: date, until: date) -> float | None:
    """Margin of all that was sold in the company's currency and whose cost is known, as a share of its price; None where none is."""
    lines = _lines(entity, since, until).filter((pl.col("currency") == entity.currency) & pl.col("cost_minor").is_not_null())
    realised = int(lines["realised_minor"].sum())
    return (realised - int(lines["off_minor"].sum()) - int(lines["cost_minor"].sum())) / realised if realised > 0 else None


def _of(entity: Entity, since: date, until: date, of: str) -> pl.DataFrame:
    ensure(of in OF, Invalid(f"There is no margin of {of!r}.", field="of", remedy=f"Use one of {', '.join(OF)}."))
    return _billed(entity, since, until) if of == "billed" else _lines(entity, since, until).with_columns(document_id="deal_id")


def _billed(entity: Entity, since: date, until: date) -> pl.DataFrame:
    """One row per line of an invoice or credit note issued in a span, as of `_lines`, with document_id. Credit notes take back; interest is no sale."""
    issued = Invoice.objects.filter(
        entity=entity, kind__in=[Invoice.Kind.INVOICE, Invoice.Kind.CREDIT_NOTE], issued_on__gte=since, issued_on__lte=until
    ).exclude(state__in=[Invoice.State.DRAFT, Invoice.State.VOID])
    facts = {
        "invoice__customer_id": "customer_id", "invoice__customer__name": "customer", "invoice__customer__segment": "segment", "invoice__currency": "currency", "invoice__kind": "kind",
        "product__name": "product", "product__unit_cost_nano": "unit_cost_nano", "product__cost_currency": "cost_currency", "invoice_id": "document_id",
    }  # fmt: skip
    lines = bulk.read(
        InvoiceLine.objects.filter(invoice__in=issued).values(*facts, "position", "product_id", "quantity_micro", "net_minor", "credits_micro")
    ).rename(facts)  # fmt: skip
    agreed = {
        "item__quantity_micro": "item_micro", "item__unit_price_nano": "item_price_nano", "item__contract__quote__opportunity_id": "deal_id",
        "item__contract__quote__opportunity__name": "deal", "item__contract__quote__opportunity__segment": "_segment", "invoice_id": "document_id", "quantity_micro": "used_micro", "net_minor": "charged_minor",
    }  # fmt: skip
    charges = bulk.read(
        Charge.objects.filter(invoice__in=issued).values(*agreed, "position", "sequence", "days", "full_days")
    ).rename(agreed)
    both = market.resolve(lines).join(charges, on=["document_id", "position"], how="left", maintain_order="left")
    is_note = pl.col("kind") == Invoice.Kind.CREDIT_NOTE
    of_period = (
        _whole("item_micro") * _whole("days") // pl.max_horizontal("full_days", pl.lit(1)) * _whole("charged_minor").sign()
    )
    corrected = pl.when(pl.col("item_price_nano") > 0).then(_whole("charged_minor") * MICRO_NANO // _whole("item_price_nano"))
    units = (
        pl.when(pl.col("charged_minor").is_null()).then(pl.when(is_note).then(0 - _whole("credits_micro").fill_null(0)).otherwise(_whole("quantity_micro")))
        .when(pl.col("sequence") > 0).then(corrected)
        .otherwise(pl.coalesce(_whole("used_micro"), of_period))
    )  # fmt: skip
    nano = units * _whole("unit_cost_nano")
    own = pl.col("cost_currency") == pl.col("currency")
    late = market.resolve(bulk.read(LatePayment.objects.values("customer_id", "late_ppm"))).group_by("customer_id").agg(pl.col("late_ppm").max())  # fmt: skip
    net = pl.when(is_note).then(-pl.col("net_minor")).otherwise("net_minor")
    return both.join(late, on="customer_id", how="left", maintain_order="left").with_columns(
        segment=pl.when(pl.col("_segment").fill_null("") != "").then("_segment").otherwise("segment"), realised_minor=net, off_minor=(net * pl.col("late_ppm").fill_null(0) + PPM // 2) // PPM,
        cost_minor=pl.when(own).then(((nano + MICRO_NANO // 2) // MICRO_NANO).cast(pl.Int64)),
    ).select(*LINES, "document_id")  # fmt: skip


def _whole(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int128)


def _lines(entity: Entity, since: date, until: date) -> pl.DataFrame:
    """One row per line sold: deal_id, deal, customer_id, customer, segment, product_id, product, currency, realised_minor, off_minor, cost_minor."""
    won = Opportunity.objects.filter(entity=entity, state="won", is_withdrawn=False, closed_on__gte=since, closed_on__lte=until)
    facts = {"customer": "customer__name", "_segment": "customer__segment"}
    deals = market.resolve(bulk.read(won.values("id", "name", "customer_id", "segment", "currency", "amount_minor", *facts.values()))).rename(
        {"id": "deal_id", "name": "deal"} | {v: k for k, v in facts.items()}
    ).with_columns(segment=pl.when(pl.col("segment") != "").then("segment").otherwise(pl.col("_segment").fill_null(""))).drop("_segment")  # fmt: skip
    quoted = bulk.read(
        QuoteLine.objects.filter(quote__state=Quote.State.ACCEPTED, quote__opportunity__in=won).values(
            "quote__opportunity_id", "product_id", "product__name", "quote__currency", "net_minor", "pocket_minor", "cost_minor"
        )
    ).rename({"quote__opportunity_id": "deal_id", "product__name": "product", "quote__currency": "currency"})  # fmt: skip
    by_quote = deals.drop("amount_minor", "currency").join(quoted, on="deal_id").with_columns(
        realised_minor="net_minor", off_minor=pl.col("net_minor") - pl.col("pocket_minor")
    )  # fmt: skip
    rest = deals.join(quoted.select("deal_id").unique(), on="deal_id", how="anti")
    late = market.resolve(bulk.read(LatePayment.objects.values("customer_id", "late_ppm"))).group_by("customer_id").agg(pl.col("late_ppm").max())  # fmt: skip
    plain = rest.join(_costs(won), on="deal_id", how="left").join(late, on="customer_id", how="left").with_columns(
        realised_minor="amount_minor",
        off_minor=(pl.col("amount_minor") * pl.col("late_ppm").fill_null(0) + PPM // 2) // PPM,
        cost_minor=pl.when(pl.col("cost_currency") == pl.col("currency")).then("cost_minor"),
    )  # fmt: skip
    return pl.concat([by_quote.select(LINES), plain.select(LINES)])


def _costs(deals: QuerySet[Opportunity]) -> pl.DataFrame:
    """What the products of deals cost: deal_id, product_id (null where a deal has several) and product (SEVERAL then), cost_minor and cost_currency (null where a
    product has no cost, or they have several currencies)."""
    nano = pl.col("quantity_micro").cast(pl.Int128) * pl.col("product__unit_cost_nano").cast(pl.Int128)
    one = pl.col("product_id").n_unique() == 1
    rows = bulk.read(
        OpportunityLine.objects.filter(opportunity__in=deals, removed_on__isnull=True).values(
            "opportunity_id", "product_id", "quantity_micro", "product__name", "product__unit_cost_nano", "product__cost_currency"
        )
    )  # fmt: skip
    whole = pl.col("product__unit_cost_nano").is_not_null().all() & (pl.col("product__cost_currency").n_unique() == 1)
    return rows.group_by(deal_id="opportunity_id").agg(
        product_id=pl.when(one).then(pl.col("product_id").first()), product=pl.when(one).then(pl.col("product__name").first()).otherwise(pl.lit(SEVERAL)),
        cost_minor=pl.when(whole).then(((nano.sum() + MICRO_NANO // 2) // MICRO_NANO).cast(pl.Int64)),
        cost_currency=pl.when(whole).then(pl.col("product__cost_currency").first()),
    )  # fmt: skip


def _served(entity: Entity, since: date, until: date, lines: pl.DataFrame, by: str) -> pl.DataFrame:
    """What contacts and tickets of the customers in a span cost, by key and the company's currency: key, currency, serve_minor."""
    cost = serve_cost(entity.pk, until)
    if cost is None or by not in ("customer", "segment"):
        return pl.DataFrame(schema={"key": pl.String, "currency": pl.String, "serve_minor": pl.Int64})
    contacts = Milestone.objects.filter(
        kind__in=CONTACTS, occurred_on__gte=since, occurred_on__lte=until, customer_id__isnull=False
    )
    tickets = ExperienceRecord.objects.filter(kind="ticket", on__gte=since, on__lte=until, competitor__isnull=True)
    counted = [
        market.resolve(bulk.read(rows.order_by().values("customer_id").annotate(n=Count("id")))).select("customer_id", minor=pl.col("n").cast(pl.Int64) * each)
        for rows, each in ((contacts, cost.contact_minor), (tickets, cost.ticket_minor))
    ]  # fmt: skip
    each = lines.filter(pl.col("currency") == entity.currency).select("customer_id", "key").unique("customer_id")
    sums = (
        each.join(pl.concat(counted), on="customer_id", how="left")
        .group_by("key")
        .agg(serve_minor=pl.col("minor").fill_null(0).sum())
    )
    return sums.with_columns(currency=pl.lit(entity.currency))
