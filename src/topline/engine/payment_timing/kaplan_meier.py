"""How likely each day is to be the day of payment, by counting: the public, the company, the customer.

A hazard is the chance to be paid on a day, given not before. Each level is shrunk to the one above it, so a customer with two
invoices looks like the company and a company with two looks like everybody. Days count from the due day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topline.engine.payment_timing.book import NEVER, WHOLE, Days, History, Matrix

EARLIEST, LATEST = -90, 180
CELLS = LATEST - EARLIEST + 1
CUSTOMER_WEIGHT = 5.0  # invoices that the company's curve counts for beside a customer's own
PUBLIC_WEIGHT = 15.0  # invoices that the public curve counts for beside a company's own
SHIFT = 1 << 31  # customer and day in one sortable number
MONDAY = 4  # day number 4 is a Monday (5 January 1970)


def cell(delay: Days) -> Days:
    """Column of a delay in days after due; what lies beyond the ends counts at the ends."""
    return np.clip(delay, EARLIEST, LATEST) - EARLIEST


def survival(hazard: Matrix) -> Matrix:
    """Chance to be still unpaid before each day, from the chance of each day."""
    before = np.ones_like(hazard)
    np.cumprod(1.0 - hazard[:, :-1], axis=1, out=before[:, 1:])
    return before


def public_hazard(terms: Days) -> Matrix:
    """What is known before a company has a history: round figures of late payment between companies.

    About half of invoices between companies are paid after their due day, most of them within two weeks, a few very late (payment
    surveys of trade-credit insurers agree on this much and not on more). Short terms are overrun by more days than long ones.
    returns  one row per element of terms, one column per day from EARLIEST to LATEST
    """
    days = np.arange(EARLIEST, LATEST + 2)[None, :] - 0.5
    length = np.clip(terms, 0, 90)[:, None].astype(float)
    middle, width = 7.0 - length / 15.0, 4.0 + length / 15.0
    paid = 0.82 * _logistic((days - middle) / width) + 0.18 * _logistic((days - middle - 25.0) / (2.5 * width))
    before = 1.0 - paid[:, :-1]
    hazard = np.diff(paid, axis=1) / np.maximum(before, 1e-12)
    hazard[days[:, :-1].repeat(len(hazard), axis=0) + 0.5 < -length] = 0.0
    return np.clip(hazard, 0.0, 0.999)


def _logistic(x: Matrix) -> Matrix:
    return np.asarray(1.0 / (1.0 + np.exp(-x)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Counts:
    """Per question: invoices paid in each cell, and invoices that could have been; in invoices, not thousandths."""

    events: Matrix
    at_risk: Matrix


def running_counts(past: History, *, group: Days, ask_group: Days, ask_day: Days) -> Counts:
    """Histograms of each group as known before a day, for many days in one pass.

    past   the pieces, with `group` the group of each
    ask_*  one question per element: a group and a day; only what was learned before the day counts
    An ended piece is added once, at the first question that knows it, and summed forward; an open one is at risk up to the day
    before each question that finds it open.
    Work: O(pieces log questions + open pieces per question + questions x cells).
    """
    key = ask_group * SHIFT + ask_day
    asked, back = np.unique(key, return_inverse=True)
    groups, days = asked // SHIFT, asked % SHIFT
    ends = np.searchsorted(asked, (group + 1) * SHIFT)
    seen_open = np.searchsorted(asked, group * SHIFT + past.known, side="right")
    seen_ended = np.minimum(np.searchsorted(asked, group * SHIFT + np.minimum(past.learned, SHIFT - 1), side="right"), ends)
    entry = cell(-past.terms)
    last = np.maximum(cell(past.ended - past.due), entry)

    shape = (len(asked), CELLS + 1)
    known = (seen_ended < ends) & (past.learned < NEVER)
    paid = known & (past.paid < NEVER)
    events = _scatter(shape, seen_ended[paid], last[paid], past.share[paid])
    closed = _scatter(shape, seen_ended[known], entry[known], past.share[known])
    closed -= _scatter(shape, seen_ended[known], last[known] + 1, past.share[known])
    first = np.searchsorted(groups, groups)  # first question of the same group
    events, closed = (_forward(counts, first) for counts in (events, closed))

    times = np.maximum(seen_ended - seen_open, 0)
    piece = np.repeat(np.arange(len(times)), times)
    question = seen_open[piece] + np.arange(len(piece)) - np.repeat(np.cumsum(times) - times, times)
    until = np.maximum(cell(days[question] - 1 - past.due[piece]), entry[piece])
    closed += _scatter(shape, question, entry[piece], past.share[piece])
    closed -= _scatter(shape, question, until + 1, past.share[piece])
    at_risk = np.cumsum(closed, axis=1)
    return Counts(events[back, :CELLS] / WHOLE, at_risk[back, :CELLS] / WHOLE)


def _scatter(shape: tuple[int, int], row: Days, column: Days, weight: Days) -> Days:
    """Sum of weights per row and column, exact: sums of whole numbers below 2^53."""
    flat = np.bincount(row * shape[1] + column, weights=weight, minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.int64)


def _forward(counts: Days, first: Days) -> Days:
    """Running sums down the rows, started afresh at the first row of each group."""
    total = np.cumsum(counts, axis=0)
    before = np.concatenate([np.zeros((1, counts.shape[1]), dtype=np.int64), total])
    return np.asarray(total - before[first])


def shrunk(counts: Counts, *, above: Matrix, weight: float) -> Matrix:
    """Hazard of counts that lean on the level above as on `weight` invoices: (events + k f0) / (at risk + k S0)."""
    before = survival(above)
    return np.asarray((counts.events + weight * before * above) / np.maximum(counts.at_risk + weight * before, 1e-12))


def company_hazard(past: History, *, day: Days, terms: Days) -> Matrix:
    """The company's own curve as known on the Monday before each day, leaning on the public one of the same terms."""
    monday = day - (day - MONDAY) % 7
    one = np.zeros(len(day), dtype=np.int64)
    counts = running_counts(past, group=np.zeros(len(past.customer), dtype=np.int64), ask_group=one, ask_day=monday)
    return _from_entry(shrunk(counts, above=public_hazard(terms), weight=PUBLIC_WEIGHT), terms)


def customer_hazard(past: History, *, customer: Days, day: Days, terms: Days, weight: float = CUSTOMER_WEIGHT) -> Matrix:
    """Each customer's curve as known before each day, leaning on the company's."""
    counts = running_counts(past, group=past.customer, ask_group=customer, ask_day=day)
    return _from_entry(shrunk(counts, above=company_hazard(past, day=day, terms=terms), weight=weight), terms)


def _from_entry(hazard: Matrix, terms: Days) -> Matrix:
    """Nothing is paid before it is issued."""
    hazard[np.arange(CELLS)[None, :] < cell(-terms)[:, None]] = 0.0
    return np.clip(hazard, 0.0, 0.999)
