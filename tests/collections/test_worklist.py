"""The day's list: who is on it, in which order, and why the others wait."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from topline.collections import actions, worklist
from topline.collections.models import PayrollStake
from topline.engine import levers
from topline.kernel import clock
from topline.receivables import actions as receivables

pytest_plugins = ["tests.faults.house"]

DAY = date(2026, 4, 20)


@pytest.fixture
def rows(entity):
    """The list of the day by customer id."""

    def read(as_of=DAY):
        return {r["customer_id"]: r for r in worklist.worklist(entity=entity, as_of=as_of).iter_rows(named=True)}

    return read


@pytest.fixture
def todays(entity):
    return lambda **asked: worklist.todays(entity=entity, as_of=asked.pop("as_of", DAY), **asked)


@pytest.fixture
def promise(owner, entity):
    def make(customer, invoice, amount, due_on, made_on=DAY):
        items = pl.DataFrame({"invoice_id": [invoice], "amount_minor": [amount]})
        return actions.record_promise(
            actor=owner, entity_id=entity.pk, customer_id=customer, due_on=due_on, items=items, made_on=made_on
        )

    return make


@pytest.fixture
def contact(owner, entity):
    def make(customer, outcome="reached", on=DAY):
        return actions.log_contact(
            actor=owner, entity_id=entity.pk, customer_id=customer, channel="call", outcome=outcome, occurred_on=on
        )

    return make


def test_a_small_debt_that_a_call_moves_comes_before_a_larger_one_that_it_does_not(make_customers, issue, rows, todays):
    soon, old = make_customers("Soon", "Old")
    issue(soon, 9_000_00, on=date(2026, 3, 15))
    issue(old, 10_000_00, on=date(2025, 1, 1))  # a call brings next to nothing now: it is there to be decided on
    assert todays() == [soon, old]
    found = rows()
    assert found[old]["open_minor"] > found[soon]["open_minor"] and found[soon]["gain_minor"] > 0 >= found[old]["gain_minor"]
    assert found[soon]["step"] == "Send the friendly reminder" and found[old]["step"] == "Decide on: legal"
    assert "call should bring" in worklist.why(found[soon], "EUR")


def test_what_need_not_be_chased_waits_and_says_why(owner, entity, make_customers, issue, pay, rows, todays, promise):
    promised, disputed, planned, paid, early, snoozed, tiny, due = make_customers(*"ABCDEFGH")
    first = {c: issue(c, 1_000_00)[0] for c in (promised, disputed, planned, paid, snoozed, due)}
    issue(early, 1_000_00, on=date(2026, 4, 10))
    issue(tiny, 1_00)
    promise(promised, first[promised], 1_000_00, date(2026, 4, 28))
    actions.raise_dispute(actor=owner, invoice_id=first[disputed], reason="price", raised_on=DAY, deadline_on=date(2026, 4, 30))
    part = pl.DataFrame({"due_on": [date(2026, 5, 1)], "amount_minor": [1_000_00]})
    actions.agree_plan(
        actor=owner, entity_id=entity.pk, customer_id=planned, invoice_ids=[first[planned]], instalments=part, agreed_on=DAY
    )
    pay(paid, 1_000_00)
    actions.set_desk(actor=owner, entity_id=entity.pk, customer_id=snoozed, snoozed_until=date(2026, 4, 27), note="Away")
    assert todays() == [due]
    assert {c: r["waits"] for c, r in rows().items()} == {
        due: "", promised: "promised by 28 Apr", disputed: "all that is overdue is disputed", planned: "under a payment plan",
        paid: "unapplied cash could cover it", early: "nothing is overdue", snoozed: "snoozed until 27 Apr: Away",
        tiny: "a call would cost more than it brings",
    }  # fmt: skip
    assert rows(date(2026, 4, 27))[snoozed]["waits"] == ""
    assert rows(date(2026, 5, 1))[disputed]["step"] == "Resolve the dispute: its deadline is over"


def test_a_part_that_is_not_disputed_is_still_chased(owner, make_customers, issue, rows):
    (globex,) = make_customers("Globex")
    (invoice,) = issue(globex, 1_000_00)
    actions.raise_dispute(
        actor=owner, invoice_id=invoice, reason="price", amount_minor=400_00, raised_on=DAY, deadline_on=date(2026, 4, 30)
    )
    row = rows()[globex]
    assert (row["waits"], row["disputed_minor"], row["chase_minor"]) == ("", 400_00, 600_00)


def test_whoever_was_reached_is_left_in_peace_and_whoever_was_not_is_tried_the_next_day(make_customers, issue, rows, contact):
    reached, missed = make_customers("Reached", "Missed")
    for customer in (reached, missed):
        issue(customer, 1_000_00)
    before = rows()[reached]["gain_minor"]
    contact(reached)
    contact(missed, "not_reached")
    assert {r["waits"] for r in rows().values()} == {"contacted on 20 Apr"}
    tomorrow = rows(date(2026, 4, 21))
    assert tomorrow[reached]["waits"] and tomorrow[missed]["waits"] == "" and tomorrow[missed]["step"] == "Call again"
    later = rows(date(2026, 4, 23))[reached]
    assert later["waits"] == "" and later["gain_minor"] < before


def test_a_broken_promise_comes_first_until_somebody_speaks_about_it(
    owner, make_customers, issue, todays, rows, promise, contact
):
    large, small = make_customers("Large", "Small")
    issue(large, 50_000_00)
    (invoice,) = issue(small, 500_00)
    promise(small, invoice, 500_00, date(2026, 4, 10), made_on=date(2026, 4, 8))
    contact(small, "promised", on=date(2026, 4, 8))
    assert todays()[0] == large
    actions.judge_promises(actor=owner, as_of=DAY)
    assert todays() == [small, large]
    assert rows()[small]["step"] == "Call about the broken promise"
    assert worklist.why(rows()[small], "EUR").startswith("A promise was broken.")
    contact(small)
    assert todays() == [large]


def test_the_list_of_an_owner_holds_their_customers(make_customers, issue, todays, owner):
    from topline.market import actions as market
    from topline.team import actions as team

    mine, nobodys = make_customers("Mine", "Nobodys")
    for customer in (mine, nobodys):
        issue(customer, 1_000_00)
    clara = team.add_member(
        actor=owner, email="clara@acme.localhost", name="Clara", roles=["Collections"], password="a long enough phrase"
    )
    market.change_customer(actor=owner, customer_id=mine, changes={"owner_id": clara})
    assert todays(owner=str(clara)) == [mine] and todays(owner="none") == [nobodys]
    assert set(todays()) == {mine, nobodys}


def test_the_day_by_which_half_is_expected_and_amounts_at_home(make_customers, issue, rows):
    (globex,) = make_customers("Globex")
    issue(globex, 1_000_00, on=date(2026, 3, 1), currency="USD")
    issue(globex, 10_00, on=date(2026, 3, 2))
    row = rows()[globex]
    assert 10_00 < row["open_minor"] < 1_010_00 and row["oldest_days"] == 20
    assert row["expected_on"] is not None and row["expected_on"] >= DAY


def test_records_that_were_merged_are_one_row(owner, make_customers, issue, rows):
    from topline.market import actions as market

    keep, gone = make_customers("Globex", "GLOBEX")
    issue(keep, 1_000_00)
    issue(gone, 500_00)
    market.merge_customers(actor=owner, keep_id=keep, merge_id=gone)
    assert {c: r["open_minor"] for c, r in rows().items()} == {keep: 1_500_00}


def test_what_is_paid_in_the_course_of_the_day_leaves_the_list(owner, make_customers, issue, pay, apply, rows):
    (globex,) = make_customers("Globex")
    (invoice,) = issue(globex, 1_000_00)
    assert globex in rows()
    payment = pay(globex, 1_000_00, on=DAY)
    apply(payment, invoice, 1_000_00, on=DAY)
    assert rows() == {}
    receivables.return_payments(actor=owner, payment_ids=[payment], on=DAY, reason="No funds")
    assert rows()[globex]["waits"] == ""


def test_the_list_is_made_by_as_many_statements_for_fifty_customers_as_for_three(make_customers, issue, rows):
    def asked():
        with CaptureQueriesContext(connection) as asked:
            rows()
        return len(asked)

    for name in ("One", "Two"):
        issue(make_customers(name)[0], 1_000_00)
    asked()
    issue(make_customers("Three")[0], 1_000_00)
    few = asked()
    for n in range(48):
        issue(make_customers(f"Customer {n}")[0], 1_000_00, 2_000_00)
    assert asked() == few <= 50


KEPT = """
from django.test.utils import CaptureQueriesContext
from topline.billing import actions as billing
from topline.collections import actions as collections, worklist
from topline.market import actions as market
entity, day = Entity.objects.get(), date(2026, 4, 20)
customer = market.add_customers(actor=actor, customers=pl.DataFrame({"name": ["Globex"], "currency": ["EUR"]}))["customer_id"][0]
item = {"number": "1", "customer_id": customer, "currency": "EUR", "issued_on": date(2026, 1, 1), "due_on": date(2026, 1, 31)}
item = pl.DataFrame([item | {"total_minor": 1_000_00}])
billing.import_open_items(actor=actor, entity_id=entity.pk, items=item, against="revenue")
def asked():
    with CaptureQueriesContext(connection) as statements:
        (row,) = worklist.worklist(entity=entity, as_of=day).to_dicts()
    return len(statements), row["waits"]
told = [asked(), asked()]
collections.log_contact(
    actor=actor, entity_id=entity.pk, customer_id=customer, channel="call", outcome="reached", occurred_on=day
)
print(json.dumps([*told, asked(), asked()]))
"""


def test_the_list_is_kept_until_something_changes(company):
    (first, waits), (again, _), (changed, waits_then), (afterwards, _) = company.run(KEPT)
    assert first > 10 and changed > 10
    assert again == afterwards == 1  # nothing has changed since: only that is asked
    assert (waits, waits_then) == ("", "contacted on 20 Apr")


def test_an_empty_company_has_an_empty_list(rows, todays):
    assert rows() == {} and todays() == []


@pytest.fixture
def stake(entity):
    """Keep what calls do to a payroll, as treasury weighs it on a morning: {invoice id: change of its probability}."""

    def keep(changes, as_of=DAY, debit_on=date(2026, 4, 28), amount_minor=50_000_00):
        PayrollStake.objects.create(
            entity=entity, as_of=as_of, payroll="Salaries", payday=date(2026, 4, 30), debit_on=debit_on, amount_minor=amount_minor,
            changes={str(pk): round(1_000_000 * change) for pk, change in changes.items()}, recorded_at=clock.now(),
        )  # fmt: skip

    return keep


def test_a_call_that_a_payroll_hangs_on_comes_first_and_says_so(make_customers, issue, rows, todays, stake):
    small, large = make_customers("Small", "Large")
    (decides,) = issue(small, 2_000_00, on=date(2026, 3, 15))
    issue(large, 4_000_00, on=date(2026, 3, 15))
    assert todays() == [large, small]
    before = rows()[small]
    stake({decides: 0.04})
    after = rows()[small]
    assert todays() == [small, large]
    assert after["gain_minor"] - before["gain_minor"] == round(0.04 * 50_000_00 * levers.MISSED_SHARE)
    assert after["sooner_minor"] == before["sooner_minor"]
    assert "and raises payroll of 28 Apr by 4 points" in worklist.why(after, "EUR")
    assert "payroll" not in worklist.why(rows()[large], "EUR")


@pytest.mark.parametrize(
    "told", [{"as_of": date(2026, 4, 16)}, {"as_of": date(2026, 4, 21)}, {"debit_on": DAY}, {"changes": {}}, {"debit_on": None}]
)
def test_a_stake_that_is_old_of_tomorrow_or_of_a_payroll_that_is_over_counts_for_nothing(
    make_customers, issue, rows, stake, told
):
    (globex,) = make_customers("Globex")
    (invoice,) = issue(globex, 2_000_00, on=date(2026, 3, 15))
    before = rows()[globex]
    stake(**{"changes": {invoice: 0.04}, **told})
    assert rows()[globex]["gain_minor"] == before["gain_minor"]
    assert rows()[globex]["payroll_points"] == 0


def test_what_need_not_be_chased_does_nothing_for_a_payroll(owner, make_customers, issue, rows, stake):
    (globex,) = make_customers("Globex")
    (invoice,) = issue(globex, 1_000_00)
    actions.raise_dispute(actor=owner, invoice_id=invoice, reason="price", raised_on=DAY, deadline_on=date(2026, 4, 30))
    stake({invoice: 0.04})
    row = rows()[globex]
    assert (row["payroll_points"], row["waits"]) == (0, "all that is overdue is disputed")
