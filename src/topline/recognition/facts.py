"""What recognition knows, as frames: items with their rules, what happened to contracts, what was billed, used, accepted and credited.

An `Assumed` stands for a what-if: other prices, estimates or treatments than those that were kept. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Exists, Max, Min, OuterRef, Sum

from topline.billing.models import Invoice, InvoiceLine
from topline.books.models import Entity
from topline.catalog.models import BundlePart
from topline.contracts import bills, schedules, usage
from topline.contracts.models import Amendment, Charge, Contract, Item, ItemChange, SchedulePart
from topline.engine.documents import EXACT, round_half_away
from topline.engine.recognition import contracts as engine
from topline.engine.recognition import modifications, price
from topline.kernel import bulk
from topline.recognition.models import Acceptance, Estimate, Rule, StandalonePrice, Treatment

RESHAPING = (
    "add",
    "remove",
    "quantity",
    "price",
    "terminate",
    "pause",
)  # amendments after which a price is no longer shared, where what they did is not kept
LONG_AGO = date(1900, 1, 1)
CHUNK = 20_000  # contracts that are told at a time: memory stays flat however many there are


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is supposed instead of what was kept; nothing by default.

    item_ssp     item id: what a unit costs alone in a month, billionths
    product_ssp  product id: the same range for all its contracts, (low, high)
    estimates    element id: minor units that are counted in place of its newest estimate
    treatments   amendment id: how it is accounted for
    """

    item_ssp: dict[int, int] = field(default_factory=dict)
    product_ssp: dict[int, tuple[int, int]] = field(default_factory=dict)
    estimates: dict[int, int] = field(default_factory=dict)
    treatments: dict[int, str] = field(default_factory=dict)


NOTHING = Assumed()
Which = int | range | None
"""One contract, those with ids in a span, or all."""


def contracts(entity: Entity, which: Which) -> Any:
    """The contracts that are asked about."""
    rows = Contract.objects.filter(entity=entity)
    if isinstance(which, range):
        return rows.filter(pk__gte=which.start, pk__lt=which.stop)
    return rows.filter(pk=which) if which is not None else rows


def items(entity: Entity, which: Which, *, assume: Assumed = NOTHING) -> pl.DataFrame:
    """Items as the engine takes them, with the rule that each falls under. Three statements."""
    facts = {
        "id": "item_id",
        "starts_on": "start",
        "ends_on": "end",
        "contract__currency": "currency",
        "contract__customer_id": "user_id",
        "contract__starts_on": "term_start",
        "contract__ends_on": "term_end",
        "contract__created_at": "_created",
        "contract__month_days": "month_days",
        "meter__rounding": "rounding",
        "meter__round_decimals": "round_decimals",
    }
    columns = [
        "contract_id", "product_id", "replaces_id", "description", "in_advance", "anchor", "unit", "every", "day", "meter_id", "free_until", "by_peak", *usage.COLUMNS,
    ]  # fmt: skip
    asked = contracts(entity, which)
    rows = bulk.read(Item.objects.filter(contract__in=asked).order_by("id").values(*columns, *facts)).rename(facts)
    rows = rows.with_columns(
        pl.col("every").cast(pl.Int64),
        pl.col("day").cast(pl.Int64),
        pl.col("replaces_id", "month_days").cast(pl.Int64),
        pl.col("free_until").cast(pl.Date),
    )
    unknown = Amendment.objects.filter(contract__in=asked, kind__in=RESHAPING, is_itemised=False).values_list("contract_id", flat=True).distinct()  # fmt: skip
    rules = bulk.read(Rule.objects.order_by("id").values("product_id", "item_id", "method", "ssp_low_nano", "ssp_high_nano", "life_months"))  # fmt: skip
    of_item, of_product = (
        rules.drop_nulls(key).unique(key, keep="last").select(key, *(pl.col(c).alias(f"{c}_{key}") for c in ("method", "ssp_low_nano", "ssp_high_nano", "life_months")))
        for key in ("item_id", "product_id")
    )  # fmt: skip
    rows = rows.join(of_item, on="item_id", how="left", maintain_order="left").join(
        of_product, on="product_id", how="left", maintain_order="left"
    )
    once = (pl.col("unit") == "day") & (pl.col("every") == 1) & ((pl.col("end") - pl.col("start")).dt.total_days() <= 1)
    method = pl.coalesce("method_item_id", "method_product_id", pl.when(once.fill_null(value=False)).then(pl.lit("point")).otherwise(pl.lit("day")))  # fmt: skip
    supposed = pl.col("item_id").replace_strict(assume.item_ssp, default=None, return_dtype=pl.Int64)
    return rows.with_columns(
        method=method,
        low_nano=pl.coalesce(supposed, "ssp_low_nano_item_id"),
        high_nano=pl.coalesce(supposed, "ssp_high_nano_item_id"),
        life_months=pl.when(method == "term").then(pl.coalesce("life_months_item_id", "life_months_product_id")).cast(pl.Int64),
        booked_on=pl.min_horizontal(pl.col("_created").dt.convert_time_zone(entity.time_zone).dt.date(), "term_start"),
        is_known=~pl.col("contract_id").is_in(list(unknown)),
    ).drop("^.*_(item_id|product_id)$", "_created").with_columns(rows["product_id"])  # fmt: skip


def prices(entity: Entity, *, assume: Assumed = NOTHING) -> pl.DataFrame:
    """Stand-alone selling prices as the engine takes them; a rule of a product that tells a range tells it of all days. Two statements."""
    columns = ("product_id", "currency", "valid_from", "low_nano", "high_nano")
    dated = bulk.read(StandalonePrice.objects.order_by("id").values(*columns, "basis")).unique(columns[:3], keep="last", maintain_order=True)  # fmt: skip
    told = dated.select(*columns, is_residual=pl.col("basis") == "residual")
    rules = bulk.read(
        Rule.objects.filter(product__isnull=False).order_by("id").values("product_id", "ssp_low_nano", "ssp_high_nano")
    ).unique("product_id", keep="last", maintain_order=True).drop_nulls()  # fmt: skip
    always = rules.select(
        "product_id", currency=pl.lit(entity.currency), valid_from=pl.lit(LONG_AGO), low_nano="ssp_low_nano", high_nano="ssp_high_nano", is_residual=pl.lit(value=False)
    )  # fmt: skip
    if assume.product_ssp:
        ids = list(assume.product_ssp)
        kept = pl.concat([always, told]).filter(~pl.col("product_id").is_in(ids))
        other = pl.DataFrame(
            {"product_id": ids, "low_nano": [v[0] for v in assume.product_ssp.values()], "high_nano": [v[1] for v in assume.product_ssp.values()]}
        ).select("product_id", currency=pl.lit(entity.currency), valid_from=pl.lit(LONG_AGO), low_nano="low_nano", high_nano="high_nano", is_residual=pl.lit(value=False))  # fmt: skip
        return pl.concat([kept, other])
    return pl.concat([always, told])


def bundles(alone: pl.DataFrame) -> pl.DataFrame:
    """What products that are sold together cost, as a share of what they cost apart, by the newest prices alone. One statement."""
    parts = bulk.read(BundlePart.objects.order_by("id").values("bundle_id", "product_id", "quantity_micro"))
    if parts.is_empty():
        return pl.DataFrame(schema=engine.BUNDLES)
    newest = alone.sort("valid_from").unique(["product_id", "currency"], keep="last", maintain_order=True)
    middle = newest.select("product_id", "currency", _middle=(pl.col("low_nano") + pl.col("high_nano")).cast(EXACT))
    apart = parts.join(middle, on="product_id").with_columns(
        _worth=pl.col("_middle") * pl.col("quantity_micro").cast(EXACT) / 1_000_000
    )
    whole = middle.rename({"product_id": "bundle_id", "_middle": "_together"})
    rows = apart.join(whole, on=["bundle_id", "currency"]).with_columns(_count=pl.len().over("bundle_id", "currency"))
    rows = rows.join(parts.group_by("bundle_id").agg(_size=pl.len()), on="bundle_id").filter(
        (pl.col("_count") == pl.col("_size")) & (pl.col("_worth") > 0)
    )
    rows = rows.with_columns(together=pl.col("_together") / pl.col("_worth").sum().over("bundle_id", "currency"))
    return rows.filter(pl.col("together") < 1).select(*engine.BUNDLES)


@dataclass(frozen=True, slots=True)
class History:
    """What happened to contracts: amendments with how they are accounted for, what they did to items, estimates; and both as events of the engine.

    amendments  amendment_id, contract_id, kind, on, told, recorded_at, adds_distinct, at_standalone_price, rest_distinct, policy (what the table says), treatment, because (of an override, else null)
    """

    amendments: pl.DataFrame
    changes: pl.DataFrame
    elements: pl.DataFrame
    events: pl.DataFrame


def history(entity: Entity, which: Which, known: pl.DataFrame, alone: pl.DataFrame, *, assume: Assumed = NOTHING) -> History:
    """What happened to contracts, in the order in which it was told. Four statements."""
    asked = contracts(entity, which)
    names = {"id": "amendment_id", "effective_on": "on", "ended_before": "term_before"}
    rows = bulk.read(
        Amendment.objects.filter(contract__in=asked, is_itemised=True).order_by("id").values("contract_id", "kind", "told", "recorded_at", *names)
    ).rename(names)  # fmt: skip
    did = bulk.read(
        ItemChange.objects.filter(amendment__contract__in=asked).order_by("id").values("amendment_id", "item_id", "is_new", "until_before")
    )  # fmt: skip
    fees = known.filter(pl.col("meter_id").is_null())
    rows = rows.join(did.join(fees, on="item_id", how="semi"), on="amendment_id", how="semi", maintain_order="left")
    said = bulk.read(Treatment.objects.filter(amendment__contract__in=asked).order_by("id").values("amendment_id", "treatment", "because")).unique(
        "amendment_id", keep="last", maintain_order=True
    )  # fmt: skip
    supposed = pl.col("amendment_id").replace_strict(assume.treatments, default=None, return_dtype=pl.String)
    judged = modifications.treatments(modifications.facts(rows, did, known, alone)).rename({"treatment": "policy"})
    judged = judged.join(said, on="amendment_id", how="left", maintain_order="left")
    amended = judged.with_columns(treatment=pl.coalesce(supposed, "treatment", "policy"))
    elements = _estimates(asked, assume)
    moments = [
        amended.select("contract_id", "recorded_at", "on", "treatment", "term_before", "amendment_id", kind=pl.lit("amendment")),
        elements.select("contract_id", "recorded_at", "on", "item_id", "delta_minor", "element_id", kind=pl.lit("estimate")),
    ]
    every = pl.concat(moments, how="diagonal").sort(
        "contract_id", "recorded_at", "kind", "amendment_id", "element_id", maintain_order=True
    )
    every = every.with_columns(seq=pl.int_range(1, pl.len() + 1).over("contract_id"))
    every = every.with_columns(since=pl.when(pl.col("kind") == "estimate").then(pl.col("seq").min().over("element_id")))
    seqs = every.filter(pl.col("kind") == "amendment").select("amendment_id", "contract_id", "seq")
    changes = did.join(fees, on="item_id", how="semi").join(seqs, on="amendment_id").select(*engine.CHANGES)
    return History(amended, changes, elements, every.select(*engine.EVENTS))


def _estimates(asked: Any, assume: Assumed) -> pl.DataFrame:
    """Estimates in order: estimate_id, element_id, contract_id, item_id, what, is_paid_back, on, recorded_at, counted_minor, delta_minor (to the one before). One statement."""
    names = {
        "id": "estimate_id", "element__contract_id": "contract_id", "element__item_id": "item_id", "element__what": "what", "element__is_paid_back": "is_paid_back",
    }  # fmt: skip
    rows = bulk.read(
        Estimate.objects.filter(element__contract__in=asked).order_by("id").values("element_id", "on", "recorded_at", "counted_minor", *names)
    ).rename(names).with_columns(pl.col("item_id").cast(pl.Int64))  # fmt: skip
    newest = pl.col("estimate_id") == pl.col("estimate_id").max().over("element_id")
    supposed = pl.col("element_id").replace_strict(assume.estimates, default=None, return_dtype=pl.Int64)
    rows = rows.with_columns(counted_minor=pl.coalesce(pl.when(newest).then(supposed), "counted_minor"))
    before = pl.col("counted_minor").shift(1, fill_value=0).over("element_id")
    return rows.with_columns(delta_minor=pl.col("counted_minor") - before)


@dataclass(frozen=True, slots=True)
class Told:
    """What contracts earn, as known now. parts: of the engine, with what was used and credited; fees: its parts alone. sold: by item. bookings: parts by when they were booked."""

    items: pl.DataFrame
    prices: pl.DataFrame
    fees: pl.DataFrame
    parts: pl.DataFrame
    sold: pl.DataFrame
    bookings: pl.DataFrame
    history: History
    charged: pl.DataFrame
    credited: pl.DataFrame
    refunds: pl.DataFrame


def tell(entity: Entity, which: Which, *, through: date, assume: Assumed = NOTHING) -> Told:
    """Everything that follows from contracts, as it stands by the end of a month. A fixed number of statements, and one for each meter."""
    known, alone = items(entity, which, assume=assume), prices(entity, assume=assume)
    past = history(entity, which, known, alone, assume=assume)
    agreed = usage.fees(known.filter(pl.col("meter_id").is_null())).drop("explained")
    sold = agreed.filter(pl.col("unit_price_nano").is_not_null() | pl.col("exact").is_not_null())
    # what is sold for nothing but a variable amount of its own takes no share of the fixed price (IFRS 15.85-86)
    own = past.elements.filter(pl.col("counted_minor") > 0)["item_id"].drop_nulls().unique()
    covered = pl.col("item_id").is_in(own.implode()) & (pl.col("unit_price_nano") == 0)
    fees = sold.with_columns(pl.when(covered).then(0).otherwise(c).alias(c) for c in ("low_nano", "high_nano"))
    taken = (
        Acceptance.objects.filter(item__contract__in=contracts(entity, which)).order_by("id").values("item_id", "on", "share_ppm")
    )
    said = bulk.read(taken).with_columns(pl.col("share_ppm").cast(pl.Int64))
    deliveries = pl.concat([said, _milestones(entity, which).join(said, on="item_id", how="anti")]).join(
        fees, on="item_id", how="semi"
    )
    used = _used(entity, known, through)
    off = bills.discounts_of(contracts(entity, which))
    made = engine.obligations(
        fees,
        through=through,
        deliveries=deliveries,
        events=past.events,
        changes=past.changes,
        prices=alone,
        bundles=bundles(alone),
        discounts=off,
        used=used,
        scheduled=_scheduled(entity, which, through),
    )
    charged = charges(entity, through, which)
    credited = _credited(entity, through, charged)
    used = made.used.with_columns(amount_minor="net_minor", method=pl.lit("day")).filter(pl.col("amount_minor") != 0)
    pledged = bills.pledges(contracts(entity, which), entity=entity, as_of=through + timedelta(days=1))
    last = pl.col("end").dt.offset_by("-1d")  # what is missing of a commitment is certain on the last day of its period
    pledged = pledged.with_columns(start=last, amount_minor="net_minor", method=pl.lit("day"))
    used = pl.concat([used.select(*engine.PARTS), pledged.select(*engine.PARTS)])
    parts = pl.concat([made.parts.select(*engine.PARTS), used.select(*engine.PARTS), credited.select(*engine.PARTS)])
    bookings = pl.concat([
        made.bookings, used.with_columns(booked="start").select(*engine.PARTS, "booked"), credited.select(*engine.PARTS, "booked")
    ])  # fmt: skip
    refunds = engine.refunds(
        made.parts, past.elements.filter((pl.col("on") <= through) & pl.col("is_paid_back")), through=through
    )
    return Told(known, alone, made.parts, parts, made.sold, bookings, past, charged, credited, refunds)


def each(entity: Entity, *, through: date, assume: Assumed = NOTHING) -> Iterator[tuple[range, Told]]:
    """What all contracts earn, some thousand at a time, by their ids."""
    ends = Contract.objects.filter(entity=entity).aggregate(first=Min("id"), last=Max("id"))
    if ends["first"] is None:
        return
    for start in range(ends["first"], ends["last"] + 1, CHUNK):
        span = range(start, start + CHUNK)
        yield span, tell(entity, span, through=through, assume=assume)


def charges(entity: Entity, through: date, which: Which) -> pl.DataFrame:
    """Charges of issued documents: contract_id, item_id, invoice_id, position, issued_on, currency, start, end, net_minor, functional_minor (net). One statement."""
    stands = Charge.objects.filter(item__contract__in=contracts(entity, which), invoice__issued_on__lte=through).exclude(
        invoice__state__in=[Invoice.State.DRAFT, Invoice.State.VOID]
    )
    facts = {
        "item__contract_id": "contract_id",
        "invoice__issued_on": "issued_on",
        "invoice__currency": "currency",
        "invoice__functional_minor": "_functional",
        "invoice__total_minor": "_total",
    }
    rows = (
        bulk.read(stands.order_by("id").values("item_id", "invoice_id", "position", "start", "end", "net_minor", *facts))
        .rename(facts)
        .with_columns(pl.col("position").cast(pl.Int64))
    )
    worth = round_half_away(pl.col("net_minor").cast(EXACT) * pl.col("_functional").cast(EXACT) / pl.col("_total").cast(EXACT))
    return rows.with_columns(
        functional_minor=pl.when(pl.col("_total") == pl.col("_functional"))
        .then("net_minor")
        .when(pl.col("_total") == 0)
        .then(0)
        .otherwise(worth)
    ).drop("_functional", "_total")


def billed(charged: pl.DataFrame, credited: pl.DataFrame) -> pl.DataFrame:
    """What contracts were charged less what was credited: contract_id, billed_minor, billed_functional_minor."""
    back = credited.group_by("contract_id").agg(back=pl.col("amount_minor").sum())
    sums = charged.group_by("contract_id").agg(net=pl.col("net_minor").sum(), worth=pl.col("functional_minor").sum())
    both = sums.join(back, on="contract_id", how="left").with_columns(pl.col("back").fill_null(0))
    left = pl.col("worth").cast(EXACT) * (pl.col("net") + pl.col("back")).cast(EXACT) / pl.col("net").cast(EXACT)
    return both.select(
        "contract_id",
        billed_minor=pl.col("net") + pl.col("back"),
        billed_functional_minor=pl.when(pl.col("net") == 0).then("worth").otherwise(round_half_away(left)),
    )


# --- parts ---
def _used(entity: Entity, known: pl.DataFrame, through: date) -> pl.DataFrame:
    """What was used up to the end of the day, the running period included, as charges before discounts: `price.USED` and end. Statements: one for each meter."""
    metered = price.paid(known.filter(pl.col("meter_id").is_not_null()))
    if metered.is_empty():
        return pl.DataFrame(schema=price.USED | {"end": pl.Date})
    after = through + timedelta(days=1)
    cut = metered.with_columns(end=pl.min_horizontal("end", pl.lit(after)).fill_null(after))
    told = usage.used(cut, entity=entity, as_of=after).filter(pl.col("net_minor") != 0)
    rows = told.join(
        metered.select("item_id", "contract_id", pl.col("product_id").cast(pl.Int64), _until="end"),
        on="item_id",
        maintain_order="left",
    )
    return rows.with_columns(due=pl.min_horizontal("full_end", "_until")).select(*price.USED, "end")


def _scheduled(entity: Entity, which: Which, through: date) -> pl.DataFrame:
    """Parts of billing schedules as they are billed; milestones that are open as if they were billed next. One statement."""
    parts = schedules.parts_of(contracts(entity, which))
    next_day = pl.lit(through + timedelta(days=1))
    return parts.with_columns(bill_on=pl.col("bill_on").fill_null(next_day)).select(*price.PARTS)


def _milestones(entity: Entity, which: Which) -> pl.DataFrame:
    """Milestones of billing schedules that were accepted, as acceptances: item_id, on, share_ppm (of all milestones of the item, by cumulative rounding). One
    statement."""
    rows = bulk.read(
        SchedulePart.objects.filter(item__contract__in=contracts(entity, which), due_on__isnull=True, dropped_on__isnull=True).order_by("item_id", "accepted_on", "position").values("item_id", "amount_minor", "accepted_on")
    )  # fmt: skip
    whole = rows.with_columns(_all=pl.col("amount_minor").sum().over("item_id")).filter(pl.col("accepted_on").is_not_null())
    upto = pl.col("amount_minor").cum_sum().over("item_id")

    def share(amount: pl.Expr) -> pl.Expr:
        return round_half_away(amount.cast(EXACT) * 1_000_000 / pl.col("_all").cast(EXACT))

    return whole.select("item_id", on="accepted_on", share_ppm=share(upto) - share(upto - pl.col("amount_minor")))


def _credited(entity: Entity, through: date, charged: pl.DataFrame) -> pl.DataFrame:
    """Credit notes against invoices of contracts, as parts that take back what was sold: of each charge what was credited of its line, over the charge's days."""
    rows = charged.join(_notes(entity, through), on=["invoice_id", "position"])
    return rows.with_columns(amount_minor=-pl.col("credited_minor"), method=pl.lit("day")).select(*engine.PARTS, "booked")


def _notes(entity: Entity, through: date) -> pl.DataFrame:
    """What was credited of lines of invoices by a day: invoice_id, position, credited_minor (net), booked (the newest note). What a bill run took back to rate it
    anew is no less use, and left out. One statement."""
    rated = Charge.objects.filter(invoice_id=OuterRef("invoice_id"), position=OuterRef("position"))
    notes = (
        InvoiceLine.objects.filter(
            invoice__entity=entity,
            invoice__kind=Invoice.Kind.CREDIT_NOTE,
            invoice__corrects__isnull=False,
            invoice__issued_on__lte=through,
        )
        .exclude(invoice__state__in=[Invoice.State.DRAFT, Invoice.State.VOID])
        .exclude(Exists(rated))
    )
    sums = {"credited_minor": Sum("net_minor"), "booked": Max("invoice__issued_on")}
    rows = bulk.read(notes.order_by().values("invoice__corrects_id", "position").annotate(**sums))
    told = rows.select(
        pl.col("position", "credited_minor").cast(pl.Int64), "booked", invoice_id=pl.col("invoice__corrects_id").cast(pl.Int64)
    )
    return told.filter(pl.col("credited_minor") != 0)
