"""Contracts and the run that bills them: what was agreed is billed to the cent and once, whatever is amended, killed or asked twice."""

from __future__ import annotations

import re
from datetime import date

import polars as pl
import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from tests.pipeline.conftest import products, team  # noqa: F401
from tests.quotes.conftest import accept, deal, manager, send, write  # noqa: F401  (a quote that is accepted)
from topline.billing import actions as billing
from topline.billing import taxes
from topline.billing.models import Invoice, InvoiceLine
from topline.books import actions as books_room
from topline.books import queries as books
from topline.books.models import Entity
from topline.cli import billing as commands
from topline.contracts import actions, amendments, bills, credit, foresight, forms, queries, run_pages, run_queue, runs
from topline.contracts.models import Amendment, BillRun, Charge, Contract, Item, Parked
from topline.engine.rating.tiers import AmountTooLarge
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.errors import Invalid, NotFound
from topline.market import actions as market
from topline.metering import actions as metering
from topline.team import actions as members
from topline.team.models import Member
from topline.timeline.models import Milestone

JAN, FEB, MAR = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)


@pytest.fixture(autouse=True)
def _home(owner, entity):
    """A company in Germany that knows its tax rate."""
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 3, 2)):
        yield


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def sign(owner, entity, customer):
    """Write down a contract of one seat at 100.00 a month from January on, unless told; returns its id."""

    def make(*items, **facts):
        usual = {"description": "Seat", "quantity_micro": 10**6, "unit_price_nano": 100_00 * 10**9, "unit": "month"}
        rows = [usual | item for item in (items or ({},))]
        told = {"customer_id": customer, "currency": "EUR", "starts_on": JAN} | facts
        return actions.add_contract(actor=owner, entity_id=entity.pk, items=rows, **told)

    return make


@pytest.fixture
def bill(owner, entity):
    def make(as_of=MAR, **facts):
        return runs.run(actor=owner, entity_id=entity.pk, as_of=as_of, **facts)

    return make


def documents():
    return list(Invoice.objects.order_by("id").values_list("kind", "state", "net_minor", "tax_minor", "issued_on"))


def run_ids(run):
    return Charge.objects.filter(run=run).values("invoice_id")


def item(contract):
    return Item.objects.filter(contract_id=contract).order_by("-id").first().pk


def test_every_due_period_is_billed_once_posted_and_a_second_run_does_nothing(bill, sign, entity):
    sign()
    made = bill()
    assert made.state == "final"
    assert documents() == [("invoice", "open", 300_00, 57_00, MAR)]
    assert list(Charge.objects.order_by("full_start").values_list("full_start", "net_minor", "sequence")) == [(JAN, 100_00, 0), (FEB, 100_00, 0), (MAR, 100_00, 0)]  # fmt: skip
    assert books.role_balances(entity_id=entity.pk, role="receivable") == {"EUR": 357_00}
    assert Milestone.objects.filter(kind="invoice_issued").count() == 1
    bill()
    assert Invoice.objects.count() == 1 and BillRun.objects.count() == 2


def test_a_credit_hold_stops_what_is_new_and_not_what_runs(owner, bill, sign, customer):
    runs_on = sign()
    market.set_credit_hold(actor=owner, customer_id=customer, is_on_hold=True, on=JAN, reason="Two broken promises")
    more = {"description": "Support", "quantity_micro": 10**6, "unit_price_nano": 10**11, "unit": "month"}
    with pytest.raises(credit.CustomerOnHold, match="on credit hold"):
        sign()
    with pytest.raises(credit.CustomerOnHold, match="on credit hold"):
        amendments.amend(actor=owner, contract_id=runs_on, kind="add", on=FEB, item=more)
    assert Contract.objects.count() == 1 and Item.objects.count() == 1
    bill(sign=True)
    assert documents()  # what runs is billed as before
    market.set_credit_hold(actor=owner, customer_id=customer, is_on_hold=False, on=FEB, reason="Paid")
    amendments.amend(actor=owner, contract_id=runs_on, kind="add", on=FEB, item=more)
    assert sign()


def test_the_database_itself_refuses_a_second_charge_of_a_period(bill, sign):
    sign()
    bill()
    first = Charge.objects.order_by("id").first()
    with pytest.raises(IntegrityError), transaction.atomic():
        first.pk = None
        first.save(force_insert=True)


def test_a_quote_becomes_a_contract_whose_periods_add_up_to_it(owner, bill, send, accept, products):  # noqa: F811
    sent = send({"quantity_micro": 7_000_000, "periods": 12, "manual_ppm": 33_333}, bill_every="month", months=12, starts_on=MAR)
    with pytest.raises(actions.QuoteNotAccepted):
        actions.make_contract(actor=owner, quote_id=sent.quote.pk)
    accept(sent)
    made = actions.make_contract(actor=owner, quote_id=sent.quote.pk)
    assert actions.make_contract(actor=owner, quote_id=sent.quote.pk) == made, "asked twice there is one contract"
    assert Contract.objects.get().ends_on == date(2027, 3, 1)
    bill(date(2027, 2, 1))
    sums = Charge.objects.values_list("net_minor", flat=True)
    assert (len(sums), sum(sums)) == (12, sent.quote.net_minor) and max(sums) - min(sums) <= 1


def test_something_billed_once_is_billed_on_its_day(bill, sign):
    sign({"description": "Set-up", "unit": "day", "ends_on": date(2026, 1, 2)})
    bill()
    assert documents() == [("invoice", "open", 100_00, 19_00, MAR)]


def test_the_documents_of_a_payer_are_one_by_currency_and_purchase_order(owner, bill, sign, make_customers):
    (parent,) = make_customers("Parent")
    sign(), sign({"unit_price_nano": 10_00 * 10**9}), sign(purchase_order="PO-7"), sign(bill_to_id=parent)
    bill(JAN)
    told = sorted(Invoice.objects.values_list("customer__name", "purchase_order", "net_minor"))
    assert told == [("Globex", "", 110_00), ("Globex", "PO-7", 100_00), ("Parent", "", 100_00)]
    assert InvoiceLine.objects.get(net_minor=10_00).description == "Seat, 2026-01-01 to 2026-01-31"


def test_more_seats_from_the_middle_of_a_paid_month_give_back_and_charge_the_rest(owner, bill, sign):
    made = sign()
    bill(JAN)
    asked = {
        "actor": owner,
        "contract_id": made,
        "kind": "quantity",
        "on": date(2026, 1, 17),
        "item_id": item(made),
        "quantity_micro": 3 * 10**6,
    }
    shown = amendments.preview_amendment(**asked, as_of=JAN)
    assert Amendment.objects.count() == 0 and Item.objects.count() == 1, "a preview writes nothing"
    amendments.amend(**asked)
    bill(JAN.replace(day=17))
    lines = list(
        InvoiceLine.objects.filter(invoice__net_minor=145_16 - 48_39).order_by("position").values_list("net_minor", flat=True)
    )
    assert lines == [-48_39, 145_16], "fifteen of 31 days of one seat back, and of three seats"
    assert shown.lines["net_minor"].to_list() == [-48_39], "up to the first of January only the cut is known"
    bill(FEB)
    assert Charge.objects.filter(full_start=FEB).values_list("net_minor", flat=True).get() == 300_00


def test_an_end_in_the_past_gives_back_what_was_billed_beyond_it(owner, bill, sign):
    made = sign()
    bill()
    amendments.amend(actor=owner, contract_id=made, kind="terminate", on=date(2026, 2, 15), because="They left")
    bill()
    assert documents()[1] == ("credit_note", "paid", 150_00, 28_50, MAR)
    assert sum(Charge.objects.values_list("net_minor", flat=True)) == 150_00
    assert Milestone.objects.filter(kind="contract_ended").count() == 1
    with pytest.raises(amendments.ContractEnded):
        amendments.amend(actor=owner, contract_id=made, kind="add", on=MAR, item={"description": "More", "quantity_micro": 10**6, "unit_price_nano": 1, "unit": "month"})  # fmt: skip


def test_a_pause_a_price_and_a_transfer(owner, bill, sign, make_customers):
    (heir,) = make_customers("Heir")
    made = sign(ends_on=date(2026, 7, 1))
    amendments.amend(actor=owner, contract_id=made, kind="pause", on=FEB, until=MAR)
    amendments.amend(
        actor=owner, contract_id=made, kind="price", on=date(2026, 4, 1), item_id=item(made), unit_price_nano=120_00 * 10**9
    )
    amendments.amend(actor=owner, contract_id=made, kind="transfer", on=date(2026, 5, 1), customer_id=heir)
    bill(date(2026, 12, 1))
    told = dict(Charge.objects.order_by("full_start").values_list("full_start", "net_minor"))
    assert told == {JAN: 100_00, MAR: 100_00, date(2026, 4, 1): 120_00, date(2026, 5, 1): 120_00, date(2026, 6, 1): 120_00}
    assert dict(Invoice.objects.values_list("customer__name", "net_minor")) == {"Globex": 320_00, "Heir": 240_00}


def test_what_was_paused_is_not_lost_by_a_second_pause_or_a_transfer(owner, sign, make_customers):
    made = sign()
    say = {"actor": owner, "contract_id": made}
    amendments.amend(**say, kind="pause", on=FEB)
    with pytest.raises(Invalid, match="paused already"):
        amendments.amend(**say, kind="pause", on=MAR)
    with pytest.raises(Invalid, match="would not go with it"):
        amendments.amend(**say, kind="transfer", on=MAR, customer_id=make_customers("Initech")[0])
    support = {"description": "Support", "quantity_micro": 10**6, "unit_price_nano": 10**11, "unit": "month"}
    amendments.amend(**say, kind="add", on=MAR, item=support)
    amendments.amend(**say, kind="pause", on=date(2026, 4, 1))
    amendments.amend(**say, kind="resume", on=date(2026, 5, 1))
    runs_on = Item.objects.filter(contract_id=made, ends_on__isnull=True).order_by("description")
    assert [(i.description, i.starts_on) for i in runs_on] == [("Seat", date(2026, 5, 1)), ("Support", date(2026, 5, 1))]
    with pytest.raises(Invalid, match="is not paused"):
        amendments.amend(**say, kind="resume", on=date(2026, 6, 1))


def test_a_pause_inside_a_pause_that_ends_by_itself_is_resumed_once(owner, sign):
    made = sign()
    say = {"actor": owner, "contract_id": made}
    amendments.amend(**say, kind="pause", on=FEB, until=MAR)
    amendments.amend(**say, kind="pause", on=date(2026, 2, 15))
    amendments.amend(**say, kind="resume", on=date(2026, 4, 1))
    bills_again = [
        i for i in Item.objects.filter(contract_id=made).order_by("id") if i.ends_on is None or i.ends_on > i.starts_on
    ]
    assert [(i.starts_on, i.ends_on) for i in bills_again] == [(JAN, FEB), (date(2026, 4, 1), None)]


def test_a_contract_renews_by_itself_once_the_time_for_notice_has_passed(owner, entity, bill, sign):
    made = sign(ends_on=date(2026, 4, 1), renews_months=12, notice_days=30)
    assert amendments.renew_due(actor=owner, entity_id=entity.pk, as_of=MAR) == 0
    assert amendments.renew_due(actor=owner, entity_id=entity.pk, as_of=date(2026, 3, 2)) == 1
    assert amendments.renew_due(actor=owner, entity_id=entity.pk, as_of=date(2026, 3, 2)) == 0
    assert Contract.objects.get(pk=made).ends_on == date(2027, 4, 1)
    amendments.amend(actor=owner, contract_id=made, kind="renew", on=MAR, months=1, uplift_ppm=50_000)
    bill(date(2027, 6, 1))
    told = Charge.objects.order_by("full_start").values_list("net_minor", flat=True)
    assert (len(told), told[14], told[15]) == (16, 100_00, 105_00)


def test_one_bad_contract_is_parked_with_its_reason_and_the_others_are_billed(owner, bill, sign, make_customers):
    good, bare = sign(), sign({"unit_price_nano": None})
    with pytest.raises(AmountTooLarge, match="more than can be booked"):
        sign({"quantity_micro": 10**21, "unit_price_nano": 10**18})  # 1e15 units at 1e9 each
    huge = sign()
    Item.objects.filter(contract_id=huge).update(
        quantity_micro=9 * 10**18, unit_price_nano=9 * 10**18
    )  # as an older version kept it
    bill(JAN)
    assert sorted(Parked.objects.values_list("contract_id", "code")) == [(bare, "no_price"), (huge, "amount_too_large")]
    assert Charge.objects.get().item.contract_id == good
    amendments.amend(actor=owner, contract_id=bare, kind="price", on=JAN, item_id=item(bare), unit_price_nano=5 * 10**9)
    bill(JAN)
    assert Parked.objects.get(contract_id=bare).cleared_at is not None
    assert Parked.objects.filter(cleared_at__isnull=True).count() == 1, "tried again, and parked once"


def test_a_place_without_a_tax_rate_is_parked_and_others_elsewhere_are_billed(owner, entity, bill, sign, make_customers):
    abroad, business = make_customers("Abroad", "Business")
    from topline.market.models import Customer

    Customer.objects.filter(pk=abroad).update(country="CH")
    Customer.objects.filter(pk=business).update(country="AT", tax_id="ATU12345678")
    (
        sign({"tax_class": "reduced"}),
        sign(customer_id=abroad),
        sign(customer_id=business),
        sign({"tax_class": "none"}, purchase_order="x"),
    )
    bill(JAN)
    assert Parked.objects.get().code == "no_tax_rate" and "No reduced tax rate is known for DE" in Parked.objects.get().message
    told = sorted(InvoiceLine.objects.values_list("invoice__customer__name", "tax_category", "tax_minor"))
    assert told == [("Abroad", "G", 0), ("Business", "AE", 0), ("Globex", "O", 0)]


def test_a_bill_far_beyond_the_largest_before_waits_for_somebody(owner, bill, sign, browser):
    made = sign()
    bill(JAN)
    amendments.amend(actor=owner, contract_id=made, kind="quantity", on=FEB, item_id=item(made), quantity_micro=600 * 10**6)
    bill(FEB)
    parked = Parked.objects.get()
    assert (parked.code, Charge.objects.count()) == ("beyond_bounds", 1)
    for address in ("/contracts/runs/", f"/contracts/runs/{parked.run_id}/"):
        assert f'action="/contracts/runs/parked/{parked.pk}/release/"' in browser.get(address).content.decode()
    with pytest.raises(Invalid, match="Say why"):
        runs.release_parked(actor=owner, parked_id=parked.pk, because=" ")
    assert browser.post(f"/contracts/runs/parked/{parked.pk}/release/", {"because": "They grow"}).status_code == 302
    bill(FEB)
    assert Charge.objects.get(full_start=FEB).net_minor == 60_000_00
    assert Parked.objects.get().cleared_at is not None


def test_a_run_that_is_killed_goes_on_and_comes_to_the_same(owner, entity, sign, make_customers, monkeypatch):
    monkeypatch.setattr(runs, "PART", 1)
    for payer in make_customers("A", "B", "C"):
        sign(customer_id=payer)
    run = runs.start_run(actor=owner, entity_id=entity.pk, as_of=JAN)
    assert runs.bill_part(actor=owner, run_id=run) == 2
    with monkeypatch.context() as broken, pytest.raises(RuntimeError):
        broken.setattr(runs, "_park", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        runs.bill_part(actor=owner, run_id=run)
    assert Charge.objects.count() == 1, "a part is whole or not at all"
    with pytest.raises(runs.RunUnderWay):
        runs.start_run(actor=owner, entity_id=entity.pk, as_of=FEB)
    again = runs.run(actor=owner, entity_id=entity.pk, as_of=JAN)
    assert (again.pk, again.state, Charge.objects.count(), Invoice.objects.filter(state="open").count()) == (run, "final", 3, 3)


def test_a_run_that_is_killed_while_it_is_signed_is_issued_whole_by_the_same_run_again(
    owner, entity, sign, make_customers, monkeypatch
):
    monkeypatch.setattr(runs, "PART", 1)
    for payer in make_customers("A", "B", "C"):
        sign(customer_id=payer)
    killed = runs.run(actor=owner, entity_id=entity.pk, as_of=JAN, sign=False)
    assert runs.sign_run(actor=owner, run_id=killed.pk, issue_on=JAN, limit=1) == 2
    told = []
    again = runs.run(actor=owner, entity_id=entity.pk, as_of=FEB, tell=told.append)
    assert list(Invoice.objects.filter(state="draft")) == [] and Invoice.objects.count() == 6
    assert {r.state for r in BillRun.objects.all()} == {"final"} and again.as_of == FEB
    assert told == ["Parts left to bill: 2", "Parts left to bill: 1"]
    for_later = runs.run(actor=owner, entity_id=entity.pk, as_of=MAR, sign=False)
    runs.run(actor=owner, entity_id=entity.pk, as_of=date(2026, 4, 1))
    for_later.refresh_from_db()
    assert for_later.state == "drafted", "drafts of another day wait for whoever looks at them"
    runs.run(actor=owner, entity_id=entity.pk, as_of=MAR)
    for_later.refresh_from_db()
    assert for_later.state == "final"


def test_a_run_of_many_parts_goes_on_by_its_page_or_the_worker(browser, owner, sign, make_customers, monkeypatch):
    monkeypatch.setattr(runs, "PART", 1)
    monkeypatch.setattr(run_queue, "AT_ONCE", 1)
    for payer in make_customers("A", "B", "C", "D"):
        sign(customer_id=payer)
    browser.post("/contracts/runs/start/?as_of=2026-01-01")
    run = BillRun.objects.get()
    page = f"/contracts/runs/{run.pk}/"
    shown = browser.get(page).content.decode()
    assert "1 of 4 parts billed, 3 left." in shown and f'hx-post="{page}go-on/"' in shown and "Sign and issue" not in shown
    browser.post(page + "go-on/")  # as the open page does each second
    assert "2 of 4 parts billed, 2 left." in browser.get(page).content.decode()
    with monkeypatch.context() as busy:  # another worker is at the rest
        busy.setattr(runs, "bill_part", lambda **_: None)
        assert outbox.drain(HANDLERS) == 1 and run_queue.is_queued(BillRun.objects.get()), (
            "it is looked after until it is finished"
        )
    with clock.at(clock.now() + 2 * run_queue.WAIT):
        while outbox.drain(HANDLERS):  # it was left
            pass
    run.refresh_from_db()
    assert run.state == "drafted" and Charge.objects.count() == 4
    shown = browser.get(page).content.decode()
    assert "Sign and issue" in shown and "hx-post" not in shown
    assert runs.sign_run(actor=owner, run_id=run.pk, issue_on=JAN, limit=1) == 3
    run_queue.ask_to_sign(run.pk, issue_on=JAN)
    shown = browser.get(page).content.decode()
    assert "1 of 4 documents issued, 3 left." in shown and f'hx-post="{page}sign/"' in shown and ">signed<" in shown
    while outbox.drain(HANDLERS):
        pass
    run.refresh_from_db()
    assert (run.state, run.signed_by, Invoice.objects.filter(state="open").count()) == ("final", owner.key, 4)


def test_the_page_of_a_run_says_why_the_worker_could_not_go_on(browser, owner, bill, sign, monkeypatch):
    sign()
    run = bill(JAN, sign=False)
    run_queue.ask_to_sign(run.pk, issue_on=JAN)
    with monkeypatch.context() as broken:
        broken.setattr(runs, "sign_run", lambda **_: (_ for _ in ()).throw(Invalid("The period of January is locked.")))
        outbox.drain(HANDLERS)
    shown = browser.get(f"/contracts/runs/{run.pk}/").content.decode()
    assert "It could not go on: The period of January is locked." in shown and "tried again by itself" in shown


def test_a_line_that_gives_back_names_the_days_that_it_gives_back(owner, bill, sign, make_customers):
    less, none = (sign(customer_id=payer) for payer in make_customers("A", "B"))
    bill(JAN)
    amendments.amend(actor=owner, contract_id=less, kind="terminate", on=date(2026, 1, 26))
    amendments.amend(actor=owner, contract_id=none, kind="terminate", on=JAN)
    run = bill(JAN)
    lines = InvoiceLine.objects.filter(invoice__in=run_ids(run)).order_by("id").values_list("description", "net_minor")
    assert list(lines) == [
        ("Seat, 2026-01-26 to 2026-01-31, given back", 19_35),
        ("Seat, 2026-01-01 to 2026-01-31, given back", 100_00),
    ]
    amendments.amend(actor=owner, contract_id=less, kind="terminate", on=date(2026, 1, 16))
    run = bill(JAN)
    assert InvoiceLine.objects.filter(invoice__in=run_ids(run)).get().description == "Seat, 2026-01-16 to 2026-01-25, given back"


def test_the_preview_of_a_change_ahead_shows_what_it_changes_and_leaves_the_other_periods_out(
    browser, owner, bill, sign, make_customers
):
    made = sign(ends_on=date(2027, 1, 1))
    bill()
    form = {"on": "2026-10-16", "item_id": item(made), "quantity": "3", "preview": "1"}
    shown = browser.post(f"/contracts/{made}/amend/quantity/", form).content.decode()
    assert "leave the contract out" not in shown, "seven months at once are no bill of the next run"
    nets = re.findall(r'<td class="money">([^<]+)<', shown)
    assert nets == ["48.39", "154.84"] and "together <strong>203.23</strong>" in shown
    renewal = browser.post(
        f"/contracts/{made}/amend/renew/", {"on": "2027-01-01", "months": "12", "preview": "1"}
    ).content.decode()
    assert "leave the contract out" not in renewal and "100.00" in renewal
    make_customers("Other")
    moved = browser.post(
        f"/contracts/{made}/amend/transfer/", {"on": "2026-03-16", "customer": "Other", "preview": "1"}
    ).content.decode()
    assert re.findall(r'<td class="money">([^<]+)<', moved) == ["−51.61", "51.61"] and "CT-000002" in moved


@pytest.mark.parametrize(
    ("kind", "asked", "by", "nets"),
    [("quantity", {"quantity": "3", "mode": "at_period_end"}, "a run up to 1 Apr 2026", ["300.00"]), ("quantity", {"quantity": "3", "mode": "with_next_invoice"}, "a run up to 1 Apr 2026", ["−51.61", "154.84", "300.00"]),
     ("quantity", {"quantity": "3"}, "the next run", ["−51.61", "154.84"]), ("pause", {"until": "2026-03-26"}, "a run up to 26 Mar 2026", ["−51.61", "19.35"]), ("terminate", {}, "the next run", ["−51.61"])],
)  # fmt: skip
def test_the_preview_of_a_change_goes_as_far_as_the_change_is_billed(browser, owner, bill, sign, kind, asked, by, nets):
    made = sign()
    bill()
    on = "2026-03-16"
    with clock.at(date(2026, 3, 16)):
        shown = browser.post(
            f"/contracts/{made}/amend/{kind}/", {"on": on, "item_id": item(made), "preview": "1"} | asked
        ).content.decode()
    assert f"What {by} would charge and give back" in shown
    assert re.findall(r'<td class="money">([^<]+)<', shown) == nets and Amendment.objects.count() == 0


def test_only_what_is_paused_can_be_resumed(browser, owner, sign):
    made = sign()
    assert "Resume" not in browser.get(f"/contracts/{made}/").content.decode()
    amendments.amend(actor=owner, contract_id=made, kind="pause", on=MAR)
    assert "Resume" in browser.get(f"/contracts/{made}/").content.decode()


def test_the_command_issues_on_a_day_that_has_come_and_is_open(owner, entity, sign, capsys):
    sign()
    books_room.lock_period(actor=owner, entity_id=entity.pk, through=date(2026, 2, 28))
    with pytest.raises(books_room.PeriodLocked) as refused:
        commands.bill_run(as_of="2026-02-28")
    assert (
        refused.value.remedy
        == "The drafts are written. Issue them on a day that is open: topline bill run --as-of 2026-02-28 --issue-on 2026-03-02."
    )
    with pytest.raises(Invalid, match="2026-03-03 has not come"):
        commands.bill_run(as_of="2026-02-28", issue_on="2026-03-03")
    commands.bill_run(as_of="2026-02-28", issue_on="2026-03-02")
    assert (
        "0 documents for 0 periods" in (told := capsys.readouterr().out)
        and "The drafts that waited for it are issued too." in told
    )
    assert documents() == [("invoice", "open", 200_00, 38_00, date(2026, 3, 2))]
    commands.bill_run(as_of="2026-05-01")
    assert documents()[1] == ("invoice", "open", 300_00, 57_00, date(2026, 3, 2)), "no document bears a day that has not come"


def test_a_preview_on_the_command_line_names_what_it_would_leave_out(sign, capsys):
    made = sign({"unit_price_nano": None})
    commands.bill_preview(as_of="2026-01-01")
    assert f"Would be left out: {Contract.objects.get(pk=made).number}. Seat has no price." in capsys.readouterr().out


def test_documents_that_cannot_go_out_keep_no_other_of_the_run_back(browser, owner, bill, sign, make_customers, monkeypatch):
    monkeypatch.setattr(run_pages, "SENT_AT_ONCE", 1)
    mute, reached = make_customers("A", "B")
    market.add_contact(actor=owner, customer_id=reached, name="Ann", email="ann@globex.test", role="Invoices")
    for payer in (mute, reached):
        sign(customer_id=payer)
    run = bill(JAN)
    told = browser.post(f"/contracts/runs/{run.pk}/send/", follow=True).content.decode()
    assert "1 document is on its way. 1 document cannot go out" in told and "Send 1 document" in told
    assert Invoice.objects.get(deliveries__isnull=False).customer_id == reached


def test_a_run_that_nobody_signed_is_taken_back_and_billed_anew(browser, owner, entity, bill, sign, make_customers, monkeypatch):
    for payer in make_customers("A", "B", "C"):
        sign(customer_id=payer)
    run = bill(FEB, sign=False)
    page = f"/contracts/runs/{run.pk}/"
    assert "Void 3 drafts" in browser.get(page).content.decode()
    assert browser.post(page + "void/").status_code == 422, "without a reason nothing is taken back"
    assert runs.void_run(actor=owner, run_id=run.pk, because="Wrong prices", limit=2) == 1
    assert browser.post(page + "void/", {"because": "Wrong prices"})["Location"] == "/contracts/runs/"
    run.refresh_from_db()
    assert run.state == "void" and {d[1] for d in documents()} == {"void"} and runs.unbilled(entity.pk) == {}
    with pytest.raises(runs.RunNotDrafted):
        runs.sign_run(actor=owner, run_id=run.pk, issue_on=FEB)
    assert "0 documents" not in browser.get(page).content.decode()
    again = bill(FEB)
    assert Invoice.objects.filter(state="open").count() == 3
    lines = set(InvoiceLine.objects.filter(invoice__state="open").values_list("description", flat=True))
    assert lines == {"Seat, 2026-01-01 to 2026-01-31", "Seat, 2026-02-01 to 2026-02-28"}, "for the customer nothing is corrected"
    contract = Contract.objects.first().pk
    assert "difference to what was billed" not in browser.get(f"/contracts/{contract}/").content.decode()
    with pytest.raises(runs.RunNotDrafted, match="is signed"):
        runs.void_run(actor=owner, run_id=again.pk, because="Wrong prices")


def test_the_documents_of_a_run_stand_beside_the_last_bills_the_most_changed_first(browser, owner, bill, sign, make_customers):
    a, b, c = make_customers("A", "B", "C")
    contracts = {payer: sign(customer_id=payer) for payer in (a, b)}
    bill(JAN)
    for units, on in ((3, FEB), (5, FEB)):
        amendments.amend(
            actor=owner,
            contract_id=contracts[b],
            kind="quantity",
            on=on,
            item_id=item(contracts[b]),
            quantity_micro=units * 10**6,
        )
    sign({"unit_price_nano": 900_00 * 10**9}, customer_id=c, starts_on=FEB)
    run = bill(FEB, sign=False)
    found = queries.run_documents(run.pk).select("customer", "net_minor", "before_minor").rows()
    assert found == [("B", 500_00, 100_00), ("C", 900_00, None), ("A", 100_00, 100_00)]
    shown = re.sub(r"<[^>]+>", " ", browser.get(f"/contracts/runs/{run.pk}/").content.decode())
    assert (
        re.search(r"As the last bill\s+1\s+More than it\s+1\s+Less than it\s+0\s+First bill\s+1", shown) and "first bill" in shown
    )


def test_drafts_wait_for_a_signature_and_a_void_draft_is_billed_anew(owner, entity, bill, sign):
    sign()
    run = bill(JAN, sign=False)
    assert (run.state, documents()[0][1], runs.unbilled(entity.pk)) == ("drafted", "draft", {"EUR": 100_00})
    billing.void_invoices(actor=owner, invoice_ids=[Invoice.objects.get().pk], void_on=JAN)
    bill(JAN)
    assert list(Charge.objects.order_by("sequence").values_list("sequence", "net_minor")) == [(0, 100_00), (1, 100_00)]
    assert [d[1] for d in documents()] == ["void", "open"]
    with pytest.raises(runs.RunNotDrafted):
        runs.sign_run(actor=owner, run_id=BillRun.objects.order_by("-id").first().pk, issue_on=JAN)


def test_a_run_is_signed_in_batches_and_leaves_the_drafts_of_others_alone(owner, bill, sign, make_customers, monkeypatch):
    monkeypatch.setattr(runs, "PART", 2)
    a, b, c, d, e = make_customers("A", "B", "C", "D", "E")
    for payer in (a, b):
        sign(customer_id=payer)
    earlier = bill(JAN, sign=False)
    for payer in (c, d, e):
        sign(customer_id=payer)
    later = bill(JAN, sign=False)
    assert [(p.documents, p.is_issued) for p in later.parts.order_by("id")] == [(0, True), (2, False), (1, False)]
    later.parts.filter(is_issued=False).update(
        first_invoice_id=1
    )  # ids of the two runs as workers at the same moment would mix them
    assert runs.sign_run(actor=owner, run_id=later.pk, issue_on=JAN, limit=1) == 2
    assert runs.sign_run(actor=owner, run_id=later.pk, issue_on=JAN, limit=1) == 1
    billing.void_invoices(actor=owner, invoice_ids=[Invoice.objects.get(customer_id=e).pk], void_on=JAN)
    assert runs.sign_run(actor=owner, run_id=later.pk, issue_on=JAN, limit=1) == 0
    found = dict(Invoice.objects.values_list("customer_id", "state"))
    assert found == {a: "draft", b: "draft", c: "open", d: "open", e: "void"}
    assert (BillRun.objects.get(pk=later.pk).state, BillRun.objects.get(pk=earlier.pk).state) == ("final", "drafted")


def test_statements_do_not_grow_with_what_is_billed(owner, entity, sign, make_customers):
    def counted():
        with CaptureQueriesContext(
            connection,
        ) as seen:
            runs.run(actor=owner, entity_id=entity.pk, as_of=JAN)
        return len(seen)

    sign()
    one = counted()
    for payer in make_customers(*(f"Payer {n}" for n in range(60))):
        sign(customer_id=payer)
    many = counted()
    assert Invoice.objects.count() == 61
    assert many <= one + 2


def test_a_preview_says_what_a_run_writes(owner, entity, bill, sign):
    sign()
    shown = bills.preview(entity=Entity.objects.get(pk=entity.pk), as_of=MAR)
    assert Charge.objects.count() == 0
    bill()
    assert shown.lines["net_minor"].sum() == Invoice.objects.get().net_minor


def test_a_run_up_to_an_earlier_day_than_the_last_gives_back_nothing_that_is_agreed(owner, bill, sign, entity):
    made = sign({}, {"description": "Use", "unit_price_nano": 10_00 * 10**9, "in_advance": False})
    bill(MAR)
    entity = Entity.objects.get(pk=entity.pk)
    for day in (JAN, date(2026, 2, 15), FEB, MAR):
        assert bills.preview(entity=entity, as_of=day).lines.is_empty(), day
    assert bill(FEB).state == "final" and Invoice.objects.count() == 1
    amendments.amend(actor=owner, contract_id=made, kind="terminate", on=FEB)
    back = bills.preview(entity=entity, as_of=JAN).lines.select("full_start", "net_minor").rows()
    assert sorted(back) == [(FEB, -100_00), (FEB, -10_00), (MAR, -100_00)], "what is agreed no more is given back by any run"


def test_the_preview_of_a_change_bills_as_far_as_the_last_run_did(browser, bill, sign):
    made = sign()
    bill(date(2026, 4, 1))  # a month ahead of the day
    form = {"on": "2026-03-01", "item_id": item(made), "quantity": "2", "preview": "1"}
    shown = browser.post(f"/contracts/{made}/amend/quantity/", form).content.decode()
    assert re.findall(r'<td class="money">([^<]+)<', shown) == ["−100.00", "200.00"] * 2, (
        "March and April are given back and billed anew"
    )


@pytest.mark.parametrize(
    ("facts", "error", "said"),
    [({"items": []}, Invalid, "bills something"), ({"items": [{"unit": "decade"}]}, Invalid, "no period"), ({"items": [{"quantity_micro": -1}]}, Invalid, "zero or more"), ({"items": [{"unit_price_nano": -1}]}, Invalid, "zero or more"),
     ({"items": [{"ends_on": date(2025, 1, 1)}]}, Invalid, "before it begins"), ({"customer_id": 999}, NotFound, "no customer 999"), ({"currency": "XXQ"}, Invalid, "XXQ"), ({"ends_on": date(2025, 1, 1)}, Invalid, "ends before"),
     ({"items": [{"description": " "}]}, Invalid, "says what is billed"), ({"terms": "whenever"}, Invalid, "no payment terms"), ({"ends_on": JAN}, Invalid, "on the day on which it begins"),
     ({"starts_on": date(26, 1, 1)}, Invalid, "not 26"), ({"starts_on": date(9999, 12, 31)}, Invalid, "not 9999"), ({"items": [{"unit_price_nano": 2**63}]}, Invalid, "at most 92,233,720.36")],
)  # fmt: skip
def test_a_contract_that_cannot_be_is_refused_and_nothing_is_written(owner, entity, customer, facts, error, said):
    usual = {"description": "Seat", "quantity_micro": 10**6, "unit_price_nano": 100_00 * 10**9, "unit": "month"}
    told = {"customer_id": customer, "currency": "EUR", "starts_on": JAN} | facts
    told["items"] = [usual | i for i in facts.get("items", [{}])]
    with pytest.raises(error, match=said):
        actions.add_contract(actor=owner, entity_id=entity.pk, **told)
    assert not Contract.objects.exists() and not Item.objects.exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"kind": "explode"}, "no amendment"), ({"kind": "quantity"}, "no item"), ({"kind": "pause", "until": JAN}, "later day"), ({"kind": "renew", "months": 12}, "has no end"), ({"kind": "transfer", "customer_id": 999}, "no customer"),
     ({"kind": "terminate", "on": date(2025, 1, 1)}, "begins on")],
)  # fmt: skip
def test_an_amendment_that_cannot_be_changes_nothing(owner, sign, asked, said):
    made = sign()
    with pytest.raises((Invalid, NotFound), match=said):
        amendments.amend(actor=owner, contract_id=made, **{"on": FEB} | asked)
    assert Item.objects.get().ends_on is None and not Amendment.objects.exists()


def test_tax_rates_are_dated_and_unique(owner):
    with pytest.raises(taxes.TaxRateKnown):
        taxes.add_tax_rate(actor=owner, country="de", rate_ppm=200_000, valid_from=date(2020, 1, 1))
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=160_000, valid_from=date(2026, 2, 1))
    supply = pl.DataFrame({"buyer_country": [""], "buyer_tax_id": [""], "tax_class": ["standard"]})
    rates = [taxes.taxed(supply, seller="DE", on=day)["tax_rate_ppm"][0] for day in (JAN, FEB)]
    assert rates == [190_000, 160_000]


@pytest.fixture
def browser(owner):
    pk = members.add_member(
        actor=owner, email="bela@acme.localhost", name="Bela", roles=["Billing"], password="a long enough phrase"
    )
    client = Client()
    client.force_login(Member.objects.get(pk=pk))
    return client


def test_an_amount_too_large_to_add_up_parks_its_contract_and_stops_no_run(owner, entity, bill, sign, make_customers, browser):
    large, other = (sign(customer_id=payer) for payer in make_customers("A", "B"))
    Item.objects.filter(contract_id=large).update(
        quantity_micro=99_999_999 * 10**6, unit_price_nano=9 * 10**18
    )  # as an older version kept it
    assert "B" in browser.get("/contracts/runs/preview/?as_of=2026-01-01").content.decode()
    bill(JAN)
    assert [p.code for p in Parked.objects.all()] == ["amount_too_large"] and Parked.objects.get().contract_id == large
    assert documents() == [("invoice", "open", 100_00, 19_00, JAN)] and Charge.objects.get().item.contract_id == other


def test_terms_that_cannot_be_read_park_their_contract_and_stop_no_run(owner, entity, bill, sign, make_customers):
    odd = sign()
    sign(customer_id=make_customers("Initech")[0])
    Contract.objects.filter(pk=odd).update(terms="whenever")  # as it may stand from before
    bill()
    assert Parked.objects.get().contract_id == odd and "whenever" in Parked.objects.get().message
    assert [state for _, state, *_ in documents()] == ["open"]
    company = Entity.objects.get(pk=entity.pk)
    assert foresight.coming(entity=company, as_of=MAR, until=date(2026, 4, 1)).height == 1
    with pytest.raises(Invalid, match="no payment terms"):
        actions.change_contract(actor=owner, contract_id=odd, changes={"terms": "soon"})
    actions.change_contract(actor=owner, contract_id=odd, changes={"terms": "net 14"})
    bill()
    assert len(documents()) == 2 and not Parked.objects.filter(cleared_at__isnull=True).exists()


def test_another_currency_is_refused_with_what_to_do_instead(owner, sign, browser):
    made = sign()
    with pytest.raises(Invalid, match="currency cannot be changed") as refused:
        actions.change_contract(actor=owner, contract_id=made, changes={"currency": "USD"})
    assert "write down a new contract" in refused.value.remedy
    assert "keeps its currency" in browser.get(f"/contracts/{made}/change/").content.decode()


NEW = {"customer": "Globex", "currency": "EUR", "starts_on": "2026-03-01", "terms": "net 30", "renews_months": "0", "notice_days": "0", "description": "Seat", "quantity": "1", "price": "5", "unit": "month", "when": "advance", "tax_class": "standard"}  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "said"),
    [({}, "12 bills"), ({"price": ""}, "bill runs would leave it out: Seat has no price"), ({"tax_class": "ferry"}, "No ferry tax rate is known for DE"), ({"price": "-5"}, "Price: Ensure"),
     ({"quantity": "1.1234567890123"}, "Quantity: Ensure"), ({"price": "999999999", "quantity": "999999999"}, "at most 92,233,720.36"), ({"price": "90000000", "quantity": "99999999"}, "more than can be booked"),
     ({"price_model": "graduated", "price": "", "tiers": "1,000 0.10\n* 0.05"}, "Line 1 of the tiers: 1,000 has a comma."), ({"price_model": "graduated", "price": "", "tiers": "10 1\n* 0,05"}, "Line 2 of the tiers: 0,05 has a comma."),
     ({"price_model": "graduated", "price": "", "tiers": "10, 0.1234567890123\n* 1"}, "more decimals than are kept"), ({"price_model": "graduated", "price": "", "tiers": "10 1 5.005\n* 1"}, "5.005 has more decimals"),
     ({"price_model": "graduated", "price": "", "tiers": "10 1 5 7\n* 1"}, "7 is too much"), ({"price_model": "graduated", "price": "", "tiers": "10, 1, 5\n* 1"}, "72.00"), ({"starts_on": "9999-12-31"}, "from 1970 to 2199")],
)  # fmt: skip
def test_the_first_year_says_what_it_comes_to_or_what_keeps_it_from_being_billed(browser, customer, asked, said):
    shown = browser.post("/contracts/new/", NEW | asked, headers={"HX-Request": "true"})
    assert shown.status_code == 200 and said in shown.content.decode() and not Contract.objects.exists()
    assert "novalidate" in browser.get("/contracts/new/").content.decode(), (
        "else the browser keeps back what is wrong, and an older preview stays"
    )


def test_what_few_items_say_stands_behind_a_heading_that_opens_where_something_is_said(browser, customer):
    page = browser.get("/contracts/new/").content.decode()
    assert page.count('<details class="more">') == 3 and "<legend>What is billed</legend>" in page
    assert len({*re.findall(r' name="(\w+)"', page)} & {*forms.ContractForm.base_fields}) == len(forms.ContractForm.base_fields)
    wrong = browser.post(
        "/contracts/new/", NEW | {"tax_class": "", "free_until": "2026-04-01", "notice_days": "0"}
    ).content.decode()
    assert wrong.count('<details class="more" open>') == 1 and wrong.count('<details class="more">') == 2


def test_what_is_used_is_not_said_to_cost_nothing(browser, customer, owner):
    meter = metering.add_meter(actor=owner, code="CALLS", name="Calls", method="count")
    shown = browser.post("/contracts/new/", NEW | {"meter": str(meter), "when": "arrears"}, headers={"HX-Request": "true"})
    assert "billed after each period" in shown.content.decode() and "Nothing would be billed" not in shown.content.decode()


def test_each_change_of_billed_days_is_shown_before_it_is_made(browser, bill, sign, make_customers):
    made = sign()
    bill()
    address, form = f"/contracts/{made}/amend/quantity/", {"on": "2026-01-15", "item_id": item(made), "quantity": "2"}
    assert "once more to do it" in browser.post(address, form).content.decode()
    other = browser.post(address, form | {"quantity": "200"})
    assert other.status_code == 200 and "once more to do it" in other.content.decode(), "that is another change"
    early = browser.post(f"/contracts/{made}/amend/terminate/", {"on": "2020-01-01"}).content.decode()
    assert "begins on 2026-01-01" in early and "once more to do it" not in early
    lost = browser.post(f"/contracts/{made}/amend/transfer/", {"on": "2026-04-01", "customer": "Nobody"}).content.decode()
    assert "There is no such customer, or more than one." in lost
    assert not Amendment.objects.exists()
    assert browser.post(address, form | {"quantity": "200"}).status_code == 302


def test_tax_that_is_rounded_once_is_explained_by_the_whole_of_it(browser, owner, entity, bill, sign):
    Entity.objects.filter(pk=entity.pk).update(tax_rounding="document")
    sign(*({"description": name, "unit_price_nano": 10_03 * 10**9} for name in "ABC"))
    bill(JAN)
    page = browser.get(f"/contracts/documents/{Invoice.objects.get().pk}/explained/").content.decode()
    assert "19 % of 30.09 = 5.7171, rounded to 5.72 tax; of that 1.90 is this line&#39;s (1.9057 by itself)." in page


def test_the_preview_of_a_change_says_that_its_contract_would_be_left_out(browser, sign):
    made = sign({"unit_price_nano": None})
    form = {"on": "2026-03-15", "item_id": item(made), "quantity": "2", "preview": "1"}
    shown = browser.post(f"/contracts/{made}/amend/quantity/", form).content.decode()
    assert "leave the contract out: Seat has no price." in shown and "what was billed is what is due" not in shown


def test_the_pages_preview_write_sign_and_amend(browser, owner, entity, sign, customer):
    made = sign()
    assert "Seat" in browser.get("/contracts/").content.decode() or "Globex" in browser.get("/contracts/").content.decode()
    shown = browser.get("/contracts/runs/preview/?as_of=2026-02-01").content.decode()
    assert "200.00" in shown and Charge.objects.count() == 0
    written = browser.post("/contracts/runs/start/?as_of=2026-02-01")
    run = BillRun.objects.get()
    assert written["Location"] == f"/contracts/runs/{run.pk}/" and Invoice.objects.get().state == "draft"
    assert "Sign and issue" in browser.get(f"/contracts/runs/{run.pk}/").content.decode()
    browser.post(f"/contracts/runs/{run.pk}/sign/")
    assert Invoice.objects.get().number == "INV-000001"
    form = {"on": "2026-02-15", "item_id": item(made), "quantity": "2", "because": "More people"}
    preview = browser.post(f"/contracts/{made}/amend/quantity/", form | {"preview": "1"}).content.decode()
    assert "difference to what was billed before; now due: 14 of 28 days" in preview and Amendment.objects.count() == 0
    assert browser.post(f"/contracts/{made}/amend/quantity/", form | {"quantity": "1.1234567890123"}).status_code == 400
    assert browser.post(f"/contracts/{made}/amend/quantity/", form).status_code == 302
    page = browser.get(f"/contracts/{made}/").content.decode()
    assert "Seat: 2 instead of 1" in page and "(More people)" in page
    bad = NEW | {"customer": "Nobody"}
    refused = browser.post("/contracts/new/", bad)
    assert refused.status_code == 400 and "There is no such customer" in refused.content.decode()
    assert browser.post("/contracts/new/", bad | {"customer": "Globex"}).status_code == 302
    assert Contract.objects.count() == 2
    rate = {"country": "AT", "tax_class": "standard", "rate": "20", "valid_from": "2026-01-01"}
    assert browser.post("/contracts/runs/tax-rates/", rate).status_code == 302
    assert browser.post("/contracts/runs/tax-rates/", rate).status_code == 400


def test_a_contract_is_made_amended_and_billed_over_http(api, customer):  # noqa: F811
    line = {"description": "Seat", "unit": "month", "unit_price_nano": 100_00 * 10**9}
    made = api.post(
        "/contracts", {"customer_id": customer, "currency": "EUR", "starts_on": "2026-01-01", "items": [line]}
    ).json()["result"]
    preview = api.get("/bill-preview?as_of=2026-02-01").json()
    assert (preview["documents"], preview["charges"], preview["totals"]) == (1, 2, [{"currency": "EUR", "net_minor": 200_00}])
    run = api.post("/bill-runs", {"as_of": "2026-02-01"}).json()["result"]
    assert [api.post(f"/bill-runs/{run}/part", {}).json()["result"] for _ in range(2)] == [0, 0]
    assert api.post(f"/bill-runs/{run}/sign", {"issue_on": "2026-02-01"}).json()["result"] == 0
    told = api.get(f"/contracts/{made}").json()
    assert [(c["net_minor"], c["invoice__state"]) for c in told["charges"]] == [(100_00, "open"), (100_00, "open")]
    shown = api.get(f"/contracts/{made}/amendment-preview?kind=terminate&on=2026-02-01&as_of=2026-02-01").json()
    assert ([row["net_minor"] for row in shown["items"]], shown["parked"]) == ([-100_00], [])
    amended = api.post(f"/contracts/{made}/amend", {"kind": "terminate", "on": "2026-02-01"})
    assert amended.status_code == 200
    assert api.get("/bill-preview?as_of=2026-02-01").json()["totals"] == [{"currency": "EUR", "net_minor": -100_00}]
    wrong = api.post("/contracts", {"customer_id": customer, "currency": "EUR", "starts_on": "2026-01-01", "items": []})
    assert wrong.status_code == 422


def test_a_change_previewed_over_http_says_that_its_contract_would_be_left_out(api, sign):  # noqa: F811
    made = sign({"unit_price_nano": None})
    asked = f"kind=quantity&on=2026-01-15&as_of=2026-03-01&item_id={item(made)}&quantity_micro=2000000"
    shown = api.get(f"/contracts/{made}/amendment-preview?{asked}").json()
    assert shown["items"] == [] and [p["code"] for p in shown["parked"]] == ["no_price"]


def test_a_quantity_that_changes_before_a_renewed_term_begins_holds_in_it_too(owner, bill, sign):
    made = sign(ends_on=date(2026, 4, 1))
    amendments.amend(actor=owner, contract_id=made, kind="renew", on=FEB, months=2, uplift_ppm=100_000)
    for on, units in ((FEB, 2), (MAR, 3)):
        running = next(i for i in Item.objects.filter(contract_id=made).order_by("-id") if i.starts_on <= on < i.ends_on)
        amendments.amend(actor=owner, contract_id=made, kind="quantity", on=on, item_id=running.pk, quantity_micro=units * 10**6)
    bill(date(2026, 12, 1))
    told = dict(Charge.objects.order_by("full_start").values_list("full_start", "net_minor"))
    assert told == {JAN: 100_00, FEB: 200_00, MAR: 300_00, date(2026, 4, 1): 330_00, date(2026, 5, 1): 330_00}
