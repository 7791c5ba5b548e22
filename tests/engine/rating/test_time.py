"""Periods, proration, discounts and prepaid credits: what must hold for any dates and amounts."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from topline.engine import periods, rating
from topline.engine.periods import Grid
from topline.engine.rating import commitments, prepaid, proration
from topline.engine.recognition import allocation, schedules

D = Decimal
days = st.dates(date(2019, 1, 1), date(2031, 12, 31))
cents = st.integers(0, 10_000_000)


def items(start: date, *, end: date | None = None, in_advance: bool = True) -> pl.DataFrame:
    return pl.DataFrame({"item_id": [1], "start": [start], "end": pl.Series([end], dtype=pl.Date), "in_advance": [in_advance]})


@settings(max_examples=60, deadline=None)
@given(days, st.sampled_from(["month", "quarter", "year"]), st.integers(0, 60))
def test_a_boundary_is_counted_from_the_anchor_and_clamped_to_its_month(anchor, unit, n):
    months = anchor.year * 12 + anchor.month - 1 + n * periods.MONTHS[unit]
    year, month = divmod(months, 12)
    expected = date(year, month + 1, min(anchor.day, monthrange(year, month + 1)[1]))
    grid = periods.add_items(pl.DataFrame({"n": [n]}), grid=Grid(anchor, unit))
    assert grid.select(periods.boundary(pl.col("n"))).item() == expected


@settings(max_examples=60, deadline=None)
@given(days, days, st.sampled_from(["day", "week", "month", "quarter", "year"]), st.integers(1, 5))
def test_every_day_lies_in_exactly_the_period_that_is_found_for_it(anchor, on, unit, every):
    found = periods.periods_holding(periods.add_items(pl.DataFrame({"on": [on]}), grid=Grid(anchor, unit, every)), on="on")
    assert found["full_start"][0] <= on < found["full_end"][0]


@settings(max_examples=40, deadline=None)
@given(days, st.integers(1, 900), st.sampled_from(["week", "month", "quarter"]), cents)
def test_periods_join_without_gap_and_billing_in_two_halves_bills_the_whole(start, length, unit, price):
    end = start + timedelta(days=length)
    grid = Grid(periods.calendar_anchor(start, unit), unit)
    whole = periods.due_periods(periods.add_items(items(start, end=end), grid=grid), as_of=end)
    assert whole["start"][0] == start and whole["end"][-1] == end
    assert whole["start"].to_list()[1:] == whole["end"].to_list()[:-1]
    middle = start + timedelta(days=length // 2)
    first = periods.due_periods(periods.add_items(items(start, end=end), grid=grid), as_of=middle)
    second = whole.join(first, on=["item_id", "start"], how="anti")
    assert first.height + second.height == whole.height
    amounts = [proration.prorate(f.with_columns(price_minor=pl.lit(price)))["amount_minor"].sum() for f in (first, second, whole)]
    assert amounts[0] + amounts[1] == amounts[2]


def test_fee_and_usage_of_one_contract_keep_cadences_of_their_own():
    start = date(2024, 1, 31)
    fee = periods.add_items(items(start), grid=Grid(start, "year"))
    usage = periods.add_items(
        items(start, in_advance=False).with_columns(item_id=pl.lit(2, dtype=pl.Int64)), grid=Grid(start, "month")
    )
    due = periods.due_periods(pl.concat([fee, usage]), as_of=date(2024, 3, 31))
    assert due.select("item_id", "start", "end").rows() == [
        (1, date(2024, 1, 31), date(2025, 1, 31)), (2, date(2024, 1, 31), date(2024, 2, 29)), (2, date(2024, 2, 29), date(2024, 3, 31)),
    ]  # fmt: skip


def test_an_item_that_ends_before_it_starts_is_refused_and_named():
    backwards = periods.add_items(items(date(2024, 2, 1), end=date(2024, 1, 1)), grid=Grid(date(2024, 2, 1)))
    with pytest.raises(periods.PeriodInvalid) as refused:
        periods.due_periods(backwards, as_of=date(2024, 6, 1))
    assert refused.value.details["items"] == [{"item_id": 1, "problem": "ends_before_it_starts"}]


def test_a_retail_year_gives_its_53rd_week_to_the_last_period():
    year = periods.retail_periods(date(2023, 1, 29), date(2024, 2, 4))
    assert (year["end"] - year["start"]).dt.total_days().to_list() == [28, 28, 35] * 3 + [28, 28, 42]
    with pytest.raises(periods.PeriodInvalid):
        periods.retail_periods(date(2023, 1, 29), date(2024, 2, 5))


@settings(max_examples=50, deadline=None)
@given(days, st.integers(2, 400), st.data(), cents)
def test_the_parts_of_a_period_add_up_to_its_price_before_rounding(start, length, data, price):
    cut = data.draw(st.integers(1, length - 1))
    end, middle = start + timedelta(days=length), start + timedelta(days=cut)
    parts = pl.DataFrame(
        {"price_minor": price, "start": [start, middle], "end": [middle, end], "full_start": start, "full_end": end}
    )
    found = proration.prorate(parts)
    assert abs(found["exact"].sum() - price) <= D("1e-14")
    assert abs(found["amount_minor"].sum() - price) <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=5))
def test_what_is_left_of_a_period_is_every_day_that_no_pause_covers(pauses):
    start = date(2024, 1, 1)
    period = pl.DataFrame({"item_id": [1], "start": [start], "end": [start + timedelta(days=60)]})
    removed = pl.DataFrame(
        {
            "item_id": pl.Series([1] * len(pauses), dtype=pl.Int64), "start": pl.Series([start + timedelta(days=a) for a, _ in pauses], dtype=pl.Date),
            "end": pl.Series([start + timedelta(days=a + n) for a, n in pauses], dtype=pl.Date),
        }
    )  # fmt: skip
    gone = {d for a, n in pauses for d in range(a, a + n)}
    found = proration.remaining(period, removed)
    left = [d for s, e in found.select("start", "end").iter_rows() for d in range((s - start).days, (e - start).days)]
    assert left == [d for d in range(60) if d not in gone]


def change(mode: str, on: date = date(2026, 4, 21)) -> dict:
    row = {
        "old_price_minor": 3000, "new_price_minor": 6000, "paid_minor": 3000, "paid_from": date(2026, 4, 1), "full_start": date(2026, 4, 1),
        "full_end": date(2026, 5, 1), "changed_on": on, "mode": mode,
    }  # fmt: skip
    return proration.change(pl.DataFrame([row])).row(0, named=True)


@pytest.mark.parametrize(
    ("mode", "credit", "charge", "effective", "bill_on", "new_start"),
    [
        ("invoice_now", 1000, 2000, date(2026, 4, 21), date(2026, 4, 21), None), ("with_next_invoice", 1000, 2000, date(2026, 4, 21), None, None),
        ("at_period_end", 0, 0, date(2026, 5, 1), date(2026, 5, 1), date(2026, 5, 1)),
        ("restart", 1000, 6000, date(2026, 4, 21), date(2026, 4, 21), date(2026, 4, 21)),
    ],
)  # fmt: skip
def test_each_mode_of_change_says_what_it_credits_charges_and_moves(mode, credit, charge, effective, bill_on, new_start):
    found = change(mode)
    assert (found["credit_minor"], found["charge_minor"], found["due_minor"]) == (credit, charge, charge - credit)
    assert (found["effective_on"], found["bill_on"], found["new_start"]) == (effective, bill_on, new_start)


def test_a_change_on_the_first_day_credits_all_and_one_outside_the_period_is_refused():
    assert change("invoice_now", date(2026, 4, 1))["credit_minor"] == 3000
    with pytest.raises(proration.Invalid):
        change("invoice_now", date(2026, 3, 31))
    with pytest.raises(proration.Invalid):
        change("whenever")


def test_a_ramp_splits_the_period_in_which_a_phase_begins():
    period = pl.DataFrame(
        {
            "item_id": [1],
            "start": [date(2026, 4, 1)],
            "end": [date(2026, 5, 1)],
            "full_start": [date(2026, 4, 1)],
            "full_end": [date(2026, 5, 1)],
        }
    )
    phases = pl.DataFrame(
        {"item_id": [1, 1], "from_on": [date(2026, 1, 1), date(2026, 4, 16)], "price_minor": [3000, 6000], "quantity": [1, 1]}
    )
    assert proration.prorate(proration.ramp(period, phases))["amount_minor"].to_list() == [1500, 3000]


@settings(max_examples=40, deadline=None)
@example(amounts=[532], given_discounts=[(True, 24_500), (True, 40_000), (True, 2_600), (False, 386)])
@example(amounts=[1, 1], given_discounts=[(True, 50_000), (False, 1)])
@given(
    st.lists(st.integers(0, 50_000), min_size=1, max_size=6),
    st.lists(st.tuples(st.booleans(), st.integers(1, 90_000)), max_size=4),
)
def test_discounts_never_take_more_than_the_fees_and_their_parts_add_up(amounts, given_discounts):
    fees = pl.DataFrame(
        {"invoice_id": 1, "fee_id": range(len(amounts)), "product": "p", "amount_minor": amounts, "tax_rate_ppm": 190_000}
    )
    discounts = pl.DataFrame(
        [
            {
                "invoice_id": 1, "discount_id": n, "position": n, "percent_ppm": v * 10 if percent else None, "fixed_minor": None if percent else v,
                "products": None, "frequency": "forever", "periods_left": None,
            }
            for n, (percent, v) in enumerate(given_discounts)
        ],
        schema={
            "invoice_id": pl.Int32, "discount_id": pl.Int64, "position": pl.Int64, "percent_ppm": pl.Int64, "fixed_minor": pl.Int64,
            "products": pl.List(pl.String), "frequency": pl.String, "periods_left": pl.Int64,
        },
    )  # fmt: skip
    found = rating.apply_discounts(fees, discounts)
    assert found.fees["discount_minor"].sum() == found.discounts["taken_minor"].sum() <= sum(amounts)
    assert (found.fees["discount_exact"] <= found.fees["amount_minor"]).all()
    assert (found.fees["discount_minor"] <= found.fees["amount_minor"]).all()
    totals = rating.taxed(found.fees).invoices.row(0, named=True)
    assert totals["gross_minor"] == totals["net_minor"] + totals["tax_minor"]


def test_credits_are_drawn_by_priority_then_expiry_and_expired_ones_not_at_all():
    grants = pl.DataFrame(
        {
            "customer_id": 1, "grant_id": [1, 2, 3], "priority": [1, 1, 0], "expires_on": [date(2026, 12, 1), date(2026, 6, 1), date(2026, 2, 1)],
            "granted_on": date(2026, 1, 1), "kinds": pl.Series([None, None, None], dtype=pl.List(pl.String)), "balance_minor": 100,
        }
    )  # fmt: skip
    fees = pl.DataFrame({"customer_id": 1, "fee_id": [1], "is_a": [["usage"]], "on": [date(2026, 3, 1)], "gross_minor": [150]})
    found = prepaid.draw_credits(grants, fees)
    assert found.draws.rows() == [(2, 1, 100), (1, 1, 50)]
    assert found.grants["left_minor"].to_list() == [50, 0, 100]
    expired = found.grants.tail(1).with_columns(rollover_ppm=pl.lit(500_000), rollover_cap_minor=pl.lit(30))
    assert prepaid.expire_credits(expired).select("rolled_minor", "breakage_minor").row(0) == (30, 70)


def test_a_true_up_fills_the_minimum_and_never_pays_back():
    rows = pl.DataFrame({"minimum_minor": 1000, "used_minor": [300, 1500], "covered_days": 31, "full_days": 31})
    assert commitments.true_up(rows)["true_up_minor"].to_list() == [700, 0]


@settings(max_examples=50, deadline=None)
@given(days, st.integers(1, 900), st.integers(-10_000_000, 10_000_000), st.sampled_from(["day", "month", "point"]))
def test_a_schedule_adds_up_to_its_amount(start, length, amount, method):
    one = pl.DataFrame(
        {
            "obligation_id": [1],
            "amount_minor": [amount],
            "start": [start],
            "end": [start + timedelta(days=length)],
            "method": [method],
        }
    )
    found = schedules.schedule(one)
    assert found["amount_minor"].sum() == amount
    assert found["month"].is_sorted() and found["month"].is_unique().all()


@settings(max_examples=50, deadline=None)
@given(cents, st.lists(st.integers(1, 1_000_000), min_size=1, max_size=7))
def test_allocated_parts_add_up_to_the_price_and_lie_within_a_cent_of_their_share(price, ssp):
    rows = pl.DataFrame({"contract_id": 1, "obligation_id": range(len(ssp)), "price_minor": price, "ssp": [D(s) for s in ssp]})
    found = allocation.allocate(rows)
    assert found["allocated_minor"].sum() == price
    for part, weight in zip(found["allocated_minor"], ssp, strict=True):
        assert abs(part - D(price) * weight / sum(ssp)) < 1
