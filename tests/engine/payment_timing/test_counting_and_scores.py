"""Counted curves and scores against slow oracles in plain Python, and what every forecast must be whatever the book."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.engine.payment_timing import calibration, notes, scores
from topline.engine.payment_timing.book import NEVER, Book, as_of, day_number
from topline.engine.payment_timing.features import curves, prepare, questions_of
from topline.engine.payment_timing.kaplan_meier import (
    CELLS,
    CUSTOMER_WEIGHT,
    EARLIEST,
    LATEST,
    company_hazard,
    customer_hazard,
    public_hazard,
    running_counts,
    survival,
)
from topline.engine.payment_timing.model import counted

ORIGIN = date(2024, 1, 1)


@st.composite
def books(draw) -> Book:
    """Up to 30 invoices of three customers: any terms, some open, some paid before issue, some learned late."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(1, 3),
                st.integers(0, 120),
                st.sampled_from([0, 14, 30, 60]),
                st.one_of(st.none(), st.integers(-5, 250)),
                st.integers(0, 4),
            ),
            min_size=1,
            max_size=30,
        )
    )
    day = lambda n: ORIGIN + timedelta(days=n)  # noqa: E731
    invoices = pl.DataFrame(
        [(i, c, 1000 + i, day(issued), day(issued + terms)) for i, (c, issued, terms, _, _) in enumerate(rows)],
        schema=["invoice_id", "customer_id", "amount_minor", "issued_on", "due_on"],
        orient="row",
    )
    cash = [
        (i, day(issued + took), day(issued + took + lag)) for i, (_, issued, _, took, lag) in enumerate(rows) if took is not None
    ]
    schema = {"invoice_id": pl.Int64, "paid_on": pl.Date, "learned_on": pl.Date}
    return Book(invoices, pl.DataFrame(cash, schema=schema, orient="row"))


def slow_hazard(book: Book, *, customer: int | None, on: int, above: list[float], weight: float) -> list[float]:
    """The shrunk curve cell by cell: (events + k f0) / (at risk + k S0), a loop over all invoices for each cell."""
    paid = {i: (p, k) for i, p, k in book.payments.select("invoice_id", "paid_on", "learned_on").iter_rows()}
    events, at_risk = [0] * CELLS, [0] * CELLS
    for invoice, who, _, issued_on, due_on in book.invoices.iter_rows():
        issued, due = day_number(issued_on), day_number(due_on)
        if (customer is not None and who != customer) or issued >= on:
            continue
        entry = max(issued - due, EARLIEST)
        known = invoice in paid and day_number(paid[invoice][1]) < on
        last = (day_number(paid[invoice][0]) if known else on - 1) - due
        last = max(min(max(last, EARLIEST), LATEST), entry)
        for cell in range(CELLS):
            at_risk[cell] += entry <= cell + EARLIEST <= last
            events[cell] += known and cell + EARLIEST == last
    unpaid, hazard = 1.0, []
    for cell in range(CELLS):
        hazard.append((events[cell] + weight * unpaid * above[cell]) / max(at_risk[cell] + weight * unpaid, 1e-12))
        unpaid *= 1 - above[cell]
    return hazard


@settings(max_examples=25, deadline=None)
@given(books(), st.integers(0, 300), st.sampled_from([0, 14, 30, 60]))
def test_the_running_curves_equal_the_slow_ones(book, asked, terms):
    on, past = day_number(ORIGIN) + asked, prepare(book).pieces
    monday = on - date.fromordinal(ORIGIN.toordinal() + asked).weekday()
    day, length = np.array([on]), np.array([terms])
    company = slow_hazard(book, customer=None, on=monday, above=public_hazard(length)[0].tolist(), weight=15.0)
    company = [0.0 if cell + EARLIEST < -terms else min(h, 0.999) for cell, h in enumerate(company)]
    assert company_hazard(past, day=day, terms=length)[0] == pytest.approx(company, abs=1e-9)
    for number, customer in enumerate(sorted(book.invoices["customer_id"].unique())):
        own = slow_hazard(book, customer=customer, on=on, above=company, weight=CUSTOMER_WEIGHT)
        own = [0.0 if cell + EARLIEST < -terms else min(h, 0.999) for cell, h in enumerate(own)]
        found = customer_hazard(past, customer=np.array([number]), day=day, terms=length)[0]
        assert found == pytest.approx(own, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(books(), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300)), min_size=1, max_size=12))
def test_many_questions_in_one_pass_get_the_answer_that_each_gets_alone(book, asked):
    past = prepare(book).pieces
    group = np.array([who % past.customers.height for who, _ in asked])
    day = np.array([day_number(ORIGIN) + n for _, n in asked])
    together = running_counts(past, group=past.customer, ask_group=group, ask_day=day)
    for i in range(len(asked)):
        alone = running_counts(past, group=past.customer, ask_group=group[i : i + 1], ask_day=day[i : i + 1])
        assert (together.events[i] == alone.events[0]).all()
        assert (together.at_risk[i] == alone.at_risk[0]).all()


@settings(max_examples=25, deadline=None)
@given(books(), st.integers(0, 300))
def test_a_forecast_is_a_distribution_and_its_age_conditions_it(book, later):
    past = prepare(book)
    rows = np.unique(past.pieces.invoice)
    start = past.pieces.issued[np.searchsorted(past.pieces.invoice, rows)]
    ask = questions_of(past, rows, start)
    curve = curves(past, ask)
    at_start = counted(curve, ask, horizon=700)
    assert (at_start >= 0).all()
    assert (at_start.sum(axis=1) <= 1 + 1e-9).all()
    assert (np.diff(np.cumsum(at_start, axis=1), axis=1) >= -1e-12).all()
    # the same curve asked later: what has passed is gone, what remains keeps its proportions
    aged = counted(curve, questions_of(past, rows, start + later), horizon=300)
    left = 1.0 - at_start[:, :later].sum(axis=1)
    solid = left > 1e-6
    assert aged[solid] == pytest.approx(at_start[solid, later : later + 300] / left[solid, None], abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 2**16))
def test_scores_equal_their_definitions(actual, seed):
    rng = np.random.default_rng(seed)
    pmf = rng.dirichlet(np.ones(11), len(actual))[:, :10]  # the eleventh is later than all days
    truth = np.array(actual)
    crps, pit, middle, errors = (
        scores.crps(pmf, truth),
        scores.mid_pit(pmf, truth),
        scores.quantile(pmf, 0.5),
        scores.absolute_error(pmf, truth),
    )
    inside = 0
    for i, y in enumerate(actual):
        total, reached, u, median = 0.0, 0.0, 0.0, None
        for x in range(10):
            u = reached + pmf[i, x] / 2 if x == y else u
            reached += pmf[i, x]
            total += (reached - (1 if y <= x else 0)) ** 2
            median = x if median is None and reached >= 0.5 else median
        assert crps[i] == pytest.approx(total)
        assert pit[i] == pytest.approx(u)
        assert middle[i] == (10 if median is None else median)
        assert errors[i] == abs(middle[i] - y)
        inside += 0.1 <= u <= 0.9
    assert scores.coverage(pit, 0.8) == pytest.approx(inside / len(actual))


def test_crps_of_one_day_is_the_distance_and_of_an_open_invoice_only_what_has_passed():
    pmf = np.zeros((1, 20))
    pmf[0, 5] = 1.0
    assert scores.crps(pmf, np.array([12])) == [7.0]
    assert scores.crps(pmf, np.array([NEVER]), seen=np.array([9])) == [4.0]


def test_auc_counts_pairs():
    score, late = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    assert scores.auc(score, late) == (1 + 1 + 0.5 + 1) / 4
    assert np.isnan(scores.auc(score, np.array([True] * 4)))


def test_a_company_without_history_gets_the_public_curve_by_terms():
    hazard = public_hazard(np.array([0, 30, 60]))
    paid_late = survival(hazard)[:, -EARLIEST + 1]
    assert (hazard[1, : EARLIEST * -1 - 30] == 0).all()  # not before its issue
    assert paid_late[0] > paid_late[1] > paid_late[2] > 0.4, "the shorter the terms, the more often they are overrun"
    assert (survival(hazard)[:, -1] < 0.01).all()  # nearly all is paid in the end, not all on the last day


def test_intervals_that_held_too_seldom_are_widened_around_the_same_middle():
    rng = np.random.default_rng(1)
    truth = rng.normal(50, 12, 3000).round().astype(int).clip(0, 99)
    narrow = np.exp(-0.5 * ((np.arange(100) - 50) / 6) ** 2)
    pmf = np.tile(narrow / narrow.sum(), (3000, 1))
    before = scores.coverage(scores.mid_pit(pmf, truth), 0.8)
    repair = calibration.learn(scores.mid_pit(pmf[:1500], truth[:1500]))
    repaired = repair.of(pmf)
    assert before < 0.6
    assert 0.74 <= scores.coverage(scores.mid_pit(repaired[1500:], truth[1500:]), 0.8) <= 0.87
    assert (scores.quantile(repaired, 0.5) == scores.quantile(pmf, 0.5)).all()
    assert (repaired >= -1e-12).all() and repaired.sum(axis=1) == pytest.approx(np.ones(3000))


def test_intervals_that_hold_are_left_alone():
    pit = np.linspace(0, 1, 200)
    assert calibration.learn(pit) == calibration.Repair()
    assert calibration.learn(np.full(20, 0.99)) == calibration.Repair(), "too few to judge"


def test_a_promise_takes_the_mass_that_promises_usually_keep():
    pmf = np.full((1, 40), 1 / 50)
    promised = notes.with_promise(pmf, np.array([10]), 0.7)
    assert promised[0, 9:16].sum() == pytest.approx(0.7 + 0.3 * 7 / 50)
    assert promised.sum() == pytest.approx(0.7 + 0.3 * 40 / 50)
    assert notes.with_promise(pmf, np.array([500]), 0.7).sum() == pytest.approx(0.3 * 40 / 50), (
        "beyond the horizon it is the tail's"
    )


def test_what_was_learned_on_the_day_is_not_known_before_it():
    day = date(2024, 3, 1)
    invoices = pl.DataFrame(
        {
            "invoice_id": [1, 2],
            "customer_id": [1, 1],
            "amount_minor": [5, 5],
            "issued_on": [date(2024, 2, 1), day],
            "due_on": [day, day],
        }
    )
    payments = pl.DataFrame({"invoice_id": [1], "paid_on": [date(2024, 2, 20)], "learned_on": [day]})
    disputes = pl.DataFrame(
        {"invoice_id": [1], "kind": ["price"], "learned_on": [date(2024, 2, 5)], "resolved_on": [day], "in_litigation": [False]}
    )
    cut = as_of(Book(invoices, payments, disputes=disputes), day)
    assert cut.invoices["invoice_id"].to_list() == [1]
    assert cut.payments.is_empty()
    assert cut.disputes["resolved_on"].to_list() == [None]
