"""Giving up much takes two people: one proposes, another decides; nothing is booked before."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from topline.billing.models import Invoice
from topline.books import actions as books
from topline.kernel.actions import PermissionMissing
from topline.kernel.errors import Conflict, Invalid
from topline.market import actions as market
from topline.receivables import actions, write_offs
from topline.receivables.models import Allocation, WriteOffProposal
from topline.team import actions as team
from topline.team.models import Member
from topline.team.queries import actor_of

DAY = date(2026, 9, 1)
LIMIT = 1_000_00


@pytest.fixture
def person(owner):
    def make(name, *roles):
        member = team.add_member(
            actor=owner, email=f"{name.lower()}@acme.localhost", name=name, roles=list(roles), password="a long enough phrase"
        )
        return Member.objects.get(pk=member)

    return make


@pytest.fixture
def clara(person):
    return person("Clara", "Collections")


@pytest.fixture
def anton(person):
    return person("Anton", "Approver")


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def large(customer, issue):
    return issue(customer, LIMIT + 1)[0]


def propose(member, invoice, reason="Insolvent"):
    return write_offs.propose_write_off(actor=actor_of(member), invoice_id=invoice, on=DAY, reason=reason)


def is_written_off(invoice):
    return Invoice.objects.get(pk=invoice).state == "written_off"


def test_one_person_gives_up_the_limit_and_not_a_cent_more_also_in_parts_of_one_request(anton, customer, issue, large):
    alone = {"actor": actor_of(anton), "on": DAY, "reason": "Insolvent"}
    for invoices in ([large], issue(customer, LIMIT, 1)):
        with pytest.raises(actions.NeedsSecondPerson, match=r"1,000.01 EUR is more than one person may write off"):
            actions.write_off(**alone, invoice_ids=invoices)
        with pytest.raises(actions.NeedsSecondPerson):
            actions.write_off(**alone, invoice_ids=invoices, proposed_by=actor_of(anton).key)
    assert not Allocation.objects.exists()
    (small,) = issue(customer, LIMIT)
    actions.write_off(**alone, invoice_ids=[small])
    assert is_written_off(small)


def test_the_limit_is_measured_in_the_companys_currency(owner, anton, customer, issue):
    table = pl.DataFrame({"currency": ["JPY"], "on": [date(2026, 3, 1)], "per_euro": [Decimal(160)]})
    books.add_rates(actor=owner, table=table, source="test")
    few, many = issue(customer, 160_000, 161_000, currency="JPY")
    actions.write_off(actor=actor_of(anton), invoice_ids=[few], on=DAY, reason="Gone")
    with pytest.raises(actions.NeedsSecondPerson, match=r"1,006.25 EUR"):
        actions.write_off(actor=actor_of(anton), invoice_ids=[many], on=DAY, reason="Gone")


def give_up(member, invoice, on=DAY):
    return actions.write_off(actor=actor_of(member), invoice_ids=[invoice], on=on, reason="Gone")


def test_parts_one_after_another_do_not_go_round_the_second_person(anton, person, owner, customer, make_customers, issue):
    bertha = person("Bertha", "Approver")
    first, second, third = issue(customer, 600_00, 400_00, 1)
    give_up(anton, first)
    give_up(bertha, second)
    said = "0.01 EUR is more than one person may write off: 1,000.00 EUR was given up alone for this customer within a year"
    for member, day in ((anton, DAY), (bertha, DAY), (anton, date(2027, 8, 31))):
        with pytest.raises(actions.NeedsSecondPerson, match=said):
            give_up(member, third, on=day)
    assert not is_written_off(third)
    (other,) = issue(make_customers("Initech")[0], LIMIT)
    give_up(anton, other)
    give_up(anton, third, on=date(2027, 9, 1))
    assert is_written_off(third)


def test_an_earlier_day_on_the_write_off_hides_nothing(anton, customer, issue):
    first, second = issue(customer, LIMIT, 1)
    give_up(anton, first)
    with pytest.raises(actions.NeedsSecondPerson):
        give_up(anton, second, on=date(2026, 6, 1))


def test_records_of_one_customer_count_together(anton, owner, customer, make_customers, issue):
    (second,) = make_customers("Globex Ltd")
    (first,), (other,) = issue(customer, LIMIT), issue(second, 1)
    give_up(anton, first)
    market.merge_customers(actor=owner, keep_id=second, merge_id=customer)
    with pytest.raises(actions.NeedsSecondPerson):
        give_up(anton, other)


def test_what_two_people_gave_up_and_what_was_reopened_does_not_count(clara, anton, owner, customer, issue, large):
    write_offs.approve_write_off(actor=actor_of(anton), proposal_id=propose(clara, large), on=DAY)
    first, second, third = issue(customer, LIMIT, LIMIT, 1)
    made = give_up(anton, first)
    with pytest.raises(actions.NeedsSecondPerson):
        give_up(anton, third)
    actions.unapply(actor=owner, allocation_ids=made["allocation_id"].to_list(), on=DAY)
    give_up(anton, second)
    assert is_written_off(second)


def test_a_proposal_books_nothing_until_another_person_approves_it(clara, anton, large):
    proposal = propose(clara, large)
    assert not is_written_off(large) and not Allocation.objects.exists()
    write_offs.approve_write_off(actor=actor_of(anton), proposal_id=proposal, on=DAY)
    assert is_written_off(large)
    assert Allocation.objects.get().amount_minor == LIMIT + 1
    decided = WriteOffProposal.objects.get()
    assert (decided.state, decided.proposed_by_key, decided.decided_by_key) == (
        "approved",
        f"member:{clara.pk}",
        f"member:{anton.pk}",
    )
    with pytest.raises(write_offs.ProposalDecided):
        write_offs.approve_write_off(actor=actor_of(anton), proposal_id=proposal, on=DAY)


def test_nobody_approves_their_own_and_only_those_who_may(clara, anton, large):
    proposal = propose(anton, large)
    with pytest.raises(write_offs.SamePerson):
        write_offs.approve_write_off(actor=actor_of(anton), proposal_id=proposal, on=DAY)
    with pytest.raises(PermissionMissing):
        write_offs.approve_write_off(actor=actor_of(clara), proposal_id=proposal, on=DAY)
    with pytest.raises(IntegrityError), transaction.atomic():
        WriteOffProposal.objects.update(state="approved", decided_by_key=f"member:{anton.pk}")
    assert not is_written_off(large)


def test_a_refusal_says_why_and_leaves_the_invoice_to_be_proposed_again(clara, anton, large):
    first = propose(clara, large)
    with pytest.raises(write_offs.AlreadyProposed):
        propose(clara, large)
    with pytest.raises(Invalid, match="why not"):
        write_offs.refuse_write_off(actor=actor_of(anton), proposal_id=first, on=DAY, reason=" ")
    write_offs.refuse_write_off(actor=actor_of(anton), proposal_id=first, on=DAY, reason="Call them first")
    assert WriteOffProposal.objects.get().refused_because == "Call them first" and not is_written_off(large)
    assert propose(clara, large) != first


def test_what_was_paid_since_is_not_given_up_and_more_than_was_proposed_is_not_either(
    clara, anton, owner, customer, issue, pay, apply, large
):
    payment = pay(customer, 400_00)
    proposal = propose(clara, large)
    apply(payment, large, 400_00)
    write_offs.approve_write_off(actor=actor_of(anton), proposal_id=proposal, on=DAY)
    assert Allocation.objects.get(kind="write_off").amount_minor == 600_01
    (other,) = issue(customer, LIMIT + 1)
    payment = pay(customer, 400_00)
    allocation = apply(payment, other, 400_00)["allocation_id"].to_list()
    proposal = propose(clara, other)
    actions.unapply(actor=owner, allocation_ids=allocation, on=DAY)
    with pytest.raises(Conflict, match=r"1,000.01 EUR is open by now, 600.01 EUR was proposed"):
        write_offs.approve_write_off(actor=actor_of(anton), proposal_id=proposal, on=DAY)
    assert not is_written_off(other)


def test_only_an_open_invoice_is_proposed_and_with_a_reason(clara, owner, large):
    with pytest.raises(Invalid, match="needs a reason"):
        propose(clara, large, reason=" ")
    proposal = propose(clara, large)
    write_offs.approve_write_off(actor=owner, proposal_id=proposal, on=DAY)
    with pytest.raises(actions.DocumentNotOpen):
        propose(clara, large)


def test_it_is_proposed_on_the_invoice_and_decided_on_the_page_of_write_offs(clara, anton, customer, issue, large):
    def browser(member):
        client = Client()
        client.force_login(member)
        return client

    collector, approver = browser(clara), browser(anton)
    page = collector.get(f"/invoices/{large}/").content.decode()
    assert "Propose a write-off" in page and f"/invoices/{large}/write-off/" not in page
    refused = approver.post(f"/invoices/{large}/write-off/", {"reason": "Insolvent"})
    assert refused.status_code == 409 and "more than one person may write off" in refused.content.decode()
    assert collector.post(f"/invoices/{large}/propose-write-off/", {"reason": "Insolvent"}).status_code == 302
    (other,) = issue(customer, LIMIT + 2)
    collector.post(f"/invoices/{other}/propose-write-off/", {"reason": "Gone"})
    first, second = WriteOffProposal.objects.order_by("id").values_list("id", flat=True)
    seen = collector.get("/write-offs/").content.decode()
    assert "1,000.01 EUR" in seen and "Clara" in seen and "/approve/" not in seen
    assert collector.post(f"/write-offs/{first}/approve/").status_code == 403
    assert f"/write-offs/{first}/approve/" in approver.get("/write-offs/").content.decode()
    assert approver.post(f"/write-offs/{first}/approve/").status_code == 302
    assert approver.post(f"/write-offs/{second}/refuse/", {"reason": "Call first"}).status_code == 302
    assert is_written_off(large) and not is_written_off(other)
    assert "Refused: Call first" in approver.get("/write-offs/").content.decode()
