"""Verbs of recognition: say how something is earned, accept a part, keep the cost of winning a contract, close a month."""

from __future__ import annotations

from datetime import date

import polars as pl
from django.db.models import Sum

from topline.billing.models import Invoice
from topline.books import actions as books
from topline.books import chart
from topline.books.models import Account, Entity
from topline.catalog.models import Product
from topline.contracts import queries as contracts
from topline.contracts.models import Charge, Item
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.recognition import queries
from topline.recognition.models import Acceptance, Close, ContractBalance, ContractCost, Rule
from topline.timeline import actions as timeline

WHOLE = 1_000_000
ACCOUNTS = {queries.LIABILITY: "liability_minor", queries.ASSET: "asset_minor"}


class DraftsWait(Conflict):
    """A month cannot be closed while documents of it are drafts."""

    code = "drafts_wait"


class MonthPassed(Conflict):
    """A later month is closed already."""

    code = "month_passed"


@action("recognition.set_rule")
def set_rule(
    *,
    actor: Actor,
    product_id: int | None = None,
    item_id: int | None = None,
    method: str,
    ssp_low_nano: int | None = None,
    ssp_high_nano: int | None = None,
) -> int:
    """Say how a product, or one item of a contract, is earned and what a unit of it costs alone for a month (or at all, where it is sold once).

    What was earned so far under another rule is caught up by the next close. Returns the rule's id. Raises: NotFound, Invalid.
    """
    ensure((product_id is None) != (item_id is None), Invalid("A rule is for a product or for an item of a contract.", field="product_id", remedy="Name one of the two."))  # fmt: skip
    if product_id is not None:
        ensure(Product.objects.filter(pk=product_id).exists(), NotFound(f"There is no product {product_id}.", field="product_id"))
    if item_id is not None:
        ensure(Item.objects.filter(pk=item_id).exists(), NotFound(f"There is no item {item_id}.", field="item_id"))
    ensure(method in Rule.Method.values, Invalid(f"Nothing is earned by {method!r}.", field="method", remedy=f"Use one of {', '.join(Rule.Method.values)}."))  # fmt: skip
    ensure((ssp_low_nano is None) == (ssp_high_nano is None), Invalid("A range has two ends.", field="ssp_high_nano", remedy="Give both, the same twice for one price."))  # fmt: skip
    if ssp_low_nano is not None and ssp_high_nano is not None:
        ensure(
            0 <= ssp_low_nano <= ssp_high_nano, Invalid("The range begins above its end, or below zero.", field="ssp_low_nano")
        )
    made = Rule.objects.create(
        product_id=product_id, item_id=item_id, method=method, ssp_low_nano=ssp_low_nano, ssp_high_nano=ssp_high_nano, recorded_at=clock.now(), actor_key=actor.key
    )  # fmt: skip
    changed("recognition_rule", made.pk, after={"product_id": product_id, "item_id": item_id, "method": method})
    return made.pk


@action("recognition.accept_part")
def accept_part(*, actor: Actor, item_id: int, on: date, share_ppm: int, note: str = "") -> int:
    """The customer accepted a part of an item, in millionths of it; a negative share takes some back. Returns the acceptance's id.

    Raises: NotFound, Invalid (nothing, more than the whole, before it began, ahead of the day).
    """
    item = Item.objects.select_for_update().select_related("contract__entity").filter(pk=item_id).first()
    if item is None:
        raise NotFound(f"There is no item {item_id}.", field="item_id")
    ensure(share_ppm != 0, Invalid("Nothing is accepted.", field="share_ppm", remedy="Give the part that was."))
    today = clock.today(item.contract.entity.time_zone)
    ensure(item.starts_on <= on <= today, Invalid(f"It begins on {item.starts_on}, and today is {today}.", field="on", remedy="Give a day between them."))  # fmt: skip
    so_far = Acceptance.objects.filter(item_id=item_id).aggregate(sum=Sum("share_ppm"))["sum"] or 0
    ensure(0 <= so_far + share_ppm <= WHOLE, Invalid(f"{so_far / 10_000:g} % are accepted; that would make {(so_far + share_ppm) / 10_000:g} %.", field="share_ppm", remedy="Give at most what is left."))  # fmt: skip
    made = Acceptance.objects.create(
        item_id=item_id, on=on, share_ppm=share_ppm, note=note.strip()[:300], recorded_at=clock.now(), actor_key=actor.key
    )
    timeline.record_one(
        "part_accepted", subject="contract", subject_id=item.contract_id, actor=actor, on=on, customer_id=item.contract.customer_id, note=f"{item.description}: {(so_far + share_ppm) / 10_000:g} %",
    )  # fmt: skip
    changed("acceptance", made.pk, after={"item_id": item_id, "share_ppm": share_ppm})
    return made.pk


@action("recognition.keep_cost")
def keep_cost(*, actor: Actor, contract_id: int, what: str, amount_minor: int, start: date, end: date) -> int:
    """Keep what it cost to win a contract as an asset that is written off by days until `end` (the first day after); returns the cost's id.

    Booked on `start` out of commissions. amount_minor is in the company's currency. Raises: NotFound, Invalid, books.PeriodLocked.
    """
    contract = contracts.contract(contract_id)
    ensure(bool(what.strip()), Invalid("Say what it was paid for.", field="what"))
    ensure(amount_minor > 0, Invalid("A cost is more than zero.", field="amount_minor"))
    ensure(
        end > start,
        Invalid("It would be written off before it begins.", field="end", remedy="Give the first day after the benefit."),
    )
    _ensure_accounts(contract.entity_id)
    made = ContractCost.objects.create(
        contract=contract, what=what.strip()[:200], amount_minor=amount_minor, start=start, end=end, recorded_at=clock.now(), actor_key=actor.key
    )  # fmt: skip
    key = f"contract-cost:{made.pk}"
    row = pl.DataFrame(
        {"key": [key], "currency": [contract.entity.currency], "amount": [amount_minor], "customer_id": [contract.bill_to_id]}
    )
    entry = pl.DataFrame({"key": [key], "effective_on": [start], "memo": [f"{what.strip()}, {contract.number}"]})
    books.post(
        entity_id=contract.entity_id, kind="contract_cost", entries=entry, transfers=[books.leg(row, debit=queries.COSTS, credit="commissions", amount="amount", customer_id="customer_id")]
    )  # fmt: skip
    changed("contract_cost", made.pk, after={"contract_id": contract_id, "amount_minor": amount_minor})
    return made.pk


@action("recognition.close_month")
def close_month(*, actor: Actor, entity_id: int, through: date) -> int:
    """Post what makes revenue what was earned by the end of a month: contract liabilities, contract assets and what is left of the costs of winning.

    Only the difference to what the ledger holds is posted, so that closing again posts nothing new and a late document is caught up. Returns the
    close's id. Work: a fixed number of statements. Raises: NotFound, Invalid (no month's end, a month not over), MonthPassed, DraftsWait, books.PeriodLocked.
    """
    entity = Entity.objects.select_for_update().filter(pk=entity_id).first()
    if entity is None:
        raise NotFound(f"There is no company {entity_id}.", field="entity_id")
    queries.ensure_month_end(through)
    ensure(through < clock.today(entity.time_zone), Invalid(f"The month of {through} is not over.", field="through", remedy="Close it on its next day; until then the page shows it."))  # fmt: skip
    last = queries.last_close(entity_id)
    ensure(last is None or last.through <= through, MonthPassed(f"{last.through if last else ''} is closed already.", field="through", remedy="Close that month again: it catches up what came late."))  # fmt: skip
    waiting = Invoice.objects.filter(
        entity=entity, state=Invoice.State.DRAFT, pk__in=Charge.objects.filter(start__lte=through).values("invoice_id")
    ).count()
    ensure(not waiting, DraftsWait(f"{waiting} documents for days of this month are drafts.", field="through", remedy="Issue or void them first: Bill runs, Issue all."))  # fmt: skip
    _ensure_accounts(entity_id)
    told = queries.balances(entity, through=through)
    made = Close.objects.create(entity=entity, through=through, recorded_at=clock.now(), actor_key=actor.key)
    _post(entity, through, made.pk, told)
    bulk.insert(ContractBalance, told.select(*queries.BALANCE, close_id=pl.lit(made.pk)))
    changed("close", made.pk, after={"through": through, "contracts": told.height})
    return made.pk


# --- parts ---
def _post(entity: Entity, through: date, close_id: int, told: pl.DataFrame) -> None:
    """The adjusting entry, `close:<id>`: for each customer and currency, what is missing in the ledger; none where nothing is."""
    key = f"close:{close_id}"
    wanted = pl.concat([
        told.group_by("customer_id", "currency").agg(pl.col(c).sum().alias("amount"), pl.col(c.replace("_minor", "_functional_minor")).sum().alias("worth")).with_columns(role=pl.lit(role))
        for role, c in ACCOUNTS.items()
    ])  # fmt: skip
    kept = queries.costs(entity, through=through).select(
        "customer_id", currency=pl.lit(entity.currency), amount="amount_minor", worth="amount_minor", role=pl.lit(queries.COSTS)
    )
    held = queries.in_the_books(entity.pk, through=through)
    both = pl.concat([wanted, kept]).join(held, on=["role", "customer_id", "currency"], how="full", coalesce=True)
    gaps = both.select(
        "role", "customer_id", "currency", key=pl.lit(key),
        amount=pl.col("amount").fill_null(0) - pl.col("amount_minor").fill_null(0), worth=pl.col("worth").fill_null(0) - pl.col("functional_minor").fill_null(0),
    ).sort("role", "customer_id", "currency")  # fmt: skip
    split = pl.col("amount") * pl.col("worth") < 0  # a change of amount and one of its worth in opposite ways are two transfers
    rows = pl.concat([
        gaps.filter(~split), gaps.filter(split).with_columns(worth=pl.lit(0, pl.Int64)), gaps.filter(split).with_columns(amount=pl.lit(0, pl.Int64))
    ])  # fmt: skip
    other = {
        queries.LIABILITY: ("revenue", queries.LIABILITY),
        queries.ASSET: (queries.ASSET, "revenue"),
        queries.COSTS: (queries.COSTS, "commissions"),
    }
    legs = [
        books.leg(rows.filter(pl.col("role") == role), debit=debit, credit=credit, amount="amount", functional="worth", customer_id="customer_id")
        for role, (debit, credit) in other.items()
    ]  # fmt: skip
    entry = pl.DataFrame({"key": [key], "effective_on": [through], "memo": [f"Revenue earned by {through}"]})
    books.post(entity_id=entity.pk, kind="recognition", entries=entry, transfers=legs)


def _ensure_accounts(entity_id: int) -> None:
    """The accounts that recognition needs, in companies older than it."""
    codes = dict(Account.objects.filter(entity_id=entity_id).values_list("code", "role"))
    for code, name, kind, role in chart.DEFAULT:
        if role in {*ACCOUNTS, queries.COSTS, "commissions"} - set(codes.values()):
            free = next(c for c in (code, *(f"{code}-{n}" for n in range(1, 100))) if c not in codes)
            books.create_account(entity_id=entity_id, code=free, name=name, kind=kind, role=role)
