"""Where customers stand, what they are worth and who earns money: from the books, as of any day, by hand where somebody knows better."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from django.test import Client

from tests.pipeline.conftest import products, team  # noqa: F401  (who sells, and what)
from tests.quotes.conftest import accept, deal, manager, send, write  # noqa: F401  (a deal that is quoted and won)
from topline.billing import actions as billing
from topline.billing import taxes
from topline.billing.models import InvoiceLine
from topline.books import actions as books
from topline.books.models import Entity
from topline.catalog import actions as catalog
from topline.contracts import actions as contracts
from topline.contracts import runs
from topline.contracts.models import Contract
from topline.engine.rating.credit_notes import Chosen
from topline.kernel import clock
from topline.kernel.errors import Invalid, NotFound
from topline.lifecycle import actions, margin, queries, value
from topline.lifecycle.models import StageOverride
from topline.market import actions as market
from topline.market import experience
from topline.pipeline import actions as pipeline
from topline.pipeline.models import Opportunity
from topline.quotes import actions as quotes
from topline.team import actions as members
from topline.team.models import Member
from topline.timeline.models import Milestone

TODAY = date(2026, 3, 2)


@pytest.fixture(autouse=True)
def _today():
    with clock.at(TODAY):
        yield


@pytest.fixture
def browser(owner):
    pk = members.add_member(
        actor=owner, email="mona@acme.localhost", name="Mona", roles=["Sales manager"], password="a long enough phrase"
    )
    client = Client()
    client.force_login(Member.objects.get(pk=pk))
    return client


@pytest.fixture
def paid(issue, pay, apply):
    """Issue an invoice and pay it on the same day."""

    def make(customer, amount, on):
        (invoice,) = issue(customer, amount, on=on)
        apply(pay(customer, amount, on=on), invoice, amount, on=on)

    return make


@pytest.fixture
def taxed(owner, entity):
    """A company in a country whose tax is known, so that contracts are billed."""
    Entity.objects.filter(pk=entity.pk).update(country="DE")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=0, valid_from=date(2020, 1, 1))


def of(entity, customer_id, as_of=TODAY):
    return queries.standing(entity_id=entity.pk, customer_id=customer_id, as_of=as_of)


def test_purchases_are_net_of_tax_and_of_credit_notes_and_follow_a_merge(owner, entity, make_customers, issue):
    one, two = make_customers("Globex", "Globex Ltd")
    issue(one, 100_00, on=date(2026, 1, 5), tax_ppm=190_000)
    issue(two, 50_00, on=date(2026, 1, 5))
    market.merge_customers(actor=owner, keep_id=one, merge_id=two)
    told = queries.purchases(entity_id=entity.pk, until=TODAY)
    assert told.rows() == [(one, date(2026, 1, 5), 150_00)]
    assert queries.purchases(entity_id=entity.pk, until=date(2026, 1, 4)).is_empty()


def test_purchases_in_another_currency_count_in_the_companys(owner, entity, make_customers, issue):
    books.add_rates(
        actor=owner, table=pl.DataFrame({"currency": ["USD"], "on": [date(2026, 1, 5)], "per_euro": [Decimal(2)]}), source="test"
    )
    (one,) = make_customers("Globex", currency="USD")
    issue(one, 100_00, on=date(2026, 1, 5), currency="USD", tax_ppm=200_000)
    assert queries.purchases(entity_id=entity.pk, until=TODAY)["amount_minor"].to_list() == [50_00]


def test_who_was_never_billed_bought_the_deals_won_of_them(owner, entity, team, make_customers, issue):  # noqa: F811
    one, two = make_customers("Globex", "Initech")
    row = {
        "rep_id": team["Ann"],
        "stage": "won",
        "currency": "EUR",
        "opened_on": date(2025, 1, 5),
        "closed_on": date(2025, 11, 5),
    }
    deals = [row | {"name": name, "customer_id": who, "amount_minor": minor} for name, who, minor in (("Pumps", one, 100_00), ("Fans", one, 50_00), ("Belts", two, 70_00))]  # fmt: skip
    pipeline.add_opportunities(actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame(deals), known_on=date(2025, 11, 5))
    issue(two, 30_00, on=date(2025, 12, 5))
    assert queries.purchases(entity_id=entity.pk, until=TODAY).rows() == [
        (one, date(2025, 11, 5), 150_00),
        (two, date(2025, 12, 5), 30_00),
    ]
    assert of(entity, one).stage == "active" and of(entity, one).because == "bought last on 5 Nov 2025"
    assert [of(entity, one, day).stage for day in (date(2025, 11, 4), date(2025, 11, 6))] == ["prospect", "new"]


def test_a_stage_follows_what_the_customer_does(owner, entity, make_customers, paid):
    (one,) = make_customers("Globex")
    assert of(entity, one).stage == "lead"
    paid(one, 100_00, on=date(2026, 1, 5))
    assert [of(entity, one, day).stage for day in (date(2026, 1, 5), date(2026, 2, 10), date(2026, 4, 10), date(2027, 2, 1))] == [
        "new",
        "onboarding",
        "active",
        "churned",
    ]
    assert of(entity, one, date(2026, 1, 4)).stage == "lead", "what comes later is not known"


def test_late_and_unhappy_customers_are_at_risk_and_say_why(owner, entity, make_customers, issue):
    (one,) = make_customers("Globex")
    issue(one, 100_00, 100_00, on=date(2025, 6, 5))
    told = {"customer_id": [one], "kind": ["nps"], "score": [1], "on": [date(2026, 2, 1)]}
    experience.record_experience(actor=owner, records=pl.DataFrame(told))
    found = of(entity, one)
    assert found.parts == {"pays": None, "owes": 0.0, "buys": None, "says": pytest.approx(10.0), "troubles": 100.0}
    assert found.health == pytest.approx((20 * 0 + 15 * 10 + 10 * 100) / 45)
    assert (found.stage, found.because) == ("at_risk", "health 26 of 100")


def test_a_stage_said_by_hand_counts_until_its_day_and_is_told_on_the_timeline(owner, entity, make_customers, paid):
    (one,) = make_customers("Globex")
    paid(one, 100_00, on=date(2025, 9, 5))
    assert of(entity, one).stage == "active"
    actions.set_stage(
        actor=owner, customer_id=one, stage="at_risk", because="Their buyer left", on=TODAY, until=date(2026, 3, 31)
    )
    found = of(entity, one)
    assert (found.stage, found.because, found.computed, found.is_override) == ("at_risk", "Their buyer left", "active", True)
    assert of(entity, one, date(2026, 3, 1)).stage == "active", "it was not said yet"
    assert of(entity, one, date(2026, 4, 1)).stage == "active", "it has ended"
    assert Milestone.objects.get(kind="stage_set").note == "at risk: Their buyer left"
    actions.set_stage(actor=owner, customer_id=one, stage="", because="The new one stays", on=TODAY)
    assert not of(entity, one).is_override
    assert [r["because"] for r in queries.overrides(one)] == ["The new one stays", "Their buyer left"]


@pytest.mark.parametrize(
    ("facts", "error", "said"),
    [({"stage": "happy"}, Invalid, "no stage 'happy'"), ({"because": " "}, Invalid, "Say why"), ({"until": date(2026, 3, 1)}, Invalid, "end before"), ({"customer_id": 999}, NotFound, "no customer 999")],
)  # fmt: skip
def test_a_stage_that_cannot_be_is_refused(owner, make_customers, facts, error, said):
    (one,) = make_customers("Globex")
    with pytest.raises(error, match=said):
        actions.set_stage(actor=owner, **{"customer_id": one, "stage": "active", "because": "So", "on": TODAY} | facts)
    assert not StageOverride.objects.exists()


def test_margin_of_a_quoted_deal_is_pocket_less_cost(owner, entity, products, deal, send, accept):  # noqa: F811
    catalog.change_product(
        actor=owner, product_id=products["PUMP"], changes={"unit_cost_nano": 400 * 10**9, "cost_currency": "EUR"}
    )
    quotes.set_late_costs(actor=owner, costs=pl.DataFrame({"customer_id": [Opportunity.objects.get(pk=deal).customer_id], "late_ppm": [20_000]}), as_of=TODAY)  # fmt: skip
    accept(send({"quantity_micro": 10_000_000}))
    span = {"entity": entity, "since": date(2026, 1, 1), "until": TODAY}
    (row,) = margin.margins(**span, by="deal").to_dicts()
    assert (row["realised_minor"], row["cost_minor"]) == (100_00, 40_00)
    assert row["off_minor"] > 0 and row["margin_minor"] == 60_00 - row["off_minor"]
    assert [margin.margins(**span, by=by)["margin_minor"].to_list() for by in margin.BY] == [[row["margin_minor"]]] * 4
    assert [margin.margins(**span, by=by)["name"][0] for by in margin.BY] == ["Globex", "Large", "Pump", "Pumps"]
    assert margin.overall(**span) == pytest.approx(row["margin"])
    assert margin.margins(entity=entity, since=date(2025, 1, 1), until=date(2025, 12, 31)).is_empty()


def test_margin_without_a_known_cost_is_not_told(owner, entity, team, products, make_customers):  # noqa: F811
    (one,) = make_customers("Globex")
    row = {"ref": "1", "name": "Pumps", "rep_id": team["Ann"], "stage": "proposal", "currency": "EUR", "customer_id": one, "opened_on": date(2026, 1, 5), "amount_minor": 100_00}  # fmt: skip
    lines = pl.DataFrame(
        {"ref": ["1", "1"], "product_id": [products["PUMP"], products["FAN"]], "quantity_micro": [2_000_000, 1_000_000]}
    )
    made = pipeline.add_opportunities(
        actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([row]), lines=lines, known_on=date(2026, 1, 5)
    )["opportunity_id"][0]
    pipeline.win_opportunity(actor=owner, opportunity_id=made, on=TODAY, said_by="Ada")
    span = {"entity": entity, "since": date(2026, 1, 1), "until": TODAY}
    (told,) = margin.margins(**span).to_dicts()
    assert (told["realised_minor"], told["cost_minor"], told["margin_minor"]) == (100_00, None, None)
    cost = {"unit_cost_nano": 333 * 10**9, "cost_currency": "EUR"}
    catalog.change_product(actor=owner, product_id=products["PUMP"], changes=cost)
    assert margin.margins(**span)["cost_minor"].to_list() == [None], "one product of two is not enough"
    catalog.change_product(actor=owner, product_id=products["FAN"], changes=cost | {"cost_currency": "USD"})
    assert margin.margins(**span)["cost_minor"].to_list() == [None], "costs in two currencies do not add up"
    catalog.change_product(actor=owner, product_id=products["FAN"], changes=cost)
    assert margin.margins(**span)["cost_minor"].to_list() == [9_99]
    assert margin.margins(**span, by="product").select("key", "name").rows() == [("several products", "several products")]
    actions.set_serve_costs(actor=owner, entity_id=entity.pk, valid_from=date(2026, 1, 1), contact_minor=5_00, ticket_minor=12_00)
    experience.record_experience(actor=owner, records=pl.DataFrame({"customer_id": [one], "kind": ["ticket"], "on": [TODAY]}))
    (told,) = margin.margins(**span).to_dicts()
    assert (told["serve_minor"], told["margin_minor"]) == (12_00, 100_00 - 9_99 - 12_00)


def test_what_was_billed_leaves_a_margin_by_product(owner, entity, taxed, products, deal, send, accept, issue):  # noqa: F811
    catalog.change_product(
        actor=owner, product_id=products["PUMP"], changes={"unit_cost_nano": 400 * 10**9, "cost_currency": "EUR"}
    )
    sent = send({"quantity_micro": 10_000_000})
    accept(sent)
    contracts.make_contract(actor=owner, quote_id=sent.quote.pk)
    runs.run(actor=owner, entity_id=entity.pk, as_of=date(2026, 12, 31))
    line = InvoiceLine.objects.get()
    assert (line.product_id, line.net_minor) == (products["PUMP"], 100_00)
    span = {"entity": entity, "since": date(2026, 1, 1), "until": date(2026, 12, 31), "of": "billed"}
    (row,) = margin.margins(**span, by="product").to_dicts()
    assert (row["name"], row["realised_minor"], row["cost_minor"], row["deals"]) == ("Pump", 100_00, 40_00, 1)
    assert [margin.margins(**span, by=by)["name"][0] for by in margin.BY] == ["Globex", "Large", "Pump", "Pumps"]
    assert margin.unnamed(**span).rows() == [("EUR", 100_00, 0)]
    issue(Opportunity.objects.get(pk=deal).customer_id, 300_00, on=date(2026, 3, 5))
    assert margin.unnamed(**span)["unnamed_minor"].to_list() == [300_00]
    (globex,) = margin.margins(**span).to_dicts()
    assert (globex["realised_minor"], globex["known_minor"], globex["cost_minor"]) == (400_00, 100_00, 40_00)
    assert globex["margin_minor"] == 60_00 and globex["margin"] == pytest.approx(0.6), "of the part whose cost is known"
    told = {r["name"]: r["cost_minor"] for r in margin.margins(**span, by="product").to_dicts()}
    assert told == {"Pump": 40_00, "none": None}, "what names no product has no known cost"
    billing.credit_invoice(
        actor=owner, invoice_id=line.invoice_id, issue_on=date(2026, 12, 31), lines=[Chosen(1, quantity_micro=4_000_000)]
    )
    by_product = {r["name"]: r for r in margin.margins(**span, by="product").to_dicts()}
    assert (by_product["Pump"]["realised_minor"], by_product["Pump"]["cost_minor"]) == (60_00, 24_00), "units come back"
    billing.credit_invoice(actor=owner, invoice_id=line.invoice_id, issue_on=date(2026, 12, 31), total_minor=12_00)
    (again,) = margin.margins(**span, by="product").filter(pl.col("name") == "Pump").to_dicts()
    assert (again["realised_minor"], again["cost_minor"]) == (48_00, 24_00), "an amount off brings nothing back"
    with pytest.raises(Invalid, match="margin of 'luck'"):
        margin.margins(**span | {"of": "luck"})


def test_a_part_of_a_period_costs_its_part_of_the_units(owner, entity, taxed, products, make_customers):  # noqa: F811
    catalog.change_product(
        actor=owner, product_id=products["FAN"], changes={"unit_cost_nano": 310 * 10**9, "cost_currency": "EUR"}
    )
    (one,) = make_customers("Globex")
    item = {"product_id": products["FAN"], "quantity_micro": 2_000_000, "unit_price_nano": 620 * 10**9, "unit": "month", "day": 1}
    contracts.add_contract(
        actor=owner, entity_id=entity.pk, customer_id=one, currency="EUR", starts_on=date(2026, 1, 17), ends_on=date(2026, 2, 1), items=[item]
    )  # fmt: skip
    runs.run(actor=owner, entity_id=entity.pk, as_of=date(2026, 1, 31))
    (row,) = margin.margins(entity=entity, since=date(2026, 1, 1), until=date(2026, 1, 31), of="billed", by="product").to_dicts()
    assert (row["realised_minor"], row["cost_minor"]) == (6_00, 3_00), "15 of 31 days"


def test_value_needs_customers_who_come_back(entity, make_customers, issue):
    (one,) = make_customers("Globex")
    issue(one, 100_00, on=date(2026, 1, 5))
    found = value.value(entity=entity, as_of=TODAY)
    assert found.rows.is_empty() and "Not enough data: 0 customers" in found.why


def test_value_of_many_is_ranked_by_how_often_and_how_lately_they_bought(owner, entity, make_customers, issue):
    ids = make_customers(*(f"Customer {n:03}" for n in range(60)))
    for n, customer in enumerate(ids):
        for k in range(2 + n % 4):
            issue(customer, (100 + 10 * (n % 7)) * 100, on=date(2025, 1, 6 + n % 20).replace(month=1 + k * 3 if k < 4 else 12))
    found = value.value(entity=entity, as_of=date(2026, 1, 5))
    assert found.why == "" and found.rows.height == 60 and found.margin is None
    assert found.rows["value_minor"].is_sorted(descending=True)
    assert (found.rows["p10_minor"] <= found.rows["p90_minor"]).all() and found.rows["p_alive"].is_between(0, 1).all()
    told = dict(found.rows.select("customer_id", "purchases").iter_rows())
    assert min(told[c] for c in ids[3::4]) > max(told[c] for c in ids[0::4]), (
        "who bought five times comes back more often than who bought twice"
    )
    assert found.contracted == 0
    agree = {"entity": entity, "customer_id": ids[0], "bill_to_id": ids[0], "currency": "EUR", "terms": "net 30", "created_at": clock.now()}  # fmt: skip
    Contract.objects.create(number="K-1", starts_on=date(2025, 6, 1), **agree)
    Contract.objects.create(number="K-2", starts_on=date(2025, 6, 1), ends_on=date(2026, 1, 5), **agree | {"customer_id": ids[1]})
    bound = value._value(entity, date(2026, 1, 5))
    assert (bound.contracted, bound.rows.height) == (1, 59), "a contract that has ended binds nobody"
    assert ids[0] not in bound.rows["customer_id"]


def test_the_pages_show_and_say(browser, owner, entity, make_customers, paid):
    (one,) = make_customers("Globex")
    paid(one, 100_00, on=date(2025, 9, 5))
    text = browser.get("/lifecycle/").content.decode()
    assert "Globex" in text and "bought last on 5 Sep 2025" in text
    assert "Globex" not in browser.get("/lifecycle/?stage=churned").content.decode()
    assert browser.get("/lifecycle/?stage=happy").status_code == 422
    refused = browser.post(f"/lifecycle/{one}/stage/", {"stage": "at_risk", "because": ""})
    assert refused.status_code == 400 and not StageOverride.objects.exists()
    browser.post(f"/lifecycle/{one}/stage/", {"stage": "at_risk", "because": "Their buyer left"})
    assert "computed: active" in browser.get(f"/customer/{one}/").content.decode() or "computed: active" in browser.get(f"/customers/{one}/").content.decode()  # fmt: skip
    assert "2025 Q3" in browser.get("/lifecycle/cohorts/").content.decode()
    assert browser.get("/lifecycle/cohorts/?every=week").status_code == 422
    assert "Not enough data" in browser.get("/lifecycle/value/").content.decode()
    assert browser.get("/lifecycle/margins/?by=colour").status_code == 422
    assert browser.get("/lifecycle/margins/?since=2026-03-02&until=2026-01-01").status_code == 422
    browser.post("/lifecycle/serve-costs/", {"contact": "5.00", "ticket": "12.50", "valid_from": "2026-01-01"})
    assert margin.serve_cost(entity.pk, TODAY).ticket_minor == 12_50
    shown = browser.get("/lifecycle/serve-costs/").content.decode()
    assert 'value="12.50"' in shown and "In force since 1 Jan 2026" in shown
    assert b"Globex" in browser.get("/lifecycle/?export=csv").content
