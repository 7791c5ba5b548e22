"""Revenue of contracts: earned when it is served, whatever is billed when; the ledger says the same, to the cent, month after month."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from typer.testing import CliRunner

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from topline.billing import actions as billing
from topline.billing.models import Invoice
from topline.books import queries as books
from topline.books.models import Account, Entry, Transfer
from topline.catalog.models import Product
from topline.cli.commands import app
from topline.contracts import amendments, runs, schedules
from topline.contracts.models import Charge, Contract, Item
from topline.engine.rating.credit_notes import Chosen
from topline.flows import proofs
from topline.kernel import clock
from topline.kernel.errors import Conflict, Invalid, NotFound
from topline.recognition import actions, queries
from topline.recognition.models import Close, ContractBalance
from topline.team import actions as team
from topline.team.models import Member

JAN, FEB, MAR = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)
JAN31, FEB28, MAR31 = date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)
YEAR_ON = date(2027, 1, 1)


def held(entity, role, on):
    """Credit less debit of an account in the company's currency."""
    table = books.trial_balance(entity_id=entity.pk, as_of=on).filter(pl.col("role") == role)
    return -int(table["functional_minor"].sum())


def test_a_year_paid_ahead_is_earned_by_its_days_and_the_ledger_says_so(sign, bill, close, entity):
    sign()
    bill(JAN)
    assert held(entity, "revenue", JAN31) == 1_200_00
    close(JAN31)
    january = round(1_200_00 * 31 / 365)
    assert (held(entity, "revenue", JAN31), held(entity, "contract_liability", JAN31)) == (january, 1_200_00 - january)
    close(FEB28)
    until_february = round(1_200_00 * 59 / 365)
    assert abs(held(entity, "revenue", FEB28) - until_february) <= 1
    assert held(entity, "revenue", FEB28) + held(entity, "contract_liability", FEB28) == 1_200_00
    assert not [p.name for p in proofs.verify() if not p.holds]


def test_closing_again_posts_nothing_and_twelve_months_earn_all_of_it(sign, bill, close, entity):
    sign()
    bill(JAN)
    with clock.at(date(2027, 1, 5)):
        for month in range(1, 13):
            through = queries.month_end(date(2026, month, 1))
            close(through)
            before = books.trial_balance(entity_id=entity.pk).to_dicts()
            close(through)
            assert books.trial_balance(entity_id=entity.pk).to_dicts() == before
        assert (held(entity, "revenue", date(2026, 12, 31)), held(entity, "contract_liability", date(2026, 12, 31))) == (
            1_200_00,
            0,
        )


def test_what_is_billed_afterwards_is_an_asset_until_its_invoice(sign, bill, close, entity):
    sign({"unit": "quarter", "unit_price_nano": 900_00 * 10**9, "in_advance": False})
    close(JAN31)
    assert (held(entity, "contract_asset", JAN31), held(entity, "revenue", JAN31)) == (-310_00, 310_00)
    close(FEB28)
    bill(date(2026, 4, 1))
    close(MAR31)
    assert (held(entity, "contract_asset", MAR31), held(entity, "revenue", MAR31)) == (-900_00, 900_00)
    with clock.at(date(2026, 5, 2)):
        close(date(2026, 4, 30))
    april = round(900_00 * 30 / 91)  # of the next quarter
    assert (held(entity, "contract_asset", date(2026, 4, 30)), held(entity, "revenue", date(2026, 4, 30))) == (
        -april,
        900_00 + april,
    )


def test_a_discount_is_shared_by_what_each_item_costs_alone(owner, sign, bill, close, entity):
    """A set-up at 0.00 with a year of the platform: the set-up, worth 400.00 alone, takes its share and is earned on its day."""
    contract = sign({"description": "Set-up", "unit": "day", "ends_on": date(2026, 1, 2), "unit_price_nano": 0}, {})
    setup = Item.objects.get(contract_id=contract, description="Set-up")
    actions.set_rule(actor=owner, item_id=setup.pk, method="point", ssp_low_nano=400_00 * 10**9, ssp_high_nano=400_00 * 10**9)
    bill(JAN)
    told = queries.detail(entity, contract, through=JAN31)
    amounts = {o["description"]: o["amount_minor"] for o in told["obligations"]}
    assert amounts == {"Set-up": 300_00, "Platform": 900_00}
    close(JAN31)
    assert held(entity, "revenue", JAN31) == 300_00 + round(900_00 * 31 / 365)
    assert sum(m["amount_minor"] for m in told["months"]) == 1_200_00


def test_a_fee_without_a_service_of_its_own_is_earned_over_the_contract(owner, sign, bill, entity):
    contract = sign(
        {"description": "Joining fee", "unit": "day", "ends_on": date(2026, 1, 2), "unit_price_nano": 365_00 * 10**9}, {}
    )
    fee = Item.objects.get(contract_id=contract, description="Joining fee")
    actions.set_rule(actor=owner, item_id=fee.pk, method="term")
    bill(JAN)
    told = {o["description"]: o["earned_minor"] for o in queries.detail(entity, contract, through=JAN31)["obligations"]}
    assert told["Joining fee"] == 31_00


def test_a_milestone_earns_when_a_part_is_accepted(owner, sign, bill, close, entity):
    contract = sign({"description": "Migration", "unit": "day", "ends_on": date(2026, 1, 2), "unit_price_nano": 1_000_00 * 10**9})
    item = Item.objects.get(contract_id=contract)
    actions.set_rule(actor=owner, item_id=item.pk, method="milestone")
    bill(JAN)
    close(JAN31)
    assert (held(entity, "revenue", JAN31), held(entity, "contract_liability", JAN31)) == (0, 1_000_00)
    actions.accept_part(actor=owner, item_id=item.pk, on=date(2026, 2, 10), share_ppm=333_333)
    close(FEB28)
    assert held(entity, "revenue", FEB28) == 333_33
    actions.accept_part(actor=owner, item_id=item.pk, on=date(2026, 3, 10), share_ppm=666_667)
    close(MAR31)
    assert (held(entity, "revenue", MAR31), held(entity, "contract_liability", MAR31)) == (1_000_00, 0)
    with pytest.raises(Invalid, match="100 % are accepted"):
        actions.accept_part(actor=owner, item_id=item.pk, on=MAR, share_ppm=1)


def test_a_credit_note_takes_back_what_was_not_earned_and_what_was(owner, sign, bill, close, entity):
    sign()
    bill(JAN)
    close(JAN31)
    invoice = Invoice.objects.get()
    billing.credit_invoice(actor=owner, invoice_id=invoice.pk, total_minor=invoice.total_minor // 2, issue_on=FEB)
    close(FEB28)
    assert abs(held(entity, "revenue", FEB28) - round(600_00 * 59 / 365)) <= 1
    assert held(entity, "revenue", FEB28) + held(entity, "contract_liability", FEB28) == 600_00


def test_a_credit_note_by_lines_takes_back_from_the_contract_whose_line_it_is(owner, sign, bill, entity):
    first, second = sign({"description": "One"}), sign({"description": "Two"})
    bill(JAN)
    invoice = Invoice.objects.get()
    assert invoice.lines.count() == 2, "two contracts of a payer stand on one document"
    position = Charge.objects.get(item__contract_id=second).position
    billing.credit_invoice(actor=owner, invoice_id=invoice.pk, lines=[Chosen(position, net_minor=100_00)], issue_on=FEB)
    found = {row["contract_id"]: row["billed_minor"] for row in queries.balances(entity, through=FEB28).to_dicts()}
    whole = Charge.objects.get(item__contract_id=first).net_minor
    assert found == {first: whole, second: whole - 100_00}
    assert queries.detail(entity, first, through=FEB28)["balance"]["billed_minor"] == whole


def test_an_amendment_is_caught_up_in_its_month_and_all_is_earned_in_the_end(owner, sign, bill, close, entity):
    contract = sign({"unit": "month", "unit_price_nano": 100_00 * 10**9})
    bill(JAN)
    close(JAN31)
    assert held(entity, "revenue", JAN31) == 100_00
    item = Item.objects.get(contract_id=contract)
    amendments.amend(
        actor=owner,
        contract_id=contract,
        kind="quantity",
        on=date(2026, 2, 15),
        item_id=item.pk,
        quantity_micro=2 * 10**6,
        because="grew",
    )
    bill(date(2026, 2, 20))
    close(FEB28)
    assert held(entity, "revenue", FEB28) == 100_00 + 50_00 + 100_00
    assert not [p.name for p in proofs.verify() if not p.holds]


def test_the_cost_of_winning_a_contract_is_written_off_over_it(owner, sign, close, entity):
    contract = sign()
    actions.keep_cost(actor=owner, contract_id=contract, what="Commission", amount_minor=365_00, start=JAN, end=YEAR_ON)
    assert held(entity, "contract_costs", JAN) == -365_00
    close(JAN31)
    assert (held(entity, "contract_costs", JAN31), held(entity, "commissions", JAN31)) == (-334_00, 334_00)


def test_what_is_still_to_be_earned_and_the_waterfall_add_up_to_what_was_sold(sign, bill, entity):
    sign(ends_on=date(2028, 1, 1))
    bill(JAN)
    left = queries.remaining(entity, through=JAN31).row(0, named=True)
    assert left["left_minor"] == left["within_minor"] + left["later_minor"] == 2_400_00 - round(2_400_00 * 31 / 730)
    falls = queries.waterfall(entity, through=JAN31)
    assert falls["amount_minor"].sum() == 1_200_00 and falls["booked"].unique().to_list() == [JAN] and falls.height == 12


def test_the_page_of_the_waterfall_shows_months_as_amounts_and_as_a_file(owner, sign, bill, client):
    sign()
    bill(JAN)
    client.force_login(
        Member.objects.get(
            pk=team.add_member(
                actor=owner, email="a@acme.localhost", name="Ann", roles=["Owner"], password="a long enough phrase"
            )
        )
    )
    page = client.get("/revenue/waterfall/?through=2026-01-31").content.decode()
    assert "Jan 2026" in page and "Feb 26" in page
    assert client.get("/revenue/waterfall/?through=2026-01-31&export=xlsx").status_code == 200


def test_closed_months_roll_forward(sign, bill, close, entity):
    sign()
    bill(JAN)
    for through in (JAN31, FEB28, MAR31):
        close(through)
    rows = queries.rolled(entity).to_dicts()
    assert [r["through"] for r in rows] == [MAR31, FEB28, JAN31]
    for r in rows:
        assert r["opening_minor"] + r["billed_minor"] - r["earned_minor"] == r["closing_minor"]
    assert rows[1]["closing_minor"] == rows[0]["opening_minor"]


def test_a_balance_in_another_currency_stands_at_the_rate_of_its_invoice(owner, sign, bill, close, entity):
    sign(currency="USD")
    bill(JAN)
    worth = Invoice.objects.get().functional_minor
    close(JAN31)
    net = round(worth * 1_200_00 / Invoice.objects.get().total_minor)
    january = round(1_200_00 * 31 / 365)
    assert held(entity, "contract_liability", JAN31) == pytest.approx(net * (1_200_00 - january) / 1_200_00, abs=1)


def test_a_month_with_drafts_or_before_a_closed_one_or_not_over_is_not_closed(owner, sign, bill, close, entity):
    sign()
    drafted = runs.run(actor=owner, entity_id=entity.pk, as_of=JAN, sign=False)
    with pytest.raises(actions.DraftsWait, match="1 document for days"):
        close(JAN31)
    assert not Close.objects.exists()
    runs.sign_run(actor=owner, run_id=drafted.pk, issue_on=JAN)
    close(FEB28)
    with pytest.raises(actions.MonthPassed):
        close(JAN31)
    with pytest.raises(Invalid, match="not over"):
        close(date(2026, 4, 30))
    with pytest.raises(Invalid, match="does not end a month"):
        close(date(2026, 3, 30))
    with pytest.raises(NotFound):
        actions.close_month(actor=owner, entity_id=10**9, through=MAR31)


def test_rules_costs_and_acceptances_refuse_what_makes_no_sense(owner, sign, entity):
    contract = sign()
    item = Item.objects.get(contract_id=contract)
    for facts, error in (
        ({"method": "day"}, Invalid), ({"method": "magic", "item_id": item.pk}, Invalid), ({"method": "day", "item_id": 10**9}, NotFound), ({"method": "day", "product_id": 10**9}, NotFound),
        ({"method": "day", "item_id": item.pk, "ssp_low_nano": 1}, Invalid), ({"method": "day", "item_id": item.pk, "ssp_low_nano": 2, "ssp_high_nano": 1}, Invalid),
    ):  # fmt: skip
        with pytest.raises(error):
            actions.set_rule(actor=owner, **facts)
    cost = {"contract_id": contract, "what": "Commission", "amount_minor": 1_00, "start": JAN, "end": YEAR_ON}
    for facts, error in (
        ({"amount_minor": 0}, Invalid),
        ({"end": JAN}, Invalid),
        ({"what": " "}, Invalid),
        ({"contract_id": 10**9}, NotFound),
    ):
        with pytest.raises(error):
            actions.keep_cost(actor=owner, **cost | facts)
    for facts, error in (
        ({"share_ppm": 0}, Invalid),
        ({"share_ppm": -1}, Invalid),
        ({"on": date(2025, 12, 31)}, Invalid),
        ({"on": date(2026, 4, 3)}, Invalid),
        ({"item_id": 10**9}, NotFound),
    ):
        with pytest.raises(error):
            actions.accept_part(actor=owner, **{"item_id": item.pk, "on": FEB, "share_ppm": 500_000} | facts)


def test_companies_older_than_recognition_get_its_accounts(sign, bill, close, entity):
    Account.objects.filter(entity=entity, role__in=["contract_asset", "contract_costs", "commissions"]).delete()
    Account.objects.create(entity=entity, code="1150", name="Ours already", kind="asset")
    sign()
    bill(JAN)
    close(JAN31)
    assert Account.objects.get(entity=entity, role="contract_asset").code == "1150-1"


def test_a_booking_by_hand_in_a_liability_shows(owner, sign, bill, close, entity):
    sign()
    bill(JAN)
    close(JAN31)
    assert queries.off_the_books().is_empty()
    row = ContractBalance.objects.get()
    accounts = dict(Account.objects.filter(entity=entity).values_list("role", "id"))
    entry = Entry.objects.create(entity=entity, key="by-hand", kind="manual", effective_on=JAN31, recorded_at=clock.now())
    Transfer.objects.create(
        entry=entry,
        debit_account_id=accounts["revenue"],
        credit_account_id=accounts["contract_liability"],
        currency="EUR",
        amount_minor=5,
        functional_minor=5,
        customer_id=row.customer_id,
    )
    assert queries.off_the_books()["off_minor"].to_list() == [5]
    assert "revenue stands where it was earned" in [p.name for p in proofs.verify() if not p.holds]


def test_statements_do_not_grow_with_contracts(owner, sign, bill, close, entity, django_assert_max_num_queries):
    for _ in range(3):
        sign()
    bill(JAN)
    with django_assert_max_num_queries(45):
        close(JAN31)
    for _ in range(20):
        sign()
    bill(JAN)
    with django_assert_max_num_queries(45):
        close(FEB28)
    assert ContractBalance.objects.filter(close__through=FEB28).count() == 23
    assert Contract.objects.count() == 23 and Product.objects.count() == 0 and isinstance(actions.DraftsWait("x"), Conflict)


def test_a_product_is_said_to_be_earned_otherwise_on_its_page_by_those_who_may(owner, client, entity):
    from topline.catalog import actions as catalog

    catalog.add_products(actor=owner, products=pl.DataFrame({"code": ["FEE"], "name": ["Joining fee"]}))
    for role, status in (("Sales", 403), ("Owner", 302)):
        member = team.add_member(
            actor=owner, email=f"{role.lower()}@acme.localhost", name=role, roles=[role], password="a long enough phrase"
        )
        client.force_login(Member.objects.get(pk=member))
        assert client.post("/revenue/rules/set/", {"product": "fee", "method": "term"}).status_code == status
    assert "Joining fee" in client.get("/revenue/rules/").content.decode()
    refused = client.post("/revenue/rules/set/", {"product": "none", "method": "term"})
    assert refused.status_code == 400 and "Give a code of the catalog" in refused.content.decode()


def test_a_credit_note_of_several_contracts_is_shared_over_them_however_they_are_read(owner, sign, bill, entity, monkeypatch):
    contracts_of_one_invoice = [sign(), sign({"unit_price_nano": 2_400_00 * 10**9})]
    bill(JAN)
    invoice = Invoice.objects.get()
    billing.credit_invoice(actor=owner, invoice_id=invoice.pk, total_minor=invoice.total_minor // 4, issue_on=FEB)
    whole = queries.balances(entity, through=FEB28)
    assert whole["billed_minor"].to_list() == [900_00, 1_800_00]
    each = [queries.detail(entity, c, through=FEB28)["balance"] for c in contracts_of_one_invoice]
    assert each == whole.to_dicts()
    waterfall, left = queries.waterfall(entity, through=FEB28, by="booked"), queries.remaining(entity, through=FEB28)
    monkeypatch.setattr("topline.recognition.facts.CHUNK", 1)
    assert queries.balances(entity, through=FEB28).equals(whole)
    assert queries.waterfall(entity, through=FEB28, by="booked").equals(waterfall)
    assert queries.remaining(entity, through=FEB28).equals(left)


def test_an_accepted_milestone_of_a_billing_schedule_earns_its_part(owner, sign, close, entity):
    contract = sign({"description": "Migration", "unit": "day", "ends_on": date(2026, 1, 2), "unit_price_nano": 1_000_00 * 10**9})
    item = Item.objects.get(contract_id=contract)
    actions.set_rule(actor=owner, item_id=item.pk, method="milestone")
    parts = [("Deposit", 100_00, JAN), ("Design", 300_00, None), ("Go-live", 600_00, None)]
    told = [{"description": d, "amount_minor": a, "due_on": on} for d, a, on in parts]
    schedules.set_schedule(actor=owner, item_id=item.pk, parts=told)
    design, live = item.parts.filter(due_on__isnull=True).order_by("position")
    schedules.accept_milestone(actor=owner, part_id=design.pk, on=date(2026, 2, 10), accepted_by="Ann")
    close(FEB28)
    assert held(entity, "revenue", FEB28) == 333_33
    schedules.accept_milestone(actor=owner, part_id=live.pk, on=date(2026, 3, 10), accepted_by="Ann")
    close(MAR31)
    assert held(entity, "revenue", MAR31) == 1_000_00


def test_what_is_earned_or_billed_beyond_a_year_is_not_current(owner, sign, bill, entity, client):
    """Three years paid ahead, with an end and without one; three years billed afterwards; and a year of each, which is current."""
    three = {"every": 3, "unit_price_nano": 3_600_00 * 10**9}
    ahead, open_end = sign(three, ends_on=date(2029, 1, 1)), sign(three, ends_on=None)
    after = sign(three | {"in_advance": False}, ends_on=date(2029, 1, 1))
    yearly = sign({"in_advance": False}, ends_on=date(2029, 1, 1))
    year = sign()
    bill(MAR31)
    rows = {r["contract_id"]: r for r in queries.balances(entity, through=MAR31).to_dicts()}
    days, beyond = (date(2029, 1, 1) - JAN).days, (date(2029, 1, 1) - date(2027, 4, 1)).days
    for made in (ahead, open_end):
        assert rows[made]["liability_later_minor"] == pytest.approx(3_600_00 * beyond / days, abs=12)  # months are rounded
        assert rows[made]["liability_minor"] == pytest.approx(3_600_00 * (days - 90) / days, abs=12)
    assert rows[after]["asset_later_minor"] == rows[after]["asset_minor"] > 0
    assert (rows[yearly]["asset_later_minor"], rows[year]["liability_later_minor"]) == (0, 0) and rows[yearly]["asset_minor"] > 0
    client.force_login(Member.objects.get(pk=team.add_member(actor=owner, email="r@example.com", name="Ria", roles=["RevOps"], password="a long enough phrase")))  # fmt: skip
    page = client.get("/revenue/?through=2026-03-31").content.decode()
    later = sum(rows[made]["liability_later_minor"] for made in (ahead, open_end))
    assert f"beyond a year {later / 100:,.2f}" in page and f"{rows[ahead]['liability_later_minor'] / 100:,.2f}" in page


def test_the_command_line_says_it_in_numbers_names_and_amounts(owner, sign, bill, entity, customer):
    contract = sign(ends_on=date(2028, 1, 1))
    bill(JAN)
    product = Product.objects.create(code="SEAT", name="Seats", created_at=clock.now())
    actions.set_standalone_price(actor=owner, product_id=product.pk, currency="EUR", valid_from=JAN, low_nano=95_00 * 10**9, high_nano=105_50 * 10**9, basis="market", because="List")  # fmt: skip
    number = Contract.objects.get(pk=contract).number

    def told(*words):
        done = CliRunner().invoke(app, ["revenue", *words], env={"COLUMNS": "160"})
        assert done.exit_code == 0, done.output
        return [line.split() for line in done.output.splitlines()]

    assert [number, "Globex", "1,200.00", "1,098.08", "0.00", "2,298.08", "EUR"] in told("remaining", "--through", "2026-01-31")
    assert ["Jan", "2026", "Feb", "2026", "92.05", "EUR"] in told("waterfall", "--through", "2026-01-31")
    assert ["SEAT", "2026-01-01", "95.00", "105.50", "EUR", "market", "List"] in told("prices")
