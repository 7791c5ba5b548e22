"""The bill run: what should be billed by a day against what was, written part by part, issued and posted after somebody signs.

A part is a span of payers. It is billed whole or not at all, so a run that is killed goes on where it stopped; on PostgreSQL several workers take
parts of one run. The unique key of a charge refuses whatever would be billed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db import connection
from django.db.models import Sum
from django.db.models.functions import Coalesce

from topline.billing import actions as billing
from topline.billing import taxes
from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.contracts import usage
from topline.contracts.models import BillRun, BillRunPart, Charge, Contract, Item, Parked, UsageAlert
from topline.engine import charges as engine
from topline.engine import terms
from topline.engine.documents import EXACT, round_half_away
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, DomainError, Invalid, NotFound, ensure
from topline.kernel.money import format_amount
from topline.team import actions as team
from topline.team.models import Area
from topline.timeline import actions as timeline

PART = 5_000  # payers of a part
BOUND = 5  # a contract's bill of more than so many times its largest before waits for somebody to look at it
MAX_A_DAY = 5  # documents of a contract a day, before the same
S = BillRun.State


class RunUnderWay(Conflict):
    """Another run of the company is not finished."""

    code = "run_under_way"


class RunNotDrafted(Conflict):
    """The run has parts that are not billed yet, or is final."""

    code = "run_not_drafted"


@dataclass(frozen=True)
class Bill:
    """What a run would write, or has to.

    lines   one row per charge: contract_id, item_id, the period, net_minor, sequence, days, full_days, description, quantity_micro, unit_price_nano,
            tax_category, tax_rate_ppm, ref (of its document)
    heads   one row per document: ref, kind, customer_id, currency, terms, purchase_order
    parked  one row per contract left out: contract_id, code, message, remedy
    """

    lines: pl.DataFrame
    heads: pl.DataFrame
    parked: pl.DataFrame


@action("contracts.start_run")
def start_run(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Begin the run up to a day, or go on with the one that is under way; returns its id. Raises: NotFound, RunUnderWay (another day)."""
    ensure(Entity.objects.filter(pk=entity_id).exists(), NotFound(f"There is no company {entity_id}.", field="entity_id"))
    running = BillRun.objects.select_for_update().filter(entity_id=entity_id, state=S.RUNNING).first()
    if running is not None:
        ensure(running.as_of == as_of, RunUnderWay(f"The run of {running.as_of} is not finished.", field="as_of", remedy="Let it finish first: topline bill run."))  # fmt: skip
        return running.pk
    made = BillRun.objects.create(entity_id=entity_id, as_of=as_of, started_at=clock.now(), started_by=actor.key)
    payers = bulk.read(Contract.objects.filter(entity_id=entity_id).order_by("bill_to_id").values("bill_to_id").distinct())
    spans = (
        payers.with_row_index("_n")
        .group_by(part=pl.col("_n") // PART)
        .agg(first_payer_id=pl.col("bill_to_id").min(), last_payer_id=pl.col("bill_to_id").max())
    )
    bulk.insert(BillRunPart, spans.sort("part").select("first_payer_id", "last_payer_id", run_id=pl.lit(made.pk)))
    changed("bill_run", made.pk, after={"as_of": as_of, "parts": spans.height})
    return made.pk


@action("contracts.bill_part")
def bill_part(*, actor: Actor, run_id: int) -> int | None:
    """Bill the next part of a run as drafts; returns the documents written, None when no part is left (the run is then drafted).

    Work: a fixed number of statements a part, whatever it holds. Raises: NotFound.
    """
    run = _run(run_id)
    open_parts = BillRunPart.objects.filter(run=run, is_done=False).order_by("id")
    part = open_parts.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked).first()
    if part is None:
        if run.state == S.RUNNING and not open_parts.exists():
            BillRun.objects.filter(pk=run.pk, state=S.RUNNING).update(state=S.DRAFTED, finished_at=clock.now())
            changed("bill_run", run.pk, after={"state": S.DRAFTED})
        return None
    contracts = _contracts(run.entity_id).filter(bill_to_id__gte=part.first_payer_id, bill_to_id__lte=part.last_payer_id)
    bill = compute(contracts, entity=run.entity, as_of=run.as_of, on=clock.today(run.entity.time_zone))
    written = _write(actor, run, bill)
    _park(run, bill)
    part.is_done, part.contracts, part.charges, part.documents = True, contracts.count(), bill.lines.height, written
    part.save()
    changed("bill_run_part", part.pk, after={"charges": bill.lines.height, "documents": written, "parked": bill.parked.height})
    return written


@action("contracts.sign_run")
def sign_run(*, actor: Actor, run_id: int, issue_on: date, limit: int = 2_000) -> int:
    """Issue the drafts of a run, at most `limit` at once: legal numbers, ledger, milestones; returns how many are left.

    With none left the run is final. Issuing again what is issued changes nothing. Raises: NotFound, RunNotDrafted, and what issuing refuses.
    """
    run = _run(run_id)
    ensure(run.state == S.DRAFTED, RunNotDrafted(f"The run of {run.as_of} is {run.state}.", field="run_id", remedy="Bill all its parts first." if run.state == S.RUNNING else ""))  # fmt: skip
    drafts = Invoice.objects.filter(pk__in=Charge.objects.filter(run=run).values("invoice_id"), state=Invoice.State.DRAFT)
    ids = list(drafts.order_by("id").values_list("id", flat=True)[:limit])
    if ids:
        billing.issue_invoices(actor=actor, invoice_ids=ids, issue_on=issue_on)
    left = drafts.count()
    if not left:
        run.state, run.signed_by, run.finished_at = S.FINAL, actor.key, clock.now()
        run.save()
    changed("bill_run", run.pk, after={"issued": len(ids), "left": left})
    return left


@action("contracts.release_parked")
def release_parked(*, actor: Actor, parked_id: int, because: str) -> int:
    """Say that a parked contract was looked at and may be billed: the next run leaves out the bounds for it. Returns the row's id.

    What is missing (a price, a tax rate) is not waived: it is mended. Raises: NotFound, Invalid (no reason).
    """
    ensure(bool(because.strip()), Invalid("Say why it is right.", field="because"))
    found = Parked.objects.select_for_update().filter(pk=parked_id, cleared_at__isnull=True).first()
    if found is None:
        raise NotFound(f"Nothing is parked under {parked_id}.", field="parked_id")
    found.is_released = True
    found.save()
    changed("parked", found.pk, after={"released": True, "because": because.strip()})
    return found.pk


def run(*, actor: Actor, entity_id: int, as_of: date, sign: bool = True) -> BillRun:
    """Start or go on with a run, bill every part and, if asked to, issue all drafts; each part and each batch commits by itself."""
    run_id = start_run(actor=actor, entity_id=entity_id, as_of=as_of)
    while bill_part(actor=actor, run_id=run_id) is not None:
        pass
    while sign and sign_run(actor=actor, run_id=run_id, issue_on=as_of):
        pass
    return BillRun.objects.get(pk=run_id)


def preview(*, entity: Entity, as_of: date) -> Bill:
    """What a run up to a day would write, computed by the same code and written nowhere."""
    return compute(_contracts(entity.pk), entity=entity, as_of=as_of, on=clock.today(entity.time_zone))


def compute(contracts: Any, *, entity: Entity, as_of: date, on: date) -> Bill:
    """What is missing of the charges of contracts by a day, in documents by payer, currency, terms and purchase order. Work: eight statements."""
    items = _items(contracts)
    known, bad = _priced(items)
    parked = [bad]
    fees, metered = known.filter(pl.col("meter_id").is_null()), known.filter(pl.col("meter_id").is_not_null())
    wanted, odd = _soundly(fees, lambda items: engine.desired(items, as_of=as_of))
    used, odd_usage = _soundly(metered, lambda items: usage.used(items, entity=entity, as_of=as_of))
    wanted = pl.concat([wanted, used.select(wanted.columns)])
    parked += [odd, odd_usage]
    ids = known["item_id"]
    standing = _standing(contracts).filter(pl.col("item_id").is_in(ids.implode()))
    lines = engine.missing(wanted, standing).join(known.drop("start", "end"), on="item_id", how="left", maintain_order="left")
    lines = lines.join(used.select(*engine.KEY, "used_micro", "explained"), on=engine.KEY, how="left", maintain_order="left")
    lines = lines.filter(~pl.col("contract_id").is_in(pl.concat([p["contract_id"] for p in parked]).implode()))
    lines, untaxed = _taxed(lines, entity, as_of)
    lines, beyond = _bounded(lines, standing.join(known.select("item_id", "contract_id"), on="item_id"), contracts, on)
    lines, heads = _documents(lines)
    return Bill(lines, heads, pl.concat([*parked, untaxed, beyond]).unique("contract_id", keep="first", maintain_order=True))


def running(contracts: Any, *, entity: Entity, on: date) -> pl.DataFrame:
    """What was used in the periods that run on a day, up to its end, and what that costs so far: a bill for the whole period may be another.

    returns  one row per metered item: contract_id, contract, user_id, description, currency, start, full_start, full_end, used_micro, meter_unit, net_minor, explained
    Work: three statements, and one for each meter.
    """
    known, _ = _priced(_items(contracts).filter(pl.col("meter_id").is_not_null() & (pl.col("start") <= on)))
    after = on + timedelta(days=1)
    cut = known.with_columns(end=pl.min_horizontal("end", pl.lit(after)).fill_null(after))
    told, _ = _soundly(cut, lambda items: usage.used(items, entity=entity, as_of=after))
    here = told.filter((pl.col("end") == after) & (pl.col("full_end") >= after)).select(
        "item_id", "start", "full_start", "full_end", "used_micro", "net_minor", "explained"
    )
    columns = ["item_id", "contract_id", "contract", "user_id", "description", "currency", "meter_unit"]
    return here.join(known.select(columns), on="item_id", how="left", maintain_order="left").sort("contract_id", "item_id")


@action("contracts.tell_alerts")
def tell_alerts(*, actor: Actor, entity_id: int, as_of: date) -> int:
    """Tell customer and team where an open period of use reached an amount that was asked for, once a period; returns how many.

    Work: five statements, one for each meter, and a few for each that is told.
    """
    entity = Entity.objects.get(pk=entity_id)
    asked = dict(
        Item.objects.filter(contract__entity=entity).exclude(alerts_minor=[]).values_list("id", "alerts_minor")[:100_000]
    )
    if not asked:
        return 0
    watched = Contract.objects.filter(pk__in=Item.objects.filter(pk__in=list(asked)).values("contract_id"))
    found = running(watched, entity=entity, on=as_of).filter(pl.col("item_id").is_in(list(asked)))
    known = UsageAlert.objects.filter(item_id__in=found["item_id"].to_list()).values_list(
        "item_id", "full_start", "threshold_minor"
    )
    told, count = set(known), 0
    for row in found.iter_rows(named=True):
        reached = [
            t for t in asked[row["item_id"]] if t <= row["net_minor"] and (row["item_id"], row["full_start"], t) not in told
        ]
        for threshold in reached:
            facts = {"item_id": row["item_id"], "full_start": row["full_start"], "threshold_minor": threshold}
            made = UsageAlert.objects.create(**facts, net_minor=row["net_minor"], told_on=as_of)
            changed("usage_alert", made.pk, after={"item_id": row["item_id"], "threshold_minor": threshold})
        if reached:
            _tell_reached(actor, row, max(reached), as_of)
        count += len(reached)
    return count


def _tell_reached(actor: Actor, row: dict[str, Any], threshold: int, as_of: date) -> None:
    note = f"{row['description']}: {format_amount(threshold, row['currency'])} reached"
    timeline.record_one(
        "usage_reached", subject="contract", subject_id=row["contract_id"], actor=actor, on=as_of, customer_id=row["user_id"], amount_minor=row["net_minor"], currency=row["currency"], note=note
    )  # fmt: skip
    owner = Area.objects.filter(key="billing").values_list("owner_id", flat=True).first()
    if owner is not None:
        team.add_task(
            actor=actor,
            title=f"{row['contract']}, {note}",
            assignee_id=owner,
            due_on=as_of,
            about_kind="customer",
            about_id=row["user_id"],
        )


COMING = {"customer_id": pl.Int64, "currency": pl.String, "bill_on": pl.Date, "due_on": pl.Date, "amount_minor": pl.Int64}


def coming(*, entity: Entity, as_of: date, until: date) -> pl.DataFrame:
    """What contracts will be billed for by a day beyond what was billed by `as_of`, tax included, by payer and the days on which it is billed and due.

    Fees are foreseen as they are agreed; what will be used, and contracts that may renew, are not. What is overdue for a bill is billed tomorrow; what is parked
    is left out. returns  one row per payer, currency, day billed and day due (COMING). Work: four statements, and one pass over the periods.
    """
    stuck = Parked.objects.filter(cleared_at__isnull=True).values("contract_id")
    contracts = _contracts(entity.pk).exclude(pk__in=stuck)
    known, _ = _priced(_items(contracts).filter(pl.col("meter_id").is_null()))
    if known.is_empty():
        return pl.DataFrame(schema=COMING)
    wanted, _ = _soundly(known, lambda items: engine.desired(items, as_of=until))
    standing = _standing(contracts, since=as_of).filter(pl.col("item_id").is_in(known["item_id"].implode()))
    lines = engine.missing(wanted, standing).join(known.drop("start", "end"), on="item_id", how="left", maintain_order="left")
    taxed = taxes.taxed(lines, seller=entity.country, on=as_of)
    net = pl.col("net_minor").cast(EXACT)
    due = pl.when(pl.col("in_advance")).then("start").otherwise("end")
    rows = taxed.select(
        "customer_id", "currency", "terms", amount_minor=pl.col("net_minor") + round_half_away(net * pl.col("tax_rate_ppm").cast(EXACT) / 1_000_000).cast(pl.Int64),
        bill_on=pl.max_horizontal(due, pl.lit(as_of) + pl.duration(days=1)),
    )  # fmt: skip
    billed = (
        rows.group_by("customer_id", "currency", "terms", "bill_on")
        .agg(pl.col("amount_minor").sum())
        .filter((pl.col("amount_minor") > 0) & (pl.col("bill_on") <= until))
    )
    parts = [pl.DataFrame(schema=COMING)]
    for (said,), some in billed.group_by("terms", maintain_order=True):
        numbered = some.with_row_index("id").with_columns(pl.col("id").cast(pl.Int64))
        asked = numbered.select("id", total_minor="amount_minor", issued_on="bill_on")
        owed = terms.schedule(asked, terms.parse_terms(str(said))).select("id", "due_on", "amount_minor")
        parts.append(owed.join(numbered.drop("amount_minor"), on="id", how="left").select(*COMING))
    return pl.concat(parts).sort("bill_on", "customer_id", "currency", "due_on")


# --- parts ---
PARKED = {"contract_id": pl.Int64, "code": pl.String, "message": pl.String, "remedy": pl.String}


def _contracts(entity_id: int) -> Any:
    return Contract.objects.filter(entity_id=entity_id)


def _run(run_id: int) -> BillRun:
    found = BillRun.objects.select_related("entity").filter(pk=run_id).first()
    if found is None:
        raise NotFound(f"There is no bill run {run_id}.", field="run_id")
    return found


def _items(contracts: Any) -> pl.DataFrame:
    facts = {
        "contract__number": "contract", "contract__bill_to_id": "customer_id", "contract__currency": "currency", "contract__terms": "terms", "contract__purchase_order": "purchase_order",
        "contract__customer_id": "user_id", "meter__unit": "meter_unit", "contract__bill_to__country": "buyer_country", "contract__bill_to__tax_id": "buyer_tax_id", "starts_on": "start", "ends_on": "end", "id": "item_id",
    }  # fmt: skip
    columns = [
        "contract_id",
        "description",
        "quantity_micro",
        "unit_price_nano",
        "in_advance",
        "anchor",
        "unit",
        "every",
        "day",
        "tax_class",
        "meter_id",
        "price_model",
        "minimum_minor",
        "maximum_minor",
    ]
    rows = bulk.read(Item.objects.filter(contract__in=contracts).order_by("id").values(*columns, *facts))
    replaced = pl.col("unit_price_nano").is_null() & (pl.col("end") <= pl.col("start"))  # an item without a price that got one
    return (
        rows.rename(facts)
        .filter(~replaced.fill_null(False))
        .with_columns(pl.col("every").cast(pl.Int64), pl.col("day").cast(pl.Int64))
    )


def _priced(items: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    bare = items.filter(pl.col("unit_price_nano").is_null() & (pl.col("price_model") == "per_unit"))
    told = bare.select(
        "contract_id", code=pl.lit("no_price"), message=pl.format("{} has no price.", "description"), remedy=pl.lit("Amend the contract with a price.")
    ).unique("contract_id", keep="first", maintain_order=True)  # fmt: skip
    return items.filter(~pl.col("contract_id").is_in(told["contract_id"].implode())), told


def _soundly(items: pl.DataFrame, work: Callable[[pl.DataFrame], pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
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


def _standing(contracts: Any, *, since: date | None = None) -> pl.DataFrame:
    """Per item and period what was charged and stands, and how often it was charged at all; since: as it was at the end of that day. One statement."""
    charges = Charge.objects.filter(item__contract__in=contracts)
    if since is not None:
        charges = charges.filter(run__as_of__lte=since)
    rows = bulk.read(
        charges.order_by("item_id", "full_start", "sequence").values(
            "item_id", "full_start", "full_end", "start", "end", "net_minor", "invoice__state"
        )
    )  # fmt: skip
    stands = pl.when(pl.col("invoice__state") == "void").then(0).otherwise("net_minor")
    return rows.group_by("item_id", "full_start", maintain_order=True).agg(
        pl.col("full_end").last(), pl.col("start").last(), pl.col("end").last(), net_minor=stands.sum(), charges=pl.len()
    )


def _taxed(lines: pl.DataFrame, entity: Entity, as_of: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    told = taxes.taxed(lines, seller=entity.country, on=as_of)
    bad = told.filter(pl.col("problem").is_not_null()).select(
        "contract_id", code=pl.lit("no_tax_rate"), message="problem", remedy=pl.lit("Add the rate under Invoices, Tax rates.")
    ).unique("contract_id", keep="first", maintain_order=True)  # fmt: skip
    return told.filter(~pl.col("contract_id").is_in(bad["contract_id"].implode())).drop("problem"), bad


def _bounded(lines: pl.DataFrame, standing: pl.DataFrame, contracts: Any, on: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Contracts whose bill is far beyond the largest before, or that were billed too often today, wait for somebody to look."""
    released = Parked.objects.filter(contract__in=contracts, cleared_at__isnull=True, is_released=True).values_list(
        "contract_id", flat=True
    )
    before = standing.group_by("contract_id").agg(largest=pl.col("net_minor").max())
    now = lines.group_by("contract_id").agg(
        bill=pl.col("net_minor").sum(), contract=pl.col("contract").first(), currency=pl.col("currency").first(), periods=pl.len()
    )
    far = now.join(before, on="contract_id").filter((pl.col("largest") > 0) & (pl.col("bill") > pl.col("largest") * BOUND))
    told = [far.select("contract_id", code=pl.lit("beyond_bounds"), message=pl.format(f"It would be billed more than {BOUND} times the most before ({{}} periods at once).", "periods"),
                       remedy=pl.lit("Look at its items; release it if that is right."))]  # fmt: skip
    today = bulk.read(
        Charge.objects.filter(item__contract__in=contracts, run__started_at__date=on).order_by().values("item__contract_id", "invoice_id").distinct()
    ).group_by(contract_id="item__contract_id").len().filter(pl.col("len") >= MAX_A_DAY)  # fmt: skip
    often = now.join(today, on="contract_id")
    told.append(often.select("contract_id", code=pl.lit("billed_too_often"), message=pl.lit(f"It was billed {MAX_A_DAY} times today."), remedy=pl.lit("Look at its amendments; release it if that is right.")))  # fmt: skip
    bad = (
        pl.concat(told)
        .filter(~pl.col("contract_id").is_in(list(released)))
        .unique("contract_id", keep="first", maintain_order=True)
    )
    return lines.filter(~pl.col("contract_id").is_in(bad["contract_id"].implode())), bad


def _documents(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines with the document they stand on and how they read there; one document a payer, currency, terms and purchase order."""
    key = ["customer_id", "currency", "terms", "purchase_order"]
    heads = lines.group_by(key, maintain_order=True).agg(net_minor=pl.col("net_minor").sum())
    heads = heads.filter(pl.col("net_minor") != 0).with_row_index("_n").with_columns(
        ref=pl.col("_n").cast(pl.String), kind=pl.when(pl.col("net_minor") < 0).then(pl.lit("credit_note")).otherwise(pl.lit("invoice"))
    )  # fmt: skip
    sign = pl.when(pl.col("kind") == "credit_note").then(-1).otherwise(1)
    rows = lines.join(heads.select(*key, "ref", "kind"), on=key, maintain_order="left")
    rows = rows.with_columns(quantity_micro=pl.coalesce("used_micro", "quantity_micro"))
    count = pl.format(
        "{} {}",
        (pl.col("used_micro") / engine.MICRO).round(3).cast(pl.String).str.strip_suffix(".0"),
        pl.col("meter_unit").fill_null(""),
    )
    used = pl.when(pl.col("used_micro").is_not_null()).then(pl.format(": {}", count.str.strip_chars())).otherwise(pl.lit(""))
    whole = round_half_away(
        pl.col("quantity_micro").cast(EXACT) / engine.MICRO * pl.col("unit_price_nano").cast(EXACT) / engine.NANO
    )
    plain = (whole == pl.col("net_minor")) & (pl.col("kind") == "invoice")
    until = pl.col("end").dt.offset_by("-1d")
    span = pl.when(until > pl.col("start")).then(pl.format("{} to {}", "start", until)).otherwise(pl.col("start").cast(pl.String))
    back = (
        pl.when(pl.col("net_minor") < 0)
        .then(pl.lit(", given back"))
        .when(pl.col("sequence") > 0)
        .then(pl.lit(", corrected"))
        .otherwise(pl.lit(""))
    )
    shown = rows.with_columns(
        position=pl.int_range(1, pl.len() + 1).over("ref"), text=pl.format("{}, {}{}{}", pl.col("description").str.slice(0, 200), span, used, back),
        line_quantity=pl.when(plain).then("quantity_micro").otherwise(engine.MICRO), line_price=pl.when(plain).then("unit_price_nano").otherwise(pl.col("net_minor") * sign * engine.NANO),
    )  # fmt: skip
    return shown, heads.drop("_n", "net_minor")


def _write(actor: Actor, run: BillRun, bill: Bill) -> int:
    if bill.heads.is_empty():
        return 0
    lines = bill.lines.select(
        "ref",
        "position",
        "tax_category",
        "tax_rate_ppm",
        description="text",
        quantity_micro="line_quantity",
        unit_price_nano="line_price",
    )
    made = billing.draft_invoices(actor=actor, entity_id=run.entity_id, invoices=bill.heads, lines=lines).select(
        "ref", "invoice_id"
    )
    columns = [
        "item_id",
        "full_start",
        "full_end",
        "sequence",
        "start",
        "end",
        "days",
        "full_days",
        "net_minor",
        "invoice_id",
        "position",
    ]
    rows = bill.lines.join(made, on="ref", maintain_order="left").with_columns(pl.col("explained").fill_null("[]"))
    written = bulk.insert(Charge, rows.select(*columns, "explained", quantity_micro="used_micro", run_id=pl.lit(run.pk)))
    changed_many("charge", written["id"])
    return made.height


def _park(run: BillRun, bill: Bill) -> None:
    """Note what was left out, once for each contract; a contract that was billed is cleared."""
    standing = {
        p.contract_id: p
        for p in Parked.objects.filter(contract_id__in=bill.parked["contract_id"].to_list(), cleared_at__isnull=True)
    }
    Parked.objects.bulk_create(
        [Parked(**row, since=run.as_of, run=run) for row in bill.parked.to_dicts() if row["contract_id"] not in standing]
    )
    billed = bill.lines["contract_id"].unique().to_list()
    Parked.objects.filter(contract_id__in=billed, cleared_at__isnull=True).update(cleared_at=clock.now())


def unbilled(entity_id: int) -> dict[str, int]:
    """What stands in drafts of runs, by currency in minor units."""
    drafts = Invoice.objects.filter(entity_id=entity_id, state=Invoice.State.DRAFT, pk__in=Charge.objects.values("invoice_id"))
    return dict(drafts.order_by().values_list("currency").annotate(sum=Coalesce(Sum("net_minor"), 0)))
