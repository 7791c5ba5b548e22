"""Verbs of recognition: say how something is earned and what it costs alone, accept a part, estimate what is variable, decide about an amendment, keep the
cost of winning a contract, close a month."""

from __future__ import annotations

from datetime import date

import polars as pl
from django.db.models import Q, Sum

from topline.books import actions as books
from topline.books.models import Entity
from topline.catalog.models import Product
from topline.contracts import queries as contracts
from topline.contracts.models import Amendment, Item
from topline.engine.documents import EXACT, round_half_away
from topline.engine.recognition.modifications import POLICY
from topline.engine.recognition.variable import estimate
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure
from topline.recognition import queries
from topline.recognition.models import (
    Acceptance,
    Close,
    ContractBalance,
    ContractCost,
    Estimate,
    Rule,
    StandalonePrice,
    Treatment,
    VariableElement,
)
from topline.timeline import actions as timeline

WHOLE = 1_000_000
MAX_OUTCOMES = 20
MAX_MINOR = 10**14
MAX_NANO = 10**18
ACCOUNTS = {queries.LIABILITY: "liability_minor", queries.REFUND: "refund_minor", queries.ASSET: "asset_minor"}


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
    life_months: int | None = None,
) -> int:
    """Say how a product, or one item of a contract, is earned and what a unit of it costs alone for a month (or at all, where it is sold once).

    life_months  of a fee that is earned over the contract: the customer's life, where renewing without paying it again is a right worth having (IFRS 15.B49)
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
    ensure(life_months is None or method == Rule.Method.TERM, Invalid("Only what is earned over the contract has a life.", field="life_months", remedy="Choose 'over the whole contract', or leave it out."))  # fmt: skip
    ensure(life_months is None or 1 <= life_months <= 600, Invalid("A customer's life is 1 to 600 months.", field="life_months"))
    made = Rule.objects.create(
        product_id=product_id, item_id=item_id, method=method, ssp_low_nano=ssp_low_nano, ssp_high_nano=ssp_high_nano, life_months=life_months, recorded_at=clock.now(), actor_key=actor.key
    )  # fmt: skip
    changed("recognition_rule", made.pk, after={"product_id": product_id, "item_id": item_id, "method": method})
    return made.pk


@action("recognition.set_standalone_price")
def set_standalone_price(
    *,
    actor: Actor,
    product_id: int,
    currency: str,
    valid_from: date,
    low_nano: int,
    high_nano: int,
    basis: str,
    because: str = "",
) -> int:
    """Say what a unit of a product costs alone from a day on: a range, for a month, or for all of it where it is sold once; returns its id.

    Contracts that began before the day keep what held then (IFRS 15.88); what an amendment adds or shares anew takes what holds on its day.
    Raises: NotFound, Invalid.
    """
    money.ensure_currency(currency)
    ensure(Product.objects.filter(pk=product_id).exists(), NotFound(f"There is no product {product_id}.", field="product_id"))
    ensure(basis in StandalonePrice.Basis.values, Invalid(f"No price is known by {basis!r}.", field="basis", remedy=f"Use one of {', '.join(StandalonePrice.Basis.values)}."))  # fmt: skip
    ensure(0 <= low_nano <= high_nano, Invalid("The range begins above its end, or below zero.", field="low_nano", remedy="Give the same twice for one price."))  # fmt: skip
    ensure(high_nano <= MAX_NANO, Invalid("The price is too large.", field="high_nano"))
    made = StandalonePrice.objects.create(
        product_id=product_id, currency=currency, valid_from=valid_from, low_nano=low_nano, high_nano=high_nano, basis=basis, because=because.strip()[:300], recorded_at=clock.now(), actor_key=actor.key
    )  # fmt: skip
    changed("standalone_price", made.pk, after={"product_id": product_id, "currency": currency, "valid_from": valid_from, "low_nano": low_nano, "high_nano": high_nano})  # fmt: skip
    return made.pk


@action("recognition.add_variable_amount")
def add_variable_amount(
    *, actor: Actor, contract_id: int, what: str, on: date, outcomes: list[dict[str, int]], method: str = "expected_value", item_id: int | None = None, is_paid_back: bool = False,
    ceiling_minor: int | None = None, because: str = "",
) -> int:  # fmt: skip
    """Put a part of a contract's price that depends on what happens: a bonus, a penalty, a rebate, a concession; returns the id of the element.

    on             from which day it is promised; on or before the contract's first day it is a part of the price from the beginning
    outcomes       [{amount_minor, probability_ppm}]: below zero for what is taken off; together a million
    method         expected_value, or most_likely where there are two outcomes (IFRS 15.53)
    item_id        the one item that it relates to wholly (IFRS 15.85); none: it is shared like the price
    is_paid_back   it was billed already and goes back to the customer: a refund liability until it did
    ceiling_minor  the most of which a reversal is not highly probable; then because says why (IFRS 15.56-58)
    Raises: NotFound, Invalid.
    """
    contract = contracts.contract(contract_id)
    ensure(bool(what.strip()), Invalid("Say what it is.", field="what", remedy="Such as: bonus for going live by June."))
    if item_id is not None:
        ensure(contract.items.filter(pk=item_id).exists(), NotFound(f"{contract.number} has no item {item_id}.", field="item_id"))
    element = VariableElement.objects.create(
        contract=contract, item_id=item_id, what=what.strip()[:200], is_paid_back=is_paid_back, created_at=clock.now()
    )
    _estimate(actor, element, on=on, outcomes=outcomes, method=method, ceiling_minor=ceiling_minor, because=because)
    return element.pk


@action("recognition.estimate_variable_amount")
def estimate_variable_amount(
    *, actor: Actor, element_id: int, on: date, outcomes: list[dict[str, int]], method: str = "expected_value", ceiling_minor: int | None = None, because: str = ""
) -> int:  # fmt: skip
    """Put a variable amount at something else from a day on; returns the id of the estimate. What was delivered by then is caught up on that day, the rest earned with
    what is still to be delivered (IFRS 15.87-90). Once a document has settled it, put it at nothing: the document says it now. Raises: NotFound, Invalid."""
    element = VariableElement.objects.select_for_update().select_related("contract__entity").filter(pk=element_id).first()
    if element is None:
        raise NotFound(f"There is no variable amount {element_id}.", field="element_id")
    last = element.estimates.order_by("-id").first()
    ensure(last is None or on >= last.on, Invalid(f"It was estimated on {last.on if last else ''} already.", field="on", remedy="Give that day or a later one."))  # fmt: skip
    return _estimate(actor, element, on=on, outcomes=outcomes, method=method, ceiling_minor=ceiling_minor, because=because)


@action("recognition.treat_amendment")
def treat_amendment(*, actor: Actor, amendment_id: int, treatment: str, because: str) -> int:
    """Account for an amendment otherwise than the policy would: separate_contract, prospective or catch_up, and why; returns the decision's id.

    The newest decision counts; the next close catches up what follows from it. Raises: NotFound, Invalid.
    """
    amendment = Amendment.objects.filter(pk=amendment_id).first()
    if amendment is None:
        raise NotFound(f"There is no amendment {amendment_id}.", field="amendment_id")
    known = [word for word, _, _ in POLICY]
    ensure(treatment in known, Invalid(f"Nothing is accounted for as {treatment!r}.", field="treatment", remedy=f"Use one of {', '.join(known)}."))  # fmt: skip
    ensure(
        bool(because.strip()), Invalid("Say why it is accounted for otherwise.", field="because", remedy="An auditor will ask.")
    )
    ensure(amendment.is_itemised, Invalid("What this amendment did to items was not kept: it is from before that was.", field="amendment_id", remedy="It is caught up in its month."))  # fmt: skip
    adds = amendment.items.filter(is_new=True).exists()
    ensure(treatment != "separate_contract" or adds, Invalid("An amendment that adds nothing is no contract of its own.", field="treatment", remedy="Use prospective or catch_up."))  # fmt: skip
    made = Treatment.objects.create(
        amendment=amendment, treatment=treatment, because=because.strip()[:300], recorded_at=clock.now(), actor_key=actor.key
    )
    changed("amendment_treatment", made.pk, after={"amendment_id": amendment_id, "treatment": treatment, "because": because})
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
    so_far = Acceptance.objects.filter(item_id__in=_line(item)).aggregate(sum=Sum("share_ppm"))["sum"] or 0
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
    waiting = queries.waiting_drafts(entity, through=through)
    ensure(not waiting, DraftsWait(f"{waiting:,} {'document' if waiting == 1 else 'documents'} for days of this month {'is a draft' if waiting == 1 else 'are drafts'}.", field="through", remedy="Sign the run that wrote them, or take it back: Bill runs."))  # fmt: skip
    _ensure_accounts(entity_id)
    told = queries.balances(entity, through=through)
    made = Close.objects.create(entity=entity, through=through, recorded_at=clock.now(), actor_key=actor.key)
    _post(entity, through, made.pk, told)
    bulk.insert(ContractBalance, told.select(*queries.BALANCE, close_id=pl.lit(made.pk)))
    changed("close", made.pk, after={"through": through, "contracts": told.height})
    return made.pk


# --- parts ---
def _estimate(
    actor: Actor,
    element: VariableElement,
    *,
    on: date,
    outcomes: list[dict[str, int]],
    method: str,
    ceiling_minor: int | None,
    because: str,
) -> int:
    """Keep what a variable amount is put at. See `add_variable_amount`."""
    contract = element.contract
    today = clock.today(contract.entity.time_zone)
    ensure(on <= max(today, contract.starts_on), Invalid(f"Today is {today}.", field="on", remedy="Estimate it as of a day that has come."))  # fmt: skip
    ensure(method in Estimate.Method.values, Invalid(f"Nothing is estimated by {method!r}.", field="method", remedy=f"Use one of {', '.join(Estimate.Method.values)}."))  # fmt: skip
    ensure(0 < len(outcomes) <= MAX_OUTCOMES, Invalid("An estimate has outcomes.", field="outcomes", remedy=f"Give 1 to {MAX_OUTCOMES}, zero for nothing."))  # fmt: skip
    chances = [int(o["probability_ppm"]) for o in outcomes]
    ensure(min(chances) >= 0 and sum(chances) == WHOLE, Invalid(f"The odds come to {sum(chances) / 10_000:g} %.", field="outcomes", remedy="Make them 100 %."))  # fmt: skip
    ensure(all(abs(int(o["amount_minor"])) <= MAX_MINOR for o in outcomes), Invalid("An amount is too large.", field="outcomes"))
    ensure(ceiling_minor is None or bool(because.strip()), Invalid("Say why more of it might be reversed.", field="because", remedy="Such as: new market, no history."))  # fmt: skip
    frame = pl.DataFrame(
        {"contract_id": 0, "element_id": 0, "method": method, "amount": [int(o["amount_minor"]) for o in outcomes], "probability": chances, "worst": ceiling_minor},
        schema_overrides={"worst": pl.Int64},
    ).with_columns(pl.col("amount", "worst").cast(EXACT), pl.col("probability").cast(EXACT) / WHOLE)  # fmt: skip
    found = estimate(frame).select(round_half_away(pl.col("estimate", "constrained"))).row(0, named=True)
    kept = [{"amount_minor": int(o["amount_minor"]), "probability_ppm": c} for o, c in zip(outcomes, chances, strict=True)]
    made = Estimate.objects.create(
        element=element, on=on, method=method, outcomes=kept, estimate_minor=found["estimate"], ceiling_minor=ceiling_minor, counted_minor=found["constrained"], because=because.strip()[:300],
        recorded_at=clock.now(), actor_key=actor.key,
    )  # fmt: skip
    changed("variable_element", element.pk, after={"what": element.what, "on": on, "counted_minor": made.counted_minor, "because": because})  # fmt: skip
    return made.pk


def _line(item: Item) -> list[int]:
    """An item and those of its contract that it replaces or that replace it: one thing to deliver. Two statements for each."""
    found, asked = {item.pk}, [item]
    while asked:
        one = asked.pop()
        for kin in Item.objects.filter(Q(pk=one.replaces_id) | Q(replaces=one), contract=item.contract_id).exclude(pk__in=found):
            found.add(kin.pk)
            asked.append(kin)
    return sorted(found)


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
        queries.REFUND: ("revenue", queries.REFUND),
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
    books.ensure_accounts(entity_id, frozenset({*ACCOUNTS, queries.COSTS, "commissions"}))
