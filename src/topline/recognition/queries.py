"""Reads of recognition: what contracts have earned and been billed, by month and in balance; the books' word; what is still to come."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Max, Sum

from topline.billing.models import Invoice
from topline.books import rates
from topline.books.models import Account, Entity, Transfer
from topline.catalog.models import Product
from topline.contracts import bills, schedules
from topline.contracts.models import Charge, Contract, Item
from topline.engine import periods
from topline.engine.documents import EXACT, round_half_away
from topline.engine.recognition import contracts as engine
from topline.engine.recognition import schedule
from topline.engine.recognition.observed import observe
from topline.engine.recognition.variable import far_payments
from topline.kernel import bulk
from topline.kernel.errors import Invalid, ensure
from topline.quotes.models import Quote, QuoteLine
from topline.recognition import facts
from topline.recognition.facts import Assumed, Told
from topline.recognition.models import Close, ContractBalance, ContractCost, Estimate

LIABILITY, REFUND, ASSET, COSTS = "contract_liability", "refund_liability", "contract_asset", "contract_costs"
CELLS: engine.Schema = {"booked": pl.Date, "month": pl.Date, "currency": pl.String, "amount_minor": pl.Int64}
BALANCE = [
    "contract_id",
    "customer_id",
    "currency",
    "billed_minor",
    "earned_minor",
    "liability_minor",
    "liability_functional_minor",
    "refund_minor",
    "refund_functional_minor",
    "asset_minor",
    "asset_functional_minor",
]
LATER = ["liability_later_minor", "asset_later_minor"]


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
    """What each contract was billed and has earned by the end of a month, and what that leaves: one row per contract with the columns of BALANCE, and of liability and
    asset what is not current: liability_later_minor (earned by the schedule more than twelve months after; what is earned next uses it up first) and asset_later_minor
    (billed more than twelve months after; what is billed next settles it first). What has no day counts as current (IAS 1.69: the operating cycle).

    A liability stands at the rates of the invoices that made it, an asset at the rate of the day. What is expected to go back to the customer is a refund
    liability. Work: a fixed number of statements for every 20,000 contracts, and one for each meter.
    """
    ensure_month_end(through)
    found = [
        _balances(entity, through, span, told, engine.months(told.parts)) for span, told in facts.each(entity, through=through)
    ]
    if not found:
        return pl.DataFrame(schema=dict.fromkeys([*BALANCE, *LATER], pl.Int64) | {"currency": pl.String})
    return _asset_split(entity, pl.concat(found), through)


def in_the_books(entity_id: int, *, through: date) -> pl.DataFrame:
    """What the ledger holds at the end of a day: role, customer_id, currency, amount_minor, functional_minor (a liability counts as positive). What
    was booked by hand without a customer, such as an opening balance, is not in it. Three statements."""
    signs = {LIABILITY: -1, REFUND: -1, ASSET: 1, COSTS: 1}
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
    return (
        cost_rows(entity, through=through)
        .group_by("customer_id")
        .agg(amount_minor=pl.col("left_minor").sum())
        .sort("customer_id")
    )


def cost_rows(entity: Entity, *, through: date, contract_id: int | None = None) -> pl.DataFrame:
    """Costs of winning contracts and what is written off of each by the end of a month: cost_id, contract_id, number, customer_id, what, amount_minor, start, end,
    gone_minor, left_minor. By days; a contract that is over holds none any more (ASC 340-40-35-1 to 35-3). One statement."""
    names = {"id": "cost_id", "contract__number": "number", "contract__bill_to_id": "customer_id", "contract__ends_on": "_over"}
    kept = ContractCost.objects.filter(contract__in=facts.contracts(entity, contract_id), start__lte=through).order_by("id")
    rows = bulk.read(kept.values("contract_id", "what", "amount_minor", "start", "end", *names)).rename(names)
    after = through + timedelta(days=1)
    whole = (pl.col("end") - pl.col("start")).dt.total_days()
    served = (pl.min_horizontal(pl.lit(after), "end") - pl.col("start")).dt.total_days()
    by_days = round_half_away(pl.col("amount_minor").cast(EXACT) * served.cast(EXACT) / whole.cast(EXACT))
    gone = pl.when(pl.col("_over") <= after).then("amount_minor").otherwise(by_days)
    return rows.with_columns(gone_minor=gone, left_minor=pl.col("amount_minor") - gone).drop("_over")


def waterfall(entity: Entity, *, through: date, by: str = "billed") -> pl.DataFrame:
    """Revenue by the month it was booked in and the month it is earned in: booked, month, currency, amount_minor.

    by  booked: when it was agreed, changed, estimated or used; the months of a row add up to what was booked, those of a column to what is earned in it. What nobody accepted yet is left out.
        billed: when it was billed; charges run over their own days, and what allocation moves between items is not in it
    """
    if by == "billed":
        rows = (
            facts.charges(entity, through, None)
            .with_row_index("obligation_id")
            .with_columns(pl.col("obligation_id").cast(pl.Int64))
        )
        earned = schedule(rows.select("obligation_id", "start", "end", amount_minor="net_minor", method=pl.lit("day")))
        cells = earned.join(rows.select("obligation_id", "currency", booked="issued_on"), on="obligation_id")
    else:
        ensure(by == "booked", Invalid(f"Nothing falls by {by!r}.", field="by", remedy="Use booked or billed."))
        cells = pl.concat([
            pl.DataFrame(schema=CELLS),
            *(_fallen(told.bookings.filter(pl.col("booked") <= through), told) for _, told in facts.each(entity, through=through)),
        ])  # fmt: skip
    return (
        cells.group_by("currency", "month", booked=pl.col("booked").dt.truncate("1mo"))
        .agg(pl.col("amount_minor").sum())
        .filter(pl.col("amount_minor") != 0)
        .select("booked", "month", "currency", "amount_minor")
        .sort("currency", "booked", "month")
    )


def remaining(entity: Entity, *, through: date) -> pl.DataFrame:
    """Remaining performance obligations (IFRS 15.120): what contracts with an end still have to earn after a month, by contract.

    returns  contract_id, currency, within_minor (in twelve months), later_minor, undated_minor (not accepted yet), left_minor; usage is not in it
    """
    ensure_month_end(through)
    known = pl.concat([
        pl.DataFrame(schema=engine.PARTS), *(told.fees.filter(pl.col("start").is_null() | (pl.col("end") > through)).select(*engine.PARTS) for _, told in facts.each(entity, through=through))
    ])  # fmt: skip
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
    """Closed months, the newest first: through, currency, opening_minor, billed_minor, earned_minor, closing_minor (liabilities less asset), liability_minor,
    refund_minor, asset_minor; opening + billed - earned = closing. Two statements.
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
            billed=Sum("billed_minor"), earned=Sum("earned_minor"), liability=Sum("liability_minor"), refund=Sum("refund_minor"), asset=Sum("asset_minor")
        )
    ).rename({"close__through": "through"}).sort("currency", "through")  # fmt: skip
    before = {c: pl.col(c).shift(1, fill_value=0).over("currency") for c in ("billed", "earned")}
    net = pl.col("liability") + pl.col("refund") - pl.col("asset")
    told = rows.with_columns(net=net).with_columns(
        opening_minor=pl.col("net").shift(1, fill_value=0).over("currency"), billed_minor=pl.col("billed") - before["billed"], earned_minor=pl.col("earned") - before["earned"],
        closing_minor="net", liability_minor="liability", refund_minor="refund", asset_minor="asset",
    )  # fmt: skip
    if len(ids) > last:  # the oldest only opens the next
        told = told.filter(pl.col("through") > told["through"].min())
    return told.select(
        "through",
        "currency",
        "opening_minor",
        "billed_minor",
        "earned_minor",
        "closing_minor",
        "liability_minor",
        "refund_minor",
        "asset_minor",
    ).sort("through", "currency", descending=[True, False])


def last_close(entity_id: int) -> Close | None:
    """The newest close of the last month that was closed."""
    return Close.objects.filter(entity_id=entity_id).order_by("-through", "-id").first()


def detail(entity: Entity, contract_id: int, *, through: date, assume: Assumed = facts.NOTHING) -> dict[str, Any]:
    """One contract: obligations (what each item was sold for, costs alone, is shared, has earned), months, its balance, amendments with how they are accounted for, variable
    amounts with their estimates, the costs of winning it, and where interest may be in the price. Another assumption is a what-if: nothing is kept of it."""
    told = facts.tell(entity, contract_id, through=through, assume=assume)
    months = engine.months(told.parts)
    by_item = months.group_by("item_id").agg(earned_minor=pl.col("amount_minor").filter(pl.col("month") <= through).sum())
    sums = told.parts.group_by("item_id").agg(pl.col("amount_minor").sum())
    alone = told.fees.group_by("item_id").agg(ssp_minor=round_half_away(pl.col("ssp").sum()))
    back = told.credited.group_by("item_id").agg(_back=pl.col("amount_minor").sum())
    used = (
        told.parts.join(told.items.filter(pl.col("meter_id").is_not_null()), on="item_id", how="semi")
        .group_by("item_id")
        .agg(_used=pl.col("amount_minor").sum())
    )
    rows = told.items.select("item_id", "description", "method", "life_months", "start", "end", "meter_id")
    for more in (sums, by_item, alone, told.sold, back, used):
        rows = rows.join(more, on="item_id", how="left", maintain_order="left")
    sold = pl.coalesce(pl.col("sold_minor") + pl.col("_back").fill_null(0), "_used")
    rows = (
        rows.with_columns(sold_minor=sold)
        .drop("_back", "_used")
        .with_columns(pl.col("amount_minor", "sold_minor", "earned_minor").fill_null(0))
        .sort("item_id")
    )
    return {
        "obligations": rows.to_dicts(),
        "months": months.group_by("month").agg(pl.col("amount_minor").sum()).sort("month").to_dicts(),
        "balance": next(
            iter(_asset_split(entity, _balances(entity, through, contract_id, told, months), through).to_dicts()), None
        ),
        "amendments": told.history.amendments.drop("recorded_at", "term_before").to_dicts(),
        "elements": estimates(contract_id),
        "costs": cost_rows(entity, through=through, contract_id=contract_id).to_dicts(),
        "financing": far_payments(told.items.filter(pl.col("meter_id").is_null()), told.prices).to_dicts(),
    }


def observed(entity: Entity, *, until: date, months: int = 12) -> pl.DataFrame:
    """What products were sold for in the months before a day, and the range that this proposes as stand-alone selling price: see `engine.recognition.observed.observe`, with product (its name).

    A sale is a line of an accepted quote, or an item of another contract that an issued invoice billed; each counts once, for a unit and a month. Three statements.
    """
    since = until - timedelta(days=round(months * 30.4375))
    lines = bulk.read(
        QuoteLine.objects.filter(quote__entity=entity, quote__state=Quote.State.ACCEPTED, quote__closed_on__gt=since, quote__closed_on__lte=until, net_minor__gt=0)
        .order_by("id").values("product_id", "quantity_micro", "periods", "net_minor", "quote__currency", "quote__bill_every")
    )  # fmt: skip
    size = pl.col("quote__bill_every").replace_strict(periods.MONTHS, default=1, return_dtype=pl.Int64)
    count = pl.when(pl.col("quote__bill_every") == "once").then(1).otherwise(pl.col("periods") * size)
    a_unit = pl.col("net_minor").cast(pl.Float64) / (pl.col("quantity_micro") / 10**6) / count * 10**9
    quoted = lines.select("product_id", currency="quote__currency", price_nano=a_unit.round().cast(pl.Int64))
    billed = Charge.objects.filter(invoice__issued_on__gt=since, invoice__issued_on__lte=until).exclude(
        invoice__state__in=[Invoice.State.DRAFT, Invoice.State.VOID]
    )
    sold = bulk.read(
        Item.objects.filter(contract__entity=entity, contract__quote__isnull=True, product__isnull=False, meter__isnull=True, unit_price_nano__gt=0, pk__in=billed.values("item_id"))
        .order_by("id").values("product_id", "unit_price_nano", "unit", "every", "contract__currency")
    )  # fmt: skip
    in_months = pl.col("unit").replace_strict(periods.MONTHS, default=1, return_dtype=pl.Int64) * pl.when(
        pl.col("unit").is_in(list(periods.MONTHS))
    ).then("every").otherwise(1)
    agreed = sold.select("product_id", currency="contract__currency", price_nano=pl.col("unit_price_nano") // in_months)
    found = observe(pl.concat([quoted, agreed]))
    names = dict(Product.objects.filter(pk__in=found["product_id"].unique().to_list()[:10_000]).values_list("id", "name"))
    return found.with_columns(product=pl.col("product_id").replace_strict(names, default="", return_dtype=pl.String)).sort(
        "product", "currency"
    )


def waiting_drafts(entity: Entity, *, through: date) -> int:
    """How many documents for days up to the end of a month are still drafts: it is not closed before they are issued or void. One statement."""
    days = Charge.objects.filter(start__lte=through).values("invoice_id")
    return Invoice.objects.filter(entity=entity, state=Invoice.State.DRAFT, pk__in=days).count()


def what_if(entity: Entity, *, through: date, assume: Assumed, months: int = 12) -> pl.DataFrame:
    """What contracts in the company's currency would earn by month under other assumptions, from the year before a month's end to `months` after it: month, amount_minor (as
    kept), new_minor, moved_minor. Nothing is written."""
    ensure_month_end(through)
    first, last = date(through.year - 1, through.month, 1), month_end(through + timedelta(days=round(30.4375 * months)))

    def earned(supposed: Assumed, name: str) -> pl.DataFrame:
        rows = [
            _fallen(told.parts.with_columns(booked="start"), told).filter((pl.col("currency") == entity.currency) & pl.col("month").is_between(first, last))
            for _, told in facts.each(entity, through=through, assume=supposed)
        ]  # fmt: skip
        return pl.concat([pl.DataFrame(schema=CELLS), *rows]).group_by("month").agg(pl.col("amount_minor").sum().alias(name))

    both = earned(facts.NOTHING, "amount_minor").join(earned(assume, "new_minor"), on="month", how="full", coalesce=True)
    both = both.with_columns(pl.col("amount_minor", "new_minor").fill_null(0)).sort("month")
    return both.with_columns(moved_minor=pl.col("new_minor") - pl.col("amount_minor"))


def estimates(contract_id: int) -> list[dict[str, Any]]:
    """Variable amounts of a contract with what they are put at, in the order in which they were estimated. Two statements."""
    rows = (
        Estimate.objects.filter(element__contract_id=contract_id)
        .select_related("element__item")
        .order_by("element_id", "id")[:1_000]
    )
    return [
        {
            "element_id": e.element_id, "what": e.element.what, "item_id": e.element.item_id, "item": e.element.item.description if e.element.item else "", "is_paid_back": e.element.is_paid_back, "on": e.on,
            "method": e.method, "outcomes": e.outcomes, "estimate_minor": e.estimate_minor, "ceiling_minor": e.ceiling_minor, "counted_minor": e.counted_minor, "because": e.because,
        }
        for e in rows
    ]  # fmt: skip


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
            .annotate(liability=Sum("liability_minor"), refund=Sum("refund_minor"), asset=Sum("asset_minor"))
        )
        told = pl.concat(
            [
                rows.select("customer_id", "currency", role=pl.lit(role), told=pl.col(c).cast(pl.Int64))
                for role, c in ((LIABILITY, "liability"), (REFUND, "refund"), (ASSET, "asset"))
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
def _year_after(through: date) -> date:
    """The first day of the last of the twelve months after a month's end."""
    return date(through.year + 1, through.month, 1)


def _asset_split(entity: Entity, rows: pl.DataFrame, through: date) -> pl.DataFrame:
    """Balances with what of their assets is not current. Statements only where there are assets."""
    later = _billed_later(entity, rows.filter(pl.col("asset_minor") > 0)["contract_id"], through)
    told = rows.join(later, on="contract_id", how="left", maintain_order="left")
    asset = pl.min_horizontal(pl.col("asset_minor") - pl.col("_within"), "_later").clip(0).fill_null(0)
    return told.with_columns(asset_later_minor=asset).select(*BALANCE, *LATER)


def _billed_later(entity: Entity, contract_ids: pl.Series, through: date) -> pl.DataFrame:
    """What contracts will be billed by what was agreed: contract_id, _within (twelve months after a month's end), _later. Four statements where one lasts longer."""
    none = pl.DataFrame(schema={"contract_id": pl.Int64, "_within": pl.Int64, "_later": pl.Int64})
    year = month_end(_year_after(through))
    long = Contract.objects.filter(entity=entity, ends_on__gt=year)
    if contract_ids.is_empty():
        return none
    known, _ = bills.priced(bills.items_of(long).filter(pl.col("contract_id").is_in(contract_ids.implode()) & pl.col("meter_id").is_null() & pl.col("end").is_not_null()))  # fmt: skip
    if known.is_empty():
        return none
    parts = schedules.parts_of(long)
    last = known["end"].max()

    def due_by(day: Any, name: str) -> pl.DataFrame:
        told, _ = bills.soundly(known, lambda items: bills.fees_of(items, parts, as_of=day))
        sums = bills.less_discounts(told, known, long).join(known.select("item_id", "contract_id"), on="item_id")
        return sums.group_by("contract_id").agg(pl.col("net_minor").sum().alias(name))

    now, soon, all_ = due_by(through, "_now"), due_by(year, "_soon"), due_by(last, "_all")
    both = all_.join(soon, on="contract_id", how="left").join(now, on="contract_id", how="left").fill_null(0)
    return both.select("contract_id", _within=pl.col("_soon") - pl.col("_now"), _later=pl.col("_all") - pl.col("_soon"))


def _fallen(parts: pl.DataFrame, told: Told) -> pl.DataFrame:
    """Parts with the day they were booked as cells of a waterfall: booked (month), month, currency, amount_minor."""
    found = engine.months(parts).join(told.items.select("contract_id", "currency").unique(), on="contract_id")
    return (
        found.group_by("currency", "month", booked=pl.col("booked").dt.truncate("1mo"))
        .agg(pl.col("amount_minor").sum())
        .select(*CELLS)
    )


def _balances(entity: Entity, through: date, which: facts.Which, told: Told, months: pl.DataFrame) -> pl.DataFrame:
    """Balances of contracts from what they earn by month, what they were charged and what was credited. One statement."""
    earned = months.filter(pl.col("month") <= through).group_by("contract_id").agg(earned_minor=pl.col("amount_minor").sum())
    found = bulk.read(facts.contracts(entity, which).order_by("id").values("id", "bill_to_id", "currency")).rename(
        {"id": "contract_id", "bill_to_id": "customer_id"}
    )
    rows = found.join(facts.billed(told.charged, told.credited), on="contract_id", how="left").join(
        earned, on="contract_id", how="left"
    )
    rows = rows.join(told.refunds, on="contract_id", how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("billed_minor", "billed_functional_minor", "earned_minor", "refund_minor").fill_null(0))
    rows = rows.filter((pl.col("billed_minor") != 0) | (pl.col("earned_minor") != 0))
    ahead = pl.col("billed_minor") - pl.col("earned_minor")
    refund = pl.min_horizontal("refund_minor", ahead.clip(0))
    rows = rows.with_columns(liability_minor=ahead.clip(0) - refund, refund_minor=refund, asset_minor=(-ahead).clip(0))

    def worth(column: str) -> pl.Expr:
        part = pl.col(column).cast(EXACT) * pl.col("billed_functional_minor").cast(EXACT) / pl.col("billed_minor").cast(EXACT)
        home = pl.col("currency") == entity.currency
        return pl.when(pl.col(column) == 0).then(0).when(home).then(column).otherwise(round_half_away(part))

    ahead_of = months.filter(pl.col("month") > through).group_by("contract_id").agg(
        _within=pl.col("amount_minor").filter(pl.col("month") <= _year_after(through)).sum(), _later=pl.col("amount_minor").filter(pl.col("month") > _year_after(through)).sum()
    )  # fmt: skip
    rows = rows.join(ahead_of, on="contract_id", how="left", maintain_order="left")
    later = pl.min_horizontal(pl.col("liability_minor") - pl.col("_within").clip(0), "_later").clip(0).fill_null(0)
    owned = rates.convert(rows.select(currency="currency", amount_minor="asset_minor", on=pl.lit(through)), to=entity.currency)
    return rows.with_columns(
        liability_functional_minor=worth("liability_minor"), refund_functional_minor=worth("refund_minor"), asset_functional_minor=owned["converted_minor"], liability_later_minor=later
    ).select(*BALANCE, "liability_later_minor").sort("contract_id")  # fmt: skip
