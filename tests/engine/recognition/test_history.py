"""Contracts played through what happens to them: amendments in three treatments, estimates, acceptances; to the cent, and nothing lost."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from topline.engine.recognition import contracts as engine
from topline.engine.recognition.modifications import treatments
from topline.engine.recognition.observed import observe

JAN, MAY, YEAR_ON = date(2026, 1, 1), date(2026, 5, 1), date(2027, 1, 1)
NANO = 10**9
ITEM = {
    "contract_id": 1, "replaces_id": None, "product_id": None, "currency": "EUR", "start": JAN, "end": YEAR_ON, "in_advance": True, "anchor": JAN, "unit": "month", "every": 1, "day": None,
    "quantity_micro": 10**6, "unit_price_nano": 100_00 * NANO, "method": "day", "low_nano": None, "high_nano": None, "term_start": JAN, "term_end": YEAR_ON, "life_months": None, "booked_on": JAN, "is_known": True,
}  # fmt: skip
TYPES = dict.fromkeys(("replaces_id", "product_id", "day", "every", "low_nano", "high_nano", "life_months", "quantity_micro", "unit_price_nano"), pl.Int64)  # fmt: skip
TYPES |= dict.fromkeys(("end", "term_end"), pl.Date)
EVENT = {"contract_id": 1, "kind": "amendment", "on": MAY, "treatment": None, "term_before": YEAR_ON, "item_id": None, "delta_minor": None, "since": None}  # fmt: skip


def item(item_id, **more):
    return ITEM | {"item_id": item_id} | more


def once(item_id, on, price, *, alone=None):
    """Something sold on a day, worth `alone` by itself."""
    worth = None if alone is None else alone * NANO
    return item(item_id, unit="day", start=on, anchor=on, end=on + timedelta(days=1), unit_price_nano=price * NANO, method="point", low_nano=worth, high_nano=worth)  # fmt: skip


def play(items, events=(), changes=(), deliveries=(), **more):
    """Earned by item and month, and the obligations; bookings always say the same."""
    told = engine.obligations(
        pl.DataFrame(list(items), schema_overrides=TYPES),
        through=date(2026, 12, 31),
        events=pl.DataFrame([EVENT | {"seq": n + 1} | e for n, e in enumerate(events)], schema=engine.EVENTS),
        changes=pl.DataFrame([{"contract_id": 1} | c for c in changes], schema=engine.CHANGES),
        deliveries=pl.DataFrame(list(deliveries), schema=engine.DELIVERIES),
        **more,
    )

    def sums(parts):
        rows = (
            engine.months(parts)
            .group_by("item_id", "month")
            .agg(pl.col("amount_minor").sum())
            .filter(pl.col("amount_minor") != 0)
        )
        return {(i, m.month if m.year == 2026 else m): a for i, m, a in rows.sort("item_id", "month").iter_rows()}

    months = sums(told.parts)
    assert sums(told.bookings) == months
    return months, told


def ended(item_id, seq=1, until=YEAR_ON):
    return {"seq": seq, "item_id": item_id, "until_before": until, "is_new": False}


def begun(item_id, seq=1):
    return {"seq": seq, "item_id": item_id, "until_before": None, "is_new": True}


SETUP = once(3, JAN, 0, alone=400_00)
DOUBLED = [item(1, end=MAY), item(2, start=MAY, replaces_id=1, quantity_micro=2 * 10**6), SETUP]


@pytest.mark.parametrize("treatment", ["separate_contract", "prospective"])
def test_more_at_the_same_price_leaves_what_was_shared_as_it_is(treatment):
    months, told = play(DOUBLED, [{"treatment": treatment}], [ended(1), begun(2)])
    assert {months[1, m] for m in range(1, 5)} == {75_00} and {months[2, m] for m in range(5, 13)} == {75_00 + 100_00}
    assert months[3, 1] == 300_00 and told.parts["amount_minor"].sum() == told.sold["sold_minor"].sum() == 2_000_00


def test_a_catch_up_books_on_the_day_what_would_have_been_earned_from_the_beginning():
    """2,000.00 over goods worth 2,400.00 alone: five sixths of each."""
    months, told = play(DOUBLED, [{"treatment": "catch_up"}], [ended(1), begun(2)])
    assert [months[1, m] for m in range(1, 5)] == [75_00] * 4
    assert months[3, 1] == 300_00 and months[3, 5] == round(400_00 * 5 / 6) - 300_00
    assert abs(months[1, 5] - (round(400_00 * 5 / 6) - 300_00)) <= 2 and abs(months[2, 6] - round(200_00 * 5 / 6)) <= 1
    assert told.parts["amount_minor"].sum() == 2_000_00


def test_what_ends_early_books_on_its_day_what_was_shared_too_high_or_too_low():
    """400.00 are charged until May; 300.00 each were earned of platform and set-up: 200.00 too much."""
    months, told = play([item(1, end=MAY), SETUP], [{"treatment": "prospective"}], [ended(1)])
    assert sum(a for (_, m), a in months.items() if m == 5) == -200_00
    assert told.parts["amount_minor"].sum() == 400_00


def test_a_variable_amount_from_before_a_change_belongs_to_the_first_goods_and_its_rest_to_all():
    """IFRS 15, example 6: X delivered, Y and later Z to come; the bonus of 200 becomes 240 after Z was added for 300."""
    goods = [
        once(i, on, price, alone=500)
        for i, on, price in ((1, date(2026, 2, 1), 500), (2, date(2026, 8, 1), 500), (3, date(2026, 9, 1), 300))
    ]
    events = [
        {"kind": "estimate", "on": JAN, "delta_minor": 200, "since": 1},
        {"on": MAY, "treatment": "prospective"},
        {"kind": "estimate", "on": date(2026, 6, 1), "delta_minor": 40, "since": 1},
    ]
    months, _ = play(goods, events, [begun(3, seq=2)])
    assert months == {(1, 2): 600, (1, 6): 20, (2, 8): 460, (3, 9): 460}


def test_a_bonus_of_one_item_is_earned_with_it_and_caught_up_when_it_is_estimated_late():
    months, _ = play(
        [item(1), item(2)], [{"kind": "estimate", "on": date(2026, 7, 1), "delta_minor": 365_00, "item_id": 2, "since": 1}]
    )
    assert months[1, 8] == 100_00
    assert months[2, 7] == 100_00 + round(365_00 / 2) + round(365_00 / 12)  # six months of monthly periods, each worth the same
    assert sum(a for (i, _), a in months.items() if i == 2) == 1_200_00 + 365_00


def test_one_thing_in_parts_whose_price_changes_is_caught_up_by_its_progress():
    """A build for a year of which half is accepted; its price rises from May on."""
    build = {"unit": "year", "method": "milestone"}
    items = [
        item(1, end=MAY, unit_price_nano=12_000_00 * NANO, **build),
        item(2, start=MAY, replaces_id=1, unit_price_nano=18_000_00 * NANO, **build),
    ]
    accepted = [
        {"item_id": 1, "on": date(2026, 2, 3), "share_ppm": 500_000},
        {"item_id": 2, "on": date(2026, 10, 3), "share_ppm": 250_000},
    ]
    months, told = play(items, [{"treatment": "catch_up"}], [ended(1), begun(2)], accepted)
    whole = told.sold["sold_minor"].sum()
    assert months[1, 2] == 6_000_00
    assert months[1, 5] + months[2, 5] == round(whole / 2) - 6_000_00 and months[2, 10] == round(whole / 4)
    assert (
        told.parts.filter(pl.col("start").is_null())["amount_minor"].sum()
        == whole - 6_000_00 - (months[1, 5] + months[2, 5]) - months[2, 10]
    )


def test_a_renewal_is_earned_at_its_own_price_and_a_fee_over_its_own_term():
    renewed = item(2, start=YEAR_ON, end=date(2028, 1, 1), replaces_id=1, unit_price_nano=110_00 * NANO)
    fee = once(3, JAN, 365_00) | {"method": "term"}
    lasting = {"term_end": date(2028, 1, 1)}
    months, _ = play(
        [row | lasting for row in (item(1), renewed, fee)], [{"on": YEAR_ON, "treatment": "separate_contract"}], [begun(2)]
    )
    assert months[1, 6] == 100_00 and months[2, date(2027, 6, 1)] == 110_00 and months[3, 1] == 31_00
    living, _ = play([item(1), fee | {"life_months": 24}])
    assert living[3, 1] == round(365_00 * 31 / 730)


def test_equal_months_stay_equal_when_they_are_cut():
    year = item(1, unit="year", unit_price_nano=1_200_00 * NANO, method="month")
    months, _ = play([year | {"end": MAY}, item(2, start=MAY, replaces_id=1, unit="year", unit_price_nano=2_400_00 * NANO, method="month")], [{"treatment": "prospective"}], [ended(1), begun(2)])  # fmt: skip
    assert {months[1, m] for m in range(1, 5)} == {100_00} and len({months[2, m] for m in range(5, 13)}) <= 2


def test_a_price_that_is_highly_variable_is_what_the_others_leave_where_that_is_believed():
    prices = pl.DataFrame(
        [{"product_id": p, "currency": "EUR", "valid_from": JAN, "low_nano": low * NANO, "high_nano": high * NANO, "is_residual": r} for p, low, high, r in ((1, 90, 90, False), (2, 40, 64, True))],
        schema=engine.PRICES,
    )  # fmt: skip

    def shares(sold):
        rows = [once(1, JAN, 90) | {"product_id": 1}, once(2, MAY, sold) | {"product_id": 2}]
        return play(rows, prices=prices)[0]

    assert shares(50) == {(1, 1): 90, (2, 5): 50}
    assert shares(20) == {
        (1, 1): round(110 * 90 / 142),
        (2, 5): round(110 * 52 / 142),
    }  # 20 is no price for it: the middle of its range


def test_what_held_when_a_contract_began_counts_for_it():
    prices = pl.DataFrame(
        [{"product_id": 1, "currency": "EUR", "valid_from": d, "low_nano": v * NANO, "high_nano": v * NANO, "is_residual": False} for d, v in ((date(2025, 1, 1), 100), (date(2026, 3, 1), 900))],
        schema=engine.PRICES,
    )  # fmt: skip
    months, _ = play([once(1, MAY, 100) | {"product_id": 1}, once(2, JAN, 50, alone=100)], prices=prices)
    assert months == {(1, 5): 75, (2, 1): 75}


def test_what_is_expected_back_grows_with_what_was_delivered():
    parts = play([item(1)])[1].parts
    back = pl.DataFrame({"contract_id": [1], "item_id": pl.Series([None], dtype=pl.Int64), "delta_minor": [-120_00]})
    assert engine.refunds(parts, back, through=date(2026, 3, 31))["refund_minor"].to_list() == [30_00]
    assert engine.refunds(parts.clear(), back, through=date(2026, 3, 31))["refund_minor"].to_list() == [120_00]


@pytest.mark.parametrize(
    ("adds", "fair", "distinct", "word"),
    [(True, True, True, "separate_contract"), (True, False, True, "prospective"), (False, True, True, "prospective"), (True, False, False, "catch_up"), (False, False, False, "catch_up")],
)  # fmt: skip
def test_the_policy_table_answers_by_the_facts(adds, fair, distinct, word):
    facts = pl.DataFrame({"adds_distinct": [adds], "at_standalone_price": [fair], "rest_distinct": [distinct]})
    assert treatments(facts)["treatment"].to_list() == [word]


def test_sales_propose_a_range_where_most_agree_and_a_residual_where_they_do_not():
    def seen(*prices):
        rows = pl.DataFrame({"product_id": 1, "currency": "EUR", "price_nano": list(prices)})
        return observe(rows).select("low_nano", "median_nano", "high_nano", "is_residual").row(0)

    assert seen(95, 100, 100, 105, 200) == (95, 100, 105, False)
    assert seen(20, 60, 100, 140, 400) == (20, 100, 400, True)
    assert seen(100, 100, 100, 100) == (None, 100, None, False)


@settings(max_examples=10, phases=[Phase.generate])  # each is a contract played through: shrinking one takes minutes
@given(
    price=st.integers(1, 99_999), added=st.integers(0, 99_999), alone=st.integers(0, 50_000), bonus=st.integers(-9_999, 9_999), day=st.dates(date(2025, 12, 1), date(2027, 1, 31)),
    treatment=st.sampled_from(["separate_contract", "prospective", "catch_up"]), method=st.sampled_from(["day", "month", "milestone", "term"]), share=st.integers(1, 10**6),
)  # fmt: skip
def test_whatever_happens_all_of_the_price_is_earned_once(price, added, alone, bonus, day, treatment, method, share):
    on = min(max(day, JAN), date(2026, 12, 31))
    items = [
        item(1, end=on, unit_price_nano=price * NANO + 333_333_333, method=method),
        item(2, start=on, replaces_id=1, unit_price_nano=added * NANO, method=method),
        once(3, JAN, 7, alone=alone),
        item(4),
    ]
    events = [{"kind": "estimate", "on": day, "delta_minor": bonus, "since": 1}, {"on": on, "treatment": treatment}, {"kind": "estimate", "on": day, "delta_minor": -bonus // 3, "item_id": 4, "since": 3}]  # fmt: skip
    items = [i for i in items if i["start"] < i["end"] or i["item_id"] == 1]
    accepted = [{"item_id": 1, "on": date(2026, 3, 3), "share_ppm": share}] if method == "milestone" else []
    _, told = play(items, events, [ended(1, seq=2), begun(2, seq=2)], accepted)
    assert told.parts["amount_minor"].sum() == told.sold["sold_minor"].sum() + bonus + -bonus // 3
