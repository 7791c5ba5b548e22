"""Reads of credits: who has some and how much can be used, one wallet with its credits and moves, what credits paid of a document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from topline.catalog.models import Product
from topline.contracts import drawing
from topline.contracts.models import Credit, CreditMove, Wallet
from topline.kernel.errors import NotFound
from topline.kernel.money import format_amount
from topline.market import queries as market
from topline.metering.models import Meter

SOON = timedelta(days=30)
SHOWN = 200


def wallets(*, entity_id: int, on: date, customer_ids: Sequence[int] | None = None) -> QuerySet[Any]:
    """Wallets with what can be used on a day (usable), what was bought of it (bought), what expires within 30 days (soon), the next day on which some does
    (next_on), and how many credits are left (count); order and slice before use. One statement."""
    now = drawing.usable(on, "credits__")
    rows = Wallet.objects.filter(entity_id=entity_id, **({} if customer_ids is None else {"customer_id__in": list(customer_ids)}))

    def total(only: Q) -> Coalesce:
        return Coalesce(Sum("credits__left_minor", filter=only), 0)

    return rows.select_related("customer").annotate(
        usable=total(now),
        bought=total(now & Q(credits__is_paid=True)),
        soon=total(now & Q(credits__expires_on__lte=on + SOON)),
        next_on=Min("credits__expires_on", filter=now),
        count=Count("credits", filter=now),
    )


def wallet(wallet_id: int, *, on: date) -> Any:
    """One wallet with the sums of `wallets`. Raises: NotFound. Two statements."""
    entity_id = Wallet.objects.filter(pk=wallet_id).values_list("entity_id", flat=True).first()
    if entity_id is None:
        raise NotFound(f"There is no wallet {wallet_id}.", field="wallet_id", remedy="See the list of credits.")
    return wallets(entity_id=entity_id, on=on).select_related("entity").get(pk=wallet_id)


def credits_of(wallet_id: int) -> list[Credit]:
    """The credits of a wallet in the order in which they pay, those that are over last; at most 200. One statement."""
    found = Credit.objects.filter(wallet_id=wallet_id).select_related("contract", "invoice", "wallet").order_by("-id")[:SHOWN]
    last = date.max
    return sorted(found, key=lambda c: (c.left_minor == 0, c.priority, c.expires_on or last, c.starts_on, c.pk))


def moves_of(wallet_id: int) -> list[dict[str, Any]]:
    """The newest 200 moves of a wallet. One statement."""
    columns = (
        "id",
        "on",
        "kind",
        "amount_minor",
        "note",
        "credit_id",
        "credit__name",
        "invoice_id",
        "invoice__number",
        "position",
    )
    return list(CreditMove.objects.filter(credit__wallet_id=wallet_id).order_by("-id").values(*columns)[:SHOWN])


def balance_of(customer_ids: Sequence[int], *, entity_id: int, on: date) -> list[Any]:
    """The wallets of a customer and of the records merged into it, by currency; at most 20. One statement."""
    return list(wallets(entity_id=entity_id, on=on, customer_ids=customer_ids).order_by("currency", "id")[:20])


def usable_by_customer(entity_id: int, *, on: date) -> dict[tuple[int, str], int]:
    """What customers can use on a day, by customer (that stands for the holder) and currency. Two statements."""
    rows = Credit.objects.filter(drawing.usable(on), wallet__entity_id=entity_id).values(
        "wallet__customer_id", "wallet__currency"
    )
    found = list(rows.annotate(left=Sum("left_minor")).values_list("wallet__customer_id", "wallet__currency", "left"))
    stands = dict(market.canonical().select("record_id", "customer_id").iter_rows()) if found else {}
    sums: dict[tuple[int, str], int] = {}
    for holder, currency, left in found:
        key = (stands.get(holder, holder), currency)
        sums[key] = sums.get(key, 0) + left
    return sums


def paid_by_line(invoice_id: int, currency: str) -> dict[int, list[str]]:
    """What credits paid of each line of a document, in sentences by the line's position. One statement."""
    moves = CreditMove.objects.filter(invoice_id=invoice_id, kind=CreditMove.Kind.DRAWN).select_related("credit").order_by("id")
    told: dict[int, list[str]] = {}
    for move in moves[:1_000]:
        credit = move.credit
        why = [f"priority {credit.priority}", f"to be used before {credit.expires_on}" if credit.expires_on else "without an end"]
        if credit.pays_for:
            why.append(f"for {', '.join(kind_names(credit.pays_for))}")
        kind = "bought" if credit.is_paid else "given"
        told.setdefault(move.position or 0, []).append(
            f"Paid from credits, tax included: {format_amount(-move.amount_minor, currency)} of {credit.name} ({kind}; {', '.join(why)}) on {move.on}."
        )
    return told


def kind_names(kinds: Sequence[str]) -> list[str]:
    """What credits pay for, in words. At most two statements."""
    ids = {kind: [int(k.partition(":")[2]) for k in kinds if k.startswith(f"{kind}:")] for kind in ("meter", "product")}
    meters = dict(Meter.objects.filter(pk__in=ids["meter"]).values_list("id", "name")) if ids["meter"] else {}
    products = dict(Product.objects.filter(pk__in=ids["product"]).values_list("id", "name")) if ids["product"] else {}
    names = {
        "use": "use",
        "fees": "fees",
        **{f"meter:{k}": v for k, v in meters.items()},
        **{f"product:{k}": v for k, v in products.items()},
    }
    return [names.get(kind, kind) for kind in kinds]
