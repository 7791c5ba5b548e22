"""Reads of recognition: what contracts have earned and been billed, by month and in balance; the books' word; what is still to come."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Max, Sum

from topline.billing.models import Invoice
from topline.books import rates
from topline.books.models import Account, Entity, Transfer
from topline.contracts import usage
from topline.contracts.models import Amendment, Charge, Contract, Item
from topline.engine import periods
from topline.engine.documents import EXACT, largest_remainder, round_half_away
from topline.engine.recognition import contracts as engine
from topline.engine.recognition import schedule
from topline.kernel import bulk
from topline.kernel.errors import Invalid, ensure
from topline.recognition.models import Acceptance, Close, ContractBalance, ContractCost, Rule

LIABILITY, ASSET, COSTS = "contract_liability", "contract_asset", "contract_costs"
RESHAPING = ("add", "remove", "quantity", "price", "terminate", "pause")  # amendments after which a price is no longer shared
BALANCE = [
    "contract_id",
    "customer_id",
    "currency",
    "billed_minor",
    "earned_minor",
    "liability_minor",
    "liability_functional_minor",
    "asset_minor",
    "asset_functional_minor",
]


def month_end(day: date) -> date:
    """The last day of the month that holds a day."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def month_before(day: date) -> date:
    """The last day of the month before the one that holds a day."""
    return day.replace(day=1) - timedelta(days=1)


def ensure_month_end(through: date) -> date:
    """The day, where it ends a month. Raises: Invalid."""
    ensure(
        through == month_end(through),
        Invalid(f"{through} does not end a month.", field="through", remedy=f"Use {month_end(through)}."),
    )
    return through


def balances(entity: Entity, *, through: date) -> pl.DataFrame:
    """What each contract was billed and has earned by the end of a month, and what that leaves: one row per contract with the columns of BALANCE.

    A liability stands at the rates of the invoices that made it, an asset at the rate of the day. Work: nine statements, one for each meter.
    """
    ensure_month_end(through)
    charged = _charges(entity, through, None)
    credited = _credited(entity, through, charged)
    found = _parts(entity, _items(entity, None), through, credited)
    return _balances(entity, through, None, engine.months(found), charged, credited)


def in_the_books(entity_id: int, *, through: date) -> pl.DataFrame:
    """What the ledger holds at the end of a day: role, customer_id, currency, amount_minor, functional_minor (a liability counts as positive). What
    was booked by hand without a customer, such as an opening balance, is not in it. Three statements."""
    signs = {LIABILITY: -1, ASSET: 1, COSTS: 1}
    accounts = dict(Account.objects.filter(entity_id=entity_id, role__in=signs).values_list("id", "role"))
    found = [
        pl.DataFrame(
            schema={
                "role": pl.String,
                "customer_id": pl.Int64,
                "currency": pl.String,
                "amount_minor": pl.Int64,
                "functional_minor": pl.Int64,
            }
        )
    ]
    moved = Transfer.objects.filter(entry__entity_id=entity_id, entry__effective_on__lte=through)
    for side, sign in (("debit_account_id", 1), ("credit_account_id", -1)):
        rows = bulk.read(
            moved.filter(**{f"{side}__in": list(accounts)})
            .order_by()
            .values(side, "customer_id", "currency")
            .annotate(a=Sum("amount_minor"), f=Sum("functional_minor"))
        )
        role = pl.col(side).replace_strict(accounts, return_dtype=pl.String)
        way = role.replace_strict(signs, return_dtype=pl.Int64) * sign
        found.append(
            rows.select(
                "customer_id",
                "currency",
                role=role,
                amount_minor=(pl.col("a") * way).cast(pl.Int64),
                functional_minor=(pl.col("f") * way).cast(pl.Int64),
            ).select("role", "customer_id", "currency", "amount_minor", "functional_minor")
        )
    return (
        pl.concat(found)
        .drop_nulls("customer_id")
        .group_by("role", "customer_id", "currency")
        .agg(pl.col("amount_minor", "functional_minor").sum())
        .sort("role", "customer_id", "currency")
    )


def costs(entity: Entity, *, through: date) -> pl.DataFrame:
    """What is left of the costs of winning contracts at the end of a month: customer_id, amount_minor. One statement."""
    rows = bulk.read(
        ContractCost.objects.filter(contract__entity=entity, start__lte=through)
        .order_by("id")
        .values("id", "contract__bill_to_id", "amount_minor", "start", "end")
    ).rename({"contract__bill_to_id": "customer_id"})
    whole = (pl.col("end") - pl.col("start")).dt.total_days()
    served = (pl.min_horizontal(pl.lit(through + timedelta(days=1)), "end") - pl.col("start")).dt.total_days()
    gone = round_half_away(pl.col("amount_minor").cast(EXACT) * served.cast(EXACT) / whole.cast(EXACT))
    return (
        rows.with_columns(left=pl.col("amount_minor") - gone)
        .group_by("customer_id")
        .agg(amount_minor=pl.col("left").sum())
        .sort("customer_id")
    )


def waterfall(entity: Entity, *, through: date) -> pl.DataFrame:
    """Revenue of what was billed, by the month it was billed in and the month it is earned in: booked, month, currency, amount_minor.

    Charges run over their own days; what allocation moves between items is not in it.
    """
    rows = _charges(entity, through, None).with_row_index("obligation_id").with_columns(pl.col("obligation_id").cast(pl.Int64))
    earned = schedule(rows.select("obligation_id", "start", "end", amount_minor="net_minor", method=pl.lit("day")))
    both = earned.join(rows.select("obligation_id", "currency", "issued_on"), on="obligation_id")
    return (
        both.group_by("currency", "month", booked=pl.col("issued_on").dt.truncate("1mo"))
        .agg(pl.col("amount_minor").sum())
        .select("booked", "month", "currency", "amount_minor")
        .sort("currency", "booked", "month")
    )


def remaining(entity: Entity, *, through: date) -> pl.DataFrame:
    """Remaining performance obligations (IFRS 15.120): what contracts with an end still have to earn after a month, by contract.

    returns  contract_id, currency, within_minor (in twelve months), later_minor, undated_minor (not accepted yet), left_minor; usage is not in it
    """
    ensure_month_end(through)
    known = _fees(entity, _items(entity, None), through)
    year = date(through.year + 1, through.month, 1)
    months = engine.months(known).filter(pl.col("month") > through)
    sums = months.group_by("contract_id").agg(
        within_minor=pl.col("amount_minor").filter(pl.col("month") <= year).sum(),
        later_minor=pl.col("amount_minor").filter(pl.col("month") > year).sum(),
    )
    undated = known.filter(pl.col("start").is_null()).group_by("contract_id").agg(undated_minor=pl.col("amount_minor").sum())
    ended = bulk.read(Contract.objects.filter(entity=entity, ends_on__isnull=False).values("id", "currency")).rename(
        {"id": "contract_id"}
    )
    rows = (
        ended.join(sums, on="contract_id", how="left")
        .join(undated, on="contract_id", how="left")
        .with_columns(pl.col("within_minor", "later_minor", "undated_minor").fill_null(0))
    )
    rows = rows.with_columns(left_minor=pl.col("within_minor") + pl.col("later_minor") + pl.col("undated_minor"))
    return rows.filter(pl.col("left_minor") != 0).sort("left_minor", "contract_id", descending=[True, False])


def rolled(entity: Entity, *, last: int = 13) -> pl.DataFrame:
    """Closed months, the newest first: through, currency, opening_minor, billed_minor, earned_minor, closing_minor (liability less asset), liability_minor,
    asset_minor; opening + billed - earned = closing. Two statements.
    """
    ids = list(
        Close.objects.filter(entity=entity)
        .order_by()
        .values("through")
        .annotate(newest=Max("id"))
        .order_by("-through")
        .values_list("newest", flat=True)[: last + 1]
    )
    rows = bulk.read(
        ContractBalance.objects.filter(close_id__in=ids).order_by().values("close__through", "currency").annotate(
            billed=Sum("billed_minor"), earned=Sum("earned_minor"), liability=Sum("liability_minor"), asset=Sum("asset_minor")
        )
    ).rename({"close__through": "through"}).sort("currency", "through")  # fmt: skip
    before = {c: pl.col(c).shift(1, fill_value=0).over("currency") for c in ("billed", "earned")}
    net = pl.col("liability") - pl.col("asset")
    told = rows.with_columns(net=net).with_columns(
        opening_minor=pl.col("net").shift(1, fill_value=0).over("currency"), billed_minor=pl.col("billed") - before["billed"], earned_minor=pl.col("earned") - before["earned"],
        closing_minor="net", liability_minor="liability", asset_minor="asset",
    )  # fmt: skip
    if len(ids) > last:  # the oldest only opens the next
        told = told.filter(pl.col("through") > told["through"].min())
    return told.select(
        "through", "currency", "opening_minor", "billed_minor", "earned_minor", "closing_minor", "liability_minor", "asset_minor"
    ).sort("through", "currency", descending=[True, False])


def last_close(entity_id: int) -> Close | None:
    """The newest close of the last month that was closed."""
    return Close.objects.filter(entity_id=entity_id).order_by("-through", "-id").first()


def detail(entity: Entity, contract_id: int, *, through: date) -> dict[str, Any]:
    """One contract: obligations (what each item was sold for, is shared, has earned), months, its balance, costs, and a warning where interest may be in the price."""
    charged = _charges(entity, through, contract_id)
    credited = _credited(entity, through, charged)
    items = _items(entity, contract_id)
    found = _parts(entity, items, through, credited)
    months = engine.months(found)
    by_item = months.group_by("item_id").agg(earned_minor=pl.col("amount_minor").filter(pl.col("month") <= through).sum())
    sums = found.group_by("item_id").agg(pl.col("amount_minor", "sold_minor").sum())
    rows = (
        items.select("item_id", "description", "method", "ssp_nano", "start", "end", "meter_id")
        .join(sums, on="item_id", how="left")
        .join(by_item, on="item_id", how="left")
    )
    rows = rows.with_columns(pl.col("amount_minor", "sold_minor", "earned_minor").fill_null(0)).sort("item_id")
    far = items.filter(pl.col("in_advance") & (pl.col("unit") == "year") & (pl.col("every") > 1))
    return {
        "obligations": rows.to_dicts(),
        "months": months.group_by("month").agg(pl.col("amount_minor").sum()).sort("month").to_dicts(),
        "balance": next(iter(_balances(entity, through, contract_id, months, charged, credited).to_dicts()), None),
        "costs": list(
            ContractCost.objects.filter(contract_id=contract_id)
            .order_by("id")
            .values("what", "amount_minor", "start", "end")[:100]
        ),
        "is_financed": bool(far.height),
    }


def off_the_books() -> pl.DataFrame:
    """Customers whose liability or asset in the ledger is not what the last close of a company said: entity_id, role, customer_id, currency, off_minor."""
    found = [
        pl.DataFrame(
            schema={
                "entity_id": pl.Int64,
                "role": pl.String,
                "customer_id": pl.Int64,
                "currency": pl.String,
                "off_minor": pl.Int64,
            }
        )
    ]
    for entity_id in Close.objects.order_by("entity_id").values_list("entity_id", flat=True).distinct():
        last = last_close(entity_id)
        if last is None:
            continue
        rows = bulk.read(
            ContractBalance.objects.filter(close=last)
            .order_by()
            .values("customer_id", "currency")
            .annotate(liability=Sum("liability_minor"), asset=Sum("asset_minor"))
        )
        told = pl.concat(
            [
                rows.select("customer_id", "currency", role=pl.lit(role), told=pl.col(c).cast(pl.Int64))
                for role, c in ((LIABILITY, "liability"), (ASSET, "asset"))
            ]
        )
        held = in_the_books(entity_id, through=last.through).filter(pl.col("role") != COSTS)
        both = told.join(held, on=["role", "customer_id", "currency"], how="full", coalesce=True)
        off = pl.col("amount_minor").fill_null(0) - pl.col("told").fill_null(0)
        found.append(
            both.select("role", "customer_id", "currency", entity_id=pl.lit(entity_id, dtype=pl.Int64), off_minor=off)
            .filter(pl.col("off_minor") != 0)
            .select("entity_id", "role", "customer_id", "currency", "off_minor")
        )
    return pl.concat(found)


# --- parts ---
def _contracts(entity: Entity, contract_id: int | None) -> Any:
    rows = Contract.objects.filter(entity=entity)
    return rows.filter(pk=contract_id) if contract_id is not None else rows


def _items(entity: Entity, contract_id: int | None) -> pl.DataFrame:
    """Items as the engine takes them, with the rule that each falls under. Four statements."""
    facts = {
        "id": "item_id",
        "starts_on": "start",
        "ends_on": "end",
        "contract__customer_id": "user_id",
        "contract__currency": "currency",
        "contract__starts_on": "term_start",
        "contract__ends_on": "term_end",
    }
    columns = [
        "contract_id",
        "product_id",
        "description",
        "in_advance",
        "anchor",
        "unit",
        "every",
        "day",
        "meter_id",
        *usage.COLUMNS,
    ]
    rows = bulk.read(
        Item.objects.filter(contract__in=_contracts(entity, contract_id)).order_by("id").values(*columns, *facts)
    ).rename(facts)
    rows = rows.with_columns(pl.col("every").cast(pl.Int64), pl.col("day").cast(pl.Int64))
    amended = (
        Amendment.objects.filter(contract__in=_contracts(entity, contract_id), kind__in=RESHAPING)
        .values_list("contract_id", flat=True)
        .distinct()
    )
    rules = bulk.read(Rule.objects.order_by("id").values("product_id", "item_id", "method", "ssp_low_nano", "ssp_high_nano"))
    of_item, of_product = (
        rules.drop_nulls(key)
        .unique(key, keep="last")
        .select(key, **{f"{c}_{key}": c for c in ("method", "ssp_low_nano", "ssp_high_nano")})
        for key in ("item_id", "product_id")
    )
    rows = rows.join(of_item, on="item_id", how="left", maintain_order="left").join(
        of_product, on="product_id", how="left", maintain_order="left"
    )
    once = (pl.col("unit") == "day") & (pl.col("every") == 1) & ((pl.col("end") - pl.col("start")).dt.total_days() == 1)
    low, high = (pl.coalesce(f"ssp_{c}_nano_item_id", f"ssp_{c}_nano_product_id") for c in ("low", "high"))
    months = (
        pl.when(once.fill_null(value=False))
        .then(1)
        .otherwise(pl.col("unit").replace_strict(periods.MONTHS, default=0, return_dtype=pl.Int64) * pl.col("every"))
    )
    price = pl.col("unit_price_nano")
    within = (price >= low * months) & (price <= high * months)
    return rows.with_columns(
        method=pl.coalesce("method_item_id", "method_product_id", pl.when(once.fill_null(value=False)).then(pl.lit("point")).otherwise(pl.lit("day"))),
        ssp_nano=pl.when(low.is_null() | (months == 0)).then(None).when(within).then(price).otherwise((low + high) * months // 2),
        is_amended=pl.col("contract_id").is_in(list(amended)),
    ).drop("^.*_(item_id|product_id)$")  # fmt: skip


def _parts(entity: Entity, items: pl.DataFrame, through: date, credited: pl.DataFrame) -> pl.DataFrame:
    """The parts in which items are earned, as known now: fees, what was used up to the day, and what credit notes took back."""
    return pl.concat([_fees(entity, items, through), _used(entity, items, through), credited])


def _fees(entity: Entity, items: pl.DataFrame, through: date) -> pl.DataFrame:
    """The parts of items that are sold by periods. One statement."""
    fees = items.filter(pl.col("meter_id").is_null() & pl.col("unit_price_nano").is_not_null())
    accepted = Acceptance.objects.filter(item__contract__entity=entity).order_by("id").values("item_id", "on", "share_ppm")
    known = bulk.read(accepted).with_columns(pl.col("share_ppm").cast(pl.Int64)).join(fees, on="item_id", how="semi")
    return engine.accepted(engine.obligations(fees, through=through), known)


def _used(entity: Entity, items: pl.DataFrame, through: date) -> pl.DataFrame:
    """What was used up to the end of the day, the running period included, as parts. Statements: one for each meter."""
    metered = items.filter(pl.col("meter_id").is_not_null())
    if metered.is_empty():
        return pl.DataFrame(schema=engine.PARTS)
    after = through + timedelta(days=1)
    cut = metered.with_columns(end=pl.min_horizontal("end", pl.lit(after)).fill_null(after))
    told = usage.used(cut, entity=entity, as_of=after).filter(pl.col("net_minor") != 0)
    rows = told.join(metered.select("item_id", "contract_id"), on="item_id", maintain_order="left")
    return rows.with_columns(amount_minor="net_minor", sold_minor="net_minor", method=pl.lit("day")).select(*engine.PARTS)


def _balances(
    entity: Entity, through: date, contract_id: int | None, months: pl.DataFrame, charged: pl.DataFrame, credited: pl.DataFrame
) -> pl.DataFrame:
    """Balances of contracts from what they earn by month, what they were charged and what was credited. One statement."""
    earned = months.filter(pl.col("month") <= through).group_by("contract_id").agg(earned_minor=pl.col("amount_minor").sum())
    facts = bulk.read(_contracts(entity, contract_id).order_by("id").values("id", "bill_to_id", "currency")).rename(
        {"id": "contract_id", "bill_to_id": "customer_id"}
    )
    rows = facts.join(_billed(charged, credited), on="contract_id", how="left").join(earned, on="contract_id", how="left")
    rows = rows.with_columns(pl.col("billed_minor", "billed_functional_minor", "earned_minor").fill_null(0))
    rows = rows.filter((pl.col("billed_minor") != 0) | (pl.col("earned_minor") != 0))
    ahead = pl.col("billed_minor") - pl.col("earned_minor")
    rows = rows.with_columns(liability_minor=ahead.clip(0), asset_minor=(-ahead).clip(0))
    share = (
        pl.col("liability_minor").cast(EXACT) * pl.col("billed_functional_minor").cast(EXACT) / pl.col("billed_minor").cast(EXACT)
    )
    owned = rates.convert(rows.select(currency="currency", amount_minor="asset_minor", on=pl.lit(through)), to=entity.currency)
    return rows.with_columns(
        liability_functional_minor=pl.when(pl.col("liability_minor") == 0).then(0).when(pl.col("currency") == entity.currency).then("liability_minor").otherwise(round_half_away(share)),
        asset_functional_minor=owned["converted_minor"],
    ).select(BALANCE).sort("contract_id")  # fmt: skip


def _charges(entity: Entity, through: date, contract_id: int | None) -> pl.DataFrame:
    """Charges of issued documents: contract_id, item_id, invoice_id, issued_on, currency, start, end, net_minor, functional_minor (net). One statement."""
    stands = Charge.objects.filter(item__contract__in=_contracts(entity, contract_id), invoice__issued_on__lte=through).exclude(
        invoice__state__in=[Invoice.State.DRAFT, Invoice.State.VOID]
    )
    facts = {
        "item__contract_id": "contract_id",
        "invoice__issued_on": "issued_on",
        "invoice__currency": "currency",
        "invoice__functional_minor": "_functional",
        "invoice__total_minor": "_total",
    }
    rows = bulk.read(stands.order_by("id").values("item_id", "invoice_id", "start", "end", "net_minor", *facts)).rename(facts)
    worth = round_half_away(pl.col("net_minor").cast(EXACT) * pl.col("_functional").cast(EXACT) / pl.col("_total").cast(EXACT))
    return rows.with_columns(
        functional_minor=pl.when(pl.col("_total") == pl.col("_functional"))
        .then("net_minor")
        .when(pl.col("_total") == 0)
        .then(0)
        .otherwise(worth)
    ).drop("_functional", "_total")


def _credited(entity: Entity, through: date, charged: pl.DataFrame) -> pl.DataFrame:
    """Credit notes against invoices of contracts, as parts that take back what was sold: over the days of each charge, by its share of the invoice."""
    rows = charged.filter(pl.col("net_minor") > 0).join(_notes(entity, through), on="invoice_id")
    net, credit = pl.col("net_minor").cast(EXACT), pl.col("credited_minor").cast(EXACT)
    rows = rows.with_columns(_exact=net * credit / net.sum().over("invoice_id"))
    back = -largest_remainder(pl.col("_exact"), pl.col("credited_minor"), over=["invoice_id"])
    return rows.with_columns(amount_minor=back, sold_minor=back, method=pl.lit("day")).select(*engine.PARTS)


def _notes(entity: Entity, through: date) -> pl.DataFrame:
    """What was credited of invoices by a day: invoice_id, credited_minor (net). One statement."""
    notes = Invoice.objects.filter(
        entity=entity, kind=Invoice.Kind.CREDIT_NOTE, corrects__isnull=False, issued_on__lte=through
    ).exclude(state__in=[Invoice.State.DRAFT, Invoice.State.VOID])
    return bulk.read(notes.order_by().values("corrects_id").annotate(credited_minor=Sum("net_minor"))).select(
        invoice_id=pl.col("corrects_id").cast(pl.Int64), credited_minor=pl.col("credited_minor").cast(pl.Int64)
    )


def _billed(charged: pl.DataFrame, credited: pl.DataFrame) -> pl.DataFrame:
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
