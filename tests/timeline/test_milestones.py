"""Every action that must leave a milestone leaves one; who may see which is told by one table."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.billing import actions as billing
from topline.billing import delivery
from topline.billing.models import Delivery
from topline.catalog import actions as catalog
from topline.catalog.models import Product
from topline.collections import claims
from topline.connect import actions as connect
from topline.contracts import actions as contracts
from topline.contracts import amendments, wallets
from topline.contracts.models import Credit, Item
from topline.kernel import clock
from topline.leads import actions as leads
from topline.lifecycle import actions as lifecycle
from topline.market import actions as market
from topline.market import experience
from topline.pipeline import actions as pipeline
from topline.pipeline import people
from topline.pipeline.models import Opportunity
from topline.quotes import actions as quotes
from topline.quotes import links as quote_links
from topline.quotes.models import Quote
from topline.receivables import actions as receivables
from topline.receivables import write_offs
from topline.recognition import actions as recognition
from topline.timeline import queries
from topline.timeline.kinds import KINDS
from topline.timeline.models import Milestone

DAY = date(2026, 3, 20)


class Stage:
    """What the plays below need: a customer, and documents made on demand."""

    def __init__(self, owner, entity, make_customers, issue, pay, apply):
        self.owner, self.entity, self.make, self.issue, self.pay, self.apply = owner, entity, make_customers, issue, pay, apply
        self.customer = make_customers("Globex")[0]

    def invoice(self, amount=1_000):
        return self.issue(self.customer, amount)[0]

    def note(self, invoice):
        return billing.credit_invoice(actor=self.owner, invoice_id=invoice, issue_on=DAY, reason="Returned")

    def paid(self):
        invoice = self.invoice()
        return invoice, self.apply(self.pay(self.customer, 1_000), invoice, 1_000)["allocation_id"].to_list()

    def credits(self, **facts):
        told = {"customer_id": self.customer, "currency": "EUR", "name": "Pack", "issue_on": DAY, "amount_minor": 50_00} | facts
        return wallets.sell_credits(actor=self.owner, entity_id=self.entity.pk, **told)

    def paid_from_credits(self):
        self.credits()
        invoice = self.invoice()
        wallets.pay_from_credits(actor=self.owner, invoice_id=invoice, on=DAY)
        return invoice

    def low(self):
        wallet = Credit.objects.get(pk=self.credits()).wallet_id
        wallets.set_low_credits(actor=self.owner, wallet_id=wallet, low_minor=99_00)
        wallets.tell_low_credits(actor=self.owner, entity_id=self.entity.pk, as_of=DAY)

    def statement(self):
        line = StatementEntry(amount_minor=5, currency="EUR", booked_on=DAY, remittance_information="x")
        made = Statement(
            account="DE1", currency="EUR", entries=(line,), opening_minor=0, closing_minor=5, opening_on=DAY, closing_on=DAY
        )
        bank.add_account(actor=self.owner, entity_id=self.entity.pk, name="Giro", currency="EUR", number="DE1")
        bank.import_statements(
            actor=self.owner, entity_id=self.entity.pk, statements=[made], file_name="s", file_sha256="0", format="test"
        )  # fmt: skip

    def load(self):
        batch = connect.check_file(
            actor=self.owner, entity_id=self.entity.pk, kind="receivables", file_name="f.csv",
            content=b"number,customer,issued on,due on,amount\nR1,Globex,2026-01-05,2026-02-04,100.00\n",
        )  # fmt: skip
        connect.run_import(actor=self.owner, batch_id=batch)
        return batch

    def deal(self):
        """An open deal of a seller of ours."""
        rep = people.add_reps(actor=self.owner, reps=pl.DataFrame({"name": ["Ann"]}))["rep_id"][0]
        row = {
            "name": "Pumps",
            "rep_id": rep,
            "stage": "proposal",
            "currency": "EUR",
            "customer_id": self.customer,
            "amount_minor": 500,
            "opened_on": DAY,
        }
        made = pipeline.add_opportunities(
            actor=self.owner, entity_id=self.entity.pk, opportunities=pl.DataFrame([row]), known_on=DAY
        )
        return made["opportunity_id"][0]

    def delivery(self):
        """An invoice on its way."""
        sent = delivery.send_invoices(actor=self.owner, invoice_ids=[self.invoice()], recipient="ap@globex.example")
        return sent["delivery_id"][0]

    def read(self):
        """The customer opens the link."""
        found = Delivery.objects.select_related("invoice").get(pk=self.delivery())
        delivery.view_document(actor=delivery.customer_behind(found), delivery_id=found.pk)

    def contract(self):
        """A contract without an end."""
        item = {"description": "Seat", "quantity_micro": 10**6, "unit_price_nano": 10**12, "unit": "month"}
        told = {"entity_id": self.entity.pk, "customer_id": self.customer, "currency": "EUR", "starts_on": DAY}
        return contracts.add_contract(actor=self.owner, items=[item], **told)

    def lead(self):
        rows = pl.DataFrame([{"company": "Globex", "source": "Website"}])
        return leads.add_leads(actor=self.owner, entity_id=self.entity.pk, leads=rows, on=DAY)["lead_id"][0]

    def sent(self):
        """A quote that the customer holds the link of."""
        product = Product.objects.filter(code="PUMP").values_list("id", flat=True).first()
        if product is None:
            product = catalog.add_products(actor=self.owner, products=pl.DataFrame({"code": ["PUMP"], "name": ["Pump"]}))[
                "product_id"
            ][0]
            price = {"product_id": product, "currency": "EUR", "unit_price_nano": 5_00 * 10**9, "valid_from": DAY}
            catalog.add_prices(actor=self.owner, prices=pl.DataFrame([price]))
        lines = pl.DataFrame({"product_id": [product]})
        made = quotes.write_quote(actor=self.owner, opportunity_id=self.deal(), lines=lines, on=DAY, starts_on=DAY)
        quotes.send_quote(actor=self.owner, quote_id=made, on=DAY)
        return Quote.objects.get(pk=made)

    def signed(self):
        quote = self.sent()
        with clock.at(DAY):
            quote_links.accept_quote(
                actor=quote_links.customer_behind(quote),
                quote_id=quote.pk,
                name="Ada",
                title="Head",
                sha256=quote.document.sha256,
            )

    def by_link(self, verb, **said):
        quote = self.sent()
        with clock.at(DAY):
            verb(actor=quote_links.customer_behind(quote), quote_id=quote.pk, **said)

    def interest(self):
        """An interest note for an invoice that is late by its contract."""
        market.change_customer(actor=self.owner, customer_id=self.customer, changes={"late_interest_bps": 1_000})
        invoice = self.issue(self.customer, 100_000, on=date(2026, 1, 5), terms="net 10")[0]
        claims.claim_interest(
            actor=self.owner, entity_id=self.entity.pk, customer_id=self.customer, invoice_ids=[invoice], until=DAY, issue_on=DAY
        )

    def lost(self):
        made = self.deal()
        pipeline.lose_opportunity(actor=self.owner, opportunity_id=made, on=DAY, loss_reason="Price", competitor="Initech")
        return made


def link(invoice, amount):
    return pl.DataFrame({"invoice_id": [invoice], "amount_minor": [amount]})


def settle_by_note(s):
    invoice = s.invoice()
    receivables.apply_credit_note(actor=s.owner, credit_note_id=s.note(invoice), links=link(invoice, 1_000), on=DAY)


PLAYS = {
    "market.record_experience": (
        {"experience_told"},
        lambda s: experience.record_experience(
            actor=s.owner, records=pl.DataFrame({"customer_id": [s.customer], "kind": ["nps"], "score": [9], "on": [DAY]})
        ),
    ),
    "market.add_customers": ({"customer_added"}, lambda s: s.make("Initech")),
    "market.merge_customers": (
        {"customer_merged"},
        lambda s: market.merge_customers(actor=s.owner, keep_id=s.customer, merge_id=s.make("Globex Ltd")[0]),
    ),
    "market.change_customer": (
        {"credit_hold_set", "credit_hold_released"},
        lambda s: [
            market.change_customer(actor=s.owner, customer_id=s.customer, changes={"is_on_hold": held}, reason="Late")
            for held in (True, False)
        ],
    ),
    "pipeline.add_opportunities": ({"opportunity_added"}, lambda s: s.deal()),
    "pipeline.change_opportunity": (
        {"opportunity_moved", "opportunity_reopened"},
        lambda s: [
            pipeline.change_opportunity(actor=s.owner, opportunity_id=made, changes={"stage": "negotiation"}, on=DAY)
            for made in (s.deal(), s.lost())
        ],
    ),
    "pipeline.win_opportunity": (
        {"opportunity_won"},
        lambda s: pipeline.win_opportunity(actor=s.owner, opportunity_id=s.deal(), on=DAY, said_by="Ada"),
    ),
    "billing.mark_delivery": (
        {"invoice_sent"},
        lambda s: delivery.mark_delivery(actor=s.owner, delivery_id=s.delivery(), state="sent"),
    ),
    "billing.view_document": ({"invoice_viewed"}, lambda s: s.read()),
    "recognition.accept_part": (
        {"part_accepted"},
        lambda s: recognition.accept_part(
            actor=s.owner, item_id=Item.objects.get(contract_id=s.contract()).pk, on=DAY, share_ppm=500_000
        ),
    ),
    "contracts.add_contract": ({"contract_signed"}, lambda s: s.contract()),
    "contracts.amend": (
        {"contract_amended"},
        lambda s: amendments.amend(actor=s.owner, contract_id=s.contract(), kind="pause", on=DAY, until=date(2027, 1, 1)),
    ),
    "contracts.add_discount": (
        {"contract_amended"},
        lambda s: contracts.add_discount(
            actor=s.owner, contract_id=s.contract(), name="SPRING", share_ppm=100_000, unit="month", starts_on=DAY
        ),
    ),
    "contracts.sell_credits": ({"credits_bought", "invoice_issued"}, lambda s: s.credits()),
    "contracts.grant_credits": (
        {"credits_granted"},
        lambda s: wallets.grant_credits(
            actor=s.owner,
            entity_id=s.entity.pk,
            customer_id=s.customer,
            currency="EUR",
            name="Gift",
            on=DAY,
            because="An outage",
            amount_minor=5_00,
        ),
    ),
    "contracts.take_back_credits": (
        {"credits_taken_back"},
        lambda s: wallets.take_back_credits(actor=s.owner, credit_id=s.credits(), on=DAY, because="Sold twice"),
    ),
    "contracts.pay_from_credits": ({"credits_used", "invoice_paid"}, lambda s: s.paid_from_credits()),
    "contracts.put_credits_back": (
        {"credits_returned", "invoice_reopened"},
        lambda s: wallets.put_credits_back(actor=s.owner, invoice_id=s.paid_from_credits(), on=DAY, because="They pay"),
    ),
    "contracts.return_credits": (
        {"credits_returned"},
        lambda s: wallets.return_credits(actor=s.owner, credit_note_id=s.note(s.paid_from_credits()), on=DAY),
    ),
    "contracts.expire_credits": (
        {"credits_expired"},
        lambda s: (
            s.credits(expires_on=date(2099, 1, 1))
            and wallets.expire_credits(actor=s.owner, entity_id=s.entity.pk, as_of=date(2099, 1, 1))
        ),
    ),
    "contracts.tell_low_credits": ({"credits_low"}, lambda s: s.low()),
    "lifecycle.set_stage": (
        {"stage_set"},
        lambda s: lifecycle.set_stage(actor=s.owner, customer_id=s.customer, stage="at_risk", because="They said so", on=DAY),
    ),
    "leads.add_leads": ({"lead_captured"}, lambda s: s.lead()),
    "leads.qualify_lead": ({"lead_qualified"}, lambda s: leads.qualify_lead(actor=s.owner, lead_id=s.lead(), on=DAY)),
    "leads.disqualify_lead": (
        {"lead_disqualified"},
        lambda s: leads.disqualify_lead(actor=s.owner, lead_id=s.lead(), on=DAY, because="A student"),
    ),
    "leads.convert_lead": (
        {"lead_converted", "opportunity_added"},
        lambda s: leads.convert_lead(
            actor=s.owner, lead_id=s.lead(), on=DAY, customer_id=s.customer, rep_id=Opportunity.objects.get(pk=s.deal()).rep_id
        ),
    ),
    "quotes.send_quote": ({"quote_sent"}, lambda s: s.sent()),
    "quotes.withdraw_quote": (
        {"quote_withdrawn"},
        lambda s: quotes.withdraw_quote(actor=s.owner, quote_id=s.sent().pk, on=DAY, reason="Wrong price"),
    ),
    "quotes.view_quote": ({"quote_viewed"}, lambda s: s.by_link(quote_links.view_quote)),
    "quotes.ask_question": ({"quote_question"}, lambda s: s.by_link(quote_links.ask_question, question="When?")),
    "quotes.decline_quote": ({"quote_declined"}, lambda s: s.by_link(quote_links.decline_quote, because="Too dear")),
    "quotes.accept_quote": ({"quote_accepted"}, lambda s: s.signed()),
    "pipeline.lose_opportunity": ({"opportunity_lost"}, lambda s: s.lost()),
    "billing.issue_invoices": ({"invoice_issued"}, lambda s: s.invoice()),
    "billing.credit_invoice": ({"credit_note_issued"}, lambda s: s.note(s.invoice())),
    "billing.issue_interest_note": ({"invoice_issued"}, lambda s: s.interest()),
    "collections.claim_interest": ({"invoice_issued", "interest_claimed"}, lambda s: s.interest()),
    "billing.void_invoices": (
        {"invoice_voided"},
        lambda s: billing.void_invoices(actor=s.owner, invoice_ids=[s.invoice()], void_on=DAY, reason="Never sent"),
    ),
    "billing.import_open_items": ({"invoice_imported", "import_finished"}, lambda s: s.load()),
    "receivables.record_payments": ({"payment_received"}, lambda s: s.pay(s.customer, 1_000)),
    "receivables.apply_cash": ({"payment_applied", "invoice_paid"}, lambda s: s.paid()),
    "receivables.apply_credit_note": ({"credit_note_applied"}, settle_by_note),
    "receivables.unapply": (
        {"payment_unapplied", "invoice_reopened"},
        lambda s: receivables.unapply(actor=s.owner, allocation_ids=s.paid()[1], on=DAY, reason="Wrong one"),
    ),
    "receivables.return_payment": (
        {"payment_returned"},
        lambda s: receivables.return_payments(actor=s.owner, payment_ids=[s.pay(s.customer, 10)], on=DAY, reason="No funds"),
    ),
    "receivables.refund": (
        {"payment_refunded"},
        lambda s: receivables.refund(actor=s.owner, payment_id=s.pay(s.customer, 10), amount_minor=10, on=DAY),
    ),
    "receivables.write_off": (
        {"invoice_written_off"},
        lambda s: receivables.write_off(actor=s.owner, invoice_ids=[s.invoice()], on=DAY, reason="Insolvent"),
    ),
    "receivables.propose_write_off": (
        {"write_off_proposed"},
        lambda s: write_offs.propose_write_off(actor=s.owner, invoice_id=s.invoice(), on=DAY, reason="Insolvent"),
    ),
    "receivables.refuse_write_off": (
        {"write_off_refused"},
        lambda s: write_offs.refuse_write_off(
            actor=s.owner,
            on=DAY,
            reason="Call them first",
            proposal_id=write_offs.propose_write_off(actor=s.owner, invoice_id=s.invoice(), on=DAY, reason="Insolvent"),
        ),
    ),
    "bank.import_statements": ({"statement_imported"}, lambda s: s.statement()),
    "connect.undo_import": (
        {"import_undone", "invoice_voided"},
        lambda s: connect.undo_import(actor=s.owner, batch_id=s.load(), on=DAY, reason="Wrong file"),
    ),
}


@pytest.fixture
def stage(owner, entity, make_customers, issue, pay, apply):
    return Stage(owner, entity, make_customers, issue, pay, apply)


@pytest.mark.parametrize("code", PLAYS)
def test_an_action_that_people_must_see_leaves_its_milestone(stage, code):
    kinds, play = PLAYS[code]
    before = set(Milestone.objects.values_list("id", flat=True))
    play(stage)
    left = Milestone.objects.exclude(pk__in=before)
    assert kinds <= set(left.values_list("kind", flat=True))
    assert all((m.actor_key == stage.owner.key or m.actor_key.startswith(("quote:", "delivery:"))) and m.subject_id for m in left)


def test_customers_see_what_the_table_says_they_may(stage):
    for _, play in PLAYS.values():
        play_alone = play not in (PLAYS["connect.undo_import"][1], PLAYS["market.merge_customers"][1])
        if play_alone:
            play(stage)
    seen = queries.milestones(customer_ids=[stage.customer], only_visible_to_customer=True, limit=500)
    everything = queries.milestones(customer_ids=[stage.customer], limit=500)
    allowed = {kind for kind, known in KINDS.items() if known.visible_to_customer}
    assert set(seen["kind"]) == set(everything["kind"]) & allowed
    assert {"credit_hold_set", "invoice_written_off", "customer_added"} <= set(everything["kind"]) - set(seen["kind"])


def test_milestones_come_newest_first_by_the_day_they_happened_and_can_be_narrowed(stage, issue):
    late = issue(stage.customer, 10, on=date(2026, 5, 1))[0]
    early = issue(stage.customer, 10, on=date(2026, 4, 1))[0]
    told = queries.milestones(customer_ids=[stage.customer], stage="billing")
    assert told["subject_id"].to_list() == [late, early]
    assert set(told["stage"]) == {"billing"}
    assert queries.milestones(subject=("invoice", early))["kind"].to_list() == ["invoice_issued"]


def test_older_milestones_follow_without_a_gap_or_a_repeat(stage, issue):
    customer = stage.customer
    issue(customer, 100, 200, 300, on=date(2026, 1, 5))
    whole = queries.milestones(customer_ids=[customer])["id"].to_list()
    seen, last = [], None
    while part := queries.milestones(customer_ids=[customer], limit=2, older_than=last).to_dicts():
        seen += [row["id"] for row in part]
        last = (part[-1]["occurred_on"], part[-1]["id"])
    assert seen == whole
    assert len(whole) == 4


def test_a_refused_action_leaves_no_milestone(stage):
    invoice = stage.invoice()
    before = Milestone.objects.count()
    with pytest.raises(receivables.OverApplied):
        stage.apply(stage.pay(stage.customer, 5_000), invoice, 2_000)
    assert Milestone.objects.count() == before + 1  # the payment itself, nothing of the refused link
