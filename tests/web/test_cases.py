"""A case on its page: an assumption is changed, a strategy chosen, and another person approves it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from topline.cases import queries
from topline.collections.models import Reminder
from topline.market.models import Customer
from topline.receivables.models import DiscountOffer
from topline.treasury import offers

pytestmark = pytest.mark.django_db


def text(answer):
    return answer.content.decode()


def test_a_case_is_opened_from_its_customer(browser, acme):
    assert f"/cases/new/?customer={acme.initech}" in text(browser.get(f"/customers/{acme.initech}/"))
    answer = browser.post("/cases/new/", {"customer": acme.initech, "invoice": [acme.dollars]}, follow=True)
    assert "Initech" in text(answer) and answer.redirect_chain[0][0].startswith("/cases/")
    none = browser.post("/cases/new/", {"customer": acme.initech})
    assert none.status_code == 422 and "No invoice is ticked" in text(none)
    assert "Choose a customer first" in text(browser.get("/cases/new/"))


def test_the_collectors_page_leads_to_the_customers_case_until_it_is_closed(browser, acme):
    desk, case = f"/collections/{acme.globex}/", f"/cases/{acme.case}/"
    assert f'href="{case}" data-press="o"' in text(browser.get(desk))
    browser.post(case + "close/", {"note": ""})
    page = text(browser.get(desk))
    assert f"/cases/new/?customer={acme.globex}" in page and f'href="{case}" data-press="o"' not in page


def fields(case_id, **changes):
    weighed = queries.evaluate(queries.case(case_id), as_of=queries.case(case_id).opened_on)
    shown = {f"{r.spec.key}-{name}": r.values[name] for r in weighed.rows for name in ("chance_percent", "days", "share_percent")}
    return {**shown, **changes}


def test_an_assumption_counts_at_once_and_an_impossible_one_is_said_without_losing_what_was_typed(browser, acme):
    address = f"/cases/{acme.case}/assumptions/"
    browser.post(address, fields(acme.case, **{"settlement-share_percent": "80", "fact-is_insured": "on"}))
    assert queries.case(acme.case).assumptions == {
        "settings": {}, "facts": {"is_insured": True}, "options": {"settlement": {"share_percent": 80.0}},
    }  # fmt: skip
    assert "Settlement at 20 % off" in text(browser.get(f"/cases/{acme.case}/"))
    answer = browser.post(address, fields(acme.case, **{"settlement-share_percent": "180"}))
    assert answer.status_code == 422 and "it must lie between 0 and 100" in text(answer) and 'value="180"' in text(answer)
    for typed in ("soon", "1,5"):  # a decimal comma is not read as a mark between thousands
        assert "is no number" in text(browser.post(address, fields(acme.case, **{"resend-days": typed})))
    part = browser.post(address, fields(acme.case, **{"resend-days": "-4"}), headers={"HX-Request": "true"})
    assert (part.status_code, text(part).count("<html")) == (200, 0) and "must lie between" in text(part)
    browser.post(address, {"reset": "1"})
    assert queries.case(acme.case).assumptions == {"settings": {}, "facts": {}, "options": {}}


def test_who_chose_cannot_approve_and_another_can(browser, sign_in, acme):
    page = f"/cases/{acme.case}/"
    browser.post(page + "choose/", {"option": "settlement"})
    refused = browser.post(page + "approve/")
    assert refused.status_code == 403 and "cannot approve it" in text(refused)
    approver = sign_in("Approver")
    assert "waits for a second person" in text(approver.get(page))
    told = "Discount or settlement for Globex"
    assert told in text(approver.get("/")) and told not in text(browser.get("/"))
    assert "Approved" in text(approver.post(page + "approve/", follow=True))
    assert "Send the offer with its last day" in text(browser.get(page))
    assert "Closed" in text(browser.post(page + "close/", {"note": "Paid at the trade fair"}, follow=True))
    assert "Paid at the trade fair" in text(browser.get(page))


def test_a_case_that_claims_interest_leads_to_the_note_once_it_is_approved(browser, sign_in, acme):
    page, claim = f"/cases/{acme.case}/", f"/collections/{acme.globex}/interest/"
    Customer.objects.filter(pk=acme.globex).update(late_interest_bps=900)
    browser.post(page + "choose/", {"option": "interest"})
    assert claim not in text(browser.get(page))
    sign_in("Approver").post(page + "approve/")
    assert f'href="{claim}"' in text(browser.get(page))


def test_a_case_whose_invoices_are_paid_offers_to_be_closed_and_nothing_else(browser, acme, pay, apply):
    case = browser.post("/cases/new/", {"customer": acme.initech, "invoice": [acme.dollars]}, follow=True).redirect_chain[0][0]
    assert "Recommended" in text(browser.get(case)) and 'aria-label="Choose' in text(browser.get(case))
    apply(pay(acme.initech, 500_00, currency="USD"), acme.dollars, 500_00)
    page = text(browser.get(case))
    assert "close the case to keep its outcome" in page and "Recommended" not in page and 'aria-label="Choose' not in page


def test_a_refusal_is_shown_with_its_reason(browser, sign_in, acme):
    page = f"/cases/{acme.case}/"
    browser.post(page + "choose/", {"option": "settlement"})
    sign_in("Approver").post(page + "refuse/", {"reason": "Call them first"})
    assert "Call them first" in text(browser.get(page))


def test_offers_are_made_written_and_withdrawn_on_their_page(browser, acme):
    page = text(browser.get("/cash/offers/"))
    assert "None yet" in page and "/cash/offers/" in text(browser.get("/cash/"))
    day = date.today() + timedelta(days=5)
    offer = {"offer": f"{acme.late}:500:{day + timedelta(days=20)}", "valid_until": str(day)}
    made = browser.post("/cash/offers/make/", {**offer, "write": "1"}, follow=True)
    assert "The offer stands." in text(made) and "running" in text(made)
    assert Reminder.objects.get().state == "held" and "5.00 EUR" in Reminder.objects.get().body
    number = made.context["made"][0]["id"] if made.context else DiscountOffer.objects.get().pk
    assert "written to the customer before" in text(browser.post(f"/cash/offers/{number}/write/", follow=True))
    assert "withdrawn" in text(browser.post(f"/cash/offers/{number}/withdraw/", follow=True))
    for wrong, sentence in (
        ({**offer, "valid_until": "2020-01-01"}, "is past already"), ({**offer, "valid_until": "soon"}, "is no day"), ({"offer": "1:2"}, "That is no offer"),
        ({}, "No offer is ticked"),
    ):  # fmt: skip
        assert sentence in text(browser.post("/cash/offers/make/", wrong))
    for query in ("yearly=x", "yearly=0", "yearly=nan", "taken=0", "taken=101"):
        assert browser.get(f"/cash/offers/?{query}").status_code == 422


def test_one_invoice_is_offered_a_day_of_a_sliding_scale_or_a_sum_of_ones_own(browser, sign_in, acme, issue):
    (invoice,) = issue(acme.globex, 10_000_00, on=date.today(), terms="net 60")
    page = f"/cash/offers/on/{invoice}/"
    assert page in text(browser.get(f"/invoices/{invoice}/"))
    shown = browser.get(page)
    assert "The sooner, the more" in text(shown) and "36.0 %" in text(shown)
    steps = offers.sliding_scale(
        amount_minor=10_000_00, expected=date.today() + timedelta(days=60), as_of=date.today(), yearly_percent=Decimal(36)
    )
    assert [s.days_early for s in steps] == [57, 53, 50, 46, 39, 30, 15]
    assert steps[0].discount_minor == 10_000_00 * 36 * 57 // (36_500 + 36 * 57) and steps[0].yearly_percent == pytest.approx(
        36, abs=0.01
    )
    day = str(date.today() + timedelta(days=7))
    for wrong, sentence in (
        ({"valid_until": "2020-01-01", "less": "10"}, "is past already"), ({"valid_until": day, "less": "10000"}, "between nothing and all"),
        ({"valid_until": day, "less": "1.000,00"}, "Write it as 1234.56"), ({"valid_until": day, "less": "-5"}, "between nothing and all"),
    ):  # fmt: skip
        refused = browser.post(page, wrong)
        assert refused.status_code == 400 and sentence in text(refused)
    assert not DiscountOffer.objects.exists()
    browser.post(page, {"valid_until": day, "less": "150.00"})
    made = DiscountOffer.objects.get()
    assert (made.invoice_id, made.discount_minor, str(made.valid_until)) == (invoice, 150_00, day)
    assert "An offer runs until" in text(browser.get(page))
    assert "has an offer until" in text(browser.post(page, {"valid_until": day, "less": "20"}))
    collector, desk = sign_in("Collections"), f"/collections/{acme.globex}/"
    assert "9,850.00 EUR" in text(collector.get(desk))
    assert "It is written" in text(collector.post(f"{desk}offers/{made.pk}/write/", follow=True))
    assert "written to the customer before" in text(collector.post(f"{desk}offers/{made.pk}/write/", follow=True))
    assert browser.get(f"/cash/offers/on/{acme.paid}/").status_code in {409, 422}
    assert browser.get(page + "?yearly=0").status_code == 422


def test_a_contract_rate_and_a_credit_limit_are_set_on_the_customers_form(browser, acme):
    edit = f"/customers/{acme.globex}/edit/"
    said = {"name": "Globex", "currency": "EUR", "terms": "net 30"}
    for wrong, sentence in (
        ({"late_interest": "101"}, "less than or equal to 100"),
        ({"credit_limit": "-1"}, "cannot be negative"),
    ):
        assert sentence in text(browser.post(edit, said | wrong))
    browser.post(edit, said | {"late_interest": "9.5", "credit_limit": "25,000.00"})
    kept = Customer.objects.get(pk=acme.globex)
    assert (kept.late_interest_bps, kept.credit_limit_minor) == (950, 25_000_00)
    page = text(browser.get(edit))
    assert 'value="9.50"' in page and 'value="25,000.00"' in page
    assert "% by contract" in text(browser.get(f"/collections/{acme.globex}/"))


def test_terms_with_a_discount_tell_its_yearly_cost(browser, acme, issue):
    (invoice,) = issue(acme.globex, 100_00, on=date(2026, 1, 1), terms="2/10 net 30")
    assert "2 % off until 11 Jan, 37.2 % a year" in text(browser.get(f"/invoices/{invoice}/"))


def test_roles_without_money_do_not_see_cases(sign_in, acme):
    sales = sign_in("Sales")
    assert {sales.get(a).status_code for a in ("/cases/", f"/cases/{acme.case}/", "/cases/new/?customer=1")} == {403}
