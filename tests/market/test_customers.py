"""Customers: who they are, under which names they are found, and two records that turn out to be one."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from topline.books import queries as books
from topline.kernel.errors import Invalid, NotFound
from topline.market import actions, queries
from topline.market.models import Address, Customer
from topline.receivables import figures, statements
from topline.timeline import queries as timeline


def add(owner, **columns):
    frame = pl.DataFrame({"name": ["Globex"], "currency": ["EUR"], **{k: [v] for k, v in columns.items()}})
    return actions.add_customers(actor=owner, customers=frame)["customer_id"][0]


@pytest.mark.parametrize(
    ("tax_id", "country"),
    [("DE136695976", "DE"), ("136695976", "DE"), ("ATU13585627", "AT"), ("EL094259216", "GR"), ("", "DE"), ("whatever", "TW")],
)
def test_a_tax_id_with_the_right_check_digits_is_kept(owner, tax_id, country):
    assert Customer.objects.get(pk=add(owner, tax_id=tax_id, country=country)).tax_id == tax_id


@pytest.mark.parametrize(("tax_id", "country"), [("DE136695978", "DE"), ("DE12", "DE"), ("136695978", "DE"), ("ATU13585626", "")])
def test_a_tax_id_with_wrong_check_digits_is_refused_and_nobody_is_added(owner, tax_id, country):
    with pytest.raises(actions.TaxIdInvalid, match="no valid tax id"):
        add(owner, tax_id=tax_id, country=country)
    assert not Customer.objects.exists()


def test_a_changed_country_is_checked_against_the_tax_id_that_is_there(owner):
    customer = add(owner, tax_id="136695976", country="DE")
    with pytest.raises(actions.TaxIdInvalid):
        actions.change_customer(actor=owner, customer_id=customer, changes={"country": "AT"})
    assert Customer.objects.get(pk=customer).country == "DE"


def test_a_country_is_one_and_is_kept_in_capitals(owner):
    made = actions.add_customers(
        actor=owner, customers=pl.DataFrame({"name": ["Kranich"], "currency": ["EUR"], "country": ["de"]})
    )["customer_id"][0]
    assert Customer.objects.get(pk=made).country == "DE"
    with pytest.raises(Invalid, match="XX is no country code"):
        actions.change_customer(actor=owner, customer_id=made, changes={"country": "XX"})
    with pytest.raises(Invalid, match="ZZ is no country code"):
        actions.add_customers(actor=owner, customers=pl.DataFrame({"name": ["Reiher"], "currency": ["EUR"], "country": ["ZZ"]}))
    with pytest.raises(Invalid, match="UK is no country code"):
        actions.add_address(actor=owner, customer_id=made, line1="1 High Street", country="UK")
    actions.add_address(actor=owner, customer_id=made, line1="1 High Street", country="gb")
    assert [a.country for a in Address.objects.filter(customer_id=made)] == ["GB"] and Customer.objects.count() == 1


def test_a_number_is_given_once(owner):
    add(owner, number="C-1")
    with pytest.raises(actions.CustomerNumberTaken, match="C-1"):
        add(owner, number="C-1")
    with pytest.raises(actions.CustomerNumberTaken):
        frame = pl.DataFrame({"name": ["A", "B"], "currency": ["EUR", "EUR"], "number": ["C-2", "C-2"]})
        actions.add_customers(actor=owner, customers=frame)
    assert Customer.objects.count() == 1


def test_a_customer_is_found_by_number_name_and_alias_and_never_by_a_guess(owner, make_customers):
    globex, one, _ = make_customers("Globex AG", "Twin GmbH", "Twin GmbH")
    actions.add_alias(actor=owner, customer_id=globex, value="GLX Holdings")
    number = Customer.objects.get(pk=one).number
    found = dict(queries.find(pl.Series(["globex ag", "GLX holdings", number, "Twin GmbH", "Nobody"])).iter_rows())
    assert found == {"globex ag": globex, "GLX holdings": globex, number: one, "Twin GmbH": None, "Nobody": None}


def test_a_customer_cannot_stand_below_itself(owner, make_customers):
    top, middle, low = make_customers("A", "B", "C")
    actions.change_customer(actor=owner, customer_id=middle, changes={"parent_id": top})
    actions.change_customer(actor=owner, customer_id=low, changes={"parent_id": middle})
    with pytest.raises(Invalid, match="below itself"):
        actions.change_customer(actor=owner, customer_id=top, changes={"parent_id": low})
    with pytest.raises(Invalid, match="no customer 999"):
        actions.change_customer(actor=owner, customer_id=top, changes={"parent_id": 999})


def test_likely_duplicates_are_offered_with_the_reason_and_strangers_are_not(owner, make_customers):
    a, b, c, d, _ = make_customers("Globex GmbH", "GLOBEX gmbh", "Initech Software", "Initech Softwares", "Umbrella")
    pairs = {(row["keep_id"], row["merge_id"]): row["reason"] for row in queries.duplicates().iter_rows(named=True)}
    assert set(pairs) == {(a, b), (c, d)}
    assert pairs[a, b] == "same name"
    for customer in (a, c):
        actions.change_customer(actor=owner, customer_id=customer, changes={"tax_id": "DE136695976"})
    assert (a, c) in {(row["keep_id"], row["merge_id"]) for row in queries.duplicates().iter_rows(named=True)}


def test_merging_loses_nothing_and_moves_no_cent(owner, entity, make_customers, issue, pay, apply):
    keep, merge = make_customers("Globex GmbH", "Globex Gmbh & Co")
    (paid, still) = issue(merge, 5_000, 700)
    apply(pay(merge, 9_000), paid, 5_000)
    issue(keep, 300)
    actions.add_contact(actor=owner, customer_id=merge, name="Ann", email="ann@globex.example")
    actions.add_address(actor=owner, customer_id=merge, line1="Main Street 1")
    actions.add_alias(actor=owner, customer_id=merge, value="GLX")
    actions.change_customer(actor=owner, customer_id=make_customers("Daughter")[0], changes={"parent_id": merge})
    day = date(2026, 3, 31)
    ledger = books.trial_balance(entity_id=entity.pk)
    milestones = timeline.milestones(customer_ids=[keep, merge], limit=500)["id"].to_list()
    before = figures.aged(entity_id=entity.pk, as_of=day).total_minor("EUR")

    actions.merge_customers(actor=owner, keep_id=keep, merge_id=merge)

    assert books.trial_balance(entity_id=entity.pk).equals(ledger)
    aged = figures.aged(entity_id=entity.pk, as_of=day)
    assert aged.customers.select("customer_id", "total_minor").rows() == [(keep, before)]
    assert before == 700 + 300 - 4_000
    detail = queries.customer_detail(merge)
    assert (detail.customer.pk, detail.ids) == (keep, [keep, merge])
    assert [c.name for c in detail.contacts] == ["Ann"]
    assert [a.line1 for a in detail.addresses] == ["Main Street 1"]
    assert {a.value for a in detail.aliases} >= {"GLX", "Globex GmbH", "Globex Gmbh & Co"}
    assert [c.name for c in detail.children] == ["Daughter"]
    assert set(milestones) < set(timeline.milestones(customer_ids=detail.ids, limit=500)["id"].to_list())
    assert dict(queries.find(pl.Series(["GLX", "Globex GmbH"])).iter_rows()) == {"GLX": keep, "Globex GmbH": keep}
    statement = statements.statement_of_account(entity_id=entity.pk, customer_ids=detail.ids, since=date(2026, 1, 1), until=day)
    assert statement["balance_minor"][-1] == before
    assert still in statement["invoice_id"].to_list()


def test_what_cannot_be_merged_is_refused(owner, make_customers):
    a, b, c = make_customers("A", "B", "C")
    with pytest.raises(actions.CannotMerge, match="itself"):
        actions.merge_customers(actor=owner, keep_id=a, merge_id=a)
    actions.change_customer(actor=owner, customer_id=a, changes={"parent_id": b})
    with pytest.raises(actions.CannotMerge, match="parent"):
        actions.merge_customers(actor=owner, keep_id=a, merge_id=b)
    actions.merge_customers(actor=owner, keep_id=b, merge_id=c)
    with pytest.raises(actions.CannotMerge, match="was merged"):
        actions.merge_customers(actor=owner, keep_id=a, merge_id=c)
    with pytest.raises(NotFound):
        actions.merge_customers(actor=owner, keep_id=a, merge_id=999)


def test_three_records_merged_in_a_row_all_answer_with_the_last(owner, make_customers):
    a, b, c = make_customers("A", "B", "C")
    actions.merge_customers(actor=owner, keep_id=b, merge_id=a)
    actions.merge_customers(actor=owner, keep_id=c, merge_id=b)
    assert {queries.customer_detail(i).customer.pk for i in (a, b, c)} == {c}
    assert queries.record_ids(c) == [c, a, b]
