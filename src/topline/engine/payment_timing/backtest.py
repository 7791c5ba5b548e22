"""Methods against plain baselines, judged as if on the day: what each would have said, and what then came.

Rule at issue: train on invoices issued before a day with what was known before it; forecast each later invoice at its issue from
payments strictly before that day. Rule of the open book: on each Monday forecast the cash of all open invoices in the next weeks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from topline.engine.payment_timing import scores
from topline.engine.payment_timing.book import NEVER, WHOLE, Book, Days, Matrix, day_number
from topline.engine.payment_timing.calibration import Repair
from topline.engine.payment_timing.features import Past, Questions, curves, prepare, questions_of
from topline.engine.payment_timing.hazard import HORIZON
from topline.engine.payment_timing.kaplan_meier import company_hazard, customer_hazard
from topline.engine.payment_timing.model import Model, counted, train
from topline.kernel.errors import Invalid, ensure

BARELY = 1e-6  # a weight so small that a customer's own payments decide wherever there are any
WEEKS = 4
BASELINE = "due date"


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was measured, and the model that was measured.

    at_issue   one row per method: method, mae_days, crps_days, coverage_50, coverage_80, coverage_90 f64 (null for forecasts of one day),
               auc_late f64, skill f64 (1 - CRPS / CRPS of the due date), invoices u32
    open_book  one row per method: method, wape f64 of weekly cash, mondays u32, invoices u32
    """

    model: Model
    at_issue: pl.DataFrame
    open_book: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Said:
    """Forecasts of one method: its curve, whether it names one day only, and what it ranks lateness by."""

    pmf: Matrix
    single: bool = False
    late: Matrix | None = None


def backtest(book: Book, *, split: date, mondays: int = 22, model: Model | None = None) -> Backtest:
    """Train before a day, forecast after it, and score every method by both rules.

    split    first day of the test span
    mondays  weekly looks at the open book from the first Monday on or after it
    Raises: Invalid where nothing was issued and paid after the split. Work: one training and a few forecasts a method.
    """
    model = model or train(book, on=split)
    past = prepare(book)
    return Backtest(model, at_issue(model, past, split=split), open_book(model, past, split=split, mondays=mondays))


def at_issue(model: Model, past: Past, *, split: date) -> pl.DataFrame:
    """The table of the rule at issue (`Backtest.at_issue`), over invoices issued on or after the split and paid since."""
    pieces = past.pieces
    last = np.searchsorted(pieces.invoice, np.unique(pieces.invoice), side="right") - 1
    last = last[(pieces.issued[last] >= day_number(split)) & (pieces.paid[last] < NEVER)]
    ensure(len(last) > 0, Invalid(f"No invoice issued from {split} on has been paid.", field="split"))
    ask = questions_of(past, pieces.invoice[last], pieces.issued[last])
    actual = np.maximum(pieces.paid[last] - ask.day, 0)
    late = pieces.paid[last] > ask.due
    rows = []
    for method, said in _methods(model, past, ask).items():
        pit = scores.mid_pit(said.pmf, actual)
        held = {f"coverage_{n}": None if said.single else scores.coverage(pit, n / 100) for n in (50, 80, 90)}
        unpaid = 1.0 - (said.pmf * (np.arange(said.pmf.shape[1])[None, :] <= ask.terms[:, None])).sum(axis=1)
        rows.append(
            {
                "method": method,
                "mae_days": float(scores.absolute_error(said.pmf, actual).mean()),
                "crps_days": float(scores.crps(said.pmf, actual).mean()),
                **held,
                "auc_late": scores.auc(unpaid if said.late is None else said.late, late),
                "invoices": len(last),
            }
        )
    table = pl.DataFrame(rows, schema_overrides={f"coverage_{n}": pl.Float64 for n in (50, 80, 90)})
    plain = float(table.filter(pl.col("method") == BASELINE)["crps_days"][0])
    return table.with_columns(skill=1.0 - pl.col("crps_days") / plain)


def open_book(model: Model, past: Past, *, split: date, mondays: int) -> pl.DataFrame:
    """The table of the rule of the open book (`Backtest.open_book`): weekly error of the cash of weeks 1 to 4."""
    first = split + timedelta(days=-split.weekday() % 7)
    pieces = past.pieces
    came: list[Matrix] = []
    said: dict[str, list[Matrix]] = {}
    seen = 0
    for number in range(mondays):
        today = day_number(first) + 7 * number
        opened = np.flatnonzero((pieces.known < today) & (pieces.learned >= today))
        seen += len(opened)
        ask = questions_of(past, pieces.invoice[opened], np.full(len(opened), today, dtype=np.int64))
        cash = pieces.amount[opened] * pieces.share[opened] / WHOLE
        came.append(_weekly(cash, _one_day(pieces.paid[opened] - today)))
        for method, forecast in _methods(model, past, ask).items():
            said.setdefault(method, []).append(_weekly(cash, forecast.pmf))
    truth = np.concatenate(came) if came else np.zeros(0)
    rows = [(method, scores.wape(np.concatenate(weeks), truth), mondays, seen) for method, weeks in said.items()]
    schema = {"method": pl.String, "wape": pl.Float64, "mondays": pl.UInt32, "invoices": pl.UInt32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _methods(model: Model, past: Past, ask: Questions) -> dict[str, _Said]:
    """What each method says to the same questions, from the same past."""
    paid = past.paid.before(ask.customer, ask.day)
    company = past.company.before(np.zeros_like(ask.customer), ask.day)
    usual = company[:, 1] / np.maximum(company[:, 0], 1)
    mean = np.where(paid[:, 0] > 0, paid[:, 1] / np.maximum(paid[:, 0], 1), usual)
    due = ask.due - ask.day
    shared = {"customer": ask.customer, "day": ask.day, "terms": ask.terms}
    raw = customer_hazard(past.pieces, weight=BARELY, **shared)
    methods = {
        BASELINE: _Said(_one_day(np.maximum(due, 0)), single=True, late=np.zeros(len(ask))),
        "customer mean": _Said(_one_day(np.maximum(due + np.round(mean).astype(np.int64), 0)), single=True, late=mean),
        "company curve": _Said(counted(company_hazard(past.pieces, day=ask.day, terms=ask.terms), ask)),
        "customer curve, raw": _Said(counted(raw, ask)),
        "customer curve, shrunk": _Said(counted(curves(past, ask), ask)),
    }
    if model.hazard is not None:
        methods["hazard"] = _Said(replace(model, weight=1.0, repair=Repair()).distribution(past, ask))
    methods["shipped"] = _Said(model.distribution(past, ask))
    return methods


def _one_day(ahead: Days) -> Matrix:
    """All mass on one day; none within the horizon where it lies beyond."""
    pmf = np.zeros((len(ahead), HORIZON))
    inside = np.flatnonzero((ahead >= 0) & (ahead < HORIZON))
    pmf[inside, ahead[inside]] = 1.0
    return pmf


def _weekly(cash: Matrix, pmf: Matrix) -> Matrix:
    return np.array([float(cash @ pmf[:, 7 * week : 7 * week + 7].sum(axis=1)) for week in range(WEEKS)])
