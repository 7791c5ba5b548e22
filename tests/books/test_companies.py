"""Several companies, several currencies, dated rates, closed months: what the ledger keeps apart and what it adds up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from topline.books import actions, queries, rates
from topline.engine.currency import RateMissing
from topline.kernel import clock
from topline.kernel.errors import Conflict, Invalid


@pytest.fixture
def post(owner):
    """Book rent; returns the entry's id."""

    def make(entity_id, amount, on, currency="EUR", key=None):
        return actions.post_entry(
            actor=owner, entity_id=entity_id, key=key or f"{entity_id}:{on}:{amount}:{currency}", effective_on=on, memo="Rent", debit="6200", credit="1050",
            amount_minor=amount, currency=currency,
        )  # fmt: skip

    return make


def spent(entity_id, **when):
    return queries.role_balances(entity_id=entity_id, role="operating_expense", **when)


def per_euro(owner, *rows):
    table = pl.DataFrame(rows, schema={"currency": pl.String, "on": pl.Date, "per_euro": pl.String}, orient="row")
    actions.add_rates(actor=owner, table=table.with_columns(pl.col("per_euro").cast(pl.Decimal(38, 9))), source="test")


def convert(currency, amount, on, to="EUR"):
    frame = pl.DataFrame({"currency": [currency], "amount_minor": [amount], "on": [on]})
    row = rates.convert(frame, to=to).row(0, named=True)
    return row["converted_minor"], row["rate_on"]


def test_two_companies_keep_books_of_their_own(owner, entity, post):
    other = actions.open_entity(actor=owner, key="inc", name="Acme Inc.", currency="USD", country="US")
    post(entity.pk, 100, date(2026, 3, 1))
    post(other, 700, date(2026, 3, 1), currency="USD")
    actions.lock_period(actor=owner, entity_id=other, through=date(2026, 3, 31), reason="Closed")
    post(entity.pk, 50, date(2026, 3, 2))  # the other company's lock is not ours
    assert spent(entity.pk) == {"EUR": 150}
    assert spent(other) == {"USD": 700}
    assert queries.entity().key == "acme"
    assert queries.entity("inc").pk == other
    with pytest.raises(Conflict):
        actions.open_entity(actor=owner, key="acme", name="Again", currency="EUR")


def test_currencies_are_never_added_but_the_home_amounts_balance(owner, entity, post):
    per_euro(owner, ("USD", date(2026, 3, 1), "1.25"), ("JPY", date(2026, 3, 1), "160"), ("KWD", date(2026, 3, 1), "0.32"))
    for currency, amount in (("EUR", 100), ("USD", 1_000), ("JPY", 1_600), ("KWD", 3_200)):
        post(entity.pk, amount, date(2026, 3, 1), currency=currency)
    assert spent(entity.pk) == {"EUR": 100, "USD": 1_000, "JPY": 1_600, "KWD": 3_200}
    table = queries.trial_balance(entity_id=entity.pk)
    home = table.filter(pl.col("role") == "operating_expense")["functional_minor"].to_list()
    assert sorted(home) == [100, 800, 1_000, 1_000]  # 10.00 USD, 1,600 JPY and 3.200 KWD in euro cents
    assert table["functional_minor"].sum() == 0
    assert all(total == 0 for _, total in table.group_by("currency").agg(pl.col("balance_minor").sum()).iter_rows())


def test_a_rate_counts_from_its_day_until_the_next_one(owner):
    per_euro(owner, ("USD", date(2040, 1, 2), "2"), ("USD", date(2040, 1, 9), "4"))
    assert convert("USD", 800, date(2040, 1, 2)) == (400, date(2040, 1, 2))
    assert convert("USD", 800, date(2040, 1, 8)) == (400, date(2040, 1, 2))
    assert convert("USD", 800, date(2040, 1, 9)) == (200, date(2040, 1, 9))


def test_two_foreign_currencies_meet_over_the_euro(owner):
    per_euro(owner, ("USD", date(2040, 1, 2), "1.25"), ("JPY", date(2040, 1, 2), "200"))
    assert convert("USD", 1_000, date(2040, 1, 2), to="JPY") == (1_600, date(2040, 1, 2))
    assert convert("JPY", 1_600, date(2040, 1, 2), to="USD") == (1_000, date(2040, 1, 2))


def test_days_after_the_shipped_history_take_its_last_rate_and_say_of_which_day_it_is(db):
    end = rates.last_day()
    assert end is not None
    at_end, on_end = convert("USD", 1_000_000, end)
    assert on_end == end
    assert convert("USD", 1_000_000, end + timedelta(days=400)) == (at_end, end)


def test_the_shipped_history_has_the_published_rates_and_bridges_weekends(db):
    assert convert("USD", 117_890, date(1999, 1, 4)) == (100_000, date(1999, 1, 4))  # 1.1789, the first rate ever published
    assert convert("USD", 100, date(2000, 1, 9))[1] == date(2000, 1, 7)  # a Sunday takes Friday's


@pytest.mark.parametrize(("currency", "on"), [("USD", date(1998, 12, 31)), ("XAU", date(2026, 1, 1))])
def test_a_currency_without_a_rate_is_refused_with_the_command_that_adds_one(db, currency, on):
    with pytest.raises(RateMissing, match=currency) as refusal:
        convert(currency, 100, on)
    assert refusal.value.remedy == "Add one: topline import rates FILE."


def test_a_rate_of_zero_is_refused(owner):
    with pytest.raises(Invalid, match="more than zero"):
        per_euro(owner, ("USD", date(2040, 1, 2), "0"))


def test_what_belongs_to_a_closed_month_is_corrected_forward(owner, entity, post):
    wrong = post(entity.pk, 900, date(2026, 3, 10))
    actions.lock_period(actor=owner, entity_id=entity.pk, through=date(2026, 3, 31), reason="March is closed")
    with pytest.raises(actions.PeriodLocked):
        actions.reverse_entry(actor=owner, entry_id=wrong, effective_on=date(2026, 3, 31), reason="Wrong amount")
    assert spent(entity.pk) == {"EUR": 900}
    actions.reverse_entry(actor=owner, entry_id=wrong, effective_on=date(2026, 4, 1), reason="Wrong amount")
    post(entity.pk, 90, date(2026, 4, 1))
    assert spent(entity.pk, as_of=date(2026, 3, 31)) == {"EUR": 900}  # the closed month reads as it was closed
    assert spent(entity.pk) == {"EUR": 90}
    detail = queries.entry_detail(wrong)
    assert queries.entry_detail(detail.reversed_by_id).reverses_id == wrong


def test_a_day_can_be_asked_as_it_is_now_and_as_it_was_known_then(owner, entity, post):
    moments = {month: datetime(2026, month, 15, tzinfo=UTC) for month in (3, 4, 5)}
    with clock.at(moments[3]):
        entry = post(entity.pk, 1_000, date(2026, 3, 1))
    with clock.at(moments[4]):
        post(entity.pk, 30, date(2026, 3, 5))  # written down late
        actions.seal(actor=owner)
    with clock.at(moments[5]):
        actions.reverse_entry(actor=owner, entry_id=entry, effective_on=date(2026, 3, 20), reason="Never happened")

    def known(as_of, moment):
        table = queries.trial_balance(entity_id=entity.pk, as_of=as_of, recorded_by=moment)
        return table.filter(pl.col("role") == "operating_expense")["balance_minor"].to_list()

    assert [known(date(2026, 3, 31), m) for m in moments.values()] == [[1_000], [1_030], [30]]
    assert [known(date(2026, 3, 4), m) for m in moments.values()] == [[1_000], [1_000], [1_000]]
    assert known(date(2026, 3, 31), moments[3] - timedelta(seconds=1)) == []
    assert spent(entity.pk, as_of=date(2026, 3, 31)) == {"EUR": 30}
