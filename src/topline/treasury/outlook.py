"""Cash as a distribution: ten thousand futures of what comes in, how probable each payroll is, and what would help most.

Payment dates come from `collections.timing`, the futures from `engine.cash_paths`. Ranges are widened by what past forecasts of
this company missed; without such a record they are wider still and say that they are not yet verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from topline.billing.models import Invoice
from topline.books import rates
from topline.books.models import Entity
from topline.collections import timing
from topline.engine import cash, cash_paths
from topline.engine.cash import Coverage
from topline.engine.payment_timing.model import Forecast, counted_only, predict
from topline.engine.proportions import chance_words
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import NotFound
from topline.kernel.remember import Remembered
from topline.receivables import figures
from topline.treasury import queries
from topline.treasury.models import FrozenForecast

PATHS = 10_000
HORIZONS = (7, 14, 28)  # days ahead at which past forecasts are scored
SNAPSHOTS, LEARN_SHARE = 40, 0.6  # past Mondays looked at; the share of them that teaches the spread, the rest scores it
AT_ONCE = 60_000  # invoices up to which a page computes; above, it shows what was frozen


@dataclass(frozen=True, slots=True)
class Score:
    """How past forecasts of receipts did at a horizon: the spread they taught, and how often the widened 80 % range then held."""

    horizon_days: int
    factor: float
    hit_rate: float | None
    snapshots: int

    @property
    def scored(self) -> int:
        """On how many Mondays the range was held against what came: those after the ones that taught the spread."""
        return self.snapshots - int(self.snapshots * LEARN_SHARE)

    @property
    def held(self) -> str | None:
        """How often the range that was to hold 8 times in 10 held, with the number of Mondays; None where nobody knows yet."""
        if self.hit_rate is None:
            return None
        return f"{round(self.hit_rate * self.scored)} of {self.scored} Mondays"


@dataclass(frozen=True, slots=True)
class Odds:
    """How probable it is that a payroll is covered, between 1 and 99 in a hundred, in fixed words.

    short_p90_minor  what it lacks for 9 times in 10; short_minor: what it lacks in the middle of the futures
    """

    coverage: Coverage
    percent: int
    words: str
    short_p90_minor: int
    short_minor: int

    @property
    def verdict(self) -> str:
        """covered, depends or short. The futures go before the plain forecast, in which each invoice comes on one day or not at all."""
        if self.short_minor:
            return "short"
        return "depends" if self.coverage.deciding or self.coverage.short_minor else "covered"


def trust(record: Sequence[Score]) -> str:
    """What is known of how often ranges hold, as a sentence."""
    told = ", ".join(f"{s.horizon_days} days ahead held on {s.held}" for s in record if s.held)
    return told or "not yet verified on your data"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What may stand in the bank, by day; in the company's currency.

    duties: odds of taxes and of vendors that cannot wait; record: how far the ranges can be trusted
    """

    as_of: date
    currency: str
    ranges: tuple[cash_paths.Range, ...]
    lowest: cash_paths.Range
    payrolls: tuple[Odds, ...]
    duties: tuple[Odds, ...]
    record: tuple[Score, ...]
    method: str
    version: str

    @property
    def trust(self) -> str:
        """What is known of how often such ranges hold, as a sentence."""
        return trust(self.record)


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What stands in the bank before a payroll is taken, in each future.

    day         days from the day of the question to the last one whose money is in time; need_minor: what must stand there
    futures     minor units, one value a future
    """

    coverage: Coverage
    day: int
    need_minor: int
    futures: Any

    @property
    def percent(self) -> int:
        """The share of futures that hold enough, in whole percent, never quite sure either way."""
        return min(99, max(1, round(100 * float((self.futures >= self.need_minor).mean()))))

    def lacks(self, share: float) -> int:
        """What is missing to be covered in that share of the futures."""
        return max(0, round(float(self.need_minor - np.quantile(self.futures, 1 - share))))

    @property
    def odds(self) -> Odds:
        """In percent, words and amounts."""
        return Odds(self.coverage, self.percent, chance_words(self.percent), self.lacks(0.9), self.lacks(0.5))


@dataclass(frozen=True, slots=True, eq=False)
class Behind:
    """What the odds of a day were read from: the plain forecast, open invoices with their chances by day, and each need in its futures.

    invoices  one row per item of the book, in its order: invoice_id, customer_id, open_minor (own currency), p50_on
    """

    base: queries.Forecast
    invoices: pl.DataFrame
    book: cash_paths.Book
    payrolls: tuple[Standing, ...]
    duties: tuple[Standing, ...]

    def paid_by(self, day: int) -> Any:
        """Probability that each item has come by the end of a day ahead."""
        days = self.book.days
        return self.book.paid_by[:, days.index(day)].astype(float) if day in days else np.zeros(len(self.book.amounts))


@dataclass(frozen=True, slots=True, eq=False)
class Without:
    """Payrolls without some invoices, futures in rising order; chances: (days ahead, probability) that these come then by themselves."""

    payrolls: tuple[Standing, ...]
    chances: tuple[tuple[int, float], ...]


def outlook(*, entity: Entity, as_of: date) -> Outlook:
    """Cash of the next 13 weeks as a distribution, as seen at the end of a day; the same day and books give the same figures.

    Kept in memory until anything changes. Work: a forecast of all open invoices and 10,000 futures of them.
    """
    return _OUTLOOKS.get((entity.pk, as_of), lambda: _last_read(entity, as_of)[0])


def with_behind(*, entity: Entity, as_of: date, plain: queries.Forecast | None = None) -> tuple[Outlook, Behind]:
    """The outlook of a day and what it was read from. Only the last two are kept: they are large. Work: that of `outlook`.

    plain  the plain forecast of that day, where the caller has it already
    """
    return _last_read(entity, as_of, plain)


def without(*, entity: Entity, as_of: date, invoice_ids: frozenset[int]) -> Without:
    """The payrolls if some invoices never came, and when these come by themselves. Kept in memory until anything changes.

    Work: that of `outlook`.
    """
    return _WITHOUT.get((entity.pk, as_of, invoice_ids), lambda: _without(entity, as_of, invoice_ids))


def is_quick(entity: Entity) -> bool:
    """Whether the book is small enough for a page to wait for its outlook."""
    return Invoice.objects.filter(entity=entity)[:AT_ONCE].count() < AT_ONCE


def past_record(*, entity: Entity, as_of: date) -> tuple[Score, ...]:
    """Forecasts of receipts made anew for past Mondays from what was known then, scored against what came since.

    The first 60 % of the Mondays teach the spread, the last 40 % score it. With too few snapshots the hit rate is None.
    Work: one forecast by counting and 2,000 futures a Monday.
    """
    monday = as_of - timedelta(days=as_of.weekday())
    facts = timing.book(entity_id=entity.pk, as_of=as_of)
    first = facts.payments["paid_on"].min()
    rows = []
    for back in range(SNAPSHOTS, 0, -1):
        on = monday - timedelta(days=7 * back)
        if not isinstance(first, date) or on < first + timedelta(days=56):
            continue
        told = predict(counted_only(facts, on=on), facts, on=on, horizon=max(HORIZONS))
        book = cash_paths.Book(
            told.invoices["open_minor"].to_numpy(),
            told.invoices["customer_id"].to_numpy(),
            _cumulative(told.pmf, HORIZONS),
            HORIZONS,
        )
        if not len(book.amounts):
            continue
        book, _ = _in_parts(told, book)
        paths = cash_paths.simulate(book, paths=2_000, seed=cash_paths.seed_of(entity.key, on))
        came = facts.payments.join(told.invoices.select("invoice_id"), on="invoice_id", how="semi").filter(
            pl.col("paid_on") >= on
        )
        for horizon, spread in zip(HORIZONS, cash_paths.ranges(paths.received, HORIZONS), strict=True):
            end = on + timedelta(days=horizon)
            if end <= as_of:
                actual = int(came.filter(pl.col("paid_on") < end)["amount_minor"].sum())
                rows.append((horizon, on, spread.p10, spread.p50, spread.p90, actual))
    return tuple(_score(horizon, [r for r in rows if r[0] == horizon]) for horizon in HORIZONS)


def to_freeze(*, entity_id: int, as_of: date) -> tuple[queries.Forecast, Outlook] | None:
    """The cash forecast as it is told on a day, plain and with the record of past ones; None where the day is frozen already.

    Raises: NotFound. Work: forecasts of some forty past Mondays.
    """
    frozen = FrozenForecast.objects.filter(entity_id=entity_id, as_of=as_of).exists()
    return None if frozen else _with_record(entity_id, as_of)


def _with_record(entity_id: int, as_of: date) -> tuple[queries.Forecast, Outlook]:
    entity = Entity.objects.filter(pk=entity_id).first()
    if entity is None:
        raise NotFound(f"There is no company {entity_id}.", field="entity_id")
    on = basis(entity, as_of, past_record(entity=entity, as_of=as_of))
    return on.base, _told(on)


@action("treasury.freeze_forecast", ahead=to_freeze)
def freeze_forecast(*, actor: Actor, entity_id: int, as_of: date, ahead: tuple[queries.Forecast, Outlook] | None = None) -> int:
    """Keep the cash forecast of a day, so that it can be scored later; returns its id. A day is frozen once.

    Raises: NotFound. Work: that of `to_freeze`, before the transaction.
    """
    standing = FrozenForecast.objects.filter(entity_id=entity_id, as_of=as_of).values_list("id", flat=True).first()
    if standing is not None:
        return standing
    base, found = ahead or _with_record(entity_id, as_of)
    flows = {row["day"]: row for row in base.daily.to_dicts()}
    days = [
        {"day": str(day), "p10_minor": r.p10, "p50_minor": r.p50, "p90_minor": r.p90, "in_minor": flows[day]["in_minor"], "out_minor": flows[day]["out_minor"]}
        for r in found.ranges
        if (day := as_of + timedelta(days=r.day)) in flows
    ]  # fmt: skip
    payrolls = [
        {
            "name": o.coverage.name,
            "debit_on": str(o.coverage.debit_on),
            "amount_minor": o.coverage.amount_minor,
            "percent": o.percent,
        }
        for o in found.payrolls
    ]
    row = FrozenForecast.objects.create(
        entity_id=entity_id, as_of=as_of, currency=found.currency, opening_minor=base.opening_minor, days=days, payrolls=payrolls,
        record=[asdict(s) for s in found.record], model_version=found.version, recorded_at=clock.now(),
    )  # fmt: skip
    changed("frozen_forecast", row.pk, after={"as_of": as_of, "lowest_p10_minor": found.lowest.p10})
    return row.pk


_OUTLOOKS: Remembered[Outlook] = Remembered(size=16)
_READ: Remembered[tuple[Outlook, Behind]] = Remembered(size=2)
_WITHOUT: Remembered[Without] = Remembered(size=8)


def _last_read(entity: Entity, as_of: date, plain: queries.Forecast | None = None) -> tuple[Outlook, Behind]:
    return _READ.get((entity.pk, as_of), lambda: _read(basis(entity, as_of, record_of(entity, as_of), plain)))


def _without(entity: Entity, as_of: date, invoice_ids: frozenset[int]) -> Without:
    on = basis(entity, as_of, record_of(entity, as_of))
    mine = on.invoices["invoice_id"].is_in(list(invoice_ids)).to_numpy()
    weights = on.invoices["open_minor"].to_numpy()[mine].astype(float)
    chances = weights @ on.pmf[mine] / weights.sum() if mine.any() else np.zeros(0)
    left, drawn = ~mine[on.drawn_row], on.drawn
    rest = replace(drawn, amounts=drawn.amounts[left], customers=drawn.customers[left], paid_by=drawn.paid_by[left])
    found = futures(on, rest, on.base.outflows)
    payrolls = (standing(on, coverage, found) for coverage in on.base.payrolls)
    return Without(
        tuple(replace(at, futures=np.sort(at.futures)) for at in payrolls),
        tuple((day, float(p)) for day, p in enumerate(chances, start=1) if p > 0),
    )


@dataclass(frozen=True, slots=True)
class Basis:
    """What futures are made from: the plain forecast, the open items and their chances, and how past forecasts did.

    pmf     items x days from tomorrow: chance that the item is paid on the day
    drawn   the items as futures draw them: what is promised or disputed in part comes in parts; drawn_row: the item of each
    coming  what contracts will be billed for, in no invoice yet
    """

    entity: Entity
    base: queries.Forecast
    invoices: pl.DataFrame
    pmf: Any
    book: cash_paths.Book
    drawn: cash_paths.Book
    drawn_row: Any
    coming: cash_paths.Book
    record: tuple[Score, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Futures:
    """Receipts and balances of each future; days are days ahead. outflows: (days ahead, minor units), certain."""

    paths: cash_paths.Paths
    balances: Any
    outflows: list[tuple[int, int]]


def basis(entity: Entity, as_of: date, record: tuple[Score, ...], plain: queries.Forecast | None = None) -> Basis:
    """The plain forecast (made, where the caller has none) and the open book of a day. Work: one prediction of every open invoice."""
    base = plain or queries.forecast(entity=entity, as_of=as_of)
    told = _uncovered(timing.forecast(entity_id=entity.pk, as_of=as_of), base.covered)
    horizon = base.daily.height
    debits = [(c.debit_on - as_of).days - 1 for c in [*base.payrolls, *base.duties]]
    ends = [(day - as_of).days for table in (base.weekly, base.monthly) for day in table["last_on"]]
    days = tuple(sorted({*range(1, 29), *ends, *(d for d in debits if 0 < d <= horizon)}))
    amounts = _at_home(told.invoices, entity.currency, as_of)
    book = cash_paths.Book(amounts, told.invoices["customer_id"].to_numpy(), _cumulative(told.pmf, days), days)
    model = timing.model_in_use(entity_id=entity.pk, as_of=as_of)
    drawn, drawn_row = _in_parts(told, book)
    version = model.version if model else ""
    return Basis(entity, base, told.invoices, told.pmf, book, drawn, drawn_row, _coming(entity, base, days), record, version)


def _uncovered(told: Forecast, covered: pl.DataFrame) -> Forecast:
    """A forecast of what is still to come: less what money and credits that wait to be applied cover."""
    if covered.is_empty():
        return told
    was = told.invoices.join(covered, on="invoice_id", how="left", maintain_order="left").with_row_index("row")
    left = (pl.col("open_minor") - pl.col("covered_minor").fill_null(0)).clip(0)
    invoices = was.with_columns(open_minor=left)
    share = was.select(pl.col("row").cast(pl.Int64), share=left / pl.col("open_minor"))
    parts = told.parts.join(share, on="row", how="left", maintain_order="left").select(
        "row", amount_minor=(pl.col("amount_minor") * pl.col("share")).round().cast(pl.Int64)
    )
    return replace(told, invoices=invoices.select(told.invoices.columns), parts=parts)


def _in_parts(told: Forecast, book: cash_paths.Book) -> tuple[cash_paths.Book, Any]:
    """A book whose items come in parts where only a part is promised or disputed, and the item of each entry."""
    rows = np.arange(len(book.amounts))
    if told.parts.is_empty():
        return book, rows
    at, owed = told.parts["row"].to_numpy(), told.invoices["open_minor"].to_numpy()
    # to the minor unit: each part is what its item comes to with it less what it came to before
    upto = told.parts.select(pl.col("amount_minor").cum_sum().over("row"))["amount_minor"].to_numpy()
    before, worth = upto - told.parts["amount_minor"].to_numpy(), book.amounts[at] / np.maximum(owed[at], 1)
    amounts = np.rint(upto * worth) - np.rint(before * worth)
    whole = ~np.isin(rows, at)
    drawn_row = np.concatenate([rows[whole], at])
    paid_by = np.concatenate([book.paid_by[whole], _cumulative(told.parts_pmf, book.days)])
    parts = np.concatenate([book.amounts[whole], amounts.astype(np.int64)])
    return cash_paths.Book(parts, book.customers[drawn_row], paid_by, book.days), drawn_row


def _coming(entity: Entity, base: queries.Forecast, days: tuple[int, ...]) -> cash_paths.Book:
    """What contracts will be billed for: paid as much later or sooner than expected as invoices of the company were than their customers' usual delay."""
    if base.coming.is_empty():
        nothing = np.zeros(0, dtype=np.int64)
        return cash_paths.Book(nothing, nothing, np.zeros((0, len(days)), dtype=np.float32), days)
    rows = base.coming.group_by("customer_id", "expected_on").agg(pl.col("amount_minor").sum()).sort("expected_on", "customer_id")
    history = figures.lateness(entity_id=entity.pk, as_of=base.as_of)
    usual = cash.average_delays(history)
    mean = float(usual.filter(pl.col("customer_id").is_null())["delay_days"][0])
    spread = history.join(usual.drop_nulls("customer_id"), on="customer_id", how="left").select(
        off=(pl.col("late_days") - pl.col("delay_days").fill_null(mean)).round(0).cast(pl.Int64), payments="payments"
    ).group_by("off").agg(pl.col("payments").sum()).sort("off")  # fmt: skip
    offs = spread["off"].to_numpy() if spread.height else np.zeros(1, dtype=np.int64)
    weights = spread["payments"].to_numpy().astype(float) if spread.height else np.ones(1)
    share = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])
    ahead = np.array([(day - base.as_of).days for day in rows["expected_on"].to_list()], dtype=np.int64)
    paid_by = share[np.searchsorted(offs, np.asarray(days)[None, :] - ahead[:, None], side="right")].astype(np.float32)
    paid_by = np.where(np.asarray(days)[None, :] >= 1, paid_by, np.float32(0)).reshape(len(ahead), len(days))
    return cash_paths.Book(
        rows["amount_minor"].to_numpy().astype(np.int64), rows["customer_id"].to_numpy().astype(np.int64), paid_by, days
    )


def futures(on: Basis, book: cash_paths.Book, outflows: pl.DataFrame) -> Futures:
    """Ten thousand futures of a book and what leaves; the same day draws the same chances, so that cases can be told apart."""
    as_of = on.base.as_of
    whole = cash_paths.Book(
        np.concatenate([book.amounts, on.coming.amounts]), np.concatenate([book.customers, on.coming.customers]), np.concatenate([book.paid_by, on.coming.paid_by]), book.days
    )  # fmt: skip
    paths = cash_paths.simulate(whole, paths=PATHS, seed=cash_paths.seed_of(on.entity.key, as_of))
    factors = [_factor(on.record, day) for day in book.days]
    wide = cash_paths.widened(paths, factors, within=(0.0, float(whole.amounts.sum())))
    leaving = [((row["debit_on"] - as_of).days, row["amount_minor"]) for row in outflows.to_dicts()]
    return Futures(wide, cash_paths.balances(wide, opening_minor=on.base.opening_minor, outflows=leaving), leaving)


def standing(on: Basis, coverage: Coverage, found: Futures) -> Standing:
    """What stands there before a debit: money of its day comes too late, everything else that leaves until then leaves first."""
    debit = (coverage.debit_on - on.base.as_of).days
    need = on.base.minimum_minor + sum(amount for day, amount in found.outflows if day <= debit)
    if debit - 1 not in on.book.days:
        return Standing(coverage, debit - 1, need, np.full(PATHS, float(on.base.opening_minor)))
    received = found.paths.received[:, on.book.days.index(debit - 1)]
    return Standing(coverage, debit - 1, need, on.base.opening_minor + received)


def record_of(entity: Entity, as_of: date) -> tuple[Score, ...]:
    """How past forecasts did, as kept with the last frozen one; without one nothing is known."""
    frozen = (
        FrozenForecast.objects.filter(entity=entity, as_of__lte=as_of).order_by("-as_of").values_list("record", flat=True).first()
    )
    return tuple(Score(**row) for row in frozen) if frozen else tuple(_score(horizon, []) for horizon in HORIZONS)


def _told(on: Basis) -> Outlook:
    return _read(on)[0]


def _read(on: Basis) -> tuple[Outlook, Behind]:
    found, days = futures(on, on.drawn, on.base.outflows), on.book.days
    lowest = cash_paths.lowest(found.balances)
    payrolls, duties = (tuple(standing(on, c, found) for c in coverages) for coverages in (on.base.payrolls, on.base.duties))
    told = Outlook(
        as_of=on.base.as_of,
        currency=on.entity.currency,
        ranges=tuple(cash_paths.ranges(found.balances, days)),
        lowest=cash_paths.Range(days[lowest.day], lowest.p10, lowest.p50, lowest.p90),
        payrolls=tuple(at.odds for at in payrolls),
        duties=tuple(at.odds for at in duties),
        record=on.record,
        method=str(on.invoices["method"][0]) if on.invoices.height else "nothing is open",
        version=on.version,
    )
    return told, Behind(on.base, on.invoices, on.book, payrolls, duties)


def _score(horizon: int, rows: list[tuple[int, date, int, int, int, int]]) -> Score:
    """rows: horizon, Monday, p10, p50, p90, actual; in order of days."""
    taught = rows[: int(len(rows) * LEARN_SHARE)]
    half = [max((p90 - p10) / 2, 1.0) for _, _, p10, _, p90, _ in taught]
    factor = cash_paths.spread_factor([r[5] for r in taught], [r[3] for r in taught], half, horizon_days=horizon)
    rest = rows[len(taught) :]
    low = [p50 - (p50 - p10) * factor for _, _, p10, p50, _, _ in rest]
    high = [p50 + (p90 - p50) * factor for _, _, _, p50, p90, _ in rest]
    hit = cash_paths.hit_rate([r[5] for r in rest], low, high) if len(taught) >= cash_paths.SHORTEST_RECORD else None
    return Score(horizon, factor, hit, len(rows))


def _factor(record: tuple[Score, ...], day: int) -> float:
    """The spread at a number of days ahead: that of the nearest horizon at or above it, else of the longest."""
    return next((s.factor for s in record if s.horizon_days >= day), record[-1].factor)


def _cumulative(pmf: Any, days: tuple[int, ...]) -> Any:
    """Probability paid by the end of each day ahead (1: tomorrow), at most 1."""
    reached = np.minimum(np.cumsum(pmf, axis=1), 1.0)
    return reached[:, np.minimum(np.asarray(days), pmf.shape[1]) - 1].astype(np.float32)


def _at_home(invoices: pl.DataFrame, home: str, as_of: date) -> Any:
    """What is open, in the company's currency at the day's rate."""
    if invoices.is_empty():
        return np.zeros(0, dtype=np.int64)
    currencies = bulk.read(
        Invoice.objects.filter(state=Invoice.State.OPEN).exclude(currency=home).values("id", "currency")
    ).rename({"id": "invoice_id"})
    named = invoices.select("invoice_id", amount_minor="open_minor").join(
        currencies, on="invoice_id", how="left", maintain_order="left"
    )
    worth = rates.convert(named.select(pl.col("currency").fill_null(home), "amount_minor", on=pl.lit(as_of)), to=home)
    return worth["converted_minor"].to_numpy()
