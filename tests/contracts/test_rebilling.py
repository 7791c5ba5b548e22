"""An invoice with a wrong order or terms is billed again: once taken back, once anew, and no run bills its periods once more."""

from __future__ import annotations

from datetime import date

import pytest
from django.test import Client

from topline.billing import actions as billing
from topline.billing import taxes
from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.contracts import actions, rebilling, runs
from topline.contracts.models import Charge
from topline.flows import proofs
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.recognition import queries as recognition
from topline.team import actions as members
from topline.team.models import Member

JAN, FEB = date(2026, 1, 1), date(2026, 2, 1)


@pytest.fixture(autouse=True)
def _home(owner, entity):
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 1, 10)):
        yield


@pytest.fixture
def billed(owner, entity, make_customers):
    """A contract of a third of a cent and a fee, billed for January."""
    (customer,) = make_customers("Globex")
    items = [{"description": "Seats", "quantity_micro": 7 * 10**6, "unit_price_nano": 33_335 * 10**8, "unit": "month"}, {"description": "Fee", "quantity_micro": 10**6, "unit_price_nano": 100_00 * 10**9, "unit": "month"}]  # fmt: skip
    actions.add_contract(actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=JAN, items=items)
    runs.run(actor=owner, entity_id=entity.pk, as_of=JAN)
    return Invoice.objects.get()


def test_it_is_taken_back_and_stands_anew_to_the_cent_with_its_periods(owner, entity, billed):
    entity.refresh_from_db()
    before = recognition.balances(entity, through=date(2026, 1, 31)).to_dicts()
    made = rebilling.bill_again(actor=owner, invoice_id=billed.pk, on=date(2026, 1, 10), because="No order number", purchase_order="PO 7", terms="net 14")  # fmt: skip
    old, note, new = Invoice.objects.get(pk=billed.pk), Invoice.objects.get(kind="credit_note"), Invoice.objects.get(pk=made)
    assert (old.state, note.state, note.corrects_id, new.state) == ("paid", "paid", old.pk, "open")
    amounts = ("net_minor", "tax_minor", "total_minor")
    assert [getattr(new, name) for name in amounts] == [getattr(old, name) for name in amounts] == [getattr(note, name) for name in amounts]  # fmt: skip
    assert (new.purchase_order, new.terms, new.due_on, new.memo) == (
        "PO 7",
        "net 14",
        date(2026, 1, 24),
        f"Replaces {old.number}",
    )
    assert sorted(Charge.objects.values_list("invoice_id", "net_minor")) == sorted([(old.pk, 233_35), (old.pk, 100_00), (note.pk, -233_35), (note.pk, -100_00), (made, 233_35), (made, 100_00)])  # fmt: skip
    assert recognition.balances(entity, through=date(2026, 1, 31)).to_dicts() == before
    runs.run(actor=owner, entity_id=entity.pk, as_of=JAN)
    assert Invoice.objects.count() == 3, "a run bills none of it once more"
    again = rebilling.bill_again(actor=owner, invoice_id=made, on=date(2026, 1, 10), because="The order was cancelled")
    assert Invoice.objects.get(pk=again).purchase_order == "PO 7"
    with clock.at(FEB):
        runs.run(actor=owner, entity_id=entity.pk, as_of=FEB)
    assert Charge.objects.filter(full_start=FEB).count() == 2
    assert [p.name for p in proofs.verify() if not p.holds] == []


def test_what_cannot_be_taken_back_as_a_whole_is_left_alone(owner, billed):
    with pytest.raises(Invalid):
        rebilling.bill_again(actor=owner, invoice_id=billed.pk, on=JAN, because=" ")
    billing.credit_invoice(actor=owner, invoice_id=billed.pk, issue_on=JAN, total_minor=1_00, reason="Late")
    with pytest.raises(rebilling.NotBilledAgain):
        rebilling.bill_again(actor=owner, invoice_id=billed.pk, on=JAN, because="No order number")
    assert Invoice.objects.count() == 2


def test_an_invoice_made_by_hand_is_billed_again_on_its_page(owner, make_customers, issue):
    (invoice,) = issue(make_customers("Initech")[0], 50_00, on=JAN)
    browser = Client()
    browser.force_login(Member.objects.get(pk=members.add_member(actor=owner, email="b@acme.localhost", name="Bo", roles=["Billing"], password="a long enough phrase")))  # fmt: skip
    address = f"/contracts/documents/{invoice}/bill-again/"
    assert address in browser.get(f"/invoices/{invoice}/").content.decode()
    assert browser.post(address, {"terms": "whenever", "because": "x"}).status_code == 400 and Invoice.objects.count() == 1
    assert browser.post(address, {"terms": "net 10", "purchase_order": "PO 1", "because": "No order"}).status_code == 302
    made = Invoice.objects.get(purchase_order="PO 1")
    assert (made.total_minor, made.terms) == (50_00, "net 10")
    page = browser.get(f"/invoices/{invoice}/").content.decode()
    assert page.count("contracts.bill_again") == 1, "what one action did to a document is one line"
    assert browser.get(address).status_code == 200 and address not in browser.get(f"/invoices/{invoice}/").content.decode()
