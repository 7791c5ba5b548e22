"""Online payments: intent, call, answer; events verified, kept once, in any order; declines by the policy; payouts found on the statement."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest
from django.test import Client

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.billing import actions as billing
from topline.billing import delivery
from topline.billing.models import Delivery, Invoice
from topline.books import queries as books
from topline.flows import daily, proofs
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.models import OutboxMessage
from topline.processor import actions, public, service
from topline.processor.models import Event, Intent, Method, Payout, Refund, Simulated
from topline.processor.port import Answer, ProcessorUnreachable
from topline.receivables import matching
from topline.receivables.models import Payment
from topline.team import actions as team
from topline.team.models import Member, Task

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = NOON.date()


@pytest.fixture(autouse=True)
def _simulated(settings):
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, processor="simulator", url="http://testserver")
    with clock.at(NOON):
        yield


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def link(owner, customer, issue):
    """The public address of a new invoice of 1,000.00, and the invoice's id."""
    (invoice,) = issue(customer, 1_000_00, due_on=DAY)
    delivery.send_invoices(actor=owner, invoice_ids=[invoice], recipient="ap@globex.example")
    return f"/i/{Delivery.objects.get().token}/pay/", invoice


def pay(address, digits, save=False):
    """The customer pays on the simulator's page; returns the page's address."""
    browser = Client()
    shown = browser.post(address, {"save": "1"} if save else {}).content.decode()
    page = shown.split('href="http://testserver/pay/simulator/')[1].split('"')[0]
    assert browser.post(f"/pay/simulator/{page}", {"digits": digits}).status_code == 302
    outbox.drain(HANDLERS)
    return page


def invoice_of(invoice):
    return Invoice.objects.get(pk=invoice)


def clearing(entity):
    table = books.trial_balance(entity_id=entity.pk).filter(pl.col("role") == "clearing")
    return int(table["functional_minor"].sum())


def pass_days(owner, entity, *days):
    """The day's work, day by day."""
    for days_on in days:
        with clock.at(NOON + timedelta(days=days_on)):
            daily.charge_saved(actor=owner, entity_id=entity.pk, as_of=DAY + timedelta(days=days_on))
            outbox.drain(HANDLERS)


def test_a_card_settles_the_invoice_books_the_fee_and_its_payout_is_found_on_the_statement(owner, entity, link):
    address, invoice = link
    pay(address, "4242")
    assert (invoice_of(invoice).state, Intent.objects.get().state) == ("paid", "paid")
    assert Intent.objects.get().fee_minor == 15_25 and clearing(entity) == 1_000_00 - 15_25
    assert "Nothing is owed" in Client().get(address).content.decode()
    pass_days(owner, entity, 1)
    payout = Payout.objects.get()
    assert (payout.amount_minor, payout.arrives_on) == (984_75, DAY + timedelta(days=3))
    account = bank.add_account(
        actor=owner, entity_id=entity.pk, name="House bank", currency="EUR", number="DE02120300000000202051"
    )
    came = StatementEntry(
        amount_minor=984_75,
        currency="EUR",
        booked_on=payout.arrives_on,
        counterparty_name="Simulator Payments",
        remittance_information="PAYOUT",
    )
    said = Statement(
        account="DE02120300000000202051",
        currency="EUR",
        entries=(came,),
        opening_minor=0,
        closing_minor=984_75,
        opening_on=DAY,
        closing_on=payout.arrives_on,
        statement_id="1",
    )
    bank.import_statements(
        actor=owner,
        entity_id=entity.pk,
        statements=[said],
        file_name="s",
        file_sha256="0" * 64,
        format="test",
        default_account_id=account,
    )
    with clock.at(NOON + timedelta(days=4)):
        daily.take_in(actor=owner, entity_id=entity.pk, as_of=DAY + timedelta(days=4))
    assert Payout.objects.get().line_id is not None and Payment.objects.count() == 1
    assert clearing(entity) == 0
    assert [p.name for p in proofs.verify() if not p.holds] == []


def test_two_clicks_and_two_windows_are_one_payment(link):
    address, invoice = link
    pages = {Client().post(address).content.decode().split('href="http://testserver/pay/')[1].split('"')[0] for _ in range(3)}
    assert len(pages) == 1 and Intent.objects.count() == Simulated.objects.count() == 1
    page = pages.pop()
    for _ in range(3):
        Client().post(f"/pay/{page}", {"digits": "4242"})
    outbox.drain(HANDLERS)
    assert Payment.objects.count() == 1 and invoice_of(invoice).state == "paid"


def test_a_declined_card_leaves_the_page_open_for_another(link):
    address, invoice = link
    page = pay(address, "9995")
    shown = Client().get(address).content.decode()
    assert "insufficient funds" in shown and "Go on to pay" in shown and invoice_of(invoice).state == "open"
    Client().post(f"/pay/simulator/{page}", {"digits": "4242"})
    outbox.drain(HANDLERS)
    assert invoice_of(invoice).state == "paid" and Intent.objects.get().decline_code == ""


def test_who_has_paid_is_told_that_it_is_under_way_until_the_processor_has_said_so(link):
    address, invoice = link
    browser = Client()
    page = browser.post(address).content.decode().split('href="http://testserver/pay/simulator/')[1].split('"')[0]
    declined = browser.post(f"/pay/simulator/{page}", {"digits": "9995"})["Location"]
    assert "Go on to pay" in browser.get(declined).content.decode(), "nothing is under way"
    back = browser.post(f"/pay/simulator/{page}", {"digits": "4242"})["Location"]
    shown = browser.get(back).content.decode()
    assert "is under way" in shown and "I did not finish it" in shown and "Go on to pay" not in shown
    assert browser.get(back, headers={"HX-Request": "true"}).status_code == 204, "it looks again by itself, and moves nothing"
    outbox.drain(HANDLERS)
    assert "Nothing is owed" in browser.get(back, headers={"HX-Request": "true"}).content.decode()
    assert invoice_of(invoice).state == "paid"


def test_a_direct_debit_is_on_its_way_for_days_and_nobody_pays_twice_meanwhile(owner, entity, link):
    address, invoice = link
    pay(address, "3000")
    assert Intent.objects.get().state == "processing" and Payment.objects.count() == 0
    again = Client().post(address)
    assert again.status_code == 409 and "on its way" in again.content.decode()
    pass_days(owner, entity, 4)
    assert invoice_of(invoice).state == "open"
    pass_days(owner, entity, 5)
    assert invoice_of(invoice).state == "paid" and Intent.objects.get().fee_minor == 35


def test_a_debit_that_comes_back_is_told_and_may_be_paid_otherwise(owner, entity, link):
    address, invoice = link
    pay(address, "3002")
    pass_days(owner, entity, 5)
    assert (Intent.objects.get().state, Intent.objects.get().decline_code) == ("failed", "debit_not_authorized")
    assert "debit not authorized" in Client().get(address).content.decode()
    pay(address, "4242")
    assert invoice_of(invoice).state == "paid" and Intent.objects.count() == 2


def test_a_saved_card_is_charged_on_the_due_day(owner, entity, customer, link, issue):
    pay(link[0], "4242", save=True)
    assert Method.objects.get().label == "Card ending in 4242"
    (later,) = issue(customer, 500_00, due_on=DAY + timedelta(days=10))
    pass_days(owner, entity, 9)
    assert invoice_of(later).state == "open"
    pass_days(owner, entity, 10, 10, 11)
    assert invoice_of(later).state == "paid" and Payment.objects.count() == 2


def test_a_soft_decline_is_tried_again_by_the_policy_and_then_no_more(owner, entity, customer, link, issue):
    pay(link[0], "4242", save=True)
    Method.objects.update(ref="sim_0_9995", label="Card ending in 9995")
    (later,) = issue(customer, 500_00, due_on=DAY + timedelta(days=10))
    pass_days(owner, entity, *range(9, 40))
    tries = Intent.objects.filter(invoice_id=later).order_by("id")
    assert [i.tries for i in tries] == [1, 2, 3, 4, 5]
    assert [(i.created_at.date() - DAY).days for i in tries] == [10, 11, 14, 19, 26]
    assert tries.last().next_try_on is None and Method.objects.get().is_active
    assert invoice_of(later).state == "open"


def test_a_hard_decline_stops_at_once_and_the_card_is_charged_no_more(owner, entity, customer, link, issue):
    pay(link[0], "4242", save=True)
    Method.objects.update(ref="sim_0_9987")
    (later,) = issue(customer, 500_00, due_on=DAY + timedelta(days=10))
    pass_days(owner, entity, *range(10, 30))
    assert Intent.objects.filter(invoice_id=later).count() == 1
    assert not Method.objects.get().is_active


def test_a_dispute_opens_the_invoice_again_and_asks_somebody(owner, entity, link):
    member = team.add_member(
        actor=owner, email="c@acme.localhost", name="Clara", roles=["Collections"], password="a long enough phrase"
    )
    team.set_area(actor=owner, key="collections", owner_id=member, deputy_id=None)
    address, invoice = link
    pay(address, "0259")
    assert invoice_of(invoice).state == "paid"
    pass_days(owner, entity, 1, 8)
    assert (invoice_of(invoice).state, Intent.objects.get().state) == ("open", "disputed")
    assert Task.objects.get().title == "Answer the dispute about INV-000001 at simulator"
    assert [p.name for p in proofs.verify() if not p.holds] == []
    event = {
        "id": "evt_won",
        "type": "dispute_won",
        "key": Intent.objects.get().key,
        "charge_ref": Intent.objects.get().charge_ref,
        "amount_minor": 1_000_00,
        "currency": "EUR",
    }
    take(event)
    assert (invoice_of(invoice).state, Intent.objects.get().state) == ("paid", "paid")
    assert Intent.objects.get().fee_minor == 15_25 + 20_00, "fees stay what they were"
    assert Task.objects.get().state == "done", "there is nothing to answer any more"


def test_a_dispute_that_is_lost_asks_what_becomes_of_the_invoice(owner, entity, link):
    member = team.add_member(
        actor=owner, email="c@acme.localhost", name="Clara", roles=["Collections"], password="a long enough phrase"
    )
    team.set_area(actor=owner, key="collections", owner_id=member, deputy_id=None)
    pay(link[0], "0259")
    pass_days(owner, entity, 8)
    take({"id": "evt_lost", "type": "dispute_lost", "key": Intent.objects.get().key, "amount_minor": 1_000_00, "currency": "EUR"})
    assert (invoice_of(link[1]).state, Intent.objects.get().state) == ("open", "disputed")
    assert list(Task.objects.order_by("id").values_list("title", "state")) == [
        ("Answer the dispute about INV-000001 at simulator", "done"),
        ("The dispute about INV-000001 is lost: collect it otherwise, credit it or write it off", "open"),
    ]


def take(*events):
    fresh = [actions.receive_event(processor="simulator", payload=event) for event in events]
    outbox.drain(HANDLERS)
    return fresh


@pytest.fixture
def wanted(link):
    """An intent whose page waits, and an event about it."""
    Client().post(link[0])
    intent = Intent.objects.get()

    def event(ref, kind, **more):
        return {
            "id": ref,
            "type": kind,
            "key": intent.key,
            "charge_ref": intent.ref,
            "amount_minor": 1_000_00,
            "currency": "EUR",
        } | more

    return event


def test_events_come_again_and_in_any_order(wanted):
    assert take(wanted("e1", "failed", decline_code="generic_decline"), wanted("e2", "paid", fee_minor=100)) == [True, True]
    assert take(wanted("e2", "paid", fee_minor=100), wanted("e3", "paid", fee_minor=100), wanted("e4", "processing"), wanted("e5", "failed"), wanted("e6", "expired")) == [False, True, True, True, True]  # fmt: skip
    assert Payment.objects.count() == 1 and Intent.objects.get().state == "paid"
    assert Event.objects.filter(handled_at=None).count() == 0


def test_a_dispute_that_is_told_before_the_payment_waits_for_it(wanted, link):
    take(wanted("e1", "disputed"))
    assert Event.objects.get().handled_at is None and OutboxMessage.objects.filter(state="waiting").exists()
    take(wanted("e2", "paid"))
    with clock.at(NOON + timedelta(hours=1)):
        outbox.drain(HANDLERS)
    assert Intent.objects.get().state == "disputed" and invoice_of(link[1]).state == "open"


def test_what_is_paid_in_the_meantime_stays_as_money_not_applied(wanted, link, pay_by_bank):
    pay_by_bank(link[1])
    take(wanted("e1", "paid"))
    online = Payment.objects.get(method="simulator online")
    assert (online.allocated_minor, invoice_of(link[1]).state) == (0, "paid")
    assert "is not applied" in Event.objects.get().said


@pytest.fixture
def pay_by_bank(owner, customer, entity):
    from topline.receivables import actions as receivables

    def make(invoice):
        rows = pl.DataFrame({"customer_id": [customer], "currency": ["EUR"], "amount_minor": [1_000_00], "received_on": [DAY]})
        made = receivables.record_payments(actor=owner, entity_id=entity.pk, payments=rows)["payment_id"][0]
        receivables.apply_cash(
            actor=owner, links=pl.DataFrame({"payment_id": [made], "invoice_id": [invoice], "amount_minor": [1_000_00]}), on=DAY
        )

    return make


def test_an_event_is_taken_only_as_it_was_signed_and_only_fresh(wanted):
    played = service.simulator()
    body, headers = played.signed(wanted("e1", "paid"))
    sent = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    browser = Client(enforce_csrf_checks=True)

    def post(content, told=sent, to="simulator"):
        return browser.post(f"/webhooks/{to}/", content, content_type="application/json", **told)

    assert post(body.replace(b"100000", b"900000")).status_code == 422
    assert post(body, {**sent, "HTTP_WEBHOOK_SIGNATURE": "v1,00"}).status_code == 422
    assert post(body, to="stripe").status_code == 404
    with clock.at(NOON + timedelta(minutes=6)):
        assert post(body).status_code == 422
    assert Event.objects.count() == 0
    assert post(body).json() == {"kept": True} and post(body).json() == {"kept": False}
    outbox.drain(HANDLERS)
    assert Intent.objects.get().state == "paid"


class Down:
    """A processor that answers once it was asked often enough, and remembers under which keys."""

    name = "simulator"

    def __init__(self, fails):
        self.fails, self.keys = fails, []

    def page(self, wanted):
        return self._answer(wanted, SimpleNamespace(ref="page_1", url="http://testserver/pay/simulator/page_1/"))

    def charge(self, wanted):
        return self._answer(wanted, Answer("paid", charge_ref="ch_1"))

    def _answer(self, wanted, answer):
        self.keys.append(wanted.key)
        if len(self.keys) <= self.fails:
            raise ProcessorUnreachable("No answer.")
        return answer


def test_a_call_without_an_answer_is_made_again_under_the_same_key(owner, link):
    down = Down(fails=2)
    for _ in range(2):
        with pytest.raises(ProcessorUnreachable):
            service.page_of(actor=owner, invoice_id=link[1], back_url="", processor=down)
        assert Intent.objects.get().state == "new"
    assert service.page_of(actor=owner, invoice_id=link[1], back_url="", processor=down).endswith("page_1/")
    assert len(down.keys) == 3 and len(set(down.keys)) == 1


def test_a_charge_without_an_answer_waits_in_the_queue_and_is_made_once(owner, entity, customer, link, issue, monkeypatch):
    pay(link[0], "4242", save=True)
    (later,) = issue(customer, 500_00, due_on=DAY)
    down = Down(fails=1)
    monkeypatch.setattr(service, "current", lambda: down)
    actions.plan_charges(actor=owner, entity_id=entity.pk, as_of=DAY, processor="simulator")
    outbox.drain(HANDLERS)
    assert Intent.objects.get(invoice_id=later).state == "new"
    with clock.at(NOON + timedelta(minutes=10)):
        outbox.drain(HANDLERS)
        outbox.drain(HANDLERS)
    assert invoice_of(later).state == "paid" and len(down.keys) == 2 and len(set(down.keys)) == 1


def test_a_charge_that_nobody_ever_answered_is_made_again_the_next_day(owner, entity, customer, link, issue, monkeypatch):
    pay(link[0], "4242", save=True)
    (later,) = issue(customer, 500_00, due_on=DAY)
    down = Down(fails=1)
    monkeypatch.setattr(service, "current", lambda: down)
    actions.plan_charges(actor=owner, entity_id=entity.pk, as_of=DAY, processor="simulator")
    outbox.drain(HANDLERS)
    OutboxMessage.objects.filter(topic=actions.CHARGE).update(state="failed")  # as after the last of its tries
    with pytest.raises(actions.AlreadyOnItsWay):
        actions.begin_payment(actor=owner, invoice_id=later, processor="simulator")
    with clock.at(NOON + timedelta(days=1)):
        actions.plan_charges(actor=owner, entity_id=entity.pk, as_of=DAY + timedelta(days=1), processor="simulator")
        outbox.drain(HANDLERS)
    assert invoice_of(later).state == "paid" and len(down.keys) == 2 and len(set(down.keys)) == 1


def test_without_a_processor_the_link_offers_nothing_and_refuses(settings, link):
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, processor="")
    assert "cannot be paid online" in Client().get(link[0]).content.decode()
    assert "Pay online" not in Client().get(link[0].removesuffix("pay/")).content.decode()
    assert Client().post(link[0]).status_code == 404 and Intent.objects.count() == 0
    assert Client().get("/pay/simulator/none/").status_code == 404


def test_a_payout_and_a_payment_of_the_same_amount_are_told_apart_by_name(owner, entity):
    Payout.objects.create(
        entity=entity, processor="simulator", ref="po", currency="EUR", amount_minor=500_00, arrives_on=DAY, created_at=NOON
    )
    assert actions.match_payouts(actor=owner, entity_id=entity.pk) == 0
    assert matching.book_bank_lines(actor=owner, entity_id=entity.pk).is_empty()


def test_events_of_the_simulator_go_in_by_the_same_door(db):
    assert public.deliver(service.simulator(), [{"id": "x", "type": "ping"}]) == 1
    outbox.drain(HANDLERS)
    assert Event.objects.get().said == "Nothing is to be done."


def test_a_refund_made_at_the_processor_is_for_a_person_to_book(owner, wanted, link):
    member = team.add_member(
        actor=owner, email="c@acme.localhost", name="Clara", roles=["Collections"], password="a long enough phrase"
    )
    team.set_area(actor=owner, key="collections", owner_id=member, deputy_id=None)
    take(wanted("e1", "refunded", amount_minor=250_00))
    assert not Task.objects.exists() and Event.objects.get().handled_at is None, "it waits for the payment that it takes back"
    take(wanted("e2", "paid"))
    with clock.at(NOON + timedelta(hours=1)):
        outbox.drain(HANDLERS)
    assert Task.objects.get().title == "simulator refunded 250.00 EUR of INV-000001: book it under Online payments"
    assert invoice_of(link[1]).state == "paid", "until somebody books it"
    take(wanted("e3", "refunded", amount_minor=250_00))
    assert Refund.objects.count() == 1, "it is told again"
    browser = Client()
    browser.force_login(Member.objects.get(pk=member))
    page = browser.get("/payments/online/").content.decode()
    address = f"/payments/online/refunds/{Refund.objects.get().pk}/book/"
    assert "to be booked" in page and address in page
    assert browser.post(address).status_code == 302
    assert (invoice_of(link[1]).state, invoice_of(link[1]).allocated_minor) == ("open", 750_00)
    assert (Refund.objects.get().state, Task.objects.get().state) == ("booked", "done")
    browser.post(address)
    take(wanted("e4", "refunded", amount_minor=400_00))
    second = Refund.objects.get(state="told")
    assert second.amount_minor == 150_00, "the processor tells what went back in all"
    browser.post(f"/payments/online/refunds/{second.pk}/book/", {"credits_invoice": "on"})
    invoice, note = invoice_of(link[1]), Invoice.objects.get(kind="credit_note")
    assert (invoice.state, invoice.allocated_minor, note.total_minor, note.state) == ("open", 750_00, 150_00, "paid")
    assert [p.name for p in proofs.verify() if not p.holds] == []


def test_a_refund_goes_back_through_the_processor_and_is_booked_when_it_did_it(owner, entity, link):
    pay(link[0], "4242")
    intent = Intent.objects.get()
    with pytest.raises(actions.NotRefundable):
        actions.ask_refund(actor=owner, intent_id=intent.pk, amount_minor=1_000_01, reason="All of it")
    made = actions.ask_refund(actor=owner, intent_id=intent.pk, amount_minor=300_00, reason="Half a day", credits_invoice=True)
    assert (Refund.objects.get().state, invoice_of(link[1]).state) == ("new", "paid"), (
        "nothing is booked before the processor did it"
    )
    outbox.drain(HANDLERS)
    outbox.drain(HANDLERS)
    refund, note = Refund.objects.get(pk=made), Invoice.objects.get(kind="credit_note")
    assert (refund.state, refund.credit_note_id, note.total_minor, note.state) == ("booked", note.pk, 300_00, "paid")
    assert (invoice_of(link[1]).state, invoice_of(link[1]).allocated_minor) == ("paid", 1_000_00)
    assert clearing(entity) == 1_000_00 - 15_25 - 300_00
    take({"id": "evt_back", "type": "refunded", "key": intent.key, "charge_ref": intent.charge_ref, "amount_minor": 300_00, "currency": "EUR"})  # fmt: skip
    assert Event.objects.get(ref="evt_back").said == "It is known already." and Refund.objects.count() == 1
    pass_days(owner, entity, 1)
    assert Payout.objects.get().amount_minor == 1_000_00 - 15_25 - 300_00
    with pytest.raises(actions.NotRefundable):
        actions.ask_refund(actor=owner, intent_id=intent.pk, amount_minor=700_01, reason="The rest and more")
    assert [p.name for p in proofs.verify() if not p.holds] == []


def test_a_refund_that_the_processor_refuses_books_nothing_and_is_told(owner, link):
    member = team.add_member(
        actor=owner, email="c@acme.localhost", name="Clara", roles=["Collections"], password="a long enough phrase"
    )
    team.set_area(actor=owner, key="collections", owner_id=member, deputy_id=None)
    pay(link[0], "4242")
    intent = Intent.objects.get()
    Simulated.objects.filter(ref=intent.charge_ref).update(state="disputed")
    actions.ask_refund(actor=owner, intent_id=intent.pk, amount_minor=100_00, reason="Paid twice")
    outbox.drain(HANDLERS)
    refund = Refund.objects.get()
    assert (refund.state, refund.why, invoice_of(link[1]).state) == ("failed", "charge_not_refundable", "paid")
    assert Task.objects.get().title == "simulator did not refund 100.00 EUR of INV-000001: give it back otherwise"


def test_what_a_credit_note_takes_back_is_not_asked_for(owner, entity, customer, link, issue):
    pay(link[0], "4242", save=True)
    first, second = issue(customer, 200_00, 90_00, due_on=DAY)
    billing.credit_invoice(actor=owner, invoice_id=first, issue_on=DAY, total_minor=50_00, reason="Late")
    billing.credit_invoice(actor=owner, invoice_id=second, issue_on=DAY, reason="Cancelled")
    pass_days(owner, entity, 1)
    charged = Intent.objects.exclude(invoice_id=link[1])
    assert list(charged.values_list("invoice_id", "amount_minor", "state")) == [(first, 150_00, "paid")]
    with pytest.raises(actions.NothingToPay):
        actions.begin_payment(actor=owner, invoice_id=second, processor="simulator")
