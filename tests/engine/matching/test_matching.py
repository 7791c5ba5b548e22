"""Cash application: what is posted is right, what is doubtful waits with its reason, and no item is paid twice."""

from __future__ import annotations

from datetime import date
from itertools import combinations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import matching as books
from topline.engine.matching import Policy, confidence, propose
from topline.engine.matching.references import structured_body
from topline.engine.matching.subsets import LARGEST_SET, adding_up

DAY = date(2026, 3, 1)
NOBODY = pl.DataFrame(schema={"customer_id": pl.Int64, "payer_key": pl.String, "payer_account": pl.String})


def paid(*rows):
    """Payments from (amount, payer, text) with ids from 1."""
    full = [{"payment_id": n, "amount_minor": a, "currency": "EUR", "booked_on": DAY, "payer_key": p, "payer_account": None,
             "remittance": t, "reference": ""} for n, (a, p, t) in enumerate(rows, 1)]  # fmt: skip
    return pl.DataFrame(full, schema_overrides={"payer_account": pl.String})


def owed(*rows, **more):
    """Items from (customer, number, open) with ids from 1; the customer's name is `customer<id>`."""
    full = [{"item_id": n, "customer_id": c, "customer_key": f"customer{c}name", "number": number, "order_number": None, "reference": None,
             "currency": "EUR", "open_minor": a, "due_on": DAY, "discount_minor": 0, "discount_until": None, "blocked": False, **more}
            for n, (c, number, a) in enumerate(rows, 1)]  # fmt: skip
    return pl.DataFrame(full, schema_overrides={"order_number": pl.String, "reference": pl.String, "discount_until": pl.Date})


def decided(payments, items, **more):
    found = propose(payments, items, known=more.pop("known", NOBODY), **more)
    return found.payments["decision"].to_list(), found


def test_generated_books_are_posted_right_999_times_in_1000_and_85_of_100_by_themselves():
    paid_in, ledger, known, truth = books.book(7, payments=4_000, items=20_000)
    found = propose(paid_in.drop("kind"), ledger, known=known)
    rows = books.judged(found, paid_in, truth)
    posted = rows.filter(pl.col("decision") == "apply")
    assert posted["right"].mean() >= 0.999
    assert (rows.filter(pl.col("kind") != "unknown")["decision"] == "apply").mean() >= 0.85
    assert posted.filter(pl.col("kind") == "unknown").is_empty()
    spent = found.links.join(posted.select("payment_id"), on="payment_id").group_by("item_id").agg(pl.col("settled_minor").sum())
    assert spent.join(ledger, on="item_id").filter(pl.col("settled_minor") > pl.col("open_minor")).is_empty()
    cash = found.links.group_by("payment_id").agg(pl.col("amount_minor").sum().alias("spent")).join(paid_in, on="payment_id")
    assert cash.filter(pl.col("spent") > pl.col("amount_minor")).is_empty()


@pytest.mark.parametrize("sample", books.RIGHT)
def test_the_published_samples_are_posted_where_their_labels_say_so_and_nowhere_else(shared, sample):
    assert books.posted_of(shared / "data" / "cash_application" / "samples" / sample) == books.RIGHT[sample]


@pytest.mark.parametrize("text", ["INV-0042-7", "inv 42/007", "INV_0042.07 danke", "Rechnung INV/42-7."])
def test_a_number_is_found_however_it_is_written(text):
    assert decided(paid((500, "x", text)), owed((1, "INV-0042-007", 500)))[0] == ["apply"]


def test_a_number_is_not_found_inside_a_longer_one():
    assert decided(paid((500, "customer1name", "91234")), owed((1, "1234", 700)))[0] == ["unknown"]


@pytest.mark.parametrize("text", ["RF18539007547034", "RF18 5390 0754 7034"])
def test_a_structured_reference_counts_only_with_its_check_digits(text):
    assert structured_body(text) == "539007547034"
    assert structured_body(text[:-1] + "5") is None


@pytest.mark.parametrize(
    "text,body", [("210000000003139471430009017", "21000000000313947143000901"), ("13", None), ("1232", "123")]
)
def test_swiss_and_finnish_references_are_read(text, body):
    assert structured_body(text) == body


def test_one_cent_against_ten_equal_invoices_waits():
    items = owed(*[(1, f"R-10{n}", 1) for n in range(10)])
    assert decided(paid((1, "customer1name", "")), items)[0] == ["review"]


def test_two_sets_that_add_up_are_never_posted():
    items = owed((1, "A1001", 30_011), (1, "A1002", 70_013), (1, "A1003", 30_011), (1, "A1004", 99_999))
    assert decided(paid((100_024, "customer1name", "")), items)[0] != ["apply"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"blocked": True}, "on hold"), ({"currency": "USD"}, "another currency"), ({"open_minor": 400}, "more than the items"),
     ({"open_minor": 790}, "less than what is due"), ({"customer_id": 2}, "another customer")],
)  # fmt: skip
def test_what_speaks_against_posting_is_told(change, words):
    items = owed((1, "INV-5001", 500), (1, "INV-5009", 7_777)).with_columns(
        **{k: pl.when(pl.col("item_id") == 1).then(pl.lit(v)).otherwise(pl.col(k)) for k, v in change.items()}
    )
    if "customer_id" in change:
        items = items.with_columns(customer_key=pl.format("customer{}name", "customer_id"))
    decision, found = decided(paid((500, "customer1name", "INV-5001")), items)
    assert decision == ["review"] and words in found.payments["reason"][0]


@pytest.mark.parametrize(("text", "words"), [
    ("INV-5001 less freight", "a deduction or a claim"), ("INV-5001 2 % Skonto", "a discount that the terms do not give"), ("INV-5001", "for no reason that we know"),
])  # fmt: skip
def test_what_the_text_says_of_a_short_payment_is_told(text, words):
    decision, found = decided(paid((940, "customer1name", text)), owed((1, "INV-5001", 1_000)))
    assert decision == ["review"] and words in found.payments["reason"][0]


@pytest.mark.parametrize(("text", "decision"), [
    ("Global Imports Invoice INV-5001", "apply"), ("Global Imports INV-5001", "apply"), ("GLOBAL IMPORTS CORP INV-5001", "apply"),
    ("INV-5001 Global Imports North", "review"), ("INV-5001 to global-imports overseas", "review"), ("INV-5001 Imports North", "apply"),
])  # fmt: skip
def test_a_text_that_names_a_sister_company_waits(text, decision):
    items = owed((1, "INV-5001", 500), (1, "INV-5009", 7_777))
    assert decided(paid((500, "customer1name", text)), items, policy=Policy(own_name="global imports"))[0] == [decision]


def test_the_same_payment_from_two_banks_is_not_posted_twice():
    assert decided(paid((500, "c", "INV-5001"), (500, "c", "INV-5001")), owed((1, "INV-5001", 500)))[0] == ["review", "review"]


def test_several_payments_that_together_settle_an_item_are_posted():
    decision, found = decided(paid((200, "c", "INV-5001"), (300, "c", "INV-5001 rest")), owed((1, "INV-5001", 500)))
    assert decision == ["apply", "apply"] and found.links["settled_minor"].sum() == 500


def test_a_parent_that_is_known_to_pay_is_no_stranger():
    items = owed((1, "INV-5001", 500), (2, "INV-6001", 900))
    known = pl.DataFrame({"customer_id": [1], "payer_key": ["customer2name"], "payer_account": [None]}, schema=NOBODY.schema)
    assert decided(paid((500, "customer2name", "INV-5001")), items)[0] == ["review"]
    assert decided(paid((500, "customer2name", "INV-5001")), items, known=known)[0] == ["apply"]


def test_ten_kilobytes_in_mixed_scripts_do_no_harm():
    text = "支払い مرحبا Ωμέγα " * 600
    assert decided(paid((500, "c" * 10_000, text)), owed((1, "INV-5001", 600)))[0] == ["unknown"]
    assert decided(paid((500, "c" * 10_000, f"{text[:10_000]} INV-5001")), owed((1, "INV-5001", 500)))[0] == ["apply"]


def test_a_hundred_invoices_in_one_text_are_all_settled():
    items = owed(*[(1, f"INV-{5000 + n}", 100 + n) for n in range(100)])
    whole = paid((sum(100 + n for n in range(100)), "customer1name", ", ".join(items["number"])))
    decision, found = decided(whole, items)
    assert decision == ["apply"] and found.links["item_id"].sort().to_list() == list(range(1, 101))
    assert found.payments["reason"][0] == "The text names INV-5000, INV-5001, INV-5002, INV-5003 and 96 more."


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(1, 200))
def test_sets_that_add_up_are_all_seen(amounts, target):
    every = [
        c
        for size in range(1, LARGEST_SET + 1)
        for c in combinations(range(len(amounts)), size)
        if sum(amounts[i] for i in c) == target
    ]
    found = adding_up(amounts, target)
    assert found.solutions == len(every)
    assert found.positions == (every[0] if len(every) == 1 else ())


def test_the_confidence_curve_finds_back_what_made_the_labels():
    import numpy as np

    rng = np.random.default_rng(3)
    matrix = np.column_stack([np.ones(20_000), rng.random((20_000, len(confidence.FEATURES)))])
    truth = np.array([-1.0, 2, 1, 0, -2, 0.5, 0, 1])
    right = (rng.random(20_000) < 1 / (1 + np.exp(-matrix @ truth))).astype(float)
    assert np.allclose(list(confidence.fit(matrix, right).values()), truth, atol=0.25)


def test_what_names_no_item_is_guessed_for_a_person_and_never_posted():
    """A holding that names its subsidiary, an instalment of nothing in particular, an amount that only one item has."""
    items = owed(
        (1, "A-1", 546_21), (2, "B-1", 856_80), (2, "B-2", 90_00), (3, "C-1", 184_31), (4, "D-1", 500_00), (4, "D-2", 500_00)
    )
    payments = paid(
        (546_21, "customer1nameholding", "for our daughter"),
        (428_40, "customer2name", "Teilzahlung"),
        (184_31, "stranger", "thank you"),
        (500_00, "stranger", "Customer4 Name, thank you"),
        (700_00, "stranger", "thank you"),
    )
    decisions, found = decided(payments, items)
    assert decisions == ["review", "review", "review", "unknown", "unknown"]
    assert found.payments["confidence"].to_list() == [0.0] * 5
    assert found.payments["reason"].to_list()[:3] == [
        "A customer is named, and the amount is that of A-1. The payer is not known to pay for this customer.",
        "An instalment, perhaps of B-1, as a part. The text does not say of which item.",
        "Of all that is open only C-1 has this amount. The payer is not known.",
    ]
    assert found.links.select("payment_id", "item_id", "amount_minor").rows() == [(1, 1, 546_21), (2, 2, 428_40), (3, 4, 184_31)]


def test_a_guess_takes_no_item_from_a_payment_that_names_it():
    items = owed((1, "INV-2026-0001", 546_21))
    decisions, _ = decided(paid((546_21, "customer1name", "INV-2026-0001"), (546_21, "stranger", "for customer1 name")), items)
    assert decisions == ["apply", "unknown"]
