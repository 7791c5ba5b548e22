"""Quotes: priced step by step, agreed to outside the band, fixed when sent, accepted once."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta

import polars as pl
import pytest
from django.db import IntegrityError, transaction

from topline.catalog import actions as catalog
from topline.catalog import promotions
from topline.kernel import clock
from topline.kernel.errors import Invalid, NotFound
from topline.pipeline import actions as pipeline
from topline.pipeline.models import Opportunity
from topline.quotes import actions, links, pricing
from topline.quotes.models import Quote, QuoteApproval, QuoteSignature
from topline.team.queries import system_actor
from topline.timeline.models import Milestone

TODAY = date(2026, 3, 2)


@pytest.fixture
def spring(owner):
    """A tenth off everything with SPRING, for 25.00 EUR in all."""
    return promotions.add_promotion(
        actor=owner, code="spring", name="Spring", kind="percent", percent_ppm=100_000, starts_on=TODAY, ends_on=date(2026, 6, 1), currency="EUR", budget_minor=25_00, stacks=True
    )  # fmt: skip


@pytest.fixture
def bands(owner):
    """Up to 10 % nobody, up to 20 % a Sales manager, up to 40 % an Owner; deeper nobody may."""
    promotions.set_bands(actor=owner, bands=[(100_000, ""), (200_000, "Sales manager"), (400_000, "Owner")])


def steps(quote_id):
    line = Quote.objects.get(pk=quote_id).lines.get()
    return [(s.step, s.amount_minor) for s in line.steps.order_by("position")]


def test_each_step_from_list_to_pocket_is_kept_with_the_line(owner, write, products, spring):
    book = catalog.add_price_book(actor=owner, key="partners", name="Partners")
    price = {
        "product_id": products["PUMP"],
        "price_book_id": book,
        "currency": "EUR",
        "unit_price_nano": 900 * 10**9,
        "valid_from": date(2025, 1, 1),
    }
    catalog.add_prices(actor=owner, prices=pl.DataFrame([price]))
    promotions.set_volume_steps(actor=owner, product_id=products["PUMP"], steps=[(10_000_000, 50_000)])
    made = write({"manual_ppm": 20_000}, price_book_id=book, promotions=["SPRING"], terms="net 73")
    # 100.00, less the book 90.00, less 5 % 85.50, less 10 % 76.95, less 2 % 75.41; 73 days at 10 % a year are 2 % of that
    assert steps(made) == [
        ("list", 100_00),
        ("price_book", -10_00),
        ("volume", -4_50),
        ("promotion", -8_55),
        ("manual", -1_54),
        ("terms", -1_51),
    ]
    quote = Quote.objects.get(pk=made)
    assert (quote.list_minor, quote.net_minor, quote.pocket_minor) == (100_00, 75_41, 73_90)
    assert [(u.promotion.code, u.cost_minor) for u in quote.promotions.all()] == [("SPRING", 8_55)]


def test_the_cost_of_late_payment_that_is_handed_in_leaves_the_pocket(owner, deal, write):
    customer = Opportunity.objects.get(pk=deal).customer_id
    for ppm in (5_000, 10_000):
        actions.set_late_costs(actor=owner, costs=pl.DataFrame({"customer_id": [customer], "late_ppm": [ppm]}), as_of=TODAY)
    assert ("late_payment", -1_00) in steps(write(terms="due on receipt"))


def test_a_ramp_is_lines_that_begin_after_each_other_and_periods_multiply(write):
    made = write(
        {"quantity_micro": 2_000_000, "periods": 3}, {"quantity_micro": 4_000_000, "periods": 3, "begins_after_months": 3}
    )
    lines = Quote.objects.get(pk=made).lines.order_by("position")
    assert [(line.net_minor, line.begins_after_months) for line in lines] == [(60_00, 0), (120_00, 3)]


def test_a_bundle_costs_what_its_parts_cost_unless_it_has_a_price(owner, write, products):
    kit = catalog.add_products(actor=owner, products=pl.DataFrame({"code": ["KIT"], "name": ["Kit"]}))["product_id"][0]
    with pytest.raises(Invalid, match="no list price in EUR"):
        write({"product_id": kit})
    promotions.set_parts(actor=owner, product_id=kit, parts=[(products["PUMP"], 2_000_000), (products["FAN"], 1_000_000)])
    assert Quote.objects.get(pk=write({"product_id": kit, "quantity_micro": 1_000_000})).net_minor == 25_00
    catalog.add_prices(
        actor=owner,
        prices=pl.DataFrame([{"product_id": kit, "currency": "EUR", "unit_price_nano": 22_00 * 10**9, "valid_from": TODAY}]),
    )
    assert Quote.objects.get(pk=write({"product_id": kit, "quantity_micro": 1_000_000})).net_minor == 22_00


@pytest.mark.parametrize(
    ("line", "said"), [({"quantity_micro": 0}, "more than zero"), ({"periods": 0}, "periods"), ({"manual_ppm": 1_000_001}, "between 0 and 100"), ({"product_id": 999}, "no product of ours")]
)  # fmt: skip
def test_a_line_that_cannot_be_is_refused_and_nothing_is_written(write, line, said):
    with pytest.raises(Invalid, match=said):
        write(line)
    assert not Quote.objects.exists()


def test_a_currency_other_than_the_deals_is_refused(write):
    with pytest.raises(Invalid, match="The deal is in EUR"):
        write(currency="USD")


# --- promotions ---
def test_free_periods_and_fixed_amounts(owner, write):
    promotions.add_promotion(actor=owner, code="TWO", name="Two free", kind="free_periods", free_periods=2, starts_on=TODAY)
    promotions.add_promotion(
        actor=owner, code="FIVE", name="Five off", kind="fixed", fixed_minor=5_00, currency="EUR", starts_on=TODAY
    )
    assert Quote.objects.get(pk=write({"periods": 12}, promotions=["two"])).net_minor == 1_000_00
    assert Quote.objects.get(pk=write(promotions=["FIVE"])).net_minor == 95_00
    assert Quote.objects.get(pk=write({"periods": 12}, promotions=["FIVE", "TWO"])).net_minor == 1_000_00, (
        "neither stacks: the better one counts"
    )


@pytest.mark.parametrize(
    ("terms", "said"),
    [({"starts_on": date(2026, 3, 3)}, "begins on"), ({"starts_on": date(2026, 1, 1), "ends_on": TODAY}, "ended on"), ({"segment": "Small"}, "holds for Small"), ({"currency": "USD", "budget_minor": 1}, "holds in USD"),
     ({"minimum_minor": 100_01, "currency": "EUR"}, "holds for no line")],
)  # fmt: skip
def test_a_promotion_whose_conditions_do_not_hold_is_refused_with_the_reason(owner, write, terms, said):
    promotions.add_promotion(
        **{"actor": owner, "code": "X", "name": "X", "kind": "percent", "percent_ppm": 1, "starts_on": TODAY} | terms
    )
    with pytest.raises(Invalid, match=said):
        write(promotions=["X"])


def test_a_promotion_never_costs_more_than_its_budget_and_what_runs_out_is_free_again(owner, send, write, spring):
    sent = [send(promotions=["SPRING"]) for _ in range(2)]  # 10.00 each
    with pytest.raises(pricing.BudgetSpent, match=r"25\.00 EUR; 20\.00 EUR is taken"):
        write(promotions=["SPRING"])
    actions.withdraw_quote(actor=owner, quote_id=sent[0].quote.pk, on=TODAY, reason="Too early")
    assert write(promotions=["SPRING"])
    later = TODAY + timedelta(days=31)
    assert pricing.spent(spring, on=later) == 0, "what can no longer be accepted costs nothing"


def test_a_stopped_promotion_is_refused_when_a_draft_is_sent(owner, write, spring):
    made = write(promotions=["SPRING"])
    promotions.stop_promotion(actor=owner, promotion_id=spring, on=TODAY)
    with pytest.raises(Invalid, match="ended on 2026-03-02"):
        actions.send_quote(actor=owner, quote_id=made, on=TODAY)


# --- approvals ---
def test_inside_the_band_nobody_is_asked_and_below_the_floor_nobody_may(owner, write, bands):
    assert actions.send_quote(actor=owner, quote_id=write({"manual_ppm": 100_000}), on=TODAY)
    with pytest.raises(pricing.BelowFloor, match=r"Line 1 \(Pump\) is 40.1 % off list"):
        write({"manual_ppm": 401_000})


def test_outside_the_band_a_second_person_of_the_role_agrees_first(owner, manager, write, bands):
    made = write({"manual_ppm": 150_000})
    with pytest.raises(actions.ApprovalNeeded, match=r"A Sales manager must agree first\. Line 1"):
        actions.send_quote(actor=owner, quote_id=made, on=TODAY)
    asked = actions.ask_approval(actor=owner, quote_id=made, on=TODAY, reason="Opens the whole group")
    with pytest.raises(actions.SamePerson):
        actions.decide_approval(actor=owner, approval_id=asked, on=TODAY, agree=True)
    actions.decide_approval(actor=manager, approval_id=asked, on=TODAY, agree=True)
    assert actions.send_quote(actor=owner, quote_id=made, on=TODAY)
    found = QuoteApproval.objects.get()
    assert (found.approver, found.discount_ppm, found.state, found.decided_by) == (
        "Sales manager",
        150_000,
        "approved",
        "system:mia",
    )


def test_what_is_deeper_needs_the_higher_role_and_what_is_no_worse_is_not_asked_again(owner, manager, write, bands):
    made = write({"manual_ppm": 300_000})
    asked = actions.ask_approval(actor=owner, quote_id=made, on=TODAY, reason="Large")
    with pytest.raises(actions.WrongRole, match="An Owner must agree"):
        actions.decide_approval(actor=manager, approval_id=asked, on=TODAY, agree=True)
    actions.decide_approval(actor=system_actor("second"), approval_id=asked, on=TODAY, agree=True)
    write({"manual_ppm": 250_000}, quote_id=made)
    assert actions.send_quote(actor=owner, quote_id=made, on=TODAY), "a lesser discount was agreed to with the deeper one"
    again = write({"manual_ppm": 310_000}, quote_id=made)
    with pytest.raises(actions.ApprovalNeeded):
        actions.send_quote(actor=owner, quote_id=again, on=TODAY)


def test_a_refusal_says_why_and_a_changed_draft_drops_what_waits(owner, manager, write, bands):
    made = write({"manual_ppm": 150_000})
    asked = actions.ask_approval(actor=owner, quote_id=made, on=TODAY, reason="Please")
    with pytest.raises(Invalid, match="Say why not"):
        actions.decide_approval(actor=manager, approval_id=asked, on=TODAY, agree=False)
    write({"manual_ppm": 160_000}, quote_id=made)
    assert QuoteApproval.objects.get().state == "dropped"
    with pytest.raises(actions.ApprovalDecided):
        actions.decide_approval(actor=manager, approval_id=asked, on=TODAY, agree=True)


def test_below_cost_an_owner_agrees_however_small_the_discount(owner, write, products, bands):
    catalog.change_product(
        actor=owner, product_id=products["PUMP"], changes={"unit_cost_nano": 999 * 10**9, "cost_currency": "EUR"}
    )
    with pytest.raises(actions.ApprovalNeeded, match=r"An Owner must agree first.*below its cost"):
        actions.send_quote(actor=owner, quote_id=write({"manual_ppm": 10_000}), on=TODAY)


# --- sending and accepting ---
def test_a_sent_quote_is_fixed_and_a_change_makes_the_next_version(owner, send, write, accept):
    first = send()
    again = write({"quantity_micro": 5_000_000}, quote_id=first.quote.pk)
    second = Quote.objects.get(pk=again)
    assert (second.number, second.version, second.state) == (first.quote.number, 2, "draft")
    actions.send_quote(actor=owner, quote_id=again, on=TODAY)
    first.quote.refresh_from_db()
    assert (first.quote.state, first.quote.net_minor) == ("superseded", 100_00)
    with pytest.raises(links.QuoteNotOpen, match=r"newer version .* for the link"):
        accept(first)


def test_the_document_is_the_same_bytes_again_and_its_hash_is_signed(send, accept):
    from topline.quotes import documents

    sent = send()
    stored = bytes(sent.quote.document.pdf)
    assert hashlib.sha256(stored).hexdigest() == sent.sha256 and stored.startswith(b"%PDF-")
    assert documents.quote_pdf(sent.quote)[1] == sent.sha256
    accept(sent, ip="203.0.113.9")
    signed = QuoteSignature.objects.get()
    assert (signed.name, signed.title, signed.sha256, signed.ip) == (
        "Ada Buyer",
        "Head of purchasing",
        sent.sha256,
        "203.0.113.9",
    )


def test_acceptance_wins_the_deal_once_however_often_it_is_clicked(deal, send, accept):
    sent = send()
    accept(sent)
    accept(sent)
    found = Opportunity.objects.get(pk=deal)
    assert (found.state, found.amount_minor, found.closed_on) == ("won", 100_00, TODAY)
    assert QuoteSignature.objects.count() == 1
    assert Milestone.objects.filter(kind="quote_accepted").count() == 1


def test_the_database_itself_refuses_a_second_accepted_quote(send, accept):
    first, second = send(), send()
    accept(first)
    with pytest.raises(IntegrityError), transaction.atomic():
        Quote.objects.filter(pk=second.quote.pk).update(state="accepted")


def test_accepting_one_takes_the_others_of_the_deal_back(send, accept):
    first, second = send(), send()
    accept(second)
    first.quote.refresh_from_db()
    assert first.quote.state == "withdrawn"
    with pytest.raises(links.QuoteNotOpen, match="taken back"):
        accept(first)


def test_an_expired_quote_is_refused(send, accept, deal):
    sent = send(valid_until=TODAY)
    with clock.at(TODAY + timedelta(days=1)), pytest.raises(links.QuoteNotOpen, match="valid until 02 Mar 2026"):
        accept(sent)
    assert Opportunity.objects.get(pk=deal).state == "open"


def test_a_quote_of_a_lost_deal_is_refused(owner, send, accept, deal):
    sent = send()
    pipeline.lose_opportunity(actor=owner, opportunity_id=deal, on=TODAY, loss_reason="Price", competitor="nobody")
    with pytest.raises(links.QuoteNotOpen, match="no longer open"):
        accept(sent)


def test_another_document_than_the_one_shown_is_refused(send, accept):
    with pytest.raises(Invalid, match="has changed since"):
        accept(send(), sha256="0" * 64)


@pytest.mark.parametrize("missing", ["name", "title"])
def test_a_signature_needs_a_name_and_a_title(send, accept, missing):
    with pytest.raises(Invalid, match="Write"):
        accept(send(), **{missing: " "})


def test_a_link_reaches_its_own_quote_alone(send, accept):
    first, second = send(), send()
    with pytest.raises(NotFound):
        links.accept_quote(actor=first.actor, quote_id=second.quote.pk, name="A", title="B", sha256=second.sha256)


def test_the_first_view_is_a_milestone_a_question_a_task_and_a_refusal_leaves_the_deal_open(owner, send, deal):
    from topline.team import actions as members
    from topline.team.models import Task

    sam = members.add_member(
        actor=owner, email="sam@acme.localhost", name="Sam", roles=["Sales"], password="a long enough phrase"
    )
    members.set_area(actor=owner, key="sales", owner_id=sam, deputy_id=None)
    sent = send()
    links.view_quote(actor=sent.actor, quote_id=sent.quote.pk)
    links.view_quote(actor=sent.actor, quote_id=sent.quote.pk)
    links.ask_question(actor=sent.actor, quote_id=sent.quote.pk, question="Is freight in it?")
    links.decline_quote(actor=sent.actor, quote_id=sent.quote.pk, because="Too dear")
    kinds = list(Milestone.objects.filter(kind__startswith="quote_").order_by("id").values_list("kind", flat=True))
    assert kinds == ["quote_sent", "quote_viewed", "quote_question", "quote_declined"]
    assert list(Task.objects.order_by("id").values_list("assignee_id", "note")) == [
        (sam, "Is freight in it?"),
        (sam, "Declined: Too dear"),
    ]
    assert Opportunity.objects.get(pk=deal).state == "open"


# --- the forecast ---
def test_the_first_quote_sent_is_the_forecast_one_until_another_is_marked(owner, deal, send, write):
    first = send()
    second = send({"quantity_micro": 7_000_000})
    assert Opportunity.objects.get(pk=deal).amount_minor == 100_00
    actions.mark_forecast(actor=owner, quote_id=second.quote.pk, on=TODAY)
    assert Opportunity.objects.get(pk=deal).amount_minor == 70_00
    first.quote.refresh_from_db()
    assert not first.quote.is_forecast


def test_somebody_elses_deal_is_not_quoted(write, deal):
    from topline.kernel.actor import Actor
    from topline.team.roles import ROLES

    sales = Actor(key="member:99", name="Bob", permissions=ROLES["Sales"], roles=frozenset({"Sales"}))
    with pytest.raises(pipeline.NotYourDeal):
        write(by=sales)
