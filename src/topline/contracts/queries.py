"""Reads of contracts: the list, one with its items and what was billed, renewals, and whether what is billed is what was agreed."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from topline.billing.models import Invoice
from topline.contracts import bills, schedules, usage
from topline.contracts.models import Amendment, BillRunPart, Charge, Contract, Discount, Item
from topline.contracts.pricing import BY_UNIT_PRICE, COMMITMENT, PRICE
from topline.engine import charges as engine
from topline.engine import periods
from topline.engine import recurring_revenue as mrr
from topline.kernel import bulk
from topline.kernel.errors import NotFound

NET = pl.col("net_minor").sum()
AHEAD = timedelta(days=120)
SHOWN = 200
OFF = {
    "contract_id": pl.Int64,
    "contract": pl.String,
    "what": pl.String,
    "currency": pl.String,
    "agreed_minor": pl.Int64,
    "schedule_minor": pl.Int64,
}
FOREVER = date(2199, 1, 1)


def contract(contract_id: int) -> Contract:
    """A contract with its customer, payer, company and quote. Raises: NotFound. One statement."""
    found = Contract.objects.select_related("customer", "bill_to", "entity", "quote").filter(pk=contract_id).first()
    if found is None:
        raise NotFound(f"There is no contract {contract_id}.", field="contract_id", remedy="Look for it under Contracts.")
    return found


def contracts(*, entity_id: int, text: str = "", state: str = "", on: date | None = None) -> QuerySet[Contract]:
    """Contracts that fit; state: running or ended as of a day (empty: all)."""
    rows = Contract.objects.filter(entity_id=entity_id).select_related("customer", "bill_to")
    if text:
        rows = rows.filter(Q(number__iexact=text) | Q(customer__name__icontains=text) | Q(purchase_order__iexact=text))
    if state and on is not None:
        ended = Q(ends_on__lte=on)
        rows = rows.filter(ended) if state == "ended" else rows.exclude(ended)
    return rows


def yearly(contract_ids: list[int], *, on: date) -> dict[int, int]:
    """What the items of contracts that run on a day come to in a year, less the discounts that last, in minor units (annualised: ARR by contract).

    A trial counts by what it will cost. Two statements.
    """
    running = Q(ends_on__gt=on) | Q(ends_on__isnull=True)
    agreed = Item.objects.filter(running, contract_id__in=contract_ids, starts_on__lte=on, meter__isnull=True).exclude(unit="day")
    rows = priced_fees(agreed).select(
        "item_id", "contract_id", "product_id", "currency", "unit", "every", customer_id="contract_id", exact=engine.exact_price() * 12, start=pl.lit(on), end=pl.lit(None, dtype=pl.Date)
    )  # fmt: skip
    off = lasting(Contract.objects.filter(pk__in=contract_ids)).with_columns(amount_minor=pl.col("amount_minor") * 12)
    sums = mrr.standing(rows.drop_nulls("exact"), [on], discounts=off)
    return dict(sums.select("customer_id", "mrr_minor").iter_rows())


def is_again() -> Exists:
    """Of a charge: something of its period was billed before it and stands."""
    before = Charge.objects.filter(
        item_id=OuterRef("item_id"), full_start=OuterRef("full_start"), sequence__lt=OuterRef("sequence")
    )
    return Exists(before.exclude(invoice__state=Invoice.State.VOID))


def detail(contract_id: int) -> dict[str, Any]:
    """Items, amendments and the newest charges of a contract, as rows. Three statements."""
    items = Item.objects.filter(contract_id=contract_id).order_by("starts_on", "id").values(
        "id", "description", "product_id", "quantity_micro", "unit_price_nano", "starts_on", "ends_on", "unit", "every", "in_advance", "tax_class", "replaces_id", "meter_id", "meter__name", "alerts_minor", "bill_at_minor", "bill_every_minor", "by_peak", "pool", *[name for name in PRICE if name != "unit_price_nano"]
    )  # fmt: skip
    amended = Amendment.objects.filter(contract_id=contract_id).order_by("-id").values("id", "kind", "effective_on", "told", "because", "recorded_at", "actor_key")  # fmt: skip
    charged = Charge.objects.filter(item__contract_id=contract_id).order_by("-full_start", "-id").values(
        "item_id", "item__description", "full_start", "start", "end", "days", "full_days", "sequence", "net_minor", "quantity_micro", "explained", "invoice_id", "invoice__number", "invoice__state", is_again=is_again()
    )  # fmt: skip
    return {"items": list(items[:SHOWN]), "amendments": list(amended[:SHOWN]), "charges": list(charged[:SHOWN])}


def discounts(contract_id: int, *, on: date) -> list[dict[str, Any]]:
    """Discounts of a contract in their order, what each takes of all that is due by a day, and whether it holds then. A few statements.

    left_minor, of an amount that is taken once: what was not used up; periods_left, where they are counted: those after the running one.
    """
    columns = ("id", "name", "item_id", "item__description", "product_id", "product__name", "share_ppm", "amount_minor", "starts_on", "unit", "every", "periods", "ended_on")  # fmt: skip
    rows = Discount.objects.filter(contract_id=contract_id).order_by("id").values_list(*columns)[:SHOWN]
    found: list[dict[str, Any]] = [dict(zip(columns, row, strict=True)) for row in rows]
    if not found:
        return []
    contracts = Contract.objects.filter(pk=contract_id)
    known, _ = bills.priced(bills.items_of(contracts))
    wanted, _ = bills.wanted_of(known, contracts, schedules.parts_of(contracts), entity=contract(contract_id).entity, as_of=on)
    taken: dict[str, int] = {}
    for step in [step for told in wanted["explained"].drop_nulls() for step in json.loads(told) if step.get("off")]:
        taken[step["off"]] = taken.get(step["off"], 0) - round(step["minor"])
    for row in found:
        row["taken_minor"] = taken.get(row["name"], 0)
        row["left_minor"] = row["amount_minor"] - row["taken_minor"] if row["unit"] == "once" and row["amount_minor"] else None
        row["last_on"], row["periods_left"] = _lasts(row, on)
        used_up = row["left_minor"] == 0 or (row["unit"] == "once" and row["share_ppm"] is not None and row["taken_minor"] > 0)
        row["holds"] = row["starts_on"] <= on and not used_up and (row["last_on"] is None or row["last_on"] > on)
    return found


def _lasts(row: dict[str, Any], on: date) -> tuple[date | None, int | None]:
    """The first day whose charges a discount does not lower any more (None: it goes on), and its periods after the one that holds a day (None: no end)."""
    if row["periods"] is None or row["unit"] == "once":
        return row["ended_on"], None
    grid = pl.DataFrame({"anchor": [row["starts_on"]], "unit": [row["unit"]], "every": [row["every"]], "day": pl.Series([None], dtype=pl.Int64)})  # fmt: skip
    end, now = grid.select(end=periods.boundary(pl.lit(row["periods"])), now=periods.place(pl.lit(on))).row(0)
    return min(row["ended_on"] or end, end), max(row["periods"] - max(now, 0) - 1, 0)


def lasting(contracts: Any) -> pl.DataFrame:
    """Discounts of contracts that last until somebody ends them, as the engine reads them. One statement."""
    found = bills.discounts_of(contracts)
    return found.filter(pl.col("periods").is_null() & (pl.col("unit") != "once"))


def renewals(*, entity_id: int, as_of: date) -> pl.DataFrame:
    """Contracts that end within 120 days, the next first: contract_id, number, customer_id, customer, owner, ends_on, notice_by, renews_months,
    currency, yearly_minor. Two statements."""
    rows = bulk.read(
        Contract.objects.filter(entity_id=entity_id, ends_on__gt=as_of, ends_on__lte=as_of + AHEAD).order_by("ends_on", "id").values(
            "id", "number", "customer_id", "customer__name", "customer__owner__name", "ends_on", "renews_months", "notice_days", "currency"
        )[:1_000]
    ).rename({"id": "contract_id", "customer__name": "customer", "customer__owner__name": "owner"})  # fmt: skip
    worth = yearly(rows["contract_id"].to_list(), on=as_of)
    notice = pl.col("ends_on") - pl.duration(days=pl.col("notice_days"))
    return rows.with_columns(
        notice_by=notice, yearly_minor=pl.col("contract_id").replace_strict(worth, default=0, return_dtype=pl.Int64)
    ).drop("notice_days")


def value(contract_id: int) -> tuple[int | None, int]:
    """What a contract comes to in all by its items, and what was billed of it, in minor units; None where an item has no end, no price yet, or is
    billed by what is used: nobody knows the whole. Three statements."""
    contracts = Contract.objects.filter(pk=contract_id)
    items = bills.items_of(contracts)
    stands = Charge.objects.filter(item__contract_id=contract_id).exclude(invoice__state="void")
    billed = int(stands.aggregate(sum=Coalesce(Sum("net_minor"), 0))["sum"])
    lasting = items.filter(pl.col("end").is_null() | (pl.col("end") > pl.col("start")))
    is_known = lasting.select(
        (
            pl.col("end").is_not_null()
            & (pl.col("unit_price_nano").is_not_null() | ~pl.col("price_model").is_in(BY_UNIT_PRICE))
            & pl.col("meter_id").is_null()
            & (pl.col("price_model") != COMMITMENT)
        ).all()
    ).item()
    last = lasting["end"].max()
    if not is_known or not isinstance(last, date):
        return None, billed
    whole = bills.less_discounts(bills.fees_of(lasting, schedules.parts_of(contracts).clear(), as_of=last), lasting, contracts)
    return int(whole["net_minor"].sum()), billed


def out_of_balance(*, entity_id: int | None = None) -> pl.DataFrame:
    """What is billed in all against what was agreed, where the two differ: contracts of quotes that were never amended against their quote, and items
    with a schedule against its parts. One row each: contract_id, contract, what, currency, agreed_minor, schedule_minor.

    entity_id  of one company (default: of all). At most a thousand contracts of quotes, the newest, are looked at.
    """
    whose = {} if entity_id is None else {"entity_id": entity_id}
    found = []
    untouched = (
        Contract.objects.filter(quote__isnull=False, amendments__isnull=True, **whose)
        .select_related("quote")
        .order_by("-id")[:1_000]
    )
    for contract in untouched:
        whole, _ = value(contract.pk)
        if contract.quote is not None and whole is not None and whole != contract.quote.net_minor:
            found.append((contract.pk, contract.number, "the quote", contract.currency, contract.quote.net_minor, whole))
    return pl.concat([pl.DataFrame(found, schema=OFF, orient="row"), schedules.off_their_items(entity_id=entity_id).select(*OFF)])


def charges_off_their_lines() -> pl.DataFrame:
    """Charges whose invoice line does not say the same amount: charge_id. One statement."""
    return bulk.query(
        "SELECT c.id FROM contracts_charge c JOIN billing_invoice i ON i.id = c.invoice_id"
        " LEFT JOIN billing_invoiceline l ON l.invoice_id = c.invoice_id AND l.position = c.position"
        " WHERE l.id IS NULL OR l.net_minor <> CASE WHEN i.kind = 'credit_note' THEN -c.net_minor ELSE c.net_minor END LIMIT 100",
        [],
        {"charge_id": pl.Int64()},
    )


def priced_fees(rows: QuerySet[Item]) -> pl.DataFrame:
    """Items from the first day on that costs something (start), with what a whole period of them costs (exact, null: quantity x price, or by what is
    used), and of their contract customer_id, currency, contract_end and renews_months. One statement."""
    names = {
        "id": "item_id", "starts_on": "start", "ends_on": "end", "contract__customer_id": "customer_id", "contract__currency": "currency", "contract__month_days": "month_days",
        "contract__ends_on": "contract_end", "contract__renews_months": "renews_months",
    }  # fmt: skip
    columns = [
        "contract_id",
        "product_id",
        "in_advance",
        "anchor",
        "unit",
        "every",
        "day",
        "meter_id",
        "free_until",
        *usage.COLUMNS,
    ]
    found = (
        bulk.read(rows.values(*columns, *names))
        .rename(names)
        .with_columns(pl.col("every", "day", "month_days").cast(pl.Int64), start=pl.max_horizontal("start", "free_until"))
    )
    exact = usage.fees(found.filter(pl.col("meter_id").is_null())).select("item_id", "exact")
    return found.join(exact, on="item_id", how="left", maintain_order="left")


def run_documents(run_id: int) -> pl.DataFrame:
    """Documents of a run beside the last bill of their payer, currency and purchase order before it: first those that changed most, then first bills. Two statements.

    returns  invoice_id, number, customer, kind, state, currency, net_minor, total_minor, before_minor (null: none before it, or a credit note)
    """
    columns = [
        "id",
        "number",
        "customer_id",
        "customer__name",
        "kind",
        "state",
        "currency",
        "purchase_order",
        "net_minor",
        "total_minor",
    ]
    key = ["customer_id", "currency", "purchase_order"]
    ours = Charge.objects.filter(run_id=run_id).values("invoice_id")
    found = bulk.read(Invoice.objects.filter(pk__in=ours).exclude(state=Invoice.State.VOID).values(*columns))
    last = bulk.query(
        "SELECT i.customer_id, i.currency, i.purchase_order, i.net_minor FROM billing_invoice i JOIN (SELECT max(d.id) AS id FROM billing_invoice d"
        " WHERE d.kind = 'invoice' AND d.state NOT IN ('draft', 'void') AND d.id < (SELECT min(invoice_id) FROM contracts_charge WHERE run_id = %s)"
        " AND EXISTS (SELECT 1 FROM contracts_charge c WHERE c.invoice_id = d.id)"
        " AND d.customer_id IN (SELECT customer_id FROM billing_invoice WHERE id IN (SELECT invoice_id FROM contracts_charge WHERE run_id = %s))"
        " GROUP BY d.customer_id, d.currency, d.purchase_order) newest ON newest.id = i.id",
        [run_id, run_id],
        bulk.schema(Invoice, key) | {"before_minor": pl.Int64()},
    )
    rows = found.rename({"id": "invoice_id", "customer__name": "customer"}).join(last, on=key, how="left", maintain_order="left")
    rows = rows.with_columns(before_minor=pl.when(pl.col("kind") == Invoice.Kind.INVOICE).then("before_minor"))
    changed = (pl.col("net_minor") - pl.col("before_minor").fill_null(0)).abs()
    is_first = pl.col("before_minor").is_null() & (pl.col("kind") == Invoice.Kind.INVOICE)
    order = [pl.when(changed == 0).then(2).when(is_first).then(1).otherwise(0), -changed, "invoice_id"]
    return rows.sort(order).drop("customer_id", "purchase_order")


def progress(run_ids: list[int]) -> dict[int, dict[str, int]]:
    """How far each run is: parts, done (of them), charges, issued (documents of parts that are issued whole), documents. One statement."""
    sums = {
        "parts": Count("id"),
        "done": Count("id", filter=Q(is_done=True)),
        "charges": Sum("charges"),
        "issued": Coalesce(Sum("documents", filter=Q(is_issued=True)), 0),
        "documents": Sum("documents"),
    }
    rows = BillRunPart.objects.filter(run_id__in=run_ids).order_by().values_list("run_id").annotate(**sums)
    found = {run_id: dict(zip(sums, told, strict=True)) for run_id, *told in rows}
    return {pk: found.get(pk, dict.fromkeys(sums, 0)) for pk in run_ids}
