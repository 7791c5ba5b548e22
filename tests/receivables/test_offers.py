"""A discount for paying by a day: taken by money that came in time, void after it, and never more than is owed."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.test import Client

from topline.billing.models import Invoice
from topline.kernel.errors import Conflict, Invalid, NotFound
from topline.receivables import matching, offers
from topline.receivables.actions import DocumentNotOpen
from topline.receivables.models import Allocation, DiscountOffer
from topline.receivables.offers import OfferEnded, OfferStands, PaidTooLittle
from topline.team import actions as team
from topline.team.models import Member

TODAY, LAST = date(2026, 3, 10), date(2026, 3, 20)


@pytest.fixture
def invoice(make_customers, issue):
    (customer,) = make_customers("Globex")
    return issue(customer, 100_00, on=date(2026, 3, 1))[0]


@pytest.fixture
def browser(owner):
    member = team.add_member(actor=owner, email="o@acme.localhost", name="Olga", roles=["Owner"], password="a long enough phrase")
    client = Client()
    client.force_login(Member.objects.get(pk=member))
    return client


def offer(owner, *invoices, less=2_00, until=LAST, on=TODAY, **extra):
    frame = pl.DataFrame({"invoice_id": list(invoices), "discount_minor": [less] * len(invoices), **extra})
    return offers.make_offers(actor=owner, offers=frame, valid_until=until, on=on)


def state(entity, as_of=TODAY):
    return [row["state"] for row in offers.offers(entity.pk, as_of=as_of)]


def paid(pay, invoice, amount, on):
    return pay(Invoice.objects.get(pk=invoice).customer_id, amount, on=on)


def test_an_offer_tells_what_it_costs_a_year(owner, entity, invoice):
    (made,) = offer(owner, invoice, expected_on=[date(2026, 4, 9)]).to_dicts()
    assert made["costs_ppm"] == round(2 / 98 * 365 / 20 * 1_000_000)
    (row,) = offers.offers(entity.pk, as_of=TODAY)
    assert (row["state"], row["pays_minor"], row["discount_minor"]) == ("running", 98_00, 2_00)


def test_money_in_time_settles_the_invoice_and_the_rest_is_discount_allowed(owner, entity, invoice, pay):
    made = offer(owner, invoice)["offer_id"][0]
    payment = paid(pay, invoice, 98_00, on=LAST)
    offers.take_offer(actor=owner, offer_id=made, payment_id=payment, on=LAST)
    assert Invoice.objects.get(pk=invoice).state == "paid"
    assert dict(Allocation.objects.values_list("kind", "amount_minor")) == {"payment": 98_00, "discount": 2_00}
    assert state(entity) == ["taken"]


def test_money_after_the_day_takes_no_discount_and_what_is_short_stays_open(owner, entity, invoice, pay, apply):
    made = offer(owner, invoice)["offer_id"][0]
    late = paid(pay, invoice, 98_00, on=date(2026, 3, 21))
    with pytest.raises(OfferEnded, match=r"The offer ended on 2026-03-20, the payment came on 2026-03-21: 2\.00 EUR stays open"):
        offers.take_offer(actor=owner, offer_id=made, payment_id=late, on=date(2026, 3, 21))
    apply(late, invoice, 98_00, on=date(2026, 3, 21))
    found = Invoice.objects.get(pk=invoice)
    assert (found.state, found.total_minor - found.allocated_minor) == ("open", 2_00)
    assert state(entity, date(2026, 3, 21)) == ["void"]


@pytest.mark.parametrize(("day", "kinds"), [(LAST, {"payment", "discount"}), (date(2026, 3, 21), {"payment"})])
def test_matching_takes_an_offer_in_time_and_leaves_a_short_payment_after_it(owner, entity, invoice, day, kinds):
    from topline.receivables import actions

    offer(owner, invoice)
    found = Invoice.objects.get(pk=invoice)
    frame = pl.DataFrame(
        {"customer_id": [found.customer_id], "currency": ["EUR"], "amount_minor": [98_00], "received_on": [day], "reference": [found.number], "payer_name": ["Globex"]}
    )  # fmt: skip
    actions.record_payments(actor=owner, entity_id=entity.pk, payments=frame)
    made = matching.match_payments(actor=owner, entity_id=entity.pk, as_of=day)
    if made["state"][0] == "waiting":
        matching.confirm_match(actor=owner, proposal_id=made["proposal_id"][0], on=day)
    assert set(Allocation.objects.values_list("kind", flat=True)) == kinds
    assert Invoice.objects.get(pk=invoice).state == ("paid" if "discount" in kinds else "open")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"less": 100_00}, Invalid), ({"less": 0}, Invalid), ({"less": -5}, Invalid), ({"less": 150_00}, Invalid),
        ({"until": date(2026, 3, 9)}, Invalid),
    ],
)  # fmt: skip
def test_an_offer_that_cannot_be_is_refused_in_a_sentence(owner, invoice, change, error):
    with pytest.raises(error) as refused:
        offer(owner, invoice, **change)
    assert refused.value.message.endswith(".")
    assert not DiscountOffer.objects.exists()


def test_an_invoice_has_one_running_offer_and_one_that_ran_out_is_replaced(owner, entity, invoice):
    offer(owner, invoice)
    with pytest.raises(OfferStands, match="has an offer until 2026-03-20"):
        offer(owner, invoice)
    offer(owner, invoice, on=date(2026, 3, 21), until=date(2026, 3, 30))
    assert state(entity, date(2026, 3, 21)) == ["running", "replaced"]
    assert state(entity, date(2026, 3, 31)) == ["expired", "replaced"]


def test_a_withdrawn_offer_cannot_be_taken_nor_withdrawn_again(owner, entity, invoice, pay):
    made = offer(owner, invoice)["offer_id"][0]
    offers.withdraw_offer(actor=owner, offer_id=made)
    payment = paid(pay, invoice, 98_00, on=LAST)
    with pytest.raises(OfferEnded, match="is void"):
        offers.take_offer(actor=owner, offer_id=made, payment_id=payment, on=LAST)
    with pytest.raises(OfferEnded):
        offers.withdraw_offer(actor=owner, offer_id=made)
    with pytest.raises(NotFound):
        offers.withdraw_offer(actor=owner, offer_id=999)
    assert state(entity) == ["withdrawn"]


def test_too_little_does_not_take_an_offer_and_a_part_paid_before_voids_it(owner, invoice, pay, apply):
    made = offer(owner, invoice)["offer_id"][0]
    little = paid(pay, invoice, 97_99, on=LAST)
    with pytest.raises(PaidTooLittle, match=r"asks for 98\.00 EUR"):
        offers.take_offer(actor=owner, offer_id=made, payment_id=little, on=LAST)
    apply(little, invoice, 10_00, on=LAST)
    rest = paid(pay, invoice, 98_00, on=LAST)
    with pytest.raises(OfferEnded):
        offers.take_offer(actor=owner, offer_id=made, payment_id=rest, on=LAST)


def test_nothing_is_offered_on_what_is_paid(owner, invoice, pay, apply):
    apply(paid(pay, invoice, 100_00, on=LAST), invoice, 100_00, on=LAST)
    with pytest.raises((DocumentNotOpen, Conflict)):
        offer(owner, invoice)


def test_a_payment_in_time_takes_its_offer_by_a_button_and_a_late_one_is_told_why_not(owner, entity, invoice, pay, browser):
    made = offer(owner, invoice)["offer_id"][0]
    late, small, good = (paid(pay, invoice, a, on=d) for a, d in ((98_00, date(2026, 3, 21)), (97_99, LAST), (98_00, LAST)))
    fits = {t["payment_id"]: t["in_time"] for t in offers.takers(entity.pk)}
    assert fits == {late: False, good: True} and small not in fits
    late_page = browser.get(f"/payments/{late}/").content.decode()
    assert "It came after the offer's last day: applied, 2.00 stays open." in late_page
    assert f"/discount-offers/{made}/take/" not in late_page
    assert f"/discount-offers/{made}/take/" in browser.get(f"/payments/{good}/").content.decode()
    assert f"/discount-offers/{made}/take/" in browser.get("/cash/offers/").content.decode()
    refused = browser.post(f"/discount-offers/{made}/take/", {"payment": late})
    assert (
        refused.status_code == 409 and "The offer ended on 2026-03-20, the payment came on 2026-03-21" in refused.content.decode()
    )
    assert browser.post(f"/discount-offers/{made}/take/", {"payment": ""}).status_code == 422
    assert browser.post(f"/discount-offers/{made}/take/", {"payment": good}).status_code == 302
    assert Invoice.objects.get(pk=invoice).state == "paid"
    assert offers.takers(entity.pk) == []
