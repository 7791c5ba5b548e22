"""Discounts, trials, and changes inside a period: what is taken off, given back and charged, and when."""

from __future__ import annotations

from datetime import date

import pytest
from django.db.models import Sum
from django.test import Client

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from tests.pipeline.conftest import products, team  # noqa: F401
from tests.quotes.conftest import accept, deal, manager, send, write  # noqa: F401
from topline.billing import actions as billing
from topline.billing import taxes
from topline.billing.models import Invoice, InvoiceLine
from topline.books.models import Entity
from topline.catalog import promotions
from topline.contracts import actions, amendments, bills, queries, runs
from topline.contracts.models import Amendment, Charge, Contract, Discount, Item
from topline.contracts.pages import made
from topline.engine.rating.credit_notes import Chosen, CreditTooLarge
from topline.kernel import clock
from topline.kernel.errors import Invalid, NotFound
from topline.team import actions as members
from topline.team.models import Member

JAN, FEB, MAR, APR = (date(2026, m, 1) for m in (1, 2, 3, 4))
NANO, MICRO = 10**9, 10**6


@pytest.fixture(autouse=True)
def _home(owner, entity):
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 3, 2)):
        yield


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex")[0]


@pytest.fixture
def sign(owner, entity, customer):
    """A contract of one seat at 100.00 a month from January on, unless told; returns its id."""

    def make(*items, **facts):
        usual = {"description": "Seat", "quantity_micro": MICRO, "unit_price_nano": 100_00 * NANO, "unit": "month"}
        told = {"customer_id": customer, "currency": "EUR", "starts_on": JAN} | facts
        return actions.add_contract(actor=owner, entity_id=entity.pk, items=[usual | i for i in (items or ({},))], **told)

    return make


@pytest.fixture
def bill(owner, entity):
    """Bill up to a day; what the run charged by item and period."""

    def make(as_of):
        run = runs.run(actor=owner, entity_id=entity.pk, as_of=as_of)
        rows = Charge.objects.filter(run=run).order_by("full_start", "item_id").values_list("item__description", "full_start", "net_minor")  # fmt: skip
        return [(name, start, cents) for name, start, cents in rows]

    return make


def charged(contract):
    rows = Charge.objects.filter(item__contract_id=contract).order_by("full_start", "item_id", "sequence")
    return [(start.month, cents) for start, cents in rows.values_list("full_start", "net_minor")]


def item(contract):
    return Item.objects.filter(contract_id=contract).order_by("-id").first().pk


def test_shares_and_amounts_are_taken_off_in_order_for_their_periods_and_told(owner, sign, bill):
    made = sign({}, {"description": "Set-up", "unit": "day", "ends_on": date(2026, 1, 2), "unit_price_nano": 50_00 * NANO})
    seat, _ = Item.objects.order_by("id").values_list("id", flat=True)
    off = {"actor": owner, "contract_id": made, "starts_on": JAN}
    actions.add_discount(**off, name="SPRING", share_ppm=100_000, unit="month", periods=2, item_id=seat)
    actions.add_discount(**off, name="GIFT", amount_minor=150_00, unit="once")
    actions.add_discount(**off, name="LOYAL", amount_minor=5_00, unit="month")
    assert queries.value(made)[0] is None, "it has no end"
    assert bill(JAN) == [], "90.00 and 50.00 are less than the gift of 150.00"
    assert bill(FEB) == [("Seat", FEB, 75_00)], "90.00 less the last 10.00 of the gift, less 5.00"
    assert bill(MAR) == [("Seat", MAR, 95_00)]
    assert bill(MAR) == []
    line = InvoiceLine.objects.order_by("id").first()
    assert "less SPRING, GIFT, LOYAL" in line.description
    told = {d["name"]: d for d in queries.discounts(made, on=MAR)}
    assert (told["SPRING"]["last_on"], told["SPRING"]["holds"], told["LOYAL"]["holds"]) == (MAR, False, True)
    steps = Charge.objects.get(full_start=FEB).explained
    assert [(s["off"], s["minor"]) for s in steps] == [("SPRING", -10_00), ("GIFT", -10_00), ("LOYAL", -5_00)]
    actions.end_discount(actor=owner, discount_id=Discount.objects.get(name="LOYAL").pk, on=APR)
    assert bill(APR) == [("Seat", APR, 100_00)]


def test_a_discount_of_days_that_were_billed_gives_back_what_it_takes_off(owner, sign, bill):
    made = sign()
    bill(FEB)
    actions.add_discount(actor=owner, contract_id=made, name="LATE", share_ppm=250_000, unit="month", starts_on=FEB)
    assert bill(FEB) == [("Seat", FEB, -25_00)]
    assert charged(made) == [(1, 100_00), (2, 100_00), (2, -25_00)]


@pytest.mark.parametrize(
    ("said", "field"),
    [({"share_ppm": 1, "amount_minor": 1}, "share_ppm"), ({}, "share_ppm"), ({"share_ppm": 1_000_001}, "share_ppm"), ({"amount_minor": -1}, "amount_minor"), ({"share_ppm": 1, "unit": "decade"}, "unit"),
     ({"share_ppm": 1, "periods": 0}, "periods"), ({"share_ppm": 1, "item_id": 999}, "item_id"), ({"share_ppm": 1, "name": " "}, "name")],
)  # fmt: skip
def test_a_discount_that_cannot_be_is_refused_at_its_field(owner, sign, said, field):
    usual = {"name": "X", "unit": "month", "starts_on": JAN}
    with pytest.raises((Invalid, NotFound)) as refused:
        actions.add_discount(actor=owner, contract_id=sign(), **usual | said)
    assert refused.value.field == field and not Discount.objects.exists()


def test_a_trial_costs_nothing_until_its_day_and_the_first_period_costs_its_rest(sign, bill):
    made = sign({"free_until": date(2026, 2, 15)})
    assert bill(FEB) == []
    bill(MAR)
    assert charged(made) == [(2, 50_00), (3, 100_00)]


def test_free_periods_of_a_quote_come_first_and_the_rest_adds_up_to_it(owner, bill, send, accept, products):  # noqa: F811
    promotions.add_promotion(actor=owner, code="THREE", name="Three months free", kind="free_periods", free_periods=3, starts_on=date(2025, 1, 1))  # fmt: skip
    sent = send({"quantity_micro": 7 * MICRO, "periods": 12, "manual_ppm": 33_333}, bill_every="month", months=12, starts_on=date(2026, 1, 31), promotions=["THREE"])  # fmt: skip
    accept(sent)
    made = actions.make_contract(actor=owner, quote_id=sent.quote.pk)
    bill(date(2027, 1, 30))
    told = charged(made)
    assert ([m for m, _ in told], sum(c for _, c in told)) == ([4, 5, 6, 7, 8, 9, 10, 11, 12], sent.quote.net_minor) or (len(told), sum(c for _, c in told)) == (9, sent.quote.net_minor)  # fmt: skip
    assert Charge.objects.order_by("full_start").first().full_start == date(2026, 4, 30), "a 31st stays a 31st"
    assert queries.out_of_balance().is_empty()


@pytest.mark.parametrize(
    ("manual_ppm", "share", "times"), [(33_333, 500_000, 3), (0, 333_333, 5), (271_828, 900_000, 11), (10_001, 10_000, 1)]
)
def test_a_percentage_of_first_periods_stays_a_discount_and_adds_up(owner, bill, send, accept, products, manual_ppm, share, times):  # noqa: F811  # fmt: skip
    promotions.add_promotion(actor=owner, code="START", name="A good start", kind="percent", percent_ppm=share, periods=times, starts_on=date(2025, 1, 1))  # fmt: skip
    with pytest.raises(Invalid):
        promotions.add_promotion(actor=owner, code="BAD", name="Bad", kind="fixed", fixed_minor=1, currency="EUR", periods=2, starts_on=date(2025, 1, 1))  # fmt: skip
    line = {"quantity_micro": 7 * MICRO, "periods": 12, "manual_ppm": manual_ppm}
    sent = send(line, line, bill_every="month", months=12, starts_on=JAN, promotions=["START"])
    accept(sent)
    made = actions.make_contract(actor=owner, quote_id=sent.quote.pk)
    told = list(Discount.objects.filter(contract=made).order_by("id").values_list("name", "share_ppm", "periods", "starts_on"))
    assert told == [("START", share, times, JAN), ("START, 2", share, times, JAN)]
    assert queries.out_of_balance().is_empty()
    bill(date(2026, 12, 31))
    nets = list(Charge.objects.filter(item=Item.objects.filter(contract=made).first()).order_by("full_start").values_list("net_minor", flat=True))  # fmt: skip
    assert len(nets) == 12 and Charge.objects.aggregate(sum=Sum("net_minor"))["sum"] == sent.quote.net_minor
    assert all(abs(net - nets[-1] * (10**6 - share) / 10**6) <= 1 for net in nets[:times])


def test_a_discount_of_an_item_outlives_a_change_of_its_quantity(owner, sign, bill):
    made = sign()
    actions.add_discount(actor=owner, contract_id=made, name="HALF", share_ppm=500_000, unit="month", periods=2, starts_on=JAN, item_id=item(made))  # fmt: skip
    bill(JAN)
    amendments.amend(actor=owner, contract_id=made, kind="quantity", on=FEB, item_id=item(made), quantity_micro=3 * MICRO)
    bill(FEB), bill(MAR)
    assert charged(made) == [(1, 50_00), (2, 150_00), (3, 300_00)]


ON = date(2026, 1, 17)


@pytest.mark.parametrize(
    ("mode", "january", "later"),
    [("invoice_now", [("Seat", JAN, -48_39), ("Seat", JAN, 96_77)], [("Seat", FEB, 200_00)]),
     ("with_next_invoice", [], [("Seat", JAN, -48_39), ("Seat", JAN, 96_77), ("Seat", FEB, 200_00)]),
     ("at_period_end", [], [("Seat", FEB, 200_00)]),
     ("restart", [("Seat", JAN, -48_39), ("Seat", ON, 200_00)], [])],
)  # fmt: skip
def test_a_dearer_quantity_is_billed_by_the_mode_that_the_contract_names(owner, sign, bill, mode, january, later):
    made = sign(on_upgrade=mode, on_downgrade="at_period_end")
    bill(JAN)
    amendments.amend(actor=owner, contract_id=made, kind="quantity", on=ON, item_id=item(made), quantity_micro=2 * MICRO)
    assert Amendment.objects.get().mode == mode
    assert (bill(ON), bill(FEB)) == (january, later)


def test_a_plan_takes_the_place_of_another_and_a_cheaper_one_waits_for_the_period(owner, sign, bill):
    made = sign({"unit": "year", "unit_price_nano": 1_200_00 * NANO, "description": "Gold"}, on_downgrade="at_period_end")
    bill(JAN)
    plan = {"description": "Silver", "unit_price_nano": 10_00 * NANO, "unit": "month"}
    amendments.amend(actor=owner, contract_id=made, kind="plan", on=ON, item_id=item(made), item=plan)
    amended = Amendment.objects.get()
    assert (amended.effective_on, amended.told) == (date(2027, 1, 1), "Gold became Silver")
    assert bill(date(2027, 1, 1)) == [("Silver", date(2027, 1, 1), 10_00)]
    with pytest.raises(Invalid, match="mode of proration"):
        amendments.amend(
            actor=owner, contract_id=made, kind="plan", on=date(2027, 1, 5), item_id=item(made), item=plan, mode="soon"
        )


def test_a_pause_without_end_lasts_until_it_is_resumed_and_one_with_end_may_be_cut_short(owner, sign, bill):
    made = sign(ends_on=date(2026, 7, 1))
    change = {"actor": owner, "contract_id": made}
    amendments.amend(**change, kind="pause", on=FEB)
    with pytest.raises(Invalid, match="later day"):
        amendments.amend(**change, kind="resume", on=date(2026, 1, 15))
    amendments.amend(**change, kind="resume", on=MAR)
    with pytest.raises(Invalid, match="is not paused"):
        amendments.amend(**change, kind="resume", on=MAR)
    amendments.amend(**change, kind="pause", on=APR, until=date(2026, 6, 1))
    amendments.amend(**change, kind="resume", on=date(2026, 5, 1))
    bill(date(2026, 12, 1))
    assert charged(made) == [(1, 100_00), (3, 100_00), (5, 100_00), (6, 100_00)]


def test_another_item_begins_with_the_periods_of_the_contract_and_ends_move_together(owner, sign, bill):
    made = sign(ends_on=date(2026, 4, 15), starts_on=date(2026, 1, 10))
    more = {"description": "Extra", "quantity_micro": MICRO, "unit_price_nano": 31_00 * NANO, "unit": "month", "aligned": True}
    amendments.amend(actor=owner, contract_id=made, kind="add", on=date(2026, 1, 20), item=more)
    amendments.amend(actor=owner, contract_id=made, kind="co_term", on=FEB, until=date(2026, 6, 10))
    bill(date(2026, 12, 1))
    rows = Charge.objects.filter(item__description="Extra").order_by("start").values_list("start", "end", "net_minor")
    assert rows[0] == (date(2026, 1, 20), date(2026, 2, 10), 21_00), "21 of 31 days, then with the others"
    assert rows.last()[1] == date(2026, 6, 10) and Contract.objects.get().ends_on == date(2026, 6, 10)


def test_months_may_have_thirty_days(sign, bill):
    made = sign({"day": 10, "starts_on": date(2026, 1, 31)}, month_days=30)
    bill(FEB)
    assert charged(made) == [(1, 33_33)], "from the 30th to the 10th: ten of thirty days"


def test_the_pages_show_a_backdated_change_first_and_the_builder_shows_the_first_year(owner, entity, customer, sign, bill, api):  # noqa: F811
    made = sign()
    bill(FEB)
    pk = members.add_member(
        actor=owner, email="bela@acme.localhost", name="Bela", roles=["Billing"], password="a long enough phrase"
    )
    browser = Client()
    browser.force_login(Member.objects.get(pk=pk))
    change = {"on": "2026-01-17", "item_id": item(made), "quantity": "2"}
    shown = browser.post(f"/contracts/{made}/amend/quantity/", change).content.decode()
    assert "given back and billed anew" in shown and not Amendment.objects.exists()
    told = api.get(f"/contracts/{made}/amendment-preview?kind=quantity&on=2026-01-17&as_of=2026-02-01&item_id={item(made)}&quantity_micro=2000000").json()["items"]  # fmt: skip
    assert sum(row["net_minor"] for row in told) == 48_38 + 100_00 and not Amendment.objects.exists()
    assert browser.post(f"/contracts/{made}/amend/quantity/", change).status_code == 302
    off = {"name": "SPRING", "share": "10", "unit": "month", "periods": "3", "starts_on": "2026-03-01"}
    assert browser.post(f"/contracts/{made}/discounts/new/", off).status_code == 302
    assert browser.post(f"/contracts/{made}/discounts/new/", off | {"name": "B", "share": ""}).status_code == 400
    page = browser.get(f"/contracts/{made}/").content.decode()
    assert "10 % each month, 3 times" in page and "SPRING" in page
    assert api.post(f"/contract-discounts/{Discount.objects.get().pk}/end", {"on": "2026-04-01"}).status_code == 200
    assert api.get(f"/contracts/{made}").json()["discounts"][0]["ended_on"] == "2026-04-01"
    form = {"customer": "Globex", "currency": "EUR", "starts_on": "2026-03-01", "terms": "net 30", "renews_months": "0", "notice_days": "0", "on_upgrade": "invoice_now", "on_downgrade": "at_period_end", "description": "Seat", "quantity": "3", "price": "5", "unit": "month", "when": "advance", "tax_class": "standard", "free_until": "2026-04-01"}  # fmt: skip
    year = browser.post("/contracts/new/", form, HTTP_HX_REQUEST="true").content.decode()
    assert "11 bills, 165.00 EUR net" in year and Contract.objects.count() == 1
    assert (
        "Before it can be shown"
        in browser.post("/contracts/new/", form | {"price": "-1"}, HTTP_HX_REQUEST="true").content.decode()
    )
    assert browser.post("/contracts/new/", form).status_code == 302
    assert Contract.objects.order_by("-id").first().on_downgrade == "at_period_end"


def test_a_change_gives_back_no_more_of_a_month_than_a_credit_note_by_hand_left(owner, sign, bill):
    contract = sign()
    bill(JAN)
    invoice = InvoiceLine.objects.get().invoice_id
    billing.credit_invoice(actor=owner, invoice_id=invoice, issue_on=JAN, lines=[Chosen(position=1, net_minor=40_00)])
    amendments.amend(actor=owner, contract_id=contract, kind="terminate", on=date(2026, 1, 2))
    assert bill(FEB) == [("Seat", JAN, -60_00)], "30 of 31 days come to 96.77, of which 40.00 were given back before"
    assert "no more is given back than credit notes of 40.00 left" in made(
        {"explained": Charge.objects.latest("id").explained, "days": 1, "full_days": 31, "is_again": True}, "EUR"
    )
    assert bill(MAR) == [], "and it is not asked again"


def test_what_a_day_before_the_contract_begins_would_bill_is_refused(sign):
    contract = sign(starts_on=FEB)
    with pytest.raises(Invalid, match="begins on 2026-02-01"):
        bills.tried(lambda: contract, as_of=JAN)
    assert bills.tried(lambda: contract, as_of=FEB).lines["net_minor"].to_list() == [100_00]


def test_discounts_that_still_hold_go_with_a_contract_to_its_new_customer(owner, sign, bill, make_customers):
    (heir,) = make_customers("Heir")
    contract = sign()
    say = {"actor": owner, "contract_id": contract, "starts_on": JAN, "unit": "month"}
    actions.add_discount(**say, name="Half", share_ppm=500_000, periods=3, item_id=item(contract))
    actions.add_discount(**say, name="Ten", amount_minor=10_00, periods=4)
    actions.add_discount(**say | {"unit": "once"}, name="Welcome", amount_minor=5_00)
    amendments.amend(actor=owner, contract_id=contract, kind="transfer", on=date(2026, 2, 15), customer_id=heir)
    bill(date(2026, 5, 1))
    theirs = Contract.objects.get(customer_id=heir)
    # half of the rest of February and of March; the ten of February were given to the customer before, those of March and April are left
    assert charged(contract) == [(1, 35_00), (2, 15_00)]
    assert charged(theirs.pk) == [(2, 25_00), (3, 40_00), (4, 90_00), (5, 100_00)]
    assert [(d.name, d.starts_on, d.periods) for d in theirs.discounts.order_by("id")] == [("Half", JAN, 3), ("Ten", MAR, 2)]


def test_what_a_run_gives_back_names_its_invoice_so_that_no_more_can_be_credited_by_hand(owner, sign, bill):
    contract = sign({"description": "Desk"}, {"description": "Seat"})
    bill(JAN)
    (invoice,) = Invoice.objects.all()
    amendments.amend(actor=owner, contract_id=contract, kind="terminate", on=date(2026, 1, 17))
    bill(FEB)
    note = Invoice.objects.get(kind="credit_note")
    invoice.refresh_from_db()
    assert (note.corrects_id, note.state, note.total_minor, invoice.allocated_minor) == (invoice.pk, "paid", 115_16, 115_16)
    assert list(note.lines.order_by("position").values_list("position", "net_minor")) == [(1, 48_39), (2, 48_39)]
    with pytest.raises(CreditTooLarge):
        billing.credit_invoice(actor=owner, invoice_id=invoice.pk, issue_on=FEB, lines=[Chosen(position=1, net_minor=60_00)])
    billing.credit_invoice(actor=owner, invoice_id=invoice.pk, issue_on=FEB)
    assert sum(Invoice.objects.filter(kind="credit_note").values_list("total_minor", flat=True)) == invoice.total_minor


def test_a_document_that_charges_and_gives_back_stays_one(owner, sign, bill):
    contract = sign({"description": "Desk"})
    bill(JAN)
    amendments.amend(
        actor=owner, contract_id=contract, kind="quantity", on=date(2026, 1, 17), item_id=item(contract), quantity_micro=2 * MICRO
    )
    bill(date(2026, 1, 20))
    assert list(Invoice.objects.order_by("id").values_list("kind", "corrects_id", "net_minor")) == [
        ("invoice", None, 100_00),
        ("invoice", None, 48_38),
    ]
