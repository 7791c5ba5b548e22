"""Cash, first version: a forecast worked out by hand, calendars that never drift, and payrolls that are covered or not."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from topline.bank.formats.model import Statement, StatementEntry
from topline.billing.models import Invoice
from topline.collections import actions as collections
from topline.collections import claims, timing
from topline.treasury import actions, outlook, queries
from topline.treasury.calendar import debit_day, occurrences


@pytest.mark.parametrize(
    ("first", "frequency", "expected"),
    [
        (date(2026, 1, 31), "monthly", [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30)]),
        (date(2026, 1, 2), "biweekly", [date(2026, 1, 2), date(2026, 1, 16), date(2026, 1, 30), date(2026, 2, 13), date(2026, 2, 27), date(2026, 3, 13), date(2026, 3, 27), date(2026, 4, 10), date(2026, 4, 24)]),
        (date(2026, 1, 1), "semimonthly", [date(2026, 1, 15), date(2026, 1, 31), date(2026, 2, 15), date(2026, 2, 28), date(2026, 3, 15), date(2026, 3, 31), date(2026, 4, 15), date(2026, 4, 30)]),
        (date(2025, 11, 30), "quarterly", [date(2026, 2, 28)]),
        (date(2024, 2, 29), "yearly", [date(2026, 2, 28)]),
        (date(2026, 3, 3), "once", [date(2026, 3, 3)]),
    ],
)  # fmt: skip
def test_recurring_days_clamp_to_month_ends_and_come_back(first, frequency, expected):
    assert occurrences(first_on=first, frequency=frequency, start=date(2026, 1, 1), end=date(2026, 5, 1)) == expected


def test_a_plan_that_ends_is_over_after_its_last_day():
    days = occurrences(
        first_on=date(2026, 1, 1), frequency="weekly", start=date(2026, 1, 1), end=date(2026, 3, 1), until=date(2026, 1, 15)
    )
    assert days == [date(2026, 1, 1), date(2026, 1, 8), date(2026, 1, 15)]


@pytest.mark.parametrize(
    ("payday", "lead", "country", "debit"),
    [
        (date(2026, 1, 30), 2, "US", date(2026, 1, 28)),
        (date(2026, 11, 30), 2, "US", date(2026, 11, 25)),  # Thanksgiving on the 26th, a weekend between
        (date(2026, 2, 28), 0, "DE", date(2026, 2, 27)),  # a Saturday
        (date(2026, 12, 28), 1, "DE", date(2026, 12, 24)),  # both days of Christmas and a weekend
    ],
)
def test_the_money_is_taken_on_a_business_day_before_payday(payday, lead, country, debit):
    assert debit_day(payday, lead_days=lead, country=country) == debit


@pytest.fixture
def company(owner, entity, make_customers, issue, pay, apply):
    """100.00 in the bank on 1 March; Globex pays 10 days late, as five invoices of the past show; payroll on the 20th."""
    from topline.bank import actions as bank

    account = bank.add_account(actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", number="DE1", pays_payroll=True)
    line = StatementEntry(amount_minor=4_000, currency="EUR", booked_on=date(2026, 2, 27), remittance_information="x")
    statement = Statement(
        account="DE1",
        currency="EUR",
        entries=(line,),
        opening_minor=6_000,
        closing_minor=10_000,
        opening_on=date(2026, 2, 27),
        closing_on=date(2026, 2, 28),
    )
    bank.import_statements(
        actor=owner, entity_id=entity.pk, statements=[statement], file_name="s", file_sha256="0", format="test"
    )
    globex, initech = make_customers("Globex", "Initech")
    for day in range(1, 6):
        (invoice,) = issue(globex, 1_000, on=date(2025, 12, day), due_on=date(2025, 12, day))
        apply(pay(globex, 1_000, on=date(2025, 12, day + 10)), invoice, 1_000, on=date(2025, 12, day + 10))
    (a,) = issue(globex, 5_000, on=date(2026, 2, 1), due_on=date(2026, 3, 6))
    (b,) = issue(initech, 2_000, on=date(2026, 2, 1), due_on=date(2026, 3, 9))
    actions.set_pay_plan(
        actor=owner, entity_id=entity.pk, name="Salaries", currency="EUR", frequency="monthly", first_payday=date(2026, 3, 20), debit_lead_days=1,
        employer_cost_ppm=200_000, lines=pl.DataFrame({"person": ["A", "B"], "group": ["", ""], "amount_minor": [6_000, 5_000]}),
    )  # fmt: skip
    actions.plan_outflow(
        actor=owner, entity_id=entity.pk, name="Rent", currency="EUR", amount_minor=1_500, first_on=date(2026, 3, 2), kind="rent"
    )
    return {"account": account, "globex": a, "initech": b}


@pytest.fixture
def customer_of_parts(owner, entity, make_customers, issue):
    """An invoice of 50.00 in two equal parts, the second due 30 days after the first."""
    (customer,) = make_customers("Umbrella")
    (invoice,) = issue(customer, 5_000, on=date(2026, 3, 1), terms="50% 0, 50% 30")
    return invoice


def test_the_forecast_is_the_one_worked_out_by_hand(entity, company):
    """Opening 100.00. Everyone pays 10 days late (five payments of one customer, so also the mean).

    Globex 50.00: due Fri 6 March + 10 = Mon 16 March. Initech 20.00: due Mon 9 March + 10 = Thu 19 March.
    Out: rent 15.00 on 2 March; salaries 110.00 + 20 % = 132.00, payday Fri 20 March, taken Thu 19 March.
    100.00 - 15.00 = 85.00; + 50.00 on the 16th = 135.00; on the 19th the day's 20.00 come too late to count: 135.00 covers
    132.00, 3.00 to spare, and only if Globex pays. Closing on the 19th: 135.00 + 20.00 - 132.00 = 23.00.
    """
    found = queries.forecast(entity=entity, as_of=date(2026, 3, 1), weeks=4)
    assert found.opening_minor == 10_000
    assert found.receipts.sort("expected_on").select("item_id", "expected_on", "amount_minor").rows() == [
        (company["globex"], date(2026, 3, 16), 5_000), (company["initech"], date(2026, 3, 19), 2_000)
    ]  # fmt: skip
    closing = dict(found.daily.select("day", "closing_minor").iter_rows())
    assert [closing[date(2026, 3, d)] for d in (2, 15, 16, 18, 19, 29)] == [8_500, 8_500, 13_500, 13_500, 2_300, 2_300]
    (salaries,) = found.payrolls
    assert (salaries.debit_on, salaries.amount_minor, salaries.before_minor, salaries.short_minor) == (
        date(2026, 3, 19),
        13_200,
        13_500,
        0,
    )
    assert salaries.deciding == [company["globex"]]
    assert found.weekly.select("period", "opening_minor", "in_minor", "out_minor", "closing_minor").rows()[2:4] == [
        (date(2026, 3, 16), 8_500, 7_000, 13_200, 2_300), (date(2026, 3, 23), 2_300, 0, 0, 2_300)
    ]  # fmt: skip
    for rolled in (found.weekly, found.monthly):
        assert rolled["in_minor"].sum() == found.daily["in_minor"].sum()
        assert rolled["closing_minor"][-1] == found.daily["closing_minor"][-1]


def test_a_payroll_that_is_not_covered_says_by_how_much(owner, entity, company):
    actions.plan_outflow(
        actor=owner,
        entity_id=entity.pk,
        name="Tax",
        currency="EUR",
        amount_minor=1_000,
        first_on=date(2026, 3, 10),
        frequency="once",
        kind="tax",
    )
    (salaries,) = queries.forecast(entity=entity, as_of=date(2026, 3, 1), weeks=4).payrolls
    assert (salaries.before_minor, salaries.short_minor) == (12_500, 700)


def test_what_was_expected_and_did_not_come_is_never_expected_in_the_past(entity, company):
    found = queries.forecast(entity=entity, as_of=date(2026, 4, 15), weeks=8)
    assert found.receipts["expected_on"].min() > date(2026, 4, 15)
    assert found.receipts["amount_minor"].sum() == 7_000


def argue(owner, invoice, reason, amount=None):
    day = date(2026, 3, 1)
    return collections.raise_dispute(
        actor=owner, invoice_id=invoice, reason=reason, amount_minor=amount, raised_on=day, deadline_on=date(2026, 3, 31)
    )


def test_what_is_disputed_comes_later_by_the_time_to_resolve_and_the_rest_as_usual(owner, entity, company):
    """No dispute was resolved yet: the assumed 30 days. Due Fri 6 March + 10 = Mon 16; + 30 = Wed 15 April."""
    argue(owner, company["globex"], "price", 2_000)
    receipts = queries.forecast(entity=entity, as_of=date(2026, 3, 1), weeks=8).receipts
    mine = receipts.filter(pl.col("item_id") == company["globex"]).sort("expected_on")
    assert mine.select("expected_on", "amount_minor").rows() == [(date(2026, 3, 16), 3_000), (date(2026, 4, 15), 2_000)]
    assert receipts["amount_minor"].sum() == 7_000


def test_of_instalments_the_earliest_is_what_is_not_disputed(owner, entity, customer_of_parts, company):
    argue(owner, customer_of_parts, "quality", 3_000)  # all of the second part and 5.00 of the first, which then wait as long
    receipts = queries.forecast(entity=entity, as_of=date(2026, 3, 1), weeks=20).receipts
    mine = receipts.filter(pl.col("item_id") == customer_of_parts).sort("expected_on")
    assert mine["amount_minor"].to_list() == [2_000, 500, 2_500]


def test_an_invoice_in_litigation_is_expected_by_neither_forecast(owner, entity, company):
    argue(owner, company["globex"], "litigation")
    day = date(2026, 3, 1)
    plain = queries.forecast(entity=entity, as_of=day, weeks=8).receipts
    told = timing.forecast(entity_id=entity.pk, as_of=day)
    assert plain["item_id"].to_list() == told.invoices["invoice_id"].to_list() == [company["initech"]]


def test_both_forecasts_agree_on_a_part_that_is_disputed(owner, entity, company):
    """Half of an invoice disputed: by the day on which the rest is usually there, half of it is expected, in the one and in the other."""
    day, usual = date(2026, 3, 1), date(2026, 3, 16)
    before = timing.forecast(entity_id=entity.pk, as_of=day)
    argue(owner, company["globex"], "price", 2_500)
    after = timing.forecast(entity_id=entity.pk, as_of=day)
    place = after.invoices["invoice_id"].to_list().index(company["globex"])
    assert after.invoices["method"][place] == "dispute"
    free, half = (float(f.paid_by(usual)[place]) for f in (before, after))
    assert free / 2 <= half < free / 2 + 0.1 and free > 0.3
    plain = queries.forecast(entity=entity, as_of=day, weeks=8).receipts
    by_then = plain.filter((pl.col("item_id") == company["globex"]) & (pl.col("expected_on") <= usual))
    assert by_then["amount_minor"].to_list() == [2_500]


def expected(entity, invoice, day=date(2026, 3, 1)):
    receipts = queries.forecast(entity=entity, as_of=day, weeks=20).receipts
    return receipts.filter(pl.col("item_id") == invoice).sort("expected_on").select("expected_on", "amount_minor").rows()


def test_what_is_promised_is_expected_on_its_day_and_the_rest_as_usual(owner, entity, company, pay, apply):
    (customer,) = Invoice.objects.filter(pk=company["globex"]).values_list("customer_id", flat=True)
    collections.record_promise(
        actor=owner, entity_id=entity.pk, customer_id=customer, due_on=date(2026, 3, 11), made_on=date(2026, 3, 1),
        items=pl.DataFrame({"invoice_id": [company["globex"]], "amount_minor": [2_000]}),
    )  # fmt: skip
    assert expected(entity, company["globex"]) == [(date(2026, 3, 11), 2_000), (date(2026, 3, 16), 3_000)]
    told = timing.forecast(entity_id=entity.pk, as_of=date(2026, 3, 1))
    assert told.parts["amount_minor"].to_list() == [2_000, 3_000]
    apply(pay(customer, 500, on=date(2026, 3, 2)), company["globex"], 500, on=date(2026, 3, 2))  # toward what was promised
    assert expected(entity, company["globex"], date(2026, 3, 2)) == [(date(2026, 3, 11), 1_500), (date(2026, 3, 16), 3_000)]
    collections.judge_promises(actor=owner, as_of=date(2026, 3, 15))  # broken: the whole rest is expected as usual again
    assert [amount for _, amount in expected(entity, company["globex"], date(2026, 3, 15))] == [4_500]


def test_the_parts_of_a_plan_are_expected_on_their_days(owner, entity, company):
    day = date(2026, 3, 10)
    (customer,) = Invoice.objects.filter(pk=company["globex"]).values_list("customer_id", flat=True)
    plan = collections.agree_plan(
        actor=owner, entity_id=entity.pk, customer_id=customer, invoice_ids=[company["globex"]], agreed_on=day,
        instalments=pl.DataFrame({"due_on": [date(2026, 3, 31), date(2026, 4, 30)], "amount_minor": [2_000, 3_000]}),
    )  # fmt: skip
    assert expected(entity, company["globex"], day) == [(date(2026, 3, 31), 2_000), (date(2026, 4, 30), 3_000)]
    assert expected(entity, company["globex"], date(2026, 3, 9)) == [(date(2026, 3, 16), 5_000)]  # nobody knew of it then
    collections.cancel_plan(actor=owner, plan_id=plan, on=day, reason="paid at once instead")
    assert expected(entity, company["globex"], day) == [(date(2026, 3, 16), 5_000)]


def test_money_that_waits_to_be_applied_is_in_the_bank_and_not_expected_again(owner, entity, company, issue, pay):
    day = date(2026, 3, 1)
    (customer,) = Invoice.objects.filter(pk=company["globex"]).values_list("customer_id", flat=True)
    (later,) = issue(customer, 1_000, on=day, due_on=date(2026, 4, 1))
    pay(customer, 5_200, on=day)
    found = queries.forecast(entity=entity, as_of=day)
    assert sorted(found.covered.rows()) == [(company["globex"], 5_000), (later, 200)]
    assert sorted(found.receipts.select("item_id", "amount_minor").rows()) == [(company["initech"], 2_000), (later, 800)]
    on = outlook.basis(entity, day, outlook.record_of(entity, day))
    assert dict(zip(on.invoices["invoice_id"], on.book.amounts, strict=True)) == {
        company["globex"]: 0,
        company["initech"]: 2_000,
        later: 800,
    }
    assert on.drawn.amounts.sum() == 2_800


def test_money_of_an_unknown_payer_is_not_expected_a_second_time(owner, entity, company, issue, pay):
    day = date(2026, 3, 1)
    (customer,) = Invoice.objects.filter(pk=company["globex"]).values_list("customer_id", flat=True)
    (far,) = issue(customer, 1_000, on=day, due_on=date(2026, 5, 1))
    pay(None, 1_500, on=day)
    found = queries.forecast(entity=entity, as_of=day)
    near = min((abs((due - day).days), pk) for pk, due in Invoice.objects.filter(state="open").values_list("id", "due_on"))[1]
    assert found.covered.rows() == [(near, 1_500)] and near != far
    assert (found.stray.moves, found.stray.total_minor, found.stray.set_minor) == (1, 1_500, 1_500)
    assert found.receipts["amount_minor"].sum() == 5_000 + 2_000 + 1_000 - 1_500
    assert (
        "15.00 EUR in the bank is from payers whom nobody recognised (1 payment)" in found.stray.words
        and "not counted twice" in found.stray.words
    )
    on = outlook.basis(entity, day, outlook.record_of(entity, day))
    assert on.drawn.amounts.sum() == 6_500
    pay(None, 50_000, on=day)  # more than is open
    more = queries.forecast(entity=entity, as_of=day)
    assert (more.stray.total_minor, more.stray.set_minor, more.receipts.height) == (51_500, 8_000, 0)
    assert queries.forecast(entity=entity, as_of=date(2026, 2, 27)).stray.words == ""


def test_interest_notes_are_not_foreseen(owner, entity, company):
    type(entity).objects.filter(pk=entity.pk).update(country="FR")
    (customer,) = Invoice.objects.filter(pk=company["globex"]).values_list("customer_id", flat=True)
    day = date(2026, 6, 1)
    before = queries.forecast(entity=entity, as_of=day).receipts["amount_minor"].sum()
    claims.claim_interest(
        actor=owner, entity_id=entity.pk, customer_id=customer, invoice_ids=[company["globex"]], until=day, issue_on=day
    )
    assert queries.forecast(entity=entity, as_of=day).receipts["amount_minor"].sum() == before


def test_planning_is_refused_with_a_reason(owner, entity):
    good = {
        "actor": owner,
        "entity_id": entity.pk,
        "name": "x",
        "currency": "EUR",
        "amount_minor": 1,
        "first_on": date(2026, 1, 1),
    }
    for change, sentence in (
        ({"amount_minor": 0}, "more than zero"), ({"frequency": "hourly"}, "no frequency"), ({"until": date(2025, 1, 1)}, "ends before"), ({"currency": "XXX"}, "ISO 4217"),
        ({"kind": "fun"}, "no kind"), ({"bank_account_id": 99}, "no such bank account"),
    ):  # fmt: skip
        with pytest.raises(actions.Invalid.__mro__[1], match=sentence):
            actions.plan_outflow(**{**good, **change})
