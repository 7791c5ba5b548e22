"""Promises, disputes and plans: what people agree about a debt, and what happens when they do not keep to it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from topline.billing import actions as billing
from topline.collections import actions, queries, reminders, timing, worklist
from topline.collections.models import Dispute, PaymentPlan, PlanInvoice, Promise
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.receivables import actions as receivables
from topline.timeline.models import Milestone


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def promise(owner, entity, customer):
    def make(*pairs, due_on=date(2026, 4, 10), made_on=date(2026, 4, 1)):
        items = pl.DataFrame(pairs, schema={"invoice_id": pl.Int64, "amount_minor": pl.Int64}, orient="row")
        return actions.record_promise(
            actor=owner, entity_id=entity.pk, customer_id=customer, due_on=due_on, items=items, made_on=made_on
        )

    return make


def judge(owner, day):
    return dict(actions.judge_promises(actor=owner, as_of=day).select("promise_id", "state").iter_rows())


def test_a_promise_paid_in_full_by_its_day_is_kept_at_once(owner, customer, issue, pay, apply, promise):
    (a,) = issue(customer, 10_000)
    made = promise((a, 8_000))
    assert judge(owner, date(2026, 4, 5)) == {}
    apply(pay(customer, 8_000, on=date(2026, 4, 6)), a, 8_000, on=date(2026, 4, 6))
    assert judge(owner, date(2026, 4, 6)) == {made: "kept"}
    assert Milestone.objects.filter(kind="promise_kept", subject_id=made).count() == 1


@pytest.mark.parametrize(
    ("paid", "paid_on", "state"),
    [
        (0, None, "broken"),
        (3_000, date(2026, 4, 9), "partly"),
        (8_000, date(2026, 4, 12), "kept"),
        (8_000, date(2026, 4, 13), "broken"),
    ],
)
def test_a_promise_is_judged_when_its_day_and_grace_are_over(owner, customer, issue, pay, apply, promise, paid, paid_on, state):
    (a,) = issue(customer, 10_000)
    made = promise((a, 8_000))
    if paid:
        apply(pay(customer, paid, on=paid_on), a, paid, on=paid_on)
    assert judge(owner, date(2026, 4, 13)) == {made: state}
    assert judge(owner, date(2026, 4, 14)) == {}


def test_money_for_another_invoice_or_from_before_keeps_no_promise(owner, customer, issue, pay, apply, promise):
    a, b = issue(customer, 10_000, 10_000)
    apply(pay(customer, 4_000), a, 4_000, on=date(2026, 3, 25))
    made = promise((a, 5_000))
    apply(pay(customer, 10_000, on=date(2026, 4, 3)), b, 10_000, on=date(2026, 4, 3))
    assert judge(owner, date(2026, 4, 20)) == {made: "broken"}


def test_a_payment_that_comes_back_unkeeps_what_is_still_open(owner, customer, issue, pay, apply, promise):
    (a,) = issue(customer, 10_000)
    made = promise((a, 10_000))
    payment = pay(customer, 10_000, on=date(2026, 4, 3))
    apply(payment, a, 10_000, on=date(2026, 4, 3))
    receivables.return_payments(actor=owner, payment_ids=[payment], on=date(2026, 4, 5), reason="No funds")
    assert judge(owner, date(2026, 4, 20)) == {made: "broken"}


def test_a_promise_kept_by_a_payment_that_the_bank_took_back_is_judged_again(owner, customer, issue, pay, apply, promise):
    a, b = issue(customer, 10_000, 4_000)
    whole, early = promise((a, 10_000)), promise((b, 4_000), due_on=date(2026, 4, 30))
    full, part, other = (pay(customer, amount, on=date(2026, 4, 3)) for amount in (7_000, 3_000, 4_000))
    for payment, invoice, amount in ((full, a, 7_000), (part, a, 3_000), (other, b, 4_000)):
        apply(payment, invoice, amount, on=date(2026, 4, 3))
    assert judge(owner, date(2026, 4, 3)) == {whole: "kept", early: "kept"}
    receivables.return_payments(actor=owner, payment_ids=[full, other], on=date(2026, 4, 20), reason="No funds")
    assert judge(owner, date(2026, 4, 20)) == {whole: "partly", early: "open"}  # the day of the second is still to come
    assert judge(owner, date(2026, 4, 21)) == {}
    assert Promise.objects.get(pk=early).judged_on is None
    assert Milestone.objects.filter(kind="promise_broken", subject_id=whole).count() == 1
    assert judge(owner, date(2026, 5, 3)) == {early: "broken"}


def test_a_new_promise_takes_the_place_of_the_older_one(customer, issue, promise):
    (a,) = issue(customer, 10_000)
    first, second = promise((a, 5_000)), promise((a, 10_000), due_on=date(2026, 4, 20), made_on=date(2026, 4, 5))
    assert dict(Promise.objects.values_list("id", "state")) == {first: "withdrawn", second: "open"}


def test_two_promises_on_one_invoice_are_each_judged_by_itself(owner, entity, customer, issue, pay, apply, promise):
    (a,) = issue(customer, 10_000)
    first, second = promise((a, 4_000), due_on=date(2026, 4, 10)), promise((a, 6_000), due_on=date(2026, 4, 20))
    assert set(Promise.objects.values_list("state", flat=True)) == {"open"}
    said = queries.promised(entity_id=entity.pk, as_of=date(2026, 4, 1))
    assert said.select("due_on", "amount_minor").rows() == [(date(2026, 4, 10), 4_000), (date(2026, 4, 20), 6_000)]
    apply(pay(customer, 4_000, on=date(2026, 4, 9)), a, 4_000, on=date(2026, 4, 9))
    judged = {row["promise_id"]: row for row in actions.judge_promises(actor=owner, as_of=date(2026, 4, 10)).to_dicts()}
    assert {k: (v["state"], v["paid_minor"]) for k, v in judged.items()} == {
        first: ("kept", 4_000)
    }  # the same money keeps no second one
    said = queries.promised(entity_id=entity.pk, as_of=date(2026, 4, 10))
    assert said.select("promise_id", "amount_minor").rows() == [(second, 6_000)]
    apply(pay(customer, 1_000, on=date(2026, 4, 15)), a, 1_000, on=date(2026, 4, 15))
    judged = actions.judge_promises(actor=owner, as_of=date(2026, 4, 30)).to_dicts()
    assert judged == [{"promise_id": second, "state": "partly", "paid_minor": 1_000}]


def test_money_that_misses_the_first_promise_keeps_the_second(owner, customer, issue, pay, apply, promise):
    (a,) = issue(customer, 10_000)
    first, second = promise((a, 4_000), due_on=date(2026, 4, 10)), promise((a, 6_000), due_on=date(2026, 4, 20))
    apply(pay(customer, 6_000, on=date(2026, 4, 18)), a, 6_000, on=date(2026, 4, 18))
    judged = actions.judge_promises(actor=owner, as_of=date(2026, 4, 30)).to_dicts()
    assert {j["promise_id"]: j["state"] for j in judged} == {first: "broken", second: "kept"}


def test_promises_stand_side_by_side_only_as_far_as_the_invoice_has_room(owner, entity, customer, issue, promise):
    (a,) = issue(customer, 10_000)
    first = promise((a, 4_000))
    told = {
        "actor": owner,
        "entity_id": entity.pk,
        "customer_id": customer,
        "due_on": date(2026, 4, 20),
        "made_on": date(2026, 4, 5),
    }
    items = pl.DataFrame({"invoice_id": [a], "amount_minor": [6_001]})
    with pytest.raises(actions.NotOwed, match="promised already"):
        actions.record_promise(**told, items=items, replaces=[])
    with pytest.raises(actions.PromiseOver):
        actions.record_promise(**told, items=items, replaces=[987_654])
    assert Promise.objects.get().state == "open"
    actions.record_promise(**told, items=items, replaces=[first])
    assert list(Promise.objects.order_by("id").values_list("state", flat=True)) == ["withdrawn", "open"]


def test_the_forecast_expects_each_part_on_its_own_day(entity, customer, issue, pay, apply, promise):
    (a,) = issue(customer, 10_000)
    promise((a, 3_000), due_on=date(2026, 4, 10))
    promise((a, 5_000), due_on=date(2026, 4, 20), made_on=date(2026, 4, 2))
    opened = pl.DataFrame({"invoice_id": [a], "open_minor": [10_000]})
    said = timing.promised(entity_id=entity.pk, as_of=date(2026, 4, 3), opened=opened)
    assert said.rows() == [(a, date(2026, 4, 10), 3_000), (a, date(2026, 4, 20), 5_000)]
    apply(pay(customer, 1_000, on=date(2026, 4, 4)), a, 1_000, on=date(2026, 4, 4))
    less = timing.promised(entity_id=entity.pk, as_of=date(2026, 4, 4), opened=opened.with_columns(open_minor=pl.lit(9_000)))
    assert less.rows() == [(a, date(2026, 4, 10), 2_000), (a, date(2026, 4, 20), 5_000)]
    found = timing.forecast(entity_id=entity.pk, as_of=date(2026, 4, 4))
    assert sorted(found.parts["amount_minor"].to_list()) == [2_000, 2_000, 5_000]


def test_what_stood_promised_is_known_as_of_any_day(owner, entity, customer, issue, promise):
    (a,) = issue(customer, 10_000)
    promise((a, 5_000))
    judge(owner, date(2026, 4, 20))
    on = {
        d: queries.promised(entity_id=entity.pk, as_of=d).height for d in (date(2026, 3, 31), date(2026, 4, 5), date(2026, 4, 20))
    }
    assert list(on.values()) == [0, 1, 0]


def test_promises_in_the_past_beyond_the_debt_or_for_others_are_refused(customer, make_customers, issue, promise):
    (a,) = issue(customer, 10_000)
    (other,) = issue(make_customers("Initech")[0], 700)
    with pytest.raises(actions.PromiseInThePast, match="still to come"):
        promise((a, 100), due_on=date(2026, 3, 31))
    with pytest.raises(actions.NotOwed, match=r"100\.00 EUR is"):
        promise((a, 10_001))
    with pytest.raises(actions.NotOwed, match="another customer"):
        promise((other, 700))
    with pytest.raises(Invalid, match="at least one"):
        promise()
    assert not Promise.objects.exists()


def dispute(owner, invoice, **given):
    said = {"reason": "price", "raised_on": date(2026, 4, 1), "deadline_on": date(2026, 4, 15)} | given
    return actions.raise_dispute(actor=owner, invoice_id=invoice, **said)


def test_a_dispute_holds_only_its_part_and_is_resolved_by_a_credit_note_for_the_invoice(owner, entity, customer, issue):
    a, b = issue(customer, 10_000, 5_000)
    made = dispute(owner, a, amount_minor=2_500)
    held = queries.disputed(entity_id=entity.pk, as_of=date(2026, 4, 2))
    assert held.select("invoice_id", "amount_minor").rows() == [(a, 2_500)]
    wrong = billing.credit_invoice(actor=owner, invoice_id=b, issue_on=date(2026, 4, 3), total_minor=100)
    with pytest.raises(Invalid, match="for its invoice"):
        actions.resolve_dispute(
            actor=owner,
            dispute_id=made,
            state="credited",
            resolved_on=date(2026, 4, 3),
            resolution="Agreed",
            credit_note_id=wrong,
        )
    note = billing.credit_invoice(actor=owner, invoice_id=a, issue_on=date(2026, 4, 3), total_minor=2_500)
    actions.resolve_dispute(
        actor=owner, dispute_id=made, state="credited", resolved_on=date(2026, 4, 11), resolution="Agreed", credit_note_id=note
    )
    assert queries.disputed(entity_id=entity.pk, as_of=date(2026, 4, 10)).height == 1
    assert queries.disputed(entity_id=entity.pk, as_of=date(2026, 4, 11)).height == 0
    assert queries.resolution_days(entity_id=entity.pk, as_of=date(2026, 4, 11)).rows() == [("price", 1, 10.0)]
    with pytest.raises(actions.DisputeResolved):
        actions.resolve_dispute(actor=owner, dispute_id=made, state="rejected", resolved_on=date(2026, 4, 12), resolution="No")


def test_an_invoice_has_one_open_dispute_and_no_more_than_is_open_is_contested(owner, customer, issue):
    (a,) = issue(customer, 10_000)
    with pytest.raises(actions.NotOwed):
        dispute(owner, a, amount_minor=10_001)
    dispute(owner, a)
    with pytest.raises(actions.AlreadyDisputed):
        dispute(owner, a)
    with pytest.raises(Invalid, match="no reason"):
        dispute(owner, a, reason="mood")
    assert Dispute.objects.get().amount_minor == 10_000


@pytest.fixture
def plan(owner, entity, customer):
    def make(invoices, *parts):
        rows = pl.DataFrame(parts, schema={"due_on": pl.Date, "amount_minor": pl.Int64}, orient="row")
        return actions.agree_plan(
            actor=owner,
            entity_id=entity.pk,
            customer_id=customer,
            invoice_ids=invoices,
            instalments=rows,
            agreed_on=date(2026, 4, 1),
        )

    return make


PARTS = [(date(2026, 4, 15), 5_000), (date(2026, 5, 15), 5_000), (date(2026, 6, 15), 5_000)]


def test_a_plan_that_is_paid_completes_and_one_that_misses_a_part_breaks_after_its_grace(
    owner, customer, issue, pay, apply, plan
):
    a, b = issue(customer, 10_000, 5_000)
    made = plan([a, b], *PARTS)
    apply(pay(customer, 5_000, on=date(2026, 4, 16)), a, 5_000, on=date(2026, 4, 16))
    for day in (date(2026, 4, 20), date(2026, 5, 18)):
        assert actions.judge_plans(actor=owner, as_of=day).is_empty()
    assert actions.judge_plans(actor=owner, as_of=date(2026, 5, 19)).rows() == [(made, "broken")]
    assert not PlanInvoice.objects.filter(is_active=True).exists()
    again = plan([b], (date(2026, 5, 30), 5_000))
    apply(pay(customer, 5_000, on=date(2026, 5, 20)), b, 5_000, on=date(2026, 5, 20))
    assert actions.judge_plans(actor=owner, as_of=date(2026, 5, 20)).rows() == [(again, "completed")]


def test_a_plan_that_does_not_add_up_or_takes_an_invoice_twice_is_refused(customer, issue, plan):
    a, b = issue(customer, 10_000, 5_000)
    with pytest.raises(actions.PlanDoesNotAddUp, match=r"come to 100\.00 EUR, open is 150\.00 EUR"):
        plan([a, b], *PARTS[:2])
    plan([a, b], *PARTS)
    with pytest.raises(actions.AlreadyPlanned, match="INV-000002"):
        plan([b], (date(2026, 4, 20), 5_000))
    assert PaymentPlan.objects.count() == 1


def test_contacts_are_kept_and_a_snoozed_customer_comes_back_on_the_day(owner, entity, customer):
    with clock.at(datetime(2026, 4, 2, 9, tzinfo=UTC)):
        actions.log_contact(
            actor=owner,
            entity_id=entity.pk,
            customer_id=customer,
            channel="call",
            outcome="reached",
            occurred_on=date(2026, 4, 2),
            note="Says Friday",
        )
        with pytest.raises(Invalid, match="future"):
            actions.log_contact(
                actor=owner,
                entity_id=entity.pk,
                customer_id=customer,
                channel="call",
                outcome="reached",
                occurred_on=date(2026, 4, 3),
            )
    assert queries.last_contacts(entity_id=entity.pk)["note"].to_list() == ["Says Friday"]
    actions.set_desk(actor=owner, entity_id=entity.pk, customer_id=customer, snoozed_until=date(2026, 4, 9))
    desk = queries.desks(entity_id=entity.pk)
    assert [queries.snoozed(desk, as_of=d) for d in (date(2026, 4, 8), date(2026, 4, 9))] == [[customer], []]


def test_an_invoice_in_litigation_leaves_forecast_reminders_and_list_until_it_is_resolved(
    owner, entity, customer, issue, pay, apply
):
    def foreseen(day):
        return set(timing.forecast(entity_id=entity.pk, as_of=day).invoices["invoice_id"])

    def chased(day):
        return set(reminders.chaseable(entity_id=entity.pk, as_of=day)["invoice_id"])

    court, plain, late = date(2026, 4, 10), date(2026, 4, 9), date(2026, 4, 20)
    a, b = issue(customer, 100_000, 50_000)
    payment = pay(customer, 40_000, on=plain)
    apply(payment, a, 40_000, on=plain)
    about = {"actor": owner, "invoice_id": a, "reason": "litigation", "raised_on": court, "deadline_on": date(2027, 4, 10)}
    with pytest.raises(Invalid, match="in litigation as a whole"):
        actions.raise_dispute(**about, amount_minor=10_000)
    dispute = actions.raise_dispute(**about)
    assert Dispute.objects.get().amount_minor == 60_000
    assert foreseen(plain) == chased(plain) == {a, b}
    assert foreseen(court) == chased(court) == {b}
    assert timing.forecast(entity_id=entity.pk, as_of=court).excluded.rows() == [(a, 60_000)]
    receivables.return_payments(actor=owner, payment_ids=[payment], on=date(2026, 4, 11), reason="AC04")
    assert chased(late) == {b}  # what opened again is before the court too
    (row,) = worklist.worklist(entity=entity, as_of=late).to_dicts()
    assert (row["disputed_minor"], row["chase_minor"]) == (100_000, 50_000)
    with clock.at(late):
        actions.resolve_dispute(
            actor=owner, dispute_id=dispute, state="rejected", resolved_on=late, resolution="The court found for us."
        )
    assert foreseen(late) == chased(late) == {a, b}
