"""Credit notes by lines: whatever is credited in whatever order, it adds up to the invoice, and the preview says what is issued."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from tests.api.conftest import api, call_as, make_member  # noqa: F401
from topline.billing import actions, documents, queries, taxes
from topline.billing.models import Invoice, InvoiceLine
from topline.books import queries as books
from topline.books.models import Entity
from topline.engine.rating.credit_notes import Chosen, CreditTooLarge, credit_chosen
from topline.kernel import clock
from topline.kernel.errors import Invalid
from topline.receivables import actions as receivables
from topline.team.models import Member

MARCH = date(2026, 3, 1)
M = 10**6


@pytest.fixture
def customer(make_customers):
    return make_customers("Globex AG")[0]


@pytest.fixture
def invoice(owner, entity, customer):
    """Three units at 33.33 1/3 less what rounding takes, a discount line, and one line at another rate; issued."""
    rows = [
        {"description": "Seat", "quantity_micro": 3 * M, "unit_price_nano": 3_333_333_333_333, "tax_rate_ppm": 190_000},
        {"description": "Less", "quantity_micro": -M, "unit_price_nano": 10_01 * 10**9, "tax_rate_ppm": 190_000},
        {"description": "Book", "quantity_micro": M, "unit_price_nano": 9_99 * 10**9, "tax_rate_ppm": 70_000},
    ]
    head = pl.DataFrame({"ref": ["a"], "customer_id": [customer], "currency": ["EUR"]})
    lines = pl.DataFrame([{"ref": "a", "position": n, **row} for n, row in enumerate(rows, 1)])
    made = actions.draft_invoices(actor=owner, entity_id=entity.pk, invoices=head, lines=lines)["invoice_id"].to_list()
    actions.issue_invoices(actor=owner, invoice_ids=made, issue_on=MARCH)
    return made[0]


@pytest.fixture
def credit(owner, invoice):
    def make(*chosen, **facts):
        told = {"actor": owner, "invoice_id": invoice, "issue_on": MARCH, "reason": "Returned"} | facts
        shown = actions.preview_credit(invoice_id=invoice, lines=chosen, total_minor=told.get("total_minor"))
        note = Invoice.objects.get(pk=actions.credit_invoice(lines=chosen, **told))
        issued = list(note.lines.order_by("position").values_list("position", "net_minor", "tax_minor"))
        assert issued == shown.select("position", "net_minor", "tax_minor").rows(), "what was shown is what is issued"
        return note

    return make


line = st.builds(
    lambda units, net, rate: {"quantity_micro": units, "net_minor": net, "tax_minor": round(net * rate / 100)},
    st.integers(1, 7).map(lambda n: n * M) | st.integers(1, 5 * M),
    st.integers(1, 10_000) | st.integers(-10_000, -1),
    st.sampled_from([0, 7, 19]),
)
step = st.tuples(st.sampled_from(["units", "net", "rest"]), st.integers(0, 2), st.fractions(min_value=0, max_value=1))


@given(st.lists(line, min_size=1, max_size=3), st.lists(step, max_size=8))
def test_parts_of_lines_in_any_order_never_exceed_a_line_and_the_last_takes_what_is_left(lines, steps):
    frame = pl.DataFrame([{"position": n, **row} for n, row in enumerate(lines)]).with_columns(
        unit_price_nano=pl.lit(10**9, dtype=pl.Int64), discount_ppm=pl.lit(0, dtype=pl.Int64)
    )
    gone = frame.select("position", net_minor=pl.lit(0), tax_minor=pl.lit(0), credits_micro=pl.lit(0))
    for kind, place, share in [*steps, *(("rest", n, 1) for n in range(len(lines)))]:
        at = place % len(lines)
        taken = gone.row(at, named=True)
        left = {name: lines[at][name] - taken[name] for name in ("net_minor", "tax_minor")}
        units = lines[at]["quantity_micro"] - taken["credits_micro"]
        asked = {
            "units": {"quantity_micro": int(units * share)},
            "net": {"net_minor": int(left["net_minor"] * share)},
            "rest": {},
        }
        try:
            (row,) = credit_chosen(frame, gone, [Chosen(at, **asked[kind])]).to_dicts()
        except Invalid:
            continue  # less than a cent, or no unit
        except CreditTooLarge:
            assert not any(left.values()) or (kind == "units" and not units)
            continue
        for name in ("net_minor", "tax_minor"):
            assert 0 <= row[name] * (1 if lines[at]["net_minor"] > 0 else -1) <= abs(left[name])
        fair = lines[at]["tax_minor"] * (taken["net_minor"] + row["net_minor"]) / lines[at]["net_minor"]
        assert abs(taken["tax_minor"] + row["tax_minor"] - fair) <= 0.5, "tax follows what is credited in all"
        if kind == "units" and int(units * share) == units:
            assert row["net_minor"] == left["net_minor"], "the last unit takes the net that is left"
        assert abs(row["quantity_micro"] * row["unit_price_nano"] / 10**15 - row["net_minor"]) <= 0.51
        gone = gone.with_columns(
            *(pl.when(pl.col("position") == at).then(pl.col(c) + (row[c] or 0)).otherwise(c).alias(c) for c in ("net_minor", "tax_minor", "credits_micro"))
        )  # fmt: skip
    assert gone.select("net_minor", "tax_minor").rows() == [(row["net_minor"], row["tax_minor"]) for row in lines]


def test_an_invoice_goes_back_line_by_line_to_the_cent(credit, invoice, entity):
    first = credit(Chosen(1, quantity_micro=M))
    told = first.lines.get()
    assert (told.position, told.quantity_micro, told.net_minor, told.tax_minor) == (1, M, 33_33, 6_33)
    amount = credit(Chosen(1, net_minor=10_00), Chosen(3))
    assert list(amount.lines.values_list("position", "net_minor", "tax_minor", "credits_micro")) == [(1, 10_00, 1_90, None), (3, 9_99, 70, M)]  # fmt: skip
    credit(total_minor=5_00)
    last = credit()
    sums = [sum(n) for n in zip(*Invoice.objects.filter(corrects_id=invoice).values_list("net_minor", "tax_minor", "total_minor"), strict=True)]  # fmt: skip
    whole = Invoice.objects.get(pk=invoice)
    assert sums == [whole.net_minor, whole.tax_minor, whole.total_minor] and last.lines.filter(position=2).exists()
    assert books.role_balances(entity_id=entity.pk, role="receivable").get("EUR", 0) == 0
    assert queries.creditable(invoice)["left_minor"].to_list() == [0, 0, 0]
    with pytest.raises(CreditTooLarge, match="is left"):
        credit()


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ([Chosen(1, quantity_micro=4 * M)], "3 units are left"), ([Chosen(1, net_minor=100_01)], "less than that is left"), ([Chosen(1, net_minor=-1)], "own sign"), ([Chosen(2, net_minor=1)], "own sign"),
        ([Chosen(9)], "no line 9"), ([Chosen(1), Chosen(1)], "twice"), ([Chosen(1, quantity_micro=M, net_minor=1)], "units or an amount"), ([Chosen(1, quantity_micro=1)], "less than a cent"),
        ([Chosen(2)], "of these lines comes to"),
    ],
)  # fmt: skip
def test_what_cannot_be_credited_is_refused_and_nothing_is_written(credit, chosen, told):
    with pytest.raises((Invalid, CreditTooLarge), match=told):
        credit(*chosen)
    assert not Invoice.objects.filter(kind="credit_note").exists()


def test_the_credit_note_is_an_e_invoice_that_names_what_it_corrects(owner, credit, invoice, customer):
    taxes.add_tax_rate(actor=owner, country="DE", rate_ppm=190_000, valid_from=date(2020, 1, 1))
    Entity.objects.update(country="DE", tax_id="DE123456788", line1="Road 1", city="Berlin", postal_code="10115")
    Invoice.objects.get(pk=invoice).customer.__class__.objects.filter(pk=customer).update(country="DE")
    for chosen in ([Chosen(1, quantity_micro=2 * M)], [Chosen(3)]):
        found = documents.document(queries.invoice_detail(credit(*chosen).pk))
        assert found.problems == () and found.said.preceding[0].number == "INV-000001"
        assert found.said.lines[0].adjustments == (), "units x price is the net"


@pytest.fixture
def browser(owner, entity, make_member):  # noqa: F811
    found = Client()
    found.force_login(
        Member.objects.get(pk=make_member("Billing").pk), backend="allauth.account.auth_backends.AuthenticationBackend"
    )
    with clock.at(MARCH):
        yield found


def test_the_wizard_shows_what_is_left_previews_and_issues(browser, invoice):
    at = f"/invoices/{invoice}/credit/"
    assert f'href="{at}"' in browser.get(f"/invoices/{invoice}/").content.decode()
    assert "33,333" not in browser.get(at).content.decode()
    chosen = {"units-1": "1", "line-3": "1", "reason": "Returned"}
    shown = browser.post(at, {**chosen, "preview": "1"}).content.decode()
    assert (
        "What the credit note would say" in shown and "50.35" in shown and not Invoice.objects.filter(kind="credit_note").exists()
    )
    for wrong, told in (({"units-1": "x", "reason": "y"}, "no number of units"), ({"reason": "y"}, "Nothing is chosen"), ({"line-1": "1"}, "Say why"), ({"units-1": "9", "reason": "y"}, "3 units are left")):  # fmt: skip
        answer = browser.post(at, wrong)
        assert answer.status_code in (409, 422) and told in answer.content.decode()
    answer = browser.post(at, chosen)
    note = Invoice.objects.get(kind="credit_note")
    assert answer.headers["Location"] == f"/invoices/{note.pk}/" and (note.total_minor, note.memo) == (50_35, "Returned")
    page = browser.get(at).content.decode()
    assert "66.67" in page and "of 100.00" in page
    browser.post(at, {"everything": "1", "reason": "All"})
    assert "All of this invoice was credited" in browser.get(at).content.decode()


def test_programs_see_what_is_left_and_credit_lines(api, owner, invoice, entity):  # noqa: F811
    rows = api.get(f"/invoices/{invoice}/creditable").json()["items"]
    assert [(r["left_micro"], r["left_minor"], r["left_tax_minor"]) for r in rows] == [
        (3 * M, 100_00, 19_00),
        (M, -10_01, -1_90),
        (M, 9_99, 70),
    ]
    body = {"issue_on": "2026-03-02", "reason": "Returned", "lines": [{"position": 1, "quantity_micro": 3 * M}, {"position": 2}]}
    note = api.post(f"/invoices/{invoice}/credit", body).json()["result"]
    assert Invoice.objects.get(pk=note).total_minor == 107_09 and InvoiceLine.objects.filter(invoice_id=note).count() == 2
    again = api.post(f"/invoices/{invoice}/credit", body)
    assert (again.status_code, again.json()["code"]) == (409, "credit_too_large")


def test_an_invoice_says_which_of_its_credit_notes_are_not_applied_yet(browser, invoice, credit, owner):
    at = f"/invoices/{invoice}/"
    assert "not applied" not in browser.get(at).content.decode()
    note = credit(Chosen(3))
    shown = browser.get(at).content.decode()
    assert f"Credit notes of {10_69 / 100:.2f} EUR correct this invoice and are not applied to it" in shown
    assert f'href="/credit-notes/{note.pk}/apply/">Apply {note.number}' in shown
    receivables.apply_credit_note(actor=owner, credit_note_id=note.pk, links=pl.DataFrame({"invoice_id": [invoice], "amount_minor": [10_69]}), on=MARCH)  # fmt: skip
    assert "not applied" not in browser.get(at).content.decode()
