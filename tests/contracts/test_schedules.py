"""Billing schedules: parts add up to the item, dated ones are billed on their day, milestones once they are accepted, each once."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.core import mail
from django.test import Client

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from topline.billing import actions as billing
from topline.billing import taxes
from topline.billing.models import Invoice, InvoiceLine
from topline.books.models import Entity
from topline.contracts import actions, amendments, foresight, queries, runs, schedules
from topline.contracts.models import Charge, Item, Parked, SchedulePart
from topline.engine.rating.credit_notes import Chosen
from topline.flows import proofs
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Conflict, Invalid, NotFound
from topline.market import actions as market
from topline.recognition import queries as recognition
from topline.team.models import Member

JAN, FEB, MAR, APR = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)
PARTS = [
    {"description": "Deposit", "amount_minor": 100_00, "due_on": JAN}, {"description": "Design accepted", "amount_minor": 400_00, "due_on": None},
    {"description": "Go-live accepted", "amount_minor": 400_00, "due_on": None}, {"description": "Rest", "amount_minor": 99_99, "due_on": APR},
]  # fmt: skip


@pytest.fixture(autouse=True)
def _home(owner, entity):
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 3, 2)):
        yield


@pytest.fixture
def item(owner, entity, make_customers):
    """A project of 3 x 333.33, sold once, and a seat a month beside it."""
    (customer,) = make_customers("Globex")
    market.add_contact(actor=owner, customer_id=customer, name="Ann", email="ann@globex.example")
    once = {
        "description": "Project",
        "quantity_micro": 3 * 10**6,
        "unit_price_nano": 333_33 * 10**9,
        "unit": "day",
        "ends_on": date(2026, 1, 2),
    }
    seat = {"description": "Seat", "quantity_micro": 10**6, "unit_price_nano": 10_00 * 10**9, "unit": "month"}
    made = actions.add_contract(actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=JAN, ends_on=date(2027, 1, 1), items=[once, seat])  # fmt: skip
    return Item.objects.get(contract_id=made, description="Project")


@pytest.fixture
def planned(owner, item):
    schedules.set_schedule(actor=owner, item_id=item.pk, parts=PARTS)
    return item


@pytest.fixture
def bill(owner, entity):
    def make(as_of=MAR):
        return runs.run(actor=owner, entity_id=entity.pk, as_of=as_of)

    return make


@pytest.fixture
def accept(owner):
    def make(part, on=MAR, who="Ann of Globex", actor=owner):
        return schedules.accept_milestone(actor=actor, part_id=part.pk, on=on, accepted_by=who)

    return make


def part(name):
    return SchedulePart.objects.get(description=name)


def billed(item):
    return list(Charge.objects.filter(item=item).order_by("id").values_list("full_start", "start", "net_minor", "sequence"))


def test_parts_that_do_not_add_up_are_refused_and_the_difference_is_told(owner, item):
    for parts, told in (
        (PARTS[:-1], "99.99 EUR are missing"), ([*PARTS, PARTS[0]], "100.00 EUR are too much"), ([], "999.99 EUR are missing"),
        ([{"description": " ", "amount_minor": 999_99}], "says nothing"), ([{"description": "x", "amount_minor": 0}], "not more than zero"),
    ):  # fmt: skip
        with pytest.raises(Invalid, match=told):
            schedules.set_schedule(actor=owner, item_id=item.pk, parts=parts)
    seat = Item.objects.get(description="Seat")
    with pytest.raises(Invalid, match="by periods or by use"):
        schedules.set_schedule(actor=owner, item_id=seat.pk, parts=[{"description": "x", "amount_minor": 10_00}])
    assert not SchedulePart.objects.exists()


def test_a_dated_part_is_billed_on_its_day_and_a_milestone_once_it_is_accepted_each_once(bill, planned, accept):
    bill()
    bill()
    assert billed(planned) == [(JAN, JAN, 100_00, 0)], "the item as a whole is not billed beside its parts"
    accept(part("Design accepted"), on=FEB)
    accept(part("Go-live accepted"), on=FEB)
    bill()
    bill()
    assert billed(planned)[1:] == [(date(2026, 1, 2), FEB, 400_00, 0), (date(2026, 1, 3), FEB, 400_00, 0)], (
        "two of one day are two charges"
    )
    assert InvoiceLine.objects.filter(
        description="Project: Design accepted, 2026-02-01", net_minor=400_00, tax_minor=76_00
    ).exists()
    bill(APR)
    assert sum(Charge.objects.filter(item=planned).values_list("net_minor", flat=True)) == schedules.value_of(planned) == 999_99
    assert not Parked.objects.exists(), "amounts that were agreed one by one are not beyond bounds"
    assert {p["state"] for p in schedules.of_contract(planned.contract_id)} == {"billed"}


def test_a_milestone_is_accepted_once_by_somebody_and_not_ahead(owner, planned, accept):
    found = part("Design accepted")
    for facts, told in (({"who": " "}, "who accepts"), ({"on": date(2026, 3, 3)}, "still to come")):
        with pytest.raises(Invalid, match=told):
            accept(found, **facts)
    accept(found)
    with pytest.raises(schedules.MilestoneNotOpen, match="was accepted on 2026-03-01 by Ann of Globex"):
        accept(found)
    with pytest.raises(NotFound):
        accept(part("Deposit"))


def test_an_acceptance_taken_back_gives_back_what_was_billed_and_given_again_bills_it_again(owner, bill, planned, accept):
    found = part("Design accepted")
    accept(found)
    bill()
    schedules.withdraw_acceptance(actor=owner, part_id=found.pk, because="The wrong project")
    bill(date(2026, 3, 2))
    accept(found, on=date(2026, 3, 2))
    bill(date(2026, 3, 2))
    key = date(2026, 1, 2)
    assert [(n, s) for k, _, n, s in billed(planned) if k == key] == [(400_00, 0), (-400_00, 1), (400_00, 2)]


def test_another_day_does_not_bill_a_part_twice_and_what_was_billed_stays(owner, bill, planned):
    bill()
    later = [{**p, "due_on": FEB if p["description"] == "Rest" else p["due_on"]} for p in PARTS[1:]]
    assert schedules.set_schedule(actor=owner, item_id=planned.pk, parts=later) == 4
    bill()
    assert [n for _, _, n, _ in billed(planned)] == [100_00, 99_99]
    with pytest.raises(schedules.ScheduleOutOfBalance):
        schedules.set_schedule(actor=owner, item_id=planned.pk, parts=PARTS)


def test_a_void_document_is_billed_anew_and_an_item_billed_whole_gets_no_schedule(owner, bill, item, planned):
    bill()
    billing.void_invoices(actor=owner, invoice_ids=list(Invoice.objects.values_list("id", flat=True)), void_on=MAR)
    bill()
    assert [(n, s) for _, _, n, s in billed(planned)] == [(100_00, 0), (100_00, 1)]
    SchedulePart.objects.all().delete()
    with pytest.raises(Conflict, match="billed as a whole"):
        schedules.set_schedule(actor=owner, item_id=item.pk, parts=PARTS)


def test_cash_foresees_dated_parts_and_milestones_only_once_accepted(entity, bill, planned, accept):
    bill()

    def seen():
        found = (
            foresight.coming(entity=Entity.objects.get(pk=entity.pk), as_of=MAR, until=date(2026, 4, 30))
            .group_by("bill_on")
            .agg(pl.col("amount_minor").sum())
        )
        return dict(found.sort("bill_on").iter_rows())

    assert seen() == {APR: 118_99 + 11_90}
    open_ones = SchedulePart.objects.filter(description="Design accepted")
    open_ones.update(expected_on=date(2026, 4, 20))
    assert seen() == {APR: 118_99 + 11_90, date(2026, 4, 20): 476_00}, "on the day on which it is likely"
    open_ones.update(expected_on=date(2026, 2, 20))
    assert seen() == {APR: 118_99 + 11_90}, "nobody knows what is late"
    accept(part("Design accepted"))
    assert seen() == {date(2026, 3, 2): 476_00, APR: 118_99 + 11_90}


def test_the_form_takes_the_day_on_which_a_milestone_is_likely(owner, item, make_member):  # noqa: F811
    browser = Client()
    browser.force_login(Member.objects.get(pk=make_member("Billing").pk), backend="allauth.account.auth_backends.AuthenticationBackend")  # fmt: skip
    whole = schedules.value_of(item) / 100
    address = f"/contracts/items/{item.pk}/schedule/"
    assert browser.post(address, {"parts": f"*2026-13-01 {whole} All"}).status_code == 400 and not item.parts.exists()
    assert browser.post(address, {"parts": f"*2026-05-01 {whole} All"}).status_code == 302
    made = item.parts.get()
    assert (made.due_on, made.expected_on) == (None, date(2026, 5, 1)) and made.token
    assert f"*2026-05-01 {whole:,.2f} All" in browser.get(address).content.decode()
    for page in (f"/contracts/{item.contract_id}/", "/contracts/schedules/"):
        assert "1 May" in browser.get(page).content.decode(), page
    with pytest.raises(Invalid):
        schedules.set_schedule(actor=owner, item_id=item.pk, parts=[{"description": "All", "amount_minor": schedules.value_of(item), "due_on": MAR, "expected_on": MAR}])  # fmt: skip


def test_what_ends_bills_no_open_part_and_a_dropped_part_is_never_billed(owner, bill, planned, accept):
    schedules.drop_part(actor=owner, part_id=part("Go-live accepted").pk, because="Not wanted")
    with pytest.raises(schedules.MilestoneNotOpen, match="dropped"):
        accept(part("Go-live accepted"))
    accept(part("Design accepted"))
    with pytest.raises(Conflict, match="accepted or billed"):
        schedules.drop_part(actor=owner, part_id=part("Design accepted").pk, because="x")
    amendments.amend(actor=owner, contract_id=planned.contract_id, kind="terminate", on=date(2026, 3, 2))
    assert part("Rest").dropped_on == date(2026, 3, 2)
    bill(APR)
    assert [n for _, _, n, _ in billed(planned)] == [100_00, 400_00]
    assert schedules.off_their_items().is_empty(), "dropped parts still count as agreed"


def test_a_schedule_that_does_not_add_up_is_proved_and_reported(entity, planned, owner):
    assert proofs.contracts_bill_what_was_agreed().is_empty()
    SchedulePart.objects.filter(description="Rest").update(amount_minor=99_98)
    assert proofs.contracts_bill_what_was_agreed().select("what", "agreed_minor", "schedule_minor").rows() == [
        ("Project", 999_99, 999_98)
    ]
    assert queries.out_of_balance(entity_id=entity.pk).height == 1 and queries.out_of_balance(entity_id=entity.pk + 1).is_empty()


def test_a_scheduled_item_is_earned_by_its_own_rule_and_its_price_is_not_changed_under_the_schedule(
    owner, entity, item, bill, planned
):
    bill()
    feb = date(2026, 2, 28)
    found = recognition.detail(entity, planned.contract_id, through=feb)["balance"]
    assert (found["earned_minor"], found["billed_minor"]) == (999_99 + 20_00, 0), (
        "earned on its day, whatever the schedule says; billed in March"
    )
    later = amendments.amend(actor=owner, contract_id=planned.contract_id, kind="add", on=APR, item={"description": "More", "quantity_micro": 10**6, "unit_price_nano": 50_00 * 10**9, "unit": "day", "ends_on": date(2026, 4, 2)})  # fmt: skip
    assert later
    more = Item.objects.get(description="More")
    schedules.set_schedule(actor=owner, item_id=more.pk, parts=[{"description": "All", "amount_minor": 50_00, "due_on": APR}])
    with pytest.raises(Invalid, match="billed by a schedule"):
        amendments.amend(
            actor=owner, contract_id=planned.contract_id, kind="price", on=MAR, item_id=more.pk, unit_price_nano=10**9
        )


def test_the_customer_accepts_on_the_link_once_and_reaches_no_other_milestone(owner, bill, planned, accept):
    found, other = part("Design accepted"), part("Go-live accepted")
    schedules.ask_acceptance(actor=owner, part_id=found.pk, recipient="ann@globex.example")
    while outbox.drain(HANDLERS):
        pass
    (letter,) = [m for m in mail.outbox if "please accept" in m.subject]
    at = f"/m/{found.token}/"
    assert at in letter.body and "400.00 EUR" in letter.body
    with pytest.raises(NotFound):
        accept(other, actor=schedules.customer_behind(found))
    nobody = Client()
    assert "stands for your signature" in nobody.get(at).content.decode()
    refused = nobody.post(at, {"name": ""})
    assert refused.status_code == 422 and "Say who accepts it" in refused.content.decode()
    assert nobody.post(at, {"name": "Ann"}).status_code == 302
    assert "by Ann" in nobody.get(at).content.decode()
    again = nobody.post(at, {"name": "Bob"})
    assert again.status_code == 409 and part("Design accepted").accepted_by == "Ann"
    assert nobody.get("/m/lost/").status_code == 404
    bill(date(2026, 3, 2))
    assert [n for _, _, n, _ in billed(planned)] == [100_00, 400_00]


def test_pages_set_schedules_accept_and_show_what_waits(owner, entity, item, make_member):  # noqa: F811
    browser = Client()
    browser.force_login(
        Member.objects.get(pk=make_member("Billing").pk), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    at, contract = f"/contracts/items/{item.pk}/schedule/", f"/contracts/{item.contract_id}/"
    assert at in browser.get(contract).content.decode()
    wrong = browser.post(at, {"parts": "2026-01-01 100.00 Deposit\n* 400.00 Design"})
    assert wrong.status_code == 400 and "499.99 EUR are missing" in wrong.content.decode()
    assert "Line 1 cannot be read" in browser.post(at, {"parts": "tomorrow 100.00 Deposit"}).content.decode()
    assert browser.post(at, {"parts": "2026-05-01 100.00 Deposit\n* 899.99 Design accepted"}).status_code == 302
    waits = browser.get("/contracts/schedules/").content.decode()
    assert "Design accepted" in waits and "Deposit" in waits and "All schedules add up" in waits
    assert "* 899.99 Design accepted" in browser.get(at).content.decode()
    design = part("Design accepted")
    assert browser.post(f"/contracts/parts/{design.pk}/ask/", {}).status_code == 302 and part("Design accepted").asked_at
    browser.post(f"/contracts/parts/{design.pk}/accept/", {"accepted_by": "Ann"})
    assert "accepted by Ann" in browser.get(contract).content.decode()
    coming = browser.get("/contracts/runs/preview/?as_of=2026-03-02").content.decode()
    assert "Project: Design accepted" in coming, "which of the parts is billed"
    browser.post(f"/contracts/parts/{design.pk}/withdraw/", {"because": "Too early"})
    browser.post(f"/contracts/parts/{part('Deposit').pk}/drop/", {"because": "A gift"})
    page = browser.get(contract).content.decode()
    assert "dropped" in page and f"/m/{design.token}/" in page


def test_programs_set_schedules_and_accept(api, item):  # noqa: F811
    body = {
        "parts": [
            {"description": "Deposit", "amount_minor": 99_99, "due_on": "2026-03-01"},
            {"description": "Design", "amount_minor": 900_00},
        ]
    }
    assert api.post(f"/contract-items/{item.pk}/schedule", body).json()["result"] == 2
    off = api.post(f"/contract-items/{item.pk}/schedule", {"parts": body["parts"][:1]})
    assert (off.status_code, off.json()["code"]) == (422, "schedule_out_of_balance")
    design = next(p for p in api.get("/schedule-parts").json()["items"] if p["due_on"] is None)
    said = {"on": "2026-03-01", "accepted_by": "Ann"}
    assert api.post(f"/schedule-parts/{design['id']}/accept", said).json()["result"] == design["id"]
    assert api.post(f"/schedule-parts/{design['id']}/accept", said).status_code == 409
    assert api.get("/out-of-balance").json()["items"] == []


def test_each_line_of_a_document_tells_how_it_was_made(owner, entity, bill, planned, accept, make_member):  # noqa: F811
    accept(part("Design accepted"))
    amendments.amend(actor=owner, contract_id=planned.contract_id, kind="quantity", on=date(2026, 2, 15), item_id=Item.objects.get(description="Seat").pk, quantity_micro=1_333_333)  # fmt: skip
    bill()
    invoice = Invoice.objects.get()
    note = billing.credit_invoice(
        actor=owner, invoice_id=invoice.pk, issue_on=MAR, lines=[Chosen(1, net_minor=5_00)], reason="Late"
    )
    browser = Client()
    browser.force_login(
        Member.objects.get(pk=make_member("Billing").pk), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    page = browser.get(f"/contracts/documents/{invoice.pk}/explained/").content.decode()
    for told in (
        "Part 2 of the schedule of Project: Design accepted, accepted on 2026-03-01 by Ann of Globex.", "14 of 28 days", "rounded to 13.33 net", "Tax 19 % of 400.00 = 76.00 tax", "2.5327, rounded to 2.53 tax",
    ):  # fmt: skip
        assert told in page, told
    back = browser.get(f"/contracts/documents/{note}/explained/").content.decode()
    assert "It takes back an amount of line 1 of INV-000001" in back
    assert "explained/#line-1" in browser.get(f"/invoices/{invoice.pk}/").content.decode()
