"""Cash application heeds what customers said: a disputed document is settled by a person, and what was said stands beside it."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from topline.billing.models import Invoice
from topline.collections import actions
from topline.receivables import actions as receivables
from topline.receivables import matching, remarks

DAY = date(2026, 3, 25)


@pytest.fixture
def paid_for(owner, entity, make_customers, issue):
    """Two invoices and a payment that names each; returns the invoices' ids."""
    (globex,) = make_customers("Globex AG")
    invoices = issue(globex, 11_900, 23_800)
    numbers = [Invoice.objects.get(pk=i).number for i in invoices]
    frame = pl.DataFrame(
        {"currency": "EUR", "amount_minor": [11_900, 23_800], "received_on": DAY, "payer_name": "Globex AG", "reference": numbers, "customer_id": globex}
    )  # fmt: skip
    receivables.record_payments(actor=owner, entity_id=entity.pk, payments=frame)
    return invoices


@pytest.fixture
def match(owner, entity):
    return lambda: matching.match_payments(actor=owner, entity_id=entity.pk, as_of=DAY)["state"].to_list()


def shown(entity):
    return matching.shown(matching.queue(entity.pk)[:10], as_of=DAY)


def test_a_disputed_invoice_waits_for_a_person_and_is_posted_once_the_dispute_is_over(owner, entity, paid_for, match):
    disputed, other = paid_for
    made = actions.raise_dispute(
        actor=owner, invoice_id=disputed, reason="not_delivered", amount_minor=100, raised_on=DAY, deadline_on=date(2026, 4, 1)
    )
    assert sorted(match()) == ["posted", "waiting"]
    assert [Invoice.objects.get(pk=i).state for i in (disputed, other)] == ["open", "paid"]
    (row,) = shown(entity)
    number = Invoice.objects.get(pk=disputed).number
    assert row["remarks"] == [f"{number}: disputed: not delivered"] and "disputed" in row["reason"]
    actions.resolve_dispute(actor=owner, dispute_id=made, state="paid", resolved_on=DAY, resolution="It had come")
    assert match() == ["posted"]
    assert Invoice.objects.get(pk=disputed).state == "paid"


def test_a_promise_holds_nothing_back_and_is_shown_where_a_match_waits(owner, entity, paid_for, match):
    first, second = paid_for
    customer = Invoice.objects.get(pk=first).customer_id
    items = pl.DataFrame({"invoice_id": [first, second], "amount_minor": [11_900, 23_800]})
    actions.record_promise(
        actor=owner, entity_id=entity.pk, customer_id=customer, due_on=date(2026, 4, 3), items=items, made_on=DAY
    )
    actions.raise_dispute(actor=owner, invoice_id=second, reason="price", raised_on=DAY, deadline_on=date(2026, 4, 1))
    assert sorted(match()) == ["posted", "waiting"]
    (row,) = shown(entity)
    assert [remark.partition(": ")[2] for remark in row["remarks"]] == ["disputed: price", "promised by 3 Apr"]


def test_a_room_registers_its_reader_once(entity):
    before = list(remarks._readers)
    for reader in before:
        remarks.register(reader)
    assert remarks._readers == before and before
    assert remarks.remarks(entity_id=entity.pk, as_of=DAY).is_empty()
