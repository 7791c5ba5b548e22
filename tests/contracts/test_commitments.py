"""Commitments over several items, seats by their peak, bills inside a period, and meters that round: billed to the cent, and taken back when they no longer hold."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from topline.billing import taxes
from topline.billing.models import Invoice, InvoiceLine
from topline.books.models import Entity
from topline.contracts import actions, amendments, foresight, queries, runs
from topline.contracts.models import Charge, Contract, Item, Parked
from topline.flows import proofs
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.metering import actions as metering
from topline.recognition import queries as recognition

JAN, FEB, MAR, APR = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)
MICRO, NANO = 10**6, 10**9


@pytest.fixture(autouse=True)
def _home(owner, entity):
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 4, 2)):
        yield
        assert proofs.charges_stand_on_their_lines().is_empty()


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def meter(owner):
    return metering.add_meter(actor=owner, code="CALLS", name="Calls", method="sum", unit="calls")


@pytest.fixture
def send(owner):
    sent = []

    def make(value, at=datetime(2026, 1, 5), meter="CALLS"):
        sent.append(at)
        row = {"key": f"e{len(sent)}", "meter": meter, "customer": "Globex", "at": at, "value_micro": int(value * MICRO)}
        metering.record_events(actor=owner, events=pl.DataFrame([row], schema_overrides={"at": pl.Datetime("us")}))

    return make


@pytest.fixture
def sign(owner, entity, customer):
    def make(*items, **facts):
        usual = {"description": "Seat", "quantity_micro": MICRO, "unit_price_nano": 100_00 * NANO, "unit": "month"}
        told = {"customer_id": customer, "currency": "EUR", "starts_on": JAN, "ends_on": APR} | facts
        return actions.add_contract(actor=owner, entity_id=entity.pk, items=[usual | item for item in items], **told)

    return make


@pytest.fixture
def bill(owner, entity):
    def make(as_of):
        return runs.run(actor=owner, entity_id=entity.pk, as_of=as_of)

    return make


def commitment(**facts):
    return {"description": "Commitment", "price_model": "commitment", "unit_price_nano": None, "unit": "month"} | facts


def charged(description="Commitment"):
    return list(
        Charge.objects.filter(item__description=description).order_by("id").values_list("full_start", "net_minor", "sequence")
    )


def test_a_commitment_is_filled_by_all_items_and_late_use_takes_back_what_it_fills(sign, bill, meter, send):
    sign({}, {"description": "Use", "meter_id": meter, "unit_price_nano": 100 * NANO}, commitment(minimum_minor=150_00))
    send(20), bill(FEB)
    assert charged() == [(JAN, 30_00, 0)]
    told = Charge.objects.get(item__description="Commitment").explained
    assert told == [{"pledged": "least", "used_minor": 120_00.0, "bound_minor": 150_00.0, "minor": 30_00.0}]
    send(10), bill(FEB)
    assert charged() == [(JAN, 30_00, 0)], "ten more calls came late: 10.00 more and 10.00 less owe nothing"
    send(30), bill(FEB), bill(FEB)
    assert charged() == [(JAN, 30_00, 0), (JAN, -30_00, 1)]
    assert Invoice.objects.get(net_minor=10_00).lines.count() == 2


def test_a_commitment_of_a_pool_counts_its_own_items_and_a_year_is_one_period(sign, bill):
    pool = {"pool": "platform"}
    sign({**pool}, {"description": "Other"}, commitment(minimum_minor=1_300_00, unit="year", **pool), ends_on=date(2027, 1, 1))
    bill(date(2027, 1, 1))
    assert charged() == [(JAN, 100_00, 0)]


def test_the_most_of_several_items_is_given_back_beyond_it(sign, bill, meter, send, owner):
    made = sign({}, {"description": "Use", "meter_id": meter, "unit_price_nano": 100 * NANO}, commitment(maximum_minor=110_00))
    send(20), bill(FEB)
    assert charged() == [(JAN, -10_00, 0)]
    assert (
        InvoiceLine.objects.get(description__startswith="Commitment").description
        == "Commitment, 2026-01-01 to 2026-01-31, beyond the most that was agreed"
    )
    assert queries.value(made)[0] is None, "nobody knows the whole"


def test_a_part_of_a_period_owes_a_part_of_the_commitment_and_a_discount_changes_nothing(sign, bill, owner):
    made = sign(commitment(minimum_minor=310_00), starts_on=date(2026, 1, 17), ends_on=FEB)
    item = Item.objects.get()
    assert (item.in_advance, item.pool) == (False, "")
    actions.add_discount(actor=owner, contract_id=made, name="Half", starts_on=JAN, unit="month", share_ppm=500_000)
    bill(FEB)
    assert [net for _, net, _ in charged()] == [150_00], "15 of 31 days"


def test_a_commitment_that_is_raised_inside_a_period_holds_by_its_days(sign, bill, owner):
    made = sign({"unit_price_nano": 0}, commitment(minimum_minor=310_00))
    amendments.amend(
        actor=owner,
        contract_id=made,
        kind="price",
        on=date(2026, 1, 16),
        item_id=Item.objects.get(description="Commitment").pk,
        minimum_minor=620_00,
    )
    bill(FEB)
    assert [net for _, net, _ in charged()] == [150_00, 320_00]


def test_what_is_missing_is_earned_when_its_period_ends_and_nothing_is_left(sign, bill, entity):
    made = sign({"ends_on": MAR}, commitment(minimum_minor=150_00, ends_on=MAR), ends_on=MAR)
    bill(MAR)
    last = recognition.balances(entity, through=date(2026, 4, 30)).filter(pl.col("contract_id") == made).row(0, named=True)
    assert (last["billed_minor"], last["earned_minor"], last["liability_minor"], last["asset_minor"]) == (300_00, 300_00, 0, 0)
    january = recognition.balances(entity, through=date(2026, 1, 31)).filter(pl.col("contract_id") == made).row(0, named=True)
    assert january["earned_minor"] == 150_00


def test_a_commitment_far_above_what_was_billed_is_agreed_and_not_parked(sign, bill, entity):
    sign({"unit_price_nano": 1_00 * NANO}, commitment(minimum_minor=9_000_00, unit="quarter"))
    bill(JAN), bill(APR)
    assert not Parked.objects.filter(cleared_at__isnull=True).exists()
    assert charged() == [(JAN, 8_997_00, 0)]
    assert foresight.coming(entity=entity, as_of=APR, until=date(2026, 6, 1)).is_empty()


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({}, "minimum_minor"), ({"minimum_minor": 5, "maximum_minor": 4}, "maximum_minor"), ({"minimum_minor": -1}, "minimum_minor"), ({"minimum_minor": 5, "by_peak": True}, "by_peak"), ({"minimum_minor": 5, "bill_at_minor": [5]}, "bill_at_minor"),
        ({"minimum_minor": 5, "tiers": [{"up_to": None, "unit_price_nano": 1}]}, "tiers"),
    ],
)  # fmt: skip
def test_a_commitment_that_makes_no_sense_is_refused_at_the_field(sign, facts, field):
    with pytest.raises(Invalid) as refused:
        sign(commitment(**facts))
    assert refused.value.field == field
    assert not Contract.objects.exists()


def test_a_commitment_has_no_meter(sign, meter):
    with pytest.raises(Invalid, match="not of a meter"):
        sign(commitment(minimum_minor=5, meter_id=meter))


def test_seats_by_their_peak_cost_the_most_of_a_period_whole(sign, bill, owner, entity):
    made = sign({"quantity_micro": 10 * MICRO, "unit_price_nano": 10_00 * NANO, "by_peak": True}, ends_on=MAR)
    bill(JAN)
    for day, seats in ((10, 5), (20, 15), (25, 2)):
        item = Item.objects.filter(contract_id=made).order_by("-id").first()
        amendments.amend(
            actor=owner, contract_id=made, kind="quantity", on=date(2026, 1, day), item_id=item.pk, quantity_micro=seats * MICRO
        )
        bill(date(2026, 1, day))
    assert charged("Seat") == [(JAN, 100_00, 0), (JAN, 50_00, 0)], "ten, and five more; what falls gives nothing back"
    bill(FEB)
    assert charged("Seat")[2:] == [(FEB, 20_00, 0)]
    end = recognition.balances(entity, through=date(2026, 2, 28)).row(0, named=True)
    assert (end["billed_minor"], end["earned_minor"], end["liability_minor"], end["asset_minor"]) == (170_00, 170_00, 0, 0)


def test_peaks_are_kept_apart_by_line_and_by_days_where_not_asked(sign, bill, owner):
    made = sign(
        {"quantity_micro": 2 * MICRO, "by_peak": True}, {"description": "Plain", "quantity_micro": 2 * MICRO}, ends_on=FEB
    )
    for item in list(Item.objects.filter(contract_id=made)):
        amendments.amend(
            actor=owner, contract_id=made, kind="quantity", on=date(2026, 1, 16), item_id=item.pk, quantity_micro=MICRO
        )
    bill(JAN), bill(FEB)
    assert sum(net for _, net, _ in charged("Seat")) == 200_00
    assert sum(net for _, net, _ in charged("Plain")) == 96_77 + 51_61


def test_reported_seats_cost_the_peak_of_their_level_in_arrears(sign, bill, send, owner):
    seats = metering.add_meter(actor=owner, code="SEATS", name="Seats", method="peak", unit="seats")
    sign({"meter_id": seats, "unit_price_nano": 10_00 * NANO}, ends_on=MAR)
    for value, at in (
        (5, datetime(2025, 12, 20)),
        (3, datetime(2026, 1, 10)),
        (-6, datetime(2026, 1, 20)),
        (1, datetime(2026, 2, 10)),
    ):
        send(value, at=at, meter="SEATS")
    bill(MAR)
    assert charged("Seat") == [(JAN, 80_00, 0), (FEB, 30_00, 0)]


def test_use_is_billed_inside_a_period_at_its_amounts_and_the_rest_after_it(sign, bill, meter, send):
    sign(
        {
            "description": "Use",
            "meter_id": meter,
            "unit_price_nano": 100 * NANO,
            "bill_at_minor": [200_00, 500_00],
            "bill_every_minor": 1_000_00,
        },
        ends_on=FEB,
    )
    for day, calls in ((3, 150), (5, 100), (7, 200), (9, 100), (11, 900), (13, 100)):
        send(calls, at=datetime(2026, 1, day))
        bill(date(2026, 1, day))
        bill(date(2026, 1, day))
    assert charged("Use") == [(JAN, 250_00, 0), (JAN, 300_00, 1), (JAN, 1_000_00, 2)], (
        "at 250 and 550, and at 1,550, which is 1,000 beyond the last"
    )
    assert (
        InvoiceLine.objects.order_by("id").last().description
        == "Use, 2026-01-01 to 2026-01-13: 1550 calls, less what was billed before"
    )
    bill(FEB), bill(FEB)
    assert sum(net for _, net, _ in charged("Use")) == 1_550_00
    send(-1_000, at=datetime(2026, 1, 30)), bill(FEB)
    assert sum(net for _, net, _ in charged("Use")) == 550_00 and Invoice.objects.filter(kind="credit_note").count() == 1


def test_a_discount_is_taken_once_of_what_is_billed_inside_a_period(sign, bill, meter, send, owner):
    made = sign({"description": "Use", "meter_id": meter, "unit_price_nano": 100 * NANO, "bill_at_minor": [100_00]}, ends_on=FEB)
    actions.add_discount(actor=owner, contract_id=made, name="Tenth", starts_on=JAN, unit="month", share_ppm=100_000)
    send(150), bill(date(2026, 1, 10)), bill(date(2026, 1, 11))
    send(50, at=datetime(2026, 1, 12)), bill(FEB)
    assert charged("Use") == [(JAN, 135_00, 0), (JAN, 45_00, 1)]


@pytest.mark.parametrize(
    ("mode", "decimals", "billed"), [("round", 0, 123), ("ceil", 0, 124), ("floor", -2, 100), ("ceil", 1, 123.5)]
)
def test_a_meter_rounds_the_quantity_of_a_period_before_it_is_priced(sign, bill, send, owner, mode, decimals, billed):
    made = metering.add_meter(actor=owner, code="GB", name="Storage", method="sum", rounding=mode, round_decimals=decimals)
    sign({"description": "Use", "meter_id": made, "unit_price_nano": 100 * NANO}, ends_on=FEB)
    send(100, meter="GB"), send(23.456, meter="GB", at=datetime(2026, 1, 6)), bill(FEB)
    assert charged("Use") == [(JAN, int(billed * 100), 0)]
    with pytest.raises(Invalid):
        metering.add_meter(actor=owner, code="X", name="X", method="sum", rounding="half")


def test_a_year_of_one_commitment_is_one_pass_over_its_charges(sign, bill, entity):
    sign({"unit": "day", "ends_on": JAN + timedelta(days=1)}, commitment(minimum_minor=50_00), ends_on=date(2027, 1, 1))
    bill(date(2027, 1, 1))
    assert [net for _, net, _ in charged()] == [50_00] * 11, "January was filled by what was sold once"
