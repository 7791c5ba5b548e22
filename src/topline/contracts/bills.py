"""What contracts should be billed for by a day and were not: what stands against what is wanted, taxed, bounded, and put on documents.

A run writes it, a preview shows it; both compute it here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
from django.db import transaction
from django.db.models import Q

from topline.billing import taxes
from topline.books.models import Entity
from topline.contracts import rerating, schedules, usage
from topline.contracts.models import Charge, Contract, Discount, Item, Parked
from topline.contracts.pricing import BY_UNIT_PRICE, COMMITMENT
from topline.engine import charges as engine
from topline.engine.documents import round_half_away
from topline.engine.terms import UnknownTerms, parse_terms
from topline.kernel import bulk, clock
from topline.kernel.database import one_of
from topline.kernel.errors import DomainError, Invalid, ensure

BOUND = 5  # a contract's bill of more than so many times its largest before waits for somebody to look at it
MAX_A_DAY = 5  # documents of a contract a day, before the same
PARKED = {"contract_id": pl.Int64, "code": pl.String, "message": pl.String, "remedy": pl.String}


@dataclass(frozen=True)
class Bill:
    """What a run would write, or has to.

    lines   one row per charge: contract_id, item_id, the period, net_minor, sequence, days, full_days, description, quantity_micro, unit_price_nano,
            tax_category, tax_rate_ppm, ref (of its document), line_credits (units of a corrected line that are taken back, else null),
            is_again (something of the period was billed before and stands), stood_end (the end of the days that were billed of it, else null)
    heads   one row per document: ref, kind, customer_id, currency, terms, purchase_order, corrects_id (of a credit note that takes back late use, else null)
    parked  one row per contract left out: contract_id, code, message, remedy
    known_parked  contracts that were parked before
    contracts     how many were looked at
    """

    lines: pl.DataFrame
    heads: pl.DataFrame
    parked: pl.DataFrame
    known_parked: frozenset[int]
    contracts: int


def preview(*, entity: Entity, as_of: date) -> Bill:
    """What a run up to a day would write, computed by the same code and written nowhere."""
    return compute(Contract.objects.filter(entity=entity), entity=entity, as_of=as_of, on=clock.today(entity.time_zone))


def tried(change: Callable[[], int], *, as_of: date, of: int | None = None) -> Bill:
    """What a contract would be billed up to a day after a change: it is made, billed and taken back again; with it the contract that takes its items over.

    change  makes it and returns the contract's id; what it raises is raised
    of      the contract, where it is there before: what will be billed of days ahead without the change is left out
    Raises: Invalid, for a day before the contract begins.
    """
    with transaction.atomic():
        before = transaction.savepoint()
        already = _ahead_of_now(of, as_of)
        contract = Contract.objects.select_related("entity").get(pk=change())
        ensure(as_of >= contract.starts_on, Invalid(f"{contract.number} begins on {contract.starts_on}; nothing is billed up to {as_of}.", field="as_of", remedy="Ask for a later day."))  # fmt: skip
        takers = Item.objects.filter(replaces__contract_id=contract.pk).exclude(contract_id=contract.pk).values("contract_id")
        both = Contract.objects.filter(Q(pk=contract.pk) | Q(pk__in=takers))
        found = compute(both, entity=contract.entity, as_of=as_of, on=as_of, already=already)
        transaction.savepoint_rollback(before)
    return found


def compute(contracts: Any, *, entity: Entity, as_of: date, on: date, already: pl.DataFrame | None = None, is_bounded: bool = True) -> Bill:  # fmt: skip
    """What is missing of the charges of contracts by a day, in documents by payer, currency, terms and purchase order. Work: ten statements.

    already     lines that are looked away from: item_id, full_start, net_minor
    is_bounded  whether a bill far beyond those before is left out
    """
    items = items_of(contracts)
    known, bad = priced(items)
    parked = [bad]
    parts = schedules.parts_of(contracts)
    wanted, odd = wanted_of(known, contracts, parts, entity=entity, as_of=as_of)
    parked.append(odd)
    ids = known["item_id"]
    standing = standing_of(contracts, on=on).filter(pl.col("item_id").is_in(ids.implode()))
    wanted = reached(wanted, standing, known)
    ahead = _ahead(wanted, standing, known, contracts, parts, entity=entity, as_of=as_of)
    lines = engine.missing(wanted, standing.join(ahead, on=engine.KEY, how="anti", maintain_order="left")).join(
        known.drop("start", "end", "tiers"), on="item_id", how="left", maintain_order="left"
    )
    if already is not None:
        lines = lines.join(already, on=[*engine.KEY, "net_minor"], how="anti", maintain_order="left")
    lines = lines.filter(pl.col("held_until").is_null() | (pl.col("held_until") <= as_of))
    lines = lines.join(
        wanted.select(*engine.KEY, "used_micro", "explained", "less"), on=engine.KEY, how="left", maintain_order="left"
    )
    lines = _within_what_is_left(lines, standing)
    lines = lines.join(schedules.named(parts), on=engine.KEY, how="left", maintain_order="left")
    parked.append(_too_large(lines))
    lines = lines.filter(~pl.col("contract_id").is_in(pl.concat([p["contract_id"] for p in parked]).implode()))
    lines, untaxed = _taxed(lines, entity, as_of)
    stuck = dict(Parked.objects.filter(contract__in=contracts, cleared_at__isnull=True).values_list("contract_id", "is_released"))
    released = [contract_id for contract_id, is_released in stuck.items() if is_released]
    before = standing.join(known.select("item_id", "contract_id"), on="item_id")
    lines, beyond = _bounded(lines, before, released, on) if is_bounded else (lines, untaxed.clear())
    lines, heads = _documents(rerating.named(rerating.split(lines, entity=entity)))
    left_out = pl.concat([*parked, untaxed, beyond]).unique("contract_id", keep="first", maintain_order=True)
    return Bill(lines, heads, left_out, frozenset(stuck), items["contract_id"].n_unique())


def items_of(contracts: Any) -> pl.DataFrame:
    facts = {
        "contract__number": "contract", "contract__bill_to_id": "customer_id", "contract__currency": "currency", "contract__terms": "terms", "contract__purchase_order": "purchase_order", "contract__late_usage": "late_usage",
        "contract__customer_id": "user_id", "meter__unit": "meter_unit", "meter__rounding": "rounding", "meter__round_decimals": "round_decimals", "contract__bill_to__country": "buyer_country", "contract__bill_to__tax_id": "buyer_tax_id", "contract__month_days": "month_days", "starts_on": "start", "ends_on": "end", "id": "item_id",
    }  # fmt: skip
    columns = [
        "contract_id",
        "description",
        "in_advance",
        "anchor",
        "unit",
        "every",
        "day",
        "tax_class",
        "meter_id",
        "product_id",
        "free_until",
        "held_until",
        "replaces_id",
        "bill_at_minor",
        "bill_every_minor",
        "by_peak",
        "pool",
        *usage.COLUMNS,
    ]
    rows = bulk.read(Item.objects.filter(contract__in=contracts).order_by("id").values(*columns, *facts))
    bare = pl.col("unit_price_nano").is_null() & pl.col("price_model").is_in(BY_UNIT_PRICE)
    replaced = bare & (pl.col("end") <= pl.col("start"))  # an item without a price that got one
    return (
        rows.rename(facts)
        .filter(~replaced.fill_null(False))
        .with_columns(
            pl.col("every", "day", "month_days", "replaces_id").cast(pl.Int64), start=pl.max_horizontal("start", "free_until")
        )
    )


def wanted_of(
    items: pl.DataFrame, contracts: Any, parts: pl.DataFrame, *, entity: Entity, as_of: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Every charge that should exist by a day: of `engine.desired`, with used_micro i64 (null for fees), explained (JSON, null: quantity x price), is_open (of a period that
    is not over, see `reached`) and less (the names of discounts, already taken off); and the contracts of which no charge can follow (PARKED).

    items  of `items_of`, priced; those of other contracts than these have no discounts; parts: of the schedules of these items and others (see `schedules.parts_of`)
    """
    wanted, odd = _undiscounted(items, parts, entity, as_of)
    return less_discounts(wanted, items, contracts), odd


def less_discounts(wanted: pl.DataFrame, items: pl.DataFrame, contracts: Any) -> pl.DataFrame:
    """Charges less the discounts of their contracts; what was taken is explained, and named in less. One statement."""
    discounts = discounts_of(contracts)
    if discounts.is_empty() or wanted.is_empty():
        return wanted.with_columns(less=pl.lit(None, dtype=pl.String))
    pledged = items.filter(
        pl.col("price_model") == COMMITMENT
    )  # a discount neither counts towards a commitment nor lowers what is missing of it
    aside = wanted.join(pledged, on="item_id", how="semi").with_columns(less=pl.lit(None, dtype=pl.String))
    wanted = wanted.join(pledged, on="item_id", how="anti", maintain_order="left")
    left, taken = _taken(wanted, items, discounts)
    step = pl.struct(off="name", minor=-pl.col("taken_minor").cast(pl.Float64)).struct.json_encode()
    told = taken.group_by(engine.KEY, maintain_order=True).agg(less=pl.col("name").str.join(", "), _steps=step.str.join(","))
    rows = left.join(told, on=engine.KEY, how="left", maintain_order="left")
    both = usage.with_step(pl.col("_steps"))
    lowered = rows.with_columns(explained=pl.when(pl.col("_steps").is_null()).then("explained").otherwise(both))
    return pl.concat([lowered.select(*wanted.columns, "less"), aside.select(*wanted.columns, "less")])


def reached(wanted: pl.DataFrame, standing: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Charges, those of open periods only as far as they passed an amount at which they are billed (see `engine.reached`)."""
    if not wanted["is_open"].any():
        return wanted
    asked = items.select(
        "item_id", bill_at=pl.col("bill_at_minor").str.json_decode(pl.List(pl.Int64)), bill_every="bill_every_minor"
    )
    return engine.reached(wanted, standing, asked)


def pledges(contracts: Any, *, entity: Entity, as_of: date) -> pl.DataFrame:
    """What is missing of commitments whose periods are over by a day, and beyond them: item_id, contract_id, start, end, net_minor. One statement where there are none."""
    columns = ("item_id", "contract_id", "start", "end", "net_minor")
    asked = Contract.objects.filter(
        pk__in=Item.objects.filter(contract__in=contracts, price_model=COMMITMENT).values("contract_id")
    )
    known, _ = priced(items_of(asked))
    pledged = known.filter(pl.col("price_model") == COMMITMENT)
    if pledged.is_empty():
        return known.with_columns(net_minor=pl.lit(0, dtype=pl.Int64)).select(columns).clear()
    wanted, _ = _undiscounted(known, schedules.parts_of(asked), entity, as_of)
    return wanted.join(pledged.select("item_id", "contract_id"), on="item_id").select(columns)


def discounts_of(contracts: Any) -> pl.DataFrame:
    """The discounts of contracts in the order in which they are taken, as the engine reads them. One statement, and one more where one is for an item."""
    facts = {"id": "discount_id", "item_id": "_item_id", "product_id": "only_product_id", "starts_on": "anchor"}
    columns = ("contract_id", "name", "share_ppm", "amount_minor", "unit", "every", "periods", "ended_on")
    found = bulk.read(Discount.objects.filter(contract__in=contracts).order_by("id").values(*columns, *facts)).rename(facts)
    told = found.join(_followed(contracts, found["_item_id"].drop_nulls()), on="_item_id", how="left", maintain_order="left")
    return told.select(pl.col(c).cast(t) for c, t in engine.DISCOUNTS.items())


def fees_of(items: pl.DataFrame, parts: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """The charges of fee items that should exist by a day, by their periods or by their schedules, as `wanted_of` has them."""
    items = items.filter(pl.col("price_model") != COMMITMENT)
    modelled = usage.fees(items.filter(~pl.col("item_id").is_in(parts["item_id"].unique().implode())))
    explained = modelled.select("item_id", "explained")
    periods = engine.desired(modelled, as_of=as_of)
    scheduled = engine.scheduled(parts.filter(pl.col("item_id").is_in(items["item_id"].implode())), as_of=as_of)
    wanted = pl.concat([periods, scheduled.select(periods.columns)]).with_columns(used_micro=pl.lit(None, dtype=pl.Int64))
    return wanted.join(explained, on="item_id", how="left", maintain_order="left")


def priced(items: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items of contracts that say what they cost and when that is due, and the other contracts (PARKED)."""
    bare = items.filter(pl.col("unit_price_nano").is_null() & pl.col("price_model").is_in(BY_UNIT_PRICE))
    told = bare.select(
        "contract_id", code=pl.lit("no_price"), message=pl.format("{} has no price.", "description"), remedy=pl.lit("Amend the contract with a price.")
    )  # fmt: skip
    odd = items.filter(pl.col("terms").is_in([text for text in items["terms"].unique().to_list() if not _is_read(text)]))
    late = odd.select(
        "contract_id", code=pl.lit("unknown_terms"), message=pl.format("Its payment terms {} cannot be read.", "terms"), remedy=pl.lit("Change them on the contract: net 30, 2/10 net 30, net 30 eom or 50% 0, 50% 30.")
    )  # fmt: skip
    told = pl.concat([told, late]).unique("contract_id", keep="first", maintain_order=True)
    return items.filter(~pl.col("contract_id").is_in(told["contract_id"].implode())), told


def _is_read(text: str) -> bool:
    try:
        return not text or bool(parse_terms(text))
    except UnknownTerms:
        return False


def soundly(items: pl.DataFrame, work: Callable[[pl.DataFrame], pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What work makes of all items; where it refuses, the contracts at fault are found one by one and told, and the others are billed."""
    try:
        return work(items), pl.DataFrame(schema=PARKED)
    except DomainError:
        good, odd = [work(items.clear())], []
    for (contract_id,), part in items.group_by("contract_id", maintain_order=True):
        try:
            good.append(work(part))
        except DomainError as error:
            odd.append(
                {"contract_id": contract_id, "code": error.code, "message": error.message[:300], "remedy": error.remedy[:300]}
            )
    return pl.concat(good), pl.DataFrame(odd, schema=PARKED)


def standing_of(contracts: Any, *, on: date, since: date | None = None) -> pl.DataFrame:
    """Per item and period what was charged and stands, how often it was charged at all, and on which documents on a day (today); since: as it was at
    the end of that day. One statement."""
    charges = Charge.objects.filter(item__contract__in=contracts)
    if since is not None:
        by_then = datetime.combine(since + timedelta(days=1), time(), UTC)  # a run of that day may bill further ahead
        charges = charges.filter(Q(run__as_of__lte=since) | Q(run__started_at__lt=by_then))
    rows = bulk.read(
        charges.order_by("item_id", "full_start", "sequence").values(
            "item_id", "full_start", "full_end", "start", "end", "net_minor", "invoice__state", "invoice_id", "run__started_at"
        )
    )  # fmt: skip
    stands = pl.when(pl.col("invoice__state") == "void").then(0).otherwise("net_minor")
    return rows.group_by("item_id", "full_start", maintain_order=True).agg(
        pl.col("full_end").last(),
        pl.col("start").last(),
        pl.col("end").last(),
        net_minor=stands.sum(),
        charges=pl.len(),
        today=pl.col("invoice_id").filter(pl.col("run__started_at").dt.date() == on),
    )


# --- parts ---
def _ahead_of_now(contract_id: int | None, as_of: date) -> pl.DataFrame | None:
    """What will be billed of a contract up to a day that has not come. None: the day has come, or there is no contract."""
    found = Contract.objects.select_related("entity").filter(pk=contract_id).first() if contract_id is not None else None
    if found is None or as_of <= clock.today(found.entity.time_zone):
        return None
    bill = compute(Contract.objects.filter(pk=found.pk), entity=found.entity, as_of=as_of, on=as_of, is_bounded=False)
    return bill.lines.select(*engine.KEY, "net_minor")


def _ahead(
    wanted: pl.DataFrame, standing: pl.DataFrame, items: pl.DataFrame, contracts: Any, parts: pl.DataFrame, *, entity: Entity, as_of: date
) -> pl.DataFrame:  # fmt: skip
    """Periods that a run up to a later day billed, and that are still agreed: they are none of a run up to this day, which gives nothing of them back. Columns `engine.KEY`.

    Work: none where no run went further; else a few statements.
    """
    stands = standing.filter(pl.col("net_minor") != 0).join(wanted, on=engine.KEY, how="anti")
    later = stands.join(items.select("item_id", "contract_id", "in_advance"), on="item_id").filter(as_of < engine.DUE)
    if later.is_empty():
        return later.select(engine.KEY)
    theirs = pl.col("contract_id").is_in(later["contract_id"].unique().implode())
    furthest = later.select(engine.DUE.max()).item()
    agreed, _ = wanted_of(items.filter(theirs), contracts, parts, entity=entity, as_of=furthest)
    return later.join(agreed, on=engine.KEY, how="semi").select(engine.KEY)


def _followed(contracts: Any, items: pl.Series) -> pl.DataFrame:
    """Items with what took their place since, so that a discount outlives a change of quantity, price or plan: _item_id, only_item_ids. Work: O(changes)."""
    chains = {pk: [pk] for pk in items.unique().to_list()}
    stands_for = {pk: [pk] for pk in chains}
    replaced = Item.objects.filter(contract__in=contracts, replaces__isnull=False).order_by("id").values_list("id", "replaces_id") if chains else []  # fmt: skip
    for pk, before in replaced:  # what replaces is younger, so one pass follows every chain
        stands_for[pk] = [*stands_for.get(pk, []), *stands_for.get(before, [])]
        for first in stands_for.get(before, []):
            chains[first].append(pk)
    return pl.DataFrame(
        {"_item_id": list(chains), "only_item_ids": list(chains.values())},
        schema={"_item_id": pl.Int64, "only_item_ids": pl.List(pl.Int64)},
    )


def _within_what_is_left(lines: pl.DataFrame, standing: pl.DataFrame) -> pl.DataFrame:
    """Lines, of which none gives back more of a period than credit notes by hand left of it. Work: none where nothing is given back; else one statement."""
    back = lines.filter(pl.col("net_minor") < 0)["item_id"].unique()
    if back.is_empty():
        return lines
    is_asked, given = one_of("c.item_id", back.to_list())
    credited = bulk.query(
        "SELECT c.item_id, c.full_start, SUM(l.net_minor) AS credited FROM contracts_charge c JOIN billing_invoice n ON n.corrects_id = c.invoice_id"
        " JOIN billing_invoiceline l ON l.invoice_id = n.id AND l.position = c.position"
        f" WHERE n.kind = 'credit_note' AND n.state <> 'void' AND {is_asked} AND NOT EXISTS (SELECT 1 FROM contracts_charge r WHERE r.invoice_id = n.id)"
        " GROUP BY c.item_id, c.full_start",
        given,
        {"item_id": pl.Int64(), "full_start": pl.Date(), "credited": pl.Int64()},
    )
    stood = credited.join(standing.select(*engine.KEY, _stood="net_minor"), on=engine.KEY)
    rows = lines.join(stood, on=engine.KEY, how="left", maintain_order="left")
    least = -(pl.col("_stood") - pl.col("credited")).clip(0)
    is_less = (pl.col("net_minor") < least).fill_null(value=False)
    told = usage.with_step(pl.struct("credited").struct.json_encode())
    capped = rows.with_columns(
        net_minor=pl.when(is_less).then(least).otherwise("net_minor"),
        explained=pl.when(is_less).then(told).otherwise("explained"),
    )
    return capped.filter(pl.col("net_minor") != 0).drop("credited", "_stood")


def _undiscounted(items: pl.DataFrame, parts: pl.DataFrame, entity: Entity, as_of: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    fees, metered = items.filter(pl.col("meter_id").is_null()), items.filter(pl.col("meter_id").is_not_null())
    agreed, odd = soundly(fees, lambda rows: fees_of(rows, parts, as_of=as_of))
    used, odd_usage = soundly(metered, lambda rows: usage.used(rows, entity=entity, as_of=as_of))
    told = [frame.select(agreed.columns).with_columns(is_open=pl.lit(value=False)) for frame in (agreed, used)]
    early = metered.filter((pl.col("bill_at_minor") != "[]") | pl.col("bill_every_minor").is_not_null())
    if early.height:
        so_far, _ = soundly(early, lambda rows: usage.so_far(rows, entity=entity, as_of=as_of))
        told.append(so_far.select(agreed.columns).with_columns(is_open=pl.lit(value=True)))
    wanted = pl.concat(told)
    pledged = items.filter(pl.col("price_model") == COMMITMENT)
    if pledged.height:
        wanted = pl.concat([wanted, _pledged(pledged, wanted.filter(~pl.col("is_open")), items, as_of).select(wanted.columns)])
    return wanted, pl.concat([odd, odd_usage])


def _pledged(pledged: pl.DataFrame, wanted: pl.DataFrame, items: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """What is missing of commitments, and beyond them, of the charges of their contracts."""
    counted = wanted.join(items.select("item_id", "contract_id", "pool"), on="item_id", maintain_order="left")
    rows = engine.committed(pledged, counted, as_of=as_of)
    side = pl.when(pl.col("net_minor") > 0).then(pl.lit("least")).otherwise(pl.lit("most"))
    amounts = {name: pl.col(f"{name}_minor").cast(pl.Float64) for name in ("used", "bound", "net")}
    step = pl.struct(pledged=side, used_minor=amounts["used"], bound_minor=amounts["bound"], minor=amounts["net"])
    return rows.with_columns(
        used_micro=pl.lit(None, dtype=pl.Int64),
        explained=pl.format("[{}]", step.struct.json_encode()),
        is_open=pl.lit(value=False),
    )


def _taken(wanted: pl.DataFrame, items: pl.DataFrame, discounts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    ours = wanted.join(items.select("item_id", "contract_id", "product_id", "in_advance"), on="item_id", maintain_order="left")
    return engine.discounted(ours.with_columns(due=engine.DUE), discounts)


def _too_large(lines: pl.DataFrame) -> pl.DataFrame:
    """Contracts of which a charge is too large to be added up with others (PARKED)."""
    is_far = lines["net_minor"].abs() > engine.MOST_MINOR
    far = lines.filter(is_far) if is_far.any() else lines.clear()
    return far.select(
        "contract_id", code=pl.lit("amount_too_large"), message=pl.lit("An amount is too large to book."), remedy=pl.lit("Check quantity and price.")
    ).unique("contract_id", keep="first", maintain_order=True)  # fmt: skip


def _taxed(lines: pl.DataFrame, entity: Entity, as_of: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    told = taxes.taxed(lines, seller=entity.country, on=as_of)
    bad = told.filter(pl.col("problem").is_not_null()).select(
        "contract_id", code=pl.lit("no_tax_rate"), message="problem", remedy=pl.lit("Add the rate under Bill runs, Tax rates.")
    ).unique("contract_id", keep="first", maintain_order=True)  # fmt: skip
    return told.filter(~pl.col("contract_id").is_in(bad["contract_id"].implode())).drop("problem"), bad


def _bounded(lines: pl.DataFrame, standing: pl.DataFrame, released: list[int], on: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Contracts whose bill is far beyond the largest before, or that were billed too often today, wait for somebody to look."""
    before = standing.group_by("contract_id").agg(largest=pl.col("net_minor").max())
    free = pl.col("part").is_null() & (pl.col("price_model") != COMMITMENT)  # amounts that were agreed one by one
    now = lines.group_by("contract_id").agg(
        bill=pl.col("net_minor").filter(free).sum(),
        contract=pl.col("contract").first(),
        currency=pl.col("currency").first(),
        periods=pl.len(),
    )
    far = now.join(before, on="contract_id").filter((pl.col("largest") > 0) & (pl.col("bill") > pl.col("largest") * BOUND))
    told = [far.select("contract_id", code=pl.lit("beyond_bounds"), message=pl.format(f"It would be billed more than {BOUND} times the most before ({{}} at once).", pl.format("{} {}", "periods", pl.when(pl.col("periods") == 1).then(pl.lit("period")).otherwise(pl.lit("periods")))),
                       remedy=pl.lit("Look at its items; release it if that is right."))]  # fmt: skip
    documents = standing.select("contract_id", "today").explode("today").drop_nulls().unique()
    today = documents.group_by("contract_id").len().filter(pl.col("len") >= MAX_A_DAY)
    often = now.join(today, on="contract_id")
    told.append(often.select("contract_id", code=pl.lit("billed_too_often"), message=pl.lit(f"It was billed {MAX_A_DAY} times today."), remedy=pl.lit("Look at its amendments; release it if that is right.")))  # fmt: skip
    bad = pl.concat(told).filter(~pl.col("contract_id").is_in(released)).unique("contract_id", keep="first", maintain_order=True)
    return lines.filter(~pl.col("contract_id").is_in(bad["contract_id"].implode())), bad


def _days_of() -> tuple[pl.Expr, pl.Expr]:
    """The days of a line, first and after the last: what is billed, or of what is given back the days that are due no longer."""
    is_shorter = (pl.col("net_minor") < 0) & (pl.col("end") < pl.col("stood_end"))
    return pl.when(is_shorter).then("end").otherwise("start"), pl.when(is_shorter).then("stood_end").otherwise("end")


def _documents(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines with the document they stand on and how they read there; one document a payer, currency, terms and purchase order, and a credit note a document of
    which use is taken back."""
    key = ["customer_id", "currency", "terms", "purchase_order", "corrects_id"]
    heads = lines.group_by(key, maintain_order=True).agg(net_minor=pl.col("net_minor").sum())
    heads = heads.filter(pl.col("net_minor") != 0).with_row_index("_n").with_columns(
        ref=pl.col("_n").cast(pl.String), kind=pl.when(pl.col("net_minor") < 0).then(pl.lit("credit_note")).otherwise(pl.lit("invoice"))
    )  # fmt: skip
    sign = pl.when(pl.col("kind") == "credit_note").then(-1).otherwise(1)
    rows = lines.join(heads.select(*key, "ref", "kind"), on=key, maintain_order="left", nulls_equal=True)
    rows = rows.with_columns(quantity_micro=pl.coalesce("used_micro", "quantity_micro"))
    count = pl.format(
        "{} {}",
        (pl.col("used_micro") / engine.MICRO).round(3).cast(pl.String).str.strip_suffix(".0"),
        pl.col("meter_unit").fill_null(""),
    )
    used = pl.when(pl.col("used_micro").is_not_null()).then(pl.format(": {}", count.str.strip_chars())).otherwise(pl.lit(""))
    whole = round_half_away(engine.by_quantity())
    plain = (whole == pl.col("net_minor")) & (pl.col("kind") == "invoice") & pl.col("unit_price_nano").is_not_null()
    first, end = _days_of()
    rows = rows.with_columns(_first=first, _last=end - pl.duration(days=1))
    span = pl.when(pl.col("_last") > pl.col("_first")).then(pl.format("{} to {}", "_first", "_last")).otherwise(pl.col("_first").cast(pl.String))  # fmt: skip
    beyond = (pl.col("price_model") == COMMITMENT) & (pl.col("net_minor") < 0) & (pl.col("sequence") == 0)
    in_parts = pl.col("is_again") & ((pl.col("bill_at_minor") != "[]") | pl.col("bill_every_minor").is_not_null())
    back = (
        pl.when(beyond)
        .then(pl.lit(", beyond the most that was agreed"))
        .when(pl.col("net_minor") < 0)
        .then(pl.lit(", given back"))
        .when(in_parts)
        .then(pl.lit(", less what was billed before"))
        .when("is_again")
        .then(pl.lit(", corrected"))
        .otherwise(pl.lit(""))
    )
    less = (
        pl.when(pl.col("less").is_not_null()).then(pl.format(", less {}", pl.col("less").str.slice(0, 60))).otherwise(pl.lit(""))
    )
    text = pl.format("{}{}, {}{}{}{}", pl.col("description").str.slice(0, 120), pl.concat_str(pl.lit(": "), pl.col("part").str.slice(0, 90)).fill_null(""), span, used, less, back)  # fmt: skip
    quantity = pl.when(plain).then("quantity_micro").otherwise(engine.MICRO)
    price = pl.when(plain).then("unit_price_nano").otherwise(pl.col("net_minor") * sign * engine.NANO)
    shown = rows.with_columns(
        position=pl.coalesce("credit_position", pl.int_range(1, pl.len() + 1).over("ref")), text=pl.coalesce("credit_text", text),
        line_quantity=pl.coalesce("credit_quantity", quantity), line_price=pl.coalesce("credit_price", price), line_credits="credit_quantity",
    )  # fmt: skip
    return shown.drop("credit_position", "credit_text", "credit_quantity", "credit_price", "_first", "_last"), heads.drop(
        "_n", "net_minor"
    )
