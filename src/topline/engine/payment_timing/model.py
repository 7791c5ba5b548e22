"""The forecast that a company gets: which methods speak, how loudly, and for which invoices; versioned and scored.

How much history a company has decides which methods may speak, and its own last quarter decides how loudly: the learned hazard is
only used where it forecast that quarter better than counting did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from topline.engine.payment_timing import calibration, notes, scores
from topline.engine.payment_timing.book import NEVER, WHOLE, Book, Days, Matrix, as_of, day_number, refuse_leaks
from topline.engine.payment_timing.features import Past, Questions, curves, prepare, questions_of
from topline.engine.payment_timing.hazard import HORIZON, Hazard, Settings, fit, lesson
from topline.engine.payment_timing.kaplan_meier import cell, survival
from topline.kernel.errors import Invalid, ensure

QUARTER = 91
WEIGHTS = (0.0, 0.5, 0.85)  # of the hazard beside the counted curve: alone it is never better by much, and too sure of itself
CLEAR = 0.005  # the usual weight of a tier gives way only to one that is better by this share
MATURE = 0.02  # an unpaid invoice is scored once its forecast left no more than this for later


@dataclass(frozen=True, slots=True)
class Tier:
    """What a company of some size gets before its own quarter has a say."""

    name: str
    least: int  # paid invoices
    weight: float


TIERS = (
    Tier("public curve and customer", 0, 0.0),
    Tier("public, company and customer curve", 20, 0.0),
    Tier("small hazard", 150, 0.5),
    Tier("hazard", 2_001, 0.85),
)


@dataclass(frozen=True, slots=True)
class Model:
    """One fitted version: what it learned from, how, and how well it did on the company's last quarter.

    weight      of the hazard; the rest is the customer's shrunk curve
    scores      by name: CRPS in days of each weight on the last quarter, coverage_80 and scored (invoices)
    """

    trained_on: date
    tier: str
    weight: float
    hazard: Hazard | None
    repair: calibration.Repair
    settings: Settings
    invoices: int
    paid: int
    first_issued: date | None
    last_issued: date | None
    fingerprint: str
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Twelve characters that name this version: same data, settings and day give the same."""
        stated = {"data": self.fingerprint, "settings": asdict(self.settings), "on": self.trained_on.isoformat()}
        return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:12]

    def distribution(
        self,
        past: Past,
        ask: Questions,
        *,
        horizon: int = HORIZON,
        as_if: Mapping[str, float] | None = None,
        curve: Matrix | None = None,
    ) -> Matrix:
        """Chance of each day from the day asked, given unpaid before it; what is missing to 1 is later than all of them.

        curve    that of `curves` for these questions, where the caller has it already
        returns  one row per question, one column per day
        """
        return self.repair.of(_pooled(past, ask, self.hazard, self.weight, horizon=horizon, as_if=as_if, curve=curve))


def counted(curve: Matrix, ask: Questions, *, horizon: int = HORIZON) -> Matrix:
    """Forecast of a hazard by days after due, given unpaid until the day asked."""
    delay = (ask.day - ask.due)[:, None] + np.arange(horizon)[None, :]
    hazard = np.take_along_axis(curve, cell(delay), axis=1)
    return np.asarray(survival(hazard) * hazard)


def _pooled(
    past: Past,
    ask: Questions,
    hazard: Hazard | None,
    weight: float,
    *,
    horizon: int = HORIZON,
    as_if: Mapping[str, float] | None = None,
    curve: Matrix | None = None,
) -> Matrix:
    curve = curves(past, ask) if curve is None else curve
    pmf = counted(curve, ask, horizon=horizon)
    if hazard is None or weight == 0.0:
        return pmf
    learned = hazard.of(past, ask, curve, horizon=horizon, as_if=as_if)
    return np.asarray(weight * survival(learned) * learned + (1.0 - weight) * pmf)


def train(book: Book, *, on: date, settings: Settings | None = None) -> Model:
    """Learn a company's payment habits from what was known before a day.

    Raises: LeakingColumn, Invalid. Work: seconds; 6,000 invoices at most are learned from, however many there are.
    """
    settings = settings or Settings()
    cut = as_of(book, on)
    refuse_leaks(cut)
    past = prepare(cut)
    pieces, until = past.pieces, day_number(on)
    paid = int(pieces.share[pieces.paid < NEVER].sum() // WHOLE)
    tier = next(t for t in reversed(TIERS) if paid >= t.least)
    rows = np.unique(pieces.invoice)
    issued = cut.invoices["issued_on"]
    hazard, weight, repair = None, tier.weight, calibration.Repair()
    marks: dict[str, float] = {}
    start = until - QUARTER
    first = pieces.issued[np.searchsorted(pieces.invoice, rows)]
    before, after = rows[first < start], rows[first >= start]
    early, rounds = None, None
    taught = int(pieces.share[(pieces.learned < start) & (pieces.paid < NEVER)].sum() // WHOLE)
    if tier.weight and taught >= TIERS[1].least and len(after):
        check = lesson(past, _some(after, settings), until=until, snapshots=1, seed=settings.seed)
        early, rounds = fit(past, before, until=start, settings=replace(settings, members=1), check=check)
    if len(after) and (early is not None or not tier.weight):
        weight, marks, repair = _judged(past, _some(after, settings), until=until, hazard=early, tier=tier)
    if weight:
        hazard, _ = fit(past, rows, until=until, settings=settings, rounds=rounds)
    return Model(
        trained_on=on,
        tier=tier.name,
        weight=weight,
        hazard=hazard,
        repair=repair,
        settings=settings,
        invoices=cut.invoices.height,
        paid=paid,
        first_issued=issued.min(),  # type: ignore[arg-type]
        last_issued=issued.max(),  # type: ignore[arg-type]
        fingerprint=cut.fingerprint(),
        scores=marks,
    )


def _some(row: Days, settings: Settings) -> Days:
    """A quarter's invoices, or as many of them as are enough to judge by."""
    enough = settings.invoices // 2
    return row if len(row) <= enough else np.sort(np.random.default_rng(settings.seed).choice(row, enough, replace=False))


def counted_only(book: Book, *, on: date) -> Model:
    """A model that needs no training: the counted curves of public, company and customer. For a company that has trained none."""
    cut = as_of(book, on)
    pieces = prepare(cut).pieces
    issued = cut.invoices["issued_on"]
    return Model(
        trained_on=on,
        tier=TIERS[1].name,
        weight=0.0,
        hazard=None,
        repair=calibration.Repair(),
        settings=Settings(),
        invoices=cut.invoices.height,
        paid=int(pieces.share[pieces.paid < NEVER].sum() // WHOLE),
        first_issued=issued.min(),  # type: ignore[arg-type]
        last_issued=issued.max(),  # type: ignore[arg-type]
        fingerprint=cut.fingerprint(),
    )


def _judged(
    past: Past, row: Days, *, until: int, hazard: Hazard | None, tier: Tier
) -> tuple[float, dict[str, float], calibration.Repair]:
    """How loudly the hazard may speak, by what forecasts made at issue scored on these invoices, each as of its own day."""
    pieces = past.pieces
    at = np.searchsorted(pieces.invoice, row, side="right") - 1  # the piece that ended last, or is open
    ask = questions_of(past, row, pieces.issued[at])
    unpaid = pieces.paid[at] >= NEVER
    actual = np.where(unpaid, NEVER, np.maximum(pieces.paid[at] - ask.day, 0))
    seen = np.where(unpaid, np.minimum(pieces.ended[at], until) - ask.day, HORIZON)
    found = {}
    for weight in WEIGHTS if hazard is not None else (0.0,):
        pmf = _pooled(past, ask, hazard, weight)
        found[weight] = (float(scores.crps(pmf, actual, seen=seen).mean()), pmf)
    best = min(found, key=lambda w: found[w][0])
    weight = tier.weight if found[tier.weight][0] <= found[best][0] * (1.0 + CLEAR) else best
    pmf = found[weight][1]
    reached = np.cumsum(pmf, axis=1)[np.arange(len(row)), np.clip(seen - 1, 0, HORIZON - 1)]
    left = np.where(unpaid, 1.0 - reached, 0.0)
    pit = np.where(unpaid, 1.0 - 0.5 * left, scores.mid_pit(pmf, actual))
    # all invoices issued on days that are over, whether paid or not: only the paid ones would be the quick ones
    over = (np.cumsum(pmf, axis=1)[np.arange(len(row)), np.clip(until - ask.day - 1, 0, HORIZON - 1)]) >= 1.0 - MATURE
    marks = {f"crps_{w:g}": value for w, (value, _) in found.items()}
    marks |= {"coverage_80": scores.coverage(pit[over], 0.8), "scored": float(over.sum())}
    return weight, marks, calibration.learn(pit[over])


@dataclass(frozen=True, slots=True)
class Forecast:
    """When open invoices will be paid, as seen before the business of a day.

    invoices  one row per open invoice: invoice_id, customer_id, open_minor i64, due_on, method str, p10_on, p50_on, p90_on date (null:
              later than the horizon), later f64 (chance of that)
    pmf       one row per invoice, one column per day from `on`
    excluded  invoices in litigation: invoice_id, open_minor
    parts     invoices that are promised or disputed in part come in parts: row (its place in `invoices`), amount_minor; the parts of an
              invoice add up to what is open on it. parts_pmf: one row per part, as pmf, which weighs them by amount
    """

    on: date
    invoices: pl.DataFrame
    pmf: Matrix
    excluded: pl.DataFrame
    parts: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"row": pl.Int64, "amount_minor": pl.Int64}))
    parts_pmf: Matrix = field(default_factory=lambda: np.zeros((0, 0)))

    def paid_by(self, day: date) -> Matrix:
        """Chance of each invoice to be paid on or before a day."""
        return np.asarray(self.pmf[:, : max(0, (day - self.on).days + 1)].sum(axis=1))

    def expected_minor(self, start: date, end: date) -> float:
        """Expected cash of [start, end) in minor units of the one currency that the invoices are in."""
        low, high = (max(0, (day - self.on).days) for day in (start, end))
        return float(self.invoices["open_minor"].to_numpy() @ self.pmf[:, low:high].sum(axis=1))


def predict(model: Model, book: Book, *, on: date, horizon: int = HORIZON) -> Forecast:
    """For every invoice that is open before a day: how likely each day is to be the day of payment.

    A promise or dispute that is open moves the forecast (`notes`), one of a part in proportion: the rest is expected as usual;
    litigation takes the invoice out of it.
    Raises: Invalid where the model has seen more than the day may know. Work: O(open invoices x days x trees).
    """
    ensure(
        model.trained_on <= on,
        Invalid(
            f"The model was trained on {model.trained_on}, after {on}.", field="on", remedy="Train it on that day or before."
        ),
    )
    cut = as_of(book, on)
    past, today = prepare(cut), day_number(on)
    pieces = past.pieces
    opened = np.flatnonzero(pieces.learned >= NEVER)
    ask = questions_of(past, pieces.invoice[opened], np.full(len(opened), today, dtype=np.int64))
    rows = _open_rows(cut, ask.row)
    said = notes.standing(cut, rows["invoice_id"].to_list()) if len(ask) else _nothing_said(rows)
    pmf = model.distribution(past, ask, horizon=horizon)
    method = np.full(len(ask), model.tier, dtype=object)

    owing = rows["open_minor"]
    parts: list[tuple[Days, Any, Matrix]] = []  # rows, amounts and forecasts of what comes apart from the rest of its invoice
    usual = notes.resolution_days(cut.disputes)
    argued = np.flatnonzero(said["kind"].is_not_null().to_numpy())
    if len(argued):
        resolution = np.array([usual.get(kind, usual[None]) for kind in said["kind"].gather(argued).to_list()])
        part = ask.take(argued)
        waits = notes.after_dispute(curves(past, part), due=part.due, day=today, resolution=resolution, horizon=horizon)
        owed = owing.gather(argued)
        contested = said["contested_minor"].gather(argued).fill_null(owed).clip(0, owed).to_numpy()
        parts += [(argued, contested, waits), (argued, owed.to_numpy() - contested, pmf[argued])]
        share = (contested / owed.to_numpy())[:, None]
        pmf[argued] = share * waits + (1 - share) * pmf[argued]
        method[argued] = "dispute"
    open_rows = rows.select("invoice_id", "open_minor").with_row_index("row")
    promised = notes.promised(cut.promises, cut.payments, open_rows, on=on).join(
        open_rows, on="invoice_id", maintain_order="left"
    )
    if promised.height:
        at, amounts = promised["row"].to_numpy().astype(np.int64), promised["amount_minor"].to_numpy()
        ahead = promised["promised_on"].to_physical().cast(pl.Int64).to_numpy() - today
        kept = notes.with_promise(pmf[at], ahead, notes.kept_rate(cut, day=today))
        who, first = np.unique(at, return_index=True)
        rest = owing.gather(who).to_numpy() - np.add.reduceat(amounts, first)
        unsaid = [~np.isin(row, who) for row, _, _ in parts]  # of what is argued and promised the promise speaks
        parts = [(row[i], amount[i], days[i]) for (row, amount, days), i in zip(parts, unsaid, strict=True)]
        parts += [(at, amounts, kept), (who, rest, pmf[who])]
        method[who] = np.where(rest > 0, "part promised", "promise")
        pmf[who] *= (rest / owing.gather(who).to_numpy())[:, None]
        np.add.at(pmf, at, kept * (amounts / owing.gather(at).to_numpy())[:, None])

    kept_in = ~said["in_litigation"].to_numpy()
    shown = rows.filter(pl.Series(kept_in, dtype=pl.Boolean)).with_columns(
        method=pl.Series(method[kept_in].tolist(), dtype=pl.String),
        later=pl.Series(np.clip(1.0 - pmf[kept_in].sum(axis=1), 0.0, 1.0)),
    )
    quantiles = {
        f"p{round(100 * level)}_on": _days(scores.quantile(pmf[kept_in], level), on, horizon) for level in (0.1, 0.5, 0.9)
    }
    shown = shown.with_columns(**quantiles).select(
        "invoice_id", "customer_id", "open_minor", "due_on", "method", "p10_on", "p50_on", "p90_on", "later"
    )
    excluded = rows.filter(pl.Series(~kept_in, dtype=pl.Boolean)).select("invoice_id", "open_minor")
    return Forecast(on, shown, pmf[kept_in], excluded, *_apart(parts, kept_in))


def _apart(parts: list[tuple[Days, Any, Matrix]], kept_in: Any) -> tuple[pl.DataFrame, Matrix]:
    """Parts of the invoices that are kept, by their new rows; an invoice of which nothing is left beside one part has none."""
    if not parts:
        return pl.DataFrame(schema={"row": pl.Int64, "amount_minor": pl.Int64}), np.zeros((0, 0))
    row, amount, pmf = (np.concatenate([p[n] for p in parts]) for n in range(3))
    row, amount, pmf = (values[(amount > 0) & kept_in[row]] for values in (row, amount, pmf))
    several = np.bincount(row, minlength=len(kept_in))[row] > 1
    place = np.cumsum(kept_in) - 1
    return pl.DataFrame({"row": place[row[several]], "amount_minor": amount[several]}), pmf[several]


def _open_rows(book: Book, row: Days) -> pl.DataFrame:
    """Invoices by row, with what is left of each to the minor unit."""
    picked = pl.Series(row, dtype=pl.UInt32)
    rows = book.invoices.select(pl.col("invoice_id", "customer_id", "amount_minor", "due_on").gather(picked))
    if "amount_minor" not in book.payments.columns:
        return rows.rename({"amount_minor": "open_minor"})
    payments = book.payments
    if "reversed_on" in payments.columns:
        payments = payments.filter(pl.col("reversed_on").is_null())
    taken = payments.group_by("invoice_id").agg(taken=pl.col("amount_minor").sum())
    return rows.join(taken, on="invoice_id", how="left", maintain_order="left").with_columns(
        open_minor=pl.col("amount_minor") - pl.col("taken").fill_null(0)
    )


def _nothing_said(rows: pl.DataFrame) -> pl.DataFrame:
    nothing = {"kind": pl.String, "contested_minor": pl.Int64, "in_litigation": pl.Boolean}
    return pl.DataFrame(schema={"invoice_id": rows["invoice_id"].dtype, **nothing})


def _days(ahead: Days, on: date, horizon: int) -> pl.Series:
    return pl.Series([on + timedelta(days=int(n)) if n < horizon else None for n in ahead], dtype=pl.Date)
