"""The ladder: who is written to, when nobody is, and what comes back. Mail goes through a real SMTP server."""

from __future__ import annotations

from datetime import UTC, date, datetime
from email import message_from_bytes
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from socket import socket

import polars as pl
import pytest
from aiosmtpd.controller import Controller
from django.core import mail
from django.db import IntegrityError, transaction

from topline.billing import delivery
from topline.billing.models import Delivery
from topline.collections import actions, queries, reminders
from topline.collections.letters import languages, letter
from topline.collections.models import Reminder, ReminderItem
from topline.engine import dunning
from topline.flows.handlers import HANDLERS
from topline.flows.reminders import receive
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid
from topline.market import actions as market

DUE = date(2026, 3, 31)  # issued 1 March, net 30


def morning(day):
    return datetime(day.year, day.month, day.day, 9, tzinfo=UTC)


@pytest.fixture
def customer(owner, entity, make_customers):
    made = make_customers("Globex")[0]
    market.add_contact(actor=owner, customer_id=made, name="Ada Pay", email="pay@globex.example", role="Accounts payable")
    reminders.set_policy(actor=owner, entity_id=entity.pk)
    return made


@pytest.fixture
def plan(owner, entity):
    def run(day):
        with clock.at(morning(day)):
            return reminders.plan_reminders(actor=owner, entity_id=entity.pk, as_of=day)

    return run


def work(moment):
    with clock.at(moment):
        while outbox.drain(HANDLERS):
            pass


def test_each_invoice_takes_each_step_once_and_only_the_latest(customer, issue, plan):
    issue(customer, 10_000, 5_000)
    assert plan(date(2026, 3, 10)).is_empty()
    taken = {
        day: plan(date(2026, *day))["step"].to_list() for day in ((3, 24), (3, 25), (3, 31), (4, 9), (4, 10), (4, 15), (4, 30))
    }
    assert taken == {
        (3, 24): ["courtesy"],
        (3, 25): [],
        (3, 31): ["due"],
        (4, 9): ["second"],
        (4, 10): [],
        (4, 15): ["call"],
        (4, 30): ["final"],
    }
    assert ReminderItem.objects.count() == 2 * 5


def test_one_customer_gets_one_message_that_names_all_that_is_due_in_words_of_its_language(owner, customer, issue, plan):
    market.change_customer(actor=owner, customer_id=customer, changes={"language": "de"})
    issue(customer, 10_000, 5_000)
    issue(customer, 7_000, on=date(2026, 2, 1))
    planned = plan(date(2026, 4, 3))
    assert planned.select("step", "items", "state").rows() == [("final", 3, "held")]
    issue(customer, 800, on=date(2026, 3, 4))
    plan(date(2026, 4, 6))
    sent = Reminder.objects.get(step="friendly")
    assert sent.subject == "Freundliche Erinnerung: INV-000004"
    assert "8.00 EUR" in sent.body


def test_what_is_disputed_promised_planned_or_could_be_covered_by_cash_is_left_alone(owner, entity, customer, issue, pay, plan):
    a, b, c, d, e = issue(customer, 10_000, 11_000, 12_000, 13_000, 500)
    actions.raise_dispute(actor=owner, invoice_id=a, reason="price", raised_on=DUE, deadline_on=date(2026, 5, 1))
    items = pl.DataFrame({"invoice_id": [b], "amount_minor": [11_000]})
    actions.record_promise(
        actor=owner, entity_id=entity.pk, customer_id=customer, due_on=date(2026, 4, 5), items=items, made_on=DUE
    )
    parts = pl.DataFrame({"due_on": [date(2026, 5, 1)], "amount_minor": [12_000]})
    actions.agree_plan(actor=owner, entity_id=entity.pk, customer_id=customer, invoice_ids=[c], instalments=parts, agreed_on=DUE)
    pay(customer, 500)
    assert plan(date(2026, 4, 3))["items"].to_list() == [1]
    assert ReminderItem.objects.get().invoice_id == d
    assert plan(date(2026, 4, 4)).is_empty()
    plan(date(2026, 4, 8))
    assert set(ReminderItem.objects.values_list("invoice_id", flat=True)) == {b, d}
    assert e not in set(ReminderItem.objects.values_list("invoice_id", flat=True))


def test_only_the_undisputed_part_is_chased(owner, customer, issue, plan):
    (a,) = issue(customer, 10_000)
    actions.raise_dispute(
        actor=owner, invoice_id=a, reason="price", amount_minor=4_000, raised_on=DUE, deadline_on=date(2026, 5, 1)
    )
    plan(date(2026, 4, 3))
    assert ReminderItem.objects.get().open_minor == 6_000


def test_snoozed_and_silent_customers_small_sums_and_a_policy_that_is_off_send_nothing(owner, entity, customer, issue, plan):
    issue(customer, 10_000)
    actions.set_desk(actor=owner, entity_id=entity.pk, customer_id=customer, snoozed_until=date(2026, 4, 5))
    assert plan(date(2026, 4, 4)).is_empty()
    actions.set_desk(actor=owner, entity_id=entity.pk, customer_id=customer, no_reminders=True)
    assert plan(date(2026, 4, 5)).is_empty()
    actions.set_desk(actor=owner, entity_id=entity.pk, customer_id=customer)
    for setting in ({"minimum_minor": 10_001}, {"is_on": False}):
        reminders.set_policy(actor=owner, entity_id=entity.pk, **setting)
        assert plan(date(2026, 4, 5)).is_empty()
    reminders.set_policy(actor=owner, entity_id=entity.pk, minimum_minor=10_000)
    assert plan(date(2026, 4, 5)).height == 1


def test_a_final_notice_waits_for_a_person_and_a_missing_address_is_told(owner, entity, customer, make_customers, issue, plan):
    other = make_customers("Initech")[0]
    issue(customer, 10_000)
    issue(other, 900, on=date(2026, 4, 1))
    plan(date(2026, 5, 1))
    assert dict(Reminder.objects.values_list("step", "why")) == {
        "final": "This step waits for a person's go.",
        "due": "No e-mail address is known.",
    }
    with pytest.raises(Invalid, match="Nobody to write to"):
        reminders.release_reminder(actor=owner, reminder_id=Reminder.objects.get(step="due").pk)
    with clock.at(morning(date(2026, 5, 4))):
        reminders.release_reminder(actor=owner, reminder_id=Reminder.objects.get(step="final").pk)
    work(morning(date(2026, 5, 4)))
    assert [m.to for m in mail.outbox] == [["pay@globex.example"]]


def test_a_person_writes_to_one_customer_once_a_step_and_only_about_what_may_be_chased(owner, entity, customer, issue):
    def write(step, **more):
        day = date(2026, 4, 20)
        with clock.at(morning(day)):
            return reminders.remind_customer(actor=owner, entity_id=entity.pk, customer_id=customer, step=step, as_of=day, **more)

    a, b = issue(customer, 10_000, 5_000)
    issue(customer, 7_000, on=date(2026, 4, 1))
    actions.raise_dispute(actor=owner, invoice_id=b, reason="price", raised_on=DUE, deadline_on=date(2026, 5, 1))
    assert write("firm").select("step", "state", "items").rows() == [("firm", "queued", 1)]
    assert list(ReminderItem.objects.values_list("invoice_id", flat=True)) == [a]
    with pytest.raises(reminders.NothingToRemind, match="named by 'firm' before"):
        write("firm")
    with pytest.raises(Invalid, match="no letter"):
        write("call")
    with pytest.raises(Invalid, match="Nobody to write to"):
        write("final", recipient="nobody")
    write("final", recipient="boss@globex.example")
    assert list(Reminder.objects.order_by("id").values_list("recipient", flat=True)) == [
        "pay@globex.example",
        "boss@globex.example",
    ]


def test_nothing_leaves_at_night_or_on_a_weekend(customer, issue, plan):
    issue(customer, 10_000)
    friday_evening = datetime(2026, 4, 3, 17, 30, tzinfo=UTC)  # 19:30 in Berlin
    with clock.at(friday_evening):
        reminders.plan_reminders(
            actor=reminders.Actor(key="system:t", permissions=frozenset({"collections.plan_reminders"})),
            entity_id=Reminder._meta.get_field("entity").related_model.objects.get().pk,
            as_of=date(2026, 4, 3),
        )
    for moment in (friday_evening, datetime(2026, 4, 4, 10, tzinfo=UTC), datetime(2026, 4, 6, 5, 59, tzinfo=UTC)):
        work(moment)
        assert mail.outbox == []
    work(datetime(2026, 4, 6, 6, 1, tzinfo=UTC))
    assert len(mail.outbox) == 1
    assert Reminder.objects.get().state == "sent"


def test_a_reminder_is_dropped_when_the_invoice_is_paid_before_it_leaves(customer, issue, pay, apply, plan):
    (a,) = issue(customer, 10_000)
    plan(date(2026, 4, 3))
    apply(pay(customer, 10_000, on=date(2026, 4, 3)), a, 10_000, on=date(2026, 4, 3))
    work(morning(date(2026, 4, 3)))
    assert mail.outbox == []
    assert Reminder.objects.get().state == "dropped"


def test_the_database_refuses_to_name_an_invoice_twice_for_a_step(customer, issue, plan):
    issue(customer, 10_000)
    plan(date(2026, 4, 3))
    item = ReminderItem.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        ReminderItem.objects.create(reminder=item.reminder, invoice=item.invoice, step=item.step, open_minor=1)


class Inbox:
    """An SMTP server's handler that keeps what it is given, or refuses it."""

    def __init__(self):
        self.messages, self.refuse, self.unknown = [], 0, None

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.unknown:
            return self.unknown
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.refuse:
            self.refuse -= 1
            return "451 Try again later"
        self.messages.append(message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def smtp(settings):
    inbox = Inbox()
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", port, False
    yield inbox
    controller.stop()


def test_it_travels_with_the_invoice_and_the_statement_and_a_refused_try_is_repeated_under_the_same_id(
    customer, issue, plan, smtp
):
    issue(customer, 10_000)
    plan(date(2026, 4, 3))
    smtp.refuse = 1
    work(morning(date(2026, 4, 3)))
    assert (smtp.messages, Reminder.objects.get().state) == ([], "queued")
    work(datetime(2026, 4, 3, 9, 5, tzinfo=UTC))
    work(datetime(2026, 4, 3, 9, 30, tzinfo=UTC))
    (message,) = smtp.messages
    assert [p.get_filename() for p in message.walk() if p.get_filename()] == ["INV-000001.pdf", "statement.pdf"]
    assert all(p.get_payload(decode=True).startswith(b"%PDF") for p in message.walk() if p.get_filename())
    assert message["Message-ID"] == Reminder.objects.get().message_id == f"<reminder-{Reminder.objects.get().pk}@acme.topline>"
    assert queries.contacts(customer_ids=[customer])[0].outcome == "sent"


@pytest.mark.parametrize(("said", "state"), [("550 5.1.1 no such mailbox", "bounced"), ("450 4.2.1 busy", "queued")])
def test_an_address_that_the_mail_system_refuses_for_good_is_told_at_once(owner, customer, issue, plan, smtp, said, state):
    (invoice,) = issue(customer, 10_000)
    plan(date(2026, 4, 3))
    smtp.unknown = said
    with clock.at(morning(date(2026, 4, 3))):
        delivery.send_invoices(actor=owner, invoice_ids=[invoice])
    work(morning(date(2026, 4, 3)))
    assert (Reminder.objects.get().state, Delivery.objects.get().state) == (state, state)
    told = {Reminder.objects.get().why, Delivery.objects.get().note}
    assert told == ({said} if state == "bounced" else {""})


@pytest.fixture
def sent(customer, issue, plan):
    issue(customer, 10_000)
    plan(date(2026, 4, 3))
    work(morning(date(2026, 4, 3)))
    return Reminder.objects.get()


def bounce_of(message_id, action="failed"):
    report = MIMEMultipart("report", report_type="delivery-status")
    report.attach(MIMEText("It did not arrive."))
    status = MIMEBase("message", "delivery-status")
    part = MIMEText("")
    del part["Content-Type"], part["MIME-Version"], part["Content-Transfer-Encoding"]
    part["Final-Recipient"], part["Action"], part["Status"], part["Diagnostic-Code"] = (
        "rfc822; pay@globex.example",
        action,
        "5.1.1",
        "smtp; 550 no such user",
    )
    status.attach(part)
    report.attach(status)
    original = MIMEText("hello")
    original["Message-ID"] = message_id
    report.attach(MIMEMessage(original))
    return report.as_bytes()


def test_a_bounce_is_recorded_and_only_a_final_one_counts(customer, sent):
    assert receive(bounce_of(sent.message_id, action="delayed")) is None
    assert receive(bounce_of(sent.message_id)) == sent.pk
    sent.refresh_from_db()
    assert (sent.state, sent.why) == ("bounced", "smtp; 550 no such user")
    assert queries.contacts(customer_ids=[customer])[0].outcome == "bounced"
    assert receive(bounce_of("<other@example>")) is None


def test_an_answer_is_recorded_with_its_text(customer, sent):
    answer = MIMEText("We pay on Friday.")
    answer["Subject"], answer["In-Reply-To"] = "Re: reminder", sent.message_id
    assert receive(answer.as_bytes()) == sent.pk
    assert queries.contacts(customer_ids=[customer])[0].note == "We pay on Friday."
    assert receive(MIMEText("Spam").as_bytes()) is None


def test_every_language_has_every_letter_of_the_default_ladder():
    facts = {"person": "Ada", "numbers": "R1", "count": "1 invoice", "total": "1.00 EUR", "seller": "Acme"}
    for language in languages():
        for step in dunning.LADDER:
            if step.channel == "email":
                subject, body = letter(step.template, language, **facts)
                assert "R1" in subject + body
                assert "$" not in subject + body


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ([], "at least one step"),
        ([{"key": "a", "days": 1, "channel": "pigeon"}], "no channel"),
        ([{"key": "a", "days": 1, "channel": "email"}], "names no letter"),
        ([{"key": "a", "days": 1, "channel": "call"}, {"key": "b", "days": 1, "channel": "call"}], "same day"),
        ([{"key": "a", "day": 1, "channel": "call"}], "cannot be read"),
    ],
)
def test_a_ladder_that_makes_no_sense_is_refused(steps, sentence):
    with pytest.raises(Invalid, match=sentence):
        dunning.parse_steps(steps)


def test_what_was_dropped_is_not_written_again_at_its_step_and_takes_the_next(owner, customer, issue, plan):
    issue(customer, 10_000)
    plan(date(2026, 4, 3))
    reminders.drop_reminder(actor=owner, reminder_id=Reminder.objects.get().pk, reason="They called.")
    assert plan(date(2026, 4, 4)).is_empty()
    assert plan(date(2026, 4, 8))["step"].to_list() == ["second"]


def test_a_customer_who_is_merged_in_the_middle_of_the_ladder_takes_no_step_twice_and_gets_one_message(
    owner, customer, make_customers, issue, plan
):
    (other,) = make_customers("Globex Ltd")
    market.add_contact(actor=owner, customer_id=other, name="Bob", email="bob@globex.example", role="Accounts payable")
    issue(customer, 10_000)
    issue(other, 5_000)
    assert sorted(plan(date(2026, 3, 31))["step"].to_list()) == ["due", "due"]
    market.merge_customers(actor=owner, keep_id=customer, merge_id=other)
    assert plan(date(2026, 3, 31)).is_empty()
    assert plan(date(2026, 4, 9))["step"].to_list() == ["second"]
    last = Reminder.objects.order_by("-id").first()
    assert last.customer_id == customer and last.items.count() == 2
    steps = list(ReminderItem.objects.values_list("invoice_id", "reminder__step"))
    assert len(steps) == len(set(steps)) == 4


def test_a_letter_that_waited_while_two_records_became_one_knows_the_money_and_the_statement_of_both(
    owner, customer, make_customers, issue, pay, plan
):
    (other,) = make_customers("Globex Ltd")
    market.add_contact(actor=owner, customer_id=other, name="Bob", email="bob@globex.example", role="Accounts payable")
    issue(customer, 10_000)
    issue(other, 5_000)
    plan(date(2026, 3, 31))
    market.merge_customers(actor=owner, keep_id=customer, merge_id=other)
    pay(customer, 5_000, on=date(2026, 3, 31))  # not applied yet: it could be for what the other letter names
    work(morning(date(2026, 3, 31)))
    assert [m.to for m in mail.outbox] == [["pay@globex.example"]]
    assert Reminder.objects.get(customer_id=other).state == "dropped"


def test_a_contact_of_a_merged_record_is_still_written_to(owner, make_customers, entity, issue, plan):
    reminders.set_policy(actor=owner, entity_id=entity.pk)
    keep, gone = make_customers("Initech", "Initech AG")
    market.add_contact(actor=owner, customer_id=gone, name="Eve", email="eve@initech.example", role="Accounts payable")
    issue(gone, 5_000)
    market.merge_customers(actor=owner, keep_id=keep, merge_id=gone)
    assert plan(date(2026, 3, 31))["state"].to_list() == ["queued"]
    assert Reminder.objects.get().recipient == "eve@initech.example"


def test_a_letter_without_an_address_goes_to_the_contact_who_is_added_later(owner, entity, make_customers, issue, plan):
    reminders.set_policy(actor=owner, entity_id=entity.pk)
    (nobody,) = make_customers("Hooli")
    issue(nobody, 5_000)
    assert plan(date(2026, 3, 31))["state"].to_list() == ["held"]
    held = Reminder.objects.get()
    with pytest.raises(Invalid, match="Nobody to write to"):
        reminders.release_reminder(actor=owner, reminder_id=held.pk)
    market.add_contact(actor=owner, customer_id=nobody, name="Gavin", email="gavin@hooli.example")
    reminders.release_reminder(actor=owner, reminder_id=held.pk)
    held.refresh_from_db()
    assert (held.state, held.recipient) == ("queued", "gavin@hooli.example")


def test_what_was_said_on_the_desk_of_a_merged_record_holds_until_it_is_said_anew(
    owner, entity, customer, make_customers, issue, plan
):
    (other,) = make_customers("Globex Ltd")
    issue(customer, 10_000)
    actions.set_desk(actor=owner, entity_id=entity.pk, customer_id=customer)
    actions.set_desk(
        actor=owner, entity_id=entity.pk, customer_id=other, snoozed_until=date(2026, 4, 20), no_reminders=True, note="Ada writes"
    )
    market.merge_customers(actor=owner, keep_id=customer, merge_id=other)
    assert queries.desks(entity_id=entity.pk).rows() == [(customer, date(2026, 4, 20), True, "Ada writes")]
    told = queries.desk(entity_id=entity.pk, customer_id=customer)
    assert told is not None and told.no_reminders and told.note == "Ada writes"
    assert plan(date(2026, 3, 31)).is_empty()
    actions.set_desk(actor=owner, entity_id=entity.pk, customer_id=customer)
    assert queries.desks(entity_id=entity.pk).rows() == [(customer, None, False, "")]
    assert plan(date(2026, 3, 31)).height == 1


def test_a_clock_that_was_moved_back_reminds_nobody_of_what_is_paid(customer, issue, pay, apply, plan):
    a, b = issue(customer, 10_000, 5_000)
    apply(pay(customer, 10_000, on=date(2026, 4, 5)), a, 10_000, on=date(2026, 4, 5))
    plan(date(2026, 4, 3))  # before it came, by a clock that is behind
    assert list(ReminderItem.objects.values_list("invoice_id", flat=True)) == [b]
    apply(pay(customer, 5_000, on=date(2026, 4, 5)), b, 5_000, on=date(2026, 4, 5))
    work(morning(date(2026, 4, 3)))
    assert mail.outbox == [] and Reminder.objects.get().state == "dropped"


def test_a_clock_that_was_moved_back_sends_nothing_again(customer, issue, plan):
    issue(customer, 10_000)
    assert plan(date(2026, 4, 9)).height == 1
    for earlier in (date(2026, 4, 9), date(2026, 4, 1), date(2026, 3, 31), date(2026, 3, 24)):
        assert plan(earlier).filter(pl.col("step") == "second").is_empty()
    taken = list(ReminderItem.objects.values_list("invoice_id", "reminder__step"))
    assert len(taken) == len(set(taken))
    work(morning(date(2026, 4, 9)))
    sent = len(mail.outbox)
    work(morning(date(2026, 4, 1)))
    assert len(mail.outbox) == sent


def deliver(owner, invoice, recipient, came_back=True):
    made = delivery.send_invoices(actor=owner, invoice_ids=[invoice], recipient=recipient)["delivery_id"][0]
    state = {"state": "bounced", "note": "no such mailbox"} if came_back else {"state": "sent"}
    delivery.mark_delivery(actor=owner, delivery_id=made, **state)


def test_an_invoice_that_came_back_is_delivered_before_it_is_reminded_of(owner, customer, issue, plan):
    with clock.at(morning(date(2026, 3, 2))):
        (lost, arrived) = issue(customer, 10_000, 5_000)
        deliver(owner, lost, "old@globex.example")
        deliver(owner, arrived, "old@globex.example")
        deliver(owner, arrived, "new@globex.example", came_back=False)
    written = plan(date(2026, 4, 9))
    assert written["items"].to_list() == [1]
    again = Delivery.objects.filter(invoice_id=lost).order_by("-id").first()
    assert (again.recipient, again.state) == ("pay@globex.example", "queued")
    assert plan(date(2026, 4, 9)).is_empty()
    work(morning(date(2026, 4, 9)))
    assert plan(date(2026, 4, 10))["step"].to_list() == ["second"]  # it has arrived, so the ladder goes on


def test_where_no_other_address_is_known_the_reminder_waits_for_a_person(owner, customer, issue, plan):
    with clock.at(morning(date(2026, 3, 2))):
        (lost,) = issue(customer, 10_000)
        deliver(owner, lost, "pay@globex.example")
    plan(date(2026, 4, 9))
    waiting = Reminder.objects.get()
    assert waiting.state == "held" and "came back from pay@globex.example" in waiting.why
    assert Delivery.objects.count() == 1
