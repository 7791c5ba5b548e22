"""The forecast of every open deal, and of the deals that are not there yet, as chances by week and as sampled futures.

A deal closes by the clock, quicker or slower by what tells it apart, and is won by the clock's share moved by the same. New deals come
as they did in the last 13 weeks and live by the same clock from their first day. All figures are summed from the same futures, so
that owners add up to teams and teams to the company.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import date

import numpy as np
import polars as pl

from topline.engine.cash_paths import seed_of
from topline.engine.deals import tilt
from topline.engine.deals.book import NEVER, Book, Days, History, Matrix, as_of, checked, day_number, history, refuse_leaks
from topline.engine.deals.categories import category
from topline.engine.deals.clock import OLDEST, Clock, Seen, Settings, Stages, band, fit, stages_of
from topline.engine.deals.tilt import Tilt
from topline.kernel.errors import Invalid, ensure

WEEKS = 27  # ahead: two quarters
RECENT_WEEKS = 13  # from which new deals are drawn
REALISED_PRIOR = 10.0  # won deals at list price that the record of a product leans on
ONE_BY_ONE = 2_000  # the deals worth most are drawn one by one, the others by their mean and spread
PATHS = 2_000
DOTS = 20  # futures that a picture of a range shows


@dataclass(frozen=True, slots=True)
class Model:
    """One fitted version.

    realised   share of the list price that won deals brought, by product and (under None) for all
    scatter    standard deviation of that share
    share_won  of all closed deals, leaning on a public prior
    """

    trained_on: date
    clock: Clock
    tilt: Tilt
    realised: dict[str | None, float]
    scatter: float
    settings: Settings
    deals: int
    closed: int
    share_won: float
    fingerprint: str
    first_month: int

    @property
    def version(self) -> str:
        """Twelve characters that name this version: same data, settings and day give the same."""
        stated = {"data": self.fingerprint, "settings": asdict(self.settings), "on": self.trained_on.isoformat()}
        return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def note(self) -> str:
        """What the page says about telling deals apart."""
        return tilt.TOLD if self.tilt.tells_apart else tilt.NOT_TOLD


def train(book: Book, *, on: date, settings: Settings | None = None) -> Model:
    """Learn how a company's deals close from what was recorded before a day.

    Raises: LeakingColumn, TwoCurrencies, Invalid. Work: seconds; 12,000 deals at most are learned from, however many there are.
    """
    settings = settings or Settings()
    cut = as_of(checked(book), on)
    refuse_leaks(cut)
    past, until = history(cut), day_number(on)
    clock, taught = fit(
        past, cut.changes, until=until, first_month=cut.first_month, settings=settings, ahead=(WEEKS + 1) * 7 + OLDEST
    )
    ended = np.flatnonzero(past.closed < NEVER)
    found = Tilt()
    if len(ended) and len(taught.deal):
        hazard = _on_its_day(clock, taught.seen, taught.day, closing=True)
        final = Seen(past.opened[ended], past.closed[ended], *clock.stages.at(ended, past.closed[ended]))
        share = _on_its_day(clock, final, final.day, closing=False)
        _, told = tilt.static_model(past, cut.extras, ended)
        found = tilt.learn(
            past, cut.extras, deal=taught.deal, closed=taught.closed, hazard=hazard, ended=ended, share_won=share,
            shift=told.tells_apart,
        )  # fmt: skip
    realised, scatter = _realised(past)
    digest = hashlib.sha256(cut.deals.select(sorted(cut.deals.columns)).write_csv().encode())
    if cut.changes is not None:
        columns = sorted(cut.changes.columns)
        digest.update(cut.changes.select(columns).sort(columns).write_csv().encode())
    return Model(
        trained_on=on,
        clock=clock,
        tilt=found,
        realised=realised,
        scatter=scatter,
        settings=settings,
        deals=len(past),
        closed=len(ended),
        share_won=clock.share_won,
        fingerprint=digest.hexdigest(),
        first_month=cut.first_month,
    )


def _on_its_day(clock: Clock, seen: Seen, day: Days, *, closing: bool) -> Matrix:
    """The clock's chance of closing, or of being won, on one day per row."""
    booster = clock.closing if closing else clock.winning
    if booster is not None and len(day):
        found: Matrix = booster.predict_proba(clock.inputs(seen, np.arange(len(day)), day))[:, 1]
        return np.clip(found, 1e-6 if closing else 0.01, 0.95 if closing else 0.99)
    return clock.by_age[band(day - seen.opened)] if closing else np.full(len(day), clock.share_won)


def _realised(past: History) -> tuple[dict[str | None, float], float]:
    """Share of the list price that won deals brought, by product, leaning on all; and how far it scatters."""
    won = past.rows.filter(pl.Series(past.won)).filter((pl.col("list_minor") > 0) & pl.col("value_minor").is_not_null())
    value, price = pl.col("value_minor").sum().cast(pl.Float64), pl.col("list_minor").sum().cast(pl.Float64)
    total, listed = won.select(value.fill_null(0.0), price.alias("list").fill_null(0.0)).row(0)
    usual_price = listed / max(won.height, 1)
    usual = (total + REALISED_PRIOR * usual_price) / (listed + REALISED_PRIOR * usual_price) if listed > 0 else 1.0
    found: dict[str | None, float] = {None: usual}
    for product, brought, asked, n in (
        won.drop_nulls("product").group_by("product").agg(value, price.alias("list"), pl.len()).sort("product").iter_rows()
    ):
        weight = REALISED_PRIOR * asked / n
        found[product] = (brought + weight * usual) / (asked + weight)
    share = (won["value_minor"] / won["list_minor"]).to_numpy()
    return found, float(share.std()) if len(share) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What may be won from a day on, as seen before its business.

    deals     one row per open deal, ordered by deal_id: deal_id, owner, team, product, segment, amount_minor i64 (what it brings if
              won), p_won f64 (within the period asked about), p_ever f64 (within 27 weeks), category str, close_on date (the middle
              of the days on which it may be won, null where it is unlikely to be won at all)
    by_week   deals x weeks from `on`: chance to be won in each
    owners    owner and team of each column of `paths`, ordered
    paths     futures x owners: minor units won in the period by deals that are open now (existing) or still to come (new)
    won       minor units already won in the period, by owner in the same order
    left_out  deals without an opening day
    """

    on: date
    start: date
    end: date
    deals: pl.DataFrame
    by_week: Matrix
    owners: pl.DataFrame
    existing: Matrix
    new: Matrix
    won: Matrix
    left_out: int
    note: str

    def scaled(self, total_minor: float) -> Forecast:
        """The same futures, with what is not yet won moved so that the company's mean is `total_minor` (that of a pool of methods)."""
        open_mean = float((self.existing + self.new).sum(axis=1).mean())
        ratio = max(total_minor - float(self.won.sum()), 0.0) / open_mean if open_mean > 0 else 1.0
        return replace(self, existing=self.existing * ratio, new=self.new * ratio)

    @property
    def futures(self) -> Matrix:
        """Futures x owners: minor units won in the whole period."""
        return np.asarray(self.existing + self.new + self.won)

    def range_of(self, columns: list[int], *, widen: float = 1.0) -> tuple[float, float, float]:
        """P10, P50 and P90 of what some owners (their columns) bring in all, never below what is won; see `roll_up`."""
        total = self.futures[:, columns].sum(axis=1)
        middle = np.median(total)
        low, mid, high = middle + (np.quantile(total, (0.1, 0.5, 0.9)) - middle) * widen
        won = self.won[columns].sum()
        return float(max(low, won)), float(mid), float(max(high, won))

    def dots_of(self, columns: list[int], *, widen: float = 1.0, number: int = DOTS) -> list[int]:
        """What some owners bring in all, as so many futures of equal chance (the middles of equal parts), told as wide as `range_of`."""
        total = self.futures[:, columns].sum(axis=1)
        middle, won = np.median(total), self.won[columns].sum()
        told = middle + (np.quantile(total, (np.arange(number) + 0.5) / number) - middle) * widen
        return [round(float(v)) for v in np.maximum(told, won)]

    def roll_up(self, *by: str, widen: float = 1.0) -> pl.DataFrame:
        """P10, P50, P90 and mean of what the period brings, for the company or by owner or team.

        by       none, "team" or "owner"
        widen    how much wider the range is told than it was drawn, learned from past forecasts (`methods.spread`)
        returns  one row per group: won_minor, existing_minor, new_minor (means), p10_minor, p50_minor, p90_minor, mean_minor i64
        """
        groups = self.owners.with_row_index("column").group_by(by or pl.lit("all").alias("of"), maintain_order=True).agg("column")
        rows = []
        for *name, columns in groups.iter_rows():
            won, total = self.won[columns].sum(), self.futures[:, columns].sum(axis=1)
            parts = (won, self.existing[:, columns].sum(axis=1).mean(), self.new[:, columns].sum(axis=1).mean())
            figures = (*parts, *self.range_of(columns, widen=widen), total.mean())
            rows.append((*name, *(round(float(v)) for v in figures)))
        figures_of = ("won", "existing", "new", "p10", "p50", "p90", "mean")
        schema = {**dict.fromkeys(by or ("of",), pl.String), **{f"{n}_minor": pl.Int64 for n in figures_of}}
        return pl.DataFrame(rows, schema=schema, orient="row").drop([] if by else ["of"])


def predict(
    model: Model, book: Book, *, on: date, end: date, start: date | None = None, company: str = "", paths: int = PATHS
) -> Forecast:
    """For every deal that is open before a day, and for those still to come: what they bring in [start, end).

    start    first day of the period, `on` unless told; a period that has begun counts what is already won
    company  its name seeds the futures, with the day
    Raises: Invalid where the model has seen more than the day may know, or the period is not ahead within 27 weeks.
    Work: O(distinct ages and stages x days x trees + deals x weeks + paths x deals worth most).
    """
    start = start or on
    ensure(model.trained_on <= on, Invalid(f"The model was trained on {model.trained_on}, after {on}.", field="on", remedy="Train it on that day or before."))  # fmt: skip
    ensure(on < end and start < end, Invalid("A period ends after the day of its forecast and after it starts.", field="end"))
    ensure((end - on).days <= WEEKS * 7, Invalid(f"A forecast looks {WEEKS} weeks ahead.", field="end"))
    whole = checked(book)
    cut = as_of(whole, on)
    past, today = history(cut), day_number(on)
    low, high = max(day_number(start) - today, 0), day_number(end) - today
    opened = np.flatnonzero(past.closed >= NEVER)
    rows, amount = past.rows[opened], _brings(model, past.rows[opened], past.amount[opened])
    stages = stages_of(past, cut.changes, names=model.clock.stages.names or None)
    by_week, in_period, ever = _chances(model, past, stages, opened, today, low, high)
    owners = _owners(past.rows)
    rng = np.random.default_rng(seed_of(company, on))
    column = _column(owners, rows)
    existing = _drawn(in_period, amount, column, owners.height, model.scatter, paths, rng)
    new = _to_come(model, past, owners, today, low, high, paths, rng)
    begun = past.won & (past.closed >= day_number(start)) & (past.closed < min(today, day_number(end)))
    columns = _column(owners, past.rows[np.flatnonzero(begun)])
    won = np.bincount(columns, weights=past.value[begun], minlength=owners.height).astype(np.float64)
    reached = np.cumsum(by_week, axis=1)
    half = reached >= 0.5 * ever[:, None]
    week = np.where(half.any(axis=1), half.argmax(axis=1), WEEKS - 1)
    shown = rows.select("deal_id", "owner", "team", "product", "segment").with_columns(
        amount_minor=pl.Series(np.rint(amount).astype(np.int64)), p_won=pl.Series(in_period), p_ever=pl.Series(ever)
    )
    middle = pl.Series((today + week * 7 + 3).astype(np.int32), dtype=pl.Int32).cast(pl.Date)
    shown = shown.with_columns(category=category(pl.col("p_won")), close_on=pl.when(pl.col("p_ever") >= 0.05).then(middle))
    left_out = whole.deals["opened_on"].null_count()
    return Forecast(on, start, end, shown, by_week, owners, existing, new, won, left_out, model.note)


def _brings(model: Model, rows: pl.DataFrame, amount: Matrix) -> Matrix:
    """What each deal brings if it is won: its amount by what such deals realised."""
    usual = model.realised[None]
    by_product = {name: share for name, share in model.realised.items() if name is not None}
    if not by_product:
        return amount * usual
    share = rows["product"].replace_strict(by_product, default=usual, return_dtype=pl.Float64).fill_null(usual)
    return np.asarray(amount * share.to_numpy())


@dataclass(frozen=True, slots=True)
class Ahead:
    """What the clock alone says of open deals, for the pieces of time that end at `edges` (days from the forecast's).

    summed  hazard added up to each edge; won: share won of what closes in each piece. One row per kind of deal
    back    which kind each deal is
    """

    edges: Days
    summed: Matrix
    won: Matrix
    back: Days

    def chances(self, ratio: Matrix, shift: Matrix) -> Matrix:
        """Deals x pieces: the chance to be won in each, with hazards multiplied by `ratio` and log-odds to be won moved by `shift`."""
        survived = np.exp(-ratio[:, None] * np.c_[np.zeros(len(self.summed)), self.summed][self.back])
        return np.asarray((survived[:, :-1] - survived[:, 1:]) * tilt.moved(self.won[self.back], shift[:, None]))


def ahead_of(model: Model, seen: Seen, *, edges: Days) -> Ahead:
    """The clock ahead of deals as they are seen from a day; see Ahead. Work: O(distinct ages and stages x days x trees)."""
    alike, back = _alike(seen)
    hazard, share = model.clock.of(alike, horizon=WEEKS * 7)
    summed = np.cumsum(-np.log1p(-hazard), axis=1)
    pieces = np.diff(np.c_[np.zeros(len(hazard)), summed], axis=1)
    starts = np.r_[0, edges[:-1]]
    weight = np.maximum(np.add.reduceat(pieces, starts, axis=1), 1e-12)
    won = np.add.reduceat(pieces * share, starts, axis=1) / weight
    return Ahead(edges, summed[:, edges - 1], np.clip(won, 0.001, 0.999), back)


def _chances(
    model: Model, past: History, stages: Stages, opened: Days, today: int, low: int, high: int
) -> tuple[Matrix, Matrix, Matrix]:
    """Chance of each open deal to be won in each week, in the period, and at all."""
    weeks = np.arange(7, WEEKS * 7 + 1, 7)
    edges = np.unique(np.r_[weeks, [e for e in (low, high) if 0 < e <= WEEKS * 7]])
    ahead = ahead_of(model, seen_from(past, stages, opened, today), edges=edges)
    chance = ahead.chances(*model.tilt.of(past.rows[opened], past.amount[opened]))
    by_week = np.add.reduceat(chance, np.searchsorted(edges, weeks - 6), axis=1)
    inside = (edges > low) & (edges <= high)
    return by_week, chance[:, inside].sum(axis=1), chance.sum(axis=1)


def seen_from(past: History, stages: Stages, which: Days, today: int) -> Seen:
    """Some deals as they are seen from a day."""
    code, entered = stages.at(which, np.full(len(which), today))
    return Seen(past.opened[which], np.full(len(which), today), code, entered)


def _alike(seen: Seen) -> tuple[Seen, Days]:
    """Deals that the clock cannot tell apart share the work: older ages, and days in a stage, are looked at by the week."""
    age = seen.day - seen.opened
    coarse = np.where(age <= 28, age, np.minimum(age // 7 * 7 + 3, OLDEST))
    held = np.where(seen.code >= 0, seen.day - seen.entered, 0)
    held = np.where(held <= 7, held, np.minimum(held // 7 * 7 + 3, OLDEST // 2))
    keys, back = np.unique(np.stack([coarse, seen.code, held], axis=1), axis=0, return_inverse=True)
    day = np.full(len(keys), seen.day[0] if len(seen) else 0)
    return Seen(day - keys[:, 0], day, keys[:, 1], day - keys[:, 2]), back.reshape(-1)


def _owners(rows: pl.DataFrame) -> pl.DataFrame:
    """Everyone with a deal, each in the team of the latest one; a deal without an owner is nobody's."""
    last = rows.sort("opened_on", "deal_id").group_by(pl.col("owner").fill_null("")).agg(pl.col("team").last().fill_null(""))
    return last.sort("team", "owner").select("owner", "team")


def _column(owners: pl.DataFrame, rows: pl.DataFrame) -> Days:
    place = {name: n for n, name in enumerate(owners["owner"].to_list())}
    return np.fromiter((place[name or ""] for name in rows["owner"].to_list()), dtype=np.int64, count=rows.height)


def _drawn(
    chance: Matrix, amount: Matrix, column: Days, owners: int, scatter: float, paths: int, rng: np.random.Generator
) -> Matrix:
    """Futures x owners of what open deals bring: those worth most one by one, the others by mean and spread per owner."""
    total = np.zeros((paths, owners))
    order = np.argsort(-amount, kind="stable")
    for deal in order[:ONE_BY_ONE]:
        won = rng.random(paths, dtype=np.float32) < chance[deal]
        brought = amount[deal] * np.maximum(1.0 + scatter * rng.standard_normal(int(won.sum()), dtype=np.float32), 0.0)
        total[won, column[deal]] += brought
    rest = order[ONE_BY_ONE:]
    if len(rest):
        p, a = chance[rest], amount[rest]
        mean = np.bincount(column[rest], weights=p * a, minlength=owners)
        variance = np.bincount(column[rest], weights=a**2 * (p * (1 + scatter**2) - p**2), minlength=owners)
        total += np.maximum(mean + np.sqrt(variance) * rng.standard_normal((paths, owners)), 0.0)
    return total


def _to_come(
    model: Model, past: History, owners: pl.DataFrame, today: int, low: int, high: int, paths: int, rng: np.random.Generator
) -> Matrix:
    """Futures x owners of what deals bring that are opened from today on and won in the period.

    Each future draws its weeks from the last 13; a new deal lives by the clock from its first day and is worth what recent ones are.
    """
    weeks = int(np.ceil(high / 7))
    recent = np.flatnonzero(past.opened >= today - RECENT_WEEKS * 7)
    if not len(recent):
        return np.zeros((paths, owners.height))
    per_week = np.bincount((today - 1 - past.opened[recent]) // 7, minlength=RECENT_WEEKS)
    begins = today + np.arange(weeks) * 7 + 3
    hazard, share = model.clock.of(Seen(begins, begins, np.full(weeks, -1), begins), horizon=weeks * 7)
    before = np.cumprod(np.c_[np.ones(weeks), 1 - hazard[:, :-1]], axis=1)
    day = begins[:, None] + np.arange(weeks * 7)[None, :] - today
    chance = (before * hazard * share * ((day >= low) & (day < high))).sum(axis=1)
    counts = per_week[rng.integers(0, RECENT_WEEKS, (paths, weeks))]
    wins = rng.poisson(counts @ chance)
    worth = _brings(model, past.rows[recent], past.amount[recent])
    column = _column(owners, past.rows[recent])
    of_owner = rng.multinomial(wins, (np.bincount(column, minlength=owners.height) / len(recent)))
    mean = np.bincount(column, weights=worth, minlength=owners.height) / np.maximum(
        np.bincount(column, minlength=owners.height), 1
    )
    square = np.bincount(column, weights=worth**2, minlength=owners.height) / np.maximum(
        np.bincount(column, minlength=owners.height), 1
    )
    spread = np.sqrt(np.maximum(square - mean**2, 0.0) + (model.scatter * mean) ** 2)
    noise = np.sqrt(of_owner) * spread * rng.standard_normal(of_owner.shape)
    return np.asarray(np.where(of_owner > 0, np.maximum(of_owner * mean + noise, 0.0), 0.0))
