"""The collector's pages: a day's list is worked off customer by customer, and every key's form does what it says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest
from django.core import mail
from django.test import Client

from topline.collections import actions, reminders, worklist
from topline.collections.models import Contact, Desk, Dispute, PaymentPlan, Promise, Reminder
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid
from topline.market import actions as market
from topline.market.models import Customer
from topline.team import actions as team
from topline.team.models import Member
from topline.timeline.models import Milestone

DAY = date(2026, 4, 20)


@pytest.fixture
def day():
    with clock.at(DAY):
        yield DAY


@pytest.fixture
def desk(owner, entity, make_customers, issue, day):
    """Three customers to call, the dearest first, and a collector's browser."""
    big, middle, small = make_customers("Big", "Middle", "Small")
    market.add_contact(actor=owner, customer_id=big, name="Ada Pay", email="pay@big.example", role="Accounts payable")
    first = issue(big, 6_000_00, 3_000_00, on=date(2026, 3, 1))
    (second,) = issue(middle, 5_000_00, on=date(2026, 3, 1))
    (third,) = issue(small, 2_000_00, on=date(2026, 3, 1))
    member = team.add_member(
        actor=owner, email="clara@acme.localhost", name="Clara", roles=["Collections"], password="a long enough phrase"
    )
    browser = Client()
    browser.force_login(Member.objects.get(pk=member))
    return SimpleNamespace(
        big=big, middle=middle, small=small, first=first, second=second, third=third, browser=browser, clara=member
    )


def at(customer):
    return f"/collections/{customer}/"


def test_the_list_names_each_customer_once_in_the_order_of_gain_and_is_exported(desk):
    page = desk.browser.get("/collections/").content.decode()
    assert page.index(">Big<") < page.index(">Middle<") < page.index(">Small<")
    assert "Send the firm reminder" in page and "more within 14 days" in page
    csv = desk.browser.get("/collections/?export=csv&sort=-overdue_minor").content.decode("utf-8-sig").splitlines()
    assert [line.split(",")[0] for line in csv] == ["Customer", "Big", "Middle", "Small"]
    asked = desk.browser.get("/collections/?q=mid").content.decode()
    assert ">Middle<" in asked and ">Big<" not in asked


@pytest.mark.parametrize("query", ["show=never", "owner=x", "sort=why", "page=0"])
def test_a_list_that_cannot_be_is_refused(desk, query):
    assert desk.browser.get(f"/collections/?{query}").status_code in {400, 422}


def test_after_each_step_the_next_customer_opens_until_the_list_is_done(desk):
    answer = desk.browser.post(
        at(desk.big) + "call/", {"outcome": "reached", "note": "Pays Friday", "channel": "call", "person": "Ada"}
    )
    assert answer.url == at(desk.middle)
    answer = desk.browser.post(
        at(desk.middle) + "promise/", {"due_on": "2026-04-27", "amount": "5000.00", "currency": "EUR", "note": ""}
    )
    assert answer.url == at(desk.small)
    answer = desk.browser.post(at(desk.small) + "snooze/", {"snoozed_until": "2026-04-30", "note": "Away"}, follow=True)
    assert answer.redirect_chain[-1][0] == "/collections/"
    page = answer.content.decode()
    assert "The day&#39;s list is done." in page and "Nobody is to be called today" in page
    waiting = desk.browser.get("/collections/?show=waiting").content.decode()
    for reason in ("Contacted on 20 Apr.", "Promised by 27 Apr.", "Snoozed until 30 Apr: Away."):
        assert reason in waiting
    assert Contact.objects.filter(customer_id=desk.big, note="Pays Friday", person="Ada").count() == 1
    assert Desk.objects.get().snoozed_until == date(2026, 4, 30)


def test_skipping_goes_on_and_an_owner_stays_chosen(owner, desk):
    for customer in (desk.big, desk.small):
        market.change_customer(actor=owner, customer_id=customer, changes={"owner_id": desk.clara})
    page = desk.browser.get(at(desk.big) + f"?owner={desk.clara}").content.decode()
    assert f'href="{at(desk.small)}?owner={desk.clara}"' in page and "No 1 of 2 today" in page
    answer = desk.browser.post(at(desk.big) + f"call/?owner={desk.clara}", {"outcome": "not_reached", "channel": "call"})
    assert answer.url == at(desk.small) + f"?owner={desk.clara}"


def test_a_promise_covers_the_oldest_invoices_first_and_no_more_than_is_open(desk):
    more = {"due_on": "2026-04-27", "currency": "EUR", "note": "By phone"}
    refused = desk.browser.post(at(desk.big) + "promise/", {**more, "amount": "9000.01"})
    assert refused.status_code == 400 and b"More is promised than is open" in refused.content
    assert not Promise.objects.exists()
    desk.browser.post(at(desk.big) + "promise/", {**more, "amount": "7000.00"})
    made = Promise.objects.get()
    assert dict(made.items.values_list("invoice_id", "amount_minor")) == {desk.first[0]: 6_000_00, desk.first[1]: 1_000_00}
    assert Contact.objects.get().outcome == "promised"


def test_a_second_promise_leaves_the_first_alone_unless_it_is_said_to_take_its_place(desk):
    said = {"currency": "EUR", "note": ""}
    desk.browser.post(at(desk.big) + "promise/", {**said, "due_on": "2026-04-27", "amount": "2000.00"})
    first = Promise.objects.get()
    page = desk.browser.get(at(desk.big)).content.decode()
    assert "promised in part by 27 Apr" in page and "what is not promised yet" in page
    assert 'value="7000.00"' in page  # the rest of it and the other invoice: what a promise covers without a word
    refused = desk.browser.post(at(desk.big) + "promise/", {**said, "due_on": "2026-05-04", "amount": "7000.01"})
    assert refused.status_code == 400 and b"Say which promise it takes the place of" in refused.content
    desk.browser.post(at(desk.big) + "promise/", {**said, "due_on": "2026-05-04", "amount": "7000.00"})
    second = Promise.objects.exclude(pk=first.pk).get()
    assert dict(second.items.values_list("invoice_id", "amount_minor")) == {desk.first[0]: 4_000_00, desk.first[1]: 3_000_00}
    assert set(Promise.objects.values_list("state", flat=True)) == {"open"}
    assert "promised by 27 Apr and 4 May" in desk.browser.get(at(desk.big)).content.decode()
    later = {**said, "due_on": "2026-05-11", "amount": "2000.00", "instead": first.pk}
    assert desk.browser.post(at(desk.big) + "promise/", later).status_code == 302
    states = dict(Promise.objects.values_list("due_on", "state"))
    assert states == {date(2026, 4, 27): "withdrawn", date(2026, 5, 4): "open", date(2026, 5, 11): "open"}
    assert dict(Promise.objects.get(due_on=date(2026, 5, 11)).items.values_list("invoice_id", "amount_minor")) == {
        desk.first[0]: 2_000_00
    }


def test_a_promise_of_a_part_leaves_the_rest_due(desk, entity):
    desk.browser.post(at(desk.middle) + "promise/", {"due_on": "2026-04-27", "amount": "1.00", "currency": "EUR", "note": ""})
    later = DAY + timedelta(days=3)
    row = worklist.worklist(entity=entity, as_of=later).filter(pl.col("customer_id") == desk.middle).row(0, named=True)
    assert (row["chase_minor"], row["waits"]) == (4_999_00, "")
    still = reminders.chaseable(entity_id=entity.pk, as_of=later).filter(pl.col("invoice_id") == desk.second)
    assert still["open_minor"].to_list() == [4_999_00]


def test_a_promise_is_withdrawn_and_a_plan_ended_with_a_reason(desk, owner):
    desk.browser.post(at(desk.big) + "promise/", {"due_on": "2026-04-27", "amount": "9000.00", "currency": "EUR", "note": ""})
    promise = Promise.objects.get()
    away = f"/collections/promises/{promise.pk}/withdraw/"
    assert away in desk.browser.get(at(desk.big)).content.decode()
    assert desk.browser.post(away, {"reason": " "}).status_code == 400
    with clock.at(date(2026, 4, 30)):  # its day and grace are over: money judges it
        late = desk.browser.post(away, {"reason": "They forgot"})
        assert late.status_code == 400 and b"days of grace are over" in late.content
    assert desk.browser.post(away, {"reason": "Meant another customer"}, follow=True).redirect_chain[-1][0] == at(desk.big)
    assert desk.browser.post(away, {"reason": "Again"}).status_code == 400
    assert Promise.objects.get().state == "withdrawn"
    desk.browser.post(at(desk.big) + "promise/", {"due_on": "2026-04-27", "amount": "1.00", "currency": "EUR", "note": ""})
    plan = {"currency": "EUR", "grace_days": "3", "parts": "2026-05-20 9,000.00", "note": ""}
    desk.browser.post(at(desk.big) + "plan/", plan)
    assert set(Promise.objects.values_list("state", flat=True)) == {"withdrawn"}  # the plan took its place
    end = f"/collections/plans/{PaymentPlan.objects.get().pk}/cancel/"
    assert end in desk.browser.get(at(desk.big)).content.decode()
    assert desk.browser.post(end, {"reason": "Paid in goods"}).url == at(desk.big)
    assert PaymentPlan.objects.get().state == "cancelled" and desk.browser.post(end, {"reason": "Again"}).status_code == 400
    told = Milestone.objects.filter(kind__in=["promise_withdrawn", "plan_cancelled"]).order_by("id")
    assert list(told.values_list("kind", "note")) == [
        ("promise_withdrawn", "Meant another customer"), ("plan_cancelled", "Paid in goods"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "body", "sentence"),
    [
        ("promise", {"due_on": "2026-04-19", "amount": "1", "currency": "EUR"}, "is past already"),
        ("promise", {"due_on": "2026-04-27", "amount": "-1", "currency": "EUR"}, "more than zero"),
        ("promise", {"due_on": "soon", "amount": "1", "currency": "EUR"}, "Enter a valid date"),
        ("promise", {"due_on": "2026-04-27", "amount": "1.000,00", "currency": "EUR"}, "Write it as 1234.56"),
        ("snooze", {"snoozed_until": "2026-04-20"}, "not still to come"),
        ("snooze", {"snoozed_until": "2036-04-20"}, "by a year at most"),
        ("call", {"outcome": "sent", "channel": "call"}, "not one of the available choices"),
        ("dispute", {"invoice_id": "999", "reason": "price", "deadline_on": "2026-05-04"}, "not one of the available choices"),
        ("remind", {"step": "call", "recipient": "a@b.example"}, "not one of the available choices"),
    ],
)
def test_a_wrong_answer_is_told_at_its_field_and_changes_nothing(desk, verb, body, sentence):
    answer = desk.browser.post(at(desk.big) + f"{verb}/", body)
    assert answer.status_code == 400 and sentence in answer.content.decode()
    assert not Promise.objects.exists() and not Contact.objects.exists() and not Dispute.objects.exists()
    assert not Desk.objects.exists()


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ("2026-05-20 1,000.00", "The parts come to 1000.00 EUR, open is 9000.00 EUR."),
        ("2026-04-01 9,000.00", "The part of 1 Apr 2026 is due before the plan is agreed. Give it a day"),
        ("2026-05-20 10,000.00\n2026-06-20 -1,000.00", "Every part must be more than zero. Correct it"),
    ],
)
def test_a_plan_that_does_not_add_up_is_told_beside_its_parts_and_nothing_is_written(desk, parts, sentence):
    answer = desk.browser.post(at(desk.big) + "plan/", {"currency": "EUR", "grace_days": "3", "parts": parts, "channel": "call"})
    told = answer.content.decode()
    assert answer.status_code == 400 and sentence in told.replace("9,000", "9000").replace("1,000", "1000")
    assert 'aria-invalid="true"' in told and 'class="alert bad"' not in told
    assert not PaymentPlan.objects.exists() and not Contact.objects.exists()


def test_what_was_said_and_the_contact_are_written_down_together_or_not_at_all(desk, owner, entity):
    body = {"due_on": "2026-04-27", "amount": "7000.00", "currency": "EUR", "channel": "email"}
    assert desk.browser.post(at(desk.big) + "promise/", {**body, "channel": "pigeon"}).status_code == 400
    assert desk.browser.post(at(desk.big) + "promise/", {**body, "due_on": "2026-04-19"}).status_code == 400
    assert not Promise.objects.exists() and not Contact.objects.exists()
    items = pl.DataFrame({"invoice_id": desk.first[:1], "amount_minor": [1]})
    said = {"actor": owner, "entity_id": entity.pk, "customer_id": desk.big}
    with pytest.raises(Invalid, match="no channel"):
        actions.record_promise(**said, due_on=date(2026, 4, 27), items=items, made_on=DAY, channel="pigeon")
    with pytest.raises(Invalid, match="cannot lie in the future"):
        late = date(2026, 4, 21)
        actions.raise_dispute(
            actor=owner, invoice_id=desk.second, reason="price", raised_on=late, deadline_on=late, channel="call"
        )
    parts = pl.DataFrame({"due_on": [date(2026, 5, 4)], "amount_minor": [9_000_00]})
    with pytest.raises(Invalid, match="no channel"):
        actions.agree_plan(**said, invoice_ids=desk.first, instalments=parts, agreed_on=DAY, channel="pigeon")
    assert not any(m.objects.exists() for m in (Promise, Dispute, PaymentPlan, Contact))
    assert not Milestone.objects.filter(
        kind__in=["payment_promised", "invoice_disputed", "plan_agreed", "customer_contacted"]
    ).exists()
    assert desk.browser.post(at(desk.big) + "promise/", body).status_code == 302
    made = Contact.objects.get()
    assert (made.channel, made.outcome, made.customer_id, Promise.objects.count()) == ("email", "promised", desk.big, 1)


def test_a_dispute_of_a_part_has_an_owner_and_is_resolved_from_the_page(desk):
    body = {"invoice_id": desk.second, "reason": "price", "amount": "500.00", "deadline_on": "2026-05-04", "note": "Old price"}
    assert desk.browser.post(at(desk.middle) + "dispute/", body).status_code == 302
    made = Dispute.objects.get()
    assert (made.amount_minor, made.owner_id) == (500_00, desk.clara)
    page = desk.browser.get(at(desk.middle)).content.decode()
    assert "disputed in part" in page and "to be resolved by 4 May 2026" in page
    refused = desk.browser.post(f"/collections/disputes/{made.pk}/resolve/", {"state": "credited", "resolution": "Agreed"})
    assert refused.status_code == 400 and b"credit note for its invoice" in refused.content
    answer = desk.browser.post(f"/collections/disputes/{made.pk}/resolve/", {"state": "rejected", "resolution": "Not so"})
    assert answer.url == at(desk.middle)
    made.refresh_from_db()
    assert made.state == "rejected"


def test_a_plan_offers_three_equal_months_of_all_that_is_overdue_and_takes_what_is_written(desk, issue):
    issue(desk.big, 100_00, on=date(2026, 4, 10))  # not yet due
    disputed = issue(desk.big, 50_00, on=date(2026, 3, 1))[0]
    desk.browser.post(at(desk.big) + "dispute/", {"invoice_id": disputed, "reason": "price", "deadline_on": "2026-05-04"})
    form = desk.browser.get(at(desk.big) + "plan/").content.decode()
    assert "2026-05-20 3,000.00\n2026-06-20 3,000.00\n2026-07-20 3,000.00" in form
    said = {"currency": "EUR", "grace_days": "5", "note": "agreed by phone"}
    short = desk.browser.post(at(desk.big) + "plan/", said | {"parts": "2026-05-20 4,000.00\n2026-06-20 4,000.00"})
    assert short.status_code == 400
    assert "The parts come to 8,000.00 EUR, open is 9,000.00 EUR." in short.content.decode()
    for parts, sentence in (
        ("soon 9,000.00", "is no day"),
        ("2026-05-20 nine", "is not an amount"),
        ("2026-04-19 9,000.00", "before the plan is agreed"),
        (" ", "This field is required"),
        ("2026-05-20 9,500.00\n2026-06-20 -500.00", "more than zero"),
    ):
        refused = desk.browser.post(at(desk.big) + "plan/", said | {"parts": parts})
        assert refused.status_code == 400 and sentence in refused.content.decode()
    assert not PaymentPlan.objects.exists()
    taken = desk.browser.post(at(desk.big) + "plan/", said | {"parts": "2026-05-20 5,000.00\r\n\r\n2026-06-20  4,000.00\r\n"})
    assert (taken.status_code, taken.url) == (302, at(desk.middle))
    plan = PaymentPlan.objects.get()
    assert (plan.total_minor, plan.grace_days) == (9_000_00, 5)
    assert set(plan.invoices.values_list("invoice_id", flat=True)) == set(desk.first)
    assert list(plan.instalments.values_list("due_on", "amount_minor")) == [
        (date(2026, 5, 20), 5_000_00),
        (date(2026, 6, 20), 4_000_00),
    ]
    page = desk.browser.get(at(desk.big)).content.decode()
    assert "Payment plan agreed" in page and "in a plan" in page
    again = desk.browser.post(at(desk.big) + "plan/", said | {"parts": "2026-05-20 9,000.00"})
    assert again.status_code == 400  # nothing is left that a plan could take


def test_a_reminder_is_sent_by_hand_and_the_customer_waits_meanwhile(desk):
    answer = desk.browser.post(at(desk.big) + "remind/", {"step": "second", "recipient": "pay@big.example"})
    assert answer.url == at(desk.middle)
    assert "A reminder is on its way." in desk.browser.get("/collections/?show=waiting").content.decode()
    while outbox.drain(HANDLERS):
        pass
    assert [m.to for m in mail.outbox] == [["pay@big.example"]]
    assert Reminder.objects.get().state == "sent"
    assert "Written to on 20 Apr." in desk.browser.get("/collections/?show=waiting").content.decode()


def test_a_held_reminder_is_let_go_or_dropped(owner, entity, desk):
    made = [
        Reminder.objects.create(entity=entity, customer_id=desk.big, step=s, channel="email", language="en", recipient="pay@big.example", state="held", planned_on=DAY, recorded_at=clock.now()).pk
        for s in ("final", "firm")
    ]  # fmt: skip
    assert "Decide on the held reminder" in desk.browser.get("/collections/").content.decode()
    desk.browser.post(f"/collections/reminders/{made[0]}/release/")
    desk.browser.post(f"/collections/reminders/{made[1]}/drop/")
    assert list(Reminder.objects.order_by("id").values_list("state", flat=True)) == ["queued", "dropped"]


def test_a_step_that_a_person_takes_is_done_with_the_contact_and_can_be_dropped(entity, desk):
    def held(step, channel):
        return Reminder.objects.create(
            entity=entity, customer_id=desk.big, step=step, channel=channel, language="en", state="held", planned_on=DAY, recorded_at=clock.now()
        )  # fmt: skip

    call, agency = held("call", "call"), held("agency", "handover")
    page = desk.browser.get(at(desk.big)).content.decode()
    assert f"/cases/new/?customer={desk.big}" in page and f"/collections/reminders/{agency.pk}/drop/" in page
    assert f"/collections/reminders/{call.pk}/release/" not in page  # only e-mails are sent
    desk.browser.post(at(desk.big) + "call/", {"outcome": "not_reached", "channel": "call"})
    assert Reminder.objects.get(pk=call.pk).state == "held"
    desk.browser.post(at(desk.big) + "call/", {"outcome": "reached", "channel": "call"})
    assert dict(Reminder.objects.values_list("step", "state")) == {"call": "sent", "agency": "held"}


def test_a_letter_by_hand_takes_the_place_of_one_that_is_on_its_way(desk):
    said = {"recipient": "pay@big.example"}
    assert desk.browser.post(at(desk.big) + "remind/", said | {"step": "second"}).status_code == 302
    assert desk.browser.post(at(desk.big) + "remind/", said | {"step": "firm"}).status_code == 302
    while outbox.drain(HANDLERS):
        pass
    assert len(mail.outbox) == 1
    assert dict(Reminder.objects.values_list("step", "state")) == {"second": "dropped", "firm": "sent"}


def test_a_hold_needs_a_reason_and_hold_and_release_stand_on_the_page_with_who_and_when(desk):
    assert desk.browser.post(at(desk.big) + "hold/").status_code == 400
    assert not Customer.objects.get(pk=desk.big).is_on_hold
    assert desk.browser.post(at(desk.big) + "hold/", {"reason": "Two broken promises"}).status_code == 302
    assert Customer.objects.get(pk=desk.big).is_on_hold
    page = desk.browser.get(at(desk.big)).content.decode()
    assert "On credit hold since 20 Apr 2026, by Clara: Two broken promises." in page
    with clock.at(date(2026, 4, 22)):
        assert desk.browser.post(at(desk.big) + "hold/", {"reason": ""}).status_code == 302
        assert not Customer.objects.get(pk=desk.big).is_on_hold
        page = desk.browser.get(at(desk.big)).content.decode()
    assert "On credit hold since" not in page
    told = page[page.index("<h2>Timeline</h2>") :]
    released, put_on = told.index("Credit hold released"), told.index("Put on credit hold")
    assert "22 Apr 2026" in told[:released] and ", by Clara" in told[released:put_on]
    assert "20 Apr 2026" in told[released:put_on] and "Two broken promises" in told[put_on:]


def test_a_hold_from_the_customers_form_needs_a_reason_too(desk):
    said = {"name": "Big", "currency": "EUR", "terms": "net 30", "is_on_hold": "on"}
    refused = desk.browser.post(f"/customers/{desk.big}/edit/", said)
    assert refused.status_code == 400 and "A credit hold needs a reason" in refused.content.decode()
    assert desk.browser.post(f"/customers/{desk.big}/edit/", said | {"reason": "Insolvent"}).status_code == 302
    assert "by Clara: Insolvent." in desk.browser.get(at(desk.big)).content.decode()


def test_a_snoozed_customer_comes_back_when_the_day_is_cleared(desk):
    desk.browser.post(at(desk.big) + "snooze/", {"snoozed_until": "2026-04-30", "no_reminders": "on"})
    desk.browser.post(at(desk.big) + "snooze/", {"snoozed_until": "", "no_reminders": "on"})
    assert Desk.objects.values_list("snoozed_until", "no_reminders").get() == (None, True)
    assert ">Big<" in desk.browser.get("/collections/").content.decode()


def test_without_script_every_key_is_a_link_to_a_form(desk):
    page = desk.browser.get(at(desk.big)).content.decode()
    for verb in ("call", "promise", "dispute", "plan", "remind", "hold", "snooze"):
        assert f'href="{at(desk.big)}{verb}/"' in page
        form = desk.browser.get(at(desk.big) + f"{verb}/")
        assert form.status_code == 200 and b'method="post"' in form.content


def test_whoever_may_only_read_sees_no_keys(owner, desk):
    team.add_member(actor=owner, email="audit@acme.localhost", name="Audit", roles=["Auditor"], password="a long enough phrase")
    auditor = Client()
    auditor.force_login(Member.objects.get(email="audit@acme.localhost"))
    page = auditor.get(at(desk.big)).content.decode()
    assert "Big" in page and 'data-press="c"' not in page and '<dialog id="do-' not in page
    assert auditor.post(at(desk.big) + "call/", {}).status_code == 403


def test_programs_read_the_same_list(owner, desk):
    from topline.kernel.actor import Actor

    maker = Actor(key=f"member:{desk.clara}", permissions=frozenset({"team.create_token"}))
    secret = team.create_token(actor=maker, name="t", scopes=["collections.*"])
    found = Client().get("/api/v1/worklist", {"limit": 2}, headers={"Authorization": f"Bearer {secret}"}).json()
    assert [row["customer"] for row in found["items"]] == ["Big", "Middle"]
    assert (found["total"], found["currency"], found["as_of"]) == (3, "EUR", "2026-04-20")


def test_interest_and_compensation_follow_the_law_of_the_companys_country(owner, entity, desk):
    page = desk.browser.get(at(desk.small)).content.decode()
    assert "May be claimed" not in page
    type(entity).objects.filter(pk=entity.pk).update(country="FR")
    page = desk.browser.get(at(desk.small)).content.decode()
    # 2,000.00 for 20 days after 31 March at 2.15 + 8 percent: 11.12, and 40.00
    assert "interest 11.12, compensation 40.00" in page


def test_a_part_that_was_paid_late_bore_interest_until_it_came(owner, entity, desk, pay, apply):
    type(entity).objects.filter(pk=entity.pk).update(country="FR")
    payment = pay(desk.small, 1_000_00, on=date(2026, 4, 10))
    apply(payment, desk.third, 1_000_00, on=date(2026, 4, 10))
    page = desk.browser.get(at(desk.small)).content.decode()
    # 2,000.00 for 10 days and 1,000.00 for 10 more
    assert "interest 8.34, compensation 40.00" in page


def test_the_contracts_rate_takes_the_place_of_the_laws_and_holds_where_no_law_says(owner, desk):
    market.change_customer(actor=owner, customer_id=desk.small, changes={"late_interest_bps": 1825})
    page = desk.browser.get(at(desk.small)).content.decode()
    assert "interest 20.00 at 18.25 % by contract" in page and "compensation" not in page  # 2,000.00 for 20 days


def test_a_customer_without_debt_has_a_page_and_one_that_is_not_there_has_none(desk, make_customers):
    (nobody,) = make_customers("Nobody")
    page = desk.browser.get(at(nobody)).content.decode()
    assert "Nothing is open." in page
    assert desk.browser.get(at(nobody) + "promise/").status_code == 200
    assert desk.browser.get(at(999_999)).status_code == 404


def test_the_board_counts_promises_money_after_contacts_and_disputes(owner, entity, desk, pay, apply):
    from topline.collections import actions, board

    desk.browser.post(at(desk.big) + "call/", {"outcome": "reached", "channel": "call"})
    desk.browser.post(at(desk.middle) + "promise/", {"due_on": "2026-04-22", "amount": "5000.00", "currency": "EUR"})
    desk.browser.post(at(desk.small) + "dispute/", {"invoice_id": desk.third, "reason": "price", "deadline_on": "2026-04-21"})
    pay(desk.big, 700_00, on=date(2026, 4, 19))  # before the contact
    pay(desk.big, 1_000_00, on=date(2026, 4, 24))
    pay(desk.big, 9_00, on=date(2026, 4, 28))  # more than a week after it
    with clock.at(date(2026, 4, 30)):
        apply(pay(desk.middle, 2_000_00, on=date(2026, 4, 21)), desk.second, 2_000_00, on=date(2026, 4, 21))
        actions.judge_promises(actor=owner, as_of=date(2026, 4, 30))
        found = board.board(entity=entity, as_of=date(2026, 4, 30))
    assert (found.judged, found.kept, found.kept_percent) == (1, 0, 0)
    assert (found.contacts, found.recovered_minor) == (3, 3_000_00)
    assert [(d["reason"], d["days"], d["late"]) for d in found.disputes] == [("price", 10, 1)]
    assert [(c["channel"], c["contacts"], c["followed"], c["recovered_minor"]) for c in found.channels] == [
        ("call", 3, 2, 3_000_00)
    ]
    assert [(w["week"], w["contacts"], w["recovered_minor"], w["judged"]) for w in found.weeks[:2]] == [
        (date(2026, 4, 27), 0, 0, 1),
        (date(2026, 4, 20), 3, 3_000_00, 0),
    ]


def test_the_board_draws_thirteen_weeks_of_the_company_and_of_each_owner_and_each_figure_leads_to_its_rows(owner, desk):
    market.change_customer(actor=owner, customer_id=desk.big, changes={"owner_id": desk.clara})
    page = desk.browser.get("/collections/board/").content.decode()
    assert page.count('class="chart grid"') >= 2 and "Figures behind the chart" in page
    assert page.count("/figures/dso_simple/?as_of=2026-04-20") == 2 and "/figures/effectiveness/?as_of=2026-04-13" in page
    link = f"/figures/days_delinquent/?owner={desk.clara}&amp;as_of=2026-04-20"
    assert link in page
    explained = desk.browser.get(link.replace("&amp;", "&")).content.decode()
    assert "Clara" in explained and "9,000.00" in explained and "16,000.00" not in explained
    assert "16,000.00" in desk.browser.get("/figures/dso_simple/?as_of=2026-04-20").content.decode()
    own = desk.browser.get(f"/collections/board/?owner={desk.clara}").content.decode()
    assert "Thirteen weeks, Clara" in own and own.count(f"/figures/dso_simple/?owner={desk.clara}") >= 6
    assert desk.browser.get("/collections/board/?owner=x").status_code == 422
    assert desk.browser.get("/collections/board/?owner=999").status_code == 404


def test_a_contact_may_lie_on_the_companys_day_that_is_still_yesterday_in_utc(desk, owner, entity):
    told = {"actor": owner, "entity_id": entity.pk, "customer_id": desk.big, "channel": "call", "outcome": "reached"}
    with clock.at(datetime(2026, 4, 20, 22, 30, tzinfo=UTC)):  # half past midnight in Berlin
        assert actions.log_contact(**told, occurred_on=date(2026, 4, 21))
        with pytest.raises(Invalid, match="cannot lie in the future"):
            actions.log_contact(**told, occurred_on=date(2026, 4, 22))
