"""`topline interest`: what may be claimed for paying late, in a terminal and as JSON, and the note that claims it."""

from __future__ import annotations

import json
from datetime import date

import pytest

from topline.billing.models import Invoice
from topline.books.models import Entity
from topline.cli import collecting
from topline.kernel import clock
from topline.kernel.errors import NotFound
from topline.market.models import Customer


@pytest.fixture
def number(owner, entity, make_customers, issue):
    Entity.objects.filter(pk=entity.pk).update(country="FR")
    (customer,) = make_customers("Late")
    issue(customer, 2_000_00, on=date(2026, 3, 1))
    with clock.at(date(2026, 4, 20)):
        yield Customer.objects.get(pk=customer).number


def interest(customer, **said):
    collecting.interest(
        **{"customer": customer, "company": "", "until": "", "claim": False, "send": False, "as_json": False, **said}
    )


def test_what_may_be_claimed_is_told_and_claimed_once(number, capsys):
    interest(number)
    told = capsys.readouterr().out
    assert "11.12" in told and "10.15" in told and "40.00" in told
    assert not Invoice.objects.filter(kind="interest").exists()
    interest(number, claim=True, as_json=True)
    note = Invoice.objects.get(kind="interest")
    assert json.loads(capsys.readouterr().out)["notes"] == [note.pk] and note.total_minor == 51_12
    interest(number, claim=True)
    assert "Nothing is late" in capsys.readouterr().out
    assert Invoice.objects.filter(kind="interest").count() == 1


def test_a_customer_that_is_not_there_is_refused(number):
    with pytest.raises(NotFound):
        interest("C-404", claim=True)
    assert not Invoice.objects.filter(kind="interest").exists()
