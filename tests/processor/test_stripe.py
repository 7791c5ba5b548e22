"""The adapter to Stripe: what it asks for, how it reads what comes back, and whose events it believes."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import date
from types import SimpleNamespace as N

import pytest
import stripe

from topline.processor.port import Answer, Back, Page, ProcessorUnreachable, SignatureWrong, Wanted
from topline.processor.stripe import Stripe

SECRET = "whsec_test"
WANTED = Wanted(
    key="top_1",
    amount_minor=123_45,
    currency="EUR",
    about="Invoice INV-000001",
    email="ap@globex.example",
    back_url="https://a.example/i/t/pay/",
)
SAVED = Wanted(
    key="top_2", amount_minor=500_00, currency="EUR", about="Invoice INV-000002", customer_ref="cus_1", method_ref="pm_1"
)


class Asked:
    """A client that notes what it is asked, and answers or raises what it is given."""

    def __init__(self, answer):
        self.answer, self.seen = answer, []
        told = N(create=self._note, retrieve=self._note)
        self.v1 = N(checkout=N(sessions=told), payment_intents=told, refunds=told)

    def _note(self, *what):
        self.seen.append(what)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def adapter(answer=None):
    client = Asked(answer)
    return Stripe(key="sk_test_1", webhook_secret=SECRET, client=client), client


def test_a_page_is_asked_for_once_under_our_key_and_carries_no_card():
    made, client = adapter(N(id="cs_1", url="https://checkout.stripe.com/c/1"))
    assert made.page(WANTED) == Page("cs_1", "https://checkout.stripe.com/c/1")
    ((params, options),) = client.seen
    assert options == {"idempotency_key": "top_1"}
    price = params["line_items"][0]["price_data"]
    assert (price["unit_amount"], price["currency"], params["client_reference_id"]) == (123_45, "eur", "top_1")
    assert (
        params["payment_intent_data"]["metadata"] == {"topline_key": "top_1"}
        and "setup_future_usage" not in params["payment_intent_data"]
    )
    assert "payment_method" not in json.dumps(params) and "card" not in json.dumps(params)


def charged(status, fee=None):
    balance = N(balance_transaction=N(fee=fee)) if fee is not None else None
    return N(id="pi_1", status=status, latest_charge=balance)


@pytest.mark.parametrize(
    ("made", "answer"),
    [
        (charged("succeeded", 175), Answer("paid", "pi_1", 175)), (charged("processing"), Answer("processing", "pi_1")),
        (charged("requires_action"), Answer("failed", "pi_1", decline_code="authentication_required")),
    ],
)  # fmt: skip
def test_a_saved_method_is_charged_without_the_customer(made, answer):
    asked, client = adapter(made)
    assert asked.charge(SAVED) == answer
    ((params, options),) = client.seen
    assert options == {"idempotency_key": "top_2"}
    assert (params["customer"], params["payment_method"], params["off_session"], params["confirm"]) == (
        "cus_1",
        "pm_1",
        True,
        True,
    )


def test_a_declined_card_is_an_answer_with_its_code():
    body = {"error": {"code": "card_declined", "decline_code": "lost_card", "message": "No.", "payment_intent": {"id": "pi_9"}}}
    error = stripe.CardError("No.", None, "card_declined", json_body=body)
    assert adapter(error)[0].charge(SAVED) == Answer("failed", "pi_9", decline_code="lost_card")


@pytest.mark.parametrize(
    ("made", "answer"),
    [
        (N(id="re_1", status="succeeded"), Answer("paid", "re_1")), (N(id="re_1", status="pending"), Answer("paid", "re_1")), (N(id="re_1", status="failed"), Answer("failed", "re_1", decline_code="failed")),
        (stripe.InvalidRequestError("No.", None, code="charge_already_refunded"), Answer("failed", decline_code="charge_already_refunded")),
    ],
)  # fmt: skip
def test_money_goes_back_once_under_our_key(made, answer):
    asked, client = adapter(made)
    assert asked.refund(Back("back_1", "pi_1", 50_00, "EUR")) == answer
    ((params, options),) = client.seen
    assert (params["payment_intent"], params["amount"], options) == ("pi_1", 50_00, {"idempotency_key": "back_1"})


@pytest.mark.parametrize("error", [stripe.APIConnectionError("gone"), stripe.RateLimitError("slow"), stripe.APIError("broken")])
def test_no_answer_is_no_decline(error):
    with pytest.raises(ProcessorUnreachable):
        adapter(error)[0].charge(SAVED)
    with pytest.raises(ProcessorUnreachable):
        adapter(error)[0].page(WANTED)


def signed(body, secret=SECRET, moment=None):
    moment = moment or int(time.time())
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={moment},v1={mac}"}


EVENT = json.dumps({"id": "evt_1", "type": "payout.paid", "data": {"object": {}}}).encode()


def test_an_event_is_believed_as_it_was_signed():
    assert adapter()[0].verified(EVENT, signed(EVENT))["id"] == "evt_1"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (EVENT, {}), (EVENT, signed(EVENT, "whsec_other")), (EVENT + b" ", signed(EVENT)), (EVENT, signed(EVENT, moment=int(time.time()) - 600)), (b"{}", signed(b"{}")),
        (b"no json", signed(b"no json")), (b"\xff", signed(b"\xff")),
    ],
)  # fmt: skip
def test_any_other_event_is_refused(body, headers):
    with pytest.raises(SignatureWrong):
        adapter()[0].verified(body, headers)


@pytest.fixture
def event(shared):
    """A published event of a kind, with facts of its object changed."""

    def make(name, **facts):
        payload = json.loads((shared / "data" / "stripe_objects" / "webhooks_ruby_mock" / f"{name}.json").read_text())
        payload["data"]["object"] |= facts
        return payload

    return make


def test_published_events_are_understood(event):
    card = N(id="pm_7", card=N(brand="visa", last4="4242"))
    made = N(
        latest_charge=N(balance_transaction=N(fee=88)), payment_method=card, setup_future_usage="off_session", customer="cus_7"
    )
    asked, client = adapter(made)
    paid = asked.told(event("payment_intent.succeeded", metadata={"topline_key": "top_1"}))
    assert (paid.kind, paid.key, paid.amount_minor, paid.currency, paid.fee_minor) == ("paid", "top_1", 2000, "USD", 88)
    assert (paid.method_ref, paid.customer_ref, paid.method_label) == ("pm_7", "cus_7", "Visa ending in 4242")
    assert len(client.seen) == 1
    failed = asked.told(event("payment_intent.payment_failed", metadata={"topline_key": "top_1"}))
    assert (failed.kind, failed.decline_code) == ("failed", "generic_decline")
    assert asked.told(event("payment_intent.processing")).kind == "processing"
    payout = asked.told(event("payout.paid"))
    assert (payout.kind, payout.amount_minor, payout.arrives_on) == ("payout", 1100, date(2022, 3, 28))
    gone = asked.told(event("charge.dispute.funds_withdrawn", payment_intent="pi_5", balance_transactions=[{"fee": 1500}]))
    assert (gone.kind, gone.charge_ref, gone.fee_minor) == ("disputed", "pi_5", 1500)
    assert asked.told(event("charge.dispute.created")).kind == "other"  # an inquiry takes no money back
    assert asked.told(event("charge.refunded", payment_intent="pi_5")).kind == "refunded"
    assert asked.told(event("charge.dispute.closed", payment_intent="pi_5", status="lost")).kind == "dispute_lost"
    assert asked.told(event("charge.dispute.closed", payment_intent="pi_5", status="won")).kind == "other"  # the money tells that
    assert asked.told(event("customer.created")).kind == "other"
    assert len(client.seen) == 1


def test_every_published_event_is_understood_or_left_alone(shared):
    asked, _ = adapter(N(latest_charge=None, payment_method=None, setup_future_usage=None))
    files = sorted((shared / "data" / "stripe_objects" / "webhooks_ruby_mock").glob("*.json"))
    assert len(files) > 80
    for path in files:
        payload = json.loads(path.read_text())
        assert asked.told(payload).ref == payload["id"], path.name
