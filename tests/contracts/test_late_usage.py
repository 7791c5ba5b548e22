"""Use that comes after its period was billed: a difference on the next invoice, or the old line credited and the period rated anew, each once."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest
from django.test import Client

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from topline.billing import actions as billing
from topline.billing import queries as billed
from topline.billing import taxes
from topline.billing.models import Invoice, InvoiceLine
from topline.books.models import Entity
from topline.contracts import actions, bills, queries, rerating, runs
from topline.contracts.models import Charge, Contract, LateUsage
from topline.engine.rating.credit_notes import Chosen
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.metering import actions as metering
from topline.receivables import actions as receivables
from topline.receivables.models import Allocation
from topline.recognition import queries as earned
from topline.team.models import Member

JAN, FEB, MAR, APR = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)
ANEW = rerating.CREDIT_AND_RERATE


@pytest.fixture(autouse=True)
def _home(owner, entity):
    Entity.objects.filter(pk=entity.pk).update(country="DE", time_zone="Europe/Berlin")
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    with clock.at(date(2026, 4, 2)):
        yield


@pytest.fixture
def calls(owner, entity, make_customers):
    """Contracts of calls at ten cents, from January on; returns their ids."""
    meter = metering.add_meter(actor=owner, code="CALLS", name="Calls", method="sum", unit="calls")
    customer = make_customers("Globex")[0]

    def make(late_usage="", **item):
        row = {"description": "Calls", "quantity_micro": 0, "unit_price_nano": 10 * 10**9, "unit": "month", "meter_id": meter} | item  # fmt: skip
        return actions.add_contract(actor=owner, entity_id=entity.pk, customer_id=customer, currency="EUR", starts_on=JAN, items=[row], late_usage=late_usage)  # fmt: skip

    return make


@pytest.fixture
def use(owner):
    def make(*uses):
        rows = [{"key": f"{at}-{n}-{units}", "meter": "CALLS", "customer": "Globex", "at": datetime(at.year, at.month, at.day, 12), "value_micro": units * 10**6} for n, (at, units) in enumerate(uses)]  # fmt: skip
        return metering.record_events(actor=owner, events=pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us")}))

    return make


@pytest.fixture
def bill(owner, entity):
    def make(as_of, **how):
        return runs.run(actor=owner, entity_id=entity.pk, as_of=as_of, **how)

    return make


def charged():
    """What stands of January: net by sequence, with the document's kind and the line that it corrects."""
    rows = Charge.objects.filter(full_start=JAN).exclude(invoice__state="void").order_by("sequence")
    return [(c.sequence, c.net_minor, c.invoice.kind, c.invoice.corrects_id, c.position) for c in rows.select_related("invoice")]


LATE = date(2026, 1, 20)


def test_late_use_credits_the_old_line_and_bills_the_period_anew_once(calls, use, bill, entity):
    calls(ANEW)
    use((LATE, 1_200))
    bill(FEB)
    first = Invoice.objects.get()
    use((LATE, 50), (date(2026, 2, 5), 10))
    shown = bills.preview(entity=Entity.objects.get(pk=entity.pk), as_of=MAR)
    assert (
        shown.lines.sort("full_start", "sequence")["net_minor"].to_list() == [-120_00, 125_00, 1_00]
        and Charge.objects.count() == 1
    )
    bill(MAR)
    assert charged() == [
        (0, 120_00, "invoice", None, 1),
        (1, -120_00, "credit_note", first.pk, 1),
        (2, 125_00, "invoice", None, 1),
    ]
    note, anew = Invoice.objects.get(kind="credit_note"), Invoice.objects.order_by("-id").filter(kind="invoice").first()
    assert (note.net_minor, note.tax_minor, note.state, anew.net_minor) == (120_00, 22_80, "paid", 126_00)
    first.refresh_from_db()
    assert (first.state, first.allocated_minor) == ("paid", 142_80), "the credit note settles what it corrects"
    back = InvoiceLine.objects.get(invoice=note)
    assert (back.description, back.credits_micro, back.quantity_micro) == ("Calls, 2026-01-01 to 2026-01-31: 1200 calls", 1_200 * 10**6, 1_200 * 10**6)  # fmt: skip
    assert billed.creditable(first.pk).select("left_minor", "left_tax_minor", "left_micro").row(0) == (0, 0, 0)
    bill(MAR), bill(APR)
    assert len(charged()) == 3, "a run more does nothing"
    assert queries.charges_off_their_lines().is_empty()


def test_a_credit_note_settles_what_is_open_of_its_invoice_and_the_rest_stays_the_customers(calls, use, bill, pay, apply):
    calls(ANEW)
    use((LATE, 1_000))
    bill(FEB)
    first = Invoice.objects.get()
    apply(pay(first.customer_id, 100_00, on=FEB), first.pk, 100_00, on=FEB)
    use((LATE, 200))
    bill(MAR)
    note = Invoice.objects.get(kind="credit_note")
    first.refresh_from_db()
    assert (first.state, note.state, note.total_minor, note.allocated_minor) == ("paid", "open", 119_00, 19_00)


def test_what_was_rated_anew_is_rated_anew_again_and_use_taken_back_wholly_leaves_nothing(calls, use, bill):
    calls(ANEW)
    use((LATE, 100))
    bill(FEB)
    use((LATE, 20))
    bill(MAR)
    use((date(2026, 1, 21), -120))
    bill(APR)
    assert [c[:3] for c in charged()] == [
        (0, 10_00, "invoice"),
        (1, -10_00, "credit_note"),
        (2, 12_00, "invoice"),
        (3, -12_00, "credit_note"),
    ]
    assert sum(net for _, net, *_ in charged()) == 0


def test_a_contract_does_as_its_company_does_unless_it_says_otherwise(calls, use, bill, owner, entity):
    calls(), calls(rerating.NEXT_INVOICE)
    use((LATE, 100))
    bill(FEB)
    rerating.set_late_usage(actor=owner, entity_id=entity.pk, policy=ANEW)
    use((LATE, 1))
    bill(MAR)
    nets = Charge.objects.filter(full_start=JAN).order_by("item_id", "sequence").values_list("net_minor", flat=True)
    assert list(nets) == [10_00, -10_00, 10_10, 10_00, 10]


def test_tax_goes_back_at_the_rate_of_then(calls, use, bill, owner):
    calls(ANEW)
    use((LATE, 100))
    bill(FEB)
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=160_000, valid_from=date(2026, 2, 15))
    use((LATE, 50))
    bill(MAR)
    assert Invoice.objects.get(kind="credit_note").tax_minor == 1_90
    assert Invoice.objects.filter(kind="invoice").order_by("-id").first().tax_minor == 2_40


def test_what_cannot_be_credited_whole_stays_a_difference(calls, use, bill, owner):
    calls(ANEW)
    use((LATE, 100))
    bill(FEB, sign=False)
    use((LATE, 1))
    run = bill(FEB, sign=False)
    assert [c[:3] for c in charged()] == [(0, 10_00, "invoice"), (1, 10, "invoice")], "a draft is no document to correct"
    for waiting in runs.BillRun.objects.filter(state="drafted").order_by("id"):
        runs.sign_run(actor=owner, run_id=waiting.pk, issue_on=run.as_of)
    first = Invoice.objects.order_by("id").first()
    billing.credit_invoice(actor=owner, invoice_id=first.pk, issue_on=MAR, lines=[Chosen(1, net_minor=2_00)], reason="A gift")
    use((LATE, 2))
    bill(MAR)
    assert [c[:3] for c in charged()][2:] == [(2, 20, "invoice")], "a gift by hand stays given"


def test_a_void_credit_note_leaves_the_old_line_standing_and_the_next_run_mends_it(calls, use, bill, owner):
    calls(ANEW)
    use((LATE, 100))
    bill(FEB)
    use((LATE, 20))
    bill(MAR)
    note = Invoice.objects.get(kind="credit_note")
    receivables.unapply(actor=owner, allocation_ids=[Allocation.objects.get(credit_note=note).pk], on=MAR, reason="Wrong")
    billing.void_invoices(actor=owner, invoice_ids=[note.pk], void_on=MAR)
    bill(APR)
    assert sum(net for _, net, *_ in charged()) == 12_00
    bill(APR)
    assert sum(net for _, net, *_ in charged()) == 12_00 and queries.charges_off_their_lines().is_empty()


def test_what_is_billed_inside_its_period_is_gone_on_with_and_only_what_comes_after_it_is_late(calls, use, bill):
    calls(ANEW, bill_at_minor=[5_00])
    use((date(2026, 1, 10), 60))
    bill(date(2026, 1, 15))
    use((LATE, 40))
    bill(FEB)
    assert [c[:3] for c in charged()] == [(0, 6_00, "invoice"), (1, 4_00, "invoice")]
    use((date(2026, 1, 25), 10))
    bill(MAR)
    assert [c[:3] for c in charged()][2:] == [(2, -6_00, "credit_note"), (3, -4_00, "credit_note"), (4, 11_00, "invoice")]


def test_what_is_earned_is_what_was_used_and_nothing_stays_open(calls, use, bill, entity):
    calls(ANEW)
    use((LATE, 100))
    bill(FEB)
    use((LATE, 20))
    bill(MAR)
    (found,) = earned.balances(Entity.objects.get(pk=entity.pk), through=date(2026, 3, 31)).to_dicts()
    assert (found["earned_minor"], found["billed_minor"], found["liability_minor"], found["asset_minor"]) == (12_00, 12_00, 0, 0)


def test_pages_and_programs_choose_the_policy_and_a_wrong_one_is_refused(calls, use, bill, owner, entity, api, make_member):  # noqa: F811
    made = calls()
    assert api.get("/late-usage").json() == {"policy": "next_invoice"}
    assert api.post("/late-usage", {"policy": "never"}).status_code == 422
    assert api.post("/late-usage", {"policy": ANEW}).status_code == 200 and LateUsage.objects.get().policy == ANEW
    assert api.post(f"/contracts/{made}/change", {"late_usage": "next_invoice"}).status_code == 200
    assert Contract.objects.get().late_usage == "next_invoice"
    with pytest.raises(Invalid):
        actions.change_contract(actor=owner, contract_id=made, changes={"late_usage": "never"})
    actions.change_contract(actor=owner, contract_id=made, changes={"late_usage": ANEW})
    assert Contract.objects.get().late_usage == ANEW
    browser = Client()
    browser.force_login(Member.objects.get(pk=make_member("Owner").pk), backend="allauth.account.auth_backends.AuthenticationBackend")  # fmt: skip
    assert "a credit note for what was billed, and the period anew" in browser.get(f"/contracts/{made}/").content.decode()
    assert browser.post("/contracts/use/late/", {"policy": "next_invoice"}).status_code == 302
    assert (
        LateUsage.objects.get().policy == "next_invoice"
        and browser.post("/contracts/use/late/", {"policy": "x"}).status_code == 422
    )
    use((LATE, 100))
    bill(FEB)
    use((LATE, 1))
    page = browser.get("/contracts/runs/preview/?as_of=2026-03-01").content.decode()
    number = Invoice.objects.get().number
    assert f"takes back line 1 of {number}" in page and "rated anew: 101 at 0.1" in page
    bill(MAR)
    shown = browser.get(f"/contracts/documents/{Invoice.objects.get(kind='credit_note').pk}/explained/").content.decode()
    assert f"takes back line 1 of {number}" in shown and "so that all credit notes of a line add up to it" in shown
