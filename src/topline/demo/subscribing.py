"""The demo company's contracts: accepted quotes that became one, subscriptions of its customers, and a bill run."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from topline.billing import delivery, taxes
from topline.billing.models import Delivery
from topline.contracts import actions, amendments, open_periods, rerating, runs, wallets
from topline.contracts.dates import add_months
from topline.contracts.models import CREDIT_AND_RERATE, NEXT_INVOICE, Charge, Contract, Item, Wallet
from topline.kernel.actor import Actor
from topline.market.models import Customer
from topline.metering import actions as metering
from topline.quotes.models import Quote
from topline.recognition import actions as recognition
from topline.recognition.models import StandalonePrice

PLANS = [
    ("Platform, each seat", "month", 12_00, (5, 60)),
    ("Support plan", "quarter", 900_00, (1, 1)),
    ("Analytics module", "month", 149_00, (1, 4)),
]  # name, period, price, quantity
COUNT = 40


def play(*, actor: Actor, entity_id: int, seed: int, end: date) -> None:
    """Contracts that began this month or will be renewed soon, two amendments that wait for the next run, one without a price. The same seed gives the same contracts."""
    dice = random.Random(seed)  # noqa: S311  (a play, not a secret)
    taxes.add_tax_rate(actor=actor, country="DE", rate_ppm=190_000, valid_from=date(2021, 1, 1))
    taxes.add_tax_rate(actor=actor, country="DE", rate_ppm=70_000, valid_from=date(2021, 1, 1), tax_class="reduced")
    accepted = Quote.objects.filter(state=Quote.State.ACCEPTED, closed_on=end)  # what was accepted before was billed as it came
    for quote_id in accepted.order_by("id").values_list("id", flat=True)[:200]:
        actions.make_contract(actor=actor, quote_id=quote_id, renews_months=12, notice_days=30)
    buyers = list(
        Customer.objects.filter(merged_into__isnull=True, aliases__isnull=False)
        .order_by("id")
        .values_list("id", flat=True)
        .distinct()[:COUNT]
    )
    first = end.replace(day=1)
    for n, buyer in enumerate(buyers):
        name, unit, price, (least, most) = PLANS[n % len(PLANS)]
        ends = add_months(first, dice.choice([1, 2, 3, 6, 12]))
        item = {
            "description": name,
            "quantity_micro": dice.randint(least, most) * 10**6,
            "unit_price_nano": None if n == COUNT - 1 else price * 10**9,
            "unit": unit,
        }
        made = actions.add_contract(
            actor=actor, entity_id=entity_id, customer_id=buyer, currency="EUR", starts_on=first, ends_on=ends, items=[item], renews_months=12 if n % 3 else 0, notice_days=30,
            purchase_order=f"PO-{4_000 + n}" if n % 5 == 0 else "",
        )  # fmt: skip
        if n == 1:
            actions.add_discount(actor=actor, contract_id=made, name="Partner, first quarter", starts_on=first, unit="month", periods=3, share_ppm=100_000)  # fmt: skip
    _use(actor, entity_id, buyers[:6], dice, first, end)
    _ahead(actor, entity_id, buyers[:5], first)
    run = runs.run(actor=actor, entity_id=entity_id, as_of=first)
    billed = Charge.objects.filter(run=run).order_by("invoice_id").values_list("invoice_id", flat=True).distinct()
    delivery.send_invoices(actor=actor, invoice_ids=list(billed))
    for n, found in enumerate(Delivery.objects.select_related("invoice__entity").order_by("id")):
        if n % 9:
            delivery.mark_delivery(actor=actor, delivery_id=found.pk, state="sent", message_id=f"<demo-{found.pk}@topline>")
        if n % 3 == 1:
            delivery.view_document(actor=delivery.customer_behind(found), delivery_id=found.pk)
    _come_late(actor, buyers[:2], first)
    seats = Contract.objects.filter(items__description=PLANS[0][0]).order_by("id")[:2]
    for contract, quantity in zip(seats, (80, 4), strict=True):
        item_id = contract.items.get().pk
        on = min(end, first.replace(day=16))
        amendments.amend(
            actor=actor,
            contract_id=contract.pk,
            kind="quantity",
            on=on,
            item_id=item_id,
            quantity_micro=quantity * 10**6,
            because="Their team changed",
        )

    _earn(actor, entity_id, first)
    open_periods.tell_alerts(actor=actor, entity_id=entity_id, as_of=end)
    wallets.tell_low_credits(actor=actor, entity_id=entity_id, as_of=end)


def _ahead(actor: Actor, entity_id: int, buyers: list[int], first: date) -> None:
    """Credits: packs that were bought last month, one that has expired since with a part carried over, one for use alone, and a gift after an outage."""
    before = add_months(first, -1)
    told: dict[str, Any] = {"actor": actor, "entity_id": entity_id, "currency": "EUR"}
    packs: list[dict[str, Any]] = [
        {"name": "Starter pack", "amount_minor": 2_500_00, "expires_on": add_months(first, 11)},
        {"name": "Interface pack", "units_micro": 50_000 * 10**6, "unit_nano": 2 * 10**8, "unit_name": "calls", "pays_for": ["use"], "priority": 10},
        {"name": "Trial pack", "amount_minor": 400_00, "expires_on": first, "rollover_ppm": 500_000, "rollover_cap_minor": 150_00},
    ]  # fmt: skip
    for buyer, pack in zip(buyers, packs, strict=False):
        wallets.sell_credits(customer_id=buyer, issue_on=before, **told, **pack)
    for buyer in buyers[1:5:3]:
        wallets.grant_credits(
            customer_id=buyer,
            name="Sorry for the outage",
            on=before,
            because="Half a day without the interface",
            amount_minor=20_00,
            **told,
        )
    wallets.expire_credits(actor=actor, entity_id=entity_id, as_of=first)
    meter = Item.objects.filter(meter__code="API").values_list("meter_id", flat=True).first()
    month = {"quantity_micro": 10**6, "unit": "month", "pool": "Platform"}
    actions.add_contract(
        actor=actor, entity_id=entity_id, customer_id=buyers[-1], currency="EUR", starts_on=before,
        items=[
            month | {"description": "Seats, by their peak", "quantity_micro": 12 * 10**6, "unit_price_nano": 15_00 * 10**9, "by_peak": True},
            month | {"description": "Calls beyond the plan", "meter_id": meter, "unit_price_nano": 3 * 10**8, "bill_at_minor": [250_00], "bill_every_minor": 500_00},
            month | {"description": "Commitment", "price_model": "commitment", "minimum_minor": 400_00},
        ],
    )  # fmt: skip
    for wallet_id in Wallet.objects.order_by("id").values_list("id", flat=True)[:2]:
        wallets.set_low_credits(actor=actor, wallet_id=wallet_id, low_minor=2_000_00)


def _earn(actor: Actor, entity_id: int, first: date) -> None:
    """A paid workshop that is earned as its days are accepted, commissions that are written off, and the month before, closed."""
    workshop = Contract.objects.filter(items__description=PLANS[1][0]).order_by("id").first()
    if workshop is None:
        return
    before = add_months(first, -1)
    made = actions.add_contract(
        actor=actor, entity_id=entity_id, customer_id=workshop.customer_id, currency="EUR", starts_on=before, ends_on=first,
        items=[{"description": "Workshop, four days", "quantity_micro": 4 * 10**6, "unit_price_nano": 1_400_00 * 10**9, "unit": "day", "ends_on": before + timedelta(days=1)}],
    )  # fmt: skip
    item = Item.objects.get(contract_id=made)
    recognition.set_rule(actor=actor, item_id=item.pk, method="milestone")
    recognition.accept_part(actor=actor, item_id=item.pk, on=before + timedelta(days=9), share_ppm=500_000, note="Two days held")
    for contract in Contract.objects.filter(ends_on__gt=first).order_by("id")[:5]:
        end = contract.ends_on or add_months(first, 12)
        recognition.keep_cost(
            actor=actor,
            contract_id=contract.pk,
            what="Commission",
            amount_minor=240_00,
            start=contract.starts_on,
            end=max(end, contract.starts_on + timedelta(days=1)),
        )
    _judge(actor, entity_id, workshop.customer_id, before)
    runs.run(actor=actor, entity_id=entity_id, as_of=first)
    recognition.close_month(actor=actor, entity_id=entity_id, through=first - timedelta(days=1))


def _judge(actor: Actor, entity_id: int, customer_id: int, before: date) -> None:
    """Judgements of revenue: a free set-up that is worth something alone, a bonus that is counted in part, a rebate that goes back, an amendment that is
    accounted for otherwise than the policy says, and three years paid ahead."""
    year = {"quantity_micro": 10**6, "unit": "year"}
    setup = {
        "description": "Set-up",
        "quantity_micro": 10**6,
        "unit": "day",
        "unit_price_nano": 0,
        "ends_on": before + timedelta(days=1),
    }
    made = actions.add_contract(
        actor=actor, entity_id=entity_id, customer_id=customer_id, currency="EUR", starts_on=before, ends_on=add_months(before, 12),
        items=[setup, year | {"description": "Platform, a year", "unit_price_nano": 12_000_00 * 10**9}],
    )  # fmt: skip
    alone = 1_500_00 * 10**9
    item = Item.objects.get(contract_id=made, description="Set-up")
    recognition.set_rule(actor=actor, item_id=item.pk, method="point", ssp_low_nano=alone, ssp_high_nano=alone)
    odds = [{"amount_minor": 1_200_00, "probability_ppm": 700_000}, {"amount_minor": 0, "probability_ppm": 300_000}]
    bonus = recognition.add_variable_amount(
        actor=actor, contract_id=made, what="Bonus for going live early", on=before, outcomes=odds, ceiling_minor=400_00, because="First project of its kind"
    )  # fmt: skip
    recognition.estimate_variable_amount(
        actor=actor,
        element_id=bonus,
        on=before + timedelta(days=20),
        outcomes=odds,
        ceiling_minor=800_00,
        because="The test went well",
    )
    rebate = [{"amount_minor": -360_00, "probability_ppm": 1_000_000}]
    recognition.add_variable_amount(
        actor=actor, contract_id=made, what="Rebate for the year", on=before, outcomes=rebate, is_paid_back=True
    )
    amended = amendments.amend(
        actor=actor, contract_id=made, kind="add", on=before + timedelta(days=14), because="They wanted more",
        item=year | {"description": "Analytics, a year", "unit_price_nano": 2_400_00 * 10**9},
    )  # fmt: skip
    recognition.treat_amendment(
        actor=actor, amendment_id=amended, treatment="prospective", because="Negotiated together with the platform"
    )
    actions.add_contract(
        actor=actor, entity_id=entity_id, customer_id=customer_id, currency="EUR", starts_on=before, ends_on=add_months(before, 36),
        items=[year | {"description": "Archive, three years ahead", "every": 3, "unit_price_nano": 2_700_00 * 10**9}],
    )  # fmt: skip
    for basis in ("observed", "market"):
        sold = (
            Item.objects.filter(product__isnull=False, unit_price_nano__gt=0)
            .exclude(product__in=StandalonePrice.objects.values("product"))
            .order_by("id")
            .first()
        )
        if sold is None or sold.product_id is None or sold.unit_price_nano is None:
            return
        a_month = sold.unit_price_nano // {"quarter": 3, "year": 12}.get(sold.unit, 1)
        recognition.set_standalone_price(
            actor=actor, product_id=sold.product_id, currency="EUR", valid_from=before, low_nano=a_month * 9 // 10, high_nano=a_month * 11 // 10, basis=basis,
            because="What it was sold for last year",
        )  # fmt: skip


def _come_late(actor: Actor, buyers: list[int], first: date) -> None:
    """Calls of last month that come after it was billed: one customer gets a credit note and the month anew, the other a difference."""
    day = first - timedelta(days=3)
    numbers = Customer.objects.filter(pk__in=buyers).order_by("id").values_list("number", flat=True)
    rows = [{"key": f"{number}-late", "meter": "API", "customer": number, "at": datetime(day.year, day.month, day.day, 18), "value_micro": 1_500 * 10**6} for number in numbers]  # noqa: DTZ001  (UTC)  # fmt: skip
    metering.record_events(actor=actor, events=pl.DataFrame(rows))


def _use(actor: Actor, entity_id: int, buyers: list[int], dice: random.Random, first: date, end: date) -> None:
    """Calls of an interface, billed by tiers since last month and as many this month, and an event that has no place."""
    meter = metering.add_meter(actor=actor, code="API", name="Calls of the interface", method="sum", unit="calls")
    before = add_months(first, -1)
    tiers = [
        {"up_to": 10_000, "unit_price_nano": 0, "flat_fee_minor": 25_00},
        {"up_to": None, "unit_price_nano": 2 * 10**8, "flat_fee_minor": 0},
    ]
    item = {
        "description": "Interface",
        "quantity_micro": 0,
        "unit_price_nano": None,
        "unit": "month",
        "meter_id": meter,
        "price_model": "graduated",
        "tiers": tiers,
        "alerts_minor": [50_00, 500_00],
    }
    names = dict(Customer.objects.filter(pk__in=buyers).values_list("id", "number"))
    rows = []
    rerating.set_late_usage(actor=actor, entity_id=entity_id, policy=NEXT_INVOICE)
    for n, buyer in enumerate(buyers):
        late = "" if n else CREDIT_AND_RERATE
        actions.add_contract(actor=actor, entity_id=entity_id, customer_id=buyer, currency="EUR", starts_on=before, items=[item], late_usage=late)  # fmt: skip
        for day in range(20):
            at = datetime(before.year, before.month, 1 + day, 10, tzinfo=UTC).replace(tzinfo=None)
            row = {"key": f"{names[buyer]}-{day}", "meter": "API", "customer": names[buyer], "value_micro": dice.randrange(200, 2_500) * 10**6}  # fmt: skip
            rows.append(row | {"at": at})
            if first + timedelta(days=day) <= end:
                rows.append(row | {"key": f"{row['key']}-again", "at": at.replace(year=first.year, month=first.month)})
    rows.append({"key": "lost-1", "meter": "API", "customer": "C-99999", "at": rows[0]["at"], "value_micro": 10**6})
    metering.record_events(actor=actor, events=pl.DataFrame(rows))
