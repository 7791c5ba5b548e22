"""One large debt: weighed, chosen, approved by another, worked, closed with what came; and what is refused in a sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from django.db import IntegrityError, transaction

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.billing.models import Invoice
from topline.cases import actions, assumptions, queries, rules
from topline.cases.actions import CustomerMerged, NotAtThatPoint, NothingOwed, OptionNotApplicable, SamePerson
from topline.cases.assumptions import ImpossibleAssumption
from topline.collections import actions as collections
from topline.kernel.actions import PermissionMissing
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid, NotFound
from topline.market import actions as market
from topline.market.models import Customer
from topline.receivables.models import Allocation, DiscountOffer, WriteOffProposal
from topline.team import actions as team
from topline.team.models import Task
from topline.team.roles import permissions_of
from topline.timeline import queries as timeline
from topline.treasury import actions as treasury
from topline.treasury import outlook
from topline.treasury.models import FrozenForecast

TODAY = date(2026, 4, 1)


@pytest.fixture
def debt(owner, entity, make_customers, issue, pay, apply):
    """Money in the bank, a payroll that needs more of it, small payers, and one who owes a very large sum since January."""
    team.add_member(actor=owner, email="c@acme.localhost", name="Clara", roles=["Collections"], password="long enough words 42")
    bank.add_account(
        actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", number="DE02120300000000202051", pays_payroll=True
    )
    line = StatementEntry(amount_minor=100_000, currency="EUR", booked_on=date(2026, 3, 31))
    statement = Statement(account="DE02120300000000202051", currency="EUR", entries=(line,), opening_minor=0, closing_minor=100_000)  # fmt: skip
    bank.import_statements(actor=owner, entity_id=entity.pk, statements=[statement], file_name="s", file_sha256="s", format="camt")  # fmt: skip
    big, small = make_customers("Kolossal", "Initech")
    for week in range(5):
        day = date(2025, 11, 3) + timedelta(days=7 * week)
        (invoice,) = issue(small, 10_000, on=day)
        apply(pay(small, 10_000, on=day + timedelta(days=37)), invoice, 10_000, on=day + timedelta(days=37))
    issue(small, 20_000, on=date(2026, 3, 9))
    (large,) = issue(big, 1_000_000_00, on=date(2026, 1, 5), tax_ppm=190_000)
    lines = pl.DataFrame({"person": ["Ada"], "group": [""], "amount_minor": [300_000]})
    treasury.set_pay_plan(
        actor=owner, entity_id=entity.pk, name="Payroll", currency="EUR", frequency="monthly", first_payday=date(2026, 4, 24), lines=lines, until=date(2026, 4, 24)
    )  # fmt: skip
    return {"big": big, "small": small, "large": large}


@pytest.fixture
def anton(owner):
    """A second person, who may approve."""
    made = team.add_member(
        actor=owner, email="a@acme.localhost", name="Anton", roles=["Approver"], password="long enough words 42"
    )
    return Actor(
        key=f"member:{made}", name="Anton", permissions=permissions_of(frozenset({"Approver"})), roles=frozenset({"Approver"})
    )


@pytest.fixture
def opened(owner, entity, debt):
    return actions.open_case(actor=owner, entity_id=entity.pk, customer_id=debt["big"], on=TODAY)


def weigh(case_id, on=TODAY):
    return queries.evaluate(queries.case(case_id), as_of=on)


def row(weighed, key):
    return next(r for r in weighed.rows if r.spec.key == key)


def choose(owner, case_id, option, on=TODAY):
    return actions.choose_strategy(actor=owner, case_id=case_id, option=option, on=on)


def test_every_option_stands_in_order_with_its_worth_or_the_reason_why_it_cannot_apply(opened):
    found = weigh(opened)
    assert [r.spec.key for r in found.rows] == list(assumptions.catalogue())
    assert len(found.rows) == 17
    assert {r.spec.key for r in found.rows if r.why_not} == {
        "split",
        "hold",
        "assurance",
        "insurance",
        "interest",
        "write_off",
        "agency",
    }
    values = [r.value_minor for r in found.best]
    assert values == sorted(values, reverse=True)
    assert found.debt.amount_minor == 1_190_000_00
    assert all(r.spec.source and r.spec.needs and r.spec.steps for r in found.rows)


def test_a_payroll_at_risk_makes_cash_dearer_and_early_money_raises_its_odds(opened):
    found = weigh(opened)
    assert (found.is_at_risk, found.yearly_percent) == (True, 36.0)
    settlement, legal = row(found, "settlement"), row(found, "legal")
    assert settlement.points > 30 and legal.points <= 0
    assert settlement.by_need_minor > found.waiting.by_need_minor
    assert settlement.cost_minor == 200_00 + round(0.55 * 0.05 * 1_190_000_00)
    assert found.reasons[0].startswith(f"{found.best[0].label} is worth most today")
    assert any("Payroll is then covered in" in sentence for sentence in found.reasons)


def test_of_a_book_too_large_for_a_page_options_are_weighed_without_payrolls_and_say_so(opened, monkeypatch):
    monkeypatch.setattr(outlook, "AT_ONCE", 1)
    found = weigh(opened)
    assert (found.payroll, found.is_own_record, found.need_on) == (None, False, TODAY + timedelta(days=30))
    assert {r.odds_percent for r in found.rows} == {None}
    assert found.waiting.expected_minor == round(0.6 * 1_190_000_00)


def test_a_book_too_large_takes_the_odds_of_its_payroll_from_the_last_frozen_forecast(owner, entity, opened, monkeypatch):
    before = weigh(opened)
    outlook.freeze_forecast(actor=owner, entity_id=entity.pk, as_of=TODAY)
    (kept,) = FrozenForecast.objects.get().payrolls
    monkeypatch.setattr(outlook, "AT_ONCE", 1)
    found = weigh(opened)
    assert (found.payroll.name, found.odds_percent, found.is_at_risk) == ("Payroll", kept["percent"], True)
    assert (found.need_on, found.yearly_percent) == (before.need_on, 36.0)
    assert {r.odds_percent for r in found.rows} == {None}


def test_where_the_payroll_is_safe_cash_costs_the_line(owner, entity, opened):
    lines = pl.DataFrame({"person": ["Ada"], "group": [""], "amount_minor": [50_000]})
    treasury.set_pay_plan(
        actor=owner, entity_id=entity.pk, name="Payroll", currency="EUR", frequency="monthly", first_payday=date(2026, 4, 24), lines=lines, until=date(2026, 4, 24)
    )  # fmt: skip
    found = weigh(opened)
    assert (found.is_at_risk, found.yearly_percent, found.odds_percent) == (False, 12.0, 99)


def test_a_changed_assumption_counts_at_once_and_is_kept_with_the_case_alone(owner, entity, opened, debt):
    before = weigh(opened)
    told = {"options": {"settlement": {"chance_percent": 90, "share_percent": 98}}, "settings": {"gap_percent": 50}}
    actions.set_assumptions(actor=owner, case_id=opened, told=told)
    after = weigh(opened)
    assert row(after, "settlement").value_minor > row(before, "settlement").value_minor
    assert row(after, "settlement").label == "Settlement at 2 % off"
    assert after.yearly_percent == 50
    actions.set_assumptions(actor=owner, case_id=opened, told={})
    assert weigh(opened).rows == before.rows
    other = actions.open_case(actor=owner, entity_id=entity.pk, customer_id=debt["small"], on=TODAY)
    assert queries.case(other).assumptions == {}


@pytest.mark.parametrize(
    "told",
    [
        {"options": {"settlement": {"share_percent": 101}}},
        {"options": {"call": {}}},
        {"options": {"resend": {"chance_percent": 100.5}}},
        {"options": {"resend": {"chance_percent": -1}}},
        {"options": {"resend": {"luck": 1}}},
        {"settings": {"margin_percent": 200}},
        {"facts": {"is_insured": "yes"}},
        {"wishes": {}},
    ],
)
def test_an_assumption_that_cannot_be_is_refused_in_a_sentence(owner, opened, told):
    with pytest.raises(Invalid) as refused:
        actions.set_assumptions(actor=owner, case_id=opened, told=told)
    assert refused.value.message.endswith(".") and refused.value.field
    assert queries.case(opened).assumptions == {}


def test_a_probability_above_one_names_its_option_and_its_bounds(owner, opened):
    with pytest.raises(ImpossibleAssumption, match="Credit hold: Chance, % is 140; it must lie between 0 and 100"):
        actions.set_assumptions(actor=owner, case_id=opened, told={"options": {"hold": {"chance_percent": 140}}})


def test_facts_and_documents_open_and_shut_options(owner, opened, debt):
    facts = {"has_hold_clause": True, "is_goods": True, "is_insured": True}
    actions.set_assumptions(actor=owner, case_id=opened, told={"facts": facts})
    assert {r.spec.key for r in weigh(opened).rows if r.why_not} == {"split", "interest", "write_off", "agency"}
    collections.raise_dispute(
        actor=owner,
        invoice_id=debt["large"],
        reason="price",
        amount_minor=200_000_00,
        raised_on=TODAY,
        deadline_on=date(2026, 4, 15),
    )
    found = weigh(opened)
    assert row(found, "factoring").why_not == "Factors do not buy what is disputed."
    assert row(found, "legal").why_not and not row(found, "split").why_not
    assert row(found, "split").values["share_percent"] == pytest.approx(100 * (1 - 100_000_00 / 1_190_000_00), abs=0.01)
    late = weigh(opened, on=date(2026, 8, 15))
    assert not row(late, "write_off").why_not
    assert row(late, "write_off").values["share_percent"] == pytest.approx(100 * 19 / 119, abs=0.01)
    assert row(late, "write_off").expected_minor == pytest.approx(0.9 * 190_000_00, abs=20_00)


DEBT = rules.Debt(100, 0, 75, 0.0, 0, "DE", False, False, "DE")
FACTS = dict.fromkeys(assumptions.FACTS, False)


@pytest.mark.parametrize(
    ("key", "debt", "facts", "reason"),
    [
        ("plan", replace(DEBT, is_planned=True), FACTS, "under a payment plan"),
        ("hold", replace(DEBT, is_on_hold=True), {**FACTS, "has_hold_clause": True}, "on hold already"),
        ("interest", replace(DEBT, overdue_days=0), FACTS, "Nothing is past due"),
        ("interest", replace(DEBT, jurisdiction=""), FACTS, "No statutory rate"),
        ("factoring", replace(DEBT, overdue_days=91), FACTS, "more than 90 days"),
        ("agency", replace(DEBT, overdue_days=59), FACTS, "Too early"),
        ("legal", DEBT, {**FACTS, "is_insolvent": True}, "nothing to win"),
        ("promise", DEBT, {**FACTS, "is_insolvent": True}, "cannot pay"),
        ("write_off", DEBT, {**FACTS, "is_insolvent": True}, ""),
        ("agency", DEBT, FACTS, ""),
        ("waiting", DEBT, FACTS, ""),
    ],
)
def test_an_option_cannot_apply_for_a_reason(key, debt, facts, reason):
    told = rules.why_not(key, debt, facts)
    assert reason in told and bool(reason) == bool(told)


def test_a_strategy_without_approval_begins_with_its_steps_owned_and_dated(owner, opened):
    before = row(weigh(opened), "executive")
    choose(owner, opened, "executive")
    case = queries.case(opened)
    assert TODAY < before.arrives_on < row(weigh(opened), "legal").arrives_on
    assert (case.state, case.strategy, case.expected_on) == ("working", "executive", before.arrives_on)
    steps = queries.steps_of(opened)
    assert [(s.task.due_on - TODAY).days for s in steps] == [1, 3, 4]
    assert {(s.task.about_kind, s.task.about_id, s.task.assignee.name) for s in steps} == {("case", opened, "Clara")}
    choose(owner, opened, "resend")
    assert [s.task.state for s in queries.steps_of(opened)] == ["dropped"] * 3 + ["open"] * 2


def test_what_gives_up_money_waits_for_a_second_person_who_is_another(owner, anton, opened):
    choose(owner, opened, "settlement")
    assert queries.case(opened).state == "waiting" and not Task.objects.exists()
    with pytest.raises(SamePerson, match="cannot approve it"):
        actions.approve_strategy(actor=owner, case_id=opened, on=TODAY)
    clerk = Actor(key="member:5", permissions=permissions_of(frozenset({"Collections"})))
    with pytest.raises(PermissionMissing):
        actions.approve_strategy(actor=clerk, case_id=opened, on=TODAY)
    assert queries.case(opened).state == "waiting"
    actions.approve_strategy(actor=anton, case_id=opened, on=TODAY)
    case = queries.case(opened)
    assert (case.state, case.approved_by_key, Task.objects.count()) == ("working", anton.key, 2)
    with pytest.raises(IntegrityError), transaction.atomic():
        type(case).objects.filter(pk=opened).update(approved_by_key=case.chosen_by_key)


def test_an_approved_settlement_is_an_offer_on_each_invoice_that_ends_on_a_day(owner, anton, opened, debt):
    choose(owner, opened, "settlement")
    assert not DiscountOffer.objects.exists()
    actions.approve_strategy(actor=anton, case_id=opened, on=TODAY)
    made = DiscountOffer.objects.get()
    assert (made.invoice_id, made.discount_minor, made.valid_until) == (debt["large"], 59_500_00, TODAY + timedelta(days=10))


@pytest.fixture
def held(owner, anton, opened, debt):
    """The case of the large debt, with its credit hold chosen by one and approved by another."""
    actions.set_assumptions(actor=owner, case_id=opened, told={"facts": {"has_hold_clause": True}})
    choose(owner, opened, "hold")
    assert not Customer.objects.get(pk=debt["big"]).is_on_hold
    actions.approve_strategy(actor=anton, case_id=opened, on=TODAY)
    return opened


def hold_of(debt):
    told = timeline.milestones(customer_ids=[debt["big"]], kinds=["credit_hold_set", "credit_hold_released"])
    return Customer.objects.get(pk=debt["big"]).is_on_hold, told["note"].to_list()


def test_an_approved_credit_hold_is_set_and_released_when_the_debt_is_paid(owner, held, debt, pay, apply):
    assert hold_of(debt) == (True, [f"Case {held}"])
    day = TODAY + timedelta(days=9)
    apply(pay(debt["big"], 1_190_000_00, on=day), debt["large"], 1_190_000_00, on=day)
    actions.close_case(actor=owner, case_id=held, on=day)
    assert hold_of(debt) == (False, [f"Case {held} is paid", f"Case {held}"])


def test_a_hold_stays_when_a_case_is_closed_unpaid(owner, held, debt):
    actions.close_case(actor=owner, case_id=held, on=TODAY)
    assert hold_of(debt) == (True, [f"Case {held}"])


def test_a_debt_that_was_given_up_does_not_give_credit_again(owner, anton, held, debt):
    on = date(2026, 8, 15)
    choose(owner, held, "write_off", on=on)
    actions.approve_strategy(actor=anton, case_id=held, on=on)
    actions.close_case(actor=owner, case_id=held, on=on)
    assert hold_of(debt)[0]


def test_a_hold_that_stood_before_outlives_the_case(owner, anton, opened, debt, pay, apply):
    actions.set_assumptions(actor=owner, case_id=opened, told={"facts": {"has_hold_clause": True}})
    choose(owner, opened, "hold")
    market.set_credit_hold(actor=owner, customer_id=debt["big"], is_on_hold=True, on=TODAY, reason="Over the limit")
    actions.approve_strategy(actor=anton, case_id=opened, on=TODAY)
    day = TODAY + timedelta(days=9)
    apply(pay(debt["big"], 1_190_000_00, on=day), debt["large"], 1_190_000_00, on=day)
    actions.close_case(actor=owner, case_id=opened, on=day)
    assert hold_of(debt) == (True, ["Over the limit"])


def test_who_may_not_stop_credit_cannot_approve_a_hold_and_nothing_of_it_happens(owner, opened, debt):
    actions.set_assumptions(actor=owner, case_id=opened, told={"facts": {"has_hold_clause": True}})
    choose(owner, opened, "hold")
    half = Actor(key="member:5", permissions=permissions_of(frozenset({"Approver"})) - {"market.set_credit_hold"})
    with pytest.raises(PermissionMissing):
        actions.approve_strategy(actor=half, case_id=opened, on=TODAY)
    assert (queries.case(opened).state, Task.objects.exists(), hold_of(debt)) == ("waiting", False, (False, []))


def test_a_customer_merged_while_on_hold_is_released_on_the_record_that_stands(
    owner, entity, held, debt, pay, apply, make_customers
):
    (kept,) = make_customers("Kolossal Holding")
    market.merge_customers(actor=owner, keep_id=kept, merge_id=debt["big"])
    assert Customer.objects.get(pk=kept).is_on_hold
    day = TODAY + timedelta(days=9)
    apply(pay(kept, 1_190_000_00, on=day), debt["large"], 1_190_000_00, on=day)
    actions.close_case(actor=owner, case_id=held, on=day)
    assert not Customer.objects.get(pk=kept).is_on_hold


def test_a_refusal_says_why_and_opens_the_choice_again(owner, anton, opened):
    choose(owner, opened, "settlement")
    with pytest.raises(Invalid):
        actions.refuse_strategy(actor=anton, case_id=opened, on=TODAY, reason=" ")
    actions.refuse_strategy(actor=anton, case_id=opened, on=TODAY, reason="Call them first")
    case = queries.case(opened)
    assert (case.state, case.strategy, case.refused_because) == ("open", "", "Call them first")


def test_a_write_off_is_booked_when_the_second_person_agrees_and_not_before(owner, anton, opened, debt):
    on = date(2026, 8, 15)
    choose(owner, opened, "write_off", on=on)
    assert Invoice.objects.get(pk=debt["large"]).state == "open"
    actions.approve_strategy(actor=anton, case_id=opened, on=on)
    assert Invoice.objects.get(pk=debt["large"]).state == "written_off"
    assert Allocation.objects.get(kind="write_off").amount_minor == 1_190_000_00
    kept = WriteOffProposal.objects.get()
    assert (kept.proposed_by_key, kept.decided_by_key, kept.reason) == (owner.key, anton.key, f"Case {opened}")


def test_the_outcome_is_read_from_the_books_and_teaches(owner, entity, opened, debt, pay, apply, issue):
    choose(owner, opened, "executive")
    day = TODAY + timedelta(days=9)
    apply(pay(debt["big"], 1_190_000_00, on=day), debt["large"], 1_190_000_00, on=day)
    assert weigh(opened, on=day).reasons == ["Nothing is open on its invoices any more: close the case to keep its outcome."]
    with pytest.raises(NothingOwed, match="Its invoices are paid"):
        choose(owner, opened, "resend", on=day)
    actions.close_case(actor=owner, case_id=opened, on=day, note="They had changed banks")
    case = queries.case(opened)
    assert (case.received_minor, case.received_on, case.has_worked) == (1_190_000_00, day, True)
    assert queries.own_outcomes(entity.pk) == {"executive": (1, 1)}
    issue(debt["big"], 500_00, on=date(2026, 3, 1))
    again = actions.open_case(actor=owner, entity_id=entity.pk, customer_id=debt["big"], on=day)
    assert row(weigh(again, on=day), "executive").learned == "assumed 45 %, own 1 of 1 → 49 %"
    choose(owner, again, "executive", on=day)
    actions.close_case(actor=owner, case_id=again, on=day)
    assert queries.own_outcomes(entity.pk) == {"executive": (1, 2)}


def test_what_is_asked_at_the_wrong_point_is_refused(owner, anton, opened):
    with pytest.raises(NotAtThatPoint, match="choose a strategy first"):
        actions.approve_strategy(actor=anton, case_id=opened, on=TODAY)
    with pytest.raises(OptionNotApplicable, match="Too early"):
        choose(owner, opened, "write_off")
    with pytest.raises(Invalid):
        choose(owner, opened, "prayer")
    choose(owner, opened, "settlement")
    with pytest.raises(NotAtThatPoint, match="waits for a second person"):
        choose(owner, opened, "resend")
    actions.refuse_strategy(actor=anton, case_id=opened, on=TODAY, reason="No")
    actions.close_case(actor=owner, case_id=opened, on=TODAY)
    assert queries.own_outcomes(queries.case(opened).entity_id) == {}
    for verb in (actions.close_case, actions.set_assumptions):
        inputs = {"told": {}} if verb is actions.set_assumptions else {"on": TODAY}
        with pytest.raises(NotAtThatPoint, match="is closed"):
            verb(actor=owner, case_id=opened, **inputs)


def test_a_case_needs_somebody_who_owes_and_is_not_merged_away(owner, entity, debt, opened, make_customers):
    nobody, doubled = make_customers("Nobody", "Initech Ltd")
    for customer, refusal in ((nobody, NothingOwed), (debt["big"], NothingOwed), (99_999, NotFound)):
        with pytest.raises(refusal):
            actions.open_case(actor=owner, entity_id=entity.pk, customer_id=customer, on=TODAY)
    market.merge_customers(actor=owner, keep_id=debt["small"], merge_id=doubled)
    with pytest.raises(CustomerMerged, match="was merged into Initech"):
        actions.open_case(actor=owner, entity_id=entity.pk, customer_id=doubled, on=TODAY)


def test_a_debtor_who_is_merged_during_the_case_is_weighed_as_before(owner, entity, opened, debt, make_customers):
    before = weigh(opened)
    (kept,) = make_customers("Kolossal Holding")
    market.merge_customers(actor=owner, keep_id=kept, merge_id=debt["big"])
    assert [r.spec.key for r in weigh(opened).best] == [r.spec.key for r in before.best]


def test_invoices_of_two_currencies_are_two_cases(owner, entity, debt, issue):
    issue(debt["small"], 900_00, currency="USD", on=date(2026, 3, 1))
    with pytest.raises(Invalid, match="several currencies"):
        actions.open_case(actor=owner, entity_id=entity.pk, customer_id=debt["small"], on=TODAY)
