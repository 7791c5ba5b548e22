"""Near-equal ways of a step: dealt by a hash, kept with the reminder, compared by who paid."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime

import polars as pl
import pytest
from django.core import mail
from django.test import Client

from topline.collections import actions, reminders, trials
from topline.collections.models import DunningPolicy, Reminder
from topline.engine import dunning
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid
from topline.market import actions as market
from topline.team import actions as team
from topline.team.models import Member

STEP_DAY = date(2026, 4, 3)  # three days after the due day of what is issued on 1 March
OVER = date(2026, 4, 17)  # fourteen days after it
TWO_LETTERS = {"template": "second"}


def ladder(alternative=None, *, is_randomised=True):
    steps = [asdict(s) for s in dunning.LADDER]
    friendly = next(s for s in steps if s["key"] == "friendly")
    friendly.update(alternative=alternative or TWO_LETTERS, is_randomised=is_randomised)
    return steps


def at_nine(day):
    return clock.at(datetime(day.year, day.month, day.day, 9, tzinfo=UTC))


@pytest.fixture
def customers(owner, make_customers, issue):
    """Customers with one invoice each, by the way that they are dealt at the step `friendly`: some for the first, some for the second."""
    made = make_customers(*(f"Customer {i}" for i in range(30)))
    for customer in made:
        market.add_contact(actor=owner, customer_id=customer, name="Ada", email=f"pay{customer}@x.example")
    invoices = {c: issue(c, 10_000)[0] for c in made}
    dealt = {way: [(c, invoices[c]) for c in made if dunning.second_way(c, "friendly") is way] for way in (False, True)}
    assert all(len(group) >= 2 for group in dealt.values())
    return dealt


@pytest.fixture
def run(owner, entity):
    def plan(steps, day=STEP_DAY):
        reminders.set_policy(actor=owner, entity_id=entity.pk, steps=steps)
        with at_nine(day):
            return reminders.plan_reminders(actor=owner, entity_id=entity.pk, as_of=day)

    return plan


def test_the_deal_is_a_fixed_hash_of_customer_and_step_and_even():
    dealt = [dunning.second_way(c, "friendly") for c in range(1, 10_001)]
    assert 4_850 < sum(dealt) < 5_150
    assert sum(a == dunning.second_way(c, "second") for c, a in enumerate(dealt, start=1)) in range(4_850, 5_150)
    assert [dunning.second_way(c, "friendly") for c in range(1, 9)] == dealt[:8]


def test_nothing_is_dealt_unless_the_user_says_so(customers, run):
    run(ladder(is_randomised=False))
    assert set(Reminder.objects.values_list("variant", flat=True)) == {""}
    assert {r.subject.split(":")[0] for r in Reminder.objects.all()} == {"Friendly reminder"}


def test_each_customer_gets_the_letter_that_the_hash_deals_and_the_reminder_keeps_which(customers, run):
    run(ladder())
    for way, words, subject in ((False, "email friendly", "Friendly reminder"), (True, "email second", "Second reminder")):
        for customer, _ in customers[way]:
            reminder = Reminder.objects.get(customer_id=customer)
            assert (reminder.step, reminder.variant, reminder.subject.split(":")[0]) == ("friendly", words, subject)


def test_a_second_way_by_phone_waits_for_a_person(customers, run):
    run(ladder({"channel": "call"}))
    assert set(Reminder.objects.values_list("variant", "channel", "state")) == {
        ("email friendly", "email", "queued"),
        ("call", "call", "held"),
    }


def test_a_second_way_some_days_later_leaves_later_and_not_once_the_money_came(customers, run, pay, apply):
    run(ladder({"wait_days": 3}))
    (payer, invoice), *others = customers[True]
    with at_nine(STEP_DAY):
        while outbox.drain(HANDLERS):
            pass
    assert len(mail.outbox) == len(customers[False])
    with at_nine(date(2026, 4, 6)):
        apply(pay(payer, 10_000, on=date(2026, 4, 5)), invoice, 10_000, on=date(2026, 4, 5))
        while outbox.drain(HANDLERS):
            pass
    assert len(mail.outbox) == len(customers[False]) + len(others)
    assert Reminder.objects.get(customer_id=payer).variant == "email friendly, 3 days later"


def test_the_shares_that_paid_stand_side_by_side_and_pending_ones_are_not_counted(entity, customers, run, pay, apply):
    run(ladder())
    (a, a_invoice), (late, late_invoice) = customers[False][:2]
    (b, b_invoice), (part, part_invoice) = customers[True][:2]
    apply(pay(a, 10_000, on=OVER), a_invoice, 10_000, on=OVER)
    apply(pay(b, 10_000, on=date(2026, 4, 5)), b_invoice, 10_000, on=date(2026, 4, 5))
    apply(pay(part, 9_999, on=date(2026, 4, 5)), part_invoice, 9_999, on=date(2026, 4, 5))
    after = date(2026, 4, 18)
    apply(pay(late, 10_000, on=after), late_invoice, 10_000, on=after)
    (early,) = trials.trials(entity_id=entity.pk, as_of=date(2026, 4, 16))
    assert (early.first.customers, early.first.pending, early.difference) == (0, len(customers[False]), None)
    assert early.verdict == "no difference can be told yet"
    (found,) = trials.trials(entity_id=entity.pk, as_of=date(2026, 4, 20))
    assert (found.first.customers, found.first.paid, found.first.pending) == (len(customers[False]), 1, 0)
    assert (found.second.customers, found.second.paid) == (len(customers[True]), 1)
    assert found.difference.value == pytest.approx(1 / len(customers[True]) - 1 / len(customers[False]))
    assert found.verdict == trials.NOT_TOLD


def test_whoever_disputed_or_promised_before_the_step_is_not_counted_and_whoever_does_after_it_is(owner, entity, customers, run):
    (a, a_invoice), (_, after_invoice) = customers[False][:2]
    disputed = {"actor": owner, "reason": "price", "amount_minor": 100, "deadline_on": date(2026, 5, 1)}
    actions.raise_dispute(**disputed, invoice_id=a_invoice, raised_on=date(2026, 4, 1))
    run(ladder())
    assert Reminder.objects.filter(customer_id=a).count() == 1
    actions.raise_dispute(**disputed, invoice_id=after_invoice, raised_on=date(2026, 4, 6))
    b, b_invoice = customers[True][0]
    with at_nine(date(2026, 4, 6)):  # written down late
        items = pl.DataFrame({"invoice_id": [b_invoice], "amount_minor": [10_000]})
        actions.record_promise(
            actor=owner, entity_id=entity.pk, customer_id=b, due_on=date(2026, 4, 30), items=items, made_on=date(2026, 4, 1)
        )
    (found,) = trials.trials(entity_id=entity.pk, as_of=OVER)
    assert (found.first.customers, found.second.customers) == (len(customers[False]) - 1, len(customers[True]) - 1)


def test_a_difference_is_told_once_its_interval_leaves_zero_out():
    way = trials.Way
    clear = trials.Trial("firm", True, way("email firm", 80, 40, 0), way("call", 80, 70, 0))
    assert clear.verdict == "more customers pay after call than after email firm"
    turned = trials.Trial("firm", True, way("email firm", 80, 70, 0), way("call", 80, 40, 0))
    assert turned.verdict == "more customers pay after email firm than after call"
    assert trials.Trial("firm", True, way("email firm", 20, 11, 0), way("call", 20, 12, 0)).verdict == trials.NOT_TOLD


def test_a_letter_by_hand_is_no_part_of_the_trial(owner, entity, customers, run):
    run(ladder(), day=date(2026, 3, 10))  # nothing is due
    customer, _ = customers[True][0]
    with at_nine(date(2026, 4, 4)):
        reminders.remind_customer(actor=owner, entity_id=entity.pk, customer_id=customer, step="friendly", as_of=date(2026, 4, 4))
    assert Reminder.objects.get().variant == ""
    (found,) = trials.trials(entity_id=entity.pk, as_of=date(2026, 5, 1))
    assert found.first.customers == found.second.customers == 0


@pytest.mark.parametrize(
    ("alternative", "sentence"),
    [
        ({"template": "friendly"}, "are the same"),
        ({"channel": "handover"}, "cannot have a second way"),
        ({"channel": "pigeon"}, "cannot have a second way"),
        ({"wait_days": 5}, "cannot leave 5 days later"),
        ({"channel": "call", "wait_days": 1}, "cannot leave 1 days later"),
        ({"template": "poem"}, "no letter poem"),
        ({"tone": "warm"}, "cannot be read"),
    ],
)
def test_ways_that_are_not_near_equal_are_refused(owner, entity, alternative, sentence):
    with pytest.raises(Invalid, match=sentence):
        reminders.set_policy(actor=owner, entity_id=entity.pk, steps=ladder(alternative))
    assert not DunningPolicy.objects.exists()


def test_a_step_without_a_second_way_or_one_that_waits_for_approval_is_not_randomised():
    with pytest.raises(Invalid, match="no second way"):
        dunning.parse_steps([{"key": "a", "days": 1, "channel": "call", "is_randomised": True}])
    with pytest.raises(Invalid, match="cannot have a second way"):
        dunning.parse_steps(
            [{"key": "a", "days": 1, "channel": "email", "template": "final", "needs_approval": True, "alternative": TWO_LETTERS}]
        )


@pytest.fixture
def browser(owner):
    def sign_in(*roles):
        email = f"{roles[0].lower()}@acme.localhost"
        member = team.add_member(actor=owner, email=email, name=roles[0], roles=list(roles), password="a long enough phrase")
        client = Client()
        client.force_login(Member.objects.get(pk=member))
        return client

    return sign_in


def test_the_ways_are_set_on_a_page_and_the_board_and_programs_tell_what_came(owner, entity, customers, run, browser):
    reminders.set_policy(actor=owner, entity_id=entity.pk, minimum_minor=700, quiet_from_hour=20, is_on=False)
    approver, collector = browser("Approver"), browser("Collections")
    said = {"step": "/friendly", "template": "second", "channel": "", "wait_days": "0", "is_randomised": "on"}
    assert collector.post("/collections/board/ways/", said).status_code == 403
    refused = approver.post("/collections/board/ways/", said | {"template": "friendly"})
    assert refused.status_code == 400 and "are the same" in refused.content.decode()
    assert approver.get("/collections/board/ways/").status_code == 200
    assert approver.post("/collections/board/ways/", said).status_code == 302
    policy = DunningPolicy.objects.get()
    assert (policy.minimum_minor, policy.quiet_from_hour, policy.is_on) == (700, 20, False)
    run(policy.steps)
    page = collector.get("/collections/board/", {"as_of": "2026-04-17"}).content.decode()
    assert "no difference can be told yet" in page and "email second" in page
    assert "Set two ways" not in page and "Set two ways" in approver.get("/collections/board/").content.decode()
    from topline.kernel.actor import Actor

    member = Member.objects.get(email="collections@acme.localhost")
    maker = Actor(key=f"member:{member.pk}", permissions=frozenset({"team.create_token"}))
    secret = team.create_token(actor=maker, name="t", scopes=["collections.*"])
    answer = Client().get("/api/v1/near-equal-steps?as_of=2026-04-17", headers={"Authorization": f"Bearer {secret}"}).json()
    (item,) = answer["items"]
    assert (item["step"], item["is_told"], item["first"]["customers"]) == ("friendly", False, len(customers[False]))
    assert item["difference"]["low"] < 0 < item["difference"]["high"]
