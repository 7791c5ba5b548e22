"""Prepaid credits: sold and given, drawn by bill runs, given back, carried over and expired; the ledger says what the wallets say, always."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import polars as pl
import pytest
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from topline.billing import actions as billing
from topline.billing import taxes
from topline.billing.models import Invoice
from topline.books import queries as books
from topline.books.actions import add_rates
from topline.books.models import Entity
from topline.contracts import actions, amendments, bills, drawing, runs, wallet_queries, wallets
from topline.contracts.models import Credit, CreditMove, Item, Wallet
from topline.flows import proofs
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid, NotFound
from topline.market import actions as market
from topline.market.models import Customer
from topline.metering import actions as metering
from topline.receivables import actions as receivables
from topline.receivables import figures, statements
from topline.receivables.models import Allocation
from topline.team.models import Task
from topline.timeline.models import Milestone

JAN, FEB, MAR, APR = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)
MICRO, NANO = 10**6, 10**9


@pytest.fixture(autouse=True)
def _home(owner, entity):
    """A company in Germany that knows its tax rate; after each test books and wallets agree."""
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 3, 2)):
        yield
        assert_agreed()


def assert_agreed():
    for proof in (
        proofs.prepaid_credits_equal_wallets,
        proofs.credits_equal_their_moves,
        proofs.receivables_equal_documents,
        proofs.allocations_add_up_to_documents,
    ):
        assert proof().is_empty(), proof().to_dicts()


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def sell(owner, entity, customer):
    def make(amount=None, **facts):
        told = {"customer_id": customer, "currency": "EUR", "name": "Pack", "issue_on": JAN, "amount_minor": amount} | facts
        return wallets.sell_credits(actor=owner, entity_id=entity.pk, **told)

    return make


@pytest.fixture
def grant(owner, entity, customer):
    def make(amount, **facts):
        told = {
            "customer_id": customer,
            "currency": "EUR",
            "name": "Gift",
            "on": JAN,
            "because": "An outage",
            "amount_minor": amount,
        } | facts
        return wallets.grant_credits(actor=owner, entity_id=entity.pk, **told)

    return make


@pytest.fixture
def sign(owner, entity, customer):
    def make(*items, **facts):
        usual = {"description": "Seat", "quantity_micro": MICRO, "unit_price_nano": 100_00 * NANO, "unit": "month"}
        told = {"customer_id": customer, "currency": "EUR", "starts_on": JAN, "ends_on": FEB} | facts
        return actions.add_contract(actor=owner, entity_id=entity.pk, items=[usual | item for item in (items or ({},))], **told)

    return make


@pytest.fixture
def bill(owner, entity):
    def make(as_of=JAN):
        return runs.run(actor=owner, entity_id=entity.pk, as_of=as_of)

    return make


@pytest.fixture
def meter(owner):
    return metering.add_meter(actor=owner, code="CALLS", name="Calls", method="sum", unit="calls")


def left(*ids):
    return [Credit.objects.get(pk=pk).left_minor for pk in ids]


def account(entity, role):
    return books.role_balances(entity_id=entity.pk, role=role).get("EUR", 0)


def billed():
    return Invoice.objects.filter(is_prepayment=False, kind="invoice").order_by("-id").first()


def test_sold_credits_are_a_liability_and_owed_without_tax(sell, entity):
    pk = sell(500_00, expires_on=date(2027, 1, 1))
    sold = Credit.objects.get(pk=pk)
    assert (sold.invoice.total_minor, sold.invoice.tax_minor, sold.invoice.state, sold.left_minor) == (500_00, 0, "open", 500_00)
    assert sold.invoice.lines.get().description == "Credits: Pack, to be used before 2027-01-01"
    assert (account(entity, "prepaid_credits"), account(entity, "receivable"), account(entity, "revenue")) == (-500_00, 500_00, 0)
    assert set(Milestone.objects.values_list("kind", flat=True)) >= {"invoice_issued", "credits_bought"}


def test_units_are_worth_money_rounded_once(sell):
    pk = sell(units_micro=1_333 * MICRO // 1, unit_nano=3_350_000_000, unit_name="credits")
    assert Credit.objects.get(pk=pk).amount_minor == 4466  # 1,333 x 3.35 cents = 4,465.55
    assert Credit.objects.get(pk=pk).invoice.lines.get().description == "1,333 credits: Pack"


def test_a_run_pays_tax_and_all_from_credits_and_revenue_is_where_it_would_be(sell, sign, bill, entity):
    pk = sell(500_00)
    sign()
    bill()
    paid = billed()
    assert (paid.total_minor, paid.from_credits_minor, paid.allocated_minor, paid.state) == (119_00, 119_00, 119_00, "paid")
    assert left(pk) == [381_00]
    assert (account(entity, "prepaid_credits"), account(entity, "revenue"), account(entity, "tax_payable")) == (
        -381_00,
        -100_00,
        -19_00,
    )
    move = CreditMove.objects.get(kind="drawn")
    assert (move.amount_minor, move.invoice_id, move.position, move.allocation.kind) == (-119_00, paid.pk, 1, "credits")
    bill()
    assert left(pk) == [381_00], "a second run draws nothing"
    assert Milestone.objects.filter(kind="credits_used", amount_minor=119_00).count() == 1


def test_what_credits_do_not_cover_stays_open(sell, sign, bill):
    pk = sell(50_00)
    sign()
    bill()
    assert (billed().state, billed().allocated_minor, left(pk)) == ("open", 50_00, [0])


def test_credits_are_used_by_priority_then_expiry_and_given_ones_lower_income(sell, grant, sign, bill, entity):
    late, soon, gift = (
        sell(40_00, expires_on=date(2027, 1, 1)),
        sell(40_00, expires_on=date(2026, 6, 1)),
        grant(60_00, priority=10),
    )
    sign()
    bill()
    assert left(late, soon, gift) == [21_00, 0, 0]
    assert (account(entity, "credits_granted"), account(entity, "prepaid_credits")) == (60_00, -21_00)
    kinds = dict(Allocation.objects.values_list("kind", "amount_minor"))
    assert kinds == {"granted": 60_00, "credits": 59_00}


def test_credits_pay_only_what_they_are_for(sell, sign, bill, meter, owner, make_customers):
    sign({"description": "Base"}, {"description": "Use", "meter_id": meter, "unit_price_nano": 100 * NANO})
    metering.record_events(
        actor=owner,
        events=pl.DataFrame(
            {"key": ["1"], "meter": ["CALLS"], "customer": ["Globex"], "at": [datetime(2026, 1, 5)], "value_micro": [50 * MICRO]}
        ),
    )
    other = sign({"description": "Other"})
    of_use, of_meter, of_fees, of_other = (
        sell(1_000_00, **of)
        for of in (
            {"pays_for": ["use"], "priority": 2},
            {"pays_for": [f"meter:{meter}"], "priority": 1, "amount_minor": 10_00},
            {"pays_for": ["fees"], "priority": 3, "amount_minor": 150_00},
            {"contract_id": other, "priority": 1},
        )
    )
    bill(FEB)
    assert left(of_use, of_meter, of_fees, of_other) == [1_000_00 - 49_50, 0, 150_00 - 119_00, 1_000_00 - 119_00]
    assert billed().state == "paid"


def test_another_currency_and_another_customer_pay_nothing(sell, sign, bill, make_customers, owner):
    (stranger,) = make_customers("Initech")
    pk = sell(500_00, customer_id=stranger)
    sign()
    bill()
    assert (billed().allocated_minor, left(pk)) == (0, [500_00])


def test_credits_of_a_merged_customer_go_on_paying(sell, sign, bill, make_customers, owner, customer):
    (old,) = make_customers("Globex Old")
    pk = sell(500_00, customer_id=old)
    market.merge_customers(actor=owner, keep_id=customer, merge_id=old)
    sign()
    bill()
    assert (billed().state, left(pk)) == ("paid", [381_00])


def test_an_invoice_with_a_line_that_gives_back_is_never_paid_beyond_its_total(sell, sign, bill, owner):
    pk = sell(1_000_00)
    made = sign({"ends_on": MAR}, {"description": "More"}, ends_on=MAR)
    bill()
    assert left(pk) == [1_000_00 - 238_00]
    amendments.amend(
        actor=owner, contract_id=made, kind="remove", on=date(2026, 1, 16), item_id=Item.objects.get(description="More").pk
    )
    bill(FEB)
    assert billed().lines.filter(net_minor__lt=0).exists()
    assert (billed().state, left(pk)) == ("paid", [1_000_00 - 238_00 - billed().total_minor])
    assert billed().total_minor == 119_00 - 61_42


def test_expired_credits_pay_nothing_and_become_breakage_less_what_is_carried_over(owner, sell, grant, sign, bill, entity):
    pk, gift = (
        sell(200_00, expires_on=date(2026, 1, 31), rollover_ppm=500_000, rollover_cap_minor=30_00),
        grant(10_00, expires_on=date(2026, 1, 31)),
    )
    assert wallets.expire_credits(actor=owner, entity_id=entity.pk, as_of=date(2026, 1, 30)) == 0
    assert wallets.expire_credits(actor=owner, entity_id=entity.pk, as_of=date(2026, 1, 31)) == 2
    assert wallets.expire_credits(actor=owner, entity_id=entity.pk, as_of=FEB) == 0, "twice changes nothing"
    again = Credit.objects.get(follows=pk)
    assert (left(pk, gift), again.left_minor, again.starts_on, again.expires_on, again.rollover_ppm) == (
        [0, 0],
        30_00,
        date(2026, 1, 31),
        date(2026, 3, 2),
        0,
    )
    assert (account(entity, "breakage"), account(entity, "prepaid_credits")) == (-170_00, -30_00)
    sign(starts_on=FEB, ends_on=MAR)
    bill(FEB)
    assert (billed().from_credits_minor, left(again.pk)) == (30_00, [0])
    assert wallets.expire_credits(actor=owner, entity_id=entity.pk, as_of=APR) == 1
    assert account(entity, "breakage") == -170_00


def test_a_credit_note_gives_back_what_credits_paid_and_no_more(owner, sell, sign, bill, entity):
    pk = sell(100_00)
    sign()
    bill()
    note = billing.credit_invoice(actor=owner, invoice_id=billed().pk, issue_on=FEB, total_minor=59_50, reason="Half of it")
    outbox.drain(HANDLERS)
    assert left(pk) == [59_50]
    assert Invoice.objects.get(pk=note).state == "paid" and account(entity, "prepaid_credits") == -59_50
    assert wallets.return_credits(actor=owner, credit_note_id=note, on=FEB) == 0, "twice changes nothing"
    rest = billing.credit_invoice(actor=owner, invoice_id=billed().pk, issue_on=FEB, reason="All of it")
    outbox.drain(HANDLERS)
    assert left(pk) == [100_00], "119.00 was credited, and 100.00 of it came from credits"
    assert Invoice.objects.get(pk=rest).allocated_minor == 40_50
    moved = statements.accounts(entity_id=entity.pk, since=JAN, until=FEB).row(0, named=True)
    assert (
        moved["opening_minor"] + moved["invoiced_minor"] + moved["credited_minor"] + moved["other_minor"]
        == moved["closing_minor"]
        == account(entity, "receivable")
    )


def test_what_a_run_gives_back_of_periods_that_credits_paid_goes_back_to_them(owner, sell, sign, bill):
    pk = sell(500_00)
    made = sign()
    bill()
    amendments.amend(actor=owner, contract_id=made, kind="terminate", on=date(2026, 1, 16))
    bill(FEB)
    note = Invoice.objects.get(kind="credit_note")
    outbox.drain(HANDLERS)
    assert note.total_minor == 61_42 and left(pk) == [500_00 - 119_00 + 61_42]


def test_what_comes_back_after_it_expired_begins_anew_for_the_days_it_had_left(owner, sell, sign, bill, entity):
    pk = sell(119_00, expires_on=date(2026, 1, 31))
    sign()
    bill()
    wallets.expire_credits(actor=owner, entity_id=entity.pk, as_of=FEB)
    billing.credit_invoice(actor=owner, invoice_id=billed().pk, issue_on=MAR, reason="Never used")
    outbox.drain(HANDLERS)
    again = Credit.objects.get(follows=pk)
    assert (left(pk), again.left_minor, again.is_paid, again.starts_on, again.expires_on) == (
        [0],
        119_00,
        True,
        MAR,
        date(2026, 3, 31),
    )
    assert account(entity, "breakage") == 0


def test_credits_that_paid_can_be_put_back_by_hand_and_the_invoice_is_open_again(owner, sell, sign, bill):
    pk = sell(500_00)
    sign()
    bill()
    with pytest.raises(receivables.PaidFromCredits):
        receivables.unapply(actor=owner, allocation_ids=[Allocation.objects.get().pk], on=JAN)
    assert wallets.put_credits_back(actor=owner, invoice_id=billed().pk, on=JAN, because="They want to pay") == 119_00
    assert (billed().state, billed().from_credits_minor, left(pk)) == ("open", 0, [500_00])
    assert wallets.pay_from_credits(actor=owner, invoice_id=billed().pk, on=JAN) == 119_00
    with pytest.raises(receivables.DocumentNotOpen):
        wallets.pay_from_credits(actor=owner, invoice_id=billed().pk, on=JAN)
    assert left(pk) == [381_00], "applied twice it is drawn once"
    billing.credit_invoice(actor=owner, invoice_id=billed().pk, issue_on=JAN, total_minor=19_00, reason="Goodwill")
    outbox.drain(HANDLERS)
    with pytest.raises(wallets.CreditsUsed, match="gave credits"):
        wallets.put_credits_back(actor=owner, invoice_id=billed().pk, on=JAN, because="Again")


def test_unused_credits_are_taken_back_by_a_credit_note_and_only_there(owner, sell, grant, entity):
    pk, gift = sell(500_00), grant(20_00)
    invoice = Credit.objects.get(pk=pk).invoice
    for refused in (
        lambda: billing.void_invoices(actor=owner, invoice_ids=[invoice.pk], void_on=JAN),
        lambda: billing.credit_invoice(actor=owner, invoice_id=invoice.pk, issue_on=JAN),
    ):
        with pytest.raises(billing.SoldCredits):
            refused()
    with pytest.raises(Invalid, match="EUR is left"):
        wallets.take_back_credits(actor=owner, credit_id=pk, on=JAN, because="x", amount_minor=500_01)
    note = wallets.take_back_credits(actor=owner, credit_id=pk, on=JAN, because="Sold by mistake", amount_minor=200_00)
    assert (Invoice.objects.get(pk=note).total_minor, left(pk), account(entity, "prepaid_credits")) == (200_00, [300_00], -300_00)
    wallets.take_back_credits(actor=owner, credit_id=pk, on=JAN, because="The rest")
    assert wallets.take_back_credits(actor=owner, credit_id=gift, on=JAN, because="Wrong customer") == 0
    with pytest.raises(wallets.CreditsUsed):
        wallets.take_back_credits(actor=owner, credit_id=pk, on=JAN, because="Once more")
    assert (account(entity, "prepaid_credits"), account(entity, "receivable")) == (0, 0)


def test_rest_of_credits_that_was_carried_over_is_taken_back_by_its_first_invoice(owner, sell, entity):
    pk = sell(200_00, expires_on=date(2026, 1, 31), rollover_ppm=1_000_000)
    wallets.expire_credits(actor=owner, entity_id=entity.pk, as_of=FEB)
    again = Credit.objects.get(follows=pk)
    note = wallets.take_back_credits(actor=owner, credit_id=again.pk, on=FEB, because="They leave")
    assert Invoice.objects.get(pk=note).corrects_id == Credit.objects.get(pk=pk).invoice_id


def test_a_foreign_wallet_gives_its_liability_up_at_what_it_was_worth(owner, sell, sign, bill, entity):
    table = pl.DataFrame({"currency": ["USD", "USD"], "on": [JAN, FEB], "per_euro": [Decimal("1.25"), Decimal("1.00")]})
    add_rates(actor=owner, table=table, source="test")
    pk = sell(200_00, currency="USD")
    sign(currency="USD", starts_on=FEB, ends_on=MAR)
    bill(FEB)
    assert left(pk) == [81_00]
    found = books.trial_balance(entity_id=entity.pk).filter(pl.col("role") == "prepaid_credits").row(0, named=True)
    assert (found["balance_minor"], found["functional_minor"]) == (-81_00, -64_80), "119 of 200 dollars, and of 160.00 euros"
    loss = books.trial_balance(entity_id=entity.pk).filter(pl.col("role") == "exchange_loss").row(0, named=True)
    assert loss["functional_minor"] == 23_80, "what was bought for 95.20 euros paid 119.00"


def test_low_credits_are_told_once_until_there_are_more(owner, sell, sign, bill, entity):
    sell(150_00)
    wallet = Wallet.objects.get()
    wallets.set_low_credits(actor=owner, wallet_id=wallet.pk, low_minor=100_00)
    tell = lambda on: wallets.tell_low_credits(actor=owner, entity_id=entity.pk, as_of=on)  # noqa: E731
    assert tell(JAN) == 0
    sign()
    bill()
    assert (tell(JAN), tell(FEB)) == (1, 0)
    assert Milestone.objects.filter(kind="credits_low", visible_to_customer=True).count() == 1 and Task.objects.count() <= 1
    sell(500_00, issue_on=FEB)
    assert (tell(FEB), Wallet.objects.get().told_on) == (0, None)


@pytest.mark.parametrize(
    ("language", "subject", "text"),
    [
        ("en", "Your credits at Acme GmbH run low", "31.00 EUR of your credits can still be used; you wanted to know when it is less than 1,000.00 EUR."),
        ("de", "Ihr Guthaben bei Acme GmbH geht zur Neige", "noch 31,00 EUR verfügbar; vereinbart war ein Hinweis unter 1.000,00 EUR"),
    ],
)  # fmt: skip
def test_who_gets_the_invoices_is_told_by_e_mail_in_their_language(owner, sell, sign, bill, entity, language, subject, text):
    sell(150_00)
    wallet = Wallet.objects.get()
    Customer.objects.filter(pk=wallet.customer_id).update(language=language)
    market.add_contact(
        actor=owner, customer_id=wallet.customer_id, name="Ann", email="ap@globex.example", role="Accounts payable"
    )
    wallets.set_low_credits(actor=owner, wallet_id=wallet.pk, low_minor=1_000_00)
    sign()
    bill()
    for day in (JAN, FEB):
        wallets.tell_low_credits(actor=owner, entity_id=entity.pk, as_of=day)
        outbox.drain(HANDLERS)
    (letter,) = mail.outbox
    assert (letter.to, letter.subject) == (["ap@globex.example"], subject) and text in letter.body


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"amount_minor": 0}, "amount_minor"), ({"amount_minor": -5}, "amount_minor"), ({"amount_minor": None}, "amount_minor"), ({"unit_name": "credits"}, "amount_minor"), ({"amount_minor": None, "unit_name": "credits", "units_micro": MICRO}, "unit_nano"),
        ({"currency": "EURO"}, "currency"), ({"name": " "}, "name"), ({"expires_on": JAN}, "expires_on"), ({"starts_on": MAR, "expires_on": FEB}, "expires_on"), ({"rollover_ppm": 10}, "rollover_ppm"), ({"rollover_cap_minor": 10}, "rollover_cap_minor"),
        ({"pays_for": ["usage"]}, "pays_for"), ({"pays_for": ["meter:999"]}, "pays_for"), ({"customer_id": 9_999}, "customer_id"), ({"contract_id": 9_999}, "contract_id"), ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_credits_that_make_no_sense_are_refused_at_the_field(sell, facts, field):
    with pytest.raises((Invalid, NotFound)) as refused:
        sell(**({"amount_minor": 100_00} | facts))
    assert refused.value.field == field
    assert not Credit.objects.exists() and not Invoice.objects.exists()


def test_credits_for_a_contract_are_sold_to_who_pays_it_in_its_currency(sell, sign, make_customers):
    (parent,) = make_customers("Parent")
    made = sign(bill_to_id=parent)
    with pytest.raises(Invalid, match="is paid by Parent"):
        sell(10_00, contract_id=made)
    with pytest.raises(Invalid, match="is in EUR"):
        sell(10_00, contract_id=made, customer_id=parent, currency="USD")
    assert sell(10_00, contract_id=made, customer_id=parent)


def test_a_customer_on_hold_buys_none_and_may_be_given_some(owner, sell, grant, customer):
    market.set_credit_hold(actor=owner, customer_id=customer, is_on_hold=True, on=JAN, reason="Two broken promises")
    with pytest.raises(Exception, match="on credit hold"):
        sell(10_00)
    assert grant(10_00)
    with pytest.raises(Invalid, match="Say why"):
        grant(10_00, because=" ")


def test_the_database_refuses_credits_below_nothing_and_moves_that_are_changed(sell):
    pk = sell(10_00)
    for change in ({"left_minor": -1}, {"left_minor": 10_01}, {"closed_on": JAN}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Credit.objects.filter(pk=pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        CreditMove.objects.update(amount_minor=1)


def test_how_many_statements_a_run_takes_does_not_follow_how_many_wallets_pay(owner, entity, make_customers, bill):
    def batch(tag, size):
        for n, pk in enumerate(make_customers(*(f"{tag}{n}" for n in range(size)))):
            actions.add_contract(
                actor=owner,
                entity_id=entity.pk,
                customer_id=pk,
                currency="EUR",
                starts_on=JAN,
                ends_on=FEB,
                items=[{"description": "Seat", "quantity_micro": MICRO, "unit_price_nano": 100_00 * NANO, "unit": "month"}],
            )
            wallets.grant_credits(
                actor=owner,
                entity_id=entity.pk,
                customer_id=pk,
                currency="EUR",
                name="Gift",
                on=JAN,
                because="Welcome",
                amount_minor=(n + 1) * 60_00,
            )

    counts = []
    batch("w", 2), bill()
    for tag, size in (("a", 3), ("b", 12)):
        batch(tag, size)
        with CaptureQueriesContext(connection) as seen:
            bill()
        counts.append(len(seen))
    assert counts[0] == counts[1]
    assert Invoice.objects.filter(from_credits_minor__gt=0).count() == 17


def test_draws_of_many_documents_are_in_the_order_of_their_lines(owner, sell, sign, bill, entity):
    pk = sell(150_00)
    sign({"description": "A"}, {"description": "B"})
    bill()
    drawn = list(CreditMove.objects.filter(kind="drawn").order_by("id").values_list("position", "amount_minor"))
    assert drawn == [(1, -119_00), (2, -31_00)] and left(pk) == [0]
    assert drawing.still_drawn([billed().pk])["drawn_minor"].to_list() == [150_00]


def test_a_preview_says_what_credits_would_pay_and_draws_nothing(sell, sign, bill, entity):
    pk = sell(150_00)
    sell(1_000_00, name="Of use", pays_for=["use"], priority=1)
    sign({"description": "A"}, {"description": "B"})
    found = bills.preview(entity=Entity.objects.get(pk=entity.pk), as_of=JAN)
    assert drawing.foreseen(found.lines, entity=entity, on=JAN).rows() == [("EUR", 150_00)]
    assert left(pk) == [150_00]
    bill()
    assert billed().from_credits_minor == 150_00


def test_every_line_says_from_which_credits_it_was_paid(sell, sign, bill):
    sell(150_00, expires_on=date(2027, 1, 1), priority=7)
    sign({"description": "A"}, {"description": "B"})
    bill()
    told = wallet_queries.paid_by_line(billed().pk, "EUR")
    assert told[1] == [
        "Paid from credits, tax included: 119.00 of Pack (bought; priority 7, to be used before 2027-01-01) on 2026-01-01."
    ]
    assert told[2][0].startswith("Paid from credits, tax included: 31.00 of Pack")


def test_what_credits_paid_whole_says_nothing_about_when_a_customer_pays(sell, sign, bill, entity, customer):
    sell(119_00)
    sign()
    bill()
    assert billed().state == "paid"
    assert figures.lateness(entity_id=entity.pk, as_of=MAR).is_empty()
    assert figures.payment_history(entity_id=entity.pk, as_of=MAR).is_empty()
