"""Reads of contracts: the list, one with its items and what was billed, renewals, and whether what is billed is what was agreed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from topline.contracts import schedules, usage
from topline.contracts.models import Amendment, BillRunPart, Charge, Contract, Item
from topline.contracts.pricing import PRICE
from topline.engine import charges as engine
from topline.kernel import bulk
from topline.kernel.errors import NotFound

NET = pl.col("net_minor").sum()
AHEAD = timedelta(days=120)
PER_YEAR = {"day": 0, "week": 52, "month": 12, "quarter": 4, "year": 1}
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
    """What the items of contracts that run on a day come to in a year, in minor units (annualised: ARR by contract). One statement."""
    running = Q(ends_on__gt=on) | Q(ends_on__isnull=True)
    rows = _priced_fees(Item.objects.filter(running, contract_id__in=contract_ids, starts_on__lte=on, meter__isnull=True))
    plain = (
        pl.col("quantity_micro").cast(engine.EXACT) / engine.MICRO * (pl.col("unit_price_nano").cast(engine.EXACT) / engine.NANO)
    )
    exact = pl.coalesce("exact", plain)
    times = pl.col("unit").replace_strict(PER_YEAR, return_dtype=pl.Int64) / pl.col("every")
    sums = rows.group_by("contract_id").agg(yearly=(exact.cast(pl.Float64) * times).sum().round().cast(pl.Int64))
    return dict(sums.iter_rows())


def detail(contract_id: int) -> dict[str, Any]:
    """Items, amendments and the newest charges of a contract, as rows. Three statements."""
    items = Item.objects.filter(contract_id=contract_id).order_by("starts_on", "id").values(
        "id", "description", "product_id", "quantity_micro", "unit_price_nano", "starts_on", "ends_on", "unit", "every", "in_advance", "tax_class", "replaces_id", "meter_id", "meter__name", "alerts_minor", *[name for name in PRICE if name != "unit_price_nano"]
    )  # fmt: skip
    amended = Amendment.objects.filter(contract_id=contract_id).order_by("-id").values("id", "kind", "effective_on", "told", "because", "recorded_at", "actor_key")  # fmt: skip
    charged = Charge.objects.filter(item__contract_id=contract_id).order_by("-full_start", "-id").values(
        "item_id", "item__description", "full_start", "start", "end", "days", "full_days", "sequence", "net_minor", "quantity_micro", "explained", "invoice_id", "invoice__number", "invoice__state"
    )  # fmt: skip
    return {"items": list(items[:SHOWN]), "amendments": list(amended[:SHOWN]), "charges": list(charged[:SHOWN])}


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
    billed by what is used: nobody knows the whole. Two statements."""
    items = _priced_fees(Item.objects.filter(contract_id=contract_id))
    stands = Charge.objects.filter(item__contract_id=contract_id).exclude(invoice__state="void")
    billed = int(stands.aggregate(sum=Coalesce(Sum("net_minor"), 0))["sum"])
    lasting = items.filter(pl.col("end").is_null() | (pl.col("end") > pl.col("start")))
    is_known = lasting.select(
        (
            pl.col("end").is_not_null()
            & (pl.col("unit_price_nano").is_not_null() | pl.col("exact").is_not_null())
            & pl.col("meter_id").is_null()
        ).all()
    ).item()
    last = lasting["end"].max()
    if not is_known or not isinstance(last, date):
        return None, billed
    whole = engine.desired(lasting, as_of=last)
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


def progress(run_ids: list[int]) -> dict[int, dict[str, int]]:
    """How far each run is: parts, done, charges, documents. One statement."""
    sums = {
        "parts": Count("id"),
        "done": Count("id", filter=Q(is_done=True)),
        "charges": Sum("charges"),
        "documents": Sum("documents"),
    }
    rows = BillRunPart.objects.filter(run_id__in=run_ids).order_by().values_list("run_id").annotate(**sums)
    found = {run_id: dict(zip(sums, told, strict=True)) for run_id, *told in rows}
    return {pk: found.get(pk, dict.fromkeys(sums, 0)) for pk in run_ids}


# --- parts ---
def _priced_fees(rows: QuerySet[Item]) -> pl.DataFrame:
    """Items with what a whole period of them costs (exact, null: quantity x price, or by what is used). One statement."""
    names = {"id": "item_id", "starts_on": "start", "ends_on": "end", "contract__currency": "currency"}
    columns = ["contract_id", "in_advance", "anchor", "unit", "every", "day", "meter_id", *usage.COLUMNS]
    found = bulk.read(rows.values(*columns, *names)).rename(names).with_columns(pl.col("every", "day").cast(pl.Int64))
    exact = usage.fees(found.filter(pl.col("meter_id").is_null())).select("item_id", "exact")
    return found.join(exact, on="item_id", how="left", maintain_order="left")
