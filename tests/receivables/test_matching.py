"""Cash application in the books: certain matches post, doubtful ones wait, people teach it, and no money is booked twice."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import polars as pl
import pytest

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.bank.models import StatementLine
from topline.billing.models import Invoice
from topline.books import actions as books
from topline.books.models import Entity
from topline.kernel.errors import Invalid
from topline.market.models import CustomerAlias
from topline.receivables import actions, matching, returns
from topline.receivables.models import Allocation, MatchProposal, Payment
from topline.timeline import queries as timeline

DAY = date(2026, 3, 25)


@pytest.fixture
def globex(make_customers):
    return make_customers("Globex AG")[0]


@pytest.fixture
def receive(owner, entity):
    """Record a payment as a file would bring it; returns its id."""

    def make(amount, payer="Globex AG", reference="", *, on=date(2026, 3, 20), currency="EUR", customer_id=None, **more):
        row = {
            "customer_id": customer_id,
            "currency": currency,
            "amount_minor": amount,
            "received_on": on,
            "payer_name": payer,
            "reference": reference,
            **more,
        }
        frame = pl.DataFrame([row], schema_overrides={"customer_id": pl.Int64})
        return actions.record_payments(actor=owner, entity_id=entity.pk, payments=frame)["payment_id"][0]

    return make


@pytest.fixture
def match(owner, entity):
    return lambda: matching.match_payments(actor=owner, entity_id=entity.pk, as_of=DAY)


@pytest.fixture
def account(owner, entity):
    return bank.add_account(actor=owner, entity_id=entity.pk, name="Main", number="DE02120300000000202051", currency="EUR")


@pytest.fixture
def statement(owner, entity, account):
    """Take in a statement of credits: (amount, payer, text, payer's account)."""

    def make(*rows, on=date(2026, 3, 20)):
        entries = tuple(
            StatementEntry(
                amount_minor=a,
                currency="EUR",
                booked_on=on,
                counterparty_name=p,
                remittance_information=t,
                counterparty_account=n,
            )
            for a, p, t, n in rows
        )
        one = Statement(
            account="DE02120300000000202051", currency="EUR", entries=entries, opening_minor=0,
            closing_minor=sum(a for a, *_ in rows), opening_on=on, closing_on=on, statement_id="1",
        )  # fmt: skip
        bank.import_statements(
            actor=owner, entity_id=entity.pk, statements=[one], file_name="march.xml", file_sha256="0" * 64, format="camt.053"
        )

    return make


def number(invoice_id):
    return Invoice.objects.get(pk=invoice_id).number


def paid(*invoice_ids):
    return [Invoice.objects.get(pk=i).state == "paid" for i in invoice_ids]


def test_a_payment_that_names_its_invoice_is_applied_and_a_second_run_does_nothing(globex, issue, receive, match):
    (invoice,) = issue(globex, 11_900)
    receive(11_900, reference=f"Invoice {number(invoice)}")
    assert match()["state"].to_list() == ["posted"]
    assert paid(invoice) == [True]
    assert match().is_empty()
    assert (Allocation.objects.count(), MatchProposal.objects.count()) == (1, 1)


def test_one_payment_settles_the_several_invoices_that_it_names(globex, issue, receive, match):
    a, b = issue(globex, 3_000, 5_050)
    receive(8_050, reference=f"{number(a)}, {number(b)}")
    match()
    assert paid(a, b) == [True, True]


def test_a_short_payment_within_its_discount_terms_closes_the_invoice(globex, issue, receive, match):
    (invoice,) = issue(globex, 10_000, on=date(2026, 3, 15), terms="2/10 net 30")
    receive(9_800, reference=number(invoice))
    match()
    assert paid(invoice) == [True]
    assert list(Allocation.objects.order_by("kind").values_list("kind", "amount_minor")) == [
        ("discount", 200),
        ("payment", 9_800),
    ]


def test_a_cent_and_one_of_ten_equal_amounts_both_wait_with_their_reason(globex, issue, receive, match, entity):
    issue(globex, *[10_000] * 10)
    cent = receive(1)
    doubtful = receive(10_000)
    assert match().select("payment_id", "state").rows() == [(cent, "waiting"), (doubtful, "waiting")]
    first, second = matching.shown(matching.queue(entity.pk)[:10], as_of=DAY)
    assert (first["payment_id"], "More than one" in first["reason"]) == (doubtful, True)
    assert (second["payment_id"], second["links"], second["reason"][:21]) == (cent, [], "No open item is named")
    assert match().is_empty()
    assert not Allocation.objects.exists()


def test_a_payment_in_another_currency_is_never_applied_by_itself(owner, entity, globex, issue, receive, match):
    table = pl.DataFrame(
        {"on": [date(2026, 3, 1)], "currency": ["USD"], "per_euro": [Decimal("1.1")]},
        schema_overrides={"per_euro": pl.Decimal(20, 9)},
    )
    books.add_rates(actor=owner, table=table, source="test")
    (invoice,) = issue(globex, 10_000)
    receive(10_000, reference=number(invoice), currency="USD")
    assert match()["state"].to_list() == ["waiting"]
    assert paid(invoice) == [False]


def test_a_confirmed_match_teaches_the_payer(owner, entity, globex, issue, statement, match):
    a, b = issue(globex, 10_000, 7_700)
    statement((6_000, "Holding X Treasury", number(a), "DE75512108001245126199"))
    matching.book_bank_lines(actor=owner, entity_id=entity.pk)
    match()
    (waiting,) = matching.queue(entity.pk)[:5]
    matching.confirm_match(actor=owner, proposal_id=waiting.pk, on=DAY)
    assert set(CustomerAlias.objects.filter(customer_id=globex, source="confirmed match").values_list("kind", flat=True)) == {
        "payer",
        "iban",
    }
    with pytest.raises(matching.ProposalDecided):
        matching.confirm_match(actor=owner, proposal_id=waiting.pk, on=DAY)
    receive = pl.DataFrame({"customer_id": [None], "currency": ["EUR"], "amount_minor": [7_700], "received_on": [DAY], "payer_name": ["HOLDING X TREASURY"]},
                           schema_overrides={"customer_id": pl.Int64})  # fmt: skip
    actions.record_payments(actor=owner, entity_id=entity.pk, payments=receive)
    match()
    assert paid(b) == [True]


def test_money_applied_by_hand_teaches_its_payer_and_undoing_it_forgets(owner, entity, globex, issue, statement, receive, match):
    a, b, c = issue(globex, 10_000, 7_700, 5_500)
    statement((4_100, "Holding X Treasury", "thanks", "DE75512108001245126199"))
    payment = matching.book_bank_lines(actor=owner, entity_id=entity.pk)["payment_id"][0]
    learned = CustomerAlias.objects.filter(customer_id=globex).exclude(source="customer")
    links = pl.DataFrame({"payment_id": [payment], "invoice_id": [a], "amount_minor": [4_100]})
    done = actions.apply_cash(actor=owner, links=links, on=DAY, teaches="applied by hand")
    assert set(learned.values_list("kind", "value")) == {("payer", "Holding X Treasury"), ("iban", "DE75512108001245126199")}
    receive(7_700, payer="HOLDING X TREASURY")
    match()
    assert paid(b) == [True]
    actions.unapply(actor=owner, allocation_ids=done["allocation_id"].to_list(), on=DAY)
    assert not learned.exists() and CustomerAlias.objects.filter(customer_id=globex, source="customer").exists()
    receive(5_500, payer="HOLDING X TREASURY")
    match()
    assert paid(c) == [False]


def test_money_meant_for_a_sister_company_waits(owner, entity, globex, issue, receive, match):
    Entity.objects.filter(pk=entity.pk).update(name="Northern Imports GmbH")
    ours, theirs = issue(globex, 10_000, 7_000)
    receive(10_000, reference=f"Northern Imports GmbH, {number(ours)}")
    receive(7_000, reference=f"{number(theirs)} Northern Imports Overseas")
    assert sorted(match()["state"]) == ["posted", "waiting"]
    assert "sister company" in matching.queue(entity.pk)[0].reason


def test_what_was_rejected_is_not_proposed_again(owner, entity, globex, issue, receive, match):
    (invoice,) = issue(globex, 10_000)
    payment = receive(6_000, reference=number(invoice))
    match()
    (waiting,) = matching.queue(entity.pk)[:5]
    assert matching.reject_match(actor=owner, proposal_id=waiting.pk) == payment
    assert match().is_empty()
    assert not matching.queue(entity.pk).exists()


def test_money_that_nothing_fits_waits_until_it_is_applied_by_hand_or_left(owner, entity, globex, issue, receive, match):
    (invoice,) = issue(globex, 10_000)
    by_hand, left = receive(4_100), receive(5_300)
    assert match()["state"].to_list() == ["waiting", "waiting"]
    assert match().is_empty()
    with pytest.raises(Invalid, match="names nothing"):
        matching.confirm_match(actor=owner, proposal_id=matching.queue(entity.pk).get(payment_id=by_hand).pk, on=DAY)
    links = pl.DataFrame({"payment_id": [by_hand], "invoice_id": [invoice], "amount_minor": [4_100]})
    actions.apply_cash(actor=owner, links=links, on=DAY)
    matching.reject_match(actor=owner, proposal_id=matching.queue(entity.pk).get(payment_id=left).pk)
    assert not matching.queue(entity.pk).exists()
    assert match().is_empty()


def test_money_that_waited_for_nothing_is_applied_once_its_invoice_is_there(globex, issue, receive, match):
    receive(10_000)
    assert match()["state"].to_list() == ["waiting"]
    (invoice,) = issue(globex, 10_000)
    assert match()["state"].to_list() == ["posted"]
    assert paid(invoice) == [True]


def test_an_undone_match_counts_as_wrong_and_is_not_posted_again(owner, entity, globex, issue, receive, match):
    a, b = issue(globex, 10_000, 5_000)
    receive(10_000, reference=number(a))
    receive(5_000, reference=number(b))
    match()
    (first,) = Allocation.objects.filter(invoice_id=a)
    actions.unapply(actor=owner, allocation_ids=[first.pk], on=DAY)
    assert match()["state"].to_list() == ["waiting"]
    week = matching.quality(entity.pk).row(0, named=True)
    assert (week["posted"], week["undone"], week["precision"]) == (2, 1, 0.5)


def test_a_returned_payment_opens_its_invoice_again_and_is_not_matched(owner, entity, globex, issue, receive, match):
    (invoice,) = issue(globex, 10_000)
    payment = receive(10_000, reference=number(invoice))
    match()
    actions.return_payments(actor=owner, payment_ids=[payment], on=DAY)
    assert paid(invoice) == [False]
    assert match().is_empty()
    assert matching.quality(entity.pk)["precision"].to_list() == [1.0]


def test_a_debit_that_takes_money_back_names_the_payment_and_opens_its_invoice(owner, entity, globex, issue, statement, match):
    a, b = issue(globex, 10_000, 10_000)
    statement(
        (10_000, "Globex AG", number(a), ""),
        (10_000, "Initech", number(b), ""),
        (-10_000, "Bank", "Return of direct debit GLOBEX AG", ""),
        (-10_000, "Landlord", "Rent", ""),
    )
    matching.book_bank_lines(actor=owner, entity_id=entity.pk)
    match()
    (line,) = returns.taken_back(entity_id=entity.pk, as_of=DAY)
    assert [c["payer"] for c in line["choices"]] == ["Globex AG", "Initech"]
    first = line["choices"][0]["payment_id"]
    assert paid(a) == [True]
    actions.return_payments(actor=owner, payment_ids=[first], on=line["booked_on"], line_id=line["line_id"])
    assert paid(a) == [False]
    assert StatementLine.objects.get(pk=line["line_id"]).payment_id == first
    assert returns.taken_back(entity_id=entity.pk, as_of=DAY) == []
    assert matching.book_bank_lines(actor=owner, entity_id=entity.pk).is_empty()


def test_whoever_was_told_of_a_payment_is_told_that_it_came_back_and_what_is_open_again(
    owner, entity, globex, issue, receive, match
):
    (invoice,) = issue(globex, 10_000)
    payment = receive(10_000, reference=number(invoice), customer_id=globex)
    match()
    told = lambda: timeline.milestones(customer_ids=[globex], only_visible_to_customer=True)["kind"].to_list()  # noqa: E731
    assert {"payment_received", "payment_applied", "invoice_paid"} <= set(told())
    actions.return_payments(actor=owner, payment_ids=[payment], on=DAY, reason="No funds")
    assert {"payment_returned", "invoice_reopened"} <= set(told())


def test_the_same_money_told_by_two_banks_settles_its_invoice_at_most_once(owner, entity, globex, issue, match):
    (invoice,) = issue(globex, 10_000)
    for number_of, name in (("DE02120300000000202051", "Main"), ("DE02500105170137075030", "Second")):
        bank.add_account(actor=owner, entity_id=entity.pk, name=name, number=number_of, currency="EUR")
        entry = StatementEntry(
            amount_minor=10_000, currency="EUR", booked_on=date(2026, 3, 20), counterparty_name="Globex AG", remittance_information=number(invoice)
        )  # fmt: skip
        one = Statement(
            account=number_of, currency="EUR", entries=(entry,), opening_minor=0, closing_minor=10_000, opening_on=date(2026, 3, 20),
            closing_on=date(2026, 3, 20), statement_id="1",
        )  # fmt: skip
        bank.import_statements(
            actor=owner, entity_id=entity.pk, statements=[one], file_name=name, file_sha256=name, format="camt.053"
        )
    assert matching.book_bank_lines(actor=owner, entity_id=entity.pk).height == 2
    assert set(match()["state"]) <= {"waiting"}
    assert paid(invoice) == [False]  # two candidates for one debt: a person says which it is
    rows = matching.shown(matching.queue(entity.pk)[:5], as_of=DAY)
    assert {r["payment"]: r["remarks"] for r in rows} == {
        "PAY-000001": ["Second tells of the same as PAY-000002: the same money?"],
        "PAY-000002": ["Main tells of the same as PAY-000001: the same money?"],
    }


def test_a_bank_line_is_booked_once_though_its_payment_came_in_before(
    owner, entity, globex, issue, receive, statement, account, match
):
    a, b = issue(globex, 10_000, 4_000)
    known = receive(10_000, payer="GLOBEX", on=date(2026, 3, 18), bank_account_id=account)
    statement((10_000, "Globex AG", number(a), ""), (4_000, "Globex AG", number(b), ""))
    done = matching.book_bank_lines(actor=owner, entity_id=entity.pk)
    assert sorted(done["booked"].to_list()) == [False, True]
    assert matching.book_bank_lines(actor=owner, entity_id=entity.pk).is_empty()
    assert Payment.objects.count() == 2
    assert StatementLine.objects.get(payment_id=known).amount_minor == 10_000
    match()
    assert paid(a, b) == [True, True]


def test_a_line_that_may_be_a_payment_of_another_name_is_left_open(owner, entity, globex, receive, statement, account):
    receive(10_000, payer="", bank_account_id=account)
    statement((10_000, "Globex AG", "", ""))
    assert matching.book_bank_lines(actor=owner, entity_id=entity.pk).is_empty()
    assert StatementLine.objects.get().state == "open"


def test_ten_kilobytes_of_mixed_scripts_still_name_their_invoice(owner, entity, globex, issue, statement, match):
    (invoice,) = issue(globex, 10_000)
    noise = "Ωμέγα Счёт 請求書 שלום \U0001f4b6 " * 330
    statement((10_000, "Globex AG", f"{noise} {number(invoice)}", ""))
    matching.book_bank_lines(actor=owner, entity_id=entity.pk)
    match()
    assert paid(invoice) == [True]


def test_the_page_confirms_a_row_and_moves_to_the_next(owner, entity, globex, issue, receive, match, client):
    from topline.team import actions as team
    from topline.team.models import Member

    a, b = issue(globex, 10_000, 7_000)
    receive(6_000, reference=number(a))
    receive(5_000, reference=number(b))
    odd = receive(4_321)
    match()
    client.force_login(
        Member.objects.get(
            pk=team.add_member(
                actor=owner, email="c@example.com", name="C", roles=["Collections"], password="long enough words 42"
            )
        )
    )
    shown = client.get("/payments/match/").content.decode()
    assert (shown.count(">Confirm</button>"), shown.count("autofocus>Confirm"), number(a) in shown) == (2, 1, True)
    assert shown.count(f'href="/payments/{odd}/" aria-label="Apply') == 1
    assert "leaves 40.00 open" in shown and "100 %" not in shown
    assert [shown.count(f'data-press="{key}"') for key in "oxnb"] == [1, 1, 1, 0]
    first, second, third = matching.queue(entity.pk)[:5]
    answer = client.post(f"/payments/match/{first.pk}/confirm/", {"row": "0"}, follow=True)
    assert answer.content.decode().count(">Confirm</button>") == 1
    client.post(f"/payments/match/{second.pk}/reject/", {"row": "0"})
    assert "autofocus>Apply by hand" in client.get("/payments/match/").content.decode()
    client.post(f"/payments/match/{third.pk}/reject/", {"row": "0"})
    assert "No payment waits" in client.get("/payments/match/").content.decode()
    (amount,) = Allocation.objects.values_list("amount_minor", flat=True)
    assert amount in (6_000, 5_000)
    assert "confirmed by a person" in client.get(f"/payments/{first.payment_id}/").content.decode()
    client.post(f"/payments/match/{first.pk}/undo/")
    assert sum(Allocation.objects.values_list("amount_minor", flat=True)) == 0
    told = client.post(f"/payments/match/{first.pk}/undo/", follow=True).content.decode()
    assert "Nothing of this match stands any more" in told and "Applied lately" not in told
