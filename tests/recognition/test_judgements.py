"""What somebody judges, through the door: prices alone, variable amounts, how an amendment is accounted for, what if; and what the ledger makes of it."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from tests.recognition.test_recognition import held
from topline.billing import actions as billing
from topline.billing.models import Invoice
from topline.books.models import Entry
from topline.catalog import actions as catalog
from topline.catalog.models import Product
from topline.contracts import amendments
from topline.contracts.models import Amendment, Item
from topline.flows import proofs
from topline.kernel import clock
from topline.kernel.errors import Invalid, NotFound
from topline.recognition import actions, queries
from topline.recognition.facts import Assumed
from topline.recognition.models import ContractBalance, StandalonePrice
from topline.team import actions as team
from topline.team.models import Member

JAN, FEB, MAR, APR = (date(2026, m, 1) for m in (1, 2, 3, 4))
JAN31, FEB28, MAR31 = date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)
NANO = 10**9
CERTAIN = 1_000_000
SETUP = {"description": "Set-up", "unit": "day", "ends_on": date(2026, 1, 2), "unit_price_nano": 0}


@pytest.fixture
def product(owner):
    """Make a product; returns its id."""

    def make(code):
        catalog.add_products(actor=owner, products=pl.DataFrame({"code": [code], "name": [code.capitalize()]}))
        return Product.objects.get(code=code).pk

    return make


@pytest.fixture
def price(owner):
    """Say what a product costs alone, in euros."""

    def say(product_id, low, high=None, *, since=date(2020, 1, 1), basis="market"):
        ends = {"low_nano": low * 100 * NANO, "high_nano": (high or low) * 100 * NANO}
        return actions.set_standalone_price(
            actor=owner, product_id=product_id, currency="EUR", valid_from=since, basis=basis, **ends
        )

    return say


@pytest.fixture
def signed_in(owner, client):
    member = team.add_member(actor=owner, email="a@acme.localhost", name="Ann", roles=["Owner"], password="a long enough phrase")
    client.force_login(Member.objects.get(pk=member))
    return client


def promise(owner, contract, amount, *, on=JAN, **more):
    return actions.add_variable_amount(
        actor=owner,
        contract_id=contract,
        what="Bonus",
        on=on,
        outcomes=[{"amount_minor": amount, "probability_ppm": CERTAIN}],
        **more,
    )


def estimate(owner, element, amount, on, **more):
    return actions.estimate_variable_amount(
        actor=owner, element_id=element, on=on, outcomes=[{"amount_minor": amount, "probability_ppm": CERTAIN}], **more
    )


def shares(entity, contract, **more):
    return {o["description"]: o["amount_minor"] for o in queries.detail(entity, contract, through=JAN31, **more)["obligations"]}


def amend(owner, contract, kind, on, **said):
    return amendments.amend(actor=owner, contract_id=contract, kind=kind, on=on, because="agreed", **said)


def test_a_price_alone_counts_for_contracts_that_begin_from_its_day_on(owner, sign, product, price, entity):
    fee = product("FEE")
    price(fee, 400)
    old = sign(SETUP | {"product_id": fee}, {})
    price(fee, 1_200, since=date(2026, 2, 1))
    new = sign(SETUP | {"product_id": fee, "ends_on": date(2026, 2, 2)}, {}, starts_on=FEB, ends_on=date(2027, 2, 1))
    assert shares(entity, old) == {"Set-up": 300_00, "Platform": 900_00}
    assert shares(entity, new) == {"Set-up": 600_00, "Platform": 600_00}
    for facts, error in (
        ({"basis": "guess"}, Invalid),
        ({"low_nano": 2, "high_nano": 1}, Invalid),
        ({"product_id": 10**9}, NotFound),
        ({"currency": "XXQ"}, Invalid),
    ):
        with pytest.raises(error):
            actions.set_standalone_price(
                actor=owner,
                **{"product_id": fee, "currency": "EUR", "valid_from": JAN, "low_nano": 1, "high_nano": 1, "basis": "cost"}
                | facts,
            )


def test_sales_propose_what_a_product_costs_alone(owner, sign, bill, product, entity, signed_in):
    seat = product("SEAT")
    for amount in (95, 100, 100, 105, 240):
        sign({"product_id": seat, "unit": "month", "unit_price_nano": amount * 100 * NANO})
    bill(JAN)
    seen = queries.observed(entity, until=APR).row(0, named=True)
    assert (seen["count"], seen["low_nano"], seen["high_nano"]) == (5, 95_00 * NANO, 105_00 * NANO)
    with clock.at(APR):
        page = signed_in.get("/revenue/prices/").content.decode()
    assert "95.00 to 105.00" in page and "80 %" in page
    taken = {"product": "SEAT", "currency": "EUR", "valid_from": "2026-04-01", "low": "95", "high": "105", "basis": "observed"}
    assert signed_in.post("/revenue/prices/set/", taken).status_code == 302
    assert StandalonePrice.objects.get().low_nano == 95_00 * NANO
    assert signed_in.post("/revenue/prices/set/", taken | {"high": "1"}).status_code == 400


def test_a_bonus_is_a_part_of_the_price_and_another_estimate_is_caught_up(owner, sign, bill, close, entity):
    """365.00 on a year: a day is worth one euro more. In March it is put at 730.00."""
    contract = sign()
    element = promise(owner, contract, 365_00)
    bill(JAN)
    close(JAN31)
    january = round(1_200_00 * 31 / 365)
    assert held(entity, "revenue", JAN31) == january + 31_00
    estimate(owner, element, 730_00, MAR)
    close(FEB28)
    close(MAR31)
    march = round(1_200_00 * 90 / 365)
    assert abs(held(entity, "revenue", MAR31) - march - 180_00) <= 1
    assert not [p.name for p in proofs.verify() if not p.holds]
    with pytest.raises(Invalid, match="estimated on 2026-03-01"):
        estimate(owner, element, 0, FEB)


def test_no_more_of_an_estimate_counts_than_will_hardly_be_reversed(owner, sign, entity):
    contract = sign()
    outcomes = [{"amount_minor": 100_00, "probability_ppm": 600_000}, {"amount_minor": 0, "probability_ppm": 400_000}]
    facts = {"actor": owner, "contract_id": contract, "what": "Bonus", "on": JAN, "outcomes": outcomes}
    actions.add_variable_amount(**facts)
    actions.add_variable_amount(**facts, method="most_likely")
    actions.add_variable_amount(**facts, ceiling_minor=20_00, because="no history")
    told = queries.detail(entity, contract, through=JAN31)
    assert [(e["estimate_minor"], e["counted_minor"]) for e in told["elements"]] == [
        (60_00, 60_00),
        (100_00, 100_00),
        (60_00, 20_00),
    ]
    assert sum(o["amount_minor"] for o in told["obligations"]) == 1_200_00 + 180_00
    for wrong, error in (
        ({"ceiling_minor": 1}, Invalid), ({"outcomes": []}, Invalid), ({"outcomes": outcomes[:1]}, Invalid), ({"method": "hope"}, Invalid), ({"on": date(2026, 4, 3)}, Invalid), ({"what": " "}, Invalid),
        ({"item_id": 10**9}, NotFound), ({"contract_id": 10**9}, NotFound),
    ):  # fmt: skip
        with pytest.raises(error):
            actions.add_variable_amount(**facts | wrong)


def test_what_is_expected_back_is_a_refund_liability_until_a_document_gives_it_back(owner, sign, bill, close, entity):
    """A rebate of 10 % of 1,200.00, given back by a credit note in March."""
    contract = sign({"unit": "day", "ends_on": date(2026, 1, 2)})
    rebate = promise(owner, contract, -120_00, is_paid_back=True)
    bill(JAN)
    close(JAN31)
    assert (
        held(entity, "revenue", JAN31),
        held(entity, "refund_liability", JAN31),
        held(entity, "contract_liability", JAN31),
    ) == (1_080_00, 120_00, 0)
    assert ContractBalance.objects.get().refund_minor == 120_00
    invoice = Invoice.objects.get()
    billing.credit_invoice(actor=owner, invoice_id=invoice.pk, total_minor=invoice.total_minor // 10, issue_on=FEB)
    estimate(owner, rebate, 0, FEB, because="credited")
    close(FEB28)
    assert (held(entity, "revenue", FEB28), held(entity, "refund_liability", FEB28)) == (1_080_00, 0)
    assert not [p.name for p in proofs.verify() if not p.holds]


def test_an_amendment_is_accounted_for_by_its_facts_and_otherwise_with_a_reason(
    owner, sign, bill, close, product, price, entity, signed_in
):
    """A seat alone costs 100.00 a month; more of them at 100.00 is a contract of its own, at 80.00 it is not."""
    seat = product("SEAT")
    price(seat, 100)
    contract = sign({"product_id": seat, "unit": "month", "unit_price_nano": 100_00 * NANO}, SETUP)
    setup = Item.objects.get(contract_id=contract, description="Set-up")
    actions.set_rule(actor=owner, item_id=setup.pk, method="point", ssp_low_nano=400_00 * NANO, ssp_high_nano=400_00 * NANO)
    bill(JAN)
    close(JAN31)
    january = held(entity, "revenue", JAN31)
    assert january == 300_00 + 75_00
    more = {"product_id": seat, "description": "More", "quantity_micro": 10**6, "unit": "month"}
    fair = amend(owner, contract, "add", MAR, item=more | {"unit_price_nano": 100_00 * NANO})
    cheap = amend(owner, contract, "add", MAR, item=more | {"unit_price_nano": 80_00 * NANO})
    told = {a["amendment_id"]: a["treatment"] for a in queries.detail(entity, contract, through=MAR31)["amendments"]}
    assert told == {fair: "separate_contract", cheap: "prospective"}
    close(FEB28)
    assert held(entity, "revenue", FEB28) == january + 75_00  # nothing before the change moved
    shown = signed_in.get(f"/revenue/contracts/{contract}/").content.decode()
    assert (
        "separate contract" in shown
        and "It adds something distinct at what that costs alone." in shown
        and "IFRS 15.21(a)" in shown
    )
    url = f"/revenue/amendments/{cheap}/treatment/"
    assert signed_in.get(url).status_code == 200
    assert signed_in.post(url, {"treatment": "catch_up", "because": " "}).status_code == 400
    assert signed_in.post(url, {"treatment": "catch_up", "because": "One price for both"}).status_code == 302
    told = queries.detail(entity, contract, through=MAR31)["amendments"][1]
    assert (told["treatment"], told["policy"], told["because"]) == ("catch_up", "prospective", "One price for both")
    assert "decided; the policy says prospective" in signed_in.get(f"/revenue/contracts/{contract}/").content.decode()
    bill(MAR)
    close(MAR31)
    assert not [p.name for p in proofs.verify() if not p.holds]


def test_decisions_that_make_no_sense_are_refused(owner, sign):
    contract = sign({"unit": "month"})
    gone = amend(owner, contract, "terminate", FEB)
    for facts, error in (
        ({"treatment": "separate_contract"}, Invalid), ({"treatment": "hope"}, Invalid), ({"because": ""}, Invalid), ({"amendment_id": 10**9}, NotFound),
    ):  # fmt: skip
        with pytest.raises(error):
            actions.treat_amendment(actor=owner, **{"amendment_id": gone, "treatment": "catch_up", "because": "so"} | facts)


def test_a_contract_amended_before_what_it_did_was_kept_earns_period_by_period(owner, sign, bill, close, entity):
    contract = sign({"unit": "month", "unit_price_nano": 100_00 * NANO}, SETUP)
    setup = Item.objects.get(contract_id=contract, description="Set-up")
    actions.set_rule(actor=owner, item_id=setup.pk, method="point", ssp_low_nano=400_00 * NANO, ssp_high_nano=400_00 * NANO)
    facts = {"contract_id": contract, "told": "paused", "recorded_at": clock.now(), "actor_key": "old"}
    Amendment.objects.create(kind="pause", effective_on=FEB, **facts)
    assert shares(entity, contract) == {"Platform": 1_200_00, "Set-up": 0}


def test_a_contract_paid_years_ahead_is_flagged_with_its_interest(sign, entity, owner, signed_in):
    contract = sign({"unit": "year", "every": 3, "unit_price_nano": 100_00 * 36 * NANO * 3 // 4}, ends_on=date(2029, 1, 1))
    item = Item.objects.get(contract_id=contract)
    actions.set_rule(actor=owner, item_id=item.pk, method="day", ssp_low_nano=100_00 * NANO, ssp_high_nano=100_00 * NANO)
    found = queries.detail(entity, contract, through=JAN31)["financing"][0]
    assert (found["months"], found["price_minor"], found["cash_minor"], found["interest_minor"]) == (
        -36,
        2_700_00,
        3_600_00,
        -900_00,
    )
    assert found["annual_rate"] == pytest.approx((3_600 / 2_700) ** (12 / 18) - 1)
    assert "is paid 36 months ahead" in signed_in.get(f"/revenue/contracts/{contract}/").content.decode()
    assert queries.detail(entity, sign(), through=JAN31)["financing"] == []


def test_what_if_says_what_would_be_and_keeps_nothing(owner, sign, bill, product, price, entity, signed_in):
    fee = product("FEE")
    price(fee, 400)
    contract = sign(SETUP | {"product_id": fee}, {})
    element = promise(owner, contract, 0)
    bill(JAN)
    setup = Item.objects.get(contract_id=contract, description="Set-up")
    before = (Entry.objects.count(), ContractBalance.objects.count(), StandalonePrice.objects.count())
    assert shares(entity, contract, assume=Assumed(item_ssp={setup.pk: 1_200_00 * NANO})) == {
        "Set-up": 600_00,
        "Platform": 600_00,
    }
    supposed = {f"alone_{setup.pk}": "1200", f"amount_{element}": "120.00", "through": "2026-01-31"}
    page = signed_in.get(f"/revenue/contracts/{contract}/what-if/", supposed).content.decode()
    assert "660.00" in page and "300.00" in page
    assert signed_in.get(f"/revenue/contracts/{contract}/what-if/", {f"alone_{setup.pk}": "cheap"}).status_code == 400
    moved = queries.what_if(entity, through=JAN31, assume=Assumed(product_ssp={fee: (1_200_00 * NANO, 1_200_00 * NANO)}))
    assert moved["moved_minor"].sum() == 0 and moved["moved_minor"][0] == 300_00 - (
        round(900_00 * 31 / 365) - round(600_00 * 31 / 365)
    )
    page = signed_in.get("/revenue/what-if/", {"product": "fee", "low": "1200", "through": "2026-01-31"}).content.decode()
    assert "Jan 2026" in page and "More or less earned" in page
    assert signed_in.get("/revenue/what-if/", {"product": "none", "low": "1"}).status_code == 400
    assert before == (Entry.objects.count(), ContractBalance.objects.count(), StandalonePrice.objects.count())
    assert shares(entity, contract) == {"Set-up": 300_00, "Platform": 900_00}


def test_the_waterfall_of_what_was_booked_adds_up_to_what_is_earned(owner, sign, bill, entity):
    contract = sign({"unit": "month", "unit_price_nano": 100_00 * NANO})
    bill(JAN)
    item = Item.objects.get(contract_id=contract)
    amend(owner, contract, "quantity", MAR, item_id=item.pk, quantity_micro=3 * 10**6)
    falls = queries.waterfall(entity, through=MAR31, by="booked")
    booked = dict(falls.group_by("booked").agg(pl.col("amount_minor").sum()).iter_rows())
    assert booked == {JAN: 1_200_00, MAR: 2_000_00}
    earned = {r["month"]: r["amount_minor"] for r in queries.detail(entity, contract, through=MAR31)["months"]}
    assert dict(falls.group_by("month").agg(pl.col("amount_minor").sum()).iter_rows()) == earned


def test_what_is_left_of_costs_goes_when_the_contract_is_over(owner, sign, close, entity, signed_in):
    contract = sign()
    actions.keep_cost(actor=owner, contract_id=contract, what="Commission", amount_minor=730_00, start=JAN, end=date(2028, 1, 1))
    row = queries.cost_rows(entity, through=JAN31).row(0, named=True)
    assert (row["gone_minor"], row["left_minor"]) == (31_00, 699_00)
    assert "699.00" in signed_in.get("/revenue/costs/?through=2026-01-31").content.decode()
    amend(owner, contract, "terminate", FEB)
    close(FEB28)
    assert (held(entity, "contract_costs", FEB28), held(entity, "commissions", FEB28)) == (0, 0)


def test_a_month_with_drafts_says_so_on_its_page(owner, sign, entity, signed_in):
    from topline.contracts import runs

    sign()
    runs.run(actor=owner, entity_id=entity.pk, as_of=JAN, sign=False)
    page = signed_in.get("/revenue/?through=2026-01-31").content.decode()
    assert "1 document for days up to" in page and "Close the month" not in page


def test_judgements_are_made_on_pages_and_over_http(owner, sign, api, call_as, signed_in, product, entity):  # noqa: F811  (fixtures)
    contract, fee = sign(), product("FEE")
    item = Item.objects.get(contract_id=contract)
    form = {"what": "Penalty", "item_id": item.pk, "on": "2026-01-01", "outcomes": "-100.00 60%\n0 40%", "method": "most_likely"}
    assert signed_in.get(f"/revenue/contracts/{contract}/variable/").status_code == 200
    assert signed_in.post(f"/revenue/contracts/{contract}/variable/", form | {"outcomes": "-100 lots"}).status_code == 400
    assert signed_in.post(f"/revenue/contracts/{contract}/variable/", form).status_code == 302
    made = queries.estimates(contract)[0]
    assert (made["counted_minor"], made["item_id"]) == (-100_00, item.pk)
    again = {"on": "2026-02-01", "outcomes": "-50", "method": "expected_value"}
    assert signed_in.post(f"/revenue/variable/{made['element_id']}/", again).status_code == 302
    gone = amend(owner, contract, "terminate", date(2026, 3, 1))
    body = {"product_id": fee, "currency": "EUR", "valid_from": "2026-01-01", "low_nano": 1, "high_nano": 2, "basis": "market"}
    certain = [{"amount_minor": 5, "probability_ppm": CERTAIN}]
    for path, posted in (
        ("prices", body), ("variable-amounts", {"contract_id": contract, "what": "Bonus", "on": "2026-01-01", "outcomes": certain}),
        (f"variable-amounts/{made['element_id']}/estimates", {"on": "2026-03-01", "outcomes": certain}), (f"amendments/{gone}/treatment", {"treatment": "catch_up", "because": "so"}),
    ):  # fmt: skip
        assert api.post(f"/recognition/{path}", posted).status_code == 200, path
    told = api.get(
        f"/recognition/contracts/{contract}/what-if",
        through="2026-03-31",
        amount=f"{made['element_id']}:700",
        alone=f"{item.pk}:1",
    ).json()
    assert told["obligations"][0]["item_id"] == item.pk
    for path in (
        "prices",
        "prices/observed",
        "costs?through=2026-03-31",
        f"what-if?through=2026-03-31&product_id={fee}&low_nano=1&high_nano=2",
        "waterfall?through=2026-03-31&by=booked",
    ):
        assert api.get(f"/recognition/{path}").status_code == 200, path
