"""What people change from pages: it happens, it is refused at the field, and a refused change changes nothing."""

from __future__ import annotations

import re
from datetime import date

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from topline.billing.models import Invoice
from topline.books import queries as books
from topline.books.models import Entry, ExchangeRate
from topline.connect import actions as connect
from topline.connect.models import ImportBatch
from topline.kernel.models import OutboxMessage
from topline.market import actions as market
from topline.market.models import Customer
from topline.receivables.models import Payment
from topline.receivables.queries import standing_allocations
from topline.team.models import ApiToken, Area, Member, Task

pytestmark = pytest.mark.django_db


def post(browser, address, expect=302, **data):
    answer = browser.post(address, data)
    assert answer.status_code == expect, (address, answer.content.decode()[-1500:])
    return answer


def state(invoice_id):
    return Invoice.objects.get(pk=invoice_id).state


def test_a_payment_is_applied_and_taken_off_again(browser, acme):
    post(browser, f"/payments/{acme.partly}/apply/", **{f"amount-{acme.half}": "40.00"})
    links = standing_allocations(payment_ids=[acme.partly])
    assert links["amount_minor"].to_list() == [60_00, 40_00]
    post(browser, f"/allocations/{links['id'][1]}/unapply/", reason="wrong one")
    assert standing_allocations(payment_ids=[acme.partly])["amount_minor"].to_list() == [60_00]


def test_a_returned_payment_tells_what_it_had_settled(browser, acme):
    page = f"/payments/{acme.partly}/"
    assert "still to be applied" in browser.get(page).content.decode()
    post(browser, f"{page}return/", reason="No funds")
    told = browser.get(page).content.decode()
    assert "Taken back, EUR" in told and "Taken off again on" in told and "60.00 EUR (payment)" in told
    assert "still to be applied" not in told and "settled nothing" not in told


def test_the_payment_of_a_record_that_was_merged_is_offered_all_that_its_customer_owes(
    browser, acme, owner, make_customers, issue, pay
):
    (twin,) = make_customers("Globex Ltd")
    payment = pay(twin, 50_00)
    market.merge_customers(actor=owner, keep_id=acme.globex, merge_id=twin)
    assert f'name="amount-{acme.half}"' in browser.get(f"/payments/{payment}/").content.decode()


@pytest.mark.parametrize("amount", ["", "much", "40.005", "1000000.00"])
def test_an_amount_that_cannot_be_applied_is_refused_with_a_way_back(browser, acme, amount):
    before = standing_allocations(payment_ids=[acme.partly]).height
    address = f"/payments/{acme.partly}/apply/"
    answer = browser.post(
        address, {f"amount-{acme.half}": amount}, headers={"Referer": f"http://testserver/payments/{acme.partly}/"}
    )
    assert answer.status_code in {400, 409, 422}
    assert f'href="http://testserver/payments/{acme.partly}/"' in answer.content.decode()
    assert standing_allocations(payment_ids=[acme.partly]).height == before


def test_the_way_back_never_leads_to_a_stranger(browser, acme):
    answer = browser.post(f"/payments/{acme.partly}/apply/", headers={"Referer": "https://evil.example/"})
    assert b"evil.example" not in answer.content


def test_unapplied_money_is_refunded_and_a_payment_returned(browser, acme):
    post(browser, f"/payments/{acme.free}/refund/", amount="30.00", reason="paid twice")
    assert Payment.objects.get(pk=acme.free).allocated_minor == 30_00
    post(browser, f"/payments/{acme.done}/return/", reason="no funds")
    assert Payment.objects.get(pk=acme.done).state == "returned"
    assert state(acme.paid) == "open"


def test_a_credit_note_is_applied_from_its_page(browser, acme):
    assert "Apply to invoices" in browser.get(f"/invoices/{acme.note}/").content.decode()
    post(browser, f"/credit-notes/{acme.note}/apply/", **{f"amount-{acme.late}": "19.00"})
    assert Invoice.objects.get(pk=acme.note).allocated_minor == 19_00
    assert "used up" in browser.get(f"/credit-notes/{acme.note}/apply/").content.decode()
    answer = browser.get(f"/credit-notes/{acme.late}/apply/")
    assert answer.status_code in {400, 422}
    assert "is no credit note" in answer.content.decode()


def test_what_will_not_come_is_written_off_by_those_who_may(browser, sign_in, acme):
    billing = sign_in("Billing")
    post(billing, f"/invoices/{acme.late}/write-off/", expect=403, reason="gone")
    assert "Write off" not in billing.get(f"/invoices/{acme.late}/").content.decode()
    assert browser.post(f"/invoices/{acme.late}/write-off/").status_code >= 400
    assert state(acme.late) == "open", "without a reason nothing is written off"
    post(browser, f"/invoices/{acme.late}/write-off/", reason="insolvent")
    assert state(acme.late) == "written_off"


def test_a_document_is_voided_and_another_credited(browser, acme):
    post(browser, f"/invoices/{acme.dollars}/void/", reason="mistake")
    assert state(acme.dollars) == "void"
    post(browser, f"/invoices/{acme.half}/credit/", amount="10.00", reason="late delivery")
    assert Invoice.objects.filter(corrects_id=acme.half, total_minor=10_00).exists()


def test_an_invoice_is_made_by_hand(browser, acme):
    form = {"customer": acme.globex, "issue_on": "2026-03-01", "currency": "EUR", "terms": "net 30", "description": "Advice", "quantity": "2", "unit_price": "50", "tax_percent": "19"}  # fmt: skip
    answer = post(browser, "/invoices/new/", expect=400, **{**form, "quantity": "0"})
    assert 'class="errors"' in answer.content.decode()
    answer = post(browser, "/invoices/new/", **form)
    made = Invoice.objects.order_by("-id").first()
    assert (made.total_minor, answer.url) == (119_00, f"/invoices/{made.pk}/")
    post(browser, "/books/lock/", through="2026-02-15")
    post(browser, "/invoices/new/", expect=400, **{**form, "issue_on": "2026-02-10"})
    assert Invoice.objects.order_by("-id").first() == made, "what cannot be issued leaves no draft behind"


def test_a_manual_entry_is_written_reversed_and_kept_out_of_closed_days(browser, acme):
    form = {"effective_on": "2026-02-10", "debit": acme.codes[0], "credit": acme.codes[1], "amount": "12.50", "currency": "EUR", "memo": "Correction"}  # fmt: skip
    same = post(browser, "/books/entries/new/", expect=400, **{**form, "credit": acme.codes[0]}).content.decode()
    assert "same account" in same
    assert 'class="errors"' in post(browser, "/books/entries/new/", expect=400, **{**form, "amount": "x"}).content.decode()
    post(browser, "/books/entries/new/", **form)
    made = Entry.objects.order_by("-id").first()
    assert (made.kind, made.memo) == ("manual", "Correction")
    post(browser, f"/books/entries/{made.pk}/reverse/", effective_on="2026-02-11", reason="wrong account")
    assert Entry.objects.order_by("-id").first().reverses_id == made.pk
    post(browser, "/books/lock/", through="2026-02-28", reason="month end")
    assert books.locked_through(acme.entity.pk) == date(2026, 2, 28)
    assert "2026" in post(browser, "/books/entries/new/", expect=400, **form).content.decode()
    post(browser, "/books/lock/", through="", reason="reopened")
    assert books.locked_through(acme.entity.pk) is None


def test_a_rate_is_added_by_hand(browser, entity):
    post(browser, "/books/rates/new/", expect=400, currency="USD", on="2026-03-01", per_euro="0", source="bank")
    post(browser, "/books/rates/new/", currency="USD", on="2026-03-01", per_euro="1.25", source="bank")
    assert ExchangeRate.objects.get().per_euro_nano == 1_250_000_000
    assert "1.250000" in browser.get("/books/rates/").content.decode()


def test_contacts_addresses_and_other_names_are_added(browser, acme):
    base = f"/customers/{acme.globex}"
    assert 'class="errors"' in post(browser, f"{base}/contacts/new/", expect=400, name="Ann", email="no address").content.decode()
    post(browser, f"{base}/contacts/new/", name="Ann Payable", email="ann@globex.example")
    post(browser, f"{base}/addresses/new/", kind="billing", line1="Main Street 1", city="Berlin")
    post(browser, f"{base}/aliases/new/", kind="name", value="Globex Holding")
    page = browser.get(f"{base}/").content.decode()
    assert all(text in page for text in ("Ann Payable", "Main Street 1", "Globex Holding"))
    post(browser, f"{base}/aliases/drop/", kind="name", value="Globex Holding")
    assert "Globex Holding" not in browser.get(f"{base}/").content.decode().partition("Also known as")[2]
    own = post(browser, f"{base}/aliases/drop/", expect=422, kind="name", value="Globex").content.decode()
    assert "own" in own


def test_a_customer_is_added_changed_and_merged(browser, acme):
    post(browser, "/customers/new/", name="Globex GmbH", currency="EUR", terms="net 30")
    made = Customer.objects.get(name="Globex GmbH")
    post(browser, f"/customers/{made.pk}/edit/", name="Globex AG", currency="EUR", terms="net 14")
    assert Customer.objects.get(pk=made.pk).terms == "net 14"
    post(browser, "/customers/merge/", keep=acme.globex, merge=made.pk)
    assert Customer.objects.get(pk=made.pk).merged_into_id == acme.globex
    assert f"/customers/{made.pk}/" not in browser.get("/customers/").content.decode()


def test_an_outflow_is_planned_and_dropped(browser, acme):
    post(
        browser,
        "/cash/outflows/",
        name="Tax",
        kind="tax",
        amount="10.00",
        currency="EUR",
        first_on="2026-03-10",
        frequency="once",
    )
    assert f"/cash/outflows/{acme.rent}/drop/" in browser.get("/cash/?as_of=2026-03-01").content.decode()
    assert "Tax: <span" in browser.get("/cash/?as_of=2026-03-01").content.decode()
    post(browser, f"/cash/outflows/{acme.rent}/drop/")
    assert f"/cash/outflows/{acme.rent}/drop/" not in browser.get("/cash/?as_of=2026-03-01").content.decode()


def test_an_occurrence_is_put_off_and_put_back(browser, acme):
    address = f"/cash/outflows/{acme.rent}/defer/"
    assert "Put off Rent" in browser.get(address).content.decode()
    post(browser, address, occurs_on="2026-03-01", moved_to="2026-02-01", expect=400)
    post(browser, address, occurs_on="2026-03-01", moved_to="2026-03-20", reason="Payroll first")
    page = browser.get("/cash/?as_of=2026-02-20").content.decode()
    assert "Rent of 1 Mar 2026 is put off to 20 Mar 2026" in page and "Payroll first" in page
    assert "Rent (planned on 1 Mar)" in page
    post(browser, "/cash/deferrals/" + re.search(r"/cash/deferrals/(\d+)/undo/", page)[1] + "/undo/")
    assert "is put off" not in browser.get("/cash/?as_of=2026-02-20").content.decode()


def test_an_account_is_given_a_credit_line_with_its_rate(browser, acme):
    address = f"/bank/{acme.bank_account}/change/"
    post(browser, address, name="House bank", credit_line_minor="-5", expect=400)
    post(browser, address, name="House bank", credit_line_minor="50,000.00", credit_line_bps="9.5", pays_payroll="on")
    assert "credit line of 50,000.00 at 9.5 % a year" in browser.get(f"/bank/{acme.bank_account}/").content.decode()
    assert 'value="50,000.00"' in browser.get(address).content.decode()
    post(browser, "/bank/new/", name="House bank", currency="EUR", expect=400)


FILE = b"number,customer,issued on,due on,amount,paid on\nH1,Hooli,2026-01-05,2026-02-04,100.00,\nH2,Hooli,2026-02-31,2026-03-04,5.00,\n"


def test_a_file_is_checked_imported_and_taken_back(browser, acme):
    upload = SimpleUploadedFile("hooli.csv", FILE)
    answer = browser.post("/import/upload/", {"kind": "receivables", "file": upload, "currency": "EUR"})
    batch = ImportBatch.objects.order_by("-id").first()
    assert answer.status_code == 302 and not Invoice.objects.filter(number="H1").exists()
    page = browser.get(f"/import/{batch.pk}/").content.decode()
    assert "is no day of the calendar" in page and "Correct the date" in page and "Import 1 row" in page
    assert "Row 3, column" not in page, "row and column stand in columns of their own"
    post(browser, f"/import/{batch.pk}/run/")
    assert Invoice.objects.get(number="H1").state == "open"
    post(browser, f"/import/{batch.pk}/undo/", reason="wrong file")
    assert Invoice.objects.get(number="H1").state == "void"


def test_a_file_of_which_no_row_can_come_in_says_so_and_offers_no_import(browser, acme):
    upload = SimpleUploadedFile("hooli.csv", FILE.replace(b"2026-01-05", b"2026-02-31"))
    browser.post("/import/upload/", {"kind": "receivables", "file": upload, "currency": "EUR"})
    page = browser.get(f"/import/{ImportBatch.objects.latest('id').pk}/").content.decode()
    assert "No row of this file can come in as it is." in page and "Import 0 rows" not in page


def test_an_import_on_which_later_work_rests_names_that_work_and_stays(browser, acme, pay, apply):
    post(browser, f"/import/{acme.batch}/run/")
    mine = Invoice.objects.get(number="R1")
    payment = pay(mine.customer_id, 100_00)
    apply(payment, mine.pk, 100_00)
    page = post(browser, f"/import/{acme.batch}/undo/", expect=409).content.decode()
    assert f'href="/invoices/{mine.pk}/"' in page and f'href="/payments/{payment}/"' in page and "Unapply" in page
    assert state(mine.pk) == "paid" and ImportBatch.objects.get(pk=acme.batch).state == "done"


def test_a_long_import_goes_to_the_worker_and_the_page_asks_how_far_it_is(browser, acme, monkeypatch):
    monkeypatch.setattr("topline.connect.pages.IN_REQUEST", 0)
    post(browser, f"/import/{acme.batch}/run/")
    assert OutboxMessage.objects.get(topic="run_import").payload == {"batch_id": acme.batch}
    part = browser.get(f"/import/{acme.batch}/", headers={"HX-Request": "true"}).content.decode()
    assert 'hx-trigger="every 2s"' in part and "<progress" in part and "1 left" in part and "<html" not in part
    post(browser, f"/import/{acme.batch}/run/")
    assert OutboxMessage.objects.filter(topic="run_import").count() == 1
    OutboxMessage.objects.update(state="failed")
    assert "every 2s" not in browser.get(f"/import/{acme.batch}/").content.decode()
    post(browser, f"/import/{acme.batch}/run/")
    assert list(OutboxMessage.objects.order_by("id").values_list("state", flat=True)) == ["failed", "waiting"]


def test_the_first_rows_of_a_checked_file_show_amounts_and_days_as_every_page_does(browser, owner, entity):
    content = b"number,customer,issued on,amount,currency\nR1,A,2026-01-05,1234.50,EUR\nR2,A,2026-01-06,-7.00,EUR\nR3,A,2026-01-06,1500,JPY\n"
    batch = connect.check_file(actor=owner, entity_id=entity.pk, kind="receivables", content=content, file_name="open.csv")
    page = browser.get(f"/import/{batch}/").content.decode()
    assert re.findall(r'data-amount="[^"]*">([^<]*)<', page) == ["1,234.50", "\u22127.00", "1,500"]
    assert re.findall(r'<td class="date">([^<]*)<', page)[:2] == ["5 Jan 2026", "4 Feb 2026"]
    pay = b"person,amount\nAda,1000.50\n"
    batch = connect.check_file(actor=owner, entity_id=entity.pk, kind="payroll", content=pay, file_name="pay.csv")
    assert "1,000.50" in browser.get(f"/import/{batch}/").content.decode()


def test_a_file_that_is_too_large_is_told_beside_its_field(browser, entity, monkeypatch):
    monkeypatch.setattr("topline.connect.actions.MAX_BYTES", 10)
    sent = {"kind": "customers", "currency": "EUR", "file": SimpleUploadedFile("c.csv", b"name,currency\nA,EUR\n")}
    page = post(browser, "/import/upload/", expect=400, **sent).content.decode()
    assert "c.csv has 20 bytes; at most 10 are read. Split it into smaller files." in page
    assert not ImportBatch.objects.exists()


def test_members_areas_and_tasks_are_kept_by_the_owner(browser, acme):
    post(browser, "/team/add/", expect=400, name="Bea", email="bea@acme.localhost", password="short", roles=["Billing"])
    post(browser, "/team/add/", name="Bea", email="bea@acme.localhost", password="a long enough phrase", roles=["Billing"])
    bea = Member.objects.get(email="bea@acme.localhost")
    me = Member.objects.get(email="owner@acme.localhost")
    post(browser, f"/team/{bea.pk}/roles/", roles=["Billing", "Auditor"])
    assert sorted(bea.role_grants.values_list("role", flat=True)) == ["Auditor", "Billing"]
    post(browser, "/team/areas/billing/", owner=bea.pk, deputy=me.pk)
    assert (Area.objects.get(key="billing").owner_id, Area.objects.get(key="billing").deputy_id) == (bea.pk, me.pk)
    post(browser, "/team/tasks/add/", title="Call Globex", assignee=bea.pk, due_on="2026-03-03")
    task = Task.objects.get()
    post(browser, f"/team/tasks/{task.pk}/finish/")
    task.refresh_from_db()
    assert task.state == "done"
    post(browser, f"/team/{bea.pk}/change/", is_active="0")
    assert not Member.objects.get(pk=bea.pk).is_active


def test_the_last_owner_stays(browser, entity):
    me = Member.objects.get(email="owner@acme.localhost")
    answer = browser.post(f"/team/{me.pk}/change/", {"is_active": "0"})
    assert answer.status_code == 409 and Member.objects.get(pk=me.pk).is_active


def test_the_secret_of_a_token_is_shown_once(browser, entity):
    page = post(browser, "/team/account/tokens/", expect=200, name="script", scopes="billing.* receivables.view").content.decode()
    token = ApiToken.objects.get()
    secret = page.split("<code>")[1].split("</code>")[0]
    assert secret.startswith(token.prefix) and secret not in browser.get("/team/account/").content.decode()
    post(browser, f"/team/account/tokens/{token.pk}/revoke/")
    assert ApiToken.objects.get().revoked_at is not None
