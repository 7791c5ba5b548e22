"""What holds for every page: it is there, whole or in part, says no in a sentence, and lets no foreign code in."""

from __future__ import annotations

import csv
import io
import re
from datetime import date
from html import unescape

import pytest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from topline.bank import actions as bank
from topline.bank.models import BankAccount
from topline.billing import actions as billing
from topline.billing import delivery
from topline.billing.models import Delivery, Invoice
from topline.connect import actions as connect
from topline.kernel.errors import Invalid
from topline.market import actions as market
from topline.market.models import Customer
from topline.team import actions as members
from topline.team.models import Member
from topline.timeline.models import Milestone

pytestmark = pytest.mark.django_db

INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=\"|javascript:|<script(?![^>]*\ssrc=)(?![^>]*application/json)", re.IGNORECASE)
LISTS = [
    "/customers/",
    "/invoices/",
    "/payments/",
    "/cases/",
    "/team/audit/",
    "/collections/",
    "/pipeline/",
    "/catalog/",
    "/lifecycle/",
    "/contracts/",
]


def test_every_page_is_whole_and_holds_no_inline_script_or_style(browser, addresses):
    for address in addresses:
        answer = browser.get(address)
        page = answer.content.decode()
        assert answer.status_code == 200, (address, re.findall("<h1>(.*?)</h1>", page))
        assert page.count("<h1>") == 1 and "<nav" in page and "</html>" in page, address
        assert not INLINE.search(page), (address, INLINE.search(page))


def test_every_page_carries_the_headers_of_safety(browser, addresses):
    for address in addresses[:6]:
        headers = browser.get(address).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "HX-Request" in headers["Vary"]


def test_nobody_sees_a_page_without_signing_in(addresses, client):
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 302 and answer.headers["Location"].startswith("/sign-in/login/"), address


def test_a_page_that_is_not_for_a_role_says_so(sign_in, acme):
    sales = sign_in("Sales")
    for address in ("/books/", "/cash/", f"/cash/payroll/{acme.plan}/", "/team/audit/", "/figures/lowest/", "/figures/in_bank/"):
        answer = sales.get(address)
        assert answer.status_code == 403 and b"not for your role" in answer.content, address
    assert sales.get("/figures/in_bank/").content.count(b"data-amount") == 0


def test_a_forged_request_is_refused(acme, sign_in):
    client = Client(enforce_csrf_checks=True)
    client.cookies = sign_in("Owner").cookies
    assert client.post(f"/invoices/{acme.late}/void/").status_code == 403


@pytest.mark.parametrize("address", LISTS)
def test_a_list_answers_htmx_with_its_results_only(browser, acme, address):
    page = browser.get(address, headers={"HX-Request": "true"}).content.decode().strip()
    assert page.startswith('<div id="results">') and page.endswith("</div>")
    assert "<html" not in page and "<nav" not in page


def test_history_gets_the_whole_page(browser, acme):
    page = browser.get("/customers/", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}).content.decode()
    assert "</html>" in page


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/customers/?sort=password", "cannot be sorted by"),
        ("/customers/?page=0", "is no page"),
        ("/customers/?page=x", "is no page"),
        ("/invoices/?size=7", "rows"),
        ("/invoices/?export=exe", "is no format"),
        ("/?as_of=yesterday", "is no day"),
        ("/?as_of=0001-01-01", "lies outside"),
        ("/aging/?by=age", "neither due nor issued"),
        ("/aging/?buckets=a,b", "are no buckets"),
        ("/cash/?every=hour", "is no period"),
        ("/figures/nothing/", "There is no figure"),
        ("/figures/invoice_open/", "Of which invoice?"),
        ("/figures/invoice_open/?invoice=999999", "There is no"),
        ("/customers/999999/", "There is no customer"),
    ],
)
def test_a_bad_address_gets_a_sentence(browser, acme, address, sentence):
    answer = browser.get(address)
    assert answer.status_code in {400, 404, 422}
    assert sentence in answer.content.decode()


def cells_of(answer):
    """All cells of a download, of either form."""
    if answer["Content-Type"].startswith("text/csv"):
        return [cell for line in csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))) for cell in line]
    cells = [cell for line in load_workbook(io.BytesIO(answer.content)).active.iter_rows() for cell in line]
    assert all(cell.data_type != "f" for cell in cells)
    return [cell.value for cell in cells]


FORMULA = "=cmd()"


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_no_export_lets_a_formula_through(browser, owner, entity, make_customers, form):
    make_customers("=cmd()", "+1", "-1", "@sum", " =1+1", "plain")
    content = f"number,customer,issued on,due on,amount,paid on,memo,purchase order\n{FORMULA}1,{FORMULA},2026-01-05,2026-02-04,100.00,,{FORMULA},{FORMULA}\n{FORMULA}2,{FORMULA},2026-01-05,2026-02-04,7.00,2026-01-20,{FORMULA},{FORMULA}\n"
    movements = f"date,amount,description,counterparty\n2026-02-03,5.00,{FORMULA},{FORMULA}\n"
    for kind, text in (("receivables", content), ("bank", movements)):
        batch = connect.check_file(actor=owner, entity_id=entity.pk, kind=kind, content=text.encode(), file_name=f"{FORMULA}.csv")
        connect.run_import(actor=owner, batch_id=batch)
    customer = Customer.objects.get(name=FORMULA)
    account = BankAccount.objects.get()
    bank.change_account(actor=owner, bank_account_id=account.pk, changes={"name": FORMULA})
    seen = 0
    for address in (
        "/customers/?", "/invoices/?", "/payments/?", "/aging/?as_of=2026-03-31&", f"/customers/{customer.pk}/statement/?until=2026-03-31&", f"/bank/{account.pk}/?",
        "/cash/?as_of=2026-02-01&", "/books/?as_of=2026-03-31&", "/figures/overdue/?as_of=2026-03-31&",
    ):  # fmt: skip
        answer = browser.get(f"{address}export={form}")
        assert answer.status_code == 200, address
        texts = [cell for cell in cells_of(answer) if isinstance(cell, str)]
        wild = [t for t in texts if t.lstrip()[:1] in set("=+-@") and not re.fullmatch(r"-?[\d.]+", t)]
        assert wild == [], address
        seen += any(FORMULA in t for t in texts)
    assert seen >= 6


def test_names_are_text_on_a_page(browser, make_customers):
    make_customers("<script>alert(1)</script>")
    page = browser.get("/customers/").content.decode()
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page


def test_a_list_asks_as_often_for_fifty_rows_as_for_five(browser, make_customers, issue, pay):
    from django.db import connection

    def asked(address):
        with CaptureQueriesContext(connection) as asked:
            assert browser.get(address).status_code == 200
        return len(asked)

    (first,) = make_customers("First")
    issue(first, *[1_00] * 6)  # one more than is paid: both times something is foreseen to come
    for _ in range(5):
        pay(first, 1_00)
    watched = [
        *LISTS,
        "/",
        "/aging/",
        "/cash/",
        "/books/",
        "/books/entries/",
        f"/customers/{first}/",
        f"/collections/{first}/",
        "/collections/board/",
        "/team/tasks/",
        "/figures/owed/",
    ]
    for address in watched:
        asked(address)  # what is kept in memory is kept from here on
    few = {address: asked(address) for address in watched}
    others = make_customers(*[f"Customer {n}" for n in range(45)])
    for customer in others[:15]:
        issue(customer, 1_00, 2_00, 3_00)
        pay(customer, 1_00)
    for address in watched:
        asked(address)
    many = {address: asked(address) for address in watched}
    assert many == few
    own = few.pop(f"/collections/{first}/")  # the forecast, the list and the debt; mostly kept outside of a test's transaction
    assert own <= 120
    assert max(few.values()) <= 60


GOOD = "slip_percent=20&late_days=14&hires=1&vendor_days=14"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (GOOD.replace("20", "101"), "A slip lies between 0 and 100 percent."),
        (GOOD.replace("late_days=14", "late_days=-3"), "A customer may be 0 to 180 days late."),
        (GOOD + "&late_customer=Nobody", "No customer is called 'Nobody'."),
        (GOOD + "&hire_cost=12.345", "12.345"),
        (GOOD.replace("hires=1", "hires=many"), "Enter a whole number."),
    ],
)
def test_assumptions_that_cannot_be_are_told_beside_their_field(browser, acme, query, sentence):
    answer = browser.get(f"/cash/scenarios/?{query}")
    assert answer.status_code == 400
    assert sentence in unescape(answer.content.decode())


def test_search_finds_what_one_may_see(browser, sign_in, acme):
    from topline.billing.models import Invoice

    number = Invoice.objects.get(pk=acme.late).number
    found = browser.get("/search", {"q": "glob"}).json()["results"]
    assert found[0] == {"label": "Globex", "hint": found[0]["hint"], "url": f"/customers/{acme.globex}/"}
    assert browser.get("/search", {"q": number}).json()["results"][0]["url"] == f"/invoices/{acme.late}/"
    assert f"/pipeline/{acme.deal}/" in {r["url"] for r in browser.get("/search", {"q": "pum"}).json()["results"]}
    assert f"/catalog/{acme.product}/" in {r["url"] for r in browser.get("/search", {"q": "PUM"}).json()["results"]}
    assert all("/payments/" not in r["url"] for r in sign_in("Sales").get("/search", {"q": "P"}).json()["results"])


def test_the_portal_shows_a_customer_only_what_is_shared(owner, sign_in, acme):
    market.change_customer(actor=owner, customer_id=acme.globex, changes={"is_on_hold": True}, reason="Late")
    portal = sign_in("Customer", customer_id=acme.globex)
    page = portal.get("/portal/").content.decode()
    assert "Invoice issued" in page and "credit hold" not in page and "Initech" not in page
    for address in ("/", "/customers/", f"/customers/{acme.globex}/", f"/invoices/{acme.late}/", "/figures/"):
        assert portal.get(address).status_code == 403
    assert portal.get("/home/")["Location"] == "/portal/" and sign_in("Billing").get("/home/")["Location"] == "/"
    assert Client().get("/")["Location"] == "/sign-in/login/?next=/home/", "a sign-in at the front door leads where one may go"


def test_the_portal_opens_every_document_of_the_customer_whoever_sent_it(owner, sign_in, acme):
    portal = sign_in("Customer", customer_id=acme.globex)
    delivery.send_invoices(actor=owner, invoice_ids=[acme.late], recipient="ap@globex.example")
    sent = Delivery.objects.get()
    page = portal.get("/portal/").content.decode()
    for invoice in (acme.late, acme.paid):
        assert f'href="/portal/documents/{invoice}/"' in page, "what is paid can be read as well"
    assert "shared" not in page
    assert portal.get(f"/portal/documents/{acme.late}/")["Location"] == f"/i/{sent.token}/"
    assert portal.get(f"/portal/documents/{acme.paid}/", follow=True).status_code == 200
    opened = Delivery.objects.get(invoice_id=acme.paid)
    assert (opened.state, opened.recipient) == ("viewed", Member.objects.get(customer_id=acme.globex).email)
    portal.get(f"/portal/documents/{acme.paid}/")
    assert Delivery.objects.filter(invoice_id=acme.paid).count() == 1
    assert Milestone.objects.filter(kind="invoice_viewed", subject_id=acme.paid).count() == 1
    for strange in (acme.dollars, 10**9):
        assert portal.get(f"/portal/documents/{strange}/").status_code == 404
    assert sign_in("Billing").get(f"/portal/documents/{acme.late}/").status_code == 403
    assert not re.search(r">[−-]\d+<", page), "days before it is due are not days late"


def test_a_credit_note_that_nobody_applied_is_not_late(owner, sign_in, browser, acme):
    note = billing.credit_invoice(actor=owner, invoice_id=acme.late, issue_on=date(2026, 1, 20), total_minor=11_00, reason="Late")
    number = Invoice.objects.get(pk=note).number
    for page in (browser.get(f"/customers/{acme.globex}/"), sign_in("Customer", customer_id=acme.globex).get("/portal/")):
        row = next(part for part in page.content.decode().split("<tr>") if number in part and "11.00" in part)
        assert not re.search(r'class="integer">\d', row), row


def test_people_of_a_customer_are_let_in_on_its_page_and_never_become_the_team(owner, browser, acme):
    address = f"/customers/{acme.globex}/sign-ins/"
    assert address in browser.get(f"/customers/{acme.globex}/").content.decode()
    form = {"name": "Ann", "email": "ann@globex.example", "password": "short"}
    assert browser.post(address, form).status_code == 400 and not Member.objects.filter(email=form["email"]).exists()
    assert browser.post(address, form | {"password": "a long enough phrase"}).status_code == 302
    ann = Member.objects.get(email="ann@globex.example")
    assert ann.customer_id == acme.globex and "ann@globex.example" in browser.get(address).content.decode()
    client = Client()
    client.force_login(ann)
    assert client.get("/portal/").status_code == 200
    for member, roles in ((ann.pk, ["Billing"]), (ann.pk, ["Customer", "Owner"]), (Member.objects.get(customer_id=None).pk, ["Owner", "Customer"])):  # fmt: skip
        with pytest.raises(Invalid):
            members.grant_roles(actor=owner, member_id=member, roles=roles)


def test_a_new_company_is_told_what_is_missing(browser, entity):
    page = browser.get("/").content.decode()
    for step in ("Import your open invoices", "Import a bank statement", "Import who is paid, and when"):
        assert step in page


def test_an_address_where_nothing_is_and_one_that_only_does_something_say_so_with_a_way_back(browser, acme):
    lost = browser.get("/pipeline/nowhere/")
    assert lost.status_code == 404 and "Nothing is at this address." in lost.content.decode() and "<nav" in lost.content.decode()
    button = browser.get("/pipeline/quotas/split/")
    assert (button.status_code, button["Allow"]) == (405, "POST") and "use the button" in button.content.decode()
    assert Client().get("/nowhere").status_code == 404 and Client().get("/pipeline/quotas/split/").status_code == 405
