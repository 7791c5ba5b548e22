"""Contracts with discounts, trials, tiers and months of their own earn what the bill run charges them, whatever is agreed, and leave nothing over."""

from __future__ import annotations

from datetime import date

import pytest

from topline.contracts import actions as contracts
from topline.contracts import amendments, schedules
from topline.contracts.models import Contract, Item, SchedulePart
from topline.flows import proofs
from topline.kernel import clock
from topline.metering import actions as metering
from topline.recognition import actions, queries

JAN, FEB, JUL, YEAR_ON = date(2026, 1, 1), date(2026, 2, 1), date(2026, 7, 1), date(2027, 1, 1)
NANO = 10**9
DEC31 = date(2026, 12, 31)
MONTHLY = {"unit": "month", "unit_price_nano": 300_00 * NANO}
TIERS = [{"up_to": 10, "unit_price_nano": 30_00 * NANO}, {"up_to": None, "unit_price_nano": 20_00 * NANO, "flat_fee_minor": 5_00}]


@pytest.fixture
def off(owner):
    def give(contract, name="Off", **facts):
        usual = {"starts_on": JAN, "unit": "month"}
        return contracts.add_discount(actor=owner, contract_id=contract, name=name, **usual | facts)

    return give


@pytest.fixture
def a_year(bill, close):
    """Bills on the first of each month, and closes the month before on it."""

    def live(*, closing=True, between=lambda month: None):
        for month in range(1, 14):
            first = date(2026 + (month - 1) // 12, (month - 1) % 12 + 1, 1)
            with clock.at(first):
                between(month)
                bill(first)
                if closing and month > 1:
                    close(queries.month_before(first))

    return live


def told(entity, through):
    """(billed, earned, liability, asset) by contract."""
    rows = queries.balances(entity, through=through)
    columns = ("contract_id", "billed_minor", "earned_minor", "liability_minor", "asset_minor")
    return {c: tuple(rest) for c, *rest in rows.select(columns).iter_rows()}


def test_a_year_of_discounts_trials_and_tiers_earns_what_is_billed_and_leaves_nothing(sign, off, a_year, entity):
    forever, thrice, trial, tiered = (
        sign(MONTHLY), sign(MONTHLY), sign(MONTHLY | {"free_until": FEB}), sign(MONTHLY | {"unit_price_nano": None, "quantity_micro": 15 * 10**6, "price_model": "graduated", "tiers": TIERS})
    )  # fmt: skip
    late, endless, own = (
        sign(MONTHLY),
        sign(MONTHLY | {"free_until": FEB}, ends_on=None),
        sign(MONTHLY, {"description": "Help", **MONTHLY}),
    )
    off(forever, share_ppm=100_000)
    off(thrice, amount_minor=100_00, periods=3)
    off(late, share_ppm=500_000, starts_on=JUL)
    off(own, share_ppm=500_000, item_id=Item.objects.filter(contract=own, description="Help").get().pk)
    off(own, "Welcome", amount_minor=120_00, unit="once")
    off(sign(MONTHLY | {"unit_price_nano": 0, "free_until": FEB}), share_ppm=100_000)  # there is nothing to take it off
    a_year()
    assert told(entity, date(2026, 1, 31)) == {
        forever: (270_00, 270_00, 0, 0),
        thrice: (200_00, 275_00, 0, 75_00),  # 300 off 3,600, over the year
        trial: (0, 275_00, 0, 275_00),  # eleven months paid, twelve committed
        tiered: (405_00, 405_00, 0, 0),
        late: (300_00, 300_00, 0, 0),  # lowers nothing before its day
        own: (330_00, 440_00, 0, 110_00),  # 450 less a twelfth of 120
    }
    assert told(entity, date(2026, 2, 28))[endless] == (300_00, 300_00, 0, 0)  # nothing is earned while it may be left
    at_the_end = told(entity, DEC31)
    sold = {
        forever: 3_240_00,
        thrice: 3_300_00,
        trial: 3_300_00,
        tiered: 4_860_00,
        late: 2_700_00,
        endless: 3_300_00,
        own: 5_280_00,
    }
    assert at_the_end == {contract: (amount, amount, 0, 0) for contract, amount in sold.items()}
    assert not [p.name for p in proofs.verify() if not p.holds]


def test_discounts_follow_amendments_usage_schedules_and_months_of_thirty_days(owner, sign, off, a_year, entity):
    meter = metering.add_meter(actor=owner, code="calls", name="Calls", method="count", unit="call")
    amended, shared, measured = sign(MONTHLY), sign(MONTHLY), sign(MONTHLY, {"description": "Calls", "meter_id": meter, "unit": "month", "unit_price_nano": 1_00 * NANO, "minimum_minor": 60_00})  # fmt: skip
    built = sign({"unit": "day", "ends_on": date(2026, 1, 2), "unit_price_nano": 900_00 * NANO})
    short = sign(MONTHLY | {"anchor": JAN, "ends_on": date(2026, 12, 11), "free_until": date(2026, 1, 21)}, month_days=30)
    schedules.set_schedule(
        actor=owner,
        item_id=Item.objects.get(contract=built).pk,
        parts=[
            {"amount_minor": 500_00, "due_on": JAN, "description": "First"},
            {"amount_minor": 400_00, "due_on": JUL, "description": "Rest"},
        ],
    )
    given_up = sign({"unit": "day", "ends_on": date(2026, 1, 2), "unit_price_nano": 900_00 * NANO})
    milestones = [
        {"amount_minor": 500_00, "due_on": JAN, "description": "First"},
        {"amount_minor": 400_00, "description": "Never"},
    ]
    schedules.set_schedule(actor=owner, item_id=Item.objects.get(contract=given_up).pk, parts=milestones)
    never = SchedulePart.objects.get(item__contract=given_up, due_on=None).pk
    schedules.drop_part(actor=owner, part_id=never, because="Not wanted")
    for contract in (amended, shared, measured):
        off(contract, amount_minor=100_01)
    off(built, share_ppm=200_000, starts_on=FEB)
    off(short, share_ppm=100_000)

    def change(month):
        if month == 4:
            item = Item.objects.get(contract=amended).pk
            amendments.amend(actor=owner, contract_id=amended, kind="quantity", on=date(2026, 4, 16), item_id=item, quantity_micro=2 * 10**6, because="More seats")  # fmt: skip
            amendments.amend(actor=owner, contract_id=shared, kind="add", on=date(2026, 4, 1), item={"description": "Help", "quantity_micro": 10**6, **MONTHLY}, because="Help")  # fmt: skip
        if month == 9:
            amendments.amend(actor=owner, contract_id=shared, kind="terminate", on=date(2026, 10, 16), because="Leaves")

    a_year(closing=False, between=change)
    assert told(entity, DEC31)[measured][3] == 60_00  # what was used in December is billed in January
    ends = told(entity, after := date(2027, 1, 31))
    for contract, (billed, earned, liability, asset) in ends.items():
        assert (earned, liability, asset) == (billed, 0, 0), Contract.objects.get(pk=contract).number
    assert ends[measured][0] == 12 * (360_00 - 100_01)
    assert ends[given_up][0] == 500_00
    assert ends[built][0] == 500_00 + 320_00
    assert ends[short][0] == 90_00 + 10 * 270_00 + 90_00  # ten of thirty days, at either end
    assert told(entity, date(2026, 9, 30))[shared] == (3_599_91, 3_599_91, 0, 0)  # 100.01 is shared by two, and taken once
    earned_in_march = queries.balances(entity, through=date(2026, 3, 31)).filter(contract_id=amended)["earned_minor"].item()
    assert earned_in_march == 3 * (300_00 - 100_01)  # an amendment leaves what was earned before it
    with clock.at(date(2027, 2, 2)):
        actions.close_month(actor=owner, entity_id=entity.pk, through=after)
    assert not [p.name for p in proofs.verify() if not p.holds]
