"""A small company with something on every page, and a browser in which its Owner is signed in."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import polars as pl
import pytest
from django.test import Client

from topline.bank import actions as bank
from topline.billing import actions as billing
from topline.books import actions as books
from topline.cases import actions as cases
from topline.catalog import actions as catalog
from topline.catalog import promotions
from topline.collections import actions as collections
from topline.connect import actions as connect
from topline.contracts import actions as contracts
from topline.contracts import runs, wallets
from topline.contracts.models import Credit
from topline.leads import actions as leads
from topline.market import competitors
from topline.pipeline import actions as pipeline
from topline.pipeline import people
from topline.quotes import actions as quotes
from topline.team import actions as team
from topline.team.models import Member
from topline.treasury import actions as treasury

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
PASSWORD = "a long enough phrase"


@pytest.fixture
def sign_in(owner):
    """Sign somebody in who has these roles; returns their client."""

    def make(*roles: str, **extra) -> Client:
        email = f"{roles[0].replace(' ', '.').lower()}@acme.localhost"
        team.add_member(actor=owner, email=email, name=roles[0], roles=list(roles), password=PASSWORD, **extra)
        client = Client()
        client.force_login(Member.objects.get(email=email), backend=BACKEND)
        return client

    return make


@pytest.fixture
def browser(sign_in) -> Client:
    """The Owner's browser."""
    return sign_in("Owner")


@pytest.fixture
def acme(owner, entity, make_customers, issue, pay, apply):
    """Two customers, open, paid, credited and foreign documents, cash, a payroll, a rent, an import, a manual entry."""
    globex, initech = make_customers("Globex", "Initech")
    late, half, paid = issue(globex, 100_00, 250_00, 80_00, on=date(2026, 1, 10), tax_ppm=190_000)
    (dollars,) = issue(initech, 500_00, on=date(2026, 1, 20), currency="USD")
    done, partly, free = pay(globex, 95_20), pay(globex, 100_00), pay(initech, 30_00)
    apply(done, paid, 95_20)
    apply(partly, half, 60_00)
    note = billing.credit_invoice(actor=owner, invoice_id=late, issue_on=date(2026, 2, 1), total_minor=19_00, reason="Too much")
    told = {"actor": owner, "entity_id": entity.pk, "customer_id": globex}
    collections.log_contact(**told, channel="call", outcome="promised", occurred_on=date(2026, 3, 18), note="Will pay")
    items = pl.DataFrame({"invoice_id": [half], "amount_minor": [50_00]})
    collections.record_promise(**told, due_on=date(2026, 3, 22), items=items, made_on=date(2026, 3, 18))
    collections.judge_promises(actor=owner, as_of=date(2026, 3, 25))
    dispute = collections.raise_dispute(
        actor=owner,
        invoice_id=late,
        reason="price",
        amount_minor=10_00,
        raised_on=date(2026, 3, 1),
        deadline_on=date(2026, 3, 15),
    )
    account = bank.add_account(actor=owner, entity_id=entity.pk, name="House bank", currency="EUR", pays_payroll=True)
    lines = pl.DataFrame({"person": ["Ada", "Bob"], "group": ["Team", "Team"], "amount_minor": [3_000_00, 2_500_00]})
    plan = treasury.set_pay_plan(actor=owner, entity_id=entity.pk, name="Salaries", currency="EUR", frequency="monthly", first_payday=date(2026, 3, 27), lines=lines)  # fmt: skip
    rent = treasury.plan_outflow(
        actor=owner, entity_id=entity.pk, name="Rent", currency="EUR", amount_minor=900_00, first_on=date(2026, 3, 1)
    )
    content = b"number,customer,issued on,due on,amount,paid on\nR1,Hooli,2026-01-05,2026-02-04,100.00,\nR2,Hooli,2026-02-31,2026-03-04,5.00,\n"
    batch = connect.check_file(actor=owner, entity_id=entity.pk, kind="receivables", content=content, file_name="open.csv")
    ledger = pl.DataFrame(books.queries.trial_balance(entity_id=entity.pk, as_of=date(2026, 3, 31)))
    codes = ledger["code"].to_list()
    entry = books.post_entry(actor=owner, entity_id=entity.pk, key="1", effective_on=date(2026, 2, 2), memo="By hand", debit=codes[0], credit=codes[1], amount_minor=5_00, currency="EUR")  # fmt: skip
    case = cases.open_case(actor=owner, entity_id=entity.pk, customer_id=globex, on=date(2026, 3, 31))
    product = catalog.add_products(actor=owner, products=pl.DataFrame({"code": ["PUMP"], "name": ["Pump"]}))["product_id"][0]
    price = {"product_id": product, "currency": "EUR", "unit_price_nano": 10**12, "valid_from": date(2025, 1, 1)}
    catalog.add_prices(actor=owner, prices=pl.DataFrame([price]))
    rep = people.add_reps(actor=owner, reps=pl.DataFrame({"name": ["Ann"]}))["rep_id"][0]
    row = {
        "ref": "1",
        "name": "Pumps",
        "rep_id": rep,
        "stage": "proposal",
        "currency": "EUR",
        "customer_id": globex,
        "opened_on": date(2026, 1, 5),
    }
    deal = pipeline.add_opportunities(
        actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([row]), lines=pl.DataFrame({"ref": ["1"], "product_id": [product]}), known_on=date(2026, 1, 5)
    )["opportunity_id"][0]  # fmt: skip
    promotions.add_promotion(
        actor=owner,
        code="SPRING",
        name="Spring",
        kind="percent",
        percent_ppm=50_000,
        starts_on=date(2026, 1, 1),
        currency="EUR",
        budget_minor=1_000_00,
    )
    promotions.set_bands(actor=owner, bands=[(100_000, ""), (300_000, "Sales manager")])
    offer = {
        "actor": owner,
        "opportunity_id": deal,
        "on": date(2026, 3, 1),
        "starts_on": date(2026, 4, 1),
        "valid_until": date(2030, 1, 1),
    }
    quote = quotes.write_quote(
        lines=pl.DataFrame({"product_id": [product], "quantity_micro": [2_000_000]}), promotions=["SPRING"], **offer
    )
    quotes.send_quote(actor=owner, quote_id=quote, on=date(2026, 3, 1))
    draft = quotes.write_quote(lines=pl.DataFrame({"product_id": [product], "manual_ppm": [200_000]}), **offer)
    quotes.ask_approval(actor=owner, quote_id=draft, on=date(2026, 3, 1), reason="Large group")
    leads.add_campaign(actor=owner, code="FAIR", name="Fair", starts_on=date(2026, 1, 5), currency="EUR", cost_minor=500_00)
    lead = leads.add_leads(
        actor=owner,
        entity_id=entity.pk,
        leads=pl.DataFrame([{"company": "Globex", "name": "Ada", "campaign": "FAIR"}]),
        on=date(2026, 2, 2),
    )["lead_id"][0]
    rival = competitors.add_competitor(actor=owner, name="Acid Rain", segments=["Enterprise"])
    taxed = {"quantity_micro": 10**6, "unit_price_nano": 100_00 * 10**9, "unit": "month", "tax_class": "none"}
    items = [taxed | {"description": "Seat"}, taxed | {"description": "Support", "unit": "year"}]
    contract = contracts.add_contract(
        actor=owner,
        entity_id=entity.pk,
        customer_id=globex,
        currency="EUR",
        starts_on=date(2026, 2, 1),
        ends_on=date(2027, 2, 1),
        items=items,
    )
    wallets.sell_credits(
        actor=owner,
        entity_id=entity.pk,
        customer_id=globex,
        currency="EUR",
        name="Pack",
        issue_on=date(2026, 2, 1),
        amount_minor=500_00,
    )
    credit = Credit.objects.get()
    run = runs.run(actor=owner, entity_id=entity.pk, as_of=date(2026, 2, 1), sign=False).pk
    return SimpleNamespace(
        contract=contract, credit=credit, run=run, lead=lead, quote=quote, draft=draft, rival=rival, product=product, deal=deal, entity=entity, globex=globex, initech=initech, late=late, half=half, paid=paid, dollars=dollars, done=done, partly=partly, free=free, note=note,
        bank_account=account, plan=plan, rent=rent, batch=batch, entry=entry, codes=codes, case=case, ledger_account=int(ledger["account_id"][0]), dispute=dispute,
    )  # fmt: skip


@pytest.fixture
def addresses(acme) -> list[str]:
    """Every page that can be looked at."""
    a = acme
    return [
        "/pipeline/", "/pipeline/board/", "/pipeline/funnel/?since=2026-01-01&step=proposal", "/pipeline/statistics/", "/pipeline/waterfall/?start=2026-01-01&step=created", "/pipeline/people/",
        "/pipeline/new/", f"/pipeline/{a.deal}/", f"/pipeline/{a.deal}/change/", f"/pipeline/{a.deal}/win/", f"/pipeline/{a.deal}/lose/", "/catalog/", "/catalog/new/",
        "/pipeline/stages/", "/pipeline/territories/", "/pipeline/territories/set/", f"/pipeline/against/{a.rival}/",
        "/usage/", "/usage/meters/new/", "/contracts/", "/contracts/?state=all&q=glob", "/contracts/new/", "/contracts/renewals/", "/contracts/use/", "/contracts/runs/", "/contracts/runs/preview/?as_of=2026-04-01", "/contracts/runs/tax-rates/",
        f"/contracts/{a.contract}/", f"/contracts/{a.contract}/change/", f"/contracts/{a.contract}/amend/quantity/", f"/contracts/{a.contract}/amend/add/", f"/contracts/{a.contract}/amend/plan/", f"/contracts/{a.contract}/discounts/new/", "/contracts/wallets/", "/contracts/wallets/sell/", f"/contracts/wallets/grant/?customer={a.globex}", f"/contracts/wallets/{a.credit.wallet_id}/", f"/contracts/wallets/{a.credit.wallet_id}/low/", f"/contracts/credits/{a.credit.pk}/take-back/", f"/contracts/{a.contract}/amend/terminate/", f"/contracts/runs/{a.run}/",
        "/revenue/", "/revenue/?through=2026-03-15", "/revenue/waterfall/", "/revenue/remaining/", "/revenue/rules/", "/revenue/rules/set/", f"/revenue/contracts/{a.contract}/", f"/revenue/contracts/{a.contract}/cost/", "/revenue/waterfall/?by=billed", "/revenue/costs/", "/revenue/prices/", "/revenue/prices/set/", "/revenue/what-if/", f"/revenue/contracts/{a.contract}/what-if/", f"/revenue/contracts/{a.contract}/variable/",
        "/lifecycle/", "/lifecycle/?stage=new&q=glo&sort=-year_minor", "/lifecycle/cohorts/", "/lifecycle/cohorts/?every=month&show=sales", "/lifecycle/value/", "/lifecycle/margins/", "/lifecycle/margins/?by=deal",
        "/lifecycle/serve-costs/", f"/lifecycle/{a.globex}/stage/",
        "/leads/", "/leads/?state=all&q=glob", "/leads/new/", f"/leads/{a.lead}/", f"/leads/{a.lead}/change/", "/leads/campaigns/", "/leads/campaigns/?by=campaign", "/leads/campaigns/new/",
        "/catalog/promotions/", "/catalog/promotions/new/", "/catalog/bands/", "/catalog/bands/set/", "/quotes/", "/quotes/?state=sent&q=Q", f"/quotes/new/?deal={a.deal}", "/quotes/prices/?state=offered&as_of=2026-03-31",
        f"/quotes/{a.quote}/", f"/quotes/{a.draft}/", f"/quotes/{a.draft}/write/",
        f"/catalog/{a.product}/", f"/catalog/{a.product}/prices/new/", f"/catalog/{a.product}/change/", f"/catalog/{a.product}/parts/", f"/catalog/{a.product}/volumes/", "/catalog/price-books/", "/catalog/price-books/new/",
        "/", "/?as_of=2026-03-31", "/figures/", "/customers/", f"/customers/{a.globex}/", f"/customers/{a.globex}/?stage=cash", "/customers/new/", "/customers/duplicates/",
        f"/customers/{a.globex}/edit/", f"/customers/{a.globex}/sign-ins/", f"/customers/{a.globex}/contacts/new/", f"/customers/{a.globex}/addresses/new/", f"/customers/{a.globex}/aliases/new/",
        f"/customers/{a.globex}/statement/", "/statements/", "/contracts/schedules/", f"/contracts/documents/{a.late}/explained/", f"/contracts/documents/{a.note}/explained/", f"/invoices/{a.late}/credit/", "/invoices/", f"/invoices/new/?customer={a.globex}", f"/invoices/{a.late}/", f"/invoices/{a.paid}/", f"/invoices/{a.dollars}/",
        f"/invoices/{a.note}/", f"/invoices/{a.paid}/settlement/", f"/credit-notes/{a.note}/apply/", "/payments/", "/payments/new/", "/payments/online/", "/payments/online/?state=paid", f"/payments/{a.partly}/",
        "/aging/?as_of=2026-03-31", "/aging/?by=issued&buckets=10,20", "/collections/", "/collections/?show=waiting&as_of=2026-03-31", "/collections/board/?as_of=2026-03-31", "/collections/board/ways/", "/collections/ladders/", "/collections/ladders/set/", "/write-offs/", f"/collections/{a.globex}/?as_of=2026-03-31", f"/collections/{a.initech}/",
        *(f"/collections/{a.globex}/{verb}/" for verb in ("call", "promise", "dispute", "plan", "remind", "hold", "snooze")), f"/collections/disputes/{a.dispute}/resolve/", "/payments/match/",
        "/bank/", "/bank/new/", f"/bank/{a.bank_account}/", f"/bank/{a.bank_account}/change/", f"/cash/outflows/{a.rent}/defer/", "/cash/?as_of=2026-02-20", "/cash/?every=month", "/cash/offers/", "/cash/offers/?yearly=12&taken=50", f"/cash/offers/on/{a.late}/", "/cash/scenarios/?as_of=2026-02-20", "/cash/variance/?as_of=2026-02-20",
        f"/cash/payroll/{a.plan}/", "/books/?as_of=2026-03-31", "/books/entries/", "/books/entries/new/", f"/books/entries/{a.entry}/", f"/books/entries/{a.entry}/reverse/",
        "/books/lock/", "/books/company/", "/invoices/check/", "/books/rates/", "/books/rates/new/", f"/books/accounts/{a.ledger_account}/?as_of=2026-03-31", "/import/", f"/import/{a.batch}/", "/team/",
        "/market/", "/market/prices/", "/market/experience/", "/market/briefs/", "/market/reading/", "/market/reading/set/", "/market/competitors/new/", "/market/segment/describe/", "/market/experience/new/",
        f"/market/competitors/{a.rival}/", "/market/segment/?name=Enterprise", f"/market/brief/?key=competitor:{a.rival}",
        *(f"/market/competitors/{a.rival}/{verb}/" for verb in ("edit", "prices/new", "assessments/new", "battlecard")),
        "/cases/", f"/cases/{a.case}/", f"/cases/new/?customer={a.initech}", "/team/tasks/", "/team/audit/", "/team/account/",
    ]  # fmt: skip
